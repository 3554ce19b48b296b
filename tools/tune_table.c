/* SPDX-License-Identifier: MIT
 *
 * The table of the best trials: see tune_table.h. */
#include "tools/tune_table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static void free_texts(char **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) free(list[i]);
    free(list);
}

void trial_table_drop(struct trial_table *t, size_t row)
{
    free_texts(t->rows[row].setting, t->n_names);
    t->n_rows--;
    memmove(&t->rows[row], &t->rows[row + 1], (t->n_rows - row) * sizeof *t->rows);
}

void trial_table_free(struct trial_table *t)
{
    while (t->n_rows) trial_table_drop(t, t->n_rows - 1);
    free_texts(t->names, t->n_names);
    free(t->rows);
    free(t->monitor);
    *t = (struct trial_table){ .monitor = NULL };
}

static int grow(char ***list, size_t n)
{
    char **more = realloc(*list, (n + 1) * sizeof *more);
    if (!more) return 0;
    more[n] = NULL;
    *list = more;
    return 1;
}

int trial_table_name(struct trial_table *t, const char *name, size_t length)
{
    for (size_t i = 0; i < t->n_names; i++)
        if (strlen(t->names[i]) == length && !memcmp(t->names[i], name, length)) return (int)i;
    for (size_t r = 0; r < t->n_rows; r++)
        if (!grow(&t->rows[r].setting, t->n_names)) return -1;
    if (!grow(&t->names, t->n_names)) return -1;
    t->names[t->n_names] = strndup(name, length);
    return t->names[t->n_names] ? (int)t->n_names++ : -1;
}

struct trial_row *trial_table_insert(struct trial_table *t, size_t at)
{
    struct trial_row *rows = realloc(t->rows, (t->n_rows + 1) * sizeof *rows);
    if (!rows) return NULL;
    t->rows = rows;
    char **setting = calloc(t->n_names + 1, sizeof *setting);
    if (!setting) return NULL;
    memmove(&rows[at + 1], &rows[at], (t->n_rows - at) * sizeof *rows);
    rows[at] = (struct trial_row){ .value = (double)NAN,
                                   .std = (double)NAN,
                                   .epochs = (double)NAN,
                                   .seconds = (double)NAN,
                                   .setting = setting };
    t->n_rows++;
    return &rows[at];
}

char *setting_text(const char *text)
{
    char buf[32], *end;
    double v = strtod(text, &end);
    if (end == text || *end || !strpbrk(text, ".eE") || !isfinite(v)) return strdup(text);
    snprintf(buf, sizeof buf, "%.4g", v);
    return strdup(buf);
}

/* ---- from a result --------------------------------------------------------------------------------------------------------- */

struct order {
    const json_t *trial;
    int pruned;
    double value; /* lower is better */
};

static int by_value(const void *a, const void *b)
{
    const struct order *p = a, *q = b;
    double x = p->value, y = q->value;
    if (p->pruned != q->pruned && !isnan(x) && !isnan(y)) return p->pruned - q->pruned;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

static int put_settings(struct trial_table *t, struct trial_row *row, const json_t *params)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)params, name, v)
    {
        int i = trial_table_name(t, name, strlen(name));
        char *text =
            json_is_string(v) ? strdup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);
        row->setting[i < 0 ? 0 : i] = i < 0 || !text    ? NULL
                                      : json_is_real(v) ? setting_text(text)
                                                        : strdup(text);
        free(text);
        if (i < 0) return 0;
    }
    return 1;
}

static int add_trial(struct trial_table *t, const json_t *trial)
{
    struct trial_row *row = trial_table_insert(t, t->n_rows);
    if (!row) return 0;
    snprintf(row->label, sizeof row->label, "%.0f%s", jnum(trial, "number"),
             json_is_true(json_object_get(trial, "default")) ? " default" : "");
    snprintf(row->state, sizeof row->state, "%s", jtext(trial, "state"));
    /* what a pruned trial had is no value beside those of complete ones: the state stands there */
    int pruned = !strcmp(row->state, "pruned");
    row->value = pruned ? (double)NAN : jnum(trial, "value");
    row->std = pruned ? (double)NAN : jnum(trial, "std");
    row->epochs = jnum(trial, "epochs");
    row->seconds = jnum(trial, "seconds");
    return put_settings(t, row, json_object_get(trial, "params"));
}

