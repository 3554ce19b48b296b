/* SPDX-License-Identifier: MIT
 *
 * What the loss of each row is multiplied by: --sample-weights, --class-weights, or their product. The loss of any set of rows
 * is sum(w l) / sum(w), a batch's, an epoch's and an evaluation's, as that of PyTorch's CrossEntropyLoss(weight=...) and of
 * scikit-learn's estimators that are given sample_weight. "balanced" is scikit-learn's compute_class_weight: n / (C n_c), over
 * the training rows of this session, each counted once whatever its weight, with the C classes that occur; one that does not
 * occur has weight 1. Metrics are counts of rows and have no weights. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

/* ---- which target has classes ---------------------------------------------------------------------------------------------- */

static int learns_classes(const struct hn_target *g)
{
    return g->loss == HN_LOSS_CE || g->loss == HN_LOSS_NLL || g->loss == HN_LOSS_BCE;
}

static hone_status no_classes(const struct hn_target *g, hone_error *err)
{
    if (!learns_classes(g))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "class-weights",
                               "output '%s' learns numbers, wanted classes", g->output_name),
                       "--sample-weights COLUMN weighs rows of any kind");
    if (g->loss == HN_LOSS_BCE && g->per_row > 1)
        return hn_fail(err, HONE_E_USAGE, "class-weights",
                       "output '%s' has %lld values of 0 or 1 a row, wanted one class a row",
                       g->output_name, (long long)g->per_row);
    if (g->places > 1)
        return hn_fail(err, HONE_E_USAGE, "class-weights",
                       "output '%s' has %lld places with a class each, wanted one class a row",
                       g->output_name, (long long)g->places);
    return hn_fail(err, HONE_E_USAGE, "class-weights",
                   "the targets of output '%s' are probabilities, wanted one class a row",
                   g->output_name);
}

static hone_status find_target(struct hn_session *s, int *out, hone_error *err)
{
    int n = 0;
    for (int t = 0; t < s->n_targets; t++)
        if (learns_classes(&s->targets[t])) *out = t, n++;
    if (n > 1)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, "class-weights",
                               "%d outputs learn classes, wanted one that the weights are for", n),
                       "--sample-weights COLUMN weighs rows for all outputs");
    if (!n) *out = 0;
    const struct hn_target *g = &s->targets[*out];
    return n && !g->dense && g->n_classes && g->places == 1 ? HONE_OK : no_classes(g, err);
}

/* ---- weights of classes ---------------------------------------------------------------------------------------------------- */

/* "good: 1, bad: 5"; of many classes the first ones. */
static const char *list_classes(struct hn_session *s, int with_weights)
{
    enum { SHOWN = 12 };
    const struct hn_class_weights *c = &s->class_weights;
    const char *text = "";
    for (int64_t i = 0; i < c->n && i < SHOWN && text; i++) {
        text = hn_arena_printf(&s->arena, "%s%s%.40s", text, i ? ", " : "", c->names[i]);
        if (text && with_weights) text = hn_arena_printf(&s->arena, "%s: %.6g", text, c->w[i]);
    }
    if (text && c->n > SHOWN)
        text = hn_arena_printf(&s->arena, "%s, ... (%lld)", text, (long long)c->n);
    return text ? text : "";
}

static hone_status name_classes(struct hn_session *s, const struct hn_classes *list, int64_t n,
                                hone_error *err)
{
    const char **names = hn_arena_alloc(&s->arena, (size_t)n, sizeof *names);
    double *w = hn_arena_alloc(&s->arena, (size_t)n, sizeof *w);
    if (!names || !w) return hn_nomem(err, "the class weights", (size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; i++) {
        names[i] = i < list->n ? hn_arena_strdup(&s->arena, list->text[i])
                               : hn_arena_printf(&s->arena, "%lld", (long long)i);
        if (!names[i]) return hn_nomem(err, "the class weights", 32);
        w[i] = 1;
    }
    s->class_weights = (struct hn_class_weights){ .n = n, .w = w, .names = names };
    return HONE_OK;
}

static void balance(struct hn_session *s, const int32_t *labels)
{
    struct hn_class_weights *c = &s->class_weights;
    const struct hn_rows *rows = &s->rows[HONE_TRAIN];
    int64_t occur = 0;
    for (int64_t i = 0; i < c->n; i++) c->w[i] = 0;
    for (int64_t i = 0; i < rows->n; i++) c->w[labels[rows->rows[i]]]++;
    for (int64_t i = 0; i < c->n; i++) occur += c->w[i] > 0;
    for (int64_t i = 0; i < c->n; i++)
        c->w[i] = c->w[i] > 0 ? (double)rows->n / ((double)occur * c->w[i]) : 1;
    c->balanced = 1;
}

static hone_status read_numbers(struct hn_session *s, size_t n, hone_error *err)
{
    struct hn_class_weights *c = &s->class_weights;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = hone_params_get(s->params, "class-weights", i);
        double v;
        if (!hn_parse_double(text, strlen(text), &v) || !(v >= 0) || !isfinite((float)v))
            return hn_fail(err, HONE_E_USAGE, "class-weights",
                           "found '%s', wanted balanced, or numbers, 0 or more", text);
        if (i < (size_t)c->n) sum += c->w[i] = v;
    }
    if (n != (size_t)c->n)
        return hn_fail(err, HONE_E_USAGE, "class-weights",
                       "found %zu, wanted %lld, one a class: %s", n, (long long)c->n,
                       list_classes(s, 0));
    if (!(sum > 0))
        return hn_fail(err, HONE_E_USAGE, "class-weights", "all are 0, wanted one above 0");
    return HONE_OK;
}

