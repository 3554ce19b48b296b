/* SPDX-License-Identifier: MIT
 *
 * CSV files into arrays. Numbers go straight into the row-major matrices of the parts that want them; strings are kept
 * for text columns only. Values that turn out to be text in the middle of a file make the reader start over with that
 * column as text. */
#include "plugin/data/csv.h"
#include "plugin/data/foreign.h"

static hone_status reader_begin(struct hn_csv_reader *r)
{
    const struct hn_markers given = { r->o->na, r->o->n_na },
                            na = r->o->na ? given : hn_markers_usual();
    double v;
    for (size_t i = 0; i < na.n; i++) {
        if (hn_words_add(&r->missing, na.text[i], strlen(na.text[i])) < 0)
            return hn_nomem(r->err, "the list of missing cells", 0);
        r->numbers_missing |= hn_cell_number(na.text[i], strlen(na.text[i]), &v) && v == v;
    }
    for (size_t i = 0; i < r->n_parts; i++)
        HN_TRY(
            hn_array_begin(&r->parts[i].array, r->src->mem, r->parts[i].name, r->t.path, r->err));
    return HONE_OK;
}

static void reader_end(struct hn_csv_reader *r)
{
    for (int64_t j = 0; r->columns && j < r->n_columns; j++) hn_words_free(&r->columns[j].words);
    for (size_t i = 0; i < r->n_parts; i++) {
        hn_csv_spelling_end(r, &r->matrix[i]);
        hn_free(r->src->mem, r->matrix[i].block);
    }
    hn_words_free(&r->missing);
    hn_words_free(&r->names);
    hn_free(r->src->mem, r->t.scratch);
    hn_arena_clear(&r->arena);
}

/* Categories get their final numbers: sorted ones. Codes of missing cells (NaN) stay. */
static hone_status sort_categories(struct hn_csv_reader *r, struct hn_csv_column *c,
                                   struct hn_table_column *out)
{
    struct hn_csv_matrix *m = &r->matrix[c->part];
    struct hn_arena *arena = &r->parts[c->part].array.arena;
    size_t n = c->words.n, room = n ? n : 1, kept = n;
    const char **category = hn_arena_alloc(arena, room, sizeof *category);
    uint32_t *order = hn_arena_alloc(&r->arena, room, sizeof *order);
    double *value = hn_arena_alloc(&r->arena, room, sizeof *value);
    if (!category || !order || !value)
        return hn_nomem(r->err, "the categories of a column", n * sizeof *value);
    if (c->known)
        for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    else
        hn_words_sort(&c->words, order, value);
    HN_TRY(hn_csv_join_rare(r, c, order, &kept));
    for (size_t i = 0; i < n; i++) /* from here on: old number → new number */
        value[order[i]] = (double)(i < kept ? i : kept - 1);
    for (size_t i = 0; i < kept; i++) category[i] = hn_csv_category(c, order[i], i);
    for (int64_t i = 0; i < r->rows && !c->known; i++) {
        char *row = m->block + (size_t)i * m->row_bytes;
        float *f = (float *)(void *)row + c->at;
        double *d = (double *)(void *)row + c->at;
        if (m->dtype == HN_F32 && *f == *f)
            *f = (float)value[(size_t)*f];
        else if (m->dtype == HN_F64 && *d == *d)
            *d = value[(size_t)*d];
    }
    out->category = category;
    out->n_category = (int64_t)kept;
    return hn_csv_finish_unknown(r, c, out);
}

static hone_status finish_part(struct hn_csv_reader *r, size_t i)
{
    struct hn_csv_part *part = &r->parts[i];
    struct hn_csv_matrix *m = &r->matrix[i];
    struct hn_array *a = &part->array;
    int64_t dims[2] = { r->rows, m->width };
    a->columns = hn_arena_alloc(&a->arena, (size_t)m->width, sizeof *a->columns);
    if (!a->columns)
        return hn_nomem(r->err, "the columns of a table", (size_t)m->width * sizeof *a->columns);
    for (int64_t k = 0; k < m->width; k++) {
        struct hn_csv_column *c = &r->columns[m->columns[k]];
        struct hn_table_column *out = &a->columns[k];
        out->encoding = c->encoding;
        out->place = m->columns[k];
        if (!(out->name = hn_arena_strdup(&a->arena, c->name)))
            return hn_nomem(r->err, "a column name", 0);
        if (c->encoding) HN_TRY(sort_categories(r, c, out));
    }
    HN_TRY(hn_array_shape(a, m->dtype, part->kind == HN_PART_VALUES && m->width == 1 ? 1 : 2, dims,
                          NULL, r->err));
    HN_TRY(hn_csv_spelling_keep(r, m, a));
    a->named = r->header;
    if (!r->t.broken_lines && !r->input->foreign) a->first_line = r->header ? 2 : 1;
    a->data = a->block = m->block;
    m->block = NULL;
    return HONE_OK;
}

