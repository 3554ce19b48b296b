/* SPDX-License-Identifier: MIT
 *
 * Labels handed to a host: types, texts, numbers beyond 2^24. */
#include "tests/plugin/model_util.h"

static void load(hone_context *ctx, const char *name, hone_model **m, hone_data **d)
{
    static const float rows[3][5] = { { 3, 2, -1, 0, 0 },
                                      { -4, -4, 2, 1, 0 },
                                      { -1, -1, 0, 4, 4 } };
    char path[1024];
    hone_error e = { 0 };
    const hone_array x = { sizeof x, NULL, HONE_F32, 3, 5, rows };
    snprintf(path, sizeof path, "%s/tests/data/labels/%s.onnx", HN_SOURCE_DIR, name);
    HN_OK(hone_model_load(ctx, path, m, &e), e);
    *d = NULL;
    HN_OK(hone_data_wrap(ctx, HONE_TRAIN, &x, 1, NULL, 0, d, &e), e);
}

struct seen {
    size_t n;
    hone_dtype types[4];
    int64_t per_row[4];
    char text[64];
    int64_t whole[3];
};

static int look(void *user, const hone_array *a, size_t n, int64_t first)
{
    struct seen *s = user;
    ck_assert_int_eq(first, 0);
    s->n = n;
    for (size_t k = 0; k < n && k < 4; k++) {
        ck_assert_int_eq(a[k].rows, 3);
        s->types[k] = a[k].dtype, s->per_row[k] = a[k].per_row;
        for (int64_t i = 0; i < 3; i++) {
            if (a[k].dtype == HONE_STR) {
                strcat(s->text, ((const char *const *)a[k].data)[i]);
                strcat(s->text, " ");
            }
            if (a[k].dtype == HONE_I64) s->whole[i] = ((const int64_t *)a[k].data)[i];
        }
    }
    return 0;
}

static hone_status predict(hone_context *ctx, const char *name, const char *output, struct seen *s,
                           hone_error *err)
{
    hone_model *m;
    hone_data *d;
    hone_params *p = NULL;
    hone_result *r = NULL;
    load(ctx, name, &m, &d);
    HN_OK(hone_params_create(ctx, &p, err), *err);
    if (output) HN_OK(hone_params_set(p, "output", output, err), *err);
    *s = (struct seen){ 0 };
    hone_status st = hone_predict(m, d, p, NULL, look, s, &r, err);
    hone_result_destroy(r);
    hone_params_destroy(p);
    hone_data_destroy(d);
    hone_model_destroy(m);
    return st;
}

START_TEST(types_of_arrays)
{
    struct seen s;
    int large = 0;
    hone_context *ctx;
    hone_error e = { 0 };
    HN_OK(hone_context_create(NULL, &ctx, &e), e);
    HN_OK(predict(ctx, "sk_text", NULL, &s, &e), e);
    ck_assert(s.n == 2 && s.types[0] == HONE_STR && s.types[1] == HONE_F32);
    ck_assert(s.per_row[0] == 1 && s.per_row[1] == 3);
    ck_assert_ptr_nonnull(strstr(s.text, " "));
    for (const char *word = s.text; *word; word = strchr(word, ' ') + 1)
        ck_assert(!strncmp(word, "low ", 4) || !strncmp(word, "mittelgroß ", 12) ||
                  !strncmp(word, "高 ", 4));
    HN_OK(predict(ctx, "torch_codes", NULL, &s, &e), e);
    ck_assert(s.n == 2 && s.types[0] == HONE_F32 && s.types[1] == HONE_I64);
    for (int i = 0; i < 3; i++) {
        const int64_t v = s.whole[i];
        ck_assert(v == 10 || v == 20 || v == (int64_t)1 << 40 || v == -4);
        large += v == (int64_t)1 << 40;
    }
    ck_assert_int_gt(large, 0);
    HN_OK(predict(ctx, "torch_half", NULL, &s, &e), e);
    ck_assert(s.n == 3 && s.types[0] == HONE_F32 && s.types[1] == HONE_I64 &&
              s.types[2] == HONE_BOOL);
    ck_assert_int_eq(predict(ctx, "sk_text", "output_lable", &s, &e), HONE_E_USAGE);
    ck_assert_ptr_nonnull(strstr(e.hint, "output_label"));
    hone_context_destroy(ctx);
}
END_TEST

HN_TEST_MAIN("labels", tcase_add_test(tc, types_of_arrays);)
