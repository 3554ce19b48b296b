/* SPDX-License-Identifier: MIT
 *
 * The operators of a plug-in, with the defaults of their attributes and others around them: backward against differences of
 * forward, float beside double, elements one by one, several threads. */
#include "ops/base/pool.h"
#include "plugin/plugin_check.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 257, WHY = 256 };

/* Off round numbers, where functions have their kinks; all of them floats. */
static double point(int i) { return (double)(float)((i - POINTS / 2) / 41.3 + 0.00123); }

/* ---- attributes ------------------------------------------------------------------------------------------------------ */

/* Value k around the default d. The sign stays: what is less than another default is less than it here, mostly. */
static double around(double d, int k)
{
    static const double times[HN_ATTR_VALUES] = { 0.5, 0.8, 1.25, 2 },
                        beside_zero[HN_ATTR_VALUES] = { -0.5, -0.125, 0.125, 0.5 };
    if (!isfinite(d)) return d;
    return (double)(float)(d == 0 ? beside_zero[k] : d * times[k]);
}

static void make_sets(const struct hn_custom_op *op, struct hn_attr_sets *s)
{
    *s = (struct hn_attr_sets){ .n = 1 };
    memcpy(s->a[0], op->dflt, sizeof op->dflt);
    for (int i = 0; i < op->n_attrs; i++)
        for (int k = 0; k < HN_ATTR_VALUES; k++, s->n++) {
            memcpy(s->a[s->n], op->dflt, sizeof op->dflt);
            s->a[s->n][i] = around(op->dflt[i], k);
        }
    for (int j = 0; op->n_attrs > 1 && j < op->n_attrs; j++, s->n++) /* several at once */
        for (int i = 0; i < op->n_attrs; i++)
            s->a[s->n][i] = around(op->dflt[i], (i * 3 + j) % HN_ATTR_VALUES);
}

const char *hn_attr_text(const struct hn_custom_op *op, const double *a, char buf[HN_ATTR_TEXT])
{
    size_t n = 0;
    buf[0] = '\0';
    for (int i = 0; i < op->n_attrs && n < HN_ATTR_TEXT; i++)
        if (a[i] != op->dflt[i])
            n += (size_t)snprintf(buf + n, HN_ATTR_TEXT - n, "%s%s = %.9g", n ? ", " : " with ",
                                  op->attr[i], a[i]);
    return buf;
}

/* ---- what an operator computes --------------------------------------------------------------------------------------- */

struct values { /* of one operator at all points; dx for dy = 1 */
    double x[POINTS], y[POINTS], dy[POINTS], dx[POINTS];
};

/* c NULL: unwatched, from several threads. */
static void compute(struct hn_check *c, const struct hn_custom_op *op, const double *attrs,
                    double shift, struct values *v)
{
    double a[HN_CUSTOM_ATTRS]; /* hn_check_lengths says who changes its own */
    memcpy(a, attrs, sizeof a);
    for (int i = 0; i < POINTS; i++) v->x[i] = point(i) + shift, v->dy[i] = 1, v->dx[i] = 77;
    op->f.forward64(a, POINTS, v->x, v->y);
    if (c) hn_watched(c, "forward64");
    op->f.backward64(a, POINTS, v->x, v->dy, v->dx);
    if (c) hn_watched(c, "backward64");
}

/* With the defaults all must be numbers; else NaN says that there is no such operator, or none of x. */
static int is_nothing(double y) { return !(fabs(y) < 1e100); }

/* ---- gradient -------------------------------------------------------------------------------------------------------- */

struct slopes { /* at all points, a little aside of them */
    struct values at;
    double slope[POINTS], off[POINTS];
    int bad[POINTS];
};

