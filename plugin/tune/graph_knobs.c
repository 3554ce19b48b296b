/* SPDX-License-Identifier: MIT
 *
 * Graph knobs: see graph_knobs.h. */
#include "plugin/tune/graph_knobs.h"
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/data/data.h"
#include "plugin/model.h"
#include "plugin/train/init.h"
#include "plugin/tune/space_text.h"
#include "plugin/tune/study_open.h"
#include <math.h>
#include <string.h>

enum { MOST_UNITS = 1048576 };

static const struct hn_knob knobs[] = { { "hidden_units", HN_AXIS_INT, 1, MOST_UNITS, NULL },
                                        { "units_#", HN_AXIS_INT, 1, MOST_UNITS, NULL },
                                        { .name = NULL } };

int hn_knob_layer(const char *name)
{
    int64_t i;
    if (strncmp(name, "units", 5) != 0 || (name[5] != '_' && name[5] != '-')) return 0;
    return hn_parse_i64(name + 6, strlen(name + 6), &i) && i >= 1 && i <= INT32_MAX ? (int)i : 0;
}

static int rebuilds(const struct hn_search_space *s)
{
    int any = hn_space_find(s, "hidden_layers") >= 0 || hn_space_find(s, "hidden_units") >= 0 ||
              hn_space_find(s, "activation") >= 0;
    for (int i = 0; i < s->n && !any; i++) any = hn_knob_layer(s->axes[i].name) > 0;
    return any;
}

/* ---- conditions of units_i ---------------------------------------------------------------------------------------------- */

static int mentions(const struct hn_axis *a, const char *name)
{
    const char *p = strstr(a->conditions, name);
    return p && (p == a->conditions || p[-1] == '&');
}

/* "hidden_layers=2|3": the depths at which layer i is there; *all 1: every depth. */
static hone_status depths(const struct hn_axis *up, int layer, struct hn_buffer *out, int *all,
                          hone_error *err)
{
    char text[32];
    int64_t levels = hn_axis_levels(up);
    int any = 0;
    *all = 1;
    for (int64_t k = 0; k < levels; k++) {
        double at = hn_axis_level(up, k), v = at;
        struct hn_axis plain = { .kind = HN_AXIS_FLOAT };
        const char *value = hn_axis_text(up, at, text);
        if (!hn_axis_read(&plain, value, &v) || v < layer) {
            *all = 0;
            continue;
        }
        HN_TRY(hn_sink_printf(&out->sink, err, "%s%s", any++ ? "|" : "hidden_layers=", value));
    }
    return HONE_OK;
}

static hone_status link_axis(struct hn_search_space *s, struct hn_axis *a, int layer,
                             hone_error *err)
{
    const struct hn_axis *up = &s->axes[hn_space_find(s, "hidden_layers")];
    struct hn_buffer when;
    int all;
    hn_buffer_init(&when, s->arena.mem);
    hone_status st = depths(up, layer, &when, &all, err);
    if (st == HONE_OK && !when.n)
        st = hn_fail(err, HONE_E_USAGE, a->place, "%s: hidden_layers is never %d or more", a->name,
                     layer);
    if (st == HONE_OK && !all) {
        a->conditions =
            hn_arena_printf(&s->arena, "%s%s%s", a->conditions, *a->conditions ? "&" : "", when.p);
        if (!a->conditions) st = hn_nomem(err, "the conditions of a space", when.n);
    }
    hn_buffer_free(&when);
    return st;
}

hone_status hn_knobs_link(struct hn_search_space *s, hone_error *err)
{
    int depth = hn_space_find(s, "hidden_layers"), units = hn_space_find(s, "hidden_units");
    for (int i = 0; i < s->n; i++) {
        struct hn_axis *a = &s->axes[i];
        int layer = hn_knob_layer(a->name);
        if (!layer) continue;
        if (units >= 0)
            return hn_fail(err, HONE_E_USAGE, a->place,
                           "found %s together with hidden_units: wanted one width for all layers, "
                           "or one a layer",
                           a->name);
        if (layer > HN_HIDDEN_MAX)
            return hn_fail(err, HONE_E_USAGE, a->place, "%s: at most %d hidden layers are taken",
                           a->name, HN_HIDDEN_MAX);
        if (depth >= 0 && !mentions(a, "hidden_layers") && !mentions(a, "hidden-layers"))
            HN_TRY(link_axis(s, a, layer, err));
    }
    return HONE_OK;
}

/* ---- what the model has -------------------------------------------------------------------------------------------------- */

static hone_status look_at_model(struct hn_tune *t, hone_error *err)
{
    hone_status st = hn_hidden_look(t->model, t->base, &t->hidden, err);
    if (st == HONE_OK) st = hn_hidden_plan(&t->hidden, t->base, &t->start_as, err);
    if (st != HONE_OK) t->hidden.n = 0;
    return st;
}

