/* SPDX-License-Identifier: MIT
 *
 * A study from parameters: what ask, tell and tune share. */
#ifndef HN_STUDY_OPEN_H
#define HN_STUDY_OPEN_H

#include "plugin/tune/study.h"

/* The space the items of "search" describe; with sampler manual and no items, choices of what the items of "setting" name.
 * *given 0: neither (the space stays empty). The caller clears it, also after a failure. Names are not checked against the
 * table unless knobs is not NULL (hn_space_check_names; {NULL} means no knobs beside the table); then conditions on what is
 * not searched are resolved by p's values (hn_space_fix), and those that options of the table have anyway are added. A space that has axes already is the whole of it: the items of
 * "search" are among them (hn_space_of_lines). */
hone_status hn_space_of_lines(const hone_params *p, struct hn_search_space *space, hone_error *err);
hone_status hn_space_of_params(const hone_params *p, const struct hn_knob *knobs,
                               struct hn_search_space *space, int *given, hone_error *err);
/* space_company.c: after hn_space_fix, before hn_space_finish. listed: the axes are those of listed settings, each of which says
 * what it has beside it. HONE_E_USAGE for an axis that means nothing beside p. */
hone_status hn_space_company(struct hn_search_space *s, const hone_params *p, int listed,
                             hone_error *err);
/* sampler, acquisition, startup, seed, direction, trials; keep: the bits of what was not set. The rest of o is untouched. */
hone_status hn_study_opts_of_params(const hone_params *p, struct hn_study_opts *o, hone_error *err);
/* Is every item of "setting" a point of the space? Before a study is made, or one is added to. */
hone_status hn_settings_check(const hone_params *p, const struct hn_search_space *space,
                              hone_error *err);
/* Enqueues the items of "setting" that no trial has yet: what an item leaves out is the middle of its axis. */
hone_status hn_study_enqueue_settings(struct hn_study *s, const hone_params *p, hone_error *err);
/* Adds the active values of x to the open object of r, each with its type. */
void hn_result_settings(hone_result *r, const struct hn_search_space *space, const double *x);
/* Adds the object "space": a domain for each name, as in --space FILE.yaml. */
void hn_result_space(hone_result *r, const struct hn_search_space *space);
#endif
