/* SPDX-License-Identifier: MIT
 *
 * The state of the process that a plug-in's calls may not leave changed, and that is put back, so that the next one finds
 * it as it was. */
#include "tools/process_watch.h"
#include <dirent.h>
#include <errno.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIGNALS = 65, RESTORER = 0x04000000, FOLDER = 4096, WHAT = 160, DESCRIPTORS = 4096 };

struct process {
    struct sigaction on[SIGNALS];
    sigset_t mask;
    fenv_t floats;
    char locale[1024]; /* of the process */
    locale_t own;      /* of the thread */
    char folder[FOLDER];
    int umask; /* -1: it cannot be told */
};
struct process_watch {
    struct process was, now;
    char **environment; /* as it was */
    int out;            /* what standard output is */
    char open[DESCRIPTORS];
    char text[WHAT], left[WHAT];
};

/* ---- the state of the process ---------------------------------------------------------------------------------------- */

/* umask() would have to set it. */
static int read_umask(void)
{
    char line[128];
    int mask = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && mask < 0 && fgets(line, sizeof line, f))
        if (!strncmp(line, "Umask:", 6)) mask = (int)strtol(line + 6, NULL, 8);
    if (f) (void)fclose(f);
    return mask;
}

static void look(struct process *p)
{
    memset(p, 0, sizeof *p);
    (void)fegetenv(&p->floats);
    for (int s = 1; s < SIGNALS; s++) (void)sigaction(s, NULL, &p->on[s]);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &p->mask);
    const char *locale = setlocale(LC_ALL, NULL);
    (void)snprintf(p->locale, sizeof p->locale, "%s", locale ? locale : "");
    p->own = uselocale((locale_t)0);
    if (!getcwd(p->folder, sizeof p->folder)) p->folder[0] = '\0';
    p->umask = read_umask();
}

static void put_back(const struct process *p)
{
    (void)fesetenv(&p->floats);
    for (int s = 1; s < SIGNALS; s++)
        if (s != SIGKILL && s != SIGSTOP) (void)sigaction(s, &p->on[s], NULL);
    (void)pthread_sigmask(SIG_SETMASK, &p->mask, NULL);
    (void)uselocale(p->own);
    (void)setlocale(LC_ALL, p->locale);
    if (p->folder[0] && chdir(p->folder) != 0) errno = 0;
    if (p->umask >= 0) (void)umask((mode_t)p->umask);
}

/* ---- standard output ------------------------------------------------------------------------------------------------- */

static int watch_output(struct process_watch *w)
{
    w->out = memfd_create("standard output", MFD_CLOEXEC);
    return w->out >= 0 && !fflush(stdout) && dup2(w->out, STDOUT_FILENO) == STDOUT_FILENO;
}

