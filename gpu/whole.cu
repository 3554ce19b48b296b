/* SPDX-License-Identifier: MIT
 *
 * Whole training steps of a small network as one launch. A slot has a few blocks, all at work at once; each has some of the
 * batch's rows and takes them through the layers forward and backward by itself. The blocks of a slot meet only where they need
 * each other: for BatchNormalization's sums, before the weights move (their gradients are tiles over all rows, dealt out among the
 * blocks, each moving its weights at once) and before the next step. So a step has no launches, and a run of them none either.
 *
 * What a step computes does not depend on how many blocks there are: sums over rows are over blocks of 8 rows, in order, those of a
 * product over its terms as block.h says. The host (whole.c) makes the list of acts; between two meetings an act reads what its own
 * block wrote, or what stood before the last meeting. */
#include "gpu/act.h"
#include "gpu/block.h"
#include "gpu/loss.h"
#include "gpu/mask.h"
#include "gpu/optim.h"

struct tail { /* with its places found */
    const struct hn_k_slot *s;
    const struct hn_k_tail *k;
    real *c, *y, *z;
    const real *by;
    struct mask mask;
    int width;
};
struct places { /* of an item, found once */
    real *x, *g, *w, *b, *mean, *var, *c, *y, *z, *by;
    double *parts, *parts_back;
};
struct shared { /* a block's memory, for the whole run */
    union workspace w;
    struct hn_k_slot slot; /* its own copy: it counts the steps itself */
    struct hn_k_item items[HN_K_ITEMS];
    struct places places[HN_K_ITEMS];
    struct hn_k_column input, target;
    double *loss, *weight, *lse;
    struct hn_k_act acts[HN_K_ACTS];
    double mean[HN_K_CHANNELS], var[HN_K_CHANNELS], inv[HN_K_CHANNELS];
    double sum[HN_K_CHANNELS],
        dot[HN_K_CHANNELS]; /* backward: of the gradient, and of it times the normalised value */
    struct side x, y;       /* operands of the product at work */
    struct rule rule[2];    /* for weights and bias, or scale and bias */
    struct tail tail;       /* and what becomes of its results */
    int from, to;           /* its rows */
    uint32_t met;
};
#ifdef __CUDACC__
static_assert(sizeof(struct shared) <= HN_K_SHARED, "a block's memory");
#else
_Static_assert(sizeof(struct shared) <= HN_K_SHARED, "a block's memory");
#endif

struct block { /* x of n blocks of slot z */
    int x, n, z;
};
/* Where an item's things lie. */
HN_DEVICE void find_places(const struct hn_k_env *e, const struct hn_k_item *it, int64_t z,
                           struct places *p)
{
    p->x = hn_at(e, it->x, z), p->g = hn_at(e, it->g, z);
    p->w = hn_at(e, it->w, z), p->b = hn_at(e, it->b, z);
    p->mean = hn_at(e, it->mean, z), p->var = hn_at(e, it->var, z);
    p->c = hn_at(e, it->tail.c, z), p->y = hn_at(e, it->tail.y, z);
    p->z = hn_at(e, it->tail.z, z), p->by = hn_at(e, it->tail.by, z);
    p->parts = hn_double_at(e, it->parts, z), p->parts_back = hn_double_at(e, it->parts_back, z);
}

/* ---- function and Dropout behind an item ------------------------------------------------------------------------- */

