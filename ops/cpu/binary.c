/* SPDX-License-Identifier: MIT
 *
 * Binary: y = a op b with numpy broadcasting. Dims that run together in y and both operands are merged first, so that
 * operands of one shape are a single loop and a row vector is a loop of rows. Gradients of an operand that does not vary
 * with the batch are summed in double; ties of max and min share the gradient evenly. */
#include "ops/cpu/isa.h"
#include "ops/cpu/vmath.h"
#include <math.h>
#include <string.h>

struct
    walk { /* y's dims, merged, with the strides of both operands (0 where broadcast); the last dim is the inner loop */
    int rank;
    int64_t d[HN_MAX_RANK], s[2][HN_MAX_RANK];
};

static void walk_start(struct walk *w, const struct hn_call *c)
{
    const struct hn_extent *y = &c->ys[0];
    int64_t s[2][HN_MAX_RANK];
    for (int o = 0; o < 2; o++) {
        const struct hn_extent *x = &c->xs[o];
        int64_t stride = 1;
        for (int k = y->rank - 1, j = x->rank - 1; k >= 0; k--, j--) {
            s[o][k] = j < 0 || x->d[j] == 1 ? 0 : stride;
            if (j >= 0) stride *= x->d[j];
        }
    }
    w->rank = 0;
    for (int k = 0; k < y->rank; k++) {
        int p = w->rank - 1;
        if (y->d[k] == 1) continue;
        if (p >= 0 && w->s[0][p] == s[0][k] * y->d[k] && w->s[1][p] == s[1][k] * y->d[k]) {
            w->d[p] *= y->d[k];
        } else {
            w->d[p = w->rank++] = y->d[k];
        }
        w->s[0][p] = s[0][k], w->s[1][p] = s[1][k];
    }
    if (w->rank == 0) w->d[0] = 1, w->s[0][0] = w->s[1][0] = 0, w->rank = 1;
}

/* Calls inner for every run of the last dim: offsets into y and both operands. */
static void walk_runs(const struct walk *w,
                      void (*inner)(void *user, int64_t y, int64_t a, int64_t b), void *user)
{
    int64_t at[HN_MAX_RANK] = { 0 }, runs = 1, n = w->d[w->rank - 1], a = 0, b = 0;
    for (int k = 0; k + 1 < w->rank; k++) runs *= w->d[k];
    for (int64_t r = 0; r < runs; r++) {
        inner(user, r * n, a, b);
        for (int k = w->rank - 2; k >= 0; k--) {
            a += w->s[0][k], b += w->s[1][k];
            if (++at[k] < w->d[k]) break;
            a -= w->s[0][k] * w->d[k], b -= w->s[1][k] * w->d[k];
            at[k] = 0;
        }
    }
}

struct forward {
    enum hn_binary_kind kind;
    const float *a, *b;
    float *y;
    int64_t n, sa, sb;
};

static inline float largest(float a, float b) { return a > b || a != a ? a : b; }
static inline float smallest(float a, float b) { return a < b || a != a ? a : b; }

/* Steps of 0 and 1 are constants in their own loops, so that they become vector code. */
#define STEPS(expr)                                                                                \
    if (sa == 1 && sb == 1) {                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                          \
            float u = a[i], v = b[i];                                                              \
            y[i] = expr;                                                                           \
        }                                                                                          \
    } else if (sa == 1 && sb == 0) {                                                               \
        const float v = b[0];                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                          \
            float u = a[i];                                                                        \
            y[i] = expr;                                                                           \
        }                                                                                          \
    } else {                                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                          \
            float u = a[i * sa], v = b[i * sb];                                                    \
            y[i] = expr;                                                                           \
        }                                                                                          \
    }                                                                                              \
    break

static void forward_run(void *user, int64_t oy, int64_t oa, int64_t ob)
{
    const struct forward *f = user;
    const float *a = f->a + oa, *b = f->b + ob;
    float *y = f->y + oy;
    const int64_t n = f->n, sa = f->sa, sb = f->sb;
    switch (f->kind) {
    case HN_B_ADD: STEPS(u + v);
    case HN_B_SUB: STEPS(u - v);
    case HN_B_MUL: STEPS(u * v);
    case HN_B_DIV: STEPS(u / v);
    case HN_B_MAX: STEPS(largest(u, v));
    case HN_B_MIN: STEPS(smallest(u, v));
    case HN_B_GREATER: STEPS(u > v ? 1.0f : 0.0f);
    case HN_B_NOT_LESS: STEPS(u >= v ? 1.0f : 0.0f);
    case HN_B_EQUAL: STEPS(u == v ? 1.0f : 0.0f);
    case HN_B_KEEP: STEPS(v != 0.0f ? u : 0.0f);
    default:
        for (int64_t i = 0; i < n; i++) y[i] = powf(a[i * sa], b[i * sb]);
    }
}
#undef STEPS

