/* SPDX-License-Identifier: MIT
 *
 * One call after the other, bodies first come first served. A value of a body has its name in the main graph as soon as
 * somebody gives it one: the call for inputs and outputs, the first node that mentions it otherwise. */
#include "onnx/expand.h"
#include "onnx/import.h"
#include "ops/base/status.h"
#include <string.h>

/* What a node, one of its outputs and one of its attributes take in the graph that is made of them, about. */
enum { NODE_BYTES = 512, VALUE_BYTES = 1024, ATTR_BYTES = 192 };

struct expansion {
    struct hn_expanded *out;
    struct hn_arena *arena;
    const struct hn_proto *p;
    hone_error *err;
    struct hn_names values, nodes; /* taken names; the number is the next to try behind a name */
    size_t *holder;                /* by tensor: the Constant that holds it, as position + 1 */
    size_t left, budget, n_bytes;
};

struct call {
    struct hn_function *f;
    const Onnx__NodeProto *node;  /* its inputs and outputs have the names of the main graph */
    Onnx__AttributeProto **attrs; /* without references */
    size_t n_attrs;
    const char *prefix;
    char **names; /* of the body's values in the main graph; NULL: none yet */
};

static hone_status nomem(const struct expansion *x)
{
    return hn_nomem(x->err, "the expanded functions", 0);
}

static hone_status too_much(const struct expansion *x, const char *label)
{
    hone_status st =
        hn_fail(x->err, HONE_E_BUDGET, label,
                "expanding the calls of functions would take more than %zu MiB, far more than the "
                "file's %zu bytes justify",
                x->budget >> 20, x->n_bytes);
    return hn_hint(x->err, st, "a file like this is damaged or made to exhaust memory");
}

static hone_status spend(struct expansion *x, const struct call *c, size_t bytes)
{
    if (bytes > x->left) return too_much(x, c->f->label);
    x->left -= bytes;
    return HONE_OK;
}

