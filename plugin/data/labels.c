/* SPDX-License-Identifier: MIT
 *
 * Class labels ↔ class numbers. The rules stand in data.h; what matters is that a label never lands on another output
 * than the one the model was trained for, so whatever is ambiguous is refused. */
#include "ops/base/json.h"
#include "plugin/data/internal.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

enum { CLASSES_MAX = 65536 };

void hn_classes_free(struct hn_classes *c)
{
    if (c->arena.mem) hn_arena_clear(&c->arena);
    memset(c, 0, sizeof *c);
}

static hone_status classes_begin(struct hn_classes *c, struct hn_mem *mem, int64_t n,
                                 hone_error *err)
{
    memset(c, 0, sizeof *c);
    if (n < 1 || n > CLASSES_MAX)
        return hn_fail(err, HONE_E_DATA, "classes", "found %lld classes, wanted 1 to %d",
                       (long long)n, CLASSES_MAX);
    hn_arena_init(&c->arena, mem);
    c->n = n;
    c->number = hn_arena_alloc(&c->arena, (size_t)n, sizeof *c->number);
    c->text = hn_arena_alloc(&c->arena, (size_t)n, sizeof *c->text);
    c->order = hn_arena_alloc(&c->arena, (size_t)n, sizeof *c->order);
    if (c->number && c->text && c->order) return HONE_OK;
    hn_classes_free(c);
    return hn_nomem(err, "a class list", (size_t)n * sizeof *c->text);
}

/* Whether a label is spelled as the class number k is. */
static int spells(const char *text, size_t k)
{
    char buf[32];
    (void)snprintf(buf, sizeof buf, "%zu", k);
    return strcmp(text, buf) == 0;
}

/* From words that are all different: sorted (class i is the i-th in order) or kept in the order they have. */
static hone_status finish(struct hn_classes *c, const struct hn_words *w, int sorted,
                          hone_error *err)
{
    double *number = hn_arena_alloc(&c->arena, w->n, sizeof *number);
    uint32_t *order = hn_arena_alloc(&c->arena, w->n, sizeof *order);
    if (!number || !order) return hn_nomem(err, "a class list", w->n * sizeof *number);
    c->numeric = hn_words_sort(w, order, number);
    c->identity = c->numeric;
    for (size_t i = 0; i < w->n; i++) {
        if (c->numeric && i && number[order[i]] == number[order[i - 1]])
            return hn_fail(err, HONE_E_DATA, "classes",
                           "'%s' and '%s' are the same number, wanted different classes",
                           w->word[order[i - 1]].text, w->word[order[i]].text);
        size_t at = sorted ? i : order[i]; /* the class number of the i-th word in sorted order */
        c->order[i] = (uint32_t)at;
        c->text[at] = w->word[order[i]].text;
        c->number[at] = c->numeric ? number[order[i]] : 0;
        if (c->identity && !spells(c->text[at], at)) c->identity = 0;
    }
    return HONE_OK;
}

hone_status hn_classes_from_text(struct hn_classes *c, struct hn_mem *mem, const char *const *v,
                                 int64_t n, hone_error *err)
{
    struct hn_words w;
    HN_TRY(classes_begin(c, mem, n, err));
    hone_status st = HONE_OK;
    hn_words_init(&w, mem, &c->arena);
    for (int64_t i = 0; i < n && st == HONE_OK; i++) {
        int64_t id = hn_words_add(&w, v[i], strlen(v[i]));
        if (id < 0) st = hn_nomem(err, "a class list", (size_t)n);
        if (id >= 0 && id != i)
            st = hn_fail(err, HONE_E_DATA, "classes", "'%s' stands twice in the class list", v[i]);
    }
    if (st == HONE_OK) st = finish(c, &w, 0, err);
    hn_words_free(&w);
    if (st != HONE_OK) hn_classes_free(c);
    return st;
}

