/* SPDX-License-Identifier: MIT
 *
 * One call of run(): check the slots, upload the table (slots, columns, totals so far) and the lists (learning rates, row numbers),
 * queue the steps, read the table back, advance the clocks. Steps go in chunks only where outputs or streamed rows (stream.h) would
 * not fit their buffers: between chunks the table comes back and goes up again. */
#include "gpu/stream.h"
#include "ops/base/status.h"
#include <string.h>

enum { LEAST_ROWS = 16 };

struct call { /* one call of run */
    struct hn_gpu_exec *e;
    struct hn_slot *slots;
    int n_slots, streamed;
    struct hn_gpu_graph variant; /* rows: most of any slot; more where several slots are at work */
    int64_t n_steps, most, before; /* most: steps of a chunk; before: of the chunk before */
    const struct hn_replica *one;
    hone_error *err;
};

static struct hn_k_slot *slot_at(const struct hn_gpu_exec *e, int z)
{
    return (struct hn_k_slot *)e->host_table + z;
}

static double *totals_at(const struct hn_gpu_exec *e, int z)
{
    return (double *)(e->host_table + e->totals_at) +
           (size_t)z * 2 * (size_t)e->plan->prog->n_losses;
}

static size_t totals_bytes(const struct hn_gpu_exec *e)
{
    return 2 * (size_t)e->plan->prog->n_losses * sizeof(double);
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

static hone_status check_columns(const struct hn_gpu_exec *e, const struct hn_slot *s,
                                 hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    const struct hn_gpu_data *data = s->data;
    for (int i = 0; i < e->n_columns; i++) {
        int target = i >= p->n_inputs, k = target ? i - p->n_inputs : i;
        const struct hn_value_ref *v = &p->values[target ? p->targets[k] : p->inputs[k]];
        if (!e->column_used[i]) continue;
        if (!data || k >= (target ? data->set->n_targets : data->set->n_inputs))
            return hn_fail(err, HONE_E_DATA, v->name, "the data set has no column for it");
        const struct hn_column *c = target ? &data->set->targets[k] : &data->set->inputs[k];
        struct hn_dim n = hn_shape_count(&v->shape);
        int64_t each = n.per_row ? n.per_row : n.fixed;
        if (!c->data || c->per_row != each)
            return hn_fail(err, HONE_E_DATA, v->name,
                           "the data have %lld numbers a row, wanted %lld",
                           c->data ? (long long)c->per_row : 0LL, (long long)each);
    }
    return HONE_OK;
}

static hone_status check_rows(const struct hn_slot *s, int n_steps, hone_error *err)
{
    const struct hn_gpu_data *data = s->data;
    int64_t n = s->rows * n_steps, worst = s->first + n - 1, least = s->first;
    if (!data) return HONE_OK;
    if (s->index) {
        uint32_t most = 0;
        for (int64_t i = 0; i < n; i++) most = s->index[i] > most ? s->index[i] : most;
        worst = most, least = 0;
    }
    if (n > 0 && (least < 0 || worst >= data->set->rows))
        return hn_fail(err, HONE_E_DATA, "the data set", "row %lld of a data set of %lld rows",
                       (long long)(least < 0 ? least : worst), (long long)data->set->rows);
    return HONE_OK;
}

static hone_status check_slot(const struct hn_gpu_exec *e, const struct hn_slot *s, int n_steps,
                              hone_error *err)
{
    const enum hn_pass pass = e->plan->pass;
    const struct hn_replica *r = s->r;
    if (s->rows > e->plan->max_rows)
        return hn_fail(err, HONE_E_USAGE, "cuda backend",
                       "%lld rows in a batch, the plan allows %lld", (long long)s->rows,
                       (long long)e->plan->max_rows);
    uint32_t slabs =
        pass == HN_PASS_TRAIN ? hn_optim_slabs(r->hyper->optimizer, r->hyper->momentum) : 0;
    if (!r->slab[HN_SLAB_W] || (hn_gpu_trains(pass) && !r->slab[HN_SLAB_DW]) ||
        (slabs & 1u && !r->slab[HN_SLAB_M]) || (slabs & 2u && !r->slab[HN_SLAB_V]) ||
        (pass == HN_PASS_TRAIN && (!s->lr || (r->hyper->ema > 0 && !r->slab[HN_SLAB_AVERAGE]))))
        return hn_fail(err, HONE_E_USAGE, "cuda backend",
                       "a replica lacks a slab or a learning rate for this pass");
    HN_TRY(check_columns(e, s, err));
    return check_rows(s, n_steps, err);
}

/* ---- the table and the lists ----------------------------------------------------------------------------------- */

/* The sums go on from where they are: they do not depend on how many steps a call takes. */
static void fill_slot(struct call *c, int z)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_slot *s = &c->slots[z];
    const struct hn_replica *r = s->r;
    struct hn_k_slot *k = slot_at(e, z);
    *k = (struct hn_k_slot){ .rows = s->rows, .bad_step = -1, .accumulate = 1, .dropout = -1 };
    k->w = r->slab[HN_SLAB_W], k->dw = r->slab[HN_SLAB_DW], k->m = r->slab[HN_SLAB_M],
    k->v = r->slab[HN_SLAB_V];
    k->key[0] = r->key[0], k->key[1] = r->key[1];
    k->first = s->first;
    k->batch0 = (uint64_t)r->now.batch;
    k->batch = r->now.batch, k->step = r->now.step, k->micro = r->now.micro;
    k->totals =
        (double *)(e->table + e->totals_at) + (size_t)z * 2 * (size_t)e->plan->prog->n_losses;
    if (s->partial) memcpy(totals_at(e, z), s->partial, totals_bytes(e));
    if (r->hyper) {
        const struct hn_hyper *h = r->hyper;
        uint32_t slabs = hn_optim_slabs(h->optimizer, h->momentum);
        if (!(slabs & 1u)) k->m = NULL;
        if (!(slabs & 2u)) k->v = NULL;
        k->optimizer = (int32_t)h->optimizer, k->accumulate = h->accumulate;
        k->momentum = h->momentum, k->beta1 = h->beta1, k->beta2 = h->beta2, k->eps = h->eps,
        k->alpha = h->alpha;
        k->average = h->ema > 0 ? r->slab[HN_SLAB_AVERAGE] : NULL, k->ema = h->ema;
        k->weight_decay = h->weight_decay, k->l1 = h->l1, k->clip_norm = h->clip_norm,
        k->dropout = h->dropout;
    }
}

