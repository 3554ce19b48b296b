/* SPDX-License-Identifier: MIT
 *
 * See fake.h. */
#include "tests/gpu/fake.h"
#include "gpu/gpu.h"
#include "ops/base/status.h"
#include "tests/gpu/fake_cudnn.h"
#include <stdlib.h>
#include <string.h>

struct fake fake;
void fake_reset(void) { fake = (struct fake){ .present = 1 }; }

struct at {
    int64_t x, y, z, nx;
};
typedef void kernel(const void *args, const struct at *at);
#define DECLARE(name)                                                                              \
    kernel hn_k_##name##_f32;                                                                      \
    kernel hn_k_##name##_f64;
HN_K_LIST(DECLARE)
#undef DECLARE
#define F32(name) hn_k_##name##_f32,
#define F64(name) hn_k_##name##_f64,
static kernel *const kernels[2][HN_KN_COUNT] = { { HN_K_LIST(F32) }, { HN_K_LIST(F64) } };
#undef F32
#undef F64

struct product {
    struct hn_gpu_gemm g;
};
enum {
    PRODUCT = -1,
    NORM = -2,
    NORM_BACK = -3,
    DROP = -4,
    DROP_BACK = -5,
    SEED = -6,
    COPY = -7,
    FILL = -8,
    REPLAY = -9,
    UPLOADS = -10
};
struct record { /* a launch or a library's call */
    struct record *next;
    int kernel; /* negative: see above */
    size_t elem, bytes;
    struct hn_gpu_grid grid;
    const void *handle, *a, *b;
    void *c, *bias;
    struct record *uploads; /* that are done here at the latest */
    struct hn_gpu_norm_at at;
    uint64_t seed;
    unsigned char args[];
};
struct context {
    struct hn_mem *mem;
    struct record *recorded, **end;
    int capturing, lost, side;
    struct record *late, **late_end;      /* queued beside, not done yet */
    struct record *queue, **queue_end;    /* of the compute stream, when that is late */
    struct record *uploads, **upload_end; /* when these are */
};

static void free_records(struct record *r)
{
    while (r) {
        struct record *next = r->next;
        free_records(r->uploads);
        free(r);
        r = next;
    }
}

static hone_status may_fail(const char *what, hone_error *err)
{
    if (++fake.calls == fake.fail_at)
        return hn_fail(err, HONE_E_DEVICE, "the fake device", "%s fails as asked", what);
    return HONE_OK;
}
#define STEP(what) HN_TRY(may_fail(what, err))

static hone_status fake_open(struct hn_mem *mem, int ordinal, int overlap, void **ctx,
                             hone_error *err)
{
    (void)overlap;
    STEP("open");
    if (ordinal > 0)
        return hn_fail(err, HONE_E_DEVICE, "the fake device", "found device %d, there is 1",
                       ordinal);
    struct context *c = calloc(1, sizeof *c);
    c->mem = mem, c->end = &c->recorded, c->late_end = &c->late;
    c->queue_end = &c->queue, c->upload_end = &c->uploads;
    const char *bytes = getenv("HONE_FAKE_BYTES"); /* so much memory, for the command's test */
    if (bytes) fake.limit = (size_t)strtoull(bytes, NULL, 10);
    fake.contexts++;
    *ctx = c;
    return HONE_OK;
}
/* The command's test wants to know what a process asked of its device: a line each in the file of that name. */
static void tell(void)
{
    const char *path = getenv("HONE_FAKE_COUNTS");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f) return;
    (void)fprintf(f, "%d\n", fake.replays);
    (void)fclose(f);
}
static void fake_close(void *ctx)
{
    struct context *c = ctx;
    fake.contexts--;
    free_records(c->late);
    free_records(c->queue);
    free_records(c->uploads);
    free(ctx);
    tell();
}
static void fake_describe(void *ctx, char *buf, size_t size)
{
    (void)ctx;
    if (size > 4) memcpy(buf, "fake", 5);
}
static hone_status fake_memory(void *ctx, size_t *free_bytes, size_t *total, hone_error *err)
{
    (void)ctx;
    STEP("memory");
    *total = fake.limit ? fake.limit : (size_t)1 << 34;
    *free_bytes = *total > fake.live ? *total - fake.live : 0;
    return HONE_OK;
}
static hone_status fake_alloc(void *ctx, size_t bytes, void **p, hone_error *err)
{
    (void)ctx;
    STEP("alloc");
    if (fake.limit && fake.live + bytes > fake.limit) return hn_nomem(err, "device memory", bytes);
    size_t *block = aligned_alloc(64, (bytes + 64 + 63) / 64 * 64);
    memset(block, 0xff, (bytes + 64 + 63) / 64 * 64); /* NaN */
    block[0] = bytes;
    fake.live += bytes;
    *p = block + 8;
    return HONE_OK;
}
static void fake_release(void *ctx, void *p)
{
    (void)ctx;
    size_t *block = (size_t *)p - 8;
    fake.live -= block[0];
    free(block);
}
/* ---- work ------------------------------------------------------------------------------------------------------- */

