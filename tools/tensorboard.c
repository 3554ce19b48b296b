/* SPDX-License-Identifier: MIT
 *
 * TensorBoard event files: see tensorboard.h. A file is a sequence of records
 *
 *     length (8 bytes) · masked CRC-32C of these · an Event in protobuf's wire format · masked CRC-32C of it
 *
 * the first of which is Event{ file_version: "brain.Event:2" }. The messages are TensorFlow's and TensorBoard's (event.proto,
 * summary.proto, tensor.proto, plugins/hparams/plugin_data.proto): a dozen fields, written here by number. */
#include "tools/tensorboard.h"
#include "tools/cli.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct board {
    struct cli *c;
    char *dir;
    const char *monitor;
    FILE *f;          /* of a training run, from its first epoch on */
    int files, folds; /* written so far; a search has folds */
    int failed;       /* said once */
    uint32_t crc[256];
};

/* ---- protobuf ------------------------------------------------------------------------------------------------------- */

enum { SIZE = 16384 }; /* of a message, at most: what does not fit is cut off at a whole field */
struct message {
    unsigned char p[SIZE];
    size_t n;
};

static void put_varint(struct message *m, uint64_t v)
{
    for (; v > 127; v >>= 7) m->p[m->n++] = (unsigned char)(v | 128);
    m->p[m->n++] = (unsigned char)v;
}

static void put_number(struct message *m, int field, uint64_t v)
{
    if (m->n + 12 > SIZE) return;
    put_varint(m, (uint64_t)field << 3);
    put_varint(m, v);
}

static void put_little(struct message *m, uint64_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++) m->p[m->n++] = (unsigned char)(bits >> 8 * i);
}

static void put_double(struct message *m, int field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (m->n + 10 > SIZE) return;
    put_varint(m, (uint64_t)field << 3 | 1);
    put_little(m, bits, 8);
}

static void put_bytes(struct message *m, int field, const void *p, size_t n)
{
    if (n > SIZE || m->n + n + 12 > SIZE) return;
    put_varint(m, (uint64_t)field << 3 | 2);
    put_varint(m, n);
    if (n) memcpy(m->p + m->n, p, n);
    m->n += n;
}

static void put_text(struct message *m, int field, const char *s)
{
    put_bytes(m, field, s, strlen(s));
}

