# SPDX-License-Identifier: MIT
# Noisy points of the line y = x on [-1, 1]: awk -v seed=1 -v n=20 -f make_data.awk > train.csv
# A generator of its own (Park and Miller's) and Box and Muller's transform: the same numbers everywhere.
function uniform() {
    state = (state * 16807) % 2147483647
    return state / 2147483647
}
BEGIN {
    state = seed * 7919 + 1
    for (i = 0; i < 10; i++)
        uniform()
    print "x,y"
    for (i = 0; i < n; i++) {
        x = -1 + 2 * i / (n - 1)
        u = uniform()
        printf "%.6f,%.6f\n", x, x + 0.3 * sqrt(-2 * log(u)) * cos(6.283185307179586 * uniform())
    }
}
