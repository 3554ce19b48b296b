/* SPDX-License-Identifier: MIT
 *
 * Axes that no trial would ever have. A condition is one of "the parent has one of these values", and the parent must be there,
 * too; all of that together asks of each axis above for one of the values of several lists. When two lists for the same axis
 * share no value, the axis below never is: ?optimizer=momentum&batch_size=32 where optimizer is only there with batch_size 16.
 * Who wrote it believes that it is searched, so that it is refused. */
#include "ops/base/format.h"
#include "plugin/tune/space.h"
#include <string.h>

enum { TEXT = HN_AXIS_VALUES };

/* What is asked of one axis above. */
struct asked {
    int from; /* the axis whose condition asked first; -1: nobody yet */
    int n;
    double *values;
};

static void add(char text[TEXT], const char *piece)
{
    const size_t n = strlen(text);
    hn_print(text + n, TEXT - n, "%s", piece);
}

static void add_value(char text[TEXT], const struct hn_axis *a, double v)
{
    char number[40];
    add(text, hn_axis_text(a, v, number));
}

/* The first ones of a long list. */
static void list_values(const struct hn_axis *a, const double *v, int64_t n, char text[TEXT])
{
    enum { SHOWN = 12 };
    text[0] = '\0';
    for (int64_t i = 0; i < n && i < SHOWN; i++) {
        if (i) add(text, ", ");
        add_value(text, a, v ? v[i] : hn_axis_level(a, i));
    }
    if (n > SHOWN) add(text, ", ...");
}

const char *hn_axis_values(const struct hn_axis *a, char text[HN_AXIS_VALUES])
{
    const int64_t n = hn_axis_levels(a);
    text[0] = '\0';
    if (a->kind == HN_AXIS_CHOICE || (n > 0 && n <= 6)) {
        list_values(a, NULL, n, text);
        return text;
    }
    add_value(text, a, a->low);
    add(text, "..");
    add_value(text, a, a->high);
    return text;
}

void hn_when_values(const struct hn_search_space *s, const struct hn_when *w,
                    char text[HN_AXIS_VALUES])
{
    list_values(&s->axes[w->parent], w->values, w->n, text);
}

/* Keeps of q's values those that w has, too. */
static void narrow(struct asked *q, const struct hn_when *w)
{
    int left = 0;
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < w->n; k++)
            if (q->values[i] == w->values[k]) {
                q->values[left++] = q->values[i];
                break;
            }
    q->n = left;
}

static hone_status never(const struct hn_search_space *s, int self, int other, int by,
                         const struct hn_when *w, hone_error *err)
{
    const struct hn_axis *a = &s->axes[self], *up = &s->axes[w->parent];
    char want[TEXT], has[TEXT];
    const struct hn_when *first = NULL;
    for (int k = 0; k < s->axes[other].n_whens; k++)
        if (s->axes[other].whens[k].parent == w->parent) {
            first = &s->axes[other].whens[k];
            break;
        }
    list_values(up, first ? first->values : w->values, first ? first->n : w->n, has);
    list_values(up, w->values, w->n, want);
    return hn_fail(
        err, HONE_E_USAGE, a->place,
        "%s is never searched: the conditions of %s want '%s' to be %s, those of %s want "
        "%s",
        a->name, s->axes[other].name, up->name, has, s->axes[by].name, want);
}

/* Asks for all that axis `by` needs, on behalf of axis self. `above`: asked per axis, values in room. */
static hone_status ask(const struct hn_search_space *s, int self, int by, struct asked *above,
                       hone_error *err)
{
    for (int k = 0; k < s->axes[by].n_whens; k++) {
        const struct hn_when *w = &s->axes[by].whens[k];
        struct asked *q = &above[w->parent];
        if (q->from < 0) {
            q->from = by;
            q->n = w->n;
            memcpy(q->values, w->values, (size_t)w->n * sizeof *w->values);
        } else {
            narrow(q, w);
        }
        if (!q->n) return never(s, self, q->from, by, w, err);
    }
    return HONE_OK;
}

/* An axis is asked for when one below it, or self, depends on it: in the reverse order, children before parents. */
static hone_status check(const struct hn_search_space *s, int self, struct asked *above,
                         hone_error *err)
{
    int from = s->n - 1;
    for (int i = 0; i < s->n; i++) above[i].from = -1;
    while (s->order[from] != self) from--;
    for (int i = from; i >= 0; i--) {
        const int at = s->order[i];
        if (at == self || above[at].from >= 0) HN_TRY(ask(s, self, at, above, err));
    }
    return HONE_OK;
}

static size_t most_values(const struct hn_search_space *s, int parent)
{
    size_t most = 1;
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->axes[i].n_whens; k++) {
            const struct hn_when *w = &s->axes[i].whens[k];
            if (w->parent == parent && (size_t)w->n > most) most = (size_t)w->n;
        }
    return most;
}

hone_status hn_space_reachable(struct hn_search_space *s, hone_error *err)
{
    struct asked *above = hn_arena_alloc(&s->arena, (size_t)s->n, sizeof *above);
    int any = 0;
    if (!above) return hn_nomem(err, "the conditions of a space", (size_t)s->n * sizeof *above);
    for (int i = 0; i < s->n; i++) {
        const size_t n = most_values(s, i);
        any |= s->axes[i].n_whens > 0;
        above[i].values = hn_arena_alloc(&s->arena, n, sizeof *above[i].values);
        if (!above[i].values) return hn_nomem(err, "the conditions of a space", n);
    }
    for (int i = 0; i < s->n && any; i++) HN_TRY(check(s, i, above, err));
    return HONE_OK;
}
