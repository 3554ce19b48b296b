/* SPDX-License-Identifier: MIT
 *
 * Nodes of augmentation (augment.cu). Where a pass does not augment, and backward of noise, it is a copy, or nothing in place. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

static hone_status added(const struct hn_gpu_build *b, const struct hn_gpu_node *n)
{
    return n ? HONE_OK : hn_nomem(b->err, "the execution plan", sizeof *n);
}

/* to (+)= from */
static hone_status pass_on(struct hn_gpu_build *b, const struct hn_k_augment *k)
{
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    struct hn_k_unary u = { .kind = (int32_t)HN_U_COPY, .n = hn_gpu_span(x, 0, x->rank) };
    if (!k->acc && k->from.space == k->to.space && k->from.off == k->to.off) return HONE_OK;
    if (b->s->backward)
        u.dy = k->from, u.dx = k->to, u.acc = k->acc;
    else
        u.x = k->from, u.y = k->to;
    return added(b, hn_gpu_add(b, b->s->backward ? HN_KN_unary_back : HN_KN_unary, &u, sizeof u,
                               u.n, 4 * HN_BLOCK));
}

/* Forward or backward, one input; 0: nobody wants the gradient. */
static int describe(const struct hn_gpu_build *b, struct hn_k_augment *k)
{
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]);
    k->from = hn_gpu_ref(b, b->s->backward ? b->s->dy[0] : b->s->x[0]);
    k->to = hn_gpu_ref(b, b->s->backward ? b->s->dx[0] : b->s->y[0]);
    k->acc = b->s->backward && hn_gpu_acc(b, 0);
    k->still = b->e->plan->pass == HN_PASS_GRAD;
    k->rows = hn_gpu_dim(x->d[0]);
    k->cols = hn_gpu_span(x, 1, x->rank).fixed;
    k->strength = hn_gpu_trains(b->e->plan->pass) ? k->strength : 0;
    return !b->s->backward || hn_gpu_wants(b, 0);
}

hone_status hn_gpu_noise(struct hn_gpu_build *b)
{
    const struct hn_noise *t = b->op->attrs;
    struct hn_k_augment k = { .strength = t->std, .stream = t->stream };
    if (!describe(b, &k)) return HONE_OK;
    if (b->s->backward || !(k.strength > 0)) return pass_on(b, &k);
    const struct hn_k_dim elements = { k.rows.per_row * k.cols,
                                       (k.rows.fixed + 3) * k.cols }; /* 4 rows a thread */
    return added(b, hn_gpu_add(b, HN_KN_noise, &k, sizeof k, elements, 4 * HN_BLOCK));
}

hone_status hn_gpu_mixup(struct hn_gpu_build *b)
{
    const struct hn_mixup *t = b->op->attrs;
    struct hn_k_augment k = { .strength = t->alpha, .stream = HN_STREAM_AUGMENT };
    if (!describe(b, &k)) return HONE_OK;
    if (!(k.strength > 0)) return pass_on(b, &k);
    const struct hn_k_dim elements = { k.rows.per_row * k.cols, (k.rows.fixed + 1) * k.cols };
    return added(b, hn_gpu_add(b, HN_KN_mixup, &k, sizeof k, elements, 4 * HN_BLOCK));
}

hone_status hn_gpu_onehot(struct hn_gpu_build *b)
{
    const struct hn_onehot *t = b->op->attrs;
    const struct hn_shape *x = hn_gpu_shape(b, b->op->in[0]), *y = hn_gpu_shape(b, b->op->out[0]);
    struct hn_k_augment k = { .rows = hn_gpu_span(x, 0, x->rank), .cols = t->classes };
    if (b->s->backward) return HONE_OK;
    k.from = hn_gpu_ref(b, b->s->x[0]), k.to = hn_gpu_ref(b, b->s->y[0]);
    return added(
        b, hn_gpu_add(b, HN_KN_onehot, &k, sizeof k, hn_gpu_span(y, 0, y->rank), 4 * HN_BLOCK));
}
