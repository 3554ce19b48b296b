/* SPDX-License-Identifier: MIT
 *
 * Finding the hidden stack: see stack.h. From a value, nodes are taken as soon as all they need is there, until everything
 * that was taken meets in one value again: such a region is one step of a block. */
#include "onnx/stack.h"
#include "onnx/edit_list.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <string.h>

enum { MOST_REGION = 32 }; /* nodes */

struct finder {
    struct hn_modify *e;
    size_t n;             /* nodes */
    unsigned char *dense, /* a Dense layer */
        *live,            /* an output of the graph needs it */
        *ahead,           /* a Dense layer needs it */
        *behind;          /* it needs a Dense layer */
    struct hn_md_made *made;
    size_t n_made;
};

/* ---- messages -------------------------------------------------------------------------------------------------------- */

static hone_status obstacle(const struct finder *f, const Onnx__NodeProto *n, const char *why)
{
    char label[160];
    size_t at = 0;
    while (at < f->n && f->e->g->node[at] != n) at++;
    if (n && n->name && *n->name)
        snprintf(label, sizeof label, "%.150s", n->name);
    else
        snprintf(label, sizeof label, "%.60s at position %zu", n && n->op_type ? n->op_type : "",
                 at);
    return hn_fail(f->e->err, HONE_E_UNSUPPORTED, label, "the hidden layers are no plain stack: %s",
                   why);
}

/* ---- what depends on what -------------------------------------------------------------------------------------------- */

static int is_dense(const struct finder *f, const Onnx__NodeProto *n)
{
    if ((!hn_md_is(n, "Gemm") && !hn_md_is(n, "MatMul")) || n->n_input < 2 || n->n_output < 1)
        return 0;
    const Onnx__TensorProto *w = hn_md_root(f->e, n->input[1]);
    return w && w->n_dims == 2 && !hn_md_root(f->e, n->input[0]);
}

/* A Gemm or MatMul whose weight comes from a DequantizeLinear; NULL: none. */
static const Onnx__NodeProto *quantized_layer(const struct finder *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const Onnx__NodeProto *n = f->e->g->node[i];
        if ((!hn_md_is(n, "Gemm") && !hn_md_is(n, "MatMul")) || n->n_input < 2) continue;
        const struct hn_md_made *m = hn_md_find_made(f->made, f->n_made, n->input[1]);
        if (m && hn_md_is(f->e->g->node[m->node], "DequantizeLinear")) return n;
    }
    return NULL;
}

/* The node that makes the value, n when none does. */
static size_t maker(const struct finder *f, const char *value)
{
    const struct hn_md_made *m = *value ? hn_md_find_made(f->made, f->n_made, value) : NULL;
    return m ? m->node : f->n;
}

/* Marks in `to` the makers of all inputs of nodes that `from` or `to` already marks. */
static void mark_backwards(const struct finder *f, const unsigned char *from, unsigned char *to)
{
    for (int changed = 1; changed;) {
        changed = 0;
        for (size_t i = f->n; i-- > 0;) {
            const Onnx__NodeProto *n = f->e->g->node[i];
            for (size_t k = 0; k < n->n_input && (to[i] || (from && from[i])); k++) {
                size_t m = maker(f, n->input[k]);
                if (m == f->n || to[m]) continue;
                to[m] = 1;
                changed = 1;
            }
        }
    }
}

static void mark_behind(const struct finder *f)
{
    for (int changed = 1; changed;) {
        changed = 0;
        for (size_t i = 0; i < f->n; i++) {
            const Onnx__NodeProto *n = f->e->g->node[i];
            for (size_t k = 0; k < n->n_input && !f->behind[i]; k++) {
                size_t m = maker(f, n->input[k]);
                if (m < f->n && (f->dense[m] || f->behind[m])) f->behind[i] = (changed = 1);
            }
        }
    }
}

