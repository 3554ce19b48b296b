/* SPDX-License-Identifier: MIT
 *
 * The library's products of a large layer by themselves, model D's shapes (batch 1024): every form of the operands, the first four
 * of the ways that the library offers, and what the copies cost. Says which form is worth its copies, and whether the library's
 * first choice is its best. Prints rows for gpu/RESULTS.md. Exit 77 where no device opens. */
#include "gpu/gpu.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 1024, MOST = 2048 * 2048, REPEATS = 50, CHOICES = 4 };

struct form {
    const char *what;
    enum hn_gpu_math math;
    int bf16, turned;
};
static const struct form forms[] = {
    { "fp32", HN_GPU_FP32, 0, 0 },
    { "TF32", HN_GPU_TF32, 0, 0 },
    { "TF32, transposed", HN_GPU_TF32, 0, 1 },
    { "bfloat16, not converted", HN_GPU_BF16, 0, 0 },
    { "bfloat16, converted", HN_GPU_BF16, 1, 0 },
    { "bfloat16, converted and transposed", HN_GPU_BF16, 1, 1 },
};
enum { FORMS = sizeof forms / sizeof *forms };

struct bench {
    void *ctx, *a, *b, *c, *bias, *slot;
    hone_error err;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return 1e6 * (double)ts.tv_sec + 1e-3 * (double)ts.tv_nsec; /* microseconds */
}

/* Buffers of numbers between -1 and 1, which are such also when half of their bits are read as bfloat16. */
static hone_status fill(struct bench *b)
{
    const struct hn_gpu_layer *l = &hn_gpu_layer;
    const size_t bytes = MOST * sizeof(float);
    void **const buffers[] = { &b->a, &b->b, &b->c, &b->bias };
    uint16_t *host = malloc(bytes);
    uint32_t state = 1;
    if (!host) return hn_nomem(&b->err, "numbers", bytes);
    for (size_t i = 0; i < 2 * (size_t)MOST; i++) {
        state = state * 1664525u + 1013904223u;
        host[i] = (uint16_t)((state >> 16 & 0x8000u) | (0x3e00u + (state >> 20 & 0x17fu)));
    }
    hone_status st = HONE_OK;
    for (int i = 0; i < 4 && st == HONE_OK; i++) {
        st = l->alloc(b->ctx, bytes, buffers[i], &b->err);
        if (st == HONE_OK) st = l->copy(b->ctx, *buffers[i], host, bytes, HN_GPU_UP, &b->err);
        if (st == HONE_OK) st = l->sync(b->ctx, &b->err);
    }
    free(host);
    const struct hn_k_slot s = { .rows = BATCH };
    if (st == HONE_OK) st = l->alloc(b->ctx, sizeof s, &b->slot, &b->err);
    if (st == HONE_OK) st = l->copy(b->ctx, b->slot, &s, sizeof s, HN_GPU_UP, &b->err);
    return st == HONE_OK ? l->sync(b->ctx, &b->err) : st;
}

/* Microseconds a call of what `call` queues; negative: not taken. */
typedef hone_status queued(struct bench *b, const void *what);
static double timed(struct bench *b, queued *call, const void *what)
{
    const struct hn_gpu_layer *l = &hn_gpu_layer;
    double t = 0;
    for (int k = 0; k < 2; k++) { /* the first round loads what is needed */
        t = now();
        for (int i = 0; i < REPEATS; i++)
            if (call(b, what) != HONE_OK) return -1;
        if (l->sync(b->ctx, &b->err) != HONE_OK) return -1;
    }
    return (now() - t) / REPEATS;
}

static hone_status call_product(struct bench *b, const void *gemm)
{
    return hn_gpu_layer.gemm(b->ctx, (void *)(uintptr_t)gemm, b->a, b->b, b->c, b->bias, &b->err);
}

