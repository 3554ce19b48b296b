/* SPDX-License-Identifier: MIT
 *
 * Several models in one graph, side by side, with one value each averaged:
 *
 *                   ┌─ member1/… ─ logits ─┐
 *   x ─ shared head ┼─ member2/… ─ logits ─┼─ average ─ logits ─ shared tail ─ y, label, …
 *                   └─ member3/… ─ logits ─┘
 *
 * The members are the model itself and those that come with the line. They may differ in anything between head and tail. A
 * node is shared when every member has one like it: same operator and attributes, inputs that are shared themselves or
 * constants of equal bits. What is behind the averaged values must be shared, and so must be what other outputs are made
 * of; else the ensemble would have to take one member's word for it. All other nodes stand in the graph once a member, under
 * prefixed names, each with constants of its own, so that a later training does not tie the members together. */
#include "onnx/edit_ensemble.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

enum state { NOT_USED, SHARED, NEEDED };

struct value {
    const char *name;
    Onnx__TensorProto *constant; /* an initializer, or what a Constant node holds */
    int64_t node;                /* that makes it, -1 */
    const char *shared, *own;    /* what it is called in the ensemble; NULL: not there */
    int is_input, is_average;
};

struct member {
    Onnx__GraphProto *g;
    struct value *v; /* by name */
    size_t n_v;
    size_t *order; /* of nodes, topological */
    uint8_t *state;
};

struct merge {
    struct hn_modify *e;
    struct member *m; /* the first is the model itself */
    size_t n;
    char **averages; /* n_averages names of values, as in every member */
    size_t n_averages;
    const char *prefix;
    Onnx__GraphProto was; /* the first member's lists before they were emptied */
    size_t room;          /* for nodes in the new list */
    int nomem;            /* memory ran out where only yes and no can be said */
};

static hone_status unsupported(const struct merge *k, const char *where, const char *why)
{
    return hn_fail(k->e->err, HONE_E_UNSUPPORTED, where ? where : "", "ensemble: %s", why);
}

/* ---- a member's values ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->constant == NULL) - (y->constant == NULL);
}

static struct value *find(const struct member *m, const char *name)
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

static void list_values(struct member *m)
{
    Onnx__GraphProto *g = m->g;
    struct value *to = m->v;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name)
            *to++ =
                (struct value){ g->initializer[i]->name, g->initializer[i], -1, NULL, NULL, 0, 0 };
    for (size_t i = 0; i < g->n_input; i++)
        *to++ = (struct value){ g->input[i]->name, NULL, -1, NULL, NULL, 1, 0 };
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t o = 0; o < g->node[i]->n_output; o++)
            if (*g->node[i]->output[o])
                *to++ = (struct value){
                    g->node[i]->output[o], held(g->node[i]), (int64_t)i, NULL, NULL, 0, 0
                };
    size_t n = (size_t)(to - m->v);
    if (n) qsort(m->v, n, sizeof *m->v, by_name);
    m->n_v = 0; /* initializers that are listed as inputs, too, once */
    for (size_t i = 0; i < n; i++)
        if (!m->n_v || strcmp(m->v[m->n_v - 1].name, m->v[i].name) != 0) m->v[m->n_v++] = m->v[i];
}

/* The names that a node reads, also from inside its graphs; fn returns 0 to stop. */
static int each_name(Onnx__NodeProto *n, int (*fn)(void *user, char **name), void *user);

static int each_graph_name(Onnx__GraphProto *g, int (*fn)(void *user, char **name), void *user)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (!each_name(g->node[i], fn, user)) return 0;
    return 1;
}

static int each_name(Onnx__NodeProto *n, int (*fn)(void *user, char **name), void *user)
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
    const struct member *m;
    const uint8_t *placed;
};

static int is_placed(void *user, char **name)
{
    const struct placing *p = user;
    const struct value *v = find(p->m, *name);
    return !v || v->node < 0 || p->placed[v->node];
}

