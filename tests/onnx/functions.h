/* SPDX-License-Identifier: MIT
 *
 * Models that define functions of their own, built by hand: a body is a FunctionProto that nodes are added to, a model
 * gets functions after its graph. */
#ifndef HN_TEST_ONNX_FUNCTIONS_H
#define HN_TEST_ONNX_FUNCTIONS_H

#include "tests/onnx/build.h"

enum {
    F_NAME = 1,
    F_IN = 4,
    F_OUT = 5,
    F_ATTR = 6,
    F_NODE = 7,
    F_OPSET = 9,
    F_DOMAIN = 10,
    F_DEFAULT = 11,
    F_OVERLOAD = 13,
    N_OVERLOAD = 8
};

static inline struct hn_buffer b_opset(const char *domain, int64_t version)
{
    struct hn_buffer o = b_new();
    b_str(&o, 1, domain);
    b_int(&o, 2, version);
    return o;
}
static inline void b_names(struct hn_buffer *b, uint32_t field, const char *list)
{
    for (const char *p = list; *p;) {
        size_t k = strcspn(p, ",");
        b_bytes(b, field, p, k == 1 && *p == '-' ? 0 : k);
        p += k + (p[k] == ',');
    }
}
/* A function of domain "my"; opset: its version of the standard operators, 0: none. */
static inline struct hn_buffer b_function(const char *name, const char *in, const char *out,
                                          int opset)
{
    struct hn_buffer f = b_new();
    b_str(&f, F_NAME, name);
    b_str(&f, F_DOMAIN, "my");
    b_names(&f, F_IN, in);
    b_names(&f, F_OUT, out);
    if (opset) b_sub(&f, F_OPSET, b_opset("", opset));
    return f;
}
/* A node that calls a function of domain "my". */
static inline struct hn_buffer b_call(const char *name, const char *function, const char *in,
                                      const char *out)
{
    struct hn_buffer n = b_node(name, function, in, out);
    b_str(&n, N_DOMAIN, "my");
    return n;
}
static inline struct hn_buffer b_attr_ref(const char *name, const char *ref, int type)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, name);
    b_str(&a, A_REF, ref);
    b_int(&a, A_TYPE, type);
    return a;
}
static inline struct hn_buffer b_attr_tensor(const char *name, struct hn_buffer tensor)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, name);
    b_sub(&a, A_T, tensor);
    b_int(&a, A_TYPE, 4);
    return a;
}
static inline struct hn_buffer b_with(struct hn_buffer node, uint32_t field, struct hn_buffer sub)
{
    b_sub(&node, field, sub);
    return node;
}
static inline struct hn_buffer b_constant(const char *out, const int64_t *dims, const float *v,
                                          size_t n)
{
    return b_with(b_node("", "Constant", "", out), N_ATTR,
                  b_attr_tensor("value", b_tensor("", 1, dims, v, n * sizeof *v)));
}

/* x [N,2] and y [N,2], initializers w [2,2] and b [2]; nodes are added by the test. */
static inline struct hn_buffer b_frame(void)
{
    static const float w[4] = { 1, 2, 3, 4 }, b[2] = { 0.5f, -1 };
    struct hn_buffer g = b_new();
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(2, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(2), b, sizeof b));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    return g;
}
/* my.Linear(x, w, b) → y: Gemm and Relu. */
static inline struct hn_buffer b_linear(void)
{
    struct hn_buffer f = b_function("Linear", "x,w,b", "y", 17);
    b_sub(&f, F_NODE, b_node("gemm", "Gemm", "x,w,b", "h"));
    b_sub(&f, F_NODE, b_node("", "Relu", "h", "y"));
    return f;
}
/* my.Own(x) → y: a Gemm with a weight and a bias of its own, the bias zeros. */
static inline struct hn_buffer b_own(void)
{
    static const float w[4] = { 2, 0, 0, 3 }, b[2] = { 0, 0 };
    struct hn_buffer f = b_function("Own", "x", "y", 17);
    b_sub(&f, F_NODE, b_constant("w", DIMS(2, 2), w, 4));
    b_sub(&f, F_NODE, b_constant("b", DIMS(2), b, 2));
    b_sub(&f, F_NODE, b_node("gemm", "Gemm", "x,w,b", "y"));
    return f;
}
#endif
