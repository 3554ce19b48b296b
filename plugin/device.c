/* SPDX-License-Identifier: MIT
 *
 * Which backend runs a job: the only place that knows them all. float64 goes to the reference
 * kernels, float32 to the CPU's. A GPU backend comes from a module beside the library, loaded only
 * for "cuda", and for "auto" where a training run is large enough by what was measured
 * (gpu/RESULTS.md): then a GPU that cannot be opened, or cannot do it, is no error. */
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "ops/cpu/backend.h"
#include "plugin/gpu_module.h"
#include "plugin/internal.h"
#include "plugin/prepared.h"
#include <math.h>
#include <string.h>

const char *hn_device_why_no_gpu(char *name, size_t size)
{
    const struct hn_module *module;
    const struct hn_backend *b;
    struct hn_mem mem;
    hone_error ignored;
    void *dev;
    const char *why = hn_gpu_module_load(&module);
    if (name) name[0] = 0;
    if (why) return why;
    hn_mem_init(&mem, 0);
    const struct hn_gpu_ask any = { 0 };
    if (hn_gpu_module_open(&mem, &any, &b, &dev, &ignored) != HONE_OK)
        return "the GPU module and a driver are there, but no device could be opened";
    if (name && b->describe) b->describe(dev, name, size);
    b->close(dev);
    return NULL;
}

/* "cuda" or "cuda:N" */
static int is_cuda(const char *device, int64_t *n)
{
    *n = 0;
    if (strncmp(device, "cuda", 4) != 0) return 0;
    return !device[4] ||
           (device[4] == ':' && hn_parse_i64(device + 5, strlen(device + 5), n) && *n >= 0);
}

int hn_device_is_gpu(const hone_params *p)
{
    int64_t ordinal;
    return is_cuda(hn_param_s(p, "device"), &ordinal);
}

static hone_status open_gpu(hone_context *ctx, const hone_params *p, int64_t ordinal,
                            enum hn_dtype dtype, struct hn_device *out, hone_error *err)
{
    const char *device = hn_param_s(p, "device");
    struct hn_device d = { .threads = 1 };
    hone_error why = { 0 };
    const int threads = (int)hn_param_i(p, "threads");
    const struct hn_gpu_ask ask = { .ordinal = ordinal,
                                    .is_double = dtype == HN_F64,
                                    .threads = threads > 0 ? threads : hn_cpu_count(),
                                    .math = hn_param_s(p, "math"),
                                    .bn_impl = hn_param_s(p, "bn-impl"),
                                    .dropout_impl = hn_param_s(p, "dropout-impl") };
    hone_status st = hn_gpu_module_open(&ctx->mem, &ask, &d.backend, &d.dev, &why);
    if (st == HONE_E_USAGE) return hn_fail(err, st, "device", "%s", why.text);
    if (st != HONE_OK)
        return hn_hint(
            err,
            hn_fail(err, HONE_E_DEVICE, "device", "'%s' was asked for, but %s", device, why.text),
            "--device cpu, or auto");
    *out = d;
    return HONE_OK;
}

/* What only a GPU can do, and what the CPU does by the same name anyway. */
static hone_status check_cpu(const hone_params *p, hone_error *err)
{
    static const char *const cpu[][3] = { { "math", "fp32", "" },
                                          { "bn-impl", "auto", "native" },
                                          { "dropout-impl", "auto", "native" } };
    for (size_t i = 0; i < sizeof cpu / sizeof *cpu; i++) {
        const char *v = hn_param_s(p, cpu[i][0]);
        if (strcmp(v, cpu[i][1]) == 0 || strcmp(v, cpu[i][2]) == 0) continue;
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, cpu[i][0],
                               "'%s' is for a GPU, but the device is the CPU (--device %s)", v,
                               hn_param_s(p, "device")),
                       "--device cuda, or leave --%s out", cpu[i][0]);
    }
    return HONE_OK;
}

hone_status hn_device_open_cpu(hone_context *ctx, int threads, enum hn_dtype dtype,
                               struct hn_device *out, hone_error *err)
{
    struct hn_device d = { .backend = &hn_backend_cpu, .threads = threads };
    *out = (struct hn_device){ 0 };
    if (dtype == HN_F64) d.backend = &hn_backend_reference, d.threads = 1;
    if (d.threads < 1) d.threads = hn_threads_with_room(hn_cpu_count());
    struct hn_host host = { sizeof host, &ctx->mem, d.threads };
    HN_TRY(d.backend->open(&host, "", &d.dev, err));
    *out = d;
    return HONE_OK;
}

