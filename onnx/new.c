/* SPDX-License-Identifier: MIT
 *
 * Reading the line and writing the model, layer by layer, in the order that the forward pass runs. */
#include "onnx/new.h"
#include "onnx/modify.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *word, *op;
} activations[] = {
    { "relu", "Relu" },         { "leakyrelu", "LeakyRelu" }, { "leaky_relu", "LeakyRelu" },
    { "elu", "Elu" },           { "selu", "Selu" },           { "tanh", "Tanh" },
    { "softplus", "Softplus" }, { "gelu", "Gelu" },           { "sigmoid", "Sigmoid" },
    { "linear", NULL },
};
static const char *const words[] = { "relu",      "leaky_relu", "elu",     "selu",       "tanh",
                                     "softplus",  "gelu",       "linear",  "softmax",    "sigmoid",
                                     "batchnorm", "layernorm",  "dropout", "activation", NULL };

/* ---- the line --------------------------------------------------------------------------------------------------------- */

static hone_status parse_widths(struct hn_new_spec *s, const char *word, size_t n, hone_error *err)
{
    s->n_widths = 0;
    for (size_t at = 0; at <= n;) {
        size_t k = 0;
        int64_t width = 0;
        while (at + k < n && word[at + k] != '-') k++;
        if (s->n_widths == HN_NEW_WIDTHS)
            return hn_fail(err, HONE_E_USAGE, word, "more than %d layers", HN_NEW_WIDTHS - 1);
        if (!hn_parse_i64(word + at, k, &width) || width < 1 || width > INT32_MAX)
            return hn_fail(err, HONE_E_USAGE, word,
                           "layer width '%.*s': wanted IN-HIDDEN-...-OUT like 784-128-10",
                           (int)(k < 40 ? k : 40), word + at);
        s->widths[s->n_widths++] = width;
        at += k + 1;
    }
    if (s->n_widths < 2)
        return hn_fail(err, HONE_E_USAGE, word,
                       "one width only: wanted IN-HIDDEN-...-OUT like 784-128-10");
    return HONE_OK;
}

static int set_activation(struct hn_new_spec *s, const char *word)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(activations[i].word, word)) continue;
        s->activation = activations[i].op;
        return 1;
    }
    return 0;
}

static hone_status parse_word(struct hn_new_spec *s, const char *word, hone_error *err)
{
    if (strcmp(word, "softmax") == 0)
        s->tail = "Softmax";
    else if (strcmp(word, "sigmoid") == 0)
        s->tail = "Sigmoid";
    else if (strcmp(word, "batchnorm") == 0)
        s->norm = HN_NEW_BATCHNORM;
    else if (strcmp(word, "layernorm") == 0)
        s->norm = HN_NEW_LAYERNORM;
    else if (strncmp(word, "dropout=", 8) == 0) {
        if (!hn_parse_double(word + 8, strlen(word + 8), &s->dropout) ||
            !(s->dropout >= 0 && s->dropout < 1))
            return hn_fail(err, HONE_E_USAGE, word, "the rate must be a number from 0 to below 1");
    } else if (!set_activation(s, strncmp(word, "activation=", 11) == 0 ? word + 11 : word)) {
        const char *close = hn_suggest(word, words);
        hone_status st = hn_fail(err, HONE_E_USAGE, word,
                                 "wanted an activation (relu, leaky_relu, elu, selu, tanh, "
                                 "softplus, gelu, linear), batchnorm, "
                                 "layernorm, dropout=RATE, softmax or sigmoid");
        return close ? hn_hint(err, st, "did you mean %s?", close) : st;
    }
    return HONE_OK;
}

hone_status hn_new_parse(struct hn_new_spec *s, const char *text, hone_error *err)
{
    char word[256];
    int n_words = 0;
    *s = (struct hn_new_spec){ .activation = "Relu" };
    for (;;) {
        text += strspn(text, " \t,");
        size_t n = strcspn(text, " \t,");
        if (!n) break;
        if (n >= sizeof word && n_words)
            return hn_fail(err, HONE_E_USAGE, text, "a word of %zu characters", n);
        if (n_words++ == 0) {
            HN_TRY(parse_widths(s, text, n, err));
        } else {
            memcpy(word, text, n);
            word[n] = 0;
            HN_TRY(parse_word(s, word, err));
        }
        text += n;
    }
    return n_words ? HONE_OK
                   : hn_fail(err, HONE_E_USAGE, "",
                             "an empty description: wanted widths like 784-128-10");
}

