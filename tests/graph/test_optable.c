/* SPDX-License-Identifier: MIT
 *
 * The README's table of operators is the table in rows.c:  test_graph_optable print  writes what should stand there. */
#include "ops/graph/rows.h"
#include "tests/harness.h"

static char table[65536], readme[262144];

static void add(size_t *n, const char *text)
{
    size_t k = strlen(text);
    if (*n + k + 1 > sizeof table) return;
    memcpy(table + *n, text, k + 1);
    *n += k;
}

static int same_operator(const struct hn_onnx_row *a, const struct hn_onnx_row *b)
{
    return !strcmp(a->type, b->type) && !strcmp(a->domain, b->domain);
}

static int is_first(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (same_operator(&hn_onnx_rows[k], &hn_onnx_rows[i])) return 0;
    return 1;
}

static int by_name(const void *a, const void *b)
{
    const struct hn_onnx_row *x = *(const struct hn_onnx_row *const *)a,
                             *y = *(const struct hn_onnx_row *const *)b;
    int domains = strcmp(x->domain, y->domain);
    return domains ? domains : strcmp(x->type, y->type);
}

/* "Gemm 7+ · MatMul 1+ · …": the oldest version of each operator, and where its meaning changed. */
static void build_table(void)
{
    const struct hn_onnx_row *rows[512];
    size_t n = 0, at = 0;
    char text[128];
    for (size_t i = 0; i < hn_n_onnx_rows && n < 512; i++)
        if (is_first(i)) rows[n++] = &hn_onnx_rows[i];
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0; i < n; i++) {
        int first = 1;
        snprintf(text, sizeof text, "%s%s%s%s", i ? " · " : "", rows[i]->domain,
                 rows[i]->domain[0] ? "." : "", rows[i]->type);
        add(&at, text);
        for (size_t k = 0; k < hn_n_onnx_rows; k++) {
            if (!same_operator(&hn_onnx_rows[k], rows[i])) continue;
            snprintf(text, sizeof text, "%s%d", first ? " " : "/", hn_onnx_rows[k].since[0]);
            add(&at, text);
            first = 0;
        }
    }
    add(&at, "\n");
}

START_TEST(readme_has_the_table)
{
    FILE *f = fopen(HN_SOURCE_DIR "/README.md", "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(readme, 1, sizeof readme - 1, f);
    fclose(f);
    readme[n] = 0;
    build_table();
    ck_assert_msg(strstr(readme, table) != NULL, "README.md should hold this line:\n%s", table);
}
END_TEST

static int run_tests(void)
{
    Suite *s = suite_create("optable");
    TCase *tc = tcase_create("optable");
    tcase_add_test(tc, readme_has_the_table);
    return hn_run(s, tc);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "print")) {
        build_table();
        fputs(table, stdout);
        return 0;
    }
    return run_tests();
}
