/* SPDX-License-Identifier: MIT
 *
 * Several trained models as one: which value of the graph is averaged, and how, so that every output keeps its meaning.
 *
 *   classes whose output ends in Softmax, LogSoftmax or Sigmoid   the probabilities are averaged; in the graph that stands in
 *                                                                 front of the tail, as logits, and the tail stays
 *   classes whose output is logits                                the same: the new logits stand for the mean probabilities
 *   classes whose output is something else                        the output itself, which may be probabilities already
 *   numbers                                                       the output itself
 *
 * An output that has no loss depends on the members all the same, so it is averaged, too: what ends in Softmax, LogSoftmax or
 * Sigmoid as probabilities, the rest as numbers; what is only computed from averaged outputs follows these.
 *
 * onnx/edit_average.c has the formulas. */
#include "ops/base/status.h"
#include "ops/graph/output.h"
#include "plugin/model.h"
#include <string.h>

/* Does a Dense layer make the value, seen through views? Then it is logits. */
static int is_logits(const struct hn_graph *g, int32_t v)
{
    static const char *const views[] = { "Identity",  "Flatten", "Reshape", "Squeeze",
                                         "Unsqueeze", "Cast",    NULL };
    while (v >= 0 && g->values[v].producer >= 0) {
        const struct hn_node *n = &g->nodes[g->values[v].producer];
        int view = 0;
        for (size_t i = 0; views[i]; i++) view |= !strcmp(n->type, views[i]);
        if (!view)
            return !strcmp(n->type, "Gemm") || !strcmp(n->type, "MatMul") ||
                   !strcmp(n->type, "Add");
        v = n->n_in ? n->in[0] : -1;
    }
    return 0;
}

/* The tail and the value before it; one inside a node has none to average. */
static enum hn_tail tail_before(const struct hn_graph *g, int32_t v, int32_t *before)
{
    int first;
    enum hn_tail t = hn_output_tail(g, v, before, &first);
    if (*before >= 0 && t != HN_TAIL_SHARES) return t;
    *before = v;
    return HN_TAIL_NONE;
}

struct choice { /* what is averaged for an output */
    const char *kind;
    int32_t at;
};

static struct choice of_target(const struct hn_graph *g, const struct hn_target *t)
{
    int32_t output = g->outputs[t->output], before;
    enum hn_tail tail = tail_before(g, output, &before);
    int soft = tail == HN_TAIL_SOFTMAX || tail == HN_TAIL_LOGSOFTMAX;
    if (tail == HN_TAIL_BOTH) return (struct choice){ "sigmoid", before };
    int classes_last = g->values[output].shape.rank == 2; /* the only axis there can be */
    if (t->loss == HN_LOSS_CE && soft) return (struct choice){ "softmax", before };
    if (t->loss == HN_LOSS_NLL && tail == HN_TAIL_LOGSOFTMAX)
        return (struct choice){ "softmax", before };
    if (t->loss == HN_LOSS_NLL && classes_last) /* logarithms of probabilities are logits, too */
        return (struct choice){ "softmax", output };
    if (t->loss == HN_LOSS_CE && classes_last && is_logits(g, output))
        return (struct choice){ "softmax", output };
    if (t->loss == HN_LOSS_BCE && (tail == HN_TAIL_SIGMOID || tail == HN_TAIL_EACH))
        return (struct choice){ "sigmoid", before };
    if (t->loss == HN_LOSS_BCE && is_logits(g, output)) return (struct choice){ "sigmoid", output };
    return (struct choice){ "mean", output };
}

struct chooser {
    const struct hn_graph *g;
    struct hn_buffer *line;
    uint8_t *output;   /* of values: 1 a graph's output, 2 one with a loss */
    uint8_t *averaged; /* of values: 1 averaged, 2 an average depends on it */
};

static hone_status choose(struct chooser *k, struct choice c, hone_error *err)
{
    if (k->averaged[c.at] == 1) return HONE_OK;
    k->averaged[c.at] = 1;
    HN_TRY(hn_sink_printf(&k->line->sink, err, " %s", c.kind));
    return hn_model_put_word(k->line, k->g->values[c.at].name, err);
}

