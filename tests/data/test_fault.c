/* SPDX-License-Identifier: MIT
 *
 * Every allocation and every file call of this layer fails once, and from then on: an error, nothing lost, nothing
 * leaked. */
#include "tests/data/parse.h"
#include "tests/fault.h"

#define LIST(...)                                                                                  \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static const char table[] =
    "id,age,\"the \"\"colour\"\"\",size,y\n"
    "1,5,red,L,a\n2,,blue,S,b\n3,7.25,\"gre\"\"en\",L,a\n4,8,red,S,c\n5,9,blue,L,b\n";

/* A table on disk through everything that follows reading. */
static hone_status table_job(const struct hn_io *io, struct hn_mem *m)
{
    static const struct hn_encode encode[] = { { "2", HN_ENCODE_ONEHOT },
                                               { "size", HN_ENCODE_ORDINAL } };
    static const struct hn_unknown_rule rare = { .how = HN_UNKNOWN_AS_RARE, .rows = 2 };
    struct hn_cells *cells = NULL;
    struct hn_csv_options o = { .encode = encode,
                                .n_encode = 2,
                                .keep_missing = 1,
                                .ignore = LIST("id"),
                                .cells = &cells,
                                .unknown = &rare,
                                .n_unknown = 1 };
    const char *const *called;
    int64_t n_called;
    struct hn_csv_part p[2] = { { .name = "x" },
                                { .name = "y", .kind = HN_PART_VALUES, .columns = LIST("y") } };
    struct hn_source s = { .io = io, .mem = m, .path = scratch("t.csv") };
    struct hn_recipe recipe = { 0 }, again = { 0 };
    struct hn_markers markers;
    struct hn_buffer text;
    struct hn_array made = { 0 };
    struct hn_classes classes = { 0 };
    struct hn_array labels = { 0 };
    struct hn_split split = { 0 };
    struct hn_scaler scaler = { 0 };
    uint64_t digest[2];
    uint32_t groups[5], n_groups = 0;
    hn_buffer_init(&text, m);
    hone_status st = hn_csv_read(&s, &o, p, 2, &err);
    struct hn_label_request q = { .y = &p[1].array, .n_classes = 3 };
    if (st == HONE_OK) st = hn_labels_fit(&classes, m, &q, &err);
    if (st == HONE_OK) st = hn_labels_map(&classes, m, &p[1].array, &labels, &err);
    if (st == HONE_OK) st = hn_group_ids(&p[1].array, m, groups, &n_groups, &err);
    struct hn_split_options so = {
        .test = 0.2, .val = 0.3, .classes = labels.data, .groups = groups, .n_groups = n_groups
    };
    if (st == HONE_OK) st = hn_split_rows(&split, m, 5, &so, &err);
    const struct hn_impute_rule mean = { .how = HN_IMPUTE_MEAN };
    struct hn_recipe_fitting f = { .table = &p[0].array, .rules = &mean, .n_rules = 1 };
    if (st == HONE_OK) st = hn_recipe_fit(&recipe, m, &f, &err);
    if (st == HONE_OK) st = hn_cells_begin(cells, &called, &n_called, &err);
    for (int i = 0; i < 5 && st == HONE_OK; i++) st = hn_cells_write_row(cells, &text.sink, &err);
    text.n = 0;
    if (st == HONE_OK) st = hn_recipe_write(&text, "x", &recipe, &err);
    if (st == HONE_OK) st = hn_markers_write(&text, hn_markers_usual(), &err);
    if (st == HONE_OK) st = hn_markers_read(&markers, &recipe.arena, text.p, &err);
    if (st == HONE_OK) st = hn_recipe_read(&again, m, text.p, "x", HN_F32, &err);
    if (st == HONE_OK) st = hn_recipe_suit(&again, &p[0].array, 0, &err);
    if (st == HONE_OK) st = hn_recipe_make(&again, &p[0].array, &made, &err);
    if (st == HONE_OK) st = hn_recipe_apply(&recipe, &p[0].array, &err);
    if (st == HONE_OK)
        st = hn_scaler_fit(&scaler, m, HN_SCALE_STANDARD, &p[0].array, split.train, split.n_train,
                           &err);
    const struct hn_array *all[2] = { &p[0].array, &p[1].array };
    if (st == HONE_OK) st = hn_data_fingerprint(all, 2, m, digest, &err);
    hn_cells_close(cells);
    hn_array_close(&p[0].array);
    hn_array_close(&p[1].array);
    hn_array_close(&labels);
    hn_classes_free(&classes);
    hn_split_free(&split);
    hn_recipe_free(&recipe);
    hn_recipe_free(&again);
    hn_buffer_free(&text);
    hn_array_close(&made);
    hn_scaler_free(&scaler);
    return st;
}