/* Files are in topological order but for a few odd ones. */
static hone_status sort_nodes(const struct merge *k, struct member *m)
{
    size_t n = m->g->n_node, done = 0;
    uint8_t *placed = hn_arena_alloc(k->e->arena, n + 1, 1);
    struct placing p = { m, placed };
    if (!placed) return hn_md_nomem(k->e);
    while (done < n) {
        size_t before = done;
        for (size_t i = 0; i < n; i++) {
            if (placed[i] || !each_name(m->g->node[i], is_placed, &p)) continue;
            placed[i] = 1;
            m->order[done++] = i;
        }
        if (done == before) return unsupported(k, m->g->name, "the nodes form a cycle");
    }
    return HONE_OK;
}

static hone_status open_member(const struct merge *k, struct member *m, Onnx__GraphProto *g)
{
    struct hn_arena *a = k->e->arena;
    size_t n = g->n_initializer + g->n_input;
    for (size_t i = 0; i < g->n_node; i++) n += g->node[i]->n_output;
    m->g = g;
    m->v = hn_arena_alloc(a, n + 1, sizeof *m->v);
    m->order = hn_arena_alloc(a, g->n_node + 1, sizeof *m->order);
    m->state = hn_arena_alloc(a, g->n_node + 1, 1);
    if (!m->v || !m->order || !m->state) return hn_md_nomem(k->e);
    if (g->n_sparse_initializer) return unsupported(k, g->name, "it has sparse initializers");
    list_values(m);
    for (size_t i = 0; i < k->n_averages; i++) {
        struct value *v = find(m, k->averages[i]);
        if (!v || v->node < 0)
            return unsupported(k, k->averages[i], "no node of a member makes this value");
        v->is_average = 1;
        v->shared = v->name;
    }
    return sort_nodes(k, m);
}

/* ---- what is the same in all of them --------------------------------------------------------------------------------------- */

static int same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

/* Do two messages of one type have the same bytes? */
static int same_message(struct merge *k, const ProtobufCMessage *a, const ProtobufCMessage *b)
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

static int same_tensor(struct merge *k, const Onnx__TensorProto *a, const Onnx__TensorProto *b)
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

static int same_operator(struct merge *k, const Onnx__NodeProto *a, const Onnx__NodeProto *b)
{
    if (!same_text(a->op_type, b->op_type) || !same_text(a->domain, b->domain) ||
        !same_text(a->overload, b->overload) || a->n_input != b->n_input ||
        a->n_output != b->n_output || a->n_attribute != b->n_attribute)
        return 0;
    for (size_t i = 0; i < a->n_attribute; i++)
        if (!same_message(k, &a->attribute[i]->base, &b->attribute[i]->base)) return 0;
    return 1;
}

/* x of the first member and y of another are one value of the ensemble. */
static int same_value(struct merge *k, const struct value *x, const struct value *y)
{
    if (!x || !y) return x == y;
    if (x->constant || y->constant)
        return x->constant && y->constant && same_tensor(k, x->constant, y->constant);
    if (x->is_input || y->is_input)
        return x->is_input && y->is_input && strcmp(x->name, y->name) == 0;
    return x->shared && y->shared && strcmp(x->shared, y->shared) == 0;
}

struct pairing {
    struct merge *k;
    const struct member *other;
    Onnx__NodeProto *node; /* the other's, whose own inputs stand at the same places */
};

static int makes_average(const struct member *m, const Onnx__NodeProto *n)
{
    for (size_t i = 0; i < n->n_output; i++) {
        const struct value *v = *n->output[i] ? find(m, n->output[i]) : NULL;
        if (v && v->is_average) return 1;
    }
    return 0;
}

static int inner_is_shared(void *user, char **name)
{
    const struct pairing *p = user;
    const struct value *x = find(&p->k->m[0], *name), *y = find(p->other, *name);
    return !x || same_value(p->k, x, y);
}

