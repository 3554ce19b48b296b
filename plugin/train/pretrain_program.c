/* SPDX-License-Identifier: MIT
 *
 * The autoencoder of a layer as a program: see pretrain.h. The values of the training program keep their numbers, new ones
 * follow; of its ops only the layer's and those in front of it are here. In front, BatchNormalization uses its running
 * statistics; Dropout and augmentation are nowhere: the noise is the autoencoder's own.
 *
 * Noise sets inputs to 0 and leaves the others as they are: a Dropout, and behind it the factor that undoes its scaling. */
#include "ops/base/status.h"
#include "plugin/train/pretrain.h"
#include <string.h>

enum { WEIGHT, BIAS, BACK, DROPPED, MASKED, N_NEW }; /* new values */
enum { PAD = 16 };

struct cutting {
    const struct hn_program *from;
    const struct hn_layer *layer;
    struct hn_program *p;
    struct hn_arena *a;
    int failed;
};

static void *room(struct cutting *c, size_t n, size_t size)
{
    void *p = hn_arena_alloc(c->a, n ? n : 1, size);
    if (!p) c->failed = 1;
    return p;
}

static void *copied(struct cutting *c, const void *from, size_t n, size_t size)
{
    void *p = room(c, n, size);
    if (p && n) memcpy(p, from, n * size);
    return p;
}

static int32_t fresh(const struct cutting *c, int which) { return c->from->n_values + which; }

/* ---- values and parameters --------------------------------------------------------------------------------------------- */

static void add_value(struct cutting *c, int which, enum hn_kind kind, const char *name,
                      const struct hn_shape *shape, int32_t index)
{
    c->p->values[fresh(c, which)] = (struct hn_value_ref){
        .kind = kind, .name = name, .shape = *shape, .index = index, .view_of = -1, .producer = -1
    };
}

static void make_values(struct cutting *c, int noise)
{
    const struct hn_program *from = c->from;
    const struct hn_layer *l = c->layer;
    const size_t n = (size_t)from->n_values + (noise ? N_NEW : DROPPED);
    c->p->values = room(c, n, sizeof *c->p->values);
    c->p->n_values = (int)n;
    if (c->failed) return;
    memcpy(c->p->values, from->values, (size_t)from->n_values * sizeof *from->values);
    for (int32_t i = 0; i < from->n_values; i++) c->p->values[i].producer = -1;
    const struct hn_shape *x = &from->values[l->input].shape,
                          w = { .rank = 2, .d = { { 0, l->units }, { 0, l->in } } },
                          b = { .rank = 1, .d = { { 0, l->in } } };
    add_value(c, WEIGHT, HN_PARAM, "decoder.weight", &w, from->n_params);
    add_value(c, BIAS, HN_PARAM, "decoder.bias", &b, from->n_params + 1);
    add_value(c, BACK, HN_ACT, "restored", x, 0);
    if (!noise) return;
    add_value(c, DROPPED, HN_ACT, "noise", x, 0);
    add_value(c, MASKED, HN_ACT, "disturbed", x, 0);
}

static void place(struct hn_program *p, uint32_t flag, uint32_t without, size_t *off)
{
    for (int32_t i = 0; i < p->n_params; i++) {
        struct hn_param *q = &p->params[i];
        if (!(q->flags & flag) == !!flag || (q->flags & without)) continue;
        q->off = *off;
        *off += (q->n + PAD - 1) / PAD * PAD;
    }
}

static void make_params(struct cutting *c)
{
    struct hn_program *p = c->p;
    const struct hn_layer *l = c->layer;
    const int n = c->from->n_params;
    size_t off = 0;
    p->params = room(c, (size_t)n + 2, sizeof *p->params);
    if (c->failed) return;
    memcpy(p->params, c->from->params, (size_t)n * sizeof *p->params);
    for (int i = 0; i < n; i++)
        if (!l->learns[i]) p->params[i].flags &= ~(uint32_t)HN_PARAM_TRAINED;
    struct hn_param one = { .flags = HN_PARAM_TRAINED, .lr_mult = 1, .tensor_id = -1, .feeds = -1 };
    one.decay_mult = 1;
    struct hn_param *w = &p->params[n], *b = w + 1;
    *w = *b = one;
    w->name = "decoder.weight", w->n = (size_t)(l->units * l->in), w->rank = 2;
    w->dims[0] = l->units, w->dims[1] = l->in;
    w->fan_in = (double)l->units, w->fan_out = (double)l->in;
    b->name = "decoder.bias", b->n = (size_t)l->in, b->rank = 1, b->dims[0] = l->in;
    b->flags |= HN_PARAM_BIAS;
    p->n_params = n + 2;
    place(p, HN_PARAM_TRAINED, 0, &off);
    p->n_trained = off;
    place(p, 0, HN_PARAM_TRAINED | HN_PARAM_STATE, &off);
    place(p, HN_PARAM_STATE, 0, &off);
    p->n_slab = off;
}

/* ---- ops --------------------------------------------------------------------------------------------------------------- */

struct made {
    const struct hn_op_row *row;
    const void *attrs;
    int32_t in[3];
    int n_in;
    int32_t out; /* -1: none */
};

