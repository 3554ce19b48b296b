/* SPDX-License-Identifier: MIT
 *
 * hone_tune: see tune.h. What is asked for becomes a study; when its trials have run the best one is trained again. */
#include "plugin/tune/tune.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include "plugin/train/job.h"
#include "plugin/tune/blas.h"
#include "plugin/tune/graph_knobs.h"
#include "plugin/tune/store.h"
#include "plugin/tune/study_open.h"
#include <errno.h>
#include <math.h>
#include <string.h>

enum { LEASE_MS = 60000, ATTEMPTS = 100, DEFAULT_TRIALS = 50 };
enum { GPU_SLOTS = 32 }; /* replicas in one launch */

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

/* Listed settings with nothing to search are what there is to try, unless a sampler was asked for. */
static hone_status imply_manual(struct hn_tune *t, hone_error *err)
{
    const hone_params *p = t->params;
    if (!hone_params_get(p, "setting", 0) || hone_params_get(p, "search", 0) ||
        hone_params_is_set(p, "sampler") || !strcmp(hn_param_s(p, "space"), "auto"))
        return HONE_OK;
    HN_TRY(hn_params_copy(p, &t->listed, err));
    t->params = t->listed;
    hn_log(t->ctx, HONE_LOG_NOTE,
           "settings and nothing to search: --sampler manual, which tries these and no others");
    return hone_params_set(t->listed, "sampler", "manual", err);
}

/* Trials write no files, ask for nothing at the end and have one thread each. */
static hone_status make_base(struct hn_tune *t, hone_error *err)
{
    static const char *const unset[] = { "out",    "run-dir", "keep-run",
                                         "events", "require", "max-seconds" };
    HN_TRY(hn_params_copy(t->params, &t->base, err));
    HN_TRY(hn_options_metrics(t->base, err));
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        HN_TRY(hone_params_set(t->base, unset[i], NULL, err));
    return hone_params_set(t->base, "threads", "1", err);
}

static hone_status read_monitor(struct hn_tune *t, hone_error *err)
{
    const char *text = hn_param_s(t->params, "monitor"), *plain = text;
    if (!strncmp(text, "val_", 4)) plain += 4;
    if (!strncmp(text, "train_", 6))
        return hn_fail(err, HONE_E_USAGE, "monitor",
                       "found '%s': trials are judged by rows they were not trained on", text);
    t->monitor = hn_arena_printf(&t->arena, "val_%s", plain);
    t->maximize = hn_metric_direction(plain) > 0;
    return t->monitor ? HONE_OK : hn_nomem(err, "the monitor", strlen(text));
}

/* The loss of scaled targets is in units of its own. */
static hone_status check_units(const struct hn_tune *t, hone_error *err)
{
    int scaled = strcmp(hn_param_s(t->params, "scale-target"), "none") != 0 ||
                 hn_model_unscales(t->model) || hn_space_find(&t->space, "scale-target") >= 0;
    if (!scaled || strcmp(t->monitor, "val_loss") != 0) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "monitor",
                           "the loss of scaled targets cannot be compared with the imported "
                           "model's"),
                   "--monitor val_rmse, val_mae or val_r2");
}

/* Trials that do not train are all the model that came. */
static hone_status check_epochs(const struct hn_tune *t, hone_error *err)
{
    if (hn_param_i(t->params, "epochs") > 0 || hn_space_find(&t->space, "epochs") >= 0)
        return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "epochs",
                           "found 0: the trials of a search train, wanted at least 1"),
                   "hone train --epochs 0 changes a graph without training");
}

static int is_searched(void *space, const char *name) { return hn_space_find(space, name) >= 0; }

static hone_status check_company(struct hn_tune *t, hone_error *err)
{
    const struct hn_options_open open = { is_searched, &t->space };
    return hn_options_company(t->params, &open, err);
}

/* ---- the folder and the study -------------------------------------------------------------------------------------------- */

void hn_tune_forget(struct hn_tune *t, const char *study)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    const struct hn_io *io = t->ctx->io;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *path = hn_arena_printf(&t->arena, "%s%s", study, ends[i]);
        if (path) io->unlink(io->user, path);
    }
}

/* Is the folder that of an earlier run of this search? A study in a database leaves its result only. */
static int was_ours(struct hn_tune *t)
{
    const char *result = hn_arena_printf(&t->arena, "%s/study.json", t->dir);
    if (!hn_store_is_uri(t->path)) return hn_path_exists(t->ctx->io, t->path);
    return result && hn_path_exists(t->ctx->io, result);
}

