/* SPDX-License-Identifier: MIT
 *
 * See zoo.h. */
#include "tests/zoo/zoo.h"

#include "ops/base/io.h"
#include "ops/math/op.h"
#include "ops/math/row.h"
#include <math.h>

int zoo_present(void) { return access(ZOO_FOLDER, R_OK) == 0; }

void zoo_open(struct zoo *z, const char *name, const struct hn_graph_opts *opts)
{
    char path[1024];
    memset(z, 0, sizeof *z);
    hn_mem_init(&z->mem, 0);
    snprintf(path, sizeof path, "%s/%s", ZOO_FOLDER, name);
    HN_OK(hn_onnx_open(&z->onnx, &z->mem, &hn_io_system, path, &z->err), z->err);
    HN_OK(hn_onnx_graph(z->onnx, opts, &z->graph, &z->err), z->err);
}

void zoo_close(struct zoo *z)
{
    hn_graph_destroy(z->graph);
    hn_onnx_close(z->onnx);
    ck_assert_uint_eq(atomic_load(&z->mem.used), 0);
}

/* ---- one call of the reference backend ---------------------------------------------------------------------------- */

static int is_integer(const struct hn_graph *g, const char *name)
{
    int32_t v = hn_graph_find(g, name);
    return v >= 0 && (g->values[v].dtype == HN_I32 || g->values[v].dtype == HN_I64);
}

static void fill_column(struct zoo *z, const struct hn_program *p, int k, int64_t rows,
                        double *const *in, struct hn_column *c)
{
    struct hn_dim n = hn_shape_count(&p->values[p->inputs[k]].shape);
    int64_t total = n.per_row * rows + n.fixed;
    double *x = hn_calloc(&z->mem, (size_t)total + 1, sizeof *x);
    for (int64_t i = 0; i < total; i++) {
        double v = is_integer(z->graph, p->input_names[k]) ? (double)(i % 3)
                                                           : sin(0.37 * (double)i + k + 0.5);
        x[i] = in ? in[k][i] : p->dtype == HN_F32 ? (double)(float)v : v;
    }
    *c = (struct hn_column){ x, HN_F64, n.per_row ? n.per_row : n.fixed, 1 };
}

static void fill_slab(struct zoo *z, const struct hn_program *p, void *dev, void *slab)
{
    const struct hn_backend *b = &hn_backend_reference;
    double *w = hn_calloc(&z->mem, p->n_slab + 1, sizeof *w);
    for (int i = 0; i < p->n_params; i++)
        hn_convert(w + p->params[i].off, HN_F64, p->params[i].init->data, p->params[i].init->dtype,
                   (int64_t)p->params[i].n);
    HN_OK(b->put(dev, slab, 0, w, p->n_slab * sizeof *w, &z->err), z->err);
    hn_free(&z->mem, w);
}

