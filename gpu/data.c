/* SPDX-License-Identifier: MIT
 *
 * Bound data sets: on the device as they are (uint8 stays uint8; the gather kernel converts), or, where they take more than
 * half of the free memory, left with the host and streamed (see stream.h). */
#include "gpu/exec.h"
#include "ops/base/status.h"
#include <string.h>

static const struct hn_column *column_at(const struct hn_dataset *set, int i)
{
    return i < set->n_inputs ? &set->inputs[i] : &set->targets[i - set->n_inputs];
}

const struct hn_column *hn_gpu_column(const struct hn_gpu_exec *e, const struct hn_slot *s, int i)
{
    const struct hn_dataset *set = ((const struct hn_gpu_data *)s->data)->set;
    int n = e->plan->prog->n_inputs;
    return i < n ? &set->inputs[i] : &set->targets[i - n];
}

static size_t bytes_of(const struct hn_dataset *set, const struct hn_column *c)
{
    return c->data ? (size_t)set->rows * (size_t)c->per_row * hn_dtype_size(c->dtype) : 0;
}

static int is_number(enum hn_dtype t)
{
    return hn_dtype_size(t) > 0 && t != HN_STR && t != HN_C64 && t != HN_C128;
}

void hn_gpu_unbind(void *dev, void *handle)
{
    struct hn_gpu_dev *d = dev;
    struct hn_gpu_data *data = handle;
    if (!data) return;
    int n = data->set->n_inputs + data->set->n_targets;
    for (int i = 0; data->resident && i < n; i++)
        if (data->resident[i]) d->layer->release(d->ctx, data->resident[i]);
    hn_free(d->mem, data->resident);
    hn_free(d->mem, data);
}

static hone_status upload(struct hn_gpu_dev *d, struct hn_gpu_data *data, hone_error *err)
{
    const struct hn_dataset *set = data->set;
    for (int i = 0; i < set->n_inputs + set->n_targets; i++) {
        const struct hn_column *c = column_at(set, i);
        size_t n = bytes_of(set, c);
        if (n == 0) continue;
        HN_TRY(d->layer->alloc(d->ctx, n, &data->resident[i], err));
        HN_TRY(d->layer->copy(d->ctx, data->resident[i], c->data, n, HN_GPU_UP, err));
    }
    return d->layer->sync(d->ctx, err);
}

hone_status hn_gpu_bind(void *dev, const struct hn_dataset *set, void **handle, hone_error *err)
{
    struct hn_gpu_dev *d = dev;
    size_t bytes = 0, free_bytes, total;
    int n = set->n_inputs + set->n_targets;
    *handle = NULL;
    for (int i = 0; i < n; i++) {
        const struct hn_column *c = column_at(set, i);
        if (c->data && !is_number(c->dtype))
            return hn_fail(err, HONE_E_DATA, "the data set", "column %d holds %s, wanted numbers",
                           i, hn_dtype_name(c->dtype));
        bytes += bytes_of(set, c);
    }
    HN_TRY(d->layer->memory(d->ctx, &free_bytes, &total, err));
    struct hn_gpu_data *data = hn_calloc(d->mem, 1, sizeof *data);
    if (!data) return hn_nomem(err, "a data set", sizeof *data);
    data->set = set;
    data->streamed = d->o.stream || bytes > free_bytes / 2;
    data->resident = hn_calloc(d->mem, (size_t)n + 1, sizeof *data->resident);
    hone_status st =
        data->resident ? HONE_OK : hn_nomem(err, "a data set", (size_t)n * sizeof *data->resident);
    if (st == HONE_OK && !data->streamed) st = upload(d, data, err);
    if (st != HONE_OK) {
        hn_gpu_unbind(d, data);
        return st;
    }
    *handle = data;
    return HONE_OK;
}
