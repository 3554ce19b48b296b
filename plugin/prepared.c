/* SPDX-License-Identifier: MIT
 *
 * Prepared plans that are kept: see prepared.h. */
#include "plugin/prepared.h"
#include "ops/base/status.h"

static const size_t MOST_BYTES = 4u << 20; /* of activations: more is given back at once */

void hn_prepared_init(struct hn_prepared_list *l, struct hn_mem *mem,
                      const struct hn_backend *backend, void *dev)
{
    *l = (struct hn_prepared_list){ .mem = mem, .backend = backend, .dev = dev };
}

static void clear(struct hn_prepared_list *l, struct hn_prepared *i)
{
    if (i->exec) l->backend->finish(i->exec);
    hn_plan_destroy(i->plan, l->mem);
    hn_program_destroy(i->prog, l->mem);
    *i = (struct hn_prepared){ .exec = NULL };
}

void hn_prepared_free(struct hn_prepared_list *l)
{
    for (int i = 0; i < HN_PREPARED; i++) clear(l, &l->item[i]);
}

/* A rate that the replica may bring counts all the same where it is used: not every replica brings one. */
static int same(const struct hn_plan *plan, const struct hn_prepare *p)
{
    double a, b;
    if (plan->pass != p->pass || plan->max_rows != p->max_rows ||
        !hn_program_same(plan->prog, p->prog))
        return 0;
    if (p->pass != HN_PASS_TRAIN && p->pass != HN_PASS_GRAD) return 1;
    return hn_program_dropout(plan->prog, &a) && hn_program_dropout(p->prog, &b) && a == b;
}

static hone_status make(const struct hn_prepare *p, const struct hn_program *prog,
                        struct hn_plan **plan, void **exec, hone_error *err)
{
    HN_TRY(hn_plan_create(p->mem, prog, p->pass, p->max_rows, p->backend->elem, 0, plan, err));
    return p->backend->prepare(p->dev, *plan, p->slots, exec, err);
}

/* An empty place, else that of the item nobody has used for longest; NULL: all are in use. */
static struct hn_prepared *place(struct hn_prepared_list *l)
{
    struct hn_prepared *oldest = NULL;
    for (int i = 0; i < HN_PREPARED; i++) {
        struct hn_prepared *at = &l->item[i];
        if (!at->exec) return at;
        if (!at->busy && (!oldest || at->used < oldest->used)) oldest = at;
    }
    if (oldest) clear(l, oldest);
    return oldest;
}

/* Is this the list's to keep? A backend with state beyond slabs keeps some of it in what it prepared. */
static int keeps(const struct hn_prepared_list *l, const struct hn_prepare *p)
{
    return l && l->dev == p->dev && l->backend == p->backend && p->slots == 1 &&
           !p->backend->state_size;
}

hone_status hn_prepare(struct hn_prepared_list *l, const struct hn_prepare *p,
                       struct hn_plan **plan, void **exec, hone_error *err)
{
    struct hn_prepared *at = NULL;
    *plan = NULL, *exec = NULL;
    for (int i = 0; keeps(l, p) && i < HN_PREPARED && !at; i++)
        if (l->item[i].exec && !l->item[i].busy && same(l->item[i].plan, p)) at = &l->item[i];
    if (!at && keeps(l, p) && (at = place(l))) {
        hone_status st = hn_program_copy(l->mem, p->prog, &at->prog, err);
        if (st == HONE_OK) st = make(p, at->prog, &at->plan, &at->exec, err);
        if (st != HONE_OK) {
            clear(l, at);
            return st;
        }
    }
    if (!at) return make(p, p->prog, plan, exec, err);
    at->busy = 1;
    at->used = ++l->clock;
    *plan = at->plan, *exec = at->exec;
    return HONE_OK;
}

void hn_unprepare(struct hn_prepared_list *l, const struct hn_prepare *p, struct hn_plan *plan,
                  void *exec)
{
    for (int i = 0; l && exec && i < HN_PREPARED; i++) {
        struct hn_prepared *at = &l->item[i];
        if (at->exec != exec) continue;
        at->busy = 0;
        if (plan->arena_bytes > MOST_BYTES) clear(l, at);
        return;
    }
    if (exec) p->backend->finish(exec);
    hn_plan_destroy(plan, p->mem);
}
