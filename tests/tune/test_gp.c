/* SPDX-License-Identifier: MIT
 *
 * The Gaussian process and what walks on it: gradients against differences, closed forms, logEI far into the tail, L-BFGS on
 * functions with known minima, Sobol's published points. */
#include "ops/base/rng.h"
#include "plugin/tune/acquire.h"
#include "plugin/tune/blas.h"
#include "plugin/tune/gp_search.h"
#include "plugin/tune/lbfgs.h"
#include "plugin/tune/sobol.h"
#include "tests/fault.h"
#include "tests/tune/tune_util.h"
#include <cblas.h>

static struct hn_mem mem;
static hone_error err;
static const unsigned char kinds[3] = { 0, 0, 1 };

static double noise_at(int i) { return 0.3 * sin(12.9898 * i) + 0.1 * cos(78.233 * i); }

static void fill(struct hn_gp *g, int n)
{
    HN_OK(hn_gp_init(g, &mem, n, 3, kinds, &err), err);
    for (int i = 0; i < n; i++) {
        double a = fmod(0.754877666 * (i + 1), 1), b = fmod(0.569840296 * (i + 1), 1), c = i % 3;
        g->x[i] = a, g->x[n + i] = b, g->x[2 * n + i] = c;
        g->y[i] = sin(5 * a) + b * b + 0.5 * c + noise_at(i);
        g->noise[i] = i % 4 == 0 ? 0.05 : 0;
    }
}

START_TEST(gradient_of_the_loss)
{
    struct hn_gp g;
    double theta[5] = { 0.3, -0.7, 0.9, 0.2, -3 }, grad[5], none[5];
    fill(&g, 17);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 5; i++) theta[i] += 0.4 * noise_at(7 * k + i);
        double f = hn_gp_loss(&g, theta, grad);
        ck_assert_double_eq_tol(hn_gp_loss(&g, theta, NULL), f, 1e-12);
        for (int i = 0; i < 5; i++) {
            double h = 1e-5, was = theta[i];
            theta[i] = was + h;
            double up = hn_gp_loss(&g, theta, NULL);
            theta[i] = was - h;
            double down = hn_gp_loss(&g, theta, none);
            theta[i] = was;
            ck_assert_msg(fabs((up - down) / (2 * h) - grad[i]) < 1e-5 * (1 + fabs(grad[i])),
                          "theta %d: %g, differences say %g", i, grad[i], (up - down) / (2 * h));
        }
    }
    hn_gp_free(&g);
}
END_TEST

/* Two points by hand: C = [[s+v, k], [k, s+v]]. */
START_TEST(posterior_in_closed_form)
{
    struct hn_gp g;
    struct hn_belief b;
    uint32_t key[2] = { 1, 2 };
    unsigned char numeric[1] = { 0 };
    HN_OK(hn_gp_init(&g, &mem, 2, 1, numeric, &err), err);
    g.x[0] = 0.2, g.x[1] = 0.7, g.y[0] = 1, g.y[1] = -0.5;
    g.theta[0] = log(4.0), g.theta[1] = log(1.5), g.theta[2] = log(0.1);
    HN_OK(hn_gp_factor(&g, &err), err);
    HN_OK(hn_belief_init(&b, &g, NULL, 0, key, &err), err);
    double at = 0.4, s = 1.5, v = 0.1 + HN_GP_NOISE_FLOOR, k[3], distance[3] = { 0.5, 0.2, 0.3 };
    for (int i = 0; i < 3; i++) {
        double r = sqrt(5.0) * 2 * distance[i];
        k[i] = s * (1 + r + r * r / 3) * exp(-r);
    }
    double det = (s + v) * (s + v) - k[0] * k[0];
    double w0 = ((s + v) * k[1] - k[0] * k[2]) / det, w1 = ((s + v) * k[2] - k[0] * k[1]) / det,
           mean, sd;
    hn_belief_at(&b, &at, &mean, &sd);
    ck_assert_double_eq_tol(mean, w0 * 1 + w1 * -0.5, 1e-12);
    ck_assert_double_eq_tol(sd * sd, s - w0 * k[1] - w1 * k[2], 1e-12);
    hn_belief_free(&b);
    hn_gp_free(&g);
}
END_TEST

