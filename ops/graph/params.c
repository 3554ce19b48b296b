/* SPDX-License-Identifier: MIT
 *
 * Which tensors are parameters, and which of those learn. One record per root initializer (or Constant), one use per
 * occurrence; running statistics are states, a record per slot. Defaults, in this order:
 *
 *   --freeze glob                                   frozen        --train glob                    trained
 *   the exporter calls it buffer or constant        frozen        ... parameter                   trained
 *   scales of norms and masks of zeros and ones that it declares and calls nothing, where it says what is one      frozen
 *   weight and bias of Gemm and MatMul, slopes      trained       normalisation scale and bias    trained (an author's
 *                                                                  Constant, as affine=False has it: frozen)
 *   what undoes the scaling of targets (unscale.c)  frozen
 *   Add or Mul by a tensor next to a dense layer    trained       anything before the first one   frozen (a normaliser)
 *   other element-wise tensors                      frozen        single numbers                  no parameter
 *
 * What a weight, bias or scale is computed from (weight norm, a mask): see computed.c. */
#include "ops/graph/params.h"
#include "ops/graph/pattern.h"
#include "ops/graph/rows.h"

#include "ops/base/status.h"
#include <fnmatch.h>
#include <string.h>

const char hn_why_asked[] = "frozen by request";
const char hn_why_element[] = "an element-wise constant";
static const char why_away[] = "an element-wise constant away from dense layers";
enum { NEAR = 8 }; /* how far "next to a dense layer" looks */

static const struct hn_node *node_of(const struct hn_graph *g, int32_t i) { return &g->nodes[i]; }

static int is_type(const struct hn_node *n, const char *type)
{
    return n->row && strcmp(n->type, type) == 0;
}

static int is_gemm(const struct hn_node *n)
{
    return is_type(n, "Gemm") || is_type(n, "FusedGemm");
}

int hn_node_is_product(const struct hn_node *n)
{
    return is_gemm(n) || is_type(n, "MatMul") || is_type(n, "FusedMatMul") || is_type(n, "Einsum");
}

/* SkipLayerNormalization, with a bias of what is normalised as its last input. */
static int is_skip_norm(const struct hn_node *n)
{
    return n->row && n->row->infer == hn_infer_skip_norm;
}

/* The kind of the activation inside a FusedGemm, or -1. */
static int32_t inside(const struct hn_graph *g, const struct hn_node *n)
{
    struct hn_onnx_attrs of;
    if (!is_type(n, "FusedGemm")) return -1;
    const struct hn_onnx_row *row =
        hn_fused_activation(n, g->facts->nodes[n - g->nodes].attrs, &of);
    return row ? row->kind : -1;
}

static int is_norm(const struct hn_node *n)
{
    return is_type(n, "BatchNormalization") || is_type(n, "LayerNormalization") ||
           (n->row && (n->row->infer == hn_infer_rmsnorm || n->row->infer == hn_infer_groupnorm)) ||
           is_skip_norm(n);
}

static int is_rounding(const struct hn_node *n) { return hn_is_quantize(n) || hn_is_dequantize(n); }

/* The activation a node passes through unchanged in kind: views, dropout, rounding, element-wise ops with a constant. -1: none. */
static int32_t passed(const struct hn_graph *g, const struct hn_node *n)
{
    if (!n->row) return -1;
    if ((n->row->flags & HN_ROW_VIEW) || is_type(n, "Dropout") || is_rounding(n)) return n->in[0];
    if (n->row->infer != hn_infer_binary || n->n_in != 2) return -1;
    if (g->values[n->in[1]].constant) return n->in[0];
    return g->values[n->in[0]].constant ? n->in[1] : -1;
}

/* Two operands that are both computed: a sum or product of what layers give. */
static int joins(const struct hn_graph *g, const struct hn_node *n)
{
    return n->row && n->row->infer == hn_infer_binary && n->n_in == 2 &&
           !g->values[n->in[0]].constant && !g->values[n->in[1]].constant;
}

/* Is v, seen through what passes, the output of a dense layer or a normalisation, or joined from one? */
static int behind_dense(const struct hn_graph *g, int32_t v, int most)
{
    for (int i = 0; i < most && v >= 0 && g->values[v].producer >= 0; i++) {
        const struct hn_node *n = node_of(g, g->values[v].producer);
        int32_t owner = g->facts->nodes[n - g->nodes].owner;
        const struct hn_pattern *p = owner >= 0 ? g->facts->nodes[owner].pattern : NULL;
        if ((hn_node_is_product(n) && inside(g, n) < 0) || is_norm(n) ||
            (p && p->kind != HN_PT_UNARY))
            return 1;
        if (joins(g, n))
            return behind_dense(g, n->in[0], most - i - 1) ||
                   behind_dense(g, n->in[1], most - i - 1);
        v = passed(g, n);
    }
    return 0;
}

