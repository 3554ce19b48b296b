/* SPDX-License-Identifier: MIT
 *
 * IDX, the format of MNIST: two zero bytes, a type code, the rank, rank sizes as big-endian u32, big-endian elements in
 * row-major order. Bytes are used where they lie, wider elements are swapped into a copy. */
#include "plugin/data/internal.h"

static enum hn_dtype type_of(unsigned char code)
{
    switch (code) {
    case 0x08: return HN_U8;
    case 0x09: return HN_I8;
    case 0x0B: return HN_I16;
    case 0x0C: return HN_I32;
    case 0x0D: return HN_F32;
    case 0x0E: return HN_F64;
    default: return HN_NONE;
    }
}

static hone_status load(struct hn_array *a, struct hn_file *f, const char *path, hone_error *err)
{
    if (f->n < 4 || f->p[0] || f->p[1])
        return hn_fail(err, HONE_E_DATA, path,
                       "is not an IDX file: wanted two zero bytes, a type and a rank in front");
    enum hn_dtype dtype = type_of(f->p[2]);
    int rank = f->p[3];
    size_t offset = 4 + 4 * (size_t)rank, bytes;
    int64_t dims[HN_MAX_RANK];
    if (dtype == HN_NONE)
        return hn_fail(err, HONE_E_DATA, path,
                       "IDX: found type code 0x%02x, wanted 08, 09, 0b, 0c, 0d or 0e", f->p[2]);
    if (rank < 1 || rank > HN_MAX_RANK)
        return hn_fail(err, HONE_E_DATA, path, "IDX: found %d dimensions, wanted 1 to %d", rank,
                       HN_MAX_RANK);
    if (f->n < offset)
        return hn_fail(err, HONE_E_DATA, path, "IDX: found %zu bytes, wanted %zu for the header",
                       f->n, offset);
    for (int i = 0; i < rank; i++) {
        const unsigned char *d = f->p + 4 + 4 * i;
        dims[i] = (int64_t)d[0] << 24 | (int64_t)d[1] << 16 | (int64_t)d[2] << 8 | d[3];
    }
    HN_TRY(hn_array_shape(a, dtype, rank, dims, &bytes, err));
    if (f->n - offset != bytes)
        return hn_fail(err, HONE_E_DATA, path,
                       "IDX: found %zu bytes of data, wanted %zu for the sizes in the header",
                       f->n - offset, bytes);
    if (hn_dtype_size(dtype) == 1) return hn_array_in_place(a, f, offset, bytes, err);
    void *p;
    HN_TRY(hn_array_own(a, bytes, &p, err));
    memcpy(p, f->p + offset, bytes);
    hn_swap_bytes(p, bytes / hn_dtype_size(dtype), hn_dtype_size(dtype));
    return HONE_OK;
}

hone_status hn_idx_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, hone_error *err)
{
    hone_status st = hn_array_begin(a, mem, "", path, err);
    if (st == HONE_OK) st = load(a, f, path, err);
    hn_file_close(f);
    if (st != HONE_OK) hn_array_close(a);
    return st;
}
