/* SPDX-License-Identifier: MIT
 *
 * The layout of a checkpoint file, shared by its writer (checkpoint.c) and its reader (checkpoint_read.c). */
#ifndef HN_CHECKPOINT_FORMAT_H
#define HN_CHECKPOINT_FORMAT_H

#include "plugin/train/checkpoint.h"

enum { HN_CKPT_HEAD = 16, HN_CKPT_ENTRY = 40, HN_CKPT_TAIL = 24, HN_CKPT_SECTIONS = 16 };

struct hn_section {
    char name[16];
    uint64_t at, size, hash;
};
extern const char *const hn_ckpt_names[2]; /* of the files: the newer generation, the older */
extern const char *const hn_ckpt_slabs[HN_SLABS]; /* of the slabs' sections */
void hn_ckpt_head(unsigned char head[HN_CKPT_HEAD]);
void hn_origin_visit(struct hn_visit *v, struct hn_origin *o);
#endif