/* Does v, seen through what passes, go into a dense layer and nowhere else? */
static int before_dense(const struct hn_graph *g, int32_t v)
{
    for (int i = 0; i < NEAR && v >= 0 && hn_n_uses(g, v) == 1; i++) {
        const struct hn_consumer *u = &g->facts->uses[g->facts->use_first[v]];
        if (u->node < 0) return 0;
        const struct hn_node *n = node_of(g, u->node);
        if (hn_node_is_product(n)) return 1;
        if (passed(g, n) != v) return 0;
        v = n->out[0];
    }
    return 0;
}

/* The node of that type that makes v, seen through Casts from a float type to itself. */
static const struct hn_node *maker(const struct hn_graph *g, int32_t v, const char *type)
{
    while (v >= 0 && g->values[v].producer >= 0) {
        const struct hn_node *n = node_of(g, g->values[v].producer);
        if (is_type(n, type)) return n;
        if (!is_type(n, "Cast") || g->values[n->in[0]].dtype != g->values[v].dtype) return NULL;
        v = n->in[0];
    }
    return NULL;
}

/* 1 / sqrt(…) of what is no constant */
static int is_inverse_root(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *turn = maker(g, v, "Reciprocal"), *div = maker(g, v, "Div");
    double one;
    if (v < 0 || g->values[v].constant || (!turn && !div)) return 0;
    if (!turn && (!hn_value_scalar(g, div->in[0], &one) || one != 1)) return 0;
    return maker(g, turn ? turn->in[0] : div->in[1], "Sqrt") != NULL;
}

/* x / sqrt(…), or x (1 / sqrt(…)), or x k with k = scale / sqrt(…), as TensorFlow and JAX have it */
static int is_normalised(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *div = maker(g, v, "Div"), *mul = maker(g, v, "Mul");
    if (div) return maker(g, div->in[1], "Sqrt") != NULL;
    for (int k = 0; mul && k < 2 && mul->n_in == 2; k++) {
        const struct hn_node *factor = maker(g, mul->in[k], "Mul");
        if (is_inverse_root(g, mul->in[k])) return 1;
        for (int i = 0; factor && i < 2 && factor->n_in == 2; i++)
            if (is_inverse_root(g, factor->in[i]) && g->values[factor->in[1 - i]].constant)
                return 1;
    }
    return 0;
}

/* Scale or bias of a normalisation written out in another way than the patterns': x / sqrt(…) * scale + bias, or
 * x k + (bias - mean k), k = scale / sqrt(…). */
static int affine_of_norm(const struct hn_graph *g, const struct hn_node *n, int k)
{
    if (n->n_in != 2 || !g->values[n->in[k]].constant || g->values[n->in[k]].constant->n < 2)
        return 0;
    const int32_t v = n->in[1 - k];
    if (is_type(n, "Mul")) return is_normalised(g, v) || is_inverse_root(g, v);
    const struct hn_node *mul = is_type(n, "Add") ? maker(g, v, "Mul") : NULL;
    return mul &&
           (is_normalised(g, v) || is_normalised(g, mul->in[0]) || is_normalised(g, mul->in[1]));
}

