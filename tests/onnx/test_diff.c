/* SPDX-License-Identifier: MIT
 *
 * What differs between two models: nothing for a model and itself, one entry for one change, by its path and size. */
#include "onnx/diff.h"
#include "onnx/edit.h"
#include "onnx/save.h"
#include "tests/onnx/build.h"
#include <math.h>

static hone_error err;

struct seen {
    int n, tensors;
    char path[256], name[64], what[128];
    int64_t differing;
    double max_abs, max_ulp;
};

static hone_status see(void *user, const struct hn_difference *d)
{
    struct seen *s = user;
    s->n++;
    s->tensors += d->is_tensor;
    snprintf(s->path, sizeof s->path, "%s", d->path);
    snprintf(s->name, sizeof s->name, "%s", d->name);
    snprintf(s->what, sizeof s->what, "%s", d->what);
    s->differing = d->n_differing;
    s->max_abs = d->max_abs;
    s->max_ulp = d->max_ulp;
    return HONE_OK;
}

static struct seen compare(const struct hn_buffer *a, const struct hn_buffer *b)
{
    struct hn_onnx *x, *y;
    struct seen s = { 0 };
    HN_OK(hn_onnx_open_bytes(&x, &test_mem, &hn_io_system, a->p, a->n, NULL, "a", &err), err);
    HN_OK(hn_onnx_open_bytes(&y, &test_mem, &hn_io_system, b->p, b->n, NULL, "b", &err), err);
    HN_OK(hn_onnx_diff(x, y, see, &s, &err), err);
    hn_onnx_close(x);
    hn_onnx_close(y);
    return s;
}

static struct hn_buffer patched(const struct hn_buffer *b, uint32_t tensor, const float *v)
{
    struct hn_onnx *m;
    struct hn_patch p = { tensor, HN_F32, v };
    struct hn_changes c = { &p, 1, NULL, 0 };
    struct hn_buffer out = b_new();
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, b->p, b->n, NULL, "m", &err), err);
    HN_OK(hn_onnx_write(m, &c, 0, &out.sink, &err), err);
    hn_onnx_close(m);
    return out;
}

START_TEST(a_model_is_equal_to_itself)
{
    struct hn_buffer b = b_mlp();
    ck_assert_int_eq(compare(&b, &b).n, 0);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(tensor_values)
{
    float v[6] = { 1, -2, 3, 4, -5, 6 };
    struct hn_buffer b = b_mlp(), out;
    v[4] = nextafterf(nextafterf(-5, 0), 0);
    v[1] = -2.5f;
    out = patched(&b, 0, v);
    struct seen s = compare(&b, &out);
    ck_assert_int_eq(s.n, 1);
    ck_assert_int_eq(s.tensors, 1);
    ck_assert_str_eq(s.path, "graph.initializer[0]");
    ck_assert_str_eq(s.name, "w");
    ck_assert_str_eq(s.what, "values");
    ck_assert_int_eq((int)s.differing, 2);
    ck_assert(s.max_abs == 0.5 && s.max_ulp == 1 << 21);
    hn_buffer_free(&out);
    v[1] = -2;
    out = patched(&b, 0, v);
    ck_assert(compare(&b, &out).max_ulp == 2);
    hn_buffer_free(&out);
    v[0] = NAN;
    out = patched(&b, 0, v);
    ck_assert(isinf(compare(&b, &out).max_abs));
    hn_buffer_free(&out);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(fields)
{
    struct hn_buffer b = b_mlp(), c = b_model(9, 17, b_mlp_graph()), g = b_mlp_graph();
    struct seen s = compare(&b, &c);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.path, "ir_version");
    ck_assert_str_eq(s.what, "8 against 9");
    hn_buffer_free(&c);
    b_str(&g, 10, "a doc string");
    c = b_model(8, 17, g);
    s = compare(&b, &c);
    ck_assert_str_eq(s.path, "graph.doc_string");
    ck_assert_str_eq(s.what, "nothing against 'a doc string'");
    ck_assert_str_eq(s.name, "g");
    hn_buffer_free(&c);
    c = b_mlp();
    b_sub(&c, M_META, b_entry("k", "v"));
    s = compare(&b, &c);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.what, "0 entries against 1");
    hn_buffer_free(&c);
    c = b_mlp();
    char *at = NULL;
    for (size_t i = 0; i + 4 < c.n && !at; i++)
        if (memcmp(c.p + i, "Relu", 4) == 0) at = c.p + i;
    memcpy(at, "Tanh", 4);
    s = compare(&b, &c);
    ck_assert_str_eq(s.path, "graph.node[1].op_type");
    ck_assert_str_eq(s.what, "'Relu' against 'Tanh'");
    ck_assert_str_eq(s.name, "act");
    hn_buffer_free(&c);
    c = b_mlp();
    b_str(&c, 999, "from the future");
    s = compare(&b, &c);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.path, "(unknown fields)");
    hn_buffer_free(&c);
    hn_buffer_free(&b);
}
END_TEST

