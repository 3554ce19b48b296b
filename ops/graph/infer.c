/* SPDX-License-Identifier: MIT
 *
 * Shapes, types and constants of every value, in topological order. Dims are affine in one symbol, per_row * N + fixed.
 * A node that cannot be inferred is marked with its reason and the pass goes on: whether that matters is decided later,
 * by who needs it.
 *
 * A leading batch size that the file fixes is first taken for N ("lifted"); when a node that is needed contradicts that
 * (a Reshape to [2,-1]), the pass is run again with the fixed size and the node is named in an issue. */
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include "ops/math/row.h"
#include <string.h>

enum { MAX_INTS = 1024 };

/* ---- helpers of infer functions --------------------------------------------------------------------------------- */

int32_t hn_in(const struct hn_infer *c, int i) { return i < c->n->n_in ? c->n->in[i] : -1; }

const struct hn_value *hn_in_value(const struct hn_infer *c, int i)
{
    int32_t v = hn_in(c, i);
    return v >= 0 ? &c->g->values[v] : NULL;
}

const struct hn_shape *hn_in_shape(const struct hn_infer *c, int i)
{
    const struct hn_value *v = hn_in_value(c, i);
    return v ? &v->shape : NULL;
}

void *hn_infer_alloc(struct hn_infer *c, size_t n, size_t size)
{
    void *p = hn_arena_alloc(&c->g->arena, n ? n : 1, size);
    if (!p) (void)hn_nomem(c->err, "shape inference", n * size);
    return p;
}

hone_status hn_out(struct hn_infer *c, int k, enum hn_dtype t, const struct hn_shape *s)
{
    char text[160];
    if (k >= c->n->n_out || c->n->out[k] < 0) return HONE_OK;
    struct hn_value *v = &c->g->values[c->n->out[k]];
    int follow = 0;
    int64_t fixed = 1, per_row = 1;
    for (int i = 0; i < s->rank; i++) {
        follow += s->d[i].per_row != 0;
        if (s->d[i].per_row == 0 ? !hn_mul_i64(fixed, s->d[i].fixed, &fixed)
                                 : !hn_mul_i64(per_row, s->d[i].per_row, &per_row))
            return hn_fail(c->err, HONE_E_BUDGET, c->label, "output %s has too many elements",
                           hn_shape_text(s, text, sizeof text));
    }
    if (follow > 1)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "output %s follows the batch size in two dimensions",
                       hn_shape_text(s, text, sizeof text));
    if (!hn_mul_i64(fixed, per_row, &fixed))
        return hn_fail(c->err, HONE_E_BUDGET, c->label, "output %s has too many elements",
                       hn_shape_text(s, text, sizeof text));
    v->dtype = t;
    v->shape = *s;
    v->shape_known = 1;
    return HONE_OK;
}

hone_status hn_axis(struct hn_infer *c, int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: axis %lld of a tensor of rank %d",
                       c->n->type, (long long)axis, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return HONE_OK;
}

static int is_whole(enum hn_dtype t) { return t == HN_I64 || t == HN_I32 || t == HN_BOOL; }

const struct hn_dim *hn_value_ints(struct hn_graph *g, int32_t v, int64_t *n, int *nomem)
{
    struct hn_value_fact *f = &g->facts->values[v];
    const struct hn_tensor *t = g->values[v].constant;
    *nomem = 0;
    if (!f->ints && t && is_whole(t->dtype) && t->n <= MAX_INTS) {
        f->ints = hn_arena_alloc(&g->arena, (size_t)t->n + 1, sizeof *f->ints);
        if (!f->ints) return *nomem = 1, NULL;
        f->n_ints = t->n;
        for (int64_t i = 0; i < t->n; i++) f->ints[i] = (struct hn_dim){ 0, hn_tensor_i64(t, i) };
    }
    *n = f->n_ints;
    return f->ints;
}

int64_t hn_int_count(const struct hn_graph *g, int32_t v)
{
    const struct hn_tensor *t = v >= 0 ? g->values[v].constant : NULL;
    if (v >= 0 && g->facts->values[v].ints) return g->facts->values[v].n_ints;
    return t && (t->dtype == HN_I64 || t->dtype == HN_I32) ? t->n : -1;
}

int hn_int_at(const struct hn_graph *g, int32_t v, int64_t i, struct hn_dim *d)
{
    if (i < 0 || i >= hn_int_count(g, v)) return 0;
    const struct hn_dim *known = g->facts->values[v].ints;
    *d = known ? known[i] : (struct hn_dim){ 0, hn_tensor_i64(g->values[v].constant, i) };
    return 1;
}

