/* SPDX-License-Identifier: MIT
 *
 * Writing models. onnx/save puts bytes on the disk and reads them back; what is asked here
 * before that is whether those bytes, imported again, give a program with the very same weights,
 * bit for bit. A file that would not is never written. */
#include "onnx/save.h"
#include "ops/base/status.h"
#include "plugin/model.h"
#include "plugin/train/rundir.h"
#include <string.h>
#include <strings.h>

/* ---- before training: could it be written? --------------------------------------------------- */

static int same_file(const struct hn_io *io, const char *a, const char *b)
{
    struct hn_stat x, y;
    if (!a || io->stat_path(io->user, a, &x) < 0 || io->stat_path(io->user, b, &y) < 0) return 0;
    return x.dev == y.dev && x.ino == y.ino;
}

/* What is written is never compressed, and a name that says so would lie to whoever reads it. */
static hone_status refuse_gz(const char *path, hone_error *err)
{
    const size_t n = strlen(path);
    if (n < 3 || strcasecmp(path + n - 3, ".gz") != 0) return HONE_OK;
    return hn_hint(
        err,
        hn_fail(err, HONE_E_USAGE, path,
                "found the name of a compressed file, wanted one without %s: such models "
                "are read, not written",
                path + n - 3),
        "leave %s out: %.*s", path + n - 3, (int)(n - 3), path);
}

static hone_status refuse_existing(const hone_model *m, const char *path, int force,
                                   hone_error *err)
{
    const struct hn_io *io = m->ctx->io;
    struct hn_stat st;
    if (io->stat_path(io->user, path, &st) < 0) return HONE_OK;
    if (st.is_dir) return hn_fail(err, HONE_E_IO, path, "is a folder, wanted a file name");
    if (force) return HONE_OK;
    const char *what =
        same_file(io, hn_model_path(m), path) ? "is the model that was read" : "exists already";
    return hn_hint(err,
                   hn_fail(err, HONE_E_USAGE, path, "the file %s and is not overwritten", what),
                   "--force replaces it");
}

hone_status hn_model_check_output(hone_model *m, const char *path, int force, hone_error *err)
{
    struct hn_atomic probe = { 0 };
    if (!path[0]) return hn_fail(err, HONE_E_USAGE, "out", "found an empty file name");
    HN_TRY(refuse_gz(path, err));
    HN_TRY(refuse_existing(m, path, force, err));
    HN_TRY(hn_onnx_check_place(hn_model_onnx(m), path, err));
    /* The surest way to know that a file can be made there is to make one: the temporary of the
     * save itself. */
    HN_TRY(hn_atomic_begin(&probe, m->ctx->io, &m->ctx->mem, path, err));
    hn_atomic_abort(&probe);
    return HONE_OK;
}

/* ---- would it read back the same? ------------------------------------------------------------ */

struct weights {
    struct hn_program *prog;
    void *w;
};

static void weights_free(struct hn_mem *mem, struct weights *s)
{
    if (s->prog) hn_program_destroy(s->prog, mem);
    hn_free(mem, s->w);
}

/* The whole graph's program and its weight slab. */
static hone_status weights_of(hone_model *m, struct weights *s, hone_error *err)
{
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1.0 };
    HN_TRY(hn_lower(hn_model_graph(m), &opts, &s->prog, err));
    size_t elem = s->prog->dtype == HN_F64 ? 8 : 4;
    s->w = hn_alloc(&m->ctx->mem, s->prog->n_slab * elem + 1);
    if (!s->w) return hn_nomem(err, "the weights read back", s->prog->n_slab * elem);
    return hn_model_get_weights(m, s->prog, s->w, elem, err);
}

static hone_status compare_weights(const struct weights *a, const struct weights *b,
                                   const char *name, hone_error *err)
{
    size_t elem = a->prog->dtype == HN_F64 ? 8 : 4;
    const unsigned char *x = a->w, *y = b->w;
    if (a->prog->n_slab != b->prog->n_slab || a->prog->n_params != b->prog->n_params ||
        a->prog->n_ops != b->prog->n_ops || a->prog->dtype != b->prog->dtype)
        return hn_fail(err, HONE_E_INTERNAL, name, "the written model reads back as another graph");
    for (int i = 0; i < a->prog->n_params; i++) {
        const struct hn_param *p = &a->prog->params[i];
        if (memcmp(x + p->off * elem, y + p->off * elem, p->n * elem) != 0)
            return hn_fail(err, HONE_E_INTERNAL, p->name,
                           "the written tensor reads back with other values");
    }
    return HONE_OK;
}

