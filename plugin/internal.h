/* SPDX-License-Identifier: MIT
 *
 * What the files of plugin/ and plugin/train share: the insides of the public handles and the
 * session, a job made ready: model understood, data opened and cast into program order, losses
 * chosen, backend open. Training, evaluation and prediction all start from a session. */
#ifndef HN_INTERNAL_H
#define HN_INTERNAL_H

#include "hone.h"
#include "ops/base/io.h"
#include "ops/base/json.h"
#include "ops/graph/graph.h"
#include "ops/math/op.h"

struct hone_context {
    struct hn_mem mem;
    const struct hn_io *io; /* hn_io_system; tests put their own */
    atomic_int stop;
    atomic_int begun; /* the run has something to stop: it reads and waits for nothing any more */
    atomic_int chose_gpu; /* "auto" gave the training run opened last a GPU */
    void (*log)(void *user, hone_log_level level, const char *text);
    void *log_user;
    struct hn_plugin *plugins;  /* plugin/plugins.h */
    struct hn_foreign *readers; /* theirs, for files of data */
    struct hn_custom_op *ops;   /* theirs, for models */
    long
        plugin_fail_at; /* hone_plugin_check: their allocation that fails while one is loaded; 0: none */
    void (*plugin_called)(void *user,
                          const char *call); /* likewise: told of what was called; may be NULL */
    void *plugin_called_user;
};
/* A hash of 128 bits as 32 hexadecimal digits; returns text. */
const char *hn_hash_text(const unsigned char hash[16], char text[33]);
/* places.c: may what the parameters say be written be written there? HONE_E_USAGE: it is read as well */
hone_status hn_places_check(const hone_model *m, const hone_params *p, hone_error *err);
/* The same of one file that is written and is no model. */
hone_status hn_places_check_file(const hone_model *m, const hone_params *p, const char *path,
                                 hone_error *err);
