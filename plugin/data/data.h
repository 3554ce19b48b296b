/* SPDX-License-Identifier: MIT
 *
 * Data: files in, arrays of rows out, and what is learned from rows before training starts (class lists, splits,
 * scalers, encodings). Sees ops/base only: no model, no option parsing, no printing. What was decided on the user's
 * behalf is said in a hn_note.
 *
 * A run goes:  hn_array_open or hn_csv_read → hn_labels_fit/_map → hn_split_rows → hn_recipe_fit/_apply (raw tables)
 * → hn_scaler_fit → then per batch hn_array_gather (+ hn_scaler_apply).
 *
 * Errors: HONE_E_DATA with the file as `where` and "row R, column 'C': found …, wanted …" as text. R is the 1-based line
 * of a text file (a header line is row 1) and the 1-based row of a binary one. Missing or unreadable files are HONE_E_IO,
 * an unknown column is HONE_E_DATA with a suggestion, what can fit no file
 * (one column asked for twice) is HONE_E_USAGE. */
#ifndef HN_DATA_H
#define HN_DATA_H

#include "ops/base/io.h"
#include "ops/base/memory.h"
#include "ops/base/status.h"
#include "ops/base/tensor.h"

/* Sentences for the user about automatic decisions, "; " between them; cut when full. Zero it before use. */
struct hn_note {
    char text[1024];
};
void hn_note_add(struct hn_note *note, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* NULL allowed */

/* Where to read. path "-" is standard input (once a process); note may be NULL; max_bytes bounds the file and what it
 * inflates to, 0 = no limit but memory's. */
struct hn_foreign; /* plugin/data/foreign.h */
struct hn_source {
    const struct hn_io *io;
    struct hn_mem *mem;
    const char *path;
    size_t max_bytes;
    struct hn_note *note;
    const struct hn_foreign *readers; /* of plug-ins; NULL: none */
};

/* ---- Arrays ---------------------------------------------------------------------------------------------------- */

enum hn_encoding { HN_ENCODE_NONE = 0, HN_ENCODE_ONEHOT = 1, HN_ENCODE_ORDINAL = 2 };

/* What a category that the training table did not have becomes in an encoded column: an error, a number (of a category; another
 * is none of one-hot ones), a missing cell. */
enum hn_unknown { HN_UNKNOWN_ERROR = 0, HN_UNKNOWN_CODE, HN_UNKNOWN_MISSING };

/* One column of a table. Encoded columns hold category numbers 0…n_category-1 (sorted: by number when all are numbers,
 * else by bytes) until hn_recipe_apply spreads the one-hot ones. (struct hn_column is a column of a data set, in
 * ops/math/op.h.) */
struct hn_table_column {
    const char *name;
    enum hn_encoding encoding;
    const char *const *category;
    int64_t n_category;
    enum hn_unknown unknown;
    double unknown_code; /* of HN_UNKNOWN_CODE */
    int64_t place;       /* in the file, from 0; of a record: 0 */
};

/* A whole number as a text file spells it, and the first row that does. */
struct hn_spelling {
    const char *text;
    double number;
    int64_t row;
};

/* Rows of equal size. dims[0] = rows; per_row = product of the other dims (1 for rank 1). Element type as in the source:
 * u8 images stay u8 and are converted when a batch is gathered. Row-major, data aligned to its element size. Tables are
 * HN_F32 (HN_F64 on request); label, group and target columns HN_F64, or HN_STR (data: const char *const *).
 * A zeroed struct is an empty array; close is safe on it. The struct may be
 * moved, but only one copy may be closed: it owns a mapping or a block. */
struct hn_array {
    const char *name;   /* "" when the caller gave none */
    const char *source; /* the file, for messages */
    enum hn_dtype dtype;
    int rank;
    int64_t dims[HN_MAX_RANK];
    int64_t rows, per_row;
    const void *data;
    double scale;       /* --x-scale: applied by gather and hn_scaler_fit; 1 when not set */
    int64_t first_line; /* line of row 0 in a text file whose rows are one line each; 0: unknown */
    int64_t n_missing;  /* cells that are NaN because keep_missing was asked */
    struct hn_table_column *columns; /* per_row of them when it came from a table, else NULL */
    const struct hn_spelling
        *spelling; /* one column of numbers that names could be, too: 007, or 1 beside 2.0;
                                           all that stand in it, by number. Else none */
    int64_t n_spelling;
    int named; /* their names are the file's own: it has a header */
    /* private */
    struct hn_mem *mem;
    void *block;           /* owned data, else data points into file or belongs to the caller */
    struct hn_file file;   /* the mapping data points into */
    struct hn_arena arena; /* names, columns, categories, strings */
};
void hn_array_close(struct hn_array *a);

/* Any file Hone reads by itself: .csv .tsv .txt (all columns; numbers, or one text column), .npy (numbers, or one text a row), .npz:KEY (KEY may be
 * left out when there is one array), IDX; each also gzipped (not .npz). Told apart by content first, then by name.
 * Infinities and NaN are refused. csv may be NULL. `name` is copied. */
struct hn_csv_options;
hone_status hn_array_open(struct hn_array *a, const struct hn_source *src, const char *name,
                          const struct hn_csv_options *csv, hone_error *err);

/* Around a tensor the caller holds (TensorProto .pb, memory of a host). The data are borrowed and must outlive a, unless
 * copy is set. Unaligned data are always copied. A scalar is one row. */
hone_status hn_array_wrap(struct hn_array *a, struct hn_mem *mem, const char *name,
                          const struct hn_tensor *t, int copy, hone_error *err);
/* The same around text [rows, columns], or one a row (HN_STR): borrowed, none may be NULL. */
hone_status hn_array_wrap_texts(struct hn_array *a, struct hn_mem *mem, const char *name,
                                const struct hn_tensor *t, hone_error *err);
hone_status hn_array_wrap_text(struct hn_array *a, struct hn_mem *mem, const char *name,
                               const char *const *text, int64_t rows, hone_error *err);

/* dst[i, :] = scale * a[rows[i], :] as `to` (HN_F32, HN_F64 or an integer type); rows NULL: rows 0…n-1 from `first` on.
 * Not for HN_STR. No allocation, no system call, cannot fail. */
void hn_array_gather(const struct hn_array *a, const uint32_t *rows, int64_t n, enum hn_dtype to,
                     void *dst);
void hn_array_range(const struct hn_array *a, int64_t first, int64_t n, enum hn_dtype to,
                    void *dst);
double hn_array_at(const struct hn_array *a, int64_t row,
                   int64_t j); /* scale included; not for HN_STR */

/* "row 17" as the messages count (see above); buf >= 48 bytes; returns buf. */
const char *hn_array_row_name(const struct hn_array *a, int64_t row, char *buf);
hone_status hn_array_check_finite(const struct hn_array *a, hone_error *err);
/* Whether all elements are finite as `to` (HN_F32, HN_F64), the factor included, as hn_array_gather makes them of finite ones. */
hone_status hn_array_check_range(const struct hn_array *a, enum hn_dtype to, hone_error *err);
/* x and y must have as many rows as each other; names both files and both counts. */
hone_status hn_array_check_rows(const struct hn_array *x, const struct hn_array *y,
                                hone_error *err);
/* w as weights for the rows of `first` (its own where NULL): one number a row, 0 or more, that float32 can hold. */
hone_status hn_array_check_weights(const struct hn_array *w, const struct hn_array *first,
                                   hone_error *err);
/* A group for each row of first: a number or a text. */
hone_status hn_array_check_groups(const struct hn_array *g, const struct hn_array *first,
                                  hone_error *err);
/* XXH3 (128 bits) over names, types, dims, scale and bytes of n arrays: resume compares it. */
hone_status hn_data_fingerprint(const struct hn_array *const *arrays, size_t n, struct hn_mem *mem,
                                uint64_t out[2], hone_error *err);

/* ---- Readers by format ----------------------------------------------------------------------------------------- */
/* From memory, for tests and fuzzing; f is taken over (a closes it, also on failure). */
hone_status hn_npy_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, hone_error *err);
hone_status hn_idx_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, hone_error *err);
/* One array of a zip archive; key NULL: the only one. */
hone_status hn_npz_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, const char *key, hone_error *err);

