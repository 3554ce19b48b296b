/* SPDX-License-Identifier: MIT
 *
 * From a plan's steps to nodes. Each program op has a builder that appends the launches of one step; this file has the frame:
 * gathering, zeroing, losses' verdict, commits, the optimizer. Nothing here touches the device. */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

enum { JUDGE_CHANNELS = 1024 }; /* of all running statistics that judge moves by itself */

/* ---- help for builders --------------------------------------------------------------------------------------- */

struct hn_k_ref hn_gpu_ref(const struct hn_gpu_build *b, struct hn_ref r)
{
    static const enum hn_k_space spaces[] = { [HN_SP_NONE] = HN_KS_NONE,
                                              [HN_SP_ARENA] = HN_KS_ARENA,
                                              [HN_SP_W] = HN_KS_W,
                                              [HN_SP_DW] = HN_KS_DW,
                                              [HN_SP_CONST] = HN_KS_CONST };
    size_t unit = r.space == HN_SP_ARENA || r.space == HN_SP_NONE ? 1 : b->e->dev->elem;
    return (struct hn_k_ref){ (int32_t)spaces[r.space], r.off * unit };
}

const struct hn_shape *hn_gpu_shape(const struct hn_gpu_build *b, int32_t value)
{
    return &b->p->values[value].shape;
}

struct hn_k_dim hn_gpu_span(const struct hn_shape *s, int from, int to)
{
    struct hn_k_dim n = { 0, 1 };
    for (int i = from; i < to; i++) { /* at most one dim follows the batch */
        struct hn_dim d = s->d[i];
        if (d.per_row) {
            n = (struct hn_k_dim){ d.per_row * n.fixed, d.fixed * n.fixed };
        } else {
            n.per_row *= d.fixed, n.fixed *= d.fixed;
        }
    }
    return n;
}

struct hn_k_dims hn_gpu_dims(const struct hn_shape *s)
{
    struct hn_k_dims k = { .rank = s->rank };
    for (int i = 0; i < s->rank; i++) k.d[i] = hn_gpu_dim(s->d[i]);
    return k;
}

static struct hn_gpu_node *append(struct hn_gpu_build *b)
{
    struct hn_gpu_exec *e = b->e;
    if (e->n_nodes == e->cap_nodes) {
        int cap = e->cap_nodes ? 2 * e->cap_nodes : 64;
        struct hn_gpu_node *more = hn_arena_alloc(&e->mem, (size_t)cap, sizeof *more);
        if (!more) return NULL;
        if (e->n_nodes) memcpy(more, e->nodes, (size_t)e->n_nodes * sizeof *more);
        e->nodes = more, e->cap_nodes = cap;
    }
    struct hn_gpu_node *n = &e->nodes[e->n_nodes++];
    n->name = b->op ? b->op->name : "a step";
    n->per_x = n->per_y = 1, n->most_x = INT32_MAX;
    n->x = n->y = hn_gpu_fixed(1);
    return n;
}

struct hn_gpu_node *hn_gpu_add(struct hn_gpu_build *b, enum hn_k_id kernel, const void *args,
                               size_t bytes, struct hn_k_dim x, int64_t per_x)
{
    struct hn_gpu_node *n = append(b);
    if (!n) return NULL;
    n->kind = HN_GPU_KERNEL, n->kernel = kernel;
    n->args = hn_arena_alloc(&b->e->mem, 1, bytes);
    n->bytes = bytes;
    n->x = x, n->per_x = per_x;
    if (!n->args) return NULL;
    memcpy(n->args, args, bytes);
    return n;
}

struct hn_gpu_node *hn_gpu_library(struct hn_gpu_build *b, enum hn_gpu_kind kind)
{
    struct hn_gpu_node *n = append(b);
    if (n) n->kind = kind;
    return n;
}

size_t hn_gpu_extra(struct hn_gpu_build *b, size_t bytes)
{
    size_t at = b->e->extra;
    b->e->extra = (at + bytes + 255) / 256 * 256;
    return at;
}

int hn_gpu_relu_follows(const struct hn_gpu_build *b)
{
    if (!b->next || b->next->backward || b->s->backward) return 0;
    const struct hn_op *op = &b->p->ops[b->next->op];
    if (op->row != b->p->ops[b->next->op].row || strcmp(op->row->name, "unary") != 0) return 0;
    const struct hn_unary *u = op->attrs;
    return u->kind == HN_U_RELU && hn_gpu_same(b->next->x[0], b->s->y[0]) &&
           hn_gpu_same(b->next->y[0], b->s->y[0]);
}

/* ---- the table of builders ------------------------------------------------------------------------------------ */

