/* SPDX-License-Identifier: MIT
 *
 * NPY and IDX: every element type, byte order and layout, in place where that can be, and each refusal. */
#include "tests/data/parse.h"

#include <math.h>

/* An .npy of version v: the header text is padded as numpy does. */
static size_t npy(unsigned char *out, int v, const char *dict, const void *data, size_t n)
{
    size_t head = v == 1 ? 10 : 12, text = strlen(dict), padded = text;
    while ((head + padded + 1) % 64) padded++;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)v, out[7] = 0;
    for (size_t i = 0; i < head - 8; i++) out[8 + i] = (unsigned char)((padded + 1) >> (8 * i));
    memcpy(out + head, dict, text);
    memset(out + head + text, ' ', padded - text);
    out[head + padded] = '\n';
    if (n) memcpy(out + head + padded + 1, data, n);
    return head + padded + 1 + n;
}

static hone_status parse(struct hn_array *a, int v, const char *dict, const void *data, size_t n)
{
    unsigned char bytes[32768];
    struct hn_file f = file_of(bytes, npy(bytes, v, dict, data, n));
    return hn_npy_parse(a, &mem, &f, "t.npy", &err);
}

static const struct {
    const char *code;
    enum hn_dtype dtype;
    unsigned char bytes[16]; /* 1 and -2 (or 2, or 0) little-endian */
    double second;
} types[] = {
    { "|b1", HN_BOOL, { 1, 0 }, 0 },
    { "|u1", HN_U8, { 1, 2 }, 2 },
    { "|i1", HN_I8, { 1, 0xFE }, -2 },
    { "<u2", HN_U16, { 1, 0, 2, 0 }, 2 },
    { "<i2", HN_I16, { 1, 0, 0xFE, 0xFF }, -2 },
    { "<u4", HN_U32, { 1, 0, 0, 0, 2, 0, 0, 0 }, 2 },
    { "<i4", HN_I32, { 1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF }, -2 },
    { "<u8", HN_U64, { 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0 }, 2 },
    { "<i8",
      HN_I64,
      { 1, 0, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF },
      -2 },
    { "<f2", HN_F16, { 0, 0x3C, 0, 0xC0 }, -2 },
    { "<f4", HN_F32, { 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0 }, -2 },
    { "<f8", HN_F64, { 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0 }, -2 },
};

/* Both byte orders, all versions, keys in another order and double quotes. */
START_TEST(element_types)
{
    size_t size = hn_dtype_size(types[_i].dtype);
    for (int big = 0; big < 2; big++)
        for (int v = 1; v <= 3; v++) {
            char dict[128];
            unsigned char data[16];
            struct hn_array a;
            for (size_t i = 0; i < 2 * size; i++)
                data[i] = types[_i].bytes[big ? i / size * size + size - 1 - i % size : i];
            snprintf(dict, sizeof dict,
                     "{\"shape\": (2,), 'descr': '%c%s', 'fortran_order': False}",
                     big ? '>' : types[_i].code[0], types[_i].code + 1);
            HN_OK(parse(&a, v, dict, data, 2 * size), err);
            ck_assert_int_eq(a.dtype, types[_i].dtype);
            ck_assert_int_eq(a.rows, 2);
            ck_assert_int_eq(a.per_row, 1);
            ck_assert(hn_array_at(&a, 0, 0) == 1 && hn_array_at(&a, 1, 0) == types[_i].second);
            ck_assert_int_eq(a.block == NULL, !big || size == 1); /* in place when it can be */
            hn_array_close(&a);
        }
}
END_TEST

