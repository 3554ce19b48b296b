/* SPDX-License-Identifier: MIT
 *
 * Arrays of rows: made, wrapped, gathered into batches, checked, fingerprinted. An array either borrows (a host's
 * memory), points into a mapped file it owns, or owns a block. Nothing here knows a file format. */
#include "ops/base/format.h"
#include "ops/base/utf8.h"
#include "plugin/data/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#define XXH_STATIC_LINKING_ONLY /* the state lives in a hn_mem block */
#include <xxhash.h>

void hn_note_add(struct hn_note *note, const char *fmt, ...)
{
    if (!note) return;
    size_t n = strnlen(note->text, sizeof note->text - 1);
    if (n && n + 2 < sizeof note->text) {
        memcpy(note->text + n, "; ", 3);
        n += 2;
    }
    va_list ap;
    va_start(ap, fmt);
    hn_format_into(note->text + n, sizeof note->text - n, fmt, ap);
    va_end(ap);
}

const char *hn_show(struct hn_shown *s, const char *text, size_t n)
{
    size_t keep = n > 40 ? 40 : n;
    while (n > 40 && keep > 0 && ((unsigned char)text[keep] & 0xC0) == 0x80)
        keep--; /* whole UTF-8 */
    for (size_t i = 0, len; i < keep; i += len ? len : 1) {
        len = hn_utf8_len(text + i, keep - i);
        memcpy(s->text + i, text + i, len);
        if (!len || (unsigned char)text[i] < 32 || text[i] == 127) s->text[i] = '.';
    }
    memcpy(s->text + keep, n > 40 ? "..." : "", n > 40 ? 4 : 1);
    return s->text;
}

hone_status hn_array_begin(struct hn_array *a, struct hn_mem *mem, const char *name,
                           const char *source, hone_error *err)
{
    memset(a, 0, sizeof *a);
    a->mem = mem;
    a->scale = 1;
    hn_arena_init(&a->arena, mem);
    a->name = hn_arena_strdup(&a->arena, name ? name : "");
    a->source = hn_arena_strdup(&a->arena, source ? source : "");
    if (a->name && a->source) return HONE_OK;
    hn_array_close(a);
    return hn_nomem(err, "the name of an array", 0);
}

void hn_array_close(struct hn_array *a)
{
    hn_file_close(&a->file);
    if (a->mem) {
        hn_free(a->mem, a->block);
        hn_arena_clear(&a->arena);
    }
    memset(a, 0, sizeof *a);
}

hone_status hn_array_shape(struct hn_array *a, enum hn_dtype dtype, int rank, const int64_t *dims,
                           size_t *bytes, hone_error *err)
{
    int64_t n, size = dtype == HN_STR ? (int64_t)sizeof(char *) : (int64_t)hn_dtype_size(dtype);
    if (rank < 0 || rank > HN_MAX_RANK)
        return hn_fail(err, HONE_E_DATA, a->source, "found %d dimensions, wanted at most %d", rank,
                       HN_MAX_RANK);
    a->dtype = dtype;
    a->rank = rank ? rank : 1;
    a->dims[0] = 1;
    for (int i = 0; i < rank; i++) a->dims[i] = dims[i];
    if (a->dims[0] == 0)
        return hn_fail(err, HONE_E_DATA, a->source, "found no rows, wanted at least one");
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] <= 0)
            return hn_fail(err, HONE_E_DATA, a->source, "dimension %d is %lld, wanted at least 1",
                           i, (long long)a->dims[i]);
    if (a->dims[0] >= (int64_t)UINT32_MAX)
        return hn_fail(err, HONE_E_DATA, a->source, "found %lld rows, wanted fewer than %llu",
                       (long long)a->dims[0], (unsigned long long)UINT32_MAX);
    if (!hn_numel(a->rank, a->dims, &n) || !size || !hn_mul_i64(n, size, &size))
        return hn_fail(err, HONE_E_DATA, a->source,
                       "the dimensions multiply to more elements than memory can hold");
    a->rows = a->dims[0];
    a->per_row = n / a->dims[0];
    if (bytes) *bytes = (size_t)size;
    return HONE_OK;
}

