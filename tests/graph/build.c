/* SPDX-License-Identifier: MIT
 *
 * See build.h. */
#include "tests/graph/build.h"
#include "ops/base/quant.h"

#include "ops/math/row.h"
#include <math.h>
#include <stdarg.h>

void tb_open(struct tb *t, int64_t opset)
{
    memset(t, 0, sizeof *t);
    hn_mem_init(&t->mem, 0);
    t->g = hn_graph_create(&t->mem);
    ck_assert_ptr_nonnull(t->g);
    t->g->name = "test";
    struct hn_opset o = { "", opset };
    ck_assert(HN_PUSH(&t->mem, t->g->opsets, t->g->n_opsets, t->g->cap_opsets, o));
}

void tb_close(struct tb *t)
{
    hn_graph_destroy(t->g);
    ck_assert_uint_eq(atomic_load(&t->mem.used), 0);
}

static void *grab(struct tb *t, size_t n, size_t size)
{
    void *p = hn_arena_alloc(&t->g->arena, n ? n : 1, size);
    ck_assert_ptr_nonnull(p);
    return p;
}

static int32_t value(struct tb *t, const char *name)
{
    int32_t v = hn_graph_value(t->g, name);
    ck_assert_int_ge(v, 0);
    return v;
}

int32_t tb_input(struct tb *t, const char *name, enum hn_dtype dtype, int rank, ...)
{
    int32_t at = value(t, name);
    struct hn_value *v = &t->g->values[at];
    va_list ap;
    v->is_input = v->declared = 1, v->dtype = dtype, v->decl_rank = rank;
    va_start(ap, rank);
    for (int i = 0; i < rank; i++) v->decl_dims[i] = va_arg(ap, int);
    va_end(ap);
    ck_assert(HN_PUSH(&t->mem, t->g->inputs, t->g->n_inputs, t->g->cap_inputs, at));
    return at;
}

static struct hn_tensor *tensor(struct tb *t, enum hn_dtype dtype, int rank, va_list ap)
{
    struct hn_tensor *x = grab(t, 1, sizeof *x);
    x->dtype = dtype, x->rank = rank;
    for (int i = 0; i < rank; i++) x->dims[i] = va_arg(ap, int);
    ck_assert(hn_numel(rank, x->dims, &x->n) || x->n == 0);
    x->data = grab(t, (size_t)x->n, hn_dtype_size(dtype));
    for (int64_t i = 0; i < x->n; i++) {
        double number = sin(1.3 * (double)i + 0.2 * (double)x->n);
        hn_convert((char *)x->data + (size_t)i * hn_dtype_size(dtype), dtype, &number, HN_F64, 1);
    }
    return x;
}

static int32_t initializer(struct tb *t, const char *name, const struct hn_tensor *x)
{
    int32_t at = value(t, name);
    struct hn_value *v = &t->g->values[at];
    v->is_initializer = 1, v->constant = x, v->tensor_id = at;
    return at;
}

#define FROM_DIMS(dtype)                                                                           \
    va_list ap;                                                                                    \
    va_start(ap, rank);                                                                            \
    const struct hn_tensor *x = tensor(t, dtype, rank, ap);                                        \
    va_end(ap);

int32_t tb_floats(struct tb *t, const char *name, int rank, ...)
{
    FROM_DIMS(HN_F32)
    return initializer(t, name, x);
}

int32_t tb_doubles(struct tb *t, const char *name, int rank, ...)
{
    FROM_DIMS(HN_F64)
    return initializer(t, name, x);
}

int32_t tb_halves(struct tb *t, const char *name, enum hn_dtype dtype, int rank, ...)
{
    FROM_DIMS(dtype)
    return initializer(t, name, x);
}

int32_t tb_ints(struct tb *t, const char *name, int n, ...)
{
    struct hn_tensor *x = grab(t, 1, sizeof *x);
    int64_t *data = grab(t, (size_t)n, sizeof *data);
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++) data[i] = va_arg(ap, int);
    va_end(ap);
    *x = (struct hn_tensor){ HN_I64, 1, { n }, n, data };
    return initializer(t, name, x);
}

int32_t tb_number(struct tb *t, const char *name, double number)
{
    struct hn_tensor *x = grab(t, 1, sizeof *x);
    float *data = grab(t, 1, sizeof *data);
    *data = (float)number;
    *x = (struct hn_tensor){ HN_F32, 0, { 0 }, 1, data };
    return initializer(t, name, x);
}