/* From differences over two distances, whose own difference is how much they are worth: much beside a kink. */
static void find_slopes(struct hn_check *c, const struct hn_custom_op *op, const double *a,
                        double shift, struct slopes *s)
{
    const double h = 1e-5;
    const int others = memcmp(a, op->dflt, sizeof op->dflt) != 0;
    struct values up, down, up2, down2;
    compute(c, op, a, shift, &s->at);
    compute(c, op, a, shift + h, &up);
    compute(c, op, a, shift - h, &down);
    compute(c, op, a, shift + h / 2, &up2);
    compute(c, op, a, shift - h / 2, &down2);
    for (int i = 0; i < POINTS; i++) {
        double wide = (up.y[i] - down.y[i]) / (up.x[i] - down.x[i]);
        double near = (up2.y[i] - down2.y[i]) / (up2.x[i] - down2.x[i]);
        double noise = 4 * DBL_EPSILON * (fabs(up.y[i]) + fabs(down.y[i])) / h;
        int skip =
            others && (is_nothing(s->at.y[i]) || is_nothing(up.y[i]) || is_nothing(down.y[i]));
        s->slope[i] = (4 * near - wide) / 3;
        double off = fabs(s->slope[i] - s->at.dx[i]);
        s->off[i] = skip ? 0 : off / (1 + fabs(s->slope[i]));
        s->bad[i] =
            !skip && !(off <= 1e-5 * (1 + fabs(s->slope[i])) + 2 * fabs(wide - near) + noise);
    }
}

/* A slope is wrong that is so at a point and beside it: kinks are no wider. */
static double check_slopes(struct hn_check *c, const struct hn_custom_op *op, const double *a,
                           char why[WHY])
{
    static const char fmt[] = "at x = %.9g%s backward64 gives a slope of %.9g, forward64 has %.9g";
    struct slopes s, left, right;
    char with[HN_ATTR_TEXT];
    double worst = 0;
    find_slopes(c, op, a, 0, &s);
    find_slopes(c, op, a, -0.0011, &left);
    find_slopes(c, op, a, 0.0007, &right);
    for (int i = 0; i < POINTS; i++) {
        int wrong = s.bad[i] && (left.bad[i] || right.bad[i]);
        if (!s.bad[i] && s.off[i] > worst) worst = s.off[i];
        if (wrong && !why[0])
            (void)snprintf(why, WHY, fmt, s.at.x[i], hn_attr_text(op, a, with), s.at.dx[i],
                           s.slope[i]);
    }
    return worst;
}

static void check_gradient(struct hn_check *c, const struct hn_custom_op *op, const char *name,
                           const struct hn_attr_sets *sets)
{
    char why[WHY] = "", told[96];
    double worst = 0;
    hn_check_begin(c, "gradient", "op", name);
    for (int k = 0; k < sets->n; k++) {
        double off = check_slopes(c, op, sets->a[k], why);
        if (off > worst) worst = off;
    }
    int n = snprintf(told, sizeof told, "largest error %.2g at %d points", worst, POINTS);
    if (sets->n > 1)
        (void)snprintf(told + n, sizeof told - (size_t)n, ", with %d choices of attributes",
                       sets->n);
    hn_check_end(c, why[0] ? why : NULL, told);
}

/* ---- float beside double --------------------------------------------------------------------------------------------- */

/* got in float for want in double, which a rounding of x moves by so much. */
static int is_near(double got, double want, double moved)
{
    if (!(fabs(want) < (double)FLT_MAX)) return 1; /* nothing to compare with */
    return fabs(got - want) <= 1e-4 * (1 + fabs(want)) + fabs(moved);
}

