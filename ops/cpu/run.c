/* SPDX-License-Identifier: MIT
 *
 * Running a prepared plan. One slot with several threads: its tiles and tasks are handed to the pool. Several slots: each
 * is run whole by one thread, with the same tiles and tasks in the same order. Both give the same bits.
 *
 * A step: segments in order; the losses are looked at as soon as they are known, before anything is added to gradients or
 * statistics, so that a step whose loss is not finite changes nothing. Nothing here allocates. */
#include "ops/base/status.h"
#include "ops/cpu/exec.h"
#include <math.h>
#include <string.h>

enum {
    FEW_OPERATIONS = 3000000,
    SUB_BYTES = 24576
}; /* not worth a thread; what a sub-tile may touch per value */

/* ---- one piece ----------------------------------------------------------------------------------------------- */

/* Rows [row0, row0 + rows) of the tile that starts at tile0 and lies in the tile memory of thread `owner`; worker runs it.
 * Several columns: only the task-th part of the columns. */
struct range {
    int64_t tile0, row0, rows;
    int tile, worker, owner, task, columns;
};

static void *address(const struct hn_cpu_lane *l, const struct hn_cpu_place *p,
                     const struct range *t)
{
    if (p->column && l->direct[p->column - 1]) {
        size_t row0 = l->indexed[p->column - 1] ? 0 : (size_t)t->row0;
        return (void *)(uintptr_t)(l->direct[p->column - 1] + row0 / 8 * p->per8);
    }
    switch (p->space) {
    case HN_CPU_FULL: return l->full + p->off + (size_t)t->row0 / 8 * p->per8;
    case HN_CPU_TILE:
        return l->exec->workers[t->owner].tile + p->off +
               (size_t)(t->row0 - t->tile0) / 8 * p->per8;
    case HN_CPU_W: return (char *)l->slot->r->slab[HN_SLAB_W] + p->off;
    case HN_CPU_DW: return (char *)l->slot->r->slab[HN_SLAB_DW] + p->off;
    case HN_CPU_CONST: return (char *)l->exec->consts + p->off;
    default: return NULL;
    }
}

static void call_piece(const struct hn_cpu_lane *l, const struct hn_cpu_piece *p,
                       const struct range *t)
{
    const struct hn_cpu_exec *e = l->exec;
    const struct hn_cpu_worker *w = &e->workers[t->worker];
    const struct hn_op *op = p->op;
    const struct hn_replica *r = l->slot->r;
    void **x = w->pointers, **y = x + op->n_in, **dx = y + op->n_out, **dy = dx + op->n_in,
         *save[4] = { NULL };
    struct hn_extent *xs = w->extents, *ys = xs + op->n_in;
    struct hn_cpu_call k = {
        .c = { .op = op, .xs = xs, .ys = ys, .x = x, .y = y, .dx = dx, .dy = dy, .save = save }
    };
    for (int i = 0; i < op->n_in; i++) {
        x[i] = address(l, &p->x[i], t);
        dx[i] = p->backward ? address(l, &p->dx[i], t) : NULL;
        hn_extent_of(&p->xs[i], t->rows, &xs[i]);
    }
    for (int i = 0; i < op->n_out; i++) {
        y[i] = address(l, &p->y[i], t);
        dy[i] = p->backward ? address(l, &p->dy[i], t) : NULL;
        hn_extent_of(&p->ys[i], t->rows, &ys[i]);
    }
    for (int i = 0; i < 2; i++) save[i] = address(l, &p->save[i], t);
    k.c.acc = p->acc | (l->micro > 0 ? p->slab_dx : 0);
    k.c.rows = t->rows;
    k.c.train = (uint8_t)hn_cpu_trains(e->plan->pass);
    k.c.rate = hn_op_rate(op, e->plan->pass, r->hyper);
    k.c.key = r->key;
    k.c.batch = (uint64_t)r->now.batch;
    k.c.loss = p->loss >= 0 ? l->loss + 2 * p->loss : NULL;
    k.row0 = t->row0, k.total = l->rows;
    k.part = l->parts + p->part + (p->kind == HN_CPU_JOIN ? 0 : p->n_part * (size_t)t->tile);
    k.n_parts = p->one_part ? 1 : (int)((l->rows + e->tile - 1) / e->tile);
    k.scratch = e->dev->scratch + e->dev->scratch_bytes * (size_t)t->worker;
    if (op->n_in > 0 && p->x[0].column && l->indexed[p->x[0].column - 1])
        k.index = l->slot->index + l->step * l->rows + t->row0;
    k.task = t->task, k.n_tasks = p->kind == HN_CPU_LATE ? p->n_tasks
                                  : t->columns > 1       ? t->columns
                                                         : 1;
    if (p->has_part && t->row0 == t->tile0) memset(k.part, 0, p->n_part * sizeof *k.part);
    p->fn(&k);
}

