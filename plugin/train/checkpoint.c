/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: what is in them (the visitors), and writing them. See checkpoint.h. */
#include "ops/base/status.h"
#include "plugin/train/checkpoint_format.h"
#include <errno.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

const char *const hn_ckpt_names[2] = { "checkpoint.hone", "checkpoint.old.hone" };
const char *const hn_ckpt_slabs[HN_SLABS] = { "w", "dw", "m", "v", "best", "good", "average" };

/* ---- what the state is -------------------------------------------------------------------------------------------- */

void hn_origin_visit(struct hn_visit *v, struct hn_origin *o)
{
    hn_visit_text(v, &o->version);
    hn_visit_text(v, &o->model_path);
    hn_visit_text(v, &o->backend);
    hn_visit_text(v, &o->core);
    hn_visit_bytes(v, o->model_hash, sizeof o->model_hash);
    hn_visit_bytes(v, o->data_hash, sizeof o->data_hash);
    hn_visit_count(v, &o->n_settings);
    if (!v->out && v->status == HONE_OK) {
        o->settings = hn_arena_alloc(v->arena, o->n_settings + 1, sizeof *o->settings);
        if (!o->settings) v->status = hn_nomem(v->err, "the settings of a run", o->n_settings);
    }
    for (size_t i = 0; v->status == HONE_OK && i < o->n_settings; i++) {
        hn_visit_text(v, &o->settings[i].name);
        hn_visit_text(v, &o->settings[i].value);
    }
    hn_visit_block(v, &o->model, &o->model_size);
}

static void visit_figures(struct hn_visit *v, struct hn_figures *f)
{
    int has = (int)f->has;
    hn_visit_f64(v, &f->loss);
    hn_visit_f64(v, &f->accuracy);
    hn_visit_f64(v, &f->mae);
    hn_visit_f64(v, &f->rmse);
    hn_visit_f64(v, &f->r2);
    hn_visit_f64(v, &f->f1);
    hn_visit_f64(v, &f->auc);
    hn_visit_int(v, &has);
    f->has = (unsigned)has;
    hn_visit_i64(v, &f->rows);
}

static void visit_member(struct hn_visit *v, struct hn_member *m, int n_losses)
{
    int state = (int)m->state;
    hn_visit_same(v, "rows to train on", m->n_rows);
    hn_visit_same(v, "rows in a batch", m->batch);
    hn_visit_same(v, "losses", n_losses);
    hn_visit_same(v, "as the first word of its key", m->r.key[0]);
    hn_visit_same(v, "as the second word of its key", m->r.key[1]);
    hn_visit_i64(v, &m->r.now.epoch);
    hn_visit_i64(v, &m->r.now.step);
    hn_visit_i64(v, &m->r.now.batch);
    hn_visit_i64(v, &m->r.now.row);
    hn_visit_i64(v, &m->r.now.micro);
    hn_visit_f64(v, &m->schedule.lr);
    hn_visit_f64(v, &m->schedule.best);
    hn_visit_i64(v, &m->schedule.bad);
    hn_visit_i64(v, &m->schedule.resting);
    hn_visit_i64(v, &m->schedule.swa_start);
    hn_visit_f64(v, &m->last_lr);
    for (int i = 0; i < 2 * n_losses; i++) hn_visit_f64(v, &m->partial[i]);
    hn_visit_int(v, &state);
    m->state = (enum hn_member_state)state;
}

static void visit_curve(struct hn_visit *v, struct hn_fit *f)
{
    size_t n = f->n_curve;
    hn_visit_count(v, &n);
    if (!v->out && v->status == HONE_OK && n > f->cap_curve) {
        void *grown = hn_realloc(&f->s->ctx->mem, f->curve, n, sizeof *f->curve);
        if (!grown) {
            v->status = hn_nomem(v->err, "the learning curve", n * sizeof *f->curve);
            return;
        }
        f->curve = grown;
        f->cap_curve = n;
    }
    f->n_curve = n;
    for (size_t i = 0; v->status == HONE_OK && i < n; i++) {
        struct hn_epoch *e = &f->curve[i];
        hn_visit_i64(v, &e->epoch);
        hn_visit_f64(v, &e->train_loss);
        hn_visit_f64(v, &e->lr);
        hn_visit_seconds(v, &e->seconds);
        visit_figures(v, &e->val);
        visit_figures(v, &e->train);
    }
}

