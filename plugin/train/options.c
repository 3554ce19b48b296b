/* SPDX-License-Identifier: MIT
 *
 * From parameters to training's structs: see options.h. */
#include "plugin/train/options.h"
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

static const char *const prefixes[3] = { "train_", "val_", "test_" }; /* by hone_role */

/* The role a metric's name begins with, -1 none; *plain: the name without it. */
static int role_of(const char *name, const char **plain)
{
    *plain = name;
    for (int role = 0; role < 3; role++) {
        size_t n = strlen(prefixes[role]);
        if (strncmp(name, prefixes[role], n) != 0) continue;
        *plain = name + n;
        return role;
    }
    return -1;
}

/* "accuracy" → "val_accuracy". */
static hone_status full_name(const char *option, const char *name, char out[32], hone_error *err)
{
    const char *plain;
    int role = role_of(name, &plain);
    if (strcmp(plain, "loss") != 0 && !hn_metric_bit(plain))
        return hn_hint(
            err, hn_fail(err, HONE_E_USAGE, option, "there is no metric '%s'", name),
            "loss, accuracy, mae, rmse, r2, f1, auc, each with train_ or val_ before it");
    if (role == HONE_TEST)
        return hn_fail(err, HONE_E_USAGE, option,
                       "found '%s': the test rows are for the end, wanted val_ or train_", name);
    const char *prefix = prefixes[role < 0 ? HONE_VAL : role];
    memcpy(out, prefix, strlen(prefix));
    memcpy(out + strlen(prefix), plain, strlen(plain) + 1); /* known names are short */
    return HONE_OK;
}

hone_status hn_parse_goal(const char *option, const char *text, char name[32], double *value,
                          hone_error *err)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n == 0 || n >= 32 || !hn_parse_double(colon + 1, strlen(colon + 1), value) ||
        !isfinite(*value))
        return hn_fail(err, HONE_E_USAGE, option,
                       "found '%s', wanted METRIC:VALUE such as val_accuracy:0.95", text);
    memcpy(name, text, n);
    name[n] = '\0';
    return HONE_OK;
}

static hone_status want_metric(hone_params *p, const char *name, hone_error *err)
{
    const char *plain;
    role_of(name, &plain);
    int have = strcmp(plain, "loss") == 0;
    for (size_t i = 0; !have && i < hn_param_count(p, "metric"); i++)
        have = strcmp(hone_params_get(p, "metric", i), plain) == 0;
    return have ? HONE_OK : hone_params_set(p, "metric", plain, err);
}

hone_status hn_options_metrics(hone_params *p, hone_error *err)
{
    char name[32], full[32];
    double value;
    for (size_t i = 0; i < hn_param_count(p, "metric"); i++) {
        const char *text = hone_params_get(p, "metric", i);
        if (!hn_metric_bit(text) && strcmp(text, "loss") != 0)
            return hn_fail(err, HONE_E_USAGE, "metric",
                           "found '%s', wanted accuracy, mae, rmse, r2, f1 or auc", text);
    }
    HN_TRY(full_name("monitor", hn_param_s(p, "monitor"), full, err));
    HN_TRY(want_metric(p, full, err));
    if (hone_params_is_set(p, "target-metric")) {
        HN_TRY(hn_parse_goal("target-metric", hn_param_s(p, "target-metric"), name, &value, err));
        HN_TRY(full_name("target-metric", name, full, err));
        HN_TRY(want_metric(p, full, err));
    }
    for (size_t i = 0; i < hn_param_count(p, "require"); i++) {
        const char *plain;
        HN_TRY(hn_parse_goal("require", hone_params_get(p, "require", i), name, &value, err));
        if (hn_metric_direction(name) < 0)
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, "require", "there is no metric '%s'", name),
                           "loss, accuracy, mae, rmse, r2, f1, auc, each with train_, val_ or "
                           "test_ before it");
        role_of(name, &plain);
        HN_TRY(want_metric(p, plain, err));
    }
    return HONE_OK;
}

/* ---- schedule -------------------------------------------------------------------------------------------------------- */

static double or_default(const hone_params *p, const char *name, double fallback)
{
    double v = hn_param_f(p, name);
    return isnan(v) ? fallback : v;
}