hone_status hn_classes_from_i64(struct hn_classes *c, struct hn_mem *mem, const int64_t *v,
                                int64_t n, hone_error *err)
{
    struct hn_arena arena;
    hone_status st = HONE_OK;
    memset(c, 0, sizeof *c);
    hn_arena_init(&arena, mem);
    const char **text = n > 0 ? hn_arena_alloc(&arena, (size_t)n, sizeof *text) : NULL;
    for (int64_t i = 0; text && i < n; i++)
        if (!(text[i] = hn_arena_printf(&arena, "%lld", (long long)v[i]))) st = HONE_E_NOMEM;
    if ((n > 0 && !text) || st != HONE_OK)
        st = hn_nomem(err, "a class list", (size_t)n * sizeof *v);
    else
        st = hn_classes_from_text(c, mem, text, n, err);
    hn_arena_clear(&arena);
    return st;
}

/* ---- Finding ---- */

/* -1, 0, 1: label against class k, by number when `by_number`, else by bytes. */
static int compare(const struct hn_classes *c, int64_t k, double number, const char *text)
{
    if (!text) return number < c->number[k] ? -1 : number > c->number[k];
    return strcmp(text, c->text[k]);
}

/* The number that a label is, of a list of numbers. A list of 0 and 1 is of yes and no: what Python writes for them. */
static int label_number(const struct hn_classes *c, const char *text, double *number)
{
    if (hn_cell_number(text, strlen(text), number)) return 1;
    if (c->n != 2 || c->number[c->order[0]] != 0 || c->number[c->order[1]] != 1) return 0;
    *number = strcasecmp(text, "true") == 0;
    return *number == 1 || strcasecmp(text, "false") == 0;
}

/* The class of a label given as a number, or as text; -1 when it has none. */
static int64_t find(const struct hn_classes *c, double number, const char *text)
{
    if (c->numeric && text && !label_number(c, text, &number)) return -1;
    if (c->identity)
        return number >= 0 && number < (double)c->n && number == floor(number) ? (int64_t)number
                                                                               : -1;
    if (c->numeric) text = NULL;
    int64_t low = 0, high = c->n - 1;
    while (low <= high) {
        int64_t mid = (low + high) / 2;
        int order = compare(c, c->order[mid], number, text);
        if (order == 0) return c->order[mid];
        if (order < 0)
            high = mid - 1;
        else
            low = mid + 1;
    }
    return -1;
}

/* How number v is spelled in y's file, where that matters; else NULL. */
static const char *spelling_of(const struct hn_array *y, double v)
{
    int64_t low = 0, high = y->n_spelling;
    while (low < high) {
        const int64_t mid = (low + high) / 2;
        if (y->spelling[mid].number < v)
            low = mid + 1;
        else
            high = mid;
    }
    return low < y->n_spelling && y->spelling[low].number == v ? y->spelling[low].text : NULL;
}

/* The label of a row as text; buf >= 32 bytes holds it where it is but a number. */
static const char *label_text(const struct hn_array *y, int64_t row, char *buf)
{
    if (y->dtype == HN_STR) return ((const char *const *)y->data)[row];
    const char *spelled = spelling_of(y, hn_array_at(y, row, 0));
    if (spelled) return spelled;
    hn_format_double(buf, hn_array_at(y, row, 0));
    return buf;
}

static int64_t find_row(const struct hn_classes *c, const struct hn_array *y, int64_t row)
{
    char buf[32];
    if (y->dtype == HN_STR || !c->numeric) return find(c, 0, label_text(y, row, buf));
    return find(c, hn_array_at(y, row, 0), NULL);
}

/* Label of a row as messages show it. */
static const char *shown_label(const struct hn_array *y, int64_t row, struct hn_shown *s)
{
    char buf[32];
    const char *text = label_text(y, row, buf);
    return hn_show(s, text, strlen(text));
}

/* "a, b, c" or "a, b, ... z" */
static void list_classes(const struct hn_classes *c, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (int64_t k = 0; k < c->n && n + 60 < size; k++) {
        struct hn_shown s;
        if (c->n > 12 && k == 8) {
            k = c->n - 1;
            n += (size_t)snprintf(buf + n, size - n, ", ...");
        }
        n += (size_t)snprintf(buf + n, size - n, "%s%s", k ? ", " : "",
                              hn_show(&s, c->text[k], strlen(c->text[k])));
    }
}

