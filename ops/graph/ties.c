/* SPDX-License-Identifier: MIT
 *
 * Initializers used in several places. Some are ties the author meant, some are equal values that an exporter merged:
 *
 *   Identity of an initializer                        merged (TorchScript): "untie ALIAS"
 *   a running statistic shared with anything          merged: "untie NAME NODE INPUT"
 *   bias or normalisation slots, at most 1024 equal   merged (dynamo, tf2onnx): all but the first use come apart
 *     elements, rank 0 or 1
 *   everything else                                   a tie: trains as one; a parameter inside a function that is
 *                                                     called several times always is
 *
 * A Cast in between changes nothing: one that serves a single use reads the shared name itself, one that serves several is
 * copied with what it reads ("untie VALUE NODE INPUT"). A running statistic that would have to stay shared with anything blocks
 * training: it is no parameter, and there is only one tensor to write both to.
 *
 * Lines are for onnx/edit; nothing is changed here. */
#include "ops/graph/facts.h"

#include "ops/base/status.h"
#include <string.h>

enum { MERGE_LIMIT = 1024, SEARCH_LIMIT = 10000 };

struct slot { /* a use of a parameter or of a statistic */
    int32_t root, node, input;
    int is_state, mergeable, apart; /* apart: it gets values of its own */
    int fixed;                      /* read for one weight under several names: it never does */
};
struct ties {
    struct hn_graph *g;
    hone_error *err;
    struct slot *slots; /* parameter uses first, then statistics */
    size_t n_slots;
    int32_t *direct, *all; /* per value: how many slots use the root by its own name, and at all */
    uint8_t *kept,
        *done,  /* the use that keeps a root's name has been seen; the alias has its line */
        *state; /* the root is a running statistic somewhere */
};

static int all_equal(const struct hn_tensor *t, int most_rank)
{
    if (!t || t->rank > most_rank || t->n > MERGE_LIMIT) return 0;
    for (int64_t i = 1; i < t->n; i++)
        if (hn_tensor_f64(t, i) != hn_tensor_f64(t, 0)) return 0;
    return 1;
}

/* Behind a Cast that serves this input alone, it is the Cast that reads the shared name. */
static void look_behind_casts(const struct hn_graph *g, struct slot *s)
{
    for (;;) {
        const struct hn_value *v = &g->values[g->nodes[s->node].in[s->input]];
        if (v->producer < 0 || v->n_uses != 1 || strcmp(g->nodes[v->producer].type, "Cast") != 0)
            return;
        s->node = v->producer, s->input = 0;
    }
}

/* Do the numbers of v lie in the root under its own name: as they are, or cast? */
static int reads_root(const struct hn_graph *g, int32_t v, int32_t root)
{
    const struct hn_node *n = g->values[v].producer < 0 ? NULL : &g->nodes[g->values[v].producer];
    if (v == root) return 1;
    return n && strcmp(n->type, "Cast") == 0 &&
           (n->in[0] == root || g->values[n->in[0]].alias_of == root);
}

static hone_status list_slots(struct ties *t)
{
    const struct hn_graph *g = t->g;
    const struct hn_facts *f = g->facts;
    size_t n = f->params.n_uses + f->n_states;
    t->slots = hn_arena_alloc(&t->g->arena, n + 1, sizeof *t->slots);
    t->direct = hn_arena_alloc(&t->g->arena, g->n_values + 1, sizeof *t->direct);
    t->all = hn_arena_alloc(&t->g->arena, g->n_values + 1, sizeof *t->all);
    t->kept = hn_arena_alloc(&t->g->arena, g->n_values + 1, 1);
    t->done = hn_arena_alloc(&t->g->arena, g->n_values + 1, 1);
    t->state = hn_arena_alloc(&t->g->arena, g->n_values + 1, 1);
    t->g->unties = hn_arena_alloc(&t->g->arena, n + 1, sizeof *t->g->unties);
    if (!t->slots || !t->direct || !t->all || !t->kept || !t->done || !t->state || !t->g->unties)
        return hn_nomem(t->err, "the list of ties", n * sizeof *t->slots);
    for (size_t i = 0; i < f->n_states; i++)
        if (f->states[i].root >= 0) t->state[f->states[i].root] = 1;
    for (size_t i = 0; i < f->params.n_uses; i++) {
        const struct hn_use *u = &f->params.uses[i];
        int32_t root = f->params.params[u->param].value;
        int trained = f->params.params[u->param].trained, factor = u->at_node != u->node;
        int soft = factor || f->use_slot[i] == HN_SLOT_BIAS || f->use_slot[i] == HN_SLOT_NORM;
        /* what one weight is computed from stays one, and masks and the like stay as they are */
        if (factor && !trained && !t->state[root]) continue;
        soft &= !u->often && !g->values[root].in_function &&
                all_equal(g->values[root].constant, factor ? HN_MAX_RANK : 1);
        t->slots[t->n_slots++] =
            (struct slot){ root, u->at_node, u->at_input, 0, soft, 0, u->often > 1 };
    }
    for (size_t i = 0; i < f->n_states; i++)
        if (f->states[i].root >= 0)
            t->slots[t->n_slots++] = (struct slot){
                f->states[i].root, f->states[i].node, f->states[i].input, 1, 1, 0, 0
            };
    for (size_t i = 0; i < t->n_slots; i++) {
        struct slot *s = &t->slots[i];
        look_behind_casts(g, s);
        t->all[s->root]++;
        t->direct[s->root] += reads_root(g, g->nodes[s->node].in[s->input], s->root);
    }
    return HONE_OK;
}

