/* SPDX-License-Identifier: MIT
 *
 * Every sample of every program op: gradients against central differences in double, and the promises of a backward
 * (add or overwrite, NULL gradients, values it did not ask for, working in place). */
#include "tests/math/cases.h"

static const int64_t batches[] = { 1, 2, 3, 8, 17 };
enum { N_BATCHES = sizeof batches / sizeof *batches };
static const double tolerance = 1e-6;

/* The number whose gradient backward computes: the loss, or sum dy * y. */
static double objective(struct case_ *c)
{
    c->loss[0] = c->loss[1] = 0;
    c->row->forward(&c->call);
    if (c->row->flags & HN_OP_LOSS) {
        const struct hn_loss *a = c->op.attrs;
        return a->weight * c->loss[0] / c->loss[1];
    }
    const double *y = c->y[0], *dy = c->dy[0];
    double sum = 0;
    for (int64_t i = 0; i < hn_extent_numel(&c->ys[0]); i++) sum += dy[i] * y[i];
    return sum;
}

/* How far to both sides. A staircase rises by what a line would over one of its steps: that is what the gradient of
 * HN_OP_STRAIGHT is checked against. */
static double distance(const struct case_ *c, double at, int64_t k)
{
    if (!(c->row->flags & HN_OP_STRAIGHT)) return 1e-5 * fmax(1, fabs(at));
    ck_assert_ptr_eq(c->row, &hn_op_quantize);
    const struct hn_quantize *a = c->op.attrs;
    const int64_t n = hn_extent_numel(&c->xs[1]);
    int64_t inner = 1;
    for (int d = a->axis + 1; d < c->xs[0].rank; d++) inner *= c->xs[0].d[d];
    return ((const double *)c->x[1])[n == 1 ? 0 : k / inner % n];
}

/* Relative error of one element; *kink when the one-sided slopes differ. */
static double element_error(struct case_ *c, double *v, int64_t k, double analytic, int *kink)
{
    double keep = *v, h = distance(c, keep, k), mid = objective(c);
    *v = keep + h;
    double up = objective(c);
    *v = keep - h;
    double down = objective(c);
    *v = keep;
    double right = (up - mid) / h, left = (mid - down) / h, slope = (up - down) / (2 * h);
    *kink = fabs(right - left) > 2e-3 * fmax(1, fmax(fabs(right), fabs(left)));
    return fabs(slope - analytic) / fmax(1, fmax(fabs(slope), fabs(analytic)));
}

/* Is element k of input i in a row that gets no gradient, whatever the output makes of it? */
static int rests(const struct case_ *c, int i, int64_t k)
{
    if (c->row != &hn_op_embedding || i != 1) return 0;
    const struct hn_embedding *a = c->op.attrs;
    return k / (hn_extent_numel(&c->xs[1]) / a->rows) == a->still - 1;
}

START_TEST(gradient_matches_central_differences)
{
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    ck_assert(case_find(_i, &row, &sample));
    ck_assert(row->backward || row->flags & HN_OP_NO_GRAD);
    for (int b = 0; row->backward && b < N_BATCHES; b++) {
        struct case_ c;
        case_init(&c, row, sample, batches[b]);
        objective(&c);
        row->backward(&c.call);
        int points = 0, kinks = 0, straight = (row->flags & HN_OP_STRAIGHT) != 0;
        const double most = straight ? 1e-5 : tolerance; /* its steps are floats */
        for (int i = 0; i < c.op.n_in; i++) {
            if (!case_differentiable(&c, i)) continue;
            for (int64_t k = 0; k < hn_extent_numel(&c.xs[i]); k++, points++) {
                int kink;
                if (rests(&c, i, k)) {
                    ck_assert(((double *)c.dx[i])[k] == 0);
                    continue;
                }
                double e =
                    element_error(&c, (double *)c.x[i] + k, k, ((double *)c.dx[i])[k], &kink);
                kinks += kink;
                ck_assert_msg(kink || e <= most,
                              "%s, %s, N=%lld: input %d element %lld: relative error %g", row->name,
                              sample->name, (long long)batches[b], i, (long long)k, e);
            }
        }
        /* a short range ends within a step of most numbers: its values are in test_values.c */
        ck_assert_msg(points > 0 && (straight || kinks * 10 <= points),
                      "%s, %s: %d of %d points are kinks", row->name, sample->name, kinks, points);
        case_free(&c);
    }
}
END_TEST

static void fill(double *p, int64_t n, double v)
{
    for (int64_t i = 0; i < n; i++) p[i] = v;
}

/* Runs backward into `into`, starting from `start` everywhere. */
static void backward_from(struct case_ *c, void **into, double start, uint32_t acc)
{
    for (int i = 0; i < c->op.n_in; i++)
        if (into[i]) fill(into[i], hn_extent_numel(&c->xs[i]), start);
    c->call.dx = into, c->call.acc = acc;
    c->row->backward(&c->call);
}

static void same_gradients(const struct case_ *c, void **a, void **b, double factor, double plus)
{
    for (int i = 0; i < c->op.n_in; i++) {
        if (!a[i] || !b[i] || !case_differentiable(c, i)) continue;
        for (int64_t k = 0; k < hn_extent_numel(&c->xs[i]); k++) {
            double want = factor * ((double *)a[i])[k] + plus, got = ((double *)b[i])[k];
            ck_assert_msg(fabs(want - got) <= 1e-12 * fmax(1, fabs(want)),
                          "%s, %s: input %d element %lld: %g, wanted %g", c->row->name,
                          c->sample->name, i, (long long)k, got, want);
        }
    }
}