/* Conditioning on a running point: its fantasies average to the mean there, and near it nothing is left to learn. */
START_TEST(fantasies_of_running_trials)
{
    struct hn_gp g;
    struct hn_belief alone, with;
    uint32_t key[2] = { 5, 6 };
    double pending[3] = { 0.33, 0.77, 1 }, mean, sd, mean2, sd2, far[3] = { 0.9, 0.1, 2 };
    fill(&g, 15);
    HN_OK(hn_gp_fit(&g, 1, 60, &err), err);
    HN_OK(hn_belief_init(&alone, &g, NULL, 0, key, &err), err);
    HN_OK(hn_belief_init(&with, &g, pending, 1, key, &err), err);
    ck_assert_int_eq(with.fantasies, HN_FANTASIES);
    hn_belief_at(&alone, pending, &mean, &sd);
    hn_belief_at(&with, pending, &mean2, &sd2);
    ck_assert(sd2 < sd);
    hn_belief_at(&alone, far, &mean, &sd);
    hn_belief_at(&with, far, &mean2, &sd2);
    ck_assert(sd2 <= sd + 1e-9);
    hn_belief_free(&alone);
    hn_belief_free(&with);
    hn_gp_free(&g);
}
END_TEST

START_TEST(gradients_of_acquisitions)
{
    struct hn_gp g;
    struct hn_belief b = { 0 };
    struct hn_path *path = NULL;
    static const int levels[3] = { 0, 0, 3 };
    uint32_t key[2] = { 3, 4 };
    double pending[3] = { 0.5, 0.25, 1 };
    fill(&g, 19);
    HN_OK(hn_gp_fit(&g, 1, 60, &err), err);
    if (_i == HN_ACQ_THOMPSON)
        HN_OK(hn_path_draw(&g, levels, key, &path, &err), err);
    else
        HN_OK(hn_belief_init(&b, &g, pending, 1, key, &err), err);
    struct hn_acquire q = { (enum hn_acquisition)_i, &g, path ? NULL : &b, path, 2.5 };
    double *work = malloc(sizeof *work * 128 * (20 + HN_FANTASIES)), e[5][3], many[5];
    for (int k = 0; k < 5; k++) {
        double grad[3];
        e[k][0] = fmod(0.61 * (k + 1), 1), e[k][1] = fmod(0.37 * (k + 1), 1), e[k][2] = k % 3;
        double f = hn_acquire_at(&q, e[k], grad);
        ck_assert(grad[2] == 0 && isfinite(f));
        for (int a = 0; a < 2; a++) {
            double h = 1e-6, was = e[k][a];
            e[k][a] = was + h;
            double up = hn_acquire_at(&q, e[k], NULL);
            e[k][a] = was - h;
            double down = hn_acquire_at(&q, e[k], NULL);
            e[k][a] = was;
            ck_assert_msg(fabs((up - down) / (2 * h) - grad[a]) < 2e-4 * (1 + fabs(grad[a])),
                          "axis %d: %g, differences say %g", a, grad[a], (up - down) / (2 * h));
        }
    }
    if (!path) hn_acquire_many(&q, e[0], 5, work, many);
    for (int k = 0; !path && k < 5; k++)
        ck_assert_double_eq_tol(many[k], hn_acquire_at(&q, e[k], NULL), 1e-7 * (1 + fabs(many[k])));
    free(work);
    hn_path_free(path);
    hn_belief_free(&b);
    hn_gp_free(&g);
}
END_TEST

/* A draw goes through the data where there is no noise, and draws of different keys spread as the posterior says. */
START_TEST(draws_of_the_posterior)
{
    struct hn_gp g;
    struct hn_belief b;
    static const int levels[3] = { 0, 0, 3 };
    uint32_t key[2] = { 7, 0 };
    double at[3] = { 0.05, 0.95, 2 }, mean, sd, sum = 0, square = 0;
    fill(&g, 12);
    for (int i = 0; i < g.n; i++) g.noise[i] = 0;
    g.theta[0] = log(9.0), g.theta[1] = log(4.0), g.theta[2] = 0, g.theta[3] = 0,
    g.theta[4] = log(1e-6);
    HN_OK(hn_gp_factor(&g, &err), err);
    HN_OK(hn_belief_init(&b, &g, NULL, 0, key, &err), err);
    hn_belief_at(&b, at, &mean, &sd);
    enum { DRAWS = 400 };
    for (int k = 0; k < DRAWS; k++) {
        struct hn_path *p;
        key[1] = (uint32_t)k;
        HN_OK(hn_path_draw(&g, levels, key, &p, &err), err);
        double f = hn_path_at(p, at, NULL), e[3] = { g.x[4], g.x[12 + 4], g.x[24 + 4] };
        ck_assert_double_eq_tol(hn_path_at(p, e, NULL), g.y[4], 0.02);
        sum += f, square += f * f;
        hn_path_free(p);
    }
    double got = sqrt(square / DRAWS - sum / DRAWS * sum / DRAWS);
    ck_assert_msg(fabs(sum / DRAWS - mean) < 4 * sd / sqrt(DRAWS), "mean %g, wanted %g",
                  sum / DRAWS, mean);
    ck_assert_msg(fabs(got / sd - 1) < 0.2, "spread %g, wanted %g", got, sd);
    hn_belief_free(&b);
    hn_gp_free(&g);
}
END_TEST

