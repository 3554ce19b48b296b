/* SPDX-License-Identifier: MIT
 *
 * --augment: what training does to its batches on their way in. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

static hone_status read_item(const char *item, struct hn_lower_opts *opts, hone_error *err)
{
    static const struct {
        const char *name, *wanted;
    } kinds[] = { { "noise=", "STD, a standard deviation" },
                  { "mixup=", "ALPHA of a Beta distribution" } };
    double *const to[] = { &opts->noise, &opts->mixup };
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(kinds[i].name);
        if (strncmp(item, kinds[i].name, n) != 0) continue;
        if (hn_parse_double(item + n, strlen(item + n), to[i]) && *to[i] >= 0 && isfinite(*to[i]))
            return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, "augment", "found '%s', wanted %s%s: a number, 0 or more",
                       item, kinds[i].name, kinds[i].wanted);
    }
    return hn_fail(err, HONE_E_USAGE, "augment", "found '%s', wanted noise=STD or mixup=ALPHA",
                   item);
}

hone_status hn_session_augment(const struct hn_session *s, struct hn_lower_opts *opts,
                               hone_error *err)
{
    const char *item;
    for (size_t i = 0; (item = hone_params_get(s->params, "augment", i)); i++)
        HN_TRY(read_item(item, opts, err));
    for (int t = 0; t < s->n_targets && opts->mixup > 0; t++)
        if (opts->losses[t].row_weights)
            return hn_fail(
                err, HONE_E_USAGE, "augment",
                "mixup with weights of rows or classes: a mixed row has no weight of its own");
    return HONE_OK;
}
