/* SPDX-License-Identifier: MIT
 *
 * Every (op row, sample) in float against the row's own kernels in double, forward and backward, overwriting and adding,
 * for every instruction set this machine has; row-local ops tile by tile (tiles of 16 rows), others in one piece. */
#include "ops/cpu/backend.h"
#include "ops/cpu/exec.h"
#include "tests/math/cases.h"

enum { TILE = 16, MAX_PARTS = 64 };

struct side { /* the float side of a case */
    const struct hn_cpu_op *kernels;
    struct hn_cpu_need need;
    float *x[CASE_IN], *y[CASE_OUT], *dx[CASE_IN], *dy[CASE_OUT];
    void *save[2], *scratch;
    double *part, loss[2];
    int64_t rows;
};

static float *to_floats(double *v,
                        int64_t n) /* rounds v too, so that both sides see the same numbers */
{
    float *f = calloc((size_t)n + 8, sizeof *f);
    ck_assert_ptr_nonnull(f);
    for (int64_t i = 0; v && i < n; i++) f[i] = (float)v[i], v[i] = (double)f[i];
    return f;
}

static void side_init(struct side *s, struct case_ *c, const struct hn_cpu_isa *isa)
{
    *s = (struct side){ .rows = c->call.rows };
    for (int k = 0; hn_op_rows[k]; k++)
        if (hn_op_rows[k] == c->row) s->kernels = isa->ops[k];
    ck_assert_ptr_eq(s->kernels->row, c->row);
    struct hn_cpu_use use = { &c->op, c->xshape, c->yshape,
                              c->sample->train ? HN_PASS_TRAIN : HN_PASS_EVAL, 128 };
    s->kernels->need(&use, &s->need);
    for (int i = 0; i < c->op.n_in; i++) {
        s->x[i] = to_floats(c->x[i], hn_extent_numel(&c->xs[i]));
        s->dx[i] = to_floats(NULL, hn_extent_numel(&c->xs[i]));
    }
    for (int i = 0; i < c->op.n_out; i++) {
        s->y[i] = to_floats(NULL, hn_extent_numel(&c->ys[i]));
        s->dy[i] = to_floats(c->dy[i], hn_extent_numel(&c->ys[i]));
    }
    for (int i = 0; i < 2; i++) {
        size_t bytes = s->need.save_per8[i] * (size_t)((s->rows + 7) / 8) + s->need.save_fixed[i];
        s->save[i] = bytes ? calloc(1, bytes) : NULL;
    }
    s->scratch = calloc(1, s->need.scratch + 1);
    size_t most = s->need.part[0] > s->need.part[1] ? s->need.part[0] : s->need.part[1];
    s->part = calloc(MAX_PARTS * most + 1, sizeof *s->part);
}

static void side_free(struct side *s)
{
    for (int i = 0; i < CASE_IN; i++) free(s->x[i]), free(s->dx[i]);
    for (int i = 0; i < CASE_OUT; i++) free(s->y[i]), free(s->dy[i]);
    free(s->save[0]), free(s->save[1]), free(s->scratch), free(s->part);
}

struct pass { /* one kernel over the tiles it works on */
    struct case_ *c;
    struct side *s;
    hn_cpu_fn *fn;
    uint32_t dx_mask, acc;
    size_t n_part; /* doubles a tile, 0: none */
    int whole, backward;
};

static void *moved(float *p, const struct hn_shape *shape, int64_t row0)
{
    return p ? p + (hn_shape_count(shape).per_row) * row0 : NULL;
}

static void call(const struct pass *p, int64_t row0, int64_t rows, int tile, int task)
{
    void *x[CASE_IN], *y[CASE_OUT], *dx[CASE_IN], *dy[CASE_OUT], *save[4] = { NULL };
    struct hn_extent xs[CASE_IN], ys[CASE_OUT];
    struct side *s = p->s;
    struct hn_cpu_call k = { .c = p->c->call };
    for (int i = 0; i < p->c->op.n_in; i++) {
        x[i] = moved(s->x[i], &p->c->xshape[i], row0);
        dx[i] = p->backward && p->dx_mask >> i & 1 && case_differentiable(p->c, i)
                    ? moved(s->dx[i], &p->c->xshape[i], row0)
                    : NULL;
        hn_extent_of(&p->c->xshape[i], rows, &xs[i]);
    }
    for (int i = 0; i < p->c->op.n_out; i++) {
        y[i] = moved(s->y[i], &p->c->yshape[i], row0);
        dy[i] = p->backward ? moved(s->dy[i], &p->c->yshape[i], row0) : NULL;
        hn_extent_of(&p->c->yshape[i], rows, &ys[i]);
    }
    for (int i = 0; i < 2; i++)
        if (s->save[i]) save[i] = (char *)s->save[i] + (size_t)row0 / 8 * s->need.save_per8[i];
    k.c.x = x, k.c.y = y, k.c.dx = dx, k.c.dy = dy, k.c.save = save, k.c.xs = xs, k.c.ys = ys;
    k.c.rows = rows, k.c.acc = p->acc, k.c.loss = s->loss;
    k.row0 = row0, k.total = s->rows, k.scratch = s->scratch;
    k.part = s->part + p->n_part * (size_t)tile;
    k.n_parts = s->need.local ? (int)((s->rows + TILE - 1) / TILE) : 1;
    k.task = task, k.n_tasks = s->need.n_tasks > 1 ? s->need.n_tasks : 1;
    p->fn(&k);
}

static void over_tiles(const struct pass *p)
{
    if (p->whole || !p->s->need.local) {
        call(p, 0, p->s->rows, 0, 0);
        return;
    }
    for (int64_t r = 0; r < p->s->rows; r += TILE)
        call(p, r, p->s->rows - r < TILE ? p->s->rows - r : TILE, (int)(r / TILE), 0);
}