/* What input k of a node is for, when it is a constant. */
static enum hn_slot_kind slot_of(const struct hn_graph *g, const struct hn_node *n, int k)
{
    const struct hn_node_fact *f = &g->facts->nodes[n - g->nodes];
    const struct hn_pattern *p = f->owner >= 0 ? g->facts->nodes[f->owner].pattern : NULL;
    if (!n->row || !(n->row->params >> (k < 31 ? k : 31) & 1u)) return HN_SLOT_NONE;
    if (is_gemm(n) && k == 2 && f->attrs && f->attrs->beta == 0) return HN_SLOT_NONE;
    if (is_gemm(n)) return k == 2 ? HN_SLOT_BIAS : HN_SLOT_WEIGHT;
    if (hn_node_is_product(n)) return HN_SLOT_WEIGHT;
    if (n->row->infer == hn_infer_bias_gelu) return HN_SLOT_BIAS;
    if (is_skip_norm(n) && k == (n->row->kind ? 3 : 4)) return HN_SLOT_BIAS;
    if (is_norm(n)) return HN_SLOT_NORM;
    if (is_type(n, "PRelu")) return HN_SLOT_SLOPE;
    if (is_type(n, "Gather")) return HN_SLOT_TABLE;
    if (is_type(n, "Expand") && !hn_shape_count(&g->values[n->out[0]].shape).per_row)
        return HN_SLOT_NONE;
    if (p && p->kind == HN_PT_DENSE && n->in[k] == p->in[2]) return HN_SLOT_BIAS;
    if (p && p->kind == HN_PT_LAYERNORM && (n->in[k] == p->in[1] || n->in[k] == p->in[2]))
        return HN_SLOT_NORM;
    return affine_of_norm(g, n, k) ? HN_SLOT_NORM : HN_SLOT_ELEMENT;
}

int hn_finder_matches(const char *const *globs, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(globs[i], name, 0) == 0) return 1;
    return 0;
}

/* What a Relu leaves of -x: Keras' form of PRelu is relu(x) + slope' relu(-x), with the slope's sign turned. */
static int negative_part(const struct hn_graph *g, int32_t v)
{
    const struct hn_node *relu = maker(g, v, "Relu");
    return relu && maker(g, relu->in[0], "Neg") != NULL;
}

static struct hn_decision by_element(const struct hn_graph *g, const struct hn_node *n, int k,
                                     int64_t count)
{
    int32_t other = n->n_in == 2 ? n->in[1 - k] : -1;
    const int32_t root = g->facts->values[n->in[k]].root;
    if (is_type(n, "Expand"))
        return (struct hn_decision){ 1, root < 0 || g->values[root].is_initializer,
                                     "one row that all rows of a batch share" };
    int add_mul = is_type(n, "Add") || is_type(n, "Mul");
    if (count == 1) return (struct hn_decision){ 0, 0, "a single number" };
    if (other < 0 || !g->facts->values[other].from_param)
        return (struct hn_decision){ 1, 0, "before the first dense layer: a normaliser" };
    if (add_mul && (behind_dense(g, other, NEAR) || before_dense(g, n->out[0])))
        return (struct hn_decision){ 1, 1, "added or multiplied next to a dense layer" };
    if (is_type(n, "Mul") && negative_part(g, other))
        return (struct hn_decision){ 1, 1, "slope of a PRelu" };
    return (struct hn_decision){ 1, 0, add_mul ? why_away : hn_why_element };
}

int hn_zeros_and_ones(const struct hn_tensor *t)
{
    for (int64_t i = 0; i < t->n; i++)
        if (hn_tensor_f64(t, i) != 0 && hn_tensor_f64(t, i) != 1) return 0;
    return 1;
}

/* In a file that says what is a parameter: what it declares and calls nothing, a normalisation's scale or bias (affine=False) or a
 * mask. Not a vector beside a layer, which may be a parameter folded with something; nor what an edit added, which it does not
 * declare. */
static int is_mere_constant(const struct hn_value *v, enum hn_slot_kind slot)
{
    return v->declared &&
           (slot == HN_SLOT_NORM || (slot == HN_SLOT_ELEMENT && v->shape.rank > 1)) &&
           hn_zeros_and_ones(v->constant);
}

/* By what input k of the node is for, v being the tensor that is there. */
static struct hn_decision by_place(const struct hn_graph *g, const struct hn_node *n, int k,
                                   enum hn_slot_kind slot, const struct hn_value *v)
{
    switch (slot) {
    case HN_SLOT_WEIGHT: return (struct hn_decision){ 1, 1, "weight of a dense layer" };
    case HN_SLOT_BIAS: return (struct hn_decision){ 1, 1, "bias of a dense layer" };
    case HN_SLOT_TABLE:
        if (v->shape.rank == 2) return (struct hn_decision){ 1, 1, "table of an embedding" };
        return (struct hn_decision){ 1, 0, "a table that is looked up, no embedding" };
    case HN_SLOT_SLOPE: return (struct hn_decision){ 1, 1, "slope of PRelu" };
    case HN_SLOT_NORM:
        if (v->is_initializer || g->facts->values[n->in[k]].root < 0)
            return (struct hn_decision){ 1, 1, "scale or bias of a normalisation" };
        return (struct hn_decision){ 1, 0, "a constant of the author (affine=False)" };
    default: return by_element(g, n, k, hn_shape_count(&v->shape).fixed);
    }
}

