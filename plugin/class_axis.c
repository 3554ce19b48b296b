/* SPDX-License-Identifier: MIT
 *
 * An output with classes at several places of a row has them along its last axis, [rows, places, classes], as ONNX's Softmax, or
 * along the axis behind the rows, [rows, classes, places], as PyTorch's cross_entropy takes it. Which one is never guessed:
 *
 *   --class-axis says so                         else
 *   the Softmax that the output ends in          else
 *   the targets have room for one of them only   class numbers by their shape, probabilities by which axis sums up to 1; else
 *   an earlier training has written it down      (hone.class_axis); else refused where class numbers fit both.
 *
 * The loss takes [places, classes]: the program turns the output, the session the targets, the evaluator what it has measured. */
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/session_own.h"
#include <math.h>
#include <string.h>

enum { LAST = 1, FIRST = 2 }; /* bits: readings that fit */

static int is_soft(enum hn_tail t) { return t == HN_TAIL_SOFTMAX || t == HN_TAIL_LOGSOFTMAX; }

static const struct hn_shape *shape_of(const struct hn_session *s,
                                       const struct hn_output_info *info)
{
    return &hn_model_graph(s->model)->values[info->value].shape;
}

/* ---- class numbers: by shape ----------------------------------------------------------------------------------------- */

/* Has y an axis for each of the output's but that of the classes? */
static int same_axes(const struct hn_shape *s, const struct hn_array *y, int without)
{
    for (int i = 1, k = 1; i < s->rank; i++) {
        if (i == without) continue;
        if (y->dims[k++] != s->d[i].fixed) return 0;
    }
    return 1;
}

static int fits(const struct hn_session *s, const struct hn_output_info *info,
                const struct hn_array *y, int first)
{
    const struct hn_shape *shape = shape_of(s, info);
    const int64_t classes = first ? info->classes_first : info->classes;
    if (classes < 2 || y->per_row * classes != info->per_row) return 0;
    return y->rank < 3 || y->rank != shape->rank - 1 ||
           same_axes(shape, y, first ? 1 : shape->rank - 1);
}

static int numbers_fit(const struct hn_session *s, const struct hn_output_info *info,
                       const struct hn_array *y)
{
    return (fits(s, info, y, 0) ? LAST : 0) | (fits(s, info, y, 1) ? FIRST : 0);
}

int hn_session_has_places(const struct hn_session *s, const struct hn_output_info *info,
                          const struct hn_array *y)
{
    if (y->dtype == HN_STR || info->per_row < 2) return 0;
    return (y->per_row > 1 && fits(s, info, y, 0)) || fits(s, info, y, 1);
}

/* ---- probabilities: by their sums -------------------------------------------------------------------------------------- */

/* Does every place of the row add up to 1? */
static int adds_up(const struct hn_array *y, int64_t row, int64_t places, int64_t classes,
                   int first)
{
    for (int64_t p = 0; p < places; p++) {
        double sum = 0;
        for (int64_t c = 0; c < classes; c++)
            sum += hn_array_at(y, row, first ? c * places + p : p * classes + c);
        if (!(fabs(sum - 1) <= 1e-3)) return 0;
    }
    return 1;
}

static int sums_fit(const struct hn_output_info *info, const struct hn_array *y)
{
    int last = info->classes > 1, first = info->classes_first > 1;
    for (int64_t i = 0; i < y->rows && (last || first); i++) {
        last = last && adds_up(y, i, info->per_row / info->classes, info->classes, 0);
        first = first && adds_up(y, i, info->per_row / info->classes_first, info->classes_first, 1);
    }
    return (last ? LAST : 0) | (first ? FIRST : 0);
}

/* Probabilities in other axes than the output's would be taken for something else. */
static hone_status check_axes(const struct hn_session *s, const struct hn_target *g,
                              const struct hn_output_info *info, const struct hn_array *y,
                              hone_error *err)
{
    const struct hn_shape *shape = shape_of(s, info);
    if (y->rank < 3 || y->rank != shape->rank || same_axes(shape, y, 0)) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, y->source,
                   "a row's targets are [%lld, %lld%s], output '%s' is [%lld, %lld%s]: wanted the "
                   "same axes",
                   (long long)y->dims[1], (long long)y->dims[2], y->rank > 3 ? ", ..." : "",
                   g->output_name, (long long)shape->d[1].fixed, (long long)shape->d[2].fixed,
                   shape->rank > 3 ? ", ..." : "");
}

/* ---- what is said ------------------------------------------------------------------------------------------------------ */

static const char *key_of(const struct hn_session *s, const char *output)
{
    const int several = hn_graph_heads(hn_model_graph(s->model)) > 1;
    return several
               ? hn_arena_printf(&((struct hn_session *)s)->arena, HN_META_CLASS_AXIS ".%s", output)
               : HN_META_CLASS_AXIS;
}

/* -1: nothing does. */
static hone_status written(const struct hn_session *s, const struct hn_output_info *info,
                           int *first, hone_error *err)
{
    const char *output = hn_model_graph(s->model)->values[info->value].name;
    const char *key = key_of(s, output);
    if (!key) return hn_nomem(err, "the class axis", 0);
    const char *value = hn_model_metadata(s->model, key);
    if (!value) value = hn_onnx_meta(hn_model_onnx(s->model), key);
    *first = value && !strcmp(value, "first") ? 1 : value && !strcmp(value, "last") ? 0 : -1;
    return HONE_OK;
}

