/* SPDX-License-Identifier: MIT
 *
 * Replacing files: old or new, complete, whatever fails or ends the process; permissions; leftovers; rivals. */
#include "ops/base/status.h"
#include "tests/base/scratch.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <sys/wait.h>

enum { NEW_SIZE = 200000 };
static char new_text[NEW_SIZE + 1];
static struct hn_mem mem;
static hone_error err;

static void setup(void)
{
    scratch_begin();
    hn_mem_init(&mem, 0);
    for (int i = 0; i < NEW_SIZE; i++) new_text[i] = (char)('a' + i % 26);
}

static void teardown(void)
{
    ck_assert_uint_eq(mem.used, 0);
    scratch_end();
}

static int content_is(const char *name, const char *text)
{
    char *p = scratch_read(name, NULL);
    int same = p ? strcmp(p, text) == 0 : text == NULL;
    free(p);
    return same;
}

/* In pieces of many sizes, with a look at the temporary before the commit. */
static hone_status write_new(const struct hn_io *io, struct hn_mem *m, const char *path,
                             hone_error *e)
{
    struct hn_atomic a;
    HN_TRY(hn_atomic_begin(&a, io, m, path, e));
    hone_status st = HONE_OK;
    for (size_t i = 0, n = 1; i < NEW_SIZE && st == HONE_OK; i += n, n = n * 3 + 1) {
        if (n > NEW_SIZE - i) n = NEW_SIZE - i;
        st = a.sink.write(&a.sink, new_text + i, n, e);
    }
    if (st == HONE_OK) st = hn_atomic_prepare(&a, e);
    if (st == HONE_OK) {
        struct hn_file f;
        st = hn_file_open(&f, io, m, a.tmp_path, 0, e);
        if (st == HONE_OK) ck_assert_uint_eq(f.n, NEW_SIZE);
        if (st == HONE_OK) ck_assert_mem_eq(f.p, new_text, NEW_SIZE);
        hn_file_close(&f);
    }
    if (st == HONE_OK) st = hn_atomic_commit(&a, e);
    hn_atomic_abort(&a);
    return st;
}

START_TEST(creates_and_replaces)
{
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("a"), "one", 3, &err), err);
    ck_assert(content_is("a", "one"));
    HN_OK(write_new(&hn_io_system, &mem, scratch("a"), &err), err);
    ck_assert(content_is("a", new_text));
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("a"), NULL, 0, &err), err);
    ck_assert(content_is("a", ""));
    ck_assert_int_eq(scratch_count(), 1);
    ck_assert_int_eq(chdir(scratch_dir), 0); /* a path without a folder */
    HN_OK(hn_write_file(&hn_io_system, &mem, "b", "two", 3, &err), err);
    ck_assert(content_is("b", "two"));
}
END_TEST

START_TEST(abort_leaves_the_old_file)
{
    struct hn_atomic a;
    scratch_write("a", "old", 3);
    HN_OK(hn_atomic_begin(&a, &hn_io_system, &mem, scratch("a"), &err), err);
    HN_OK(hn_sink_str(&a.sink, "new", &err), err);
    ck_assert(content_is("a", "old"));
    hn_atomic_abort(&a);
    hn_atomic_abort(&a);
    ck_assert(content_is("a", "old"));
    ck_assert_int_eq(scratch_count(), 1);
    a = (struct hn_atomic){ 0 };
    ck_assert_int_eq(hn_atomic_commit(&a, &err), HONE_E_INTERNAL);
    hn_atomic_abort(&a);
}
END_TEST

static unsigned mode_of(const char *name)
{
    struct stat st;
    ck_assert_int_eq(stat(scratch(name), &st), 0);
    return st.st_mode & 07777;
}

START_TEST(permissions_are_kept)
{
    static const unsigned modes[] = { 0600, 0640, 0666, 0444, 0755 };
    mode_t old = umask(027);
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("new"), "x", 1, &err), err);
    ck_assert_uint_eq(mode_of("new"), 0640);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(chmod(scratch("new"), modes[i]), 0);
        HN_OK(hn_write_file(&hn_io_system, &mem, scratch("new"), "x", 1, &err), err);
        ck_assert_uint_eq(mode_of("new"), modes[i]);
    }
    ck_assert_uint_eq(umask(old), 027);
}
END_TEST

START_TEST(only_files_are_replaced)
{
    mkdir(scratch("dir"), 0700);
    mkfifo(scratch("fifo"), 0600);
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("dir"), "x", 1, &err), HONE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "found a folder"));
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("fifo"), "x", 1, &err), HONE_E_IO);
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, "/dev/null", "x", 1, &err), HONE_E_IO);
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("none/x"), "x", 1, &err),
                     HONE_E_IO);
    ck_assert_int_eq(scratch_count(), 2);
    char name[256], path[600];
    memset(name, 'n', 255);
    name[255] = 0;
    snprintf(path, sizeof path, "%s", scratch(name)); /* the longest name: the temporary's is cut */
    HN_OK(hn_write_file(&hn_io_system, &mem, path, "x", 1, &err), err);
}
END_TEST

