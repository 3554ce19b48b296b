/* SPDX-License-Identifier: MIT
 *
 * A predictor gives the bits of hone_predict for models of all kinds, stands by itself, says what is wrong, is used by many
 * threads side by side, and survives every allocation that fails. */
#include "tests/plugin/model_util.h"
#include <pthread.h>

enum { MOST = 1100, MOST_INPUTS = 4, MOST_OUTPUTS = 8 };

static hone_model *load(hone_context *ctx, const char *name)
{
    char path[1024];
    hone_model *m;
    hone_error e = { 0 };
    snprintf(path, sizeof path, "%s/tests/data/%s.onnx", HN_SOURCE_DIR, name);
    if (strchr(name, ' '))
        HN_OK(hone_model_new(ctx, name, 5, &m, &e), e);
    else
        HN_OK(hone_model_load(ctx, path, &m, &e), e);
    return m;
}

static size_t size_of(hone_dtype t)
{
    switch (t) {
    case HONE_U8:
    case HONE_BOOL: return 1;
    case HONE_F16:
    case HONE_BF16: return 2;
    case HONE_F32:
    case HONE_I32: return 4;
    default: return 8;
    }
}

/* Rows for every input of the model: 0 and 1 for those that take integers, and where the model looks them up. */
struct given {
    hone_array x[MOST_INPUTS];
    size_t n;
};

static void make_rows(const hone_predictor *p, int whole, struct given *g)
{
    hone_array info = HONE_ARRAY;
    for (g->n = 0; hone_predictor_input(p, g->n, &info); g->n++) {
        const int64_t n = MOST * info.per_row;
        ck_assert_int_gt(info.per_row, 0);
        ck_assert_uint_lt(g->n, MOST_INPUTS);
        hone_array *a = &g->x[g->n];
        *a = info;
        a->rows = MOST;
        a->dtype = info.dtype == HONE_I64 ? HONE_I64 : info.dtype == HONE_U8 ? HONE_U8 : HONE_F32;
        void *data = calloc((size_t)n, 8);
        for (int64_t i = 0; i < n; i++) {
            const int64_t v = (i * 7919 + i / 11) % 101;
            if (a->dtype == HONE_I64) ((int64_t *)data)[i] = v % 2;
            if (a->dtype == HONE_U8) ((uint8_t *)data)[i] = (uint8_t)v;
            if (a->dtype == HONE_F32)
                ((float *)data)[i] = whole ? (float)(v % 2) : (float)v / 50 - 1;
        }
        a->data = data;
    }
}

static void free_rows(struct given *g)
{
    for (size_t i = 0; i < g->n; i++) free((void *)(uintptr_t)g->x[i].data);
}

struct room { /* places for all outputs */
    hone_output o[MOST_OUTPUTS];
    size_t n;
};

static void make_room(const hone_predictor *p, struct room *r)
{
    hone_output info = HONE_OUTPUT;
    for (r->n = 0; hone_predictor_output(p, r->n, &info); r->n++) {
        ck_assert_uint_lt(r->n, MOST_OUTPUTS);
        r->o[r->n] = info;
        r->o[r->n].data = calloc((size_t)(info.rows * info.per_row), size_of(info.dtype));
    }
}

static void free_room(struct room *r)
{
    for (size_t i = 0; i < r->n; i++) free(r->o[i].data);
}

/* Compares the chunks that hone_predict hands out with what the predictor wrote. */
static int compare(void *user, const hone_array *a, size_t n, int64_t first)
{
    const struct room *r = user;
    ck_assert_uint_eq(n, r->n);
    for (size_t k = 0; k < n; k++) {
        const hone_output *o = &r->o[k];
        const size_t row = (size_t)o->per_row * size_of(o->dtype);
        ck_assert_str_eq(a[k].name, o->name);
        ck_assert_int_eq(a[k].dtype, o->dtype);
        ck_assert_int_eq(a[k].per_row, o->per_row);
        const char *mine = (const char *)o->data + (size_t)first * row;
        for (int64_t i = 0; o->dtype == HONE_STR && i < a[k].rows * o->per_row; i++)
            ck_assert_str_eq(((const char *const *)a[k].data)[i],
                             ((const char *const *)(const void *)mine)[i]);
        if (o->dtype != HONE_STR)
            ck_assert_msg(!memcmp(a[k].data, mine, (size_t)a[k].rows * row),
                          "'%s' differs in %lld rows from %lld on", o->name, (long long)a[k].rows,
                          (long long)first);
    }
    return 0;
}

