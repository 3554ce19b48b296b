/* SPDX-License-Identifier: MIT
 *
 * Training of half types: float32 inside, rounded once when written; what is judged and told is what is written. */
#include "plugin/train/job.h"
#include "tests/fault.h"
#include "tests/train/kit.h"
#include <math.h>

static hone_error err;

static const char *const models[] = { "bn_f16", "ln_bf16" };

static int into_buffer(void *user, const void *p, size_t n)
{
    struct hn_buffer *b = user;
    return b->sink.write(&b->sink, p, n, NULL) != HONE_OK;
}

/* Figures of the bytes that the model would be written as, over rows from `first` on. */
static hone_result *evaluate_bytes(struct kit *k, int first, int rows)
{
    struct hn_buffer bytes;
    hone_model *again;
    hone_result *e;
    hone_data *d = NULL;
    hone_array x = { sizeof x, NULL, HONE_F32, rows, KIT_IN, k->xf + first * KIT_IN };
    hone_array y = { sizeof y, NULL, HONE_F32, rows, 2, k->yf + first * 2 };
    if (k->classes) y.dtype = HONE_I64, y.per_row = 1, y.data = k->labels + first;
    hn_buffer_init(&bytes, &k->ctx->mem);
    HN_OK(hone_model_save_bytes(k->model, into_buffer, &bytes, &err), err);
    HN_OK(hone_model_load_bytes(k->ctx, bytes.p, bytes.n, NULL, &again, &err), err);
    hn_buffer_free(&bytes);
    HN_OK(hone_data_wrap(k->ctx, HONE_TRAIN, &x, 1, &y, 1, &d, &err), err);
    HN_OK(hone_evaluate(again, d, k->params, &e, &err), err);
    hone_data_destroy(d);
    hone_model_destroy(again);
    return e;
}

START_TEST(figures_are_those_of_the_file)
{
    struct kit k;
    hone_result *r, *e;
    char path[64];
    HN_OK(kit_open(&k, models[_i], 20, NULL, NULL, &err), err);
    HN_OK(kit_set(&k,
                  PAIRS({ "epochs", "12" }, { "lr", "0.02" }, { "batch-size", "8" },
                        { "save", _i ? "last" : "best" }),
                  &err),
          err);
    HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
    double best = _i ? 12 : kit_number(r, "best_epoch");
    ck_assert_double_gt(best, 0);
    snprintf(path, sizeof path, "curve.%d.val_loss", (int)best);
    ck_assert_double_eq(kit_number(r, path),
                        kit_number(r, "val.loss")); /* the epoch was judged as rounded, too */
    e = evaluate_bytes(&k, 30, 20);
    ck_assert_double_eq(kit_number(e, "loss"), kit_number(r, "val.loss"));
    hone_result_destroy(e);
    e = evaluate_bytes(&k, 0, 30);
    ck_assert_double_eq(kit_number(e, "loss"), kit_number(r, "train.loss"));
    hone_result_destroy(e);
    hone_result_destroy(r);
    kit_close(&k);
}
END_TEST

/* Arrays of the host in the model's type: rows that a half type holds exactly give the same bits. */
START_TEST(rows_of_half_types)
{
    static const hone_dtype types[] = { HONE_F16, HONE_BF16 };
    static uint16_t x16[KIT_ROWS * KIT_IN];
    uint64_t hash[2];
    for (int half = 0; half < 2; half++) {
        struct kit k;
        hone_result *r;
        HN_OK(kit_open(&k, models[_i], 0, NULL, NULL, &err), err);
        hone_array x = { sizeof x, NULL, HONE_F32, KIT_ROWS, KIT_IN, k.xf };
        hone_array y = { sizeof y, NULL, HONE_F32, KIT_ROWS, 2, k.yf };
        if (k.classes) y.dtype = HONE_I64, y.per_row = 1, y.data = k.labels;
        hn_convert(x16, (enum hn_dtype)types[_i], k.xf, HN_F32, KIT_ROWS * KIT_IN);
        if (half) x.dtype = types[_i], x.data = x16;
        hone_data_destroy(k.data);
        k.data = NULL;
        HN_OK(hone_data_wrap(k.ctx, HONE_TRAIN, &x, 1, &y, 1, &k.data, &err), err);
        HN_OK(kit_set(&k, PAIRS({ "epochs", "3" }), &err), err);
        HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
        hash[half] = kit_hash(k.model);
        hone_result_destroy(r);
        kit_close(&k);
    }
    ck_assert_uint_eq(hash[0], hash[1]);
}
END_TEST

/* The member's own weights are not rounded: steps smaller than the type's add up. */
START_TEST(small_steps_add_up)
{
    struct hn_job j;
    struct kit k;
    HN_OK(kit_open(&k, models[_i], 20, NULL, NULL, &err), err);
    HN_OK(
        kit_set(&k, PAIRS({ "epochs", "40" }, { "lr", "0.00002" }, { "optimizer", "adam" }), &err),
        err);
    HN_OK(hn_job_init(&j, k.model, k.params, &err), err);
    HN_OK(hn_job_open(&j, k.data, NULL, &err), err);
    HN_OK(hn_job_start(&j, &err), err);
    HN_OK(hn_fit_start(j.fit, &err), err);
    size_t n = j.s->prog->n_slab, between = 0;
    float *start = malloc(n * sizeof *start), *w = malloc(n * sizeof *w),
          *rounded = malloc(n * sizeof *w);
    HN_OK(hn_member_get(j.cohort, 0, HN_SLAB_W, start, &err), err);
    ck_assert_ptr_null(hn_round_as_stored(j.s->prog, memcpy(w, start, n * sizeof *w), 4));
    ck_assert_mem_eq(w, start, n * sizeof *w); /* as they came they are in the type */
    HN_OK(hn_fit_run(j.fit, &err), err);
    HN_OK(hn_member_get(j.cohort, 0, HN_SLAB_W, w, &err), err);
    ck_assert_ptr_null(hn_round_as_stored(j.s->prog, memcpy(rounded, w, n * sizeof *w), 4));
    for (size_t i = 0; i < j.s->prog->n_trained; i++) between += w[i] != rounded[i];
    ck_assert_uint_gt(between, j.s->prog->n_trained / 4);
    HN_OK(hn_job_finish(&j, &err), err);
    hn_job_close(&j);
    free(start);
    free(w);
    free(rounded);
    kit_close(&k);
}
END_TEST

