/* SPDX-License-Identifier: MIT
 *
 * Plans and what a backend made of them, kept from one session to the next: a program that computes the same (hn_program_same)
 * with the same rows and pass is planned and prepared once. Between its users nothing of a replica is in it: weights, clocks
 * and keys come with the slots, and what a step reads it has written. Used by one thread at a time. */
#ifndef HN_PREPARED_H
#define HN_PREPARED_H

#include "ops/math/op.h"

enum {
    HN_PREPARED = 8
}; /* kept at most, and only small ones: where steps are long, planning is nothing */
struct hn_prepared {
    struct hn_program *prog; /* a copy */
    struct hn_plan *plan;
    void *exec; /* NULL: nothing is here */
    int busy;
    uint64_t used; /* when, by hn_prepared_list.clock */
};
struct hn_prepared_list { /* of one device, which outlives it */
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev;
    struct hn_prepared item[HN_PREPARED];
    uint64_t clock;
};

struct hn_prepare { /* what is to be prepared */
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev;
    const struct hn_program *prog;
    enum hn_pass pass;
    int64_t max_rows;
    int slots;
};
void hn_prepared_init(struct hn_prepared_list *l, struct hn_mem *mem,
                      const struct hn_backend *backend, void *dev);
void hn_prepared_free(struct hn_prepared_list *l); /* nobody uses an item; a zeroed list is fine */
/* l NULL or of another device, or several slots: planned and prepared for this caller alone. */
hone_status hn_prepare(struct hn_prepared_list *l, const struct hn_prepare *p,
                       struct hn_plan **plan, void **exec, hone_error *err);
/* The end of that use; exec NULL allowed. */
void hn_unprepare(struct hn_prepared_list *l, const struct hn_prepare *p, struct hn_plan *plan,
                  void *exec);
#endif
