/* SPDX-License-Identifier: MIT
 *
 * Programs built by hand for tests: values and ops are appended, shapes come from the rows.
 *
 *     struct tb t;
 *     tb_init(&t);
 *     int x = tb_input(&t, tb_shape(2, TB_N, 4)), w = tb_param(&t, tb_shape(2, 4, 3), 1);
 *     int y = tb_op(&t, &hn_op_dense, &attrs, 2, (int[]){ x, w });
 *     tb_loss(&t, &hn_op_loss_regression, &mse, y, tb_target(&t, tb_shape(2, TB_N, 3)), -1);
 *     tb_finish(&t);  … t.p is the program …  tb_free(&t);
 *
 * Parameters get small reproducible values: tb_weights. */
#ifndef HN_TEST_BUILD_H
#define HN_TEST_BUILD_H

#include "ops/base/status.h"
#include "ops/math/op.h"
#include "tests/harness.h"
#include <stdarg.h>

enum { TB_VALUES = 256, TB_OPS = 128, TB_PARAMS = 96, TB_LIST = 16, TB_N = -1 };

struct tb {
    struct hn_mem mem;
    struct hn_program p;
    struct hn_value_ref values[TB_VALUES];
    struct hn_op ops[TB_OPS];
    struct hn_param params[TB_PARAMS];
    struct hn_tensor consts[TB_LIST];
    size_t const_off[TB_LIST];
    int32_t inputs[TB_LIST], targets[TB_LIST], outputs[TB_LIST];
    struct hn_arena names;
};

static inline struct hn_shape tb_shape(int rank, ...)
{
    struct hn_shape s = { .rank = rank };
    va_list ap;
    va_start(ap, rank);
    for (int i = 0; i < rank; i++) {
        int d = va_arg(ap, int);
        s.d[i] = d == TB_N ? (struct hn_dim){ 1, 0 } : (struct hn_dim){ 0, d };
    }
    va_end(ap);
    return s;
}

static inline void tb_init(struct tb *t)
{
    memset(t, 0, sizeof *t);
    hn_mem_init(&t->mem, 0);
    hn_arena_init(&t->names, &t->mem);
    t->p.dtype = HN_F64;
    t->p.values = t->values, t->p.ops = t->ops, t->p.params = t->params;
    t->p.consts = t->consts, t->p.const_off = t->const_off;
    t->p.inputs = t->inputs, t->p.targets = t->targets, t->p.outputs = t->outputs;
}
static inline void tb_free(struct tb *t) { hn_arena_clear(&t->names); }

static inline int tb_value(struct tb *t, enum hn_kind kind, struct hn_shape shape, int index)
{
    int v = t->p.n_values++;
    ck_assert_int_lt(v, TB_VALUES);
    t->values[v] =
        (struct hn_value_ref){ kind, hn_arena_printf(&t->names, "v%d", v), shape, index, -1, -1 };
    return v;
}
static inline int tb_input(struct tb *t, struct hn_shape s)
{
    int v = tb_value(t, HN_INPUT, s, t->p.n_inputs);
    t->inputs[t->p.n_inputs++] = v;
    return v;
}
static inline int tb_target(struct tb *t, struct hn_shape s)
{
    int v = tb_value(t, HN_TARGET, s, t->p.n_targets);
    t->targets[t->p.n_targets++] = v;
    return v;
}
static inline int tb_output(struct tb *t, int v)
{
    t->outputs[t->p.n_outputs++] = v;
    return v;
}
static inline int tb_slab(struct tb *t, enum hn_kind kind, struct hn_shape s, uint32_t flags)
{
    int i = t->p.n_params++, v = tb_value(t, kind, s, i);
    struct hn_dim n = hn_shape_count(&s);
    t->params[i] = (struct hn_param){ .name = t->values[v].name,
                                      .n = (size_t)n.fixed,
                                      .rank = s.rank,
                                      .flags = flags,
                                      .lr_mult = 1,
                                      .decay_mult = 1,
                                      .feeds = -1,
                                      .tensor_id = -1 };
    for (int k = 0; k < s.rank; k++) t->params[i].dims[k] = s.d[k].fixed;
    return v;
}
static inline int tb_param(struct tb *t, struct hn_shape s, int trained)
{
    return tb_slab(t, HN_PARAM, s, trained ? HN_PARAM_TRAINED : 0);
}
static inline int tb_state(struct tb *t, struct hn_shape s)
{
    return tb_slab(t, HN_STATE, s, HN_PARAM_STATE);
}
static inline int tb_const(struct tb *t, struct hn_shape s, const double *data)
{
    int i = t->p.n_consts++, v = tb_value(t, HN_CONST, s, i);
    t->consts[i] = (struct hn_tensor){
        .dtype = HN_F64, .rank = s.rank, .n = hn_shape_count(&s).fixed, .data = data
    };
    t->const_off[i] = t->p.n_const;
    t->p.n_const += ((size_t)t->consts[i].n + 15) / 16 * 16;
    return v;
}
static inline int tb_view(struct tb *t, int of, struct hn_shape s)
{
    int v = tb_value(t, t->values[of].kind, s, t->values[of].index);
    t->values[v].view_of = of;
    return v;
}

