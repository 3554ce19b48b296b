/* SPDX-License-Identifier: MIT
 *
 * Which layers can be pre-trained, and what belongs to each: see pretrain.h.
 *
 * A layer is hidden when another Dense stands somewhere behind it. To it belongs what follows it as a chain (the only reader,
 * one varying input): normalisation, activation, factors; up to the last value that is shaped like the Dense's own. A
 * parameter is pre-trained once, in the first layer that has it, and never while something in front of the layer reads it:
 * that would move what is to be restored. So a layer that shares its weight with an earlier one is passed over, and of a
 * shared bias or slope the later layer takes the values as they are. */
#include "ops/base/status.h"
#include "plugin/train/pretrain.h"
#include <string.h>

struct search {
    const struct hn_program *prog;
    struct hn_arena *arena;
    struct hn_layers *out;
    uint8_t *feeds;  /* per root: a Dense stands behind it */
    uint8_t *needed; /* per root: read in front of the layer at hand */
    uint8_t *taken;  /* per parameter: of a layer before */
};

static int32_t root_of(const struct hn_program *p, int32_t v)
{
    while (p->values[v].view_of >= 0) v = p->values[v].view_of;
    return v;
}

/* The parameter, or state, that input i of an op is; -1: it is none. */
static int32_t param_of(const struct hn_program *p, const struct hn_op *op, int i)
{
    if (i >= op->n_in || op->in[i] < 0) return -1;
    const struct hn_value_ref *v = &p->values[root_of(p, op->in[i])];
    return v->kind == HN_PARAM || v->kind == HN_STATE ? v->index : -1;
}

static int is_fixed(const struct hn_program *p, const struct hn_op *op, int i)
{
    return op->in[i] < 0 || param_of(p, op, i) >= 0 ||
           p->values[root_of(p, op->in[i])].kind == HN_CONST;
}

static int same_shape(const struct hn_shape *a, const struct hn_shape *b)
{
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->d[i].per_row != b->d[i].per_row || a->d[i].fixed != b->d[i].fixed) return 0;
    return 1;
}

/* ---- one layer --------------------------------------------------------------------------------------------------------- */

static void mark_feeds(struct search *s)
{
    const struct hn_program *p = s->prog;
    for (int32_t i = p->n_ops - 1; i >= 0; i--) {
        const struct hn_op *op = &p->ops[i];
        int feeds = op->row == &hn_op_dense;
        for (int k = 0; k < op->n_out; k++)
            feeds |= op->out[k] >= 0 && s->feeds[root_of(p, op->out[k])];
        for (int k = 0; feeds && k < op->n_in; k++)
            if (op->in[k] >= 0) s->feeds[root_of(p, op->in[k])] = 1;
    }
}

static void mark_front(struct search *s, struct hn_layer *l)
{
    const struct hn_program *p = s->prog;
    memset(s->needed, 0, (size_t)p->n_values);
    s->needed[root_of(p, l->input)] = 1;
    for (int32_t i = l->op - 1; i >= 0; i--) {
        const struct hn_op *op = &p->ops[i];
        for (int k = 0; k < op->n_out; k++)
            if (op->out[k] >= 0 && s->needed[root_of(p, op->out[k])]) l->part[i] = HN_LAYER_FRONT;
        for (int k = 0; l->part[i] && k < op->n_in; k++)
            if (op->in[k] >= 0) s->needed[root_of(p, op->in[k])] = 1;
    }
}

static int reads(const struct hn_program *p, const struct hn_op *op, int32_t root)
{
    for (int k = 0; k < op->n_in; k++)
        if (op->in[k] >= 0 && root_of(p, op->in[k]) == root) return 1;
    return 0;
}

