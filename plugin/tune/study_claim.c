/* SPDX-License-Identifier: MIT
 *
 * Handing out trials and taking results. A claim is one transaction, the proposal included: of two workers that come at once
 * the second sees what the first was given, so numbers and settings do not depend on who asks. */
#include "plugin/tune/study_own.h"
#include <math.h>
#include <string.h>

static int64_t lease_end(const struct hn_study *s)
{
    return s->opts.lease_ms > 0 ? s->store->now_ms + s->opts.lease_ms : 0;
}

static int is_open(const struct hn_trial *t)
{
    return t->state == HN_TRIAL_WAITING || t->state == HN_TRIAL_RUNNING;
}

/* Our own are not lost, however long the database was away, and while it was, nobody could renew. */
static int is_lost(const struct hn_study *s, const struct hn_trial *t)
{
    if (t->state != HN_TRIAL_RUNNING || t->lease_until_ms == 0) return 0;
    if (!strcmp(t->owner, s->owner)) return 0;
    int64_t until = s->store->since_ms ? s->store->since_ms + s->opts.lease_ms : 0;
    if (until < t->lease_until_ms) until = t->lease_until_ms;
    return until < s->store->now_ms ||
           (s->owner[0] && hn_owner_is_dead(s->ctx->io, s->owner, t->owner));
}

/* ---- claiming ------------------------------------------------------------------------------------------------------ */

static hone_status give_up(struct hn_study *s, struct hn_trial *t, hone_error *err)
{
    struct hn_cell args[] = { HN_INT(HN_TRIAL_FAILED), HN_INT(s->store->now_ms),
                              HN_INT(t->number) };
    struct hn_query q = {
        "UPDATE trial SET state=$1, owner='', lease=0, finished=$2 WHERE number=$3",
        args,
        3,
        NULL,
        NULL,
        NULL
    };
    t->state = HN_TRIAL_FAILED;
    return hn_study_query(s, &q, err);
}

static hone_status take_over(struct hn_study *s, struct hn_trial *t, struct hn_claimed *out,
                             hone_error *err)
{
    t->state = HN_TRIAL_RUNNING;
    t->attempts++;
    t->owner = s->owner;
    t->lease_until_ms = lease_end(s);
    struct hn_cell args[] = { HN_INT(t->state),          HN_TEXT(t->owner),
                              HN_INT(t->lease_until_ms), HN_INT(t->attempts),
                              HN_INT(s->store->now_ms),  HN_INT(t->number) };
    struct hn_query q = { "UPDATE trial SET state=$1, owner=$2, lease=$3, attempts=$4, started=$5 "
                          "WHERE number=$6",
                          args,
                          6,
                          NULL,
                          NULL,
                          NULL };
    HN_TRY(hn_study_query(s, &q, err));
    *out = (struct hn_claimed){ .what = HN_CLAIM_TRIAL, .trial = *t };
    return HONE_OK;
}

/* What the sampler may know of trial t when it proposes trial `next`. */
static struct hn_past sample_of(const struct hn_study *s, const struct hn_trial *t, int64_t next)
{
    struct hn_past v = { .x = t->x, .outcome = HN_PAST_PENDING };
    if (is_open(t) || (s->opts.lag > 0 && t->number > next - s->opts.lag)) return v;
    if (t->state == HN_TRIAL_FAILED || !isfinite(t->value)) {
        v.outcome = HN_PAST_FAILED;
        return v;
    }
    v.outcome = t->state == HN_TRIAL_PRUNED ? HN_PAST_PRUNED : HN_PAST_VALUED;
    v.value = s->opts.maximize ? -t->value : t->value;
    v.noise = t->noise > 0 ? t->noise : 0;
    return v;
}

