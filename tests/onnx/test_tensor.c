/* SPDX-License-Identifier: MIT
 *
 * TensorProtos as plain tensors: every storage form and type, every contradiction, external data and its limits, and the
 * files that hold one tensor. */
#include "onnx/model.h"
#include "onnx/tensor.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include <sys/stat.h>

static hone_error err;
static char folder[64];

static const char *in_folder(const char *name)
{
    static char text[4][160];
    static int k;
    char *p = text[k++ & 3];
    snprintf(p, 160, "%s/%s", folder, name);
    return p;
}

static void make_folder(void)
{
    if (!test_mem.alloc) hn_mem_init(&test_mem, 0);
    strcpy(folder, "/tmp/hone-tensor-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
    ck_assert_int_eq(system(cmd), 0);
}

/* Reads one TensorProto (freed here) as a .pb file. */
static hone_status read_pb(struct hn_tensor_pb *out, struct hn_buffer t)
{
    memset(&err, 0, sizeof err);
    write_whole(in_folder("t.pb"), t.p ? t.p : "", t.n);
    hn_buffer_free(&t);
    return hn_onnx_read_tensor_pb(out, &hn_io_system, &test_mem, in_folder("t.pb"), 0, &err);
}

static void refused(struct hn_buffer t, hone_status code, const char *word)
{
    struct hn_tensor_pb pb;
    hone_status st = read_pb(&pb, t);
    ck_assert_msg(st == code && strstr(err.text, word), "%d '%s', wanted %d with '%s'", (int)st,
                  err.text, (int)code, word);
    ck_assert_ptr_null(pb.mem);
}

static struct hn_buffer head(int type, int64_t dim)
{
    struct hn_buffer t = b_new();
    if (dim >= 0) b_int(&t, T_DIMS, dim);
    b_int(&t, T_TYPE, type);
    b_str(&t, T_NAME, "w");
    return t;
}

START_TEST(raw_data_of_every_type)
{
    make_folder();
    for (int type = 1; type <= 26; type++) {
        size_t bytes;
        unsigned char zero[64] = { 0 };
        if (type == 8) continue;
        ck_assert(hn_onnx_type_bytes(type, 3, &bytes));
        struct hn_tensor_pb pb;
        HN_OK(read_pb(&pb, b_tensor("w", type, DIMS(3), zero, bytes)), err);
        ck_assert_int_eq(pb.t.dtype, type);
        ck_assert_int_eq(pb.t.n, 3);
        ck_assert_str_eq(pb.name, "w");
        hn_onnx_free_tensor_pb(&pb);
        refused(b_tensor("w", type, DIMS(3), zero, bytes - 1), HONE_E_MODEL, "raw_data");
        refused(b_tensor("w", type, DIMS(3), zero, bytes + 1), HONE_E_MODEL, "raw_data");
        if (type <= 16 && type != 14 && type != 15)
            ck_assert_uint_eq(bytes, 3 * hn_dtype_size((enum hn_dtype)type));
    }
    ck_assert_str_eq(hn_onnx_type_name(22), "int4");
    ck_assert_str_eq(hn_onnx_type_name(27), "unknown");
    refused(b_tensor("w", 27, DIMS(1), "", 0), HONE_E_UNSUPPORTED, "27");
    refused(b_tensor("w", 0, DIMS(1), "", 0), HONE_E_MODEL, "no data type");
    remove_folder();
}
END_TEST

START_TEST(typed_fields)
{
    static const struct {
        int type;
        uint32_t field;
        int64_t in;
        double out;
    } cases[] = {
        { 2, T_INT32, 200, 200 },     { 3, T_INT32, -7, -7 },
        { 4, T_INT32, 65535, 65535 }, { 5, T_INT32, -32768, -32768 },
        { 6, T_INT32, -9, -9 },       { 7, T_INT64, -9, -9 },
        { 9, T_INT32, 1, 1 },         { 10, T_INT32, 0x3c00, 1 },
        { 16, T_INT32, 0x4000, 2 },   { 12, T_UINT64, 4000000000, 4e9 },
        { 13, T_UINT64, 5, 5 },       { 10, T_INT32, (int16_t)0xbc00, -1 },
    };
    make_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_tensor_pb pb;
        struct hn_buffer t = head(cases[i].type, 2);
        b_int(&t, cases[i].field, cases[i].in);
        b_int(&t, cases[i].field, cases[i].in);
        HN_OK(read_pb(&pb, t), err);
        ck_assert_msg(hn_tensor_f64(&pb.t, 1) == cases[i].out, "case %zu: %g", i,
                      hn_tensor_f64(&pb.t, 1));
        hn_onnx_free_tensor_pb(&pb);
        t = head(cases[i].type, 3);
        b_int(&t, cases[i].field, cases[i].in);
        refused(t, HONE_E_MODEL, "found 1");
        t = head(cases[i].type, 1);
        b_int(&t, cases[i].field == T_INT64 ? T_UINT64 : T_INT64, cases[i].in);
        refused(t, HONE_E_MODEL, "wanted raw_data or");
    }
    struct hn_buffer t = head(3, 1);
    b_int(&t, T_INT32, 300);
    refused(t, HONE_E_MODEL, "out of range");
    t = head(1, 1);
    b_f32(&t, T_FLOATS, 2.5f);
    struct hn_tensor_pb pb;
    HN_OK(read_pb(&pb, t), err);
    ck_assert(hn_tensor_f64(&pb.t, 0) == 2.5);
    hn_onnx_free_tensor_pb(&pb);
    t = head(1, 1);
    b_f32(&t, T_FLOATS, 2.5f);
    b_bytes(&t, T_RAW, "abcd", 4);
    refused(t, HONE_E_MODEL, "two fields");
    t = head(1, 1);
    refused(t, HONE_E_MODEL, "found 0");
    remove_folder();
}
END_TEST

