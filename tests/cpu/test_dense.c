/* SPDX-License-Identifier: MIT
 *
 * Dense's matrix products in float against sums in double, on shapes that reach every path: edges of rows and columns,
 * several blocks along k and n, strides of a power of two, one row, one column; both orientations of w; alpha, beta, bias
 * of one element; added or overwritten; the tasks of the weight gradient. Nothing outside the result may be written.
 * And the promise that a row has the same bits alone and in any company, and whichever way the weights lie. */
#include "ops/cpu/backend.h"
#include "ops/cpu/exec.h"
#include "tests/harness.h"
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD = 32, SCRATCH = 4 << 20 };

static const struct shape {
    int rows, in, out;
} shapes[] = {
    { 1, 1, 1 },      { 1, 5, 3 },      { 3, 784, 48 },   { 8, 16, 16 },    { 9, 17, 33 },
    { 50, 100, 100 }, { 50, 1, 100 },   { 50, 100, 1 },   { 128, 48, 24 },  { 64, 24, 10 },
    { 37, 512, 10 },  { 16, 600, 400 }, { 13, 1100, 49 }, { 40, 512, 512 }, { 21, 1024, 130 },
    { 7, 2048, 64 },  { 130, 65, 395 }, { 5, 3, 1000 },   { 300, 600, 50 }, { 150, 300, 3 },
    { 5, 20000, 2 },  { 33, 400, 113 },
};
enum { SHAPES = (int)(sizeof shapes / sizeof *shapes) };

struct test { /* one dense layer with all its buffers */
    struct shape s;
    struct hn_dense attrs;
    int one_bias;
    void *scratch;
    const uint32_t *index; /* of the rows of x; NULL: they are in order */
    float *x, *w, *b, *y, *dx, *dw, *db, *dy;
};

static float *numbers(size_t n, uint64_t *state)
{
    float *p = malloc((n + GUARD) * sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < n + GUARD; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        p[i] = i < n ? (float)((double)(*state >> 40) / 8388608.0 - 1) : 77.0f;
    }
    return p;
}

static void test_init(struct test *t, const struct shape *s, int trans_w, int one_bias)
{
    uint64_t state = 7;
    size_t r = (size_t)s->rows, in = (size_t)s->in, out = (size_t)s->out;
    *t = (struct test){ .s = *s,
                        .attrs = { one_bias ? 0.5 : 1, one_bias ? -2 : 1, trans_w },
                        .one_bias = one_bias };
    t->scratch = malloc(SCRATCH);
    t->x = numbers(r * in, &state), t->w = numbers(in * out, &state), t->b = numbers(out, &state);
    t->y = numbers(r * out, &state), t->dy = numbers(r * out, &state),
    t->dx = numbers(r * in, &state);
    t->dw = numbers(in * out, &state), t->db = numbers(out, &state);
}

static void guard(float *p, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++)
        if (p[i] != 77.0f) ck_abort_msg("written past the end");
    free(p);
}

static void test_free(struct test *t)
{
    size_t r = (size_t)t->s.rows, in = (size_t)t->s.in, out = (size_t)t->s.out;
    free(t->scratch);
    guard(t->x, r * in), guard(t->w, in * out), guard(t->b, out), guard(t->y, r * out);
    guard(t->dx, r * in), guard(t->dw, in * out), guard(t->db, out), guard(t->dy, r * out);
}

enum what { FORWARD, BACKWARD, LATE, FORWARD_SPLIT, BACKWARD_SPLIT };

static void call(const struct test *t, const struct hn_cpu_isa *isa, enum what what, int rows,
                 uint32_t acc)
{
    const struct hn_cpu_op *kernels = NULL;
    for (int i = 0; hn_op_rows[i]; i++)
        if (hn_op_rows[i] == &hn_op_dense) kernels = isa->ops[i];
    const int32_t ins[3] = { 0, 1, 2 }, outs[1] = { 3 };
    const struct hn_op op = { &hn_op_dense, &t->attrs, 3, 1, ins, outs, "dense", 0 };
    const int64_t in = t->s.in, out = t->s.out, bias = t->one_bias ? 1 : out;
    struct hn_shape sx[3] = { { 2, { { 1, 0 }, { 0, in } } },
                              { 2, { { 0, in }, { 0, out } } },
                              { 1, { { 0, bias } } } };
    struct hn_shape sy = { 2, { { 1, 0 }, { 0, out } } };
    if (t->attrs.trans_w) sx[1].d[0].fixed = out, sx[1].d[1].fixed = in;
    struct hn_extent xs[3], ys;
    for (int i = 0; i < 3; i++) hn_extent_of(&sx[i], rows, &xs[i]);
    hn_extent_of(&sy, rows, &ys);
    struct hn_cpu_need need = { 0 };
    struct hn_cpu_use use = { &op, sx, &sy, HN_PASS_TRAIN, rows };
    kernels->need(&use, &need);
    void *x[3] = { t->x, t->w, t->b }, *y[1] = { t->y }, *dx[3] = { t->dx, t->dw, t->db },
         *dy[1] = { t->dy };
    if (what == LATE) dx[0] = NULL;
    struct hn_cpu_call k = {
        .c = { .op = &op, .xs = xs, .ys = &ys, .x = x, .y = y, .dx = dx, .dy = dy, .acc = acc }
    };
    k.c.rows = k.total = rows;
    k.index = need.indexed_x ? t->index : NULL;
    ck_assert_uint_le(need.scratch, SCRATCH);
    k.scratch = t->scratch;
    int forward = what == FORWARD || what == FORWARD_SPLIT;
    hn_cpu_fn *fn = forward        ? kernels->forward.main
                    : what == LATE ? kernels->backward.late
                                   : kernels->backward.main;
    k.n_tasks = what == LATE             ? need.n_tasks
                : what == FORWARD_SPLIT  ? need.n_columns[0]
                : what == BACKWARD_SPLIT ? need.n_columns[1]
                                         : 1;
    if (k.n_tasks < 1) k.n_tasks = 1;
    for (k.task = 0; k.task < k.n_tasks; k.task++) fn(&k);
}

