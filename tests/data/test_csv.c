/* SPDX-License-Identifier: MIT
 *
 * CSV: what is read, how it is decided, and how each kind of bad file is refused. */
#include "tests/data/parse.h"

#include <math.h>

#define LIST(...)                                                                                  \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static struct hn_csv_part all, two[2];

/* Everything as features. */
static struct hn_array *features(const char *text, const struct hn_csv_options *o)
{
    all = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv(text, o, &all, 1), err);
    return &all.array;
}

/* Column y as values, the rest as features. */
static hone_status with_target(const char *text, const struct hn_csv_options *o, const char *target)
{
    static const char *column;
    column = target;
    two[0] = (struct hn_csv_part){ .name = "x" };
    two[1] = (struct hn_csv_part){
        .name = "y", .kind = HN_PART_VALUES, .columns = &column, .n_columns = 1
    };
    return csv(text, o, two, 2);
}

static void close_two(void)
{
    hn_array_close(&two[0].array);
    hn_array_close(&two[1].array);
}

START_TEST(header_and_numbers)
{
    struct hn_array *a = features("a,b\n1,2.5\n-3,4e2\n", NULL);
    ck_assert_int_eq(a->rows, 2);
    ck_assert_int_eq(a->per_row, 2);
    ck_assert_int_eq(a->rank, 2);
    ck_assert_str_eq(a->columns[0].name, "a");
    ck_assert_str_eq(a->columns[1].name, "b");
    ck_assert(f32(a, 0, 0) == 1 && f32(a, 0, 1) == 2.5f && f32(a, 1, 0) == -3 &&
              f32(a, 1, 1) == 400);
    ck_assert_int_eq(a->first_line, 2);
    ck_assert_ptr_nonnull(strstr(note.text, "header (a ... b)"));
    hn_array_close(a);
}
END_TEST

/* Row 1 as a header or not, each by a reason of its own. */
static const struct {
    const char *text;
    int header;
} headers[] = {
    { "1,2\n3,4\n", 0 },
    { "a,b\n1,2\n", 1 },
    { "a,2\n1,2\n", 1 },           /* as much text as numbers over numbers */
    { "5.1,3.x,1.4\n1,2,3\n", 0 }, /* a typo is no header */
    { "?,1\n2,3\n", 0 },           /* nor is a missing cell */
    { ",b\n0,3\n", 1 },            /* pandas' unnamed index column */
    { "39, State-gov\n50, Private\n", 0 },
    { "id,2019,2020\n7,1,2\n", 0 }, /* more numbers than text: said, and --header yes helps */
    { "name,kind\nbob,x\n", 1 },
    { "bob,x\nbob,y\n", 0 }, /* the first row comes again below itself */
    { "a,a\nx,y\n", 1 },     /* refused later: two columns of one name */
};

START_TEST(header_is_guessed)
{
    struct hn_csv_options o = { .encode = NULL };
    struct hn_csv_part values = { .name = "v", .kind = HN_PART_VALUES, .columns = LIST("0") };
    hone_status st = csv(headers[_i].text, &o, &values, 1);
    if (strncmp(headers[_i].text, "a,a", 3) == 0) {
        ck_assert_int_eq(st, HONE_E_DATA);
        ck_assert_ptr_nonnull(strstr(err.text, "both called 'a'"));
        return;
    }
    if (st == HONE_OK) {
        ck_assert_int_eq(values.array.first_line, headers[_i].header ? 2 : 1);
        ck_assert_ptr_nonnull(
            strstr(note.text, headers[_i].header ? "taken as the header" : "no header row"));
    } else { /* the missing cell in a column of values */
        ck_assert_ptr_nonnull(strstr(err.text, "(missing)"));
    }
    hn_array_close(&values.array);
}
END_TEST

START_TEST(header_as_told)
{
    struct hn_csv_options yes = { .header = HN_HEADER_YES }, no = { .header = HN_HEADER_NO };
    struct hn_array *a = features("1,2\n3,4\n", &yes);
    ck_assert_int_eq(a->rows, 1);
    ck_assert_str_eq(a->columns[1].name, "2");
    ck_assert_str_eq(note.text, "");
    hn_array_close(a);
    a = features("1,2\n3,4\n", &no);
    ck_assert_int_eq(a->rows, 2);
    ck_assert_str_eq(a->columns[1].name, "c1");
    hn_array_close(a);
    REFUSED(csv("a,b\n1,2\n", &no, &all, 1), HONE_E_DATA,
            "row 1, column 'c0': found 'a', wanted a number", "--header yes");
}
END_TEST

