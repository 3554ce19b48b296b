/* SPDX-License-Identifier: MIT
 *
 * Who shares a prepared plan: see gang.h. A group outlives its members for a while, so that folds that follow each other find
 * their plan, and the steps that the backend has captured, again: the last few do, as long as they are small. */
#include "ops/base/status.h"
#include "plugin/tune/gang_own.h"
#include <time.h>

enum { LEAST_ROWS = 64, KEPT = 4 };
static const size_t GROUP_BYTES = (size_t)1 << 28; /* of a group's slots together */
static const size_t KEPT_BYTES = (size_t)1 << 28;  /* of all that are kept without members */

/* Plans with batches of about the same size are one plan: rows up to 64, 256, 1024, … */
static int64_t rounded_rows(int64_t rows)
{
    int64_t n = LEAST_ROWS;
    while (n < rows && n < INT64_MAX / 4) n *= 4;
    return n;
}

static int fits(const struct hn_gang_group *p, const struct hn_plan *plan)
{
    return p->plan->pass == plan->pass && p->plan->elem == plan->elem &&
           p->plan->max_rows == rounded_rows(plan->max_rows) &&
           hn_program_same(p->prog, plan->prog);
}

static void free_group(struct hn_gang *g, struct hn_gang_group *p)
{
    if (p->exec) {
        hn_gang_enter(g);
        g->backend->finish(p->exec);
        hn_gang_leave(g);
    }
    hn_plan_destroy(p->plan, g->mem);
    hn_program_destroy(p->prog, g->mem);
    hn_free(g->mem, p->slot);
    hn_free(g->mem, p->in);
    hn_free(g->mem, p->out);
    hn_free(g->mem, p);
}

/* The one without members that was left first, out of the list; NULL when no more than keep of them are there, nor more bytes. */
static struct hn_gang_group *unlink_idle(struct hn_gang *g, int keep)
{
    struct hn_gang_group *oldest = NULL, **at = &g->groups;
    size_t bytes = 0;
    int n = 0;
    pthread_mutex_lock(&g->lock);
    for (struct hn_gang_group *p = g->groups; p; p = p->next) {
        if (p->n_members) continue;
        n++;
        bytes += (size_t)p->slots * p->plan->arena_bytes;
        if (!oldest || p->used < oldest->used) oldest = p;
    }
    if (n <= keep && bytes <= KEPT_BYTES) oldest = NULL;
    while (oldest && *at != oldest) at = &(*at)->next;
    if (oldest) *at = oldest->next;
    pthread_mutex_unlock(&g->lock);
    return oldest;
}

void hn_gang_drop_groups(struct hn_gang *g, int keep)
{
    struct hn_gang_group *p;
    while ((p = unlink_idle(g, keep))) free_group(g, p);
}

static hone_status prepare_behind(struct hn_gang *g, const struct hn_plan *plan, int slots,
                                  void **exec, hone_error *err)
{
    hn_gang_enter(g);
    hone_status st = g->backend->prepare(g->dev, plan, slots, exec, err);
    hn_gang_leave(g);
    return st;
}

/* What the slots' memory allows, of the group's plan alone: never of what is free at the moment. */
static int slots_of(const struct hn_gang *g, const struct hn_plan *plan)
{
    size_t fit = GROUP_BYTES / (plan->arena_bytes + 1);
    return fit < (size_t)g->slots ? (int)fit : g->slots;
}

static hone_status fill_group(struct hn_gang *g, struct hn_gang_group *p,
                              const struct hn_plan *plan, hone_error *err)
{
    HN_TRY(hn_program_copy(g->mem, plan->prog, &p->prog, err));
    HN_TRY(hn_plan_create(g->mem, p->prog, plan->pass, rounded_rows(plan->max_rows), plan->elem, 0,
                          &p->plan, err));
    p->slots = slots_of(g, p->plan);
    if (p->slots < 2)
        return hn_fail(err, HONE_E_UNSUPPORTED, "the gang",
                       "%zu bytes of activations are too many for several replicas at once",
                       p->plan->arena_bytes);
    size_t n = (size_t)p->slots, outputs = (size_t)p->prog->n_outputs;
    p->slot = hn_calloc(g->mem, n, sizeof *p->slot);
    p->in = hn_calloc(g->mem, n, sizeof *p->in);
    p->out = hn_calloc(g->mem, n * outputs + 1, sizeof *p->out);
    if (!p->slot || !p->in || !p->out) return hn_nomem(err, "a group", n * sizeof *p->slot);
    hone_status st = prepare_behind(g, p->plan, p->slots, &p->exec, err);
    if (st != HONE_E_NOMEM) return st;
    hn_gang_drop_groups(g, 0); /* what is kept for later makes room */
    return prepare_behind(g, p->plan, p->slots, &p->exec, err);
}