static hone_status weigh_classes(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    size_t n = hn_param_count(s->params, "class-weights");
    int t = 0;
    if (!n) return HONE_OK;
    HN_TRY(find_target(s, &t, err));
    HN_TRY(name_classes(s, &own->classes[t], s->targets[t].n_classes, err));
    s->class_weights.target = t;
    if (n == 1 && !strcmp(hn_param_s(s->params, "class-weights"), "balanced"))
        balance(s, own->labels[HONE_TRAIN][t].data);
    else
        HN_TRY(read_numbers(s, n, err));
    if (own->use != HN_USE_JUDGE) hn_class_weights_say(s, "");
    return HONE_OK;
}

void hn_class_weights_say(struct hn_session *s, const char *remark)
{
    if (s->class_weights.n)
        hn_log(s->ctx, HONE_LOG_NOTE, "class weights%s: %s%s",
               s->class_weights.balanced ? " (balanced)" : "", list_classes(s, 1), remark);
}

/* ---- weights of rows ------------------------------------------------------------------------------------------------------- */

/* Those that were opened serve as they are where they are not multiplied. */
static hone_status weigh_rows(struct hn_session *s, int role, int t, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[role];
    const struct hn_class_weights *c = &s->class_weights;
    int64_t n = hn_role_rows(r);
    const int32_t *labels = c->n && c->target == t ? own->labels[role][t].data : NULL;
    if (r->weight.rows && !labels) return HONE_OK;
    double *w = own->weights[role][t] = hn_alloc(&s->ctx->mem, (size_t)n * sizeof *w);
    if (!w) return hn_nomem(err, "the weights of the rows", (size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; i++) {
        w[i] = r->weight.rows ? hn_array_at(&r->weight, i, 0) : 1;
        if (labels) w[i] *= c->w[labels[i]];
    }
    return HONE_OK;
}

struct hn_column hn_session_weight_column(const struct hn_session *s, int role, int t)
{
    const struct hn_own *own = s->own;
    const struct hn_array *given = &own->data->role[role].weight;
    const double *made = own->weights[role][t];
    return made ? (struct hn_column){ made, HN_F64, 1, 1 }
                : (struct hn_column){ given->data, given->dtype, 1, 1 };
}

/* Do the training rows weigh anything, in the type they are computed in? */
static hone_status refuse_nothing(const struct hn_session *s, int t, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_rows *rows = &s->rows[HONE_TRAIN];
    const struct hn_column c = hn_session_weight_column(s, s->set_of[HONE_TRAIN], t);
    const size_t elem = hn_dtype_size(hn_model_graph(s->model)->dtype);
    for (int64_t i = 0; i < rows->n; i++) {
        double wide = 0;
        float narrow = 0;
        hn_column_gather(&c, rows->rows + i, 1, elem, elem == 8 ? (void *)&wide : &narrow);
        if (wide > 0 || narrow > 0) return HONE_OK;
    }
    if (!rows->n) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, own->data->role[HONE_TRAIN].x[0].a.source,
                   "all %lld rows to %s have weight 0, wanted one above 0", (long long)rows->n,
                   own->use == HN_USE_EVAL ? "evaluate" : "train on");
}

hone_status hn_session_weights(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    int sampled = 0, column = 0;
    for (int role = 0; role < 3; role++) sampled |= own->data->role[role].weight.rows > 0;
    HN_TRY(weigh_classes(s, err));
    for (int t = 0; t < s->n_targets; t++) {
        int weighted = sampled || (s->class_weights.n && s->class_weights.target == t);
        own->specs[t].row_weights = weighted;
        s->targets[t].column = column;
        column += 1 + weighted;
        for (int role = 0; role < 3 && weighted; role++)
            if (s->rows[role].n && s->set_of[role] == role && own->data->role[role].n_x)
                HN_TRY(weigh_rows(s, role, t, err));
        if (weighted) HN_TRY(refuse_nothing(s, t, err));
    }
    return HONE_OK;
}

hone_status hn_class_weights_copy(const struct hn_class_weights *c, struct hn_arena *a,
                                  struct hn_class_weights *out, hone_error *err)
{
    const size_t n = (size_t)c->n;
    const char **names = hn_arena_alloc(a, n + 1, sizeof *names);
    double *w = hn_arena_alloc(a, n + 1, sizeof *w);
    if (!names || !w) return hn_nomem(err, "the class weights", n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        w[i] = c->w[i];
        if (!(names[i] = hn_arena_strdup(a, c->names[i])))
            return hn_nomem(err, "the class weights", 32);
    }
    *out = *c;
    out->w = w, out->names = names;
    return HONE_OK;
}

void hn_class_weights_result(hone_result *r, const struct hn_class_weights *c)
{
    if (!c->n) return;
    hn_result_array(r, "class_weights");
    for (int64_t i = 0; i < c->n; i++) {
        hn_result_object(r, NULL);
        hn_result_string(r, "class", c->names[i]);
        hn_result_double(r, "weight", c->w[i]);
        hn_result_close(r);
    }
    hn_result_close(r);
}