void zoo_run(struct zoo *z, const struct hn_program *p, int64_t rows, double *const *in,
             struct zoo_result *r)
{
    const struct hn_backend *b = &hn_backend_reference;
    struct hn_host host = { sizeof host, &z->mem, 1 };
    static const struct hn_hyper hyper = { .accumulate = 1, .dropout = -1 };
    struct hn_plan *plan;
    void *dev, *slab, *exec, *data, *out[16];
    struct hn_column columns[16] = { { 0 } }, no_targets[4] = { { 0 } };
    struct hn_dataset set = { rows, p->n_inputs, p->n_targets, columns, no_targets };
    HN_OK(b->open(&host, NULL, &dev, &z->err), z->err);
    HN_OK(hn_plan_create(&z->mem, p, HN_PASS_PREDICT, rows, 8, 0, &plan, &z->err), z->err);
    HN_OK(b->alloc(dev, (p->n_slab + 1) * sizeof(double), &slab, &z->err), z->err);
    fill_slab(z, p, dev, slab);
    for (int k = 0; k < p->n_inputs; k++) fill_column(z, p, k, rows, in, &columns[k]);
    HN_OK(b->bind(dev, &set, &data, &z->err), z->err);
    HN_OK(b->prepare(dev, plan, 1, &exec, &z->err), z->err);
    r->n = p->n_outputs;
    for (int k = 0; k < r->n; k++) {
        struct hn_dim n = hn_shape_count(&p->values[p->outputs[k]].shape);
        r->names[k] = p->output_names[k];
        r->count[k] = n.per_row * rows + n.fixed;
        out[k] = r->data[k] = hn_calloc(&z->mem, (size_t)r->count[k] + 1, sizeof(double));
    }
    struct hn_replica replica = { .slab = { slab }, .hyper = &hyper };
    struct hn_slot slot = { .r = &replica, .data = data, .rows = rows, .out = out };
    HN_OK(b->run(exec, &slot, 1, 1, &z->err), z->err);
    b->finish(exec);
    b->unbind(dev, data);
    b->release(dev, slab);
    for (int k = 0; k < p->n_inputs; k++) hn_free(&z->mem, (void *)columns[k].data);
    hn_plan_destroy(plan, &z->mem);
    b->close(dev);
}

void zoo_result_free(struct zoo *z, struct zoo_result *r)
{
    for (int k = 0; k < r->n; k++) hn_free(&z->mem, r->data[k]);
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void list_nodes(const struct hn_graph *g, FILE *f)
{
    char label[256], shape[160];
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct hn_node *n = &g->nodes[g->order[i]];
        int32_t y = n->n_out > 0 ? n->out[0] : -1;
        fprintf(f, "node %s %s %s: %s %s\n", hn_verdict_name(n->verdict), n->type,
                hn_node_label(n, label, sizeof label), n->why,
                y >= 0 && g->values[y].shape_known
                    ? hn_shape_text(&g->values[y].shape, shape, sizeof shape)
                    : "?");
    }
}

void zoo_listing(const struct hn_graph *g, FILE *f)
{
    static const char *const severity[] = { "note", "warning", "blocks training", "blocks all" };
    static const char *const tails[] = { "none", "softmax", "logsoftmax", "sigmoid" };
    const struct hn_param_list *l = hn_graph_params(g);
    char label[256], shape[160];
    fprintf(f, "batch %lld%s, %s%s\n", (long long)g->fixed_batch, g->batch_lifted ? " lifted" : "",
            hn_dtype_name(g->dtype), g->needs_inference ? ", training form" : "");
    for (size_t i = 0; i < g->n_inputs; i++)
        fprintf(f, "input %s %s\n", g->values[g->inputs[i]].name,
                hn_shape_text(&g->values[g->inputs[i]].shape, shape, sizeof shape));
    for (size_t i = 0; i < g->n_outputs; i++) {
        struct hn_output_info o;
        hn_graph_output(g, i, &o);
        fprintf(f, "output %s%s%s%s tail %s per row %lld\n", g->values[o.value].name,
                o.trainable ? " trainable" : "", o.derived ? " derived" : "",
                o.computable ? "" : " carried", tails[o.tail], (long long)o.per_row);
    }
    list_nodes(g, f);
    for (size_t i = 0; i < l->n_params; i++)
        fprintf(f, "param %s %s, %d uses: %s\n", g->values[l->params[i].value].name,
                l->params[i].trained ? "trained" : "frozen", l->params[i].n_uses, l->params[i].why);
    for (size_t i = 0; i < g->n_unties; i++) fprintf(f, "edit %s\n", g->unties[i].line);
    for (size_t i = 0; i < g->n_issues; i++) {
        const struct hn_issue *it = &g->issues[i];
        fprintf(f, "%s: %s: %s%s%s\n", severity[it->severity],
                it->node >= 0 ? hn_node_label(&g->nodes[it->node], label, sizeof label) : "model",
                it->what, it->remedy ? " -> " : "", it->remedy ? it->remedy : "");
    }
}
