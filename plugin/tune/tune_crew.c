/* SPDX-License-Identifier: MIT
 *
 * Workers of a search: see tune_crew.h. */
#include "plugin/tune/tune_crew.h"
#include "ops/base/status.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

struct worker {
    struct hn_crew *crew;
    pthread_t thread;
    hone_context *ctx;
    hone_model *model;       /* NULL: to be loaded */
    struct hn_device device; /* backend NULL: to be opened */
    struct hn_kept kept;
    int started;
};

struct queue {
    struct hn_task *first, *last;
    int n;
};

struct hn_crew {
    struct hn_mem *mem;
    const struct hn_buffer *bytes;
    const struct hone_data *data;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct queue todo, ended;
    int n, quit;
    struct worker *worker;
};

static void push(struct queue *q, struct hn_task *t)
{
    t->next = NULL;
    if (q->last)
        q->last->next = t;
    else
        q->first = t;
    q->last = t;
    q->n++;
}

static struct hn_task *pop(struct queue *q)
{
    struct hn_task *t = q->first;
    if (!t) return NULL;
    q->first = t->next;
    if (!q->first) q->last = NULL;
    q->n--;
    return t;
}

/* ---- a worker ------------------------------------------------------------------------------------------------------------ */

/* What a worker keeps from task to task. */
static hone_status get_ready(struct worker *w, const hone_params *params, hone_error *err)
{
    const struct hn_buffer *b = w->crew->bytes;
    if (!w->model) HN_TRY(hone_model_load_bytes(w->ctx, b->p, b->n, NULL, &w->model, err));
    if (w->device.backend || w->crew->data->device) return HONE_OK;
    HN_TRY(hn_device_open(w->ctx, params, hn_model_graph(w->model)->dtype, &w->device, err));
    hn_prepared_init(&w->kept.prepared, &w->ctx->mem, w->device.backend, w->device.dev);
    return HONE_OK;
}

static void run_task(struct worker *w, struct hn_task *t)
{
    const struct hn_device *shared = w->crew->data->device;
    struct hn_fold_result *r = &t->result;
    hone_error err;
    *r = (struct hn_fold_result){ .state = HN_FOLD_FAILED };
    if (atomic_load(&t->cancel)) {
        r->state = HN_FOLD_INTERRUPTED;
        return;
    }
    if (get_ready(w, t->params, &r->why) != HONE_OK) return;
    struct hn_replica_task job = { .mem = w->crew->mem,
                                   .model = w->model,
                                   .data = w->crew->data,
                                   .params = t->params,
                                   .device = shared ? shared : &w->device,
                                   .kept = &w->kept,
                                   .trial = t->trial,
                                   .fold = t->fold,
                                   .rows = t->rows,
                                   .keep = t->keep,
                                   .watch = t->watch.rule ? &t->watch : NULL,
                                   .until = t->until,
                                   .cancel = &t->cancel };
    if (hn_replica_run(&job, r, &err) == HONE_OK) return;
    r->state = HN_FOLD_FAILED;
    r->why = err;
    hone_model_destroy(w->model); /* the next task gets a fresh one */
    w->model = NULL;
}

static void *work(void *user)
{
    struct worker *w = user;
    struct hn_crew *c = w->crew;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct hn_task *t = c->quit ? NULL : pop(&c->todo);
        if (t) {
            pthread_mutex_unlock(&c->lock);
            run_task(w, t);
            pthread_mutex_lock(&c->lock);
            push(&c->ended, t);
            pthread_cond_signal(&c->done);
        } else if (c->quit) {
            break;
        } else {
            pthread_cond_wait(&c->work, &c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- the crew ------------------------------------------------------------------------------------------------------------ */

static void *shared_alloc(void *user, size_t size) { return hn_alloc(user, size); }
static void shared_release(void *user, void *p) { hn_free(user, p); }

static hone_status start(struct hn_crew *c, hone_context *ctx, hone_error *err)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    o.alloc = shared_alloc;
    o.release = shared_release;
    o.alloc_user = &ctx->mem;
    for (int i = 0; i < c->n; i++) {
        struct worker *w = &c->worker[i];
        w->crew = c;
        HN_TRY(hn_context_create_with(&o, ctx->io, &w->ctx, err));
        w->ctx->ops = ctx->ops; /* of plug-ins that stay with ctx, which outlives its workers */
        w->kept.mem = &w->ctx->mem;
        int rc = pthread_create(&w->thread, NULL, work, w);
        if (rc)
            return hn_fail(err, HONE_E_NOMEM, "jobs", "thread %d could not be started: error %d",
                           i + 1, rc);
        w->started = 1;
    }
    return HONE_OK;
}

hone_status hn_crew_create(hone_context *ctx, const struct hn_buffer *model,
                           const struct hone_data *data, int workers, struct hn_crew **out,
                           hone_error *err)
{
    pthread_condattr_t attr;
    *out = NULL;
    struct hn_crew *c = hn_calloc(&ctx->mem, 1, sizeof *c);
    struct worker *w = hn_calloc(&ctx->mem, (size_t)workers, sizeof *w);
    if (!c || !w) {
        hn_free(&ctx->mem, c);
        hn_free(&ctx->mem, w);
        return hn_nomem(err, "the workers", (size_t)workers * sizeof *w);
    }
    c->mem = &ctx->mem;
    c->bytes = model;
    c->data = data;
    c->n = workers;
    c->worker = w;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, &attr);
    pthread_condattr_destroy(&attr);
    hone_status st = start(c, ctx, err);
    if (st != HONE_OK) {
        hn_crew_destroy(c);
        return st;
    }
    *out = c;
    return HONE_OK;
}

void hn_crew_destroy(struct hn_crew *c)
{
    if (!c) return;
    hn_crew_stop(c);
    pthread_mutex_lock(&c->lock);
    c->quit = 1;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->n; i++) {
        struct worker *w = &c->worker[i];
        if (w->started) pthread_join(w->thread, NULL);
        hone_model_destroy(w->model);
        hn_kept_free(&w->kept);
        hn_device_close(&w->device);
        hone_context_destroy(w->ctx);
    }
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->lock);
    hn_free(c->mem, c->worker);
    hn_free(c->mem, c);
}

void hn_crew_give(struct hn_crew *c, struct hn_task *t)
{
    pthread_mutex_lock(&c->lock);
    push(&c->todo, t);
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

int hn_crew_waiting(struct hn_crew *c)
{
    pthread_mutex_lock(&c->lock);
    int n = c->todo.n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

struct hn_task *hn_crew_take(struct hn_crew *c, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)(seconds * 1e9);
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&c->lock);
    int rc = 0;
    while (!c->ended.first && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&c->done, &c->lock, &until);
    struct hn_task *t = pop(&c->ended);
    pthread_mutex_unlock(&c->lock);
    return t;
}

void hn_crew_stop(struct hn_crew *c)
{
    struct hn_task *t;
    pthread_mutex_lock(&c->lock);
    while ((t = pop(&c->todo))) {
        t->result = (struct hn_fold_result){ .state = HN_FOLD_INTERRUPTED };
        push(&c->ended, t);
    }
    for (int i = 0; i < c->n; i++)
        if (c->worker[i].ctx) hone_request_stop(c->worker[i].ctx);
    pthread_mutex_unlock(&c->lock);
}
