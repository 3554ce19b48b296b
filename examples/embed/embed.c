/* SPDX-License-Identifier: MIT
 *
 * Hone inside another program: rows in memory, a callback that shows the training and ends it, the result, predictions from two
 * threads, the model written back. C17, and C++17 as it stands.
 *
 *     embed MODEL.onnx OUT.onnx          the model: 2 numbers in, 2 classes out
 *
 * A context belongs to one thread at a time, but a predictor's runs touch nothing of it: each thread that predicts has one. */
#include <hone.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 600, COLUMNS = 2, CLASSES = 2, THREADS = 2, CALLS = 200 };

/* Two rings around each other: which one is not linear in x. */
static float x[ROWS][COLUMNS];
static int64_t y[ROWS];

static void make_rows(void)
{
    unsigned state = 1;
    for (int i = 0; i < ROWS; i++) {
        float p[COLUMNS];
        for (int k = 0; k < COLUMNS; k++) {
            state = state * 1664525u + 1013904223u;
            p[k] = (float)(state >> 8) / (float)(1u << 23) - 1.0f;
            x[i][k] = p[k];
        }
        y[i] = p[0] * p[0] + p[1] * p[1] < 0.55f;
    }
}

/* The library never prints; here is all that can be known of a failure. */
static int failed(const char *what, const hone_error *err)
{
    fprintf(stderr, "%s: %s: %s%s%s%s\n", what, err->where, err->text, err->hint[0] ? " (" : "",
            err->hint, err->hint[0] ? ")" : "");
    return 1;
}

static void on_log(void *user, hone_log_level level, const char *text)
{
    (void)user;
    fprintf(stderr, "%s%s\n", level == HONE_LOG_WARNING ? "warning: " : "", text);
}

/* ---- training ------------------------------------------------------------------------------- */

static double metric(const hone_progress *p, const char *name)
{
    for (size_t i = 0; i < p->n_metrics; i++)
        if (!strcmp(p->metrics[i].name, name)) return p->metrics[i].value;
    return NAN;
}

/* Not 0 ends the training; the model then holds its best weights so far. */
static int on_progress(void *user, const hone_progress *p)
{
    const double *wanted = (const double *)user;
    if (!p->epoch_end) return 0;
    double accuracy = metric(p, "val_accuracy");
    printf("epoch %d: loss %.4f, validation %.4f, accuracy %.3f%s\n", (int)p->epoch, p->train_loss,
           metric(p, "val_loss"), accuracy, p->is_best ? " *" : "");
    return accuracy >= *wanted;
}

static int set(hone_params *params, const char *name, const char *value, hone_error *err)
{
    return hone_params_set(params, name, value, err) == HONE_OK;
}

/* One array of rows as the library takes it: borrowed until the hone_data is destroyed. */
static hone_array array_of(hone_dtype dtype, int64_t rows, int64_t per_row, const void *data)
{
    hone_array a = HONE_ARRAY;
    a.dtype = dtype;
    a.rows = rows;
    a.per_row = per_row;
    a.data = data;
    return a;
}

static int train(hone_context *ctx, hone_model *model)
{
    hone_error err;
    hone_params *params = NULL;
    hone_data *data = NULL;
    hone_result *result = NULL;
    hone_callbacks callbacks = HONE_CALLBACKS;
    double wanted = 0.97, value, seconds;
    hone_array in = array_of(HONE_F32, ROWS, COLUMNS, x), target = array_of(HONE_I64, ROWS, 1, y);
    callbacks.progress = on_progress;
    callbacks.user = &wanted;
    int ok = hone_params_create(ctx, &params, &err) == HONE_OK &&
             set(params, "epochs", "400", &err) && set(params, "lr", "0.01", &err) &&
             set(params, "val-split", "0.25", &err) &&
             hone_data_wrap(ctx, HONE_TRAIN, &in, 1, &target, 1, &data, &err) == HONE_OK &&
             hone_train(model, data, params, &callbacks, &result, &err) == HONE_OK;
    if (ok && hone_result_number(result, "val.accuracy", &value) &&
        hone_result_number(result, "seconds", &seconds))
        printf("ended by %s after %.3f s, accuracy %.3f\n", hone_result_text(result, "stop_reason"),
               seconds, value);
    hone_result_destroy(result);
    hone_data_destroy(data);
    hone_params_destroy(params);
    return ok ? 0 : failed("training", &err);
}

/* ---- predicting ------------------------------------------------------------------------------ */

/* Each thread has a predictor of its own: made once, then run row by row. */
struct worker {
    hone_predictor *p;
    int first, right, failed;
};

static void *work(void *user)
{
    struct worker *w = (struct worker *)user;
    hone_error err;
    float scores[CLASSES]; /* of one row */
    hone_output out = HONE_OUTPUT;
    out.rows = 1;
    out.per_row = CLASSES;
    out.data = scores;
    for (int i = 0; i < CALLS && !w->failed; i++) {
        int row = (w->first + i) % ROWS;
        hone_array in = array_of(HONE_F32, 1, COLUMNS, x[row]);
        if (hone_predictor_run(w->p, 1, &in, 1, &out, 1, &err) != HONE_OK)
            w->failed = failed("predicting", &err);
        else
            w->right += (scores[1] > scores[0]) == (y[row] == 1);
    }
    return NULL;
}

static int predict(hone_model *model)
{
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    hone_error err;
    int made = 0, started = 0, right = 0, bad = 0;
    for (; made < THREADS && !bad; made++) {
        workers[made].first = made * CALLS;
        workers[made].right = workers[made].failed = 0;
        if (hone_predictor_create(model, NULL, 1, &workers[made].p, &err) != HONE_OK)
            bad = failed("a predictor", &err);
    }
    while (!bad && started < THREADS &&
           !pthread_create(&threads[started], NULL, work, &workers[started]))
        started++;
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        right += workers[i].right;
        bad |= workers[i].failed;
    }
    for (int i = 0; i < made; i++) hone_predictor_destroy(workers[i].p);
    printf("%d of %d rows are what they were said to be\n", right, started * CALLS);
    return bad || started < THREADS;
}

int main(int argc, char **argv)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx = NULL;
    hone_model *model = NULL;
    hone_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.onnx OUT.onnx\n", argv[0]);
        return 2;
    }
    make_rows();
    opts.log = on_log;
    int bad = 0;
    if (hone_context_create(&opts, &ctx, &err) != HONE_OK) return failed("starting", &err);
    if (hone_model_load(ctx, argv[1], &model, &err) != HONE_OK)
        bad = failed("loading", &err);
    else
        bad = train(ctx, model);
    if (!bad) bad = predict(model);
    if (!bad && hone_model_save(model, argv[2], NULL, &err) != HONE_OK)
        bad = failed("saving", &err);
    hone_model_destroy(model);
    hone_context_destroy(ctx);
    return bad;
}
