/* SPDX-License-Identifier: MIT
 *
 * Parameters: checked text per row of plugin/params.def, read with a type. Text is kept as it
 * was given, so that a run can be written down and repeated; every typed read parses it again. */
#include "ops/base/status.h"
#include "plugin/internal.h"
#include <math.h>
#include <string.h>
#include <strings.h>

enum kind { FLOAT, INT, BOOL, TEXT, CHOICE, LIST };
enum group { DATA, TRAINING, RUN, PREDICT, VERIFY, SEARCH, TUNE, TELL, EXPORT, FIND };
enum { HN_P_LOG = 1, HN_P_COMMA = 2, HN_P_MOVES = 4 };
static const char *const kind_names[] = { "float", "int", "bool", "text", "choice", "list" };
static const char *const group_names[] = { "data",   "training", "run",  "predict", "verify",
                                           "search", "tune",     "tell", "export",  "lr-find" };

struct row {
    const char *name;
    enum group group;
    enum kind kind;
    const char *initial, *range;
    int flags;
    const char *when, *help;
};
static const struct row rows[] = {
#define HN_P(name, group, kind, initial, range, flags, when, help)                                 \
    { name, group, kind, initial, range, flags, when, help },
#include "plugin/params.def"
#undef HN_P
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

struct value { /* n 0: unset */
    char **items;
    size_t n, cap;
};
struct hone_params {
    struct hn_mem *mem;
    struct value values[N_ROWS];
};

static int find(const char *name)
{
    for (int i = 0; i < N_ROWS; i++) {
        const char *a = rows[i].name, *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
        if (*a == *b) return i;
    }
    return -1;
}

/* ---- ranges and checks ----------------------------------------------------------------------- */

struct interval {
    double low, high;
    int low_open, high_open;
};

static double bound(const char *s, size_t n)
{
    double v = (double)NAN;
    while (n && s[n - 1] == ' ') n--;
    while (n && *s == ' ') s++, n--;
    if (!hn_parse_double(s, n, &v) || !isfinite(v)) v = (double)NAN;
    return v;
}

/* "[0, 1)"; an infinite end is no limit (NaN). */
static struct interval interval_of(const char *range)
{
    struct interval v = { (double)NAN, (double)NAN, range[0] == '(', 0 };
    const char *comma = strchr(range, ',');
    size_t n = strlen(range);
    if (!comma || n < 5) return v;
    v.low = bound(range + 1, (size_t)(comma - range - 1));
    v.high = bound(comma + 1, (size_t)(range + n - 1 - (comma + 1)));
    v.high_open = range[n - 1] == ')';
    return v;
}

static int inside(const struct interval *r, double v)
{
    if (!isfinite(v)) return 0;
    if (!isnan(r->low) && (r->low_open ? v <= r->low : v < r->low)) return 0;
    return isnan(r->high) || (r->high_open ? v < r->high : v <= r->high);
}

/* Is word[0..n) one of "a|b|c"? */
static int is_choice(const char *choices, const char *word, size_t n)
{
    for (const char *c = choices; *c;) {
        size_t len = strcspn(c, "|");
        if (len == n && memcmp(c, word, n) == 0) return 1;
        c += len + (c[len] == '|');
    }
    return 0;
}

static int parse_bool(const char *s, int *out)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(s, yes[i]) == 0) return *out = 1;
        if (strcasecmp(s, no[i]) == 0) return *out = 0, 1;
    }
    return 0;
}

static int parse_int(const char *s, int64_t *out)
{
    if (*s == '+' && s[1] >= '0' && s[1] <= '9') s++; /* resume's "epochs = +5" */
    return hn_parse_i64(s, strlen(s), out);
}

