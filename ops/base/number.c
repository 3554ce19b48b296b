/* SPDX-License-Identifier: MIT
 *
 * Numbers as text and back, the same in every locale.
 *
 * Reading is correctly rounded, in three tiers. With w the digits as an integer and the value w·10^e:
 *     w <= 2^53, |e| <= 22:         w and 10^|e| are exact doubles, so one multiplication or division rounds once
 *     at most 19 digits, -18 <= e <= 19: w·10^e as a 128-bit integer, or as a quotient and a remainder, rounded by hand
 *     anything else:                strtod on the digits without a decimal point, which no locale changes; of more than
 *                                   800 digits the rest can only matter by not being zero */
#include "ops/base/format.h"
#include "ops/base/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

static const double exact_tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
static const uint64_t tens[] = { 1ull,
                                 10ull,
                                 100ull,
                                 1000ull,
                                 10000ull,
                                 100000ull,
                                 1000000ull,
                                 10000000ull,
                                 100000000ull,
                                 1000000000ull,
                                 10000000000ull,
                                 100000000000ull,
                                 1000000000000ull,
                                 10000000000000ull,
                                 100000000000000ull,
                                 1000000000000000ull,
                                 10000000000000000ull,
                                 100000000000000000ull,
                                 1000000000000000000ull,
                                 10000000000000000000ull };

enum { MAX_DIGITS = 800, MAX_EXPONENT = 100000 };

/* A number taken apart: value = (-1)^negative · 0.DIGITS · 10^point, DIGITS = those of [first, last) without the dot. */
struct decimal {
    const char *first, *last; /* from the first digit that is not 0 to the end of the mantissa */
    uint64_t w;               /* the first 19 digits */
    int64_t exponent;         /* of 10 behind the last digit */
    int64_t digits;           /* how many, without leading zeros */
};

static int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* The digits from p on; leading zeros of the number do not count. */
static const char *read_digits(const char *p, const char *end, struct decimal *d)
{
    uint64_t w = d->w;
    int64_t n = d->digits;
    if (n == 0) {
        while (p < end && *p == '0') p++;
        d->first = p;
    }
    for (; p < end && is_digit(*p); p++)
        if (++n <= 19) w = w * 10 + (uint64_t)(*p - '0');
    d->w = w;
    d->digits = n;
    return d->last = p;
}

/* Reads "12.5e-3" from s on; the end of what was read, NULL when there is no number. */
static const char *read_decimal(const char *s, const char *end, struct decimal *d)
{
    *d = (struct decimal){ 0 };
    const char *p = read_digits(s, end, d);
    int any = p > s;
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = read_digits(fraction, end, d);
        d->exponent = -(int64_t)(p - fraction);
        any |= p > fraction;
    }
    if (!any) return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int64_t e = 0;
        int minus = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (p == end || !is_digit(*p)) return NULL;
        for (; p < end && is_digit(*p); p++)
            if (e < INT64_C(1) << 50) e = e * 10 + (*p - '0');
        d->exponent += minus ? -e : e;
    }
    return p;
}

/* (v + a bit more where `more`)·2^e, v at least 2^64, to nearest even; the result is a normal double. */
static double round_128(u128 v, int more, int e)
{
    uint64_t high = (uint64_t)(v >> 64);
    int drop = 128 - __builtin_clzll(high) - 53;
    uint64_t q = (uint64_t)(v >> drop);
    u128 rest = v & (((u128)1 << drop) - 1), half = (u128)1 << (drop - 1);
    if (rest > half || (rest == half && (more || (q & 1)))) q++;
    return ldexp((double)q, drop + e);
}

/* The second tier; w > 0 of at most 19 digits, exponent in -18..19. */
static double exact_128(uint64_t w, int exponent)
{
    int up = __builtin_clzll(w);
    if (exponent == 0) return (double)w;
    if (exponent > 0) return round_128((u128)(w << up) * tens[exponent], 0, -up);
    u128 numerator = (u128)(w << up) << 64;
    u128 quotient = numerator / tens[-exponent]; /* at least 2^127 / 10^18 */
    return round_128(quotient, quotient * tens[-exponent] != numerator, -64 - up);
}