static void put_message(struct message *m, int field, const struct message *inner)
{
    put_bytes(m, field, inner->p, inner->n);
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

static void make_crc(uint32_t table[256]) /* CRC-32C, polynomial 0x1edc6f41, reflected */
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

static uint32_t masked_crc(const struct board *b, const unsigned char *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) c = c >> 8 ^ b->crc[(c ^ p[i]) & 255];
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void fail(struct board *b, const char *where)
{
    if (!b->failed && !b->c->quiet) {
        if (b->c->hide) b->c->hide(b->c->hide_user);
        fputs("warning: ", stderr);
        print_name(stderr, where);
        fprintf(stderr, ": no more events for TensorBoard can be written: %s\n", strerror(errno));
    }
    b->failed = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* An Event with one more field. */
static void write_event(struct board *b, FILE *f, int64_t step, int field, const struct message *m)
{
    struct message event = { .n = 0 }, frame = { .n = 0 };
    put_double(&event, 1, now());
    if (step) put_number(&event, 2, (uint64_t)step);
    put_message(&event, field, m);
    put_little(&frame, event.n, 8);
    put_little(&frame, masked_crc(b, frame.p, 8), 4);
    size_t ok = fwrite(frame.p, 1, frame.n, f);
    frame.n = 0;
    put_little(&frame, masked_crc(b, event.p, event.n), 4);
    ok += fwrite(event.p, 1, event.n, f) + fwrite(frame.p, 1, frame.n, f);
    if (ok != 12 + event.n + 4) fail(b, b->dir);
}

enum { EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };

/* Summary{ value{ tag, metadata{ plugin_data{ name, content }, data_class }, tensor } } */
static void write_summary(struct board *b, FILE *f, int64_t step, const char *tag,
                          const struct message *metadata, const struct message *tensor)
{
    struct message value = { .n = 0 }, summary = { .n = 0 };
    put_text(&value, 1, tag);
    put_message(&value, 8, tensor);
    put_message(&value, 9, metadata);
    put_message(&summary, 1, &value);
    write_event(b, f, step, EVENT_SUMMARY, &summary);
}

/* A number as readers of today want it: a float tensor without dimensions, of the plugin "scalars". */
static void write_scalar(struct board *b, FILE *f, int64_t step, const char *tag, double v)
{
    struct message plugin = { .n = 0 }, metadata = { .n = 0 }, tensor = { .n = 0 };
    const float value = (float)v;
    uint32_t bits;
    unsigned char little[4];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++) little[i] = (unsigned char)(bits >> 8 * i);
    put_text(&plugin, 1, "scalars");
    put_message(&metadata, 1, &plugin);
    put_number(&metadata, 4, 1);  /* DATA_CLASS_SCALAR */
    put_number(&tensor, 1, 1);    /* DT_FLOAT */
    put_bytes(&tensor, 2, "", 0); /* a shape of no dimensions */
    put_bytes(&tensor, 5, little, 4);
    write_summary(b, f, step, tag, &metadata, &tensor);
}

/* HParamsPluginData{ field: info } */
static void write_hparams(struct board *b, FILE *f, const char *tag, int field,
                          const struct message *info)
{
    struct message data = { .n = 0 }, plugin = { .n = 0 }, metadata = { .n = 0 };
    struct message none = { .n = 0 }, shape = { .n = 0 }, tensor = { .n = 0 };
    put_message(&data, field, info);
    put_text(&plugin, 1, "hparams");
    put_message(&plugin, 2, &data);
    put_message(&metadata, 1, &plugin);
    put_number(&none, 1, 0);
    put_message(&shape, 2, &none);
    put_number(&tensor, 1, 1);
    put_message(&tensor, 2, &shape); /* a vector of no elements */
    write_summary(b, f, 0, tag, &metadata, &tensor);
}

/* One entry of SessionStartInfo's hparams, called as in a search space (batch_size): a number or a truth where the text is one. */
static void put_setting(struct message *info, const char *name, const char *text)
{
    struct message value = { .n = 0 }, entry = { .n = 0 };
    char *end, key[80];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof key; n++) key[n] = name[n] == '-' ? '_' : name[n];
    key[n] = 0;
    const double number = strtod(text, &end);
    if (*text && !*end && isfinite(number))
        put_double(&value, 2, number);
    else if (!strcmp(text, "true") || !strcmp(text, "false"))
        put_number(&value, 4, *text == 't');
    else
        put_text(&value, 3, text);
    put_text(&entry, 1, key);
    put_message(&entry, 2, &value);
    put_message(info, 1, &entry);
}

static void write_end(struct board *b, FILE *f, int good)
{
    struct message info = { .n = 0 };
    put_number(&info, 1, good ? 1 : 2); /* STATUS_SUCCESS, STATUS_FAILURE */
    put_double(&info, 2, now());
    write_hparams(b, f, "_hparams_/session_end_info", 4, &info);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

/* dir and what leads to it. */
static int make_folders(char *dir)
{
    for (char *p = dir + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        const int rc = mkdir(dir, 0777);
        *p = '/';
        if (rc != 0 && errno != EEXIST) return -1;
    }
    if (mkdir(dir, 0777) == 0) return 0;
    struct stat st;
    if (errno != EEXIST || stat(dir, &st) != 0) return -1;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode) ? 0 : -1;
}

