/* SPDX-License-Identifier: MIT
 *
 * The shadow backend: see shadow.h. Wraps hn_backend_reference; what it adds is distance. */
#include "tests/shadow/shadow.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { QUEUE = 64, REFUSED = 8, PAGE = 4096, OUTPUTS = 16 };

struct buffer { /* bookkeeping of one mapping; the handle a host gets is the mapping's address */
    struct buffer *next;
    void *p;
    size_t bytes; /* of the mapping */
};

struct job { /* queued: to[off, off + n) = from, or the staged bytes that follow */
    void *to;
    size_t off, n;
    const void *from;
    unsigned char *staged;
};

struct device {
    struct hn_mem *mem;
    void *inner; /* the reference backend's device */
    struct buffer *buffers;
    struct job queue[QUEUE];
    int n_queue, open; /* open: how many calls deep the memory is accessible */
    char refused[REFUSED][16];
    int n_refused;
    uint32_t some;
    size_t limit, used;
};

struct set { /* a bound data set: everything copied */
    struct hn_dataset set;
    struct hn_column *columns;
    void *inner;
};

struct exec {
    struct device *dev;
    const struct hn_plan *plan;
    void *inner;
    int max_slots;
    struct hn_slot *slots; /* private copies while a run is under way */
    struct hn_replica *replicas;
    double *partial;   /* 2 per loss and slot */
    void **out;        /* outputs of each slot, where a step writes */
    uint64_t *batches; /* the state of each slot */
};

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void protect_all(struct device *d, int how)
{
    for (struct buffer *b = d->buffers; b; b = b->next) mprotect(b->p, b->bytes, how);
}
static void enter(struct device *d)
{
    if (d->open++ == 0) protect_all(d, PROT_READ | PROT_WRITE);
}
static void leave(struct device *d)
{
    if (--d->open == 0) protect_all(d, PROT_NONE);
}