/* Ways to write the same 2 x 2 table. */
static const char *const same[] = {
    "a,b\n1,2\n3,4\n",
    "a,b\r\n1,2\r\n3,4\r\n",
    "a,b\r1,2\r3,4\r",
    "a,b\n1,2\n3,4",
    "a,b\n1,2\n3,4\n\n\n",
    "a,b\n1,2\n3,4\n  \n\t\n",
    "\357\273\277a,b\n1,2\n3,4\n",
    " a , b \n 1 ,\t2 \n3  ,  4\t\n",
    "\"a\",\"b\"\n\"1\",2\n3,\" 4 \"\n",
    "a;b\n1;2\n3;4\n",
    "a\tb\n1\t2\n3\t4\n",
    "a,b\n+1,2.\n3.0,4e0\n",
    "a,b\n1,2\n3,.4e1\n",
    "a,b\n1,0000000000000000000002\n3,40000000000000000000e-19\n",
};

START_TEST(forms_of_one_table)
{
    struct hn_array *a = features(same[_i], NULL);
    ck_assert_int_eq(a->rows, 2);
    ck_assert_str_eq(a->columns[0].name, "a");
    ck_assert_str_eq(a->columns[1].name, "b");
    ck_assert(f32(a, 0, 0) == 1 && f32(a, 0, 1) == 2 && f32(a, 1, 0) == 3 && f32(a, 1, 1) == 4);
    hn_array_close(a);
}
END_TEST

START_TEST(quotes)
{
    struct hn_csv_part v[2] = {
        { .name = "n", .columns = LIST("n") },
        { .name = "t", .kind = HN_PART_VALUES, .columns = LIST("a \"t\"") }
    };
    HN_OK(csv("n,\"a \"\"t\"\"\"\n1,\"x,y\"\n2,\"two\nlines\"\n3,\"say \"\"so\"\"\"\n4, \" kept \" "
              "\n5,5\" pipe\n",
              NULL, v, 2),
          err);
    ck_assert_int_eq(v[0].array.rows, 5);
    ck_assert_str_eq(str(&v[1].array, 0), "x,y");
    ck_assert_str_eq(str(&v[1].array, 1), "two\nlines");
    ck_assert_str_eq(str(&v[1].array, 2), "say \"so\"");
    ck_assert_str_eq(str(&v[1].array, 3), " kept ");
    ck_assert_str_eq(str(&v[1].array, 4), "5\" pipe");
    ck_assert_int_eq(v[0].array.first_line, 0); /* rows are not lines here */
    hn_array_close(&v[0].array);
    hn_array_close(&v[1].array);
    /* line numbers count the line inside the quotes */
    REFUSED(with_target("a,y\n1,\"p\nq\"\nx,z\n", NULL, "y"), HONE_E_DATA,
            "row 4, column 'a': found 'x'");
}
END_TEST

START_TEST(delimiter_is_said)
{
    hn_array_close(features("a;b\n1;2\n", NULL));
    ck_assert_ptr_nonnull(strstr(note.text, "separated by ';'"));
    struct hn_csv_options o = { .delimiter = '|' };
    struct hn_array *a = features("a|b\n1|2\n", &o);
    ck_assert_int_eq(a->per_row, 2);
    hn_array_close(a);
}
END_TEST

/* Every number is the nearest double, whichever way it is parsed. */
START_TEST(numbers_are_exact)
{
    static const char *const texts[] = {
        "0",
        "7",
        "-7",
        "12345678",
        "123456789012345678",
        "9007199254740993",
        "0.1",
        "0.30000000000000004",
        "1e22",
        "1e23",
        "2.2250738585072011e-308",
        "4.9e-324",
        "1.7976931348623157e308",
        "123456.7",
        "1234567.1234567",
        "12345678.12345678",
        "3.141592653589793238462643383279",
        "-0.0",
        "5e-5",
        "1E+05",
        "0.000000000000000000001",
        "18446744073709551616",
        "99999999999999999999999",
        "0.1234567890123456",
        "8.41e21",
        "9.5367431640625e-07",
    };
    char text[200];
    struct hn_csv_options o = { .real = HN_F64, .header = HN_HEADER_NO };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(text, sizeof text, "%s,%s\n0,%s\n1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n", texts[i],
                 texts[i], texts[i]);
        struct hn_array *a = features(text, &o);
        double wanted = strtod(texts[i], NULL);
        for (int k = 0; k < 3; k++) {
            double found = f64(a, k == 2, k > 0);
            ck_assert_msg(found == wanted && signbit(found) == signbit(wanted),
                          "%s: %.17g, wanted %.17g", texts[i], found, wanted);
        }
        hn_array_close(a);
    }
}
END_TEST