static hone_status unknown_label(const struct hn_classes *c, const struct hn_array *y, int64_t row,
                                 hone_error *err)
{
    char name[48], list[400];
    struct hn_shown s;
    if (c->identity)
        return hn_fail(
            err, HONE_E_DATA, y->source, "%s: found label %s, wanted an integer from 0 to %lld",
            hn_array_row_name(y, row, name), shown_label(y, row, &s), (long long)c->n - 1);
    list_classes(c, list, sizeof list);
    return hn_fail(err, HONE_E_DATA, y->source,
                   "%s: found label '%s', wanted one of the %lld classes: %s",
                   hn_array_row_name(y, row, name), shown_label(y, row, &s), (long long)c->n, list);
}

static hone_status refuse_two(const struct hn_array *y, const struct hn_spelling *a,
                              const struct hn_spelling *b, hone_error *err)
{
    char first[48], second[48];
    struct hn_shown s, t;
    if (a->row > b->row) {
        const struct hn_spelling *swapped = a;
        a = b, b = swapped;
    }
    return hn_hint(
        err,
        hn_fail(err, HONE_E_DATA, y->source,
                "found label '%s' in %s and '%s' in %s, wanted one spelling of a number",
                hn_show(&s, a->text, strlen(a->text)), hn_array_row_name(y, a->row, first),
                hn_show(&t, b->text, strlen(b->text)), hn_array_row_name(y, b->row, second)),
        "different classes need names that are no numbers");
}

/* Whether both are numbers with a point or an exponent: 1.0 and 1.00 are no names. */
static int are_floats(const char *a, const char *b)
{
    return strpbrk(a, ".eE") && strpbrk(b, ".eE");
}

/* Labels of a file as they are spelled there: 1 and 01 may be one class or two. */
static hone_status check_spelling(const struct hn_array *y, hone_error *err)
{
    for (int64_t i = 1; i < y->n_spelling; i++) {
        const struct hn_spelling *a = &y->spelling[i - 1], *b = &y->spelling[i];
        if (a->number == b->number && !are_floats(a->text, b->text))
            return refuse_two(y, a, b, err);
    }
    return HONE_OK;
}

static hone_status check_labels(const struct hn_array *y, hone_error *err)
{
    if (y->per_row != 1)
        return hn_fail(err, HONE_E_DATA, y->source,
                       "found %lld values a row, wanted one class label", (long long)y->per_row);
    return y->dtype == HN_STR ? HONE_OK : hn_array_check_finite(y, err);
}

hone_status hn_labels_map(const struct hn_classes *c, struct hn_mem *mem, const struct hn_array *y,
                          struct hn_array *out, hone_error *err)
{
    void *data;
    size_t bytes;
    memset(out, 0, sizeof *out);
    HN_TRY(check_labels(y, err));
    HN_TRY(check_spelling(y, err));
    HN_TRY(hn_array_begin(out, mem, y->name, y->source, err));
    out->first_line = y->first_line;
    hone_status st = hn_array_shape(out, HN_I32, 1, &y->rows, &bytes, err);
    if (st == HONE_OK) st = hn_array_own(out, bytes, &data, err);
    for (int64_t i = 0; i < y->rows && st == HONE_OK; i++) {
        int64_t k = find_row(c, y, i);
        if (k < 0) st = unknown_label(c, y, i, err);
        ((int32_t *)data)[i] = (int32_t)k;
    }
    if (st != HONE_OK) hn_array_close(out);
    return st;
}

/* ---- Fitting ---- */

/* Row of the first label that list c does not have; -1 when it has all. */
static int64_t first_unknown(const struct hn_classes *c, const struct hn_array *y)
{
    for (int64_t i = 0; i < y->rows; i++)
        if (find_row(c, y, i) < 0) return i;
    return -1;
}

/* Numbers the label of a row; numbers are words of their eight bytes, so that 1 and 1.0 are one. */
static int64_t add_label(struct hn_words *w, const struct hn_array *y, int64_t row)
{
    if (y->dtype == HN_STR) {
        const char *text = ((const char *const *)y->data)[row];
        return hn_words_add(w, text, strlen(text));
    }
    double v = hn_array_at(y, row, 0) + 0.0; /* -0 is 0 */
    return hn_words_add(w, (const char *)&v, sizeof v);
}

