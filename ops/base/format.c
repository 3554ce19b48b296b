/* SPDX-License-Identifier: MIT
 *
 * Splits a printf format into its conversions and lets vsnprintf do one number at a time; strings pass through
 * untouched, so that they may have any length. */
#include "ops/base/format.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A number is padded to WIDEST_FIELD at most; with the 309 digits a double may have before the point it fits. */
enum { NUMBER_SIZE = 512, WIDEST_FIELD = 150 };

struct spec {
    char flags[8];
    int width, precision; /* precision -1: none given */
    char length;          /* 0, or h, H for hh, l, L for ll, j, z, t */
    char conv;
};

struct out {
    int (*put)(void *user, const char *p, size_t n);
    void *user;
};

static const char *read_length(const char *f, char *length)
{
    *length = 0;
    if (!*f || !strchr("hljzt", *f)) return f;
    *length = *f++;
    if (*f == *length && *length == 'h') return *length = 'H', f + 1;
    if (*f == *length && *length == 'l') return *length = 'L', f + 1;
    return f;
}

static const char *read_number(const char *f, int *value)
{
    for (*value = 0; *f >= '0' && *f <= '9'; f++)
        if (*value < 1 << 20) *value = *value * 10 + (*f - '0');
    return f;
}

static int print(char *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int print(char *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(buf, NUMBER_SIZE, fmt, ap);
    va_end(ap);
    return n < 0 ? 0 : n < NUMBER_SIZE ? n : NUMBER_SIZE - 1;
}

/* Whatever stands between two digits and is neither letter, sign nor space is a locale's decimal point. */
static int plain_point(char *buf, int n)
{
    for (int i = 0; i < n; i++) {
        unsigned char c = (unsigned char)buf[i];
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')) continue;
        if (c == '-' || c == '+' || c == ' ') continue;
        int end = i + 1;
        while (end < n && !((unsigned char)(buf[end] - '0') < 10)) end++;
        buf[i] = '.';
        memmove(buf + i + 1, buf + end, (size_t)(n - end));
        return n - (end - i - 1);
    }
    return n;
}

static int put_number(const struct out *o, const struct spec *s, va_list *ap)
{
    char fmt[24] = "%", buf[NUMBER_SIZE];
    int w = s->width < WIDEST_FIELD ? s->width : WIDEST_FIELD;
    int p = s->precision < WIDEST_FIELD ? s->precision : WIDEST_FIELD;
    size_t k = strlen(s->flags);
    memcpy(fmt + 1, s->flags, k);
    memcpy(fmt + 1 + k, "*.*", 3);
    k += 4;
    if (strchr("eEfFgGaA", s->conv)) {
        fmt[k] = s->conv;
        int n = print(buf, fmt, w, p, va_arg(*ap, double));
        return o->put(o->user, buf, (size_t)plain_point(buf, n));
    }
    int is_signed = s->conv == 'd' || s->conv == 'i', n;
    fmt[k] = 'j';
    fmt[k + 1] = s->conv;
    if (is_signed) {
        intmax_t v = s->length == 'l'   ? va_arg(*ap, long)
                     : s->length == 'L' ? va_arg(*ap, long long)
                     : s->length == 'j' ? va_arg(*ap, intmax_t)
                     : s->length == 'z' ? va_arg(*ap, ssize_t)
                     : s->length == 't' ? va_arg(*ap, ptrdiff_t)
                                        : va_arg(*ap, int);
        n = print(buf, fmt, w, p,
                  s->length == 'H'   ? (signed char)v
                  : s->length == 'h' ? (short)v
                                     : v);
    } else {
        uintmax_t v = s->length == 'l'                       ? va_arg(*ap, unsigned long)
                      : s->length == 'L'                     ? va_arg(*ap, unsigned long long)
                      : s->length == 'j'                     ? va_arg(*ap, uintmax_t)
                      : s->length == 'z' || s->length == 't' ? va_arg(*ap, size_t)
                                                             : va_arg(*ap, unsigned);
        n = print(buf, fmt, w, p,
                  s->length == 'H'   ? (unsigned char)v
                  : s->length == 'h' ? (unsigned short)v
                                     : v);
    }
    return o->put(o->user, buf, (size_t)n);
}

static int put_padded(const struct out *o, const struct spec *s, const char *text, size_t n)
{
    static const char blank[] = "                ";
    size_t pad = s->width > 0 && (size_t)s->width > n ? (size_t)s->width - n : 0;
    int left = strchr(s->flags, '-') != NULL, rc = 0;
    if (left && n) rc = o->put(o->user, text, n);
    for (size_t k; rc == 0 && pad; pad -= k) {
        k = pad < sizeof blank - 1 ? pad : sizeof blank - 1;
        rc = o->put(o->user, blank, k);
    }
    if (!left && n && rc == 0) rc = o->put(o->user, text, n);
    return rc;
}

static int put_conversion(const struct out *o, struct spec *s, va_list *ap)
{
    char text[32];
    const char *str;
    switch (s->conv) {
    case '%': return o->put(o->user, "%", 1);
    case 'c': text[0] = (char)va_arg(*ap, int); return put_padded(o, s, text, 1);
    case 'p': return put_padded(o, s, text, (size_t)print(text, "%p", va_arg(*ap, void *)));
    case 's':
        str = va_arg(*ap, const char *);
        if (!str) str = "(null)";
        return put_padded(o, s, str,
                          s->precision < 0 ? strlen(str) : strnlen(str, (size_t)s->precision));
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': return put_number(o, s, ap);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A': return put_number(o, s, ap);
    }
    return -1;
}

/* f is behind the '%'; returns what follows the conversion. */
static const char *read_spec(const char *f, struct spec *s, va_list *ap)
{
    size_t n = 0;
    for (; *f && strchr("-+ #0", *f); f++)
        if (!strchr(s->flags, *f) && n + 1 < sizeof s->flags) s->flags[n++] = *f;
    if (*f == '*') {
        s->width = va_arg(*ap, int);
        if (s->width < 0 && !strchr(s->flags, '-')) s->flags[n++] = '-';
        if (s->width < 0) s->width = s->width < -(1 << 20) ? 1 << 20 : -s->width;
        f++;
    } else {
        f = read_number(f, &s->width);
    }
    s->precision = -1;
    if (*f == '.' && f[1] == '*') {
        s->precision = va_arg(*ap, int);
        f += 2;
    } else if (*f == '.') {
        f = read_number(f + 1, &s->precision);
    }
    f = read_length(f, &s->length);
    s->conv = *f;
    return *f ? f + 1 : f;
}

int hn_format(int (*put)(void *user, const char *p, size_t n), void *user, const char *fmt,
              va_list ap)
{
    struct out o = { put, user };
    va_list args;
    int rc = 0;
    va_copy(args, ap);
    while (*fmt && rc == 0) {
        size_t n = strcspn(fmt, "%");
        if (n) {
            rc = put(user, fmt, n);
            fmt += n;
        } else {
            struct spec s = { 0 };
            fmt = read_spec(fmt + 1, &s, &args);
            rc = put_conversion(&o, &s, &args);
        }
    }
    va_end(args);
    return rc;
}

struct bounded {
    char *buf;
    size_t n, size;
};

static int put_bounded(void *user, const char *p, size_t n)
{
    struct bounded *b = user;
    size_t room = b->size - 1 - b->n, k = n < room ? n : room;
    memcpy(b->buf + b->n, p, k);
    b->n += k;
    return k < n;
}

size_t hn_format_into(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct bounded b = { buf, 0, size };
    hn_format(put_bounded, &b, fmt, ap);
    buf[b.n] = '\0';
    return b.n;
}

size_t hn_print(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = hn_format_into(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
