/* SPDX-License-Identifier: MIT
 *
 * Names a library that only this folder sees. */
#include "onnx/version.h"
#include <protobuf-c/protobuf-c.h>

const char *hn_protobuf_version(void) { return protobuf_c_version(); }
