/* SPDX-License-Identifier: MIT
 *
 * Training, validation and test rows. Rows are walked in a seeded random order and taken while their class still has
 * room; with groups whole groups are walked. Purpose numbers of the shuffle: 0 test, 1 validation. */
#include "ops/base/rng.h"
#include "plugin/data/internal.h"

#include <math.h>

void hn_split_free(struct hn_split *s)
{
    if (s->mem) {
        hn_free(s->mem, s->train);
        hn_free(s->mem, s->val);
        hn_free(s->mem, s->test);
    }
    memset(s, 0, sizeof *s);
}

struct draw {
    struct hn_mem *mem;
    const struct hn_split_options *o;
    uint32_t key[2];
    uint32_t *rows; /* still undrawn, ascending */
    int64_t n;
    int64_t n_classes;
    int64_t *have, *want; /* rows per class among `rows`; wanted ones */
    uint8_t *taken;       /* by position in rows */
    uint32_t *order;      /* scratch: positions, or groups */
};

static int64_t class_of(const struct draw *d, uint32_t row)
{
    return d->o->classes ? d->o->classes[row] : 0;
}

/* want[c] = size × have[c] / n, rounded down, then one more each for the largest remainders. */
static void quotas(struct draw *d, int64_t size)
{
    int64_t given = 0;
    for (int64_t c = 0; c < d->n_classes; c++) {
        d->want[c] = (int64_t)((__int128)size * d->have[c] / d->n);
        given += d->want[c];
    }
    while (given < size) {
        int64_t best = -1, most = -1;
        for (int64_t c = 0; c < d->n_classes; c++) {
            int64_t rest = (int64_t)((__int128)size * d->have[c] % d->n);
            int has_extra = d->want[c] > (int64_t)((__int128)size * d->have[c] / d->n);
            if (!has_extra && d->want[c] < d->have[c] && rest > most) most = rest, best = c;
        }
        d->want[best]++;
        given++;
    }
}

static void draw_rows(struct draw *d, uint32_t purpose)
{
    for (int64_t i = 0; i < d->n; i++) d->order[i] = (uint32_t)i;
    hn_rng_shuffle(d->key, HN_STREAM_SPLIT, purpose, d->order, (size_t)d->n);
    for (int64_t i = 0; i < d->n; i++) {
        uint32_t at = d->order[i];
        int64_t *want = &d->want[class_of(d, d->rows[at])];
        if (*want > 0) --*want, d->taken[at] = 1;
    }
}

/* Positions of rows, group after group: start[g]…start[g+1]. */
static void sort_by_group(const struct draw *d, uint32_t *start, uint32_t *member)
{
    uint32_t groups = d->o->n_groups;
    for (int64_t i = 0; i < d->n; i++) start[d->o->groups[d->rows[i]] + 1]++;
    for (uint32_t g = 0; g < groups; g++) start[g + 1] += start[g];
    for (int64_t i = d->n; i-- > 0;) member[--start[d->o->groups[d->rows[i]] + 1]] = (uint32_t)i;
    /* now start[g + 1] is where group g begins */
    for (uint32_t g = 0; g < groups; g++) start[g] = start[g + 1];
    start[groups] = (uint32_t)d->n;
}

/* How much closer to want the group's rows bring each class (positive: closer). want is changed when `take` is set. */
static int64_t gain(struct draw *d, const uint32_t *member, uint32_t n, int take)
{
    int64_t before = 0, after = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t *want = &d->want[class_of(d, d->rows[member[i]])];
        before +=
            *want > 0 ? *want : -*want; /* telescopes: each row's change of its class's distance */
        --*want;
        after += *want > 0 ? *want : -*want;
    }
    for (uint32_t i = 0; i < n && !take; i++) ++d->want[class_of(d, d->rows[member[i]])];
    return before - after;
}

static hone_status draw_groups(struct draw *d, uint32_t purpose, hone_error *err)
{
    uint32_t groups = d->o->n_groups, nearest = 0;
    int64_t best = INT64_MIN, drawn = 0;
    uint32_t *start = hn_calloc(d->mem, (size_t)groups + 1, sizeof *start);
    uint32_t *member = hn_calloc(d->mem, (size_t)d->n, sizeof *member);
    uint32_t *order = hn_calloc(d->mem, groups, sizeof *order);
    hone_status st =
        start && member && order ? HONE_OK : hn_nomem(err, "the groups of a split", groups);
    if (st == HONE_OK) {
        sort_by_group(d, start, member);
        for (uint32_t g = 0; g < groups; g++) order[g] = g;
        hn_rng_shuffle(d->key, HN_STREAM_SPLIT, purpose, order, groups);
        for (uint32_t i = 0; i < groups; i++) {
            const uint32_t *m = member + start[order[i]];
            uint32_t n = start[order[i] + 1] - start[order[i]];
            int64_t g = n ? gain(d, m, n, 0) : INT64_MIN;
            if (g > best) best = g, nearest = order[i];
            if (g <= 0) continue;
            gain(d, m, n, 1);
            for (uint32_t k = 0; k < n; k++) d->taken[m[k]] = 1;
            drawn += n;
        }
        for (uint32_t k = start[nearest]; !drawn && k < start[nearest + 1]; k++)
            d->taken[member[k]] = 1;
    }
    hn_free(d->mem, start);
    hn_free(d->mem, member);
    hn_free(d->mem, order);
    return st;
}

