/* SPDX-License-Identifier: MIT
 *
 * Contexts and results: own allocators, budgets and logs; the tree, its JSON, its paths;
 * allocation failure. */
#include "ops/base/status.h"
#include "plugin/internal.h"
#include "tests/each_allocation.h"
#include <limits.h>
#include <math.h>

static hone_error err;

static int into_text(void *user, const void *p, size_t n)
{
    char *text = user;
    size_t used = strlen(text);
    if (used + n >= 4096) return 1;
    memcpy(text + used, p, n);
    text[used + n] = '\0';
    return 0;
}

static void build(hone_result *r)
{
    hn_result_int(r, "epochs", 3);
    hn_result_object(r, "val");
    hn_result_double(r, "loss", 0.1);
    hn_result_double(r, "r2", (double)NAN);
    hn_result_close(r);
    hn_result_null(r, "test");
    hn_result_array(r, "nodes");
    for (int i = 0; i < 2; i++) {
        hn_result_object(r, NULL);
        hn_result_string(r, "name", i ? "b\"\n" : "a");
        hn_result_bool(r, "ok", i);
        hn_result_close(r);
    }
    hn_result_int(r, NULL, -7);
    hn_result_close(r);
    hn_result_object(r, "metadata");
    hn_result_string(r, "hone.classes", "x");
    hn_result_close(r);
    hn_result_array(r, "none");
    hn_result_close(r);
}

START_TEST(tree_json_and_paths)
{
    hone_context *ctx;
    hone_result *r;
    double v;
    char text[4096] = "";
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hn_result_create(ctx, "hone.test/1", &r, &err), err);
    build(r);
    HN_OK(hn_result_done(r, &err), err);
    HN_OK(hone_result_json(r, 0, into_text, text, &err), err);
    ck_assert_str_eq(text, "{\"schema\":\"hone.test/1\",\"ok\":true,\"epochs\":3,"
                           "\"val\":{\"loss\":0.1,\"r2\":null,\"nonfinite\":true},\"test\":null,"
                           "\"nodes\":[{\"name\":\"a\",\"ok\":false},"
                           "{\"name\":\"b\\\"\\n\",\"ok\":true},-7],"
                           "\"metadata\":{\"hone.classes\":\"x\"},\"none\":[]}");
    ck_assert(hone_result_number(r, "epochs", &v) && v == 3);
    ck_assert(hone_result_number(r, "val.loss", &v) && v == 0.1);
    ck_assert(hone_result_number(r, "val.r2", &v) && isnan(v));
    ck_assert(hone_result_number(r, "nodes.1.ok", &v) && v == 1);
    ck_assert(hone_result_number(r, "nodes.2", &v) && v == -7);
    ck_assert(!hone_result_number(r, "nodes.3", &v));
    ck_assert(!hone_result_number(r, "nodes.-1", &v));
    ck_assert(!hone_result_number(r, "nodes.0.name", &v));
    ck_assert(!hone_result_number(r, "val", &v));
    ck_assert(!hone_result_number(r, "val.los", &v));
    ck_assert(!hone_result_number(r, "test", &v));
    ck_assert_str_eq(hone_result_text(r, "schema"), "hone.test/1");
    ck_assert_str_eq(hone_result_text(r, "nodes.0.name"), "a");
    ck_assert_str_eq(hone_result_text(r, "metadata.hone.classes"), "x");
    ck_assert_ptr_null(hone_result_text(r, "epochs"));
    ck_assert_ptr_null(hone_result_text(r, "nodes.0.nam"));
    hone_result_destroy(r);
    hone_result_destroy(NULL);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(figures_are_its_numbers_under_some_keys)
{
    static const char *const keys[] = { "test", "val", "epochs", "nodes", "before" };
    hone_context *ctx;
    hone_result *r;
    struct hn_buffer b;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hn_result_create(ctx, "hone.test/1", &r, &err), err);
    build(r);
    hn_result_object(r, "before");
    hn_result_int(r, "seconds", 1);
    hn_result_string(r, "why", "no number");
    hn_result_object(r, "test");
    hn_result_bool(r, "ok", 1);
    hn_result_double(r, "loss", 0.5);
    hn_result_close(r);
    hn_result_close(r);
    HN_OK(hn_result_done(r, &err), err);
    hn_buffer_init(&b, &ctx->mem);
    HN_OK(hn_result_write_figures(r, keys, 5, &b.sink, &err), err);
    ck_assert_str_eq(b.p, "{\n \"epochs\": 3,\n \"val\": {\n  \"loss\": 0.1,\n  \"r2\": null,\n"
                          "  \"nonfinite\": true\n },\n \"before\": {\n  \"test\": {\n"
                          "   \"loss\": 0.5\n  }\n }\n}\n");
    hn_buffer_free(&b);
    hone_result_destroy(r);
    hone_context_destroy(ctx);
}
END_TEST