START_TEST(random_numbers_are_exact)
{
    char text[4096];
    struct hn_csv_options o = { .real = HN_F64, .header = HN_HEADER_NO };
    uint64_t s = 88172645463325252u;
    for (int round = 0; round < 2000; round++) {
        char cell[8][64];
        size_t n = 0;
        for (int k = 0; k < 8; k++) {
            s ^= s << 13, s ^= s >> 7, s ^= s << 17;
            int whole = (int)(s % 10), part = (int)((s >> 8) % 10);
            snprintf(cell[k], sizeof cell[k], "%s%0*llu%s%0*llu", s & 1 ? "-" : "", whole,
                     (unsigned long long)(whole ? s / 3 % (uint64_t)pow(10, whole) : 0),
                     part ? "." : "", part,
                     (unsigned long long)(part ? s / 7 % (uint64_t)pow(10, part) : 0));
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%c", cell[k], k == 7 ? '\n' : ',');
        }
        struct hn_array *a = features(text, &o);
        for (int k = 0; k < 8; k++)
            ck_assert_msg(f64(a, 0, k) == strtod(cell[k], NULL), "%s", cell[k]);
        hn_array_close(a);
    }
}
END_TEST

START_TEST(columns_by_name_and_index)
{
    const char *text = "a,b,c,1\n1,2,3,4\n5,6,7,8\n";
    struct hn_csv_options o = { .ignore = LIST("c"), .header = HN_HEADER_YES };
    struct hn_csv_part p[3] = { { .name = "rest" },
                                { .name = "name",
                                  .columns = LIST("1") }, /* the column called 1, not column 1 */
                                { .name = "index", .columns = LIST("0") } };
    HN_OK(csv(text, &o, p, 3), err);
    ck_assert_int_eq(p[0].array.per_row, 1);
    ck_assert(f32(&p[0].array, 1, 0) == 6);
    ck_assert(f32(&p[1].array, 1, 0) == 8);
    ck_assert(f32(&p[2].array, 1, 0) == 5);
    for (int i = 0; i < 3; i++) hn_array_close(&p[i].array);
    /* the order asked for, not the file's */
    struct hn_csv_part order = { .columns = LIST("1", "c", "a") };
    HN_OK(csv(text, NULL, &order, 1), err);
    ck_assert(f32(&order.array, 0, 0) == 4 && f32(&order.array, 0, 1) == 3 &&
              f32(&order.array, 0, 2) == 1);
    hn_array_close(&order.array);
}
END_TEST

/* A part whose column may be missing: there it is one, else an array of no rows, whatever the part's place. */
START_TEST(columns_that_may_be_missing)
{
    static const char *const column = "w";
    const struct hn_csv_options yes = { .header = HN_HEADER_YES };
    for (int place = 0; place < 2; place++) {
        memset(two, 0, sizeof two);
        two[place] = (struct hn_csv_part){
            .kind = HN_PART_VALUES, .columns = &column, .n_columns = 1, .optional = 1
        };
        for (int there = 0; there < 2; there++) {
            const char *text = there ? "a,w,b\n1,2,3\n4,5,6\n" : "a,b\n1,3\n4,6\n";
            HN_OK(csv(text, &yes, two, 2), err);
            const struct hn_array *x = &two[1 - place].array, *w = &two[place].array;
            ck_assert(x->rows == 2 && x->per_row == 2 && hn_array_at(x, 1, 1) == 6);
            ck_assert_int_eq(w->rows, there ? 2 : 0);
            if (there) ck_assert_double_eq(hn_array_at(w, 1, 0), 5);
            close_two();
        }
    }
    two[1].optional = 0;
    ck_assert_int_eq(csv("a,b\n1,3\n", &yes, two, 2), HONE_E_DATA);
}
END_TEST

/* Parts by name come together, also as exporters spell a name; else the part that takes the rest has all. */
static const struct {
    const char *text, *ignore;
    int named;
} by_name[] = {
    { "b-c,x,a,y\n1,2,3,4\n", "x", 1 },    { "a,b_c,y\n3,1,4\n", NULL, 1 },
    { "a,b,y\n1,2,4\n", NULL, 0 },         { "a,b-c,b c,y\n3,1,1,4\n", NULL, 0 },
    { "a,b-c,b_c,y\n3,5,1,4\n", NULL, 1 }, { "a,b-c,y\n3,1,4\n", "a", 0 },
    { "b_c,y\n3,4\n", NULL, 0 },
};

