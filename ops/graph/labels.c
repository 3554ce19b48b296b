/* SPDX-License-Identifier: MIT
 *
 * The tail that makes labels of scores: ArgMax, ArgMin and TopK, and the lists that their numbers are looked up in. A program computes
 * positions, and none of what follows computes anything: ArrayFeatureExtractor, Gather, LabelEncoder and Cast write a new list of
 * what the positions stand for (hn_value_fact.labels), which whoever hands an output out reads.
 *
 *     ArgMax over 3 scores      positions 0, 1, 2, no list
 *     Gather of [10, 20, 40]    the same positions, list int64 10, 20, 40
 *     Cast to text              the same positions, list "10", "20", "40" */
#include "ops/graph/lower.h"

#include "ops/base/json.h"
#include "ops/base/status.h"
#include "ops/math/row.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST_POSITIONS = 1 << 24 /* float32 holds them all */,
    LONGEST_LIST = 1 << 20,
    MOST_ROUNDS = 32
};

static struct hn_value_fact *fact(const struct hn_infer *c, int32_t v)
{
    return &c->g->facts->values[v];
}

static hone_status fixed_axis(const struct hn_infer *c, const struct hn_shape *x, int axis)
{
    if (!x->d[axis].per_row && x->d[axis].fixed >= 1 && x->d[axis].fixed <= MOST_POSITIONS)
        return HONE_OK;
    return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                   "%s along dim %d, wanted one of fixed size from 1 to 2^24", c->n->type, axis);
}

/* ---- ArgMax, ArgMin ---------------------------------------------------------------------------------------------- */

int hn_arg_axis(const struct hn_graph *g, const struct hn_node *n, const struct hn_onnx_attrs *a)
{
    const struct hn_value *x = &g->values[n->in[0]];
    const int in_front = g->facts->unbatched && !x->constant; /* of the row's own dims stands N */
    return (int)(a->axis < 0 ? a->axis + x->shape.rank : a->axis + in_front);
}

hone_status hn_infer_arg(struct hn_infer *c)
{
    const struct hn_shape *x = hn_in_shape(c, 0);
    struct hn_shape y = { 0 };
    const int at = hn_arg_axis(c->g, c->n, c->a);
    int axis = 0;
    HN_TRY(hn_axis(c, at, x->rank, &axis));
    HN_TRY(fixed_axis(c, x, axis));
    for (int i = 0; i < x->rank; i++)
        if (i != axis || c->a->keepdims)
            y.d[y.rank++] = i == axis ? (struct hn_dim){ 0, 1 } : x->d[i];
    HN_TRY(hn_out(c, 0, HN_I64, &y));
    if (c->n->out[0] < 0) return HONE_OK;
    fact(c, c->n->out[0])->n_positions = x->d[axis].fixed;
    fact(c, c->n->out[0])->label = 1;
    return HONE_OK;
}

/* A constant: 0, 1, ... along an axis, or from the size - 1 down to 0. */
static hone_status numbers_along(struct hn_lowering *l, const struct hn_shape *s, int axis,
                                 int rising, int32_t *out)
{
    const int64_t size = s->d[axis].fixed;
    struct hn_tensor t = { .dtype = HN_F64, .rank = s->rank - axis, .n = size };
    double *numbers = hn_arena_alloc(l->arena, (size_t)size, sizeof *numbers);
    if (!numbers) return hn_nomem(l->err, "the program", (size_t)size * sizeof *numbers);
    for (int64_t i = 0; i < size; i++) numbers[i] = (double)(rising ? i : size - 1 - i);
    for (int i = 0; i < t.rank; i++) t.dims[i] = i ? 1 : size;
    t.data = numbers;
    return hn_l_const(l, &t, out);
}

/* x with NaN as -inf (or, turned over, inf); *is: 1 where it is a number. */
static hone_status numbers_only(struct hn_lowering *l, int turned, int32_t *x, int32_t *is)
{
    int32_t low;
    HN_TRY(hn_l_binary(l, HN_B_EQUAL, *x, *x, is));
    HN_TRY(hn_l_unary(l, HN_U_LOG, 0, 0, *is, &low));
    if (turned) HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, low, &low));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, *x, *is, x));
    return hn_l_binary(l, HN_B_ADD, *x, low, x);
}

