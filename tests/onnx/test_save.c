/* SPDX-License-Identifier: MIT
 *
 * Writing: nothing changed is the same bytes; changed tensors change their own bytes and nothing else, whatever the
 * storage; metadata is replaced; data files go where they should; a failed save leaves what was there. */
#include "onnx/edit.h"
#include "onnx/save.h"
#include "tests/fault.h"
#include "tests/onnx/build.h"
#include <math.h>
#include <sys/stat.h>

static hone_error err;
static char folder[64];

static void make_folder(void)
{
    if (!test_mem.alloc) hn_mem_init(&test_mem, 0);
    strcpy(folder, "/tmp/hone-save-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
    ck_assert_int_eq(system(cmd), 0);
}

static const char *in_folder(const char *name)
{
    static char text[4][160];
    static int k;
    char *p = text[k++ & 3];
    snprintf(p, 160, "%s/%s", folder, name);
    return p;
}

static struct hn_onnx *open_bytes(const struct hn_buffer *b)
{
    struct hn_onnx *m;
    HN_OK(hn_onnx_open_bytes(&m, &test_mem, &hn_io_system, b->p, b->n, NULL, "t", &err), err);
    return m;
}

static void written(const struct hn_onnx *m, const struct hn_changes *c, struct hn_buffer *out)
{
    *out = b_new();
    HN_OK(hn_onnx_write(m, c, 0, &out->sink, &err), err);
}

/* Moves every element by one unit in the last place of the tensor's type. */
static void *moved(const struct hn_tensor *t, enum hn_dtype *as)
{
    *as = t->dtype == HN_F64 ? HN_F64 : HN_F32;
    size_t size = hn_dtype_size(*as);
    char *v = calloc((size_t)t->n + 1, size);
    hn_convert(v, *as, t->data, t->dtype, t->n);
    for (int64_t i = 0; i < t->n; i++) {
        float f = ((float *)v)[i];
        if (*as == HN_F64)
            ((double *)v)[i] = nextafter(((double *)v)[i], HUGE_VAL);
        else if (t->dtype == HN_F32)
            ((float *)v)[i] = nextafterf(f, INFINITY);
        else if (t->dtype == HN_F16)
            ((float *)v)[i] = hn_half_to_float((uint16_t)(hn_float_to_half(f) ^ 1));
        else
            ((float *)v)[i] = hn_bf16_to_float((uint16_t)(hn_float_to_bf16(f) ^ 1));
    }
    return v;
}

/* Patches of all float tensors; returns how many. */
static size_t move_all(const struct hn_onnx *m, struct hn_patch *p)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct hn_tensor *t = &m->tensors[i].t;
        if (!t->data || !hn_dtype_is_float(t->dtype) || !t->n) continue;
        p[n].tensor = (uint32_t)i;
        p[n].values = moved(t, &p[n].dtype);
        n++;
    }
    return n;
}

static void free_patches(struct hn_patch *p, size_t n)
{
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)p[i].values);
}

/* Bytes that differ must lie in a tensor's body. */
static void differs_in_tensors_only(const struct hn_onnx *m, const struct hn_buffer *out,
                                    const char *what)
{
    ck_assert_uint_eq(out->n, m->n);
    size_t t = 0, differing = 0;
    for (size_t at = 0; at < m->n; at++) {
        while (t + 1 < m->n_tensors && m->scan.frames[m->scan.tensors[t].frame].end <= at) t++;
        if (m->p[at] == (unsigned char)out->p[at]) continue;
        const struct hn_scan_tensor *s = &m->scan.tensors[t];
        const struct hn_frame *f = &m->scan.frames[s->frame];
        size_t from = s->has_raw ? s->raw : f->body, to = s->has_raw ? s->raw + s->n_raw : f->end;
        if (at < from || at >= to)
            ck_abort_msg("%s: byte %zu", what, at); /* an assert a byte would be slow */
        differing++;
    }
    ck_assert_msg(differing > 0, "%s: nothing changed", what);
}

