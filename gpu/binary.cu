/* SPDX-License-Identifier: MIT
 *
 * Two operands with numpy broadcasting. The gradient of a broadcast operand is a sum over the result's elements that line up
 * with it: one block an element, strided, then a tree.
 *     y[i] = a[…] op b[…]        d[q] (+)= sum over i that line up with q of dy[i] * slope(a, b) */
#include "gpu/kernel.h"

/* enum hn_binary_kind */
enum { ADD, SUB, MUL, DIV, MAX, MIN, POW, GREATER, NOT_LESS, EQUAL, KEEP };

HN_DEVICE real value(int kind, real a, real b)
{
    switch (kind) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case MAX: return a > b || a != a ? a : b;
    case MIN: return a < b || a != a ? a : b;
    case GREATER: return a > b ? 1 : 0;
    case NOT_LESS: return a >= b ? 1 : 0;
    case EQUAL: return a == b ? 1 : 0;
    case KEEP: return b != 0 ? a : 0;
    default: return HN_FN(pow)(a, b);
    }
}
HN_DEVICE real or_zero(real y) { return y == y ? y : 0; } /* a power that is NaN has no slope */
HN_DEVICE real power_slope_b(real a, real b)
{
    real y = HN_FN(pow)(a, b);
    return (a == 0 && b >= 0) || y != y ? 0 : y * HN_FN(log)(a);
}
HN_DEVICE real slope_a(int kind, real a, real b)
{
    switch (kind) {
    case ADD:
    case SUB: return 1;
    case MUL: return b;
    case DIV: return 1 / b;
    case MAX: return a == b ? (real)0.5 : a > b || a != a ? 1 : 0;
    case MIN: return a == b ? (real)0.5 : a < b || a != a ? 1 : 0;
    case GREATER:
    case NOT_LESS:
    case EQUAL: return 0;
    case KEEP: return b != 0 ? 1 : 0;
    default: return b == 0 ? 0 : b * or_zero(HN_FN(pow)(a, b - 1));
    }
}
HN_DEVICE real slope_b(int kind, real a, real b)
{
    switch (kind) {
    case ADD: return 1;
    case SUB: return -1;
    case MUL: return a;
    case DIV: return -a / (b * b);
    case MAX: return a == b ? (real)0.5 : a > b || a != a ? 0 : 1;
    case MIN: return a == b ? (real)0.5 : a < b || a != a ? 0 : 1;
    case GREATER:
    case NOT_LESS:
    case EQUAL:
    case KEEP: return 0;
    default: return power_slope_b(a, b);
    }
}

HN_KERNEL(binary, hn_k_binary)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *u = hn_at(&a.env, a.a, HN_Z), *v = hn_at(&a.env, a.b, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t n = hn_count(&a.ya, s->rows);
    HN_EACH(t)
    for (int64_t i = HN_FIRST(t); i < n; i += HN_STRIDE) {
        int64_t iu = a.same ? i : hn_broadcast(&a.ya, &a.da, s->rows, i);
        int64_t iv = a.same ? i : hn_broadcast(&a.ya, &a.db, s->rows, i);
        y[i] = value(a.kind, u[iu], v[iv]);
    }
}

/* dy at element i times the slope there; values that a kind's slope does not need are not there */
HN_DEVICE real part(const struct hn_k_binary *k, const real *u, const real *v, const real *dy,
                    int64_t rows, int64_t i)
{
    real vu = u ? u[k->same ? i : hn_broadcast(&k->ya, &k->da, rows, i)] : 0;
    real vv = v ? v[k->same ? i : hn_broadcast(&k->ya, &k->db, rows, i)] : 0;
    return dy[i] * (k->which == 0 ? slope_a(k->kind, vu, vv) : slope_b(k->kind, vu, vv));
}

HN_KERNEL(binary_back, hn_k_binary)
{
    HN_SHARED double sum[HN_BLOCK];
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *u = hn_at(&a.env, a.a, HN_Z), *v = hn_at(&a.env, a.b, HN_Z),
               *dy = hn_at(&a.env, a.y, HN_Z);
    real *d = hn_at(&a.env, a.d, HN_Z);
    const struct hn_k_dims *in = a.which == 0 ? &a.da : &a.db;
    const struct hn_k_fold f = hn_fold(&a.ya, in, s->rows);
    if (f.folded == 1) {
        HN_EACH(t)
        for (int64_t i = HN_FIRST(t); i < f.kept; i += HN_STRIDE) {
            real g = part(&a, u, v, dy, s->rows, i);
            d[i] = a.acc ? d[i] + g : g;
        }
        return;
    }
    for (int64_t q = HN_X; q < f.kept; q += HN_NX) {
        HN_EACH(t)
        {
            double g = 0;
            for (int64_t p = t; p < f.folded; p += HN_BLOCK)
                g += (double)part(&a, u, v, dy, s->rows, hn_unfold(&a.ya, in, s->rows, q, p));
            sum[t] = g;
        }
        HN_TREE(sum, HN_BLOCK);
        HN_EACH(t) if (t == 0) d[q] = (real)((a.acc ? (double)d[q] : 0) + sum[0]);
    }
}
