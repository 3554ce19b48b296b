/* SPDX-License-Identifier: MIT
 *
 * What the CPU backend refuses, and memory that fails: every allocation of open, bind, prepare and alloc in turn. */
#include "ops/cpu/backend.h"
#include "tests/cpu/programs.h"
#include "tests/cpu/rig.h"
#include "tests/fault.h"

START_TEST(options)
{
    static const char *const bad[] = { "isa=sse9", "isa=", "isa", "threads=2", "isa=avx2,x" };
    struct hn_mem mem;
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *dev = &mem;
        hone_error err = { 0 };
        ck_assert_int_eq(hn_backend_cpu.open(&host, bad[i], &dev, &err), HONE_E_USAGE);
        ck_assert_ptr_null(dev);
        ck_assert_msg(strstr(err.text, bad[i]) != NULL, "the message does not name '%s': %s",
                      bad[i], err.text);
    }
    ck_assert_uint_eq(mem.used, 0);
}
END_TEST

static hone_status whole(struct hn_mem *mem, const struct hn_program *p, const struct rig_data *d,
                         int threads)
{
    hone_error err = { 0 };
    void *dev = NULL, *buf = NULL, *data = NULL, *exec = NULL;
    struct hn_plan *plan = NULL;
    struct hn_host host = { sizeof host, mem, threads };
    hone_status st = hn_backend_cpu.open(&host, NULL, &dev, &err);
    if (st == HONE_OK) st = hn_backend_cpu.alloc(dev, 1000, &buf, &err);
    if (st == HONE_OK) st = hn_backend_cpu.bind(dev, &d->set, &data, &err);
    if (st == HONE_OK) st = hn_plan_create(mem, p, HN_PASS_TRAIN, 64, 4, 0, &plan, &err);
    if (st == HONE_OK) st = hn_backend_cpu.prepare(dev, plan, 2, &exec, &err);
    ck_assert(st == HONE_OK || !exec);
    if (exec) hn_backend_cpu.finish(exec);
    hn_plan_destroy(plan, mem);
    if (data) hn_backend_cpu.unbind(dev, data);
    if (buf) hn_backend_cpu.release(dev, buf);
    if (dev) hn_backend_cpu.close(dev);
    return st;
}

START_TEST(memory)
{
    struct made *m = made_program(3, 1);
    struct rig_data d;
    struct hn_fault f;
    long n;
    rig_data_init(&d, &m->t, m->classes, 1);
    for (n = 1;; n++) {
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = whole(&f.mem, &m->t.p, &d, 1 + _i);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!f.mem_fail.hits) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
    ck_assert_int_gt(n, 20);
    rig_data_free(&d), made_free(m);
}
END_TEST

struct refused { /* what is spoiled, and the answer */
    const char *what;
    hone_status want;
};
static const struct refused refusals[] = {
    { "more rows than prepared", HONE_E_USAGE },  { "more slots than prepared", HONE_E_USAGE },
    { "no gradient slab", HONE_E_USAGE },         { "no moments", HONE_E_USAGE },
    { "no learning rates", HONE_E_USAGE },        { "rows past the end", HONE_E_DATA },
    { "an index past the end", HONE_E_DATA },     { "a negative first row", HONE_E_DATA },
    { "a column of another width", HONE_E_DATA }, { "a column without data", HONE_E_DATA },
    { "no target columns", HONE_E_DATA },         { "nothing wrong", HONE_OK },
};