static hone_status check_number(const struct row *r, const char *text, hone_error *err)
{
    struct interval range = interval_of(r->range);
    double v = 0;
    int64_t i = 0;
    int ok = r->kind == INT ? parse_int(text, &i) : hn_parse_double(text, strlen(text), &v);
    if (ok && r->kind == INT) v = (double)i;
    if (ok && inside(&range, v)) return HONE_OK;
    return hn_fail(err, HONE_E_USAGE, r->name, "found '%s', wanted %s in %s", text,
                   r->kind == INT ? "a whole number" : "a number", r->range);
}

/* None of the words of "a|b|c". */
static hone_status bad_word(const struct row *r, const char *text, size_t n, hone_error *err)
{
    enum { WORDS = 16, LENGTH = 24 };
    char word[WORDS][LENGTH], found[LENGTH];
    const char *list[WORDS + 1], *near = NULL;
    int count = 0;
    hone_status st =
        hn_fail(err, HONE_E_USAGE, r->name, "found '%.*s', wanted %s", (int)n, text, r->range);
    for (const char *p = r->range; *p && count < WORDS; count++) {
        size_t len = strcspn(p, "|");
        if (len >= LENGTH) return st;
        memcpy(word[count], p, len);
        word[count][len] = '\0';
        list[count] = word[count];
        p += len + (p[len] == '|');
    }
    list[count] = NULL;
    if (n >= LENGTH) return st;
    memcpy(found, text, n);
    found[n] = '\0';
    near = hn_suggest(found, list);
    return near ? hn_hint(err, st, "did you mean '%s'?", near) : st;
}

static hone_status check(const struct row *r, const char *text, size_t n, hone_error *err)
{
    int flag;
    switch (r->kind) {
    case FLOAT:
    case INT: return check_number(r, text, err);
    case BOOL:
        if (parse_bool(text, &flag)) return HONE_OK;
        return hn_fail(err, HONE_E_USAGE, r->name, "found '%s', wanted true or false", text);
    case CHOICE:
    case LIST:
        if (!r->range[0] || is_choice(r->range, text, n)) return HONE_OK;
        return bad_word(r, text, n, err);
    case TEXT: break;
    }
    return HONE_OK;
}

/* ---- the handle ------------------------------------------------------------------------------ */

hone_status hone_params_create(hone_context *ctx, hone_params **out, hone_error *err)
{
    *out = hn_calloc(&ctx->mem, 1, sizeof **out);
    if (!*out) return hn_nomem_why(&ctx->mem, hn_nomem(err, "the parameters", sizeof **out), err);
    (*out)->mem = &ctx->mem;
    return HONE_OK;
}

static void clear(struct hn_mem *m, struct value *v)
{
    for (size_t i = 0; i < v->n; i++) hn_free(m, v->items[i]);
    hn_free(m, v->items);
    *v = (struct value){ 0 };
}

void hone_params_destroy(hone_params *p)
{
    if (!p) return;
    for (int i = 0; i < N_ROWS; i++) clear(p->mem, &p->values[i]);
    hn_free(p->mem, p);
}

static hone_status append(struct hn_mem *m, struct value *v, const char *text, size_t n,
                          hone_error *err)
{
    char *copy = hn_alloc(m, n + 1);
    if (!copy) return hn_nomem(err, "a parameter", n + 1);
    memcpy(copy, text, n);
    copy[n] = '\0';
    if (HN_PUSH(m, v->items, v->n, v->cap, copy)) return HONE_OK;
    hn_free(m, copy);
    return hn_nomem(err, "a parameter", sizeof copy);
}

/* Appends to a list what `text` names: one item, or several between commas. All or nothing. */
static hone_status append_items(struct hn_mem *m, const struct row *r, struct value *v,
                                const char *text, hone_error *err)
{
    size_t before = v->n;
    hone_status st = HONE_OK;
    for (const char *s = text;; s++) {
        size_t n = r->flags & HN_P_COMMA ? strcspn(s, ",") : strlen(s);
        st = check(r, s, n, err);
        if (st == HONE_OK) st = append(m, v, s, n, err);
        s += n;
        if (st != HONE_OK || *s == '\0') break;
    }
    while (st != HONE_OK && v->n > before) hn_free(m, v->items[--v->n]);
    return st;
}

