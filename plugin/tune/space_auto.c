/* SPDX-License-Identifier: MIT
 *
 * --space auto: what is worth searching for this model and these data, around what the model is. Learning rate and weight decay
 * on log scales; batch sizes that leave at least two steps an epoch; dropout where there are hidden layers; averaged weights
 * (--ema); and for a plain stack of them its depth (one less to one more), widths (a quarter to four times, no more than the wider of 1024 and what
 * there is) and activation. One width is searched where all layers have the same, else one a layer.
 * Lines of --search stand beside it, or for the axis of the same name. */
#include "ops/base/json.h"
#include "ops/base/status.h"
#include "plugin/data_open.h"
#include "plugin/tune/graph_knobs.h"
#include <math.h>
#include <string.h>

enum { MOST_SIZES = 5, WIDE = 1024 };

static hone_status add(struct hn_tune *t, const char *line, hone_error *err)
{
    return line ? hn_space_add(&t->space, line, NULL, err) : hn_nomem(err, "the space", 0);
}

/* The largest powers of two from 4 to 256 of which an epoch has two. */
static hone_status add_batch_size(struct hn_tune *t, hone_error *err)
{
    int64_t rows = hn_role_rows(&t->data->role[HONE_TRAIN]);
    int most = 256, least = 4;
    const char *line = "batch_size=";
    while (most > 4 && 2 * (int64_t)most > rows) most /= 2;
    while (most / least >= 1 << MOST_SIZES) least *= 2;
    if (most == least) return HONE_OK; /* nothing to choose from */
    for (int b = least; line && b <= most; b *= 2)
        line = hn_arena_printf(&t->arena, "%s%d%s", line, b, b < most ? "," : "");
    return add(t, line, err);
}

static const char *width_line(struct hn_tune *t, const char *name, int64_t w)
{
    int64_t low = w / 4 > 2 ? w / 4 : 2, high = 4 * w < WIDE ? 4 * w : w > WIDE ? w : WIDE;
    if (low > w) low = w;
    if (high <= low) high = low + 1;
    return hn_arena_printf(&t->arena, "%s=int:log:%lld..%lld", name, (long long)low,
                           (long long)high);
}

static hone_status add_widths(struct hn_tune *t, int deepest, hone_error *err)
{
    const struct hn_hidden_plan *p = &t->start_as;
    int same = 1;
    for (int i = 1; i < p->n; i++) same &= p->width[i] == p->width[0];
    if (same) return add(t, width_line(t, "hidden_units", p->width[0]), err);
    for (int i = 1; i <= deepest; i++) {
        const char *name = hn_arena_printf(&t->arena, "units_%d", i);
        if (!name) return hn_nomem(err, "the space", 0);
        HN_TRY(add(t, width_line(t, name, p->width[(i < p->n ? i : p->n) - 1]), err));
    }
    return HONE_OK;
}

static hone_status add_activation(struct hn_tune *t, hone_error *err)
{
    static const char *const usual[] = { "relu", "tanh", "silu" };
    const char *has = t->start_as.activation ? t->start_as.activation : t->hidden.activation;
    int among = !has || !strcmp(has, "linear");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        among |= has && !strcmp(has, usual[i]);
    return add(t,
               hn_arena_printf(&t->arena, "activation=%s%srelu,tanh,silu", among ? "" : has,
                               among ? "" : ","),
               err);
}

/* What the user has fixed is not searched, and a line of --search stands for itself. */
static int is_free(const struct hn_tune *t, const char *name)
{
    return !hone_params_is_set(t->params, name) && hn_space_find(&t->space, name) < 0;
}

/* One width a layer, by lines of --search? */
static int has_widths(const struct hn_tune *t)
{
    for (int i = 0; i < t->space.n; i++)
        if (hn_knob_layer(t->space.axes[i].name)) return 1;
    return 0;
}

static hone_status add_stack(struct hn_tune *t, hone_error *err)
{
    int n = t->start_as.n, low = n > 1 ? n - 1 : 1, high = n < HN_HIDDEN_MAX ? n + 1 : n;
    int depth = is_free(t, "hidden-layers") && hn_param_count(t->params, "hidden-units") < 2;
    if (depth)
        HN_TRY(add(t, hn_arena_printf(&t->arena, "hidden_layers=int:%d..%d", low, high), err));
    if (is_free(t, "hidden-units") && !has_widths(t))
        HN_TRY(add_widths(t, depth ? high : hn_knobs_most_layers(t), err));
    return is_free(t, "activation") ? add_activation(t, err) : HONE_OK;
}