hn_gpu_builder *hn_gpu_builder_of(const struct hn_op_row *row)
{
    static const struct {
        const char *name;
        hn_gpu_builder *build;
    } table[] = { { "dense", hn_gpu_dense },         { "matmul", hn_gpu_matmul },
                  { "quantize", hn_gpu_quantize },   { "unary", hn_gpu_unary },
                  { "binary", hn_gpu_binary },       { "batchnorm", hn_gpu_batchnorm },
                  { "layernorm", hn_gpu_layernorm }, { "dropout", hn_gpu_dropout },
                  { "softmax", hn_gpu_softmax },     { "concat", hn_gpu_concat },
                  { "slice", hn_gpu_slice },         { "transpose", hn_gpu_transpose },
                  { "reduce", hn_gpu_reduce },       { "noise", hn_gpu_noise },
                  { "mixup", hn_gpu_mixup },         { "onehot", hn_gpu_onehot },
                  { "embedding", hn_gpu_embedding }, { "loss_ce", hn_gpu_loss },
                  { "loss_nll", hn_gpu_loss },       { "loss_bce", hn_gpu_loss },
                  { "loss_regression", hn_gpu_loss } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(row->name, table[i].name) == 0) return table[i].build;
    return NULL;
}

const char *hn_gpu_why_not(const struct hn_op_row *row)
{
    if (hn_gpu_builder_of(row)) return NULL;
    return strcmp(row->name, "custom") == 0
               ? "a plug-in's operator is computed on the CPU alone (--device cpu, or auto)"
               : "it has no kernel on the GPU (--device cpu has)";
}

/* ---- frame ---------------------------------------------------------------------------------------------------- */

static hone_status no_memory(const struct hn_gpu_build *b)
{
    return hn_nomem(b->err, "the execution plan", sizeof(struct hn_gpu_node));
}

static hone_status launch_gather(struct hn_gpu_build *b, struct hn_k_gather *g,
                                 struct hn_k_dim *most)
{
    if (g->n == 0) return HONE_OK;
    struct hn_gpu_node *n = hn_gpu_add(b, HN_KN_gather, g, sizeof *g, *most, 4 * HN_BLOCK);
    if (!n) return no_memory(b);
    n->y = hn_gpu_fixed(g->n);
    if (g->spare) n->stage = HN_GPU_GATHERS;
    g->n = 0;
    return HONE_OK;
}

/* Columns that the plan reads, up to HN_K_COLUMNS in one launch; spare: those that products read in place where they can. */
static hone_status gather(struct hn_gpu_build *b, int spare)
{
    const struct hn_program *p = b->p;
    const struct hn_plan *plan = b->e->plan;
    struct hn_k_gather g = { .n_columns = b->e->n_columns, .spare = spare };
    struct hn_k_dim most = { 0, 0 };
    for (int c = 0; c < b->e->n_columns; c++) {
        if (g.n == HN_K_COLUMNS) HN_TRY(launch_gather(b, &g, &most));
        int target = c >= p->n_inputs, k = target ? c - p->n_inputs : c;
        struct hn_ref to = target ? plan->targets[k] : plan->inputs[k];
        if (to.space != HN_SP_ARENA) continue;
        struct hn_dim n = hn_shape_count(hn_gpu_shape(b, target ? p->targets[k] : p->inputs[k]));
        b->e->column_used[c] = 1;
        b->e->column_in_place[c] = b->in_place[c] && !target;
        if (spare ? !b->e->column_in_place[c] : b->in_place[c]) continue;
        g.c[g.n].to = hn_gpu_ref(b, to), g.c[g.n].column = c;
        g.c[g.n].batched = n.per_row != 0;
        g.c[g.n].each = n.per_row ? n.per_row : n.fixed;
        if (n.per_row > most.per_row) most.per_row = n.per_row;
        if (n.fixed > most.fixed) most.fixed = n.fixed;
        g.n++;
    }
    return launch_gather(b, &g, &most);
}

static hone_status zero(struct hn_gpu_build *b)
{
    const struct hn_plan *plan = b->e->plan;
    for (int i = 0; i < plan->n_zero_params; i++) {
        const struct hn_param *q = &b->p->params[plan->zero_params[i]];
        struct hn_k_fill f = { .to = hn_gpu_ref(b, (struct hn_ref){ HN_SP_DW, q->off }),
                               .n = hn_gpu_fixed((int64_t)q->n) };
        if (!hn_gpu_add(b, HN_KN_fill, &f, sizeof f, f.n, 4 * HN_BLOCK)) return no_memory(b);
    }
    return HONE_OK;
}

