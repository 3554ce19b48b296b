/* SPDX-License-Identifier: MIT
 *
 * Error text. Names in it come from files nobody vouches for, so whatever is not well-formed UTF-8 or is a control
 * character becomes '?' here, once, instead of reaching a terminal. Text that is too long is cut between characters. */
#include "ops/base/status.h"
#include "ops/base/format.h"
#include "ops/base/utf8.h"
#include <stdarg.h>
#include <string.h>

/* Copies the NUL-terminated src into dst[size]. formatted: newlines stay, and the last character may have been cut by its buffer. */
static void copy_clean(char *dst, size_t size, const char *src, int formatted)
{
    size_t n = strlen(src), i = 0, out = 0;
    while (i < n) {
        const unsigned char *s = (const unsigned char *)src + i;
        size_t len = hn_utf8_len(src + i, n - i);
        int control = (s[0] < 0x20 && !(formatted && s[0] == '\n')) || s[0] == 0x7F ||
                      (len == 2 && s[0] == 0xC2 && s[1] < 0xA0);
        if (formatted && len == 0 && n - i < 4 && (s[0] & 0xC0) == 0xC0) break;
        size_t put = len == 0 || control ? 1 : len;
        if (out + put >= size) break;
        if (len == 0 || control)
            dst[out] = '?';
        else
            memcpy(dst + out, src + i, len);
        out += put;
        i += len ? len : 1;
    }
    dst[out] = '\0';
}

/* By way of a buffer, because the arguments may point into the error that is being overwritten. */
static void format_clean(char *dst, size_t size, const char *fmt, va_list ap)
{
    char text[sizeof((hone_error *)0)->text];
    hn_format_into(text, size, fmt, ap);
    copy_clean(dst, size, text, 1);
}

hone_status hn_fail(hone_error *err, hone_status code, const char *where, const char *fmt, ...)
{
    if (!err) return code;
    char place[sizeof err->where];
    copy_clean(place, sizeof place, where ? where : "", 0);
    va_list ap;
    va_start(ap, fmt);
    format_clean(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    memcpy(err->where, place, sizeof place);
    err->hint[0] = '\0';
    err->code = code;
    return code;
}

hone_status hn_hint(hone_error *err, hone_status code, const char *fmt, ...)
{
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    format_clean(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    return code;
}

hone_status hn_nomem(hone_error *err, const char *what, size_t n)
{
    if (!n) return hn_fail(err, HONE_E_NOMEM, "", "out of memory for %s", what);
    return hn_fail(err, HONE_E_NOMEM, "", "out of memory: %zu bytes for %s", n, what);
}

const char *hn_status_name(hone_status code)
{
    switch (code) {
#define NAME(name, number, text)                                                                   \
    case name: return #name;
        HONE_STATUS_LIST(NAME)
#undef NAME
    }
    return "HONE_E_?";
}

const char *hn_status_text(hone_status code)
{
    switch (code) {
#define TEXT(name, number, text)                                                                   \
    case name: return text;
        HONE_STATUS_LIST(TEXT)
#undef TEXT
    }
    return "unknown status";
}

int hn_is_status(int code)
{
#define IS_CODE(name, number, text)                                                                \
    if (code == (number)) return 1;
    HONE_STATUS_LIST(IS_CODE)
#undef IS_CODE
    return 0;
}

enum { WORD_MAX = 64 };

static int fold(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A' + 'a';
    return c == '_' ? '-' : c;
}

static int min_int(int a, int b) { return a < b ? a : b; }

/* Edits between a[0..n) and b[0..m), m < WORD_MAX: insert, delete, replace, swap neighbours; case and '_' or '-' are
 * the same. Three rows of the usual table. */
static int edit_distance(const char *a, int n, const char *b, int m)
{
    int rows[3][WORD_MAX];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++) last[j] = j;
    for (int i = 1; i <= n; i++) {
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int same = fold(a[i - 1]) == fold(b[j - 1]);
            int d = min_int(min_int(last[j] + 1, row[j - 1] + 1), last[j - 1] + !same);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                d = min_int(d, before[j - 2] + 1);
            row[j] = d;
        }
        int *spare = before;
        before = last, last = row, row = spare;
    }
    return last[m];
}

const char *hn_suggest(const char *word, const char *const *list)
{
    const char *best = NULL;
    size_t n = strlen(word);
    if (n == 0 || n >= WORD_MAX) return NULL;
    int limit = n < 4 ? 1 : (int)n / 3, best_d = limit + 1;
    for (; *list; list++) {
        size_t m = strlen(*list);
        if (m == 0 || m >= WORD_MAX) continue;
        int d = edit_distance(word, (int)n, *list, (int)m);
        if (d < best_d && d < (int)(n < m ? m : n)) best_d = d, best = *list;
    }
    return best;
}
