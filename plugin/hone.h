/* SPDX-License-Identifier: MIT
 *
 * hone.h: an ONNX model in, trained on your data, the same ONNX model back, better.
 *
 * This header is the manual for C and C++ users. In short:
 *
 *     hone_context *ctx;  hone_model *model;  hone_data *data;  hone_params *params;
 *     hone_result *result;  hone_error err;
 *     hone_context_create(NULL, &ctx, &err);
 *     hone_model_load(ctx, "model.onnx", &model, &err);
 *     hone_params_create(ctx, &params, &err);
 *     hone_params_set(params, "data", "train.csv", &err);
 *     hone_params_set(params, "target", "label", &err);
 *     hone_params_set(params, "val-split", "0.2", &err);
 *     hone_params_set(params, "early-stop-patience", "5", &err);
 *     hone_data_open(ctx, model, params, &data, &err);
 *     hone_train(model, data, params, NULL, &result, &err);
 *     hone_model_save(model, "better.onnx", params, &err);
 *
 * A whole program, with rows in memory, a callback and threads that predict: examples/embed.
 *
 * Rules for all functions
 * - They return HONE_OK (0) or a negative hone_status; the caller's hone_error (NULL allowed)
 *   then says where, what was found and what was wanted. On failure out parameters are set to
 *   NULL and the caller owes nothing. Any function may fail with HONE_E_NOMEM, HONE_E_BUDGET
 *   (memory_budget, or a file that wants more than is sane) and HONE_E_INTERNAL; the others it
 *   has are said with it, or are plain: HONE_E_USAGE for parameters and the order of calls,
 *   HONE_E_MODEL and HONE_E_UNSUPPORTED for models, HONE_E_DATA for rows (naming file or array,
 *   row and column), HONE_E_IO for files, HONE_E_DEVICE for a GPU that was asked for.
 * - Handles are opaque. Whoever creates one destroys it; destroy accepts NULL. Destroy the
 *   context last. Strings passed in are copied; strings handed out live as long as the handle
 *   they came from unless stated otherwise.
 * - Threads: a context and everything made from it belong to one thread at a time. Different
 *   contexts may be used by different threads at once. To predict from several threads, give each
 *   a hone_predictor of the same model: its runs alone touch nothing else. hone_request_stop alone may be called from anywhere, also from a
 *   signal handler. Callbacks and the log are called on the thread that called the function,
 *   never two at once; of the library they may call hone_request_stop, and what belongs to other
 *   contexts. Threads that Hone starts end before the call returns, which makes fork safe between
 *   calls.
 * - What gets bytes or rows from the library returns 0 to go on; with anything else the call ends
 *   with HONE_E_IO.
 * - The library never prints, exits, aborts, reads the environment or touches signal handlers.
 * - Structs of options begin with their size (set by their initializer macro), so that old
 *   programs keep working. */
#ifndef HONE_H
#define HONE_H

#include "hone_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HONE_API __attribute__((visibility("default")))
#else
#define HONE_API
#endif
#define HONE_CALL HONE_API HONE_MUST_USE hone_status /* what most functions return */

typedef struct hone_context hone_context;
typedef struct hone_model hone_model;
typedef struct hone_data hone_data;
typedef struct hone_params hone_params;
typedef struct hone_result hone_result;
typedef struct hone_study hone_study;
typedef struct hone_predictor hone_predictor;

/* ---- library --------------------------------------------------------------------------------- */

/* "0.1.0". Static. */
HONE_API const char *hone_version(void);
/* The name of a status, "HONE_E_DATA", and what it means. Static, never NULL. */
HONE_API const char *hone_status_name(hone_status code);
HONE_API const char *hone_status_text(hone_status code);

/* ---- context --------------------------------------------------------------------------------- */

typedef enum hone_log_level { HONE_LOG_NOTE = 0, HONE_LOG_WARNING = 1 } hone_log_level;

typedef struct hone_context_opts {
    size_t size;
    /* both or neither; at least 16-byte aligned; NULL on failure; called from Hone's threads too */
    void *(*alloc)(void *user, size_t bytes);
    void (*release)(void *user, void *p);
    void *alloc_user;
    /* bytes of Hone's own allocations that may be live at once; 0: no limit */
    size_t memory_budget;
    /* decisions worth saying; NULL: silent */
    void (*log)(void *user, hone_log_level level, const char *text);
    void *log_user;
} hone_context_opts;
/* clang-format off */
#define HONE_CONTEXT_OPTS { sizeof(hone_context_opts), NULL, NULL, NULL, 0, NULL, NULL }
/* clang-format on */