static void same_tensor(const struct hn_onnx *m, const struct hn_patch *p)
{
    const struct hn_tensor *t = &m->tensors[p->tensor].t;
    size_t bytes = (size_t)t->n * hn_dtype_size(t->dtype);
    char *want = malloc(bytes + 1);
    hn_convert(want, t->dtype, p->values, p->dtype, t->n);
    ck_assert_msg(memcmp(want, t->data, bytes) == 0, "tensor %u '%s'", p->tensor,
                  m->tensors[p->tensor].name);
    free(want);
}

static void goes_through_unchanged(const glob_t *g)
{
    for (size_t i = 0; i < g->gl_pathc; i++) {
        struct hn_onnx *m;
        struct hn_buffer out;
        HN_OK(hn_onnx_open(&m, &test_mem, &hn_io_system, g->gl_pathv[i], &err), err);
        written(m, NULL, &out);
        ck_assert_msg(out.n == m->n && memcmp(out.p, m->p, m->n) == 0, "%s", g->gl_pathv[i]);
        hn_buffer_free(&out);
        hn_onnx_close(m);
    }
    ck_assert_uint_eq(atomic_load(&test_mem.used), 0);
}

/* Returns how many tensors there are. */
static size_t moves_by_one_ulp(const glob_t *g)
{
    size_t tensors = 0;
    for (size_t i = 0; i < g->gl_pathc; i++) {
        struct hn_onnx *m, *back;
        struct hn_buffer out;
        struct hn_patch p[1024];
        HN_OK(hn_onnx_open(&m, &test_mem, &hn_io_system, g->gl_pathv[i], &err), err);
        struct hn_changes c = { p, move_all(m, p), NULL, 0 };
        if (!m->external.n && c.n_patches) {
            written(m, &c, &out);
            differs_in_tensors_only(m, &out, g->gl_pathv[i]);
            back = open_bytes(&out);
            for (size_t k = 0; k < c.n_patches; k++) same_tensor(back, &p[k]);
            hn_onnx_close(back);
            hn_buffer_free(&out);
        }
        tensors += c.n_patches;
        free_patches(p, c.n_patches);
        hn_onnx_close(m);
    }
    return tensors;
}

START_TEST(zoo_goes_through_unchanged)
{
    glob_t g;
    ck_assert_uint_gt(zoo_files(&g), 80);
    goes_through_unchanged(&g);
    globfree(&g);
}
END_TEST

START_TEST(zoo_moved_by_one_ulp)
{
    glob_t g;
    ck_assert_uint_gt(zoo_files(&g), 80);
    ck_assert_uint_gt(moves_by_one_ulp(&g), 300);
    globfree(&g);
}
END_TEST

/* tests/data/functions: tensors in initializers, in bodies, in attributes of calls. */
START_TEST(functions_are_kept)
{
    glob_t g;
    ck_assert_int_eq(glob(HN_SOURCE_DIR "/tests/data/functions/*.onnx", 0, NULL, &g), 0);
    ck_assert_uint_ge(g.gl_pathc, 15);
    goes_through_unchanged(&g);
    ck_assert_uint_gt(moves_by_one_ulp(&g), 40);
    globfree(&g);
}
END_TEST

