/* SPDX-License-Identifier: MIT
 *
 * The members of an ensemble, before they become one graph: their values by name, their nodes in order, and which nodes are
 * the same in all of them. See edit_ensemble.c. */
#include "onnx/edit_ensemble.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

hone_status hn_peer_unsupported(const struct hn_merge *k, const char *where, const char *why)
{
    return hn_fail(k->e->err, HONE_E_UNSUPPORTED, where ? where : "", "ensemble: %s", why);
}

/* ---- a member's values ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct hn_peer_value *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->constant == NULL) - (y->constant == NULL);
}

struct hn_peer_value *hn_peer_value(const struct hn_peer *m, const char *name)
{
    size_t lo = 0, hi = m->n_v;
    while (lo < hi) {
        size_t at = (lo + hi) / 2;
        int c = strcmp(m->v[at].name, name);
        if (c == 0) return &m->v[at];
        if (c < 0)
            lo = at + 1;
        else
            hi = at;
    }
    return NULL;
}

static Onnx__TensorProto *held(const Onnx__NodeProto *n)
{
    const Onnx__AttributeProto *a = hn_md_is(n, "Constant") ? hn_md_attr(n, "value") : NULL;
    return a && n->n_output == 1 ? a->t : NULL;
}

static void list_values(struct hn_peer *m)
{
    Onnx__GraphProto *g = m->g;
    struct hn_peer_value *to = m->v;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name)
            *to++ = (struct hn_peer_value){
                g->initializer[i]->name, g->initializer[i], -1, NULL, NULL, 0, 0, 0
            };
    for (size_t i = 0; i < g->n_input; i++)
        *to++ = (struct hn_peer_value){ g->input[i]->name, NULL, -1, NULL, NULL, 1, 0, 0 };
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t o = 0; o < g->node[i]->n_output; o++)
            if (*g->node[i]->output[o])
                *to++ = (struct hn_peer_value){
                    g->node[i]->output[o], held(g->node[i]), (int64_t)i, NULL, NULL, 0, 0, 0
                };
    size_t n = (size_t)(to - m->v);
    if (n) qsort(m->v, n, sizeof *m->v, by_name);
    m->n_v = 0; /* initializers that are listed as inputs, too, once */
    for (size_t i = 0; i < n; i++)
        if (!m->n_v || strcmp(m->v[m->n_v - 1].name, m->v[i].name) != 0) m->v[m->n_v++] = m->v[i];
}

static int each_graph_name(Onnx__GraphProto *g, int (*fn)(void *user, char **name), void *user)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (!hn_peer_each_name(g->node[i], fn, user)) return 0;
    return 1;
}

int hn_peer_each_name(Onnx__NodeProto *n, int (*fn)(void *user, char **name), void *user)
{
    for (size_t i = 0; i < n->n_input; i++)
        if (*n->input[i] && !fn(user, &n->input[i])) return 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        Onnx__AttributeProto *a = n->attribute[i];
        if (a->g && !each_graph_name(a->g, fn, user)) return 0;
        for (size_t k = 0; k < a->n_graphs; k++)
            if (!each_graph_name(a->graphs[k], fn, user)) return 0;
    }
    return 1;
}

struct placing {
    const struct hn_peer *m;
    const uint8_t *placed;
};

static int is_placed(void *user, char **name)
{
    const struct placing *p = user;
    const struct hn_peer_value *v = hn_peer_value(p->m, *name);
    return !v || v->node < 0 || p->placed[v->node];
}

/* Files are in topological order but for a few odd ones. */
static hone_status sort_nodes(const struct hn_merge *k, struct hn_peer *m)
{
    size_t n = m->g->n_node, done = 0;
    uint8_t *placed = hn_arena_alloc(k->e->arena, n + 1, 1);
    struct placing p = { m, placed };
    if (!placed) return hn_md_nomem(k->e);
    while (done < n) {
        size_t before = done;
        for (size_t i = 0; i < n; i++) {
            if (placed[i] || !hn_peer_each_name(m->g->node[i], is_placed, &p)) continue;
            placed[i] = 1;
            m->order[done++] = i;
        }
        if (done == before) return hn_peer_unsupported(k, m->g->name, "the nodes form a cycle");
    }
    return HONE_OK;
}

static int mark_inner(void *user, char **name)
{
    struct hn_peer *m = user;
    const struct hn_peer_value *v = hn_peer_value(m, *name);
    if (v && v->node >= 0) m->inner[v->node] = 1;
    return 1;
}

static void find_inner(const struct hn_merge *k, struct hn_peer *m)
{
    for (size_t i = 0; i < k->n_averages; i++) m->inner[hn_peer_value(m, k->averages[i])->node] = 1;
    for (size_t o = m->g->n_node; o-- > 0;)
        if (m->inner[m->order[o]]) hn_peer_each_name(m->g->node[m->order[o]], mark_inner, m);
}

