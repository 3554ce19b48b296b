/* SPDX-License-Identifier: MIT
 *
 * A plug-in of Hone that adds an operator: hone.example.Snake, y = x + sin(alpha x)^2 / alpha, an activation for what is
 * periodic (Ziyin, Hartwig and Ueda, 2020).
 *
 *     cc -O2 -Wall -shared -fPIC -o snake.so snake.c -lm
 *
 * alpha is an attribute of the node, 1 where it has none. */
#include <hone_plugin.h>
#include <math.h>

static void forward(const double *a, size_t n, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++) {
        double s = sin(a[0] * x[i]);
        y[i] = x[i] + s * s / a[0];
    }
}

/* y' = 1 + sin(2 alpha x) */
static void backward(const double *a, size_t n, const double *x, const double *dy, double *dx)
{
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * (1 + sin(2 * a[0] * x[i]));
}

static void forward32(const double *a, size_t n, const float *x, float *y)
{
    const float alpha = (float)a[0];
    for (size_t i = 0; i < n; i++) {
        float s = sinf(alpha * x[i]);
        y[i] = x[i] + s * s / alpha;
    }
}

static void backward32(const double *a, size_t n, const float *x, const float *dy, float *dx)
{
    const float twice = 2 * (float)a[0];
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * (1 + sinf(twice * x[i]));
}

static const char *const attributes[] = { "alpha", NULL };
static const double defaults[] = { 1 };
static const hone_op snake = {
    .size = sizeof snake,
    .domain = "hone.example",
    .type = "Snake",
    .since = 1,
    .attributes = attributes,
    .defaults = defaults,
    .forward64 = forward,
    .backward64 = backward,
    .forward32 = forward32,
    .backward32 = backward32,
};

static hone_status init(const hone_host *host, void **state, hone_error *err)
{
    const hone_op_interface *ops = host->get_interface(host, "hone.op/1");
    *state = NULL;
    if (!ops)
        return host->fail(err, HONE_E_USAGE, NULL, "this Hone (%s) takes no operators",
                          host->version);
    return ops->add(host, &snake, err);
}

HONE_PLUGIN_EXPORT extern const hone_plugin hone_plugin_v1;
const hone_plugin hone_plugin_v1 = {
    .size = sizeof(hone_plugin),
    .abi_major = HONE_PLUGIN_MAJOR,
    .abi_minor = HONE_PLUGIN_MINOR,
    .id = "hone.example.snake",
    .version = "1.0",
    .license = "MIT",
    .init = init,
};
