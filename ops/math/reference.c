/* SPDX-License-Identifier: MIT
 *
 * The reference backend: runs a plan step by step with the rows' own kernels, in double, on one thread. It is what
 * float64 models train on and what other backends are compared with, so it is written to be obviously right: no fusion,
 * no kernel of its own. After prepare it allocates nothing.
 *
 * One batch of one slot: gather the rows, forward, look at the losses, and, in training, backward and every
 * `accumulate` batches an optimizer step. A batch whose loss is not finite changes nothing: BatchNorm statistics that the
 * forward pass has moved are put back, its loss is not counted, the clock stands still. */
#include "ops/base/status.h"
#include "ops/math/op.h"
#include <math.h>
#include <string.h>

struct device {
    struct hn_mem *mem;
};

struct exec {
    struct hn_mem *mem;
    const struct hn_plan *plan;
    const struct hn_program *prog;
    int max_slots;
    unsigned char *arena;
    double *consts, *state;    /* state: a copy of the STATE part of slab W */
    double *loss;              /* 2 per loss: one batch */
    int32_t *loss_of;          /* per op: which loss it is, or -1 */
    struct hn_extent *extents; /* per value, for `rows` rows */
    int64_t rows;
    struct hn_extent *xs, *ys; /* of one call */
    void **pointers; /* of one call: x, dx (most inputs each), y, dy (most outputs each) */
    int most_in, most_out;
};

/* ---- device ---------------------------------------------------------------------------------------------------- */

static hone_status reference_open(const struct hn_host *host, const char *options, void **dev,
                                  hone_error *err)
{
    *dev = NULL;
    if (options && *options)
        return hn_fail(err, HONE_E_USAGE, "reference backend", "found options '%s', it has none",
                       options);
    struct device *d = hn_calloc(host->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the reference backend", sizeof *d);
    d->mem = host->mem;
    *dev = d;
    return HONE_OK;
}

static void reference_close(void *dev)
{
    struct device *d = dev;
    if (d) hn_free(d->mem, d);
}

static int reference_offers(void *dev, const struct hn_op *op, enum hn_pass pass, const char **why)
{
    (void)dev, (void)pass;
    for (int i = 0; hn_op_rows[i]; i++)
        if (hn_op_rows[i] == op->row) return 1;
    *why = "it is not in the table of program ops";
    return 0;
}

static hone_status reference_alloc(void *dev, size_t bytes, void **buf, hone_error *err)
{
    struct device *d = dev;
    *buf = hn_calloc(d->mem, 1, bytes ? bytes : 1);
    return *buf ? HONE_OK : hn_nomem(err, "a buffer", bytes);
}

static void reference_release(void *dev, void *buf)
{
    struct device *d = dev;
    hn_free(d->mem, buf);
}

/* ---- prepare ---------------------------------------------------------------------------------------------------- */

static size_t state_size_of(const struct hn_program *p, size_t *first)
{
    size_t lo = p->n_slab, hi = 0;
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        if (!(q->flags & HN_PARAM_STATE)) continue;
        if (q->off < lo) lo = q->off;
        if (q->off + q->n > hi) hi = q->off + q->n;
    }
    *first = lo;
    return hi > lo ? hi - lo : 0;
}

static void reference_finish(void *exec)
{
    struct exec *e = exec;
    if (!e) return;
    hn_free(e->mem, e->arena);
    hn_free(e->mem, e->consts);
    hn_free(e->mem, e->state);
    hn_free(e->mem, e->loss);
    hn_free(e->mem, e->loss_of);
    hn_free(e->mem, e->extents);
    hn_free(e->mem, e->xs);
    hn_free(e->mem, e->ys);
    hn_free(e->mem, e->pointers);
    hn_free(e->mem, e);
}

static hone_status exec_alloc(struct exec *e, hone_error *err)
{
    const struct hn_program *p = e->prog;
    size_t first, no = (size_t)p->n_ops;
    e->most_in = e->most_out = 1;
    for (int i = 0; i < p->n_ops; i++) {
        if (p->ops[i].n_in > e->most_in) e->most_in = p->ops[i].n_in;
        if (p->ops[i].n_out > e->most_out) e->most_out = p->ops[i].n_out;
    }
    e->arena = hn_alloc(e->mem, e->plan->arena_bytes);
    e->consts = hn_calloc(e->mem, p->n_const + 1, sizeof *e->consts);
    e->state = hn_calloc(e->mem, state_size_of(p, &first) + 1, sizeof *e->state);
    e->loss = hn_calloc(e->mem, 2 * (size_t)p->n_losses + 2, sizeof *e->loss);
    e->loss_of = hn_calloc(e->mem, no + 1, sizeof *e->loss_of);
    e->extents = hn_calloc(e->mem, (size_t)p->n_values + 1, sizeof *e->extents);
    e->xs = hn_calloc(e->mem, (size_t)e->most_in, sizeof *e->xs);
    e->ys = hn_calloc(e->mem, (size_t)e->most_out, sizeof *e->ys);
    e->pointers = hn_calloc(e->mem, 2 * (size_t)(e->most_in + e->most_out), sizeof *e->pointers);
    if (!e->arena || !e->consts || !e->state || !e->loss || !e->loss_of || !e->extents || !e->xs ||
        !e->ys || !e->pointers)
        return hn_nomem(err, "the reference backend", e->plan->arena_bytes);
    return HONE_OK;
}

