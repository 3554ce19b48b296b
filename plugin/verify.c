/* SPDX-License-Identifier: MIT
 *
 * hone_verify: ONNX test vectors. A case is a folder with input_0.pb, input_1.pb, … and
 * output_0.pb, …, one TensorProto each, numbered as the graph's inputs and outputs. A number
 * passes when
 *
 *     |found - wanted| <= atol + rtol |wanted|
 *
 * or when both are NaN or the same infinity; shapes must agree. Half types are computed in float32
 * throughout, where who wrote the vectors may have rounded every value: the tolerances are then
 * about one step of the type, at 1 and elsewhere. A quantised model rounds to steps: sums in another order, or in whole numbers
 * as ONNX Runtime's integer kernels have them, settle a near-tie for the neighbour, so that atol is one step of the output's
 * rounding (or, where an output is not rounded, the largest in front of it). The graph is first taken with
 * its batch size fixed as the file has it; vectors with other rows are run on the graph whose
 * batch was lifted. Labels, integers and bools must be the same, ties of ArgMax apart (plugin/verify_labels.h), which are
 * counted. */
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/runner.h"
#include "plugin/verify_labels.h"
#include <math.h>
#include <string.h>

struct graph_run { /* the model as one program, per way of reading its batch */
    struct hn_graph *graph;
    struct hn_program *prog;
    void *w;
};

struct verify {
    hone_model *model;
    hone_context *ctx;
    const hone_params *params;
    struct hn_device device;
    struct graph_run runs[2]; /* batch as in the file, batch lifted */
    double rtol, atol;
    double max_abs, max_rel; /* over all cases */
    int64_t cases, passed, ties;
};

struct one_case {
    const char *dir;
    struct hn_arena arena;
    struct hn_tensor_pb *in; /* per graph input */
    size_t n_in;
    struct hn_dataset set;
    void **out; /* per program output */
    int64_t compared, wrong, ties;
    double max_abs, max_rel;
    const char *failure; /* the first difference in words, NULL: none */
};

/* ---- programs -------------------------------------------------------------------------------- */

static void close_run(struct verify *v, struct graph_run *r)
{
    if (r->prog) hn_program_destroy(r->prog, &v->ctx->mem);
    hn_graph_destroy(r->graph);
    hn_free(&v->ctx->mem, r->w);
    *r = (struct graph_run){ 0 };
}

/* Imports and lowers on first use. */
static hone_status open_run(struct verify *v, int lifted, hone_error *err)
{
    struct graph_run *r = &v->runs[lifted];
    struct hn_lower_opts opts = {
        .part = HN_PART_ALL, .dropout = -1.0, .labels = 1, .scores = 1, .training_form = 1
    };
    if (r->prog) return HONE_OK;
    hn_graph_destroy(r->graph);
    r->graph = NULL;
    HN_TRY(hn_model_import(v->model, !lifted, &r->graph, err));
    HN_TRY(hn_graph_blocked(r->graph, 0, err));
    HN_TRY(hn_lower(r->graph, &opts, &r->prog, err));
    if (!v->device.backend)
        HN_TRY(hn_device_open(v->ctx, v->params, r->prog->dtype, &v->device, err));
    size_t elem = v->device.backend->elem;
    r->w = hn_alloc(&v->ctx->mem, r->prog->n_slab * elem + 1);
    if (!r->w) return hn_nomem(err, "the weights", r->prog->n_slab * elem);
    return hn_model_get_weights(v->model, r->prog, r->w, elem, err);
}

/* Rows of the vectors in a program: 0 when an input does not fit. Shapes that do not follow N
 * make it 1. */
static int64_t rows_of(const struct hn_program *p, const struct one_case *c)
{
    int64_t rows = 0;
    if (c->n_in != (size_t)p->n_inputs) return 0;
    for (int i = 0; i < p->n_inputs; i++) {
        struct hn_dim n = hn_shape_count(&p->values[p->inputs[i]].shape);
        int64_t have = c->in[i].t.n;
        if (n.per_row == 0 && have != n.fixed) return 0;
        if (n.per_row == 0) continue;
        if (n.fixed || have % n.per_row || (rows && have / n.per_row != rows)) return 0;
        rows = have / n.per_row;
    }
    return rows ? rows : 1;
}

/* ---- files ----------------------------------------------------------------------------------- */

static char *vector_path(struct one_case *c, const char *what, size_t i)
{
    return hn_arena_printf(&c->arena, "%s/%s_%zu.pb", c->dir, what, i);
}

