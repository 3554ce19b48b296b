/* SPDX-License-Identifier: MIT
 *
 * What the files behind a session share (session.c, targets.c, table.c, feed.c, augment.c). */
#ifndef HN_SESSION_OWN_H
#define HN_SESSION_OWN_H

#include "plugin/data_open.h"

enum { HN_HEAD_OUTPUTS = 16 };     /* of a frozen head, at most */
struct hn_own {                    /* hn_session.own */
    struct hone_data *data;        /* as this session sees it: given, or table */
    const struct hone_data *given; /* the caller's */
    struct hone_data table;        /* with encoded and filled tables; ctx NULL: not used */
    struct hn_recipe recipe[HN_TABLES];
    enum hn_session_use use;
    uint8_t *spared; /* per graph input: it has indices alone, which --x-scale does not multiply */
    uint8_t
        *got_scaler; /* per graph input: --scale put one behind it in this session; NULL: none */
    int whole;       /* the program is the whole graph: there is no head to run first */
    struct hn_device device;
    struct hn_loss_spec *specs; /* n_targets */
    struct hn_array
        *labels[3]; /* class numbers of role and target: labels[role][target]; rows 0: not used */
    struct hn_array *scaled[3]; /* targets in scaled units, likewise */
    double **weights[3];        /* of the rows, likewise; NULL: none, or those that were opened */
    struct hn_classes *classes; /* per target; n 0: none */
    struct hn_split split;
    void *cache[HN_ROLES][HN_HEAD_OUTPUTS]; /* outputs of the frozen head per set */
    int n_cache;
    struct hn_scaler scaler;
};

/* session.c: a replica that can only run forward: the model's weights on the device. The caller releases slab W, also after
 * a failure that left one. */
hone_status hn_session_load(struct hn_session *s, struct hn_replica *r, hone_error *err);

/* targets.c: which outputs learn, with which loss, from which arrays; fills in s->targets, own->specs and labels. */
int hn_session_says(const struct hn_own *own); /* are its notes for people? */
hone_status hn_session_targets(struct hn_session *s, hone_error *err);
/* Which loss each target was trained with, for --loss auto of those that come (metadata hone.loss). */
hone_status hn_session_leave_losses(struct hn_session *s, hone_error *err);
/* The target array of role and target: labels, scaled or as opened; NULL when the role has none. */
const struct hn_array *hn_session_target_array(const struct hn_session *s, int role, int target);

/* scale_targets.c: scaled targets, by --scale-target or by the inverse at the end of the model; may edit the model. */
enum hn_scaling hn_session_scaling(const hone_params *p, const char *name); /* as an option says */
hone_status hn_session_scale_targets(struct hn_session *s, hone_error *err);
int hn_session_scales(const struct hn_session *s); /* any of them */

/* class_axis.c: along which axis of an output [rows, ..., ...] its classes lie. The axis behind the rows (PyTorch's cross_entropy)
 * or the last one: as --class-axis says, the softmax the output ends in, the shape of its targets, an earlier training; refused where
 * both fit. Fills in the target's `first`. */
struct hn_target;
hone_status hn_session_class_axis(struct hn_session *s, int target,
                                  const struct hn_output_info *info, const struct hn_array *y,
                                  hone_error *err);
/* Could they be class numbers, one for each of several places of a row? */
int hn_session_has_places(const struct hn_session *s, const struct hn_output_info *info,
                          const struct hn_array *y);
/* Without targets: 1 for the axis behind the rows. */
hone_status hn_session_told_first(const struct hn_session *s, const struct hn_output_info *info,
                                  int *first, hone_error *err);
/* Dense targets [classes, places] of every role as the loss takes them: [places, classes]. */
hone_status hn_session_turn_targets(struct hn_session *s, int target, hone_error *err);
/* Into the metadata, where the model itself does not say it. */
hone_status hn_session_write_class_axis(struct hn_session *s, int target, hone_error *err);
/* v, n rows of [classes, places], as [places, classes] in `to`. */
void hn_turn_classes(const struct hn_target *g, size_t elem, const void *v, int64_t n, void *to);

/* The class of each row of the training role's arrays, for strata; NULL: the rows have no class, or several targets do. */
const int32_t *hn_session_row_classes(const struct hn_session *s);

