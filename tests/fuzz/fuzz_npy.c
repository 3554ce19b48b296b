/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over the binary readers: NPY, IDX and NPZ. The first byte chooses the reader, the second the allocation that
 * fails; the rest is the file. What is accepted is read to the last byte and written back. */
#include "plugin/data/data.h"

#include <stdlib.h>
#include <string.h>

static long countdown;

static void *may_fail(void *user, size_t n)
{
    (void)user;
    return countdown && --countdown == 0 ? NULL : malloc(n);
}

static void release(void *user, void *p) { (void)user, free(p); }

static int same(const struct hn_array *a, const struct hn_array *b)
{
    size_t n = (size_t)(a->rows * a->per_row);
    if (a->dtype != b->dtype) return 0;
    if (a->dtype != HN_STR) return !memcmp(a->data, b->data, n * hn_dtype_size(a->dtype));
    for (size_t i = 0; i < n; i++)
        if (strcmp(((const char *const *)a->data)[i], ((const char *const *)b->data)[i])) return 0;
    return 1;
}

/* Written and read again, an array is the same. */
static void round_trip(struct hn_mem *mem, const struct hn_array *a)
{
    struct hn_buffer b;
    struct hn_array again;
    hone_error err;
    struct hn_tensor t = {
        .dtype = a->dtype, .rank = a->rank, .n = a->rows * a->per_row, .data = a->data
    };
    memcpy(t.dims, a->dims, sizeof t.dims);
    hn_buffer_init(&b, mem);
    if (hn_npy_write(&b.sink, &t, &err) == HONE_OK) {
        struct hn_file f = { .p = (unsigned char *)b.p, .n = b.n, .mem = mem };
        b.p = NULL;
        hone_status st = hn_npy_parse(&again, mem, &f, "again.npy", &err);
        if (st == HONE_OK && !same(a, &again)) abort();
        if (st != HONE_OK && st != HONE_E_NOMEM) abort();
        if (st == HONE_OK) hn_array_close(&again);
    }
    hn_buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hn_mem mem;
    struct hn_array a;
    hone_error err;
    if (size < 2) return 0;
    hn_mem_init(&mem, (size_t)1 << 28);
    mem.alloc = may_fail;
    mem.release = release;
    countdown = 0;
    unsigned char *copy = hn_alloc(&mem, size - 2);
    if (!copy) return 0;
    memcpy(copy, data + 2, size - 2);
    struct hn_file f = { .p = copy, .n = size - 2, .mem = &mem };
    countdown = data[1];
    hone_status st;
    if (data[0] % 3 == 0)
        st = hn_npy_parse(&a, &mem, &f, "fuzz.npy", &err);
    else if (data[0] % 3 == 1)
        st = hn_idx_parse(&a, &mem, &f, "fuzz.idx", &err);
    else
        st = hn_npz_parse(&a, &mem, &f, "fuzz.npz", data[0] & 128 ? "a" : NULL, &err);
    if (st == HONE_OK) {
        (void)hn_array_check_finite(&a, &err);
        round_trip(&mem, &a);
        hn_array_close(&a);
    }
    if (atomic_load(&mem.used)) abort();
    return 0;
}
