/* SPDX-License-Identifier: MIT
 *
 * The inside of hone_model, for the model's own files (model, model_values, model_save, prepare,
 * verify). A model is
 *
 *     immutable source bytes + a list of edits + tensor values + metadata
 *
 * The view (bytes as they are after the edits, and the graph imported from them) is shared by
 * reference count with marks and predictors, so that going back is only letting go. The counts are atomic: a predictor may go
 * on another thread than the one that uses the model. */
#ifndef HN_MODEL_H
#define HN_MODEL_H

#include "onnx/edit.h"
#include "onnx/model.h"
#include "onnx/patch.h"
#include "plugin/internal.h"
#include <stdatomic.h>

struct hn_bytes { /* an opened file or an edited model */
    atomic_int refs;
    void *copy; /* bytes the model borrows (hone_model_load_bytes), or NULL */
    struct hn_onnx *onnx;
};

struct hn_view {
    atomic_int refs;
    struct hn_bytes *bytes;
    struct hn_graph *graph;
};

struct hn_view *hn_view_hold(struct hn_view *v);
void hn_view_release(struct hn_mem *mem, struct hn_view *v);

struct hn_model_edit {
    char *line;
    unsigned char hash[16]; /* of everything up to and with this edit */
};

struct hn_model_meta {
    char *key, *value; /* value NULL: to be removed */
};

struct hn_globs { /* over names of tensors */
    char **list;
    size_t n, cap;
};

struct hn_model_state { /* all that changes; a mark is a copy of it */
    struct hn_view *view;
    void **values; /* by tensor id, in the tensor's own type; NULL: as in the bytes (all, one) */
    struct hn_model_edit *edits;
    struct hn_model_meta *metas;
    struct hn_globs freeze, unfreeze;
    size_t n_edits, cap_edits, n_metas, cap_metas;
};

struct hone_model {
    hone_context *ctx;
    unsigned char hash[16]; /* of the source bytes */
    struct hn_model_state now;
};

static inline struct hn_onnx *hn_model_onnx(const hone_model *m)
{
    return m->now.view->bytes->onnx;
}

/* The tensors and metadata that differ from the bytes of the view, as the save functions want
 * them. Freed by hn_free(mem, c->patches) and hn_free(mem, c->metas). */
hone_status hn_model_changes(const hone_model *m, struct hn_changes *c, hone_error *err);
void hn_model_changes_free(const hone_model *m, struct hn_changes *c);
/* One edit with its arrays; recorded. */
hone_status hn_model_apply(hone_model *m, const struct hn_edit_line *line, hone_error *err);
/* A word of an edit line, in quotes, with \" and \\ inside. */
hone_status hn_model_put_word(struct hn_buffer *b, const char *word, hone_error *err);
/* Which tensors learn decides where they lie in the slab: a glob more, all of another model's, none. */
hone_status hn_globs_add(struct hn_mem *mem, struct hn_globs *to, const char *glob,
                         hone_error *err);
hone_status hn_globs_copy(struct hn_mem *mem, struct hn_globs *to, const struct hn_globs *from,
                          hone_error *err);
void hn_globs_clear(struct hn_mem *mem, struct hn_globs *globs);
/* Imports again, with the globs of now. */
hone_status hn_model_reimport(hone_model *m, hone_error *err);
/* A graph of the model's bytes with other options; the caller destroys it. */
hone_status hn_model_import(const hone_model *m, int keep_fixed_batch, struct hn_graph **out,
                            hone_error *err);
void hn_model_drop_values(hone_model *m);
#endif
