/* SPDX-License-Identifier: MIT
 *
 * Initializers used in several places. Some are ties the author meant, some are equal values that an exporter merged:
 *
 *   Identity of an initializer                        merged (TorchScript): "untie ALIAS"
 *   a running statistic shared with anything,         merged (dynamo, tf2onnx), but for uses that were one tensor in the
 *   bias or normalisation slots, at most 1024 equal   model too (same.c): "untie NAME NODE INPUT …" for all but those
 *     elements, rank 0 or 1                           that keep the name with the first one
 *   everything else                                   a tie: trains as one; a parameter inside a function that is
 *                                                     called several times always is
 *
 * A Cast in between changes nothing: one that serves a single use reads the shared name itself, one that serves several is
 * copied with what it reads ("untie VALUE NODE INPUT"). A running statistic that nodes share as one module's takes in the batch
 * of each, in their order. One that would have to stay shared with anything else blocks training: there is only one tensor to
 * write both to.
 *
 * Lines are for onnx/edit; nothing is changed here. */
#include "ops/graph/facts.h"

#include "ops/base/status.h"
#include <string.h>

enum { MERGE_LIMIT = 1024, SEARCH_LIMIT = 10000, LEADERS = 1000 };
enum { STAYS = 1, LEAVES }; /* an alias, with its root or from it */

struct slot { /* a use of a parameter or of a statistic */
    int32_t root, node, input;
    struct hn_spot own;             /* node and input before looking behind Casts */
    int is_state, mergeable, apart; /* apart: it gets other values than the first use */
    int fixed;                      /* read for one weight under several names: it never does */
    int32_t leader, more; /* the first slot of those that stay together; the next of them, -1 */
    int32_t next, last;   /* of a leader: the next leader of its root, -1; the last of its own */
};
struct ties {
    struct hn_graph *g;
    hone_error *err;
    struct slot *slots; /* parameter uses first, then statistics */
    size_t n_slots;
    int32_t *direct, *all; /* per value: how many slots use the root by its own name, and at all */
    int32_t
        *leaders;  /* per value: the first slot that reads the root by its name, + 1; it keeps it */
    uint8_t *done, /* what became of the alias, once it was seen */
        *state;    /* the root is a running statistic somewhere */
    int32_t *n_of; /* per slot: how many follow it as their leader to a copy, itself included */
};

