/* SPDX-License-Identifier: MIT
 *
 * How a column of numbers spells them. Labels 00, 01, 02 are numbers to the reader, but what comes back for them must be
 * 00, 01, 02; whether a column holds labels is known only later (labels.c). So for one column of values the distinct
 * spellings of whole numbers are kept, up to as many as there may be classes: more are no labels. */
#include "plugin/data/csv.h"

#include <math.h>

enum { SPELLINGS_MAX = 65536 };

static unsigned kind_of(const char *s, size_t n)
{
    size_t minus = *s == '-', digits = minus;
    while (digits < n && s[digits] >= '0' && s[digits] <= '9') digits++;
    if (digits < n) return *s == '+' ? HN_SPELLED_ODD : HN_SPELLED_FLOAT;
    if (s[minus] == '0' && n > 1) return HN_SPELLED_ODD; /* 007, -0 */
    return HN_SPELLED_INT;
}

static int is_around(char c, char delimiter)
{
    return c == ' ' || c == '\t' || c == '"' || c == '\n' || c == '\r' || c == delimiter;
}

static void forget(struct hn_csv_reader *r, struct hn_csv_matrix *m)
{
    hn_words_free(&m->spelled->words);
    hn_free(r->src->mem, m->spelled->row);
    hn_free(r->src->mem, m->spelled);
    m->spelled = NULL;
}

hone_status hn_csv_spell(struct hn_csv_reader *r, struct hn_csv_matrix *m, const char *s, size_t n,
                         double v)
{
    struct hn_csv_spelling *sp = m->spelled;
    if (v != floor(v)) {
        sp->fraction = 1;
        return HONE_OK;
    }
    while (n && is_around(*s, r->t.delimiter)) s++, n--;
    while (n && is_around(s[n - 1], r->t.delimiter)) n--;
    if (!n) return HONE_OK;
    const size_t known = sp->words.n;
    const int64_t id = hn_words_add(&sp->words, s, n);
    if (id < 0) return hn_nomem(r->err, "the labels of a column", n);
    if ((size_t)id < known) return HONE_OK;
    if (known == SPELLINGS_MAX) {
        forget(r, m);
        return HONE_OK;
    }
    size_t filled = known;
    if (!HN_PUSH(r->src->mem, sp->row, filled, sp->cap, r->rows))
        return hn_nomem(r->err, "the labels of a column", n);
    sp->seen |= kind_of(s, n);
    return HONE_OK;
}

hone_status hn_csv_spelling_begin(struct hn_csv_reader *r, struct hn_csv_matrix *m)
{
    m->spelled = hn_calloc(r->src->mem, 1, sizeof *m->spelled);
    if (!m->spelled) return hn_nomem(r->err, "the labels of a column", sizeof *m->spelled);
    hn_words_init(&m->spelled->words, r->src->mem, &r->arena);
    m->spelled->words.decimal = r->t.decimal;
    return HONE_OK;
}

void hn_csv_spelling_end(struct hn_csv_reader *r, struct hn_csv_matrix *m)
{
    if (m->spelled) forget(r, m);
}

hone_status hn_csv_spelling_keep(struct hn_csv_reader *r, const struct hn_csv_matrix *m,
                                 struct hn_array *a)
{
    const struct hn_csv_spelling *sp = m->spelled;
    const unsigned mixed = HN_SPELLED_INT | HN_SPELLED_FLOAT;
    if (!sp || !sp->words.n) return HONE_OK;
    if (!(sp->seen & HN_SPELLED_ODD) && (sp->fraction || (sp->seen & mixed) != mixed))
        return HONE_OK;
    const size_t n = sp->words.n;
    struct hn_spelling *list = hn_arena_alloc(&a->arena, n, sizeof *list);
    double *number = hn_arena_alloc(&r->arena, n, sizeof *number);
    uint32_t *order = hn_arena_alloc(&r->arena, n, sizeof *order);
    if (!list || !number || !order)
        return hn_nomem(r->err, "the labels of a column", n * sizeof *list);
    (void)hn_words_sort(&sp->words, order, number);
    for (size_t i = 0; i < n; i++) {
        const uint32_t k = order[i];
        list[i] = (struct hn_spelling){ .text = hn_arena_strdup(&a->arena, sp->words.word[k].text),
                                        .number = number[k],
                                        .row = sp->row[k] };
        if (!list[i].text) return hn_nomem(r->err, "a label", sp->words.word[k].n);
    }
    a->spelling = list;
    a->n_spelling = (int64_t)n;
    return HONE_OK;
}
