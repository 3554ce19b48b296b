/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over checkpoints: the file as it comes, and the file with its checksums made right again, so that what is behind
 * them is reached. The first byte chooses, the rest is the file, or bytes that are changed in a real run's checkpoint, or
 * changes of its sections (change.h), whose table is then written anew. Properties: no crash, no leak, a refusal says why, and
 * what is accepted can be trained on. */
#include "plugin/train/checkpoint_format.h"
#include "plugin/train/job.h"
#include "tests/fault.h"
#include "tests/fuzz/change.h"
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

/* ---- sections changed --------------------------------------------------------------------------------------------------- */

struct part {
    char name[16];
    unsigned char *p;
    size_t n;
};

static int take_apart(struct part *part)
{
    uint64_t count, at, size;
    const unsigned char *tail = real + real_size - HN_CKPT_TAIL;
    memcpy(&count, tail, 8);
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *e = tail - (count - i) * HN_CKPT_ENTRY;
        memcpy(part[i].name, e, 16);
        memcpy(&at, e + 16, 8);
        memcpy(&size, e + 24, 8);
        part[i].n = (size_t)size;
        part[i].p = malloc(part[i].n + 1);
        must(part[i].p != NULL, "memory");
        memcpy(part[i].p, real + at, part[i].n);
    }
    return (int)count;
}

static void insert(struct part *s, size_t at, size_t n)
{
    s->p = realloc(s->p, s->n + n + 1);
    must(s->p != NULL, "memory");
    memmove(s->p + at + n, s->p + at, s->n - at);
    memset(s->p + at, 0, n);
    s->n += n;
}

static void cut(struct part *s, size_t at, size_t n)
{
    if (n > s->n - at) n = s->n - at;
    memmove(s->p + at, s->p + at + n, s->n - at - n);
    s->n -= n;
}

static void apply(struct part *part, int *n, const struct change *c)
{
    struct part *s = &part[c->section % *n];
    size_t at = c->at % (s->n + 1), word = s->n < 8 ? 0 : c->at % (s->n / 8) * 8;
    uint64_t old;
    switch (c->what % CHANGES) {
    case PUT_WORD:
        if (s->n >= 8) memcpy(s->p + word, &c->value, 8);
        break;
    case ADD_TO_WORD:
        if (s->n < 8) break;
        memcpy(&old, s->p + word, 8);
        old += c->value;
        memcpy(s->p + word, &old, 8);
        break;
    case PUT_BYTE:
        if (at < s->n) s->p[at] = (unsigned char)c->value;
        break;
    case CUT: cut(s, at, (size_t)(c->value % 64)); break;
    case INSERT: insert(s, at, (size_t)(c->value % 64)); break;
    case RENAME: s->name[c->at % 16] = (char)c->value; break;
    case DROP:
        if (*n < 2) break;
        free(s->p);
        *s = part[--*n];
        break;
    }
}

static void put_together(const struct part *part, int n)
{
    size_t total = HN_CKPT_HEAD + (size_t)n * HN_CKPT_ENTRY + HN_CKPT_TAIL, at = HN_CKPT_HEAD;
    for (int i = 0; i < n; i++) total += part[i].n;
    unsigned char *file = calloc(1, total), *e;
    uint64_t count = (uint64_t)n;
    must(file != NULL, "memory");
    hn_ckpt_head(file);
    memcpy(file + total - HN_CKPT_TAIL, &count, 8);
    memcpy(file + total - 8, "HONEEND\n", 8);
    e = file + total - HN_CKPT_TAIL - (size_t)n * HN_CKPT_ENTRY;
    for (int i = 0; i < n; i++, e += HN_CKPT_ENTRY) {
        uint64_t where[2] = { at, part[i].n };
        memcpy(file + at, part[i].p, part[i].n);
        memcpy(e, part[i].name, 16);
        memcpy(e + 16, where, 16);
        at += part[i].n;
    }
    sign(file, total);
    put_file(file, total);
    free(file);
}

static void change_sections(const uint8_t *p, size_t n)
{
    struct part part[HN_CKPT_SECTIONS];
    int count = take_apart(part);
    for (; n >= sizeof(struct change); p += sizeof(struct change), n -= sizeof(struct change)) {
        struct change c;
        memcpy(&c, p, sizeof c);
        apply(part, &count, &c);
    }
    put_together(part, count);
    for (int i = 0; i < count; i++) free(part[i].p);
}

/* ---- used ------------------------------------------------------------------------------------------------------------------ */

/* What hone_resume makes of the job: parameters and the model. */
static void use_origin(const struct hn_checkpoint *c, hone_context *ctx)
{
    hone_params *p;
    hone_model *m;
    hone_status st = HONE_OK;
    must(hone_params_create(ctx, &p, &err) == HONE_OK, "params");
    err.text[0] = '\0';
    for (size_t i = 0; st == HONE_OK && i < c->origin.n_settings; i++)
        st = hone_params_set(p, c->origin.settings[i].name, c->origin.settings[i].value, &err);
    must(st == HONE_OK || err.text[0], "no reason");
    hone_params_destroy(p);
    st = hone_model_load_bytes(ctx, c->origin.model, c->origin.model_size, NULL, &m, &err);
    must(st == HONE_OK || err.text[0], "no reason");
    if (st == HONE_OK) hone_model_destroy(m);
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
        use_origin(&c, r.ctx);
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
    } else if (data[0] % 4 == 2) {
        change_real(copy, size - 1);
    } else {
        change_sections(copy, size - 1);
    }
    free(copy);
    use();
    return 0;
}
