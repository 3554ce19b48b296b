/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over data files that hold one TensorProto (.pb). The first byte is the allocation that fails, the rest is the file.
 * Properties: no crash, no leak, a refusal says why, what is accepted is read to the last number, and written and read again
 * it is the same. */
#include "onnx/tensor.h"
#include "plugin/data/data.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hone_error err;
static char folder[64], path[128],
    other[128]; /* other: path stays mapped while what was read is in use */

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s: %s: %s\n", what, err.where, err.text);
    abort();
}

static void clean_up(void)
{
    (void)remove(path);
    (void)remove(other);
    (void)rmdir(folder);
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/dev/shm/hone-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL, folder);
    (void)snprintf(path, sizeof path, "%s/t.pb", folder);
    (void)snprintf(other, sizeof other, "%s/u.pb", folder);
    atexit(clean_up);
}

static void put_file(const char *where, const void *p, size_t n)
{
    FILE *f = fopen(where, "wb");
    must(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, where);
}

static int same(const struct hn_tensor *a, const struct hn_tensor *b)
{
    if (a->dtype != b->dtype || a->n != b->n) return 0;
    if (a->dtype != HN_STR)
        return !memcmp(a->data, b->data, (size_t)a->n * hn_dtype_size(a->dtype));
    const char *const *s = a->data, *const *t = b->data;
    for (int64_t i = 0; i < a->n; i++)
        if (strcmp(s[i], t[i]) != 0) return 0;
    return 1;
}

static void round_trip(struct hn_mem *mem, const struct hn_io *io, const struct hn_tensor_pb *pb)
{
    struct hn_buffer b;
    struct hn_tensor_pb again;
    hn_buffer_init(&b, mem);
    if (hn_onnx_write_tensor_pb(&b.sink, pb->name, &pb->t, &err) == HONE_OK) {
        put_file(other, b.p, b.n);
        hone_status st = hn_onnx_read_tensor_pb(&again, io, mem, other, 0, &err);
        must(st == HONE_OK || st == HONE_E_NOMEM, "what was written is refused");
        if (st == HONE_OK) {
            must(same(&pb->t, &again.t), "another tensor");
            hn_onnx_free_tensor_pb(&again);
        }
    }
    hn_buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hn_fault f;
    struct hn_tensor_pb pb;
    struct hn_array a;
    if (size < 1) return 0;
    hn_fault_init(&f);
    f.mem_fail.at = data[0];
    if (!folder[0]) set_up();
    put_file(path, data + 1, size - 1);
    err.text[0] = '\0';
    hone_status st = hn_onnx_read_tensor_pb(&pb, &f.io, &f.mem, path, 0, &err);
    must(st == HONE_OK || err.text[0], "no reason");
    if (st == HONE_OK) {
        st = hn_array_wrap(&a, &f.mem, pb.name, &pb.t, 1, &err);
        must(st == HONE_OK || err.text[0], "no reason");
        if (st == HONE_OK) {
            (void)hn_array_check_finite(&a, &err);
            hn_array_close(&a);
        }
        if (pb.t.data) round_trip(&f.mem, &f.io, &pb);
        hn_onnx_free_tensor_pb(&pb);
    }
    must(hn_fault_leaks(&f) == 0, "a leak");
    return 0;
}
