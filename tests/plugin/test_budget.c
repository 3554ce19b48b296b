/* SPDX-License-Identifier: MIT
 *
 * memory_budget: every public call that finds it used up says HONE_E_BUDGET and the numbers, and what an allocator that has
 * nothing left says is HONE_E_NOMEM. */
#include "tests/plugin/model_util.h"

enum { ROWS = 40, IN = 4 };

static hone_error err;
static float x_rows[ROWS * IN];
static int64_t labels[ROWS];

struct all { /* one of everything */
    hone_context *ctx;
    hone_model *model;
    hone_params *params;
    hone_data *data;
    hone_study *study;
};

static hone_array x_array(void)
{
    return (hone_array){ sizeof(hone_array), NULL, HONE_F32, ROWS, IN, x_rows };
}

static hone_array y_array(void)
{
    return (hone_array){ sizeof(hone_array), NULL, HONE_I64, ROWS, 1, labels };
}

static int no_rows(void *user, const hone_array *o, size_t n, int64_t first)
{
    (void)user, (void)o, (void)n, (void)first;
    return 0;
}

static int no_bytes(void *user, const void *p, size_t n)
{
    (void)user, (void)p, (void)n;
    return 0;
}

typedef hone_status (*call)(struct all *a, hone_error *e);

static hone_status context(struct all *a, hone_error *e)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    (void)a;
    o.memory_budget = 10;
    return hone_context_create(&o, &ctx, e);
}

static hone_status wrap(struct all *a, hone_error *e)
{
    hone_array x = x_array(), y = y_array();
    return hone_data_wrap(a->ctx, HONE_VAL, &x, 1, &y, 1, &a->data, e);
}

static hone_status weights(struct all *a, hone_error *e)
{
    hone_array w = x_array();
    w.per_row = 1;
    return hone_data_weights(a->data, HONE_TRAIN, &w, e);
}

static hone_status groups(struct all *a, hone_error *e)
{
    hone_array g = x_array();
    g.per_row = 1;
    return hone_data_groups(a->data, &g, e);
}

static hone_status params_create(struct all *a, hone_error *e)
{
    hone_params *p;
    return hone_params_create(a->ctx, &p, e);
}

static hone_status params_set(struct all *a, hone_error *e)
{
    return hone_params_set(a->params, "optimizer", "sgd", e);
}

static hone_status load(struct all *a, hone_error *e)
{
    hone_model *m;
    return hone_model_load(a->ctx, HN_SOURCE_DIR "/tests/data/train/bn_f32.onnx", &m, e);
}

static hone_status load_bytes(struct all *a, hone_error *e)
{
    hone_model *m;
    return hone_model_load_bytes(a->ctx, "model", 5, NULL, &m, e);
}

static hone_status new_model(struct all *a, hone_error *e)
{
    hone_model *m;
    return hone_model_new(a->ctx, "4-3", 1, &m, e);
}

static hone_status edit(struct all *a, hone_error *e)
{
    return hone_model_edit(a->model, "hidden units=9", e);
}

static hone_status save(struct all *a, hone_error *e)
{
    return hone_model_save(a->model, HN_BINARY_DIR "/test_budget.onnx", NULL, e);
}

static hone_status save_bytes(struct all *a, hone_error *e)
{
    return hone_model_save_bytes(a->model, no_bytes, NULL, e);
}

static hone_status predictor(struct all *a, hone_error *e)
{
    hone_predictor *p;
    return hone_predictor_create(a->model, NULL, 8, &p, e);
}

static hone_status study(struct all *a, hone_error *e)
{
    hone_study *s;
    return hone_study_open(a->ctx, HN_BINARY_DIR "/test_budget_2.db", a->params, &s, e);
}

#define GIVES_RESULT(name, ...)                                                                    \
    static hone_status name(struct all *a, hone_error *e)                                          \
    {                                                                                              \
        hone_result *r;                                                                            \
        return __VA_ARGS__;                                                                        \
    }
#define GIVES_DATA(name, ...)                                                                      \
    static hone_status name(struct all *a, hone_error *e)                                          \
    {                                                                                              \
        hone_data *d;                                                                              \
        return __VA_ARGS__;                                                                        \
    }
