/* SPDX-License-Identifier: MIT
 *
 * Nodes of the ops by element and by shape: unary, quantize, binary, dropout, softmax, concat, slice, transpose, reduce, and the losses. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

/* the kernels' own numbering of kinds is that of the contract */
_Static_assert(HN_U_COPY == 0 && HN_U_RELU == 1 && HN_U_SIGMOID == 5 && HN_U_GELU_TANH == 9 &&
                   HN_U_EXP == 14 && HN_U_SILU == 18 && HN_U_CELU == 20 && HN_U_COS == 28 &&
                   HN_U_SIGN == 29 && HN_U_ATANH == 40 && HN_U_COUNT == 41,
               "unary.cu's kinds");
_Static_assert(HN_B_ADD == 0 && HN_B_DIV == 3 && HN_B_POW == 6 && HN_B_KEEP == 10 &&
                   HN_B_COUNT == 11,
               "binary.cu's kinds");
_Static_assert(HN_R_SUM == 0 && HN_R_MEAN == 1 && HN_R_MAX == 2 && HN_R_L2 == 3,
               "reduce.cu's kinds");
_Static_assert(HN_SGD == 0 && HN_NESTEROV == 2 && HN_RMSPROP == 4 && HN_ADAMW == 6 &&
                   HN_OPTIMIZERS == 7,
               "optim.cu's");
_Static_assert(HN_F32 == 1 && HN_U8 == 2 && HN_I64 == 7 && HN_BOOL == 9 && HN_F64 == 11 &&
                   HN_BF16 == 16,
               "gather.cu's");

static hone_status added(const struct hn_gpu_build *b, const struct hn_gpu_node *n)
{
    return n ? HONE_OK : hn_nomem(b->err, "the execution plan", sizeof *n);
}

static struct hn_k_dim count(const struct hn_gpu_build *b, int32_t value)
{
    const struct hn_shape *s = hn_gpu_shape(b, value);
    return hn_gpu_span(s, 0, s->rank);
}

/* Threads that work on n elements together. */
static int team_of(int64_t n)
{
    int team = 1;
    while (2 * team < n && team < 32) team *= 2;
    return n <= 4 ? 1 : n <= 256 ? team : HN_BLOCK;
}

int hn_gpu_slope_by(const struct hn_gpu_build *b, const struct hn_op *op)
{
    struct hn_need need = { 0 };
    op->row->need(op, hn_gpu_shape(b, op->in[0]), &need);
    return need.y & 1 ? 2 : need.x & 1 ? 1 : 0;
}

hone_status hn_gpu_unary(struct hn_gpu_build *b)
{
    const struct hn_unary *u = b->op->attrs;
    struct hn_k_unary k = {
        .kind = (int32_t)u->kind, .a = u->a, .b = u->b, .n = count(b, b->op->out[0])
    };
    k.by = hn_gpu_slope_by(b, b->op);
    k.x = hn_gpu_ref(b, b->s->x[0]), k.y = hn_gpu_ref(b, b->s->y[0]);
    if (b->s->backward) {
        hone_status st = HONE_OK;
        if (hn_gpu_relu_into_norm(b, &st)) return st;
        k.dx = hn_gpu_ref(b, b->s->dx[0]), k.dy = hn_gpu_ref(b, b->s->dy[0]),
        k.acc = hn_gpu_acc(b, 0);
    }
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_unary_back : HN_KN_unary, &k, sizeof k,
                               k.n, 4 * HN_BLOCK));
}

