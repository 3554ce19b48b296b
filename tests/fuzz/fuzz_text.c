/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over the texts that the library reads: the lines of a search space and settings for it, parameters, recipes, the
 * addresses of studies. The first byte chooses which, the second the allocation that fails; the rest is the text, a piece a
 * line. Properties: no crash, no leak, every refusal says why, and what was read and written again reads as the same. */
#include "plugin/data/data.h"
#include "plugin/internal.h"
#include "plugin/tune/space.h"
#include "plugin/tune/store.h"
#include "tests/fault.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

/* A status other than HONE_OK comes with a reason. */
static int accepted(hone_status st, const hone_error *err)
{
    must(st == HONE_OK || (err->code == st && err->text[0]), "no reason", err->where);
    must(st != HONE_E_INTERNAL, "a contradiction inside", err->text);
    return st == HONE_OK;
}

/* The next line of *text, which is advanced; NULL at the end. */
static char *next_line(char **text)
{
    char *line = *text, *end;
    if (!line || !*line) return NULL;
    end = strchr(line, '\n');
    *text = end ? end + 1 : NULL;
    if (end) *end = '\0';
    return line;
}

/* ---- a space --------------------------------------------------------------------------------------------------------------- */

static void same_again(const struct hn_search_space *s, struct hn_mem *mem)
{
    struct hn_search_space again;
    hone_error err = { .code = HONE_OK };
    char *copy = hn_strdup(mem, s->text), *rest = copy;
    hone_status st = copy ? HONE_OK : HONE_E_NOMEM;
    hn_space_init(&again, mem);
    for (char *line; st == HONE_OK && (line = next_line(&rest));)
        st = hn_space_add(&again, line, NULL, &err);
    if (st == HONE_OK) st = hn_space_finish(&again, &err);
    must(st == HONE_OK || st == HONE_E_NOMEM, "a space's own text is refused", err.text);
    must(st != HONE_OK || !strcmp(again.text, s->text), "another space", s->text);
    hn_space_clear(&again);
    hn_free(mem, copy);
}

static void walk(const struct hn_search_space *s)
{
    double u[HN_SPACE_AXES], x[HN_SPACE_AXES], y[HN_SPACE_AXES], v;
    char buf[32];
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < s->n; i++) u[i] = k / 4.0;
        hn_space_decode(s, u, x);
        memcpy(y, x, sizeof *y * (size_t)s->n);
        hn_space_settle(s, y);
        for (int i = 0; i < s->n; i++) {
            const struct hn_axis *a = &s->axes[i];
            must(isnan(x[i]) ? isnan(y[i]) : x[i] == y[i], "a settled point moves", s->text);
            if (isnan(x[i])) continue;
            const char *text = hn_axis_text(a, x[i], buf);
            must(hn_axis_read(a, text, &v) && v == x[i], "a value reads as another", text);
            if (a->kind != HN_AXIS_CHOICE)
                must(x[i] >= a->low && x[i] <= a->high, "outside its bounds", s->text);
        }
        hn_space_encode(s, x, u);
        for (int i = 0; i < s->n; i++) must(u[i] >= 0 && u[i] <= 1, "outside the cube", s->text);
    }
    int exact;
    uint64_t n = hn_space_count(s, 1, &exact);
    for (uint64_t i = 0; i < n && i < 20; i++) hn_space_point(s, i, 1, x);
}

static void read_space(struct hn_mem *mem, char *text)
{
    struct hn_search_space s;
    double x[HN_SPACE_AXES];
    hone_error err = { .code = HONE_OK };
    int ok = 1;
    hn_space_init(&s, mem);
    char *setting = next_line(&text);
    for (char *line; ok && (line = next_line(&text));)
        ok = accepted(hn_space_add(&s, line, NULL, &err), &err);
    if (ok && accepted(hn_space_finish(&s, &err), &err)) {
        same_again(&s, mem);
        walk(&s);
        if (setting && accepted(hn_space_setting(&s, setting, x, &err), &err))
            hn_space_settle(&s, x);
    }
    hn_space_clear(&s);
}

/* ---- parameters ------------------------------------------------------------------------------------------------------------ */