static hone_status emit(struct hn_gpu_build *b)
{
    const struct hn_plan *plan = b->e->plan;
    for (int i = 0; i < b->p->n_outputs; i++) {
        if (plan->outputs[i].space == HN_SP_NONE) continue;
        struct hn_k_emit k = { .from = hn_gpu_ref(b, plan->outputs[i]) };
        k.n = hn_gpu_dim(hn_shape_count(hn_gpu_shape(b, b->p->outputs[i])));
        k.stride = i; /* which output: prepare puts the buffer and its stride here */
        if (!hn_gpu_add(b, HN_KN_emit, &k, sizeof k, k.n, 4 * HN_BLOCK)) return no_memory(b);
    }
    return HONE_OK;
}

static int has_optimizer(const struct hn_gpu_exec *e)
{
    return hn_gpu_trains(e->plan->pass) && e->n_chunks > 0;
}

/* The commit that belongs to a node; 0: none does. */
static int commit_of(const struct hn_gpu_node *n, struct hn_k_commit *c)
{
    const struct hn_k_chain *chain = n->args;
    const int chained = n->kernel == HN_KN_chain && chain->has_norm;
    const struct hn_k_norm *k = chained ? &chain->norm : n->args;
    const int is = chained || n->kernel == HN_KN_norm || n->kernel == HN_KN_norm1 ||
                   n->kernel == HN_KN_norm8 || n->kernel == HN_KN_norm16 ||
                   n->kernel == HN_KN_strips;
    if (n->kind != HN_GPU_KERNEL || !is || k->stats.space == HN_KS_NONE) return 0;
    *c = (struct hn_k_commit){ k->stats, k->mean, k->var, k->channels, k->momentum, k->copied };
    return 1;
}

/* judge's one block makes the commits of the nodes forward if they are few and small. */
static int few_commits(const struct hn_gpu_build *b, int from, int to)
{
    int64_t n = 0, channels = 0;
    struct hn_k_commit c;
    for (int i = from; i < to; i++)
        if (commit_of(&b->e->nodes[i], &c)) n++, channels += c.channels;
    return n <= HN_K_COMMITS && channels <= JUDGE_CHANNELS;
}

static void take_commits(const struct hn_gpu_build *b, struct hn_k_judge *k, int from, int to)
{
    for (int i = from; i < to && few_commits(b, from, to); i++)
        k->n_commits += commit_of(&b->e->nodes[i], &k->commits[k->n_commits]);
}

static hone_status judge(struct hn_gpu_build *b, int from, int to)
{
    struct hn_gpu_exec *e = b->e;
    struct hn_k_judge k = { .row_stride = e->row_stride,
                            .training = hn_gpu_trains(e->plan->pass),
                            .optimizes = e->plan->pass == HN_PASS_TRAIN,
                            .last = !has_optimizer(e) };
    k.rows = (struct hn_k_ref){ HN_KS_ARENA, e->row_at };
    k.sums = (struct hn_k_ref){ HN_KS_ARENA, e->sums_at };
    int live[HN_K_COLUMNS] = { 0 };
    for (int i = 0; i < e->plan->n_forward; i++) {
        int l = b->loss_of[e->plan->steps[i].op];
        if (l >= 0) live[l] = 1;
    }
    for (int i = 0; i < b->p->n_ops; i++) {
        const struct hn_op *op = &b->p->ops[i];
        int l = b->loss_of[i];
        if (l < 0 || !live[l]) continue;
        const struct hn_shape *x = hn_gpu_shape(b, op->in[0]);
        int classes =
            strcmp(op->row->name, "loss_ce") == 0 || strcmp(op->row->name, "loss_nll") == 0;
        k.loss_rows[l] =
            x->rank == 0 ? hn_gpu_fixed(1) : hn_gpu_span(x, 0, classes ? x->rank - 1 : 1);
        k.n_losses = l + 1;
    }
    take_commits(b, &k, from, to);
    return hn_gpu_add(b, HN_KN_judge, &k, sizeof k, hn_gpu_fixed(1), 1) ? HONE_OK : no_memory(b);
}

static hone_status side(struct hn_gpu_build *b, enum hn_gpu_side what)
{
    struct hn_gpu_node *n = hn_gpu_library(b, HN_GPU_SIDE);
    if (!n) return no_memory(b);
    n->side = what;
    return HONE_OK;
}

