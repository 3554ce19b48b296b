/* SPDX-License-Identifier: MIT
 *
 * Matrix products (see gemm.h). The usual blocking: a block of B, KC x NC, is packed into panels of NV vectors that stay in
 * the second-level cache; a strip of MR rows of A stays in the first; the kernel keeps a tile of C in registers, MR rows of NV
 * vectors, or fewer rows of more.
 *
 *     for each KC of k:  for each NC of n:  pack B;  for each MR rows:  for each panel:  C tile += A strip * B panel
 *
 * A is read where it lies (its elements are broadcast one by one) unless it is stored [k,m] and what a strip touches would be
 * far apart or in the same cache sets. B is read where it lies when it is small or the rows are few, and its rows run along n.
 * Blocks depend on k and n alone: the sum of an element of C is the same however many rows there are.
 *
 * Hardly any columns: dot products; in a weight gradient the transpose of what has hardly any rows. */
#include "ops/cpu/gemm.h"
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 16
#define FMA   _mm512_fmadd_ps
#define LANES(M)                                                                                   \
    M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7), M(8), M(9), M(10), M(11), M(12), M(13), M(14), \
        M(15)
#define MR         8
#define NV         3
#define MOST(rows) ((rows) <= 2 ? 8 : (rows) == 3 ? 6 : (rows) == 4 ? 5 : (rows) <= 6 ? 4 : NV)
#elif defined(__AVX2__)
#include <immintrin.h>
#define WIDTH      8
#define FMA        _mm256_fmadd_ps
#define LANES(M)   M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7)
#define MR         6
#define NV         2
#define MOST(rows) ((rows) == 1 ? 8 : (rows) == 2 ? 5 : (rows) <= 4 ? 3 : NV)
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define WIDTH        4
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define LANES(M)     M(0), M(1), M(2), M(3)
#define MR           8
#define NV           3
#define MOST(rows)   ((rows) <= 2 ? 8 : (rows) == 3 ? 6 : (rows) == 4 ? 5 : (rows) <= 6 ? 4 : NV)
#else
#define WIDTH        4
#define FMA(a, b, c) ((a) * (b) + (c))
#define LANES(M)     M(0), M(1), M(2), M(3)
#define MR           4
#define NV           2
#define MOST(rows)   ((rows) == 1 ? 8 : (rows) == 2 ? 4 : (rows) == 3 ? 3 : NV)
#endif

/* Small loops over registers must vanish, or their arrays live in memory; not where clang checks i++ for overflow: the check
 * looks to it like an end after 2^31 turns, and it unrolls for hours. */
#define TEXT(x) #x
#ifdef __clang__
#if __has_feature(undefined_behavior_sanitizer)
#define UNROLL(n)
#else
#define UNROLL(n) _Pragma("clang loop unroll(full)")
#endif
#else
#define UNROLL(n) _Pragma(TEXT(GCC unroll n))
#endif

enum { NR = NV * WIDTH, MOST_V = 8, NARROW = HN_GEMM_NARROW };
enum { KC = 512, KC_COLUMNS = 128, NC = 384 }; /* KC_COLUMNS: where A is stored [k,m] */
enum { SMALL_B = 24576, FAR = 65536 };         /* floats */
enum {
    COPY = 32 * MR,
    COPY_LD = COPY + 16
}; /* 16: so that rows do not fall into the same cache sets */
enum { SCRATCH_BLOCKS = KC * NC + KC_COLUMNS * COPY_LD + 16 }; /* floats; 16: for aligning them */

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef float loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

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

