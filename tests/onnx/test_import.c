/* SPDX-License-Identifier: MIT
 *
 * From files to graphs: what must arrive, what must be refused and in which words, class lists, hints, and every model
 * of the zoo. */
#include "onnx/model.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"

static hone_error err;

struct pair {
    struct hn_onnx *m;
    struct hn_graph *g;
    struct hn_buffer bytes;
};

static hone_status try_import(const struct hn_buffer *b, struct pair *p)
{
    *p = (struct pair){ NULL, NULL, *b };
    if (!test_mem.alloc) hn_mem_init(&test_mem, 0);
    hone_status st =
        hn_onnx_open_bytes(&p->m, &test_mem, &hn_io_system, b->p, b->n, NULL, "t", &err);
    return st == HONE_OK ? hn_onnx_graph(p->m, NULL, &p->g, &err) : st;
}

static void close_graph(struct pair p)
{
    hn_graph_destroy(p.g);
    hn_onnx_close(p.m);
    hn_buffer_free(&p.bytes);
}

static struct pair import(struct hn_buffer b)
{
    struct pair p;
    HN_OK(try_import(&b, &p), err);
    return p;
}

static void refused(struct hn_buffer b, hone_status code, const char *word)
{
    struct pair p;
    memset(&err, 0, sizeof err);
    hone_status st = try_import(&b, &p);
    ck_assert_msg(st == code && (strstr(err.text, word) || strstr(err.where, word)),
                  "%d '%s': '%s', wanted %d with '%s'", (int)st, err.where, err.text, (int)code,
                  word);
    ck_assert_ptr_null(p.g);
    hn_onnx_close(p.m);
    hn_buffer_free(&b);
}

static const struct hn_value *value(const struct hn_graph *g, const char *name)
{
    int32_t at = hn_graph_find(g, name);
    ck_assert_msg(at >= 0, "no value %s", name);
    return &g->values[at];
}

START_TEST(a_plain_mlp_arrives)
{
    struct pair p = import(b_mlp());
    const struct hn_graph *g = p.g;
    ck_assert_int_eq((int)g->ir_version, 8);
    ck_assert_str_eq(g->producer, "test");
    ck_assert_uint_eq(g->n_opsets, 1);
    ck_assert_str_eq(g->opsets[0].domain, "");
    ck_assert_int_eq((int)g->opsets[0].version, 17);
    ck_assert_uint_eq(g->n_nodes, 3);
    ck_assert_str_eq(g->nodes[2].name, "fc2");
    ck_assert_int_eq(g->nodes[0].n_in, 3);
    ck_assert_int_eq((int)g->nodes[0].attrs[0].i, 1);
    ck_assert_uint_eq(g->n_inputs, 1);
    ck_assert_str_eq(g->values[g->outputs[0]].name, "y");
    const struct hn_value *x = value(g, "x"), *w = value(g, "w");
    ck_assert(x->is_input && x->decl_rank == 2 && x->decl_dims[0] == -1 && x->decl_dims[1] == 2);
    ck_assert_str_eq(x->decl_names[0], "N");
    ck_assert(w->is_initializer && w->tensor_id == 0 && w->constant &&
              hn_tensor_f64(w->constant, 5) == 6);
    ck_assert_int_eq(w->dtype, HN_F32);
    close_graph(p);
}
END_TEST

START_TEST(old_files_list_weights_as_inputs)
{
    struct hn_buffer g = b_mlp_graph();
    b_sub(&g, G_INPUT, b_info("w", 1, "3,2"));
    b_sub(&g, G_INPUT, b_info("data2", 1, "N,2"));
    struct pair p = import(b_model(3, 8, g));
    ck_assert_uint_eq(p.g->n_inputs, 2);
    ck_assert_str_eq(p.g->values[p.g->inputs[1]].name, "data2");
    ck_assert(value(p.g, "w")->is_input && value(p.g, "w")->is_initializer);
    close_graph(p);
}
END_TEST

/* A graph of one node over x, with more put in by the caller. */
static struct hn_buffer small(const char *op, const char *in, const char *out)
{
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("n", op, in, out));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, NULL));
    return g;
}

