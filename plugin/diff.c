/* SPDX-License-Identifier: MIT
 *
 * hone_diff: what differs between two files, tensors by value and fields by path. Files that are
 * no models are compared as far as they can be read. */
#include "onnx/diff.h"
#include "ops/base/status.h"
#include "plugin/internal.h"

struct collect {
    hone_result *result;
    int tensors; /* 1: take tensors, 0: take fields */
    int64_t n;
};

static hone_status put_difference(void *user, const struct hn_difference *d)
{
    struct collect *c = user;
    hone_result *r = c->result;
    if (d->is_tensor != c->tensors) return HONE_OK;
    c->n++;
    hn_result_object(r, NULL);
    hn_result_string(r, "name", d->name);
    hn_result_string(r, "path", d->path);
    hn_result_string(r, "what", d->what);
    if (d->is_tensor) {
        hn_result_int(r, "values", d->n);
        hn_result_int(r, "different", d->n_differing);
        hn_result_double(r, "max_abs", d->max_abs);
        hn_result_double(r, "max_ulp", d->max_ulp);
    }
    hn_result_close(r);
    return HONE_OK;
}

static hone_status compare(const struct hn_onnx *a, const struct hn_onnx *b, hone_result *r,
                           hone_error *err)
{
    struct collect c = { .result = r };
    for (c.tensors = 1; c.tensors >= 0; c.tensors--) {
        hn_result_array(r, c.tensors ? "tensors" : "fields");
        HN_TRY(hn_onnx_diff(a, b, put_difference, &c, err));
        hn_result_close(r);
    }
    hn_result_bool(r, "equal", c.n == 0);
    return hn_result_done(r, err);
}

static hone_status diff(hone_context *ctx, const char *path_a, const char *path_b,
                        hone_result **out, hone_error *err)
{
    struct hn_onnx *a = NULL, *b = NULL;
    *out = NULL;
    hone_status st = hn_onnx_open(&a, &ctx->mem, ctx->io, path_a, err);
    if (st == HONE_OK) st = hn_onnx_open(&b, &ctx->mem, ctx->io, path_b, err);
    if (st == HONE_OK) st = hn_result_create(ctx, "hone.diff/1", out, err);
    if (st == HONE_OK) st = compare(a, b, *out, err);
    hn_onnx_close(a);
    hn_onnx_close(b);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_diff(hone_context *ctx, const char *path_a, const char *path_b, hone_result **out,
                      hone_error *err)
{
    return hn_nomem_why(&ctx->mem, diff(ctx, path_a, path_b, out, err), err);
}