hone_status hn_device_open(hone_context *ctx, const hone_params *params, enum hn_dtype dtype,
                           struct hn_device *out, hone_error *err)
{
    return hn_device_open_for(ctx, params, dtype, (double)INFINITY, out, err);
}

/* Multiplications in all from which on more than one thread pays: starting them takes as long. */
static const double THREADS_WORK = 4e6;

hone_status hn_device_open_for(hone_context *ctx, const hone_params *params, enum hn_dtype dtype,
                               double work, struct hn_device *out, hone_error *err)
{
    const char *device = hn_param_s(params, "device");
    int threads = (int)hn_param_i(params, "threads");
    int64_t ordinal;
    *out = (struct hn_device){ 0 };
    if (is_cuda(device, &ordinal)) return open_gpu(ctx, params, ordinal, dtype, out, err);
    if (strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0)
        return hn_fail(err, HONE_E_USAGE, "device", "found '%s', wanted auto, cpu, cuda or cuda:N",
                       device);
    HN_TRY(check_cpu(params, err));
    if (threads < 1 && work < THREADS_WORK) threads = 1;
    return hn_device_open_cpu(ctx, threads, dtype, out, err);
}

/* Multiplications of one step and of all epochs from which on a GPU pays: its step takes a few tens of microseconds whatever the
 * size, in which a core of a CPU makes a few million multiplications; opening it takes a third of a second. */
static const double STEP_WORK = 4e6, RUN_WORK = 1e11;

static int pays(const struct hn_training *t)
{
    const double each = (double)t->prog->n_trained;
    return (double)t->batch * each >= STEP_WORK &&
           (double)t->rows * (double)t->epochs * each >= RUN_WORK;
}

/* Can the device do this training, and has it room for a step? What it refuses shows when the plan is prepared. */
static hone_status try_training(hone_context *ctx, const struct hn_device *d,
                                const struct hn_training *t, hone_error *err)
{
    const struct hn_prepare p = { .mem = &ctx->mem,
                                  .backend = d->backend,
                                  .dev = d->dev,
                                  .prog = t->prog,
                                  .pass = HN_PASS_TRAIN,
                                  .max_rows = t->batch,
                                  .slots = 1 };
    struct hn_plan *plan;
    void *exec;
    const hone_status st = hn_prepare(NULL, &p, &plan, &exec, err);
    hn_unprepare(NULL, &p, plan, exec);
    return st;
}

void hn_device_not_gpu(hone_context *ctx, const hone_error *why)
{
    hn_log(ctx, HONE_LOG_NOTE, "the CPU trains, since the GPU cannot: %s%s%s", why->where,
           why->where[0] ? ": " : "", why->text);
}

hone_status hn_device_open_training(hone_context *ctx, const hone_params *params,
                                    enum hn_dtype dtype, const struct hn_training *t,
                                    struct hn_device *out, hone_error *err)
{
    hone_error why = { 0 };
    atomic_store(&ctx->chose_gpu, 0);
    if (strcmp(hn_param_s(params, "device"), "auto") == 0 && pays(t) &&
        open_gpu(ctx, params, 0, dtype, out, &why) == HONE_OK) {
        if (try_training(ctx, out, t, &why) == HONE_OK) {
            atomic_store(&ctx->chose_gpu, 1);
            return HONE_OK;
        }
        hn_device_close(out);
        hn_device_not_gpu(ctx, &why);
    }
    return hn_device_open(ctx, params, dtype, out, err);
}

void hn_device_close(struct hn_device *d)
{
    if (d->backend) d->backend->close(d->dev);
    *d = (struct hn_device){ 0 };
}

/* The CPU adds up an element in one order, whichever way the weights lie; fewer columns are read as they lie in [out, in]. */
int hn_device_turns(const struct hn_backend *b, int64_t n)
{
    return b == &hn_backend_cpu && n >= 8;
}

const char *hn_device_core(const struct hn_backend *b, void *dev, struct hn_arena *a)
{
    char text[256];
    if (b == &hn_backend_reference) return "double";
    if (b->describe) {
        b->describe(dev, text, sizeof text);
        return hn_arena_strdup(a, text);
    }
    if (b != &hn_backend_cpu) return b->name;
    return hn_arena_strdup(a, hn_cpu_isa_name(dev));
}
