# SPDX-License-Identifier: MIT
# Where each net ends: training and test loss after the last epoch, mean over the seeds and range.
NR > 1 {
    if (!($1 in known)) { known[$1] = 1; name[++nets] = $1 }
    train[$1, $2] = $4; test[$1, $2] = $5; last = $3
    if (!(($1, $2) in seen)) { seen[$1, $2] = 1; seeds[$1]++; order[$1, seeds[$1]] = $2 }
}
END {
    print "| net | train loss after " last " | test loss after " last " | by seed |\n|---|---|---|---|"
    for (k = 1; k <= nets; k++) {
        n = name[k]; a = b = 0; each = ""
        for (s = 1; s <= seeds[n]; s++) {
            a += train[n, order[n, s]]; b += test[n, order[n, s]]
            each = each sprintf("%s%.3f", s > 1 ? ", " : "", test[n, order[n, s]])
        }
        printf "| %s | %.4f | %.4f | %s |\n", n, a / seeds[n], b / seeds[n], each
    }
}
