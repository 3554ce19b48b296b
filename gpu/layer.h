/* SPDX-License-Identifier: MIT
 *
 * Inside the CUDA device layer: the context that layer.c (CUDA, cuBLASLt) and cudnn.c share. Nobody else includes it. */
#ifndef HN_GPU_LAYER_H
#define HN_GPU_LAYER_H

#include "gpu/gpu.h"
#include <cublasLt.h>
#include <cuda_runtime_api.h>

struct cudnnContext;
struct hn_gpu_context {
    struct hn_mem *mem;
    int ordinal;
    cudaStream_t stream, copies, beside;
    cudaStream_t now; /* the one of the two, stream and beside, that launches go to */
    cudaEvent_t arrived, forked, joined;
    int overlap;
    int deep[2];  /* float, double: the kernel `panel` may have its shared memory */
    int followed; /* of the compute stream, while launches go beside it */
    int follows; /* what was queued last on the compute stream is a launch of ours: the next one may begin early */
    cublasLtHandle_t lt;
    void *workspace;
    struct cudnnContext *dnn; /* NULL until something asks for cuDNN: it takes a while to load */
};

/* The calling thread's device is this context's. */
hone_status hn_gpu_here(const struct hn_gpu_context *c, hone_error *err);
void hn_gpu_cudnn_close(struct hn_gpu_context *c);
/* Of the library, which is loaded for it; else the version this was built with. */
const char *hn_gpu_cudnn_version(int loaded, char text[32]);

hone_status hn_gpu_norm_create(void *ctx, const struct hn_gpu_norm *n, void **norm,
                               hone_error *err);
hone_status hn_gpu_norm_forward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                hone_error *err);
hone_status hn_gpu_norm_backward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                 hone_error *err);
void hn_gpu_norm_release(void *ctx, void *norm);
hone_status hn_gpu_drop_state(void *ctx, size_t *bytes, hone_error *err);
hone_status hn_gpu_drop_reserve(void *ctx, int64_t rows, int64_t cols, size_t elem, size_t *bytes,
                                hone_error *err);
hone_status hn_gpu_drop_seed(void *ctx, void *states, size_t bytes, uint64_t seed, hone_error *err);
hone_status hn_gpu_drop_create(void *ctx, const struct hn_gpu_drop *d, void **drop,
                               hone_error *err);
hone_status hn_gpu_drop_run(void *ctx, void *drop, int backward, const void *from, void *to,
                            void *reserve, hone_error *err);
void hn_gpu_drop_release(void *ctx, void *drop);
#endif
