/* SPDX-License-Identifier: MIT
 *
 * The visitor: see visit.h. */
#include "plugin/train/visit.h"
#include "ops/base/status.h"
#include <limits.h>
#include <string.h>

struct hn_visit hn_visit_save(struct hn_buffer *out, hone_error *err)
{
    return (struct hn_visit){ .out = out, .err = err };
}

struct hn_visit hn_visit_load(const void *p, size_t n, struct hn_arena *arena, const char *where,
                              hone_error *err)
{
    const unsigned char *bytes = p;
    return (struct hn_visit){
        .p = bytes, .end = bytes + n, .arena = arena, .where = where, .err = err
    };
}

static void corrupt(struct hn_visit *v, const char *what)
{
    if (v->status == HONE_OK) v->status = hn_fail(v->err, HONE_E_CORRUPT, v->where, "%s", what);
}

/* n bytes of the input, NULL when they are not there. */
static const void *take(struct hn_visit *v, size_t n)
{
    const void *p = v->p;
    if (v->status != HONE_OK) return NULL;
    if ((size_t)(v->end - v->p) < n) {
        corrupt(v, "the state is shorter than it should be");
        return NULL;
    }
    v->p += n;
    return p;
}

hone_status hn_visit_end(struct hn_visit *v)
{
    if (!v->out && v->p != v->end) corrupt(v, "the state is longer than it should be");
    return v->status;
}

void hn_visit_bytes(struct hn_visit *v, void *p, size_t n)
{
    if (v->out) {
        if (v->status == HONE_OK) v->status = v->out->sink.write(&v->out->sink, p, n, v->err);
        return;
    }
    const void *from = take(v, n);
    if (from && n) memcpy(p, from, n);
}

static void visit_u64(struct hn_visit *v, uint64_t *x)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(*x >> (8 * i));
    hn_visit_bytes(v, b, sizeof b);
    if (v->out || v->status != HONE_OK) return;
    *x = 0;
    for (int i = 0; i < 8; i++) *x |= (uint64_t)b[i] << (8 * i);
}

void hn_visit_i64(struct hn_visit *v, int64_t *x)
{
    uint64_t u = (uint64_t)*x;
    visit_u64(v, &u);
    *x = (int64_t)u;
}

void hn_visit_f64(struct hn_visit *v, double *x)
{
    uint64_t u;
    memcpy(&u, x, sizeof u);
    visit_u64(v, &u);
    memcpy(x, &u, sizeof u);
}

void hn_visit_seconds(struct hn_visit *v, double *x)
{
    if (!v->timeless) hn_visit_f64(v, x);
}

void hn_visit_int(struct hn_visit *v, int *x)
{
    int64_t wide = *x;
    hn_visit_i64(v, &wide);
    if (wide < INT_MIN || wide > INT_MAX)
        corrupt(v, "a number is out of range");
    else
        *x = (int)wide;
}

void hn_visit_same(struct hn_visit *v, const char *name, int64_t x)
{
    int64_t found = x;
    hn_visit_i64(v, &found);
    if (v->status == HONE_OK && found != x)
        v->status = hn_fail(v->err, HONE_E_CORRUPT, v->where,
                            "the checkpoint has %lld %s, this run has %lld", (long long)found, name,
                            (long long)x);
}

void hn_visit_block(struct hn_visit *v, const void **p, size_t *n)
{
    uint64_t size = *n;
    visit_u64(v, &size);
    if (v->out) {
        hn_visit_bytes(v, (void *)(uintptr_t)*p, *n);
        return;
    }
    if (size > SIZE_MAX) corrupt(v, "a size is out of range");
    *p = take(v, (size_t)size);
    *n = *p ? (size_t)size : 0;
}

void hn_visit_count(struct hn_visit *v, size_t *n)
{
    uint64_t count = *n;
    visit_u64(v, &count);
    if (v->out) return;
    if (v->status == HONE_OK && count > (uint64_t)(v->end - v->p))
        corrupt(v, "a count is out of range");
    *n = v->status == HONE_OK ? (size_t)count : 0;
}

void hn_visit_text(struct hn_visit *v, const char **s)
{
    const void *p = *s;
    size_t n = *s ? strlen(*s) : 0;
    hn_visit_block(v, &p, &n);
    if (v->out) return;
    *s = "";
    if (v->status != HONE_OK || n == 0) return;
    char *copy = hn_arena_strndup(v->arena, p, n);
    if (copy)
        *s = copy;
    else
        v->status = hn_nomem(v->err, "the state of a run", n);
}
