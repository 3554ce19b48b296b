/* SPDX-License-Identifier: MIT
 *
 * What run() promises, shown on the reference backend: the passes, accumulation, the clock, losses that are not finite,
 * slots that do not notice each other, refusals, no allocation after the first call. */
#include "tests/fault.h"
#include "tests/math/job.h"
#include <math.h>

enum { SLAB = 512 };
static struct job j, k;

static void same(const char *what, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(!memcmp(&a[i], &b[i], 8), "%s: element %zu: %.17g, %.17g", what, i, a[i],
                      b[i]);
}

START_TEST(a_train_step_is_a_gradient_and_an_update)
{
    hone_error err = { 0 };
    double before[SLAB], dw[SLAB], after[SLAB], m[SLAB], v[SLAB];
    job_open(&j, &hn_backend_reference, (enum hn_optimizer)_i);
    job_get(&j, 0, HN_SLAB_W, before);
    HN_OK(job_run(&j, HN_PASS_GRAD, 0, 1, 1, 1, &err), err);
    job_get(&j, 0, HN_SLAB_W, after);
    same("GRAD moves no weight and no state", before, after, j.t.p.n_slab);
    ck_assert(j.r[0].now.batch == 0 && j.r[0].now.step == 0);
    double loss = j.partial[0][0];
    ck_assert(isfinite(loss) && j.partial[0][1] == JOB_BATCH);
    job_get(&j, 0, HN_SLAB_DW, dw);
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), err);
    ck_assert_double_eq(j.partial[0][0], 2 * loss); /* same batch number: same dropout */
    ck_assert(j.r[0].now.batch == 1 && j.r[0].now.step == 1 && j.r[0].now.micro == 0);
    memset(m, 0, sizeof m), memset(v, 0, sizeof v);
    struct hn_optim_call c = { &j.hyper, &j.t.p, before, dw, m, v, j.lr[0], 1, 1 };
    hn_optim_reference(&c);
    job_get(&j, 0, HN_SLAB_W, after);
    same("weights", before, after, j.t.p.n_trained);
    int moved = 0; /* and BatchNorm's statistics moved */
    for (int i = 0; i < j.t.p.n_params; i++)
        if (j.t.params[i].flags & HN_PARAM_STATE)
            moved += before[j.t.params[i].off] != after[j.t.params[i].off];
    ck_assert_int_eq(moved, 2);
    job_close(&j);
}
END_TEST

START_TEST(accumulation_averages_and_flushes)
{
    hone_error err = { 0 };
    double grad[3][SLAB], w[SLAB], after[SLAB];
    job_open(&j, &hn_backend_reference, HN_SGD);
    job_open(&k, &hn_backend_reference, HN_SGD);
    j.hyper.accumulate = 2;
    for (int i = 0; i < 3; i++) { /* three batches' gradients, each at the weights of that moment */
        if (i == 2) HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 2, 1, &err), err);
        k.r[0].now.batch = i;
        k.slot[0].index = k.index[0] + i * JOB_BATCH;
        if (i == 2) {
            job_get(&j, 0, HN_SLAB_W, w);
            k.be->put(k.dev, k.r[0].slab[HN_SLAB_W], 0, w, 8 * k.t.p.n_slab, &err);
        }
        HN_OK(job_run(&k, HN_PASS_GRAD, 0, 1, 1, 1, &err), err);
        job_get(&k, 0, HN_SLAB_DW, grad[i]);
    }
    ck_assert(j.r[0].now.batch == 2 && j.r[0].now.step == 1 && j.r[0].now.micro == 0);
    j.slot[0].index = j.index[0] + 2 * JOB_BATCH;
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), err);
    ck_assert(j.r[0].now.step == 1 && j.r[0].now.micro == 1); /* waits for the second batch */
    job_get(&j, 0, HN_SLAB_W, after);
    same("no step yet", w, after, j.t.p.n_trained);
    double dw[SLAB];
    job_get(&j, 0, HN_SLAB_DW, dw);
    same("a new sum begins", grad[2], dw, j.t.p.n_trained);
    j.slot[0].flush = 1;
    j.slot[0].index = j.index[0];
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 3, 1, &err),
          err); /* 2 + 2: the flag has nothing to flush */
    ck_assert(j.r[0].now.step == 3 && j.r[0].now.micro == 0 && j.r[0].now.batch == 6);
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), err);
    ck_assert(j.r[0].now.step == 4 &&
              j.r[0].now.micro == 0); /* one batch alone, averaged over one */
    job_close(&j);
    job_close(&k);
}
END_TEST

