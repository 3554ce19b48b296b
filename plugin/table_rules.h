/* SPDX-License-Identifier: MIT
 *
 * --impute and --unknown as rules: what fills the missing cells of one column, or of all that have no rule of their own; the same for
 * categories that the training table did not have. */
#ifndef HN_TABLE_RULES_H
#define HN_TABLE_RULES_H

#include "plugin/data/data.h"
#include "plugin/internal.h"

struct hn_impute_rules {
    struct hn_impute_rule *rule;
    size_t n;
};
/* As the parameters say, in their order; columns are called as they were given, by name or index. What it returns lives in a. */
hone_status hn_impute_rules_read(struct hn_impute_rules *r, struct hn_arena *a,
                                 const hone_params *p, hone_error *err);
/* Columns by their names among those of the n tables x, of one file; arrays that are none are passed over. */
struct hn_named_array;
hone_status hn_impute_rules_name(struct hn_impute_rules *r, const struct hn_named_array *x,
                                 size_t n, hone_error *err);
/* o->unknown as the parameters say; it lives in a. */
hone_status hn_unknown_rules_read(struct hn_csv_options *o, struct hn_arena *a,
                                  const hone_params *p, hone_error *err);
#endif