static int same_node(struct pairing *p, Onnx__NodeProto *a)
{
    Onnx__NodeProto *b = p->node;
    if (!same_operator(p->k, a, b)) return 0;
    for (size_t i = 0; i < a->n_input; i++) {
        if (!*a->input[i] != !*b->input[i]) return 0;
        if (!same_value(p->k, find(&p->k->m[0], a->input[i]), find(p->other, b->input[i])))
            return 0;
    }
    for (size_t i = 0; i < a->n_output; i++)
        if (!*a->output[i] != !*b->output[i]) return 0;
    Onnx__NodeProto inner = *a; /* what its graphs read besides */
    inner.n_input = 0;
    return each_name(&inner, inner_is_shared, p);
}

/* The node of member k that is like a; -1: none. */
static int64_t partner(struct merge *k, size_t at, Onnx__NodeProto *a)
{
    struct member *m = &k->m[at];
    struct pairing p = { k, m, NULL };
    for (size_t i = 0; i < m->g->n_node; i++) {
        p.node = m->g->node[i];
        if (m->state[i] == NOT_USED && !held(p.node) && !makes_average(m, p.node) &&
            same_node(&p, a))
            return (int64_t)i;
    }
    return -1;
}

static void share_outputs(struct member *m, const Onnx__NodeProto *n, const Onnx__NodeProto *first)
{
    for (size_t i = 0; i < n->n_output; i++) {
        struct value *v = *n->output[i] ? find(m, n->output[i]) : NULL;
        if (v) v->shared = first->output[i];
    }
}

static hone_status share_nodes(struct merge *k)
{
    struct member *first = &k->m[0];
    int64_t *found = hn_arena_alloc(k->e->arena, k->n, sizeof *found);
    if (!found) return hn_md_nomem(k->e);
    for (size_t o = 0; o < first->g->n_node; o++) {
        size_t at = first->order[o], i = 1;
        Onnx__NodeProto *a = first->g->node[at];
        if (held(a) || makes_average(first, a)) continue;
        found[0] = (int64_t)at;
        while (i < k->n && (found[i] = partner(k, i, a)) >= 0) i++;
        if (k->nomem) return hn_md_nomem(k->e);
        if (i < k->n) continue;
        for (i = 0; i < k->n; i++) {
            k->m[i].state[found[i]] = SHARED;
            share_outputs(&k->m[i], k->m[i].g->node[found[i]], a);
        }
    }
    return HONE_OK;
}

/* ---- what has to be there --------------------------------------------------------------------------------------------------- */

static int reads_average(void *user, char **name)
{
    const struct value *v = find(user, *name);
    return !v || !v->is_average; /* 0 stops: found */
}

/* Whatever reads an average must be the same in all members; what reads that is then, too, or is not shared either. */
static hone_status check_tail(const struct merge *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct member *m = &k->m[i];
        for (size_t o = 0; o < m->g->n_node; o++) {
            Onnx__NodeProto *n = m->g->node[o];
            if (m->state[o] != SHARED && !each_name(n, reads_average, m))
                return unsupported(k, n->name && *n->name ? n->name : n->op_type,
                                   "the members differ behind the value that is averaged");
        }
    }
    return HONE_OK;
}

struct needing {
    struct member *m;
    size_t added;
};

static int need(void *user, char **name)
{
    struct needing *w = user;
    const struct value *v = find(w->m, *name);
    if (v && v->node >= 0 && !v->shared && !v->constant && w->m->state[v->node] == NOT_USED) {
        w->m->state[v->node] = NEEDED;
        w->added++;
    }
    return 1;
}

/* The nodes between what is shared and the averages. */
static void mark_needed(const struct merge *k, struct member *m)
{
    struct needing w = { m, 0 };
    for (size_t i = 0; i < k->n_averages; i++) m->state[find(m, k->averages[i])->node] = NEEDED;
    for (size_t o = m->g->n_node; o-- > 0;) {
        size_t at = m->order[o];
        if (m->state[at] == NEEDED) each_name(m->g->node[at], need, &w);
    }
}