HN_DEVICE void find_tail(struct shared *sh, int item)
{
    const struct places *p = &sh->places[item];
    struct tail *t = &sh->tail;
    t->s = &sh->slot, t->k = &sh->items[item].tail, t->width = sh->items[item].out;
    t->c = p->c, t->y = p->y, t->z = p->z, t->by = p->by;
    t->mask = mask_of(t->s, &t->k->drop);
}
HN_DEVICE real masked(const struct tail *t, int row, int col, real v)
{
    if (!t->mask.below) return v * t->mask.scale;
    struct bits r = philox((uint32_t)col, (uint32_t)(row / 8), t->mask.batch, t->k->drop.stream,
                           t->s->key[0], t->s->key[1]);
    return bits_of(r, row % 8) < t->mask.below ? 0 : v * t->mask.scale;
}
HN_APART real other_value(int kind, real v, real a, real b) { return value(kind, v, a, b); }
HN_APART real other_slope(int kind, int by, real v, real a, real b)
{
    return slope(kind, by, v, a, b);
}
HN_DEVICE void leave(const struct tail *t, int row, int col, real v)
{
    const int64_t at = (int64_t)row * t->width + col;
    if (t->c) t->c[at] = v;
    if (t->k->how && t->k->kind == RELU)
        v = v <= 0 ? 0 : v;
    else if (t->k->how)
        v = other_value(t->k->kind, v, (real)t->k->a, (real)t->k->b);
    if (t->y) t->y[at] = v;
    if (t->k->drops) t->z[at] = masked(t, row, col, v);
}
HN_DEVICE real come_back(const struct tail *t, int row, int col, real v)
{
    if (t->k->drops) v = masked(t, row, col, v);
    if (!t->k->how) return v;
    const real from = t->by ? t->by[(int64_t)row * t->width + col] : 0;
    if (t->k->kind == RELU) return from > 0 ? v : 0 * v;
    return v * other_slope(t->k->kind, t->k->how - 1, from, (real)t->k->a, (real)t->k->b);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* fours: stored lines are multiples of four elements, so that any four from a multiple of four on are one copy. */
HN_DEVICE struct side side_of(const real *base, int stride, int lines, int terms, int along)
{
    struct side o;
    o.base = base, o.stride = stride, o.lines = lines, o.terms = terms, o.along = along;
    o.fours = hn_is_aligned(base) && (stride & 3) == 0;
    o.gathered = o.ones = 0;
    return o;
}
/* The rows that come into an item; along: as lines, else as terms. */
HN_DEVICE struct side rows_in(const struct shared *sh, int item, int rows, int along)
{
    const struct hn_k_item *it = &sh->items[item];
    struct side o =
        side_of(sh->places[item].x, it->in, along ? rows : it->in, along ? it->in : rows, along);
    if (it->column < 0) return o;
    o.rows = rows_of(&sh->slot, sh->input);
    o.base = (const real *)sh->input.data;
    o.gathered = sh->input.in_place ? 1 : 2;
    o.fours = o.gathered == 1 && hn_is_aligned(o.base) && (it->in & 3) == 0;
    return o;
}

/* A tile of a Dense's product of rows below `rows` with its weights: forward, or the gradient of what comes into it. */
HN_DEVICE void rows_tile(struct shared *sh, int item, int back, int tile, int i0, int j0, int rows)
{
    const struct hn_k_item *it = &sh->items[item];
    const int out = back ? it->in : it->out;
    const int along = back != it->trans;
    const real *bias = back ? 0 : sh->places[item].b;
    real *g = sh->places[back ? item - 1 : item].g;
    if (tile == DOWN && along)
        product(1, 1, 8, &sh->w, &sh->x, &sh->y, i0, j0);
    else if (tile == DOWN)
        product(1, 0, 8, &sh->w, &sh->x, &sh->y, i0, j0);
    else if (along)
        product(1, 1, 4, &sh->w, &sh->x, &sh->y, i0, j0);
    else
        product(1, 0, 4, &sh->w, &sh->x, &sh->y, i0, j0);
    HN_EACH(t)
    for (int e = t; e < tile * ACROSS; e += HN_BLOCK) {
        const int row = i0 + e / ACROSS, col = j0 + e % ACROSS;
        if (row >= rows || col >= out) continue;
        real v = (real)it->alpha * result(&sh->w, e / ACROSS, e % ACROSS);
        if (bias) v += (real)it->beta * bias[col];
        if (back)
            g[(int64_t)row * out + col] = come_back(&sh->tail, row, col, v);
        else
            leave(&sh->tail, row, col, v);
    }
}

/* Of this block's rows; or, spread, the tiles of all rows dealt out among the blocks. */
HN_DEVICE void rows_product(struct shared *sh, struct block at, int item, int back, int spread)
{
    const struct hn_k_item *it = &sh->items[item];
    const int out = back ? it->in : it->out, across = (out + ACROSS - 1) / ACROSS,
              from = spread ? 0 : sh->from, to = spread ? (int)sh->slot.rows : sh->to;
    const int small = (to - from + DOWN / 2 - 1) / (DOWN / 2);
    const int tile = (spread ? small * across <= at.n : small < 2) ? DOWN / 2 : DOWN;
    const int tiles = (to - from + tile - 1) / tile * across;
    HN_EACH(t) if (t == 0)
    {
        sh->x =
            back ? side_of(sh->places[item].g, it->out, to, it->out, 1) : rows_in(sh, item, to, 1);
        sh->y = side_of(sh->places[item].w, it->trans ? it->in : it->out, out,
                        back ? it->out : it->in, back != it->trans);
        find_tail(sh, back ? item - 1 : item);
    }
    for (int k = spread ? at.x : 0; k < tiles; k += spread ? at.n : 1)
        rows_tile(sh, item, back, tile, from + k / across * tile, k % across * ACROSS, to);
}

/* ---- BatchNormalization ------------------------------------------------------------------------------------------- */

/* Two numbers for each block of 8 rows and channel. Forward: sum, and squares around the block's mean; backward: sum of the
 * gradient, and of its product with x around its mean. */
HN_DEVICE void sums(struct shared *sh, int item, int back)
{
    const struct hn_k_item *it = &sh->items[item];
    const int n = it->out, first = sh->from / HN_K_ROW_BLOCK,
              blocks = (sh->to - sh->from + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const real *x = sh->places[item].x, *g = sh->places[item].g;
    double *to = back ? sh->places[item].parts_back : sh->places[item].parts;
    const double *mean = sh->mean + it->channel;
    HN_EACH(t)
    for (int e = t; e < blocks * n; e += HN_BLOCK) {
        const int block = first + e / n, ch = e % n, row = block * HN_K_ROW_BLOCK;
        const int count = sh->to - row < HN_K_ROW_BLOCK ? sh->to - row : HN_K_ROW_BLOCK;
        double v[HN_K_ROW_BLOCK], d[HN_K_ROW_BLOCK], one = 0, two = 0;
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++) {
            const int k = (row + (i < count ? i : 0)) * n + ch;
            v[i] = (double)x[k], d[i] = back ? (double)g[k] : 0;
        }
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++) one += i < count ? back ? d[i] : v[i] : 0;
        const double around = back ? mean[ch] : one / (double)count;
        HN_UNROLL
        for (int i = 0; i < HN_K_ROW_BLOCK; i++)
            two += i < count ? (back ? d[i] : v[i] - around) * (v[i] - around) : 0;
        to[2 * (block * n + ch)] = one, to[2 * (block * n + ch) + 1] = two;
    }
}

