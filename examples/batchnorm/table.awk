# SPDX-License-Identifier: MIT
# The first epoch at which each net reaches an accuracy, mean over the seeds and range; and where it ends.
BEGIN { goals = split("0.5 0.6 0.7 0.8", goal, " ") }
NR > 1 {
    if (!($1 in known)) { known[$1] = 1; name[++nets] = $1 }
    if (!(($1, $2) in seen)) { seen[$1, $2] = 1; seeds[$1]++ }
    for (g = 1; g <= goals; g++)
        if ($6 >= goal[g] && !(($1, $2, g) in when)) {
            when[$1, $2, g] = $3; reached[$1, g]++; total[$1, g] += $3
            if (!(($1, g) in soon) || $3 < soon[$1, g]) soon[$1, g] = $3
            if (!(($1, g) in late) || $3 > late[$1, g]) late[$1, g] = $3
        }
    final[$1, $2] = $6; loss[$1, $2] = $5
}
END {
    printf "| net |"
    for (g = 1; g <= goals; g++) printf " epochs to %d %% |", goal[g] * 100
    printf " accuracy after 20 | loss after 20 |\n|---|"
    for (g = 1; g <= goals + 2; g++) printf "---|"
    print ""
    for (k = 1; k <= nets; k++) {
        n = name[k]
        printf "| %s |", n
        for (g = 1; g <= goals; g++)
            if (reached[n, g] == seeds[n]) printf " %.1f (%d to %d) |", total[n, g] / seeds[n], soon[n, g], late[n, g]
            else printf " %d of %d runs |", reached[n, g], seeds[n]
        a = l = 0
        for (s in seen) {
            split(s, part, SUBSEP)
            if (part[1] == n) { a += final[n, part[2]]; l += loss[n, part[2]] }
        }
        printf " %.1f %% | %.3f |\n", 100 * a / seeds[n], l / seeds[n]
    }
}
