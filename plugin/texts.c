/* SPDX-License-Identifier: MIT
 *
 * Text inputs: the encoders stand in the graph, and what a program reads is the place of each text among those that they know
 * (hn_graph_texts). Columns of text become such places when a session opens; the data keep the text. */
#include "ops/base/status.h"
#include "plugin/session_own.h"
#include <string.h>

static int is_text(const struct hn_graph *g, size_t input)
{
    return g->values[g->inputs[input]].dtype == HN_STR;
}

/* Said once for all rows of an array: what no encoder knows is none of their categories. */
static void say_unknown(const struct hn_session *s, const struct hn_array *a, const char *input,
                        int64_t first, int64_t n)
{
    char row[48];
    if (n && hn_session_says(s->own))
        hn_log(s->ctx, HONE_LOG_NOTE,
               "%s: %lld texts are none that input '%s' of the model knows, such as '%.60s' in %s",
               a->source, (long long)n, input, ((const char *const *)a->data)[first],
               hn_array_row_name(a, first / a->per_row, row));
}

static hone_status places(struct hn_session *s, const struct hn_array *a, const char *input,
                          struct hn_array *out, hone_error *err)
{
    const struct hn_graph *g = hn_model_graph(s->model);
    const char *const *text = a->data;
    const int64_t n = a->rows * a->per_row, all = hn_graph_texts(g)->n;
    int64_t unknown = 0, first = 0;
    float *place = hn_alloc(&s->ctx->mem, (size_t)n * sizeof *place);
    if (!place) return hn_nomem(err, a->source, (size_t)n * sizeof *place);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = hn_text_number(g, text[i]);
        if (at == all && !unknown++) first = i;
        place[i] = (float)at;
    }
    const struct hn_tensor t = {
        .dtype = HN_F32, .rank = 2, .dims = { a->rows, a->per_row }, .n = n, .data = place
    };
    hone_status st = hn_array_wrap(out, &s->ctx->mem, a->name, &t, 1, err);
    hn_free(&s->ctx->mem, place);
    if (st != HONE_OK) return st;
    out->source = a->source; /* the data outlive the session */
    out->first_line = a->first_line;
    say_unknown(s, a, input, first, unknown);
    return HONE_OK;
}

static hone_status read_role(struct hn_session *s, int role, size_t input, hone_error *err)
{
    struct hn_own *own = s->own;
    const struct hn_graph *g = hn_model_graph(s->model);
    const char *name = g->values[g->inputs[input]].name;
    const int k = hn_session_input_array(s, role, input);
    if (k < 0) return HONE_OK; /* said where all inputs are looked at */
    const struct hn_array a = own->data->role[role].x[k].a;
    if (a.dtype != HN_STR)
        return hn_fail(err, HONE_E_DATA, a.source, "input '%s' wants text, found numbers", name);
    if (own->data != &own->table) HN_TRY(hn_session_share_data(s, err));
    own->data = &own->table;
    struct hn_array *out = &own->table.role[role].x[k].a;
    HN_TRY(places(s, &a, name, out, err));
    return hn_session_check_categories(s, input, out, &a, err);
}

hone_status hn_session_texts(struct hn_session *s, hone_error *err)
{
    const struct hn_own *own = s->own;
    const struct hn_graph *g = hn_model_graph(s->model);
    for (size_t i = 0; i < g->n_inputs; i++)
        for (int role = 0; role < HN_ROLES && is_text(g, i); role++)
            if (own->data->role[role].n_x) HN_TRY(read_role(s, role, i, err));
    return HONE_OK;
}
