/* SPDX-License-Identifier: MIT
 *
 * Graph edits: a ModelProto in, a ModelProto out, as bytes. An edit is one line of text that says everything but arrays;
 * arrays travel beside the line in the order given here. The lines of a model are kept (run record, checkpoint), so that
 * source bytes + lines + arrays always give the same model again. Words are separated by blanks; a word with blanks or
 * quotes in it is written "in quotes" with \" and \\ inside. NODE is a node's name, or #12 for the node at position 12.
 *
 *   untie NAME [as NEW]              NAME is an Identity (chain) of an initializer or Constant: it becomes an initializer
 *                                    of its own, with that name, and the Identity node goes
 *   untie NAME NODE INPUT [NODE INPUT…] [as NEW]
 *                                    initializer NAME is used in several places: input INPUT (from 0) of NODE gets a copy,
 *                                    one for all that are named; so does what a Cast of one gives, NAME, with a Cast of
 *                                    its own
 *   inference                        BatchNormalization and Dropout leave the training form: training_mode 0, batch
 *                                    statistics not written; an input that only said "training" goes
 *   scale-input INPUT KIND           x → (x - values[0]) / values[1] right behind a graph input; integers are cast first.
 *                                    KIND (standard, minmax) is only a name for people
 *   scale-output OUTPUT KIND         y → y · values[0] + values[1] in front of a graph output, which keeps its name
 *   rescale-output FACTORS OFFSETS   other numbers in the tensors that a scale-output has made: values[0] and values[1]
 *   batch-symbolic [NAME [indices]]  the fixed leading size of inputs and outputs becomes the symbol NAME (N), also where a
 *                                    Reshape repeats it; indices: and that of input integers of rank 1, an index for each row
 *   batchnorm insert [VALUE…]        BatchNormalization behind the named Dense outputs (none named: all hidden ones, see
 *                                    hn_edit_batchnorm_sites); values: scale, bias, mean, variance for each; none: identity
 *   batchnorm remove                 inference BatchNormalization folds into the Gemm before it, else becomes Mul and Add
 *                                    (which is right for [N, C])
 *   hidden [units=W,W,…] [activation=WORD] [key=HEX]
 *                                    rebuilds the hidden stack (onnx/stack.h): one layer of W units each. A layer keeps
 *                                    its form, names and attributes; one that the model does not have yet is made like its
 *                                    last one. A Dense layer whose shape stays keeps its weights, and so do the
 *                                    normalisation and slopes behind it; others begin anew: He-uniform before rectifiers,
 *                                    else Xavier-uniform, biases 0, scales and variances 1. key: 16 hexadecimal digits, the
 *                                    Philox key of these weights (0 when left out); layer i of the stack (from 0; the last
 *                                    Dense layers follow) has stream HN_STREAM_INIT + i. activation: a word of
 *                                    hn_activation_words, in every layer; one that a layer has already stays as it is
 *   rename-metadata OLD NEW          a key of the model's metadata
 *   ensemble KIND VALUE [KIND VALUE…] the values of this model and of those that come with the line (each a whole model's
 *                                    bytes, as an array of bytes) become one: all of them side by side in one graph, VALUE
 *                                    averaged as KIND says (mean, softmax, sigmoid: see edit_average.c), what is the same in
 *                                    all of them once
 *
 * Names and positions are those of the imported graph, in which calls of the model's own functions are expanded: an edit
 * that looks at nodes writes the calls out as nodes first, or is refused where that would change what a node means.
 * Functions stay with scale-input, scale-output, rescale-output, rename-metadata, with untie of an Identity in the main graph, and with
 * inference and batch-symbolic where no function has a node that these would change.
 *
 * New initializers are listed as graph inputs too where the IR version (3 and before) wants that. Never touches what the
 * line does not name; unknown fields of the file survive. */
#ifndef HN_ONNX_EDIT_H
#define HN_ONNX_EDIT_H

#include "ops/base/io.h"
#include "ops/base/tensor.h"

struct hn_edit_line {
    const char *text;
    const struct hn_tensor
        *values; /* borrowed; numbers are converted to the type the graph has there */
    size_t n_values;
};

/* Appends the edited model to out. HONE_E_USAGE for a line that is not understood or names what is not there,
 * HONE_E_UNSUPPORTED for an edit that this graph does not allow. */
hone_status hn_edit_apply(struct hn_mem *m, const void *bytes, size_t n,
                          const struct hn_edit_line *line, struct hn_buffer *out, hone_error *err);
/* Several, one after the other. No lines: the bytes as they are. */
hone_status hn_edit_apply_all(struct hn_mem *m, const void *bytes, size_t n,
                              const struct hn_edit_line *lines, size_t n_lines,
                              struct hn_buffer *out, hone_error *err);

/* Where "batchnorm insert" without names would insert: outputs of Dense layers (Gemm, or MatMul with its Add) that other
 * Dense layers depend on and that no BatchNormalization follows. Freed with hn_edit_free_sites. */
struct hn_bn_site {
    char *value;
    int64_t width;
};
hone_status hn_edit_batchnorm_sites(struct hn_mem *m, const void *bytes, size_t n,
                                    struct hn_bn_site **sites, size_t *n_sites, hone_error *err);
void hn_edit_free_sites(struct hn_mem *m, struct hn_bn_site *sites, size_t n_sites);

/* The hidden stack as it is, for "hidden". HONE_E_UNSUPPORTED, naming the node in the way, when it is no plain stack. */
enum { HN_HIDDEN_MAX = 64 };
struct hn_hidden_info {
    int n;                        /* hidden layers, 0: none */
    int64_t width[HN_HIDDEN_MAX]; /* units of each */
    const char *activation; /* a word, NULL: another one, or not the same everywhere; static */
    int64_t opset;
};
hone_status hn_edit_hidden_info(struct hn_mem *m, const void *bytes, size_t n,
                                struct hn_hidden_info *info, hone_error *err);
/* The words for "activation=", NULL at the end. */
extern const char *const hn_activation_words[];
#endif