hone_status hn_peer_open(const struct hn_merge *k, struct hn_peer *m, Onnx__GraphProto *g)
{
    struct hn_arena *a = k->e->arena;
    size_t n = g->n_initializer + g->n_input;
    for (size_t i = 0; i < g->n_node; i++) n += g->node[i]->n_output;
    m->g = g;
    m->v = hn_arena_alloc(a, n + 1, sizeof *m->v);
    m->order = hn_arena_alloc(a, g->n_node + 1, sizeof *m->order);
    m->state = hn_arena_alloc(a, g->n_node + 1, 1);
    m->inner = hn_arena_alloc(a, g->n_node + 1, 1);
    if (!m->v || !m->order || !m->state || !m->inner) return hn_md_nomem(k->e);
    if (g->n_sparse_initializer)
        return hn_peer_unsupported(k, g->name, "it has sparse initializers");
    list_values(m);
    for (size_t i = 0; i < k->n_averages; i++) {
        struct hn_peer_value *v = hn_peer_value(m, k->averages[i]);
        if (!v || v->node < 0)
            return hn_peer_unsupported(k, k->averages[i], "no node of a member makes this value");
        v->is_average = 1;
        v->shared = v->name;
    }
    HN_TRY(sort_nodes(k, m));
    find_inner(k, m);
    return HONE_OK;
}

/* ---- what is the same in all of them --------------------------------------------------------------------------------------- */

int hn_peer_same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

/* Do two messages of one type have the same bytes? */
static int same_message(struct hn_merge *k, const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    struct hn_mem *mem = k->e->mem;
    size_t n = protobuf_c_message_get_packed_size(a);
    if (n != protobuf_c_message_get_packed_size(b)) return 0;
    uint8_t *x = hn_alloc(mem, n + 1), *y = hn_alloc(mem, n + 1);
    k->nomem |= !x || !y;
    int same = x && y && protobuf_c_message_pack(a, x) == n && protobuf_c_message_pack(b, y) == n &&
               memcmp(x, y, n) == 0;
    hn_free(mem, x);
    hn_free(mem, y);
    return same;
}

static int same_tensor(struct hn_merge *k, const Onnx__TensorProto *a, const Onnx__TensorProto *b)
{
    Onnx__TensorProto x = *a, y = *b;
    if (a->data_type != b->data_type || a->n_dims != b->n_dims ||
        a->raw_data.len != b->raw_data.len)
        return 0;
    if (a->n_dims && memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) != 0) return 0;
    if (a->has_raw_data && b->has_raw_data)
        return a->raw_data.len == 0 || !memcmp(a->raw_data.data, b->raw_data.data, a->raw_data.len);
    x.name = y.name = NULL;
    x.doc_string = y.doc_string = NULL;
    return same_message(k, &x.base, &y.base);
}

static int same_operator(struct hn_merge *k, const Onnx__NodeProto *a, const Onnx__NodeProto *b)
{
    if (!hn_peer_same_text(a->op_type, b->op_type) || !hn_peer_same_text(a->domain, b->domain) ||
        !hn_peer_same_text(a->overload, b->overload) || a->n_input != b->n_input ||
        a->n_output != b->n_output || a->n_attribute != b->n_attribute)
        return 0;
    for (size_t i = 0; i < a->n_attribute; i++)
        if (!same_message(k, &a->attribute[i]->base, &b->attribute[i]->base)) return 0;
    return 1;
}

/* x of the first member and y of another are one value of the ensemble. */
static int same_value(struct hn_merge *k, const struct hn_peer_value *x,
                      const struct hn_peer_value *y)
{
    if (!x || !y) return x == y;
    if (x->constant || y->constant)
        return x->constant && y->constant && same_tensor(k, x->constant, y->constant);
    if (x->is_input || y->is_input)
        return x->is_input && y->is_input && strcmp(x->name, y->name) == 0;
    return x->shared && y->shared && strcmp(x->shared, y->shared) == 0;
}

struct pairing {
    struct hn_merge *k;
    const struct hn_peer *other;
    Onnx__NodeProto *node; /* the other's, whose own inputs stand at the same places */
};

static int makes_average(const struct hn_peer *m, const Onnx__NodeProto *n)
{
    for (size_t i = 0; i < n->n_output; i++) {
        const struct hn_peer_value *v = *n->output[i] ? hn_peer_value(m, n->output[i]) : NULL;
        if (v && v->is_average) return 1;
    }
    return 0;
}

static int inner_is_shared(void *user, char **name)
{
    const struct pairing *p = user;
    const struct hn_peer_value *x = hn_peer_value(&p->k->m[0], *name),
                               *y = hn_peer_value(p->other, *name);
    return !x || same_value(p->k, x, y);
}

static int same_node(struct pairing *p, Onnx__NodeProto *a)
{
    Onnx__NodeProto *b = p->node;
    if (!same_operator(p->k, a, b)) return 0;
    for (size_t i = 0; i < a->n_input; i++) {
        if (!*a->input[i] != !*b->input[i]) return 0;
        if (!same_value(p->k, hn_peer_value(&p->k->m[0], a->input[i]),
                        hn_peer_value(p->other, b->input[i])))
            return 0;
    }
    for (size_t i = 0; i < a->n_output; i++)
        if (!*a->output[i] != !*b->output[i]) return 0;
    Onnx__NodeProto inner = *a; /* what its graphs read besides */
    inner.n_input = 0;
    return hn_peer_each_name(&inner, inner_is_shared, p);
}