static int is_same_file(int a, int b)
{
    struct stat x, y;
    return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What was written goes to standard error, and its first line into text. */
static const char *output_change(struct process_watch *w)
{
    char some[4096];
    off_t at = 0;
    ssize_t n;
    (void)fflush(stdout);
    if (!is_same_file(w->out, STDOUT_FILENO)) {
        (void)dup2(w->out, STDOUT_FILENO);
        return "where standard output goes";
    }
    while ((n = pread(w->out, some, sizeof some, at)) > 0) {
        if (!at)
            (void)snprintf(w->text, WHAT, "standard output (by writing '%.*s' there)",
                           (int)strcspn(some, "\n") < (int)n ? (int)strcspn(some, "\n") : (int)n,
                           some);
        if (write(STDERR_FILENO, some, (size_t)n) < 0) errno = 0;
        at += n;
    }
    if (at && (ftruncate(w->out, 0) != 0 || lseek(w->out, 0, SEEK_SET) != 0)) errno = 0;
    return at ? w->text : NULL;
}

/* ---- environment ----------------------------------------------------------------------------------------------------- */

static int copy_environment(struct process_watch *w)
{
    size_t n = 0;
    while (environ && environ[n]) n++;
    w->environment = calloc(n + 1, sizeof *w->environment);
    for (size_t i = 0; w->environment && i < n; i++)
        if (!(w->environment[i] = strdup(environ[i]))) return 0;
    return w->environment != NULL;
}

/* The first of a's that b has not. */
static const char *missing(char *const *a, char *const *b)
{
    for (; a && *a; a++) {
        size_t i = 0;
        while (b && b[i] && strcmp(*a, b[i]) != 0) i++;
        if (!b || !b[i]) return *a;
    }
    return NULL;
}

static void put_environment_back(const struct process_watch *w)
{
    (void)clearenv();
    for (char **e = w->environment; *e; e++) {
        char *name = strdup(*e), *value = name ? strchr(name, '=') : NULL;
        if (value) {
            *value++ = '\0';
            (void)setenv(name, value, 1);
        }
        free(name);
    }
}

static const char *environment_change(struct process_watch *w)
{
    size_t i = 0;
    while (environ && environ[i] && w->environment[i] && !strcmp(environ[i], w->environment[i]))
        i++;
    if (!w->environment[i] && (!environ || !environ[i])) return NULL;
    const char *entry = missing(environ, w->environment);
    if (!entry) entry = missing(w->environment, environ);
    if (!entry) return NULL;
    (void)snprintf(w->text, WHAT, "the environment variable %.*s", (int)strcspn(entry, "="), entry);
    put_environment_back(w);
    return w->text;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------- */

const char *process_watch_left(struct process_watch *w)
{
    char now[DESCRIPTORS] = { 0 }, link[64], path[WHAT - 32];
    int first = -1;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return NULL;
    for (struct dirent *e; (e = readdir(d));) {
        int fd = (int)strtol(e->d_name, NULL, 10);
        if (e->d_name[0] == '.' || fd == dirfd(d) || fd >= DESCRIPTORS) continue;
        now[fd] = 1;
        if (!w->open[fd] && (first < 0 || fd < first)) first = fd;
    }
    (void)closedir(d);
    memcpy(w->open, now, sizeof now);
    if (first < 0) return NULL;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", first);
    ssize_t n = readlink(link, path, sizeof path);
    (void)snprintf(w->left, WHAT, "descriptor %d (%.*s)", first, n > 0 ? (int)n : 0, path);
    return w->left;
}

/* ---- differences ----------------------------------------------------------------------------------------------------- */

static int same_signals(const sigset_t *a, const sigset_t *b)
{
    for (int s = 1; s < SIGNALS; s++)
        if (sigismember(a, s) != sigismember(b, s)) return 0;
    return 1;
}

static int same_action(const struct sigaction *a, const struct sigaction *b)
{
    int flags = (a->sa_flags ^ b->sa_flags) & ~RESTORER;
    return !flags && same_signals(&a->sa_mask, &b->sa_mask) &&
           ((a->sa_flags & SA_SIGINFO) ? a->sa_sigaction == b->sa_sigaction
                                       : a->sa_handler == b->sa_handler);
}

/* Rounding, traps, denormal numbers and precision, without the flags of what happened. */
#if defined(__x86_64__)
static const uint64_t rounding = (uint64_t)0x0C00 << 32 | 0x6000,
                      traps = (uint64_t)0x3F << 32 | 0x1F80;
static uint64_t modes(const fenv_t *e)
{
    return (uint64_t)e->__control_word << 32 | (e->__mxcsr & 0xFFC0);
}
#elif defined(__aarch64__)
static const uint64_t rounding = 3u << 22, traps = 0x9F00;
static uint64_t modes(const fenv_t *e) { return e->__fpcr; }
#else
static const uint64_t rounding = ~(uint64_t)0, traps = 0;
static uint64_t modes(const fenv_t *e)
{
    (void)e;
    return (uint64_t)fegetround();
}
#endif

static const char *float_change(const fenv_t *was, const fenv_t *now)
{
    uint64_t changed = modes(was) ^ modes(now);
    if (changed & rounding) return "the rounding mode";
    if (changed & traps) return "the floating-point traps";
    return changed ? "what becomes of denormal numbers" : NULL;
}

static const char *difference(const struct process *was, const struct process *now, char text[WHAT])
{
    for (int s = 1; s < SIGNALS; s++)
        if (!same_action(&was->on[s], &now->on[s])) {
            (void)snprintf(text, WHAT, "the handler of signal %d (%s)", s, strsignal(s));
            return text;
        }
    if (!same_signals(&was->mask, &now->mask)) return "the signal mask";
    const char *floats = float_change(&was->floats, &now->floats);
    if (floats) return floats;
    if (strcmp(was->locale, now->locale) != 0 || was->own != now->own) return "the locale";
    if (strcmp(was->folder, now->folder) != 0) return "the working directory";
    return was->umask != now->umask && was->umask >= 0 && now->umask >= 0 ? "the umask" : NULL;
}

/* ---- a watch --------------------------------------------------------------------------------------------------------- */

struct process_watch *process_watch_new(void)
{
    struct process_watch *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->out = -1;
    if (!watch_output(w) || !copy_environment(w)) {
        process_watch_free(w);
        return NULL;
    }
    look(&w->was);
    (void)process_watch_left(w);
    return w;
}

void process_watch_free(struct process_watch *w)
{
    if (!w) return;
    for (char **e = w->environment; e && *e; e++) free(*e);
    free(w->environment);
    if (w->out >= 0) (void)close(w->out);
    free(w);
}

const char *process_watch_look(struct process_watch *w)
{
    look(&w->now);
    const char *what = difference(&w->was, &w->now, w->text);
    if (what) put_back(&w->was);
    const char *variable = what ? NULL : environment_change(w);
    const char *output = what || variable ? NULL : output_change(w);
    return what ? what : variable ? variable : output;
}
