/* SPDX-License-Identifier: MIT
 *
 * hone_data of arrays that the host holds: wrapped where they lie, nothing is copied or converted. */
#include "ops/base/status.h"
#include "plugin/data_open.h"

static hone_status tensor_of(const hone_array *h, struct hn_tensor *t, hone_error *err)
{
    *t = (struct hn_tensor){ .dtype = (enum hn_dtype)h->dtype,
                             .rank = 2,
                             .dims = { h->rows, h->per_row },
                             .data = h->data };
    const int text = t->dtype == HN_STR && h->per_row == 1;
    if (!hn_numel(2, t->dims, &t->n) || (!h->data && t->n) || (!text && !hn_dtype_size(t->dtype)))
        return hn_fail(err, HONE_E_USAGE, h->name,
                       "an array with %lld rows of %lld elements of type %d", (long long)h->rows,
                       (long long)h->per_row, (int)h->dtype);
    return HONE_OK;
}

static hone_status wrap_one(hone_data *d, hone_role role, const hone_array *h, int is_target,
                            hone_error *err)
{
    struct hn_named_array *a;
    struct hn_tensor t;
    static const char *const said[HN_ROLES][2] = { { "x", "y" },
                                                   { "validation x", "validation y" },
                                                   { "test x", "test y" },
                                                   { "x without targets", "" } };
    const char *name = h->name ? h->name : said[role][is_target != 0];
    HN_TRY(tensor_of(h, &t, err));
    HN_TRY(hn_role_add(&d->ctx->mem, &d->role[role], is_target, h->name, &a, err));
    if (is_target && t.dtype == HN_STR)
        HN_TRY(hn_array_wrap_text(&a->a, &d->ctx->mem, name, h->data, h->rows, err));
    else
        HN_TRY(hn_array_wrap(&a->a, &d->ctx->mem, name, &t, 0, err));
    if (!h->name)
        a->a.name = ""; /* as an array of a file: the same data have the same fingerprint */
    return hn_array_check_finite(&a->a, err);
}

/* Has the role targets, or, with `bare`, may it be one without? */
static hone_status check_number(hone_role role, int bare, hone_error *err)
{
    if (role >= HONE_TRAIN && role <= HONE_TEST) return HONE_OK;
    if (role == HONE_PRETRAIN && bare) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "role", "found %d, wanted HONE_TRAIN, HONE_VAL or HONE_TEST",
                   (int)role);
}

hone_status hone_data_wrap(hone_context *ctx, hone_role role, const hone_array *x, size_t n_x,
                           const hone_array *y, size_t n_y, hone_data **data, hone_error *err)
{
    HN_TRY(check_number(role, n_y == 0, err));
    hone_data *d = *data ? *data : hn_calloc(&ctx->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the data", sizeof *d);
    if (!d->ctx) hn_arena_init(&d->arena, &ctx->mem);
    d->ctx = ctx;
    hone_status st = HONE_OK;
    for (size_t i = 0; st == HONE_OK && i < n_x; i++) st = wrap_one(d, role, &x[i], 0, err);
    for (size_t i = 0; st == HONE_OK && i < n_y; i++) st = wrap_one(d, role, &y[i], 1, err);
    if (st == HONE_OK) st = hn_role_check(&d->role[role], role, err);
    if (st != HONE_OK) {
        if (!*data) hone_data_destroy(d);
        return st;
    }
    *data = d;
    return HONE_OK;
}

hone_status hone_data_weights(hone_data *d, hone_role role, const hone_array *w, hone_error *err)
{
    struct hn_tensor t;
    struct hn_array a = { 0 };
    HN_TRY(check_number(role, 0, err));
    struct hn_role_data *r = &d->role[role];
    if (!r->n_x)
        return hn_fail(err, HONE_E_USAGE, "weights", "found no rows of this role to weigh");
    HN_TRY(tensor_of(w, &t, err));
    HN_TRY(hn_array_wrap(&a, &d->ctx->mem, HN_WEIGHTS_NAME, &t, 0, err));
    hone_status st = hn_array_check_weights(&a, &r->x[0].a, err);
    if (st != HONE_OK) {
        hn_array_close(&a);
        return st;
    }
    hn_array_close(&r->weight);
    r->weight = a;
    return HONE_OK;
}