START_TEST(parts_by_name)
{
    static const char *const a = "a", *const bc = "b_c", *const y = "y";
    struct hn_csv_options o = { .ignore = &by_name[_i].ignore,
                                .n_ignore = by_name[_i].ignore != NULL };
    struct hn_csv_part p[4] = {
        { .name = "a", .columns = &a, .n_columns = 1, .by_name = 1 },
        { .name = "b", .columns = &bc, .n_columns = 1, .by_name = 1 },
        { .name = "rest" },
        { .name = "y", .kind = HN_PART_VALUES, .columns = &y, .n_columns = 1 },
    };
    HN_OK(csv(by_name[_i].text, &o, p, 4), err);
    ck_assert_int_eq(p[0].array.rows, by_name[_i].named);
    ck_assert_int_eq(p[1].array.rows, by_name[_i].named);
    ck_assert_int_eq(p[2].array.rows, !by_name[_i].named);
    if (by_name[_i].named) {
        ck_assert(f32(&p[0].array, 0, 0) == 3);
        ck_assert(f32(&p[1].array, 0, 0) == 1);
    }
    for (int i = 0; i < 4; i++) hn_array_close(&p[i].array);
}
END_TEST

START_TEST(values_are_numbers_or_text)
{
    HN_OK(with_target("a,y\n1,16777217\n2,3\n", NULL, "y"), err);
    ck_assert(f64(&two[1].array, 0, 0) == 16777217); /* more than float32 holds */
    ck_assert_int_eq(two[1].array.rank, 1);
    close_two();
    HN_OK(with_target("a,y\n1,1\n2,2\n3,b\n", NULL, "y"), err); /* text shows up late */
    ck_assert_str_eq(str(&two[1].array, 0), "1");
    ck_assert_str_eq(str(&two[1].array, 2), "b");
    ck_assert(f32(&two[0].array, 2, 0) == 3);
    close_two();
    struct hn_csv_part pair = { .kind = HN_PART_VALUES, .columns = LIST("a", "y") };
    REFUSED(csv("a,y\n1,x\n", NULL, &pair, 1), HONE_E_DATA, "row 2, column 'y'",
            "found 'x', wanted a number");
    HN_OK(csv("a,y\n1,2\n", NULL, &pair, 1), err);
    ck_assert_int_eq(pair.array.rank, 2);
    hn_array_close(&pair.array);
}
END_TEST

START_TEST(either_kind)
{
    struct hn_csv_part p = { .kind = HN_PART_EITHER };
    HN_OK(csv("y\nred\nblue\nred\n", NULL, &p, 1), err);
    ck_assert_int_eq(p.kind, HN_PART_VALUES);
    ck_assert_str_eq(str(&p.array, 1), "blue");
    hn_array_close(&p.array);
    p = (struct hn_csv_part){ .kind = HN_PART_EITHER };
    HN_OK(csv("a,b\n1,2\n", NULL, &p, 1), err);
    ck_assert_int_eq(p.array.dtype, HN_F32);
    hn_array_close(&p.array);
}
END_TEST

START_TEST(missing_cells)
{
    static const char *const cells[] = { "", "NA", "NaN", "nan", "null", "?", " ", "\"\"" };
    char text[100];
    struct hn_csv_options keep = { .keep_missing = 1 };
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        snprintf(text, sizeof text, "a,b\n1,2\n%s,4\n", cells[i]);
        REFUSED(csv(text, NULL, &all, 1), HONE_E_DATA, "t.csv", "row 3, column 'a'",
                "(missing), wanted a number", "--impute");
        struct hn_array *a = features(text, &keep);
        ck_assert(isnan(f32(a, 1, 0)) && f32(a, 1, 1) == 4);
        ck_assert_int_eq(a->n_missing, 1);
        hn_array_close(a);
    }
    struct hn_csv_options own = { .na = LIST("-999"), .keep_missing = 1 };
    struct hn_array *a = features("a,b\n1,-999\n", &own);
    ck_assert(isnan(f32(a, 0, 1)));
    hn_array_close(a);
    REFUSED(csv("a,b\n1,NA\n", &own, &all, 1), HONE_E_DATA, "found 'NA', wanted a number");
    REFUSED(with_target("a,y\n1,\n", &keep, "y"), HONE_E_DATA, "row 2, column 'y'", "(missing)",
            "remove the row");
    REFUSED(with_target("a,y\n1,x\n2,?\n", NULL, "y"), HONE_E_DATA, "row 3, column 'y'",
            "wanted a label");
}
END_TEST

