/* SPDX-License-Identifier: MIT
 *
 * From a plan's steps to pieces and segments. A tiled piece joins the current segment unless it touches something that an
 * after-piece of that segment wrote (a join's statistics, a gradient over the whole batch): then a new segment begins. */
#include "ops/base/status.h"
#include "ops/cpu/exec.h"
#include <string.h>

struct build {
    struct hn_cpu_exec *e;
    const struct hn_program *prog;
    const struct hn_plan *plan;
    struct hn_cpu_need *need; /* per op */
    struct hn_shape **shapes; /* per op: inputs, then outputs */
    int32_t *column;          /* per value: as in hn_cpu_place */
    int capacity, seg;
    hone_error *err;
};

static void *table(struct build *b, size_t n, size_t size)
{
    return hn_arena_alloc(&b->e->arena, n ? n : 1, size);
}

static int32_t root_of(const struct build *b, int32_t v)
{
    while (v >= 0 && b->prog->values[v].view_of >= 0) v = b->prog->values[v].view_of;
    return v;
}

/* Buffers: values, then their gradients, then two saved buffers per op. */
static int32_t grad_buf(const struct build *b, int32_t root) { return b->prog->n_values + root; }
static int32_t save_buf(const struct build *b, int32_t op, int k)
{
    return 2 * b->prog->n_values + 2 * op + k;
}

static struct hn_cpu_place value_place(const struct build *b, int32_t value)
{
    struct hn_cpu_place p = { HN_CPU_NONE, -1, 0, 0, 0 };
    int32_t r = root_of(b, value);
    if (r < 0) return p;
    const struct hn_value_ref *v = &b->prog->values[r];
    if (v->kind == HN_PARAM || v->kind == HN_STATE) {
        p.space = HN_CPU_W, p.off = b->prog->params[v->index].off * sizeof(float);
    } else if (v->kind == HN_CONST) {
        p.space = HN_CPU_CONST, p.off = b->prog->const_off[v->index] * sizeof(float);
    } else {
        p.space = HN_CPU_FULL, p.buf = r, p.column = b->column[r], p.per8 = b->e->bufs[r].per8;
    }
    return p;
}

static struct hn_cpu_place grad_place(const struct build *b, int32_t value)
{
    struct hn_cpu_place p = { HN_CPU_NONE, -1, 0, 0, 0 };
    int32_t r = root_of(b, value);
    const struct hn_value_ref *v = &b->prog->values[r];
    if (v->kind == HN_PARAM) {
        p.space = HN_CPU_DW, p.off = b->prog->params[v->index].off * sizeof(float);
    } else {
        p.space = HN_CPU_FULL, p.buf = grad_buf(b, r), p.per8 = b->e->bufs[p.buf].per8;
    }
    return p;
}

/* ---- sizes --------------------------------------------------------------------------------------------------- */

static void size_value(struct build *b, int32_t v)
{
    struct hn_dim n = hn_shape_count(&b->prog->values[v].shape);
    struct hn_cpu_buf *value = &b->e->bufs[v], *grad = &b->e->bufs[grad_buf(b, v)];
    value->per8 = grad->per8 = (size_t)n.per_row * 8 * sizeof(float);
    value->fixed = grad->fixed = (size_t)n.fixed * sizeof(float);
}

