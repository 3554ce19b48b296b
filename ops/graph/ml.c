/* SPDX-License-Identifier: MIT
 *
 * Operators of the domain ai.onnx.ml that scikit-learn's converters put in front of a network and behind it: scalers, which become
 * ordinary program ops (encoders: encode.c), and ZipMap, whose maps are rows of numbers here. */
#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <math.h>
#include <string.h>

enum { MOST_COLUMNS = 4096 };

/* Width of the last dim, which must not follow the batch. */
static hone_status width_of(struct hn_infer *c, int input, int64_t *n)
{
    const struct hn_shape *x = hn_in_shape(c, input);
    char text[160];
    if (x->rank < 1 || x->d[x->rank - 1].per_row)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s of %s: wanted rows of fixed width",
                       c->n->type, hn_shape_text(x, text, sizeof text));
    *n = x->d[x->rank - 1].fixed;
    return HONE_OK;
}

hone_status hn_no_doubles(struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++)
        if (hn_in_value(c, i)->dtype == HN_F64)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s of float64, which it rounds to float32: convert with float32 inputs",
                           c->n->type);
    return HONE_OK;
}

/* ---- Scaler: (x - offset) scale ---------------------------------------------------------------------------------- */

hone_status hn_infer_scaler(struct hn_infer *c)
{
    const struct hn_int_list *lists[] = { &c->a->offset, &c->a->scale };
    int64_t n = 0;
    HN_TRY(width_of(c, 0, &n));
    HN_TRY(hn_no_doubles(c));
    for (int i = 0; i < 2; i++)
        if (lists[i]->n > 1 && (int64_t)lists[i]->n != n)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "Scaler: %zu numbers in '%s' for rows of %lld, wanted 1 or as many",
                           lists[i]->n, i ? "scale" : "offset", (long long)n);
    return hn_out(c, 0, HN_F32, hn_in_shape(c, 0));
}

static hone_status floats(struct hn_lowering *l, const struct hn_int_list *list, int32_t *out)
{
    const struct hn_tensor t = { .dtype = HN_F32,
                                 .rank = 1,
                                 .dims = { (int64_t)list->n },
                                 .n = (int64_t)list->n,
                                 .data = (void *)(uintptr_t)list->f };
    return hn_l_const(l, &t, out);
}

hone_status hn_lower_scaler(struct hn_lowering *l, const struct hn_node *n,
                            const struct hn_onnx_attrs *a)
{
    int32_t y, by;
    HN_TRY(hn_l_value(l, n->in[0], &y));
    if (a->offset.n) {
        HN_TRY(floats(l, &a->offset, &by));
        HN_TRY(hn_l_binary(l, HN_B_SUB, y, by, &y));
    }
    if (a->scale.n) {
        HN_TRY(floats(l, &a->scale, &by));
        HN_TRY(hn_l_binary(l, HN_B_MUL, y, by, &y));
    }
    return hn_l_bind(l, n->out[0], y);
}

/* ---- Normalizer: x / |x|, a row of zeros as it is ---------------------------------------------------------------- */

hone_status hn_infer_normalizer(struct hn_infer *c)
{
    int64_t n = 0;
    HN_TRY(width_of(c, 0, &n));
    HN_TRY(hn_no_doubles(c));
    if (c->a->norm && strcmp(c->a->norm, "L1") != 0 && strcmp(c->a->norm, "L2") != 0 &&
        strcmp(c->a->norm, "MAX") != 0)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Normalizer by %s, wanted MAX, L1 or L2",
                       c->a->norm);
    return hn_out(c, 0, HN_F32, hn_in_shape(c, 0));
}

