/* SPDX-License-Identifier: MIT
 *
 * What values of a study depend on besides its space, as lines of text: the model and the data by their hashes, then the
 * settings. The fingerprint is the judge of whether two searches are the same; these lines say what differs.
 *
 *     model 5f0c…
 *     data 91ab…
 *     epochs=20
 *     folds=5 */
#include "plugin/tune/made_of.h"
#include "ops/base/io.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/tune/tune.h"
#include <string.h>

/* Settings that are no part of the values themselves, or of which the study has a word of its own. */
static int is_told(const hone_param_info *p)
{
    static const char *const rows[] = { "folds", "stratified", "repeats" };
    if (p->moves && strcmp(p->name, "group")) return 0;
    if (!strcmp(p->group, "training") || !strcmp(p->group, "data")) return 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(p->name, rows[i])) return 1;
    return 0;
}

static hone_status put_hash(struct hn_sink *out, const char *what, const unsigned char *hash,
                            hone_error *err)
{
    HN_TRY(hn_sink_printf(out, err, "%s ", what));
    for (int i = 0; i < 16; i++) HN_TRY(hn_sink_printf(out, err, "%02x", hash[i]));
    return hn_sink_str(out, "\n", err);
}

/* A line is a line. */
static hone_status put_value(struct hn_sink *out, const char *name, const char *value,
                             hone_error *err)
{
    HN_TRY(hn_sink_printf(out, err, "%s=", name));
    for (; *value; value++)
        HN_TRY(hn_sink_printf(out, err, "%c", (unsigned char)*value < 32 ? '?' : *value));
    return hn_sink_str(out, "\n", err);
}

static hone_status write_lines(const struct hn_tune *t, struct hn_sink *out, hone_error *err)
{
    unsigned char model[16];
    hone_param_info p = { .size = sizeof p };
    const char *value;
    hn_model_hash(t->model, model);
    HN_TRY(put_hash(out, "model", model, err));
    HN_TRY(put_hash(out, "data", t->judging.data_hash, err));
    for (size_t i = 0; hone_param_at(i, &p); i++)
        for (size_t k = 0; is_told(&p) && (value = hone_params_get(t->params, p.name, k)); k++)
            HN_TRY(put_value(out, p.name, value, err));
    return HONE_OK;
}

hone_status hn_made_of(struct hn_tune *t, const char **out, hone_error *err)
{
    struct hn_buffer text;
    hn_buffer_init(&text, &t->ctx->mem);
    hone_status st = write_lines(t, &text.sink, err);
    if (st == HONE_OK) *out = hn_arena_strdup(&t->arena, text.p);
    if (st == HONE_OK && !*out) st = hn_nomem(err, "what a study is made of", text.n);
    hn_buffer_free(&text);
    return st;
}

/* ---- the difference --------------------------------------------------------------------------------------------------------- */

struct lines {
    const char *p;
    size_t n;
};

/* The lines of a text that begin with name and `mark`; they stand one behind the other. */
static struct lines of(const char *text, const char *name, char mark)
{
    const size_t len = strlen(name);
    struct lines found = { NULL, 0 };
    while (*text) {
        const size_t n = strcspn(text, "\n") + 1;
        const int is = !strncmp(text, name, len) && text[len] == mark;
        if (is && !found.p) found.p = text;
        if (is) found.n += n;
        text += text[n - 1] ? n : n - 1;
    }
    return found;
}

static int same(struct lines a, struct lines b) { return a.n == b.n && !memcmp(a.p, b.p, a.n); }

/* Their values with commas between. */
static hone_status put_values(struct hn_sink *out, struct lines l, size_t name, hone_error *err)
{
    if (l.n <= name + 2) return hn_sink_str(out, "none", err); /* not given, or without a default */
    for (size_t at = 0; at < l.n;) {
        const size_t n = strcspn(l.p + at, "\n");
        HN_TRY(hn_sink_printf(out, err, "%s%.*s", at ? "," : "", (int)(n - name - 1),
                              l.p + at + name + 1));
        at += n + 1;
    }
    return HONE_OK;
}

hone_status hn_made_differs(const char *theirs, const char *ours, struct hn_buffer *out,
                            hone_error *err)
{
    static const char *const hashes[] = { "model", "data" };
    hone_param_info p = { .size = sizeof p };
    for (size_t i = 0; hone_param_at(i, &p); i++) {
        const struct lines a = of(theirs, p.name, '='), b = of(ours, p.name, '=');
        if (!a.n && !b.n) continue;
        if (a.n && b.n && same(a, b)) continue;
        HN_TRY(hn_sink_printf(&out->sink, err, "%s%s ", out->n ? "; " : "", p.name));
        HN_TRY(put_values(&out->sink, a, strlen(p.name), err));
        HN_TRY(hn_sink_str(&out->sink, ", now ", err));
        HN_TRY(put_values(&out->sink, b, strlen(p.name), err));
    }
    for (int i = 0; i < 2; i++) {
        const struct lines a = of(theirs, hashes[i], ' '), b = of(ours, hashes[i], ' ');
        if (a.n && b.n && !same(a, b))
            HN_TRY(hn_sink_printf(&out->sink, err, "%sthe %s", out->n ? "; " : "", hashes[i]));
    }
    return HONE_OK;
}
