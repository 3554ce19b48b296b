/* SPDX-License-Identifier: MIT
 *
 * The module as the library meets it: found beside the program, loaded, opened for a device, asked to keep some bytes. Prints how
 * long that takes as a row for gpu/RESULTS.md. Exit 77 where the module or a device is missing, 1 where it misbehaves. */
#include "ops/base/status.h"
#include "plugin/gpu_module.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return 1e3 * (double)ts.tv_sec + 1e-6 * (double)ts.tv_nsec; /* milliseconds */
}

/* Bytes there and back. */
static hone_status carry(const struct hn_backend *b, void *dev, hone_error *err)
{
    unsigned char out[1000], in[1000] = { 0 };
    void *buf = NULL;
    for (int i = 0; i < 1000; i++) out[i] = (unsigned char)(i * 7);
    HN_TRY(b->alloc(dev, sizeof out, &buf, err));
    hone_status st = b->put(dev, buf, 0, out, sizeof out, err);
    if (st == HONE_OK) st = b->get(dev, buf, 0, in, sizeof in, err);
    b->release(dev, buf);
    if (st != HONE_OK || memcmp(in, out, sizeof in) == 0) return st;
    return hn_fail(err, HONE_E_DEVICE, "the module", "other bytes came back than were sent");
}

int main(void)
{
    const struct hn_module *module;
    const struct hn_backend *b;
    const struct hn_gpu_ask ask = { .ordinal = 0 };
    struct hn_mem mem;
    hone_error err = { 0 };
    void *dev;
    double t[4] = { now() };
    const char *why = hn_gpu_module_load(&module);
    t[1] = now();
    if (why) {
        printf("skipped: %s\n", why);
        return 77;
    }
    hn_mem_init(&mem, 0);
    hone_status st = hn_gpu_module_open(&mem, &ask, &b, &dev, &err);
    t[2] = now();
    if (st == HONE_OK) {
        st = carry(b, dev, &err);
        b->close(dev);
    }
    t[3] = now();
    if (st != HONE_OK) {
        printf("failed: %s: %s\n", err.where, err.text);
        return 1;
    }
    printf("| module | load / open a device / first bytes | %.0f / %.0f / %.0f ms | |\n",
           t[1] - t[0], t[2] - t[1], t[3] - t[2]);
    return 0;
}