static hone_status look(struct finder *f)
{
    struct hn_modify *e = f->e;
    f->n = e->g->n_node;
    f->dense = hn_arena_alloc(e->arena, 4 * (f->n + 1), 1);
    f->made = hn_md_index_made(e, &f->n_made);
    if (!f->dense || !f->made) return hn_md_nomem(e);
    f->live = f->dense + f->n + 1;
    f->ahead = f->live + f->n + 1;
    f->behind = f->ahead + f->n + 1;
    for (size_t i = 0; i < f->n; i++) f->dense[i] = (unsigned char)is_dense(f, e->g->node[i]);
    for (size_t i = 0; i < e->g->n_output; i++) {
        size_t m = e->g->output[i]->name ? maker(f, e->g->output[i]->name) : f->n;
        if (m < f->n) f->live[m] = 1;
    }
    mark_backwards(f, NULL, f->live);
    mark_backwards(f, f->dense, f->ahead);
    mark_behind(f);
    return HONE_OK;
}

/* ---- one step --------------------------------------------------------------------------------------------------------- */

struct open { /* a value that was reached, and how many of its uses were not */
    char *value;
    size_t left;
};

struct region {
    size_t node[MOST_REGION];
    int n;
    struct open value[2 * MOST_REGION];
    int n_values;
};

static struct open *find_open(struct region *r, const char *value)
{
    for (int i = 0; i < r->n_values; i++)
        if (strcmp(r->value[i].value, value) == 0) return &r->value[i];
    return NULL;
}

static int taken(const struct region *r, size_t node)
{
    for (int i = 0; i < r->n; i++)
        if (r->node[i] == node) return 1;
    return 0;
}

/* 1: takes what was reached and constants only; 0: nothing that was reached; -1: something else as well. */
static int ready(const struct finder *f, struct region *r, size_t i)
{
    const Onnx__NodeProto *n = f->e->g->node[i];
    int reached = 0;
    for (size_t k = 0; k < n->n_input && !reached; k++)
        reached = *n->input[k] && find_open(r, n->input[k]);
    for (size_t k = 0; k < n->n_input && reached; k++)
        if (*n->input[k] && !find_open(r, n->input[k]) && !hn_md_root(f->e, n->input[k])) return -1;
    return reached;
}

static int take(const struct finder *f, struct region *r, size_t i)
{
    const Onnx__NodeProto *n = f->e->g->node[i];
    r->node[r->n++] = i;
    for (size_t k = 0; k < n->n_input; k++) {
        struct open *o = *n->input[k] ? find_open(r, n->input[k]) : NULL;
        if (o && o->left) o->left--;
    }
    for (size_t k = 0; k < n->n_output; k++) {
        size_t uses = *n->output[k] ? hn_md_uses(f->e, n->output[k]) : 0;
        if (!uses) continue;
        if (r->n_values == 2 * MOST_REGION) return 0;
        r->value[r->n_values++] = (struct open){ n->output[k], uses };
    }
    return 1;
}

/* The one value that is still open, NULL when there are several. */
static char *meeting(struct region *r)
{
    char *found = NULL;
    for (int i = 0; i < r->n_values; i++) {
        if (!r->value[i].left) continue;
        if (found) return NULL;
        found = r->value[i].value;
    }
    return found;
}

/* The smallest region from cur on. */
static hone_status find_region(const struct finder *f, char *cur, struct region *r, char **exit)
{
    *r = (struct region){ .n = 0 };
    r->value[r->n_values++] = (struct open){ cur, hn_md_uses(f->e, cur) };
    for (;;) {
        size_t next = f->n, waits = f->n;
        for (size_t i = 0; i < f->n && next == f->n; i++) {
            int is = taken(r, i) ? 0 : ready(f, r, i);
            if (is > 0) next = i;
            if (is < 0 && waits == f->n) waits = i;
        }
        if (next == f->n && waits < f->n)
            return obstacle(f, f->e->g->node[waits],
                            "it joins them with something from further up");
        if (next == f->n)
            return obstacle(
                f, r->n ? f->e->g->node[r->node[r->n - 1]] : hn_md_producer(f->e, cur, NULL),
                "its output is used outside of them");
        if (r->n == MOST_REGION || !take(f, r, next))
            return obstacle(f, f->e->g->node[next], "too many branches meet too far down");
        *exit = meeting(r);
        if (*exit && *exit != cur) return HONE_OK;
    }
}

/* ---- what a step is --------------------------------------------------------------------------------------------------- */