static const struct hn_column *column_of(const struct hn_cpu_lane *l, int32_t column)
{
    int n_inputs = l->exec->plan->prog->n_inputs;
    return column <= n_inputs ? &l->data->inputs[column - 1]
                              : &l->data->targets[column - 1 - n_inputs];
}

static void gather_piece(const struct hn_cpu_lane *l, const struct hn_cpu_piece *p,
                         const struct range *t)
{
    if (l->direct[p->column - 1]) return;
    const struct hn_slot *s = l->slot;
    int64_t at = l->step * l->rows + t->row0;
    struct hn_cpu_gather g = { .col = column_of(l, p->column),
                               .first = s->first + at,
                               .n = p->after ? 1 : t->rows };
    g.index = s->index ? s->index + at : NULL;
    g.dst = address(l, &p->x[0], t);
    l->exec->dev->isa->gather(&g);
}

static void emit_piece(const struct hn_cpu_lane *l, const struct hn_cpu_piece *p,
                       const struct range *t)
{
    if (!l->slot->out || !l->slot->out[p->column]) return;
    struct hn_dim n = hn_shape_count(p->xs);
    int64_t all = n.per_row * l->rows + n.fixed, first = n.per_row * t->row0;
    int64_t count = p->after ? all : n.per_row * t->rows;
    const float *from = address(l, &p->x[0], t);
    float *to = (float *)l->slot->out[p->column] + l->step * all + first;
    if (from && count > 0) memcpy(to, from, (size_t)count * sizeof *to);
}

static void do_piece(const struct hn_cpu_lane *l, const struct hn_cpu_piece *p,
                     const struct range *t)
{
    if (p->kind == HN_CPU_GATHER)
        gather_piece(l, p, t);
    else if (p->kind == HN_CPU_EMIT)
        emit_piece(l, p, t);
    else
        call_piece(l, p, t);
}

/* ---- tiles --------------------------------------------------------------------------------------------------- */

struct job { /* what the pool's function gets */
    struct hn_cpu_lane *lane;
    const struct hn_cpu_segment *seg;
    int from, to; /* after-pieces of a stage, or pieces of a group: range in exec.order */
};

/* Pieces [from, to) of one group on the rows of a tile, sub-tile by sub-tile when there are several. */
static void do_group(const struct hn_cpu_lane *l, int from, int to, const struct range *tile)
{
    const struct hn_cpu_exec *e = l->exec;
    size_t widest = 1;
    for (int i = from; i < to; i++) {
        const struct hn_cpu_piece *p = &e->pieces[e->order[i]];
        size_t per8 = p->op && p->op->n_out
                          ? p->y[0].per8 > p->x[0].per8 ? p->y[0].per8 : p->x[0].per8
                          : p->x[0].per8;
        if (per8 > widest) widest = per8;
    }
    int64_t rows = to - from < 2 ? tile->rows : (int64_t)(SUB_BYTES / widest) * 8;
    if (rows < 8) rows = 8;
    for (int64_t r = 0; r < tile->rows; r += rows) {
        struct range sub = *tile;
        sub.row0 = tile->tile0 + r;
        sub.rows = tile->rows - r < rows ? tile->rows - r : rows;
        for (int i = from; i < to; i++) do_piece(l, &e->pieces[e->order[i]], &sub);
    }
}

