/* SPDX-License-Identifier: MIT
 *
 * Many threads on one device, see gang.h: calls that are handed on one by one, and data sets that are bound once. */
#include "ops/base/status.h"
#include "plugin/tune/gang_own.h"
#include <string.h>

/* ---- the device ------------------------------------------------------------------------------------------------------- */

void hn_gang_enter(struct hn_gang *g)
{
    pthread_mutex_lock(&g->lock);
    g->wanted++;
    while (g->busy) pthread_cond_wait(&g->idle, &g->lock);
    g->wanted--;
    g->busy = 1;
    pthread_mutex_unlock(&g->lock);
}

void hn_gang_leave(struct hn_gang *g)
{
    pthread_mutex_lock(&g->lock);
    g->busy = 0;
    hn_gang_dispatch(g);
    pthread_mutex_unlock(&g->lock);
}

static int gang_offers(void *dev, const struct hn_op *op, enum hn_pass pass, const char **why)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    int yes = g->backend->offers(g->dev, op, pass, why);
    hn_gang_leave(g);
    return yes;
}

static void gang_describe(void *dev, char *buf, size_t size)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    g->backend->describe(g->dev, buf, size);
    hn_gang_leave(g);
}

static hone_status gang_alloc(void *dev, size_t bytes, void **buf, hone_error *err)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    hone_status st = g->backend->alloc(g->dev, bytes, buf, err);
    hn_gang_leave(g);
    return st;
}

static void gang_release(void *dev, void *buf)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    g->backend->release(g->dev, buf);
    hn_gang_leave(g);
}

static hone_status gang_put(void *dev, void *buf, size_t off, const void *src, size_t n,
                            hone_error *err)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    hone_status st = g->backend->put(g->dev, buf, off, src, n, err);
    hn_gang_leave(g);
    return st;
}

static hone_status gang_get(void *dev, const void *buf, size_t off, void *dst, size_t n,
                            hone_error *err)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    hone_status st = g->backend->get(g->dev, buf, off, dst, n, err);
    hn_gang_leave(g);
    return st;
}

static hone_status gang_copy(void *dev, void *dst, const void *src, size_t n, hone_error *err)
{
    struct hn_gang *g = dev;
    hn_gang_enter(g);
    hone_status st = g->backend->copy(g->dev, dst, src, n, err);
    hn_gang_leave(g);
    return st;
}

/* ---- data sets --------------------------------------------------------------------------------------------------------- */

static size_t column_bytes(const struct hn_column *c, int64_t rows)
{
    return (size_t)rows * (size_t)c->per_row * hn_dtype_size(c->dtype);
}

static int same_column(const struct hn_column *a, const struct hn_column *b, int64_t rows)
{
    if (a->dtype != b->dtype || a->per_row != b->per_row || !a->data != !b->data ||
        memcmp(&a->scale, &b->scale, sizeof a->scale) != 0)
        return 0;
    return a->data == b->data || memcmp(a->data, b->data, column_bytes(a, rows)) == 0;
}

static const struct hn_column *column_at(const struct hn_dataset *d, int i)
{
    return i < d->n_inputs ? &d->inputs[i] : &d->targets[i - d->n_inputs];
}

static int columns_of(const struct hn_dataset *d) { return d->n_inputs + d->n_targets; }

static int same_set(const struct hn_dataset *a, const struct hn_dataset *b)
{
    if (a->rows != b->rows || a->n_inputs != b->n_inputs || a->n_targets != b->n_targets) return 0;
    for (int i = 0; i < columns_of(a); i++)
        if (!same_column(column_at(a, i), column_at(b, i), a->rows)) return 0;
    return 1;
}

static void take_columns(struct hn_column *to, const struct hn_dataset *d)
{
    for (int i = 0; i < columns_of(d); i++) to[i] = *column_at(d, i);
}

static hone_status bind_new(struct hn_gang *g, const struct hn_dataset *d, struct hn_gang_set **out,
                            hone_error *err)
{
    struct hn_gang_set *s = hn_calloc(g->mem, 1, sizeof *s);
    struct hn_column *c = hn_calloc(g->mem, (size_t)columns_of(d) + 1, sizeof *c);
    hone_status st = s && c ? HONE_OK : hn_nomem(err, "a data set", sizeof *s);
    if (st == HONE_OK) {
        take_columns(c, d);
        s->columns = c;
        s->set = (struct hn_dataset){ d->rows, d->n_inputs, d->n_targets, c, c + d->n_inputs };
        hn_gang_enter(g);
        st = g->backend->bind(g->dev, &s->set, &s->handle, err);
        hn_gang_leave(g);
    }
    if (st != HONE_OK) {
        hn_free(g->mem, s);
        hn_free(g->mem, c);
        return st;
    }
    s->next = g->sets;
    g->sets = s;
    *out = s;
    return HONE_OK;
}

