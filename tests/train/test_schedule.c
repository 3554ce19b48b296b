/* SPDX-License-Identifier: MIT
 *
 * Learning rates against PyTorch's, recorded by tests/data/make_schedule_refs.py. */
#include "plugin/train/schedule.h"
#include "tests/harness.h"
#include <math.h>

struct schedule_ref {
    const char *name;
    struct hn_schedule_opts opts;
    int per_step, n;
    double watched[128], lr[128];
};
#include "tests/data/schedule_refs.h"
enum { N_REFS = sizeof schedule_refs / sizeof *schedule_refs };

/* Bits are lost near the end of PyTorch's recursive cosine, where the rate is a small part of the first one. */
static void compare(const struct schedule_ref *r, int i, double found)
{
    ck_assert_msg(fabs(found - r->lr[i]) <= 1e-12 * r->opts.lr, "%s at %d: %.17g, wanted %.17g",
                  r->name, i, found, r->lr[i]);
}

START_TEST(recorded)
{
    const struct schedule_ref *r = &schedule_refs[_i];
    struct hn_schedule s;
    struct hn_schedule_opts o = r->opts;
    if (o.kind == HN_LR_STEP || o.kind == HN_LR_PLATEAU) o.steps_per_epoch = 1;
    hn_schedule_init(&s, &o);
    for (int i = 0; i < r->n; i++) {
        int64_t epoch = r->per_step ? i / o.steps_per_epoch : i;
        compare(r, i, hn_schedule_lr(&s, epoch, i));
        hn_schedule_epoch_end(&s, epoch, r->watched[i]);
    }
}
END_TEST

START_TEST(floors)
{
    struct hn_schedule s;
    struct hn_schedule_opts o = {
        .kind = HN_LR_STEP, .lr = 1, .gamma = 0.1, .step = 1, .lr_min = 0.05, .epochs = 9
    };
    hn_schedule_init(&s, &o);
    ck_assert_double_eq_tol(hn_schedule_lr(&s, 1, 0), 0.1, 1e-15);
    ck_assert_double_eq_tol(hn_schedule_lr(&s, 2, 0), 0.05, 1e-15);
    o.kind = HN_LR_POLY;
    o.gamma = 1;
    hn_schedule_init(&s, &o);
    ck_assert_double_eq_tol(hn_schedule_lr(&s, 9, 0), 0.05, 1e-15);
    o.lr_min = 2; /* above the rate: the rate itself is the floor */
    hn_schedule_init(&s, &o);
    ck_assert_double_eq_tol(hn_schedule_lr(&s, 4, 0), 1, 1e-15);
}
END_TEST

START_TEST(warm_up_multiplies_the_schedule)
{
    struct hn_schedule s, plain;
    struct hn_schedule_opts o = { .kind = HN_LR_COSINE, .lr = 0.1, .epochs = 6, .warmup = 5 };
    hn_schedule_init(&s, &o);
    o.warmup = 0;
    hn_schedule_init(&plain, &o);
    for (int step = 0; step < 12; step++) {
        double share = step < 5 ? (step + 1) / 5.0 : 1;
        ck_assert_double_eq_tol(hn_schedule_lr(&s, step / 2, step),
                                share * hn_schedule_lr(&plain, step / 2, step), 1e-16);
    }
}
END_TEST

START_TEST(a_rate_is_a_function_of_position)
{
    for (int kind = 0; kind < HN_LR_PLATEAU; kind++) {
        struct hn_schedule s;
        struct hn_schedule_opts o = { .kind = (enum hn_schedule_kind)kind,
                                      .lr = 0.1,
                                      .gamma = 0.5,
                                      .lr_max = 0.1,
                                      .step = 2,
                                      .epochs = 8,
                                      .steps_per_epoch = 3 };
        hn_schedule_init(&s, &o);
        double before = hn_schedule_lr(&s, 5, 16);
        for (int i = 0; i < 7; i++) hn_schedule_epoch_end(&s, i, 1.0);
        ck_assert_double_eq(hn_schedule_lr(&s, 5, 16), before);
        ck_assert_int_eq(hn_schedule_kind_of(hn_schedule_name(o.kind)), kind);
    }
    ck_assert_int_eq(hn_schedule_kind_of("cosin"), -1);
}
END_TEST

START_TEST(plateau_goes_on_after_a_copy_of_its_state)
{
    static const double watched[] = { 3, 2, 2.5, 2.4, 2.3, 2.2, 1, 1.1, 1.2, 1.3, 1.4, 1.5 };
    struct hn_schedule_opts o = { .kind = HN_LR_PLATEAU,
                                  .lr = 1,
                                  .gamma = 0.5,
                                  .patience = 1,
                                  .cooldown = 1,
                                  .threshold = 1e-4 };
    for (int cut = 0; cut < 12; cut++) {
        struct hn_schedule whole, first, second;
        hn_schedule_init(&whole, &o);
        hn_schedule_init(&first, &o);
        hn_schedule_init(&second, &o);
        for (int i = 0; i < 12; i++) hn_schedule_epoch_end(&whole, i, watched[i]);
        for (int i = 0; i < cut; i++) hn_schedule_epoch_end(&first, i, watched[i]);
        second.lr = first.lr, second.best = first.best;
        second.bad = first.bad, second.resting = first.resting;
        for (int i = cut; i < 12; i++) hn_schedule_epoch_end(&second, i, watched[i]);
        ck_assert_double_eq(second.lr, whole.lr);
        ck_assert_double_lt(whole.lr, 1);
    }
}
END_TEST

HN_TEST_MAIN("schedule", tcase_add_loop_test(tc, recorded, 0, N_REFS); tcase_add_test(tc, floors);
             tcase_add_test(tc, warm_up_multiplies_the_schedule);
             tcase_add_test(tc, a_rate_is_a_function_of_position);
             tcase_add_test(tc, plateau_goes_on_after_a_copy_of_its_state);)