hone_status hn_gpu_quantize(struct hn_gpu_build *b)
{
    const struct hn_quantize *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    const int has_zero = b->op->n_in > 2 && b->op->in[2] >= 0;
    struct hn_k_quantize k = { .n = count(b, b->op->in[0]),
                               .scales = count(b, b->op->in[1]).fixed,
                               .zeros = has_zero ? count(b, b->op->in[2]).fixed : 0,
                               .inner = 1,
                               .whole = t->whole,
                               .low = t->low,
                               .high = t->high };
    if (k.scales > 1) {
        const struct hn_k_dim inner = hn_gpu_span(x, t->axis + 1, x->rank);
        if (inner.per_row)
            return hn_fail(b->err, HONE_E_UNSUPPORTED, b->op->name,
                           "scales in front of the batch dim are not on the GPU");
        k.inner = inner.fixed;
    }
    k.x = hn_gpu_ref(b, b->s->x[0]), k.scale = hn_gpu_ref(b, b->s->x[1]);
    if (has_zero) k.zero = hn_gpu_ref(b, b->s->x[2]);
    if (b->s->backward) {
        if (!hn_gpu_wants(b, 0)) return HONE_OK;
        k.dx = hn_gpu_ref(b, b->s->dx[0]), k.dy = hn_gpu_ref(b, b->s->dy[0]),
        k.acc = hn_gpu_acc(b, 0);
    } else {
        k.y = hn_gpu_ref(b, b->s->y[0]);
    }
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_quantize_back : HN_KN_quantize, &k,
                               sizeof k, k.n, 4 * HN_BLOCK));
}

hone_status hn_gpu_binary(struct hn_gpu_build *b)
{
    const struct hn_binary *t = b->op->attrs;
    const struct hn_shape *sa = hn_gpu_shape(b, b->op->in[0]), *sb = hn_gpu_shape(b, b->op->in[1]),
                          *sy = hn_gpu_shape(b, b->op->out[0]);
    struct hn_k_binary k = { .kind = (int32_t)t->kind,
                             .ya = hn_gpu_dims(sy),
                             .da = hn_gpu_dims(sa),
                             .db = hn_gpu_dims(sb) };
    k.same = memcmp(sa->d, sb->d, (size_t)sa->rank * sizeof *sa->d) == 0 && sa->rank == sb->rank;
    k.a = hn_gpu_ref(b, b->s->x[0]), k.b = hn_gpu_ref(b, b->s->x[1]);
    struct hn_k_dim n = count(b, b->op->out[0]);
    if (!b->s->backward) {
        k.y = hn_gpu_ref(b, b->s->y[0]);
        return added(b, hn_gpu_add(b, HN_KN_binary, &k, sizeof k, n, 4 * HN_BLOCK));
    }
    k.y = hn_gpu_ref(b, b->s->dy[0]);
    for (k.which = 0; k.which < 2; k.which++) {
        struct hn_k_dim m = count(b, b->op->in[k.which]);
        if (!hn_gpu_wants(b, k.which)) continue;
        k.d = hn_gpu_ref(b, b->s->dx[k.which]), k.acc = hn_gpu_acc(b, k.which);
        int whole = m.per_row == n.per_row &&
                    m.fixed == n.fixed; /* else a block an element, walking over them */
        HN_TRY(
            added(b, hn_gpu_add(b, HN_KN_binary_back, &k, sizeof k, m, whole ? 4 * HN_BLOCK : 1)));
    }
    return HONE_OK;
}

struct hn_k_drop hn_gpu_drop_of(const struct hn_gpu_build *b, const struct hn_dropout *t)
{
    const enum hn_pass pass = b->e->plan->pass;
    return (struct hn_k_drop){ .rate = t->rate,
                               .stream = t->stream,
                               .fixed = t->fixed,
                               .off = !hn_gpu_trains(pass),
                               .still = pass == HN_PASS_GRAD };
}

int hn_gpu_drop_by_library(const struct hn_gpu_build *b)
{
    return b->e->max_slots == 1 && b->e->plan->pass == HN_PASS_TRAIN &&
           hn_gpu_choose_drop(&b->e->dev->o);
}

hone_status hn_gpu_dropout(struct hn_gpu_build *b)
{
    const struct hn_dropout *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_dropout k = { .drop = hn_gpu_drop_of(b, t), .backward = b->s->backward };
    k.from = hn_gpu_ref(b, b->s->backward ? b->s->dy[0] : b->s->x[0]);
    k.to = hn_gpu_ref(b, b->s->backward ? b->s->dx[0] : b->s->y[0]);
    k.rows = x->rank > 0 ? hn_gpu_dim(x->d[0]) : hn_gpu_fixed(1);
    k.cols = hn_gpu_span(x, 1, x->rank).fixed;
    k.acc = b->s->backward && hn_gpu_acc(b, 0);
    if (hn_gpu_span(x, 1, x->rank).per_row)
        return hn_fail(b->err, HONE_E_UNSUPPORTED, b->op->name,
                       "Dropout whose columns follow the batch is not on the GPU");
    if (hn_gpu_drop_by_library(b)) return hn_gpu_library_drop(b, &k);
    struct hn_k_dim elements = { k.rows.per_row * k.cols,
                                 (k.rows.fixed + 7) * k.cols }; /* 8 rows a thread */
    return added(b, hn_gpu_add(b, HN_KN_dropout, &k, sizeof k, elements, 8 * HN_BLOCK));
}

