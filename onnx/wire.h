/* SPDX-License-Identifier: MIT
 *
 * The protobuf wire format, as far as Hone handles it itself: varints, field headers, and splicing, which is writing a
 * message again with some byte ranges replaced and the lengths of the messages around them corrected. A field is
 * varint(number << 3 | type) and a payload: type 0 a varint, 1 eight bytes, 5 four bytes, 2 a varint length and as many
 * bytes. Never allocates for what a length claims, and never reads past the given end. */
#ifndef HN_ONNX_WIRE_H
#define HN_ONNX_WIRE_H

#include "ops/base/io.h"
#include "ops/base/tensor.h"

enum { HN_WIRE_VARINT = 0, HN_WIRE_64 = 1, HN_WIRE_BYTES = 2, HN_WIRE_32 = 5 };

/* Reads a varint of at most `longest` bytes from [p, end): its length, 0 when it is cut off or too long. */
static inline size_t hn_varint_get(const unsigned char *p, const unsigned char *end, size_t longest,
                                   uint64_t *v)
{
    uint64_t x = 0;
    for (size_t i = 0; i < longest && p + i < end; i++) {
        x |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *v = x;
            return i + 1;
        }
    }
    return 0;
}

/* Writes v into p (10 bytes at most) and returns how many. */
static inline size_t hn_varint_put(unsigned char *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) p[n++] = (unsigned char)(v | 0x80);
    p[n++] = (unsigned char)v;
    return n;
}

/* The header of one field; `data` and `n` are the payload's position and length (bytes, of a varint too). */
struct hn_field {
    uint32_t number;
    int type;
    size_t at, data, n; /* at: of the header */
    uint64_t v;         /* of a varint */
};
/* The field at position `at` of base[0..end); NULL on success, else what is wrong with it in a few words. */
const char *hn_field_get(const unsigned char *base, size_t at, size_t end, struct hn_field *f);

/* A message that holds a tensor or a metadata entry somewhere inside. Frame 0 is the whole file. */
struct hn_frame {
    uint32_t parent;
    size_t len_at, body, end; /* where its length stands, its first byte, one past its last */
};

/* Replaces [at, at+n), which lies directly in `frame`, by n_new bytes: those at p, or, when `to` is set, numbers of type
 * `from` at p converted to type `to`. */
struct hn_cut {
    size_t at, n;
    uint32_t frame;
    enum hn_dtype from, to;
    const void *p;
    size_t n_new;
};

/* Writes base[0..n) with the cuts made; they may come in any order (they are sorted here), but must not overlap. */
hone_status hn_splice(struct hn_mem *m, const unsigned char *base, size_t n,
                      const struct hn_frame *frames, size_t n_frames, struct hn_cut *cuts,
                      size_t n_cuts, struct hn_sink *sink, hone_error *err);

/* Fields by hand: header, varint field, bytes field. */
hone_status hn_put_varint_field(struct hn_sink *s, uint32_t number, uint64_t v, hone_error *err);
hone_status hn_put_bytes_field(struct hn_sink *s, uint32_t number, const void *p, size_t n,
                               hone_error *err);
#endif