START_TEST(slots)
{
    struct made *m = made_program(3, 1);
    struct rig_data d;
    struct rig g;
    struct rig_replica r;
    hone_error err = { 0 };
    const double lr[2] = { 0, 0 };
    uint32_t index[40];
    int n_slots = 1;
    for (uint32_t i = 0; i < 40; i++) index[i] = i;
    rig_data_init(&d, &m->t, m->classes, 1);
    rig_open(&g, &hn_backend_cpu, &m->t, 1, NULL);
    rig_prepare(&g, HN_PASS_TRAIN, 20, 1, &d);
    rig_replica_init(&r, &g, &m->t, &rig_adam, 1);
    struct hn_replica copy = r.r;
    struct hn_slot s[2] = { { .r = &copy, .data = g.data, .rows = 20, .lr = lr }, { 0 } };
    switch (_i) {
    case 0: s[0].rows = 21; break;
    case 1: n_slots = 2; break;
    case 2: copy.slab[HN_SLAB_DW] = NULL; break;
    case 3: copy.slab[HN_SLAB_V] = NULL; break;
    case 4: s[0].lr = NULL; break;
    case 5: s[0].first = RIG_ROWS - 39; break;
    case 6: index[39] = RIG_ROWS, s[0].index = index; break;
    case 7: s[0].first = -1; break;
    case 8: d.inputs[0].per_row++; break;
    case 9: d.inputs[0].data = NULL; break;
    case 10: d.set.n_targets = 0; break;
    default: break;
    }
    hone_status st = g.b->run(g.exec, s, n_slots, 2, &err);
    ck_assert_msg(st == refusals[_i].want, "%s: %d %s: %s", refusals[_i].what, (int)st, err.where,
                  err.text);
    ck_assert(st == HONE_OK || (copy.now.step == 0 && err.text[0]));
    rig_replica_free(&r, &g);
    rig_unprepare(&g), rig_close(&g);
    rig_data_free(&d), made_free(m);
}
END_TEST

START_TEST(plans_and_data)
{
    struct made *m = made_program(3, 1);
    struct rig_data d;
    struct rig g;
    hone_error err = { 0 };
    struct hn_plan *plan;
    void *exec = &g, *data = &g;
    rig_data_init(&d, &m->t, m->classes, 1);
    rig_open(&g, &hn_backend_cpu, &m->t, 1, NULL);
    HN_OK(hn_plan_create(g.mem, g.p, HN_PASS_EVAL, 8, 8, 0, &plan, &err), err);
    ck_assert_int_eq(g.b->prepare(g.dev, plan, 1, &exec, &err),
                     HONE_E_USAGE); /* a plan for doubles */
    ck_assert_ptr_null(exec);
    hn_plan_destroy(plan, g.mem);
    d.inputs[0].dtype = HN_STR;
    ck_assert_int_eq(g.b->bind(g.dev, &d.set, &data, &err), HONE_E_DATA);
    ck_assert_ptr_null(data);
    const char *why = NULL;
    for (int i = 0; i < m->t.p.n_ops; i++)
        ck_assert(g.b->offers(g.dev, &m->t.ops[i], HN_PASS_TRAIN, &why));
    const struct hn_op_row strange = { .name = "strange" };
    struct hn_op op = { .row = &strange };
    ck_assert(!g.b->offers(g.dev, &op, HN_PASS_TRAIN, &why));
    ck_assert_ptr_nonnull(why);
    rig_close(&g);
    rig_data_free(&d), made_free(m);
}
END_TEST

/* Dead slots are passed over; an evaluation without outputs or sums asked for is fine. */
START_TEST(quiet)
{
    struct made *m = made_program(3, 1);
    struct rig_data d;
    struct rig g;
    struct rig_replica r;
    hone_error err = { 0 };
    rig_data_init(&d, &m->t, m->classes, 1);
    rig_open(&g, &hn_backend_cpu, &m->t, 2, NULL);
    rig_prepare(&g, HN_PASS_EVAL, 20, 3, &d);
    rig_replica_init(&r, &g, &m->t, &rig_adam, 1);
    struct hn_slot s[3] = { { 0 }, { .r = &r.r, .data = g.data, .rows = 20 }, { 0 } };
    HN_OK(g.b->run(g.exec, s, 3, 2, &err), err);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(s[i].bad_step, -1);
    ck_assert(!g.b->state_size); /* a replica is its slabs, key and clock */
    rig_replica_free(&r, &g);
    rig_unprepare(&g), rig_close(&g);
    rig_data_free(&d), made_free(m);
}
END_TEST

HN_TEST_MAIN("cpu refuse", tcase_add_test(tc, options); tcase_add_loop_test(tc, memory, 0, 2);
             tcase_add_loop_test(tc, slots, 0, (int)(sizeof refusals / sizeof *refusals));
             tcase_add_test(tc, plans_and_data); tcase_add_test(tc, quiet);)