static hone_status read_vector(struct verify *v, struct one_case *c, const char *what, size_t i,
                               struct hn_tensor_pb *out, hone_error *err)
{
    const char *path = vector_path(c, what, i);
    if (!path) return hn_nomem(err, c->dir, 0);
    HN_TRY(hn_onnx_read_tensor_pb(out, v->ctx->io, &v->ctx->mem, path, 0, err));
    const struct hn_graph *g = hn_model_graph(v->model);
    const int output = !strcmp(what, "output"),
              text = !output && g->values[g->inputs[i]].dtype == HN_STR;
    if (out->t.data && (output || (out->t.dtype == HN_STR) == text)) return HONE_OK;
    hone_status st = hn_fail(err, HONE_E_UNSUPPORTED, path, "found %s, wanted %s",
                             hn_dtype_name(out->t.dtype), text ? "text" : "numbers");
    hn_onnx_free_tensor_pb(out);
    return st;
}

/* Text as a program reads it. */
static hone_status places_of(struct verify *v, struct one_case *c, const struct hn_tensor *t,
                             struct hn_column *out, hone_error *err)
{
    float *place = hn_arena_alloc(&c->arena, (size_t)t->n + 1, sizeof *place);
    if (!place) return hn_nomem(err, c->dir, (size_t)t->n * sizeof *place);
    for (int64_t i = 0; i < t->n; i++)
        place[i] =
            (float)hn_text_number(hn_model_graph(v->model), ((const char *const *)t->data)[i]);
    out->data = place, out->dtype = HN_F32;
    return HONE_OK;
}

