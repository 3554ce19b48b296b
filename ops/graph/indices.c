/* SPDX-License-Identifier: MIT
 *
 * Integers at run time: what may be done to them on their way to an embedding, a one-hot encoding or a comparison. They travel as
 * floats, so that only what keeps whole numbers exact is allowed, and nothing else may read them. */
#include "ops/graph/rows.h"

#include "ops/math/row.h"

#include <string.h>

enum {
    DEEPEST = 256,
    MOST_USES = 4096
}; /* nodes behind each other that are followed, and how many uses of all */

static int one_of(const char *type, const char *const *list)
{
    while (*list && strcmp(type, *list) != 0) list++;
    return *list != NULL;
}

/* Where integers may go: it is their end (indices, categories, comparisons, Shape), or on to the node's outputs. */
enum way { ENDS, GOES_ON, FORBIDDEN };

static enum way way_of(const struct hn_node *n, int input)
{
    static const char *const moves[] = { "Identity",  "Reshape",   "Flatten", "Squeeze",
                                         "Unsqueeze", "Transpose", "Slice",   "Split",
                                         "Gather",    "Expand",    NULL };
    static const char *const joins[] = { "Concat", "Cast", "Add", "Sub", "Mul", "Div", NULL };
    static const char *const compares[] = { "Equal", "Greater",     "GreaterOrEqual",
                                            "Less",  "LessOrEqual", NULL };
    if (strcmp(n->type, "OneHotEncoder") == 0 || strcmp(n->type, "LabelEncoder") == 0) return ENDS;
    if (!hn_is_default_domain(n->domain)) return FORBIDDEN;
    if (strcmp(n->type, "Shape") == 0 || (strcmp(n->type, "OneHot") == 0 && input == 0) ||
        (strcmp(n->type, "Gather") == 0 && input == 1) || one_of(n->type, compares))
        return ENDS;
    const int on = (input == 0 && one_of(n->type, moves)) || one_of(n->type, joins) ||
                   (input > 0 && strcmp(n->type, "Where") == 0);
    return on ? GOES_ON : FORBIDDEN;
}

struct walk {
    const struct hn_graph *g;
    int outputs; /* those of the graph are as good */
    int left;    /* uses that may still be looked at */
    uint32_t stamp;
};

static int only_indices(struct walk *w, int32_t v, int deep)
{
    const struct hn_facts *f = w->g->facts;
    if (f->values[v].seen == w->stamp) return 1;
    if (!deep) return 0;
    f->values[v].seen = w->stamp;
    for (int32_t i = f->use_first[v]; i < f->use_first[v + 1]; i++) {
        const struct hn_consumer *u = &f->uses[i];
        if (u->node < 0 && w->outputs) continue;
        if (u->node < 0 || w->left-- <= 0) return 0;
        const struct hn_node *n = &w->g->nodes[u->node];
        const enum way way = way_of(n, u->input);
        if (way == FORBIDDEN) return 0;
        for (int k = 0; k < n->n_out && way == GOES_ON; k++)
            if (n->out[k] >= 0 && !only_indices(w, n->out[k], deep - 1)) return 0;
    }
    return 1;
}

/* Where(i < 0, i + n, i) */
int32_t hn_counted_from_end(const struct hn_graph *g, int32_t v, int64_t n)
{
    const struct hn_node *where =
        g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;
    double zero, len;
    if (!where || strcmp(where->type, "Where") != 0 || where->n_in != 3) return -1;
    const int32_t less_at = g->values[where->in[0]].producer, i = where->in[2],
                  add_at = g->values[where->in[1]].producer;
    const struct hn_node *less = less_at >= 0 ? &g->nodes[less_at] : NULL,
                         *add = add_at >= 0 ? &g->nodes[add_at] : NULL;
    if (!less || !add || strcmp(less->type, "Less") != 0 || strcmp(add->type, "Add") != 0 ||
        less->in[0] != i || !hn_value_scalar(g, less->in[1], &zero) || zero != 0)
        return -1;
    const int k = add->in[0] == i;
    if (add->in[1 - k] != i || !hn_value_scalar(g, add->in[k], &len) || len != (double)n) return -1;
    return hn_same_shape(&g->values[i].shape, &g->values[v].shape) ? i : -1;
}

static int feeds(const struct hn_graph *g, int32_t v, int outputs)
{
    struct walk w = { g, outputs, MOST_USES, ++g->facts->seen };
    return v >= 0 && only_indices(&w, v, DEEPEST);
}

int hn_feeds_indices(const struct hn_graph *g, int32_t v) { return feeds(g, v, 0); }

int hn_feeds_outputs(const struct hn_graph *g, int32_t v) { return feeds(g, v, 1); }
