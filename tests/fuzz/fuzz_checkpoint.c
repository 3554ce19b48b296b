/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over checkpoints: the file as it comes, and the file with its checksums made right again, so that what is behind
 * them is reached (its sections are then put into the place of those of a real run's checkpoint). The first byte chooses, the
 * rest is the file, or pieces "SECTION 00 offset value …" of what is changed in a real one. Properties: no crash, no leak, a
 * refusal says why, and what is accepted can be trained on. */
#include "plugin/train/checkpoint_format.h"
#include "plugin/train/job.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hone_error err;
static char folder[64], path[128];
static unsigned char *real; /* a checkpoint of the job below, stopped in mid-epoch */
static size_t real_size;

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s: %s: %s\n", what, err.where, err.text);
    abort();
}

/* ---- a job ----------------------------------------------------------------------------------------------------------------- */

struct rig {
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    hone_params *params;
    struct hn_job job;
};

static void rig_open(struct rig *r)
{
    static const char *const set[][2] = { { "epochs", "4" },      { "batch-size", "4" },
                                          { "ema", "0.9" },       { "accumulate", "2" },
                                          { "pretrain", "1" },    { "lr-schedule", "plateau" },
                                          { "optimizer", "adam" } };
    static float x[12 * 3];
    static int64_t y[12];
    hone_array a = { sizeof a, NULL, HONE_F32, 12, 3, x },
               b = { sizeof b, NULL, HONE_I64, 12, 1, y };
    for (int i = 0; i < 36; i++) x[i] = (float)(i * 37 % 11) / 11 - 0.5f;
    for (int i = 0; i < 12; i++) y[i] = i % 2;
    memset(r, 0, sizeof *r);
    must(hone_context_create(NULL, &r->ctx, &err) == HONE_OK, "context");
    must(hone_model_new(r->ctx, "3-4-4-2 relu batchnorm dropout=0.2", 1, &r->model, &err) ==
             HONE_OK,
         "model");
    must(hone_params_create(r->ctx, &r->params, &err) == HONE_OK, "params");
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        must(hone_params_set(r->params, set[i][0], set[i][1], &err) == HONE_OK, set[i][0]);
    must(hone_data_wrap(r->ctx, HONE_TRAIN, &a, 1, &b, 1, &r->data, &err) == HONE_OK, "data");
    must(hone_data_wrap(r->ctx, HONE_VAL, &a, 1, &b, 1, &r->data, &err) == HONE_OK, "data");
    must(hn_job_init(&r->job, r->model, r->params, &err) == HONE_OK, "job");
    must(hn_job_origin(&r->job, &err) == HONE_OK, "origin");
    must(hn_job_open(&r->job, r->data, NULL, &err) == HONE_OK, "open");
    must(hn_job_start(&r->job, &err) == HONE_OK, "start");
}

static void rig_close(struct rig *r)
{
    hn_job_close(&r->job);
    hone_data_destroy(r->data);
    hone_params_destroy(r->params);
    hone_model_destroy(r->model);
    hone_context_destroy(r->ctx);
}

static hone_status stop_soon(void *user, struct hn_fit *f, hone_error *e)
{
    (void)user, (void)e;
    f->seconds_per_row = 1e9;
    if (f->cohort->member[0].r.now.batch >= 4) hone_request_stop(f->s->ctx);
    return HONE_OK;
}

static void put_file(const unsigned char *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    must(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, path);
}

static void set_up(void)
{
    struct rig r;
    struct hn_file f;
    (void)snprintf(folder, sizeof folder, "/dev/shm/hone-fuzz-XXXXXX");
    must(mkdtemp(folder) != NULL, folder);
    (void)snprintf(path, sizeof path, "%s/%s", folder, hn_ckpt_names[0]);
    rig_open(&r);
    r.job.fit->hooks = (struct hn_fit_hooks){ .tick = stop_soon };
    must(hn_fit_start(r.job.fit, &err) == HONE_OK && hn_fit_run(r.job.fit, &err) == HONE_OK, "run");
    must(hn_checkpoint_write(folder, &r.job.origin, r.job.fit, &err) == HONE_OK, "checkpoint");
    must(hn_file_open(&f, r.ctx->io, &r.ctx->mem, path, 0, &err) == HONE_OK, path);
    real = malloc(real_size = f.n);
    must(real != NULL, "memory");
    memcpy(real, f.p, f.n);
    hn_file_close(&f);
    rig_close(&r);
}

