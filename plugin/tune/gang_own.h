/* SPDX-License-Identifier: MIT
 *
 * What the files of a gang share: see gang.h. gang.c: the device, buffers and data; gang_group.c: who shares a plan; gang_run.c:
 * rounds.
 *
 * Two locks: `shop` while a group or a data set is looked for, made or given up (slow: it may wait for the device), `lock`
 * around all fields below it and never for long. shop is taken first. */
#ifndef HN_TUNE_GANG_OWN_H
#define HN_TUNE_GANG_OWN_H

#include "plugin/tune/gang.h"
#include <pthread.h>

struct hn_gang_set { /* bound behind */
    struct hn_gang_set *next;
    void *handle;
    struct hn_dataset set; /* what the backend borrows; its columns are those of some user */
    struct hn_column *columns;
    struct hn_gang_use *users;
};
struct hn_gang_use { /* what a user of the gang calls a bound set */
    struct hn_gang_use *next;
    struct hn_gang_set *of;
    struct hn_column columns[]; /* the user's own, inputs and targets */
};

enum hn_gang_state { HN_GANG_AWAY, HN_GANG_WAITS, HN_GANG_LEADS, HN_GANG_DONE };
struct hn_gang_client { /* a thread */
    struct hn_gang_client *next;
    pthread_t thread;
    int members;                 /* it has prepared */
    struct hn_gang_group *waits; /* in a call of run; NULL: elsewhere, it may come */
};
struct hn_gang_member { /* what a user calls a prepared plan */
    struct hn_gang *gang;
    void *alone;         /* prepared for it alone; else it is in a group */
    struct hn_slot *own; /* most: of a call behind */
    int most;
    struct hn_gang_group *group;
    struct hn_gang_client *client;
    struct hn_gang_member *next, *behind; /* in the group; in the line of those that wait */
    double rate; /* of its program's Dropouts where the group's may be another; < 0: none */
    /* its call */
    pthread_cond_t turn;
    enum hn_gang_state state;
    struct hn_slot *slot;
    int64_t steps, ran;
    double since, patience; /* when it came in line, and when it has waited long enough; seconds */
    hone_status st;
    hone_error *err;
};

struct hn_gang_group {
    struct hn_gang_group *next;
    struct hn_program *prog;
    struct hn_plan *plan;
    void *exec;
    int slots, n_members, n_waiting;
    uint64_t used; /* when it was left, for those that wait for new members */
    struct hn_gang_member *members, *first, *last; /* first … last: the line */
    double took;                                   /* seconds of the last round */
    struct hn_slot *slot;                          /* of a round */
    struct hn_gang_member **in;
    void **out;
};

struct hn_gang {
    struct hn_backend table;
    struct hn_mem *mem;
    const struct hn_backend *backend;
    void *dev;
    int slots;
    pthread_mutex_t shop;
    struct hn_gang_set *sets;
    uint64_t clock;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    int busy, wanted;             /* the device is in use; single calls that wait for it */
    struct hn_gang_member *watch; /* waits no longer than watch_until, then looks who is next */
    double watch_until, next_at;  /* when a round may begin, as seen last */
    struct hn_gang_group *groups; /* changed under both locks */
    struct hn_gang_client *clients;
    struct hn_gang_counts counts;
};

/* The device for one call behind. */
void hn_gang_enter(struct hn_gang *g);
void hn_gang_leave(struct hn_gang *g);

/* gang_group.c */
hone_status hn_gang_prepare(void *dev, const struct hn_plan *plan, int max_slots, void **exec,
                            hone_error *err);
void hn_gang_finish(void *exec);
/* Without members: all but the last used, and of these what takes too much. Under shop. */
void hn_gang_drop_groups(struct hn_gang *g, int keep);

/* gang_run.c */
hone_status hn_gang_run(void *exec, struct hn_slot *slots, int n_slots, int n_steps,
                        hone_error *err);
/* The device is free, or somebody has come or gone: who runs next? Under lock. */
void hn_gang_dispatch(struct hn_gang *g);
#endif