static hone_status read_inputs(struct verify *v, struct one_case *c, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(v->model);
    const size_t n = g->n_inputs;
    struct hn_column *columns = hn_arena_alloc(&c->arena, n + 1, sizeof *columns);
    c->in = hn_arena_alloc(&c->arena, n + 1, sizeof *c->in);
    if (!c->in || !columns) return hn_nomem(err, c->dir, n * sizeof *c->in);
    for (; c->n_in < n; c->n_in++) {
        const int text = g->values[g->inputs[c->n_in]].dtype == HN_STR;
        HN_TRY(read_vector(v, c, "input", c->n_in, &c->in[c->n_in], err));
        const struct hn_tensor *t = &c->in[c->n_in].t;
        columns[c->n_in] = (struct hn_column){ t->data, t->dtype, t->n, 1.0 };
        if (text) HN_TRY(places_of(v, c, t, &columns[c->n_in], err));
    }
    c->set = (struct hn_dataset){ .n_inputs = (int)n, .inputs = columns };
    return HONE_OK;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int number_passes(const struct verify *v, struct one_case *c, double found, double wanted)
{
    if (isnan(found) || isnan(wanted)) return isnan(found) && isnan(wanted);
    if (isinf(found) || isinf(wanted)) return found == wanted;
    double d = fabs(found - wanted), rel = wanted != 0 ? d / fabs(wanted) : d > 0 ? HUGE_VAL : 0;
    c->max_abs = fmax(c->max_abs, d);
    if (wanted != 0) c->max_rel = fmax(c->max_rel, rel);
    return d <= v->atol + v->rtol * fabs(wanted);
}

static void note(struct one_case *c, const char *text)
{
    c->wrong++;
    if (!c->failure) c->failure = text ? text : "out of memory while writing what differs";
}

static int same_shape(const struct hn_extent *e, const struct hn_tensor *t)
{
    if (e->rank != t->rank) return 0;
    for (int i = 0; i < e->rank; i++)
        if (e->d[i] != t->dims[i]) return 0;
    return 1;
}

static int shapes_agree(struct one_case *c, const char *name, const struct hn_extent *shape,
                        const struct hn_tensor *wanted)
{
    c->compared++;
    if (same_shape(shape, wanted)) return 1;
    note(c, hn_arena_printf(&c->arena,
                            "output '%s': found %lld elements in %d dims, wanted %lld in %d", name,
                            (long long)hn_extent_numel(shape), shape->rank, (long long)wanted->n,
                            wanted->rank));
    return 0;
}

static void compare(const struct verify *v, struct one_case *c, const char *name, const void *found,
                    const struct hn_tensor *wanted)
{
    for (int64_t i = 0; i < wanted->n; i++) {
        double x = hn_elem_get(found, v->device.backend->elem, (size_t)i);
        double y = hn_tensor_f64(wanted, i);
        if (!number_passes(v, c, x, y))
            note(c, c->failure
                        ? c->failure
                        : hn_arena_printf(&c->arena,
                                          "output '%s', element %lld: found %.9g, wanted %.9g",
                                          name, (long long)i, x, y));
    }
}

static int of_program(const struct hn_program *p, const char *name)
{
    int k = 0;
    while (k < p->n_outputs && strcmp(p->output_names[k], name) != 0) k++;
    return k < p->n_outputs ? k : -1;
}

static void compare_labels(const struct verify *v, struct one_case *c, const struct graph_run *r,
                           struct hn_label_check *check)
{
    const struct hn_graph *g = r->graph;
    int axis = 0;
    const int32_t scores = hn_graph_scores(g, hn_graph_find(g, check->what->name), &axis);
    const int at = scores < 0 ? -1 : of_program(r->prog, g->values[scores].name);
    if (at >= 0) {
        struct hn_extent shape;
        hn_extent_of(&g->values[scores].shape, c->set.rows, &shape);
        check->scores = c->out[at], check->size = shape.d[axis], check->behind = 1;
        for (int i = axis + 1; i < shape.rank; i++) check->behind *= shape.d[i];
    }
    check->elem = v->device.backend->elem, check->rtol = v->rtol, check->atol = v->atol;
    hn_labels_compare(check);
    c->ties += check->ties;
    if (!check->wrong) return;
    c->wrong += check->wrong - 1;
    note(c, hn_arena_printf(&c->arena, "output '%s', %s", check->what->name, check->first));
}

static void compare_one(const struct verify *v, struct one_case *c, const struct graph_run *r,
                        int k, const struct hn_tensor *wanted)
{
    const char *name = r->prog->output_names[k];
    struct hn_discrete d;
    struct hn_extent shape;
    hn_extent_of(&r->prog->values[r->prog->outputs[k]].shape, c->set.rows, &shape);
    if (!shapes_agree(c, name, &shape, wanted)) return;
    struct hn_label_check check = { .what = &d, .found = c->out[k], .wanted = wanted };
    if (hn_discrete_find(r->graph, name, &d) && !d.as_given)
        compare_labels(v, c, r, &check);
    else if (wanted->dtype == HN_STR)
        note(c, hn_arena_printf(&c->arena, "output '%s': found numbers, wanted text", name));
    else
        compare(v, c, name, c->out[k], wanted);
}

/* Outputs that no program computes, and maps of a ZipMap, are left out; a program's are matched by name. */
static hone_status compare_outputs(struct verify *v, struct one_case *c, const struct graph_run *r,
                                   hone_error *err)
{
    for (size_t i = 0; i < r->graph->n_outputs; i++) {
        const char *name = r->graph->values[r->graph->outputs[i]].name;
        const int k = of_program(r->prog, name);
        if (k < 0 || r->graph->values[r->graph->outputs[i]].is_sequence) continue;
        struct hn_tensor_pb wanted = { 0 };
        HN_TRY(read_vector(v, c, "output", i, &wanted, err));
        compare_one(v, c, r, k, &wanted.t);
        hn_onnx_free_tensor_pb(&wanted);
    }
    if (c->compared) return HONE_OK;
    return hn_fail(err, HONE_E_UNSUPPORTED, hn_model_onnx(v->model)->name,
                   "none of its outputs can be computed");
}

/* ---- a case ---------------------------------------------------------------------------------- */

static hone_status run_program(struct verify *v, struct one_case *c, const struct graph_run *r,
                               hone_error *err)
{
    const struct hn_program *p = r->prog;
    struct hn_runner run;
    c->out = hn_arena_alloc(&c->arena, (size_t)p->n_outputs + 1, sizeof *c->out);
    if (!c->out) return hn_nomem(err, c->dir, 0);
    for (int i = 0; i < p->n_outputs; i++) {
        struct hn_extent e;
        hn_extent_of(&p->values[p->outputs[i]].shape, c->set.rows, &e);
        size_t n = (size_t)hn_extent_numel(&e);
        c->out[i] = hn_arena_alloc(&c->arena, n + 1, v->device.backend->elem);
        if (!c->out[i]) return hn_nomem(err, p->output_names[i], n);
    }
    HN_TRY(hn_runner_open(&run, v->ctx, &v->device, p, HN_PASS_PREDICT, &c->set, err));
    hone_status st = hn_runner_weights(&run, r->w, 0, p->n_slab, err);
    if (st == HONE_OK) st = hn_runner_run(&run, NULL, c->out, err);
    hn_runner_close(&run);
    return st;
}

static hone_status choose_run(struct verify *v, struct one_case *c, struct graph_run **out,
                              hone_error *err)
{
    for (int lifted = 0; lifted < 2; lifted++) {
        HN_TRY(open_run(v, lifted, err));
        int64_t rows = rows_of(v->runs[lifted].prog, c);
        if (!rows) continue;
        for (size_t i = 0; i < c->n_in; i++) {
            const struct hn_program *p = v->runs[lifted].prog;
            struct hn_column *column = (struct hn_column *)&c->set.inputs[i];
            int64_t per_row = hn_shape_count(&p->values[p->inputs[i]].shape).per_row;
            column->per_row = per_row ? per_row : c->in[i].t.n;
        }
        c->set.rows = rows;
        *out = &v->runs[lifted];
        return HONE_OK;
    }
    return hn_fail(err, HONE_E_DATA, c->dir, "the input vectors do not fit the model's inputs");
}

/* The narrowest float type of the graph decides: its rounding is seen in what is wider, too. */
static void default_tolerances(struct verify *v, const struct hn_graph *g)
{
    static const struct {
        enum hn_dtype dtype;
        double rtol, atol;
    } known[] = { { HN_F64, 1e-7, 1e-12 },
                  { HN_F32, 1e-3, 1e-7 },
                  { HN_F16, 1e-3, 1e-3 },
                  { HN_BF16, 1.6e-2, 1e-2 } };
    size_t at = g->dtype == HN_F64 ? 0 : 1;
    for (size_t i = 0; i < g->n_values; i++)
        for (size_t k = at + 1; k < sizeof known / sizeof *known; k++)
            if (k > 1 && g->values[i].dtype == known[k].dtype) at = k;
    double atol = known[at].atol;
    for (size_t i = 0; i < g->n_outputs; i++)
        atol = fmax(atol, 1.001 * hn_graph_step(g, g->outputs[i]));
    if (isnan(v->rtol)) v->rtol = known[at].rtol;
    if (isnan(v->atol)) v->atol = atol;
}

static hone_status run_case(struct verify *v, struct one_case *c, hone_error *err)
{
    struct graph_run *r = NULL;
    HN_TRY(read_inputs(v, c, err));
    HN_TRY(choose_run(v, c, &r, err));
    default_tolerances(v, r->graph);
    HN_TRY(run_program(v, c, r, err));
    return compare_outputs(v, c, r, err);
}

static hone_status verify_dir(struct verify *v, const char *dir, hone_result *result,
                              hone_error *err)
{
    struct one_case c = { .dir = dir };
    hn_arena_init(&c.arena, &v->ctx->mem);
    hone_status st = run_case(v, &c, err);
    if (st == HONE_OK) {
        v->cases++;
        v->passed += c.wrong == 0;
        v->ties += c.ties;
        v->max_abs = fmax(v->max_abs, c.max_abs);
        v->max_rel = fmax(v->max_rel, c.max_rel);
        hn_result_object(result, NULL);
        hn_result_string(result, "case", dir);
        hn_result_bool(result, "passed", c.wrong == 0);
        hn_result_int(result, "outputs", c.compared);
        hn_result_int(result, "different", c.wrong);
        hn_result_int(result, "ties", c.ties);
        hn_result_string(result, "first", c.failure);
        hn_result_double(result, "max_abs", c.max_abs);
        hn_result_double(result, "max_rel", c.max_rel);
        hn_result_close(result);
    }
    for (size_t i = 0; i < c.n_in; i++) hn_onnx_free_tensor_pb(&c.in[i]);
    hn_arena_clear(&c.arena);
    return st;
}

static hone_status verify_all(struct verify *v, const char *const *dirs, size_t n_dirs,
                              hone_result *result, hone_error *err)
{
    hn_result_array(result, "rows");
    for (size_t i = 0; i < n_dirs; i++) HN_TRY(verify_dir(v, dirs[i], result, err));
    hn_result_close(result);
    hn_result_int(result, "cases", v->cases);
    hn_result_int(result, "passed", v->passed);
    hn_result_int(result, "ties", v->ties);
    hn_result_double(result, "max_abs", v->max_abs);
    hn_result_double(result, "max_rel", v->max_rel);
    hn_result_double(result, "rtol", v->rtol);
    hn_result_double(result, "atol", v->atol);
    return hn_result_done(result, err);
}

static hone_status verify(hone_model *m, const char *const *dirs, size_t n_dirs,
                          const hone_params *params, hone_result **out, hone_error *err)
{
    struct verify v = { .model = m, .ctx = m->ctx, .params = params };
    v.rtol = hn_param_f(params, "rtol");
    v.atol = hn_param_f(params, "atol");
    *out = NULL;
    if (n_dirs == 0) return hn_fail(err, HONE_E_USAGE, "verify", "no folder with test vectors");
    HN_TRY(hn_result_create(m->ctx, "hone.verify/1", out, err));
    hone_status st = verify_all(&v, dirs, n_dirs, *out, err);
    close_run(&v, &v.runs[0]);
    close_run(&v, &v.runs[1]);
    hn_device_close(&v.device);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_verify(hone_model *m, const char *const *dirs, size_t n_dirs,
                        const hone_params *params, hone_result **out, hone_error *err)
{
    return hn_nomem_why(&m->ctx->mem, verify(m, dirs, n_dirs, params, out, err), err);
}