/* A block's threads as lanes over the channels: which of them share one. */
HN_DEVICE int wide_for(int64_t channels)
{
    int wide = 1;
    while (wide < channels) wide *= 2;
    return wide;
}
/* The lanes' numbers of each channel, in order. */
HN_DEVICE double over_lanes(const double *part, int wide, int64_t ch)
{
    double v = 0;
    for (int l = 0; l < HN_BLOCK / wide; l++) v += part[l * wide + ch];
    return v;
}

/* Mean and variance of the whole batch: the blocks' squares are around their own means, so what these lie apart is added. */
HN_DEVICE void statistics(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const int wide = wide_for(it->out);
    const int64_t rows = sh->slot.rows, blocks = (rows + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const double *from = sh->places[item].parts;
    double *mean = sh->mean + it->channel, *var = sh->var + it->channel;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        double v = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide)
            v += from[2 * (k * it->out + ch)];
        sh->w.one[t] = v;
    }
    HN_EACH(t) if (t < it->out) mean[t] = over_lanes(sh->w.one, wide, t) / (double)rows;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        double v = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide) {
            const int64_t left = rows - k * HN_K_ROW_BLOCK;
            const double n = left < HN_K_ROW_BLOCK ? (double)left : HN_K_ROW_BLOCK;
            const double apart = from[2 * (k * it->out + ch)] / n - mean[ch];
            v += from[2 * (k * it->out + ch) + 1] + n * apart * apart;
        }
        sh->w.one[t] = v;
    }
    HN_EACH(t) if (t < it->out)
    {
        var[t] = over_lanes(sh->w.one, wide, t) / (double)rows;
        sh->inv[it->channel + t] = 1 / sqrt(var[t] + it->eps);
    }
}

