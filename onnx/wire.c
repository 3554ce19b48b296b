/* SPDX-License-Identifier: MIT
 *
 * Field headers, and splicing. A cut changes the length of its message, a changed length may need more or fewer bytes,
 * and that changes the message around it: so lengths are settled from the innermost message outwards first (a frame's
 * number is larger than its parent's), then the bytes are written in one pass from left to right. */
#include "onnx/wire.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

const char *hn_field_get(const unsigned char *base, size_t at, size_t end, struct hn_field *f)
{
    uint64_t tag = 0, len = 0;
    size_t used = hn_varint_get(base + at, base + end, 5, &tag);
    if (!used || tag > UINT32_MAX) return "a broken field header";
    f->at = at;
    f->number = (uint32_t)(tag >> 3);
    f->type = (int)(tag & 7);
    f->data = at + used;
    f->v = 0;
    if (f->number == 0) return "a field with number 0";
    switch (f->type) {
    case HN_WIRE_VARINT:
        f->n = hn_varint_get(base + f->data, base + end, 10, &f->v);
        return f->n ? NULL : "a broken varint";
    case HN_WIRE_64: f->n = 8; break;
    case HN_WIRE_32: f->n = 4; break;
    case HN_WIRE_BYTES:
        used = hn_varint_get(base + f->data, base + end, 5, &len);
        if (!used) return "a broken length";
        if (len > INT32_MAX) return "a length over 2 GiB";
        f->data += used;
        f->n = (size_t)len;
        break;
    case 3:
    case 4: return "a group (an old form that ONNX does not use)";
    default: return "a field of an unknown wire type";
    }
    return f->n <= end - f->data ? NULL : "a field that runs past the end";
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7) n++;
    return n;
}

static int by_position(const void *a, const void *b)
{
    const struct hn_cut *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n; /* insertions come before what is replaced behind them */
}

/* Numbers are converted block by block, so that a big tensor is never there twice. */
static hone_status write_cut(const struct hn_cut *c, struct hn_sink *sink, hone_error *err)
{
    if (c->to == HN_NONE) return c->n_new ? sink->write(sink, c->p, c->n_new, err) : HONE_OK;
    unsigned char block[8192];
    size_t to = hn_dtype_size(c->to), from = hn_dtype_size(c->from), count = c->n_new / to;
    for (size_t i = 0; i < count;) {
        size_t k = sizeof block / to < count - i ? sizeof block / to : count - i;
        hn_convert(block, c->to, (const unsigned char *)c->p + i * from, c->from, (int64_t)k);
        HN_TRY(sink->write(sink, block, k * to, err));
        i += k;
    }
    return HONE_OK;
}

/* delta[f]: by how much the body of frame f grows. */
static void settle(const struct hn_frame *frames, size_t n_frames, const struct hn_cut *cuts,
                   size_t n_cuts, int64_t *delta)
{
    for (size_t i = 0; i < n_cuts; i++)
        delta[cuts[i].frame] += (int64_t)cuts[i].n_new - (int64_t)cuts[i].n;
    for (size_t f = n_frames; f-- > 1;) {
        if (!delta[f]) continue;
        int64_t body = (int64_t)(frames[f].end - frames[f].body) + delta[f];
        delta[frames[f].parent] += delta[f] + (int64_t)varint_size((uint64_t)body) -
                                   (int64_t)(frames[f].body - frames[f].len_at);
    }
}

static hone_status write_spliced(const unsigned char *base, size_t n, const struct hn_frame *frames,
                                 size_t n_frames, const int64_t *delta, const struct hn_cut *cuts,
                                 size_t n_cuts, struct hn_sink *sink, hone_error *err)
{
    size_t at = 0, c = 0, f = 1;
    for (;;) {
        while (f < n_frames && !delta[f]) f++;
        int length = f < n_frames && (c == n_cuts || frames[f].len_at < cuts[c].at);
        size_t next = length ? frames[f].len_at : c < n_cuts ? cuts[c].at : n;
        if (next < at || next > n)
            return hn_fail(err, HONE_E_INTERNAL, "", "overlapping cuts at byte %zu", next);
        if (next > at) HN_TRY(sink->write(sink, base + at, next - at, err));
        if (length) {
            unsigned char v[10];
            size_t used =
                hn_varint_put(v, (uint64_t)((int64_t)(frames[f].end - frames[f].body) + delta[f]));
            HN_TRY(sink->write(sink, v, used, err));
            at = frames[f++].body;
        } else if (c < n_cuts) {
            HN_TRY(write_cut(&cuts[c], sink, err));
            at = next + cuts[c++].n;
        } else {
            return HONE_OK;
        }
    }
}

hone_status hn_splice(struct hn_mem *m, const unsigned char *base, size_t n,
                      const struct hn_frame *frames, size_t n_frames, struct hn_cut *cuts,
                      size_t n_cuts, struct hn_sink *sink, hone_error *err)
{
    int64_t *delta = hn_calloc(m, n_frames ? n_frames : 1, sizeof *delta);
    if (!delta) return hn_nomem(err, "splicing", n_frames * sizeof *delta);
    if (n_cuts > 1) qsort(cuts, n_cuts, sizeof *cuts, by_position);
    settle(frames, n_frames, cuts, n_cuts, delta);
    hone_status st = write_spliced(base, n, frames, n_frames, delta, cuts, n_cuts, sink, err);
    hn_free(m, delta);
    return st;
}

hone_status hn_put_varint_field(struct hn_sink *s, uint32_t number, uint64_t v, hone_error *err)
{
    unsigned char head[20];
    size_t n = hn_varint_put(head, (uint64_t)number << 3 | HN_WIRE_VARINT);
    n += hn_varint_put(head + n, v);
    return s->write(s, head, n, err);
}

hone_status hn_put_bytes_field(struct hn_sink *s, uint32_t number, const void *p, size_t n,
                               hone_error *err)
{
    unsigned char head[20];
    size_t k = hn_varint_put(head, (uint64_t)number << 3 | HN_WIRE_BYTES);
    k += hn_varint_put(head + k, n);
    HN_TRY(s->write(s, head, k, err));
    return n ? s->write(s, p, n, err) : HONE_OK;
}