/* One tensor of type `type`, its values in a typed field. */
static struct hn_buffer typed_model(int type, uint32_t field, int form)
{
    struct hn_buffer g = b_new(), t = b_new(), packed = b_new();
    b_sub(&g, G_NODE, b_node("n", "Add", "x,w", "y"));
    b_str(&t, T_NAME, "w");
    for (int i = 0; i < 5; i++) {
        float f = (float)i - 2.5f;
        double d = (double)f;
        unsigned char v[16];
        size_t k = 0;
        if (field == T_FLOATS) memcpy(v, &f, k = 4);
        if (field == T_DOUBLES) memcpy(v, &d, k = 8);
        if (field == T_INT32) {
            const int32_t whole = i == 1 && (type == HN_I8 || type == HN_I32) ? -7 : 20 * i;
            k = hn_varint_put(v, type == HN_F16    ? hn_float_to_half(f)
                                 : type == HN_BF16 ? hn_float_to_bf16(f)
                                                   : (uint64_t)(int64_t)whole);
        }
        int packed_here = form == 0 || (form == 2 && i < 3);
        if (packed_here) b_raw(&packed, v, k);
        if (form == 2 && i == 2) {
            b_bytes(&t, field, packed.p, packed.n);
            b_int(&t, T_TYPE, type);
        }
        if (!packed_here) {
            unsigned char head = (unsigned char)(field << 3 | (field == T_FLOATS    ? HN_WIRE_32
                                                               : field == T_DOUBLES ? HN_WIRE_64
                                                                                    : 0));
            b_raw(&t, &head, 1);
            b_raw(&t, v, k);
        }
    }
    if (form == 0) b_bytes(&t, field, packed.p, packed.n);
    hn_buffer_free(&packed);
    b_int(&t, T_DIMS, 5);
    if (form != 2) b_int(&t, T_TYPE, type);
    b_sub(&g, G_INIT, t);
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", type, "N,5"));
    b_sub(&g, G_OUTPUT, b_info("y", type, "N,5"));
    return b_model(8, 17, g);
}

START_TEST(typed_fields_are_patched)
{
    static const struct {
        int type;
        uint32_t field;
        double first; /* element 1 */
    } kinds[] = { { HN_F32, T_FLOATS, -1.5 }, { HN_F64, T_DOUBLES, -1.5 },
                  { HN_F16, T_INT32, -1.5 },  { HN_BF16, T_INT32, -1.5 },
                  { HN_I8, T_INT32, -7 },     { HN_U8, T_INT32, 20 },
                  { HN_U16, T_INT32, 20 },    { HN_I32, T_INT32, -7 } };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int form = 0; form < 3; form++) { /* packed, single values, both */
            struct hn_buffer b = typed_model(kinds[k].type, kinds[k].field, form), out;
            struct hn_onnx *m = open_bytes(&b), *back;
            ck_assert_int_eq(m->tensors[0].t.n, 5);
            ck_assert_double_eq(hn_tensor_f64(&m->tensors[0].t, 1), kinds[k].first);
            float v[5] = { 100, -0.25f, 3, 1e-3f, 65504 };
            if (kinds[k].type == HN_I8 || kinds[k].type == HN_I32) v[1] = -111;
            struct hn_patch p = { 0, HN_F32, v };
            struct hn_changes c = { &p, 1, NULL, 0 };
            written(m, &c, &out);
            if (kinds[k].field != T_INT32) differs_in_tensors_only(m, &out, "typed");
            back = open_bytes(&out);
            same_tensor(back, &p);
            hn_onnx_close(back);
            hn_onnx_close(m);
            hn_buffer_free(&out);
            hn_buffer_free(&b);
        }
}
END_TEST