/* Element (i,j) of w as [in,out]. */
static double weight(const struct test *t, int i, int j)
{
    return (double)(t->attrs.trans_w ? t->w[j * t->s.in + i] : t->w[i * t->s.out + j]);
}

static void near(double want, float got, int terms, const char *what, const struct test *t)
{
    double allowed = 1e-6 * sqrt((double)terms) + 1e-6;
    if (fabs(want - (double)got) <= allowed * 4)
        return; /* Check writes a file at every assertion */
    ck_abort_msg("%s of %dx%d->%d: %.9g, wanted %.9g", what, t->s.rows, t->s.in, t->s.out,
                 (double)got, want);
}

static void check_forward(struct test *t, const struct hn_cpu_isa *isa)
{
    call(t, isa, FORWARD, t->s.rows, 0);
    for (int r = 0; r < t->s.rows; r++)
        for (int j = 0; j < t->s.out; j++) {
            double sum = 0;
            for (int i = 0; i < t->s.in; i++)
                sum += (double)t->x[r * t->s.in + i] * weight(t, i, j);
            near(t->attrs.alpha * sum + t->attrs.beta * (double)t->b[t->one_bias ? 0 : j],
                 t->y[r * t->s.out + j], t->s.in, "y", t);
        }
}

static void check_backward(struct test *t, const struct hn_cpu_isa *isa, int add)
{
    size_t n = (size_t)t->s.rows * (size_t)t->s.in;
    float *before = malloc(n * sizeof *before);
    memcpy(before, t->dx, n * sizeof *before);
    call(t, isa, BACKWARD, t->s.rows, add ? 7 : 0);
    for (int r = 0; r < t->s.rows; r++)
        for (int i = 0; i < t->s.in; i++) {
            double sum = 0;
            for (int j = 0; j < t->s.out; j++)
                sum += (double)t->dy[r * t->s.out + j] * weight(t, i, j);
            near(t->attrs.alpha * sum + (add ? (double)before[r * t->s.in + i] : 0),
                 t->dx[r * t->s.in + i], t->s.out, "dx", t);
        }
    free(before);
}

static void check_late(struct test *t, const struct hn_cpu_isa *isa, int add)
{
    size_t n = (size_t)t->s.in * (size_t)t->s.out;
    float *before = malloc(n * sizeof *before);
    memcpy(before, t->dw, n * sizeof *before);
    call(t, isa, LATE, t->s.rows, add ? 7 : 0);
    for (int i = 0; i < t->s.in; i++)
        for (int j = 0; j < t->s.out; j++) {
            size_t at = t->attrs.trans_w ? (size_t)j * (size_t)t->s.in + (size_t)i
                                         : (size_t)i * (size_t)t->s.out + (size_t)j;
            double sum = 0;
            for (int r = 0; r < t->s.rows; r++)
                sum += (double)t->x[r * t->s.in + i] * (double)t->dy[r * t->s.out + j];
            near(t->attrs.alpha * sum + (add ? (double)before[at] : 0), t->dw[at], t->s.rows, "dw",
                 t);
        }
    free(before);
}

/* The kernels of the i-th instruction set, NULL where this machine lacks it. */
static const struct hn_cpu_isa *isa_at(int i)
{
    static const char *const options[] = { "isa=base", "isa=avx2", "isa=avx512" };
    hone_error err = { 0 };
    struct hn_mem mem;
    void *dev;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    HN_OK(hn_backend_cpu.open(&host, options[i], &dev, &err), err);
    const struct hn_cpu_isa *isa = ((struct hn_cpu_dev *)dev)->isa;
    hn_backend_cpu.close(dev);
    return !strcmp(isa->name, options[i] + 4) ? isa : NULL;
}