static int is_link(const char *name)
{
    struct stat st;
    return lstat(scratch(name), &st) == 0 && S_ISLNK(st.st_mode);
}

START_TEST(links_are_followed)
{
    char path[600];
    mkdir(scratch("store"), 0700);
    scratch_write("store/real", "old", 3);
    ck_assert_int_eq(chmod(scratch("store/real"), 0640), 0);
    ck_assert_int_eq(symlink("store/real", scratch("near")), 0); /* from the link's folder */
    ck_assert_int_eq(symlink("../near", scratch("store/chain")), 0);
    ck_assert_int_eq(symlink("store/made", scratch("dangling")), 0);
    ck_assert_int_eq(symlink("none/made", scratch("nowhere")), 0);
    ck_assert_int_eq(symlink("loop", scratch("loop")), 0);
    snprintf(path, sizeof path, "%s", scratch("store/real"));
    ck_assert_int_eq(symlink(path, scratch("far")), 0);
    static const char *const names[] = { "near", "store/chain", "far" };
    for (int i = 0; i < 3; i++) {
        HN_OK(hn_write_file(&hn_io_system, &mem, scratch("store/real"), "old", 3, &err), err);
        HN_OK(write_new(&hn_io_system, &mem, scratch(names[i]), &err), err);
        ck_assert_msg(is_link(names[i]) && content_is("store/real", new_text), "%s", names[i]);
        ck_assert_uint_eq(mode_of("store/real"), 0640);
    }
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("dangling"), "x", 1, &err), err);
    ck_assert(is_link("dangling") && content_is("store/made", "x"));
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("nowhere"), "x", 1, &err),
                     HONE_E_IO);
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("loop"), "x", 1, &err), HONE_E_IO);
    ck_assert(is_link("nowhere") && is_link("loop"));
    ck_assert_int_eq(chmod(scratch("store/real"), 0444), 0);
    ck_assert_int_eq(hn_write_file(&hn_io_system, &mem, scratch("near"), "x", 1, &err), HONE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "write-protected"));
    ck_assert_ptr_nonnull(strstr(err.hint, "dvc unprotect"));
    ck_assert(is_link("near") && content_is("store/real", new_text));
}
END_TEST

START_TEST(a_link_may_be_replaced_itself)
{
    struct hn_atomic a;
    scratch_write("real", "old", 3);
    ck_assert_int_eq(symlink("real", scratch("link")), 0);
    HN_OK(hn_atomic_begin_here(&a, &hn_io_system, &mem, scratch("link"), &err), err);
    HN_OK(hn_sink_str(&a.sink, "new", &err), err);
    HN_OK(hn_atomic_commit(&a, &err), err);
    ck_assert(!is_link("link") && content_is("link", "new") && content_is("real", "old"));
}
END_TEST

START_TEST(a_followed_link_may_fail_anywhere)
{
    mkdir(scratch("store"), 0700);
    ck_assert_int_eq(symlink("store/real", scratch("link")), 0);
    for (int memory = 0; memory < 2; memory++)
        for (long n = 1;; n++) {
            struct hn_fault f;
            struct hn_fault_point *p = memory ? &f.mem_fail : &f.io_fail;
            scratch_write("store/real", "old", 3);
            hn_fault_init(&f);
            p->at = n;
            hone_status st = write_new(&f.io, &f.mem, scratch("link"), &err);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            ck_assert(is_link("link"));
            ck_assert(content_is("store/real", "old") || content_is("store/real", new_text));
            if (!p->hits) {
                ck_assert_int_eq(st, HONE_OK);
                ck_assert_int_gt(n, 5);
                break;
            }
            if (memory) ck_assert_int_eq(st, HONE_E_NOMEM);
        }
}
END_TEST

START_TEST(leftovers_do_not_pile_up)
{
    scratch_write(".a.hone-tmp", "half of something", 17);
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("a"), "x", 1, &err), err);
    ck_assert_int_eq(scratch_count(), 1);
    ck_assert_int_eq(symlink("/etc/passwd", scratch(".a.hone-tmp")), 0); /* removed, not followed */
    HN_OK(hn_write_file(&hn_io_system, &mem, scratch("a"), "y", 1, &err), err);
    ck_assert(content_is("a", "y"));
    ck_assert_int_eq(scratch_count(), 1);
}
END_TEST