HONE_CALL hone_context_create(const hone_context_opts *opts, hone_context **out, hone_error *err);
HONE_API void hone_context_destroy(hone_context *ctx);
/* Asks a running hone_train, hone_resume, hone_lr_find or hone_tune of this context to stop after
 * the current batch, to leave a checkpoint where there is a run folder, and to return HONE_OK with
 * stop_reason "interrupted". Two atomic accesses: any thread, any signal handler. Cleared when a run
 * starts. Returns 1 when a run has begun, 0 when none has: the call still reads its data or waits
 * for a file, nothing is worth a checkpoint, and what was asked may be forgotten. */
HONE_API int hone_request_stop(hone_context *ctx);
/* Devices, libraries, versions, core type, plug-ins of the context as a result (see hone_result_json). */
HONE_CALL hone_doctor(hone_context *ctx, hone_result **out, hone_error *err);

/* ---- parameters: every option of the command line by its long name --------------------------- */

typedef struct hone_param_info {
    size_t size;
    const char *name; /* "early-stop-patience" */
    /* "data", "training", "run", "predict", "verify", "search", "tune", "tell", "export", "lr-find" */
    const char *group;
    /* "float", "int", "bool", "text", "choice", "list" (may be given several times) */
    const char *type;
    const char *initial; /* default as text; "" when there is none */
    const char *choices; /* "adam|adamw|…" or range text "[0, 1)"; "" when free */
    const char *when;    /* "optimizer=momentum|nesterov": refused otherwise; "" always */
    const char *help;
    double low, high; /* of numbers; NaN where unlimited */
    int low_open, high_open, log_scale;
    int moves; /* a run or search that is continued may be given another value */
} hone_param_info;
/* clang-format off */
#define HONE_PARAM_INFO { sizeof(hone_param_info), NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0 }
/* clang-format on */
/* The i-th row of the table, i from 0; returns 0 past the end. info begins as HONE_PARAM_INFO. Its strings are static. */
HONE_API int hone_param_at(size_t i, hone_param_info *info);

HONE_CALL hone_params_create(hone_context *ctx, hone_params **out, hone_error *err);
/* Sets one parameter from text; '-' and '_' are the same in names. Lists take one item a call,
 * appended. Wrong names get a suggestion, wrong values the range (HONE_E_USAGE). NULL value:
 * back to the default. */
HONE_CALL hone_params_set(hone_params *p, const char *name, const char *value, hone_error *err);
/* The value as text (default when unset; i-th item of a list, NULL past the end or for an
 * unknown name). It lives until this parameter is set again. */
HONE_API const char *hone_params_get(const hone_params *p, const char *name, size_t i);
HONE_API int hone_params_is_set(const hone_params *p, const char *name);
HONE_API void hone_params_destroy(hone_params *p);

/* ---- model ----------------------------------------------------------------------------------- */

/* Reads .onnx or .onnx.gz, external data beside it (contained: no links, nothing outside the
 * folder). A model loads with its issues listed; what blocks training or running is reported by
 * the call that needs it. HONE_E_MODEL, HONE_E_UNSUPPORTED, HONE_E_BUDGET, HONE_E_IO. */
HONE_CALL hone_model_load(hone_context *ctx, const char *path, hone_model **out, hone_error *err);
/* The same from memory (copied). dir: folder for external data, NULL when there is none. */
HONE_CALL hone_model_load_bytes(hone_context *ctx, const void *bytes, size_t n, const char *dir,
                                hone_model **out, hone_error *err);
/* A fresh MLP: "784-512-512-10 relu batchnorm dropout=0.5 softmax"; weights from seed
 * (He-uniform before rectifiers, else Xavier-uniform, biases 0). */
HONE_CALL hone_model_new(hone_context *ctx, const char *spec, uint64_t seed, hone_model **out,
                         hone_error *err);
/* Applies one graph edit, recorded in the model: "inference", "batch-symbolic", "batchnorm
 * insert", "batchnorm remove", "untie NAME", "hidden units=64,32 activation=tanh" (rebuilds the
 * hidden layers; those that keep their shape keep their weights; "key=" and 16 hexadecimal digits
 * choose the others'). An edit that looks at nodes writes calls of the model's own functions out as
 * nodes first. The model is imported again from the edited bytes. HONE_E_USAGE for a line that is
 * not understood, HONE_E_UNSUPPORTED for an edit that this graph does not allow, naming the node or
 * function in the way. */
HONE_CALL hone_model_edit(hone_model *m, const char *line, hone_error *err);
/* Can this model be run (training 0) or trained (training 1)? The first issue that blocks it as
 * the error, else HONE_OK. Call it before opening data, so that a bad model is said to be one
 * whatever the data are. */
