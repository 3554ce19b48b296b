/* SPDX-License-Identifier: MIT
 *
 * What a study was made of, so that one that does not fit can say why. */
#ifndef HN_MADE_OF_H
#define HN_MADE_OF_H

#include "ops/base/io.h"

/* Of two such texts (hn_made_of, tune.h) what differs, added to out: "folds 3, now 5; weight-decay none, now 0.1; the data".
 * Nothing where they say the same. */
hone_status hn_made_differs(const char *theirs, const char *ours, struct hn_buffer *out,
                            hone_error *err);
#endif
