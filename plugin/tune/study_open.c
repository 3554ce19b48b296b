/* SPDX-License-Identifier: MIT
 *
 * A study from parameters; see study_open.h. */
#include "plugin/tune/study_open.h"
#include "ops/base/json.h"
#include "plugin/tune/graph_knobs.h"
#include <math.h>
#include <string.h>

/* ---- the space ------------------------------------------------------------------------------------------------------ */

/* [p, p + n) is in the list "a,b,c"? */
static int listed(const struct hn_buffer *list, const char *p, size_t n)
{
    for (const char *c = list->n ? list->p : ""; *c;) {
        size_t len = strcspn(c, ",");
        if (len == n && !memcmp(c, p, n)) return 1;
        c += len + (c[len] == ',');
    }
    return 0;
}

/* Without blanks around it. */
static const char *trim(const char *p, size_t *n)
{
    while (*n && *p == ' ') p++, --*n;
    while (*n && p[*n - 1] == ' ') --*n;
    return p;
}

/* All values that the settings give to one name, in order, as a list. */
static hone_status values_of(const hone_params *p, const char *name, size_t len,
                             struct hn_buffer *list, hone_error *err)
{
    const char *text;
    for (size_t i = 0; (text = hone_params_get(p, "setting", i)); i++)
        for (const char *c = text; *c;) {
            size_t n = strcspn(c, ","), key = strcspn(c, "="), value = n > key ? n - key - 1 : 0;
            const char *k = trim(c, &key), *v = c + n - value;
            v = trim(v, &value);
            if (key == len && !memcmp(k, name, len) && value && !listed(list, v, value))
                HN_TRY(
                    hn_sink_printf(&list->sink, err, "%s%.*s", list->n ? "," : "", (int)value, v));
            c += n + (c[n] == ',');
        }
    return HONE_OK;
}

static hone_status add_name(const hone_params *p, const char *name, size_t len,
                            struct hn_search_space *space, hone_error *err)
{
    struct hn_buffer list, line;
    hn_buffer_init(&list, space->arena.mem);
    hn_buffer_init(&line, space->arena.mem);
    hone_status st = values_of(p, name, len, &list, err);
    if (st == HONE_OK)
        st =
            hn_sink_printf(&line.sink, err, "%.*s=choice:%s", (int)len, name, list.n ? list.p : "");
    if (st == HONE_OK) st = hn_space_add(space, line.p, NULL, err);
    hn_buffer_free(&list);
    hn_buffer_free(&line);
    return st;
}

static int has_name(const struct hn_search_space *s, const char *name, size_t len)
{
    for (int i = 0; i < s->n; i++)
        if (strlen(s->axes[i].name) == len && !memcmp(s->axes[i].name, name, len)) return 1;
    return 0;
}

/* Each name in the settings is an axis of choices. */
static hone_status space_of_settings(const hone_params *p, struct hn_search_space *space,
                                     hone_error *err)
{
    const char *text;
    for (size_t i = 0; (text = hone_params_get(p, "setting", i)); i++)
        for (const char *c = text; *c;) {
            size_t n = strcspn(c, ","), key = strcspn(c, "=");
            if (key >= n)
                return hn_fail(err, HONE_E_USAGE, "setting", "found '%.*s', wanted NAME=VALUE",
                               (int)n, c);
            const char *k = trim(c, &key);
            if (!has_name(space, k, key)) HN_TRY(add_name(p, k, key, space, err));
            c += n + (c[n] == ',');
        }
    return HONE_OK;
}

/* What a parameter of the table has that is not searched. */
static const char *fixed_value(void *user, const char *name)
{
    return hone_params_get(user, name, 0);
}

hone_status hn_space_of_lines(const hone_params *p, struct hn_search_space *space, hone_error *err)
{
    const char *line;
    for (size_t i = 0; (line = hone_params_get(p, "search", i)); i++)
        HN_TRY(hn_space_add(space, line, NULL, err));
    return HONE_OK;
}

hone_status hn_space_of_params(const hone_params *p, const struct hn_knob *knobs,
                               struct hn_search_space *space, int *given, hone_error *err)
{
    if (!space->n) HN_TRY(hn_space_of_lines(p, space, err));
    const int listed = !space->n;
    if (listed && !strcmp(hn_param_s(p, "sampler"), "manual"))
        HN_TRY(space_of_settings(p, space, err));
    *given = space->n > 0;
    if (!*given) return HONE_OK;
    if (knobs) HN_TRY(hn_space_check_names(space, knobs, err));
    if (knobs) HN_TRY(hn_knobs_link(space, err));
    if (knobs) HN_TRY(hn_space_fix(space, fixed_value, (void *)(uintptr_t)p, err));
    if (knobs) HN_TRY(hn_space_company(space, p, listed, err));
    return hn_space_finish(space, err);
}

/* ---- settings --------------------------------------------------------------------------------------------------------- */

static int position(const char *const *words, const char *word)
{
    int i = 0;
    while (words[i] && strcmp(words[i], word) != 0) i++;
    return i;
}

