/* SPDX-License-Identifier: MIT
 *
 * Layers that begin anew, and copies of layers: see layer.h. */
#include "onnx/layer.h"
#include "onnx/edit_list.h"
#include "ops/base/rng.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

enum hn_dtype hn_layer_dtype(const struct hn_modify *e, const struct hn_stack_layer *l)
{
    const Onnx__TensorProto *w = hn_md_root(e, l->dense->input[1]);
    return w ? (enum hn_dtype)w->data_type : HN_F32;
}

char *hn_layer_value(const struct hn_stack_layer *l, size_t i)
{
    if (i > 0) return l->nodes[i - 1]->output[0];
    return l->add ? l->add->output[0] : l->dense->output[0];
}

void hn_layer_forget(struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_value_info; i++)
        if (e->g->value_info[i]->name && !strcmp(e->g->value_info[i]->name, name))
            hn_md_remove(&e->g->value_info, &e->g->n_value_info, i--);
}

/* The k-th copy of a layer's name: "fc2.weight" → "fc2_1.weight", "/3/Gemm" → "/3_1/Gemm", "h" → "h_1". */
static char *copy_name(const struct hn_modify *e, const char *name, int k)
{
    if (!*name) return hn_arena_strdup(e->arena, name);
    size_t at = strcspn(name + (*name == '/'), "./") + (*name == '/');
    return hn_md_text(e, "%.*s_%d%s", (int)at, name, k, name + at);
}

/* ---- numbers --------------------------------------------------------------------------------------------------------------- */

static void set_numbers(Onnx__TensorProto *t, const Onnx__TensorProto *fresh)
{
    t->dims = fresh->dims;
    t->n_dims = fresh->n_dims;
    t->has_raw_data = 1;
    t->raw_data = fresh->raw_data;
    t->n_float_data = t->n_double_data = t->n_int32_data = t->n_int64_data = t->n_uint64_data = 0;
    t->n_external_data = 0;
    t->has_data_location = 0;
}

/* The declaration among the graph's inputs, which older files and some exporters have for each initializer. */
static int declare_again(const struct hn_modify *e, const Onnx__TensorProto *t)
{
    Onnx__ValueInfoProto *v = t->name ? hn_md_input(e, t->name) : NULL;
    if (!v) return 1;
    const Onnx__ValueInfoProto *fresh =
        hn_md_info(e, t->name, t->data_type, (int)t->n_dims, t->dims, NULL);
    if (fresh) v->type = fresh->type;
    return fresh != NULL;
}

/* Input k of a node gets other numbers (rank and dims in `shape`): in their own place, when nothing else uses it. */
static hone_status replace(struct hn_modify *e, Onnx__NodeProto *n, size_t k,
                           const struct hn_tensor *shape)
{
    char *name = n->input[k];
    const Onnx__TensorProto *root = hn_md_root(e, name);
    Onnx__TensorProto *own = hn_md_constant(e, name);
    if (hn_md_uses(e, name) != 1)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name,
                       "hidden: it is used in several places and cannot have another shape");
    enum hn_dtype type = (enum hn_dtype)root->data_type;
    if (own) {
        const Onnx__TensorProto *fresh = hn_md_tensor(e, name, type, shape);
        if (!fresh) return hn_md_nomem(e);
        set_numbers(own, fresh);
        hn_layer_forget(e, name);
        return declare_again(e, own) ? HONE_OK : hn_md_nomem(e);
    }
    char *fresh_name = hn_md_unique(e, hn_md_text(e, "%s_own", name));
    if (!fresh_name || !hn_md_add_initializer(e, hn_md_tensor(e, fresh_name, type, shape)))
        return hn_md_nomem(e);
    n->input[k] = fresh_name;
    hn_md_drop_unused(e, name);
    return HONE_OK;
}

