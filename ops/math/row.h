/* SPDX-License-Identifier: MIT
 *
 * What the files of the program ops share: shape checks with messages, broadcasting, and the rules of a reference
 * kernel. A reference kernel computes in double, allocates nothing, keeps no state, and is written to be read: it is
 * the oracle of the other backends. It may be slow. It obeys call.acc (add or overwrite), skips a NULL dx, takes a NULL
 * dy for zeros, writes dx in the order of the inputs (two of them may be the same buffer), and, where the row says
 * HN_OP_INPLACE, reads element i of its operand before it writes element i. */
#ifndef HN_ROW_H
#define HN_ROW_H

#include "ops/base/status.h"
#include "ops/math/op.h"

/* Samples: HN_S(ROWS, HN_D(5)) is the shape [N,5]. */
#define HN_ROWS                                                                                    \
    {                                                                                              \
        1, 0                                                                                       \
    }
#define HN_D(n)                                                                                    \
    {                                                                                              \
        0, (n)                                                                                     \
    }
#define HN_S0                                                                                      \
    {                                                                                              \
        .rank = 0                                                                                  \
    }
#define HN_S1(a)                                                                                   \
    {                                                                                              \
        .rank = 1, .d = { a }                                                                      \
    }
#define HN_S2(a, b)                                                                                \
    {                                                                                              \
        .rank = 2, .d = { a, b }                                                                   \
    }
#define HN_S3(a, b, c)                                                                             \
    {                                                                                              \
        .rank = 3, .d = { a, b, c }                                                                \
    }
#define HN_S4(a, b, c, e)                                                                          \
    {                                                                                              \
        .rank = 4, .d = { a, b, c, e }                                                             \
    }

static inline int hn_same_dim(struct hn_dim a, struct hn_dim b)
{
    return a.per_row == b.per_row && a.fixed == b.fixed;
}
static inline int hn_is_one(struct hn_dim d) { return d.per_row == 0 && d.fixed == 1; }
static inline int hn_is_fixed(struct hn_dim d, int64_t n) { return d.per_row == 0 && d.fixed == n; }
static inline int hn_has(const struct hn_op *op, int i) { return i < op->n_in && op->in[i] >= 0; }

int hn_same_shape(const struct hn_shape *a, const struct hn_shape *b);
/* "[N,10]", "[2*N+1,4]", "[]"; returns buf. */
const char *hn_shape_text(const struct hn_shape *s, char *buf, size_t size);
/* Numpy broadcasting of two shapes; the error names both. */
hone_status hn_shape_broadcast(const struct hn_shape *a, const struct hn_shape *b,
                               struct hn_shape *y, const char *where, hone_error *err);
/* Position in an operand of extents `in` that lines up with element i of the broadcast result. */
int64_t hn_broadcast_at(const struct hn_extent *y, const struct hn_extent *in, int64_t i);

static inline double *hn_ptr(void *const *v, int i) { return v[i]; }
static inline int hn_adds(const struct hn_call *c, int i) { return (int)(c->acc >> i & 1u); }
/* The gradient buffer of input i, cleared unless it is added to: kernels that sum then always use +=. NULL: not wanted. */
double *hn_grad(const struct hn_call *c, int i);
/* Product of dims [from, to). */
int64_t hn_span(const struct hn_extent *e, int from, int to);
#endif
