/* SPDX-License-Identifier: MIT
 *
 * Recipes: how the columns of a table become numbers, fitted on training rows, written into a model and applied to other tables. */
#include "tests/data/parse.h"

#include <math.h>

#define LIST(...)                                                                                  \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static struct hn_csv_part part;

static struct hn_array *raw(const char *text, const struct hn_recipe *like)
{
    static const struct hn_encode encode[] = { { "colour", HN_ENCODE_ONEHOT },
                                               { "size", HN_ENCODE_ORDINAL } };
    struct hn_csv_options o = { .encode = encode, .n_encode = 2, .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x", .like = like };
    HN_OK(csv(text, &o, &part, 1), err);
    return &part.array;
}

static const char train[] = "age,colour,size\n1,red,L\n2,blue,\n,green,S\n9,,S\n2,blue,S\n";

static hone_status fit_rules(struct hn_recipe *r, const struct hn_array *a,
                             const struct hn_impute_rule *rules, size_t n)
{
    static const uint32_t rows[4] = { 0, 1, 2, 3 };
    struct hn_recipe_fitting f = {
        .table = a, .rows = rows, .n_rows = 4, .rules = rules, .n_rules = n
    };
    return hn_recipe_fit(r, &mem, &f, &err);
}

static hone_status fit(struct hn_recipe *r, const struct hn_array *a, enum hn_impute how,
                       const char *value)
{
    const struct hn_impute_rule rule = { .how = how, .value = value };
    return fit_rules(r, a, &rule, 1);
}

static void row_is(const struct hn_array *a, int64_t row, float age, float blue, float green,
                   float red, float size)
{
    ck_assert_int_eq(a->per_row, 5);
    float wanted[5] = { age, blue, green, red, size };
    for (int j = 0; j < 5; j++)
        ck_assert_msg(f32(a, row, j) == wanted[j], "row %d, %d: %g, wanted %g", (int)row, j,
                      (double)f32(a, row, j), (double)wanted[j]);
}

START_TEST(recipes)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    ck_assert_int_eq(a->n_missing, 3);
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    ck_assert_int_eq(r.width, 5);
    ck_assert(r.columns[1].first == 1 && r.columns[1].width == 3 && r.columns[2].first == 4);
    ck_assert(r.columns[0].fill == 4); /* of 1, 2, 9: row 4 is no training row */
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    ck_assert_str_eq(a->columns[1].name, "colour=blue");
    ck_assert_str_eq(a->columns[4].name, "size");
    ck_assert_int_eq(a->dims[1], 5);
    row_is(a, 0, 1, 0, 0, 1, 0); /* sizes: L 0, S 1 */
    row_is(a, 1, 2, 1, 0, 0, 1);
    row_is(a, 2, 4, 0, 1, 0, 1);
    row_is(a, 3, 9, 1, 0, 0, 1); /* blue, green, red occur once each: the first */
    hn_array_close(a);
    /* another file, columns in another order, by the same map */
    a = raw("size,extra,colour,age\nS,7,red,\nL,8,,3\n", &r);
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    row_is(a, 0, 4, 0, 0, 1, 1);
    row_is(a, 1, 3, 1, 0, 0, 0);
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x", .like = &r };
    REFUSED(csv("age,colour,size\n1,mauve,L\n", &o, &part, 1), HONE_E_DATA,
            "row 2, column 'colour': found 'mauve'", "3 categories of the training table");
    REFUSED(csv("age,color,size\n1,red,L\n", &o, &part, 1), HONE_E_DATA, "no column 'colour'",
            "did you mean 'color'?");
    hn_recipe_free(&r);
}
END_TEST

