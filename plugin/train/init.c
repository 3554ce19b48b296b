/* SPDX-License-Identifier: MIT
 *
 * Fresh weights: see init.h. */
#include "plugin/train/init.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

hone_status hn_init_parse(const char *text, enum hn_init *kind, double *std, hone_error *err)
{
    static const char *const names[] = { "keep", "fresh", "he", "xavier" };
    *std = 0;
    for (int i = 0; i < 4; i++) {
        *kind = (enum hn_init)i;
        if (strcmp(text, names[i]) == 0) return HONE_OK;
    }
    *kind = HN_INIT_NORMAL;
    if (strncmp(text, "normal=", 7) == 0 && hn_parse_double(text + 7, strlen(text + 7), std) &&
        isfinite(*std) && *std >= 0)
        return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, "init",
                   "found \"%s\", wanted keep, fresh, he, xavier or normal=STD with STD >= 0",
                   text);
}

static void set(void *w, size_t elem, size_t i, double v)
{
    if (elem == 4)
        ((float *)w)[i] = (float)v;
    else
        ((double *)w)[i] = v;
}

static void fill(const struct hn_param *p, void *w, size_t elem, double v)
{
    for (size_t i = 0; i < p->n; i++) set(w, elem, p->off + i, v);
}

static int rectifier(int32_t kind)
{
    switch (kind) {
    case HN_U_RELU:
    case HN_U_LEAKY_RELU:
    case HN_U_THRESHOLDED_RELU:
    case HN_U_CLIP: /* ReLU6 */
    case HN_U_ELU:
    case HN_U_CELU:
    case HN_U_SELU:
    case HN_U_GELU:
    case HN_U_GELU_TANH:
    case HN_U_SILU:
    case HN_U_HARD_SWISH:
    case HN_U_MISH:
    case HN_U_SOFTPLUS: return 1;
    default: return 0;
    }
}

struct draw {
    int normal;
    double width; /* standard deviation, or half the interval */
    const uint32_t *key;
    uint32_t stream;
};

static void draw_weights(const struct hn_param *p, const struct draw *d, void *w, size_t elem)
{
    for (size_t i = 0; i < p->n; i++) {
        if (hn_param_rests(p, i)) continue;
        double v = d->normal ? hn_rng_normal(d->key, d->stream, i)
                             : 2 * hn_rng_uniform(d->key, d->stream, i) - 1;
        set(w, elem, p->off + i, v * d->width);
    }
}

/* The parameter behind input i of an op, if it is one that starts anew; NULL otherwise. */
static const struct hn_param *param_of(const struct hn_program *prog, const struct hn_op *op, int i)
{
    if (i >= op->n_in || op->in[i] < 0) return NULL;
    const struct hn_value_ref *v = &prog->values[op->in[i]];
    if (v->kind != HN_PARAM && v->kind != HN_STATE) return NULL;
    const struct hn_param *p = &prog->params[v->index];
    if (p->flags & HN_PARAM_IDLE) return NULL;
    return p->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE) ? p : NULL;
}

/* Scale 1, shift 0, mean 0, variance 1: inputs 1 to 4 of a normalisation. */
static void init_norms(const struct hn_program *prog, void *w, size_t elem)
{
    static const double start[5] = { 0, 1, 0, 0, 1 };
    for (int32_t k = 0; k < prog->n_ops; k++) {
        const struct hn_op *op = &prog->ops[k];
        int batch = op->row == &hn_op_batchnorm, layer = op->row == &hn_op_layernorm;
        if (!batch && !layer) continue;
        int frozen = batch && ((const struct hn_batchnorm *)op->attrs)->mode == 1;
        for (int i = 1; i < (layer || frozen ? 3 : 5); i++) {
            const struct hn_param *p = param_of(prog, op, i);
            if (p) fill(p, w, elem, start[i]);
        }
    }
}

/* Tables of embeddings: standard normal numbers, as PyTorch's nn.Embedding begins with, or of the asked for deviation. */
static void init_tables(const struct hn_program *prog, double std, const uint32_t key[2], void *w,
                        size_t elem)
{
    for (int32_t k = 0; k < prog->n_ops; k++) {
        if (prog->ops[k].row != &hn_op_embedding) continue;
        const struct hn_param *p = param_of(prog, &prog->ops[k], 1);
        if (!p || p->fan_in > 0) continue; /* tied to a layer: drawn as its weight */
        const struct draw d = { 1, std, key, HN_STREAM_INIT + (uint32_t)(p - prog->params) };
        draw_weights(p, &d, w, elem);
    }
}

void hn_init_weights(const struct hn_program *prog, enum hn_init kind, double std,
                     const uint32_t key[2], void *w, size_t elem)
{
    if (kind == HN_INIT_KEEP) return;
    for (int32_t i = 0; i < prog->n_params; i++) {
        const struct hn_param *p = &prog->params[i];
        if ((p->flags & (HN_PARAM_TRAINED | HN_PARAM_STARTS)) ==
            (HN_PARAM_TRAINED | HN_PARAM_STARTS))
            fill(p, w, elem, p->start);
        if (!(p->flags & HN_PARAM_TRAINED) || (p->flags & (HN_PARAM_STATE | HN_PARAM_NORM)))
            continue;
        if (p->flags & HN_PARAM_BIAS) {
            fill(p, w, elem, 0);
            continue;
        }
        if (p->fan_in <= 0) continue;
        int he = kind == HN_INIT_HE || (kind == HN_INIT_FRESH && rectifier(p->feeds));
        struct draw d = { .normal = kind == HN_INIT_NORMAL,
                          .width = kind == HN_INIT_NORMAL
                                       ? std
                                       : sqrt(6 / (he ? p->fan_in : p->fan_in + p->fan_out)),
                          .key = key,
                          .stream = HN_STREAM_INIT + (uint32_t)i };
        draw_weights(p, &d, w, elem);
    }
    init_tables(prog, kind == HN_INIT_NORMAL ? std : 1, key, w, elem);
    init_norms(prog, w, elem);
}

/* Input 1 or 2 of a normalisation, or the table of an embedding. */
static int has_place(const struct hn_program *prog, const struct hn_param *p)
{
    for (int32_t k = 0; k < prog->n_ops; k++) {
        const struct hn_op *op = &prog->ops[k];
        const int norm = op->row == &hn_op_batchnorm || op->row == &hn_op_layernorm;
        if (!norm && op->row != &hn_op_embedding) continue;
        for (int i = 1; i < (norm ? 3 : 2); i++)
            if (param_of(prog, op, i) == p) return 1;
    }
    return 0;
}

int hn_init_leaves(const struct hn_program *prog, int param)
{
    const struct hn_param *p = &prog->params[param];
    if (!(p->flags & HN_PARAM_TRAINED) || (p->flags & (HN_PARAM_STARTS | HN_PARAM_BIAS))) return 0;
    return (p->fan_in <= 0 || (p->flags & HN_PARAM_NORM)) && !has_place(prog, p);
}
