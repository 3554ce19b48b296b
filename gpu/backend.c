/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend's two tables of functions, float and double: device, buffers, prepared plans. Everything that reaches the
 * device goes through the layer (gpu.h). Buffers are device memory; close frees what the device held, also after a fault. */
#include "gpu/backend.h"
#include "gpu/stream.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <string.h>

enum {
    OUT_BYTES = 64 << 20,
    STREAM_BYTES = 32 << 20, /* of outputs of one call; of one buffer of streamed rows */
    UNROLL = 16,
    MOST_UNROLL = 256 /* steps of one captured graph */
};

/* ---- options --------------------------------------------------------------------------------------------------- */

struct choice {
    const char *text;
    size_t at; /* int in struct hn_gpu_options */
    int value;
};
#define CHOICE(text, field, value)                                                                 \
    {                                                                                              \
        text, offsetof(struct hn_gpu_options, field), value                                        \
    }
static const struct choice choices[] = {
    CHOICE("math=fp32", math, HN_GPU_FP32),
    CHOICE("math=tf32", math, HN_GPU_TF32),
    CHOICE("math=bf16", math, HN_GPU_BF16),
    CHOICE("operands=auto", form, HN_GPU_BY_MATH),
    CHOICE("operands=plain", form, HN_GPU_PLAIN),
    CHOICE("operands=converted", form, HN_GPU_CONVERTED),
    CHOICE("operands=transposed", form, HN_GPU_TRANSPOSED),
    CHOICE("gemm-impl=auto", gemm, HN_GPU_AUTO),
    CHOICE("gemm-impl=native", gemm, HN_GPU_NATIVE),
    CHOICE("gemm-impl=library", gemm, HN_GPU_LIBRARY),
    CHOICE("gemm-native=auto", native, HN_GPU_BY_SIZE),
    CHOICE("gemm-native=tiles", native, HN_GPU_TILES),
    CHOICE("gemm-native=panels", native, HN_GPU_PANELS),
    CHOICE("gemm-native=16x16", native, HN_GPU_SHAPE + HN_KP_16x16),
    CHOICE("gemm-native=32x16", native, HN_GPU_SHAPE + HN_KP_32x16),
    CHOICE("gemm-native=64x16", native, HN_GPU_SHAPE + HN_KP_64x16),
    CHOICE("gemm-native=64x32", native, HN_GPU_SHAPE + HN_KP_64x32),
    CHOICE("gemm-native=64x48", native, HN_GPU_SHAPE + HN_KP_64x48),
    CHOICE("gemm-native=64x64", native, HN_GPU_SHAPE + HN_KP_64x64),
    CHOICE("gemm-native=mma", native, HN_GPU_MMA),
    CHOICE("gemm-native=mma-16x16", native, HN_GPU_MMA_SHAPE + HN_KM_16x16),
    CHOICE("gemm-native=mma-16x32", native, HN_GPU_MMA_SHAPE + HN_KM_16x32),
    CHOICE("gemm-native=mma-64x16", native, HN_GPU_MMA_SHAPE + HN_KM_64x16),
    CHOICE("gemm-native=mma-64x32", native, HN_GPU_MMA_SHAPE + HN_KM_64x32),
    CHOICE("gemm-native=mma-32x48", native, HN_GPU_MMA_SHAPE + HN_KM_32x48),
    CHOICE("gemm-native=mma-64x48", native, HN_GPU_MMA_SHAPE + HN_KM_64x48),
    CHOICE("overlap=on", no_overlap, 0),
    CHOICE("overlap=early", no_overlap, HN_GPU_BESIDE_EACH_OTHER),
    CHOICE("overlap=beside", no_overlap, HN_GPU_EARLY),
    CHOICE("overlap=off", no_overlap, HN_GPU_EARLY | HN_GPU_BESIDE_EACH_OTHER),
    CHOICE("graph=on", no_graph, 0),
    CHOICE("graph=off", no_graph, 1),
    CHOICE("data=auto", stream, 0),
    CHOICE("data=stream", stream, 1),
    CHOICE("dropout-impl=auto", drop, HN_GPU_AUTO),
    CHOICE("dropout-impl=native", drop, HN_GPU_NATIVE),
    CHOICE("dropout-impl=cudnn", drop, HN_GPU_LIBRARY),
    CHOICE("chain=auto", chain, HN_GPU_CHAIN_ALL),
    CHOICE("chain=loss", chain, HN_GPU_CHAIN_LOSS),
    CHOICE("chain=off", chain, HN_GPU_CHAIN_NONE),
    CHOICE("bias-sums=auto", layer_sums, 0),
    CHOICE("bias-sums=layer", layer_sums, 1),
    CHOICE("norm-width=auto", norm_width, 0),
    CHOICE("norm-width=1", norm_width, 1),
    CHOICE("norm-width=4", norm_width, 4),
    CHOICE("norm-width=8", norm_width, 8),
    CHOICE("norm-width=16", norm_width, 16),
    CHOICE("norm-width=strips", norm_width, HN_K_LINE),
    CHOICE("bn-impl=auto", norm, HN_GPU_AUTO),
    CHOICE("bn-impl=native", norm, HN_GPU_NATIVE),
    CHOICE("bn-impl=cudnn", norm, HN_GPU_LIBRARY),
    CHOICE("bn-impl=cudnn-per-activation", norm, HN_GPU_WAY + HN_GPU_NORM_PER_ACTIVATION),
    CHOICE("bn-impl=cudnn-spatial", norm, HN_GPU_WAY + HN_GPU_NORM_SPATIAL),
    CHOICE("bn-impl=cudnn-spatial-nhwc", norm, HN_GPU_WAY + HN_GPU_NORM_SPATIAL_NHWC),
    CHOICE("bn-impl=cudnn-persistent", norm, HN_GPU_WAY + HN_GPU_NORM_PERSISTENT),
    CHOICE("bn-impl=cudnn-persistent-nhwc", norm, HN_GPU_WAY + HN_GPU_NORM_PERSISTENT_NHWC),
};
#undef CHOICE