int hn_decide_by_name(const struct hn_finder *f, const struct hn_value *v, struct hn_decision *d)
{
    if (f->opts && hn_finder_matches(f->opts->freeze, f->opts->n_freeze, v->name)) {
        d->trained = 0, d->why = hn_why_asked;
        return 1;
    }
    if (f->opts && hn_finder_matches(f->opts->train, f->opts->n_train, v->name)) {
        *d = (struct hn_decision){ 1, 1, "trained by request" };
        return 1;
    }
    if (v->hint == HN_HINT_BUFFER || v->hint == HN_HINT_CONSTANT) {
        d->trained = 0, d->why = "the exporter says it is no parameter";
        return 1;
    }
    if (v->hint != HN_HINT_PARAMETER) return 0;
    *d = (struct hn_decision){ 1, 1, "the exporter says it is a parameter" };
    return 1;
}

static struct hn_decision decide(const struct hn_finder *f, const struct hn_node *n, int k,
                                 enum hn_slot_kind slot)
{
    const struct hn_graph *g = f->g;
    int32_t root = g->facts->values[n->in[k]].root;
    const struct hn_value *v = &g->values[root];
    struct hn_decision d = { 1, 0, "" };
    if (!hn_dtype_is_float(g->values[n->in[k]].dtype) ||
        (!hn_dtype_is_float(v->dtype) && !g->facts->values[n->in[k]].quant))
        return (struct hn_decision){ 0, 0, "no float type" };
    if (slot == HN_SLOT_ELEMENT) d = by_element(g, n, k, v->constant->n);
    if (hn_decide_by_name(f, v, &d)) {
        if (d.trained) g->facts->nodes[n - g->nodes].unscales = 0;
        return d;
    }
    if (g->facts->nodes[n - g->nodes].unscales)
        return (struct hn_decision){ d.record, 0, "it undoes the scaling of targets" };
    if (f->hinted && is_mere_constant(v, slot))
        return (struct hn_decision){ d.record, 0,
                                     "zeros and ones that the exporter calls no parameter" };
    return by_place(g, n, k, slot, v);
}

/* ---- the lists ------------------------------------------------------------------------------------------------- */

static hone_status refuse_other_scales(struct hn_finder *f, const struct hn_node *n, int k)
{
    const struct hn_graph *g = f->g;
    hone_status st = hn_graph_issue(
        f->g, HN_BLOCKS_TRAINING, (int32_t)(n - g->nodes), HONE_E_UNSUPPORTED,
        "export without sharing it",
        "input %d '%s': the whole numbers of '%s' stand for other values elsewhere", k,
        g->values[n->in[k]].name, g->values[g->facts->values[n->in[k]].root].name);
    return st == HONE_OK ? st : hn_nomem(f->err, "the list of issues", 0);
}

hone_status hn_note_use(struct hn_finder *f, const struct hn_use *use, enum hn_slot_kind slot,
                        struct hn_decision d)
{
    struct hn_facts *facts = f->g->facts;
    struct hn_param_list *l = &facts->params;
    const struct hn_node *at = node_of(f->g, use->at_node);
    const int32_t v = at->in[use->at_input], root = facts->values[v].root;
    int32_t p = facts->param_of[root];
    if (p < 0) {
        p = facts->param_of[root] = (int32_t)l->n_params++;
        l->params[p] = (struct hn_gparam){ .value = root, .why = d.why };
        facts->info[p] = (struct hn_param_info){ .slot = slot, .feeds = -1 };
    }
    const struct hn_quant *quant = facts->values[v].quant;
    if (quant && !hn_dtype_is_float(f->g->values[root].dtype)) {
        const struct hn_quant *has = facts->info[p].stored;
        if (has && !hn_quant_same(has, quant)) HN_TRY(refuse_other_scales(f, at, use->at_input));
        if (!has) facts->info[p].stored = quant;
    }
    struct hn_gparam *q = &l->params[p];
    if (d.trained && !q->trained) q->trained = 1, q->why = d.why, facts->info[p].slot = slot;
    const struct hn_pattern *pattern = facts->nodes[use->node].pattern;
    if (is_type(node_of(f->g, use->node), "BatchNormalization") ||
        (pattern && pattern->kind == HN_PT_BATCHNORM))
        facts->info[p].of_batchnorm = 1;
    q->n_uses++;
    facts->use_slot[l->n_uses] = slot;
    l->uses[l->n_uses] = *use;
    l->uses[l->n_uses].param = p;
    l->uses[l->n_uses++].trans = facts->values[v].trans;
    return HONE_OK;
}

