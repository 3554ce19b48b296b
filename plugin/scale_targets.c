/* SPDX-License-Identifier: MIT
 *
 * Targets in scaled units, by --scale-target, or because the model ends in the inverse that an earlier --scale-target has left
 * (ops/graph/unscale.c). The loss then is of what stands in front of that inverse, so that further training is what the first
 * one was; the model's own numbers stay as they are, unless --scale-again has them fitted to the rows that are there now. */
#include "onnx/model.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/session_own.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum hn_scaling hn_session_scaling(const hone_params *p, const char *name)
{
    const char *text = hn_param_s(p, name);
    return !strcmp(text, "standard") ? HN_SCALE_STANDARD
           : !strcmp(text, "minmax") ? HN_SCALE_MINMAX
                                     : HN_SCALE_NONE;
}

int hn_session_scales(const struct hn_session *s)
{
    for (int t = 0; t < s->n_targets; t++)
        if (s->targets[t].scale) return 1;
    return 0;
}

/* A role's targets in scaled units. */
static hone_status scale_role(struct hn_session *s, int role, int t, const struct hn_scaler *fit,
                              hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_mem *m = &s->ctx->mem;
    const struct hn_array *a =
        own->data->role[role].n_y ? hn_session_target_array(s, role, t) : NULL;
    if (!a) return HONE_OK;
    if (a->per_row != fit->n)
        return hn_fail(err, HONE_E_DATA, a->source,
                       "a row has %lld targets, the training data have %lld", (long long)a->per_row,
                       (long long)fit->n);
    HN_TRY(hn_array_check_range(a, hn_model_graph(s->model)->dtype == HN_F64 ? HN_F64 : HN_F32,
                                err)); /* the exported graph has to give them */
    const size_t n = (size_t)(a->rows * a->per_row);
    double *v = hn_alloc(m, n * sizeof *v);
    if (!v) return hn_nomem(err, "the scaled targets", n * sizeof *v);
    hn_array_range(a, 0, a->rows, HN_F64, v);
    hn_scaler_apply(fit, HN_F64, v, a->rows);
    const struct hn_tensor tensor = {
        .dtype = HN_F64, .rank = 2, .dims = { a->rows, a->per_row }, .n = (int64_t)n, .data = v
    };
    hone_status st =
        hn_array_wrap(&own->scaled[role][t], m, s->targets[t].output_name, &tensor, 1, err);
    hn_free(m, v);
    return st;
}

/* Targets of every role; what is not in the file yet goes into the graph in hn_session_finish. */
static hone_status scale_target(struct hn_session *s, int t, const struct hn_scaler *fit,
                                hone_error *err)
{
    for (int role = 0; role < 3; role++) HN_TRY(scale_role(s, role, t, fit, err));
    double *both = hn_arena_alloc(&s->arena, 2 * (size_t)fit->n + 1, sizeof *both);
    if (!both) return hn_nomem(err, "the inverse scaler", 2 * (size_t)fit->n * sizeof *both);
    for (int64_t j = 0; j < fit->n; j++)
        both[j] = fit->offset[j], both[fit->n + j] = 1 / fit->scale[j];
    s->targets[t].offset = both;
    s->targets[t].scale = both + fit->n;
    return HONE_OK;
}

/* ---- what is in the file ------------------------------------------------------------------------------------------------ */

static int learns_numbers(const struct hn_target *t)
{
    return !t->n_classes &&
           (t->loss == HN_LOSS_MSE || t->loss == HN_LOSS_MAE || t->loss == HN_LOSS_HUBER);
}

static int unscaler_of(const struct hn_session *s, int t, struct hn_unscaler *u)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    return hn_graph_unscaler(g, g->outputs[s->targets[t].output], u);
}

int hn_model_unscales(hone_model *m)
{
    const struct hn_graph *g = hn_model_graph(m);
    struct hn_unscaler u;
    for (size_t i = 0; i < g->n_outputs; i++)
        if (hn_graph_unscaler(g, g->outputs[i], &u) && !u.learns) return 1;
    return 0;
}