static hone_status make_group(struct hn_gang *g, const struct hn_plan *plan,
                              struct hn_gang_group **out, hone_error *err)
{
    struct hn_gang_group *p = hn_calloc(g->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "a group", sizeof *p);
    hone_status st = fill_group(g, p, plan, err);
    if (st != HONE_OK) {
        free_group(g, p);
        return st;
    }
    pthread_mutex_lock(&g->lock);
    p->next = g->groups;
    g->groups = p;
    g->counts.prepared++;
    pthread_mutex_unlock(&g->lock);
    *out = p;
    return HONE_OK;
}

/* ---- members ----------------------------------------------------------------------------------------------------------- */

static struct hn_gang_client *client_of(struct hn_gang *g, pthread_t thread)
{
    struct hn_gang_client *c = g->clients;
    while (c && !pthread_equal(c->thread, thread)) c = c->next;
    return c;
}

/* spare: for a thread that is not known yet; taken or not. */
static void join(struct hn_gang *g, struct hn_gang_member *m, struct hn_gang_group *p,
                 struct hn_gang_client **spare)
{
    pthread_mutex_lock(&g->lock);
    struct hn_gang_client *c = client_of(g, pthread_self());
    if (!c) {
        c = *spare;
        *spare = NULL;
        c->thread = pthread_self();
        c->next = g->clients;
        g->clients = c;
    }
    c->members++;
    m->client = c;
    m->group = p;
    m->next = p->members;
    p->members = m;
    p->n_members++;
    pthread_mutex_unlock(&g->lock);
}

static void leave(struct hn_gang *g, struct hn_gang_member *m)
{
    struct hn_gang_member **at = &m->group->members;
    struct hn_gang_client **c = &g->clients, *gone = NULL;
    pthread_mutex_lock(&g->lock);
    while (*at != m) at = &(*at)->next;
    *at = m->next;
    m->group->n_members--;
    m->group->used = ++g->clock;
    if (--m->client->members == 0) {
        gone = m->client;
        while (*c != gone) c = &(*c)->next;
        *c = gone->next;
    }
    hn_gang_dispatch(g); /* nobody waits for it any more */
    pthread_mutex_unlock(&g->lock);
    hn_free(g->mem, gone);
}

/* HONE_E_UNSUPPORTED: it has to run alone. */
static hone_status find_group(struct hn_gang *g, const struct hn_plan *plan,
                              struct hn_gang_member *m, hone_error *err)
{
    struct hn_gang_client *spare = hn_calloc(g->mem, 1, sizeof *spare);
    if (!spare) return hn_nomem(err, "a member of a group", sizeof *spare);
    hone_status st = HONE_OK;
    pthread_mutex_lock(&g->shop);
    struct hn_gang_group *p = g->groups;
    while (p && !fits(p, plan)) p = p->next;
    if (!p) st = make_group(g, plan, &p, err);
    if (st == HONE_OK) {
        double rate, groups;
        m->rate = -1;
        if (hn_program_dropout(plan->prog, &rate) && hn_program_dropout(p->prog, &groups))
            m->rate = rate;
        join(g, m, p, &spare);
        hn_gang_drop_groups(g, KEPT);
    }
    pthread_mutex_unlock(&g->shop);
    hn_free(g->mem, spare);
    return st;
}

static hone_status prepare(struct hn_gang *g, const struct hn_plan *plan, int max_slots,
                           struct hn_gang_member *m, hone_error *err)
{
    int gathers = plan->pass == HN_PASS_TRAIN || plan->pass == HN_PASS_EVAL;
    if (gathers && max_slots == 1 && g->slots > 1) {
        hone_status st = find_group(g, plan, m, err);
        if (st != HONE_E_UNSUPPORTED) return st;
    }
    m->most = max_slots > 1 ? max_slots : 1;
    m->own = hn_calloc(g->mem, (size_t)m->most, sizeof *m->own);
    if (!m->own) return hn_nomem(err, "a prepared plan", (size_t)m->most * sizeof *m->own);
    return prepare_behind(g, plan, max_slots, &m->alone, err);
}

hone_status hn_gang_prepare(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                            hone_error *err)
{
    struct hn_gang *g = dev;
    pthread_condattr_t attr;
    *exec = NULL;
    struct hn_gang_member *m = hn_calloc(g->mem, 1, sizeof *m);
    if (!m) return hn_nomem(err, "a prepared plan", sizeof *m);
    m->gang = g;
    hone_status st = prepare(g, plan, max_slots, m, err);
    if (st != HONE_OK) {
        hn_free(g->mem, m->own);
        hn_free(g->mem, m);
        return st;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->turn, &attr);
    pthread_condattr_destroy(&attr);
    *exec = m;
    return HONE_OK;
}

void hn_gang_finish(void *exec)
{
    struct hn_gang_member *m = exec;
    if (!m) return;
    struct hn_gang *g = m->gang;
    if (m->group) {
        leave(g, m);
        pthread_mutex_lock(&g->shop);
        hn_gang_drop_groups(g, KEPT);
        pthread_mutex_unlock(&g->shop);
    }
    if (m->alone) {
        hn_gang_enter(g);
        g->backend->finish(m->alone);
        hn_gang_leave(g);
    }
    pthread_cond_destroy(&m->turn);
    hn_free(g->mem, m->own);
    hn_free(g->mem, m);
}