/* "name=123" as a number; -1: it is not that. */
static int64_t number_of(const char *word, size_t n, const char *name)
{
    size_t k = strlen(name);
    int64_t v = 0;
    if (n <= k || strncmp(word, name, k) != 0 || n > k + 12) return -1;
    for (size_t i = k; i < n; i++) {
        if (word[i] < '0' || word[i] > '9') return -1;
        v = 10 * v + (word[i] - '0');
    }
    return v;
}

static const char numbers[] = "device=N, stream-bytes=N or unroll=1..256";

static size_t name_of(const char *word) { return strcspn(word, "=,"); }
static int same_name(const char *a, const char *b)
{
    return name_of(a) == name_of(b) && strncmp(a, b, name_of(a)) == 0;
}

/* The values of the option of that name, or the names there are. */
static hone_status refuse(const char *word, size_t n, hone_error *err)
{
    char wanted[800] = "";
    size_t at = 0;
    int known = 0;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        known |= same_name(choices[i].text, word);
    for (size_t i = 0; i < sizeof choices / sizeof *choices && at < sizeof wanted; i++) {
        const char *text = choices[i].text;
        const int new_name = i == 0 || !same_name(choices[i - 1].text, text);
        if (known ? same_name(text, word) : new_name)
            at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%.*s, ",
                                   (int)(known ? strlen(text) : name_of(text)), text);
    }
    return known ? hn_fail(err, HONE_E_USAGE, "cuda backend",
                           "found option '%.*s', wanted one of %.*s", (int)n, word, (int)at - 2,
                           wanted)
                 : hn_fail(err, HONE_E_USAGE, "cuda backend",
                           "found option '%.*s', wanted %s%s (see gpu/OPTIONS.md)", (int)n, word,
                           wanted, numbers);
}

static hone_status read_option(const char *word, size_t n, struct hn_gpu_options *o,
                               hone_error *err)
{
    int64_t v;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (strlen(choices[i].text) == n && strncmp(word, choices[i].text, n) == 0) {
            memcpy((char *)o + choices[i].at, &choices[i].value, sizeof(int));
            return HONE_OK;
        }
    if ((v = number_of(word, n, "device=")) >= 0) {
        o->ordinal = (int)v;
        return HONE_OK;
    }
    if ((v = number_of(word, n, "stream-bytes=")) > 0) {
        o->stream_bytes = v;
        return HONE_OK;
    }
    if ((v = number_of(word, n, "unroll=")) > 0 && v <= MOST_UNROLL) {
        o->unroll = v;
        return HONE_OK;
    }
    return refuse(word, n, err);
}

