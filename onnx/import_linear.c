/* SPDX-License-Identifier: MIT
 *
 * A linear model of ai.onnx.ml (onnx/linear.h) as ordinary nodes, named NODE/Gemm and so on, with its lists of floats as the
 * initializers NODE/coefficients and NODE/intercepts. As ONNX Runtime computes them:
 *
 *     z = Gemm(Cast(x), coefficients, intercepts)        scores: z, Softmax(z) or Sigmoid(z), class: the first largest of z
 *     two rows -w and w, two classes by one row          z and -z for it above
 *     but that and no transform                          scores: 1 - z and z */
#include "onnx/import.h"
#include "onnx/linear.h"
#include "ops/base/status.h"
#include <string.h>

/* The version whose meaning is meant, of "" and of ai.onnx.ml; and what one model takes in the graph, at most. */
enum { VERSION = 13, ML_VERSION = 2, BYTES = 16384 };

struct linear {
    struct hn_import *im;
    const struct hn_linear *l;
    struct hn_flat_node *to;
    size_t n, left;
    struct hn_names values, nodes; /* taken names */
    const char *prefix;
    int failed; /* memory ran out */
};

static hone_status nomem(const struct hn_import *im)
{
    return hn_nomem(im->err, "the linear models", im->flat.n * sizeof *im->flat.nodes);
}

static void *make(struct linear *b, size_t n, size_t size)
{
    void *p = hn_arena_alloc(&b->im->g->arena, n, size);
    if (!p) b->failed = 1;
    return p;
}

