/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend: float32 models (exact fp32 unless math=tf32|bf16) and float64 models. Options, separated by commas:
 * math=, gemm-impl=, bn-impl=, dropout-impl=, graph=, overlap=, data=, stream-bytes=, device=. */
#ifndef HN_GPU_BACKEND_H
#define HN_GPU_BACKEND_H

#include "ops/math/op.h"

extern const struct hn_backend hn_backend_cuda_f32, hn_backend_cuda_f64;
#endif
