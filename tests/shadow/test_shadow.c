/* SPDX-License-Identifier: MIT
 *
 * The shadow backend gives the reference's bits, and is as distant as it says. */
#include "tests/fault.h"
#include "tests/math/job.h"
#include "tests/shadow/shadow.h"
#include <math.h>

enum { SLAB = 512 };
static struct job a, b;

static void same_replicas(void)
{
    static double p[SLAB], q[SLAB];
    for (int k = 0; k < JOB_SLOTS; k++) {
        for (int s = HN_SLAB_W; s <= HN_SLAB_V; s++) {
            memset(p, 0, sizeof p), memset(q, 0, sizeof q);
            job_get(&a, k, (enum hn_slab)s, p);
            job_get(&b, k, (enum hn_slab)s, q);
            ck_assert_msg(!memcmp(p, q, sizeof p), "replica %d, slab %d", k, s);
        }
        ck_assert_msg(!memcmp(&a.r[k].now, &b.r[k].now, sizeof a.r[k].now), "replica %d: clock", k);
        ck_assert_msg(!memcmp(a.partial[k], b.partial[k], sizeof a.partial[k]),
                      "replica %d: losses", k);
        ck_assert_msg(!memcmp(a.probabilities[k], b.probabilities[k], sizeof a.probabilities[k]),
                      "replica %d: outputs", k);
        ck_assert_int_eq(a.slot[k].bad_step, b.slot[k].bad_step);
    }
}

static void both(enum hn_pass pass, int n, int n_steps, int calls)
{
    hone_error err = { 0 };
    HN_OK(job_run(&a, pass, 0, n, n_steps, calls, &err), err);
    HN_OK(job_run(&b, pass, 0, n, n_steps, calls, &err), err);
}

START_TEST(same_bits_as_the_reference)
{
    job_open(&a, &hn_backend_reference, (enum hn_optimizer)_i);
    job_open(&b, &hn_backend_shadow, (enum hn_optimizer)_i);
    a.hyper.accumulate = b.hyper.accumulate = 1 + _i % 3;
    a.slot[2].flush = b.slot[2].flush = 1;
    both(HN_PASS_TRAIN, JOB_SLOTS, 5, 3);
    same_replicas();
    both(HN_PASS_EVAL, JOB_SLOTS, 4, 2);
    both(HN_PASS_STATS, JOB_SLOTS, 3, 1);
    both(HN_PASS_GRAD, JOB_SLOTS, 2, 1);
    same_replicas();
    a.slot[1].rows = b.slot[1].rows = 0; /* a dead slot between living ones */
    a.slot[1].r = b.slot[1].r = NULL;
    both(HN_PASS_TRAIN, JOB_SLOTS, 4, 1);
    a.slot[0].index = b.slot[0].index = NULL;
    both(HN_PASS_PREDICT, 1, 3, 1);
    same_replicas();
    job_close(&a);
    job_close(&b);
}
END_TEST

START_TEST(a_bad_step_stops_one_slot_only)
{
    job_open(&a, &hn_backend_reference, HN_ADAM);
    job_open(&b, &hn_backend_shadow, HN_ADAM);
    float nan = NAN;
    struct job *each[2] = { &a, &b };
    for (int i = 0; i < 2;
         i++) { /* data are bound: bind again with a hole in row 39, which slot 1 meets in step 2 */
        hone_error err = { 0 };
        struct job *j = each[i];
        j->be->unbind(j->dev, j->bound);
        j->x[39 * JOB_IN] = nan;
        HN_OK(j->be->bind(j->dev, &j->set, &j->bound, &err), err);
        for (int k = 0; k < JOB_SLOTS; k++) {
            j->slot[k].data = j->bound;
            for (int r = 0; r < JOB_STEPS * JOB_BATCH; r++)
                if (j->index[k][r] == 39) j->index[k][r] = 38;
        }
        j->index[1][2 * j->slot[1].rows] = 39;
    }
    both(HN_PASS_TRAIN, JOB_SLOTS, 5, 1);
    ck_assert_int_eq(b.slot[0].bad_step, -1);
    ck_assert_int_eq(b.slot[1].bad_step, 2);
    ck_assert(b.r[1].now.batch == 2 && b.r[2].now.batch == 5);
    same_replicas();
    job_close(&a);
    job_close(&b);
}
END_TEST