START_TEST(two_halves_are_one_batch)
{ /* without BatchNorm and dropout, the mean over two halves is the mean over the whole */
    hone_error err = { 0 };
    double w[2][SLAB];
    const struct hn_batchnorm frozen = { 1e-5, 0.9, 1, 0 };
    for (int halves = 1; halves <= 2; halves++) {
        job_open(&j, &hn_backend_reference, HN_ADAM);
        j.t.ops[1].attrs = &frozen;
        j.hyper.dropout = 0;
        j.hyper.accumulate = halves;
        j.slot[0].rows = JOB_BATCH / halves;
        for (int i = 0; i < 8; i++) j.lr[i] = 0.05 / (1 + i / halves);
        HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 4 * halves, 1, &err), err);
        ck_assert_int_eq(j.r[0].now.step, 4);
        job_get(&j, 0, HN_SLAB_W, w[halves - 1]);
        if (halves == 2)
            for (size_t i = 0; i < j.t.p.n_trained; i++)
                ck_assert_double_eq_tol(w[0][i], w[1][i], 1e-10);
        job_close(&j);
    }
}
END_TEST

START_TEST(a_loss_that_is_not_finite_changes_nothing)
{
    hone_error err = { 0 };
    double want[4][SLAB], got[SLAB];
    job_open(&j, &hn_backend_reference, HN_ADAM);
    job_open(&k, &hn_backend_reference, HN_ADAM);
    HN_OK(job_run(&k, HN_PASS_TRAIN, 0, 1, 2, 1, &err), err);
    for (int s = HN_SLAB_W; s <= HN_SLAB_V; s++) job_get(&k, 0, (enum hn_slab)s, want[s]);
    for (int i = 0; i < JOB_BATCH; i++)
        j.index[0][2 * JOB_BATCH + i] = 39; /* the third batch has only row 39 */
    j.x[39 * JOB_IN] = NAN;
    for (int i = 0; i < 2 * JOB_BATCH; i++) ck_assert_uint_ne(j.index[0][i], 39);
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, 1, 5, 1, &err), err);
    ck_assert_int_eq(j.slot[0].bad_step, 2);
    ck_assert_int_eq(k.slot[0].bad_step, -1);
    ck_assert(!memcmp(&j.r[0].now, &k.r[0].now, sizeof j.r[0].now));
    for (int s = HN_SLAB_W; s <= HN_SLAB_V; s++) {
        job_get(&j, 0, (enum hn_slab)s, got);
        same("slab", want[s], got, s == HN_SLAB_W ? j.t.p.n_slab : j.t.p.n_trained);
    }
    same("partial sums", j.partial[0], k.partial[0], 2);
    job_close(&j);
    job_close(&k);
}
END_TEST

START_TEST(slots_do_not_notice_each_other)
{
    hone_error err = { 0 };
    double a[SLAB], b[SLAB];
    for (int s = 0; s < JOB_SLOTS; s++) {
        job_open(&j, &hn_backend_reference, HN_MOMENTUM);
        job_open(&k, &hn_backend_reference, HN_MOMENTUM);
        HN_OK(job_run(&j, HN_PASS_TRAIN, 0, JOB_SLOTS, 5, 2, &err),
              err); /* all together: 8, 6 and 4 rows */
        HN_OK(job_run(&k, HN_PASS_TRAIN, s, 1, 5, 2, &err), err); /* one alone */
        job_get(&j, s, HN_SLAB_W, a);
        job_get(&k, s, HN_SLAB_W, b);
        same("weights", a, b, j.t.p.n_slab);
        same("losses", j.partial[s], k.partial[s], 2);
        job_close(&j);
        job_close(&k);
    }
    job_open(&j, &hn_backend_reference, HN_MOMENTUM);
    j.slot[1].rows = 0; /* dead: nothing of it is touched */
    j.slot[1].r = NULL;
    HN_OK(job_run(&j, HN_PASS_TRAIN, 0, JOB_SLOTS, 2, 1, &err), err);
    ck_assert(j.partial[1][1] == 0 && j.slot[1].bad_step == -1 && j.partial[2][1] > 0);
    job_close(&j);
}
END_TEST