/* Is there something between two Dense layers, where dropout can be? */
static int has_hidden(struct hn_tune *t)
{
    const struct hn_param_list *list;
    const struct hn_graph *g = hn_model_graph(t->model);
    int products = 0;
    if (t->hidden.n) return 1;
    list = hn_graph_params(g);
    for (size_t i = 0; i < list->n_uses; i++) {
        const struct hn_node *n = &g->nodes[list->uses[i].node];
        products += list->uses[i].input < 2 && hn_node_is_product(n);
    }
    return products > 1;
}

hone_status hn_knobs_auto(struct hn_tune *t, hone_error *err)
{
    if (is_free(t, "lr")) HN_TRY(add(t, "lr=log:1e-4..1e-1", err));
    if (is_free(t, "batch-size")) HN_TRY(add_batch_size(t, err));
    if (is_free(t, "weight-decay")) HN_TRY(add(t, "weight_decay=log:1e-6..1e-2", err));
    if (is_free(t, "dropout") && has_hidden(t)) HN_TRY(add(t, "dropout=0..0.5:step=0.1", err));
    if (is_free(t, "ema") && is_free(t, "swa-start")) HN_TRY(add(t, "ema=0,0.9,0.99", err));
    return t->hidden.n ? add_stack(t, err) : HONE_OK;
}

/* ---- telling --------------------------------------------------------------------------------------------------------------- */

static hone_status put_value(struct hn_sink *out, const struct hn_axis *a, double v,
                             hone_error *err)
{
    char text[32];
    const char *s = hn_axis_text(a, v, text);
    int quote = a->kind == HN_AXIS_CHOICE && a->choices[(int)v].type == HN_CHOICE_TEXT &&
                strspn(s, "abcdefghijklmnopqrstuvwxyz_") != strlen(s);
    return hn_sink_printf(out, err, quote ? "\"%s\"" : "%s", s);
}

static hone_status put_domain(struct hn_sink *out, const struct hn_axis *a, hone_error *err)
{
    static const char *const types[] = { "float", "int", "categorical" };
    char low[32], high[32], step[32];
    HN_TRY(hn_sink_printf(out, err, "{type: %s", types[a->kind]));
    if (a->kind == HN_AXIS_CHOICE) {
        for (int i = 0; i < a->n_choices; i++) {
            HN_TRY(hn_sink_str(out, i ? ", " : ", choices: [", err));
            HN_TRY(put_value(out, a, i, err));
        }
        return hn_sink_str(out, "]", err);
    }
    hn_format_double(low, a->low);
    hn_format_double(high, a->high);
    hn_format_double(step, a->step);
    HN_TRY(
        hn_sink_printf(out, err, ", low: %s, high: %s%s", low, high, a->log ? ", log: true" : ""));
    int said = a->step > 0 && !a->log && !(a->kind == HN_AXIS_INT && a->step == 1);
    return said ? hn_sink_printf(out, err, ", step: %s", step) : HONE_OK;
}

static hone_status put_whens(struct hn_sink *out, const struct hn_search_space *s,
                             const struct hn_axis *a, hone_error *err)
{
    for (int i = 0; i < a->n_whens; i++) {
        const struct hn_when *w = &a->whens[i];
        const struct hn_axis *up = &s->axes[w->parent];
        HN_TRY(hn_sink_printf(out, err, "%s%s: [", i ? ", " : ", when: {", up->name));
        for (int k = 0; k < w->n; k++) {
            if (k) HN_TRY(hn_sink_str(out, ", ", err));
            HN_TRY(put_value(out, up, w->values[k], err));
        }
        HN_TRY(hn_sink_str(out, "]", err));
    }
    return hn_sink_str(out, a->n_whens ? "}}" : "}", err);
}

hone_status hn_space_tell(struct hn_tune *t, hone_error *err)
{
    const struct hn_search_space *s = &t->space;
    struct hn_buffer line;
    hone_status st = HONE_OK;
    hn_buffer_init(&line, &t->ctx->mem);
    hn_log(t->ctx, HONE_LOG_NOTE, "# the search space, as --space FILE.yaml takes it:");
    for (int i = 0; i < s->n && st == HONE_OK; i++) {
        line.n = 0;
        st = hn_sink_printf(&line.sink, err, "%s: ", s->axes[i].name);
        if (st == HONE_OK) st = put_domain(&line.sink, &s->axes[i], err);
        if (st == HONE_OK) st = put_whens(&line.sink, s, &s->axes[i], err);
        if (st == HONE_OK) hn_log(t->ctx, HONE_LOG_NOTE, "%s", line.p);
    }
    hn_buffer_free(&line);
    return st;
}
