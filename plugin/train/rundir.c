/* SPDX-License-Identifier: MIT
 *
 * The run folder: see rundir.h. */
#include "ops/base/status.h"
#include "plugin/plugins.h"
#include "plugin/train/job.h"
#include <errno.h>
#include <math.h>
#include <string.h>

static const double FLUSH_SECONDS = 0.1;
static const double EPOCH_SECONDS = 0.2;  /* between checkpoints after epochs, at least */
static const double INSIDE_SECONDS = 2.0; /* between checkpoints inside an epoch, at least */
static const double COST_FACTOR = 50;     /* a checkpoint may take 1/50 of the time */

static const char *const own_files[] = { "run.json",    "metrics.csv", "events.jsonl",
                                         "status.json", "result.json", "metrics.json" };
enum { N_OWN = sizeof own_files / sizeof *own_files };

/* ---- the folder ------------------------------------------------------------------------------------------------------ */

static void remove_file(hone_context *ctx, const char *dir, const char *name)
{
    char *path = hn_path_join(&ctx->mem, dir, name);
    if (path) ctx->io->unlink(ctx->io->user, path);
    hn_free(&ctx->mem, path);
}

static void remove_files(hone_context *ctx, const char *dir)
{
    for (size_t i = 0; i < N_OWN; i++) remove_file(ctx, dir, own_files[i]);
    remove_file(ctx, dir, ".run.json.hone-tmp");
    remove_file(ctx, dir, ".status.json.hone-tmp");
    remove_file(ctx, dir, ".result.json.hone-tmp");
    remove_file(ctx, dir, ".metrics.json.hone-tmp");
    hn_checkpoint_remove(ctx, dir);
}

void hn_rundir_remove(hone_context *ctx, const char *dir)
{
    remove_files(ctx, dir);
    ctx->io->rmdir(ctx->io->user, dir);
}

/* A folder can be removed exactly when it is empty; one that cannot be for another reason (a mount point) counts as empty
 * when none of Hone's files is in it. */
static int is_empty(hone_context *ctx, const char *dir)
{
    int rc = ctx->io->rmdir(ctx->io->user, dir);
    if (rc == 0) return 1;
    if (rc == -ENOTEMPTY || rc == -EEXIST) return 0;
    int found = hn_checkpoint_exists(ctx, dir);
    for (size_t i = 0; i < N_OWN && !found; i++) {
        char *path = hn_path_join(&ctx->mem, dir, own_files[i]);
        found = !path || hn_path_exists(ctx->io, path);
        hn_free(&ctx->mem, path);
    }
    return !found;
}

hone_status hn_rundir_not_made(const char *dir, int rc, hone_error *err)
{
    hone_status st = hn_io_fail(err, dir, "create the run folder", rc);
    return rc == -ENAMETOOLONG ? hn_hint(err, st, "--run-dir DIR with a shorter name than OUT.run")
                               : st;
}

static hone_status make_folder(hone_context *ctx, const char *dir, enum hn_rundir_mode mode,
                               hone_error *err)
{
    const struct hn_io *io = ctx->io;
    struct hn_stat st;
    int rc = io->mkdir(io->user, dir, 0777);
    if (rc == 0) return HONE_OK;
    if (rc != -EEXIST) return hn_rundir_not_made(dir, rc, err);
    rc = io->stat_path(io->user, dir, &st);
    if (rc < 0) return hn_io_fail(err, dir, "look at", rc);
    if (!st.is_dir)
        return hn_fail(err, HONE_E_IO, dir, "found a file, wanted a folder for the run");
    if (mode == HN_RUNDIR_FORCE) remove_files(ctx, dir);
    if (mode != HN_RUNDIR_NEW) return HONE_OK;
    if (!is_empty(ctx, dir))
        return hn_hint(err, hn_fail(err, HONE_E_USAGE, dir, "the run folder is not empty"),
                       "hone resume %s%s continues the run in it; --force starts anew",
                       dir[0] == '-' ? "./" : "", dir);
    rc = io->mkdir(io->user, dir, 0777);
    return rc == 0 || rc == -EEXIST ? HONE_OK : hn_rundir_not_made(dir, rc, err);
}