static void clean_up(void)
{
    (void)remove(path);
    (void)rmdir(folder);
}

/* ---- checksums made right ---------------------------------------------------------------------------------------------------- */

static void sign(unsigned char *p, size_t n)
{
    unsigned char covered[HN_CKPT_HEAD + HN_CKPT_SECTIONS * HN_CKPT_ENTRY];
    uint64_t count, hash, at, size;
    if (n < HN_CKPT_HEAD + HN_CKPT_TAIL) return;
    unsigned char *tail = p + n - HN_CKPT_TAIL;
    memcpy(&count, tail, 8);
    if (count > HN_CKPT_SECTIONS || n < HN_CKPT_HEAD + count * HN_CKPT_ENTRY + HN_CKPT_TAIL) return;
    for (uint64_t i = 0; i < count; i++) {
        unsigned char *e = tail - (count - i) * HN_CKPT_ENTRY;
        memcpy(&at, e + 16, 8);
        memcpy(&size, e + 24, 8);
        if (at > n || size > n - at) return;
        hash = XXH3_64bits(p + at, (size_t)size);
        memcpy(e + 32, &hash, 8);
    }
    memcpy(covered, p, HN_CKPT_HEAD);
    memcpy(covered + HN_CKPT_HEAD, tail - count * HN_CKPT_ENTRY, (size_t)count * HN_CKPT_ENTRY);
    hash = XXH3_64bits(covered, HN_CKPT_HEAD + (size_t)count * HN_CKPT_ENTRY);
    memcpy(tail + 8, &hash, 8);
}

/* Pairs (three bytes of offset, one byte) over the real file. */
static void change_real(const uint8_t *p, size_t n)
{
    unsigned char *copy = malloc(real_size);
    must(copy != NULL, "memory");
    memcpy(copy, real, real_size);
    for (size_t i = 0; i + 4 <= n; i += 4)
        copy[(p[i] | (size_t)p[i + 1] << 8 | (size_t)p[i + 2] << 16) % real_size] = p[i + 3];
    sign(copy, real_size);
    put_file(copy, real_size);
    free(copy);
}

static void use(void)
{
    struct rig r;
    struct hn_checkpoint c;
    rig_open(&r);
    err.text[0] = '\0';
    hone_status st = hn_checkpoint_open(&c, r.ctx, folder, &err);
    must(st == HONE_OK || err.text[0], "no reason");
    if (st == HONE_OK) {
        enum hn_stop_reason why = hn_checkpoint_reason(&c);
        must(why >= HN_STOP_NONE && why <= HN_STOP_CALLBACK, "an odd reason");
        st = hn_checkpoint_load(&c, r.job.fit, &err);
        must(st == HONE_OK || err.text[0], "no reason");
        if (st == HONE_OK && r.job.fit->reason == HN_STOP_NONE) {
            r.job.fit->hooks = (struct hn_fit_hooks){ .tick = stop_soon };
            st = hn_fit_run(r.job.fit, &err);
            must(st == HONE_OK || err.text[0], "no reason");
        }
        hn_checkpoint_close(&c);
    }
    rig_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!real) {
        set_up();
        atexit(clean_up);
    }
    if (size < 1) return 0;
    unsigned char *copy = malloc(size);
    must(copy != NULL, "memory");
    memcpy(copy, data + 1, size - 1);
    if (data[0] % 4 == 0) {
        put_file(copy, size - 1);
    } else if (data[0] % 4 == 1) {
        sign(copy, size - 1);
        put_file(copy, size - 1);
    } else {
        change_real(copy, size - 1);
    }
    free(copy);
    use();
    return 0;
}