/* Input k of a copied node gets numbers of its own, in a Constant where the first one had them in one. */
static hone_status give(struct hn_modify *e, Onnx__NodeProto *n, size_t k,
                        const struct hn_tensor *shape, int copy)
{
    char *was = n->input[k], *name = hn_md_unique(e, copy_name(e, was, copy));
    const Onnx__TensorProto *root = hn_md_root(e, was);
    const Onnx__NodeProto *holder = hn_md_producer(e, was, NULL);
    Onnx__TensorProto *t =
        name ? hn_md_tensor(e, name, (enum hn_dtype)root->data_type, shape) : NULL;
    if (!t) return hn_md_nomem(e);
    n->input[k] = name;
    if (!holder || !hn_md_is(holder, "Constant"))
        return hn_md_add_initializer(e, t) ? HONE_OK : hn_md_nomem(e);
    const char *node = hn_md_unique_node(e, copy_name(e, holder->name ? holder->name : "", copy));
    Onnx__NodeProto *c = hn_md_node(e, "Constant", node, (const char *const[]){ NULL },
                                    (const char *const[]){ name, NULL });
    Onnx__AttributeProto *a = hn_arena_alloc(e->arena, 1, sizeof *a);
    const Onnx__AttributeProto *value = hn_md_attr(holder, "value");
    if (!c || !a || !value) return hn_md_nomem(e);
    *a = *value;
    a->t = t;
    return hn_md_append(e, &c->attribute, &c->n_attribute, a) &&
                   hn_md_insert(e, &e->g->node, &e->g->n_node, 0, c)
               ? HONE_OK
               : hn_md_nomem(e);
}

static hone_status put(const struct hn_layer_fresh *f, Onnx__NodeProto *n, size_t k,
                       const struct hn_tensor *shape)
{
    return f->copy ? give(f->e, n, k, shape, f->copy) : replace(f->e, n, k, shape);
}

/* One number a column, in a tensor of the rank there was. */
static hone_status put_columns(const struct hn_layer_fresh *f, Onnx__NodeProto *n, size_t k,
                               double v)
{
    const Onnx__TensorProto *was = hn_md_root(f->e, n->input[k]);
    int one_slope = hn_md_is(n, "PRelu"); /* for all columns */
    for (size_t i = 0; was && i < was->n_dims; i++) one_slope &= was->dims[i] == 1;
    int64_t count = one_slope ? 1 : f->out;
    double *x = hn_arena_alloc(f->e->arena, (size_t)count, sizeof *x);
    if (was && !hn_dtype_is_float((enum hn_dtype)was->data_type))
        return hn_fail(f->e->err, HONE_E_UNSUPPORTED, n->input[k],
                       "hidden: it is %s, wanted a float type",
                       hn_dtype_name((enum hn_dtype)was->data_type));
    if (!x || !was) return hn_md_nomem(f->e);
    for (int64_t i = 0; i < count; i++) x[i] = v;
    struct hn_tensor t = { HN_F64, was->n_dims ? (int)was->n_dims : 1, { 0 }, count, x };
    if (t.rank > HN_MAX_RANK) t.rank = 1;
    for (int i = 0; i < t.rank; i++) t.dims[i] = 1;
    t.dims[t.rank - 1] = count;
    return put(f, n, k, &t);
}

static hone_status put_weight(const struct hn_layer_fresh *f, Onnx__NodeProto *n)
{
    const Onnx__AttributeProto *trans = hn_md_attr(n, "transB");
    int rows = hn_md_is(n, "Gemm") && trans && trans->i;
    int64_t total;
    if (!hn_mul_i64(f->in, f->out, &total) || total > INT32_MAX / 8)
        return hn_fail(f->e->err, HONE_E_BUDGET, n->input[1],
                       "hidden: a weight of %lld by %lld is too large for an ONNX file",
                       (long long)f->in, (long long)f->out);
    double *x = hn_arena_alloc(f->e->arena, (size_t)total, sizeof *x);
    double width = sqrt(6 / (double)(f->he ? f->in : f->in + f->out));
    if (!x) return hn_md_nomem(f->e);
    uint32_t stream = HN_STREAM_INIT + (uint32_t)f->stream;
    for (int64_t i = 0; i < total; i++)
        x[i] = (2 * hn_rng_uniform(f->key, stream, (uint64_t)i) - 1) * width;
    struct hn_tensor t = { HN_F64, 2, { rows ? f->out : f->in, rows ? f->in : f->out }, total, x };
    return put(f, n, 1, &t);
}

