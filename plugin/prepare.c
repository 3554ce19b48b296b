/* SPDX-License-Identifier: MIT
 *
 * What a model needs before it is trained: shared values that only the exporter merged come
 * apart, training forms become inference forms (they are trained all the same and leave as
 * such), BatchNormalization and the batch dimension as the parameters say, frozen parameters,
 * scalers. Each is a recorded graph edit, made once: preparing a prepared model changes nothing. */
#include "ops/base/format.h"
#include "ops/base/status.h"
#include "plugin/hidden.h"
#include "plugin/model.h"
#include <fnmatch.h>
#include <math.h>
#include <string.h>

static hone_status edit(hone_model *m, const char *line, hone_error *err)
{
    return hone_model_edit(m, line, err);
}

/* Every edit imports again, and the new graph has the lines that are left: also new ones, where what was merged twice over
 * came apart once. No model needs more edits than nodes have inputs. */
static hone_status untie(hone_model *m, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    size_t most = 0;
    for (size_t i = 0; i < g->n_nodes; i++) most += (size_t)g->nodes[i].n_in;
    for (; hn_model_graph(m)->n_unties; most--) {
        if (most == 0)
            return hn_fail(err, HONE_E_INTERNAL, hn_model_onnx(m)->name,
                           "'%s' is not the last edit that tells shared values apart",
                           hn_model_edit_line(m, hn_model_n_edits(m) - 1));
        HN_TRY(edit(m, hn_model_graph(m)->unties[0].line, err));
    }
    return HONE_OK;
}

static hone_status insert_batchnorm(hone_model *m, hone_error *err)
{
    struct hn_onnx *o = hn_model_onnx(m);
    struct hn_bn_site *sites;
    size_t n;
    HN_TRY(hn_edit_batchnorm_sites(&m->ctx->mem, o->p, o->n, &sites, &n, err));
    hn_edit_free_sites(&m->ctx->mem, sites, n);
    const int32_t quantized = n ? -1 : hn_graph_quantized(hn_model_graph(m));
    if (quantized >= 0)
        return hn_fail(err, HONE_E_UNSUPPORTED,
                       hn_node_label(&hn_model_graph(m)->nodes[quantized], (char[200]){ 0 }, 200),
                       "BatchNormalization is not put behind layers whose weights are quantised");
    return n ? edit(m, "batchnorm insert", err) : HONE_OK;
}

static int has_batchnorm(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].type, "BatchNormalization") == 0) return 1;
    return 0;
}

