/* SPDX-License-Identifier: MIT
 *
 * Points of a space: the unit cube and back, which axes count, the points of a grid by number, values as text. */
#include "ops/base/format.h"
#include "ops/base/json.h"
#include "plugin/tune/space.h"
#include <math.h>
#include <string.h>

/* ---- one axis ------------------------------------------------------------------------------------------------------- */

int64_t hn_axis_levels(const struct hn_axis *a)
{
    if (a->kind == HN_AXIS_CHOICE) return a->n_choices;
    if (a->step <= 0) return a->low == a->high;
    return (int64_t)floor((a->high - a->low) / a->step * (1 + 1e-12) + 1e-9) + 1;
}

/* Low + i steps; of fractions the digits that rounding added are taken away (0.30000000000000004 is 0.3). */
double hn_axis_level(const struct hn_axis *a, int64_t i)
{
    double v = a->low + (double)i * a->step;
    char buf[40];
    if (a->levels && i >= 0 && i < hn_axis_levels(a)) return a->levels[i];
    if (a->kind == HN_AXIS_CHOICE) return (double)i;
    if (a->kind == HN_AXIS_INT || a->step <= 0) return v;
    hn_print(buf, sizeof buf, "%.13g", v);
    if (!hn_parse_double(buf, strlen(buf), &v)) v = a->low + (double)i * a->step;
    return v;
}

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static double snap(const struct hn_axis *a, double v)
{
    if (a->kind == HN_AXIS_CHOICE) return clamp(round(v), 0, a->n_choices - 1);
    if (a->step <= 0) return clamp(v, a->low, a->high);
    double last = (double)(hn_axis_levels(a) - 1);
    return hn_axis_level(a, (int64_t)clamp(round((v - a->low) / a->step), 0, last));
}

/* The ends of the axis in the cube: half a step beyond the bounds of a discrete one, logs of a log one. */
static void ends(const struct hn_axis *a, double *low, double *high)
{
    double half = a->step > 0 ? a->step / 2 : 0;
    *low = a->low - half, *high = a->high + half;
    if (a->log) *low = log(*low), *high = log(*high);
}

double hn_axis_decode(const struct hn_axis *a, double u)
{
    double low, high;
    if (a->kind == HN_AXIS_CHOICE) return clamp(floor(u * a->n_choices), 0, a->n_choices - 1);
    ends(a, &low, &high);
    double v = low + u * (high - low);
    return snap(a, a->log ? exp(v) : v);
}

double hn_axis_encode(const struct hn_axis *a, double v)
{
    double low, high;
    if (isnan(v)) return 0.5;
    if (a->kind == HN_AXIS_CHOICE) return (v + 0.5) / a->n_choices;
    ends(a, &low, &high);
    if (!(high > low)) return 0.5;
    if (a->log) v = v > 0 ? log(v) : low - (high - low);
    return (v - low) / (high - low);
}

const char *hn_axis_text(const struct hn_axis *a, double v, char *buf)
{
    if (a->kind == HN_AXIS_CHOICE) return a->choices[(int)clamp(v, 0, a->n_choices - 1)].text;
    if (a->kind == HN_AXIS_INT)
        hn_print(buf, 32, "%.0f", v);
    else
        hn_format_double(buf, v);
    return buf;
}

int hn_axis_read(const struct hn_axis *a, const char *text, double *v)
{
    double want, have;
    int is_number = hn_parse_double(text, strlen(text), &want) && isfinite(want);
    if (a->kind != HN_AXIS_CHOICE) {
        if (!is_number ||
            (a->kind == HN_AXIS_INT && (want != floor(want) || fabs(want) > HN_INT_MOST)))
            return 0;
        *v = want;
        return 1;
    }
    for (int i = 0; i < a->n_choices; i++) {
        const char *c = a->choices[i].text;
        int same = !strcmp(c, text);
        if (!same && is_number &&
            (a->choices[i].type == HN_CHOICE_INT || a->choices[i].type == HN_CHOICE_FLOAT))
            same = hn_parse_double(c, strlen(c), &have) && have == want;
        if (same) return *v = i, 1;
    }
    return 0;
}

/* ---- points ----------------------------------------------------------------------------------------------------------- */

int hn_space_active(const struct hn_search_space *s, const double *x, int i)
{
    const struct hn_axis *a = &s->axes[i];
    for (int k = 0; k < a->n_whens; k++) {
        const struct hn_when *w = &a->whens[k];
        int holds = 0;
        for (int j = 0; j < w->n; j++) holds |= x[w->parent] == w->values[j];
        if (!holds) return 0;
    }
    return 1;
}

void hn_space_settle(const struct hn_search_space *s, double *x)
{
    for (int k = 0; k < s->n; k++) {
        int i = s->order[k];
        if (!hn_space_active(s, x, i))
            x[i] = (double)NAN;
        else
            x[i] = isnan(x[i]) ? hn_axis_decode(&s->axes[i], 0.5) : snap(&s->axes[i], x[i]);
    }
}

void hn_space_decode(const struct hn_search_space *s, const double *u, double *x)
{
    for (int i = 0; i < s->n; i++) x[i] = hn_axis_decode(&s->axes[i], u[i]);
    hn_space_settle(s, x);
}

void hn_space_encode(const struct hn_search_space *s, const double *x, double *u)
{
    for (int i = 0; i < s->n; i++) u[i] = hn_axis_encode(&s->axes[i], x[i]);
}

