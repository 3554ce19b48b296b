/* SPDX-License-Identifier: MIT
 *
 * Reading: mapped files, pipes, limits, containment below a folder by both ways to open, gzip; every call failing. */
#include "ops/base/status.h"
#include "tests/base/scratch.h"
#include "tests/fault.h"
#include "tests/harness.h"
#include <pthread.h>
#include <signal.h>
#include <zlib.h>

static struct hn_mem mem;
static hone_error err;

static void setup(void)
{
    scratch_begin();
    hn_mem_init(&mem, 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(mem.used, 0);
    scratch_end();
}

static hone_status open_file(struct hn_file *f, const char *path, size_t limit)
{
    return hn_file_open(f, &hn_io_system, &mem, path, limit, &err);
}

START_TEST(regular_files_are_mapped)
{
    struct hn_file f;
    scratch_write("a", "hello", 5);
    HN_OK(open_file(&f, scratch("a"), 0), err);
    ck_assert_uint_eq(f.n, 5);
    ck_assert_mem_eq(f.p, "hello", 5);
    ck_assert_ptr_null(f.mem);
    hn_file_close(&f);
    hn_file_close(&f);
    scratch_write("empty", "", 0);
    HN_OK(open_file(&f, scratch("empty"), 0), err);
    ck_assert_uint_eq(f.n, 0);
    ck_assert_ptr_nonnull(f.p);
    hn_file_close(&f);
}
END_TEST

START_TEST(missing_folder_and_too_large)
{
    struct hn_file f;
    ck_assert_int_eq(open_file(&f, scratch("none"), 0), HONE_E_IO);
    ck_assert_str_eq(err.where, scratch("none"));
    ck_assert_str_eq(err.text, "cannot open: No such file or directory");
    hn_file_close(&f);
    ck_assert_int_eq(open_file(&f, scratch_dir, 0), HONE_E_IO);
    ck_assert_str_eq(err.text, "found a folder, wanted a file");
    scratch_write("a", "hello", 5);
    ck_assert_int_eq(open_file(&f, scratch("a"), 4), HONE_E_BUDGET);
    ck_assert_ptr_nonnull(strstr(err.text, "limit of 4 bytes"));
    HN_OK(open_file(&f, scratch("a"), 5), err);
    hn_file_close(&f);
}
END_TEST

enum { PIPED = 300000 };

static void *feed(void *user)
{
    static char bytes[PIPED];
    for (int i = 0; i < PIPED; i++) bytes[i] = (char)(i * 7);
    int fd = user ? open(user, O_WRONLY) : -1;
    size_t n = 0;
    for (ssize_t k; n < PIPED && (k = write(fd, bytes + n, PIPED - n)) > 0;) n += (size_t)k;
    close(fd);
    return NULL;
}

START_TEST(pipes_are_read)
{
    struct hn_file f;
    pthread_t t;
    char path[600];
    snprintf(path, sizeof path, "%s", scratch("fifo"));
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    pthread_create(&t, NULL, feed, path);
    HN_OK(open_file(&f, path, PIPED), err); /* the limit exactly */
    pthread_join(t, NULL);
    ck_assert_uint_eq(f.n, PIPED);
    for (int i = 0; i < PIPED; i++)
        if (f.p[i] != (unsigned char)(i * 7)) ck_abort_msg("byte %d", i);
    hn_file_close(&f);
    pthread_create(&t, NULL, feed, path);
    ck_assert_int_eq(open_file(&f, path, PIPED - 1), HONE_E_BUDGET);
    pthread_join(t, NULL);
}
END_TEST

START_TEST(dash_is_standard_input)
{
    struct hn_file f;
    scratch_write("a", "from outside", 12);
    int fd = open(scratch("a"), O_RDONLY), saved = dup(0);
    dup2(fd, 0);
    HN_OK(open_file(&f, "-", 0), err);
    ck_assert_mem_eq(f.p, "from outside", 12);
    hn_file_close(&f);
    ck_assert_int_eq(fcntl(0, F_GETFD), 0);            /* still open */
    HN_OK(open_file(&f, "/proc/self/status", 0), err); /* a file that says its size is 0 */
    ck_assert_uint_gt(f.n, 0);
    hn_file_close(&f);
    dup2(saved, 0);
    close(saved);
    close(fd);
}
END_TEST

/* ---- containment ---- */

static int by_kernel(const char *rel, int flags)
{
    return hn_io_system.open_beneath(NULL, scratch("in"), rel, flags, 0600);
}

static int by_walk(const char *rel, int flags)
{
    return hn_io_walk_beneath(scratch("in"), rel, flags, 0600);
}

static void make_traps(void)
{
    mkdir(scratch("in"), 0700);
    mkdir(scratch("in/sub"), 0700);
    scratch_write("in/good", "good", 4);
    scratch_write("in/sub/deep", "deep", 4);
    scratch_write("secret", "secret", 6);
    scratch_write("twin", "twin", 4);
    ck_assert_int_eq(symlink("../secret", scratch("in/link")), 0);
    ck_assert_int_eq(symlink("good", scratch("in/inner-link")), 0);
    ck_assert_int_eq(symlink("..", scratch("in/up")), 0);
    ck_assert_int_eq(symlink("sub", scratch("in/side")), 0);
    ck_assert_int_eq(link(scratch("twin"), scratch("in/twin")), 0);
    ck_assert_int_eq(mkfifo(scratch("in/fifo"), 0600), 0);
}

START_TEST(nothing_leaves_the_folder)
{
    static const struct {
        const char *rel;
        int rc;
    } bad[] = {
        { "", -EXDEV },
        { "/etc/passwd", -EXDEV },
        { "../secret", -EXDEV },
        { "..", -EXDEV },
        { "sub/../../secret", -EXDEV },
        { "sub/../good", -EXDEV },
        { "sub/..", -EXDEV },
        { "link", -ELOOP },
        { "inner-link", -ELOOP },
        { "up/secret", -ELOOP },
        { "side/deep", -ELOOP },
        { "twin", -EMLINK },
        { "sub", -EISDIR },
        { "none", -ENOENT },
        { "none/x", -ENOENT },
        { "good/x", -ENOTDIR },
        { "fifo", -EINVAL },
    };
    make_traps();
    int (*open_it)(const char *, int) = _i ? by_walk : by_kernel;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = open_it(bad[i].rel, O_RDONLY);
        ck_assert_msg(rc == bad[i].rc, "'%s': %d, wanted %d", bad[i].rel, rc, bad[i].rc);
        int w = open_it(bad[i].rel, O_RDWR | O_TRUNC);
        ck_assert_msg(w < 0, "'%s' opened for writing", bad[i].rel);
    }
    static const char *const good[] = { "good",      "./good",     "sub/deep",
                                        "sub//deep", "sub/./deep", ".//good" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char c;
        int fd = open_it(good[i], O_RDONLY);
        ck_assert_msg(fd >= 0, "'%s': %d", good[i], fd);
        ck_assert_int_eq(read(fd, &c, 1), 1);
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(fd);
    }
    char long_name[600];
    memset(long_name, 'x', sizeof long_name);
    long_name[599] = 0;
    ck_assert_int_eq(open_it(long_name, O_RDONLY), -ENAMETOOLONG);
    size_t n;
    char *kept = scratch_read("twin", &n); /* refused before it was truncated */
    ck_assert_str_eq(kept, "twin");
    free(kept);
    int fd = open_it("sub/new", O_WRONLY | O_CREAT | O_EXCL);
    ck_assert_int_ge(fd, 0);
    close(fd);
    fd = open_it("good", O_WRONLY | O_TRUNC);
    ck_assert_int_ge(fd, 0);
    close(fd);
    kept = scratch_read("in/good", &n);
    ck_assert_uint_eq(n, 0);
    free(kept);
}
END_TEST

