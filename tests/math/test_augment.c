/* SPDX-License-Identifier: MIT
 *
 * Augmentation: the numbers of noise and the shares of mixup have the distributions they claim, every batch others; rows are mixed in
 * pairs; a loss of mixed targets is the mixed loss; nothing happens where nothing is trained. */
#include "ops/math/op.h"
#include "tests/harness.h"
#include <math.h>

enum { ROWS = 512, COLS = 256, MOST = ROWS * COLS };
static double x[MOST], y[MOST], z[MOST];

struct ask {
    const struct hn_op_row *row;
    const void *attrs;
    double rate;
    int64_t rows, cols;
    uint64_t batch;
    uint32_t key;
    int off, backward;
};

static void apply(const struct ask *a, const double *from, double *to)
{
    struct hn_op op = { a->row, a->attrs, 1, 1, (const int32_t[]){ 0 }, (const int32_t[]){ 1 },
                        "a",    0 };
    struct hn_extent e = { 2, { a->rows, a->cols } };
    void *in[1] = { (void *)(uintptr_t)from }, *out[1] = { to };
    const uint32_t key[2] = { a->key, 17 };
    struct hn_call c = { .op = &op,
                         .xs = &e,
                         .ys = &e,
                         .x = in,
                         .y = out,
                         .dx = out,
                         .dy = in,
                         .rows = a->rows,
                         .train = !a->off,
                         .rate = a->rate,
                         .key = key,
                         .batch = a->batch };
    (a->backward ? a->row->backward : a->row->forward)(&c);
}

static double correlation(const double *a, const double *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

/* Moments within 5 standard errors of those of the normal distribution; shares of the tails; neighbours do not go together. */
START_TEST(noise_is_normal)
{
    const struct hn_noise attrs = { 0, HN_STREAM_AUGMENT + 1 };
    struct ask a = { &hn_op_noise, &attrs, 2, ROWS, COLS, 1, 5, 0, 0 };
    const double n = MOST;
    double one = 0, two = 0, three = 0, four = 0, far = 0;
    memset(x, 0, sizeof x);
    apply(&a, x, y);
    for (int i = 0; i < MOST; i++) {
        const double v = y[i] / 2;
        one += v, two += v * v, three += v * v * v, four += v * v * v * v, far += fabs(v) > 1.96;
    }
    ck_assert_double_le(fabs(one / n), 5 / sqrt(n));
    ck_assert_double_le(fabs(two / n - 1), 5 * sqrt(2 / n));
    ck_assert_double_le(fabs(three / n), 5 * sqrt(15 / n));
    ck_assert_double_le(fabs(four / n - 3), 5 * sqrt(96 / n));
    ck_assert_double_le(fabs(far / n - 0.05), 5 * sqrt(0.05 * 0.95 / n));
    for (int i = 1; i < 5;
         i++) { /* columns side by side; the rows of a block, and of the next one */
        ck_assert_double_le(fabs(correlation(y, y + i, MOST - i)), 5 / sqrt(n));
        ck_assert_double_le(fabs(correlation(y, y + i * COLS, MOST - i * COLS)), 5 / sqrt(n));
    }
    a.batch = 2;
    apply(&a, x, z);
    ck_assert_double_le(fabs(correlation(y, z, MOST)), 5 / sqrt(n));
    a.batch = 1, a.key = 6;
    apply(&a, x, z);
    ck_assert_double_le(fabs(correlation(y, z, MOST)), 5 / sqrt(n));
    a.key = 5, a.rows = 7; /* a shorter batch has the first rows of a longer one */
    apply(&a, x, z);
    ck_assert_mem_eq(y, z, 7 * COLS * sizeof *y);
}
END_TEST

/* Beta(alpha, alpha): variance 1 / (4 (2 alpha + 1)), fourth moment around 1/2 3 / (16 (2 alpha + 1) (2 alpha + 3)). */
START_TEST(shares_are_of_a_beta_distribution)
{
    static const double alphas[] = { 0.01, 0.2, 0.5, 0.50001, 0.7, 1, 4, 100 };
    const double alpha = alphas[_i], n = 200000;
    double one = 0, two = 0, four = 0, eight = 0;
    for (uint64_t b = 0; b < 200000; b++) {
        const double s = hn_mixup_share(alpha, b, (const uint32_t[]){ 3, 4 }), d = s - 0.5;
        ck_assert(s >= 0 && s <= 1);
        one += d, two += d * d, four += d * d * d * d, eight += pow(d, 8);
    }
    const double var = 1 / (4 * (2 * alpha + 1)),
                 fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3));
    ck_assert_double_le(fabs(one / n), 5 * sqrt(var / n));
    ck_assert_double_le(fabs(two / n - var), 5 * sqrt((fourth - var * var) / n) + 1e-12);
    ck_assert_double_le(fabs(four / n - fourth),
                        5 * sqrt(fabs(eight / n - fourth * fourth) / n) + 1e-12);
}
END_TEST