START_TEST(evaluation_and_prediction)
{
    hone_error err = { 0 };
    double before[SLAB], after[SLAB], eval[JOB_STEPS * JOB_BATCH * JOB_CLASSES];
    job_open(&j, &hn_backend_reference, HN_SGD);
    job_get(&j, 0, HN_SLAB_W, before);
    HN_OK(job_run(&j, HN_PASS_EVAL, 0, 1, 4, 1, &err), err);
    memcpy(eval, j.probabilities[0], sizeof eval);
    double loss = 0;
    for (int i = 0; i < 4 * JOB_BATCH; i++) {
        const double *p = eval + i * JOB_CLASSES;
        ck_assert_double_eq_tol(p[0] + p[1] + p[2], 1, 1e-12);
        loss -= log(p[j.label[j.index[0][i]]]);
    }
    ck_assert_double_eq_tol(j.partial[0][0], loss, 1e-9);
    ck_assert_double_eq(j.partial[0][1], 4 * JOB_BATCH);
    j.slot[0].rows =
        3; /* the same rows in other batches: evaluation has no batch statistics and no dropout */
    j.slot[0].index = j.index[0] + 5;
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 7, 1, &err), err);
    same("outputs", eval + 5 * JOB_CLASSES, j.probabilities[0], 21 * JOB_CLASSES);
    j.slot[0].index = NULL, j.slot[0].first = 2;
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 2, 1, &err), err);
    j.slot[0].index = (const uint32_t[]){ 2, 3, 4, 5, 6, 7 };
    memcpy(eval, j.probabilities[0], sizeof eval);
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 2, 1, &err), err);
    same("rows in order", eval, j.probabilities[0], 6 * JOB_CLASSES);
    job_get(&j, 0, HN_SLAB_W, after);
    same("weights and state", before, after, j.t.p.n_slab);
    ck_assert(j.r[0].now.batch == 0 && j.partial[0][1] == 4 * JOB_BATCH);
    job_close(&j);
}
END_TEST

START_TEST(calibration_moves_state_only)
{
    hone_error err = { 0 };
    double before[SLAB], after[SLAB], again[SLAB];
    job_open(&j, &hn_backend_reference, HN_SGD);
    job_get(&j, 0, HN_SLAB_W, before);
    HN_OK(job_run(&j, HN_PASS_STATS, 0, 1, 3, 1, &err), err);
    job_get(&j, 0, HN_SLAB_W, after);
    same("parameters", before, after, j.t.p.n_trained);
    int moved = 0;
    for (size_t i = j.t.p.n_trained; i < j.t.p.n_slab; i++) moved += before[i] != after[i];
    ck_assert_int_eq(moved, 2 * JOB_HIDDEN);
    ck_assert(j.r[0].now.batch == 0 && j.r[0].now.step == 0);
    j.be->put(j.dev, j.r[0].slab[HN_SLAB_W], 0, before, 8 * j.t.p.n_slab, &err);
    j.r[0].now.batch = 9; /* dropout is off: its counter has no effect */
    HN_OK(job_run(&j, HN_PASS_STATS, 0, 1, 3, 1, &err), err);
    job_get(&j, 0, HN_SLAB_W, again);
    same("state", after, again, j.t.p.n_slab);
    job_close(&j);
}
END_TEST

START_TEST(columns_are_converted_and_scaled)
{
    hone_error err = { 0 };
    unsigned char bytes[JOB_ROWS * JOB_IN];
    job_open(&j, &hn_backend_reference, HN_SGD);
    for (int i = 0; i < JOB_ROWS * JOB_IN; i++)
        bytes[i] = (unsigned char)(i * 13), j.x[i] = (float)bytes[i];
    j.in.scale = 1.0 / 256;
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 2, 1, &err), err);
    double floats[2 * JOB_BATCH * JOB_CLASSES];
    memcpy(floats, j.probabilities[0], sizeof floats);
    j.in.data = bytes, j.in.dtype = HN_U8;
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 2, 1, &err), err);
    same("outputs", floats, j.probabilities[0], 2 * JOB_BATCH * JOB_CLASSES);
    job_close(&j);
}
END_TEST

START_TEST(dropout_rate_of_a_replica)
{
    hone_error err = { 0 };
    const struct hn_dropout fixed = { 0.25, HN_STREAM_DROPOUT + 3, 1 };
    double loss[4];
    for (
        int i = 0; i < 4;
        i++) { /* the graph's rate; the same said aloud; another; another on a node that is fixed */
        job_open(&j, &hn_backend_reference, HN_SGD);
        j.hyper.dropout = i == 0 ? -1 : i == 1 ? 0.25 : 0.6;
        if (i == 3) j.t.ops[3].attrs = &fixed;
        HN_OK(job_run(&j, HN_PASS_GRAD, 0, 1, 1, 1, &err), err);
        loss[i] = j.partial[0][0];
        job_close(&j);
    }
    ck_assert(loss[0] == loss[1] && loss[0] == loss[3] && loss[0] != loss[2]);
}
END_TEST

