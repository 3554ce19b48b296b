/* SPDX-License-Identifier: MIT
 *
 * Targets of a session: which outputs learn, with which loss, from which arrays. --loss auto: a Softmax or LogSoftmax tail
 * or integer labels with several outputs mean cross-entropy; a Sigmoid tail, or two classes on one output, binary
 * cross-entropy; else the mean squared error. Before all that, auto is the loss that an earlier training has left in the file
 * (metadata hone.loss), where that could take these targets. Class labels become class numbers in the model's own order where
 * it has one. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = { "ce", "bce", "nll", "mse", "mae", "huber" };

struct asked {          /* one --loss item */
    const char *output; /* NULL: the only one */
    size_t n_output;
    int kind; /* -1 auto */
    double weight;
};

static hone_status parse_loss(const char *text, struct asked *a, hone_error *err)
{
    const char *eq = strrchr(text, '='), *kind = eq ? eq + 1 : text;
    const char *colon = strchr(kind, ':');
    size_t n = colon ? (size_t)(colon - kind) : strlen(kind);
    *a = (struct asked){ .output = eq ? text : NULL,
                         .n_output = eq ? (size_t)(eq - text) : 0,
                         .kind = -2,
                         .weight = 1 };
    if (n == 4 && !memcmp(kind, "auto", 4)) a->kind = -1;
    for (int i = 0; i < 6; i++)
        if (strlen(kind_names[i]) == n && !memcmp(kind, kind_names[i], n)) a->kind = i;
    if (a->kind == -2)
        return hn_fail(err, HONE_E_USAGE, "loss",
                       "found '%s', wanted [OUTPUT=]auto|ce|bce|nll|mse|mae|huber[:weight]", text);
    if (colon && (!hn_parse_double(colon + 1, strlen(colon + 1), &a->weight) || !(a->weight > 0) ||
                  isinf(a->weight)))
        return hn_fail(err, HONE_E_USAGE, "loss", "found weight '%s', wanted a number above 0",
                       colon + 1);
    return HONE_OK;
}

/* All outputs that could learn, for messages. */
static const char *candidates(struct hn_session *s, const struct hn_graph *g)
{
    const char *list = "";
    for (size_t i = 0; i < g->n_outputs && list; i++) {
        struct hn_output_info info;
        hn_graph_output(g, i, &info);
        if (info.trainable)
            list = hn_arena_printf(&s->arena, "%s%s%s", list, list[0] ? ", " : "",
                                   g->values[info.value].name);
    }
    return list ? list : "";
}

/* The output a loss without a name is for: the only one that can learn and is no mere function of another. */
static hone_status only_output(struct hn_session *s, const struct hn_graph *g, int *out,
                               hone_error *err)
{
    int n = 0, plain = 0;
    for (size_t i = 0; i < g->n_outputs; i++) {
        struct hn_output_info info;
        hn_graph_output(g, i, &info);
        if (!info.trainable) continue;
        n++;
        if (info.derived) continue;
        *out = (int)i;
        plain++;
    }
    if (plain == 1) return HONE_OK;
    if (!n)
        return hn_hint(err,
                       hn_fail(err, HONE_E_UNSUPPORTED, "model",
                               "no float output depends on a parameter that learns"),
                       "'hone inspect' shows every node's verdict and why");
    return hn_hint(
        err,
        hn_fail(err, HONE_E_USAGE, "loss", "several outputs could learn: %s", candidates(s, g)),
        "say which with --loss OUTPUT=KIND");
}

static hone_status named_output(struct hn_session *s, const struct hn_graph *g,
                                const struct asked *a, int *out, hone_error *err)
{
    if (!a->output) return only_output(s, g, out, err);
    for (size_t i = 0; i < g->n_outputs; i++) {
        struct hn_output_info info;
        hn_graph_output(g, i, &info);
        const char *name = g->values[info.value].name;
        if (strlen(name) != a->n_output || memcmp(name, a->output, a->n_output)) continue;
        if (!info.trainable)
            return hn_fail(err, HONE_E_USAGE, "loss",
                           "output '%s' does not depend on a parameter that learns", name);
        *out = (int)i;
        return HONE_OK;
    }
    return hn_fail(err, HONE_E_USAGE, "loss", "'%.*s' is no output; those that can learn: %s",
                   (int)a->n_output, a->output, candidates(s, g));
}

/* ---- arrays of a role --------------------------------------------------------------------------------------------- */