START_TEST(metadata_is_replaced_not_doubled)
{
    struct hn_buffer b = b_mlp(), once, twice, gone;
    b_sub(&b, M_META, b_entry("hone.seed", "1"));
    b_sub(&b, M_META, b_entry("other", "kept"));
    b_sub(&b, M_META, b_entry("hone.seed", "2"));
    struct hn_meta meta[2] = { { "hone.seed", "3" }, { "hone.run", "a\xc3\xa4" } };
    struct hn_changes c = { NULL, 0, meta, 2 };
    struct hn_onnx *m = open_bytes(&b);
    ck_assert_str_eq(hn_onnx_meta(m, "hone.seed"), "1");
    written(m, &c, &once);
    hn_onnx_close(m);
    m = open_bytes(&once);
    ck_assert_uint_eq(m->scan.n_metas, 3);
    ck_assert_str_eq(hn_onnx_meta(m, "hone.seed"), "3");
    ck_assert_str_eq(hn_onnx_meta(m, "hone.run"), "a\xc3\xa4");
    ck_assert_str_eq(hn_onnx_meta(m, "other"), "kept");
    written(m, &c, &twice);
    ck_assert_uint_eq(twice.n, once.n);
    ck_assert_int_eq(memcmp(twice.p, once.p, once.n), 0);
    meta[0].value = NULL;
    c.n_metas = 1;
    written(m, &c, &gone);
    hn_onnx_close(m);
    m = open_bytes(&gone);
    ck_assert_ptr_null(hn_onnx_meta(m, "hone.seed"));
    ck_assert_uint_eq(m->scan.n_metas, 2);
    hn_onnx_close(m);
    hn_buffer_free(&b);
    hn_buffer_free(&once);
    hn_buffer_free(&twice);
    hn_buffer_free(&gone);
}
END_TEST

START_TEST(unfit_patches_are_refused)
{
    struct hn_buffer b = b_mlp(), out = b_new();
    struct hn_onnx *m = open_bytes(&b);
    float v[6] = { 0 };
    struct hn_patch p[2] = { { 0, HN_F32, v }, { 0, HN_F32, v } };
    struct hn_changes c = { p, 2, NULL, 0 };
    ck_assert_int_eq(hn_onnx_write(m, &c, 0, &out.sink, &err), HONE_E_INTERNAL);
    p[1].tensor = 4;
    ck_assert_int_eq(hn_onnx_write(m, &c, 0, &out.sink, &err), HONE_E_INTERNAL);
    hn_onnx_close(m);
    hn_buffer_free(&b);
    hn_buffer_free(&out);
}
END_TEST

/* ---- external data -------------------------------------------------------------------------------------------------- */

