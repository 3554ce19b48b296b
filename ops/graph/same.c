/* SPDX-License-Identifier: MIT
 *
 * Two nodes read one small tensor whose numbers are all equal. Was it one in the model, a module called twice, or did an exporter
 * merge what was only equal? The first of these that says anything:
 *
 *   PyTorch's exporter writes what each operation read       the same tensor: one;  another: merged
 *   its legacy exporter puts an Identity before the merged   read by the same name: one
 *   the places are alike, and something that cannot be       one: the weight beside the bias, the statistics beside the scale
 *     equal by accident is shared beside them
 *
 * else it was merged. A mean is never one with a variance.
 *
 * The legacy exporter also transposes weights (onnx::MatMul_7), once for each call of their module, and merges the results: the
 * nodes' names tell calls of one module from two modules that were equal, as copies of a layer are. */
#include "ops/graph/pattern.h"

#include <string.h>

enum { LOOK = 4096 };

int hn_all_equal(const struct hn_tensor *t, int64_t most)
{
    for (int64_t i = 1; i < t->n && i < most; i++)
        if (hn_tensor_f64(t, i) != hn_tensor_f64(t, 0)) return 0;
    return 1;
}

/* The next of what node n read, from *i on, that the tensor may be: of its kind, and no initializer of its own. -1: no more. */
static int32_t candidate(const struct hn_graph *g, const struct hn_node *n, int32_t root,
                         int is_state, int *i)
{
    const enum hn_hint wanted = is_state ? HN_HINT_BUFFER : HN_HINT_PARAMETER;
    while (*i < n->n_reads) {
        const int32_t r = n->reads[(*i)++];
        const struct hn_exported *x = &g->exported[r];
        if (x->hint == wanted && (x->value < 0 || x->value == root)) return r;
    }
    return -1;
}

/* 1: they read the same, 0: they do not, -1: the file does not say. */
static int by_reads(const struct hn_graph *g, int32_t root, const struct hn_node *a,
                    const struct hn_node *b, int alike, int is_state)
{
    int i = 0, k = 0, n = 0, same = 1, own = 0;
    for (;; n++) {
        const int32_t x = candidate(g, a, root, is_state, &i),
                      y = candidate(g, b, root, is_state, &k);
        if (x < 0 && y < 0) break;
        if (n == 0 && (x < 0 || y < 0)) return -1;
        own |= (x >= 0 && g->exported[x].value == root) | (y >= 0 && g->exported[y].value == root)
                                                              << 1;
        same &= x == y;
    }
    if (n == 0) return -1;
    return (same && (n == 1 || alike)) || (own == 3 && alike);
}

static int cannot_be_chance(const struct hn_graph *g, int32_t v)
{
    const int32_t root = v >= 0 ? g->facts->values[v].root : -1;
    return root >= 0 && !hn_all_equal(g->values[root].constant, LOOK);
}

static int one_root(const struct hn_graph *g, int32_t a, int32_t b)
{
    return a >= 0 && b >= 0 && g->facts->values[a].root == g->facts->values[b].root &&
           g->facts->values[a].trans == g->facts->values[b].trans && cannot_be_chance(g, a);
}

static int turned(const struct hn_graph *g, int32_t node)
{
    const struct hn_onnx_attrs *a = g->facts->nodes[node].attrs;
    return a && a->trans_b != 0;
}

/* The weight of the dense layer that node n ends with a bias; -1. */
static int32_t weight_beside(const struct hn_graph *g, int32_t n)
{
    const int32_t owner = g->facts->nodes[n].owner;
    const struct hn_pattern *p = owner >= 0 ? g->facts->nodes[owner].pattern : NULL;
    return p && p->kind == HN_PT_DENSE ? p->in[1] : -1;
}

static int by_neighbours(const struct hn_graph *g, struct hn_spot a, struct hn_spot b)
{
    const struct hn_node *x = &g->nodes[a.node], *y = &g->nodes[b.node];
    if (cannot_be_chance(g, x->in[a.input])) return 1;
    if (turned(g, a.node) != turned(g, b.node)) return 0; /* a tied decoder's bias is its own */
    for (int k = 0; k < x->n_in && k < y->n_in; k++)
        if (k != a.input && one_root(g, x->in[k], y->in[k])) return 1;
    return one_root(g, weight_beside(g, a.node), weight_beside(g, b.node));
}

int hn_same_tensor(const struct hn_graph *g, int32_t root, struct hn_spot a, struct hn_spot b,
                   int is_state)
{
    const struct hn_node *x = &g->nodes[a.node], *y = &g->nodes[b.node];
    const int alike = a.input == b.input && strcmp(x->type, y->type) == 0;
    if (is_state && !alike) return 0;
    const int read = by_reads(g, root, x, y, alike, is_state);
    if (read >= 0) return read;
    return g->as_traced || (alike && by_neighbours(g, a, b));
}

/* ---- what the legacy exporter computed twice ------------------------------------------------------------------------ */

static int is_made_up(const char *name) { return strncmp(name, "onnx::", 6) == 0; }

/* "/enc/fc/MatMul" and "/enc/fc_1/MatMul": a module called again has a number behind its name. */
static int is_called_again(const char *first, const char *again)
{
    int numbers = 0;
    while (*first || *again) {
        const size_t n = strcspn(first, "/"), m = strcspn(again, "/");
        if (m < n || strncmp(first, again, n) != 0) return 0;
        if (m > n &&
            (again[n] != '_' || m == n + 1 || strspn(again + n + 1, "0123456789") != m - n - 1))
            return 0;
        numbers += m > n;
        first += n + (first[n] == '/'), again += m + (again[m] == '/');
    }
    return numbers > 0;
}

int hn_same_folded(const struct hn_graph *g, int32_t root, struct hn_spot first,
                   struct hn_spot again)
{
    const struct hn_node *x = &g->nodes[first.node], *y = &g->nodes[again.node];
    return g->as_traced && is_made_up(g->values[root].name) &&
           is_made_up(g->values[y->in[again.input]].name) &&
           !hn_all_equal(g->values[root].constant, LOOK) && is_called_again(x->name, y->name);
}
