/* SPDX-License-Identifier: MIT
 *
 * hone_resume: the job in a run folder, opened again from its checkpoint alone and continued. The model comes from its own
 * file when that is still what it was (external data stay external then), else from the bytes in the checkpoint. */
#include "ops/base/status.h"
#include "plugin/plugins.h"
#include "plugin/train/job.h"
#include <stdlib.h>
#include <string.h>

/* ---- parameters ------------------------------------------------------------------------------------------------------------ */

static hone_status override_one(hone_params *p, const hone_params *o, const char *name,
                                hone_error *err)
{
    const char *text;
    HN_TRY(hone_params_set(p, name, NULL, err));
    for (size_t i = 0; (text = hone_params_get(o, name, i)); i++)
        HN_TRY(hone_params_set(p, name, text, err));
    return HONE_OK;
}

/* "epochs": N, or +N more than the run had. */
static hone_status override_epochs(hone_params *p, const hone_params *o, struct hn_arena *a,
                                   hone_error *err)
{
    const char *text = hone_params_get(o, "epochs", 0);
    int64_t n = hn_param_i(o, "epochs");
    if (text[0] == '+' && !hn_add_i64(n, hn_param_i(p, "epochs"), &n))
        return hn_fail(err, HONE_E_USAGE, "epochs", "'%s' is too many", text);
    const char *sum = hn_arena_printf(a, "%lld", (long long)n);
    return sum ? hone_params_set(p, "epochs", sum, err) : hn_nomem(err, "epochs", 32);
}

/* More epochs, or fewer, do not move a run: "auto" is the device it was started on. */
static hone_status stay(hone_params *p, const struct hn_origin *o, hone_error *err)
{
    if (strcmp(hn_param_s(p, "device"), "auto") != 0) return HONE_OK;
    return hone_params_set(p, "device", strcmp(o->backend, "cuda") == 0 ? "cuda" : "cpu", err);
}

static hone_status build_params(hone_context *ctx, struct hn_checkpoint *c, const hone_params *o,
                                hone_params **out, hone_error *err)
{
    hone_param_info info = { .size = sizeof info };
    HN_TRY(hone_params_create(ctx, out, err));
    for (size_t i = 0; i < c->origin.n_settings; i++)
        HN_TRY(hone_params_set(*out, c->origin.settings[i].name, c->origin.settings[i].value, err));
    for (size_t i = 0; o && hone_param_at(i, &info); i++) {
        if (!hone_params_is_set(o, info.name)) continue;
        int of_search = !strcmp(info.group, "tune");
        if ((!info.moves || of_search) && strcmp(info.name, "epochs") != 0)
            return hn_fail(err, HONE_E_USAGE, info.name,
                           "cannot change in a run that is continued: its result would be another "
                           "one");
        if (strcmp(info.name, "epochs") == 0)
            HN_TRY(override_epochs(*out, o, &c->arena, err));
        else
            HN_TRY(override_one(*out, o, info.name, err));
    }
    return stay(*out, &c->origin, err);
}

/* ---- model ----------------------------------------------------------------------------------------------------------------- */

static hone_status open_model(hone_context *ctx, const struct hn_origin *o, hone_model **out,
                              hone_error *err)
{
    unsigned char hash[16];
    if (o->model_path[0] && hn_path_exists(ctx->io, o->model_path) &&
        hone_model_load(ctx, o->model_path, out, NULL) == HONE_OK) {
        hn_model_hash(*out, hash);
        if (memcmp(hash, o->model_hash, sizeof hash) == 0) return HONE_OK;
        hone_model_destroy(*out);
    }
    return hone_model_load_bytes(ctx, o->model, o->model_size, NULL, out, err);
}

/* ---- state ----------------------------------------------------------------------------------------------------------------- */

static hone_status check_same(const struct hn_job *j, const struct hn_origin *o, hone_error *err)
{
    if (memcmp(j->origin.data_hash, o->data_hash, sizeof o->data_hash) != 0)
        return hn_hint(err,
                       hn_fail(err, HONE_E_DATA, "data",
                               "the data are not those that the run was started with"),
                       "name the files as they were with --data, --x, --y, …");
    if (strcmp(o->backend, j->origin.backend) != 0)
        return hn_fail(err, HONE_E_USAGE, "device", "the run was started on %s, found %s",
                       o->backend, j->origin.backend);
    if (strcmp(o->core, j->origin.core) != 0)
        hn_log(j->ctx, HONE_LOG_WARNING,
               "the run was started on another kind of processor (%s, now %s): the last digits of "
               "its result may differ",
               o->core, j->origin.core);
    return HONE_OK;
}