hone_status hn_array_own(struct hn_array *a, size_t bytes, void **out, hone_error *err)
{
    *out = a->block = hn_alloc(a->mem, bytes);
    a->data = a->block;
    return a->block ? HONE_OK : hn_nomem(err, "the data of an array", bytes);
}

hone_status hn_array_in_place(struct hn_array *a, struct hn_file *f, size_t offset, size_t bytes,
                              hone_error *err)
{
    size_t size = hn_dtype_size(a->dtype);
    if (((uintptr_t)f->p + offset) % size == 0) {
        a->file = *f;
        memset(f, 0, sizeof *f);
        a->data = a->file.p + offset;
        return HONE_OK;
    }
    void *p;
    HN_TRY(hn_array_own(a, bytes, &p, err));
    memcpy(p, f->p + offset, bytes);
    hn_file_close(f);
    return HONE_OK;
}

void hn_swap_bytes(void *p, size_t n, size_t size)
{
    unsigned char *b = p;
    if (size < 2) return;
    for (size_t i = 0; i < n; i++, b += size) {
        if (size == 2) {
            uint16_t v;
            memcpy(&v, b, 2), v = __builtin_bswap16(v), memcpy(b, &v, 2);
        } else if (size == 4) {
            uint32_t v;
            memcpy(&v, b, 4), v = __builtin_bswap32(v), memcpy(b, &v, 4);
        } else {
            uint64_t v;
            memcpy(&v, b, 8), v = __builtin_bswap64(v), memcpy(b, &v, 8);
        }
    }
}

hone_status hn_array_wrap(struct hn_array *a, struct hn_mem *mem, const char *name,
                          const struct hn_tensor *t, int copy, hone_error *err)
{
    size_t bytes, size = hn_dtype_size(t->dtype);
    HN_TRY(hn_array_begin(a, mem, name, name, err));
    hone_status st = HONE_OK;
    if (t->dtype == HN_STR || !size || t->dtype == HN_C64 || t->dtype == HN_C128)
        st = hn_fail(err, HONE_E_DATA, a->source, "found elements of type %s, wanted numbers",
                     hn_dtype_name(t->dtype));
    if (st == HONE_OK) st = hn_array_shape(a, t->dtype, t->rank, t->dims, &bytes, err);
    if (st == HONE_OK && (copy || (uintptr_t)t->data % size)) {
        void *p;
        st = hn_array_own(a, bytes, &p, err);
        if (st == HONE_OK) memcpy(p, t->data, bytes);
    } else {
        a->data = t->data;
    }
    if (st != HONE_OK) hn_array_close(a);
    return st;
}

hone_status hn_array_wrap_texts(struct hn_array *a, struct hn_mem *mem, const char *name,
                                const struct hn_tensor *t, hone_error *err)
{
    const char *const *text = t->data;
    char row[48];
    HN_TRY(hn_array_begin(a, mem, name, name, err));
    hone_status st = hn_array_shape(a, HN_STR, t->dims[1] == 1 ? 1 : 2, t->dims, NULL, err);
    a->data = text;
    for (int64_t i = 0; st == HONE_OK && i < t->n; i++)
        if (!text[i])
            st = hn_fail(err, HONE_E_DATA, a->source, "%s: found no text, wanted some",
                         hn_array_row_name(a, i / a->per_row, row));
        else if (!hn_utf8_all(text[i], strlen(text[i])))
            st = hn_fail(err, HONE_E_DATA, a->source, "%s: found text that is not UTF-8",
                         hn_array_row_name(a, i / a->per_row, row));
    if (st != HONE_OK) hn_array_close(a);
    return st;
}

hone_status hn_array_wrap_text(struct hn_array *a, struct hn_mem *mem, const char *name,
                               const char *const *text, int64_t rows, hone_error *err)
{
    const struct hn_tensor t = {
        .dtype = HN_STR, .rank = 2, .dims = { rows, 1 }, .n = rows, .data = (void *)(uintptr_t)text
    };
    return hn_array_wrap_texts(a, mem, name, &t, err);
}