static double element(const void *p, size_t elem, int64_t i)
{
    return elem == 4 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}
static void store(void *p, size_t elem, int64_t i, double v)
{
    if (elem == 4)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

/* An element of a product's operand, as the product sees it: with math=bf16 rounded, whether it was converted before or not. */
static double operand(const struct hn_gpu_gemm *g, const void *p, int64_t i)
{
    union {
        float f;
        uint32_t u;
    } w;
    if (g->bf16) {
        w.u = (uint32_t)((const uint16_t *)p)[i] << 16;
        return (double)w.f;
    }
    if (g->math != HN_GPU_BF16) return element(p, g->elem, i);
    w.f = ((const float *)p)[i];
    if (w.f - w.f == 0) /* a number, to the nearest of 8 bits, ties to even */
        w.u = (w.u + 0x7fff + (w.u >> 16 & 1)) & 0xffff0000u;
    return (double)w.f;
}

static void multiply(const struct record *r)
{
    const struct hn_gpu_gemm *g = &((const struct product *)r->handle)->g;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < g->k; k++)
                sum += operand(g, r->a, g->trans_a ? k * g->m + i : i * g->k + k) *
                       operand(g, r->b, g->trans_b ? j * g->k + k : k * g->n + j);
            sum = g->alpha * sum + (g->acc ? element(r->c, g->elem, i * g->n + j) : 0);
            if (g->bias) sum += element(r->bias, g->elem, j);
            store(r->c, g->elem, i * g->n + j, g->relu && sum <= 0 ? 0 : sum);
        }
    for (int64_t i = 0; g->sums && i < (g->sums == 1 ? g->m : g->n); i++) {
        double sum = 0;
        for (int64_t k = 0; k < g->k; k++)
            sum += g->sums == 1 ? operand(g, r->a, g->trans_a ? k * g->m + i : i * g->k + k)
                                : operand(g, r->b, g->trans_b ? i * g->k + k : k * g->n + i);
        store(r->bias, g->elem, i, sum);
    }
}

struct graph {
    struct record *first;
};
static void perform_all(const struct record *r);
/* Where the kernels are watched (tests/gpu/watched), the watcher wants to know what runs. */
void hn_watch_launch(const char *kernel) __attribute__((weak));
void hn_watch_block(int64_t x, int64_t y, int64_t z) __attribute__((weak));
void hn_watch_host(void) __attribute__((weak));
#define NAME(name) #name,
static const char *const names[HN_KN_COUNT] = { HN_K_LIST(NAME) };
#undef NAME

