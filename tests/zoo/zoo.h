/* SPDX-License-Identifier: MIT
 *
 * Real models (../shared/zoo beside the checkout): loading them, running their programs on the reference backend with the
 * inputs that tests/data/make_zoo_refs.py also makes, and one line of text for each node. */
#ifndef HN_TEST_ZOO_H
#define HN_TEST_ZOO_H

#include "onnx/model.h"
#include "ops/graph/graph.h"
#include "tests/harness.h"

#define ZOO_FOLDER HN_SOURCE_DIR "/../shared/zoo"

struct zoo {
    struct hn_mem mem;
    struct hn_onnx *onnx;
    struct hn_graph *graph;
    hone_error err;
};
int zoo_present(void);
/* name below ZOO_FOLDER; opts may be NULL. Aborts the test with the error when it does not load. */
void zoo_open(struct zoo *z, const char *name, const struct hn_graph_opts *opts);
void zoo_close(struct zoo *z);

struct zoo_result { /* outputs of a program, in its order */
    int n;
    const char *names[16];
    double *data[16];
    int64_t count[16];
};
/* Runs inference on `rows` rows of the formula's inputs; in[k] replaces input k's numbers when in is not NULL. */
void zoo_run(struct zoo *z, const struct hn_program *p, int64_t rows, double *const *in,
             struct zoo_result *r);
void zoo_result_free(struct zoo *z, struct zoo_result *r);

/* Verdicts, parameters, issues as text. */
void zoo_listing(const struct hn_graph *g, FILE *f);
#endif