static hone_status note_state(struct hn_finder *f, const struct hn_node *n, int k)
{
    struct hn_graph *g = f->g;
    struct hn_state *s = &g->facts->states[g->facts->n_states++];
    const struct hn_value *v = &g->values[n->in[k]];
    const struct hn_value_fact *vf = &g->facts->values[n->in[k]];
    int32_t root = v->constant && !vf->quant ? vf->root : -1, at = (int32_t)(s - g->facts->states);
    int32_t *of = root >= 0 ? &g->facts->state_of[2 * root + (k == 4)] : &at;
    if (*of < 0) *of = at;
    *s = (struct hn_state){ .root = root,
                            .first = *of,
                            .computed = !v->constant,
                            .fixed = v->constant && root < 0,
                            .node = (int32_t)(n - g->nodes),
                            .input = k,
                            .name = v->name,
                            .init = root >= 0 ? g->values[root].constant : v->constant };
    if (s->init) return HONE_OK;
    int64_t channels = g->values[n->in[1]].shape.d[0].fixed;
    struct hn_tensor *t = hn_arena_alloc(&g->arena, 1, sizeof *t);
    float *data = t ? hn_arena_alloc(&g->arena, (size_t)channels + 1, sizeof *data) : NULL;
    if (!data) return hn_nomem(f->err, "the running statistics", 0);
    *t = (struct hn_tensor){ HN_F32, 1, { channels }, channels, data };
    for (int64_t i = 0; k == 4 && i < t->n; i++) data[i] = 1;
    s->init = t;
    return HONE_OK;
}

/* Has both statistics as constants, or needs none: states come in pairs, mean then variance. */
static hone_status note_states(struct hn_finder *f, const struct hn_node *n)
{
    const size_t at = f->g->facts->n_states;
    f->g->facts->nodes[n - f->g->nodes].state_at = (int32_t)at;
    HN_TRY(note_state(f, n, 3));
    HN_TRY(note_state(f, n, 4));
    const struct hn_state *mean = &f->g->facts->states[at], *var = mean + 1;
    if (!mean->fixed && !var->fixed) return HONE_OK;
    const char *by = f->g->nodes[f->g->values[n->in[mean->fixed ? 3 : 4]].producer].type;
    hone_status st = hn_graph_issue(
        f->g, HN_WARNING, (int32_t)(n - f->g->nodes), HONE_OK,
        "export with running statistics in floats to have them follow the data",
        "the running %s '%s' is what %s makes of other numbers: both statistics stay as they are",
        mean->fixed ? "mean" : "variance", (mean->fixed ? mean : var)->name, by);
    return st == HONE_OK ? st : hn_nomem(f->err, "the list of issues", 0);
}

/* BatchNormalization written out: scale and bias learn, mean and variance are statistics, by the nodes that read them. */
static hone_status visit_batchnorm(struct hn_finder *f, int32_t end, const struct hn_pattern *p)
{
    for (int i = 0; i < 2; i++) {
        const struct hn_consumer at = p->reads[i];
        if (at.node < 0) continue;
        const struct hn_decision d = decide(f, node_of(f->g, at.node), at.input, HN_SLOT_NORM);
        const struct hn_use use = {
            .node = end, .input = 0, .at_node = at.node, .at_input = at.input
        };
        if (d.record) HN_TRY(hn_note_use(f, &use, HN_SLOT_NORM, d));
    }
    f->g->facts->nodes[end].state_at = (int32_t)f->g->facts->n_states;
    for (int i = 2; i < 4; i++) {
        HN_TRY(note_state(f, node_of(f->g, p->reads[i].node), p->reads[i].input));
        struct hn_state *s = &f->g->facts->states[f->g->facts->n_states - 1];
        s->name = f->g->values[s->root].name;
    }
    return HONE_OK;
}

