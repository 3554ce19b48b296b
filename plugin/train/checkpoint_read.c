/* SPDX-License-Identifier: MIT
 *
 * Reading checkpoints: nothing of a file is used before all of its checksums have been compared. */
#include "ops/base/status.h"
#include "plugin/train/checkpoint_format.h"
#include <errno.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static int read_table(const unsigned char *p, size_t n, struct hn_section *s, uint64_t *count)
{
    unsigned char head[HN_CKPT_HEAD], covered[HN_CKPT_HEAD + HN_CKPT_SECTIONS * HN_CKPT_ENTRY];
    uint64_t hash;
    hn_ckpt_head(head);
    if (n < HN_CKPT_HEAD + HN_CKPT_TAIL || memcmp(p, head, HN_CKPT_HEAD) != 0) return 0;
    const unsigned char *tail = p + n - HN_CKPT_TAIL;
    memcpy(count, tail, 8);
    memcpy(&hash, tail + 8, 8);
    if (memcmp(tail + 16, "HONEEND\n", 8) != 0 || *count > HN_CKPT_SECTIONS) return 0;
    size_t table = (size_t)*count * HN_CKPT_ENTRY;
    if (n < HN_CKPT_HEAD + table + HN_CKPT_TAIL) return 0;
    memcpy(covered, head, HN_CKPT_HEAD);
    memcpy(covered + HN_CKPT_HEAD, tail - table, table);
    if (XXH3_64bits(covered, HN_CKPT_HEAD + table) != hash) return 0;
    for (uint64_t i = 0; i < *count; i++) {
        const unsigned char *e = tail - table + i * HN_CKPT_ENTRY;
        memcpy(s[i].name, e, 16);
        memcpy(&s[i].at, e + 16, 8);
        memcpy(&s[i].size, e + 24, 8);
        memcpy(&s[i].hash, e + 32, 8);
    }
    return 1;
}

/* Sections follow each other without gaps, and every byte of them is as it was written. */
static int whole(const unsigned char *p, size_t n, const struct hn_section *s, uint64_t count)
{
    uint64_t at = HN_CKPT_HEAD, end = n - HN_CKPT_TAIL - count * HN_CKPT_ENTRY;
    for (uint64_t i = 0; i < count; i++) {
        if (s[i].at != at || s[i].size > end - at) return 0;
        if (XXH3_64bits(p + at, (size_t)s[i].size) != s[i].hash) return 0;
        at += s[i].size;
    }
    return at == end;
}

/* A section's bytes; NULL when the file has none of that name. */
static const void *section(const struct hn_checkpoint *c, const char *name, size_t *size)
{
    struct hn_section s[HN_CKPT_SECTIONS];
    uint64_t count;
    *size = 0;
    if (!read_table(c->file.p, c->file.n, s, &count)) return NULL;
    for (uint64_t i = 0; i < count; i++) {
        if (strncmp(s[i].name, name, sizeof s[i].name) != 0) continue;
        *size = (size_t)s[i].size;
        return c->file.p + s[i].at;
    }
    return NULL;
}