HN_DEVICE void normalize(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const real *x = sh->places[item].x, *scale = sh->places[item].w, *bias = sh->places[item].b;
    const double *mean = sh->mean + it->channel, *inv = sh->inv + it->channel;
    HN_EACH(t) if (t == 0) find_tail(sh, item);
    statistics(sh, item);
    HN_EACH(t)
    for (int e = sh->from * it->out + t; e < sh->to * it->out; e += HN_BLOCK) {
        const int ch = e % it->out;
        const real k = (real)((double)scale[ch] * inv[ch]);
        leave(&sh->tail, e / it->out, ch, k * (x[e] - (real)mean[ch]) + bias[ch]);
    }
}

/* dx = scale inv (dy - sum dy / n - h sum(dy h) / n),  h = (x - mean) inv */
HN_DEVICE void normalize_back(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const int64_t rows = sh->slot.rows, blocks = (rows + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK;
    const int wide = wide_for(it->out);
    const real *x = sh->places[item].x, *g = sh->places[item].g, *scale = sh->places[item].w;
    real *dx = sh->places[item - 1].g;
    const double *from = sh->places[item].parts_back;
    const double *mean = sh->mean + it->channel, *inv = sh->inv + it->channel;
    double *sum = sh->sum + it->channel, *dot = sh->dot + it->channel;
    HN_EACH(t)
    {
        const int64_t ch = t % wide;
        if (t == 0) find_tail(sh, item - 1);
        double one = 0, two = 0;
        HN_UNROLL4
        for (int64_t k = t / wide; k < blocks && ch < it->out; k += HN_BLOCK / wide)
            one += from[2 * (k * it->out + ch)], two += from[2 * (k * it->out + ch) + 1];
        sh->w.one[t] = one, sh->w.two[t] = two;
    }
    HN_EACH(t) if (t < it->out)
    {
        sum[t] = over_lanes(sh->w.one, wide, t);
        dot[t] = over_lanes(sh->w.two, wide, t) * inv[t];
    }
    HN_EACH(t)
    for (int e = sh->from * it->out + t; e < sh->to * it->out; e += HN_BLOCK) {
        const int ch = e % it->out;
        const real k = (real)((double)scale[ch] * inv[ch]);
        const real h = (x[e] - (real)mean[ch]) * (real)inv[ch];
        const real d =
            k * (g[e] - (real)(sum[ch] / (double)rows) - h * (real)(dot[ch] / (double)rows));
        dx[e] = come_back(&sh->tail, e / it->out, ch, d);
    }
}

/* ---- loss -------------------------------------------------------------------------------------------------------- */

HN_DEVICE void losses(const struct hn_k_whole *a, struct shared *sh)
{
    const struct hn_k_loss *k = &a->loss;
    const int64_t rows = sh->slot.rows, cols = hn_n(k->cols, rows), per = HN_BLOCK / k->team;
    const struct places *last = &sh->places[a->n_items - 1];
    const struct outcome o = { sh->loss, sh->weight, sh->lse };
    const struct slopes g = { k,
                              labels_in(k, &sh->slot, sh->target, cols),
                              last->z,
                              0,
                              last->g,
                              sh->to,
                              cols,
                              1,
                              k->weight / (double)rows };
    for (int64_t r0 = sh->from; r0 < sh->to; r0 += per) loss_rows(&g, &o, r0, sh->w.one, sh->w.two);
}

/* The last item's function and Dropout, backward in place. */
HN_DEVICE void last_tail(struct shared *sh, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    real *g = sh->places[item].g;
    HN_EACH(t) if (t == 0) find_tail(sh, item);
    HN_EACH(t)
    for (int e = sh->from * it->out + t; e < sh->to * it->out; e += HN_BLOCK)
        g[e] = come_back(&sh->tail, e / it->out, e % it->out, g[e]);
}

/* ---- the weights move -------------------------------------------------------------------------------------------- */

/* What needs nobody else, while a block waits before the weights move: what the optimizer needs of its clock, and the next step's
 * rows on their way to the cache that all processors share. */
HN_DEVICE void meanwhile(struct shared *sh, int t)
{
    struct hn_k_slot *s = &sh->slot;
    if (t == 32) {
        s->scale = s->clip = 1;
        if (s->optimizer >= ADAM)
            rates(s);
        else
            s->rate = s->lr[s->ahead];
    }
#ifdef __CUDACC__
    const int bytes = sh->items[0].in * (int)sizeof(real), lines = (bytes + 127) / 128;
    if (t < 64 || !sh->input.in_place || s->ahead + 1 >= s->n_steps) return;
    const struct rows next = rows_of(s, sh->input);
    for (int e = t - 64; e < (sh->to - sh->from) * lines; e += HN_BLOCK - 64) {
        const char *row =
            (const char *)sh->input.data + rows_at(&next, s->rows + sh->from + e / lines) * bytes;
        asm volatile("prefetch.global.L2 [%0];" ::"l"(row + e % lines * 128));
    }
#endif
}

/* Sum of the losses in order; all blocks of a slot come to the same verdict. Block 0 keeps the books. 0: the step is not good. */
HN_DEVICE int judge(struct shared *sh, struct block at)
{
    const int64_t rows = sh->slot.rows;
    HN_EACH(t)
    {
        double v = 0;
        for (int64_t i = t; i < rows; i += HN_BLOCK) v += sh->loss[i];
        sh->w.one[t] = v;
    }
    HN_TREE(sh->w.one, HN_BLOCK);
    HN_EACH(t) if (t == 0)
    {
        struct hn_k_slot *s = &sh->slot;
        s->failing = !(fabs(sh->w.one[0]) <= 1.7976931348623157e308);
        if (s->failing) s->bad_step = s->ahead;
        if (at.x == 0 && !s->failing) s->totals[0] += sh->w.one[0], s->totals[1] += (double)rows;
    }
    return !sh->slot.failing;
}

/* Running statistics, by block 0 alone. */
HN_DEVICE void move_statistics(struct shared *sh, struct block at, int item)
{
    const struct hn_k_item *it = &sh->items[item];
    const double k = it->momentum, rows = (double)sh->slot.rows,
                 bessel = !it->population && rows > 1 ? rows / (rows - 1) : 1;
    real *mean = sh->places[item].mean, *var = sh->places[item].var;
    HN_EACH(t)
    for (int64_t ch = t; mean && at.x == 0 && ch < it->out; ch += HN_BLOCK) {
        mean[ch] = (real)(k * (double)mean[ch] + (1 - k) * sh->mean[it->channel + ch]);
        var[ch] = (real)(k * (double)var[ch] + (1 - k) * sh->var[it->channel + ch] * bessel);
    }
}

/* Element `at` of a parameter moves along its gradient. */
HN_DEVICE void move(const struct shared *sh, struct hn_k_ref w, const struct rule *r, int64_t at,
                    real d)
{
    const struct hn_k_slot *s = &sh->slot;
    const int64_t i = (int64_t)(w.off / sizeof(real)) + at;
    real *const e = (real *)s->w + i;
    real m = s->m ? ((real *)s->m)[i] : 0, v = s->v ? ((real *)s->v)[i] : 0;
    *e = moved(r, *e, d, &m, &v);
    if (s->m) ((real *)s->m)[i] = m;
    if (s->v) ((real *)s->v)[i] = v;
}

/* A tile of a Dense's gradient: 16 inputs (behind the last one, the bias) by 64 outputs, over all rows. */
HN_DEVICE void move_tile(struct shared *sh, int item, int i0, int j0)
{
    const struct hn_k_item *it = &sh->items[item];
    const int rows = (int)sh->slot.rows;
    HN_EACH(t) if (t == 0)
    {
        sh->x = rows_in(sh, item, rows, 0), sh->x.ones = 1;
        sh->y = side_of(sh->places[item].g, it->out, it->out, rows, 0);
        sh->rule[0] = rule_of(&sh->slot, it->train_w.lr_mult, it->train_w.decay_mult);
        sh->rule[1] = rule_of(&sh->slot, it->train_b.lr_mult, it->train_b.decay_mult);
    }
    product(0, 0, 8, &sh->w, &sh->x, &sh->y, i0, j0);
    HN_EACH(t)
    for (int e = t; e < DOWN * ACROSS; e += HN_BLOCK) { /* neighbours in memory by neighbours */
        const int row = it->trans ? e % DOWN : e / ACROSS, col = it->trans ? e / DOWN : e % ACROSS;
        const int i = i0 + row, j = j0 + col;
        if (i > it->in || j >= it->out) continue;
        const real v = result(&sh->w, row, col);
        if (i == it->in && it->train_b.is) move(sh, it->b, &sh->rule[1], j, (real)it->beta * v);
        if (i < it->in && it->train_w.is)
            move(sh, it->w, &sh->rule[0],
                 it->trans ? (int64_t)j * it->in + i : (int64_t)i * it->out + j,
                 (real)it->alpha * v);
    }
}

/* Scale and bias of a BatchNormalization; all blocks have their gradients. */
HN_DEVICE void move_norm(struct shared *sh, const struct hn_k_item *it)
{
    HN_EACH(t) if (t == 0)
    {
        sh->rule[0] = rule_of(&sh->slot, it->train_w.lr_mult, it->train_w.decay_mult);
        sh->rule[1] = rule_of(&sh->slot, it->train_b.lr_mult, it->train_b.decay_mult);
    }
    HN_EACH(t) if (t < it->out)
    {
        if (it->train_w.is) move(sh, it->w, &sh->rule[0], t, (real)sh->dot[it->channel + t]);
        if (it->train_b.is) move(sh, it->b, &sh->rule[1], t, (real)sh->sum[it->channel + t]);
    }
}

HN_DEVICE void update(const struct hn_k_whole *a, struct shared *sh, struct block at)
{
    int task = 0;
#ifndef __CUDACC__
    HN_EACH(t) meanwhile(sh, t);
#endif
    if (!judge(sh, at)) return;
    for (int k = 0; k < a->n_items; k++) {
        const struct hn_k_item *it = &sh->items[k];
        const int trained = it->train_w.is || it->train_b.is;
        if (it->kind == HN_K_BATCHNORM) {
            move_statistics(sh, at, k);
            if (trained && task++ % at.n == at.x) move_norm(sh, it);
            continue;
        }
        for (int i0 = 0; trained && i0 < it->in + it->train_b.is; i0 += DOWN)
            for (int j0 = 0; j0 < it->out; j0 += ACROSS)
                if (task++ % at.n == at.x) move_tile(sh, k, i0, j0);
    }
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

HN_DEVICE void act(const struct hn_k_whole *a, struct shared *sh, struct block at, int i)
{
    const int item = sh->acts[i].item;
    switch (sh->acts[i].kind) {
    case HN_KA_DENSE:
    case HN_KA_BACK:
        rows_product(sh, at, item, sh->acts[i].kind == HN_KA_BACK, sh->acts[i].spread);
        break;
    case HN_KA_SUMS:
    case HN_KA_SUMS_BACK: sums(sh, item, sh->acts[i].kind == HN_KA_SUMS_BACK); break;
    case HN_KA_NORM: normalize(sh, item); break;
    case HN_KA_NORM_BACK: normalize_back(sh, item); break;
    case HN_KA_LOSS: losses(a, sh); break;
    case HN_KA_TAIL: last_tail(sh, item); break;
    default: update(a, sh, at); break;
    }
}

/* `n` bytes, a multiple of four. */
HN_DEVICE void copy_words(void *to, const void *from, uint64_t n, int t)
{
    for (uint64_t i = (uint64_t)t; i < n / 4; i += HN_BLOCK)
        ((uint32_t *)to)[i] = ((const uint32_t *)from)[i];
}

HN_DEVICE void begin(const struct hn_k_whole *a, struct shared *sh, struct block at)
{
    HN_EACH(t)
    {
        copy_words(&sh->slot, &a->env.slots[at.z], sizeof sh->slot, t);
        copy_words(sh->items, a->items, (uint64_t)a->n_items * sizeof *a->items, t);
        for (int i = t; i < a->n_acts; i += HN_BLOCK) sh->acts[i] = a->acts[i];
        for (int i = t; i < a->n_items; i += HN_BLOCK)
            find_places(&a->env, &a->items[i], at.z, &sh->places[i]);
        if (t == 0) {
            const int rows = (int)a->env.slots[at.z].rows,
                      each = ((rows + HN_K_ROW_BLOCK - 1) / HN_K_ROW_BLOCK + at.n - 1) / at.n *
                             HN_K_ROW_BLOCK;
            sh->from = at.x * each < rows ? at.x * each : rows;
            sh->to = sh->from + each < rows ? sh->from + each : rows;
            sh->met = 0;
            const struct hn_k_column *columns = a->columns + at.z * a->n_columns;
            sh->input = columns[a->items[0].column], sh->target = columns[a->loss.column];
            sh->loss = hn_double_at(&a->env, a->loss.row_loss, at.z);
            sh->weight = hn_double_at(&a->env, a->loss.row_weight, at.z);
            sh->lse = hn_double_at(&a->env, a->loss.lse, at.z);
        }
    }
}

/* Is there another step? */
HN_DEVICE int goes_on(struct shared *sh)
{
    HN_EACH(t) if (t == 0 && !sh->slot.failing) sh->slot.ahead++, sh->slot.batch++, sh->slot.step++;
    return !sh->slot.failing && sh->slot.ahead < sh->slot.n_steps;
}

/* Acts from *i on up to the next meeting, of this step or the one behind it. 0: that was the run. */
HN_DEVICE int up_to_meeting(const struct hn_k_whole *a, struct shared *sh, struct block at, int *i)
{
    do {
        act(a, sh, at, *i);
        if (++*i == a->n_acts) {
            *i = 0;
            if (!goes_on(sh)) return 0;
        }
    } while (!sh->acts[*i].meets);
    return 1;
}

/* Block 0 hands the clock back. */
HN_DEVICE void end(const struct hn_k_whole *a, const struct shared *sh, struct block at)
{
    HN_EACH(t) if (t == 0 && at.x == 0)
    {
        struct hn_k_slot *s = &a->env.slots[at.z];
        s->ahead = sh->slot.ahead, s->batch = sh->slot.batch, s->step = sh->slot.step;
        s->failing = s->stop = sh->slot.failing, s->bad_step = sh->slot.bad_step;
    }
}

#ifdef __CUDACC__

/* All blocks of the slot are at work (the launch is cooperative); what they wrote before is seen behind it. */
HN_DEVICE void meet(const struct hn_k_whole *a, struct shared *sh, struct block at, int next)
{
    __syncthreads();
    if (threadIdx.x == 0 && at.n > 1) {
        uint32_t *const met = &a->met[at.z], want = sh->met + (uint32_t)at.n;
        uint32_t seen;
        sh->met = want;
        __threadfence();
        atomicAdd(met, 1u);
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(met) : "memory");
        } while ((int32_t)(seen - want) < 0);
        __threadfence();
    }
    if (threadIdx.x >= 32 && sh->acts[next].kind == HN_KA_UPDATE) meanwhile(sh, (int)threadIdx.x);
    __syncthreads();
}