static hone_status check_outputs(const struct merge *k)
{
    const struct member *m = &k->m[0];
    for (size_t i = 0; i < k->was.n_output; i++) {
        const struct value *v = find(m, k->was.output[i]->name);
        if (!v || v->is_input || v->constant || v->shared) continue;
        return unsupported(k, v->name,
                           "this output is neither averaged nor the same in all members");
    }
    return HONE_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

static int add_node(struct merge *k, Onnx__NodeProto *n)
{
    Onnx__GraphProto *g = k->e->g;
    if (g->n_node >= k->room) {
        size_t room = 2 * g->n_node + 64;
        Onnx__NodeProto **v = hn_arena_alloc(k->e->arena, room, sizeof(Onnx__NodeProto *));
        if (!v) return 0;
        if (g->n_node) memcpy(v, g->node, g->n_node * sizeof *v);
        g->node = v;
        k->room = room;
    }
    g->node[g->n_node++] = n;
    return 1;
}

static int add_constant(struct merge *k, const struct value *v, const struct member *m, char *name)
{
    struct hn_modify *e = k->e;
    if (v->node < 0) {
        Onnx__TensorProto *t = hn_arena_alloc(e->arena, 1, sizeof *t);
        if (!t) return 0;
        *t = *v->constant; /* the lists are shared: packing only reads */
        t->name = name;
        return hn_md_add_initializer(e, t);
    }
    Onnx__NodeProto *n = hn_arena_alloc(e->arena, 1, sizeof *n);
    char **output = hn_arena_alloc(e->arena, 1, sizeof *output);
    if (!n || !output) return 0;
    *n = *m->g->node[v->node];
    n->output = output;
    *output = name;
    if (n->name && *n->name && strcmp(name, v->name) != 0) n->name = name;
    return add_node(k, n);
}

struct naming {
    struct merge *k;
    size_t at;  /* member */
    int shared; /* for a shared node */
};

static char *own_name(const struct naming *w, const char *name)
{
    return hn_md_text(w->k->e, "%s%zu/%s", w->k->prefix, w->at + 1, name);
}

/* What the value is called here; constants are put into the graph when they are first asked for. */
static int rename_one(void *user, char **name)
{
    const struct naming *w = user;
    struct member *m = &w->k->m[w->at];
    struct value *v = find(m, *name);
    if (!v || v->is_input) return 1;
    const char **as = w->shared ? &v->shared : &v->own;
    if (v->constant && !*as) {
        char *fresh = w->shared ? (char *)(uintptr_t)v->name : own_name(w, v->name);
        *as = fresh;
        if (!fresh || !add_constant(w->k, v, m, fresh)) return 0;
    }
    const char *now = v->constant ? *as : v->shared ? v->shared : v->own;
    if (now) *name = (char *)(uintptr_t)now;
    return now != NULL;
}

static int write_node(const struct naming *w, size_t node)
{
    struct member *m = &w->k->m[w->at];
    Onnx__NodeProto *n = m->g->node[node];
    if (!each_name(n, rename_one, (void *)(uintptr_t)w)) return 0;
    for (size_t i = 0; i < n->n_output && !w->shared; i++) {
        struct value *v = *n->output[i] ? find(m, n->output[i]) : NULL;
        if (!v) continue;
        if (!(v->own = own_name(w, v->name))) return 0;
        n->output[i] = (char *)(uintptr_t)v->own;
    }
    if (!w->shared && n->name && *n->name && !(n->name = own_name(w, n->name))) return 0;
    return add_node(w->k, n);
}

/* tail: what reads an average, or reads what does. */
static int reads_tail(void *user, char **name)
{
    const struct value *v = find(user, *name);
    return !v || v->constant || !(v->is_average || v->own); /* 0 stops: it does */
}

/* Shared nodes, before the members and after the averages. own of a value marks it as one of the tail. */
static hone_status write_shared(struct merge *k, int tail)
{
    struct member *m = &k->m[0];
    struct naming w = { k, 0, 1 };
    for (size_t o = 0; o < m->g->n_node; o++) {
        size_t at = m->order[o];
        Onnx__NodeProto *n = m->g->node[at];
        if (m->state[at] != SHARED) continue;
        int is_tail = !each_name(n, reads_tail, m);
        for (size_t i = 0; i < n->n_output && is_tail; i++) {
            struct value *v = find(m, n->output[i]);
            if (v) v->own = v->name;
        }
        if (is_tail == tail && !write_node(&w, at)) return hn_md_nomem(k->e);
    }
    return HONE_OK;
}

static hone_status write_members(struct merge *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct naming w = { k, i, 0 };
        for (size_t o = 0; o < k->m[i].g->n_node; o++) {
            size_t at = k->m[i].order[o];
            if (k->m[i].state[at] == NEEDED && !write_node(&w, at)) return hn_md_nomem(k->e);
        }
    }
    return HONE_OK;
}

