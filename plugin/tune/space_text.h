/* SPDX-License-Identifier: MIT
 *
 * Pieces of a space's lines, shared by the files that read them. */
#ifndef HN_SPACE_TEXT_H
#define HN_SPACE_TEXT_H

#include "plugin/tune/space.h"

/* The first of `stops` that is neither escaped nor inside double quotes; the end when there is none. */
const char *hn_text_find(const char *p, const char *stops);
/* [p, end) without blanks around it, quotes and backslashes. NULL: out of memory. */
char *hn_text_plain(struct hn_arena *a, const char *p, const char *end, int *quoted);
#endif
