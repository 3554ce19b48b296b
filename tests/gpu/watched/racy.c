/* SPDX-License-Identifier: MIT
 *
 * Kernels with a barrier too few, each in its own way, so that the watcher is seen to find them; with an argument, the same
 * kernels as they should be. */
#define HN_BITS 64
#include "gpu/send.h"
#include <string.h>

void hn_watch_launch(const char *kernel);
void hn_watch_block(int64_t x, int64_t y, int64_t z);
void hn_watch_host(void);

static double device_memory[2 * HN_BLOCK] __attribute__((aligned(HN_K_SECTOR)));

/* Each takes its neighbour's number. */
static void in_a_phase(int right)
{
    HN_SHARED double from[HN_BLOCK], to[HN_BLOCK];
    HN_EACH(t) from[t] = t;
    HN_EACH(t)(right ? to : from)[t] = from[(t + 1) % HN_BLOCK];
    HN_EACH(t) device_memory[t] = (right ? to : from)[t];
}

/* What all threads look at is changed before all of them have. */
static void beside_phases(int right)
{
    HN_SHARED int goes_on;
    HN_EACH(t) if (t == 0) goes_on = 1;
    if (!goes_on) return;
    if (right) HN_EACH(t)(void) t;
    HN_EACH(t) if (t == 7) goes_on = 0;
}

/* A block reads what another one writes. */
static void between_blocks(int right)
{
    for (int block = 0; block < 2; block++) {
        hn_watch_block(block, 0, 0);
        HN_TURN();
        HN_EACH(t) device_memory[block * HN_BLOCK + t] = t;
    }
    if (right) hn_watch_launch("the next one");
    hn_watch_block(0, 0, 0);
    HN_TURN();
    HN_EACH(t) device_memory[t] = device_memory[HN_BLOCK + t];
}

/* A copy is used before it has arrived. */
static void under_way(int right)
{
    HN_SHARED double to[HN_BLOCK];
    HN_EACH(t)
    {
        hn_send(to + t, device_memory, (uint32_t)t, 1, 1);
        HN_SENT();
        HN_ARRIVED(right ? 0 : 1);
    }
    HN_EACH(t) device_memory[HN_BLOCK + t] = to[HN_BLOCK - 1 - t];
}

/* A kernel reads what the one before it wrote, before its turn. */
static void before_its_turn(int right)
{
    HN_TURN();
    HN_EACH(t) device_memory[t] = t;
    hn_watch_launch("before_its_turn");
    hn_watch_block(0, 0, 0);
    if (right) HN_TURN();
    const double first = device_memory[0];
    if (!right) HN_TURN();
    HN_EACH(t) device_memory[HN_BLOCK + t] = first;
}

/* A kernel reads before its turn what lies beside what the one before it wrote. */
static void beside_what_changes(int right)
{
    HN_TURN();
    HN_EACH(t) if (t % (right ? 8 : 4) == 0) device_memory[t] = t;
    hn_watch_launch("beside_what_changes");
    hn_watch_block(0, 0, 0);
    const double first = device_memory[5];
    HN_TURN();
    HN_EACH(t) device_memory[HN_BLOCK + t] = first;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(int right);
    } kernels[] = {
        { "in_a_phase", in_a_phase },           { "beside_phases", beside_phases },
        { "between_blocks", between_blocks },   { "under_way", under_way },
        { "before_its_turn", before_its_turn }, { "beside_what_changes", beside_what_changes }
    };
    for (int i = 0; i < 6; i++) {
        if (argc > 1 && strcmp(argv[1], kernels[i].name) != 0 && strcmp(argv[1], "right") != 0)
            continue;
        hn_watch_host();
        hn_watch_launch(kernels[i].name);
        hn_watch_block(0, 0, 0);
        if (i < 4) HN_TURN();
        kernels[i].run(argc > 1 && strcmp(argv[1], "right") == 0);
    }
    return 0;
}
