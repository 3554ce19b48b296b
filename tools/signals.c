/* SPDX-License-Identifier: MIT
 *
 * Signals belong to the command, never to the library. First SIGINT, SIGTERM or SIGUSR1: ask for a stop at the next batch
 * with a durable checkpoint; before a run has begun (it reads data, waits for a pipe) there is nothing to keep, and the process
 * ends. Second: end at once. One that comes when the work is done changes nothing.
 *
 * SIGBUS: files are read where they are mapped (models, data, the index of a study's log), and one that another process cuts
 * off meanwhile has no bytes there. Said by its name, which /proc/self/maps knows; exit 6, as of a file that cannot be read. */
#include "tools/cli.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static hone_context *volatile target;
static volatile sig_atomic_t caught;
static char schema[48]; /* "": nothing is said in JSON */

void say_in_json(const char *name) { snprintf(schema, sizeof schema, "%s", name); }

/* ---- the last words: only what a signal handler may call ------------------------------------------------------------------ */

struct words {
    size_t n;
    char text[2048];
};

static void put(struct words *w, const char *s)
{
    for (; *s && w->n < sizeof w->text; s++) w->text[w->n++] = *s;
}

/* The name of a file, which may be any bytes, inside a JSON string. */
static void put_name(struct words *w, const char *s)
{
    for (; *s && w->n < sizeof w->text; s++)
        w->text[w->n++] = *s < 32 || *s == 127 || *s == '"' || *s == '\\' ? '?' : *s;
}

static void put_number(struct words *w, int number)
{
    const char digits[] = { (char)('0' + number / 10 % 10), (char)('0' + number % 10), '\0' };
    put(w, number < 10 ? digits + 1 : digits);
}

static void say(int fd, const struct words *w)
{
    if (write(fd, w->text, w->n) < 0) return; /* nobody is left to hear it */
}

static void say_error(const char *code, const char *where, const char *text)
{
    struct words w = { 0 };
    if (!schema[0]) return;
    put(&w, "{\"schema\": \""), put(&w, schema);
    put(&w, "\", \"ok\": false, \"error\": {\"code\": \""), put(&w, code);
    put(&w, "\", \"where\": \""), put_name(&w, where);
    put(&w, "\", \"text\": \""), put(&w, text);
    put(&w, "\", \"hint\": \"\"}}\n");
    say(STDOUT_FILENO, &w);
}

/* ---- stopping ------------------------------------------------------------------------------------------------------------- */

static void end_before_the_run(int number)
{
    struct words text = { 0 }, line = { 0 };
    put(&text, "stopped by signal "), put_number(&text, number);
    put(&text, " before the run had begun"), text.text[text.n] = '\0';
    put(&line, "\nhone: "), put(&line, text.text), put(&line, "\n");
    say(STDERR_FILENO, &line);
    say_error("interrupted", "", text.text);
    _exit(128 + number);
}

static void on_signal(int number)
{
    if (caught) {
        if (write(STDERR_FILENO, "\n", 1) < 0)
            caught = number; /* below a bar; that it fails changes nothing */
        _exit(128 + number);
    }
    caught = number;
    if (target && !hone_request_stop(target)) end_before_the_run(number);
}

void catch_signals(hone_context *ctx)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART;
    sigemptyset(&a.sa_mask);
    target = ctx;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
}

void release_signals(void) { target = NULL; }

int caught_signal(void) { return caught; }

/* ---- a file that was cut off ---------------------------------------------------------------------------------------------- */

struct maps { /* /proc/self/maps, byte by byte */
    int fd;
    size_t at, n;
    char bytes[4096];
};

static int next_byte(struct maps *m)
{
    if (m->at == m->n) {
        ssize_t n = read(m->fd, m->bytes, sizeof m->bytes);
        if (n <= 0) return -1;
        m->at = 0, m->n = (size_t)n;
    }
    return (unsigned char)m->bytes[m->at++];
}

static uintptr_t hexadecimal(struct maps *m, int *end)
{
    uintptr_t v = 0;
    while ((*end = next_byte(m)) >= 0) {
        if (*end >= '0' && *end <= '9')
            v = v * 16 + (uintptr_t)(*end - '0');
        else if (*end >= 'a' && *end <= 'f')
            v = v * 16 + (uintptr_t)(*end - 'a' + 10);
        else
            break;
    }
    return v;
}

/* The file whose mapping holds the address: "7f12-7f34 r--s 000 08:01 123    /path". 0: none. */
static size_t file_at(uintptr_t address, char *name, size_t size)
{
    struct maps m = { .fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };
    size_t n = 0;
    int c = m.fd < 0 ? -1 : 0;
    while (c >= 0 && !n) {
        uintptr_t from = hexadecimal(&m, &c), to = c == '-' ? hexadecimal(&m, &c) : 0;
        int named = 0;
        while (c >= 0 && c != '\n') {
            named |= c == '/';
            if (named && address >= from && address < to && n < size) name[n++] = (char)c;
            c = next_byte(&m);
        }
    }
    if (m.fd >= 0) close(m.fd);
    return n;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    static const char text[] = "was cut off by another process while it was in use";
    static char name[1024];
    struct words w = { 0 };
    (void)context;
    size_t n =
        info->si_code == BUS_ADRERR ? file_at((uintptr_t)info->si_addr, name, sizeof name - 1) : 0;
    if (!n) { /* not a file: as if nobody had caught it */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    put(&w, "\nhone: "), put(&w, name), put(&w, ": "), put(&w, text);
    put(&w, "\n      hint: the same command again; a search, and a run whose folder was kept (hone "
            "resume), go on where they were\n");
    say(STDERR_FILENO, &w);
    say_error("HONE_E_IO", name, text);
    _exit(EXIT_IO);
}

void catch_cut_files(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_bus_error;
    a.sa_flags = SA_SIGINFO | SA_RESETHAND;
    sigemptyset(&a.sa_mask);
    sigaction(SIGBUS, &a, NULL);
}