hone_status hn_in_i64s(struct hn_infer *c, int i, const int64_t **v, int64_t *n)
{
    int nomem;
    *v = NULL, *n = -1;
    if (hn_in(c, i) < 0) return HONE_OK;
    const struct hn_dim *d = hn_value_ints(c->g, hn_in(c, i), n, &nomem);
    if (nomem) return hn_nomem(c->err, "shape inference", 0);
    int fixed = d != NULL;
    for (int64_t k = 0; fixed && k < *n; k++) fixed = d[k].per_row == 0;
    if (!fixed)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                       "%s: input '%s' must be a constant list of integers", c->n->type,
                       hn_in_value(c, i)->name);
    int64_t *copy = hn_infer_alloc(c, (size_t)*n, sizeof *copy);
    if (!copy) return HONE_E_NOMEM;
    for (int64_t k = 0; k < *n; k++) copy[k] = d[k].fixed;
    *v = copy;
    return HONE_OK;
}

hone_status hn_axes_mask(struct hn_infer *c, int input, int rank, uint32_t *mask, int *present)
{
    const int64_t *axes = c->a->axes.i;
    int64_t n = c->a->axes.present ? (int64_t)c->a->axes.n : -1;
    if (hn_in(c, input) >= 0) HN_TRY(hn_in_i64s(c, input, &axes, &n));
    *mask = 0;
    *present = n >= 0;
    for (int64_t i = 0; i < n; i++) {
        int axis = 0;
        HN_TRY(hn_axis(c, axes[i], rank, &axis));
        if (*mask >> axis & 1u)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: axis %d is named twice", c->n->type,
                           axis);
        *mask |= 1u << axis;
    }
    return HONE_OK;
}

int hn_value_scalar(const struct hn_graph *g, int32_t v, double *x)
{
    if (v < 0) return 0;
    const struct hn_tensor *t = g->values[v].constant;
    if (t && t->n == 1 && t->dtype != HN_STR) return *x = hn_tensor_f64(t, 0), 1;
    if (g->facts->values[v].splat) return *x = g->facts->values[v].splat_value, 1;
    return 0;
}

/* ---- one node ------------------------------------------------------------------------------------------------- */

static hone_status check_counts(struct hn_infer *c)
{
    const struct hn_onnx_row *r = c->row;
    if (c->n->n_in < r->in_min || (c->n->n_in > r->in_max && r->in_max != 255))
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s has %d inputs, wanted %d to %d",
                       c->n->type, c->n->n_in, r->in_min, r->in_max);
    if (c->n->n_out > r->out_max && r->out_max != 255)
        return hn_fail(c->err, HONE_E_MODEL, c->label, "%s has %d outputs, wanted at most %d",
                       c->n->type, c->n->n_out, r->out_max);
    for (int i = 0; i < r->in_min; i++)
        if (c->n->in[i] < 0)
            return hn_fail(c->err, HONE_E_MODEL, c->label, "%s: input %d is missing", c->n->type,
                           i);
    return HONE_OK;
}

static hone_status check_types(struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++) {
        const struct hn_value *v = hn_in_value(c, i);
        if (!v) continue;
        if (v->dtype != HN_NONE && v->dtype != HN_STR && hn_dtype_size(v->dtype) == 0)
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "'%s' has element type %d, which is not supported", v->name,
                           (int)v->dtype);
        int data = (int)(c->row->data >> (i < 31 ? i : 31) & 1u);
        if (data && (c->row->flags & HN_ROW_FLOAT) && !hn_dtype_is_float(v->dtype))
            return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label,
                           "%s of '%s', which is %s: wanted a float type", c->n->type, v->name,
                           hn_dtype_name(v->dtype));
    }
    return HONE_OK;
}

