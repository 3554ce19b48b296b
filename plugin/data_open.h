/* SPDX-License-Identifier: MIT
 *
 * The insides of hone_data: for each role the input and target arrays with the model value each is meant for. */
#ifndef HN_DATA_OPEN_H
#define HN_DATA_OPEN_H

#include "plugin/data/data.h"
#include "plugin/internal.h"

struct hn_named_array {
    char *value; /* model input or output this is for; NULL: by position */
    struct hn_array a;
};
struct hn_role_data {
    struct hn_named_array *x, *y;
    size_t n_x, n_y, cap_x, cap_y;
    struct hn_array group; /* --group column; rows 0: none */
};
struct hn_given_rows { /* rows of one role: in which role's arrays, and which of them */
    const uint32_t *rows;
    int64_t n; /* 0: the role has none */
    int set;
};
struct hone_data {
    hone_context *ctx;
    struct hn_role_data role[3];
    const struct hn_given_rows *given; /* of all roles (a fold); NULL: the session draws them */
};
int64_t hn_role_rows(const struct hn_role_data *r); /* 0: the role has no data */
#endif