/* A weight beyond the range: the run has diverged, and what it had before is the result, with validation and without. */
START_TEST(beyond_the_range_is_diverged)
{
    for (int val = 0; val <= 20; val += 20) {
        struct kit k;
        hone_result *r;
        HN_OK(kit_open(&k, models[_i], val, NULL, NULL, &err), err);
        uint64_t before = kit_hash(k.model);
        HN_OK(
            kit_set(&k, PAIRS({ "epochs", "3" }, { "lr", "30000" }, { "optimizer", "adam" }), &err),
            err);
        HN_OK(hone_train(k.model, k.data, k.params, NULL, &r, &err), err);
        if (_i == 0) {
            ck_assert_str_eq(hone_result_text(r, "stop_reason"), "diverged");
            ck_assert_ptr_nonnull(strstr(hone_result_text(r, "diverged.tensor"), " as float16"));
            ck_assert_double_eq(kit_number(r, "best_epoch"), 0);
            ck_assert_uint_eq(kit_hash(k.model), before);
        } else { /* bfloat16 has the range of float32 */
            ck_assert_str_eq(hone_result_text(r, "stop_reason"), "max_epochs");
        }
        hone_result_destroy(r);
        kit_close(&k);
    }
}
END_TEST

/* Without a run before it there is nothing to fall back on: an error, and the model is what it was. */
START_TEST(putting_names_the_element)
{
    struct kit k;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    struct hn_program *p;
    HN_OK(kit_open(&k, "bn_f16", 0, NULL, NULL, &err), err);
    HN_OK(hn_lower(hn_model_graph(k.model), &opts, &p, &err), err);
    float *w = malloc(p->n_slab * sizeof *w);
    uint64_t before = kit_hash(k.model);
    HN_OK(hn_model_get_weights(k.model, p, w, sizeof *w, &err), err);
    const struct hn_param *q = &p->params[0];
    w[q->off + 1] = 65519; /* rounds to the largest number */
    HN_OK(hn_model_put_weights(k.model, p, w, sizeof *w, &err), err);
    w[q->off + 2] = -65520; /* the tie goes to infinity */
    ck_assert_int_eq(hn_model_put_weights(k.model, p, w, sizeof *w, &err), HONE_E_DIVERGED);
    ck_assert_str_eq(err.where, q->name);
    ck_assert_ptr_nonnull(strstr(err.text, "element 2 is -65520, which float16 cannot hold"));
    ck_assert_str_ne(err.hint, "");
    HN_OK(hn_model_get_weights(k.model, p, w, sizeof *w, &err), err);
    ck_assert_double_eq((double)w[q->off + 1], 65504);
    w[q->off + 2] = INFINITY; /* what was infinite before is as it is (--allow-nonfinite) */
    HN_OK(hn_model_put_weights(k.model, p, w, sizeof *w, &err), err);
    ck_assert_uint_ne(kit_hash(k.model), before);
    free(w);
    hn_program_destroy(p, &k.ctx->mem);
    kit_close(&k);
}
END_TEST

/* The slab of rounded weights among all that may fail to be there. */
START_TEST(memory_fails)
{
    int failures = 0;
    for (long at = 1, hit = 1; hit; at++) {
        struct hn_fault f;
        struct kit k;
        hone_result *r = NULL;
        hone_context_opts o = HONE_CONTEXT_OPTS;
        hn_fault_init(&f);
        o.alloc = hn_fault_alloc, o.release = hn_fault_release, o.alloc_user = &f;
        HN_OK(kit_open(&k, models[_i], 10, &o, NULL, &err), err);
        HN_OK(kit_set(&k, PAIRS({ "epochs", "1" }, { "threads", "1" }), &err), err);
        uint64_t before = kit_hash(k.model);
        f.mem_fail.at = atomic_load(&f.mem_fail.calls) + at;
        hone_status st = hone_train(k.model, k.data, k.params, NULL, &r, &err);
        hit = atomic_load(&f.mem_fail.hits) > 0;
        f.mem_fail.at = 0;
        if (st != HONE_OK) {
            ck_assert_int_eq(st, HONE_E_NOMEM);
            ck_assert_uint_eq(kit_hash(k.model), before);
            failures++;
        }
        hone_result_destroy(r);
        kit_close(&k);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
    }
    ck_assert_int_gt(failures, 50);
}
END_TEST

HN_TEST_MAIN("half", tcase_add_loop_test(tc, figures_are_those_of_the_file, 0, 2);
             tcase_add_loop_test(tc, rows_of_half_types, 0, 2);
             tcase_add_loop_test(tc, small_steps_add_up, 0, 2);
             tcase_add_loop_test(tc, beyond_the_range_is_diverged, 0, 2);
             tcase_add_test(tc, putting_names_the_element);
             tcase_add_loop_test(tc, memory_fails, 0, 2);)