START_TEST(refusals_are_explained)
{
    struct hn_file f;
    make_traps();
    char dir[600];
    snprintf(dir, sizeof dir, "%s", scratch("in"));
    HN_OK(hn_file_open_beneath(&f, &hn_io_system, &mem, dir, "sub/deep", &err), err);
    ck_assert_mem_eq(f.p, "deep", 4);
    hn_file_close(&f);
    static const struct {
        const char *rel, *why;
    } bad[] = { { "../secret", "leaves the folder" },
                { "link", "symbolic link" },
                { "twin", "hard link" },
                { "fifo", "regular file" },
                { "none", "No such file" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(hn_file_open_beneath(&f, &hn_io_system, &mem, dir, bad[i].rel, &err),
                         HONE_E_IO);
        ck_assert_str_eq(err.where, bad[i].rel);
        ck_assert_msg(strstr(err.text, bad[i].why) != NULL, "%s", err.text);
        hn_file_close(&f);
    }
}
END_TEST

/* ---- gzip ---- */

static size_t gzip(unsigned char *out, size_t cap, const void *p, size_t n)
{
    z_stream z = { 0 };
    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

static hone_status gunzip(struct hn_file *f, const void *p, size_t n, size_t limit)
{
    scratch_write("g", p, n);
    HN_OK(open_file(f, scratch("g"), 0), err);
    return hn_file_gunzip(f, &mem, "g", limit, &err);
}

START_TEST(gzip_members_and_padding)
{
    unsigned char z[4096];
    struct hn_file f;
    size_t n = gzip(z, sizeof z, "first,", 6);
    n += gzip(z + n, sizeof z - n, "second", 6);
    memset(z + n, 0, 100);
    HN_OK(gunzip(&f, z, n + 100, 12), err);
    ck_assert_uint_eq(f.n, 12);
    ck_assert_mem_eq(f.p, "first,second", 12);
    hn_file_close(&f);
    HN_OK(gunzip(&f, "plain", 5, 0), err);
    ck_assert_mem_eq(f.p, "plain", 5);
    hn_file_close(&f);
    HN_OK(gunzip(&f, z, gzip(z, sizeof z, "", 0), 0), err);
    ck_assert_uint_eq(f.n, 0);
    hn_file_close(&f);
    HN_OK(gunzip(&f, "\x1f", 1, 0), err); /* too short to be gzip */
    ck_assert_uint_eq(f.n, 1);
    hn_file_close(&f);
}
END_TEST

START_TEST(gzip_bombs_and_damage)
{
    static unsigned char zeros[4000000], z[20000], w[20000];
    struct hn_file f;
    size_t n = gzip(z, sizeof z, zeros, sizeof zeros);
    ck_assert_int_eq(gunzip(&f, z, n, 1000000), HONE_E_BUDGET);
    ck_assert_uint_eq(f.n, n); /* f is what it was */
    hn_file_close(&f);
    ck_assert_uint_lt(mem.peak, 4000000);
    HN_OK(gunzip(&f, z, n, sizeof zeros), err);
    ck_assert_uint_eq(f.n, sizeof zeros);
    hn_file_close(&f);
    for (size_t cut = 2; cut < n; cut += cut < 30 ? 1 : 397) {
        ck_assert_int_eq(gunzip(&f, z, cut, 0), HONE_E_DATA);
        ck_assert_str_eq(err.text, "the gzip data end early");
        hn_file_close(&f);
    }
    memcpy(w, z, n);
    w[n - 1] ^= 1; /* the length at the end */
    ck_assert_int_eq(gunzip(&f, w, n, 0), HONE_E_DATA);
    hn_file_close(&f);
    memcpy(w, z, n);
    memcpy(w + n, "tail", 4);
    ck_assert_int_eq(gunzip(&f, w, n + 4, 0), HONE_E_DATA);
    hn_file_close(&f);
    for (size_t i = 2; i < 60; i++) { /* flipped bits: any answer but a crash */
        memcpy(w, z, n);
        w[i] ^= (unsigned char)(1 << i % 8);
        (void)!gunzip(&f, w, n, 0);
        hn_file_close(&f);
    }
}
END_TEST

/* ---- failures ---- */

static hone_status read_job(struct hn_fault *fault)
{
    struct hn_file f;
    hone_error e;
    HN_TRY(hn_file_open(&f, &fault->io, &fault->mem, scratch("z.gz"), 0, &e));
    hone_status st = hn_file_gunzip(&f, &fault->mem, "z.gz", 0, &e);
    if (st == HONE_OK) ck_assert_uint_eq(f.n, 100000);
    hn_file_close(&f);
    HN_TRY(st);
    HN_TRY(hn_file_open(&f, &fault->io, &fault->mem, "/proc/self/status", 0, &e));
    hn_file_close(&f);
    HN_TRY(hn_file_open_beneath(&f, &fault->io, &fault->mem, scratch_dir, "z.gz", &e));
    hn_file_close(&f);
    return HONE_OK;
}

START_TEST(every_call_may_fail)
{
    static unsigned char zeros[100000], z[4096];
    scratch_write("z.gz", z, gzip(z, sizeof z, zeros, sizeof zeros));
    struct hn_fault f;
    for (int mode = 0; mode < 4; mode++) {
        int forgiven = 0;
        for (long n = 1;; n++) {
            hn_fault_init(&f);
            struct hn_fault_point *point = mode & 1 ? &f.io_fail : &f.mem_fail;
            point->at = n;
            point->persistent = mode >> 1;
            f.interrupt = 1;
            f.short_reads = 100;
            hone_status st = read_job(&f);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            if (!point->hits) {
                ck_assert_int_eq(st, HONE_OK);
                ck_assert_int_gt(n, 3);
                break;
            }
            if (st == HONE_OK)
                forgiven++;
            else
                ck_assert_int_eq(st, mode & 1 ? HONE_E_IO : HONE_E_NOMEM);
        }
        ck_assert_int_le(forgiven, mode & 1 ? 2 : 0); /* two unmaps: failing, they hurt nobody */
    }
}
END_TEST

HN_TEST_MAIN("file", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, regular_files_are_mapped);
             tcase_add_test(tc, missing_folder_and_too_large); tcase_add_test(tc, pipes_are_read);
             tcase_add_test(tc, dash_is_standard_input);
             tcase_add_loop_test(tc, nothing_leaves_the_folder, 0, 2);
             tcase_add_test(tc, refusals_are_explained);
             tcase_add_test(tc, gzip_members_and_padding);
             tcase_add_test(tc, gzip_bombs_and_damage); tcase_add_test(tc, every_call_may_fail);)
