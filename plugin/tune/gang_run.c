/* SPDX-License-Identifier: MIT
 *
 * Rounds: see gang.h. A call of run() stands in its group's line until all of its steps have been taken. The thread that is
 * given the turn leads a round: it picks calls and a number of steps, runs them behind without the lock, and hands out what
 * came of it. When nobody leads, the one of each line that loses patience first watches the clock.
 *
 * A round begins when the device is free and nobody the line could wait for is on its way, or patience is at an end: about as
 * long as the last round took. Whoever evaluates waits longer for those that still train, who keep the device busy: replicas
 * that are out of step come together there, and then have rounds of many steps. */
#include "ops/base/status.h"
#include "plugin/tune/gang_own.h"
#include <time.h>

static const double LEAST_PATIENCE = 1e-4, MOST_PATIENCE = 2e-3; /* seconds */
static const double FOR_TRAINING = 4e-3;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the line ----------------------------------------------------------------------------------------------------------- */

static void stand_in_line(struct hn_gang_member *m)
{
    struct hn_gang_group *p = m->group;
    double wait = p->took > MOST_PATIENCE ? MOST_PATIENCE : p->took;
    m->state = HN_GANG_WAITS;
    m->since = seconds();
    m->patience = m->since + (wait < LEAST_PATIENCE ? LEAST_PATIENCE : wait);
    m->behind = NULL;
    if (p->last)
        p->last->behind = m;
    else
        p->first = m;
    p->last = m;
    p->n_waiting++;
}

static struct hn_gang_member *least_patient(const struct hn_gang_group *p)
{
    struct hn_gang_member *least = p->first;
    for (struct hn_gang_member *m = p->first; m; m = m->behind)
        if (m->patience < least->patience) least = m;
    return least;
}

/* Of the members that are not in line: how many may come at any time, how many train before. */
static void look_around(const struct hn_gang_group *p, int *coming, int *training)
{
    *coming = *training = 0;
    for (const struct hn_gang_member *m = p->members; m; m = m->next) {
        const struct hn_gang_group *where = m->client->waits;
        *coming += !where;
        *training += where && where != p && where->plan->pass == HN_PASS_TRAIN;
    }
}

/* When the line waits for nobody any more. */
static double ready_at(const struct hn_gang_group *p)
{
    int coming, training;
    const struct hn_gang_member *m = least_patient(p);
    look_around(p, &coming, &training);
    if (p->n_waiting >= p->slots) return m->since;
    if (training && p->plan->pass == HN_PASS_EVAL) return m->since + FOR_TRAINING;
    return coming ? m->patience : m->since;
}

void hn_gang_dispatch(struct hn_gang *g)
{
    const struct hn_gang_group *next = NULL;
    if (g->busy) return;
    if (g->wanted) {
        pthread_cond_signal(&g->idle);
        return;
    }
    for (const struct hn_gang_group *p = g->groups; p; p = p->next) {
        double at = p->first ? ready_at(p) : 0;
        if (!p->first || (next && at >= g->next_at)) continue;
        next = p;
        g->next_at = at;
    }
    if (!next) return;
    struct hn_gang_member *m = least_patient(next);
    if (g->next_at <= seconds()) {
        g->busy = 1;
        m->state = HN_GANG_LEADS;
        pthread_cond_signal(&m->turn);
    } else if (!g->watch || g->watch_until > g->next_at) {
        pthread_cond_signal(&m->turn); /* it watches the clock */
    }
}

/* ---- a round ------------------------------------------------------------------------------------------------------------ */

static int64_t left(const struct hn_gang_member *m) { return m->steps - m->ran; }

/* The first in line, and as many steps as all of them have left: together they take as many as the longest alone. */
static int choose_calls(struct hn_gang_group *p, int64_t *steps)
{
    int n = 0;
    *steps = INT64_MAX;
    for (struct hn_gang_member *m = p->first; m && n < p->slots; m = m->behind) {
        if (left(m) < *steps) *steps = left(m);
        p->in[n++] = m;
    }
    return n;
}

/* The part of a call that a round runs. */
static void fill_slot(struct hn_gang_group *p, int i, int64_t steps)
{
    const struct hn_gang_member *m = p->in[i];
    const struct hn_program *prog = p->prog;
    struct hn_slot *s = &p->slot[i];
    *s = *m->slot;
    const struct hn_gang_use *data = m->slot->data;
    void **out = p->out + (size_t)i * (size_t)prog->n_outputs;
    s->data = data ? data->of->handle : NULL;
    s->bad_step = -1;
    if (s->index) s->index += m->ran * s->rows;
    s->first += m->ran * s->rows;
    if (s->lr) s->lr += m->ran;
    s->flush = s->flush && m->ran + steps == m->steps;
    if (!s->out) return;
    for (int k = 0; k < prog->n_outputs; k++) {
        struct hn_dim n = hn_shape_count(&prog->values[prog->outputs[k]].shape);
        size_t each = (size_t)(n.per_row * s->rows + n.fixed) * p->plan->elem;
        char *to = s->out[k];
        out[k] = to ? to + (size_t)m->ran * each : NULL;
    }
    s->out = out;
}