static hone_status size_op(struct build *b, int32_t i)
{
    const struct hn_op *op = &b->prog->ops[i];
    struct hn_shape *s = table(b, (size_t)(op->n_in + op->n_out), sizeof *s);
    if (!s)
        return hn_nomem(b->err, "the execution plan", (size_t)(op->n_in + op->n_out) * sizeof *s);
    for (int k = 0; k < op->n_in + op->n_out; k++) {
        int32_t v = k < op->n_in ? op->in[k] : op->out[k - op->n_in];
        if (v >= 0) s[k] = b->prog->values[v].shape;
    }
    b->shapes[i] = s;
    struct hn_cpu_use use = { op, s, s + op->n_in, b->plan->pass, b->plan->max_rows };
    for (int k = 0; hn_op_rows[k]; k++)
        if (hn_op_rows[k] == op->row) b->e->dev->isa->ops[k]->need(&use, &b->need[i]);
    for (int k = 0; k < 2; k++) {
        struct hn_cpu_buf *save = &b->e->bufs[save_buf(b, i, k)];
        save->per8 = b->need[i].save_per8[k], save->fixed = b->need[i].save_fixed[k];
    }
    if (b->need[i].scratch > b->e->scratch_bytes) b->e->scratch_bytes = b->need[i].scratch;
    if ((size_t)(op->n_in + op->n_out) > b->e->n_extents)
        b->e->n_extents = (size_t)(op->n_in + op->n_out);
    return HONE_OK;
}

/* Rows per tile, from the shapes alone: matrix products want more rows the wider the weights are. */
static int64_t tile_rows(const struct build *b)
{
    size_t widest = 1;
    for (int i = 0; i < b->plan->n_steps; i++) {
        const struct hn_op *op = &b->prog->ops[b->plan->steps[i].op];
        for (int k = 0; k < op->n_out; k++)
            if (op->out[k] >= 0 && hn_shape_count(&b->prog->values[op->out[k]].shape).per_row > 0) {
                size_t w = hn_cpu_width(&b->prog->values[op->out[k]].shape);
                if (w > widest) widest = w;
            }
    }
    return widest <= 1024 ? 128 : 512;
}

static hone_status size_all(struct build *b)
{
    const struct hn_program *p = b->prog;
    struct hn_cpu_exec *e = b->e;
    e->n_bufs = 2 * p->n_values + 2 * p->n_ops;
    e->n_columns = p->n_inputs + p->n_targets;
    e->bufs = table(b, (size_t)e->n_bufs, sizeof *e->bufs);
    b->need = table(b, (size_t)p->n_ops, sizeof *b->need);
    b->shapes = table(b, (size_t)p->n_ops, sizeof *b->shapes);
    b->column = table(b, (size_t)p->n_values, sizeof *b->column);
    e->column_used = table(b, (size_t)e->n_columns, 1);
    e->column_indexed = table(b, (size_t)e->n_columns, 1);
    b->capacity = 4 * b->plan->n_steps + e->n_columns + p->n_outputs + p->n_ops;
    e->pieces = table(b, (size_t)b->capacity, sizeof *e->pieces);
    e->commits = table(b, (size_t)p->n_ops, sizeof *e->commits);
    if (!e->bufs || !b->need || !b->shapes || !b->column || !e->column_used || !e->column_indexed ||
        !e->pieces || !e->commits)
        return hn_nomem(b->err, "the execution plan", (size_t)b->capacity * sizeof *e->pieces);
    for (int i = 0; i < e->n_bufs; i++)
        e->bufs[i] = (struct hn_cpu_buf){
            .first = INT64_MAX, .last = -1, .seg = -1, .after_in = -1, .alias = -1
        };
    for (int32_t v = 0; v < p->n_values; v++) size_value(b, v);
    for (int i = 0; i < p->n_inputs; i++) b->column[root_of(b, p->inputs[i])] = 1 + i;
    for (int i = 0; i < p->n_targets; i++)
        if (p->targets[i] >= 0) b->column[root_of(b, p->targets[i])] = 1 + p->n_inputs + i;
    for (int i = 0; i < b->plan->n_steps; i++)
        if (!b->shapes[b->plan->steps[i].op]) HN_TRY(size_op(b, b->plan->steps[i].op));
    e->tile = tile_rows(b);
    e->n_tiles = (b->plan->max_rows + e->tile - 1) / e->tile;
    return HONE_OK;
}

/* ---- pieces -------------------------------------------------------------------------------------------------- */