/* The distinct labels of y as words of text, most of `limit`; *beyond is the row of the first label more, or -1. */
static hone_status distinct(const struct hn_array *y, struct hn_words *w, int64_t limit,
                            int64_t *beyond, hone_error *err)
{
    struct hn_words seen;
    hone_status st = HONE_OK;
    *beyond = -1;
    hn_words_init(&seen, w->mem, w->arena);
    for (int64_t i = 0; i < y->rows && *beyond < 0 && st == HONE_OK; i++) {
        int64_t id = add_label(&seen, y, i);
        if (id < 0) st = hn_nomem(err, "the class labels", 0);
        if (id >= limit) *beyond = i;
    }
    for (size_t k = 0; k < seen.n && st == HONE_OK; k++) {
        char buf[32];
        const char *text = seen.word[k].text;
        if (y->dtype != HN_STR) {
            double v;
            memcpy(&v, seen.word[k].text, sizeof v);
            if (!(text = spelling_of(y, v))) {
                hn_format_double(buf, v);
                text = buf;
            }
        }
        if (hn_words_add(w, text, strlen(text)) < 0) st = hn_nomem(err, "the class labels", 0);
    }
    hn_words_free(&seen);
    return st;
}

static hone_status identity_classes(struct hn_classes *c, struct hn_mem *mem, int64_t n,
                                    hone_error *err)
{
    HN_TRY(classes_begin(c, mem, n, err));
    c->numeric = c->identity = 1;
    for (int64_t k = 0; k < n; k++) {
        c->number[k] = (double)k;
        c->order[k] = (uint32_t)k;
        if (!(c->text[k] = hn_arena_printf(&c->arena, "%lld", (long long)k))) {
            hn_classes_free(c);
            return hn_nomem(err, "a class list", 0);
        }
    }
    return HONE_OK;
}

/* Whether all labels are integers from 0 on; *largest of them. *bad is the first row that is not (or too large). */
static int all_class_numbers(const struct hn_array *y, int64_t n_classes, int64_t *largest,
                             int64_t *bad)
{
    *largest = 0;
    for (*bad = 0; *bad < y->rows; ++*bad) {
        if (y->dtype == HN_STR || y->n_spelling) return 0;
        double v = hn_array_at(y, *bad, 0);
        if (v < 0 || v != floor(v) || v >= (double)(n_classes ? n_classes : CLASSES_MAX)) return 0;
        if ((int64_t)v > *largest) *largest = (int64_t)v;
    }
    return 1;
}

/* The row of the first label that reads so. */
static int64_t row_of(const struct hn_array *y, const char *text)
{
    char buf[32];
    int64_t i = 0;
    while (i < y->rows && strcmp(label_text(y, i, buf), text) != 0) i++;
    return i;
}

/* Two of y's labels that are one number, named by their rows. */
static hone_status check_different(const struct hn_array *y, const struct hn_words *w,
                                   hone_error *err)
{
    double *number = hn_arena_alloc(w->arena, w->n + 1, sizeof *number);
    uint32_t *order = hn_arena_alloc(w->arena, w->n + 1, sizeof *order);
    if (!number || !order) return hn_nomem(err, "the class labels", w->n * sizeof *number);
    if (!hn_words_sort(w, order, number)) return HONE_OK;
    for (size_t i = 1; i < w->n; i++) {
        if (number[order[i]] != number[order[i - 1]]) continue;
        const char *a = w->word[order[i - 1]].text, *b = w->word[order[i]].text;
        return refuse_two(y, &(struct hn_spelling){ .text = a, .row = row_of(y, a) },
                          &(struct hn_spelling){ .text = b, .row = row_of(y, b) }, err);
    }
    return HONE_OK;
}

