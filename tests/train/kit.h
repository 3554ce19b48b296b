/* SPDX-License-Identifier: MIT
 *
 * What the tests of training share: the small recorded models of tests/data/train with their data, parameters from pairs of
 * texts, a model's tensor by name. */
#ifndef HN_TRAIN_TEST_KIT_H
#define HN_TRAIN_TEST_KIT_H

#include "plugin/internal.h"
#include "tests/harness.h"

enum { KIT_ROWS = 50, KIT_IN = 6 };

struct kit_pair {
    const char *name, *value; /* name NULL: the end */
};

struct kit { /* a context with a model and data over it */
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    hone_params *params;
    int is_double, classes;
    double x[KIT_ROWS * KIT_IN], y[KIT_ROWS * 2];
    float xf[KIT_ROWS * KIT_IN], yf[KIT_ROWS * 2];
    int64_t labels[KIT_ROWS];
};

/* name: "bn_f32", "ln_f64", …; io and opts may be NULL. The training rows are all of them; with val > 0 the last val rows
 * are validation data instead. */
hone_status kit_open(struct kit *k, const char *name, int val, const hone_context_opts *opts,
                     const struct hn_io *io, hone_error *err);
void kit_close(struct kit *k);
/* Writes the rows as folder/x.npy, y.npy, val_x.npy, val_y.npy (val rows; 0: none) and sets the parameters to read them. */
void kit_files(struct kit *k, const char *folder, int val);
#define PAIRS(...) ((const struct kit_pair[]){ __VA_ARGS__, { NULL, NULL } })
hone_status kit_set(struct kit *k, const struct kit_pair *pairs, hone_error *err);
/* A number of a result, which must be there. */
double kit_number(const hone_result *r, const char *path);
/* The named parameter of the model as doubles in the file's order; n elements. */
void kit_tensor(hone_model *m, const char *name, double *out, size_t n);
/* All parameters' bits, hashed: equal models are equal here. */
uint64_t kit_hash(hone_model *m);
/* XXH3 of the bytes the model would be saved as. */
uint64_t kit_file_hash(hone_model *m);
/* A fresh folder under the build folder. */
const char *kit_folder(const char *name, char path[512]);
#endif