static hone_status read_milestones(const hone_params *p, struct hn_schedule_opts *o,
                                   hone_error *err)
{
    size_t n = hn_param_count(p, "lr-milestones");
    if (o->kind != HN_LR_MULTISTEP) return HONE_OK;
    if (n == 0 || n > HN_MAX_MILESTONES)
        return hn_fail(err, HONE_E_USAGE, "lr-milestones", "found %zu epochs, wanted 1 to %d", n,
                       HN_MAX_MILESTONES);
    for (size_t i = 0; i < n; i++) {
        const char *text = hone_params_get(p, "lr-milestones", i);
        int64_t *m = &o->milestones[o->n_milestones++];
        if (!hn_parse_i64(text, strlen(text), m) || *m < 1)
            return hn_fail(err, HONE_E_USAGE, "lr-milestones",
                           "found '%s', wanted a number of epochs", text);
    }
    return HONE_OK;
}

/* The first epoch whose weights are averaged, of a number of epochs or of a share of them; 0: none. */
static hone_status read_averaging(const hone_params *p, struct hn_schedule_opts *o, hone_error *err)
{
    double start = or_default(p, "swa-start", 0);
    o->swa_lr = or_default(p, "swa-lr", 0);
    o->swa_anneal = hn_param_i(p, "swa-anneal");
    if (start >= 1 && start != floor(start))
        return hn_fail(err, HONE_E_USAGE, "swa-start",
                       "found %g, wanted a whole epoch, or a share of --epochs below 1", start);
    if (start > (double)o->epochs)
        return hn_fail(err, HONE_E_USAGE, "swa-start",
                       "found %g, wanted at most the %lld of --epochs", start,
                       (long long)o->epochs);
    if (start > 0 && hn_param_f(p, "ema") > 0)
        return hn_fail(err, HONE_E_USAGE, "swa-start",
                       "cannot be with --ema: each is an average of its own");
    o->swa_start = hn_swa_epoch(start, o->epochs);
    return HONE_OK;
}

static hone_status read_schedule(const hone_params *p, double lr, struct hn_schedule_opts *o,
                                 hone_error *err)
{
    int kind = hn_schedule_kind_of(hn_param_s(p, "lr-schedule"));
    double gamma = kind == HN_LR_EXPONENTIAL ? 0.95 : kind == HN_LR_POLY ? 1 : 0.1;
    *o = (struct hn_schedule_opts){ .kind = (enum hn_schedule_kind)kind,
                                    .lr = lr,
                                    .gamma = or_default(p, "lr-gamma", gamma),
                                    .lr_min = hn_param_f(p, "lr-min"),
                                    .lr_max = or_default(p, "lr-max", lr),
                                    .threshold = hn_param_f(p, "lr-threshold"),
                                    .step = hn_param_i(p, "lr-step"),
                                    .patience = hn_param_i(p, "lr-patience"),
                                    .cooldown = hn_param_i(p, "lr-cooldown"),
                                    .warmup = hn_param_i(p, "warmup"),
                                    .epochs = hn_param_i(p, "epochs") };
    if (kind < 0)
        return hn_fail(err, HONE_E_INTERNAL, "lr-schedule", "'%s' has no number",
                       hn_param_s(p, "lr-schedule"));
    if (kind == HN_LR_PLATEAU && o->gamma >= 1)
        return hn_fail(err, HONE_E_USAGE, "lr-gamma", "found %g, wanted less than 1 for plateau",
                       o->gamma);
    HN_TRY(read_averaging(p, o, err));
    return read_milestones(p, o, err);
}

/* ---- stopping -------------------------------------------------------------------------------------------------------- */

static hone_status no_validation(const char *option, const char *what, hone_error *err)
{
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, option, "%s needs validation data: found none", what),
                   "--val-split 0.2, --val-data FILE, or --monitor train_loss");
}

static hone_status read_monitor(const hone_params *p, int has_val, struct hn_train_opts *o,
                                hone_error *err)
{
    HN_TRY(full_name("monitor", hn_param_s(p, "monitor"), o->monitor, err));
    int given = hone_params_is_set(p, "monitor"), of_val = strncmp(o->monitor, "val_", 4) == 0;
    if (has_val || !of_val) {
        o->fit.monitor = o->monitor;
        o->fit.stop.maximize = hn_metric_direction(o->monitor);
        return HONE_OK;
    }
    if (given) return no_validation("monitor", o->monitor, err);
    if (o->fit.stop.patience > 0) return no_validation("early-stop-patience", "it", err);
    if (o->member.schedule.kind == HN_LR_PLATEAU)
        return no_validation("lr-schedule", "plateau", err);
    return HONE_OK;
}