static hone_status visit(struct hn_finder *f, const struct hn_node *n)
{
    struct hn_graph *g = f->g;
    struct hn_facts *facts = g->facts;
    const int32_t at = (int32_t)(n - g->nodes), owner = facts->nodes[at].owner;
    const struct hn_pattern *p = owner >= 0 ? facts->nodes[owner].pattern : NULL;
    int variable = 0;
    if (p && p->kind == HN_PT_BATCHNORM) return at == owner ? visit_batchnorm(f, at, p) : HONE_OK;
    for (int k = 0; k < n->n_in; k++) variable |= n->in[k] >= 0 && !hn_is_free(g, n->in[k]);
    for (int k = 0; k < n->n_in && variable; k++) {
        const struct hn_value *v = n->in[k] >= 0 ? &g->values[n->in[k]] : NULL;
        if (!v || !hn_is_free(g, n->in[k])) continue;
        enum hn_slot_kind slot = slot_of(g, n, k);
        if (slot == HN_SLOT_NONE) continue;
        if (facts->values[n->in[k]].root < 0) {
            HN_TRY(hn_find_computed(f, at, k, slot, by_place(g, n, k, slot, v)));
            continue;
        }
        struct hn_decision d = decide(f, n, k, slot);
        const struct hn_use use = { .node = at, .input = k, .at_node = at, .at_input = k };
        if (d.record) HN_TRY(hn_note_use(f, &use, slot, d));
    }
    return is_type(n, "BatchNormalization") ? note_states(f, n) : HONE_OK;
}

/* Does node n depend on something trained: through an activation, or by a parameter of its own? */
static int touches_trained(const struct hn_graph *g, const struct hn_node *n)
{
    const struct hn_facts *f = g->facts;
    const struct hn_pattern *pattern = f->nodes[n - g->nodes].pattern;
    for (int i = 1; i < 3 && pattern && pattern->kind == HN_PT_BATCHNORM; i++) {
        const int32_t p = pattern->in[i] >= 0 ? f->param_of[pattern->in[i]] : -1;
        if (p >= 0 && f->params.params[p].trained) return 1;
    }
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] < 0) continue;
        const struct hn_value_fact *v = &f->values[n->in[k]];
        int32_t p = v->root >= 0 ? f->param_of[v->root] : -1;
        const struct hn_tensor *t = g->values[n->in[k]].constant;
        if (v->from_param ||
            (p >= 0 && f->params.params[p].trained && slot_of(g, n, k) != HN_SLOT_NONE))
            return 1;
        if (!n->row && t && t->rank >= 2 && hn_dtype_is_float(t->dtype))
            return 1; /* weights of an unknown operator */
    }
    return 0;
}

static void pass_on(struct hn_graph *g, const struct hn_node *n)
{
    struct hn_value_fact *v = g->facts->values;
    int param = hn_is_computed(g, n) || touches_trained(g, n), input = 0;
    for (int k = 0; k < n->n_in; k++) input |= n->in[k] >= 0 && v[n->in[k]].from_input;
    for (int k = 0; k < n->n_out; k++) {
        if (n->out[k] < 0) continue;
        int folded = (g->values[n->out[k]].constant && !v[n->out[k]].computed) ||
                     v[n->out[k]].ints || v[n->out[k]].splat;
        v[n->out[k]].from_param = param && !folded;
        v[n->out[k]].from_input = input && !folded;
    }
}

static void find_before_dense(struct hn_graph *g)
{
    struct hn_value_fact *v = g->facts->values;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const struct hn_node *n = node_of(g, g->order[i]);
        int feeds = hn_node_is_product(n) && g->facts->nodes[g->order[i]].live;
        for (int k = 0; k < n->n_out; k++) feeds |= n->out[k] >= 0 && v[n->out[k]].before_dense;
        for (int k = 0; feeds && k < n->n_in; k++)
            if (n->in[k] >= 0) v[n->in[k]].before_dense = 1;
    }
}

/* ---- what initialisation wants to know --------------------------------------------------------------------------- */

/* The unary kind behind a layer: through normalisations, dropout and views; -1. */
static int32_t kind_behind(const struct hn_graph *g, int32_t v)
{
    for (int i = 0; i < NEAR && v >= 0 && hn_n_uses(g, v) > 0; i++) {
        const struct hn_consumer *u = &g->facts->uses[g->facts->use_first[v]];
        if (u->node < 0) return -1;
        const struct hn_node_fact *f = &g->facts->nodes[u->node];
        const struct hn_node *n = node_of(g, u->node);
        const struct hn_pattern *p = f->owner >= 0 ? g->facts->nodes[f->owner].pattern : NULL;
        if (p && p->kind == HN_PT_UNARY) return p->unary;
        if (!n->row) return -1;
        if (n->row->infer == hn_infer_unary || n->row->infer == hn_infer_bias_gelu)
            return n->row->kind;
        if (n->row->infer == hn_infer_clip || hn_quantize_is_relu(g, n)) return HN_U_RELU;
        int through = is_norm(n) || is_type(n, "Dropout") || is_rounding(n) ||
                      (n->row->flags & HN_ROW_VIEW) || (p && passed(g, n) == v);
        v = through ? n->out[0] : -1;
    }
    return -1;
}