static int64_t numel(const Onnx__TensorProto *t)
{
    int64_t n = 1;
    for (size_t i = 0; i < t->n_dims; i++)
        if (!hn_mul_i64(n, t->dims[i], &n)) return -1;
    return n;
}

static int one_of(const Onnx__NodeProto *n, const char *const *ops)
{
    for (; *ops; ops++)
        if (hn_md_is(n, *ops)) return 1;
    return 0;
}

static const char *const elementwise[] = {
    "Relu",     "LeakyRelu",       "PRelu", "Elu",  "Celu", "Selu", "Tanh", "Sigmoid",
    "Swish",    "HardSigmoid",     "Erf",   "Gelu", "Mish", "Exp",  "Log",  "Softplus",
    "Softsign", "ThresholdedRelu", "Neg",   "Abs",  "Sqrt", "Clip", "Add",  "Reciprocal",
    "Sub",      "HardSwish",       "Mul",   "Div",  "Pow",  "Max",  "Min",  "Identity",
    NULL
};

/* Element by element with single numbers (a PRelu with a slope a column). */
static int is_elementwise(const struct finder *f, const Onnx__NodeProto *n, int64_t width)
{
    if (!one_of(n, elementwise)) return 0;
    for (size_t k = 0; k < n->n_input; k++) {
        const Onnx__TensorProto *t = *n->input[k] ? hn_md_root(f->e, n->input[k]) : NULL;
        if (t && numel(t) != 1 && !(hn_md_is(n, "PRelu") && k == 1 && numel(t) == width)) return 0;
    }
    return 1;
}

/* Over the last axis of [rows, columns], which stays. */
static int is_row_mean(const struct finder *f, const Onnx__NodeProto *n)
{
    const Onnx__AttributeProto *axes = hn_md_attr(n, "axes"), *keep = hn_md_attr(n, "keepdims");
    if (!hn_md_is(n, "ReduceMean") || (keep && !keep->i)) return 0;
    if (axes) return axes->n_ints == 1 && (axes->ints[0] == -1 || axes->ints[0] == 1);
    const Onnx__TensorProto *t = n->n_input == 2 ? hn_md_root(f->e, n->input[1]) : NULL;
    return t && numel(t) == 1;
}

static int columns_only(const struct finder *f, const Onnx__NodeProto *n, size_t last,
                        int64_t width)
{
    for (size_t k = 1; k <= last && k < n->n_input; k++) {
        const Onnx__TensorProto *t = *n->input[k] ? hn_md_root(f->e, n->input[k]) : NULL;
        if (*n->input[k] && (!t || numel(t) != width)) return 0;
    }
    return 1;
}

static const char *judge_batchnorm(const struct finder *f, const Onnx__NodeProto *n, int64_t width)
{
    const Onnx__AttributeProto *mode = hn_md_attr(n, "training_mode");
    for (size_t k = 1; k < n->n_output; k++)
        if (*n->output[k] && hn_md_uses(f->e, n->output[k]))
            return "it is in training form (edit 'inference' first)";
    if (mode && mode->i) return "it is in training form (edit 'inference' first)";
    return columns_only(f, n, 4, width) ? NULL : "it does not normalise the columns before it";
}

static const char *judge_layernorm(const struct finder *f, const Onnx__NodeProto *n, int64_t width)
{
    const Onnx__AttributeProto *axis = hn_md_attr(n, "axis");
    if (axis && axis->i != -1 && axis->i != 1) return "it normalises over more than the columns";
    return columns_only(f, n, 2, width) ? NULL : "it does not normalise the columns before it";
}

/* Mul and Add by a number a column: the end of a LayerNormalization that is written out. */
static int is_affine(const struct finder *f, const Onnx__NodeProto *n,
                     const struct hn_stack_layer *l)
{
    if ((!hn_md_is(n, "Mul") && !hn_md_is(n, "Add")) || n->n_input != 2) return 0;
    if (!l->n || l->steps[l->n - 1] != HN_STEP_NORM) return 0;
    for (size_t k = 0; k < 2; k++) {
        const Onnx__TensorProto *t = hn_md_root(f->e, n->input[k]);
        if (t && numel(t) == l->out && t->n_dims >= 1) return 1;
    }
    return 0;
}

