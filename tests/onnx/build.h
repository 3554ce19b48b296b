/* SPDX-License-Identifier: MIT
 *
 * Building ONNX files by hand, field by field, for tests that need odd or hostile ones; and the model zoo, when it lies
 * beside the checkout. Field numbers are the published ones. */
#ifndef HN_TEST_ONNX_BUILD_H
#define HN_TEST_ONNX_BUILD_H

#include "onnx/wire.h"
#include "tests/harness.h"
#include <glob.h>

enum { M_IR = 1, M_PRODUCER = 2, M_GRAPH = 7, M_OPSET = 8, M_META = 14, M_FUNCTION = 25 };
enum {
    G_NODE = 1,
    G_NAME = 2,
    G_INIT = 5,
    G_INPUT = 11,
    G_OUTPUT = 12,
    G_INFO = 13,
    G_SPARSE = 15
};
enum { N_IN = 1, N_OUT = 2, N_NAME = 3, N_OP = 4, N_ATTR = 5, N_DOMAIN = 7 };
enum {
    A_NAME = 1,
    A_F = 2,
    A_I = 3,
    A_S = 4,
    A_T = 5,
    A_G = 6,
    A_INTS = 8,
    A_STRINGS = 9,
    A_TYPE = 20,
    A_REF = 21
};
enum {
    T_DIMS = 1,
    T_TYPE = 2,
    T_FLOATS = 4,
    T_INT32 = 5,
    T_STRINGS = 6,
    T_INT64 = 7,
    T_NAME = 8,
    T_RAW = 9,
    T_DOUBLES = 10,
    T_UINT64 = 11,
    T_EXTERNAL = 13,
    T_LOCATION = 14
};

static struct hn_mem test_mem;

static inline struct hn_buffer b_new(void)
{
    struct hn_buffer b;
    if (!test_mem.alloc) hn_mem_init(&test_mem, 0);
    hn_buffer_init(&b, &test_mem);
    return b;
}
static inline void b_int(struct hn_buffer *b, uint32_t field, int64_t v)
{
    ck_assert_int_eq(hn_put_varint_field(&b->sink, field, (uint64_t)v, NULL), HONE_OK);
}
static inline void b_bytes(struct hn_buffer *b, uint32_t field, const void *p, size_t n)
{
    ck_assert_int_eq(hn_put_bytes_field(&b->sink, field, p, n, NULL), HONE_OK);
}
static inline void b_str(struct hn_buffer *b, uint32_t field, const char *s)
{
    b_bytes(b, field, s, strlen(s));
}
static inline void b_f32(struct hn_buffer *b, uint32_t field, float v)
{
    unsigned char head[16];
    size_t n = hn_varint_put(head, (uint64_t)field << 3 | HN_WIRE_32);
    memcpy(head + n, &v, 4);
    ck_assert_int_eq(b->sink.write(&b->sink, head, n + 4, NULL), HONE_OK);
}
static inline void b_raw(struct hn_buffer *b, const void *p, size_t n)
{
    ck_assert_int_eq(b->sink.write(&b->sink, p, n, NULL), HONE_OK);
}
/* Adds sub as a message and frees it. */
static inline void b_sub(struct hn_buffer *b, uint32_t field, struct hn_buffer sub)
{
    b_bytes(b, field, sub.p, sub.n);
    hn_buffer_free(&sub);
}