static void do_tile(void *user, int i, int worker)
{
    const struct job *j = user;
    const struct hn_cpu_lane *l = j->lane;
    const struct hn_cpu_exec *e = l->exec;
    struct range t = {
        .tile0 = i * e->tile, .row0 = i * e->tile, .tile = i, .worker = worker, .owner = worker
    };
    t.rows = l->rows - t.row0 < e->tile ? l->rows - t.row0 : e->tile;
    const int end = j->seg->tiled + j->seg->n_tiled;
    for (int a = j->seg->tiled, b; a < end; a = b) {
        for (b = a + 1; b < end && e->pieces[e->order[b]].group == e->pieces[e->order[a]].group;
             b++) {}
        do_group(l, a, b, &t);
    }
}

static void do_task(void *user, int i, int worker)
{
    const struct job *j = user;
    const struct hn_cpu_exec *e = j->lane->exec;
    struct range t = { .rows = j->lane->rows, .worker = worker, .owner = worker, .task = i };
    int at = j->from;
    while (t.task >= e->pieces[e->order[at]].n_tasks) t.task -= e->pieces[e->order[at++]].n_tasks;
    do_piece(j->lane, &e->pieces[e->order[at]], &t);
}

/* On the pool when there is one and the work is worth it; the lane's own thread else. */
static void spread(struct hn_cpu_lane *l, int n, double operations, void (*fn)(void *, int, int),
                   struct job *j)
{
    if (l->pool && n > 1 && operations > FEW_OPERATIONS)
        hn_pool_run(l->pool, n, fn, j);
    else
        for (int i = 0; i < n; i++) fn(j, i, l->worker);
}

/* Whether the losses so far are numbers; only training stops at the first that is not. */
static int is_good(const struct hn_cpu_lane *l)
{
    const struct hn_cpu_exec *e = l->exec;
    for (int i = 0; hn_cpu_trains(e->plan->pass) && i < 2 * e->plan->prog->n_losses; i++)
        if (!isfinite(l->loss[i])) return 0;
    return 1;
}

static void do_columns(void *user, int i, int worker)
{
    const struct job *j = user;
    const struct hn_cpu_lane *l = j->lane;
    const struct hn_cpu_piece *p = &l->exec->pieces[l->exec->order[j->from]];
    struct range t = { .rows = l->rows, .worker = worker, .owner = l->worker, .task = i };
    t.columns = p->n_columns;
    do_piece(l, p, &t);
}

/* A batch that is a single tile, on several threads: matrix products are split by columns, the rest runs here. */
static void do_single_tile(struct hn_cpu_lane *l, const struct hn_cpu_segment *s)
{
    const struct hn_cpu_exec *e = l->exec;
    const int end = s->tiled + s->n_tiled;
    struct range t = { .rows = l->rows, .worker = l->worker, .owner = l->worker };
    struct job j = { .lane = l, .seg = s };
    for (j.from = s->tiled; j.from < end; j.from = j.to) {
        const struct hn_cpu_piece *p = &e->pieces[e->order[j.from]];
        for (j.to = j.from + 1; j.to < end && e->pieces[e->order[j.to]].group == p->group; j.to++) {
        }
        if (p->blas && p->n_columns > 1)
            spread(l, p->n_columns, p->cost * (double)l->rows, do_columns, &j);
        else
            do_group(l, j.from, j.to, &t);
    }
}

