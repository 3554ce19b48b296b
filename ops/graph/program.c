/* SPDX-License-Identifier: MIT
 *
 * hn_lower: a draft of the whole graph, cut into the part that was asked for and packed as an immutable program.
 *
 *   needed   ops that outputs or losses depend on
 *   head     of those, ops that see only inputs, constants and frozen parameters, row by row, without state or chance:
 *            their results can be computed once per data set
 *   boundary what the others read of the head: the head's outputs and the body's inputs, in the same order
 *
 * Slab W: trained parameters, frozen parameters, states, in the graph's order, each padded to 16 elements; the layout
 * does not depend on the part. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

struct cutter {
    struct hn_lowering l;
    struct hn_program *p;
    uint8_t *needed, *head; /* per op, the first n_judged */
    size_t n_judged;
    size_t ahead;      /* ops from here on come before all others: augmentation */
    uint8_t *kept;     /* per value: belongs to the part */
    int32_t *place;    /* per value: its number in the program, -1 */
    int32_t *slab;     /* position in params of parameter i, then of state i */
    int32_t *boundary; /* values: roots only */
    int n_boundary;
    int32_t *outputs; /* draft values of the computable graph outputs */
    const char **output_names;
    int n_outputs;
};

static hone_status no_memory(struct cutter *c) { return hn_nomem(c->l.err, "the program", 0); }

static int32_t root_of(const struct cutter *c, int32_t v)
{
    return c->l.values[v].view_of >= 0 ? c->l.values[v].view_of : v;
}

static void *scratch(struct cutter *c, size_t n, size_t size)
{
    return hn_arena_alloc(&c->p->arena, n + 1, size);
}

/* An op that copies, where an output is no result of an op: a graph input passed through, a constant. */
static hone_status own_output(struct cutter *c, int32_t *v)
{
    struct hn_lowering *l = &c->l;
    if (l->values[root_of(c, *v)].kind == HN_ACT) return HONE_OK;
    return hn_l_unary(l, HN_U_COPY, 0, 0, *v, v);
}

