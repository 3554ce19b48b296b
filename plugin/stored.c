/* SPDX-License-Identifier: MIT
 *
 * Weights of half types: a slab holds them in float32 (or double), the file in 16 bits. What a number becomes there is said in
 * one place, so that what is validated, what is reported and what is written are the same numbers. */
#include "ops/base/status.h"
#include "plugin/internal.h"
#include <math.h>

enum { CHUNK = 256 };

static enum hn_dtype stored_type(const struct hn_param *p)
{
    return p->init ? p->init->dtype : HN_NONE;
}

static int is_half(const struct hn_param *p)
{
    return stored_type(p) == HN_F16 || stored_type(p) == HN_BF16;
}

int hn_program_has_half(const struct hn_program *prog)
{
    for (int i = 0; i < prog->n_params; i++)
        if (is_half(&prog->params[i])) return 1;
    return 0;
}

/* w[0 … n) as type t holds them. The first that was finite and is so no longer; n: none. */
static size_t round_numbers(void *w, size_t elem, enum hn_dtype t, size_t n)
{
    enum hn_dtype wide = elem == 4 ? HN_F32 : HN_F64;
    size_t first = n;
    uint16_t bits[CHUNK];
    double was[CHUNK];
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t k = n - at < CHUNK ? n - at : CHUNK;
        unsigned char *from = (unsigned char *)w + at * elem;
        hn_convert(was, HN_F64, from, wide, (int64_t)k);
        hn_convert(bits, t, from, wide, (int64_t)k);
        hn_convert(from, wide, bits, t, (int64_t)k);
        for (size_t i = 0; i < k && first == n; i++)
            if (isfinite(was[i]) && !isfinite(hn_elem_get(from, elem, i))) first = at + i;
    }
    return first;
}

const struct hn_param *hn_round_as_stored(const struct hn_program *prog, void *w, size_t elem)
{
    const struct hn_param *beyond = NULL;
    for (int i = 0; i < prog->n_params; i++) {
        const struct hn_param *p = &prog->params[i];
        if (!is_half(p)) continue;
        size_t at = round_numbers((unsigned char *)w + p->off * elem, elem, stored_type(p), p->n);
        if (at < p->n && !beyond) beyond = p;
    }
    return beyond;
}

hone_status hn_check_stored(const struct hn_param *p, const void *w, size_t elem, hone_error *err)
{
    double v = 0, copy[CHUNK];
    size_t at = p->n;
    for (size_t from = 0; is_half(p) && from < p->n && at == p->n; from += CHUNK) {
        size_t k = p->n - from < CHUNK ? p->n - from : CHUNK;
        hn_convert(copy, HN_F64, (const unsigned char *)w + (p->off + from) * elem,
                   elem == 4 ? HN_F32 : HN_F64, (int64_t)k);
        size_t bad = round_numbers(copy, sizeof *copy, stored_type(p), k);
        if (bad < k) at = from + bad, v = hn_elem_get(w, elem, p->off + at);
    }
    if (at == p->n) return HONE_OK;
    return hn_hint(err,
                   hn_fail(err, HONE_E_DIVERGED, p->name,
                           "element %zu is %.9g, which %s cannot hold", at, v,
                           hn_dtype_name(stored_type(p))),
                   "a smaller --lr, --weight-decay, or a model exported in float32");
}
