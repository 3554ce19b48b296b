/* SPDX-License-Identifier: MIT
 *
 * The graph knobs of a search: hidden_layers, hidden_units or units_1, units_2, …, activation, freeze_layers and init. All but
 * the units are rows of the parameter table; the units of a trial become its "hidden-units".
 *
 *   hidden_units   every hidden layer is so wide; excludes units_i
 *   units_i        layer i is so wide; a layer without one is as wide as in the model (what it lacks: as its last one).
 *                  Active while hidden_layers is at least i: that condition is added, unless the axis names hidden_layers in
 *                  conditions of its own
 *   freeze_layers  more than the trial has hidden layers means all of them
 *
 * The defaults, for trial 0 and the samplers, are those of the imported model with the fixed settings. */
#ifndef HN_GRAPH_KNOBS_H
#define HN_GRAPH_KNOBS_H

#include "plugin/tune/tune.h"

/* Of a space over the parameter table, before hn_space_fix and hn_space_finish: the conditions of units_i. */
hone_status hn_knobs_link(struct hn_search_space *s, hone_error *err);
/* The space of a search: what the parameters say, or --space auto, which is told through the log in the form of
 * --space FILE.yaml. Looks at the model's hidden layers (t->hidden) when the space has a knob. HONE_E_UNSUPPORTED, naming the
 * node, when they cannot be rebuilt; HONE_E_USAGE for bounds that no trial can have. */
hone_status hn_knobs_space(struct hn_tune *t, hone_error *err);
/* What the imported model has, as text on the axis of that name; "" when there is no word for it, NULL when the axis is no
 * knob. Lives as long as t->arena. */
const char *hn_knobs_default(struct hn_tune *t, const char *name);
/* The units of a trial, and freeze_layers within bounds, into its parameters. */
hone_status hn_knobs_settings(struct hn_tune *t, const struct hn_trial *trial, hone_params *p,
                              hone_error *err);
/* The number i of an axis units_i, 0 for other names. */
int hn_knob_layer(const char *name);
int hn_knobs_most_layers(
    const struct hn_tune *t); /* that a trial can have, as the space is so far */

/* space_auto.c: lines of a space for this model. */
hone_status hn_knobs_auto(struct hn_tune *t, hone_error *err);
/* space_auto.c: the space as a YAML mapping, one axis a line, through the log. */
hone_status hn_space_tell(struct hn_tune *t, hone_error *err);
#endif