static hone_status read_options(const char *text, struct hn_gpu_options *o, hone_error *err)
{
    o->stream_bytes = STREAM_BYTES, o->unroll = UNROLL;
    while (text && *text) {
        size_t n = strcspn(text, ",");
        HN_TRY(read_option(text, n, o, err));
        text += text[n] ? n + 1 : n;
    }
    return HONE_OK;
}

/* Each form of the operands is made for one precision. */
static hone_status check_form(struct hn_gpu_options *o, hone_error *err)
{
    if (o->form == HN_GPU_BY_MATH)
        o->form = o->math == HN_GPU_BF16   ? HN_GPU_CONVERTED
                  : o->math == HN_GPU_TF32 ? HN_GPU_TRANSPOSED
                                           : HN_GPU_PLAIN;
    if (o->form == HN_GPU_PLAIN || (o->form == HN_GPU_CONVERTED && o->math == HN_GPU_BF16) ||
        (o->form == HN_GPU_TRANSPOSED && o->math == HN_GPU_TF32))
        return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "cuda backend",
                   "operands=converted is for math=bf16, operands=transposed for math=tf32");
}

static int overlap_of(const struct hn_gpu_options *o)
{
    return (HN_GPU_EARLY | HN_GPU_BESIDE_EACH_OTHER) & ~o->no_overlap;
}

/* ---- device ---------------------------------------------------------------------------------------------------- */

static void gpu_close(void *dev)
{
    struct hn_gpu_dev *d = dev;
    if (!d) return;
    hn_gpu_stream_free(d);
    if (d->ctx) d->layer->close(d->ctx);
    hn_free(d->mem, d);
}

