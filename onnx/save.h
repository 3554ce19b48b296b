/* SPDX-License-Identifier: MIT
 *
 * Writing a model: its source bytes with changes (onnx/patch.h). No changes: the same bytes. */
#ifndef HN_ONNX_SAVE_H
#define HN_ONNX_SAVE_H

#include "onnx/patch.h"

/* Into a sink. External data become part of the file when inline_external is set, else references stay as they are. */
hone_status hn_onnx_write(const struct hn_onnx *m, const struct hn_changes *c, int inline_external,
                          struct hn_sink *sink, hone_error *err);

/* To a file: written aside, synced, read back, every changed tensor compared bit by bit, renamed; data files first. In
 * another folder than the source's a data file keeps its name; beside its source it stays when nothing in it changed, and
 * becomes `<path>.data` (the references patched) when something did. An existing path or data file is refused
 * (HONE_E_USAGE) unless replace is set. On failure what was there is untouched. A link at path is followed. */
hone_status hn_onnx_save(const struct hn_onnx *m, const struct hn_changes *c, const char *path,
                         int replace, hone_error *err);
/* HONE_E_IO when path is a link and the model has external data: those are looked for beside the name a reader is given. */
hone_status hn_onnx_check_place(const struct hn_onnx *m, const char *path, hone_error *err);
#endif
