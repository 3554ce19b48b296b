/* SPDX-License-Identifier: MIT
 *
 * The four functions of an operator over all lengths that a vector loop has a tail of its own for, from starts that are
 * aligned and not: each element is the very number that it is alone, and nothing else is written. Hone cuts batches where
 * its threads meet; a result that depends on the cut depends on their number. */
#include "plugin/plugin_check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHORT = 67, LONG = 257, ROOM = 1024, SIDE = 8, TEXT = 192, WHY = 512 };
enum { BYTES = ROOM + (SIDE + LONG) * (int)sizeof(double) + ROOM };

enum which { FORWARD64, BACKWARD64, FORWARD32, BACKWARD32, FUNCTIONS };
static const char *const function[] = { "forward64", "backward64", "forward32", "backward32" };

struct block {
    _Alignas(64) unsigned char b[BYTES];
};
struct lengths { /* one function with one choice of attributes */
    const struct hn_custom_op *op;
    enum which f;
    size_t size; /* of an element */
    const double *a;
    int changes_a;
    struct block x, dy, y, x0, dy0; /* operands, result, and the operands as they were */
    double points[LONG], up[LONG];
    unsigned char alone[LONG * sizeof(double)]; /* each result, by itself */
};

static int is_wide(enum which f) { return f == FORWARD64 || f == BACKWARD64; }

static double number(const struct lengths *l, const void *p)
{
    float narrow;
    double v;
    memcpy(&narrow, p, sizeof narrow);
    if (l->size == sizeof narrow)
        v = (double)narrow;
    else
        memcpy(&v, p, sizeof v);
    return isnan(v) ? (double)NAN : v; /* without a sign */
}

static void put(const struct lengths *l, unsigned char *to, double v)
{
    float narrow = (float)v;
    if (l->size == sizeof narrow)
        memcpy(to, &narrow, sizeof narrow);
    else
        memcpy(to, &v, sizeof v);
}

static void call(struct lengths *l, size_t n, const void *x, const void *dy, void *y)
{
    const struct hn_elementwise *f = &l->op->f;
    double a[HN_CUSTOM_ATTRS];
    memcpy(a, l->a, sizeof a);
    if (l->f == FORWARD64) f->forward64(a, n, x, y);
    if (l->f == BACKWARD64) f->backward64(a, n, x, dy, y);
    if (l->f == FORWARD32) f->forward32(a, n, x, y);
    if (l->f == BACKWARD32) f->backward32(a, n, x, dy, y);
    l->changes_a |= memcmp(a, l->a, sizeof a) != 0;
}

static void compute_alone(struct lengths *l)
{
    for (int i = 0; i < LONG; i++) {
        put(l, l->x.b + ROOM, l->points[i]);
        put(l, l->dy.b + ROOM, l->up[i]);
        memset(l->y.b, 0xFF, sizeof l->y.b);
        call(l, 1, l->x.b + ROOM, l->dy.b + ROOM, l->y.b + ROOM);
        memcpy(l->alone + (size_t)i * l->size, l->y.b + ROOM, l->size);
    }
}

static int all_are(const unsigned char *from, const unsigned char *end, unsigned char v)
{
    while (from < end && *from == v) from++;
    return from == end;
}

struct run { /* n elements, the first of them point `first`; starts in elements */
    int n, first, x, dy, y;
};