static void compare_float(struct hn_check *c, const struct hn_custom_op *op, const double *a,
                          char why[WHY])
{
    static const char fmt[] = "at x = %.9g%s %s gives %.9g, in double it is %.9g";
    const double one_rounding = 1e-6;
    float x[POINTS], y[POINTS], dy[POINTS], dx[POINTS];
    struct values v, up, down;
    char with[HN_ATTR_TEXT];
    for (int i = 0; i < POINTS; i++) x[i] = (float)point(i), dy[i] = 1, dx[i] = 77;
    op->f.forward32(a, POINTS, x, y);
    hn_watched(c, "forward32");
    op->f.backward32(a, POINTS, x, dy, dx);
    hn_watched(c, "backward32");
    compute(c, op, a, 0, &v);
    compute(c, op, a, one_rounding, &up);
    compute(c, op, a, -one_rounding, &down);
    hn_attr_text(op, a, with);
    for (int i = 0; i < POINTS && !why[0]; i++) {
        if (!is_near((double)y[i], v.y[i], up.y[i] - down.y[i]))
            (void)snprintf(why, WHY, fmt, v.x[i], with, "forward32", (double)y[i], v.y[i]);
        else if (!is_near((double)dx[i], v.dx[i], up.dx[i] - down.dx[i]))
            (void)snprintf(why, WHY, fmt, v.x[i], with, "backward32", (double)dx[i], v.dx[i]);
    }
}

static void check_float(struct hn_check *c, const struct hn_custom_op *op, const char *name,
                        const struct hn_attr_sets *sets)
{
    char why[WHY] = "";
    if (!op->f.forward32) return;
    hn_check_begin(c, "float32 beside float64", "op", name);
    for (int k = 0; k < sets->n && !why[0]; k++) compare_float(c, op, sets->a[k], why);
    hn_check_end(c, why[0] ? why : NULL, NULL);
}

/* ---- elements and threads -------------------------------------------------------------------------------------------- */

/* dx is dy times the slope, and nothing of an element depends on its neighbours or on what was before. */
static void check_elements(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    struct values v;
    const char *why = NULL;
    hn_check_begin(c, "element by element", "op", name);
    compute(c, op, op->dflt, 0, &v);
    for (int i = POINTS - 1; i >= 0 && !why; i--) {
        double x = point(i), dy = -2, y, dx;
        op->f.forward64(op->dflt, 1, &x, &y);
        op->f.backward64(op->dflt, 1, &x, &dy, &dx);
        if (memcmp(&y, &v.y[i], sizeof y) != 0)
            why = "forward64 depends on more than x";
        else if (!(fabs(dx + 2 * v.dx[i]) <= 1e-12 * (1 + fabs(dx))))
            why = "backward64 is not dy times the slope";
    }
    hn_check_end(c, why, NULL);
}

struct race {
    const struct hn_custom_op *op;
    struct values v[HN_CHECK_THREADS];
};

static void race_one(void *user, int i, int worker)
{
    struct race *r = user;
    (void)worker;
    for (int k = 0; k < 50; k++) compute(NULL, r->op, r->op->dflt, 0, &r->v[i]);
}

static void check_threads(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    struct race r = { .op = op };
    struct hn_pool *pool = NULL;
    struct values want;
    const char *why = NULL;
    hn_check_begin(c, "threads", "op", name);
    compute(c, op, op->dflt, 0, &want);
    if (hn_pool_create(&c->ctx->mem, HN_CHECK_THREADS, &pool, NULL) != HONE_OK) {
        hn_check_end(c, "there are no threads", NULL);
        return;
    }
    hn_pool_run(pool, HN_CHECK_THREADS, race_one, &r);
    hn_pool_destroy(pool);
    for (int i = 0; i < HN_CHECK_THREADS; i++)
        if (memcmp(&r.v[i], &want, sizeof want) != 0) why = "a thread computed something else";
    hn_check_end(c, why, NULL);
    hn_watched(c, "one of several threads");
}

void hn_check_ops(struct hn_check *c, const struct hn_custom_op *op, size_t n)
{
    for (; n; n--, op = op->next) {
        char name[300];
        struct hn_attr_sets sets;
        make_sets(op, &sets);
        (void)snprintf(name, sizeof name, "%s.%s", op->domain, op->type);
        hn_check_lengths(c, op, name,
                         &sets); /* the first, for what it writes astray confuses others */
        hn_watch_open(c);
        check_gradient(c, op, name, &sets);
        check_float(c, op, name, &sets);
        check_elements(c, op, name);
        check_threads(c, op, name);
        hn_watch_told(c, "op", name);
    }
}
