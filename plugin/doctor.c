/* SPDX-License-Identifier: MIT
 *
 * hone_doctor: what this process would run with, for bug reports and for "why is it slow here".
 * Only asks the libraries. */
#include "onnx/version.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "ops/cpu/backend.h"
#include "plugin/plugins.h"
#include "plugin/tune/store.h"
#include <cblas.h>
#include <xxhash.h>
#include <zip.h>
#include <zlib.h>

static void put_libraries(hone_result *r)
{
    static const char *const parallel[] = { "sequential", "threads", "openmp" };
    int kind = openblas_get_parallel();
    unsigned xxh = XXH_versionNumber();
    char postgres[32];
    hn_result_object(r, "libraries");
    hn_result_string(r, "openblas", openblas_get_config());
    hn_result_string(r, "openblas_core", openblas_get_corename());
    hn_result_string(r, "openblas_parallel", kind >= 0 && kind < 3 ? parallel[kind] : "unknown");
    hn_result_string(r, "protobuf-c", hn_protobuf_version());
    hn_result_string(r, "zlib", zlibVersion());
    hn_result_string(r, "libzip", zip_libzip_version());
    char *text = hn_arena_printf(&r->arena, "%u.%u.%u", xxh / 10000, xxh / 100 % 100, xxh % 100);
    hn_result_string(r, "xxhash", text);
    r->failed |= !text;
    hn_result_string(r, "sqlite", hn_sqlite_version());
    hn_result_string(r, "postgresql", hn_postgres_version(postgres));
    hn_result_close(r);
}

static void put_cpu(hone_result *r, const struct hn_device *d)
{
    hn_result_object(r, "cpu");
    hn_result_int(r, "cores", hn_cpu_count());
    hn_result_string(r, "instructions", hn_cpu_isa_name(d->dev));
    hn_result_close(r);
}

static void put_gpu(hone_result *r)
{
    char name[256];
    const char *why = hn_device_why_no_gpu(name, sizeof name);
    hn_result_object(r, "gpu");
    hn_result_bool(r, "used", why == NULL);
    hn_result_string(r, "why_not", why);
    if (name[0]) hn_result_string(r, "device", name);
    hn_result_close(r);
}

static hone_status doctor(hone_context *ctx, hone_result **out, hone_error *err)
{
    struct hn_device d;
    *out = NULL;
    HN_TRY(hn_device_open_cpu(ctx, 1, HN_F32, &d, err));
    hone_status st = hn_result_create(ctx, "hone.doctor/1", out, err);
    if (st == HONE_OK) {
        hn_result_string(*out, "version", hone_version());
        put_cpu(*out, &d);
        put_gpu(*out);
        put_libraries(*out);
        hn_plugins_result(*out, ctx);
        st = hn_result_done(*out, err);
    }
    hn_device_close(&d);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_doctor(hone_context *ctx, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, doctor(ctx, out, err), err);
}
