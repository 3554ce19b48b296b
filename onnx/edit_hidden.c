/* SPDX-License-Identifier: MIT
 *
 * The hidden stack rebuilt: other widths, more or fewer layers, another activation. See edit.h for what stays and what
 * begins anew. The activation comes first, on the layers there are; then the stack is looked at again and resized, from the
 * front: layers that go, layers that stay, copies of the last one, the layers behind. */
#include "onnx/activation.h"
#include "onnx/edit_list.h"
#include "onnx/layer.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <string.h>

struct wanted {
    int64_t width[HN_HIDDEN_MAX];
    int n; /* 0: as they are */
    const char *activation;
    uint32_t key[2];
};

/* ---- the line --------------------------------------------------------------------------------------------------------- */

static hone_status read_units(struct hn_modify *e, const char *text, struct wanted *w)
{
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        if (w->n == HN_HIDDEN_MAX)
            return hn_fail(e->err, HONE_E_USAGE, e->line->text, "more than %d layers",
                           HN_HIDDEN_MAX);
        if (!hn_parse_i64(p, n, &w->width[w->n]) || w->width[w->n] < 1 ||
            w->width[w->n] > INT32_MAX)
            return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                           "hidden: units=%.60s, wanted whole numbers from 1 like 64,32", text);
        w->n++;
        p += n;
        if (!*p) return HONE_OK;
    }
}

static int read_key(const char *text, uint32_t key[2])
{
    static const char digits[] = "0123456789abcdef";
    key[0] = key[1] = 0;
    if (strlen(text) != 16) return 0;
    for (int i = 0; i < 16; i++) {
        const char *d = strchr(digits, text[i]);
        if (!d) return 0;
        key[i / 8] = key[i / 8] << 4 | (uint32_t)(d - digits);
    }
    return 1;
}

static hone_status read_line(struct hn_modify *e, struct wanted *w)
{
    for (int i = 1; i < e->n_words; i++) {
        const char *word = e->words[i];
        if (!strncmp(word, "units=", 6) && !w->n)
            HN_TRY(read_units(e, word + 6, w));
        else if (!strncmp(word, "activation=", 11) && hn_activation_known(word + 11))
            w->activation = word + 11;
        else if (!strncmp(word, "key=", 4) && read_key(word + 4, w->key))
            continue;
        else
            return hn_fail(e->err, HONE_E_USAGE, word,
                           "wanted: hidden [units=W,W,...] [activation=WORD] [key=HEX]");
    }
    return HONE_OK;
}

/* ---- names ------------------------------------------------------------------------------------------------------------- */

