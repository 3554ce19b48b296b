/* SPDX-License-Identifier: MIT
 *
 * The device layer with CUDA and cuBLASLt (cuDNN's part: cudnn.c). Every call checks its result and hands on the library's own text; a fault that
 * sticks is told by every later call and by nothing else. One workspace of its own for the products: captured steps must not
 * make the library allocate, and results must not depend on what else runs. Products take the library's first choice for
 * their shape: the same on every run. */
#include "gpu/layer.h"
#include "ops/base/status.h"
#include <cublasLt.h>
#include <stdio.h>
#include <string.h>

enum { WORKSPACE = 32 << 20, ALIGNED = 16, CHOICES = 8 };

struct product {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b,
        c; /* column-major: the row-major product transposed, a and b swapped */
    cublasLtMatmulAlgo_t algo;
    double alpha, beta;
    float alpha_f, beta_f;
    size_t elem;
    int has_bias;
};

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static hone_status check(cudaError_t e, const char *what, hone_error *err)
{
    if (e == cudaSuccess) return HONE_OK;
    (void)cudaGetLastError(); /* not told twice, unless it sticks */
    return hn_fail(err, e == cudaErrorMemoryAllocation ? HONE_E_NOMEM : HONE_E_DEVICE, what,
                   "CUDA: %s (%s)", cudaGetErrorString(e), cudaGetErrorName(e));
}

static hone_status check_blas(cublasStatus_t s, const char *what, hone_error *err)
{
    if (s == CUBLAS_STATUS_SUCCESS) return HONE_OK;
    return hn_fail(err,
                   s == CUBLAS_STATUS_ALLOC_FAILED    ? HONE_E_NOMEM
                   : s == CUBLAS_STATUS_NOT_SUPPORTED ? HONE_E_UNSUPPORTED
                                                      : HONE_E_DEVICE,
                   what, "cuBLASLt: %s", cublasLtGetStatusString(s));
}

hone_status hn_gpu_here(const struct hn_gpu_context *c, hone_error *err)
{
    return check(cudaSetDevice(c->ordinal), "the device", err);
}

/* ---- device ----------------------------------------------------------------------------------------------------- */

static void layer_close(void *ctx)
{
    struct hn_gpu_context *c = ctx;
    if (!c) return;
    (void)cudaSetDevice(c->ordinal);
    hn_gpu_cudnn_close(c);
    if (c->lt) (void)cublasLtDestroy(c->lt);
    if (c->workspace) (void)cudaFree(c->workspace);
    if (c->arrived) (void)cudaEventDestroy(c->arrived);
    if (c->forked) (void)cudaEventDestroy(c->forked);
    if (c->joined) (void)cudaEventDestroy(c->joined);
    if (c->beside) (void)cudaStreamDestroy(c->beside);
    if (c->copies) (void)cudaStreamDestroy(c->copies);
    if (c->stream) (void)cudaStreamDestroy(c->stream);
    (void)cudaGetLastError();
    hn_free(c->mem, c);
}

static hone_status open_all(struct hn_gpu_context *c, hone_error *err)
{
    HN_TRY(hn_gpu_here(c, err));
    HN_TRY(check(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "a stream", err));
    HN_TRY(check(cudaStreamCreateWithFlags(&c->copies, cudaStreamNonBlocking), "a stream", err));
    HN_TRY(check(cudaStreamCreateWithFlags(&c->beside, cudaStreamNonBlocking), "a stream", err));
    c->now = c->stream;
    HN_TRY(check(cudaEventCreateWithFlags(&c->arrived, cudaEventDisableTiming), "an event", err));
    HN_TRY(check(cudaEventCreateWithFlags(&c->forked, cudaEventDisableTiming), "an event", err));
    HN_TRY(check(cudaEventCreateWithFlags(&c->joined, cudaEventDisableTiming), "an event", err));
    HN_TRY(check(cudaMalloc(&c->workspace, WORKSPACE), "the workspace of products", err));
    return check_blas(cublasLtCreate(&c->lt), "cuBLASLt", err);
}

typedef const void *function_of(void);
#define DECLARE(name)                                                                              \
    function_of hn_k_##name##_f32;                                                                 \
    function_of hn_k_##name##_f64;