static hone_status check_type(const struct hn_modify *e, const struct hn_stack_layer *l)
{
    enum hn_dtype type = hn_layer_dtype(e, l);
    if (hn_dtype_is_float(type)) return HONE_OK;
    return hn_fail(e->err, HONE_E_UNSUPPORTED, l->dense->input[1],
                   "hidden: its weights are %s, wanted a float type", hn_dtype_name(type));
}

hone_status hn_layer_begin_anew(const struct hn_layer_fresh *f, const struct hn_stack_layer *l)
{
    double v;
    struct hn_modify *e = f->e;
    HN_TRY(check_type(e, l));
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->nodes[i]->n_input; k++)
            if (hn_stack_column_input(e, l, i, k, &v)) HN_TRY(put_columns(f, l->nodes[i], k, v));
    HN_TRY(put_weight(f, l->dense));
    if (l->dense->n_input > 2 && *l->dense->input[2] && !hn_edit_adds_nothing(l->dense))
        HN_TRY(put_columns(f, l->dense, 2, 0));
    for (size_t k = 0; l->add && k < 2; k++)
        if (hn_md_root(e, l->add->input[k])) HN_TRY(put_columns(f, l->add, k, 0));
    return HONE_OK;
}

/* ---- copies of a layer ------------------------------------------------------------------------------------------------------ */

static Onnx__NodeProto *copy_node(struct hn_layer_copy *c, const Onnx__NodeProto *n)
{
    struct hn_modify *e = c->e;
    Onnx__NodeProto *to = hn_arena_alloc(e->arena, 1, sizeof *to);
    if (!to) return NULL;
    *to = *n; /* attributes are shared: packing only reads */
    to->name = hn_md_unique_node(e, copy_name(e, n->name ? n->name : "", c->copy));
    to->input = hn_arena_alloc(e->arena, n->n_input + 1, sizeof *to->input);
    to->output = hn_arena_alloc(e->arena, n->n_output + 1, sizeof *to->output);
    if (!to->name || !to->input || !to->output) return NULL;
    for (size_t k = 0; k < n->n_input; k++) to->input[k] = n->input[k];
    for (size_t k = 0; k < n->n_output; k++) {
        to->output[k] = n->output[k];
        if (!*n->output[k]) continue;
        char *name = copy_name(e, n->output[k], c->copy);
        if (!name || !(to->output[k] = hn_md_unique(e, name))) return NULL;
    }
    return hn_md_insert(e, &e->g->node, &e->g->n_node, c->at++, to) ? to : NULL;
}

/* Inputs of the copy that the layer itself computes. */
static void reconnect(const struct hn_layer_copy *c, const struct hn_stack_layer *to,
                      Onnx__NodeProto *node)
{
    const struct hn_stack_layer *from = c->from;
    for (size_t k = 0; k < node->n_input; k++) {
        const char *was = node->input[k];
        if (!strcmp(was, from->dense->output[0])) node->input[k] = to->dense->output[0];
        if (from->add && !strcmp(was, from->add->output[0])) node->input[k] = to->add->output[0];
        for (size_t i = 0; i < from->n; i++)
            for (size_t o = 0; o < from->nodes[i]->n_output && o < to->nodes[i]->n_output; o++)
                if (*was && !strcmp(was, from->nodes[i]->output[o]))
                    node->input[k] = to->nodes[i]->output[o];
    }
}

hone_status hn_layer_copy(struct hn_layer_copy *c, struct hn_stack_layer *to)
{
    const struct hn_stack_layer *from = c->from;
    *to = *from;
    to->nodes = hn_arena_alloc(c->e->arena, from->n + 1, sizeof *to->nodes);
    if (!to->nodes) return hn_md_nomem(c->e);
    to->dense = copy_node(c, from->dense);
    if (from->add) to->add = copy_node(c, from->add);
    if (!to->dense || (from->add && !to->add)) return hn_md_nomem(c->e);
    for (size_t i = 0; i < from->n; i++)
        if (!(to->nodes[i] = copy_node(c, from->nodes[i]))) return hn_md_nomem(c->e);
    to->dense->input[0] = c->entry;
    if (to->add) reconnect(c, to, to->add);
    for (size_t i = 0; i < from->n; i++) reconnect(c, to, to->nodes[i]);
    to->exit = hn_layer_value(to, to->n);
    return HONE_OK;
}
