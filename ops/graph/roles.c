/* SPDX-License-Identifier: MIT
 *
 * A verdict for every node, with its reason, and the issues that follow: frozen head, trainable region, frozen tail. A
 * node that cannot run matters when a float output that learns needs it before its loss point; labels and sequences
 * behind the loss point are carried in the file. */
#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

struct judge {
    struct hn_graph *g;
    hone_error *err;
    uint8_t *matters; /* per value: an output that must be computed needs it */
    int none;         /* no output can be computed */
};

static int is_float_output(const struct hn_value *v)
{
    /* a ZipMap's maps are rows of numbers here */
    return (!v->is_sequence || hn_dtype_is_float(v->dtype)) &&
           (v->dtype == HN_NONE || hn_dtype_is_float(v->dtype));
}

static int is_trainable(const struct hn_graph *g, int32_t v)
{
    const struct hn_value_fact *f = &g->facts->values[v];
    return g->values[v].is_output && f->computable && f->from_param && !f->chosen && !f->computed &&
           is_float_output(&g->values[v]);
}

/* Whole numbers that a gradient passes: what QuantizeLinear gives, also moved. */
static int holds_quantized(const struct hn_graph *g, const struct hn_node *n)
{
    const int32_t x = n->n_in > 0 ? n->in[0] : -1;
    if (hn_is_quantize(n)) return 1;
    return x >= 0 && g->facts->values[x].from_param && !g->facts->values[x].chosen &&
           !hn_dtype_is_float(g->values[x].dtype);
}

/* chosen: a label, an integer, a bool or text, or made of such only. derived: everything that is learned reaches the value through a trainable output. A layer with weights of its own behind such
 * an output (features that are handed out, then a head) learns itself. */
static hone_status find_derived(struct hn_graph *g, hone_error *err)
{
    struct hn_value_fact *f = g->facts->values;
    const struct hn_param_list *list = hn_graph_params(g);
    uint8_t *learns = hn_arena_alloc(&g->arena, g->n_nodes + 1, 1);
    if (!learns) return hn_nomem(err, "the verdicts", g->n_nodes);
    for (size_t i = 0; i < list->n_uses; i++)
        learns[list->uses[i].node] |= list->params[list->uses[i].param].trained != 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        int some = 0, all = !learns[g->order[i]], chosen = all;
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] < 0 || !f[n->in[k]].from_param) continue;
            some = 1;
            all &= f[n->in[k]].derived || is_trainable(g, n->in[k]);
            chosen &= f[n->in[k]].chosen;
        }
        for (int k = 0; k < n->n_out; k++) {
            if (n->out[k] < 0) continue;
            const enum hn_dtype t = g->values[n->out[k]].dtype;
            f[n->out[k]].derived = some && all;
            f[n->out[k]].chosen =
                f[n->out[k]].from_param &&
                ((some && chosen) || f[n->out[k]].n_positions ||
                 (t != HN_NONE && !hn_dtype_is_float(t) && !holds_quantized(g, n)));
        }
    }
    return HONE_OK;
}

static hone_status find_what_matters(struct judge *j)
{
    struct hn_graph *g = j->g;
    j->matters = hn_arena_alloc(&g->arena, g->n_values + 1, 1);
    if (!j->matters) return hn_nomem(j->err, "the verdicts", g->n_values);
    j->none = 1;
    for (size_t i = 0; i < g->n_outputs; i++)
        j->none &= !g->facts->values[g->outputs[i]].computable;
    for (size_t i = 0; i < g->n_outputs; i++) {
        const struct hn_value_fact *f = &g->facts->values[g->outputs[i]];
        int learns = f->from_param && !f->derived && !f->chosen && !f->computed &&
                     is_float_output(&g->values[g->outputs[i]]);
        if (learns || j->none) j->matters[g->outputs[i]] = 1;
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        int needed = 0;
        for (int k = 0; k < n->n_out; k++) needed |= n->out[k] >= 0 && j->matters[n->out[k]];
        needed &= g->facts->nodes[g->order[i]].live;
        for (int k = 0; k < n->n_in && needed; k++)
            if (n->in[k] >= 0) j->matters[n->in[k]] = 1;
    }
    return HONE_OK;
}

static int any_out(const struct hn_node *n, const uint8_t *flag)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] >= 0 && flag[n->out[k]]) return 1;
    return 0;
}

/* Are all outputs that anybody could read known without running it? */
static int is_folded(const struct hn_graph *g, const struct hn_node *n)
{
    int some = 0;
    for (int k = 0; k < n->n_out; k++) {
        if (n->out[k] < 0) continue;
        const struct hn_value_fact *f = &g->facts->values[n->out[k]];
        if ((!g->values[n->out[k]].constant || f->computed) && !f->ints && !f->splat) return 0;
        some = 1;
    }
    return some;
}