static void same_as_predict(hone_context *ctx, hone_model *m, const hone_params *params,
                            const struct given *g, int64_t rows, struct room *r)
{
    hone_array x[MOST_INPUTS];
    hone_data *d = NULL;
    hone_result *result;
    hone_error e = { 0 };
    for (size_t i = 0; i < g->n; i++) x[i] = g->x[i], x[i].rows = rows;
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, x, g->n, NULL, 0, &d, &e), e);
    HN_OK(hone_predict(m, d, params, NULL, compare, r, &result, &e), e);
    hone_result_destroy(result);
    hone_data_destroy(d);
}

static const struct kind {
    const char *model;
    int whole;
    const char *set[2];
} kinds[] = { { "models/mlp_opset17", 0, { NULL } },
              { "models/mlp_opset17", 0, { "argmax", "true" } },
              { "models/mlp_opset17", 0, { "threads", "2" } },
              { "512-384-72-40-16-10 relu softmax", 0, { NULL } }, /* wide, narrow, turned or not */
              { "models/autoencoder", 0, { NULL } },
              { "models/float64", 0, { NULL } },
              { "models/layernorm_opset17", 0, { NULL } },
              { "models/twice", 0, { NULL } },
              { "half/plain_f16", 0, { NULL } },
              { "half/batchnorm_bf16", 0, { NULL } },
              { "half/converted_io", 0, { NULL } },
              { "quant/gemm_i8_channel", 0, { NULL } },
              { "quant/uint8_in", 0, { NULL } },
              { "computed/weight_norm", 0, { NULL } }, /* computed once, and turned */
              { "computed/cosine_dynamo", 0, { NULL } },
              { "computed/standard_f64", 0, { NULL } },
              { "computed/places", 0, { NULL } },
              { "computed/spectral_hook", 0, { NULL } },
              { "embedding/columns", 0, { NULL } },
              { "embedding/floats", 1, { NULL } },
              { "embedding/tied", 0, { NULL } },
              { "labels/sk_text", 0, { NULL } },
              { "labels/sk_floats", 0, { NULL } },
              { "labels/sk_several", 0, { NULL } },
              { "labels/torch_codes", 0, { NULL } },
              { "labels/torch_half", 0, { NULL } },
              { "labels/sk_text", 0, { "output", "output_label" } },
              { "labels/sk_text", 0, { "argmax", "true" } } };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Several sizes in a row, so that nothing of an earlier run is left in a later one. */
START_TEST(bits)
{
    static const int64_t sizes[] = { 1, 64, 3, MOST, 1 };
    const struct kind *k = &kinds[_i];
    hone_context *ctx;
    hone_params *params;
    hone_predictor *p;
    struct given g;
    struct room r;
    hone_error e = { 0 };
    HN_OK(hone_context_create(NULL, &ctx, &e), e);
    HN_OK(hone_params_create(ctx, &params, &e), e);
    if (k->set[0]) HN_OK(hone_params_set(params, k->set[0], k->set[1], &e), e);
    hone_model *m = load(ctx, k->model);
    HN_OK(hone_predictor_create(m, params, MOST, &p, &e), e);
    make_rows(p, k->whole, &g);
    make_room(p, &r);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        HN_OK(hone_predictor_run(p, sizes[i], g.x, g.n, r.o, r.n, &e), e);
        same_as_predict(ctx, m, params, &g, sizes[i], &r);
    }
    hone_predictor_destroy(p);
    HN_OK(hone_predictor_create(m, params, 5, &p, &e), e); /* as small as it needs to be */
    HN_OK(hone_predictor_run(p, 5, g.x, g.n, NULL, 0, &e), e);
    for (size_t i = 0; i < r.n; i++) r.o[i].name = NULL; /* by position, too */
    HN_OK(hone_predictor_run(p, 5, g.x, g.n, r.o, r.n, &e), e);
    for (size_t i = 0; i < r.n; i++) {
        hone_output info = HONE_OUTPUT;
        ck_assert_int_eq(hone_predictor_output(p, i, &info), 1);
        r.o[i].name = info.name;
    }
    same_as_predict(ctx, m, params, &g, 5, &r);
    hone_predictor_destroy(p);
    free_room(&r);
    free_rows(&g);
    hone_model_destroy(m);
    hone_params_destroy(params);
    hone_context_destroy(ctx);
}
END_TEST