static hone_status push(struct expansion *x, Onnx__NodeProto *n, const struct hn_function *from)
{
    struct hn_expanded *o = x->out;
    struct hn_flat_node flat = { .node = n, .from = from };
    return n && HN_PUSH(o->mem, o->nodes, o->n, o->cap, flat) ? HONE_OK : nomem(x);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int take(struct hn_names *t, const char *name)
{
    return !name || !*name || hn_names_put(t, name, 1);
}

/* Names of subgraphs too: they see the names of the graph around them. Depth is bounded by the scan. */
static int take_graph(struct expansion *x, const Onnx__GraphProto *g)
{
    int ok = 1;
    for (size_t i = 0; i < g->n_input; i++) ok &= take(&x->values, g->input[i]->name);
    for (size_t i = 0; i < g->n_output; i++) ok &= take(&x->values, g->output[i]->name);
    for (size_t i = 0; i < g->n_initializer; i++) ok &= take(&x->values, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (g->sparse_initializer[i]->values)
            ok &= take(&x->values, g->sparse_initializer[i]->values->name);
    for (size_t i = 0; i < g->n_node && ok; i++) {
        const Onnx__NodeProto *n = g->node[i];
        ok &= take(&x->nodes, n->name);
        for (size_t k = 0; k < n->n_input; k++) ok &= take(&x->values, n->input[k]);
        for (size_t k = 0; k < n->n_output; k++) ok &= take(&x->values, n->output[k]);
        for (size_t a = 0; a < n->n_attribute && ok; a++) {
            if (n->attribute[a]->g) ok &= take_graph(x, n->attribute[a]->g);
            for (size_t k = 0; k < n->attribute[a]->n_graphs && ok; k++)
                ok &= take_graph(x, n->attribute[a]->graphs[k]);
        }
    }
    return ok;
}

/* prefix/name, with a number where that is taken. */
static hone_status fresh(struct expansion *x, struct hn_names *taken, const struct call *c,
                         const char *name, char **out)
{
    if (!name) return nomem(x);
    HN_TRY(spend(x, c, strlen(c->prefix) + strlen(name) + 64));
    char *base = hn_arena_printf(x->arena, "%s/%s", c->prefix, name), *s = base;
    int32_t *next = base ? hn_names_find(taken, base) : NULL;
    while (s && next && hn_names_find(taken, s))
        s = hn_arena_printf(x->arena, "%s_%d", base, (int)(*next)++);
    *out = s;
    return s && hn_names_put(taken, s, 1) ? HONE_OK : nomem(x);
}

/* A node's name, or its operator and place: "Linear#3". NULL: no memory. */
static const char *label_of(struct expansion *x, const Onnx__NodeProto *n, size_t i)
{
    if (n->name && *n->name) return n->name;
    return hn_arena_printf(x->arena, "%s#%zu", n->op_type ? n->op_type : "", i);
}

static hone_status name_value(struct expansion *x, struct call *c, int32_t k)
{
    return c->names[k] ? HONE_OK : fresh(x, &x->values, c, c->f->names[k], &c->names[k]);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static Onnx__AttributeProto *attr_named(Onnx__AttributeProto **list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (list[i]->name && strcmp(list[i]->name, name) == 0) return list[i];
    return NULL;
}

static int is_reference(const Onnx__AttributeProto *a)
{
    return a->ref_attr_name && *a->ref_attr_name;
}

/* What a reference means in this call: a copy under the node's own name for it; NULL and HONE_OK: nothing. */
static hone_status look_up(struct expansion *x, const struct call *c, const Onnx__AttributeProto *a,
                           Onnx__AttributeProto **out)
{
    const Onnx__FunctionProto *f = c->f->p;
    const Onnx__AttributeProto *found = attr_named(c->attrs, c->n_attrs, a->ref_attr_name);
    if (!found) found = attr_named(f->attribute_proto, f->n_attribute_proto, a->ref_attr_name);
    *out = NULL;
    if (!found) return HONE_OK;
    if (is_reference(found))
        return hn_fail(x->err, HONE_E_MODEL, c->f->label,
                       "the default of attribute '%.80s' is a reference itself", a->ref_attr_name);
    if (a->has_type && a->type && found->has_type && found->type && a->type != found->type)
        return hn_fail(x->err, HONE_E_MODEL, c->prefix,
                       "attribute '%.80s' of the call is of type %d, the function '%.80s' wants %d",
                       a->ref_attr_name, (int)found->type, c->f->label, (int)a->type);
    Onnx__AttributeProto *copy = hn_arena_alloc(x->arena, 1, sizeof *copy);
    if (!copy) return nomem(x);
    *copy = *found;
    copy->name = a->name;
    copy->ref_attr_name = NULL;
    *out = copy;
    return HONE_OK;
}

/* The text of attributes is copied into the graph, everything else is only pointed at. */
static size_t weight_of(const Onnx__AttributeProto *a)
{
    size_t n = ATTR_BYTES + a->s.len;
    for (size_t i = 0; i < a->n_strings; i++) n += 32 + a->strings[i].len;
    return n;
}

/* The attributes of a body's node in this call. */
static hone_status resolve(struct expansion *x, const struct call *c, const Onnx__NodeProto *n,
                           Onnx__AttributeProto ***list, size_t *n_list)
{
    int references = 0;
    size_t weight = 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        references |= is_reference(n->attribute[i]);
        weight += weight_of(n->attribute[i]);
    }
    HN_TRY(spend(x, c, weight));
    *list = n->attribute;
    *n_list = n->n_attribute;
    if (!references) return HONE_OK;
    *list = hn_arena_alloc(x->arena, n->n_attribute, sizeof **list);
    *n_list = 0;
    if (!*list) return nomem(x);
    for (size_t i = 0; i < n->n_attribute; i++) {
        Onnx__AttributeProto *a = n->attribute[i];
        if (is_reference(a)) HN_TRY(look_up(x, c, n->attribute[i], &a));
        if (!a) continue;
        if (a != n->attribute[i]) HN_TRY(spend(x, c, weight_of(a)));
        (*list)[(*n_list)++] = a;
    }
    return HONE_OK;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* Node i of the body with the names it has in this call. */
static hone_status copy_node(struct expansion *x, struct call *c, size_t i, Onnx__NodeProto **out)
{
    const Onnx__NodeProto *n = c->f->p->node[i];
    const struct hn_body_node *b = &c->f->nodes[i];
    size_t ends = n->n_input + n->n_output;
    HN_TRY(spend(x, c, NODE_BYTES + 16 * ends + VALUE_BYTES * n->n_output));
    Onnx__NodeProto *copy = hn_arena_alloc(x->arena, 1, sizeof *copy);
    char **names = hn_arena_alloc(x->arena, ends + 1, sizeof *names);
    if (!copy || !names) return nomem(x);
    *copy = *n;
    copy->input = names;
    copy->output = names + n->n_input;
    for (size_t k = 0; k < ends; k++) {
        int32_t v = k < n->n_input ? b->in[k] : b->out[k - n->n_input];
        HN_TRY(name_value(x, c, v));
        names[k] = c->names[v];
    }
    *out = copy;
    return resolve(x, c, n, &copy->attribute, &copy->n_attribute);
}

static hone_status identity(struct expansion *x, const struct call *c, char *from, char *to)
{
    HN_TRY(spend(x, c, NODE_BYTES + VALUE_BYTES));
    Onnx__NodeProto *n = hn_arena_alloc(x->arena, 1, sizeof *n);
    char **names = hn_arena_alloc(x->arena, 2, sizeof *names);
    if (!n || !names) return nomem(x);
    onnx__node_proto__init(n);
    names[0] = from;
    names[1] = to;
    n->input = names;
    n->output = names + 1;
    n->n_input = n->n_output = 1;
    n->op_type = hn_arena_strdup(x->arena, "Identity");
    HN_TRY(fresh(x, &x->nodes, c, n->op_type, &n->name));
    return push(x, n, c->f);
}

static int is_constant(const Onnx__NodeProto *n)
{
    return n->op_type && strcmp(n->op_type, "Constant") == 0 && !*hn_import_domain(n->domain) &&
           n->n_output == 1 && *n->output[0];
}

/* A Constant: where its tensor is known already, the value takes the name that it has. */
static hone_status constant(struct expansion *x, struct call *c, size_t i)
{
    const Onnx__NodeProto *n = c->f->p->node[i];
    int32_t v = c->f->nodes[i].out[0];
    Onnx__AttributeProto **attrs;
    size_t n_attrs;
    HN_TRY(resolve(x, c, n, &attrs, &n_attrs));
    const Onnx__AttributeProto *a = n_attrs == 1 ? attr_named(attrs, n_attrs, "value") : NULL;
    int64_t id = a && a->t ? hn_proto_id(x->p, a->t) : -1;
    if (id >= 0 && x->holder[id]) {
        struct hn_flat_node *first = &x->out->nodes[x->holder[id] - 1];
        char *name = first->node->output[0];
        first->shared = 1;
        if (c->names[v]) return identity(x, c, name, c->names[v]);
        c->names[v] = name;
        return HONE_OK;
    }
    Onnx__NodeProto *copy;
    HN_TRY(copy_node(x, c, i, &copy));
    HN_TRY(fresh(x, &x->nodes, c, label_of(x, n, i), &copy->name));
    HN_TRY(push(x, copy, c->f));
    if (id >= 0) x->holder[id] = x->out->n;
    return HONE_OK;
}

static hone_status expand_call(struct expansion *x, struct call *c);

static hone_status body_node(struct expansion *x, struct call *c, size_t i)
{
    const Onnx__NodeProto *n = c->f->p->node[i];
    struct hn_function *callee = c->f->nodes[i].callee;
    Onnx__NodeProto *copy;
    HN_TRY(copy_node(x, c, i, &copy));
    HN_TRY(fresh(x, &x->nodes, c, label_of(x, n, i), &copy->name));
    if (!callee) return push(x, copy, c->f);
    struct call inner = { callee, copy, copy->attribute, copy->n_attribute, copy->name, NULL };
    return expand_call(x, &inner);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static int reads(const struct hn_function *f, const char *name)
{
    for (size_t i = 0; i < f->p->n_node; i++)
        for (size_t k = 0; k < f->p->node[i]->n_attribute; k++) {
            const Onnx__AttributeProto *a = f->p->node[i]->attribute[k];
            if (is_reference(a) && strcmp(a->ref_attr_name, name) == 0) return 1;
        }
    return 0;
}

static hone_status check_attributes(struct expansion *x, const struct call *c)
{
    struct hn_expanded *o = x->out;
    if (c->n_attrs > HN_MOST_ENTRIES)
        return hn_fail(x->err, HONE_E_BUDGET, c->prefix, "%zu attributes, at most %d are taken",
                       c->n_attrs, HN_MOST_ENTRIES);
    for (size_t i = 0; i < c->n_attrs; i++) {
        const Onnx__AttributeProto *a = c->attrs[i];
        if (!a->name || !*a->name)
            return hn_fail(x->err, HONE_E_MODEL, c->prefix, "attribute %zu has no name", i);
        if (attr_named(c->attrs, i, a->name))
            return hn_fail(x->err, HONE_E_MODEL, c->prefix, "attribute '%.80s' is given twice",
                           a->name);
        if (!a->t || reads(c->f, a->name)) continue;
        if (!o->n_unread++) o->unread = a->name, o->unread_call = c->prefix;
    }
    return HONE_OK;
}

static hone_status bind_inputs(struct expansion *x, struct call *c)
{
    const Onnx__FunctionProto *f = c->f->p;
    size_t found[2] = { c->node->n_input, c->node->n_output };
    size_t wanted[2] = { f->n_input, f->n_output };
    for (int k = 0; k < 2; k++)
        if (found[k] > wanted[k])
            return hn_fail(x->err, HONE_E_MODEL, c->prefix,
                           "the call has %zu %s, the function '%.100s' has %zu", found[k],
                           k ? "outputs" : "inputs", c->f->label, wanted[k]);
    HN_TRY(spend(x, c, NODE_BYTES + 16 * c->f->n_names));
    c->names = hn_arena_alloc(x->arena, c->f->n_names, sizeof *c->names);
    if (!c->names) return nomem(x);
    for (size_t k = 0; k < c->f->n_names && k <= f->n_input; k++)
        c->names[k] = k && k <= c->node->n_input ? c->node->input[k - 1] : "";
    return HONE_OK;
}

/* The call's names for what the body makes; an output that has a name already is handed through at the end. */
static hone_status bind_outputs(struct expansion *x, struct call *c, int at_the_end)
{
    const Onnx__NodeProto *n = c->node;
    for (size_t k = 0; k < n->n_output; k++) {
        char **name = &c->names[c->f->outputs[k]];
        if (!*n->output[k]) continue;
        if (!at_the_end && !*name) *name = n->output[k];
        if (!at_the_end || *name == n->output[k]) continue;
        if (!**name)
            return hn_fail(x->err, HONE_E_MODEL, c->prefix,
                           "output '%.100s' is an input that the call does not give", n->output[k]);
        HN_TRY(identity(x, c, *name, n->output[k]));
    }
    return HONE_OK;
}

/* Recursion is bounded: hn_function_called refuses what is deeper than HN_CALL_DEPTH. */
static hone_status expand_call(struct expansion *x, struct call *c)
{
    const Onnx__FunctionProto *f = c->f->p;
    HN_TRY(check_attributes(x, c));
    HN_TRY(bind_inputs(x, c));
    HN_TRY(bind_outputs(x, c, 0));
    for (size_t i = 0; i < f->n_node; i++)
        if (is_constant(f->node[i]) && !c->f->nodes[i].callee) HN_TRY(constant(x, c, i));
    for (size_t i = 0; i < f->n_node; i++)
        if (!is_constant(f->node[i]) || c->f->nodes[i].callee) HN_TRY(body_node(x, c, i));
    return bind_outputs(x, c, 1);
}

static hone_status call_of_main(struct expansion *x, struct hn_function *f, size_t i)
{
    const Onnx__NodeProto *n = x->p->model->graph->node[i];
    struct call c = { f, n, n->attribute, n->n_attribute, label_of(x, n, i), NULL };
    if (!c.prefix) return nomem(x);
    for (size_t k = 0; k < n->n_attribute; k++)
        if (is_reference(n->attribute[k]))
            return hn_fail(x->err, HONE_E_MODEL, c.prefix,
                           "attribute '%.80s' refers to a function's, outside of one",
                           n->attribute[k]->name ? n->attribute[k]->name : "");
    return expand_call(x, &c);
}

/* What the calls of the main graph come to; *any: there are some. */
static hone_status count(struct expansion *x, int *any)
{
    const Onnx__GraphProto *g = x->p->model->graph;
    size_t total = 0;
    for (size_t i = 0; i < g->n_node; i++) {
        struct hn_function *f;
        HN_TRY(hn_function_called(&x->out->functions, g->node[i], &f));
        if (!f) continue;
        *any = 1;
        total += f->n_flat;
        if (total > x->budget / NODE_BYTES) return too_much(x, f->label);
    }
    return HONE_OK;
}

static hone_status expand(struct expansion *x)
{
    const Onnx__GraphProto *g = x->p->model->graph;
    int any = 0;
    HN_TRY(count(x, &any));
    if (any) {
        x->holder = hn_arena_alloc(x->arena, x->p->n_tensors + 1, sizeof *x->holder);
        if (!x->holder || !take_graph(x, g)) return nomem(x);
    }
    for (size_t i = 0; i < g->n_node; i++) {
        struct hn_function *f = NULL;
        if (any) HN_TRY(hn_function_called(&x->out->functions, g->node[i], &f));
        HN_TRY(f ? call_of_main(x, f, i) : push(x, g->node[i], NULL));
    }
    return HONE_OK;
}

hone_status hn_expand(struct hn_expanded *x, struct hn_mem *m, struct hn_arena *arena,
                      const struct hn_proto *p, size_t n_bytes, hone_error *err)
{
    struct expansion e = { .out = x, .arena = arena, .p = p, .err = err, .n_bytes = n_bytes };
    *x = (struct hn_expanded){ .mem = m };
    e.left = e.budget = hn_scan_budget(n_bytes);
    hn_names_init(&e.values, m);
    hn_names_init(&e.nodes, m);
    hone_status st = hn_functions_open(&x->functions, m, arena, p->model, err);
    if (st == HONE_OK) st = expand(&e);
    if (st == HONE_OK) st = hn_expand_ifs(x, arena, p->model->graph, err);
    hn_names_free(&e.values);
    hn_names_free(&e.nodes);
    if (st != HONE_OK) hn_expand_free(x);
    return st;
}

void hn_expand_free(struct hn_expanded *x)
{
    if (!x->mem) return;
    hn_free(x->mem, x->nodes);
    hn_functions_close(&x->functions);
    *x = (struct hn_expanded){ 0 };
}