/* An interrupted run goes on. A finished one does when it is given more epochs, and its patience begins anew. */
static void reopen(struct hn_fit *f, int more)
{
    int interrupted = f->reason == HN_STOP_NONE || f->reason == HN_STOP_INTERRUPTED;
    int longer = more && f->reason != HN_STOP_DIVERGED && f->done < f->opts.stop.epochs;
    if (!interrupted && longer) f->stop.wait = 0;
    if (interrupted || longer) f->reason = HN_STOP_NONE;
}

struct continued { /* what hone_resume was given */
    const char *dir;
    const hone_params *overrides;
    const hone_callbacks *cb;
};

/* Can the model be saved where it is to go? Known before hours are spent. The run's own file is replaced, another that is
 * there only with "force". */
static hone_status check_place(const struct hn_job *j, const struct hn_origin *o, hone_error *err)
{
    const char *path = hn_param_s(j->params, "out");
    int own = 0;
    for (size_t i = 0; i < o->n_settings; i++)
        own |= !strcmp(o->settings[i].name, "out") && !strcmp(o->settings[i].value, path);
    if (!path[0]) return HONE_OK;
    return hn_model_check_output(j->model, path, own || hn_param_b(j->params, "force"), err);
}

static hone_status continue_job(struct hn_job *j, const struct hn_checkpoint *c,
                                const struct continued *given, hone_data *d, hone_error *err)
{
    int more = given->overrides && hone_params_is_set(given->overrides, "epochs");
    HN_TRY(hn_job_origin(j, err));
    memcpy(j->origin.model_hash, c->origin.model_hash, sizeof j->origin.model_hash);
    HN_TRY(hn_job_open(j, d, given->cb, err));
    HN_TRY(check_same(j, &c->origin, err));
    HN_TRY(hn_checkpoint_load(c, j->fit, err));
    reopen(j->fit, more);
    if (j->fit->reason != HN_STOP_NONE) return HONE_OK; /* nothing will be written */
    HN_TRY(hn_places_check(j->model, j->params, err));
    HN_TRY(check_place(j, &c->origin, err));
    return hn_rundir_open(&j->dir, j->ctx, given->dir, hn_param_s(j->params, "events"),
                          HN_RUNDIR_RESUME, err);
}

struct ending { /* of the run that is resumed */
    const char *dir;
    int64_t written_ns; /* the last checkpoint */
    int forced;         /* by who resumes it, not by the run's own settings */
};

static const char epochs_key[] = "\"epochs\":";

/* The texts are the same but for the number behind "epochs". */
static int same_but_epochs(const char *a, const char *b)
{
    const char *p = strstr(a, epochs_key), *q = strstr(b, epochs_key);
    if (!p || !q || p - a != q - b || memcmp(a, b, (size_t)(p - a)) != 0) return 0;
    p += strlen(epochs_key), q += strlen(epochs_key);
    return !strcmp(p + strspn(p, "0123456789"), q + strspn(q, "0123456789"));
}

static long long epochs_of(const char *training)
{
    const char *p = strstr(training, epochs_key);
    return p ? strtoll(p + strlen(epochs_key), NULL, 10) : 0;
}

enum place { NOTHING, THIS_END, EARLIER_END, ANOTHER };

/* Of which end of this run is it the model? An earlier one is that of an interruption, or of fewer epochs. */
static enum place end_of(hone_model *there, hone_model *now)
{
    static const char *const keys[] = { "hone.parent", "hone.data", "hone.seed",
                                        "hone.hyperparameters", "hone.training" };
    const char *a[5], *b[5];
    for (int i = 0; i < 5; i++) {
        a[i] = hn_model_metadata(there, keys[i]);
        b[i] = hn_model_metadata(now, keys[i]);
        if (!a[i] || !b[i] || (i < 3 && strcmp(a[i], b[i]) != 0)) return ANOTHER;
    }
    if (!same_but_epochs(a[3], b[3])) return ANOTHER;
    int earlier =
        strstr(a[4], "\"stop_reason\":\"interrupted\"") || epochs_of(a[4]) < epochs_of(b[4]);
    return earlier ? EARLIER_END : THIS_END;
}

