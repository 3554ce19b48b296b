/* SPDX-License-Identifier: MIT
 *
 * The table of functions, and the reading of a body: its names become numbers, its calls are followed to the end. */
#include "onnx/function.h"
#include "onnx/import.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <string.h>

static const char *text(const char *s) { return s ? s : ""; }

static hone_status nomem(const struct hn_functions *t)
{
    return hn_nomem(t->err, "the functions of the model", 0);
}

/* The three parts with the lengths of the first two in front, so that no two identifiers are the same text. */
static hone_status make_id(struct hn_functions *t, const char *domain, const char *name,
                           const char *overload)
{
    const char *parts[3] = { hn_import_domain(domain), text(name), text(overload) };
    char head[64];
    int n = snprintf(head, sizeof head, "%zu %zu ", strlen(parts[0]), strlen(parts[1]));
    t->id.n = 0;
    HN_TRY(t->id.sink.write(&t->id.sink, head, (size_t)n, t->err));
    for (int i = 0; i < 3; i++)
        HN_TRY(t->id.sink.write(&t->id.sink, parts[i], strlen(parts[i]), t->err));
    return HONE_OK;
}

static hone_status add(struct hn_functions *t, size_t i, const Onnx__FunctionProto *p)
{
    struct hn_function *f = &t->v[i];
    const char *domain = hn_import_domain(p->domain), *overload = text(p->overload);
    f->p = p;
    f->label = hn_arena_printf(t->arena, "%s%s%s%s%s", domain, *domain ? "." : "", text(p->name),
                               *overload ? ":" : "", overload);
    HN_TRY(make_id(t, domain, p->name, overload));
    const char *id = hn_arena_strdup(t->arena, t->id.p);
    if (!f->label || !id) return nomem(t);
    if (hn_names_find(&t->by_id, id))
        return hn_fail(t->err, HONE_E_MODEL, f->label, "the file defines this function twice");
    return hn_names_put(&t->by_id, id, (int32_t)i) ? HONE_OK : nomem(t);
}

hone_status hn_functions_open(struct hn_functions *t, struct hn_mem *m, struct hn_arena *arena,
                              const Onnx__ModelProto *model, hone_error *err)
{
    *t = (struct hn_functions){ .arena = arena, .n = model->n_functions, .err = err };
    hn_names_init(&t->by_id, m);
    hn_buffer_init(&t->id, m);
    t->v = hn_arena_alloc(arena, t->n + 1, sizeof *t->v);
    if (!t->v) return nomem(t);
    for (size_t i = 0; i < t->n; i++) HN_TRY(add(t, i, model->functions[i]));
    return HONE_OK;
}

void hn_functions_close(struct hn_functions *t)
{
    hn_names_free(&t->by_id);
    if (t->arena) hn_buffer_free(&t->id);
    *t = (struct hn_functions){ 0 };
}

int64_t hn_function_opset(const struct hn_function *f, const char *domain)
{
    int64_t best = 0;
    for (size_t i = 0; i < f->p->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = f->p->opset_import[i];
        int same = strcmp(hn_import_domain(o->domain), hn_import_domain(domain)) == 0;
        if (same && o->version > best) best = o->version;
    }
    return best;
}

/* ---- a body ------------------------------------------------------------------------------------------------------ */

struct layout {
    struct hn_functions *t;
    struct hn_function *f;
    struct hn_names numbers;
    uint8_t *made; /* by number: an input, or a node's output */
};

/* The number of a name, a new one where it is the first time. -1: no memory. */
static int32_t number(struct layout *l, const char *name)
{
    struct hn_function *f = l->f;
    if (!*name) return 0;
    const int32_t *found = hn_names_find(&l->numbers, name);
    if (found) return *found;
    int32_t k = (int32_t)f->n_names;
    if (!hn_names_put(&l->numbers, name, k)) return -1;
    f->names[f->n_names++] = name;
    return k;
}

static hone_status make(struct layout *l, const char *name, int32_t *k)
{
    *k = number(l, name);
    if (*k < 0) return nomem(l->t);
    if (*k && l->made[*k])
        return hn_fail(l->t->err, HONE_E_MODEL, l->f->label, "the function defines '%.100s' twice",
                       name);
    l->made[*k] = 1;
    return HONE_OK;
}

static hone_status lay_node(struct layout *l, size_t i)
{
    const Onnx__NodeProto *p = l->f->p->node[i];
    struct hn_body_node *n = &l->f->nodes[i];
    n->in = hn_arena_alloc(l->t->arena, p->n_input + p->n_output + 1, sizeof *n->in);
    if (!n->in) return nomem(l->t);
    n->out = n->in + p->n_input;
    for (size_t k = 0; k < p->n_input; k++)
        if ((n->in[k] = number(l, p->input[k])) < 0) return nomem(l->t);
    for (size_t k = 0; k < p->n_output; k++) HN_TRY(make(l, p->output[k], &n->out[k]));
    return HONE_OK;
}

