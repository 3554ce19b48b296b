/* SPDX-License-Identifier: MIT
 *
 * Models through the public API: loading, misuse, edits, marks, metadata, scalers, weights in
 * and out of slabs, every allocation and every I/O call failing in turn. */
#include "tests/plugin/fixture.h"
#include <math.h>

/* Moves every trained number and statistic by `ulps`. */
static void nudge(const struct hn_program *p, void *w, int ulps)
{
    for (int i = 0; i < p->n_params; i++) {
        const struct hn_param *q = &p->params[i];
        if (!(q->flags & (HN_PARAM_TRAINED | HN_PARAM_STATE))) continue;
        for (size_t k = q->off; k < q->off + q->n; k++)
            for (int u = 0; u < ulps; u++) {
                if (p->dtype == HN_F64)
                    ((double *)w)[k] = nextafter(((double *)w)[k], HUGE_VAL);
                else
                    ((float *)w)[k] = nextafterf(((float *)w)[k], HUGE_VALF);
            }
    }
}

/* A fresh model whose weights are all one ulp up. */
static hone_model *nudged(void)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    struct hn_program *p = lower_all(m);
    void *w = slab_of(m, p);
    nudge(p, w, 1);
    HN_OK(hn_model_put_weights(m, p, w, elem_of(p), &err), err);
    free(w);
    hn_program_destroy(p, &ctx->mem);
    return m;
}

START_TEST(what_cannot_be_loaded_says_why)
{
    hone_model *m = (hone_model *)1;
    ck_assert_int_eq(hone_model_load(ctx, scratch("none.onnx"), &m, &err), HONE_E_IO);
    ck_assert_ptr_null(m);
    ck_assert(strstr(err.where, "none.onnx"));
    scratch_write("text.onnx", "hello, this is text\n", 20);
    ck_assert_int_eq(hone_model_load(ctx, scratch("text.onnx"), &m, &err), HONE_E_MODEL);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(hone_model_load_bytes(ctx, "", 0, NULL, &m, &err), HONE_E_MODEL);
    ck_assert_int_eq(hone_model_load_bytes(ctx, NULL, 0, NULL, &m, &err), HONE_E_MODEL);
    ck_assert_int_eq(hone_model_load_bytes(ctx, NULL, 9, NULL, &m, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.text, "found NULL, wanted the 9 bytes of a model");
    ck_assert_ptr_null(m);
    struct hn_buffer b = b_mlp();
    ck_assert_int_eq(hone_model_load_bytes(ctx, b.p, b.n - 3, NULL, &m, &err), HONE_E_MODEL);
    hn_buffer_free(&b);
    hone_model_destroy(NULL);
}
END_TEST

START_TEST(unchanged_is_the_same_bytes)
{
    struct hn_buffer source = b_mlp(), copy;
    hone_model *m = load_buffer(ctx, b_mlp());
    struct hn_program *p = lower_all(m);
    void *w = slab_of(m, p);
    HN_OK(hn_model_put_weights(m, p, w, elem_of(p), &err), err); /* the same numbers */
    copy = bytes_of(m);
    ck_assert_uint_eq(copy.n, source.n);
    ck_assert_mem_eq(copy.p, source.p, source.n);
    HN_OK(hone_model_save(m, scratch("out.onnx"), NULL, &err), err);
    size_t n;
    char *file = scratch_read("out.onnx", &n);
    ck_assert_uint_eq(n, source.n);
    ck_assert_mem_eq(file, source.p, n);
    ck_assert_int_eq(scratch_count(), 1);
    free(file);
    free(w);
    hn_program_destroy(p, &ctx->mem);
    hn_buffer_free(&source);
    hn_buffer_free(&copy);
    hone_model_destroy(m);
}
END_TEST

START_TEST(weights_keep_their_bits)
{
    hone_model *m = nudged(), *again;
    struct hn_program *p = lower_all(m), *q;
    float *w = slab_of(m, p), *v;
    HN_OK(hone_model_save(m, scratch("out.onnx"), NULL, &err), err);
    HN_OK(hone_model_load(ctx, scratch("out.onnx"), &again, &err), err);
    q = lower_all(again);
    v = slab_of(again, q);
    ck_assert_uint_eq(p->n_slab, q->n_slab);
    ck_assert_mem_eq(v, w, p->n_slab * sizeof *w);
    /* by hand: w is [3, 2] in the file */
    const struct hn_onnx *o = hn_model_onnx(again);
    static const float file_w[6] = { 1, -2, 3, 4, -5, 6 };
    ck_assert_str_eq(o->tensors[0].name, "w");
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(hn_tensor_f64(&o->tensors[0].t, i),
                            (double)nextafterf(file_w[i], HUGE_VALF));
    /* the same slab in double rounds to the same floats */
    double *d = malloc(p->n_slab * sizeof *d + 1);
    HN_OK(hn_model_get_weights(again, q, d, 8, &err), err);
    for (size_t i = 0; i < q->n_slab; i++) ck_assert_double_eq(d[i], (double)v[i]);
    HN_OK(hn_model_put_weights(again, q, d, 8, &err), err);
    ck_assert_ptr_null(again->now.values); /* no bit changed */
    free(d);
    free(w);
    free(v);
    hn_program_destroy(p, &ctx->mem);
    hn_program_destroy(q, &ctx->mem);
    hone_model_destroy(m);
    hone_model_destroy(again);
}
END_TEST

START_TEST(no_file_is_called_compressed)
{
    static const char *const names[] = { "out.onnx.gz", "out.gz", "OUT.ONNX.GZ", ".gz" };
    hone_model *m = nudged();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(hone_model_save(m, scratch(names[i]), NULL, &err), HONE_E_USAGE);
        ck_assert_str_eq(err.where, scratch(names[i]));
        ck_assert_ptr_nonnull(strstr(err.text, "compressed"));
        ck_assert_int_eq(hn_model_check_output(m, scratch(names[i]), 1, &err), HONE_E_USAGE);
        ck_assert_ptr_nonnull(strstr(err.hint, "out: "));
    }
    ck_assert_int_eq(scratch_count(), 0);
    HN_OK(hone_model_save(m, scratch("gz"), NULL, &err), err);
    hone_model_destroy(m);
}
END_TEST