/* Can this process read the byte at p? Asked of the kernel, so that the answer no is not a crash. */
static int readable(const void *p)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    ssize_t n = write(fd[1], p, 1);
    close(fd[0]);
    close(fd[1]);
    return n == 1;
}

START_TEST(buffers_are_out_of_reach)
{
    hone_error err = { 0 };
    job_open(&b, &hn_backend_shadow, HN_SGD);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < JOB_SLOTS; k++)
            for (int s = HN_SLAB_W; s <= HN_SLAB_V; s++) ck_assert(!readable(b.r[k].slab[s]));
        ck_assert(readable(&b));
        HN_OK(job_run(&b, HN_PASS_TRAIN, 0, 2, 2, 1, &err), err);
    }
    job_close(&b);
}
END_TEST

START_TEST(data_and_puts_are_taken_when_given)
{
    hone_error err = { 0 };
    double w[SLAB], got[SLAB];
    job_open(&a, &hn_backend_reference, HN_SGD);
    job_open(&b, &hn_backend_shadow, HN_SGD);
    memset(b.x, 0, sizeof b.x); /* after bind: a device has its own copy */
    memset(b.label, 0, sizeof b.label);
    both(HN_PASS_TRAIN, JOB_SLOTS, 3, 1);
    same_replicas();
    for (size_t i = 0; i < b.t.p.n_slab; i++) w[i] = (double)i;
    HN_OK(b.be->put(b.dev, b.r[0].slab[HN_SLAB_W], 0, w, 8 * b.t.p.n_slab, &err), err);
    HN_OK(b.be->copy(b.dev, b.r[1].slab[HN_SLAB_W], b.r[0].slab[HN_SLAB_W], 8 * b.t.p.n_slab, &err),
          err);
    for (size_t i = 0; i < b.t.p.n_slab; i++) w[i] = -1; /* after put */
    for (int i = 0; i < 100; i++)
        HN_OK(b.be->put(b.dev, b.r[0].slab[HN_SLAB_W], 8, &w[i], 8, &err), err);
    job_get(&b, 1, HN_SLAB_W, got); /* in order: the copy came before the later puts */
    for (size_t i = 0; i < b.t.p.n_slab; i++) ck_assert_double_eq(got[i], (double)i);
    job_get(&b, 0, HN_SLAB_W, got);
    ck_assert(got[0] == 0 && got[1] == -1 && got[2] == 2);
    job_close(&a);
    job_close(&b);
}
END_TEST

static hone_status prepare(const char *options, struct hn_mem *m, const struct hn_program *p,
                           int *refused, hone_error *err)
{
    const struct hn_backend *be = &hn_backend_shadow;
    struct hn_host host = { sizeof host, m, 1 };
    void *dev = NULL, *exec = NULL, *buf = NULL, *bound = NULL;
    float x[JOB_IN] = { 0 };
    struct hn_column in = { x, HN_F32, JOB_IN, 1 }, none = { NULL, HN_F32, 1, 1 };
    struct hn_dataset set = { 1, 1, 1, &in, &none };
    struct hn_plan *plan = NULL;
    hone_status st = be->open(&host, options, &dev, err);
    *refused = 0;
    for (int i = 0; st == HONE_OK && i < p->n_ops; i++) {
        const char *why = NULL;
        int offered = be->offers(dev, &p->ops[i], HN_PASS_TRAIN, &why);
        ck_assert(offered || why);
        *refused += !offered;
    }
    if (st == HONE_OK) st = hn_plan_create(m, p, HN_PASS_TRAIN, 8, 8, 0, &plan, err);
    if (st == HONE_OK) st = be->prepare(dev, plan, 2, &exec, err);
    if (st == HONE_OK) st = be->alloc(dev, 10000, &buf, err);
    if (st == HONE_OK) st = be->put(dev, buf, 0, x, sizeof x, err);
    if (st == HONE_OK) st = be->bind(dev, &set, &bound, err);
    be->unbind(dev, bound);
    if (buf) be->release(dev, buf);
    be->finish(exec);
    hn_plan_destroy(plan, m);
    be->close(dev);
    return st;
}