/* A folder with a study in it is continued, another one that is not empty is refused. */
static hone_status open_folder(struct hn_tune *t, int own_study, hone_error *err)
{
    const struct hn_io *io = t->ctx->io;
    int force = hn_param_b(t->params, "force");
    int rc = io->mkdir(io->user, t->dir, 0777);
    t->made_dir = rc == 0;
    if (rc == -EEXIST) {
        rc = io->rmdir(io->user, t->dir);
        if (rc == 0) rc = io->mkdir(io->user, t->dir, 0777);
        if (rc == -ENOTDIR)
            return hn_fail(err, HONE_E_IO, t->dir, "found a file, wanted a folder for the run");
        if (rc == -ENOTEMPTY || rc == -EEXIST) {
            if (force && own_study) hn_tune_forget(t, t->path);
            if (!force && !was_ours(t))
                return hn_hint(err,
                               hn_fail(err, HONE_E_USAGE, t->dir, "the run folder is not empty"),
                               "--force starts anew in it");
            rc = 0;
        }
    }
    return rc < 0 ? hn_rundir_not_made(t->dir, rc, err) : HONE_OK;
}

static hone_status name_files(struct hn_tune *t, hone_error *err)
{
    const char *out = hn_param_s(t->params, "out"), *dir = hn_param_s(t->params, "run-dir"),
               *study = hn_param_s(t->params, "study");
    if (dir[0])
        t->dir = hn_arena_strdup(&t->arena, dir);
    else if (out[0])
        t->dir = hn_arena_printf(&t->arena, "%s.run", out);
    else if (!study[0])
        return hn_fail(err, HONE_E_USAGE, "study",
                       "found no place for the trials, wanted "
                       "\"out\", \"run-dir\" or \"study\"");
    if (study[0])
        t->path = hn_arena_strdup(&t->arena, study);
    else if (t->dir)
        t->path = hn_arena_printf(&t->arena, "%s/study.db", t->dir);
    if (!t->path) return hn_nomem(err, "the study's path", 0);
    return t->dir ? open_folder(t, !study[0], err) : HONE_OK;
}

/* The numbers that stand for a default that depends on the optimizer. */
static const char *default_text(struct hn_tune *t, const char *name, const struct hn_hyper *h,
                                double lr)
{
    const struct {
        const char *name;
        double value;
    } known[] = { { "lr", lr },      { "momentum", h->momentum },
                  { "eps", h->eps }, { "weight_decay", h->weight_decay },
                  { "ema", 0 }, /* none */
                  { "swa_start", 0 } };
    char number[32];
    const char *text = hn_knobs_default(t, name);
    if (!text) text = hone_params_get(t->base, name, 0);
    if (text && text[0]) return text;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (hn_space_find(&t->space, known[i].name) == hn_space_find(&t->space, name)) {
            hn_format_double(number, known[i].value);
            return hn_arena_strdup(&t->arena, number);
        }
    return "";
}

/* Trial 0: the settings as they are without a search. */
static hone_status enqueue_default(struct hn_tune *t, hone_error *err)
{
    const struct hn_search_space *s = &t->space;
    struct hn_hyper hyper;
    double lr, *x = hn_arena_alloc(&t->arena, (size_t)s->n, sizeof *x);
    if (!x) return hn_nomem(err, "a setting", (size_t)s->n * sizeof *x);
    HN_TRY(hn_params_hyper(t->base, &hyper, &lr, err));
    for (int k = 0; k < s->n; k++) {
        int i = s->order[k];
        const char *text = default_text(t, s->axes[i].name, &hyper, lr);
        if (!text) return hn_nomem(err, "a setting", 32);
        if (!hn_space_active(s, x, i) || !hn_axis_read(&s->axes[i], text, &x[i]))
            x[i] = (double)NAN;
    }
    return hn_study_enqueue(t->study, x, "default", HN_ENQUEUE_FIRST, err);
}

static void read_limit(struct hn_tune *t, struct hn_study_opts *o)
{
    int enough = o->sampler.kind == HN_SAMPLER_GRID || o->sampler.kind == HN_SAMPLER_MANUAL ||
                 hone_params_is_set(t->params, "max-seconds");
    if (!o->trials && !enough) {
        int exact;
        uint64_t settings = hn_space_count(&t->space, 0, &exact);
        o->trials = DEFAULT_TRIALS;
        if (!t->outer && settings < DEFAULT_TRIALS)
            hn_log(t->ctx, HONE_LOG_NOTE, "the space has %s%d settings: each is tried once",
                   exact ? "" : "at most ", (int)settings);
        else if (!t->outer)
            hn_log(t->ctx, HONE_LOG_NOTE, "%d trials; --trials N for another number",
                   DEFAULT_TRIALS);
    }
    t->limit = o->trials;
}