GIVES_DATA(data_open, hone_data_open(a->ctx, NULL, a->params, &d, e))
GIVES_RESULT(doctor, hone_doctor(a->ctx, &r, e))
GIVES_RESULT(describe, hone_model_describe(a->model, &r, e))
GIVES_RESULT(plugin_list, hone_plugin_list(a->ctx, &r, e))
GIVES_RESULT(plugin_check, hone_plugin_check(a->ctx, "./none.so", NULL, &r, e))
GIVES_RESULT(train, hone_train(a->model, a->data, a->params, NULL, &r, e))
GIVES_RESULT(lr_find, hone_lr_find(a->model, a->data, NULL, NULL, &r, e))
GIVES_RESULT(tune, hone_tune(a->model, a->data, a->params, NULL, &r, e))
GIVES_RESULT(evaluate, hone_evaluate(a->model, a->data, NULL, &r, e))
GIVES_RESULT(predict, hone_predict(a->model, a->data, NULL, NULL, no_rows, NULL, &r, e))
GIVES_RESULT(gradcheck, hone_gradcheck(a->model, NULL, &r, e))
GIVES_RESULT(verify, hone_verify(a->model, (const char *const[]){ HN_SOURCE_DIR }, 1, NULL, &r, e))
GIVES_RESULT(diff, hone_diff(a->ctx, HN_SOURCE_DIR "/examples/mnist/mnist.onnx",
                             HN_SOURCE_DIR "/examples/mnist/mnist.onnx", &r, e))
GIVES_RESULT(ask, hone_study_ask(a->study, &r, e))
GIVES_RESULT(tell, hone_study_tell(a->study, 0, 1.5, &r, e))
GIVES_RESULT(describe_study, hone_study_describe(a->study, &r, e))
GIVES_RESULT(export, hone_study_export(a->ctx, HN_BINARY_DIR "/test_budget.db", a->params, &r, e))

static hone_status plugin_load(struct all *a, hone_error *e)
{
    return hone_plugin_load(a->ctx, "./none.so", e);
}

static hone_status resume(struct all *a, hone_error *e)
{
    hone_model *m;
    hone_result *r;
    return hone_resume(a->ctx, HN_BINARY_DIR "/no-such-run", NULL, NULL, &m, &r, e);
}

static const struct {
    const char *name;
    call call;
} calls[] = {
    { "hone_context_create", context },
    { "hone_data_open", data_open },
    { "hone_data_wrap", wrap },
    { "hone_data_weights", weights },
    { "hone_data_groups", groups },
    { "hone_params_create", params_create },
    { "hone_params_set", params_set },
    { "hone_model_load", load },
    { "hone_model_load_bytes", load_bytes },
    { "hone_model_new", new_model },
    { "hone_model_edit", edit },
    { "hone_model_save", save },
    { "hone_model_save_bytes", save_bytes },
    { "hone_model_describe", describe },
    { "hone_plugin_load", plugin_load },
    { "hone_plugin_list", plugin_list },
    { "hone_plugin_check", plugin_check },
    { "hone_doctor", doctor },
    { "hone_train", train },
    { "hone_lr_find", lr_find },
    { "hone_resume", resume },
    { "hone_evaluate", evaluate },
    { "hone_predict", predict },
    { "hone_predictor_create", predictor },
    { "hone_verify", verify },
    { "hone_gradcheck", gradcheck },
    { "hone_diff", diff },
    { "hone_study_open", study },
    { "hone_study_ask", ask },
    { "hone_study_tell", tell },
    { "hone_study_describe", describe_study },
    { "hone_study_export", export },
    { "hone_tune", tune },
};

static void open_all(struct all *a, struct hn_fault *f)
{
    hone_array x = x_array(), y = y_array();
    hone_result *r;
    for (int i = 0; i < ROWS * IN; i++) x_rows[i] = (float)(i * 37 % 64) / 16;
    for (int i = 0; i < ROWS; i++) labels[i] = i % 3;
    *a = (struct all){ .ctx = context_on(f) };
    HN_OK(hone_model_new(a->ctx, "4-5-3 relu softmax", 1, &a->model, &err), err);
    HN_OK(hone_params_create(a->ctx, &a->params, &err), err);
    static const char *const set[][2] = { { "search", "lr=0.1,0.2" },
                                          { "optuna", HN_BINARY_DIR "/test_budget.log" },
                                          { "folds", "2" },
                                          { "x", "none.npy" } };
    (void)unlink(HN_BINARY_DIR "/test_budget.db");
    HN_OK(hone_params_set(a->params, set[0][0], set[0][1], &err), err);
    HN_OK(hone_study_open(a->ctx, HN_BINARY_DIR "/test_budget.db", a->params, &a->study, &err),
          err);
    HN_OK(hone_study_ask(a->study, &r, &err), err);
    hone_result_destroy(r);
    for (size_t i = 1; i < sizeof set / sizeof *set; i++)
        HN_OK(hone_params_set(a->params, set[i][0], set[i][1], &err), err);
    HN_OK(hone_data_wrap(a->ctx, HONE_TRAIN, &x, 1, &y, 1, &a->data, &err), err);
}

