/* SPDX-License-Identifier: MIT
 *
 * If nodes of the main graph whose branches can stand in it, as PyTorch's exporter writes squeeze(1) of an axis it does not know
 * the size of:
 *
 *     y = If(c) then { a = Squeeze(x) } else { b = Identity(x) }   →   y = If(a, c, a, b);  a = Squeeze(x);  b = Identity(x)
 *
 * Which branch it is, is found where shapes are (hn_infer_if puts its value into input 0); the other one is not needed by
 * anybody. Branches come behind all other nodes, which so keep their positions in the file. An If stays as it is, and is
 * refused where it matters, if a branch has tensors of its own that could learn, subgraphs, or names that are taken. */
#include "onnx/expand.h"
#include "onnx/import.h"
#include "ops/base/status.h"
#include <string.h>

enum { MOST_NODES = 256 }; /* of a branch */

static int is_default(const Onnx__NodeProto *n) { return !*hn_import_domain(n->domain); }

static const Onnx__GraphProto *branch(const Onnx__NodeProto *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
            return n->attribute[i]->g;
    return NULL;
}

/* Numbers that say where and how, none that could learn. */
static int has_floats(const Onnx__AttributeProto *a)
{
    return a->n_floats || a->sparse_tensor || a->n_tensors || a->n_sparse_tensors ||
           (a->t &&
            (!a->t->has_data_type || (a->t->data_type != HN_I64 && a->t->data_type != HN_I32 &&
                                      a->t->data_type != HN_BOOL)));
}

static int is_plain_node(const Onnx__NodeProto *n)
{
    const int constant = n->op_type && !strcmp(n->op_type, "Constant");
    if (!n->op_type || !is_default(n)) return 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        const Onnx__AttributeProto *a = n->attribute[i];
        if (a->g || a->n_graphs || (a->ref_attr_name && *a->ref_attr_name)) return 0;
        if (constant && has_floats(a)) return 0;
    }
    return 1;
}

static int is_plain(const Onnx__GraphProto *g)
{
    if (!g || g->n_input || g->n_initializer || g->n_sparse_initializer || g->n_output != 1 ||
        !g->output[0]->name || !*g->output[0]->name || g->n_node > MOST_NODES)
        return 0;
    for (size_t i = 0; i < g->n_node; i++)
        if (!is_plain_node(g->node[i])) return 0;
    return 1;
}

static int can_be_opened(const Onnx__NodeProto *n)
{
    return n->op_type && !strcmp(n->op_type, "If") && is_default(n) && n->n_input == 1 &&
           *n->input[0] && n->n_output == 1 && n->n_attribute == 2 &&
           is_plain(branch(n, "then_branch")) && is_plain(branch(n, "else_branch"));
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

static int put(struct hn_names *t, const char *name)
{
    return !name || !*name || hn_names_put(t, name, 1);
}

static int main_names(const struct hn_expanded *x, const Onnx__GraphProto *g, struct hn_names *t)
{
    int ok = 1;
    for (size_t i = 0; i < g->n_input; i++) ok &= put(t, g->input[i]->name);
    for (size_t i = 0; i < g->n_initializer; i++) ok &= put(t, g->initializer[i]->name);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (g->sparse_initializer[i]->values) ok &= put(t, g->sparse_initializer[i]->values->name);
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->nodes[i].node->n_output; k++)
            ok &= put(t, x->nodes[i].node->output[k]);
    return ok;
}

/* Are the names that a branch defines its own? They are taken then. *ok 0: no memory. */
static int own_names(const Onnx__GraphProto *g, struct hn_names *t, int *ok)
{
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++) {
            const char *name = g->node[i]->output[k];
            if (!*name) continue;
            if (hn_names_find(t, name)) return 0;
            *ok &= put(t, name);
        }
    return 1;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static int push_branch(struct hn_expanded *x, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_node; i++) {
        struct hn_flat_node flat = { .node = g->node[i] };
        if (!HN_PUSH(x->mem, x->nodes, x->n, x->cap, flat)) return 0;
    }
    return 1;
}

/* If(then's, condition, then's, else's), without its branches. */
static int open_if(struct hn_expanded *x, struct hn_arena *arena, size_t at)
{
    const Onnx__NodeProto *n = x->nodes[at].node;
    const Onnx__GraphProto *g[2] = { branch(n, "then_branch"), branch(n, "else_branch") };
    Onnx__NodeProto *copy = hn_arena_alloc(arena, 1, sizeof *copy);
    char **in = hn_arena_alloc(arena, 4, sizeof *in);
    if (!copy || !in) return 0;
    in[0] = in[2] = g[0]->output[0]->name;
    in[1] = n->input[0];
    in[3] = g[1]->output[0]->name;
    *copy = *n;
    copy->input = in, copy->n_input = 4;
    copy->attribute = NULL, copy->n_attribute = 0;
    x->nodes[at].node = copy;
    return push_branch(x, g[0]) && push_branch(x, g[1]);
}

hone_status hn_expand_ifs(struct hn_expanded *x, struct hn_arena *arena, const Onnx__GraphProto *g,
                          hone_error *err)
{
    struct hn_names taken;
    const size_t n = x->n;
    int ok = 1, named = 0;
    hn_names_init(&taken, x->mem);
    for (size_t i = 0; i < n && ok; i++) {
        const Onnx__NodeProto *node = x->nodes[i].node;
        if (x->nodes[i].from || !can_be_opened(node)) continue;
        if (!named++) ok = main_names(x, g, &taken);
        if (ok && own_names(branch(node, "then_branch"), &taken, &ok) &&
            own_names(branch(node, "else_branch"), &taken, &ok))
            ok = ok && open_if(x, arena, i);
    }
    hn_names_free(&taken);
    return ok ? HONE_OK : hn_nomem(err, "the branches", 0);
}