/* Moves the taken rows out of d->rows; both stay ascending. */
static hone_status move_taken(struct draw *d, uint32_t **out, int64_t *n_out, hone_error *err)
{
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < d->n; i++) n += d->taken[i];
    if (!(*out = hn_calloc(d->mem, (size_t)n, sizeof **out)))
        return hn_nomem(err, "the rows of a split", (size_t)n);
    *n_out = 0;
    for (int64_t i = 0; i < d->n; i++) {
        if (d->taken[i])
            (*out)[(*n_out)++] = d->rows[i];
        else
            d->rows[kept++] = d->rows[i];
    }
    d->n = kept;
    return HONE_OK;
}

static hone_status draw_part(struct draw *d, uint32_t purpose, uint32_t **out, int64_t *n_out,
                             hone_error *err)
{
    static const char *const names[] = { "--test-split", "--val-split" };
    double fraction = purpose ? d->o->val : d->o->test;
    if (fraction == 0) return HONE_OK;
    int64_t size = (int64_t)floor(fraction * (double)d->n + 0.5);
    if (size < 1 || size >= d->n)
        return hn_fail(err, HONE_E_DATA, names[purpose],
                       "%g of %lld rows is %lld rows, wanted 1 to %lld", fraction, (long long)d->n,
                       (long long)size, (long long)d->n - 1);
    memset(d->have, 0, (size_t)d->n_classes * sizeof *d->have);
    for (int64_t i = 0; i < d->n; i++) d->have[class_of(d, d->rows[i])]++;
    memset(d->taken, 0, (size_t)d->n);
    quotas(d, size);
    if (d->o->groups)
        HN_TRY(draw_groups(d, purpose, err));
    else
        draw_rows(d, purpose);
    long long before = d->n;
    HN_TRY(move_taken(d, out, n_out, err));
    if (!d->n || !*n_out)
        return hn_fail(err, HONE_E_DATA, names[purpose],
                       "%lld of %lld rows would be drawn: the groups are too large",
                       (long long)*n_out, before);
    return HONE_OK;
}

static hone_status check_options(const struct hn_split_options *o, hone_error *err)
{
    if (!(o->test >= 0 && o->test < 1))
        return hn_fail(err, HONE_E_USAGE, "--test-split",
                       "found %g, wanted 0 or more and less than 1", o->test);
    if (!(o->val >= 0 && o->val < 1))
        return hn_fail(err, HONE_E_USAGE, "--val-split",
                       "found %g, wanted 0 or more and less than 1", o->val);
    return HONE_OK;
}

static hone_status split(struct hn_split *s, struct draw *d, int64_t rows, hone_error *err)
{
    for (int64_t i = 0; d->o->classes && i < rows; i++)
        if (d->o->classes[i] >= d->n_classes) d->n_classes = (int64_t)d->o->classes[i] + 1;
    s->train = d->rows = hn_calloc(d->mem, (size_t)rows, sizeof *d->rows);
    d->order = hn_calloc(d->mem, (size_t)rows, sizeof *d->order);
    d->taken = hn_calloc(d->mem, (size_t)rows, 1);
    d->have = hn_calloc(d->mem, (size_t)d->n_classes, sizeof *d->have);
    d->want = hn_calloc(d->mem, (size_t)d->n_classes, sizeof *d->want);
    if (!d->rows || !d->order || !d->taken || !d->have || !d->want)
        return hn_nomem(err, "the rows of a split", (size_t)rows * sizeof *d->rows);
    for (int64_t i = 0; i < rows; i++) d->rows[i] = (uint32_t)i;
    d->n = rows;
    HN_TRY(draw_part(d, 0, &s->test, &s->n_test, err));
    HN_TRY(draw_part(d, 1, &s->val, &s->n_val, err));
    s->n_train = d->n;
    return HONE_OK;
}

hone_status hn_split_rows(struct hn_split *s, struct hn_mem *mem, int64_t rows,
                          const struct hn_split_options *o, hone_error *err)
{
    struct draw d = { .mem = mem, .o = o, .n_classes = 1 };
    memset(s, 0, sizeof *s);
    HN_TRY(check_options(o, err));
    s->mem = mem;
    hn_rng_key(o->seed, 0, 0, d.key);
    hone_status st = split(s, &d, rows, err);
    hn_free(mem, d.order);
    hn_free(mem, d.taken);
    hn_free(mem, d.have);
    hn_free(mem, d.want);
    if (st != HONE_OK) hn_split_free(s);
    return st;
}
