/* SPDX-License-Identifier: MIT
 *
 * Quantisation-aware training (models and vectors of tests/data/make_quant.py): float32 inside, rounded wherever a weight is used, so
 * that what is judged and told is what is written. */
#include "ops/base/quant.h"
#include "plugin/model.h"
#include "plugin/train/job.h"
#include "tests/fault.h"
#include "tests/train/kit.h"
#include <math.h>

enum { ROWS = 48, IN = 6, CLASSES = 3 };
static hone_error err;

static const char *const models[] = { "gemm_u8",    "gemm_i8_channel",   "gemm_softmax_channel",
                                      "matmul_u8",  "matmul_i8_channel", "gemm_u16_microsoft",
                                      "torch_fake", "uint8_in",          "batchnorm" };
enum {
    N_MODELS = sizeof models / sizeof *models,
    SOFTMAX = 2,
    FLOAT_WEIGHTS = 6,
    UINT8_IN = 7,
    BATCHNORM = 8
};

struct bench {
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    hone_params *params;
    struct hn_file file;
    float x[ROWS * IN], y[ROWS * CLASSES];
    uint8_t x8[ROWS * IN];
    int64_t labels[ROWS];
    int which;
};

static void path_of(const char *name, const char *end, char path[512])
{
    snprintf(path, 512, "%s/tests/data/quant/%s%s", HN_SOURCE_DIR, name, end);
}

static void fill(struct bench *b)
{
    for (int i = 0; i < ROWS; i++) {
        double sum[CLASSES] = { 0 };
        for (int j = 0; j < IN; j++) {
            const int k = (i * 37 + j * 91 + i * j * 5 + 17) % 64 - 31;
            b->x[i * IN + j] = (float)k / 16;
            b->x8[i * IN + j] = (uint8_t)(128 + 2 * k);
            for (int c = 0; c < CLASSES; c++) sum[c] += k * ((j * 5 + c * 3) % 7 - 3) / 64.0;
        }
        for (int c = 0; c < CLASSES; c++) b->y[i * CLASSES + c] = (float)sum[c];
        for (int c = 1; c < CLASSES; c++)
            if (sum[c] > sum[b->labels[i]]) b->labels[i] = c;
    }
}

/* Rows from `first` on. */
static hone_status wrap(struct bench *b, hone_role role, int first, int rows, hone_data **to)
{
    hone_array x = { sizeof x, NULL, HONE_F32, rows, IN, b->x + first * IN };
    hone_array y = { sizeof y, NULL, HONE_F32, rows, CLASSES, b->y + first * CLASSES };
    if (b->which == UINT8_IN) x.dtype = HONE_U8, x.data = b->x8 + first * IN;
    if (b->which == SOFTMAX) y.dtype = HONE_I64, y.per_row = 1, y.data = b->labels + first;
    return hone_data_wrap(b->ctx, role, &x, 1, &y, 1, to, &err);
}

static void open_bench(struct bench *b, int which, int val, const hone_context_opts *opts,
                       const struct kit_pair *pairs)
{
    char path[512];
    *b = (struct bench){ .which = which };
    fill(b);
    path_of(models[which], ".onnx", path);
    HN_OK(hn_context_create_with(opts, &hn_io_system, &b->ctx, &err), err);
    HN_OK(hone_model_load(b->ctx, path, &b->model, &err), err);
    HN_OK(hone_params_create(b->ctx, &b->params, &err), err);
    HN_OK(wrap(b, HONE_TRAIN, 0, ROWS - val, &b->data), err);
    if (val) HN_OK(wrap(b, HONE_VAL, ROWS - val, val, &b->data), err);
    for (; pairs->name; pairs++)
        HN_OK(hone_params_set(b->params, pairs->name, pairs->value, &err), err);
}

static void close_bench(struct bench *b)
{
    hone_data_destroy(b->data);
    hone_params_destroy(b->params);
    hone_model_destroy(b->model);
    hone_context_destroy(b->ctx);
}

static int into_buffer(void *user, const void *p, size_t n)
{
    struct hn_buffer *b = user;
    return b->sink.write(&b->sink, p, n, NULL) != HONE_OK;
}

static hone_model *written(struct bench *b)
{
    struct hn_buffer bytes;
    hone_model *again;
    hn_buffer_init(&bytes, &b->ctx->mem);
    HN_OK(hone_model_save_bytes(b->model, into_buffer, &bytes, &err), err);
    HN_OK(hone_model_load_bytes(b->ctx, bytes.p, bytes.n, NULL, &again, &err), err);
    hn_buffer_free(&bytes);
    return again;
}

