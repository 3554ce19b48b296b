/* SPDX-License-Identifier: MIT
 *
 * Text of the data. A program computes with numbers, so that a text comes in as its place among those that the encoders of the graph
 * know, one list for all of them, or as the list's length where none does. What moves elements may move such values, encoders
 * (encode.c) read them, and nothing else may. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 1 << 20 };

static const struct hn_attr *known_texts(const struct hn_node *n)
{
    if (strcmp(n->type, "OneHotEncoder") == 0) return hn_attr_of(n, "cats_strings");
    return strcmp(n->type, "LabelEncoder") == 0 ? hn_attr_of(n, "keys_strings") : NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int takes_text(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_inputs; i++)
        if (g->values[g->inputs[i]].dtype == HN_STR) return 1;
    return 0;
}

hone_status hn_graph_find_texts(struct hn_graph *g, hone_error *err)
{
    size_t n = 0, some = 0;
    g->facts->texts = (struct hn_tensor){ .dtype = HN_STR, .rank = 1 };
    for (size_t i = 0; i < g->n_nodes && takes_text(g); i++) {
        const struct hn_attr *list = known_texts(&g->nodes[i]);
        if (list && list->type == HN_ATTR_STRS) n += list->n;
    }
    if (n > MOST_TEXTS)
        return hn_fail(err, HONE_E_BUDGET, "model",
                       "its encoders know %zu texts, at most %d can be told apart", n, MOST_TEXTS);
    const char **all = hn_arena_alloc(&g->arena, n + 1, sizeof *all);
    if (!all) return hn_nomem(err, "the texts of encoders", n * sizeof *all);
    for (size_t i = 0; i < g->n_nodes && n; i++) {
        const struct hn_attr *list = known_texts(&g->nodes[i]);
        for (size_t k = 0; list && list->type == HN_ATTR_STRS && k < list->n; k++)
            all[some++] = list->strings[k];
    }
    qsort((void *)all, some, sizeof *all, by_bytes);
    n = 0;
    for (size_t i = 0; i < some; i++)
        if (!n || strcmp(all[n - 1], all[i]) != 0) all[n++] = all[i];
    g->facts->texts.data = (void *)all;
    g->facts->texts.n = g->facts->texts.dims[0] = (int64_t)n;
    return HONE_OK;
}

const struct hn_tensor *hn_graph_texts(const struct hn_graph *g) { return &g->facts->texts; }

int64_t hn_text_number(const struct hn_graph *g, const char *text)
{
    const struct hn_tensor *t = &g->facts->texts;
    const char *const *at =
        t->n ? bsearch((const void *)&text, t->data, (size_t)t->n, sizeof text, by_bytes) : NULL;
    return at ? at - (const char *const *)t->data : t->n;
}

int hn_is_text(const struct hn_graph *g, int32_t v)
{
    return v >= 0 && g->values[v].dtype == HN_STR && !g->values[v].constant &&
           !g->facts->values[v].n_positions;
}

hone_status hn_check_texts(const struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++)
        if (hn_is_text(c->g, c->n->in[i]) && !(c->row->flags & HN_ROW_TEXT))
            return hn_fail(
                c->err, HONE_E_UNSUPPORTED, c->label,
                "%s of '%s', which is text: only a OneHotEncoder or a LabelEncoder reads it",
                c->n->type, hn_in_value(c, i)->name);
    return HONE_OK;
}

hone_status hn_check_no_text_out(const struct hn_infer *c)
{
    for (int k = 0; k < c->n->n_out; k++)
        if (hn_is_text(c->g, c->n->out[k]) && c->g->values[c->n->out[k]].is_output)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s hands on text of the data, which is not kept", c->n->type);
    return HONE_OK;
}
