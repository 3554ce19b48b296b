/* SPDX-License-Identifier: MIT
 *
 * What the checks of a plug-in share: plugin_check.c (loading, readers), plugin_check_ops.c, plugin_check_lengths.c (what
 * operators compute), plugin_check_watch.c (what calls leave behind in the process). */
#ifndef HN_PLUGIN_CHECK_H
#define HN_PLUGIN_CHECK_H

#include "plugin/plugins.h"

enum { HN_CHECK_THREADS = 4 };

enum { HN_CHECK_FOUND = 256 };
struct hn_check {
    hone_context *ctx; /* the caller's: memory and files */
    const char *path;
    hone_plugin_check_opts opts;
    hone_result *r;
    int failed, crowded; /* crowded: calls of several threads, after which nobody is asked */
    char found[HN_CHECK_FOUND],
        loading[HN_CHECK_FOUND]; /* what is changed in the process; said of the plug-in already */
};
/* A check begins: of the whole plug-in, or of a file or an operator (key "file" or "op"). */
void hn_check_begin(struct hn_check *c, const char *name, const char *key, const char *of);
void hn_check_end(struct hn_check *c, const char *why, const char *told); /* why NULL: passed */

void hn_check_ops(struct hn_check *c, const struct hn_custom_op *op, size_t n);

/* The attributes that an operator is tried with: the defaults, then others around them. Floats, as a model has them. */
enum { HN_ATTR_VALUES = 4, HN_ATTR_SETS = 1 + (HN_ATTR_VALUES + 1) * HN_CUSTOM_ATTRS };
struct hn_attr_sets {
    int n;
    double a[HN_ATTR_SETS][HN_CUSTOM_ATTRS];
};
/* " with alpha = 0.5": what is not the default in a, "" where all is. */
enum { HN_ATTR_TEXT = 160 };
const char *hn_attr_text(const struct hn_custom_op *op, const double *a, char buf[HN_ATTR_TEXT]);
void hn_check_lengths(struct hn_check *c, const struct hn_custom_op *op, const char *name,
                      const struct hn_attr_sets *sets);

/* call was made: the host is asked what it left changed in the process, and the first answer kept for hn_watch_told, the
 * check that says so. */
void hn_watched(struct hn_check *c, const char *call);
/* What is open from here on is so for good; what hn_watch_told finds besides is left behind. */
void hn_watch_open(struct hn_check *c);
void hn_watch_told(struct hn_check *c, const char *key, const char *of);
#endif