static __global__ void __launch_bounds__(HN_BLOCK, HN_BITS == 32 ? 2 : 1)
    kernel_whole(const __grid_constant__ struct hn_k_whole a)
{
    extern __shared__ __align__(16) unsigned char memory[];
    struct shared *sh = (struct shared *)memory;
    const struct block at = { (int)blockIdx.x, (int)gridDim.x, (int)blockIdx.z };
    if (!hn_live(&a.env.slots[at.z])) return;
    begin(&a, sh, at);
    for (int i = 0; up_to_meeting(&a, sh, at, &i);) meet(&a, sh, at, i);
    end(&a, sh, at);
}
extern "C" const void *HN_K(whole)(void) { return (const void *)kernel_whole; }

#else /* the same, one block after the other from one meeting to the next; block 0 stands for all */

static struct shared *memory_of(const struct hn_k_at *grid, int x)
{
    return (struct shared *)(grid->memory + (uint64_t)x * HN_K_SHARED);
}
void HN_K(whole)(const void *args, const struct hn_k_at *grid);
void HN_K(whole)(const void *args, const struct hn_k_at *grid)
{
    const struct hn_k_whole *a = args;
    struct block at = { 0, (int)grid->nx, (int)grid->z };
    if (grid->x != 0 || !hn_live(&a->env.slots[at.z])) return;
    for (at.x = 0; at.x < at.n; at.x++) {
        hn_watch_block(at.x, 0, at.z);
        begin(a, memory_of(grid, at.x), at);
    }
    for (int from = 0, next, more = 1; more; from = next, hn_watch_meeting())
        for (at.x = at.n; at.x-- > 0;) {
            next = from;
            hn_watch_block(at.x, 0, at.z);
            more = up_to_meeting(a, memory_of(grid, at.x), at, &next);
        }
    for (at.x = 0; at.x < at.n; at.x++) {
        hn_watch_block(at.x, 0, at.z);
        end(a, memory_of(grid, at.x), at);
    }
}
#endif