/* The name itself, whatever glob characters are in it. */
static hone_status freeze_name(void *user, const char *name, hone_error *err)
{
    hone_model *m = user;
    struct hn_buffer glob;
    hone_status st = HONE_OK;
    hn_buffer_init(&glob, &m->ctx->mem);
    for (const char *c = name; *c && st == HONE_OK; c++)
        st = hn_sink_printf(&glob.sink, err, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
    if (st == HONE_OK) st = hn_globs_add(&m->ctx->mem, &m->now.freeze, glob.n ? glob.p : "", err);
    hn_buffer_free(&glob);
    return st;
}

static hone_status take_globs(hone_model *m, const hone_params *params, const char *name,
                              struct hn_globs *to, hone_error *err)
{
    const size_t n = hn_param_count(params, name);
    hn_globs_clear(&m->ctx->mem, to);
    for (size_t i = 0; i < n; i++)
        HN_TRY(hn_globs_add(&m->ctx->mem, to, hone_params_get(params, name, i), err));
    return HONE_OK;
}

/* The first names of a model's tensors, as a hint. */
static hone_status hint_names(const struct hn_graph *g, hone_error *err, hone_status st)
{
    const struct hn_param_list *list = hn_graph_params(g);
    char text[160];
    size_t n = 0, i = 0;
    for (; i < list->n_params; i++) {
        const char *name = g->values[list->params[i].value].name;
        if (n + strlen(name) + 8 > sizeof text) break;
        n += hn_print(text + n, sizeof text - n, "%s%s", i ? ", " : "", name);
    }
    if (i == 0) return st;
    return hn_hint(err, st, "among the model's tensors are %s", text);
}

/* "NAME[ROW]" */
static hone_status row_finds(const struct hn_graph *g, const char *glob, int *found,
                             hone_error *err)
{
    const struct hn_param_list *list = hn_graph_params(g);
    const struct hn_gparam *seen = NULL;
    int64_t row = 0;
    *found = 0;
    for (size_t i = 0; i < list->n_params && !*found; i++) {
        const struct hn_gparam *q = &list->params[i];
        if (!hn_glob_row(glob, g->values[q->value].name, &row)) continue;
        *found = q->kept == row + 1;
        if (q->trained) seen = q;
    }
    if (*found || !seen) return HONE_OK;
    const struct hn_value *v = &g->values[seen->value];
    if (!seen->looked_up)
        return hn_fail(err, HONE_E_USAGE, "freeze",
                       "found '%s', but '%s' is no table that is only looked up: wanted the whole "
                       "tensor",
                       glob, v->name);
    if (row >= v->constant->dims[0])
        return hn_fail(err, HONE_E_USAGE, "freeze", "found '%s', but table '%s' has %lld rows",
                       glob, v->name, (long long)v->constant->dims[0]);
    return hn_fail(err, HONE_E_USAGE, "freeze",
                   "found '%s', but row %lld of '%s' does not learn already, wanted one row of a "
                   "table",
                   glob, (long long)(seen->kept ? seen->kept : seen->padding) - 1, v->name);
}

/* Every glob has to find something in the model as it came: a name mistyped would train what was to rest. */
static hone_status each_finds(hone_model *m, const hone_params *params, const char *option,
                              int trained, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    const struct hn_param_list *list = hn_graph_params(g);
    const size_t n = hn_param_count(params, option);
    for (size_t i = 0; i < n; i++) {
        const char *glob = hone_params_get(params, option, i);
        size_t k = 0;
        while (k < list->n_params && (list->params[k].trained != trained ||
                                      fnmatch(glob, g->values[list->params[k].value].name, 0) != 0))
            k++;
        int row = 0;
        if (k == list->n_params && !trained) HN_TRY(row_finds(g, glob, &row, err));
        if (k == list->n_params && !row)
            return hint_names(
                g, err,
                hn_fail(err, HONE_E_USAGE, option,
                        "found '%s', wanted the name (or a glob of names) of a tensor "
                        "that %s",
                        glob, trained ? "can learn and is not frozen" : "could learn"));
    }
    return HONE_OK;
}

static int layers_changed(const struct hn_model_state *s)
{
    for (size_t i = 0; i < s->n_edits; i++)
        if (!strncmp(s->edits[i].line, "hidden", 6) || !strncmp(s->edits[i].line, "batchnorm", 9))
            return 1;
    return 0;
}

static hone_status freeze(hone_model *m, const hone_params *params, hone_error *err)
{
    struct hn_model_state *s = &m->now;
    const int64_t layers = hn_param_i(params, "freeze-layers");
    const size_t n = hn_param_count(params, "freeze") + hn_param_count(params, "unfreeze");
    if (n == 0 && layers == 0 && s->freeze.n + s->unfreeze.n == 0) return HONE_OK;
    HN_TRY(take_globs(m, params, "freeze", &s->freeze, err));
    HN_TRY(take_globs(m, params, "unfreeze", &s->unfreeze, err));
    if (layers) HN_TRY(hn_model_first_layers(m, layers, freeze_name, m, err));
    HN_TRY(hn_model_reimport(m, err));
    if (layers_changed(s)) return HONE_OK; /* some may be gone, with their names */
    HN_TRY(each_finds(m, params, "freeze", 0, err));
    return each_finds(m, params, "unfreeze", 1, err);
}

/* The first parameter of the graph that holds a NaN or an infinity. */
static hone_status refuse_nonfinite(hone_model *m, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    const struct hn_param_list *list = hn_graph_params(g);
    for (size_t i = 0; i < list->n_params; i++) {
        const struct hn_value *v = &g->values[list->params[i].value];
        if (!v->constant || !hn_dtype_is_float(v->constant->dtype)) continue;
        for (int64_t k = 0; k < v->constant->n; k++) {
            double x = hn_tensor_f64(v->constant, k);
            if (isfinite(x)) continue;
            return hn_hint(err,
                           hn_fail(err, HONE_E_MODEL, v->name,
                                   "element %lld is %s, wanted finite weights", (long long)k,
                                   isnan(x) ? "NaN" : "infinite"),
                           "--allow-nonfinite, or --init fresh");
        }
    }
    return HONE_OK;
}

hone_status hn_model_plain_form(hone_model *m, const hone_params *params, hone_error *err)
{
    if (strcmp(hn_param_s(params, "batch-dim"), "symbolic") == 0 && hn_model_graph(m)->fixed_batch)
        HN_TRY(edit(m,
                    hn_model_graph(m)->batch_lists ? "batch-symbolic N indices" : "batch-symbolic",
                    err));
    HN_TRY(hn_graph_blocked(hn_model_graph(m), 1, err));
    if (!hn_param_b(params, "allow-nonfinite") && strcmp(hn_param_s(params, "init"), "keep") == 0)
        HN_TRY(refuse_nonfinite(m, err));
    HN_TRY(untie(m, err));
    return hn_model_graph(m)->needs_inference ? edit(m, "inference", err) : HONE_OK;
}

/* What is folded into weights of a half type may leave its range. */
static hone_status remove_batchnorm(hone_model *m, const hone_params *params, hone_error *err)
{
    HN_TRY(edit(m, "batchnorm remove", err));
    return hn_param_b(params, "allow-nonfinite") ? HONE_OK : refuse_nonfinite(m, err);
}

hone_status hn_model_prepare_training(hone_model *m, const hone_params *params, hone_error *err)
{
    const char *batchnorm = hn_param_s(params, "batchnorm");
    HN_TRY(hn_model_plain_form(m, params, err));
    if (strcmp(batchnorm, "insert") == 0) HN_TRY(insert_batchnorm(m, err));
    if (strcmp(batchnorm, "remove") == 0 && has_batchnorm(hn_model_graph(m)))
        HN_TRY(remove_batchnorm(m, params, err));
    HN_TRY(untie(m, err)); /* what an edit made anew */
    HN_TRY(freeze(m, params, err));
    return hn_graph_blocked(hn_model_graph(m), 1, err);
}

/* ---- scalers --------------------------------------------------------------------------------- */

hone_status hn_model_put_word(struct hn_buffer *b, const char *word, hone_error *err)
{
    HN_TRY(hn_sink_str(&b->sink, " \"", err));
    for (const char *c = word; *c; c++) {
        if (*c == '"' || *c == '\\') HN_TRY(b->sink.write(&b->sink, "\\", 1, err));
        HN_TRY(b->sink.write(&b->sink, c, 1, err));
    }
    return hn_sink_str(&b->sink, "\"", err);
}

static hone_status scale(hone_model *m, const char *verb, const char *name, const char *word,
                         const struct hn_tensor values[2], hone_error *err)
{
    struct hn_buffer line;
    hn_buffer_init(&line, &m->ctx->mem);
    hone_status st = hn_sink_str(&line.sink, verb, err);
    if (st == HONE_OK) st = hn_model_put_word(&line, name, err);
    if (st == HONE_OK) st = hn_model_put_word(&line, word, err);
    if (st == HONE_OK)
        st = hn_model_apply(
            m, &(struct hn_edit_line){ .text = line.p, .values = values, .n_values = 2 }, err);
    hn_buffer_free(&line);
    return st;
}

/* The n values of one row, in the dims that a row of this value has: [1, 28, 28] for images, so that they broadcast. */
static struct hn_tensor row_of(hone_model *m, const char *name, const double *v, int64_t n)
{
    const struct hn_graph *g = hn_model_graph(m);
    const int32_t at = hn_graph_find(g, name);
    const struct hn_shape *s = at >= 0 ? &g->values[at].shape : NULL;
    struct hn_tensor t = { .dtype = HN_F64, .rank = 1, .dims = { n }, .n = n, .data = v }, row = t;
    row.rank = s && s->rank > 2 ? s->rank - 1 : 0;
    for (int i = 0; i < row.rank; i++) row.dims[i] = s->d[i + 1].fixed;
    return row.rank && hn_numel(row.rank, row.dims, &row.n) && row.n == n ? row : t;
}

hone_status hn_model_scale_input(hone_model *m, const char *name, const char *kind,
                                 const double *offset, const double *factor, int64_t n,
                                 hone_error *err)
{
    double *divisor = hn_calloc(&m->ctx->mem, (size_t)n, sizeof *divisor);
    if (!divisor) return hn_nomem(err, "the scaler", (size_t)n * sizeof *divisor);
    for (int64_t i = 0; i < n; i++) divisor[i] = 1.0 / factor[i];
    struct hn_tensor values[2] = { row_of(m, name, offset, n), row_of(m, name, divisor, n) };
    hone_status st = scale(m, "scale-input", name, kind, values, err);
    hn_free(&m->ctx->mem, divisor);
    return st;
}

hone_status hn_model_scale_output(hone_model *m, const char *name, const char *kind,
                                  const double *offset, const double *factor, int64_t n,
                                  hone_error *err)
{
    struct hn_tensor values[2] = { row_of(m, name, factor, n), row_of(m, name, offset, n) };
    return scale(m, "scale-output", name, kind, values, err);
}

hone_status hn_model_rescale_output(hone_model *m, const struct hn_unscaler *u,
                                    const double *offset, const double *by, int64_t n,
                                    hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(m);
    double *factor = hn_calloc(&m->ctx->mem, (size_t)n, sizeof *factor);
    if (!factor) return hn_nomem(err, "the scaler", (size_t)n * sizeof *factor);
    for (int64_t i = 0; i < n; i++) factor[i] = 1.0 / by[i];
    const struct hn_tensor values[2] = { { HN_F64, 1, { n }, n, factor },
                                         { HN_F64, 1, { n }, n, offset } };
    hone_status st = scale(m, "rescale-output", g->values[u->factor].name,
                           g->values[u->offset].name, values, err);
    hn_free(&m->ctx->mem, factor);
    return st;
}

static int one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word) != 0) list++;
    return *list != NULL;
}

