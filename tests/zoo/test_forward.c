/* SPDX-License-Identifier: MIT
 *
 * Every real model whose operators are in, lowered and run on the reference backend, against what ONNX Runtime gave for
 * the same inputs (tests/data/golden/zoo_forward.txt, made by tests/data/make_zoo_refs.py). Head and body, one after the
 * other, must give the same bits as the whole. */
#include "tests/zoo/zoo.h"

#include "ops/math/op.h"
#include <math.h>

static char *refs; /* the whole file of references */

struct ref { /* one model */
    char name[128];
    int64_t rows;
    const char *text; /* its output lines */
};

/* The i-th model of the file; 0: no more. */
static int ref_at(int i, struct ref *r)
{
    const char *p = refs;
    for (; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        long long rows;
        if (sscanf(p, "model %127s %lld", r->name, &rows) != 2 || i-- > 0) continue;
        r->rows = rows;
        r->text = strchr(p, '\n') + 1;
        return 1;
    }
    return 0;
}

static int count_refs(void)
{
    struct ref r;
    int n = 0;
    while (ref_at(n, &r)) n++;
    return n;
}

/* Compares one "output NAME COUNT v v …" line with the result of that name. Returns 0 when the program has none. */
static int compare(const char *line, const struct zoo_result *r, double tolerance,
                   const char *model)
{
    char name[256], *end;
    long long count;
    int at;
    ck_assert(sscanf(line, "output %255s %lld%n", name, &count, &at) == 2);
    for (int k = 0; k < r->n; k++) {
        if (strcmp(r->names[k], name) != 0) continue;
        ck_assert_msg(r->count[k] == count, "%s: output %s has %lld numbers, wanted %lld", model,
                      name, (long long)r->count[k], count);
        const char *p = line + at;
        double largest = 1e-3;
        for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(r->data[k][i]));
        for (int64_t i = 0; i < count && i < 96; i++, p = end) {
            double want = strtod(p, &end);
            if (isnan(want) && isnan(r->data[k][i]))
                continue; /* a logarithm of the formula's inputs */
            ck_assert_msg(fabs(r->data[k][i] - want) <= tolerance * largest,
                          "%s: output %s[%lld] is %.9g, wanted %.9g", model, name, (long long)i,
                          r->data[k][i], want);
        }
        return 1;
    }
    return 0;
}

static const char *const unsupported[] = { /* operators that are not in yet: blocked, by name */
                                           "torch-1.13/conv1d_pointwise.onnx",
                                           "torch-1.13/mlp_export_params_False.onnx"
};

static int listed(const char *name)
{
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (strcmp(unsupported[i], name) == 0) return 1;
    return 0;
}

static void run_and_compare(struct zoo *z, const struct ref *ref)
{
    struct zoo_result r;
    struct hn_program *p;
    struct hn_lower_opts opts = { .part = HN_PART_ALL, .training_form = 1 };
    HN_OK(hn_lower(z->graph, &opts, &p, &z->err), z->err);
    zoo_run(z, p, ref->rows, NULL, &r);
    int compared = 0;
    double tolerance = p->dtype == HN_F64 ? 1e-11 : 2e-6;
    if (strstr(ref->name, "lcbench")) tolerance = 4e-5; /* a Sigmoid of 1e-4 times 46790 */
    for (const char *line = ref->text; strncmp(line, "output ", 7) == 0;
         line = strchr(line, '\n') + 1)
        compared += compare(line, &r, tolerance, ref->name);
    ck_assert_msg(compared == r.n && compared > 0, "%s: %d of %d outputs compared", ref->name,
                  compared, r.n);
    zoo_result_free(z, &r);
    hn_program_destroy(p, &z->mem);
}

/* With N for the batch, and with the file's fixed batch as verify runs it. */
START_TEST(against_onnx_runtime)
{
    static const struct hn_graph_opts fixed = { .keep_fixed_batch = 1 };
    struct ref ref;
    struct zoo z;
    ck_assert(ref_at(_i, &ref));
    for (int keep = 0; keep < 2; keep++) {
        zoo_open(&z, ref.name, keep ? &fixed : NULL);
        hone_status blocked = hn_graph_blocked(z.graph, 0, &z.err);
        if (listed(ref.name)) {
            ck_assert_msg(blocked == HONE_E_UNSUPPORTED, "%s is expected to be refused", ref.name);
            ck_assert_msg(z.err.text[0] != '\0', "%s: no reason", ref.name);
        } else {
            HN_OK(blocked, z.err);
            run_and_compare(&z, &ref);
        }
        zoo_close(&z);
    }
}
END_TEST

static void same_bits(const struct zoo_result *a, const struct zoo_result *b, const char *name)
{
    ck_assert_int_eq(a->n, b->n);
    for (int k = 0; k < a->n; k++) {
        ck_assert_str_eq(a->names[k], b->names[k]);
        ck_assert_int_eq(a->count[k], b->count[k]);
        ck_assert_msg(memcmp(a->data[k], b->data[k], (size_t)a->count[k] * sizeof(double)) == 0,
                      "%s: output %s differs", name, a->names[k]);
    }
}

START_TEST(head_then_body)
{
    struct ref ref;
    struct zoo z;
    struct zoo_result whole, cut, parts;
    struct hn_program *all, *head, *body;
    ck_assert(ref_at(_i, &ref));
    zoo_open(&z, ref.name, NULL);
    if (hn_graph_blocked(z.graph, 0, &z.err) != HONE_OK) {
        zoo_close(&z);
        return;
    }
    struct hn_lower_opts opts = { .part = HN_PART_ALL };
    HN_OK(hn_lower(z.graph, &opts, &all, &z.err), z.err);
    opts.part = HN_PART_HEAD;
    HN_OK(hn_lower(z.graph, &opts, &head, &z.err), z.err);
    opts.part = HN_PART_BODY;
    HN_OK(hn_lower(z.graph, &opts, &body, &z.err), z.err);
    ck_assert_uint_eq(all->n_slab, body->n_slab);
    ck_assert_uint_eq(all->n_trained, body->n_trained);
    zoo_run(&z, all, ref.rows, NULL, &whole);
    if (head) {
        ck_assert_uint_eq(all->n_slab, head->n_slab);
        ck_assert_int_eq(head->n_outputs, body->n_inputs);
        zoo_run(&z, head, ref.rows, NULL, &cut);
        zoo_run(&z, body, ref.rows, cut.data, &parts);
        zoo_result_free(&z, &cut);
    } else {
        ck_assert_int_eq(all->n_inputs, body->n_inputs);
        zoo_run(&z, body, ref.rows, NULL, &parts);
    }
    same_bits(&whole, &parts, ref.name);
    zoo_result_free(&z, &whole);
    zoo_result_free(&z, &parts);
    hn_program_destroy(all, &z.mem);
    hn_program_destroy(head, &z.mem);
    hn_program_destroy(body, &z.mem);
    zoo_close(&z);
}
END_TEST

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (!f || !text) return NULL;
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

int main(void)
{
    if (!zoo_present()) return hn_skip("there is no ../shared/zoo beside the checkout");
    refs = read_text(HN_SOURCE_DIR "/tests/data/golden/zoo_forward.txt");
    if (!refs) return hn_skip("tests/data/golden/zoo_forward.txt is missing");
    int n = count_refs();
    Suite *s = suite_create("zoo");
    TCase *tc = tcase_create("forward");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, against_onnx_runtime, 0, n);
    tcase_add_loop_test(tc, head_then_body, 0, n);
    int failed = hn_run(s, tc);
    free(refs);
    return n < 60 || failed ? 1 : 0;
}
