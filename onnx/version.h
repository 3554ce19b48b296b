/* SPDX-License-Identifier: MIT
 *
 * The protobuf-c this process runs with, for hone doctor. Static text. */
#ifndef HN_ONNX_VERSION_H
#define HN_ONNX_VERSION_H

const char *hn_protobuf_version(void);
#endif
