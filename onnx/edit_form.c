/* SPDX-License-Identifier: MIT
 *
 * Edits that change the form and not the function: tied constants apart, training nodes to inference, a fixed batch to a
 * symbol, metadata keys. */
#include "onnx/edit_list.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <string.h>

static Onnx__TensorProto *copy_as(const struct hn_modify *e, const Onnx__TensorProto *t, char *name)
{
    Onnx__TensorProto *c = hn_arena_alloc(e->arena, 1, sizeof *c);
    if (!c || !name) return NULL;
    *c = *t; /* the lists are shared: packing only reads */
    c->name = name;
    return c;
}

/* An Identity of a constant becomes a constant of its own. */
static hone_status untie_alias(struct hn_modify *e, char *name, char *as)
{
    size_t at;
    const Onnx__NodeProto *n = hn_md_producer(e, name, &at);
    const Onnx__TensorProto *root =
        n && hn_md_is(n, "Identity") && n->n_input == 1 ? hn_md_root(e, n->input[0]) : NULL;
    if (!root)
        return hn_fail(e->err, HONE_E_USAGE, name,
                       "untie: this is not an Identity of an initializer or Constant");
    if (hn_md_is_output(e, name))
        return hn_fail(e->err, HONE_E_UNSUPPORTED, name, "untie: it is an output of the graph");
    Onnx__TensorProto *c = copy_as(e, root, as ? as : name);
    char *source = n->input[0];
    hn_md_remove(&e->g->node, &e->g->n_node, at);
    if (as) hn_md_rewire(e, name, as, NULL);
    if (!hn_md_add_initializer(e, c)) return hn_md_nomem(e);
    hn_md_drop_unused(e, source);
    return HONE_OK;
}

/* A Cast of its own, of a constant of its own; what it gives is *value. */
static hone_status copy_cast(struct hn_modify *e, const Onnx__NodeProto *cast,
                             const Onnx__TensorProto *t, char *as, char **to)
{
    size_t at;
    char *fresh = as ? as : hn_md_unique(e, cast->input[0]),
         *value = hn_md_unique(e, cast->output[0]);
    const char *label = hn_md_unique_node(e, cast->name ? cast->name : "");
    if (!fresh || !value || !label || !hn_md_add_initializer(e, copy_as(e, t, fresh)))
        return hn_md_nomem(e);
    Onnx__NodeProto *own = hn_md_node(e, "Cast", label, (const char *const[]){ fresh, NULL },
                                      (const char *const[]){ value, NULL });
    if (!own) return hn_md_nomem(e);
    own->attribute = cast->attribute; /* shared: packing only reads */
    own->n_attribute = cast->n_attribute;
    *to = value;
    (void)hn_md_producer(e, cast->output[0], &at);
    return hn_md_insert(e, &e->g->node, &e->g->n_node, at + 1, own) ? HONE_OK : hn_md_nomem(e);
}

/* Where an input's name stands. */
static hone_status find_use(const struct hn_modify *e, const char *name, const char *node,
                            const char *input, char ***use)
{
    size_t at;
    int64_t k = 0;
    Onnx__NodeProto *n = hn_md_node_named(e, node, &at);
    if (!n)
        return hn_fail(e->err, HONE_E_USAGE, node,
                       "untie: no node, or more than one, has this name");
    if (!hn_parse_i64(input, strlen(input), &k) || k < 0 || (size_t)k >= n->n_input ||
        strcmp(n->input[k], name) != 0)
        return hn_fail(e->err, HONE_E_USAGE, node,
                       "untie: input %.20s of this node is not '%.100s'", input, name);
    *use = &n->input[k];
    return HONE_OK;
}

/* uses: n_uses pairs of NODE and INPUT, which are found before anything moves. */
static hone_status untie_uses(struct hn_modify *e, char *name, char **uses, size_t n_uses, char *as)
{
    const Onnx__TensorProto *t = hn_md_constant(e, name);
    const Onnx__NodeProto *cast = t ? NULL : hn_md_producer(e, name, NULL);
    if (cast && hn_md_is(cast, "Cast") && cast->n_input == 1) t = hn_md_root(e, cast->input[0]);
    if (!t)
        return hn_fail(e->err, HONE_E_USAGE, name,
                       "untie: no initializer or Constant has this name, nor a Cast of one");
    char ***use = hn_arena_alloc(e->arena, n_uses, sizeof *use), *fresh = as;
    if (!use) return hn_md_nomem(e);
    for (size_t i = 0; i < n_uses; i++)
        HN_TRY(find_use(e, name, uses[2 * i], uses[2 * i + 1], &use[i]));
    if (cast) {
        HN_TRY(copy_cast(e, cast, t, as, &fresh));
    } else {
        if (!fresh) fresh = hn_md_unique(e, name);
        if (!fresh || !hn_md_add_initializer(e, copy_as(e, t, fresh))) return hn_md_nomem(e);
    }
    for (size_t i = 0; i < n_uses; i++) *use[i] = fresh;
    return HONE_OK;
}