static int first_out_computable(const struct hn_graph *g, const struct hn_node *n)
{
    return n->n_out > 0 && n->out[0] >= 0 && g->facts->values[n->out[0]].computable;
}

static void set(struct hn_node *n, enum hn_verdict v, const char *why)
{
    n->verdict = v;
    n->why = why;
}

/* An operator that here moves nothing: Reshape and its like, or an Expand or Concat that leaves its input as it is. */
static int is_view(const struct hn_graph *g, const struct hn_node *n)
{
    if (n->row->lower == hn_lower_cast && hn_dtype_is_float(g->values[n->in[0]].dtype) &&
        !hn_dtype_is_float(g->values[n->out[0]].dtype))
        return 0; /* goes towards zero */
    if (n->row->flags & HN_ROW_VIEW) return 1;
    if (n->row->infer == hn_infer_concat) return n->n_in == 1;
    return n->row->infer == hn_infer_expand &&
           hn_same_shape(&g->values[n->in[0]].shape, &g->values[n->out[0]].shape);
}

/* Inside a pattern all nodes get the verdict of the one that ends it. */
static void judge_runnable(struct judge *j, struct hn_node *n, const struct hn_node_fact *f)
{
    const struct hn_graph *g = j->g;
    const struct hn_node *end = f->owner >= 0 ? &g->nodes[f->owner] : n;
    const struct hn_pattern *p = f->owner >= 0 ? g->facts->nodes[f->owner].pattern : NULL;
    const struct hn_value_fact *y = &g->facts->values[end->out[0]];
    if (!p && hn_dequantize_is_view(g, n))
        set(n, HN_VIEW, "the other half of the rounding in front of it");
    else if (!p && is_view(g, n))
        set(n, HN_VIEW, "no computation: the numbers stay as they are");
    else if (y->computed)
        set(n, HN_TRAIN, "computes a weight from what learns, once a step");
    else if (!y->from_param)
        set(n, HN_FROZEN, p ? p->name : "no trained parameter comes before it");
    else if (f->unscales == HN_UNSCALES_OUTPUT)
        set(n, HN_FROZEN, "undoes the scaling of targets");
    else if (y->derived || (y->chosen && !j->matters[end->out[0]]))
        set(n, HN_FROZEN, "behind the loss point");
    else
        set(n, HN_TRAIN, p ? p->name : "between trained parameters and an output");
}

static hone_status refuse(struct judge *j, struct hn_node *n, const struct hn_node_fact *f)
{
    if (f->state == HN_NODE_BLOCKED) {
        set(n, HN_REFUSE, "needs what a refused node or an unknown input gives");
        return HONE_OK;
    }
    hone_status code =
        f->code == HONE_E_MODEL || f->code == HONE_E_BUDGET ? f->code : HONE_E_UNSUPPORTED;
    set(n, HN_REFUSE, f->reason);
    hone_status st = hn_graph_issue(j->g, HN_BLOCKS_ALL, (int32_t)(n - j->g->nodes), code,
                                    f->remedy, "%s", f->reason);
    return st == HONE_OK ? st : hn_nomem(j->err, "the list of issues", 0);
}

static hone_status judge_node(struct judge *j, int32_t i)
{
    struct hn_graph *g = j->g;
    struct hn_node *n = &g->nodes[i];
    struct hn_node_fact *f = &g->facts->nodes[i];
    int ok = f->state == HN_NODE_OK, needed = any_out(n, j->matters);
    if (ok && is_folded(g, n)) {
        const char *why = hn_dequantize_is_weight(g, n) ? hn_quantized_why(g, n)
                          : n->n_in                     ? "known at import"
                                                        : "a constant";
        if (!why) return hn_nomem(j->err, "the verdicts", 0);
        set(n, HN_FOLDED, why);
    } else if (!f->live) {
        set(n, HN_CARRY, f->state == HN_NODE_FAILED ? f->reason : "no output needs it");
    } else if (ok && (f->owner >= 0 || n->row->lower) && (needed || first_out_computable(g, n))) {
        judge_runnable(j, n, f);
    } else if (needed) {
        if (ok) {
            f->state = HN_NODE_FAILED, f->code = HONE_E_UNSUPPORTED;
            f->reason =
                hn_arena_printf(&g->arena, "%s is supported in shape arithmetic only", n->type);
            if (!f->reason) return hn_nomem(j->err, "the verdicts", 0);
        }
        return refuse(j, n, f);
    } else {
        set(n, HN_CARRY,
            f->state == HN_NODE_FAILED ? f->reason
                                       : "behind the loss point, or behind a carried node");
    }
    return HONE_OK;
}

