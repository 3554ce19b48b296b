/* SPDX-License-Identifier: MIT
 *
 * Pre-training: before the training itself, each hidden Dense layer learns, one after the other and from the inputs alone, to
 * keep what reaches it (Bengio, Lamblin, Popovici, Larochelle 2007). The layer with the normalisation and activation behind it
 * is the encoder of an autoencoder, a fresh Dense layer the decoder, which is thrown away afterwards; the loss is the mean
 * square error against what reached the layer. With noise, a share of the encoder's inputs is set to 0, and the error is
 * against the undisturbed ones (Vincent et al. 2010). What stands in front of the layer is computed in inference form.
 *
 *   x ──> in front, as in predict ──> input ──> noise ──> [ Dense, normalisation, activation ] ──> Dense' ──> mean square error
 *                                       └────────────────────────────────────────────────────────────────────────┘
 *
 * An autoencoder is a program cut out of the training program (hn_autoencoder), trained by a cohort of one on the session's own
 * data set: nothing of the data is copied, and every backend can do it. Which layers there are is a matter of the program
 * alone, what becomes of layer k one of its position, the weights before it, and the replica's key; the state of a run has how
 * many layers are done. A request to stop leaves the layer at work as it was before, so that it is done again by resume. */
#ifndef HN_PRETRAIN_H
#define HN_PRETRAIN_H

#include "plugin/internal.h"
#include "plugin/train/visit.h"

struct hn_pretrain_opts {
    int64_t epochs; /* of each layer; 0: off */
    int64_t batch;
    double noise, lr;
};

enum { HN_LAYER_NOT, HN_LAYER_FRONT, HN_LAYER_OWN }; /* an op's part in an autoencoder */
struct hn_layer {
    const char *name; /* of its node */
    int32_t op;       /* the Dense */
    int32_t input;    /* value that is to be restored */
    int32_t code;     /* value it is restored from */
    uint8_t *part;    /* per op of the program */
    uint8_t *learns;  /* per parameter */
    int64_t in, units;
    double before, after; /* mean square error without noise; once it is done */
};
struct hn_layer_skip {
    const char *name, *why;
};
struct hn_layers {
    struct hn_layer *layer; /* in the order of the program */
    int n;
    struct hn_layer_skip *skip; /* hidden layers that are not pre-trained */
    int n_skip;
};

struct hn_pretrain {
    struct hn_pretrain_opts opts;
    struct hn_layers layers;
    struct hn_arena arena;
    /* state: visited by checkpoints */
    int done; /* layers */
    int over; /* nothing is left to do, or the time was up */
};

struct hn_pretrain_line { /* what a hook sees: the end of an epoch, or (epoch 0) of a layer */
    const struct hn_layer *layer;
    int64_t epoch;
    double loss, seconds;
};

struct hn_fit;
/* Finds the layers. HONE_E_UNSUPPORTED when there is none. opts.epochs 0: nothing. Close accepts a zeroed struct. */
hone_status hn_pretrain_open(struct hn_pretrain *p, const struct hn_session *s,
                             const struct hn_pretrain_opts *o, hone_error *err);
void hn_pretrain_close(struct hn_pretrain *p);
/* The layers that are left, in slab W of the fit's member. Sets the fit's reason when a callback, a request or a number that
 * is not finite ends it; when the time is up it ends as it is. */
hone_status hn_pretrain_run(struct hn_fit *f, hone_error *err);
void hn_pretrain_visit(struct hn_visit *v, struct hn_pretrain *p);
/* "pretrain" of a result; nothing when it is off. */
void hn_pretrain_result(hone_result *r, const struct hn_pretrain *p);
/* What cannot go together. rows: some without targets were opened. HONE_E_USAGE. */
hone_status hn_pretrain_check(const hone_params *p, int rows, hone_error *err);

/* pretrain_layers.c: what of a program can be pre-trained. */
hone_status hn_layers_find(const struct hn_program *prog, const struct hn_graph *g,
                           struct hn_arena *a, struct hn_layers *out, hone_error *err);
/* pretrain_program.c: the layer's autoencoder. Its parameters are those of `prog`, at places of their own, then the decoder's
 * weight and bias. Needs `prog`. */
hone_status hn_autoencoder(const struct hn_program *prog, const struct hn_layer *l, double noise,
                           struct hn_mem *m, struct hn_program **out, hone_error *err);
#endif
