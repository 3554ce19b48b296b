/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over the CSV reader. The first two bytes choose options, header, delimiter and the allocation that fails;
 * the rest is the file. A third byte asks for a recipe, labels and a split on what was read, for rare categories to be one, and for decimal commas. */
#include "plugin/data/data.h"

#include <stdlib.h>
#include <string.h>

static long countdown;

static void *may_fail(void *user, size_t n)
{
    (void)user;
    return countdown && --countdown == 0 ? NULL : malloc(n);
}

static void release(void *user, void *p) { (void)user, free(p); }

static void use(struct hn_mem *mem, struct hn_csv_part *p)
{
    struct hn_recipe r = { 0 };
    struct hn_classes c = { 0 };
    struct hn_array labels = { 0 };
    struct hn_split s = { 0 };
    const struct hn_impute_rule median = { .how = HN_IMPUTE_MEDIAN };
    struct hn_recipe_fitting f = { .table = &p[0].array, .rules = &median, .n_rules = 1 };
    struct hn_label_request q = { .y = &p[1].array };
    hone_error err;
    if (hn_recipe_fit(&r, mem, &f, &err) == HONE_OK &&
        hn_recipe_apply(&r, &p[0].array, &err) == HONE_OK &&
        hn_array_check_finite(&p[0].array, &err) != HONE_OK)
        abort(); /* what was imputed has nothing missing */
    if (hn_labels_fit(&c, mem, &q, &err) == HONE_OK) {
        if (hn_labels_map(&c, mem, &p[1].array, &labels, &err) == HONE_E_DATA) abort();
        struct hn_split_options o = { .val = 0.3, .classes = labels.data };
        if (labels.data && hn_split_rows(&s, mem, labels.rows, &o, &err) == HONE_OK &&
            s.n_train + s.n_val != labels.rows)
            abort();
    }
    hn_split_free(&s);
    hn_array_close(&labels);
    hn_classes_free(&c);
    hn_recipe_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = { 0, ',', ';', '|' };
    static const char *const last[] = { "1" };
    static const struct hn_encode encode[] = { { "0", HN_ENCODE_ONEHOT } };
    static const struct hn_unknown_rule rare = { "0", HN_UNKNOWN_AS_RARE, NULL, 2 };
    struct hn_mem mem;
    hone_error err;
    if (size < 3) return 0;
    hn_mem_init(&mem, (size_t)1 << 28);
    mem.alloc = may_fail;
    mem.release = release;
    countdown = data[1];
    struct hn_csv_options o = { .header = data[0] & 3 ? (enum hn_header)((data[0] & 3) - 1)
                                                      : HN_HEADER_AUTO,
                                .delimiter = delimiters[data[0] >> 2 & 3],
                                .real = data[0] & 16 ? HN_F64 : HN_F32,
                                .decimal = data[2] & 4 ? ',' : '.',
                                .decimal_kept = data[2] >> 3 & 1,
                                .keep_missing = data[0] >> 5 & 1,
                                .encode = encode,
                                .n_encode = data[0] >> 6 & 1,
                                .unknown = &rare,
                                .n_unknown = data[0] >> 6 & data[2] >> 1 & 1 };
    struct hn_csv_part p[2] = {
        { .name = "x" }, { .name = "y", .kind = HN_PART_VALUES, .columns = last, .n_columns = 1 }
    };
    struct hn_source s = { .mem = &mem, .path = "fuzz.csv" };
    /* a block of its own, so that reading beyond the end is seen */
    unsigned char *copy = malloc(size - 3 + !(size - 3));
    memcpy(copy, data + 3, size - 3);
    hone_status st = hn_csv_parse(&s, copy, size - 3, &o, p, 2, &err);
    if (st == HONE_OK && data[2] & 1) use(&mem, p);
    hn_array_close(&p[0].array);
    hn_array_close(&p[1].array);
    free(copy);
    if (atomic_load(&mem.used)) abort();
    return 0;
}