void tb_set(struct tb *t, const char *name, double x)
{
    const struct hn_tensor *c = t->g->values[hn_graph_find(t->g, name)].constant;
    for (int64_t i = 0; i < c->n; i++)
        hn_convert((char *)c->data + (size_t)i * hn_dtype_size(c->dtype), c->dtype, &x, HN_F64, 1);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static int split(char *text, char **words, int max)
{
    int n = 0;
    for (char *save, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        ck_assert_int_lt(n, max);
        words[n++] = w;
    }
    return n;
}

static void parse_attr(struct tb *t, char *word, struct hn_attr *a)
{
    char *eq = strchr(word, '='), *text = eq + 1;
    *eq = '\0';
    a->name = hn_arena_strdup(&t->g->arena, word);
    a->tensor_id = -1;
    if (strchr(text, ',')) {
        int64_t *list = grab(t, 16, sizeof *list);
        a->type = HN_ATTR_I64S, a->ints = list;
        for (char *save, *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save))
            list[a->n++] = atoll(w);
    } else if (strpbrk(text, ".e")) {
        a->type = HN_ATTR_F32, a->f = strtof(text, NULL);
    } else if (strspn(text, "-0123456789") == strlen(text)) {
        a->type = HN_ATTR_I64, a->i = atoll(text);
    } else {
        a->type = HN_ATTR_STR, a->s = hn_arena_strdup(&t->g->arena, text), a->s_len = strlen(text);
    }
}

static struct hn_node *add_node(struct tb *t, const char *type, const char *in, const char *out,
                                int n_attrs)
{
    char a[512], b[512], *ins[16], *outs[16];
    int32_t in_at[16], out_at[16];
    snprintf(a, sizeof a, "%s", in);
    snprintf(b, sizeof b, "%s", out);
    int n_in = split(a, ins, 16), n_out = split(b, outs, 16);
    for (int i = 0; i < n_in; i++) in_at[i] = strcmp(ins[i], "-") ? value(t, ins[i]) : -1;
    for (int i = 0; i < n_out; i++) out_at[i] = strcmp(outs[i], "-") ? value(t, outs[i]) : -1;
    struct hn_node *n = hn_graph_add_node(t->g, outs[0], "", type, n_in, n_out, n_attrs);
    ck_assert_ptr_nonnull(n);
    memcpy(n->in, in_at, (size_t)n_in * sizeof *in_at);
    memcpy(n->out, out_at, (size_t)n_out * sizeof *out_at);
    return n;
}

int32_t tb_node(struct tb *t, const char *type, const char *in, const char *out, const char *attrs)
{
    char text[512], *words[16];
    snprintf(text, sizeof text, "%s", attrs ? attrs : "");
    int n_attrs = split(text, words, 16);
    struct hn_node *n = add_node(t, type, in, out, n_attrs);
    for (int i = 0; i < n_attrs; i++) parse_attr(t, words[i], &n->attrs[i]);
    return n->index;
}

void tb_constant(struct tb *t, const char *name, int rank, ...)
{
    FROM_DIMS(HN_F32)
    struct hn_node *n = add_node(t, "Constant", "", name, 1);
    n->attrs[0] = (struct hn_attr){
        .name = "value", .type = HN_ATTR_TENSOR, .tensor = x, .tensor_id = n->out[0]
    };
}

void tb_output(struct tb *t, const char *name)
{
    int32_t v = value(t, name);
    t->g->values[v].is_output = 1;
    ck_assert(HN_PUSH(&t->mem, t->g->outputs, t->g->n_outputs, t->g->cap_outputs, v));
}

void tb_finish(struct tb *t, const struct hn_graph_opts *opts)
{
    HN_OK(hn_graph_finish(t->g, opts, &t->err), t->err);
}

/* ---- questions --------------------------------------------------------------------------------------------------------- */

const struct hn_value *tb_value(const struct tb *t, const char *name)
{
    int32_t v = hn_graph_find(t->g, name);
    ck_assert_msg(v >= 0, "no value '%s'", name);
    return &t->g->values[v];
}

const char *tb_shape(const struct tb *t, const char *name)
{
    static char text[160];
    const struct hn_value *v = tb_value(t, name);
    return v->shape_known ? hn_shape_text(&v->shape, text, sizeof text) : "?";
}

