/* SPDX-License-Identifier: MIT
 *
 * Files that a plug-in reads: the same table gives the same arrays as a CSV file, whatever cells it comes in, and a reader
 * that breaks the rules is refused by name. */
#include "plugin/data/foreign.h"
#include "tests/data/parse.h"
#include "tests/fault.h"
#include <math.h>

/* ---- a reader that does as it is told -------------------------------------------------------------------------------- */

struct play {
    hone_reader_form form;
    const hone_cell *cells; /* all rows */
    const char *data;
    int64_t n, block; /* rows there are, and in a block */
    size_t row_bytes;
    int64_t fail_at; /* read fails at this row; 0: never */
    hone_status open_says, read_says;
    const char *why;
    int second_columns;   /* columns when it is opened again */
    hone_reader_rows bad; /* given instead of the second block where set */
    int use_bad;
    /* what it saw */
    hone_reader_file file;
    int opened, closed;
    int64_t at;
};
static struct play play;

static hone_status said(hone_error *e, hone_status st)
{
    return play.why ? hn_fail(e, st, NULL, "%s", play.why) : st;
}

static hone_status play_open(const hone_host *host, const hone_reader_file *file,
                             hone_reader_form *form, void **handle, hone_error *e)
{
    ck_assert_ptr_eq(host, (const hone_host *)&play);
    ck_assert_uint_eq(form->size, sizeof *form);
    ck_assert_int_eq(form->rows, -1);
    play.file = *file;
    if (play.open_says) return said(e, play.open_says);
    hone_reader_form mine = play.form;
    mine.size = form->size;
    *form = mine;
    if (play.opened++ && play.second_columns) form->n_columns = play.second_columns;
    play.at = 0;
    *handle = NULL;
    return HONE_OK;
}

static hone_status play_read(void *handle, hone_reader_rows *rows, hone_error *e)
{
    ck_assert_ptr_null(handle);
    int64_t n = play.block < play.n - play.at ? play.block : play.n - play.at;
    if (play.fail_at && play.at + n >= play.fail_at) return said(e, play.read_says);
    if (play.use_bad && play.at) {
        *rows = play.bad;
        return HONE_OK;
    }
    rows->n = n;
    if (n && play.cells) rows->cells = play.cells + play.at * play.form.n_columns;
    if (n && play.data) rows->data = play.data + (size_t)play.at * play.row_bytes;
    play.at += n;
    return HONE_OK;
}

static void play_close(void *handle)
{
    (void)handle;
    play.closed++;
}

static const char *const extensions[] = { ".pla", ".play", NULL };
static const hone_reader reader = { .size = sizeof reader,
                                    .name = "play",
                                    .magic = "PLAY\0",
                                    .magic_size = 5,
                                    .extensions = extensions,
                                    .open = play_open,
                                    .read = play_read,
                                    .close = play_close };
static const struct hn_foreign list = { &reader, (const hone_host *)&play, "org.play", NULL };

#define MISSING                                                                                    \
    {                                                                                              \
        .type = HONE_CELL_MISSING                                                                  \
    }
#define NUMBER(v)                                                                                  \
    {                                                                                              \
        .type = HONE_CELL_NUMBER, .value.number = (v)                                              \
    }
#define WHOLE(v)                                                                                   \
    {                                                                                              \
        .type = HONE_CELL_WHOLE, .value.whole = (v)                                                \
    }
#define TEXT(s)                                                                                    \
    {                                                                                              \
        .type = HONE_CELL_TEXT, .value.text = (s), .length = sizeof(s) - 1                         \
    }

/* The same table in cells of one kind and another, and as text. */
static const char *const names[] = { "age", "colour", "weight", "y" };
static const hone_cell typed[] = {
    NUMBER(0.1),
    TEXT("red"),
    WHOLE(3),
    TEXT("no"), /**/
    WHOLE(-7),
    TEXT("blue, \"q\""),
    MISSING,
    TEXT("yes"), /**/
    NUMBER(1e-9),
    MISSING,
    NUMBER(2.5),
    TEXT("no"), /**/
    NUMBER((double)NAN),
    TEXT("red"),
    NUMBER(-1e9),
    TEXT("yes"),
};
static const hone_cell texts[] = {
    TEXT("0.1"),  TEXT("red"),
    TEXT("3"),    TEXT("no"), /**/
    TEXT("-7"),   TEXT("blue, \"q\""),
    TEXT("NA"),   TEXT("yes"), /**/
    TEXT("1e-9"), TEXT(""),
    TEXT("2.5"),  TEXT("no"), /**/
    TEXT("?"),    TEXT("red"),
    TEXT("-1e9"), TEXT("yes"),
};
static const char as_csv[] = "age,colour,weight,y\n0.1,red,3,no\n-7,\"blue, "
                             "\"\"q\"\"\",NA,yes\n1e-9,,2.5,no\n?,red,-1e9,yes\n";

