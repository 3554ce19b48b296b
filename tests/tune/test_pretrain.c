/* SPDX-License-Identifier: MIT
 *
 * Pre-training in a search: replicas with it, each with settings of its own, behind one gang on the reference backend, the shadow
 * and the GPU's over the fake device: their models are those they become alone, bit for bit; and about those of the CPU. */
#include "gpu/backend.h"
#include "ops/cpu/backend.h"
#include "plugin/tune/gang.h"
#include "plugin/tune/trial.h"
#include "tests/gpu/fake.h"
#include "tests/shadow/shadow.h"
#include "tests/train/kit.h"
#include <math.h>
#include <pthread.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CROWD = 6 };

struct member {
    const struct hn_device *on;
    const char *model;
    int number;
    double value;
    uint64_t bytes;
    hone_error why;
    enum hn_fold_state state;
    pthread_t thread;
};

static const uint32_t learn[] = { 0, 1, 2, 3, 5, 8, 13, 21, 34, 20, 22, 23, 24, 25, 26, 27, 28 },
                      judge[] = { 4, 6, 7, 9, 10, 11, 12 };

static void set_all(struct kit *k, int i)
{
    hone_error err;
    char noise[32], lr[32], epochs[32];
    snprintf(noise, sizeof noise, "%g", i % 3 * 0.2);
    snprintf(lr, sizeof lr, "%g", 0.003 * (1 + i));
    snprintf(epochs, sizeof epochs, "%d", i == 4 ? 0 : 1 + i % 4);
    const struct kit_pair pairs[] = { { "epochs", "3" },
                                      { "batch-size", "8" },
                                      { "save", "last" },
                                      { "pretrain", epochs },
                                      { "pretrain-noise", noise },
                                      { "pretrain-lr", lr },
                                      { "optimizer", "momentum" },
                                      { "lr", "0.01" },
                                      { NULL, NULL } };
    HN_OK(kit_set(k, pairs, &err), err);
}

static void *live(void *user)
{
    struct member *m = user;
    struct kit k;
    struct hn_fold_result r;
    struct hn_buffer bytes;
    hone_error err;
    struct hn_fold fold = { .rows = { { learn, sizeof learn / sizeof *learn, HONE_TRAIN },
                                      { judge, sizeof judge / sizeof *judge, HONE_TRAIN } },
                            .before = { .rows = 1 } };
    HN_OK(kit_open(&k, m->model, 0, NULL, NULL, &err), err);
    hone_array x = { sizeof x, NULL, k.is_double ? HONE_F64 : HONE_F32, KIT_ROWS, KIT_IN, k.xf };
    if (k.is_double) x.data = k.x;
    if (m->number % 2)
        HN_OK(hone_data_wrap(k.ctx, HONE_PRETRAIN, &x, 1, NULL, 0, &k.data, &err), err);
    set_all(&k, m->number);
    hn_buffer_init(&bytes, &k.ctx->mem);
    struct hn_replica_task task = { .mem = &k.ctx->mem,
                                    .model = k.model,
                                    .data = k.data,
                                    .params = k.params,
                                    .device = m->on,
                                    .trial = (uint32_t)m->number,
                                    .rows = &fold,
                                    .keep = &bytes };
    HN_OK(hn_replica_run(&task, &r, &err), err);
    m->state = r.state;
    m->why = r.why;
    m->value = r.value;
    m->bytes = XXH3_64bits(bytes.n ? bytes.p : "", bytes.n);
    hn_free(&k.ctx->mem, r.curve);
    hn_buffer_free(&bytes);
    kit_close(&k);
    return NULL;
}

static void cast(struct member *m, const struct hn_device *on, const char *model)
{
    for (int i = 0; i < CROWD; i++) m[i] = (struct member){ .on = on, .model = model, .number = i };
}

static void check(const struct member *m)
{
    for (int i = 0; i < CROWD; i++)
        ck_assert_msg(m[i].state == HN_FOLD_COMPLETE, "member %d: %s: %s", i, m[i].why.where,
                      m[i].why.text);
}

static const struct {
    const struct hn_backend *b;
    const char *options, *model;
} backends[] = {
    { &hn_backend_reference, "", "bn_f64" },
    { &hn_backend_shadow, "", "ln_f64" },
    { &hn_backend_cuda_f32, "", "bn_f32" },
    { &hn_backend_cuda_f32, "", "ln_f32" },
    { &hn_backend_cuda_f64, "unroll=2", "bn_f64" },
    { &hn_backend_cuda_f32, "data=stream,stream-bytes=9000", "bn_f32" },
};
enum { BACKENDS = sizeof backends / sizeof *backends };

START_TEST(company)
{
    const struct hn_backend *b = backends[_i].b;
    struct member together[CROWD], alone[CROWD], there[CROWD];
    struct hn_mem mem;
    struct hn_gang *gang;
    struct hn_device plain = { b, NULL, 1 };
    hone_error err;
    fake_reset();
    hn_mem_init(&mem, 0);
    struct hn_host host = { sizeof host, &mem, 1 };
    HN_OK(b->open(&host, backends[_i].options, &plain.dev, &err), err);
    HN_OK(hn_gang_create(&mem, b, plain.dev, 4, &gang, &err), err);
    struct hn_device front = { hn_gang_backend(gang), gang, 1 };
    cast(together, &front, backends[_i].model);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&together[i].thread, NULL, live, &together[i]), 0);
    for (int i = 0; i < CROWD; i++) pthread_join(together[i].thread, NULL);
    check(together);
    cast(alone, &front, backends[_i].model);
    for (int i = 0; i < CROWD; i++) live(&alone[i]);
    check(alone);
    hn_gang_destroy(gang);
    b->close(plain.dev);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
    struct hn_device cpu = { b->elem == 4 ? &hn_backend_cpu : &hn_backend_reference, NULL, 1 };
    HN_OK(cpu.backend->open(&host, "", &cpu.dev, &err), err);
    cast(there, &cpu, backends[_i].model);
    for (int i = 0; i < CROWD; i++) live(&there[i]);
    check(there);
    cpu.backend->close(cpu.dev);
    for (int i = 0; i < CROWD; i++) {
        ck_assert_msg(together[i].bytes == alone[i].bytes, "member %d: together, and alone", i);
        ck_assert_msg(fabs(alone[i].value - there[i].value) <= 2e-3 * (1 + fabs(there[i].value)),
                      "member %d: %g, on the CPU %g", i, alone[i].value, there[i].value);
        for (int k = 0; k < i; k++) ck_assert(alone[k].bytes != alone[i].bytes);
    }
}
END_TEST

HN_TEST_MAIN("pretrain", tcase_add_loop_test(tc, company, 0, BACKENDS);)