/* The model's own numbers; n 0: they are none to scale by. */
static hone_status read_numbers(struct hn_session *s, int t, const struct hn_unscaler *u,
                                struct hn_scaler *fit, hone_error *err)
{
    const int64_t n = s->targets[t].per_row;
    const struct hn_tensor factor = hn_model_tensor(s->model, u->factor),
                           offset = hn_model_tensor(s->model, u->offset);
    double *both = hn_arena_alloc(&s->arena, 2 * (size_t)n + 1, sizeof *both);
    if (!both) return hn_nomem(err, "the scaler", 2 * (size_t)n * sizeof *both);
    *fit = (struct hn_scaler){ .kind = HN_SCALE_STANDARD, .offset = both, .scale = both + n };
    if (factor.n != n || offset.n != n) return HONE_OK;
    for (int64_t j = 0; j < n; j++) {
        fit->offset[j] = hn_tensor_f64(&offset, j);
        fit->scale[j] = 1 / hn_tensor_f64(&factor, j);
        if (!isfinite(fit->offset[j]) || !isfinite(fit->scale[j]) || fit->scale[j] == 0)
            return HONE_OK;
    }
    fit->n = n;
    return HONE_OK;
}

/* The loss of a target whose output ends in an inverse is of scaled targets, too. */
static hone_status scale_as_before(struct hn_session *s, int t, hone_error *err)
{
    struct hn_own *own = s->own;
    struct hn_unscaler u;
    struct hn_scaler fit;
    if (!learns_numbers(&s->targets[t]) || !unscaler_of(s, t, &u) || u.learns) return HONE_OK;
    HN_TRY(read_numbers(s, t, &u, &fit, err));
    if (!fit.n) return HONE_OK;
    HN_TRY(scale_target(s, t, &fit, err));
    s->targets[t].in_file = own->specs[t].scaled = 1;
    if (hn_session_says(own))
        hn_log(s->ctx, HONE_LOG_NOTE,
               "targets of output '%s' are scaled as they were by an earlier --scale-target: the "
               "losses of epochs are of scaled targets",
               s->targets[t].output_name);
    return HONE_OK;
}

/* ---- --scale-target --------------------------------------------------------------------------------------------------------- */

static hone_status check_target(const struct hn_session *s, hone_error *err)
{
    const struct hn_target *t = &s->targets[0];
    if (s->n_targets != 1 || t->n_classes || t->loss == HN_LOSS_BCE)
        return hn_fail(err, HONE_E_USAGE, "scale-target",
                       "is for one output with numbers as targets, found %s",
                       s->n_targets != 1 ? "several outputs" : "classes");
    if (t->tail != HN_TAIL_NONE)
        return hn_fail(err, HONE_E_USAGE, "scale-target",
                       "output '%s' ends in a Softmax or Sigmoid", t->output_name);
    return HONE_OK;
}

/* "nothing below 0", "numbers from -1 to 1 only" */
static const char *bounds_text(const struct hn_bounds *r, char text[96])
{
    if (isfinite(r->lo) && isfinite(r->hi))
        (void)snprintf(text, 96, "numbers from %.4g to %.4g only", r->lo, r->hi);
    else
        (void)snprintf(text, 96, "nothing %s %.4g", isfinite(r->lo) ? "below" : "above",
                       isfinite(r->lo) ? r->lo : r->hi);
    return text;
}

/* The least and the largest scaled target of the training rows. */
static void spread_of(const struct hn_session *s, double *least, double *most)
{
    const struct hn_scaler *fit = &((const struct hn_own *)s->own)->scaler;
    const struct hn_array *y = hn_session_target_array(s, HONE_TRAIN, 0);
    const struct hn_rows *rows = &s->rows[HONE_TRAIN];
    *least = (double)INFINITY, *most = -(double)INFINITY;
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t j = 0; j < fit->n; j++) {
            const double v = (hn_array_at(y, rows->rows[i], j) - fit->offset[j]) * fit->scale[j];
            *least = fmin(*least, v), *most = fmax(*most, v);
        }
}

