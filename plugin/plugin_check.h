/* SPDX-License-Identifier: MIT
 *
 * What the checks of a plug-in share: plugin_check.c (loading, readers), plugin_check_ops.c. */
#ifndef HN_PLUGIN_CHECK_H
#define HN_PLUGIN_CHECK_H

#include "plugin/plugins.h"

enum { HN_CHECK_THREADS = 4 };

struct hn_check {
    hone_context *ctx; /* the caller's: memory and files */
    const char *path;
    void (*step)(void *user, const char *what);
    void *user;
    hone_result *r;
    int failed;
};
/* A check begins: of the whole plug-in, or of a file or an operator (key "file" or "op"). */
void hn_check_begin(struct hn_check *c, const char *name, const char *key, const char *of);
void hn_check_end(struct hn_check *c, const char *why, const char *told); /* why NULL: passed */

void hn_check_ops(struct hn_check *c, const struct hn_custom_op *op, size_t n);
#endif