HN_K_LIST(DECLARE)
#undef DECLARE
#define F32(name) hn_k_##name##_f32,
#define F64(name) hn_k_##name##_f64,
static function_of *const kernels[2][HN_KN_COUNT] = { { HN_K_LIST(F32) }, { HN_K_LIST(F64) } };
#undef F32
#undef F64
#define NAME(name) #name,
static const char *const names[HN_KN_COUNT] = { HN_K_LIST(NAME) };
#undef NAME

/* Launches that begin early are from compute capability 9 on, and of kernels that wait for their turn: those made for less do not
 * (HN_TURN), though such a device takes them. */
static int begins_early(int ordinal)
{
    int major = 0;
    struct cudaFuncAttributes made;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal) != cudaSuccess ||
        major < 9 || cudaSetDevice(ordinal) != cudaSuccess ||
        cudaFuncGetAttributes(&made, kernels[0][HN_KN_judge]()) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    return made.ptxVersion >= 90;
}

static hone_status layer_open(struct hn_mem *mem, int ordinal, int overlap, void **ctx,
                              hone_error *err)
{
    int n = 0;
    *ctx = NULL;
    HN_TRY(check(cudaGetDeviceCount(&n), "the GPU", err));
    if (ordinal >= n)
        return hn_fail(err, HONE_E_DEVICE, "the GPU", "device %d was asked for, found %d", ordinal,
                       n);
    struct hn_gpu_context *c = hn_calloc(mem, 1, sizeof *c);
    if (!c) return hn_nomem(err, "the GPU", sizeof *c);
    c->mem = mem, c->ordinal = ordinal;
    c->overlap = overlap & ~(begins_early(ordinal) ? 0 : HN_GPU_EARLY);
    hone_status st = open_all(c, err);
    if (st != HONE_OK) {
        layer_close(c);
        return st;
    }
    *ctx = c;
    return HONE_OK;
}

static void layer_describe(void *ctx, char *buf, size_t size)
{
    const struct hn_gpu_context *c = ctx;
    struct cudaDeviceProp p;
    int driver = 0, runtime = 0;
    char dnn[32];
    if (cudaGetDeviceProperties(&p, c->ordinal) != cudaSuccess) memset(&p, 0, sizeof p);
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)snprintf(buf, size, "%s, sm_%d%d, CUDA %d.%d (driver for %d.%d), cuBLASLt %zu, cuDNN %s",
                   p.name, p.major, p.minor, runtime / 1000, runtime % 1000 / 10, driver / 1000,
                   driver % 1000 / 10, cublasLtGetVersion(),
                   hn_gpu_cudnn_version(c->dnn != NULL, dnn));
}

static hone_status layer_memory(void *ctx, size_t *free_bytes, size_t *total, hone_error *err)
{
    HN_TRY(hn_gpu_here(ctx, err));
    return check(cudaMemGetInfo(free_bytes, total), "device memory", err);
}

static hone_status layer_alloc(void *ctx, size_t bytes, void **p, hone_error *err)
{
    *p = NULL;
    HN_TRY(hn_gpu_here(ctx, err));
    cudaError_t e = cudaMalloc(p, bytes);
    if (e != cudaErrorMemoryAllocation) return check(e, "device memory", err);
    (void)cudaGetLastError();
    return hn_fail(err, HONE_E_NOMEM, "device memory", "%zu bytes were asked for: %s", bytes,
                   cudaGetErrorString(e));
}

static void layer_release(void *ctx, void *p)
{
    const struct hn_gpu_context *c = ctx;
    (void)cudaSetDevice(c->ordinal);
    (void)cudaFree(p);
}

static hone_status layer_pin(void *ctx, size_t bytes, void **p, hone_error *err)
{
    *p = NULL;
    HN_TRY(hn_gpu_here(ctx, err));
    return check(cudaHostAlloc(p, bytes, cudaHostAllocDefault), "pinned memory", err);
}

static void layer_unpin(void *ctx, void *p)
{
    const struct hn_gpu_context *c = ctx;
    (void)cudaSetDevice(c->ordinal);
    (void)cudaFreeHost(p);
}

static hone_status layer_fill(void *ctx, void *p, size_t n, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudaMemsetAsync(p, 0, n, c->stream), "clearing memory", err);
}