/* NPZ written durably and read again, NPY in Fortran order, gzipped IDX. */
static hone_status binary_job(const struct hn_io *io, struct hn_mem *m)
{
    static const float six[6] = { 1, 2, 3, 4, 5, 6 };
    static const char *const names[] = { "a", "b" };
    struct hn_tensor t = { .dtype = HN_F32, .rank = 2, .dims = { 3, 2 }, .n = 6, .data = six },
                     two[2] = { t, t };
    struct hn_atomic out = { 0 };
    struct hn_array a = { 0 };
    struct hn_source s = { .io = io, .mem = m, .path = scratch("out.npz") };
    hone_status st = hn_atomic_begin(&out, io, m, s.path, &err);
    if (st == HONE_OK) st = hn_npz_write(&out.sink, m, names, two, 2, &err);
    if (st == HONE_OK) st = hn_atomic_commit(&out, &err);
    hn_atomic_abort(&out);
    s.path = scratch("out.npz:b");
    if (st == HONE_OK) st = hn_array_open(&a, &s, "x", NULL, &err);
    hn_array_close(&a);
    s.path = scratch("f.npy");
    if (st == HONE_OK) st = hn_array_open(&a, &s, "x", NULL, &err);
    hn_array_close(&a);
    s.path = scratch("labels.gz");
    if (st == HONE_OK) st = hn_array_open(&a, &s, "y", NULL, &err);
    hn_array_close(&a);
    int64_t number = 1;
    struct hn_classes classes = { 0 };
    if (st == HONE_OK) st = hn_classes_from_i64(&classes, m, &number, 1, &err);
    hn_classes_free(&classes);
    return st;
}

static void write_files(void)
{
    static const char npy[] =
        "\x93NUMPY\1\0\x3B\0{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2)}\n\n\n"
        "\0\1\0\2\0\3\0\4";
    static const unsigned char idx[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 0 };
    scratch_write("t.csv", table, sizeof table - 1);
    scratch_write("f.npy", npy, sizeof npy - 1);
    scratch_write("labels", idx, sizeof idx);
    char command[400];
    snprintf(command, sizeof command, "gzip -n -c '%s' > '%s'", scratch("labels"),
             scratch("labels.gz"));
    ck_assert_int_eq(system(command), 0);
}

/* Loop index: bit 0 the job, bit 1 memory or files, bit 2 once or from then on. */
START_TEST(every_call_fails)
{
    hone_status (*job)(const struct hn_io *, struct hn_mem *) = _i & 1 ? binary_job : table_job;
    long n = 1, forgiven = 0;
    write_files();
    for (;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        struct hn_fault_point *point = _i & 2 ? &f.io_fail : &f.mem_fail;
        point->at = n;
        point->persistent = _i & 4;
        hone_status st = job(&f.io, &f.mem);
        ck_assert_msg(hn_fault_leaks(&f) == 0, "leak at call %ld: %ld", n, hn_fault_leaks(&f));
        if (!point->hits) {
            HN_OK(st, err);
            break;
        }
        if (st == HONE_OK)
            forgiven++; /* closing what was only read */
        else
            ck_assert_msg(st == (_i & 2 ? HONE_E_IO : HONE_E_NOMEM), "call %ld: %d %s", n, st,
                          err.text);
    }
    ck_assert_int_gt(n, 5);
    ck_assert_int_le(forgiven, _i & 2 ? 8 : 0);
}
END_TEST

HN_TEST_MAIN("fault", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_loop_test(tc, every_call_fails, 0, 8);)