/* weights.c: what the loss of each row is multiplied by; needs the row lists, and says in specs which losses have weights. */
hone_status hn_session_weights(struct hn_session *s, hone_error *err);
/* Those of the classes to the log, with a remark behind them, if there are any. */
void hn_class_weights_say(struct hn_session *s, const char *remark);
/* Of a role that is a data set and a target whose loss has weights. */
struct hn_column hn_session_weight_column(const struct hn_session *s, int role, int target);

/* reach.c: one line where parameters stay as they are because no loss reaches them, one where --scale changes outputs without a loss. */
hone_status hn_session_say_reach(struct hn_session *s, hone_error *err);

/* augment.c: --augment as options of the training program; opts has its losses. */
hone_status hn_session_augment(const struct hn_session *s, struct hn_lower_opts *opts,
                               hone_error *err);

/* lookup.c: are the indices of the program's embeddings within their tables, in all rows of a set? Names row, value and table;
 * source: where the rows come from, or `of` that of each input by itself (NULL: not known). Neither allocates. */
hone_status hn_check_lookups(const struct hn_program *prog, const struct hn_dataset *set,
                             const struct hn_array *source, const struct hn_array *const *of,
                             hone_error *err);
/* Outputs of a head with tables that cannot be looked up there: rows that are NaN. */
hone_status hn_check_looked_up(const struct hn_program *prog, const struct hn_dataset *cached,
                               const struct hn_array *source, hone_error *err);
int hn_program_looks_up(const struct hn_program *p);
/* Refuses unknown categories of array k, which feeds graph input `input`, as numbers below 0 where those are indices of a table: they
 * count from its end. In training at once, else where a row has one. */
hone_status hn_check_unknown(const struct hn_session *s, size_t input, int role, size_t k,
                             hone_error *err);
/* index_elements.c: is[k] for each of the n elements of a row of graph input `input`: does it end as an index of a table? */
hone_status hn_session_index_elements(const struct hn_session *s, size_t input, uint8_t *is,
                                      int64_t n, int64_t *found, hone_error *err);
/* Are all categories in the rows of input `input` such as encoders that must know them do? text: what the numbers stand for, or NULL. */
hone_status hn_session_check_categories(const struct hn_session *s, size_t input,
                                        const struct hn_array *a, const struct hn_array *text,
                                        hone_error *err);

/* table.c: encoded and filled tables in place of raw ones; into the model's metadata; closing. */
hone_status hn_session_tables(struct hn_session *s, hone_error *err);
hone_status hn_session_write_tables(struct hn_session *s, hone_error *err);
/* Lists of own->table's own, of the same arrays as own->data's. */
hone_status hn_session_share_data(struct hn_session *s, hone_error *err);
/* texts.c: columns that text inputs read, as numbers. Behind the tables. */
hone_status hn_session_texts(struct hn_session *s, hone_error *err);
void hn_session_close_tables(struct hn_session *s);

/* feed.c: which arrays feed the graph's inputs, the frozen head over them, data sets in program order. */
hone_status hn_session_check_inputs(struct hn_session *s, hone_error *err);
hone_status hn_session_feed(struct hn_session *s, hone_error *err);
/* Elements of a row that graph input i wants; 0: not known. */
int64_t hn_input_per_row(const struct hn_graph *g, size_t i);

/* head.c: the frozen head of a session whose program is not the whole graph, ready for so many rows at once. prog NULL: there is
 * none. It stays where it was opened, and is closed also when that failed. */
struct hn_head {
    struct hn_session *s;
    struct hn_program *prog;
    struct hn_plan *plan;
    void *exec;
    int64_t rows;
    struct hn_replica r; /* its weights */
    struct hn_hyper hyper;
};
hone_status hn_head_open(struct hn_head *h, struct hn_session *s, int64_t rows, hone_error *err);
/* Rows [first, first + n) of a bound data set, n at most h->rows: its outputs, a buffer each. Allocates nothing. */
hone_status hn_head_run(struct hn_head *h, const void *bound, int64_t first, int64_t n,
                        void *const *out, hone_error *err);
/* Elements of a row of output i, as hn_dataset's column has them. */
hone_status hn_head_per_row(const struct hn_head *h, int i, int64_t *per_row, hone_error *err);
void hn_head_close(struct hn_head *h);
/* Position among the role's x arrays of the one that feeds graph input i. */
int hn_session_input_array(const struct hn_session *s, int role, size_t input);
#endif