hone_status hn_edit_untie(struct hn_modify *e)
{
    int n = e->n_words;
    char *as = NULL;
    size_t at;
    if (n >= 4 && strcmp(e->words[n - 2], "as") == 0) {
        as = e->words[n - 1];
        n -= 2;
    }
    if (n < 2 || n % 2)
        return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                       "wanted: untie NAME [NODE INPUT...] [as NEW]");
    if (n > 2 || !hn_md_producer(e, e->words[1], &at)) HN_TRY(hn_md_inline(e));
    if (as) {
        char *free_name = hn_md_unique(e, as);
        if (!free_name) return hn_md_nomem(e);
        if (strcmp(free_name, as))
            return hn_fail(e->err, HONE_E_USAGE, as, "untie: the name is taken");
    }
    return n == 2 ? untie_alias(e, e->words[1], as)
                  : untie_uses(e, e->words[1], e->words + 2, (size_t)n / 2 - 1, as);
}

/* ---- training form to inference form ---------------------------------------------------------------------------------- */

static hone_status batchnorm_to_inference(struct hn_modify *e, Onnx__NodeProto *n)
{
    for (size_t k = 1; k < n->n_output; k++)
        if (*n->output[k] && hn_md_uses(e, n->output[k]))
            return hn_fail(
                e->err, HONE_E_UNSUPPORTED, n->name ? n->name : n->output[0],
                "inference: the statistics output '%.100s' of this BatchNormalization is used",
                n->output[k]);
    if (n->n_output > 1) n->n_output = 1;
    Onnx__AttributeProto *mode = hn_md_attr(n, "training_mode");
    if (mode && mode->i) mode->i = 0;
    if (e->opset < 7 && !hn_md_attr_int(e, n, "is_test", 1)) return hn_md_nomem(e);
    return HONE_OK;
}

/* Dropout: attribute is_test (to opset 6), nothing (7 to 11), an input (from 12) that counts when it is a true constant. */
static hone_status dropout_to_inference(struct hn_modify *e, Onnx__NodeProto *n)
{
    if (e->opset < 7) return hn_md_attr_int(e, n, "is_test", 1) ? HONE_OK : hn_md_nomem(e);
    if (e->opset < 12 || n->n_input < 3 || !*n->input[2] || !hn_md_constant(e, n->input[2]))
        return HONE_OK;
    char *mode = n->input[2];
    n->n_input = *n->input[1] ? 2 : 1;
    hn_md_drop_unused(e, mode);
    return HONE_OK;
}

hone_status hn_edit_inference(struct hn_modify *e)
{
    size_t n = e->g->n_node;
    Onnx__NodeProto **nodes = hn_arena_alloc(e->arena, n + 1, sizeof *nodes);
    if (!nodes) return hn_md_nomem(e);
    if (n) memcpy(nodes, e->g->node, n * sizeof *nodes); /* unused Constants go on the way */
    for (size_t i = 0; i < n; i++) {
        if (hn_md_is(nodes[i], "BatchNormalization")) HN_TRY(batchnorm_to_inference(e, nodes[i]));
        if (hn_md_is(nodes[i], "Dropout")) HN_TRY(dropout_to_inference(e, nodes[i]));
    }
    return HONE_OK;
}

/* ---- batch ------------------------------------------------------------------------------------------------------------- */

/* NULL where there is no leading size, also for rank 1: a vector is one row, unless (lists) it is an index for each of several. */
static Onnx__TensorShapeProto__Dimension *leading(const Onnx__ValueInfoProto *v, int lists)
{
    const Onnx__TypeProto *t = v->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape)
        return NULL;
    const int is_int = t->tensor_type->elem_type == HN_I64 || t->tensor_type->elem_type == HN_I32;
    const size_t n = t->tensor_type->shape->n_dim;
    return n > 1 || (n == 1 && lists && is_int) ? t->tensor_type->shape->dim[0] : NULL;
}

static int is_fixed(const Onnx__TensorShapeProto__Dimension *d, int64_t batch)
{
    return d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
           (batch < 0 || d->dim_value == batch);
}

static int has_lists(const struct hn_modify *e)
{
    return e->n_words > 2 && !strcmp(e->words[2], "indices");
}

