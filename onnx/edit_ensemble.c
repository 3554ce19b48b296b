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
 * of; else the ensemble would have to take one member's word for it. What lies between two averaged values (features that are
 * an output, and the layers behind them) belongs to the members, which go on from values of their own. All other nodes stand in the graph once a member, under
 * prefixed names, each with constants of its own, so that a later training does not tie the members together. */
#include "onnx/edit_ensemble.h"
#include "ops/base/status.h"
#include <string.h>

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

static int add_node(struct hn_merge *k, Onnx__NodeProto *n)
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

static int add_constant(struct hn_merge *k, const struct hn_peer_value *v, const struct hn_peer *m,
                        char *name)
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
    struct hn_merge *k;
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
    struct hn_peer *m = &w->k->m[w->at];
    struct hn_peer_value *v = hn_peer_value(m, *name);
    if (!v || v->is_input) return 1;
    const char **as = w->shared ? &v->shared : &v->own;
    if (v->constant && !*as) {
        char *fresh = w->shared ? (char *)(uintptr_t)v->name : own_name(w, v->name);
        *as = fresh;
        if (!fresh || !add_constant(w->k, v, m, fresh)) return 0;
    }
    int own = v->is_average && !w->shared; /* on the way to another average */
    const char *now = v->constant ? *as : v->shared && !own ? v->shared : v->own;
    if (now) *name = (char *)(uintptr_t)now;
    return now != NULL;
}

static int write_node(const struct naming *w, size_t node)
{
    struct hn_peer *m = &w->k->m[w->at];
    Onnx__NodeProto *n = m->g->node[node];
    if (!hn_peer_each_name(n, rename_one, (void *)(uintptr_t)w)) return 0;
    for (size_t i = 0; i < n->n_output && !w->shared; i++) {
        struct hn_peer_value *v = *n->output[i] ? hn_peer_value(m, n->output[i]) : NULL;
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
    const struct hn_peer_value *v = hn_peer_value(user, *name);
    return !v || v->constant || !(v->is_average || v->own); /* 0 stops: it does */
}

/* Shared nodes, before the members and after the averages. own of a value marks it as one of the tail. */
static hone_status write_shared(struct hn_merge *k, int tail)
{
    struct hn_peer *m = &k->m[0];
    struct naming w = { k, 0, 1 };
    for (size_t o = 0; o < m->g->n_node; o++) {
        size_t at = m->order[o];
        Onnx__NodeProto *n = m->g->node[at];
        if (m->state[at] != HN_PEER_SHARED) continue;
        int is_tail = !hn_peer_each_name(n, reads_tail, m);
        for (size_t i = 0; i < n->n_output && is_tail; i++) {
            struct hn_peer_value *v = hn_peer_value(m, n->output[i]);
            if (v) v->own = v->name;
        }
        if (is_tail == tail && !write_node(&w, at)) return hn_md_nomem(k->e);
    }
    return HONE_OK;
}

static hone_status write_members(struct hn_merge *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct naming w = { k, i, 0 };
        for (size_t o = 0; o < k->m[i].g->n_node; o++) {
            size_t at = k->m[i].order[o];
            if (k->m[i].state[at] == HN_PEER_NEEDED && !write_node(&w, at))
                return hn_md_nomem(k->e);
        }
    }
    return HONE_OK;
}

/* The axis of a Softmax that reads the value, so that the members' is the same one. */
static int softmax_axis(const struct hn_merge *k, const char *value)
{
    for (size_t i = 0; i < k->was.n_node; i++) {
        const Onnx__NodeProto *n = k->was.node[i];
        const Onnx__AttributeProto *a =
            hn_md_is(n, "Softmax") || hn_md_is(n, "LogSoftmax") ? hn_md_attr(n, "axis") : NULL;
        if (a && n->n_input && !strcmp(n->input[0], value)) return (int)a->i;
    }
    return k->e->opset < 13 ? 1 : -1;
}

static hone_status write_averages(struct hn_merge *k)
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
            a.from[i] = (char *)(uintptr_t)hn_peer_value(&k->m[i], k->averages[j])->own;
        HN_TRY(hn_edit_average(e, &a));
    }
    k->room = 0; /* the list is another one */
    return HONE_OK;
}

