/* SPDX-License-Identifier: MIT
 *
 * The bijection over real models: written without change they are the same bytes; every trained
 * number and statistic moved by one ulp, written and read again gives the same slab, and the
 * bytes that differ lie inside tensors. What describe says of three hard files is recorded;
 * HONE_RECORD=1 in the environment writes the records anew. */
#include "tests/plugin/fixture.h"
#include <math.h>

static glob_t zoo;
static int has_sidecar(hone_model *m) { return hn_model_onnx(m)->external.n > 0; }

/* Files that must load; some of the zoo have no weights at all or are made to be refused. */
static hone_model *load(const char *path)
{
    hone_model *m = NULL;
    hone_status st = hone_model_load(ctx, path, &m, &err);
    ck_assert_msg(st == HONE_OK, "%s: %s: %s", path, err.where, err.text);
    return m;
}

START_TEST(unchanged_is_the_same_bytes)
{
    const char *path = zoo.gl_pathv[_i];
    hone_model *m = load(path);
    const struct hn_onnx *o = hn_model_onnx(m);
    size_t n = 0;
    HN_OK(hone_model_save(m, scratch("copy.onnx"), NULL, &err), err);
    char *copy = scratch_read("copy.onnx", &n);
    ck_assert_msg(n == o->n && memcmp(copy, o->p, n) == 0, "%s changed", path);
    for (size_t i = 0; i < o->external.n; i++) {
        char *side = scratch_read(o->external.files[i].location, &n);
        ck_assert_msg(side && n == o->external.files[i].file.n &&
                          memcmp(side, o->external.files[i].file.p, n) == 0,
                      "%s: data changed", path);
        free(side);
    }
    free(copy);
    hone_model_destroy(m);
}
END_TEST

/* Numbers of a half type, that of the file: their last bit is turned over. */
static void turn_last_bits(const struct hn_program *p, const struct hn_param *q, void *w)
{
    uint16_t bits;
    for (size_t k = q->off; k < q->off + q->n; k++) {
        void *x = (char *)w + k * elem_of(p);
        hn_convert(&bits, q->init->dtype, x, p->dtype, 1);
        bits ^= 1;
        hn_convert(x, p->dtype, &bits, q->init->dtype, 1);
    }
}

static int one_ulp_up(const struct hn_program *p, void *w)
{
    int moved = 0;
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        if (!(q->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE)) || q->tensor_id < 0) continue;
        moved++;
        if (hn_dtype_size(q->init->dtype) == 2) {
            turn_last_bits(p, q, w);
            continue;
        }
        for (size_t k = q->off; k < q->off + q->n; k++) {
            if (p->dtype == HN_F64)
                ((double *)w)[k] = nextafter(((double *)w)[k], HUGE_VAL);
            else
                ((float *)w)[k] = nextafterf(((float *)w)[k], HUGE_VALF);
        }
    }
    return moved;
}

/* Every differing byte is inside one of the file's tensors. */
static void differ_in_tensors(const char *path, const struct hn_buffer *a,
                              const struct hn_buffer *b)
{
    struct hn_scan scan = { 0 };
    ck_assert_msg(a->n == b->n, "%s: %zu bytes became %zu", path, a->n, b->n);
    HN_OK(hn_scan_model(&scan, &test_mem, (const unsigned char *)a->p, a->n, NULL, path, &err),
          err);
    unsigned char *inside = calloc(a->n, 1);
    for (size_t i = 0; i < scan.n_tensors; i++) {
        const struct hn_frame *f = &scan.frames[scan.tensors[i].frame];
        memset(inside + f->body, 1, f->end - f->body);
    }
    size_t i = 0;
    while (i < a->n && (a->p[i] == b->p[i] || inside[i])) i++;
    ck_assert_msg(i == a->n, "%s: byte %zu differs outside of tensors", path, i);
    free(inside);
    hn_scan_free(&scan);
}

START_TEST(one_ulp_comes_back)
{
    const char *path = zoo.gl_pathv[_i];
    hone_model *m = load(path), *again;
    if (hone_model_check(m, 1, &err) != HONE_OK) { /* its reason is the importer's test */
        hone_model_destroy(m);
        return;
    }
    HN_OK(hn_model_prepare_training(m, NULL, &err), err);
    struct hn_buffer before = bytes_of(m), after;
    struct hn_program *p = lower_all(m), *q;
    void *w = slab_of(m, p), *v;
    ck_assert_int_gt(one_ulp_up(p, w), 0);
    HN_OK(hn_model_put_weights(m, p, w, elem_of(p), &err), err);
    HN_OK(hone_model_save(m, scratch("moved.onnx"), NULL, &err), err);
    again = load(scratch("moved.onnx"));
    q = lower_all(again);
    v = slab_of(again, q);
    ck_assert_uint_eq(p->n_slab, q->n_slab);
    for (int i = 0; i < p->n_params; i++)
        ck_assert_msg(memcmp((char *)v + p->params[i].off * elem_of(p),
                             (char *)w + p->params[i].off * elem_of(p),
                             p->params[i].n * elem_of(p)) == 0,
                      "%s: %s reads back differently", path, p->params[i].name);
    after = bytes_of(m);
    if (!has_sidecar(m)) differ_in_tensors(path, &before, &after);
    free(w);
    free(v);
    hn_program_destroy(p, &ctx->mem);
    hn_program_destroy(q, &ctx->mem);
    hn_buffer_free(&before);
    hn_buffer_free(&after);
    hone_model_destroy(again);
    hone_model_destroy(m);
}
END_TEST

/* ---- golden descriptions --------------------------------------------------------------------- */

static const char *const golden[] = { "unitree_policy", "acasxu_matlab_opset8",
                                      "lcbench_surrogate_opset13" };
enum { N_GOLDEN = sizeof golden / sizeof *golden };

START_TEST(descriptions_are_as_recorded)
{
    char path[600];
    size_t n = 0;
    hone_result *r;
    snprintf(path, sizeof path, ZOO "/wild/%s.onnx", golden[_i]);
    hone_model *m = load(path);
    HN_OK(hone_model_describe(m, &r, &err), err);
    struct hn_buffer b = b_new();
    HN_OK(hone_result_json(r, 2, into_buffer, &b, &err), err);
    snprintf(path, sizeof path, HN_SOURCE_DIR "/tests/plugin/golden/%s.json", golden[_i]);
    if (getenv("HONE_RECORD")) write_whole(path, b.p, b.n);
    char *want = read_whole(path, &n);
    ck_assert_msg(want != NULL, "%s is missing", path);
    size_t line = 1, i = 0;
    while (i < n && i < b.n && want[i] == b.p[i]) line += want[i++] == '\n';
    ck_assert_msg(i == n && i == b.n, "%s, line %zu: found\n%.200s", path, line, b.p + i);
    free(want);
    hn_buffer_free(&b);
    hone_result_destroy(r);
    hone_model_destroy(m);
}
END_TEST

int main(void)
{
    int n = (int)zoo_files(&zoo);
    if (n == 0) return hn_skip("no model zoo beside the checkout (" ZOO ")");
    Suite *s = suite_create("zoo");
    TCase *tc = tcase_create("zoo");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, unchanged_is_the_same_bytes, 0, n);
    tcase_add_loop_test(tc, one_ulp_comes_back, 0, n);
    tcase_add_loop_test(tc, descriptions_are_as_recorded, 0, N_GOLDEN);
    int failed = hn_run(s, tc);
    globfree(&zoo);
    return failed;
}