/* What is wrong with what was computed, or NULL; in buf where a number is. */
static const char *look(const struct lengths *l, const struct run *r, unsigned char mark,
                        char buf[TEXT])
{
    const unsigned char *y = l->y.b + ROOM + (size_t)r->y * l->size;
    const unsigned char *end = y + (size_t)r->n * l->size;
    if (l->changes_a) return "changes the attributes";
    if (memcmp(&l->x, &l->x0, sizeof l->x) != 0) return "changes x";
    if (memcmp(&l->dy, &l->dy0, sizeof l->dy) != 0) return "changes dy";
    if (!all_are(end, l->y.b + sizeof l->y.b, mark)) return "writes beyond the end of its result";
    if (!all_are(l->y.b, y, mark)) return "writes before its result";
    for (int i = 0; i < r->n; i++) {
        const unsigned char *alone = l->alone + (size_t)(r->first + i) * l->size;
        double got = number(l, y + (size_t)i * l->size), want = number(l, alone);
        if (!memcmp(y + (size_t)i * l->size, alone, l->size) || (isnan(got) && isnan(want)))
            continue;
        (void)snprintf(buf, TEXT,
                       "gives %.17g for element %d (from 0), x = %.9g, and %.17g for it alone", got,
                       i, l->points[r->first + i], want);
        return buf;
    }
    return NULL;
}

static int run_one(struct lengths *l, const struct run *r, char why[WHY])
{
    char buf[TEXT], with[HN_ATTR_TEXT];
    const unsigned char mark = r->n % 2 ? 0xA5 : 0x5A;
    memset(&l->x, mark, sizeof l->x);
    memset(&l->dy, mark, sizeof l->dy);
    memset(&l->y, mark, sizeof l->y);
    for (int i = 0; i < r->n; i++) {
        put(l, l->x.b + ROOM + (size_t)(r->x + i) * l->size, l->points[r->first + i]);
        put(l, l->dy.b + ROOM + (size_t)(r->dy + i) * l->size, l->up[r->first + i]);
    }
    l->x0 = l->x, l->dy0 = l->dy;
    call(l, (size_t)r->n, l->x.b + ROOM + (size_t)r->x * l->size,
         l->dy.b + ROOM + (size_t)r->dy * l->size, l->y.b + ROOM + (size_t)r->y * l->size);
    const char *wrong = look(l, r, mark, buf);
    if (!wrong) return 1;
    (void)snprintf(why, WHY, "%s%s (n = %d%s) %s", function[l->f], hn_attr_text(l->op, l->a, with),
                   r->n, r->x || r->dy || r->y ? ", not aligned" : "", wrong);
    return 0;
}

static void run_all(struct lengths *l, char why[WHY])
{
    static const int starts[][3] = {
        { 0, 0, 0 }, { 1, 1, 1 }, { 1, 2, 3 }, { 7, 0, 5 }, { 0, 4, 2 }
    };
    compute_alone(l);
    for (int n = 1; n <= LONG; n = n == SHORT ? LONG : n + 1)
        for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
            const struct run r = { n, n == LONG ? 0 : n * 37 % (LONG - n), starts[s][0],
                                   starts[s][1], starts[s][2] };
            if (!run_one(l, &r, why)) return;
        }
}

void hn_check_lengths(struct hn_check *c, const struct hn_custom_op *op, const char *name,
                      const struct hn_attr_sets *sets)
{
    char why[WHY] = "";
    hn_check_begin(c, "lengths and starts", "op", name);
    struct lengths *l = hn_calloc(&c->ctx->mem, 1, sizeof *l);
    for (int i = 0; l && i < LONG; i++) {
        l->points[i] = (double)(float)((i - LONG / 2) / 40.7 + 0.00177);
        l->up[i] = (double)(float)((i % 7 - 2.75) * 0.6);
    }
    for (int f = 0; l && f < FUNCTIONS && !why[0]; f++) {
        l->op = op, l->f = (enum which)f;
        l->size = is_wide(l->f) ? sizeof(double) : sizeof(float);
        if (!is_wide(l->f) && !op->f.forward32) break;
        for (int k = 0; k < sets->n && !why[0]; k++) {
            l->a = sets->a[k];
            run_all(l, why);
        }
        hn_watched(c, function[f]);
    }
    hn_check_end(c, !l ? "out of memory" : why[0] ? why : NULL, NULL);
    hn_free(&c->ctx->mem, l);
}
