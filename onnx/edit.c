/* SPDX-License-Identifier: MIT
 *
 * One line at a time: split, look up, unpack, change, pack. Every edit starts from bytes that have passed the scan and
 * ends with bytes that the next import scans again, so there is one way into the graph only. */
#include "onnx/edit.h"
#include "onnx/activation.h"
#include "onnx/edit_list.h"
#include "onnx/stack.h"
#include "ops/base/status.h"
#include <string.h>

static const struct {
    const char *name, *form;
    int min, max; /* words after the name */
    const char
        *inside; /* operators it looks at: calls are written out before where a function of the
                           model's own has one; "*": whatever they have; NULL: never */
    hone_status (*run)(struct hn_modify *e);
} edits[] = {
    { "untie", "untie NAME [NODE INPUT...] [as NEW]", 1, 1 << 20, NULL, hn_edit_untie },
    { "inference", "inference", 0, 0, "BatchNormalization Dropout", hn_edit_inference },
    { "scale-input", "scale-input INPUT KIND", 1, 2, NULL, hn_edit_scale_input },
    { "scale-output", "scale-output OUTPUT KIND", 1, 2, NULL, hn_edit_scale_output },
    { "rescale-output", "rescale-output FACTORS OFFSETS", 2, 2, NULL, hn_edit_rescale_output },
    { "batch-symbolic", "batch-symbolic [NAME [indices]]", 0, 2, "Reshape",
      hn_edit_batch_symbolic },
    { "batchnorm", "batchnorm insert|remove [VALUE...]", 1, 4096, "*", hn_edit_batchnorm },
    { "hidden", "hidden [units=W,W,...] [activation=WORD] [key=HEX]", 1, 3, "*", hn_edit_hidden },
    { "rename-metadata", "rename-metadata OLD NEW", 2, 2, NULL, hn_edit_rename_metadata },
    { "ensemble", "ensemble KIND VALUE [KIND VALUE...]", 2, 4096, "*", hn_edit_ensemble },
};
enum { N_EDITS = sizeof edits / sizeof *edits };

/* Takes one word off *text into an arena; NULL: no memory; *bad is set when a quote is not closed. */
static char *take_word(const struct hn_modify *e, const char **text, int *bad)
{
    const char *s = *text;
    char *word = hn_arena_alloc(e->arena, strlen(s) + 1, 1), *to = word;
    if (!word) return NULL;
    int quoted = *s == '"';
    if (quoted) s++;
    while (*s && (quoted ? *s != '"' : *s != ' ')) {
        if (quoted && *s == '\\' && s[1]) s++;
        *to++ = *s++;
    }
    *bad = quoted && *s != '"';
    *text = quoted && *s ? s + 1 : s;
    return word;
}

static hone_status split(struct hn_modify *e)
{
    const char *s = e->line->text;
    size_t n = 0;
    for (;;) {
        int bad = 0;
        while (*s == ' ') s++;
        if (!*s) break;
        char *word = take_word(e, &s, &bad);
        if (!word || !hn_md_append(e, &e->words, &n, word)) return hn_md_nomem(e);
        if (bad) return hn_fail(e->err, HONE_E_USAGE, e->line->text, "a quote is not closed");
    }
    e->n_words = (int)n;
    return HONE_OK;
}

/* Whether some function's body has one of the operators in a list of words. */
static int bodies_have(const struct hn_modify *e, const char *words)
{
    for (size_t i = 0; i < e->model->n_functions; i++) {
        const Onnx__FunctionProto *f = e->model->functions[i];
        for (size_t k = 0; k < f->n_node; k++) {
            const char *op = f->node[k]->op_type ? f->node[k]->op_type : "";
            const char *at = *op ? strstr(words, op) : NULL;
            if (*words == '*' || (at && (!at[strlen(op)] || at[strlen(op)] == ' '))) return 1;
        }
    }
    return 0;
}

static hone_status run(struct hn_modify *e)
{
    const char *names[N_EDITS + 1] = { NULL };
    HN_TRY(split(e));
    if (!e->n_words) return hn_fail(e->err, HONE_E_USAGE, "", "an empty edit");
    for (int i = 0; i < N_EDITS; i++) {
        names[i] = edits[i].name;
        if (strcmp(edits[i].name, e->words[0])) continue;
        if (e->n_words - 1 < edits[i].min || e->n_words - 1 > edits[i].max)
            return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                           "%d words after the name, wanted: %s", e->n_words - 1, edits[i].form);
        if (edits[i].inside && bodies_have(e, edits[i].inside)) HN_TRY(hn_md_inline(e));
        return edits[i].run(e);
    }
    const char *close = hn_suggest(e->words[0], names);
    hone_status st =
        hn_fail(e->err, HONE_E_USAGE, e->line->text, "'%.60s' is no edit", e->words[0]);
    return close ? hn_hint(e->err, st, "did you mean %s?", close) : st;
}

/* Reads bytes for changing; p's arena holds everything made. */
static hone_status begin(struct hn_modify *e, struct hn_proto *p, struct hn_scan *s,
                         struct hn_mem *m, const void *bytes, size_t n, hone_error *err)
{
    HN_TRY(hn_scan_model(s, m, bytes, n, NULL, "the model", err));
    HN_TRY(hn_proto_read_model(p, m, bytes, n, s, "the model", err));
    *e = (struct hn_modify){ .mem = m,
                             .arena = &p->arena,
                             .proto = p,
                             .n_bytes = n,
                             .model = p->model,
                             .g = p->model->graph,
                             .err = err };
    for (size_t i = 0; i < p->model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = p->model->opset_import[i];
        int plain = !o->domain || !*o->domain || strcmp(o->domain, "ai.onnx") == 0;
        if (plain && o->version > e->opset) e->opset = o->version;
    }
    return HONE_OK;
}