static hone_status layer_copy(void *ctx, void *to, const void *from, size_t n, enum hn_gpu_copy way,
                              hone_error *err)
{
    static const enum cudaMemcpyKind kinds[] = { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                 cudaMemcpyDeviceToDevice };
    struct hn_gpu_context *c = ctx;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudaMemcpyAsync(to, from, n, kinds[way], c->stream), "copying", err);
}

static hone_status layer_sync(void *ctx, hone_error *err)
{
    const struct hn_gpu_context *c = ctx;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudaStreamSynchronize(c->stream), "the device's work", err);
}

static hone_status layer_upload(void *ctx, void *to, const void *from, size_t n, hone_error *err)
{
    const struct hn_gpu_context *c = ctx;
    HN_TRY(hn_gpu_here(c, err));
    HN_TRY(check(cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, c->copies), "streaming rows",
                 err));
    return check(cudaEventRecord(c->arrived, c->copies), "streaming rows", err);
}

static hone_status layer_join(void *ctx, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudaStreamWaitEvent(c->stream, c->arrived, 0), "streaming rows", err);
}

/* ---- launches and graphs ---------------------------------------------------------------------------------------- */

/* More shared memory than a kernel gets unasked has to be allowed, once; and a processor is to give it as much as it can, so that
 * two blocks fit. */
static hone_status make_room(struct hn_gpu_context *c, enum hn_k_id kernel, size_t elem, int deep,
                             hone_error *err)
{
    if (!deep || c->deep[elem == 8]) return HONE_OK;
    HN_TRY(check(cudaFuncSetAttribute(kernels[elem == 8][kernel](),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, deep),
                 names[kernel], err));
    HN_TRY(check(cudaFuncSetAttribute(kernels[elem == 8][kernel](),
                                      cudaFuncAttributePreferredSharedMemoryCarveout,
                                      cudaSharedmemCarveoutMaxShared),
                 names[kernel], err));
    c->deep[elem == 8] = 1;
    return HONE_OK;
}

/* A launch behind another one of ours may be made ready while that one still runs: its kernel waits for its turn (HN_TURN). */
static hone_status layer_launch(void *ctx, enum hn_k_id kernel, size_t elem,
                                struct hn_gpu_grid grid, const void *args, size_t bytes,
                                hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    const int deep = kernel == HN_KN_panel ? HN_K_PANEL_BYTES : 0;
    cudaLaunchAttribute how_so = { .id = cudaLaunchAttributeProgrammaticStreamSerialization };
    how_so.val.programmaticStreamSerializationAllowed = 1;
    const cudaLaunchConfig_t how = { .gridDim = { grid.x, grid.y, grid.z },
                                     .blockDim = { HN_BLOCK, 1, 1 },
                                     .dynamicSmemBytes = (size_t)deep,
                                     .stream = c->now,
                                     .attrs = &how_so,
                                     .numAttrs = (c->overlap & HN_GPU_EARLY) && c->follows };
    void *list[1] = { (void *)(uintptr_t)args };
    (void)bytes; /* the kernel knows the size of its one argument */
    HN_TRY(hn_gpu_here(c, err));
    HN_TRY(make_room(c, kernel, elem, deep, err));
    c->follows = c->now == c->stream;
    return check(cudaLaunchKernelExC(&how, kernels[elem == 8][kernel](), list), names[kernel], err);
}

static hone_status layer_side(void *ctx, enum hn_gpu_side what, hone_error *err)
{
    static const char doing[] = "work side by side";
    struct hn_gpu_context *c = ctx;
    if (!(c->overlap & HN_GPU_BESIDE_EACH_OTHER)) return HONE_OK;
    HN_TRY(hn_gpu_here(c, err));
    switch (what) {
    case HN_GPU_FORK:
        HN_TRY(check(cudaEventRecord(c->forked, c->stream), doing, err));
        c->now = c->beside, c->followed = c->follows, c->follows = 0;
        return check(cudaStreamWaitEvent(c->beside, c->forked, 0), doing, err);
    case HN_GPU_BACK:
        c->now = c->stream, c->follows = c->followed;
        return check(cudaEventRecord(c->joined, c->beside), doing, err);
    default: /* behind two at once: a launch made ready early was not quicker */
        c->follows = 0;
        return check(cudaStreamWaitEvent(c->stream, c->joined, 0), doing, err);
    }
}

static hone_status layer_begin(void *ctx, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    HN_TRY(hn_gpu_here(c, err));
    c->now = c->stream, c->follows = 0;
    return check(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal),
                 "capturing a step", err);
}

