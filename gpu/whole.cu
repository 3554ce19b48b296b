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
#include "gpu/batch.h"
#include "gpu/loss.h"

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
        s->scale = s->clip = 1, s->share = share_of(s);
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
        s->failing = !hn_is_finite(sh->w.one[0]);
        if (s->failing) s->bad_step = s->ahead;
        if (at.x == 0 && !s->failing) s->totals[0] += sh->w.one[0], s->totals[1] += (double)rows;
    }
    return !sh->slot.failing;
}

/* The average's element behind this one of the slab. */
HN_DEVICE void follow(const struct hn_k_slot *s, const real *w)
{
    real *const a = (real *)s->average + (w - (const real *)s->w);
    *a = followed((real)s->share, *a, *w);
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
        if (sh->slot.average) follow(&sh->slot, &mean[ch]), follow(&sh->slot, &var[ch]);
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
    *e = moved(r, r->optimizer, *e, d, &m, &v);
    if (s->m) ((real *)s->m)[i] = m;
    if (s->v) ((real *)s->v)[i] = v;
    if (s->average) follow(s, e);
}

/* A tile of a Dense's gradient: 16 inputs (behind the last one, the bias) by 64 outputs, over all rows. */
HN_DEVICE void move_tile(struct shared *sh, int item, int i0, int j0)
{
    const struct hn_k_item *it = &sh->items[item];
    const int rows = (int)sh->slot.rows;
    HN_EACH(t) if (t == 0)
    {
        sh->x = rows_in(sh, item, rows, 0), sh->x.ones = 1;
        sh->y = side_of(sh->places[item].g, it->out, it->out, rows);
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
    case HN_KA_GATHER: gather(sh); break;
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
        uint32_t *const met = &a->met[at.z * HN_K_MET], want = sh->met + (uint32_t)at.n;
        uint32_t seen;
        sh->met = want;
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(met) : "memory");
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(met) : "memory");
        } while ((int32_t)(seen - want) < 0);
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