/* w in side.data at 3 (unaligned), v there at 40 sharing its bytes with u when `shared`; b inline. */
static struct hn_buffer external_model(int shared)
{
    static const char *const at[3] = { "3", "40", "40" };
    struct hn_buffer g = b_new();
    float b[3] = { 1, 2, 3 };
    b_sub(&g, G_NODE, b_node("n", "Gemm", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_node("n2", "Gemm", "h,v,u", "y"));
    for (int i = 0; i < (shared ? 3 : 2); i++) {
        struct hn_buffer t = b_new();
        b_int(&t, T_DIMS, 3);
        if (i < 2) b_int(&t, T_DIMS, 2 + i);
        b_int(&t, T_TYPE, 1);
        b_str(&t, T_NAME, i == 0 ? "w" : i == 1 ? "v" : "u");
        b_sub(&t, T_EXTERNAL, b_entry("location", "side.data"));
        b_sub(&t, T_EXTERNAL, b_entry("offset", at[i]));
        b_sub(&t, T_EXTERNAL, b_entry("length", i == 0 ? "24" : i == 1 ? "36" : "12"));
        b_int(&t, T_LOCATION, 1);
        b_sub(&g, G_INIT, t);
    }
    b_sub(&g, G_INIT, b_tensor("b", 1, DIMS(3), b, sizeof b));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,3"));
    return b_model(8, 17, g);
}

static void put_external(const char *name, int shared)
{
    struct hn_buffer b = external_model(shared);
    char data[80];
    for (int i = 0; i < 80; i++) data[i] = (char)i;
    for (int i = 0; i < 6; i++) {
        float f = (float)i;
        memcpy(data + 3 + 4 * i, &f, 4);
    }
    for (int i = 0; i < 9; i++) {
        float f = 10 + (float)i;
        memcpy(data + 40 + 4 * i, &f, 4);
    }
    write_whole(in_folder(name), b.p, b.n);
    write_whole(in_folder("side.data"), data, sizeof data);
    hn_buffer_free(&b);
}

static struct hn_onnx *open_file(const char *path)
{
    struct hn_onnx *m;
    HN_OK(hn_onnx_open(&m, &test_mem, &hn_io_system, path, &err), err);
    return m;
}

static void same_file(const char *a, const char *b)
{
    size_t n, k;
    char *p = read_whole(a, &n), *q = read_whole(b, &k);
    ck_assert_msg(p && q && n == k && memcmp(p, q, n) == 0, "%s and %s", a, b);
    free(p);
    free(q);
}

START_TEST(sidecar_keeps_its_name_elsewhere)
{
    make_folder();
    put_external("m.onnx", 0);
    mkdir(in_folder("out"), 0700);
    struct hn_onnx *m = open_file(in_folder("m.onnx")), *back;
    HN_OK(hn_onnx_save(m, NULL, in_folder("out/m2.onnx"), 0, &err), err);
    same_file(in_folder("m.onnx"), in_folder("out/m2.onnx"));
    same_file(in_folder("side.data"), in_folder("out/side.data"));
    ck_assert_int_eq(hn_onnx_save(m, NULL, in_folder("out/m3.onnx"), 0, &err),
                     HONE_E_USAGE); /* side.data is there */

    struct hn_patch p[8];
    struct hn_changes c = { p, move_all(m, p), NULL, 0 };
    ck_assert_uint_eq(c.n_patches, 3);
    HN_OK(hn_onnx_save(m, &c, in_folder("out/m2.onnx"), 1, &err), err);
    back = open_file(in_folder("out/m2.onnx"));
    for (size_t i = 0; i < 3; i++) same_tensor(back, &p[i]);
    ck_assert_str_eq(back->external.files[0].location, "side.data");
    const unsigned char *side = back->external.files[0].file.p;
    ck_assert_uint_eq(back->external.files[0].file.n, 80);
    ck_assert(side[0] == 0 && side[30] == 30 && side[78] == 78); /* bytes of nobody are kept */
    hn_onnx_close(back);
    free_patches(p, c.n_patches);
    hn_onnx_close(m);
    remove_folder();
}
END_TEST

START_TEST(sidecar_is_renamed_beside_its_source)
{
    make_folder();
    put_external("m.onnx", 0);
    struct hn_onnx *m = open_file(in_folder("m.onnx")), *back;
    HN_OK(hn_onnx_save(m, NULL, in_folder("copy.onnx"), 0, &err),
          err); /* nothing changed: the same reference */
    same_file(in_folder("m.onnx"), in_folder("copy.onnx"));
    ck_assert_int_ne(access(in_folder("copy.onnx.data"), F_OK), 0);

    struct hn_patch p[8];
    struct hn_meta meta = { "hone.x", "1" };
    struct hn_changes c = { p, move_all(m, p), &meta, 1 };
    HN_OK(hn_onnx_save(m, &c, in_folder("new.onnx"), 0, &err), err);
    back = open_file(in_folder("new.onnx"));
    ck_assert_str_eq(back->external.files[0].location, "new.onnx.data");
    for (size_t i = 0; i < 3; i++) same_tensor(back, &p[i]);
    ck_assert_str_eq(hn_onnx_meta(back, "hone.x"), "1");
    hn_onnx_close(back);

    HN_OK(hn_onnx_save(m, &c, in_folder("m.onnx"), 1, &err),
          err); /* over itself: its data file is not touched */
    back = open_file(in_folder("m.onnx"));
    ck_assert_str_eq(back->external.files[0].location, "m.onnx.data");
    for (size_t i = 0; i < 3; i++) same_tensor(back, &p[i]);
    HN_OK(hn_onnx_save(back, &c, in_folder("m.onnx"), 1, &err), err);
    hn_onnx_close(back);
    back = open_file(in_folder("m.onnx"));
    ck_assert_str_eq(back->external.files[0].location, "m.onnx.1.data");
    hn_onnx_close(back);
    free_patches(p, c.n_patches);
    hn_onnx_close(m);
    remove_folder();
}
END_TEST

START_TEST(shared_ranges_become_inline)
{
    make_folder();
    put_external("m.onnx", 1);
    struct hn_onnx *m = open_file(in_folder("m.onnx")), *back;
    float v[9] = { 9, 8, 7, 6, 5, 4, 3, 2, 1 };
    struct hn_patch p = { 1, HN_F32, v };
    struct hn_changes c = { &p, 1, NULL, 0 };
    HN_OK(hn_onnx_save(m, &c, in_folder("new.onnx"), 0, &err), err);
    back = open_file(in_folder("new.onnx"));
    same_tensor(back, &p);
    ck_assert_int_eq(back->tensors[1].sidecar, -1);
    ck_assert(hn_tensor_f64(&back->tensors[2].t, 0) == 10); /* u still has the old bytes */
    hn_onnx_close(back);

    struct hn_buffer out = b_new(); /* everything inline */
    HN_OK(hn_onnx_write(m, &c, 1, &out.sink, &err), err);
    back = open_bytes(&out);
    same_tensor(back, &p);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(back->tensors[i].sidecar, -1);
        ck_assert(hn_tensor_f64(&back->tensors[i].t, 1) ==
                  (i == 1 ? 8 : hn_tensor_f64(&m->tensors[i].t, 1)));
    }
    hn_onnx_close(back);
    hn_buffer_free(&out);
    out = b_new();
    p.tensor = 0;
    ck_assert_int_eq(hn_onnx_write(m, &c, 0, &out.sink, &err), HONE_E_UNSUPPORTED);
    hn_buffer_free(&out);
    hn_onnx_close(m);
    remove_folder();
}
END_TEST

