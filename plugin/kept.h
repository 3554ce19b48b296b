/* SPDX-License-Identifier: MIT
 *
 * What a session over the same opened data and the same row lists would only compute again: a search opens one a fold and trial,
 * and whoever runs them keeps this from one to the next. Used by one thread at a time; the arrays and row lists it has been
 * given stay where they are. */
#ifndef HN_KEPT_H
#define HN_KEPT_H

#include "plugin/data/data.h"
#include "plugin/prepared.h"

struct hn_kept_scaler { /* fitted over rows of an array */
    const struct hn_array *array;
    const uint32_t *rows;
    struct hn_scaler fit;
};
struct hn_kept {
    struct hn_mem *mem;
    struct hn_kept_scaler *scaler;
    size_t n_scalers, cap_scalers;
    struct hn_prepared_list
        prepared; /* of the device the sessions run on; not used where that is another */
};

void hn_kept_free(struct hn_kept *k); /* a zeroed struct is fine */
/* Borrowed; NULL: there is none. k NULL is empty. */
const struct hn_scaler *hn_kept_find_scaler(const struct hn_kept *k, enum hn_scaling kind,
                                            const struct hn_array *array, const uint32_t *rows);
/* Takes the scaler over and leaves a borrowed one behind, which is freed as any other. Without memory, and with k NULL, it
 * stays the caller's. */
void hn_kept_add_scaler(struct hn_kept *k, const struct hn_array *array, const uint32_t *rows,
                        struct hn_scaler *fit);
#endif
