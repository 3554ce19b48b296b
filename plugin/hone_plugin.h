/* SPDX-License-Identifier: MIT
 *
 * hone_plugin.h: what a plug-in offers to Hone. Installed beside hone.h; it needs hone_status.h and
 * nothing else. A plug-in is a shared object that does not link libhone: whatever it needs is handed
 * to it.
 *
 *     cc -shared -fPIC -o reader.so reader.c -I/usr/local/include
 *     hone train model.onnx --plugin ./reader.so --data table.xyz --target label -o better.onnx
 *     hone plugin check ./reader.so table.xyz
 *
 * It exports one symbol, the data HONE_PLUGIN_SYMBOL:
 *
 *     const hone_plugin hone_plugin_v1 = { sizeof(hone_plugin), HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR,
 *                                          "org.example.xyz", "1.0", "MIT", init, NULL };
 *
 * Rules
 * - Loading. Only a plug-in that is named, by hone_plugin_load or the parameter "plugin" (--plugin
 *   FILE.so), by a path with a '/' in it, is loaded: nothing is searched for, and no model or data
 *   file can name one. It runs with all rights of the process; there is no sandbox.
 * - Structs begin with their size, as their writer knows it, and only grow at the end. Hone looks at
 *   no member behind the size that a plug-in gives, a plug-in at none behind the size that Hone
 *   gives. A plug-in of another major version is refused, with both versions; one with a higher
 *   minor version is loaded and sees the lower one in hone_host. hone_cell alone has no size and
 *   never changes.
 * - Ownership. Structs and strings that a plug-in hands over stay its own. The descriptors must live
 *   until deinit, what open hands out until close, rows until the next read or close. What Hone
 *   hands over is valid during the call, the host until deinit has returned. Hone copies what it
 *   keeps.
 * - Threads. Calls that belong to one host come one at a time. A process may have several hosts (one
 *   a context, each with its own init and deinit), and they may call at the same time: keep state in
 *   what init and open hand out, not in globals. alloc and release may be called from any thread,
 *   log and fail only from the one that is being served.
 * - Errors. A function that fails returns what host->fail returned; err is never NULL. A call that
 *   failed handed out nothing: what it had taken, it gives back itself. Do not print, exit or let a
 *   C++ exception out.
 * - Process. It is the host's. Each call, and loading the file, leaves as they were: handlers and mask
 *   of signals, rounding, traps and denormal numbers of floating-point arithmetic (linked with
 *   -ffast-math a file changes these by being loaded), locale, working directory, umask,
 *   environment, standard output (which may hold the user's table). No descriptor stays open behind
 *   close.
 * - Memory. host->alloc counts against the host's budget and may fail at any time; use it for what
 *   grows with the data. What is left when close has returned is a leak, which the check reports. */
#ifndef HONE_PLUGIN_H
#define HONE_PLUGIN_H

#include "hone_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HONE_PLUGIN_MAJOR  1
#define HONE_PLUGIN_MINOR  0
#define HONE_PLUGIN_SYMBOL "hone_plugin_v1"
#if defined(__GNUC__)
#define HONE_PLUGIN_EXPORT            __attribute__((visibility("default")))
#define HONE_PLUGIN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HONE_PLUGIN_EXPORT
#define HONE_PLUGIN_PRINTF(fmt, args)
#endif

/* ---- what Hone gives ------------------------------------------------------------------------- */

typedef struct hone_host hone_host;
struct hone_host {
    size_t size;
    uint32_t abi_major, abi_minor; /* that this host speaks */
    const char *version;           /* of Hone, "0.1.0" */
    void *own;                     /* Hone's */
    /* At least 16-byte aligned, not cleared; NULL on failure. release(NULL) does nothing. */
    void *(*alloc)(const hone_host *host, size_t bytes);
    void (*release)(const hone_host *host, void *p);
    /* A line for the user; level 0: a note, 1: a warning. */
    void (*log)(const hone_host *host, int level, const char *text);
    /* Writes code, where (the file or name it is about; NULL: none) and text into err; returns code.
     * HONE_E_DATA: the data are bad, HONE_E_IO: they cannot be read, HONE_E_NOMEM, HONE_E_USAGE. */
    hone_status (*fail)(hone_error *err, hone_status code, const char *where, const char *fmt, ...)
        HONE_PLUGIN_PRINTF(4, 5);
    /* Static tables by name and version; NULL: this Hone has none of that name. Today: "hone.reader/1"
     * and "hone.op/1". */
    const void *(*get_interface)(const hone_host *host, const char *name);
};

/* ---- what a plug-in is ----------------------------------------------------------------------- */

typedef struct hone_plugin {
    size_t size;
    uint32_t abi_major, abi_minor; /* HONE_PLUGIN_MAJOR, HONE_PLUGIN_MINOR as it was built with */
    const char *id;                /* "org.example.xyz": letters, digits and .-_ */
    const char *version;           /* its own */
    const char *license;           /* an SPDX expression */
    /* Says what is offered, through the host's interfaces. *state is handed to deinit. */
    hone_status (*init)(const hone_host *host, void **state, hone_error *err);
    void (*deinit)(void *state); /* may be NULL; called once for each init that succeeded */
} hone_plugin;

/* ---- data readers: "hone.reader/1" ----------------------------------------------------------- */