/* --class-axis, else the softmax; -1: neither says anything. */
static hone_status told(const struct hn_session *s, const struct hn_output_info *info, int *first,
                        hone_error *err)
{
    const char *output = hn_model_graph(s->model)->values[info->value].name;
    const char *axis = hn_param_s(s->params, "class-axis");
    *first = is_soft(info->tail) ? info->tail_first : -1;
    if (!strcmp(axis, "auto")) return HONE_OK;
    const int asked = !strcmp(axis, "first");
    if (asked && info->classes_first < 2)
        return hn_fail(err, HONE_E_USAGE, "class-axis",
                       info->classes_first
                           ? "output '%s' has one number along the axis behind its rows, wanted "
                             "one for each class"
                           : "output '%s' has no axis behind that of its classes, wanted [rows, "
                             "classes, places]",
                       output);
    if (*first >= 0 && *first != asked)
        return hn_fail(err, HONE_E_USAGE, "class-axis",
                       "output '%s' ends in a softmax over its %s axis, found '%s'", output,
                       *first ? "first" : "last", axis);
    *first = asked;
    return HONE_OK;
}

hone_status hn_session_told_first(const struct hn_session *s, const struct hn_output_info *info,
                                  int *first, hone_error *err)
{
    HN_TRY(told(s, info, first, err));
    if (*first < 0) HN_TRY(written(s, info, first, err));
    *first = *first > 0 && info->classes_first > 1;
    return HONE_OK;
}

static hone_status both_fit(const struct hn_target *g, const struct hn_output_info *info,
                            hone_error *err)
{
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, g->output_name,
                           "its targets fit %lld classes along the axis behind the rows and %lld "
                           "along the last one",
                           (long long)info->classes_first, (long long)info->classes),
                   "--class-axis first (PyTorch's cross_entropy) or last (a Softmax over the last "
                   "axis)");
}

hone_status hn_session_class_axis(struct hn_session *s, int target,
                                  const struct hn_output_info *info, const struct hn_array *y,
                                  hone_error *err)
{
    struct hn_target *g = &s->targets[target];
    const int dense = y->per_row == info->per_row;
    HN_TRY(told(s, info, &g->first, err));
    if (dense && info->classes_first > 1) HN_TRY(check_axes(s, g, info, y, err));
    if (g->first >= 0) return HONE_OK;
    const int fit = info->classes_first < 2 ? LAST
                    : !dense                ? numbers_fit(s, info, y)
                    : y->dtype == HN_STR    ? LAST
                                            : sums_fit(info, y);
    if (fit != LAST && fit != FIRST) HN_TRY(written(s, info, &g->first, err));
    if (fit == (LAST | FIRST) && g->first < 0) return both_fit(g, info, err);
    if (g->first < 0) g->first = fit == FIRST;
    if (fit == FIRST && hn_session_says(s->own))
        hn_log(s->ctx, HONE_LOG_NOTE,
               "output '%s': %lld classes along the axis behind the rows, as PyTorch's "
               "cross_entropy has them, at %lld place%s",
               g->output_name, (long long)info->classes_first,
               (long long)(info->per_row / info->classes_first),
               info->per_row == info->classes_first ? "" : "s");
    return HONE_OK;
}

hone_status hn_session_write_class_axis(struct hn_session *s, int target, hone_error *err)
{
    const struct hn_target *g = &s->targets[target];
    const int asked = strcmp(hn_param_s(s->params, "class-axis"), "auto") != 0;
    if (is_soft(g->tail) || g->places < 2 || !(g->first || asked)) return HONE_OK;
    const char *key = key_of(s, g->output_name);
    if (!key) return hn_nomem(err, "the class axis", 0);
    return hn_model_set_metadata(s->model, key, g->first ? "first" : "last", err);
}

/* ---- turning ----------------------------------------------------------------------------------------------------------- */

void hn_turn_classes(const struct hn_target *g, size_t elem, const void *v, int64_t n, void *to)
{
    const int64_t classes = g->n_classes, places = g->places;
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < places; p++)
            for (int64_t c = 0; c < classes; c++) {
                const int64_t from = i * g->per_row + c * places + p,
                              at = i * g->per_row + p * classes + c;
                memcpy((char *)to + (size_t)at * elem, (const char *)v + (size_t)from * elem, elem);
            }
}

static hone_status turn_role(struct hn_session *s, int role, int t, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_array *y = hn_session_target_array(s, role, t);
    const struct hn_target *g = &s->targets[t];
    if (!y || y->per_row != g->per_row) return HONE_OK; /* said where rows are fed */
    struct hn_mem *m = &s->ctx->mem;
    struct hn_tensor all = { .dtype = HN_F64, .rank = 2, .dims = { y->rows, y->per_row } };
    if (!hn_numel(2, all.dims, &all.n)) return hn_nomem(err, "the targets", 0);
    const size_t bytes = (size_t)all.n * sizeof(double);
    double *v = hn_alloc(m, bytes), *turned = hn_alloc(m, bytes);
    hone_status st = v && turned ? HONE_OK : hn_nomem(err, "the targets", bytes);
    for (int64_t i = 0; st == HONE_OK && i < all.n; i++)
        v[i] = hn_array_at(y, i / y->per_row, i % y->per_row);
    if (st == HONE_OK) {
        hn_turn_classes(g, sizeof *v, v, y->rows, turned);
        all.data = turned;
        st = hn_array_wrap(&own->scaled[role][t], m, y->name, &all, 1, err);
    }
    if (st == HONE_OK) own->scaled[role][t].source = y->source;
    hn_free(m, v);
    hn_free(m, turned);
    return st;
}

hone_status hn_session_turn_targets(struct hn_session *s, int target, hone_error *err)
{
    for (int role = 0; role < 3; role++) HN_TRY(turn_role(s, role, target, err));
    return HONE_OK;
}
