/* SPDX-License-Identifier: MIT
 *
 * BatchNorm and LayerNorm as nodes. BatchNorm takes in a ReLU that follows in place, forward and, where its buffers allow it,
 * backward; the running statistics wait for norm_commit. What cuDNN is to do goes to library.c. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

static hone_status added(const struct hn_gpu_build *b, const struct hn_gpu_node *n)
{
    return n ? HONE_OK : hn_nomem(b->err, "the execution plan", sizeof *n);
}

static int is_state(const struct hn_gpu_build *b, int32_t v)
{
    while (v >= 0 && b->p->values[v].view_of >= 0) v = b->p->values[v].view_of;
    return v >= 0 && b->p->values[v].kind == HN_STATE;
}

static int batch_statistics(const struct hn_gpu_build *b, const struct hn_batchnorm *t)
{
    const enum hn_pass pass = b->e->plan->pass;
    return t->mode == 2 || (t->mode == 0 && (hn_gpu_trains(pass) || pass == HN_PASS_STATS));
}

/* Can cuDNN give what this step backward is asked for? It has batch statistics only, and one blend for both parameters. */
static int fits_cudnn(const struct hn_step *back)
{
    const struct hn_ref *d = back->dx;
    const int scale = d[1].space != HN_SP_NONE, bias = d[2].space != HN_SP_NONE;
    if (d[0].space == HN_SP_NONE || d[3].space != HN_SP_NONE || d[4].space != HN_SP_NONE) return 0;
    return !scale || !bias || (back->acc >> 1 & 1u) == (back->acc >> 2 & 1u);
}

static int32_t state_of(const struct hn_gpu_build *b, int32_t v)
{
    while (b->p->values[v].view_of >= 0) v = b->p->values[v].view_of;
    return b->p->values[v].kind == HN_STATE ? b->p->values[v].index : -1;
}

/* Does another node move the same running statistics? cuDNN would move a copy for each. */
static int moves_with_others(const struct hn_gpu_build *b, int32_t index)
{
    const int32_t mean = state_of(b, b->p->ops[index].in[3]);
    for (int32_t i = 0; mean >= 0 && i < b->p->n_ops; i++) {
        const struct hn_op *op = &b->p->ops[i];
        if (i != index && op->row == b->p->ops[index].row && state_of(b, op->in[3]) == mean)
            return 1;
    }
    return 0;
}

/* Who does this op, the same for both its steps. */
static enum hn_gpu_norm_way way_of(const struct hn_gpu_build *b, int32_t index)
{
    const struct hn_op *op = &b->p->ops[index];
    const struct hn_batchnorm *t = op->attrs;
    const struct hn_plan *plan = b->e->plan;
    const struct hn_shape *x = hn_gpu_shape(b, op->in[0]);
    if (b->e->max_slots > 1 || op->n_out > 1 || t->population || moves_with_others(b, index))
        return HN_GPU_NORM_NATIVE;
    for (int i = plan->n_forward; i < plan->n_steps; i++)
        if (plan->steps[i].op == index && (!batch_statistics(b, t) || !fits_cudnn(&plan->steps[i])))
            return HN_GPU_NORM_NATIVE;
    return hn_gpu_choose_norm(&b->e->dev->o, x->rank > 1 ? x->d[1].fixed : 1);
}

static struct hn_k_norm norm_of(struct hn_gpu_build *b)
{
    const struct hn_batchnorm *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_norm k = { .eps = t->eps, .momentum = t->momentum, .population = t->population };
    k.batch = batch_statistics(b, t);
    k.outer = hn_gpu_dim(x->d[0]), k.channels = x->rank > 1 ? x->d[1].fixed : 1;
    k.inner = x->rank > 2 ? hn_gpu_span(x, 2, x->rank).fixed : 1;
    k.x = hn_gpu_ref(b, b->s->x[0]), k.scale = hn_gpu_ref(b, b->s->x[1]),
    k.bias = hn_gpu_ref(b, b->s->x[2]);
    k.mean = hn_gpu_ref(b, b->s->x[3]), k.var = hn_gpu_ref(b, b->s->x[4]);
    k.save_mean = hn_gpu_ref(b, b->s->save[0]), k.save_inv = hn_gpu_ref(b, b->s->save[1]);
    return k;
}

/* A ReLU's backward right before a BatchNorm's: dy must outlive the step it was planned for. y is not needed: the kernel finds
 * again where it is above 0. */
static int takes_relu(const struct hn_gpu_build *b, const struct hn_step *norm)
{
    const struct hn_op *op = &b->p->ops[norm->op];
    const struct hn_ref dy = b->s->dy[0], dx = b->s->dx[0];
    if (b->s->acc & 1 || dy.space != dx.space || dy.off != dx.off ||
        norm->dy[0].space != dx.space || norm->dy[0].off != dx.off || b->op->in[0] != op->out[0])
        return 0;
    for (int i = 1; i < op->n_in; i++)
        if (norm->dx[i].space == HN_SP_ARENA) return 0;
    return 1;
}