START_TEST(refusals_are_said_and_kept)
{
    hone_error err = { 0 };
    int refused, seen[2] = { 0 };
    job_open(&b, &hn_backend_shadow, HN_SGD);
    ck_assert_int_eq(prepare("refuse=batchnorm", &b.mem, &b.t.p, &refused, &err),
                     HONE_E_UNSUPPORTED);
    ck_assert_int_eq(refused, 1);
    ck_assert_str_eq(err.where, "batchnorm1");
    ck_assert_int_eq(prepare("refuse=concat", &b.mem, &b.t.p, &refused, &err), HONE_OK);
    ck_assert_int_eq(prepare("speed=11", &b.mem, &b.t.p, &refused, &err), HONE_E_USAGE);
    ck_assert_int_eq(prepare("limit=8192", &b.mem, &b.t.p, &refused, &err), HONE_E_NOMEM);
    ck_assert_int_eq(prepare("limit=100000,refuse=reduce", &b.mem, &b.t.p, &refused, &err),
                     HONE_OK);
    for (int seed = 0; seed < 30; seed++) {
        char options[32];
        snprintf(options, sizeof options, "some=%d", seed);
        hone_status st = prepare(options, &b.mem, &b.t.p, &refused, &err);
        ck_assert_int_eq(st, refused && st != HONE_OK ? HONE_E_UNSUPPORTED : HONE_OK);
        seen[st == HONE_OK]++;
    }
    ck_assert_msg(seen[0] > 5 && seen[1] > 0, "%d refused, %d not", seen[0], seen[1]);
    job_close(&b);
}
END_TEST

START_TEST(every_failed_allocation_is_an_error)
{
    job_open(&b, &hn_backend_shadow, HN_SGD);
    for (long n = 1;; n++) {
        struct hn_fault f;
        hone_error err = { 0 };
        int refused;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = prepare(NULL, &f.mem, &b.t.p, &refused, &err);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        ck_assert_int_eq(st, f.mem_fail.hits ? HONE_E_NOMEM : HONE_OK);
        if (!f.mem_fail.hits) break;
    }
    job_close(&b);
}
END_TEST

START_TEST(state_is_saved_and_restored)
{
    hone_error err = { 0 };
    struct hn_plan *plan;
    void *exec;
    uint64_t s = 0;
    job_open(&b, &hn_backend_shadow, HN_SGD);
    HN_OK(hn_plan_create(&b.t.mem, &b.t.p, HN_PASS_TRAIN, 8, 8, 0, &plan, &err), err);
    HN_OK(b.be->prepare(b.dev, plan, 2, &exec, &err), err);
    HN_OK(b.be->run(exec, b.slot, 2, 3, &err), err);
    ck_assert_uint_eq(b.be->state_size(exec), sizeof s);
    HN_OK(b.be->state_save(exec, 1, &s, &err), err);
    ck_assert_uint_eq(s, 3);
    s = 40;
    HN_OK(b.be->state_load(exec, 0, &s, &err), err);
    HN_OK(b.be->run(exec, b.slot, 1, 2, &err), err);
    HN_OK(b.be->state_save(exec, 0, &s, &err), err);
    ck_assert_uint_eq(s, 42);
    ck_assert_int_eq(b.be->state_save(exec, 2, &s, &err), HONE_E_USAGE);
    b.be->finish(exec);
    hn_plan_destroy(plan, &b.t.mem);
    job_close(&b);
}
END_TEST

HN_TEST_MAIN("shadow", {
    tcase_add_loop_test(tc, same_bits_as_the_reference, 0, HN_OPTIMIZERS);
    tcase_add_test(tc, a_bad_step_stops_one_slot_only);
    tcase_add_test(tc, buffers_are_out_of_reach);
    tcase_add_test(tc, data_and_puts_are_taken_when_given);
    tcase_add_test(tc, refusals_are_said_and_kept);
    tcase_add_test(tc, every_failed_allocation_is_an_error);
    tcase_add_test(tc, state_is_saved_and_restored);
})
