/* SPDX-License-Identifier: MIT
 *
 * BatchNorm for blocks of 4 * NEIGHBOURS channels, kernels FORWARD and BACKWARD; norm.cu takes it in once per width. A thread has
 * NEIGHBOURS channels that are one load, and every 64th row: with 2 or 4 of them a warp uses whole sectors of what it loads, where
 * rows follow each other (inner == 1) and begin at multiples of such a load. Up to KEEP rows a thread are read once and kept. */

enum { CN(WIDE) = ACROSS * NEIGHBOURS, CN(ALL) = KEEP * NEIGHBOURS };

/* Sums, or with `around` sums of squares around it, of what the thread has of its channels, to sum. */
HN_DEVICE void CN(part)(const struct hn_k_norm *a, const real *x, const real *kept, int64_t ch,
                        int64_t n, int t, const double *around, double *sum)
{
    double v[NEIGHBOURS], m[NEIGHBOURS];
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++) v[c] = 0, m[c] = around ? around[c] : 0;
    if (ch < a->channels && keeps(a, n)) {
        HN_UNROLL
        for (int e = 0; e < CN(ALL); e++) {
            const double d = own(t, e / NEIGHBOURS) < n ? (double)kept[e] - m[e % NEIGHBOURS] : 0;
            v[e % NEIGHBOURS] += around ? d * d : d;
        }
    } else if (ch < a->channels) {
        for (int64_t j = t / ACROSS; j < n; j += LANES) {
            real from[NEIGHBOURS];
            hn_move(from, x + place(a, ch, j), NEIGHBOURS);
            HN_UNROLL
            for (int c = 0; c < NEIGHBOURS; c++) {
                const double d = (double)from[c] - m[c];
                v[c] += around ? d * d : d;
            }
        }
    }
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++) sum[c] = v[c];
}

struct CN(affine) { /* of a thread's channels: y = k (x - m) + b */
    real m[NEIGHBOURS], k[NEIGHBOURS], b[NEIGHBOURS];
};

/* y of a row, and its ReLU. */
HN_DEVICE void CN(put)(real *y, const real *x, const struct CN(affine) * f, int relu,
                       const struct copy *copy, int64_t row, int64_t ch)
{
    real v[NEIGHBOURS];
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++) {
        const real u = normal(x[c], f->m[c], f->k[c], f->b[c]);
        v[c] = relu && u <= 0 ? 0 : u;
    }
    hn_store(y, v, NEIGHBOURS);
    leave(copy, v, row, ch, NEIGHBOURS);
}