void hn_array_range(const struct hn_array *a, int64_t first, int64_t n, enum hn_dtype to, void *dst)
{
    const char *src =
        (const char *)a->data + (size_t)(first * a->per_row) * hn_dtype_size(a->dtype);
    hn_convert_scaled(dst, to, src, a->dtype, n * a->per_row, a->scale);
}

void hn_array_gather(const struct hn_array *a, const uint32_t *rows, int64_t n, enum hn_dtype to,
                     void *dst)
{
    if (!rows) {
        hn_array_range(a, 0, n, to, dst);
        return;
    }
    size_t in = (size_t)a->per_row * hn_dtype_size(a->dtype),
           out = (size_t)a->per_row * hn_dtype_size(to);
    const char *src = a->data;
    char *d = dst;
    if (to == a->dtype && a->scale == 1) {
        for (int64_t i = 0; i < n; i++, d += out) memcpy(d, src + rows[i] * in, in);
        return;
    }
    for (int64_t i = 0; i < n; i++, d += out)
        hn_convert_scaled(d, to, src + rows[i] * in, a->dtype, a->per_row, a->scale);
}

double hn_array_at(const struct hn_array *a, int64_t row, int64_t j)
{
    int64_t i = row * a->per_row + j;
    if (a->dtype == HN_F32) return a->scale * (double)((const float *)a->data)[i];
    if (a->dtype == HN_F64) return a->scale * ((const double *)a->data)[i];
    if (a->dtype == HN_I64) return a->scale * (double)((const int64_t *)a->data)[i];
    if (a->dtype == HN_I32) return a->scale * ((const int32_t *)a->data)[i];
    struct hn_tensor t = { .dtype = a->dtype,
                           .rank = 1,
                           .dims = { a->rows * a->per_row },
                           .n = a->rows * a->per_row,
                           .data = a->data };
    return a->scale * hn_tensor_f64(&t, i);
}

const char *hn_array_row_name(const struct hn_array *a, int64_t row, char *buf)
{
    snprintf(buf, 48, "row %lld", (long long)(row + (a->first_line ? a->first_line : 1)));
    return buf;
}

const char *hn_array_column_name(const struct hn_array *a, int64_t j, char *buf, size_t size)
{
    struct hn_shown s;
    if (a->columns)
        snprintf(buf, size, "'%s'", hn_show(&s, a->columns[j].name, strlen(a->columns[j].name)));
    else
        snprintf(buf, size, "%lld (from 0)", (long long)j);
    return buf;
}

/* Whether any of n floats is infinite or NaN: all exponent bits set. */
static int any_nonfinite(const void *data, enum hn_dtype dtype, int64_t n)
{
    uint32_t bad = 0;
    if (dtype == HN_F32) {
        const uint32_t *p = data;
        for (int64_t i = 0; i < n; i++) bad |= (p[i] & 0x7F800000u) == 0x7F800000u;
    } else if (dtype == HN_F64) {
        const uint64_t *p = data;
        for (int64_t i = 0; i < n; i++) bad |= (p[i] & 0x7FF0000000000000u) == 0x7FF0000000000000u;
    } else {
        uint16_t mask = dtype == HN_F16 ? 0x7C00u : 0x7F80u;
        const uint16_t *p = data;
        for (int64_t i = 0; i < n; i++) bad |= (p[i] & mask) == mask;
    }
    return bad != 0;
}

hone_status hn_array_check_finite(const struct hn_array *a, hone_error *err)
{
    if (!hn_dtype_is_float(a->dtype)) return HONE_OK;
    size_t row_bytes = (size_t)a->per_row * hn_dtype_size(a->dtype);
    for (int64_t r = 0; r < a->rows; r++) {
        if (!any_nonfinite((const char *)a->data + (size_t)r * row_bytes, a->dtype, a->per_row))
            continue;
        for (int64_t j = 0; j < a->per_row; j++) {
            double v = hn_array_at(a, r, j);
            char row[48], column[80];
            if (isfinite(v)) continue;
            return hn_fail(
                err, HONE_E_DATA, a->source, "%s, column %s: found %s, wanted a finite number",
                hn_array_row_name(a, r, row), hn_array_column_name(a, j, column, sizeof column),
                isnan(v) ? "NaN"
                : v > 0  ? "inf"
                         : "-inf");
        }
    }
    return HONE_OK;
}