/* The matrix a weight or bias belongs to, and whether it is stored [out,in]; -1: none. */
static int32_t matrix_of(const struct hn_graph *g, const struct hn_use *u, enum hn_slot_kind slot,
                         int *flip)
{
    const struct hn_node *n = node_of(g, u->node);
    const struct hn_node_fact *f = &g->facts->nodes[u->node];
    const struct hn_pattern *p = f->owner >= 0 ? g->facts->nodes[f->owner].pattern : NULL;
    int32_t x, w = -1;
    *flip = 0;
    if (p && p->kind == HN_PT_DENSE) return *flip = p->trans_w, p->in[1];
    if (is_gemm(n) && (slot == HN_SLOT_WEIGHT || slot == HN_SLOT_BIAS))
        return *flip = f->attrs && f->attrs->trans_b != 0, n->in[1];
    if (is_type(n, "Einsum")) return *flip = hn_einsum_flip(f->attrs, u->input), n->in[u->input];
    if (slot == HN_SLOT_WEIGHT && hn_matmul_weight(g, n, &x, &w, flip)) return w;
    return -1;
}

/* Is what the matrix is computed from one of its size, as the direction of a weight normalisation or what a mask lies on? */
static int is_of_size(const struct hn_tensor *t, const struct hn_shape *w)
{
    return t->rank == 2 && t->n == w->d[0].fixed * w->d[1].fixed &&
           (t->dims[0] == w->d[0].fixed || t->dims[0] == w->d[1].fixed);
}

/* What a scale, shift or slope begins with, being input k of n: 1 and *x; 0: nothing that is known. */
static int start_of(const struct hn_graph *g, const struct hn_node *n, int k,
                    enum hn_slot_kind slot, double *x)
{
    const int32_t other = n->n_in == 2 ? n->in[1 - k] : -1;
    const int add = is_type(n, "Add") || is_type(n, "Sub"),
              mul = is_type(n, "Mul") || is_type(n, "Div");
    if (slot == HN_SLOT_SLOPE) return *x = 0.25, 1;
    if (slot == HN_SLOT_NORM && is_norm(n)) return *x = k == 1 + is_skip_norm(n), 1;
    if ((slot != HN_SLOT_NORM && slot != HN_SLOT_ELEMENT) || (!add && !mul)) return 0;
    if (slot == HN_SLOT_ELEMENT &&
        !by_element(g, n, k, hn_shape_count(&g->values[n->in[k]].shape).fixed).trained)
        return 0;
    *x = add ? 0 : slot == HN_SLOT_ELEMENT && negative_part(g, other) ? -0.25 : 1;
    return 1;
}

/* Where several uses do not agree there is none. */
static void describe_start(struct hn_graph *g, const struct hn_use *u, enum hn_slot_kind slot)
{
    struct hn_param_info *info = &g->facts->info[u->param];
    double x;
    if (slot == HN_SLOT_FACTOR || info->slot == HN_SLOT_FACTOR) return;
    if (!start_of(g, node_of(g, u->at_node), u->at_input, slot, &x) ||
        (info->starts && info->start != x))
        info->starts = 2;
    else if (!info->starts)
        info->starts = 1, info->start = x;
}

static void describe_use(struct hn_graph *g, const struct hn_use *u, enum hn_slot_kind slot)
{
    struct hn_param_info *info = &g->facts->info[u->param];
    const struct hn_tensor *t = g->values[g->facts->params.params[u->param].value].constant;
    const int factor = slot == HN_SLOT_FACTOR;
    int flip;
    if (factor) slot = slot_of(g, node_of(g, u->node), u->input);
    int32_t w = matrix_of(g, u, slot, &flip);
    if (factor && (!g->facts->params.params[u->param].trained || slot != HN_SLOT_WEIGHT || w < 0 ||
                   g->values[w].shape.rank != 2 || !is_of_size(t, &g->values[w].shape)))
        return;
    if (w < 0 || !g->values[w].constant || g->values[w].shape.rank != 2 || info->fan_in > 0) return;
    info->fan_in = (double)g->values[w].shape.d[flip ? 1 : 0].fixed;
    info->fan_out = (double)g->values[w].shape.d[flip ? 0 : 1].fixed;
    if (slot != HN_SLOT_WEIGHT) return;
    info->feeds = inside(g, node_of(g, u->node));
    if (info->feeds < 0) info->feeds = kind_behind(g, node_of(g, u->node)->out[0]);
}

