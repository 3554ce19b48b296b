/* SPDX-License-Identifier: MIT
 *
 * Which plans can be trained by one launch for all steps (whole.cu), and what that launch is told: a chain of Dense and
 * BatchNormalization with functions and Dropouts behind them, from one column of the data set to one loss. Its values get places of
 * their own behind the plan's arena, none shared: blocks of a slot are at different layers at the same time. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

enum {
    MOST_NUMBERS = 1 << 30,
    MOST_ROWS = 1 << 20
}; /* the kernel counts a value's numbers in 31 bits */

static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct chain { /* while it is made */
    struct hn_gpu_build *b;
    struct hn_gpu_whole *w;
    int32_t last; /* the value that the next op must take; -1: a column of the data set */
    int channels, trained, losses;
};

static struct hn_k_item *item(const struct chain *c, int i) { return &c->w->items[i]; }
static int32_t n_items(const struct chain *c) { return c->w->args.n_items; }

/* A place for rows of `width` elements; for doubles. */
static struct hn_k_ref rows_at(const struct chain *c, int64_t width)
{
    const struct hn_gpu_exec *e = c->b->e;
    const size_t bytes = (size_t)(width * e->plan->max_rows) * e->dev->elem;
    return (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(c->b, bytes) };
}
static struct hn_k_ref doubles_at(const struct chain *c, int64_t n)
{
    return (struct hn_k_ref){ HN_KS_ARENA, hn_gpu_extra(c->b, (size_t)n * sizeof(double)) };
}

/* [rows of the batch, fixed width] */
static int64_t width_of(const struct chain *c, int32_t value)
{
    const struct hn_shape *s = hn_gpu_shape(c->b, value);
    if (s->rank != 2 || s->d[0].per_row != 1 || s->d[0].fixed || s->d[1].per_row) return 0;
    return s->d[1].fixed * c->b->e->plan->max_rows <= MOST_NUMBERS ? s->d[1].fixed : 0;
}

/* Does the op take what the one before it made, and nothing else? */
static int follows(const struct chain *c, const struct hn_op *op)
{
    return c->last >= 0 && hn_gpu_root(c->b, op->in[0]) == c->last;
}

/* A parameter where it lies in the slab; 0: it is something else. */
static int parameter(struct chain *c, int32_t value, int64_t n, struct hn_k_ref *at,
                     struct hn_k_trained *t)
{
    const struct hn_program *p = c->b->p;
    const int32_t v = hn_gpu_root(c->b, value);
    if (v < 0 || (p->values[v].kind != HN_PARAM && p->values[v].kind != HN_STATE)) return 0;
    const struct hn_param *q = &p->params[p->values[v].index];
    if ((int64_t)q->n != n) return 0;
    *at = hn_gpu_ref(c->b, (struct hn_ref){ HN_SP_W, q->off });
    *t = (struct hn_k_trained){ (q->flags & HN_PARAM_TRAINED) != 0, q->lr_mult, q->decay_mult };
    for (int i = 0; t->is && i < n_items(c);
         i++) /* shared by two layers: their gradients would have to be added */
        if (item(c, i)->w.off == at->off || (item(c, i)->b.space && item(c, i)->b.off == at->off))
            return 0;
    c->trained += t->is;
    return 1;
}

static struct hn_k_item *add_item(struct chain *c, const struct hn_op *op, enum hn_k_item_kind kind)
{
    if (n_items(c) == HN_K_ITEMS) return NULL;
    struct hn_k_item *it = item(c, n_items(c));
    it->kind = kind, it->column = -1;
    it->in = (int32_t)width_of(c, op->in[0]), it->out = (int32_t)width_of(c, op->out[0]);
    if (!it->in || !it->out) return NULL;
    if (n_items(c)) it->x = it[-1].tail.z;
    it->g = rows_at(c, it->out);
    c->last = hn_gpu_root(c->b, op->out[0]);
    return it;
}

