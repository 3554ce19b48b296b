/* SPDX-License-Identifier: MIT
 *
 * What the files share that cut a draft into the part that was asked for: program.c packs it, parts.c finds it, augment.c puts into it
 * what training does to a batch.
 *
 *   needed   ops that outputs or losses depend on
 *   head     of those, ops that see only inputs, constants and frozen parameters, row by row, without state or chance:
 *            their results can be computed once per data set
 *   boundary what the others read of the head: the head's outputs and the body's inputs, in the same order
 *   idle     parameters that no loss has a gradient for, states that no loss depends on; none where there are no losses */
#ifndef HN_CUTTER_H
#define HN_CUTTER_H

#include "ops/graph/lower.h"

#include "ops/base/status.h"
#include "ops/math/row.h"

struct hn_cutter {
    struct hn_lowering l;
    struct hn_program *p;
    uint8_t *needed, *head; /* per op, the first n_judged */
    uint8_t *idle;          /* per parameter, then per state: no loss reaches it */
    size_t n_judged;
    size_t ahead;      /* ops from here on come before all others: augmentation */
    uint8_t *kept;     /* per value: belongs to the part */
    int32_t *place;    /* per value: its number in the program, -1 */
    int32_t *slab;     /* position in params of parameter i, then of state i */
    int32_t *boundary; /* values: roots only */
    int n_boundary;
    int32_t *outputs; /* draft values of the computable graph outputs */
    const char **output_names;
    int n_outputs;
};

static inline hone_status hn_cut_nomem(struct hn_cutter *c)
{
    return hn_nomem(c->l.err, "the program", 0);
}
static inline int32_t hn_cut_root(const struct hn_cutter *c, int32_t v)
{
    return c->l.values[v].view_of >= 0 ? c->l.values[v].view_of : v;
}
static inline void *hn_cut_alloc(struct hn_cutter *c, size_t n, size_t size)
{
    return hn_arena_alloc(&c->p->arena, n + 1, size);
}

/* reach.c: fills in c->idle, behind hn_cut_needed. */
hone_status hn_cut_reach(struct hn_cutter *c);
/* parts.c: needed, head and boundary; is op of the part; could the parameter learn? */
hone_status hn_cut_needed(struct hn_cutter *c);
void hn_cut_head(struct hn_cutter *c);
hone_status hn_cut_boundary(struct hn_cutter *c);
int hn_cut_takes(const struct hn_cutter *c, size_t op);
int hn_cut_learns(const struct hn_cutter *c, int32_t param);
/* augment.c: ops from c->ahead on, and the ops of the part that read their results. Behind which op one of them is to stand: an
 * embedding, or -1, in front of all. */
hone_status hn_cut_augment(struct hn_cutter *c);
int32_t hn_cut_behind(const struct hn_cutter *c, size_t op);
#endif