static void perform(const struct record *r)
{
    switch (r->kernel) {
    case PRODUCT: multiply(r); return;
    case NORM: fake_normalize(r->handle, &r->at); return;
    case NORM_BACK: fake_normalize_back(r->handle, &r->at); return;
    case DROP: fake_drop_forward(r->handle, r->a, r->c, r->bias); return;
    case DROP_BACK: fake_drop_backward(r->handle, r->a, r->c, r->bias); return;
    case SEED: fake_drop_fill(r->c, r->seed); return;
    case COPY: memcpy(r->c, r->a, r->bytes); return;
    case UPLOADS: perform_all(r->uploads); return;
    case FILL: memset(r->c, 0, r->bytes); return;
    case REPLAY: perform_all(((const struct graph *)r->handle)->first); return;
    default: break;
    }
    if (hn_watch_launch) hn_watch_launch(names[r->kernel]);
    /* blocks in reverse: nothing may depend on their order */
    for (int64_t z = r->grid.z; z-- > 0;)
        for (int64_t y = r->grid.y; y-- > 0;)
            for (int64_t x = r->grid.x; x-- > 0;) {
                struct at at = { x, y, z, r->grid.x };
                if (hn_watch_block) hn_watch_block(x, y, z);
                kernels[r->elem == 8][r->kernel](r->args, &at);
            }
}

static void perform_all(const struct record *r)
{
    for (; r; r = r->next) perform(r);
}

static void append(struct record ***end, struct record *r)
{
    r->next = NULL;
    **end = r;
    *end = &r->next;
}

static void record_or_do(struct context *c, struct record *r)
{
    if (c->capturing) {
        append(&c->end, r);
    } else if (fake.late) {
        append(&c->queue_end, r);
    } else {
        perform(r);
        free_records(r);
    }
}

static void perform_list(struct record **list, struct record ***end)
{
    perform_all(*list);
    free_records(*list);
    *list = NULL, *end = list;
}

static struct record *copying(int what, void *to, const void *from, size_t n)
{
    struct record *r = calloc(1, sizeof *r);
    r->kernel = what, r->c = to, r->a = from, r->bytes = n;
    return r;
}

static hone_status fake_fill(void *ctx, void *p, size_t n, hone_error *err)
{
    if (hn_watch_host) hn_watch_host();
    STEP("fill");
    record_or_do(ctx, copying(FILL, p, NULL, n));
    return HONE_OK;
}
static hone_status fake_copy(void *ctx, void *to, const void *from, size_t n, enum hn_gpu_copy way,
                             hone_error *err)
{
    if (hn_watch_host) hn_watch_host();
    (void)way;
    STEP("copy");
    record_or_do(ctx, copying(COPY, to, from, n));
    return HONE_OK;
}
static hone_status fake_sync(void *ctx, hone_error *err)
{
    struct context *c = ctx;
    perform_list(&c->queue, &c->queue_end);
    STEP("sync");
    fake.syncs++;
    return HONE_OK;
}
static hone_status fake_upload(void *ctx, void *to, const void *from, size_t n, hone_error *err)
{
    if (hn_watch_host) hn_watch_host();
    struct context *c = ctx;
    STEP("upload");
    fake.uploads++;
    fake.uploaded += n;
    append(&c->upload_end, copying(COPY, to, from, n));
    if (fake.late != FAKE_ALL_LATE) perform_list(&c->uploads, &c->upload_end);
    return HONE_OK;
}
static hone_status fake_join(void *ctx, hone_error *err)
{
    struct context *c = ctx;
    STEP("join");
    struct record *r = copying(UPLOADS, NULL, NULL, 0);
    r->uploads = c->uploads;
    c->uploads = NULL, c->upload_end = &c->uploads;
    record_or_do(c, r);
    return HONE_OK;
}

static hone_status fake_launch(void *ctx, enum hn_k_id id, size_t elem, struct hn_gpu_grid grid,
                               const void *args, size_t bytes, hone_error *err)
{
    STEP("launch");
    if (!grid.x || !grid.y || !grid.z || bytes > 4096)
        return hn_fail(err, HONE_E_DEVICE, "the fake device",
                       "a launch of %u x %u x %u blocks with %zu bytes", grid.x, grid.y, grid.z,
                       bytes);
    struct record *r = calloc(1, sizeof *r + bytes);
    r->kernel = (int)id, r->elem = elem, r->grid = grid, r->bytes = bytes;
    memcpy(r->args, args, bytes);
    fake.launches++;
    struct context *c = ctx;
    if (!c->side || fake.eager) {
        record_or_do(c, r);
        return HONE_OK;
    }
    append(&c->late_end, r);
    return HONE_OK;
}