START_TEST(rows_are_mixed_in_pairs)
{
    static const int64_t sizes[] = { 1, 2, 3, 8, 33 };
    const struct hn_mixup attrs = { 0.4 };
    for (int k = 0; k < 5; k++) {
        const int64_t rows = sizes[k], cols = 5;
        struct ask a = { &hn_op_mixup, &attrs, 0.4, rows, cols, 9, 5, 0, 0 };
        const double s = hn_mixup_share(0.4, 9, (const uint32_t[]){ 5, 17 });
        for (int64_t i = 0; i < rows * cols; i++) x[i] = sin((double)(i + 1));
        apply(&a, x, y);
        for (int64_t i = 0; i < rows * cols; i++) {
            const int64_t j = (rows - 1 - i / cols) * cols + i % cols;
            ck_assert_double_eq_tol(y[i], s * x[i] + (1 - s) * x[j], 1e-15);
        }
        a.backward = 1; /* the same map */
        apply(&a, x, z);
        ck_assert_mem_eq(y, z, (size_t)(rows * cols) * sizeof *y);
        a.backward = 0, a.off = 1;
        apply(&a, x, z);
        ck_assert_mem_eq(x, z, (size_t)(rows * cols) * sizeof *x);
        a.off = 0;
        apply(&a, x, x); /* in place */
        ck_assert_mem_eq(x, y, (size_t)(rows * cols) * sizeof *x);
    }
}
END_TEST

static double cross_entropy(const double *logits, const double *target, int dense, int64_t rows,
                            int64_t classes)
{
    const struct hn_loss attrs = { .weight = 1, .dense = dense };
    struct hn_op op = { &hn_op_loss_ce,         &attrs, 2, 0, (const int32_t[]){ 0, 1 },
                        (const int32_t[]){ 0 }, "ce",   0 };
    const struct hn_extent e[2] = { { 2, { rows, classes } },
                                    { dense ? 2 : 1, { rows, classes } } };
    static double lse[64];
    double loss[2] = { 0, 0 };
    void *in[2] = { (void *)(uintptr_t)logits, (void *)(uintptr_t)target }, *save[1] = { lse };
    const struct hn_call c = {
        .op = &op, .xs = e, .x = in, .save = save, .rows = rows, .train = 1, .loss = loss
    };
    hn_op_loss_ce.forward(&c);
    return loss[0] / loss[1];
}

/* The cross-entropy of mixed rows of zeros and ones is that of the classes, mixed: what mixup's authors do with indices. */
START_TEST(mixed_targets_are_a_mixed_loss)
{
    enum { N = 11, C = 4 };
    const struct hn_mixup mixup = { 1 };
    const struct hn_onehot onehot = { C };
    double logits[N * C], one[N], other[N];
    const double s = hn_mixup_share(1, 3, (const uint32_t[]){ 5, 17 });
    for (int i = 0; i < N * C; i++) logits[i] = cos(1.7 * i);
    for (int i = 0; i < N; i++) one[i] = other[N - 1 - i] = i * 7 % C;
    struct ask a = { &hn_op_onehot, &onehot, 0, N, 1, 3, 5, 0, 0 };
    apply(&a, one, y);
    for (int i = 0; i < N * C; i++) ck_assert(y[i] == (one[i / C] == i % C));
    a = (struct ask){ &hn_op_mixup, &mixup, 1, N, C, 3, 5, 0, 0 };
    apply(&a, y, y);
    ck_assert_double_eq_tol(cross_entropy(logits, y, 1, N, C),
                            s * cross_entropy(logits, one, 0, N, C) +
                                (1 - s) * cross_entropy(logits, other, 0, N, C),
                            1e-14);
}
END_TEST

HN_TEST_MAIN("augment", {
    tcase_add_test(tc, noise_is_normal);
    tcase_add_loop_test(tc, shares_are_of_a_beta_distribution, 0, 8);
    tcase_add_test(tc, rows_are_mixed_in_pairs);
    tcase_add_test(tc, mixed_targets_are_a_mixed_loss);
})
