/* SPDX-License-Identifier: MIT
 *
 * Rows of data sets that stay with the host, on their way to the device: packed into pinned buffers by several threads, copied,
 * and read by the kernels there, chunk after chunk of steps. All three go on at once: while chunk n computes, n + 1 is being
 * copied and n + 2 packed. The buffers are the device's, for whichever plan runs. */
#ifndef HN_GPU_STREAM_H
#define HN_GPU_STREAM_H

#include "gpu/exec.h"

struct hn_gpu_reads { /* what a call of run reads */
    const struct hn_gpu_exec *e;
    const struct hn_slot *slots;
    int n_slots;
    int64_t n_steps, most; /* most: steps of a chunk, as far as the caller cares */
};
/* Chooses the chunks, then packs the first one and sends it on. What an earlier call left must not be in use. */
hone_status hn_gpu_stream_begin(struct hn_gpu_dev *d, const struct hn_gpu_reads *reads,
                                hone_error *err);
int64_t hn_gpu_stream_most(const struct hn_gpu_dev *d); /* steps of the largest chunk */
/* Steps of a chunk that begins at step `from`. */
int64_t hn_gpu_stream_steps(const struct hn_gpu_dev *d, int64_t chunk, int64_t from);
/* Where the kernels find the rows of column i of slot z. */
const void *hn_gpu_stream_rows(const struct hn_gpu_dev *d, int z, int i, int64_t chunk);
/* To be called when `chunk` is queued and the chunk before it has ended. */
hone_status hn_gpu_stream_ahead(struct hn_gpu_dev *d, int64_t chunk, hone_error *err);
void hn_gpu_stream_free(struct hn_gpu_dev *d);
#endif
