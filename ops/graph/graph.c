/* SPDX-License-Identifier: MIT
 *
 * Building a graph: values by name, nodes, issues, and the errors made of them. Never looks at operators. */
#include "ops/graph/facts.h"

#include "ops/base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct names { /* open addressing over value numbers + 1; a power of two, at most half full */
    size_t size, used;
    int32_t *slots;
};

const char *hn_verdict_name(enum hn_verdict v)
{
    static const char *const names[] = {
        "trained", "frozen", "folded", "view", "carried", "refused"
    };
    return (unsigned)v < sizeof names / sizeof *names ? names[v] : "unknown";
}

struct hn_graph *hn_graph_create(struct hn_mem *m)
{
    struct hn_graph *g = hn_calloc(m, 1, sizeof *g);
    if (!g) return NULL;
    g->mem = m;
    hn_arena_init(&g->arena, m);
    struct names *t = g->names = hn_calloc(m, 1, sizeof *t);
    if (t) t->slots = hn_calloc(m, t->size = 64, sizeof *t->slots);
    if (!t || !t->slots) {
        hn_graph_destroy(g);
        return NULL;
    }
    return g;
}

void hn_graph_destroy(struct hn_graph *g)
{
    if (!g) return;
    struct hn_mem *m = g->mem;
    struct names *t = g->names;
    if (t) hn_free(m, t->slots);
    hn_free(m, t);
    hn_free(m, g->opsets);
    hn_free(m, g->values);
    hn_free(m, g->nodes);
    hn_free(m, g->inputs);
    hn_free(m, g->outputs);
    hn_free(m, g->issues);
    hn_arena_clear(&g->arena);
    hn_free(m, g);
}

/* The slot that holds name, or the free one where it belongs. */
static size_t slot_of(const struct hn_graph *g, const struct names *t, const char *name)
{
    size_t i = (size_t)XXH3_64bits(name, strlen(name)) & (t->size - 1);
    while (t->slots[i] && strcmp(g->values[t->slots[i] - 1].name, name) != 0)
        i = (i + 1) & (t->size - 1);
    return i;
}

static int grow_names(struct hn_graph *g, struct names *t)
{
    struct names bigger = { t->size * 2, t->used, NULL };
    bigger.slots = hn_calloc(g->mem, bigger.size, sizeof *bigger.slots);
    if (!bigger.slots) return 0;
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i])
            bigger.slots[slot_of(g, &bigger, g->values[t->slots[i] - 1].name)] = t->slots[i];
    hn_free(g->mem, t->slots);
    *t = bigger;
    return 1;
}

int32_t hn_graph_find(const struct hn_graph *g, const char *name)
{
    const struct names *t = g->names;
    return t->slots[slot_of(g, t, name)] - 1;
}

int32_t hn_graph_value(struct hn_graph *g, const char *name)
{
    struct names *t = g->names;
    int32_t found = hn_graph_find(g, name);
    if (found >= 0) return found;
    if (t->used * 2 >= t->size && !grow_names(g, t)) return -1;
    if (g->n_values >= INT32_MAX - 1) return -1;
    struct hn_value v = { .tensor_id = -1, .producer = -1, .alias_of = -1, .decl_rank = -1 };
    v.name = hn_arena_strdup(&g->arena, name);
    if (!v.name || !HN_PUSH(g->mem, g->values, g->n_values, g->cap_values, v)) return -1;
    t->slots[slot_of(g, t, name)] = (int32_t)g->n_values;
    t->used++;
    return (int32_t)g->n_values - 1;
}