static hone_status read_target(const hone_params *p, const struct hn_session *s,
                               struct hn_train_opts *o, hone_error *err)
{
    const int has_val = s->rows[HONE_VAL].n > 0;
    char name[32];
    if (!hone_params_is_set(p, "target-metric")) return HONE_OK;
    const char *text = hn_param_s(p, "target-metric");
    HN_TRY(hn_parse_goal("target-metric", text, name, &o->fit.stop.target, err));
    HN_TRY(full_name("target-metric", name, o->target, err));
    if (!has_val && strncmp(o->target, "val_", 4) == 0)
        return no_validation("target-metric", o->target, err);
    if (strstr(o->target, "_loss") && hn_session_scales(s))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "target-metric",
                               "%s of scaled targets is in units of their own", o->target),
                       "rmse, mae and r2 are in the targets' own");
    o->fit.target = o->target;
    o->fit.stop.has_target = 1;
    o->fit.stop.target_maximize = hn_metric_direction(o->target);
    return HONE_OK;
}

/* What is required of rows that are not there is never met. */
static hone_status check_required(const hone_params *p, const struct hn_session *s, hone_error *err)
{
    static const char *const rows[3] = { "training", "validation", "test" };
    static const char *const ways[3] = { "", "--val-split 0.2, or --val-data FILE",
                                         "--test-split 0.2, or --test-data FILE" };
    char name[32];
    const char *plain;
    double value;
    for (size_t i = 0; i < hn_param_count(p, "require"); i++) {
        HN_TRY(hn_parse_goal("require", hone_params_get(p, "require", i), name, &value, err));
        const int role = role_of(name, &plain);
        if (role < 0 || s->rows[role].n > 0) continue;
        return hn_hint(
            err,
            hn_fail(err, HONE_E_USAGE, "require", "%s needs %s data: found none", name, rows[role]),
            "%s", ways[role]);
    }
    return HONE_OK;
}

/* A value a channel: the batch statistics are that value and 0, and nothing but the bias comes out. */
static hone_status check_batch(const hone_params *p, const struct hn_session *s, hone_error *err)
{
    const int64_t batch = hn_param_i(p, "batch-size"),
                  rows = batch < s->rows[HONE_TRAIN].n ? batch : s->rows[HONE_TRAIN].n;
    for (int32_t i = 0; i < s->prog->n_ops; i++) {
        const struct hn_op *op = &s->prog->ops[i];
        if (op->row != &hn_op_batchnorm || ((const struct hn_batchnorm *)op->attrs)->mode == 1)
            continue;
        const struct hn_dim x = hn_shape_count(&s->prog->values[op->in[0]].shape),
                            c = hn_shape_count(&s->prog->values[op->in[1]].shape);
        if (rows * x.per_row + x.fixed > c.fixed) continue;
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, op->name,
                               "BatchNormalization of batches of one row has one value a channel, "
                               "wanted two or more"),
                       rows == batch ? "--batch-size 2 or more, or --batchnorm freeze"
                                     : "more rows to train on, or --batchnorm freeze");
    }
    return HONE_OK;
}

static void read_member(const hone_params *p, const struct hn_session *s, struct hn_train_opts *o)
{
    struct hn_member_opts *m = &o->member;
    hn_rng_key((uint64_t)hn_param_i(p, "seed"), 0, 0, m->key);
    m->data = s->bound[s->set_of[HONE_TRAIN]];
    m->rows = s->rows[HONE_TRAIN].rows;
    m->n_rows = s->rows[HONE_TRAIN].n;
    m->batch = hn_param_i(p, "batch-size");
    m->shuffle = !hn_param_b(p, "no-shuffle");
    m->keep_best = o->fit.save_best && o->fit.monitor;
    m->keep_good = !m->keep_best;
    m->keep_average = m->schedule.swa_start > 0;
    m->schedule.maximize = o->fit.stop.maximize;
}

static int is_zero_row(const struct hn_param *q)
{
    const int64_t width = q->init->n / q->dims[0];
    for (int64_t i = 0; i < width; i++)
        if (hn_tensor_f64(q->init, (q->still - 1) * width + i) != 0) return 0;
    return 1;
}

/* What is asked to stay has no gradient, but decay and L1 would move it. */
static hone_status check_kept(const struct hn_program *prog, const struct hn_hyper *h,
                              hone_error *err)
{
    for (int i = 0; i < prog->n_params; i++) {
        const struct hn_param *q = &prog->params[i];
        if (!q->kept || !(q->flags & HN_PARAM_TRAINED) || !q->init || is_zero_row(q)) continue;
        if (h->weight_decay != 0 || h->l1 != 0)
            return hn_hint(err,
                           hn_fail(err, HONE_E_USAGE, "freeze",
                                   "row %lld of '%s' is not zero, and %s would move it",
                                   (long long)q->still - 1, q->name,
                                   h->weight_decay != 0 ? "weight decay" : "L1"),
                           h->weight_decay != 0 ? "--weight-decay 0, or freeze the whole table"
                                                : "--l1 0, or freeze the whole table");
    }
    return HONE_OK;
}

