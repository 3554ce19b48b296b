/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over what follows an import: verdicts, every part of the program with every kind of loss, and its plan. The
 * first byte of the input chooses the options, the rest is the model. Properties: no crash, no leak, and a program that
 * comes out is one that can be planned or is refused with a reason. */
#include "onnx/model.h"
#include "ops/base/io.h"
#include "ops/graph/graph.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what, const hone_error *err)
{
    if (ok) return;
    fprintf(stderr, "%s: %s: %s\n", what, err ? err->where : "", err ? err->text : "");
    abort();
}

static void plan(struct hn_mem *mem, const struct hn_program *p)
{
    hone_error err = { .code = HONE_OK };
    for (int pass = HN_PASS_TRAIN; pass <= HN_PASS_STATS; pass++) {
        struct hn_plan *plan;
        hone_status st = hn_plan_create(mem, p, (enum hn_pass)pass, 3, 8, 1 << 28, &plan, &err);
        must(st == HONE_OK || err.text[0] != '\0', "a plan is refused without a reason", &err);
        hn_plan_destroy(plan, mem);
    }
}

static void lower(struct hn_mem *mem, const struct hn_graph *g, unsigned choice)
{
    struct hn_loss_spec loss = { .output = (int)(choice & 1u),
                                 .kind = (enum hn_loss_kind)(choice % 6),
                                 .weight = 1,
                                 .delta = 1,
                                 .dense = choice >> 3 & 1,
                                 .row_weights = choice >> 4 & 1 };
    struct hn_lower_opts opts = { .losses = &loss,
                                  .n_losses = (int)(choice >> 5 & 1u),
                                  .dropout = 0.5,
                                  .insert_dropout = choice >> 6 & 1,
                                  .freeze_batchnorm = choice >> 7 & 1 };
    hone_error err = { .code = HONE_OK };
    for (int part = HN_PART_ALL; part <= HN_PART_BODY; part++) {
        struct hn_program *p = NULL;
        opts.part = (enum hn_part)part;
        hone_status st = hn_lower(g, &opts, &p, &err);
        must(st == HONE_OK || (p == NULL && err.text[0] != '\0'), "no reason", &err);
        must(st != HONE_E_INTERNAL, "a contradiction inside", &err);
        if (p) plan(mem, p);
        hn_program_destroy(p, mem);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hn_mem mem;
    struct hn_onnx *m = NULL;
    struct hn_graph *g = NULL;
    struct hn_graph_opts opts = { .keep_fixed_batch = size > 0 && data[0] % 5 == 0 };
    if (size < 2) return 0;
    hn_mem_init(&mem, 1 << 28);
    if (hn_onnx_open_bytes(&m, &mem, &hn_io_system, data + 1, size - 1, NULL, NULL, NULL) ==
            HONE_OK &&
        hn_onnx_graph(m, &opts, &g, NULL) == HONE_OK) {
        for (size_t i = 0; i < g->n_nodes; i++)
            must(g->nodes[i].why != NULL, "a node without a reason", NULL);
        for (size_t i = 0; i < g->n_outputs; i++) {
            struct hn_output_info info;
            hn_graph_output(g, i, &info);
        }
        if (hn_graph_blocked(g, 0, NULL) == HONE_OK) lower(&mem, g, data[0]);
    }
    hn_graph_destroy(g);
    hn_onnx_close(m);
    must(atomic_load(&mem.used) == 0, "a leak", NULL);
    return 0;
}
