/* SPDX-License-Identifier: MIT
 *
 * The plug-ins of a context (hone_plugin.h): loaded by name alone, kept until the context goes. */
#ifndef HN_PLUGINS_H
#define HN_PLUGINS_H

#include "hone_plugin.h"
#include "plugin/data/foreign.h"
#include "plugin/internal.h"

struct hn_plugin {
    struct hn_plugin *next;
    hone_context *ctx;
    hone_host host; /* what it is handed; host.own is this struct */
    char *path;     /* as it was given, without a hash */
    char hash[33];  /* XXH3-128 of its file */
    void *so;
    const hone_plugin *desc;
    hone_plugin full; /* what the descriptor says, as far as it goes */
    void *state;
    int in_init;
    atomic_size_t live;         /* blocks of host.alloc that were not released */
    long fail_at;               /* hone_plugin_check: the call of host.alloc that fails; 0: none */
    atomic_long calls;          /* counted while one may */
    struct hn_foreign *readers; /* its own part of the context's list */
    struct hn_custom_op *ops;   /* likewise */
    size_t n_readers, n_ops;
};

/* Those that parameter "plugin" names. */
hone_status hn_plugins_open(hone_context *ctx, const hone_params *p, hone_error *err);
void hn_plugins_close(hone_context *ctx); /* all, the last one first */

/* An item of parameter "plugin" as a run writes it down: FILE.so@HASH of what was loaded, so that no other file is taken
 * for it later. buf of HN_PLUGIN_PINNED bytes, or the item itself where it does not fit. */
enum { HN_PLUGIN_PINNED = 4096 };
const char *hn_plugin_pinned(const hone_context *ctx, const char *item, char *buf);
const struct hn_plugin *hn_plugin_find(const hone_context *ctx, const char *item);
/* "plugins": path, hash, id, version, license, abi, readers, ops of those that are loaded; nothing where none is. */
void hn_plugins_result(hone_result *r, const hone_context *ctx);
/* The same but for readers, as text of run.json. */
void hn_plugins_json(struct hn_json *j, const hone_context *ctx);
#endif