/* The bound set's own number of column i. */
static int resident_at(const struct hn_gpu_exec *e, const struct hn_slot *s, int i)
{
    const struct hn_gpu_data *data = s->data;
    int n = e->plan->prog->n_inputs;
    return i < n ? i : data->set->n_inputs + i - n;
}

static size_t aligned(size_t n) { return (n + 255) / 256 * 256; }

/* Can products read the rows of a column where they lie? */
static int in_place(const struct call *c, const struct hn_slot *s, const struct hn_column *from)
{
    const struct hn_gpu_data *data = s->data;
    const int64_t rows = c->streamed ? s->rows * c->most : data->set->rows;
    return from->dtype == (c->e->dev->elem == 4 ? HN_F32 : HN_F64) && !(from->scale < 1) &&
           !(from->scale > 1) && rows < INT32_MAX / (from->per_row > 0 ? from->per_row : 1);
}

static void fill_columns(struct call *c, int z, int64_t chunk)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_slot *s = &c->slots[z];
    const struct hn_gpu_data *data = s->data;
    struct hn_k_column *k =
        (struct hn_k_column *)(e->host_table + e->columns_at) + (size_t)z * (size_t)e->n_columns;
    for (int i = 0; i < e->n_columns; i++) {
        if (!e->column_used[i]) continue;
        const struct hn_column *from = hn_gpu_column(e, s, i);
        k[i].dtype = (int32_t)from->dtype, k[i].scale = from->scale;
        k[i].in_place = in_place(c, s, from);
        k[i].data = c->streamed ? hn_gpu_stream_rows(e->dev, z, i, chunk)
                                : data->resident[resident_at(e, s, i)];
    }
}

