/* SPDX-License-Identifier: MIT
 *
 * hone_study_export when memory or the disk ends: an error, no leak, and the file that was there before. What Optuna makes of
 * the files is in tests/interop. */
#include "ops/base/status.h"
#include "plugin/hone.h"
#include "plugin/internal.h"
#include "tests/each_allocation.h"
#include <sys/stat.h>

static char folder[64], study[100], file[100];
static hone_error err;

static hone_status ask_twice(hone_context *ctx)
{
    hone_params *p;
    hone_study *s;
    hone_result *r;
    double v;
    HN_TRY(hone_params_create(ctx, &p, &err));
    HN_TRY(hone_params_set(p, "search", "x=0..1", &err));
    HN_TRY(hone_params_set(p, "search", "c=a,b", &err));
    HN_TRY(hone_study_open(ctx, study, p, &s, &err));
    for (int i = 0; i < 2; i++) {
        HN_TRY(hone_study_ask(s, &r, &err));
        hone_result_destroy(r);
    }
    HN_TRY(hone_study_describe(s, &r, &err));
    ck_assert_str_eq(hone_result_text(r, "trials.1.state"), "running");
    ck_assert(!hone_result_number(r, "trials.0.value", &v) &&
              !hone_result_number(r, "best_trial", &v));
    hone_result_destroy(r);
    HN_TRY(hone_study_tell(s, 0, 0.5, &r, &err));
    hone_result_destroy(r);
    HN_TRY(hone_study_describe(s, &r, &err));
    ck_assert_str_eq(hone_result_text(r, "schema"), "hone.study/1");
    ck_assert_str_eq(hone_result_text(r, "direction"), "minimize");
    ck_assert_str_eq(hone_result_text(r, "trials.0.state"), "done");
    ck_assert(hone_result_number(r, "trials.0.value", &v) && v == 0.5);
    ck_assert(hone_result_number(r, "best_trial", &v) && v == 0);
    ck_assert(hone_result_number(r, "space.x.high", &v) && v == 1);
    ck_assert_ptr_nonnull(hone_result_text(r, "best_params.c"));
    hone_result_destroy(r);
    hone_study_close(s);
    hone_params_destroy(p);
    return HONE_OK;
}

static void setup(void)
{
    hone_context *ctx;
    memcpy(folder, "/tmp/hone-export-XXXXXX", 24);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(study, sizeof study, "%s/s.db", folder);
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(ask_twice(ctx), err);
    hone_context_destroy(ctx);
}

static void teardown(void)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static hone_status job(struct hn_fault *f)
{
    hone_context_opts co = HONE_CONTEXT_OPTS;
    hone_context *ctx;
    hone_params *p = NULL;
    hone_result *r = NULL;
    co.alloc = f->mem.alloc, co.release = f->mem.release, co.alloc_user = f;
    HN_TRY(hn_context_create_with(&co, &f->io, &ctx, &err));
    hone_status st = hone_params_create(ctx, &p, &err);
    if (st == HONE_OK) st = hone_params_set(p, "optuna", file, &err);
    if (st == HONE_OK) st = hone_params_set(p, "force", "true", &err);
    if (st == HONE_OK) st = hone_study_export(ctx, study, p, &r, &err);
    ck_assert((st == HONE_OK) == (r != NULL));
    hone_result_destroy(r);
    hone_params_destroy(p);
    hone_context_destroy(ctx);
    return st;
}

static void write_old(void)
{
    FILE *out = fopen(file, "w");
    ck_assert(out && fputs("old", out) >= 0 && fclose(out) == 0);
}

static int is_old(void)
{
    struct stat st;
    return stat(file, &st) == 0 && st.st_size == 3;
}

static const char *const names[] = { "o.db", "o.log" };

static hone_status job_over_old(struct hn_fault *f)
{
    write_old();
    return job(f);
}

START_TEST(every_allocation_may_fail)
{
    snprintf(file, sizeof file, "%s/%s", folder, names[_i]);
    ck_assert_int_gt(hn_each_allocation_fails(job_over_old), 19);
    ck_assert_int_eq(is_old(), 0);
}
END_TEST

START_TEST(the_disk_may_be_full)
{
    snprintf(file, sizeof file, "%s/%s", folder, names[_i]);
    write_old();
    for (long n = 1;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        f.io_fail.at = n;
        f.io_fail.code = ENOSPC;
        hone_status st = job(&f);
        ck_assert_msg(hn_fault_leaks(&f) == 0, "at %ld", n);
        if (!f.io_fail.hits) {
            ck_assert_msg(st == HONE_OK && n > 5, "%d %s", (int)st, err.text);
            break;
        }
        if (st == HONE_OK) write_old(); /* a look at what is there, or a close */
        ck_assert_msg(st == HONE_OK ||
                          (st == HONE_E_IO && (is_old() || strstr(err.text, "was replaced"))),
                      "at %ld: %d %s", n, (int)st, err.text);
        if (st != HONE_OK && !is_old()) write_old(); /* in place, but its folder is not synced */
    }
    ck_assert_int_eq(is_old(), 0);
}
END_TEST

HN_TEST_MAIN("export", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_loop_test(tc, every_allocation_may_fail, 0, 2);
             tcase_add_loop_test(tc, the_disk_may_be_full, 0, 2);)