static void read_pruner(const struct hn_tune *t, struct hn_study_opts *o)
{
    static const char *const rows[] = { "pruner", "prune-startup", "prune-warmup", "prune-eta" };
    int kind = HN_PRUNERS;
    while (--kind > 0 && strcmp(hn_pruner_names[kind], hn_param_s(t->params, "pruner")) != 0) {}
    o->pruner = (struct hn_pruner){ .kind = (enum hn_pruner_kind)kind,
                                    .startup = (int)hn_param_i(t->params, "prune-startup"),
                                    .warmup = (int)hn_param_i(t->params, "prune-warmup"),
                                    .eta = (int)hn_param_i(t->params, "prune-eta") };
    o->keep |= HN_KEEP_PRUNER;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hone_params_is_set(t->params, rows[i])) o->keep &= ~(unsigned)HN_KEEP_PRUNER;
}

/* A study from before conditions were implied goes on with the space it was begun with: its trials are of that one. */
static hone_status keep_space(struct hn_tune *t, hone_error *err)
{
    const char *text = hn_study_space(t->study)->text;
    if (!strcmp(text, t->space.text)) return HONE_OK;
    if (t->outer) /* the space is the whole search's */
        return hn_fail(err, HONE_E_USAGE, t->path,
                       "the study is older than that of the whole search: found another space");
    for (int i = 0; i < t->space.n; i++)
        if (t->space.axes[i].implied)
            hn_log(t->ctx, HONE_LOG_NOTE,
                   "the study is from before that: it goes on as it was begun, with %s everywhere",
                   t->space.axes[i].name);
    hn_space_clear(&t->space);
    return hn_space_read(&t->space, &t->ctx->mem, text, err);
}

static hone_status open_study(struct hn_tune *t, hone_error *err)
{
    char fingerprint[33];
    struct hn_study_opts o = {
        .path = t->path, .space = &t->space, .lease_ms = LEASE_MS, .attempts = ATTEMPTS
    };
    HN_TRY(hn_judging_fingerprint(t, fingerprint, err));
    HN_TRY(hn_study_opts_of_params(t->params, &o, err));
    HN_TRY(hn_sampler_check(&t->space, &o.sampler, err));
    if (o.sampler.kind == HN_SAMPLER_GP) { /* is there room for what it will want? */
        HN_TRY(hn_blas_hold(1, err));
        hn_blas_release(1);
    }
    read_limit(t, &o);
    HN_TRY(hn_made_of(t, &o.made_of, err));
    o.fingerprint = fingerprint;
    o.maximize = t->maximize;
    o.lag = (int)hn_param_i(t->params, "lag");
    o.keep &= ~(unsigned)(HN_KEEP_DIRECTION | HN_KEEP_SEED);
    if (!hone_params_is_set(t->params, "lag")) o.keep |= HN_KEEP_LAG;
    read_pruner(t, &o);
    HN_TRY(hn_study_open(t->ctx, &o, &t->study, err));
    HN_TRY(keep_space(t, err));
    HN_TRY(enqueue_default(t, err));
    return hn_study_enqueue_settings(t->study, t->params, err);
}

hone_status hn_tune_open(struct hn_tune *t, hone_error *err)
{
    HN_TRY(hn_judging_make(t, err));
    return open_study(t, err);
}

/* ---- a GPU -------------------------------------------------------------------------------------------------------------------- */

/* One device for all replicas, whose calls it gathers. The imported model is judged on it as the replicas are, and the winner
 * trained again: figures that are compared come from the same kernels. Products on tensor cores are the library's, for one
 * replica at a time. */
