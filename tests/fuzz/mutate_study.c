/* SPDX-License-Identifier: MIT
 *
 * Mutations of what fuzz_study.c reads: lines that change a cell of a study ("LETTER KEY VALUE", the letters being the
 * statements there), with values that the cell's readers understand in part. The others are left to libFuzzer. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

#define PICK(list) list[draw(sizeof(list) / sizeof *(list))]

static const char *meta_key(void)
{
    static const char *const keys[] = {
        "format", "space",  "sampler",       "acquisition",  "direction", "seed",       "startup",
        "lag",    "pruner", "prune-startup", "prune-warmup", "prune-eta", "fingerprint"
    };
    return PICK(keys);
}

static const char *number(void)
{
    static const char *const numbers[] = { "0",
                                           "1",
                                           "2",
                                           "3",
                                           "4",
                                           "5",
                                           "-1",
                                           "2147483647",
                                           "-2147483648",
                                           "4294967296",
                                           "9223372036854775807",
                                           "-9223372036854775808",
                                           "18446744073709551615",
                                           "0.5",
                                           "-0.25",
                                           "1e308",
                                           "-1e308",
                                           "1e-320",
                                           "nan",
                                           "inf",
                                           "-inf",
                                           "99",
                                           "1e19" };
    return PICK(numbers);
}

/* A word of a study's settings. */
static const char *word(void)
{
    static const char *const words[] = { "grid",         "random",       "sobol",    "gp",
                                         "tpe",          "manual",       "ei",       "logei",
                                         "pi",           "ucb",          "thompson", "none",
                                         "median",       "hyperband",    "maximize", "minimize",
                                         "hone.study/1", "hone.study/2", "" };
    return PICK(words);
}

/* A list of pieces, as spaces, settings, curves, memos and notes are written. */
static void put_list(char *to, size_t size, char kind)
{
    static const char *const axes[] = { "lr=log:1e-4..1e-1",
                                        "units=int:1..64",
                                        "momentum=0..0.9?optimizer=momentum",
                                        "optimizer=adam,momentum",
                                        "units=int:log:1..64",
                                        "x=0..1:step=0.25",
                                        "x=0..1:points=3",
                                        "optimizer=adam",
                                        "lr=log:0..1",
                                        "deep=int:-3..9223372036854775807" };
    static const char *const settings[] = { "lr=", "units=", "momentum=", "optimizer=", "x=", "=" };
    static const char *const choices[] = { "adam", "momentum", "sgd" };
    const char *separator = kind == 'p' ? " " : "\\n";
    size_t n = 0, pieces = 1 + draw(kind == 's' ? 5 : 4);
    if (kind == 'p' && draw(16) == 0) pieces = 90;
    to[0] = '\0';
    for (size_t i = 0; i < pieces && n + 64 < size; i++) {
        char piece[64];
        if (kind == 'a')
            (void)snprintf(piece, sizeof piece, "%s", PICK(axes));
        else if (kind == 's')
            (void)snprintf(piece, sizeof piece, "%s%s", PICK(settings),
                           draw(3) ? number() : PICK(choices));
        else if (draw(3) == 0)
            (void)snprintf(piece, sizeof piece, "%.20s:%.20s:%.20s", number(), number(), number());
        else
            (void)snprintf(piece, sizeof piece, "%s", draw(3) ? number() : "0.5");
        n += (size_t)snprintf(to + n, size - n, "%s%s", i ? separator : "", piece);
    }
}

static size_t put_line(char *to, size_t size)
{
    char letter = (char)('a' + draw(18)), key[32], value[1024];
    if (draw(4) == 0) letter = "aem"[draw(3)]; /* settings, parameters, numbers of trials */
    int meta = letter == 'a' || letter == 'p';
    (void)snprintf(key, sizeof key, "%s", meta ? meta_key() : number());
    if (!meta && draw(4)) (void)snprintf(key, sizeof key, "%d", (int)draw(5));
    (void)snprintf(value, sizeof value, "%s", number());
    if (meta && !strcmp(key, "space") && draw(8))
        put_list(value, sizeof value, 'a');
    else if (meta && draw(2))
        (void)snprintf(value, sizeof value, "%s", word());
    else if (letter == 'e' && draw(8))
        put_list(value, sizeof value, 's');
    else if (strchr("flno", letter) && draw(8))
        put_list(value, sizeof value, 'p');
    else if (letter == 'b' && draw(4))
        (void)snprintf(value, sizeof value, "%d", (int)draw(5));
    int n = snprintf(to, size, "%c %s %s\n", letter, key, value);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* The beginning of a line of the text, drawn. */
static size_t some_line(const uint8_t *data, size_t size)
{
    size_t at = size ? draw(size) : 0;
    while (at && data[at - 1] != '\n') at--;
    return at;
}

static size_t length_of(const uint8_t *line, size_t rest)
{
    const uint8_t *end = rest ? memchr(line, '\n', rest) : NULL;
    return end ? (size_t)(end - line) + 1 : rest;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    char line[1200];
    state = seed;
    uint64_t how = draw(8);
    if (how == 0) return LLVMFuzzerMutate(data, size, max_size);
    size_t at = some_line(data, size), old = how < 5 ? 0 : length_of(data + at, size - at);
    size_t n = how == 7 ? 0 : put_line(line, sizeof line);
    if (size - old + n > max_size || size - old + n == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + at + n, data + at + old, size - at - old);
    memcpy(data + at, line, n);
    return size - old + n;
}
