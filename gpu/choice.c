/* SPDX-License-Identifier: MIT
 *
 * Who does BatchNormalization and Dropout where the user did not say: one table of recorded measurements. A row holds for
 * layers up to so many channels, and names the entry of RESULTS.md it stands on; the first that fits counts. Native kernels may
 * take an activation in, so a row for cuDNN must have been measured with the activation as a launch of its own. */
#include "gpu/exec.h"

enum { FEW_CHANNELS = 256, PROCESSORS = 132 };

struct measured {
    int64_t channels; /* up to */
    enum hn_gpu_norm_way norm;
    int cudnn_drop;
    const char *entry;
};
static const struct measured table[] = {
    { INT64_MAX, HN_GPU_NORM_NATIVE, 0,
      "2026-11-27, H200, second entry: A and D, both precisions; Dropout, first entry: B and C" },
};
/* bn-impl=cudnn without a way: the fastest of them on A and on D, same entry. */
static const enum hn_gpu_norm_way cudnn_way = HN_GPU_NORM_SPATIAL;

enum hn_gpu_norm_way hn_gpu_choose_norm(const struct hn_gpu_options *o, int64_t channels)
{
    const struct measured *row = table;
    if (o->norm == HN_GPU_NATIVE) return HN_GPU_NORM_NATIVE;
    if (o->norm == HN_GPU_LIBRARY) return cudnn_way;
    if (o->norm >= HN_GPU_WAY) return (enum hn_gpu_norm_way)(o->norm - HN_GPU_WAY);
    while (row->channels < channels) row++;
    return row->norm;
}

/* Same entry. A slot's few channels: a block each; else 8 a block where that leaves no processor without one (D; A, 64 together). */
int hn_gpu_choose_width(const struct hn_gpu_options *o, int64_t channels, int64_t slots)
{
    if (o->norm_width) return o->norm_width;
    if (slots == 1 && channels <= FEW_CHANNELS) return 1;
    return channels * slots >= 8 * PROCESSORS ? 8 : 4;
}

const char *hn_gpu_norm_text(const struct hn_gpu_options *o)
{
    return o->norm == HN_GPU_AUTO ? "auto (native)" : o->norm == HN_GPU_NATIVE ? "native" : "cuDNN";
}

const char *hn_gpu_drop_text(const struct hn_gpu_options *o)
{
    return o->drop == HN_GPU_AUTO ? "auto (native)" : o->drop == HN_GPU_NATIVE ? "native" : "cuDNN";
}

int hn_gpu_choose_drop(const struct hn_gpu_options *o)
{
    if (o->drop != HN_GPU_AUTO) return o->drop == HN_GPU_LIBRARY;
    return table[sizeof table / sizeof *table - 1].cudnn_drop;
}

/* Several slots have all their products from the native kernel, in fp32. Another precision allows that where one slot's products
 * come from there, too. */
int hn_gpu_exact_anyway(struct hn_gpu_dev *d, const struct hn_plan *plan)
{
    const struct hn_gpu_exec alone = { .dev = d, .library = 1 };
    const struct hn_program *p = plan->prog;
    for (int i = 0; i < p->n_ops && d->o.math != HN_GPU_FP32; i++) {
        if (hn_gpu_builder_of(p->ops[i].row) != hn_gpu_dense) continue;
        const struct hn_shape *x = &p->values[p->ops[i].in[0]].shape;
        const struct hn_shape *w = &p->values[p->ops[i].in[1]].shape;
        int64_t rows = hn_gpu_n(hn_gpu_span(x, 0, x->rank - 1), plan->max_rows);
        if (!hn_gpu_native_product(&alone, rows, w->d[0].fixed, w->d[1].fixed)) return 0;
    }
    return 1;
}