/* One step along k; cols: of the last vector. A whole one may reach beyond row p of B into those behind it. rows and nv are constants where these are inlined: the accumulators are registers. */
static inline __attribute__((always_inline)) void step(vec acc[MR][MOST_V], const float *const *a,
                                                       ptrdiff_t p, const float *b, const int rows,
                                                       const int nv, int cols)
{
    vec v[MOST_V];
    UNROLL(8)
    for (int j = 0; j < nv - 1; j++) v[j] = load(b + WIDTH * j);
    v[nv - 1] = cols < WIDTH ? load_some(b + WIDTH * (nv - 1), cols) : load(b + WIDTH * (nv - 1));
    UNROLL(8)
    for (int i = 0; i < rows; i++) {
        const vec x = a[i][p] - (vec){ 0 };
        UNROLL(8)
        for (int j = 0; j < nv; j++) acc[i][j] = FMA(x, v[j], acc[i][j]);
    }
}

static inline __attribute__((always_inline)) void multiply(const struct tile *t, const int rows,
                                                           const int nv)
{
    vec acc[MR][MOST_V];
    const float *a[MR], *b = t->b;
    const ptrdiff_t a_col = t->a_col, b_row = t->b_row, ldc = t->ldc;
    const int cut = t->cols - WIDTH * (nv - 1), add = t->add; /* only the last vector may be cut */
    const int last = cut == WIDTH                      ? 0
                     : b_row + cut >= (ptrdiff_t)WIDTH ? 1
                                                       : (int)((WIDTH - cut + b_row - 1) / b_row);
    const ptrdiff_t end = (t->k - (last < t->k ? last : t->k)) * a_col, all = t->k * a_col;
    UNROLL(8)
    for (int i = 0; i < rows; i++) {
        a[i] = t->a[i];
        UNROLL(8)
        for (int j = 0; j < nv; j++) acc[i][j] = (vec){ 0 };
    }
    for (ptrdiff_t p = 0; p < end; p += a_col, b += b_row) step(acc, a, p, b, rows, nv, WIDTH);
    for (ptrdiff_t p = end; p < all; p += a_col, b += b_row) step(acc, a, p, b, rows, nv, cut);
    const vec alpha = t->alpha - (vec){ 0 }, scale = t->bias_scale - (vec){ 0 };
    UNROLL(8)
    for (int j = 0; j < nv; j++) {
        float *c = t->c + WIDTH * j;
        const int n = j == nv - 1 ? cut : WIDTH;
        const vec bias = !t->bias     ? (vec){ 0 }
                         : n == WIDTH ? scale * load(t->bias + WIDTH * j)
                                      : scale * load_some(t->bias + WIDTH * j, n);
        UNROLL(8)
        for (int i = 0; i < rows; i++) {
            vec v = FMA(alpha, acc[i][j], bias);
            if (n == WIDTH)
                *(loose *)(c + i * ldc) = add ? v + load(c + i * ldc) : v;
            else
                store_some(c + i * ldc, add ? v + load_some(c + i * ldc, n) : v, n);
        }
    }
}

#define VECTORS(rows, nv)                                                                          \
    case nv:                                                                                       \
        if (nv <= MOST(rows)) multiply(t, rows, nv);                                               \
        break;
#define ROWS(rows)                                                                                 \
    static void rows_##rows(const struct tile *t, int nv)                                          \
    {                                                                                              \
        switch (nv) {                                                                              \
            VECTORS(rows, 1)                                                                       \
            VECTORS(rows, 2)                                                                       \
            VECTORS(rows, 3)                                                                       \
            VECTORS(rows, 4)                                                                       \
            VECTORS(rows, 5)                                                                       \
            VECTORS(rows, 6)                                                                       \
            VECTORS(rows, 7)                                                                       \
            VECTORS(rows, 8)                                                                       \
        }                                                                                          \
    }
ROWS(1)
ROWS(2)
ROWS(3)
ROWS(4)
#if MR > 4
ROWS(5)
ROWS(6)
#endif
#if MR > 6
ROWS(7)
ROWS(8)
#endif
#undef ROWS
#undef VECTORS

