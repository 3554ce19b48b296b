/* SPDX-License-Identifier: MIT
 *
 * Copies of a large layer's matrices in the form the library's quickest products want. math=bf16: bfloat16 numbers. math=tf32:
 * both operands of a weight gradient with the terms of a sum as neighbours, so transposed. The values themselves
 * stay float32 where they are; a copy lies in the slot's own memory behind the arena.
 *
 * A copy is made by the BatchNorm whose result it is, else by a launch before the first product of a step that reads it, and
 * serves all others of that step: input and weights forward and backward, the gradient in both products backward. It is found by
 * what it is, a value or a value's gradient, never by its place, which later values share. Nothing changes a value between its
 * first and its last reader, and a gradient is whole when the op that made the value reads it, so that a copy cannot be out of
 * date. Parameters are converted once a call of run, in front of its steps; from then on their copies follow the optimizer. To
 * transpose them for their products forward takes longer than those gain: that form is for weight gradients. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

enum { NEIGHBOURS = 8 }; /* a conversion takes so many at once; lines of a matrix are multiples */

static struct hn_gpu_node *convert(struct hn_gpu_build *b, struct hn_k_ref from,
                                   struct hn_k_dim lines, int64_t units, struct hn_k_ref to)
{
    struct hn_k_convert k = { .from = from, .to = to };
    k.n = (struct hn_k_dim){ lines.per_row * units, lines.fixed * units };
    return hn_gpu_add(b, HN_KN_convert, &k, sizeof k, k.n, NEIGHBOURS * HN_BLOCK);
}

static struct hn_gpu_node *transpose(struct hn_gpu_build *b, struct hn_k_ref from,
                                     struct hn_k_dim lines, int64_t units, struct hn_k_ref to)
{
    const struct hn_k_turn k = { .from = from, .to = to, .rows = lines, .cols = units };
    struct hn_gpu_node *n = hn_gpu_add(b, HN_KN_turn, &k, sizeof k, lines, HN_K_SIDE);
    if (n) n->y = hn_gpu_fixed(units), n->per_y = HN_K_SIDE;
    return n;
}

/* Room for the copy of a matrix. */
static struct hn_k_ref room(struct hn_gpu_build *b, struct hn_k_dim lines, int64_t units)
{
    const int bf16 = b->e->dev->o.form == HN_GPU_CONVERTED;
    const size_t n = (size_t)(hn_gpu_n(lines, b->e->plan->max_rows) * units);
    return (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(b, n * (bf16 ? 2 : b->e->dev->elem)) };
}

/* The number of the parameter that m is, whose copy follows the optimizer: in a call of run it is made once. -1: it is none. */
static int of_parameter(const struct hn_gpu_build *b, struct hn_k_ref at, int64_t n)
{
    if (at.space != HN_KS_W) return -1;
    for (int i = 0; i < b->p->n_params; i++) {
        const struct hn_param *q = &b->p->params[i];
        if (q->off * b->e->dev->elem == at.off && q->n == (size_t)n && !(q->flags & HN_PARAM_STATE))
            return i;
    }
    return -1;
}

/* The optimizer writes the copy, too. */
static void keep_up(struct hn_gpu_build *b, int parameter, struct hn_k_ref copy)
{
    const struct hn_param *q = &b->p->params[parameter];
    for (int i = 0; i < b->e->n_chunks; i++) {
        struct hn_k_chunk *c = &b->e->all_chunks[i];
        if (c->off >= q->off && c->off < q->off + q->n) c->copy = copy.off + 2 * (c->off - q->off);
    }
}

/* The copy of m, whose lines are as many as `lines`. */
static hone_status copied(struct hn_gpu_build *b, const struct hn_k_matrix *m,
                          struct hn_k_dim lines, struct hn_gpu_operand is, struct hn_k_ref *at)
{
    struct hn_k_ref *copy = &b->copies[2 * is.value + is.gradient];
    *at = *copy;
    if (copy->space != HN_KS_NONE) return HONE_OK;
    const int bf16 = b->e->dev->o.form == HN_GPU_CONVERTED,
              parameter = of_parameter(b, m->at, hn_gpu_n(lines, 0) * m->stride);
    if (parameter >= 0 && b->weights[parameter].space != HN_KS_NONE) { /* by another name */
        *at = *copy = b->weights[parameter];
        return HONE_OK;
    }
    *at = *copy = room(b, lines, m->stride);
    struct hn_gpu_node *node = (bf16 ? convert : transpose)(b, m->at, lines, m->stride, *copy);
    if (!node) return hn_nomem(b->err, "the execution plan", sizeof *node);
    if (parameter < 0) return HONE_OK;
    node->stage = HN_GPU_FRESH;
    b->weights[parameter] = *copy;
    keep_up(b, parameter, *copy);
    return HONE_OK;
}

hone_status hn_gpu_operands(struct hn_gpu_build *b, const struct hn_k_product *p,
                            const struct hn_gpu_operand is[2], struct hn_gpu_gemm *g,
                            struct hn_k_ref at[2])
{
    const int form = b->e->dev->o.form;
    /* where lines are no multiple of 16 bytes the library has no quick way, and the product is small: a model's last layer */
    if (form == HN_GPU_PLAIN || p->a.stride % NEIGHBOURS != 0 || p->b.stride % NEIGHBOURS != 0)
        return HONE_OK;
    if (form == HN_GPU_TRANSPOSED && !p->k.per_row) return HONE_OK; /* not a weight's gradient */
    if (form == HN_GPU_CONVERTED || !p->a.along)
        HN_TRY(copied(b, &p->a, p->a.along ? p->m : p->k, is[0], &at[0]));
    if (form == HN_GPU_CONVERTED || !p->b.along)
        HN_TRY(copied(b, &p->b, p->b.along ? p->n : p->k, is[1], &at[1]));
    if (form == HN_GPU_CONVERTED)
        g->bf16 = 1;
    else
        g->trans_a = 0, g->trans_b = 1;
    return HONE_OK;
}

/* Does a product of the library's in step s take a copy of it? */
static int is_taken(const struct hn_gpu_build *b, const struct hn_step *s, struct hn_gpu_operand is)
{
    const struct hn_op *op = &b->p->ops[s->op];
    const int converted = b->e->dev->o.form == HN_GPU_CONVERTED;
    if (strcmp(op->row->name, "dense") != 0 || !hn_gpu_by_library(b, s, NEIGHBOURS)) return 0;
    if (is.value != (is.gradient ? op->out[0] : op->in[0])) return 0;
    if (!s->backward) return converted && !is.gradient;
    return s->dx[1].space != HN_SP_NONE ||
           (converted && is.gradient && s->dx[0].space != HN_SP_NONE);
}

struct hn_k_ref hn_gpu_copy_wanted(struct hn_gpu_build *b, struct hn_gpu_operand is,
                                   struct hn_k_dim lines, int64_t units)
{
    const struct hn_plan *plan = b->e->plan;
    struct hn_k_ref *copy = &b->copies[2 * is.value + is.gradient];
    int taken = 0;
    for (int i = 0; i < plan->n_steps && b->e->dev->o.form != HN_GPU_PLAIN; i++)
        taken |= is_taken(b, &plan->steps[i], is);
    if (taken) *copy = room(b, lines, units);
    return *copy;
}
