/* SPDX-License-Identifier: MIT
 *
 * The smallest host, in the common part of C and C++: a fresh network learns XOR and is saved. usage: train OUT.onnx */
#include <hone.h>
#include <stdio.h>

static int fail(const hone_error *e)
{
    fprintf(stderr, "%s: %s: %s\n", hone_status_name(e->code), e->where, e->text);
    return 1;
}

int main(int argc, char **argv)
{
    static const float x[8] = { 0, 0, 0, 1, 1, 0, 1, 1 }, y[4] = { 0, 1, 1, 0 };
    const hone_array in = { sizeof(hone_array), NULL, HONE_F32, 4, 2, x };
    const hone_array out = { sizeof(hone_array), NULL, HONE_F32, 4, 1, y };
    hone_context *ctx = NULL;
    hone_model *model = NULL;
    hone_data *data = NULL;
    hone_params *params = NULL;
    hone_result *result = NULL;
    hone_error e;
    double loss = 1;
    if (argc != 2 || hone_context_create(NULL, &ctx, &e) ||
        hone_model_new(ctx, "2-16-1 tanh", 1, &model, &e) ||
        hone_data_wrap(ctx, HONE_TRAIN, &in, 1, &out, 1, &data, &e) ||
        hone_params_create(ctx, &params, &e) || hone_params_set(params, "epochs", "500", &e) ||
        hone_params_set(params, "lr", "0.05", &e) || hone_params_set(params, "loss", "mse", &e) ||
        hone_params_set(params, "force", "true", &e) ||
        hone_train(model, data, params, NULL, &result, &e) ||
        hone_model_save(model, argv[1], params, &e))
        return fail(&e);
    if (!hone_result_number(result, "train.loss", &loss)) return 2;
    printf("hone %s: loss %g after training, %s\n", hone_version(), loss, argv[1]);
    hone_result_destroy(result);
    hone_params_destroy(params);
    hone_data_destroy(data);
    hone_model_destroy(model);
    hone_context_destroy(ctx);
    return loss < 0.01 ? 0 : 3;
}