START_TEST(an_existing_file_is_refused_and_kept)
{
    hone_params *force;
    hone_model *m = nudged();
    scratch_write("out.onnx", "precious", 8);
    ck_assert_int_eq(hone_model_save(m, scratch("out.onnx"), NULL, &err), HONE_E_USAGE);
    ck_assert(strstr(err.hint, "force"));
    ck_assert_int_eq(hn_model_check_output(m, scratch("out.onnx"), 0, &err), HONE_E_USAGE);
    char *kept = scratch_read("out.onnx", NULL);
    ck_assert_str_eq(kept, "precious");
    free(kept);
    HN_OK(hn_model_check_output(m, scratch("out.onnx"), 1, &err), err);
    HN_OK(hone_params_create(ctx, &force, &err), err);
    HN_OK(hone_params_set(force, "force", "true", &err), err);
    HN_OK(hone_model_save(m, scratch("out.onnx"), force, &err), err);
    ck_assert_int_eq(hn_model_check_output(m, scratch("no/such/folder.onnx"), 0, &err), HONE_E_IO);
    ck_assert_int_eq(hn_model_check_output(m, scratch_dir, 1, &err), HONE_E_IO);
    ck_assert_int_eq(hn_model_check_output(m, "", 0, &err), HONE_E_USAGE);
    HN_OK(hn_model_check_output(m, scratch("fine.onnx"), 0, &err), err);
    ck_assert_int_eq(scratch_count(), 1); /* the check leaves nothing */
    hone_model *self;
    HN_OK(hone_model_load(ctx, scratch("out.onnx"), &self, &err), err);
    ck_assert_int_eq(hone_model_save(self, scratch("out.onnx"), NULL, &err), HONE_E_USAGE);
    ck_assert(strstr(err.text, "the model that was read"));
    HN_OK(hone_model_save(self, scratch("out.onnx"), force, &err), err);
    hone_model_destroy(self);
    hone_params_destroy(force);
    hone_model_destroy(m);
}
END_TEST