START_TEST(nodes_out_of_order_load)
{
    struct hn_buffer g = b_new();
    b_sub(&g, G_NODE, b_node("second", "Relu", "h", "y"));
    b_sub(&g, G_NODE, b_node("first", "Relu", "x", "h"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    struct pair p = import(b_model(8, 17, g));
    ck_assert_int_eq(p.g->order[0], 1);
    close_graph(p);
}
END_TEST

START_TEST(damaged_graphs_are_refused)
{
    struct hn_buffer g = small("Add", "x,z", "z");
    b_sub(&g, G_NODE, b_node("m", "Relu", "z", "y"));
    refused(b_model(8, 17, g), HONE_E_MODEL, "cycle");
    refused(b_model(8, 17, small("Add", "x,nowhere", "y")), HONE_E_MODEL, "nowhere");
    refused(b_model(8, 17, small("Relu", "x", "z")), HONE_E_MODEL,
            "y"); /* the output is not produced */
    g = small("Relu", "x", "y");
    b_sub(&g, G_NODE, b_node("m", "Relu", "x", "y"));
    refused(b_model(8, 17, g), HONE_E_MODEL, "y");
    g = small("Relu", "x", "y");
    b_sub(&g, G_NODE, b_node("m", "Relu", "x", "x"));
    refused(b_model(8, 17, g), HONE_E_MODEL, "x");
    g = small("Relu", "x", "y");
    b_sub(&g, G_OUTPUT, b_info("y", 1, NULL));
    refused(b_model(8, 17, g), HONE_E_MODEL, "two outputs");
    g = small("Relu", "x", "y");
    b_sub(&g, G_INPUT, b_info("x", 1, NULL));
    refused(b_model(8, 17, g), HONE_E_MODEL, "two inputs");
    g = b_mlp_graph();
    float v[3] = { 0 };
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(3), v, sizeof v));
    refused(b_model(8, 17, g), HONE_E_MODEL, "two initializers");
    g = small("Relu", "x", "y");
    b_sub(&g, G_INPUT, b_info("", 1, NULL));
    refused(b_model(8, 17, g), HONE_E_MODEL, "no name");
    g = b_new();
    b_sub(&g, G_NODE, b_node("n", "", "x", "y"));
    b_sub(&g, G_INPUT, b_info("x", 1, NULL));
    b_sub(&g, G_OUTPUT, b_info("y", 1, NULL));
    refused(b_model(8, 17, g), HONE_E_MODEL, "which operator");
    g = b_new();
    b_sub(&g, G_INPUT, b_info("x", 1, NULL));
    refused(b_model(8, 17, g), HONE_E_MODEL, "no outputs");
}
END_TEST

START_TEST(attributes_are_checked)
{
    struct hn_buffer g = b_new(), n = b_node("n", "LeakyRelu", "x", "y");
    b_sub(&n, N_ATTR, b_attr_float("alpha", 0.25f));
    b_sub(&n, N_ATTR, b_attr_float("alpha", 0.5f));
    b_sub(&g, G_NODE, n);
    refused(b_model(8, 17, g), HONE_E_MODEL, "given twice");

    struct hn_buffer a = b_attr_int("axis", 1);
    b_f32(&a, A_F, 1);
    n = b_node("n", "Softmax", "x", "y");
    b_sub(&n, N_ATTR, a);
    g = b_new();
    b_sub(&g, G_NODE, n);
    refused(b_model(8, 17, g), HONE_E_MODEL, "two values");

    a = b_new();
    b_str(&a, A_NAME, "axis");
    b_str(&a, A_REF, "outer");
    n = b_node("n", "Softmax", "x", "y");
    b_sub(&n, N_ATTR, a);
    g = b_new();
    b_sub(&g, G_NODE, n);
    refused(b_model(8, 17, g), HONE_E_MODEL, "function");

    n = b_node("n", "Softmax", "x", "y");
    for (int i = 0; i < 300; i++) b_sub(&n, N_ATTR, b_attr_int("axis", 1));
    g = b_new();
    b_sub(&g, G_NODE, n);
    refused(b_model(8, 17, g), HONE_E_BUDGET, "300 attributes");
}
END_TEST

START_TEST(untyped_attributes_of_ir_1_are_understood)
{
    struct hn_buffer a = b_new(), n = b_node("n", "LeakyRelu", "x", "y"), g = b_new();
    b_str(&a, A_NAME, "alpha");
    b_f32(&a, A_F, 0.25f);
    b_sub(&n, N_ATTR, a);
    b_sub(&g, G_NODE, n);
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    struct pair p = import(b_model(8, 17, g));
    ck_assert_int_eq(p.g->nodes[0].attrs[0].type, HN_ATTR_F32);
    ck_assert(p.g->nodes[0].attrs[0].f == 0.25f);
    close_graph(p);
}
END_TEST

