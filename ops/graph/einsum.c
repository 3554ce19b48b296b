/* SPDX-License-Identifier: MIT
 *
 * Einsum of one or two operands, as matrix products: "bgi,gio->bgo" has g in a batch of products, b beside the left
 * one's rows, o beside the right one's columns, and sums over i. Each operand is brought into the order (batch, own,
 * summed) by a transpose, taken as a stack of matrices by a view, and the product is put in the order asked for. What
 * only one operand has and the result has not is summed before. Letters alone: no "...", none twice in one operand. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

struct term { /* the letters of an operand or of the result, in order */
    char at[HN_MAX_RANK + 1];
    int n;
};
struct sum {
    struct term in[2], out;
    int n_in, of[2]; /* of: which of the node's inputs */
};

static int has(const struct term *t, char c) { return memchr(t->at, c, (size_t)t->n) != NULL; }

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int add(struct term *t, char c)
{
    if (t->n >= HN_MAX_RANK || has(t, c)) return 0;
    t->at[t->n++] = c;
    return 1;
}

/* "ab,bc->ac"; without an arrow the result has the letters that occur once, in alphabetical order. 0: another form. */
static int parse(const char *text, struct sum *s)
{
    int count[128] = { 0 }, arrow = 0;
    struct term *t = &s->in[0];
    *s = (struct sum){ .n_in = 1, .of = { 0, 1 } };
    for (const char *p = text ? text : ""; *p; p++) {
        if (*p == ' ') continue;
        if (*p == ',' && !arrow && s->n_in < 2) {
            t = &s->in[s->n_in++];
        } else if (p[0] == '-' && p[1] == '>' && !arrow) {
            arrow = 1, t = &s->out, p++;
        } else if (is_letter(*p) && add(t, *p)) {
            if (!arrow) count[(unsigned char)*p]++;
        } else {
            return 0;
        }
    }
    for (int c = 'A'; c <= 'z' && !arrow; c++)
        if (count[c] == 1 && !add(&s->out, (char)c)) return 0;
    for (int i = 0; i < s->out.n; i++)
        if (!count[(unsigned char)s->out.at[i]]) return 0;
    return text != NULL;
}

int hn_einsum_flip(const struct hn_onnx_attrs *a, int k)
{
    struct sum s;
    if (!parse(a->equation, &s) || k >= s.n_in || s.in[k].n < 1) return 0;
    return !has(&s.out, s.in[k].at[s.in[k].n - 1]);
}

hone_status hn_infer_einsum(struct hn_infer *c)
{
    struct sum s;
    struct hn_dim dims[128];
    uint8_t seen[128] = { 0 };
    struct hn_shape y;
    if (!parse(c->a->equation, &s) || s.n_in != c->n->n_in)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "Einsum '%s' of %d inputs: wanted one or two, each letter once in each",
                       c->a->equation ? c->a->equation : "", c->n->n_in);
    HN_TRY(hn_same_types(c, 0));
    for (int i = 0; i < s.n_in; i++) {
        const struct hn_shape *x = hn_in_shape(c, i);
        if (x->rank != s.in[i].n)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "Einsum: input %d has %d dims, not %d",
                           i, x->rank, s.in[i].n);
        for (int k = 0; k < x->rank; k++) {
            const unsigned char at = (unsigned char)s.in[i].at[k];
            if (seen[at] && !hn_same_dim(dims[at], x->d[k]))
                return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                               "Einsum: the dims of '%c' differ", at);
            if (x->d[k].per_row && !has(&s.out, (char)at))
                return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                               "Einsum: a sum over the batch dim");
            seen[at] = 1, dims[at] = x->d[k];
        }
    }
    y.rank = s.out.n;
    for (int k = 0; k < y.rank; k++) y.d[k] = dims[(unsigned char)s.out.at[k]];
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

/* Sums x over its letters that neither the other operand nor the result has. */
static hone_status sum_own(struct hn_lowering *l, const struct sum *s, struct term *t,
                           const struct term *other, int32_t *x)
{
    struct hn_reduce attrs = { HN_R_SUM, 0, 0 };
    struct term left = { .n = 0 };
    for (int k = 0; k < t->n; k++) {
        if (has(&s->out, t->at[k]) || (other && has(other, t->at[k])))
            left.at[left.n++] = t->at[k];
        else
            attrs.mask |= 1u << k;
    }
    *t = left;
    return attrs.mask ? hn_l_op(l, &hn_op_reduce, &attrs, x, 1, x) : HONE_OK;
}

/* x, whose dims are t's letters, in the order of `to`. */
static hone_status reorder(struct hn_lowering *l, const struct term *t, const struct term *to,
                           int32_t *x)
{
    struct hn_transpose attrs = { { 0 } };
    int same = 1;
    for (int k = 0; k < to->n; k++) {
        attrs.perm[k] = (int)((const char *)memchr(t->at, to->at[k], (size_t)t->n) - t->at);
        same &= attrs.perm[k] == k;
    }
    return same ? HONE_OK : hn_l_op(l, &hn_op_transpose, &attrs, x, 1, x);
}

/* The letters in both operands: kept (a batch of products) or summed. */
static void shared(const struct sum *s, int kept, struct term *t)
{
    for (int k = 0; k < s->in[0].n; k++) {
        const char c = s->in[0].at[k];
        if (has(&s->in[1], c) && has(&s->out, c) == kept) t->at[t->n++] = c;
    }
}