START_TEST(text_is_encoded_on_request)
{
    const char *text = "a,colour,y\n1,red,0\n2,blue,1\n3,red,0\n";
    REFUSED(csv(text, NULL, &all, 1), HONE_E_DATA,
            "row 2, column 'colour': found 'red', wanted a number",
            "--encode colour=onehot|ordinal");
    struct hn_csv_options o = { .encode = (struct hn_encode[]){ { "colour", HN_ENCODE_ORDINAL } },
                                .n_encode = 1 };
    struct hn_array *a = features(text, &o);
    ck_assert(f32(a, 0, 1) == 1 && f32(a, 1, 1) == 0 && f32(a, 2, 1) == 1); /* blue, red */
    ck_assert_int_eq(a->columns[1].n_category, 2);
    ck_assert_str_eq(a->columns[1].category[0], "blue");
    hn_array_close(a);
    a = features(
        "a,b\n10,1\n9,2\n10,3\n",
        &(struct hn_csv_options){ .encode = (struct hn_encode[]){ { "a", HN_ENCODE_ORDINAL } },
                                  .n_encode = 1,
                                  .real = HN_F64 });
    ck_assert(f64(a, 0, 0) == 1 && f64(a, 1, 0) == 0); /* 9 before 10: numbers sort as numbers */
    hn_array_close(a);
    REFUSED(with_target(
                "a,y\n1,x\n",
                &(struct hn_csv_options){
                    .encode = (struct hn_encode[]){ { "y", HN_ENCODE_ORDINAL } }, .n_encode = 1 },
                "y"),
            HONE_E_USAGE, "cannot encode column 'y'");
}
END_TEST

/* A decimal comma is no text to be encoded. */
START_TEST(decimal_commas)
{
    all = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv("a;b\n1;-0,126\n", NULL, &all, 1), HONE_E_DATA, "row 2, column 'b': found '-0,126'",
            "--decimal , if numbers have a decimal comma, here -0.126");
    REFUSED(csv("a,b\n1,\"12,5e3\"\n", NULL, &all, 1), HONE_E_DATA, "found '12,5e3'", "--decimal ,",
            "here 12500");
    REFUSED(csv("a,b\n1,\"1,234,567\"\n", NULL, &all, 1), HONE_E_DATA, "--encode b=onehot");
    REFUSED(csv("a;b\n1;a,b\n", NULL, &all, 1), HONE_E_DATA, "--encode b=onehot");
    const struct hn_csv_options bare = { .header = HN_HEADER_NO };
    REFUSED(csv("3,14;2\n1;2,5\n4,25;3\n", &bare, &all, 1), HONE_E_DATA, "found '14;2'",
            "--decimal , if ';' separates the cells");
    REFUSED(csv("a;b,c;d\n1,5;2;3\n", NULL, &all, 1), HONE_E_DATA, "--decimal , if ';' separates");
}
END_TEST

/* numpy.savetxt as it comes, and with header="a,b": blanks between cells, a mark in front of the names. */
START_TEST(what_numpy_writes)
{
    all = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv("1.5e0 -2e0\n3e0 4e0\n", NULL, &all, 1), HONE_E_DATA, "row 2",
            "separated by blanks", "delimiter=','");
    REFUSED(with_target("# a b y\n1.5 2 3\n", NULL, "y"), HONE_E_DATA, "found no column 'y'",
            "separated by blanks");
    REFUSED(csv("town\nNew York 5\n", NULL, &all, 1), HONE_E_DATA, "--encode town=onehot");
    HN_OK(with_target("# a,b\n1,2\n3,4\n", NULL, "a"), err);
    ck_assert_str_eq(two[1].array.columns[0].name, "a");
    ck_assert_ptr_nonnull(strstr(note.text, "header (a ... b)"));
    close_two();
    HN_OK(with_target("\"# a\",#b,#\n1,2,5\n3,4,6\n", NULL, "# a"), err);
    ck_assert_str_eq(two[0].array.columns[0].name, "#b");
    close_two();
    HN_OK(with_target("# a,b\n1,2\n3,4\n", NULL, "# a"),
          err); /* as a model of before may have it */
    ck_assert_str_eq(two[1].array.columns[0].name, "# a");
    close_two();
    struct hn_array *a = features("#,b\n1,2\n", NULL);
    ck_assert_str_eq(a->columns[0].name, "#");
    hn_array_close(a);
}
END_TEST

