/* SPDX-License-Identifier: MIT
 *
 * Encoders of categories in front of a network, where nothing learns: OneHotEncoder, and LabelEncoder of data (of what ArgMax and its
 * like choose: labels.c). An element is compared with every key; at most one is the same.
 *
 *     OneHotEncoder, keys 3 5 9    5 -> 0 1 0    4 -> 0 0 0
 *     LabelEncoder, keys 3 5 9, values 0 1 2, default -1    5 -> 1    4 -> -1 */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

enum { MOST_KEYS = 1 << 16 };

/* A key or a value as the number that stands for it at run time. */
static double number_at(const struct hn_attr *list, size_t i)
{
    return list->type == HN_ATTR_F32S ? (double)list->floats[i] : (double)list->ints[i];
}

/* Is it the first of the keys that are the same? */
static int is_first(const struct hn_attr *keys, size_t i)
{
    size_t k = 0;
    while (number_at(keys, k) != number_at(keys, i) && k < i) k++;
    return k == i;
}

/* Whole numbers travel as floats, which hold them exactly up to 2^24. */
static hone_status check_list(struct hn_infer *c, const struct hn_attr *list)
{
    if (list->n < 1 || list->n > MOST_KEYS)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s: %zu entries in '%s', wanted 1 to %d", c->n->type, list->n, list->name,
                       MOST_KEYS);
    for (size_t i = 0; i < list->n && list->type == HN_ATTR_I64S; i++)
        if (!(fabs(number_at(list, i)) < 0x1p24))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s: %lld in '%s', wanted integers below 2^24", c->n->type,
                           (long long)list->ints[i], list->name);
    return HONE_OK;
}

/* One number a key behind every element of the node's input: 1 where it is that key, else 0. Only the first of the same keys counts. */
static hone_status compare(struct hn_lowering *l, const struct hn_attr *keys, int32_t x, int32_t *y)
{
    struct hn_shape s = l->values[x].shape;
    struct hn_tensor t = { .dtype = HN_F64, .rank = 1, .dims = { (int64_t)keys->n } };
    double *numbers = hn_arena_alloc(l->arena, keys->n, sizeof *numbers);
    int32_t list;
    if (!numbers) return hn_nomem(l->err, "the keys", keys->n * sizeof *numbers);
    for (size_t i = 0; i < keys->n; i++)
        numbers[i] = is_first(keys, i) ? number_at(keys, i) : (double)NAN;
    t.n = t.dims[0], t.data = numbers;
    HN_TRY(hn_l_const(l, &t, &list));
    s.d[s.rank++] = (struct hn_dim){ 0, 1 };
    HN_TRY(hn_l_view(l, x, &s, &x));
    return hn_l_binary(l, HN_B_EQUAL, x, list, y);
}

/* ---- OneHotEncoder ----------------------------------------------------------------------------------------------- */

hone_status hn_infer_onehot(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const struct hn_attr *cats = hn_attr_of(c->n, "cats_int64s");
    HN_TRY(hn_no_doubles(c));
    if (!cats || y.rank >= HN_MAX_RANK || hn_in_value(c, 0)->dtype == HN_STR)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "OneHotEncoder of text is not supported: --encode COLUMN=onehot does it "
                       "outside the graph");
    HN_TRY(check_list(c, cats));
    for (size_t i = 0; i < cats->n; i++)
        if (!is_first(cats, i))
            return hn_fail(c->err, HONE_E_MODEL, c->label, "OneHotEncoder: category %lld twice",
                           (long long)cats->ints[i]);
    y.d[y.rank++] = (struct hn_dim){ 0, (int64_t)cats->n };
    return hn_out(c, 0, HN_F32, &y);
}

static int follow_each_other(const struct hn_attr *cats)
{
    size_t i = 1;
    while (i < cats->n && cats->ints[i] == cats->ints[0] + (int64_t)i) i++;
    return i >= cats->n;
}