START_TEST(dims_are_checked)
{
    make_folder();
    struct hn_tensor_pb pb;
    struct hn_buffer t = b_new();
    b_int(&t, T_DIMS, -1);
    b_int(&t, T_DIMS, 4);
    b_int(&t, T_TYPE, 1);
    refused(t, HONE_E_MODEL, "dimension 0 is -1");
    t = b_new();
    for (int i = 0; i < 2; i++) b_int(&t, T_DIMS, (int64_t)1 << 33);
    b_int(&t, T_TYPE, 1);
    refused(t, HONE_E_MODEL, "overflows");
    t = b_new();
    b_int(&t, T_DIMS, (int64_t)1 << 61);
    b_int(&t, T_TYPE, 11);
    refused(t, HONE_E_MODEL, "more than memory");
    t = b_new();
    for (int i = 0; i < 9; i++) b_int(&t, T_DIMS, 1);
    b_int(&t, T_TYPE, 1);
    refused(t, HONE_E_UNSUPPORTED, "rank 9");
    t = b_new(); /* zero elements: no data is right */
    b_int(&t, T_DIMS, 4);
    b_int(&t, T_DIMS, 0);
    b_int(&t, T_TYPE, 1);
    HN_OK(read_pb(&pb, t), err);
    ck_assert_int_eq(pb.t.n, 0);
    ck_assert_ptr_nonnull(pb.t.data);
    hn_onnx_free_tensor_pb(&pb);
    float v = 3;
    HN_OK(read_pb(&pb, b_tensor("s", 1, SCALAR, &v, 4)), err);
    ck_assert_int_eq(pb.t.rank, 0);
    ck_assert(hn_tensor_f64(&pb.t, 0) == 3);
    hn_onnx_free_tensor_pb(&pb);
    refused(b_new(), HONE_E_MODEL, "no tensor");
    remove_folder();
}
END_TEST

START_TEST(strings)
{
    make_folder();
    struct hn_tensor_pb pb;
    struct hn_buffer t = head(8, 3);
    b_str(&t, T_STRINGS, "cat");
    b_str(&t, T_STRINGS, "");
    b_str(&t, T_STRINGS, "dog");
    HN_OK(read_pb(&pb, t), err);
    const char *const *s = pb.t.data;
    ck_assert_str_eq(s[0], "cat");
    ck_assert_str_eq(s[1], "");
    ck_assert_str_eq(s[2], "dog");
    struct hn_buffer again = b_new();
    HN_OK(hn_onnx_write_tensor_pb(&again.sink, "w", &pb.t, &err), err);
    hn_onnx_free_tensor_pb(&pb);
    HN_OK(read_pb(&pb, again), err);
    ck_assert_str_eq(((const char *const *)pb.t.data)[2], "dog");
    hn_onnx_free_tensor_pb(&pb);
    t = head(8, 1);
    b_bytes(&t, T_STRINGS, "a\0b", 3);
    refused(t, HONE_E_UNSUPPORTED, "NUL");
    remove_folder();
}
END_TEST