static void b_branch(struct hn_buffer *n, const char *name, const char *type, const char *out,
                     int tensor)
{
    static const float w[2] = { 1, 2 };
    struct hn_buffer sub = b_new(), a = b_new();
    b_sub(&sub, G_NODE, b_node("", type, "h", out));
    if (tensor) b_sub(&sub, G_INIT, b_tensor("w", 1, DIMS(2), w, sizeof w));
    b_sub(&sub, G_OUTPUT, b_info(out, 1, "N,2"));
    b_str(&a, A_NAME, name);
    b_sub(&a, A_G, sub);
    b_int(&a, A_TYPE, 5);
    b_sub(n, N_ATTR, a);
}

/* Branches stand behind all other nodes, and the one that the condition chooses is what the If hands on. */
static struct hn_buffer b_if(char condition, int tensor)
{
    struct hn_buffer g = b_new(), n = b_node("if", "If", "c", "k");
    b_sub(&g, G_NODE, b_node("", "Relu", "x", "h"));
    b_branch(&n, "then_branch", "Neg", "a", 0);
    b_branch(&n, "else_branch", "Abs", "b", tensor);
    b_sub(&g, G_NODE, n);
    b_sub(&g, G_NODE, b_node("", "Tanh", "k", "y"));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INIT, b_tensor("c", 9, DIMS(1), &condition, 1));
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,2"));
    return b_model(8, 17, g);
}

START_TEST(branches_are_opened)
{
    for (char yes = 0; yes < 2; yes++) {
        struct pair p = import(b_if(yes, 0));
        ck_assert_uint_eq(p.g->n_nodes, 5);
        ck_assert_str_eq(p.g->nodes[2].type, "Tanh");
        const struct hn_node *n = &p.g->nodes[1];
        ck_assert_int_eq(n->n_in, 4);
        ck_assert_int_eq(n->in[0], hn_graph_find(p.g, yes ? "a" : "b"));
        ck_assert_int_eq(n->verdict, HN_VIEW);
        ck_assert_int_eq(p.g->nodes[3].verdict == HN_CARRY, !yes);
        ck_assert_int_eq(p.g->nodes[4].verdict == HN_CARRY, yes);
        close_graph(p);
    }
    struct pair p = import(b_if(1, 1)); /* a tensor in a branch might learn */
    ck_assert_uint_eq(p.g->n_nodes, 3);
    ck_assert_int_eq(p.g->nodes[1].verdict, HN_REFUSE);
    close_graph(p);
}
END_TEST

START_TEST(subgraphs_must_not_shadow)
{
    for (int shadow = 0; shadow < 2; shadow++) {
        struct hn_buffer sub = b_new(), a = b_new(), n = b_node("if", "If", "x", "k"),
                         g = small("Relu", "x", "y");
        b_sub(&sub, G_NODE, b_node("inner", "Relu", "x", shadow ? "y" : "own"));
        b_str(&a, A_NAME, "then_branch");
        b_sub(&a, A_G, sub);
        b_int(&a, A_TYPE, 5);
        b_sub(&n, N_ATTR, a);
        b_sub(&g, G_NODE, n);
        if (shadow) {
            refused(b_model(8, 17, g), HONE_E_MODEL, "subgraph defines 'y'");
            continue;
        }
        struct pair p = import(b_model(8, 17, g));
        ck_assert_int_eq(p.g->nodes[1].attrs[0].type, HN_ATTR_GRAPH);
        ck_assert_int_eq(p.g->nodes[1].verdict, HN_CARRY); /* nobody reads it */
        close_graph(p);
    }
}
END_TEST

START_TEST(opsets)
{
    struct hn_buffer m = b_model(8, 17, b_mlp_graph()), o = b_new();
    b_str(&o, 1, "ai.onnx");
    b_int(&o, 2, 17);
    b_sub(&m, M_OPSET, o);
    struct pair p = import(m);
    close_graph(p);
    m = b_model(8, 17, b_mlp_graph());
    o = b_new();
    b_str(&o, 1, "ai.onnx");
    b_int(&o, 2, 18);
    b_sub(&m, M_OPSET, o);
    refused(m, HONE_E_MODEL, "version 17 and as 18");
    m = b_new();
    b_int(&m, M_IR, 8);
    b_sub(&m, M_GRAPH, b_mlp_graph());
    refused(m, HONE_E_MODEL, "opset_import");
    m = b_new();
    b_int(&m, M_IR, -3);
    b_sub(&m, M_GRAPH, b_mlp_graph());
    refused(m, HONE_E_MODEL, "ir_version");
}
END_TEST

