/* SPDX-License-Identifier: MIT
 *
 * BatchNormalization in and out of a graph of Dense layers.
 *   insert: y = Dense(x) → y' = scale · (y - mean) / √(variance + ε) + bias in front of whatever used y.
 *   remove: the same formula as y · s + t with s = scale / √(variance + ε), t = bias - mean · s, folded into the Gemm
 *           that makes y (alpha·A·B + beta·C: the columns of B times s, C times s plus t / beta) or as Mul and Add. */
#include "onnx/edit_list.h"
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

static Onnx__NodeProto *only_consumer(const struct hn_modify *e, const char *value)
{
    Onnx__NodeProto *found = NULL;
    if (hn_md_uses(e, value) != 1) return NULL;
    for (size_t i = 0; i < e->g->n_node; i++)
        for (size_t k = 0; k < e->g->node[i]->n_input; k++)
            if (strcmp(e->g->node[i]->input[k], value) == 0) found = e->g->node[i];
    return found;
}

/* A constant, also behind a Cast. */
static const Onnx__TensorProto *stored(const struct hn_modify *e, const char *name)
{
    const Onnx__TensorProto *t = hn_md_constant(e, name);
    const Onnx__NodeProto *n = t ? NULL : hn_md_producer(e, name, NULL);
    return n && hn_md_is(n, "Cast") && n->n_input == 1 ? hn_md_constant(e, n->input[0]) : t;
}

int hn_edit_adds_nothing(const Onnx__NodeProto *gemm)
{
    const Onnx__AttributeProto *beta = hn_md_attr(gemm, "beta");
    return gemm->n_input < 3 || !*gemm->input[2] || (beta && beta->f == 0);
}

char *hn_edit_dense_output(const struct hn_modify *e, size_t at, int64_t *width)
{
    Onnx__NodeProto *n = e->g->node[at];
    int gemm = hn_md_is(n, "Gemm");
    if ((!gemm && !hn_md_is(n, "MatMul")) || n->n_input < 2 || n->n_output < 1) return NULL;
    const Onnx__TensorProto *w = stored(e, n->input[1]);
    if (!w || w->n_dims != 2 || stored(e, n->input[0])) return NULL;
    const Onnx__AttributeProto *trans = hn_md_attr(n, "transB");
    *width = w->dims[gemm && trans && trans->i ? 0 : 1];
    Onnx__NodeProto *add = gemm && !hn_edit_adds_nothing(n) ? NULL : only_consumer(e, n->output[0]);
    if (!add || !hn_md_is(add, "Add") || add->n_input != 2 || add->n_output != 1)
        return n->output[0];
    const char *other = add->input[strcmp(add->input[0], n->output[0]) == 0];
    const Onnx__TensorProto *b = stored(e, other);
    return b && b->n_dims && b->dims[b->n_dims - 1] == *width ? add->output[0] : n->output[0];
}

/* feeds[i] = 1: a Dense layer depends on node i. One pass backwards is enough when nodes are in order. */
static int mark_feeding(const struct hn_modify *e, unsigned char *feeds)
{
    size_t n_made;
    int64_t width;
    const struct hn_md_made *made = hn_md_index_made(e, &n_made);
    unsigned char *dense = hn_arena_alloc(e->arena, e->g->n_node + 1, 1);
    if (!made || !dense) return 0;
    for (size_t i = 0; i < e->g->n_node; i++) dense[i] = hn_edit_dense_output(e, i, &width) != NULL;
    for (int changed = 1; changed;) {
        changed = 0;
        for (size_t i = e->g->n_node; i-- > 0;) {
            const Onnx__NodeProto *n = e->g->node[i];
            for (size_t k = 0; k < n->n_input && (dense[i] || feeds[i]); k++) {
                const struct hn_md_made *from = hn_md_find_made(made, n_made, n->input[k]);
                if (!from || feeds[from->node]) continue;
                feeds[from->node] = 1;
                changed = 1;
            }
        }
    }
    return 1;
}