HONE_CALL hone_model_check(hone_model *m, int training, hone_error *err);
/* What `hone inspect --json` prints: inputs, outputs, nodes with verdicts, issues, ties,
 * parameters, and "hidden": units and activation of the hidden layers, or the node that keeps them
 * from being rebuilt and why. An output has "learns" (a loss without a name is for the one that
 * does), "per_row", "tail" ("softmax", "logsoftmax", "sigmoid", "both": 1 - p and p, "each": that of
 * several, "shares": numbers divided by their sum, or means of such rows; null) and its "classes",
 * the labels it gives or what its columns are called (null: no list). */
HONE_CALL hone_model_describe(hone_model *m, hone_result **out, hone_error *err);
/* Writes the model: source bytes with the trained tensors in place; nothing changed, the same
 * bytes. Written aside, synced, read back, compared, renamed: an existing file stays untouched
 * on failure. A symbolic link at path stays: what it points to is replaced or made, unless that is
 * write-protected (HONE_E_IO). Weights of half types and quantised ones, trained in float32, are rounded to what the
 * file has. An existing path is refused unless parameter "force" is true; params may be NULL.
 * One that ends in .gz is refused, too, here and as "out": models are read compressed, not written so (HONE_E_USAGE). */
HONE_CALL hone_model_save(hone_model *m, const char *path, const hone_params *params,
                          hone_error *err);
/* The same bytes handed to write() piece by piece (external data become inline). write returns 0
 * to go on. */
HONE_CALL hone_model_save_bytes(hone_model *m, int (*write)(void *user, const void *p, size_t n),
                                void *user, hone_error *err);
HONE_API void hone_model_destroy(hone_model *m);

/* ---- data ------------------------------------------------------------------------------------ */

/* Opens what the parameters of group "data" name: training, validation and test files. Tables
 * are read in m's precision; m also tells "INPUT=FILE" from a file name with '='. m may be NULL
 * (float32); m and params are only looked at during the call. Without "y" or "target" the data have
 * no targets, and are for prediction. HONE_E_DATA, HONE_E_IO, HONE_E_USAGE. */
HONE_CALL hone_data_open(hone_context *ctx, const hone_model *m, const hone_params *params,
                         hone_data **out, hone_error *err);

/* the numbers are ONNX's */
typedef enum hone_dtype {
    HONE_F32 = 1,
    HONE_U8 = 2,
    HONE_I32 = 6,
    HONE_I64 = 7,
    HONE_STR =
        8, /* text inputs, and class labels in y and in predictions: const char *const *, UTF-8 */
    HONE_BOOL = 9, /* a byte, 0 or 1 */
    HONE_F16 = 10,
    HONE_F64 = 11,
    HONE_BF16 = 16
} hone_dtype;
typedef enum hone_role {
    HONE_TRAIN = 0,
    HONE_VAL = 1,
    HONE_TEST = 2,
    HONE_PRETRAIN = 3 /* rows without targets, for "pretrain" alone */
} hone_role;
typedef struct hone_array { /* row-major, contiguous, [rows, per_row] */
    size_t size;
    const char *name; /* model input or output; NULL: by position */
    /* any of numbers; HONE_STR (data: const char *const *): text inputs, and targets of one label a row */
    hone_dtype dtype;
    int64_t rows,
        per_row; /* per_row: elements of one row, whatever their shape: 784 of [1, 28, 28] */
    const void
        *data; /* borrowed: unchanged as long as the hone_data lives; in the machine's byte order */
} hone_array;
/* clang-format off */
#define HONE_ARRAY { sizeof(hone_array), NULL, HONE_F32, 0, 0, NULL }
/* clang-format on */
/* Wraps arrays in memory without copying: n_x inputs and n_y targets of as many rows each; whether they fit a model is seen when
 * one is trained on them. Class labels are one element a row: integers from 0, other numbers or text. y may be NULL with n_y 0 (prediction). Call again for
 * other roles: *data is created when NULL, extended otherwise; a call that fails leaves it as it was. HONE_PRETRAIN takes no targets (HONE_E_USAGE); its rows are
 * read where "pretrain" is above 0, instead of the training rows; hone_train refuses them where it is not. */
HONE_CALL hone_data_wrap(hone_context *ctx, hone_role role, const hone_array *x, size_t n_x,
                         const hone_array *y, size_t n_y, hone_data **data, hone_error *err);
/* Weights for the loss of a role's rows, which must be there already: one number a row, 0 or more (else
 * HONE_E_DATA). Borrowed as the others; a second call takes the first one's place. Where any role
 * has weights, the rows of one that has none count 1 each. A loss is then sum(w l) / sum(w). */
HONE_CALL hone_data_weights(hone_data *d, hone_role role, const hone_array *w, hone_error *err);
/* What parameter "group" is for rows in files: the group of each training row, which must be there already, a number or a
 * text (HONE_STR). Rows of one group stay on one side of "val-split", "test-split", "folds" and "nested". Borrowed as the
 * others; a second call takes the first one's place. */