static hone_status open_lines(struct hn_rundir *d, const char *name, int truncate,
                              struct hn_appender *a, hone_error *err)
{
    char *path = hn_path_join(&d->ctx->mem, d->dir, name);
    if (!path) return hn_nomem(err, name, strlen(d->dir));
    hone_status st = hn_appender_open(a, d->ctx->io, path, truncate, err);
    hn_free(&d->ctx->mem, path);
    return st;
}

hone_status hn_rundir_open(struct hn_rundir *d, hone_context *ctx, const char *dir,
                           const char *events, enum hn_rundir_mode mode, hone_error *err)
{
    *d = (struct hn_rundir){ .ctx = ctx };
    hn_buffer_init(&d->metric_lines, &ctx->mem);
    hn_buffer_init(&d->event_lines, &ctx->mem);
    hone_status st = HONE_OK;
    if (events[0]) { /* first: a pipe is waited for, with nothing made yet */
        st = hn_appender_open(&d->extra, ctx->io, events, 0, err);
        d->has_extra = st == HONE_OK;
    }
    if (st == HONE_OK && dir) {
        d->dir = hn_strdup(&ctx->mem, dir);
        st = d->dir ? make_folder(ctx, dir, mode, err) : hn_nomem(err, "a name", strlen(dir));
        if (st == HONE_OK) st = open_lines(d, "metrics.csv", 1, &d->metrics, err);
        d->has_metrics = st == HONE_OK;
        if (st == HONE_OK) st = open_lines(d, "events.jsonl", 0, &d->events, err);
        d->has_events = st == HONE_OK;
    }
    if (st != HONE_OK) hn_rundir_close(d);
    return st;
}

void hn_rundir_close(struct hn_rundir *d)
{
    if (!d->ctx) return;
    if (d->has_metrics) hn_appender_close(&d->metrics);
    if (d->has_events) hn_appender_close(&d->events);
    if (d->has_extra) hn_appender_close(&d->extra);
    hn_buffer_free(&d->metric_lines);
    hn_buffer_free(&d->event_lines);
    hn_free(&d->ctx->mem, d->dir);
    *d = (struct hn_rundir){ .ctx = NULL };
}

/* ---- lines ------------------------------------------------------------------------------------------------------------- */

static hone_status flush_into(struct hn_appender *a, int open, const struct hn_buffer *b,
                              hone_error *err)
{
    return open && b->n ? a->sink.write(&a->sink, b->p, b->n, err) : HONE_OK;
}

static hone_status flush(struct hn_rundir *d, hone_error *err)
{
    HN_TRY(flush_into(&d->metrics, d->has_metrics, &d->metric_lines, err));
    HN_TRY(flush_into(&d->events, d->has_events, &d->event_lines, err));
    HN_TRY(flush_into(&d->extra, d->has_extra, &d->event_lines, err));
    d->metric_lines.n = d->event_lines.n = 0;
    d->flushed = hn_seconds();
    return HONE_OK;
}

/* The columns are those of the first line, with train_loss in front (epoch 0 has none). */
static hone_status choose_columns(struct hn_rundir *d, const struct hn_epoch *e, hone_error *err)
{
    hone_metric v[HN_EPOCH_VALUES];
    size_t n = hn_epoch_values(e, v);
    d->columns[0] = "train_loss";
    d->n_columns = 1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].name, "train_loss") != 0) d->columns[d->n_columns++] = v[i].name;
    HN_TRY(hn_sink_str(&d->metric_lines.sink, "epoch", err));
    for (size_t i = 0; i < d->n_columns; i++)
        HN_TRY(hn_sink_printf(&d->metric_lines.sink, err, ",%s", d->columns[i]));
    return hn_sink_str(&d->metric_lines.sink, ",lr,seconds\n", err);
}

static hone_status add_metrics(struct hn_rundir *d, const struct hn_epoch *e, hone_error *err)
{
    struct hn_sink *s = &d->metric_lines.sink;
    char number[32];
    double x;
    if (!d->has_metrics) return HONE_OK;
    if (!d->n_columns) HN_TRY(choose_columns(d, e, err));
    HN_TRY(hn_sink_printf(s, err, "%lld", (long long)e->epoch));
    for (size_t i = 0; i < d->n_columns; i++) {
        number[0] = '\0';
        if (hn_epoch_value(e, d->columns[i], &x)) hn_format_double(number, x);
        HN_TRY(hn_sink_printf(s, err, ",%s", number));
    }
    hn_format_double(number, e->lr);
    return hn_sink_printf(s, err, ",%s,%.6f\n", number, e->seconds);
}