static void product(struct bench *b, const char *what, const struct form *f, struct hn_gpu_gemm g)
{
    const struct hn_gpu_layer *l = &hn_gpu_layer;
    double first = -1, best = -1;
    int which = 0;
    g.elem = 4, g.alpha = 1, g.math = f->math, g.bf16 = f->bf16;
    if (f->turned) g.trans_a = 0, g.trans_b = 1;
    for (g.choice = 0; g.choice < CHOICES; g.choice++) {
        void *gemm = NULL;
        if (l->gemm_create(b->ctx, &g, &gemm, &b->err) != HONE_OK) break;
        const double t = timed(b, call_product, gemm);
        l->gemm_release(b->ctx, gemm);
        if (t < 0) break;
        if (g.choice == 0) first = t;
        if (best < 0 || t < best) best = t, which = g.choice;
    }
    printf("| product | %s, %lld x %lld, sums of %lld, %s%s | ", what, (long long)g.m,
           (long long)g.n, (long long)g.k, f->what, g.sums ? ", with a bias gradient" : "");
    if (first < 0)
        printf("not taken by the library: %s | |\n", b->err.text);
    else
        printf("%.1f us | the best of %d is the library's no. %d: %.1f us |\n", first, g.choice,
               which + 1, best);
}

static void layer(struct bench *b, int64_t in, int64_t out)
{
    for (int i = 0; i < FORMS; i++) {
        const struct form *f = &forms[i];
        if (f->turned && out % 8 != 0) continue;
        product(b, "forward", f, (struct hn_gpu_gemm){ .m = BATCH, .n = out, .k = in, .bias = 1 });
        product(b, "input gradient", f,
                (struct hn_gpu_gemm){ .m = BATCH, .n = in, .k = out, .trans_b = 1 });
        for (int sums = 0; sums <= 2; sums += 2)
            product(
                b, "weight gradient", f,
                (struct hn_gpu_gemm){ .m = in, .n = out, .k = BATCH, .trans_a = 1, .sums = sums });
    }
}

struct copy {
    enum hn_k_id kernel;
    struct hn_gpu_grid grid;
    const void *args;
    size_t bytes;
};
static hone_status call_copy(struct bench *b, const void *what)
{
    const struct copy *c = what;
    return hn_gpu_layer.launch(b->ctx, c->kernel, 4, c->grid, c->args, c->bytes, &b->err);
}

/* From one buffer to the next: both seen as one arena. */
static void copies(struct bench *b, uint32_t rows, uint32_t cols)
{
    const struct hn_k_ref from = { HN_KS_CONST, 0 }, to = { HN_KS_ARENA, 0 };
    const struct hn_k_env env = { .slots = b->slot, .arena = b->c, .consts = b->a };
    struct hn_k_convert k = { .env = env, .from = from, .to = to };
    struct hn_k_turn t = { .env = env, .from = from, .to = to, .cols = cols };
    k.n.fixed = (int64_t)rows * cols, t.rows.fixed = rows;
    const struct copy all[] = {
        { HN_KN_convert, { rows * cols / (8 * HN_BLOCK), 1, 1 }, &k, sizeof k },
        { HN_KN_turn,
          { (rows + HN_K_SIDE - 1) / HN_K_SIDE, (cols + HN_K_SIDE - 1) / HN_K_SIDE, 1 },
          &t,
          sizeof t },
    };
    for (int i = 0; i < 2; i++)
        printf("| copy | %u x %u, %s | %.1f us | |\n", rows, cols, i ? "transposed" : "bfloat16",
               timed(b, call_copy, &all[i]));
}

int main(void)
{
    struct bench b = { 0 };
    struct hn_mem mem;
    hn_mem_init(&mem, 0);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (hn_gpu_layer.open(&mem, 0, 1, &b.ctx, &b.err) != HONE_OK) {
        printf("skipped: no GPU: %s\n", b.err.text);
        return 77;
    }
    if (fill(&b) != HONE_OK) {
        printf("%s: %s\n", b.err.where, b.err.text);
        return 1;
    }
    copies(&b, BATCH, 784);
    copies(&b, BATCH, 2048);
    copies(&b, 2048, 2048);
    layer(&b, 2048, 2048);
    layer(&b, 784, 2048);
    layer(&b, 2048, 10);
    return 0;
}