/* With --decimal , commas are decimal signs and points are none; what separates cells is none of both. */
START_TEST(numbers_with_commas)
{
    struct hn_csv_options o = { .decimal = ',', .real = HN_F64 };
    static const struct {
        const char *text;
        char delimiter;
    } files[] = { { "3,14;-2;+1,5\n0,125;7,5e-3; 12345678901234567890,5 \n", ';' },
                  { "3,14\t-2\t+1,5\n\"0,125\"\t7,5e-3\t12345678901234567890,5\n", '\t' },
                  { "\"3,14\",-2,\"+1,5\"\n\"0,125\",\"7,5e-3\",\"12345678901234567890,5\"\n",
                    ',' } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        all = (struct hn_csv_part){ .name = "x" };
        HN_OK(csv(files[i].text, &o, &all, 1), err);
        ck_assert_int_eq(all.array.per_row, 3);
        ck_assert_int_eq(all.array.rows, 2);
        const double wanted[6] = { 3.14, -2, 1.5, 0.125, 7.5e-3, 12345678901234567890.5 };
        for (int k = 0; k < 6; k++) ck_assert(f64(&all.array, k / 3, k % 3) == wanted[k]);
        hn_array_close(&all.array);
    }
    all = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv("a\n3,14\n2\n", &o, &all, 1), err);
    ck_assert(all.array.per_row == 1 && f64(&all.array, 0, 0) == 3.14);
    hn_array_close(&all.array);
    REFUSED(csv("a;b\n1,5;3.25\n", &o, &all, 1), HONE_E_DATA, "found '3.25'",
            "read with a decimal comma: --decimal . if they have a point");
    REFUSED(csv("a;b\n1,5;1.234,5\n", &o, &all, 1), HONE_E_DATA,
            "found '1.234,5', wanted a number");
    REFUSED(csv("a;b\n1,5;1,2,3\n", &o, &all, 1), HONE_E_DATA, "found '1,2,3', wanted a number");
    o.decimal_kept = 1; /* commas between cells are for points */
    HN_OK(csv("a,b\n1.5,2\n", &o, &all, 1), err);
    ck_assert(f64(&all.array, 0, 0) == 1.5);
    hn_array_close(&all.array);
    HN_OK(csv("a;b\n1,5;2\n", &o, &all, 1), err);
    ck_assert(f64(&all.array, 0, 0) == 1.5);
    hn_array_close(&all.array);
    REFUSED(csv("a;b\n1,5;2.5\n", &o, &all, 1), HONE_E_DATA,
            "as those that the model learned from");
}
END_TEST

/* Bad files: what the message must hold. */
static const struct {
    const char *text, *wanted[4];
} bad[] = {
    { "", { "t.csv", "empty" } },
    { "\n\n", { "empty" } },
    { "a,b\n", { "no rows behind the header" } },
    { "a,b\n1,2\n3\n", { "row 3: found 1 cells, wanted 2" } },
    { "a,b\n1,2\n3,4,5\n", { "row 3: found 3 cells, wanted 2" } },
    { "a,b\n1,2,3\n", { "row 2: found 3 cells, wanted 2" } },
    { "a,b\n1,2\n\n3,4\n", { "row 3: found 1 cells, wanted 2" } },
    { "a,b\n1,2\n3,\"4\n", { "row 3: a quote is opened and never closed" } },
    { "a,b\n1,\"2\"x\n", { "row 2: found 'x' behind a closing quote" } },
    { "a,b,a\n1,2,3\n", { "columns 0 and 2", "both called 'a'" } },
    { "a,b\n1,1.2.3\n", { "row 2, column 'b': found '1.2.3', wanted a number" } },
    { "a,b\n1,0x10\n", { "found '0x10'" } },
    { "a,b\n1,1e\n", { "found '1e'" } },
    { "a,b\n1,inf\n", { "found 'inf', wanted a finite float32 number" } },
    { "a,b\n1,1e39\n", { "row 2, column 'b'", "float32" } },
    { "a,b\n1,1e400\n", { "row 2, column 'b'" } },
    { "a,b\n1,--2\n", { "found '--2'" } },
    { "a,b\n1,+-2\n", { "found '+-2'" } },
    { "\xFF\xFE"
      "a",
      { "UTF-16" } },
    { "a,b\n1,2\n3,x\r4,5\n", { "row 3, column 'b': found 'x'" } },
    { "a,b\n1, a very long cell that goes on and on, beyond\n", { "row 2: found 3 cells" } },
    { "a,b\n1,a very long cell that goes on and on and on\n",
      { "found 'a very long cell that goes on and on and...'" } },
};

