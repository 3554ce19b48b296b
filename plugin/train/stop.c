/* SPDX-License-Identifier: MIT
 *
 * When to stop: see stop.h. */
#include "plugin/train/stop.h"
#include <math.h>

const char *hn_stop_name(enum hn_stop_reason r)
{
    static const char *const names[] = { "running", "max_epochs", "patience",    "target",
                                         "time",    "diverged",   "interrupted", "callback" };
    return names[r];
}

void hn_stopper_init(struct hn_stopper *s, const struct hn_stopper_opts *opts)
{
    double worst = opts->maximize ? -HUGE_VAL : HUGE_VAL;
    *s = (struct hn_stopper){ .opts = *opts, .best = worst, .best_epoch = -1, .mark = worst };
}

int hn_stopper_see(struct hn_stopper *s, int64_t epoch, double watched)
{
    double sign = s->opts.maximize ? -1 : 1;
    if (sign * watched + s->opts.min_delta < sign * s->mark) {
        s->mark = watched;
        s->wait = 0;
    } else if (epoch > 0) {
        s->wait++;
    }
    if (!(sign * watched < sign * s->best)) return 0;
    s->best = watched;
    s->best_epoch = epoch;
    return 1;
}

enum hn_stop_reason hn_stopper_verdict(const struct hn_stopper *s, int64_t epoch,
                                       double target_value)
{
    const struct hn_stopper_opts *o = &s->opts;
    if (epoch >= o->min_epochs) {
        if (o->has_target &&
            (o->target_maximize ? target_value >= o->target : target_value <= o->target))
            return HN_STOP_TARGET;
        if (o->patience > 0 && s->wait >= o->patience) return HN_STOP_PATIENCE;
    }
    return epoch >= o->epochs ? HN_STOP_MAX_EPOCHS : HN_STOP_NONE;
}