int hn_edit_each_hidden(const struct hn_modify *e,
                        int (*fn)(void *user, char *value, int64_t width), void *user)
{
    unsigned char *feeds = hn_arena_alloc(e->arena, e->g->n_node + 1, 1);
    if (!feeds || !mark_feeding(e, feeds)) return 0;
    for (size_t i = 0; i < e->g->n_node; i++) {
        int64_t width;
        char *value = feeds[i] ? hn_edit_dense_output(e, i, &width) : NULL;
        const Onnx__NodeProto *next = value ? only_consumer(e, value) : NULL;
        if (!value || (next && hn_md_is(next, "BatchNormalization"))) continue;
        if (!fn(user, value, width)) return 0;
    }
    return 1;
}

/* ---- insert ------------------------------------------------------------------------------------------------------------- */

/* The type of a value, by the layer, the Cast or the input it comes from; `other` where that does not say. Scale and statistics
 * may be of another type than what they normalise. */
static enum hn_dtype type_of(const struct hn_modify *e, const char *value, enum hn_dtype other)
{
    for (int i = 0; i < 64; i++) {
        const Onnx__NodeProto *n = hn_md_producer(e, value, NULL);
        const Onnx__ValueInfoProto *v = n ? NULL : hn_md_input(e, value);
        const Onnx__AttributeProto *to = n && hn_md_is(n, "Cast") ? hn_md_attr(n, "to") : NULL;
        if (v && v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            return (enum hn_dtype)v->type->tensor_type->elem_type;
        if (to) return (enum hn_dtype)to->i;
        if (!n || n->n_input < 1) return other;
        int other_types =
            hn_md_is(n, "BatchNormalization") || hn_md_is(n, "Dropout") || hn_md_is(n, "Pow");
        const Onnx__TensorProto *w =
            n->n_input > 1 && !other_types ? hn_md_root(e, n->input[1]) : NULL;
        if (w && hn_dtype_is_float((enum hn_dtype)w->data_type)) return (enum hn_dtype)w->data_type;
        value = n->input[0];
    }
    return other;
}

static const char *const parts[4] = { "weight", "bias", "running_mean", "running_var" };

/* That of the layer. Beside half types the statistics are float32 where the operator allows it: a variance has not the range of
 * float16, and bfloat16 would round a running mean to 8 bits. */
static enum hn_dtype type_of_statistics(const struct hn_modify *e, const char *value)
{
    enum hn_dtype t = type_of(e, value, HN_F32);
    return (t == HN_F16 || t == HN_BF16) && e->opset >= 15 ? HN_F32 : t;
}

/* The Dense node whose output (its Add's included) is `value`. */
static int find_layer(const struct hn_modify *e, const char *value, size_t *at, int64_t *width)
{
    for (*at = 0; *at < e->g->n_node; ++*at) {
        const char *out = hn_edit_dense_output(e, *at, width);
        if (out && strcmp(out, value) == 0) return 1;
    }
    return 0;
}

/* Four initializers for site number i: the line's arrays, or the identity. */
static hone_status add_statistics(struct hn_modify *e, size_t i, const char *value,
                                  enum hn_dtype dtype, int64_t width, const char *names[4])
{
    for (size_t k = 0; k < 4; k++) {
        const struct hn_tensor *given = e->line->n_values ? &e->line->values[4 * i + k] : NULL;
        char *name = hn_md_text(e, "%s.bn.%s", value, parts[k]);
        if (!name || !(name = hn_md_unique(e, name))) return hn_md_nomem(e);
        if (given && given->n != width)
            return hn_fail(e->err, HONE_E_USAGE, value,
                           "batchnorm insert: array %zu has %lld elements, the layer %lld columns",
                           4 * i + k, (long long)given->n, (long long)width);
        struct hn_tensor flat = given ? *given : (struct hn_tensor){ 0 };
        flat.rank = 1;
        flat.dims[0] = width;
        Onnx__TensorProto *t = given ? hn_md_tensor(e, name, dtype, &flat)
                                     : hn_md_full(e, name, dtype, 1, &width, k == 0 || k == 3);
        if (!hn_md_add_initializer(e, t)) return hn_md_nomem(e);
        names[k] = name;
    }
    return HONE_OK;
}

static hone_status insert_at(struct hn_modify *e, size_t i, char *value)
{
    size_t layer, at;
    int64_t width;
    const char *p[4];
    if (!find_layer(e, value, &layer, &width))
        return hn_fail(e->err, HONE_E_USAGE, value,
                       "batchnorm insert: this is not the output of a Dense layer");
    HN_TRY(add_statistics(e, i, value, type_of_statistics(e, value), width, p));
    char *out = hn_md_unique(e, hn_md_text(e, "%s/bn", value));
    if (!out) return hn_md_nomem(e);
    if (hn_md_is_output(e, value))
        return hn_fail(e->err, HONE_E_UNSUPPORTED, value,
                       "batchnorm insert: it is an output of the graph");
    Onnx__NodeProto *bn = hn_md_node(e, "BatchNormalization", hn_md_text(e, "hone_bn_%s", value),
                                     (const char *const[]){ value, p[0], p[1], p[2], p[3], NULL },
                                     (const char *const[]){ out, NULL });
    if (!bn || !hn_md_attr_float(e, bn, "epsilon", 1e-5f) ||
        !hn_md_attr_float(e, bn, "momentum", 0.9f))
        return hn_md_nomem(e);
    if (e->opset >= 14 && !hn_md_attr_int(e, bn, "training_mode", 0)) return hn_md_nomem(e);
    if (e->opset < 9 && !hn_md_attr_int(e, bn, "spatial", 1)) return hn_md_nomem(e);
    hn_md_rewire(e, value, out, NULL);
    (void)hn_md_producer(e, value, &at);
    return hn_md_insert(e, &e->g->node, &e->g->n_node, at + 1, bn) ? HONE_OK : hn_md_nomem(e);
}

struct names {
    const struct hn_modify *e;
    char **v;
    size_t n;
};

static int add_name(void *user, char *value, int64_t width)
{
    struct names *list = user;
    (void)width;
    return hn_md_append(list->e, &list->v, &list->n, value);
}

static hone_status insert_all(struct hn_modify *e)
{
    struct names list = { e, e->words + 2, (size_t)e->n_words - 2 };
    if (e->opset < 7)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, "",
                       "batchnorm insert: needs opset 7, the model has %lld", (long long)e->opset);
    if (!list.n) {
        list.v = NULL;
        if (!hn_edit_each_hidden(e, add_name, &list)) return hn_md_nomem(e);
        if (!list.n)
            return hn_fail(e->err, HONE_E_UNSUPPORTED, "",
                           "batchnorm insert: there is no hidden Dense layer without one");
    }
    if (e->line->n_values && e->line->n_values != 4 * list.n)
        return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                       "%zu arrays came with the line, wanted 4 for each of %zu layers",
                       e->line->n_values, list.n);
    for (size_t i = 0; i < list.n; i++) HN_TRY(insert_at(e, i, list.v[i]));
    return HONE_OK;
}

