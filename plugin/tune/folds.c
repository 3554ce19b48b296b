/* SPDX-License-Identifier: MIT
 *
 * Folds: see folds.h. The generator is MT19937 (Matsumoto, Nishimura 1998), seeded by one number with their init_genrand. */
#include "plugin/tune/folds.h"
#include <stdlib.h>
#include <string.h>

/* ---- numpy's RandomState ------------------------------------------------------------------------------------------------ */

enum { MT_N = 624, MT_M = 397 };

struct twister {
    uint32_t state[MT_N];
    int at;
};

static void twister_seed(struct twister *t, uint32_t seed)
{
    t->state[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++)
        t->state[i] = 1812433253u * (t->state[i - 1] ^ (t->state[i - 1] >> 30)) + i;
    t->at = MT_N;
}

static void twist(struct twister *t)
{
    uint32_t *s = t->state;
    for (int i = 0; i < MT_N; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % MT_N] & 0x7fffffffu);
        s[i] = s[(i + MT_M) % MT_N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    t->at = 0;
}

static uint32_t twister_next(struct twister *t)
{
    if (t->at == MT_N) twist(t);
    uint32_t y = t->state[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* A number in [0, max]: draws under the smallest mask that covers max, until one fits. */
static uint32_t twister_upto(struct twister *t, uint32_t max)
{
    uint32_t mask = max, v;
    for (int s = 1; s < 32; s *= 2) mask |= mask >> s;
    do v = twister_next(t) & mask;
    while (v > max);
    return v;
}

static void shuffle(struct twister *t, int32_t *v, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t j = twister_upto(t, (uint32_t)i);
        int32_t x = v[i];
        v[i] = v[j];
        v[j] = x;
    }
}

/* ---- folds -------------------------------------------------------------------------------------------------------------- */

/* The first n % k folds have one position more. */
static hone_status plain(struct hn_folds *f, const struct hn_fold_options *o, struct twister *t,
                         hone_error *err)
{
    int32_t *order = hn_alloc(f->mem, (size_t)o->n * sizeof *order);
    if (!order) return hn_nomem(err, "the folds", (size_t)o->n * sizeof *order);
    for (int64_t i = 0; i < o->n; i++) order[i] = (int32_t)(uint32_t)i;
    if (o->shuffle) shuffle(t, order, o->n);
    int64_t at = 0;
    for (int k = 0; k < o->k; k++)
        for (int64_t left = o->n / o->k + (k < o->n % o->k); left > 0; left--)
            f->fold[(uint32_t)order[at++]] = k;
    hn_free(f->mem, order);
    return HONE_OK;
}

struct strata {
    int64_t *count; /* per class, in order of first appearance */
    int32_t *code;  /* of each position */
    int32_t *deal;  /* scratch: folds of one class's members */
    int64_t *have;  /* per class and fold */
    int n;
};

/* Classes are numbered as they appear. */
static hone_status code_classes(struct strata *s, const struct hn_folds *f,
                                const struct hn_fold_options *o, hone_error *err)
{
    int32_t top = 0;
    for (int64_t i = 0; i < o->n; i++)
        if (o->classes[i] > top) top = o->classes[i];
    size_t n = (size_t)top + 1;
    int32_t *code_of = hn_alloc(f->mem, n * sizeof *code_of);
    s->count = hn_calloc(f->mem, n, sizeof *s->count);
    s->code = hn_alloc(f->mem, (size_t)o->n * sizeof *s->code);
    s->deal = hn_alloc(f->mem, (size_t)o->n * sizeof *s->deal);
    s->have = hn_calloc(f->mem, n * (size_t)o->k, sizeof *s->have);
    if (!code_of || !s->count || !s->code || !s->deal || !s->have) {
        hn_free(f->mem, code_of);
        return hn_nomem(err, "the classes of the folds", n * (size_t)o->k * sizeof *s->have);
    }
    for (size_t c = 0; c < n; c++) code_of[c] = -1;
    for (int64_t i = 0; i < o->n; i++) {
        int32_t *c = &code_of[o->classes[i]];
        if (*c < 0) *c = s->n++;
        s->code[i] = *c;
        s->count[*c]++;
    }
    hn_free(f->mem, code_of);
    return HONE_OK;
}

static hone_status check_strata(struct hn_folds *f, const struct strata *s, hone_error *err)
{
    int64_t most = 0;
    for (int c = 0; c < s->n; c++) {
        if (s->count[c] > most) most = s->count[c];
        if (s->count[c] < f->k) f->small_classes = 1;
    }
    if (most >= f->k) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, "folds",
                   "%d folds, but no class has more than %lld rows: every fold wants one", f->k,
                   (long long)most);
}

/* What class c has among positions i, i+k, i+2k, … of the sorted codes goes to fold i; which members, by their order (or
 * shuffled). */
