/* SPDX-License-Identifier: MIT
 *
 * The table of program ops, and the shape arithmetic they share. Adding a program op: a row in one file, and its name
 * in HN_OP_LIST. */
#include "ops/math/row.h"
#include <stdio.h>
#include <string.h>

#define ENTRY(name) &hn_op_##name,
const struct hn_op_row *const hn_op_rows[] = { HN_OP_LIST(ENTRY) NULL };
#undef ENTRY

void hn_extent_of(const struct hn_shape *s, int64_t rows, struct hn_extent *e)
{
    e->rank = s->rank;
    for (int i = 0; i < s->rank; i++) e->d[i] = s->d[i].per_row * rows + s->d[i].fixed;
}

int64_t hn_extent_numel(const struct hn_extent *e) { return hn_span(e, 0, e->rank); }

int64_t hn_span(const struct hn_extent *e, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= e->d[i];
    return n;
}

struct hn_dim hn_shape_count(const struct hn_shape *s)
{
    const struct hn_dim bad = { -1, -1 };
    struct hn_dim n = { 0, 1 };
    for (int i = 0; i < s->rank; i++) {
        struct hn_dim d = s->d[i];
        if (d.per_row != 0 && n.per_row != 0) return bad;
        int64_t f = d.per_row != 0 ? n.fixed : d.fixed;
        struct hn_dim m = d.per_row != 0 ? d : n;
        if (!hn_mul_i64(m.per_row, f, &n.per_row) || !hn_mul_i64(m.fixed, f, &n.fixed)) return bad;
    }
    return n;
}

int hn_same_shape(const struct hn_shape *a, const struct hn_shape *b)
{
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (!hn_same_dim(a->d[i], b->d[i])) return 0;
    return 1;
}

static int dim_text(struct hn_dim d, char *buf, size_t size)
{
    if (d.per_row == 0) return snprintf(buf, size, "%lld", (long long)d.fixed);
    if (d.per_row == 1 && d.fixed == 0) return snprintf(buf, size, "N");
    if (d.fixed == 0) return snprintf(buf, size, "%lld*N", (long long)d.per_row);
    return snprintf(buf, size, "%lld*N%+lld", (long long)d.per_row, (long long)d.fixed);
}

const char *hn_shape_text(const struct hn_shape *s, char *buf, size_t size)
{
    size_t n = 0;
    if (size < 3) return "";
    buf[n++] = '[';
    for (int i = 0; i < s->rank && n + 2 < size; i++) {
        if (i > 0) buf[n++] = ',';
        int k = dim_text(s->d[i], buf + n, size - n);
        n = k < 0 || (size_t)k >= size - n ? size - 2 : n + (size_t)k;
    }
    buf[n < size - 2 ? n : size - 2] = ']';
    buf[(n < size - 2 ? n : size - 2) + 1] = 0;
    return buf;
}

hone_status hn_shape_broadcast(const struct hn_shape *a, const struct hn_shape *b,
                               struct hn_shape *y, const char *where, hone_error *err)
{
    struct hn_shape out = { .rank = a->rank > b->rank ? a->rank : b->rank };
    for (int i = 0; i < out.rank; i++) {
        const struct hn_dim one = { 0, 1 };
        int ia = i - (out.rank - a->rank), ib = i - (out.rank - b->rank);
        struct hn_dim da = ia < 0 ? one : a->d[ia], db = ib < 0 ? one : b->d[ib];
        if (!hn_same_dim(da, db) && !hn_is_one(da) && !hn_is_one(db)) {
            char ta[128], tb[128];
            return hn_fail(err, HONE_E_MODEL, where, "shapes %s and %s do not broadcast",
                           hn_shape_text(a, ta, sizeof ta), hn_shape_text(b, tb, sizeof tb));
        }
        out.d[i] = hn_is_one(da) ? db : da;
    }
    *y = out;
    return HONE_OK;
}

int64_t hn_broadcast_at(const struct hn_extent *y, const struct hn_extent *in, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int k = y->rank - 1, j = in->rank - 1; j >= 0; k--, j--) {
        int64_t pos = i % y->d[k];
        i /= y->d[k];
        if (in->d[j] != 1) at += pos * stride;
        stride *= in->d[j];
    }
    return at;
}

double *hn_grad(const struct hn_call *c, int i)
{
    double *d = c->dx[i];
    if (d && !hn_adds(c, i)) memset(d, 0, sizeof *d * (size_t)hn_extent_numel(&c->xs[i]));
    return d;
}
