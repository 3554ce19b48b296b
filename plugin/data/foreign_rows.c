/* SPDX-License-Identifier: MIT
 *
 * The rows of a table that a plug-in reads into the matrices of a CSV plan. A plain number is stored as it is; all else
 * becomes the text that a CSV file would have, so that missing cells, categories and labels mean the same. */
#include "ops/base/json.h"
#include "plugin/data/csv.h"
#include "plugin/data/foreign.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { FIRST_ROWS = 4096 };

const char *hn_foreign_text(const hone_cell *in, struct hn_csv_cell *c, char buf[HN_FOREIGN_NUMBER])
{
    const char *why = hn_foreign_bad_cell(in);
    *c = (struct hn_csv_cell){ .s = "", .end = HN_CSV_DELIMITER };
    if (why) return why;
    if (in->type == HONE_CELL_TEXT) {
        if (in->length) c->s = in->value.text, c->n = in->length;
        return NULL;
    }
    if (in->type == HONE_CELL_MISSING || (in->type == HONE_CELL_NUMBER && isnan(in->value.number)))
        return NULL;
    if (in->type == HONE_CELL_NUMBER)
        hn_format_double(buf, in->value.number);
    else
        (void)snprintf(buf, HN_FOREIGN_NUMBER, "%" PRId64, in->value.whole);
    c->s = buf, c->n = strlen(buf);
    return NULL;
}

static hone_status text_of(const struct hn_csv_reader *r, int64_t column, const hone_cell *in,
                           struct hn_csv_cell *c, char buf[HN_FOREIGN_NUMBER])
{
    const char *why = hn_foreign_text(in, c, buf);
    struct hn_shown s;
    if (!why) return HONE_OK;
    return hn_foreign_blame(r->input->foreign, r->err, "gave row %lld, column '%s' %s",
                            (long long)r->t.line, hn_csv_column_name(r, column, &s), why);
}

/* A number that can be nothing else, as it is. */
static int plain_number(const struct hn_csv_reader *r, const struct hn_csv_matrix *m,
                        const hone_cell *in, double *v)
{
    if (r->numbers_missing || (in->type != HONE_CELL_NUMBER && in->type != HONE_CELL_WHOLE))
        return 0;
    *v = in->type == HONE_CELL_WHOLE ? (double)in->value.whole : in->value.number;
    return isfinite(*v) && (m->dtype == HN_F64 || isfinite((float)*v));
}

static hone_status one_number(struct hn_csv_reader *r, const struct hn_csv_run *run, int64_t k,
                              const hone_cell *in, char *row)
{
    struct hn_csv_matrix *m = &r->matrix[run->part];
    struct hn_csv_cell c;
    char buf[HN_FOREIGN_NUMBER];
    double v;
    if (!plain_number(r, m, in, &v)) {
        HN_TRY(text_of(r, run->column + k, in, &c, buf));
        HN_TRY(hn_csv_take_number(r, run->column + k, &c, &v));
        if (m->spelled) HN_TRY(hn_csv_spell(r, m, c.s, c.n, v));
    }
    hn_csv_store(m, row, run->at + k, v);
    return HONE_OK;
}

static hone_status one_row(struct hn_csv_reader *r, const hone_cell *cells)
{
    r->t.line = r->rows + 1;
    for (size_t i = 0; i < r->n_runs; i++) {
        const struct hn_csv_run *run = &r->runs[i];
        struct hn_csv_matrix *m = &r->matrix[run->part];
        char *row = m->block ? m->block + (size_t)r->rows * m->row_bytes : NULL;
        struct hn_csv_cell c;
        char buf[HN_FOREIGN_NUMBER];
        if (run->action == HN_CSV_SKIP) continue;
        for (int64_t k = 0; run->action == HN_CSV_NUMBERS && k < run->count; k++)
            HN_TRY(one_number(r, run, k, &cells[run->column + k], row));
        if (run->action == HN_CSV_NUMBERS) continue;
        HN_TRY(text_of(r, run->column, &cells[run->column], &c, buf));
        HN_TRY(run->action == HN_CSV_CODE ? hn_csv_take_code(r, run, &c, row)
                                          : hn_csv_take_text(r, run, &c, row));
    }
    r->rows++;
    return HONE_OK;
}

/* What was announced is room at first, not more. */
static hone_status grow(struct hn_csv_reader *r, int64_t announced)
{
    int64_t most = announced > 0 && announced < 1 << 20 ? announced : FIRST_ROWS;
    if (!r->matrix[0].cap) return hn_csv_reserve(r, most);
    return hn_csv_reserve(r, r->rows + r->rows / 2 + 16);
}

hone_status hn_csv_foreign_rows(struct hn_csv_reader *r)
{
    struct hn_foreign_file *ff = r->input->foreign;
    hone_reader_rows rows;
    HN_TRY(hn_foreign_rewind(ff, r->err));
    int64_t announced = ff->form.rows;
    for (;;) {
        HN_TRY(hn_foreign_read(ff, &rows, r->err));
        if (!rows.n) break;
        if (announced >= 0 && rows.n > announced - r->rows)
            return hn_foreign_blame(ff, r->err, "gave more rows than the %lld it said",
                                    (long long)announced);
        for (int64_t i = 0; i < rows.n; i++) {
            if (r->rows == r->matrix[0].cap) HN_TRY(grow(r, announced));
            HN_TRY(one_row(r, rows.cells + i * r->n_columns));
        }
    }
    if (announced >= 0 && r->rows != announced)
        return hn_foreign_blame(ff, r->err, "gave %lld rows, and had said %lld", (long long)r->rows,
                                (long long)announced);
    return r->rows ? HONE_OK
                   : hn_fail(r->err, HONE_E_DATA, r->t.path, "found no rows, wanted at least one");
}