START_TEST(wrong_use_is_refused)
{
    hone_error err = { 0 };
    job_open(&j, &hn_backend_reference, HN_ADAM);
    j.index[0][3] = JOB_ROWS;
    ck_assert_int_eq(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "row 40"), "%s", err.text);
    j.index[0][3] = 0;
    j.slot[0].rows = JOB_BATCH + 1;
    ck_assert_int_eq(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), HONE_E_USAGE);
    j.slot[0].rows = JOB_BATCH;
    j.in.per_row = 4;
    ck_assert_int_eq(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), HONE_E_DATA);
    ck_assert_msg(strstr(err.text, "4 numbers a row, wanted 5"), "%s", err.text);
    j.in.per_row = JOB_IN;
    j.set.n_targets = 0;
    ck_assert_int_eq(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), HONE_E_DATA);
    HN_OK(job_run(&j, HN_PASS_PREDICT, 0, 1, 1, 1, &err), err); /* which asks for no target */
    j.set.n_targets = 1;
    void *v = j.r[0].slab[HN_SLAB_V];
    j.r[0].slab[HN_SLAB_V] = NULL;
    ck_assert_int_eq(job_run(&j, HN_PASS_TRAIN, 0, 1, 1, 1, &err), HONE_E_USAGE);
    j.r[0].slab[HN_SLAB_V] = v;
    j.in.dtype = HN_STR;
    void *handle;
    ck_assert_int_eq(j.be->bind(j.dev, &j.set, &handle, &err), HONE_E_DATA);
    j.in.dtype = HN_F32;
    struct hn_host host = { sizeof host, &j.mem, 1 };
    void *dev;
    ck_assert_int_eq(j.be->open(&host, "fast", &dev, &err), HONE_E_USAGE);
    ck_assert_ptr_null(dev);
    const char *why = NULL;
    struct hn_op_row strange = hn_op_dense;
    struct hn_op op = { .row = &strange };
    ck_assert(!j.be->offers(j.dev, &op, HN_PASS_TRAIN, &why) && why);
    op.row = &hn_op_dense;
    ck_assert(j.be->offers(j.dev, &op, HN_PASS_TRAIN, &why));
    job_close(&j);
}
END_TEST

static hone_status open_and_prepare(struct hn_mem *m, const struct hn_plan *plan)
{
    hone_error err = { 0 };
    const struct hn_backend *be = &hn_backend_reference;
    struct hn_host host = { sizeof host, m, 1 };
    void *dev = NULL, *exec = NULL, *buf = NULL;
    hone_status st = be->open(&host, NULL, &dev, &err);
    if (st == HONE_OK) st = be->alloc(dev, 100, &buf, &err);
    if (st == HONE_OK) st = be->prepare(dev, plan, 2, &exec, &err);
    ck_assert(st == HONE_OK || (err.code == st && !exec));
    be->finish(exec);
    if (dev) be->release(dev, buf);
    be->close(dev);
    return st;
}

START_TEST(every_failed_allocation_is_an_error)
{
    hone_error err = { 0 };
    struct hn_plan *plan;
    job_open(&j, &hn_backend_reference, HN_SGD);
    HN_OK(hn_plan_create(&j.t.mem, &j.t.p, HN_PASS_TRAIN, 8, 8, 0, &plan, &err), err);
    for (long n = 1;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = open_and_prepare(&f.mem, plan);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        ck_assert_int_eq(st, f.mem_fail.hits ? HONE_E_NOMEM : HONE_OK);
        if (!f.mem_fail.hits) break;
    }
    hn_plan_destroy(plan, &j.t.mem);
    job_close(&j);
}
END_TEST

HN_TEST_MAIN("reference", {
    tcase_add_loop_test(tc, a_train_step_is_a_gradient_and_an_update, 0, HN_OPTIMIZERS);
    tcase_add_test(tc, accumulation_averages_and_flushes);
    tcase_add_test(tc, two_halves_are_one_batch);
    tcase_add_test(tc, a_loss_that_is_not_finite_changes_nothing);
    tcase_add_test(tc, slots_do_not_notice_each_other);
    tcase_add_test(tc, evaluation_and_prediction);
    tcase_add_test(tc, calibration_moves_state_only);
    tcase_add_test(tc, columns_are_converted_and_scaled);
    tcase_add_test(tc, dropout_rate_of_a_replica);
    tcase_add_test(tc, wrong_use_is_refused);
    tcase_add_test(tc, every_failed_allocation_is_an_error);
})
