/* SPDX-License-Identifier: MIT
 *
 * Metrics: see metric.h for the formulas. Sums run in the order of rows, so that a figure does not depend on how the
 * rows were cut into pieces. */
#include "plugin/train/metric.h"
#include "ops/base/status.h"
#include "plugin/train/auc.h"
#include <math.h>
#include <string.h>

struct column { /* of a regression target; y sums are taken around the column's first value */
    double first, sum, squares, residual;
};
struct confusion {
    double hit, false_alarm, miss; /* true positives, false positives, false negatives of a class */
};

struct hn_metric {
    struct hn_metric_spec spec;
    struct hn_mem *mem;
    int64_t rows;
    double right, absolute;
    struct column *column;   /* per_row of them: regression */
    struct confusion *class; /* n_classes, or per_row when multi-label */
    struct hn_auc
        *auc;     /* a column a class, or one of two classes; a column an output when multi-label */
    double *odds; /* n_classes: logits of a row */
};

static int binary(const struct hn_metric_spec *s) { return s->n_classes == 2 && !s->multilabel; }

static int many_yes_no(const struct hn_target *t, int64_t per_row)
{
    return t->loss == HN_LOSS_BCE && per_row > 1;
}

unsigned hn_metric_sensible(const struct hn_target *t, int64_t per_row)
{
    return t->n_classes > 1 || many_yes_no(t, per_row) ? HN_HAS_ACCURACY | HN_HAS_F1 | HN_HAS_AUC
                                                       : HN_HAS_MAE | HN_HAS_RMSE | HN_HAS_R2;
}

void hn_metric_spec_of(const struct hn_target *t, int64_t per_row, int logits, unsigned want,
                       struct hn_metric_spec *spec)
{
    unsigned usual = HN_HAS_ACCURACY | HN_HAS_MAE | HN_HAS_R2;
    *spec = (struct hn_metric_spec){
        .per_row = t->places > 1 ? t->n_classes : per_row,
        .places = t->places,
        .n_classes = t->n_classes > 1 ? t->n_classes : 0,
        .multilabel = many_yes_no(t, per_row),
        .softmax = t->tail != HN_TAIL_SOFTMAX && t->tail != HN_TAIL_SHARES,
        .dense = t->dense,
        .threshold = logits ? 0 : 0.5,
        .want = (want ? want | usual : usual) & hn_metric_sensible(t, per_row),
    };
}

hone_status hn_metric_create(struct hn_mem *mem, const struct hn_metric_spec *spec,
                             struct hn_metric **out, hone_error *err)
{
    *out = NULL;
    struct hn_metric *m = hn_calloc(mem, 1, sizeof *m);
    if (!m) return hn_nomem(err, "a metric", sizeof *m);
    m->spec = *spec;
    m->mem = mem;
    int classes = spec->n_classes > 0 || spec->multilabel;
    size_t n = (size_t)(classes && !spec->multilabel ? spec->n_classes : spec->per_row);
    if (classes)
        m->class = hn_calloc(mem, n, sizeof *m->class);
    else
        m->column = hn_calloc(mem, n, sizeof *m->column);
    hone_status st =
        m->class || m->column ? HONE_OK : hn_nomem(err, "a metric's sums", n * sizeof *m->class);
    if (st == HONE_OK && classes && (spec->want & HN_HAS_AUC)) {
        st = hn_auc_create(mem, binary(spec) ? 1 : (int64_t)n, spec->max_rows, &m->auc, err);
        m->odds = hn_calloc(mem, n, sizeof *m->odds);
        if (st == HONE_OK && !m->odds) st = hn_nomem(err, "a metric's sums", n * sizeof *m->odds);
    }
    if (st != HONE_OK) {
        hn_metric_destroy(m);
        return st;
    }
    *out = m;
    return HONE_OK;
}

void hn_metric_destroy(struct hn_metric *m)
{
    if (!m) return;
    hn_free(m->mem, m->column);
    hn_free(m->mem, m->class);
    hn_free(m->mem, m->odds);
    hn_auc_destroy(m->auc);
    hn_free(m->mem, m);
}

void hn_metric_reset(struct hn_metric *m)
{
    size_t n = (size_t)(m->spec.multilabel || m->spec.n_classes == 0 ? m->spec.per_row
                                                                     : m->spec.n_classes);
    m->rows = 0;
    m->right = m->absolute = 0;
    if (m->column) memset(m->column, 0, n * sizeof *m->column);
    if (m->class) memset(m->class, 0, n * sizeof *m->class);
}