static void make_symbol(const struct hn_modify *e, Onnx__ValueInfoProto **list, size_t n,
                        int64_t batch, char *name)
{
    const int lists = list == e->g->input && has_lists(e);
    for (size_t i = 0; i < n; i++) {
        Onnx__TensorShapeProto__Dimension *d = leading(list[i], lists);
        if (!is_fixed(d, batch) || (list[i]->name && hn_md_constant(e, list[i]->name))) continue;
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        d->dim_param = name;
    }
}

static int allows_zero(const Onnx__NodeProto *n)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, "allowzero"))
            return n->attribute[i]->i != 0;
    return 0;
}

/* Reshape(x, [batch, a, b]) → Reshape(x, [-1, a, b]); a shape with a -1 of its own takes over the input's first dim (0)
 * instead. Whether that dim follows the batch the import judges: the dims behind would not fit otherwise. */
static hone_status free_reshape(struct hn_modify *e, Onnx__NodeProto *n, int64_t batch)
{
    if (!hn_md_is(n, "Reshape") || n->n_input != 2 || hn_md_constant(e, n->input[0]))
        return HONE_OK;
    const Onnx__TensorProto *t = hn_md_constant(e, n->input[1]);
    if (!t || t->data_type != HN_I64 || t->n_dims != 1 || t->dims[0] < 1 ||
        t->dims[0] > HN_MAX_RANK)
        return HONE_OK;
    int64_t v[HN_MAX_RANK];
    size_t k = (size_t)t->dims[0];
    if (t->n_int64_data == k)
        memcpy(v, t->int64_data, k * sizeof *v);
    else if (t->has_raw_data && t->raw_data.len == k * sizeof *v)
        memcpy(v, t->raw_data.data, k * sizeof *v);
    else
        return HONE_OK;
    if (v[0] != batch) return HONE_OK;
    v[0] = -1;
    for (size_t i = 1; i < k; i++)
        if (v[i] == -1) v[0] = 0;
    if (v[0] == 0 && allows_zero(n)) return HONE_OK;
    struct hn_tensor shape = { HN_I64, 1, { (int64_t)k }, (int64_t)k, v };
    char *old = n->input[1], *name = hn_md_text(e, "%s_free", old);
    if (!name || !(name = hn_md_unique(e, name))) return hn_md_nomem(e);
    if (!hn_md_add_initializer(e, hn_md_tensor(e, name, HN_I64, &shape))) return hn_md_nomem(e);
    n->input[1] = name;
    hn_md_drop_unused(e, old);
    return HONE_OK;
}

hone_status hn_edit_batch_symbolic(struct hn_modify *e)
{
    Onnx__GraphProto *g = e->g;
    char *name = e->n_words > 1 ? e->words[1] : hn_md_text(e, "N");
    int64_t batch = -1;
    if (!name) return hn_md_nomem(e);
    for (size_t i = 0; i < g->n_input && batch < 0; i++) {
        const Onnx__TensorShapeProto__Dimension *d = leading(g->input[i], has_lists(e));
        if (is_fixed(d, -1) && !(g->input[i]->name && hn_md_initializer(e, g->input[i]->name)))
            batch = d->dim_value;
    }
    if (batch < 0) return HONE_OK; /* there is no fixed one */
    size_t n = g->n_node;
    Onnx__NodeProto **nodes = hn_arena_alloc(e->arena, n + 1, sizeof *nodes);
    if (!nodes) return hn_md_nomem(e);
    if (n) memcpy(nodes, g->node, n * sizeof *nodes);
    make_symbol(e, g->input, g->n_input, batch, name);
    make_symbol(e, g->output, g->n_output, batch, name);
    make_symbol(e, g->value_info, g->n_value_info, batch, name);
    for (size_t i = 0; i < n; i++) HN_TRY(free_reshape(e, nodes[i], batch));
    return HONE_OK;
}

hone_status hn_edit_rename_metadata(struct hn_modify *e)
{
    size_t found = 0;
    for (size_t i = 0; i < e->model->n_metadata_props; i++) {
        Onnx__StringStringEntryProto *p = e->model->metadata_props[i];
        if (p->key && strcmp(p->key, e->words[2]) == 0)
            return hn_fail(e->err, HONE_E_USAGE, e->words[2],
                           "rename-metadata: the key is there already");
        if (!p->key || strcmp(p->key, e->words[1])) continue;
        p->key = e->words[2];
        found++;
    }
    return found ? HONE_OK
                 : hn_fail(e->err, HONE_E_USAGE, e->words[1],
                           "rename-metadata: there is no such key");
}