static enum place look_at(const struct hn_job *j, const char *path)
{
    hone_model *m;
    if (!hn_path_exists(j->ctx->io, path)) return NOTHING;
    if (hone_model_load(j->ctx, path, &m, NULL) != HONE_OK) return ANOTHER;
    enum place found = end_of(m, j->model);
    hone_model_destroy(m);
    return found;
}

/* Is it what the run, or whoever resumes it, was told to replace? What has come there after the run's end is not. */
static int is_to_go(const struct hn_job *j, const struct ending *e, const char *path)
{
    struct hn_stat it;
    if (!hn_param_b(j->params, "force")) return 0;
    if (e->forced) return 1;
    return j->ctx->io->stat_path(j->ctx->io->user, path, &it) == 0 && it.ctime_ns < e->written_ns;
}

/* Of a run that has ended: is its model where it belongs? If not, a kill, or a disk, came between the end of the training and the
 * writing of its result. */
static int is_in_place(const struct hn_job *j, const struct ending *e)
{
    const char *path = hn_param_s(j->params, "out");
    if (!path[0]) return hn_rundir_has_result(j->ctx, e->dir);
    enum place found = look_at(j, path);
    if (found != ANOTHER) return found == THIS_END;
    if (is_to_go(j, e, path)) return 0;
    hn_log(j->ctx, HONE_LOG_WARNING,
           "%s holds another model than this run's, and stays: --force replaces it, -o writes "
           "elsewhere",
           path);
    return 1;
}

/* A device that is not there was perhaps asked for by the run, not by who resumes it, and no other one will do. */
static hone_status tell_device(const struct hn_origin *o, hone_status st, hone_error *err)
{
    if (st != HONE_E_DEVICE || !err || strcmp(err->where, "device") != 0) return st;
    const hone_error why = *err;
    return hn_fail(err, st, "device", "the run was started on %s and goes on there alone: %s",
                   o->backend, why.text);
}

static hone_status run_job(struct hn_job *j, const struct ending *e, hone_result **out,
                           hone_error *err)
{
    int ran = j->fit->reason == HN_STOP_NONE;
    if (ran) {
        atomic_store(&j->ctx->begun, 1);
        HN_TRY(hn_rundir_begin(&j->dir, j->fit, &j->origin, err));
        HN_TRY(hn_job_run(j, err));
    }
    HN_TRY(hn_job_finish(j, err));
    int finished = !ran && is_in_place(j, e);
    if (!ran && !finished) HN_TRY(hn_rundir_end_again(&j->dir, j->ctx, e->dir, j->fit, err));
    return hn_job_result(j, finished, out, err);
}

static hone_status resume(hone_context *ctx, const char *run_dir, const hone_params *overrides,
                          const hone_callbacks *cb, hone_model **model, hone_result **out,
                          hone_error *err)
{
    struct hn_checkpoint c;
    struct hn_job j = { 0 };
    const struct continued given = { run_dir, overrides, cb };
    hone_params *p = NULL;
    hone_data *d = NULL;
    *model = NULL;
    *out = NULL;
    hn_context_enter(ctx);
    HN_TRY(hn_checkpoint_open(&c, ctx, run_dir, err));
    hone_status st = build_params(ctx, &c, overrides, &p, err);
    if (st == HONE_OK) st = hn_plugins_open(ctx, p, err);
    if (st == HONE_OK) st = open_model(ctx, &c.origin, model, err);
    if (st == HONE_OK) st = hone_data_open(ctx, *model, p, &d, err);
    if (st == HONE_OK) st = hn_job_init(&j, *model, p, err);
    if (st == HONE_OK) st = continue_job(&j, &c, &given, d, err);
    st = tell_device(&c.origin, st, err);
    struct ending e = { run_dir, c.written_ns,
                        overrides && hone_params_is_set(overrides, "force") };
    hn_checkpoint_close(&c);
    if (st == HONE_OK) st = run_job(&j, &e, out, err);
    hn_job_close(&j);
    hone_params_destroy(p);
    hone_data_destroy(d);
    if (st != HONE_OK) {
        hone_model_destroy(*model);
        *model = NULL;
    }
    return st;
}

hone_status hone_resume(hone_context *ctx, const char *run_dir, const hone_params *overrides,
                        const hone_callbacks *cb, hone_model **model, hone_result **out,
                        hone_error *err)
{
    return hn_nomem_why(&ctx->mem, resume(ctx, run_dir, overrides, cb, model, out, err), err);
}
