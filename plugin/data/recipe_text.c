/* SPDX-License-Identifier: MIT
 *
 * Recipes as text, for the model's metadata: one line a column,
 *
 *     INPUT <tab> COLUMN <tab> none|onehot|ordinal <tab> FILL <tab> CATEGORY <tab> CATEGORY …
 *
 * FILL is a number (of encoded columns a category's number), "-" when missing cells are an error. Backslash, tab and line feed in
 * names are written \\ \t \n. Lines of other inputs may stand between, and where cells are missing that look otherwise than usual
 *
 *     <tab> na <tab> MARKER <tab> MARKER …
 *
 * and what stands for a category that the training table did not have, if anything does,
 *
 *     <tab> unknown <tab> INPUT <tab> COLUMN <tab> NUMBER|missing
 *
 * and where numbers have a decimal comma
 *
 *     <tab> decimal <tab> ,
 *
 * A line whose first field is empty is of no input: who does not know its second field leaves it out. */
#include "ops/base/json.h"
#include "plugin/data/internal.h"
#include <math.h>

static const char *const encoding_names[] = { "none", "onehot", "ordinal", NULL };

static hone_status put_field(struct hn_sink *s, const char *text, hone_error *err)
{
    for (const char *c = text; *c; c++) {
        const char *escape = *c == '\\' ? "\\\\" : *c == '\t' ? "\\t" : *c == '\n' ? "\\n" : NULL;
        HN_TRY(escape ? hn_sink_str(s, escape, err) : s->write(s, c, 1, err));
    }
    return HONE_OK;
}

static hone_status write_unknown(struct hn_sink *s, const char *input,
                                 const struct hn_table_column *c, hone_error *err)
{
    char code[32];
    if (c->unknown == HN_UNKNOWN_ERROR) return HONE_OK;
    hn_format_double(code, c->unknown_code);
    HN_TRY(hn_sink_str(s, "\n\tunknown\t", err));
    HN_TRY(put_field(s, input, err));
    HN_TRY(hn_sink_str(s, "\t", err));
    HN_TRY(put_field(s, c->name, err));
    return hn_sink_printf(s, err, "\t%s", c->unknown == HN_UNKNOWN_MISSING ? "missing" : code);
}

hone_status hn_recipe_write(struct hn_buffer *b, const char *input, const struct hn_recipe *r,
                            hone_error *err)
{
    struct hn_sink *s = &b->sink;
    for (int64_t j = 0; j < r->n_columns; j++) {
        const struct hn_recipe_column *c = &r->columns[j];
        char fill[32] = "-";
        if (!isnan(c->fill)) hn_format_double(fill, c->fill);
        if (b->n) HN_TRY(hn_sink_str(s, "\n", err));
        HN_TRY(put_field(s, input, err));
        HN_TRY(hn_sink_str(s, "\t", err));
        HN_TRY(put_field(s, c->raw.name, err));
        HN_TRY(hn_sink_printf(s, err, "\t%s\t%s", encoding_names[c->raw.encoding], fill));
        for (int64_t k = 0; k < c->raw.n_category; k++) {
            HN_TRY(hn_sink_str(s, "\t", err));
            HN_TRY(put_field(s, c->raw.category[k], err));
        }
    }
    for (int64_t j = 0; j < r->n_columns; j++)
        HN_TRY(write_unknown(s, input, &r->columns[j].raw, err));
    return HONE_OK;
}

/* ---- and back ------------------------------------------------------------------------------------------------------- */