/* PREFIX/name, with a number where that is taken. */
static char *fresh(struct linear *b, struct hn_names *taken, const char *name)
{
    char *base = hn_arena_printf(&b->im->g->arena, "%s/%s", b->prefix, name), *s = base;
    int32_t *next = base ? hn_names_find(taken, base) : NULL;
    while (s && next && hn_names_find(taken, s))
        s = hn_arena_printf(&b->im->g->arena, "%s_%d", base, (int)(*next)++);
    if (!s || !hn_names_put(taken, s, 1)) b->failed = 1;
    return s;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* Type(in[0], in[1], in[2]) with one output, of that name or (NULL) of a new one; the output's name. */
static char *node(struct linear *b, const char *type, char *const *in, size_t n_in, char *out)
{
    Onnx__NodeProto *n = make(b, 1, sizeof *n);
    char **names = make(b, n_in + 2, sizeof *names);
    if (!n || !names) return NULL;
    onnx__node_proto__init(n);
    n->name = fresh(b, &b->nodes, type);
    n->op_type = hn_arena_strdup(&b->im->g->arena, type);
    n->domain = (char *)(uintptr_t)(strcmp(type, "LabelEncoder") ? "" : "ai.onnx.ml");
    n->input = names, n->n_input = n_in;
    n->output = names + n_in, n->n_output = 1;
    for (size_t i = 0; i < n_in; i++) names[i] = in[i];
    names[n_in] = out ? out : fresh(b, &b->values, type);
    if (!n->op_type || b->failed) return b->failed = 1, NULL;
    b->to[b->n++] =
        (struct hn_flat_node){ .node = n, .version = *n->domain ? ML_VERSION : VERSION };
    return names[n_in];
}

/* An attribute of the last node, to be given its value. */
static Onnx__AttributeProto *attribute(struct linear *b, const char *name,
                                       Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = make(b, 1, sizeof *a);
    Onnx__NodeProto *n = b->failed ? NULL : b->to[b->n - 1].node;
    Onnx__AttributeProto **list = n ? make(b, n->n_attribute + 1, sizeof *list) : NULL;
    if (!list) return NULL;
    onnx__attribute_proto__init(a);
    for (size_t i = 0; i < n->n_attribute; i++) list[i] = n->attribute[i];
    list[n->n_attribute++] = a;
    n->attribute = list;
    a->name = (char *)(uintptr_t)name;
    a->has_type = 1, a->type = type;
    return a;
}

static void whole(struct linear *b, const char *name, int64_t i)
{
    Onnx__AttributeProto *a = attribute(b, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a) a->has_i = 1, a->i = i;
}

/* Two columns as rows of two. */
static char *columns(struct linear *b, char *first, char *second, char *out)
{
    char *const in[] = { first, second };
    char *y = node(b, "Concat", in, 2, out);
    whole(b, "axis", 1);
    return y;
}

static char *opposite(struct linear *b, char *z) { return node(b, "Neg", &z, 1, NULL); }

static char *one_minus(struct linear *b, char *p)
{
    char *in[] = { node(b, "Constant", NULL, 0, NULL), p };
    Onnx__AttributeProto *a =
        attribute(b, "value_float", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a) a->has_f = 1, a->f = 1;
    return node(b, "Sub", in, 2, NULL);
}

static char *softmax(struct linear *b, char *z, char *out)
{
    char *y = node(b, "Softmax", &z, 1, out);
    whole(b, "axis", 1);
    return y;
}

/* ---- a model ----------------------------------------------------------------------------------------------------- */

static char *weight(struct linear *b, int32_t floats)
{
    struct hn_import *im = b->im;
    const int32_t id = (int32_t)im->m->scan.n_tensors + floats;
    char *name = fresh(b, &b->values, im->m->tensors[id].name);
    im->weights[im->n_weights++] = (struct hn_weight){ name, id };
    return name;
}

static char *gemm(struct linear *b, char *out)
{
    char *in[] = { node(b, "Cast", b->l->node->input, 1, NULL), NULL, NULL };
    whole(b, "to", HN_F32);
    in[1] = weight(b, b->l->coefficients);
    if (b->l->intercepts >= 0) in[2] = weight(b, b->l->intercepts);
    char *z = node(b, "Gemm", in, in[2] ? 3 : 2, out);
    whole(b, "transB", 1);
    return z;
}

/* What the scores are, to be called `out`; both: z, or -z and z. */
static void scores(struct linear *b, char *z, char *both, char *out)
{
    const struct hn_linear *l = b->l;
    const int two = l->classifier && l->rows == 1;
    if (two && !l->mirrored && l->post == HN_LINEAR_NONE) {
        (void)columns(b, one_minus(b, z), z, out);
    } else if (l->post == HN_LINEAR_SOFTMAX) {
        (void)softmax(b, both, out);
    } else {
        (void)node(b, l->post == HN_LINEAR_LOGISTIC ? "Sigmoid" : "Identity", &both, 1, out);
    }
}

/* The label of the largest of `both`, the first of equals. */
static void label(struct linear *b, char *both, char *out)
{
    const Onnx__AttributeProto *of = b->l->labels;
    const size_t n = of->n_strings ? of->n_strings : of->n_ints;
    char *at = node(b, "ArgMax", &both, 1, NULL);
    whole(b, "axis", 1);
    whole(b, "keepdims", 0);
    (void)node(b, "LabelEncoder", &at, 1, out);
    Onnx__AttributeProto *keys = attribute(b, "keys_int64s",
                                           ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS),
                         *values = attribute(b, of->n_strings ? "values_strings" : "values_int64s",
                                             of->type);
    int64_t *places = make(b, n, sizeof *places);
    if (b->failed) return;
    for (size_t i = 0; i < n; i++) places[i] = (int64_t)i;
    keys->ints = places, keys->n_ints = n;
    values->type = of->n_strings ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
                                 : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    values->ints = of->ints, values->n_ints = of->n_ints;
    values->strings = of->strings, values->n_strings = of->n_strings;
}

static hone_status say_mirrored(const struct linear *b)
{
    if (!b->l->mirrored) return HONE_OK;
    hone_status st =
        hn_graph_issue(b->im->g, HN_NOTE, -1, HONE_OK, NULL,
                       "'%s': its two rows of coefficients are one with either sign: it learns "
                       "as one, and both are written",
                       b->prefix);
    return st == HONE_OK ? st : nomem(b->im);
}

/* In place of the node, which is number i of the graph. */
static hone_status take_apart(struct linear *b, size_t i)
{
    const Onnx__NodeProto *n = b->l->node;
    char *out = b->l->classifier ? n->n_output > 1 ? n->output[1] : NULL : n->output[0];
    if (b->left < BYTES)
        return hn_fail(b->im->err, HONE_E_BUDGET, n->name,
                       "%zu linear models take more memory than the file's %zu bytes justify",
                       b->im->m->linears->n, b->im->m->n);
    b->left -= BYTES;
    b->prefix =
        n->name && *n->name ? n->name : hn_arena_printf(&b->im->g->arena, "%s#%zu", n->op_type, i);
    if (!b->prefix) return nomem(b->im);
    const int two = b->l->classifier && b->l->rows == 1, scored = out && *out;
    const int plain = scored && !two && b->l->post == HN_LINEAR_NONE;
    char *z = gemm(b, plain ? out : NULL), *both = z;
    if (two) both = columns(b, opposite(b, z), z, NULL);
    if (scored && !plain) scores(b, z, both, out);
    if (b->l->classifier && *n->output[0]) label(b, both, n->output[0]);
    return b->failed ? nomem(b->im) : say_mirrored(b);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void take(struct linear *b, struct hn_names *t, const char *name)
{
    if (name && *name && !hn_names_put(t, name, 1)) b->failed = 1;
}

static hone_status take_names(struct linear *b)
{
    const Onnx__GraphProto *g = b->im->model->graph;
    for (size_t i = 0; i < g->n_input; i++) take(b, &b->values, g->input[i]->name);
    for (size_t i = 0; i < g->n_initializer; i++) take(b, &b->values, g->initializer[i]->name);
    for (size_t i = 0; i < b->im->flat.n; i++) {
        const Onnx__NodeProto *n = b->im->flat.nodes[i].node;
        take(b, &b->nodes, n->name);
        for (size_t k = 0; k < n->n_input; k++) take(b, &b->values, n->input[k]);
        for (size_t k = 0; k < n->n_output; k++) take(b, &b->values, n->output[k]);
    }
    return b->failed ? nomem(b->im) : HONE_OK;
}

enum { MOST_NODES = 12 }; /* that a model becomes */

static hone_status replace(struct linear *b)
{
    struct hn_expanded *flat = &b->im->flat;
    const struct hn_linears *all = b->im->m->linears;
    HN_TRY(take_names(b));
    for (size_t i = 0, done = 0; i < flat->n; i++) {
        const int mine = done < all->n && flat->nodes[i].node == all->v[done].node;
        b->l = mine ? &all->v[done++] : NULL;
        if (mine && !b->l->why) {
            HN_TRY(take_apart(b, i));
            continue;
        }
        b->to[b->n] = flat->nodes[i];
        if (mine) b->to[b->n].why = b->l->why;
        b->n++;
    }
    hn_free(flat->mem, flat->nodes);
    flat->nodes = b->to, flat->n = flat->cap = b->n;
    b->to = NULL;
    return HONE_OK;
}

hone_status hn_import_linears(struct hn_import *im)
{
    const struct hn_linears *all = im->m->linears;
    struct linear b = { .im = im, .left = 4 * hn_scan_budget(im->m->n) };
    if (!all->n) return HONE_OK;
    b.to = hn_calloc(im->flat.mem, im->flat.n + MOST_NODES * all->n, sizeof *b.to);
    im->weights = hn_arena_alloc(&im->arena, all->n_floats + 1, sizeof *im->weights);
    hn_names_init(&b.values, im->m->mem);
    hn_names_init(&b.nodes, im->m->mem);
    hone_status st = b.to && im->weights ? replace(&b) : nomem(im);
    hn_free(im->flat.mem, b.to);
    hn_names_free(&b.values);
    hn_names_free(&b.nodes);
    return st;
}