static hone_status attempt(struct hn_csv_reader *r)
{
    HN_TRY(reader_begin(r));
    HN_TRY(hn_csv_text_begin(&r->t, r->src->note, r->err));
    HN_TRY(hn_csv_plan(r));
    HN_TRY(r->input->foreign ? hn_csv_foreign_rows(r) : hn_csv_rows(r));
    if (r->o->cells) hn_cells_of(*r->o->cells, r);
    for (size_t i = 0; i < r->n_parts; i++) {
        if (r->matrix[i].width)
            HN_TRY(finish_part(r, i));
        else
            hn_array_close(&r->parts[i].array);
    }
    return HONE_OK;
}

hone_status hn_csv_parse_input(const struct hn_source *src, const struct hn_csv_input *in,
                               const struct hn_csv_options *o, struct hn_csv_part *parts,
                               size_t n_parts, hone_error *err)
{
    static const struct hn_csv_options defaults;
    const char *path = strcmp(src->path, "-") == 0 ? "standard input" : src->path;
    if (!n_parts) return hn_fail(err, HONE_E_USAGE, path, "no part of the table is asked for");
    if (!o) o = &defaults;
    for (size_t i = 0; i < n_parts; i++) memset(&parts[i].array, 0, sizeof parts[i].array);
    struct hn_csv_matrix *matrix = hn_calloc(src->mem, n_parts, sizeof *matrix);
    if (!matrix) return hn_nomem(err, "the parts of a table", n_parts * sizeof *matrix);
    for (size_t i = 0; i < n_parts; i++) matrix[i].text = parts[i].kind == HN_PART_TEXT;
    struct hn_source from = *src;
    struct hn_csv_reader r;
    hone_status st;
    do {
        memset(&r, 0, sizeof r);
        r.src = &from, r.input = in, r.o = o, r.parts = parts, r.n_parts = n_parts,
        r.matrix = matrix, r.err = err, r.late = src->note;
        r.t = (struct hn_csv_text){ .begin = (const char *)in->p,
                                    .end = (const char *)in->p + in->n,
                                    .path = path,
                                    .delimiter = o->delimiter,
                                    .decimal = in->foreign || o->decimal != ',' ? '.' : ',',
                                    .decimal_kept = o->decimal_kept,
                                    .mem = src->mem };
        hn_arena_init(&r.arena, src->mem);
        hn_words_init(&r.missing, src->mem, &r.arena);
        hn_words_init(&r.names, src->mem, &r.arena);
        st = attempt(&r);
        reader_end(&r);
        for (size_t i = 0; i < n_parts; i++) {
            if (st != HONE_OK) hn_array_close(&parts[i].array);
            matrix[i] = (struct hn_csv_matrix){ .text = matrix[i].text };
        }
        from.note = NULL; /* said once */
    } while (r.again);
    hn_free(src->mem, matrix);
    return st;
}

hone_status hn_csv_parse(const struct hn_source *src, const unsigned char *p, size_t n,
                         const struct hn_csv_options *o, struct hn_csv_part *parts, size_t n_parts,
                         hone_error *err)
{
    const struct hn_csv_input in = { p, n, NULL };
    return hn_csv_parse_input(src, &in, o, parts, n_parts, err);
}

hone_status hn_csv_read(const struct hn_source *src, const struct hn_csv_options *o,
                        struct hn_csv_part *parts, size_t n_parts, hone_error *err)
{
    struct hn_source from = *src;
    struct hn_foreign_file here, *ff = &here;
    struct hn_cells **cells = o ? o->cells : NULL;
    for (size_t i = 0; i < n_parts; i++) memset(&parts[i].array, 0, sizeof parts[i].array);
    hone_status st = cells ? hn_cells_create(cells, &from, &ff, err) : HONE_OK;
    if (st == HONE_OK) st = hn_foreign_begin(ff, &from, err);
    const int is_open = st == HONE_OK;
    if (is_open)
        st = ff->by ? hn_foreign_table(ff, &from, o, parts, n_parts, err)
                    : hn_csv_parse(&from, ff->f.p, ff->f.n, o, parts, n_parts, err);
    if (is_open && !cells) hn_foreign_end(ff);
    if (st == HONE_OK || !cells) return st;
    hn_cells_close(*cells);
    *cells = NULL;
    return st;
}