/* ---- remove ------------------------------------------------------------------------------------------------------------- */

struct fold {
    int64_t n;
    double *s, *t; /* y → y · s + t */
    enum hn_dtype dtype;
};

/* A constant's numbers in double, NULL when it is none of `n` numbers that lie in the file. */
static double *numbers(const struct hn_modify *e, const Onnx__TensorProto *t, int64_t n)
{
    struct hn_external none;
    struct hn_tensor view;
    hn_external_init(&none, e->mem, NULL, NULL);
    if (!t || hn_onnx_tensor_view(&view, t, &none, e->arena, "", NULL) != HONE_OK || view.n != n)
        return NULL;
    if (!hn_dtype_is_float(view.dtype)) return NULL;
    double *v = hn_arena_alloc(e->arena, (size_t)n + 1, sizeof *v);
    if (v) hn_convert(v, HN_F64, view.data, view.dtype, n);
    return v;
}

static hone_status read_fold(struct hn_modify *e, const Onnx__NodeProto *bn, struct fold *f)
{
    const char *where = bn->name && *bn->name ? bn->name : bn->output[0];
    const Onnx__AttributeProto *eps = hn_md_attr(bn, "epsilon"),
                               *mode = hn_md_attr(bn, "training_mode");
    const Onnx__TensorProto *scale = bn->n_input == 5 ? hn_md_root(e, bn->input[1]) : NULL;
    double *p[4] = { NULL }, epsilon = eps ? (double)eps->f : 1e-5;
    if ((mode && mode->i) || bn->n_output != 1)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, where,
                       "batchnorm remove: the node is in training form (edit 'inference' first)");
    f->n = scale && scale->n_dims == 1 ? scale->dims[0] : -1;
    for (size_t k = 0; k < 4 && f->n >= 0; k++)
        p[k] = numbers(e, hn_md_root(e, bn->input[1 + k]), f->n);
    if (!p[0] || !p[1] || !p[2] || !p[3])
        return hn_fail(e->err, HONE_E_UNSUPPORTED, where,
                       "batchnorm remove: its four parameters are not plain constants of the file");
    f->dtype = type_of(e, bn->input[0], (enum hn_dtype)scale->data_type);
    f->s = hn_arena_alloc(e->arena, (size_t)f->n + 1, sizeof *f->s);
    f->t = hn_arena_alloc(e->arena, (size_t)f->n + 1, sizeof *f->t);
    if (!f->s || !f->t) return hn_md_nomem(e);
    for (int64_t i = 0; i < f->n; i++) {
        f->s[i] = p[0][i] / sqrt(p[3][i] + epsilon);
        f->t[i] = p[1][i] - p[2][i] * f->s[i];
    }
    return HONE_OK;
}