/* All places of a piece, in one order. */
static struct hn_cpu_place *place_at(struct hn_cpu_piece *p, int i)
{
    if (!p->op) return i == 0 ? &p->x[0] : NULL;
    int n_in = p->op->n_in, n_out = p->op->n_out;
    if (i < n_in) return &p->x[i];
    if ((i -= n_in) < n_out) return &p->y[i];
    if ((i -= n_out) < n_in) return &p->dx[i];
    if ((i -= n_in) < n_out) return &p->dy[i];
    return (i -= n_out) < 2 ? &p->save[i] : NULL;
}

static int waits(const struct build *b, struct hn_cpu_piece *p)
{
    struct hn_cpu_place *at;
    for (int i = 0; (at = place_at(p, i)); i++)
        if (at->buf >= 0 && b->e->bufs[at->buf].after_in == b->seg) return 1;
    return 0;
}

/* Does the piece write that place of it? */
static int writes(const struct hn_cpu_piece *p, const struct hn_cpu_place *at)
{
    if (!p->op) return p->kind == HN_CPU_GATHER;
    for (int k = 0; k < 2; k++)
        if (at == &p->save[k])
            return p->kind == HN_CPU_JOIN ? p->joined >> k & 1
                                          : !p->backward && p->kind == HN_CPU_MAIN;
    if (p->backward) return at >= p->dx && at < p->dx + p->op->n_in;
    return at >= p->y && at < p->y + p->op->n_out;
}

static void use_buffers(struct build *b, struct hn_cpu_piece *p, int order)
{
    struct hn_cpu_place *at;
    int64_t key = ((int64_t)p->seg * 2 + p->after) << 32 | order;
    for (int i = 0; (at = place_at(p, i)); i++) {
        if (at->buf < 0) continue;
        struct hn_cpu_buf *f = &b->e->bufs[at->buf];
        if (key < f->first) f->first = key;
        if (key > f->last) f->last = key;
        f->seg = f->seg == -1 || f->seg == p->seg ? p->seg : -2;
        f->full |= p->after || f->fixed;
        if (p->after && writes(p, at)) f->after_in = p->seg;
    }
}

static hone_status add_piece(struct build *b, const struct hn_cpu_piece *proto);

/* Columns that the piece reads first are gathered before it, tile by tile. */
static hone_status gather_first(struct build *b, const struct hn_cpu_piece *p)
{
    for (int k = 0; p->kind != HN_CPU_GATHER && k < (p->op ? p->op->n_in : 1); k++) {
        int32_t column = p->x[k].column;
        if (!column || b->e->column_used[column - 1]) continue;
        b->e->column_used[column - 1] = 1;
        struct hn_cpu_piece g = {
            .kind = HN_CPU_GATHER, .column = column, .loss = -1, .n_tasks = 1
        };
        g.x = table(b, 1, sizeof *g.x);
        if (!g.x) return hn_nomem(b->err, "the execution plan", sizeof *g.x);
        g.x[0] = p->x[k];
        g.after =
            g.x[0].per8 == 0; /* an input that does not follow the batch: its first row, once */
        g.cost = (double)g.x[0].per8 / 32;
        HN_TRY(add_piece(b, &g));
    }
    return HONE_OK;
}

static hone_status add_piece(struct build *b, const struct hn_cpu_piece *proto)
{
    struct hn_cpu_exec *e = b->e;
    HN_TRY(gather_first(b, proto));
    if (e->n_pieces == b->capacity)
        return hn_fail(b->err, HONE_E_INTERNAL, "the execution plan", "more than %d pieces",
                       b->capacity);
    struct hn_cpu_piece *p = &e->pieces[e->n_pieces];
    *p = *proto;
    if (!p->after && waits(b, p)) b->seg++;
    p->seg = b->seg;
    use_buffers(b, p, e->n_pieces++);
    if (p->has_part) {
        p->part = e->n_parts;
        e->n_parts += p->n_part * (size_t)(p->after ? 1 : e->n_tiles);
    }
    return HONE_OK;
}

