/* SPDX-License-Identifier: MIT
 *
 * Random multi-layer programs: dense layers with and without bias, transposed or not, normalisations, activations,
 * dropout, augmentation, embeddings, residual sums, ties, slices and concats, every loss, row weights. The number decides all. */
#ifndef HN_TEST_PROGRAMS_H
#define HN_TEST_PROGRAMS_H

#include "tests/math/build.h"

struct made { /* attributes must outlive the program */
    struct tb t;
    struct hn_dense dense[16];
    struct hn_unary unary[16];
    struct hn_batchnorm bn[16];
    struct hn_layernorm ln[16];
    struct hn_dropout drop[16];
    struct hn_binary add, mul;
    struct hn_slice slice;
    struct hn_concat concat;
    struct hn_softmax soft;
    struct hn_loss loss;
    struct hn_noise noise;
    struct hn_mixup mixup;
    struct hn_onehot onehot;
    struct hn_embedding table;
    struct hn_concat beside;
    int n_dense, n_unary, n_bn, n_ln, n_drop, classes, dropout;
    uint64_t state;
};

static inline int made_pick(struct made *m, int n)
{
    double u = (tb_random(&m->state) + 1) / 2;
    return (int)(u * n) % n;
}

static inline int made_dense(struct made *m, int x, int in, int out)
{
    struct tb *t = &m->t;
    struct hn_dense *a = &m->dense[m->n_dense++];
    *a = (struct hn_dense){ 1, 1, made_pick(m, 2) };
    int w =
        tb_param(t, a->trans_w ? tb_shape(2, out, in) : tb_shape(2, in, out), made_pick(m, 6) != 0);
    int b = made_pick(m, 4) ? tb_param(t, tb_shape(1, out), 1) : -1;
    return tb_op(t, &hn_op_dense, a, b >= 0 ? 3 : 2, (int[]){ x, w, b });
}

static inline int made_norm(struct made *m, int x, int width)
{
    struct tb *t = &m->t;
    int scale = tb_param(t, tb_shape(1, width), 1), bias = tb_param(t, tb_shape(1, width), 1);
    if (made_pick(m, 3) == 0) {
        struct hn_layernorm *a = &m->ln[m->n_ln++];
        *a = (struct hn_layernorm){ 1e-3, 1 };
        return tb_op(t, &hn_op_layernorm, a, 3, (int[]){ x, scale, bias });
    }
    struct hn_batchnorm *a = &m->bn[m->n_bn++];
    *a = (struct hn_batchnorm){ 1e-3, 0.9, made_pick(m, 6) == 0, 0 };
    int mean = tb_state(t, tb_shape(1, width)), var = tb_state(t, tb_shape(1, width));
    return tb_op(t, &hn_op_batchnorm, a, 5, (int[]){ x, scale, bias, mean, var });
}

static inline int made_unary(struct made *m, int x)
{
    static const struct hn_unary kinds[] = { { HN_U_RELU, 0, 0 },     { HN_U_TANH, 0, 0 },
                                             { HN_U_SIGMOID, 0, 0 },  { HN_U_GELU, 0, 0 },
                                             { HN_U_ELU, 1, 0 },      { HN_U_SILU, 0, 0 },
                                             { HN_U_SOFTPLUS, 0, 0 }, { HN_U_LEAKY_RELU, 0.1, 0 } };
    struct hn_unary *a = &m->unary[m->n_unary++];
    *a = kinds[made_pick(m, 8)];
    return tb_op(&m->t, &hn_op_unary, a, 1, &x);
}

static inline int made_dropout(struct made *m, int x)
{
    struct hn_dropout *a = &m->drop[m->n_drop++];
    *a = (struct hn_dropout){ 0.1 + 0.1 * made_pick(m, 5), HN_STREAM_DROPOUT + (uint32_t)m->n_drop,
                              0 };
    return tb_op(&m->t, &hn_op_dropout, a, 1, &x);
}

