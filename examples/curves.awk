# SPDX-License-Identifier: MIT
# Curves of several runs as an SVG picture: the mean over the seeds, and the range between the best and the worst.
#
#   awk -f curves.awk -v value=val_loss -v title="…" -v label="test loss" [-v log_scale=1] [-v low=… -v high=…] runs.csv
#
# runs.csv has the columns net, seed, epoch and more, among them `value`; one curve a net, in the order they come.
function at_x(epoch) { return LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - RIGHT) }
function at_y(v) {
    v = scaled(v)
    v = v < bottom ? bottom : v > top ? top : v
    return HEIGHT - BELOW - (v - bottom) / (top - bottom) * (HEIGHT - ABOVE - BELOW)
}
function scaled(v) { return log_scale ? log(v) / log(10) : v }
function text(x, y, anchor, size, what) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\">%s</text>\n", x, y, anchor, size, what
}
function grid(v, name,   y) {
    y = at_y(v)
    printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", LEFT, y, WIDTH - RIGHT, y
    text(LEFT - 8, y + 4, "end", 12, name)
}
function step_of(range,   e, s, r) { # 1, 2, 2.5 or 5 times a power of ten, about four of them in the range
    e = log(range / 4) / log(10)
    s = 10 ^ (int(e) - (e < int(e)))
    r = range / 4 / s + 1e-9
    return s * (r >= 5 ? 5 : r >= 2.5 ? 2.5 : r >= 2 ? 2 : 1)
}
function grids(   s, v, e, k, parts) {
    if (log_scale) {
        split("1 2 5", parts, " ")
        for (e = -6; e <= 6; e++)
            for (k = 1; k <= 3; k++) {
                v = parts[k] * 10 ^ e
                if (scaled(v) >= bottom - 1e-9 && scaled(v) <= top + 1e-9)
                    grid(v, sprintf("%g", v))
            }
        return
    }
    s = step_of(top - bottom)
    for (v = s * int(bottom / s); v <= top + s / 1000; v += s)
        if (v >= bottom - s / 1000)
            grid(v, sprintf("%g", v))
}
function band(n,   e, k, path) {
    for (e = first; e <= last; e += stride)
        if ((n, e) in count)
            path = path sprintf("%s%.1f,%.1f", path == "" ? "" : " ", at_x(e), at_y(most[n, e]))
    for (k = int((last - first) / stride); k >= 0; k--) {
        e = first + k * stride
        if ((n, e) in count)
            path = path sprintf(" %.1f,%.1f", at_x(e), at_y(least[n, e]))
    }
    printf "<polygon points=\"%s\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", path, color[n]
}
function curve(n,   e) {
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", color[n]
    for (e = first; e <= last; e += stride)
        if ((n, e) in count)
            printf "%.1f,%.1f ", at_x(e), at_y(sum[n, e] / count[n, e])
    print "\"/>"
}
BEGIN {
    FS = ","
    WIDTH = 720; HEIGHT = 400; LEFT = 64; RIGHT = 24; ABOVE = 44; BELOW = 48
    split("#1b6ca8 #d1495b #3a8a4f #8a6d3b", palette, " ")
}
FNR == 1 {
    for (i = 1; i <= NF; i++)
        column[$i] = i
    next
}
$column[value] != "" {
    e = $column["epoch"] + 0; v = $column[value] + 0; n = $column["net"]
    if (!(n in known)) {
        known[n] = 1; name[++nets] = n; color[n] = palette[nets]
    }
    if (!((n, e) in count) || v < least[n, e]) least[n, e] = v
    if (!((n, e) in count) || v > most[n, e]) most[n, e] = v
    count[n, e]++; sum[n, e] += v
    if (!any || e < first) first = e
    if (!any || e > last) last = e
    if (!any || v < lowest) lowest = v
    if (!any || v > highest) highest = v
    any = 1
}
END {
    bottom = scaled(low == "" ? lowest : low); top = scaled(high == "" ? highest : high)
    stride = int((last - first) / 240) + 1
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" ", WIDTH, HEIGHT, WIDTH, HEIGHT
    print "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" fill=\"#222222\">"
    printf "<title>%s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", title, WIDTH, HEIGHT
    text(LEFT, 24, "start", 15, title)
    grids()
    s = step_of(last - first); s = s < 1 ? 1 : s
    for (e = s * int(first / s); e <= last; e += s)
        text(at_x(e < first ? first : e), HEIGHT - BELOW + 18, "middle", 12, e < first ? first : e)
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "middle", 13, "epoch")
    printf "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\">%s</text>\n", \
        (ABOVE + HEIGHT - BELOW) / 2, label
    for (k = 1; k <= nets; k++) band(name[k])
    for (k = 1; k <= nets; k++) curve(name[k])
    for (k = 1; k <= nets; k++) { # the legend, where `legend` says: right (default) or low
        y = (legend == "low" ? HEIGHT - BELOW - 14 - 20 * (nets - k) : ABOVE + 14 + 20 * (k - 1))
        printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"3\"/>\n", WIDTH - RIGHT - 190, y, \
            WIDTH - RIGHT - 166, y, color[name[k]]
        text(WIDTH - RIGHT - 158, y + 4, "start", 13, name[k])
    }
    print "</svg>"
}