/* Where x is the largest, numbers that fall along the axis (rise, for the last of equals); the largest of these tells which. As in
 * ONNX Runtime, NaN is passed over, but for one in the first place, which nothing is larger than. */
hone_status hn_lower_arg(struct hn_lowering *l, const struct hn_node *n,
                         const struct hn_onnx_attrs *a)
{
    const int axis = hn_arg_axis(l->g, n, a);
    const struct hn_shape *s = &l->g->values[n->in[0]].shape;
    const int64_t size = s->d[axis].fixed;
    const struct hn_reduce most = { HN_R_MAX, 1u << axis, 1 },
                           which = { HN_R_MAX, 1u << axis, a->keepdims != 0 };
    int32_t x, y, order, is;
    HN_TRY(numbers_along(l, s, axis, a->last != 0, &order));
    HN_TRY(hn_l_value(l, n->in[0], &x));
    if (strcmp(n->type, "ArgMin") == 0) HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, x, &x));
    HN_TRY(numbers_only(l, 0, &x, &is));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &most, &x, 1, &y));
    HN_TRY(hn_l_binary(l, HN_B_EQUAL, x, y, &y));
    HN_TRY(hn_l_binary(l, HN_B_MUL, y, order, &y));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &which, &y, 1, &y));
    if (!a->last) HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, (double)(size - 1), y, &y));
    HN_TRY(hn_l_op(l, &hn_op_slice, &(struct hn_slice){ axis, 0, 1, 1 }, &is, 1, &is));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &which, &is, 1, &is));
    HN_TRY(hn_l_binary(l, HN_B_MUL, y, is, &y));
    return hn_l_bind(l, n->out[0], y);
}

int32_t hn_graph_scores(const struct hn_graph *g, int32_t v, int *axis)
{
    while (g->facts->values[v].label && g->values[v].producer >= 0) {
        const struct hn_node *n = &g->nodes[g->values[v].producer];
        if (n->row->infer == hn_infer_topk) return -1; /* several of a row */
        if (n->row->infer == hn_infer_arg) {
            *axis = hn_arg_axis(g, n, g->facts->nodes[n - g->nodes].attrs);
            return n->in[0];
        }
        const int second = n->row->infer == hn_infer_gather || n->row->infer == hn_infer_extractor;
        v = n->in[second];
    }
    return -1;
}

/* ---- TopK -------------------------------------------------------------------------------------------------------- */

hone_status hn_infer_topk(struct hn_infer *c)
{
    struct hn_shape y = *hn_in_shape(c, 0);
    const int64_t *k = &c->a->k; /* until opset 9 */
    int64_t n = 1;
    int axis = 0;
    HN_TRY(hn_axis(c, c->a->axis, y.rank, &axis));
    HN_TRY(fixed_axis(c, &y, axis));
    if (c->row->in_max > 1) HN_TRY(hn_in_i64s(c, 1, &k, &n));
    if (n != 1 || k[0] < 1 || k[0] > y.d[axis].fixed || k[0] > MOST_ROUNDS)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "TopK of %lld, wanted 1 to %d, and no more than there are",
                       n == 1 ? (long long)k[0] : (long long)n, MOST_ROUNDS);
    if (hn_has_attr(c->n, "sorted") && !c->a->sorted)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "TopK in no order is not supported");
    y.d[axis].fixed = k[0];
    HN_TRY(hn_out(c, 0, hn_in_value(c, 0)->dtype, &y));
    HN_TRY(hn_out(c, 1, HN_I64, &y));
    if (c->n->n_out < 2 || c->n->out[1] < 0) return HONE_OK;
    fact(c, c->n->out[1])->n_positions = hn_in_shape(c, 0)->d[axis].fixed;
    fact(c, c->n->out[1])->label = 1;
    return HONE_OK;
}

struct rounds {
    int axis;
    int32_t scores, x, order,
        left; /* x: the scores to compare; left: 1 where nothing was taken yet; -1: all of it */
};