static const char *judge_one(const struct finder *f, const Onnx__NodeProto *n,
                             const struct hn_stack_layer *l, enum hn_step *step)
{
    *step = HN_STEP_NORM;
    if (hn_md_is(n, "BatchNormalization")) return judge_batchnorm(f, n, l->out);
    if (hn_md_is(n, "LayerNormalization")) return judge_layernorm(f, n, l->out);
    if (is_affine(f, n, l)) return NULL;
    *step = HN_STEP_DROPOUT;
    if (hn_md_is(n, "Dropout")) return NULL;
    *step = HN_STEP_ACTIVATION;
    return is_elementwise(f, n, l->out)
               ? NULL
               : "wanted a normalisation, an activation or Dropout between Dense layers";
}

static hone_status add_region(const struct finder *f, const struct region *r, const char *exit,
                              struct hn_stack_layer *l)
{
    enum hn_step step = HN_STEP_ACTIVATION;
    const char *why = NULL;
    const Onnx__NodeProto *end = f->e->g->node[r->node[r->n - 1]];
    if (!end->n_output || strcmp(end->output[0], exit) != 0)
        return obstacle(f, end, "nothing takes its output");
    for (int i = 0; i < r->n; i++) {
        const Onnx__NodeProto *n = f->e->g->node[r->node[i]];
        if (f->dense[r->node[i]])
            return obstacle(f, f->e->g->node[r->node[r->n - 1]], "several paths meet in it");
        if (r->n == 1)
            why = judge_one(f, n, l, &step);
        else if (is_row_mean(f, n))
            step = HN_STEP_NORM;
        else if (!is_elementwise(f, n, l->out))
            why = "several paths meet in it";
        if (why) return obstacle(f, n, why);
    }
    for (int i = 0; i < r->n; i++) {
        if (l->n == 2 * (size_t)MOST_REGION)
            return obstacle(f, f->e->g->node[r->node[i]], "too many nodes between Dense layers");
        l->steps[l->n] = step;
        l->nodes[l->n++] = f->e->g->node[r->node[i]];
    }
    return HONE_OK;
}

/* ---- layer by layer ---------------------------------------------------------------------------------------------------- */

static hone_status read_dense(const struct finder *f, size_t at, struct hn_stack_layer *l)
{
    struct hn_modify *e = f->e;
    Onnx__NodeProto *n = e->g->node[at];
    const Onnx__AttributeProto *ta = hn_md_attr(n, "transA"), *tb = hn_md_attr(n, "transB");
    const Onnx__TensorProto *w = hn_md_root(e, n->input[1]);
    int rows = hn_md_is(n, "Gemm") && tb && tb->i;
    if (hn_md_is(n, "Gemm") && ta && ta->i) return obstacle(f, n, "its input is transposed");
    if (w->dims[0] < 1 || w->dims[1] < 1) return obstacle(f, n, "its weight is empty");
    *l = (struct hn_stack_layer){
        .dense = n, .in = w->dims[rows ? 1 : 0], .out = w->dims[rows ? 0 : 1], .exit = n->output[0]
    };
    const Onnx__TensorProto *bias =
        n->n_input > 2 && *n->input[2] ? hn_md_root(e, n->input[2]) : NULL;
    if (n->n_input > 2 && *n->input[2] && (!bias || (numel(bias) != l->out && numel(bias) != 1)))
        return obstacle(f, n, "its bias is not one number a column");
    l->nodes = hn_arena_alloc(e->arena, 2 * MOST_REGION, sizeof *l->nodes);
    l->steps = hn_arena_alloc(e->arena, 2 * MOST_REGION, sizeof *l->steps);
    if (!l->nodes || !l->steps) return hn_md_nomem(e);
    int64_t width;
    char *out = hn_edit_dense_output(e, at, &width);
    if (!out || out == n->output[0]) return HONE_OK;
    l->add = hn_md_producer(e, out, NULL);
    if (!hn_md_root(e, l->add->input[strcmp(l->add->input[0], n->output[0]) == 0]))
        return obstacle(f, l->add, "its bias stands behind a Cast");
    l->exit = out;
    return HONE_OK;
}

