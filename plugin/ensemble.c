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

static hone_status put_target(const struct hn_graph *g, const struct hn_target *t,
                              struct hn_buffer *line, hone_error *err)
{
    int32_t output = g->outputs[t->output], before;
    enum hn_tail tail = hn_output_tail(g, output, &before);
    int soft = tail == HN_TAIL_SOFTMAX || tail == HN_TAIL_LOGSOFTMAX;
    const char *kind = "mean";
    int32_t at = output;
    int classes_last = g->values[output].shape.rank == 2; /* the only axis there can be */
    if (t->loss == HN_LOSS_CE && soft)
        kind = "softmax", at = before;
    else if (t->loss == HN_LOSS_NLL && tail == HN_TAIL_LOGSOFTMAX)
        kind = "softmax", at = before;
    else if (t->loss == HN_LOSS_NLL && classes_last)
        kind = "softmax"; /* logarithms of probabilities are logits, too */
    else if (t->loss == HN_LOSS_CE && classes_last && is_logits(g, output))
        kind = "softmax";
    else if (t->loss == HN_LOSS_BCE && tail == HN_TAIL_SIGMOID)
        kind = "sigmoid", at = before;
    else if (t->loss == HN_LOSS_BCE && is_logits(g, output))
        kind = "sigmoid";
    HN_TRY(hn_sink_printf(&line->sink, err, " %s", kind));
    return hn_model_put_word(line, g->values[at].name, err);
}

hone_status hn_ensemble_line(const struct hn_session *s, struct hn_buffer *line, hone_error *err)
{
    HN_TRY(hn_sink_str(&line->sink, "ensemble", err));
    for (int t = 0; t < s->n_targets; t++)
        HN_TRY(put_target(hn_model_graph(s->model), &s->targets[t], line, err));
    return HONE_OK;
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