/* The largest of what is left, and its number counted from the end; takes it away. Its score is what is kept of all of them. */
static hone_status one_round(struct hn_lowering *l, struct rounds *r, int32_t *most, int32_t *which)
{
    const struct hn_reduce along = { HN_R_MAX, 1u << r->axis, 1 },
                           all = { HN_R_SUM, along.mask, 1 };
    int32_t taken, rest, low, none;
    HN_TRY(hn_l_op(l, &hn_op_reduce, &along, &r->x, 1, most));
    HN_TRY(hn_l_binary(l, HN_B_EQUAL, r->x, *most, which));
    if (r->left >= 0) HN_TRY(hn_l_binary(l, HN_B_MUL, *which, r->left, which));
    HN_TRY(hn_l_binary(l, HN_B_MUL, *which, r->order, which));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &along, which, 1, which));
    HN_TRY(hn_l_binary(l, HN_B_EQUAL, r->order, *which, &taken));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, r->scores, taken, most));
    HN_TRY(hn_l_op(l, &hn_op_reduce, &all, most, 1, most));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, 1, taken, &rest));
    if (r->left >= 0)
        HN_TRY(hn_l_binary(l, HN_B_MUL, r->left, rest, &r->left));
    else
        r->left = rest;
    HN_TRY(hn_l_fill(l, &(struct hn_shape){ .rank = 0 }, -(double)INFINITY, &low));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, low, taken, &none));
    HN_TRY(hn_l_binary(l, HN_B_KEEP, r->x, rest, &r->x));
    return hn_l_binary(l, HN_B_ADD, r->x, none, &r->x);
}

/* As many rounds of ArgMax as are wanted. NaN counts as larger than every number, as in ONNX Runtime. */
hone_status hn_lower_topk(struct hn_lowering *l, const struct hn_node *n,
                          const struct hn_onnx_attrs *a)
{
    const struct hn_shape *s = &l->g->values[n->in[0]].shape;
    const int smallest = hn_has_attr(n, "largest") && !a->largest;
    struct rounds r = { .axis = (int)(a->axis < 0 ? a->axis + s->rank : a->axis), .left = -1 };
    const struct hn_concat join = { r.axis };
    int32_t most[MOST_ROUNDS], which[MOST_ROUNDS], y, is;
    struct hn_dim k = { 0, a->k };
    if (n->n_in > 1) (void)hn_int_at(l->g, n->in[1], 0, &k);
    HN_TRY(hn_l_value(l, n->in[0], &r.scores));
    r.x = r.scores;
    if (smallest) HN_TRY(hn_l_unary(l, HN_U_NEG, 0, 0, r.x, &r.x));
    HN_TRY(numbers_only(l, !smallest, &r.x, &is));
    HN_TRY(numbers_along(l, s, r.axis, 0, &r.order));
    for (int64_t i = 0; i < k.fixed; i++) HN_TRY(one_round(l, &r, &most[i], &which[i]));
    y = most[0];
    if (k.fixed > 1) HN_TRY(hn_l_op(l, &hn_op_concat, &join, most, (int)k.fixed, &y));
    HN_TRY(hn_l_bind(l, n->out[0], y));
    y = which[0];
    if (k.fixed > 1) HN_TRY(hn_l_op(l, &hn_op_concat, &join, which, (int)k.fixed, &y));
    HN_TRY(hn_l_unary(l, HN_U_AFFINE, -1, (double)(s->d[r.axis].fixed - 1), y, &y));
    return hn_l_bind(l, n->n_out > 1 ? n->out[1] : -1, y);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

hone_status hn_wants_numbers(const struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++) {
        int data = (int)(c->row->data >> (i < 31 ? i : 31) & 1u);
        if (data && c->n->in[i] >= 0 && fact(c, c->n->in[i])->labels)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s of '%s', which are labels: they are handed out, not computed with",
                           c->n->type, hn_in_value(c, i)->name);
    }
    return HONE_OK;
}

void hn_same_labels(struct hn_infer *c)
{
    if (c->n->out[0] < 0) return;
    const struct hn_value_fact *x = fact(c, c->n->in[0]);
    struct hn_value_fact *y = fact(c, c->n->out[0]);
    y->n_positions = x->n_positions, y->labels = x->labels, y->label = x->label;
}

