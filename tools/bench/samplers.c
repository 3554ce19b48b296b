/* SPDX-License-Identifier: MIT
 *
 * How good the samplers are: regret on test functions with a known optimum, and the time of a suggestion.
 *
 *     samplers FUNCTION SAMPLER TRIALS SEEDS [ACQUISITION [LAG]]
 *         a line a seed: number of evaluations and regret at 20, 30, 50, 75, 100, 200; then medians; SEEDS is a number,
 *         or FIRST..LAST
 *     samplers ask SPACE SAMPLER TRIALS SEED
 *         a point a line, numbers with 17 digits; reads its value, which is to be minimised, from standard input
 *     samplers time AXES TRIALS
 *         milliseconds of a gp suggestion after so many trials
 *
 * Functions: branin hartmann6 ackley5 rosen4 mixed conditional. It sees the library's inside and is linked with its objects:
 * samplers.py builds and runs it, and runs Optuna on the same work. */
#include "plugin/tune/sampler.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_AXES = 16, MOST_TRIALS = 2000, MOST_SEEDS = 100 };
static const double PI = 3.14159265358979323846;

struct function {
    const char *name, *space;
    double optimum;
    double (*f)(const double *x);
};

static double branin(const double *x)
{
    double a = x[1] - 5.1 / (4 * PI * PI) * x[0] * x[0] + 5 / PI * x[0] - 6;
    return a * a + 10 * (1 - 1 / (8 * PI)) * cos(x[0]) + 10;
}

static double hartmann6(const double *x)
{
    static const double alpha[4] = { 1.0, 1.2, 3.0, 3.2 };
    static const double a[4][6] = { { 10, 3, 17, 3.5, 1.7, 8 },
                                    { 0.05, 10, 17, 0.1, 8, 14 },
                                    { 3, 3.5, 1.7, 10, 17, 8 },
                                    { 17, 8, 0.05, 10, 0.1, 14 } };
    static const double p[4][6] = { { 1312, 1696, 5569, 124, 8283, 5886 },
                                    { 2329, 4135, 8307, 3736, 1004, 9991 },
                                    { 2348, 1451, 3522, 2883, 3047, 6650 },
                                    { 4047, 8828, 8732, 5743, 1091, 381 } };
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double q = 0;
        for (int j = 0; j < 6; j++)
            q += a[i][j] * (x[j] - 1e-4 * p[i][j]) * (x[j] - 1e-4 * p[i][j]);
        sum -= alpha[i] * exp(-q);
    }
    return sum;
}

static double ackley5(const double *x)
{
    double square = 0, wave = 0;
    for (int i = 0; i < 5; i++) square += x[i] * x[i] / 5, wave += cos(2 * PI * x[i]) / 5;
    return -20 * exp(-0.2 * sqrt(square)) - exp(wave) + 20 + exp(1);
}

static double rosen4(const double *x)
{
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100 * a * a + b * b;
    }
    return sum;
}

/* Two choices, a whole number, two log floats; the best choices are 2 and 1. */
static double mixed(const double *x)
{
    static const double first[] = { 1.0, 0.6, 0.0, 1.5 }, second[] = { 0.8, 0.0, 0.3 };
    double n = x[2] - 37, lr = log10(x[3]) + 2.3, wd = log10(x[4]) + 4.1;
    return first[(int)x[0]] + second[(int)x[1]] + n * n / 400 + lr * lr * (1 + 0.5 * x[1]) +
           0.3 * wd * wd + 0.3 * fabs(lr * wd);
}

/* optimizer (0 sgd, 1 adam); momentum only with sgd, beta only with adam; one or two layers, the second's width. */
static double conditional(const double *x)
{
    double lr = log10(x[1]), f;
    if (x[0] == 0)
        f = 0.2 + (lr + 1.5) * (lr + 1.5) + 4 * (x[2] - 0.9) * (x[2] - 0.9);
    else
        f = (lr + 3) * (lr + 3) + 4 * (x[3] - 0.7) * (x[3] - 0.7);
    return f + (x[4] == 1 ? 0.3 : 0.002 * fabs(x[5] - 48));
}

