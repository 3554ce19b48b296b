/* SPDX-License-Identifier: MIT
 *
 * hone_data of arrays that the host holds: wrapped where they lie, nothing is copied or converted. */
#include "ops/base/status.h"
#include "plugin/data_open.h"
#include <stdio.h>

/* Elements of a number type, or text: one label a row where it is no input. */
static hone_status tensor_of(const hone_array *h, const char *name, int is_input,
                             struct hn_tensor *t, hone_error *err)
{
    *t = (struct hn_tensor){ .dtype = (enum hn_dtype)h->dtype,
                             .rank = 2,
                             .dims = { h->rows, h->per_row },
                             .data = h->data };
    const int text = t->dtype == HN_STR && (is_input || h->per_row == 1);
    if (!text && t->dtype == HN_STR)
        return hn_fail(err, HONE_E_USAGE, name,
                       "found HONE_STR with %lld elements a row, wanted numbers or one label a row",
                       (long long)h->per_row);
    if (!text && !hn_dtype_size(t->dtype))
        return hn_fail(err, HONE_E_USAGE, name,
                       "found dtype %d, wanted one of hone_dtype, such as HONE_F32", (int)h->dtype);
    if (!hn_numel(2, t->dims, &t->n))
        return hn_fail(
            err, HONE_E_USAGE, name,
            "found %lld rows of %lld elements, wanted 1 or more of each that memory can hold",
            (long long)h->rows, (long long)h->per_row);
    if (!h->data && t->n)
        return hn_fail(err, HONE_E_USAGE, name,
                       "found NULL as data, wanted %lld rows of %lld elements of %s",
                       (long long)h->rows, (long long)h->per_row, hn_dtype_name(t->dtype));
    return HONE_OK;
}

struct array_list { /* the inputs or targets of one call */
    hone_role role;
    int is_target;
    const hone_array *of;
    size_t n;
};

/* What messages call the i-th one: "validation x", "x[1]" of several, or the name that the caller gave it. */
static const char *name_of(const struct array_list *l, size_t i, char *buf, size_t size)
{
    static const char *const said[HN_ROLES][2] = { { "x", "y" },
                                                   { "validation x", "validation y" },
                                                   { "test x", "test y" },
                                                   { "x without targets", "" } };
    if (l->of[i].name) return l->of[i].name;
    const char *name = said[l->role][l->is_target];
    if (l->n == 1) return name;
    snprintf(buf, size, "%s[%zu]", name, i);
    return buf;
}

static hone_status wrap_one(hone_data *d, const struct array_list *l, size_t i, hone_error *err)
{
    char buf[64];
    struct hn_named_array *a;
    struct hn_tensor t;
    const hone_array *h = &l->of[i];
    const char *name = name_of(l, i, buf, sizeof buf);
    HN_TRY(tensor_of(h, name, !l->is_target, &t, err));
    HN_TRY(hn_role_add(&d->ctx->mem, &d->role[l->role], l->is_target, h->name, &a, err));
    if (t.dtype == HN_STR)
        HN_TRY(hn_array_wrap_texts(&a->a, &d->ctx->mem, name, &t, err));
    else
        HN_TRY(hn_array_wrap(&a->a, &d->ctx->mem, name, &t, 0, err));
    if (!h->name)
        a->a.name = ""; /* as an array of a file: the same data have the same fingerprint */
    return hn_array_check_finite(&a->a, err);
}

static hone_status wrap_list(hone_data *d, const struct array_list *l, hone_error *err)
{
    for (size_t i = 0; i < l->n; i++) HN_TRY(wrap_one(d, l, i, err));
    return HONE_OK;
}

static hone_status check_role(hone_role role, hone_error *err)
{
    if ((int)role >= 0 && (int)role < HN_ROLES) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "role",
                   "found %d, wanted HONE_TRAIN, HONE_VAL, HONE_TEST or HONE_PRETRAIN", (int)role);
}