/* How many neighbouring channels a thread takes at once: where rows follow each other and all begin at multiples of them. */
static int neighbours(const struct hn_gpu_build *b, const struct hn_k_norm *k)
{
    const uint64_t places = k->x.off | k->y.off | k->dy.off | k->dx.off;
    int n =
        hn_gpu_choose_width(&b->e->dev->o, k->channels, b->e->max_slots) / (HN_BLOCK / HN_K_NORM);
    if (k->inner == 1 && n == 0) return 0; /* a block has one channel */
    if (n < 1) n = 1;
    if (n > 4) n = 4;
    while (n > 1 && (k->inner != 1 || k->channels % n != 0 || places % 16 != 0)) n /= 2;
    return n;
}

/* In strips of rows, if asked for: rows follow each other and begin at multiples of a load, and places can be reckoned with. */
static int in_strips(const struct hn_gpu_build *b, const struct hn_k_norm *k)
{
    const uint64_t places = k->x.off | k->y.off | k->dy.off | k->dx.off;
    return b->e->dev->o.norm_width == HN_K_LINE && k->inner == 1 && k->channels % 4 == 0 &&
           places % 16 == 0 && k->channels <= INT32_MAX &&
           hn_gpu_n(k->outer, b->e->plan->max_rows) <= INT32_MAX / 2;
}

/* Room for the sums of strips: the norm before this one has added its up by then. */
static struct hn_k_ref partials(struct hn_gpu_build *b, int64_t channels)
{
    const size_t bytes = (2 * HN_K_STRIPS + 1) * (size_t)channels * sizeof(double);
    if (bytes > b->partial_bytes)
        b->partials = (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, bytes) },
        b->partial_bytes = bytes;
    return b->partials;
}

static hone_status strips(struct hn_gpu_build *b, struct hn_k_norm *k)
{
    const int back = b->s->backward;
    const int64_t rows = hn_gpu_n(k->outer, b->e->plan->max_rows),
                  most = (rows + HN_K_STRIP - 1) / HN_K_STRIP;
    const struct hn_k_dim blocks = hn_gpu_fixed(most > HN_K_STRIPS ? HN_K_STRIPS : most);
    k->partials = partials(b, k->channels);
    for (int last = !back && !k->batch; last < 2; last++) {
        static const enum hn_k_id kernels[2][2] = { { HN_KN_strips_sums, HN_KN_strips },
                                                    { HN_KN_strips_back_sums, HN_KN_strips_back } };
        struct hn_gpu_node *n =
            hn_gpu_add(b, kernels[back][last], k, sizeof *k, hn_gpu_fixed(k->channels), HN_K_LINE);
        HN_TRY(added(b, n));
        if (!last || k->y.space != HN_KS_NONE || k->dx.space != HN_KS_NONE) n->y = blocks;
    }
    return HONE_OK;
}

hone_status hn_gpu_norm_alone(struct hn_gpu_build *b, struct hn_k_norm *k)
{
    if (in_strips(b, k)) return strips(b, k);
    static const enum hn_k_id kernels[2][5] = {
        { HN_KN_norm1, HN_KN_norm, HN_KN_norm8, [4] = HN_KN_norm16 },
        { HN_KN_norm1_back, HN_KN_norm_back, HN_KN_norm8_back, [4] = HN_KN_norm16_back }
    };
    const int n = neighbours(b, k);
    return added(b, hn_gpu_add(b, kernels[b->s->backward][n], k, sizeof *k,
                               hn_gpu_fixed(k->channels), n ? n * (HN_BLOCK / HN_K_NORM) : 1));
}

static void leave_copy(struct hn_gpu_build *b, struct hn_k_norm *k, struct hn_gpu_operand is)
{
    k->copy = hn_gpu_copy_wanted(b, is, k->outer, k->channels);
    k->copy_turned = b->e->dev->o.form == HN_GPU_TRANSPOSED;
}

static hone_status backward(struct hn_gpu_build *b, struct hn_k_norm *k)
{
    k->dy = hn_gpu_ref(b, b->s->dy[0]);
    struct hn_k_ref *const d[] = { &k->dx, &k->dscale, &k->dbias, &k->dmean, &k->dvar };
    for (int i = 0; i < 5; i++)
        if (hn_gpu_wants(b, i)) *d[i] = hn_gpu_ref(b, b->s->dx[i]);
    k->acc = (int32_t)(b->s->acc & 31);
    if (k->dy.space == HN_KS_NONE)
        return hn_fail(b->err, HONE_E_INTERNAL, b->op->name,
                       "BatchNormalization's backward has no gradient to work on");
    enum hn_gpu_norm_way way = k->fuse_relu ? HN_GPU_NORM_NATIVE : way_of(b, b->s->op);
    if (way != HN_GPU_NORM_NATIVE) return hn_gpu_library_norm(b, way, k);
    int acc = 0;
    if (k->inner == 1 && k->dx.space != HN_KS_NONE && hn_gpu_layer_below(b, b->s->dx[0]))
        leave_copy(b, k, (struct hn_gpu_operand){ b->op->in[0], 1 });
    if (k->inner == 1 && k->dx.space != HN_KS_NONE && !(in_strips(b, k) && k->acc & 1) &&
        hn_gpu_bias_below(b, b->s->dx[0], &k->below, &acc, &k->below_scale))
        k->below_acc = acc;
    return hn_gpu_norm_alone(b, k);
}