static double at(const void *p, size_t elem, int64_t i) { return hn_elem_get(p, elem, (size_t)i); }

static int64_t largest(const void *p, size_t elem, int64_t from, int64_t n)
{
    int64_t best = 0;
    for (int64_t j = 1; j < n; j++)
        if (at(p, elem, from + j) > at(p, elem, from + best)) best = j;
    return best;
}

static void count(struct hn_metric *m, int64_t found, int64_t wanted)
{
    if (found == wanted) {
        m->right++;
        m->class[found].hit++;
        return;
    }
    m->class[found].false_alarm++;
    if (wanted >= 0 && wanted < m->spec.n_classes) m->class[wanted].miss++;
}

static void keep_scores(struct hn_metric *m, const void *p, int64_t i, int64_t wanted)
{
    const struct hn_metric_spec *s = &m->spec;
    const int64_t n = s->per_row;
    if (binary(s)) {
        const double one = at(p, s->elem, i * n + (n > 1));
        hn_auc_put(m->auc, 0, m->rows, n > 1 ? one - at(p, s->elem, i * n) : one, wanted == 1);
        return;
    }
    for (int64_t k = 0; k < s->n_classes; k++) m->odds[k] = at(p, s->elem, i * n + k);
    if (s->softmax) hn_auc_odds(m->odds, s->n_classes);
    for (int64_t k = 0; k < s->n_classes; k++)
        hn_auc_put(m->auc, k, m->rows, m->odds[k], wanted == k);
}

static void add_class_row(struct hn_metric *m, const void *p, const void *y, int64_t i)
{
    const struct hn_metric_spec *s = &m->spec;
    int64_t n = s->per_row, wanted, found;
    if (n == 1)
        wanted =
            (int64_t)floor(at(y, s->elem, i) + 0.5); /* a soft label counts as its nearest class */
    else
        wanted = s->dense ? largest(y, s->elem, i * n, n) : (int64_t)at(y, s->elem, i);
    found = n == 1 ? at(p, s->elem, i) > s->threshold : largest(p, s->elem, i * n, n);
    if (found < s->n_classes) count(m, found, wanted);
    if (m->auc) keep_scores(m, p, i, wanted);
}

static void add_label_row(struct hn_metric *m, const void *p, const void *y, int64_t i)
{
    const struct hn_metric_spec *s = &m->spec;
    for (int64_t j = 0; j < s->per_row; j++) {
        int found = at(p, s->elem, i * s->per_row + j) > s->threshold;
        int wanted = at(y, s->elem, i * s->per_row + j) > 0.5;
        if (m->auc) hn_auc_put(m->auc, j, m->rows, at(p, s->elem, i * s->per_row + j), wanted);
        m->right += found == wanted;
        m->class[j].hit += found && wanted;
        m->class[j].false_alarm += found && !wanted;
        m->class[j].miss += !found && wanted;
    }
}

static void add_number_row(struct hn_metric *m, const void *p, const void *y, int64_t i)
{
    const struct hn_metric_spec *s = &m->spec;
    for (int64_t j = 0; j < s->per_row; j++) {
        struct column *c = &m->column[j];
        double want = at(y, s->elem, i * s->per_row + j);
        double off = at(p, s->elem, i * s->per_row + j) - want;
        if (m->rows == 0) c->first = want;
        c->sum += want - c->first;
        c->squares += (want - c->first) * (want - c->first);
        c->residual += off * off;
        m->absolute += fabs(off);
    }
}

void hn_metric_add(struct hn_metric *m, const void *outputs, const void *targets, int64_t rows)
{
    if (m->spec.places > 1) rows *= m->spec.places;
    for (int64_t i = 0; i < rows; i++) {
        if (m->column)
            add_number_row(m, outputs, targets, i);
        else if (m->spec.multilabel)
            add_label_row(m, outputs, targets, i);
        else
            add_class_row(m, outputs, targets, i);
        m->rows++;
    }
}

static double f1_of(const struct confusion *c)
{
    double all = 2 * c->hit + c->false_alarm + c->miss;
    return all > 0 ? 2 * c->hit / all : 0;
}

static double f1(const struct hn_metric *m)
{
    if (binary(&m->spec)) return f1_of(&m->class[1]);
    int64_t n = m->spec.multilabel ? m->spec.per_row : m->spec.n_classes, seen = 0;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        const struct confusion *c = &m->class[j];
        if (!m->spec.multilabel && c->hit + c->false_alarm + c->miss == 0) continue;
        sum += f1_of(c);
        seen++;
    }
    return seen ? sum / (double)seen : 0;
}

