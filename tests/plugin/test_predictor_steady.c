/* SPDX-License-Identifier: MIT
 *
 * Runs of a predictor neither allocate nor, with one thread, call the system. */
#include "hone.h"
#include "tests/harness.h"
#include <signal.h>
#include <sys/wait.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void) { return hn_skip("the sanitizer allocates and calls the system by itself"); }
#else
#include "tests/steady.h"

enum { ROWS = 1300, REACHED = 40, ALLOCATED = 41, NO_SECCOMP = 42, FAILED = 43 };
static float x[ROWS * 16];
static int64_t c[ROWS * 16];
static double y[4][ROWS * 16];

static const char *const models[] = { "models/mlp_opset17", "models/float64",   "half/plain_bf16",
                                      "quant/gemm_u8",      "embedding/floats", "embedding/columns",
                                      "labels/sk_text" };
enum { MODELS = sizeof models / sizeof *models };

static int run_all(hone_predictor *p, const hone_array *in, size_t n_in, const hone_output *out,
                   size_t n_out)
{
    static const int64_t sizes[] = { 1, 64, 7, ROWS, 1 };
    hone_error err;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (hone_predictor_run(p, sizes[i], in, n_in, out, n_out, &err) != HONE_OK) return 0;
    return 1;
}

static void child(const char *name)
{
    char path[1024];
    hone_context *ctx;
    hone_model *m;
    hone_predictor *p;
    hone_error err;
    hone_array in[3];
    hone_output out[4];
    size_t n_in = 0, n_out = 0;
    snprintf(path, sizeof path, "%s/tests/data/%s.onnx", HN_SOURCE_DIR, name);
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
    HN_OK(hone_model_load(ctx, path, &m, &err), err);
    HN_OK(hone_predictor_create(m, NULL, ROWS, &p, &err), err);
    for (in[0].size = sizeof *in; hone_predictor_input(p, n_in, &in[n_in]);
         in[++n_in].size = sizeof *in) {
        if (in[n_in].dtype != HONE_I64) in[n_in].dtype = HONE_F32;
        in[n_in].data = in[n_in].dtype == HONE_I64 ? (const void *)c : x;
        ck_assert(in[n_in].per_row <= 16 && n_in < 2);
    }
    for (out[0].size = sizeof *out; hone_predictor_output(p, n_out, &out[n_out]);
         out[++n_out].size = sizeof *out) {
        out[n_out].data = y[n_out];
        ck_assert(out[n_out].per_row <= 16 && n_out < 3);
    }
    const long before = allocations;
    if (!hn_forbid_calls(0)) _exit(NO_SECCOMP);
    if (!run_all(p, in, n_in, out, n_out)) _exit(FAILED);
    _exit(allocations == before ? REACHED : ALLOCATED);
}

START_TEST(nothing_after_creation)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) child(models[_i]);
    int status;
    waitpid(pid, &status, 0);
    ck_assert_msg(!WIFSIGNALED(status), "%s: a system call in a run (signal %d)", models[_i],
                  WTERMSIG(status));
    if (WEXITSTATUS(status) == NO_SECCOMP) {
        printf("no seccomp here\n");
        return;
    }
    ck_assert_msg(WEXITSTATUS(status) != ALLOCATED, "%s: a run allocates", models[_i]);
    ck_assert_int_eq(WEXITSTATUS(status), REACHED);
    ck_assert_int_gt(allocations, 0);
}
END_TEST

HN_TEST_MAIN("predictor steady", tcase_add_loop_test(tc, nothing_after_creation, 0, MODELS);)
#endif