/* The field that begins at *at, unescaped; *at moves to its end: a tab, a line feed or the end of the text. */
static const char *take_field(struct hn_arena *a, const char **at)
{
    size_t n = strcspn(*at, "\t\n"), k = 0;
    char *out = hn_arena_alloc(a, n + 1, 1);
    if (!out) return NULL;
    for (size_t i = 0; i < n; i++) {
        char c = (*at)[i];
        if (c == '\\' && i + 1 < n) {
            c = (*at)[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c;
        }
        out[k++] = c;
    }
    out[k] = 0;
    *at += n;
    return out;
}

static hone_status take_next(struct hn_arena *a, const char **at, const char **out, hone_error *err)
{
    if (**at != '\t') return hn_fail(err, HONE_E_CORRUPT, "hone.table", "a line ends too early");
    ++*at;
    *out = take_field(a, at);
    return *out ? HONE_OK : hn_nomem(err, "a table's recipe", 0);
}

static hone_status read_fill(struct hn_recipe_column *c, const char *text, hone_error *err)
{
    c->fill = (double)NAN;
    if (!strcmp(text, "-")) return HONE_OK;
    if (!hn_cell_number(text, strlen(text), &c->fill) || !isfinite(c->fill) ||
        (c->raw.encoding && !(c->fill >= 0 && c->fill < (double)c->raw.n_category)))
        return hn_fail(err, HONE_E_CORRUPT, "hone.table",
                       "found '%.40s' as the value for missing cells", text);
    return HONE_OK;
}

/* What follows the input's name in a line. */
static hone_status read_column(struct hn_recipe *r, const char **at, hone_error *err)
{
    struct hn_recipe_column *c = &r->columns[r->n_columns];
    const char *kind, *fill, **category;
    size_t room = 1;
    for (const char *p = *at; *p && *p != '\n'; p++) room += *p == '\t';
    *c = (struct hn_recipe_column){ .first = r->width, .width = 1 };
    HN_TRY(take_next(&r->arena, at, &c->raw.name, err));
    HN_TRY(take_next(&r->arena, at, &kind, err));
    HN_TRY(take_next(&r->arena, at, &fill, err));
    int e = 0;
    while (encoding_names[e] && strcmp(encoding_names[e], kind)) e++;
    if (!encoding_names[e])
        return hn_fail(err, HONE_E_CORRUPT, "hone.table", "found '%.40s' as an encoding", kind);
    c->raw.encoding = (enum hn_encoding)e;
    c->raw.category = category = hn_arena_alloc(&r->arena, room, sizeof *category);
    if (!category) return hn_nomem(err, "a table's recipe", room * sizeof *category);
    while (**at == '\t') HN_TRY(take_next(&r->arena, at, &category[c->raw.n_category++], err));
    if (e == HN_ENCODE_ONEHOT) c->width = c->raw.n_category;
    HN_TRY(read_fill(c, fill, err));
    r->any |= e != HN_ENCODE_NONE || !isnan(c->fill);
    r->width += c->width;
    r->n_columns++;
    return HONE_OK;
}

static hone_status read_lines(struct hn_recipe *r, const char *text, const char *input,
                              hone_error *err)
{
    size_t lines = 1;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    r->columns = hn_arena_alloc(&r->arena, lines, sizeof *r->columns);
    if (!r->columns) return hn_nomem(err, "a table's recipe", lines * sizeof *r->columns);
    for (const char *at = text; *at; at += *at == '\n') {
        const char *name = take_field(&r->arena, &at);
        if (!name) return hn_nomem(err, "a table's recipe", 0);
        if (!strcmp(name, input))
            HN_TRY(read_column(r, &at, err));
        else
            at += strcspn(at, "\n");
        if (*at && *at != '\n')
            return hn_fail(err, HONE_E_CORRUPT, "hone.table", "a line does not end");
    }
    return HONE_OK;
}

/* at: behind "<tab>unknown". */
static hone_status read_unknown(struct hn_recipe *r, const char *at, const char *input,
                                hone_error *err)
{
    const char *of, *column, *code;
    HN_TRY(take_next(&r->arena, &at, &of, err));
    HN_TRY(take_next(&r->arena, &at, &column, err));
    HN_TRY(take_next(&r->arena, &at, &code, err));
    for (int64_t j = 0; j < r->n_columns && !strcmp(of, input); j++) {
        struct hn_table_column *c = &r->columns[j].raw;
        if (strcmp(c->name, column) != 0) continue;
        c->unknown = strcmp(code, "missing") ? HN_UNKNOWN_CODE : HN_UNKNOWN_MISSING;
        if (c->unknown == HN_UNKNOWN_CODE &&
            (!hn_cell_number(code, strlen(code), &c->unknown_code) ||
             !isfinite((float)c->unknown_code)))
            return hn_fail(err, HONE_E_CORRUPT, "hone.table",
                           "found '%.40s' for unknown categories", code);
    }
    return HONE_OK;
}

static hone_status read_unknowns(struct hn_recipe *r, const char *text, const char *input,
                                 hone_error *err)
{
    static const char key[] = "\tunknown\t";
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (!strncmp(at, key, strlen(key)))
            HN_TRY(read_unknown(r, at + strlen(key) - 1, input, err));
    }
    return HONE_OK;
}