START_TEST(edits_of_external_models)
{
    make_folder();
    struct hn_buffer g = b_new(), b;
    float s[3] = { 2, 2, 2 };
    b_sub(&g, G_NODE, b_node("n", "Gemm", "x,w,b", "h"));
    b_sub(&g, G_NODE, b_node("bn", "BatchNormalization", "h,s,s,s,s", "y"));
    for (int i = 0; i < 2; i++) {
        struct hn_buffer t = b_new();
        b_int(&t, T_DIMS, i ? 2 : 3);
        if (i) b_int(&t, T_DIMS, 3);
        b_int(&t, T_TYPE, 1);
        b_str(&t, T_NAME, i ? "w" : "b");
        b_sub(&t, T_EXTERNAL, b_entry("location", "side.data"));
        b_int(&t, T_LOCATION, 1);
        b_sub(&t, T_EXTERNAL, b_entry("offset", i ? "12" : "0"));
        b_sub(&g, G_INIT, t);
    }
    b_sub(&g, G_INIT, b_tensor("s", 1, DIMS(3), s, sizeof s));
    b_str(&g, G_NAME, "g");
    b_sub(&g, G_INPUT, b_info("x", 1, "N,2"));
    b_sub(&g, G_OUTPUT, b_info("y", 1, "N,3"));
    b = b_model(8, 15, g);
    float data[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    write_whole(in_folder("m.onnx"), b.p, b.n);
    write_whole(in_folder("side.data"), data, sizeof data);
    hn_buffer_free(&b);
    struct hn_onnx *m = open_file(in_folder("m.onnx")), *e;
    ck_assert(hn_tensor_f64(&m->tensors[1].t, 5) == 9);
    struct hn_edit_line line = { "batchnorm remove", NULL, 0 };
    HN_OK(hn_onnx_edit(m, &line, 1, &e, &err), err);
    ck_assert_uint_eq(e->external.n, 0);
    ck_assert_uint_eq(e->n_tensors, 2); /* folded, nothing else is left */
    hn_onnx_close(e);
    line.text = "untie b n 2"; /* shares the range, so a changed one is taken into the file */
    HN_OK(hn_onnx_edit(m, &line, 1, &e, &err), err);
    ck_assert_uint_eq(e->external.n, 1);
    ck_assert_uint_eq(e->n_tensors, 4);
    float v[3] = { 7, 7, 7 };
    struct hn_patch p = { 3, HN_F32, v };
    struct hn_changes c = { &p, 1, NULL, 0 };
    HN_OK(hn_onnx_save(e, &c, in_folder("e.onnx"), 0, &err), err);
    hn_onnx_close(e);
    e = open_file(in_folder("e.onnx"));
    ck_assert_str_eq(e->tensors[3].name, "b_1");
    ck_assert(hn_tensor_f64(&e->tensors[3].t, 0) == 7 && hn_tensor_f64(&e->tensors[0].t, 0) == 1);
    hn_onnx_close(e);
    hn_onnx_close(m);
    remove_folder();
}
END_TEST

START_TEST(hidden_names_do_not_travel)
{
    make_folder();
    put_external("m.onnx", 0);
    size_t n;
    char *p = read_whole(in_folder("m.onnx"), &n);
    for (size_t i = 0; i + 9 <= n; i++)
        if (memcmp(p + i, "side.data", 9) == 0) memcpy(p + i, ".profile1", 9);
    write_whole(in_folder("m.onnx"), p, n);
    free(p);
    ck_assert_int_eq(rename(in_folder("side.data"), in_folder(".profile1")), 0);
    mkdir(in_folder("out"), 0700);
    struct hn_onnx *m = open_file(in_folder("m.onnx")), *back;
    HN_OK(hn_onnx_save(m, NULL, in_folder("out/o.onnx"), 0, &err), err);
    ck_assert_int_ne(access(in_folder("out/.profile1"), F_OK), 0);
    back = open_file(in_folder("out/o.onnx"));
    ck_assert_str_eq(back->external.files[0].location, "o.onnx.data");
    hn_onnx_close(back);
    hn_onnx_close(m);
    remove_folder();
}
END_TEST

/* ---- failures ------------------------------------------------------------------------------------------------------- */

/* Opens m.onnx, moves everything and saves it as out.onnx (data file beside it). */
static hone_status job(struct hn_fault *f, int replace)
{
    struct hn_onnx *m;
    hone_error e;
    hone_status st = hn_onnx_open(&m, &f->mem, &f->io, in_folder("m.onnx"), &e);
    if (st != HONE_OK) return st;
    struct hn_patch p[8];
    struct hn_meta meta = { "hone.x", "1" };
    struct hn_changes c = { p, move_all(m, p), &meta, 1 };
    st = hn_onnx_save(m, &c, in_folder("out.onnx"), replace, &e);
    free_patches(p, c.n_patches);
    hn_onnx_close(m);
    return st;
}

START_TEST(every_allocation_may_fail)
{
    make_folder();
    put_external("m.onnx", 0);
    struct hn_fault f;
    for (long n = 1;; n++) {
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = job(&f, 1);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!atomic_load(&f.mem_fail.hits)) {
            ck_assert_int_eq(st, HONE_OK);
            ck_assert_int_gt(n, 30);
            break;
        }
        ck_assert_msg(st == HONE_E_NOMEM, "allocation %ld: %d", n, (int)st);
        ck_assert_int_ne(access(in_folder("out.onnx"), F_OK), 0);
    }
    remove_folder();
}
END_TEST