/* ---- issues of the whole model ------------------------------------------------------------------------------------ */

static hone_status issue(struct judge *j, hone_status st)
{
    return st == HONE_OK ? HONE_OK : hn_nomem(j->err, "the list of issues", 0);
}

static hone_status check_inputs(struct judge *j)
{
    struct hn_graph *g = j->g;
    for (size_t i = 0; i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if (v->shape_known || !j->matters[g->inputs[i]]) continue;
        if (v->decl_rank < 0) {
            HN_TRY(issue(j, hn_graph_issue(g, HN_BLOCKS_ALL, -1, HONE_E_UNSUPPORTED,
                                           "export with the input's shape",
                                           "input '%s' has no shape in the file", v->name)));
            continue;
        }
        int d = 1;
        while (d < v->decl_rank && v->decl_dims[d] >= 0) d++;
        const char *name = d < v->decl_rank && v->decl_names[d] ? v->decl_names[d] : "";
        if (d < v->decl_rank)
            HN_TRY(issue(
                j, hn_graph_issue(g, HN_BLOCKS_ALL, -1, HONE_E_UNSUPPORTED,
                                  "export with only the first dimension dynamic",
                                  "input '%s': dimension %d%s%s is open; only the first one may be",
                                  v->name, d, name[0] ? " " : "", name)));
        else
            HN_TRY(issue(j, hn_graph_issue(g, HN_BLOCKS_ALL, -1, HONE_E_BUDGET, NULL,
                                           "input '%s' has more elements than can be counted",
                                           v->name)));
    }
    return HONE_OK;
}

static hone_status check_opset(struct judge *j)
{
    int64_t v = hn_graph_opset(j->g, "");
    size_t own = 0; /* nodes outside of functions, which import for themselves */
    for (size_t i = 0; i < j->g->n_nodes; i++) own += j->g->nodes[i].version == 0;
    if (v == 0 && own == 0) return HONE_OK;
    if (v < 7)
        return issue(j,
                     hn_graph_issue(j->g, HN_BLOCKS_ALL, -1, HONE_E_UNSUPPORTED,
                                    "convert the model to opset 7 or later",
                                    v ? "the model uses opset %lld, wanted 7 or later"
                                      : "the model imports no opset of the default domain (%lld)",
                                    (long long)v));
    if (v > HN_NEWEST_OPSET)
        return issue(j,
                     hn_graph_issue(
                         j->g, HN_WARNING, -1, HONE_OK, NULL,
                         "the model uses opset %lld; operators are taken as they were at opset %d",
                         (long long)v, HN_NEWEST_OPSET));
    return HONE_OK;
}

/* A Gemm, MatMul or BatchNormalization whose weight is a graph input: the file was exported without its weights. */
static const char *missing_weight(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        if (strcmp(n->type, "Gemm") != 0 && strcmp(n->type, "FusedGemm") != 0 &&
            strcmp(n->type, "BatchNormalization") != 0)
            continue;
        const struct hn_value *w = n->n_in > 1 && n->in[1] >= 0 ? &g->values[n->in[1]] : NULL;
        if (w && w->is_input && !w->is_initializer) return w->name;
    }
    return NULL;
}

/* Is an output what QuantizeLinear gives? */
static int ends_in_whole_numbers(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_outputs; i++) {
        const int32_t from = g->values[g->outputs[i]].producer;
        if (from >= 0 && hn_is_quantize(&g->nodes[from])) return 1;
    }
    return 0;
}

static hone_status check_trainable(struct judge *j)
{
    struct hn_graph *g = j->g;
    const struct hn_param_list *l = &g->facts->params;
    size_t trained = 0, outputs = 0;
    const char *w = missing_weight(g);
    for (size_t i = 0; i < l->n_params; i++) trained += l->params[i].trained != 0;
    for (size_t i = 0; i < g->n_outputs; i++) /* one that cannot be computed has its own issue */
        outputs += g->facts->values[g->outputs[i]].from_param &&
                   !g->facts->values[g->outputs[i]].computed &&
                   !g->facts->values[g->outputs[i]].chosen &&
                   is_float_output(&g->values[g->outputs[i]]);
    if (w)
        return issue(
            j, hn_graph_issue(g, HN_BLOCKS_TRAINING, -1, HONE_E_UNSUPPORTED,
                              "export with the weights (export_params=True)",
                              "the file has no values for its weights: '%s' is a graph input", w));
    if (trained == 0)
        return issue(
            j,
            hn_graph_issue(
                g, HN_BLOCKS_TRAINING, -1, HONE_E_UNSUPPORTED, NULL,
                "there is nothing to train: no float tensor of the file is a trainable parameter"));
    if (outputs == 0)
        return issue(j, hn_graph_issue(g, HN_BLOCKS_TRAINING, -1, HONE_E_UNSUPPORTED,
                                       ends_in_whole_numbers(g)
                                           ? "end the quantised model with its DequantizeLinear"
                                           : NULL,
                                       "no float output depends on a trained parameter"));
    return HONE_OK;
}