static void (*const tile_of[MR])(const struct tile *t, int nv) = {
    rows_1, rows_2, rows_3, rows_4,
#if MR > 4
    rows_5, rows_6,
#endif
#if MR > 6
    rows_7, rows_8,
#endif
};
static const int most_of[MR] = {
    MOST(1), MOST(2), MOST(3), MOST(4),
#if MR > 4
    MOST(5), MOST(6),
#endif
#if MR > 6
    MOST(7), MOST(8),
#endif
};

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

/* WIDTH columns of the panel from n rows of the stored [n,k] matrix, k rows of the panel; n and k are at most WIDTH. */
static inline __attribute__((always_inline)) void turn(float *to, int width, const float *b,
                                                       ptrdiff_t ldb, int k, int n)
{
    vec v[WIDTH];
    UNROLL(16)
    for (int i = 0; i < WIDTH; i++)
        v[i] = i >= n ? (vec){ 0 } : k < WIDTH ? load_some(b + i * ldb, k) : load(b + i * ldb);
    TURN(1, LOW1, HIGH1)
    TURN(2, LOW2, HIGH2)
#if WIDTH >= 8
    TURN(4, LOW4, HIGH4)
#endif
#if WIDTH == 16
    TURN(8, LOW8, HIGH8)
#endif
    UNROLL(16)
    for (int i = 0; i < WIDTH; i++)
        if (i < k) *(loose *)(to + i * width) = v[i];
}

static void turn_whole(float *to, int width, const float *b, ptrdiff_t ldb)
{
    turn(to, width, b, ldb, WIDTH, WIDTH);
}
static void turn_part(float *to, int width, const float *b, ptrdiff_t ldb, int k, int n)
{
    turn(to, width, b, ldb, k, n);
}

/* Row p of the panel: element p of each of n rows of the stored [n,k] matrix, then zeros. */
static void pack_turned(float *to, const float *b, ptrdiff_t ldb, int k, int n, int width)
{
    for (int j = 0; j < n; j += WIDTH) {
        const int m = n - j < WIDTH ? n - j : WIDTH;
        const float *from = b + j * ldb;
        int p = 0;
        for (; m == WIDTH && p + WIDTH <= k; p += WIDTH)
            turn_whole(to + p * width + j, width, from + p, ldb);
        for (; p < k; p += WIDTH)
            turn_part(to + p * width + j, width, from + p, ldb, k - p < WIDTH ? k - p : WIDTH, m);
    }
}

/* ---- blocks -------------------------------------------------------------------------------------------------- */

struct block { /* one KC x NC block of B against all rows of A */
    const struct hn_gemm *g;
    int p0, kc, j0, nc, first; /* first: of the blocks along k */
    float *panels, *rows;      /* packed B; rows of A, ROWS of them */
    int packed;                /* B lies in panels */
};

/* n columns as panels of at most `most` vectors, as equal as can be, since a narrow panel waits for its sums. */
struct panels {
    int vectors, wider; /* of a panel; so many at the front have one more */
};

static struct panels panels_of(int n, int most)
{
    const int vectors = (n + WIDTH - 1) / WIDTH, count = (vectors + most - 1) / most;
    return (struct panels){ vectors / count, vectors % count };
}

static int next_panel(struct panels *p) { return p->vectors + (p->wider-- > 0); }

/* Where stored row r of A or B begins. */
static const float *a_at(const struct hn_gemm *g, int r)
{
    return g->a + (g->a_index ? (ptrdiff_t)g->a_index[r] : r) * g->lda;
}

static void pack_block(const struct block *b)
{
    const struct hn_gemm *g = b->g;
    struct panels panels = panels_of(b->nc, NV);
    for (int j = 0, width; j < b->nc; j += width) {
        float *to = b->panels + (ptrdiff_t)j * b->kc;
        width = next_panel(&panels) * WIDTH;
        const int n = b->nc - j < width ? b->nc - j : width;
        const ptrdiff_t col = b->j0 + j;
        if (g->trans_b)
            pack_turned(to, g->b + col * g->ldb + b->p0, g->ldb, b->kc, n, width);
        else if (g->b_index)
            pack_rows(to, g->b + col, g->ldb, g->b_index + b->p0, b->kc, n, width);
        else
            pack_rows(to, g->b + (ptrdiff_t)b->p0 * g->ldb + col, g->ldb, NULL, b->kc, n, width);
    }
}

