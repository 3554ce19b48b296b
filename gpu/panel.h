/* SPDX-License-Identifier: MIT
 *
 * The sums of one tile of ROWS x COLS results; panel.cu takes this in once per shape. The block's threads form groups; each group
 * adds up its share of every chunk of DEEP terms for the whole tile, a thread 4 DOWN x 4 ACROSS results of it; the groups' partial
 * sums are left behind each other in sh, PITCH apart from row to row, for panel.cu to add up. STAGES chunks are in shared memory
 * at once, all but one of them on their way.
 *
 * Which terms a group adds depends on k alone: a result does not depend on its place in the grid or on company. */

enum {
    PN(LANES_M) = ROWS / (4 * DOWN), /* threads of a group, down and across */
    PN(LANES_N) = COLS / (4 * ACROSS),
    PN(GROUP) = PN(LANES_M) * PN(LANES_N),
    PN(GROUPS) = HN_BLOCK / PN(GROUP),
    PN(SHARE) = DEEP / 4 / PN(GROUPS),             /* fours of terms of a group in a chunk */
    PN(HALVES) = DEEP >= 64 && PN(SHARE) % 2 == 0, /* the last chunk may be half a one */
    PN(RESULTS) = 16 * DOWN * ACROSS,
    PN(PIECES_A) = (ROWS * DEEP / 4 + HN_BLOCK - 1) / HN_BLOCK, /* copies of a thread and chunk */
    PN(PIECES_B) = (COLS * DEEP / 4 + HN_BLOCK - 1) / HN_BLOCK,
    PN(STAGE) = (ROWS + COLS) * DEEP,
    PN(FITS) = 1 / (STAGES * PN(STAGE) <= SHARED && PN(GROUPS) * ROWS * PITCH <= SHARED &&
                    PN(SHARE) >= 1 && PN(SHARE) * PN(GROUPS) * 4 == DEEP)
};

/* This thread's share of a chunk, or the first half of it; `by_a`, `by_b`: lines run along k. */
HN_DEVICE void PN(multiply)(int by_a, int by_b, int share, const real *as, const real *bs, int t,
                            real *acc)
{
    HN_ANEW(t);
    const int group = (int)((uint32_t)t / PN(GROUP));
    const uint32_t l = (uint32_t)t % PN(GROUP);
    const int ti = lane_down(l, PN(LANES_N)), tj = lane_across(l, PN(LANES_N));
    HN_UNROLL
    for (int s = 0; s < share; s++) {
        const int four = s * PN(GROUPS) + group;
        real x[16 * DOWN], y[16 * ACROSS]; /* k by k of a, then of b */
        HN_UNROLL
        for (int q = 0; q < 4 * DOWN; q++)
            pick_up(x, as, by_a, ROWS, DEEP, 4 * DOWN, four, q % 4, q / 4 * 4,
                    4 * (q / 4 * PN(LANES_M) + ti));
        HN_UNROLL
        for (int q = 0; q < 4 * ACROSS; q++)
            pick_up(y, bs, by_b, COLS, DEEP, 4 * ACROSS, four, q % 4, q / 4 * 4,
                    4 * (q / 4 * PN(LANES_N) + tj));
        HN_UNROLL
        for (int k = 0; k < 4; k++) HN_UNROLL
        for (int e = 0; e < PN(RESULTS); e++)
            acc[e] += x[k * 4 * DOWN + e / (4 * ACROSS)] * y[k * 4 * ACROSS + e % (4 * ACROSS)];
    }
}

HN_DEVICE void PN(multiply_any)(int by_a, int by_b, int share, const real *as, const real *bs,
                                int t, real *acc)
{
    if (by_a && by_b)
        PN(multiply)(1, 1, share, as, bs, t, acc);
    else if (by_a)
        PN(multiply)(1, 0, share, as, bs, t, acc);
    else
        PN(multiply)(0, 0, share, as, bs, t, acc);
}