static int all_equal(const struct hn_tensor *t, int most_rank)
{
    return t && t->rank <= most_rank && t->n <= MERGE_LIMIT && hn_all_equal(t, t->n);
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
    t->leaders = hn_arena_alloc(&t->g->arena, g->n_values + 1, sizeof *t->leaders);
    t->done = hn_arena_alloc(&t->g->arena, g->n_values + 1, 1);
    t->state = hn_arena_alloc(&t->g->arena, g->n_values + 1, 1);
    t->g->unties = hn_arena_alloc(&t->g->arena, n + 1, sizeof *t->g->unties);
    t->n_of = hn_arena_alloc(&t->g->arena, n + 1, sizeof *t->n_of);
    if (!t->n_of || !t->slots || !t->direct || !t->all || !t->leaders || !t->done || !t->state ||
        !t->g->unties)
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
        t->slots[t->n_slots++] = (struct slot){ .root = root,
                                                .node = u->at_node,
                                                .input = u->at_input,
                                                .mergeable = soft,
                                                .fixed = u->often > 1 };
    }
    for (size_t i = 0; i < f->n_states; i++)
        if (f->states[i].root >= 0)
            t->slots[t->n_slots++] = (struct slot){ .root = f->states[i].root,
                                                    .node = f->states[i].node,
                                                    .input = f->states[i].input,
                                                    .is_state = 1,
                                                    .mergeable = 1 };
    for (size_t i = 0; i < t->n_slots; i++) {
        struct slot *s = &t->slots[i];
        s->own = (struct hn_spot){ s->node, s->input };
        s->leader = (int32_t)i, s->next = s->more = -1;
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

/* How the edit names the uses that get the copy: " NODE INPUT NODE INPUT". */
static const char *places(struct ties *t, const struct slot *first, struct hn_untie *u)
{
    struct hn_graph *g = t->g;
    const char *text = "";
    struct hn_spot *at = hn_arena_alloc(&g->arena, (size_t)t->n_of[first->leader], sizeof *at);
    if (!at) return NULL;
    u->at = at;
    for (int32_t i = first->leader; i >= 0 && text; i = t->slots[i].more) {
        const struct slot *s = &t->slots[i];
        const char *node = node_word(g, s->node);
        text = node ? hn_arena_printf(&g->arena, "%s %s %d", text, node, (int)s->input) : NULL;
        at[u->n_at++] = s->own;
    }
    return text;
}

static hone_status add_line(struct ties *t, const struct slot *s, int alias)
{
    struct hn_graph *g = t->g;
    const char *shown = g->values[g->nodes[s->node].in[s->input]].name, *name = word(g, shown);
    struct hn_untie *u = &g->unties[g->n_unties];
    *u = (struct hn_untie){ .value = g->nodes[s->node].in[s->input] };
    const char *uses = alias ? "" : places(t, s, u);
    u->line = name && uses ? hn_arena_printf(&g->arena, "untie %s%s", name, uses) : NULL;
    if (!u->line) return hn_nomem(t->err, "an edit line", 0);
    g->n_unties++;
    hone_status st = hn_graph_issue(
        g, HN_NOTE, s->node, HONE_OK, NULL,
        "input %d '%s' shares its values with %s%s%s only because they were equal when the file "
        "was written: it gets values of its own before training",
        (int)s->input, shown, alias ? "'" : "other uses of it",
        alias ? g->values[s->root].name : "", alias ? "'" : "");
    return st == HONE_OK ? st : hn_nomem(t->err, "the list of issues", 0);
}

/* The leader of those that slot i was one tensor with; i itself: of none before it. */
static int32_t leader_of(const struct ties *t, int32_t i)
{
    const struct slot *s = &t->slots[i];
    int32_t seen = 0;
    for (int32_t k = t->leaders[s->root] - 1; k >= 0 && seen < LEADERS;
         k = t->slots[k].next, seen++)
        if (t->slots[k].is_state == s->is_state &&
            t->g->nodes[t->slots[k].node].in[t->slots[k].input] ==
                t->g->nodes[s->node].in[s->input] &&
            hn_same_tensor(t->g, s->root, t->slots[k].own, s->own, s->is_state))
            return k;
    return i;
}

static hone_status visit(struct ties *t, int32_t i)
{
    const struct hn_graph *g = t->g;
    struct slot *s = &t->slots[i];
    int32_t v = g->nodes[s->node].in[s->input], *leaders = &t->leaders[s->root];
    if (s->fixed) return HONE_OK;
    if (g->values[v].alias_of >= 0) {
        if (t->all[s->root] < 2 || (g->values[s->root].in_function && !s->is_state)) return HONE_OK;
        const int seen = t->done[v];
        if (!seen)
            t->done[v] = *leaders && hn_same_folded(g, s->root, t->slots[*leaders - 1].own, s->own)
                             ? STAYS
                             : LEAVES;
        s->apart = t->done[v] == LEAVES;
        return seen || !s->apart ? HONE_OK : add_line(t, s, 1);
    }
    if (!reads_root(g, v, s->root)) return HONE_OK; /* reshaped or transposed: the weight itself */
    if (!*leaders) *leaders = i + 1;
    if (t->direct[s->root] < 2 || *leaders == i + 1 || !s->mergeable) return HONE_OK;
    struct slot *first = &t->slots[*leaders - 1], *leader = &t->slots[leader_of(t, i)];
    s->leader = (int32_t)(leader - t->slots);
    if (leader == s) {
        s->apart = 1, s->last = i;
        s->next = first->next, first->next = i;
    } else if (leader->apart) {
        s->apart = 1;
        t->slots[leader->last].more = i, leader->last = i;
    }
    t->n_of[s->leader]++;
    return HONE_OK;
}

static int by_name(const struct ties *t, const struct slot *s)
{
    return reads_root(t->g, t->g->nodes[s->node].in[s->input], s->root);
}

/* What a root is used for, in done: PARAMETER, and 1 << input for a statistic. Of those that stay, or that read it by name. */
static void find_purposes(struct ties *t, int named)
{
    enum { PARAMETER = 1 };
    memset(t->done, 0, t->g->n_values + 1);
    for (size_t i = 0; i < t->n_slots; i++) {
        const struct slot *s = &t->slots[i];
        if (named ? by_name(t, s) : !s->apart)
            t->done[s->root] |= s->is_state ? (uint8_t)(1 << s->own.input) : PARAMETER;
    }
}

static int has_purposes(const struct ties *t, const struct slot *s)
{
    return s->is_state && t->done[s->root] != 1 << s->own.input;
}

/* No tracing makes a mean a bias or a variance: another tool took the Identity nodes out. */
static void distrust_names(struct ties *t)
{
    find_purposes(t, 1);
    for (size_t i = 0; i < t->n_slots; i++)
        if (by_name(t, &t->slots[i]) && has_purposes(t, &t->slots[i])) t->g->as_traced = 0;
    memset(t->done, 0, t->g->n_values + 1);
}

static hone_status block_shared_states(struct ties *t)
{
    struct hn_graph *g = t->g;
    find_purposes(t, 0);
    for (size_t i = 0; i < t->n_slots; i++) {
        const struct slot *s = &t->slots[i];
        if (s->apart || !has_purposes(t, s)) continue;
        hone_status st = hn_graph_issue(
            g, HN_BLOCKS_TRAINING, s->node, HONE_E_UNSUPPORTED,
            "export without merging tensors that are equal",
            "input %d '%s' shares its values with another use of '%s', and they cannot be told "
            "apart",
            (int)s->input, g->values[g->nodes[s->node].in[s->input]].name, g->values[s->root].name);
        if (st != HONE_OK) return hn_nomem(t->err, "the list of issues", 0);
    }
    return HONE_OK;
}

static hone_status note(struct ties *t, const char *name, int n, const char *what)
{
    return hn_graph_issue(t->g, HN_NOTE, -1, HONE_OK, NULL, "'%s' is used %d times: %s", name, n,
                          what)
               ? hn_nomem(t->err, "the list of issues", 0)
               : HONE_OK;
}

static hone_status note_ties(struct ties *t)
{
    const struct hn_graph *g = t->g;
    const struct hn_param_list *l = &g->facts->params;
    int32_t *uses = t->all, *moves = t->direct;
    memset(uses, 0, g->n_values * sizeof *uses);
    memset(moves, 0, g->n_values * sizeof *moves);
    for (size_t i = 0; i < t->n_slots; i++)
        if (!t->slots[i].apart) (t->slots[i].is_state ? moves : uses)[t->slots[i].root]++;
    for (size_t p = 0; p < l->n_params; p++)
        if (uses[l->params[p].value] > 1 && l->params[p].trained)
            HN_TRY(note(t, g->values[l->params[p].value].name, uses[l->params[p].value],
                        "it trains as one"));
    for (size_t i = 0; i < g->facts->n_states; i++) {
        const struct hn_state *s = &g->facts->states[i];
        if (s->root >= 0 && (size_t)s->first == i && moves[s->root] > 1)
            HN_TRY(note(t, g->values[s->root].name, moves[s->root],
                        "it takes in the batch of each, in their order"));
    }
    return HONE_OK;
}

hone_status hn_graph_find_ties(struct hn_graph *g, hone_error *err)
{
    struct ties t = { .g = g, .err = err };
    HN_TRY(list_slots(&t));
    if (g->as_traced) distrust_names(&t);
    for (size_t i = 0; i < t.n_slots; i++) HN_TRY(visit(&t, (int32_t)i));
    for (size_t i = 0; i < t.n_slots; i++) {
        const struct slot *s = &t.slots[i];
        if (s->apart && s->leader == (int32_t)i && t.n_of[i]) HN_TRY(add_line(&t, s, 0));
    }
    HN_TRY(block_shared_states(&t));
    return note_ties(&t);
}
