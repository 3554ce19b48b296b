/* SPDX-License-Identifier: MIT
 *
 * Scalers in the graph: x → (x - offset) / scale behind an input, so that the model takes raw rows, and y → y · scale +
 * offset in front of an output, so that it gives raw numbers. The arrays must broadcast against the value (their last
 * axes are the value's); subtraction and division are separate nodes, in the order scikit-learn computes. Between Casts they
 * are in float32 where the value is of a half type, whose range and digits raw numbers may not have. The names, and a list
 * in the metadata of the outputs that have one, are what ops/graph/unscale.c knows such an end by. */
#include "onnx/edit_list.h"
#include "onnx/model.h"
#include "ops/base/status.h"
#include <string.h>

struct chain {         /* two elementwise nodes with a constant each */
    const char *value; /* names are made from it */
    enum hn_dtype dtype;
    const char *op[2];
};

static hone_status check(struct hn_modify *e, const Onnx__ValueInfoProto *v, enum hn_dtype *dtype)
{
    const char *what = e->words[0], *name = e->words[1];
    if (!v)
        return hn_fail(e->err, HONE_E_USAGE, name, "%s: the graph has nothing of this name there",
                       what);
    if (e->line->n_values != 2)
        return hn_fail(e->err, HONE_E_USAGE, name, "%s: %zu arrays came with the line, wanted 2",
                       what, e->line->n_values);
    if (e->opset < 7)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name, "%s: needs opset 7, the model has %lld",
                       what, (long long)e->opset);
    const Onnx__TypeProto *t = v->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        !t->tensor_type->has_elem_type)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name, "%s: its type is not declared", what);
    *dtype = (enum hn_dtype)t->tensor_type->elem_type;
    if (hn_dtype_is_float(*dtype) ||
        (hn_dtype_size(*dtype) && *dtype != HN_C64 && *dtype != HN_C128))
        return HONE_OK;
    return hn_fail(e->err, HONE_E_UNSUPPORTED, name, "%s: its type is %s, wanted numbers", what,
                   hn_dtype_name(*dtype));
}

static int is_half(enum hn_dtype t) { return t == HN_F16 || t == HN_BF16; }

/* from → Cast → to */
static hone_status insert_cast(struct hn_modify *e, const char *label, char *from, char *to,
                               enum hn_dtype dtype, size_t at)
{
    Onnx__NodeProto *cast = label && from && to ? hn_md_node(e, "Cast", hn_md_unique_node(e, label),
                                                             (const char *const[]){ from, NULL },
                                                             (const char *const[]){ to, NULL })
                                                : NULL;
    if (!cast || !hn_md_attr_int(e, cast, "to", dtype)) return hn_md_nomem(e);
    return hn_md_insert(e, &e->g->node, &e->g->n_node, at, cast) ? HONE_OK : hn_md_nomem(e);
}

/* from → op[0] with values[0] → op[1] with values[1] → to, as nodes at position `at` and at + 1. */
static hone_status insert_chain(struct hn_modify *e, const struct chain *c, char *from, char *to,
                                size_t at)
{
    char *between = hn_md_unique(e, hn_md_text(e, "%s/hone_%s", c->value, c->op[0]));
    char *ends[3] = { from, between, to };
    for (size_t i = 0; i < 2; i++) {
        char *label = hn_md_text(e, "hone_%s_%s", c->op[i], c->value);
        char *name = hn_md_text(e, "%s/hone_%s_by", c->value, c->op[i]);
        if (!label || !name || !(name = hn_md_unique(e, name)) || !ends[1]) return hn_md_nomem(e);
        if (!hn_md_add_initializer(e, hn_md_tensor(e, name, c->dtype, &e->line->values[i])))
            return hn_md_nomem(e);
        Onnx__NodeProto *n =
            hn_md_node(e, c->op[i], label, (const char *const[]){ ends[i], name, NULL },
                       (const char *const[]){ ends[i + 1], NULL });
        if (!n || !hn_md_insert(e, &e->g->node, &e->g->n_node, at + i, n)) return hn_md_nomem(e);
    }
    return HONE_OK;
}

/* Integers may become floats only where every reader casts them anyway: indices and categories must stay what they are. */
static hone_status check_readers(struct hn_modify *e, const char *name)
{
    for (size_t i = 0; i < e->g->n_node; i++) {
        const Onnx__NodeProto *n = e->g->node[i];
        for (size_t k = 0; k < n->n_input; k++)
            if (strcmp(n->input[k], name) == 0 && !hn_md_is(n, "Cast"))
                return hn_fail(e->err, HONE_E_UNSUPPORTED, name,
                               "scale-input: %s '%.80s' reads this input as integers",
                               n->op_type ? n->op_type : "node", n->name ? n->name : "");
    }
    return HONE_OK;
}