START_TEST(bad_files)
{
    for (int i = 0; i < 4 && bad[_i].wanted[i]; i++) {
        all = (struct hn_csv_part){ .name = "x" };
        memset(&err, 0, sizeof err);
        ck_assert_int_eq(csv(bad[_i].text, NULL, &all, 1), HONE_E_DATA);
        ck_assert_msg(strstr(err.text, bad[_i].wanted[i]) || strstr(err.where, bad[_i].wanted[i]),
                      "wanted '%s' in: %s", bad[_i].wanted[i], err.text);
        ck_assert_ptr_null(all.array.data);
    }
}
END_TEST

START_TEST(nul_bytes)
{
    static const char text[] = "a,b\n1,2\n3,\0,4\n";
    all = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv_bytes(text, sizeof text - 1, NULL, &all, 1), HONE_E_DATA,
            "row 3, column 1 (from 0)", "NUL byte");
}
END_TEST

/* What is kept of a file goes into models and messages: it must be UTF-8. What is not kept does not matter. */
START_TEST(other_encodings)
{
    static const char *const labels[] = { "y" };
    two[0] = (struct hn_csv_part){ .name = "x" };
    two[1] = (struct hn_csv_part){
        .name = "y", .kind = HN_PART_VALUES, .columns = labels, .n_columns = 1
    };
    REFUSED(csv("x,y\n1,ja\n2,ja\n3,f\xFCr\n", NULL, two, 2), HONE_E_DATA, "t.csv",
            "row 4, column 1 (from 0): found the byte 0xFC in 'f.r', wanted text in UTF-8",
            "iconv -f latin1");
    REFUSED(csv("gr\xF6\xDF"
                "e,y\n1,ja\n",
                NULL, two, 2),
            HONE_E_DATA, "row 1, column 0 (from 0): found the byte 0xF6");
    struct hn_csv_options o = { .encode = (const struct hn_encode[]){ { "x", HN_ENCODE_ORDINAL } },
                                .n_encode = 1 };
    REFUSED(csv("x,y\na,1\n\xE9,2\n", &o, two, 2), HONE_E_DATA, "row 3, column 0");
    HN_OK(csv("gr\xC3\xB6\xC3\x9F"
              "e,y\n1,f\xC3\xBCr\n",
              NULL, two, 2),
          err);
    ck_assert_str_eq(str(&two[1].array, 0), "f\xC3\xBCr");
    for (int i = 0; i < 2; i++) hn_array_close(&two[i].array);
    o = (struct hn_csv_options){ .ignore = (const char *const[]){ "note" }, .n_ignore = 1 };
    HN_OK(csv("x,note,y\n1,f\xFCr,2\n", &o, two, 2), err);
    for (int i = 0; i < 2; i++) hn_array_close(&two[i].array);
    const char *const text[] = { "ja", "f\xFCr" };
    struct hn_array a;
    REFUSED(hn_array_wrap_text(&a, &mem, "y", text, 2, &err), HONE_E_DATA, "row 2", "not UTF-8");
}
END_TEST

START_TEST(text_among_numbers_may_be_the_target)
{
    static const char *const target[] = { "y" };
    all = (struct hn_csv_part){ .name = "x" };
    REFUSED(csv("a,y\n1,ja\n2,nein\n", NULL, &all, 1), HONE_E_DATA, "row 2, column 'y'",
            "--ignore y if it is no feature, else --encode y=onehot|ordinal");
    two[0] = (struct hn_csv_part){ .name = "x" };
    two[1] = (struct hn_csv_part){
        .name = "y", .kind = HN_PART_VALUES, .columns = target, .n_columns = 1
    };
    REFUSED(csv("a,b,y\n1,red,ja\n", NULL, two, 2), HONE_E_DATA, "column 'b'",
            "--encode b=onehot|ordinal, or --ignore b");
}
END_TEST