/* What the round did to a call; 1: there is nothing left to do for it. */
static int take_slot(struct hn_gang_member *m, const struct hn_slot *s, int64_t steps, double took)
{
    m->slot->seconds += took;
    if (m->st == HONE_OK && s->bad_step >= 0) {
        m->slot->bad_step = m->ran + s->bad_step;
        return 1;
    }
    m->ran += steps;
    return m->st != HONE_OK || m->ran >= m->steps;
}

/* Out of the line; those with steps left go to its end. */
static void hand_out(struct hn_gang_group *p, int n, int64_t steps, double took)
{
    struct hn_gang_member *m = p->first;
    for (int i = 0; i < n; i++) p->in[i]->state = HN_GANG_DONE;
    p->first = p->last = NULL;
    p->n_waiting = 0;
    for (struct hn_gang_member *then; m; m = then) {
        double patience = m->patience;
        then = m->behind;
        if (m->state == HN_GANG_DONE) continue;
        stand_in_line(m);
        m->patience = patience;
    }
    for (int i = 0; i < n; i++) {
        if (take_slot(p->in[i], &p->slot[i], steps, took))
            pthread_cond_signal(&p->in[i]->turn);
        else
            stand_in_line(p->in[i]);
    }
}

/* The device is ours. */
static void lead(struct hn_gang *g, struct hn_gang_group *p)
{
    int64_t steps;
    hone_error err = { 0 };
    int n = choose_calls(p, &steps);
    for (int i = 0; i < n; i++) fill_slot(p, i, steps);
    pthread_mutex_unlock(&g->lock);
    double start = seconds();
    hone_status st = g->backend->run(p->exec, p->slot, n, (int)steps, &err);
    double took = seconds() - start;
    pthread_mutex_lock(&g->lock);
    p->took = took;
    g->counts.runs++;
    for (int i = 0; i < n; i++) {
        p->in[i]->st = st;
        if (st != HONE_OK && p->in[i]->err) *p->in[i]->err = err;
    }
    hand_out(p, n, steps, took);
    g->busy = 0;
    hn_gang_dispatch(g);
}

/* ---- a call ------------------------------------------------------------------------------------------------------------- */

/* Until something has come of it. While the device is idle one of all that wait watches the clock. */
static void wait(struct hn_gang *g, struct hn_gang_member *m)
{
    struct timespec until;
    double at = g->next_at;
    if (g->busy || g->wanted || (g->watch && g->watch_until <= at)) {
        pthread_cond_wait(&m->turn, &g->lock);
        return;
    }
    until.tv_sec = (time_t)at;
    until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9) + 1;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    g->watch = m;
    g->watch_until = at;
    (void)pthread_cond_timedwait(&m->turn, &g->lock, &until);
    if (g->watch == m) g->watch = NULL;
    hn_gang_dispatch(g); /* whatever became of this one: somebody has to watch */
}

static hone_status in_company(struct hn_gang *g, struct hn_gang_member *m)
{
    pthread_mutex_lock(&g->lock);
    g->counts.calls++;
    m->client->waits = m->group;
    stand_in_line(m);
    hn_gang_dispatch(g);
    while (m->state != HN_GANG_DONE) {
        if (m->state == HN_GANG_LEADS)
            lead(g, m->group);
        else
            wait(g, m);
    }
    m->state = HN_GANG_AWAY;
    m->client->waits = NULL;
    pthread_mutex_unlock(&g->lock);
    return m->st;
}

static hone_status alone(struct hn_gang *g, struct hn_gang_member *m, struct hn_slot *slots,
                         int n_slots, int n_steps, hone_error *err)
{
    if (n_slots > m->most)
        return hn_fail(err, HONE_E_USAGE, "the gang", "%d slots, prepared for %d", n_slots,
                       m->most);
    for (int i = 0; i < n_slots; i++) {
        const struct hn_gang_use *data = slots[i].data;
        m->own[i] = slots[i];
        m->own[i].data = data ? data->of->handle : NULL;
    }
    hn_gang_enter(g);
    double start = seconds();
    hone_status st = g->backend->run(m->alone, m->own, n_slots, n_steps, err);
    double took = seconds() - start;
    hn_gang_leave(g);
    for (int i = 0; i < n_slots; i++) {
        slots[i].bad_step = m->own[i].bad_step;
        slots[i].seconds = took;
    }
    return st;
}

/* The group's rate of Dropout may be another one than the member's: it comes with the replica. */
hone_status hn_gang_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                        hone_error *err)
{
    struct hn_gang_member *m = exec;
    struct hn_hyper hyper;
    if (m->alone) return alone(m->gang, m, slots, n_slots, n_steps, err);
    if (n_slots > 1)
        return hn_fail(err, HONE_E_USAGE, "the gang", "%d slots, prepared for 1", n_slots);
    if (n_slots < 1) return HONE_OK;
    slots[0].bad_step = -1;
    slots[0].seconds = 0;
    if (slots[0].rows <= 0 || n_steps <= 0) return HONE_OK;
    struct hn_replica *r = slots[0].r;
    const struct hn_hyper *given = r->hyper;
    if (given && given->dropout < 0 && m->rate >= 0) {
        hyper = *given;
        hyper.dropout = m->rate;
        r->hyper = &hyper;
    }
    m->slot = &slots[0];
    m->steps = n_steps;
    m->ran = 0;
    m->err = err;
    hone_status st = in_company(m->gang, m);
    r->hyper = given;
    return st;
}