static void once(struct pass p, hn_cpu_fn *fn, size_t n_part, int whole)
{
    p.fn = fn, p.n_part = whole ? 0 : n_part, p.whole = whole;
    if (n_part && !whole) memset(p.s->part, 0, MAX_PARTS * n_part * sizeof(double));
    over_tiles(&p);
}

static void side_forward(struct case_ *c, struct side *s)
{
    const struct hn_cpu_half *h = &s->kernels->forward;
    struct pass p = { .c = c, .s = s };
    if (s->need.stats) {
        once(p, h->part, s->need.part[0], 0);
        once(p, h->join, 0, 1);
    }
    once(p, h->main, s->need.join_after ? s->need.part[0] : 0, 0);
    if (s->need.join_after) once(p, h->join, 0, 1);
}

static void side_backward(struct case_ *c, struct side *s, uint32_t acc)
{
    const struct hn_cpu_half *h = &s->kernels->backward;
    struct pass p = { .c = c, .s = s, .acc = acc, .backward = 1 };
    if (h->part) {
        once(p, h->part, s->need.part[1], 0);
        p.dx_mask = s->need.late;
        once(p, h->join, 0, 1);
    }
    p.dx_mask = ~s->need.late;
    once(p, h->main, 0, 0);
    p.dx_mask = s->need.late, p.whole = 1, p.fn = h->late;
    for (int t = 0; h->late && t < (s->need.n_tasks > 1 ? s->need.n_tasks : 1); t++)
        call(&p, 0, s->rows, 0, t);
}

struct where {
    const struct case_ *c;
    const char *isa, *what;
    int i;
};

/* Relative to the element, or to a tenth of the largest where the element is smaller. */
static void compare(const struct where *w, const double *want, const float *got, int64_t n)
{
    double largest = 0, tol = w->c->row->tolerance;
    for (int64_t i = 0; i < n; i++)
        if (fabs(want[i]) > largest) largest = fabs(want[i]);
    for (int64_t i = 0; i < n; i++) {
        double scale = fabs(want[i]) > 0.1 * largest ? fabs(want[i]) : 0.1 * largest;
        if (fabs(want[i] - (double)got[i]) <= tol * scale + 1e-30)
            continue; /* Check writes a file at every assertion */
        ck_abort_msg("%s '%s' %s rows %lld: %s[%d] element %lld is %.9g, wanted %.9g",
                     w->c->row->name, w->c->sample->name, w->isa, (long long)w->c->call.rows,
                     w->what, w->i, (long long)i, (double)got[i], want[i]);
    }
}

static void compare_all(struct case_ *c, struct side *s, const char *isa, const char *when)
{
    struct where w = { c, isa, when, 0 };
    for (w.i = 0; w.i < c->op.n_out; w.i++)
        compare(&w, c->y[w.i], s->y[w.i], hn_extent_numel(&c->ys[w.i]));
    w.what = "loss";
    for (w.i = 0; w.i < 2; w.i++) compare(&w, &c->loss[w.i], &(float){ (float)s->loss[w.i] }, 1);
}

static void compare_gradients(struct case_ *c, struct side *s, const char *isa, const char *when)
{
    struct where w = { c, isa, when, 0 };
    for (w.i = 0; w.i < c->op.n_in; w.i++)
        if (case_differentiable(c, w.i))
            compare(&w, c->dx[w.i], s->dx[w.i], hn_extent_numel(&c->xs[w.i]));
}

static void check_case(const struct hn_op_row *row, const struct hn_sample *sample, int64_t rows,
                       const struct hn_cpu_isa *isa)
{
    struct case_ c;
    struct side s;
    void *dx[CASE_IN];
    case_init(&c, row, sample, rows);
    side_init(&s, &c, isa);
    row->forward(&c.call);
    side_forward(&c, &s);
    compare_all(&c, &s, isa->name, "y");
    if (row->backward && sample->train) {
        for (int i = 0; i < c.op.n_in; i++) dx[i] = case_differentiable(&c, i) ? c.dx[i] : NULL;
        c.call.dx = dx;
        row->backward(&c.call);
        side_backward(&c, &s, 0);
        compare_gradients(&c, &s, isa->name, "dx");
        c.call.acc = ~0u;
        row->backward(&c.call);
        side_backward(&c, &s, ~0u);
        compare_gradients(&c, &s, isa->name, "dx, added");
    }
    side_free(&s);
    case_free(&c);
}

static const struct hn_cpu_isa *isa_at(int i)
{
    static const char *const options[] = { "isa=base", "isa=avx2", "isa=avx512" };
    static const char *const names[] = { "base", "avx2", "avx512" };
    hone_error err = { 0 };
    struct hn_mem mem;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    void *dev;
    HN_OK(hn_backend_cpu.open(&host, options[i], &dev, &err), err);
    const struct hn_cpu_isa *isa = ((struct hn_cpu_dev *)dev)->isa;
    int same = !strcmp(hn_cpu_isa_name(dev), names[i]);
    hn_backend_cpu.close(dev);
    return same ? isa : NULL;
}

START_TEST(rows)
{
    static const int64_t sizes[] = { 1, 3, 8, 16, 17, 45, 100 };
    const struct hn_op_row *row;
    const struct hn_sample *sample;
    ck_assert(case_find(_i, &row, &sample));
    for (int i = 0; i < 3; i++) {
        const struct hn_cpu_isa *isa = isa_at(i);
        for (size_t k = 0; isa && k < sizeof sizes / sizeof *sizes; k++)
            check_case(row, sample, sizes[k], isa);
    }
}
END_TEST

HN_TEST_MAIN("cpu rows", tcase_add_loop_test(tc, rows, 0, case_count());)