/* So many rows of A stored [k,m], brought together: element (i,p) is at p * COPY_LD + i. */
static void copy_rows(const struct block *b, int i0, int rows)
{
    for (int p = 0; p < b->kc; p++)
        memcpy(b->rows + p * COPY_LD, a_at(b->g, b->p0 + p) + i0, (size_t)rows * sizeof(float));
}

static void do_strip(const struct block *b, struct panels panels, struct tile *t, int i0, int rows)
{
    const struct hn_gemm *g = b->g;
    for (int j = 0, nv; j < b->nc; j += nv * WIDTH) {
        nv = next_panel(&panels);
        t->cols = b->nc - j < nv * WIDTH ? b->nc - j : nv * WIDTH;
        t->b = b->packed ? b->panels + (ptrdiff_t)j * b->kc
                         : g->b + (ptrdiff_t)b->p0 * g->ldb + b->j0 + j;
        t->b_row = b->packed ? nv * WIDTH : g->ldb;
        t->c = g->c + (ptrdiff_t)i0 * g->ldc + b->j0 + j;
        t->bias = b->first && g->bias ? g->bias + b->j0 + j : NULL;
        tile_of[rows - 1](t, nv);
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
static void find_rows(const struct block *b, struct tile *t, int i0, int rows, int copied)
{
    const struct hn_gemm *g = b->g;
    for (int i = 0; i < rows; i++) {
        if (copied)
            t->a[i] = b->rows + i0 % COPY + i;
        else if (g->trans_a)
            t->a[i] = g->a + (ptrdiff_t)b->p0 * g->lda + i0 + i;
        else
            t->a[i] = a_at(g, i0 + i) + b->p0;
    }
}

static void do_block(const struct block *b)
{
    const struct hn_gemm *g = b->g;
    const int far = (int64_t)g->lda * b->kc >= FAR || g->lda * (int)sizeof(float) % 2048 == 0;
    const int copied = g->trans_a && (g->a_index || (far && g->n > NR));
    const int fresh = b->j0 == 0 || g->m > COPY; /* else they lie there from the last block */
    struct tile t = { .k = b->kc, .ldc = g->ldc, .alpha = g->alpha, .bias_scale = g->bias_scale };
    const struct panels panels = panels_of(b->nc, NV);
    t.add = g->add || !b->first;
    t.a_col = copied ? COPY_LD : g->trans_a ? g->lda : 1;
    for (int i = 0; i < g->m; i += MR) {
        const int rows = g->m - i < MR ? g->m - i : MR;
        if (copied && fresh && i % COPY == 0) copy_rows(b, i, g->m - i < COPY ? g->m - i : COPY);
        if (g->a_index && !g->trans_a && b->j0 == 0) fetch_rows(b, i + MR);
        find_rows(b, &t, i, rows, copied);
        do_strip(b, rows == MR || b->packed ? panels : panels_of(b->nc, most_of[rows - 1]), &t, i,
                 rows);
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

/* Fewer than NARROW columns: a row of A by itself, so that it does not matter which rows are beside it. */
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

/* Any k, by blocks of it that fit into the scratch when they are turned. */
static void narrow_blocks(const struct hn_gemm *g)
{
    enum { K = 16384 };
    struct hn_gemm part = *g;
    for (int p = 0; p < g->k; p += K) {
        part.k = g->k - p < K ? g->k - p : K;
        part.a = g->a + p;
        part.b = g->b + (g->trans_b ? p : p * (ptrdiff_t)g->ldb);
        narrow(&part);
        part.add = 1;
    }
}

/* ---- all of them --------------------------------------------------------------------------------------------- */

static void by_blocks(const struct hn_gemm *g)
{
    struct block b = { .g = g, .first = 1 };
    const int kc = g->trans_a ? KC_COLUMNS : KC, blocks = (g->k + kc - 1) / kc;
    b.panels = (float *)(((uintptr_t)g->scratch + 63) & ~(uintptr_t)63);
    b.rows = b.panels + (size_t)KC * NC;
    b.packed = g->trans_b || g->b_index || ((int64_t)g->k * g->n > SMALL_B && g->m >= 4 * MR);
    for (int i = 0; i < blocks; i++, b.first = 0) {
        b.p0 = (int)((int64_t)g->k * i / blocks);
        b.kc = (int)((int64_t)g->k * (i + 1) / blocks) - b.p0;
        for (b.j0 = 0; b.j0 < g->n; b.j0 += NC) {
            b.nc = g->n - b.j0 < NC ? g->n - b.j0 : NC;
            if (b.packed) pack_block(&b);
            do_block(&b);
        }
    }
}

/* A weight gradient of hardly any columns: its transpose has hardly any rows. */
static void by_transpose(const struct hn_gemm *g)
{
    float *t = (float *)g->scratch + SCRATCH_BLOCKS;
    struct hn_gemm part = { .m = g->n, .k = g->k, .alpha = g->alpha, .scratch = g->scratch };
    part.a = g->b, part.lda = g->ldb, part.trans_a = !g->trans_b, part.a_index = g->b_index;
    part.ldb = g->lda, part.b_index = g->a_index;
    for (int i = 0; i < g->m; i += NC) {
        const int rows = part.n = part.ldc = g->m - i < NC ? g->m - i : NC;
        part.b = g->a + i, part.c = t;
        by_blocks(&part);
        for (int j = 0; j < g->n; j++) {
            float *c = g->c + (ptrdiff_t)i * g->ldc + j;
            const float term = g->bias ? g->bias_scale * g->bias[j] : 0;
            for (int r = 0; r < rows; r++, c += g->ldc) *c = t[j * rows + r] + (g->add ? *c : term);
        }
    }
}

/* The columns of a weight gradient that fill their vector badly are computed as if there were only these. */
static void by_columns(const struct hn_gemm *g)
{
    const int rest = g->n % WIDTH, filled = g->n - rest + WIDTH;
    if (rest == 0 || rest >= NARROW || g->n < WIDTH || g->m < WIDTH || 10 * filled <= 11 * g->n) {
        by_blocks(g);
        return;
    }
    struct hn_gemm part = *g;
    part.n = g->n - rest;
    by_blocks(&part);
    part.b += g->trans_b ? (ptrdiff_t)part.n * g->ldb : part.n;
    part.c += part.n, part.bias += part.bias ? part.n : 0, part.n = rest;
    by_transpose(&part);
}

static void no_terms(const struct hn_gemm *g)
{
    for (int i = 0; i < g->m && !g->add; i++)
        for (int j = 0; j < g->n; j++)
            g->c[(ptrdiff_t)i * g->ldc + j] = g->bias ? g->bias_scale * g->bias[j] : 0;
}

size_t HN_ISA_NAME(hn_gemm_room)(void)
{
    return (SCRATCH_BLOCKS + HN_GEMM_NARROW * NC) * sizeof(float);
}

void HN_ISA_NAME(hn_gemm)(const struct hn_gemm *g)
{
    if (g->m < 1 || g->n < 1) return;
    if (g->k < 1)
        no_terms(g);
    else if (!hn_gemm_is_narrow(g->whole_n ? g->whole_n : g->n))
        (g->trans_a ? by_columns : by_blocks)(g);
    else if (g->trans_a)
        by_transpose(g);
    else
        narrow_blocks(g);
}
