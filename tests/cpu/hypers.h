/* SPDX-License-Identifier: MIT
 *
 * Every optimizer with some of its settings: first as a plain step, then with batches added up or gradients clipped;
 * some keep an average of the weights. */
#ifndef TEST_HYPERS_H
#define TEST_HYPERS_H

#include "ops/math/op.h"

enum { HYPERS_CLIPPED = 7 /* only clips */, HYPERS = 12 };
static const struct hn_hyper hypers[HYPERS] = {
    { .optimizer = HN_SGD, .accumulate = 1, .dropout = -1, .weight_decay = 0.01, .l1 = 0.001 },
    { .optimizer = HN_ADAM,
      .beta1 = 0.9,
      .beta2 = 0.999,
      .eps = 1e-6,
      .accumulate = 1,
      .dropout = -1,
      .ema = 0.9 },
    { .optimizer = HN_NESTEROV, .momentum = 0.8, .accumulate = 1, .dropout = 0.3, .ema = 0.4 },
    { .optimizer = HN_RMSPROP, .alpha = 0.9, .eps = 1e-6, .accumulate = 1, .dropout = -1 },
    { .optimizer = HN_ADAMW,
      .beta1 = 0.9,
      .beta2 = 0.99,
      .eps = 1e-6,
      .weight_decay = 0.1,
      .accumulate = 1,
      .dropout = -1 },
    { .optimizer = HN_ADAGRAD, .eps = 1e-8, .accumulate = 1, .dropout = -1 },
    { .optimizer = HN_MOMENTUM, .momentum = 0.9, .accumulate = 3, .dropout = -1, .ema = 0.8 },
    { .optimizer = HN_NESTEROV,
      .momentum = 0.8,
      .accumulate = 1,
      .dropout = 0.3,
      .clip_norm = 0.4,
      .ema = 0.7 },
    { .optimizer = HN_RMSPROP,
      .alpha = 0.9,
      .eps = 1e-6,
      .accumulate = 2,
      .dropout = -1,
      .clip_norm = 1 },
    { .optimizer = HN_RMSPROP, .alpha = 0.9, .eps = 1e-6, .accumulate = 2, .dropout = 0 },
    { .optimizer = HN_SGD, .momentum = 0.9, .accumulate = 1, .dropout = -1, .weight_decay = 0.01 },
    { .optimizer = HN_RMSPROP,
      .momentum = 0.7,
      .alpha = 0.9,
      .eps = 1e-6,
      .accumulate = 1,
      .dropout = -1,
      .ema = 0.5 },
};
#endif