/* log(φ + zΦ) and its slope to 60 digits (mpmath), rounded. */
static const struct {
    double z, log_h, slope;
} tail[] = {
    { 5.0, 1.6094379231055, 0.19999994 },
    { 0.0, -0.918938533204673, 1.2533141373155 },
    { -1.0, -2.48512, 0 },
};

START_TEST(logei_far_into_the_tail)
{
    for (int i = 0; i < 2; i++) {
        ck_assert_double_eq_tol(hn_log_h(tail[i].z), tail[i].log_h, 1e-9);
        ck_assert_double_eq_tol(hn_log_h_slope(tail[i].z), tail[i].slope, 1e-6);
    }
    ck_assert_double_eq_tol(hn_log_h(-1), log(0.083315470587), 1e-9);
    for (double z = -60; z < 6;
         z += 0.00917) { /* the branches meet, and the slope is the derivative */
        double h = 1e-4, slope = (hn_log_h(z + h) - hn_log_h(z - h)) / (2 * h);
        ck_assert_msg(fabs(slope - hn_log_h_slope(z)) < 1e-6 * (1 + fabs(slope)), "z %g: %g, %g", z,
                      slope, hn_log_h_slope(z));
        double p = hn_log_normal_cdf(z);
        ck_assert(isfinite(p) && p <= 0 && hn_log_normal_cdf(z + 0.01) >= p);
    }
    ck_assert_double_eq_tol(hn_log_h(-20 - 1e-9), hn_log_h(-20 + 1e-9), 1e-6);
    ck_assert_double_eq_tol(hn_log_h(-1000), -0.5e6 - 0.918938533204673 - 2 * log(1000.0), 1e-5);
    ck_assert(isfinite(hn_log_h(-1e8)) && isfinite(hn_log_h_slope(-1e8)));
    static const double p[] = { 1e-12, 1e-3, 0.05, 0.3, 0.5, 0.9, 0.999 };
    for (size_t i = 0; i < sizeof p / sizeof *p; i++)
        ck_assert_double_eq_tol(0.5 * erfc(-hn_normal_quantile(p[i]) / sqrt(2)), p[i], 1e-12);
    ck_assert_double_eq_tol(hn_normal_quantile(0.975), 1.959963984540054, 1e-12);
}
END_TEST

static double rosenbrock(void *user, const double *x, double *g)
{
    int n = *(int *)user;
    double f = 0;
    for (int i = 0; i < n; i++) g[i] = 0;
    for (int i = 0; i + 1 < n; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        f += 100 * a * a + b * b;
        g[i] += -400 * a * x[i] - 2 * b;
        g[i + 1] += 200 * a;
    }
    return f;
}

static double bowl(void *user, const double *x, double *g)
{
    double f = 0;
    (void)user;
    for (int i = 0; i < 4; i++) {
        double c = pow(10, i), d = x[i] - 2;
        f += 0.5 * c * d * d;
        g[i] = c * d;
    }
    return x[0] < -5 ? (double)NAN : f;
}

