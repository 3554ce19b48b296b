/* SPDX-License-Identifier: MIT
 *
 * From parameters to the plain structs that training works with, and the checks that need more than one parameter: a
 * patience without anything to watch, a monitor that nobody computes. */
#ifndef HN_TRAIN_OPTIONS_H
#define HN_TRAIN_OPTIONS_H

#include "plugin/train/fit.h"
#include "plugin/train/init.h"

struct hn_train_opts {
    struct hn_fit_opts fit; /* its names live in monitor and target */
    struct hn_member_opts member;
    enum hn_init init;
    double init_std;
    char monitor[32], target[32];
};

/* Metrics are named "val_accuracy", "train_loss", "test_mae"; without a prefix they are the validation's. Adds what the
 * monitor and the target need to parameter "metric". Before the session is opened. HONE_E_USAGE for unknown names. */
hone_status hn_options_metrics(hone_params *p, hone_error *err);
/* What a search varies: an option that is named there may get another value than p has. */
struct hn_options_open {
    int (*has)(void *user, const char *name);
    void *user;
};
/* Does an option that is given have what it needs? HONE_E_USAGE; text without the option's name, which is the place. */
hone_status hn_options_needed(const hone_params *p, const hone_param_info *i,
                              const struct hn_options_open *open, hone_error *err);
/* "a|b=value": the options of which an option that is about another one needs one; NULL: none. Beside the table's "when". */
const char *hn_options_needs(const char *name);
/* Would this option be refused below? */
int hn_options_idle(const hone_params *p, const hone_param_info *i);
/* Options that mean nothing beside what the others say (company.c); open may be NULL. HONE_E_USAGE. */
hone_status hn_options_company(const hone_params *p, const struct hn_options_open *open,
                               hone_error *err);
/* Everything else, once the rows are known. */
hone_status hn_options_read(const hone_params *p, const struct hn_session *s,
                            struct hn_train_opts *o, hone_error *err);
/* With the figures of the starting model: are monitor and target among them? */
hone_status hn_options_check(const struct hn_train_opts *o, const struct hn_figures before[3],
                             hone_error *err);
/* --no-decay: decay_mult 0 where it applies. Before any plan is made of the program. */
void hn_options_no_decay(const hone_params *p, struct hn_program *prog);

/* "val_accuracy:0.9" into name and value. */
hone_status hn_parse_goal(const char *option, const char *text, char name[32], double *value,
                          hone_error *err);
/* Is --require number i met by the figures of the exported model (rows 0: none)? *value is what was found, NaN where that
 * metric is not there, which is not met. */
int hn_requirement(const hone_params *p, size_t i, const struct hn_figures after[3], double *value);
#endif