static double rmse(const struct hn_metric *m)
{
    double sum = 0;
    for (int64_t j = 0; j < m->spec.per_row; j++)
        sum += sqrt(m->column[j].residual / (double)m->rows);
    return sum / (double)m->spec.per_row;
}

static double r2(const struct hn_metric *m)
{
    double sum = 0;
    for (int64_t j = 0; j < m->spec.per_row; j++) {
        const struct column *c = &m->column[j];
        double spread = c->squares - c->sum * c->sum / (double)m->rows;
        if (spread > 0)
            sum += 1 - c->residual / spread;
        else
            sum += c->residual == 0;
    }
    return sum / (double)m->spec.per_row;
}

static const char *const names[] = { "loss", "accuracy", "mae", "rmse", "r2", "f1", "auc" };
enum { N_NAMES = sizeof names / sizeof *names };
static const unsigned bits[N_NAMES] = { 0,         HN_HAS_ACCURACY, HN_HAS_MAE, HN_HAS_RMSE,
                                        HN_HAS_R2, HN_HAS_F1,       HN_HAS_AUC };

/* One metric of one target: 1 when there is one. */
static int value_of(const struct hn_metric *m, unsigned bit, double *out)
{
    double rows = (double)m->rows, cells = rows * (double)m->spec.per_row;
    if (!(m->spec.want & bit) || m->rows == 0) return 0;
    if (bit == HN_HAS_AUC) return m->auc && hn_auc_mean(m->auc, m->rows, out);
    if (bit == HN_HAS_ACCURACY || bit == HN_HAS_F1) {
        if (!m->class) return 0;
        *out = bit == HN_HAS_F1 ? f1(m) : m->right / (m->spec.multilabel ? cells : rows);
        return 1;
    }
    if (!m->column || (bit == HN_HAS_R2 && m->rows < 2)) return 0;
    *out = bit == HN_HAS_MAE ? m->absolute / cells : bit == HN_HAS_RMSE ? rmse(m) : r2(m);
    return 1;
}

static double *field(struct hn_figures *f, unsigned bit)
{
    switch (bit) {
    case HN_HAS_ACCURACY: return &f->accuracy;
    case HN_HAS_MAE: return &f->mae;
    case HN_HAS_RMSE: return &f->rmse;
    case HN_HAS_R2: return &f->r2;
    case HN_HAS_F1: return &f->f1;
    case HN_HAS_AUC: return &f->auc;
    default: return &f->loss;
    }
}

void hn_metric_figures(struct hn_metric *const *m, int n, struct hn_figures *f)
{
    for (size_t k = 1; k < N_NAMES; k++) {
        double sum = 0, one = 0;
        int have = 0;
        for (int i = 0; i < n; i++)
            if (value_of(m[i], bits[k], &one)) sum += one, have++;
        *field(f, bits[k]) = have ? sum / have : 0;
        f->has = have ? f->has | bits[k] : f->has & ~bits[k];
    }
}

static const char *plain(const char *name)
{
    static const char *const prefix[] = { "train_", "val_", "test_" };
    for (size_t i = 0; i < 3; i++)
        if (strncmp(name, prefix[i], strlen(prefix[i])) == 0) return name + strlen(prefix[i]);
    return name;
}

const char *hn_metric_name(size_t i) { return i < N_NAMES ? names[i] : NULL; }

static int index_of(const char *name)
{
    for (size_t i = 0; i < N_NAMES; i++)
        if (strcmp(name, names[i]) == 0) return (int)i;
    return -1;
}

unsigned hn_metric_bit(const char *name)
{
    int i = index_of(name);
    return i < 0 ? 0 : bits[i];
}

int hn_metric_direction(const char *name)
{
    int i = index_of(plain(name));
    if (i < 0) return -1;
    return (bits[i] & (HN_HAS_ACCURACY | HN_HAS_R2 | HN_HAS_F1 | HN_HAS_AUC)) != 0;
}

int hn_metric_get(const struct hn_figures *f, const char *name, double *out)
{
    int i = index_of(name);
    if (i < 0 || (i > 0 && !(f->has & bits[i]))) return 0;
    struct hn_figures copy = *f;
    *out = *field(&copy, bits[i]);
    return 1;
}
