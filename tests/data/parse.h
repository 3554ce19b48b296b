/* SPDX-License-Identifier: MIT
 *
 * What the tests of this area share: text parsed from memory, refusals compared, leaks noticed when a test ends. */
#ifndef HN_TEST_PARSE_H
#define HN_TEST_PARSE_H

#include "plugin/data/data.h"
#include "tests/base/scratch.h"
#include "tests/harness.h"

static struct hn_mem mem;
static hone_error err;
static struct hn_note note;

static inline void begin(void)
{
    hn_mem_init(&mem, 0);
    memset(&err, 0, sizeof err);
    memset(&note, 0, sizeof note);
    scratch_begin();
}

static inline void end(void)
{
    scratch_end();
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}

static inline struct hn_source source(const char *path)
{
    return (struct hn_source){ .io = &hn_io_system, .mem = &mem, .path = path, .note = &note };
}

/* Text that may hold NULs. */
static inline hone_status csv_bytes(const char *text, size_t n, const struct hn_csv_options *o,
                                    struct hn_csv_part *parts, size_t n_parts)
{
    struct hn_source s = source("t.csv");
    return hn_csv_parse(&s, (const unsigned char *)text, n, o, parts, n_parts, &err);
}

static inline hone_status csv(const char *text, const struct hn_csv_options *o,
                              struct hn_csv_part *parts, size_t n_parts)
{
    return csv_bytes(text, strlen(text), o, parts, n_parts);
}

/* Bytes as a file that was read. */
static inline struct hn_file file_of(const void *p, size_t n)
{
    unsigned char *copy = hn_alloc(&mem, n);
    if (n) memcpy(copy, p, n);
    return (struct hn_file){ .p = copy, .n = n, .mem = &mem };
}

/* The call failed with this code, and its text holds all of these. */
#define REFUSED(call, wanted_code, ...)                                                            \
    do {                                                                                           \
        static const char *const pieces[] = { __VA_ARGS__, NULL };                                 \
        memset(&err, 0, sizeof err);                                                               \
        hone_status refused_ = (call);                                                             \
        ck_assert_int_eq(refused_, wanted_code);                                                   \
        ck_assert_int_eq(err.code, wanted_code);                                                   \
        for (const char *const *piece_ = pieces; *piece_; piece_++)                                \
            ck_assert_msg(strstr(err.text, *piece_) || strstr(err.hint, *piece_) ||                \
                              strstr(err.where, *piece_),                                          \
                          "wanted '%s' in: %s: %s (%s)", *piece_, err.where, err.text, err.hint);  \
    } while (0)

static inline float f32(const struct hn_array *a, int64_t row, int64_t j)
{
    ck_assert_int_eq(a->dtype, HN_F32);
    return ((const float *)a->data)[row * a->per_row + j];
}

static inline double f64(const struct hn_array *a, int64_t row, int64_t j)
{
    ck_assert_int_eq(a->dtype, HN_F64);
    return ((const double *)a->data)[row * a->per_row + j];
}

static inline const char *str(const struct hn_array *a, int64_t row)
{
    ck_assert_int_eq(a->dtype, HN_STR);
    return ((const char *const *)a->data)[row];
}
#endif
