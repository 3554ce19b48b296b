/* SPDX-License-Identifier: MIT
 *
 * A whole small job (load, open data, train two epochs with checkpoints, save; and the same continued from a stop) with
 * every allocation and every I/O call failing, once and for good: an error, nothing leaked, no damaged file. */
#include "plugin/internal.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static char folder[256], model_path[300], data_path[300], out_path[300], run_path[320];
static unsigned char old_out[] = "the file that was there before";

static void write_text(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    fclose(f);
}

static size_t read_all(const char *path, unsigned char *buf, size_t cap)
{
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    size_t n = fread(buf, 1, cap, f);
    fclose(f);
    return n;
}

static void empty_folder(const char *path)
{
    DIR *d = opendir(path);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        char name[1024];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        unlink(name);
    }
    closedir(d);
    rmdir(path);
}

static void set_up(void)
{
    snprintf(folder, sizeof folder, "%s/fault-job-XXXXXX", HN_BINARY_DIR);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(model_path, sizeof model_path, "%s/in.onnx", folder);
    snprintf(data_path, sizeof data_path, "%s/data.csv", folder);
    snprintf(out_path, sizeof out_path, "%s/out.onnx", folder);
    snprintf(run_path, sizeof run_path, "%s/out.onnx.run", folder);
    hone_context *ctx;
    hone_model *m;
    hone_error err;
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_model_new(ctx, "3-5-2 relu batchnorm dropout=0.2", 1, &m, &err), err);
    HN_OK(hone_model_save(m, model_path, NULL, &err), err);
    hone_model_destroy(m);
    hone_context_destroy(ctx);
    FILE *f = fopen(data_path, "w");
    fputs("a,b,c,label\n", f);
    for (int i = 0; i < 40; i++) fprintf(f, "%d,%d,%d,%d\n", i % 7, i % 5, i % 3, i % 2);
    fclose(f);
}

static void tear_down(void)
{
    empty_folder(run_path);
    empty_folder(folder);
}

static hone_status options(hone_params *p, hone_error *err)
{
    static const char *const set[][2] = { { "target", "label" },
                                          { "val-split", "0.25" },
                                          { "epochs", "2" },
                                          { "batch-size", "8" },
                                          { "lr-schedule", "plateau" },
                                          { "scale", "standard" },
                                          { "swa-start", "1" },
                                          { "steps", "10" },
                                          { "early-stop-patience", "5" },
                                          { "force", "true" },
                                          { "threads", "1" } };
    hone_status st = hone_params_set(p, "data", data_path, err);
    for (size_t i = 0; st == HONE_OK && i < sizeof set / sizeof *set; i++)
        st = hone_params_set(p, set[i][0], set[i][1], err);
    if (st == HONE_OK) st = hone_params_set(p, "out", out_path, err);
    return st;
}

static int stop_once(void *user, const hone_progress *p)
{
    if (p->epoch == 1 && p->epoch_end && user) hone_request_stop(user);
    return 0;
}

/* The job. stop: request a stop after the first epoch, then continue from the run folder. */
static hone_status job(struct hn_fault *f, int stop, hone_error *err)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx = NULL;
    hone_model *m = NULL;
    hone_data *d = NULL;
    hone_params *p = NULL;
    hone_result *r = NULL;
    opts.alloc = f->mem.alloc;
    opts.release = f->mem.release;
    opts.alloc_user = f->mem.user;
    hone_status st = hn_context_create_with(&opts, &f->io, &ctx, err);
    if (st != HONE_OK) return st;
    hone_callbacks cb = HONE_CALLBACKS;
    cb.progress = stop_once;
    cb.user = stop ? ctx : NULL;
    st = hone_params_create(ctx, &p, err);
    if (st == HONE_OK) st = options(p, err);
    if (st == HONE_OK) st = hone_model_load(ctx, model_path, &m, err);
    if (st == HONE_OK) st = hone_data_open(ctx, m, p, &d, err);
    if (st == HONE_OK && !stop) {
        st = hone_lr_find(m, d, p, NULL, &r, err);
        hone_result_destroy(r);
        r = NULL;
    }
    if (st == HONE_OK) st = hone_train(m, d, p, &cb, &r, err);
    if (st == HONE_OK && stop) {
        hone_result_destroy(r);
        r = NULL;
        hone_model_destroy(m);
        m = NULL;
        st = hone_resume(ctx, run_path, NULL, NULL, &m, &r, err);
    }
    if (st == HONE_OK) st = hone_model_save(m, out_path, p, err);
    hone_result_destroy(r);
    hone_data_destroy(d);
    hone_model_destroy(m);
    hone_params_destroy(p);
    hone_context_destroy(ctx);
    return st;
}

