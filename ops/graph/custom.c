/* SPDX-License-Identifier: MIT
 *
 * Operators that a plug-in adds: element-wise functions of one input with numbers as attributes. Each node of one gets an ONNX
 * row of its own, so that nothing else needs to know. */
#include "ops/base/status.h"
#include "ops/graph/lower.h"
#include <string.h>

struct custom_row { /* the row comes first: a node's row leads back here */
    struct hn_onnx_row row;
    struct hn_attr_spec attrs[HN_CUSTOM_ATTRS + 1];
    const struct hn_custom_op *op;
};

static hone_status infer_custom(struct hn_infer *c)
{
    return hn_out(c, 0, hn_in_value(c, 0)->dtype, hn_in_shape(c, 0));
}

static hone_status lower_custom(struct hn_lowering *l, const struct hn_node *n,
                                const struct hn_onnx_attrs *a)
{
    const struct custom_row *r = (const struct custom_row *)(const void *)n->row;
    struct hn_custom attrs = { &r->op->f, { 0 } };
    int32_t x, y;
    memcpy(attrs.a, a->custom, sizeof attrs.a);
    HN_TRY(hn_l_value(l, n->in[0], &x));
    HN_TRY(hn_l_op(l, &hn_op_custom, &attrs, &x, 1, &y));
    HN_TRY(hn_l_hidden(l, n, &y));
    return hn_l_bind(l, n->out[0], y);
}

const struct hn_onnx_row *hn_custom_row(struct hn_graph *g, const struct hn_node *n, int *nomem)
{
    const struct hn_custom_op *op = g->custom;
    int64_t version = hn_node_opset(g, n);
    if (n->row && n->row->lower == lower_custom) return n->row;
    while (op && (strcmp(op->domain, n->domain) != 0 || strcmp(op->type, n->type) != 0 ||
                  version < op->since))
        op = op->next;
    if (!op) return NULL;
    struct custom_row *r = hn_arena_alloc(&g->arena, 1, sizeof *r);
    *nomem = r == NULL;
    if (!r) return NULL;
    r->row = (struct hn_onnx_row){ .domain = op->domain,
                                   .type = op->type,
                                   .in_min = 1,
                                   .in_max = 1,
                                   .out_max = 1,
                                   .flags = HN_ROW_FOLD | HN_ROW_FLOAT | HN_ROW_SINGLE,
                                   .data = 1,
                                   .attrs = r->attrs,
                                   .infer = infer_custom,
                                   .lower = lower_custom };
    for (int i = 0; i < op->n_attrs; i++)
        r->attrs[i] = (struct hn_attr_spec){ op->attr[i], HN_ATTR_F32, op->dflt[i],
                                             offsetof(struct hn_onnx_attrs, custom) +
                                                 (size_t)i * sizeof(double) };
    r->op = op;
    return &r->row;
}
