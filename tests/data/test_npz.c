/* SPDX-License-Identifier: MIT
 *
 * NPZ and the other writers: what is written is read back, equal arrays give equal bytes, hostile archives are refused. */
#include "tests/data/parse.h"

#include <math.h>
#include <zip.h>

static struct hn_tensor tensor(const float *data, int64_t rows, int64_t columns)
{
    return (struct hn_tensor){
        .dtype = HN_F32, .rank = 2, .dims = { rows, columns }, .n = rows * columns, .data = data
    };
}

static const float six[] = { 1, -2.5f, 3e-9f, 4e20f, 0.1f, 6 };

static void write_two(struct hn_buffer *b)
{
    const char *names[] = { "x", "dir/y" };
    struct hn_tensor t[2] = { tensor(six, 2, 3), tensor(six, 3, 2) };
    hn_buffer_init(b, &mem);
    HN_OK(hn_npz_write(&b->sink, &mem, names, t, 2, &err), err);
}

static hone_status parse(struct hn_array *a, const void *p, size_t n, const char *key)
{
    struct hn_file f = file_of(p, n);
    return hn_npz_parse(a, &mem, &f, "t.npz", key, &err);
}

START_TEST(round_trip)
{
    struct hn_buffer b, again;
    struct hn_array a;
    write_two(&b);
    write_two(&again);
    ck_assert_uint_eq(b.n, again.n);
    ck_assert_mem_eq(b.p, again.p, b.n);
    HN_OK(parse(&a, b.p, b.n, "x"), err);
    ck_assert_int_eq(a.rows, 2);
    ck_assert_mem_eq(a.data, six, sizeof six);
    hn_array_close(&a);
    HN_OK(parse(&a, b.p, b.n, "dir/y.npy"), err);
    ck_assert_int_eq(a.rows, 3);
    hn_array_close(&a);
    REFUSED(parse(&a, b.p, b.n, "z"), HONE_E_DATA, "t.npz",
            "no array 'z', wanted one of: x, dir/y");
    REFUSED(parse(&a, b.p, b.n, NULL), HONE_E_DATA, "found 2 arrays (x, dir/y), wanted one",
            "t.npz:KEY");
    for (size_t cut = 0; cut < b.n; cut++) {
        hone_status st = parse(&a, b.p, cut, "x");
        ck_assert_int_eq(st, HONE_E_DATA);
    }
    hn_buffer_free(&b);
    hn_buffer_free(&again);
}
END_TEST

/* A file with one entry, made by libzip: its size, bytes in *out (to be freed). */
static size_t archive(const char *path, const char *name, const void *p, size_t n, int method)
{
    int e;
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &e);
    ck_assert_ptr_nonnull(z);
    zip_int64_t i = zip_file_add(z, name, zip_source_buffer(z, p, n, 0), 0);
    ck_assert_int_ge(i, 0);
    zip_set_file_compression(z, (zip_uint64_t)i, method, 0);
    ck_assert_int_eq(zip_close(z), 0);
    return n;
}

START_TEST(deflated_and_by_path)
{
    struct hn_buffer b;
    struct hn_array a;
    struct hn_tensor t = tensor(six, 6, 1);
    char path[600];
    hn_buffer_init(&b, &mem);
    HN_OK(hn_npy_write(&b.sink, &t, &err), err);
    snprintf(path, sizeof path, "%s", scratch("d.npz"));
    archive(path, "w.npy", b.p, b.n, ZIP_CM_DEFLATE);
    struct hn_source s = source(path);
    HN_OK(hn_array_open(&a, &s, "x", NULL, &err), err);
    ck_assert_mem_eq(a.data, six, sizeof six);
    ck_assert_str_eq(a.name, "x");
    hn_array_close(&a);
    strcat(path, ":w");
    HN_OK(hn_array_open(&a, &s, "x", NULL, &err), err);
    hn_array_close(&a);
    strcat(path, "rong");
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_DATA,
            "no array 'wrong', wanted one of: w");
    archive(scratch("d.npz"), "readme.txt", "hello", 5, ZIP_CM_STORE);
    s.path = scratch("d.npz");
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_DATA, "holds no .npy array");
    s.path = scratch("not.npz:x");
    scratch_write("not.npz", "a,b\n1,2\n", 8);
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_DATA, "is not a zip archive");
    hn_buffer_free(&b);
}
END_TEST

/* Offset of the central directory's entry. */
static size_t central(const char *p, size_t n)
{
    for (size_t i = n - 4; i > 0; i--)
        if (memcmp(p + i, "PK\1\2", 4) == 0) return i;
    return 0;
}

/* Fields of the one entry changed in both headers: offsets in the central and the local header. */
static hone_status tampered(const char *p, size_t n, size_t at_central, size_t at_local,
                            uint32_t value, size_t size)
{
    struct hn_array a;
    char *copy = malloc(n);
    memcpy(copy, p, n);
    memcpy(copy + central(p, n) + at_central, &value, size);
    memcpy(copy + at_local, &value, size);
    hone_status st = parse(&a, copy, n, "w");
    free(copy);
    return st;
}