static hone_status reference_prepare(void *dev, const struct hn_plan *plan, int max_slots,
                                     void **exec, hone_error *err)
{
    struct device *d = dev;
    const struct hn_program *p = plan->prog;
    *exec = NULL;
    if (plan->elem != sizeof(double))
        return hn_fail(err, HONE_E_USAGE, "reference backend",
                       "the plan has elements of %zu bytes, wanted 8", plan->elem);
    struct exec *e = hn_calloc(d->mem, 1, sizeof *e);
    if (!e) return hn_nomem(err, "the reference backend", sizeof *e);
    e->mem = d->mem, e->plan = plan, e->prog = p, e->max_slots = max_slots, e->rows = -1;
    hone_status st = exec_alloc(e, err);
    for (int i = 0; st == HONE_OK && i < p->n_consts; i++)
        hn_convert(e->consts + p->const_off[i], HN_F64, p->consts[i].data, p->consts[i].dtype,
                   p->consts[i].n);
    for (int i = 0, n = 0; st == HONE_OK && i < p->n_ops; i++)
        e->loss_of[i] = p->ops[i].row->flags & HN_OP_LOSS ? n++ : -1;
    if (st != HONE_OK) {
        reference_finish(e);
        return st;
    }
    *exec = e;
    return HONE_OK;
}

/* ---- one batch -------------------------------------------------------------------------------------------------- */

static void *place(const struct exec *e, const struct hn_replica *r, struct hn_ref ref)
{
    switch (ref.space) {
    case HN_SP_ARENA: return e->arena + ref.off;
    case HN_SP_W: return (double *)r->slab[HN_SLAB_W] + ref.off;
    case HN_SP_DW: return (double *)r->slab[HN_SLAB_DW] + ref.off;
    case HN_SP_CONST: return e->consts + ref.off;
    case HN_SP_NONE: break;
    }
    return NULL;
}

struct batch { /* one batch of one slot */
    const struct hn_slot *slot;
    struct hn_replica *r;
    int64_t step, rows;
};

/* Rows of one column into `to`, converted and scaled. An input that does not follow the batch takes the first row. */
static hone_status gather(const struct batch *b, const struct hn_column *c,
                          const struct hn_value_ref *v, double *to, hone_error *err)
{
    const struct hn_dataset *set = b->slot->data;
    struct hn_dim n = hn_shape_count(&v->shape);
    int64_t each = n.per_row ? n.per_row : n.fixed, rows = n.per_row ? b->rows : 1;
    if (!c->data || c->per_row != each)
        return hn_fail(err, HONE_E_DATA, v->name, "the data have %lld numbers a row, wanted %lld",
                       c->data ? (long long)c->per_row : 0LL, (long long)each);
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = b->slot->index ? (int64_t)b->slot->index[b->step * b->rows + i]
                                     : b->slot->first + b->step * b->rows + i;
        if (row < 0 || row >= set->rows)
            return hn_fail(err, HONE_E_DATA, v->name, "row %lld of a data set of %lld rows",
                           (long long)row, (long long)set->rows);
        const unsigned char *from = c->data;
        hn_convert_scaled(to + i * each, HN_F64,
                          from + (size_t)(row * each) * hn_dtype_size(c->dtype), c->dtype, each,
                          c->scale);
    }
    return HONE_OK;
}

static hone_status gather_all(const struct exec *e, const struct batch *b, hone_error *err)
{
    const struct hn_dataset *set = b->slot->data;
    const struct hn_program *p = e->prog;
    for (int k = 0; k < p->n_inputs + p->n_targets; k++) {
        int target = k >= p->n_inputs, i = target ? k - p->n_inputs : k;
        struct hn_ref ref = target ? e->plan->targets[i] : e->plan->inputs[i];
        const struct hn_value_ref *v = &p->values[target ? p->targets[i] : p->inputs[i]];
        if (ref.space != HN_SP_ARENA) continue;
        if (i >= (target ? set->n_targets : set->n_inputs))
            return hn_fail(err, HONE_E_DATA, v->name, "the data set has no column for it");
        HN_TRY(gather(b, target ? &set->targets[i] : &set->inputs[i], v, place(e, b->r, ref), err));
    }
    return HONE_OK;
}

