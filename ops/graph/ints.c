/* SPDX-License-Identifier: MIT
 *
 * Shape arithmetic: small integer tensors whose elements are affine in N, per_row * N + fixed. A function here either
 * knows all elements of its output, or leaves it unknown: that is no error. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"

/* Integers of input i, or NULL; *st: HONE_E_NOMEM when memory ran out. */
static const struct hn_dim *ints_of(struct hn_infer *c, int i, int64_t *n, hone_status *st)
{
    int nomem = 0;
    const struct hn_dim *d = hn_in(c, i) >= 0 ? hn_value_ints(c->g, hn_in(c, i), n, &nomem) : NULL;
    if (nomem) *st = hn_nomem(c->err, "shape arithmetic", 0);
    return d;
}

static struct hn_dim *output(struct hn_infer *c, int64_t n)
{
    struct hn_dim *d = hn_infer_alloc(c, (size_t)n + 1, sizeof *d);
    if (!d) return NULL;
    c->g->facts->values[c->n->out[0]].ints = d;
    c->g->facts->values[c->n->out[0]].n_ints = n;
    return d;
}

hone_status hn_ints_shape(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    int64_t start = c->a->start < 0 ? c->a->start + x->rank : c->a->start;
    int64_t n = c->g->values[c->n->out[0]].shape.d[0].fixed;
    struct hn_dim *y = output(c, n);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < n; i++) y[i] = x->d[(start < 0 ? 0 : start) + i];
    return HONE_OK;
}

hone_status hn_ints_size(struct hn_infer *c)
{
    struct hn_dim n = hn_shape_count(hn_in_shape(c, 0)), *y = n.fixed < 0 ? NULL : output(c, 1);
    if (y) *y = n;
    return y || n.fixed < 0 ? HONE_OK : HONE_E_NOMEM;
}

hone_status hn_ints_copy(struct hn_infer *c)
{
    hone_status st = HONE_OK;
    int64_t n;
    const struct hn_dim *x = ints_of(c, 0, &n, &st);
    if (!x) return st;
    struct hn_dim *y = output(c, n);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
    return HONE_OK;
}

/* Only from a list: axis 0 of rank 1. */
hone_status hn_ints_gather(struct hn_infer *c)
{
    hone_status st = HONE_OK;
    int64_t n, m;
    const struct hn_dim *x = ints_of(c, 0, &n, &st), *at = x ? ints_of(c, 1, &m, &st) : NULL;
    if (!at || hn_in_shape(c, 0)->rank != 1) return st;
    struct hn_dim *y = output(c, m);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < m; i++) y[i] = x[at[i].fixed < 0 ? at[i].fixed + n : at[i].fixed];
    return HONE_OK;
}

hone_status hn_ints_concat(struct hn_infer *c)
{
    hone_status st = HONE_OK;
    int64_t n, total = c->g->values[c->n->out[0]].shape.d[0].fixed, at = 0;
    if (c->g->values[c->n->out[0]].shape.rank != 1) return HONE_OK;
    for (int i = 0; i < c->n->n_in; i++)
        if (!ints_of(c, i, &n, &st)) return st;
    struct hn_dim *y = output(c, total);
    if (!y) return HONE_E_NOMEM;
    for (int i = 0; i < c->n->n_in; i++) {
        const struct hn_dim *x = ints_of(c, i, &n, &st);
        for (int64_t k = 0; k < n && at < total; k++) y[at++] = x[k];
    }
    return HONE_OK;
}

static int mul(struct hn_dim a, struct hn_dim b, struct hn_dim *y)
{
    struct hn_dim v = a.per_row ? a : b, k = a.per_row ? b : a;
    return k.per_row == 0 && !__builtin_mul_overflow(v.per_row, k.fixed, &y->per_row) &&
           !__builtin_mul_overflow(v.fixed, k.fixed, &y->fixed);
}

/* Integer division as C has it; with N in it only where it is exact for every N, or where N cancels. */
static int quotient(struct hn_dim a, struct hn_dim b, struct hn_dim *y)
{
    if (b.per_row > 0 && b.fixed == 0 && a.fixed == 0 && a.per_row % b.per_row == 0)
        return *y = (struct hn_dim){ 0, a.per_row / b.per_row }, 1;
    if (b.per_row != 0 || b.fixed == 0 ||
        (b.fixed == -1 && (a.fixed == INT64_MIN || a.per_row == INT64_MIN)))
        return 0;
    if (a.per_row % b.fixed != 0 || (a.per_row != 0 && a.fixed % b.fixed != 0)) return 0;
    *y = (struct hn_dim){ a.per_row / b.fixed, a.fixed / b.fixed };
    return 1;
}