static void binary_forward(const struct hn_cpu_call *k)
{
    const struct hn_call *c = &k->c;
    const struct hn_binary *attrs = c->op->attrs;
    struct walk w;
    walk_start(&w, c);
    int l = w.rank - 1;
    struct forward f = { attrs->kind, c->x[0], c->x[1], c->y[0], w.d[l], w.s[0][l], w.s[1][l] };
    if (hn_extent_numel(&c->ys[0]) > 0) walk_runs(&w, forward_run, &f);
}

static float pow_slope(int which, float a, float b)
{
    const float y = powf(a, which == 0 ? b - 1.0f : b);
    if (y != y) return 0.0f;
    if (which == 0) return b == 0 ? 0.0f : b * y;
    return a == 0 && b >= 0 ? 0.0f : y * logf(a);
}

static inline float slope(enum hn_binary_kind kind, int which, float a, float b)
{
    float first = which == 0 ? 1.0f : 0.0f;
    switch (kind) {
    case HN_B_ADD: return 1.0f;
    case HN_B_SUB: return which == 0 ? 1.0f : -1.0f;
    case HN_B_MUL: return which == 0 ? b : a;
    case HN_B_DIV: return which == 0 ? 1.0f / b : -a / (b * b);
    case HN_B_MAX: return a == b ? 0.5f : a > b || a != a ? first : 1.0f - first;
    case HN_B_MIN: return a == b ? 0.5f : a < b || a != a ? first : 1.0f - first;
    case HN_B_GREATER:
    case HN_B_NOT_LESS:
    case HN_B_EQUAL: return 0.0f;
    case HN_B_KEEP: return b != 0.0f ? first : 0.0f;
    default: return pow_slope(which, a, b);
    }
}

struct backward {
    enum hn_binary_kind kind;
    int which;
    const float *a, *b, *dy;
    float *d;    /* gradient of a batched operand, already cleared where it is summed ... */
    double *sum; /* ... or sums of a fixed one */
    int64_t n, sa, sb, sd;
    int set; /* d has y's shape and is overwritten */
};

static inline __attribute__((always_inline)) void fixed_run(enum hn_binary_kind kind,
                                                            const struct backward *w,
                                                            const float *dy, int64_t oa, int64_t ob)
{
    double *sum = w->sum + (w->which == 0 ? oa : ob);
    const float *a = w->a ? w->a + oa : NULL, *b = w->b ? w->b + ob : NULL;
    const int64_t sa = a ? w->sa : 0, sb = b ? w->sb : 0;
    const float zero = 0;
    if (!a) a = &zero;
    if (!b) b = &zero;
    if (w->sd == 1) {
        for (int64_t i = 0; i < w->n; i++)
            sum[i] += (double)(dy[i] * slope(kind, w->which, a[i * sa], b[i * sb]));
        return;
    }
    double s = 0;
    for (int64_t i = 0; i < w->n; i++)
        s += (double)(dy[i] * slope(kind, w->which, a[i * sa], b[i * sb]));
    sum[0] += s;
}

/* kind and which are constants where it is inlined, and steps of 0 and 1 too, so that it becomes vector code. */
static inline __attribute__((always_inline)) void slopes(enum hn_binary_kind kind, int which,
                                                         const struct backward *w, const float *dy,
                                                         float *d, const float *a, const float *b)
{
    const int64_t n = w->n, sa = w->a ? w->sa : 0, sb = w->b ? w->sb : 0, sd = w->sd;
    if (w->set && sa == 1 && sb == 1)
        for (int64_t i = 0; i < n; i++) d[i] = dy[i] * slope(kind, which, a[i], b[i]);
    else if (w->set && sa == 1 && sb == 0)
        for (int64_t i = 0; i < n; i++) d[i] = dy[i] * slope(kind, which, a[i], b[0]);
    else if (w->set)
        for (int64_t i = 0; i < n; i++) d[i] = dy[i] * slope(kind, which, a[i * sa], b[i * sb]);
    else
        for (int64_t i = 0; i < n; i++)
            d[i * sd] += dy[i] * slope(kind, which, a[i * sa], b[i * sb]);
}

static void backward_run(void *user, int64_t oy, int64_t oa, int64_t ob)
{
    const struct backward *w = user;
    const float *dy = w->dy + oy, zero = 0;
    const enum hn_binary_kind kind = w->kind;
    if (w->sum) {
        switch (kind) {
        case HN_B_ADD: fixed_run(HN_B_ADD, w, dy, oa, ob); break;
        case HN_B_SUB: fixed_run(HN_B_SUB, w, dy, oa, ob); break;
        case HN_B_MUL: fixed_run(HN_B_MUL, w, dy, oa, ob); break;
        case HN_B_DIV: fixed_run(HN_B_DIV, w, dy, oa, ob); break;
        default: fixed_run(kind, w, dy, oa, ob);
        }
        return;
    }
    float *d = w->d + (w->which == 0 ? oa : ob);
    const float *a = w->a ? w->a + oa : &zero, *b = w->b ? w->b + ob : &zero;
    if (kind == HN_B_ADD && w->set) {
        if (d != dy) memcpy(d, dy, (size_t)w->n * sizeof *d);
    } else if (kind == HN_B_ADD && w->sd == 1) {
        for (int64_t i = 0; i < w->n; i++) d[i] += dy[i];
    } else if (kind == HN_B_MUL) {
        w->which == 0 ? slopes(HN_B_MUL, 0, w, dy, d, a, b) : slopes(HN_B_MUL, 1, w, dy, d, a, b);
    } else if (kind == HN_B_DIV) {
        w->which == 0 ? slopes(HN_B_DIV, 0, w, dy, d, a, b) : slopes(HN_B_DIV, 1, w, dy, d, a, b);
    } else if (kind == HN_B_SUB) {
        w->which == 0 ? slopes(HN_B_SUB, 0, w, dy, d, a, b) : slopes(HN_B_SUB, 1, w, dy, d, a, b);
    } else {
        slopes(kind, w->which, w, dy, d, a, b);
    }
}