static void set_rows(struct exec *e, int64_t rows)
{
    if (e->rows == rows) return;
    for (int i = 0; i < e->prog->n_values; i++)
        hn_extent_of(&e->prog->values[i].shape, rows, &e->extents[i]);
    e->rows = rows;
}

static int is_state(const struct hn_program *p, int32_t value)
{
    while (value >= 0 && p->values[value].view_of >= 0) value = p->values[value].view_of;
    return value >= 0 && p->values[value].kind == HN_STATE;
}

static int updates(const struct exec *e, const struct hn_op *op)
{
    if (e->plan->pass != HN_PASS_TRAIN && e->plan->pass != HN_PASS_STATS) return 0;
    return op->row == &hn_op_batchnorm && is_state(e->prog, op->in[3]) &&
           is_state(e->prog, op->in[4]);
}

static void run_step(struct exec *e, const struct batch *b, const struct hn_step *s)
{
    const struct hn_op *op = &e->prog->ops[s->op];
    void **x = e->pointers, **dx = x + e->most_in, **y = dx + e->most_in, **dy = y + e->most_out,
         *save[4];
    struct hn_call c = {
        .op = op, .xs = e->xs, .ys = e->ys, .x = x, .y = y, .dx = dx, .dy = dy, .save = save
    };
    c.acc = s->acc;
    for (int k = 0; k < op->n_in; k++) {
        x[k] = place(e, b->r, s->x[k]);
        dx[k] = place(e, b->r, s->dx[k]);
        if (op->in[k] >= 0) e->xs[k] = e->extents[op->in[k]];
        if (s->dx[k].space == HN_SP_DW && b->r->now.micro > 0 && e->plan->pass == HN_PASS_TRAIN &&
            k < 32)
            c.acc |= 1u << k;
    }
    for (int k = 0; k < op->n_out; k++) {
        y[k] = place(e, b->r, s->y[k]);
        dy[k] = place(e, b->r, s->dy[k]);
        if (op->out[k] >= 0) e->ys[k] = e->extents[op->out[k]];
    }
    for (int k = 0; k < 4; k++) save[k] = place(e, b->r, s->save[k]);
    c.rows = b->rows;
    c.train = e->plan->pass == HN_PASS_TRAIN || e->plan->pass == HN_PASS_GRAD ||
              e->plan->pass == HN_PASS_STATS;
    c.update_state = (uint8_t)updates(e, op);
    c.rate = hn_op_rate(op, e->plan->pass, b->r->hyper);
    c.key = b->r->key;
    c.batch = (uint64_t)b->r->now.batch;
    if (e->loss_of[s->op] >= 0) c.loss = e->loss + 2 * e->loss_of[s->op];
    (s->backward ? op->row->backward : op->row->forward)(&c);
}

/* ---- training --------------------------------------------------------------------------------------------------- */

static int losses_are_finite(const struct exec *e)
{
    for (int i = 0; i < 2 * e->prog->n_losses; i++)
        if (!isfinite(e->loss[i])) return 0;
    return 1;
}

static void backward(struct exec *e, const struct batch *b)
{
    const struct hn_plan *plan = e->plan;
    int first = plan->pass == HN_PASS_GRAD || b->r->now.micro == 0;
    for (int i = 0; first && i < plan->n_zero_params; i++) {
        const struct hn_param *q = &e->prog->params[plan->zero_params[i]];
        memset((double *)b->r->slab[HN_SLAB_DW] + q->off, 0, q->n * sizeof(double));
    }
    for (int i = plan->n_forward; i < plan->n_steps; i++) run_step(e, b, &plan->steps[i]);
}

/* The average follows parameters and running statistics. */
static void follow(const struct exec *e, const struct hn_replica *r)
{
    const double share = hn_ema_share(r->hyper, r->now.step), *w = r->slab[HN_SLAB_W];
    double *a = r->slab[HN_SLAB_AVERAGE];
    for (int p = 0; p < e->prog->n_params; p++) {
        const struct hn_param *q = &e->prog->params[p];
        if (!(q->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE))) continue;
        for (size_t i = q->off; i < q->off + q->n; i++)
            a[i] = share < 0.5 ? a[i] + share * (w[i] - a[i]) : w[i] - (1 - share) * (w[i] - a[i]);
    }
}

static void optimize(struct exec *e, const struct batch *b, int last)
{
    struct hn_replica *r = b->r;
    r->now.batch++;
    r->now.micro++;
    if (r->now.micro < r->hyper->accumulate && !(last && b->slot->flush)) return;
    struct hn_optim_call c = {
        .hyper = r->hyper, .prog = e->prog, .lr = b->slot->lr[b->step], .t = r->now.step + 1
    };
    c.w = r->slab[HN_SLAB_W], c.dw = r->slab[HN_SLAB_DW], c.m = r->slab[HN_SLAB_M],
    c.v = r->slab[HN_SLAB_V];
    c.inv_accumulate = 1.0 / (double)r->now.micro;
    hn_optim_reference(&c);
    if (r->hyper->ema > 0) follow(e, r);
    r->now.micro = 0;
    r->now.step++;
}