HONE_CALL hone_data_groups(hone_data *d, const hone_array *groups, hone_error *err);
HONE_API void hone_data_destroy(hone_data *d);

/* ---- plug-ins -------------------------------------------------------------------------------- */

/* A plug-in is a shared object that offers more to Hone, such as readers of further kinds of data
 * files and operators (load it before the models that have them): hone_plugin.h says what it must be. It is native code with all rights of this process, and
 * is loaded by this function and by parameter "plugin" (which hone_data_open reads) alone: nothing
 * is searched for, no model or data file can name one. path has a '/' in it, and may end in "@" and
 * the file's hash (XXH3-128, 32 hexadecimal digits, as hone_plugin_list tells it): then only that
 * file is taken. Run folders note plug-ins down like this, so that hone_resume finds the same ones.
 * A second call for the same path does nothing. It stays until the context goes. What this function
 * loaded is in no run folder: load it again before hone_resume.
 * HONE_E_IO: there is no such file; HONE_E_USAGE: it is no plug-in, one for another version of the
 * interface (both are told), a broken one, or not the file that the hash wants. */
HONE_CALL hone_plugin_load(hone_context *ctx, const char *path, hone_error *err);
/* "plugins": path, hash, id, version, license, abi, readers (name, extensions, magic) and
 * ops (domain, type, since, attributes with their defaults) of each. */
HONE_CALL hone_plugin_list(hone_context *ctx, hone_result **out, hone_error *err);
typedef struct hone_plugin_check_opts {
    size_t size;
    const char *const *samples; /* files that its readers claim */
    size_t n_samples;
    /* Is told what comes next; may be NULL. */
    void (*step)(void *user, const char *what);
    /* Is asked after each call of the plug-in (but those of several threads, then after all) what that
     * left changed in the process, and gives it ("the umask"; kept no longer than until it is asked
     * again), or NULL: nothing. The library itself looks at none of it. NULL: that is not checked. */
    const char *(*changed)(void *user);
    void *user;
    /* Is asked when the plug-in has done its first work, and again when all of that kind is done and
     * nothing of it is open: what is that was not when it was asked before ("descriptor 5 (t.db)"), or
     * NULL: nothing. NULL: that is not checked. */
    const char *(*left)(void *user);
} hone_plugin_check_opts;
/* Tries a plug-in out, in contexts of its own: loads and unloads it, computes with its operators, and
 * reads the samples twice, with each of its allocations failing once, in several threads, cut short
 * and damaged. HONE_OK also when it does not pass: read "passed" and "checks" (check, file or op,
 * passed, text). A plug-in that crashes ends the process, so `hone plugin check` does this in another
 * one. opts may be NULL. */
HONE_CALL hone_plugin_check(hone_context *ctx, const char *path, const hone_plugin_check_opts *opts,
                            hone_result **out, hone_error *err);

/* ---- training and use ------------------------------------------------------------------------ */

typedef struct hone_metric { /* "val_loss", "val_accuracy", … */
    const char *name;
    double value;
} hone_metric;
typedef struct hone_progress { /* what a callback sees; valid during the call */
    size_t size;
    int64_t epoch, epochs; /* epoch 0: the model before training */
    /* rows done in this epoch, rows of an epoch; equal at the end of an epoch */
    int64_t row, rows;
    double train_loss; /* running mean over this epoch's batches */
    /* end of an epoch only: validation metrics and what --metric asked for */
    const hone_metric *metrics;
    size_t n_metrics;
    /* of the last step; since the run began, what was before hone_resume included; trained; to the last epoch, NaN: not known */
    double lr, seconds, rows_per_second, seconds_left;
    int64_t best_epoch;     /* -1: none yet */
    int is_best, epoch_end; /* 1 or 0 */
    /* not NULL: pre-training is at this layer, number layer of layers. Then epoch, epochs, row and rows are those of the
     * layer's autoencoder, train_loss is the mean square error of its reconstruction */
    const char *pretrain;
    int layer, layers;
} hone_progress;
typedef struct hone_callbacks {
    size_t size;
    void *user;
    /* At the end of every epoch, and about ten times a second in between. Not 0: stop
     * (stop_reason "callback"). */
    int (*progress)(void *user, const hone_progress *p);
} hone_callbacks;
/* clang-format off */
#define HONE_CALLBACKS { sizeof(hone_callbacks), NULL, NULL }
/* clang-format on */