static hone_status wrap(hone_context *ctx, hone_role role, const hone_array *x, size_t n_x,
                        const hone_array *y, size_t n_y, hone_data **data, hone_error *err)
{
    HN_TRY(check_role(role, err));
    if (role == HONE_PRETRAIN && n_y)
        return hn_fail(err, HONE_E_USAGE, "role",
                       "found %zu arrays of targets with HONE_PRETRAIN, wanted none", n_y);
    hone_data *d = *data ? *data : hn_calloc(&ctx->mem, 1, sizeof *d);
    if (!d) return hn_nomem(err, "the data", sizeof *d);
    if (!*data) {
        d->ctx = ctx;
        hn_arena_init(&d->arena, &ctx->mem);
    }
    struct hn_role_data *r = &d->role[role];
    const size_t had_x = r->n_x, had_y = r->n_y;
    hone_status st = wrap_list(d, &(struct array_list){ role, 0, x, n_x }, err);
    if (st == HONE_OK) st = wrap_list(d, &(struct array_list){ role, 1, y, n_y }, err);
    if (st == HONE_OK) st = hn_role_check(r, role, err);
    if (st == HONE_OK) {
        *data = d;
        return HONE_OK;
    }
    hn_role_keep(&d->ctx->mem, r, had_x, had_y);
    if (!*data) hone_data_destroy(d);
    return st;
}

hone_status hone_data_wrap(hone_context *ctx, hone_role role, const hone_array *x, size_t n_x,
                           const hone_array *y, size_t n_y, hone_data **data, hone_error *err)
{
    return hn_nomem_why(&ctx->mem, wrap(ctx, role, x, n_x, y, n_y, data, err), err);
}

static hone_status weigh(hone_data *d, hone_role role, const hone_array *w, hone_error *err)
{
    struct hn_tensor t;
    struct hn_array a = { 0 };
    HN_TRY(check_role(role, err));
    if (role == HONE_PRETRAIN)
        return hn_fail(err, HONE_E_USAGE, "role",
                       "found HONE_PRETRAIN, wanted a role whose rows have a loss to weigh: "
                       "HONE_TRAIN, HONE_VAL or HONE_TEST");
    struct hn_role_data *r = &d->role[role];
    if (!r->n_x)
        return hn_fail(err, HONE_E_USAGE, "weights", "found no rows of this role to weigh");
    HN_TRY(tensor_of(w, HN_WEIGHTS_NAME, 0, &t, err));
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

static hone_status group(hone_data *d, const hone_array *groups, hone_error *err)
{
    struct hn_tensor t;
    struct hn_array a = { 0 };
    struct hn_mem *m = &d->ctx->mem;
    struct hn_role_data *r = &d->role[HONE_TRAIN];
    if (!r->n_x)
        return hn_fail(err, HONE_E_USAGE, HN_GROUPS_NAME, "found no training rows to be grouped");
    HN_TRY(tensor_of(groups, HN_GROUPS_NAME, 0, &t, err));
    if (t.dtype == HN_STR)
        HN_TRY(hn_array_wrap_texts(&a, m, HN_GROUPS_NAME, &t, err));
    else
        HN_TRY(hn_array_wrap(&a, m, HN_GROUPS_NAME, &t, 0, err));
    hone_status st = hn_array_check_groups(&a, &r->x[0].a, err);
    if (st != HONE_OK) {
        hn_array_close(&a);
        return st;
    }
    hn_array_close(&r->group);
    r->group = a;
    r->group_apart = 1;
    return HONE_OK;
}

hone_status hone_data_groups(hone_data *d, const hone_array *groups, hone_error *err)
{
    return hn_nomem_why(&d->ctx->mem, group(d, groups, err), err);
}

hone_status hone_data_weights(hone_data *d, hone_role role, const hone_array *w, hone_error *err)
{
    return hn_nomem_why(&d->ctx->mem, weigh(d, role, w, err), err);
}