static void backward_to(const struct hn_cpu_call *k, int which, int fixed)
{
    const struct hn_call *c = &k->c;
    const struct hn_binary *attrs = c->op->attrs;
    int64_t numel = hn_extent_numel(&c->xs[which]);
    int add = (int)(c->acc >> which & 1), same = numel == hn_extent_numel(&c->ys[0]);
    float *d = c->dx[which];
    struct walk w;
    if (!d) return;
    walk_start(&w, c);
    int l = w.rank - 1;
    fixed &= !same; /* else there is nothing to sum */
    struct backward b = { attrs->kind, which,  c->x[0],   c->x[1],   c->dy[0],      d,
                          NULL,        w.d[l], w.s[0][l], w.s[1][l], w.s[which][l], 0 };
    if (fixed) {
        b.sum = k->scratch;
        memset(b.sum, 0, (size_t)numel * sizeof *b.sum);
    } else if (same && !add) {
        b.set = 1;
    } else if (!add) {
        memset(d, 0, (size_t)numel * sizeof *d);
    }
    if (hn_extent_numel(&c->ys[0]) > 0) walk_runs(&w, backward_run, &b);
    for (int64_t i = 0; fixed && i < numel; i++) d[i] = (float)b.sum[i] + (add ? d[i] : 0.0f);
}

/* The operands' kinds are fixed by the shapes in the program; in a call they are told apart by the late mask. */
static unsigned late_mask(const struct hn_cpu_use *u)
{
    return (hn_cpu_fixed(&u->xs[0]) ? 1u : 0u) | (hn_cpu_fixed(&u->xs[1]) ? 2u : 0u);
}

static int is_local(const struct hn_cpu_use *u)
{
    if (!hn_cpu_batched(&u->ys[0])) return 0;
    for (int i = 0; i < 2; i++)
        if (!hn_cpu_fixed(&u->xs[i]) &&
            (!hn_cpu_batched(&u->xs[i]) || u->xs[i].rank != u->ys[0].rank))
            return 0;
    return 1;
}

/* Which operands the slopes are of. */
static uint8_t operands(enum hn_binary_kind kind)
{
    switch (kind) {
    case HN_B_ADD:
    case HN_B_SUB:
    case HN_B_GREATER:
    case HN_B_NOT_LESS:
    case HN_B_EQUAL: return 0;
    case HN_B_KEEP: return 2;
    default: return 3;
    }
}

static void binary_need(const struct hn_cpu_use *u, struct hn_cpu_need *n)
{
    const struct hn_binary *a = u->op->attrs;
    struct hn_dim nx = hn_shape_count(&u->xs[0]), ny = hn_shape_count(&u->ys[0]);
    size_t widest = 0;
    n->local = (uint8_t)is_local(u);
    n->inplace = nx.per_row == ny.per_row && nx.fixed == ny.fixed ? 3 : 0;
    n->main_x = n->late_x = operands(a->kind);
    n->late = late_mask(u);
    for (int i = 0; i < 2; i++)
        if (n->late >> i & 1 && hn_cpu_width(&u->xs[i]) > widest) widest = hn_cpu_width(&u->xs[i]);
    n->scratch = widest * sizeof(double);
    n->cost = 4.0 * (double)hn_cpu_width(&u->ys[0]);
}

/* b before a, since da may lie where dy lies; but a before b where both are one buffer, the second adding to the first. */
static void binary_backward(const struct hn_cpu_call *k)
{
    int tied = k->c.dx[0] == k->c.dx[1];
    if (tied) backward_to(k, 0, 0);
    backward_to(k, 1, 0);
    if (!tied) backward_to(k, 0, 0);
}

static void binary_late(const struct hn_cpu_call *k)
{
    backward_to(k, 0, 1);
    backward_to(k, 1, 1);
}

const struct hn_cpu_op HN_ISA_NAME(hn_cpu_binary) = {
    .row = &hn_op_binary,
    .need = binary_need,
    .forward = { .main = binary_forward },
    .backward = { .main = binary_backward, .late = binary_late },
};