/* Trains in place: the model then holds the best weights (parameter "save"), BatchNorm
 * statistics included. Stopping early, at a time limit, by request or because the loss diverged
 * is a result, not an error: read "stop_reason". On an error the model is as it was. "guess" has
 * the figures of the best constant guess over the same rows, "guess.beaten" whether the model is
 * clearly better than it, "standard_error" those of loss and accuracy over validation and test
 * rows. Run directory, checkpoints and events as the parameters of group "run" say; HONE_E_USAGE where
 * "events" or "out" name a file that is read. cb may be NULL.
 * With "hidden-layers", "hidden-units" or "activation" the hidden layers are rebuilt first: epoch
 * 0 is that model, "before" the one that came, which can then be the better one of the two.
 * With "epochs" 0 nothing is trained, and d is not looked at (NULL allowed): the model is what it
 * was, but for what changes its graph or its weights: these three, "init" other than keep (as
 * training would begin), "batchnorm" remove, "batch-dim" symbolic. "scale", "scale-target" and
 * "batchnorm" insert (with "init" keep) are fitted on rows: they need d, also without epochs.
 * A model that "scale-target" has trained ends in the inverse of that scaling. The inverse does not learn (but where
 * "unfreeze" names its tensors); targets are scaled by its numbers again, without being told ("scaled_by_model": the
 * losses in "curve" are of scaled targets), and a second "scale-target" is HONE_E_USAGE without "scale-again", which
 * fits the numbers that are there anew. */
HONE_CALL hone_train(hone_model *m, hone_data *d, const hone_params *params,
                     const hone_callbacks *cb, hone_result **out, hone_error *err);
/* A learning rate range test on the data's training rows: from the weights that hone_train would begin with, "steps" optimizer
 * steps whose rate grows exponentially from "lr-from" to "lr-to"; ended early when the smoothed loss exceeds four times its least
 * or is not finite ("stop_reason": "steps", "rose", "not_finite", "interrupted"). The parameters that make a training step count
 * (optimizer, batch size, losses, scalers, augmentation, …); those of epochs, schedules, stopping and averages do not. The result
 * ("hone.lr-find/1") has "points" (lr, loss, smoothed), "suggestion" (the geometric mean of the two that follow; null where the
 * loss does not fall more than batches differ), "suggestions" (steepest, valley), "lowest" and "rises" (from where on the smoothed loss stays a tenth above its
 * lowest), all of them rates. The model is not changed. cb (NULL allowed) is called after the first step and about ten times a second: epochs is 0, row of
 * rows are steps of all, train_loss is the smoothed one; not 0 ends the test as "interrupted". */
HONE_CALL hone_lr_find(hone_model *m, hone_data *d, const hone_params *params,
                       const hone_callbacks *cb, hone_result **out, hone_error *err);
/* Does hone_train look at data? Not with "epochs" 0, unless something is fitted on them. */
HONE_API int hone_train_needs_data(const hone_params *params);
/* Continues the run in run_dir exactly. overrides (NULL allowed): "epochs" as +N, moved data
 * files, "out" (another file that is there is refused without "force"); "device" auto is the one it
 * was started on. The model comes back as if never interrupted. A finished run is HONE_OK with
 * "finished": true in the result; false where its model is not at "out", or one of an earlier end of
 * the same run is, or what "force" let the run replace is still there: save it. Another model there
 * stays, unless overrides have "force". */
HONE_CALL hone_resume(hone_context *ctx, const char *run_dir, const hone_params *overrides,
                      const hone_callbacks *cb, hone_model **model, hone_result **out,
                      hone_error *err);
/* Loss and metrics over the data's training role (whatever file was named first), in inference
 * mode; "guess" and "standard_error" as of hone_train, for these rows. */
HONE_CALL hone_evaluate(hone_model *m, hone_data *d, const hone_params *params, hone_result **out,
                        hone_error *err);
/* outputs: n_outputs arrays of the same rows, the first of which is row first_row (from 0) of the data. */
typedef int (*hone_predict_fn)(void *user, const hone_array *outputs, size_t n_outputs,
                               int64_t first_row);
/* Outputs of the data's training role in input order, written to path (.csv, .npy, .npz) or, path NULL, handed to each (one
 * call per chunk of rows; arrays and texts are Hone's, and valid during the call). They come in the
 * model's order, all that can be computed unless "output" names some: float types as HONE_F32 or
 * HONE_F64, integers of any width as HONE_I64, HONE_BOOL, labels that are text as HONE_STR (in a
 * .npy or .npz NumPy's fixed width '<U'). There arrays have the model's axes, rows first; a .npy holds
 * one array: of scores and labels the scores.
 * With "argmax" a file gets the labels of the model's classes for scores (in arrays int64, or float64
 * where one is no whole number; numbers 0, 1, ... where they are text or it has no list), each gets
 * the numbers; outputs that are labels already are then left out unless named, and one that tells no
 * classes apart (a regression's, one number a row without a Sigmoid) is refused. With "with-input" a .csv begins with the
 * cells of the table, where its data were opened with that parameter as well, else with the numbers that were read.
 * params NULL: all defaults.
 * Each call gets the model ready anew, from 0.03 ms for a small network on, and more for large weights: who predicts again and again
 * takes a predictor, below. Few rows are computed by one thread unless "threads" says otherwise. HONE_E_DATA, HONE_E_MODEL, HONE_E_IO. */