/* ---- CSV ------------------------------------------------------------------------------------------------------- */

enum hn_header { HN_HEADER_AUTO = 0, HN_HEADER_YES = 1, HN_HEADER_NO = 2 };

struct hn_encode {
    const char *column; /* name or 0-based index */
    enum hn_encoding encoding;
};

/* What unknown categories are to become in a column, or (column NULL) in all encoded ones; of several that suit the last one.
 * NONE: -1, which is zeros of a one-hot column. RARE: one category with those of fewer than `rows` rows of the training table;
 * where there are none, as NONE. VALUE: a category of it; of an ordinal column a number, too, that no category has. */
enum hn_unknown_how {
    HN_UNKNOWN_AS_ERROR = 0,
    HN_UNKNOWN_AS_NONE,
    HN_UNKNOWN_AS_MISSING,
    HN_UNKNOWN_AS_RARE,
    HN_UNKNOWN_AS_VALUE
};
struct hn_unknown_rule {
    const char *column;
    enum hn_unknown_how how;
    const char *value; /* of AS_VALUE */
    int64_t rows;      /* of AS_RARE */
};

/* Zeroed is the default. Column references are names or 0-based indices; a name wins; headerless columns are c0, c1, …
 * Lists are borrowed during the call. */
struct hn_csv_options {
    enum hn_header header;
    char
        delimiter; /* 0: ',', or ';' or tab when the first line has none of ',', or `decimal` is that */
    char decimal; /* ',' or '.' (also 0) */
    int decimal_kept; /* by a model, of its training table: ',' is not for files whose cells commas separate */
    enum hn_dtype real;    /* HN_F32 (also 0) or HN_F64 */
    const char *const *na; /* missing cells; NULL: "", NA, NaN, nan, null, ? ("" is always one) */
    size_t n_na;
    const char *const *ignore;
    size_t n_ignore;
    int ignore_missing; /* those that the file does not have do not matter */
    const struct hn_encode *encode;
    size_t n_encode;
    const struct hn_unknown_rule *unknown;
    size_t n_unknown;
    const char *const
        *filled; /* columns that rules for missing cells name: features they must be */
    size_t n_filled;
    int keep_missing; /* a missing number becomes NaN for hn_recipe_apply, else it is an error */
    struct hn_cells **cells; /* of hn_csv_read: the file's cells, too; NULL: they are not wanted */
};

