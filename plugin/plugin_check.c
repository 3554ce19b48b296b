/* SPDX-License-Identifier: MIT
 *
 * hone_plugin_check: a plug-in tried out in contexts of its own. What it reads is compared as cells and numbers, not as what
 * Hone would make of them. A plug-in that crashes takes the process with it: the command calls this in a child. */
#include "plugin/plugin_check.h"
#include "ops/base/pool.h"
#include "ops/base/status.h"
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { ALLOCATIONS = 100000, WATCHED_READS = 4 };

struct reading { /* one file, read once */
    hone_status st;
    hone_error e;
    uint64_t hash;
    int kind;
    int64_t rows, columns; /* of an array: numbers of a row */
};

/* ---- telling --------------------------------------------------------------------------------------------------------- */

void hn_check_begin(struct hn_check *c, const char *name, const char *key, const char *of)
{
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%.400s", name, of ? ": " : "", of ? of : "");
    if (c->opts.step) c->opts.step(c->opts.user, text);
    hn_result_object(c->r, NULL);
    hn_result_string(c->r, "check", name);
    if (of) hn_result_string(c->r, key, of);
}

void hn_check_end(struct hn_check *c, const char *why, const char *told)
{
    hn_result_bool(c->r, "passed", why == NULL);
    if (why || told) hn_result_string(c->r, "text", why ? why : told);
    hn_result_close(c->r);
    c->failed += why != NULL;
}

static void end_error(struct hn_check *c, const hone_error *e)
{
    char text[1200];
    (void)snprintf(text, sizeof text, "%s: %s", e->where, e->text);
    hn_check_end(c, text, NULL);
}

void hn_watched(struct hn_check *c, const char *call)
{
    if (!c->opts.changed || c->crowded) return;
    const char *what = c->opts.changed(c->opts.user);
    if (!what || c->found[0]) return;
    (void)snprintf(c->found, sizeof c->found, "%s changes %.200s and leaves it so", call, what);
    if (!strcmp(c->found, c->loading)) c->found[0] = '\0';
}

void hn_watch_open(struct hn_check *c)
{
    if (c->opts.left) (void)c->opts.left(c->opts.user);
}

void hn_watch_told(struct hn_check *c, const char *key, const char *of)
{
    const char *left = c->opts.left ? c->opts.left(c->opts.user) : NULL;
    if (!c->opts.changed && !c->opts.left) return;
    if (left && !c->found[0])
        (void)snprintf(c->found, sizeof c->found, "%.200s is left open", left);
    hn_check_begin(c, "the process is left as it was", key, of);
    hn_check_end(c, c->found[0] ? c->found : NULL, NULL);
    if (!of) memcpy(c->loading, c->found, sizeof c->loading);
    c->found[0] = '\0';
}

static void was_called(void *user, const char *call) { hn_watched(user, call); }

/* ---- contexts and files ---------------------------------------------------------------------------------------------- */

static hone_status open_context(struct hn_check *c, hone_context **out, hone_error *err)
{
    const hone_context_opts opts = { .size = sizeof opts,
                                     .alloc = c->ctx->mem.alloc,
                                     .release = c->ctx->mem.release,
                                     .alloc_user = c->ctx->mem.user,
                                     .memory_budget = c->ctx->mem.budget };
    HN_TRY(hn_context_create_with(&opts, c->ctx->io, out, err));
    (*out)->plugin_called = was_called;
    (*out)->plugin_called_user = c;
    return HONE_OK;
}

static void digest_cell(XXH3_state_t *s, const hone_cell *cell)
{
    XXH3_64bits_update(s, &cell->type, sizeof cell->type);
    if (cell->type == HONE_CELL_NUMBER || cell->type == HONE_CELL_WHOLE)
        XXH3_64bits_update(s, &cell->value, sizeof cell->value);
    if (cell->type != HONE_CELL_TEXT) return;
    XXH3_64bits_update(s, &cell->length, sizeof cell->length);
    if (cell->length) XXH3_64bits_update(s, cell->value.text, cell->length);
}

/* Cell i of the block is not as it must be. */
static hone_status bad_cell(const struct hn_foreign_file *ff, struct reading *out, int64_t i,
                            const char *why)
{
    const char *name = ff->form.columns[i % out->columns];
    struct hn_shown s;
    return hn_foreign_blame(ff, &out->e, "gave row %lld, column '%s' %s",
                            (long long)(out->rows + i / out->columns + 1),
                            hn_show(&s, name, strlen(name)), why);
}

/* The first blocks are watched, and the last. */
static hone_status read_block(struct hn_check *c, struct hn_foreign_file *ff, int n,
                              hone_reader_rows *rows, hone_error *err)
{
    hone_status st = hn_foreign_read(ff, rows, err);
    if (n < WATCHED_READS || st != HONE_OK || !rows->n) hn_watched(c, "read");
    return st;
}

