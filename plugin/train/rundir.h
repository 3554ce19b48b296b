/* SPDX-License-Identifier: MIT
 *
 * The run folder: what a run leaves for people, tools and hone resume.
 *
 *   run.json                  the job: version, model, data fingerprint, settings, device
 *   metrics.csv               one line an epoch: epoch,train_loss,…,val_loss,val_accuracy,…,lr,seconds
 *   events.jsonl              one JSON object a line: start, pretrain (an epoch of a layer), pretrained (a layer), epoch,
 *                             checkpoint, end (also into --events FILE)
 *   status.json               where the run is; replaced as a whole
 *   result.json               of a run that has ended: what hone_train returned
 *   metrics.json              its figures alone: losses and metrics of the model before and after, nested numbers
 *   checkpoint.hone, checkpoint.old.hone
 *
 * Lines are collected and written about ten times a second and before every checkpoint; a resumed run writes metrics.csv again
 * from its checkpoint, so that no line is lost or doubled. Checkpoints are made after an epoch, and inside long ones, as
 * often as they cost no more than two per cent of the time. */
#ifndef HN_RUNDIR_H
#define HN_RUNDIR_H

#include "plugin/train/checkpoint.h"

struct hn_rundir {
    hone_context *ctx;
    char *dir; /* NULL: no folder, events at most */
    const struct hn_origin *origin;
    struct hn_appender metrics, events, extra; /* extra: --events */
    int has_metrics, has_events, has_extra;
    struct hn_buffer metric_lines, event_lines;
    const char *columns[HN_EPOCH_VALUES];
    size_t n_columns;
    double flushed, saved, cost; /* seconds: when, when, how long a checkpoint takes */
};

enum hn_rundir_mode { HN_RUNDIR_NEW, HN_RUNDIR_FORCE, HN_RUNDIR_RESUME };

/* The error for a folder that cannot be made; a name that is too long is OUT.run, which nobody has written. */
hone_status hn_rundir_not_made(const char *dir, int rc, hone_error *err);
/* dir NULL: no folder; events "" : no extra file. A folder that is not empty is refused (HONE_E_USAGE); FORCE removes
 * Hone's own files from it. A zeroed struct may be closed. */
hone_status hn_rundir_open(struct hn_rundir *d, hone_context *ctx, const char *dir,
                           const char *events, enum hn_rundir_mode mode, hone_error *err);
void hn_rundir_close(struct hn_rundir *d);
/* The run begins or goes on: run.json, metrics.csv up to here, a first checkpoint, status "running". */
hone_status hn_rundir_begin(struct hn_rundir *d, struct hn_fit *f, const struct hn_origin *o,
                            hone_error *err);
/* Hooks of the fit. */
hone_status hn_rundir_epoch(struct hn_rundir *d, struct hn_fit *f, const struct hn_epoch *e,
                            hone_error *err);
hone_status hn_rundir_pretrain(struct hn_rundir *d, struct hn_fit *f,
                               const struct hn_pretrain_line *l, hone_error *err);
hone_status hn_rundir_tick(struct hn_rundir *d, struct hn_fit *f, hone_error *err);
/* The run stopped (f->reason): a last checkpoint, everything written. */
hone_status hn_rundir_end(struct hn_rundir *d, struct hn_fit *f, hone_error *err);
/* The same of a run that had stopped, whose end was cut off: opens the folder for what hn_rundir_end and hn_rundir_result
 * write behind the last checkpoint. */
hone_status hn_rundir_end_again(struct hn_rundir *d, hone_context *ctx, const char *dir,
                                struct hn_fit *f, hone_error *err);
int hn_rundir_has_result(hone_context *ctx, const char *dir);
/* result.json and metrics.json, of a run with a folder. */
hone_status hn_rundir_result(struct hn_rundir *d, const hone_result *r, hone_error *err);

/* Removes Hone's files from dir, and dir if nothing else is in it. */
void hn_rundir_remove(hone_context *ctx, const char *dir);
/* The model was saved to `path`: the folder PATH.run of a run that is finished goes, unless the run was told to keep it. */
void hn_rundir_saved(hone_context *ctx, const char *path);
#endif