/* The places a step's pieces share: values, gradients wanted, saved buffers. */
static hone_status places_of(struct build *b, const struct hn_step *s, struct hn_cpu_piece *p)
{
    const struct hn_op *op = p->op;
    size_t n = 2 * (size_t)op->n_in + 2 * (size_t)op->n_out;
    struct hn_cpu_place *at = table(b, n, sizeof *at);
    if (!at) return hn_nomem(b->err, "the execution plan", n * sizeof *at);
    for (size_t i = 0; i < n; i++) at[i].buf = -1;
    p->x = at, p->y = p->x + op->n_in, p->dx = p->y + op->n_out, p->dy = p->dx + op->n_in;
    for (int k = 0; k < op->n_in; k++) {
        p->x[k] = value_place(b, op->in[k]);
        if (s->backward && s->dx[k].space != HN_SP_NONE) p->dx[k] = grad_place(b, op->in[k]);
        if (p->dx[k].space == HN_CPU_DW && k < 32) p->slab_dx |= 1u << k;
    }
    for (int k = 0; k < op->n_out; k++) {
        p->y[k] = value_place(b, op->out[k]);
        if (s->backward && s->dy[k].space != HN_SP_NONE) p->dy[k] = grad_place(b, op->out[k]);
    }
    for (int k = 0; k < 2; k++) {
        int32_t buf = save_buf(b, s->op, k);
        const struct hn_cpu_buf *f = &b->e->bufs[buf];
        p->save[k] = (struct hn_cpu_place){ f->per8 + f->fixed ? HN_CPU_FULL : HN_CPU_NONE,
                                            f->per8 + f->fixed ? buf : -1, 0, 0, f->per8 };
    }
    return HONE_OK;
}

/* A copy of the places in which only the values of x_mask and y_mask and the gradients of dx_mask remain. */
static hone_status narrow(struct build *b, struct hn_cpu_piece *p, uint32_t x_mask, uint32_t y_mask,
                          uint32_t dx_mask)
{
    const struct hn_cpu_place none = { HN_CPU_NONE, -1, 0, 0, 0 };
    const struct hn_op *op = p->op;
    size_t n = 2 * (size_t)op->n_in + 2 * (size_t)op->n_out;
    struct hn_cpu_place *at = table(b, n, sizeof *at);
    if (!at) return hn_nomem(b->err, "the execution plan", n * sizeof *at);
    memcpy(at, p->x, n * sizeof *at);
    p->x = at, p->y = p->x + op->n_in, p->dx = p->y + op->n_out, p->dy = p->dx + op->n_in;
    for (int k = 0; k < op->n_in; k++) {
        int bit = k < 32 ? k : 31; /* inputs beyond the masks go with the last bit */
        if (p->x[k].buf >= 0 && !(x_mask >> bit & 1)) p->x[k] = none;
        if (!(dx_mask >> bit & 1)) p->dx[k] = none;
    }
    for (int k = 0; k < op->n_out; k++)
        if (k >= 32 || !(y_mask >> k & 1)) p->y[k] = none;
    return HONE_OK;
}

static int wants(const struct hn_cpu_piece *p, uint32_t mask)
{
    for (int k = 0; k < p->op->n_in; k++)
        if (p->dx[k].space != HN_CPU_NONE && mask >> (k < 32 ? k : 31) & 1) return 1;
    return 0;
}

static void drop(struct hn_cpu_place *p) { *p = (struct hn_cpu_place){ HN_CPU_NONE, -1, 0, 0, 0 }; }

struct use { /* a step while its pieces are made */
    const struct hn_cpu_half *half;
    const struct hn_cpu_need *need;
    struct hn_cpu_piece base;
};