static hone_status lay_ends(struct layout *l, int outputs)
{
    const Onnx__FunctionProto *p = l->f->p;
    int32_t k;
    for (size_t i = 0; i < p->n_input && !outputs; i++) {
        if (!*p->input[i])
            return hn_fail(l->t->err, HONE_E_MODEL, l->f->label, "input %zu has no name", i);
        HN_TRY(make(l, p->input[i], &k));
    }
    for (size_t i = 0; i < p->n_output && outputs; i++) {
        const int32_t *at = hn_names_find(&l->numbers, p->output[i]);
        if (!at || !l->made[*at])
            return hn_fail(l->t->err, HONE_E_MODEL, l->f->label,
                           "output '%.100s' of the function is not defined by any of its nodes",
                           p->output[i]);
        l->f->outputs[i] = *at;
    }
    return HONE_OK;
}

static hone_status lay_all(struct layout *l)
{
    struct hn_function *f = l->f;
    const Onnx__FunctionProto *p = f->p;
    struct hn_arena *a = l->t->arena;
    size_t most = 2 + p->n_input;
    for (size_t i = 0; i < p->n_node; i++) most += p->node[i]->n_input + p->node[i]->n_output;
    if (most > INT32_MAX)
        return hn_fail(l->t->err, HONE_E_BUDGET, f->label, "the function has %zu names", most);
    f->names = hn_arena_alloc(a, most, sizeof *f->names);
    f->nodes = hn_arena_alloc(a, p->n_node + 1, sizeof *f->nodes);
    f->outputs = hn_arena_alloc(a, p->n_output + 1, sizeof *f->outputs);
    l->made = hn_arena_alloc(a, most, 1);
    if (!f->names || !f->nodes || !f->outputs || !l->made) return nomem(l->t);
    f->names[f->n_names++] = "";
    HN_TRY(lay_ends(l, 0));
    for (size_t i = 0; i < p->n_node; i++) HN_TRY(lay_node(l, i));
    return lay_ends(l, 1);
}

static hone_status lay_out(struct hn_functions *t, struct hn_function *f)
{
    struct layout l = { .t = t, .f = f };
    hn_names_init(&l.numbers, t->by_id.mem);
    hone_status st = lay_all(&l);
    hn_names_free(&l.numbers);
    return st;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static hone_status find(struct hn_functions *t, const Onnx__NodeProto *n, struct hn_function **out)
{
    *out = NULL;
    if (!t->n) return HONE_OK;
    HN_TRY(make_id(t, n->domain, n->op_type, n->overload));
    const int32_t *at = hn_names_find(&t->by_id, t->id.p);
    if (at) *out = &t->v[*at];
    return HONE_OK;
}

static hone_status too_deep(struct hn_functions *t, const struct hn_function *f)
{
    return hn_fail(t->err, HONE_E_BUDGET, f->label, "functions call functions more than %d deep",
                   HN_CALL_DEPTH);
}

/* Recursion is bounded by depth; a function is visited once. */
static hone_status prepare(struct hn_functions *t, struct hn_function *f, int depth)
{
    if (f->state == HN_FN_READY) return HONE_OK;
    if (f->state == HN_FN_OPEN)
        return hn_fail(t->err, HONE_E_MODEL, f->label,
                       "the function calls itself, directly or through others");
    if (depth >= HN_CALL_DEPTH) return too_deep(t, f);
    if (f->p->n_attribute_proto > HN_MOST_ENTRIES || f->p->n_opset_import > HN_MOST_ENTRIES)
        return hn_fail(t->err, HONE_E_BUDGET, f->label,
                       "%zu defaults of attributes and %zu operator sets, at most %d are taken",
                       f->p->n_attribute_proto, f->p->n_opset_import, HN_MOST_ENTRIES);
    f->state = HN_FN_OPEN;
    HN_TRY(lay_out(t, f));
    f->n_flat = 1 + f->p->n_node;
    for (size_t i = 0; i < f->p->n_node; i++) {
        struct hn_function *callee;
        HN_TRY(find(t, f->p->node[i], &callee));
        f->nodes[i].callee = callee;
        if (!callee) continue;
        HN_TRY(prepare(t, callee, depth + 1));
        if (callee->height + 1 > f->height) f->height = callee->height + 1;
        f->n_flat += callee->n_flat;
        if (f->n_flat > SIZE_MAX / 4) f->n_flat = SIZE_MAX / 4;
    }
    if (f->height >= HN_CALL_DEPTH) return too_deep(t, f);
    f->state = HN_FN_READY;
    return HONE_OK;
}

hone_status hn_function_called(struct hn_functions *t, const Onnx__NodeProto *n,
                               struct hn_function **out)
{
    HN_TRY(find(t, n, out));
    return *out ? prepare(t, *out, 0) : HONE_OK;
}
