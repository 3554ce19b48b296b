/* SPDX-License-Identifier: MIT
 *
 * Filling in a hone_error. Every failing path ends in hn_fail; nothing in the library prints or exits. */
#ifndef HN_STATUS_H
#define HN_STATUS_H

#include "ops/base/hone_status.h"

/* Writes code, where and the formatted text into err (NULL allowed, where may be NULL), clears the hint, returns code:
 *     return hn_fail(err, HONE_E_MODEL, node->name, "Gemm: B has %lld rows, A has %lld columns", b, a); */
hone_status hn_fail(hone_error *err, hone_status code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds a hint to an error already filled in; err may be NULL. Returns err->code (HONE_E_INTERNAL when err is NULL is
 * never returned: the caller's code is passed through):  return hn_hint(err, code, "try --val-split 0.2"); */
hone_status hn_hint(hone_error *err, hone_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Out of memory for `what` ("the activation arena"), n bytes; 0: not known. */
hone_status hn_nomem(hone_error *err, const char *what, size_t n);

/* "HONE_E_IO" and "reading or writing a file failed". Never NULL. */
const char *hn_status_name(hone_status code);
const char *hn_status_text(hone_status code);

/* Whether a number that came from outside is one of them. */
int hn_is_status(int code);

/* Closest word of a NULL-terminated list by edit distance, or NULL when none is close (for "did you mean"). */
const char *hn_suggest(const char *word, const char *const *list);

/* Forward a failure:  HN_TRY(onnx_read(...)); */
#define HN_TRY(expr)                                                                               \
    do {                                                                                           \
        hone_status hn_try_ = (expr);                                                              \
        if (hn_try_ != HONE_OK) return hn_try_;                                                    \
    } while (0)
#endif
