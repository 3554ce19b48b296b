/* SPDX-License-Identifier: MIT
 *
 * libFuzzer over what a plug-in's reader hands over: form, blocks, cells, texts, statuses, all from the input. The reader is
 * in this program. Where it says how much there is, that much is there (a pointer into nothing is native code's business);
 * the numbers themselves may be anything. Properties: no crash, no leak, what was opened is closed, a refusal says why. */
#include "plugin/data/foreign.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *at, *end;
static int opened, closed;

static void must(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint8_t byte(void) { return at < end ? *at++ : 0; }

/* Mostly small, sometimes a number nobody expects. */
static int64_t count(void)
{
    static const int64_t odd[] = { -1, INT64_MAX, INT64_MIN, 1LL << 32, 1 << 20, (1 << 20) + 1, 0 };
    uint8_t b = byte();
    return b < 240 ? b % 12 : odd[b % 7];
}

enum { CELLS = 144, NAMES = 16, BYTES = 1 << 16 };
static hone_cell cells[CELLS];
static char texts[CELLS][8], names[NAMES][8];
static const char *name[NAMES];
static uint64_t block[BYTES / 8];
static int64_t columns, row_bytes;

static hone_status odd_status(hone_error *err)
{
    uint8_t b = byte();
    hone_status st = b < 245 ? HONE_OK : (hone_status)(b - 245);
    if (st != HONE_OK && byte() % 2) {
        memset(err->text, 'x', byte());
        err->code = st;
    }
    return st;
}

static hone_status play_open(const hone_host *host, const hone_reader_file *file,
                             hone_reader_form *form, void **handle, hone_error *err)
{
    (void)host, (void)file;
    *handle = NULL;
    form->kind = byte() % 8 ? 1 + byte() % 2 : byte();
    form->rows = byte() % 4 ? -1 : count();
    form->n_columns = columns = count();
    for (int i = 0; i < NAMES; i++) {
        for (int k = 0; k < 3; k++) names[i][k] = (char)byte();
        if (byte() % 8) (void)snprintf(names[i], sizeof *names, "n%d", i); /* all different */
        name[i] = byte() == 255 ? NULL : names[i];
    }
    form->columns = byte() == 255 || columns > NAMES ? NULL : name;
    form->dtype = byte() % 8 ? (int32_t[]){ 1, 2, 7, 10, 11, 16 }[byte() % 6] : byte();
    form->rank = byte() % 8 ? 1 + byte() % 3 : byte();
    row_bytes = 8;
    for (int i = 0; i < 8; i++) {
        form->dims[i] = count();
        if (i && i < form->rank && __builtin_mul_overflow(row_bytes, form->dims[i], &row_bytes))
            row_bytes = INT64_MAX;
    }
    hone_status st = odd_status(err);
    opened += st == HONE_OK;
    return st;
}

static void fill_cell(hone_cell *c, char *text)
{
    static const double numbers[] = { 0, 1, -2.5, 1e300, 0.1, 3e9 };
    memset(c, 0, sizeof *c);
    c->type = byte() % 16 ? byte() % 4 : byte();
    if (c->type == HONE_CELL_NUMBER) c->value.number = numbers[byte() % 6];
    if (c->type == HONE_CELL_WHOLE) c->value.whole = count();
    if (c->type != HONE_CELL_TEXT) return;
    for (int k = 0; k < 4; k++) text[k] = (char)byte();
    c->value.text = byte() == 255 ? NULL : text;
    c->length = byte() % 5;
}

static hone_status play_read(void *handle, hone_reader_rows *rows, hone_error *err)
{
    must(handle == NULL && opened > closed, "read of what is not open");
    int64_t n = rows->n = at < end ? count() : 0;
    int fits = n > 0 && columns > 0 && n <= 12 && columns <= 12;
    for (int64_t i = 0; fits && i < n * columns; i++) fill_cell(&cells[i], texts[i]);
    for (int i = 0; i < 8; i++) block[i] = byte() * 0x0101010101010101ull;
    rows->cells = fits && byte() != 255 ? cells : NULL;
    fits = n > 0 && n <= 12 && row_bytes > 0 && row_bytes <= BYTES / 12;
    rows->data = fits && byte() != 255 ? block : NULL;
    return odd_status(err);
}

static void play_close(void *handle)
{
    must(handle == NULL, "another handle");
    closed++;
}

static const char *const extensions[] = { ".play", NULL };
static const hone_reader reader = { .size = sizeof reader,
                                    .name = "play",
                                    .magic = "PLAY",
                                    .magic_size = 4,
                                    .extensions = extensions,
                                    .open = play_open,
                                    .read = play_read,
                                    .close = play_close };
static const struct hn_foreign list = { .reader = &reader, .plugin = "org.play" };

static void read_file(struct hn_source *s, unsigned choice)
{
    static const char *const last[] = { "1" };
    static const struct hn_encode encode[] = { { "0", HN_ENCODE_ONEHOT } };
    struct hn_csv_options o = { .real = choice & 1 ? HN_F64 : HN_F32,
                                .keep_missing = choice >> 1 & 1,
                                .encode = encode,
                                .n_encode = choice >> 2 & 1 };
    struct hn_csv_part p[2] = {
        { .name = "x" }, { .name = "y", .kind = HN_PART_VALUES, .columns = last, .n_columns = 1 }
    };
    struct hn_array a;
    hone_error err = { .code = HONE_OK };
    hone_status st;
    if (choice >> 3 & 1) {
        st = hn_array_open(&a, s, "x", &o, &err);
        if (st == HONE_OK)
            must(a.n_missing || hn_array_check_finite(&a, &err) == HONE_OK, "not finite");
        if (st == HONE_OK) hn_array_close(&a);
    } else {
        st = hn_csv_read(s, &o, p, 2, &err);
        hn_array_close(&p[0].array);
        hn_array_close(&p[1].array);
    }
    must(st == HONE_OK || err.text[0], "no reason");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hn_fault f;
    static char path[] = "/tmp/hone-fuzz-XXXXXX.play";
    static int fd = -1;
    if (size < 2) return 0;
    if (fd < 0) { /* a file, because readers get one; gone when the program ends */
        fd = mkstemps(path, 5);
        must(fd >= 0 && write(fd, "PLAY", 4) == 4, path);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    hn_fault_init(&f);
    f.mem_fail.at = data[1];
    f.mem.budget = (size_t)1 << 28;
    at = data + 2, end = data + size;
    opened = closed = 0;
    struct hn_source s = { .io = &f.io, .mem = &f.mem, .path = path, .readers = &list };
    read_file(&s, data[0]);
    must(opened == closed, "what was opened was not closed");
    must(hn_fault_leaks(&f) == 0, "a leak");
    return 0;
}
