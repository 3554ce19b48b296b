/* SPDX-License-Identifier: MIT
 *
 * See stream.h. A part is one column of one slot; slots that read the same rows of the same set have their parts in common. In a
 * buffer the parts lie one behind the other, each at a multiple of 256 bytes.
 *
 * Three pinned buffers and two of the device's: packing may write where the chunk that computes no longer reads. The first chunk
 * is small, so that the device has something to do soon, and each is twice the one before it up to stream_bytes.
 *
 * The threads are the library's pool, by its name in the host's table (ops/base/host.h): they sleep but for some microseconds
 * behind a chunk, and there are none before something is streamed. The other way, a few threads with a lock and two conditions
 * here, would link nothing more, but is sixty lines to take away again where the table has three. */
#include "gpu/stream.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include <string.h>

enum {
    PINNED = 3,
    ON_DEVICE = 2,
    DOUBLINGS = 6, /* from the first chunk to the largest */
    MOST_THREADS = 8,
    ALIGN = 256,
    PIECE_BYTES = 1 << 16, /* of what one thread packs at a time */
    LINE = 64,
    AHEAD_BYTES = 4096, /* how far ahead rows are fetched, in bytes and in rows */
    AHEAD_LEAST = 4,
    AHEAD_MOST = 64,
    AHEAD_LINES = 8 /* of a row; the processor itself notices what goes on for longer */
};

struct part {
    const struct hn_column *column;
    const struct hn_slot *slot;
    size_t row_bytes, before; /* before: bytes that a step has in the parts in front of this one */
    int64_t piece;            /* the first of its pieces in the chunk that is packed */
};

struct hn_gpu_stream {
    struct hn_pool *pool;
    unsigned char *host[PINNED], *device[ON_DEVICE];
    size_t bytes; /* of one buffer */
    struct part *parts;
    int *part_of; /* per slot and column */
    int n_parts, cap;
    /* the call at work */
    struct hn_gpu_reads reads;
    size_t each; /* bytes of a step */
    int64_t first, most;
    int64_t packed, packed_steps, sent; /* chunks so far, and the steps in them */
    int64_t steps[PINNED];              /* of the chunk in each buffer */
};

/* ---- packing ---------------------------------------------------------------------------------------------------- */

static int64_t rows_ahead(size_t bytes)
{
    int64_t n = AHEAD_BYTES / (int64_t)bytes;
    return n < AHEAD_LEAST ? AHEAD_LEAST : n > AHEAD_MOST ? AHEAD_MOST : n;
}

/* Rows [at, at + n) of all that the slot reads. Rows that follow each other are one copy. */
static void pack_rows(const struct part *p, unsigned char *to, int64_t at, int64_t n)
{
    const unsigned char *from = p->column->data;
    const size_t bytes = p->row_bytes;
    if (!p->slot->index) {
        memcpy(to, from + (size_t)(p->slot->first + at) * bytes, (size_t)n * bytes);
        return;
    }
    const uint32_t *index = p->slot->index + at;
    const int64_t ahead = rows_ahead(bytes);
    const size_t lines = bytes < (size_t)AHEAD_LINES * LINE ? bytes : (size_t)AHEAD_LINES * LINE;
    for (int64_t r = 0, run; r < n; r += run) {
        for (run = 1; r + run < n && (int64_t)index[r + run] == (int64_t)index[r] + run;) run++;
        const unsigned char *next = from + (size_t)index[r + ahead < n ? r + ahead : r] * bytes;
        for (size_t k = 0; k < lines; k += LINE) __builtin_prefetch(next + k);
        __builtin_prefetch(next + lines - 1);
        memcpy(to + (size_t)r * bytes, from + (size_t)index[r] * bytes, (size_t)run * bytes);
    }
}

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* Where a part begins in a buffer of so many steps. */
static size_t place(const struct hn_gpu_stream *s, const struct part *p, int64_t steps)
{
    return aligned((size_t)steps * p->before) + (size_t)(p - s->parts) * ALIGN;
}

static size_t buffer_bytes(const struct hn_gpu_stream *s, int64_t steps)
{
    return aligned((size_t)steps * s->each) + (size_t)s->n_parts * ALIGN;
}

static int64_t piece_rows(const struct part *p)
{
    int64_t n = PIECE_BYTES / (int64_t)p->row_bytes;
    return n > 0 ? n : 1;
}

struct packing {
    const struct hn_gpu_stream *s;
    unsigned char *to;
    int64_t from, steps;
};