static hone_status grow_lists(struct call *c, size_t n)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_gpu_dev *d = e->dev;
    if (n <= e->lists_bytes) return HONE_OK;
    if (e->lists) d->layer->release(d->ctx, e->lists);
    if (e->host_lists) d->layer->unpin(d->ctx, e->host_lists);
    e->lists = e->host_lists = NULL, e->lists_bytes = 0;
    void *p = NULL;
    HN_TRY(d->layer->alloc(d->ctx, n, &p, c->err));
    e->lists = p, p = NULL;
    HN_TRY(d->layer->pin(d->ctx, n, &p, c->err));
    e->host_lists = p;
    e->lists_bytes = n;
    return HONE_OK;
}

/* Learning rates, then row numbers (only where the kernel reads rows by number), slot after slot. */
static hone_status fill_lists(struct call *c)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_gpu_dev *d = e->dev;
    size_t n = 0;
    for (int z = 0; z < c->n_slots; z++) {
        const struct hn_slot *s = &c->slots[z];
        if (s->rows <= 0) continue;
        n += aligned(s->lr ? (size_t)c->n_steps * sizeof *s->lr : 0);
        n += aligned(s->index && !c->streamed ? (size_t)(c->n_steps * s->rows) * sizeof *s->index
                                              : 0);
    }
    HN_TRY(grow_lists(c, n));
    size_t at = 0;
    for (int z = 0; z < c->n_slots; z++) {
        const struct hn_slot *s = &c->slots[z];
        if (s->rows <= 0) continue;
        size_t rates = s->lr ? (size_t)c->n_steps * sizeof *s->lr : 0;
        size_t rows =
            s->index && !c->streamed ? (size_t)(c->n_steps * s->rows) * sizeof *s->index : 0;
        slot_at(e, z)->lr = rates ? (const double *)(e->lists + at) : NULL;
        if (rates) memcpy(e->host_lists + at, s->lr, rates);
        at += aligned(rates);
        slot_at(e, z)->index = rows ? (const uint32_t *)(e->lists + at) : NULL;
        if (rows) memcpy(e->host_lists + at, s->index, rows);
        at += aligned(rows);
    }
    return n ? d->layer->copy(d->ctx, e->lists, e->host_lists, n, HN_GPU_UP, c->err) : HONE_OK;
}

/* ---- one call --------------------------------------------------------------------------------------------------- */

/* What a chunk changes in a slot whose clock the device has moved. */
static void aim(struct call *c, int z, int64_t chunk, int64_t from, int64_t n)
{
    struct hn_k_slot *k = slot_at(c->e, z);
    const struct hn_slot *s = &c->slots[z];
    if (s->rows <= 0) return;
    /* the lists begin at this chunk's first step */
    if (k->lr) k->lr += c->before;
    if (k->index) k->index += c->before * s->rows;
    k->first = c->streamed ? 0 : s->first + from * s->rows;
    if (c->e->plan->pass == HN_PASS_TRAIN) k->batch0 += (uint64_t)k->ahead;
    k->n_steps = n, k->ahead = 0;
    k->flush = (int32_t)(s->flush && from + n == c->n_steps);
    fill_columns(c, z, chunk);
}