/* Can what stands in front of the inverse give the scaled targets? */
static hone_status check_bounds(const struct hn_session *s, int32_t v, hone_error *err)
{
    static const double slack = 1e-5;
    const struct hn_graph *g = hn_model_graph(s->model);
    const struct hn_bounds r = hn_graph_bounds(g, v);
    const char *output = s->targets[0].output_name;
    char text[96], label[200];
    double least, most;
    if (r.node < 0) return HONE_OK;
    spread_of(s, &least, &most);
    const char *type = g->nodes[r.node].type;
    if (least < r.lo - slack || most > r.hi + slack)
        return hn_hint(
            err,
            hn_fail(err, HONE_E_USAGE, "scale-target",
                    "output '%s' ends in %s (%s), which gives %s: the scaled targets go from %.3g "
                    "to %.3g",
                    output, type, hn_node_label(&g->nodes[r.node], label, sizeof label),
                    bounds_text(&r, text), least, most),
            r.lo <= 0 && r.hi >= 1 ? "--scale-target minmax, with which they go from 0 to 1"
                                   : "targets as they are, or a model without that at its end");
    const int below = least<r.lo + slack, above = most> r.hi - slack;
    if ((below || above) && hn_session_says(s->own))
        hn_log(s->ctx, HONE_LOG_WARNING,
               "output '%s' ends in %s: no prediction will be %s the training rows' targets",
               output, type,
               below && above ? "beyond"
               : below        ? "below the least of"
                              : "above the largest of");
    return HONE_OK;
}

/* May the inverse that is there be fitted anew? */
static hone_status check_again(const struct hn_session *s, const struct hn_unscaler *u,
                               hone_error *err)
{
    const char *name = s->targets[0].output_name;
    if (!hn_param_b(s->params, "scale-again"))
        return hn_hint(err,
                       hn_fail(err, HONE_E_USAGE, name,
                               "--scale-target was asked for, but the model already undoes the "
                               "scaling of this output's targets"),
                       "leave it out: further training scales them by the model's own numbers; "
                       "--scale-again fits these to the rows anew");
    if (u->learns)
        return hn_fail(err, HONE_E_USAGE, name,
                       "--scale-again cannot fit numbers that --unfreeze lets learn");
    return HONE_OK;
}

/* Other numbers in it. */
static hone_status fit_again(struct hn_session *s, const struct hn_unscaler *u, hone_error *err)
{
    const struct hn_own *own = s->own;
    HN_TRY(hn_model_rescale_output(s->model, u, own->scaler.offset, own->scaler.scale,
                                   own->scaler.n, err));
    return scale_as_before(s, 0, err);
}

hone_status hn_session_scale_targets(struct hn_session *s, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_rows *rows = &s->rows[HONE_TRAIN];
    enum hn_scaling kind = hn_session_scaling(s->params, "scale-target");
    struct hn_unscaler u;
    for (int t = 0; t < s->n_targets && kind == HN_SCALE_NONE; t++)
        HN_TRY(scale_as_before(s, t, err));
    if (kind == HN_SCALE_NONE) return HONE_OK;
    HN_TRY(check_target(s, err));
    HN_TRY(hn_scaler_fit(&own->scaler, &s->ctx->mem, kind,
                         hn_session_target_array(s, HONE_TRAIN, 0), rows->rows, rows->n, err));
    const struct hn_graph *g = hn_model_graph(s->model);
    const int again = unscaler_of(s, 0, &u);
    if (again) HN_TRY(check_again(s, &u, err));
    HN_TRY(check_bounds(s, again ? u.raw : g->outputs[s->targets[0].output], err));
    return again ? fit_again(s, &u, err) : scale_target(s, 0, &own->scaler, err);
}