static void pack_piece(void *user, int i, int worker)
{
    const struct packing *k = user;
    const struct part *p = k->s->parts, *last = p + k->s->n_parts - 1;
    (void)worker;
    while (p < last && p[1].piece <= i) p++;
    const int64_t rows = k->steps * p->slot->rows, each = piece_rows(p);
    const int64_t at = (i - p->piece) * each, n = rows - at < each ? rows - at : each;
    pack_rows(p, k->to + place(k->s, p, k->steps) + (size_t)at * p->row_bytes,
              k->from * p->slot->rows + at, n);
}

/* The next chunk, if there is one. */
static void pack_next(struct hn_gpu_dev *d)
{
    struct hn_gpu_stream *s = d->stream;
    const int64_t at = s->packed % PINNED;
    const int64_t steps = hn_gpu_stream_steps(d, s->packed, s->packed_steps);
    struct packing k = { s, s->host[at], s->packed_steps, steps };
    int64_t pieces = 0;
    if (steps <= 0) return;
    for (int i = 0; i < s->n_parts; i++) {
        struct part *p = &s->parts[i];
        p->piece = pieces;
        pieces += (steps * p->slot->rows + piece_rows(p) - 1) / piece_rows(p);
    }
    hn_pool_run(s->pool, (int)pieces, pack_piece, &k);
    s->steps[at] = steps;
    s->packed++;
    s->packed_steps += steps;
}

static hone_status send_next(struct hn_gpu_dev *d, hone_error *err)
{
    struct hn_gpu_stream *s = d->stream;
    if (s->sent == s->packed || !s->n_parts) return HONE_OK;
    const int64_t chunk = s->sent++;
    return d->layer->upload(d->ctx, s->device[chunk % ON_DEVICE], s->host[chunk % PINNED],
                            buffer_bytes(s, s->steps[chunk % PINNED]), err);
}

/* ---- what a call reads ------------------------------------------------------------------------------------------ */

static int same_rows(const struct hn_slot *a, const struct hn_slot *b, int64_t n_steps)
{
    if (a->data != b->data || a->rows != b->rows || !a->index != !b->index) return 0;
    if (!a->index) return a->first == b->first;
    return a->index == b->index ||
           memcmp(a->index, b->index, (size_t)(n_steps * a->rows) * sizeof *a->index) == 0;
}

/* The first slot that reads what slot z reads: itself, where none before it does. */
static int same_as(const struct hn_gpu_reads *r, int z)
{
    int y = 0;
    while (y < z && !(r->slots[y].rows > 0 && same_rows(&r->slots[y], &r->slots[z], r->n_steps)))
        y++;
    return y;
}

static void add_part(struct hn_gpu_stream *s, int z, int i)
{
    const struct hn_slot *slot = &s->reads.slots[z];
    if (!s->reads.e->column_used[i]) return; /* the set may lack it */
    const struct hn_column *c = hn_gpu_column(s->reads.e, slot, i);
    const size_t bytes = (size_t)c->per_row * hn_dtype_size(c->dtype);
    if (bytes == 0) return;
    s->part_of[z * s->reads.e->n_columns + i] = s->n_parts;
    s->parts[s->n_parts++] = (struct part){ c, slot, bytes, s->each, 0 };
    s->each += (size_t)slot->rows * bytes;
}

