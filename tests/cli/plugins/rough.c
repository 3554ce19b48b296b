/* SPDX-License-Identifier: MIT
 *
 * A reader that keeps to the rules or breaks one of them, as the file it reads begins with: what hone plugin check is for. A
 * row is a byte. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <fenv.h>
#include <hone_plugin.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct table {
    const hone_host *host;
    const unsigned char *bytes;
    size_t n, at;
    hone_cell *cell; /* may be missing where "careless" */
};
static int counter;

static int says(const hone_reader_file *f, const char *word)
{
    return f->n_bytes >= strlen(word) && !memcmp(f->bytes, word, strlen(word));
}

static int is(const struct table *t, const char *word)
{
    return t->n >= strlen(word) && !memcmp(t->bytes, word, strlen(word));
}

/* What belongs to the process. */
static void change_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void change(const hone_reader_file *f)
{
    if (says(f, "Handler")) (void)signal(SIGUSR1, SIG_IGN);
    if (says(f, "Mask")) change_signals();
    if (says(f, "Rounding")) (void)fesetround(FE_UPWARD);
    if (says(f, "Traps")) (void)feenableexcept(FE_DIVBYZERO);
    if (says(f, "Words")) (void)setlocale(LC_ALL, "C.UTF-8");
    if (says(f, "Folder") && chdir("/") != 0) abort();
    if (says(f, "Umask")) (void)umask(0);
    if (says(f, "Prints")) printf("reading %d bytes\n", (int)f->n_bytes);
    if (says(f, "Variable")) (void)setenv("ROUGH", "1", 1);
    if (says(f, "Unset")) (void)unsetenv("PATH");
    if (says(f, "Output")) (void)close(1);
    if (says(f, "Descriptor") && open(f->path, O_RDONLY) < 0) return;
}

static void close_table(void *handle)
{
    struct table *t = handle;
    if (is(t, "After")) (void)umask(0);
    if (!is(t, "Leak")) t->host->release(t->host, t->cell);
    t->host->release(t->host, t);
}

static hone_status open_table(const hone_host *host, const hone_reader_file *f,
                              hone_reader_form *form, void **handle, hone_error *err)
{
    static const char *const names[] = { "byte", "byte", "gr\xFCn" };
    const int columns = says(f, "Twins") ? 2 : 1;
    change(f);
    if (says(f, "Exit")) exit(3);
    if (says(f, "Torn") && ((const char *)f->bytes)[f->n_bytes - 1] != '\n') abort();
    struct table *t = host->alloc(host, sizeof *t);
    if (!t) return host->fail(err, HONE_E_NOMEM, f->name, "out of memory");
    *t = (struct table){ host, f->bytes, f->n_bytes, 0, host->alloc(host, sizeof(hone_cell)) };
    if (!t->cell && !says(f, "Careless")) {
        host->release(host, t);
        if (says(f, "Wrong")) return host->fail(err, HONE_E_DATA, f->name, "it is all wrong");
        return host->fail(err, HONE_E_NOMEM, f->name, "out of memory");
    }
    *form = (hone_reader_form){ form->size,
                                HONE_READER_TABLE,
                                says(f, "Announce") ? 1000 : -1,
                                columns,
                                names + 2 * says(f, "Named"),
                                0,
                                0,
                                { 0 } };
    *handle = t;
    return HONE_OK;
}

static hone_status read_row(void *handle, hone_reader_rows *rows, hone_error *err)
{
    struct table *t = handle;
    (void)err;
    if (t->at == 3 && is(t, "Segfault")) *(volatile int *)NULL = 1;
    if (t->at == t->n && is(t, "During")) change_signals();
    if (!t->cell || t->at == t->n) return HONE_OK;
    *t->cell = (hone_cell){ .type = HONE_CELL_WHOLE, .value.whole = t->bytes[t->at++] };
    if (is(t, "Random")) t->cell->value.whole += counter++;
    if (is(t, "Odd")) t->cell->type = 77;
    if (is(t, "Coded") && t->at == 4)
        *t->cell = (hone_cell){ HONE_CELL_TEXT, 0, { .text = "gr\xFCn" }, 4 };
    rows->n = 1;
    rows->cells = t->cell;
    return HONE_OK;
}

static const char *const extensions[] = { ".rough", NULL };
static const hone_reader reader = { .size = sizeof reader,
                                    .name = "rough",
                                    .extensions = extensions,
                                    .open = open_table,
                                    .read = read_row,
                                    .close = close_table };

static hone_status init(const hone_host *host, void **state, hone_error *err)
{
    const hone_reader_interface *readers = host->get_interface(host, "hone.reader/1");
#ifdef ROUGH_INIT
    *(volatile int *)NULL = 1;
#elif defined(ROUGH_MASK)
    change_signals();
#endif
    *state = host->alloc(host, 32); /* a leak where nobody releases it */
    if (!*state) return host->fail(err, HONE_E_NOMEM, NULL, "out of memory");
#ifndef ROUGH_LEAK
    host->release(host, *state);
#endif
    return readers->add(host, &reader, err);
}

#ifdef ROUGH_LOAD
__attribute__((constructor)) static void loaded(void) { (void)signal(SIGUSR1, SIG_IGN); }
#endif
static void deinit(void *state)
{
    (void)state;
#ifdef ROUGH_DEINIT
    (void)umask(0);
#endif
}

HONE_PLUGIN_EXPORT extern const hone_plugin hone_plugin_v1;
const hone_plugin hone_plugin_v1 = {
    sizeof(hone_plugin), HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR, "org.rough", "1", "MIT", init, deinit
};
