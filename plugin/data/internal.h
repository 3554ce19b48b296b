/* SPDX-License-Identifier: MIT
 *
 * What the files of plugin/data share with each other and with nobody else. */
#ifndef HN_DATA_INTERNAL_H
#define HN_DATA_INTERNAL_H

#include "plugin/data/data.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are used in place: little-endian hosts only");

#define HN_COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- Making arrays (array.c) ---- */
/* Clears a and gives it names; on failure a is as after close. */
hone_status hn_array_begin(struct hn_array *a, struct hn_mem *mem, const char *name,
                           const char *source, hone_error *err);
/* Sets dtype and dims (rank 0 becomes one row); refuses no rows, empty rows, more than 2^32-2 rows, and overflow.
 * *bytes, when wanted, is the size of the data. */
hone_status hn_array_shape(struct hn_array *a, enum hn_dtype dtype, int rank, const int64_t *dims,
                           size_t *bytes, hone_error *err);
/* A block of `bytes` for the data, owned by a. */
hone_status hn_array_own(struct hn_array *a, size_t bytes, void **out, hone_error *err);
/* Uses the file's bytes at `offset` in place (a takes f over), or copies them when they are not aligned. */
hone_status hn_array_in_place(struct hn_array *a, struct hn_file *f, size_t offset, size_t bytes,
                              hone_error *err);
void hn_swap_bytes(void *p, size_t n, size_t size); /* n elements of 1, 2, 4 or 8 bytes */
const char *hn_array_column_name(const struct hn_array *a, int64_t j, char *buf,
                                 size_t size); /* "'age'" or "3" */

/* ---- Text in NPY files (npy_text.c) ---- */
/* Labels, one a row, of an array of the type "U12" or "S3" (swap: of the other byte order) into a, which hn_array_begin made. */
hone_status hn_npy_text(struct hn_array *a, const char *type, int swap, int rank,
                        const int64_t *dims, const void *data, size_t bytes, hone_error *err);
hone_status hn_npy_write_texts(struct hn_sink *s, const struct hn_tensor *t, hone_error *err);
hone_status hn_npy_put_header(struct hn_sink *s, const char *descr, int rank, const int64_t *dims,
                              hone_error *err); /* descr: type and byte order, "<f4" */

/* ---- Text shown in messages ---- */
struct hn_shown {
    char text[64];
};
/* A cell as messages quote it: at most 40 bytes, control bytes and what is no UTF-8 as '.', "…" when cut. */
const char *hn_show(struct hn_shown *s, const char *text, size_t n);

/* ---- Distinct strings, numbered in order of appearance (words.c) ---- */
struct hn_word {
    const char *text; /* NUL-terminated, in the arena */
    size_t n;
};
struct hn_words {
    struct hn_mem *mem;
    struct hn_arena *arena; /* where the strings live */
    struct hn_word *word;
    uint32_t *slot; /* hash table: index + 1, 0 = free */
    size_t n, cap, n_slots;
    char decimal; /* of words that are numbers; 0: '.' */
};
void hn_words_init(struct hn_words *w, struct hn_mem *mem, struct hn_arena *arena);
void hn_words_free(struct hn_words *w); /* the strings stay in the arena */
int64_t hn_words_find(const struct hn_words *w, const char *s, size_t n); /* -1: not there */
/* The number of s, added when new; -1 when memory ran out. */
int64_t hn_words_add(struct hn_words *w, const char *s, size_t n);
/* Sorts by number when all words are numbers, else by bytes. order[new] = old. Returns whether all were numbers. */
int hn_words_sort(const struct hn_words *w, uint32_t *order, double *number);

/* Number of a cell (blanks around allowed): 1 and *out when all of it is a finite or infinite number. */
int hn_cell_number(const char *s, size_t n, double *out);
/* The same with this decimal sign and no other. */
int hn_decimal_number(const char *s, size_t n, char decimal, double *out);

#endif