static hone_status add_kind(struct build *b, const struct use *u, enum hn_cpu_kind kind, int after,
                            const struct hn_cpu_piece *from)
{
    struct hn_cpu_piece p = *from;
    p.kind = kind;
    p.after = (uint8_t)(after || !u->need->local);
    p.fn = kind == HN_CPU_PART   ? u->half->part
           : kind == HN_CPU_JOIN ? u->half->join
           : kind == HN_CPU_LATE ? u->half->late
                                 : u->half->main;
    p.blas = u->need->blas && kind == HN_CPU_MAIN;
    p.inplace = u->need->inplace;
    p.indexed_x = u->need->indexed_x;
    p.n_columns = kind == HN_CPU_MAIN ? u->need->n_columns[p.backward] : 1;
    p.n_tasks = kind == HN_CPU_LATE && u->need->n_tasks > 1 ? u->need->n_tasks : 1;
    return add_piece(b, &p);
}

/* The join reads the sums that the piece before it wrote. */
static hone_status add_join(struct build *b, const struct use *u, const struct hn_cpu_piece *from)
{
    const struct hn_cpu_piece *summed = &b->e->pieces[b->e->n_pieces - 1];
    struct hn_cpu_piece p = *from;
    p.part = summed->part, p.n_part = summed->n_part;
    p.one_part = summed->after;
    p.kind = HN_CPU_JOIN, p.after = 1, p.fn = u->half->join, p.n_tasks = 1;
    p.joined = u->need->joined[p.backward];
    return add_piece(b, &p);
}

static hone_status add_forward(struct build *b, const struct use *u)
{
    struct hn_cpu_piece main = u->base, part = u->base, join = u->base;
    HN_TRY(narrow(b, &part, 1, 0, 0));
    HN_TRY(narrow(b, &join, 0, 0, 0));
    for (int k = 0; k < 2; k++) {
        drop(&part.save[k]);
        if (!(u->need->joined[0] >> k & 1))
            drop(&join.save[k]);
        else if (u->need->join_after)
            drop(&main.save[k]);
    }
    if (u->half->part && u->need->stats) {
        part.has_part = 1, part.n_part = u->need->part[0];
        HN_TRY(add_kind(b, u, HN_CPU_PART, 0, &part));
        HN_TRY(add_join(b, u, &join));
    }
    if (u->need->join_after) main.has_part = 1, main.n_part = u->need->part[0];
    HN_TRY(add_kind(b, u, HN_CPU_MAIN, 0, &main));
    return u->need->join_after ? add_join(b, u, &join) : HONE_OK;
}

static hone_status add_backward(struct build *b, const struct use *u)
{
    const uint32_t late = u->need->late;
    struct hn_cpu_piece main = u->base, part = u->base, join = u->base, last = u->base;
    HN_TRY(narrow(b, &part, u->need->main_x, 0, 0));
    HN_TRY(narrow(b, &join, u->need->main_x & ~1u, 0, late));
    HN_TRY(narrow(b, &main, u->need->main_x, u->need->main_y, ~late));
    HN_TRY(narrow(b, &last, u->need->late_x, 0, late));
    for (int k = 0; k < join.op->n_out; k++) drop(&join.dy[k]);
    for (int k = 0; k < 2; k++)
        if (u->need->joined[1] >> k & 1) drop(&part.save[k]);
    if (u->half->part && (u->need->stats || wants(&u->base, late))) {
        part.has_part = 1, part.n_part = u->need->part[1];
        HN_TRY(add_kind(b, u, HN_CPU_PART, 0, &part));
        HN_TRY(add_join(b, u, &join));
    }
    if (wants(&main, ~0u)) HN_TRY(add_kind(b, u, HN_CPU_MAIN, 0, &main));
    return u->half->late && wants(&last, ~0u) ? add_kind(b, u, HN_CPU_LATE, 1, &last) : HONE_OK;
}

static int loss_number(const struct build *b, int32_t op)
{
    int n = 0;
    if (!(b->prog->ops[op].row->flags & HN_OP_LOSS)) return -1;
    for (int32_t i = 0; i < op; i++) n += (b->prog->ops[i].row->flags & HN_OP_LOSS) != 0;
    return n;
}