/* The third tier. */
static double slow(const struct decimal *d)
{
    char text[MAX_DIGITS + 32];
    size_t n = 0;
    int64_t dropped = 0, e;
    int rest = 0;
    for (const char *p = d->first; p < d->last; p++) {
        if (*p == '.') continue;
        if (n < MAX_DIGITS)
            text[n++] = *p;
        else
            dropped++, rest |= *p != '0';
    }
    if (rest) text[n - 1] = (char)(text[n - 1] | 1); /* not on a tie any more, same side of it */
    e = d->exponent + dropped;
    if (e > MAX_EXPONENT) e = MAX_EXPONENT;
    if (e < -MAX_EXPONENT) e = -MAX_EXPONENT;
    text[n++] = 'e';
    text[n++] = e < 0 ? '-' : '+';
    for (int64_t ten = MAX_EXPONENT, left = e < 0 ? -e : e; ten; left %= ten, ten /= 10)
        text[n++] = (char)('0' + left / ten);
    text[n] = '\0';
    return strtod(text, NULL);
}

static double magnitude(const struct decimal *d)
{
    if (d->digits == 0) return 0.0;
    if (d->digits <= 19) {
        if (d->w <= UINT64_C(1) << 53 && d->exponent >= -22 && d->exponent <= 22)
            return d->exponent < 0 ? (double)d->w / exact_tens[-d->exponent]
                                   : (double)d->w * exact_tens[d->exponent];
        if (d->exponent >= -18 && d->exponent <= 19) return exact_128(d->w, (int)d->exponent);
    }
    return slow(d);
}

/* 1 when [s, end) is word, in any case. */
static int is_word(const char *s, const char *end, const char *word)
{
    for (; s < end && *word; s++, word++)
        if ((*s | 32) != *word) return 0;
    return s == end && !*word;
}

int hn_parse_double(const char *s, size_t n, double *out)
{
    const char *end = s + n;
    struct decimal d;
    double v;
    int minus = n > 0 && *s == '-';
    if (n > 0 && (*s == '-' || *s == '+')) s++;
    if (s < end && (*s | 32) == 'n' && is_word(s, end, "nan"))
        v = (double)NAN;
    else if (s < end && (*s | 32) == 'i' && (is_word(s, end, "inf") || is_word(s, end, "infinity")))
        v = (double)INFINITY;
    else if (read_decimal(s, end, &d) == end)
        v = magnitude(&d);
    else
        return 0;
    *out = minus ? -v : v;
    return 1;
}

int hn_parse_i64(const char *s, size_t n, int64_t *out)
{
    const char *end = s + n;
    int minus = n > 0 && *s == '-';
    int64_t v = 0;
    if (n > 0 && (*s == '-' || *s == '+')) s++;
    if (s == end) return 0;
    for (; s < end; s++) { /* downwards: there is one more negative number */
        if (!is_digit(*s) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *s - '0', &v))
            return 0;
    }
    if (!minus && v == INT64_MIN) return 0;
    *out = minus ? v : -v;
    return 1;
}

/* 15 digits always survive the way to a double and back and 17 always carry one; a subnormal may need a single one. */
void hn_format_double(char *buf, double v)
{
    if (isnan(v) || isinf(v)) {
        memcpy(buf, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf", isinf(v) && v < 0 ? 5 : 4);
        return;
    }
    for (int digits = fabs(v) < 0x1p-1022 ? 1 : 15; digits <= 17; digits++) {
        double back;
        hn_print(buf, 32, "%.*g", digits, v);
        if (hn_parse_double(buf, strlen(buf), &back) && back == v) return;
    }
}