static void stratify(struct hn_folds *f, const struct hn_fold_options *o, struct strata *s,
                     struct twister *t)
{
    int64_t at = 0;
    for (int c = 0; c < s->n; c++)
        for (int64_t left = s->count[c]; left > 0; left--)
            s->have[(int64_t)c * o->k + at++ % o->k]++;
    for (int c = 0; c < s->n; c++) {
        int64_t n = 0, next = 0;
        for (int k = 0; k < o->k; k++)
            for (int64_t left = s->have[(int64_t)c * o->k + k]; left > 0; left--) s->deal[n++] = k;
        if (o->shuffle) shuffle(t, s->deal, n);
        for (int64_t i = 0; i < o->n; i++)
            if (s->code[i] == c) f->fold[i] = s->deal[next++];
    }
}

static hone_status stratified(struct hn_folds *f, const struct hn_fold_options *o,
                              struct twister *t, hone_error *err)
{
    struct strata s = { 0 };
    hone_status st = code_classes(&s, f, o, err);
    if (st == HONE_OK) st = check_strata(f, &s, err);
    if (st == HONE_OK) stratify(f, o, &s, t);
    hn_free(f->mem, s.count);
    hn_free(f->mem, s.code);
    hn_free(f->mem, s.deal);
    hn_free(f->mem, s.have);
    return st;
}

struct group {
    int64_t count;
    uint32_t id;
};

/* Large ones first; among equals the higher number. */
static int by_size(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id;
}

/* Each group goes to the fold with the fewest positions (the first of those). */
static void place_groups(struct hn_folds *f, const struct hn_fold_options *o, struct group *group,
                         int32_t *fold_of)
{
    for (uint32_t g = 0; g < o->n_groups; g++) group[g].id = g;
    for (int64_t i = 0; i < o->n; i++) group[o->groups[i]].count++;
    qsort(group, o->n_groups, sizeof *group, by_size);
    for (uint32_t g = 0; g < o->n_groups; g++) {
        int light = 0;
        for (int k = 1; k < o->k; k++)
            if (f->size[k] < f->size[light]) light = k;
        f->size[light] += group[g].count;
        fold_of[group[g].id] = light;
    }
    for (int64_t i = 0; i < o->n; i++) f->fold[i] = fold_of[o->groups[i]];
}

static hone_status grouped(struct hn_folds *f, const struct hn_fold_options *o, hone_error *err)
{
    if ((int64_t)o->n_groups < o->k)
        return hn_fail(err, HONE_E_DATA, "folds", "%d folds of %u groups, wanted at least as many",
                       o->k, o->n_groups);
    struct group *group = hn_calloc(f->mem, o->n_groups, sizeof *group);
    int32_t *fold_of = hn_calloc(f->mem, o->n_groups, sizeof *fold_of);
    hone_status st = HONE_OK;
    if (group && fold_of)
        place_groups(f, o, group, fold_of);
    else
        st = hn_nomem(err, "the groups of the folds", o->n_groups * sizeof *group);
    hn_free(f->mem, group);
    hn_free(f->mem, fold_of);
    return st;
}

static hone_status make(struct hn_folds *f, const struct hn_fold_options *o, hone_error *err)
{
    struct twister *t = NULL;
    hone_status st;
    f->fold = hn_calloc(f->mem, (size_t)o->n, sizeof *f->fold);
    f->size = hn_calloc(f->mem, (size_t)o->k, sizeof *f->size);
    if (o->shuffle) t = hn_alloc(f->mem, sizeof *t);
    if (!f->fold || !f->size || (o->shuffle && !t)) {
        hn_free(f->mem, t);
        return hn_nomem(err, "the folds", (size_t)o->n * sizeof *f->fold);
    }
    if (t) twister_seed(t, o->seed);
    if (o->groups)
        st = grouped(f, o, err);
    else
        st = o->classes ? stratified(f, o, t, err) : plain(f, o, t, err);
    for (int i = 0; i < o->repeat && st == HONE_OK && t; i++)
        st = o->classes ? stratified(f, o, t, err) : plain(f, o, t, err);
    hn_free(f->mem, t);
    if (st != HONE_OK || o->groups) return st; /* groups are counted as they are placed */
    for (int64_t i = 0; i < o->n; i++) f->size[f->fold[i]]++;
    return HONE_OK;
}

hone_status hn_folds_make(struct hn_folds *f, struct hn_mem *mem, const struct hn_fold_options *o,
                          hone_error *err)
{
    *f = (struct hn_folds){ .mem = mem, .k = o->k, .n = o->n };
    if (o->k < 2) return hn_fail(err, HONE_E_USAGE, "folds", "found %d, wanted at least 2", o->k);
    if (o->n < o->k)
        return hn_fail(err, HONE_E_DATA, "folds", "%d folds of %lld rows, wanted at least as many",
                       o->k, (long long)o->n);
    hone_status st = make(f, o, err);
    if (st != HONE_OK) hn_folds_free(f);
    return st;
}

void hn_folds_free(struct hn_folds *f)
{
    if (f->mem) {
        hn_free(f->mem, f->fold);
        hn_free(f->mem, f->size);
    }
    memset(f, 0, sizeof *f);
}

int64_t hn_fold_rows(const struct hn_folds *f, int i, int test, uint32_t *dst)
{
    int64_t n = 0;
    for (int64_t p = 0; p < f->n; p++)
        if ((f->fold[p] == i) == (test != 0)) dst[n++] = (uint32_t)p;
    return n;
}