/* 0: a loss is not finite; the rest of the step must not run. */
static int do_segment(struct hn_cpu_lane *l, const struct hn_cpu_segment *s)
{
    const struct hn_cpu_exec *e = l->exec;
    struct job j = { .lane = l, .seg = s };
    const int end = s->after + s->n_after;
    if (s->n_tiled && l->pool && l->rows <= e->tile)
        do_single_tile(l, s);
    else if (s->n_tiled)
        spread(l, (int)((l->rows + e->tile - 1) / e->tile), s->cost * (double)l->rows, do_tile, &j);
    for (j.from = s->after; j.from < end; j.from = j.to) {
        int tasks = 0;
        double operations = 0;
        for (j.to = j.from; j.to < end && (j.to == j.from || !e->pieces[e->order[j.to]].new_stage);
             j.to++) {
            tasks += e->pieces[e->order[j.to]].n_tasks;
            operations += e->pieces[e->order[j.to]].cost * (double)l->rows;
        }
        spread(l, tasks, operations, do_task, &j);
        if (e->pieces[e->order[j.from]].loss >= 0 && !is_good(l)) return 0;
    }
    return 1;
}

/* ---- optimizer ----------------------------------------------------------------------------------------------- */

static struct hn_cpu_optim optim_of(const struct hn_cpu_lane *l, const struct hn_cpu_run *run)
{
    struct hn_replica *r = l->slot->r;
    const struct hn_hyper *h = r->hyper;
    struct hn_cpu_optim o = { .hyper = h, .n = run->n, .bias1 = l->bias1, .bias2 = l->bias2 };
    o.w = (float *)r->slab[HN_SLAB_W] + run->off;
    o.dw = (const float *)r->slab[HN_SLAB_DW] + run->off;
    o.m = r->slab[HN_SLAB_M] ? (float *)r->slab[HN_SLAB_M] + run->off : NULL;
    o.v = r->slab[HN_SLAB_V] ? (float *)r->slab[HN_SLAB_V] + run->off : NULL;
    if (!(hn_optim_slabs(h->optimizer, h->momentum) & 1)) o.m = NULL;
    o.lr = l->slot->lr[l->step] * (double)run->param->lr_mult;
    o.decay = h->weight_decay * (double)run->param->decay_mult;
    o.scale = l->scale * l->clip, o.l1_scale = l->clip;
    return o;
}

static void do_square(void *user, int i, int worker)
{
    const struct hn_cpu_lane *l = ((const struct job *)user)->lane;
    struct hn_cpu_optim o = optim_of(l, &l->exec->runs[i]);
    (void)worker;
    l->squares[i] = l->exec->dev->isa->square_sum(&o);
}

/* The average goes after n elements of slab W. */
static void follow(const struct hn_cpu_lane *l, size_t off, size_t n)
{
    const struct hn_replica *r = l->slot->r;
    l->exec->dev->isa->follow((float *)r->slab[HN_SLAB_AVERAGE] + off,
                              (const float *)r->slab[HN_SLAB_W] + off, n,
                              hn_ema_share(r->hyper, r->now.step));
}

static void do_update(void *user, int i, int worker)
{
    const struct hn_cpu_lane *l = ((const struct job *)user)->lane;
    struct hn_cpu_optim o = optim_of(l, &l->exec->runs[i]);
    (void)worker;
    l->exec->dev->isa->optim(&o);
    if (l->slot->r->hyper->ema > 0) follow(l, l->exec->runs[i].off, l->exec->runs[i].n);
}

/* Running statistics have been moved before the weights. */
static void follow_state(const struct hn_cpu_lane *l)
{
    const struct hn_program *p = l->exec->plan->prog;
    for (int i = 0; i < p->n_params; i++)
        if (p->params[i].flags & HN_PARAM_STATE) follow(l, p->params[i].off, p->params[i].n);
}

static void optimize(struct hn_cpu_lane *l)
{
    const struct hn_cpu_exec *e = l->exec;
    struct hn_replica *r = l->slot->r;
    struct job j = { .lane = l };
    const double operations =
        100.0 * /* each element costs about as much time */ (double)e->plan->prog->n_trained;
    l->scale = 1.0 / (double)r->now.micro, l->clip = 1;
    l->bias1 = 1 - pow(r->hyper->beta1, (double)(r->now.step + 1));
    l->bias2 = 1 - pow(r->hyper->beta2, (double)(r->now.step + 1));
    if (r->hyper->clip_norm > 0) {
        double sum = 0;
        spread(l, e->n_runs, operations, do_square, &j);
        for (int i = 0; i < e->n_runs; i++) sum += l->squares[i];
        double clip = r->hyper->clip_norm / (sqrt(sum) + 1e-6);
        l->clip = clip > 1 ? 1 : clip; /* NaN stays NaN */
    }
    spread(l, e->n_runs, operations, do_update, &j);
    if (r->hyper->ema > 0) follow_state(l);
    r->now.micro = 0;
    r->now.step++;
}