static void add_op(struct cutting *c, const struct made *m)
{
    struct hn_program *p = c->p;
    int32_t *in = copied(c, m->in, (size_t)m->n_in, sizeof *in);
    int32_t *out = copied(c, &m->out, 1, sizeof *out);
    const void *attrs = copied(c, m->attrs, 1, m->row->attrs_size);
    if (c->failed) return;
    if (m->out >= 0) p->values[m->out].producer = p->n_ops;
    p->ops[p->n_ops++] = (struct hn_op){ .row = m->row,
                                         .attrs = attrs,
                                         .n_in = m->n_in,
                                         .n_out = m->out >= 0,
                                         .in = in,
                                         .out = out,
                                         .name = c->layer->name,
                                         .node = -1 };
}

static void add_noise(struct cutting *c, double noise)
{
    const struct hn_dropout drop = { .rate = noise, .stream = HN_STREAM_DROPOUT, .fixed = 1 };
    const struct hn_unary back = { .kind = HN_U_AFFINE, .a = 1 - noise, .b = 0 };
    add_op(c, &(struct made){
                  &hn_op_dropout, &drop, { c->layer->input }, 1, .out = fresh(c, DROPPED) });
    add_op(c, &(struct made){
                  &hn_op_unary, &back, { fresh(c, DROPPED) }, 1, .out = fresh(c, MASKED) });
}

static void add_decoder(struct cutting *c)
{
    const struct hn_dense dense = { 1, 1, 0 };
    const struct hn_loss mse = { .weight = 1, .dense = 1 };
    const struct hn_layer *l = c->layer;
    add_op(c, &(struct made){ &hn_op_dense,
                              &dense,
                              { l->code, fresh(c, WEIGHT), fresh(c, BIAS) },
                              3,
                              .out = fresh(c, BACK) });
    add_op(c, &(struct made){
                  &hn_op_loss_regression, &mse, { fresh(c, BACK), l->input }, 2, .out = -1 });
    c->p->n_losses = 1;
}

static int is_chance(const struct hn_op *op)
{
    return op->row == &hn_op_dropout || op->row == &hn_op_noise || op->row == &hn_op_mixup;
}

static void take_op(struct cutting *c, int32_t i, int noise)
{
    struct hn_program *p = c->p;
    const struct hn_op *from = &c->from->ops[i];
    if (is_chance(from)) { /* what comes out is what goes in */
        p->values[from->out[0]].view_of = from->in[0];
        return;
    }
    struct hn_op *op = &p->ops[p->n_ops];
    *op = *from;
    if (i == c->layer->op && noise) {
        int32_t *in = copied(c, from->in, (size_t)from->n_in, sizeof *in);
        if (c->failed) return;
        in[0] = fresh(c, MASKED);
        op->in = in;
    }
    if (op->row == &hn_op_batchnorm && c->layer->part[i] == HN_LAYER_FRONT) {
        struct hn_batchnorm *bn = copied(c, from->attrs, 1, sizeof *bn);
        if (c->failed) return;
        bn->mode = 1;
        op->attrs = bn;
    }
    for (int k = 0; k < op->n_out; k++)
        if (op->out[k] >= 0) p->values[op->out[k]].producer = p->n_ops;
    p->n_ops++;
}

static void make_ops(struct cutting *c, double noise)
{
    c->p->ops = room(c, (size_t)c->from->n_ops + 4, sizeof *c->p->ops);
    for (int32_t i = 0; i < c->from->n_ops && !c->failed; i++) {
        if (i == c->layer->op && noise > 0) add_noise(c, noise);
        if (c->layer->part[i] != HN_LAYER_NOT) take_op(c, i, noise > 0);
    }
    if (!c->failed) add_decoder(c);
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

static void make(struct cutting *c, double noise)
{
    const struct hn_program *from = c->from;
    struct hn_program *p = c->p;
    p->dtype = from->dtype;
    p->n_consts = from->n_consts, p->n_const = from->n_const;
    p->n_inputs = from->n_inputs;
    p->consts = copied(c, from->consts, (size_t)from->n_consts, sizeof *p->consts);
    p->const_off = copied(c, from->const_off, (size_t)from->n_consts, sizeof *p->const_off);
    p->inputs = copied(c, from->inputs, (size_t)from->n_inputs, sizeof *p->inputs);
    p->input_names = copied(c, from->input_names, (size_t)from->n_inputs, sizeof *p->input_names);
    p->targets = room(c, 0, sizeof *p->targets);
    p->outputs = room(c, 0, sizeof *p->outputs);
    p->output_names = room(c, 0, sizeof *p->output_names);
    make_values(c, noise > 0);
    make_params(c);
    if (!c->failed) make_ops(c, noise);
}

hone_status hn_autoencoder(const struct hn_program *prog, const struct hn_layer *l, double noise,
                           struct hn_mem *m, struct hn_program **out, hone_error *err)
{
    *out = NULL;
    struct hn_program *p = hn_calloc(m, 1, sizeof *p);
    if (!p) return hn_nomem(err, "an autoencoder", sizeof *p);
    hn_arena_init(&p->arena, m);
    struct cutting c = { .from = prog, .layer = l, .p = p, .a = &p->arena };
    make(&c, noise);
    if (c.failed) {
        hn_program_destroy(p, m);
        return hn_nomem(err, "an autoencoder", (size_t)prog->n_values * sizeof *p->values);
    }
    *out = p;
    return HONE_OK;
}