static hone_status steps(struct hn_gpu_build *b, int from, int to)
{
    const struct hn_plan *plan = b->e->plan;
    for (int i = from; i < to; i++) {
        b->s = &plan->steps[i], b->op = &b->p->ops[b->s->op];
        b->next = i + 1 < to ? &plan->steps[i + 1] : NULL;
        b->end = &plan->steps[to];
        b->fused = 0;
        hn_gpu_builder *build = hn_gpu_builder_of(b->op->row);
        if (!build)
            return hn_fail(b->err, HONE_E_UNSUPPORTED, b->op->name, "%s: %s", b->op->row->name,
                           hn_gpu_why_not(b->op->row));
        if (build != hn_gpu_dense) HN_TRY(hn_gpu_chain_end(b));
        HN_TRY(build(b));
        i += b->fused;
    }
    HN_TRY(hn_gpu_chain_end(b));
    b->s = b->next = NULL, b->op = NULL;
    return HONE_OK;
}

/* Batch statistics of the nodes so far move the running ones, where judge does not do it. */
static hone_status commits(struct hn_gpu_build *b, int from, int to)
{
    struct hn_k_commits k = { .env = { 0 } };
    for (int i = from; i < to && !few_commits(b, from, to); i++) {
        if (!commit_of(&b->e->nodes[i], &k.c)) continue;
        if (!hn_gpu_add(b, HN_KN_norm_commit, &k, sizeof k, hn_gpu_fixed(k.c.channels), HN_BLOCK))
            return no_memory(b);
    }
    return HONE_OK;
}

static hone_status rows_of_losses(struct hn_gpu_build *b)
{
    int n = 0;
    struct hn_gpu_exec *e = b->e;
    b->loss_of = hn_arena_alloc(&e->mem, (size_t)b->p->n_ops + 1, sizeof *b->loss_of);
    b->kept = hn_arena_alloc(&e->mem, (size_t)b->p->n_ops + 1, sizeof *b->kept);
    b->copies = hn_arena_alloc(&e->mem, 2 * (size_t)b->p->n_values + 1, sizeof *b->copies);
    b->weights = hn_arena_alloc(&e->mem, (size_t)b->p->n_params + 1, sizeof *b->weights);
    if (!b->loss_of || !b->kept || !b->copies || !b->weights) return no_memory(b);
    for (int i = 0; i < b->p->n_ops; i++) {
        const struct hn_op *op = &b->p->ops[i];
        b->loss_of[i] = op->row->flags & HN_OP_LOSS ? n++ : -1;
        if (b->loss_of[i] < 0) continue;
        const struct hn_shape *x = hn_gpu_shape(b, op->in[0]);
        int64_t rows =
            hn_gpu_n(hn_gpu_span(x, 0, x->rank > 0 ? x->rank - 1 : 0), e->plan->max_rows);
        int64_t first = x->rank > 0 ? hn_gpu_n(hn_gpu_dim(x->d[0]), e->plan->max_rows) : 1;
        if (rows < first) rows = first;
        if (rows > e->row_stride) e->row_stride = rows;
    }
    if (n > HN_K_COLUMNS)
        return hn_fail(b->err, HONE_E_UNSUPPORTED, "loss",
                       "found %d losses, a GPU takes %d at most (--device cpu takes more)", n,
                       HN_K_COLUMNS);
    e->row_at = hn_gpu_extra(b, 2 * (size_t)n * (size_t)e->row_stride * sizeof(double));
    e->sums_at = hn_gpu_extra(b, 2 * (size_t)n * sizeof(double));
    return HONE_OK;
}

hone_status hn_gpu_build(struct hn_gpu_exec *e, hone_error *err)
{
    struct hn_gpu_build b = { .e = e, .p = e->plan->prog, .summed = -1, .err = err };
    const struct hn_plan *plan = e->plan;
    e->extra = (plan->arena_bytes + 255) / 256 * 256;
    HN_TRY(rows_of_losses(&b));
    HN_TRY(hn_gpu_find_in_place(&b));
    HN_TRY(gather(&b, 0));
    HN_TRY(gather(&b, 1));
    HN_TRY(zero(&b));
    int first = e->n_nodes;
    HN_TRY(steps(&b, 0, plan->n_forward));
    int last = e->n_nodes;
    HN_TRY(emit(&b));
    const int beside = b.loss_done && has_optimizer(e);
    if (beside) HN_TRY(side(&b, HN_GPU_FORK));
    HN_TRY(judge(&b, first, last));
    HN_TRY(commits(&b, first, last));
    if (beside) HN_TRY(side(&b, HN_GPU_BACK));
    HN_TRY(steps(&b, plan->n_forward, plan->n_steps));
    if (beside) HN_TRY(side(&b, HN_GPU_JOIN));
    return hn_gpu_trains(plan->pass) ? hn_gpu_update(&b) : HONE_OK;
}