static int add_imported(struct trial_table *t, const json_t *result)
{
    const json_t *imported = json_object_get(json_object_get(result, "baseline"), "imported");
    if (isnan(jnum(imported, "value"))) return 1;
    struct trial_row *row = trial_table_insert(t, t->n_rows);
    if (!row) return 0;
    snprintf(row->label, sizeof row->label, "imported");
    row->value = jnum(imported, "value");
    row->std = jnum(imported, "std");
    return 1;
}

int trial_table_of(struct trial_table *t, const json_t *result, size_t shown)
{
    const json_t *trials = json_object_get(result, "trials");
    size_t n = json_array_size(trials);
    double sign = strcmp(jtext(result, "direction"), "maximize") ? 1 : -1;
    struct order *order = calloc(n + 1, sizeof *order);
    const char *name;
    json_t *axis;
    *t = (struct trial_table){ .monitor = strdup(jtext(result, "monitor")) };
    int ok = order && t->monitor;
    json_object_foreach(json_object_get(result, "space"), name, axis) ok =
        ok && trial_table_name(t, name, strlen(name)) >= 0;
    for (size_t i = 0; ok && i < n; i++) {
        order[i].trial = json_array_get(trials, i);
        order[i].pruned = !strcmp(jtext(order[i].trial, "state"), "pruned");
        order[i].value = sign * jnum(order[i].trial, "value");
    }
    if (ok) qsort(order, n, sizeof *order, by_value);
    for (size_t i = 0; ok && i < n && i < shown; i++) ok = add_trial(t, order[i].trial);
    free(order);
    return ok && add_imported(t, result);
}

/* ---- layout ---------------------------------------------------------------------------------------------------------------- */

