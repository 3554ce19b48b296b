/* SPDX-License-Identifier: MIT
 *
 * Mutations of what fuzz_checkpoint.c reads: most inputs become lists of changes of a real checkpoint's sections, whose words
 * take the values that counts, positions and losses are wrong with. The others are left to libFuzzer. */
#include "tests/fuzz/change.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { MOST = 12 };

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static uint64_t odd_word(void)
{
    static const int64_t whole[] = { 0,         1,         2,         -1,        INT32_MAX,
                                     INT32_MIN, INT64_MAX, INT64_MIN, UINT32_MAX };
    static const double real[] = {
        0.5, -1, 1e-320, 1e308, -1e308, (double)INFINITY, -(double)INFINITY, (double)NAN
    };
    uint64_t w = draw(64);
    switch (draw(4)) {
    case 0: return w;
    case 1: memcpy(&w, &real[draw(sizeof real / sizeof *real)], 8); return w;
    case 2: return (draw(1u << 31) << 33) ^ (draw(1u << 31) << 8) ^ draw(1u << 31);
    default: return (uint64_t)whole[draw(sizeof whole / sizeof *whole)];
    }
}

static struct change odd_change(void)
{
    static const uint8_t often[] = {
        PUT_WORD, PUT_WORD, PUT_WORD, ADD_TO_WORD, PUT_BYTE, PUT_BYTE
    };
    struct change c = { .section = (uint8_t)draw(256), .what = (uint8_t)draw(CHANGES) };
    if (draw(4)) c.what = often[draw(sizeof often)];
    if (draw(2)) c.section = (uint8_t)(1 + draw(2)); /* the job, the state: after the reason */
    c.at = (uint32_t)draw(1u << (4 + draw(12)));
    c.value = c.what == ADD_TO_WORD ? draw(5) - 2 : odd_word();
    return c;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    state = seed;
    if (max_size < 1 + MOST * sizeof(struct change) || draw(8) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    size_t n = size && data[0] % 4 == 3 ? (size - 1) / sizeof(struct change) : 0;
    data[0] = 3;
    size_t at = draw(n + 1);
    if (n > 1 && (n >= MOST || draw(4) == 0)) {
        at %= n;
        uint8_t *p = data + 1 + at * sizeof(struct change);
        memmove(p, p + sizeof(struct change), (n - at - 1) * sizeof(struct change));
        n--;
    }
    if (at > n) at = n;
    if (at == n && n >= MOST) at--;
    struct change c = odd_change();
    memcpy(data + 1 + at * sizeof c, &c, sizeof c);
    if (at == n) n++;
    return 1 + n * sizeof c;
}