/* ONNX Runtime's outputs, to the bit: nothing here is near a tie. */
START_TEST(outputs_are_onnx_runtimes)
{
    char folder[512];
    const char *dirs[] = { folder };
    struct bench b;
    hone_result *r;
    open_bench(&b, _i, 0, NULL, PAIRS({ NULL, NULL }));
    path_of(models[_i], "", folder);
    HN_OK(hone_verify(b.model, dirs, 1, b.params, &r, &err), err);
    ck_assert_double_eq(kit_number(r, "passed"), 1);
    ck_assert_double_eq(kit_number(r, "max_abs"), 0);
    ck_assert_double_gt(kit_number(r, "atol"), 1e-6); /* a step of the output */
    hone_result_destroy(r);
    close_bench(&b);
}
END_TEST

/* It learns, and the loss of the best epoch is that of the bytes that are written, to the bit. */
START_TEST(figures_are_those_of_the_file)
{
    struct bench b;
    hone_result *r, *e;
    hone_data *val = NULL;
    char path[64];
    open_bench(&b, _i, 16, NULL,
               PAIRS({ "epochs", "30" }, { "lr", "0.01" }, { "batch-size", "8" }));
    HN_OK(hone_train(b.model, b.data, b.params, NULL, &r, &err), err);
    const double best = kit_number(r, "best_epoch");
    ck_assert_double_gt(best, 0);
    ck_assert_double_lt(kit_number(r, "val.loss"), 0.9 * kit_number(r, "before.val.loss"));
    snprintf(path, sizeof path, "curve.%d.val_loss", (int)best);
    ck_assert_double_eq(kit_number(r, path), kit_number(r, "val.loss"));
    hone_model *again = written(&b);
    HN_OK(wrap(&b, HONE_TRAIN, ROWS - 16, 16, &val), err);
    HN_OK(hone_evaluate(again, val, b.params, &e, &err), err);
    ck_assert_double_eq(kit_number(e, "loss"), kit_number(r, "val.loss"));
    hone_result_destroy(e);
    hone_data_destroy(val);
    hone_model_destroy(again);
    hone_result_destroy(r);
    close_bench(&b);
}
END_TEST

/* Only whole numbers of weights change: their tensors keep type and place, scales, zero points and running statistics in
 * whole numbers keep their bits. */
START_TEST(only_weights_change)
{
    struct bench b;
    hone_result *r;
    int changed = 0;
    open_bench(&b, _i, 16, NULL, PAIRS({ "epochs", "5" }, { "lr", "0.01" }));
    HN_OK(hone_train(b.model, b.data, b.params, NULL, &r, &err), err);
    hone_model *again = written(&b);
    const struct hn_onnx *was = hn_model_onnx(b.model), *now = hn_model_onnx(again);
    ck_assert_uint_eq(was->n_tensors, now->n_tensors);
    for (size_t i = 0; i < was->n_tensors; i++) {
        const struct hn_tensor *a = &was->tensors[i].t, *c = &now->tensors[i].t;
        const size_t bytes = (size_t)a->n * hn_dtype_size(a->dtype);
        const char *name = was->tensors[i].name;
        ck_assert_int_eq(a->dtype, c->dtype);
        const int same = memcmp(a->data, c->data, bytes) == 0;
        changed += !same;
        if (name && (strstr(name, "scale") || strstr(name, "zero_point"))) ck_assert(same);
        if (name && (!strncmp(name, "mean", 4) || !strncmp(name, "var", 3))) ck_assert(same);
    }
    ck_assert_int_eq(changed, _i == BATCHNORM ? 6 : 4); /* its scale and shift are floats */
    hone_model_destroy(again);
    hone_result_destroy(r);
    close_bench(&b);
}
END_TEST

/* Rates too small for a step of any weight: they add up inside, the file stays as it is, byte for byte. */
START_TEST(small_steps_are_kept_inside)
{
    struct hn_job j;
    struct bench b;
    open_bench(&b, _i, 0, NULL, PAIRS({ "epochs", "1" }, { "lr", "1e-7" }));
    const uint64_t before = kit_hash(b.model);
    HN_OK(hn_job_init(&j, b.model, b.params, &err), err);
    HN_OK(hn_job_open(&j, b.data, NULL, &err), err);
    HN_OK(hn_job_start(&j, &err), err);
    HN_OK(hn_fit_start(j.fit, &err), err);
    const size_t n = j.s->prog->n_slab;
    float *start = malloc(n * sizeof *start), *w = malloc(n * sizeof *w);
    size_t moved = 0;
    HN_OK(hn_member_get(j.cohort, 0, HN_SLAB_W, start, &err), err);
    HN_OK(hn_fit_run(j.fit, &err), err);
    HN_OK(hn_member_get(j.cohort, 0, HN_SLAB_W, w, &err), err);
    for (size_t i = 0; i < j.s->prog->n_trained; i++) moved += w[i] != start[i];
    ck_assert_uint_gt(moved, 20);
    HN_OK(hn_model_put_weights(b.model, j.s->prog, w, sizeof *w, &err), err);
    ck_assert_uint_eq(kit_hash(b.model), before);
    hn_job_close(&j);
    free(start);
    free(w);
    close_bench(&b);
}
END_TEST

