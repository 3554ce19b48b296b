/* SPDX-License-Identifier: MIT
 *
 * The table of one instruction set. */
#include "ops/cpu/isa.h"

#define TEXT2(x)    #x
#define TEXT(x)     TEXT2(x)

#define ENTRY(name) &HN_ISA_NAME(hn_cpu_##name),
static const struct hn_cpu_op *const ops[] = { HN_OP_LIST(ENTRY) };
#undef ENTRY

const struct hn_cpu_isa HN_ISA_NAME(hn_cpu_isa) = {
    .name = TEXT(HN_ISA),
    .ops = ops,
    .optim = HN_ISA_NAME(hn_cpu_optim),
    .follow = HN_ISA_NAME(hn_cpu_follow),
    .square_sum = HN_ISA_NAME(hn_cpu_square_sum),
    .gather = HN_ISA_NAME(hn_cpu_gather),
};