static unsigned char good[65536], now[65536];
static size_t n_good;

/* What an undisturbed job writes; also how many calls it makes. */
static void undisturbed(int stop, long *allocations, long *calls)
{
    struct hn_fault f;
    hone_error err = { 0 };
    empty_folder(run_path);
    write_text(out_path, old_out, sizeof old_out);
    hn_fault_init(&f);
    HN_OK(job(&f, stop, &err), err);
    ck_assert_int_eq(hn_fault_leaks(&f), 0);
    n_good = read_all(out_path, good, sizeof good);
    ck_assert_uint_gt(n_good, 500);
    *allocations = atomic_load(&f.mem_fail.calls);
    *calls = atomic_load(&f.io_fail.calls);
}

/* After a disturbed job the output is the old file or the complete new one. */
static void check_output(long n, const char *what)
{
    size_t size = read_all(out_path, now, sizeof now);
    int is_old = size == sizeof old_out && !memcmp(now, old_out, size);
    int is_new = size == n_good && !memcmp(now, good, size);
    ck_assert_msg(is_old || is_new,
                  "%s %ld: the output has %zu bytes, neither the old nor the new file", what, n,
                  size);
}

static void disturb(int stop, int io, int persistent)
{
    long allocations, calls;
    undisturbed(stop, &allocations, &calls);
    long last = io ? calls : allocations, silent = 0;
    /* every point where there are few, else an odd stride that visits all residues */
    long stride = last > 4000 ? last / 1500 | 1 : 1;
    for (long n = 1; n <= last; n += stride) {
        struct hn_fault f;
        hone_error err = { 0 };
        empty_folder(run_path);
        write_text(out_path, old_out, sizeof old_out);
        hn_fault_init(&f);
        struct hn_fault_point *point = io ? &f.io_fail : &f.mem_fail;
        point->at = n;
        point->persistent = persistent;
        point->code = ENOSPC;
        hone_status st = job(&f, stop, &err);
        const char *what = io ? "I/O call" : "allocation";
        ck_assert_msg(hn_fault_leaks(&f) == 0, "%s %ld: %ld blocks, files or maps leaked", what, n,
                      hn_fault_leaks(&f));
        if (st == HONE_OK)
            silent++; /* a failure that does not matter: a close after reading, a probe */
        else
            ck_assert_msg(err.code == st && err.text[0], "%s %ld: status %d without a text", what,
                          n, (int)st);
        if (!io && atomic_load(&f.mem_fail.hits) && st != HONE_OK)
            ck_assert_msg(st == HONE_E_NOMEM || st == HONE_E_IO, "allocation %ld failed as %d: %s",
                          n, (int)st, err.text);
        check_output(n, what);
    }
    ck_assert_msg(silent < last / 2 + 20, "%ld of %ld failures went unnoticed", silent, last);
    empty_folder(run_path);
}

START_TEST(allocations_once)
{
    set_up();
    disturb(0, 0, 0);
    tear_down();
}
END_TEST
START_TEST(allocations_for_good)
{
    set_up();
    disturb(0, 0, 1);
    tear_down();
}
END_TEST
START_TEST(io_once)
{
    set_up();
    disturb(0, 1, 0);
    tear_down();
}
END_TEST
START_TEST(io_for_good)
{
    set_up();
    disturb(0, 1, 1);
    tear_down();
}
END_TEST
START_TEST(resume_allocations_once)
{
    set_up();
    disturb(1, 0, 0);
    tear_down();
}
END_TEST
START_TEST(resume_io_once)
{
    set_up();
    disturb(1, 1, 0);
    tear_down();
}
END_TEST
START_TEST(resume_io_for_good)
{
    set_up();
    disturb(1, 1, 1);
    tear_down();
}
END_TEST

HN_TEST_MAIN("fault job", tcase_add_test(tc, allocations_once);
             tcase_add_test(tc, allocations_for_good); tcase_add_test(tc, io_once);
             tcase_add_test(tc, io_for_good); tcase_add_test(tc, resume_allocations_once);
             tcase_add_test(tc, resume_io_once); tcase_add_test(tc, resume_io_for_good);)
