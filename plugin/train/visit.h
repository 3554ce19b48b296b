/* SPDX-License-Identifier: MIT
 *
 * One description of a struct's state for saving and for loading: a visitor that is handed every field in turn. Saving
 * appends the field to a buffer, loading fills it from bytes; so the two cannot disagree. Errors stick: after the first one
 * nothing more happens, and hn_visit_end returns it. Numbers are 8 bytes, little-endian. */
#ifndef HN_VISIT_H
#define HN_VISIT_H

#include "ops/base/io.h"

struct hn_visit {
    struct hn_buffer *out; /* saving; NULL: loading from [p, end) */
    const unsigned char *p, *end;
    struct hn_arena *arena; /* loading: texts and lists live here */
    const char *where;      /* the file, for messages */
    int timeless;           /* saving: durations are left out (hashes of equal runs are equal) */
    hone_status status;
    hone_error *err;
};
struct hn_visit hn_visit_save(struct hn_buffer *out, hone_error *err);
struct hn_visit hn_visit_load(const void *p, size_t n, struct hn_arena *arena, const char *where,
                              hone_error *err);
/* Loading: everything must have been used. HONE_E_CORRUPT when bytes are missing or left. */
hone_status hn_visit_end(struct hn_visit *v);

void hn_visit_bytes(struct hn_visit *v, void *p, size_t n);
void hn_visit_i64(struct hn_visit *v, int64_t *x);
void hn_visit_f64(struct hn_visit *v, double *x);
void hn_visit_seconds(struct hn_visit *v, double *x);
void hn_visit_int(struct hn_visit *v, int *x);
/* A number that must be the same again: HONE_E_CORRUPT "the checkpoint has 12 NAME, this run has 10". */
void hn_visit_same(struct hn_visit *v, const char *name, int64_t x);
void hn_visit_text(struct hn_visit *v, const char **s); /* NULL and "" are the same */
/* A block whose size is part of the state. Loading: *p points into the bytes given to hn_visit_load. */
void hn_visit_block(struct hn_visit *v, const void **p, size_t *n);
/* The number of elements of a list; loading: at most the bytes that are left. */
void hn_visit_count(struct hn_visit *v, size_t *n);
#endif