START_TEST(hostile_archives)
{
    struct hn_buffer b;
    struct hn_tensor t = tensor(six, 6, 1);
    size_t n = 0;
    hn_buffer_init(&b, &mem);
    HN_OK(hn_npy_write(&b.sink, &t, &err), err);
    archive(scratch("h.npz"), "w.npy", b.p, b.n, ZIP_CM_DEFLATE);
    char *p = scratch_read("h.npz", &n);
    REFUSED(tampered(p, n, 24, 22, 0x7FFFFFFF, 4), HONE_E_DATA, "more than deflate can pack");
    REFUSED(tampered(p, n, 24, 22, (uint32_t)b.n + 10, 4), HONE_E_DATA, "w.npy"); /* ends early */
    REFUSED(tampered(p, n, 24, 22, (uint32_t)b.n - 10, 4), HONE_E_DATA, "w.npy"); /* goes on */
    REFUSED(tampered(p, n, 10, 8, 12, 2), HONE_E_DATA, "method 12");
    REFUSED(tampered(p, n, 8, 6, 1, 2), HONE_E_DATA, "encrypted");
    REFUSED(tampered(p, n, 16, 14, 0x12345678, 4), HONE_E_DATA, "w.npy"); /* checksum */
    REFUSED(tampered(p, n, 20, 18, 0x7FFFFFFF, 4), HONE_E_DATA, "zip");   /* beyond the file */
    free(p);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(too_many_entries)
{
    int e;
    zip_t *z = zip_open(scratch("many.npz"), ZIP_CREATE | ZIP_TRUNCATE, &e);
    for (int i = 0; i < 1001; i++) {
        char name[32];
        snprintf(name, sizeof name, "a%d.npy", i);
        ck_assert_int_ge(zip_file_add(z, name, zip_source_buffer(z, "x", 1, 0), 0), 0);
    }
    ck_assert_int_eq(zip_close(z), 0);
    struct hn_array a;
    struct hn_source s = source(scratch("many.npz"));
    REFUSED(hn_array_open(&a, &s, "", NULL, &err), HONE_E_BUDGET,
            "found 1001 entries, wanted at most 1000");
}
END_TEST

/* ---- NPY and CSV out ---- */

START_TEST(npy_headers)
{
    struct hn_buffer b;
    int64_t dims[2] = { 3, 4 };
    hn_buffer_init(&b, &mem);
    HN_OK(hn_npy_write_header(&b.sink, HN_F64, 2, dims, &err), err);
    ck_assert_uint_eq(b.n % 64, 0);
    ck_assert_ptr_nonnull(
        strstr(b.p + 10, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }"));
    b.n = 0;
    HN_OK(hn_npy_write_header(&b.sink, HN_U8, 1, dims, &err), err);
    ck_assert_ptr_nonnull(strstr(b.p + 10, "'|u1', 'fortran_order': False, 'shape': (3,), }"));
    b.n = 0;
    HN_OK(hn_npy_write_header(&b.sink, HN_F32, 0, dims, &err), err);
    ck_assert_ptr_nonnull(strstr(b.p + 10, "'shape': (), }"));
    REFUSED(hn_npy_write_header(&b.sink, HN_STR, 1, dims, &err), HONE_E_USAGE, "string");
    hn_buffer_free(&b);
}
END_TEST

static hone_status write_rows(struct hn_sink *s, const struct hn_tensor *t)
{
    int64_t width = t->rank > 1 ? t->dims[1] : 1;
    for (int64_t i = 0; i < t->n; i++) {
        hone_status st = hn_csv_write_number(s, t, i, &err);
        if (st == HONE_OK) st = s->write(s, (i + 1) % width ? "," : "\n", 1, &err);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

START_TEST(csv_out)
{
    struct hn_buffer b;
    const char *names[] = { "plain", "a,b", "say \"hi\"", "=1+1", "-5", "-x", " pad", "" };
    hn_buffer_init(&b, &mem);
    HN_OK(hn_csv_write_names(&b.sink, names, 8, &err), err);
    ck_assert_str_eq(b.p, "plain,\"a,b\",\"say \"\"hi\"\"\",'=1+1,-5,'-x,\" pad\",\n");
    b.n = 0;
    struct hn_tensor t = tensor(six, 2, 3);
    HN_OK(write_rows(&b.sink, &t), err);
    ck_assert_str_eq(b.p, "1,-2.5,3e-09\n4e+20,0.1,6\n");
    b.n = 0;
    double doubles[] = { 0.1, 1.0 / 3 };
    t = (struct hn_tensor){ .dtype = HN_F64, .rank = 1, .dims = { 2 }, .n = 2, .data = doubles };
    HN_OK(write_rows(&b.sink, &t), err);
    ck_assert_str_eq(b.p, "0.1\n0.3333333333333333\n");
    hn_buffer_free(&b);
}
END_TEST

START_TEST(csv_floats_read_back)
{
    enum { N = 20000 };
    float *v = malloc(N * sizeof *v);
    uint32_t s = 12345;
    for (int i = 0; i < N; i++) {
        do {
            s = s * 1664525 + 1013904223;
            memcpy(&v[i], &s, 4);
        } while (!isfinite(v[i]));
    }
    struct hn_buffer b;
    struct hn_tensor t = tensor(v, N / 4, 4);
    struct hn_csv_options o = { .header = HN_HEADER_NO };
    struct hn_csv_part p = { .name = "x" };
    hn_buffer_init(&b, &mem);
    HN_OK(write_rows(&b.sink, &t), err);
    HN_OK(csv_bytes(b.p, b.n, &o, &p, 1), err);
    ck_assert_mem_eq(p.array.data, v, N * sizeof *v);
    hn_array_close(&p.array);
    hn_buffer_free(&b);
    free(v);
}
END_TEST

HN_TEST_MAIN("npz", tcase_add_checked_fixture(tc, begin, end); tcase_add_test(tc, round_trip);
             tcase_add_test(tc, deflated_and_by_path); tcase_add_test(tc, hostile_archives);
             tcase_add_test(tc, too_many_entries); tcase_add_test(tc, npy_headers);
             tcase_add_test(tc, csv_out); tcase_add_test(tc, csv_floats_read_back);)