/* A list of n for the output, which means what the positions of value v do otherwise. */
static hone_status new_list(struct hn_infer *c, int32_t v, enum hn_dtype t, char **data)
{
    const int64_t n = fact(c, v)->n_positions;
    if (n > LONGEST_LIST)
        return hn_fail(c->err, HONE_E_BUDGET, c->label, "%s: a list of %lld labels", c->n->type,
                       (long long)n);
    struct hn_tensor *list = hn_infer_alloc(c, 1, sizeof *list);
    *data = hn_infer_alloc(c, (size_t)n, t == HN_STR ? sizeof(char *) : hn_dtype_size(t));
    if (!list || !*data) return HONE_E_NOMEM;
    *list = (struct hn_tensor){ .dtype = t, .rank = 1, .dims = { n }, .n = n, .data = *data };
    struct hn_value_fact *y = fact(c, c->n->out[0]);
    y->labels = list, y->n_positions = n, y->label = fact(c, v)->label;
    return HONE_OK;
}

/* What position i of value v stands for, of which the list, if any, is `list`. */
static int64_t whole_at(const struct hn_tensor *list, int64_t i)
{
    return list ? hn_tensor_i64(list, i) : i;
}
static const char *text_at(const struct hn_tensor *list, int64_t i)
{
    return ((const char *const *)list->data)[i];
}

static void copy_element(char *to, int64_t i, const struct hn_tensor *from, int64_t k)
{
    const size_t size = from->dtype == HN_STR ? sizeof(char *) : hn_dtype_size(from->dtype);
    memcpy(to + (size_t)i * size, (const char *)from->data + (size_t)k * size, size);
}

hone_status hn_pick_labels(struct hn_infer *c, int i, const struct hn_tensor *table, int *done)
{
    const int32_t v = hn_in(c, i);
    const struct hn_value *at = &c->g->values[v];
    const struct hn_tensor *list = fact(c, v)->labels;
    char *data;
    *done = table && !at->constant && fact(c, v)->n_positions &&
            (at->dtype == HN_I64 || at->dtype == HN_I32);
    if (!*done || c->n->out[0] < 0) return HONE_OK;
    HN_TRY(new_list(c, v, table->dtype, &data));
    for (int64_t k = 0; k < fact(c, v)->n_positions; k++) {
        int64_t element = whole_at(list, k);
        if (element < 0 && c->row->infer == hn_infer_gather) element += table->n;
        if (element < 0 || element >= table->n)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: element %lld of a list of %lld",
                           c->n->type, (long long)element, (long long)table->n);
        copy_element(data, k, table, element);
    }
    return HONE_OK;
}

/* Numbers from text as ONNX Runtime reads them: the whole text, and for an integer no fraction. */
static int number_of(const char *text, enum hn_dtype to, void *out)
{
    int64_t whole;
    double x;
    if (!hn_dtype_is_float(to) && hn_parse_i64(text, strlen(text), &whole))
        return hn_convert(out, to, &whole, HN_I64, 1), 1;
    if (!hn_dtype_is_float(to) || !hn_parse_double(text, strlen(text), &x)) return 0;
    return hn_convert(out, to, &x, HN_F64, 1), 1;
}

static hone_status cast_one(struct hn_infer *c, const struct hn_tensor *list, int64_t i,
                            enum hn_dtype to, char *data)
{
    if (to == HN_STR) {
        const char *text = hn_arena_printf(&c->g->arena, "%" PRId64, whole_at(list, i));
        memcpy(data + (size_t)i * sizeof text, &text, sizeof text);
        return text ? HONE_OK : hn_nomem(c->err, "labels", 0);
    }
    void *y = data + (size_t)i * hn_dtype_size(to);
    if (!list || list->dtype != HN_STR) {
        const size_t size = list ? hn_dtype_size(list->dtype) : 0;
        hn_convert(y, to, list ? (const char *)list->data + (size_t)i * size : (const char *)&i,
                   list ? list->dtype : HN_I64, 1);
        return HONE_OK;
    }
    if (number_of(text_at(list, i), to, y)) return HONE_OK;
    return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s of '%s' to %s", c->n->type,
                   text_at(list, i), hn_dtype_name(to));
}