static struct hn_buffer with_floats(const float *v, size_t n)
{
    struct hn_buffer g = b_new(), node = b_node("lin", "Linear", "x", "y"), a = b_new();
    b_str(&a, A_NAME, "weights");
    b_bytes(&a, 7, v, n * sizeof *v);
    b_int(&a, A_TYPE, 6);
    b_sub(&node, N_ATTR, a);
    b_sub(&g, G_NODE, node);
    return b_model(8, 17, g);
}

START_TEST(a_list_of_floats_is_one_entry)
{
    static const float one[4] = { 1, 2, 3, 4 }, two[4] = { 1, 2.5f, 3, 8 };
    struct hn_buffer a = with_floats(one, 4), b = with_floats(two, 4), c = with_floats(one, 3);
    struct seen s = compare(&a, &b);
    ck_assert(s.n == 1 && s.tensors == 1 && s.differing == 2 && s.max_abs == 4);
    ck_assert_str_eq(s.name, "weights");
    ck_assert_str_eq(s.path, "graph.node[0].attribute[0].floats");
    ck_assert_int_eq(compare(&a, &a).n, 0);
    s = compare(&a, &c);
    ck_assert(s.n == 1 && !s.tensors && strstr(s.what, "4 entries against 3"));
    hn_buffer_free(&a);
    hn_buffer_free(&b);
    hn_buffer_free(&c);
}
END_TEST

START_TEST(initializers_go_by_name)
{
    float v[2] = { 1, 2 };
    struct hn_buffer g = b_mlp_graph(), h = b_new(), t = b_new();
    b_sub(&h, G_INIT, b_tensor("extra", 1, DIMS(2), v, sizeof v));
    b_raw(&h, g.p, g.n); /* the same graph behind one more initializer */
    hn_buffer_free(&g);
    struct hn_buffer a = b_mlp(), b = b_model(8, 17, h);
    struct seen s = compare(&a, &b);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.name, "extra");
    ck_assert_str_eq(s.what, "only in the second");
    s = compare(&b, &a);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.what, "only in the first");
    hn_buffer_free(&b);
    g = b_mlp_graph();
    b_sub(&g, G_INIT, b_tensor("extra", 1, DIMS(2), v, sizeof v));
    h = b_mlp_graph();
    b_int(&t, T_DIMS, 2);
    b_int(&t, T_TYPE, 1);
    b_str(&t, T_NAME, "extra");
    b_f32(&t, T_FLOATS, 1);
    b_f32(&t, T_FLOATS, 2);
    b_sub(&h, G_INIT, t);
    hn_buffer_free(&a);
    a = b_model(8, 17, g);
    b = b_model(8, 17, h);
    s = compare(&a, &b); /* equal numbers, kept in another way */
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.what, "stored in raw_data against typed fields");
    hn_buffer_free(&a);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(nodes_go_by_name)
{
    struct hn_buffer g = b_new(), h = b_mlp_graph(), moved = b_new();
    b_sub(&g, G_NODE, b_node("odd", "Relu", "x", "q"));
    b_raw(&g, h.p, h.n); /* the same graph behind one more node */
    struct hn_buffer a = b_mlp(), b = b_model(8, 17, g);
    struct seen s = compare(&a, &b);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.path, "graph.node[0]");
    ck_assert_str_eq(s.name, "odd");
    ck_assert_str_eq(s.what, "only in the second");
    s = compare(&b, &a);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.what, "only in the first");
    b_raw(&moved, h.p, h.n);
    b_sub(&moved, G_NODE, b_node("odd", "Relu", "x", "q"));
    hn_buffer_free(&a);
    a = b_model(8, 17, moved);
    s = compare(&a, &b); /* the same nodes, one of them elsewhere */
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.name, "odd");
    ck_assert_str_eq(s.what, "in another order");
    hn_buffer_free(&a);
    hn_buffer_free(&b);
    hn_buffer_free(&h);
}
END_TEST

HN_TEST_MAIN("diff", hn_mem_init(&test_mem, 0); tcase_add_test(tc, a_model_is_equal_to_itself);
             tcase_add_test(tc, tensor_values); tcase_add_test(tc, fields);
             tcase_add_test(tc, a_list_of_floats_is_one_entry);
             tcase_add_test(tc, initializers_go_by_name); tcase_add_test(tc, nodes_go_by_name);)
