/* SPDX-License-Identifier: MIT
 *
 * A study as Optuna's storages hold it: what export.c collects, and the two files it can become. */
#ifndef HN_EXPORT_H
#define HN_EXPORT_H

#include "plugin/tune/study.h"

struct hn_out_attr {
    const char *key, *json;
};
struct hn_out_param {
    const char *name;
    const char *distribution; /* JSON */
    double value;             /* the number, or the index of the choice */
};
struct hn_out_trial {
    enum hn_trial_state state;
    double value;                   /* NaN: none */
    const char *started, *finished; /* UTC, "2026-01-31 12:00:00.000000"; NULL: not yet */
    struct hn_out_param *params;
    const char *fixed; /* of a waiting trial: its settings as a JSON object */
    struct hn_out_attr *attrs;
    double *steps; /* values on the way, from step 1 on */
    size_t n_params, n_attrs, n_steps;
};
struct hn_out_study {
    const char *name;
    int maximize;
    struct hn_out_attr *attrs;
    struct hn_out_trial *trials; /* by number */
    size_t n_attrs, n;
};

/* The file's bytes, added to out. */
hone_status hn_out_sqlite(const struct hn_out_study *s, struct hn_buffer *out, hone_error *err);
hone_status hn_out_journal(const struct hn_out_study *s, struct hn_buffer *out, hone_error *err);
/* Text as a JSON string, in the arena; NULL: out of memory. */
const char *hn_out_quote(struct hn_arena *a, const char *text);
#endif