/* The Dense layers that take the value, if nothing else does: how many, 0 otherwise. */
static size_t dense_users(const struct finder *f, const char *value, size_t *at, size_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!f->dense[i] || strcmp(f->e->g->node[i]->input[0], value) != 0) continue;
        if (n == most) return 0;
        at[n++] = i;
    }
    return n == hn_md_uses(f->e, value) ? n : 0;
}

static hone_status take_last(const struct finder *f, struct hn_stack *s, const size_t *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f->ahead[at[i]]) return obstacle(f, f->e->g->node[at[i]], "they branch here");
        HN_TRY(read_dense(f, at[i], &s->last[s->n_last++]));
    }
    return HONE_OK;
}

/* From Dense layer `at` to the end of its block; the next one in *at, or the last ones in s. */
static hone_status walk_block(const struct finder *f, struct hn_stack *s, size_t *at, int *done)
{
    size_t users[HN_STACK_HEADS], n;
    struct region r;
    if (s->n == HN_HIDDEN_MAX)
        return obstacle(f, f->e->g->node[*at], "there are more hidden layers than are taken");
    struct hn_stack_layer *l = &s->layer[s->n++];
    HN_TRY(read_dense(f, *at, l));
    while (!(n = dense_users(f, l->exit, users, HN_STACK_HEADS))) {
        char *exit = NULL;
        HN_TRY(find_region(f, l->exit, &r, &exit));
        HN_TRY(add_region(f, &r, exit, l));
        l->exit = exit;
    }
    *done = n > 1 || !f->ahead[users[0]];
    *at = users[0];
    return *done ? take_last(f, s, users, n) : HONE_OK;
}

hone_status hn_stack_find(struct hn_modify *e, struct hn_stack *s)
{
    struct finder f = { .e = e };
    size_t first;
    int done = 0;
    *s = (struct hn_stack){ .n = 0 };
    HN_TRY(look(&f));
    first = f.n;
    for (size_t i = 0; i < f.n; i++) {
        if (!f.dense[i] || !f.live[i] || f.behind[i]) continue;
        if (first < f.n) return obstacle(&f, e->g->node[i], "there are several branches");
        first = i;
    }
    if (first == f.n && quantized_layer(&f))
        return obstacle(&f, quantized_layer(&f),
                        "its weight is quantised (DequantizeLinear), and its scales would not fit "
                        "another layer");
    if (first == f.n)
        return hn_fail(e->err, HONE_E_UNSUPPORTED, "",
                       "there is no Dense layer (Gemm or MatMul with a constant weight, no Cast in "
                       "front of it)");
    if (!f.ahead[first]) return take_last(&f, s, &first, 1);
    while (!done) HN_TRY(walk_block(&f, s, &first, &done));
    return HONE_OK;
}

/* ---- questions ----------------------------------------------------------------------------------------------------------- */

int hn_stack_activation(const struct hn_stack_layer *l, size_t *first, size_t *n)
{
    *first = *n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->steps[i] != HN_STEP_ACTIVATION) continue;
        if (*n && *first + *n != i) return 0;
        if (!*n) *first = i;
        ++*n;
    }
    return 1;
}

int hn_stack_column_input(const struct hn_modify *e, const struct hn_stack_layer *l, size_t node,
                          size_t k, double *fresh)
{
    const Onnx__NodeProto *n = l->nodes[node];
    *fresh = 0;
    if (!*n->input[k]) return 0;
    if (hn_md_is(n, "BatchNormalization") || hn_md_is(n, "LayerNormalization")) {
        *fresh = k == 1 || k == 4;
        return k >= 1;
    }
    if (hn_md_is(n, "PRelu")) {
        *fresh = 0.25;
        return k == 1;
    }
    if (l->steps[node] != HN_STEP_NORM || (!hn_md_is(n, "Mul") && !hn_md_is(n, "Add"))) return 0;
    const Onnx__TensorProto *t = hn_md_root(e, n->input[k]);
    *fresh = hn_md_is(n, "Mul");
    return t && t->n_dims >= 1 && numel(t) == l->out;
}
