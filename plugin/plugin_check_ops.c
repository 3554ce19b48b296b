/* SPDX-License-Identifier: MIT
 *
 * The operators of a plug-in, with the attributes' defaults: backward against central differences, float beside double, the
 * same for elements one by one and from several threads. */
#include "ops/base/pool.h"
#include "plugin/plugin_check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 257 };

/* Off round numbers, where functions have their kinks. */
static double point(int i) { return (i - POINTS / 2) / 41.3 + 0.00123; }

struct values { /* of one operator at all points; dx for dy = 1 */
    double x[POINTS], y[POINTS], dy[POINTS], dx[POINTS];
};

static void compute(const struct hn_custom_op *op, double shift, struct values *v)
{
    for (int i = 0; i < POINTS; i++) v->x[i] = point(i) + shift, v->dy[i] = 1, v->dx[i] = 77;
    op->f.forward64(op->dflt, POINTS, v->x, v->y);
    op->f.backward64(op->dflt, POINTS, v->x, v->dy, v->dx);
}

static void check_gradient(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    const double h = 1e-5;
    static const char fmt[] = "at x = %.9g backward64 gives a slope of %.9g, forward64 has %.9g";
    struct values at, up, down;
    char why[200] = "", told[64];
    double worst = 0;
    hn_check_begin(c, "gradient", "op", name);
    compute(op, 0, &at);
    compute(op, h, &up);
    compute(op, -h, &down);
    for (int i = 0; i < POINTS; i++) {
        double slope = (up.y[i] - down.y[i]) / (2 * h);
        double off = fabs(slope - at.dx[i]) / (1 + fabs(slope));
        if (!(off <= worst)) worst = off;
        if (!(off <= 1e-5) && !why[0])
            (void)snprintf(why, sizeof why, fmt, at.x[i], at.dx[i], slope);
    }
    (void)snprintf(told, sizeof told, "largest error %.2g at %d points", worst, POINTS);
    hn_check_end(c, why[0] ? why : NULL, told);
}

static void check_float(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    static const char fmt[] = "at x = %.9g %s gives %.9g, in double it is %.9g";
    float x[POINTS], y[POINTS], dy[POINTS], dx[POINTS];
    struct values v;
    char why[200] = "";
    if (!op->f.forward32) return;
    hn_check_begin(c, "float32 beside float64", "op", name);
    for (int i = 0; i < POINTS; i++) x[i] = (float)point(i), dy[i] = 1, dx[i] = 77;
    op->f.forward32(op->dflt, POINTS, x, y);
    op->f.backward32(op->dflt, POINTS, x, dy, dx);
    compute(op, 0, &v);
    for (int i = 0; i < POINTS && !why[0]; i++) {
        if (!(fabs((double)y[i] - v.y[i]) <= 1e-4 * (1 + fabs(v.y[i]))))
            (void)snprintf(why, sizeof why, fmt, v.x[i], "forward32", (double)y[i], v.y[i]);
        else if (!(fabs((double)dx[i] - v.dx[i]) <= 1e-4 * (1 + fabs(v.dx[i]))))
            (void)snprintf(why, sizeof why, fmt, v.x[i], "backward32", (double)dx[i], v.dx[i]);
    }
    hn_check_end(c, why[0] ? why : NULL, NULL);
}

/* dx is dy times the slope, and nothing of an element depends on its neighbours or on what was before. */
static void check_elements(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    struct values v;
    const char *why = NULL;
    hn_check_begin(c, "element by element", "op", name);
    compute(op, 0, &v);
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
    for (int k = 0; k < 50; k++) compute(r->op, 0, &r->v[i]);
}

static void check_threads(struct hn_check *c, const struct hn_custom_op *op, const char *name)
{
    struct race r = { .op = op };
    struct hn_pool *pool = NULL;
    struct values want;
    const char *why = NULL;
    hn_check_begin(c, "threads", "op", name);
    compute(op, 0, &want);
    if (hn_pool_create(&c->ctx->mem, HN_CHECK_THREADS, &pool, NULL) != HONE_OK) {
        hn_check_end(c, "there are no threads", NULL);
        return;
    }
    hn_pool_run(pool, HN_CHECK_THREADS, race_one, &r);
    hn_pool_destroy(pool);
    for (int i = 0; i < HN_CHECK_THREADS; i++)
        if (memcmp(&r.v[i], &want, sizeof want) != 0) why = "a thread computed something else";
    hn_check_end(c, why, NULL);
}

void hn_check_ops(struct hn_check *c, const struct hn_custom_op *op, size_t n)
{
    for (; n; n--, op = op->next) {
        char name[300];
        (void)snprintf(name, sizeof name, "%s.%s", op->domain, op->type);
        check_gradient(c, op, name);
        check_float(c, op, name);
        check_elements(c, op, name);
        check_threads(c, op, name);
    }
}
