/* SPDX-License-Identifier: MIT
 *
 * --tensorboard DIR: event files that TensorBoard shows while a run goes on (Scalars, HParams).
 *
 *   a training run   DIR: loss/train, loss/val, accuracy/val, …, lr by epoch; at the end loss/test, … and hparam/MONITOR (that of the
 *                    exported model) at the best epoch
 *   a search         DIR/trial-0007, with folds DIR/trial-0007/fold-2: what is monitored by epoch, hparam/MONITOR; the folds of a trial
 *                    are one session group. Of --nested DIR/outer-1/trial-0007.
 *
 * A file that goes on where another one stopped, or takes its place, says from which epoch on (SessionLog START), so that readers
 * forget what they had from there on. What cannot be written is said once and does not end the run. */
#ifndef HONE_TENSORBOARD_H
#define HONE_TENSORBOARD_H

#include "hone.h"
#include <jansson.h>

struct cli;
struct board;

/* Makes dir. NULL in *out where dir is NULL or empty. HONE_E_IO, HONE_E_NOMEM in c->err. */
hone_status board_open(struct cli *c, const char *dir, struct board **out);
/* All of these take NULL, and do nothing then. */
void board_epoch(struct board *b, const hone_progress *e);
void board_trial(struct board *b, const hone_trial *t);
void board_result(struct board *b, const json_t *result); /* of training */
void board_close(struct board *b);
#endif
