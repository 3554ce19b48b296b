/* SPDX-License-Identifier: MIT
 *
 * What the tests of whole searches share: a model, rows of three classes, parameters and a folder, over the faults of the rig
 * (hn_fault_init goes before rig_begin; what holds at the end is asked by rig_close). */
#ifndef HN_TEST_TUNE_RIG_H
#define HN_TEST_TUNE_RIG_H

#include "plugin/tune/tune.h"
#include "tests/fault.h"
#include "tests/harness.h"

enum { ROWS = 60, IN = 4 };

struct rig {
    struct hn_fault fault;
    char dir[512];
    hone_context *ctx;
    hone_model *model;
    hone_data *data;
    hone_params *params;
    float x[ROWS * IN];
    int64_t y[ROWS];
};

static inline void rig_remove_folder(const struct rig *g)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
    ck_assert_int_eq(system(command), 0);
}

/* A folder of that name, a model of that spec, no parameter set. A call that fails leaves what rig_close takes. */
static inline hone_status rig_begin(struct rig *g, const char *name, const char *spec,
                                    hone_error *err)
{
    hone_context_opts opts = HONE_CONTEXT_OPTS;
    g->ctx = NULL, g->model = NULL, g->data = NULL, g->params = NULL;
    snprintf(g->dir, sizeof g->dir, "%s/%s-%d", HN_BINARY_DIR, name, (int)getpid());
    rig_remove_folder(g);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < IN; j++) g->x[i * IN + j] = (float)((i * 37 + j * 91 + 17) % 64) / 16;
        g->y[i] = (g->x[i * IN] > 2) + (g->x[i * IN + 1] > 3);
    }
    hone_array x = { sizeof x, NULL, HONE_F32, ROWS, IN, g->x };
    hone_array y = { sizeof y, NULL, HONE_I64, ROWS, 1, g->y };
    opts.alloc = hn_fault_alloc, opts.release = hn_fault_release, opts.alloc_user = &g->fault;
    hone_status st = hn_context_create_with(&opts, &g->fault.io, &g->ctx, err);
    if (st == HONE_OK) st = hone_model_new(g->ctx, spec, 1, &g->model, err);
    if (st == HONE_OK) st = hone_data_wrap(g->ctx, HONE_TRAIN, &x, 1, &y, 1, &g->data, err);
    return st == HONE_OK ? hone_params_create(g->ctx, &g->params, err) : st;
}

static inline void rig_close(struct rig *g)
{
    hone_params_destroy(g->params);
    hone_data_destroy(g->data);
    hone_model_destroy(g->model);
    hone_context_destroy(g->ctx);
    rig_remove_folder(g);
    ck_assert_int_eq(hn_fault_leaks(&g->fault), 0);
}
#endif