/* What other programs call them; too far for a typo. */
static const char *const called[][2] = {
    { "learning-rate", "lr" },
    { "learning-rate-init", "lr" },
    { "eta0", "lr" },
    { "lrate", "lr" },
    { "step-size", "lr" },
    { "wd", "weight-decay" },
    { "l2", "weight-decay" },
    { "patience", "early-stop-patience" },
    { "scheduler", "lr-schedule" },
    { "schedule", "lr-schedule" },
    { "max-epochs", "epochs" },
    { "n-epochs", "epochs" },
    { "num-epochs", "epochs" },
    { "max-iter", "epochs" },
    { "bs", "batch-size" },
    { "minibatch-size", "batch-size" },
    { "dropout-rate", "dropout" },
    { "drop-rate", "dropout" },
    { "grad-clip", "clip-norm" },
    { "n-layers", "hidden-layers" },
    { "num-layers", "hidden-layers" },
    { "hidden-size", "hidden-units" },
    { "random-state", "seed" },
    { "random-seed", "seed" },
    { "solver", "optimizer" },
};

const char *hn_param_called(const char *name)
{
    for (size_t i = 0; i < sizeof called / sizeof *called; i++) {
        const char *a = called[i][0], *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
        if (*a == *b) return called[i][1];
    }
    return NULL;
}

static hone_status unknown(const char *name, hone_error *err)
{
    const char *names[N_ROWS + 1];
    for (int i = 0; i < N_ROWS; i++) names[i] = rows[i].name;
    names[N_ROWS] = NULL;
    const char *near = hn_param_called(name);
    if (!near) near = hn_suggest(name, names);
    hone_status st = hn_fail(err, HONE_E_USAGE, name, "there is no parameter '%s'", name);
    return near ? hn_hint(err, st, "did you mean '%s'?", near) : st;
}

static hone_status set(hone_params *p, const char *name, const char *value, hone_error *err)
{
    int i = find(name);
    if (i < 0) return unknown(name, err);
    if (!value) {
        clear(p->mem, &p->values[i]);
        return HONE_OK;
    }
    if (rows[i].kind == LIST) return append_items(p->mem, &rows[i], &p->values[i], value, err);
    struct value fresh = { 0 };
    int flag;
    if (rows[i].kind == BOOL && parse_bool(value, &flag)) value = flag ? "true" : "false";
    HN_TRY(check(&rows[i], value, strlen(value), err));
    hone_status st = append(p->mem, &fresh, value, strlen(value), err);
    if (st != HONE_OK) return clear(p->mem, &fresh), st;
    clear(p->mem, &p->values[i]);
    p->values[i] = fresh;
    return HONE_OK;
}

hone_status hone_params_set(hone_params *p, const char *name, const char *value, hone_error *err)
{
    return hn_nomem_why(p->mem, set(p, name, value, err), err);
}