static hone_status digest_rows(struct hn_check *c, struct hn_foreign_file *ff, XXH3_state_t *s,
                               struct reading *out)
{
    hone_reader_rows rows;
    size_t row = (size_t)out->columns * hn_dtype_size((enum hn_dtype)ff->form.dtype);
    for (int n = 0;; out->rows += rows.n) {
        HN_TRY(read_block(c, ff, n, &rows, &out->e));
        n += n < WATCHED_READS;
        if (!rows.n) break;
        if (out->kind == HONE_READER_ARRAY) XXH3_64bits_update(s, rows.data, (size_t)rows.n * row);
        for (int64_t i = 0; out->kind == HONE_READER_TABLE && i < rows.n * out->columns; i++) {
            const char *why = hn_foreign_bad_cell(&rows.cells[i]);
            if (why) return bad_cell(ff, out, i, why);
            digest_cell(s, &rows.cells[i]);
        }
    }
    int64_t said = out->kind == HONE_READER_ARRAY ? ff->form.dims[0] : ff->form.rows;
    if (said >= 0 && said != out->rows)
        return hn_foreign_blame(ff, &out->e, "gave %lld rows, and had said %lld",
                                (long long)out->rows, (long long)said);
    return HONE_OK;
}

static hone_status digest_form(struct hn_foreign_file *ff, XXH3_state_t *s, struct reading *out)
{
    const hone_reader_form *form = &ff->form;
    out->kind = form->kind;
    out->columns = form->kind == HONE_READER_TABLE ? form->n_columns : 1;
    XXH3_64bits_update(s, &form->kind, sizeof form->kind);
    for (int64_t j = 0; form->kind == HONE_READER_TABLE && j < form->n_columns; j++)
        XXH3_64bits_update(s, form->columns[j], strlen(form->columns[j]) + 1);
    if (form->kind == HONE_READER_TABLE) return HONE_OK;
    XXH3_64bits_update(s, &form->dtype, sizeof form->dtype);
    XXH3_64bits_update(s, form->dims, (size_t)form->rank * sizeof *form->dims);
    for (int i = 0; i < form->rank; i++)
        if (form->dims[i] < 1 || (i && !hn_mul_i64(out->columns, form->dims[i], &out->columns)))
            return hn_foreign_blame(ff, &out->e, "found dimensions that no array has");
    return HONE_OK;
}

static void read_all(struct hn_check *c, struct hn_foreign_file *ff, struct reading *out)
{
    XXH3_state_t s;
    XXH3_INITSTATE(&s);
    XXH3_64bits_reset(&s);
    *out = (struct reading){ .st = HONE_OK };
    out->st = hn_foreign_open(ff, &out->e);
    hn_watched(c, "open");
    if (out->st == HONE_OK) out->st = digest_form(ff, &s, out);
    if (out->st == HONE_OK) out->st = digest_rows(c, ff, &s, out);
    out->hash = XXH3_64bits_digest(&s);
    hn_foreign_close(ff);
    hn_watched(c, "close");
}

static int same(const struct reading *a, const struct reading *b)
{
    return a->st == b->st && a->hash == b->hash && a->rows == b->rows;
}

/* In a context of its own: what it reads, and what is left of its memory. */
static void read_alone(struct hn_check *c, const char *file, long fail_at, struct reading *out,
                       long *hits, size_t *left)
{
    hone_context *ctx = NULL;
    struct hn_foreign_file ff = { .by = NULL };
    *out = (struct reading){ .st = HONE_OK };
    *hits = 0, *left = 0;
    out->st = open_context(c, &ctx, &out->e);
    if (out->st == HONE_OK) out->st = hone_plugin_load(ctx, c->path, &out->e);
    const struct hn_source src = { .io = c->ctx->io,
                                   .mem = ctx ? &ctx->mem : NULL,
                                   .path = file,
                                   .readers = ctx ? ctx->readers : NULL };
    if (out->st == HONE_OK) out->st = hn_foreign_begin(&ff, &src, &out->e);
    if (out->st == HONE_OK && !ff.by)
        out->st = hn_fail(&out->e, HONE_E_USAGE, file, "no reader of the plug-in claims it");
    if (out->st == HONE_OK) {
        size_t before = atomic_load(&ctx->plugins->live);
        ctx->plugins->fail_at = fail_at;
        read_all(c, &ff, out);
        *hits = fail_at && atomic_load(&ctx->plugins->calls) >= fail_at;
        ctx->plugins->fail_at = 0;
        *left = atomic_load(&ctx->plugins->live) - before;
    }
    if (ff.by) hn_foreign_end(&ff);
    hone_context_destroy(ctx);
}

/* ---- checks ---------------------------------------------------------------------------------------------------------- */

