/* SPDX-License-Identifier: MIT
 *
 * Optuna's journal file (JournalStorage): a JSON object a line, applied in order. Ids are the order of creation. A study is
 * op 0 and its attributes op 2; a trial is one op 4 with all it has. Numbers of states, directions and ops are Optuna's. */
#include "ops/base/json.h"
#include "plugin/tune/export.h"
#include <math.h>
#include <string.h>

static const char worker[] = "\"worker_id\": \"hone\"";
static const int states[] = { [HN_TRIAL_WAITING] = 4,
                              [HN_TRIAL_RUNNING] = 0,
                              [HN_TRIAL_DONE] = 1,
                              [HN_TRIAL_PRUNED] = 2,
                              [HN_TRIAL_FAILED] = 3 };

/* A number as Python's json reads it. */
static hone_status put_number(struct hn_sink *to, double v, hone_error *err)
{
    char text[33];
    hn_format_double(text, v);
    return hn_sink_str(to,
                       isnan(v)   ? "NaN"
                       : isinf(v) ? v < 0 ? "-Infinity" : "Infinity"
                                  : text,
                       err);
}

static hone_status put_string(struct hn_buffer *to, const char *text, hone_error *err)
{
    struct hn_json j;
    hn_json_begin(&j, &to->sink, 0, err);
    hn_json_string(&j, NULL, text);
    return hn_json_end(&j);
}

static hone_status put_time(struct hn_buffer *to, const char *key, const char *utc, hone_error *err)
{
    if (!utc) return hn_sink_printf(&to->sink, err, ", \"%s\": null", key);
    return hn_sink_printf(&to->sink, err, ", \"%s\": \"%.10sT%s+00:00\"", key, utc, utc + 11);
}

static hone_status put_params(struct hn_buffer *to, const struct hn_out_trial *t, hone_error *err)
{
    struct hn_sink *s = &to->sink;
    HN_TRY(hn_sink_str(s, ", \"params\": {", err));
    for (size_t i = 0; i < t->n_params; i++) {
        if (i) HN_TRY(hn_sink_str(s, ", ", err));
        HN_TRY(put_string(to, t->params[i].name, err));
        HN_TRY(hn_sink_str(s, ": ", err));
        HN_TRY(put_number(s, t->params[i].value, err));
    }
    HN_TRY(hn_sink_str(s, "}, \"distributions\": {", err));
    for (size_t i = 0; i < t->n_params; i++) {
        if (i) HN_TRY(hn_sink_str(s, ", ", err));
        HN_TRY(put_string(to, t->params[i].name, err));
        HN_TRY(hn_sink_str(s, ": ", err));
        HN_TRY(put_string(to, t->params[i].distribution, err));
    }
    return hn_sink_str(s, "}", err);
}

static hone_status put_rest(struct hn_buffer *to, const struct hn_out_trial *t, hone_error *err)
{
    struct hn_sink *s = &to->sink;
    HN_TRY(hn_sink_str(s, ", \"user_attrs\": {", err));
    for (size_t i = 0; i < t->n_attrs; i++)
        HN_TRY(hn_sink_printf(s, err, "%s\"%s\": %s", i ? ", " : "", t->attrs[i].key,
                              t->attrs[i].json));
    HN_TRY(hn_sink_str(s, "}, \"system_attrs\": {", err));
    if (t->state == HN_TRIAL_WAITING)
        HN_TRY(hn_sink_printf(s, err, "\"fixed_params\": %s", t->fixed));
    HN_TRY(hn_sink_str(s, "}, \"intermediate_values\": {", err));
    for (size_t i = 0; i < t->n_steps; i++) {
        HN_TRY(hn_sink_printf(s, err, "%s\"%zu\": ", i ? ", " : "", i + 1));
        HN_TRY(put_number(s, t->steps[i], err));
    }
    return hn_sink_str(s, "}", err);
}

static hone_status put_trial(struct hn_buffer *to, const struct hn_out_trial *t, hone_error *err)
{
    struct hn_sink *s = &to->sink;
    HN_TRY(hn_sink_printf(s, err, "{\"op_code\": 4, %s, \"study_id\": 0, \"state\": %d", worker,
                          states[t->state]));
    HN_TRY(put_time(to, "datetime_start", t->started, err));
    if (t->finished) HN_TRY(put_time(to, "datetime_complete", t->finished, err));
    HN_TRY(hn_sink_str(s, ", \"value\": ", err));
    HN_TRY(isnan(t->value) ? hn_sink_str(s, "null", err) : put_number(s, t->value, err));
    HN_TRY(put_params(to, t, err));
    HN_TRY(put_rest(to, t, err));
    return hn_sink_str(s, "}\n", err);
}

hone_status hn_out_journal(const struct hn_out_study *s, struct hn_buffer *out, hone_error *err)
{
    HN_TRY(hn_sink_printf(&out->sink, err, "{\"op_code\": 0, %s, \"study_name\": ", worker));
    HN_TRY(put_string(out, s->name, err));
    HN_TRY(hn_sink_printf(&out->sink, err, ", \"directions\": [%d]}\n", s->maximize ? 2 : 1));
    for (size_t i = 0; i < s->n_attrs; i++)
        HN_TRY(hn_sink_printf(
            &out->sink, err, "{\"op_code\": 2, %s, \"study_id\": 0, \"user_attr\": {\"%s\": %s}}\n",
            worker, s->attrs[i].key, s->attrs[i].json));
    for (size_t i = 0; i < s->n; i++) HN_TRY(put_trial(out, &s->trials[i], err));
    return HONE_OK;
}
