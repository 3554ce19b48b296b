/* SPDX-License-Identifier: MIT
 *
 * Plug-ins that are wrong in one way each: cc -DBAD_… (plugins.py lists what Hone says to each). */
#include <hone_plugin.h>

static hone_status open_file(const hone_host *host, const hone_reader_file *f,
                             hone_reader_form *form, void **handle, hone_error *err)
{
    (void)form, (void)handle;
    return host->fail(err, HONE_E_DATA, f->name, "the reader says no");
}
static hone_status read_rows(void *handle, hone_reader_rows *rows, hone_error *err)
{
    (void)handle, (void)rows, (void)err;
    return HONE_OK;
}
static void close_file(void *handle) { (void)handle; }

static const char *const extensions[] = {
#ifdef BAD_EXTENSION
    "xyz",
#else
    ".xyz",
#endif
    NULL
};
static const hone_reader reader = {
    .size = sizeof reader,
    .name = "bad",
    .extensions = extensions,
    .open = open_file,
    .read = read_rows,
    .close = close_file,
#ifdef BAD_READER_SHORT
    .size = 24,
#elif defined(BAD_READER_NAME)
    .name = "two words",
#elif defined(BAD_READER_OPEN)
    .open = NULL,
#elif defined(BAD_READER_CLOSE)
    .close = NULL,
#elif defined(BAD_CLAIMS)
    .extensions = NULL,
#elif defined(BAD_MAGIC)
    .magic_size = 4,
#elif defined(BAD_MAGIC_SIZE)
    .magic = "x",
    .magic_size = 4096,
#endif
};

static void forward(const double *a, size_t n, const double *x, double *y)
{
    (void)a;
    for (size_t i = 0; i < n; i++) y[i] = x[i];
}
static void backward(const double *a, size_t n, const double *x, const double *dy, double *dx)
{
    (void)a, (void)x;
    for (size_t i = 0; i < n; i++) dx[i] = dy[i];
}
static void forward32(const double *a, size_t n, const float *x, float *y)
{
    (void)a;
    for (size_t i = 0; i < n; i++) y[i] = x[i];
}
static const char *const nine[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", NULL };
static const char *const twice[] = { "alpha", "beta", "alpha", NULL };
static const double ones[] = { 1, 1, 1 };
static const hone_op op = {
    .size = sizeof op,
    .domain = "org.bad",
    .type = "Same",
    .since = 1,
    .forward64 = forward,
    .backward64 = backward,
#ifdef BAD_OP_SHORT
    .size = 8,
#elif defined(BAD_OP_DOMAIN)
    .domain = "",
#elif defined(BAD_OP_OURS)
    .domain = "ai.onnx.ml",
#elif defined(BAD_OP_TYPE)
    .type = NULL,
#elif defined(BAD_OP_SINCE)
    .since = 0,
#elif defined(BAD_OP_BACKWARD)
    .backward64 = NULL,
#elif defined(BAD_OP_ALONE)
    .forward32 = forward32,
#elif defined(BAD_OP_NINE)
    .attributes = nine,
#elif defined(BAD_OP_DEFAULTS)
    .attributes = nine + 2,
#elif defined(BAD_OP_ATTRIBUTE)
    .attributes = twice,
    .defaults = ones,
#endif
};

static hone_status init(const hone_host *host, void **state, hone_error *err)
{
    const hone_reader_interface *readers = host->get_interface(host, "hone.reader/1");
    *state = NULL;
    if (host->get_interface(host, "hone.nothing/1") || host->get_interface(host, NULL))
        return HONE_E_INTERNAL;
#ifdef BAD_INIT
    return host->fail(err, HONE_E_USAGE, NULL, "a licence is missing");
#elif defined(BAD_INIT_SILENT)
    (void)readers, (void)err;
    return HONE_E_IO;
#elif defined(BAD_INIT_STATUS)
    (void)readers, (void)err;
    return (hone_status)1;
#elif defined(BAD_READER_NULL)
    return readers->add(host, NULL, err);
#elif defined(BAD_SYMBOL_MISSING)
    int nobody_has_this(void);
    return readers->add(host, &reader, err) + nobody_has_this();
#else
    const hone_op_interface *ops = host->get_interface(host, "hone.op/1");
    hone_status st = ops->add(host, &op, err);
#ifdef BAD_OP_TWICE
    if (st == HONE_OK) st = ops->add(host, &op, err);
#elif defined(BAD_OP_NULL)
    if (st == HONE_OK) st = ops->add(host, NULL, err);
#endif
    (void)nine, (void)twice, (void)ones, (void)forward32;
    return st == HONE_OK ? readers->add(host, &reader, err) : st;
#endif
}

#ifdef BAD_NO_SYMBOL
#define SYMBOL something_else
#elif defined(BAD_SYMBOL_2)
#define SYMBOL hone_plugin_v2
#else
#define SYMBOL hone_plugin_v1
#endif

#ifdef BAD_SMALL_SYMBOL
HONE_PLUGIN_EXPORT extern const int SYMBOL;
const int SYMBOL = 1;
const void *keep = (const void *)init;
const void *keep_reader = &reader;
#else
HONE_PLUGIN_EXPORT extern const hone_plugin SYMBOL;
const hone_plugin SYMBOL = {
    .size = sizeof(hone_plugin),
    .abi_major = HONE_PLUGIN_MAJOR,
    .abi_minor = HONE_PLUGIN_MINOR,
    .id = "org.bad",
    .version = "0.1",
    .license = "MIT",
    .init = init,
#ifdef BAD_MAJOR
    .abi_major = 9,
    .abi_minor = 4,
#elif defined(GOOD_MINOR)
    .abi_minor = 7,
#elif defined(BAD_SIZE)
    .size = 16,
#elif defined(BAD_SIZE_LIE)
    .size = 4096,
#elif defined(BAD_ID_NULL)
    .id = NULL,
#elif defined(BAD_ID)
    .id = "an id",
#elif defined(BAD_VERSION)
    .version = NULL,
#elif defined(BAD_LICENSE)
    .license = NULL,
#elif defined(BAD_INIT_NULL)
    .init = NULL,
#endif
};
#endif