static void append(struct term *t, const struct term *more)
{
    for (int k = 0; k < more->n; k++) t->at[t->n++] = more->at[k];
}

/* The letters of operand i alone. */
static void own(const struct sum *s, int i, struct term *t)
{
    for (int k = 0; k < s->in[i].n; k++)
        if (!has(&s->in[1 - i], s->in[i].at[k])) t->at[t->n++] = s->in[i].at[k];
}

/* x as a stack of matrices: the first `batch` dims, then the next n_rows of them as one, the rest as one. */
static hone_status stack(struct hn_lowering *l, int batch, int n_rows, int32_t *x)
{
    const struct hn_shape from = l->values[*x].shape;
    struct hn_shape part[2] = { { 0 }, { 0 } }, to = { .rank = batch + 2 };
    for (int k = 0; k < batch; k++) to.d[k] = from.d[k];
    for (int k = batch; k < from.rank; k++) {
        struct hn_shape *p = &part[k >= batch + n_rows];
        p->d[p->rank++] = from.d[k];
    }
    to.d[batch] = hn_shape_count(&part[0]);
    to.d[batch + 1] = hn_shape_count(&part[1]);
    return hn_same_shape(&from, &to) ? HONE_OK : hn_l_view(l, *x, &to, x);
}

/* x times a matrix of weights as it lies in the file: a Dense. *y -1: it is none. */
static hone_status as_dense(struct hn_lowering *l, int32_t x, int32_t weight, const struct sum *s,
                            const struct term *mine, const struct term *summed, int32_t *y)
{
    const struct term *w = &s->in[1];
    int32_t in[2] = { x, -1 };
    int trans;
    if (!l->g->values[weight].constant || l->g->values[weight].shape.rank != 2 || w->n != 2 ||
        summed->n != 1 || mine->n < 1)
        return HONE_OK;
    struct term order = *mine;
    append(&order, summed);
    HN_TRY(reorder(l, &s->in[0], &order, &in[0]));
    HN_TRY(hn_l_weight(l, weight, &in[1], &trans));
    const struct hn_dense attrs = { 1, 1, (w->at[1] == summed->at[0]) ^ trans };
    return hn_l_op(l, &hn_op_dense, &attrs, in, 2, y);
}

static hone_status product(struct hn_lowering *l, const struct hn_node *n, struct sum *s,
                           int32_t *y)
{
    struct term batch = { .n = 0 }, summed = { .n = 0 }, mine = { .n = 0 }, theirs = { .n = 0 };
    int32_t in[2];
    *y = -1;
    if (l->g->values[n->in[0]].constant && !l->g->values[n->in[1]].constant) { /* weights first */
        const struct term left = s->in[0];
        s->in[0] = s->in[1], s->in[1] = left;
        s->of[0] = 1, s->of[1] = 0;
    }
    for (int i = 0; i < 2; i++) HN_TRY(hn_l_value(l, n->in[s->of[i]], &in[i]));
    for (int i = 0; i < 2; i++) HN_TRY(sum_own(l, s, &s->in[i], &s->in[1 - i], &in[i]));
    shared(s, 1, &batch), shared(s, 0, &summed);
    own(s, 0, &mine), own(s, 1, &theirs);
    struct term done = batch, a = batch, b = batch;
    append(&done, &mine), append(&done, &theirs);
    if (batch.n == 0 && theirs.n == 1)
        HN_TRY(as_dense(l, in[0], n->in[s->of[1]], s, &mine, &summed, y));
    if (*y < 0) {
        append(&a, &mine), append(&a, &summed);
        append(&b, &summed), append(&b, &theirs);
        HN_TRY(reorder(l, &s->in[0], &a, &in[0]));
        HN_TRY(stack(l, batch.n, mine.n, &in[0]));
        HN_TRY(reorder(l, &s->in[1], &b, &in[1]));
        HN_TRY(stack(l, batch.n, summed.n, &in[1]));
        HN_TRY(hn_l_op(l, &hn_op_matmul, &(struct hn_matmul){ 1, 0, 0 }, in, 2, y));
    }
    struct hn_shape parts = { .rank = done.n };
    for (int k = 0; k < done.n; k++)
        for (int i = 0; i < s->out.n; i++)
            if (s->out.at[i] == done.at[k]) parts.d[k] = l->g->values[n->out[0]].shape.d[i];
    if (!hn_same_shape(&l->values[*y].shape, &parts)) HN_TRY(hn_l_view(l, *y, &parts, y));
    return reorder(l, &done, &s->out, y);
}

hone_status hn_lower_einsum(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    struct sum s;
    int32_t y;
    if (!parse(a->equation, &s)) return hn_fail(l->err, HONE_E_INTERNAL, n->name, "Einsum");
    if (s.n_in == 2) {
        HN_TRY(product(l, n, &s, &y));
    } else {
        HN_TRY(hn_l_value(l, n->in[0], &y));
        HN_TRY(sum_own(l, &s, &s.in[0], NULL, &y));
        HN_TRY(reorder(l, &s.in[0], &s.out, &y));
    }
    return hn_l_bind(l, n->out[0], y);
}
