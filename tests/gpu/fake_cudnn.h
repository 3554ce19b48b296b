/* SPDX-License-Identifier: MIT
 *
 * The fake device's cuDNN: BatchNormalization by its formulas in double, Dropout from a counter in "device" memory. */
#ifndef HN_TEST_GPU_FAKE_CUDNN_H
#define HN_TEST_GPU_FAKE_CUDNN_H

#include "gpu/gpu.h"

void fake_normalize(const struct hn_gpu_norm *n, const struct hn_gpu_norm_at *at);
void fake_normalize_back(const struct hn_gpu_norm *n, const struct hn_gpu_norm_at *at);
size_t fake_drop_state_bytes(void);
void fake_drop_fill(void *states, uint64_t seed);
void fake_drop_forward(const struct hn_gpu_drop *d, const void *from, void *to, void *reserve);
void fake_drop_backward(const struct hn_gpu_drop *d, const void *from, void *to,
                        const void *reserve);
#endif