static double attr_or(const Onnx__NodeProto *n, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = hn_md_attr(n, name);
    return a ? (double)a->f : otherwise;
}

/* New numbers for a constant that one node uses: an initializer of the same name, or a new one for a Constant node. */
static int replace_constant(struct hn_modify *e, Onnx__NodeProto *n, size_t k,
                            const Onnx__TensorProto *old, const double *v, int64_t count)
{
    struct hn_tensor t = { HN_F64, (int)old->n_dims, { 0 }, count, v };
    for (size_t i = 0; i < old->n_dims; i++) t.dims[i] = old->dims[i];
    char *before = n->input[k], *name = hn_md_unique(e, hn_md_text(e, "%s.folded", before));
    Onnx__TensorProto *fresh =
        name ? hn_md_tensor(e, name, (enum hn_dtype)old->data_type, &t) : NULL;
    if (!fresh) return 0;
    Onnx__TensorProto *own = hn_md_uses(e, before) == 1 ? hn_md_initializer(e, before) : NULL;
    if (own) {
        fresh->name = own->name;
        *own = *fresh;
        return 1;
    }
    n->input[k] = fresh->name;
    if (!hn_md_add_initializer(e, fresh)) return 0;
    hn_md_drop_unused(e, before);
    return 1;
}

/* Folds into the Gemm; 0 in *done when this Gemm cannot take it. */
static hone_status fold_into(struct hn_modify *e, Onnx__NodeProto *g, const struct fold *f,
                             int *done)
{
    const Onnx__TensorProto *b = hn_md_constant(e, g->input[1]);
    const Onnx__TensorProto *c =
        g->n_input > 2 && *g->input[2] ? hn_md_constant(e, g->input[2]) : NULL;
    const Onnx__AttributeProto *trans = hn_md_attr(g, "transB");
    double beta = attr_or(g, "beta", 1);
    int rows = trans && trans->i, has_c = g->n_input > 2 && *g->input[2];
    *done = 0;
    if (!b || b->n_dims != 2 || b->dims[rows ? 0 : 1] != f->n || (has_c && (!c || beta == 0)))
        return HONE_OK;
    int64_t in = b->dims[rows ? 1 : 0], total;
    if (!hn_mul_i64(in, f->n, &total)) return HONE_OK;
    double *w = numbers(e, b, total), *old = NULL,
           *bias = hn_arena_alloc(e->arena, (size_t)f->n + 1, sizeof *bias);
    if (!bias) return hn_md_nomem(e);
    if (c) old = numbers(e, c, f->n);
    if (!w || (has_c && (!old || !c->n_dims || c->dims[c->n_dims - 1] != f->n))) return HONE_OK;
    for (int64_t i = 0; i < total; i++) w[i] *= f->s[rows ? i / in : i % f->n];
    for (int64_t i = 0; i < f->n; i++)
        bias[i] = (old ? old[i] * f->s[i] : 0) + f->t[i] / (has_c ? beta : 1);
    if (!replace_constant(e, g, 1, b, w, total)) return hn_md_nomem(e);
    *done = 1;
    if (c) return replace_constant(e, g, 2, c, bias, f->n) ? HONE_OK : hn_md_nomem(e);
    struct hn_tensor t = { HN_F64, 1, { f->n }, f->n, bias };
    char *name = hn_md_unique(e, hn_md_text(e, "%s.bias", g->output[0]));
    if (!name || !hn_md_add_initializer(e, hn_md_tensor(e, name, (enum hn_dtype)b->data_type, &t)))
        return hn_md_nomem(e);
    if (g->n_input > 2)
        g->input[2] = name;
    else if (!hn_md_append(e, &g->input, &g->n_input, name))
        return hn_md_nomem(e);
    return hn_md_attr(g, "beta") && !hn_md_attr_float(e, g, "beta", 1) ? hn_md_nomem(e) : HONE_OK;
}