static void find_parts(struct hn_gpu_stream *s)
{
    const int n = s->reads.e->n_columns;
    s->n_parts = 0, s->each = 0;
    for (int z = 0; z < s->reads.n_slots; z++) {
        int y = s->reads.slots[z].rows > 0 ? same_as(&s->reads, z) : z;
        for (int i = 0; i < n; i++) s->part_of[z * n + i] = y < z ? s->part_of[y * n + i] : 0;
        for (int i = 0; i < n && y == z && s->reads.slots[z].rows > 0; i++) add_part(s, z, i);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static hone_status make_stream(struct hn_gpu_dev *d, hone_error *err)
{
    struct hn_gpu_stream *s = d->stream;
    if (!s) d->stream = s = hn_calloc(d->mem, 1, sizeof *s);
    if (!s) return hn_nomem(err, "streamed rows", sizeof *s);
    if (s->pool) return HONE_OK;
    int threads = d->threads < MOST_THREADS ? d->threads : MOST_THREADS;
    return hn_pool_create(d->mem, threads > 1 ? threads : 1, &s->pool, err);
}

static hone_status make_parts(struct hn_gpu_dev *d, int n, hone_error *err)
{
    struct hn_gpu_stream *s = d->stream;
    if (n <= s->cap) return HONE_OK;
    hn_free(d->mem, s->parts);
    hn_free(d->mem, s->part_of);
    s->cap = 0;
    s->parts = hn_calloc(d->mem, (size_t)n, sizeof *s->parts);
    s->part_of = hn_calloc(d->mem, (size_t)n, sizeof *s->part_of);
    if (!s->parts || !s->part_of)
        return hn_nomem(err, "streamed rows", (size_t)n * sizeof *s->parts);
    s->cap = n;
    return HONE_OK;
}

static void free_buffers(const struct hn_gpu_dev *d)
{
    struct hn_gpu_stream *s = d->stream;
    for (int i = 0; i < PINNED; i++)
        if (s->host[i]) d->layer->unpin(d->ctx, s->host[i]);
    for (int i = 0; i < ON_DEVICE; i++)
        if (s->device[i]) d->layer->release(d->ctx, s->device[i]);
    memset(s->host, 0, sizeof s->host);
    memset(s->device, 0, sizeof s->device);
    s->bytes = 0;
}

static hone_status make_buffers(const struct hn_gpu_dev *d, size_t n, hone_error *err)
{
    struct hn_gpu_stream *s = d->stream;
    if (n <= s->bytes) return HONE_OK;
    free_buffers(d);
    for (int i = 0; i < PINNED; i++) {
        void *p = NULL;
        HN_TRY(d->layer->pin(d->ctx, n, &p, err));
        s->host[i] = p;
    }
    for (int i = 0; i < ON_DEVICE; i++) {
        void *p = NULL;
        HN_TRY(d->layer->alloc(d->ctx, n, &p, err));
        s->device[i] = p;
    }
    s->bytes = n;
    return HONE_OK;
}

void hn_gpu_stream_free(struct hn_gpu_dev *d)
{
    struct hn_gpu_stream *s = d->stream;
    if (!s) return;
    free_buffers(d);
    hn_pool_destroy(s->pool);
    hn_free(d->mem, s->parts);
    hn_free(d->mem, s->part_of);
    hn_free(d->mem, s);
    d->stream = NULL;
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

hone_status hn_gpu_stream_begin(struct hn_gpu_dev *d, const struct hn_gpu_reads *reads,
                                hone_error *err)
{
    HN_TRY(make_stream(d, err));
    HN_TRY(make_parts(d, reads->n_slots * reads->e->n_columns + 1, err));
    struct hn_gpu_stream *s = d->stream;
    s->reads = *reads;
    find_parts(s);
    int64_t fit = s->each ? d->o.stream_bytes / (int64_t)s->each : reads->most;
    s->first = fit >> DOUBLINGS > 0 ? fit >> DOUBLINGS : 1;
    if (fit > reads->most) fit = reads->most;
    s->most = fit > 0 ? fit : 1;
    HN_TRY(make_buffers(d, buffer_bytes(s, s->most), err));
    s->packed = s->packed_steps = s->sent = 0;
    pack_next(d);
    return send_next(d, err);
}

int64_t hn_gpu_stream_most(const struct hn_gpu_dev *d) { return d->stream->most; }

int64_t hn_gpu_stream_steps(const struct hn_gpu_dev *d, int64_t chunk, int64_t from)
{
    const struct hn_gpu_stream *s = d->stream;
    const int64_t left = s->reads.n_steps - from;
    int64_t n = s->first << (chunk < DOUBLINGS ? chunk : DOUBLINGS);
    if (n > s->most) n = s->most;
    return n < left ? n : left;
}

const void *hn_gpu_stream_rows(const struct hn_gpu_dev *d, int z, int i, int64_t chunk)
{
    const struct hn_gpu_stream *s = d->stream;
    const struct part *p = &s->parts[s->part_of[z * s->reads.e->n_columns + i]];
    return s->device[chunk % ON_DEVICE] + place(s, p, s->steps[chunk % PINNED]);
}

hone_status hn_gpu_stream_ahead(struct hn_gpu_dev *d, int64_t chunk, hone_error *err)
{
    struct hn_gpu_stream *s = d->stream;
    if (s->packed < chunk + 2) pack_next(d);
    if (s->sent < chunk + 2) HN_TRY(send_next(d, err));
    pack_next(d);
    return HONE_OK;
}
