/* SPDX-License-Identifier: MIT
 *
 * CSV out. Numbers in the shortest form that reads back the same, LF line ends. Text cells follow RFC 4180, and one that
 * a spreadsheet would run as a formula (it starts with = + - @ tab or CR) gets a ' in front. */
#include "ops/base/format.h"
#include "ops/base/json.h"
#include "plugin/data/internal.h"

#include <math.h>

hone_status hn_csv_write_cell(struct hn_sink *s, const char *text, hone_error *err)
{
    double number;
    size_t n = strlen(text);
    int formula = n && strchr("=+-@\t\r", *text) && !hn_parse_double(text, n, &number);
    int quote = strpbrk(text, ",\"\r\n\t") || (n && (*text == ' ' || text[n - 1] == ' '));
    if (quote) HN_TRY(s->write(s, "\"", 1, err));
    if (formula) HN_TRY(s->write(s, "'", 1, err));
    while (quote && n) {
        const char *q = memchr(text, '"', n);
        size_t piece = q ? (size_t)(q - text) + 1 : n;
        HN_TRY(s->write(s, text, piece, err));
        if (q) HN_TRY(s->write(s, "\"", 1, err));
        text += piece, n -= piece;
    }
    if (n) HN_TRY(s->write(s, text, n, err));
    return quote ? s->write(s, "\"", 1, err) : HONE_OK;
}

hone_status hn_csv_write_names(struct hn_sink *s, const char *const *names, int64_t n,
                               hone_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (i) HN_TRY(s->write(s, ",", 1, err));
        HN_TRY(hn_csv_write_cell(s, names[i], err));
    }
    return s->write(s, "\n", 1, err);
}

/* The fewest digits that read back as f: 9 always do. */
static void format_float(char *buf, float f)
{
    double back;
    if (!isfinite(f)) {
        hn_format_double(buf, (double)f);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        hn_print(buf, 32, "%.*g", digits, (double)f);
        if (hn_parse_double(buf, strlen(buf), &back) && (float)back == f) return;
    }
}

hone_status hn_csv_write_number(struct hn_sink *s, const struct hn_tensor *t, int64_t i,
                                hone_error *err)
{
    char buf[32];
    double v = hn_tensor_f64(t, i);
    if (t->dtype == HN_I64)
        hn_print(buf, 32, "%lld", (long long)hn_tensor_i64(t, i));
    else if (t->dtype == HN_F32)
        format_float(buf, (float)v);
    else
        hn_format_double(buf, v);
    return s->write(s, buf, strlen(buf), err);
}
