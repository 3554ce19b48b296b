/* SPDX-License-Identifier: MIT
 *
 * Folds against scikit-learn's, as recorded; then their promises: every position judged once, bad requests refused, no leak
 * when memory runs out. */
#include "plugin/tune/folds.h"
#include "tests/data/folds_refs.h"
#include "tests/harness.h"

enum { N_REFS = sizeof fold_refs / sizeof *fold_refs, MOST = 2000 };

static struct hn_fold_options options_of(const struct fold_ref *r, int32_t *classes,
                                         uint32_t *groups)
{
    struct hn_fold_options o = {
        .n = r->n, .k = r->k, .shuffle = r->seed >= 0, .repeat = r->repeat
    };
    if (o.shuffle) o.seed = (uint32_t)r->seed;
    const int stratified = r->kind == STRATIFIED || r->kind == BOTH,
              grouped = r->kind == GROUPED || r->kind == BOTH;
    const char *group = r->kind == BOTH ? r->labels + r->n : r->labels;
    for (int i = 0; stratified && i < r->n; i++) classes[i] = r->labels[i] - '0';
    for (int i = 0; grouped && i < r->n; i++) {
        groups[i] = (uint32_t)(group[i] - '0');
        if (o.n_groups <= groups[i]) o.n_groups = groups[i] + 1;
    }
    if (stratified) o.classes = classes;
    if (grouped) o.groups = groups;
    return o;
}

START_TEST(as_recorded)
{
    static int32_t classes[MOST];
    static uint32_t groups[MOST], rows[MOST];
    struct hn_mem mem;
    hone_error err;
    hn_mem_init(&mem, 0);
    for (int c = 0; c < N_REFS; c++) {
        const struct fold_ref *r = &fold_refs[c];
        struct hn_fold_options o = options_of(r, classes, groups);
        struct hn_folds f;
        HN_OK(hn_folds_make(&f, &mem, &o, &err), err);
        ck_assert_uint_eq(strlen(r->folds), (size_t)r->n);
        int64_t judged = 0;
        for (int i = 0; i < r->n; i++)
            ck_assert_msg(f.fold[i] == r->folds[i] - '0',
                          "case %d (n %d, k %d, seed %lld): position %d is in fold %d, recorded %c",
                          c, r->n, r->k, r->seed, i, f.fold[i], r->folds[i]);
        for (int k = 0; k < r->k; k++) {
            int64_t n = hn_fold_rows(&f, k, 1, rows), rest;
            ck_assert_int_eq(n, f.size[k]);
            for (int64_t i = 1; i < n; i++) ck_assert_uint_lt(rows[i - 1], rows[i]);
            judged += n;
            rest = hn_fold_rows(&f, k, 0, rows);
            ck_assert_int_eq(n + rest, r->n);
        }
        ck_assert_int_eq(judged, r->n);
        hn_folds_free(&f);
    }
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

START_TEST(refused)
{
    int32_t classes[6] = { 0, 0, 1, 1, 2, 2 };
    uint32_t groups[6] = { 0, 0, 0, 1, 1, 1 };
    struct hn_mem mem;
    hone_error err;
    struct hn_folds f;
    hn_mem_init(&mem, 0);
    struct hn_fold_options o = { .n = 6, .k = 1 };
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_USAGE);
    o.k = 7;
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "7 folds of 6 rows"));
    o = (struct hn_fold_options){ .n = 6, .k = 3, .classes = classes };
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "more than 2 rows"));
    classes[4] = 1;
    HN_OK(hn_folds_make(&f, &mem, &o, &err), err);
    ck_assert_int_eq(f.small_classes, 1);
    hn_folds_free(&f);
    o = (struct hn_fold_options){ .n = 6, .k = 3, .groups = groups, .n_groups = 2 };
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_DATA);
    o = (struct hn_fold_options){ .n = 6, .k = 3, .classes = classes, .groups = groups };
    o.n_groups = 2;
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "3 folds of 2 groups"));
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

/* A group whose class is nowhere yet goes by rounding alone: here scikit-learn leaves one fold empty. */
START_TEST(a_fold_of_nothing)
{
    static const char label[] = "222222221111114444443333333330000",
                      group[] = "000000001111112222223333333334445";
    enum { N = sizeof label - 1 };
    int32_t classes[N];
    uint32_t groups[N];
    struct hn_mem mem;
    hone_error err;
    struct hn_folds f;
    hn_mem_init(&mem, 0);
    for (int i = 0; i < N; i++) classes[i] = label[i] - '0', groups[i] = (uint32_t)(group[i] - '0');
    struct hn_fold_options o = {
        .n = N, .k = 6, .classes = classes, .groups = groups, .n_groups = 6
    };
    ck_assert_int_eq(hn_folds_make(&f, &mem, &o, &err), HONE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "fold 4 of 6 would be empty"));
    o.k = 5;
    HN_OK(hn_folds_make(&f, &mem, &o, &err), err);
    ck_assert_int_eq(f.small_classes, 1); /* a class that is in one group is in one fold */
    hn_folds_free(&f);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}
END_TEST

/* An allocator whose n-th call fails. */
struct faulty {
    int left;
};
static void *fail_alloc(void *user, size_t size)
{
    struct faulty *f = user;
    return f->left-- > 0 ? malloc(size) : NULL;
}
static void fail_release(void *user, void *p)
{
    (void)user;
    free(p);
}

START_TEST(memory_runs_out)
{
    static int32_t classes[MOST];
    static uint32_t groups[MOST];
    for (int c = 0; c < N_REFS; c++) {
        struct hn_fold_options o = options_of(&fold_refs[c], classes, groups);
        hone_status st = HONE_E_NOMEM;
        for (int n = 0; st == HONE_E_NOMEM && n < 60; n++) {
            struct faulty faulty = { n };
            struct hn_mem mem;
            struct hn_folds f;
            hone_error err;
            hn_mem_init(&mem, 0);
            mem.alloc = fail_alloc, mem.release = fail_release, mem.user = &faulty;
            st = hn_folds_make(&f, &mem, &o, &err);
            ck_assert(st == HONE_OK || st == HONE_E_NOMEM);
            if (st == HONE_OK) hn_folds_free(&f);
            ck_assert_uint_eq(atomic_load(&mem.used), 0);
        }
        ck_assert_int_eq(st, HONE_OK);
    }
}
END_TEST

HN_TEST_MAIN("folds", tcase_add_test(tc, as_recorded); tcase_add_test(tc, refused);
             tcase_add_test(tc, a_fold_of_nothing); tcase_add_test(tc, memory_runs_out);)