static hone_status open_gpu(struct hn_tune *t, hone_error *err)
{
    if (!hn_device_is_gpu(t->base)) return HONE_OK;
    HN_TRY(hn_device_open(t->ctx, t->params, hn_model_graph(t->model)->dtype, &t->gpu, err));
    HN_TRY(hn_gang_create(&t->ctx->mem, t->gpu.backend, t->gpu.dev, GPU_SLOTS, &t->gang, err));
    t->front = (struct hn_device){ hn_gang_backend(t->gang), t->gang, 1 };
    t->data->device = &t->front;
    if (!hone_params_is_set(t->params, "jobs")) t->jobs = GPU_SLOTS;
    return HONE_OK;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------------- */

static hone_status tune(struct hn_tune *t, hone_result **out, hone_error *err)
{
    HN_TRY(imply_manual(t, err));
    HN_TRY(make_base(t, err));
    HN_TRY(read_monitor(t, err));
    HN_TRY(hn_knobs_space(t, err));
    HN_TRY(check_company(t, err));
    HN_TRY(check_units(t, err));
    HN_TRY(check_epochs(t, err));
    HN_TRY(hn_settings_check(t->params, &t->space, err));
    HN_TRY(open_gpu(t, err));
    t->data->saying = HN_SAY;
    HN_TRY(hn_judging_make(t, err));
    t->data->saying = HN_SAY_NOTHING;
    HN_TRY(name_files(t, err));
    HN_TRY(open_study(t, err));
    HN_TRY(hn_tune_write_settings(t, err));
    atomic_store(&t->ctx->begun, 1);
    if (t->nested.k) HN_TRY(hn_nested_run(t, err));
    if (!t->interrupted) HN_TRY(hn_tune_run(t, err));
    HN_TRY(hn_tune_finish(t, err));
    HN_TRY(hn_tune_result(t, out, err));
    hone_status st = hn_tune_write_files(t, *out, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

static void close_tune(struct hn_tune *t)
{
    hn_study_close(t->study);
    hn_nested_free(t);
    hn_judging_free(&t->judging);
    hn_gang_destroy(t->gang);
    hn_device_close(&t->gpu);
    hn_space_clear(&t->space);
    hone_params_destroy(t->base);
    hone_params_destroy(t->listed);
    hn_arena_clear(&t->arena);
}

static hone_status tune_model(hone_model *m, hone_data *d, const hone_params *params,
                              const hone_tune_callbacks *cb, hone_result **out, hone_error *err)
{
    struct hn_tune t = { .ctx = hn_model_context(m),
                         .model = m,
                         .params = params,
                         .cb = cb,
                         .jobs = (int)hn_param_i(params, "jobs"),
                         .start = hn_seconds(),
                         .best = -1,
                         .refit = { .kind = hn_param_s(params, "refit") },
                         .ensemble = { .asked = (int)hn_param_i(params, "ensemble") },
                         .nested = { .k = (int)hn_param_i(params, "nested") } };
    struct hn_model_mark *mark;
    struct hone_data data;
    const char *path = hn_param_s(params, "out");
    double seconds = hn_param_f(params, "max-seconds");
    *out = NULL;
    if (!params || !d)
        return hn_fail(err, HONE_E_USAGE, "data", "found none, wanted rows and a search space");
    data = *d; /* arrays are read only */
    t.data = &data;
    hn_context_enter(t.ctx);
    HN_TRY(hn_places_check(m, params, err));
    if (path[0]) HN_TRY(hn_model_check_output(m, path, hn_param_b(params, "force"), err));
    if (t.jobs < 1) t.jobs = hn_threads_with_room(hn_cpu_count());
    if (seconds > 0) t.deadline = t.start + seconds;
    HN_TRY(hone_model_check(m, 1, err));
    HN_TRY(hn_model_mark(m, &mark, err));
    hn_arena_init(&t.arena, &t.ctx->mem);
    hn_space_init(&t.space, &t.ctx->mem);
    hone_error why = { 0 };
    /* throughout, for all calls of the sampler */
    hone_status st = hn_blas_hold(0, err ? err : &why);
    if (st == HONE_OK) {
        st = tune(&t, out, err ? err : &why);
        hn_blas_release(0);
    }
    if (st != HONE_OK) hn_tune_failed(&t, err ? err : &why);
    if (st != HONE_OK && t.made_dir) t.ctx->io->rmdir(t.ctx->io->user, t.dir); /* if it is empty */
    close_tune(&t);
    if (st != HONE_OK && hn_model_rewind(m, mark, NULL) != HONE_OK)
        hn_log(t.ctx, HONE_LOG_WARNING, "the model could not be put back as it was");
    hn_model_mark_free(mark);
    return st;
}

hone_status hone_tune(hone_model *m, hone_data *d, const hone_params *params,
                      const hone_tune_callbacks *cb, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&hn_model_context(m)->mem, tune_model(m, d, params, cb, out, err), err);
}
