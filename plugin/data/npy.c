/* SPDX-License-Identifier: MIT
 *
 * NumPy .npy. Layout: 93 "NUMPY", version major and minor, header length (u16 in version 1, u32 in 2 and 3, little-endian),
 * a Python dict literal {'descr': '<f4', 'fortran_order': False, 'shape': (10, 784), } padded with blanks, the elements.
 * Little-endian row-major data are used where they lie in the mapped file; the rest is swapped or transposed into a
 * copy. Never: evaluates more of Python than this dict, reads pickled objects, trusts a size before checking it. */
#include "plugin/data/internal.h"

#include <stdio.h>

enum { HEADER_MAX = 10000 }; /* numpy's own limit */

struct header {
    char descr[32];
    int fortran, rank;
    int64_t dims[HN_MAX_RANK];
    unsigned seen; /* bit 0 descr, 1 fortran_order, 2 shape */
};

struct cursor {
    const char *p, *end;
    const char *path;
    hone_error *err;
};

static hone_status bad(const struct cursor *c, const char *what)
{
    return hn_fail(c->err, HONE_E_DATA, c->path, "NPY header: %s", what);
}

static char next(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
    return c->p < c->end ? *c->p : 0;
}

static int take(struct cursor *c, char wanted)
{
    if (next(c) != wanted) return 0;
    c->p++;
    return 1;
}

static hone_status string(struct cursor *c, char *out, size_t size)
{
    char quote = next(c);
    size_t n = 0;
    if (quote != '\'' && quote != '"') return bad(c, "wanted a quoted string");
    for (c->p++; c->p < c->end && *c->p != quote; c->p++) {
        if (n + 1 >= size || *c->p == '\\') return bad(c, "a string is too long or has an escape");
        out[n++] = *c->p;
    }
    if (c->p == c->end) return bad(c, "a string does not end");
    c->p++;
    out[n] = 0;
    return HONE_OK;
}

static hone_status descr(struct cursor *c, struct header *h)
{
    char first = next(c);
    if (first == '[')
        return hn_fail(c->err, HONE_E_DATA, c->path,
                       "found a structured array (records), wanted one number type");
    if (first == '(')
        return hn_fail(c->err, HONE_E_DATA, c->path,
                       "found a subarray type, wanted one number type");
    return string(c, h->descr, sizeof h->descr);
}

static hone_status boolean(struct cursor *c, int *out)
{
    next(c);
    size_t n = (size_t)(c->end - c->p);
    if (n >= 4 && memcmp(c->p, "True", 4) == 0)
        *out = 1, c->p += 4;
    else if (n >= 5 && memcmp(c->p, "False", 5) == 0)
        *out = 0, c->p += 5;
    else
        return bad(c, "fortran_order is neither True nor False");
    return HONE_OK;
}

static hone_status shape(struct cursor *c, struct header *h)
{
    if (!take(c, '(')) return bad(c, "shape is not a tuple");
    while (next(c) != ')') {
        int64_t v = 0;
        const char *start = c->p;
        if (h->rank == HN_MAX_RANK)
            return hn_fail(c->err, HONE_E_DATA, c->path, "found more than %d dimensions",
                           HN_MAX_RANK);
        for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
            if (!hn_mul_i64(v, 10, &v) || !hn_add_i64(v, *c->p - '0', &v))
                return bad(c, "a dimension is too large");
        if (c->p == start) return bad(c, "shape holds something that is not a number");
        if (c->p < c->end && *c->p == 'L') c->p++; /* written by Python 2 */
        h->dims[h->rank++] = v;
        if (!take(c, ',') && next(c) != ')') return bad(c, "shape is not a tuple of numbers");
    }
    c->p++;
    return HONE_OK;
}

static hone_status parse_header(struct cursor *c, struct header *h)
{
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    if (!take(c, '{')) return bad(c, "is not a dict");
    while (next(c) != '}') {
        char key[32];
        unsigned k = 0;
        HN_TRY(string(c, key, sizeof key));
        while (k < 3 && strcmp(key, keys[k]) != 0) k++;
        if (k == 3)
            return hn_fail(c->err, HONE_E_DATA, c->path, "NPY header: unknown key '%s'", key);
        if (h->seen & 1u << k)
            return hn_fail(c->err, HONE_E_DATA, c->path, "NPY header: '%s' twice", key);
        h->seen |= 1u << k;
        if (!take(c, ':')) return bad(c, "wanted ':' after a key");
        HN_TRY(k == 0 ? descr(c, h) : k == 1 ? boolean(c, &h->fortran) : shape(c, h));
        if (!take(c, ',') && next(c) != '}') return bad(c, "wanted ',' or '}' after a value");
    }
    c->p++;
    if (next(c)) return bad(c, "something follows the dict");
    if (h->seen != 7) return bad(c, "wanted the keys descr, fortran_order and shape");
    return HONE_OK;
}