hone_status hn_edit_apply(struct hn_mem *m, const void *bytes, size_t n,
                          const struct hn_edit_line *line, struct hn_buffer *out, hone_error *err)
{
    struct hn_scan s = { 0 };
    struct hn_proto p = { 0 };
    struct hn_modify e = { .n_others = 0 };
    hone_status st = begin(&e, &p, &s, m, bytes, n, err);
    if (st == HONE_OK) {
        e.line = line;
        st = run(&e);
    }
    if (st == HONE_OK) st = hn_proto_pack(&p.model->base, &out->sink, err);
    for (size_t i = 0; i < e.n_others; i++) {
        hn_proto_free(&e.others[i]);
        hn_scan_free(&e.other_scans[i]);
    }
    hn_proto_free(&p);
    hn_scan_free(&s);
    return st;
}

hone_status hn_edit_apply_all(struct hn_mem *m, const void *bytes, size_t n,
                              const struct hn_edit_line *lines, size_t n_lines,
                              struct hn_buffer *out, hone_error *err)
{
    struct hn_buffer from, to;
    if (!n_lines) return out->sink.write(&out->sink, bytes, n, err);
    hn_buffer_init(&from, m);
    hone_status st = HONE_OK;
    for (size_t i = 0; i < n_lines && st == HONE_OK; i++) {
        int last = i + 1 == n_lines;
        hn_buffer_init(&to, m);
        st = hn_edit_apply(m, i ? from.p : bytes, i ? from.n : n, &lines[i], last ? out : &to, err);
        hn_buffer_free(&from);
        from = to;
    }
    hn_buffer_free(&from);
    return st;
}

/* ---- where batchnorm insert goes -------------------------------------------------------------------------------------- */

struct sites {
    struct hn_mem *mem;
    struct hn_bn_site *v;
    size_t n, cap;
};

static int add_site(void *user, char *value, int64_t width)
{
    struct sites *s = user;
    struct hn_bn_site site = { hn_strdup(s->mem, value), width };
    if (site.value && HN_PUSH(s->mem, s->v, s->n, s->cap, site)) return 1;
    hn_free(s->mem, site.value);
    return 0;
}

hone_status hn_edit_batchnorm_sites(struct hn_mem *m, const void *bytes, size_t n,
                                    struct hn_bn_site **sites, size_t *n_sites, hone_error *err)
{
    struct hn_scan s = { 0 };
    struct hn_proto p = { 0 };
    struct hn_modify e;
    struct sites found = { .mem = m };
    *sites = NULL;
    *n_sites = 0;
    hone_status st = begin(&e, &p, &s, m, bytes, n, err);
    if (st == HONE_OK) st = hn_md_inline(&e);
    if (st == HONE_OK) hn_edit_drop_casts(&e);
    if (st == HONE_OK && !hn_edit_each_hidden(&e, add_site, &found))
        st = hn_nomem(err, "the list of layers", 0);
    if (st == HONE_OK)
        *sites = found.v, *n_sites = found.n;
    else
        hn_edit_free_sites(m, found.v, found.n);
    hn_proto_free(&p);
    hn_scan_free(&s);
    return st;
}

void hn_edit_free_sites(struct hn_mem *m, struct hn_bn_site *sites, size_t n_sites)
{
    for (size_t i = 0; i < n_sites; i++) hn_free(m, sites[i].value);
    hn_free(m, sites);
}

/* ---- what hidden would change --------------------------------------------------------------------------------------- */

static hone_status describe_stack(struct hn_modify *e, struct hn_hidden_info *info)
{
    struct hn_stack *s = hn_arena_alloc(e->arena, 1, sizeof *s);
    if (!s) return hn_md_nomem(e);
    hn_edit_drop_casts(e);
    HN_TRY(hn_stack_find(e, s));
    *info = (struct hn_hidden_info){ .n = s->n, .opset = e->opset };
    for (int i = 0; i < s->n; i++) {
        const struct hn_stack_layer *l = &s->layer[i];
        size_t first, n;
        int whole = hn_stack_activation(l, &first, &n);
        const char *word = whole ? hn_activation_name(l->nodes + first, n) : NULL;
        info->width[i] = l->out;
        info->activation =
            i == 0 || (info->activation && word && !strcmp(info->activation, word)) ? word : NULL;
    }
    return HONE_OK;
}

hone_status hn_edit_hidden_info(struct hn_mem *m, const void *bytes, size_t n,
                                struct hn_hidden_info *info, hone_error *err)
{
    struct hn_scan s = { 0 };
    struct hn_proto p = { 0 };
    struct hn_modify e;
    *info = (struct hn_hidden_info){ 0 };
    hone_status st = begin(&e, &p, &s, m, bytes, n, err);
    if (st == HONE_OK) st = hn_md_inline(&e);
    if (st == HONE_OK) st = describe_stack(&e, info);
    hn_proto_free(&p);
    hn_scan_free(&s);
    return st;
}