HONE_CALL hone_predict(hone_model *m, hone_data *d, const hone_params *params, const char *path,
                       hone_predict_fn each, void *user, hone_result **out, hone_error *err);

/* The same, set up once for calls without end: from rows in memory to memory of the caller's.
 *
 *     hone_predictor *p;  hone_output out = HONE_OUTPUT;  hone_array in = HONE_ARRAY;
 *     hone_predictor_create(model, NULL, 64, &p, &err);
 *     hone_predictor_output(p, 0, &out);            its name, dtype, values a row; rows: 64
 *     out.data = malloc(64 * out.per_row * sizeof(float));
 *     in.rows = n;  in.per_row = 784;  in.data = x;
 *     hone_predictor_run(p, n, &in, 1, &out, 1, &err);
 *
 * Creation checks and plans, copies the weights and allocates; max_rows is the most that a run may have (1 or more). A run then
 * allocates nothing and, with one thread, makes no system call (the matrix product's library gets itself a buffer the first time
 * that one more thread computes at once). The numbers are hone_predict's for the same rows, bit for bit. The predictor stands by
 * itself: the model may be trained, edited or destroyed, and it goes on giving what the model was when it was created; who wants
 * the new weights creates another. Destroy it before the context.
 * Parameters read (NULL: defaults, and only during the call): "output", "argmax" as in hone_predict; "threads", which is 1 unless
 * it is set, and then stays with the predictor until it is destroyed, so that a fork loses them; "device" cpu or auto
 * (HONE_E_UNSUPPORTED for a GPU). HONE_E_MODEL, HONE_E_UNSUPPORTED, HONE_E_USAGE.
 * Threads: creation belongs to the context's thread, as everything. After that each predictor may be used, and destroyed, by any
 * one thread at a time, many of them side by side, also while the context's thread trains: nothing of the context is touched. */
typedef struct
    hone_output { /* memory of the caller's that an output is written to: row-major, [rows, per_row] */
    size_t size;
    const char *name; /* NULL: by position */
    hone_dtype
        dtype; /* as hone_predict hands it out; HONE_STR: a const char * each, which lives as long as the predictor */
    int64_t rows, per_row;
    void *data;
} hone_output;
/* clang-format off */
#define HONE_OUTPUT { sizeof(hone_output), NULL, HONE_F32, 0, 0, NULL }
/* clang-format on */
HONE_CALL hone_predictor_create(hone_model *m, const hone_params *params, int64_t max_rows,
                                hone_predictor **out, hone_error *err);
/* The i-th input or output, i from 0: name (the predictor's), dtype, per_row, rows (max_rows), data NULL; returns 0 past the end.
 * info begins as HONE_ARRAY or HONE_OUTPUT. The dtype of an input is the model's; a run takes any of numbers. per_row 0: not known. */
HONE_API int hone_predictor_input(const hone_predictor *p, size_t i, hone_array *info);
HONE_API int hone_predictor_output(const hone_predictor *p, size_t i, hone_output *info);
/* The first rows rows of every input (an array each, by name or position, with at least so many rows) to the outputs that are
 * listed, by name or position; those that are not listed are not handed out. Arrays are aligned as their type is, and no output
 * lies over an input or another output. rows 0 does nothing. HONE_E_USAGE for a wrong number of rows or arrays, an unknown name,
 * and places of another dtype, width or too few rows; HONE_E_DATA, naming the input, for rows of another width, too few rows, NaN,
 * infinity or what the model's type makes one of, and indices outside of a table. After an error the places hold anything. */
HONE_CALL hone_predictor_run(hone_predictor *p, int64_t rows, const hone_array *inputs,
                             size_t n_inputs, const hone_output *outputs, size_t n_outputs,
                             hone_error *err);
HONE_API void hone_predictor_destroy(hone_predictor *p);

/* ONNX test vectors: dir/input_N.pb against dir/output_N.pb. HONE_OK also when they differ: read
 * "passed". Labels, integers and bools must be the same; "ties" are those of an ArgMax whose score is
 * as good as the other's within twice the tolerance: they count as passed. */
HONE_CALL hone_verify(hone_model *m, const char *const *dirs, size_t n_dirs,
                      const hone_params *params, hone_result **out, hone_error *err);