START_TEST(every_io_call_may_fail)
{
    make_folder();
    put_external("m.onnx", 0);
    struct hn_fault f;
    hn_fault_init(&f);
    ck_assert_int_eq(job(&f, 1), HONE_OK);
    size_t n_old, n_now;
    char *old = read_whole(in_folder("out.onnx"), &n_old);
    for (int persistent = 0; persistent < 2; persistent++)
        for (long n = 1;; n++) {
            hn_fault_init(&f);
            f.io_fail.at = n;
            f.io_fail.code = ENOSPC;
            f.io_fail.persistent = persistent;
            hone_status st = job(&f, 1);
            ck_assert_int_eq(hn_fault_leaks(&f), 0);
            char *now = read_whole(in_folder("out.onnx"), &n_now);
            ck_assert_msg(now && n_now == n_old && memcmp(now, old, n_old) == 0, "call %ld", n);
            free(now);
            if (!atomic_load(&f.io_fail.hits)) {
                ck_assert_int_eq(st, HONE_OK);
                ck_assert_int_gt(n, 20);
                break;
            }
            ck_assert_msg(st == HONE_E_IO || st == HONE_OK, "call %ld: %d", n, (int)st);
        }
    free(old);
    hn_fault_init(&f);
    f.short_writes = 7;
    f.interrupt = 1;
    ck_assert_int_eq(job(&f, 1), HONE_OK);
    remove_folder();
}
END_TEST

