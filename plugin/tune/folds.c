/* SPDX-License-Identifier: MIT
 *
 * Folds: see folds.h. The generator is MT19937 (Matsumoto, Nishimura 1998), seeded by one number with their init_genrand. */
#include "plugin/tune/folds.h"
#include <math.h>
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
    int64_t *count; /* per class, in order of first appearance; with groups by number */
    int32_t *code;  /* of each position */
    int32_t *deal;  /* scratch: folds of one class's members */
    int64_t *have;  /* per class and fold */
    int n;
};

/* The classes that there are, without gaps. */
static void code_by_number(struct strata *s, const struct hn_fold_options *o, int32_t *code_of,
                           size_t n)
{
    for (int64_t i = 0; i < o->n; i++) code_of[o->classes[i]] = 0;
    for (size_t c = 0; c < n; c++)
        if (code_of[c] == 0) code_of[c] = s->n++;
}

/* Classes are numbered as they appear, with groups in their own order. */
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
    if (o->groups) code_by_number(s, o, code_of, n);
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

/* ---- groups that keep the classes' shares ------------------------------------------------------------------------------- */

/* numpy's order of adding along a row; what is compared below is compared to the last bit. */
static double sum_in_pairs(const double *v, int64_t n)
{
    double r[8], sum = 0;
    int64_t i = 0;
    if (n > 128) {
        int64_t half = n / 2 - n / 2 % 8;
        return sum_in_pairs(v, half) + sum_in_pairs(v + half, n - half);
    }
    if (n >= 8) {
        memcpy(r, v, sizeof r);
        for (i = 8; i < n - n % 8; i++) r[i % 8] += v[i];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < n; i++) sum += v[i];
    return sum;
}

static double sum_in_order(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    return sum;
}

/* Of all of them, not of a sample; v is used up. */
static double deviation(double *v, int64_t n, double (*sum)(const double *, int64_t))
{
    const double mean = sum(v, n) / (double)n;
    for (int64_t i = 0; i < n; i++) v[i] = (v[i] - mean) * (v[i] - mean);
    return sqrt(sum(v, n) / (double)n);
}

struct turn {      /* of a group */
    double uneven; /* deviation of its rows among the classes */
    uint32_t id, at;
};

struct deal {
    struct strata *s;
    int k;
    struct turn *turn;
    uint32_t *first;  /* of each group in s->deal, its positions together; one more at the end */
    int64_t *mine;    /* per class, of the group in question */
    double *spread;   /* per class: deviation of its shares among the folds as they are */
    double *by_class; /* scratch */
    double *by_fold;
};

static void count_group(struct deal *d, uint32_t g)
{
    const struct strata *s = d->s;
    memset(d->mine, 0, (size_t)s->n * sizeof *d->mine);
    for (uint32_t i = d->first[g]; i < d->first[g + 1]; i++)
        d->mine[s->code[(uint32_t)s->deal[i]]]++;
}

static void gather_groups(struct deal *d, const struct hn_fold_options *o)
{
    uint32_t *first = d->first;
    for (int64_t i = 0; i < o->n; i++) first[o->groups[i]]++;
    for (uint32_t g = 1; g <= o->n_groups; g++) first[g] += first[g - 1];
    for (int64_t i = o->n; i-- > 0;) d->s->deal[--first[o->groups[i]]] = (int32_t)(uint32_t)i;
}

static int by_turn(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->uneven != y->uneven) return x->uneven > y->uneven ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The most uneven groups first; equals in their order, or shuffled. order: scratch. */
static void take_turns(struct deal *d, const struct hn_fold_options *o, struct twister *t,
                       int32_t *order)
{
    for (uint32_t g = 0; g < o->n_groups; g++) order[g] = (int32_t)g;
    if (o->shuffle) shuffle(t, order, o->n_groups);
    for (uint32_t at = 0; at < o->n_groups; at++) {
        const uint32_t g = (uint32_t)order[at];
        count_group(d, g);
        for (int c = 0; c < d->s->n; c++) d->by_class[c] = (double)d->mine[c];
        d->turn[at] = (struct turn){ deviation(d->by_class, d->s->n, sum_in_pairs), g, at };
    }
    qsort(d->turn, o->n_groups, sizeof *d->turn, by_turn);
}

/* How unevenly class c lies among the folds if one of them (-1: none) had the group as well. */
static double spread_of(struct deal *d, int c, int with)
{
    const struct strata *s = d->s;
    for (int i = 0; i < d->k; i++) {
        const int64_t n = s->have[(int64_t)c * d->k + i] + (i == with ? d->mine[c] : 0);
        d->by_fold[i] = (double)n / (double)s->count[c];
    }
    return deviation(d->by_fold, d->k, s->n == 1 ? sum_in_pairs : sum_in_order);
}

static double unevenness(struct deal *d, int with)
{
    for (int c = 0; c < d->s->n; c++)
        d->by_class[c] = d->mine[c] ? spread_of(d, c, with) : d->spread[c];
    return sum_in_pairs(d->by_class, d->s->n) / d->s->n;
}