static int has_issue(const struct hn_graph *g, const char *word)
{
    for (size_t i = 0; i < g->n_issues; i++)
        if (strstr(g->issues[i].what, word)) return 1;
    return 0;
}

START_TEST(what_is_not_supported_becomes_an_issue)
{
    struct hn_buffer g = b_mlp_graph(), sparse = b_new(), values = b_new(), indices = b_new(),
                     t = b_new();
    float v = 1;
    int64_t at = 0;
    values = b_tensor("sp", 1, DIMS(1), &v, 4);
    indices = b_tensor("", 7, DIMS(1), &at, 8);
    b_sub(&sparse, 1, values);
    b_sub(&sparse, 2, indices);
    b_int(&sparse, 3, 5);
    b_sub(&g, G_SPARSE, sparse);
    b_str(&t, T_NAME, "strange");
    b_int(&t, T_TYPE, 99);
    b_sub(&g, G_INIT, t);
    struct hn_buffer m = b_model(8, 17, g), f = b_new();
    b_str(&f, 1, "Linear");
    b_sub(&m, M_FUNCTION, f);
    struct pair p = import(m);
    ck_assert(has_issue(p.g, "initializer 'sp' is sparse"));
    ck_assert(has_issue(p.g, "data type 99"));
    ck_assert(has_issue(p.g, "'Linear'"));
    ck_assert_int_eq(hn_graph_blocked(p.g, 1, &err), HONE_E_UNSUPPORTED);
    close_graph(p);
}
END_TEST

START_TEST(class_lists)
{
    struct hn_buffer g = b_mlp_graph(), n = b_node("zip", "ZipMap", "y", "probs"), a = b_new();
    b_str(&n, N_DOMAIN, "ai.onnx.ml");
    b_str(&a, A_NAME, "classlabels_strings");
    b_str(&a, A_STRINGS, "cat");
    b_str(&a, A_STRINGS, "dog");
    b_int(&a, A_TYPE, 8);
    b_sub(&n, N_ATTR, a);
    b_sub(&g, G_NODE, n);
    struct hn_buffer m = b_model(8, 17, g);
    b_sub(&m, M_META, b_entry("hone.classes", "x\ny"));
    struct pair p = import(m); /* the graph's own list comes first */
    ck_assert_uint_eq(p.g->classes.n, 2);
    ck_assert_str_eq(p.g->classes.names[1], "dog");
    ck_assert_int_eq(p.g->classes.are_int, 0);
    close_graph(p);

    static const char *const odd[4] = { "a\\b", "two\nlines", "", "-3" };
    struct hn_buffer text = b_new();
    HN_OK(hn_classes_write(&text, odd, 4, &err), err);
    m = b_mlp();
    b_sub(&m, M_META, b_entry("hone.classes", text.p));
    hn_buffer_free(&text);
    p = import(m);
    ck_assert_uint_eq(p.g->classes.n, 4);
    for (int i = 0; i < 4; i++) ck_assert_str_eq(p.g->classes.names[i], odd[i]);
    ck_assert_int_eq(p.g->classes.are_int, 0);
    close_graph(p);
    m = b_mlp();
    b_sub(&m, M_META, b_entry("hone.classes", "-1\n1"));
    p = import(m);
    ck_assert(p.g->classes.n == 2 && p.g->classes.are_int);
    close_graph(p);
    m = b_mlp();
    b_sub(&m, M_META, b_entry("hone.classes", "00\n01")); /* no numbers: 0 is spelled 0 */
    p = import(m);
    ck_assert(p.g->classes.n == 2 && !p.g->classes.are_int);
    close_graph(p);

    int64_t classes[3] = { 3, 5, 9 };
    g = b_mlp_graph();
    b_sub(&g, G_NODE, b_node("arg", "ArgMax", "y", "best"));
    n = b_node("pick", "ArrayFeatureExtractor", "table,best", "label");
    b_str(&n, N_DOMAIN, "ai.onnx.ml");
    b_sub(&g, G_NODE, n);
    b_sub(&g, G_INIT, b_tensor("table", 7, DIMS(3), classes, sizeof classes));
    p = import(b_model(8, 17, g));
    ck_assert(p.g->classes.n == 3 && p.g->classes.are_int);
    ck_assert_str_eq(p.g->classes.names[2], "9");
    close_graph(p);

    m = b_mlp(); /* an output's own list comes before the file's */
    b_sub(&m, M_META, b_entry("hone.classes", "a\nb"));
    b_sub(&m, M_META, b_entry("hone.classes.y", "3\n4\n5"));
    b_sub(&m, M_META, b_entry("hone.classes.z", "of no output"));
    p = import(m);
    const struct hn_class_list *own = hn_graph_classes(p.g, "y");
    ck_assert(own->n == 3 && own->are_int);
    ck_assert_str_eq(own->names[2], "5");
    ck_assert_ptr_eq(hn_graph_classes(p.g, "z"), &p.g->classes);
    ck_assert_uint_eq(p.g->classes.n, 2);
    close_graph(p);
}
END_TEST