hone_status hn_lower_onehot(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const struct hn_attr *cats = hn_attr_of(n, "cats_int64s");
    const struct hn_onehot attrs = { (int64_t)cats->n };
    int32_t y, first;
    (void)a;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    if (hn_dtype_is_float(l->g->values[n->in[0]].dtype))
        HN_TRY(hn_l_unary(l, HN_U_TRUNC, 0, 0, y, &y));
    if (!follow_each_other(cats)) {
        HN_TRY(compare(l, cats, y, &y));
        return hn_l_bind(l, n->out[0], y);
    }
    if (cats->ints[0] != 0) {
        HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, (double)cats->ints[0], &first));
        HN_TRY(hn_l_binary(l, HN_B_SUB, y, first, &y));
    }
    HN_TRY(hn_l_op(l, &hn_op_onehot, &attrs, &y, 1, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* ---- LabelEncoder ------------------------------------------------------------------------------------------------ */

struct encoder {
    const struct hn_attr *keys, *values;
    double other; /* what everything else becomes */
};

static int find_encoder(const struct hn_graph *g, const struct hn_node *n, struct encoder *e)
{
    const int whole = hn_attr_of(n, "values_int64s") != NULL;
    const enum hn_dtype t = g->values[n->in[0]].dtype;
    const struct hn_attr *other = hn_attr_of(n, whole ? "default_int64" : "default_float");
    e->keys = hn_attr_of(n, t == HN_F32 ? "keys_floats" : t == HN_I64 ? "keys_int64s" : "");
    e->values = hn_attr_of(n, whole ? "values_int64s" : "values_floats");
    e->other = whole ? -1 : 0;
    if (other) e->other = whole ? (double)other->i : (double)other->f;
    return e->keys && e->values && e->keys->n == e->values->n;
}

hone_status hn_infer_encode(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    struct encoder e;
    if (!find_encoder(c->g, c->n, &e) || x->constant || x->shape.rank >= HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "LabelEncoder of what is no label of ArgMax or its like: wanted keys of its "
                       "type, %s, and as many numbers as values",
                       hn_dtype_name(x->dtype));
    HN_TRY(check_list(c, e.keys));
    HN_TRY(check_list(c, e.values));
    if (!(fabs(e.other) < 0x1p24) && e.values->type == HN_ATTR_I64S)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "LabelEncoder: default %.0f, wanted an integer below 2^24", e.other);
    return hn_out(c, 0, e.values->type == HN_ATTR_I64S ? HN_I64 : HN_F32, &x->shape);
}

/* The value of the key that it is, taken out by itself: no other one is added to it. */
static hone_status look_up(struct hn_lowering *l, const struct encoder *e, int32_t x, int32_t *y)
{
    const int last = l->values[x].shape.rank;
    const struct hn_reduce sum = { HN_R_SUM, 1u << last, 0 };
    struct hn_tensor t = { .dtype = HN_F64, .rank = 1, .dims = { (int64_t)e->values->n } };
    double *numbers = hn_arena_alloc(l->arena, e->values->n, sizeof *numbers);
    int32_t is, none, values;
    if (!numbers) return hn_nomem(l->err, "the values", e->values->n * sizeof *numbers);
    for (size_t i = 0; i < e->values->n; i++) numbers[i] = number_at(e->values, i);
    t.n = t.dims[0], t.data = numbers;
    HN_TRY(compare(l, e->keys, x, &is));
    HN_TRY(hn_l_const(l, &t, &values));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, values, is, y));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &sum, y, 1, y));
    if (e->other == 0) return HONE_OK;
    HN_TRY(hn_l_op(l, &hn_op_reduce, &sum, &is, 1, &none));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, none, &none));
    HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, e->other, &values));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, values, none, &none));
    return hn_l_binary(l, HN_B_ADD, *y, none, y);
}

hone_status hn_lower_label_encoder(struct hn_lowering *l, const struct hn_node *n,
                                   const struct hn_onnx_attrs *a)
{
    struct encoder e;
    int32_t x;
    if (l->g->facts->values[n->in[0]].n_positions) return hn_lower_view(l, n, a);
    (void)find_encoder(l->g, n, &e);
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(look_up(l, &e, x, &x));
    return hn_l_bind(l, n->out[0], x);
}
