/* SPDX-License-Identifier: MIT
 *
 * JSON text (RFC 8259) into a sink, piece by piece, without a tree. The level stack only remembers what the punctuation
 * needs. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "ops/base/utf8.h"
#include <math.h>
#include <string.h>

enum { LEVELS = sizeof((struct hn_json *)0)->level / sizeof((struct hn_json *)0)->level[0] };

static void put(struct hn_json *j, const char *p, size_t n)
{
    if (j->status == HONE_OK && n) j->status = j->sink->write(j->sink, p, n, j->err);
}

static void put_text(struct hn_json *j, const char *text) { put(j, text, strlen(text)); }

static void new_line(struct hn_json *j, int depth)
{
    static const char blanks[] = "                                ";
    if (!j->indent) return;
    put(j, "\n", 1);
    for (size_t n = (size_t)j->indent * (size_t)depth, k; n && j->status == HONE_OK; n -= k) {
        k = n < sizeof blanks - 1 ? n : sizeof blanks - 1;
        put(j, blanks, k);
    }
}

static void put_escape(struct hn_json *j, unsigned char c)
{
    static const char short_forms[] =
        "\"\"\\\\\bb\ff\nn\rr\tt"; /* the byte and its letter, in pairs */
    static const char hex[] = "0123456789abcdef";
    for (const char *p = short_forms; *p; p += 2)
        if ((unsigned char)p[0] == c) {
            put(j, (const char[]){ '\\', p[1] }, 2);
            return;
        }
    put(j, (const char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
}

static void put_string(struct hn_json *j, const char *s)
{
    size_t n = strlen(s), from = 0, i = 0;
    put(j, "\"", 1);
    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        size_t len = hn_utf8_len(s + i, n - i);
        if (len && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) {
            i += len;
            continue;
        }
        put(j, s + from, i - from);
        if (len)
            put_escape(j, c);
        else
            put_text(j, "\xEF\xBF\xBD");
        from = ++i;
    }
    put(j, s + from, n - from);
    put(j, "\"", 1);
}

/* Comma, line and key: whatever comes before a value. */
static void before(struct hn_json *j, const char *key)
{
    if (j->depth > 0) {
        if (j->level[j->depth - 1].any) put(j, ",", 1);
        j->level[j->depth - 1].any = 1;
        new_line(j, j->depth);
    }
    if (!key) return;
    put_string(j, key);
    put(j, ": ", j->indent ? 2 : 1);
}

static void open_level(struct hn_json *j, const char *key, char begin, char end)
{
    if (j->status == HONE_OK && j->depth >= LEVELS)
        j->status =
            hn_fail(j->err, HONE_E_INTERNAL, key, "JSON nested deeper than %d", (int)LEVELS);
    if (j->status != HONE_OK) return;
    before(j, key);
    put(j, &begin, 1);
    j->level[j->depth].close = end;
    j->level[j->depth].any = 0;
    j->level[j->depth].nonfinite = 0;
    j->depth++;
}

void hn_json_begin(struct hn_json *j, struct hn_sink *sink, int indent, hone_error *err)
{
    *j = (struct hn_json){ .sink = sink, .err = err, .indent = indent > 0 ? indent : 0 };
}

void hn_json_object(struct hn_json *j, const char *key) { open_level(j, key, '{', '}'); }
void hn_json_array(struct hn_json *j, const char *key) { open_level(j, key, '[', ']'); }

void hn_json_close(struct hn_json *j)
{
    if (j->status == HONE_OK && j->depth == 0)
        j->status = hn_fail(j->err, HONE_E_INTERNAL, "", "JSON closed more often than opened");
    if (j->status != HONE_OK) return;
    if (j->level[j->depth - 1].nonfinite) hn_json_bool(j, "nonfinite", 1);
    j->depth--;
    if (j->level[j->depth].any) new_line(j, j->depth);
    put(j, &j->level[j->depth].close, 1);
}

void hn_json_string(struct hn_json *j, const char *key, const char *value)
{
    before(j, key);
    if (value)
        put_string(j, value);
    else
        put_text(j, "null");
}

void hn_json_int(struct hn_json *j, const char *key, int64_t value)
{
    char buf[24], *p = buf + sizeof buf;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    before(j, key);
    do *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--p = '-';
    put(j, p, (size_t)(buf + sizeof buf - p));
}

void hn_json_double(struct hn_json *j, const char *key, double value)
{
    char buf[32];
    if (!isfinite(value)) {
        int d = j->depth - 1;
        while (d >= 0 && j->level[d].close != '}') d--;
        if (d >= 0) j->level[d].nonfinite = 1;
        hn_json_null(j, key);
        return;
    }
    before(j, key);
    hn_format_double(buf, value);
    put_text(j, buf);
}

void hn_json_bool(struct hn_json *j, const char *key, int value)
{
    before(j, key);
    put_text(j, value ? "true" : "false");
}

void hn_json_null(struct hn_json *j, const char *key)
{
    before(j, key);
    put_text(j, "null");
}

hone_status hn_json_end(struct hn_json *j) { return j->status; }