/* Rule 4: the labels themselves. `bad` is a row that is no class number. */
static hone_status sorted_classes(struct hn_classes *c, struct hn_mem *mem,
                                  const struct hn_label_request *q, int64_t bad, hone_error *err)
{
    struct hn_arena arena;
    struct hn_words w;
    char name[48], list[400];
    struct hn_shown s;
    int64_t limit = q->n_classes ? q->n_classes : CLASSES_MAX, beyond;
    hn_arena_init(&arena, mem);
    hn_words_init(&w, mem, &arena);
    hone_status st = distinct(q->y, &w, limit, &beyond, err);
    if (st == HONE_OK && beyond < 0 && q->n_classes && (int64_t)w.n < q->n_classes) beyond = bad;
    if (st == HONE_OK && beyond >= 0) {
        int64_t row = q->y->dtype == HN_STR || (int64_t)w.n < limit ? beyond : bad;
        st = hn_fail(err, HONE_E_DATA, q->y->source,
                     "%s: found label '%s' among %s%zu different ones, wanted %lld labels or the "
                     "integers 0 to %lld",
                     hn_array_row_name(q->y, row, name), shown_label(q->y, row, &s),
                     (int64_t)w.n > limit ? "at least " : "", w.n, (long long)limit,
                     (long long)limit - 1);
    }
    if (st == HONE_OK) st = check_different(q->y, &w, err);
    if (st == HONE_OK) st = classes_begin(c, mem, (int64_t)w.n, err);
    if (st == HONE_OK) {
        struct hn_words kept;
        hn_words_init(&kept, mem, &c->arena);
        for (size_t k = 0; k < w.n && st == HONE_OK; k++)
            if (hn_words_add(&kept, w.word[k].text, w.word[k].n) < 0)
                st = hn_nomem(err, "the class labels", 0);
        if (st == HONE_OK) st = finish(c, &kept, 1, err);
        hn_words_free(&kept);
        if (st != HONE_OK) hn_classes_free(c);
    }
    if (st == HONE_OK && !c->identity) {
        list_classes(c, list, sizeof list);
        hn_note_add(q->note, "%s: classes in sorted order: %s", q->y->source, list);
    }
    hn_words_free(&w);
    hn_arena_clear(&arena);
    return st;
}

static hone_status use_model_list(struct hn_classes *c, struct hn_mem *mem,
                                  const struct hn_label_request *q, hone_error *err)
{
    char list[400];
    HN_TRY(hn_classes_from_text(c, mem, q->model->text, q->model->n, err));
    list_classes(c, list, sizeof list);
    if (!c->identity)
        hn_note_add(q->note, "%s: classes as the model lists them: %s", q->y->source, list);
    return HONE_OK;
}

hone_status hn_labels_fit(struct hn_classes *c, struct hn_mem *mem,
                          const struct hn_label_request *q, hone_error *err)
{
    const struct hn_classes *model = q->model;
    const struct hn_array *y = q->y;
    int64_t largest, bad, unknown = 0;
    memset(c, 0, sizeof *c);
    HN_TRY(check_labels(y, err));
    HN_TRY(check_spelling(y, err));
    if (model && q->n_classes && model->n != q->n_classes)
        return hn_fail(err, HONE_E_DATA, y->source,
                       "the model lists %lld classes for outputs that tell %lld apart",
                       (long long)model->n, (long long)q->n_classes);
    if (model) unknown = first_unknown(model, y);
    if (model && model->numeric && unknown < 0) return use_model_list(c, mem, q, err);
    if (all_class_numbers(y, q->n_classes, &largest, &bad)) {
        if (q->n_classes) return identity_classes(c, mem, q->n_classes, err);
        bad = 0;
    }
    if (model && unknown < 0) return use_model_list(c, mem, q, err);
    if (model) return unknown_label(model, y, unknown, err);
    return sorted_classes(c, mem, q, bad, err);
}

hone_status hn_group_ids(const struct hn_array *a, struct hn_mem *mem, uint32_t *ids,
                         uint32_t *n_groups, hone_error *err)
{
    struct hn_arena arena;
    struct hn_words seen;
    HN_TRY(check_labels(a, err));
    hn_arena_init(&arena, mem);
    hn_words_init(&seen, mem, &arena);
    hone_status st = HONE_OK;
    for (int64_t i = 0; i < a->rows && st == HONE_OK; i++) {
        int64_t id = a->dtype == HN_I64
                         ? hn_words_add(&seen, (const char *)((const int64_t *)a->data + i), 8)
                         : add_label(&seen, a, i);
        if (id < 0) st = hn_nomem(err, "the groups", 0);
        ids[i] = (uint32_t)id;
    }
    *n_groups = (uint32_t)seen.n;
    hn_words_free(&seen);
    hn_arena_clear(&arena);
    return st;
}