static hone_status find_outputs(struct cutter *c)
{
    const struct hn_graph *g = c->l.g;
    c->outputs = scratch(c, g->n_outputs, sizeof *c->outputs);
    c->output_names = scratch(c, g->n_outputs, sizeof *c->output_names);
    if (!c->outputs || !c->output_names) return no_memory(c);
    for (size_t i = 0; i < g->n_outputs; i++) {
        int32_t v;
        if (!g->facts->values[g->outputs[i]].computable) continue;
        HN_TRY(hn_l_value(&c->l, g->outputs[i], &v));
        HN_TRY(own_output(c, &v));
        c->output_names[c->n_outputs] = g->values[g->outputs[i]].name;
        c->outputs[c->n_outputs++] = v;
    }
    if (c->n_outputs == 0)
        return hn_fail(c->l.err, HONE_E_UNSUPPORTED, g->name,
                       "no output of the model can be computed");
    return HONE_OK;
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static hone_status find_needed(struct cutter *c)
{
    uint8_t *wanted = scratch(c, c->l.n_values, 1);
    c->n_judged = c->l.n_ops;
    c->needed = scratch(c, c->l.n_ops, 1);
    c->head = scratch(c, c->l.n_ops, 1);
    if (!wanted || !c->needed || !c->head) return no_memory(c);
    for (int i = 0; i < c->n_outputs; i++) wanted[root_of(c, c->outputs[i])] = 1;
    for (size_t i = c->l.n_ops; i-- > 0;) {
        const struct hn_op *op = &c->l.ops[i];
        int need = op->row->flags & HN_OP_LOSS ? 1 : 0;
        for (int k = 0; k < op->n_out; k++) need |= wanted[op->out[k]];
        c->needed[i] = need != 0;
        for (int k = 0; k < op->n_in && need; k++)
            if (op->in[k] >= 0) wanted[root_of(c, op->in[k])] = 1;
    }
    return HONE_OK;
}

static int leads_with_rows(const struct hn_shape *s)
{
    return s->rank > 0 && s->d[0].per_row == 1 && s->d[0].fixed == 0;
}

/* Follows N in some dim. */
static int follows(const struct hn_shape *s) { return hn_shape_count(s).per_row != 0; }

/* Does row i of the result need row i of the operands only? */
static int row_by_row(const struct cutter *c, const struct hn_op *op)
{
    const struct hn_shape *y = &c->l.values[op->out[0]].shape;
    if (!(op->row->flags & HN_OP_ROW_LOCAL) && op->row != &hn_op_reduce &&
        op->row != &hn_op_transpose)
        return 0;
    int copies = op->row == &hn_op_unary &&
                 ((const struct hn_unary *)op->attrs)->kind == HN_U_COPY; /* own_output's */
    if (op->row == &hn_op_dropout || copies || !leads_with_rows(y)) return 0;
    for (int k = 0; k < op->n_in; k++) {
        const struct hn_shape *x = op->in[k] >= 0 ? &c->l.values[op->in[k]].shape : NULL;
        if (!x || !follows(x)) continue;
        if (!leads_with_rows(x)) return 0;
        if (op->row == &hn_op_binary && x->rank != y->rank) return 0;
    }
    if (op->row == &hn_op_softmax) return ((const struct hn_softmax *)op->attrs)->axis > 0;
    if (op->row == &hn_op_reduce) return !(((const struct hn_reduce *)op->attrs)->mask & 1u);
    if (op->row == &hn_op_concat) return ((const struct hn_concat *)op->attrs)->axis > 0;
    if (op->row == &hn_op_slice) return ((const struct hn_slice *)op->attrs)->axis > 0;
    if (op->row == &hn_op_transpose) return ((const struct hn_transpose *)op->attrs)->perm[0] == 0;
    return 1;
}

static int is_trained(const struct cutter *c, int32_t param)
{
    const struct hn_facts *f = c->l.g->facts;
    if (c->l.opts->freeze_batchnorm && f->info[param].of_batchnorm) return 0;
    return f->params.params[param].trained;
}

/* An operand the head may read. */
static int head_operand(const struct cutter *c, int32_t v)
{
    const struct hn_value_ref *x = &c->l.values[root_of(c, v)];
    switch (x->kind) {
    case HN_INPUT:
    case HN_CONST: return 1;
    case HN_PARAM: return !is_trained(c, x->index);
    case HN_ACT: return c->head[x->producer];
    default: return 0;
    }
}

static void find_head(struct cutter *c)
{
    for (size_t i = 0; i < c->l.n_ops; i++) {
        const struct hn_op *op = &c->l.ops[i];
        if (!c->needed[i] || op->n_out != 1 || !row_by_row(c, op)) continue;
        int all = 1, some = 0;
        for (int k = 0; k < op->n_in; k++) {
            if (op->in[k] < 0) continue;
            all &= head_operand(c, op->in[k]);
            some |= follows(&c->l.values[op->in[k]].shape);
        }
        c->head[i] = (uint8_t)(all && some);
    }
}

/* Values the body reads of inputs and head, roots only, each once, in value order. Does not work out (no boundary, so no
 * head) when one of them is no column of rows. */
static hone_status find_boundary(struct cutter *c)
{
    struct hn_lowering *l = &c->l;
    uint8_t *at = scratch(c, l->n_values, 1);
    int any_head = 0, fits = 1;
    c->boundary = scratch(c, l->n_values, sizeof *c->boundary);
    if (!at || !c->boundary) return no_memory(c);
    for (size_t i = 0; i < l->n_ops; i++) any_head |= c->head[i];
    for (size_t i = 0; i < l->n_ops; i++)
        for (int k = 0; k < l->ops[i].n_in && c->needed[i] && !c->head[i]; k++)
            if (l->ops[i].in[k] >= 0) at[root_of(c, l->ops[i].in[k])] = 1;
    for (int i = 0; i < c->n_outputs; i++) at[root_of(c, c->outputs[i])] = 1;
    for (size_t v = 0; v < l->n_values; v++) {
        const struct hn_value_ref *x = &l->values[v];
        int crosses =
            x->kind == HN_INPUT || (x->kind == HN_ACT && x->view_of < 0 && c->head[x->producer]);
        if (!at[v] || !crosses) continue;
        fits &= leads_with_rows(&x->shape);
        c->boundary[c->n_boundary++] = (int32_t)v;
    }
    if (any_head && fits) return HONE_OK;
    memset(c->head, 0, l->n_ops);
    c->n_boundary = -1;
    return HONE_OK;
}

/* ---- augmentation ------------------------------------------------------------------------------------------------- */

/* Op i of the part reads the augmented value in place of v, or a view of it. */
static hone_status read_instead(struct cutter *c, size_t i, int32_t v, int32_t augmented)
{
    struct hn_lowering *l = &c->l;
    for (int k = 0; k < l->ops[i].n_in; k++) {
        const int32_t in = l->ops[i].in[k];
        int32_t to = augmented;
        if (in < 0 || root_of(c, in) != v) continue;
        if (in != v) {
            const struct hn_shape shape = l->values[in].shape;
            HN_TRY(hn_l_view(l, augmented, &shape, &to));
        }
        ((int32_t *)(uintptr_t)l->ops[i].in)[k] = to;
    }
    return HONE_OK;
}

static int in_part(const struct cutter *c, size_t op);

static int part_reads(const struct cutter *c, int32_t v)
{
    for (size_t i = 0; i < c->n_judged; i++)
        for (int k = 0; k < c->l.ops[i].n_in && in_part(c, i); k++)
            if (c->l.ops[i].in[k] >= 0 && root_of(c, c->l.ops[i].in[k]) == v) return 1;
    return 0;
}

/* Is v where the part begins: an input of the graph, or what the head leaves? */
static int begins_part(const struct cutter *c, int32_t v)
{
    if (c->l.opts->part != HN_PART_BODY || c->n_boundary < 0)
        return c->l.values[v].kind == HN_INPUT && c->l.values[v].view_of < 0;
    for (int i = 0; i < c->n_boundary; i++)
        if (c->boundary[i] == v) return 1;
    return 0;
}

static hone_status augment(struct cutter *c)
{
    const int32_t n = (int32_t)c->l.n_values;
    int stream = 0;
    c->ahead = c->l.n_ops;
    for (int32_t v = 0; v < n && hn_l_augments(&c->l); v++) {
        int32_t augmented;
        if (!begins_part(c, v) || !part_reads(c, v)) continue;
        HN_TRY(hn_l_augment(&c->l, v, stream++, &augmented));
        for (size_t i = 0; i < c->n_judged; i++)
            if (in_part(c, i)) HN_TRY(read_instead(c, i, v, augmented));
    }
    return HONE_OK;
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

static size_t padded(size_t n) { return (n + 15) / 16 * 16; }

static void fill_param(struct cutter *c, struct hn_param *q, int32_t param)
{
    const struct hn_graph *g = c->l.g;
    const struct hn_param_info *info = &g->facts->info[param];
    const struct hn_value *v = &g->values[g->facts->params.params[param].value];
    *q = (struct hn_param){ .name = v->name,
                            .rank = v->constant->rank,
                            .lr_mult = 1,
                            .decay_mult = 1,
                            .fan_in = info->fan_in,
                            .fan_out = info->fan_out,
                            .feeds = info->feeds,
                            .tensor_id = v->tensor_id,
                            .init = v->constant,
                            .n = (size_t)v->constant->n };
    memcpy(q->dims, v->constant->dims, sizeof q->dims);
    q->flags = (is_trained(c, param) ? HN_PARAM_TRAINED : 0) |
               (info->slot == HN_SLOT_BIAS ? HN_PARAM_BIAS : 0) |
               (info->slot == HN_SLOT_NORM ? HN_PARAM_NORM : 0);
}

static void fill_state(const struct cutter *c, struct hn_param *q, const struct hn_state *s)
{
    const struct hn_graph *g = c->l.g;
    *q = (struct hn_param){ .name = s->name,
                            .rank = 1,
                            .lr_mult = 1,
                            .decay_mult = 1,
                            .flags = HN_PARAM_STATE,
                            .feeds = -1,
                            .tensor_id = s->root >= 0 ? g->values[s->root].tensor_id : -1,
                            .init = s->init,
                            .n = (size_t)s->init->n,
                            .dims = { s->init->n } };
}

static hone_status lay_out_slab(struct cutter *c)
{
    const struct hn_facts *f = c->l.g->facts;
    struct hn_program *p = c->p;
    size_t n = f->params.n_params, off = 0;
    p->params = scratch(c, n + f->n_states, sizeof *p->params);
    c->slab = scratch(c, n + f->n_states, sizeof *c->slab);
    if (!p->params || !c->slab) return no_memory(c);
    for (int trained = 1; trained >= 0; trained--) {
        for (size_t i = 0; i < n; i++) {
            if (is_trained(c, (int32_t)i) != trained) continue;
            c->slab[i] = p->n_params;
            fill_param(c, &p->params[p->n_params], (int32_t)i);
            p->params[p->n_params].off = off;
            off += padded(p->params[p->n_params++].n);
        }
        if (trained) p->n_trained = off;
    }
    for (size_t i = 0; i < f->n_states; i++) {
        c->slab[n + i] = p->n_params;
        fill_state(c, &p->params[p->n_params], &f->states[i]);
        p->params[p->n_params].off = off;
        off += padded(p->params[p->n_params++].n);
    }
    p->n_slab = off;
    return HONE_OK;
}

static int in_part(const struct cutter *c, size_t op)
{
    if (op >= c->n_judged) return 1; /* copy_boundary's */
    switch (c->l.opts->part) {
    case HN_PART_HEAD: return c->needed[op] && c->head[op];
    case HN_PART_BODY: return c->needed[op] && !c->head[op];
    default: return c->needed[op];
    }
}

static void keep(struct cutter *c, int32_t v)
{
    c->kept[v] = 1;
    if (c->l.values[v].view_of >= 0) c->kept[c->l.values[v].view_of] = 1;
}

static void find_kept(struct cutter *c)
{
    const struct hn_lowering *l = &c->l;
    enum hn_part part = l->opts->part;
    for (size_t i = 0; i < l->n_ops; i++) {
        if (!in_part(c, i)) continue;
        for (int k = 0; k < l->ops[i].n_in; k++)
            if (l->ops[i].in[k] >= 0) keep(c, l->ops[i].in[k]);
        for (int k = 0; k < l->ops[i].n_out; k++) keep(c, l->ops[i].out[k]);
    }
    for (int i = 0; i < c->n_outputs && part != HN_PART_HEAD; i++) keep(c, c->outputs[i]);
    for (int i = 0; i < c->n_boundary && part != HN_PART_ALL; i++) keep(c, c->boundary[i]);
    for (size_t v = 0; v < l->n_values; v++) {
        int input = l->values[v].kind == HN_INPUT && l->values[v].view_of < 0;
        if (input && (part != HN_PART_BODY || c->n_boundary < 0)) c->kept[v] = 1;
    }
}

static hone_status pack_value(struct cutter *c, size_t v)
{
    struct hn_program *p = c->p;
    struct hn_value_ref x = c->l.values[v];
    const struct hn_facts *f = c->l.g->facts;
    int owns = x.view_of < 0;
    if (!owns) x.view_of = c->place[x.view_of];
    if (x.kind == HN_PARAM) x.index = c->slab[x.index];
    if (x.kind == HN_STATE) x.index = c->slab[f->params.n_params + (size_t)x.index];
    if (x.kind == HN_CONST && owns) {
        p->const_off[p->n_consts] = p->n_const;
        p->n_const += padded((size_t)c->l.consts[x.index].n);
        ((struct hn_tensor *)p->consts)[p->n_consts] = c->l.consts[x.index];
        x.index = p->n_consts++;
    } else if (x.kind == HN_CONST) {
        x.index = p->values[x.view_of].index;
    }
    c->place[v] = p->n_values;
    p->values[p->n_values++] = x;
    return HONE_OK;
}

static hone_status pack_op(struct cutter *c, const struct hn_op *op)
{
    struct hn_program *p = c->p;
    struct hn_op *q = &p->ops[p->n_ops];
    int32_t *in = scratch(c, (size_t)op->n_in, sizeof *in),
            *out = scratch(c, (size_t)op->n_out, sizeof *out);
    if (!in || !out) return no_memory(c);
    *q = *op;
    q->in = in, q->out = out;
    for (int k = 0; k < op->n_in; k++) in[k] = op->in[k] >= 0 ? c->place[op->in[k]] : -1;
    for (int k = 0; k < op->n_out; k++) {
        out[k] = c->place[op->out[k]];
        p->values[out[k]].producer = p->n_ops;
    }
    p->n_losses += op->row->flags & HN_OP_LOSS ? 1 : 0;
    p->n_ops++;
    return HONE_OK;
}

/* Inputs, targets, outputs by number. */
static void name_ends(struct cutter *c)
{
    struct hn_program *p = c->p;
    const struct hn_lowering *l = &c->l;
    enum hn_part part = l->opts->part;
    int cut = part == HN_PART_BODY && c->n_boundary >= 0;
    for (size_t v = 0; v < l->n_values; v++) {
        const struct hn_value_ref *x = &l->values[v];
        if (x->view_of >= 0 || c->place[v] < 0) continue;
        if (x->kind == HN_TARGET) p->targets[p->n_targets++] = c->place[v];
        if (x->kind != HN_INPUT || cut) continue;
        p->inputs[p->n_inputs] = c->place[v];
        p->input_names[p->n_inputs++] = x->name;
    }
    for (int i = 0; cut && i < c->n_boundary; i++) {
        struct hn_value_ref *x = &p->values[c->place[c->boundary[i]]];
        x->kind = HN_INPUT, x->index = i, x->producer = -1;
        p->inputs[p->n_inputs] = c->place[c->boundary[i]];
        p->input_names[p->n_inputs++] = x->name;
    }
    for (int i = 0; part == HN_PART_HEAD && i < c->n_boundary; i++) {
        p->outputs[p->n_outputs] = c->place[c->boundary[i]];
        p->output_names[p->n_outputs++] = l->values[c->boundary[i]].name;
    }
    for (int i = 0; part != HN_PART_HEAD && i < c->n_outputs; i++) {
        p->outputs[p->n_outputs] = c->place[c->outputs[i]];
        p->output_names[p->n_outputs++] = c->output_names[i];
    }
}

static hone_status pack(struct cutter *c)
{
    struct hn_program *p = c->p;
    size_t nv = c->l.n_values;
    HN_TRY(lay_out_slab(c));
    c->kept = scratch(c, nv, 1);
    c->place = scratch(c, nv, sizeof *c->place);
    p->values = scratch(c, nv, sizeof *p->values);
    p->ops = scratch(c, c->l.n_ops, sizeof *p->ops);
    p->consts = scratch(c, c->l.n_consts, sizeof *p->consts);
    p->const_off = scratch(c, c->l.n_consts, sizeof *p->const_off);
    p->inputs = scratch(c, nv, sizeof *p->inputs);
    p->targets = scratch(c, nv, sizeof *p->targets);
    p->outputs = scratch(c, nv, sizeof *p->outputs);
    p->input_names = scratch(c, nv, sizeof *p->input_names);
    p->output_names = scratch(c, nv, sizeof *p->output_names);
    if (!c->kept || !c->place || !p->values || !p->ops || !p->consts || !p->const_off ||
        !p->inputs || !p->targets || !p->outputs || !p->input_names || !p->output_names)
        return no_memory(c);
    find_kept(c);
    for (size_t v = 0; v < nv; v++) {
        c->place[v] = -1;
        if (c->kept[v]) HN_TRY(pack_value(c, v));
    }
    for (size_t i = c->ahead; i < c->l.n_ops; i++) HN_TRY(pack_op(c, &c->l.ops[i]));
    for (size_t i = 0; i < c->ahead; i++)
        if (in_part(c, i)) HN_TRY(pack_op(c, &c->l.ops[i]));
    name_ends(c);
    return HONE_OK;
}

/* Head outputs must be results of ops: inputs the body reads as they are get a copy. */
static hone_status copy_boundary(struct cutter *c)
{
    for (int i = 0; i < c->n_boundary; i++) {
        if (c->l.values[c->boundary[i]].kind != HN_INPUT) continue;
        const char *name = c->l.values[c->boundary[i]].name;
        HN_TRY(hn_l_unary(&c->l, HN_U_COPY, 0, 0, c->boundary[i], &c->boundary[i]));
        c->l.values[c->boundary[i]].name = name;
    }
    return HONE_OK;
}

static hone_status draft(struct cutter *c)
{
    const struct hn_graph *g = c->l.g;
    c->l.map = hn_calloc(g->mem, g->n_values + 1, sizeof *c->l.map);
    c->l.param_map = hn_calloc(g->mem, g->facts->params.n_params + 1, sizeof *c->l.param_map);
    if (!c->l.map || !c->l.param_map) return no_memory(c);
    HN_TRY(hn_l_graph(&c->l));
    HN_TRY(hn_l_losses(&c->l));
    HN_TRY(find_outputs(c));
    HN_TRY(find_needed(c));
    if (c->l.opts->part != HN_PART_ALL) find_head(c);
    return c->l.opts->part != HN_PART_ALL ? find_boundary(c) : HONE_OK;
}

hone_status hn_lower(const struct hn_graph *g, const struct hn_lower_opts *opts,
                     struct hn_program **out, hone_error *err)
{
    *out = NULL;
    struct hn_program *p = hn_calloc(g->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "the program", sizeof *p);
    hn_arena_init(&p->arena, g->mem);
    p->dtype = g->dtype;
    struct cutter c = { .l = { .g = g, .opts = opts, .arena = &p->arena, .err = err, .node = -1 },
                        .p = p };
    hone_status st = draft(&c);
    int headless = st == HONE_OK && opts->part == HN_PART_HEAD && c.n_boundary < 0;
    if (st == HONE_OK && !headless) st = augment(&c);
    if (st == HONE_OK && opts->part == HN_PART_HEAD && !headless) st = copy_boundary(&c);
    if (opts->part == HN_PART_HEAD) c.ahead = c.l.n_ops;
    if (st == HONE_OK && !headless) st = pack(&c);
    hn_l_clear(&c.l);
    if (st == HONE_OK && !headless)
        *out = p;
    else
        hn_program_destroy(p, g->mem);
    return st;
}