/* The most hidden layers a trial can have. */
int hn_knobs_most_layers(const struct hn_tune *t)
{
    int i = hn_space_find(&t->space, "hidden_layers");
    if (i < 0) return t->start_as.n;
    const struct hn_axis *a = &t->space.axes[i];
    double most = 0;
    for (int k = 0; k < a->n_choices; k++) {
        struct hn_axis plain = { .kind = HN_AXIS_FLOAT };
        double v;
        if (hn_axis_read(&plain, a->choices[k].text, &v) && v > most) most = v;
    }
    return (int)(a->kind == HN_AXIS_CHOICE ? most : a->high);
}

static hone_status check_units(const struct hn_tune *t, const struct hn_axis *a, int layer,
                               hone_error *err)
{
    if (hn_param_count(t->base, "hidden-units"))
        return hn_fail(err, HONE_E_USAGE, a->place,
                       "found %s together with the fixed setting hidden-units", a->name);
    if (layer > hn_knobs_most_layers(t))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, a->place,
                               "%s: the model has %d hidden layers, and hidden_layers is not "
                               "searched",
                               a->name, t->start_as.n),
                       "hidden_layers: {type: int, low: 1, high: %d}", layer);
    return HONE_OK;
}

static hone_status check_init(const struct hn_axis *a, hone_error *err)
{
    enum hn_init kind;
    double std;
    for (int i = 0; i < a->n_choices; i++) {
        hone_status st = hn_init_parse(a->choices[i].text, &kind, &std, NULL);
        if (st != HONE_OK)
            return hn_fail(err, st, a->place,
                           "init: found '%s', wanted keep, fresh, he, xavier or normal=STD",
                           a->choices[i].text);
    }
    return HONE_OK;
}

static hone_status check(struct hn_tune *t, hone_error *err)
{
    struct hn_search_space *s = &t->space;
    int depth = hn_space_find(s, "hidden_layers"), freeze = hn_space_find(s, "freeze_layers"),
        init = hn_space_find(s, "init");
    if (init >= 0) HN_TRY(check_init(&s->axes[init], err));
    if (!t->hidden.n) return HONE_OK;
    if (depth >= 0 && hn_param_count(t->base, "hidden-units") > 1)
        return hn_fail(err, HONE_E_USAGE, s->axes[depth].place,
                       "hidden_layers is searched, and hidden-units is fixed with one number a "
                       "layer: wanted one number");
    for (int i = 0; i < s->n; i++) {
        int layer = hn_knob_layer(s->axes[i].name);
        if (layer) HN_TRY(check_units(t, &s->axes[i], layer, err));
    }
    if (freeze >= 0 && s->axes[freeze].kind == HN_AXIS_INT &&
        s->axes[freeze].high > hn_knobs_most_layers(t))
        return hn_fail(err, HONE_E_USAGE, s->axes[freeze].place,
                       "freeze_layers: found up to %g, there are at most %d hidden layers",
                       s->axes[freeze].high, hn_knobs_most_layers(t));
    return HONE_OK;
}

static hone_status no_space(const struct hn_tune *t, hone_error *err)
{
    if (hone_params_get(t->params, "setting", 0))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "space",
                               "found settings to try and nothing to search, wanted a space for "
                               "--sampler %s",
                               hn_param_s(t->params, "sampler")),
                       "--sampler manual tries these settings and no others");
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, "space", "found none, wanted what is to be searched"),
                   "--search lr=log:1e-4..1e-1, --space FILE.yaml, or --space auto");
}

static void tell_implied(const struct hn_tune *t, const struct hn_axis *a)
{
    const struct hn_when *w = &a->whens[a->n_whens - 1];
    const struct hn_axis *up = &t->space.axes[w->parent];
    char values[HN_AXIS_VALUES];
    hn_when_values(&t->space, w, values);
    hn_log(t->ctx, HONE_LOG_NOTE, "%s is searched where %s is %s: elsewhere it means nothing",
           a->name, up->name, values);
}

hone_status hn_knobs_space(struct hn_tune *t, hone_error *err)
{
    int given = 0, automatic = !strcmp(hn_param_s(t->params, "space"), "auto");
    hone_error why = { 0 };
    if (automatic) {
        if (look_at_model(t, &why) == HONE_E_NOMEM) return hn_nomem(err, "the space", 0);
        if (!t->hidden.n)
            hn_log(t->ctx, HONE_LOG_NOTE, "the hidden layers stay as they are: %s%s%s", why.where,
                   why.where[0] ? ": " : "", why.text);
        HN_TRY(hn_space_of_lines(t->params, &t->space, err));
        HN_TRY(hn_knobs_auto(t, err));
    }
    HN_TRY(hn_space_of_params(t->params, knobs, &t->space, &given, err));
    if (!given) return no_space(t, err);
    if (rebuilds(&t->space))
        HN_TRY(look_at_model(t, err));
    else if (hn_space_find(&t->space, "freeze_layers") >= 0)
        (void)look_at_model(t, NULL); /* for its bounds, if it is a plain stack */
    HN_TRY(check(t, err));
    for (int i = 0; i < t->space.n; i++)
        if (t->space.axes[i].implied) tell_implied(t, &t->space.axes[i]);
    return automatic ? hn_space_tell(t, err) : HONE_OK;
}

