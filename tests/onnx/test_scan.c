/* SPDX-License-Identifier: MIT
 *
 * The walk over the bytes: what it finds, and everything it must refuse, quickly and by name. */
#include "onnx/scan.h"
#include "tests/onnx/build.h"
#include <time.h>

static struct hn_scan found;
static hone_error err;

static hone_status scan(const void *p, size_t n)
{
    if (!test_mem.alloc) hn_mem_init(&test_mem, 0);
    return hn_scan_model(&found, &test_mem, p, n, NULL, "t.onnx", &err);
}

/* Scans bytes that must fail with a code and a word in the text. */
static void refused(const void *p, size_t n, hone_status code, const char *word)
{
    memset(&err, 0, sizeof err);
    hone_status st = scan(p, n);
    ck_assert_msg(st == code && strstr(err.text, word), "%d '%s', wanted %d with '%s'", (int)st,
                  err.text, (int)code, word);
    ck_assert_str_eq(err.where, "t.onnx");
    ck_assert_ptr_null(found.frames);
}

START_TEST(finds_tensors_and_metadata)
{
    struct hn_buffer m = b_mlp();
    b_sub(&m, M_META, b_entry("hone.seed", "7"));
    b_sub(&m, M_META, b_entry("other", "x"));
    HN_OK(scan(m.p, m.n), err);
    ck_assert_uint_eq(found.n_tensors, 4);
    ck_assert_uint_eq(found.n_nodes, 3);
    ck_assert_uint_eq(found.n_metas, 2);
    ck_assert_int_eq(memcmp(m.p + found.metas[0].key, "hone.seed", found.metas[0].n_key), 0);
    ck_assert_uint_eq(found.metas[0].n_key, 9);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(found.tensors[i].place, HN_AT_INITIALIZER);
        ck_assert_int_eq(found.tensors[i].has_raw, 1);
    }
    float w[6];
    ck_assert_uint_eq(found.tensors[0].n_raw, sizeof w);
    memcpy(w, m.p + found.tensors[0].raw, sizeof w);
    ck_assert(w[5] == 6);
    hn_scan_free(&found);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(sees_attribute_and_hidden_tensors)
{
    struct hn_buffer g = b_new(), n = b_node("k", "Constant", "", "k"), a = b_new(), sub = b_new(),
                     deep = b_new(), own = b_new();
    float one = 1;
    b_str(&a, A_NAME, "value");
    b_sub(&a, A_T, b_tensor("", 1, DIMS(1), &one, 4));
    b_sub(&n, N_ATTR, a);
    b_sub(&g, G_NODE, n);
    struct hn_buffer loop = b_node("l", "If", "c", "z");
    b_sub(&sub, G_INIT, b_tensor("inner", 1, DIMS(1), &one, 4));
    b_str(&deep, A_NAME, "then_branch");
    b_sub(&deep, A_G, sub);
    b_sub(&loop, N_ATTR, deep);
    b_sub(&g, G_NODE, loop);
    struct hn_buffer m = b_model(8, 17, g);
    b_str(&own, 1, "f");
    b_sub(&m, M_FUNCTION, own);
    HN_OK(scan(m.p, m.n), err);
    ck_assert_uint_eq(found.n_tensors, 2);
    ck_assert_int_eq(found.tensors[0].place, HN_AT_ATTRIBUTE);
    ck_assert_int_eq(found.tensors[1].place, HN_AT_ELSEWHERE);
    hn_scan_free(&found);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(names_what_is_no_model)
{
    static const struct {
        const char *bytes, *word;
    } files[] = {
        { "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "git-LFS" },
        { "<!DOCTYPE html><html>", "HTML" },
        { "  <html><body>404", "HTML" },
        { "<?xml version=\"1.0\"?>", "XML" },
        { "{\"graph\": 1}", "JSON" },
        { "ir_version: 8\ngraph {\n", "text form" },
        { "hello, this is no model", "text" },
        { "PK\x03\x04"
          "abc",
          "zip" },
        { "\x1f\x8b\x08", "gzip" },
        { "\x93NUMPY\x01", "NumPy" },
        { "\x89HDF\r\n\x1a\n", "HDF5" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        refused(files[i].bytes, strlen(files[i].bytes), HONE_E_MODEL, files[i].word);
    refused("", 0, HONE_E_MODEL, "an empty file");
    refused("\x14\0\0\0ORTM\x0c\0\x10\0", 12, HONE_E_MODEL, "ONNX Runtime's own format");
    float v[2] = { 1, 2 };
    struct hn_buffer t = b_tensor("input_0", 1, DIMS(2), v, sizeof v);
    refused(t.p, t.n, HONE_E_MODEL, "single tensor");
    hn_buffer_free(&t);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct hn_buffer m = b_mlp();
    size_t graph_end =
        m.n - 6; /* the opset entry behind the graph may be missing: import looks at that */
    for (size_t n = 0; n < graph_end; n++) {
        char *copy =
            malloc(n + 1); /* its own block: reading past the end is seen by the sanitizer */
        memcpy(copy, m.p, n);
        hone_status st = scan(copy, n);
        ck_assert_msg(st == HONE_E_MODEL, "cut at %zu: %d", n, (int)st);
        free(copy);
    }
    hn_buffer_free(&m);
}
END_TEST

START_TEST(truncation_says_so)
{
    struct hn_buffer m = b_mlp();
    refused(m.p, m.n / 2, HONE_E_MODEL, "past the end");
    ck_assert(strstr(err.hint, "cut off") != NULL);
    hn_buffer_free(&m);
}
END_TEST

/* n levels of graph { node { attribute { g …: as small as nesting gets. */
static char *nesting(size_t want, size_t *n)
{
    static const unsigned char tags[3] = { A_G << 3 | 2, N_ATTR << 3 | 2, G_NODE << 3 | 2 };
    unsigned char *p = malloc(want + 64);
    size_t at = want + 64, len = 0;
    for (size_t k = 0; len + 16 < want; k++) {
        unsigned char head[10];
        size_t h = hn_varint_put(head, len);
        at -= h;
        memcpy(p + at, head, h);
        p[--at] = tags[k % 3];
        len = want + 64 - at;
    }
    unsigned char head[16] = { M_IR << 3, 8, M_GRAPH << 3 | 2 };
    size_t h = 3 + hn_varint_put(head + 3, len);
    at -= h;
    memcpy(p + at, head, h);
    *n = want + 64 - at;
    memmove(p, p + at, *n);
    return (char *)p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(bombs_are_refused_quickly)
{
    size_t n;
    char *p = nesting(30000, &n);
    double t = now();
    refused(p, n, HONE_E_BUDGET, "deeper than 100");
    double nested = now() - t;
    free(p);

    struct hn_buffer m = b_new(), g = b_new();
    unsigned char empty[2] = { G_NODE << 3 | 2, 0 };
    b_int(&m, M_IR, 8);
    char *many = malloc(10000000);
    for (size_t i = 0; i < 5000000; i++) memcpy(many + 2 * i, empty, 2);
    b_raw(&g, many, 10000000);
    free(many);
    b_sub(&m, M_GRAPH, g);
    t = now();
    refused(m.p, m.n, HONE_E_BUDGET, "unpacking");
    double nodes = now() - t;
    hn_buffer_free(&m);
    if (nested > 0.01 || nodes > 0.01)
        printf("note: bombs took %.1f and %.1f ms\n", 1e3 * nested, 1e3 * nodes);
    ck_assert(nested < 0.2 &&
              nodes < 0.2); /* the aim is 10 ms; a loaded machine or a sanitizer is given more */
}
END_TEST

START_TEST(depth_100_is_fine)
{
    struct hn_buffer b = b_new();
    for (int k = 0; k < 99; k++) {
        static const uint32_t fields[3] = { A_G, N_ATTR, G_NODE };
        struct hn_buffer up = b_new();
        b_sub(&up, fields[k % 3], b);
        b = up;
    }
    struct hn_buffer m = b_model(8, 17, b);
    HN_OK(scan(m.p, m.n), err);
    hn_scan_free(&found);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(malformed_fields_are_refused)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *word;
    } cases[] = {
        { "\x08\x08\x3b\x3c", 4, "group" },                 /* start and end group */
        { "\x08\x08\x3a\x04\x0a\x02\x0b\x0c", 8, "group" }, /* the same inside a node */
        { "\x08\x08\x3e", 3, "wire type" },                 /* type 6 */
        { "\x08\x08\x00\x01", 4, "number 0" },
        { "\x08\x08\x38\x01", 4, "wrong wire type" }, /* graph as a number */
        { "\x08\x08\x3a\x00\x3a\x00", 6, "twice" },   /* two graphs */
        { "\x08\x08\x3a\x05\x12\x03"
          "a\0b",
          9, "NUL" }, /* graph.name */
        { "\x08\x08\x3a\xff\xff\xff\xff\x0f", 8, "2 GiB" },
        { "\x08\x08\x3a\x80\x80\x80\x80\x80\x01", 9, "broken length" },
        { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "varint" },
        { "\x08\x08\x3a\x04\x0a\x05\x12\x00", 8, "past the end" }, /* node longer than its graph */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].bytes, cases[i].n, HONE_E_MODEL, cases[i].word);
}
END_TEST

START_TEST(a_model_needs_a_graph_and_a_version)
{
    refused("\x08\x08\x12\x01\x01", 5, HONE_E_MODEL, "no graph");
    refused("\x3a\x02\x52\x00\x12\x01\x01", 7, HONE_E_MODEL, "ir_version");
}
END_TEST

START_TEST(counts_are_limited)
{
    struct hn_buffer m = b_mlp();
    struct hn_scan_limits few = hn_scan_defaults;
    few.nodes = 2;
    ck_assert_int_eq(hn_scan_model(&found, &test_mem, (unsigned char *)m.p, m.n, &few, "t", &err),
                     HONE_E_BUDGET);
    few = hn_scan_defaults;
    few.tensors = 3;
    ck_assert_int_eq(hn_scan_model(&found, &test_mem, (unsigned char *)m.p, m.n, &few, "t", &err),
                     HONE_E_BUDGET);
    ck_assert(strstr(err.text, "3 tensors") != NULL);
    hn_buffer_free(&m);
}
END_TEST

START_TEST(splicing_corrects_every_length)
{
    struct hn_buffer m = b_mlp(), out = b_new(), back = b_new();
    HN_OK(scan(m.p, m.n), err);
    static char big[300];
    struct hn_cut grow = { found.tensors[2].raw, 12, found.tensors[2].frame, 0, 0, big, 300 };
    HN_OK(hn_splice(&test_mem, (unsigned char *)m.p, m.n, found.frames, found.n_frames, &grow, 1,
                    &out.sink, &err),
          err);
    hn_scan_free(&found);
    ck_assert_uint_gt(
        out.n,
        m.n + 288); /* raw_data's own length is not a frame: the scan must refuse what came out */
    ck_assert_int_eq(scan(out.p, out.n), HONE_E_MODEL);
    hn_buffer_free(&out);

    HN_OK(scan(m.p, m.n), err);
    out = b_new();
    struct hn_cut drop = { found.tensors[2].raw_at,
                           found.tensors[2].raw + 12 - found.tensors[2].raw_at,
                           found.tensors[2].frame,
                           0,
                           0,
                           "",
                           0 };
    HN_OK(hn_splice(&test_mem, (unsigned char *)m.p, m.n, found.frames, found.n_frames, &drop, 1,
                    &out.sink, &err),
          err);
    hn_scan_free(&found);
    HN_OK(scan(out.p, out.n), err);
    ck_assert_int_eq(found.tensors[2].has_raw, 0);
    struct hn_buffer field = b_new();
    float v[3] = { 1, 2, -1 };
    b_bytes(&field, T_RAW, v, sizeof v);
    struct hn_cut put = {
        found.frames[found.tensors[2].frame].end, 0, found.tensors[2].frame, 0, 0, field.p, field.n
    };
    HN_OK(hn_splice(&test_mem, (unsigned char *)out.p, out.n, found.frames, found.n_frames, &put, 1,
                    &back.sink, &err),
          err);
    hn_scan_free(&found);
    ck_assert_uint_eq(back.n, m.n);
    ck_assert_int_eq(memcmp(back.p, m.p, m.n), 0);
    hn_buffer_free(&field);
    hn_buffer_free(&back);
    hn_buffer_free(&out);
    hn_buffer_free(&m);
}
END_TEST

HN_TEST_MAIN("scan", tcase_add_test(tc, finds_tensors_and_metadata);
             tcase_add_test(tc, sees_attribute_and_hidden_tensors);
             tcase_add_test(tc, names_what_is_no_model);
             tcase_add_test(tc, every_truncation_is_refused);
             tcase_add_test(tc, truncation_says_so); tcase_add_test(tc, bombs_are_refused_quickly);
             tcase_add_test(tc, depth_100_is_fine);
             tcase_add_test(tc, malformed_fields_are_refused);
             tcase_add_test(tc, a_model_needs_a_graph_and_a_version);
             tcase_add_test(tc, counts_are_limited);
             tcase_add_test(tc, splicing_corrects_every_length);)