static hone_status propose(struct hn_study *s, struct hn_claimed *out, hone_error *err)
{
    struct hn_sampler_opts opts = s->opts.sampler;
    struct hn_trial t = { .number = (int64_t)s->n, .state = HN_TRIAL_RUNNING, .attempts = 1 };
    const struct hn_memo *memo = NULL;
    int exhausted = 0;
    struct hn_past *samples = hn_arena_alloc(&s->rows, s->n + 1, sizeof *samples);
    t.x = hn_arena_alloc(&s->rows, (size_t)s->space.n, sizeof *t.x);
    if (!samples || !t.x) return hn_nomem(err, "a proposal", s->n * sizeof *samples);
    for (size_t i = 0; i < s->n; i++) {
        samples[i] = sample_of(s, &s->trials[i], t.number);
        if (s->trials[i].memo.n) memo = &s->trials[i].memo;
    }
    opts.limit = s->opts.trials > 0 ? (uint64_t)s->opts.trials : 0;
    struct hn_ask ask = { &s->ctx->mem, &s->space, &opts, (uint32_t)t.number, samples, s->n, memo };
    HN_TRY(hn_sampler_propose(&ask, t.x, &t.memo, &exhausted, err));
    *out = (struct hn_claimed){ .what = HN_CLAIM_DONE };
    if (exhausted) return HONE_OK;
    t.owner = s->owner;
    t.note = "";
    t.value = (double)NAN;
    t.lease_until_ms = lease_end(s);
    HN_TRY(hn_study_insert(s, &t, err));
    *out = (struct hn_claimed){ .what = HN_CLAIM_TRIAL, .trial = t };
    return HONE_OK;
}

/* The first trial whose result must be there before trial `number` begins; -1: none. Nobody waits for results that neither the
 * proposal nor a pruner looks at. */
static int64_t blocker(const struct hn_study *s, int64_t number)
{
    if (!s->opts.pruner.kind && !hn_sampler_learns(&s->opts.sampler, number)) return -1;
    for (int64_t i = 0; s->opts.lag > 0 && i <= number - s->opts.lag; i++)
        if (is_open(&s->trials[i])) return i;
    return -1;
}

static hone_status claim(struct hn_study *s, void *to, hone_error *err)
{
    struct hn_claimed *out = to;
    HN_TRY(hn_study_load(s, err));
    for (size_t i = 0; i < s->n; i++) {
        struct hn_trial *t = &s->trials[i];
        int lost = is_lost(s, t);
        if (lost && t->attempts >= s->opts.attempts)
            HN_TRY(give_up(s, t, err));
        else if (lost || t->state == HN_TRIAL_WAITING) {
            /* who is judged by earlier trials begins when they have ended */
            int64_t first = s->opts.pruner.kind ? blocker(s, t->number) : -1;
            if (first < 0) return take_over(s, t, out, err);
            *out = (struct hn_claimed){ .what = HN_CLAIM_WAIT, .blocker = first };
            return HONE_OK;
        }
    }
    *out = (struct hn_claimed){ .what = HN_CLAIM_DONE };
    if (s->opts.trials > 0 && (int64_t)s->n >= s->opts.trials) return HONE_OK;
    int64_t first = blocker(s, (int64_t)s->n);
    if (first < 0) return propose(s, out, err);
    *out = (struct hn_claimed){ .what = HN_CLAIM_WAIT, .blocker = first };
    return HONE_OK;
}

hone_status hn_study_claim(struct hn_study *s, struct hn_claimed *out, hone_error *err)
{
    *out = (struct hn_claimed){ .what = HN_CLAIM_DONE };
    return hn_study_transact(s, claim, out, err);
}

static int has_point(const struct hn_study *s, const double *x)
{
    for (size_t k = 0; k < s->n; k++) {
        int same = 1;
        for (int i = 0; i < s->space.n && same; i++)
            same = s->trials[k].x[i] == x[i] || (isnan(s->trials[k].x[i]) && isnan(x[i]));
        if (same) return 1;
    }
    return 0;
}

struct wish {
    const double *x;
    const char *note;
    enum hn_enqueue how;
};

static hone_status enqueue(struct hn_study *s, void *arg, hone_error *err)
{
    const struct wish *w = arg;
    HN_TRY(hn_study_load(s, err));
    if ((w->how == HN_ENQUEUE_FIRST && s->n) || (w->how == HN_ENQUEUE_NEW && has_point(s, w->x)))
        return HONE_OK;
    struct hn_trial t = { .number = (int64_t)s->n, .note = w->note };
    t.x = hn_arena_alloc(&s->rows, (size_t)s->space.n, sizeof *t.x);
    if (!t.x) return hn_nomem(err, "a trial", sizeof t);
    memcpy(t.x, w->x, (size_t)s->space.n * sizeof *t.x);
    return hn_study_insert(s, &t, err);
}

hone_status hn_study_enqueue(struct hn_study *s, const double *x, const char *note,
                             enum hn_enqueue how, hone_error *err)
{
    return hn_study_transact(s, enqueue, &(struct wish){ x, note, how }, err);
}

/* ---- results ---------------------------------------------------------------------------------------------------------- */