static const struct {
    char code[4];
    enum hn_dtype dtype;
} types[] = {
    { "b1", HN_BOOL }, { "u1", HN_U8 },  { "i1", HN_I8 },  { "u2", HN_U16 },
    { "i2", HN_I16 },  { "u4", HN_U32 }, { "i4", HN_I32 }, { "u8", HN_U64 },
    { "i8", HN_I64 },  { "f2", HN_F16 }, { "f4", HN_F32 }, { "f8", HN_F64 },
};

static hone_status element_type(const struct cursor *c, const struct header *h,
                                enum hn_dtype *dtype, int *swap)
{
    const char *d = h->descr;
    *swap = *d == '>';
    if (*d && strchr("<>=|", *d)) d++;
    for (size_t i = 0; i < HN_COUNT(types); i++)
        if (strcmp(d, types[i].code) == 0) {
            *dtype = types[i].dtype;
            return HONE_OK;
        }
    const char *what = "an unknown type";
    switch (*d) {
    case 'O': what = "Python objects (a pickle, never read)"; break;
    case 'c': what = "complex numbers"; break;
    case 'V': what = "raw records"; break;
    case 'M':
    case 'm': what = "dates or times"; break;
    case 'f': what = "floats of an unusual width"; break;
    }
    return hn_fail(c->err, HONE_E_DATA, c->path,
                   "found %s (dtype '%s'), wanted bool, integers, float16, 32 or 64", what,
                   h->descr);
}

/* Column-major source: element (i, j…) lies at i + rows * (j + dims[1] * …). column[j] is the source column of the j-th
 * element of a row; rows are moved in blocks that fit the cache. */
static void from_fortran(struct hn_array *a, char *dst, const char *src, const int64_t *column)
{
    size_t size = hn_dtype_size(a->dtype);
    enum { BLOCK = 32 };
    for (int64_t r = 0; r < a->rows; r += BLOCK) {
        int64_t n = a->rows - r < BLOCK ? a->rows - r : BLOCK;
        for (int64_t j = 0; j < a->per_row; j++) {
            const char *s = src + (size_t)(column[j] * a->rows + r) * size;
            char *d = dst + (size_t)(r * a->per_row + j) * size;
            for (int64_t i = 0; i < n; i++, s += size, d += (size_t)a->per_row * size)
                memcpy(d, s, size);
        }
    }
}

static hone_status transpose(struct hn_array *a, const char *src, size_t bytes, hone_error *err)
{
    void *dst;
    int64_t *column = hn_calloc(a->mem, (size_t)a->per_row, sizeof *column),
            at[HN_MAX_RANK] = { 0 };
    if (!column)
        return hn_nomem(err, "the columns of a Fortran array", (size_t)a->per_row * sizeof *column);
    hone_status st = hn_array_own(a, bytes, &dst, err);
    if (st == HONE_OK) {
        for (int64_t j = 0; j < a->per_row; j++) {
            int64_t c = 0;
            for (int k = a->rank - 1; k > 0; k--) c = c * a->dims[k] + at[k];
            column[j] = c;
            for (int k = a->rank - 1; k > 0 && ++at[k] == a->dims[k]; k--) at[k] = 0;
        }
        from_fortran(a, dst, src, column);
    }
    hn_free(a->mem, column);
    return st;
}

static hone_status load(struct hn_array *a, struct hn_file *f, const struct header *h,
                        size_t offset, struct cursor *c)
{
    enum hn_dtype dtype = HN_NONE;
    int swap = 0;
    size_t bytes;
    const char *type = h->descr + strspn(h->descr, "<>=|");
    if (*type == 'U' || *type == 'S') {
        HN_TRY(hn_npy_text(a, type, h->descr[0] == '>', h->rank, h->dims, f->p + offset,
                           f->n - offset, c->err));
        hn_file_close(f);
        return HONE_OK;
    }
    HN_TRY(element_type(c, h, &dtype, &swap));
    HN_TRY(hn_array_shape(a, dtype, h->rank, h->dims, &bytes, c->err));
    if (bytes > f->n - offset)
        return hn_fail(c->err, HONE_E_DATA, c->path,
                       "found %zu bytes of data, wanted %zu for the shape in the header",
                       f->n - offset, bytes);
    if (f->n - offset > bytes)
        return hn_fail(c->err, HONE_E_DATA, c->path,
                       "%zu bytes follow the array, wanted one array and nothing else",
                       f->n - offset - bytes);
    if (h->fortran && a->rank > 1)
        HN_TRY(transpose(a, (const char *)f->p + offset, bytes, c->err));
    else if (!swap || hn_dtype_size(dtype) == 1)
        return hn_array_in_place(a, f, offset, bytes, c->err);
    else {
        void *p;
        HN_TRY(hn_array_own(a, bytes, &p, c->err));
        memcpy(p, f->p + offset, bytes);
    }
    if (swap) hn_swap_bytes(a->block, bytes / hn_dtype_size(dtype), hn_dtype_size(dtype));
    hn_file_close(f);
    return HONE_OK;
}