/* The op that alone reads a value; -1: none, or several. */
static int32_t only_reader(const struct hn_program *p, int32_t value)
{
    int32_t found = -1;
    for (int32_t i = 0; i < p->n_ops; i++) {
        if (!reads(p, &p->ops[i], root_of(p, value))) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

static int follows(const struct hn_program *p, const struct hn_op *op)
{
    static const struct hn_op_row *const rows[] = { &hn_op_unary,     &hn_op_binary,
                                                    &hn_op_batchnorm, &hn_op_layernorm,
                                                    &hn_op_softmax,   &hn_op_dropout,
                                                    &hn_op_custom };
    int known = 0, varying = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) known |= op->row == rows[i];
    for (int k = 0; k < op->n_in; k++) varying += !is_fixed(p, op, k);
    return known && op->n_out == 1 && varying == 1;
}

/* The chain behind the Dense. */
static void mark_own(struct search *s, struct hn_layer *l)
{
    const struct hn_program *p = s->prog;
    const struct hn_shape *shape = &p->values[p->ops[l->op].out[0]].shape;
    int32_t at = l->code = p->ops[l->op].out[0];
    int32_t last = l->op, i;
    l->part[l->op] = HN_LAYER_OWN;
    while ((i = only_reader(p, at)) >= 0 && follows(p, &p->ops[i])) {
        at = p->ops[i].out[0];
        l->part[i] = HN_LAYER_OWN;
        if (same_shape(&p->values[at].shape, shape)) l->code = at, last = i;
    }
    for (i = last + 1; i < p->n_ops; i++)
        if (l->part[i] == HN_LAYER_OWN) l->part[i] = HN_LAYER_NOT;
}

static int in_front(const struct search *s, const struct hn_layer *l, int32_t param)
{
    const struct hn_program *p = s->prog;
    for (int32_t i = 0; i < p->n_ops; i++)
        for (int k = 0; l->part[i] == HN_LAYER_FRONT && k < p->ops[i].n_in; k++)
            if (param_of(p, &p->ops[i], k) == param) return 1;
    return 0;
}

static void mark_learning(const struct search *s, struct hn_layer *l)
{
    const struct hn_program *p = s->prog;
    for (int32_t i = 0; i < p->n_ops; i++)
        for (int k = 0; l->part[i] == HN_LAYER_OWN && k < p->ops[i].n_in; k++) {
            int32_t q = param_of(p, &p->ops[i], k);
            if (q >= 0 && (p->params[q].flags & HN_PARAM_TRAINED) && !s->taken[q] &&
                !in_front(s, l, q))
                l->learns[q] = 1;
        }
}

/* Fills in the layer of a Dense. NULL: it can be pre-trained; else why not. */
static const char *look(struct search *s, struct hn_layer *l)
{
    const struct hn_program *p = s->prog;
    const struct hn_op *op = &p->ops[l->op];
    const struct hn_shape *x = &p->values[op->in[0]].shape, *y = &p->values[op->out[0]].shape;
    const int32_t weight = param_of(p, op, 1);
    if (weight < 0) return "its weight is computed, quantised, or a constant";
    if (x->rank < 2 || x->d[0].per_row < 1) return "what reaches it does not follow the rows";
    l->input = op->in[0];
    l->in = x->d[x->rank - 1].fixed;
    l->units = y->d[y->rank - 1].fixed;
    mark_front(s, l);
    mark_own(s, l);
    mark_learning(s, l);
    if (p->params[weight].flags & HN_PARAM_IDLE) return "no loss reaches its weight";
    if (!(p->params[weight].flags & HN_PARAM_TRAINED)) return "its weight is frozen";
    if (l->learns[weight]) return NULL;
    return s->taken[weight] ? "it has the weight of a layer that is pre-trained before it"
                            : "something in front of it has the same weight";
}

/* ---- all of them ------------------------------------------------------------------------------------------------------- */

static void skip(struct search *s, const char *name, const char *why)
{
    s->out->skip[s->out->n_skip++] = (struct hn_layer_skip){ name, why };
}

static hone_status add(struct search *s, int32_t i, hone_error *err)
{
    const struct hn_program *p = s->prog;
    struct hn_layer *l = &s->out->layer[s->out->n];
    *l = (struct hn_layer){ .name = p->ops[i].name,
                            .op = i,
                            .part = hn_arena_alloc(s->arena, (size_t)p->n_ops + 1, 1),
                            .learns = hn_arena_alloc(s->arena, (size_t)p->n_params + 1, 1) };
    if (!l->part || !l->learns) return hn_nomem(err, "the layers", (size_t)p->n_ops);
    const char *why = look(s, l);
    if (why) return skip(s, l->name, why), HONE_OK;
    for (int32_t q = 0; q < p->n_params; q++) s->taken[q] |= l->learns[q];
    s->out->n++;
    return HONE_OK;
}

/* Does an op of the program read the parameter of that name? */
static int is_read(const struct hn_program *p, const char *name)
{
    for (int32_t i = 0; i < p->n_ops; i++)
        for (int k = 0; k < p->ops[i].n_in; k++) {
            int32_t q = param_of(p, &p->ops[i], k);
            if (q >= 0 && !strcmp(p->params[q].name, name)) return 1;
        }
    return 0;
}

/* Frozen layers at the beginning: they ran once over the data, and the program knows nothing of them. */
static hone_status skip_frozen(struct search *s, const struct hn_graph *g, hone_error *err)
{
    const struct hn_param_list *list = hn_graph_params(g);
    char label[200];
    for (size_t i = 0; i < list->n_uses; i++) {
        const struct hn_use *u = &list->uses[i];
        const struct hn_gparam *q = &list->params[u->param];
        if (q->trained || !hn_node_is_product(&g->nodes[u->node]) ||
            g->values[q->value].shape.rank < 2 || is_read(s->prog, g->values[q->value].name))
            continue;
        const char *name =
            hn_arena_strdup(s->arena, hn_node_label(&g->nodes[u->node], label, sizeof label));
        if (!name) return hn_nomem(err, "the layers", sizeof label);
        skip(s, name, "its weight is frozen");
    }
    return HONE_OK;
}

hone_status hn_layers_find(const struct hn_program *prog, const struct hn_graph *g,
                           struct hn_arena *a, struct hn_layers *out, hone_error *err)
{
    size_t n = (size_t)prog->n_ops + 1, values = (size_t)prog->n_values + 1;
    *out = (struct hn_layers){ 0 };
    struct search s = { .prog = prog, .arena = a, .out = out };
    s.feeds = hn_arena_alloc(a, values, 1);
    s.needed = hn_arena_alloc(a, values, 1);
    s.taken = hn_arena_alloc(a, (size_t)prog->n_params + 1, 1);
    out->layer = hn_arena_alloc(a, n, sizeof *out->layer);
    out->skip = hn_arena_alloc(a, n + hn_graph_params(g)->n_uses, sizeof *out->skip);
    if (!s.feeds || !s.needed || !s.taken || !out->layer || !out->skip)
        return hn_nomem(err, "the layers", n * sizeof *out->layer);
    mark_feeds(&s);
    HN_TRY(skip_frozen(&s, g, err));
    for (int32_t i = 0; i < prog->n_ops; i++)
        if (prog->ops[i].row == &hn_op_dense && s.feeds[root_of(prog, prog->ops[i].out[0])])
            HN_TRY(add(&s, i, err));
    if (out->n) return HONE_OK;
    hone_status st = hn_fail(err, HONE_E_UNSUPPORTED, "pretrain",
                             "found no hidden Dense layer that can be pre-trained");
    return out->n_skip ? hn_hint(err, st, "%s: %s", out->skip[0].name, out->skip[0].why) : st;
}