static void set_table(const hone_cell *cells, int64_t rows, int64_t columns)
{
    memset(&play, 0, sizeof play);
    play.form = (hone_reader_form){ .size = sizeof play.form,
                                    .kind = HONE_READER_TABLE,
                                    .rows = -1,
                                    .n_columns = columns,
                                    .columns = names };
    play.cells = cells;
    play.n = rows;
    play.block = 3;
}

static struct hn_source file_named(const char *name)
{
    scratch_write(name, "PLAY\0data", 9);
    struct hn_source s = source(scratch(name));
    s.readers = &list;
    return s;
}

static const char *const label[] = { "y" };
static struct hn_csv_part two[2];

static hone_status read_two(const struct hn_source *s, const struct hn_csv_options *o)
{
    two[0] = (struct hn_csv_part){ .name = "x" };
    two[1] = (struct hn_csv_part){
        .name = "y", .kind = HN_PART_VALUES, .columns = label, .n_columns = 1
    };
    return hn_csv_read(s, o, two, 2, &err);
}

static void digest_two(uint64_t out[4])
{
    const struct hn_array *x = &two[0].array, *y = &two[1].array;
    HN_OK(hn_data_fingerprint(&x, 1, &mem, out, &err), err);
    HN_OK(hn_data_fingerprint(&y, 1, &mem, out + 2, &err), err);
    hn_array_close(&two[0].array);
    hn_array_close(&two[1].array);
}

static const struct hn_encode encode[] = { { "colour", HN_ENCODE_ONEHOT } };
static const struct hn_csv_options raw = { .encode = encode, .n_encode = 1, .keep_missing = 1 };

/* Loop index: bit 0 the cells, bit 1 the precision, bit 2 rows announced, bit 3 one row a block. */
START_TEST(same_as_csv)
{
    uint64_t want[4], got[4];
    struct hn_csv_options o = raw;
    o.real = _i & 2 ? HN_F64 : HN_F32;
    scratch_write("t.csv", as_csv, sizeof as_csv - 1);
    struct hn_source s = source(scratch("t.csv"));
    HN_OK(read_two(&s, &o), err);
    digest_two(want);
    set_table(_i & 1 ? typed : texts, 4, 4);
    if (_i & 4) play.form.rows = 4;
    if (_i & 8) play.block = 1;
    s = file_named("t.play");
    note.text[0] = '\0';
    HN_OK(read_two(&s, &o), err);
    ck_assert_int_eq(two[0].array.n_missing, 3);
    ck_assert_str_eq(two[0].array.columns[1].category[0], "blue, \"q\"");
    digest_two(got);
    ck_assert_mem_eq(got, want, sizeof got);
    ck_assert_int_eq(play.closed, play.opened);
    ck_assert_int_eq(play.opened, 2); /* the labels turned out to be text */
    ck_assert_ptr_nonnull(strstr(note.text, "t.play: read by 'play' of plug-in 'org.play'"));
}
END_TEST

