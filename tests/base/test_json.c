/* SPDX-License-Identifier: MIT
 *
 * The JSON writer: exact texts, escaping, non-finite numbers, sticking errors. */
#include "ops/base/json.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <math.h>

static struct hn_mem mem;
static struct hn_buffer out;
static hone_error err;

static void begin(struct hn_json *j, int indent)
{
    hn_mem_init(&mem, 0);
    hn_buffer_init(&out, &mem);
    hn_json_begin(j, &out.sink, indent, &err);
}

static void end(struct hn_json *j, const char *wanted)
{
    HN_OK(hn_json_end(j), err);
    ck_assert_str_eq(out.p, wanted);
    hn_buffer_free(&out);
    ck_assert_uint_eq(mem.used, 0);
}

static void everything(struct hn_json *j)
{
    hn_json_object(j, NULL);
    hn_json_string(j, "name", "fc1");
    hn_json_int(j, "min", INT64_MIN);
    hn_json_int(j, "zero", 0);
    hn_json_double(j, "loss", 0.1);
    hn_json_bool(j, "best", 1);
    hn_json_bool(j, "last", 0);
    hn_json_null(j, "none");
    hn_json_string(j, "null", NULL);
    hn_json_array(j, "dims");
    hn_json_int(j, NULL, 1);
    hn_json_int(j, NULL, 2);
    hn_json_close(j);
    hn_json_array(j, "empty");
    hn_json_close(j);
    hn_json_object(j, "inner");
    hn_json_close(j);
    hn_json_close(j);
}

START_TEST(one_line)
{
    struct hn_json j;
    begin(&j, 0);
    everything(&j);
    end(&j, "{\"name\":\"fc1\",\"min\":-9223372036854775808,\"zero\":0,\"loss\":0.1,\"best\":true,"
            "\"last\":false,\"none\":null,\"null\":null,\"dims\":[1,2],\"empty\":[],\"inner\":{}}");
}
END_TEST

START_TEST(indented)
{
    struct hn_json j;
    begin(&j, 2);
    everything(&j);
    end(&j, "{\n  \"name\": \"fc1\",\n  \"min\": -9223372036854775808,\n  \"zero\": 0,\n  "
            "\"loss\": 0.1,\n"
            "  \"best\": true,\n  \"last\": false,\n  \"none\": null,\n  \"null\": null,\n  "
            "\"dims\": [\n"
            "    1,\n    2\n  ],\n  \"empty\": [],\n  \"inner\": {}\n}");
}
END_TEST

START_TEST(escapes)
{
    struct hn_json j;
    begin(&j, 0);
    hn_json_array(&j, NULL);
    hn_json_string(&j, NULL, "\"\\/\b\f\n\r\t\x01\x1f\x7f");
    hn_json_string(&j, NULL, "h\xC3\xA9\xF0\x9F\x98\x80");
    hn_json_string(&j, NULL,
                   "a\xFF"
                   "b\xC3");
    hn_json_string(&j, NULL, "\xED\xA0\x80");
    hn_json_string(&j, NULL, "");
    hn_json_close(&j);
    end(&j, "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\",\"h\xC3\xA9\xF0\x9F\x98\x80\","
            "\"a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\",\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\",\"\"]");
    begin(&j, 0);
    hn_json_object(&j, NULL);
    hn_json_int(&j, "k\"\n", 1);
    hn_json_close(&j);
    end(&j, "{\"k\\\"\\n\":1}");
}
END_TEST

START_TEST(nonfinite)
{
    struct hn_json j;
    begin(&j, 0);
    hn_json_object(&j, NULL);
    hn_json_object(&j, "a");
    hn_json_array(&j, "list");
    hn_json_double(&j, NULL, (double)NAN);
    hn_json_double(&j, NULL, 1);
    hn_json_close(&j);
    hn_json_close(&j);
    hn_json_object(&j, "b");
    hn_json_double(&j, "x", -(double)INFINITY);
    hn_json_double(&j, "y", (double)INFINITY);
    hn_json_close(&j);
    hn_json_object(&j, "c");
    hn_json_double(&j, "x", 2);
    hn_json_close(&j);
    hn_json_close(&j);
    end(&j, "{\"a\":{\"list\":[null,1],\"nonfinite\":true},\"b\":{\"x\":null,\"y\":null,"
            "\"nonfinite\":true},\"c\":{\"x\":2}}");
    begin(&j, 0);
    hn_json_double(&j, NULL, (double)NAN); /* nothing around it to mark */
    end(&j, "null");
}
END_TEST

START_TEST(wrong_nesting)
{
    struct hn_json j;
    begin(&j, 0);
    for (int i = 0; i < 64; i++) hn_json_array(&j, NULL);
    ck_assert_int_eq(hn_json_end(&j), HONE_OK);
    hn_json_array(&j, NULL);
    ck_assert_int_eq(hn_json_end(&j), HONE_E_INTERNAL);
    hn_json_close(&j);
    ck_assert_int_eq(j.depth, 64); /* nothing more happens */
    hn_buffer_free(&out);
    begin(&j, 0);
    hn_json_close(&j);
    ck_assert_int_eq(hn_json_end(&j), HONE_E_INTERNAL);
    hn_buffer_free(&out);
}
END_TEST

START_TEST(errors_stick)
{
    for (long n = 1;; n++) {
        struct hn_fault f;
        struct hn_buffer b;
        struct hn_json j;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hn_buffer_init(&b, &f.mem);
        hn_json_begin(&j, &b.sink, 2, &err);
        everything(&j);
        everything(&j);
        hone_status st = hn_json_end(&j);
        long hits = f.mem_fail.hits;
        ck_assert_int_eq(st, hits ? HONE_E_NOMEM : HONE_OK);
        hn_buffer_free(&b);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!hits) break;
    }
}
END_TEST

HN_TEST_MAIN("json", tcase_add_test(tc, one_line); tcase_add_test(tc, indented);
             tcase_add_test(tc, escapes); tcase_add_test(tc, nonfinite);
             tcase_add_test(tc, wrong_nesting); tcase_add_test(tc, errors_stick);)