START_TEST(written_tensors_read_back)
{
    make_folder();
    double v[6] = { 1, -2, 3e300, 0.1, -0.0, 7 };
    struct hn_tensor t = { HN_F64, 2, { 2, 3 }, 6, v };
    struct hn_buffer b = b_new();
    struct hn_tensor_pb pb;
    HN_OK(hn_onnx_write_tensor_pb(&b.sink, "out", &t, &err), err);
    HN_OK(read_pb(&pb, b), err);
    ck_assert_int_eq(pb.t.rank, 2);
    ck_assert_int_eq(pb.t.dims[1], 3);
    ck_assert_int_eq(memcmp(pb.t.data, v, sizeof v), 0);
    ck_assert_str_eq(pb.name, "out");
    hn_onnx_free_tensor_pb(&pb);
    ck_assert_int_eq(
        hn_onnx_read_tensor_pb(&pb, &hn_io_system, &test_mem, in_folder("none.pb"), 0, &err),
        HONE_E_IO);
    remove_folder();
}
END_TEST

/* ---- external data -------------------------------------------------------------------------------------------------------- */

static struct hn_buffer external(const char *location, const char *offset, const char *length)
{
    struct hn_buffer t = head(1, 4);
    if (location) b_sub(&t, T_EXTERNAL, b_entry("location", location));
    if (offset) b_sub(&t, T_EXTERNAL, b_entry("offset", offset));
    if (length) b_sub(&t, T_EXTERNAL, b_entry("length", length));
    b_int(&t, T_LOCATION, 1);
    return t;
}

START_TEST(external_data_is_read)
{
    make_folder();
    float v[6] = { 0, 1, 2, 3, 4, 5 };
    struct hn_tensor_pb pb;
    write_whole(in_folder("d.bin"), v, sizeof v);
    HN_OK(read_pb(&pb, external("d.bin", "8", "16")), err);
    ck_assert(hn_tensor_f64(&pb.t, 0) == 2 && hn_tensor_f64(&pb.t, 3) == 5);
    hn_onnx_free_tensor_pb(&pb);
    HN_OK(read_pb(&pb, external("d.bin", NULL, NULL)), err);
    ck_assert(hn_tensor_f64(&pb.t, 3) == 3);
    hn_onnx_free_tensor_pb(&pb);
    mkdir(in_folder("sub"), 0700);
    write_whole(in_folder("sub/w..bin"), v, sizeof v);
    HN_OK(read_pb(&pb, external("sub/w..bin", "0", "16")), err);
    hn_onnx_free_tensor_pb(&pb);
    remove_folder();
}
END_TEST