/* The role's y array for target t: by the output's name, else by position. -1: none. */
static int array_of(const struct hn_session *s, int role, int t)
{
    const struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[role];
    for (size_t i = 0; i < r->n_y; i++)
        if (r->y[i].value && !strcmp(r->y[i].value, s->targets[t].output_name)) return (int)i;
    if ((size_t)t < r->n_y && !r->y[t].value) return t;
    return -1;
}

const struct hn_array *hn_session_target_array(const struct hn_session *s, int role, int t)
{
    const struct hn_own *own = s->own;
    if (own->scaled[role] && own->scaled[role][t].rows) return &own->scaled[role][t];
    if (own->labels[role] && own->labels[role][t].rows) return &own->labels[role][t];
    int i = array_of(s, role, t);
    return i < 0 ? NULL : &own->data->role[role].y[i].a;
}

const int32_t *hn_session_row_classes(const struct hn_session *s)
{
    const struct hn_own *own = s->own;
    const struct hn_array *labels = s->n_targets == 1 ? &own->labels[HONE_TRAIN][0] : NULL;
    return labels && labels->rows && labels->per_row == 1 ? labels->data : NULL;
}

static int is_text(const struct hn_array *y) { return y->dtype == HN_STR; }

/* Whole numbers only, and how many different ones up to 3. */
static int whole_numbers(const struct hn_array *y, int *different)
{
    double seen[3];
    *different = 0;
    for (int64_t i = 0; i < y->rows * y->per_row; i++) {
        double v = hn_array_at(y, i / y->per_row, i % y->per_row);
        if (!(v == floor(v)) || fabs(v) > 1e9) return 0;
        int k = 0;
        while (k < *different && seen[k] != v) k++;
        if (k == *different && k < 3) seen[(*different)++] = v;
    }
    return 1;
}

static enum hn_loss_kind choose_kind(const struct hn_session *s, const struct hn_output_info *info,
                                     const struct hn_array *y)
{
    int different = 0, whole = y->per_row == 1 && (is_text(y) || whole_numbers(y, &different));
    if (info->tail == HN_TAIL_SOFTMAX || info->tail == HN_TAIL_LOGSOFTMAX ||
        info->tail == HN_TAIL_BOTH || info->tail == HN_TAIL_SHARES)
        return HN_LOSS_CE;
    if (info->tail == HN_TAIL_SIGMOID || info->tail == HN_TAIL_EACH) return HN_LOSS_BCE;
    if (whole && info->per_row > 1 && (is_text(y) || y->per_row == 1)) return HN_LOSS_CE;
    if (hn_session_has_places(s, info, y) && whole_numbers(y, &different)) return HN_LOSS_CE;
    if (is_text(y) || (whole && info->per_row == 1 && different == 2)) return HN_LOSS_BCE;
    return HN_LOSS_MSE;
}

static int within_0_and_1(const struct hn_array *y)
{
    for (int64_t i = 0; i < y->rows * y->per_row; i++) {
        const double v = hn_array_at(y, i / y->per_row, i % y->per_row);
        if (!(v >= 0 && v <= 1)) return 0;
    }
    return 1;
}

static int could_take(const struct hn_session *s, enum hn_loss_kind kind,
                      const struct hn_output_info *info, const struct hn_array *y)
{
    int different;
    const int each = y->per_row == info->per_row ||
                     (info->tail == HN_TAIL_EACH && 2 * y->per_row == info->per_row);
    switch (kind) {
    case HN_LOSS_CE:
    case HN_LOSS_NLL:
        if (info->classes < 2) return 0;
        if (y->per_row * info->classes == info->per_row || hn_session_has_places(s, info, y))
            return is_text(y) || whole_numbers(y, &different);
        return !is_text(y) && y->per_row == info->per_row;
    case HN_LOSS_BCE:
        return choose_kind(s, info, y) == HN_LOSS_BCE || (!is_text(y) && each && within_0_and_1(y));
    default: return !is_text(y) && each;
    }
}

/* The loss that an earlier training has left for this output; -1: none. */
static int recorded_loss(const hone_model *m, const char *output)
{
    const char *line = hn_model_metadata(m, "hone.loss");
    struct asked a;
    while (line && *line) {
        char text[512];
        const size_t n = strcspn(line, "\n");
        snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : 0), line);
        if (parse_loss(text, &a, NULL) == HONE_OK && a.output && strlen(output) == a.n_output &&
            memcmp(output, a.output, a.n_output) == 0)
            return a.kind;
        line += n + (line[n] == '\n');
    }
    return -1;
}

