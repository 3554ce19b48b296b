/* SPDX-License-Identifier: MIT
 *
 * The thin device layer: everything the backend asks of a GPU, as one table of functions. gpu/layer.c answers with CUDA, cuBLASLt
 * and cuDNN; the tests answer with plain memory, so that all host logic runs without a device. Every call that may fail returns
 * a status and leaves the library's own text in err; none prints. A context belongs to one thread at a time and has one compute
 * stream; copy, fill, launch and gemm are queued on it, or recorded while a capture is open. */
#ifndef HN_GPU_H
#define HN_GPU_H

#include "gpu/kernel.h"
#include "ops/base/hone_status.h"
#include "ops/base/memory.h"

struct hn_gpu_grid {
    uint32_t x, y, z; /* blocks of HN_BLOCK threads */
};

enum hn_gpu_math { HN_GPU_FP32, HN_GPU_TF32, HN_GPU_BF16 };
enum hn_gpu_overlap {
    HN_GPU_EARLY = 1,            /* a launch is made ready while the one before it still runs */
    HN_GPU_BESIDE_EACH_OTHER = 2 /* side launches run beside; else in a row with the others */
};
enum hn_gpu_side { HN_GPU_FORK, HN_GPU_BACK, HN_GPU_JOIN };
enum hn_gpu_copy { HN_GPU_UP, HN_GPU_DOWN, HN_GPU_ACROSS };

struct
    hn_gpu_gemm { /* row-major: c[m,n] = alpha op(a)[m,k] op(b)[k,n] + (acc ? c : 0), then + bias[n], then ReLU */
    int64_t m, n, k;
    int trans_a, trans_b; /* a is stored [k,m], b is stored [n,k] */
    int bias, relu, acc;
    int sums; /* gradient of a bias beside the product: 1 sums of a over k (m of them), 2 sums of b over k (n); into `bias` */
    int choice; /* which of the library's ways, in its order; 0, the first, but for a benchmark */
    int bf16;   /* a and b are bfloat16; c and bias are elements as ever */
    size_t elem;
    enum hn_gpu_math math;
    double alpha;
};

/* How cuDNN is asked to see a batch norm over [rows, channels]; gpu/choice.c says which is taken. With inner dims behind the
 * channels there is one way to see it, (rows, channels, inner, 1), and only the two spatial modes. */