/* A weight far outside is at the end of the range in the file, and no gradient pushes it further. */
START_TEST(beyond_the_range)
{
    struct bench b;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    struct hn_program *p;
    open_bench(&b, 0, 0, NULL, PAIRS({ NULL, NULL }));
    HN_OK(hn_lower(hn_model_graph(b.model), &opts, &p, &err), err);
    float *w = malloc(p->n_slab * sizeof *w);
    HN_OK(hn_model_get_weights(b.model, p, w, sizeof *w, &err), err);
    const struct hn_param *q = NULL;
    for (int i = 0; i < p->n_params; i++)
        if (p->params[i].stored && p->params[i].stored->dtype == HN_I8) q = &p->params[i];
    ck_assert_ptr_nonnull(q);
    w[q->off] = 1e6f, w[q->off + 1] = -1e6f;
    HN_OK(hn_model_put_weights(b.model, p, w, sizeof *w, &err), err);
    HN_OK(hn_model_get_weights(b.model, p, w, sizeof *w, &err), err);
    const float s = (float)hn_tensor_f64(q->stored->scale, 0);
    ck_assert(w[q->off] == 127 * s);
    ck_assert(w[q->off + 1] == -128 * s);
    free(w);
    hn_program_destroy(p, &b.ctx->mem);
    close_bench(&b);
}
END_TEST

/* What needs layers that are not quantised says so by name. */
START_TEST(refusals)
{
    static const struct {
        const char *name, *value, *where, *words;
    } cases[] = {
        { "hidden-units", "4", "fc0", "its weight is quantised" },
        { "batchnorm", "insert", "b0_DequantizeLinear", "whose weights are quantised" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        hone_result *r = NULL;
        open_bench(&b, 0, 0, NULL, PAIRS({ cases[i].name, cases[i].value }));
        const uint64_t before = kit_hash(b.model);
        ck_assert_int_eq(hone_train(b.model, b.data, b.params, NULL, &r, &err), HONE_E_UNSUPPORTED);
        ck_assert_str_eq(err.where, cases[i].where);
        ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "%s", err.text);
        ck_assert_uint_eq(kit_hash(b.model), before);
        close_bench(&b);
    }
    struct bench b;
    hone_result *r = NULL;
    open_bench(&b, 0, 0, NULL, PAIRS({ NULL, NULL }));
    ck_assert_int_eq(hone_gradcheck(b.model, b.params, &r, &err), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "straight-through"));
    close_bench(&b);
}
END_TEST

START_TEST(memory_fails)
{
    int failures = 0;
    for (long at = 1, hit = 1; hit; at++) {
        struct hn_fault f;
        struct bench b;
        hone_result *r = NULL;
        hone_context_opts o = HONE_CONTEXT_OPTS;
        hn_fault_init(&f);
        o.alloc = hn_fault_alloc, o.release = hn_fault_release, o.alloc_user = &f;
        open_bench(&b, 1, 10, &o, PAIRS({ "epochs", "1" }, { "threads", "1" }));
        const uint64_t before = kit_hash(b.model);
        f.mem_fail.at = atomic_load(&f.mem_fail.calls) + at;
        const hone_status st = hone_train(b.model, b.data, b.params, NULL, &r, &err);
        hit = atomic_load(&f.mem_fail.hits) > 0;
        f.mem_fail.at = 0;
        if (st != HONE_OK) {
            ck_assert_int_eq(st, HONE_E_NOMEM);
            ck_assert_uint_eq(kit_hash(b.model), before);
            failures++;
        }
        hone_result_destroy(r);
        close_bench(&b);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
    }
    ck_assert_int_gt(failures, 50);
}
END_TEST

HN_TEST_MAIN("quantized", tcase_add_loop_test(tc, outputs_are_onnx_runtimes, 0, N_MODELS);
             tcase_add_loop_test(tc, figures_are_those_of_the_file, 0, N_MODELS);
             tcase_add_loop_test(tc, only_weights_change, 0, N_MODELS);
             tcase_add_loop_test(tc, small_steps_are_kept_inside, 0, FLOAT_WEIGHTS);
             tcase_add_test(tc, beyond_the_range); tcase_add_test(tc, refusals);
             tcase_add_test(tc, memory_fails);)