static const struct function functions[] = {
    { "branin", "x=-5..10;y=0..15", 0.39788735772973816, branin },
    { "hartmann6", "a=0..1;b=0..1;c=0..1;d=0..1;e=0..1;f=0..1", -3.322368011415515, hartmann6 },
    { "ackley5", "a=-5..10;b=-5..10;c=-5..10;d=-5..10;e=-5..10", 0, ackley5 },
    { "rosen4", "a=-5..10;b=-5..10;c=-5..10;d=-5..10", 0, rosen4 },
    { "mixed", "a=w,x,y,z;b=p,q,r;n=int:1..100;lr=log:1e-5..1e-1;wd=log:1e-7..1e-2", 0, mixed },
    { "conditional",
      "opt=sgd,adam;lr=log:1e-5..1;momentum=0.5..0.99?opt=sgd;beta=0.5..0.99?opt=adam;layers=int:1."
      ".2;"
      "units=int:log:8..256?layers=2",
      0, conditional },
};

static void fail(const char *where, const hone_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", where, err->where, err->text);
    exit(1);
}

static void read_space(struct hn_search_space *s, struct hn_mem *m, const char *text)
{
    hone_error err;
    char line[256];
    hn_space_init(s, m);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ";");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        if (hn_space_add(s, line, NULL, &err) != HONE_OK) fail("space", &err);
        p += n + (p[n] == ';');
    }
    if (hn_space_finish(s, &err) != HONE_OK) fail("space", &err);
}

static double points[MOST_TRIALS][MOST_AXES], best[MOST_SEEDS][MOST_TRIALS];
static struct hn_past samples[MOST_TRIALS], seen[MOST_TRIALS];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID,
                  &t); /* one thread: what others do to the machine is left out */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double run(const struct function *f, const struct hn_sampler_opts *o, int trials, int lag,
                  double *curve)
{
    struct hn_mem mem;
    struct hn_search_space space;
    struct hn_memo memo = { 0 }, next;
    hone_error err;
    int exhausted;
    double low = INFINITY, from = now();
    hn_mem_init(&mem, 0);
    read_space(&space, &mem, f->space);
    for (int t = 0; t < trials; t++) {
        for (int i = 0; i < t; i++) {
            seen[i] = samples[i];
            if (i > t - lag) seen[i].outcome = HN_PAST_PENDING;
        }
        struct hn_ask ask = {
            &mem, &space, o, (uint32_t)t, seen, (size_t)t, memo.n ? &memo : NULL
        };
        if (hn_sampler_propose(&ask, points[t], &next, &exhausted, &err) != HONE_OK)
            fail("propose", &err);
        if (exhausted) break;
        if (next.n) memo = next;
        samples[t] = (struct hn_past){ points[t], f->f(points[t]), 0, HN_PAST_VALUED };
        low = fmin(low, samples[t].value);
        curve[t] = low - f->optimum;
    }
    hn_space_clear(&space);
    return now() - from;
}

/* Somebody else knows the function: points out, values in. */
static int ask_and_listen(const char *text, const struct hn_sampler_opts *o, int trials)
{
    struct hn_mem mem;
    struct hn_search_space space;
    struct hn_memo memo = { 0 }, next;
    hone_error err;
    int exhausted;
    hn_mem_init(&mem, 0);
    read_space(&space, &mem, text);
    for (int t = 0; t < trials; t++) {
        struct hn_ask ask = {
            &mem, &space, o, (uint32_t)t, samples, (size_t)t, memo.n ? &memo : NULL
        };
        if (hn_sampler_propose(&ask, points[t], &next, &exhausted, &err) != HONE_OK)
            fail("propose", &err);
        if (exhausted) break;
        if (next.n) memo = next;
        for (int a = 0; a < space.n; a++) printf("%s%.17g", a ? " " : "", points[t][a]);
        printf("\n");
        fflush(stdout);
        double value;
        if (scanf("%lf", &value) != 1) return fprintf(stderr, "a value is missing\n"), 1;
        samples[t] = (struct hn_past){ points[t], value, 0, HN_PAST_VALUED };
    }
    hn_space_clear(&space);
    return 0;
}