/* A node that only shifts or stretches its input by constants. */
static int is_scaler(const struct hn_graph *g, const struct hn_node *n, int32_t value)
{
    static const char *const arithmetic[] = { "Sub", "Add", "Mul", "Div", NULL };
    static const char *const always[] = { "Scaler", "Normalizer", NULL };
    if (one_of(n->type, always)) return 1;
    if (!one_of(n->type, arithmetic) || n->n_in != 2) return 0;
    int32_t other = n->in[0] == value ? n->in[1] : n->in[0];
    return other >= 0 && g->values[other].constant != NULL;
}

int hn_model_has_scaler(hone_model *m, const char *input)
{
    static const char *const views[] = { "Cast",    "Identity",  "Flatten", "Reshape",
                                         "Squeeze", "Unsqueeze", NULL };
    const struct hn_graph *g = hn_model_graph(m);
    int32_t value = hn_graph_find(g, input);
    for (size_t i = 0; i < g->n_nodes && value >= 0; i++) { /* in topological order */
        const struct hn_node *n = &g->nodes[g->order[i]];
        int reads = 0;
        for (int k = 0; k < n->n_in; k++) reads |= n->in[k] == value;
        if (!reads) continue;
        if (is_scaler(g, n, value)) return 1;
        if (one_of(n->type, views) && n->n_out && n->in[0] == value) value = n->out[0];
    }
    return 0;
}