/* One cell of a table. */
enum {
    HONE_CELL_MISSING = 0,
    HONE_CELL_NUMBER = 1, /* NaN is a missing cell */
    HONE_CELL_WHOLE = 2,
    HONE_CELL_TEXT = 3 /* what a cell of a CSV file would mean: "3" is a number, "NA" is missing */
};
typedef struct hone_cell {
    int32_t type;
    int32_t reserved; /* 0 */
    union {
        double number;
        int64_t whole;
        const char *text; /* UTF-8 without NUL bytes; needs no NUL behind it */
    } value;
    size_t length; /* of text, in bytes */
} hone_cell;

typedef struct hone_reader_file {
    size_t size;
    const char *name; /* for messages */
    /* the file to open, if it is one; NULL: standard input, or inflated from gzip */
    const char *path;
    /* KEY of "FILE.ext:KEY", such as the name of a table in a database; NULL: none was given */
    const char *key;
    const void *bytes; /* the contents */
    size_t n_bytes;
} hone_reader_file;

enum { HONE_READER_TABLE = 1, HONE_READER_ARRAY = 2 };

/* What open found. It comes zeroed, but for size, and rows, which is -1. */
typedef struct hone_reader_form {
    size_t size;
    int32_t kind;
    /* Of a table: how many rows will come, or -1: as many as do. An array says them in dims. */
    int64_t rows;
    /* A table: cells of any type, columns as --target, --features, --ignore, --encode name them. */
    int64_t n_columns;
    const char *const *columns; /* names, all different, UTF-8 */
    /* An array: dims[0] rows of dims[1] * dims[2] ... numbers. dtype is ONNX's: 1 float32, 2 uint8,
     * 3 int8, 4 uint16, 5 int16, 6 int32, 7 int64, 10 float16, 11 float64, 16 bfloat16. */
    int32_t dtype, rank;
    int64_t dims[8];
} hone_reader_form;

/* A block of rows, as many as are convenient, at most 2^20. It comes zeroed, but for size. */
typedef struct hone_reader_rows {
    size_t size;
    int64_t n;              /* 0: there are no more */
    const hone_cell *cells; /* a table: n rows of n_columns cells */
    const void *data;       /* an array: n rows of its numbers, in this machine's byte order */
} hone_reader_rows;

typedef struct hone_reader {
    size_t size;
    const char *name; /* "xyz": letters, digits and .-_ */
    /* Which files it reads: those that begin with these bytes (at most 64; size 0: none), and those
     * whose name ends like this (".xyz", any case, also before ".gz"; NULL at the end; may be NULL).
     * It comes before Hone's own formats; of two readers the one that was given first. */
    const void *magic;
    size_t magic_size;
    const char *const *extensions;
    /* open, read until n is 0 or an error, close. The same file may be opened several times, also
     * while it is open; each time it must give the same. *handle may be NULL. */
    hone_status (*open)(const hone_host *host, const hone_reader_file *file, hone_reader_form *form,
                        void **handle, hone_error *err);
    hone_status (*read)(void *handle, hone_reader_rows *rows, hone_error *err);
    void (*close)(void *handle);
} hone_reader;

typedef struct hone_reader_interface {
    size_t size;
    /* During init only. HONE_E_USAGE for a descriptor that is not as above. */
    hone_status (*add)(const hone_host *host, const hone_reader *reader, hone_error *err);
} hone_reader_interface;

/* ---- operators: "hone.op/1" ------------------------------------------------------------------ */

/* An ONNX operator of the plug-in's own domain: one input, one output of the same shape, y[i] = f(x[i]),
 * with FLOAT attributes. A model that has such nodes is trained, evaluated, searched and checked as with
 * any other activation, on the CPU (a GPU refuses it by the node's name), and is written back with its
 * nodes as they came: whoever runs the result needs what ran the file before. A file that brings a
 * function of that name and domain needs no plug-in: its body counts.
 * The functions are called from several threads at once and must depend on nothing but what they get;
 * y[i] has the same bits wherever in the n it stands and wherever x and y begin (a batch is cut where
 * threads meet). a: the attributes in the order below, with whatever values a model gives them: for
 * those that mean nothing the result is NaN. Results lie apart from operands, and nothing is written
 * but the n of them. backward gives dy[i] f'(x[i]), also with attributes that are not the defaults.
 * The 32s may be NULL: then the 64s are used, rounded once.
 * The check tries each attribute at a half, 0.8, 1.25 and 2 times its default (of 0: from -0.5 to 0.5)
 * for x between -3.2 and 3.2, and n from 1 to 67 and 257. With the defaults all results are numbers. */
typedef struct hone_op {
    size_t size;
    const char *domain, *type; /* "org.example", "Snake" */
    int64_t since;             /* version of the domain from which this is what it means, from 1 */
    /* names, at most 8, all different, NULL at the end; may be NULL */
    const char *const *attributes;
    const double *defaults; /* of each */
    void (*forward64)(const double *a, size_t n, const double *x, double *y);
    void (*backward64)(const double *a, size_t n, const double *x, const double *dy, double *dx);
    void (*forward32)(const double *a, size_t n, const float *x, float *y);
    void (*backward32)(const double *a, size_t n, const float *x, const float *dy, float *dx);
} hone_op;

typedef struct hone_op_interface {
    size_t size;
    /* During init only. HONE_E_USAGE for a descriptor that is not as above, or an operator that is
     * there already. */
    hone_status (*add)(const hone_host *host, const hone_op *op, hone_error *err);
} hone_op_interface;

#ifdef __cplusplus
}
#endif
#endif
