/* SPDX-License-Identifier: MIT
 *
 * How long the products of dense layers take beside OpenBLAS's, calls interleaved in one process, one thread:
 *
 *     bench_products [ISA...]      of base, avx2, avx512; without: those that this machine has
 *
 * OPENBLAS_CORETYPE chooses the other side (SkylakeX for avx512, Haswell for avx2, Nehalem for base). A line for each kind
 * of product and number of rows: the time of OpenBLAS by that of the own kernel, median over the shapes of the medians over
 * the rounds, and its range. More than 1: the own kernel is faster. */
#include "ops/cpu/gemm.h"
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 31, MAX_SHAPES = 16, MOST = 1 << 20 };
enum kind { IN_OUT, OUT_IN, GRADIENT };

typedef void product(const struct hn_gemm *g);
#define KERNEL(isa)                                                                                \
    product hn_gemm_##isa;                                                                         \
    size_t hn_gemm_room_##isa(void);
KERNEL(base)
#ifdef __x86_64__
KERNEL(avx2)
KERNEL(avx512)
#endif

static const struct kernel {
    const char *isa;
    product *run;
    size_t (*room)(void);
} kernels[] = {
    { "base", hn_gemm_base, hn_gemm_room_base },
#ifdef __x86_64__
    { "avx2", hn_gemm_avx2, hn_gemm_room_avx2 },
    { "avx512", hn_gemm_avx512, hn_gemm_room_avx512 },
#endif
};
static const struct {
    const char *name;
    int outs[5], ins[2];
} kinds[] = {
    [IN_OUT] = { "weights [in,out]", { 50, 65, 100, 130 }, { 64, 300 } },
    [OUT_IN] = { "weights [out,in]", { 10, 24, 50, 100, 400 }, { 64, 512 } },
    [GRADIENT] = { "gradient of weights [in,out]", { 4, 50, 100, 130 }, { 100, 300 } },
};

static void by_blas(const struct hn_gemm *g)
{
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, g->m, g->n, g->k, g->alpha, g->a, g->lda,
                g->b, g->ldb, 0.0f, g->c, g->ldc);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_of(product *run, const struct hn_gemm *g, int times)
{
    const double start = seconds();
    for (int i = 0; i < times; i++) run(g);
    return seconds() - start;
}

static int by_size(const void *a, const void *b)
{
    const double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static double ratio(const struct kernel *k, enum kind kind, int rows, int in, int out)
{
    static float a[MOST], b[MOST], c[MOST];
    const double operations = 2.0 * rows * in * out;
    const int times = operations > 2e6 ? 1 : (int)(2e6 / operations);
    double ratios[ROUNDS];
    struct hn_gemm g = { .a = a, .b = b, .c = c, .alpha = 1, .m = rows, .n = out, .k = in };
    if (kind == GRADIENT) g.m = in, g.k = rows, g.trans_a = 1;
    g.lda = in, g.ldb = kind == OUT_IN ? in : out, g.ldc = out, g.trans_b = kind == OUT_IN;
    for (int i = 0; i < MOST; i++) a[i] = (float)(i % 13) - 6, b[i] = (float)(i % 7) - 3;
    g.scratch = malloc(k->room());
    if (!g.scratch) exit(1);
    for (int i = -2; i < ROUNDS; i++) { /* each is the first one every other time */
        const double first = time_of(i & 1 ? k->run : by_blas, &g, times),
                     second = time_of(i & 1 ? by_blas : k->run, &g, times);
        if (i >= 0) ratios[i] = i & 1 ? second / first : first / second;
    }
    free(g.scratch);
    qsort(ratios, ROUNDS, sizeof *ratios, by_size);
    return ratios[ROUNDS / 2];
}

static void compare(const struct kernel *k)
{
    static const int rows[] = { 1, 8, 32, 128, 1000 };
    for (enum kind kind = IN_OUT; kind <= GRADIENT; kind++)
        for (int r = 0; r < 5; r++) {
            double all[MAX_SHAPES];
            int n = 0;
            for (int i = 0; i < 5 && kinds[kind].outs[i]; i++)
                for (int j = 0; j < 2; j++)
                    all[n++] = ratio(k, kind, rows[r], kinds[kind].ins[j], kinds[kind].outs[i]);
            qsort(all, (size_t)n, sizeof *all, by_size);
            printf("%s, %s, %d rows: %.2f (%.2f to %.2f)\n", k->isa, kinds[kind].name, rows[r],
                   all[n / 2], all[0], all[n - 1]);
            fflush(stdout);
        }
}

static int is_here(const char *isa)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!strcmp(isa, "avx512")) return __builtin_cpu_supports("avx512bw") > 0;
    if (!strcmp(isa, "avx2")) return __builtin_cpu_supports("avx2") > 0;
#endif
    return !strcmp(isa, "base");
}

int main(int argc, char **argv)
{
    openblas_set_num_threads(1);
    printf("OpenBLAS %s\n", openblas_get_corename());
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        int wanted = argc < 2;
        for (int a = 1; a < argc; a++) wanted |= !strcmp(argv[a], kernels[i].isa);
        if (wanted && is_here(kernels[i].isa)) compare(&kernels[i]);
    }
    return 0;
}
