/* SPDX-License-Identifier: MIT
 *
 * What a run says of the parts of a model that its losses do not reach (HN_PARAM_IDLE): which parameters stay as they are for
 * want of a target, and which outputs an input's scaler changes although nothing behind them learns. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <string.h>

enum { MOST_NAMES = 4 };

static int has_loss(const struct hn_session *s, size_t output)
{
    const struct hn_own *own = s->own;
    for (int t = 0; t < s->n_targets; t++)
        if (own->specs[t].output == (int)output) return 1;
    return 0;
}

static int32_t root(const struct hn_program *p, int32_t v)
{
    return p->values[v].view_of >= 0 ? p->values[v].view_of : v;
}

/* Marks what depends on idle parameters. */
static void follow_idle(const struct hn_program *p, uint8_t *mark)
{
    for (int v = 0; v < p->n_values; v++)
        if (p->values[v].kind == HN_PARAM)
            mark[v] = (p->params[p->values[v].index].flags & HN_PARAM_IDLE) != 0;
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_op *op = &p->ops[i];
        int any = 0;
        for (int k = 0; k < op->n_in; k++) any |= op->in[k] >= 0 && mark[root(p, op->in[k])];
        for (int k = 0; any && k < op->n_out; k++) mark[op->out[k]] = 1;
    }
}

/* Is it an output of the program that is marked? */
static int is_marked(const struct hn_program *p, const uint8_t *mark, const char *name)
{
    for (int i = 0; i < p->n_outputs; i++)
        if (strcmp(p->output_names[i], name) == 0) return mark[root(p, p->outputs[i])];
    return 0;
}

/* *list with one more name behind it. */
static hone_status append(struct hn_session *s, const char **list, const char *name,
                          hone_error *err)
{
    *list = hn_arena_printf(&s->arena, "%s%s'%s'", *list, **list ? ", " : "", name);
    return *list ? HONE_OK : hn_nomem(err, "a list of names", strlen(name));
}

static hone_status outputs_without_target(struct hn_session *s, const char **list, int *n,
                                          hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    struct hn_output_info info;
    uint8_t *mark = hn_arena_alloc(&s->arena, (size_t)s->prog->n_values + 1, 1);
    if (!mark) return hn_nomem(err, "what no loss reaches", (size_t)s->prog->n_values);
    follow_idle(s->prog, mark);
    for (size_t i = 0; i < g->n_outputs; i++) {
        hn_graph_output(g, i, &info);
        const char *name = g->values[info.value].name;
        if (!info.trainable || info.derived || has_loss(s, i) || !is_marked(s->prog, mark, name))
            continue;
        HN_TRY(append(s, list, name, err));
        ++*n;
    }
    return HONE_OK;
}

static hone_status say_idle(struct hn_session *s, hone_error *err)
{
    const struct hn_program *p = s->prog;
    const char *names = "", *outputs = "";
    int idle = 0, without = 0;
    for (int i = 0; i < p->n_params; i++) {
        if (!(p->params[i].flags & HN_PARAM_IDLE) || p->params[i].flags & HN_PARAM_STATE) continue;
        if (idle++ < MOST_NAMES) HN_TRY(append(s, &names, p->params[i].name, err));
    }
    if (!idle) return HONE_OK;
    HN_TRY(outputs_without_target(s, &outputs, &without, err));
    const char *more =
        idle > MOST_NAMES ? hn_arena_printf(&s->arena, " and %d more", idle - MOST_NAMES) : "";
    if (!more) return hn_nomem(err, "a list of names", 0);
    hn_log(s->ctx, HONE_LOG_NOTE, "no loss reaches %s%s, which stay%s as %s%s%s", names, more,
           idle > 1 ? "" : "s", idle > 1 ? "they are" : "it is",
           !without      ? ""
           : without > 1 ? ": no targets for outputs "
                         : ": no target for output ",
           outputs);
    return HONE_OK;
}

/* Marks what depends on inputs that got a scaler, or will in every trial of a search. */
static void follow_scaled(const struct hn_session *s, uint8_t *mark)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    const struct hn_own *own = s->own;
    for (size_t i = 0; i < g->n_inputs; i++)
        mark[g->inputs[i]] = !own->got_scaler || own->got_scaler[i];
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        int any = 0;
        for (int k = 0; k < n->n_in; k++) any |= n->in[k] >= 0 && mark[n->in[k]];
        for (int k = 0; any && k < n->n_out; k++)
            if (n->out[k] >= 0) mark[n->out[k]] = 1;
    }
}

/* Labels and the like are left to the outputs that they are chosen from. */
static hone_status say_scaled(struct hn_session *s, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    struct hn_output_info info;
    const char *outputs = "";
    int n = 0;
    uint8_t *mark = hn_arena_alloc(&s->arena, g->n_values + 1, 1);
    if (!mark) return hn_nomem(err, "what a scaler changes", g->n_values);
    follow_scaled(s, mark);
    for (size_t i = 0; i < g->n_outputs; i++) {
        hn_graph_output(g, i, &info);
        if (!mark[info.value] || info.derived || info.discrete || has_loss(s, i)) continue;
        HN_TRY(append(s, &outputs, g->values[info.value].name, err));
        n++;
    }
    if (n)
        hn_log(s->ctx, HONE_LOG_WARNING,
               "--scale changes what output%s %s say%s: no loss is there from which %s could learn "
               "the new scale",
               n > 1 ? "s" : "", outputs, n > 1 ? "" : "s", n > 1 ? "they" : "it");
    return HONE_OK;
}

hone_status hn_session_say_reach(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    if (!hn_session_says(own)) return HONE_OK;
    HN_TRY(say_idle(s, err));
    return strcmp(hn_param_s(s->params, "scale"), "none") != 0 ? say_scaled(s, err) : HONE_OK;
}