START_TEST(fortran_order)
{
    int32_t data[70 * 3 * 2];
    struct hn_array a;
    for (int i = 0; i < 70; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++) data[i + 70 * (j + 3 * k)] = 100 * i + 10 * j + k;
    HN_OK(parse(&a, 1, "{'descr': '<i4', 'fortran_order': True, 'shape': (70, 3, 2), }", data,
                sizeof data),
          err);
    ck_assert_int_eq(a.rank, 3);
    ck_assert_int_eq(a.per_row, 6);
    for (int i = 0; i < 70; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++)
                ck_assert(hn_array_at(&a, i, 2 * j + k) == 100 * i + 10 * j + k);
    hn_array_close(&a);
    uint16_t big[4] = { 0x0100, 0x0200, 0x0300, 0x0400 };
    HN_OK(
        parse(&a, 1, "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 2), }", big, sizeof big),
        err);
    ck_assert(hn_array_at(&a, 0, 1) == 3 && hn_array_at(&a, 1, 0) == 2);
    hn_array_close(&a);
    HN_OK(parse(&a, 1, "{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }", data, 8), err);
    ck_assert_ptr_null(a.block); /* one dimension has one order */
    hn_array_close(&a);
    HN_OK(parse(&a, 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (), }", data, 4), err);
    ck_assert_int_eq(a.rows, 1);
    hn_array_close(&a);
    HN_OK(parse(&a, 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2L, 1L), }", data, 8),
          err);
    ck_assert_int_eq(a.rows, 2);
    hn_array_close(&a);
}
END_TEST