/* ---- the model ---------------------------------------------------------------------------------------------------------- */

struct making {
    struct hn_modify e;
    const struct hn_new_spec *s;
    const char *value; /* where the next node takes its input */
};

static Onnx__NodeProto *add_node(struct making *m, const char *op, const char *name,
                                 const char *const *in, const char *out)
{
    Onnx__NodeProto *n = hn_md_node(&m->e, op, name, in, (const char *const[]){ out, NULL });
    m->value = out;
    return n && hn_md_append(&m->e, &m->e.g->node, &m->e.g->n_node, n) ? n : NULL;
}

/* An initializer PREFIXi.part filled with v; its name, NULL when memory is out. */
static const char *add_full(struct making *m, const char *prefix, int i, const char *part, int rank,
                            const int64_t *dims, double v)
{
    const char *name = hn_md_text(&m->e, "%s%d.%s", prefix, i, part);
    return name && hn_md_add_initializer(&m->e, hn_md_full(&m->e, name, HN_F32, rank, dims, v))
               ? name
               : NULL;
}

static int add_dense(struct making *m, int i, const char *out)
{
    const int64_t dims[2] = { m->s->widths[i], m->s->widths[i - 1] };
    const char *w = add_full(m, "fc", i, "weight", 2, dims, 0),
               *b = add_full(m, "fc", i, "bias", 1, dims, 0);
    const char *name = hn_md_text(&m->e, "fc%d", i);
    if (!w || !b || !name || !out) return 0;
    Onnx__NodeProto *n =
        add_node(m, "Gemm", name, (const char *const[]){ m->value, w, b, NULL }, out);
    return n && hn_md_attr_float(&m->e, n, "alpha", 1) && hn_md_attr_float(&m->e, n, "beta", 1) &&
           hn_md_attr_int(&m->e, n, "transB", 1);
}

static int add_norm(struct making *m, int i)
{
    int batch = m->s->norm == HN_NEW_BATCHNORM;
    const int64_t *dims = &m->s->widths[i];
    const char *prefix = batch ? "bn" : "ln", *name = hn_md_text(&m->e, "%s%d", prefix, i);
    const char *out = hn_md_text(&m->e, "%s%d_out", prefix, i), *mean = NULL, *var = NULL;
    const char *scale = add_full(m, prefix, i, "weight", 1, dims, 1),
               *bias = add_full(m, prefix, i, "bias", 1, dims, 0);
    if (batch) {
        mean = add_full(m, prefix, i, "running_mean", 1, dims, 0);
        var = add_full(m, prefix, i, "running_var", 1, dims, 1);
    }
    if (!name || !out || !scale || !bias || (batch && (!mean || !var))) return 0;
    Onnx__NodeProto *n =
        add_node(m, batch ? "BatchNormalization" : "LayerNormalization", name,
                 (const char *const[]){ m->value, scale, bias, mean, var, NULL }, out);
    if (!n || !hn_md_attr_float(&m->e, n, "epsilon", 1e-5f)) return 0;
    if (!batch) return hn_md_attr_int(&m->e, n, "axis", -1);
    return hn_md_attr_float(&m->e, n, "momentum", 0.9f) &&
           hn_md_attr_int(&m->e, n, "training_mode", 0);
}

/* x → 0.5 · x · (1 + erf(x / √2)): the operator Gelu came with opset 20. */
static int add_gelu(struct making *m, int i)
{
    static const char *const ops[5] = { "Div", "Erf", "Add", "Mul", "Mul" };
    const double by[5] = { sqrt(2.0), 0, 1, 0, 0.5 };
    const char *x = m->value;
    for (int k = 0; k < 5; k++) {
        const char *constant = NULL, *name = hn_md_text(&m->e, "act%d_%d", i, k);
        const char *out =
            k < 4 ? hn_md_text(&m->e, "act%d_%d_out", i, k) : hn_md_text(&m->e, "act%d_out", i);
        if (k == 3)
            constant = x;
        else if (k != 1 && !(constant = add_full(m, "act", i,
                                                 k == 0   ? "sqrt2"
                                                 : k == 2 ? "one"
                                                          : "half",
                                                 0, NULL, by[k])))
            return 0;
        if (!name || !out ||
            !add_node(m, ops[k], name, (const char *const[]){ m->value, constant, NULL }, out))
            return 0;
    }
    return 1;
}