hone_status hn_cast_labels(struct hn_infer *c, enum hn_dtype to)
{
    const int32_t v = c->n->in[0];
    const enum hn_dtype from = c->g->values[v].dtype;
    const struct hn_tensor *list = fact(c, v)->labels;
    char *data;
    if ((to == HN_STR && from != HN_I64 && from != HN_I32 && from != HN_STR) ||
        (to != HN_STR && hn_dtype_size(to) == 0))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s from %s to %s is not supported",
                       c->n->type, hn_dtype_name(from), hn_dtype_name(to));
    HN_TRY(hn_out(c, 0, to, hn_in_shape(c, 0)));
    if (to == from || c->n->out[0] < 0) return hn_same_labels(c), HONE_OK;
    HN_TRY(new_list(c, v, to, &data));
    for (int64_t i = 0; i < fact(c, v)->n_positions; i++) HN_TRY(cast_one(c, list, i, to, data));
    return HONE_OK;
}

/* ---- LabelEncoder ------------------------------------------------------------------------------------------------ */

static const struct hn_attr *attr(const struct hn_node *n, const char *what, const char *type)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s%s", what, type);
    return hn_attr_of(n, name);
}

/* Where in the keys is what position i stands for? -1: nowhere. */
static int64_t find_key(const struct hn_attr *keys, const struct hn_tensor *list, int64_t i)
{
    for (size_t k = 0; k < keys->n; k++) {
        if (keys->type == HN_ATTR_STRS ? strcmp(keys->strings[k], text_at(list, i)) == 0
                                       : keys->ints[k] == whole_at(list, i))
            return (int64_t)k;
    }
    return -1;
}

/* The values as a list, with one more at its end: what anything else becomes. */
static hone_status values_of(struct hn_infer *c, struct hn_tensor *out)
{
    const struct hn_attr *texts = attr(c->n, "values_", "strings"),
                         *wholes = attr(c->n, "values_", "int64s"),
                         *floats = attr(c->n, "values_", "floats"), *other;
    const struct hn_attr *v = texts ? texts : wholes ? wholes : floats;
    if (!v)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "LabelEncoder without lists of keys and values");
    out->dtype = texts ? HN_STR : wholes ? HN_I64 : HN_F32;
    out->n = (int64_t)v->n;
    const size_t size = texts ? sizeof(char *) : hn_dtype_size(out->dtype);
    char *data = hn_infer_alloc(c, v->n + 1, size);
    if (!data) return HONE_E_NOMEM;
    memcpy(data,
           texts    ? (const void *)v->strings
           : wholes ? (const void *)v->ints
                    : v->floats,
           v->n * size);
    other = attr(c->n, "default_", texts ? "string" : wholes ? "int64" : "float");
    const char *text = other ? other->s : "_Unused";
    const int64_t whole = other ? other->i : -1;
    const float number = other ? other->f : -0.0f;
    memcpy(data + v->n * size,
           texts    ? (const void *)&text
           : wholes ? (const void *)&whole
                    : (const void *)&number,
           size);
    out->data = data;
    return HONE_OK;
}

hone_status hn_infer_label_encoder(struct hn_infer *c)
{
    const struct hn_value *x = hn_in_value(c, 0);
    const struct hn_value_fact *f = fact(c, c->n->in[0]);
    const struct hn_attr *keys = attr(c->n, "keys_", x->dtype == HN_STR ? "strings" : "int64s");
    struct hn_tensor values = { 0 };
    char *data;
    if (!f->n_positions || x->constant) return hn_infer_encode(c);
    HN_TRY(values_of(c, &values));
    if (!keys || (int64_t)keys->n != values.n || (x->dtype != HN_STR && x->dtype != HN_I64))
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "LabelEncoder of %s: wanted int64 or text, and as many keys as values",
                       hn_dtype_name(x->dtype));
    HN_TRY(hn_out(c, 0, values.dtype, &x->shape));
    if (c->n->out[0] < 0) return HONE_OK;
    const struct hn_tensor *list = f->labels;
    HN_TRY(new_list(c, c->n->in[0], values.dtype, &data));
    for (int64_t i = 0; i < f->n_positions; i++) {
        const int64_t at = find_key(keys, list, i);
        copy_element(data, i, &values, at < 0 ? values.n : at);
    }
    return HONE_OK;
}