static void begin_event(struct hn_rundir *d, struct hn_json *j, const char *name, hone_error *err)
{
    hn_json_begin(j, &d->event_lines.sink, 0, err);
    hn_json_object(j, NULL);
    hn_json_string(j, "event", name);
}

static hone_status end_event(struct hn_rundir *d, struct hn_json *j, hone_error *err)
{
    hn_json_close(j);
    HN_TRY(hn_json_end(j));
    return hn_sink_str(&d->event_lines.sink, "\n", err);
}

/* "start", "checkpoint", "end": where the run is. */
static hone_status add_event(struct hn_rundir *d, const struct hn_fit *f, const char *name,
                             hone_error *err)
{
    struct hn_json j;
    if (!d->has_events && !d->has_extra) return HONE_OK;
    begin_event(d, &j, name, err);
    hn_json_int(&j, "epoch", f->done);
    hn_json_int(&j, "row", f->cohort->member[0].r.now.row);
    if (f->reason != HN_STOP_NONE) hn_json_string(&j, "stop_reason", hn_stop_name(f->reason));
    hn_json_double(&j, "seconds", hn_fit_seconds(f));
    return end_event(d, &j, err);
}

static hone_status add_epoch_event(struct hn_rundir *d, const struct hn_fit *f,
                                   const struct hn_epoch *e, hone_error *err)
{
    struct hn_json j;
    hone_metric v[HN_EPOCH_VALUES];
    if (!d->has_events && !d->has_extra) return HONE_OK;
    size_t n = hn_epoch_values(e, v);
    begin_event(d, &j, "epoch", err);
    hn_json_int(&j, "epoch", e->epoch);
    for (size_t i = 0; i < n; i++) hn_json_double(&j, v[i].name, v[i].value);
    hn_json_double(&j, "lr", e->lr);
    hn_json_bool(&j, "best", f->stop.best_epoch == e->epoch);
    hn_json_double(&j, "seconds", e->seconds);
    return end_event(d, &j, err);
}

static hone_status add_pretrain_event(struct hn_rundir *d, const struct hn_pretrain_line *l,
                                      hone_error *err)
{
    struct hn_json j;
    if (!d->has_events && !d->has_extra) return HONE_OK;
    begin_event(d, &j, l->epoch ? "pretrain" : "pretrained", err);
    hn_json_string(&j, "layer", l->layer->name);
    if (l->epoch) {
        hn_json_int(&j, "epoch", l->epoch);
        hn_json_double(&j, "loss", l->loss);
    } else {
        hn_json_double(&j, "before", l->layer->before);
        hn_json_double(&j, "after", l->layer->after);
    }
    hn_json_double(&j, "seconds", l->seconds);
    return end_event(d, &j, err);
}

/* ---- run.json and status.json --------------------------------------------------------------------------------------------- */

static hone_status write_json(struct hn_rundir *d, const char *name, const struct hn_buffer *b,
                              hone_error *err)
{
    char *path = hn_path_join(&d->ctx->mem, d->dir, name);
    if (!path) return hn_nomem(err, name, strlen(d->dir));
    hone_status st = hn_replace_file(d->ctx->io, &d->ctx->mem, path, b->p, b->n, err);
    hn_free(&d->ctx->mem, path);
    return st;
}

/* Items of a list stand side by side in the settings. */
static void put_settings(struct hn_json *j, const struct hn_origin *o)
{
    hn_json_object(j, "settings");
    for (size_t i = 0, end; i < o->n_settings; i = end) {
        const char *name = o->settings[i].name;
        for (end = i + 1; end < o->n_settings && !strcmp(o->settings[end].name, name);) end++;
        if (end == i + 1) {
            hn_json_string(j, name, o->settings[i].value);
            continue;
        }
        hn_json_array(j, name);
        for (size_t k = i; k < end; k++) hn_json_string(j, NULL, o->settings[k].value);
        hn_json_close(j);
    }
    hn_json_close(j);
}