/* What is asked of a table, and the array that comes back. Without `columns` a part takes those of `like` by their names, or
 * every column that no part names and that is not ignored. `like` is the recipe of the training table: other files are encoded
 * with its categories. A file with none of its names goes by the order of the columns that are left, if they are as many;
 * `by_order` says so. `columns` beside `like` are taken as they are named; those that `like` knows are encoded as it says.
 * HN_PART_NUMBERS: features: numbers or encoded text, one matrix [rows, columns].
 * HN_PART_VALUES: labels, targets, groups: HN_F64 [rows, columns], or for one column that is not all numbers HN_STR.
 * Missing cells of values are always an error.
 * HN_PART_TEXT: HN_STR [rows, columns], the cells as they stand; none is missing.
 * HN_PART_EITHER: becomes HN_PART_VALUES when the part has one column and nothing is to be encoded or imputed, else
 * HN_PART_NUMBERS; kind says which afterwards. */
enum hn_part_kind { HN_PART_NUMBERS = 0, HN_PART_VALUES = 1, HN_PART_EITHER = 2, HN_PART_TEXT = 3 };

struct hn_recipe;
struct hn_csv_part {
    const char *name; /* of the array */
    enum hn_part_kind kind;
    const char *const *columns;
    size_t n_columns;
    const struct hn_recipe *like;
    int optional; /* the columns may be missing from the file: then the array has no rows */
    int by_name; /* parts with this mark are taken together or not at all: when the file has all of their columns by name (else by hn_is_spelled, if only one is), no other
                     part names one and none is ignored. Then the part without `columns` gets no rows, else these get none */
    int by_order;          /* a result, see above */
    struct hn_array array; /* the result; zeroed on failure */
};