START_TEST(external_data_is_contained)
{
    make_folder();
    float v[6] = { 0 };
    write_whole(in_folder("d.bin"), v, sizeof v);
    write_whole(in_folder("linked.bin"), v, sizeof v);
    mkdir(in_folder("sub"), 0700);
    ck_assert_int_eq(symlink("d.bin", in_folder("sym.bin")), 0);
    ck_assert_int_eq(symlink(folder, in_folder("symdir")), 0);
    ck_assert_int_eq(link(in_folder("linked.bin"), in_folder("hard.bin")), 0);
    ck_assert_int_eq(mkfifo(in_folder("fifo"), 0600), 0);
    static const char *const bad[] = {
        "../d.bin", "sub/../../d.bin", "/etc/passwd", "sym.bin", "symdir/d.bin", "hard.bin", "fifo",
        "sub",      "missing.bin",     "/dev/zero",   "."
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(external(bad[i], "0", "16"), HONE_E_IO, bad[i]);
    refused(external(in_folder("d.bin"), "0", "16"), HONE_E_IO, "d.bin");
    ck_assert(strstr(err.where, "tensor 'w'") != NULL);
    remove_folder();
}
END_TEST

START_TEST(external_entries_are_checked)
{
    make_folder();
    float v[6] = { 0 };
    write_whole(in_folder("d.bin"), v, sizeof v);
    refused(external(NULL, "0", "16"), HONE_E_MODEL, "location");
    refused(external("", "0", "16"), HONE_E_MODEL, "location");
    refused(external("d.bin", "-4", "16"), HONE_E_MODEL, "offset");
    refused(external("d.bin", "4x", "16"), HONE_E_MODEL, "offset");
    refused(external("d.bin", "9223372036854775807", "16"), HONE_E_MODEL, "which has 24");
    refused(external("d.bin", "9223372036854775808", "16"), HONE_E_MODEL, "offset");
    refused(external("d.bin", "9", NULL), HONE_E_MODEL, "which has 24");
    refused(external("d.bin", "0", "12"), HONE_E_MODEL, "12 bytes");
    refused(external("d.bin", "0", "-1"), HONE_E_MODEL, "length");
    struct hn_buffer t = external("d.bin", "0", "16");
    b_sub(&t, T_EXTERNAL, b_entry("exec", "rm"));
    refused(t, HONE_E_MODEL, "unknown key");
    t = external("d.bin", "0", "16");
    b_sub(&t, T_EXTERNAL, b_entry("location", "e.bin"));
    refused(t, HONE_E_MODEL, "twice");
    t = external("d.bin", "0", "16");
    b_bytes(&t, T_RAW, v, 16);
    refused(t, HONE_E_MODEL, "data of its own");
    struct hn_tensor_pb pb;
    t = external("d.bin", "0", "16");
    b_sub(&t, T_EXTERNAL, b_entry("checksum", "abc"));
    HN_OK(read_pb(&pb, t), err);
    hn_onnx_free_tensor_pb(&pb);
    write_whole(in_folder("empty.bin"), "", 0);
    refused(external("empty.bin", "0", "16"), HONE_E_MODEL, "which has 0");
    remove_folder();
}
END_TEST

/* Tensors where nobody looks: in an attribute, a subgraph, a sparse tensor, a function. All are held to the same rules. */
START_TEST(hidden_tensors_are_held_to_the_rules)
{
    make_folder();
    for (int where = 0; where < 4; where++) {
        struct hn_buffer g = b_mlp_graph(),
                         n = b_node("k", where == 1 ? "If" : "Constant", "", "k"), a = b_new(),
                         sub = b_new();
        struct hn_buffer bad = external("../../etc/passwd", "0", "16"), sparse = b_new(),
                         f = b_new();
        b_str(&a, A_NAME, "value");
        if (where == 0) b_sub(&a, A_T, bad);
        if (where == 1) b_sub(&sub, G_INIT, bad);
        if (where == 2) b_sub(&sparse, 2, bad);
        if (where == 3) b_sub(&a, A_T, bad);
        b_sub(&a, A_G, sub);
        if (where != 3)
            b_sub(&n, N_ATTR, a);
        else
            b_sub(&f, 11, a); /* a function's default attribute */
        b_sub(&g, G_NODE, n);
        if (where == 2)
            b_sub(&g, G_SPARSE, sparse);
        else
            hn_buffer_free(&sparse);
        struct hn_buffer m = b_model(8, 17, g);
        if (where == 3)
            b_sub(&m, M_FUNCTION, f);
        else
            hn_buffer_free(&f);
        write_whole(in_folder("m.onnx"), m.p, m.n);
        struct hn_onnx *model;
        ck_assert_int_eq(hn_onnx_open(&model, &test_mem, &hn_io_system, in_folder("m.onnx"), &err),
                         HONE_E_IO);
        ck_assert_msg(strstr(err.text, "passwd") != NULL, "%d: %s", where, err.text);
        ck_assert_int_eq(
            hn_onnx_open_bytes(&model, &test_mem, &hn_io_system, m.p, m.n, NULL, NULL, &err),
            HONE_E_IO);
        ck_assert_msg(strstr(err.text, "without a folder") != NULL, "%d: %s", where, err.text);
        hn_buffer_free(&m);
    }
    remove_folder();
}
END_TEST

static hone_status pb_job(struct hn_fault *f)
{
    struct hn_tensor_pb pb;
    hone_error e;
    hone_status st = hn_onnx_read_tensor_pb(&pb, &f->io, &f->mem, in_folder("t.pb"), 0, &e);
    if (st == HONE_OK) hn_onnx_free_tensor_pb(&pb);
    return st;
}

START_TEST(every_call_may_fail)
{
    make_folder();
    float v[4] = { 0 };
    struct hn_fault f;
    write_whole(in_folder("d.bin"), v, sizeof v);
    struct hn_buffer t = external("d.bin", "0", "16");
    write_whole(in_folder("t.pb"), t.p, t.n);
    hn_buffer_free(&t);
    for (int io = 0; io < 2; io++)
        for (long n = 1;; n++) {
            hn_fault_init(&f);
            struct hn_fault_point *p = io ? &f.io_fail : &f.mem_fail;
            p->at = n;
            hone_status st = pb_job(&f);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!atomic_load(&p->hits)) {
                ck_assert_int_eq(st, HONE_OK);
                ck_assert_int_gt(n, 5);
                break;
            }
            if (!io) ck_assert_int_eq(st, HONE_E_NOMEM);
        }
    remove_folder();
}
END_TEST

HN_TEST_MAIN("tensor", tcase_add_test(tc, raw_data_of_every_type); tcase_add_test(tc, typed_fields);
             tcase_add_test(tc, dims_are_checked); tcase_add_test(tc, strings);
             tcase_add_test(tc, written_tensors_read_back);
             tcase_add_test(tc, external_data_is_read);
             tcase_add_test(tc, external_data_is_contained);
             tcase_add_test(tc, external_entries_are_checked);
             tcase_add_test(tc, hidden_tensors_are_held_to_the_rules);
             tcase_add_test(tc, every_call_may_fail);)
