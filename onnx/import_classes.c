/* SPDX-License-Identifier: MIT
 *
 * The model's own list of classes, which decides what class number 0, 1, … of the training data means: ZipMap's labels,
 * the table that ArrayFeatureExtractor picks from, those of a linear classifier, else the metadata entry that an earlier training left. */
#include "onnx/import.h"
#include "onnx/linear.h"
#include "ops/base/status.h"
#include <inttypes.h>
#include <string.h>

static hone_status nomem(const struct hn_import *im)
{
    return hn_nomem(im->err, "the list of classes", 0);
}

static const struct hn_attr *attr(const struct hn_node *n, const char *name)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}

static void set(struct hn_import *im, const char *const *names, size_t n, int are_int)
{
    im->g->classes = (struct hn_class_list){ names, n, are_int };
}

static hone_status set_texts(struct hn_import *im, const char *const *texts, size_t n)
{
    const char **list = hn_arena_alloc(&im->g->arena, n + 1, sizeof *list);
    if (!list) return nomem(im);
    for (size_t i = 0; i < n; i++)
        if (!(list[i] = hn_arena_strdup(&im->g->arena, texts[i]))) return nomem(im);
    set(im, list, n, 0);
    return HONE_OK;
}

static hone_status set_ints(struct hn_import *im, int64_t (*at)(const void *from, size_t i),
                            const void *from, size_t n)
{
    const char **list = hn_arena_alloc(&im->g->arena, n + 1, sizeof *list);
    if (!list) return nomem(im);
    for (size_t i = 0; i < n; i++)
        if (!(list[i] = hn_arena_printf(&im->g->arena, "%" PRId64, at(from, i)))) return nomem(im);
    set(im, list, n, 1);
    return HONE_OK;
}

static int64_t int_of_attr(const void *from, size_t i)
{
    return ((const struct hn_attr *)from)->ints[i];
}
static int64_t int_at(const void *from, size_t i) { return ((const int64_t *)from)[i]; }
static int64_t int_of_tensor(const void *from, size_t i) { return hn_tensor_i64(from, (int64_t)i); }

static hone_status from_zipmap(struct hn_import *im, const struct hn_node *n)
{
    const struct hn_attr *ints = attr(n, "classlabels_int64s"),
                         *texts = attr(n, "classlabels_strings");
    if (texts && texts->n && texts->strings) return set_texts(im, texts->strings, texts->n);
    if (ints && ints->n && ints->ints) return set_ints(im, int_of_attr, ints, ints->n);
    return HONE_OK;
}

/* ArrayFeatureExtractor(classes, ArgMax(…)): the classes are an initializer. */
static hone_status from_extractor(struct hn_import *im, const struct hn_node *n)
{
    if (n->n_in < 2 || n->in[0] < 0 || n->in[1] < 0) return HONE_OK;
    const struct hn_tensor *t = im->g->values[n->in[0]].constant;
    int32_t from = im->g->values[n->in[1]].producer;
    if (!t || t->n < 2 || from < 0 || strcmp(im->g->nodes[from].type, "ArgMax")) return HONE_OK;
    if (t->dtype == HN_STR) return set_texts(im, t->data, (size_t)t->n);
    if (t->dtype == HN_I32 || t->dtype == HN_I64)
        return set_ints(im, int_of_tensor, t, (size_t)t->n);
    return HONE_OK;
}

/* A linear classifier whose labels are used: not one of several that decide together. */
static hone_status from_linear(struct hn_import *im, const struct hn_linear *l)
{
    const Onnx__NodeProto *n = l->node;
    const int32_t at = l->why || !l->classifier ? -1 : hn_graph_find(im->g, n->output[0]);
    int used = at >= 0 && im->g->values[at].is_output;
    for (size_t i = 0; i < im->g->n_nodes && at >= 0 && !used; i++)
        for (int k = 0; k < im->g->nodes[i].n_in; k++) used |= im->g->nodes[i].in[k] == at;
    if (!used) return HONE_OK;
    if (!l->labels->n_strings) return set_ints(im, int_at, l->labels->ints, l->labels->n_ints);
    const struct hn_node *encoder = &im->g->nodes[im->g->values[at].producer];
    const struct hn_attr *texts = attr(encoder, "values_strings");
    return texts ? set_texts(im, texts->strings, texts->n) : HONE_OK;
}

/* As a program writes it: 007 is text. */
static int is_integer(const char *s)
{
    const int minus = *s == '-';
    s += minus;
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 19 && s[n] == 0 && (*s != '0' || (n == 1 && !minus));
}

/* One class per line; "\\" and "\n" stand for a backslash and a line feed. */
hone_status hn_classes_read(struct hn_arena *a, const char *value, struct hn_class_list *found,
                            hone_error *err)
{
    size_t n = 1, k = 0;
    for (const char *c = value; *c; c++) n += *c == '\n';
    const char **list = hn_arena_alloc(a, n + 1, sizeof *list);
    char *copy = hn_arena_strdup(a, value), *to = copy;
    if (!list || !copy) return hn_nomem(err, "the list of classes", n * sizeof *list);
    int ints = 1;
    list[k++] = copy;
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            *to++ = 0;
            list[k++] = to;
        } else if (*c == '\\' && (c[1] == 'n' || c[1] == '\\')) {
            *to++ = *++c == 'n' ? '\n' : '\\';
        } else {
            *to++ = *c;
        }
    }
    *to = 0;
    for (size_t i = 0; i < n; i++) ints &= is_integer(list[i]);
    *found = (struct hn_class_list){ list, n, ints };
    return HONE_OK;
}

/* The lists that an earlier training of several outputs left, one for each. */
static hone_status outputs_own(struct hn_import *im)
{
    struct hn_graph *g = im->g;
    for (size_t i = 0; i < g->n_outputs; i++) {
        const char *key =
            hn_arena_printf(&g->arena, HN_META_CLASSES ".%s", g->values[g->outputs[i]].name);
        const char *value = key ? hn_onnx_meta(im->m, key) : NULL;
        if (!key) return nomem(im);
        if (!value || !*value) continue;
        if (!g->output_classes)
            g->output_classes = hn_arena_alloc(&g->arena, g->n_outputs, sizeof *g->output_classes);
        if (!g->output_classes) return nomem(im);
        HN_TRY(hn_classes_read(&g->arena, value, &g->output_classes[i], im->err));
    }
    return HONE_OK;
}

hone_status hn_import_classes(struct hn_import *im)
{
    struct hn_graph *g = im->g;
    HN_TRY(outputs_own(im));
    for (size_t i = 0; i < g->n_nodes && !g->classes.n; i++)
        if (strcmp(g->nodes[i].type, "ZipMap") == 0) HN_TRY(from_zipmap(im, &g->nodes[i]));
    for (size_t i = 0; i < g->n_nodes && !g->classes.n; i++)
        if (strcmp(g->nodes[i].type, "ArrayFeatureExtractor") == 0)
            HN_TRY(from_extractor(im, &g->nodes[i]));
    for (size_t i = 0; i < im->m->linears->n && !g->classes.n; i++)
        HN_TRY(from_linear(im, &im->m->linears->v[i]));
    const char *value = hn_onnx_meta(im->m, HN_META_CLASSES);
    if (g->classes.n || !value || !*value) return HONE_OK;
    return hn_classes_read(&g->arena, value, &g->classes, im->err);
}