static hone_status allocate(struct hn_finder *f)
{
    struct hn_graph *g = f->g;
    struct hn_facts *facts = g->facts;
    size_t uses = (size_t)facts->use_first[g->n_values], norms = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_pattern *p = facts->nodes[i].pattern;
        norms += is_type(&g->nodes[i], "BatchNormalization") || (p && p->kind == HN_PT_BATCHNORM);
    }
    facts->params.params = hn_arena_alloc(&g->arena, uses + 1, sizeof *facts->params.params);
    facts->params.uses = hn_arena_alloc(&g->arena, uses + 1, sizeof *facts->params.uses);
    facts->info = hn_arena_alloc(&g->arena, uses + 1, sizeof *facts->info);
    facts->use_slot = hn_arena_alloc(&g->arena, uses + 1, sizeof *facts->use_slot);
    facts->param_of = hn_arena_alloc(&g->arena, g->n_values + 1, sizeof *facts->param_of);
    facts->states = hn_arena_alloc(&g->arena, 2 * norms + 1, sizeof *facts->states);
    facts->state_of = hn_arena_alloc(&g->arena, 2 * g->n_values + 1, sizeof *facts->state_of);
    if (!facts->params.params || !facts->params.uses || !facts->info || !facts->use_slot ||
        !facts->param_of || !facts->states || !facts->state_of)
        return hn_nomem(f->err, "the list of parameters", uses * sizeof *facts->params.uses);
    for (size_t v = 0; v < g->n_values; v++)
        facts->param_of[v] = facts->state_of[2 * v] = facts->state_of[2 * v + 1] = -1;
    return hn_computed_begin(f);
}

/* Vectors that what learns is multiplied by or added to, and that may be a scale or a shift for all that is known. */
static hone_status say_frozen(struct hn_finder *f)
{
    const struct hn_param_list *l = &f->g->facts->params;
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < l->n_params; i++) {
        if (l->params[i].trained || l->params[i].why != why_away) continue;
        if (!n++) first = f->g->values[l->params[i].value].name;
    }
    if (!n) return HONE_OK;
    hone_status st = hn_graph_issue(
        f->g, HN_WARNING, -1, HONE_OK, "--unfreeze GLOB lets them learn",
        n == 1 ? "'%s', which a layer's result is multiplied by or added to, stays as it is"
               : "'%s' and %zu more, which layers' results are multiplied by or added to, stay as "
                 "they are",
        first, n - 1);
    return st == HONE_OK ? st : hn_nomem(f->err, "the list of issues", 0);
}

hone_status hn_graph_find_params(struct hn_graph *g, const struct hn_graph_opts *opts,
                                 hone_error *err)
{
    struct hn_finder f = { .g = g, .opts = opts, .err = err };
    struct hn_facts *facts = g->facts;
    HN_TRY(allocate(&f));
    for (size_t i = 0; i < g->n_values; i++) f.hinted |= g->values[i].hint == HN_HINT_PARAMETER;
    for (size_t i = 0; i < g->n_inputs; i++) facts->values[g->inputs[i]].from_input = 1;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = node_of(g, g->order[i]);
        const struct hn_node_fact *nf = &facts->nodes[g->order[i]];
        if (nf->live && nf->state == HN_NODE_OK) HN_TRY(visit(&f, n));
        facts->has_dropout |= nf->live && is_type(n, "Dropout");
        pass_on(g, n);
    }
    HN_TRY(hn_mark_computed(&f));
    for (size_t i = 0; i < g->n_nodes; i++)
        pass_on(g, node_of(g, g->order[i])); /* now that all decisions are known */
    find_before_dense(g);
    HN_TRY(hn_find_still(&f));
    HN_TRY(say_frozen(&f));
    for (size_t i = 0; i < facts->params.n_uses; i++) {
        describe_start(g, &facts->params.uses[i], facts->use_slot[i]);
        describe_use(g, &facts->params.uses[i], facts->use_slot[i]);
    }
    return HONE_OK;
}