/* BatchNorm's running statistics are taken in when the step's loss turned out finite. */
static hone_status add_commit(struct build *b, struct use *u)
{
    const struct hn_op *op = u->base.op;
    if (!u->half->commit || !u->need->stats ||
        (b->plan->pass != HN_PASS_TRAIN && b->plan->pass != HN_PASS_STATS))
        return HONE_OK;
    for (int k = 3; k < 5; k++)
        if (b->prog->values[root_of(b, op->in[k])].kind != HN_STATE) return HONE_OK;
    struct hn_cpu_piece p = u->base;
    HN_TRY(narrow(b, &p, 0, 0, 0));
    p.kind = HN_CPU_COMMIT, p.fn = u->half->commit, p.after = 1, p.n_tasks = 1;
    b->e->commits[b->e->n_commits++] = b->e->n_pieces;
    return add_piece(b, &p);
}

static const struct hn_cpu_op *kernels_of(const struct build *b, const struct hn_op *op)
{
    for (int k = 0; hn_op_rows[k]; k++)
        if (hn_op_rows[k] == op->row) return b->e->dev->isa->ops[k];
    return NULL;
}

static hone_status add_step(struct build *b, const struct hn_step *s)
{
    const struct hn_op *op = &b->prog->ops[s->op];
    const struct hn_cpu_op *kernels = kernels_of(b, op);
    struct use u = { .need = &b->need[s->op] };
    if (!kernels)
        return hn_fail(b->err, HONE_E_INTERNAL, op->name, "no kernels for %s", op->row->name);
    u.base = (struct hn_cpu_piece){ .op = op,
                                    .xs = b->shapes[s->op],
                                    .ys = b->shapes[s->op] + op->n_in,
                                    .acc = s->acc,
                                    .backward = s->backward,
                                    .loss = loss_number(b, s->op),
                                    .cost = u.need->cost };
    u.half = s->backward ? &kernels->backward : &kernels->forward;
    HN_TRY(places_of(b, s, &u.base));
    HN_TRY(s->backward ? add_backward(b, &u) : add_forward(b, &u));
    return HONE_OK;
}

/* Outputs are copied to the host, tile by tile where their rows are. */
static hone_status add_outputs(struct build *b)
{
    int asked = b->plan->pass == HN_PASS_EVAL || b->plan->pass == HN_PASS_PREDICT;
    for (int i = 0; asked && i < b->prog->n_outputs; i++) {
        struct hn_cpu_piece p = { .kind = HN_CPU_EMIT, .column = i, .loss = -1, .n_tasks = 1 };
        p.xs = &b->prog->values[b->prog->outputs[i]].shape;
        p.after = !hn_cpu_batched(p.xs);
        p.x = table(b, 1, sizeof *p.x);
        if (!p.x) return hn_nomem(b->err, "the execution plan", sizeof *p.x);
        p.x[0] = value_place(b, b->prog->outputs[i]);
        HN_TRY(add_piece(b, &p));
    }
    return HONE_OK;
}

/* Columns that nobody reads but as x[0] of pieces that can take rows through an index. */
static void find_indexed(struct hn_cpu_exec *e)
{
    for (int i = 0; i < e->n_columns; i++) e->column_indexed[i] = e->column_used[i];
    for (int i = 0; i < e->n_pieces; i++) {
        const struct hn_cpu_piece *p = &e->pieces[i];
        for (int k = 0; p->kind != HN_CPU_GATHER && k < (p->op ? p->op->n_in : 1); k++)
            if (p->x[k].column && !(p->indexed_x && k == 0))
                e->column_indexed[p->x[k].column - 1] = 0;
    }
}

/* ---- segments ------------------------------------------------------------------------------------------------ */

/* Neighbours that are no matrix products form a group and run together on sub-tiles. */
static void group_pieces(struct hn_cpu_exec *e, struct hn_cpu_segment *s)
{
    int group = 0;
    for (int i = 0; i < s->n_tiled; i++) {
        struct hn_cpu_piece *p = &e->pieces[e->order[s->tiled + i]];
        if (i > 0 && (p->blas || e->pieces[e->order[s->tiled + i - 1]].blas)) group++;
        p->group = group;
        s->cost += p->cost;
    }
}