/* The axis of a Softmax that reads the value, so that the members' is the same one. */
static int softmax_axis(const struct merge *k, const char *value)
{
    for (size_t i = 0; i < k->was.n_node; i++) {
        const Onnx__NodeProto *n = k->was.node[i];
        const Onnx__AttributeProto *a =
            hn_md_is(n, "Softmax") || hn_md_is(n, "LogSoftmax") ? hn_md_attr(n, "axis") : NULL;
        if (a && n->n_input && !strcmp(n->input[0], value)) return (int)a->i;
    }
    return k->e->opset < 13 ? 1 : -1;
}

static hone_status write_averages(struct merge *k)
{
    struct hn_modify *e = k->e;
    for (size_t j = 0; j < k->n_averages; j++) {
        struct hn_average a = { .kind = e->words[1 + 2 * j],
                                .value = k->averages[j],
                                .n = k->n,
                                .prefix = k->prefix,
                                .softmax_axis = softmax_axis(k, k->averages[j]) };
        a.from = hn_arena_alloc(e->arena, k->n, sizeof *a.from);
        if (!a.from) return hn_md_nomem(e);
        for (size_t i = 0; i < k->n; i++)
            a.from[i] = (char *)(uintptr_t)find(&k->m[i], k->averages[j])->own;
        HN_TRY(hn_edit_average(e, &a));
    }
    k->room = 0; /* the list is another one */
    return HONE_OK;
}

/* Constants that are outputs, inputs that are left, types of values that are left. */
static hone_status finish(struct merge *k)
{
    Onnx__GraphProto *g = k->e->g;
    struct naming w = { k, 0, 1 };
    for (size_t i = 0; i < k->was.n_output; i++) {
        char *name = k->was.output[i]->name;
        if (!rename_one(&w, &name)) return hn_md_nomem(k->e);
    }
    for (size_t i = 0; i < g->n_input;) {
        const struct value *v = find(&k->m[0], g->input[i]->name);
        if (v && v->constant && !hn_md_initializer(k->e, v->name))
            hn_md_remove(&g->input, &g->n_input, i);
        else
            i++;
    }
    for (size_t i = 0; i < k->was.n_value_info; i++) {
        Onnx__ValueInfoProto *info = k->was.value_info[i];
        const struct value *v = info->name ? find(&k->m[0], info->name) : NULL;
        if (v && v->shared && !hn_md_append(k->e, &g->value_info, &g->n_value_info, info))
            return hn_md_nomem(k->e);
    }
    return HONE_OK;
}

/* ---- the edit ---------------------------------------------------------------------------------------------------------------- */

/* Something that no name of any member begins with. */
static hone_status choose_prefix(struct merge *k)
{
    for (const char *p = "member"; p; p = hn_md_text(k->e, "%s_", p)) {
        int taken = 0;
        for (size_t i = 0; i < k->n && !taken; i++) {
            const struct member *m = &k->m[i];
            for (size_t v = 0; v < m->n_v; v++) taken |= !strncmp(m->v[v].name, p, strlen(p));
            for (size_t v = 0; v < m->g->n_node; v++)
                taken |= m->g->node[v]->name && !strncmp(m->g->node[v]->name, p, strlen(p));
        }
        k->prefix = p;
        if (!taken) return HONE_OK;
    }
    return hn_md_nomem(k->e);
}