/* ---- steps and slots ----------------------------------------------------------------------------------------- */

/* Columns that can be read where they are: unscaled floats, in consecutive rows or by those who take an index. */
static void find_direct(struct hn_cpu_lane *l)
{
    const struct hn_cpu_exec *e = l->exec;
    const struct hn_slot *s = l->slot;
    for (int i = 0; i < e->n_columns; i++) {
        l->direct[i] = NULL, l->indexed[i] = 0;
        if (!e->column_used[i] || (s->index && !e->column_indexed[i])) continue;
        const struct hn_column *c = column_of(l, i + 1);
        if (c->dtype != HN_F32 || c->scale != 1 || (uintptr_t)c->data % sizeof(float)) continue;
        l->direct[i] = c->data;
        if (s->index)
            l->indexed[i] = 1;
        else
            l->direct[i] += (size_t)((s->first + l->step * l->rows) * c->per_row) * sizeof(float);
    }
}

static void begin_step(struct hn_cpu_lane *l)
{
    const struct hn_cpu_exec *e = l->exec;
    const struct hn_plan *plan = e->plan;
    find_direct(l);
    l->micro = plan->pass == HN_PASS_TRAIN ? (int)(l->slot->r->now.micro > 0) : 0;
    memset(l->loss, 0, 2 * (size_t)plan->prog->n_losses * sizeof *l->loss);
    for (int i = 0; !l->micro && i < plan->n_zero_params; i++) {
        const struct hn_param *q = &plan->prog->params[plan->zero_params[i]];
        memset((float *)l->slot->r->slab[HN_SLAB_DW] + q->off, 0, q->n * sizeof(float));
    }
}

static void end_step(struct hn_cpu_lane *l, int last)
{
    const struct hn_cpu_exec *e = l->exec;
    struct hn_replica *r = l->slot->r;
    struct range all = { .rows = l->rows, .worker = l->worker, .owner = l->worker };
    for (int i = 0; l->slot->partial && i < 2 * e->plan->prog->n_losses; i++)
        l->slot->partial[i] += l->loss[i];
    for (int i = 0; i < e->n_commits; i++) do_piece(l, &e->pieces[e->commits[i]], &all);
    if (e->plan->pass != HN_PASS_TRAIN) return;
    r->now.batch++;
    r->now.micro++;
    if (r->now.micro >= r->hyper->accumulate || (last && l->slot->flush)) optimize(l);
}

static void run_slot(struct hn_cpu_lane *l, struct hn_slot *slot, int n_steps)
{
    const struct hn_cpu_exec *e = l->exec;
    l->slot = slot, l->data = slot->data, l->rows = slot->rows;
    for (l->step = 0; l->step < n_steps; l->step++) {
        int good = 1;
        begin_step(l);
        for (int i = 0; good && i < e->n_segs; i++) good = do_segment(l, &e->segs[i]);
        if (!good) {
            slot->bad_step = l->step;
            return;
        }
        end_step(l, l->step == n_steps - 1);
    }
}

struct cohort {
    struct hn_cpu_exec *e;
    struct hn_slot *slots;
    int n_steps;
};

static void do_slot(void *user, int i, int worker)
{
    struct cohort *c = user;
    struct hn_cpu_lane *l = &c->e->lanes[worker];
    if (c->slots[i].rows <= 0) return;
    l->worker = worker, l->pool = NULL;
    run_slot(l, &c->slots[i], c->n_steps);
}