START_TEST(edits_are_recorded_and_all_or_nothing)
{
    unsigned char before[16], after[16];
    hone_model *m = nudged();
    struct hn_program *p = lower_all(m);
    float *w = slab_of(m, p);
    hn_model_hash(m, before);
    ck_assert_int_eq(hone_model_edit(m, "explode", &err), HONE_E_USAGE);
    ck_assert_int_eq(hone_model_edit(m, "untie nothing", &err), HONE_E_USAGE);
    ck_assert_uint_eq(hn_model_n_edits(m), 0);
    hn_model_hash(m, after);
    ck_assert_mem_eq(before, after, 16);
    HN_OK(hone_model_edit(m, "batchnorm insert", &err), err);
    ck_assert_uint_eq(hn_model_n_edits(m), 1);
    ck_assert_str_eq(hn_model_edit_line(m, 0), "batchnorm insert");
    hn_model_hash(m, after);
    ck_assert_mem_ne(before, after, 16);
    /* the new numbers went into the edited bytes */
    const struct hn_onnx *o = hn_model_onnx(m);
    ck_assert_double_eq(hn_tensor_f64(&o->tensors[0].t, 0), (double)nextafterf(1, HUGE_VALF));
    ck_assert_uint_eq(hn_model_graph(m)->n_nodes, 4);
    free(w);
    hn_program_destroy(p, &ctx->mem);
    hone_model_destroy(m);
}
END_TEST

START_TEST(marks_bring_everything_back)
{
    struct hn_model_mark *mark;
    hone_model *m = nudged();
    struct hn_buffer before = bytes_of(m), after;
    unsigned char hash[2][16];
    hn_model_hash(m, hash[0]);
    HN_OK(hn_model_mark(m, &mark, &err), err);
    HN_OK(hone_model_edit(m, "batchnorm insert", &err), err);
    HN_OK(hn_model_set_metadata(m, "hone.seed", "1", &err), err);
    for (int i = 0; i < 2; i++) { /* a mark may be used more than once */
        HN_OK(hn_model_rewind(m, mark, &err), err);
        after = bytes_of(m);
        ck_assert_uint_eq(before.n, after.n);
        ck_assert_mem_eq(before.p, after.p, before.n);
        ck_assert_uint_eq(hn_model_n_edits(m), 0);
        hn_buffer_free(&after);
    }
    hn_model_hash(m, hash[1]);
    ck_assert_mem_eq(hash[0], hash[1], 16);
    hn_model_mark_free(mark);
    hn_model_mark_free(NULL);
    hn_buffer_free(&before);
    hone_model_destroy(m);
}
END_TEST

START_TEST(metadata_is_replaced_not_doubled)
{
    hone_model *m = load_buffer(ctx, b_mlp());
    HN_OK(hn_model_set_metadata(m, "hone.seed", "1", &err), err);
    HN_OK(hn_model_set_metadata(m, "hone.version", "x", &err), err);
    HN_OK(hn_model_set_metadata(m, "hone.seed", "2", &err), err);
    hone_model *again = load_buffer(ctx, bytes_of(m)), *third;
    ck_assert_str_eq(hn_onnx_meta(hn_model_onnx(again), "hone.seed"), "2");
    HN_OK(hn_model_set_metadata(again, "hone.seed", "3", &err), err);
    HN_OK(hn_model_set_metadata(again, "hone.version", NULL, &err), err);
    third = load_buffer(ctx, bytes_of(again));
    ck_assert_str_eq(hn_onnx_meta(hn_model_onnx(third), "hone.seed"), "3");
    ck_assert_ptr_null(hn_onnx_meta(hn_model_onnx(third), "hone.version"));
    ck_assert_uint_eq(hn_model_onnx(third)->scan.n_metas, 1);
    hone_model_destroy(m);
    hone_model_destroy(again);
    hone_model_destroy(third);
}
END_TEST