hone_status hn_space_setting(const struct hn_search_space *s, const char *text, double *x,
                             hone_error *err)
{
    for (int i = 0; i < s->n; i++) x[i] = (double)NAN;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        char item[256], *value;
        if (n >= sizeof item)
            return hn_fail(err, HONE_E_USAGE, "setting", "'%.40s…' is too long", p);
        while (n && *p == ' ') p++, n--;
        memcpy(item, p, n);
        item[n] = '\0';
        p += n + (p[n] == ',');
        while (n && item[n - 1] == ' ') item[--n] = '\0';
        if (!n) continue;
        value = strchr(item, '=');
        if (!value)
            return hn_fail(err, HONE_E_USAGE, "setting", "found '%s', wanted NAME=VALUE", item);
        for (char *end = value; end > item && end[-1] == ' ';) *--end = '\0';
        *value++ = '\0';
        while (*value == ' ') value++;
        int i = hn_space_find(s, item);
        if (i < 0)
            return hn_fail(err, HONE_E_USAGE, "setting", "'%s' is not in the search space", item);
        if (!hn_axis_read(&s->axes[i], value, &x[i]))
            return hn_fail(err, HONE_E_USAGE, "setting", "'%s' is no value of '%s'", value, item);
    }
    return HONE_OK;
}

/* ---- the points of a grid by number ------------------------------------------------------------------------------------
 * Axes form a forest by their first condition. An axis takes as many points as its levels have, each level times the points
 * of the children that are active there; roots are independent of each other. */

static int64_t grid_levels(const struct hn_axis *a, int grid)
{
    int64_t n = hn_axis_levels(a);
    return grid && a->points && (n == 0 || a->points < n) ? a->points : n;
}

static double grid_level(const struct hn_axis *a, int64_t i, int grid)
{
    int64_t n = grid_levels(a, grid);
    if (n == hn_axis_levels(a)) return hn_axis_level(a, i);
    double f = n > 1 ? (double)i / (double)(n - 1) : 0.5;
    if (a->log) return snap(a, exp(log(a->low) + f * (log(a->high) - log(a->low))));
    return snap(a, a->low + f * (a->high - a->low));
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t r;
    return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static int is_child(const struct hn_search_space *s, int c, int parent)
{
    return s->axes[c].n_whens && s->axes[c].whens[0].parent == parent;
}

static int is_on(const struct hn_search_space *s, int c, double value)
{
    const struct hn_when *w = &s->axes[c].whens[0];
    for (int j = 0; j < w->n; j++)
        if (w->values[j] == value) return 1;
    return 0;
}

static uint64_t count_axis(const struct hn_search_space *s, int i, int grid);

/* Points of the children of axis i when it has this value. */
static uint64_t count_below(const struct hn_search_space *s, int i, double value, int grid)
{
    uint64_t n = 1;
    for (int c = 0; c < s->n; c++)
        if (is_child(s, c, i) && is_on(s, c, value)) n = times(n, count_axis(s, c, grid));
    return n;
}

static uint64_t count_axis(const struct hn_search_space *s, int i, int grid)
{
    int64_t levels = grid_levels(&s->axes[i], grid);
    uint64_t n = 0;
    int parent = 0;
    for (int c = 0; c < s->n; c++) parent |= is_child(s, c, i);
    if (levels == 0) return UINT64_MAX;
    if (!parent) return (uint64_t)levels;
    if (levels > 1000000) return UINT64_MAX;
    for (int64_t l = 0; l < levels; l++)
        if (__builtin_add_overflow(n, count_below(s, i, grid_level(&s->axes[i], l, grid), grid),
                                   &n))
            return UINT64_MAX;
    return n;
}

uint64_t hn_space_count(const struct hn_search_space *s, int grid, int *exact)
{
    uint64_t n = 1;
    *exact = 1;
    for (int i = 0; i < s->n; i++) {
        if (s->axes[i].n_whens > 1) *exact = 0;
        if (s->axes[i].n_whens == 0) n = times(n, count_axis(s, i, grid));
    }
    return n;
}

static void place(const struct hn_search_space *s, int i, uint64_t rank, int grid, double *x)
{
    const struct hn_axis *a = &s->axes[i];
    uint64_t below = 1;
    int parent = 0;
    int64_t l = 0;
    for (int c = 0; c < s->n; c++) parent |= is_child(s, c, i);
    if (!parent) {
        x[i] = grid_level(a, (int64_t)rank, grid);
        return;
    }
    for (;; l++) {
        x[i] = grid_level(a, l, grid);
        below = count_below(s, i, x[i], grid);
        if (rank < below) break;
        rank -= below;
    }
    for (int c = s->n - 1; c >= 0; c--)
        if (is_child(s, c, i) && is_on(s, c, x[i])) {
            uint64_t n = count_axis(s, c, grid);
            place(s, c, rank % n, grid, x);
            rank /= n;
        }
}

void hn_space_point(const struct hn_search_space *s, uint64_t i, int grid, double *x)
{
    for (int k = 0; k < s->n; k++) x[k] = (double)NAN;
    for (int k = s->n - 1; k >= 0; k--)
        if (s->axes[k].n_whens == 0) {
            uint64_t n = count_axis(s, k, grid);
            place(s, k, i % n, grid, x);
            i /= n;
        }
    hn_space_settle(s, x);
}
