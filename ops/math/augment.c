/* SPDX-License-Identifier: MIT
 *
 * Augmentation: what training does to a batch on its way in (HN_PASS_TRAIN and GRAD; else y = x).
 *   noise   y[r,c] = x[r,c] + std n(r,c), n standard normal: hn_normal_pair of the words of Philox(counter = {c, r / 4,
 *           (uint32_t)batch, stream}, key); words 0, 1 make rows 0 and 1 of the four, words 2, 3 the others
 *   mixup   y[r] = s x[r] + (1 - s) x[N - 1 - r], one s ~ Beta(alpha, alpha) a batch, the same for inputs and targets (Zhang, Cisse,
 *           Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018). Rows come shuffled, so that a row's
 *           partner in the reversed batch is any row
 *   onehot  class indices, taken towards zero, as rows of zeros with a one: targets that can be mixed */
#include "ops/base/chance.h"
#include "ops/math/row.h"
#include <string.h>

static int leads_with_rows(const struct hn_shape *s)
{
    return s->rank > 0 && s->d[0].per_row == 1 && s->d[0].fixed == 0;
}

static hone_status batch_shape(const char *what, const struct hn_shape *x, const char *where,
                               hone_error *err)
{
    char text[128];
    if (leads_with_rows(x)) return HONE_OK;
    return hn_fail(err, HONE_E_MODEL, where,
                   "%s: the shape is %s, wanted one row for each of the batch's", what,
                   hn_shape_text(x, text, sizeof text));
}

static void no_need(const struct hn_op *op, const struct hn_shape *xs, struct hn_need *need)
{
    (void)op, (void)xs, (void)need;
}

/* ---- noise ------------------------------------------------------------------------------------------------------- */

static hone_status noise_shape(const struct hn_op *op, const struct hn_shape *xs,
                               struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_noise *a = op->attrs;
    if (!(a->std >= 0 && a->std <= 1.7976931348623157e308))
        return hn_fail(err, HONE_E_USAGE, where,
                       "noise: the standard deviation is %g, wanted 0 or more", a->std);
    ys[0] = xs[0];
    return batch_shape("noise", &xs[0], where, err);
}

static void noise_forward(const struct hn_call *c)
{
    const struct hn_noise *a = c->op->attrs;
    const int64_t rows = c->xs[0].d[0], cols = hn_span(&c->xs[0], 1, c->xs[0].rank);
    const double *x = c->x[0];
    double *y = c->y[0];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++) {
            uint32_t w[4];
            double n[2] = { 0, 0 };
            if (c->train && c->rate > 0) {
                hn_philox((const uint32_t[]){ (uint32_t)k, (uint32_t)(r / 4), (uint32_t)c->batch,
                                              a->stream },
                          c->key, w);
                hn_normal_pair(w[r / 2 % 2 * 2], w[r / 2 % 2 * 2 + 1], n);
            }
            y[r * cols + k] = x[r * cols + k] + c->rate * n[r % 2];
        }
}

static void noise_backward(const struct hn_call *c)
{
    const int64_t n = hn_extent_numel(&c->xs[0]);
    const double *dy = c->dy[0];
    double *dx = c->dx[0];
    for (int64_t i = 0; dx && i < n; i++) dx[i] = (hn_adds(c, 0) ? dx[i] : 0) + (dy ? dy[i] : 0);
}

static const struct hn_noise little = { 0.1, HN_STREAM_AUGMENT + 1 },
                             much = { 3, HN_STREAM_AUGMENT + 2 },
                             silent = { 0, HN_STREAM_AUGMENT + 3 };