START_TEST(fills)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit(&r, a, HN_IMPUTE_MEDIAN, NULL), err);
    ck_assert(r.columns[0].fill == 2);
    hn_recipe_free(&r);
    HN_OK(fit(&r, a, HN_IMPUTE_MOST, NULL), err);
    ck_assert(r.columns[0].fill == 1 && r.columns[2].fill == 1);
    hn_recipe_free(&r);
    REFUSED(fit(&r, a, HN_IMPUTE_VALUE, "-1"), HONE_E_USAGE,
            "--impute '-1' is not among the 3 categories", "'colour'");
    REFUSED(fit(&r, a, HN_IMPUTE_VALUE, "red"), HONE_E_USAGE,
            "--impute 'red': column 'age' wants a number");
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,\n2,\n3,\n4,\n5,6\n", &o, &part, 1), err);
    REFUSED(fit(&r, &part.array, HN_IMPUTE_MEDIAN, NULL), HONE_E_DATA,
            "column 'b' has no value among 4 training rows", "--ignore b");
    HN_OK(fit(&r, &part.array, HN_IMPUTE_VALUE, "-1"), err);
    HN_OK(hn_recipe_apply(&r, &part.array, &err), err);
    ck_assert(f32(&part.array, 0, 1) == -1 && f32(&part.array, 4, 1) == 6);
    hn_array_close(&part.array);
    hn_recipe_free(&r);
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    HN_OK(fit_rules(&r, &part.array, NULL, 0), err);
    ck_assert_int_eq(r.any, 0);
    hn_array_close(&part.array);
    hn_recipe_free(&r);
    a = raw(train, NULL); /* encoded, but nothing said about missing cells */
    HN_OK(fit_rules(&r, a, NULL, 0), err);
    REFUSED(hn_recipe_apply(&r, a, &err), HONE_E_DATA, "row 3, column 'size': found a missing cell",
            "--impute size=missing|most|CATEGORY");
    hn_array_close(a);
    part = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    REFUSED(hn_recipe_apply(&r, &part.array, &err), HONE_E_DATA, "found 2 columns", "wanted the 3");
    hn_array_close(&part.array);
    hn_recipe_free(&r);
}
END_TEST

/* A column's own rule, else the last for all; what has neither keeps its gaps, which are errors. */
START_TEST(fills_by_column)
{
    const struct hn_impute_rule some[] = { { .how = HN_IMPUTE_VALUE, .value = "-1" },
                                           { "age", HN_IMPUTE_MEAN, NULL },
                                           { .how = HN_IMPUTE_MOST },
                                           { "colour", HN_IMPUTE_VALUE, "red" } },
                                wrong[] = { { "age", HN_IMPUTE_VALUE, "red" },
                                            { "colour", HN_IMPUTE_MEDIAN, NULL },
                                            { "size", HN_IMPUTE_VALUE, "XL" } };
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit_rules(&r, a, some, 4), err);
    ck_assert(r.columns[0].fill == 4 && r.columns[1].fill == 2 && r.columns[2].fill == 1);
    hn_recipe_free(&r);
    HN_OK(fit_rules(&r, a, some + 3, 1), err);
    ck_assert(isnan(r.columns[0].fill) && r.columns[1].fill == 2 && isnan(r.columns[2].fill));
    REFUSED(hn_recipe_apply(&r, a, &err), HONE_E_DATA, "row 3, column 'size'");
    hn_recipe_free(&r);
    REFUSED(fit_rules(&r, a, wrong, 1), HONE_E_USAGE, "'red': column 'age' wants a number");
    REFUSED(fit_rules(&r, a, wrong + 1, 1), HONE_E_USAGE, "'colour': the column is encoded",
            "one of its 3 categories, not median");
    REFUSED(fit_rules(&r, a, wrong + 2, 1), HONE_E_USAGE, "'XL' is not among the 2 categories");
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1 };
    part = (struct hn_csv_part){ .name = "x" }; /* asked for by name, it must suit in any case */
    HN_OK(csv("age,b\n1,2\n2,3\n3,4\n4,5\n", &o, &part, 1), err);
    REFUSED(fit_rules(&r, &part.array, wrong, 1), HONE_E_USAGE, "column 'age' wants a number");
    hn_array_close(&part.array);
    o.filled = (const char *const[]){ "c" }, o.n_filled = 1;
    part = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv("a,b\n1,2\n", &o, &part, 1), HONE_E_DATA, "no column 'c'");
    struct hn_csv_part two[2] = { { .name = "x" },
                                  { .kind = HN_PART_VALUES, .columns = LIST("b") } };
    o.filled = (const char *const[]){ "1" };
    REFUSED(csv("a,b\n1,2\n", &o, two, 2), HONE_E_USAGE, "cannot impute column 'b'",
            "not a feature");
}
END_TEST