/* Integers the output is known to hold; fixed ones become a constant. */
static hone_status infer_ints(struct hn_infer *c)
{
    if (!c->row->ints || c->n->n_out < 1 || c->n->out[0] < 0) return HONE_OK;
    int32_t y = c->n->out[0];
    struct hn_value *v = &c->g->values[y];
    if (v->constant || !is_whole(v->dtype)) return HONE_OK;
    struct hn_dim count = hn_shape_count(&v->shape);
    if (count.per_row != 0 || count.fixed > MAX_INTS) return HONE_OK;
    HN_TRY(c->row->ints(c));
    struct hn_value_fact *f = &c->g->facts->values[y];
    int fixed = f->ints != NULL;
    for (int64_t i = 0; fixed && i < f->n_ints; i++) fixed = f->ints[i].per_row == 0;
    if (!fixed) return HONE_OK;
    struct hn_tensor *t = hn_infer_alloc(c, 1, sizeof *t);
    char *data = hn_infer_alloc(c, (size_t)f->n_ints + 1, sizeof(int64_t));
    if (!t || !data) return HONE_E_NOMEM;
    *t = (struct hn_tensor){
        .dtype = v->dtype, .rank = v->shape.rank, .n = f->n_ints, .data = data
    };
    for (int i = 0; i < t->rank; i++) t->dims[i] = v->shape.d[i].fixed;
    for (int64_t i = 0; i < f->n_ints; i++)
        hn_convert(data + (size_t)i * hn_dtype_size(v->dtype), v->dtype, &f->ints[i].fixed, HN_I64,
                   1);
    v->constant = t;
    return HONE_OK;
}

static int all_constant(const struct hn_infer *c)
{
    for (int i = 0; i < c->n->n_in; i++)
        if (c->n->in[i] >= 0 && !c->g->values[c->n->in[i]].constant) return 0;
    return 1;
}

static hone_status infer_row(struct hn_infer *c)
{
    if (!c->a) { /* else read in an earlier pass */
        struct hn_onnx_attrs *a = hn_infer_alloc(c, 1, sizeof *a);
        if (!a) return HONE_E_NOMEM;
        HN_TRY(hn_onnx_attrs_read(c, a));
        c->a = a;
    }
    HN_TRY(check_counts(c));
    HN_TRY(check_types(c));
    HN_TRY(hn_check_texts(c));
    if (!(c->row->flags & HN_ROW_LABELS)) HN_TRY(hn_wants_numbers(c));
    if (c->g->facts->unbatched && !all_constant(c) && !(c->row->flags & HN_ROW_SINGLE) &&
        c->row->infer != hn_infer_identity)
        return hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s depends on the rank of the row",
                       c->n->type);
    HN_TRY(c->row->infer(c));
    HN_TRY(hn_check_no_text_out(c));
    HN_TRY(infer_ints(c));
    int done = c->n->n_out > 0 && c->n->out[0] >= 0 && c->g->values[c->n->out[0]].constant != NULL;
    if (!done && (c->row->flags & HN_ROW_FOLD) && all_constant(c)) HN_TRY(hn_fold_node(c));
    return HONE_OK;
}

static hone_status keep_reason(struct hn_graph *g, struct hn_node_fact *f, const hone_error *err)
{
    f->code = err->code;
    f->reason = hn_arena_strdup(&g->arena, err->text);
    f->remedy = err->hint[0] ? hn_arena_strdup(&g->arena, err->hint) : NULL;
    return f->reason && (f->remedy || !err->hint[0]) ? HONE_OK : HONE_E_NOMEM;
}

static const char quantized[] = "the model is quantised in a form that computes with whole numbers";

static int is_quantized(const char *type)
{
    static const char *const types[] = { "DynamicQuantizeLinear", "DynamicQuantizeMatMul",
                                         "MatMulInteger",         "MatMulIntegerToFloat",
                                         "MatMulNBits",           "QGemm" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0) return 1;
    return strncmp(type, "QLinear", 7) == 0;
}

/* A domain of somebody's own, whose operators a plug-in may know. */
static int is_foreign(const char *domain)
{
    return domain[0] && strncmp(domain, "ai.onnx", 7) != 0 &&
           strncmp(domain, "com.microsoft", 13) != 0;
}

/* What tf2onnx leaves as it was where it knows no ONNX for it. */
static int is_tensorflow(const struct hn_node *n)
{
    static const char *const types[] = { "Erfc", "Expm1", "Log1p", "StatelessRandomUniformV2" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!n->domain[0] && strcmp(n->type, types[i]) == 0) return 1;
    return 0;
}

/* What loops are made of: torch.onnx writes EmbeddingBag as one over the bags, whatever their size. */
static int is_loop(const struct hn_node *n)
{
    static const char *const types[] = { "Loop", "Scan", "SequenceEmpty", "SequenceInsert",
                                         "ConcatFromSequence" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!n->domain[0] && strcmp(n->type, types[i]) == 0) return 1;
    return 0;
}