/* A word of an edit line: in quotes where it has blanks or quotes. */
static const char *word(struct hn_graph *g, const char *name)
{
    if (name[0] && !strpbrk(name, " \"\\")) return name;
    char *buf = hn_arena_alloc(&g->arena, 2 * strlen(name) + 3, 1), *p = buf;
    if (!buf) return NULL;
    *p++ = '"';
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') *p++ = '\\';
        *p++ = *name;
    }
    *p = '"';
    return buf;
}

/* The node's name when no other node has it, else (and in very large graphs) its position. */
static const char *node_word(struct hn_graph *g, int32_t node)
{
    const struct hn_node *n = &g->nodes[node];
    int same = g->n_nodes > SEARCH_LIMIT || n->name[0] == '#' || n->name[0] == '\0';
    for (size_t i = 0; i < g->n_nodes && same == 0; i++)
        same = (int32_t)i != node && strcmp(g->nodes[i].name, n->name) == 0;
    return same ? hn_arena_printf(&g->arena, "#%d", (int)n->index) : word(g, n->name);
}

static hone_status add_line(struct ties *t, const struct slot *s, int alias)
{
    struct hn_graph *g = t->g;
    const char *name = word(g, g->values[g->nodes[s->node].in[s->input]].name);
    const char *node = alias ? "" : node_word(g, s->node);
    const char *line = NULL;
    if (name && node)
        line = alias ? hn_arena_printf(&g->arena, "untie %s", name)
                     : hn_arena_printf(&g->arena, "untie %s %s %d", name, node, (int)s->input);
    if (!line) return hn_nomem(t->err, "an edit line", 0);
    g->unties[g->n_unties++] =
        (struct hn_untie){ line, g->nodes[s->node].in[s->input], alias ? -1 : s->node, s->input };
    hone_status st = hn_graph_issue(
        g, HN_NOTE, s->node, HONE_OK, NULL,
        "input %d '%s' shares its values with '%s' only because they were equal when the file was "
        "written: it gets values of its own before training",
        (int)s->input, g->values[g->nodes[s->node].in[s->input]].name, g->values[s->root].name);
    return st == HONE_OK ? st : hn_nomem(t->err, "the list of issues", 0);
}

static hone_status visit(struct ties *t, struct slot *s)
{
    const struct hn_graph *g = t->g;
    int32_t v = g->nodes[s->node].in[s->input];
    if (s->fixed) return HONE_OK;
    if (g->values[v].alias_of >= 0) {
        if (t->all[s->root] < 2 || (g->values[s->root].in_function && !s->is_state)) return HONE_OK;
        s->apart = 1;
        if (t->done[v]) return HONE_OK;
        t->done[v] = 1;
        return add_line(t, s, 1);
    }
    if (t->direct[s->root] < 2 || !reads_root(g, v, s->root))
        return HONE_OK; /* reshaped or transposed: the weight itself */
    int first = !t->kept[s->root];
    t->kept[s->root] = 1;
    s->apart = !first && s->mergeable;
    return s->apart ? add_line(t, s, 0) : HONE_OK;
}

static hone_status block_shared_states(struct ties *t)
{
    memset(t->all, 0, (t->g->n_values + 1) * sizeof *t->all);
    for (size_t i = 0; i < t->n_slots; i++) t->all[t->slots[i].root] += !t->slots[i].apart;
    for (size_t i = 0; i < t->n_slots; i++) {
        const struct slot *s = &t->slots[i];
        if (!s->is_state || s->apart || t->all[s->root] < 2) continue;
        hone_status st = hn_graph_issue(
            t->g, HN_BLOCKS_TRAINING, s->node, HONE_E_UNSUPPORTED,
            "export without merging tensors that are equal",
            "input %d '%s' shares its values with another use of '%s', and they cannot be told "
            "apart",
            (int)s->input, t->g->values[t->g->nodes[s->node].in[s->input]].name,
            t->g->values[s->root].name);
        if (st != HONE_OK) return hn_nomem(t->err, "the list of issues", 0);
    }
    return HONE_OK;
}

static hone_status note_ties(struct ties *t)
{
    const struct hn_param_list *l = &t->g->facts->params;
    for (size_t p = 0; p < l->n_params; p++) {
        int most_rank = t->g->facts->info[p].slot == HN_SLOT_FACTOR ? HN_MAX_RANK : 1;
        if (l->params[p].n_uses < 2 || !l->params[p].trained ||
            all_equal(t->g->values[l->params[p].value].constant, most_rank))
            continue;
        hone_status st = hn_graph_issue(t->g, HN_NOTE, -1, HONE_OK, NULL,
                                        "'%s' is used %d times: it trains as one",
                                        t->g->values[l->params[p].value].name, l->params[p].n_uses);
        if (st != HONE_OK) return hn_nomem(t->err, "the list of issues", 0);
    }
    return HONE_OK;
}

hone_status hn_graph_find_ties(struct hn_graph *g, hone_error *err)
{
    struct ties t = { .g = g, .err = err };
    HN_TRY(list_slots(&t));
    for (size_t i = 0; i < t.n_slots; i++) HN_TRY(visit(&t, &t.slots[i]));
    HN_TRY(block_shared_states(&t));
    return note_ties(&t);
}
