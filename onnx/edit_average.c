/* SPDX-License-Identifier: MIT
 *
 * One value of several, as nodes. a_1 … a_n are the members' values:
 *
 *   mean      (a_1 + … + a_n) · 1/n
 *   softmax   a_i are logits; the result is the logarithm of the mean of their probabilities,
 *                 log (1/n sum_i softmax(a_i)) = m + log sum_i exp(l_i - m) - log n,   l_i = LogSoftmax(a_i), m = max_i l_i
 *             so that a Softmax, LogSoftmax or ArgMax behind it sees the mean of the probabilities
 *   sigmoid   a_i are logits of one class each; the result is the logit of the mean probability, log p - log (1 - p) with
 *             both logarithms as above from log sigmoid(a) = -Softplus(-a) and log (1 - sigmoid(a)) = -Softplus(a)
 *
 * The maximum is taken out so that nothing under- or overflows in single precision: a probability of 1e-60 stays one. */
#include "onnx/edit_ensemble.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

struct maker {
    struct hn_modify *e;
    const struct hn_average *a;
    const char *what; /* distinguishes the two halves of a sigmoid */
};

/* A node of op over `in` (n of them); its output is named after member (0: of all) and op, or is `to`. */
static char *put(const struct maker *k, const char *op, char *const *in, size_t n, size_t member,
                 char *to)
{
    const struct hn_average *a = k->a;
    struct hn_modify *e = k->e;
    const char **list = hn_arena_alloc(e->arena, n + 1, sizeof *list);
    char *label = member ? hn_md_text(e, "%s%zu/%s/%s%s", a->prefix, member, a->value, k->what, op)
                         : hn_md_text(e, "%s/%s/%s%s", a->prefix, a->value, k->what, op);
    if (!list || !label) return NULL;
    for (size_t i = 0; i < n; i++)
        if (!(list[i] = in[i])) return NULL;
    Onnx__NodeProto *node =
        hn_md_node(e, op, label, list, (const char *const[]){ to ? to : label, NULL });
    if (node && !strcmp(op, "LogSoftmax") && !hn_md_attr_int(e, node, "axis", a->softmax_axis))
        return NULL;
    return node && hn_md_append(e, &e->g->node, &e->g->n_node, node) ? node->output[0] : NULL;
}

static char *one(const struct maker *k, const char *op, char *in, size_t member)
{
    return put(k, op, &in, 1, member, NULL);
}

static char *two(const struct maker *k, const char *op, char *x, char *y, size_t member)
{
    return put(k, op, (char *[]){ x, y }, 2, member, NULL);
}

static char **list_of(const struct maker *k)
{
    return hn_arena_alloc(k->e->arena, k->a->n + 1, sizeof(char *));
}

/* log sum_i exp(l_i), called `to` where that is not NULL */
static char *log_sum_exp(const struct maker *k, char *const *l, char *to)
{
    size_t n = k->a->n;
    char **x = list_of(k), *m = put(k, "Max", l, n, 0, NULL);
    if (!x || !m) return NULL;
    for (size_t i = 0; i < n; i++) x[i] = one(k, "Exp", two(k, "Sub", l[i], m, i + 1), i + 1);
    char *in[] = { one(k, "Log", put(k, "Sum", x, n, 0, NULL), 0), m };
    return put(k, "Add", in, 2, 0, to);
}

/* The type that the graph declares for a value, HN_NONE where it declares none. */
static enum hn_dtype declared(const struct hn_modify *e, const char *name)
{
    struct {
        Onnx__ValueInfoProto **v;
        size_t n;
    } lists[] = { { e->g->output, e->g->n_output }, { e->g->value_info, e->g->n_value_info } };
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l].n; i++) {
            const Onnx__ValueInfoProto *v = lists[l].v[i];
            if (!v->name || strcmp(v->name, name) || !v->type ||
                v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
                !v->type->tensor_type->has_elem_type)
                continue;
            return (enum hn_dtype)v->type->tensor_type->elem_type;
        }
    return HN_NONE;
}

static char *number(const struct maker *k, const char *what, enum hn_dtype type, double v)
{
    char *name = hn_md_text(k->e, "%s/%s/%s", k->a->prefix, k->a->value, what);
    return name && hn_md_add_initializer(k->e, hn_md_full(k->e, name, type, 0, NULL, v)) ? name
                                                                                         : NULL;
}

static hone_status mean(const struct maker *k, enum hn_dtype type)
{
    const struct hn_average *a = k->a;
    if (!hn_dtype_is_float(type))
        return hn_fail(k->e->err, HONE_E_UNSUPPORTED, a->value,
                       "ensemble: wanted a value that is declared as float to take the mean of");
    char *in[] = { put(k, "Sum", a->from, a->n, 0, NULL), number(k, "share", type, 1.0 / a->n) };
    return put(k, "Mul", in, 2, 0, a->value) ? HONE_OK : hn_md_nomem(k->e);
}

/* Behind the value there is a Softmax, which does not see log n; an output of the graph shall be a logarithm of
 * probabilities. */
static hone_status softmax(const struct maker *k, enum hn_dtype type)
{
    const struct hn_average *a = k->a;
    char **l = list_of(k);
    for (size_t i = 0; l && i < a->n; i++) l[i] = one(k, "LogSoftmax", a->from[i], i + 1);
    int inner = !hn_dtype_is_float(type);
    char *sum = l ? log_sum_exp(k, l, inner ? a->value : NULL) : NULL;
    if (!sum) return hn_md_nomem(k->e);
    if (inner) return HONE_OK;
    char *in[] = { sum, number(k, "log_n", type, log((double)a->n)) };
    return put(k, "Sub", in, 2, 0, a->value) ? HONE_OK : hn_md_nomem(k->e);
}

static hone_status sigmoid(const struct maker *k)
{
    const struct hn_average *a = k->a;
    char *half[2];
    for (int no = 0; no < 2; no++) {
        struct maker h = { k->e, a, no ? "no/" : "yes/" };
        char **l = list_of(&h);
        for (size_t i = 0; l && i < a->n; i++) {
            struct maker inner = { k->e, a, no ? "no/in" : "yes/in" };
            char *x = no ? a->from[i] : one(&inner, "Neg", a->from[i], i + 1);
            l[i] = one(&h, "Neg", one(&h, "Softplus", x, i + 1), i + 1);
        }
        half[no] = l ? log_sum_exp(&h, l, NULL) : NULL;
    }
    return put(k, "Sub", half, 2, 0, a->value) ? HONE_OK : hn_md_nomem(k->e);
}

hone_status hn_edit_average(struct hn_modify *e, const struct hn_average *a)
{
    struct maker k = { e, a, "" };
    enum hn_dtype type = declared(e, a->value);
    if (!strcmp(a->kind, "mean")) return mean(&k, type);
    if (!strcmp(a->kind, "softmax")) return softmax(&k, type);
    if (!strcmp(a->kind, "sigmoid")) return sigmoid(&k);
    return hn_fail(e->err, HONE_E_USAGE, a->kind,
                   "ensemble: wanted mean, softmax or sigmoid in front of '%.80s'", a->value);
}