static void write_outputs(const struct exec *e, const struct batch *b)
{
    for (int i = 0; b->slot->out && i < e->prog->n_outputs; i++) {
        int64_t n = hn_extent_numel(&e->extents[e->prog->outputs[i]]);
        double *to = b->slot->out[i];
        const double *from = place(e, b->r, e->plan->outputs[i]);
        if (to && from && n > 0) memcpy(to + b->step * n, from, (size_t)n * sizeof *to);
    }
}

/* *bad: the loss was not finite and nothing has changed. */
static hone_status run_batch(struct exec *e, const struct batch *b, int last, int *bad,
                             hone_error *err)
{
    enum hn_pass pass = e->plan->pass;
    size_t first, n_state = state_size_of(e->prog, &first);
    double *state = (double *)b->r->slab[HN_SLAB_W] + first;
    int training = pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD;
    HN_TRY(gather_all(e, b, err));
    if (pass == HN_PASS_TRAIN && n_state) memcpy(e->state, state, n_state * sizeof *state);
    memset(e->loss, 0, 2 * (size_t)e->prog->n_losses * sizeof *e->loss);
    for (int i = 0; i < e->plan->n_forward; i++) run_step(e, b, &e->plan->steps[i]);
    *bad = training && !losses_are_finite(e);
    if (*bad) {
        if (pass == HN_PASS_TRAIN && n_state) memcpy(state, e->state, n_state * sizeof *state);
        return HONE_OK;
    }
    for (int i = 0; b->slot->partial && i < 2 * e->prog->n_losses; i++)
        b->slot->partial[i] += e->loss[i];
    if (training) backward(e, b);
    if (pass == HN_PASS_TRAIN) optimize(e, b, last);
    if (pass == HN_PASS_EVAL || pass == HN_PASS_PREDICT) write_outputs(e, b);
    return HONE_OK;
}

static hone_status check_slot(const struct exec *e, const struct hn_slot *s, hone_error *err)
{
    enum hn_pass pass = e->plan->pass;
    const struct hn_replica *r = s->r;
    if (s->rows > e->plan->max_rows)
        return hn_fail(err, HONE_E_USAGE, "reference backend",
                       "%lld rows in a batch, the plan allows %lld", (long long)s->rows,
                       (long long)e->plan->max_rows);
    uint32_t slabs =
        pass == HN_PASS_TRAIN ? hn_optim_slabs(r->hyper->optimizer, r->hyper->momentum) : 0;
    int training = pass == HN_PASS_TRAIN || pass == HN_PASS_GRAD;
    if (!r->slab[HN_SLAB_W] || (training && !r->slab[HN_SLAB_DW]) ||
        (slabs & 1u && !r->slab[HN_SLAB_M]) || (slabs & 2u && !r->slab[HN_SLAB_V]) ||
        (pass == HN_PASS_TRAIN && (!s->lr || (r->hyper->ema > 0 && !r->slab[HN_SLAB_AVERAGE]))))
        return hn_fail(err, HONE_E_USAGE, "reference backend",
                       "a replica lacks a slab or a learning rate for this pass");
    return HONE_OK;
}

static hone_status reference_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                                 hone_error *err)
{
    struct exec *e = exec;
    if (n_slots > e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "reference backend", "%d slots, prepared for %d", n_slots,
                       e->max_slots);
    for (int k = 0; k < n_slots; k++) {
        struct hn_slot *s = &slots[k];
        int bad = 0;
        s->bad_step = -1;
        if (s->rows <= 0) continue;
        HN_TRY(check_slot(e, s, err));
        set_rows(e, s->rows);
        for (int64_t i = 0; i < n_steps && !bad; i++) {
            struct batch b = { .slot = s, .r = s->r, .step = i, .rows = s->rows };
            HN_TRY(run_batch(e, &b, i == n_steps - 1, &bad, err));
            if (bad) s->bad_step = i;
        }
    }
    return HONE_OK;
}

const struct hn_backend hn_backend_reference = {
    .size = sizeof(struct hn_backend),
    .build = HN_VERSION,
    .name = "reference",
    .elem = sizeof(double),
    .open = reference_open,
    .close = reference_close,
    .offers = reference_offers,
    .alloc = reference_alloc,
    .release = reference_release,
    .put = hn_host_put,
    .get = hn_host_get,
    .copy = hn_host_copy,
    .bind = hn_host_bind,
    .unbind = hn_host_unbind,
    .prepare = reference_prepare,
    .run = reference_run,
    .finish = reference_finish,
};