static hone_status open_device(const struct hn_host *host, const char *options, size_t elem,
                               void **dev, hone_error *err)
{
    *dev = NULL;
    struct hn_gpu_dev *d = hn_calloc(host->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the cuda backend", sizeof *d);
    d->mem = host->mem, d->layer = &hn_gpu_layer, d->elem = elem, d->threads = host->threads;
    hone_status st = read_options(options, &d->o, err);
    if (st == HONE_OK && elem == 8 && d->o.math != HN_GPU_FP32)
        st = hn_fail(err, HONE_E_USAGE, "cuda backend",
                     "math=tf32 and bf16 are for float32 models, this one is float64");
    if (st == HONE_OK) st = check_form(&d->o, err);
    if (st == HONE_OK) st = d->layer->open(d->mem, d->o.ordinal, overlap_of(&d->o), &d->ctx, err);
    if (st != HONE_OK) {
        gpu_close(d);
        return st;
    }
    *dev = d;
    return HONE_OK;
}

static hone_status open_f32(const struct hn_host *host, const char *options, void **dev,
                            hone_error *err)
{
    return open_device(host, options, sizeof(float), dev, err);
}
static hone_status open_f64(const struct hn_host *host, const char *options, void **dev,
                            hone_error *err)
{
    return open_device(host, options, sizeof(double), dev, err);
}

static int gpu_offers(void *dev, const struct hn_op *op, enum hn_pass pass, const char **why)
{
    (void)dev, (void)pass;
    *why = hn_gpu_why_not(op->row);
    return *why == NULL;
}

static void gpu_describe(void *dev, char *buf, size_t size)
{
    static const char *const maths[] = { "fp32", "TF32", "bfloat16" };
    const struct hn_gpu_dev *d = dev;
    char what[160] = "";
    d->layer->describe(d->ctx, what, sizeof what);
    (void)snprintf(buf, size, "%s; products %s, BatchNormalization %s, Dropout %s", what,
                   d->elem == 8 ? "float64" : maths[d->o.math], hn_gpu_norm_text(&d->o),
                   hn_gpu_drop_text(&d->o));
}

/* ---- buffers --------------------------------------------------------------------------------------------------- */

static hone_status gpu_alloc(void *dev, size_t bytes, void **buf, hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    *buf = NULL;
    HN_TRY(d->layer->alloc(d->ctx, bytes ? bytes : 1, buf, err));
    hone_status st = d->layer->fill(d->ctx, *buf, bytes ? bytes : 1, err);
    if (st == HONE_OK) return HONE_OK;
    d->layer->release(d->ctx, *buf);
    *buf = NULL;
    return st;
}

static void gpu_release(void *dev, void *buf)
{
    struct hn_gpu_dev *d = dev;
    if (buf) d->layer->release(d->ctx, buf);
}

static hone_status gpu_put(void *dev, void *buf, size_t off, const void *src, size_t n,
                           hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    if (n) HN_TRY(d->layer->copy(d->ctx, (char *)buf + off, src, n, HN_GPU_UP, err));
    return n ? d->layer->sync(d->ctx, err) : HONE_OK; /* src is the caller's again */
}

static hone_status gpu_get(void *dev, const void *buf, size_t off, void *dst, size_t n,
                           hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    if (n) HN_TRY(d->layer->copy(d->ctx, dst, (const char *)buf + off, n, HN_GPU_DOWN, err));
    return n ? d->layer->sync(d->ctx, err) : HONE_OK;
}

static hone_status gpu_copy(void *dev, void *dst, const void *src, size_t n, hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    return n ? d->layer->copy(d->ctx, dst, src, n, HN_GPU_ACROSS, err) : HONE_OK;
}

/* ---- prepared plans -------------------------------------------------------------------------------------------- */

static void gpu_finish(void *exec)
{
    struct hn_gpu_exec *e = exec;
    if (!e) return;
    const struct hn_gpu_dev *d = e->dev;
    void *const device[] = { e->arena, e->consts, e->grads,   e->table,
                             e->lists, e->chunks, e->squares, e->states };
    void *const pinned[] = { e->host_table, e->host_lists };
    hone_error ignored;
    hone_status idle = d->layer->sync(
        d->ctx, &ignored); /* nothing is freed under a running kernel; a fault is told elsewhere */
    (void)idle;
    hn_gpu_drop_graphs(e);
    for (size_t i = 0; i < sizeof device / sizeof *device; i++)
        if (device[i]) d->layer->release(d->ctx, device[i]);
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
        if (pinned[i]) d->layer->unpin(d->ctx, pinned[i]);
    for (int i = 0; e->outs && i < e->plan->prog->n_outputs; i++)
        if (e->outs[i]) d->layer->release(d->ctx, e->outs[i]);
    hn_arena_clear(&e->mem);
    hn_free(d->mem, e);
}

static hone_status device_bytes(struct hn_gpu_exec *e, size_t n, unsigned char **out,
                                hone_error *err)
{
    void *p = NULL;
    HN_TRY(e->dev->layer->alloc(e->dev->ctx, n ? n : 1, &p, err));
    *out = p;
    return HONE_OK;
}

/* Trained parameters cut into chunks, the table of the optimizer's blocks. Built before the nodes, uploaded after. */
static struct hn_k_chunk *make_chunks(struct hn_gpu_exec *e)
{
    const struct hn_program *p = e->plan->prog;
    size_t n = 0;
    for (int i = 0; i < p->n_params; i++) n += p->params[i].n / HN_K_CHUNK + 1;
    struct hn_k_chunk *c = hn_arena_alloc(&e->mem, n + 1, sizeof *c);
    for (int i = 0; c && i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        for (size_t at = 0; q->flags & HN_PARAM_TRAINED && at < q->n; at += HN_K_CHUNK) {
            size_t len = q->n - at < HN_K_CHUNK ? q->n - at : HN_K_CHUNK;
            c[e->n_chunks++] =
                (struct hn_k_chunk){ q->off + at, (int32_t)len, q->lr_mult, q->decay_mult, 0 };
        }
    }
    return c;
}

static hone_status make_consts(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    const struct hn_gpu_dev *d = e->dev;
    unsigned char *host = hn_calloc(d->mem, p->n_const + 1, d->elem);
    if (!host) return hn_nomem(err, "constants", p->n_const * d->elem);
    for (int i = 0; i < p->n_consts; i++)
        hn_convert(host + p->const_off[i] * d->elem, d->elem == 4 ? HN_F32 : HN_F64,
                   p->consts[i].data, p->consts[i].dtype, p->consts[i].n);
    hone_status st = device_bytes(e, p->n_const * d->elem, &e->consts, err);
    if (st == HONE_OK && p->n_const)
        st = d->layer->copy(d->ctx, e->consts, host, p->n_const * d->elem, HN_GPU_UP, err);
    if (st == HONE_OK) st = d->layer->sync(d->ctx, err);
    hn_free(d->mem, host);
    return st;
}

static hone_status make_table(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    const size_t slots = (size_t)e->max_slots;
    void *p = NULL;
    e->columns_at = (slots * sizeof(struct hn_k_slot) + 63) / 64 * 64;
    e->totals_at = e->columns_at + slots * (size_t)e->n_columns * sizeof(struct hn_k_column);
    e->table_bytes = e->totals_at + slots * 2 * (size_t)e->plan->prog->n_losses * sizeof(double);
    HN_TRY(device_bytes(e, e->table_bytes, &e->table, err));
    HN_TRY(d->layer->pin(d->ctx, e->table_bytes, &p, err));
    e->host_table = p;
    return HONE_OK;
}

static hone_status make_outputs(struct hn_gpu_exec *e, hone_error *err)
{
    const struct hn_program *p = e->plan->prog;
    size_t most = 1;
    e->outs = hn_arena_alloc(&e->mem, (size_t)p->n_outputs + 1, sizeof *e->outs);
    if (!e->outs)
        return hn_nomem(err, "the execution plan", (size_t)p->n_outputs * sizeof *e->outs);
    for (int i = 0; i < p->n_outputs; i++) {
        struct hn_dim n = hn_shape_count(&p->values[p->outputs[i]].shape);
        size_t bytes = (size_t)(n.per_row * e->plan->max_rows + n.fixed) * e->dev->elem;
        if (bytes > most) most = bytes;
    }
    e->out_chunk = (int64_t)(OUT_BYTES / (most * (size_t)e->max_slots));
    if (e->out_chunk < 1) e->out_chunk = 1;
    if (e->out_chunk > 1024) e->out_chunk = 1024;
    for (int i = 0; i < p->n_outputs; i++) {
        unsigned char *at = NULL;
        struct hn_dim n = hn_shape_count(&p->values[p->outputs[i]].shape);
        size_t bytes = (size_t)(n.per_row * e->plan->max_rows + n.fixed) * e->dev->elem;
        if (e->plan->outputs[i].space == HN_SP_NONE) continue;
        HN_TRY(device_bytes(e, bytes * (size_t)e->out_chunk * (size_t)e->max_slots, &at, err));
        e->outs[i] = at;
    }
    return HONE_OK;
}

/* What nodes could not know while they were built. */
static void settle(struct hn_gpu_exec *e)
{
    const struct hn_program *p = e->plan->prog;
    e->env.slots = (struct hn_k_slot *)e->table;
    e->env.arena = e->arena, e->env.stride = e->extra, e->env.consts = e->consts;
    for (int i = 0; i < e->n_nodes; i++) {
        struct hn_gpu_node *n = &e->nodes[i];
        if (n->kind != HN_GPU_KERNEL) continue;
        const struct hn_k_column *columns = (const struct hn_k_column *)(e->table + e->columns_at);
        if (n->kernel == HN_KN_gather) ((struct hn_k_gather *)n->args)->columns = columns;
        if (hn_gpu_is_product(n->kernel)) ((struct hn_k_gemm *)n->args)->columns = columns;
        if (n->kernel == HN_KN_loss || n->kernel == HN_KN_loss_back)
            ((struct hn_k_loss *)n->args)->columns = columns;
        if (n->kernel == HN_KN_chain) { /* what these look for is the same in every graph */
            struct hn_k_chain *k = n->args;
            k->loss.columns = columns, k->loss.env = k->norm.env = e->env;
        }
        if (n->kernel == HN_KN_emit) {
            struct hn_k_emit *k = n->args;
            struct hn_dim count = hn_shape_count(&p->values[p->outputs[k->stride]].shape);
            k->to = e->outs[k->stride];
            k->stride = e->out_chunk * (count.per_row * e->plan->max_rows + count.fixed);
        }
        if (n->kernel == HN_KN_sums || n->kernel == HN_KN_squares || n->kernel == HN_KN_clip ||
            n->kernel == HN_KN_optim)
            ((struct hn_k_optim *)n->args)->chunks = e->chunks,
                                ((struct hn_k_optim *)n->args)->squares = e->squares;
    }
}

static hone_status make_memory(struct hn_gpu_exec *e, const struct hn_k_chunk *chunks,
                               hone_error *err)
{
    const struct hn_gpu_dev *d = e->dev;
    const size_t slots = (size_t)e->max_slots, n = (size_t)e->n_chunks;
    unsigned char *p = NULL;
    HN_TRY(device_bytes(e, e->extra * slots, &e->arena, err));
    HN_TRY(make_table(e, err));
    HN_TRY(make_consts(e, err));
    HN_TRY(make_outputs(e, err));
    HN_TRY(hn_gpu_make_states(e, err));
    HN_TRY(device_bytes(e, n * sizeof *chunks, &p, err));
    e->chunks = (struct hn_k_chunk *)p;
    HN_TRY(device_bytes(e, n * slots * sizeof(double), &p, err));
    e->squares = (double *)p;
    if (n) HN_TRY(d->layer->copy(d->ctx, e->chunks, chunks, n * sizeof *chunks, HN_GPU_UP, err));
    return d->layer->sync(d->ctx, err);
}

static hone_status gpu_prepare(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                               hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    *exec = NULL;
    if (plan->elem != d->elem || max_slots < 1 || max_slots > 65535)
        return hn_fail(err, HONE_E_USAGE, "cuda backend",
                       "the plan has elements of %zu bytes and %d slots, wanted %zu and 1 or more",
                       plan->elem, max_slots, d->elem);
    if (max_slots > 1 && (d->o.norm >= HN_GPU_LIBRARY || d->o.drop >= HN_GPU_LIBRARY))
        return hn_fail(err, HONE_E_UNSUPPORTED, "cuda backend",
                       "cuDNN's BatchNormalization and Dropout train one model at a time, found %d "
                       "in one plan: bn-impl=native, dropout-impl=native or auto can",
                       max_slots);
    if (max_slots > 1 && !hn_gpu_exact_anyway(d, plan))
        return hn_fail(
            err, HONE_E_UNSUPPORTED, "cuda backend",
            "products on tensor cores are for one model at a time, found %d in one plan: "
            "math=fp32 can",
            max_slots);
    struct hn_gpu_exec *e = hn_calloc(d->mem, 1, sizeof *e);
    if (!e) return hn_nomem(err, "the cuda backend", sizeof *e);
    e->dev = d, e->plan = plan, e->max_slots = max_slots;
    e->library = max_slots == 1;
    e->n_columns = plan->prog->n_inputs + plan->prog->n_targets;
    hn_arena_init(&e->mem, d->mem);
    e->column_used = hn_arena_alloc(&e->mem, (size_t)e->n_columns + 1, 1);
    e->column_in_place = hn_arena_alloc(&e->mem, (size_t)e->n_columns + 1, 1);
    struct hn_k_chunk *const chunks = e->all_chunks = make_chunks(e);
    hone_status st = e->column_used && e->column_in_place && chunks
                         ? HONE_OK
                         : hn_nomem(err, "the execution plan", sizeof *chunks);
    if (st == HONE_OK) st = hn_gpu_build(e, err);
    if (st == HONE_OK) st = make_memory(e, chunks, err);
    if (st == HONE_OK) settle(e);
    if (st != HONE_OK) {
        gpu_finish(e);
        return st;
    }
    *exec = e;
    return HONE_OK;
}

static hone_status gpu_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                           hone_error *err)
{
    return hn_gpu_run(exec, slots, n_slots, n_steps, err);
}

#define BACKEND(open_function, bytes)                                                              \
    {                                                                                              \
        .size = sizeof(struct hn_backend), .build = HN_VERSION, .name = "cuda", .elem = bytes,     \
        .open = open_function, .close = gpu_close, .offers = gpu_offers, .alloc = gpu_alloc,       \
        .release = gpu_release, .put = gpu_put, .get = gpu_get, .copy = gpu_copy,                  \
        .bind = hn_gpu_bind, .unbind = hn_gpu_unbind, .prepare = gpu_prepare, .run = gpu_run,      \
        .finish = gpu_finish, .state_size = hn_gpu_state_size, .state_save = hn_gpu_state_save,    \
        .state_load = hn_gpu_state_load, .describe = gpu_describe                                  \
    }
const struct hn_backend hn_backend_cuda_f32 = BACKEND(open_f32, sizeof(float));
const struct hn_backend hn_backend_cuda_f64 = BACKEND(open_f64, sizeof(double));