#define SHAPE(s) "{'descr': '<f4', 'fortran_order': False, 'shape': " s ", }"
#define DESCR(d) "{'descr': " d ", 'fortran_order': False, 'shape': (1,), }"
static const struct {
    const char *dict, *wanted;
} refused[] = {
    { DESCR("'|O'"), "Python objects (a pickle, never read)" },
    { DESCR("[('a', '<f4'), ('b', '<i4')]"), "structured array" },
    { DESCR("('<f4', (2,))"), "subarray" },
    { DESCR("'<U5'"), "found 4 bytes of data, wanted 1 texts of 20" },
    { DESCR("'<U0'"), "unusual width ('U0')" },
    { DESCR("'|S99999999999999999999'"), "unusual width" },
    { DESCR("'<U1'"),
      "row 1: found a text that is not Unicode" }, /* the bytes of 1.0f: 0x3f800000 */
    { DESCR("'|S4'"), "row 1: found a text that is not Unicode" },
    { "{'descr': '|S2', 'fortran_order': False, 'shape': (1, 2), }", "found 2 texts a row" },
    { DESCR("'<c8'"), "complex" },
    { DESCR("'|V8'"), "raw records" },
    { DESCR("'<M8[ns]'"), "dates" },
    { DESCR("'<f16'"), "unusual width" },
    { DESCR("'<q9'"), "unknown type" },
    { DESCR("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"), "too long" },
    { DESCR("'<f4"), "wanted ','" },
    { DESCR("<f4"), "quoted string" },
    { SHAPE("(3,)"), "found 4 bytes of data, wanted 12" },
    { SHAPE("(0,)"), "no rows" },
    { SHAPE("(1, 0)"), "dimension 1 is 0" },
    { SHAPE("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 8 dimensions" },
    { SHAPE("(4294967295, 4294967295)"), "rows, wanted fewer than" },
    { SHAPE("(2000000000, 9223372036854775807)"), "multiply to more" },
    { SHAPE("(1, 99999999999999999999)"), "too large" },
    { SHAPE("(1, -1)"), "not a number" },
    { SHAPE("(1, 'a')"), "not a number" },
    { SHAPE("(1 1)"), "not a tuple of numbers" },
    { SHAPE("[1]"), "not a tuple" },
    { SHAPE("(1,"), "not a number" },
    { "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", "neither True nor False" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "unknown key 'x'" },
    { "{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }", "'descr' twice" },
    { "{'descr': '<f4', 'shape': (1,), }", "wanted the keys" },
    { "{'descr' '<f4'}", "wanted ':'" },
    { "{'descr': '<f4' 'shape': (1,)}", "wanted ','" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x", "something follows" },
    { "['descr']", "is not a dict" },
    { "", "is not a dict" },
};

START_TEST(headers_refused)
{
    struct hn_array a;
    float one = 1;
    memset(&err, 0, sizeof err);
    hone_status st = parse(&a, 1, refused[_i].dict, &one, sizeof one);
    ck_assert_msg(st == HONE_E_DATA && strstr(err.text, refused[_i].wanted), "%s: %s",
                  refused[_i].dict, err.text);
    ck_assert_str_eq(err.where, "t.npy");
}
END_TEST

START_TEST(files_refused)
{
    struct hn_array a;
    unsigned char bytes[32768];
    float data[2] = { 1, 2 };
    REFUSED(parse(&a, 1, SHAPE("(1,)"), data, sizeof data), HONE_E_DATA,
            "4 bytes follow the array");
    REFUSED(parse(&a, 4, SHAPE("(1,)"), data, 4), HONE_E_DATA, "version 4");
    size_t n = npy(bytes, 1, SHAPE("(2,)"), data, sizeof data);
    for (size_t cut = 0; cut < n; cut++) {
        struct hn_file f = file_of(bytes, cut);
        ck_assert_int_eq(hn_npy_parse(&a, &mem, &f, "t.npy", &err), HONE_E_DATA);
    }
    struct hn_file text = file_of("a,b\n1,2\n3,4\n", 12);
    REFUSED(hn_npy_parse(&a, &mem, &text, "t.npy", &err), HONE_E_DATA, "is not an NPY file");
    memset(bytes, ' ', sizeof bytes); /* a header that is longer than the limit, but there */
    memcpy(bytes, "\x93NUMPY\2\0\x11\x27\0\0{", 13);
    struct hn_file f = file_of(bytes, sizeof bytes);
    REFUSED(hn_npy_parse(&a, &mem, &f, "t.npy", &err), HONE_E_DATA,
            "found 10001 bytes, wanted at most 10000");
}
END_TEST

START_TEST(unaligned_data_are_copied)
{
    unsigned char bytes[256] = "\x93NUMPY\1\0";
    const char *dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n\n\n";
    float data[2] = { 1, -2 };
    struct hn_array a;
    size_t n = strlen(dict);
    while ((10 + n) % 4 != 1) n--;
    bytes[8] = (unsigned char)n;
    memcpy(bytes + 10, dict, n);
    memcpy(bytes + 10 + n, data, sizeof data);
    struct hn_file f = file_of(bytes, 10 + n + sizeof data);
    HN_OK(hn_npy_parse(&a, &mem, &f, "t.npy", &err), err);
    ck_assert_ptr_nonnull(a.block);
    ck_assert(hn_array_at(&a, 1, 0) == -2);
    hn_array_close(&a);
}
END_TEST

/* ---- IDX ---- */

static hone_status idx(struct hn_array *a, const void *p, size_t n)
{
    struct hn_file f = file_of(p, n);
    return hn_idx_parse(a, &mem, &f, "t.idx", &err);
}

/* What is written comes back; the other byte order and bytes are read, too. */
START_TEST(text_is_read)
{
    static const char *const list[] = { "é", "", "no", "\xf0\x9f\x90\x9f", "no" };
    const struct hn_tensor t = { HN_STR, 2, { 5, 1 }, 5, list };
    const unsigned char big[] = { 0, 0, 0, 'a', 0, 0, 0x20, 0xac };
    struct hn_buffer b;
    struct hn_array a;
    hn_buffer_init(&b, &mem);
    HN_OK(hn_npy_write(&b.sink, &t, &err), err);
    struct hn_file f = file_of(b.p, b.n);
    HN_OK(hn_npy_parse(&a, &mem, &f, "t.npy", &err), err);
    ck_assert_int_eq(a.dtype, HN_STR);
    ck_assert_int_eq(a.rows, 5);
    for (int i = 0; i < 5; i++) ck_assert_str_eq(((const char *const *)a.data)[i], list[i]);
    hn_array_close(&a);
    hn_buffer_free(&b);
    HN_OK(parse(&a, 1, "{'descr': '>U1', 'fortran_order': False, 'shape': (2,)}", big, sizeof big),
          err);
    ck_assert_str_eq(((const char *const *)a.data)[1], "€");
    hn_array_close(&a);
    HN_OK(parse(&a, 1, "{'descr': '|S3', 'fortran_order': False, 'shape': (2,)}", "yesno\0", 6),
          err);
    ck_assert_str_eq(((const char *const *)a.data)[1], "no");
    hn_array_close(&a);
}
END_TEST

/* Text is as wide as the longest; what is not UTF-8 is U+FFFD. */
START_TEST(text_is_written)
{
    static const char *const list[] = { "é", "", "a\xff" };
    static const uint32_t want[] = { 0xe9, 0, 0, 0, 'a', 0xfffd };
    const struct hn_tensor t = { HN_STR, 2, { 3, 1 }, 3, list };
    struct hn_buffer b;
    hn_buffer_init(&b, &mem);
    HN_OK(hn_npy_write(&b.sink, &t, &err), err);
    ck_assert_uint_eq(b.n % 64, sizeof want % 64);
    ck_assert_ptr_nonnull(strstr(b.p + 10, "'descr': '<U2'"));
    ck_assert_ptr_nonnull(strstr(b.p + 10, "'shape': (3, 1)"));
    ck_assert_int_eq(memcmp(b.p + b.n - sizeof want, want, sizeof want), 0);
    hn_buffer_free(&b);
}
END_TEST

START_TEST(idx_types)
{
    struct hn_array a;
    HN_OK(idx(&a, "\0\0\x08\x02\0\0\0\2\0\0\0\3\1\2\3\4\5\xFF", 18), err);
    ck_assert_int_eq(a.dtype, HN_U8);
    ck_assert_int_eq(a.per_row, 3);
    ck_assert_ptr_null(a.block);
    ck_assert(hn_array_at(&a, 1, 2) == 255);
    hn_array_close(&a);
    HN_OK(idx(&a, "\0\0\x09\x01\0\0\0\1\xFE", 9), err);
    ck_assert(hn_array_at(&a, 0, 0) == -2);
    hn_array_close(&a);
    HN_OK(idx(&a, "\0\0\x0B\x01\0\0\0\1\xFF\xFE", 10), err);
    ck_assert(hn_array_at(&a, 0, 0) == -2);
    hn_array_close(&a);
    HN_OK(idx(&a, "\0\0\x0C\x01\0\0\0\1\0\0\1\0", 12), err);
    ck_assert(hn_array_at(&a, 0, 0) == 256);
    hn_array_close(&a);
    HN_OK(idx(&a, "\0\0\x0D\x01\0\0\0\1\x3F\x80\0\0", 12), err);
    ck_assert(hn_array_at(&a, 0, 0) == 1);
    hn_array_close(&a);
    HN_OK(idx(&a, "\0\0\x0E\x01\0\0\0\1\x3F\xF0\0\0\0\0\0\0", 16), err);
    ck_assert(hn_array_at(&a, 0, 0) == 1);
    hn_array_close(&a);
}
END_TEST

START_TEST(idx_refused)
{
    struct hn_array a;
    REFUSED(idx(&a, "\0\0\x0A\x01\0\0\0\1\1", 9), HONE_E_DATA, "type code 0x0a");
    REFUSED(idx(&a, "\0\0\x08\x00", 4), HONE_E_DATA, "found 0 dimensions");
    REFUSED(idx(&a, "\0\0\x08\x09", 4), HONE_E_DATA, "found 9 dimensions");
    REFUSED(idx(&a, "\0\0\x08\x02\0\0\0\2", 8), HONE_E_DATA, "found 8 bytes, wanted 12");
    REFUSED(idx(&a, "\0\0\x08\x01\0\0\0\2\1", 9), HONE_E_DATA, "found 1 bytes of data, wanted 2");
    REFUSED(idx(&a, "\0\0\x08\x01\0\0\0\1\1\1", 10), HONE_E_DATA,
            "found 2 bytes of data, wanted 1");
    REFUSED(idx(&a, "\0\0\x08\x01\0\0\0\0", 8), HONE_E_DATA, "no rows");
    REFUSED(idx(&a, "\0\0\x08", 3), HONE_E_DATA, "is not an IDX file");
    REFUSED(idx(&a,
                "\0\0\x0E\x08\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                "\xFF\xFF\xFF"
                "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                36),
            HONE_E_DATA, "multiply to more");
}
END_TEST

HN_TEST_MAIN("npy", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_loop_test(tc, element_types, 0, sizeof types / sizeof *types);
             tcase_add_test(tc, fortran_order);
             tcase_add_loop_test(tc, headers_refused, 0, sizeof refused / sizeof *refused);
             tcase_add_test(tc, files_refused); tcase_add_test(tc, unaligned_data_are_copied);
             tcase_add_test(tc, text_is_written); tcase_add_test(tc, text_is_read);
             tcase_add_test(tc, idx_types); tcase_add_test(tc, idx_refused);)