/* A new file in dir, whose events begin at `step`: what an older one says from there on is void. */
static FILE *begin_file(struct board *b, const char *dir, int64_t step)
{
    char path[4096], host[65] = "localhost";
    struct message start = { .n = 0 }, version = { .n = 0 };
    gethostname(host, sizeof host - 1);
    const int n = snprintf(path, sizeof path, "%s/events.out.tfevents.%010lld.%s.%ld.%d", dir,
                           (long long)time(NULL), host, (long)getpid(), b->files++);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "wbe") : NULL;
    if (!f) {
        fail(b, dir);
        return NULL;
    }
    version.n = strlen("brain.Event:2");
    memcpy(version.p, "brain.Event:2", version.n);
    write_event(b, f, 0, EVENT_VERSION, &version);
    put_number(&start, 1, 1); /* SessionLog{ status: START } */
    write_event(b, f, step, EVENT_SESSION, &start);
    return f;
}

static void end_file(struct board *b, FILE *f)
{
    if (fclose(f) != 0) fail(b, b->dir);
}

hone_status board_open(struct cli *c, const char *dir, struct board **out)
{
    *out = NULL;
    if (!dir || !*dir) return HONE_OK;
    struct board *b = calloc(1, sizeof *b);
    if (b) b->dir = strdup(dir);
    if (!b || !b->dir) {
        free(b);
        return c->err.code = HONE_E_NOMEM;
    }
    const char *monitor = hone_params_get(c->params, "monitor", 0);
    const char *folds = hone_params_get(c->params, "folds", 0);
    b->c = c;
    b->folds = folds && strcmp(folds, "0") != 0 && *folds;
    b->monitor = monitor && *monitor ? monitor : "val_loss";
    make_crc(b->crc);
    if (make_folders(b->dir) != 0) {
        c->err.code = HONE_E_IO;
        snprintf(c->err.where, sizeof c->err.where, "%.200s", dir);
        snprintf(c->err.text, sizeof c->err.text, "the folder for TensorBoard cannot be made: %s",
                 strerror(errno));
        board_close(b);
        return HONE_E_IO;
    }
    *out = b;
    return HONE_OK;
}

void board_close(struct board *b)
{
    if (!b) return;
    if (b->f) end_file(b, b->f);
    free(b->dir);
    free(b);
}

/* ---- training ------------------------------------------------------------------------------------------------------- */

/* "val_loss" → "loss/val"; "lr" stays. */
static const char *tag_of(const char *name, char tag[96])
{
    static const char *const parts[] = { "train", "val", "test" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i]);
        if (!strncmp(name, parts[i], n) && name[n] == '_') {
            snprintf(tag, 96, "%.80s/%s", name + n + 1, parts[i]);
            return tag;
        }
    }
    snprintf(tag, 96, "%.90s", name);
    return tag;
}

/* What the run was told about training, and, told or not, what everybody asks for first. */
static void write_settings(struct board *b, double lr)
{
    static const char *const always[] = { "optimizer", "lr", "batch-size" };
    struct message info = { .n = 0 };
    hone_param_info i = { .size = sizeof i };
    char number[32];
    for (size_t k = 0; hone_param_at(k, &i); k++) {
        const char *text = hone_params_get(b->c->params, i.name, 0);
        int wanted = hone_params_is_set(b->c->params, i.name);
        for (size_t a = 0; a < sizeof always / sizeof *always; a++)
            wanted |= !strcmp(i.name, always[a]);
        if (strcmp(i.group, "training") != 0 || !wanted) continue;
        if (!strcmp(i.name, "lr") && (!text || !*text)) {
            snprintf(number, sizeof number, "%.17g", lr);
            text = isnan(lr) ? NULL : number;
        }
        if (text && *text) put_setting(&info, i.name, text);
    }
    put_double(&info, 5, now());
    write_hparams(b, b->f, "_hparams_/session_start_info", 3, &info);
}

static int begin_run(struct board *b, int64_t epoch, double lr)
{
    if (b->f) return 1;
    b->f = begin_file(b, b->dir, epoch);
    if (b->f) write_settings(b, lr);
    return b->f != NULL;
}