hone_status hn_gpu_softmax(struct hn_gpu_build *b)
{
    const struct hn_softmax *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_softmax k = { .log = t->log, .outer = hn_gpu_span(x, 0, t->axis) };
    struct hn_k_dim inner = hn_gpu_span(x, t->axis + t->axes, x->rank);
    k.len = hn_gpu_span(x, t->axis, t->axis + t->axes).fixed, k.inner = inner.fixed,
    k.team = team_of(k.len);
    if (inner.per_row)
        return hn_fail(b->err, HONE_E_UNSUPPORTED, b->op->name,
                       "Softmax before the batch dim is not on the GPU");
    k.x = hn_gpu_ref(b, b->s->x[0]), k.y = hn_gpu_ref(b, b->s->y[0]);
    if (b->s->backward)
        k.dx = hn_gpu_ref(b, b->s->dx[0]), k.dy = hn_gpu_ref(b, b->s->dy[0]),
        k.acc = hn_gpu_acc(b, 0);
    struct hn_k_dim groups = { k.outer.per_row * k.inner, k.outer.fixed * k.inner };
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_softmax_back : HN_KN_softmax, &k, sizeof k,
                               groups, HN_BLOCK / k.team));
}

static hone_status span(struct hn_gpu_build *b, const struct hn_k_span *k)
{
    struct hn_k_dim n = { (k->outer.per_row * k->inner.fixed + k->inner.per_row * k->outer.fixed) *
                              k->len,
                          k->outer.fixed * k->inner.fixed * k->len };
    return added(b, hn_gpu_add(b, HN_KN_span, k, sizeof *k, n, 4 * HN_BLOCK));
}

hone_status hn_gpu_concat(struct hn_gpu_build *b)
{
    const struct hn_concat *t = b->op->attrs;
    const struct hn_shape *y = hn_gpu_shape(b, b->op->out[0]);
    struct hn_k_span k = { .outer = hn_gpu_span(y, 0, t->axis),
                           .inner = hn_gpu_span(y, t->axis + 1, y->rank) };
    int64_t at = 0;
    k.to_step = k.from_step = 1;
    for (int i = 0; i < b->op->n_in; i++, at += k.len) {
        k.len = hn_gpu_shape(b, b->op->in[i])->d[t->axis].fixed;
        k.acc = b->s->backward && hn_gpu_acc(b, i);
        if (b->s->backward && !hn_gpu_wants(b, i)) continue;
        if (b->s->backward) {
            k.from = hn_gpu_ref(b, b->s->dy[0]), k.from_len = y->d[t->axis].fixed, k.from_at = at;
            k.to = hn_gpu_ref(b, b->s->dx[i]), k.to_len = k.len;
        } else {
            k.from = hn_gpu_ref(b, b->s->x[i]), k.from_len = k.len;
            k.to = hn_gpu_ref(b, b->s->y[0]), k.to_len = y->d[t->axis].fixed, k.to_at = at;
        }
        HN_TRY(span(b, &k));
    }
    return HONE_OK;
}

