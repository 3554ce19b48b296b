/* SPDX-License-Identifier: MIT
 *
 * Distinct strings of text columns: a hash table with linear probing over numbered words, and the one sorting rule of
 * categories and class labels: by number when every word is a number, else by bytes. */
#include "ops/base/json.h"
#include "plugin/data/internal.h"

#include <xxhash.h>

void hn_words_init(struct hn_words *w, struct hn_mem *mem, struct hn_arena *arena)
{
    memset(w, 0, sizeof *w);
    w->mem = mem;
    w->arena = arena;
}

void hn_words_free(struct hn_words *w)
{
    if (!w->mem) return;
    hn_free(w->mem, w->word);
    hn_free(w->mem, w->slot);
    memset(w, 0, sizeof *w);
}

/* The slot of s, or the free one where it belongs. The table is never full. */
static size_t probe(const struct hn_words *w, const char *s, size_t n)
{
    size_t mask = w->n_slots - 1, i = (size_t)XXH3_64bits(s, n) & mask;
    for (; w->slot[i]; i = (i + 1) & mask) {
        const struct hn_word *x = &w->word[w->slot[i] - 1];
        if (x->n == n && memcmp(x->text, s, n) == 0) break;
    }
    return i;
}

int64_t hn_words_find(const struct hn_words *w, const char *s, size_t n)
{
    return w->n_slots ? (int64_t)w->slot[probe(w, s, n)] - 1 : -1;
}

static int rehash(struct hn_words *w)
{
    size_t n_slots = w->n_slots ? w->n_slots * 2 : 64;
    uint32_t *slot = hn_calloc(w->mem, n_slots, sizeof *slot);
    if (!slot) return 0;
    hn_free(w->mem, w->slot);
    w->slot = slot;
    w->n_slots = n_slots;
    for (size_t i = 0; i < w->n; i++)
        slot[probe(w, w->word[i].text, w->word[i].n)] = (uint32_t)i + 1;
    return 1;
}

int64_t hn_words_add(struct hn_words *w, const char *s, size_t n)
{
    if (w->n * 2 >= w->n_slots && !rehash(w)) return -1;
    size_t i = probe(w, s, n);
    if (w->slot[i]) return (int64_t)w->slot[i] - 1;
    struct hn_word x = { hn_arena_strndup(w->arena, s, n), n };
    if (!x.text || w->n >= UINT32_MAX - 1 || !HN_PUSH(w->mem, w->word, w->n, w->cap, x)) return -1;
    w->slot[i] = (uint32_t)w->n;
    return (int64_t)w->n - 1;
}

int hn_cell_number(const char *s, size_t n, double *out)
{
    while (n && (*s == ' ' || *s == '\t')) s++, n--;
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    if (n > 1 && *s == '+' && s[1] != '-' && s[1] != '+') s++, n--;
    return n && hn_parse_double(s, n, out);
}

int hn_decimal_number(const char *s, size_t n, char decimal, double *out)
{
    char with_point[512];
    if (decimal != ',') return hn_cell_number(s, n, out);
    if (n >= sizeof with_point || memchr(s, '.', n)) return 0;
    memcpy(with_point, s, n);
    char *comma = memchr(with_point, ',', n);
    if (comma) *comma = '.';
    return hn_cell_number(with_point, n, out);
}

static int before(const struct hn_words *w, const double *number, uint32_t a, uint32_t b)
{
    if (number && number[a] != number[b]) return number[a] < number[b];
    const struct hn_word *x = &w->word[a], *y = &w->word[b];
    int c = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return c ? c < 0 : x->n < y->n;
}

/* Heap sort: in place, n log n whatever the order. */
static void sift(const struct hn_words *w, const double *number, uint32_t *order, size_t root,
                 size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(w, number, order[child], order[child + 1])) child++;
        if (!before(w, number, order[root], order[child])) return;
        uint32_t t = order[root];
        order[root] = order[child], order[child] = t;
    }
}

int hn_words_sort(const struct hn_words *w, uint32_t *order, double *number)
{
    int numeric = w->n > 0;
    for (size_t i = 0; i < w->n; i++) {
        order[i] = (uint32_t)i;
        if (numeric && !hn_decimal_number(w->word[i].text, w->word[i].n, w->decimal, &number[i]))
            numeric = 0;
        if (numeric && number[i] != number[i]) numeric = 0;
    }
    const double *key = numeric ? number : NULL;
    for (size_t i = w->n / 2; i-- > 0;) sift(w, key, order, i, w->n);
    for (size_t n = w->n; n > 1; n--) {
        uint32_t t = order[0];
        order[0] = order[n - 1], order[n - 1] = t;
        sift(w, key, order, 0, n - 1);
    }
    return numeric;
}
