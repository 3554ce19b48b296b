/* SPDX-License-Identifier: MIT
 *
 * The hidden layers as parameters: "hidden-layers", "hidden-units" and "activation" over the stack that the model has, and
 * "freeze-layers". */
#ifndef HN_HIDDEN_H
#define HN_HIDDEN_H

#include "onnx/edit.h"
#include "plugin/internal.h"

/* Is one of the three set? */
int hn_hidden_asked(const hone_params *p);

/* What they ask for, of a model with hidden layers `has`:
 *   hidden-units N        every layer has N units
 *   hidden-units N,N,…    one number a layer; hidden-layers, if set, must agree
 *   hidden-layers L       the first L layers; what the model lacks is as wide as its last one
 *   activation WORD       in every layer
 * HONE_E_USAGE for a number that is none. plan->activation NULL: as it is. */
struct hn_hidden_plan {
    int n;
    int64_t width[HN_HIDDEN_MAX];
    const char *activation;
};
hone_status hn_hidden_plan(const struct hn_hidden_info *has, const hone_params *p,
                           struct hn_hidden_plan *plan, hone_error *err);
/* The stack that a model would have in plain form (hn_model_plain_form); the model stays as it is. HONE_E_UNSUPPORTED, naming
 * the node in the way, when it cannot be rebuilt. */
hone_status hn_hidden_look(hone_model *m, const hone_params *p, struct hn_hidden_info *info,
                           hone_error *err);

/* Brings the model into plain form and rebuilds its hidden layers with a recorded edit, if that changes anything. key: of
 * the weights that begin anew. */
hone_status hn_model_reshape(hone_model *m, const hone_params *p, const uint32_t key[2],
                             hone_error *err);
/* Of the model's graph: calls add for each parameter of the first k Dense layers of every path and of what stands behind
 * them up to the next one. HONE_E_USAGE when that leaves none to learn. */
hone_status hn_model_first_layers(hone_model *m, int64_t k,
                                  hone_status (*add)(void *user, const char *name, hone_error *err),
                                  void *user, hone_error *err);
#endif
