/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear steps; nothing is ever taken out one by one. */
#include "onnx/names.h"
#include <string.h>
#include <xxhash.h>

void hn_names_init(struct hn_names *t, struct hn_mem *m) { *t = (struct hn_names){ .mem = m }; }

/* The slot that holds text, or the free one where it belongs. */
static struct hn_named *slot_of(const struct hn_names *t, const char *text)
{
    size_t i = (size_t)XXH3_64bits(text, strlen(text)) & (t->size - 1);
    while (t->slots[i].text && strcmp(t->slots[i].text, text) != 0) i = (i + 1) & (t->size - 1);
    return &t->slots[i];
}

static int grow(struct hn_names *t)
{
    struct hn_names bigger = { t->mem, NULL, t->size ? 2 * t->size : 64, t->used };
    bigger.slots = hn_calloc(t->mem, bigger.size, sizeof *bigger.slots);
    if (!bigger.slots) return 0;
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i].text) *slot_of(&bigger, t->slots[i].text) = t->slots[i];
    hn_free(t->mem, t->slots);
    *t = bigger;
    return 1;
}

int32_t *hn_names_find(const struct hn_names *t, const char *text)
{
    struct hn_named *s = t->size ? slot_of(t, text) : NULL;
    return s && s->text ? &s->value : NULL;
}

int hn_names_put(struct hn_names *t, const char *text, int32_t value)
{
    if (t->used * 2 >= t->size && !grow(t)) return 0;
    struct hn_named *s = slot_of(t, text);
    if (s->text) return 1;
    *s = (struct hn_named){ text, value };
    t->used++;
    return 1;
}

void hn_names_free(struct hn_names *t)
{
    hn_free(t->mem, t->slots);
    *t = (struct hn_names){ 0 };
}