static hone_status layer_end(void *ctx, void **graph, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t ready = NULL;
    *graph = NULL;
    c->now = c->stream, c->follows = 0;
    HN_TRY(check(cudaStreamEndCapture(c->stream, &recorded), "capturing a step", err));
    hone_status st =
        check(cudaGraphInstantiate(&ready, recorded, 0), "preparing a captured step", err);
    (void)cudaGraphDestroy(recorded);
    if (st == HONE_OK) *graph = ready;
    return st;
}

static hone_status layer_replay(void *ctx, void *graph, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    c->follows = 0;
    HN_TRY(hn_gpu_here(c, err));
    return check(cudaGraphLaunch(graph, c->stream), "running a captured step", err);
}

static void layer_graph_release(void *ctx, void *graph)
{
    const struct hn_gpu_context *c = ctx;
    (void)cudaSetDevice(c->ordinal);
    (void)cudaGraphExecDestroy(graph);
}

/* ---- products --------------------------------------------------------------------------------------------------- */

static void layer_gemm_release(void *ctx, void *gemm)
{
    const struct hn_gpu_context *c = ctx;
    struct product *p = gemm;
    if (!p) return;
    if (p->op) (void)cublasLtMatmulDescDestroy(p->op);
    if (p->a) (void)cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) (void)cublasLtMatrixLayoutDestroy(p->b);
    if (p->c) (void)cublasLtMatrixLayoutDestroy(p->c);
    hn_free(c->mem, p);
}

static hone_status set(struct product *p, cublasLtMatmulDescAttributes_t what, const void *v,
                       size_t n, hone_error *err)
{
    return check_blas(cublasLtMatmulDescSetAttribute(p->op, what, v, n), "a matrix product", err);
}

/* c' = b' a' in column-major: the library's first operand is our b. Its sums over k go with its first operand as BGRADA, with
 * its second as BGRADB. A bias, and such sums, are of the result's type. */
static hone_status describe_product(struct product *p, const struct hn_gpu_gemm *g, hone_error *err)
{
    static const cublasComputeType_t compute[] = { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32,
                                                   CUBLAS_COMPUTE_32F_FAST_16BF };
    const cudaDataType type = g->elem == 8 ? CUDA_R_64F : CUDA_R_32F,
                       operands = g->bf16 ? CUDA_R_16BF : type;
    const cublasComputeType_t how = g->elem == 8 ? CUBLAS_COMPUTE_64F
                                    : g->bf16    ? CUBLAS_COMPUTE_32F
                                                 : compute[g->math];
    const cublasOperation_t first = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint64_t m = (uint64_t)g->m, n = (uint64_t)g->n, k = (uint64_t)g->k;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (g->bias) epilogue = g->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    if (!g->bias && g->relu) epilogue = CUBLASLT_EPILOGUE_RELU;
    if (g->sums) epilogue = g->sums == 2 ? CUBLASLT_EPILOGUE_BGRADA : CUBLASLT_EPILOGUE_BGRADB;
    HN_TRY(check_blas(cublasLtMatmulDescCreate(&p->op, how, type), "a matrix product", err));
    HN_TRY(set(p, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first, err));
    HN_TRY(set(p, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second, err));
    HN_TRY(set(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, err));
    HN_TRY(check_blas(cublasLtMatrixLayoutCreate(&p->a, operands, g->trans_b ? k : n,
                                                 g->trans_b ? n : k, g->trans_b ? g->k : g->n),
                      "a matrix product", err));
    HN_TRY(check_blas(cublasLtMatrixLayoutCreate(&p->b, operands, g->trans_a ? m : k,
                                                 g->trans_a ? k : m, g->trans_a ? g->m : g->k),
                      "a matrix product", err));
    return check_blas(cublasLtMatrixLayoutCreate(&p->c, type, n, m, g->n), "a matrix product", err);
}