int text_width(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

enum { LABEL, VALUE, STD, EPOCHS, SECONDS, FIXED };
struct layout {
    const struct trial_table *t;
    int width[FIXED]; /* 0: left out */
    int *columns;     /* of the settings: width, 0 where all rows agree */
    int digits;       /* after the point, of values */
    int as_columns, indent, limit, cut;
};

/* Five digits of the best value, and so many behind the point for all. */
static int digits_of(const struct trial_table *t)
{
    double v = t->n_rows ? fabs(t->rows[0].value) : 1;
    int d = v > 0 && isfinite(v) ? 4 - (int)floor(log10(v)) : 4;
    return d < 0 ? 0 : d > 8 ? 8 : d;
}

static void cell_text(const struct layout *l, const struct trial_row *r, int column, char buf[40])
{
    buf[0] = 0;
    if (column == LABEL) snprintf(buf, 40, "%s", r->label);
    if (column == VALUE && isnan(r->value)) snprintf(buf, 40, "%s", r->state);
    if (column == VALUE && !isnan(r->value)) {
        snprintf(buf, 40, "%.*f", l->digits, r->value);
        if (strlen(buf) > 12) snprintf(buf, 40, "%.5g", r->value);
    }
    if (column == STD && r->std > 0) {
        snprintf(buf, 40, "± %.*f", l->digits, r->std);
        if (strlen(buf) > 14) snprintf(buf, 40, "± %.3g", r->std);
    }
    if (column == EPOCHS && !isnan(r->epochs)) snprintf(buf, 40, "%.0f", r->epochs);
    if (column == SECONDS && !isnan(r->seconds)) snprintf(buf, 40, "%.2f", r->seconds);
}

static const char *title_of(const struct layout *l, int column)
{
    static const char *const titles[] = { "trial", NULL, "± std", "epochs", "seconds" };
    return titles[column] ? titles[column] : l->t->monitor;
}

/* Rows that have settings: the imported model has none. */
static int has_settings(const struct trial_table *t, const struct trial_row *r)
{
    for (size_t i = 0; i < t->n_names; i++)
        if (r->setting[i]) return 1;
    return 0;
}

static int all_agree(const struct trial_table *t, size_t name)
{
    const char *first = NULL;
    int any = 0;
    for (size_t r = 0; r < t->n_rows; r++) {
        if (!has_settings(t, &t->rows[r])) continue;
        const char *text = t->rows[r].setting[name] ? t->rows[r].setting[name] : "";
        if (any++ && strcmp(first, text) != 0) return 0;
        first = text;
    }
    return any > 1 || !first || !first[0];
}

static int indent_of(const struct layout *l)
{
    int n = 0;
    for (int c = 0; c < FIXED; c++) n += l->width[c] ? l->width[c] + 2 : 0;
    return n;
}

/* Columns for the settings where they fit, if need be without seconds and epochs when lines are cut anyway; else a list, which
 * wants some room. settings: width of their columns. */
static void fit(struct layout *l, int settings)
{
    static const int expendable[] = { SECONDS, EPOCHS, STD };
    int full[FIXED];
    memcpy(full, l->width, sizeof full);
    for (int i = 0; i < 3; i++) {
        l->indent = indent_of(l);
        l->as_columns = !l->limit || l->indent - 2 + settings <= l->limit - l->cut;
        if (l->as_columns || !l->cut) break;
        if (i < 2) l->width[expendable[i]] = 0;
    }
    if (l->as_columns) return;
    memcpy(l->width, full, sizeof full);
    for (int i = 0; i < 3 && l->limit - indent_of(l) < 24; i++) l->width[expendable[i]] = 0;
    l->indent = indent_of(l);
}

static void measure(struct layout *l)
{
    const struct trial_table *t = l->t;
    char buf[40];
    int sum = 0;
    for (int c = 0; c < FIXED; c++) {
        l->width[c] = text_width(title_of(l, c));
        for (size_t r = 0; r < t->n_rows; r++) {
            cell_text(l, &t->rows[r], c, buf);
            if (text_width(buf) > l->width[c]) l->width[c] = text_width(buf);
        }
    }
    for (size_t i = 0; i < t->n_names; i++) {
        if (all_agree(t, i)) continue;
        l->columns[i] = text_width(t->names[i]);
        for (size_t r = 0; r < t->n_rows; r++)
            if (t->rows[r].setting[i] && text_width(t->rows[r].setting[i]) > l->columns[i])
                l->columns[i] = text_width(t->rows[r].setting[i]);
        sum += l->columns[i] + 2;
    }
    fit(l, sum);
}

/* ---- printing -------------------------------------------------------------------------------------------------------------- */

/* A line that grows; what goes beyond the limit is cut or goes on in the next one. */
struct line {
    FILE *f;
    int at, limit, cut, indent, ended;
    int blanks; /* before the next text: none at the end of a line */
};

static void pad(struct line *o, int n)
{
    for (; n > 0 && (!o->limit || o->at < o->limit); n--, o->at++) o->blanks++;
}

static void put(struct line *o, const char *s)
{
    int room = o->limit ? o->limit - o->at - o->cut : 1 << 30, w = text_width(s); /* for … */
    if (o->ended || !*s) return;
    for (; o->blanks > 0; o->blanks--) fputc(' ', o->f);
    if (w > room && !o->cut) {
        print_name(o->f, s);
        o->at += w;
        return;
    }
    o->ended = w > room;
    for (int n = 0; *s; s++) {
        if (((unsigned char)*s & 0xc0) != 0x80 && ++n > room) break;
        fputc((unsigned char)*s < 32 || *s == 127 ? '?' : *s, o->f);
    }
    o->at += w < room ? w : room;
    if (o->ended) fputs("…", o->f);
}

static void put_right(struct line *o, const char *s, int width)
{
    pad(o, width - text_width(s));
    put(o, s);
}

static void new_line(struct line *o)
{
    fputc('\n', o->f);
    o->at = o->blanks = 0;
    pad(o, o->indent);
}

/* "lr=0.01, batch_size=32", in as many lines as it takes. which: those that differ (0) or agree (1) in all rows. */
static void put_list(struct line *o, const struct layout *l, const struct trial_row *r, int which)
{
    int any = 0;
    for (size_t i = 0; i < l->t->n_names; i++) {
        if (!r->setting[i] || (l->columns[i] == 0) != which) continue;
        int w = text_width(l->t->names[i]) + 1 + text_width(r->setting[i]);
        int full = o->limit && !o->cut && o->at + w + 3 > o->limit && o->at > o->indent;
        if (any++) put(o, full ? "," : ", ");
        if (full) new_line(o);
        put(o, l->t->names[i]);
        put(o, "=");
        put(o, r->setting[i]);
    }
}

static void put_row(FILE *f, const struct layout *l, const struct trial_row *r)
{
    struct line o = { .f = f, .limit = l->limit, .cut = l->cut, .indent = l->indent };
    char buf[40];
    for (int c = 0; c < FIXED; c++) {
        if (!l->width[c]) continue;
        if (r)
            cell_text(l, r, c, buf);
        else
            snprintf(buf, sizeof buf, "%s", title_of(l, c));
        if (c != LABEL) pad(&o, 2);
        put_right(&o, buf, l->width[c]);
    }
    for (size_t i = 0; l->as_columns && i < l->t->n_names; i++) {
        if (!l->columns[i]) continue;
        pad(&o, 2);
        put_right(&o, !r ? l->t->names[i] : r->setting[i] ? r->setting[i] : "", l->columns[i]);
    }
    if (l->as_columns || (r && !has_settings(l->t, r))) return;
    int beside = l->cut || l->limit - l->indent >= 60;
    if (!beside) o.indent = l->width[LABEL] + 2; /* below the figures there is more room */
    if (beside)
        pad(&o, 2);
    else if (r)
        new_line(&o);
    if (r)
        put_list(&o, l, r, 0);
    else if (beside)
        put(&o, "settings");
}

static void put_common(FILE *f, const struct layout *l)
{
    int any = 0;
    for (size_t i = 0; i < l->t->n_names && l->t->n_rows; i++)
        any |= l->columns[i] == 0 && l->t->rows[0].setting[i] != NULL;
    if (!any) return;
    struct line o = { .f = f, .limit = l->limit, .cut = l->cut, .indent = 4 };
    put(&o, "all of these trials: ");
    put_list(&o, l, &l->t->rows[0], 1);
    fputc('\n', f);
}

void trial_table_print(FILE *f, const struct trial_table *t, int width, int cut,
                       const char *const best[2])
{
    struct layout l = { .t = t, .limit = width, .cut = cut, .digits = digits_of(t) };
    l.columns = calloc(t->n_names + 1, sizeof *l.columns);
    if (!l.columns) return;
    measure(&l);
    put_row(f, &l, NULL);
    fputc('\n', f);
    for (size_t r = 0; r < t->n_rows; r++) {
        if (!r && best) fputs(best[0], f);
        put_row(f, &l, &t->rows[r]);
        if (!r && best) fputs(best[1], f);
        fputc('\n', f);
    }
    put_common(f, &l);
    free(l.columns);
}

void print_wrapped(FILE *f, const char *text, int width)
{
    int at = 0, gap = 0; /* columns so far, blanks before the next word */
    for (; *text; text++) {
        if (*text == '\n') {
            fputc('\n', f);
            at = gap = 0;
        } else if (*text == ' ') {
            gap++;
        } else {
            char word[512];
            size_t n = strcspn(text, " \n");
            if (n >= sizeof word) n = sizeof word - 1;
            memcpy(word, text, n);
            word[n] = 0;
            int w = text_width(word), full = width && at && at + gap + w > width;
            fprintf(f, "%s%*s%s", full ? "\n" : "", full ? 4 : gap, "", word);
            at = full ? 4 + w : at + gap + w;
            gap = 0;
            text += n - 1;
        }
    }
}
