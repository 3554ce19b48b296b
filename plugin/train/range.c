/* SPDX-License-Identifier: MIT
 *
 * The curve of a learning rate range test: see range.h. */
#include "plugin/train/range.h"
#include <math.h>

static const double BETA = 0.98, TOO_MUCH = 4, LEAST_FALL = 0.01; /* of the loss it falls from */
static const double RISEN = 1.1, BEGUN = 0.25;                    /* of its lowest; of the fall */
static const double SURE = 3;                   /* standard errors by which it has fallen */
enum { MEMORY = 50 };                           /* batches in a smoothed loss */
enum { SKIPPED_STEEP = 1, SKIPPED_VALLEY = 5 }; /* at the end */

double hn_range_rate(double low, double high, int k, int steps)
{
    if (steps < 2 || k <= 0) return low;
    return k + 1 >= steps ? high : low * pow(high / low, (double)k / (steps - 1));
}

int hn_range_add(struct hn_range *r, double lr, double loss)
{
    r->mean = BETA * r->mean + (1 - BETA) * loss;
    double smoothed = r->mean / (1 - pow(BETA, r->n + 1));
    r->point[r->n++] = (struct hn_range_point){ lr, loss, smoothed };
    if (r->n == 1 || smoothed < r->best) r->best = smoothed;
    return r->n <= r->steps / 10 || !(r->best > 0) || !(smoothed > TOO_MUCH * r->best);
}

/* How far one batch's loss is from another's at the same weights: from neighbours, so that a trend does not count. */
static double noise(const struct hn_range *r, int end)
{
    double sum = 0;
    for (int i = 1; i < end; i++) {
        const double d = r->point[i].loss - r->point[i - 1].loss;
        sum += d * d;
    }
    return end > 1 ? sqrt(sum / (2 * (end - 1))) : 0;
}

/* The lowest of points first … end - 1 by the smoothed loss; -1: it lies no further below those in front of it than other
 * batches could do. At `first` the smoothed loss is a mean of about that many batches. */
static int lowest(const struct hn_range *r, int first, int end)
{
    const struct hn_range_point *p = r->point;
    int low = first;
    if (end - first < 3) return -1;
    for (int i = first; i < end; i++)
        if (p[i].smoothed < p[low].smoothed) low = i;
    double high = p[first].smoothed;
    for (int i = first; i < low; i++) high = fmax(high, p[i].smoothed);
    const double fall = high - p[low].smoothed, count = first < MEMORY ? first : MEMORY;
    return fall > LEAST_FALL * fabs(high) && fall > 2 * noise(r, low + 1) / sqrt(count) ? low : -1;
}

/* Has the loss fallen at point i, whose batches so far have this mean? Without a fall the smoothed loss, a mean of the later
 * ones, differs from it by chance: of independent batches their variance times the sum of the squares of (weight - 1 / n), for
 * the smoothed loss's weights. Of few batches both means are nearly the same. */
static int has_fallen(const struct hn_range *r, int i, double mean, double noise_of_one)
{
    const double n = i + 1, last = pow(BETA, n);
    const double squares = (1 - BETA) * (1 + last) / ((1 + BETA) * (1 - last));
    const double se = noise_of_one * sqrt(fmax(squares - 1 / n, 0));
    return mean - r->point[i].smoothed > SURE * se;
}

int hn_range_steepest(const struct hn_range *r)
{
    const int first = r->steps / 10, low = lowest(r, first, r->n - SKIPPED_STEEP);
    const struct hn_range_point *p = r->point;
    const double one = noise(r, low + 1);
    if (low < 0) return -1;
    double high = -HUGE_VAL, least = 0, sum = 0;
    int best = -1;
    for (int i = first; i <= low; i++) high = fmax(high, p[i].smoothed);
    for (int i = 0; i < first; i++) sum += p[i].loss;
    for (int i = first; i <= low; i++) { /* one-sided at both ends, as numpy.gradient */
        sum += p[i].loss;
        const int a = i > first ? i - 1 : i, b = i < low ? i + 1 : i;
        const double slope = (p[b].smoothed - p[a].smoothed) / (b - a);
        if (p[i].smoothed > high - BEGUN * (high - p[low].smoothed)) continue;
        if (!has_fallen(r, i, sum / (i + 1), one)) continue;
        if (slope < least) least = slope, best = i;
    }
    return best;
}

/* The longest falling subsequence; where it begins is taken from its length, as fastai does. */
int hn_range_valley(const struct hn_range *r, int *room)
{
    const int first = r->steps / 10, end = r->n - SKIPPED_VALLEY, n = end - first;
    const struct hn_range_point *p = r->point + first;
    int last = 0, start = 0;
    if (n < 3 || hn_range_steepest(r) < 0) return -1;
    for (int i = 0; i < n; i++) {
        room[i] = 1;
        for (int j = 0; j < i; j++)
            if (p[i].smoothed < p[j].smoothed && room[i] < room[j] + 1) room[i] = room[j] + 1;
        if (room[last] < room[i]) last = i, start = last - room[last];
    }
    const double third = (double)(last - start) / 3;
    int at = start + (int)third + (int)(third / 2);
    return first + (at < 0 ? 0 : at);
}

double hn_range_suggestion(const struct hn_range *r, int steepest, int valley)
{
    if (valley < 0) return r->point[steepest].lr;
    return sqrt(r->point[steepest].lr * r->point[valley].lr);
}

int hn_range_rises(const struct hn_range *r)
{
    const int first = r->steps / 10;
    double low = HUGE_VAL;
    int at = r->n;
    for (int i = first; i < r->n; i++) low = fmin(low, r->point[i].smoothed);
    while (at > first && r->point[at - 1].smoothed > low + (RISEN - 1) * fabs(low)) at--;
    return at < r->n && at > first ? at : -1;
}