static void close_all(struct all *a)
{
    hone_study_close(a->study);
    hone_data_destroy(a->data);
    hone_params_destroy(a->params);
    hone_model_destroy(a->model);
    hone_context_destroy(a->ctx);
    (void)unlink(HN_BINARY_DIR "/test_budget.db");
}

START_TEST(every_call_says_that_it_was_the_budget)
{
    struct hn_fault f;
    struct all a;
    hn_fault_init(&f);
    open_all(&a, &f);
    a.ctx->mem.budget = atomic_load(&a.ctx->mem.used);
    hone_status st = calls[_i].call(&a, &err);
    ck_assert_msg(st == HONE_E_BUDGET && err.code == st, "%s: %d %s: %s", calls[_i].name, (int)st,
                  err.where, err.text);
    ck_assert_msg(strstr(err.text, "memory_budget is ") && !strstr(err.text, " 0 bytes for"), "%s",
                  err.text);
    a.ctx->mem.budget = 0;
    close_all(&a);
    ck_assert_int_eq(hn_fault_leaks(&f), 0);
}
END_TEST

/* All but the first, whose context is its own. */
START_TEST(an_allocator_that_fails_is_no_budget)
{
    struct hn_fault f;
    struct all a;
    hn_fault_init(&f);
    open_all(&a, &f);
    a.ctx->mem.budget = atomic_load(&a.ctx->mem.used) + ((size_t)1 << 30);
    f.mem_fail.at = atomic_load(&f.mem_fail.calls) + 1;
    f.mem_fail.persistent = 1;
    hone_status st = calls[_i].call(&a, &err);
    ck_assert_msg(st == HONE_E_NOMEM && err.code == st, "%s: %d %s: %s", calls[_i].name, (int)st,
                  err.where, err.text);
    ck_assert_ptr_null(strstr(err.text, "memory_budget"));
    f.mem_fail.at = 0;
    close_all(&a);
    ck_assert_int_eq(hn_fault_leaks(&f), 0);
}
END_TEST

/* From too little for a context to enough for a run: nothing else is ever said. */
START_TEST(any_budget)
{
    hone_array x = x_array(), y = y_array();
    hone_status st = HONE_E_BUDGET;
    size_t budget = 50;
    for (; st != HONE_OK; budget += 50 + budget / 40) {
        hone_context_opts o = HONE_CONTEXT_OPTS;
        struct all a = { 0 };
        hone_result *r = NULL;
        o.memory_budget = budget;
        st = hone_context_create(&o, &a.ctx, &err);
        if (st == HONE_OK) st = hone_model_new(a.ctx, "4-5-3 relu softmax", 1, &a.model, &err);
        if (st == HONE_OK) st = hone_data_wrap(a.ctx, HONE_TRAIN, &x, 1, &y, 1, &a.data, &err);
        if (st == HONE_OK) st = hone_train(a.model, a.data, NULL, NULL, &r, &err);
        ck_assert_msg(st == HONE_OK || (st == HONE_E_BUDGET && strstr(err.text, "memory_budget")),
                      "%zu: %d %s: %s", budget, (int)st, err.where, err.text);
        hone_result_destroy(r);
        hone_data_destroy(a.data);
        hone_model_destroy(a.model);
        hone_context_destroy(a.ctx);
    }
    ck_assert_uint_gt(budget, 5000);
}
END_TEST

enum { CALLS = sizeof calls / sizeof *calls };
HN_TEST_MAIN("budget", tcase_add_loop_test(tc, every_call_says_that_it_was_the_budget, 0, CALLS);
             tcase_add_loop_test(tc, an_allocator_that_fails_is_no_budget, 1, CALLS);
             tcase_add_test(tc, any_budget);)
