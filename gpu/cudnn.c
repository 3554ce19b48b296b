/* SPDX-License-Identifier: MIT
 *
 * The device layer's cuDNN part: BatchNormalization and Dropout. The handle is made when first asked for, on the context's
 * stream; descriptors are made outside captures, calls only queue kernels.
 *
 * BatchNormalization goes through cuDNN's older calls, which are marked deprecated since cuDNN 9 but work:
 *   older calls  one call a direction, no workspace, no plan; every layout of section "ways" in gpu.h is a descriptor. Gone with
 *                one file and seven lines of the layer's table when cuDNN drops them.
 *   graph API    NORM_FORWARD and NORM_BACKWARD through the backend descriptors: an engine search and a plan per shape, a
 *                workspace, 150 lines of attributes; the newer path, but with nothing a batch norm over [N, C] gains.
 * The older calls are the simpler ones to delete, so they are here. running = (1 - factor) running + factor batch, and the
 * batch variance that goes in has the factor n / (n - 1), as PyTorch's. */
#include "gpu/layer.h"
#include "ops/base/status.h"
#include <cudnn.h>
#include <limits.h>
#include <stdio.h>

/* the calls this file is about are deprecated; see above */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

struct norm {
    struct hn_gpu_norm n;
    cudnnBatchNormMode_t mode;
    cudnnTensorDescriptor_t x, params;
};
struct drop {
    cudnnDropoutDescriptor_t d;
    cudnnTensorDescriptor_t x;
    size_t reserve;
};

/* ---- errors and the handle --------------------------------------------------------------------------------------- */