/* Numbers where text is wanted are the text that a CSV file would have. */
/* The cells once more, as a CSV file would have them; what the reader does not give again is its fault. */
START_TEST(cells_once_more)
{
    static const char want[] = "age,colour,weight,y\n0.1,red,3,no\n-7,\"blue, \"\"q\"\"\",,yes\n"
                               "1e-09,,2.5,no\n,red,-1000000000,yes\n";
    struct hn_cells *cells = NULL;
    struct hn_csv_options o = raw;
    struct hn_buffer b;
    const char *const *called;
    int64_t n;
    o.cells = &cells;
    hn_buffer_init(&b, &mem);
    set_table(typed, 4, 4);
    struct hn_source s = file_named("t.play");
    HN_OK(read_two(&s, &o), err);
    for (int again = 0; again < 2; again++) {
        b.n = 0;
        HN_OK(hn_cells_begin(cells, &called, &n, &err), err);
        ck_assert(n == 4 && strcmp(called[3], "y") == 0);
        HN_OK(hn_cells_write_names(cells, &b.sink, &err), err);
        for (int i = 0; i < 4; i++) {
            HN_OK(b.sink.write(&b.sink, "\n", 1, &err), err);
            HN_OK(hn_cells_write_row(cells, &b.sink, &err), err);
        }
        HN_OK(b.sink.write(&b.sink, "\n", 1, &err), err);
        ck_assert_msg(b.n == sizeof want - 1 && !memcmp(b.p, want, b.n), "%.*s", (int)b.n, b.p);
    }
    REFUSED(hn_cells_write_row(cells, &b.sink, &err), HONE_E_DATA, "fewer rows", "once more");
    play.form.n_columns = 3;
    REFUSED(hn_cells_begin(cells, &called, &n, &err), HONE_E_DATA, "found 4 columns, and 3 when");
    hn_cells_close(cells);
    hn_array_close(&two[0].array);
    hn_array_close(&two[1].array);
    hn_buffer_free(&b);
    play.open_says = HONE_E_IO, play.why = "the disk is gone";
    REFUSED(read_two(&s, &o), HONE_E_IO, "the disk is gone");
    ck_assert_ptr_null(cells);
}
END_TEST

START_TEST(numbers_as_text)
{
    static const hone_cell cells[] = { NUMBER(3.0),  WHOLE(9007199254740993),
                                       NUMBER(0.1),  WHOLE(1),
                                       NUMBER(-0.5), WHOLE(2),
                                       WHOLE(-999),  TEXT("b") };
    static const struct hn_encode both[] = { { "age", HN_ENCODE_ORDINAL },
                                             { "colour", HN_ENCODE_ORDINAL } };
    static const char *const na[] = { "-999" };
    struct hn_csv_options o = {
        .encode = both, .n_encode = 2, .keep_missing = 1, .na = na, .n_na = 1
    };
    set_table(cells, 2, 4);
    struct hn_source s = file_named("t.play");
    HN_OK(read_two(&s, &o), err);
    const struct hn_table_column *c = two[0].array.columns;
    ck_assert_str_eq(c[0].category[0], "-0.5");
    ck_assert_str_eq(c[0].category[1], "3");
    ck_assert_str_eq(c[1].category[1], "9007199254740993");
    ck_assert(isnan(f32(&two[0].array, 1, 2)));
    ck_assert_str_eq(str(&two[1].array, 0), "1");
    ck_assert_str_eq(str(&two[1].array, 1), "b");
    hn_array_close(&two[0].array);
    hn_array_close(&two[1].array);
}
END_TEST

/* Which files it gets, and what it is told of them. */
START_TEST(claims_files)
{
    struct hn_array a;
    static const struct {
        const char *file, *path, *key;
        int whole;
    } t[] = {
        { "x.play", "x.play", NULL, 1 },       { "x.PLA", "x.PLA", NULL, 1 },
        { "magic.bin", "magic.bin", NULL, 1 }, { "x.play:some key", "x.play", "some key", 1 },
        { "x.play:a:b", "x.play", "a:b", 1 },  { "z.play.gz", "z.play.gz", NULL, 0 },
    };
    char path[300], command[700];
    (void)file_named("x.play");
    (void)file_named("x.PLA");
    (void)file_named("magic.bin");
    snprintf(command, sizeof command, "printf named | gzip -n > '%s'", scratch("z.play.gz"));
    ck_assert_int_eq(system(command), 0);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        set_table(typed, 4, 1);
        snprintf(path, sizeof path, "%s", scratch(t[i].file));
        struct hn_source s = source(path);
        s.readers = &list;
        play.n = 1; /* 0.1 */
        HN_OK(hn_array_open(&a, &s, "x", NULL, &err), err);
        ck_assert_double_eq(f64(&a, 0, 0), 0.1);
        hn_array_close(&a);
        ck_assert_int_eq(play.opened, 1);
        ck_assert_int_eq(play.file.path != NULL, t[i].whole);
        ck_assert(t[i].key ? play.file.key && !strcmp(play.file.key, t[i].key) : !play.file.key);
        ck_assert_uint_eq(play.file.n_bytes, t[i].whole ? 9 : 5);
    }
    struct hn_source other = source(scratch("plain.csv"));
    other.readers = &list;
    scratch_write("plain.csv", "a\n1\n", 4);
    HN_OK(hn_array_open(&a, &other, "x", NULL, &err), err);
    hn_array_close(&a);
    ck_assert_int_eq(play.opened, 1);
    ck_assert_ptr_null(hn_foreign_key(&list, "x.csv:key"));
    ck_assert_ptr_null(hn_foreign_key(&list, "x.play:"));
    ck_assert_ptr_null(hn_foreign_key(NULL, "x.play:k"));
}
END_TEST