/* Appends an op with n_out outputs; returns the first one's value. */
static inline int tb_ops(struct tb *t, const struct hn_op_row *row, const void *attrs, int n_in,
                         const int *in, int n_out)
{
    hone_error err = { 0 };
    struct hn_shape xs[48] = { 0 }, ys[4] = { 0 };
    int i = t->p.n_ops++;
    ck_assert_int_lt(i, TB_OPS);
    int32_t *ins = hn_arena_alloc(&t->names, (size_t)(n_in + n_out) + 1, sizeof *ins),
            *outs = ins + n_in;
    for (int k = 0; k < n_in; k++) {
        ins[k] = in[k];
        xs[k] = in[k] >= 0 ? t->values[in[k]].shape : (struct hn_shape){ .rank = -1 };
    }
    t->ops[i] = (struct hn_op){
        row, attrs, n_in, n_out, ins, outs, hn_arena_printf(&t->names, "%s%d", row->name, i), i
    };
    HN_OK(row->shape(&t->ops[i], xs, ys, t->ops[i].name, &err), err);
    for (int k = 0; k < n_out; k++) {
        outs[k] = tb_value(t, HN_ACT, ys[k], -1);
        t->values[outs[k]].producer = i;
    }
    return n_out ? outs[0] : -1;
}
static inline int tb_op(struct tb *t, const struct hn_op_row *row, const void *attrs, int n_in,
                        const int *in)
{
    return tb_ops(t, row, attrs, n_in, in, 1);
}
static inline void tb_loss(struct tb *t, const struct hn_op_row *row, const struct hn_loss *a,
                           int pred, int target, int w)
{
    tb_ops(t, row, a, w >= 0 ? 3 : 2, (int[]){ pred, target, w }, 0);
    t->p.n_losses++;
}

/* Lays out slab W: trained, frozen, state. */
static inline void tb_finish(struct tb *t)
{
    size_t at = 0;
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < t->p.n_params; i++) {
            uint32_t f = t->params[i].flags;
            int which = f & HN_PARAM_TRAINED ? 0 : f & HN_PARAM_STATE ? 2 : 1;
            if (which != part) continue;
            t->params[i].off = at;
            at += (t->params[i].n + 15) / 16 * 16;
        }
        if (part == 0) t->p.n_trained = at;
    }
    t->p.n_slab = at;
}

static inline double tb_random(uint64_t *s) /* in [-1, 1) */
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) / 4503599627370496.0 - 1;
}
/* Values of slab W; the variances of states (the second of two) are positive, as all state here is. */
static inline void tb_weights(const struct tb *t, double *w, uint64_t seed)
{
    memset(w, 0, t->p.n_slab * sizeof *w);
    for (int i = 0; i < t->p.n_params; i++)
        for (size_t k = 0; k < t->params[i].n; k++) {
            double v = tb_random(&seed);
            w[t->params[i].off + k] =
                t->params[i].flags & HN_PARAM_STATE ? 0.75 + 0.5 * v : 0.7 * v;
        }
}
#endif