static hone_status bind(struct hn_gang *g, const struct hn_dataset *d, struct hn_gang_use *u,
                        hone_error *err)
{
    struct hn_gang_set *s = g->sets;
    while (s && !same_set(&s->set, d)) s = s->next;
    if (!s) HN_TRY(bind_new(g, d, &s, err));
    take_columns(u->columns, d);
    u->of = s;
    u->next = s->users;
    s->users = u;
    return HONE_OK;
}

static hone_status gang_bind(void *dev, const struct hn_dataset *d, void **handle, hone_error *err)
{
    struct hn_gang *g = dev;
    size_t n = (size_t)columns_of(d);
    *handle = NULL;
    struct hn_gang_use *u = hn_calloc(g->mem, 1, sizeof *u + n * sizeof *u->columns);
    if (!u) return hn_nomem(err, "a data set", n * sizeof *u->columns);
    pthread_mutex_lock(&g->shop);
    hone_status st = bind(g, d, u, err);
    pthread_mutex_unlock(&g->shop);
    if (st != HONE_OK) {
        hn_free(g->mem, u);
        return st;
    }
    *handle = u;
    return HONE_OK;
}

static void unbind_last(struct hn_gang *g, struct hn_gang_set *s)
{
    struct hn_gang_set **at = &g->sets;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    hn_gang_enter(g);
    g->backend->unbind(g->dev, s->handle);
    hn_gang_leave(g);
    hn_free(g->mem, s->columns);
    hn_free(g->mem, s);
}

/* The memory of those who leave may go: what stays bound gets the columns of one who stays. */
static void gang_unbind(void *dev, void *handle)
{
    struct hn_gang *g = dev;
    struct hn_gang_use *u = handle, **at;
    if (!u) return;
    struct hn_gang_set *s = u->of;
    pthread_mutex_lock(&g->shop);
    for (at = &s->users; *at != u;) at = &(*at)->next;
    *at = u->next;
    if (s->users) {
        hn_gang_enter(g);
        memcpy(s->columns, s->users->columns, (size_t)columns_of(&s->set) * sizeof *s->columns);
        hn_gang_leave(g);
    } else {
        unbind_last(g, s);
    }
    pthread_mutex_unlock(&g->shop);
    hn_free(g->mem, u);
}

/* ---- the gang ---------------------------------------------------------------------------------------------------------- */

static void gang_close(void *dev) { hn_gang_destroy(dev); }

hone_status hn_gang_create(struct hn_mem *mem, const struct hn_backend *backend, void *dev,
                           int slots, struct hn_gang **out, hone_error *err)
{
    *out = NULL;
    struct hn_gang *g = hn_calloc(mem, 1, sizeof *g);
    if (!g) return hn_nomem(err, "the gang", sizeof *g);
    g->table = (struct hn_backend){ .size = sizeof g->table,
                                    .build = backend->build,
                                    .name = backend->name,
                                    .elem = backend->elem,
                                    .close = gang_close,
                                    .offers = gang_offers,
                                    .alloc = gang_alloc,
                                    .release = gang_release,
                                    .put = gang_put,
                                    .get = gang_get,
                                    .copy = gang_copy,
                                    .bind = gang_bind,
                                    .unbind = gang_unbind,
                                    .prepare = hn_gang_prepare,
                                    .run = hn_gang_run,
                                    .finish = hn_gang_finish,
                                    .describe = backend->describe ? gang_describe : NULL };
    g->mem = mem;
    g->backend = backend;
    g->dev = dev;
    g->slots = slots;
    pthread_mutex_init(&g->shop, NULL);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->idle, NULL);
    *out = g;
    return HONE_OK;
}

void hn_gang_destroy(struct hn_gang *g)
{
    if (!g) return;
    hn_gang_drop_groups(g, 0);
    pthread_cond_destroy(&g->idle);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->shop);
    hn_free(g->mem, g);
}

const struct hn_backend *hn_gang_backend(const struct hn_gang *g) { return &g->table; }

struct hn_gang_counts hn_gang_count(struct hn_gang *g)
{
    pthread_mutex_lock(&g->shop);
    pthread_mutex_lock(&g->lock);
    struct hn_gang_counts c = g->counts;
    for (const struct hn_gang_set *s = g->sets; s; s = s->next) c.sets++;
    for (const struct hn_gang_group *p = g->groups; p; p = p->next) c.groups++;
    pthread_mutex_unlock(&g->lock);
    pthread_mutex_unlock(&g->shop);
    return c;
}
