/* SPDX-License-Identifier: MIT
 *
 * What the tests of training share: see kit.h. */
#include "tests/train/kit.h"
#include "plugin/data/data.h"
#include <sys/stat.h>
#define XXH_INLINE_ALL
#include <math.h>
#include <xxhash.h>

/* The numbers of tests/data/make_train_refs.py. */
static void fill(struct kit *k)
{
    for (int i = 0; i < KIT_ROWS; i++) {
        for (int j = 0; j < KIT_IN; j++)
            k->x[i * KIT_IN + j] = ((i * 37 + j * 91 + i * j * 5 + 17) % 64 - 31) / 16.0;
        for (int j = 0; j < 2; j++) k->y[2 * i + j] = ((i * 29 + j * 13 + 7) % 32 - 15) / 8.0;
        k->labels[i] = (i * 7 + i / 5) % 3;
    }
    for (int i = 0; i < KIT_ROWS * KIT_IN; i++) k->xf[i] = (float)k->x[i];
    for (int i = 0; i < KIT_ROWS * 2; i++) k->yf[i] = (float)k->y[i];
}

static hone_status wrap(struct kit *k, hone_role role, int first, int rows, hone_error *err)
{
    hone_array x = { .size = sizeof x,
                     .dtype = k->is_double ? HONE_F64 : HONE_F32,
                     .rows = rows,
                     .per_row = KIT_IN };
    hone_array y = { .size = sizeof y, .dtype = x.dtype, .rows = rows, .per_row = 2 };
    x.data = k->is_double ? (const void *)(k->x + first * KIT_IN) : k->xf + first * KIT_IN;
    y.data = k->is_double ? (const void *)(k->y + first * 2) : k->yf + first * 2;
    if (k->classes) {
        y.dtype = HONE_I64;
        y.per_row = 1;
        y.data = k->labels + first;
    }
    return hone_data_wrap(k->ctx, role, &x, 1, &y, 1, &k->data, err);
}

hone_status kit_open(struct kit *k, const char *name, int val, const hone_context_opts *opts,
                     const struct hn_io *io, hone_error *err)
{
    char path[512];
    *k = (struct kit){ .is_double = strstr(name, "f64") != NULL, .classes = name[0] == 'b' };
    fill(k);
    snprintf(path, sizeof path, "%s/tests/data/train/%s.onnx", HN_SOURCE_DIR, name);
    hone_status st = hn_context_create_with(opts, io ? io : &hn_io_system, &k->ctx, err);
    if (st == HONE_OK) st = hone_model_load(k->ctx, path, &k->model, err);
    if (st == HONE_OK) st = hone_params_create(k->ctx, &k->params, err);
    if (st == HONE_OK) st = wrap(k, HONE_TRAIN, 0, KIT_ROWS - val, err);
    if (st == HONE_OK && val) st = wrap(k, HONE_VAL, KIT_ROWS - val, val, err);
    if (st != HONE_OK) kit_close(k);
    return st;
}

static void write_array(struct kit *k, const char *folder, const char *param,
                        const struct hn_tensor *t)
{
    struct hn_mem mem;
    struct hn_buffer b;
    char path[700];
    hone_error err;
    hn_mem_init(&mem, 0);
    hn_buffer_init(&b, &mem);
    snprintf(path, sizeof path, "%s/%s.npy", folder, param);
    HN_OK(hn_npy_write(&b.sink, t, &err), err);
    HN_OK(hn_write_file(&hn_io_system, &mem, path, b.p, b.n, &err), err);
    HN_OK(hone_params_set(k->params, param, path, &err), err);
    hn_buffer_free(&b);
}

void kit_files(struct kit *k, const char *folder, int val)
{
    for (int part = 0; part < (val ? 2 : 1); part++) {
        int first = part ? KIT_ROWS - val : 0, rows = part ? val : KIT_ROWS - val;
        struct hn_tensor x = { .dtype = k->is_double ? HN_F64 : HN_F32,
                               .rank = 2,
                               .dims = { rows, KIT_IN },
                               .n = rows * KIT_IN };
        struct hn_tensor y = { .dtype = x.dtype, .rank = 2, .dims = { rows, 2 }, .n = rows * 2 };
        x.data = k->is_double ? (const void *)(k->x + first * KIT_IN) : k->xf + first * KIT_IN;
        y.data = k->is_double ? (const void *)(k->y + first * 2) : k->yf + first * 2;
        if (k->classes) y = (struct hn_tensor){ HN_I64, 1, { rows }, rows, k->labels + first };
        write_array(k, folder, part ? "val-x" : "x", &x);
        write_array(k, folder, part ? "val-y" : "y", &y);
    }
}

static int hash_piece(void *user, const void *p, size_t n)
{
    return XXH3_64bits_update(user, p, n) == XXH_ERROR;
}

uint64_t kit_file_hash(hone_model *m)
{
    XXH3_state_t state;
    hone_error err;
    XXH3_64bits_reset(&state);
    HN_OK(hone_model_save_bytes(m, hash_piece, &state, &err), err);
    return XXH3_64bits_digest(&state);
}

void kit_close(struct kit *k)
{
    hone_data_destroy(k->data);
    hone_params_destroy(k->params);
    hone_model_destroy(k->model);
    hone_context_destroy(k->ctx);
    k->ctx = NULL, k->model = NULL, k->data = NULL, k->params = NULL;
}

hone_status kit_set(struct kit *k, const struct kit_pair *pairs, hone_error *err)
{
    for (; pairs->name; pairs++) {
        hone_status st = hone_params_set(k->params, pairs->name, pairs->value, err);
        if (st != HONE_OK) return st;
    }
    return HONE_OK;
}

/* The whole graph's program and slab in double. */
static double *slab_of(hone_model *m, struct hn_program **prog)
{
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1 };
    hone_error err;
    HN_OK(hn_lower(hn_model_graph(m), &opts, prog, &err), err);
    double *w = calloc((*prog)->n_slab + 1, sizeof *w);
    HN_OK(hn_model_get_weights(m, *prog, w, 8, &err), err);
    return w;
}

double kit_number(const hone_result *r, const char *path)
{
    double v = (double)NAN;
    ck_assert_msg(hone_result_number(r, path, &v), "no number %s", path);
    return v;
}

void kit_tensor(hone_model *m, const char *name, double *out, size_t n)
{
    struct hn_program *prog;
    double *w = slab_of(m, &prog);
    const struct hn_param *p = NULL;
    for (int i = 0; i < prog->n_params; i++)
        if (!strcmp(prog->params[i].name, name)) p = &prog->params[i];
    ck_assert_msg(p && p->n == n, "no parameter %s of %zu elements", name, n);
    memcpy(out, w + p->off, n * sizeof *out);
    free(w);
    hn_program_destroy(prog, &hn_model_context(m)->mem);
}

uint64_t kit_hash(hone_model *m)
{
    struct hn_program *prog;
    double *w = slab_of(m, &prog);
    uint64_t hash = XXH3_64bits(w, prog->n_slab * sizeof *w);
    free(w);
    hn_program_destroy(prog, &hn_model_context(m)->mem);
    return hash;
}

const char *kit_folder(const char *name, char path[512])
{
    char command[600];
    snprintf(path, 512, "%s/test-train-%s-%d", HN_BINARY_DIR, name, (int)getpid());
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    return path;
}
