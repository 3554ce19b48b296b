/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: everything that moves while a run goes on, and all that is needed to open the job again, in one file.
 *
 *   head      "HONECKP\n", u32 format version, u32 0x01020304 in the byte order of the machine (slabs are stored as they are)
 *   sections  reason (why it stopped, one byte), job, state, slab w, dw, m, v, best, good (those the run has), backend
 *   table     per section: name (16 bytes), u64 offset, u64 size, u64 XXH3 of its bytes
 *   tail      u64 sections, u64 XXH3 of head and table, "HONEEND\n"
 *
 * Two generations in the run folder: checkpoint.hone and, until the next is durable, checkpoint.old.hone. A reader takes
 * the newer one that is whole. One visitor describes the state (hn_fit_visit), for saving, loading and hashing. */
#ifndef HN_CHECKPOINT_H
#define HN_CHECKPOINT_H

#include "plugin/train/fit.h"
#include "plugin/train/visit.h"

struct hn_setting { /* a parameter that was set; lists have one entry an item */
    const char *name, *value;
};
struct hn_origin {              /* all that resume needs to open the job again */
    const char *version;        /* of the library that wrote it */
    const char *model_path;     /* "" when it came from memory */
    const char *backend, *core; /* results are exact on the same ones only */
    const void *model;          /* the model's bytes before training */
    size_t model_size;
    unsigned char model_hash[16], data_hash[16];
    struct hn_setting *settings;
    size_t n_settings;
};

/* The state of a run but for its slabs. */
void hn_fit_visit(struct hn_visit *v, struct hn_fit *f);
/* XXH3 of state, slabs and backend state: equal when two runs will go on equally. */
hone_status hn_fit_hash(struct hn_fit *f, uint64_t *hash, hone_error *err);

/* Durable when it returns HONE_OK; on failure the older checkpoint is still there. dir: the run folder. */
hone_status hn_checkpoint_write(const char *dir, const struct hn_origin *o, struct hn_fit *f,
                                hone_error *err);

struct hn_checkpoint {
    struct hn_file file;
    struct hn_arena arena;
    char path[512];
    int64_t written_ns;      /* when, since 1970 */
    struct hn_origin origin; /* points into file and arena */
};
/* Opens the newest whole checkpoint of a run folder and reads its origin; a damaged newer one is said through the log.
 * HONE_E_IO when there is none, HONE_E_CORRUPT when all are damaged. */
hone_status hn_checkpoint_open(struct hn_checkpoint *c, hone_context *ctx, const char *dir,
                               hone_error *err);
/* Why the run in it had stopped; NONE: it had not (or the file does not say). */
enum hn_stop_reason hn_checkpoint_reason(const struct hn_checkpoint *c);
/* Puts the saved state into a run that was opened from the same origin. */
hone_status hn_checkpoint_load(const struct hn_checkpoint *c, struct hn_fit *f, hone_error *err);
void hn_checkpoint_close(struct hn_checkpoint *c); /* a zeroed struct allowed */
/* Is there a file of that name? */
int hn_checkpoint_exists(hone_context *ctx, const char *dir);
/* Removes both generations (and what a killed writer left of one). */
void hn_checkpoint_remove(hone_context *ctx, const char *dir);
#endif
