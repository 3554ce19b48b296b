/* SPDX-License-Identifier: MIT
 *
 * A change of one section of a real checkpoint, as fuzz_checkpoint.c applies and mutate_checkpoint.c makes them; 16 bytes. */
#ifndef HN_FUZZ_CHANGE_H
#define HN_FUZZ_CHANGE_H

#include <stdint.h>

enum change_kind { PUT_WORD, ADD_TO_WORD, PUT_BYTE, CUT, INSERT, RENAME, DROP, CHANGES };

struct change {
    uint8_t section, what; /* modulo the number of them */
    uint16_t unused;
    uint32_t at;    /* modulo the section's size; words are counted */
    uint64_t value; /* of CUT and INSERT: how many bytes, modulo 64 */
};
#endif