static hone_status bad_range(const struct hn_array *a, int64_t i, enum hn_dtype to, hone_error *err)
{
    const int64_t r = i / a->per_row, j = i % a->per_row;
    struct hn_array plain = *a;
    char row[48], column[80];
    plain.scale = 1;
    const double v = hn_array_at(&plain, r, j);
    (void)hn_array_row_name(a, r, row);
    (void)hn_array_column_name(a, j, column, sizeof column);
    if (to == HN_F32 && !isfinite((float)v))
        return hn_fail(err, HONE_E_DATA, a->source,
                       "%s, column %s: found %.9g, wanted a number that %s can hold", row, column,
                       v, hn_dtype_name(to));
    return hn_fail(err, HONE_E_DATA, a->source,
                   "%s, column %s: found %.9g times x-scale %.9g, wanted a number that %s can hold",
                   row, column, v, a->scale, hn_dtype_name(to));
}

hone_status hn_array_check_range(const struct hn_array *a, enum hn_dtype to, hone_error *err)
{
    enum { SOME = 256 };
    double some[SOME];
    const size_t size = hn_dtype_size(a->dtype), wide = hn_dtype_size(to);
    const int64_t n = a->rows * a->per_row;
    if (a->dtype == HN_STR) return HONE_OK;
    if (!(to == HN_F32 && a->dtype == HN_F64) && fabs(a->scale) <= 1) return HONE_OK;
    for (int64_t at = 0; at < n; at += SOME) {
        const int64_t k = n - at < SOME ? n - at : SOME;
        hn_convert_scaled(some, to, (const char *)a->data + (size_t)at * size, a->dtype, k,
                          a->scale);
        if (!any_nonfinite(some, to, k)) continue;
        int64_t i = 0;
        while (!any_nonfinite((const char *)some + (size_t)i * wide, to, 1)) i++;
        return bad_range(a, at + i, to, err);
    }
    return HONE_OK;
}

hone_status hn_array_check_rows(const struct hn_array *x, const struct hn_array *y, hone_error *err)
{
    if (x->rows == y->rows) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, y->source,
                   "%s has %lld rows, %s has %lld: wanted as many of each",
                   *x->source ? x->source : "x", (long long)x->rows, *y->source ? y->source : "y",
                   (long long)y->rows);
}

static void digest_string(XXH3_state_t *s, const char *text)
{
    uint64_t n = strlen(text);
    XXH3_128bits_update(s, &n, sizeof n);
    XXH3_128bits_update(s, text, n);
}

/* Of the dimensions only how many rows and values a row: nothing else of them is used. */
static void digest_array(XXH3_state_t *s, const struct hn_array *a)
{
    int64_t head[3] = { (int64_t)a->dtype, a->rows, a->per_row };
    digest_string(s, a->name);
    XXH3_128bits_update(s, head, sizeof head);
    XXH3_128bits_update(s, &a->scale, sizeof a->scale);
    for (int64_t j = 0; a->columns && j < a->per_row; j++) digest_string(s, a->columns[j].name);
    int64_t n = a->rows * a->per_row;
    if (a->dtype != HN_STR)
        XXH3_128bits_update(s, a->data, (size_t)n * hn_dtype_size(a->dtype));
    else
        for (int64_t i = 0; i < n; i++) digest_string(s, ((const char *const *)a->data)[i]);
}

hone_status hn_data_fingerprint(const struct hn_array *const *arrays, size_t n, struct hn_mem *mem,
                                uint64_t out[2], hone_error *err)
{
    XXH3_state_t *s = hn_alloc(mem, sizeof *s); /* 64-byte aligned, as the state wants */
    if (!s) return hn_nomem(err, "the data fingerprint", sizeof *s);
    XXH3_INITSTATE(s);
    XXH3_128bits_reset(s);
    for (size_t i = 0; i < n; i++) digest_array(s, arrays[i]);
    XXH128_hash_t h = XXH3_128bits_digest(s);
    out[0] = h.low64, out[1] = h.high64;
    hn_free(mem, s);
    return HONE_OK;
}
