/* SPDX-License-Identifier: MIT
 *
 * What Hone understands of real models, as text: golden listings in tests/data/golden (HN_GOLDEN_WRITE=1 writes them anew,
 * to be read before they are committed), and the number of trainable elements that PyTorch counted in the module. */
#include "tests/zoo/zoo.h"

static const char *const listed[] = { "wild/unitree_policy.onnx",
                                      "wild/acasxu_matlab_opset8.onnx",
                                      "wild/lcbench_surrogate_opset13.onnx",
                                      "wild/godot_sac_dead_branch_opset17.onnx",
                                      "wild/godot_shape_chain_opset12.onnx",
                                      "wild/mnist_batchnorm_torch1.7_opset9.onnx",
                                      "wild/mujoco_policy_tf2onnx_opset11.onnx",
                                      "wild/vnn_small_opset14.onnx",
                                      "torch-1.13/mlp_eval_default.onnx",
                                      "torch-1.13/mlp_TRAINING_op12.onnx",
                                      "torch-1.13/residual_zerobias_eval.onnx",
                                      "torch-1.13/multi_outputs_argmax.onnx",
                                      "torch-1.13/view_static.onnx",
                                      "torch-1.13/same_layer_twice.onnx",
                                      "torch-1.13/act_ln.onnx" };

static void golden_path(const char *name, char *path, size_t size)
{
    const char *base = strrchr(name, '/') + 1;
    snprintf(path, size, "%s/tests/data/golden/%.*s.txt", HN_SOURCE_DIR, (int)(strlen(base) - 5),
             base);
}

static char *read_text(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(buf, 1, size - 1, f) : 0;
    if (f) fclose(f);
    buf[n] = '\0';
    return buf;
}

START_TEST(golden)
{
    char path[1024], *text = NULL, *want = calloc(1, 1 << 18);
    size_t size;
    struct zoo z;
    zoo_open(&z, listed[_i], NULL);
    FILE *f = open_memstream(&text, &size);
    zoo_listing(z.graph, f);
    fclose(f);
    golden_path(listed[_i], path, sizeof path);
    if (getenv("HN_GOLDEN_WRITE")) {
        f = fopen(path, "wb");
        ck_assert(f && fwrite(text, 1, size, f) == size && fclose(f) == 0);
    }
    ck_assert_str_eq(text, read_text(path, want, 1 << 18));
    free(text);
    free(want);
    zoo_close(&z);
}
END_TEST

/* ---- trainable elements against the module's --------------------------------------------------------------------- */

static const char *const differs[] = { /* the file cannot show what the module had */
                                       "autoencoder_tied_T_eval", "autoencoder_tied_T_train",
                                       "weight_norm", "mlp_export_params_False", "conv1d_pointwise"
};

static int one_of(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0) return 1;
    return 0;
}

START_TEST(trainable_counts)
{
    static char truth[1 << 16];
    int compared = 0;
    read_text(ZOO_FOLDER "/torch-1.13/truth.json", truth, sizeof truth);
    for (const char *p = truth + 1; (p = strchr(p, '"')) != NULL;) {
        char name[128], file[256];
        int n = (int)strcspn(p + 1, "\"");
        snprintf(name, sizeof name, "%.*s", n, p + 1);
        const char *count = strstr(p, "\"params\":"), *end = strchr(p, '}');
        p = end;
        snprintf(file, sizeof file, "torch-1.13/%s.onnx", name);
        if (one_of(differs, sizeof differs / sizeof *differs, name)) continue;
        struct zoo z;
        zoo_open(&z, file, NULL);
        /* what was merged by value counts as often as it will after the unties */
        const struct hn_param_list *l = hn_graph_params(z.graph);
        long long trained = 0, want = atoll(count + 9);
        for (size_t i = 0; i < l->n_params; i++)
            if (l->params[i].trained) trained += z.graph->values[l->params[i].value].constant->n;
        for (size_t i = 0; i < z.graph->n_unties; i++) {
            char alias[128];
            ck_assert(sscanf(z.graph->unties[i].line, "untie %127s", alias) == 1);
            int32_t v = hn_graph_find(z.graph, alias);
            int state = 0; /* statistics are not trained */
            for (size_t k = 0; k < z.graph->n_nodes; k++)
                if (strcmp(z.graph->nodes[k].type, "BatchNormalization") == 0)
                    state |= z.graph->nodes[k].in[3] == v || z.graph->nodes[k].in[4] == v;
            if (!state) trained += z.graph->values[v].constant->n;
        }
        ck_assert_msg(trained == want, "%s: %lld trainable elements, PyTorch has %lld", name,
                      trained, want);
        compared++;
        zoo_close(&z);
    }
    ck_assert_int_ge(compared, 60);
}
END_TEST

int main(void)
{
    if (!zoo_present()) return hn_skip("there is no ../shared/zoo beside the checkout");
    Suite *s = suite_create("zoo");
    TCase *tc = tcase_create("listing");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, golden, 0, (int)(sizeof listed / sizeof *listed));
    tcase_add_test(tc, trainable_counts);
    return hn_run(s, tc);
}