static int refuse(void *user, const void *p, size_t n)
{
    (void)user, (void)p, (void)n;
    return 1;
}

START_TEST(a_failing_writer_is_an_error)
{
    hone_context *ctx;
    hone_result *r;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hn_result_create(ctx, "hone.test/1", &r, &err), err);
    HN_OK(hn_result_done(r, &err), err);
    ck_assert_int_eq(hone_result_json(r, 2, refuse, NULL, &err), HONE_E_IO);
    hone_result_destroy(r);
    hone_context_destroy(ctx);
}
END_TEST

START_TEST(no_indent_below_none)
{
    static const int below[] = { -1, -7, INT_MIN };
    hone_context *ctx;
    hone_result *r;
    char line[4096] = "", full[4096] = "";
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hn_result_create(ctx, "hone.test/1", &r, &err), err);
    build(r);
    HN_OK(hn_result_done(r, &err), err);
    HN_OK(hone_result_json(r, 0, into_text, line, &err), err);
    ck_assert_ptr_null(strchr(line, '\n'));
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char text[4096] = "";
        HN_OK(hone_result_json(r, below[i], into_text, text, &err), err);
        ck_assert_str_eq(text, line);
    }
    /* many more blanks than the writer takes: it is not asked again */
    ck_assert_int_eq(hone_result_json(r, INT_MAX, into_text, full, &err), HONE_E_IO);
    hone_result_destroy(r);
    hone_context_destroy(ctx);
}
END_TEST

static hone_status job(struct hn_fault *f)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    hone_result *r;
    o.alloc = f->mem.alloc, o.release = f->mem.release, o.alloc_user = f;
    hone_status st = hone_context_create(&o, &ctx, NULL);
    if (st != HONE_OK) return st;
    st = hn_result_create(ctx, "hone.test/1", &r, NULL);
    if (st == HONE_OK) {
        for (int i = 0; i < 2000; i++) build(r);
        st = hn_result_done(r, NULL);
        hone_result_destroy(r);
    }
    hone_context_destroy(ctx);
    return st;
}

START_TEST(every_allocation_may_fail) { ck_assert_int_gt(hn_each_allocation_fails(job), 5); }
END_TEST

static char logged[256];
static void log_text(void *user, hone_log_level level, const char *text)
{
    snprintf(user, sizeof logged, "%d %s", (int)level, text);
}

START_TEST(contexts_take_options)
{
    hone_context_opts o = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    o.log = log_text, o.log_user = logged;
    o.memory_budget = 100000;
    HN_OK(hone_context_create(&o, &ctx, &err), err);
    hn_log(ctx, HONE_LOG_WARNING, "%s %d", "rows:", 5);
    ck_assert_str_eq(logged, "1 rows: 5");
    ck_assert_ptr_null(hn_alloc(&ctx->mem, 100000)); /* the budget counts all that is live */
    hone_request_stop(ctx);
    ck_assert_int_eq(atomic_load(&ctx->stop), 1);
    hone_context_destroy(ctx);
    hone_context_destroy(NULL);
    struct hn_fault f;
    hn_fault_init(&f);
    o.alloc = f.mem.alloc;
    ck_assert_int_eq(hone_context_create(&o, &ctx, &err), HONE_E_USAGE);
    ck_assert_ptr_null(ctx);
    ck_assert_str_eq(hone_version(), HN_VERSION);
    ck_assert_str_eq(hone_status_name(HONE_E_DATA), "HONE_E_DATA");
    ck_assert(hone_status_text((hone_status)-12345)[0]);
}
END_TEST

HN_TEST_MAIN("result", tcase_add_test(tc, tree_json_and_paths);
             tcase_add_test(tc, figures_are_its_numbers_under_some_keys);
             tcase_add_test(tc, a_failing_writer_is_an_error);
             tcase_add_test(tc, no_indent_below_none);
             tcase_add_test(tc, every_allocation_may_fail);
             tcase_add_test(tc, contexts_take_options);)