static hone_status freeze_alike(hone_model *to, const hone_model *from, hone_error *err)
{
    struct hn_mem *mem = &to->ctx->mem;
    HN_TRY(hn_globs_copy(mem, &to->now.freeze, &from->now.freeze, err));
    HN_TRY(hn_globs_copy(mem, &to->now.unfreeze, &from->now.unfreeze, err));
    return to->now.freeze.n + to->now.unfreeze.n ? hn_model_reimport(to, err) : HONE_OK;
}

/* Models that cannot be run are written all the same: nothing in them was trained. */
static hone_status check_bytes(hone_model *m, hone_error *err)
{
    struct weights now = { 0 }, back = { 0 };
    struct hn_mem *mem = &m->ctx->mem;
    hone_model *again = NULL;
    struct hn_buffer bytes;
    if (!m->now.values || hn_graph_blocked(hn_model_graph(m), 0, NULL) != HONE_OK) return HONE_OK;
    hn_buffer_init(&bytes, mem);
    hone_status st = hn_model_bytes(m, &bytes, err);
    if (st == HONE_OK)
        st = hone_model_load_bytes(m->ctx, bytes.p, bytes.n, hn_model_onnx(m)->dir, &again, err);
    hn_buffer_free(&bytes);
    if (st == HONE_OK) st = freeze_alike(again, m, err);
    if (st == HONE_OK) st = weights_of(m, &now, err);
    if (st == HONE_OK) st = weights_of(again, &back, err);
    if (st == HONE_OK) st = compare_weights(&now, &back, hn_model_onnx(m)->name, err);
    weights_free(mem, &now);
    weights_free(mem, &back);
    hone_model_destroy(again);
    return st;
}

/* ---- writing --------------------------------------------------------------------------------- */

static hone_status save(hone_model *m, const char *path, const hone_params *params, hone_error *err)
{
    struct hn_changes c;
    int force = hn_param_b(params, "force");
    HN_TRY(refuse_gz(path, err));
    HN_TRY(refuse_existing(m, path, force, err));
    HN_TRY(check_bytes(m, err));
    HN_TRY(hn_model_changes(m, &c, err));
    hone_status st = hn_onnx_save(hn_model_onnx(m), &c, path, force, err);
    hn_model_changes_free(m, &c);
    if (st == HONE_OK) hn_rundir_saved(hn_model_context(m), path);
    return st;
}

hone_status hone_model_save(hone_model *m, const char *path, const hone_params *params,
                            hone_error *err)
{
    return hn_nomem_why(&m->ctx->mem, save(m, path, params, err), err);
}

struct host_writer {
    struct hn_sink sink;
    int (*write)(void *user, const void *p, size_t n);
    void *user;
};

static hone_status write_to_host(struct hn_sink *s, const void *p, size_t n, hone_error *err)
{
    struct host_writer *h = (struct host_writer *)s;
    if (n == 0 || h->write(h->user, p, n) == 0) return HONE_OK;
    return hn_fail(err, HONE_E_IO, "model", "the caller's write function failed");
}

static hone_status save_bytes(hone_model *m, int (*write)(void *user, const void *p, size_t n),
                              void *user, hone_error *err)
{
    struct host_writer h = { { write_to_host }, write, user };
    struct hn_changes c;
    HN_TRY(check_bytes(m, err));
    HN_TRY(hn_model_changes(m, &c, err));
    hone_status st = hn_onnx_write(hn_model_onnx(m), &c, 1, &h.sink, err);
    hn_model_changes_free(m, &c);
    return st;
}

hone_status hone_model_save_bytes(hone_model *m, int (*write)(void *user, const void *p, size_t n),
                                  void *user, hone_error *err)
{
    return hn_nomem_why(&m->ctx->mem, save_bytes(m, write, user, err), err);
}
