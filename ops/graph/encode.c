/* SPDX-License-Identifier: MIT
 *
 * Encoders of categories in front of a network, where nothing learns: OneHotEncoder, and LabelEncoder of data (of what ArgMax and its
 * like choose: labels.c). An element is compared with every key; at most one is the same.
 *
 *     OneHotEncoder, keys 3 5 9    5 -> 0 1 0    4 -> 0 0 0
 *     LabelEncoder, keys 3 5 9, values 0 1 2, default -1    5 -> 1    4 -> -1
 *
 * Keys that are text stand for their places among all texts that the graph knows (texts.c). */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

enum { MOST_KEYS = 1 << 13 };

/* A key or a value as the number that stands for it at run time. */
static double number_at(const struct hn_graph *g, const struct hn_attr *list, size_t i)
{
    return list->type == HN_ATTR_F32S   ? (double)list->floats[i]
           : list->type == HN_ATTR_I64S ? (double)list->ints[i]
                                        : (double)hn_text_number(g, list->strings[i]);
}

/* All of them in the arena; NULL: no memory. */
static double *numbers_of(const struct hn_graph *g, struct hn_arena *a, const struct hn_attr *list,
                          hone_error *err)
{
    double *all = hn_arena_alloc(a, list->n, sizeof *all);
    for (size_t i = 0; all && i < list->n; i++) all[i] = number_at(g, list, i);
    if (!all) (void)hn_nomem(err, list->name, list->n * sizeof *all);
    return all;
}

/* Is number i the first of those that are the same? */
static int is_first(const double *all, size_t i)
{
    size_t k = 0;
    while (k < i && all[k] != all[i]) k++;
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
        if (!(fabs((double)list->ints[i]) < 0x1p24))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s: %lld in '%s', wanted integers below 2^24", c->n->type,
                           (long long)list->ints[i], list->name);
    return HONE_OK;
}

static hone_status list_const(struct hn_lowering *l, double *numbers, size_t n, int32_t *out)
{
    const struct hn_tensor t = {
        .dtype = HN_F64, .rank = 1, .dims = { (int64_t)n }, .n = (int64_t)n, .data = numbers
    };
    return hn_l_const(l, &t, out);
}

/* One number a key behind every element of x: 1 where it is that key, else 0. Only the first of the same keys counts. */
static hone_status compare(struct hn_lowering *l, const struct hn_attr *keys, int32_t x, int32_t *y)
{
    struct hn_shape s = l->values[x].shape;
    double *numbers = numbers_of(l->g, l->arena, keys, l->err);
    int32_t list;
    if (!numbers) return HONE_E_NOMEM;
    for (size_t i = keys->n; i-- > 0;)
        if (!is_first(numbers, i)) numbers[i] = (double)NAN;
    HN_TRY(list_const(l, numbers, keys->n, &list));
    s.d[s.rank++] = (struct hn_dim){ 0, 1 };
    HN_TRY(hn_l_view(l, x, &s, &x));
    return hn_l_binary(l, HN_B_EQUAL, x, list, y);
}

/* ---- OneHotEncoder ----------------------------------------------------------------------------------------------- */

static const struct hn_attr *categories(const struct hn_graph *g, const struct hn_node *n)
{
    return hn_attr_of(n, hn_is_text(g, n->in[0]) ? "cats_strings" : "cats_int64s");
}

hone_status hn_infer_onehot(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const struct hn_value *x = hn_in_value(c, 0);
    const struct hn_attr *cats = categories(c->g, c->n);
    HN_TRY(hn_no_doubles(c));
    if (!cats || x->constant || y.rank >= HN_MAX_RANK)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "OneHotEncoder of %s: wanted what its categories are, at run time",
                       hn_dtype_name(x->dtype));
    HN_TRY(check_list(c, cats));
    const double *all = numbers_of(c->g, &c->g->arena, cats, c->err);
    if (!all) return HONE_E_NOMEM;
    for (size_t i = 0; i < cats->n; i++)
        if (!is_first(all, i))
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "OneHotEncoder: category %zu is one of those before it", i);
    const struct hn_attr *zeros = hn_attr_of(c->n, "zeros");
    struct hn_node_fact *f = &c->g->facts->nodes[c->n - c->g->nodes];
    if (zeros && !zeros->i) f->keys = all, f->n_keys = cats->n;
    y.d[y.rank++] = (struct hn_dim){ 0, (int64_t)cats->n };
    return hn_out(c, 0, HN_F32, &y);
}

const double *hn_graph_strict_keys(const struct hn_graph *g, int32_t index, size_t *n)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node_fact *f = &g->facts->nodes[i];
        if (g->nodes[i].index == index && f->keys) return *n = f->n_keys, f->keys;
    }
    return NULL;
}

static int follow_each_other(const struct hn_attr *cats)
{
    size_t i = 1;
    if (cats->type != HN_ATTR_I64S) return 0;
    while (i < cats->n && cats->ints[i] == cats->ints[0] + (int64_t)i) i++;
    return i >= cats->n;
}

hone_status hn_lower_onehot(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    const struct hn_attr *cats = categories(l->g, n);
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
    e->keys = hn_attr_of(n, t == HN_F32               ? "keys_floats"
                            : t == HN_I64             ? "keys_int64s"
                            : hn_is_text(g, n->in[0]) ? "keys_strings"
                                                      : "");
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
    double *numbers = numbers_of(l->g, l->arena, e->values, l->err);
    int32_t is, none, values;
    if (!numbers) return HONE_E_NOMEM;
    HN_TRY(compare(l, e->keys, x, &is));
    HN_TRY(list_const(l, numbers, e->values->n, &values));
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