START_TEST(products)
{
    for (int i = 0; i < 3; i++) {
        const struct hn_cpu_isa *isa = isa_at(i);
        for (int how = 0; isa && how < 4; how++) {
            struct test t;
            test_init(&t, &shapes[_i], how & 1, how >> 1);
            check_forward(&t, isa);
            check_backward(&t, isa, 0);
            check_backward(&t, isa, 1);
            check_late(&t, isa, 0);
            check_late(&t, isa, 1);
            test_free(&t);
        }
    }
}
END_TEST

/* By columns: the same bits. */
static void check_split(struct test *t, const struct hn_cpu_isa *isa)
{
    size_t n = (size_t)t->s.rows * (size_t)t->s.out, m = (size_t)t->s.rows * (size_t)t->s.in;
    float *y = malloc(n * sizeof *y), *dx = malloc(m * sizeof *dx);
    call(t, isa, FORWARD, t->s.rows, 0);
    call(t, isa, BACKWARD, t->s.rows, 0);
    memcpy(y, t->y, n * sizeof *y), memcpy(dx, t->dx, m * sizeof *dx);
    memset(t->y, 0, n * sizeof *y), memset(t->dx, 0, m * sizeof *dx);
    call(t, isa, FORWARD_SPLIT, t->s.rows, 0);
    call(t, isa, BACKWARD_SPLIT, t->s.rows, 0);
    ck_assert_msg(!memcmp(y, t->y, n * sizeof *y), "columns of y apart differ, %s", isa->name);
    ck_assert_msg(!memcmp(dx, t->dx, m * sizeof *dx), "columns of dx apart differ, %s", isa->name);
    free(y), free(dx);
}

START_TEST(columns_apart)
{
    static const struct shape wide[] = {
        { 50, 300, 301 }, { 128, 784, 512 }, { 64, 512, 1000 }, { 3, 400, 400 }
    };
    for (int i = 0; i < 3; i++) {
        const struct hn_cpu_isa *isa = isa_at(i);
        for (int how = 0; isa && how < 4; how++) {
            struct test t;
            test_init(&t, &wide[_i], how & 1, how >> 1);
            check_split(&t, isa);
            test_free(&t);
        }
    }
}
END_TEST

/* So many numbers that end where the page after them may not be touched. */
static float *numbers_at_the_edge(size_t n, uint64_t seed, void **map, size_t *bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *bytes = (n * sizeof(float) + page - 1) / page * page + page;
    *map = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(*map, MAP_FAILED);
    ck_assert_int_eq(mprotect((char *)*map + *bytes - page, page, PROT_NONE), 0);
    float *to = (float *)(void *)((char *)*map + *bytes - page) - n, *from = numbers(n, &seed);
    memcpy(to, from, n * sizeof *to);
    free(from);
    return to;
}

enum { COMPANY = 70 };

/* y of the rows in parts of `rows` rows, against the rows together. */
static void check_parts(struct test *t, const struct hn_cpu_isa *isa, const float *together,
                        int rows)
{
    float *const x = t->x, *const y = t->y;
    for (int r = 0; r < COMPANY; r += rows) {
        const int n = COMPANY - r < rows ? COMPANY - r : rows;
        t->x = x + r * t->s.in, t->y = y + r * t->s.out;
        call(t, isa, FORWARD, n, 0);
    }
    t->x = x, t->y = y;
    for (int i = 0; i < COMPANY * t->s.out; i++)
        if (memcmp(&y[i], &together[i], sizeof *y) != 0)
            ck_abort_msg("%s, %s: output %d of row %d in %d->%d by %d rows: %.9g, wanted %.9g",
                         isa->name, t->attrs.trans_w ? "[out,in]" : "[in,out]", i % t->s.out,
                         i / t->s.out, t->s.in, t->s.out, rows, (double)y[i], (double)together[i]);
}

/* A row has the same bits alone and in any company. Widths around those of all vectors and panels. */
START_TEST(rows_apart)
{
    static const int outs[] = { 1,  2,  3,  4,  5,  7,  8,  9,  12, 15,  16,  17,  24,  31, 33,
                                40, 47, 49, 50, 57, 65, 72, 81, 97, 100, 113, 130, 145, 390 },
                     ins[] = { 1, 37, 300 };
    const struct hn_cpu_isa *isa = isa_at(_i);
    for (size_t k = 0; isa && k < 2 * sizeof outs / sizeof *outs * 3; k++) {
        const struct shape s = { COMPANY, ins[k / 2 % 3], outs[k / 6] };
        struct test t;
        size_t n = COMPANY * (size_t)s.out, bytes;
        void *map;
        test_init(&t, &s, k & 1, 0);
        float *own = t.w, *together = malloc(n * sizeof *together);
        t.w = numbers_at_the_edge((size_t)s.in * (size_t)s.out, k, &map, &bytes);
        call(&t, isa, FORWARD, COMPANY, 0);
        memcpy(together, t.y, n * sizeof *together);
        for (int rows = 1; rows < COMPANY; rows += rows < 9 ? 1 : 23)
            check_parts(&t, isa, together, rows);
        munmap(map, bytes);
        t.w = own;
        free(together);
        test_free(&t);
    }
}
END_TEST