/* All chunks but one of those that shared memory holds, on their way; pa, pb: this thread's pieces of the next one. */
HN_DEVICE void PN(send_first)(const struct source *a, const struct source *b, hn_place places,
                              int chunks, int t, struct piece *pa, struct piece *pb)
{
    struct piece first_a[STAGES * PN(PIECES_A)], first_b[STAGES * PN(PIECES_B)];
    aim(b, COLS, DEEP, PN(PIECES_B), t, first_b);
    aim(a, ROWS, DEEP, PN(PIECES_A), t, first_a);
    HN_UNROLL
    for (int c = 1; c < STAGES; c++) {
        struct piece *fa = first_a + c * PN(PIECES_A), *fb = first_b + c * PN(PIECES_B);
        aim_on(b, COLS, DEEP, PN(PIECES_B), c, t, fb - PN(PIECES_B), fb);
        aim_on(a, ROWS, DEEP, PN(PIECES_A), c, t, fa - PN(PIECES_A), fa);
    }
    HN_TURN();
    HN_ROLLED
    for (int c = 0; c < STAGES - 1 && c < chunks; c++) {
        const hn_place to = hn_place_on(places, c * PN(STAGE));
        send_few(b, COLS, DEEP, c, t, hn_place_on(to, ROWS * DEEP));
        send_few(a, ROWS, DEEP, c, t, to);
    }
    HN_UNROLL
    for (int c = 0; c < STAGES - 1; c++) {
        const hn_place to = hn_place_on(places, c * PN(STAGE));
        if (c < chunks) {
            send(b, COLS, DEEP, PN(PIECES_B), c, t, first_b + c * PN(PIECES_B),
                 hn_place_on(to, ROWS * DEEP));
            send(a, ROWS, DEEP, PN(PIECES_A), c, t, first_a + c * PN(PIECES_A), to);
        }
        HN_SENT();
    }
    HN_UNROLL
    for (int f = 0; f < PN(PIECES_A); f++) pa[f] = first_a[(STAGES - 1) * PN(PIECES_A) + f];
    HN_UNROLL
    for (int f = 0; f < PN(PIECES_B); f++) pb[f] = first_b[(STAGES - 1) * PN(PIECES_B) + f];
}

HN_DEVICE struct parts PN(panel)(const struct hn_k_gemm *g, const struct hn_k_slot *s,
                                 const struct bases *bases, const struct job *j, struct source a,
                                 struct source b, real *sh, HN_PRIVATE(struct leaving, leaving, 1))
{
    const struct parts is = parts_of(ROWS, COLS, PITCH, PN(GROUPS));
    HN_PRIVATE(real, acc, PN(RESULTS));
    HN_PRIVATE(struct piece, at_a, PN(PIECES_A));
    HN_PRIVATE(struct piece, at_b, PN(PIECES_B));
    const hn_place places = hn_place_of(sh);
    const int chunks = (j->k + DEEP - 1) / DEEP;
    a.step = DEEP * (a.along ? 1 : a.stride), b.step = DEEP * (b.along ? 1 : b.stride);
    HN_EACH(t)
    {
        HN_UNROLL
        for (int e = 0; e < PN(RESULTS); e++) HN_MINE(acc, t)[e] = 0;
        struct piece *pa = HN_MINE(at_a, t), *pb = HN_MINE(at_b, t);
        PN(send_first)(&a, &b, places, chunks, t, pa, pb);
        HN_MINE(leaving, t)->chance = chance_of(g, s, j, &is, t);
        HN_ARRIVED(STAGES - 2);
    }
    for (int c = 0, from = 0, to = STAGES - 1; c < chunks; c++) {
        HN_EACH(t)
        {
            const int next = c + STAGES - 1;
            const real *as = sh + from * PN(STAGE), *bs = as + ROWS * DEEP;
            struct piece *pa = HN_MINE(at_a, t), *pb = HN_MINE(at_b, t);
            if (next < chunks) {
                const hn_place to_a = hn_place_on(places, to * PN(STAGE)),
                               to_b = hn_place_on(to_a, ROWS * DEEP);
                send(&b, COLS, DEEP, PN(PIECES_B), next, t, pb, to_b);
                send(&a, ROWS, DEEP, PN(PIECES_A), next, t, pa, to_a);
                send_few(&b, COLS, DEEP, next, t, to_b);
                send_few(&a, ROWS, DEEP, next, t, to_a);
                aim_on(&b, COLS, DEEP, PN(PIECES_B), next + 1, t, pb, pb);
                aim_on(&a, ROWS, DEEP, PN(PIECES_A), next + 1, t, pa, pa);
            }
            HN_SENT();
            if (PN(HALVES) && j->k - c * DEEP <= DEEP / 2)
                PN(multiply_any)(a.along, b.along, PN(SHARE) / 2, as, bs, t, HN_MINE(acc, t));
            else
                PN(multiply_any)(a.along, b.along, PN(SHARE), as, bs, t, HN_MINE(acc, t));
            HN_ARRIVED(STAGES - 2);
        }
        from = from + 1 < STAGES ? from + 1 : 0;
        to = to + 1 < STAGES ? to + 1 : 0;
    }
    HN_EACH(t)
    {
        const uint32_t l = (uint32_t)t % PN(GROUP);
        HN_MINE(leaving, t)->ahead = first_ahead(g, bases, j, &is, t);
        real *to = sh + (uint32_t)t / PN(GROUP) * ROWS * PITCH +
                   4 * lane_down(l, PN(LANES_N)) * PITCH + 4 * lane_across(l, PN(LANES_N));
        HN_UNROLL
        for (int e = 0; e < PN(RESULTS); e += 4) {
            const int row = e / (4 * ACROSS), col = e % (4 * ACROSS);
            hn_copy4(to + (row % 4 + row / 4 * 4 * PN(LANES_M)) * PITCH + col * PN(LANES_N),
                     HN_MINE(acc, t) + e);
        }
    }
    return is;
}
#undef ROWS
#undef COLS
#undef DOWN
#undef ACROSS
#undef DEEP
#undef STAGES
#undef PITCH