hone_status hn_params_copy(const hone_params *from, hone_params **out, hone_error *err)
{
    hone_params *p = hn_calloc(from->mem, 1, sizeof *p);
    *out = NULL;
    if (!p) return hn_nomem(err, "the parameters", sizeof *p);
    p->mem = from->mem;
    for (int i = 0; i < N_ROWS; i++) {
        for (size_t k = 0; k < from->values[i].n; k++) {
            const char *text = from->values[i].items[k];
            hone_status st = append(p->mem, &p->values[i], text, strlen(text), err);
            if (st != HONE_OK) return hone_params_destroy(p), st;
        }
    }
    *out = p;
    return HONE_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

const char *hone_params_get(const hone_params *p, const char *name, size_t i)
{
    int row = find(name);
    if (row < 0) return NULL;
    if (p && p->values[row].n) return i < p->values[row].n ? p->values[row].items[i] : NULL;
    if (rows[row].kind == LIST && !rows[row].initial[0]) return NULL;
    return i == 0 ? rows[row].initial : NULL;
}

int hone_params_is_set(const hone_params *p, const char *name)
{
    int row = find(name);
    return p && row >= 0 && p->values[row].n > 0;
}

size_t hn_param_count(const hone_params *p, const char *name)
{
    size_t n = 0;
    while (hone_params_get(p, name, n)) n++;
    return n;
}

const char *hn_param_s(const hone_params *p, const char *name)
{
    const char *s = hone_params_get(p, name, 0);
    return s ? s : "";
}

double hn_param_f(const hone_params *p, const char *name)
{
    const char *s = hn_param_s(p, name);
    double v = (double)NAN;
    if (!hn_parse_double(s, strlen(s), &v)) v = (double)NAN;
    return v;
}

int64_t hn_param_i(const hone_params *p, const char *name)
{
    int64_t v = 0;
    return parse_int(hn_param_s(p, name), &v) ? v : 0;
}

int hn_param_b(const hone_params *p, const char *name)
{
    int v = 0;
    return parse_bool(hn_param_s(p, name), &v) ? v : 0;
}

int hone_param_at(size_t i, hone_param_info *info)
{
    if (i >= N_ROWS) return 0;
    const struct row *r = &rows[i];
    struct interval range = { (double)NAN, (double)NAN, 0, 0 };
    if (r->kind == FLOAT || r->kind == INT) range = interval_of(r->range);
    hone_param_info full = {
        .size = info->size,
        .name = r->name,
        .group = group_names[r->group],
        .type = kind_names[r->kind],
        .initial = r->initial,
        .choices = r->range,
        .when = r->when,
        .help = r->help,
        .low = range.low,
        .high = range.high,
        .low_open = range.low_open,
        .high_open = range.high_open,
        .log_scale = (r->flags & HN_P_LOG) != 0,
        .moves = (r->flags & HN_P_MOVES) != 0,
    };
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
    return 1;
}

/* ---- the optimizer --------------------------------------------------------------------------- */

static double or_default(const hone_params *p, const char *name, double fallback)
{
    double v = hn_param_f(p, name);
    return isnan(v) ? fallback : v;
}

hone_status hn_params_hyper(const hone_params *p, struct hn_hyper *hyper, double *lr,
                            hone_error *err)
{
    static const char *const names[HN_OPTIMIZERS] = { "sgd",     "momentum", "nesterov", "adagrad",
                                                      "rmsprop", "adam",     "adamw" };
    const char *name = hn_param_s(p, "optimizer");
    int o = 0;
    while (o < HN_OPTIMIZERS && strcmp(names[o], name) != 0) o++;
    if (o == HN_OPTIMIZERS)
        return hn_fail(err, HONE_E_INTERNAL, "optimizer", "'%s' has no number", name);
    int adam = o == HN_ADAM || o == HN_ADAMW;
    *hyper = (struct hn_hyper){
        .optimizer = (enum hn_optimizer)o,
        .momentum = or_default(p, "momentum", o == HN_MOMENTUM || o == HN_NESTEROV ? 0.9 : 0.0),
        .beta1 = hn_param_f(p, "beta1"),
        .beta2 = hn_param_f(p, "beta2"),
        .eps = or_default(p, "eps", o == HN_ADAGRAD ? 1e-10 : 1e-8),
        .alpha = hn_param_f(p, "alpha"),
        .weight_decay = or_default(p, "weight-decay", o == HN_ADAMW ? 0.01 : 0.0),
        .l1 = hn_param_f(p, "l1"),
        .clip_norm = or_default(p, "clip-norm", 0.0),
        .accumulate = (int)hn_param_i(p, "accumulate"),
        .dropout = or_default(p, "dropout", -1.0),
        .ema = or_default(p, "ema", 0.0),
    };
    *lr = or_default(p, "lr", adam ? 0.001 : 0.01);
    return HONE_OK;
}
