/* SPDX-License-Identifier: MIT
 *
 * Status codes and error text: the one vocabulary of failure, from the lowest layer to the public API.
 * Installed beside hone.h, which includes it. */
#ifndef HONE_STATUS_H
#define HONE_STATUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers are ABI: append only, never renumber. */
#define HONE_STATUS_LIST(X)                                                                        \
    X(HONE_OK, 0, "ok")                                                                            \
    X(HONE_E_NOMEM, -1, "out of memory")                                                           \
    X(HONE_E_USAGE, -2, "wrong use: an option, a value or the order of calls")                     \
    X(HONE_E_MODEL, -3, "the model is malformed")                                                  \
    X(HONE_E_UNSUPPORTED, -4, "the model is valid but uses something not supported")               \
    X(HONE_E_BUDGET, -5, "a size or count limit was exceeded")                                     \
    X(HONE_E_DATA, -6, "the data are bad or do not fit the model")                                 \
    X(HONE_E_DEVICE, -7, "the device is missing or failed")                                        \
    X(HONE_E_IO, -8, "reading or writing a file failed")                                           \
    X(HONE_E_DIVERGED, -9, "training produced non-finite numbers")                                 \
    X(HONE_E_CORRUPT, -10, "a checkpoint or run directory is damaged or does not match")           \
    X(HONE_E_INTERNAL, -70, "an internal invariant was broken (a defect of Hone)")

typedef enum hone_status {
#define HONE_STATUS_ENUM(name, number, text) name = number,
    HONE_STATUS_LIST(HONE_STATUS_ENUM)
#undef HONE_STATUS_ENUM
} hone_status;

/* Caller-owned; every function that takes one accepts NULL. Strings are UTF-8, NUL-terminated, cut if too long. */
typedef struct hone_error {
    hone_status code;
    char
        where[256]; /* file, node, tensor, row or option the text is about; "" when there is none */
    char text[768]; /* what was found and what was wanted */
    char hint[256]; /* what would help; "" when nothing is known */
} hone_error;

#if defined(__GNUC__)
#define HONE_MUST_USE __attribute__((warn_unused_result))
#else
#define HONE_MUST_USE
#endif

#ifdef __cplusplus
}
#endif
#endif