START_TEST(arrays)
{
    static const int16_t six[6] = { 1, -2, 3, 4, 5, 6 };
    struct hn_array a;
    memset(&play, 0, sizeof play);
    play.form = (hone_reader_form){ sizeof play.form, HONE_READER_ARRAY, -1, 0, NULL, HN_I16, 3,
                                    { 3, 2, 1 } };
    play.data = (const char *)six;
    play.n = 3, play.block = 2, play.row_bytes = 4;
    struct hn_source s = file_named("a.play");
    HN_OK(hn_array_open(&a, &s, "x", NULL, &err), err);
    ck_assert_int_eq(a.rows, 3);
    ck_assert_int_eq(a.per_row, 2);
    ck_assert_double_eq(hn_array_at(&a, 0, 1), -2);
    ck_assert_double_eq(hn_array_at(&a, 2, 1), 6);
    hn_array_close(&a);
    REFUSED(read_two(&s, NULL), HONE_E_DATA, "finds an array", "--x",
            "'play' of plug-in 'org.play'");
    static const float inf[2] = { 1, INFINITY };
    play.form =
        (hone_reader_form){ sizeof play.form, HONE_READER_ARRAY, -1, 0, NULL, HN_F32, 1, { 2 } };
    play.data = (const char *)inf, play.n = 2, play.row_bytes = 4;
    REFUSED(hn_array_open(&a, &s, "x", NULL, &err), HONE_E_DATA, "row 2", "found inf");
    ck_assert_int_eq(play.closed, play.opened);
}
END_TEST

/* ---- what breaks the rules ------------------------------------------------------------------------------------------- */

static const hone_cell odd[] = { { .type = 9 } },
                       null_text[] = { { .type = HONE_CELL_TEXT, .length = 4 } },
                       nul_text[] = { TEXT("a\0b") }, latin_text[] = { TEXT("gr\xFCn") },
                       cut_text[] = { TEXT("gr\xC3") },
                       long_text[] = { { .type = HONE_CELL_TEXT,
                                         .value.text = "x",
                                         .length = SIZE_MAX / 2 } },
                       infinite[] = { NUMBER((double)INFINITY) }, large[] = { NUMBER(1e300) },
                       none[] = { MISSING }, word[] = { TEXT("hi") };
static const char *const null_names[] = { "a", NULL }, *const twins[] = { "a", "a" },
                         *const called_like_none[] = { "", "b", "c0" },
                         *const latin[] = { "a", "gr\xFCn" }, *const cut[] = { "a", "gr\xC3" };