static int take_dense(struct chain *c, const struct hn_op *op)
{
    const struct hn_dense *t = op->attrs;
    const int first = n_items(c) == 0, column = hn_gpu_column_of(c->b, op->in[0]);
    if (first ? column < 0 || column >= c->b->p->n_inputs : !follows(c, op)) return 0;
    struct hn_k_item *it = add_item(c, op, HN_K_DENSE);
    if (!it) return 0;
    if (first) {
        const struct hn_ref at = c->b->e->plan->inputs[column];
        if (at.space != HN_SP_ARENA) return 0;
        it->column = column, it->x = hn_gpu_ref(c->b, at);
    }
    it->trans = t->trans_w, it->alpha = t->alpha, it->beta = t->beta;
    if (!parameter(c, op->in[1], (int64_t)it->in * it->out, &it->w, &it->train_w)) return 0;
    if (op->n_in > 2 && op->in[2] >= 0 && !parameter(c, op->in[2], it->out, &it->b, &it->train_b))
        return 0;
    c->w->tasks += up(it->in + it->train_b.is, HN_K_DOWN) * up(it->out, HN_K_ACROSS);
    c->w->args.n_items++;
    return 1;
}

static int take_norm(struct chain *c, const struct hn_op *op)
{
    const struct hn_batchnorm *t = op->attrs;
    struct hn_k_trained state;
    if (!n_items(c) || !follows(c, op) || t->mode == 1 || op->n_out > 1 ||
        c->b->e->dev->o.norm >= HN_GPU_LIBRARY)
        return 0;
    struct hn_k_item *it = add_item(c, op, HN_K_BATCHNORM);
    if (!it || c->channels + it->out > HN_K_CHANNELS) return 0;
    it->eps = t->eps, it->momentum = t->momentum, it->population = t->population;
    it->channel = c->channels, c->channels += it->out;
    if (!parameter(c, op->in[1], it->out, &it->w, &it->train_w) ||
        !parameter(c, op->in[2], it->out, &it->b, &it->train_b) ||
        !parameter(c, op->in[3], it->out, &it->mean, &state) ||
        !parameter(c, op->in[4], it->out, &it->var, &state))
        return 0;
    const int64_t blocks = up(c->b->e->plan->max_rows, HN_K_ROW_BLOCK);
    it->parts = doubles_at(c, 2 * blocks * it->out);
    it->parts_back = doubles_at(c, 2 * blocks * it->out);
    c->w->tasks++;
    c->w->args.n_items++;
    return 1;
}

/* A function, then a Dropout: each once behind an item. */
static int take_unary(struct chain *c, const struct hn_op *op)
{
    const struct hn_unary *u = op->attrs;
    if (!n_items(c) || !follows(c, op)) return 0;
    struct hn_k_tail *t = &item(c, n_items(c) - 1)->tail;
    if (t->how || t->drops) return 0;
    t->how = 1 + hn_gpu_slope_by(c->b, op);
    t->kind = (int32_t)u->kind, t->a = u->a, t->b = u->b;
    c->last = hn_gpu_root(c->b, op->out[0]);
    return 1;
}
static int take_drop(struct chain *c, const struct hn_op *op)
{
    if (!n_items(c) || !follows(c, op) || hn_gpu_drop_by_library(c->b)) return 0;
    struct hn_k_tail *t = &item(c, n_items(c) - 1)->tail;
    if (t->drops) return 0;
    t->drops = 1, t->drop = hn_gpu_drop_of(c->b, op->attrs);
    c->last = hn_gpu_root(c->b, op->out[0]);
    return 1;
}

/* Places of what the last item makes: z is what goes on. What a slope is taken from is kept, too. */
static void settle_tail(const struct chain *c)
{
    struct hn_k_item *it = item(c, n_items(c) - 1);
    struct hn_k_tail *t = &it->tail;
    struct hn_k_ref *from = t->how == 2 ? &t->c : t->how == 3 ? &t->y : NULL;
    if (t->how)
        t->y = rows_at(c, it->out), t->z = t->y;
    else
        t->c = rows_at(c, it->out), t->z = t->c;
    if (t->how == 2) t->c = rows_at(c, it->out);
    if (t->drops) t->z = rows_at(c, it->out);
    if (from) t->by = *from;
    if (t->drops && t->how != 3) *(t->how ? &t->y : &t->c) = (struct hn_k_ref){ 0 };
}

