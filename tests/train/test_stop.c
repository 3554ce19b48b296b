/* SPDX-License-Identifier: MIT
 *
 * When a run stops, which epoch is its best: tables of watched values and what must follow. */
#include "plugin/train/stop.h"
#include "tests/harness.h"
#include <math.h>

struct table {
    const char *name;
    struct hn_stopper_opts opts;
    int from; /* the epoch of watched[0] */
    double watched[12], target[12];
    int n; /* values given */
    enum hn_stop_reason reason;
    int stops_at, best;
};

static const struct table tables[] = {
    { .name = "no patience: to the end",
      .opts = { .epochs = 4 },
      .from = 1,
      .watched = { 1, 2, 3, 4 },
      .n = 4,
      .reason = HN_STOP_MAX_EPOCHS,
      .stops_at = 4,
      .best = 1 },
    { .name = "patience is reached when as many epochs passed",
      .opts = { .epochs = 99, .patience = 3 },
      .from = 1,
      .watched = { 5, 4, 4.5, 4.2, 4.1, 1 },
      .n = 6,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 5,
      .best = 2 },
    { .name = "epoch 0 counts",
      .opts = { .epochs = 99, .patience = 2 },
      .from = 0,
      .watched = { 1, 2, 3, 0 },
      .n = 4,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 2,
      .best = 0 },
    { .name = "equal is no improvement",
      .opts = { .epochs = 99, .patience = 2 },
      .from = 1,
      .watched = { 1, 1, 1, 1 },
      .n = 4,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 3,
      .best = 1 },
    { .name = "small gains are kept for restoring, not for patience",
      .opts = { .epochs = 99, .patience = 3, .min_delta = 0.5 },
      .from = 1,
      .watched = { 4, 3.8, 3.7, 3.6, 1 },
      .n = 5,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 4,
      .best = 4 },
    { .name = "small gains add up",
      .opts = { .epochs = 6, .patience = 3, .min_delta = 0.5 },
      .from = 1,
      .watched = { 4, 3.8, 3.6, 3.4, 3.4, 3.4 },
      .n = 6,
      .reason = HN_STOP_MAX_EPOCHS,
      .stops_at = 6,
      .best = 4 },
    { .name = "min_delta is strict",
      .opts = { .epochs = 99, .patience = 1, .min_delta = 0.5 },
      .from = 1,
      .watched = { 4, 3.5, 1 },
      .n = 3,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 2,
      .best = 2 },
    { .name = "more is better",
      .opts = { .epochs = 99, .patience = 2, .maximize = 1, .min_delta = 0.01 },
      .from = 1,
      .watched = { 0.5, 0.6, 0.605, 0.7, 0.7, 0.69 },
      .n = 6,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 6,
      .best = 4 },
    { .name = "min_epochs holds a reached patience back",
      .opts = { .epochs = 99, .patience = 1, .min_epochs = 5 },
      .from = 1,
      .watched = { 1, 2, 3, 4, 5, 6 },
      .n = 6,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 5,
      .best = 1 },
    { .name = "and does not latch it",
      .opts = { .epochs = 99, .patience = 2, .min_epochs = 5 },
      .from = 1,
      .watched = { 3, 4, 4, 4, 2, 2, 2 },
      .n = 7,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 7,
      .best = 5 },
    { .name = "min_epochs does not outlive epochs",
      .opts = { .epochs = 3, .patience = 1, .min_epochs = 9 },
      .from = 1,
      .watched = { 1, 2, 3 },
      .n = 3,
      .reason = HN_STOP_MAX_EPOCHS,
      .stops_at = 3,
      .best = 1 },
    { .name = "NaN never improves",
      .opts = { .epochs = 99, .patience = 2 },
      .from = 1,
      .watched = { (double)NAN, 1, (double)NAN, (double)NAN, 0 },
      .n = 5,
      .reason = HN_STOP_PATIENCE,
      .stops_at = 4,
      .best = 2 },
    { .name = "a target from above",
      .opts = { .epochs = 99, .has_target = 1, .target = 0.9, .target_maximize = 1 },
      .from = 1,
      .watched = { 3, 2, 1, 0 },
      .target = { 0.7, 0.8, 0.9, 1 },
      .n = 4,
      .reason = HN_STOP_TARGET,
      .stops_at = 3,
      .best = 3 },
    { .name = "a target from below, not before min_epochs",
      .opts = { .epochs = 99, .has_target = 1, .target = 0.5, .min_epochs = 3 },
      .from = 1,
      .watched = { 3, 2, 1, 0 },
      .target = { 0.1, 0.1, 0.1, 0.1 },
      .n = 4,
      .reason = HN_STOP_TARGET,
      .stops_at = 3,
      .best = 3 },
    { .name = "target before patience",
      .opts = { .epochs = 2, .patience = 1, .has_target = 1, .target = 0.5 },
      .from = 1,
      .watched = { 1, 1 },
      .target = { 1, 0.5 },
      .n = 2,
      .reason = HN_STOP_TARGET,
      .stops_at = 2,
      .best = 1 },
};
enum { N_TABLES = sizeof tables / sizeof *tables };

START_TEST(follows_the_table)
{
    const struct table *t = &tables[_i];
    struct hn_stopper s;
    enum hn_stop_reason reason = HN_STOP_NONE;
    int epoch = t->from, i = 0;
    hn_stopper_init(&s, &t->opts);
    for (; i < t->n && reason == HN_STOP_NONE; i++, epoch++) {
        int best = hn_stopper_see(&s, epoch, t->watched[i]);
        ck_assert_int_eq(best, s.best_epoch == epoch);
        if (epoch > 0) reason = hn_stopper_verdict(&s, epoch, t->target[i]);
    }
    ck_assert_msg(reason == t->reason, "%s: stopped for %s, wanted %s", t->name,
                  hn_stop_name(reason), hn_stop_name(t->reason));
    ck_assert_msg(epoch - 1 == t->stops_at, "%s: stopped after %d, wanted %d", t->name, epoch - 1,
                  t->stops_at);
    ck_assert_msg(s.best_epoch == t->best, "%s: best %d, wanted %d", t->name, (int)s.best_epoch,
                  t->best);
}
END_TEST

START_TEST(nothing_seen_yet)
{
    struct hn_stopper s;
    hn_stopper_init(&s, &(struct hn_stopper_opts){ .epochs = 3, .patience = 1 });
    ck_assert_int_eq(s.best_epoch, -1);
    ck_assert_int_eq(hn_stopper_see(&s, 1, (double)NAN), 0);
    ck_assert_int_eq(s.best_epoch, -1);
    ck_assert_int_eq(hn_stopper_see(&s, 2, (double)INFINITY), 0);
    ck_assert_int_eq(s.best_epoch, -1);
    ck_assert_str_eq(hn_stop_name(HN_STOP_CALLBACK), "callback");
    ck_assert_str_eq(hn_stop_name(HN_STOP_MAX_EPOCHS), "max_epochs");
}
END_TEST

HN_TEST_MAIN("stop", tcase_add_loop_test(tc, follows_the_table, 0, N_TABLES);
             tcase_add_test(tc, nothing_seen_yet);)