/* The fold that the group leaves least uneven; where that is as good as the same, the one with fewer positions. */
static int fold_for(struct deal *d, const int64_t *size)
{
    int best = 0;
    double least = unevenness(d, 0);
    for (int i = 1; i < d->k; i++) {
        const double v = unevenness(d, i);
        const int same = fabs(v - least) <= 1e-8 + 1e-5 * fabs(least);
        if (v < least || (same && size[i] < size[best])) best = i, least = v;
    }
    return best;
}

static void deal_groups(struct hn_folds *f, struct deal *d, uint32_t n_groups)
{
    struct strata *s = d->s;
    memset(f->size, 0, (size_t)f->k * sizeof *f->size);
    for (uint32_t at = 0; at < n_groups; at++) {
        const uint32_t g = d->turn[at].id;
        count_group(d, g);
        const int fold = fold_for(d, f->size);
        for (int c = 0; c < s->n; c++) {
            if (!d->mine[c]) continue;
            s->have[(int64_t)c * d->k + fold] += d->mine[c];
            d->spread[c] = spread_of(d, c, -1);
        }
        for (uint32_t i = d->first[g]; i < d->first[g + 1]; i++)
            f->fold[(uint32_t)s->deal[i]] = fold;
        f->size[fold] += d->first[g + 1] - d->first[g];
    }
}

static hone_status check_dealt(struct hn_folds *f, const struct strata *s, hone_error *err)
{
    for (int64_t i = 0; i < (int64_t)s->n * f->k; i++)
        if (!s->have[i]) f->small_classes = 1;
    for (int i = 0; i < f->k; i++)
        if (!f->size[i])
            return hn_hint(err,
                           hn_fail(err, HONE_E_DATA, "folds",
                                   "fold %d of %d would be empty: no whole group is left for it",
                                   i + 1, f->k),
                           "fewer folds, another --seed, or folds without --stratified");
    return HONE_OK;
}

static hone_status stratify_groups(struct hn_folds *f, const struct hn_fold_options *o,
                                   struct strata *s, struct twister *t, hone_error *err)
{
    struct hn_mem *m = f->mem;
    const size_t n = o->n_groups, classes = (size_t)s->n;
    int32_t *order = hn_alloc(m, n * sizeof *order);
    struct deal d = { .s = s,
                      .k = f->k,
                      .turn = hn_alloc(m, n * sizeof *d.turn),
                      .first = hn_calloc(m, n + 1, sizeof *d.first),
                      .mine = hn_alloc(m, classes * sizeof *d.mine),
                      .spread = hn_calloc(m, classes, sizeof *d.spread),
                      .by_class = hn_alloc(m, classes * sizeof *d.by_class),
                      .by_fold = hn_alloc(m, (size_t)f->k * sizeof *d.by_fold) };
    hone_status st = HONE_OK;
    if (order && d.turn && d.first && d.mine && d.spread && d.by_class && d.by_fold) {
        gather_groups(&d, o);
        take_turns(&d, o, t, order);
        deal_groups(f, &d, o->n_groups);
        st = check_dealt(f, s, err);
    } else {
        st = hn_nomem(err, "the groups of the folds", n * sizeof *d.turn);
    }
    hn_free(m, order);
    hn_free(m, d.turn);
    hn_free(m, d.first);
    hn_free(m, d.mine);
    hn_free(m, d.spread);
    hn_free(m, d.by_class);
    hn_free(m, d.by_fold);
    return st;
}

static hone_status check_groups(const struct hn_fold_options *o, hone_error *err)
{
    if ((int64_t)o->n_groups >= o->k) return HONE_OK;
    return hn_fail(err, HONE_E_DATA, "folds", "%d folds of %u groups, wanted at least as many",
                   o->k, o->n_groups);
}

static hone_status stratified(struct hn_folds *f, const struct hn_fold_options *o,
                              struct twister *t, hone_error *err)
{
    struct strata s = { 0 };
    hone_status st = o->groups ? check_groups(o, err) : HONE_OK;
    if (st == HONE_OK) st = code_classes(&s, f, o, err);
    if (st == HONE_OK) st = check_strata(f, &s, err);
    if (st == HONE_OK && o->groups) st = stratify_groups(f, o, &s, t, err);
    if (st == HONE_OK && !o->groups) stratify(f, o, &s, t);
    hn_free(f->mem, s.count);
    hn_free(f->mem, s.code);
    hn_free(f->mem, s.deal);
    hn_free(f->mem, s.have);
    return st;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------- */

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
    HN_TRY(check_groups(o, err));
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

static hone_status draw(struct hn_folds *f, const struct hn_fold_options *o, struct twister *t,
                        hone_error *err)
{
    if (o->classes) return stratified(f, o, t, err);
    return o->groups ? grouped(f, o, err) : plain(f, o, t, err);
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
    st = draw(f, o, t, err);
    for (int i = 0; i < o->repeat && st == HONE_OK && t; i++) st = draw(f, o, t, err);
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