static void no_kind(void) { play.form.kind = 0; }
static void no_columns(void) { play.form.n_columns = 0; }
static void many_columns(void) { play.form.n_columns = INT64_MAX; }
static void no_names(void) { play.form.columns = NULL; }
static void null_name(void) { play.form.columns = null_names, play.form.n_columns = 2; }
static void same_names(void) { play.form.columns = twins, play.form.n_columns = 2; }
static void empty_names(void) { play.form.columns = called_like_none, play.form.n_columns = 3; }
static void name_latin(void) { play.form.columns = latin, play.form.n_columns = 2; }
static void name_cut(void) { play.form.columns = cut, play.form.n_columns = 2; }
static void negative_rows(void) { play.form.rows = -2; }
static void huge_rows(void) { play.form.rows = INT64_MAX; }
static void fewer_rows(void) { play.form.rows = 100; }
static void more_rows(void) { play.form.rows = 2; }
static void no_rows(void) { play.n = 0; }
static void null_cells(void) { play.cells = NULL; }
static void bad_second(void) { play.use_bad = 1; }
static void negative_block(void) { bad_second(), play.bad.n = -1; }
static void huge_block(void) { bad_second(), play.bad.n = INT64_MAX, play.bad.cells = typed; }
static void open_fails(void) { play.open_says = HONE_E_IO, play.why = "the disk is gone"; }
static void open_silent(void) { play.open_says = HONE_E_IO; }
static void open_odd(void) { play.open_says = (hone_status)17; }
static void open_nomem(void) { play.open_says = HONE_E_NOMEM, play.why = "no memory"; }
static void read_fails(void)
{
    play.fail_at = 4, play.read_says = HONE_E_DATA, play.why = "record 4 is torn";
}
static void read_silent(void) { play.fail_at = 4, play.read_says = HONE_E_DATA; }
static void odd_cell(void) { play.cells = odd, play.form.n_columns = play.n = 1; }
static void cell_null(void) { play.cells = null_text, play.form.n_columns = play.n = 1; }
static void cell_nul(void) { play.cells = nul_text, play.form.n_columns = play.n = 1; }
static void cell_latin(void) { play.cells = latin_text, play.form.n_columns = play.n = 1; }
static void cell_cut(void) { play.cells = cut_text, play.form.n_columns = play.n = 1; }
static void cell_long(void) { play.cells = long_text, play.form.n_columns = play.n = 1; }
static void cell_inf(void) { play.cells = infinite, play.form.n_columns = play.n = 1; }
static void cell_large(void) { play.cells = large, play.form.n_columns = play.n = 1; }
static void cell_none(void) { play.cells = none, play.form.n_columns = play.n = 1; }
static void cell_word(void) { play.cells = word, play.form.n_columns = play.n = 1; }
static void array_of(int dtype, int rank, int64_t rows)
{
    play.form = (hone_reader_form){ sizeof play.form, HONE_READER_ARRAY, -1, 0, NULL, dtype, rank,
                                    { rows, 2 } };
    play.data = (const char *)typed, play.row_bytes = 8;
}
static void array_text(void) { array_of(HN_STR, 2, 4); }
static void array_type(void) { array_of(99, 2, 4); }
static void array_rank(void) { array_of(HN_F32, 9, 4); }
static void array_none(void) { array_of(HN_F32, 2, 0); }
static void array_overflow(void) { array_of(HN_F32, 2, INT64_MAX); }
static void array_fewer(void) { array_of(HN_U8, 2, 5), play.row_bytes = 2; }
static void array_more(void) { array_of(HN_U8, 2, 2), play.row_bytes = 2; }
static void array_null(void) { array_of(HN_U8, 2, 4), play.data = NULL; }

static const struct {
    void (*set)(void);
    hone_status code;
    const char *text;
} bad[] = {
    { no_kind, HONE_E_DATA,
      "reader 'play' of plug-in 'org.play' found kind 0, wanted a table (1) or an array (2)" },
    { no_columns, HONE_E_DATA, "found 0 columns" },
    { many_columns, HONE_E_DATA, "found 9223372036854775807 columns, wanted 1 to 1048576" },
    { no_names, HONE_E_DATA, "gives its columns no names" },
    { null_name, HONE_E_DATA, "gives column 1 (from 0) no name" },
    { same_names, HONE_E_DATA, "calls columns 0 and 1 (from 0) both 'a', wanted different names" },
    { empty_names, HONE_E_DATA, "columns 0 and 2 (from 0) are both called 'c0'" },
    { name_latin, HONE_E_DATA, "gives column 1 (from 0) the name 'gr.n', which is not UTF-8" },
    { name_cut, HONE_E_DATA, "gives column 1 (from 0) the name 'gr.', which is not UTF-8" },
    { negative_rows, HONE_E_DATA, "found -2 rows" },
    { huge_rows, HONE_E_DATA, "gave 4 rows, and had said 9223372036854775807" },
    { fewer_rows, HONE_E_DATA, "gave 4 rows, and had said 100" },
    { more_rows, HONE_E_DATA, "gave more rows than the 2 it said" },
    { no_rows, HONE_E_DATA, "found no rows, wanted at least one" },
    { null_cells, HONE_E_DATA, "gave 3 rows without cells (NULL)" },
    { negative_block, HONE_E_DATA, "gave a block of -1 rows" },
    { huge_block, HONE_E_DATA, "gave a block of 9223372036854775807 rows, wanted 0 to 1048576" },
    { open_fails, HONE_E_IO, "the disk is gone" },
    { open_silent, HONE_E_DATA, "failed in open without a reason (HONE_E_IO)" },
    { open_odd, HONE_E_DATA, "returned 17 from open, which is no status" },
    { open_nomem, HONE_E_NOMEM, "no memory" },
    { read_fails, HONE_E_DATA, "record 4 is torn" },
    { read_silent, HONE_E_DATA, "failed in read without a reason" },
    { odd_cell, HONE_E_DATA, "gave row 1, column 'age' a cell of no known type" },
    { cell_null, HONE_E_DATA, "gave row 1, column 'age' a text at NULL" },
    { cell_nul, HONE_E_DATA, "gave row 1, column 'age' a text with a NUL byte" },
    { cell_latin, HONE_E_DATA, "gave row 1, column 'age' a text that is not UTF-8" },
    { cell_cut, HONE_E_DATA, "gave row 1, column 'age' a text that is not UTF-8" },
    { cell_long, HONE_E_DATA, "a text of more than 1 GiB" },
    { cell_inf, HONE_E_DATA, "row 1, column 'age': found 'inf', wanted a finite float32 number" },
    { cell_large, HONE_E_DATA,
      "row 1, column 'age': found '1e+300', wanted a finite float32 number" },
    { cell_none, HONE_E_DATA, "row 1, column 'age': found '' (missing), wanted a number" },
    { cell_word, HONE_E_DATA, "row 1, column 'age': found 'hi', wanted a number" },
    { array_text, HONE_E_DATA, "found elements of type 8, wanted numbers" },
    { array_type, HONE_E_DATA, "found elements of type 99, wanted numbers" },
    { array_rank, HONE_E_DATA, "found 9 dimensions, wanted 1 to 8" },
    { array_none, HONE_E_DATA, "found no rows" },
    { array_overflow, HONE_E_DATA, "rows, wanted fewer than" },
    { array_fewer, HONE_E_DATA, "gave 4 rows, and had said 5" },
    { array_more, HONE_E_DATA, "gave more rows than the 2 it said" },
    { array_null, HONE_E_DATA, "gave 3 rows without data (NULL)" },
};