START_TEST(scalers_enter_the_graph)
{
    static const double offset[2] = { 3, -1 }, scale[2] = { 0.5, 4 }, one[1] = { 10 };
    hone_model *m = load_buffer(ctx, b_mlp());
    ck_assert(!hn_model_has_scaler(m, "x"));
    HN_OK(hn_model_scale_input(m, "x", "standard", offset, scale, 2, &err), err);
    ck_assert(hn_model_has_scaler(m, "x"));
    HN_OK(hn_model_scale_output(m, "y", "minmax", one, one, 1, &err), err);
    ck_assert_int_eq(hn_model_scale_input(m, "z", "standard", offset, scale, 2, &err),
                     HONE_E_USAGE);
    hone_model *again = load_buffer(ctx, bytes_of(m));
    ck_assert(hn_model_has_scaler(again, "x"));
    HN_OK(hone_model_check(again, 1, &err), err);
    hone_model_destroy(again);
    hone_model_destroy(m);
}
END_TEST

START_TEST(preparing_freezes_and_refuses)
{
    hone_params *params;
    hone_model *m = load_buffer(ctx, b_mlp());
    HN_OK(hone_params_create(ctx, &params, &err), err);
    HN_OK(hone_params_set(params, "freeze", "w*", &err), err);
    HN_OK(hone_params_set(params, "freeze", "b", &err), err);
    HN_OK(hn_model_prepare_training(m, params, &err), err);
    struct hn_program *p = lower_all(m);
    for (int i = 0; i < p->n_params; i++) {
        int frozen = !strcmp(p->params[i].name, "w") || !strcmp(p->params[i].name, "b");
        ck_assert_int_eq(!(p->params[i].flags & HN_PARAM_TRAINED), frozen);
    }
    hn_program_destroy(p, &ctx->mem);
    HN_OK(hone_params_set(params, "freeze", "*", &err), err);
    ck_assert_int_ne(hn_model_prepare_training(m, params, &err), HONE_OK); /* nothing is left */
    hone_model_destroy(m);

    struct hn_buffer b = b_mlp();
    float one = 1.0f, bad = (float)NAN;
    for (size_t i = 0; i + 4 <= b.n; i++) /* w[0] = 1 */
        if (memcmp(b.p + i, &one, 4) == 0) {
            memcpy(b.p + i, &bad, 4);
            break;
        }
    m = load_buffer(ctx, b);
    ck_assert_int_eq(hn_model_prepare_training(m, NULL, &err), HONE_E_MODEL);
    ck_assert_str_eq(err.where, "w");
    ck_assert(strstr(err.text, "NaN"));
    HN_OK(hone_params_set(params, "freeze", NULL, &err), err);
    HN_OK(hone_params_set(params, "allow-nonfinite", "true", &err), err);
    HN_OK(hn_model_prepare_training(m, params, &err), err);
    hone_params_destroy(params);
    hone_model_destroy(m);
}
END_TEST

/* ---- failure --------------------------------------------------------------------------------- */