/* Lines "name=value", each set; what one has, another takes. */
static void set_params(const struct hn_fault *f, char *text)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx = NULL;
    hone_params *p = NULL, *q = NULL;
    hone_error err = { .code = HONE_OK };
    hone_param_info info = { .size = sizeof info };
    opts.alloc = f->mem.alloc;
    opts.release = f->mem.release;
    opts.alloc_user = f->mem.user;
    int ok = accepted(hn_context_create_with(&opts, &f->io, &ctx, &err), &err) &&
             accepted(hone_params_create(ctx, &p, &err), &err) &&
             accepted(hone_params_create(ctx, &q, &err), &err);
    for (char *line; ok && (line = next_line(&text));) {
        char *value = strchr(line, '=');
        if (value) *value = '\0';
        (void)accepted(hone_params_set(p, line, value ? value + 1 : "", &err), &err);
    }
    for (size_t i = 0; ok && hone_param_at(i, &info); i++) {
        const char *v;
        for (size_t k = 0; (v = hone_params_get(p, info.name, k)); k++)
            if (hone_params_is_set(p, info.name)) {
                hone_status st = hone_params_set(q, info.name, v, &err);
                must(st == HONE_OK || f->mem_fail.at, "a value is not taken again", err.text);
            }
    }
    hone_params_destroy(q);
    hone_params_destroy(p);
    hone_context_destroy(ctx);
}

/* ---- a recipe, what missing cells look like, an address -------------------------------------------------------------------------------------------------- */

static void read_recipe(struct hn_mem *mem, const char *text)
{
    struct hn_recipe r = { 0 }, again = { 0 };
    struct hn_buffer b, c;
    hone_error err = { .code = HONE_OK };
    hn_buffer_init(&b, mem);
    hn_buffer_init(&c, mem);
    if (accepted(hn_recipe_read(&r, mem, text, "x", HN_F32, &err), &err) && r.n_columns &&
        hn_recipe_write(&b, "x", &r, &err) == HONE_OK) {
        hone_status st = hn_recipe_read(&again, mem, b.p, "x", HN_F32, &err);
        must(st == HONE_OK || st == HONE_E_NOMEM, "a recipe's own text is refused", b.p);
        if (st == HONE_OK && hn_recipe_write(&c, "x", &again, &err) == HONE_OK)
            must(b.n == c.n && !memcmp(b.p, c.p, b.n), "another recipe", b.p);
    }
    hn_buffer_free(&b);
    hn_buffer_free(&c);
    hn_recipe_free(&r);
    hn_recipe_free(&again);
}

static void read_markers(struct hn_mem *mem, const char *text)
{
    struct hn_markers m, again;
    struct hn_arena arena;
    struct hn_buffer b;
    hone_error err = { .code = HONE_OK };
    hn_arena_init(&arena, mem);
    hn_buffer_init(&b, mem);
    if (accepted(hn_markers_read(&m, &arena, text, &err), &err) && m.n &&
        hn_markers_write(&b, m, &err) == HONE_OK &&
        hn_markers_read(&again, &arena, b.p, &err) == HONE_OK)
        must(again.n == m.n && hn_markers_same(again, m), "other markers", b.p);
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
}

static void read_address(struct hn_mem *mem, const char *text)
{
    struct hn_arena arena;
    struct hn_uri u;
    hone_error err = { .code = HONE_OK };
    hn_arena_init(&arena, mem);
    (void)hn_store_shown(&arena, text);
    if (hn_store_is_uri(text)) (void)accepted(hn_uri_read(&arena, text, &u, &err), &err);
    hn_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hn_fault f;
    if (size < 2) return 0;
    char *text = malloc(size - 1);
    if (!text) return 0;
    memcpy(text, data + 2, size - 2);
    text[size - 2] = '\0';
    hn_fault_init(&f);
    f.mem_fail.at = data[1];
    if (data[0] % 4 == 0) read_space(&f.mem, text);
    if (data[0] % 4 == 1) set_params(&f, text);
    if (data[0] % 4 == 2) read_recipe(&f.mem, text), read_markers(&f.mem, text);
    if (data[0] % 4 == 3) read_address(&f.mem, text);
    free(text);
    must(hn_fault_leaks(&f) == 0, "a leak", "");
    return 0;
}