/* --loss auto */
static enum hn_loss_kind auto_kind(const struct hn_session *s, const char *output,
                                   const struct hn_output_info *info, const struct hn_array *y)
{
    const int left = recorded_loss(s->model, output);
    return left >= 0 && could_take(s, (enum hn_loss_kind)left, info, y) ? (enum hn_loss_kind)left
                                                                        : choose_kind(s, info, y);
}

hone_status hn_session_leave_losses(struct hn_session *s, hone_error *err)
{
    struct hn_buffer b;
    hone_status st = HONE_OK;
    hn_buffer_init(&b, &s->ctx->mem);
    for (int t = 0; t < s->n_targets && st == HONE_OK; t++)
        st = hn_sink_printf(&b.sink, err, "%s%s=%s", t ? "\n" : "", s->targets[t].output_name,
                            kind_names[s->targets[t].loss]);
    if (st == HONE_OK) st = hn_model_set_metadata(s->model, "hone.loss", b.p, err);
    hn_buffer_free(&b);
    return st;
}

int hn_session_says(const struct hn_own *own)
{
    const enum hn_saying how = own->given->saying;
    return how == HN_SAY || (how == HN_SAY_UNLESS_JUDGING && own->use != HN_USE_JUDGE);
}

/* ---- labels ------------------------------------------------------------------------------------------------------- */

static hone_status model_classes(struct hn_session *s, const char *output, struct hn_classes *c,
                                 int *have, hone_error *err)
{
    struct hn_class_list list;
    struct hn_mem *m = &s->ctx->mem;
    HN_TRY(hn_model_classes(s->model, output, &s->arena, &list, err));
    *have = list.n > 0;
    if (!*have) return HONE_OK;
    if (!list.are_int) return hn_classes_from_text(c, m, list.names, (int64_t)list.n, err);
    int64_t *v = hn_calloc(m, list.n, sizeof *v);
    if (!v) return hn_nomem(err, "the class list", list.n * sizeof *v);
    for (size_t i = 0; i < list.n; i++)
        if (!hn_parse_i64(list.names[i], strlen(list.names[i]), &v[i])) v[i] = (int64_t)i;
    hone_status st = hn_classes_from_i64(c, m, v, (int64_t)list.n, err);
    hn_free(m, v);
    return st;
}

/* The targets of a role as one label a row; those of several places lie one below the other, as messages call them. */
static hone_status as_column(struct hn_session *s, const struct hn_array *y, struct hn_array *out,
                             hone_error *err)
{
    *out = *y;
    if (y->per_row == 1) return HONE_OK;
    out->rows = y->rows * y->per_row, out->per_row = 1, out->rank = 1, out->dims[0] = out->rows;
    out->source = hn_arena_printf(&s->arena, "%s, as one column", y->source);
    return out->source ? HONE_OK : hn_nomem(err, "a name", strlen(y->source));
}

/* Class numbers of a role, as many a row as its targets have. */
static hone_status map_role(struct hn_session *s, int role, int t, hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_array *labels = &own->labels[role][t], column;
    const int64_t places = s->targets[t].places;
    const int i = array_of(s, role, t);
    if (i < 0) return HONE_OK;
    const struct hn_array *y = &own->data->role[role].y[i].a;
    if (y->per_row != places)
        return hn_fail(err, HONE_E_DATA, y->source,
                       "a row has %lld targets, output '%s' wants %lld", (long long)y->per_row,
                       s->targets[t].output_name, (long long)places);
    HN_TRY(as_column(s, y, &column, err));
    HN_TRY(hn_labels_map(&own->classes[t], &s->ctx->mem, &column, labels, err));
    labels->rows = y->rows, labels->per_row = places;
    labels->rank = 2, labels->dims[0] = y->rows, labels->dims[1] = places;
    return HONE_OK;
}

static hone_status map_labels(struct hn_session *s, int t, int n_classes, hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_mem *m = &s->ctx->mem;
    struct hn_classes mine = { 0 };
    struct hn_note note = { 0 };
    int have = 0;
    HN_TRY(model_classes(s, s->targets[t].output_name, &mine, &have, err));
    struct hn_array column;
    struct hn_label_request q = { &column, have ? &mine : NULL, n_classes, &note };
    hone_status st =
        as_column(s, &own->data->role[HONE_TRAIN].y[array_of(s, HONE_TRAIN, t)].a, &column, err);
    if (st == HONE_OK) st = hn_labels_fit(&own->classes[t], m, &q, err);
    for (int role = 0; st == HONE_OK && role < 3; role++) st = map_role(s, role, t, err);
    hn_classes_free(&mine);
    if (st != HONE_OK) return st;
    if (note.text[0] && hn_session_says(own)) hn_log(s->ctx, HONE_LOG_NOTE, "%s", note.text);
    if (!own->classes[t].identity) s->targets[t].classes = own->classes[t].text;
    return HONE_OK;
}