hone_status hn_gpu_slice(struct hn_gpu_build *b)
{
    const struct hn_slice *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_span k = { .outer = hn_gpu_span(x, 0, t->axis),
                           .inner = hn_gpu_span(x, t->axis + 1, x->rank),
                           .len = t->len };
    if (!b->s->backward) {
        k.from = hn_gpu_ref(b, b->s->x[0]), k.from_len = x->d[t->axis].fixed, k.from_at = t->start,
        k.from_step = t->step;
        k.to = hn_gpu_ref(b, b->s->y[0]), k.to_len = t->len, k.to_step = 1;
        return span(b, &k);
    }
    k.from = hn_gpu_ref(b, b->s->dy[0]), k.from_len = t->len, k.from_step = 1;
    k.to = hn_gpu_ref(b, b->s->dx[0]), k.to_len = x->d[t->axis].fixed, k.to_at = t->start,
    k.to_step = t->step;
    k.acc = hn_gpu_acc(b, 0);
    if (!k.acc) {
        struct hn_k_fill f = { .to = k.to, .n = count(b, b->op->in[0]) };
        HN_TRY(added(b, hn_gpu_add(b, HN_KN_fill, &f, sizeof f, f.n, 4 * HN_BLOCK)));
    }
    return span(b, &k);
}

hone_status hn_gpu_transpose(struct hn_gpu_build *b)
{
    const struct hn_transpose *t = b->op->attrs;
    const struct hn_shape *from = hn_gpu_shape(b, b->s->backward ? b->op->out[0] : b->op->in[0]);
    struct hn_k_transpose k = { .shape = hn_gpu_dims(from),
                                .acc = b->s->backward && hn_gpu_acc(b, 0) };
    for (int i = 0; i < from->rank; i++)
        if (b->s->backward)
            k.perm[t->perm[i]] = i;
        else
            k.perm[i] = t->perm[i];
    k.from = hn_gpu_ref(b, b->s->backward ? b->s->dy[0] : b->s->x[0]);
    k.to = hn_gpu_ref(b, b->s->backward ? b->s->dx[0] : b->s->y[0]);
    return added(
        b, hn_gpu_add(b, HN_KN_transpose, &k, sizeof k, count(b, b->op->in[0]), 4 * HN_BLOCK));
}

hone_status hn_gpu_embedding(struct hn_gpu_build *b)
{
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]),
                          *table = hn_gpu_shape(b, b->op->in[1]);
    struct hn_k_embedding k = { .n = hn_gpu_span(x, 0, x->rank),
                                .rows = table->d[0].fixed,
                                .still = ((const struct hn_embedding *)b->op->attrs)->still,
                                .width = hn_gpu_span(table, 1, table->rank).fixed };
    k.x = hn_gpu_ref(b, b->s->x[0]);
    if (!b->s->backward) {
        const struct hn_k_dim elements = { k.n.per_row * k.width, k.n.fixed * k.width };
        k.table = hn_gpu_ref(b, b->s->x[1]), k.y = hn_gpu_ref(b, b->s->y[0]);
        return added(b, hn_gpu_add(b, HN_KN_embedding, &k, sizeof k, elements, 4 * HN_BLOCK));
    }
    if (!hn_gpu_wants(b, 1)) return HONE_OK;
    k.table = hn_gpu_ref(b, b->s->dx[1]), k.y = hn_gpu_ref(b, b->s->dy[0]);
    if (!hn_gpu_acc(b, 1)) { /* rows that the batch does not mean have no gradient */
        struct hn_k_fill f = { .to = k.table, .n = count(b, b->op->in[1]) };
        HN_TRY(added(b, hn_gpu_add(b, HN_KN_fill, &f, sizeof f, f.n, 4 * HN_BLOCK)));
    }
    return added(b, hn_gpu_add(b, HN_KN_embedding_back, &k, sizeof k, k.n, 1));
}

hone_status hn_gpu_reduce(struct hn_gpu_build *b)
{
    const struct hn_reduce *t = b->op->attrs;
    struct hn_k_reduce k = { .mask = t->mask,
                             .kind = (int32_t)t->kind,
                             .shape = hn_gpu_dims(hn_gpu_shape(b, b->op->in[0])) };
    k.x = hn_gpu_ref(b, b->s->x[0]), k.y = hn_gpu_ref(b, b->s->y[0]);
    if (b->s->backward)
        k.dx = hn_gpu_ref(b, b->s->dx[0]), k.dy = hn_gpu_ref(b, b->s->dy[0]),
        k.acc = hn_gpu_acc(b, 0);
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_reduce_back : HN_KN_reduce, &k, sizeof k,
                               count(b, b->op->out[0]), 1));
}

/* May forward write the gradient? It needs nothing but its own rows where all of them weigh 1, and nothing may still read what
 * lies where the gradient goes: the loss is the last step forward, its gradient the first one back. */