hone_status hn_recipe_read(struct hn_recipe *r, struct hn_mem *mem, const char *text,
                           const char *input, enum hn_dtype real, hone_error *err)
{
    memset(r, 0, sizeof *r);
    hn_arena_init(&r->arena, mem);
    r->real = real;
    hone_status st = read_lines(r, text, input, err);
    if (st == HONE_OK) st = read_unknowns(r, text, input, err);
    if (st != HONE_OK) hn_recipe_free(r);
    return st;
}

/* ---- what missing cells look like ------------------------------------------------------------------------------------ */

struct hn_markers hn_markers_usual(void)
{
    static const char *const usual[] = { "", "NA", "NaN", "nan", "null", "?" };
    return (struct hn_markers){ usual, HN_COUNT(usual) };
}

static int all_in(struct hn_markers a, struct hn_markers b)
{
    for (size_t i = 0; i < a.n; i++) {
        size_t k = 0;
        while (k < b.n && strcmp(a.text[i], b.text[k]) != 0) k++;
        if (k == b.n && a.text[i][0]) return 0;
    }
    return 1;
}

int hn_markers_same(struct hn_markers a, struct hn_markers b)
{
    return all_in(a, b) && all_in(b, a);
}

hone_status hn_markers_write(struct hn_buffer *b, struct hn_markers m, hone_error *err)
{
    HN_TRY(hn_sink_str(&b->sink, b->n ? "\n\tna" : "\tna", err));
    for (size_t i = 0; i < m.n; i++) {
        HN_TRY(hn_sink_str(&b->sink, "\t", err));
        HN_TRY(put_field(&b->sink, m.text[i], err));
    }
    return HONE_OK;
}

/* at: behind "<tab>na". */
static hone_status read_markers(struct hn_markers *m, struct hn_arena *a, const char *at,
                                hone_error *err)
{
    size_t room = 1;
    for (const char *p = at; *p && *p != '\n'; p++) room += *p == '\t';
    const char **text = hn_arena_alloc(a, room, sizeof *text);
    if (!text) return hn_nomem(err, "the list of missing cells", room * sizeof *text);
    for (m->n = 0; *at == '\t'; m->n++) HN_TRY(take_next(a, &at, &text[m->n], err));
    m->text = text;
    return HONE_OK;
}

hone_status hn_markers_read(struct hn_markers *m, struct hn_arena *a, const char *text,
                            hone_error *err)
{
    static const char key[] = "\tna\t";
    *m = (struct hn_markers){ 0 };
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (!strncmp(at, key, strlen(key))) return read_markers(m, a, at + strlen(key) - 1, err);
    }
    return HONE_OK;
}

/* ---- the decimal sign -------------------------------------------------------------------------------------------------- */

hone_status hn_decimal_write(struct hn_buffer *b, char decimal, hone_error *err)
{
    if (decimal != ',') return HONE_OK;
    return hn_sink_str(&b->sink, b->n ? "\n\tdecimal\t," : "\tdecimal\t,", err);
}

char hn_decimal_read(const char *text)
{
    static const char key[] = "\tdecimal\t,";
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (!strncmp(at, key, strlen(key))) return ',';
    }
    return '.';
}
