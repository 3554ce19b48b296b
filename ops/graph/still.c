/* SPDX-License-Identifier: MIT
 *
 * Rows of tables that do not learn: nn.Embedding's padding_idx, which PyTorch's default exporter leaves in a node's metadata, and
 * what --freeze 'NAME[ROW]' asks for. The lookups of such a row have no gradient; of its own accord PyTorch decays it still. */
#include "ops/graph/params.h"

#include "ops/base/status.h"
#include <fnmatch.h>
#include <string.h>

enum { STEM = 512 };

int hn_glob_row(const char *glob, const char *name, int64_t *row)
{
    char stem[STEM];
    const char *open = strrchr(glob, '[');
    const size_t n = open ? (size_t)(open - glob) : 0,
                 digits = open ? strspn(open + 1, "0123456789") : 0;
    if (n == 0 || n >= STEM || digits == 0 || digits > 15 || strcmp(open + 1 + digits, "]") != 0)
        return 0;
    memcpy(stem, glob, n), stem[n] = 0;
    *row = 0;
    for (size_t i = 0; i < digits; i++) *row = *row * 10 + (open[1 + i] - '0');
    return fnmatch(stem, name, 0) == 0;
}

static int64_t rows_of(const struct hn_graph *g, const struct hn_gparam *q)
{
    return g->values[q->value].constant->dims[0];
}

/* Does the glob name whole tensors? */
static int is_of_tensors(const struct hn_graph *g, const char *glob)
{
    const struct hn_param_list *l = &g->facts->params;
    for (size_t i = 0; i < l->n_params; i++)
        if (fnmatch(glob, g->values[l->params[i].value].name, 0) == 0) return 1;
    return 0;
}

static void keep_row(struct hn_graph *g, const char *glob)
{
    struct hn_param_list *l = &g->facts->params;
    int64_t row;
    for (size_t i = 0; i < l->n_params; i++) {
        struct hn_gparam *q = &l->params[i];
        if (q->looked_up && q->trained && hn_glob_row(glob, g->values[q->value].name, &row) &&
            row < rows_of(g, q) && (!q->padding || q->padding == row + 1) && !q->kept)
            q->kept = row + 1;
    }
}

/* By its uses: is it looked up only, and which of its rows is padding? */
static void see_uses(struct hn_graph *g)
{
    struct hn_param_list *l = &g->facts->params;
    for (size_t i = 0; i < l->n_params; i++)
        l->params[i].looked_up = g->values[l->params[i].value].constant->rank == 2;
    for (size_t i = 0; i < l->n_uses; i++) {
        const struct hn_use *u = &l->uses[i];
        struct hn_gparam *q = &l->params[u->param];
        const struct hn_shape *rows = &g->values[g->nodes[u->at_node].in[u->at_input]].shape;
        const int64_t padding = g->nodes[u->node].padding;
        if (g->facts->use_slot[i] != HN_SLOT_TABLE || u->at_node != u->node || u->trans ||
            rows->rank != 2 || rows->d[0].fixed != rows_of(g, q))
            q->looked_up = 0;
        else if (padding > 0 && padding <= rows_of(g, q))
            q->padding = padding;
    }
}

hone_status hn_find_still(struct hn_finder *f)
{
    struct hn_graph *g = f->g;
    struct hn_param_list *l = &g->facts->params;
    see_uses(g);
    for (size_t i = 0; f->opts && i < f->opts->n_freeze; i++)
        if (!is_of_tensors(g, f->opts->freeze[i])) keep_row(g, f->opts->freeze[i]);
    for (size_t i = 0; i < l->n_params; i++) {
        struct hn_gparam *q = &l->params[i];
        const int64_t row = q->kept ? q->kept : q->padding;
        if (!row || !q->trained) continue;
        q->why = hn_arena_printf(&g->arena, "%s; row %lld %s", q->why, (long long)row - 1,
                                 q->kept ? "is frozen by request" : "is padding, without gradient");
        if (!q->why) return hn_nomem(f->err, "the list of parameters", 0);
    }
    return HONE_OK;
}

int64_t hn_still_row(const struct hn_graph *g, const struct hn_node *n)
{
    const int32_t root = g->facts->values[n->in[0]].root,
                  p = root >= 0 ? g->facts->param_of[root] : -1;
    if (p >= 0 && g->facts->params.params[p].kept) return g->facts->params.params[p].kept;
    return n->padding > 0 && n->padding <= g->values[n->in[0]].shape.d[0].fixed ? n->padding : 0;
}
