/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: every field of the state is in them and matters, damage of any byte is found, the older generation stands in. */
#include "ops/base/status.h"
#include "plugin/train/checkpoint.h"
#include "plugin/train/job.h"
#include "tests/train/kit.h"

static hone_error err;

struct rig { /* a job stopped in the middle of an epoch */
    struct kit kit;
    struct hn_job job;
};

static hone_status stop_soon(void *user, struct hn_fit *f, hone_error *e)
{
    (void)e;
    int64_t *stop_at = user;
    f->seconds_per_row = 1e9; /* one step a call */
    if (f->cohort->member[0].r.now.batch >= *stop_at) hone_request_stop(f->s->ctx);
    return HONE_OK;
}

static void rig_open(struct rig *r, int64_t stop_at)
{
    static const struct kit_pair pairs[] = { { "epochs", "6" },
                                             { "batch-size", "8" },
                                             { "accumulate", "2" },
                                             { "lr-schedule", "plateau" },
                                             { "lr-patience", "0" },
                                             { "dropout", "0.25" },
                                             { "early-stop-patience", "9" },
                                             { "swa-start", "2" },
                                             { NULL, NULL } };
    HN_OK(kit_open(&r->kit, "bn_f32", 10, NULL, NULL, &err), err);
    HN_OK(kit_set(&r->kit, pairs, &err), err);
    HN_OK(hn_job_init(&r->job, r->kit.model, r->kit.params, &err), err);
    HN_OK(hn_job_origin(&r->job, &err), err);
    HN_OK(hn_job_open(&r->job, r->kit.data, NULL, &err), err);
    HN_OK(hn_job_start(&r->job, &err), err);
    r->job.fit->hooks = (struct hn_fit_hooks){ .user = &stop_at, .tick = stop_soon };
    HN_OK(hn_fit_start(r->job.fit, &err), err);
    HN_OK(hn_fit_run(r->job.fit, &err), err);
    ck_assert_int_eq(r->job.fit->reason, HN_STOP_INTERRUPTED);
}

static void rig_close(struct rig *r)
{
    hn_job_close(&r->job);
    kit_close(&r->kit);
}

static uint64_t hash_of(struct rig *r)
{
    uint64_t hash;
    HN_OK(hn_fit_hash(r->job.fit, &hash, &err), err);
    return hash;
}

/* ---- the state ---- */

#define FIELD(x)                                                                                   \
    {                                                                                              \
        &(x), sizeof(x), #x                                                                        \
    }

START_TEST(every_field_is_in_the_hash)
{
    struct rig r;
    rig_open(&r, 12); /* noticed a batch later: two epochs of five, one and a half steps */
    struct hn_fit *f = r.job.fit;
    struct hn_member *m = &f->cohort->member[0];
    ck_assert_int_eq(m->r.now.micro, 1);
    ck_assert_int_eq(m->r.now.row, 24);
    ck_assert_int_eq(f->done, 2);
    ck_assert_int_eq(f->averaged, 1);
    ck_assert_ptr_nonnull(m->r.slab[HN_SLAB_AVERAGE]);
    const struct {
        void *p;
        size_t n;
        const char *name;
    } fields[] = {
        FIELD(f->done),
        FIELD(f->good_epoch),
        FIELD(f->averaged),
        FIELD(f->reason),
        FIELD(f->bad),
        FIELD(f->rows_trained),
        FIELD(f->stop.best),
        FIELD(f->stop.best_epoch),
        FIELD(f->stop.mark),
        FIELD(f->stop.wait),
        FIELD(f->before[1].loss),
        FIELD(f->before[1].accuracy),
        FIELD(f->before[1].has),
        FIELD(f->before[1].rows),
        FIELD(f->before[0].mae),
        FIELD(f->before[0].rmse),
        FIELD(f->before[2].r2),
        FIELD(f->before[2].f1),
        FIELD(f->before[2].auc),
        FIELD(f->n_curve),
        FIELD(f->curve[0].epoch),
        FIELD(f->curve[1].train_loss),
        FIELD(f->curve[2].lr),
        FIELD(f->curve[2].val.loss),
        FIELD(f->curve[2].train.loss),
        FIELD(m->r.now.epoch),
        FIELD(m->r.now.step),
        FIELD(m->r.now.batch),
        FIELD(m->r.now.row),
        FIELD(m->r.now.micro),
        FIELD(m->r.key[0]),
        FIELD(m->r.key[1]),
        FIELD(m->schedule.lr),
        FIELD(m->schedule.best),
        FIELD(m->schedule.bad),
        FIELD(m->schedule.resting),
        FIELD(m->schedule.swa_start),
        FIELD(m->last_lr),
        FIELD(m->partial[0]),
        FIELD(m->partial[1]),
        FIELD(m->state),
        FIELD(m->n_rows),
        FIELD(m->batch),
    };
    uint64_t hash = hash_of(&r);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        unsigned char *p = fields[i].p;
        p[0] ^= 1;
        ck_assert_msg(hash_of(&r) != hash, "%s is not part of the state", fields[i].name);
        p[0] ^= 1;
    }
    ck_assert_uint_eq(hash_of(&r), hash);
    for (int slab = 0; slab < HN_SLABS; slab++) {
        float *w = (float *)f->host;
        if (!m->r.slab[slab]) continue;
        HN_OK(hn_member_get(f->cohort, 0, (enum hn_slab)slab, w, &err), err);
        w[3] += 1;
        HN_OK(hn_member_put(f->cohort, 0, (enum hn_slab)slab, w, &err), err);
        ck_assert_msg(hash_of(&r) != hash, "slab %d is not part of the state", slab);
        HN_OK(hn_member_get(f->cohort, 0, (enum hn_slab)slab, w, &err), err);
        w[3] -= 1;
        HN_OK(hn_member_put(f->cohort, 0, (enum hn_slab)slab, w, &err), err);
    }
    rig_close(&r);
}
END_TEST