hone_status hn_study_opts_of_params(const hone_params *p, struct hn_study_opts *o, hone_error *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } kept[] = { { "sampler", HN_KEEP_SAMPLER },
                 { "acquisition", HN_KEEP_ACQUISITION },
                 { "startup", HN_KEEP_STARTUP },
                 { "seed", HN_KEEP_SEED },
                 { "direction", HN_KEEP_DIRECTION } };
    int kind = position(hn_sampler_names, hn_param_s(p, "sampler"));
    int acquisition = position(hn_acquisition_names, hn_param_s(p, "acquisition"));
    if (kind == HN_SAMPLERS || acquisition == HN_ACQUISITIONS)
        return hn_fail(err, HONE_E_INTERNAL, "sampler", "'%s' with '%s' has no number",
                       hn_param_s(p, "sampler"), hn_param_s(p, "acquisition"));
    o->trials = hn_param_i(p, "trials");
    o->sampler = (struct hn_sampler_opts){ .kind = (enum hn_sampler_kind)kind,
                                           .acquisition = (enum hn_acquisition)acquisition,
                                           .seed = (uint64_t)hn_param_i(p, "seed"),
                                           .startup = (int)hn_param_i(p, "startup"),
                                           .limit = (uint64_t)o->trials };
    o->maximize = !strcmp(hn_param_s(p, "direction"), "maximize");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!hone_params_is_set(p, kept[i].name)) o->keep |= kept[i].bit;
    return HONE_OK;
}

hone_status hn_settings_check(const hone_params *p, const struct hn_search_space *space,
                              hone_error *err)
{
    struct hn_mem *mem = space->arena.mem;
    const size_t bytes = (size_t)space->n * sizeof(double);
    const char *text;
    hone_status st = HONE_OK;
    double *x = hn_alloc(mem, bytes + 1);
    if (!x) return hn_nomem(err, "a setting", bytes);
    for (size_t i = 0; st == HONE_OK && (text = hone_params_get(p, "setting", i)); i++)
        st = hn_space_setting(space, text, x, err);
    hn_free(mem, x);
    return st;
}

hone_status hn_study_enqueue_settings(struct hn_study *s, const hone_params *p, hone_error *err)
{
    const struct hn_search_space *space = hn_study_space(s);
    int manual = hn_study_settings(s)->sampler.kind == HN_SAMPLER_MANUAL;
    size_t n = (size_t)space->n;
    const char *text;
    hone_status st = HONE_OK;
    if (!hone_params_get(p, "setting", 0)) return HONE_OK;
    HN_TRY(hn_settings_check(p, space, err));
    struct hn_mem *mem = space->arena.mem;
    double *x = hn_alloc(mem, 2 * n * sizeof *x), *y = x + n;
    if (!x) return hn_nomem(err, "a setting", 2 * n * sizeof *x);
    for (size_t i = 0; st == HONE_OK && (text = hone_params_get(p, "setting", i)); i++) {
        st = hn_space_setting(space, text, x, err);
        memcpy(y, x, n * sizeof *x);
        hn_space_settle(space,
                        y); /* what is left out; what was said stays, also outside the bounds */
        for (size_t a = 0; a < n && !manual; a++)
            if (isnan(x[a]) || isnan(y[a])) x[a] = y[a];
        if (st == HONE_OK) st = hn_study_enqueue(s, x, "setting", HN_ENQUEUE_NEW, err);
    }
    hn_free(mem, x);
    return st;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

static void put_choice(hone_result *r, const char *name, const struct hn_choice *c)
{
    size_t n = strlen(c->text);
    int64_t i = 0;
    double d = 0;
    if (c->type == HN_CHOICE_BOOL)
        hn_result_bool(r, name, c->text[0] == 't');
    else if (c->type == HN_CHOICE_INT && hn_parse_i64(c->text, n, &i))
        hn_result_int(r, name, i);
    else if (c->type == HN_CHOICE_FLOAT && hn_parse_double(c->text, n, &d))
        hn_result_double(r, name, d);
    else
        hn_result_string(r, name, c->text);
}

void hn_result_settings(hone_result *r, const struct hn_search_space *space, const double *x)
{
    for (int i = 0; i < space->n; i++) {
        const struct hn_axis *a = &space->axes[i];
        if (isnan(x[i])) continue;
        if (a->kind == HN_AXIS_CHOICE)
            put_choice(r, a->name, &a->choices[(int)x[i]]);
        else if (a->kind == HN_AXIS_INT)
            hn_result_int(r, a->name, (int64_t)x[i]);
        else
            hn_result_double(r, a->name, x[i]);
    }
}

/* As it is written in --space FILE.yaml. */
static void put_axis(hone_result *r, const struct hn_search_space *space, const struct hn_axis *a)
{
    static const char *const types[] = { "float", "int", "categorical" };
    hn_result_object(r, a->name);
    hn_result_string(r, "type", types[a->kind]);
    if (a->kind == HN_AXIS_CHOICE) {
        hn_result_array(r, "choices");
        for (int i = 0; i < a->n_choices; i++) put_choice(r, NULL, &a->choices[i]);
        hn_result_close(r);
    } else {
        hn_result_double(r, "low", a->low);
        hn_result_double(r, "high", a->high);
        if (a->log) hn_result_bool(r, "log", 1);
        if (a->step > 0 && !a->log) hn_result_double(r, "step", a->step);
    }
    if (a->n_whens) hn_result_object(r, "when");
    for (int i = 0; i < a->n_whens; i++) {
        const struct hn_axis *parent = &space->axes[a->whens[i].parent];
        hn_result_array(r, parent->name);
        for (int k = 0; k < a->whens[i].n; k++) {
            double v = a->whens[i].values[k];
            if (parent->kind == HN_AXIS_CHOICE)
                put_choice(r, NULL, &parent->choices[(int)v]);
            else
                hn_result_double(r, NULL, v);
        }
        hn_result_close(r);
    }
    if (a->n_whens) hn_result_close(r);
    hn_result_close(r);
}

void hn_result_space(hone_result *r, const struct hn_search_space *space)
{
    hn_result_object(r, "space");
    for (int i = 0; i < space->n; i++) put_axis(r, space, &space->axes[i]);
    hn_result_close(r);
}
