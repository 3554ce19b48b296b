/* SPDX-License-Identifier: MIT
 *
 * NumPy .npz: a zip archive of .npy entries, through libzip, from memory and into memory. An archive is a stranger: few
 * entries, stored or deflated only, not encrypted, entries that do not overlap (their packed sizes fit the file), no
 * unpacking beyond what deflate can do honestly (1032:1), no more bytes than the entry declares. */
#include "plugin/data/internal.h"

#include <stdio.h>
#include <zip.h>

enum { ENTRIES_MAX = 1000, DEFLATE_RATIO = 1032 };

static hone_status zip_failure(hone_error *err, const char *path, const char *what, zip_error_t *e)
{
    hone_status code = zip_error_code_zip(e) == ZIP_ER_MEMORY ? HONE_E_NOMEM : HONE_E_DATA;
    return hn_fail(err, code, path, "%s: %s", what, zip_error_strerror(e));
}

/* Opens the archive over bytes that stay the caller's. */
static hone_status open_archive(zip_t **out, const struct hn_file *f, const char *path,
                                hone_error *err)
{
    zip_error_t e;
    zip_error_init(&e);
    hone_status st = HONE_OK;
    zip_source_t *source = zip_source_buffer_create(f->p, f->n, 0, &e);
    *out = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &e) : NULL;
    if (!*out) {
        st = zip_failure(err, path, "damaged zip archive", &e);
        if (source) zip_source_free(source);
    }
    zip_error_fini(&e);
    return st;
}

/* Length of an array's name: the entry's without ".npy"; 0 when the entry is something else. */
static size_t array_name(const char *entry)
{
    size_t n = strlen(entry);
    return n > 4 && strcmp(entry + n - 4, ".npy") == 0 ? n - 4 : 0;
}

static int is_key(const char *entry, const char *key)
{
    size_t n = array_name(entry);
    return strcmp(entry, key) == 0 || (strlen(key) == n && strncmp(entry, key, n) == 0);
}

static hone_status which(zip_t *z, const struct hn_file *f, const char *path, const char *key,
                         zip_stat_t *found, hone_error *err)
{
    char names[256] = "";
    zip_int64_t n = zip_get_num_entries(z, 0), hits = 0;
    uint64_t packed = 0;
    if (n > ENTRIES_MAX)
        return hn_fail(err, HONE_E_BUDGET, path, "found %lld entries, wanted at most %d",
                       (long long)n, ENTRIES_MAX);
    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t s;
        const zip_uint64_t all = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                 ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
        if (zip_stat_index(z, (zip_uint64_t)i, 0, &s) < 0 || (s.valid & all) != all)
            return hn_fail(err, HONE_E_DATA, path, "entry %lld of the archive cannot be read",
                           (long long)i);
        if (s.comp_size > f->n - packed)
            return hn_fail(err, HONE_E_DATA, path, "entries of the archive overlap each other");
        packed += s.comp_size;
        size_t used = strlen(names), length = array_name(s.name);
        if (!length) continue;
        snprintf(names + used, sizeof names - used, "%s%.*s", used ? ", " : "", (int)length,
                 s.name);
        if (!key || is_key(s.name, key)) *found = s, hits++;
    }
    if (hits == 1) return HONE_OK;
    if (!*names) return hn_fail(err, HONE_E_DATA, path, "the zip archive holds no .npy array");
    if (key)
        return hn_fail(err, HONE_E_DATA, path, "found %s array '%s', wanted one of: %s",
                       hits ? "more than one" : "no", key, names);
    return hn_hint(err,
                   hn_fail(err, HONE_E_DATA, path, "found %lld arrays (%s), wanted one",
                           (long long)hits, names),
                   "name it: %s:KEY", hn_path_base(path));
}

static hone_status check_entry(const zip_stat_t *s, const char *path, hone_error *err)
{
    if (s->encryption_method != ZIP_EM_NONE)
        return hn_fail(err, HONE_E_DATA, path, "entry '%s' is encrypted", s->name);
    if (s->comp_method != ZIP_CM_STORE && s->comp_method != ZIP_CM_DEFLATE)
        return hn_fail(err, HONE_E_DATA, path,
                       "entry '%s' is packed by method %u, wanted stored or deflated", s->name,
                       s->comp_method);
    if (s->size / DEFLATE_RATIO > s->comp_size || s->size > SIZE_MAX / 2)
        return hn_fail(err, HONE_E_DATA, path,
                       "entry '%s' claims %llu bytes out of %llu, more than deflate can pack",
                       s->name, (unsigned long long)s->size, (unsigned long long)s->comp_size);
    return HONE_OK;
}

