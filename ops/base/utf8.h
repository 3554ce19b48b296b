/* SPDX-License-Identifier: MIT
 *
 * Well-formed UTF-8 (Unicode, table 3-7): the length of the sequence at s, or 0 when there is none. Overlong forms,
 * surrogates and code points above U+10FFFF are not well-formed. */
#ifndef HN_UTF8_H
#define HN_UTF8_H

#include <stddef.h>

static inline size_t hn_utf8_len(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (n == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4) return 0;
    size_t len = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n < len) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0; /* overlong */
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogate */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0; /* overlong */
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0; /* above U+10FFFF */
    return len;
}

/* Whether all n bytes are. */
static inline int hn_utf8_all(const char *text, size_t n)
{
    for (size_t at = 0, len; at < n; at += len)
        if (!(len = hn_utf8_len(text + at, n - at))) return 0;
    return 1;
}
#endif