/* The loss's launch of the plan has all that is needed; its places are changed. */
static int take_loss(struct chain *c, const struct hn_op *op)
{
    const struct hn_gpu_exec *e = c->b->e;
    const struct hn_k_loss *k = NULL;
    for (int i = 0; i < e->n_nodes; i++)
        if (e->nodes[i].kind == HN_GPU_KERNEL && e->nodes[i].kernel == HN_KN_loss)
            k = e->nodes[i].args;
    if (!k || !n_items(c) || !follows(c, op) || c->losses++ || c->b->p->n_losses != 1 ||
        op->n_in > 2 || k->column < 0 || k->cols.per_row || k->rows.fixed || k->rows.per_row != 1)
        return 0;
    c->w->args.loss = *k;
    c->w->args.loss.both = 1, c->w->args.loss.acc = 0;
    return 1;
}

static int take(struct chain *c, const struct hn_op *op)
{
    static const struct {
        const char *row;
        int (*take)(struct chain *c, const struct hn_op *op);
        int item;
    } table[] = { { "dense", take_dense, 1 },   { "batchnorm", take_norm, 1 },
                  { "unary", take_unary, 0 },   { "dropout", take_drop, 0 },
                  { "loss_ce", take_loss, 1 },  { "loss_nll", take_loss, 1 },
                  { "loss_bce", take_loss, 1 }, { "loss_regression", take_loss, 1 } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(op->row->name, table[i].row) != 0) continue;
        if (table[i].item && n_items(c))
            settle_tail(c); /* nothing more comes behind the item before */
        return table[i].take(c, op);
    }
    return 0;
}

static int trained_parameters(const struct hn_program *p)
{
    int n = 0;
    for (int i = 0; i < p->n_params; i++) n += (p->params[i].flags & HN_PARAM_TRAINED) != 0;
    return n;
}

hone_status hn_gpu_whole_build(struct hn_gpu_build *b)
{
    struct hn_gpu_exec *e = b->e;
    const struct hn_plan *plan = e->plan;
    struct chain c = { .b = b, .last = -1 };
    const size_t before = e->extra;
    if (plan->pass != HN_PASS_TRAIN || plan->n_zero_params || plan->max_rows > MOST_ROWS)
        return HONE_OK;
    c.w = hn_arena_alloc(&e->mem, 1, sizeof *c.w);
    if (!c.w) return hn_nomem(b->err, "the execution plan", sizeof *c.w);
    int can = 1;
    for (int i = 0; can && i < plan->n_forward; i++) can = take(&c, &b->p->ops[plan->steps[i].op]);
    for (int i = 0; can && i < b->p->n_outputs; i++) can = plan->outputs[i].space == HN_SP_NONE;
    can = can && c.losses == 1 && c.trained == trained_parameters(b->p);
    if (!can) {
        e->extra = before;
        return HONE_OK;
    }
    e->whole = c.w;
    c.w->args.loss.lse = doubles_at(&c, plan->max_rows);
    return HONE_OK;
}

/* ---- acts ---------------------------------------------------------------------------------------------------------- */

/* A product whose tiles are dealt out among the blocks costs two meetings, but keeps all of them busy where rows alone would
 * not: worth it when a block would have so many tiles' chunks of terms one after the other. */
enum { WORTH_SPREADING = 6 };

static int spreads(const struct hn_gpu_exec *e, const struct hn_k_item *it, int back)
{
    const int64_t out = back ? it->in : it->out, terms = back ? it->out : it->in;
    const int64_t chunks = up(terms, HN_K_TERMS / (int64_t)e->dev->elem);
    return up(e->plan->max_rows, HN_K_ROW_BLOCK) < e->whole->blocks &&
           (up(out, HN_K_ACROSS) - 1) * chunks >= WORTH_SPREADING;
}

struct acts {
    struct hn_gpu_whole *w;
    int meets, spread; /* the next act comes behind a meeting; the last one was spread */
};
static void add_act(struct acts *a, enum hn_k_act_kind kind, int i, int spread)
{
    a->w->acts[a->w->args.n_acts++] =
        (struct hn_k_act){ (int16_t)kind, (int16_t)i, (int16_t)(a->meets || spread || a->spread),
                           (int16_t)spread };
    a->meets = 0, a->spread = spread;
}

