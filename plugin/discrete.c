/* SPDX-License-Identifier: MIT
 *
 * Labels, integers and bools out of a program's floats. */
#include "plugin/discrete.h"
#include "ops/base/status.h"
#include <math.h>
#include <string.h>

static enum hn_dtype handed_out(enum hn_dtype t)
{
    if (t == HN_STR || t == HN_BOOL || t == HN_F64) return t;
    return hn_dtype_is_float(t) ? HN_F32 : HN_I64;
}

int hn_discrete_find(const struct hn_graph *g, const char *output, struct hn_discrete *d)
{
    struct hn_output_info info = { .value = -1 };
    for (size_t i = 0; i < g->n_outputs && info.value < 0; i++)
        if (!strcmp(g->values[g->outputs[i]].name, output)) hn_graph_output(g, i, &info);
    if (info.value < 0 || (!info.labels && hn_dtype_is_float(g->values[info.value].dtype)))
        return 0;
    const enum hn_dtype t = g->values[info.value].dtype;
    *d = (struct hn_discrete){ .name = g->values[info.value].name,
                               .dtype = handed_out(t),
                               .stored = t,
                               .labels = info.labels,
                               .as_given = info.as_given };
    return 1;
}

size_t hn_discrete_size(enum hn_dtype t)
{
    return t == HN_STR ? sizeof(const char *) : hn_dtype_size(t);
}

static hone_status too_large(const struct hn_discrete *d, double x, hone_error *err)
{
    return hn_fail(
        err, HONE_E_UNSUPPORTED, d->name,
        "%.0f was an integer of the input, which the model hands on: beyond 2^24 they are "
        "not kept exactly",
        x);
}

hone_status hn_discrete_read(const struct hn_discrete *d, const void *from, size_t elem, int64_t n,
                             void *out, hone_error *err)
{
    const struct hn_tensor *list = d->labels;
    const size_t size = hn_discrete_size(d->dtype);
    for (int64_t i = 0; i < n; i++) {
        char *to = (char *)out + (size_t)i * size;
        double x = hn_elem_get(from, elem, (size_t)i);
        if (!list && d->as_given && fabs(x) >= (elem == 8 ? 0x1p53 : 0x1p24))
            return too_large(d, x, err);
        if (!list) {
            hn_convert(to, d->dtype, &x, HN_F64, 1);
            continue;
        }
        if (!(x >= 0 && x < (double)list->n))
            return hn_fail(err, HONE_E_INTERNAL, d->name, "label %g of %lld", x,
                           (long long)list->n);
        if (list->dtype == HN_STR)
            memcpy(to, (const char *const *)list->data + (int64_t)x, size);
        else
            hn_convert(to, d->dtype,
                       (const char *)list->data + (size_t)x * hn_dtype_size(list->dtype),
                       list->dtype, 1);
    }
    return HONE_OK;
}