static const struct hn_sample noise_samples[] = {
    { "little", &little, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 1 },
    { "much", &much, 1, { HN_S2(HN_ROWS, HN_D(40)) }, { HN_ACT }, { 0 }, 1 },
    { "none", &silent, 1, { HN_S2(HN_ROWS, HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "inference", &much, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 0 },
    { "rank 1", &much, 1, { HN_S1(HN_ROWS) }, { HN_ACT }, { 0 }, 1 },
    { "rank 3", &much, 1, { HN_S3(HN_ROWS, HN_D(3), HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "of an input", &much, 1, { HN_S2(HN_ROWS, HN_D(9)) }, { HN_INPUT }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_noise = {
    .name = "noise",
    .flags = HN_OP_INPLACE | HN_OP_ROW_LOCAL | HN_OP_RANDOM,
    .attrs_size = sizeof(struct hn_noise),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = noise_shape,
    .need = no_need,
    .forward = noise_forward,
    .backward = noise_backward,
    .samples = noise_samples,
    .tolerance = 1e-5, /* of sines and logarithms in float, times std */
};

/* ---- mixup ------------------------------------------------------------------------------------------------------- */

static hone_status mixup_shape(const struct hn_op *op, const struct hn_shape *xs,
                               struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_mixup *a = op->attrs;
    if (!(a->alpha > 0 && a->alpha <= 1.7976931348623157e308))
        return hn_fail(err, HONE_E_USAGE, where, "mixup: alpha is %g, wanted more than 0",
                       a->alpha);
    ys[0] = xs[0];
    return batch_shape("mixup", &xs[0], where, err);
}

double hn_mixup_share(double alpha, uint64_t batch, const uint32_t key[2])
{
    for (uint32_t i = 0; i < HN_BETA_TRIES; i++) {
        uint32_t w[4];
        hn_philox((const uint32_t[]){ i, 0, (uint32_t)batch, HN_STREAM_AUGMENT }, key, w);
        const double s = hn_beta_try(alpha, w[0], w[1]);
        if (s >= 0) return s;
    }
    return 0.5;
}

/* Pairs of rows, each read before either is written: to may be from. Forward and backward are the same map. */
static void mix(const struct hn_call *c, double *to, const double *from, int add)
{
    const int64_t rows = c->xs[0].d[0], cols = hn_span(&c->xs[0], 1, c->xs[0].rank);
    const double s = c->train && c->rate > 0 ? hn_mixup_share(c->rate, c->batch, c->key) : 1;
    for (int64_t r = 0; to && r < (rows + 1) / 2; r++)
        for (int64_t k = 0; k < cols; k++) {
            const int64_t i = r * cols + k, j = (rows - 1 - r) * cols + k;
            const double a = from ? from[i] : 0, b = from ? from[j] : 0;
            if (i != j) to[j] = (add ? to[j] : 0) + s * b + (1 - s) * a;
            to[i] = (add ? to[i] : 0) + s * a + (1 - s) * b;
        }
}

static void mixup_forward(const struct hn_call *c) { mix(c, c->y[0], c->x[0], 0); }
static void mixup_backward(const struct hn_call *c) { mix(c, c->dx[0], c->dy[0], hn_adds(c, 0)); }

static const struct hn_mixup fifth = { 0.2 }, even = { 1 }, close = { 8 };
static const struct hn_sample mixup_samples[] = {
    { "alpha 0.2", &fifth, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 1 },
    { "alpha 1", &even, 1, { HN_S2(HN_ROWS, HN_D(33)) }, { HN_ACT }, { 0 }, 1 },
    { "alpha 8", &close, 1, { HN_S2(HN_ROWS, HN_D(4)) }, { HN_ACT }, { 0 }, 1 },
    { "inference", &even, 1, { HN_S2(HN_ROWS, HN_D(17)) }, { HN_ACT }, { 0 }, 0 },
    { "rank 1", &even, 1, { HN_S1(HN_ROWS) }, { HN_ACT }, { 0 }, 1 },
    { "rank 3", &even, 1, { HN_S3(HN_ROWS, HN_D(3), HN_D(5)) }, { HN_ACT }, { 0 }, 1 },
    { "of an input", &even, 1, { HN_S2(HN_ROWS, HN_D(9)) }, { HN_INPUT }, { 0 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_mixup = {
    .name = "mixup",
    .flags = HN_OP_INPLACE | HN_OP_RANDOM,
    .attrs_size = sizeof(struct hn_mixup),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = mixup_shape,
    .need = no_need,
    .forward = mixup_forward,
    .backward = mixup_backward,
    .samples = mixup_samples,
    .tolerance = 1e-5, /* of shares of two rows that may cancel out */
};

/* ---- onehot ------------------------------------------------------------------------------------------------------ */

static hone_status onehot_shape(const struct hn_op *op, const struct hn_shape *xs,
                                struct hn_shape *ys, const char *where, hone_error *err)
{
    const struct hn_onehot *a = op->attrs;
    if (a->classes < 1 || xs[0].rank >= HN_MAX_RANK)
        return hn_fail(err, HONE_E_MODEL, where,
                       "onehot: %lld classes of rank %d, wanted 1 or more of rank %d at most",
                       (long long)a->classes, xs[0].rank, HN_MAX_RANK - 1);
    ys[0] = xs[0];
    ys[0].d[ys[0].rank++] = (struct hn_dim){ 0, a->classes };
    return HONE_OK;
}

static void onehot_forward(const struct hn_call *c)
{
    const struct hn_onehot *a = c->op->attrs;
    const int64_t n = hn_extent_numel(&c->xs[0]);
    const double *x = c->x[0];
    double *y = c->y[0];
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < a->classes; k++)
            y[i * a->classes + k] = x[i] >= 0 && x[i] < (double)a->classes && (int64_t)x[i] == k;
}

static const struct hn_onehot three = { 3 }, one = { 1 }, many = { 20 };
static const struct hn_sample onehot_samples[] = {
    { "three classes", &three, 1, { HN_S1(HN_ROWS) }, { HN_INPUT }, { 2 }, 1 },
    { "one class", &one, 1, { HN_S1(HN_ROWS) }, { HN_INPUT }, { 4 }, 1 },
    { "many", &many, 1, { HN_S2(HN_ROWS, HN_D(3)) }, { HN_INPUT }, { 2 }, 1 },
    { "of a target", &three, 1, { HN_S2(HN_ROWS, HN_D(4)) }, { HN_TARGET }, { 2 }, 1 },
    { 0 },
};

const struct hn_op_row hn_op_onehot = {
    .name = "onehot",
    .flags = HN_OP_ROW_LOCAL | HN_OP_NO_GRAD,
    .attrs_size = sizeof(struct hn_onehot),
    .in_min = 1,
    .in_max = 1,
    .out_max = 1,
    .shape = onehot_shape,
    .need = no_need,
    .forward = onehot_forward,
    .samples = onehot_samples,
    .tolerance = 0,
};
