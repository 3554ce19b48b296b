/* SPDX-License-Identifier: MIT
 *
 * Who does BatchNormalization and Dropout where the user did not say: one table of recorded measurements. A row holds for
 * layers up to so many channels, and names the entry of RESULTS.md it stands on; the first that fits counts. Native kernels may
 * take an activation in, so a row for cuDNN must have been measured with the activation as a launch of its own. */
#include "gpu/exec.h"

struct measured {
    int64_t channels; /* up to */
    enum hn_gpu_norm_way norm;
    int cudnn_drop;
    const char *entry;
};
static const struct measured table[] = {
    { INT64_MAX, HN_GPU_NORM_NATIVE, 0, "not measured" },
};
/* bn-impl=cudnn without a way: the one whose kernels are made for channels innermost; not measured either. */
static const enum hn_gpu_norm_way cudnn_way = HN_GPU_NORM_SPATIAL_NHWC;

enum hn_gpu_norm_way hn_gpu_choose_norm(const struct hn_gpu_options *o, int64_t channels)
{
    const struct measured *row = table;
    if (o->norm == HN_GPU_NATIVE) return HN_GPU_NORM_NATIVE;
    if (o->norm == HN_GPU_CUDNN) return cudnn_way;
    if (o->norm >= HN_GPU_WAY) return (enum hn_gpu_norm_way)(o->norm - HN_GPU_WAY);
    while (row->channels < channels) row++;
    return row->norm;
}

const char *hn_gpu_choice_text(int pick)
{
    return pick == HN_GPU_AUTO     ? "auto (native: not measured)"
           : pick == HN_GPU_NATIVE ? "native"
                                   : "cuDNN";
}

int hn_gpu_choose_drop(const struct hn_gpu_options *o)
{
    if (o->drop != HN_GPU_AUTO) return o->drop == HN_GPU_CUDNN;
    return table[sizeof table / sizeof *table - 1].cudnn_drop;
}