static hone_status write_run(struct hn_rundir *d, const struct hn_fit *f, hone_error *err)
{
    const struct hn_origin *o = d->origin;
    struct hn_buffer b;
    struct hn_json j;
    char text[33];
    hn_buffer_init(&b, &d->ctx->mem);
    hn_json_begin(&j, &b.sink, 2, err);
    hn_json_object(&j, NULL);
    hn_json_string(&j, "schema", "hone.run/1");
    hn_json_string(&j, "version", o->version);
    hn_json_string(&j, "model", o->model_path);
    hn_json_string(&j, "model_hash", hn_hash_text(o->model_hash, text));
    hn_json_string(&j, "data_hash", hn_hash_text(o->data_hash, text));
    hn_json_string(&j, "backend", o->backend);
    hn_json_string(&j, "core", o->core);
    hn_json_int(&j, "threads", f->s->threads);
    hn_json_int(&j, "train_rows", f->s->rows[HONE_TRAIN].n);
    hn_json_int(&j, "val_rows", f->s->rows[HONE_VAL].n);
    hn_json_int(&j, "test_rows", f->s->rows[HONE_TEST].n);
    hn_plugins_json(&j, d->ctx);
    put_settings(&j, o);
    hn_json_close(&j);
    hone_status st = hn_json_end(&j);
    if (st == HONE_OK) st = hn_sink_str(&b.sink, "\n", err);
    if (st == HONE_OK) st = write_json(d, "run.json", &b, err);
    hn_buffer_free(&b);
    return st;
}

static hone_status write_status(struct hn_rundir *d, const struct hn_fit *f, hone_error *err)
{
    struct hn_buffer b;
    struct hn_json j;
    int running = f->reason == HN_STOP_NONE, open = running || f->reason == HN_STOP_INTERRUPTED;
    hn_buffer_init(&b, &d->ctx->mem);
    hn_json_begin(&j, &b.sink, 2, err);
    hn_json_object(&j, NULL);
    hn_json_string(&j, "schema", "hone.status/1");
    hn_json_string(&j, "state", running ? "running" : open ? "interrupted" : "finished");
    hn_json_bool(&j, "resumable", open);
    hn_json_int(&j, "epoch", f->done);
    hn_json_int(&j, "epochs", f->opts.stop.epochs);
    hn_json_int(&j, "best_epoch", hn_fit_result_epoch(f));
    if (running)
        hn_json_null(&j, "stop_reason");
    else
        hn_json_string(&j, "stop_reason", hn_stop_name(f->reason));
    hn_json_double(&j, "seconds", hn_fit_seconds(f));
    hn_json_close(&j);
    hone_status st = hn_json_end(&j);
    if (st == HONE_OK) st = hn_sink_str(&b.sink, "\n", err);
    if (st == HONE_OK) st = write_json(d, "status.json", &b, err);
    hn_buffer_free(&b);
    return st;
}

/* ---- the run ---------------------------------------------------------------------------------------------------------------- */

/* Lines first: what the status says has happened can be read there. The status last: it is true when it is read. */
static hone_status save(struct hn_rundir *d, struct hn_fit *f, const char *event, hone_error *err)
{
    double start = hn_seconds();
    HN_TRY(add_event(d, f, event, err));
    HN_TRY(flush(d, err));
    if (!d->dir) return HONE_OK;
    HN_TRY(hn_checkpoint_write(d->dir, d->origin, f, err));
    HN_TRY(write_status(d, f, err));
    d->saved = hn_seconds();
    d->cost = d->saved - start;
    return HONE_OK;
}

hone_status hn_rundir_begin(struct hn_rundir *d, struct hn_fit *f, const struct hn_origin *o,
                            hone_error *err)
{
    d->origin = o;
    for (size_t i = 0; i < f->n_curve; i++) HN_TRY(add_metrics(d, &f->curve[i], err));
    HN_TRY(save(d, f, "start", err));
    return d->dir ? write_run(d, f, err) : HONE_OK;
}

static int due(const struct hn_rundir *d, double least)
{
    double wait = COST_FACTOR * d->cost;
    return hn_seconds() - d->saved >= (wait > least ? wait : least);
}

