#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What hone tune shows on a terminal, looked at through a small terminal of our own: the live table keeps its place, fits the
width, goes when the search ends or is stopped, and lets warnings through; NO_COLOR, dumb terminals, pipes."""
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
try:
    for fd in pty.openpty():
        os.close(fd)
except OSError as e:
    print(f"skipped: no terminal can be made here: {e}")
    sys.exit(77)
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
SPACE = ["--search", "lr=log:1e-4..1e-1", "--search", "batch_size=8,16,32", "--search", "optimizer=adam,momentum", "--search",
         "momentum=0.5..0.95?optimizer=momentum", "--search", "weight_decay=log:1e-6..1e-2", "--search", "dropout=0..0.5"]
JOB = ["tune", NET, "--data", DATA, "--target", "label", "--folds", "3", "--seed", "3", *SPACE]


class Screen:
    """Knows what the live view uses: text, newline, return, cursor up, erase to the end of line and below, colours."""

    def __init__(self, width):
        self.width, self.lines, self.row, self.column = width, [""], 0, 0
        self.wrapped = self.colours = self.most = 0
        self.frames = []

    def feed(self, text):
        for m in re.finditer(r"\x1b\[(\d*)([A-Za-z])|\x1b.|[\s\S]", text):
            if m.group(2):
                self.control(int(m.group(1) or 1), m.group(2), m.group())
            else:
                self.char(m.group())

    def control(self, n, what, sequence):
        if what == "A":
            self.row = max(0, self.row - n)
        elif what == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif what == "J":
            self.frames.append(list(self.lines))
            self.lines = self.lines[:self.row + 1]
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif what == "m":
            self.colours += 1
        else:
            check("a sequence that is not expected", False, repr(sequence))

    def char(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            if self.column == self.width:
                self.wrapped += 1
                self.char("\n")
                self.column = 0
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + c + line[self.column + 1:]
            self.column += 1


def run(width, *args, env=None, stop=None, out="a.onnx"):
    """The screen and the exit code of a tune on a terminal of that width; stop: a signal after two frames."""
    screen = Screen(width)
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    settings = termios.tcgetattr(side)
    p = subprocess.Popen([str(a) for a in [HONE, *JOB, *args, "--force", "-o", tmp / out]], stdin=side, stdout=side, stderr=side,
                         env={**os.environ, "TERM": "xterm", **(env or {})}, start_new_session=True)
    text, deadline = b"", time.time() + 120
    while time.time() < deadline:
        ready = select.select([main], [], [], 0.2)[0]
        if ready:
            try:
                got = os.read(main, 65536)
            except OSError:
                break
            text += got
            if stop and text.count(b"\x1b[J") >= 2:
                p.send_signal(stop)
                stop = None
        elif p.poll() is not None:
            break
    p.wait()
    check("the terminal is as it was", termios.tcgetattr(side) == settings)
    os.close(side)
    os.close(main)
    screen.feed(text.decode())
    return screen, p.returncode


def bar(frame):
    return [line for line in frame if re.match(r"\d+(/\d+)? trials ", line)]


def test_live():
    for width in (120, 80, 40, 20):
        screen, exit_code = run(width, "--trials", "20", "--epochs", "40")
        check(f"{width}: exit code", exit_code == 0, screen.lines)
        frames = [f for f in screen.frames if bar(f)]
        check(f"{width}: frames with one bar each", frames and all(len(bar(f)) == 1 for f in screen.frames if bar(f)), screen.frames[-1:])
        check(f"{width}: fits", all(len(line) <= width for f in frames for line in f[-12:]))
        check(f"{width}: nothing of it is left", not bar(screen.lines), screen.lines)
        table = [i for i, line in enumerate(screen.lines) if re.match(r" *trial +val_loss", line)]
        check(f"{width}: no blanks at the ends", width < 80 or not [line for line in screen.lines[:-1] if line.endswith(" ")], screen.lines)
        check(f"{width}: one table at the end", len(table) == 1, screen.lines)
        if width >= 80:
            rows = [line for f in frames for line in f if re.match(r" *imported +\d", line)]
            check(f"{width}: the imported model stands in it", rows, frames[-1])
            check(f"{width}: the best first", ordered(frames[-1]), frames[-1])
    check("colours", screen.colours > 0)


def ordered(frame):
    values = [float(m.group(1)) for m in (re.match(r" *\d+(?: default)? +(\d+\.\d+)", line) for line in frame) if m]
    return len(values) >= 2 and values == sorted(values)


def test_plain():
    screen, _ = run(100, "--trials", "6", "--epochs", "4", env={"NO_COLOR": "1"})
    check("NO_COLOR", screen.colours == 0)
    screen, _ = run(100, "--trials", "6", "--epochs", "4", env={"TERM": "dumb"})
    check("a dumb terminal: lines", not screen.frames and not screen.colours and sum(line.startswith("trial ") for line in screen.lines) == 6, screen.lines)
    screen, _ = run(100, "--trials", "6", "--epochs", "4", "--progress", "plain")
    check("--progress plain: lines", not screen.frames and sum(line.startswith("trial ") for line in screen.lines) == 6, screen.lines)
    screen, _ = run(100, "--trials", "6", "--epochs", "4", "--progress", "none")
    check("--progress none: no lines", not screen.frames and not any(line.startswith("trial ") for line in screen.lines))
    r = hone(*JOB, "--trials", "6", "--epochs", "4", "--force", "-o", tmp / "p.onnx")
    check("a pipe: plain lines, a plain table", "\x1b" not in r.err + r.out and r.err.count("\ntrial ") >= 5, r.err)
    r = hone(*JOB, "--trials", "6", "--epochs", "4", "--force", "--progress", "bar", "-o", tmp / "p.onnx")
    check("a bar without a terminal is lines", "\x1b" not in r.err and r.err.count("trial ") >= 6, r.err)
    r = hone(*JOB, "--trials", "6", "--epochs", "4", "--force", "--progress", "json", "-o", tmp / "p.onnx")
    events = [json.loads(line) for line in r.err.split("\n") if line.startswith("{")]
    check("--progress json", sorted(e["trial"] for e in events) == list(range(6)), r.err)


def test_stopped():
    screen, exit_code = run(80, "--trials", "500", "--epochs", "400", stop=signal.SIGINT, out="s.onnx")
    check("SIGINT: exit 130", exit_code == 130, (exit_code, screen.lines[-5:]))
    check("SIGINT: the live table is gone", not bar(screen.lines), screen.lines)
    check("SIGINT: how to go on", any("goes on where it was" in line for line in screen.lines), screen.lines)


def test_table():
    """The table at the end without a terminal: every setting has a column, values stand point under point."""
    r = hone(*JOB, "--trials", "12", "--epochs", "4", "--progress", "none", "--force", "--json", "-o", tmp / "t.onnx")
    lines = r.err.split("\n")
    head = next(i for i, line in enumerate(lines) if re.match(r" *trial +val_loss", line))
    j = r.json
    best = sorted(j["trials"], key=lambda t: t["value"])[:10]
    for t, line in zip(best, lines[head + 1:]):
        cells = line.split()
        check(f"trial {t['number']}", cells[0] == str(t["number"]) and abs(float(line[:40].replace(" default", "").split()[1]) - t["value"]) < 1e-3, line)
        check("its settings", all(text in line + "".join(lines[head:]) for text in [t["params"]["optimizer"], f"{t['params']['lr']:.4g}"]), line)
    check("the imported model", lines[head + 11].split()[0] == "imported", lines[head + 11])
    points = {line.index(".") for line in lines[head + 1:head + 12]}
    check("point under point", len(points) == 1, lines[head:head + 12])


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,label\n")
        for _ in range(600):
            x, y = r.gauss(0, 1), r.gauss(0, 1)
            f.write(f"{x:.6g},{y:.6g},{int(x + y + r.gauss(0, .5) > 0)}\n")
    code("a model", hone("new", "2-32-32-2 relu", "-o", NET), 0)


make_data()
test_live()
test_plain()
test_stopped()
test_table()
_hone.finish("tune_view", tmp)
