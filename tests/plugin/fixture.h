/* SPDX-License-Identifier: MIT
 *
 * A context and a folder for each test: tcase_add_checked_fixture(tc, setup, teardown). */
#ifndef HN_TEST_FIXTURE_H
#define HN_TEST_FIXTURE_H

#include "tests/plugin/model_util.h"

static hone_context *ctx;
static hone_error err;

static inline void setup(void)
{
    scratch_begin();
    HN_OK(hone_context_create(NULL, &ctx, &err), err);
}

static inline void teardown(void)
{
    hone_context_destroy(ctx);
    scratch_end();
}
#endif