/* Backward against central differences in double precision over the model's own graph. */
HONE_CALL hone_gradcheck(hone_model *m, const hone_params *params, hone_result **out,
                         hone_error *err);
/* Tensors and fields that differ between two files. */
HONE_CALL hone_diff(hone_context *ctx, const char *path_a, const char *path_b, hone_result **out,
                    hone_error *err);

/* ---- search ---------------------------------------------------------------------------------------------- */

/* A search whose objective is your own code: ask for settings, try them, tell the value; the next ones know of it. The study
 * is a file that several programs may use at once and that survives being killed at any moment.
 *
 *     hone_params_set(params, "search", "lr=log:1e-4..1e-1", &err);  …one call a parameter of the space
 *     hone_study_open(ctx, "search.db", params, &study, &err);
 *     hone_study_ask(study, &result, &err);       "trial", "params.lr"; "exhausted": true when there is nothing left to try
 *     hone_study_tell(study, trial, value, &result, &err);
 *
 * Parameters read: group "search", and "seed". The first open needs the space ("search", or "setting" with sampler manual) and
 * fixes sampler, direction and seed; later ones may leave them out, or must agree (HONE_E_USAGE). A file that is no study is
 * HONE_E_USAGE, too. "space" is the command's: the library reads no files of options.
 *
 * Instead of a file, here and as "study" of hone_tune, a libpq URI names a study in a PostgreSQL database, for programs on
 * many machines (HONE_E_USAGE when this build has no libpq; hone_doctor says):
 *
 *     postgresql://USER@HOST:PORT/DATABASE?hone_study=NAME&hone_wait=SECONDS
 *
 * NAME ("study"; letters, digits, '_', '-', '.') is what several studies in one database differ by: each is a schema "hone_NAME",
 * which the first program makes. Calls wait up to hone_wait seconds (600) for a server that goes away, log that, and go on when
 * it is back, nothing lost or done twice; then, and when it cannot be reached at the first open, they are HONE_E_IO. Leases are
 * in the server's time. A password belongs into ~/.pgpass or PGPASSWORD, which libpq, unlike this library, reads from the
 * environment; one in the address is never shown, logged or written. Sessions must last: a pooler works in session mode. */
HONE_CALL hone_study_open(hone_context *ctx, const char *path, const hone_params *params,
                          hone_study **out, hone_error *err);
/* The next trial: "trial", its number from 0, and "params", its settings; running until it is told. Or "exhausted": true. */
HONE_CALL hone_study_ask(hone_study *s, hone_result **out, hone_error *err);
/* value NaN or infinite: the trial failed. Telling a trial twice, or one that was never asked, is HONE_E_USAGE. The result has
 * "state", the number of "trials", and "best_trial", "best_value", "best_params" of the study so far ("best_trial": null while
 * no trial is done). */
HONE_CALL hone_study_tell(hone_study *s, int64_t trial, double value, hone_result **out,
                          hone_error *err);
/* The study as it stands, with what other programs have told it: "sampler", "direction", "space", "trials" (number, state:
 * "running", "done", "failed", "waiting"; params; value, null unless done), and the best as hone_study_tell has it. */
HONE_CALL hone_study_describe(hone_study *s, hone_result **out, hone_error *err);
HONE_API void hone_study_close(hone_study *s);

/* Writes a study, of ask and tell or of hone_tune, as a file that optuna.load_study and Optuna's viewers open. study: a file or
 * a URI. Parameters read: "optuna" (the file: .db, .sqlite, .sqlite3 is Optuna's SQLite storage, schema of Optuna 3.2 and later;
 * .log, .jsonl, .journal its journal), "study-name", "force". Kept are settings with their distributions (bounds widened where a
 * setting lies outside), states (done: COMPLETE,
 * pruned: PRUNED, failed: FAIL, running, waiting), values, times, by epoch the mean over the folds as intermediate values; user
 * attributes of a trial: "folds", "std", "best_epochs", "epochs", "seconds", "default", "why". The study is not changed,
 * need not be writable, and others may use it meanwhile (HONE_E_IO when its newest results are in a log, FILE-wal, that cannot
 * be used because the folder is read-only). The result ("hone.export/1") has "file", "format", "study_name", "trials", "states". */
HONE_CALL hone_study_export(hone_context *ctx, const char *study, const hone_params *params,
                            hone_result **out, hone_error *err);

typedef struct hone_setting { /* of a trial: what is searched for, and its value as text */
    const char *name, *value;
} hone_setting;
typedef struct hone_fold { /* of a trial, in order; the one it failed in is the last */
    double value;       /* of what is monitored, at best_epoch or, if it ended earlier, its end */
    int64_t best_epoch; /* the same in all folds of a trial that is complete */
    const double
        *curve; /* what is monitored, n_curve epochs from epoch 1 on; NULL with 0: not known */
    size_t n_curve;
} hone_fold;