/* What runs beside may run at any time up to the join: it is kept until then. */
static hone_status fake_side(void *ctx, enum hn_gpu_side what, hone_error *err)
{
    struct context *c = ctx;
    STEP("side");
    if ((what == HN_GPU_FORK) == (c->side != 0) && what != HN_GPU_JOIN)
        return hn_fail(err, HONE_E_DEVICE, "the fake device", "side work out of order");
    c->side = what == HN_GPU_FORK;
    if (what != HN_GPU_JOIN) return HONE_OK;
    while (c->late) {
        struct record *r = c->late;
        c->late = r->next;
        r->next = NULL;
        record_or_do(c, r);
    }
    c->late_end = &c->late;
    return HONE_OK;
}

static hone_status fake_begin(void *ctx, hone_error *err)
{
    struct context *c = ctx;
    STEP("capture_begin");
    c->capturing = 1, c->recorded = NULL, c->end = &c->recorded;
    return HONE_OK;
}
static hone_status fake_end(void *ctx, void **graph, hone_error *err)
{
    struct context *c = ctx;
    struct record *all = c->recorded;
    c->capturing = 0, c->recorded = NULL, c->side = 0;
    free_records(c->late);
    c->late = NULL, c->late_end = &c->late;
    hone_status st = may_fail("capture_end", err);
    if (st != HONE_OK) {
        free_records(all);
        return st;
    }
    struct graph *g = calloc(1, sizeof *g);
    g->first = all;
    fake.graphs++, fake.captured++;
    *graph = g;
    return HONE_OK;
}
static hone_status fake_replay(void *ctx, void *graph, hone_error *err)
{
    STEP("replay");
    fake.replays++;
    struct record *r = calloc(1, sizeof *r);
    r->kernel = REPLAY, r->handle = graph;
    record_or_do(ctx, r);
    return HONE_OK;
}
static void fake_graph_release(void *ctx, void *graph)
{
    struct graph *g = graph;
    (void)ctx;
    free_records(g->first);
    free(g);
    fake.graphs--;
}

static hone_status fake_gemm_create(void *ctx, const struct hn_gpu_gemm *g, void **gemm,
                                    hone_error *err)
{
    (void)ctx;
    STEP("gemm_create");
    if ((fake.no_epilogue && (g->bias || g->relu || g->sums)) ||
        (fake.no_epilogue > 1 && !g->trans_a))
        return hn_fail(err, HONE_E_UNSUPPORTED, "the fake device", "no way for this product");
    struct product *p = calloc(1, sizeof *p);
    p->g = *g;
    fake.gemms++;
    *gemm = p;
    return HONE_OK;
}
static hone_status fake_gemm(void *ctx, void *gemm, const void *a, const void *b, void *c,
                             void *bias, hone_error *err)
{
    STEP("gemm");
    struct record *r = calloc(1, sizeof *r);
    r->kernel = PRODUCT, r->handle = gemm, r->a = a, r->b = b, r->c = c, r->bias = bias;
    fake.products++;
    record_or_do(ctx, r);
    return HONE_OK;
}
static void fake_gemm_release(void *ctx, void *gemm)
{
    (void)ctx;
    free(gemm);
    fake.gemms--;
}

/* ---- cuDNN ------------------------------------------------------------------------------------------------------ */