START_TEST(backward_adds_or_overwrites)
{
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    ck_assert(case_find(_i, &row, &sample));
    if (!row->backward) return;
    struct case_ c;
    case_init(&c, row, sample, 5);
    objective(&c);
    void *other[CASE_IN] = { 0 }, *first[CASE_IN];
    memcpy(first, c.dx, sizeof first);
    for (int i = 0; i < c.op.n_in; i++) other[i] = case_buffer(hn_extent_numel(&c.xs[i]));
    backward_from(&c, first, 0, 0);
    backward_from(&c, other, (double)NAN, 0); /* overwrites whatever was there */
    same_gradients(&c, first, other, 1, 0);
    backward_from(&c, other, 3, ~0u); /* adds to what was there */
    same_gradients(&c, first, other, 1, 3);
    c.row->backward(&c.call); /* and again: doubled */
    same_gradients(&c, first, other, 2, 3);
    for (int i = 0; i < c.op.n_in; i++) { /* each gradient alone: others are not wanted */
        void *alone[CASE_IN] = { 0 };
        alone[i] = other[i];
        backward_from(&c, alone, 7, i % 2 ? 1u << i : 0);
        same_gradients(&c, first, alone, 1, i % 2 ? 7 : 0);
    }
    c.call.dx = c.dx;
    for (int i = 0; i < c.op.n_in; i++) case_release(other[i], hn_extent_numel(&c.xs[i]));
    case_free(&c);
}
END_TEST

START_TEST(backward_reads_only_what_it_asked_for)
{
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    ck_assert(case_find(_i, &row, &sample));
    if (!row->backward) return;
    struct case_ c;
    case_init(&c, row, sample, 3);
    objective(&c);
    void *x[CASE_IN] = { 0 }, *y[CASE_OUT] = { 0 }, *dx[CASE_IN] = { 0 };
    row->backward(&c.call);
    for (int i = 0; i < c.op.n_in; i++) {
        int slab = sample->kind[i] == HN_PARAM || sample->kind[i] == HN_CONST ||
                   sample->kind[i] == HN_STATE;
        x[i] = slab || c.need.x >> i & 1u ? c.x[i] : NULL;
        dx[i] = case_buffer(hn_extent_numel(&c.xs[i]));
    }
    for (int i = 0; i < c.op.n_out; i++) y[i] = c.need.y >> i & 1u ? c.y[i] : NULL;
    c.call.x = x, c.call.y = y;
    backward_from(&c, dx, (double)NAN, 0);
    same_gradients(&c, c.dx, dx, 1, 0);
    for (int i = 0; i < c.op.n_in; i++) case_release(dx[i], hn_extent_numel(&c.xs[i]));
    case_free(&c);
}
END_TEST

START_TEST(in_place_is_the_same)
{
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    ck_assert(case_find(_i, &row, &sample));
    if (!(row->flags & HN_OP_INPLACE)) return;
    struct case_ c;
    case_init(&c, row, sample, 9);
    int64_t n = hn_extent_numel(&c.ys[0]);
    objective(&c);
    if (hn_extent_numel(&c.xs[0]) == n) {
        void *only[CASE_IN] = { c.dx[0] }, *over[CASE_IN] = { c.dy[0] }; /* dx[0] over dy[0] */
        backward_from(&c, only, 0, 0);
        c.call.dx = over, c.call.acc = 0;
        row->backward(&c.call);
        ck_assert_mem_eq(c.dy[0], c.dx[0], (size_t)n * sizeof(double));
        void *y[1] = { c.x[0] }; /* y[0] over x[0] */
        c.call.y = y;
        row->forward(&c.call);
        ck_assert_mem_eq(c.x[0], c.y[0], (size_t)n * sizeof(double));
    }
    case_free(&c);
}
END_TEST

START_TEST(table_is_complete)
{
    for (int i = 0; hn_op_rows[i]; i++) {
        const struct hn_op_row *r = hn_op_rows[i];
        ck_assert_msg(r->name && r->shape && r->need && r->forward && r->attrs_size > 0,
                      "row %d is incomplete", i);
        ck_assert_msg(!r->backward == !!(r->flags & HN_OP_NO_GRAD),
                      "%s: backward and HN_OP_NO_GRAD disagree", r->name);
        ck_assert_msg(r->samples && r->samples[0].name, "%s has no sample", r->name);
        ck_assert_msg(r->in_min >= 1 && r->in_min <= r->in_max, "%s: number of inputs", r->name);
        ck_assert_msg(!(r->flags & HN_OP_LOSS) == (r->out_max > 0),
                      "%s: a loss has no output, others have", r->name);
        for (int k = 0; k < i; k++) ck_assert_str_ne(r->name, hn_op_rows[k]->name);
        for (const struct hn_sample *s = r->samples; s->name; s++)
            ck_assert_msg(s->n_in >= r->in_min && s->n_in <= r->in_max, "%s, %s: number of inputs",
                          r->name, s->name);
    }
}
END_TEST

HN_TEST_MAIN("gradcheck", {
    tcase_add_test(tc, table_is_complete);
    tcase_add_loop_test(tc, gradient_matches_central_differences, 0, case_count());
    tcase_add_loop_test(tc, backward_adds_or_overwrites, 0, case_count());
    tcase_add_loop_test(tc, backward_reads_only_what_it_asked_for, 0, case_count());
    tcase_add_loop_test(tc, in_place_is_the_same, 0, case_count());
})
