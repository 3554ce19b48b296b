/* SPDX-License-Identifier: MIT
 *
 * Models of every newer kind (labels behind the scores, functions, half precision, embeddings, external data, doubles) described,
 * evaluated, predicted into a file, trained for an epoch, saved and compared with every allocation and every file call failing
 * once: an error with a reason, nothing leaked, a file that is whole or not there. */
#include "plugin/internal.h"
#include "tests/fault.h"
#include "tests/harness.h"

static const struct {
    const char *name;
    int dtype;
    int64_t in, out; /* numbers a row; out 0: a class */
} models[] = {
    { "labels/sk_text", HONE_F32, 5, 0 },         { "labels/keras_argmax", HONE_F32, 5, 0 },
    { "functions/tower", HONE_F32, 6, 0 },        { "functions/script", HONE_F32, 6, 0 },
    { "half/batchnorm_bf16", HONE_F32, 6, 0 },    { "embedding/shared", HONE_I64, 3, 1 },
    { "models/dynamo_external", HONE_F32, 6, 0 }, { "parity/one_f64", HONE_F64, 12, 1 },
};
enum { ROWS = 8, MODELS = sizeof models / sizeof *models };

static char folder[256], out[300], predicted[300];
static const char *const words[ROWS] = { "low", "mittelgroß", "low", "low",
                                         "高",  "low",        "low", "low" };

static hone_status open_data(hone_context *ctx, int which, hone_data **d, hone_error *err)
{
    static double f64[ROWS * 12];
    static float f32[ROWS * 12], y32[ROWS];
    static double y64[ROWS];
    static int64_t i64[ROWS * 12], classes[ROWS];
    for (int i = 0; i < ROWS * 12; i++) {
        f64[i] = (i * 37 % 11) / 8.0 - 0.5;
        f32[i] = (float)f64[i];
        i64[i] = i % 2;
    }
    const int type = models[which].dtype;
    const void *x = type == HONE_F32 ? (void *)f32 : type == HONE_F64 ? (void *)f64 : (void *)i64;
    hone_array a = { sizeof a, NULL, type, ROWS, models[which].in, x };
    hone_array b = { sizeof b, NULL, HONE_I64, ROWS, 1, classes };
    if (models[which].out)
        b.dtype = type == HONE_F64 ? HONE_F64 : HONE_F32,
        b.data = type == HONE_F64 ? (void *)y64 : y32;
    if (which == 0) b.dtype = HONE_STR, b.data = words;
    return hone_data_wrap(ctx, HONE_TRAIN, &a, 1, &b, 1, d, err);
}

static hone_status answer(hone_context *ctx, int which, hone_error *err)
{
    char path[300];
    hone_model *m = NULL;
    hone_data *d = NULL;
    hone_params *p = NULL;
    hone_result *r[5] = { NULL };
    hone_callbacks cb = HONE_CALLBACKS;
    snprintf(path, sizeof path, "%s/tests/data/%s.onnx", HN_SOURCE_DIR, models[which].name);
    hone_status st = hone_model_load(ctx, path, &m, err);
    if (st == HONE_OK) st = hone_params_create(ctx, &p, err);
    if (st == HONE_OK) st = hone_params_set(p, "epochs", "1", err);
    if (st == HONE_OK) st = hone_params_set(p, "threads", "1", err);
    if (st == HONE_OK) st = hone_params_set(p, "force", "true", err);
    if (st == HONE_OK) st = hone_model_describe(m, &r[0], err);
    if (st == HONE_OK) st = open_data(ctx, which, &d, err);
    if (st == HONE_OK) st = hone_evaluate(m, d, p, &r[1], err);
    if (st == HONE_OK) st = hone_predict(m, d, p, predicted, NULL, NULL, &r[2], err);
    if (st == HONE_OK) st = hone_train(m, d, p, &cb, &r[3], err);
    if (st == HONE_OK) st = hone_model_save(m, out, p, err);
    if (st == HONE_OK) st = hone_diff(ctx, path, out, &r[4], err);
    for (int i = 0; i < 5; i++) hone_result_destroy(r[i]);
    hone_data_destroy(d);
    hone_params_destroy(p);
    hone_model_destroy(m);
    return st;
}

static hone_status job(struct hn_fault *f, int which, hone_error *err)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    opts.alloc = f->mem.alloc;
    opts.release = f->mem.release;
    opts.alloc_user = f->mem.user;
    hone_status st = hn_context_create_with(&opts, &f->io, &ctx, err);
    if (st != HONE_OK) return st;
    st = answer(ctx, which, err);
    hone_context_destroy(ctx);
    return st;
}

static unsigned char good[2][1 << 17], now[1 << 17];
static size_t n_good[2];

static size_t read_all(const char *path, unsigned char *buf)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(buf, 1, sizeof now, f) : 0;
    if (f) fclose(f);
    return n;
}

/* Not there, or all of it. */
static void check_whole(const char *path, int i, long n)
{
    size_t size = read_all(path, now);
    ck_assert_msg(size == 0 || (size == n_good[i] && !memcmp(now, good[i], size)),
                  "call %ld: %s has %zu of %zu bytes", n, path, size, n_good[i]);
}

static void remove_both(void)
{
    (void)unlink(out);
    (void)unlink(predicted);
}

static void disturb(int which, int io)
{
    struct hn_fault f;
    hone_error err = { 0 };
    remove_both();
    hn_fault_init(&f);
    HN_OK(job(&f, which, &err), err);
    n_good[0] = read_all(out, good[0]);
    n_good[1] = read_all(predicted, good[1]);
    ck_assert(n_good[0] > 100 && n_good[1] > 10);
    long last = atomic_load(io ? &f.io_fail.calls : &f.mem_fail.calls), noticed = 0;
    for (long n = 1; n <= last; n += 1 + last / 700) {
        remove_both();
        hn_fault_init(&f);
        *(io ? &f.io_fail.at : &f.mem_fail.at) = n;
        f.io_fail.code = ENOSPC;
        err = (hone_error){ .code = HONE_OK };
        hone_status st = job(&f, which, &err);
        ck_assert_msg(hn_fault_leaks(&f) == 0, "%s, call %ld: %ld leaked", models[which].name, n,
                      hn_fault_leaks(&f));
        ck_assert_msg(st == HONE_OK || (err.code == st && err.text[0]), "%s, call %ld: no reason",
                      models[which].name, n);
        ck_assert_msg(st == HONE_OK || st == (io ? HONE_E_IO : HONE_E_NOMEM),
                      "%s, call %ld: %d %s: %s", models[which].name, n, (int)st, err.where,
                      err.text);
        noticed += st != HONE_OK;
        if (st == HONE_OK) ck_assert_uint_eq(read_all(out, now), n_good[0]);
        check_whole(out, 0, n);
        check_whole(predicted, 1, n);
    }
    ck_assert_int_gt(noticed, io ? 5 : 50);
    remove_both();
}

START_TEST(every_call_fails_once)
{
    snprintf(folder, sizeof folder, "%s/answers-XXXXXX", HN_BINARY_DIR);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out.onnx", folder);
    snprintf(predicted, sizeof predicted, "%s/p.csv", folder);
    disturb(_i, 0);
    disturb(_i, 1);
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

HN_TEST_MAIN("fault answers", tcase_add_loop_test(tc, every_call_fails_once, 0, MODELS);)