/* Neither one value an output nor one class a place. */
static hone_status wrong_width(const struct hn_target *g, const struct hn_output_info *info,
                               const struct hn_array *y, hone_error *err)
{
    if (g->places < 2)
        return hn_fail(err, HONE_E_DATA, y->source,
                       "a row has %lld targets, output '%s' has %lld values", (long long)y->per_row,
                       g->output_name, (long long)info->per_row);
    return hn_fail(err, HONE_E_DATA, y->source,
                   "a row has %lld targets, output '%s' has %lld places of %lld classes (its %s "
                   "axis): wanted %lld class numbers, or %lld values",
                   (long long)y->per_row, g->output_name, (long long)g->places,
                   (long long)(info->per_row / g->places), g->first ? "first" : "last",
                   (long long)g->places, (long long)info->per_row);
}

/* Targets of the columns p alone, with those of 1 - p in front of them. */
static hone_status mirror_role(struct hn_session *s, int role, int t, hone_error *err)
{
    struct hn_own *own = s->own;
    const int i = array_of(s, role, t);
    const struct hn_array *y = i >= 0 ? &own->data->role[role].y[i].a : NULL;
    if (!y || 2 * y->per_row != s->targets[t].per_row) return HONE_OK; /* said where rows are fed */
    const int64_t k = y->per_row;
    struct hn_tensor all = { .dtype = HN_F64, .rank = 2, .dims = { y->rows, 2 * k } };
    if (!hn_numel(2, all.dims, &all.n)) return hn_nomem(err, "the targets", 0);
    double *v = hn_alloc(&s->ctx->mem, (size_t)all.n * sizeof *v);
    if (!v) return hn_nomem(err, "the targets", (size_t)all.n * sizeof *v);
    for (int64_t row = 0; row < y->rows; row++)
        for (int64_t j = 0; j < k; j++) {
            v[(2 * row + 1) * k + j] = hn_array_at(y, row, j);
            v[2 * row * k + j] = 1 - v[(2 * row + 1) * k + j];
        }
    all.data = v;
    hone_status st = hn_array_wrap(&own->scaled[role][t], &s->ctx->mem, y->name, &all, 1, err);
    if (st == HONE_OK) own->scaled[role][t].source = y->source;
    hn_free(&s->ctx->mem, v);
    return st;
}

/* Shape of the target against the output; decides between class numbers and dense targets. */
static hone_status fit_target(struct hn_session *s, int t, const struct hn_output_info *info,
                              const struct hn_array *y, hone_error *err)
{
    struct hn_target *g = &s->targets[t];
    int classes = g->loss == HN_LOSS_CE || g->loss == HN_LOSS_NLL;
    g->per_row = info->per_row;
    g->places = 1;
    if (classes) HN_TRY(hn_session_class_axis(s, t, info, y, err));
    const int64_t n_classes = g->first ? info->classes_first : info->classes;
    if (classes && n_classes < 2)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, g->output_name,
                               "%s wants one output per class, found one output%s",
                               kind_names[g->loss],
                               info->per_row > 1 ? " along the last axis" : ""),
                       "--loss bce for two classes on one output");
    if (classes) g->places = info->per_row / n_classes;
    int different, named = is_text(y) || (y->per_row == 1 &&
                                          whole_numbers(y, &different)); /* else probabilities */
    if ((classes && y->per_row == g->places) ||
        (y->per_row == 1 && g->loss == HN_LOSS_BCE && info->per_row == 1 && named)) {
        g->n_classes = classes ? (int)n_classes : 2;
        g->dense = 0;
        return map_labels(s, t, g->n_classes, err);
    }
    if (is_text(y))
        return hn_fail(err, HONE_E_DATA, y->source, "targets of '%s' are text, %s wants numbers",
                       g->output_name, kind_names[g->loss]);
    if (info->tail == HN_TAIL_EACH && 2 * y->per_row == info->per_row)
        for (int role = 0; role < 3; role++) HN_TRY(mirror_role(s, role, t, err));
    else if (y->per_row != info->per_row)
        return wrong_width(g, info, y, err);
    g->dense = 1;
    g->n_classes = classes ? (int)n_classes : 0;
    return g->first ? hn_session_turn_targets(s, t, err) : HONE_OK;
}