static int up(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_it(int axes, int trials)
{
    struct hn_mem mem;
    struct hn_search_space space;
    char text[512] = "";
    for (int a = 0; a < axes; a++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%sx%d=0..1", a ? ";" : "", a);
    hn_mem_init(&mem, 0);
    read_space(&space, &mem, text);
    struct hn_sampler_opts o = { .kind = HN_SAMPLER_RANDOM, .seed = 1 };
    struct hn_memo memo = { 0 }, next;
    hone_error err;
    int exhausted;
    double worst = 0, sum = 0;
    enum { REPEATS = 30 };
    for (int t = 0; t < trials + REPEATS; t++) {
        struct hn_ask ask = {
            &mem, &space, &o, (uint32_t)t, samples, (size_t)t, memo.n ? &memo : NULL
        };
        o.kind = t >= trials - 1 ? HN_SAMPLER_GP
                                 : HN_SAMPLER_RANDOM; /* one before, for a fit to start from */
        double from = now();
        if (hn_sampler_propose(&ask, points[t], &next, &exhausted, &err) != HONE_OK)
            fail("propose", &err);
        if (next.n) memo = next;
        double ms = now() - from;
        if (t >= trials) worst = fmax(worst, ms), sum += ms / REPEATS;
        double y = 0;
        for (int a = 0; a < axes; a++)
            y += (points[t][a] - 0.3) * (points[t][a] - 0.3) + 0.3 * sin(7 * points[t][a] + a);
        samples[t] = (struct hn_past){ points[t], y, 0, HN_PAST_VALUED };
    }
    printf("%d axes, %d trials: %.1f ms a suggestion, at most %.1f\n", axes, trials, sum, worst);
}

static const int marks[] = { 20, 30, 50, 75, 100, 200 };

static void print_medians(int trials, int seeds)
{
    for (int i = 0; i < 6 && marks[i] <= trials; i++) {
        double column[MOST_SEEDS];
        for (int s = 0; s < seeds; s++) column[s] = best[s][marks[i] - 1];
        qsort(column, (size_t)seeds, sizeof *column, up);
        double m =
            seeds % 2 ? column[seeds / 2] : 0.5 * (column[seeds / 2 - 1] + column[seeds / 2]);
        printf(" %d %.3g", marks[i], m);
    }
}

static void compare(const struct function *f, struct hn_sampler_opts *o, int trials, int lag,
                    const int seeds[2])
{
    double ms = 0;
    int n = seeds[1] - seeds[0] + 1;
    for (int s = 0; s < n; s++) {
        o->seed = (uint64_t)(seeds[0] + s);
        ms += run(f, o, trials, lag, best[s]);
        printf("%s %s seed %d:", f->name, hn_sampler_names[o->kind], seeds[0] + s);
        for (int i = 0; i < 6 && marks[i] <= trials; i++)
            printf(" %d %.3g", marks[i], best[s][marks[i] - 1]);
        printf("\n");
        fflush(stdout);
    }
    printf("%s %s median of %d seeds:", f->name, hn_sampler_names[o->kind], n);
    print_medians(trials, n);
    printf("  (%.1f ms a suggestion)\n", ms / n / trials);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "time")) return time_it(atoi(argv[2]), atoi(argv[3])), 0;
    int asking = argc == 6 && !strcmp(argv[1], "ask");
    if (argc < 5)
        return fprintf(stderr,
                       "usage: samplers FUNCTION SAMPLER TRIALS SEEDS [ACQUISITION [LAG]]\n"),
               2;
    char **arg = argv + asking; /* asking: the space stands where the function does otherwise */
    struct hn_sampler_opts o = { .acquisition = HN_ACQ_LOGEI };
    for (int i = 0; i < HN_SAMPLERS; i++)
        if (!strcmp(hn_sampler_names[i], arg[2])) o.kind = (enum hn_sampler_kind)i;
    int trials = atoi(arg[3]), lag = argc > 6 ? atoi(argv[6]) : 1, seeds[2] = { 0, -1 };
    if (sscanf(arg[4], "%d..%d", &seeds[0], &seeds[1]) == 1) seeds[1] = seeds[0] - 1, seeds[0] = 0;
    if (trials > MOST_TRIALS || seeds[1] - seeds[0] >= MOST_SEEDS) return 2;
    if (asking) {
        o.seed = (uint64_t)atoi(arg[4]);
        return ask_and_listen(arg[1], &o, trials);
    }
    const struct function *f = NULL;
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
        if (!strcmp(functions[k].name, argv[1])) f = &functions[k];
    if (!f) return fprintf(stderr, "no function %s\n", argv[1]), 2;
    for (int i = 0; argc > 5 && i < HN_ACQUISITIONS; i++)
        if (!strcmp(hn_acquisition_names[i], argv[5])) o.acquisition = (enum hn_acquisition)i;
    compare(f, &o, trials, lag, seeds);
    return 0;
}
