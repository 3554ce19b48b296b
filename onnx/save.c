/* SPDX-License-Identifier: MIT
 *
 * A save is a set of files written aside that become visible one after the other, data files before the model, after all
 * of them have been read back from disk and found right. */
#include "onnx/save.h"
#include "onnx/linear.h"
#include "onnx/read.h"
#include "onnx/tensor.h"
#include "ops/base/status.h"
#include <string.h>

static const struct hn_changes no_changes;

static hone_status write_model(const struct hn_onnx *m, const struct hn_patch_set *s,
                               struct hn_sink *sink, hone_error *err)
{
    return hn_splice(m->mem, m->p, m->n, m->scan.frames, m->scan.n_frames, s->file.v, s->file.n,
                     sink, err);
}

static hone_status write_sidecar(const struct hn_onnx *m, const struct hn_patch_set *s, size_t i,
                                 struct hn_sink *sink, hone_error *err)
{
    const struct hn_file *f = &m->external.files[i].file;
    struct hn_frame whole = { 0, 0, 0, f->n };
    return hn_splice(m->mem, f->p, f->n, &whole, 1, s->side[i].v, s->side[i].n, sink, err);
}

hone_status hn_onnx_write(const struct hn_onnx *m, const struct hn_changes *c, int inline_external,
                          struct hn_sink *sink, hone_error *err)
{
    struct hn_patch_set s;
    HN_TRY(hn_patch_build(&s, m, c ? c : &no_changes, inline_external, err));
    hone_status st = HONE_OK;
    for (size_t i = 0; i < s.n_side; i++)
        if (s.side[i].n)
            st = hn_fail(err, HONE_E_UNSUPPORTED, m->name,
                         "changed external data can be written beside a file only");
    if (st == HONE_OK) st = write_model(m, &s, sink, err);
    hn_patch_free(&s);
    return st;
}

/* ---- where data files go ------------------------------------------------------------------------------------------ */

struct target {
    struct hn_atomic out;
    char *name, *path; /* name in the references; NULL: the sidecar stays where it is */
};

struct save {
    const struct hn_onnx *m;
    const struct hn_changes *c;
    const char *path;
    int replace;
    hone_error *err;
    struct hn_patch_set set;
    struct hn_atomic model;
    char *dir;
    struct target *side;
};

static int same_folder(const struct save *v)
{
    struct hn_stat a, b;
    const struct hn_io *io = v->m->io;
    if (!v->m->dir) return 0;
    if (strcmp(v->m->dir, v->dir) == 0) return 1;
    if (io->stat_path(io->user, v->m->dir, &a) < 0 || io->stat_path(io->user, v->dir, &b) < 0)
        return 0;
    return a.dev == b.dev && a.ino == b.ino;
}

/* A name that a model may bring along into any folder: a plain, visible one that is not the model's own. */
static int is_plain_name(const struct save *v, const char *name)
{
    return name[0] != '.' && !strchr(name, '/') && strcmp(name, hn_path_base(v->path)) != 0;
}

static int is_taken(const struct save *v, const char *name)
{
    for (size_t i = 0; i < v->m->external.n; i++) {
        if (strcmp(v->m->external.files[i].location, name) == 0) return 1;
        if (v->side[i].name && strcmp(v->side[i].name, name) == 0) return 1;
    }
    return 0;
}

/* `<path>.data`, `<path>.1.data`, …: the first that neither the source nor this save uses. */
static char *new_name(const struct save *v)
{
    struct hn_arena a;
    char *name = NULL;
    hn_arena_init(&a, v->m->mem);
    for (unsigned k = 0; !name; k++) {
        const char *base = hn_path_base(v->path);
        char *s =
            k ? hn_arena_printf(&a, "%s.%u.data", base, k) : hn_arena_printf(&a, "%s.data", base);
        if (!s) break;
        if (is_taken(v, s)) continue;
        if (!(name = hn_strdup(v->m->mem, s))) break;
    }
    hn_arena_clear(&a);
    return name;
}

static hone_status plan_sidecar(struct save *v, size_t i, int beside)
{
    struct target *t = &v->side[i];
    const char *location = v->m->external.files[i].location;
    if (beside && !v->set.side[i].n) return HONE_OK;
    int keep = !beside && is_plain_name(v, location);
    t->name = keep ? hn_strdup(v->m->mem, location) : new_name(v);
    t->path = t->name ? hn_path_join(v->m->mem, v->dir, t->name) : NULL;
    if (!t->path) return hn_nomem(v->err, location, strlen(location));
    if (!v->replace && hn_path_exists(v->m->io, t->path))
        return hn_fail(v->err, HONE_E_USAGE, t->path,
                       "the data file exists already and is not overwritten");
    return keep ? HONE_OK : hn_patch_location(&v->set, v->m, location, t->name, v->err);
}

/* ---- reading back --------------------------------------------------------------------------------------------------- */