static hone_status outputs_down(struct call *c, int64_t from, int64_t n)
{
    const struct hn_gpu_exec *e = c->e;
    const struct hn_gpu_dev *d = e->dev;
    for (int i = 0; i < e->plan->prog->n_outputs; i++)
        for (int z = 0; z < c->n_slots; z++) {
            const struct hn_slot *s = &c->slots[z];
            if (!e->outs[i] || s->rows <= 0 || !s->out || !s->out[i]) continue;
            struct hn_dim count =
                hn_shape_count(&e->plan->prog->values[e->plan->prog->outputs[i]].shape);
            size_t most = (size_t)(count.per_row * e->plan->max_rows + count.fixed) * d->elem;
            size_t each = (size_t)(count.per_row * s->rows + count.fixed) * d->elem;
            HN_TRY(d->layer->copy(d->ctx, (unsigned char *)s->out[i] + (size_t)from * each,
                                  (unsigned char *)e->outs[i] +
                                      (size_t)z * (size_t)e->out_chunk * most,
                                  (size_t)n * each, HN_GPU_DOWN, c->err));
        }
    return HONE_OK;
}

/* Steps [from, from + n): up, queue, and down again. */
static hone_status run_chunk(struct call *c, int64_t chunk, int64_t from, int64_t n)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_gpu_dev *d = e->dev;
    for (int z = 0; z < c->n_slots; z++) aim(c, z, chunk, from, n);
    HN_TRY(d->layer->copy(d->ctx, e->table, e->host_table, e->table_bytes, HN_GPU_UP, c->err));
    if (c->streamed) HN_TRY(d->layer->upload_join(d->ctx, c->err));
    HN_TRY(hn_gpu_steps(e, &c->variant, c->one, n, c->err));
    HN_TRY(d->layer->copy(d->ctx, e->host_table, e->table, e->table_bytes, HN_GPU_DOWN, c->err));
    if (c->streamed) HN_TRY(hn_gpu_stream_ahead(e->dev, chunk, c->err));
    HN_TRY(outputs_down(c, from, n)); /* may wait for the device */
    HN_TRY(d->layer->sync(d->ctx, c->err));
    c->before = n;
    for (int z = 0; z < c->n_slots; z++)
        if (c->slots[z].rows > 0 && slot_at(e, z)->bad_step >= 0 && c->slots[z].bad_step < 0)
            c->slots[z].bad_step = from + slot_at(e, z)->bad_step;
    return HONE_OK;
}

/* What the device found becomes the replicas'. */
static void take_back(struct call *c)
{
    const struct hn_gpu_exec *e = c->e;
    for (int z = 0; z < c->n_slots; z++) {
        struct hn_slot *s = &c->slots[z];
        const struct hn_k_slot *k = slot_at(e, z);
        if (s->rows <= 0) continue;
        if (s->partial) memcpy(s->partial, totals_at(e, z), totals_bytes(e));
        if (e->plan->pass != HN_PASS_TRAIN) continue;
        s->r->now.batch = k->batch, s->r->now.step = k->step, s->r->now.micro = k->micro;
    }
}

/* Replicas with batches of many sizes in one plan: a few captured steps serve them all. Blocks beyond a slot's rows end at
 * once; with one slot, library calls are for its rows exactly. */
static int64_t rounded_rows(const struct hn_gpu_exec *e, int64_t rows)
{
    int64_t n = LEAST_ROWS;
    if (e->max_slots == 1 || rows <= 0) return rows;
    while (n < rows) n *= 2;
    return n < e->plan->max_rows ? n : e->plan->max_rows;
}

static hone_status look_over(struct call *c)
{
    struct hn_gpu_exec *e = c->e;
    for (int z = 0; z < c->n_slots; z++) {
        struct hn_slot *s = &c->slots[z];
        s->bad_step = -1;
        if (s->rows <= 0) continue;
        HN_TRY(check_slot(e, s, (int)c->n_steps, c->err));
        const struct hn_gpu_data *data = s->data;
        if (data && data->streamed) c->streamed = 1;
        if (s->rows > c->variant.rows) c->variant.rows = s->rows;
        const struct hn_hyper *h = s->r->hyper;
        if (e->plan->pass == HN_PASS_GRAD)
            c->variant.sums = 1; /* a bad batch must leave the slab alone */
        if (e->plan->pass == HN_PASS_TRAIN)
            c->variant.sums |= h->accumulate > 1 || s->r->now.micro > 0,
                c->variant.clips |= h->clip_norm > 0, c->variant.averages |= h->ema > 0;
        c->one = s->r;
    }
    c->variant.rows = rounded_rows(e, c->variant.rows);
    return HONE_OK; /* both kinds at once: all are streamed */
}