/* Constants that are outputs, inputs that are left, types of values that are left. */
static hone_status finish(struct hn_merge *k)
{
    Onnx__GraphProto *g = k->e->g;
    struct naming w = { k, 0, 1 };
    for (size_t i = 0; i < k->was.n_output; i++) {
        char *name = k->was.output[i]->name;
        if (!rename_one(&w, &name)) return hn_md_nomem(k->e);
    }
    for (size_t i = 0; i < g->n_input;) {
        const struct hn_peer_value *v = hn_peer_value(&k->m[0], g->input[i]->name);
        if (v && v->constant && !hn_md_initializer(k->e, v->name))
            hn_md_remove(&g->input, &g->n_input, i);
        else
            i++;
    }
    for (size_t i = 0; i < k->was.n_value_info; i++) {
        Onnx__ValueInfoProto *info = k->was.value_info[i];
        const struct hn_peer_value *v = info->name ? hn_peer_value(&k->m[0], info->name) : NULL;
        if (v && v->shared && !hn_md_append(k->e, &g->value_info, &g->n_value_info, info))
            return hn_md_nomem(k->e);
    }
    return HONE_OK;
}

/* ---- the edit ---------------------------------------------------------------------------------------------------------------- */

/* Something that no name of any member begins with. */
static hone_status choose_prefix(struct hn_merge *k)
{
    for (const char *p = "member"; p; p = hn_md_text(k->e, "%s_", p)) {
        int taken = 0;
        for (size_t i = 0; i < k->n && !taken; i++) {
            const struct hn_peer *m = &k->m[i];
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
static hone_status check_member(const struct hn_merge *k, const Onnx__ModelProto *other)
{
    const Onnx__ModelProto *model = k->e->model;
    for (size_t i = 0; i < other->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = other->opset_import[i];
        size_t at = 0;
        while (at < model->n_opset_import &&
               !(hn_peer_same_text(model->opset_import[at]->domain, o->domain) &&
                 model->opset_import[at]->version == o->version))
            at++;
        if (at == model->n_opset_import)
            return hn_peer_unsupported(k, o->domain, "the members import different operator sets");
    }
    const Onnx__GraphProto *g = other->graph;
    for (size_t i = 0; i < g->n_input; i++) {
        int constant = 0;
        for (size_t c = 0; c < g->n_initializer; c++)
            constant |= hn_peer_same_text(g->initializer[c]->name, g->input[i]->name);
        if (!constant && !hn_md_input(k->e, g->input[i]->name))
            return hn_peer_unsupported(k, g->input[i]->name, "the members have different inputs");
    }
    return HONE_OK;
}

static hone_status read_member(struct hn_merge *k, size_t at, const struct hn_tensor *t)
{
    struct hn_modify *e = k->e;
    struct hn_proto *p = &e->others[at];
    struct hn_scan *s = &e->other_scans[at];
    size_t n = (size_t)t->n * hn_dtype_size(t->dtype);
    HN_TRY(hn_scan_model(s, e->mem, t->data, n, NULL, "a member", e->err));
    HN_TRY(hn_proto_read_model(p, e->mem, t->data, n, s, "a member", e->err));
    struct hn_modify other = { .mem = e->mem,
                               .arena = e->arena,
                               .proto = p,
                               .n_bytes = n,
                               .model = p->model,
                               .g = p->model->graph,
                               .err = e->err };
    HN_TRY(hn_md_inline(&other));
    HN_TRY(check_member(k, p->model));
    return hn_peer_open(k, &k->m[at + 1], p->model->graph);
}

static hone_status open_members(struct hn_merge *k)
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
    HN_TRY(hn_peer_open(k, &k->m[0], e->g));
    for (size_t i = 0; i < others; i++) HN_TRY(read_member(k, i, &e->line->values[i]));
    return HONE_OK;
}

/* The labels of a linear model of ai.onnx.ml come out of the node itself, from in front of what is averaged. */
static hone_status refuse_linear(const struct hn_merge *k)
{
    for (size_t i = 0; i < k->e->g->n_node; i++) {
        const Onnx__NodeProto *n = k->e->g->node[i];
        if (n->op_type && strncmp(n->op_type, "Linear", 6) == 0 && n->domain &&
            strcmp(n->domain, "ai.onnx.ml") == 0)
            return hn_peer_unsupported(
                k, n->name ? n->name : "",
                "a linear model of ai.onnx.ml, which gives its labels itself");
    }
    return HONE_OK;
}

hone_status hn_edit_ensemble(struct hn_modify *e)
{
    struct hn_merge k = { .e = e, .was = *e->g };
    if (e->n_words % 2 == 0 || !e->line->n_values)
        return hn_fail(e->err, HONE_E_USAGE, e->line->text,
                       "wanted: ensemble KIND VALUE [KIND VALUE...], with the other members");
    if (e->opset < 7) return hn_peer_unsupported(&k, "", "needs opset 7");
    HN_TRY(refuse_linear(&k));
    HN_TRY(open_members(&k));
    HN_TRY(choose_prefix(&k));
    HN_TRY(hn_peer_share(&k));
    HN_TRY(hn_peer_check_tail(&k));
    HN_TRY(hn_peer_check_outputs(&k));
    for (size_t i = 0; i < k.n; i++) hn_peer_mark_needed(&k, &k.m[i]);
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