static int add_activation(struct making *m, int i)
{
    const char *op = m->s->activation, *name = hn_md_text(&m->e, "act%d", i),
               *out = hn_md_text(&m->e, "act%d_out", i);
    if (!op) return 1;
    if (strcmp(op, "Gelu") == 0) return add_gelu(m, i);
    return name && out &&
           add_node(m, op, name, (const char *const[]){ m->value, NULL }, out) != NULL;
}

static int add_dropout(struct making *m, int i)
{
    const char *name = hn_md_text(&m->e, "dropout%d", i),
               *out = hn_md_text(&m->e, "dropout%d_out", i);
    if (m->s->dropout == 0) return 1;
    const char *rate = add_full(m, "dropout", i, "ratio", 0, NULL, m->s->dropout);
    return rate && name && out &&
           add_node(m, "Dropout", name, (const char *const[]){ m->value, rate, NULL }, out) != NULL;
}

static int add_layers(struct making *m)
{
    const struct hn_new_spec *s = m->s;
    int last = s->n_widths - 1;
    m->value = "x";
    for (int i = 1; i < last; i++) {
        if (!add_dense(m, i, hn_md_text(&m->e, "fc%d_out", i))) return 0;
        if (s->norm != HN_NEW_PLAIN && !add_norm(m, i)) return 0;
        if (!add_activation(m, i) || !add_dropout(m, i)) return 0;
    }
    if (!add_dense(m, last, s->tail ? "logits" : "y")) return 0;
    if (!s->tail) return 1;
    Onnx__NodeProto *n = add_node(m, s->tail, "tail", (const char *const[]){ m->value, NULL }, "y");
    return n && (strcmp(s->tail, "Softmax") || hn_md_attr_int(&m->e, n, "axis", -1));
}

static int add_ends(struct making *m)
{
    Onnx__GraphProto *g = m->e.g;
    static const char *const symbols[2] = { "N", NULL };
    const int64_t in[2] = { -1, m->s->widths[0] },
                  out[2] = { -1, m->s->widths[m->s->n_widths - 1] };
    return hn_md_append(&m->e, &g->input, &g->n_input,
                        hn_md_info(&m->e, "x", HN_F32, 2, in, symbols)) &&
           hn_md_append(&m->e, &g->output, &g->n_output,
                        hn_md_info(&m->e, "y", HN_F32, 2, out, symbols));
}

static hone_status check_size(const struct hn_new_spec *s, hone_error *err)
{
    int64_t total = 0, n;
    for (int i = 1; i < s->n_widths; i++)
        if (!hn_mul_i64(s->widths[i], s->widths[i - 1], &n) || !hn_add_i64(total, n, &total) ||
            total > INT32_MAX / 4 - 65536)
            return hn_fail(err, HONE_E_BUDGET, "",
                           "the weights would take more than the 2 GiB that an ONNX file may have");
    return HONE_OK;
}

hone_status hn_new_model(struct hn_mem *mem, const struct hn_new_spec *spec, struct hn_buffer *out,
                         hone_error *err)
{
    struct hn_arena arena;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
    static char nothing[] = "", producer[] = "hone", version[] = HN_VERSION, name[] = "mlp";
    HN_TRY(check_size(spec, err));
    hn_arena_init(&arena, mem);
    struct making m = {
        .e = { .mem = mem, .arena = &arena, .model = &model, .g = &graph, .opset = 17, .err = err },
        .s = spec
    };
    model.has_ir_version = opset.has_version = 1;
    model.ir_version = 8;
    model.producer_name = producer;
    model.producer_version = version;
    model.graph = &graph;
    model.n_opset_import = 1;
    model.opset_import = &opsets;
    opset.domain = nothing;
    opset.version = 17;
    graph.name = name;
    hone_status st = add_layers(&m) && add_ends(&m) ? HONE_OK : hn_nomem(err, "the new model", 0);
    if (st == HONE_OK) st = hn_proto_pack(&model.base, &out->sink, err);
    hn_arena_clear(&arena);
    return st;
}