/* Is `name` the column's, as exporters that want identifiers spell it? skl2onnx's "education_num" is "education-num", "_3d" is "3d". */
int hn_is_spelled(const char *column, const char *name);

/* Reads a CSV file once into several parts (all of them have the same rows). At most one part may leave `columns` out.
 * hn_csv_parse is the same over bytes in memory. */
hone_status hn_csv_read(const struct hn_source *src, const struct hn_csv_options *o,
                        struct hn_csv_part *parts, size_t n_parts, hone_error *err);
hone_status hn_csv_parse(const struct hn_source *src, const unsigned char *p, size_t n,
                         const struct hn_csv_options *o, struct hn_csv_part *parts, size_t n_parts,
                         hone_error *err);

/* The cells of a table as they stand in its file, all columns in their order; who asked closes them. */
struct hn_cells;
void hn_cells_close(struct hn_cells *c); /* NULL allowed */
/* From the first row on. What the n columns are called in the file; they live as long as the cells. */
hone_status hn_cells_begin(struct hn_cells *c, const char *const **names, int64_t *n,
                           hone_error *err);
/* The names, or the next row, with commas between; the end of the line is the caller's. */
hone_status hn_cells_write_names(const struct hn_cells *c, struct hn_sink *s, hone_error *err);
hone_status hn_cells_write_row(struct hn_cells *c, struct hn_sink *s, hone_error *err);

/* ---- Recipes: how raw columns become numbers, fitted on training rows, applied to every file ----------------------- */

enum hn_impute {
    HN_IMPUTE_MEAN,
    HN_IMPUTE_MEDIAN,
    HN_IMPUTE_MOST,
    HN_IMPUTE_VALUE,
    HN_IMPUTE_OWN /* a category of their own, behind the others, for encoded columns: its text is "", which no cell has */
};

struct hn_recipe_column {
    struct hn_table_column raw;
    double fill;          /* for missing cells: a number or a category number; NaN: an error */
    int64_t first, width; /* where it lies in the finished row */
    int untaught;         /* just fitted: its category of missing cells is in no row */
};

struct hn_recipe {
    struct hn_arena arena;
    struct hn_recipe_column *columns;
    int64_t n_columns, width; /* raw and finished columns */
    enum hn_dtype real;
    int any; /* encodes or imputes something; 0: apply changes nothing */
};

/* What fills the missing cells of a column, or (column NULL) of all that have no rule of their own; of several that suit the
 * last one. `value` is the text of HN_IMPUTE_VALUE: a number, for encoded columns a category. */
struct hn_impute_rule {
    const char *column;
    enum hn_impute how;
    const char *value;
};

/* Categories are the table's (the whole file, so that no seed can make a row unknown); fills are computed over `rows`
 * (NULL: all). By a rule for all columns encoded ones take the most frequent category for MEAN, MEDIAN and MOST, and a value need
 * not suit columns that miss nothing; a rule of their own must suit them. A column without any value among rows is an error.
 * Without a rule a missing cell is one, when the recipe is applied. An array that is no table gets a recipe that does nothing. */
struct hn_recipe_fitting {
    const struct hn_array *table;
    const uint32_t *rows;
    int64_t n_rows;
    const struct hn_impute_rule *rules;
    size_t n_rules;
};
hone_status hn_recipe_fit(struct hn_recipe *r, struct hn_mem *mem,
                          const struct hn_recipe_fitting *f, hone_error *err);
/* Fills and spreads a in place (one-hot columns are named "COL=CATEGORY"); a must have the recipe's raw columns. */
hone_status hn_recipe_apply(const struct hn_recipe *r, struct hn_array *a, hone_error *err);
/* The same into another array, which the caller closes; a stays as it is. A recipe that does nothing is HONE_E_INTERNAL. */
hone_status hn_recipe_make(const struct hn_recipe *r, const struct hn_array *a,
                           struct hn_array *out, hone_error *err);
void hn_recipe_free(struct hn_recipe *r);
/* The column called so, looked for at place `hint` first; NULL: there is none. */
const struct hn_recipe_column *hn_recipe_find(const struct hn_recipe *r, const char *name,
                                              int64_t hint);