static int same_place(const struct hn_cpu_place *a, const struct hn_cpu_place *b)
{
    return a->space != HN_CPU_NONE && a->space == b->space && a->buf == b->buf && a->off == b->off;
}

/* May p run at the same time as q? Neither may write what the other touches. */
static int independent(struct hn_cpu_piece *p, struct hn_cpu_piece *q)
{
    struct hn_cpu_place *at;
    for (int k = 0; k < p->op->n_in; k++)
        for (int i = 0; (at = place_at(q, i)); i++)
            if (same_place(&p->dx[k], at)) return 0;
    for (int k = 0; k < q->op->n_in; k++)
        for (int i = 0; (at = place_at(p, i)); i++)
            if (same_place(&q->dx[k], at)) return 0;
    return 1;
}

/* After-pieces run in order; neighbouring late pieces that are independent form a stage whose tasks may run together. */
static void stage_pieces(struct hn_cpu_exec *e, const struct hn_cpu_segment *s)
{
    for (int i = 0, start = 0; i < s->n_after; i++) {
        struct hn_cpu_piece *p = &e->pieces[e->order[s->after + i]];
        p->new_stage = p->kind != HN_CPU_LATE;
        for (int k = start; k < i && !p->new_stage; k++) {
            struct hn_cpu_piece *q = &e->pieces[e->order[s->after + k]];
            p->new_stage = q->kind != HN_CPU_LATE || !independent(p, q);
        }
        if (p->new_stage || i == 0) start = i, p->new_stage = 1;
    }
}

static hone_status make_segments(struct build *b)
{
    struct hn_cpu_exec *e = b->e;
    int n = 0;
    e->n_segs = b->seg + 1;
    e->segs = table(b, (size_t)e->n_segs, sizeof *e->segs);
    e->order = table(b, (size_t)e->n_pieces, sizeof *e->order);
    if (!e->segs || !e->order)
        return hn_nomem(b->err, "the execution plan", (size_t)e->n_segs * sizeof *e->segs);
    for (int s = 0; s < e->n_segs; s++) {
        struct hn_cpu_segment *seg = &e->segs[s];
        for (int after = 0; after < 2; after++) {
            *(after ? &seg->after : &seg->tiled) = n;
            for (int i = 0; i < e->n_pieces; i++)
                if (e->pieces[i].seg == s && e->pieces[i].after == after &&
                    e->pieces[i].kind != HN_CPU_COMMIT)
                    e->order[n++] = i;
        }
        seg->n_tiled = seg->after - seg->tiled, seg->n_after = n - seg->after;
        group_pieces(e, seg);
        stage_pieces(e, seg);
    }
    return HONE_OK;
}

hone_status hn_cpu_prepare(struct hn_cpu_exec *e, hone_error *err)
{
    struct build b = { .e = e, .prog = e->plan->prog, .plan = e->plan, .err = err };
    HN_TRY(size_all(&b));
    for (int i = 0; i < b.plan->n_steps; i++) HN_TRY(add_step(&b, &b.plan->steps[i]));
    HN_TRY(add_outputs(&b));
    for (int i = 0; i < b.plan->n_forward; i++) {
        const struct hn_step *s = &b.plan->steps[i];
        struct use u = { .half = &kernels_of(&b, &b.prog->ops[s->op])->forward,
                         .need = &b.need[s->op] };
        u.base = (struct hn_cpu_piece){ .op = &b.prog->ops[s->op], .loss = -1 };
        u.base.xs = b.shapes[s->op], u.base.ys = u.base.xs + u.base.op->n_in;
        HN_TRY(places_of(&b, s, &u.base));
        HN_TRY(add_commit(&b, &u));
    }
    find_indexed(e);
    HN_TRY(make_segments(&b));
    e->n_pointers = 4 * e->n_extents;
    return hn_cpu_layout(e, err);
}
