/* SPDX-License-Identifier: MIT
 *
 * The context: memory, files, the log and the stop flag of one host. Nothing in the library
 * lives outside of one, and nothing here prints: hn_log hands a finished line to the host's
 * function. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "plugin/plugins.h"
#include <stdarg.h>
#include <string.h>

const char *hone_version(void) { return HN_VERSION; }
const char *hone_status_name(hone_status code) { return hn_status_name(code); }
const char *hone_status_text(hone_status code) { return hn_status_text(code); }

hone_status hn_context_create_with(const hone_context_opts *opts, const struct hn_io *io,
                                   hone_context **out, hone_error *err)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    *out = NULL;
    if (opts) memcpy(&o, opts, opts->size < sizeof o ? opts->size : sizeof o);
    if (!o.alloc != !o.release)
        return hn_fail(err, HONE_E_USAGE, "hone_context_opts",
                       "alloc and release come together: one of them is NULL");
    struct hn_mem mem;
    hn_mem_init(&mem, o.memory_budget);
    if (o.alloc) mem.alloc = o.alloc, mem.release = o.release, mem.user = o.alloc_user;
    hone_context *ctx = hn_calloc(&mem, 1, sizeof *ctx);
    if (!ctx) return hn_nomem_why(&mem, hn_nomem(err, "the context", sizeof *ctx), err);
    hn_mem_init(&ctx->mem, mem.budget);
    ctx->mem.alloc = mem.alloc, ctx->mem.release = mem.release, ctx->mem.user = mem.user;
    atomic_store(&ctx->mem.used, atomic_load(&mem.used)); /* the context itself counts too */
    ctx->io = io;
    ctx->log = o.log;
    ctx->log_user = o.log_user;
    atomic_init(&ctx->stop, 0);
    atomic_init(&ctx->begun, 0);
    atomic_init(&ctx->chose_gpu, 0);
    *out = ctx;
    return HONE_OK;
}

hone_status hone_context_create(const hone_context_opts *opts, hone_context **out, hone_error *err)
{
    return hn_context_create_with(opts, &hn_io_system, out, err);
}

void hone_context_destroy(hone_context *ctx)
{
    if (!ctx) return;
    hn_plugins_close(ctx);
    struct hn_mem mem; /* outlives the block that holds the context's own */
    hn_mem_init(&mem, ctx->mem.budget);
    mem.alloc = ctx->mem.alloc, mem.release = ctx->mem.release, mem.user = ctx->mem.user;
    atomic_store(&mem.used, atomic_load(&ctx->mem.used));
    hn_free(&mem, ctx);
}

int hone_request_stop(hone_context *ctx)
{
    atomic_store(&ctx->stop, 1);
    return atomic_load(&ctx->begun);
}

void hn_context_enter(hone_context *ctx)
{
    atomic_store(&ctx->begun, 0);
    atomic_store(&ctx->stop, 0);
}

void hn_log(hone_context *ctx, hone_log_level level, const char *fmt, ...)
{
    if (!ctx->log) return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    hn_format_into(text, sizeof text, fmt, ap);
    va_end(ap);
    ctx->log(ctx->log_user, level, text);
}

const char *hn_hash_text(const unsigned char hash[16], char text[33])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[32] = '\0';
    return text;
}