/* The node of member k that is like a; -1: none. */
static int64_t partner(struct hn_merge *k, size_t at, Onnx__NodeProto *a)
{
    struct hn_peer *m = &k->m[at];
    struct pairing p = { k, m, NULL };
    for (size_t i = 0; i < m->g->n_node; i++) {
        p.node = m->g->node[i];
        if (m->state[i] == HN_PEER_UNUSED && !held(p.node) && !makes_average(m, p.node) &&
            same_node(&p, a))
            return (int64_t)i;
    }
    return -1;
}

static void share_outputs(struct hn_peer *m, const Onnx__NodeProto *n, const Onnx__NodeProto *first)
{
    for (size_t i = 0; i < n->n_output; i++) {
        struct hn_peer_value *v = *n->output[i] ? hn_peer_value(m, n->output[i]) : NULL;
        if (v) v->shared = first->output[i];
    }
}

static int reads_none_behind(void *user, char **name)
{
    const struct hn_peer_value *v = hn_peer_value(user, *name);
    return !v || !(v->is_average || v->behind); /* 0 stops: found */
}

/* Behind one average and before another: each member has its own, which reads its own. */
static int is_between(struct hn_peer *m, size_t at)
{
    Onnx__NodeProto *n = m->g->node[at];
    if (hn_peer_each_name(n, reads_none_behind, m)) return 0;
    for (size_t i = 0; i < n->n_output; i++) {
        struct hn_peer_value *v = *n->output[i] ? hn_peer_value(m, n->output[i]) : NULL;
        if (v) v->behind = 1;
    }
    return m->inner[at];
}

hone_status hn_peer_share(struct hn_merge *k)
{
    struct hn_peer *first = &k->m[0];
    int64_t *found = hn_arena_alloc(k->e->arena, k->n, sizeof *found);
    if (!found) return hn_md_nomem(k->e);
    for (size_t o = 0; o < first->g->n_node; o++) {
        size_t at = first->order[o], i = 1;
        Onnx__NodeProto *a = first->g->node[at];
        if (held(a) || is_between(first, at) || makes_average(first, a)) continue;
        found[0] = (int64_t)at;
        while (i < k->n && (found[i] = partner(k, i, a)) >= 0) i++;
        if (k->nomem) return hn_md_nomem(k->e);
        if (i < k->n) continue;
        for (i = 0; i < k->n; i++) {
            k->m[i].state[found[i]] = HN_PEER_SHARED;
            share_outputs(&k->m[i], k->m[i].g->node[found[i]], a);
        }
    }
    return HONE_OK;
}

/* ---- what has to be there --------------------------------------------------------------------------------------------------- */

static int reads_average(void *user, char **name)
{
    const struct hn_peer_value *v = hn_peer_value(user, *name);
    return !v || !v->is_average; /* 0 stops: found */
}

/* Whatever reads an average, and is not on the way to another one, must be the same in all members; what reads that is then, too, or is not shared either. */
hone_status hn_peer_check_tail(const struct hn_merge *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct hn_peer *m = &k->m[i];
        for (size_t o = 0; o < m->g->n_node; o++) {
            Onnx__NodeProto *n = m->g->node[o];
            if (m->state[o] != HN_PEER_SHARED && !m->inner[o] &&
                !hn_peer_each_name(n, reads_average, m))
                return hn_peer_unsupported(k, n->name && *n->name ? n->name : n->op_type,
                                           "the members differ behind the value that is averaged");
        }
    }
    return HONE_OK;
}

struct needing {
    struct hn_peer *m;
    size_t added;
};

static int need(void *user, char **name)
{
    struct needing *w = user;
    const struct hn_peer_value *v = hn_peer_value(w->m, *name);
    if (v && v->node >= 0 && !v->shared && !v->constant && w->m->state[v->node] == HN_PEER_UNUSED) {
        w->m->state[v->node] = HN_PEER_NEEDED;
        w->added++;
    }
    return 1;
}

/* The nodes between what is shared and the averages. */
void hn_peer_mark_needed(const struct hn_merge *k, struct hn_peer *m)
{
    struct needing w = { m, 0 };
    for (size_t i = 0; i < k->n_averages; i++)
        m->state[hn_peer_value(m, k->averages[i])->node] = HN_PEER_NEEDED;
    for (size_t o = m->g->n_node; o-- > 0;) {
        size_t at = m->order[o];
        if (m->state[at] == HN_PEER_NEEDED) hn_peer_each_name(m->g->node[at], need, &w);
    }
}

hone_status hn_peer_check_outputs(const struct hn_merge *k)
{
    const struct hn_peer *m = &k->m[0];
    for (size_t i = 0; i < k->was.n_output; i++) {
        const struct hn_peer_value *v = hn_peer_value(m, k->was.output[i]->name);
        if (!v || v->is_input || v->constant || v->shared) continue;
        return hn_peer_unsupported(k, v->name,
                                   "this output is neither averaged nor the same in all members");
    }
    return HONE_OK;
}
