/* SPDX-License-Identifier: MIT
 *
 * Learning rates: see schedule.h. Closed forms, so that a rate is a function of the position and resuming needs no
 * history; plateau alone remembers. */
#include "plugin/train/schedule.h"
#include "plugin/train/range.h"
#include <math.h>
#include <string.h>

static const char *const names[HN_LR_KINDS] = { "constant",    "step",    "multistep",
                                                "exponential", "cosine",  "onecycle",
                                                "poly",        "plateau", "range" };

int hn_schedule_kind_of(const char *name)
{
    for (int i = 0; i < HN_LR_KINDS; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

const char *hn_schedule_name(enum hn_schedule_kind kind) { return names[kind]; }

void hn_schedule_init(struct hn_schedule *s, const struct hn_schedule_opts *opts)
{
    *s = (struct hn_schedule){ .opts = *opts,
                               .lr = opts->lr,
                               .swa_start = opts->swa_start,
                               .best = opts->maximize ? -HUGE_VAL : HUGE_VAL };
}

/* Half a cosine from `from` (share 0) to `to` (share 1). */
static double glide(double from, double to, double share)
{
    return to + (from - to) / 2 * (1 + cos(M_PI * share));
}

static double onecycle(const struct hn_schedule_opts *o, int64_t step)
{
    double total = (double)(o->epochs * o->steps_per_epoch), k = (double)step;
    double first = o->lr_max / 25, last = first / 1e4, peak = 0.3 * total - 1;
    if (k > total - 1) k = total - 1;
    if (k <= peak) return peak > 0 ? glide(first, o->lr_max, k / peak) : o->lr_max;
    return glide(o->lr_max, last, (k - peak) / (total - 1 - peak));
}

static int64_t milestones_passed(const struct hn_schedule_opts *o, int64_t epoch)
{
    int64_t n = 0;
    for (int i = 0; i < o->n_milestones; i++) n += o->milestones[i] <= epoch;
    return n;
}

static double floored(const struct hn_schedule_opts *o, double lr)
{
    double low = o->lr_min < o->lr ? o->lr_min : o->lr;
    return lr < low ? low : lr;
}

static double plain(const struct hn_schedule *s, int64_t epoch, int64_t step)
{
    const struct hn_schedule_opts *o = &s->opts;
    double share = o->epochs > 0 ? (double)epoch / (double)o->epochs : 0;
    if (share > 1) share = 1;
    switch (o->kind) {
    case HN_LR_STEP: return floored(o, o->lr * pow(o->gamma, (double)(epoch / o->step)));
    case HN_LR_MULTISTEP:
        return floored(o, o->lr * pow(o->gamma, (double)milestones_passed(o, epoch)));
    case HN_LR_EXPONENTIAL: return floored(o, o->lr * pow(o->gamma, (double)epoch));
    case HN_LR_COSINE: return glide(o->lr, o->lr_min, share);
    case HN_LR_POLY: return floored(o, o->lr * pow(1 - share, o->gamma));
    case HN_LR_ONECYCLE: return onecycle(o, step);
    case HN_LR_RANGE:
        return hn_range_rate(o->lr, o->lr_max, (int)step, (int)(o->epochs * o->steps_per_epoch));
    case HN_LR_PLATEAU: return s->lr;
    default: return o->lr;
    }
}

int64_t hn_swa_epoch(double start, int64_t epochs)
{
    if (!(start > 0)) return 0;
    return start < 1 ? (int64_t)floor(start * (double)epochs) + 1 : (int64_t)start;
}

int hn_schedule_averages(const struct hn_schedule *s, int64_t epoch)
{
    return s->swa_start > 0 && epoch + 1 >= s->swa_start;
}

static double rate(const struct hn_schedule *s, int64_t epoch, int64_t step)
{
    const struct hn_schedule_opts *o = &s->opts;
    int64_t first = s->swa_start - 1, past = epoch - first;
    if (!(o->swa_lr > 0) || !hn_schedule_averages(s, epoch)) return plain(s, epoch, step);
    if (past >= o->swa_anneal) return o->swa_lr;
    return glide(plain(s, first, first * o->steps_per_epoch), o->swa_lr,
                 (double)past / (double)o->swa_anneal);
}

double hn_schedule_lr(const struct hn_schedule *s, int64_t epoch, int64_t step)
{
    double lr = rate(s, epoch, step);
    if (step < s->opts.warmup) lr *= (double)(step + 1) / (double)s->opts.warmup;
    return lr;
}

static int improved(const struct hn_schedule *s, double v)
{
    double t = s->opts.threshold;
    return s->opts.maximize ? v > s->best * (1 + t) : v < s->best * (1 - t);
}

void hn_schedule_epoch_end(struct hn_schedule *s, int64_t epoch, double watched)
{
    const struct hn_schedule_opts *o = &s->opts;
    if (o->kind != HN_LR_PLATEAU || (o->swa_lr > 0 && hn_schedule_averages(s, epoch))) return;
    if (improved(s, watched)) {
        s->best = watched;
        s->bad = 0;
    } else {
        s->bad++;
    }
    if (s->resting > 0) {
        s->resting--;
        s->bad = 0;
    }
    if (s->bad <= o->patience) return;
    double next = s->lr * o->gamma;
    if (next < o->lr_min) next = o->lr_min;
    if (s->lr - next > 1e-8) s->lr = next;
    s->resting = o->cooldown;
    s->bad = 0;
}
