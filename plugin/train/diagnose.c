/* SPDX-License-Identifier: MIT
 *
 * Which number went wrong first: see diagnose.h. Runs once in the life of a failed run. */
#include "plugin/train/diagnose.h"
#include "ops/base/format.h"
#include "ops/base/status.h"
#include <float.h>
#include <math.h>

const char *hn_first_bad_param(const struct hn_program *prog, const void *w, size_t elem)
{
    for (int32_t i = 0; i < prog->n_params; i++) {
        const struct hn_param *p = &prog->params[i];
        for (size_t k = p->off; k < p->off + p->n; k++)
            if (!isfinite(hn_elem_get(w, elem, k))) return p->name;
    }
    return NULL;
}

static int is_bad(const struct hn_interpreter *it, double v)
{
    return !isfinite(v) || (it->o.elem == 4 && fabs(v) > (double)FLT_MAX);
}

static int has_bad(const struct hn_interpreter *it, int32_t i)
{
    int64_t n = hn_extent_numel(&it->extent[i]);
    for (int64_t k = 0; it->value[i] && k < n; k++)
        if (is_bad(it, it->value[i][k])) return 1;
    return 0;
}

static int op_is_bad(const struct hn_interpreter *it, const struct hn_op *op)
{
    if (is_bad(it, it->loss[0])) return 1;
    for (int i = 0; i < op->n_out; i++)
        if (op->out[i] >= 0 && has_bad(it, op->out[i])) return 1;
    return 0;
}

static hone_status search(struct hn_interpreter *it, char *text, size_t size, hone_error *err)
{
    const struct hn_program *prog = it->o.prog;
    for (int32_t i = 0; i < prog->n_inputs; i++)
        if (has_bad(it, prog->inputs[i]))
            return hn_print(text, size, "input %s", prog->values[prog->inputs[i]].name), HONE_OK;
    for (int32_t k = 0; k < prog->n_ops; k++) {
        const struct hn_op *op = &prog->ops[k];
        HN_TRY(hn_interpret_op(it, k, err));
        if (!op_is_bad(it, op)) continue;
        if (!(op->row->flags & HN_OP_LOSS))
            return hn_print(text, size, "output of %s (%s)", op->name, op->row->name), HONE_OK;
        break;
    }
    hn_print(text, size, "the loss");
    return HONE_OK;
}

hone_status hn_diagnose_batch(struct hn_mem *mem, const struct hn_interpret_opts *o, char *text,
                              size_t size, hone_error *err)
{
    struct hn_interpreter it;
    const char *param = hn_first_bad_param(o->prog, o->w, o->elem);
    if (param) {
        hn_print(text, size, "%s", param);
        return HONE_OK;
    }
    HN_TRY(hn_interpret_open(&it, mem, o, err));
    hone_status st = search(&it, text, size, err);
    hn_interpret_close(&it);
    return st;
}