/* A call that may be stopped: nothing is asked, nothing has begun. */
void hn_context_enter(hone_context *ctx);
void hn_log(hone_context *ctx, hone_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Tests: a context over a given memory and io. */
hone_status hn_context_create_with(const hone_context_opts *opts, const struct hn_io *io,
                                   hone_context **out, hone_error *err);

/* ---- results: a tree built in order ---------------------------------------------------------- */
struct hone_result {
    struct hn_arena arena;
    struct hn_node_r *root; /* plugin/result.c */
    struct hn_node_r *stack[32];
    int depth, failed; /* failed: an allocation failed; checked once by hn_result_done */
};
/* Starts with "schema" and "ok": true. The result keeps a pointer to the context's memory. */
hone_status hn_result_create(hone_context *ctx, const char *schema, hone_result **out,
                             hone_error *err);
void hn_result_object(hone_result *r, const char *key); /* key NULL inside arrays */
void hn_result_array(hone_result *r, const char *key);
void hn_result_close(hone_result *r);
void hn_result_string(hone_result *r, const char *key, const char *v);
void hn_result_int(hone_result *r, const char *key, int64_t v);
void hn_result_double(hone_result *r, const char *key, double v);
void hn_result_bool(hone_result *r, const char *key, int v);
void hn_result_null(hone_result *r, const char *key);
/* hone_result_json into a sink */
hone_status hn_result_write(const hone_result *r, int indent, struct hn_sink *s, hone_error *err);
/* The numbers under these keys, nested as they are, times left out: metrics.json of a run folder. */
hone_status hn_result_write_figures(const hone_result *r, const char *const *keys, size_t n_keys,
                                    struct hn_sink *s, hone_error *err);
/* HONE_E_NOMEM if anything failed on the way */
hone_status hn_result_done(hone_result *r, hone_error *err);

/* ---- parameters: typed reading ---------- */
/* p NULL: the defaults. The table itself is plugin/params.def; a name that is not in it reads as
 * unset. */
double hn_param_f(const hone_params *p, const char *name); /* NaN when unset without default */
/* 0 when unset without default; "+5" reads as 5 */
int64_t hn_param_i(const hone_params *p, const char *name);
int hn_param_b(const hone_params *p, const char *name);
/* "" when unset without default; lists: the first item */
const char *hn_param_s(const hone_params *p, const char *name);
/* Of what other programs call a parameter its name here: "learning_rate" is "lr". NULL: no such word. */
const char *hn_param_called(const char *name);
/* items of a list, its default's included */
size_t hn_param_count(const hone_params *p, const char *name);
hone_status hn_params_copy(const hone_params *from, hone_params **out, hone_error *err);
/* The optimizer part resolved with the contract's defaults that depend on the optimizer (lr,
 * momentum, eps, weight decay). */
hone_status hn_params_hyper(const hone_params *p, struct hn_hyper *hyper, double *lr,
                            hone_error *err);

/* ---- backend choice (plugin/device.c) -------------------------------------------------------- */
struct hn_device {
    const struct hn_backend *backend;
    void *dev;
    int threads; /* that the backend got; 1 for the reference */
};
/* float64 runs on the reference backend, float32 on the CPU's. Parameters: device ("auto", which is the CPU here, "cpu",
 * "cuda", "cuda:N"; no module: HONE_E_DEVICE with the reason), threads (0: the cores this process may use, fewer where address space is short), and math,
 * bn-impl and dropout-impl, which are the GPU's: HONE_E_USAGE where the CPU cannot do as they say. close accepts a
 * zeroed struct. */
hone_status hn_device_open(hone_context *ctx, const hone_params *params, enum hn_dtype dtype,
                           struct hn_device *out, hone_error *err);
/* The same for a job of so many multiplications in all that is not a training run: small ones get one thread unless told. */
hone_status hn_device_open_for(hone_context *ctx, const hone_params *params, enum hn_dtype dtype,
                               double work, struct hn_device *out, hone_error *err);
struct hn_training { /* a training run, as far as a device is chosen by it */
    const struct hn_program *prog;
    int64_t batch, rows, epochs; /* batch: of these rows, at most all of them */
};
/* The same for a training run: "auto" is a GPU where it pays, and where the GPU can do it; if it cannot, that is said (a note).
 * Leaves in ctx->chose_gpu whether it was "auto" that gave a GPU. */
hone_status hn_device_open_training(hone_context *ctx, const hone_params *params,
                                    enum hn_dtype dtype, const struct hn_training *t,
                                    struct hn_device *out, hone_error *err);
void hn_device_not_gpu(hone_context *ctx, const hone_error *why); /* that note */
hone_status hn_device_open_cpu(hone_context *ctx, int threads, enum hn_dtype dtype,
                               struct hn_device *out, hone_error *err);
void hn_device_close(struct hn_device *d);
/* Does a product with n columns give the same bits with weights that lie [in, out], and is it faster for few rows? */
int hn_device_turns(const struct hn_backend *b, int64_t n);
int hn_device_is_gpu(const hone_params *params); /* would be opened, by what they say */
/* What its numbers may depend on beyond the program: "avx512", "double", a GPU with its libraries
 * and choices.
 * NULL: out of memory. */
const char *hn_device_core(const struct hn_backend *b, void *dev, struct hn_arena *a);
/* Why no GPU can be used, for doctor and messages; NULL when one can, then its description is in name (NULL: not
 * wanted). Static text. */
const char *hn_device_why_no_gpu(char *name, size_t size);

/* ---- model ----------------------------------------------------------------------------------- */
/* struct hone_model is private to plugin/model.c; these are its inner doors. */
struct hn_graph *hn_model_graph(hone_model *m);
hone_context *hn_model_context(hone_model *m);
const char *hn_model_path(const hone_model *m); /* NULL when loaded from memory */
/* XXH3-128 of the source bytes and the edit list */
void hn_model_hash(const hone_model *m, unsigned char hash[16]);
size_t hn_model_n_edits(const hone_model *m);
const char *hn_model_edit_line(const hone_model *m, size_t i);
/* The bytes a checkpoint keeps so that resume needs no model file: current bytes after edits
 * (external data inline). */
hone_status hn_model_bytes(hone_model *m, struct hn_buffer *out, hone_error *err);
/* The first part of preparing: the batch dimension as asked for, shared values apart, training forms as inference forms. */
hone_status hn_model_plain_form(hone_model *m, const hone_params *params, hone_error *err);
/* Applies untie edits etc. that training needs; the graph may be replaced. Globs of --freeze
 * come from params. */
hone_status hn_model_prepare_training(hone_model *m, const hone_params *params, hone_error *err);
/* Inserts a scaler in front of input `name` / behind output `name`: x' = (x - offset) * scale,
 * resp. y = y' * scale + offset. */
hone_status hn_model_scale_input(hone_model *m, const char *name, const char *kind,
                                 const double *offset, const double *scale, int64_t n,
                                 hone_error *err);
hone_status hn_model_scale_output(hone_model *m, const char *name, const char *kind,
                                  const double *offset, const double *scale, int64_t n,
                                  hone_error *err);
int hn_model_has_scaler(hone_model *m, const char *input);
/* Other numbers in the inverse at the end of an output: y = y' / scale + offset. */
struct hn_unscaler;
hone_status hn_model_rescale_output(hone_model *m, const struct hn_unscaler *u,
                                    const double *offset, const double *scale, int64_t n,
                                    hone_error *err);
/* Does an output end in an inverse of scaled targets that stays as it is? (scale_targets.c) */
int hn_model_unscales(hone_model *m);
/* A tensor of the file by its value number in the graph, with the numbers it has now. */
struct hn_tensor hn_model_tensor(hone_model *m, int32_t value);
/* Fills a host slab W of prog from the model's tensors (elem 4 or 8), and the other way round:
 * the trained and state parameters of prog become the model's tensors (file dtype and layout at
 * export). */
hone_status hn_model_get_weights(hone_model *m, const struct hn_program *prog, void *w, size_t elem,
                                 hone_error *err);
hone_status hn_model_put_weights(hone_model *m, const struct hn_program *prog, const void *w,
                                 size_t elem, hone_error *err);
/* plugin/stored.c: parameters that the file holds in a half type. */
int hn_program_has_half(const struct hn_program *prog);
/* Rounds them in the slab as the export does. The first one with a finite number that its type cannot hold; NULL: none. */
const struct hn_param *hn_round_as_stored(const struct hn_program *prog, void *w, size_t elem);
/* HONE_E_DIVERGED names the element of p that its type cannot hold. */
hone_status hn_check_stored(const struct hn_param *p, const void *w, size_t elem, hone_error *err);
/* plugin/ensemble.c: the edit line that makes one model of several that were trained as the session's targets say. */
struct hn_session;
hone_status hn_ensemble_line(const struct hn_session *s, struct hn_buffer *line, hone_error *err);
/* Applies it to m with the bytes of the other members. HONE_E_UNSUPPORTED: this graph does not allow it. */
hone_status hn_model_ensemble(hone_model *m, const char *line, const struct hn_buffer *others,
                              size_t n_others, hone_error *err);
/* Fails early when saving to path could not work: exists and no force, is the model's own file,
 * its folder is missing or cannot be written to (HONE_E_USAGE, HONE_E_IO). Call before training. */
hone_status hn_model_check_output(hone_model *m, const char *path, int force, hone_error *err);
/* hone. metadata to be written with the model (replaced by key); value NULL removes. No time,
 * path or thread count in it. */
hone_status hn_model_set_metadata(hone_model *m, const char *key, const char *value,
                                  hone_error *err);
/* The value of a key as it would be written, NULL when it is not there. Valid until the model changes. */
const char *hn_model_metadata(const hone_model *m, const char *key);
/* What an output (NULL: the file) calls its classes: as imported, else as a training of this model has left it. n 0: it has no
 * list. Lives as long as the arena and the model's state. */
hone_status hn_model_classes(const hone_model *m, const char *output, struct hn_arena *a,
                             struct hn_class_list *found, hone_error *err);
/* Undo for a failed or interrupted caller: remembers edits, weights and metadata. */
struct hn_model_mark;
hone_status hn_model_mark(hone_model *m, struct hn_model_mark **out, hone_error *err);
hone_status hn_model_rewind(hone_model *m, struct hn_model_mark *mark, hone_error *err);
void hn_model_mark_free(struct hn_model_mark *mark);

/* ---- roles of rows: hone_role ---- */
enum { HN_ROLES = HONE_PRETRAIN + 1 };

/* ---- session --------------------------------------------------------------------------------- */
struct hn_target { /* how one loss gets its target, how its metrics are computed */
    enum hn_loss_kind loss;
    int output; /* graph output */
    const char *output_name;
    enum hn_tail tail;
    int dense;                  /* targets are numbers, else class indices */
    int n_classes;              /* > 1: classification (2 with one sigmoid output) */
    const char *const *classes; /* names in order, NULL when they are 0..C-1 */
    double weight;
    /* --scale-target: the loss and its targets are in scaled units, y = scaled * scale + offset;
     * NULL: not scaled. The evaluator's mae, rmse and r2 are in y's own units. hn_session_finish
     * writes the inverse into the graph, unless the file has it: then outputs are in y's units. */
    const double *offset, *scale;
    int in_file;
    int64_t per_row; /* outputs of a row */
    int64_t
        places; /* of a row that have a class each, n_classes outputs a place; 1 but for [rows, places, classes] */
    int first; /* the classes lie along the axis behind the rows, [rows, classes, places]: PyTorch's cross_entropy */
    int column; /* where it is among a data set's targets; its weights, if any, come next */
};
struct hn_class_weights { /* of one target, in its order of classes; n 0: none */
    int64_t n;
    int target, balanced;
    double *w;
    const char *const *names;
};
hone_status hn_class_weights_copy(const struct hn_class_weights *c, struct hn_arena *a,
                                  struct hn_class_weights *out, hone_error *err);
void hn_class_weights_result(hone_result *r,
                             const struct hn_class_weights *c); /* nothing for none */
struct hn_rows {                                                /* a list of rows of sets[set] */
    uint32_t *rows;
    int64_t n;
};
struct hn_session {
    hone_context *ctx;
    hone_model *model;
    const hone_params *params;
    const struct hn_backend *backend;
    void *dev;
    int threads;
    /* BODY with losses (training, evaluation) or without (prediction) */
    struct hn_program *prog;
    struct hn_target *targets;
    int n_targets;
    struct hn_class_weights class_weights;
    /* by hone_role, in program order, frozen head already applied; NULL: none */
    struct hn_dataset *sets[HN_ROLES];
    void *bound[HN_ROLES];
    /* which set a role's rows are in (a split shares the training set) */
    int set_of[HN_ROLES];
    struct hn_rows rows[HN_ROLES]; /* rows of each role; n 0: none */
    struct hn_arena arena;
    void *own; /* plugin/session.c */
};
/* TRAIN   everything; the model is prepared and scaled first (split, then fit of scalers on
 *         training rows only, then the graph edit, then the head's cache)
 * JUDGE   the same rows and targets for figures of the model as it stands: nothing in the model
 *         changes
 * EVAL    all rows of the training role with targets, no split
 * PREDICT all rows of the training role, no targets; prog is the whole graph (HN_PART_ALL) and
 *         may have a fixed batch */
enum hn_session_use { HN_USE_TRAIN, HN_USE_JUDGE, HN_USE_EVAL, HN_USE_PREDICT };
/* Opens everything; the data must outlive the session. PREDICT with d NULL: no rows are fed, there is the program and the device. */
hone_status hn_session_open(hone_model *m, hone_data *d, const hone_params *params,
                            enum hn_session_use use, struct hn_session **out, hone_error *err);
void hn_session_close(struct hn_session *s);
/* XXH3 of all arrays as this session sees them. Reads all of them: for those who write it down or compare it. */
hone_status hn_session_data_hash(const struct hn_session *s, unsigned char out[16],
                                 hone_error *err);
/* After the trained weights are in the model: inverse of --scale-target behind the outputs,
 * hone.classes. */
hone_status hn_session_finish(struct hn_session *s, hone_error *err);
/* One gathered element type for host code: dst[i, :] = column's rows as elements of elem bytes. */
void hn_column_gather(const struct hn_column *c, const uint32_t *rows, int64_t n, size_t elem,
                      void *dst);

/* Loss and metrics of the weights in slab w over one role, evaluation in inference mode at a
 * fixed batch size (so that the figures do not depend on --batch-size). Keeps its plan and
 * buffers in the evaluator between calls: no allocation after the first. values: names "loss",
 * "accuracy", "mae", "r2", … as the contract lists them. */
struct hn_evaluator;
struct hn_figures {
    double loss;
    double accuracy, mae, rmse, r2, f1, auc;
    unsigned has; /* bits: HN_HAS_… */
    int64_t rows;
    double
        loss_error; /* standard error of the loss; 0: not asked for, or not known. In no checkpoint */
};
enum {
    HN_HAS_ACCURACY = 1,
    HN_HAS_MAE = 2,
    HN_HAS_RMSE = 4,
    HN_HAS_R2 = 8,
    HN_HAS_F1 = 16,
    HN_HAS_AUC = 32
};
hone_status hn_evaluator_create(struct hn_session *s, struct hn_evaluator **out, hone_error *err);
hone_status hn_evaluator_run(struct hn_evaluator *e, const struct hn_replica *r, hone_role role,
                             struct hn_figures *out, hone_error *err);
void hn_evaluator_destroy(struct hn_evaluator *e);
/* From now on figures come with the standard error of the loss, of models with one loss. */
void hn_evaluator_with_error(struct hn_evaluator *e);
/* an object with loss and metrics */
void hn_figures_result(hone_result *r, const char *key, const struct hn_figures *f);

/* guess.c: figures of the best constant guess for a role's rows. rows 0: there are none, or they weigh nothing. */
hone_status hn_guess_figures(const struct hn_session *s, hone_role role, struct hn_figures *out,
                             hone_error *err);
/* Is a model clearly better than it? By r2 for numbers, else by the loss: by 2 % of the guess's. */
int hn_guess_beaten(const struct hn_figures *f, const struct hn_figures *guess);
/* A warning when it is not; else when its answers alone are not. weighted: rows or classes are, accuracy is no aim. */
void hn_guess_say(hone_context *ctx, const char *rows, const struct hn_figures *f,
                  const struct hn_figures *guess, int weighted);
/* An object with those of the loss and the accuracy; nothing where they are not known. */
void hn_standard_error_result(hone_result *r, const char *key, const struct hn_figures *f);

/* spread.c: sums for the standard error of one target's loss; weights NULL: all 1. */
struct hn_loss_error {
    double w, wl, ww, wwl, wwll;
};
void hn_loss_error_add(struct hn_loss_error *e, const struct hn_target *g, size_t elem,
                       const void *outputs, const void *targets, const double *weights, int64_t n);
/* 0: cannot be told. loss: what was measured, to compare with. */
double hn_loss_error_of(const struct hn_loss_error *e, double loss);
#endif
