/* SPDX-License-Identifier: MIT
 *
 * Programs as a whole: two that compute the same from their slabs, a copy that needs nothing of the original, the end.
 *
 * Names, initial values and where things came from in a file are not compared: no backend's numbers depend on them. Attributes
 * are compared field by field, because what lies between fields is anything. */
#include "ops/base/status.h"
#include "ops/math/op.h"
#include <stddef.h>
#include <string.h>

/* ---- the same -------------------------------------------------------------------------------------------------- */

struct field {
    size_t at, size;
};
#define FIELD(type, name)                                                                          \
    {                                                                                              \
        offsetof(struct type, name), sizeof(((struct type *)0)->name)                              \
    }

static const struct attrs {
    const struct hn_op_row *row;
    struct field field[8]; /* ends with size 0 */
} tables[] = {
    { &hn_op_dense, { FIELD(hn_dense, alpha), FIELD(hn_dense, beta), FIELD(hn_dense, trans_w) } },
    { &hn_op_matmul,
      { FIELD(hn_matmul, alpha), FIELD(hn_matmul, trans_a), FIELD(hn_matmul, trans_b) } },
    { &hn_op_unary, { FIELD(hn_unary, kind), FIELD(hn_unary, a), FIELD(hn_unary, b) } },
    { &hn_op_binary, { FIELD(hn_binary, kind) } },
    { &hn_op_custom, { FIELD(hn_custom, f), FIELD(hn_custom, a) } },
    { &hn_op_batchnorm,
      { FIELD(hn_batchnorm, eps), FIELD(hn_batchnorm, momentum), FIELD(hn_batchnorm, mode),
        FIELD(hn_batchnorm, population) } },
    { &hn_op_layernorm, { FIELD(hn_layernorm, eps), FIELD(hn_layernorm, axes) } },
    { &hn_op_dropout,
      { FIELD(hn_dropout, stream), FIELD(hn_dropout, fixed) } }, /* the rate: see same_rate */
    { &hn_op_softmax,
      { FIELD(hn_softmax, axis), FIELD(hn_softmax, axes), FIELD(hn_softmax, log) } },
    { &hn_op_concat, { FIELD(hn_concat, axis) } },
    { &hn_op_slice,
      { FIELD(hn_slice, axis), FIELD(hn_slice, start), FIELD(hn_slice, len),
        FIELD(hn_slice, step) } },
    { &hn_op_transpose, { FIELD(hn_transpose, perm) } },
    { &hn_op_embedding, { FIELD(hn_embedding, rows), FIELD(hn_embedding, still) } },
    { &hn_op_noise, { FIELD(hn_noise, std), FIELD(hn_noise, stream) } },
    { &hn_op_mixup, { FIELD(hn_mixup, alpha) } },
    { &hn_op_onehot, { FIELD(hn_onehot, classes) } },
    { &hn_op_quantize,
      { FIELD(hn_quantize, low), FIELD(hn_quantize, high), FIELD(hn_quantize, axis),
        FIELD(hn_quantize, whole) } },
    { &hn_op_reduce, { FIELD(hn_reduce, kind), FIELD(hn_reduce, mask), FIELD(hn_reduce, keep) } },
};
static const struct field loss_fields[] = { FIELD(hn_loss, weight),
                                            FIELD(hn_loss, dense),
                                            FIELD(hn_loss, from_logits),
                                            FIELD(hn_loss, kind),
                                            FIELD(hn_loss, delta),
                                            FIELD(hn_loss, output),
                                            { 0, 0 } };

/* The fields of a row's attributes; NULL: a row without a table, all of its bytes count. */
static const struct field *fields_of(const struct hn_op_row *row)
{
    if (row->flags & HN_OP_LOSS) return loss_fields;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i].row == row) return tables[i].field;
    return NULL;
}