static hone_status job(hone_context *c, const char *from, const char *to)
{
    hone_model *m;
    hone_result *r = NULL;
    struct hn_program *p = NULL;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .dropout = -1.0 };
    hone_status st = hone_model_load(c, from, &m, NULL);
    if (st != HONE_OK) return st;
    st = hone_model_describe(m, &r, NULL);
    if (st == HONE_OK) st = hn_model_prepare_training(m, NULL, NULL);
    if (st == HONE_OK) st = hone_model_edit(m, "batchnorm insert", NULL);
    if (st == HONE_OK) st = hn_lower(hn_model_graph(m), &opts, &p, NULL);
    if (st == HONE_OK) {
        float w[512];
        ck_assert_uint_lt(p->n_slab, 512);
        st = hn_model_get_weights(m, p, w, 4, NULL);
        nudge(p, w, 1);
        if (st == HONE_OK) st = hn_model_put_weights(m, p, w, 4, NULL);
    }
    if (st == HONE_OK) st = hn_model_set_metadata(m, "hone.seed", "1", NULL);
    if (st == HONE_OK) st = hone_model_save(m, to, NULL, NULL);
    if (p) hn_program_destroy(p, &c->mem);
    hone_result_destroy(r);
    hone_model_destroy(m);
    return st;
}

/* Runs the job with one call failing; 0 when there was no such call. */
static int fail_at(long n, int io, int persistent, const char *good, size_t n_good)
{
    struct hn_fault f;
    char from[600], to[600];
    size_t got;
    hn_fault_init(&f);
    struct hn_fault_point *p = io ? &f.io_fail : &f.mem_fail;
    snprintf(from, sizeof from, "%s", scratch("in.onnx"));
    snprintf(to, sizeof to, "%s", scratch("out.onnx"));
    unlink(to);
    hone_context *c = context_on(&f);
    p->at = n + p->calls, p->persistent = persistent, p->code = ENOSPC;
    hone_status st = job(c, from, to);
    long hits = p->hits;
    p->at = 0;
    hone_context_destroy(c);
    ck_assert_int_eq(hn_fault_leaks(&f), 0);
    char *out = scratch_read("out.onnx", &got);
    if (out) { /* whatever failed: all of the file or none of it */
        ck_assert_uint_eq(got, n_good);
        ck_assert_mem_eq(out, good, got);
    }
    if (!hits) {
        ck_assert_int_eq(st, HONE_OK);
        ck_assert_ptr_nonnull(out);
    } else if (st == HONE_OK) /* at most looking for the run folder to clean up, after the save */
        ck_assert_ptr_nonnull(out);
    else if (!io)
        ck_assert_msg(st == HONE_E_NOMEM, "allocation %ld: status %d", n, (int)st);
    else
        ck_assert_msg(st == HONE_E_IO, "call %ld: status %d", n, (int)st);
    free(out);
    return hits != 0;
}

START_TEST(every_call_may_fail)
{
    int io = _i & 1, persistent = _i >> 1;
    struct hn_buffer b = b_mlp();
    size_t n_good;
    scratch_write("in.onnx", b.p, b.n);
    hn_buffer_free(&b);
    HN_OK(job(ctx, scratch("in.onnx"), scratch("good.onnx")), err);
    char *good = scratch_read("good.onnx", &n_good);
    ck_assert_ptr_nonnull(good);
    long n = 1;
    while (fail_at(n, io, persistent, good, n_good)) n++;
    ck_assert_int_gt(n, io ? 10 : 50);
    free(good);
}
END_TEST

HN_TEST_MAIN("model", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, what_cannot_be_loaded_says_why);
             tcase_add_test(tc, unchanged_is_the_same_bytes);
             tcase_add_test(tc, weights_keep_their_bits);
             tcase_add_test(tc, no_file_is_called_compressed);
             tcase_add_test(tc, an_existing_file_is_refused_and_kept);
             tcase_add_test(tc, edits_are_recorded_and_all_or_nothing);
             tcase_add_test(tc, marks_bring_everything_back);
             tcase_add_test(tc, metadata_is_replaced_not_doubled);
             tcase_add_test(tc, scalers_enter_the_graph);
             tcase_add_test(tc, preparing_freezes_and_refuses);
             tcase_add_loop_test(tc, every_call_may_fail, 0, 4);)
