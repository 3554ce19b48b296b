/* SPDX-License-Identifier: MIT
 *
 * hn_lower: a draft of the whole graph, cut into the part that was asked for (cutter.h) and packed as an immutable program.
 *
 * Slab W: trained parameters, frozen parameters, states, in the graph's order, each padded to 16 elements; the layout
 * does not depend on the part. Parameters that no loss reaches lie among the frozen ones. */
#include "ops/graph/cutter.h"

#include <string.h>

/* An op that copies, where an output is no result of an op: a graph input passed through, a constant. */
static hone_status own_output(struct hn_cutter *c, int32_t *v)
{
    struct hn_lowering *l = &c->l;
    if (l->values[hn_cut_root(c, *v)].kind == HN_ACT) return HONE_OK;
    return hn_l_unary(l, HN_U_COPY, 0, 0, *v, v);
}

static hone_status add_output(struct hn_cutter *c, int32_t value)
{
    int32_t v;
    HN_TRY(hn_l_value(&c->l, value, &v));
    HN_TRY(own_output(c, &v));
    c->output_names[c->n_outputs] = c->l.g->values[value].name;
    c->outputs[c->n_outputs++] = v;
    return HONE_OK;
}

/* The values that label outputs are chosen by, where they are no outputs themselves. */
static hone_status add_scores(struct hn_cutter *c)
{
    const struct hn_graph *g = c->l.g;
    for (size_t i = 0; i < g->n_outputs; i++) {
        int axis, have = 0;
        const int32_t v = hn_graph_scores(g, g->outputs[i], &axis);
        if (v < 0 || !g->facts->values[g->outputs[i]].computable) continue;
        for (int k = 0; k < c->n_outputs; k++)
            have |= strcmp(c->output_names[k], g->values[v].name) == 0;
        if (!have) HN_TRY(add_output(c, v));
    }
    return HONE_OK;
}

