/* SPDX-License-Identifier: MIT
 *
 * hn_graph_finish, and the facts about outputs the training side asks for. */
#include "ops/graph/output.h"
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

static hone_status make_facts(struct hn_graph *g, hone_error *err)
{
    struct hn_facts *f = g->facts = hn_arena_alloc(&g->arena, 1, sizeof *f);
    if (f) f->values = hn_arena_alloc(&g->arena, g->n_values + 1, sizeof *f->values);
    if (f) f->nodes = hn_arena_alloc(&g->arena, g->n_nodes + 1, sizeof *f->nodes);
    if (f) f->fold_map = hn_arena_alloc(&g->arena, g->n_values + 1, sizeof *f->fold_map);
    if (!f || !f->values || !f->nodes || !f->fold_map)
        return hn_nomem(err, "the graph's facts", g->n_values * sizeof *f->values);
    return HONE_OK;
}

hone_status hn_graph_finish(struct hn_graph *g, const struct hn_graph_opts *opts, hone_error *err)
{
    g->custom = opts ? opts->custom : NULL;
    HN_TRY(make_facts(g, err));
    HN_TRY(hn_graph_sort(g, err));
    HN_TRY(hn_graph_infer(g, opts, err));
    HN_TRY(hn_graph_patterns(g, err));
    hn_graph_liveness(g);
    hn_graph_find_unscalers(g);
    HN_TRY(hn_graph_find_params(g, opts, err));
    HN_TRY(hn_graph_find_ties(g, err));
    HN_TRY(hn_graph_tell(g, err));
    return hn_graph_verdicts(g, err);
}

/* Classes along the axis behind the rows, where others come behind it. */
static int64_t classes_first(const struct hn_shape *y)
{
    if (y->rank < 3 || y->d[0].per_row != 1 || y->d[0].fixed) return 0;
    for (int i = 1; i < y->rank; i++)
        if (y->d[i].per_row) return 0;
    return y->d[1].fixed;
}

void hn_graph_output(const struct hn_graph *g, size_t i, struct hn_output_info *info)
{
    int32_t v = g->outputs[i], before;
    const struct hn_value *y = &g->values[v];
    const struct hn_value_fact *f = &g->facts->values[v];
    int is_float = hn_dtype_is_float(y->dtype);
    *info = (struct hn_output_info){ .value = v,
                                     .computable = f->computable,
                                     .discrete = !is_float || f->chosen,
                                     .labels = f->labels };
    info->as_given = !is_float && f->from_input && !f->n_positions && !f->from_param;
    info->trainable = f->computable && f->from_param && is_float && !f->chosen && !f->computed;
    info->derived = info->trainable && f->derived;
    if (!y->shape_known) return;
    if (f->computable) info->tail = hn_output_tail(g, v, &before, &info->tail_first);
    struct hn_dim n = hn_shape_count(&y->shape);
    if (n.per_row > 0 && n.fixed == 0) info->per_row = n.per_row;
    if (n.per_row == 0 && g->fixed_batch > 0 && !g->batch_lifted && n.fixed % g->fixed_batch == 0)
        info->per_row = n.fixed / g->fixed_batch;
    const struct hn_dim *last = &y->shape.d[y->shape.rank > 0 ? y->shape.rank - 1 : 0];
    info->classes = y->shape.rank > 1 && !last->per_row ? last->fixed : info->per_row;
    info->classes_first = classes_first(&y->shape);
}

int hn_graph_heads(const struct hn_graph *g)
{
    struct hn_output_info info;
    int n = 0;
    for (size_t i = 0; i < g->n_outputs; i++) {
        hn_graph_output(g, i, &info);
        n += info.trainable && !info.derived;
    }
    return n;
}

const struct hn_class_list *hn_graph_classes(const struct hn_graph *g, const char *output)
{
    for (size_t i = 0; g->output_classes && i < g->n_outputs; i++)
        if (g->output_classes[i].n && !strcmp(g->values[g->outputs[i]].name, output))
            return &g->output_classes[i];
    return &g->classes;
}