static void *map(struct device *d, size_t bytes)
{
    size_t n = (bytes + PAGE) / PAGE * PAGE;
    if (d->limit && d->used + n > d->limit) return NULL;
    struct buffer *b = hn_calloc(d->mem, 1, sizeof *b);
    if (!b) return NULL;
    b->p = mmap(NULL, n, d->open ? PROT_READ | PROT_WRITE : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (b->p == MAP_FAILED) {
        hn_free(d->mem, b);
        return NULL;
    }
    b->bytes = n, b->next = d->buffers;
    d->buffers = b;
    d->used += n;
    return b->p;
}

static void unmap(struct device *d, void *p)
{
    for (struct buffer **at = &d->buffers; *at; at = &(*at)->next) {
        struct buffer *b = *at;
        if (b->p != p) continue;
        *at = b->next;
        d->used -= b->bytes;
        munmap(b->p, b->bytes);
        hn_free(d->mem, b);
        return;
    }
}

static void do_queue(struct device *d)
{
    enter(d);
    for (int i = 0; i < d->n_queue; i++) {
        struct job *j = &d->queue[i];
        memcpy((unsigned char *)j->to + j->off, j->staged ? j->staged : j->from, j->n);
        hn_free(d->mem, j->staged);
    }
    d->n_queue = 0;
    leave(d);
}

static struct job *enqueue(struct device *d, void *to, size_t off, size_t n)
{
    if (d->n_queue == QUEUE) do_queue(d);
    struct job *j = &d->queue[d->n_queue++];
    *j = (struct job){ .to = to, .off = off, .n = n };
    return j;
}

static hone_status shadow_alloc(void *dev, size_t bytes, void **buf, hone_error *err)
{
    *buf = map(dev, bytes);
    return *buf ? HONE_OK : hn_nomem(err, "a shadow buffer", bytes);
}
static void shadow_release(void *dev, void *buf)
{
    do_queue(dev);
    unmap(dev, buf);
}
static hone_status shadow_put(void *dev, void *buf, size_t off, const void *src, size_t n,
                              hone_error *err)
{
    struct device *d = dev;
    unsigned char *staged = hn_alloc(d->mem, n);
    if (!staged) return hn_nomem(err, "the shadow's queue", n);
    if (n) memcpy(staged, src, n);
    enqueue(d, buf, off, n)->staged = staged;
    return HONE_OK;
}
static hone_status shadow_copy(void *dev, void *dst, const void *src, size_t n, hone_error *err)
{
    (void)err;
    enqueue(dev, dst, 0, n)->from = src;
    return HONE_OK;
}
static hone_status shadow_get(void *dev, const void *buf, size_t off, void *dst, size_t n,
                              hone_error *err)
{
    struct device *d = dev;
    (void)err;
    do_queue(d);
    enter(d);
    if (n) memcpy(dst, (const unsigned char *)buf + off, n);
    leave(d);
    return HONE_OK;
}

/* ---- device ------------------------------------------------------------------------------------------------------- */

static hone_status read_option(struct device *d, const char *s, size_t n, hone_error *err)
{
    if (n > 7 && n < 23 && !memcmp(s, "refuse=", 7) && d->n_refused < REFUSED)
        memcpy(d->refused[d->n_refused++], s + 7, n - 7);
    else if (n > 5 && !memcmp(s, "some=", 5))
        d->some = 1 + (uint32_t)strtoul(s + 5, NULL, 10);
    else if (n > 6 && !memcmp(s, "limit=", 6))
        d->limit = strtoul(s + 6, NULL, 10);
    else
        return hn_fail(err, HONE_E_USAGE, "shadow backend", "option '%.*s' is unknown", (int)n, s);
    return HONE_OK;
}

static void shadow_close(void *dev)
{
    struct device *d = dev;
    if (!d) return;
    do_queue(d);
    hn_backend_reference.close(d->inner);
    hn_free(d->mem, d); /* buffers a host forgot stay in hn_mem's count */
}

static hone_status shadow_open(const struct hn_host *host, const char *options, void **dev,
                               hone_error *err)
{
    struct hn_host inner = *host;
    *dev = NULL;
    struct device *d = hn_calloc(host->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the shadow backend", sizeof *d);
    d->mem = host->mem;
    hone_status st = hn_backend_reference.open(&inner, NULL, &d->inner, err);
    for (const char *s = options; st == HONE_OK && s && *s;) {
        size_t n = strcspn(s, ",");
        st = read_option(d, s, n, err);
        s += n + (s[n] == ',');
    }
    if (st != HONE_OK) {
        shadow_close(d);
        return st;
    }
    *dev = d;
    return HONE_OK;
}

static int shadow_offers(void *dev, const struct hn_op *op, enum hn_pass pass, const char **why)
{
    struct device *d = dev;
    for (int i = 0; i < d->n_refused; i++)
        if (!strcmp(d->refused[i], op->row->name)) {
            *why = "the shadow was told to refuse it";
            return 0;
        }
    const uint32_t key[2] = { d->some, 0 };
    uint32_t at = 0;
    while (hn_op_rows[at] && hn_op_rows[at] != op->row) at++;
    if (d->some && hn_rng_u32(key, 0, at) % 3 == 0) {
        *why = "the shadow is in no mood for it";
        return 0;
    }
    return hn_backend_reference.offers(d->inner, op, pass, why);
}

static void shadow_unbind(void *dev, void *handle)
{
    struct device *d = dev;
    struct set *s = handle;
    if (!s) return;
    for (int i = 0; s->columns && i < s->set.n_inputs + s->set.n_targets; i++)
        if (s->columns[i].data) unmap(d, (void *)(uintptr_t)s->columns[i].data);
    hn_free(d->mem, s->columns);
    hn_free(d->mem, s);
}

static hone_status copy_column(struct device *d, const struct hn_column *from, int64_t rows,
                               struct hn_column *to, hone_error *err)
{
    size_t n = (size_t)(rows * from->per_row) * hn_dtype_size(from->dtype);
    *to = *from;
    to->data = NULL;
    if (!from->data) return HONE_OK;
    void *p = map(d, n);
    if (!p) return hn_nomem(err, "a data set on the shadow", n);
    if (n) memcpy(p, from->data, n);
    to->data = p;
    return HONE_OK;
}

static hone_status shadow_bind(void *dev, const struct hn_dataset *set, void **handle,
                               hone_error *err)
{
    struct device *d = dev;
    *handle = NULL;
    struct set *s = hn_calloc(d->mem, 1, sizeof *s);
    if (!s) return hn_nomem(err, "a data set on the shadow", sizeof *s);
    s->set = *set;
    s->columns =
        hn_calloc(d->mem, (size_t)(set->n_inputs + set->n_targets) + 1, sizeof *s->columns);
    s->set.inputs = s->columns;
    s->set.targets = s->columns ? s->columns + set->n_inputs : NULL;
    hone_status st =
        s->columns ? HONE_OK : hn_nomem(err, "a data set on the shadow", sizeof *s->columns);
    enter(d);
    for (int i = 0; st == HONE_OK && i < set->n_inputs; i++)
        st = copy_column(d, &set->inputs[i], set->rows, &s->columns[i], err);
    for (int i = 0; st == HONE_OK && i < set->n_targets; i++)
        st = copy_column(d, &set->targets[i], set->rows, &s->columns[set->n_inputs + i], err);
    if (st == HONE_OK) st = hn_backend_reference.bind(d->inner, &s->set, &s->inner, err);
    leave(d);
    if (st != HONE_OK) {
        shadow_unbind(d, s);
        return st;
    }
    *handle = s;
    return HONE_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------ */

static void shadow_finish(void *exec)
{
    struct exec *e = exec;
    if (!e) return;
    struct hn_mem *m = e->dev->mem;
    hn_backend_reference.finish(e->inner);
    hn_free(m, e->slots);
    hn_free(m, e->replicas);
    hn_free(m, e->partial);
    hn_free(m, e->out);
    hn_free(m, e->batches);
    hn_free(m, e);
}

static hone_status check_ops(struct device *d, const struct hn_plan *plan, hone_error *err)
{
    for (int i = 0; i < plan->n_forward; i++) {
        const struct hn_op *op = &plan->prog->ops[plan->steps[i].op];
        const char *why = "";
        if (!shadow_offers(d, op, plan->pass, &why))
            return hn_fail(err, HONE_E_UNSUPPORTED, op->name, "%s: %s", op->row->name, why);
    }
    return HONE_OK;
}

static hone_status shadow_prepare(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                                  hone_error *err)
{
    struct device *d = dev;
    *exec = NULL;
    HN_TRY(check_ops(d, plan, err));
    struct exec *e = hn_calloc(d->mem, 1, sizeof *e);
    if (!e) return hn_nomem(err, "the shadow backend", sizeof *e);
    e->dev = d, e->plan = plan, e->max_slots = max_slots;
    size_t n = (size_t)max_slots, losses = 2 * (size_t)plan->prog->n_losses;
    e->slots = hn_calloc(d->mem, n, sizeof *e->slots);
    e->replicas = hn_calloc(d->mem, n, sizeof *e->replicas);
    e->partial = hn_calloc(d->mem, n * losses + 1, sizeof *e->partial);
    e->out = hn_calloc(d->mem, n * OUTPUTS, sizeof *e->out);
    e->batches = hn_calloc(d->mem, n, sizeof *e->batches);
    hone_status st = hn_backend_reference.prepare(d->inner, plan, max_slots, &e->inner, err);
    if (st == HONE_OK && (!e->slots || !e->replicas || !e->partial || !e->out || !e->batches))
        st = hn_nomem(err, "the shadow backend", n * sizeof *e->slots);
    if (st == HONE_OK && plan->prog->n_outputs > OUTPUTS)
        st = hn_fail(err, HONE_E_UNSUPPORTED, "shadow backend", "%d outputs, at most %d",
                     plan->prog->n_outputs, OUTPUTS);
    if (st != HONE_OK) {
        shadow_finish(e);
        return st;
    }
    *exec = e;
    return HONE_OK;
}

/* The private copy of slot k as the reference backend would see it. */
static void take_slot(struct exec *e, const struct hn_slot *from, int k)
{
    struct hn_slot *s = &e->slots[k];
    *s = *from;
    s->bad_step = -1;
    if (from->rows <= 0) return;
    e->replicas[k] = *from->r;
    s->r = &e->replicas[k];
    s->data = ((const struct set *)from->data)->inner;
    s->partial = from->partial ? e->partial + 2 * (size_t)(k * e->plan->prog->n_losses) : NULL;
    if (s->partial)
        memcpy(s->partial, from->partial, 2 * (size_t)e->plan->prog->n_losses * sizeof(double));
    for (int i = 0; from->out && i < e->plan->prog->n_outputs; i++)
        e->out[k * OUTPUTS + i] = from->out[i];
    s->out = from->out ? &e->out[k * OUTPUTS] : NULL;
}

/* One step of slot k; afterwards its pointers are at the next step. */
static hone_status step_slot(struct exec *e, int k, int step, int n_steps, hone_error *err)
{
    struct hn_slot *s = &e->slots[k];
    if (s->rows <= 0 || s->bad_step >= 0) return HONE_OK;
    uint32_t flush = s->flush;
    if (step < n_steps - 1) s->flush = 0;
    hone_status st = hn_backend_reference.run(e->inner, s, 1, 1, err);
    s->flush = flush;
    if (s->bad_step == 0) s->bad_step = step;
    if (s->index) s->index += s->rows;
    s->first += s->rows;
    if (s->lr) s->lr++;
    for (int i = 0; s->out && i < e->plan->prog->n_outputs; i++) {
        struct hn_dim n = hn_shape_count(&e->plan->prog->values[e->plan->prog->outputs[i]].shape);
        if (e->out[k * OUTPUTS + i])
            e->out[k * OUTPUTS + i] =
                (double *)e->out[k * OUTPUTS + i] + n.per_row * s->rows + n.fixed;
    }
    e->batches[k] += s->bad_step < 0;
    return st;
}

static void give_slot(const struct exec *e, struct hn_slot *to, int k)
{
    const struct hn_slot *s = &e->slots[k];
    to->bad_step = s->bad_step;
    if (s->rows <= 0) return;
    to->r->now = s->r->now;
    if (to->partial)
        memcpy(to->partial, s->partial, 2 * (size_t)e->plan->prog->n_losses * sizeof(double));
}

static hone_status shadow_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                              hone_error *err)
{
    struct exec *e = exec;
    hone_status st = HONE_OK;
    if (n_slots > e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "shadow backend", "%d slots, prepared for %d", n_slots,
                       e->max_slots);
    do_queue(e->dev);
    enter(e->dev);
    for (int k = 0; k < n_slots; k++) take_slot(e, &slots[k], k);
    for (int i = 0; i < n_steps && st == HONE_OK; i++)
        for (int k = n_slots - 1; k >= 0 && st == HONE_OK; k--)
            st = step_slot(e, k, i, n_steps, err);
    leave(e->dev);
    if (st == HONE_OK)
        for (int k = 0; k < n_slots; k++) give_slot(e, &slots[k], k);
    return st;
}

static size_t shadow_state_size(void *exec) { return sizeof *((struct exec *)exec)->batches; }
static hone_status shadow_state_save(void *exec, int slot, void *dst, hone_error *err)
{
    struct exec *e = exec;
    if (slot < 0 || slot >= e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "shadow backend", "slot %d", slot);
    memcpy(dst, &e->batches[slot], sizeof *e->batches);
    return HONE_OK;
}
static hone_status shadow_state_load(void *exec, int slot, const void *src, hone_error *err)
{
    struct exec *e = exec;
    if (slot < 0 || slot >= e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "shadow backend", "slot %d", slot);
    memcpy(&e->batches[slot], src, sizeof *e->batches);
    return HONE_OK;
}

const struct hn_backend hn_backend_shadow = {
    .size = sizeof(struct hn_backend),
    .build = HN_VERSION,
    .name = "shadow",
    .elem = sizeof(double),
    .open = shadow_open,
    .close = shadow_close,
    .offers = shadow_offers,
    .alloc = shadow_alloc,
    .release = shadow_release,
    .put = shadow_put,
    .get = shadow_get,
    .copy = shadow_copy,
    .bind = shadow_bind,
    .unbind = shadow_unbind,
    .prepare = shadow_prepare,
    .run = shadow_run,
    .finish = shadow_finish,
    .state_size = shadow_state_size,
    .state_save = shadow_state_save,
    .state_load = shadow_state_load,
};
