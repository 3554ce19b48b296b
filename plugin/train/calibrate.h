/* SPDX-License-Identifier: MIT
 *
 * BatchNormalization put into a trained network (--batchnorm insert) comes as an identity: scale 1, shift 0, mean 0, variance
 * 1. Trained like that, its first batch would change what the network computes. Calibration makes it start where the network
 * stands: mean and variance of what reaches it on training rows, scale sqrt(variance + eps), shift mean. In inference mode it
 * is an identity still, in training mode nearly one. */
#ifndef HN_CALIBRATE_H
#define HN_CALIBRATE_H

#include "plugin/internal.h"

/* Sets scale, shift, mean and variance of every identity BatchNormalization of s->prog in host slab w (elem-byte elements),
 * from training rows spread over all of them: as many as keep the reference kernels below a second or so. Nothing to do is
 * fine. HONE_E_NOMEM. */
hone_status hn_calibrate(const struct hn_session *s, const struct hn_replica *r, void *w,
                         size_t elem, hone_error *err);
#endif