START_TEST(bad_readers)
{
    struct hn_csv_part part = { .kind = HN_PART_NUMBERS };
    struct hn_array a;
    set_table(texts, 4, 4);
    bad[_i].set();
    struct hn_source s = file_named("t.play");
    struct hn_csv_options o =
        bad[_i].set == cell_none || bad[_i].set == cell_word ? (struct hn_csv_options){ 0 } : raw;
    if (play.form.n_columns == 1) o.n_encode = 0;
    if (play.form.n_columns == 4) o.ignore = label, o.n_ignore = 1;
    hone_status st = play.form.kind == HONE_READER_ARRAY ? hn_array_open(&a, &s, "x", NULL, &err)
                                                         : hn_csv_read(&s, &o, &part, 1, &err);
    ck_assert_msg(st == bad[_i].code && strstr(err.text, bad[_i].text),
                  "wanted %d %s: found %d %s: %s", bad[_i].code, bad[_i].text, st, err.where,
                  err.text);
    ck_assert_int_eq(play.closed, play.opened);
    ck_assert_ptr_null(part.array.data);
    ck_assert_str_eq(err.where, scratch("t.play"));
}
END_TEST

START_TEST(other_columns_when_asked_again)
{
    set_table(typed, 4, 4);
    play.second_columns = 3;
    struct hn_source s = file_named("t.play");
    REFUSED(read_two(&s, &raw), HONE_E_DATA, "found 4 columns, and 3 when it was asked again");
    ck_assert_int_eq(play.closed, play.opened);
}
END_TEST

START_TEST(every_allocation_fails)
{
    for (long n = 1;; n++) {
        struct hn_fault f;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        set_table(typed, 4, 4);
        struct hn_source s = file_named("t.play");
        s.mem = &f.mem, s.io = &f.io;
        hone_status st = read_two(&s, &raw);
        hn_array_close(&two[0].array);
        hn_array_close(&two[1].array);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        ck_assert_int_eq(play.closed, play.opened);
        ck_assert_int_eq(st, f.mem_fail.hits ? HONE_E_NOMEM : HONE_OK);
        if (!f.mem_fail.hits) break;
    }
}
END_TEST

HN_TEST_MAIN("foreign", tcase_add_checked_fixture(tc, begin, end);
             tcase_add_loop_test(tc, same_as_csv, 0, 16); tcase_add_test(tc, cells_once_more);
             tcase_add_test(tc, numbers_as_text); tcase_add_test(tc, claims_files);
             tcase_add_test(tc, arrays);
             tcase_add_loop_test(tc, bad_readers, 0, sizeof bad / sizeof *bad);
             tcase_add_test(tc, other_columns_when_asked_again);
             tcase_add_test(tc, every_allocation_fails);)
