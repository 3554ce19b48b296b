/* SPDX-License-Identifier: MIT
 *
 * Activations: see activation.h. Those without an operator in the model's opset are written as the nodes that exporters
 * write, which the import recognises again. */
#include "onnx/activation.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

/* One node of a form. An input is 'x' (what the activation takes), a digit (the output of that node), or 'c' (the number). */
struct piece {
    const char *op, *in;
    double number;
};
enum { MOST_PIECES = 5 };
struct form {
    const char *word, *op;
    int opset; /* from which the operator is there; 0: never */
    struct piece pieces[MOST_PIECES];
    int n, least; /* pieces, and the opset they need */
};

static const double SQRT2 = 1.4142135623730951;

static const struct form forms[] = {
    { "relu", "Relu", 1, { { 0 } }, 0, 0 },
    { "leaky_relu", "LeakyRelu", 1, { { 0 } }, 0, 0 },
    { "elu", "Elu", 1, { { 0 } }, 0, 0 },
    { "selu", "Selu", 1, { { 0 } }, 0, 0 },
    { "gelu",
      "Gelu",
      20,
      { { "Div", "xc", SQRT2 },
        { "Erf", "0", 0 },
        { "Add", "1c", 1 },
        { "Mul", "x2", 0 },
        { "Mul", "3c", 0.5 } },
      5,
      9 },
    { "silu", "Swish", 24, { { "Sigmoid", "x", 0 }, { "Mul", "x0", 0 } }, 2, 1 },
    { "mish",
      "Mish",
      18,
      { { "Softplus", "x", 0 }, { "Tanh", "0", 0 }, { "Mul", "x1", 0 } },
      3,
      1 },
    { "tanh", "Tanh", 1, { { 0 } }, 0, 0 },
    { "sigmoid", "Sigmoid", 1, { { 0 } }, 0, 0 },
    { "softplus", "Softplus", 1, { { 0 } }, 0, 0 },
    { "softsign", "Softsign", 1, { { 0 } }, 0, 0 },
};
enum { N_FORMS = sizeof forms / sizeof *forms };

const char *const hn_activation_words[] = { "relu",     "leaky_relu", "elu",  "selu",    "gelu",
                                            "silu",     "mish",       "tanh", "sigmoid", "softplus",
                                            "softsign", "linear",     NULL };

static const struct form *find(const char *word)
{
    for (int i = 0; i < N_FORMS; i++)
        if (strcmp(forms[i].word, word) == 0) return &forms[i];
    return NULL;
}

int hn_activation_known(const char *word)
{
    const char *const *w = hn_activation_words;
    while (*w && strcmp(*w, word) != 0) w++;
    return *w != NULL;
}

const char *hn_activation_op(const char *word)
{
    const struct form *f = find(word);
    return f ? f->op : "Identity";
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

const char *hn_activation_name(Onnx__NodeProto *const *nodes, size_t n)
{
    if (n == 0) return "linear";
    for (int i = 0; i < N_FORMS; i++) {
        const struct form *f = &forms[i];
        if (n == 1 && hn_md_is(nodes[0], f->op)) {
            const Onnx__AttributeProto *a = hn_md_attr(nodes[0], "approximate");
            int tanh_form = a && a->s.len == 4 && memcmp(a->s.data, "tanh", 4) == 0;
            return tanh_form ? NULL : f->word;
        }
        size_t k = 0;
        while (k < n && f->n == (int)n && hn_md_is(nodes[k], f->pieces[k].op)) k++;
        if (k == n) return f->word;
    }
    return NULL;
}

int hn_activation_rectifies(Onnx__NodeProto *const *nodes, size_t n)
{
    static const char *const ops[] = {
        "Relu", "LeakyRelu", "ThresholdedRelu", "Clip",  "Elu",  "Celu",    "Selu",
        "Gelu", "Erf",       "HardSwish",       "Swish", "Mish", "Softplus"
    };
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
            if (hn_md_is(nodes[i], ops[k])) return 1;
    return n == 2 && hn_md_is(nodes[0], "Sigmoid") && hn_md_is(nodes[1], "Mul"); /* silu */
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static int insert(struct hn_modify *e, size_t at, const char *op, const char *name,
                  const char *const *in, const char *out)
{
    const char *unique = hn_md_unique_node(e, name);
    Onnx__NodeProto *n = hn_md_node(e, op, unique, in, (const char *const[]){ out, NULL });
    return n && hn_md_insert(e, &e->g->node, &e->g->n_node, at, n);
}

/* A number as an initializer; its name. */
static const char *number(struct hn_modify *e, const struct hn_activation_place *p, int i, double v)
{
    char *name = hn_md_text(e, "%s/number_%d", p->name, i);
    if (!name || !(name = hn_md_unique(e, name))) return NULL;
    return hn_md_add_initializer(e, hn_md_full(e, name, p->dtype, 0, NULL, v)) ? name : NULL;
}

static int write_piece(struct hn_modify *e, const struct hn_activation_place *p,
                       const struct form *f, int i, const char **out)
{
    const char *in[3] = { NULL };
    const struct piece *piece = &f->pieces[i];
    for (int k = 0; piece->in[k]; k++) {
        char c = piece->in[k];
        in[k] = c == 'x' ? p->in : c == 'c' ? number(e, p, i, piece->number) : out[c - '0'];
        if (!in[k]) return 0;
    }
    char *value = i + 1 == f->n ? hn_arena_strdup(e->arena, p->out)
                                : hn_md_text(e, "%s/%s_%d_output", p->name, piece->op, i);
    if (value && i + 1 < f->n) value = hn_md_unique(e, value);
    const char *name = hn_md_text(e, "%s/%s_%d", p->name, piece->op, i);
    out[i] = value;
    return value && name && insert(e, p->at + (size_t)i, piece->op, name, in, value);
}

hone_status hn_activation_write(struct hn_modify *e, const struct hn_activation_place *p)
{
    const struct form *f = find(p->word);
    const char *out[MOST_PIECES] = { NULL };
    if (!f) return hn_fail(e->err, HONE_E_INTERNAL, p->name, "'%s' is no activation", p->word);
    if (e->opset >= f->opset)
        return insert(e, p->at, f->op, p->name, (const char *const[]){ p->in, NULL }, p->out)
                   ? HONE_OK
                   : hn_md_nomem(e);
    if (e->opset < f->least)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, p->word, "needs opset %d, the model has %lld",
                       f->least, (long long)e->opset);
    for (int i = 0; i < f->n; i++)
        if (!write_piece(e, p, f, i, out)) return hn_md_nomem(e);
    return HONE_OK;
}
