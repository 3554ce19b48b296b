/* SPDX-License-Identifier: MIT
 *
 * Formatted text in pieces, with a '.' in numbers whatever locale the host has set. Knows d i u x X o c s p e E f F g G
 * a A % with flags, width and precision (also *) and the lengths hh h l ll j z t; never %n. */
#ifndef HN_FORMAT_H
#define HN_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Calls put for each piece until it returns non-zero; returns that, or -1 at a conversion it does not know, or 0. */
int hn_format(int (*put)(void *user, const char *p, size_t n), void *user, const char *fmt,
              va_list ap) __attribute__((format(printf, 3, 0)));

/* The whole text in buf, cut when it does not fit; returns its length without the NUL. */
size_t hn_format_into(char *buf, size_t size, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
size_t hn_print(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