static hone_status one_target(struct hn_session *s, int t, const struct asked *a, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_graph *g = hn_model_graph(s->model);
    struct hn_output_info info;
    struct hn_target *target = &s->targets[t];
    HN_TRY(named_output(s, g, a, &target->output, err));
    hn_graph_output(g, (size_t)target->output, &info);
    target->output_name = hn_arena_strdup(&s->arena, g->values[info.value].name);
    if (!target->output_name) return hn_nomem(err, "an output's name", 0);
    if (info.per_row < 1)
        return hn_fail(err, HONE_E_UNSUPPORTED, target->output_name,
                       "this output does not have one row per input row");
    int i = array_of(s, HONE_TRAIN, t);
    if (i < 0)
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, target->output_name,
                               "no target data were given for this output"),
                       "--target COLUMN, or --y FILE");
    const struct hn_array *y = &own->data->role[HONE_TRAIN].y[i].a;
    target->loss =
        a->kind >= 0 ? (enum hn_loss_kind)a->kind : auto_kind(s, target->output_name, &info, y);
    target->tail = info.tail;
    target->weight = a->weight;
    HN_TRY(fit_target(s, t, &info, y, err));
    if (a->kind < 0 && hn_session_says(own))
        hn_log(s->ctx, HONE_LOG_NOTE, "loss of output '%s': %s", target->output_name,
               kind_names[target->loss]);
    own->specs[t] = (struct hn_loss_spec){ .output = target->output,
                                           .kind = target->loss,
                                           .weight = a->weight,
                                           .delta = 1,
                                           .first = target->first,
                                           .dense = target->dense || target->loss == HN_LOSS_BCE };
    if (target->tail == HN_TAIL_BOTH && target->dense &&
        (target->loss == HN_LOSS_CE || target->loss == HN_LOSS_NLL))
        return hn_fail(err, HONE_E_UNSUPPORTED, target->output_name,
                       "%s with probabilities as targets on 1 - p and p of one Sigmoid: wanted "
                       "class numbers, or --loss mse",
                       kind_names[target->loss]);
    return HONE_OK;
}

/* Where several outputs could learn and --loss names none, all target data may: then as many losses as there are of them. */
static int named_by_data(const struct hn_session *s)
{
    const struct hn_own *own = s->own;
    const struct hn_role_data *r = &own->data->role[HONE_TRAIN];
    if (hn_graph_heads(hn_model_graph(s->model)) < 2) return 0;
    for (size_t i = 0; i < r->n_y; i++)
        if (!r->y[i].value || !*r->y[i].value) return 0;
    return (int)r->n_y;
}

hone_status hn_session_targets(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_mem *m = &s->ctx->mem;
    int n = (int)hn_param_count(s->params, "loss"), named = named_by_data(s);
    const char *only = n == 1 ? hone_params_get(s->params, "loss", 0) : NULL;
    if (n < 1 || (only && !strcmp(only, "auto"))) n = named > 0 ? named : 1;
    s->targets = hn_calloc(m, (size_t)n, sizeof *s->targets);
    own->specs = hn_calloc(m, (size_t)n, sizeof *own->specs);
    own->classes = hn_calloc(m, (size_t)n, sizeof *own->classes);
    if (!s->targets || !own->specs || !own->classes)
        return hn_nomem(err, "the targets", (size_t)n * 64);
    s->n_targets = n;
    for (int role = 0; role < 3; role++) {
        own->labels[role] = hn_calloc(m, (size_t)n, sizeof **own->labels);
        own->scaled[role] = hn_calloc(m, (size_t)n, sizeof **own->scaled);
        own->weights[role] = hn_calloc(m, (size_t)n, sizeof **own->weights);
        if (!own->labels[role] || !own->scaled[role] || !own->weights[role])
            return hn_nomem(err, "the labels", (size_t)n * 64);
    }
    for (int t = 0; t < n; t++) {
        struct asked a = { .kind = -1, .weight = 1 };
        const char *text = hone_params_get(s->params, "loss", (size_t)t);
        if (text) HN_TRY(parse_loss(text, &a, err));
        if (!a.output && named == n) {
            a.output = own->data->role[HONE_TRAIN].y[t].value;
            a.n_output = strlen(a.output);
        }
        HN_TRY(one_target(s, t, &a, err));
        for (int k = 0; k < t; k++)
            if (s->targets[k].output == s->targets[t].output)
                return hn_fail(err, HONE_E_USAGE, "loss", "output '%s' has two losses",
                               s->targets[t].output_name);
    }
    return HONE_OK;
}