FORWARD
{
    HN_SHARED double sum[HN_BLOCK * NEIGHBOURS], mean[CN(WIDE)], inv[CN(WIDE)];
    HN_PRIVATE(real, kept, CN(ALL));
    HN_PRIVATE(struct CN(affine), own_affine, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *bias = hn_at(&a.env, a.bias, HN_Z);
    real *y = hn_at(&a.env, a.y, HN_Z);
    const int64_t n = hn_n(a.outer, s->rows) * a.inner, c0 = HN_X * CN(WIDE);
    const struct copy copy = copy_of(&a, HN_Z, n);
    HN_EACH(t)
    {
        const int64_t ch = c0 + t % ACROSS * NEIGHBOURS;
        struct CN(affine) *f = HN_MINE(own_affine, t);
        HN_UNROLL
        for (int c = 0; c < NEIGHBOURS; c++) /* needed at the end, on their way now */
            f->k[c] = scale[ch < a.channels ? ch + c : c0],
            f->b[c] = bias[ch < a.channels ? ch + c : c0];
        if (keeps(&a, n)) { /* what is not there is read from the block's beginning and not used */
            HN_UNROLL
            for (int e = 0; e < KEEP; e++)
                hn_move(HN_MINE(kept, t) + e * NEIGHBOURS,
                        x + (ch < a.channels && own(t, e) < n ? own(t, e) * a.channels + ch : c0),
                        NEIGHBOURS);
        }
        if (a.batch) CN(part)(&a, x, HN_MINE(kept, t), ch, n, t, 0, sum + t * NEIGHBOURS);
    }
    if (a.batch) {
        ADD_LANES(sum, CN(WIDE));
        HN_EACH(t) if (t < CN(WIDE)) mean[t] = n > 0 ? sum[t] / (double)n : 0;
        HN_EACH(t)
        {
            const int at = t % ACROSS * NEIGHBOURS;
            CN(part)(&a, x, HN_MINE(kept, t), c0 + at, n, t, mean + at, sum + t * NEIGHBOURS);
        }
        ADD_LANES(sum, CN(WIDE));
    }
    HN_EACH(t) if (t < CN(WIDE) && c0 + t < a.channels)
    {
        double var = a.batch && n > 0 ? sum[t] / (double)n : 0;
        if (!a.batch) {
            mean[t] = (double)hn_at(&a.env, a.mean, HN_Z)[c0 + t];
            var = (double)hn_at(&a.env, a.var, HN_Z)[c0 + t];
        }
        inv[t] = inverse_root(var + a.eps);
        keep_statistics(&a, HN_Z, c0 + t, n, mean[t], var, inv[t]);
    }
    HN_EACH(t)
    {
        const int at = t % ACROSS * NEIGHBOURS;
        const int64_t ch = c0 + at;
        if (ch < a.channels) {
            struct CN(affine) f = *HN_MINE(own_affine, t);
            HN_UNROLL
            for (int c = 0; c < NEIGHBOURS; c++)
                f.m[c] = (real)mean[at + c], f.k[c] = (real)((double)f.k[c] * inv[at + c]);
            for (int64_t j = t / ACROSS; !keeps(&a, n) && j < n; j += LANES) {
                real v[NEIGHBOURS];
                hn_move(v, x + place(&a, ch, j), NEIGHBOURS);
                CN(put)(y + place(&a, ch, j), v, &f, a.fuse_relu, &copy, j, ch);
            }
            HN_UNROLL
            for (int e = 0; e < KEEP; e++)
                if (keeps(&a, n) && own(t, e) < n) CN(put)
            (y + own(t, e) * a.channels + ch, HN_MINE(kept, t) + e * NEIGHBOURS, &f, a.fuse_relu,
             &copy, own(t, e), ch);
        }
    }
}

struct CN(terms) { /* of a row backward: dy where the ReLU let it through, and x around its mean */
    real g[NEIGHBOURS], x[NEIGHBOURS];
};

HN_DEVICE struct CN(terms) CN(terms_at)(const real *dy, const real *x, int64_t at)
{
    struct CN(terms) k;
    hn_move(k.g, dy + at, NEIGHBOURS);
    hn_move(k.x, x + at, NEIGHBOURS);
    return k;
}
/* Not there: zeros. Where the norm's result is not above 0 a ReLU behind it let nothing through: it is found again, as forward. */
HN_DEVICE void CN(around)(struct CN(terms) * k, const struct CN(affine) * f, int relu, int there)
{
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++) {
        const int through = !relu || normal(k->x[c], f->m[c], f->k[c], f->b[c]) > 0;
        k->g[c] = there && through ? k->g[c] : 0;
        k->x[c] = there ? k->x[c] - f->m[c] : 0;
    }
}

struct CN(sums) { /* of a thread's rows of its channels: dy, and dy times x around its mean */
    double g[NEIGHBOURS], dot[NEIGHBOURS];
};
HN_DEVICE void CN(add_terms)(struct CN(sums) * s, const struct CN(terms) * k)
{
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++)
        s->g[c] += (double)k->g[c], s->dot[c] += (double)k->g[c] * (double)k->x[c];
}

struct CN(
    slopes) { /* of a thread's channels: dx = k (g - g0 - x i g1); sums: its sums are asked for, in sum */
    real k[NEIGHBOURS], g0[NEIGHBOURS], g1[NEIGHBOURS], i[NEIGHBOURS];
    int sums;
    double sum[NEIGHBOURS];
};
HN_DEVICE void CN(give)(struct CN(slopes) * s, const struct CN(terms) * k, real *dx, int add,
                        const struct copy *copy, int64_t row, int64_t ch)
{
    real v[NEIGHBOURS], before[NEIGHBOURS];
    if (add) hn_move(before, dx, NEIGHBOURS);
    HN_UNROLL
    for (int c = 0; c < NEIGHBOURS; c++) {
        const real g = s->k[c] * (k->g[c] - s->g0[c] - k->x[c] * s->i[c] * s->g1[c]);
        v[c] = add ? before[c] + g : g;
        if (s->sums) s->sum[c] += (double)v[c];
    }
    hn_store(dx, v, NEIGHBOURS);
    leave(copy, v, row, ch, NEIGHBOURS);
}