START_TEST(lbfgs_finds_minima)
{
    int n = 6, evals;
    double x[6] = { -1.2, 1, -1.2, 1, -1.2, 1 }, *work = malloc(hn_lbfgs_work(6) * sizeof *work);
    struct hn_lbfgs p = { .n = n, .max_evals = 500, .gtol = 1e-8, .f = rosenbrock, .user = &n };
    ck_assert_double_lt(hn_lbfgs_run(&p, x, work, &evals), 1e-10);
    for (int i = 0; i < n; i++) ck_assert_double_eq_tol(x[i], 1, 1e-4);
    ck_assert_int_lt(evals, 200);
    double low[4] = { 0, 0, 0, 0 }, high[4] = { 1, 3, 1.5, 9 }, y[4] = { 0.5, -3, 0.1, 9 };
    p = (struct hn_lbfgs){
        .n = 4, .low = low, .high = high, .max_evals = 100, .gtol = 1e-8, .f = bowl
    };
    hn_lbfgs_run(&p, y, work, &evals); /* two at their bounds, two inside */
    ck_assert_double_eq(y[0], 1);
    ck_assert_double_eq_tol(y[1], 2, 1e-6);
    ck_assert_double_eq(y[2], 1.5);
    ck_assert_double_eq_tol(y[3], 2, 1e-6);
    double z[4] = { 30, 30, 30, 30 };
    p.low = p.high = NULL;
    p.max_evals = 7;
    hn_lbfgs_run(&p, z, work, &evals);
    ck_assert_int_le(evals, 7);
    double w[4] = { -6, 0, 0, 0 }; /* where f is not a number nothing can begin */
    ck_assert(isinf(hn_lbfgs_run(&p, w, work, &evals)));
    free(work);
}
END_TEST

/* Joe and Kuo's first points, Gray code order, dimensions 1 to 4 and 10. */
START_TEST(sobol_points)
{
    static const double want[8][4] = { { 0, 0, 0, 0 },
                                       { 0.5, 0.5, 0.5, 0.5 },
                                       { 0.75, 0.25, 0.25, 0.25 },
                                       { 0.25, 0.75, 0.75, 0.75 },
                                       { 0.375, 0.375, 0.625, 0.875 },
                                       { 0.875, 0.875, 0.125, 0.375 },
                                       { 0.625, 0.125, 0.875, 0.625 },
                                       { 0.125, 0.625, 0.375, 0.125 } };
    struct hn_sobol s;
    for (int d = 0; d < 4; d++) {
        hn_sobol_init(&s, d, NULL, 0);
        for (int i = 0; i < 8; i++) ck_assert_double_eq(hn_sobol_at(&s, (uint32_t)i), want[i][d]);
    }
    for (int d = 0; d < HN_SOBOL_AXES + 3;
         d++) { /* scrambled or not, 256 points are one in each of 256 cells */
        uint32_t key[2] = { 11, (uint32_t)d };
        for (int scrambled = 0; scrambled < 2; scrambled++) {
            int cells[256] = { 0 };
            hn_sobol_init(&s, d, scrambled ? key : NULL, 9);
            for (uint32_t i = 0; i < 256; i++) {
                double u = hn_sobol_at(&s, i);
                ck_assert(u >= 0 && u < 1);
                cells[(int)(u * 256)]++;
            }
            for (int i = 0; d < HN_SOBOL_AXES && i < 256; i++) ck_assert_int_eq(cells[i], 1);
        }
    }
}
END_TEST

START_TEST(values_are_made_gentle)
{
    double y[9] = { 1, 2, 3, 4, 5, 1e6, 1e9, 6, 1e12 }, noise[9] = { 0, 0, 0, 0.5, 0, 0, 0, 0, 0 },
           mean = 0, var = 0;
    HN_OK(hn_gp_tame(&mem, y, noise, 9, &err), err);
    for (int i = 0; i < 9; i++) mean += y[i] / 9;
    for (int i = 0; i < 9; i++) var += (y[i] - mean) * (y[i] - mean) / 9;
    ck_assert_double_eq_tol(mean, 0, 1e-12);
    ck_assert_double_eq_tol(var, 1, 1e-12);
    ck_assert(y[0] < y[1] && y[1] < y[2] && y[4] < y[7] && y[7] < y[5] && y[5] < y[6] &&
              y[6] < y[8]);                                   /* order stays */
    ck_assert_double_eq_tol(y[1] - y[0], y[3] - y[2], 1e-12); /* the better half keeps its shape */
    ck_assert(y[8] < 5 && noise[3] > 0.001);
    double same[4] = { 2, 2, 2, 2 }, none[4] = { 0 };
    HN_OK(hn_gp_tame(&mem, same, none, 4, &err), err);
    for (int i = 0; i < 4; i++) ck_assert_double_eq(same[i], 0);
}
END_TEST