/* The unpacked entry as a file in memory. */
static hone_status unpack(zip_t *z, const zip_stat_t *s, struct hn_mem *mem, struct hn_file *out,
                          const char *path, hone_error *err)
{
    unsigned char *p = hn_alloc(mem, s->size), extra;
    if (!p) return hn_nomem(err, "an entry of a zip archive", s->size);
    *out = (struct hn_file){ .p = p, .n = s->size, .mem = mem };
    zip_file_t *e = zip_fopen_index(z, s->index, 0);
    if (!e) return zip_failure(err, path, s->name, zip_get_error(z));
    hone_status st = HONE_OK;
    size_t n = 0;
    while (n < s->size && st == HONE_OK) {
        zip_int64_t got = zip_fread(e, p + n, s->size - n);
        if (got < 0) st = zip_failure(err, path, s->name, zip_file_get_error(e));
        if (got == 0)
            st = hn_fail(err, HONE_E_DATA, path, "entry '%s' has %zu bytes, wanted %zu", s->name, n,
                         (size_t)s->size);
        n += got > 0 ? (size_t)got : 0;
    }
    /* one read more lets libzip see the end and compare the checksum */
    zip_int64_t more = st == HONE_OK ? zip_fread(e, &extra, 1) : 0;
    if (more < 0) st = zip_failure(err, path, s->name, zip_file_get_error(e));
    if (more > 0)
        st = hn_fail(err, HONE_E_DATA, path, "entry '%s' is longer than it says", s->name);
    zip_fclose(e);
    return st;
}

hone_status hn_npz_parse(struct hn_array *a, struct hn_mem *mem, struct hn_file *f,
                         const char *path, const char *key, hone_error *err)
{
    zip_t *z = NULL;
    zip_stat_t s = { 0 };
    struct hn_file entry = { 0 };
    memset(a, 0, sizeof *a);
    hone_status st = open_archive(&z, f, path, err);
    if (st == HONE_OK) st = which(z, f, path, key, &s, err);
    if (st == HONE_OK) st = check_entry(&s, path, err);
    if (st == HONE_OK) st = unpack(z, &s, mem, &entry, path, err);
    if (z) zip_discard(z);
    hn_file_close(f);
    if (st == HONE_OK) return hn_npy_parse(a, mem, &entry, path, err);
    hn_file_close(&entry);
    return st;
}

/* ---- Writing ---- */

static hone_status add_entry(zip_t *z, struct hn_buffer *b, const char *name,
                             const struct hn_tensor *t, hone_error *err)
{
    char entry[300];
    snprintf(entry, sizeof entry, "%.290s.npy", name);
    HN_TRY(hn_npy_write(&b->sink, t, err));
    zip_source_t *s = zip_source_buffer(z, b->p, b->n, 0);
    if (!s) return zip_failure(err, name, "cannot add to the archive", zip_get_error(z));
    zip_int64_t i = zip_file_add(z, entry, s, ZIP_FL_ENC_UTF_8);
    if (i < 0) {
        zip_source_free(s);
        return zip_failure(err, name, "cannot add to the archive", zip_get_error(z));
    }
    /* 1980-01-01, the first date zip knows: equal arrays, equal bytes */
    if (zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0) < 0 ||
        zip_file_set_dostime(z, (zip_uint64_t)i, 0, 0x21, 0) < 0)
        return zip_failure(err, name, "cannot add to the archive", zip_get_error(z));
    return HONE_OK;
}

static hone_status drain(zip_source_t *source, struct hn_sink *s, hone_error *err)
{
    unsigned char block[16384];
    hone_status st = HONE_OK;
    if (zip_source_open(source) < 0)
        return zip_failure(err, "npz", "cannot read the archive back", zip_source_error(source));
    for (zip_int64_t n; st == HONE_OK && (n = zip_source_read(source, block, sizeof block)) != 0;)
        st = n < 0
                 ? zip_failure(err, "npz", "cannot read the archive back", zip_source_error(source))
                 : s->write(s, block, (size_t)n, err);
    zip_source_close(source);
    return st;
}

hone_status hn_npz_write(struct hn_sink *s, struct hn_mem *mem, const char *const *names,
                         const struct hn_tensor *t, size_t n, hone_error *err)
{
    zip_error_t e;
    zip_error_init(&e);
    hone_status st = HONE_OK;
    zip_t *z = NULL;
    struct hn_buffer *entry = hn_calloc(mem, n ? n : 1, sizeof *entry);
    if (!entry) return hn_nomem(err, "the entries of an archive", n * sizeof *entry);
    zip_source_t *archive = zip_source_buffer_create(NULL, 0, 0, &e);
    if (archive) zip_source_keep(archive); /* outlives z, to be read */
    z = archive ? zip_open_from_source(archive, ZIP_CREATE | ZIP_TRUNCATE, &e) : NULL;
    if (!z) st = zip_failure(err, "npz", "cannot start an archive", &e);
    for (size_t i = 0; i < n && st == HONE_OK; i++) {
        hn_buffer_init(&entry[i], mem);
        st = add_entry(z, &entry[i], names[i], &t[i], err);
    }
    if (st == HONE_OK && zip_close(z) < 0)
        st = zip_failure(err, "npz", "cannot finish the archive", zip_get_error(z));
    else if (st == HONE_OK)
        z = NULL;
    if (z) zip_discard(z);
    if (st == HONE_OK) st = drain(archive, s, err);
    if (archive) zip_source_free(archive);
    for (size_t i = 0; i < n; i++)
        if (entry[i].mem) hn_buffer_free(&entry[i]);
    hn_free(mem, entry);
    zip_error_fini(&e);
    return st;
}