enum hn_gpu_norm_way {
    HN_GPU_NORM_NATIVE,
    HN_GPU_NORM_PER_ACTIVATION,  /* (rows, channels, 1, 1), one value per activation */
    HN_GPU_NORM_SPATIAL,         /* the same, one value per channel */
    HN_GPU_NORM_SPATIAL_NHWC,    /* (1, channels, rows, 1), channels innermost */
    HN_GPU_NORM_PERSISTENT,      /* (rows, channels, 1, 1), channels innermost */
    HN_GPU_NORM_PERSISTENT_NHWC, /* (1, channels, rows, 1), channels innermost */
    HN_GPU_NORM_WAYS
};
struct hn_gpu_norm {
    enum hn_gpu_norm_way way;
    int64_t rows, channels, inner;
    size_t elem;
    double eps,
        factor; /* running = (1 - factor) running + factor batch, the variance with n / (n - 1) */
    int batch;  /* batch statistics, else the running ones */
    int acc, acc_params; /* backward: add to dx; to dscale and dbias */
};
struct hn_gpu_norm_at { /* addresses; saved values are elements */
    const void *x, *scale, *bias, *dy;
    void *y, *mean,
        *var; /* running values: moved by forward with batch statistics unless NULL, else read */
    void *save_mean, *save_inv;
    void *dx, *dscale, *dbias;
};
struct
    hn_gpu_drop { /* Dropout whose random states lie in device memory and move with every forward */
    int64_t rows, cols;
    size_t elem;
    double rate;
    void *states;
    size_t state_bytes;
    uint64_t seed;
};
struct hn_gpu_layer {
    const char *name;
    /* overlap: enum hn_gpu_overlap, what of it is allowed */
    hone_status (*open)(struct hn_mem *mem, int ordinal, int overlap, void **ctx, hone_error *err);
    void (*close)(void *ctx);
    void (*describe)(void *ctx, char *buf, size_t size); /* device, driver, library versions */
    hone_status (*memory)(void *ctx, size_t *free_bytes, size_t *total, hone_error *err);
    hone_status (*alloc)(void *ctx, size_t bytes, void **p, hone_error *err); /* not cleared */
    void (*release)(void *ctx, void *p);
    hone_status (*pin)(void *ctx, size_t bytes, void **p,
                       hone_error *err); /* host memory that copies quickly */
    void (*unpin)(void *ctx, void *p);
    hone_status (*fill)(void *ctx, void *p, size_t n, hone_error *err); /* zeros */
    hone_status (*copy)(void *ctx, void *to, const void *from, size_t n, enum hn_gpu_copy way,
                        hone_error *err);
    hone_status (*sync)(void *ctx, hone_error *err);
    /* A second stream for data: an upload starts at once, so that nothing queued may use `to` still; what is queued on
     * the compute stream after upload_join waits for it. */
    hone_status (*upload)(void *ctx, void *to, const void *from, size_t n, hone_error *err);
    hone_status (*upload_join)(void *ctx, hone_error *err);
    hone_status (*launch)(void *ctx, enum hn_k_id kernel, size_t elem, struct hn_gpu_grid grid,
                          const void *args, size_t bytes, hone_error *err);
    /* Another stream for launches beside the compute stream's, captured along with it: FORK, what is launched then begins behind
     * what is queued so far; BACK, launches are the compute stream's again; JOIN, what follows waits for the other stream. */
    hone_status (*side)(void *ctx, enum hn_gpu_side what, hone_error *err);
    hone_status (*capture_begin)(void *ctx, hone_error *err);
    hone_status (*capture_end)(void *ctx, void **graph,
                               hone_error *err); /* closes the capture also when it fails */
    hone_status (*replay)(void *ctx, void *graph, hone_error *err);
    void (*graph_release)(void *ctx, void *graph);
    /* HONE_E_UNSUPPORTED when the library has no way for this one; the caller then asks for less */
    hone_status (*gemm_create)(void *ctx, const struct hn_gpu_gemm *g, void **gemm,
                               hone_error *err);
    hone_status (*gemm)(void *ctx, void *gemm, const void *a, const void *b, void *c, void *bias,
                        hone_error *err);
    void (*gemm_release)(void *ctx, void *gemm);
    /* cuDNN. HONE_E_UNSUPPORTED where it does not take the shape; nothing here is to be created while a capture is open. */
    hone_status (*norm_create)(void *ctx, const struct hn_gpu_norm *n, void **norm,
                               hone_error *err);
    hone_status (*norm_forward)(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                hone_error *err);
    hone_status (*norm_backward)(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                 hone_error *err);
    void (*norm_release)(void *ctx, void *norm);
    hone_status (*drop_state)(void *ctx, size_t *bytes, hone_error *err);
    hone_status (*drop_reserve)(void *ctx, int64_t rows, int64_t cols, size_t elem, size_t *bytes,
                                hone_error *err); /* what forward leaves for backward */
    hone_status (*drop_seed)(void *ctx, void *states, size_t bytes, uint64_t seed, hone_error *err);
    hone_status (*drop_create)(void *ctx, const struct hn_gpu_drop *d, void **drop,
                               hone_error *err); /* states are taken as they are */
    hone_status (*drop)(void *ctx, void *drop, int backward, const void *from, void *to,
                        void *reserve, hone_error *err);
    void (*drop_release)(void *ctx, void *drop);
};
/* The layer this module was linked with. */
extern const struct hn_gpu_layer hn_gpu_layer;
#endif