START_TEST(a_byte_that_the_disk_changes_is_noticed)
{
    struct hn_fault f;
    size_t n_old, n_now;
    make_folder();
    put_external("m.onnx", 0);
    hn_fault_init(&f);
    ck_assert_int_eq(job(&f, 1), HONE_OK);
    long bytes = atomic_load(&f.bytes);
    char *old = read_whole(in_folder("out.onnx"), &n_old);
    ck_assert_int_gt(bytes, (long)n_old); /* the data file as well */
    for (long k = 1; k <= bytes; k++) {
        hn_fault_init(&f);
        f.wrong_byte = k;
        ck_assert_msg(job(&f, 1) == HONE_E_IO, "byte %ld of %ld", k, bytes);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        char *now = read_whole(in_folder("out.onnx"), &n_now);
        ck_assert(n_now == n_old && memcmp(now, old, n_old) == 0);
        free(now);
    }
    free(old);
    remove_folder();
}
END_TEST

START_TEST(existing_files_are_refused)
{
    make_folder();
    put_external("m.onnx", 0);
    write_whole(in_folder("out.onnx"), "old", 3);
    struct hn_fault f;
    hn_fault_init(&f);
    ck_assert_int_eq(job(&f, 0), HONE_E_USAGE);
    size_t n;
    char *p = read_whole(in_folder("out.onnx"), &n);
    ck_assert(n == 3 && memcmp(p, "old", 3) == 0);
    free(p);
    remove_folder();
}
END_TEST

static void add_zoo_tests(TCase *tc)
{
    if (access(ZOO, F_OK) != 0) {
        printf("note: the model zoo is absent, its tests are left out\n");
        return;
    }
    tcase_add_test(tc, zoo_goes_through_unchanged);
    tcase_add_test(tc, zoo_moved_by_one_ulp);
}

HN_TEST_MAIN("save", hn_mem_init(&test_mem, 0); add_zoo_tests(tc);
             tcase_add_test(tc, functions_are_kept); tcase_add_test(tc, typed_fields_are_patched);
             tcase_add_test(tc, metadata_is_replaced_not_doubled);
             tcase_add_test(tc, unfit_patches_are_refused);
             tcase_add_test(tc, sidecar_keeps_its_name_elsewhere);
             tcase_add_test(tc, sidecar_is_renamed_beside_its_source);
             tcase_add_test(tc, shared_ranges_become_inline);
             tcase_add_test(tc, hidden_names_do_not_travel);
             tcase_add_test(tc, edits_of_external_models);
             tcase_add_test(tc, every_allocation_may_fail);
             tcase_add_test(tc, every_io_call_may_fail);
             tcase_add_test(tc, a_byte_that_the_disk_changes_is_noticed);
             tcase_add_test(tc, existing_files_are_refused);)