/* Most values are one and the same, or but for rounding: the others are told apart all the same, and what is huge does not hide
 * them. */
START_TEST(ties_do_not_hide_the_others)
{
    for (int rounded = 0; rounded < 2; rounded++) {
        double y[12] = { 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.8, 0.9, 1, 1e6, 3e5 },
               noise[12] = { 0 };
        for (int i = 0; i < 7 && rounded; i++) y[i] += (i - 3) * 1.1e-16;
        HN_OK(hn_gp_tame(&mem, y, noise, 12, &err), err);
        ck_assert_msg(y[8] - y[7] > 0.01, "%g and %g", y[7], y[8]);
        ck_assert_double_eq_tol(y[8] - y[7], y[9] - y[8], 1e-9);
        ck_assert(fabs(y[0] - y[6]) < 1e-9 && y[11] < y[10] && y[10] < 5);
    }
}
END_TEST

/* Another unit or origin of the objective changes nothing. */
START_TEST(values_have_no_unit)
{
    static const double v[10] = { 3, -1, 0.25, 0.5, 1e5, 2, 2, 40, -1.5, 7 };
    for (int k = 0; k < 3; k++) {
        double a[10], b[10], none[10] = { 0 }, scale = (double[]){ 1e-6, 0.3, 1e7 }[k];
        for (int i = 0; i < 10; i++) a[i] = v[i], b[i] = scale * (v[i] + 12);
        HN_OK(hn_gp_tame(&mem, a, none, 10, &err), err);
        HN_OK(hn_gp_tame(&mem, b, none, 10, &err), err);
        for (int i = 0; i < 10; i++) ck_assert_double_eq_tol(a[i], b[i], 1e-9);
    }
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (long n = 1;; n++) {
        struct hn_fault f;
        struct hn_gp g = { 0 };
        struct hn_belief b = { 0 };
        struct hn_path *p = NULL;
        static const int levels[3] = { 0, 0, 3 };
        uint32_t key[2] = { 0, 0 };
        double pending[3] = { 0.5, 0.5, 1 };
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = hn_gp_init(&g, &f.mem, 6, 3, kinds, &err);
        for (int i = 0; st == HONE_OK && i < 6; i++)
            g.x[i] = 0.15 * i, g.x[6 + i] = 1 - 0.1 * i, g.y[i] = i;
        if (st == HONE_OK) st = hn_gp_fit(&g, 1, 10, &err);
        if (st == HONE_OK) st = hn_belief_init(&b, &g, pending, 1, key, &err);
        if (st == HONE_OK) st = hn_path_draw(&g, levels, key, &p, &err);
        hn_path_free(p);
        hn_belief_free(&b);
        hn_gp_free(&g);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!f.mem_fail.hits) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
}
END_TEST

/* Two calls that overlap: the one that ends first must not put the threads back under the other. */
START_TEST(overlap)
{
    openblas_set_num_threads(2);
    ck_assert_int_eq(hn_blas_hold(1, NULL), HONE_OK);
    ck_assert_int_eq(hn_blas_hold(0, NULL), HONE_OK);
    ck_assert_int_eq(openblas_get_num_threads(), 1);
    hn_blas_release(1);
    ck_assert_int_eq(openblas_get_num_threads(), 1);
    hn_blas_release(0);
    ck_assert_int_eq(openblas_get_num_threads(), 2);
}
END_TEST

static void setup(void) { hn_mem_init(&mem, 0); }
static void teardown(void) { ck_assert_uint_eq(atomic_load(&mem.used), 0); }

HN_TEST_MAIN("gp", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, gradient_of_the_loss); tcase_add_test(tc, posterior_in_closed_form);
             tcase_add_test(tc, fantasies_of_running_trials);
             tcase_add_loop_test(tc, gradients_of_acquisitions, 0, HN_ACQUISITIONS);
             tcase_add_test(tc, draws_of_the_posterior);
             tcase_add_test(tc, logei_far_into_the_tail); tcase_add_test(tc, lbfgs_finds_minima);
             tcase_add_test(tc, sobol_points); tcase_add_test(tc, values_are_made_gentle);
             tcase_add_test(tc, ties_do_not_hide_the_others);
             tcase_add_test(tc, values_have_no_unit); tcase_add_test(tc, every_allocation_may_fail);
             tcase_add_test(tc, overlap);)