static void unknown_operator(struct hn_infer *c, int known)
{
    if (is_quantized(c->n->type)) {
        (void)hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s: %s", c->n->type, quantized);
        (void)hn_hint(c->err, HONE_E_UNSUPPORTED,
                      "export it in QDQ format (QuantFormat.QDQ), or use the float model");
    } else if (known) {
        (void)hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "%s is not supported at opset %lld",
                      c->n->type, (long long)hn_node_opset(c->g, c->n));
    } else {
        (void)hn_fail(c->err, HONE_E_UNSUPPORTED, c->label, "operator %s%s%s is not supported",
                      c->n->domain, c->n->domain[0] ? "." : "", c->n->type);
        if (is_foreign(c->n->domain))
            (void)hn_hint(c->err, HONE_E_UNSUPPORTED, "a plug-in may have it: --plugin ./FILE.so");
        if (is_loop(c->n))
            (void)hn_hint(c->err, HONE_E_UNSUPPORTED,
                          "loops are not unrolled; PyTorch exports nn.EmbeddingBag as one: an "
                          "nn.Embedding of the same weight, and .mean(1), .sum(1) or .amax(1) of "
                          "what it gives, is the same for as many indices in every row");
        if (is_tensorflow(c->n))
            (void)hn_hint(
                c->err, HONE_E_UNSUPPORTED,
                "this is TensorFlow's, no ONNX operator, and no runtime opens the file: export "
                "with what tf2onnx can convert (Keras: gelu with approximate=True, elu for celu)");
    }
}

/* What an output of a node that failed is known to hold: nothing; but it is a label's where that was. */
static void forget(struct hn_graph *g, const struct hn_node *n, int32_t v)
{
    struct hn_value_fact *f = &g->facts->values[v];
    g->values[v].constant = NULL;
    f->labels = NULL, f->n_positions = 0;
    for (int k = 0; k < n->n_in; k++) f->label |= n->in[k] >= 0 && g->facts->values[n->in[k]].label;
}

static hone_status infer_node(struct hn_graph *g, int32_t i, int64_t lifted)
{
    struct hn_node *n = &g->nodes[i];
    struct hn_node_fact *f = &g->facts->nodes[i];
    hone_error err = { .code = HONE_OK };
    struct hn_infer c = { .g = g, .n = n, .a = f->attrs, .lifted = lifted, .err = &err };
    int known, nomem = 0;
    hn_node_label(n, c.label, sizeof c.label);
    c.row = hn_onnx_row_find(n->domain, n->type, hn_node_opset(g, n), &known);
    if (!c.row && !known) c.row = hn_custom_row(g, n, &nomem);
    if (nomem) return HONE_E_NOMEM;
    n->row = c.row;
    *f = (struct hn_node_fact){
        .attrs = f->attrs, .state = HN_NODE_OK, .state_at = -1, .owner = -1
    };
    if (!n->row) {
        f->state = HN_NODE_FAILED;
        unknown_operator(&c, known);
        return keep_reason(g, f, &err);
    }
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] >= 0 && !g->values[n->in[k]].shape_known && !hn_needless(n->row, k)) {
            f->state = HN_NODE_BLOCKED;
            return HONE_OK;
        }
    hone_status st = infer_row(&c);
    f->attrs = c.a;
    if (st == HONE_OK || st == HONE_E_NOMEM) return st;
    f->state =
        HN_NODE_FAILED; /* unsupported: shapes found before stay, so that what follows can be understood */
    for (int k = 0; k < n->n_out && err.code != HONE_E_UNSUPPORTED; k++)
        if (n->out[k] >= 0) g->values[n->out[k]].shape_known = 0;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] >= 0) forget(g, n, n->out[k]);
    return keep_reason(g, f, &err);
}

/* ---- the whole graph ------------------------------------------------------------------------------------------ */

static void set_constant_shape(struct hn_value *v)
{
    v->dtype = v->constant->dtype;
    v->shape.rank = v->constant->rank;
    for (int i = 0; i < v->shape.rank; i++)
        v->shape.d[i] = (struct hn_dim){ 0, v->constant->dims[i] };
    v->shape_known = 1;
}

enum batch {
    AS_DECLARED,
    ADDED /* N goes in front of rank 1 */,
    LIFTED /* the fixed leading dim is N */,
    LISTS /* ... and so is the dim of integers of rank 1: an index for each row */
};

