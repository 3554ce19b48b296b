/* SPDX-License-Identifier: MIT
 *
 * Integers at run time: what may be done to them on their way to an embedding, a one-hot encoding or a comparison. They travel as
 * floats, so that only what keeps whole numbers exact is allowed, and nothing else may read them. */
#include "ops/graph/rows.h"

#include <string.h>

static int one_of(const char *type, const char *const *list)
{
    while (*list && strcmp(type, *list) != 0) list++;
    return *list != NULL;
}

/* `left` uses may still be looked at; outputs: those of the graph are as good. */
static int only_indices(const struct hn_graph *g, int32_t v, int outputs, int *left)
{
    static const char *const moves[] = { "Identity",  "Reshape",   "Flatten", "Squeeze",
                                         "Unsqueeze", "Transpose", "Slice",   "Split",
                                         "Gather",    "Expand",    NULL };
    static const char *const joins[] = { "Concat", "Cast", "Add", "Sub", "Mul", NULL };
    static const char *const compares[] = { "Equal", "Greater",     "GreaterOrEqual",
                                            "Less",  "LessOrEqual", NULL };
    const struct hn_facts *f = g->facts;
    for (int32_t i = f->use_first[v]; i < f->use_first[v + 1]; i++) {
        const struct hn_consumer *u = &f->uses[i];
        if (u->node < 0 && outputs) continue;
        if (u->node < 0 || (*left)-- <= 0) return 0;
        const struct hn_node *n = &g->nodes[u->node];
        if (strcmp(n->type, "OneHotEncoder") == 0 || strcmp(n->type, "LabelEncoder") == 0) continue;
        if (!hn_is_default_domain(n->domain)) return 0;
        if (strcmp(n->type, "Shape") == 0 || (strcmp(n->type, "OneHot") == 0 && u->input == 0) ||
            (strcmp(n->type, "Gather") == 0 && u->input == 1) || one_of(n->type, compares))
            continue;
        if (!(u->input == 0 && one_of(n->type, moves)) && !one_of(n->type, joins)) return 0;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] >= 0 && !only_indices(g, n->out[k], outputs, left)) return 0;
    }
    return 1;
}

int hn_feeds_indices(const struct hn_graph *g, int32_t v)
{
    int left = 256;
    return v >= 0 && only_indices(g, v, 0, &left);
}

int hn_feeds_outputs(const struct hn_graph *g, int32_t v)
{
    int left = 256;
    return v >= 0 && only_indices(g, v, 1, &left);
}