/* y → Mul(y, s) → Add(., t) in the BatchNormalization's place. */
static hone_status as_mul_add(struct hn_modify *e, size_t at, const struct fold *f)
{
    const Onnx__NodeProto *bn = e->g->node[at];
    char *between = hn_md_unique(e, hn_md_text(e, "%s/mul", bn->output[0]));
    const char *ends[3] = { bn->input[0], between, bn->output[0] }, *op[2] = { "Mul", "Add" };
    if (!between) return hn_md_nomem(e);
    hn_md_remove(&e->g->node, &e->g->n_node, at);
    for (size_t k = 0; k < 2; k++) {
        struct hn_tensor t = { HN_F64, 2, { 1, f->n }, f->n, k ? f->t : f->s };
        char *name = hn_md_unique(e, hn_md_text(e, "%s/%s_by", ends[2], op[k]));
        if (!name || !hn_md_add_initializer(e, hn_md_tensor(e, name, f->dtype, &t)))
            return hn_md_nomem(e);
        Onnx__NodeProto *n = hn_md_node(e, op[k], hn_md_text(e, "hone_%s_%s", op[k], ends[2]),
                                        (const char *const[]){ ends[k], name, NULL },
                                        (const char *const[]){ ends[k + 1], NULL });
        if (!n || !hn_md_insert(e, &e->g->node, &e->g->n_node, at + k, n)) return hn_md_nomem(e);
    }
    return HONE_OK;
}

static hone_status remove_one(struct hn_modify *e, Onnx__NodeProto *bn)
{
    struct fold f = { 0 };
    size_t at;
    int done = 0;
    char *used[4];
    HN_TRY(read_fold(e, bn, &f));
    memcpy(used, bn->input + 1, sizeof used);
    Onnx__NodeProto *g = hn_md_producer(e, bn->input[0], NULL);
    if (g && hn_md_is(g, "Gemm") && g->n_output == 1 && hn_md_uses(e, bn->input[0]) == 1)
        HN_TRY(fold_into(e, g, &f, &done));
    for (at = 0; e->g->node[at] != bn;) at++; /* by the node: in a damaged file names may repeat */
    if (done) {
        g->output[0] = bn->output[0];
        hn_md_remove(&e->g->node, &e->g->n_node, at);
    } else {
        HN_TRY(as_mul_add(e, at, &f));
    }
    for (size_t k = 0; k < 4; k++) hn_md_drop_unused(e, used[k]);
    return HONE_OK;
}

static hone_status remove_all(struct hn_modify *e)
{
    for (size_t i = 0; i < e->g->n_node; i++) {
        if (!hn_md_is(e->g->node[i], "BatchNormalization") || e->g->node[i]->n_output < 1) continue;
        HN_TRY(remove_one(e, e->g->node[i]));
        i = (size_t)-1; /* positions have moved: look again from the start */
    }
    return HONE_OK;
}

hone_status hn_edit_batchnorm(struct hn_modify *e)
{
    if (strcmp(e->words[1], "insert") == 0) {
        hn_edit_drop_casts(e);
        return insert_all(e);
    }
    if (strcmp(e->words[1], "remove") == 0 && e->n_words == 2) return remove_all(e);
    return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                   "wanted: batchnorm insert [VALUE...], or batchnorm remove");
}