static int is_index_list(const struct hn_value *v, int64_t k)
{
    return v->decl_rank == 1 && v->decl_dims[0] == k && (v->dtype == HN_I64 || v->dtype == HN_I32);
}

/* A graph input: dim 0 is N when it is open, or fixed and lifted; the others must be known. */
static void set_input_shape(struct hn_value *v, enum batch b, int64_t k)
{
    int lift = (b == LISTS && is_index_list(v, k)) ||
               (b >= LIFTED && v->decl_rank >= 2 && v->decl_dims[0] == k);
    int64_t n = 1;
    v->shape.rank = v->decl_rank < 0 ? 0 : v->decl_rank;
    v->shape_known = v->decl_rank >= 0;
    for (int i = 0; i < v->decl_rank; i++) {
        int64_t d = v->decl_dims[i];
        int open = i == 0 && (d <= 0 || lift);
        v->shape.d[i] = open ? (struct hn_dim){ 1, 0 } : (struct hn_dim){ 0, d };
        if (!open && (d < 0 || !hn_mul_i64(n, d, &n))) v->shape_known = 0;
    }
    if (b == ADDED) v->shape = (struct hn_shape){ 2, { { 1, 0 }, v->shape.d[0] } };
}

static hone_status run_pass(struct hn_graph *g, enum batch b, int64_t k, hone_error *err)
{
    struct hn_facts *f = g->facts;
    f->unbatched = b == ADDED;
    for (size_t i = 0; i < g->n_values; i++) {
        struct hn_value *v = &g->values[i];
        f->values[i] = (struct hn_value_fact){ .root = -1 };
        v->alias_of = -1;
        if (v->producer >= 0) v->constant = NULL, v->tensor_id = -1, v->shape_known = 0;
        if (v->is_initializer && v->constant) set_constant_shape(v), f->values[i].root = (int32_t)i;
    }
    for (size_t i = 0; i < g->n_inputs; i++) set_input_shape(&g->values[g->inputs[i]], b, k);
    for (size_t i = 0; i < g->n_nodes; i++)
        if (infer_node(g, g->order[i], b >= LIFTED ? k : 0) != HONE_OK)
            return hn_nomem(err, "shape inference", 0);
    hn_graph_liveness(g);
    return HONE_OK;
}

/* The leading size all inputs of rank >= 2 with a fixed one share, 0: there is none, or they differ. */
static int64_t declared_batch(const struct hn_graph *g)
{
    int64_t k = 0;
    for (size_t i = 0; i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if (v->decl_rank < 2 || v->decl_dims[0] <= 0) continue;
        if (k && v->decl_dims[0] != k) return 0;
        k = v->decl_dims[0];
    }
    return k;
}

static int has_open_input(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if (v->decl_rank >= 1 && v->decl_dims[0] <= 0) return 1;
    }
    return 0;
}

/* All inputs are integers of rank 1 and of one length, which is returned: an index for each row each? 0: they are not. */
static int64_t takes_lists_alone(const struct hn_graph *g)
{
    const struct hn_value *first = g->n_inputs ? &g->values[g->inputs[0]] : NULL;
    const int64_t k = first && first->decl_rank == 1 ? first->decl_dims[0] : 0;
    for (size_t i = 0; i < g->n_inputs; i++)
        if (!is_index_list(&g->values[g->inputs[i]], k)) return 0;
    return k > 0 ? k : 0;
}

/* Do all outputs have the rows (of a number, where it is fixed) in front? */
static int gives_rows(const struct hn_graph *g, int64_t fixed)
{
    for (size_t i = 0; i < g->n_outputs; i++) {
        const struct hn_value *y = &g->values[g->outputs[i]];
        if (!y->shape_known || y->shape.rank < 1 || y->shape.d[0].per_row != !fixed ||
            y->shape.d[0].fixed != fixed)
            return 0;
    }
    return 1;
}

/* All inputs are single rows, [features]. */
static int takes_single_rows(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_inputs; i++) {
        const struct hn_value *v = &g->values[g->inputs[i]];
        if (v->decl_rank != 1 || v->decl_dims[0] <= 0) return 0;
    }
    return g->n_inputs > 0;
}

/* What chooses labels, or stands behind that: nothing that is trained depends on it. */
static int is_label_tail(const struct hn_graph *g, const struct hn_node *n)
{
    if (n->row->infer == hn_infer_arg || n->row->infer == hn_infer_topk) return 1;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] >= 0 && g->facts->values[n->in[k]].label) return 1;
    return 0;
}