/* Loads it fail_at-th allocation of init failing; bytes that are left when it is gone. */
static hone_status load_once(struct hn_check *c, long fail_at, int *hit, size_t *left,
                             hone_error *err)
{
    hone_context *ctx;
    HN_TRY(open_context(c, &ctx, err));
    size_t before = atomic_load(&ctx->mem.used);
    ctx->plugin_fail_at = fail_at;
    hone_status st = hone_plugin_load(ctx, c->path, err);
    *hit = fail_at && ctx->plugin_fail_at == 0;
    hn_plugins_close(ctx);
    *left = atomic_load(&ctx->mem.used) - before;
    hone_context_destroy(ctx);
    return st;
}

static void check_load(struct hn_check *c)
{
    hone_error e = { .code = HONE_OK };
    size_t left = 0;
    int hit;
    hn_check_begin(c, "load and unload", "file", NULL);
    hone_status st = load_once(c, 0, &hit, &left, &e);
    hn_watch_open(c);
    if (st == HONE_OK) st = load_once(c, 0, &hit, &left, &e);
    if (st != HONE_OK)
        end_error(c, &e);
    else
        hn_check_end(c, left ? "memory of the host is not released" : NULL, NULL);
    if (st != HONE_OK) return;
    hn_check_begin(c, "allocations that fail while it is loaded", "file", NULL);
    const char *why = NULL;
    for (long n = 1; n < ALLOCATIONS && !why; n++) {
        st = load_once(c, n, &hit, &left, &e);
        if (left) why = "memory of the host is not released";
        if (!hit) break;
        if (st != HONE_OK && st != HONE_E_NOMEM) why = "another error than HONE_E_NOMEM";
    }
    hn_check_end(c, why, NULL);
}

static void check_allocations(struct hn_check *c, const char *file, const struct reading *want)
{
    struct reading r;
    const char *why = NULL;
    char told[64];
    long hits = 1, n = 0, tried = 0;
    size_t left;
    hn_check_begin(c, "allocations that fail", "file", file);
    while (hits && !why && n < ALLOCATIONS) {
        n += n / 16 + 1;
        read_alone(c, file, n, &r, &hits, &left);
        tried += hits != 0;
        if (left)
            why = "memory of the host is not released";
        else if (r.st != HONE_OK && r.st != HONE_E_NOMEM)
            why = "another error than HONE_E_NOMEM";
        else if (r.st == HONE_OK && !same(&r, want))
            why = "no error, but other rows";
    }
    (void)snprintf(told, sizeof told, "%ld of them", tried);
    hn_check_end(c, why, told);
}

struct race {
    struct hn_check *c;
    const char *file;
    struct reading r[HN_CHECK_THREADS];
};

static void race_one(void *user, int i, int worker)
{
    struct race *race = user;
    long hits;
    size_t left;
    (void)worker;
    read_alone(race->c, race->file, 0, &race->r[i], &hits, &left);
}

static void check_threads(struct hn_check *c, const char *file, const struct reading *want)
{
    struct race race = { .c = c, .file = file };
    struct hn_pool *pool = NULL;
    hone_error e = { .code = HONE_OK };
    const char *why = NULL;
    hn_check_begin(c, "threads, each with a host of its own", "file", file);
    if (hn_pool_create(&c->ctx->mem, HN_CHECK_THREADS, &pool, &e) != HONE_OK) {
        end_error(c, &e);
        return;
    }
    c->crowded = 1;
    hn_pool_run(pool, HN_CHECK_THREADS, race_one, &race);
    hn_pool_destroy(pool);
    c->crowded = 0;
    hn_watched(c, "one of several threads");
    for (int i = 0; i < HN_CHECK_THREADS; i++)
        if (!same(&race.r[i], want)) why = "a thread read something else";
    hn_check_end(c, why, NULL);
}

/* The first n bytes of the contents alone, in a block that ends with them, one of them changed where flip >= 0. */
static hone_status read_piece(struct hn_check *c, struct hn_foreign_file *ff, size_t n, long flip,
                              struct reading *out)
{
    struct hn_mem *mem = &c->ctx->mem;
    const hone_reader_file whole = ff->file;
    unsigned char *piece = hn_alloc(mem, n);
    if (!piece) return hn_nomem(&out->e, "a part of a file", n);
    memcpy(piece, whole.bytes, n);
    if (flip >= 0) piece[(size_t)flip % n] ^= 0x5A;
    ff->file.path = NULL;
    ff->file.bytes = piece;
    ff->file.n_bytes = n;
    read_all(c, ff, out);
    ff->file = whole;
    hn_free(mem, piece);
    return HONE_OK;
}