/* ---- a network, its rows, and what it said before it was trained ------------------------------------------------------------ */

enum { ROWS = 96, IN = 6, OUT = 3 };
static float x[ROWS * IN];
static int64_t y[ROWS];

struct net {
    hone_context *ctx;
    hone_model *m;
    hone_predictor *p;
    float before[ROWS * OUT];
};

static const hone_array all_rows = { sizeof all_rows, NULL, HONE_F32, ROWS, IN, x };

static hone_output place(float *to)
{
    const hone_output o = { sizeof o, NULL, HONE_F32, ROWS, OUT, to };
    return o;
}

static void net_open(struct net *n)
{
    hone_error e = { 0 };
    for (int i = 0; i < ROWS * IN; i++) x[i] = (float)(i * 7919 % 101) / 50 - 1;
    for (int i = 0; i < ROWS; i++) y[i] = (x[i * IN] > 0) + (x[i * IN + 1] > 0);
    HN_OK(hone_context_create(NULL, &n->ctx, &e), e);
    HN_OK(hone_model_new(n->ctx, "6-24-16-3 relu softmax", 3, &n->m, &e), e);
    HN_OK(hone_predictor_create(n->m, NULL, ROWS, &n->p, &e), e);
    const hone_output o = place(n->before);
    HN_OK(hone_predictor_run(n->p, ROWS, &all_rows, 1, &o, 1, &e), e);
}

static void net_train(struct net *n)
{
    hone_params *params;
    hone_data *d = NULL;
    hone_result *r;
    hone_error e = { 0 };
    const hone_array target = { sizeof target, NULL, HONE_I64, ROWS, 1, y };
    HN_OK(hone_params_create(n->ctx, &params, &e), e);
    HN_OK(hone_params_set(params, "epochs", "20", &e), e);
    HN_OK(hone_params_set(params, "batchnorm", "insert", &e), e);
    HN_OK(hone_data_wrap(n->ctx, HONE_TRAIN, &all_rows, 1, &target, 1, &d, &e), e);
    HN_OK(hone_train(n->m, d, params, NULL, &r, &e), e);
    hone_result_destroy(r);
    hone_data_destroy(d);
    hone_params_destroy(params);
}

START_TEST(stands_by_itself)
{
    struct net n;
    hone_predictor *trained;
    hone_error e = { 0 };
    float now[ROWS * OUT], later[ROWS * OUT];
    const hone_output o = place(now), o2 = place(later);
    net_open(&n);
    net_train(&n);
    HN_OK(hone_predictor_run(n.p, ROWS, &all_rows, 1, &o, 1, &e), e);
    ck_assert_mem_eq(now, n.before, sizeof now);
    HN_OK(hone_predictor_create(n.m, NULL, ROWS, &trained, &e), e);
    HN_OK(hone_predictor_run(trained, ROWS, &all_rows, 1, &o2, 1, &e), e);
    ck_assert_mem_ne(later, n.before, sizeof later);
    hone_model_destroy(n.m);
    memset(now, 0, sizeof now);
    HN_OK(hone_predictor_run(n.p, ROWS, &all_rows, 1, &o, 1, &e), e);
    ck_assert_mem_eq(now, n.before, sizeof now);
    HN_OK(hone_predictor_run(trained, ROWS, &all_rows, 1, &o, 1, &e), e);
    ck_assert_mem_eq(now, later, sizeof now);
    hone_predictor_destroy(trained);
    hone_predictor_destroy(n.p);
    hone_context_destroy(n.ctx);
}
END_TEST

/* ---- threads ---------------------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, CALLS = 300 };

struct worker {
    pthread_t thread;
    hone_predictor *p;
    const float *wanted;
    int wrong;
};

static void *work(void *user)
{
    struct worker *w = user;
    float got[ROWS * OUT];
    const hone_output o = place(got);
    hone_error e = { 0 };
    for (int i = 0; i < CALLS; i++) {
        HN_OK(hone_predictor_run(w->p, ROWS, &all_rows, 1, &o, 1, &e), e);
        w->wrong += memcmp(got, w->wanted, sizeof got) != 0;
    }
    hone_predictor_destroy(w->p);
    return NULL;
}

START_TEST(side_by_side)
{
    struct net n;
    struct worker w[THREADS];
    hone_error e = { 0 };
    net_open(&n);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){ .wanted = n.before };
        HN_OK(hone_predictor_create(n.m, NULL, ROWS, &w[i].p, &e), e);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    net_train(&n); /* meanwhile */
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(w[i].thread, NULL), 0);
        ck_assert_int_eq(w[i].wrong, 0);
    }
    hone_predictor_destroy(n.p);
    hone_model_destroy(n.m);
    hone_context_destroy(n.ctx);
}
END_TEST