static hone_status create(const void *spec, size_t size, void **out)
{
    *out = calloc(1, size);
    memcpy(*out, spec, size);
    fake.calls_held++;
    return HONE_OK;
}
static void release(void *ctx, void *p)
{
    (void)ctx;
    free(p);
    fake.calls_held--;
}
static hone_status fake_norm_create(void *ctx, const struct hn_gpu_norm *n, void **norm,
                                    hone_error *err)
{
    (void)ctx;
    *norm = NULL;
    STEP("norm_create");
    if (fake.no_norm)
        return hn_fail(err, HONE_E_UNSUPPORTED, "the fake device", "no way for this shape");
    return create(n, sizeof *n, norm);
}
static hone_status call(void *ctx, int what, const void *handle, const struct hn_gpu_norm_at *at)
{
    struct record *r = calloc(1, sizeof *r);
    r->kernel = what, r->handle = handle, r->at = *at;
    fake.norms++;
    record_or_do(ctx, r);
    return HONE_OK;
}
static hone_status fake_norm_forward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                     hone_error *err)
{
    STEP("norm_forward");
    return call(ctx, NORM, norm, at);
}
static hone_status fake_norm_backward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                      hone_error *err)
{
    STEP("norm_backward");
    return call(ctx, NORM_BACK, norm, at);
}
static hone_status fake_drop_state(void *ctx, size_t *bytes, hone_error *err)
{
    (void)ctx;
    STEP("drop_state");
    *bytes = fake_drop_state_bytes();
    return HONE_OK;
}
static hone_status fake_drop_reserve(void *ctx, int64_t rows, int64_t cols, size_t elem,
                                     size_t *bytes, hone_error *err)
{
    (void)ctx, (void)elem;
    STEP("drop_reserve");
    *bytes = (size_t)(rows * cols + 7) / 8;
    return HONE_OK;
}
static hone_status fake_drop_seed(void *ctx, void *states, size_t bytes, uint64_t seed,
                                  hone_error *err)
{
    struct context *c = ctx;
    STEP("drop_seed");
    if (c->capturing || bytes != fake_drop_state_bytes())
        return hn_fail(err, HONE_E_DEVICE, "the fake device", "states filled inside a capture");
    struct record *r = calloc(1, sizeof *r);
    r->kernel = SEED, r->c = states, r->seed = seed;
    fake.seeds++;
    record_or_do(ctx, r);
    return HONE_OK;
}
static hone_status fake_drop_create(void *ctx, const struct hn_gpu_drop *d, void **drop,
                                    hone_error *err)
{
    (void)ctx;
    *drop = NULL;
    STEP("drop_create");
    if (!(d->rate >= 0 && d->rate < 1))
        return hn_fail(err, HONE_E_DEVICE, "the fake device", "a rate of %g", d->rate);
    return create(d, sizeof *d, drop);
}
static hone_status fake_drop(void *ctx, void *drop, int backward, const void *from, void *to,
                             void *reserve, hone_error *err)
{
    STEP("drop");
    struct record *r = calloc(1, sizeof *r);
    r->kernel = backward ? DROP_BACK : DROP, r->handle = drop;
    r->a = from, r->c = to, r->bias = reserve;
    fake.drops++;
    record_or_do(ctx, r);
    return HONE_OK;
}

const struct hn_gpu_layer hn_gpu_layer = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .describe = fake_describe,
    .memory = fake_memory,
    .alloc = fake_alloc,
    .release = fake_release,
    .pin = fake_alloc,
    .unpin = fake_release,
    .fill = fake_fill,
    .copy = fake_copy,
    .sync = fake_sync,
    .upload = fake_upload,
    .upload_join = fake_join,
    .launch = fake_launch,
    .side = fake_side,
    .capture_begin = fake_begin,
    .capture_end = fake_end,
    .replay = fake_replay,
    .graph_release = fake_graph_release,
    .gemm_create = fake_gemm_create,
    .gemm = fake_gemm,
    .gemm_release = fake_gemm_release,
    .norm_create = fake_norm_create,
    .norm_forward = fake_norm_forward,
    .norm_backward = fake_norm_backward,
    .norm_release = release,
    .drop_state = fake_drop_state,
    .drop_reserve = fake_drop_reserve,
    .drop_seed = fake_drop_seed,
    .drop_create = fake_drop_create,
    .drop = fake_drop,
    .drop_release = release,
};