hone_status hn_gpu_batchnorm(struct hn_gpu_build *b)
{
    const enum hn_pass pass = b->e->plan->pass;
    struct hn_k_norm k = norm_of(b);
    if (b->s->backward) return backward(b, &k);
    k.y = hn_gpu_ref(b, b->s->y[0]);
    if (b->op->n_out > 1) k.mean_out = hn_gpu_ref(b, b->s->y[1]);
    if (b->op->n_out > 2) k.var_out = hn_gpu_ref(b, b->s->y[2]);
    enum hn_gpu_norm_way way = way_of(b, b->s->op);
    k.fuse_relu = b->fused = way == HN_GPU_NORM_NATIVE && hn_gpu_relu_follows(b);
    int updates = (pass == HN_PASS_TRAIN || pass == HN_PASS_STATS) && k.batch &&
                  is_state(b, b->op->in[3]) && is_state(b, b->op->in[4]);
    if (updates)
        k.stats = (struct hn_k_ref){ HN_KS_ARENA,
                                     hn_gpu_extra(b, 2 * (size_t)k.channels * sizeof(double)) };
    if (way != HN_GPU_NORM_NATIVE) return hn_gpu_library_norm(b, way, &k);
    const struct hn_op *result = k.fuse_relu ? &b->p->ops[b->next->op] : b->op;
    if (k.inner == 1) leave_copy(b, &k, (struct hn_gpu_operand){ result->out[0], 0 });
    return hn_gpu_chain_norm(b, &k) ? HONE_OK : hn_gpu_norm_alone(b, &k);
}

/* ReLU's backward, given to the BatchNorm behind it where that is possible. */
int hn_gpu_relu_into_norm(struct hn_gpu_build *b, hone_status *st)
{
    const struct hn_unary *u = b->op->attrs;
    if (u->kind != HN_U_RELU || !b->next || !b->next->backward) return 0;
    if (strcmp(b->p->ops[b->next->op].row->name, "batchnorm") != 0 || !takes_relu(b, b->next) ||
        way_of(b, b->next->op) != HN_GPU_NORM_NATIVE)
        return 0;
    b->s = b->next, b->op = &b->p->ops[b->s->op];
    struct hn_k_norm k = norm_of(b);
    k.fuse_relu = 1;
    b->fused = 1;
    *st = backward(b, &k);
    return 1;
}

static int team_of(int64_t n) { return n <= 64 ? 8 : n <= 512 ? 32 : HN_BLOCK; }

hone_status hn_gpu_layernorm(struct hn_gpu_build *b)
{
    const struct hn_layernorm *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_layernorm k = { .eps = t->eps, .groups = hn_gpu_span(x, 0, x->rank - t->axes) };
    k.n = hn_gpu_span(x, x->rank - t->axes, x->rank).fixed, k.team = team_of(k.n);
    k.x = hn_gpu_ref(b, b->s->x[0]), k.scale = hn_gpu_ref(b, b->s->x[1]);
    k.save_mean = hn_gpu_ref(b, b->s->save[0]), k.save_inv = hn_gpu_ref(b, b->s->save[1]);
    const int per = HN_BLOCK / k.team;
    if (!b->s->backward) {
        if (b->op->n_in > 2 && b->op->in[2] >= 0) k.bias = hn_gpu_ref(b, b->s->x[2]);
        k.y = hn_gpu_ref(b, b->s->y[0]);
        return added(b, hn_gpu_add(b, HN_KN_layernorm, &k, sizeof k, k.groups, per));
    }
    k.dy = hn_gpu_ref(b, b->s->dy[0]), k.acc = (int32_t)(b->s->acc & 7);
    if (hn_gpu_wants(b, 1)) k.dscale = hn_gpu_ref(b, b->s->dx[1]);
    if (hn_gpu_wants(b, 2)) k.dbias = hn_gpu_ref(b, b->s->dx[2]);
    if (k.dscale.space || k.dbias.space)
        HN_TRY(added(b, hn_gpu_add(b, HN_KN_layernorm_params, &k, sizeof k, hn_gpu_fixed(k.n),
                                   HN_BLOCK / HN_K_NORM)));
    if (!hn_gpu_wants(b, 0)) return HONE_OK;
    k.dx = hn_gpu_ref(b, b->s->dx[0]);
    return added(b, hn_gpu_add(b, HN_KN_layernorm_back, &k, sizeof k, k.groups, per));
}