/* Forward, loss, backward, update; the blocks of a slot meet where one reads what others wrote. */
static void make_acts(struct hn_gpu_exec *e)
{
    struct hn_gpu_whole *w = e->whole;
    struct acts a = { .w = w, .meets = 1 }; /* the weights have moved */
    const int n = w->args.n_items;
    const struct hn_k_tail *tail = &w->items[n - 1].tail;
    add_act(&a, HN_KA_GATHER, 0, 0);
    for (int i = 0; i < n; i++) {
        const int norm = w->items[i].kind == HN_K_BATCHNORM;
        if (norm) add_act(&a, HN_KA_SUMS, i, 0), a.meets = 1;
        add_act(&a, norm ? HN_KA_NORM : HN_KA_DENSE, i, !norm && spreads(e, &w->items[i], 0));
    }
    add_act(&a, HN_KA_LOSS, 0, 0);
    if (tail->how || tail->drops) add_act(&a, HN_KA_TAIL, n - 1, 0);
    for (int i = n - 1; i > 0; i--) {
        const int norm = w->items[i].kind == HN_K_BATCHNORM;
        if (norm) add_act(&a, HN_KA_SUMS_BACK, i, 0), a.meets = 1;
        add_act(&a, norm ? HN_KA_NORM_BACK : HN_KA_BACK, i, !norm && spreads(e, &w->items[i], 1));
    }
    a.meets = 1;
    add_act(&a, HN_KA_UPDATE, 0, 0);
}

/* ---- running -------------------------------------------------------------------------------------------------------- */

hone_status hn_gpu_whole_prepare(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    struct hn_gpu_whole *w = e->whole;
    const size_t items = sizeof w->items, acts = (sizeof w->acts + 63) / 64 * 64;
    const int64_t row_blocks = up(e->plan->max_rows, HN_K_ROW_BLOCK);
    uint32_t most = 0;
    void *p = NULL;
    HN_TRY(d->layer->resident(d->ctx, d->elem, &most, err));
    int64_t blocks = most / (uint32_t)e->max_slots;
    const int64_t useful = row_blocks > w->tasks ? row_blocks : w->tasks;
    if (blocks > useful) blocks = useful;
    if (d->o.whole_blocks && blocks > d->o.whole_blocks) blocks = d->o.whole_blocks;
    w->blocks = (uint32_t)blocks;
    if (!blocks) return HONE_OK;
    make_acts(e);
    w->met_at = items + acts, w->met_bytes = (size_t)e->max_slots * HN_K_MET * sizeof(uint32_t);
    HN_TRY(d->layer->alloc(d->ctx, w->met_at + w->met_bytes, &p, err));
    w->tables = p;
    HN_TRY(d->layer->copy(d->ctx, w->tables, w->items, items, HN_GPU_UP, err));
    HN_TRY(d->layer->copy(d->ctx, w->tables + items, w->acts, sizeof w->acts, HN_GPU_UP, err));
    w->args.items = (const struct hn_k_item *)w->tables;
    w->args.acts = (const struct hn_k_act *)(w->tables + items);
    w->args.met = (uint32_t *)(w->tables + w->met_at);
    w->args.n_columns = e->n_columns;
    w->args.columns = w->args.loss.columns = (const struct hn_k_column *)(e->table + e->columns_at);
    w->args.env = w->args.loss.env = e->env;
    return d->layer->sync(d->ctx, err);
}

int hn_gpu_whole_serves(const struct hn_gpu_exec *e, const struct hn_gpu_graph *variant)
{
    return e->whole && e->whole->blocks && !variant->sums && !variant->clips;
}

hone_status hn_gpu_whole_steps(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    const struct hn_gpu_whole *w = e->whole;
    const struct hn_gpu_grid grid = { w->blocks, 1, (uint32_t)e->max_slots };
    HN_TRY(d->layer->fill(d->ctx, w->args.met, w->met_bytes, err));
    return d->layer->launch(d->ctx, HN_KN_whole, d->elem, grid, &w->args, sizeof w->args, err);
}