static hone_status check_file(const struct hn_checkpoint *c, hone_error *err)
{
    struct hn_section s[HN_CKPT_SECTIONS];
    uint64_t count;
    if (read_table(c->file.p, c->file.n, s, &count) && whole(c->file.p, c->file.n, s, count))
        return HONE_OK;
    return hn_fail(err, HONE_E_CORRUPT, c->path,
                   "the checkpoint is damaged, or was written by another version of Hone");
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static hone_status read_origin(struct hn_checkpoint *c, hone_error *err)
{
    size_t n;
    const void *p = section(c, "job", &n);
    if (!p) return hn_fail(err, HONE_E_CORRUPT, c->path, "the checkpoint has no section 'job'");
    struct hn_visit v = hn_visit_load(p, n, &c->arena, c->path, err);
    hn_origin_visit(&v, &c->origin);
    return hn_visit_end(&v);
}

static hone_status open_one(struct hn_checkpoint *c, hone_context *ctx, const char *dir, int which,
                            hone_error *err)
{
    *c = (struct hn_checkpoint){ .path = "" };
    hn_arena_init(&c->arena, &ctx->mem);
    char *path = hn_path_join(&ctx->mem, dir, hn_ckpt_names[which]);
    if (!path) return hn_nomem(err, "a file name", strlen(dir));
    size_t n = strlen(path);
    memcpy(c->path, path, n < sizeof c->path ? n : sizeof c->path - 1);
    hone_status st = hn_file_open(&c->file, ctx->io, &ctx->mem, path, 0, err);
    struct hn_stat it = { 0 };
    if (st == HONE_OK && ctx->io->stat_path(ctx->io->user, path, &it) == 0)
        c->written_ns = it.mtime_ns;
    hn_free(&ctx->mem, path);
    if (st == HONE_OK) st = check_file(c, err);
    if (st == HONE_OK) st = read_origin(c, err);
    if (st != HONE_OK) hn_checkpoint_close(c);
    return st;
}

/* 1, 0, or a negative errno for a folder that cannot be looked at. */
static int there(hone_context *ctx, const char *dir, int which)
{
    struct hn_stat st;
    char *path = hn_path_join(&ctx->mem, dir, hn_ckpt_names[which]);
    if (!path) return -ENOMEM;
    int rc = ctx->io->stat_path(ctx->io->user, path, &st);
    hn_free(&ctx->mem, path);
    return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

int hn_checkpoint_exists(hone_context *ctx, const char *dir)
{
    return there(ctx, dir, 0) == 1 || there(ctx, dir, 1) == 1;
}

/* Hone's searches begin by writing down their parameters there. */
static int holds_search(hone_context *ctx, const char *dir)
{
    char *path = hn_path_join(&ctx->mem, dir, "tune.yaml");
    const int found = path && hn_path_exists(ctx->io, path);
    hn_free(&ctx->mem, path);
    return found;
}

hone_status hn_checkpoint_open(struct hn_checkpoint *c, hone_context *ctx, const char *dir,
                               hone_error *err)
{
    hone_error first = { .text = "" };
    *c = (struct hn_checkpoint){ .path = "" };
    int found = there(ctx, dir, 0), before = there(ctx, dir, 1);
    if (found == -ENOMEM || before == -ENOMEM) return hn_nomem(err, "a file name", strlen(dir));
    if (found < 0) return hn_io_fail(err, dir, "look into", found);
    if (!found && !hn_path_exists(ctx->io, dir))
        return hn_fail(err, HONE_E_IO, dir, "there is no such folder");
    if (!found && before <= 0 && holds_search(ctx, dir))
        return hn_hint(
            err,
            hn_fail(err, HONE_E_USAGE, dir,
                    "is the folder of a search, wanted that of a training run"),
            "it goes on where the search is called again as before, with this --run-dir");
    if (!found && before <= 0)
        return hn_hint(err, hn_fail(err, HONE_E_IO, dir, "there is no checkpoint in this folder"),
                       "name a run folder, such as OUT.onnx.run; a run that was stopped before its "
                       "first checkpoint starts again with --force");
    hone_status st = found ? open_one(c, ctx, dir, 0, &first) : HONE_E_CORRUPT;
    if (st == HONE_OK) return st;
    if (found && (before <= 0 || st != HONE_E_CORRUPT)) {
        if (err) *err = first;
        return st;
    }
    if (found)
        hn_log(ctx, HONE_LOG_WARNING, "%s: %s; going on from the one before", first.where,
               first.text);
    return open_one(c, ctx, dir, 1, err);
}

void hn_checkpoint_close(struct hn_checkpoint *c)
{
    if (c->arena.mem) hn_arena_clear(&c->arena);
    hn_file_close(&c->file);
    c->origin = (struct hn_origin){ .model = NULL };
}

enum hn_stop_reason hn_checkpoint_reason(const struct hn_checkpoint *c)
{
    size_t n;
    const unsigned char *p = section(c, "reason", &n);
    return p && n == 1 && *p <= HN_STOP_CALLBACK ? (enum hn_stop_reason) * p : HN_STOP_NONE;
}

/* ---- loading ---------------------------------------------------------------------------------------------------------- */

/* Can it be counted on from? */
static int is_count(int64_t n) { return n >= 0 && n <= INT64_MAX / 4; }

/* The checksums are right, so this only fails for a file that was made up. */
static int sensible(const struct hn_fit *f)
{
    const struct hn_member *m = &f->cohort->member[0];
    const struct hn_clock *now = &m->r.now;
    const int64_t counts[] = { f->done,       f->averaged,     f->rows_trained,
                               f->stop.wait,  m->schedule.bad, m->schedule.resting,
                               m->r.now.step, m->r.now.batch,  m->r.now.micro,
                               m->r.now.row };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!is_count(counts[i])) return 0;
    if (f->reason < HN_STOP_NONE || f->reason > HN_STOP_CALLBACK || now->row > m->n_rows) return 0;
    if (m->state < HN_MEMBER_READY || m->state > HN_MEMBER_DIVERGED) return 0;
    if (!memchr(f->bad, '\0', sizeof f->bad)) return 0;
    return now->epoch == f->done || now->epoch == f->done + 1;
}

static hone_status load_state(const struct hn_checkpoint *c, struct hn_fit *f, hone_error *err)
{
    size_t n;
    const void *p = section(c, "state", &n);
    struct hn_arena arena; /* the state has no texts, but a visitor wants one */
    if (!p) return hn_fail(err, HONE_E_CORRUPT, c->path, "the checkpoint has no section 'state'");
    hn_arena_init(&arena, &f->s->ctx->mem);
    struct hn_visit v = hn_visit_load(p, n, &arena, c->path, err);
    hn_fit_visit(&v, f);
    hone_status st = hn_visit_end(&v);
    hn_arena_clear(&arena);
    if (st == HONE_OK && !sensible(f))
        return hn_fail(err, HONE_E_CORRUPT, c->path, "the position of the run makes no sense");
    return st;
}

static hone_status load_slab(const struct hn_checkpoint *c, struct hn_fit *f, int i,
                             hone_error *err)
{
    const struct hn_member *m = &f->cohort->member[0];
    size_t size, wanted = hn_slab_elements(f->s->prog, (enum hn_slab)i) * f->s->backend->elem;
    const void *p = section(c, hn_ckpt_slabs[i], &size);
    if (!m->r.slab[i] || (i == HN_SLAB_DW && m->r.now.micro == 0)) return HONE_OK;
    if (!p || size != wanted)
        return hn_fail(err, HONE_E_CORRUPT, c->path, "section '%s' has %zu bytes, wanted %zu",
                       hn_ckpt_slabs[i], size, wanted);
    memcpy(f->host, p, size); /* aligned */
    return hn_member_put(f->cohort, 0, (enum hn_slab)i, f->host, err);
}

static hone_status load_backend(const struct hn_checkpoint *c, struct hn_fit *f, hone_error *err)
{
    const struct hn_cohort *co = f->cohort;
    size_t size, wanted = co->backend->state_size ? co->backend->state_size(co->exec) : 0;
    const void *p = section(c, "backend", &size);
    if (size != wanted)
        return hn_hint(err,
                       hn_fail(err, HONE_E_CORRUPT, c->path,
                               "the backend's state has %zu bytes, wanted %zu", size, wanted),
                       "a run on cuDNN's Dropout continues on the same kind of GPU only");
    return wanted ? co->backend->state_load(co->exec, 0, p, err) : HONE_OK;
}

hone_status hn_checkpoint_load(const struct hn_checkpoint *c, struct hn_fit *f, hone_error *err)
{
    HN_TRY(load_state(c, f, err));
    for (int i = 0; i < HN_SLABS; i++) HN_TRY(load_slab(c, f, i, err));
    HN_TRY(load_backend(c, f, err));
    f->started = hn_seconds();
    if (f->cohort->member[0].state == HN_MEMBER_RUNNING) hn_cohort_reorder(f->cohort, 0);
    return HONE_OK;
}

void hn_checkpoint_remove(hone_context *ctx, const char *dir)
{
    static const char *const names[] = { "checkpoint.hone", "checkpoint.old.hone",
                                         ".checkpoint.hone.hone-tmp" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = hn_path_join(&ctx->mem, dir, names[i]);
        if (path) ctx->io->unlink(ctx->io->user, path);
        hn_free(&ctx->mem, path);
    }
}