/* What a callback sees of a search: a trial that has ended. Valid during the call. */
typedef struct hone_trial {
    size_t size;
    int64_t trial, trials;       /* its number; how many there will be, 0: not known */
    const char *state;           /* "done", "pruned" (value: what it had), "failed" */
    const char *params;          /* "lr=0.01, batch_size=32"; "default" for trial 0 */
    const char *why;             /* a failed trial: why; else "" */
    double value, std;           /* mean over the folds of what is monitored; NaN: none */
    int64_t epochs;              /* of all folds together */
    double seconds;              /* of all folds together */
    int64_t finished;            /* trials that have ended, also in earlier processes */
    int64_t best_trial;          /* -1: none yet */
    double best_value, baseline; /* baseline: the imported model's */
    double elapsed, seconds_left;
    int outer,
        outers; /* "nested": the outer fold whose search this is, from 1, of so many; 0: none */
    const hone_setting *settings; /* without those that do not count in this trial */
    size_t n_settings;
    const hone_fold *folds;
    size_t n_folds;
} hone_trial;
typedef struct hone_tune_callbacks {
    size_t size;
    void *user;
    /* Not 0: no more trials, and it is not called again; the result is that of those there are and of those at work. */
    int (*trial)(void *user, const hone_trial *t);
} hone_tune_callbacks;
/* clang-format off */
#define HONE_TUNE_CALLBACKS { sizeof(hone_tune_callbacks), NULL, NULL }
/* clang-format on */

/* Searches for the training parameters that give the best model on rows it is not trained on: "folds" or validation rows.
 * The space is in "search" (or "space" = "auto", which is told through the log; items of "setting" and no space mean sampler "manual"), other parameters are the fixed settings. It
 * may name any parameter of groups "training" and "data" but files, columns, splits, "x-scale" and lists other than
 * "impute"; and "hidden_units" or "units_1", "units_2", … for the
 * widths of the hidden layers; units_i counts in trials with at least i hidden layers. With a "pruner" a trial
 * that stands worse than earlier ones did after the same folds and epochs ends there: it is "pruned", informs the sampler and
 * is never the best; the first one, with the default settings, is not pruned. Trials are kept in the study
 * "study", or in the run folder: a search that was cut short goes on when it is run again. The model then holds the best
 * settings' weights, trained again as "refit" says; where nothing beats the imported model it is what it was ("beaten":
 * false). With "ensemble" it holds the average of that many best trials of different settings as one graph (probabilities of
 * classes, numbers of a regression; outputs that have no loss, but depend on what learned, likewise: probabilities where they end
 * in Softmax, LogSoftmax or Sigmoid, else numbers; all keep name, shape and meaning), unless that is no better than the imported model;
 * "ensemble.better_than_best" says whether it was worth it. "comparison" has the difference to the imported model over the
 * folds, with the corrected standard error, t and p (two-sided) of Nadeau and Bengio (Machine Learning 52, 2003);
 * "baseline.guess.value" is what the best constant guess has of the monitor over the rows that judge (null: it has none).
 * With "nested" = K the whole search, refit and choice included, first runs in each of K outer folds on the rows outside, and
 * what it would give is judged by the fold's rows (Cawley and Talbot, JMLR 11, 2010): "nested.mean", "nested.se", the values
 * and a comparison as above. It costs K searches more, each with a study of its own in the run folder. "folds" of a
 * "comparison" is 1 for one validation split: then there is no spread, and se, t and p are null.
 * cb may be NULL. "stop_reason" is "trials", "time" or "callback", which are its end; or, stopped by request, "interrupted": then
 * the model is what it was. */
HONE_CALL hone_tune(hone_model *m, hone_data *d, const hone_params *params,
                    const hone_tune_callbacks *cb, hone_result **out, hone_error *err);

/* ---- results --------------------------------------------------------------------------------- */

/* The whole result as one JSON object ("schema" first). indent: spaces a level; 0 or less: one line. */
HONE_CALL hone_result_json(const hone_result *r, int indent,
                           int (*write)(void *user, const void *p, size_t n), void *user,
                           hone_error *err);
/* One number or text by dotted path ("val.accuracy", "nodes.3.verdict"). Returns 1 when it is
 * there. */
HONE_API int hone_result_number(const hone_result *r, const char *path, double *out);
/* NULL: not there or no text */
HONE_API const char *hone_result_text(const hone_result *r, const char *path);
HONE_API void hone_result_destroy(hone_result *r);

#ifdef __cplusplus
}
#endif
#endif