static hone_status choose(const struct hn_gpu_context *c, struct product *p, int choice,
                          hone_error *err)
{
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found[CHOICES];
    const uint64_t workspace = WORKSPACE;
    const uint32_t aligned = ALIGNED;
    static const cublasLtMatmulPreferenceAttributes_t of[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
    };
    int n = 0;
    HN_TRY(check_blas(cublasLtMatmulPreferenceCreate(&wish), "a matrix product", err));
    cublasStatus_t s = cublasLtMatmulPreferenceSetAttribute(
        wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (size_t i = 0; s == CUBLAS_STATUS_SUCCESS && i < sizeof of / sizeof *of; i++)
        s = cublasLtMatmulPreferenceSetAttribute(wish, of[i], &aligned, sizeof aligned);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulAlgoGetHeuristic(c->lt, p->op, p->a, p->b, p->c, p->c, wish, choice + 1,
                                           found, &n);
    (void)cublasLtMatmulPreferenceDestroy(wish);
    HN_TRY(check_blas(s, "a matrix product", err));
    if (n <= choice || found[choice].state != CUBLAS_STATUS_SUCCESS)
        return hn_fail(err, HONE_E_UNSUPPORTED, "a matrix product", "cuBLASLt knows no way for it");
    p->algo = found[choice].algo;
    return HONE_OK;
}

static hone_status layer_gemm_create(void *ctx, const struct hn_gpu_gemm *g, void **gemm,
                                     hone_error *err)
{
    const struct hn_gpu_context *c = ctx;
    *gemm = NULL;
    HN_TRY(hn_gpu_here(c, err));
    struct product *p = hn_calloc(c->mem, 1, sizeof *p);
    if (!p) return hn_nomem(err, "a matrix product", sizeof *p);
    p->alpha = g->alpha, p->beta = g->acc ? 1 : 0;
    p->alpha_f = (float)p->alpha, p->beta_f = (float)p->beta;
    p->elem = g->elem, p->has_bias = g->bias || g->sums;
    hone_status st = describe_product(p, g, err);
    /* the heuristic looks at the pointer's presence and alignment (64 bytes here, as in a slab); the address itself comes with
     * each call */
    void *const somewhere = (char *)c->workspace + 64;
    if (st == HONE_OK && p->has_bias)
        st = set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &somewhere, sizeof somewhere, err);
    if (st == HONE_OK) st = choose(c, p, g->choice < CHOICES ? g->choice : CHOICES - 1, err);
    if (st != HONE_OK) {
        layer_gemm_release(ctx, p);
        return st;
    }
    *gemm = p;
    return HONE_OK;
}

static hone_status layer_gemm(void *ctx, void *gemm, const void *a, const void *b, void *out,
                              void *bias, hone_error *err)
{
    struct hn_gpu_context *c = ctx;
    struct product *p = gemm;
    c->follows = 0;
    const void *alpha = p->elem == 8 ? (const void *)&p->alpha : (const void *)&p->alpha_f;
    const void *beta = p->elem == 8 ? (const void *)&p->beta : (const void *)&p->beta_f;
    HN_TRY(hn_gpu_here(c, err));
    if (p->has_bias) HN_TRY(set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias, err));
    return check_blas(cublasLtMatmul(c->lt, p->op, alpha, b, p->a, a, p->b, beta, out, p->c, out,
                                     p->c, &p->algo, c->workspace, WORKSPACE, c->stream),
                      "a matrix product", err);
}

const struct hn_gpu_layer hn_gpu_layer = {
    .name = "cuda",
    .open = layer_open,
    .close = layer_close,
    .describe = layer_describe,
    .memory = layer_memory,
    .alloc = layer_alloc,
    .release = layer_release,
    .pin = layer_pin,
    .unpin = layer_unpin,
    .fill = layer_fill,
    .copy = layer_copy,
    .sync = layer_sync,
    .upload = layer_upload,
    .upload_join = layer_join,
    .launch = layer_launch,
    .side = layer_side,
    .capture_begin = layer_begin,
    .capture_end = layer_end,
    .replay = layer_replay,
    .graph_release = layer_graph_release,
    .gemm_create = layer_gemm_create,
    .gemm = layer_gemm,
    .gemm_release = layer_gemm_release,
    .norm_create = hn_gpu_norm_create,
    .norm_forward = hn_gpu_norm_forward,
    .norm_backward = hn_gpu_norm_backward,
    .norm_release = hn_gpu_norm_release,
    .drop_state = hn_gpu_drop_state,
    .drop_reserve = hn_gpu_drop_reserve,
    .drop_seed = hn_gpu_drop_seed,
    .drop_create = hn_gpu_drop_create,
    .drop = hn_gpu_drop_run,
    .drop_release = hn_gpu_drop_release,
};