static inline struct hn_buffer b_entry(const char *key, const char *value)
{
    struct hn_buffer e = b_new();
    b_str(&e, 1, key);
    b_str(&e, 2, value);
    return e;
}
/* ValueInfoProto; dims: "N,3" with symbols and numbers, NULL: no shape. */
static inline struct hn_buffer b_info(const char *name, int type, const char *dims)
{
    struct hn_buffer v = b_new(), t = b_new(), tensor = b_new(), shape = b_new();
    b_str(&v, 1, name);
    b_int(&tensor, 1, type);
    for (const char *d = dims; d && *d;) {
        size_t n = strcspn(d, ",");
        struct hn_buffer dim = b_new();
        char *end;
        long k = strtol(d, &end, 10);
        if (end == d + n && n)
            b_int(&dim, 1, k);
        else
            b_bytes(&dim, 2, d, n);
        b_sub(&shape, 1, dim);
        d += n + (d[n] == ',');
    }
    if (dims)
        b_sub(&tensor, 2, shape);
    else
        hn_buffer_free(&shape);
    b_sub(&t, 1, tensor);
    b_sub(&v, 2, t);
    return v;
}
/* TensorProto with raw_data; dims end with -1. */
static inline struct hn_buffer b_tensor(const char *name, int type, const int64_t *dims,
                                        const void *raw, size_t n)
{
    struct hn_buffer t = b_new();
    for (; *dims >= 0; dims++) b_int(&t, T_DIMS, *dims);
    b_int(&t, T_TYPE, type);
    b_str(&t, T_NAME, name);
    b_bytes(&t, T_RAW, raw, n);
    return t;
}
#define DIMS(...) ((const int64_t[]){ __VA_ARGS__, -1 })
#define SCALAR    ((const int64_t[]){ -1 })
/* NodeProto; names separated by commas, "-" is an empty name. */
static inline struct hn_buffer b_node(const char *name, const char *op, const char *in,
                                      const char *out)
{
    struct hn_buffer n = b_new();
    const char *lists[2] = { in, out };
    for (int i = 0; i < 2; i++)
        for (const char *p = lists[i]; *p;) {
            size_t k = strcspn(p, ",");
            b_bytes(&n, i ? N_OUT : N_IN, p, k == 1 && *p == '-' ? 0 : k);
            p += k + (p[k] == ',');
        }
    b_str(&n, N_NAME, name);
    b_str(&n, N_OP, op);
    return n;
}
static inline struct hn_buffer b_attr_int(const char *name, int64_t v)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, name);
    b_int(&a, A_I, v);
    b_int(&a, A_TYPE, 2);
    return a;
}
static inline struct hn_buffer b_attr_float(const char *name, float v)
{
    struct hn_buffer a = b_new();
    b_str(&a, A_NAME, name);
    b_f32(&a, A_F, v);
    b_int(&a, A_TYPE, 1);
    return a;
}
/* A model around a graph. */
static inline struct hn_buffer b_model(int ir, int opset, struct hn_buffer graph)
{
    struct hn_buffer m = b_new(), o = b_new();
    b_int(&m, M_IR, ir);
    b_str(&m, M_PRODUCER, "test");
    b_sub(&m, M_GRAPH, graph);
    b_str(&o, 1, "");
    b_int(&o, 2, opset);
    b_sub(&m, M_OPSET, o);
    return m;
}

/* x [N,2] → Gemm(w [3,2], b [3], transB) → Relu → Gemm(v [1,3], c [1], transB) → y; in float32. */
static inline struct hn_buffer b_mlp_graph(void)
{
    static const float w[6] = { 1, -2, 3, 4, -5, 6 }, b[3] = { 0.5f, -0.5f, 0.25f },
                       v[3] = { 1, 2, -1 }, c[1] = { 7 };
    struct hn_buffer g = b_new();
    struct hn_buffer fc1 = b_node("fc1", "Gemm", "x,w,b", "h"),
                     fc2 = b_node("fc2", "Gemm", "r,v,c", "y");
    b_sub(&fc1, N_ATTR, b_attr_int("transB", 1));
    b_sub(&fc2, N_ATTR, b_attr_int("transB", 1));
    b_sub(&g, G_NODE, fc1);
    b_sub(&g, G_NODE, b_node("act", "Relu", "h", "r"));
    b_sub(&g, G_NODE, fc2);
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("w", 1, DIMS(3, 2), w, sizeof w));
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(3), b, sizeof b));
    b_sub(&g, G_INIT, b_tensor("v", 1, DIMS(1, 3), v, sizeof v));
    b_sub(&g, G_INIT, b_tensor("c", 1, DIMS(1), c, sizeof c));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,1"));
    return g;
}
static inline struct hn_buffer b_mlp(void) { return b_model(8, 17, b_mlp_graph()); }

#define ZOO HN_SOURCE_DIR "/../shared/zoo"
/* Every model of the zoo, sorted; 0 when there is none. */
static inline size_t zoo_files(glob_t *g)
{
    if (glob(ZOO "/*/*.onnx", 0, NULL, g) != 0) return 0;
    return glob(ZOO "/*/*.onnx.gz", GLOB_APPEND, NULL, g) == 0 ? g->gl_pathc : 0;
}

static inline char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    *n = 0;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    ck_assert_uint_eq(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}
static inline void write_whole(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}
#endif