hone_status hn_rundir_epoch(struct hn_rundir *d, struct hn_fit *f, const struct hn_epoch *e,
                            hone_error *err)
{
    HN_TRY(add_metrics(d, e, err));
    HN_TRY(add_epoch_event(d, f, e, err));
    if (f->reason != HN_STOP_NONE) return HONE_OK; /* hn_rundir_end follows */
    if (due(d, EPOCH_SECONDS)) return save(d, f, "checkpoint", err);
    return hn_seconds() - d->flushed >= FLUSH_SECONDS ? flush(d, err) : HONE_OK;
}

hone_status hn_rundir_pretrain(struct hn_rundir *d, struct hn_fit *f,
                               const struct hn_pretrain_line *l, hone_error *err)
{
    (void)f;
    HN_TRY(add_pretrain_event(d, l, err));
    return hn_seconds() - d->flushed >= FLUSH_SECONDS ? flush(d, err) : HONE_OK;
}

hone_status hn_rundir_tick(struct hn_rundir *d, struct hn_fit *f, hone_error *err)
{
    if (f->reason != HN_STOP_NONE || !due(d, INSIDE_SECONDS)) return HONE_OK;
    return save(d, f, "checkpoint", err);
}

hone_status hn_rundir_end(struct hn_rundir *d, struct hn_fit *f, hone_error *err)
{
    return save(d, f, "end", err);
}

hone_status hn_rundir_end_again(struct hn_rundir *d, hone_context *ctx, const char *dir,
                                struct hn_fit *f, hone_error *err)
{
    *d = (struct hn_rundir){ .ctx = ctx, .dir = hn_strdup(&ctx->mem, dir) };
    return d->dir ? write_status(d, f, err) : hn_nomem(err, "a name", strlen(dir));
}

int hn_rundir_has_result(hone_context *ctx, const char *dir)
{
    char *path = hn_path_join(&ctx->mem, dir, "result.json");
    const int found = path && hn_path_exists(ctx->io, path);
    hn_free(&ctx->mem, path);
    return found;
}

hone_status hn_rundir_result(struct hn_rundir *d, const hone_result *r, hone_error *err)
{
    static const char *const figures[] = {
        "epochs", "best_epoch", "train", "val", "test", "before"
    };
    struct hn_buffer b, f;
    if (!d->dir) return HONE_OK;
    hn_buffer_init(&b, &d->ctx->mem);
    hn_buffer_init(&f, &d->ctx->mem);
    hone_status st = hn_result_write(r, 1, &b.sink, err);
    if (st == HONE_OK) st = hn_sink_str(&b.sink, "\n", err);
    if (st == HONE_OK)
        st = hn_result_write_figures(r, figures, sizeof figures / sizeof *figures, &f.sink, err);
    if (st == HONE_OK) st = write_json(d, "metrics.json", &f, err);
    if (st == HONE_OK) st = write_json(d, "result.json", &b, err);
    hn_buffer_free(&f);
    hn_buffer_free(&b);
    return st;
}

/* ---- after the model was saved ------------------------------------------------------------------------------------------------ */

static int told_to_keep(const struct hn_origin *o)
{
    for (size_t i = 0; i < o->n_settings; i++) {
        const struct hn_setting *s = &o->settings[i];
        if (!strcmp(s->name, "run-dir")) return 1;
        if (!strcmp(s->name, "keep-run") && !strchr("fn0", s->value[0]) && strcmp(s->value, "off"))
            return 1; /* not false, no, off, 0 */
    }
    return 0;
}

void hn_rundir_saved(hone_context *ctx, const char *path)
{
    struct hn_checkpoint c;
    size_t n = strlen(path) + sizeof ".run";
    char *dir = hn_alloc(&ctx->mem, n);
    if (!dir) return;
    memcpy(dir, path, n - sizeof ".run");
    memcpy(dir + n - sizeof ".run", ".run", sizeof ".run");
    if (hn_checkpoint_exists(ctx, dir) && hn_checkpoint_open(&c, ctx, dir, NULL) == HONE_OK) {
        enum hn_stop_reason reason = hn_checkpoint_reason(&c);
        int done = reason != HN_STOP_NONE && reason != HN_STOP_INTERRUPTED &&
                   reason != HN_STOP_DIVERGED && !told_to_keep(&c.origin);
        hn_checkpoint_close(&c);
        if (done) hn_rundir_remove(ctx, dir);
    }
    hn_free(&ctx->mem, dir);
}