static inline int made_layer(struct made *m, int x, int width, int *out_width)
{
    struct tb *t = &m->t;
    int out = made_pick(m, 3) == 0 ? width : 3 + made_pick(m, 40), y = made_dense(m, x, width, out);
    if (made_pick(m, 2)) y = made_norm(m, y, out);
    y = made_unary(m, y);
    if (m->dropout && made_pick(m, 2)) y = made_dropout(m, y);
    if (out == width) y = tb_op(t, &hn_op_binary, &m->add, 2, (int[]){ y, x });
    if (made_pick(m, 5) == 0) { /* a gate: a row vector over the batch */
        int gate = tb_param(t, tb_shape(1, out), 1);
        y = tb_op(t, &hn_op_binary, &m->mul, 2, (int[]){ y, gate });
    }
    *out_width = out;
    return y;
}

static inline void made_loss(struct made *m, int y, int width)
{
    struct tb *t = &m->t;
    const struct hn_op_row *row = &hn_op_loss_regression;
    int kind = made_pick(m, 3), target, mixed = m->mixup.alpha > 0;
    m->loss = (struct hn_loss){ .weight = 1 };
    if (kind == 0) {
        row = &hn_op_loss_ce, m->classes = width;
        target = tb_target(t, tb_shape(1, TB_N));
        m->onehot.classes = width;
        if (mixed) target = tb_op(t, &hn_op_onehot, &m->onehot, 1, &target), m->loss.dense = 1;
    } else {
        if (kind == 1) row = &hn_op_loss_bce, m->loss.from_logits = 1;
        target = tb_target(t, tb_shape(2, TB_N, width));
    }
    if (mixed) target = tb_op(t, &hn_op_mixup, &m->mixup, 1, &target);
    tb_loss(t, row, &m->loss, y, target,
            made_pick(m, 3) == 0 && !mixed ? tb_target(t, tb_shape(1, TB_N)) : -1);
}

static inline struct made *made_program(uint64_t number, int dropout)
{
    struct made *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    m->state = number * 7919 + 11, m->dropout = dropout;
    for (int i = 0; i < 5; i++) tb_random(&m->state);
    m->add.kind = HN_B_ADD, m->mul.kind = HN_B_MUL;
    tb_init(&m->t);
    int width = 4 + made_pick(m, 30), layers = 1 + made_pick(m, 4);
    int x = tb_input(&m->t, tb_shape(2, TB_N, width)), y = x;
    if (number % 8 == 6) { /* indices from -6 to 6, and what is cut off of them */
        m->table.rows = 6 + made_pick(m, 3), m->beside.axis = 1;
        int e = tb_op(&m->t, &hn_op_embedding, &m->table, 2,
                      (int[]){ tb_input(&m->t, tb_shape(1, TB_N)),
                               tb_param(&m->t, tb_shape(2, (int)m->table.rows, 3), 1) });
        y = tb_op(&m->t, &hn_op_concat, &m->beside, 2, (int[]){ y, e });
        width += 3;
    }
    if (dropout && number % 4 == 3) {
        m->mixup.alpha = number % 8 == 3 ? 0.3 : 2;
        m->noise = (struct hn_noise){ 0.2, HN_STREAM_AUGMENT + 1 };
        y = tb_op(&m->t, &hn_op_mixup, &m->mixup, 1, &y);
        y = tb_op(&m->t, &hn_op_noise, &m->noise, 1, &y);
    }
    for (int i = 0; i < layers; i++) y = made_layer(m, y, width, &width);
    if (made_pick(m, 3) == 0 &&
        width > 4) { /* two halves, one behind the other, beside the whole */
        m->slice = (struct hn_slice){ 1, width - 1, width / 2, -1 }, m->concat.axis = 1;
        int s = tb_op(&m->t, &hn_op_slice, &m->slice, 1, &y);
        y = tb_op(&m->t, &hn_op_concat, &m->concat, 2, (int[]){ y, s });
        width += width / 2;
    }
    if (made_pick(m, 3) == 0) { /* one matrix used twice */
        struct hn_dense *a = &m->dense[m->n_dense++];
        *a = (struct hn_dense){ 1, 1, 0 };
        int w = tb_param(&m->t, tb_shape(2, width, width), 1);
        y = tb_op(&m->t, &hn_op_dense, a, 2, (int[]){ y, w });
        y = tb_op(&m->t, &hn_op_dense, a, 2, (int[]){ y, w });
    }
    int out = 2 + made_pick(m, 9);
    y = made_dense(m, y, width, out);
    tb_output(&m->t, y);
    made_loss(m, y, out);
    tb_finish(&m->t);
    return m;
}
static inline void made_free(struct made *m)
{
    tb_free(&m->t);
    free(m);
}
#endif