START_TEST(bad_requests)
{
    const char *text = "age,income,label\n1,2,0\n3,4,1\n";
    struct hn_csv_part p[2] = { { .columns = LIST("incme") }, { .name = "" } };
    REFUSED(csv(text, NULL, p, 1), HONE_E_DATA, "no column 'incme'", "'age' to 'label'",
            "did you mean 'income'?");
    p[0].columns = (const char *const[]){ "3" };
    REFUSED(csv(text, NULL, p, 1), HONE_E_DATA, "no column '3'");
    p[0].columns = (const char *const[]){ "-1" };
    REFUSED(csv(text, NULL, p, 1), HONE_E_DATA, "no column '-1'");
    p[0].columns = (const char *const[]){ "target" };
    REFUSED(csv("1,2\n3,4\n", NULL, p, 1), HONE_E_DATA, "columns are c0, c1");
    p[0].columns = (const char *const[]){ "age", "0" };
    p[0].n_columns = 2;
    REFUSED(csv(text, NULL, p, 1), HONE_E_USAGE, "'age' is asked for twice");
    p[0].columns = NULL;
    REFUSED(csv(text, NULL, p, 2), HONE_E_USAGE, "two parts");
    struct hn_csv_options o = { .ignore = LIST("age", "income", "label") };
    REFUSED(csv(text, &o, p, 1), HONE_E_DATA, "no columns are left");
    o.ignore = (const char *const[]){ "agee" };
    o.n_ignore = 1;
    REFUSED(csv(text, &o, p, 1), HONE_E_DATA, "did you mean 'age'?");
    REFUSED(csv(text, NULL, p, 0), HONE_E_USAGE, "no part");
}
END_TEST

/* A file whose rows get shorter than the first ones suggest: the matrix has to grow. */
START_TEST(matrices_grow)
{
    struct hn_buffer b;
    hn_buffer_init(&b, &mem);
    int64_t rows = 0;
    for (; b.n < 1 << 18; rows++)
        HN_OK(hn_sink_str(&b.sink, "0.0000000000000000000000000000000000001,1\n", &err), err);
    for (int i = 0; i < 200000; i++, rows++) HN_OK(hn_sink_str(&b.sink, "7,8\n", &err), err);
    all = (struct hn_csv_part){ .name = "x" };
    HN_OK(csv_bytes(b.p, b.n, NULL, &all, 1), err);
    ck_assert_int_eq(all.array.rows, rows);
    ck_assert(f32(&all.array, rows - 1, 0) == 7 && f32(&all.array, rows - 1, 1) == 8);
    hn_array_close(&all.array);
    hn_buffer_free(&b);
}
END_TEST

/* Parsing cut at any byte neither reads beyond the end nor forgets anything. */
START_TEST(every_prefix)
{
    static const char text[] = "a,\"b \"\"c\",d\r\n1,2.5,x\r\n-3e1,\"4\n5\", y \r\n,?,\"z,\"\r\n";
    struct hn_csv_options o = { .keep_missing = 1 };
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n ? n : 1); /* its own block, so that sanitizers see an overrun */
        memcpy(copy, text, n);
        two[0] = (struct hn_csv_part){ .name = "x" };
        static const char *const last[] = { "2" };
        two[1] = (struct hn_csv_part){
            .name = "y", .kind = HN_PART_VALUES, .columns = last, .n_columns = 1
        };
        hone_status st = csv_bytes(copy, n, &o, two, 2);
        ck_assert(st == HONE_OK || st == HONE_E_DATA);
        if (st == HONE_OK) close_two();
        ck_assert_uint_eq(atomic_load(&mem.used), 0);
        free(copy);
    }
}
END_TEST

HN_TEST_MAIN("csv", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_test(tc, header_and_numbers);
             tcase_add_loop_test(tc, header_is_guessed, 0, sizeof headers / sizeof *headers);
             tcase_add_test(tc, header_as_told);
             tcase_add_loop_test(tc, forms_of_one_table, 0, sizeof same / sizeof *same);
             tcase_add_test(tc, quotes); tcase_add_test(tc, delimiter_is_said);
             tcase_add_test(tc, numbers_are_exact); tcase_add_test(tc, random_numbers_are_exact);
             tcase_add_test(tc, columns_by_name_and_index);
             tcase_add_test(tc, columns_that_may_be_missing);
             tcase_add_loop_test(tc, parts_by_name, 0, sizeof by_name / sizeof *by_name);
             tcase_add_test(tc, values_are_numbers_or_text); tcase_add_test(tc, either_kind);
             tcase_add_test(tc, missing_cells); tcase_add_test(tc, text_is_encoded_on_request);
             tcase_add_test(tc, decimal_commas); tcase_add_test(tc, what_numpy_writes);
             tcase_add_test(tc, what_numpy_writes); tcase_add_test(tc, numbers_with_commas);
             tcase_add_loop_test(tc, bad_files, 0, sizeof bad / sizeof *bad);
             tcase_add_test(tc, nul_bytes); tcase_add_test(tc, other_encodings);
             tcase_add_test(tc, text_among_numbers_may_be_the_target);
             tcase_add_test(tc, bad_requests); tcase_add_test(tc, matrices_grow);
             tcase_add_test(tc, every_prefix);)
