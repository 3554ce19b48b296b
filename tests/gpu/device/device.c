/* SPDX-License-Identifier: MIT
 *
 * For the tests when they are linked with the real device layer: the fake's counters, which nobody moves. */
#include "tests/gpu/fake.h"

struct fake fake;
void fake_reset(void) { fake = (struct fake){ 0 }; }
