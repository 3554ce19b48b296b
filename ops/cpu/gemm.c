/* SPDX-License-Identifier: MIT
 *
 * Matrix products (see gemm.h). The usual blocking: a block of B, KC x NC, is packed into panels of NR columns that stay in
 * the second-level cache; a strip of MR rows of A stays in the first; the kernel keeps an MR x NR tile of C in registers.
 *
 *     for each KC of k:  for each NC of n:  pack B;  for each MR rows:  for each panel:  C tile += A strip * B panel
 *
 * A is read where it lies (its elements are broadcast one by one) unless it is stored [k,m] and its rows would fall into
 * the same cache sets. B is read where it lies when it is small and its rows run along n. Blocks depend on k and n alone: the sum of an element of C
 * is the same however many rows there are. */
#include "ops/cpu/gemm.h"
#include <cblas.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 16
#define FMA   _mm512_fmadd_ps
#define LANES(M)                                                                                   \
    M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7), M(8), M(9), M(10), M(11), M(12), M(13), M(14), \
        M(15)
enum { MR = 8, NV = 3 };
#elif defined(__AVX2__)
#include <immintrin.h>
#define WIDTH    8
#define FMA      _mm256_fmadd_ps
#define LANES(M) M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7)
enum { MR = 6, NV = 2 };
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define WIDTH        4
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define LANES(M)     M(0), M(1), M(2), M(3)
enum { MR = 8, NV = 3 };
#endif

static void by_blas(const struct hn_gemm *g)
{
    for (int i = 0; g->bias && i < g->m; i++)
        for (int j = 0; j < g->n; j++) g->c[(ptrdiff_t)i * g->ldc + j] = g->bias_scale * g->bias[j];
    if (g->m < 1 || g->n < 1) return;
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, g->m, g->n, g->k, g->alpha, g->a, g->lda,
                g->b, g->ldb, g->bias || g->add ? 1.0f : 0.0f, g->c, g->ldc);
}

/* Small loops over registers must vanish, or their arrays live in memory. */
#define TEXT(x) #x
#ifdef __clang__
#define UNROLL(n) _Pragma("clang loop unroll(full)")
#else
#define UNROLL(n) _Pragma(TEXT(GCC unroll n))
#endif

#ifdef WIDTH
enum { NR = NV * WIDTH, KC = 512, NC = 384, SMALL_B = 24576, STRIPS = 32, NARROW = 8 };

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef float loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

size_t HN_ISA_NAME(hn_gemm_room)(void)
{
    return (size_t)KC * (NC + NR + STRIPS * MR) * sizeof(float) + 64;
}

/* ---- the kernel ---------------------------------------------------------------------------------------------- */

struct tile {           /* one MR x NR tile of C; edges are smaller */
    int k, cols;        /* cols <= nv * WIDTH are stored */
    const float *a[MR]; /* element (i,p) of A at a[i] + p * a_col */
    const float *b;     /* row p of B at p * b_row */
    ptrdiff_t a_col, b_row;
    float *c;
    ptrdiff_t ldc;
    int add;
    float alpha, bias_scale;
    const float *bias; /* NULL: none */
};