/* dw of rows that lie at the edge of the memory, in another order where layers of this width may be given such: the same bits. */
static void check_gradient(struct test *t, const struct hn_cpu_isa *isa, const uint32_t *index)
{
    const size_t in = (size_t)t->s.in, n = in * (size_t)t->s.out;
    float *const x = t->x, *dw = malloc(n * sizeof *dw);
    void *map;
    size_t bytes;
    call(t, isa, LATE, t->s.rows, 0);
    memcpy(dw, t->dw, n * sizeof *dw);
    t->x = numbers_at_the_edge((size_t)t->s.rows * in, 5, &map, &bytes);
    t->index = t->s.out < 8 || (t->attrs.trans_w && t->s.in < 8) ? NULL : index;
    for (int r = 0; r < t->s.rows; r++)
        memcpy(t->x + (t->index ? index[r] : (uint32_t)r) * in, x + (size_t)r * in, in * sizeof *x);
    call(t, isa, LATE, t->s.rows, 0);
    if (memcmp(dw, t->dw, n * sizeof *dw) != 0)
        ck_abort_msg("%s, %s: gradients of %d rows, %d->%d, through an index differ", isa->name,
                     t->attrs.trans_w ? "[out,in]" : "[in,out]", t->s.rows, t->s.in, t->s.out);
    munmap(map, bytes);
    t->x = x, t->index = NULL;
    free(dw);
}

START_TEST(gradients_through_an_index)
{
    static const int widths[] = { 1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 21, 24, 33, 37, 49, 50, 65 },
                     rows[] = { 1, 2, 9, 150 };
    enum { WIDTHS = (int)(sizeof widths / sizeof *widths) };
    const struct hn_cpu_isa *isa = isa_at(_i);
    uint32_t index[150];
    for (int k = 0; isa && k < 2 * 4 * WIDTHS * WIDTHS; k++) {
        const struct shape s = { rows[k / 2 % 4], widths[k / 8 % WIDTHS], widths[k / 8 / WIDTHS] };
        struct test t;
        for (int r = 0; r < s.rows; r++) index[r] = (uint32_t)((r * 7 + 3) % s.rows);
        test_init(&t, &s, k & 1, 0);
        check_gradient(&t, isa, index);
        test_free(&t);
    }
}
END_TEST

/* Weights [out,in] and the same ones turned to [in,out]: the same bits. */
START_TEST(either_way)
{
    static const struct shape shapes_here[] = { { 9, 37, 3 },    { 3, 300, 8 },   { 1, 1100, 10 },
                                                { 40, 600, 50 }, { 33, 5, 72 },   { 70, 64, 113 },
                                                { 1, 512, 390 }, { 12, 20000, 2 } };
    for (int i = 0; i < 3; i++) {
        const struct hn_cpu_isa *isa = isa_at(i);
        if (!isa) continue;
        const struct shape *s = &shapes_here[_i];
        struct test t;
        size_t n = (size_t)s->rows * (size_t)s->out;
        test_init(&t, s, 1, 0);
        float *y = malloc(n * sizeof *y), *w = malloc((size_t)s->in * (size_t)s->out * sizeof *w);
        call(&t, isa, FORWARD, s->rows, 0);
        memcpy(y, t.y, n * sizeof *y);
        for (int j = 0; j < s->out; j++)
            for (int k = 0; k < s->in; k++) w[k * s->out + j] = t.w[j * s->in + k];
        memcpy(t.w, w, (size_t)s->in * (size_t)s->out * sizeof *w);
        t.attrs.trans_w = 0;
        call(&t, isa, FORWARD, s->rows, 0);
        ck_assert_msg(!memcmp(y, t.y, n * sizeof *y), "%s: %d->%d differs", isa->name, s->in,
                      s->out);
        free(y), free(w);
        test_free(&t);
    }
}
END_TEST

HN_TEST_MAIN("cpu dense", tcase_add_loop_test(tc, products, 0, SHAPES);
             tcase_add_loop_test(tc, rows_apart, 0, 3);
             tcase_add_loop_test(tc, gradients_through_an_index, 0, 3);
             tcase_add_loop_test(tc, either_way, 0, 8);
             tcase_add_loop_test(tc, columns_apart, 0, 4);)