/* What a file that was cut short or damaged does: rows or an error, but the process lives and nothing leaks. */
static void check_damage(struct hn_check *c, struct hn_foreign_file *ff, const char *file,
                         struct hn_plugin *p)
{
    const size_t n = ff->f.n, cut[] = { 1, 16, n / 4, n / 2, n - n / 8, n - 1 };
    const char *why = NULL;
    struct reading r;
    hone_error e = { .code = HONE_OK };
    hone_status st = HONE_OK;
    size_t before = atomic_load(&p->live);
    hn_check_begin(c, "contents cut short", "file", file);
    for (size_t i = 0; st == HONE_OK && i < sizeof cut / sizeof *cut; i++)
        if (cut[i] && cut[i] < n) st = read_piece(c, ff, cut[i], -1, &r);
    if (atomic_load(&p->live) != before) why = "memory of the host is not released";
    hn_check_end(c, st == HONE_OK ? why : e.text, NULL);
    hn_check_begin(c, "contents with a wrong byte", "file", file);
    for (long i = 0; st == HONE_OK && i < 256; i++)
        st = read_piece(c, ff, n, i < 128 ? i : (long)(n / 128) * (i - 128), &r);
    if (atomic_load(&p->live) != before) why = "memory of the host is not released";
    hn_check_end(c, st == HONE_OK ? why : e.text, NULL);
}

static void check_readings(struct hn_check *c, hone_context *ctx, const char *file)
{
    struct reading first, second;
    struct hn_foreign_file ff;
    hone_error e = { .code = HONE_OK };
    char told[128];
    long hits;
    size_t left;
    hn_check_begin(c, "read", "file", file);
    read_alone(c, file, 0, &first, &hits, &left);
    hn_watch_open(c);
    if (first.st != HONE_OK) {
        end_error(c, &first.e);
        return;
    }
    (void)snprintf(told, sizeof told, "%s of %lld rows, %lld %s",
                   first.kind == HONE_READER_TABLE ? "a table" : "an array", (long long)first.rows,
                   (long long)first.columns,
                   first.kind == HONE_READER_TABLE ? "columns" : "numbers each");
    hn_check_end(c, left ? "memory of the host is not released" : NULL, told);
    hn_check_begin(c, "read again", "file", file);
    read_alone(c, file, 0, &second, &hits, &left);
    hn_check_end(c, same(&first, &second) ? NULL : "the second reading gives something else", NULL);
    check_allocations(c, file, &first);
    check_threads(c, file, &first);
    const struct hn_source src = {
        .io = c->ctx->io, .mem = &c->ctx->mem, .path = file, .readers = ctx->readers
    };
    if (hn_foreign_begin(&ff, &src, &e) != HONE_OK) return;
    check_damage(c, &ff, file, ctx->plugins);
    hn_foreign_end(&ff);
}

static void check_file(struct hn_check *c, hone_context *ctx, const char *file)
{
    check_readings(c, ctx, file);
    hn_watch_told(c, "file", file);
}

static void check_offers(struct hn_check *c)
{
    hone_context *ctx;
    hone_error e = { .code = HONE_OK };
    if (open_context(c, &ctx, &e) != HONE_OK) return;
    if (hone_plugin_load(ctx, c->path, &e) == HONE_OK) {
        hn_check_ops(c, ctx->plugins->ops, ctx->plugins->n_ops);
        for (size_t i = 0; i < c->opts.n_samples; i++) check_file(c, ctx, c->opts.samples[i]);
    }
    hone_context_destroy(ctx);
}

static void check_all(struct hn_check *c)
{
    hone_context *shown;
    hn_result_array(c->r, "checks");
    check_load(c);
    int loads = !c->failed;
    hn_watch_told(c, "file", NULL);
    if (loads) check_offers(c);
    hn_result_close(c->r);
    if (!c->failed && open_context(c, &shown, NULL) == HONE_OK) {
        if (hone_plugin_load(shown, c->path, NULL) == HONE_OK) hn_plugins_result(c->r, shown);
        hone_context_destroy(shown);
    }
    hn_result_bool(c->r, "passed", !c->failed);
}

static hone_status check_plugin(hone_context *ctx, const char *path,
                                const hone_plugin_check_opts *opts, hone_result **out,
                                hone_error *err)
{
    struct hn_check c = { .ctx = ctx, .path = path };
    if (opts) memcpy(&c.opts, opts, opts->size < sizeof c.opts ? opts->size : sizeof c.opts);
    HN_TRY(hn_result_create(ctx, "hone.plugin_check/1", out, err));
    c.r = *out;
    check_all(&c);
    hone_status st = hn_result_done(c.r, err);
    if (st == HONE_OK) return HONE_OK;
    hone_result_destroy(*out);
    *out = NULL;
    return st;
}

hone_status hone_plugin_check(hone_context *ctx, const char *path,
                              const hone_plugin_check_opts *opts, hone_result **out,
                              hone_error *err)
{
    return hn_nomem_why(&ctx->mem, check_plugin(ctx, path, opts, out, err), err);
}