START_TEST(hints_of_exporters)
{
    struct hn_buffer g = b_mlp_graph(), v = b_info("w", 1, "3,2"), u = b_info("b", 1, "3");
    b_sub(&v, 4, b_entry("pkg.torch.export.graph_signature.InputSpec.kind", "PARAMETER"));
    b_sub(&u, 4, b_entry("pkg.torch.export.graph_signature.InputSpec.kind", "BUFFER"));
    b_sub(&g, G_INFO, v);
    b_sub(&g, G_INFO, u);
    struct pair p = import(b_model(10, 20, g));
    ck_assert_int_eq(value(p.g, "w")->hint, HN_HINT_PARAMETER);
    ck_assert_int_eq(value(p.g, "b")->hint, HN_HINT_BUFFER);
    ck_assert_int_eq(value(p.g, "v")->hint, HN_HINT_NONE);
    close_graph(p);
}
END_TEST

START_TEST(odd_shapes_are_taken_as_unknown)
{
    struct hn_buffer g = b_mlp_graph();
    b_sub(&g, G_INPUT, b_info("negative", 1, "-1,4"));
    b_sub(&g, G_INPUT, b_info("deep", 1, "1,1,1,1,1,1,1,1,1"));
    b_sub(&g, G_INPUT, b_info("nothing", 1, NULL));
    struct pair p = import(b_model(8, 17, g));
    ck_assert(value(p.g, "negative")->decl_dims[0] == -1 && !value(p.g, "negative")->decl_names[0]);
    ck_assert_int_eq(value(p.g, "deep")->decl_rank, -1);
    ck_assert_int_eq(value(p.g, "nothing")->decl_rank, -1);
    close_graph(p);
}
END_TEST

static void fail_each_allocation(const void *bytes, size_t size)
{
    struct hn_fault f;
    for (long n = 1;; n++) {
        struct hn_onnx *m;
        struct hn_graph *g = NULL;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = hn_onnx_open_bytes(&m, &f.mem, &f.io, bytes, size, NULL, "t", &err);
        if (st == HONE_OK) st = hn_onnx_graph(m, NULL, &g, &err);
        hn_graph_destroy(g);
        hn_onnx_close(m);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!atomic_load(&f.mem_fail.hits)) {
            ck_assert_int_eq(st, HONE_OK);
            ck_assert_int_gt(n, 20);
            break;
        }
        ck_assert_msg(st == HONE_E_NOMEM, "allocation %ld: %d", n, (int)st);
    }
}

START_TEST(every_allocation_may_fail)
{
    struct hn_buffer b = b_mlp();
    b_sub(&b, M_META, b_entry("hone.classes", "a\nb"));
    b_sub(&b, M_META, b_entry("hone.classes.y", "c\nd"));
    fail_each_allocation(b.p, b.n);
    hn_buffer_free(&b);
    static const char *const files[] = {
        "computed/low_rank.onnx", /* weights that are computed, and factors that come apart */
        "shared/mixed_default.onnx" /* what PyTorch's exporter says of its nodes, copies for several */
    };
    for (int i = 0; i < 2; i++) {
        static char file[1 << 14];
        char path[512];
        snprintf(path, sizeof path, "%s/tests/data/%s", HN_SOURCE_DIR, files[i]);
        FILE *f = fopen(path, "rb");
        ck_assert_ptr_nonnull(f);
        const size_t n = fread(file, 1, sizeof file, f);
        fclose(f);
        fail_each_allocation(file, n);
    }
}
END_TEST