/* ---- errors ----------------------------------------------------------------------------------------------------------------- */

#define REFUSED(call, status, place, said)                                                         \
    do {                                                                                           \
        ck_assert_int_eq(call, status);                                                            \
        ck_assert_str_eq(e.where, place);                                                          \
        ck_assert_msg(strstr(e.text, said) != NULL, "'%s' does not say '%s'", e.text, said);       \
    } while (0)

START_TEST(errors)
{
    struct net n;
    hone_error e = { 0 };
    hone_params *params;
    hone_predictor *none;
    float got[ROWS * OUT], bad[ROWS * IN];
    const hone_output right = place(got);
    hone_output o = right, two[2] = { right, right };
    hone_array a = all_rows, twice[2] = { all_rows, all_rows };
    net_open(&n);
    HN_OK(hone_params_create(n.ctx, &params, &e), e);
    HN_OK(hone_params_set(params, "device", "cuda", &e), e);
    REFUSED(hone_predictor_create(n.m, params, 8, &none, &e), HONE_E_UNSUPPORTED, "device", "cuda");
    ck_assert_ptr_null(none);
    REFUSED(hone_predictor_create(n.m, NULL, 0, &none, &e), HONE_E_USAGE, "max_rows", "found 0");
    HN_OK(hone_params_set(params, "device", "cpu", &e), e);
    HN_OK(hone_params_set(params, "output", "z", &e), e);
    REFUSED(hone_predictor_create(n.m, params, 8, &none, &e), HONE_E_USAGE, "output", "'z'");
    hone_params_destroy(params);

#define RUN(rows, a, n_a, o, n_o) hone_predictor_run(n.p, rows, a, n_a, o, n_o, &e)
    REFUSED(RUN(ROWS + 1, &a, 1, &o, 1), HONE_E_USAGE, "rows", "found 97, wanted 0 to 96");
    REFUSED(RUN(-1, &a, 1, &o, 1), HONE_E_USAGE, "rows", "found -1");
    REFUSED(RUN(ROWS, twice, 2, &o, 1), HONE_E_USAGE, "inputs", "2 arrays are given");
    REFUSED(RUN(ROWS, &a, 0, &o, 1), HONE_E_USAGE, "inputs", "0 arrays are given");
    a.name = "w";
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "w", "no input of this name");
    a = all_rows, a.per_row = IN - 1;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_DATA, "x", "has 5 values, wanted 6");
    a = all_rows, a.rows = ROWS - 1;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_DATA, "x", "found 95 rows, wanted 96");
    a = all_rows, a.dtype = HONE_STR;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_DATA, "x", "wanted numbers");
    a = all_rows, a.dtype = (hone_dtype)999;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_DATA, "x", "wanted numbers");
    a = all_rows, a.data = NULL;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "x", "no data");
    a = all_rows, a.data = (const char *)x + 1;
    REFUSED(RUN(ROWS - 1, &a, 1, &o, 1), HONE_E_USAGE, "x", "aligned");
    memcpy(bad, x, sizeof bad);
    bad[17 * IN + 2] = (float)NAN;
    a = all_rows, a.data = bad;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_DATA, "x", "row 18, column 2 (from 0): found NaN");
    a = all_rows;
    o.name = "z";
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "z", "no output of this name");
    o = right, o.dtype = HONE_F64;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "y", "the output is float");
    o = right, o.per_row = 4;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "y", "4 values a row, the output has 3");
    o = right, o.rows = 4;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "y", "4 rows, wanted 96");
    o = right, o.data = NULL;
    REFUSED(RUN(ROWS, &a, 1, &o, 1), HONE_E_USAGE, "y", "no place");
    REFUSED(RUN(ROWS, &a, 1, two, 2), HONE_E_USAGE, "outputs", "2 places are given");
    HN_OK(RUN(0, NULL, 0, &right, 1), e);
    HN_OK(RUN(ROWS, &a, 1, &right, 1), e); /* none of it did any harm */
    ck_assert_mem_eq(got, n.before, sizeof got);
    hone_predictor_destroy(n.p);
    hone_model_destroy(n.m);
    hone_context_destroy(n.ctx);
}
END_TEST