static int says_memory(cudnnStatus_t s)
{
    return s == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
           s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

/* cuDNN's name of the error and, behind it, the condition that it says was not met. */
static hone_status check(cudnnStatus_t s, const char *what, hone_error *err)
{
    char why[160] = "";
    if (s == CUDNN_STATUS_SUCCESS) return HONE_OK;
    cudnnGetLastErrorString(why, sizeof why);
    int unknown = CUDNN_STATUS_CATEGORY(s) == CUDNN_STATUS_NOT_SUPPORTED;
    hone_status code = says_memory(s) ? HONE_E_NOMEM : unknown ? HONE_E_UNSUPPORTED : HONE_E_DEVICE;
    return hn_fail(err, code, what, "cuDNN: %s%s%s", cudnnGetErrorString(s), why[0] ? ": " : "",
                   why);
}

void hn_gpu_cudnn_close(struct hn_gpu_context *c)
{
    if (c->dnn) (void)cudnnDestroy(c->dnn);
    c->dnn = NULL;
}

const char *hn_gpu_cudnn_version(int loaded, char text[32])
{
    size_t v = loaded ? cudnnGetVersion() : CUDNN_VERSION; /* 90100 is 9.1.0 */
    (void)snprintf(text, 32, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
    return text;
}

static hone_status handle(struct hn_gpu_context *c, hone_error *err)
{
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    if (c->dnn) return HONE_OK;
    HN_TRY(check(cudnnCreate(&c->dnn), "cuDNN", err));
    hone_status st = check(cudnnSetStream(c->dnn, c->stream), "cuDNN", err);
    if (st != HONE_OK) hn_gpu_cudnn_close(c);
    return st;
}

static cudnnDataType_t type_of(size_t elem)
{
    return elem == 8 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
}

/* ---- BatchNormalization ------------------------------------------------------------------------------------------ */

void hn_gpu_norm_release(void *ctx, void *norm)
{
    const struct hn_gpu_context *c = ctx;
    struct norm *p = norm;
    if (!p) return;
    if (p->x) (void)cudnnDestroyTensorDescriptor(p->x);
    if (p->params) (void)cudnnDestroyTensorDescriptor(p->params);
    hn_free(c->mem, p);
}

/* The dims and strides, NCHW order, that a way sees in row-major [rows, channels, inner]. */
struct seen {
    int dim[4], stride[4];
};
static struct seen look(const struct hn_gpu_norm *n)
{
    const int rows = (int)n->rows, c = (int)n->channels, inner = (int)n->inner;
    if (inner > 1) return (struct seen){ { rows, c, inner, 1 }, { c * inner, inner, 1, 1 } };
    switch (n->way) {
    case HN_GPU_NORM_SPATIAL_NHWC:
    case HN_GPU_NORM_PERSISTENT_NHWC:
        return (struct seen){ { 1, c, rows, 1 }, { rows * c, 1, c, c } };
    case HN_GPU_NORM_PERSISTENT: return (struct seen){ { rows, c, 1, 1 }, { c, 1, c, c } };
    default: return (struct seen){ { rows, c, 1, 1 }, { c, 1, 1, 1 } };
    }
}

static cudnnBatchNormMode_t mode_of(const struct hn_gpu_norm *n)
{
    int persistent = n->way == HN_GPU_NORM_PERSISTENT || n->way == HN_GPU_NORM_PERSISTENT_NHWC;
    if (n->way == HN_GPU_NORM_PER_ACTIVATION && n->inner == 1)
        return CUDNN_BATCHNORM_PER_ACTIVATION;
    return persistent ? CUDNN_BATCHNORM_SPATIAL_PERSISTENT : CUDNN_BATCHNORM_SPATIAL;
}

static hone_status describe_norm(struct norm *p, hone_error *err)
{
    static const char what[] = "BatchNormalization";
    const struct seen s = look(&p->n);
    HN_TRY(check(cudnnCreateTensorDescriptor(&p->x), what, err));
    HN_TRY(check(cudnnCreateTensorDescriptor(&p->params), what, err));
    HN_TRY(check(cudnnSetTensor4dDescriptorEx(p->x, type_of(p->n.elem), s.dim[0], s.dim[1],
                                              s.dim[2], s.dim[3], s.stride[0], s.stride[1],
                                              s.stride[2], s.stride[3]),
                 what, err));
    return check(cudnnDeriveBNTensorDescriptor(p->params, p->x, p->mode), what, err);
}

hone_status hn_gpu_norm_create(void *ctx, const struct hn_gpu_norm *n, void **norm, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    *norm = NULL;
    if (n->rows < 1 || n->rows > INT_MAX / n->channels / n->inner)
        return hn_fail(err, HONE_E_UNSUPPORTED, "BatchNormalization",
                       "cuDNN counts in 32 bits: %lld x %lld x %lld elements are too many",
                       (long long)n->rows, (long long)n->channels, (long long)n->inner);
    HN_TRY(handle(c, err));
    struct norm *p = hn_calloc(c->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "BatchNormalization", sizeof *p);
    p->n = *n, p->mode = mode_of(n);
    hone_status st = describe_norm(p, err);
    if (st != HONE_OK) {
        hn_gpu_norm_release(ctx, p);
        return st;
    }
    *norm = p;
    return HONE_OK;
}

/* Blending factors are of the element's type. */
struct blend {
    double d;
    float f;
};
static struct blend blend(int on) { return (struct blend){ on ? 1.0 : 0.0, on ? 1.0f : 0.0f }; }
static const void *of(const struct blend *b, size_t elem)
{
    return elem == 8 ? (const void *)&b->d : (const void *)&b->f;
}

hone_status hn_gpu_norm_forward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    const struct norm *p = norm;
    const struct blend one = blend(1), zero = blend(0);
    const void *alpha = of(&one, p->n.elem), *beta = of(&zero, p->n.elem);
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    cudnnStatus_t s =
        p->n.batch
            ? cudnnBatchNormalizationForwardTraining(
                  c->dnn, p->mode, alpha, beta, p->x, at->x, p->x, at->y, p->params, at->scale,
                  at->bias, p->n.factor, at->mean, at->var, p->n.eps, at->save_mean, at->save_inv)
            : cudnnBatchNormalizationForwardInference(c->dnn, p->mode, alpha, beta, p->x, at->x,
                                                      p->x, at->y, p->params, at->scale, at->bias,
                                                      at->mean, at->var, p->n.eps);
    return check(s, "BatchNormalization", err);
}

hone_status hn_gpu_norm_backward(void *ctx, void *norm, const struct hn_gpu_norm_at *at,
                                 hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    const struct norm *p = norm;
    const struct blend one = blend(1), data = blend(p->n.acc), params = blend(p->n.acc_params);
    const size_t elem = p->n.elem;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudnnBatchNormalizationBackward(
                     c->dnn, p->mode, of(&one, elem), of(&data, elem), of(&one, elem),
                     of(&params, elem), p->x, at->x, p->x, at->dy, p->x, at->dx, p->params,
                     at->scale, at->dscale, at->dbias, p->n.eps, at->save_mean, at->save_inv),
                 "the gradient of BatchNormalization", err);
}