START_TEST(the_zoo_is_imported)
{
    glob_t z;
    size_t n = zoo_files(&z), refusals = 0;
    for (size_t i = 0; i < n; i++) {
        struct hn_onnx *m;
        struct hn_graph *g;
        HN_OK(hn_onnx_open(&m, &test_mem, &hn_io_system, z.gl_pathv[i], &err), err);
        hone_status st = hn_onnx_graph(m, NULL, &g, &err);
        ck_assert_msg(st == HONE_OK, "%s: %s: %s", z.gl_pathv[i], err.where, err.text);
        refusals += hn_graph_blocked(g, 0, NULL) != HONE_OK;
        hn_graph_destroy(g);
        hn_onnx_close(m);
    }
    ck_assert_uint_gt(n, 80);
    ck_assert_uint_lt(refusals, n / 2);
    globfree(&z);
    ck_assert_uint_eq(atomic_load(&test_mem.used), 0);
}
END_TEST

/* What today's PyTorch writes: sidecar, metadata on everything, a normaliser in front. */
START_TEST(the_unitree_policy)
{
    struct hn_onnx *m;
    struct hn_graph *g;
    HN_OK(hn_onnx_open(&m, &test_mem, &hn_io_system, ZOO "/wild/unitree_policy.onnx", &err), err);
    ck_assert_uint_eq(m->external.n, 1);
    ck_assert_str_eq(m->external.files[0].location, "policy.onnx.data");
    HN_OK(hn_onnx_graph(m, NULL, &g, &err), err);
    ck_assert_int_eq(value(g, "actor.0.weight")->hint, HN_HINT_PARAMETER);
    ck_assert_int_eq(value(g, "normalizer._mean")->hint, HN_HINT_BUFFER);
    hn_graph_destroy(g);
    hn_onnx_close(m);
}
END_TEST

/* Peak memory of loading: the promise is three times the file and 64 MiB, with the mapped file counted once; files that
 * are mapped (not inflated) stay far below it. */
START_TEST(loading_is_frugal)
{
    glob_t z;
    size_t n = zoo_files(&z);
    for (size_t i = 0; i < n; i++) {
        struct hn_mem mem;
        struct hn_onnx *m;
        hn_mem_init(&mem, 0);
        HN_OK(hn_onnx_open(&m, &mem, &hn_io_system, z.gl_pathv[i], &err), err);
        size_t most = m->file.mem ? 3 * m->n + (64u << 20) : m->n + (1u << 19);
        ck_assert_msg(atomic_load(&mem.peak) <= most, "%s: %zu of %zu", z.gl_pathv[i],
                      atomic_load(&mem.peak), most);
        hn_onnx_close(m);
    }
    globfree(&z);
}
END_TEST

static void add_zoo_tests(TCase *tc)
{
    if (access(ZOO, F_OK) != 0) {
        printf("note: the model zoo is absent, its tests are left out\n");
        return;
    }
    tcase_add_test(tc, the_zoo_is_imported);
    tcase_add_test(tc, the_unitree_policy);
    tcase_add_test(tc, loading_is_frugal);
}

HN_TEST_MAIN("import", hn_mem_init(&test_mem, 0); add_zoo_tests(tc);
             tcase_add_test(tc, a_plain_mlp_arrives);
             tcase_add_test(tc, old_files_list_weights_as_inputs);
             tcase_add_test(tc, nodes_out_of_order_load);
             tcase_add_test(tc, damaged_graphs_are_refused);
             tcase_add_test(tc, attributes_are_checked);
             tcase_add_test(tc, untyped_attributes_of_ir_1_are_understood);
             tcase_add_test(tc, branches_are_opened); tcase_add_test(tc, subgraphs_must_not_shadow);
             tcase_add_test(tc, opsets); tcase_add_test(tc, what_is_not_supported_becomes_an_issue);
             tcase_add_test(tc, class_lists); tcase_add_test(tc, hints_of_exporters);
             tcase_add_test(tc, odd_shapes_are_taken_as_unknown);
             tcase_add_test(tc, every_allocation_may_fail);)