/* Outputs without a loss that end as classes do. One that is made of another such output takes that with it. */
static hone_status choose_tails(struct chooser *k, hone_error *err)
{
    const struct hn_graph *g = k->g;
    for (size_t i = 0; i < g->n_outputs; i++) {
        struct hn_output_info info;
        int32_t before;
        hn_graph_output(g, i, &info);
        enum hn_tail tail = tail_before(g, g->outputs[i], &before);
        if (!info.trainable || k->output[g->outputs[i]] == 2 || tail == HN_TAIL_NONE) continue;
        if (info.derived && k->output[before] != 1) continue;
        const int one = tail == HN_TAIL_SIGMOID || tail == HN_TAIL_BOTH || tail == HN_TAIL_EACH;
        HN_TRY(choose(k, (struct choice){ one ? "sigmoid" : "softmax", before }, err));
    }
    return HONE_OK;
}

static void mark_before(struct chooser *k)
{
    const struct hn_graph *g = k->g;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        int needed = 0;
        for (int o = 0; o < n->n_out; o++) needed |= n->out[o] >= 0 && k->averaged[n->out[o]];
        for (int o = 0; o < n->n_in && needed; o++)
            if (n->in[o] >= 0 && !k->averaged[n->in[o]]) k->averaged[n->in[o]] = 2;
    }
}

/* The other ones. One that follows from averaged outputs alone is left to them, unless the members need their own of it. */
static hone_status choose_rest(struct chooser *k, hone_error *err)
{
    const struct hn_graph *g = k->g;
    for (int derived = 0; derived < 2; derived++) {
        if (derived) mark_before(k);
        for (size_t i = 0; i < g->n_outputs; i++) {
            struct hn_output_info info;
            int32_t v = g->outputs[i], before;
            hn_graph_output(g, i, &info);
            if (!info.trainable || info.derived != derived || k->output[v] == 2) continue;
            int tail = tail_before(g, v, &before) != HN_TAIL_NONE;
            if (derived ? k->averaged[v] == 2 : !tail)
                HN_TRY(choose(k, (struct choice){ "mean", v }, err));
        }
    }
    return HONE_OK;
}

static hone_status write_line(struct chooser *k, const struct hn_session *s, hone_error *err)
{
    HN_TRY(hn_sink_str(&k->line->sink, "ensemble", err));
    for (size_t i = 0; i < k->g->n_outputs; i++) k->output[k->g->outputs[i]] = 1;
    for (int t = 0; t < s->n_targets; t++) k->output[k->g->outputs[s->targets[t].output]] = 2;
    for (int t = 0; t < s->n_targets; t++) HN_TRY(choose(k, of_target(k->g, &s->targets[t]), err));
    HN_TRY(choose_tails(k, err));
    return choose_rest(k, err);
}

hone_status hn_ensemble_line(const struct hn_session *s, struct hn_buffer *line, hone_error *err)
{
    struct hn_mem *mem = &s->ctx->mem;
    struct chooser k = { .g = hn_model_graph(s->model), .line = line };
    k.output = hn_calloc(mem, k.g->n_values + 1, 1);
    k.averaged = hn_calloc(mem, k.g->n_values + 1, 1);
    hone_status st = k.output && k.averaged ? write_line(&k, s, err)
                                            : hn_nomem(err, "the ensemble", k.g->n_values);
    hn_free(mem, k.output);
    hn_free(mem, k.averaged);
    return st;
}

hone_status hn_model_ensemble(hone_model *m, const char *line, const struct hn_buffer *others,
                              size_t n_others, hone_error *err)
{
    struct hn_mem *mem = &m->ctx->mem;
    struct hn_tensor *values = hn_calloc(mem, n_others, sizeof *values);
    if (!values) return hn_nomem(err, "the members", n_others * sizeof *values);
    for (size_t i = 0; i < n_others; i++)
        values[i] = (struct hn_tensor){ .dtype = HN_U8,
                                        .rank = 1,
                                        .dims = { (int64_t)others[i].n },
                                        .n = (int64_t)others[i].n,
                                        .data = others[i].p };
    hone_status st = hn_model_apply(
        m, &(struct hn_edit_line){ .text = line, .values = values, .n_values = n_others }, err);
    hn_free(mem, values);
    return st;
}