/* ---- values ---------------------------------------------------------------------------------------------------------------- */

static const char *number_text(struct hn_tune *t, int64_t v)
{
    const char *text = hn_arena_printf(&t->arena, "%lld", (long long)v);
    return text ? text : "";
}

/* The rate of the graph's Dropout nodes: 0 when it has none, -1 when it is not one number. */
static double dropout_rate(hone_model *m)
{
    const struct hn_graph *g = hn_model_graph(m);
    double found = 0;
    int any = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[i];
        if (strcmp(n->type, "Dropout") != 0) continue;
        double rate = 0.5;
        const struct hn_tensor *t =
            n->n_in > 1 && n->in[1] >= 0 ? g->values[n->in[1]].constant : NULL;
        for (int k = 0; k < n->n_attrs; k++)
            if (!strcmp(n->attrs[k].name, "ratio")) rate = (double)n->attrs[k].f;
        if (t && t->n == 1) rate = hn_tensor_f64(t, 0);
        if (any++ && rate != found) return -1;
        found = rate;
    }
    return found;
}

static const char *default_dropout(struct hn_tune *t)
{
    char text[32];
    double rate = dropout_rate(t->model);
    if (hone_params_is_set(t->base, "dropout")) return NULL;
    if (rate < 0) return "";
    hn_format_double(text, round(rate * 1e6) / 1e6);
    const char *kept = hn_arena_strdup(&t->arena, text);
    return kept ? kept : "";
}

const char *hn_knobs_default(struct hn_tune *t, const char *name)
{
    const struct hn_hidden_plan *p = &t->start_as;
    int layer = hn_knob_layer(name), at = hn_space_find(&t->space, name);
    if (!strcmp(name, "dropout")) return default_dropout(t);
    if (layer) return layer <= p->n ? number_text(t, p->width[layer - 1]) : "";
    if (at < 0 || !t->hidden.n) return NULL;
    if (at == hn_space_find(&t->space, "hidden_layers")) return number_text(t, p->n);
    if (at == hn_space_find(&t->space, "activation"))
        return p->activation ? p->activation : t->hidden.activation ? t->hidden.activation : "keep";
    if (at != hn_space_find(&t->space, "hidden_units")) return NULL;
    for (int i = 1; i < p->n; i++)
        if (p->width[i] != p->width[0]) return "";
    return number_text(t, p->width[0]);
}

/* How wide layer i (from 0) is in this trial. */
static int64_t width(const struct hn_tune *t, const struct hn_trial *trial, int i)
{
    const struct hn_hidden_plan *p = &t->start_as;
    for (int k = 0; k < t->space.n; k++) {
        const struct hn_axis *a = &t->space.axes[k];
        double v = trial->x[k];
        if (hn_knob_layer(a->name) != i + 1 || isnan(v)) continue;
        char text[32];
        struct hn_axis plain = { .kind = HN_AXIS_FLOAT };
        if (a->kind == HN_AXIS_CHOICE && !hn_axis_read(&plain, hn_axis_text(a, v, text), &v)) break;
        return (int64_t)v;
    }
    return p->width[i < p->n ? i : p->n - 1];
}

static hone_status set_units(struct hn_tune *t, const struct hn_trial *trial, hone_params *p,
                             int layers, hone_error *err)
{
    char text[32];
    HN_TRY(hone_params_set(p, "hidden-units", NULL, err));
    for (int i = 0; i < layers; i++) {
        hn_format_double(text, (double)width(t, trial, i));
        HN_TRY(hone_params_set(p, "hidden-units", text, err));
    }
    return HONE_OK;
}

hone_status hn_knobs_settings(struct hn_tune *t, const struct hn_trial *trial, hone_params *p,
                              hone_error *err)
{
    char text[32];
    int any = 0;
    if (!t->hidden.n) return HONE_OK;
    int64_t asked = hn_param_i(p, "hidden-layers");
    int layers = asked ? (int)asked : t->start_as.n;
    for (int i = 0; i < t->space.n; i++) any |= hn_knob_layer(t->space.axes[i].name) > 0;
    if (any && layers) HN_TRY(set_units(t, trial, p, layers, err));
    if (hn_space_find(&t->space, "freeze_layers") < 0 || hn_param_i(p, "freeze-layers") <= layers)
        return HONE_OK;
    hn_format_double(text, layers);
    return hone_params_set(p, "freeze-layers", text, err);
}
