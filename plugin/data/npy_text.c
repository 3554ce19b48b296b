/* SPDX-License-Identifier: MIT
 *
 * Text in NumPy's arrays: '<U' and '>U', every text as many 32-bit characters as the longest one has, and 'S', bytes; zeros
 * behind what is shorter. Read as one label a row; what is no character, or no UTF-8, is refused. */
#include "ops/base/utf8.h"
#include "plugin/data/internal.h"

#include <stdio.h>

struct texts {
    const unsigned char *p;
    int64_t width;  /* characters a text */
    int size, swap; /* bytes a character */
    char *utf8;     /* room for one text */
};

static uint32_t char_at(const struct texts *t, const unsigned char *text, int64_t k)
{
    uint32_t v;
    if (t->size == 1) return text[k];
    memcpy(&v, text + 4 * k, sizeof v);
    return t->swap ? __builtin_bswap32(v) : v;
}

static size_t put_char(char *out, uint32_t c)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(0xf00 >> n | c); /* 110…, 1110…, 11110… */
    return n;
}

/* Row's text as UTF-8; its bytes, or -1: it is none. */
static int64_t read_text(const struct texts *t, int64_t row)
{
    const unsigned char *text = t->p + (size_t)(row * t->width * t->size);
    int64_t chars = t->width;
    size_t n = 0;
    while (chars > 0 && !char_at(t, text, chars - 1)) chars--;
    for (int64_t k = 0; k < chars; k++) {
        uint32_t c = char_at(t, text, k);
        if (!c || c > 0x10ffff) return -1;
        if (t->size == 1)
            t->utf8[n++] = (char)c;
        else
            n += put_char(t->utf8 + n, c);
    }
    return hn_utf8_all(t->utf8, n) ? (int64_t)n : -1;
}

static hone_status read_rows(struct hn_array *a, struct hn_words *w, const struct texts *t,
                             const char **out, hone_error *err)
{
    char row[48];
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t n = read_text(t, i);
        if (n < 0)
            return hn_fail(err, HONE_E_DATA, a->source, "%s: found a text that is not Unicode",
                           hn_array_row_name(a, i, row));
        int64_t id = hn_words_add(w, t->utf8, (size_t)n);
        if (id < 0) return hn_nomem(err, "the texts of an array", (size_t)n);
        out[i] = w->word[id].text;
    }
    return HONE_OK;
}

/* "U12" or "S3" */
static int parse_type(const char *type, struct texts *t)
{
    t->size = *type == 'U' ? 4 : 1;
    t->width = 0;
    for (type++; *type >= '0' && *type <= '9' && t->width < 1 << 24; type++)
        t->width = t->width * 10 + (*type - '0');
    return !*type && t->width > 0;
}

hone_status hn_npy_text(struct hn_array *a, const char *type, int swap, int rank,
                        const int64_t *dims, const void *data, size_t bytes, hone_error *err)
{
    struct texts t = { .p = data, .swap = swap };
    struct hn_words words;
    size_t pointers;
    int64_t wanted;
    void *out;
    if (!parse_type(type, &t))
        return hn_fail(err, HONE_E_DATA, a->source, "found text of an unusual width ('%s')", type);
    HN_TRY(hn_array_shape(a, HN_STR, rank, dims, &pointers, err));
    if (a->per_row != 1)
        return hn_fail(err, HONE_E_DATA, a->source,
                       "found %lld texts a row, wanted numbers, or one label a row",
                       (long long)a->per_row);
    if (!hn_mul_i64(a->rows, t.width * t.size, &wanted) || (size_t)wanted != bytes)
        return hn_fail(err, HONE_E_DATA, a->source,
                       "found %zu bytes of data, wanted %lld texts of %lld", bytes,
                       (long long)a->rows, (long long)(t.width * t.size));
    HN_TRY(hn_array_own(a, pointers, &out, err));
    t.utf8 = hn_alloc(a->mem, (size_t)t.width * 4);
    if (!t.utf8) return hn_nomem(err, "a text", (size_t)t.width * 4);
    hn_words_init(&words, a->mem, &a->arena);
    hone_status st = read_rows(a, &words, &t, out, err);
    hn_words_free(&words);
    hn_free(a->mem, t.utf8);
    return st;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

/* The next character of UTF-8 text, of which n bytes are left; 0: the end. What is not well-formed counts as U+FFFD, byte by byte. */
static uint32_t next_char(const char **text, size_t *n)
{
    const unsigned char *c = (const unsigned char *)*text;
    const size_t len = *n ? hn_utf8_len(*text, *n) : 0;
    if (!*n) return 0;
    *text += len ? len : 1, *n -= len ? len : 1;
    switch (len) {
    case 1: return c[0];
    case 2: return (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
    case 3: return (c[0] & 0xfu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    case 4: return (c[0] & 7u) << 18 | (c[1] & 0x3fu) << 12 | (c[2] & 0x3fu) << 6 | (c[3] & 0x3fu);
    default: return 0xfffd;
    }
}

hone_status hn_npy_write_texts(struct hn_sink *s, const struct hn_tensor *t, hone_error *err)
{
    const char *const *list = t->data;
    int64_t width = 1;
    char descr[32];
    for (int64_t i = 0; i < t->n; i++) {
        const char *text = list[i];
        size_t left = strlen(text);
        int64_t chars = 0;
        while (next_char(&text, &left)) chars++;
        if (chars > width) width = chars;
    }
    (void)snprintf(descr, sizeof descr, "<U%lld", (long long)width);
    HN_TRY(hn_npy_put_header(s, descr, t->rank, t->dims, err));
    for (int64_t i = 0; i < t->n; i++) {
        const char *text = list[i];
        size_t left = strlen(text);
        for (int64_t k = 0; k < width; k++) {
            const uint32_t c = next_char(&text, &left);
            const unsigned char le[4] = { (unsigned char)c, (unsigned char)(c >> 8),
                                          (unsigned char)(c >> 16), 0 };
            HN_TRY(s->write(s, le, sizeof le, err));
        }
    }
    return HONE_OK;
}