/* Where the header text begins and how long it is. */
static hone_status find_header(const struct hn_file *f, const char *path, size_t *begin, size_t *n,
                               hone_error *err)
{
    if (f->n < 10 || memcmp(f->p, "\x93NUMPY", 6) != 0)
        return hn_fail(err, HONE_E_DATA, path,
                       "is not an NPY file: wanted 93 'NUMPY' and a version in front");
    unsigned major = f->p[6];
    if (major < 1 || major > 3)
        return hn_fail(err, HONE_E_DATA, path, "found NPY version %u, wanted 1, 2 or 3", major);
    *n = f->p[8] | (size_t)f->p[9] << 8;
    *begin = 10;
    if (major > 1) {
        if (f->n < 12)
            return hn_fail(err, HONE_E_DATA, path, "NPY header: the file ends inside its length");
        *n |= (size_t)f->p[10] << 16 | (size_t)f->p[11] << 24;
        *begin = 12;
    }
    if (*n > HEADER_MAX)
        return hn_fail(err, HONE_E_DATA, path, "NPY header: found %zu bytes, wanted at most %d", *n,
                       HEADER_MAX);
    if (*n > f->n - *begin)
        return hn_fail(err, HONE_E_DATA, path, "NPY header: found %zu bytes, wanted %zu",
                       f->n - *begin, *n);
    return HONE_OK;
}

hone_status hn_npy_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, hone_error *err)
{
    struct header h = { 0 };
    size_t begin = 0, n = 0;
    hone_status st = hn_array_begin(a, mem, "", path, err);
    if (st == HONE_OK) st = find_header(f, path, &begin, &n, err);
    if (st == HONE_OK) {
        struct cursor c = { (const char *)f->p + begin, (const char *)f->p + begin + n, path, err };
        st = parse_header(&c, &h);
        if (st == HONE_OK) st = load(a, f, &h, begin + n, &c);
    }
    hn_file_close(f);
    if (st != HONE_OK) hn_array_close(a);
    return st;
}

/* descr: type and byte order, such as "<f4". */
hone_status hn_npy_put_header(struct hn_sink *s, const char *descr, int rank, const int64_t *dims,
                              hone_error *err)
{
    char text[512];
    unsigned char head[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0 };
    size_t n = (size_t)snprintf(text, sizeof text,
                                "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < rank; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? ", " : "",
                              (long long)dims[i]);
    n += (size_t)snprintf(text + n, sizeof text - n, "%s), }", rank == 1 ? "," : "");
    while ((sizeof head + n + 1) % 64) text[n++] = ' ';
    text[n++] = '\n';
    head[8] = (unsigned char)n, head[9] = (unsigned char)(n >> 8);
    HN_TRY(s->write(s, head, sizeof head, err));
    return s->write(s, text, n, err);
}

hone_status hn_npy_write_header(struct hn_sink *s, enum hn_dtype dtype, int rank,
                                const int64_t *dims, hone_error *err)
{
    const char *code = NULL;
    char descr[8];
    for (size_t i = 0; i < HN_COUNT(types); i++)
        if (types[i].dtype == dtype) code = types[i].code;
    if (!code || rank < 0 || rank > HN_MAX_RANK)
        return hn_fail(err, HONE_E_USAGE, "npy",
                       "found type %s and rank %d, wanted a number type and rank 0 to %d",
                       hn_dtype_name(dtype), rank, HN_MAX_RANK);
    (void)snprintf(descr, sizeof descr, "%c%.2s", hn_dtype_size(dtype) == 1 ? '|' : '<', code);
    return hn_npy_put_header(s, descr, rank, dims, err);
}

hone_status hn_npy_write(struct hn_sink *s, const struct hn_tensor *t, hone_error *err)
{
    if (t->dtype == HN_STR) return hn_npy_write_texts(s, t, err);
    HN_TRY(hn_npy_write_header(s, t->dtype, t->rank, t->dims, err));
    return s->write(s, t->data, (size_t)t->n * hn_dtype_size(t->dtype), err);
}