/* A category of missing cells stands behind the others, whose numbers it leaves alone; rare ones are one, and what is unknown is
 * what the rule makes of it. */
START_TEST(own_and_unknown_categories)
{
    static const struct hn_encode encode[] = { { "town", HN_ENCODE_ORDINAL } };
    static const struct hn_impute_rule own = { "town", HN_IMPUTE_OWN, NULL };
    static const char rows[] = "town\n10\n9\n\n9\n10\n7\n(infrequent)\n(infrequent)\n",
                      more[] = "town\n7\n8\n\n10\n";
    static const struct {
        struct hn_unknown_rule rule;
        float wanted[4]; /* of 7, 8, a gap and 10 */
    } cases[] = { { { .how = HN_UNKNOWN_AS_NONE }, { 2, -1, 4, 1 } },
                  { { "town", HN_UNKNOWN_AS_VALUE, "9", 0 }, { 2, 3, 4, 1 } },
                  { { "0", HN_UNKNOWN_AS_VALUE, "-2.5", 0 }, { 2, -2.5f, 4, 1 } },
                  { { .how = HN_UNKNOWN_AS_MISSING }, { 2, 4, 4, 1 } },
                  { { .how = HN_UNKNOWN_AS_RARE, .rows = 2 }, { 2, 2, 3, 0 } } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hn_csv_options o = { .header = HN_HEADER_YES,
                                    .encode = encode,
                                    .n_encode = 1,
                                    .keep_missing = 1,
                                    .unknown = &cases[i].rule,
                                    .n_unknown = 1 };
        struct hn_recipe r;
        part = (struct hn_csv_part){ .name = "x" };
        HN_OK(csv(rows, &o, &part, 1), err);
        HN_OK(fit_rules(&r, &part.array, &own, 1), err);
        ck_assert_str_eq(r.columns[0].raw.category[r.columns[0].raw.n_category - 1], "");
        ck_assert(!r.columns[0].untaught);
        hn_array_close(&part.array);
        part = (struct hn_csv_part){ .name = "x", .like = &r };
        o = (struct hn_csv_options){ .header = HN_HEADER_YES, .keep_missing = 1 };
        HN_OK(csv(more, &o, &part, 1), err);
        HN_OK(hn_recipe_apply(&r, &part.array, &err), err);
        for (int k = 0; k < 4; k++)
            ck_assert_msg(f32(&part.array, k, 0) == cases[i].wanted[k], "%d, row %d: %g", (int)i, k,
                          (double)f32(&part.array, k, 0));
        hn_array_close(&part.array);
        hn_recipe_free(&r);
    }
}
END_TEST