/* The first n floats at p (n < WIDTH), the others 0; and the first n of v to p. */
#if WIDTH == 16
static inline vec load_some(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void store_some(float *p, vec v, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
#elif WIDTH == 8
static inline __m256i mask_of(int n)
{
    static const int32_t ones[16] = { -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0 };
    return _mm256_loadu_si256((const __m256i_u *)(ones + 8 - n));
}
static inline vec load_some(const float *p, int n) { return _mm256_maskload_ps(p, mask_of(n)); }
static inline void store_some(float *p, vec v, int n) { _mm256_maskstore_ps(p, mask_of(n), v); }
#else
static inline vec load_some(const float *p, int n)
{
    vec v = { 0 };
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}
static inline void store_some(float *p, vec v, int n)
{
    for (int i = 0; i < n; i++) p[i] = v[i];
}
#endif

static inline vec load(const float *p) { return *(const loose *)p; }

/* rows and nv are constants where it is inlined: the accumulators are registers. */
static inline __attribute__((always_inline)) void multiply(const struct tile *t, const int rows,
                                                           const int nv)
{
    vec acc[MR][NV];
    const float *a[MR], *b = t->b;
    const ptrdiff_t a_col = t->a_col, b_row = t->b_row, end = t->k * a_col;
    UNROLL(8)
    for (int i = 0; i < rows; i++) {
        a[i] = t->a[i];
        UNROLL(3)
        for (int j = 0; j < nv; j++) acc[i][j] = (vec){ 0 };
    }
    for (ptrdiff_t p = 0; p < end; p += a_col, b += b_row) {
        vec v[NV];
        UNROLL(3)
        for (int j = 0; j < nv; j++) v[j] = load(b + WIDTH * j);
        UNROLL(8)
        for (int i = 0; i < rows; i++) {
            const vec x = a[i][p] - (vec){ 0 };
            UNROLL(3)
            for (int j = 0; j < nv; j++) acc[i][j] = FMA(x, v[j], acc[i][j]);
        }
    }
    const vec alpha = t->alpha - (vec){ 0 }, scale = t->bias_scale - (vec){ 0 };
    const ptrdiff_t ldc = t->ldc;
    UNROLL(3)
    for (int j = 0; j < nv; j++) {
        float *c = t->c + WIDTH * j;
        const int n =
            j == nv - 1 ? t->cols - WIDTH * j : WIDTH; /* only the last vector may be cut */
        const vec bias = !t->bias     ? (vec){ 0 }
                         : n == WIDTH ? scale * load(t->bias + WIDTH * j)
                                      : scale * load_some(t->bias + WIDTH * j, n);
        UNROLL(8)
        for (int i = 0; i < rows; i++) {
            vec v = FMA(alpha, acc[i][j], bias);
            if (n == WIDTH)
                *(loose *)(c + i * ldc) = t->add ? v + load(c + i * ldc) : v;
            else
                store_some(c + i * ldc, t->add ? v + load_some(c + i * ldc, n) : v, n);
        }
    }
}

#define ROWS(nv)                                                                                   \
    switch (rows) {                                                                                \
    case 1: multiply(t, 1, nv); break;                                                             \
    case 2: multiply(t, 2, nv); break;                                                             \
    case 3: multiply(t, 3, nv); break;                                                             \
    case 4: multiply(t, 4, nv); break;                                                             \
    case 5: multiply(t, 5, nv); break;                                                             \
    case 6: multiply(t, 6, nv); break;                                                             \
    case 7: multiply(t, MR < 7 ? 1 : 7, nv); break;                                                \
    default: multiply(t, MR, nv);                                                                  \
    }

static void tile_1(const struct tile *t, int rows) { ROWS(1) }
static void tile_2(const struct tile *t, int rows) { ROWS(2) }
static void tile_n(const struct tile *t, int rows) { ROWS(NV) }
#undef ROWS

/* ---- packing ------------------------------------------------------------------------------------------------- */

/* Row p of the panel: the first n of `width` columns of row p of B, then zeros (width - n < WIDTH). */
static void pack_rows(float *to, const float *b, ptrdiff_t ldb, const uint32_t *index, int k, int n,
                      int width)
{
    for (int p = 0; p < k; p++, to += width) {
        const float *row = b + (index ? (ptrdiff_t)index[p] : p) * ldb;
        int j = 0;
        for (; j + WIDTH <= n; j += WIDTH) *(loose *)(to + j) = load(row + j);
        if (j < n) *(loose *)(to + j) = load_some(row + j, n - j);
    }
}

/* One step of turning WIDTH vectors: lanes whose number has bit d go to the partner, d rows away. */
#define LOW1(l)  ((l)&1 ? WIDTH + (l)-1 : (l))
#define HIGH1(l) ((l)&1 ? WIDTH + (l) : (l) + 1)
#define LOW2(l)  ((l)&2 ? WIDTH + (l)-2 : (l))
#define HIGH2(l) ((l)&2 ? WIDTH + (l) : (l) + 2)
#define LOW4(l)  ((l)&4 ? WIDTH + (l)-4 : (l))
#define HIGH4(l) ((l)&4 ? WIDTH + (l) : (l) + 4)
#define LOW8(l)  ((l)&8 ? WIDTH + (l)-8 : (l))
#define HIGH8(l) ((l)&8 ? WIDTH + (l) : (l) + 8)
#define TURN(d, LOW, HIGH)                                                                         \
    UNROLL(16) for (int i = 0; i < WIDTH; i++) if (!(i & (d)))                                     \
    {                                                                                              \
        const vec x = v[i], y = v[i + (d)];                                                        \
        v[i] = __builtin_shufflevector(x, y, LANES(LOW));                                          \
        v[i + (d)] = __builtin_shufflevector(x, y, LANES(HIGH));                                   \
    }

/* WIDTH columns of the panel from as many rows of the stored [n,k] matrix, WIDTH rows of the panel at a time. */
static void turn_block(float *to, int width, const float *b, ptrdiff_t ldb)
{
    vec v[WIDTH];
    UNROLL(16)
    for (int i = 0; i < WIDTH; i++) v[i] = load(b + i * ldb);
    TURN(1, LOW1, HIGH1)
    TURN(2, LOW2, HIGH2)
#if WIDTH >= 8
    TURN(4, LOW4, HIGH4)
#endif
#if WIDTH == 16
    TURN(8, LOW8, HIGH8)
#endif
    UNROLL(16)
    for (int i = 0; i < WIDTH; i++) *(loose *)(to + i * width) = v[i];
}

/* Row p of the panel: element p of each of n rows of the stored [n,k] matrix, then zeros. */
static void pack_turned(float *to, const float *b, ptrdiff_t ldb, int k, int n, int width)
{
    for (int j = 0; j < width; j += WIDTH) {
        const int m = n - j < WIDTH ? n - j : WIDTH;
        int p = 0;
        for (; m == WIDTH && p + WIDTH <= k; p += WIDTH)
            turn_block(to + p * width + j, width, b + j * ldb + p, ldb);
        for (; p < k; p++)
            for (int i = 0; i < WIDTH; i++)
                to[p * width + j + i] = i < m ? b[(j + i) * ldb + p] : 0.0f;
    }
}

/* ---- blocks -------------------------------------------------------------------------------------------------- */

struct block { /* one KC x NC block of B against all rows of A */
    const struct hn_gemm *g;
    int p0, kc, j0, nc, first; /* first: of the blocks along k */
    float *panels, *strip;     /* strip: STRIPS of them */
    int packed;                /* B lies in panels */
};

/* Of n columns that are left: NV vectors, but the last NV + 1 in two halves, as a panel of one vector waits for its sums. */
static int panel_width(int n)
{
    const int vectors = (n + WIDTH - 1) / WIDTH;
    return (vectors <= NV ? vectors : vectors == NV + 1 ? (NV + 2) / 2 : NV) * WIDTH;
}

/* Where stored row r of A or B begins. */
static const float *a_at(const struct hn_gemm *g, int r)
{
    return g->a + (g->a_index ? (ptrdiff_t)g->a_index[r] : r) * g->lda;
}

static void pack_block(const struct block *b)
{
    const struct hn_gemm *g = b->g;
    for (int j = 0, width; j < b->nc; j += width) {
        float *to = b->panels + (ptrdiff_t)j * b->kc;
        width = panel_width(b->nc - j);
        const int n = b->nc - j < width ? b->nc - j : width;
        const ptrdiff_t col = b->j0 + j;
        if (g->trans_b)
            pack_turned(to, g->b + col * g->ldb + b->p0, g->ldb, b->kc, n, width);
        else if (g->b_index)
            pack_rows(to, g->b + col, g->ldb, g->b_index + b->p0, b->kc, n, width);
        else if (b->packed || n % WIDTH)
            pack_rows(to, g->b + (ptrdiff_t)b->p0 * g->ldb + col, g->ldb, NULL, b->kc, n, width);
    }
}

/* Up to STRIPS strips of A stored [k,m], packed so that element (i,p) of each is at p * MR + i. */
static void pack_strips(const struct block *b, int i0, int rows)
{
    for (int p = 0; p < b->kc; p++) {
        const float *a = a_at(b->g, b->p0 + p) + i0;
        float *to = b->strip + p * MR;
        int i = 0;
        for (; i + MR <= rows; i += MR, to += (ptrdiff_t)MR * b->kc)
            memcpy(to, a + i, MR * sizeof *to);
        for (; i < rows; i++) *to++ = a[i];
    }
}

static void do_strip(const struct block *b, struct tile *t, int i0, int rows)
{
    const struct hn_gemm *g = b->g;
    for (int j = 0, width; j < b->nc; j += width) {
        width = panel_width(b->nc - j);
        const int n = b->nc - j < width ? b->nc - j : width;
        const int direct = !b->packed && n % WIDTH == 0;
        t->b = direct ? g->b + (ptrdiff_t)b->p0 * g->ldb + b->j0 + j
                      : b->panels + (ptrdiff_t)j * b->kc;
        t->b_row = direct ? g->ldb : width;
        t->c = g->c + (ptrdiff_t)i0 * g->ldc + b->j0 + j;
        t->cols = n;
        t->bias = b->first && g->bias ? g->bias + b->j0 + j : NULL;
        (width == NR ? tile_n : width == WIDTH ? tile_1 : tile_2)(t, rows);
    }
}

/* Rows that come through an index are far apart: those of the strip that begins with row i are fetched early. */
static void fetch_rows(const struct block *b, int i)
{
    const int end = i + MR < b->g->m ? i + MR : b->g->m;
    for (; i < end; i++) {
        const char *row = (const char *)(a_at(b->g, i) + b->p0);
        for (size_t at = 0; at < (size_t)b->kc * sizeof(float); at += 64)
            __builtin_prefetch(row + at);
    }
}

/* Where the rows of a strip of A begin. */
static void find_rows(const struct block *b, struct tile *t, int i0, int rows, int strips)
{
    const struct hn_gemm *g = b->g;
    for (int i = 0; i < rows; i++) {
        if (strips)
            t->a[i] = b->strip + (ptrdiff_t)(i0 % (STRIPS * MR)) * b->kc + i;
        else if (g->trans_a)
            t->a[i] = g->a + (ptrdiff_t)b->p0 * g->lda + i0 + i;
        else
            t->a[i] = a_at(g, i0 + i) + b->p0;
    }
}

static void do_block(const struct block *b)
{
    const struct hn_gemm *g = b->g;
    const int same_sets = g->lda * (int)sizeof(float) % 2048 == 0 && g->n > 2 * NR;
    const int strips = g->trans_a && (same_sets || g->a_index);
    const int fresh =
        b->j0 == 0 || g->m > STRIPS * MR; /* else they lie there from the last block */
    struct tile t = { .k = b->kc, .ldc = g->ldc, .alpha = g->alpha, .bias_scale = g->bias_scale };
    t.add = g->add || !b->first;
    t.a_col = strips ? MR : g->trans_a ? g->lda : 1;
    for (int i = 0; i < g->m; i += MR) {
        const int rows = g->m - i < MR ? g->m - i : MR;
        if (strips && fresh && i % (STRIPS * MR) == 0)
            pack_strips(b, i, g->m - i < STRIPS * MR ? g->m - i : STRIPS * MR);
        if (g->a_index && !g->trans_a && b->j0 == 0) fetch_rows(b, i + MR);
        find_rows(b, &t, i, rows, strips);
        do_strip(b, &t, i, rows);
    }
}

/* ---- hardly any columns ---------------------------------------------------------------------------------------- */

/* Lanes are added in one order, whatever stands around it. */
#if WIDTH == 16
static inline float sum_lanes(vec v) { return _mm512_reduce_add_ps(v); }
#else
static inline float sum_lanes(vec v)
{
    float s[WIDTH];
    *(loose *)s = v;
    UNROLL(4)
    for (int d = WIDTH / 2; d > 0; d /= 2) UNROLL(8)
    for (int l = 0; l < d; l++) s[l] += s[l + d];
    return s[0];
}
#endif

/* rows x n elements of C from row i on, each the product of a row of A and a row of the turned B; rows and n are constants
 * where it is inlined. */
static inline __attribute__((always_inline)) void
dots(const struct hn_gemm *g, const float *b, ptrdiff_t ldb, int i, const int rows, const int n)
{
    vec acc[4][NARROW];
    const float *a[4];
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        a[r] = g->a + (ptrdiff_t)(i + r) * g->lda;
        UNROLL(8)
        for (int j = 0; j < n; j++) acc[r][j] = (vec){ 0 };
    }
    for (int p = 0; p < g->k; p += WIDTH) {
        const int left = g->k - p;
        vec x[4];
        UNROLL(4)
        for (int r = 0; r < rows; r++)
            x[r] = left < WIDTH ? load_some(a[r] + p, left) : load(a[r] + p);
        UNROLL(8)
        for (int j = 0; j < n; j++) {
            const float *row = b + j * ldb + p;
            const vec y = left < WIDTH ? load_some(row, left) : load(row);
            UNROLL(4)
            for (int r = 0; r < rows; r++) acc[r][j] = FMA(x[r], y, acc[r][j]);
        }
    }
    UNROLL(4)
    for (int r = 0; r < rows; r++) {
        float *c = g->c + (ptrdiff_t)(i + r) * g->ldc;
        UNROLL(8)
        for (int j = 0; j < n; j++) {
            const float before = g->add ? c[j] : g->bias ? g->bias_scale * g->bias[j] : 0;
            c[j] = __builtin_fmaf(g->alpha, sum_lanes(acc[r][j]), before);
        }
    }
}

#define ALL_ROWS(n)                                                                                \
    for (; i + (n < 4 ? 4 : 2) <= g->m; i += n < 4 ? 4 : 2) dots(g, b, ldb, i, n < 4 ? 4 : 2, n);  \
    for (; i < g->m; i++) dots(g, b, ldb, i, 1, n);                                                \
    break

static void narrow(const struct hn_gemm *g)
{
    const float *b = g->b;
    ptrdiff_t ldb = g->ldb;
    int i = 0;
    if (!g->trans_b) {
        float *turned = g->scratch;
        for (int p = 0; p < g->k; p++)
            for (int j = 0; j < g->n; j++) turned[(ptrdiff_t)j * g->k + p] = b[p * ldb + j];
        b = turned, ldb = g->k;
    }
    switch (g->n) {
    case 1: ALL_ROWS(1);
    case 2: ALL_ROWS(2);
    case 3: ALL_ROWS(3);
    case 4: ALL_ROWS(4);
    case 5: ALL_ROWS(5);
    case 6: ALL_ROWS(6);
    default: ALL_ROWS(7);
    }
}
#undef ALL_ROWS

/* Fewer than NARROW columns: a row of A by itself, so that it does not matter which rows are beside it. */
static int is_narrow(const struct hn_gemm *g)
{
    return g->n > 0 && g->n < NARROW && g->k > 0 && !g->trans_a &&
           (g->trans_b || (size_t)g->n * (size_t)g->k * sizeof(float) <= hn_gemm_bytes());
}

/* OpenBLAS is better where columns fill the last vector badly, and at hardly any columns (but see is_narrow). */
int HN_ISA_NAME(hn_gemm_owns)(int n, int trans_b)
{
    const int filled = (n + WIDTH - 1) / WIDTH * WIDTH;
    return n >= NARROW && (trans_b || n <= NR || 10 * filled <= 11 * n);
}

void HN_ISA_NAME(hn_gemm)(const struct hn_gemm *g)
{
    struct block b = { .g = g };
    const int blocks = (g->k + KC - 1) / KC;
    if (g->k < 1 || !hn_gemm_own(g->whole_n ? g->whole_n : g->n, g->trans_b)) {
        if (is_narrow(g))
            narrow(g);
        else
            by_blas(g);
        return;
    }
    b.panels = (float *)(((uintptr_t)g->scratch + 63) & ~(uintptr_t)63);
    b.strip = b.panels + (size_t)KC * (NC + NR);
    b.packed = g->trans_b || g->b_index || ((int64_t)g->k * g->n > SMALL_B && g->m >= 4 * MR);
    b.first = 1;
    for (int i = 0; i < blocks && g->m > 0; i++, b.first = 0) {
        b.p0 = (int)((int64_t)g->k * i / blocks);
        b.kc = (int)((int64_t)g->k * (i + 1) / blocks) - b.p0;
        for (b.j0 = 0; b.j0 < g->n; b.j0 += NC) {
            b.nc = g->n - b.j0 < NC ? g->n - b.j0 : NC;
            pack_block(&b);
            do_block(&b);
        }
    }
}

#else

size_t HN_ISA_NAME(hn_gemm_room)(void) { return 0; }
int HN_ISA_NAME(hn_gemm_owns)(int n, int trans_b) { return (void)n, (void)trans_b, 0; }
void HN_ISA_NAME(hn_gemm)(const struct hn_gemm *g) { by_blas(g); }
#endif