/* A member may use no operator set that the model does not import, and takes the same inputs. */
static hone_status check_member(const struct merge *k, const Onnx__ModelProto *other)
{
    const Onnx__ModelProto *model = k->e->model;
    for (size_t i = 0; i < other->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = other->opset_import[i];
        size_t at = 0;
        while (at < model->n_opset_import &&
               !(same_text(model->opset_import[at]->domain, o->domain) &&
                 model->opset_import[at]->version == o->version))
            at++;
        if (at == model->n_opset_import)
            return unsupported(k, o->domain, "the members import different operator sets");
    }
    const Onnx__GraphProto *g = other->graph;
    for (size_t i = 0; i < g->n_input; i++) {
        int constant = 0;
        for (size_t c = 0; c < g->n_initializer; c++)
            constant |= same_text(g->initializer[c]->name, g->input[i]->name);
        if (!constant && !hn_md_input(k->e, g->input[i]->name))
            return unsupported(k, g->input[i]->name, "the members have different inputs");
    }
    return HONE_OK;
}

static hone_status read_member(struct merge *k, size_t at, const struct hn_tensor *t)
{
    struct hn_modify *e = k->e;
    struct hn_proto *p = &e->others[at];
    struct hn_scan *s = &e->other_scans[at];
    size_t n = (size_t)t->n * hn_dtype_size(t->dtype);
    HN_TRY(hn_scan_model(s, e->mem, t->data, n, NULL, "a member", e->err));
    HN_TRY(hn_proto_read_model(p, e->mem, t->data, n, s, "a member", e->err));
    HN_TRY(check_member(k, p->model));
    return open_member(k, &k->m[at + 1], p->model->graph);
}

static hone_status open_members(struct merge *k)
{
    struct hn_modify *e = k->e;
    size_t others = e->line->n_values;
    k->n = others + 1;
    k->n_averages = (size_t)(e->n_words - 1) / 2;
    k->m = hn_arena_alloc(e->arena, k->n, sizeof *k->m);
    k->averages = hn_arena_alloc(e->arena, k->n_averages, sizeof *k->averages);
    e->others = hn_arena_alloc(e->arena, others, sizeof *e->others);
    e->other_scans = hn_arena_alloc(e->arena, others, sizeof *e->other_scans);
    if (!k->m || !k->averages || !e->others || !e->other_scans) return hn_md_nomem(e);
    for (size_t j = 0; j < k->n_averages; j++) k->averages[j] = e->words[2 + 2 * j];
    e->n_others = others;
    HN_TRY(open_member(k, &k->m[0], e->g));
    for (size_t i = 0; i < others; i++) HN_TRY(read_member(k, i, &e->line->values[i]));
    return HONE_OK;
}

hone_status hn_edit_ensemble(struct hn_modify *e)
{
    struct merge k = { .e = e, .was = *e->g };
    if (e->n_words % 2 == 0 || !e->line->n_values)
        return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                       "wanted: ensemble KIND VALUE [KIND VALUE...], with the other members");
    if (e->opset < 7) return unsupported(&k, "", "needs opset 7");
    HN_TRY(open_members(&k));
    HN_TRY(choose_prefix(&k));
    HN_TRY(share_nodes(&k));
    HN_TRY(check_tail(&k));
    HN_TRY(check_outputs(&k));
    for (size_t i = 0; i < k.n; i++) mark_needed(&k, &k.m[i]);
    Onnx__GraphProto *first = hn_arena_alloc(e->arena, 1, sizeof *first);
    if (!first) return hn_md_nomem(e);
    *first = k.was; /* the lists that e->g had */
    k.m[0].g = first;
    e->g->n_node = e->g->n_initializer = e->g->n_value_info = 0;
    e->g->node = NULL;
    e->g->initializer = NULL;
    e->g->value_info = NULL;
    HN_TRY(write_shared(&k, 0));
    HN_TRY(write_members(&k));
    HN_TRY(write_averages(&k));
    HN_TRY(write_shared(&k, 1));
    return finish(&k);
}