static hone_status check_column(const struct hn_cpu_exec *e, const struct hn_slot *s, int i,
                                hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    const struct hn_dataset *set = s->data;
    int target = i >= p->n_inputs, k = target ? i - p->n_inputs : i;
    const struct hn_value_ref *v = &p->values[target ? p->targets[k] : p->inputs[k]];
    if (!e->column_used[i]) return HONE_OK;
    if (!set || k >= (target ? set->n_targets : set->n_inputs))
        return hn_fail(err, HONE_E_DATA, v->name, "the data set has no column for it");
    const struct hn_column *c = target ? &set->targets[k] : &set->inputs[k];
    int64_t each = (int64_t)hn_cpu_width(&v->shape);
    if (!c->data || c->per_row != each)
        return hn_fail(err, HONE_E_DATA, v->name, "the data have %lld numbers a row, wanted %lld",
                       c->data ? (long long)c->per_row : 0LL, (long long)each);
    return HONE_OK;
}

static hone_status check_rows(const struct hn_slot *s, int n_steps, hone_error *err)
{
    const struct hn_dataset *set = s->data;
    int64_t n = s->rows * n_steps, worst = s->first + n - 1, least = s->first;
    if (!set) return HONE_OK;
    if (s->index) {
        uint32_t most = 0;
        for (int64_t i = 0; i < n; i++) most = s->index[i] > most ? s->index[i] : most;
        worst = most, least = 0;
    }
    if (n > 0 && (least < 0 || worst >= set->rows))
        return hn_fail(err, HONE_E_DATA, "the data set", "row %lld of a data set of %lld rows",
                       (long long)(least < 0 ? least : worst), (long long)set->rows);
    return HONE_OK;
}

static hone_status check_slot(const struct hn_cpu_exec *e, const struct hn_slot *s, int n_steps,
                              hone_error *err)
{
    const enum hn_pass pass = e->plan->pass;
    const struct hn_replica *r = s->r;
    if (s->rows > e->plan->max_rows)
        return hn_fail(err, HONE_E_USAGE, "cpu backend",
                       "%lld rows in a batch, the plan allows %lld", (long long)s->rows,
                       (long long)e->plan->max_rows);
    uint32_t slabs =
        pass == HN_PASS_TRAIN ? hn_optim_slabs(r->hyper->optimizer, r->hyper->momentum) : 0;
    if (!r->slab[HN_SLAB_W] || (hn_cpu_trains(pass) && !r->slab[HN_SLAB_DW]) ||
        (slabs & 1u && !r->slab[HN_SLAB_M]) || (slabs & 2u && !r->slab[HN_SLAB_V]) ||
        (pass == HN_PASS_TRAIN && (!s->lr || (r->hyper->ema > 0 && !r->slab[HN_SLAB_AVERAGE]))))
        return hn_fail(err, HONE_E_USAGE, "cpu backend",
                       "a replica lacks a slab or a learning rate for this pass");
    for (int i = 0; i < e->n_columns; i++) HN_TRY(check_column(e, s, i, err));
    return check_rows(s, n_steps, err);
}

hone_status hn_cpu_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps, hone_error *err)
{
    struct hn_cpu_exec *e = exec;
    int live = 0;
    if (n_slots > e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "cpu backend", "%d slots, prepared for %d", n_slots,
                       e->max_slots);
    for (int i = 0; i < n_slots; i++) {
        slots[i].bad_step = -1;
        if (slots[i].rows <= 0) continue;
        HN_TRY(check_slot(e, &slots[i], n_steps, err));
        live++;
    }
    unsigned saved = hn_denormals_off();
    if (live > 1 && e->dev->pool) {
        struct cohort c = { e, slots, n_steps };
        hn_pool_run(e->dev->pool, n_slots, do_slot, &c);
    } else {
        for (int i = 0; i < n_slots; i++) {
            struct hn_cpu_lane *l = &e->lanes[0];
            l->worker = 0, l->pool = e->dev->pool;
            if (slots[i].rows > 0) run_slot(l, &slots[i], n_steps);
        }
    }
    hn_denormals_restore(saved);
    return HONE_OK;
}