/* An index outside of its table, in a model with a head and in a later block. */
START_TEST(indices)
{
    static const char *const models[] = { "embedding/columns", "embedding/floats" };
    for (size_t k = 0; k < 2; k++) {
        hone_context *ctx;
        hone_predictor *p;
        struct given g;
        hone_error e = { 0 };
        HN_OK(hone_context_create(NULL, &ctx, &e), e);
        hone_model *m = load(ctx, models[k]);
        HN_OK(hone_predictor_create(m, NULL, MOST, &p, &e), e);
        make_rows(p, 1, &g);
        HN_OK(hone_predictor_run(p, MOST, g.x, g.n, NULL, 0, &e), e);
        for (int64_t j = 0; j < g.x[0].per_row; j++) {
            const int64_t at = 1030 * g.x[0].per_row + j;
            if (g.x[0].dtype == HONE_I64)
                ((int64_t *)(uintptr_t)g.x[0].data)[at] = 1000;
            else
                ((float *)(uintptr_t)g.x[0].data)[at] = 1000;
        }
        REFUSED(hone_predictor_run(p, MOST, g.x, g.n, NULL, 0, &e), HONE_E_DATA, g.x[0].name,
                "row 1031");
        HN_OK(hone_predictor_run(p, 1030, g.x, g.n, NULL, 0, &e), e);
        if (g.n == 2) { /* the same input named twice */
            hone_array wrong[2] = { g.x[0], g.x[0] };
            REFUSED(hone_predictor_run(p, 5, wrong, 2, NULL, 0, &e), HONE_E_USAGE, g.x[0].name,
                    "two arrays");
        }
        free_rows(&g);
        hone_predictor_destroy(p);
        hone_model_destroy(m);
        hone_context_destroy(ctx);
    }
}
END_TEST

/* ---- failing memory --------------------------------------------------------------------------------------------------------- */

START_TEST(allocations)
{
    static const char *const models[] = { "embedding/columns", "embedding/floats", "labels/sk_text",
                                          "models/float64", "computed/low_rank" };
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        struct hn_fault f;
        hn_fault_init(&f);
        hone_context *ctx = context_on(&f);
        hone_model *m = load(ctx, models[k]);
        const long live = atomic_load(&f.live_blocks), before = atomic_load(&f.mem_fail.calls);
        hone_status st = HONE_E_NOMEM;
        long n = 0;
        for (; st == HONE_E_NOMEM && n < 5000; n++) {
            hone_predictor *p;
            hone_error e = { 0 };
            f.mem_fail.at = atomic_load(&f.mem_fail.calls) + n + 1;
            st = hone_predictor_create(m, NULL, 64, &p, &e);
            ck_assert_msg(st == HONE_OK || st == HONE_E_NOMEM, "%s, allocation %ld: %d %s: %s",
                          models[k], n, (int)st, e.where, e.text);
            ck_assert_int_eq(p != NULL, st == HONE_OK);
            if (st == HONE_OK) { /* nor does a run allocate */
                struct given g;
                struct room r;
                make_rows(p, 1, &g);
                make_room(p, &r);
                const long calls = atomic_load(&f.mem_fail.calls);
                for (int i = 0; i < 3; i++)
                    HN_OK(hone_predictor_run(p, 64 - i, g.x, g.n, r.o, r.n, &e), e);
                ck_assert_int_eq(atomic_load(&f.mem_fail.calls), calls);
                free_room(&r);
                free_rows(&g);
            }
            hone_predictor_destroy(p);
            ck_assert_int_eq(atomic_load(&f.live_blocks), live);
        }
        ck_assert_int_eq(st, HONE_OK);
        ck_assert_int_gt(n, 10);
        ck_assert_int_gt(atomic_load(&f.mem_fail.calls), before + 10);
        hone_model_destroy(m);
        hone_context_destroy(ctx);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
    }
}
END_TEST

HN_TEST_MAIN("predictor", tcase_add_loop_test(tc, bits, 0, KINDS);
             tcase_add_test(tc, stands_by_itself); tcase_add_test(tc, side_by_side);
             tcase_add_test(tc, errors); tcase_add_test(tc, indices);
             tcase_add_test(tc, allocations);)