/* r for a's columns instead: those of r's names as r has them, others as plain numbers; or, by_order, r's under a's names. */
hone_status hn_recipe_suit(struct hn_recipe *r, const struct hn_array *a, int by_order,
                           hone_error *err);

/* Gives ordinal columns of tables just read one list of categories: all of theirs, sorted as ever. *changed: they had others. */
#define HN_RARE_NAME "(infrequent)" /* the category of HN_UNKNOWN_AS_RARE */
struct hn_column_at {
    struct hn_array *array;
    int64_t column;
};
hone_status hn_categories_share(struct hn_mem *mem, const struct hn_column_at *at, size_t n,
                                int *changed, hone_error *err);

/* As text, a line a column, appended to what b holds; the lines of one model input from such a text. n_columns 0: the text
 * has none. HONE_E_CORRUPT for a text that is no recipe. */
hone_status hn_recipe_write(struct hn_buffer *b, const char *input, const struct hn_recipe *r,
                            hone_error *err);
hone_status hn_recipe_read(struct hn_recipe *r, struct hn_mem *mem, const char *text,
                           const char *input, enum hn_dtype real, hone_error *err);

/* What stands for a missing cell. The usual list is that of options without one. Two lists are the same in any
 * order, and "" is in each. In such a text they are a line for all inputs; n 0: it has none. */
struct hn_markers {
    const char *const *text;
    size_t n;
};
struct hn_markers hn_markers_usual(void);
int hn_markers_same(struct hn_markers a, struct hn_markers b);
hone_status hn_markers_write(struct hn_buffer *b, struct hn_markers m, hone_error *err);
hone_status hn_markers_read(struct hn_markers *m, struct hn_arena *a, const char *text,
                            hone_error *err);
/* The same of the decimal sign, which has a line where it is a comma. */
hone_status hn_decimal_write(struct hn_buffer *b, char decimal, hone_error *err);
char hn_decimal_read(const char *text);

/* ---- Class labels -------------------------------------------------------------------------------------------------- */

/* Class number → label. text is always there ("1", "Iris-setosa"); number when numeric is set. Numbers are what labels are
 * found by then ("1" is class "01"), but only those spelled 0, 1, … are class numbers: "00" and "0.0" are names. */
struct hn_classes {
    struct hn_arena arena;
    int64_t n;
    int numeric;  /* every label is a number */
    int identity; /* labels are the class numbers 0…n-1 themselves, spelled so */
    double *number;
    const char **text;
    uint32_t *order; /* private: class numbers in the order of their labels */
};
hone_status hn_classes_from_i64(struct hn_classes *c, struct hn_mem *mem, const int64_t *v,
                                int64_t n, hone_error *err);
hone_status hn_classes_from_text(struct hn_classes *c, struct hn_mem *mem, const char *const *v,
                                 int64_t n, hone_error *err);
void hn_classes_free(struct hn_classes *c);

/* The class list for the labels y (one per row; several arrays of a run are mapped with the list of the training one).
 * `model` is the model's own list or NULL; n_classes the number of classes its outputs can tell apart, 0 = unknown.
 *  1. the model's list is numeric and holds every label: that list;
 *  2. integer labels that all lie in 0…n_classes-1 (unknown: all of 0…largest occur): the class numbers themselves;
 *  3. the model has a list: that list (a label outside it is an error);
 *  4. the distinct labels, sorted by number when all are numbers, else by bytes; there must be n_classes of them, because
 *     nobody knows where the missing ones belong.
 * Labels that a file spells otherwise than 0, 1, 2 (00, 01, or 1 beside 2.0) are no class numbers: 1, 3 or 4; a column of
 * 0.0, 1.0, 2.0 alone, as pandas writes integers once a value was missing, has numbers. Two spellings of one number in a
 * column are an error naming both rows. false and true in any case are the labels 0 and 1 of a list that has just those.
 * 3 and 4 are said in the note, 1 when it is not the identity. What fits none of them is an error naming a row. */
struct hn_label_request {
    const struct hn_array *y;
    const struct hn_classes *model;
    int64_t n_classes;
    struct hn_note *note;
};
hone_status hn_labels_fit(struct hn_classes *c, struct hn_mem *mem,
                          const struct hn_label_request *q, hone_error *err);