BACKWARD
{
    HN_SHARED double sum[HN_BLOCK * NEIGHBOURS], dot[HN_BLOCK * NEIGHBOURS];
    HN_PRIVATE(struct CN(terms), kept, KEEP);
    HN_PRIVATE(double, given, NEIGHBOURS); /* sums of dx */
    HN_PRIVATE(struct CN(affine), own_affine, 1);
    const struct hn_k_slot *s = &a.env.slots[HN_Z];
    if (!hn_live(s)) return;
    const real *x = hn_at(&a.env, a.x, HN_Z), *scale = hn_at(&a.env, a.scale, HN_Z),
               *dy = hn_at(&a.env, a.dy, HN_Z), *bias = hn_at(&a.env, a.bias, HN_Z);
    const double *mean = hn_double_at(&a.env, a.save_mean, HN_Z),
                 *inv = hn_double_at(&a.env, a.save_inv, HN_Z);
    real *dx = hn_at(&a.env, a.dx, HN_Z);
    const int64_t n = hn_n(a.outer, s->rows) * a.inner, c0 = HN_X * CN(WIDE);
    const struct copy copy = copy_of(&a, HN_Z, n);
    HN_EACH(t)
    {
        const int64_t ch = c0 + t % ACROSS * NEIGHBOURS;
        struct CN(sums) v;
        struct CN(affine) *f = HN_MINE(own_affine, t);
        HN_UNROLL
        for (int c = 0; c < NEIGHBOURS; c++) {
            const int64_t is = ch < a.channels ? ch + c : c0;
            v.g[c] = v.dot[c] = 0, f->m[c] = (real)mean[is];
            f->k[c] = (real)((double)scale[is] * inv[is]), f->b[c] = bias[is];
        }
        if (ch < a.channels && keeps(&a, n)) { /* all loads first */
            HN_UNROLL
            for (int e = 0; e < KEEP; e++) {
                struct CN(terms) *k = &HN_MINE(kept, t)[e];
                const int there = own(t, e) < n;
                *k = CN(terms_at)(dy, x, there ? own(t, e) * a.channels + ch : c0);
            }
            HN_UNROLL
            for (int e = 0; e < KEEP; e++) {
                CN(around)(&HN_MINE(kept, t)[e], f, a.fuse_relu, own(t, e) < n);
                CN(add_terms)(&v, &HN_MINE(kept, t)[e]);
            }
        } else if (ch < a.channels) {
            for (int64_t j = t / ACROSS; j < n; j += LANES) {
                struct CN(terms) k = CN(terms_at)(dy, x, place(&a, ch, j));
                CN(around)(&k, f, a.fuse_relu, 1);
                CN(add_terms)(&v, &k);
            }
        }
        HN_UNROLL
        for (int c = 0; c < NEIGHBOURS; c++) {
            const double off = ch < a.channels ? mean[ch + c] - (double)f->m[c] : 0;
            sum[t * NEIGHBOURS + c] = v.g[c];
            dot[t * NEIGHBOURS + c] = /* around the mean itself */
                (v.dot[c] - off * v.g[c]) * (ch < a.channels ? inv[ch + c] : 0);
        }
    }
    ADD_LANES(sum, CN(WIDE));
    ADD_LANES(dot, CN(WIDE));
    HN_EACH(t)
    {
        const int at = t % ACROSS * NEIGHBOURS;
        const int64_t ch = c0 + at;
        HN_UNROLL
        for (int c = 0; c < NEIGHBOURS; c++) HN_MINE(given, t)[c] = 0;
        if (dx && ch < a.channels) {
            struct CN(slopes) v;
            v.sums = a.below.space != HN_KS_NONE;
            const struct CN(affine) *f = HN_MINE(own_affine, t);
            HN_UNROLL
            for (int c = 0; c < NEIGHBOURS; c++) {
                v.i[c] = (real)inv[ch + c], v.k[c] = f->k[c];
                v.g0[c] = a.batch ? (real)(sum[at + c] / (double)n) : 0;
                v.g1[c] = a.batch ? (real)(dot[at + c] / (double)n) : 0;
                v.sum[c] = 0;
            }
            for (int64_t j = t / ACROSS; !keeps(&a, n) && j < n; j += LANES) {
                struct CN(terms) k = CN(terms_at)(dy, x, place(&a, ch, j));
                CN(around)(&k, f, a.fuse_relu, 1);
                CN(give)(&v, &k, dx + place(&a, ch, j), a.acc & 1, &copy, j, ch);
            }
            HN_UNROLL
            for (int e = 0; e < KEEP; e++)
                if (keeps(&a, n) && own(t, e) < n) CN(give)
            (&v, &HN_MINE(kept, t)[e], dx + own(t, e) * a.channels + ch, a.acc & 1, &copy,
             own(t, e), ch);
            HN_UNROLL
            for (int c = 0; c < NEIGHBOURS; c++) HN_MINE(given, t)[c] = v.sum[c];
        }
    }
    HN_EACH(t)
    if (t < CN(WIDE) && c0 + t < a.channels)
        channel_back(&a, HN_Z, c0 + t, sum[t], dot[t], (double)scale[c0 + t] * inv[c0 + t],
                     inv[c0 + t]);
    if (a.below.space == HN_KS_NONE) return;
    HN_EACH(t)
    {
        HN_UNROLL
        for (int c = 0; c < NEIGHBOURS; c++) sum[t * NEIGHBOURS + c] = HN_MINE(given, t)[c];
    }
    ADD_LANES(sum, CN(WIDE));
    HN_EACH(t)
    if (t < CN(WIDE) && c0 + t < a.channels) bias_back(&a, HN_Z, c0 + t, sum[t]);
}