/* The chain in float32: from → Cast → the chain → Cast → to, the last one where `to` is of a half type. */
static hone_status insert_in_float32(struct hn_modify *e, const struct chain *c, char *from,
                                     char *to, size_t at)
{
    struct chain wide = { c->value, HN_F32, { c->op[0], c->op[1] } };
    char *before = hn_md_unique(e, hn_md_text(e, "%s/hone_float", c->value)), *after = to;
    const char *label = hn_md_text(e, "hone_Cast_%s", c->value);
    HN_TRY(insert_cast(e, label, from, before, HN_F32, at));
    if (is_half(c->dtype)) after = hn_md_unique(e, hn_md_text(e, "%s/hone_wide", c->value));
    if (!after) return hn_md_nomem(e);
    HN_TRY(insert_chain(e, &wide, before, after, at + 1));
    return after == to ? HONE_OK : insert_cast(e, label, after, to, c->dtype, at + 3);
}

hone_status hn_edit_scale_input(struct hn_modify *e)
{
    char *name = e->words[1];
    struct chain c = { name, HN_NONE, { "Sub", "Div" } };
    HN_TRY(check(e, hn_md_initializer(e, name) ? NULL : hn_md_input(e, name), &c.dtype));
    if (!hn_dtype_is_float(c.dtype)) HN_TRY(check_readers(e, name));
    char *scaled = hn_md_unique(e, hn_md_text(e, "%s/hone_scaled", name));
    if (!scaled) return hn_md_nomem(e);
    hn_md_rewire(e, name, scaled, NULL);
    return hn_dtype_is_float(c.dtype) && !is_half(c.dtype)
               ? insert_chain(e, &c, name, scaled, 0)
               : insert_in_float32(e, &c, name, scaled, 0);
}

hone_status hn_edit_scale_output(struct hn_modify *e)
{
    char *name = e->words[1];
    Onnx__ValueInfoProto *v = NULL;
    struct chain c = { name, HN_NONE, { "Mul", "Add" } };
    for (size_t i = 0; i < e->g->n_output; i++)
        if (e->g->output[i]->name && strcmp(e->g->output[i]->name, name) == 0) v = e->g->output[i];
    HN_TRY(check(e, v, &c.dtype));
    size_t at;
    Onnx__NodeProto *n = hn_md_producer(e, name, &at);
    if (!n || !hn_dtype_is_float(c.dtype))
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name,
                       "scale-output: wanted a float output that a node produces");
    char *raw = hn_md_unique(e, hn_md_text(e, "%s/hone_raw", name));
    if (!raw) return hn_md_nomem(e);
    for (size_t k = 0; k < n->n_output; k++)
        if (strcmp(n->output[k], name) == 0) n->output[k] = raw;
    hn_md_rewire(e, name, raw, NULL);
    HN_TRY(hn_md_note(e, HN_META_UNSCALED, (const char *const[]){ name }, 1));
    return is_half(c.dtype) ? insert_in_float32(e, &c, raw, name, e->g->n_node)
                            : insert_chain(e, &c, raw, name, e->g->n_node);
}

/* Other numbers in a tensor, as many as it has. */
static hone_status put_numbers(struct hn_modify *e, const char *name, const struct hn_tensor *v)
{
    Onnx__TensorProto *t = hn_md_constant(e, name), *fresh;
    int64_t n = t ? 1 : 0;
    for (size_t i = 0; t && i < t->n_dims; i++) n *= t->dims[i];
    if (n != v->n)
        return hn_fail(e->err, HONE_E_USAGE, name,
                       "rescale-output: found %lld numbers, wanted %lld", (long long)n,
                       (long long)v->n);
    struct hn_tensor as = *v;
    as.rank = (int)t->n_dims;
    if (as.rank > HN_MAX_RANK)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name, "rescale-output: %d dimensions", as.rank);
    for (int i = 0; i < as.rank; i++) as.dims[i] = t->dims[i];
    fresh = hn_md_tensor(e, name, (enum hn_dtype)t->data_type, &as);
    if (!fresh) return hn_md_nomem(e);
    *t = *fresh;
    return HONE_OK;
}

hone_status hn_edit_rescale_output(struct hn_modify *e)
{
    if (e->line->n_values != 2)
        return hn_fail(e->err, HONE_E_USAGE, e->words[1],
                       "rescale-output: %zu arrays came with the line, wanted 2",
                       e->line->n_values);
    HN_TRY(put_numbers(e, e->words[1], &e->line->values[0]));
    return put_numbers(e, e->words[2], &e->line->values[1]);
}
