/* SPDX-License-Identifier: MIT
 *
 * Hone inside another program: rows in memory, a callback that shows the training and ends it, the result, predictions from two
 * threads, the model written back. C17, and C++17 as it stands.
 *
 *     embed MODEL.onnx OUT.onnx          the model: 2 numbers in, 2 classes out
 *
 * A context belongs to one thread at a time, so each thread that predicts has its own, with the model loaded from the same
 * bytes. */
#include <hone.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- bytes of the model ---------------------------------------------------------------------- */

struct bytes {
    unsigned char *p;
    size_t n;
};

static int append(void *user, const void *p, size_t n)
{
    struct bytes *b = (struct bytes *)user;
    unsigned char *grown = (unsigned char *)realloc(b->p, b->n + n);
    if (!grown) return 1;
    memcpy(grown + b->n, p, n);
    b->p = grown;
    b->n += n;
    return 0;
}

/* ---- predicting ------------------------------------------------------------------------------ */

struct worker {
    const struct bytes *model;
    int first, right, failed;
};

struct scores {
    int64_t n;
    float p[CLASSES];
};

/* The outputs of some rows, which are the library's: what is wanted of them is copied. */
static int on_rows(void *user, const hone_array *outputs, size_t n_outputs, int64_t first_row)
{
    struct scores *s = (struct scores *)user;
    if (n_outputs != 1 || outputs[0].dtype != HONE_F32 || outputs[0].per_row != CLASSES ||
        first_row != 0)
        return 1;
    s->n = outputs[0].rows;
    memcpy(s->p, outputs[0].data, sizeof s->p);
    return 0;
}

static int predict_row(hone_context *ctx, hone_model *model, int row, struct scores *s,
                       hone_error *err)
{
    hone_data *data = NULL;
    hone_result *result = NULL;
    hone_array in = array_of(HONE_F32, 1, COLUMNS, x[row]);
    int ok = hone_data_wrap(ctx, HONE_TRAIN, &in, 1, NULL, 0, &data, err) == HONE_OK &&
             hone_predict(model, data, NULL, NULL, on_rows, s, &result, err) == HONE_OK;
    hone_result_destroy(result);
    hone_data_destroy(data);
    return ok && s->n == 1;
}

static void *work(void *user)
{
    struct worker *w = (struct worker *)user;
    hone_context *ctx = NULL;
    hone_model *model = NULL;
    hone_error err;
    int ok = hone_context_create(NULL, &ctx, &err) == HONE_OK &&
             hone_model_load_bytes(ctx, w->model->p, w->model->n, NULL, &model, &err) == HONE_OK;
    for (int i = 0; ok && i < CALLS; i++) {
        int row = (w->first + i) % ROWS;
        struct scores s;
        s.n = 0;
        ok = predict_row(ctx, model, row, &s, &err);
        if (ok) w->right += (s.p[1] > s.p[0]) == (y[row] == 1);
    }
    w->failed = ok ? 0 : failed("predicting", &err);
    hone_model_destroy(model);
    hone_context_destroy(ctx);
    return NULL;
}

static int predict(const struct bytes *model)
{
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    int started = 0, right = 0, bad = 0;
    for (; started < THREADS; started++) {
        workers[started].model = model;
        workers[started].first = started * CALLS;
        workers[started].right = workers[started].failed = 0;
        if (pthread_create(&threads[started], NULL, work, &workers[started])) break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        right += workers[i].right;
        bad |= workers[i].failed;
    }
    printf("%d of %d rows are what they were said to be\n", right, started * CALLS);
    return bad || started < THREADS;
}

int main(int argc, char **argv)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    hone_context *ctx = NULL;
    hone_model *model = NULL;
    hone_error err;
    struct bytes bytes = { NULL, 0 };
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
    if (!bad && hone_model_save_bytes(model, append, &bytes, &err) != HONE_OK)
        bad = failed("saving", &err);
    if (!bad) bad = predict(&bytes);
    if (!bad && hone_model_save(model, argv[2], NULL, &err) != HONE_OK)
        bad = failed("saving", &err);
    free(bytes.p);
    hone_model_destroy(model);
    hone_context_destroy(ctx);
    return bad;
}