/* ---- Dropout ------------------------------------------------------------------------------------------------------ */

void hn_gpu_drop_release(void *ctx, void *drop)
{
    const struct hn_gpu_context *c = ctx;
    struct drop *p = drop;
    if (!p) return;
    if (p->x) (void)cudnnDestroyTensorDescriptor(p->x);
    if (p->d) (void)cudnnDestroyDropoutDescriptor(p->d);
    hn_free(c->mem, p);
}

static hone_status describe_rows(cudnnTensorDescriptor_t *x, int64_t rows, int64_t cols,
                                 size_t elem, hone_error *err)
{
    if (rows < 1 || cols < 1 || rows > INT_MAX / cols)
        return hn_fail(err, HONE_E_UNSUPPORTED, "Dropout",
                       "cuDNN counts in 32 bits: found %lld x %lld elements", (long long)rows,
                       (long long)cols);
    HN_TRY(check(cudnnCreateTensorDescriptor(x), "Dropout", err));
    return check(cudnnSetTensor4dDescriptor(*x, CUDNN_TENSOR_NCHW, type_of(elem), (int)rows,
                                            (int)cols, 1, 1),
                 "Dropout", err);
}

hone_status hn_gpu_drop_state(void *ctx, size_t *bytes, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    HN_TRY(handle(c, err));
    return check(cudnnDropoutGetStatesSize(c->dnn, bytes), "Dropout", err);
}

hone_status hn_gpu_drop_reserve(void *ctx, int64_t rows, int64_t cols, size_t elem, size_t *bytes,
                                hone_error *err)
{
    cudnnTensorDescriptor_t x = NULL;
    (void)ctx;
    hone_status st = describe_rows(&x, rows, cols, elem, err);
    if (st == HONE_OK) st = check(cudnnDropoutGetReserveSpaceSize(x, bytes), "Dropout", err);
    if (x) (void)cudnnDestroyTensorDescriptor(x);
    return st;
}

/* Fills the states: a kernel, so never inside a capture. The rate is of no account here. */
hone_status hn_gpu_drop_seed(void *ctx, void *states, size_t bytes, uint64_t seed, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    cudnnDropoutDescriptor_t d;
    HN_TRY(handle(c, err));
    HN_TRY(check(cudnnCreateDropoutDescriptor(&d), "Dropout", err));
    hone_status st =
        check(cudnnSetDropoutDescriptor(d, c->dnn, 0.5f, states, bytes, seed), "Dropout", err);
    (void)cudnnDestroyDropoutDescriptor(d);
    return st;
}

hone_status hn_gpu_drop_create(void *ctx, const struct hn_gpu_drop *d, void **drop, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    *drop = NULL;
    HN_TRY(handle(c, err));
    struct drop *p = hn_calloc(c->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "Dropout", sizeof *p);
    hone_status st = describe_rows(&p->x, d->rows, d->cols, d->elem, err);
    if (st == HONE_OK)
        st = check(cudnnDropoutGetReserveSpaceSize(p->x, &p->reserve), "Dropout", err);
    if (st == HONE_OK) st = check(cudnnCreateDropoutDescriptor(&p->d), "Dropout", err);
    if (st == HONE_OK)
        st = check(cudnnRestoreDropoutDescriptor(p->d, c->dnn, (float)d->rate, d->states,
                                                 d->state_bytes, d->seed),
                   "Dropout", err);
    if (st != HONE_OK) {
        hn_gpu_drop_release(ctx, p);
        return st;
    }
    *drop = p;
    return HONE_OK;
}

hone_status hn_gpu_drop_run(void *ctx, void *drop, int backward, const void *from, void *to,
                            void *reserve, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    const struct drop *p = drop;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    cudnnStatus_t s =
        backward ? cudnnDropoutBackward(c->dnn, p->d, p->x, from, p->x, to, reserve, p->reserve)
                 : cudnnDropoutForward(c->dnn, p->d, p->x, from, p->x, to, reserve, p->reserve);
    return check(s, "Dropout", err);
}