static const struct hn_step *gradient_too(const struct hn_gpu_build *b, const struct hn_k_loss *k)
{
    const struct hn_plan *plan = b->e->plan;
    const struct hn_step *back = plan->steps + plan->n_forward;
    if (!hn_gpu_trains(plan->pass) || b->p->n_losses != 1 || k->weights.space) return NULL;
    if (b->s + 1 != back || plan->n_forward == plan->n_steps || back->op != b->s->op) return NULL;
    for (int i = 0; i < b->p->n_outputs; i++)
        if (plan->outputs[i].space != HN_SP_NONE) return NULL;
    if (back->dx[0].space == HN_SP_NONE || back->acc & 1) return NULL;
    const size_t bytes = hn_gpu_bytes(b, b->op->in[0]), other = hn_gpu_bytes(b, b->op->in[1]);
    const int in_place = hn_gpu_same(back->dx[0], b->s->x[0]);
    if (!in_place && hn_gpu_overlap(back->dx[0], bytes, b->s->x[0], bytes)) return NULL;
    return k->column < 0 && hn_gpu_overlap(back->dx[0], bytes, b->s->x[1], other) ? NULL : back;
}

hone_status hn_gpu_loss(struct hn_gpu_build *b)
{
    static const char *const forms[] = { "loss_ce", "loss_nll", "loss_bce", "loss_regression" };
    const struct hn_loss *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_gpu_exec *e = b->e;
    struct hn_k_loss k = { .weight = t->weight,
                           .delta = t->delta,
                           .dense = t->dense,
                           .from_logits = t->from_logits,
                           .kind = t->kind,
                           .n_columns = e->n_columns };
    if (b->s->backward && (b->loss_done || !hn_gpu_wants(b, 0))) return HONE_OK;
    while (strcmp(b->op->row->name, forms[k.form]) != 0) k.form++;
    const int classes = k.form < 2;
    k.rows = x->rank == 0 ? hn_gpu_fixed(1) : hn_gpu_span(x, 0, classes ? x->rank - 1 : 1);
    k.cols = x->rank == 0 ? hn_gpu_fixed(1) : hn_gpu_span(x, classes ? x->rank - 1 : 1, x->rank);
    k.few = k.form == 0 && !k.dense && !k.cols.per_row && k.cols.fixed <= HN_K_FEW;
    k.team = k.few ? 1 : team_of(hn_gpu_n(k.cols, e->plan->max_rows));
    while (1 << k.team_bits < k.team) k.team_bits++;
    k.x = hn_gpu_ref(b, b->s->x[0]), k.target = hn_gpu_ref(b, b->s->x[1]);
    k.column = hn_gpu_in_place(b, b->op->in[1]);
    if (b->op->n_in > 2 && b->op->in[2] >= 0)
        k.weights = hn_gpu_ref(b, b->s->x[2]), k.n_weights = count(b, b->op->in[2]);
    const size_t each = (size_t)e->row_stride * sizeof(double), l = (size_t)b->loss_of[b->s->op];
    k.row_loss = (struct hn_k_ref){ HN_KS_ARENA, e->row_at + 2 * l * each };
    k.row_weight = (struct hn_k_ref){ HN_KS_ARENA, e->row_at + (2 * l + 1) * each };
    k.sums = (struct hn_k_ref){ HN_KS_ARENA, e->sums_at + 2 * l * sizeof(double) };
    if (k.form == 0) k.lse = hn_gpu_ref(b, b->s->save[0]);
    if (b->s->backward) {
        k.dx = hn_gpu_ref(b, b->s->dx[0]), k.acc = hn_gpu_acc(b, 0);
    } else {
        const struct hn_step *back = gradient_too(b, &k);
        if (back) k.dx = hn_gpu_ref(b, back->dx[0]), k.both = b->loss_done = 1;
    }
    int taken = 0;
    if (!b->s->backward) HN_TRY(hn_gpu_chain_loss(b, &k, &taken));
    if (taken) return HONE_OK;
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_loss_back : HN_KN_loss, &k, sizeof k,
                               k.rows, HN_BLOCK / k.team));
}