hone_status hn_lower_normalizer(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    const struct hn_shape one = { .rank = 0 };
    const int last = l->g->values[n->in[0]].shape.rank - 1;
    const int most = !a->norm || strcmp(a->norm, "MAX") == 0;
    const int squares = !most && strcmp(a->norm, "L2") == 0;
    const struct hn_reduce sum = { most ? HN_R_MAX : squares ? HN_R_L2 : HN_R_SUM, 1u << last, 1 };
    int32_t x, size, least;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    size = x;
    if (!squares && !most) HN_TRY(hn_l_unary(l, HN_U_ABS, 0, 0, x, &size));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &sum, &size, 1, &size));
    if (most) { /* the largest, with its sign; of 0: the numbers as they are */
        HN_TRY(hn_l_fill(l, &one, 0, &least));
        HN_TRY(hn_l_binary(l, HN_B_EQUAL, size, least, &least));
        HN_TRY(hn_l_binary(l, HN_B_ADD, size, least, &size));
    } else {
        HN_TRY(hn_l_fill(l, &one, 1.17549435e-38, &least)); /* zeros by that are zeros */
        HN_TRY(hn_l_binary(l, HN_B_MAX, size, least, &size));
    }
    HN_TRY(hn_l_binary(l, HN_B_DIV, x, size, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* ---- Imputer ------------------------------------------------------------------------------------------------------ */

hone_status hn_infer_imputer(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    int64_t n = 0;
    HN_TRY(width_of(c, 0, &n));
    if (hn_has_attr(c->n, "replaced_value_int64") || !hn_dtype_is_float(x->dtype))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Imputer of integers");
    if (c->a->imputed.n != 1 && c->a->imputed.n != (size_t)n)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "Imputer: %zu values for %lld columns",
                       c->a->imputed.n, (long long)n);
    return hn_out(c, 0, x->dtype, &x->shape);
}

/* x where it is not the number to replace, else the column's value; nothing goes back to what was replaced. NaN, which is not
 * itself, comes from what is computed before (scikit-learn's PowerTransformer takes logarithms of negative numbers too and drops
 * them here): data with NaN are refused. */
hone_status hn_lower_imputer(struct hn_lowering *l, const struct hn_node *n,
                             const struct hn_onnx_attrs *a)
{
    struct hn_tensor t = { .dtype = HN_F32, .rank = 1, .dims = { (int64_t)a->imputed.n } };
    int32_t x, is, other, value;
    t.n = t.dims[0], t.data = a->imputed.f;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (isnan(a->replaced)) {
        HN_TRY(hn_l_binary(l, HN_B_EQUAL, x, x, &other));
        HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, other, &is));
    } else {
        HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, a->replaced, &is));
        HN_TRY(hn_l_binary(l, HN_B_EQUAL, x, is, &is));
        HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, is, &other));
    }
    HN_TRY(hn_l_binary(l, HN_B_KEEP, x, other, &x));
    HN_TRY(hn_l_const(l, &t, &value));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, value, is, &value));
    HN_TRY(hn_l_binary(l, HN_B_ADD, x, value, &x));
    return hn_l_bind(l, n->out[0], x);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* The elements of a list of classes by numbers such as ArgMax gives: a row of them. */
static hone_status classes_by_number(struct hn_infer *c, int *done)
{
    const struct hn_value *x = hn_in_value(c, 0);
    struct hn_shape y = { 2, { { 0, 1 }, hn_shape_count(hn_in_shape(c, 1)) } };
    *done = 0;
    if (!x->constant || x->shape.rank < 1 || x->constant->dims[x->shape.rank - 1] != x->constant->n)
        return HONE_OK;
    HN_TRY(hn_out(c, 0, x->dtype, &y));
    return hn_pick_labels(c, 1, x->constant, done);
}