struct hn_node *hn_graph_add_node(struct hn_graph *g, const char *name, const char *domain,
                                  const char *type, int n_in, int n_out, int n_attrs)
{
    struct hn_arena *a = &g->arena;
    struct hn_node n = {
        .index = (int32_t)g->n_nodes, .n_in = n_in, .n_out = n_out, .n_attrs = n_attrs
    };
    if (n_in < 0 || n_out < 0 || n_attrs < 0 || g->n_nodes >= INT32_MAX - 1) return NULL;
    n.name = hn_arena_strdup(a, name ? name : "");
    n.domain = hn_arena_strdup(a, domain ? domain : "");
    n.type = hn_arena_strdup(a, type ? type : "");
    n.in = hn_arena_alloc(a, (size_t)n_in + 1, sizeof *n.in);
    n.out = hn_arena_alloc(a, (size_t)n_out + 1, sizeof *n.out);
    n.attrs = hn_arena_alloc(a, (size_t)n_attrs + 1, sizeof *n.attrs);
    if (!n.name || !n.domain || !n.type || !n.in || !n.out || !n.attrs) return NULL;
    for (int i = 0; i < n_in; i++) n.in[i] = -1;
    for (int i = 0; i < n_out; i++) n.out[i] = -1;
    for (int i = 0; i < n_attrs; i++) n.attrs[i].tensor_id = -1;
    n.why = "";
    return HN_PUSH(g->mem, g->nodes, g->n_nodes, g->cap_nodes, n) ? &g->nodes[g->n_nodes - 1]
                                                                  : NULL;
}

hone_status hn_graph_issue(struct hn_graph *g, enum hn_severity sev, int32_t node, hone_status code,
                           const char *remedy, const char *fmt, ...)
{
    char text[768];
    struct hn_issue it = { .severity = sev, .node = node, .code = code };
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    it.what = hn_arena_strdup(&g->arena, text);
    if (!it.what) return HONE_E_NOMEM;
    if (remedy && !(it.remedy = hn_arena_strdup(&g->arena, remedy))) return HONE_E_NOMEM;
    return HN_PUSH(g->mem, g->issues, g->n_issues, g->cap_issues, it) ? HONE_OK : HONE_E_NOMEM;
}

const char *hn_node_label(const struct hn_node *n, char *buf, size_t size)
{
    if (n->name[0])
        snprintf(buf, size, "%s", n->name);
    else
        snprintf(buf, size, "%s at position %d", n->type, (int)n->index);
    return buf;
}

hone_status hn_graph_blocked(const struct hn_graph *g, int training, hone_error *err)
{
    enum hn_severity bar = training ? HN_BLOCKS_TRAINING : HN_BLOCKS_ALL;
    char label[256];
    for (size_t i = 0; i < g->n_issues; i++) {
        const struct hn_issue *it = &g->issues[i];
        if (it->severity < bar) continue;
        const char *where =
            it->node >= 0 ? hn_node_label(&g->nodes[it->node], label, sizeof label) : NULL;
        hone_status st = hn_fail(err, it->code, where, "%s", it->what);
        return it->remedy ? hn_hint(err, st, "%s", it->remedy) : st;
    }
    return HONE_OK;
}

int hn_is_default_domain(const char *domain)
{
    return domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

int64_t hn_graph_opset(const struct hn_graph *g, const char *domain)
{
    int plain = hn_is_default_domain(domain);
    int64_t best = 0;
    for (size_t i = 0; i < g->n_opsets; i++) {
        const struct hn_opset *o = &g->opsets[i];
        int same = plain ? hn_is_default_domain(o->domain) : strcmp(o->domain, domain) == 0;
        if (same && o->version > best) best = o->version;
    }
    return best;
}

int64_t hn_node_opset(const struct hn_graph *g, const struct hn_node *n)
{
    const int64_t version = n->version > 0 ? n->version : hn_graph_opset(g, n->domain);
    /* ONNX Runtime's own optimizer for transformers leaves the import of its domain out, and ONNX Runtime takes it so */
    return version == 0 && strcmp(n->domain, "com.microsoft") == 0 ? 1 : version;
}

const struct hn_param_list *hn_graph_params(const struct hn_graph *g) { return &g->facts->params; }