void board_epoch(struct board *b, const hone_progress *e)
{
    char tag[96];
    if (!b || b->failed || !e->epoch_end) return;
    if (!begin_run(b, e->epoch, e->lr)) return;
    if (e->epoch > 0) write_scalar(b, b->f, e->epoch, "loss/train", e->train_loss);
    for (size_t i = 0; i < e->n_metrics; i++)
        if (strcmp(e->metrics[i].name, "train_loss") != 0)
            write_scalar(b, b->f, e->epoch, tag_of(e->metrics[i].name, tag), e->metrics[i].value);
    write_scalar(b, b->f, e->epoch, "lr", e->lr);
    /* now, and not a while later: a run that is killed goes on from the checkpoint that follows */
    if (fflush(b->f) != 0) fail(b, b->dir);
}

void board_result(struct board *b, const json_t *result)
{
    const char *reason = jtext(result, "stop_reason"), *name;
    char tag[96], full[80];
    json_t *v, *test = json_object_get(result, "test");
    if (!b || b->failed || !strcmp(reason, "interrupted") || json_object_get(result, "dry_run"))
        return;
    if (!begin_run(b, (int64_t)jnum(result, "epochs") + 1, (double)NAN))
        return; /* none came to its end */
    const int64_t step = (int64_t)jnum(result, "best_epoch");
    json_object_foreach(test, name, v)
    {
        if (!json_is_number(v) || !strcmp(name, "rows")) continue;
        snprintf(full, sizeof full, "test_%.70s", name);
        write_scalar(b, b->f, step, tag_of(full, tag), json_number_value(v));
    }
    const char *part = strchr(b->monitor, '_');
    snprintf(full, sizeof full, "%.*s", part ? (int)(part - b->monitor) : 0, b->monitor);
    const double best = part ? jnum(json_object_get(result, full), part + 1) : (double)NAN;
    snprintf(tag, sizeof tag, "hparam/%.80s", b->monitor);
    if (!isnan(best)) write_scalar(b, b->f, step, tag, best);
    write_end(b, b->f, strcmp(reason, "diverged") != 0);
}

/* ---- a search ------------------------------------------------------------------------------------------------------- */

static void write_fold(struct board *b, FILE *f, const hone_trial *t, const char *group,
                       const hone_fold *fold)
{
    struct message info = { .n = 0 };
    char tag[96];
    for (size_t i = 0; i < t->n_settings; i++)
        put_setting(&info, t->settings[i].name, t->settings[i].value);
    put_text(&info, 4, group);
    put_double(&info, 5, now());
    write_hparams(b, f, "_hparams_/session_start_info", 3, &info);
    tag_of(b->monitor, tag);
    for (size_t e = 0; e < fold->n_curve; e++)
        write_scalar(b, f, (int64_t)e + 1, tag, fold->curve[e]);
    snprintf(tag, sizeof tag, "hparam/%.80s", b->monitor);
    if (isfinite(fold->value)) write_scalar(b, f, fold->best_epoch, tag, fold->value);
    write_end(b, f, strcmp(t->state, "failed") != 0);
}

void board_trial(struct board *b, const hone_trial *t)
{
    char dir[4096], group[80], outer[32] = "", fold[32] = "";
    if (!b || b->failed) return;
    if (t->outer) snprintf(outer, sizeof outer, "outer-%d/", t->outer);
    snprintf(group, sizeof group, "%strial-%04lld", outer, (long long)t->trial);
    for (size_t i = 0; i < t->n_folds && !b->failed; i++) {
        if (b->folds) snprintf(fold, sizeof fold, "/fold-%zu", i);
        const int n = snprintf(dir, sizeof dir, "%s/%s%s", b->dir, group, fold);
        if (n < 0 || (size_t)n >= sizeof dir || make_folders(dir) != 0) {
            fail(b, b->dir);
            return;
        }
        FILE *f = begin_file(b, dir, 0);
        if (!f) return;
        write_fold(b, f, t, group, &t->folds[i]);
        end_file(b, f);
    }
}