enum hn_verdict tb_verdict(const struct tb *t, const char *output)
{
    const struct hn_node *n = &t->g->nodes[tb_value(t, output)->producer];
    ck_assert_ptr_nonnull(n->why);
    return n->verdict;
}

const struct hn_issue *tb_issue(const struct tb *t, const char *part)
{
    for (size_t i = 0; i < t->g->n_issues; i++)
        if (strstr(t->g->issues[i].what, part)) return &t->g->issues[i];
    return NULL;
}

int tb_is_trained(const struct tb *t, const char *name)
{
    const struct hn_param_list *l = hn_graph_params(t->g);
    for (size_t i = 0; i < l->n_params; i++)
        if (strcmp(t->g->values[l->params[i].value].name, name) == 0) return l->params[i].trained;
    return -1;
}

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

struct hn_program *tb_lower(struct tb *t, const struct hn_lower_opts *opts)
{
    static const struct hn_lower_opts all = { .part = HN_PART_ALL };
    struct hn_program *p;
    HN_OK(hn_lower(t->g, opts ? opts : &all, &p, &t->err), t->err);
    return p;
}

int tb_count_ops(const struct hn_program *p, const char *row)
{
    int n = 0;
    for (int i = 0; i < p->n_ops; i++) n += strcmp(p->ops[i].row->name, row) == 0;
    return n;
}

const struct hn_op *tb_op(const struct hn_program *p, const char *row)
{
    for (int i = 0; i < p->n_ops; i++)
        if (strcmp(p->ops[i].row->name, row) == 0) return &p->ops[i];
    return NULL;
}

double *tb_run(struct tb *t, const struct hn_program *p, int64_t rows, const double *const *x)
{
    const struct hn_backend *b = &hn_backend_reference;
    static const struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_host host = { sizeof host, &t->mem, 1 };
    struct hn_plan *plan;
    void *dev, *slab, *exec, *data, *out[8] = { NULL };
    struct hn_column columns[8], targets[8] = { { 0 } };
    struct hn_dataset set = { rows, p->n_inputs, p->n_targets, columns, targets };
    double *w = hn_calloc(&t->mem, p->n_slab + 1, sizeof *w);
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        if (q->stored)
            hn_dequantize(q->stored, q->init, w + q->off, HN_F64);
        else
            hn_convert(w + q->off, HN_F64, q->init->data, q->init->dtype, (int64_t)q->n);
    }
    for (int k = 0; k < p->n_inputs; k++) {
        struct hn_dim n = hn_shape_count(&p->values[p->inputs[k]].shape);
        columns[k] = (struct hn_column){ x[k], HN_F64, n.per_row ? n.per_row : n.fixed, 1 };
    }
    HN_OK(b->open(&host, NULL, &dev, &t->err), t->err);
    HN_OK(hn_plan_create(&t->mem, p, HN_PASS_PREDICT, rows, 8, 0, &plan, &t->err), t->err);
    HN_OK(b->alloc(dev, (p->n_slab + 1) * sizeof *w, &slab, &t->err), t->err);
    HN_OK(b->put(dev, slab, 0, w, p->n_slab * sizeof *w, &t->err), t->err);
    HN_OK(b->bind(dev, &set, &data, &t->err), t->err);
    HN_OK(b->prepare(dev, plan, 1, &exec, &t->err), t->err);
    for (int k = 0; k < p->n_outputs; k++) {
        struct hn_dim n = hn_shape_count(&p->values[p->outputs[k]].shape);
        out[k] = hn_calloc(&t->mem, (size_t)(n.per_row * rows + n.fixed) + 1, sizeof(double));
    }
    struct hn_replica replica = { .slab = { slab }, .hyper = &hyper };
    struct hn_slot slot = { .r = &replica, .data = data, .rows = rows, .out = out };
    HN_OK(b->run(exec, &slot, 1, 1, &t->err), t->err);
    b->finish(exec);
    b->unbind(dev, data);
    b->release(dev, slab);
    b->close(dev);
    hn_plan_destroy(plan, &t->mem);
    hn_free(&t->mem, w);
    for (int k = 1; k < p->n_outputs; k++) hn_free(&t->mem, out[k]);
    return out[0];
}