/* Whose rows have to be gathered? Called when it is known how rows come. */
static void find_gathered(struct call *c)
{
    for (int z = 0; z < c->n_slots; z++)
        for (int i = 0; i < c->e->n_columns && c->slots[z].rows > 0; i++)
            if (c->e->column_in_place[i] &&
                !in_place(c, &c->slots[z], hn_gpu_column(c->e, &c->slots[z], i)))
                c->variant.gathers = 1;
}

static hone_status make_gradients(struct call *c)
{
    struct hn_gpu_exec *e = c->e;
    const struct hn_gpu_dev *d = e->dev;
    if (!c->variant.sums || e->grads) return HONE_OK;
    void *p = NULL;
    e->env.grad_stride = aligned(e->plan->prog->n_trained * d->elem + 1);
    HN_TRY(d->layer->alloc(d->ctx, e->env.grad_stride * (size_t)e->max_slots, &p, c->err));
    e->grads = p;
    return d->layer->fill(d->ctx, p, e->env.grad_stride * (size_t)e->max_slots, c->err);
}

static hone_status choose_chunks(struct call *c)
{
    const struct hn_gpu_exec *e = c->e;
    int writes = e->plan->pass == HN_PASS_EVAL || e->plan->pass == HN_PASS_PREDICT;
    c->most = c->n_steps;
    if (writes && c->most > e->out_chunk) c->most = e->out_chunk;
    if (!c->streamed) return HONE_OK;
    const struct hn_gpu_reads reads = { e, c->slots, c->n_slots, c->n_steps, c->most };
    HN_TRY(hn_gpu_stream_begin(e->dev, &reads, c->err));
    c->most = hn_gpu_stream_most(e->dev);
    return HONE_OK;
}

/* Steps of the chunk that begins at step `from`. */
static int64_t chunk_steps(const struct call *c, int64_t chunk, int64_t from)
{
    if (c->streamed) return hn_gpu_stream_steps(c->e->dev, chunk, from);
    return c->n_steps - from < c->most ? c->n_steps - from : c->most;
}

hone_status hn_gpu_run(struct hn_gpu_exec *e, struct hn_slot *slots, int n_slots, int n_steps,
                       hone_error *err)
{
    struct call c = { .e = e, .slots = slots, .n_slots = n_slots, .n_steps = n_steps, .err = err };
    if (n_slots > e->max_slots)
        return hn_fail(err, HONE_E_USAGE, "cuda backend", "%d slots, prepared for %d", n_slots,
                       e->max_slots);
    HN_TRY(look_over(&c));
    if (c.variant.rows <= 0 || n_steps <= 0) return HONE_OK;
    memset(e->host_table, 0, e->table_bytes);
    for (int z = 0; z < n_slots; z++)
        if (slots[z].rows > 0) fill_slot(&c, z);
    HN_TRY(make_gradients(&c));
    HN_TRY(fill_lists(&c));
    if (e->n_norms + e->n_drops) HN_TRY(hn_gpu_begin_library(e, c.one, err));
    HN_TRY(choose_chunks(&c));
    find_gathered(&c);
    for (int64_t from = 0, chunk = 0; from < n_steps; from += c.before, chunk++)
        HN_TRY(run_chunk(&c, chunk, from, chunk_steps(&c, chunk, from)));
    take_back(&c);
    return HONE_OK;
}