/* Why a change of a running trial of ours changed nothing. */
static hone_status not_running(struct hn_study *s, int64_t number, hone_error *err)
{
    HN_TRY(hn_study_load(s, err));
    const char *path = s->opts.path;
    if (number < 0 || (uint64_t)number >= s->n)
        return hn_fail(err, HONE_E_USAGE, path, "there is no trial %lld: the study has %zu",
                       (long long)number, s->n);
    const struct hn_trial *t = &s->trials[number];
    if (t->state == HN_TRIAL_RUNNING)
        return hn_fail(err, HONE_E_USAGE, path, "trial %lld is run by somebody else",
                       (long long)number);
    if (t->state == HN_TRIAL_WAITING)
        return hn_fail(err, HONE_E_USAGE, path, "trial %lld has not been handed out yet",
                       (long long)number);
    return hn_fail(err, HONE_E_USAGE, path, "trial %lld has ended before: it is %s",
                   (long long)number, hn_trial_state_names[t->state]);
}

struct change {
    const char *sql;
    struct hn_cell *args;
    int n_args;
    int64_t number;
    const struct hn_outcome_report *r; /* of a trial that ends with it; else NULL */
    int clock,
        lease; /* positions of args that are the time of the transaction, and the end of a lease; -1: none */
};

static hone_status run_change(struct hn_study *s, void *arg, hone_error *err)
{
    struct change *c = arg;
    int64_t changed = 0;
    struct hn_query q = { c->sql, c->args, c->n_args, NULL, NULL, &changed };
    if (c->clock >= 0) c->args[c->clock] = HN_INT(s->store->now_ms);
    if (c->lease >= 0) c->args[c->lease] = HN_INT(lease_end(s));
    HN_TRY(hn_study_query(s, &q, err));
    if (!changed) return not_running(s, c->number, err);
    return c->r ? hn_study_insert_curves(s, c->number, c->r->curves, c->r->n_curves, err) : HONE_OK;
}

/* A change of a trial that we run. */
static hone_status change(struct hn_study *s, struct change *c, hone_error *err)
{
    hone_status st = hn_study_transact(s, run_change, c, err);
    if (st != HONE_E_USAGE || (!s->owner[0] && c->lease < 0)) return st;
    return hn_fail(err, HONE_E_CORRUPT, s->opts.path,
                   "trial %lld was taken over by another worker while it ran",
                   (long long)c->number);
}

hone_status hn_study_finish(struct hn_study *s, int64_t number, const struct hn_outcome_report *r,
                            hone_error *err)
{
    enum hn_trial_state state = isfinite(r->value) ? r->state : HN_TRIAL_FAILED;
    int valued = state != HN_TRIAL_FAILED;
    if (r->state != HN_TRIAL_DONE && r->state != HN_TRIAL_PRUNED && r->state != HN_TRIAL_FAILED)
        return hn_fail(err, HONE_E_INTERNAL, "study", "a trial cannot end as %d", (int)r->state);
    struct hn_cell args[] = { HN_INT(state),
                              valued ? HN_REAL(r->value) : HN_NULL,
                              HN_REAL(valued && r->noise > 0 ? r->noise : 0.0),
                              HN_INT(r->epochs),
                              HN_REAL(r->seconds),
                              r->note ? HN_TEXT(r->note) : HN_NULL,
                              HN_NULL,
                              HN_INT(number),
                              HN_TEXT(s->owner) };
    struct change c = { "UPDATE trial SET state=$1, value=$2, noise=$3, epochs=$4, seconds=$5, "
                        "note=coalesce($6, note), finished=$7, owner='', lease=0 WHERE number=$8 "
                        "AND state=1 AND owner=$9",
                        args,
                        9,
                        number,
                        r,
                        6,
                        -1 };
    return change(s, &c, err);
}

hone_status hn_study_release(struct hn_study *s, int64_t number, hone_error *err)
{
    struct hn_cell args[] = { HN_INT(number), HN_TEXT(s->owner) };
    struct change c = { "UPDATE trial SET state=0, owner='', lease=0, attempts=attempts-1 WHERE "
                        "number=$1 AND state=1 AND owner=$2",
                        args,
                        2,
                        number,
                        NULL,
                        -1,
                        -1 };
    return change(s, &c, err);
}

hone_status hn_study_renew(struct hn_study *s, int64_t number, hone_error *err)
{
    struct hn_cell args[] = { HN_NULL, HN_INT(number), HN_TEXT(s->owner) };
    struct change c = { "UPDATE trial SET lease=$1 WHERE number=$2 AND state=1 AND owner=$3",
                        args,
                        3,
                        number,
                        NULL,
                        -1,
                        0 };
    return change(s, &c, err);
}
