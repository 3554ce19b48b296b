/* SPDX-License-Identifier: MIT
 *
 * General stacks of matrices with broadcasting, one thread a result; rare in what is trained here, so written to be right.
 *     y[p,i,j] = alpha sum_k a[p,i,k] b[p,k,j]
 *     da[q,i,k] (+)= alpha sum over p at q and j of dy[p,i,j] b[p,k,j]     db[q,k,j] (+)= alpha sum of a[p,i,k] dy[p,i,j] */
#include "gpu/kernel.h"

struct size {
    int64_t m, n, k;
};

HN_DEVICE real at_a(const struct hn_k_matmul *a, const struct size *z, const real *v, int64_t p,
                    int64_t i, int64_t k)
{
    return v[p * z->m * z->k + (a->trans_a ? k * z->m + i : i * z->k + k)];
}
HN_DEVICE real at_b(const struct hn_k_matmul *a, const struct size *z, const real *v, int64_t p,
                    int64_t k, int64_t j)
{
    return v[p * z->k * z->n + (a->trans_b ? j * z->k + k : k * z->n + j)];
}

HN_KERNEL(matmul, hn_k_matmul)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *u = hn_at(&a.env, a.a, HN_Z), *v = hn_at(&a.env, a.b, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const struct size z = { hn_n(a.m, s->rows), hn_n(a.n, s->rows), hn_n(a.k, s->rows) };
    const int64_t n = hn_count(&a.stack, s->rows) * z.m * z.n;
    HN_EACH(t)
    for (int64_t e = HN_FIRST(t); e < n; e += HN_STRIDE) {
        int64_t j = e % z.n, i = e / z.n % z.m, p = e / z.n / z.m;
        int64_t pa = hn_broadcast(&a.stack, &a.sa, s->rows, p),
                pb = hn_broadcast(&a.stack, &a.sb, s->rows, p);
        real sum = 0;
        for (int64_t k = 0; k < z.k; k++)
            sum += at_a(&a, &z, u, pa, i, k) * at_b(&a, &z, v, pb, k, j);
        y[e] = (real)a.alpha * sum;
    }
}

HN_KERNEL(matmul_back, hn_k_matmul)
{
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const int left = a.which == 0;
    const real *o = hn_at(&a.env, left ? a.b : a.a, HN_Z), *dy = hn_at(&a.env, a.y, HN_Z);
    real *d = hn_at(&a.env, a.d, HN_Z);
    const struct size z = { hn_n(a.m, s->rows), hn_n(a.n, s->rows), hn_n(a.k, s->rows) };
    const struct hn_k_dims *mine = left ? &a.sa : &a.sb, *other = left ? &a.sb : &a.sa;
    const struct hn_k_fold f = hn_fold(&a.stack, mine, s->rows);
    const int64_t rows = left ? z.m : z.k, cols = left ? z.k : z.n, n = f.kept * rows * cols;
    const int swap = left ? a.trans_a : a.trans_b;
    HN_EACH(t)
    for (int64_t e = HN_FIRST(t); e < n; e += HN_STRIDE) {
        int64_t q = e / rows / cols, r = e / cols % rows, c = e % cols;
        real sum = 0;
        for (int64_t g = 0; g < f.folded; g++) {
            int64_t p = hn_unfold(&a.stack, mine, s->rows, q, g),
                    po = hn_broadcast(&a.stack, other, s->rows, p);
            const real *dyp = dy + p * z.m * z.n;
            if (left) /* r = i, c = k */
                for (int64_t j = 0; j < z.n; j++)
                    sum += dyp[r * z.n + j] * at_b(&a, &z, o, po, c, j);
            else /* r = k, c = j */
                for (int64_t i = 0; i < z.m; i++)
                    sum += dyp[i * z.n + c] * at_a(&a, &z, o, po, i, r);
        }
        int64_t at = q * rows * cols + (swap ? c * rows + r : r * cols + c);
        d[at] = (a.acc ? d[at] : 0) + (real)a.alpha * sum;
    }
}