struct comparing { /* a sink that wants to be given just these bytes */
    struct hn_sink sink;
    const unsigned char *p;
    size_t n, at;
    int differs;
};

static hone_status compare(struct hn_sink *sink, const void *p, size_t n, hone_error *err)
{
    struct comparing *c = (struct comparing *)sink;
    (void)err;
    if (n > c->n - c->at || memcmp(c->p + c->at, p, n) != 0)
        c->differs = 1;
    else
        c->at += n;
    return HONE_OK;
}

static hone_status differs(struct save *v, const char *path, const char *what)
{
    return hn_fail(v->err, HONE_E_IO, path,
                   "%s: the disk or the memory is faulty, the file is not kept", what);
}

/* The bits that the patch asks for, against the tensor as the new file has it. */
static hone_status compare_tensor(struct save *v, const struct hn_patch *p,
                                  const struct hn_tensor *found)
{
    unsigned char want[4096];
    size_t size = hn_dtype_size(found->dtype), from = hn_dtype_size(p->dtype);
    if (found->dtype != v->m->tensors[p->tensor].t.dtype ||
        found->n != v->m->tensors[p->tensor].t.n)
        return hn_fail(v->err, HONE_E_INTERNAL, v->m->tensors[p->tensor].name,
                       "the tensor changed its form in the file");
    for (int64_t i = 0; i < found->n;) {
        int64_t k = (int64_t)(sizeof want / size) < found->n - i ? (int64_t)(sizeof want / size)
                                                                 : found->n - i;
        hn_convert(want, found->dtype, (const unsigned char *)p->values + (size_t)i * from,
                   p->dtype, k);
        if (memcmp(want, (const unsigned char *)found->data + (size_t)i * size, (size_t)k * size) !=
            0)
            return hn_fail(v->err, HONE_E_INTERNAL, v->m->tensors[p->tensor].name,
                           "the tensor reads back with other values");
        i += k;
    }
    return HONE_OK;
}

static hone_status compare_metas(struct save *v, const Onnx__ModelProto *model)
{
    for (size_t i = 0; i < v->c->n_metas; i++) {
        const struct hn_meta *want = &v->c->metas[i];
        size_t found = 0;
        for (size_t k = 0; k < model->n_metadata_props; k++) {
            const Onnx__StringStringEntryProto *e = model->metadata_props[k];
            if (!e->key || strcmp(e->key, want->key)) continue;
            found += want->value && e->value && strcmp(e->value, want->value) == 0 ? 1 : 2;
        }
        if (found != (want->value ? 1u : 0u))
            return hn_fail(v->err, HONE_E_INTERNAL, want->key,
                           "the metadata entry reads back differently");
    }
    return HONE_OK;
}

/* The same of a list of floats that is a tensor. */
static hone_status compare_floats(struct save *v, const struct hn_patch *p, struct hn_arena *arena,
                                  const struct hn_linears *found)
{
    const size_t at = p->tensor - v->m->scan.n_tensors;
    const struct hn_floats *f = &v->m->linears->floats[at];
    const float *want = hn_floats_written(f, arena, p->values, p->dtype);
    if (!want) return hn_nomem(v->err, f->name, f->n * sizeof *want);
    if (found->n_floats != v->m->linears->n_floats || found->floats[at].n != f->n ||
        memcmp(want, found->floats[at].all, f->n * sizeof *want) != 0)
        return hn_fail(v->err, HONE_E_INTERNAL, f->name,
                       "the attribute reads back with other values");
    return HONE_OK;
}

static hone_status compare_patches(struct save *v, const struct hn_scan *scan,
                                   const struct hn_proto *proto, const struct hn_file *f,
                                   struct hn_arena *arena)
{
    struct hn_external none;
    struct hn_linears linears;
    hn_external_init(&none, v->m->mem, v->m->io, NULL);
    HN_TRY(hn_linear_find(&linears, arena, proto->model, f->p, f->n, v->err));
    for (size_t i = 0; i < v->c->n_patches; i++) {
        const struct hn_patch *p = &v->c->patches[i];
        struct hn_tensor t;
        if (p->tensor >= scan->n_tensors) {
            HN_TRY(compare_floats(v, p, arena, &linears));
            continue;
        }
        if (scan->tensors[p->tensor].is_external) continue; /* compared as part of its data file */
        HN_TRY(hn_onnx_tensor_view(&t, proto->by_id[p->tensor], &none, arena, v->path, v->err));
        HN_TRY(compare_tensor(v, p, &t));
    }
    return compare_metas(v, proto->model);
}