/* The first needed node, in order, that contradicts the shapes; -1: none. Unsupported operators do not count, nor do labels. */
static int32_t first_contradiction(const struct hn_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node_fact *f = &g->facts->nodes[g->order[i]];
        const struct hn_node *n = &g->nodes[g->order[i]];
        if (f->live && f->state == HN_NODE_FAILED && n->row && !is_label_tail(g, n))
            return g->order[i];
    }
    return -1;
}

static hone_status baked_issue(struct hn_graph *g, int32_t node, const char *reason,
                               hone_error *err)
{
    hone_status st = hn_graph_issue(
        g, HN_BLOCKS_TRAINING, node, HONE_E_UNSUPPORTED,
        "--batch-dim symbolic frees constant reshapes; else export with a dynamic batch dimension "
        "(dynamic_axes, dynamic_shapes), or flatten with view(x.size(0), -1)",
        "the batch size %lld is baked into the graph here: %s", (long long)g->fixed_batch, reason);
    return st == HONE_OK ? st : hn_nomem(err, "the list of issues", 0);
}

static int has_index_list(const struct hn_graph *g, int64_t k)
{
    for (size_t i = 0; i < g->n_inputs; i++)
        if (is_index_list(&g->values[g->inputs[i]], k)) return 1;
    return 0;
}

/* Inputs of rank >= 2 with the fixed leading size k: as N where nothing that is needed contradicts that. */
static hone_status lift(struct hn_graph *g, int64_t k, hone_error *err)
{
    if (has_index_list(g, k)) {
        HN_TRY(run_pass(g, LISTS, k, err));
        g->batch_lifted = g->batch_lists = first_contradiction(g) < 0;
        if (g->batch_lifted) return HONE_OK;
    }
    HN_TRY(run_pass(g, LIFTED, k, err));
    int32_t at = first_contradiction(g);
    g->batch_lifted = at < 0;
    if (at < 0) return HONE_OK;
    const char *reason = g->facts->nodes[at].reason;
    HN_TRY(run_pass(g, AS_DECLARED, 0, err));
    if (g->fixed_batch == 0) return HONE_OK; /* other inputs are open: only these stay fixed */
    if (first_contradiction(g) < 0) return baked_issue(g, at, reason, err);
    g->batch_lifted = 1; /* something else is wrong: say that about the model with N */
    return run_pass(g, LIFTED, k, err);
}

/* A model of one row [features] runs on rows [N,features] when every operator works on each row by itself. */
static hone_status add_batch(struct hn_graph *g, hone_error *err)
{
    HN_TRY(run_pass(g, ADDED, 0, err));
    g->batch_lifted = first_contradiction(g) < 0;
    return g->batch_lifted ? HONE_OK : run_pass(g, AS_DECLARED, 0, err);
}

/* k indices each: of k rows where the outputs are k rows too, else one row of k. */
static hone_status lift_lists(struct hn_graph *g, int64_t k, hone_error *err)
{
    HN_TRY(run_pass(g, LISTS, k, err));
    g->batch_lifted = g->batch_lists = first_contradiction(g) < 0 && gives_rows(g, 0);
    if (!g->batch_lifted) return add_batch(g, err);
    g->fixed_batch = k;
    return HONE_OK;
}

static hone_status keep_batch(struct hn_graph *g, int64_t k, hone_error *err)
{
    HN_TRY(run_pass(g, AS_DECLARED, 0, err));
    if (k && gives_rows(g, k)) g->fixed_batch = k;
    return HONE_OK;
}

hone_status hn_graph_infer(struct hn_graph *g, const struct hn_graph_opts *opts, hone_error *err)
{
    const int64_t k = declared_batch(g), list = takes_lists_alone(g);
    HN_TRY(hn_graph_find_texts(g, err));
    g->batch_lifted = g->batch_lists = 0;
    g->fixed_batch = has_open_input(g) ? 0 : k ? k : 1;
    if (opts && opts->keep_fixed_batch &&
        !(k > 0 && has_open_input(g))) /* else an open one says N */
        return keep_batch(g, list, err);
    if (k > 0) return lift(g, k, err);
    if (list) return lift_lists(g, list, err);
    return takes_single_rows(g) ? add_batch(g, err) : run_pass(g, AS_DECLARED, 0, err);
}