static int arith(int kind, struct hn_dim a, struct hn_dim b, struct hn_dim *y)
{
    switch (kind) {
    case HN_B_ADD:
        return !__builtin_add_overflow(a.per_row, b.per_row, &y->per_row) &&
               !__builtin_add_overflow(a.fixed, b.fixed, &y->fixed);
    case HN_B_SUB:
        return !__builtin_sub_overflow(a.per_row, b.per_row, &y->per_row) &&
               !__builtin_sub_overflow(a.fixed, b.fixed, &y->fixed);
    case HN_B_MUL: return mul(a, b, y);
    case HN_B_DIV: return quotient(a, b, y);
    default: return 0;
    }
}

/* The remainder has the divisor's sign, or, as C has it (fmod), the dividend's. */
static int remainder_of(int c_sign, struct hn_dim a, struct hn_dim b, struct hn_dim *y)
{
    if (a.per_row || b.per_row || b.fixed == 0 || b.fixed == -1) return 0;
    *y = (struct hn_dim){ 0, a.fixed % b.fixed };
    if (!c_sign && y->fixed && (y->fixed < 0) != (b.fixed < 0)) y->fixed += b.fixed;
    return 1;
}

/* Known for every N from 1 on: what grows with N from a positive number is never negative. */
static int same(int unused, struct hn_dim a, struct hn_dim b, struct hn_dim *y)
{
    (void)unused;
    if (a.per_row == b.per_row) return *y = (struct hn_dim){ 0, a.fixed == b.fixed }, 1;
    const struct hn_dim grows = a.per_row ? a : b, other = a.per_row ? b : a;
    if (other.per_row || grows.per_row < 0 || grows.fixed < 0 || other.fixed > 0) return 0;
    return *y = (struct hn_dim){ 0, 0 }, 1;
}

/* Lists of equal length, or one element against a list. */
static hone_status pairwise(struct hn_infer *c, int first,
                            int (*f)(int how, struct hn_dim a, struct hn_dim b, struct hn_dim *y),
                            int how)
{
    hone_status st = HONE_OK;
    int64_t n, m, total = 0;
    const struct hn_dim *a = ints_of(c, first, &n, &st),
                        *b = a ? ints_of(c, first + 1, &m, &st) : NULL;
    if (!b || (n != m && n != 1 && m != 1)) return st;
    total = n > m ? n : m;
    if (n == 0 || m == 0) total = 0;
    if (total != hn_shape_count(&c->g->values[c->n->out[0]].shape).fixed) return HONE_OK;
    struct hn_dim *y = hn_infer_alloc(c, (size_t)total + 1, sizeof *y);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < total; i++)
        if (!f(how, a[n == 1 ? 0 : i], b[m == 1 ? 0 : i], &y[i])) return HONE_OK;
    c->g->facts->values[c->n->out[0]].ints = y;
    c->g->facts->values[c->n->out[0]].n_ints = total;
    return HONE_OK;
}

hone_status hn_ints_arith(struct hn_infer *c) { return pairwise(c, 0, arith, c->row->kind); }

hone_status hn_ints_mod(struct hn_infer *c)
{
    return pairwise(c, 0, remainder_of, c->a->fmod != 0);
}

hone_status hn_ints_equal(struct hn_infer *c) { return pairwise(c, 0, same, 0); }

/* Of lists of one length */
hone_status hn_ints_where(struct hn_infer *c)
{
    hone_status st = HONE_OK;
    int64_t n[3];
    const struct hn_dim *in[3];
    const int64_t total = hn_shape_count(&c->g->values[c->n->out[0]].shape).fixed;
    for (int i = 0; i < 3; i++) {
        in[i] = ints_of(c, i, &n[i], &st);
        if (!in[i] || (n[i] != total && n[i] != 1)) return st;
    }
    struct hn_dim *y = output(c, total);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < total; i++) {
        const int k = in[0][n[0] == 1 ? 0 : i].fixed ? 1 : 2;
        y[i] = in[k][n[k] == 1 ? 0 : i];
    }
    return HONE_OK;
}

/* Of a whole list */
hone_status hn_ints_product(struct hn_infer *c)
{
    hone_status st = HONE_OK;
    int64_t n;
    const struct hn_dim *x = ints_of(c, 0, &n, &st);
    struct hn_dim all = { 0, 1 };
    if (!x || hn_shape_count(&c->g->values[c->n->out[0]].shape).fixed != 1) return st;
    for (int64_t i = 0; i < n; i++)
        if (!mul(all, x[i], &all)) return HONE_OK;
    struct hn_dim *y = output(c, 1);
    if (!y) return HONE_E_NOMEM;
    *y = all;
    return HONE_OK;
}

hone_status hn_ints_fill(struct hn_infer *c)
{
    const struct hn_value_fact *f = &c->g->facts->values[c->n->out[0]];
    int64_t n = hn_shape_count(&c->g->values[c->n->out[0]].shape).fixed;
    struct hn_dim *y = output(c, n);
    if (!y) return HONE_E_NOMEM;
    for (int64_t i = 0; i < n; i++) y[i] = (struct hn_dim){ 0, (int64_t)f->splat_value };
    return HONE_OK;
}