/* Other names than the recipe's: by order where all are other and as many are left; columns that are named, by name. */
START_TEST(other_columns)
{
    struct hn_recipe r;
    struct hn_array *a = raw(train, NULL);
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    hn_array_close(a);
    struct hn_csv_options o = { .keep_missing = 1,
                                .ignore = (const char *const[]){ "id" },
                                .n_ignore = 1 };
    struct hn_csv_part p[2] = { { .name = "x", .like = &r },
                                { .name = "y",
                                  .kind = HN_PART_VALUES,
                                  .columns = (const char *const[]){ "t" },
                                  .n_columns = 1 } };
    HN_OK(csv("id,p,t,q,s\nz,,1,blue,S\n", &o, p, 2), err);
    ck_assert(p[0].by_order && p[0].array.named);
    HN_OK(hn_recipe_suit(&r, &p[0].array, 1, &err), err);
    ck_assert_str_eq(r.columns[1].raw.name, "q");
    HN_OK(hn_recipe_apply(&r, &p[0].array, &err), err);
    row_is(&p[0].array, 0, 4, 1, 0, 0, 1);
    hn_array_close(&p[0].array);
    hn_array_close(&p[1].array);
    o.header = HN_HEADER_NO, o.n_ignore = 0;
    HN_OK(csv("7,blue,S\n", &o, p, 1), err);
    ck_assert(p[0].by_order && !p[0].array.named);
    hn_array_close(&p[0].array);
    REFUSED(csv("7,blue\n", &o, p, 1), HONE_E_DATA, "found no column 'p'", "no header row");
    o.header = HN_HEADER_YES;
    REFUSED(csv("p,b,c\n7,blue,S\n", &o, p, 1), HONE_E_DATA, "found no column 'q', wanted the 3",
            "'p' to 's'");
    p[0].columns = (const char *const[]){ "s", "more" }, p[0].n_columns = 2;
    HN_OK(csv("q,more,p,s\nred,5,3,L\n", &o, p, 1), err);
    ck_assert(!p[0].by_order && p[0].array.per_row == 2);
    HN_OK(hn_recipe_suit(&r, &p[0].array, 0, &err), err);
    ck_assert(r.n_columns == 2 && r.width == 2 && r.any);
    ck_assert(r.columns[0].raw.n_category == 2 && r.columns[0].fill == 1);
    ck_assert(!r.columns[1].raw.encoding && isnan(r.columns[1].fill));
    HN_OK(hn_recipe_apply(&r, &p[0].array, &err), err);
    ck_assert(f32(&p[0].array, 0, 0) == 0 && f32(&p[0].array, 0, 1) == 5);
    hn_array_close(&p[0].array);
    hn_recipe_free(&r);
}
END_TEST

/* A recipe written and read again does the same; lines of another input stay apart. */
START_TEST(recipe_text)
{
    static const char odd[] =
        "age,colour,size\n1,\"a\tb\",\"1\\2\"\n2,\"c\nd\",x\n,,x\n9,\"a\tb\",x\n";
    struct hn_recipe r, back;
    struct hn_buffer b;
    hn_buffer_init(&b, &mem);
    struct hn_array *a = raw(odd, NULL), made;
    HN_OK(fit(&r, a, HN_IMPUTE_MEAN, NULL), err);
    HN_OK(hn_recipe_write(&b, "other", &r, &err), err);
    r.columns[1].raw.unknown = HN_UNKNOWN_MISSING;
    r.columns[2].raw.unknown = HN_UNKNOWN_CODE, r.columns[2].raw.unknown_code = -1.5;
    HN_OK(hn_recipe_write(&b, "in\tput", &r, &err), err);
    HN_OK(hn_recipe_read(&back, &mem, b.p, "in\tput", HN_F32, &err), err);
    ck_assert_int_eq(back.n_columns, 3);
    ck_assert_int_eq(back.width, r.width);
    ck_assert(back.any);
    for (int64_t j = 0; j < 3; j++) {
        const struct hn_recipe_column *x = &r.columns[j], *y = &back.columns[j];
        ck_assert_str_eq(x->raw.name, y->raw.name);
        ck_assert(x->fill == y->fill && x->first == y->first && x->width == y->width);
        ck_assert_int_eq(x->raw.n_category, y->raw.n_category);
        ck_assert(x->raw.unknown == y->raw.unknown && x->raw.unknown_code == y->raw.unknown_code);
        for (int64_t k = 0; k < x->raw.n_category; k++)
            ck_assert_str_eq(x->raw.category[k], y->raw.category[k]);
    }
    HN_OK(hn_recipe_make(&back, a, &made, &err), err);
    HN_OK(hn_recipe_apply(&r, a, &err), err);
    ck_assert_int_eq(made.per_row, a->per_row);
    ck_assert(memcmp(made.data, a->data, (size_t)(a->rows * a->per_row) * sizeof(float)) == 0);
    hn_array_close(&made);
    hn_array_close(a);
    hn_recipe_free(&back);
    HN_OK(hn_recipe_read(&back, &mem, b.p, "absent", HN_F32, &err), err);
    ck_assert_int_eq(back.n_columns, 0);
    hn_recipe_free(&back);
    hn_recipe_free(&r);
    hn_buffer_free(&b);
    REFUSED(hn_recipe_read(&back, &mem, "x\tage", "x", HN_F32, &err), HONE_E_CORRUPT, "hone.table",
            "ends too early");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tbinary\t-", "x", HN_F32, &err), HONE_E_CORRUPT,
            "'binary' as an encoding");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tonehot\t2\ta\tb", "x", HN_F32, &err),
            HONE_E_CORRUPT, "'2' as the value");
    REFUSED(hn_recipe_read(&back, &mem, "x\ta\tonehot\t0\ta\tb\n\tunknown\tx\ta\tnan", "x", HN_F32,
                           &err),
            HONE_E_CORRUPT, "'nan' for unknown categories");
    REFUSED(hn_recipe_read(&back, &mem, "x\ta\tonehot\t0\ta\tb\n\tunknown\tx", "x", HN_F32, &err),
            HONE_E_CORRUPT, "ends too early");
    REFUSED(hn_recipe_read(&back, &mem, "x\tage\tnone\tnan", "x", HN_F32, &err), HONE_E_CORRUPT,
            "'nan' as the value");
}
END_TEST