/* y's labels as class numbers: HN_I32, rank 1. An unknown label is HONE_E_DATA naming row and value. */
hone_status hn_labels_map(const struct hn_classes *c, struct hn_mem *mem, const struct hn_array *y,
                          struct hn_array *out, hone_error *err);
/* Distinct values of any one-per-row array numbered in order of appearance (--group): ids holds a->rows numbers. */
hone_status hn_group_ids(const struct hn_array *a, struct hn_mem *mem, uint32_t *ids,
                         uint32_t *n_groups, hone_error *err);

/* ---- Splits -------------------------------------------------------------------------------------------------------- */

/* test of all rows first, then val of the rest. Sizes: round half up of fraction × rows. Stratified: per class the
 * largest remainders of size × class rows / rows (ties: the lower class). Groups stay whole: shuffled groups are taken
 * while that brings the drawn rows (per class, when stratified) closer to those sizes. The rows drawn are a function of
 * seed, fractions, classes and groups. */
struct hn_split_options {
    uint64_t seed;
    double test, val;       /* 0 = none */
    const int32_t *classes; /* class of each row (data of hn_labels_map) or NULL: not stratified */
    const uint32_t *groups; /* group of each row or NULL */
    uint32_t n_groups;
};
/* Row numbers, ascending, so that rows keep the order of the file. */
struct hn_split {
    struct hn_mem *mem;
    uint32_t *train, *val, *test;
    int64_t n_train, n_val, n_test;
};
hone_status hn_split_rows(struct hn_split *s, struct hn_mem *mem, int64_t rows,
                          const struct hn_split_options *o, hone_error *err);
void hn_split_free(struct hn_split *s);

/* ---- Scalers ------------------------------------------------------------------------------------------------------- */

enum hn_scaling { HN_SCALE_NONE = 0, HN_SCALE_STANDARD = 1, HN_SCALE_MINMAX = 2 };

/* x' = (x - offset) * scale per element of a row. Standard: mean and 1 / population standard deviation; minmax: minimum
 * and 1 / (maximum - minimum). A constant column has scale 1. Sums in double, in the order of rows, two passes. The
 * array's own factor (--x-scale) is applied before. */
struct hn_scaler {
    struct hn_mem *mem;
    enum hn_scaling kind;
    int64_t n;
    double *offset, *scale;
};
hone_status hn_scaler_fit(struct hn_scaler *s, struct hn_mem *mem, enum hn_scaling kind,
                          const struct hn_array *a, const uint32_t *rows, int64_t n_rows,
                          hone_error *err);
/* In place over n gathered rows of HN_F32 or HN_F64: offset and scale are rounded to that type first, as the exported
 * graph does. */
void hn_scaler_apply(const struct hn_scaler *s, enum hn_dtype dtype, void *x, int64_t n);
void hn_scaler_free(struct hn_scaler *s);

/* ---- Writers (predictions): matrices into any sink ------------------------------------------------------------ */

/* The header of a .npy file; the caller then writes the rows' bytes (little-endian, row-major) into the same sink. */
hone_status hn_npy_write_header(struct hn_sink *s, enum hn_dtype dtype, int rank,
                                const int64_t *dims, hone_error *err);
/* Numbers, or text as NumPy's '<U'. */
hone_status hn_npy_write(struct hn_sink *s, const struct hn_tensor *t, hone_error *err);
/* A stored .npz of n arrays; entries have no time stamp of their own, so that equal arrays give equal bytes. */
hone_status hn_npz_write(struct hn_sink *s, struct hn_mem *mem, const char *const *names,
                         const struct hn_tensor *t, size_t n, hone_error *err);
/* CSV: a line of names; one cell, a text (quoted when it has to be, with a leading ' when a spreadsheet would run it) or
 * element i of t (the shortest form that reads back the same; type of t: any number). */
hone_status hn_csv_write_names(struct hn_sink *s, const char *const *names, int64_t n,
                               hone_error *err);
hone_status hn_csv_write_cell(struct hn_sink *s, const char *text, hone_error *err);
hone_status hn_csv_write_number(struct hn_sink *s, const struct hn_tensor *t, int64_t i,
                                hone_error *err);
#endif
