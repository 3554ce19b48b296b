/* SPDX-License-Identifier: MIT
 *
 * Labels compared: the same or not, ties apart. */
#include "plugin/verify_labels.h"
#include "ops/base/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Does what a program gave, x, mean element i of the vector? */
static int means(const struct hn_label_check *c, double x, int64_t i)
{
    const struct hn_tensor *list = c->what->labels, *wanted = c->wanted;
    if ((c->what->dtype == HN_STR) != (wanted->dtype == HN_STR)) return 0;
    if (!list) return x == hn_tensor_f64(wanted, i);
    if (!(x >= 0 && x < (double)list->n)) return 0;
    if (list->dtype == HN_STR)
        return !strcmp(((const char *const *)list->data)[(int64_t)x],
                       ((const char *const *)wanted->data)[i]);
    return hn_dtype_is_float(list->dtype)
               ? hn_tensor_f64(list, (int64_t)x) == hn_tensor_f64(wanted, i)
               : hn_tensor_i64(list, (int64_t)x) == hn_tensor_i64(wanted, i);
}

/* Element i came out as x: is there a position that means what is wanted, with a score as good as that of x? */
static int is_tie(const struct hn_label_check *c, double x, int64_t i)
{
    if (!c->scores || !(x >= 0 && x < (double)c->size))
        return 0; /* without scores, size and behind are 0 */
    const int64_t first = i / c->behind * c->size * c->behind + i % c->behind;
    const double best = hn_elem_get(c->scores, c->elem, (size_t)(first + (int64_t)x * c->behind));
    for (int64_t k = 0; k < c->size; k++) {
        const double other = hn_elem_get(c->scores, c->elem, (size_t)(first + k * c->behind));
        if (means(c, (double)k, i) &&
            fabs(other - best) <= 2 * (c->atol + c->rtol * fmax(fabs(other), fabs(best))))
            return 1;
    }
    return 0;
}

static void say(char text[64], const struct hn_tensor *t, int64_t i)
{
    if (t->dtype == HN_STR)
        snprintf(text, 64, "'%.40s'", ((const char *const *)t->data)[i]);
    else if (hn_dtype_is_float(t->dtype))
        hn_format_double(text, hn_tensor_f64(t, i));
    else
        snprintf(text, 64, "%lld", (long long)hn_tensor_i64(t, i));
}

static void say_first(struct hn_label_check *c, double x, int64_t i)
{
    const struct hn_tensor number = { .dtype = HN_F64, .n = 1, .data = &x };
    const struct hn_tensor *list = c->what->labels;
    char found[64], wanted[64];
    if (list && x >= 0 && x < (double)list->n)
        say(found, list, (int64_t)x);
    else
        say(found, &number, 0);
    say(wanted, c->wanted, i);
    snprintf(c->first, sizeof c->first, "element %lld: found %.63s, wanted %.63s", (long long)i,
             found, wanted);
}

void hn_labels_compare(struct hn_label_check *c)
{
    c->wrong = c->ties = 0;
    c->first[0] = 0;
    for (int64_t i = 0; i < c->wanted->n; i++) {
        const double x = hn_elem_get(c->found, c->elem, (size_t)i);
        if (means(c, x, i)) continue;
        if (is_tie(c, x, i)) {
            c->ties++;
            continue;
        }
        if (!c->wrong++) say_first(c, x, i);
    }
}