static int same_bytes(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

double hn_op_rate(const struct hn_op *op, enum hn_pass pass, const struct hn_hyper *h)
{
    const struct hn_dropout *d = op->attrs;
    if (pass == HN_PASS_STATS) return 0;
    if (op->row == &hn_op_noise) return ((const struct hn_noise *)op->attrs)->std;
    if (op->row == &hn_op_mixup) return ((const struct hn_mixup *)op->attrs)->alpha;
    if (op->row != &hn_op_dropout) return 0;
    return h && h->dropout >= 0 && !d->fixed ? h->dropout : d->rate;
}

/* Does the Dropout take the replica's rate where that has one? */
static const struct hn_dropout *open_dropout(const struct hn_op *op)
{
    const struct hn_dropout *d = op->row == &hn_op_dropout ? op->attrs : NULL;
    return d && !d->fixed ? d : NULL;
}

int hn_program_dropout(const struct hn_program *p, double *rate)
{
    *rate = -1;
    for (int i = 0; i < p->n_ops; i++) {
        const struct hn_dropout *d = open_dropout(&p->ops[i]);
        if (!d) continue;
        if (*rate >= 0 && !same_bytes(rate, &d->rate, sizeof *rate)) return 0;
        *rate = d->rate;
    }
    return 1;
}

static int same_attrs(const struct hn_op *a, const struct hn_op *b, int rates)
{
    const struct field *f = fields_of(a->row);
    const char *p = a->attrs, *q = b->attrs;
    if (!f) return same_bytes(p, q, a->row->attrs_size);
    for (; f->size; f++)
        if (!same_bytes(p + f->at, q + f->at, f->size)) return 0;
    if (a->row != &hn_op_dropout || (!rates && open_dropout(a))) return 1;
    return same_bytes(&((const struct hn_dropout *)a->attrs)->rate,
                      &((const struct hn_dropout *)b->attrs)->rate, sizeof(double));
}

static int same_list(const int32_t *a, const int32_t *b, int n)
{
    return same_bytes(a, b, (size_t)n * sizeof *a);
}

static int same_op(const struct hn_op *a, const struct hn_op *b, int rates)
{
    return a->row == b->row && a->n_in == b->n_in && a->n_out == b->n_out &&
           same_list(a->in, b->in, a->n_in) && same_list(a->out, b->out, a->n_out) &&
           same_attrs(a, b, rates);
}

static int same_value(const struct hn_value_ref *a, const struct hn_value_ref *b)
{
    if (a->kind != b->kind || a->index != b->index || a->view_of != b->view_of ||
        a->producer != b->producer || a->shape.rank != b->shape.rank)
        return 0;
    for (int i = 0; i < a->shape.rank; i++)
        if (a->shape.d[i].per_row != b->shape.d[i].per_row ||
            a->shape.d[i].fixed != b->shape.d[i].fixed)
            return 0;
    return 1;
}

static int same_param(const struct hn_param *a, const struct hn_param *b)
{
    return a->off == b->off && a->n == b->n && a->flags == b->flags &&
           same_bytes(&a->lr_mult, &b->lr_mult, sizeof a->lr_mult) &&
           same_bytes(&a->decay_mult, &b->decay_mult, sizeof a->decay_mult);
}

static int same_const(const struct hn_tensor *a, const struct hn_tensor *b)
{
    return a->dtype == b->dtype && a->n == b->n &&
           same_bytes(a->data, b->data, (size_t)a->n * hn_dtype_size(a->dtype));
}

static int same_counts(const struct hn_program *a, const struct hn_program *b)
{
    return a->dtype == b->dtype && a->n_values == b->n_values && a->n_ops == b->n_ops &&
           a->n_params == b->n_params && a->n_consts == b->n_consts && a->n_inputs == b->n_inputs &&
           a->n_targets == b->n_targets && a->n_outputs == b->n_outputs &&
           a->n_losses == b->n_losses && a->n_trained == b->n_trained && a->n_slab == b->n_slab &&
           a->n_const == b->n_const;
}

int hn_program_same(const struct hn_program *a, const struct hn_program *b)
{
    double ignored;
    int rates = !hn_program_dropout(a, &ignored) || !hn_program_dropout(b, &ignored);
    if (!same_counts(a, b) || !same_list(a->inputs, b->inputs, a->n_inputs) ||
        !same_list(a->targets, b->targets, a->n_targets) ||
        !same_list(a->outputs, b->outputs, a->n_outputs) ||
        !same_bytes(a->const_off, b->const_off, (size_t)a->n_consts * sizeof *a->const_off))
        return 0;
    for (int i = 0; i < a->n_values; i++)
        if (!same_value(&a->values[i], &b->values[i])) return 0;
    for (int i = 0; i < a->n_ops; i++)
        if (!same_op(&a->ops[i], &b->ops[i], rates)) return 0;
    for (int i = 0; i < a->n_params; i++)
        if (!same_param(&a->params[i], &b->params[i])) return 0;
    for (int i = 0; i < a->n_consts; i++)
        if (!same_const(&a->consts[i], &b->consts[i])) return 0;
    return 1;
}

/* ---- a copy ---------------------------------------------------------------------------------------------------- */

struct copier {
    struct hn_arena *arena;
    int failed;
};

static void *copied(struct copier *c, const void *from, size_t n, size_t size)
{
    void *to = hn_arena_alloc(c->arena, n ? n : 1, size ? size : 1);
    if (!to)
        c->failed = 1;
    else if (n && size)
        memcpy(to, from, n * size);
    return to;
}

static const char *copied_name(struct copier *c, const char *name)
{
    return name ? copied(c, name, strlen(name) + 1, 1) : NULL;
}

static const char **copied_names(struct copier *c, const char *const *names, int n)
{
    const char **to = copied(c, names, (size_t)n, sizeof *to);
    for (int i = 0; to && i < n; i++) to[i] = copied_name(c, names[i]);
    return to;
}

static void copy_ops(struct copier *c, struct hn_program *q)
{
    for (int i = 0; !c->failed && i < q->n_ops; i++) {
        struct hn_op *op = &q->ops[i];
        op->attrs = copied(c, op->attrs, 1, op->row->attrs_size);
        op->in = copied(c, op->in, (size_t)op->n_in, sizeof *op->in);
        op->out = copied(c, op->out, (size_t)op->n_out, sizeof *op->out);
        op->name = copied_name(c, op->name);
    }
}

static void copy_consts(struct copier *c, const struct hn_program *p, struct hn_program *q)
{
    struct hn_tensor *to = copied(c, p->consts, (size_t)p->n_consts, sizeof *to);
    for (int i = 0; !c->failed && i < p->n_consts; i++)
        to[i].data = copied(c, to[i].data, (size_t)to[i].n, hn_dtype_size(to[i].dtype));
    q->consts = to;
}

static void copy_all(struct copier *c, const struct hn_program *p, struct hn_program *q)
{
    q->values = copied(c, p->values, (size_t)p->n_values, sizeof *p->values);
    q->ops = copied(c, p->ops, (size_t)p->n_ops, sizeof *p->ops);
    q->params = copied(c, p->params, (size_t)p->n_params, sizeof *p->params);
    q->const_off = copied(c, p->const_off, (size_t)p->n_consts, sizeof *p->const_off);
    q->inputs = copied(c, p->inputs, (size_t)p->n_inputs, sizeof *p->inputs);
    q->targets = copied(c, p->targets, (size_t)p->n_targets, sizeof *p->targets);
    q->outputs = copied(c, p->outputs, (size_t)p->n_outputs, sizeof *p->outputs);
    if (p->input_names) q->input_names = copied_names(c, p->input_names, p->n_inputs);
    if (p->output_names) q->output_names = copied_names(c, p->output_names, p->n_outputs);
    if (c->failed) return;
    for (int i = 0; i < q->n_values; i++) q->values[i].name = copied_name(c, q->values[i].name);
    for (int i = 0; i < q->n_params; i++) {
        q->params[i].name = copied_name(c, q->params[i].name);
        q->params[i].init = NULL;
        q->params[i].stored = NULL;
    }
    copy_ops(c, q);
    copy_consts(c, p, q);
}

hone_status hn_program_copy(struct hn_mem *m, const struct hn_program *p, struct hn_program **out,
                            hone_error *err)
{
    *out = NULL;
    struct hn_program *q = hn_calloc(m, 1, sizeof *q);
    if (!q) return hn_nomem(err, "a program", sizeof *q);
    *q = *p;
    hn_arena_init(&q->arena, m);
    struct copier c = { &q->arena, 0 };
    copy_all(&c, p, q);
    if (c.failed) {
        hn_program_destroy(q, m);
        return hn_nomem(err, "a program", (size_t)p->n_values * sizeof *p->values);
    }
    *out = q;
    return HONE_OK;
}

void hn_program_destroy(struct hn_program *p, struct hn_mem *m)
{
    if (!p) return;
    hn_arena_clear(&p->arena);
    hn_free(m, p);
}