/* Any byte of the saved state that is another one is refused, or makes another state. */
START_TEST(every_saved_byte_matters)
{
    struct rig r;
    struct hn_buffer b;
    struct hn_arena arena;
    rig_open(&r, 7);
    struct hn_fit *f = r.job.fit;
    hn_arena_init(&arena, &r.kit.ctx->mem);
    hn_buffer_init(&b, &r.kit.ctx->mem);
    struct hn_visit v = hn_visit_save(&b, &err);
    v.timeless = 1;
    hn_fit_visit(&v, f);
    HN_OK(hn_visit_end(&v), err);
    uint64_t hash = hash_of(&r);
    for (size_t i = 0; i <= b.n; i++) {
        if (i < b.n) b.p[i] ^= 0x10;
        v = hn_visit_load(b.p, b.n, &arena, "state", &err);
        v.timeless = 1;
        hn_fit_visit(&v, f);
        hone_status st = hn_visit_end(&v);
        if (i < b.n) {
            b.p[i] ^= 0x10;
            ck_assert_msg(st == HONE_E_CORRUPT || hash_of(&r) != hash, "byte %zu does not matter",
                          i);
            f->n_curve = 0;
        } else {
            HN_OK(st, err);
            ck_assert_uint_eq(hash_of(&r), hash);
        }
    }
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
    rig_close(&r);
}
END_TEST

/* Parameters that no loss reaches lay among those that learn, once. */
START_TEST(another_number_of_trained_is_refused)
{
    struct rig r;
    struct hn_buffer b;
    struct hn_arena arena;
    rig_open(&r, 3);
    struct hn_program *p = r.job.s->prog;
    struct hn_param *last = p->params;
    hn_arena_init(&arena, &r.kit.ctx->mem);
    hn_buffer_init(&b, &r.kit.ctx->mem);
    struct hn_visit v = hn_visit_save(&b, &err);
    hn_fit_visit(&v, r.job.fit);
    HN_OK(hn_visit_end(&v), err);
    for (int i = 0; i < p->n_params; i++)
        if (p->params[i].flags & HN_PARAM_TRAINED) last = &p->params[i];
    p->n_trained = last->off;
    v = hn_visit_load(b.p, b.n, &arena, "state", &err);
    hn_fit_visit(&v, r.job.fit);
    ck_assert_int_eq(hn_visit_end(&v), HONE_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "trained numbers, this run has"));
    last->flags = HN_PARAM_IDLE;
    v = hn_visit_load(b.p, b.n, &arena, "state", &err);
    hn_fit_visit(&v, r.job.fit);
    ck_assert_int_eq(hn_visit_end(&v), HONE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "no loss reaches"));
    hn_buffer_free(&b);
    hn_arena_clear(&arena);
    rig_close(&r);
}
END_TEST

/* ---- the file ---- */

static void write_two(struct rig *r, const char *dir)
{
    HN_OK(hn_checkpoint_write(dir, &r->job.origin, r->job.fit, &err), err);
    HN_OK(hn_checkpoint_write(dir, &r->job.origin, r->job.fit, &err), err);
}

static void poke(const char *dir, const char *name, long at, int mask)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ mask, f);
    fclose(f);
}

static long size_of(const char *dir, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    fclose(f);
    return n;
}