hone_status hn_options_read(const hone_params *p, const struct hn_session *s,
                            struct hn_train_opts *o, hone_error *err)
{
    double lr;
    int has_val = s->rows[HONE_VAL].n > 0;
    *o = (struct hn_train_opts){ .init = HN_INIT_KEEP };
    HN_TRY(hn_params_hyper(p, &o->member.hyper, &lr, err));
    HN_TRY(read_schedule(p, lr, &o->member.schedule, err));
    HN_TRY(hn_init_parse(hn_param_s(p, "init"), &o->init, &o->init_std, err));
    o->fit.stop.epochs = hn_param_i(p, "epochs");
    o->fit.stop.patience = hn_param_i(p, "early-stop-patience");
    o->fit.stop.min_delta = hn_param_f(p, "min-delta");
    o->fit.stop.min_epochs = hn_param_i(p, "min-epochs");
    o->fit.max_seconds = or_default(p, "max-seconds", 0);
    o->fit.pretrain = (struct hn_pretrain_opts){ .epochs = hn_param_i(p, "pretrain"),
                                                 .batch = hn_param_i(p, "batch-size"),
                                                 .noise = hn_param_f(p, "pretrain-noise"),
                                                 .lr = or_default(p, "pretrain-lr", lr) };
    o->fit.save_best = strcmp(hn_param_s(p, "save"), "best") == 0;
    HN_TRY(read_monitor(p, has_val, o, err));
    HN_TRY(read_target(p, s, o, err));
    HN_TRY(check_required(p, s, err));
    HN_TRY(check_kept(s->prog, &o->member.hyper, err));
    o->fit.judge_start =
        o->init == HN_INIT_KEEP && o->fit.monitor && strcmp(o->fit.monitor, "train_loss") != 0;
    read_member(p, s, o);
    if (s->rows[HONE_TRAIN].n < 1)
        return hn_fail(err, HONE_E_DATA, "data", "found no rows to train on, wanted at least one");
    return check_batch(p, s, err);
}

static hone_status check_name(const char *option, const char *name,
                              const struct hn_figures before[3], hone_error *err)
{
    const char *plain;
    double value;
    if (!name || strcmp(name, "train_loss") == 0) return HONE_OK;
    int role = role_of(name, &plain);
    if (hn_metric_get(&before[role], plain, &value)) return HONE_OK;
    if (before[role].rows == 1)
        return hn_fail(err, HONE_E_USAGE, option,
                       "'%s' cannot be computed from one row, and there is one %s row", name,
                       role == HONE_VAL    ? "validation"
                       : role == HONE_TEST ? "test"
                                           : "training");
    return hn_fail(err, HONE_E_USAGE, option, "'%s' cannot be computed for this model and data",
                   name);
}

hone_status hn_options_check(const struct hn_train_opts *o, const struct hn_figures before[3],
                             hone_error *err)
{
    HN_TRY(check_name("monitor", o->fit.monitor, before, err));
    return check_name("target-metric", o->fit.target, before, err);
}

void hn_options_no_decay(const hone_params *p, struct hn_program *prog)
{
    uint32_t spared = 0;
    for (size_t i = 0; i < hn_param_count(p, "no-decay"); i++)
        spared |=
            strcmp(hone_params_get(p, "no-decay", i), "norm") == 0 ? HN_PARAM_NORM : HN_PARAM_BIAS;
    for (int32_t i = 0; i < prog->n_params; i++)
        if (prog->params[i].flags & spared) prog->params[i].decay_mult = 0;
}

/* Without a prefix: validation if there is any, else test, else training rows. */
int hn_requirement(const hone_params *p, size_t i, const struct hn_figures after[3], double *value)
{
    char name[32];
    const char *plain;
    double wanted;
    *value = (double)NAN;
    if (hn_parse_goal("require", hone_params_get(p, "require", i), name, &wanted, NULL) != HONE_OK)
        return 0;
    int role = role_of(name, &plain);
    if (role < 0)
        role = after[HONE_VAL].rows ? HONE_VAL : after[HONE_TEST].rows ? HONE_TEST : HONE_TRAIN;
    if (!after[role].rows || !hn_metric_get(&after[role], plain, value)) return 0;
    return hn_metric_direction(name) ? *value >= wanted : *value <= wanted;
}
