/* SPDX-License-Identifier: MIT
 *
 * The CPU backend's table of functions: buffers are plain memory, a bound data set is borrowed as it is. */
#include "ops/cpu/backend.h"
#include "ops/base/status.h"
#include "ops/cpu/exec.h"
#include <string.h>

enum { OPTIM_RUN = 16384 }; /* elements of one optimizer task */

/* ---- device -------------------------------------------------------------------------------------------------- */

static const struct hn_cpu_isa *best_isa(const char *at_most)
{
    int level = !at_most || !strcmp(at_most, "avx512") ? 2 : !strcmp(at_most, "avx2") ? 1 : 0;
#ifdef HN_CPU_X86
    __builtin_cpu_init();
    if (level >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma"))
        return &hn_cpu_isa_avx512;
    if (level >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &hn_cpu_isa_avx2;
#endif
    (void)level;
    return &hn_cpu_isa_base;
}

static hone_status read_options(const char *options, const char **isa, hone_error *err)
{
    static const char *const names[] = { "avx512", "avx2", "base", NULL };
    *isa = NULL;
    if (!options || !*options) return HONE_OK;
    for (int i = 0; names[i] && !strncmp(options, "isa=", 4); i++)
        if (!strcmp(options + 4, names[i])) *isa = names[i];
    if (*isa) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "cpu backend",
                   "found options '%s', wanted isa=avx512, isa=avx2 or isa=base", options);
}

static void cpu_close(void *dev)
{
    struct hn_cpu_dev *d = dev;
    if (!d) return;
    hn_pool_destroy(d->pool);
    hn_free(d->mem, d->scratch);
    hn_free(d->mem, d);
}

static hone_status cpu_open(const struct hn_host *host, const char *options, void **dev,
                            hone_error *err)
{
    const char *isa;
    *dev = NULL;
    HN_TRY(read_options(options, &isa, err));
    struct hn_cpu_dev *d = hn_calloc(host->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the cpu backend", sizeof *d);
    d->mem = host->mem;
    d->threads = host->threads > 1 ? host->threads : 1;
    d->isa = best_isa(isa);
    hone_status st = d->threads > 1 ? hn_pool_create(d->mem, d->threads, &d->pool, err) : HONE_OK;
    if (st != HONE_OK) {
        cpu_close(d);
        return st;
    }
    if (d->pool) d->threads = hn_pool_threads(d->pool);
    *dev = d;
    return HONE_OK;
}

const char *hn_cpu_isa_name(const void *dev) { return ((const struct hn_cpu_dev *)dev)->isa->name; }

static int cpu_offers(void *dev, const struct hn_op *op, enum hn_pass pass, const char **why)
{
    const struct hn_cpu_dev *d = dev;
    (void)pass;
    for (int i = 0; hn_op_rows[i]; i++)
        if (hn_op_rows[i] == op->row && d->isa->ops[i]->row == op->row) return 1;
    *why = "it is not in the table of program ops";
    return 0;
}

/* ---- buffers and data ---------------------------------------------------------------------------------------- */

static hone_status cpu_alloc(void *dev, size_t bytes, void **buf, hone_error *err)
{
    struct hn_cpu_dev *d = dev;
    *buf = hn_cpu_block(d, bytes);
    return *buf ? HONE_OK : hn_nomem(err, "a buffer", bytes);
}

static void cpu_release(void *dev, void *buf) { hn_cpu_unblock(dev, buf); }

/* ---- prepared plans ------------------------------------------------------------------------------------------ */

static void cpu_finish(void *exec)
{
    struct hn_cpu_exec *e = exec;
    if (!e) return;
    struct hn_mem *mem = e->dev->mem;
    for (int i = 0; e->workers && i < e->dev->threads; i++) {
        hn_cpu_unblock(e->dev, e->workers[i].tile);
        hn_free(mem, e->workers[i].pointers);
        hn_free(mem, e->workers[i].extents);
    }
    for (int i = 0; e->lanes && i < e->n_lanes; i++) {
        hn_cpu_unblock(e->dev, e->lanes[i].full);
        hn_free(mem, e->lanes[i].parts);
        hn_free(mem, e->lanes[i].direct);
        hn_free(mem, e->lanes[i].indexed);
        hn_free(mem, e->lanes[i].loss);
        hn_free(mem, e->lanes[i].squares);
    }
    hn_free(mem, e->consts);
    hn_arena_clear(&e->arena);
    hn_free(mem, e);
}

/* The kernels' scratch, which they read only where they wrote: one a thread for all plans of the device. */
static hone_status make_scratch(struct hn_cpu_dev *d, size_t bytes, hone_error *err)
{
    size_t each = (bytes + 63) / 64 * 64;
    if (each <= d->scratch_bytes) return HONE_OK;
    char *scratch = hn_alloc(d->mem, each * (size_t)d->threads);
    if (!scratch) return hn_nomem(err, "the threads' memory", each * (size_t)d->threads);
    hn_free(d->mem, d->scratch);
    d->scratch = scratch, d->scratch_bytes = each;
    return HONE_OK;
}

static hone_status make_workers(struct hn_cpu_exec *e, hone_error *err)
{
    struct hn_mem *mem = e->dev->mem;
    e->workers = hn_arena_alloc(&e->arena, (size_t)e->dev->threads, sizeof *e->workers);
    if (!e->workers)
        return hn_nomem(err, "the threads' memory", (size_t)e->dev->threads * sizeof *e->workers);
    for (int i = 0; i < e->dev->threads; i++) {
        struct hn_cpu_worker *w = &e->workers[i];
        w->tile = hn_cpu_block(e->dev, e->tile_bytes);
        w->pointers = hn_calloc(mem, e->n_pointers + 1, sizeof *w->pointers);
        w->extents = hn_calloc(mem, e->n_extents + 1, sizeof *w->extents);
        if (!w->tile || !w->pointers || !w->extents)
            return hn_nomem(err, "a thread's memory", e->tile_bytes);
    }
    return HONE_OK;
}

static hone_status make_lanes(struct hn_cpu_exec *e, hone_error *err)
{
    struct hn_mem *mem = e->dev->mem;
    const struct hn_program *p = e->plan->prog;
    int n = e->max_slots < 2 ? 1 : e->dev->threads;
    e->lanes = hn_arena_alloc(&e->arena, (size_t)n, sizeof *e->lanes);
    if (!e->lanes) return hn_nomem(err, "the activation arena", (size_t)n * sizeof *e->lanes);
    e->n_lanes = n;
    for (int i = 0; i < n; i++) {
        struct hn_cpu_lane *l = &e->lanes[i];
        l->exec = e;
        l->full = hn_cpu_block(e->dev, e->full_bytes);
        l->parts = hn_calloc(mem, e->n_parts + 1, sizeof *l->parts);
        l->direct = hn_calloc(mem, (size_t)e->n_columns + 1, sizeof *l->direct);
        l->indexed = hn_calloc(mem, (size_t)e->n_columns + 1, 1);
        l->loss = hn_calloc(mem, 2 * (size_t)p->n_losses + 1, sizeof *l->loss);
        l->squares = hn_calloc(mem, (size_t)e->n_runs + 1, sizeof *l->squares);
        if (!l->full || !l->parts || !l->direct || !l->indexed || !l->loss || !l->squares)
            return hn_nomem(err, "the activation arena", e->full_bytes);
    }
    return HONE_OK;
}

/* Trained parameters, cut into tasks for the optimizer. */
static hone_status make_runs(struct hn_cpu_exec *e, hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    size_t n = 0;
    for (int i = 0; i < p->n_params; i++) n += p->params[i].n / OPTIM_RUN + 1;
    e->runs = hn_arena_alloc(&e->arena, n + 1, sizeof *e->runs);
    if (!e->runs) return hn_nomem(err, "the execution plan", n * sizeof *e->runs);
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        for (size_t at = 0; q->flags & HN_PARAM_TRAINED && at < q->n; at += OPTIM_RUN) {
            size_t len = q->n - at < OPTIM_RUN ? q->n - at : OPTIM_RUN;
            e->runs[e->n_runs++] = (struct hn_cpu_run){ q, q->off + at, len };
        }
    }
    return HONE_OK;
}

static hone_status make_consts(struct hn_cpu_exec *e, hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    e->consts = hn_calloc(e->dev->mem, p->n_const + 1, sizeof *e->consts);
    if (!e->consts) return hn_nomem(err, "constants", p->n_const * sizeof *e->consts);
    for (int i = 0; i < p->n_consts; i++)
        hn_convert(e->consts + p->const_off[i], HN_F32, p->consts[i].data, p->consts[i].dtype,
                   p->consts[i].n);
    return HONE_OK;
}

static hone_status cpu_prepare(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                               hone_error *err)
{
    struct hn_cpu_dev *d = dev;
    *exec = NULL;
    if (plan->elem != sizeof(float))
        return hn_fail(err, HONE_E_USAGE, "cpu backend",
                       "the plan has elements of %zu bytes, wanted 4", plan->elem);
    struct hn_cpu_exec *e = hn_calloc(d->mem, 1, sizeof *e);
    if (!e) return hn_nomem(err, "the cpu backend", sizeof *e);
    e->dev = d, e->plan = plan, e->max_slots = max_slots;
    hn_arena_init(&e->arena, d->mem);
    hone_status st = hn_cpu_prepare(e, err);
    if (st == HONE_OK) st = make_consts(e, err);
    if (st == HONE_OK) st = make_runs(e, err);
    if (st == HONE_OK) st = make_scratch(d, e->scratch_bytes, err);
    if (st == HONE_OK) st = make_workers(e, err);
    if (st == HONE_OK) st = make_lanes(e, err);
    if (st != HONE_OK) {
        cpu_finish(e);
        return st;
    }
    *exec = e;
    return HONE_OK;
}

/* No state: a replica is its slabs, key and clock. */
const struct hn_backend hn_backend_cpu = {
    .size = sizeof(struct hn_backend),
    .build = HN_VERSION,
    .name = "cpu",
    .elem = sizeof(float),
    .open = cpu_open,
    .close = cpu_close,
    .offers = cpu_offers,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .put = hn_host_put,
    .get = hn_host_get,
    .copy = hn_host_copy,
    .bind = hn_host_bind,
    .unbind = hn_host_unbind,
    .prepare = cpu_prepare,
    .run = hn_cpu_run,
    .finish = cpu_finish,
};
