/* SPDX-License-Identifier: MIT
 *
 * What is kept from session to session: see kept.h. */
#include "plugin/kept.h"

void hn_kept_free(struct hn_kept *k)
{
    hn_prepared_free(&k->prepared);
    for (size_t i = 0; i < k->n_scalers; i++) hn_scaler_free(&k->scaler[i].fit);
    if (k->mem) hn_free(k->mem, k->scaler);
    *k = (struct hn_kept){ 0 };
}

const struct hn_scaler *hn_kept_find_scaler(const struct hn_kept *k, enum hn_scaling kind,
                                            const struct hn_array *array, const uint32_t *rows)
{
    for (size_t i = 0; k && i < k->n_scalers; i++) {
        const struct hn_kept_scaler *s = &k->scaler[i];
        if (s->fit.kind == kind && s->array == array && s->rows == rows) return &s->fit;
    }
    return NULL;
}

void hn_kept_add_scaler(struct hn_kept *k, const struct hn_array *array, const uint32_t *rows,
                        struct hn_scaler *fit)
{
    const struct hn_kept_scaler entry = { array, rows, *fit };
    if (k && HN_PUSH(k->mem, k->scaler, k->n_scalers, k->cap_scalers, entry)) fit->mem = NULL;
}