static int warned;
static void count_warning(void *user, hone_log_level level, const char *text)
{
    (void)user;
    warned += level == HONE_LOG_WARNING && strstr(text, "damaged") != NULL;
}

START_TEST(load_gives_the_same_state)
{
    struct rig a, b;
    char dir[512];
    struct hn_checkpoint c;
    rig_open(&a, 8);
    rig_open(&b, 3);
    ck_assert_uint_ne(hash_of(&a), hash_of(&b));
    write_two(&a, kit_folder("load", dir));
    HN_OK(hn_checkpoint_open(&c, b.kit.ctx, dir, &err), err);
    ck_assert_str_eq(c.origin.version, hone_version());
    ck_assert_uint_eq(c.origin.model_size, a.job.origin.model_size);
    ck_assert_mem_eq(c.origin.model, a.job.origin.model, c.origin.model_size);
    ck_assert_uint_eq(c.origin.n_settings, 8);
    ck_assert_int_eq(hn_checkpoint_reason(&c), HN_STOP_INTERRUPTED);
    HN_OK(hn_checkpoint_load(&c, b.job.fit, &err), err);
    ck_assert_uint_eq(hash_of(&a), hash_of(&b));
    hn_checkpoint_close(&c);
    hn_checkpoint_remove(b.kit.ctx, dir);
    ck_assert_int_eq(hn_checkpoint_open(&c, b.kit.ctx, dir, &err), HONE_E_IO);
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left */
    rig_close(&a);
    rig_close(&b);
}
END_TEST

START_TEST(damage_is_found_and_the_older_one_used)
{
    struct rig r;
    char dir[512];
    struct hn_checkpoint c;
    rig_open(&r, 8);
    write_two(&r, kit_folder("damage", dir));
    r.kit.ctx->log = count_warning;
    long n = size_of(dir, "checkpoint.hone");
    for (long at = 0; at < n; at += at < 40 || at > n - 600 ? 1 : 61) {
        int before = warned;
        poke(dir, "checkpoint.hone", at, 1 << at % 8);
        HN_OK(hn_checkpoint_open(&c, r.kit.ctx, dir, &err), err);
        ck_assert_ptr_nonnull(strstr(c.path, "checkpoint.old.hone"));
        ck_assert_int_eq(warned, before + 1);
        hn_checkpoint_close(&c);
        poke(dir, "checkpoint.hone", at, 1 << at % 8);
    }
    HN_OK(hn_checkpoint_open(&c, r.kit.ctx, dir, &err), err);
    ck_assert_ptr_null(strstr(c.path, "old"));
    hn_checkpoint_close(&c);
    poke(dir, "checkpoint.hone", n / 2, 4);
    poke(dir, "checkpoint.old.hone", n / 3, 4);
    ck_assert_int_eq(hn_checkpoint_open(&c, r.kit.ctx, dir, &err), HONE_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
    hn_checkpoint_close(&c);
    hn_checkpoint_remove(r.kit.ctx, dir);
    ck_assert_int_eq(rmdir(dir), 0);
    rig_close(&r);
}
END_TEST

START_TEST(cut_files_are_refused)
{
    struct rig r;
    char dir[512], path[700];
    struct hn_checkpoint c;
    rig_open(&r, 8);
    kit_folder("cut", dir);
    HN_OK(hn_checkpoint_write(dir, &r.job.origin, r.job.fit, &err), err);
    long n = size_of(dir, "checkpoint.hone");
    snprintf(path, sizeof path, "%s/checkpoint.hone", dir);
    for (long left = n - 1; left >= 0; left -= left > n - 100 || left < 100 ? 1 : 97) {
        ck_assert_int_eq(truncate(path, left), 0);
        hone_status st = hn_checkpoint_open(&c, r.kit.ctx, dir, &err);
        ck_assert_msg(st == HONE_E_CORRUPT, "%ld bytes: %d %s", left, (int)st, err.text);
        hn_checkpoint_close(&c);
    }
    hn_checkpoint_remove(r.kit.ctx, dir);
    ck_assert_int_eq(rmdir(dir), 0);
    rig_close(&r);
}
END_TEST

HN_TEST_MAIN("checkpoint", tcase_add_test(tc, every_field_is_in_the_hash);
             tcase_add_test(tc, every_saved_byte_matters);
             tcase_add_test(tc, another_number_of_trained_is_refused);
             tcase_add_test(tc, load_gives_the_same_state);
             tcase_add_test(tc, damage_is_found_and_the_older_one_used);
             tcase_add_test(tc, cut_files_are_refused);)