/* X's columns by known indices, or classes. */
hone_status hn_infer_extractor(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const struct hn_tensor *at = hn_in_value(c, 1)->constant;
    int64_t n = 0;
    int done = 0;
    HN_TRY(classes_by_number(c, &done));
    if (done) return HONE_OK;
    HN_TRY(hn_wants_numbers(c));
    if (!at || at->dtype != HN_I64 || hn_in_value(c, 0)->constant)
        return hn_fail(
            c->err, HONE_E_UNSUPPORTED, c->label,
            "ArrayFeatureExtractor by computed indices, or of constants, is not supported");
    HN_TRY(width_of(c, 0, &n));
    for (int64_t i = 0; i < at->n; i++)
        if (hn_tensor_i64(at, i) < 0 || hn_tensor_i64(at, i) >= n)
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "ArrayFeatureExtractor: column %lld of rows of %lld",
                           (long long)hn_tensor_i64(at, i), (long long)n);
    if (at->n < 1 || at->n > MOST_COLUMNS)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "ArrayFeatureExtractor: %lld columns",
                       (long long)at->n);
    y.d[y.rank - 1].fixed = at->n;
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, &y);
}

hone_status hn_lower_extractor(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    struct hn_onnx_attrs last = *a; /* of classes: not looked at */
    last.axis = l->g->values[n->in[0]].shape.rank - 1;
    return hn_lower_gather(l, n, &last);
}

hone_status hn_infer_vectorizer(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    int64_t n = 0, sum = 0;
    HN_TRY(hn_no_doubles(c));
    for (int i = 0; i < c->n->n_in; i++) {
        const struct hn_shape *x = hn_in_shape(c, i);
        HN_TRY(width_of(c, i, &n));
        if (x->rank != 2 || !hn_same_dim(x->d[0], y.d[0]))
            return hn_fail(c->err, HONE_E_MODEL, c->label,
                           "FeatureVectorizer: input %d has other rows", i);
        sum += n;
    }
    y.d[1].fixed = sum;
    return hn_out(c, 0, HN_F32, &y);
}

hone_status hn_lower_vectorizer(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    struct hn_onnx_attrs columns = *a;
    columns.axis = 1;
    return hn_lower_concat(l, n, &columns);
}

/* ---- Binarizer: 1 above the threshold, else 0 -------------------------------------------------------------------- */

hone_status hn_infer_binarizer(struct hn_infer *c)
{
    HN_TRY(hn_no_doubles(c));
    HN_TRY(hn_out(c, 0, HN_F32, hn_in_shape(c, 0)));
    if (hn_in_value(c, 0)->dtype != HN_F32)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "Binarizer of %s, wanted float32",
                       hn_dtype_name(hn_in_value(c, 0)->dtype));
    if (c->n->out[0] >= 0) c->g->facts->values[c->n->out[0]].n_positions = 2;
    return HONE_OK;
}

hone_status hn_lower_binarizer(struct hn_lowering *l, const struct hn_node *n,
                               const struct hn_onnx_attrs *a)
{
    int32_t x, y;
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, a->alpha, &y));
    HN_TRY(hn_l_binary(l, HN_B_GREATER, x, y, &y));
    return hn_l_bind(l, n->out[0], y);
}

/* ---- ZipMap: a map from class to score a row; here the scores, in the order of its classes ----------------------- */

hone_status hn_infer_zipmap(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    int64_t n = 0;
    HN_TRY(width_of(c, 0, &n));
    if (!hn_dtype_is_float(x->dtype))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "ZipMap of %s",
                       hn_dtype_name(x->dtype));
    return hn_out(c, 0, x->dtype, &x->shape);
}

/* ---- linear models: the import has said them in ordinary operators (onnx/import_linear.c), but for those it could not --- */

hone_status hn_infer_linear(struct hn_infer *c)
{
    (void)hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s: %s", c->n->type,
                  c->n->unfit ? c->n->unfit
                              : "in a function, where its weights are not written back");
    return hn_hint(c->err, HONE_E_UNSUPPORTED,
                   "a network without hidden layers learns the same, from data: hone new \"4-3 "
                   "softmax\" for 3 classes of 4 features, \"4-1 sigmoid\" for two, \"4-1\" for a "
                   "number");
}