static hone_status understand(struct save *v, const struct hn_file *f)
{
    struct hn_mem *mem = v->m->mem;
    struct hn_scan scan = { 0 };
    struct hn_arena arena;
    struct hn_proto *proto = hn_calloc(mem, 1, sizeof *proto);
    if (!proto) return hn_nomem(v->err, v->path, sizeof *proto);
    hn_arena_init(&arena, mem);
    hone_status st = hn_scan_model(&scan, mem, f->p, f->n, NULL, v->path, v->err);
    if (st == HONE_OK) st = hn_proto_read_model(proto, mem, f->p, f->n, &scan, v->path, v->err);
    if (st == HONE_OK && scan.n_tensors != v->m->scan.n_tensors)
        st = hn_fail(v->err, HONE_E_INTERNAL, v->path, "%zu tensors read back, %zu written",
                     scan.n_tensors, v->m->scan.n_tensors);
    if (st == HONE_OK) st = compare_patches(v, &scan, proto, f, &arena);
    hn_proto_free(proto);
    hn_free(mem, proto);
    hn_scan_free(&scan);
    hn_arena_clear(&arena);
    return st;
}

/* sidecar -1: the model. */
static hone_status read_back(struct save *v, struct hn_atomic *out, int sidecar)
{
    struct hn_file f = { 0 };
    HN_TRY(hn_atomic_prepare(out, v->err));
    HN_TRY(hn_file_open(&f, v->m->io, v->m->mem, out->tmp_path, 0, v->err));
    struct comparing c = { { compare }, f.p, f.n, 0, 0 };
    hone_status st = sidecar < 0 ? write_model(v->m, &v->set, &c.sink, v->err)
                                 : write_sidecar(v->m, &v->set, (size_t)sidecar, &c.sink, v->err);
    if (st == HONE_OK && (c.differs || c.at != c.n))
        st = differs(v, out->path, "the file reads back differently than it was written");
    if (st == HONE_OK && sidecar < 0) st = understand(v, &f);
    hn_file_close(&f);
    return st;
}

/* ---- the save ------------------------------------------------------------------------------------------------------- */

static hone_status write_aside(struct save *v)
{
    const struct hn_onnx *m = v->m;
    int beside = m->external.n && same_folder(v);
    for (size_t i = 0; i < m->external.n; i++) {
        HN_TRY(plan_sidecar(v, i, beside));
        if (!v->side[i].path) continue;
        HN_TRY(hn_atomic_begin_here(&v->side[i].out, m->io, m->mem, v->side[i].path, v->err));
        HN_TRY(write_sidecar(m, &v->set, i, &v->side[i].out.sink, v->err));
        HN_TRY(read_back(v, &v->side[i].out, (int)i));
    }
    HN_TRY(hn_atomic_begin(&v->model, m->io, m->mem, v->path, v->err));
    HN_TRY(write_model(m, &v->set, &v->model.sink, v->err));
    return read_back(v, &v->model, -1);
}

/* Readers look for the data beside the name that they were given, and Hone follows no link there. */
hone_status hn_onnx_check_place(const struct hn_onnx *m, const char *path, hone_error *err)
{
    char *target = NULL;
    if (m->external.n) HN_TRY(hn_path_follow(m->io, m->mem, path, &target, err));
    if (!target) return HONE_OK;
    hone_status st =
        hn_hint(err,
                hn_fail(err, HONE_E_IO, path,
                        "is a link, and a model with external data is not written through one"),
                "-o with the file that it points to, where the data are written beside it");
    hn_free(m->mem, target);
    return st;
}

static hone_status save(struct save *v)
{
    if (!v->replace && hn_path_exists(v->m->io, v->path))
        return hn_fail(v->err, HONE_E_USAGE, v->path,
                       "the file exists already and is not overwritten");
    HN_TRY(hn_onnx_check_place(v->m, v->path, v->err));
    v->dir = hn_path_dir(v->m->mem, v->path);
    v->side = hn_calloc(v->m->mem, v->m->external.n + 1, sizeof *v->side);
    if (!v->dir || !v->side) return hn_nomem(v->err, v->path, 0);
    HN_TRY(hn_patch_build(&v->set, v->m, v->c, 0, v->err));
    HN_TRY(write_aside(v));
    for (size_t i = 0; i < v->m->external.n; i++)
        if (v->side[i].path) HN_TRY(hn_atomic_commit(&v->side[i].out, v->err));
    return hn_atomic_commit(&v->model, v->err);
}

hone_status hn_onnx_save(const struct hn_onnx *m, const struct hn_changes *c, const char *path,
                         int replace, hone_error *err)
{
    struct save v = {
        .m = m, .c = c ? c : &no_changes, .path = path, .replace = replace, .err = err
    };
    hone_status st = save(&v);
    for (size_t i = 0; i < m->external.n && v.side; i++) {
        hn_atomic_abort(&v.side[i].out);
        hn_free(m->mem, v.side[i].name);
        hn_free(m->mem, v.side[i].path);
    }
    hn_atomic_abort(&v.model);
    hn_free(m->mem, v.side);
    hn_free(m->mem, v.dir);
    hn_patch_free(&v.set);
    return st;
}
