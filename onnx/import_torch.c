/* SPDX-License-Identifier: MIT
 *
 * What PyTorch's exporters leave beside the graph. The default one: a list of the module's tensors in the graph's metadata
 *
 *   p_fc_weight: PARAMETER target='fc.weight'
 *   b_bn_running_mean: BUFFER target='bn.running_mean' persistent=True
 *
 * and in that of a node the operation it comes from, with the names of that list:
 *
 *   %linear : [num_users=1] = call_function[target=torch.ops.aten.linear.default](args = (%x, %p_fc_weight), kwargs = {})
 *
 * (aten.embedding with padding_idx as its third argument), and, where its optimizer rewrote the node, the rules it did that by.
 *
 * The legacy one (dynamo=False) writes neither, and no value_info, which every tool that changes such a file adds. */
#include "onnx/import.h"
#include "ops/base/status.h"
#include <stdlib.h>
#include <string.h>

static const char list_key[] = "pkg.torch.export.ExportedProgram.graph_signature",
                  node_key[] = "pkg.torch.onnx.fx_node",
                  rule_key[] = "pkg.onnxscript.rewriter.rule_name";

static hone_status nomem(const struct hn_import *im) { return hn_nomem(im->err, "the graph", 0); }

static const char *look_up(Onnx__StringStringEntryProto *const *props, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (props[i]->key && props[i]->value && strcmp(props[i]->key, key) == 0)
            return props[i]->value;
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct hn_exported *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* "NAME: KIND target='TARGET'…" up to end; 0: the line is something else. */
static int read_line(struct hn_import *im, const char *line, const char *end, struct hn_exported *x,
                     int *failed)
{
    static const struct {
        const char *word;
        enum hn_hint hint;
    } kinds[] = { { ": PARAMETER target='", HN_HINT_PARAMETER },
                  { ": BUFFER target='", HN_HINT_BUFFER },
                  { ": CONSTANT_TENSOR target='", HN_HINT_CONSTANT } };
    const char *colon = memchr(line, ':', (size_t)(end - line));
    for (size_t i = 0; colon && i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i].word);
        if ((size_t)(end - colon) < n || memcmp(colon, kinds[i].word, n) != 0) continue;
        const char *target = colon + n, *quote = memchr(target, '\'', (size_t)(end - target));
        if (!quote) return 0;
        *x = (struct hn_exported){
            .name = hn_arena_strndup(&im->g->arena, line, (size_t)(colon - line)),
            .target = hn_arena_strndup(&im->g->arena, target, (size_t)(quote - target)),
            .hint = kinds[i].hint,
        };
        *failed = !x->name || !x->target;
        const int32_t v = *failed ? -1 : hn_graph_find(im->g, x->target);
        x->value = v >= 0 && im->g->values[v].is_initializer ? v : -1;
        return !*failed;
    }
    return 0;
}

static hone_status read_list(struct hn_import *im, const char *text)
{
    size_t lines = 1, n = 0;
    int failed = 0;
    for (const char *s = text; *s; s++) lines += *s == '\n';
    struct hn_exported *list = hn_arena_alloc(&im->g->arena, lines, sizeof *list);
    if (!list) return nomem(im);
    while (*text && !failed) {
        const char *end = text + strcspn(text, "\n");
        n += (size_t)read_line(im, text, end, &list[n], &failed);
        text = *end ? end + 1 : end;
    }
    if (failed) return nomem(im);
    qsort(list, n, sizeof *list, by_name);
    im->g->exported = list, im->g->n_exported = n;
    return HONE_OK;
}

/* The next %name of the text that the list has, *at moved behind it; -1: no more. */
static int32_t next_read(const struct hn_import *im, char *room, const char **at)
{
    for (const char *s; (s = strchr(*at, '%')) != NULL;) {
        size_t n = strspn(++s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        memcpy(room, s, n);
        room[n] = 0;
        *at = s + n;
        const struct hn_exported key = { .name = room }, *list = im->g->exported,
                                 *found =
                                     bsearch(&key, list, im->g->n_exported, sizeof key, by_name);
        if (found) return (int32_t)(found - list);
    }
    return -1;
}

static hone_status read_node(struct hn_import *im, struct hn_node *n, const char *text)
{
    char *room = hn_arena_alloc(&im->arena, strlen(text) + 1, 1);
    const char *at = text;
    int count = 0;
    if (!room) return nomem(im);
    while (next_read(im, room, &at) >= 0) count++;
    int32_t *reads = count ? hn_arena_alloc(&im->g->arena, (size_t)count, sizeof *reads) : NULL;
    if (count && !reads) return nomem(im);
    at = text;
    for (int i = 0; i < count; i++) reads[i] = next_read(im, room, &at);
    n->reads = reads, n->n_reads = count;
    return HONE_OK;
}

/* padding_idx, the third of aten.embedding's args; a negative one is none. */
static int64_t read_padding(const char *text)
{
    static const char call[] = "aten.embedding.default](args = (";
    const char *s = strstr(text, call), *end = s ? strchr(s += sizeof call - 1, ')') : NULL;
    char *behind;
    if (!end) return 0;
    for (int i = 0; i < 2; i++) {
        s = memchr(s, ',', (size_t)(end - s));
        if (!s) return -1;
        s++;
    }
    const long long row = strtoll(s, &behind, 10);
    return behind != s && (*behind == ',' || *behind == ')') && row >= 0 ? row + 1 : -1;
}

hone_status hn_import_torch(struct hn_import *im)
{
    const Onnx__GraphProto *graph = im->model->graph;
    const char *list = look_up(graph->metadata_props, graph->n_metadata_props, list_key);
    int plain = strcmp(im->g->producer, "pytorch") == 0 && graph->n_metadata_props == 0 &&
                graph->n_value_info == 0;
    if (list) HN_TRY(read_list(im, list));
    for (size_t i = 0; i < im->flat.n; i++) {
        const Onnx__NodeProto *p = im->flat.nodes[i].node;
        const char *text = look_up(p->metadata_props, p->n_metadata_props, node_key);
        const char *rules = look_up(p->metadata_props, p->n_metadata_props, rule_key);
        plain &= p->n_metadata_props == 0;
        if (rules)
            im->g->nodes[i].rewritten =
                (uint8_t)((strstr(rules, "FuseBatchNorm") ? HN_FUSED_NORM : 0) |
                          (strstr(rules, "RemoveOptionalBias") ? HN_DROPPED_BIAS : 0));
        if (text) im->g->nodes[i].padding = read_padding(text);
        if (text && im->g->n_exported) HN_TRY(read_node(im, &im->g->nodes[i], text));
    }
    im->g->as_traced = (uint8_t)plain;
    return HONE_OK;
}
