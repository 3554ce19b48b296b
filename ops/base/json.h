/* SPDX-License-Identifier: MIT
 *
 * Writing JSON into a sink. The library writes JSON and never reads any. Errors stick: after the first failed write the
 * writer does nothing more, and hn_json_end returns that error. Keys are NULL inside arrays and for the outermost value.
 * Doubles have 17 significant digits at most (the shortest form that reads back the same); NaN and infinities become
 * null and mark the enclosing object, which gets "nonfinite": true when it ends. Strings are escaped; invalid UTF-8
 * becomes U+FFFD. Every piece is one write of the sink: for a line of a log use a hn_buffer and write that. */
#ifndef HN_JSON_H
#define HN_JSON_H

#include "ops/base/io.h"

struct hn_json {
    struct hn_sink *sink;
    hone_error *err;
    hone_status status;
    int depth;
    struct {
        char close, any, nonfinite;
    } level[64];
    int indent; /* 0: one line; else spaces per level */
};
/* indent below 0 is 0 */
void hn_json_begin(struct hn_json *j, struct hn_sink *sink, int indent, hone_error *err);
void hn_json_object(struct hn_json *j, const char *key);
void hn_json_array(struct hn_json *j, const char *key);
void hn_json_close(struct hn_json *j); /* the innermost object or array */
void hn_json_string(struct hn_json *j, const char *key, const char *value); /* NULL writes null */
void hn_json_int(struct hn_json *j, const char *key, int64_t value);
void hn_json_double(struct hn_json *j, const char *key, double value);
void hn_json_bool(struct hn_json *j, const char *key, int value);
void hn_json_null(struct hn_json *j, const char *key);
hone_status hn_json_end(struct hn_json *j); /* closes nothing; returns the first error */

/* Decimal text that reads back as exactly v, as short as can be ("0.1", "1e-05"; at a few powers of two one digit more than
 * needed); "nan", "inf", "-inf". buf >= 32 bytes. Locale-independent. */
void hn_format_double(char *buf, double v);
/* Locale-independent number parsing of exactly [s, s+n), no blanks, correctly rounded; 1 on success. Takes inf, infinity
 * and nan in any case; a number too large becomes an infinity. */
int hn_parse_double(const char *s, size_t n, double *out);
int hn_parse_i64(const char *s, size_t n, int64_t *out);
#endif