/* Parameters that no loss reaches were trained once, by weight decay alone, and lay among the others. */
static void visit_trained(struct hn_visit *v, const struct hn_program *prog)
{
    int64_t found = (int64_t)prog->n_trained, once = found;
    for (int i = 0; i < prog->n_params; i++)
        if (prog->params[i].flags & HN_PARAM_IDLE && !(prog->params[i].flags & HN_PARAM_STATE))
            once += (int64_t)((prog->params[i].n + 15) / 16 * 16);
    hn_visit_i64(v, &found);
    if (v->status != HONE_OK || found == (int64_t)prog->n_trained) return;
    if (found != once) {
        v->status = hn_fail(v->err, HONE_E_CORRUPT, v->where,
                            "the checkpoint has %lld trained numbers, this run has %zu",
                            (long long)found, prog->n_trained);
        return;
    }
    v->status = hn_hint(
        v->err,
        hn_fail(v->err, HONE_E_UNSUPPORTED, v->where,
                "the run was begun by an earlier version, which also changed the parameters that "
                "no loss reaches: this one leaves them alone and cannot continue it"),
        "train anew, or continue it with the version that began it");
}

void hn_fit_visit(struct hn_visit *v, struct hn_fit *f)
{
    const struct hn_program *prog = f->s->prog;
    double seconds = v->out ? hn_fit_seconds(f) : 0;
    int reason = (int)f->reason;
    hn_visit_same(v, "numbers in the model", (int64_t)prog->n_slab);
    visit_trained(v, prog);
    hn_visit_same(v, "bytes a number", (int64_t)f->s->backend->elem);
    hn_visit_i64(v, &f->done);
    hn_visit_i64(v, &f->good_epoch);
    hn_visit_i64(v, &f->averaged);
    hn_visit_int(v, &reason);
    f->reason = (enum hn_stop_reason)reason;
    hn_visit_bytes(v, f->bad, sizeof f->bad);
    hn_visit_i64(v, &f->rows_trained);
    hn_visit_seconds(v, &seconds);
    if (!v->out) f->seconds = seconds;
    hn_visit_seconds(v, &f->train_seconds);
    hn_visit_f64(v, &f->stop.best);
    hn_visit_i64(v, &f->stop.best_epoch);
    hn_visit_f64(v, &f->stop.mark);
    hn_visit_i64(v, &f->stop.wait);
    for (int role = 0; role < 3; role++) visit_figures(v, &f->before[role]);
    visit_member(v, &f->cohort->member[0], prog->n_losses);
    visit_curve(v, f);
    hn_pretrain_visit(v, &f->pretrain);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct writer {
    struct hn_sink *sink; /* NULL: hash only */
    uint64_t at;
    struct hn_section section[HN_CKPT_SECTIONS];
    int n;
};

void hn_ckpt_head(unsigned char head[HN_CKPT_HEAD])
{
    uint32_t version = 2, order = 0x01020304;
    memcpy(head, "HONECKP\n", 8);
    memcpy(head + 8, &version, 4);
    memcpy(head + 12, &order, 4);
}

static hone_status put_section(struct writer *w, const char *name, const void *p, size_t n,
                               hone_error *err)
{
    struct hn_section *s = &w->section[w->n++];
    *s = (struct hn_section){ .at = w->at, .size = n, .hash = XXH3_64bits(p, n) };
    memcpy(s->name, name, strlen(name));
    w->at += n;
    return w->sink ? w->sink->write(w->sink, p, n, err) : HONE_OK;
}

static hone_status put_state(struct writer *w, struct hn_fit *f, hone_error *err)
{
    struct hn_buffer b;
    hn_buffer_init(&b, &f->s->ctx->mem);
    struct hn_visit v = hn_visit_save(&b, err);
    v.timeless = w->sink == NULL;
    hn_fit_visit(&v, f);
    hone_status st = hn_visit_end(&v);
    if (st == HONE_OK) st = put_section(w, "state", b.p, b.n, err);
    hn_buffer_free(&b);
    return st;
}

/* Gradients are part of the state only between the batches of one step. */
static int has_slab(const struct hn_member *m, int i)
{
    return m->r.slab[i] && (i != HN_SLAB_DW || m->r.now.micro > 0);
}

static hone_status put_slabs(struct writer *w, struct hn_fit *f, hone_error *err)
{
    for (int i = 0; i < HN_SLABS; i++) {
        if (!has_slab(&f->cohort->member[0], i)) continue;
        size_t n = hn_slab_elements(f->s->prog, (enum hn_slab)i) * f->s->backend->elem;
        HN_TRY(hn_member_get(f->cohort, 0, (enum hn_slab)i, f->host, err));
        HN_TRY(put_section(w, hn_ckpt_slabs[i], f->host, n, err));
    }
    return HONE_OK;
}

static hone_status put_backend(struct writer *w, struct hn_fit *f, hone_error *err)
{
    const struct hn_cohort *c = f->cohort;
    size_t n = c->backend->state_size ? c->backend->state_size(c->exec) : 0;
    if (n == 0) return HONE_OK;
    void *p = hn_alloc(c->mem, n);
    if (!p) return hn_nomem(err, "the backend's state", n);
    hone_status st = c->backend->state_save(c->exec, 0, p, err);
    if (st == HONE_OK) st = put_section(w, "backend", p, n, err);
    hn_free(c->mem, p);
    return st;
}

static hone_status put_run(struct writer *w, struct hn_fit *f, hone_error *err)
{
    HN_TRY(put_state(w, f, err));
    HN_TRY(put_slabs(w, f, err));
    return put_backend(w, f, err);
}

hone_status hn_fit_hash(struct hn_fit *f, uint64_t *hash, hone_error *err)
{
    struct writer w = { .at = 0 };
    HN_TRY(put_run(&w, f, err));
    *hash = XXH3_64bits(w.section, (size_t)w.n * sizeof *w.section);
    return HONE_OK;
}

static hone_status put_job(struct writer *w, const struct hn_origin *o, struct hn_mem *mem,
                           hone_error *err)
{
    struct hn_buffer b;
    struct hn_origin copy = *o;
    hn_buffer_init(&b, mem);
    struct hn_visit v = hn_visit_save(&b, err);
    hn_origin_visit(&v, &copy);
    hone_status st = hn_visit_end(&v);
    if (st == HONE_OK) st = put_section(w, "job", b.p, b.n, err);
    hn_buffer_free(&b);
    return st;
}

static void fill_entry(unsigned char e[HN_CKPT_ENTRY], const struct hn_section *s)
{
    memcpy(e, s->name, 16);
    memcpy(e + 16, &s->at, 8);
    memcpy(e + 24, &s->size, 8);
    memcpy(e + 32, &s->hash, 8);
}

static hone_status put_file(struct writer *w, const struct hn_origin *o, struct hn_fit *f,
                            hone_error *err)
{
    unsigned char block[HN_CKPT_HEAD + HN_CKPT_SECTIONS * HN_CKPT_ENTRY + HN_CKPT_TAIL];
    hn_ckpt_head(block);
    w->at = HN_CKPT_HEAD;
    HN_TRY(w->sink->write(w->sink, block, HN_CKPT_HEAD, err));
    unsigned char reason = (unsigned char)f->reason;
    HN_TRY(put_section(w, "reason", &reason, 1, err));
    HN_TRY(put_job(w, o, &f->s->ctx->mem, err));
    HN_TRY(put_run(w, f, err));
    for (int i = 0; i < w->n; i++)
        fill_entry(block + HN_CKPT_HEAD + i * HN_CKPT_ENTRY, &w->section[i]);
    size_t size = HN_CKPT_HEAD + (size_t)w->n * HN_CKPT_ENTRY;
    uint64_t tail[2] = { (uint64_t)w->n, XXH3_64bits(block, size) };
    memcpy(block + size, tail, 16);
    memcpy(block + size + 16, "HONEEND\n", 8);
    return w->sink->write(w->sink, block + HN_CKPT_HEAD, size - HN_CKPT_HEAD + HN_CKPT_TAIL, err);
}

/* The file that is there becomes the older one once the new one lies on the disk beside it. */
static hone_status replace(struct hn_atomic *a, const struct hn_io *io, const char *now,
                           const char *before, hone_error *err)
{
    HN_TRY(hn_atomic_prepare(a, err));
    int rc = io->rename(io->user, now, before);
    if (rc < 0 && rc != -ENOENT) return hn_io_fail(err, now, "rename", rc);
    return hn_atomic_commit(a, err);
}

hone_status hn_checkpoint_write(const char *dir, const struct hn_origin *o, struct hn_fit *f,
                                hone_error *err)
{
    hone_context *ctx = f->s->ctx;
    char *now = hn_path_join(&ctx->mem, dir, hn_ckpt_names[0]);
    char *before = hn_path_join(&ctx->mem, dir, hn_ckpt_names[1]);
    struct hn_atomic a = { 0 };
    hone_status st = now && before ? HONE_OK : hn_nomem(err, "a file name", strlen(dir));
    if (st == HONE_OK) st = hn_atomic_begin_here(&a, ctx->io, &ctx->mem, now, err);
    if (st == HONE_OK) {
        struct writer w = { .sink = &a.sink };
        st = put_file(&w, o, f, err);
        if (st == HONE_OK) st = replace(&a, ctx->io, now, before, err);
        hn_atomic_abort(&a);
    }
    hn_free(&ctx->mem, now);
    hn_free(&ctx->mem, before);
    return st;
}