static hone_status find_outputs(struct hn_cutter *c)
{
    const struct hn_graph *g = c->l.g;
    struct hn_output_info info;
    int discrete = c->l.opts->labels;
    c->outputs = hn_cut_alloc(c, 2 * g->n_outputs, sizeof *c->outputs);
    c->output_names = hn_cut_alloc(c, 2 * g->n_outputs, sizeof *c->output_names);
    if (!c->outputs || !c->output_names) return hn_cut_nomem(c);
    for (; discrete < 2 && !c->n_outputs; discrete++)
        for (size_t i = 0; i < g->n_outputs; i++) {
            hn_graph_output(g, i, &info);
            if (info.computable && (discrete || !info.discrete))
                HN_TRY(add_output(c, g->outputs[i]));
        }
    if (c->l.opts->scores) HN_TRY(add_scores(c));
    if (c->n_outputs == 0)
        return hn_fail(c->l.err, HONE_E_UNSUPPORTED, g->name,
                       "no output of the model can be computed");
    return HONE_OK;
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

static size_t padded(size_t n) { return (n + 15) / 16 * 16; }

/* It could learn, and does. */
static int trains(const struct hn_cutter *c, int32_t param)
{
    return hn_cut_learns(c, param) && !c->idle[param];
}

static void fill_param(struct hn_cutter *c, struct hn_param *q, int32_t param)
{
    const struct hn_graph *g = c->l.g;
    const struct hn_param_info *info = &g->facts->info[param];
    const struct hn_gparam *known = &g->facts->params.params[param];
    const struct hn_value *v = &g->values[known->value];
    *q = (struct hn_param){ .name = v->name,
                            .rank = v->constant->rank,
                            .lr_mult = 1,
                            .decay_mult = 1,
                            .fan_in = info->fan_in,
                            .fan_out = info->fan_out,
                            .start = info->start,
                            .feeds = info->feeds,
                            .tensor_id = v->tensor_id,
                            .init = v->constant,
                            .stored = info->stored,
                            .still = known->kept ? known->kept : known->padding,
                            .kept = known->kept > 0,
                            .n = (size_t)v->constant->n };
    memcpy(q->dims, v->constant->dims, sizeof q->dims);
    q->flags = (trains(c, param) ? HN_PARAM_TRAINED : 0) |
               (hn_cut_learns(c, param) && !trains(c, param) ? HN_PARAM_IDLE : 0) |
               (info->slot == HN_SLOT_BIAS ? HN_PARAM_BIAS : 0) |
               (info->slot == HN_SLOT_NORM ? HN_PARAM_NORM : 0) |
               (info->starts == 1 ? HN_PARAM_STARTS : 0);
}

static void fill_state(const struct hn_cutter *c, struct hn_param *q, const struct hn_state *s)
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

static hone_status lay_out_slab(struct hn_cutter *c)
{
    const struct hn_facts *f = c->l.g->facts;
    struct hn_program *p = c->p;
    size_t n = f->params.n_params, off = 0;
    p->params = hn_cut_alloc(c, n + f->n_states, sizeof *p->params);
    c->slab = hn_cut_alloc(c, n + f->n_states, sizeof *c->slab);
    if (!p->params || !c->slab) return hn_cut_nomem(c);
    for (int trained = 1; trained >= 0; trained--) {
        for (size_t i = 0; i < n; i++) {
            if (trains(c, (int32_t)i) != trained) continue;
            c->slab[i] = p->n_params;
            fill_param(c, &p->params[p->n_params], (int32_t)i);
            p->params[p->n_params].off = off;
            off += padded(p->params[p->n_params++].n);
        }
        if (trained) p->n_trained = off;
    }
    for (size_t i = 0; i < f->n_states; i++) {
        c->slab[n + i] = c->slab[n + (size_t)f->states[i].first];
        if ((size_t)f->states[i].first < i) continue;
        c->slab[n + i] = p->n_params;
        fill_state(c, &p->params[p->n_params], &f->states[i]);
        if (c->idle[n + i]) p->params[p->n_params].flags |= HN_PARAM_IDLE;
        p->params[p->n_params].off = off;
        off += padded(p->params[p->n_params++].n);
    }
    p->n_slab = off;
    return HONE_OK;
}

static void keep(struct hn_cutter *c, int32_t v)
{
    c->kept[v] = 1;
    if (c->l.values[v].view_of >= 0) c->kept[c->l.values[v].view_of] = 1;
}

static void find_kept(struct hn_cutter *c)
{
    const struct hn_lowering *l = &c->l;
    enum hn_part part = l->opts->part;
    for (size_t i = 0; i < l->n_ops; i++) {
        if (!hn_cut_takes(c, i)) continue;
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

static hone_status pack_value(struct hn_cutter *c, size_t v)
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

static hone_status pack_op(struct hn_cutter *c, const struct hn_op *op)
{
    struct hn_program *p = c->p;
    struct hn_op *q = &p->ops[p->n_ops];
    int32_t *in = hn_cut_alloc(c, (size_t)op->n_in, sizeof *in),
            *out = hn_cut_alloc(c, (size_t)op->n_out, sizeof *out);
    if (!in || !out) return hn_cut_nomem(c);
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

/* Augmentation of what op `op` makes; of what the part begins with: -1. */
static hone_status pack_behind(struct hn_cutter *c, int32_t op)
{
    for (size_t i = c->ahead; i < c->l.n_ops; i++)
        if (hn_cut_behind(c, i) == op) HN_TRY(pack_op(c, &c->l.ops[i]));
    return HONE_OK;
}

/* Inputs, targets, outputs by number. */
static void name_ends(struct hn_cutter *c)
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

static hone_status pack(struct hn_cutter *c)
{
    struct hn_program *p = c->p;
    size_t nv = c->l.n_values;
    HN_TRY(lay_out_slab(c));
    c->kept = hn_cut_alloc(c, nv, 1);
    c->place = hn_cut_alloc(c, nv, sizeof *c->place);
    p->values = hn_cut_alloc(c, nv, sizeof *p->values);
    p->ops = hn_cut_alloc(c, c->l.n_ops, sizeof *p->ops);
    p->consts = hn_cut_alloc(c, c->l.n_consts, sizeof *p->consts);
    p->const_off = hn_cut_alloc(c, c->l.n_consts, sizeof *p->const_off);
    p->inputs = hn_cut_alloc(c, nv, sizeof *p->inputs);
    p->targets = hn_cut_alloc(c, nv, sizeof *p->targets);
    p->outputs = hn_cut_alloc(c, nv, sizeof *p->outputs);
    p->input_names = hn_cut_alloc(c, nv, sizeof *p->input_names);
    p->output_names = hn_cut_alloc(c, nv, sizeof *p->output_names);
    if (!c->kept || !c->place || !p->values || !p->ops || !p->consts || !p->const_off ||
        !p->inputs || !p->targets || !p->outputs || !p->input_names || !p->output_names)
        return hn_cut_nomem(c);
    find_kept(c);
    for (size_t v = 0; v < nv; v++) {
        c->place[v] = -1;
        if (c->kept[v]) HN_TRY(pack_value(c, v));
    }
    HN_TRY(pack_behind(c, -1));
    for (size_t i = 0; i < c->ahead; i++) {
        if (!hn_cut_takes(c, i)) continue;
        HN_TRY(pack_op(c, &c->l.ops[i]));
        if (c->l.ops[i].row == &hn_op_embedding) HN_TRY(pack_behind(c, (int32_t)i));
    }
    name_ends(c);
    return HONE_OK;
}

/* Head outputs must be results of ops: inputs the body reads as they are get a copy. */
static hone_status copy_boundary(struct hn_cutter *c)
{
    for (int i = 0; i < c->n_boundary; i++) {
        if (c->l.values[c->boundary[i]].kind != HN_INPUT) continue;
        const char *name = c->l.values[c->boundary[i]].name;
        HN_TRY(hn_l_unary(&c->l, HN_U_COPY, 0, 0, c->boundary[i], &c->boundary[i]));
        c->l.values[c->boundary[i]].name = name;
    }
    return HONE_OK;
}

static hone_status draft(struct hn_cutter *c)
{
    const struct hn_graph *g = c->l.g;
    c->l.map = hn_calloc(g->mem, g->n_values + 1, sizeof *c->l.map);
    c->l.param_map = hn_calloc(g->mem, g->facts->params.n_params + 1, sizeof *c->l.param_map);
    if (!c->l.map || !c->l.param_map) return hn_cut_nomem(c);
    HN_TRY(hn_l_graph(&c->l));
    HN_TRY(hn_l_losses(&c->l));
    HN_TRY(find_outputs(c));
    HN_TRY(hn_cut_needed(c));
    HN_TRY(hn_cut_reach(c));
    if (c->l.opts->part != HN_PART_ALL) hn_cut_head(c);
    return c->l.opts->part != HN_PART_ALL ? hn_cut_boundary(c) : HONE_OK;
}

hone_status hn_lower(const struct hn_graph *g, const struct hn_lower_opts *opts,
                     struct hn_program **out, hone_error *err)
{
    *out = NULL;
    struct hn_program *p = hn_calloc(g->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "the program", sizeof *p);
    hn_arena_init(&p->arena, g->mem);
    p->dtype = g->dtype;
    struct hn_cutter c = {
        .l = { .g = g, .opts = opts, .arena = &p->arena, .err = err, .node = -1 }, .p = p
    };
    hone_status st = draft(&c);
    int headless = st == HONE_OK && opts->part == HN_PART_HEAD && c.n_boundary < 0;
    if (st == HONE_OK && !headless) st = hn_cut_augment(&c);
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