static char *lower(const struct hn_modify *e, const char *s)
{
    char *p = hn_arena_strdup(e->arena, s);
    for (char *c = p; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    return p;
}

/* The name of an activation's node or value with the new operator's name for the old one's, where it has it. */
static char *renamed(const struct hn_modify *e, const char *name, const char *was, const char *is)
{
    const char *at = strstr(name, was);
    if (!at) {
        was = lower(e, was);
        is = lower(e, is);
        at = was && is ? strstr(name, was) : NULL;
    }
    if (!at) return hn_arena_strdup(e->arena, name);
    return hn_md_text(e, "%.*s%s%s", (int)(at - name), name, is, at + strlen(was));
}

/* ---- lists of nodes ------------------------------------------------------------------------------------------------------ */

static size_t position(const struct hn_modify *e, const Onnx__NodeProto *n)
{
    size_t at = 0;
    while (at < e->g->n_node && e->g->node[at] != n) at++;
    return at;
}

static void drop_node(struct hn_modify *e, const Onnx__NodeProto *n)
{
    size_t at = position(e, n);
    if (at == e->g->n_node) return;
    hn_md_remove(&e->g->node, &e->g->n_node, at);
    for (size_t k = 0; k < n->n_input; k++)
        if (*n->input[k]) hn_md_drop_unused(e, n->input[k]);
}

static void forget_outputs(struct hn_modify *e, const Onnx__NodeProto *n)
{
    for (size_t k = 0; n && k < n->n_output; k++) hn_layer_forget(e, n->output[k]);
}

static void forget_layer(struct hn_modify *e, const struct hn_stack_layer *l)
{
    forget_outputs(e, l->dense);
    forget_outputs(e, l->add);
    for (size_t i = 0; i < l->n; i++) forget_outputs(e, l->nodes[i]);
}

/* ---- activation ----------------------------------------------------------------------------------------------------------- */

static void drop_activation(struct hn_modify *e, const struct hn_stack_layer *l, size_t first,
                            size_t n)
{
    for (size_t i = first + n; i-- > first;) {
        forget_outputs(e, l->nodes[i]);
        drop_node(e, l->nodes[i]);
    }
}

struct run { /* the activation that is there, and the word for the one that is wanted */
    size_t first, n;
    const char *has, *word;
};

static hone_status replace_activation(struct hn_modify *e, const struct hn_stack_layer *l,
                                      struct run r)
{
    const Onnx__NodeProto *from = l->nodes[r.first], *to = l->nodes[r.first + r.n - 1];
    const char *is = hn_activation_op(r.word), *was = r.has ? hn_activation_op(r.has) : "";
    char *in = hn_layer_value(l, r.first), *old = to->output[0], *out = old;
    if (!*was || !strstr(from->name ? from->name : "", was)) was = from->op_type;
    char *name = renamed(e, from->name ? from->name : "", was, is);
    size_t at;
    if (r.n == 1) out = renamed(e, old, to->op_type, is);
    if (out && strcmp(out, old) != 0) out = hn_md_unique(e, out);
    if (!name || !out) return hn_md_nomem(e);
    if (out != old) hn_md_rewire(e, old, out, NULL);
    drop_activation(e, l, r.first, r.n);
    (void)hn_md_producer(e, in, &at);
    struct hn_activation_place p = { r.word, in, out, *name ? name : out, hn_layer_dtype(e, l),
                                     at + 1 };
    return hn_activation_write(e, &p);
}

/* Between what the layer computes and whatever takes it. */
static hone_status add_activation(struct hn_modify *e, struct hn_stack_layer *l, const char *word)
{
    size_t norms = 0;
    while (norms < l->n && l->steps[norms] == HN_STEP_NORM) norms++;
    char *in = hn_layer_value(l, norms), *out = hn_md_unique(e, hn_md_text(e, "%s/act", in));
    size_t at;
    if (!out) return hn_md_nomem(e);
    hn_md_rewire(e, in, out, NULL);
    (void)hn_md_producer(e, in, &at);
    const char *name = hn_md_text(e, "%s_%s", in, hn_activation_op(word));
    struct hn_activation_place p = { word, in, out, name, hn_layer_dtype(e, l), at + 1 };
    return name ? hn_activation_write(e, &p) : hn_md_nomem(e);
}

static hone_status change_activation(struct hn_modify *e, struct hn_stack_layer *l,
                                     const char *word)
{
    size_t first, n;
    const Onnx__NodeProto *node = l->n ? l->nodes[0] : l->dense;
    if (!hn_stack_activation(l, &first, &n))
        return hn_fail(e->err, HONE_E_UNSUPPORTED, node->name && *node->name ? node->name : l->exit,
                       "hidden: the layer has activations in several places");
    const char *has = hn_activation_name(l->nodes + first, n);
    if (has && !strcmp(has, word)) return HONE_OK;
    if (!n) return add_activation(e, l, word);
    if (!strcmp(word, "linear")) {
        hn_md_rewire(e, l->nodes[first + n - 1]->output[0], hn_layer_value(l, first), NULL);
        drop_activation(e, l, first, n);
        return HONE_OK;
    }
    return replace_activation(e, l, (struct run){ first, n, has, word });
}

/* ---- resizing ---------------------------------------------------------------------------------------------------------------- */

struct resizing {
    struct hn_modify *e;
    struct hn_stack *s;
    const struct wanted *w;
};

static int rectifies(const struct hn_stack_layer *l)
{
    size_t first, n;
    return hn_stack_activation(l, &first, &n) && hn_activation_rectifies(l->nodes + first, n);
}

static void remove_layer(struct hn_modify *e, const struct hn_stack_layer *l)
{
    for (size_t i = l->n; i-- > 0;) drop_node(e, l->nodes[i]);
    if (l->add) drop_node(e, l->add);
    drop_node(e, l->dense);
}

static hone_status resize_layer(const struct resizing *r, struct hn_stack_layer *l, int i,
                                int64_t in, int64_t out)
{
    const struct hn_layer_fresh f = {
        .e = r->e, .key = r->w->key, .in = in, .out = out, .he = rectifies(l), .stream = i
    };
    forget_layer(r->e, l);
    if (l->in == in && l->out == out) return HONE_OK;
    HN_TRY(hn_layer_begin_anew(&f, l));
    l->in = in;
    l->out = out;
    return HONE_OK;
}

/* Layer i, which the model does not have, like its last one. */
static hone_status add_layer(const struct resizing *r, const struct hn_stack_layer *like,
                             struct hn_stack_layer *before, int i, int64_t out)
{
    struct hn_layer_copy c = {
        .e = r->e, .from = like, .copy = i + 1 - r->s->n, .entry = before->exit
    };
    struct hn_stack_layer *to = &r->s->layer[i];
    (void)hn_md_producer(r->e, before->exit, &c.at);
    c.at++;
    HN_TRY(hn_layer_copy(&c, to));
    const struct hn_layer_fresh f = { .e = r->e,
                                      .key = r->w->key,
                                      .in = before->out,
                                      .out = out,
                                      .he = rectifies(like),
                                      .stream = i,
                                      .copy = c.copy };
    HN_TRY(hn_layer_begin_anew(&f, to));
    to->in = before->out;
    to->out = out;
    return HONE_OK;
}

static hone_status resize(const struct resizing *r)
{
    struct hn_stack *s = r->s;
    const struct wanted *w = r->w;
    int keep = w->n < s->n ? w->n : s->n;
    int64_t in = s->layer[0].in;
    for (int i = 0; i < keep; i++) {
        HN_TRY(resize_layer(r, &s->layer[i], i, in, w->width[i]));
        in = w->width[i];
    }
    for (int i = s->n; i < w->n; i++)
        HN_TRY(add_layer(r, &s->layer[s->n - 1], &s->layer[i - 1], i, w->width[i]));
    const struct hn_stack_layer *end = &s->layer[w->n - 1];
    for (int i = 0; i < s->n_last; i++) s->last[i].dense->input[0] = end->exit;
    for (int i = s->n; i-- > keep;) remove_layer(r->e, &s->layer[i]);
    for (int i = 0; i < s->n_last; i++)
        HN_TRY(resize_layer(r, &s->last[i], w->n + i, end->out, s->last[i].out));
    return HONE_OK;
}

hone_status hn_edit_hidden(struct hn_modify *e)
{
    struct wanted w = { .n = 0 };
    struct hn_stack *s = hn_arena_alloc(e->arena, 1, sizeof *s);
    if (!s) return hn_md_nomem(e);
    HN_TRY(read_line(e, &w));
    hn_edit_drop_casts(e);
    HN_TRY(hn_stack_find(e, s));
    if (!s->n)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, "",
                       "hidden: the model has no hidden layer, only the last one");
    const int n = s->n;
    for (int i = 0; w.activation && i < n; i++)
        HN_TRY(change_activation(e, &s->layer[i], w.activation));
    if (!w.n) return HONE_OK;
    if (w.activation) HN_TRY(hn_stack_find(e, s));
    if (s->n != n)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, "",
                       "hidden: with other activations the model has %d hidden layers, found %d "
                       "before: its layers cannot be told apart",
                       s->n, n);
    const struct resizing r = { e, s, &w };
    return resize(&r);
}