/* What missing cells look like, beside the lines of inputs, wherever it stands among them. */
START_TEST(marker_text)
{
    static const char *const odd[] = { "-999", "a\tb", "" }, *const same[] = { "a\tb", "-999" },
                             *const usual[] = { "?", "null", "nan", "NaN", "NA" };
    const struct hn_markers m = { odd, 3 };
    struct hn_markers back;
    struct hn_recipe r, again;
    struct hn_buffer b;
    struct hn_arena arena;
    hn_arena_init(&arena, &mem);
    hn_buffer_init(&b, &mem);
    HN_OK(fit(&r, raw(train, NULL), HN_IMPUTE_MEAN, NULL), err);
    HN_OK(hn_recipe_write(&b, "x", &r, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert_uint_eq(back.n, 0);
    HN_OK(hn_markers_write(&b, m, &err), err);
    HN_OK(hn_recipe_write(&b, "z", &r, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert_uint_eq(back.n, 3);
    for (int i = 0; i < 3; i++) ck_assert_str_eq(back.text[i], odd[i]);
    for (int i = 0; i < 2; i++) {
        HN_OK(hn_recipe_read(&again, &mem, b.p, i ? "x" : "z", HN_F32, &err), err);
        ck_assert_int_eq(again.n_columns, 3);
        hn_recipe_free(&again);
    }
    b.n = 0;
    HN_OK(hn_markers_write(&b, m, &err), err);
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert(back.n == 3 && hn_markers_same(back, m));
    ck_assert(hn_markers_same(m, (struct hn_markers){ same, 2 }));
    ck_assert(!hn_markers_same(m, (struct hn_markers){ same, 1 }));
    ck_assert(!hn_markers_same((struct hn_markers){ same, 1 }, m));
    ck_assert(hn_markers_same(hn_markers_usual(), (struct hn_markers){ usual, 5 }));
    ck_assert_int_eq(hn_decimal_read(b.p), '.');
    HN_OK(hn_decimal_write(&b, '.', &err), err);
    ck_assert_int_eq(hn_decimal_read(b.p), '.');
    HN_OK(hn_decimal_write(&b, ',', &err), err);
    ck_assert_int_eq(hn_decimal_read(b.p), ',');
    HN_OK(hn_markers_read(&back, &arena, b.p, &err), err);
    ck_assert(back.n == 3 && hn_markers_same(back, m));
    hn_recipe_free(&r);
    hn_array_close(&part.array);
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
}
END_TEST

HN_TEST_MAIN("recipe", tcase_add_checked_fixture(tc, begin, end); tcase_add_test(tc, recipes);
             tcase_add_test(tc, fills); tcase_add_test(tc, fills_by_column);
             tcase_add_test(tc, own_and_unknown_categories); tcase_add_test(tc, other_columns);
             tcase_add_test(tc, recipe_text); tcase_add_test(tc, marker_text);)