START_TEST(a_rival_is_noticed)
{
    struct hn_atomic a, b;
    HN_OK(hn_atomic_begin(&a, &hn_io_system, &mem, scratch("a"), &err), err);
    HN_OK(hn_sink_str(&a.sink, "first", &err), err);
    if (_i) HN_OK(hn_atomic_prepare(&a, &err), err);
    HN_OK(hn_atomic_begin(&b, &hn_io_system, &mem, scratch("a"), &err), err);
    HN_OK(hn_sink_str(&b.sink, "second", &err), err);
    ck_assert_int_eq(hn_atomic_commit(&a, &err), HONE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "somebody else"));
    hn_atomic_abort(&a);
    HN_OK(hn_atomic_commit(&b, &err), err);
    ck_assert(content_is("a", "second"));
    ck_assert_int_eq(scratch_count(), 1);
}
END_TEST

START_TEST(a_failed_write_is_never_committed)
{
    struct hn_fault f;
    struct hn_atomic a;
    scratch_write("a", "old", 3);
    hn_fault_init(&f);
    HN_OK(hn_atomic_begin(&a, &f.io, &f.mem, scratch("a"), &err), err);
    f.io_fail.at = f.io_fail.calls + 1;
    f.io_fail.code = ENOSPC;
    ck_assert_int_eq(a.sink.write(&a.sink, new_text, NEW_SIZE, &err), HONE_E_IO);
    ck_assert_str_eq(err.text, "cannot write: No space left on device");
    ck_assert_ptr_nonnull(strstr(err.hint, "free some space"));
    ck_assert_int_eq(hn_atomic_commit(&a, &err), HONE_E_IO); /* the caller forgot to look */
    hn_atomic_abort(&a);
    ck_assert(content_is("a", "old"));
    ck_assert_int_eq(hn_fault_leaks(&f), 0);
}
END_TEST

START_TEST(every_call_may_fail)
{
    struct hn_fault f;
    for (int mode = 0; mode < 4; mode++)
        for (long n = 1;; n++) {
            scratch_write("a", "old", 3);
            ck_assert_int_eq(chmod(scratch("a"), 0664),
                             0); /* the umask takes a bit: chmod is called */
            hn_fault_init(&f);
            struct hn_fault_point *point = mode & 1 ? &f.io_fail : &f.mem_fail;
            point->at = n;
            point->persistent = mode >> 1;
            point->code = n % 2 ? ENOSPC : EIO;
            f.interrupt = 1;
            f.short_writes = 30000;
            hone_status st = write_new(&f.io, &f.mem, scratch("a"), &err);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            int is_new = content_is("a", new_text);
            ck_assert(is_new || content_is("a", "old"));
            if (st == HONE_OK) ck_assert(is_new);
            if (st != HONE_OK && is_new) ck_assert_ptr_nonnull(strstr(err.text, "was replaced"));
            if (!point->persistent || !(mode & 1)) ck_assert_int_eq(scratch_count(), 1);
            unlink(scratch(".a.hone-tmp"));
            if (!point->hits) {
                ck_assert_int_eq(st, HONE_OK);
                ck_assert_int_gt(n, mode & 1 ? 15 : 4);
                break;
            }
            if (mode & 1) /* unmap after the look at the temporary may fail in peace */
                ck_assert(st == HONE_E_IO || (st == HONE_OK && !point->persistent));
            else
                ck_assert_int_eq(st, HONE_E_NOMEM);
        }
}
END_TEST

START_TEST(the_process_may_end_anywhere)
{
    for (long n = 1, more = 1; more; n++) {
        scratch_write("a", "old", 3);
        pid_t pid = fork();
        if (pid == 0) {
            static struct hn_fault f;
            hn_fault_init(&f);
            f.exit_after = n;
            f.exit_code = 9;
            _exit(write_new(&f.io, &f.mem, scratch("a"), &err) == HONE_OK ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
        more = WEXITSTATUS(status) == 9;
        ck_assert(content_is("a", "old") || content_is("a", new_text));
        ck_assert_int_le(scratch_count(), 2); /* one leftover at most */
        if (!more) ck_assert_int_gt(n, 10);
    }
}
END_TEST

HN_TEST_MAIN(
    "atomic", tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, creates_and_replaces); tcase_add_test(tc, abort_leaves_the_old_file);
    tcase_add_test(tc, permissions_are_kept); tcase_add_test(tc, only_files_are_replaced);
    tcase_add_test(tc, links_are_followed); tcase_add_test(tc, a_link_may_be_replaced_itself);
    tcase_add_test(tc, a_followed_link_may_fail_anywhere);
    tcase_add_test(tc, leftovers_do_not_pile_up); tcase_add_loop_test(tc, a_rival_is_noticed, 0, 2);
    tcase_add_test(tc, a_failed_write_is_never_committed); tcase_add_test(tc, every_call_may_fail);
    tcase_add_test(tc, the_process_may_end_anywhere);)