static hone_status check_batch(struct judge *j)
{
    struct hn_graph *g = j->g;
    for (size_t i = 0; i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if ((v->shape_known && v->shape.rank > 0 && v->shape.d[0].per_row) || v->decl_rank >= 2)
            return HONE_OK;
    }
    if (g->n_inputs == 0) return HONE_OK;
    return issue(
        j, hn_graph_issue(g, HN_BLOCKS_TRAINING, -1, HONE_E_UNSUPPORTED,
                          "export with an input of shape [batch, features]",
                          "input '%s' has no batch dimension: the model takes one row at a time",
                          g->values[g->inputs[0]].name));
}

static hone_status set_dtype(struct judge *j)
{
    struct hn_graph *g = j->g;
    const struct hn_param_list *l = &g->facts->params;
    const struct hn_value *first = NULL;
    g->dtype = HN_F32;
    for (size_t i = 0; i < l->n_params; i++) {
        const struct hn_value *v = &g->values[l->params[i].value];
        if (!l->params[i].trained) continue;
        if (!first) first = v;
        if ((v->dtype == HN_F64) != (first->dtype == HN_F64))
            return issue(j, hn_graph_issue(g, HN_BLOCKS_TRAINING, -1, HONE_E_UNSUPPORTED, NULL,
                                           "'%s' is %s but '%s' is %s: float64 is wanted for all "
                                           "trained parameters or none",
                                           first->name, hn_dtype_name(first->dtype), v->name,
                                           hn_dtype_name(v->dtype)));
    }
    for (size_t i = 0; i < g->n_outputs && !first; i++)
        if (hn_dtype_is_float(g->values[g->outputs[i]].dtype)) first = &g->values[g->outputs[i]];
    if (first && first->dtype == HN_F64) g->dtype = HN_F64;
    return HONE_OK;
}

/* Training forms that leave as inference forms: batch statistics, extra outputs, dropout that is on or asks a graph input. */
static void find_training_forms(struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        const struct hn_node_fact *f = &g->facts->nodes[i];
        if (!f->live || !f->attrs) continue;
        if (f->state_at >= 0 && !f->pattern && !g->facts->states[f->state_at].computed)
            g->needs_inference |= hn_batchnorm_form(n, f->attrs);
        if (n->row->infer == hn_infer_dropout && n->n_in > 2 && n->in[2] >= 0) {
            double on = 1;
            g->needs_inference |= !hn_value_scalar(g, n->in[2], &on) || on != 0;
        }
    }
}

static int all_are(const struct hn_tensor *t, double x)
{
    for (int64_t i = 0; i < t->n; i++)
        if (hn_tensor_f64(t, i) != x) return 0;
    return 1;
}

/* Mean 0 and variance 1 beside a trained scale: some exporters fold the statistics into scale and bias, and the first
 * update would change the function. */
static hone_status warn_absorbed_statistics(struct judge *j)
{
    struct hn_graph *g = j->g;
    for (size_t i = 0; i + 1 < g->facts->n_states; i += 2) {
        const struct hn_state *mean = &g->facts->states[i], *var = mean + 1;
        if (strcmp(g->nodes[mean->node].type, "BatchNormalization") != 0) continue;
        const struct hn_tensor *scale = g->values[g->nodes[mean->node].in[1]].constant;
        if (mean->computed || mean->fixed || !all_are(mean->init, 0) || !all_are(var->init, 1) ||
            !scale || all_are(scale, 1))
            continue;
        HN_TRY(issue(
            j, hn_graph_issue(g, HN_WARNING, mean->node, HONE_OK,
                              "--batchnorm freeze keeps the function",
                              "the running mean is 0 and the variance 1, but the scale is trained: "
                              "the exporter may "
                              "have folded the statistics away, and training will move them")));
    }
    return HONE_OK;
}

hone_status hn_graph_verdicts(struct hn_graph *g, hone_error *err)
{
    struct judge j = { .g = g, .err = err };
    HN_TRY(find_derived(g, err));
    HN_TRY(find_what_matters(&j));
    HN_TRY(check_opset(&j));
    HN_TRY(check_inputs(&j));
    for (size_t i = 0; i < g->n_nodes; i++) HN_TRY(judge_node(&j, g->order[i]));
    HN_TRY(check_trainable(&j));
    HN_TRY(check_batch(&j));
    find_training_forms(g);
    HN_TRY(warn_absorbed_statistics(&j));
    return set_dtype(&j);
}
