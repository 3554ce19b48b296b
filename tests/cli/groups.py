#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--group as a FILE: the bytes that a column gives, for a table and for arrays; continued with the groups it was begun with only;
what is no group a row is said."""
import csv
import random
import struct

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
ROWS = 200
NET, DATA, BARE = tmp / "net.onnx", tmp / "data.csv", tmp / "bare.csv"
BASE = 2**53  # from here on a double cannot tell neighbours apart


def make():
    r = random.Random(4)
    x = [[r.gauss(0, 1) for _ in range(3)] for _ in range(ROWS)]
    y = [int(a + b + r.gauss(0, 0.3) > 0) for a, b, _ in x]
    site = [i * 7 % 23 for i in range(ROWS)]
    for path, columns in ((DATA, ["a", "b", "c", "site", "label"]), (BARE, ["a", "b", "c", "label"])):
        with path.open("w", newline="") as f:
            w = csv.writer(f)
            w.writerow(columns)
            w.writerows([*row, *([f"s{s:02}"] if path is DATA else []), label] for row, s, label in zip(x, site, y))
    lines("x.csv", [",".join(map(repr, row)) for row in x])
    lines("y.txt", y)
    lines("names.txt", [f"s{s:02}" for s in site])
    lines("numbers.txt", [16777216 + s for s in site])  # float32 cannot tell them apart
    lines("others.txt", [s // 2 for s in site])
    npy("large.npy", [BASE + s for s in site])
    code("a model", hone("new", "3-6-2 relu softmax", "--seed", 2, "-o", NET), 0)


def lines(name, values):
    (tmp / name).write_text("".join(f"{v}\n" for v in values))
    return tmp / name


def npy(name, values):
    head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(values)},), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    raw = struct.pack(f"<{len(values)}q", *values)
    (tmp / name).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + raw)


TABLE = ["--target", "label"]
ARRAYS = ["--x", tmp / "x.csv", "--y", tmp / "y.txt"]
FILES = ("names.txt", "numbers.txt", "large.npy")


def run(job, out, *args):
    r = hone(job, NET, *args, "--seed", 3, "--progress", "none", "--json", "-o", tmp / out)
    code(out, r, 0)
    return r.json


def test_as_a_column():
    """The rows that are judged, and what comes of it, are those of the column's groups."""
    split = ["--val-split", "0.3", "--epochs", "3"]
    fold = ["--folds", "4", "--epochs", "2", "--trials", "3", "--sampler", "random", "--search", "lr=log:1e-3..1e-1"]
    for job, how in (("train", split), ("tune", fold), ("tune", [*fold, "--stratified"])):
        name = f"{job}-{len(how)}"
        wanted = run(job, f"{name}.onnx", "--data", DATA, *TABLE, "--group", "site", *how)
        free = run(job, f"{name}-free.onnx", "--data", BARE, *TABLE, *how)
        for i, file in enumerate(FILES):
            table = run(job, f"{name}-{i}.onnx", "--data", BARE, *TABLE, "--group", tmp / file, *how)
            arrays = run(job, f"{name}-{i}-x.onnx", *ARRAYS, "--group", tmp / file, *how)
            for what, got in (("a table", table), ("arrays", arrays)):
                if job == "train":
                    check(f"{file}, {what}: the same rows judge", got["val"] == wanted["val"] != free["val"], (got["val"], wanted["val"]))
                else:
                    values = [[t["value"] for t in j["trials"]] for j in (got, wanted, free)]
                    check(f"{file}, {what}: the same folds", values[0] == values[1] != values[2], values)
    code("a column before a file of its name", hone("train", NET, "--data", DATA, *TABLE, "--group", "site", *split, "-o", tmp / "c.onnx",
                                                    cwd=lines("site", [1]).parent), 0)


def test_it_goes_on_with_the_same():
    job = ["--val-split", "0.3", "--epochs", "2", "--run-dir", tmp / "run"]
    run("train", "run.onnx", *ARRAYS, "--group", tmp / "names.txt", *job)
    (tmp / "moved.txt").write_bytes((tmp / "names.txt").read_bytes())
    code("other groups", hone("resume", tmp / "run", "--epochs", "+1", "--group", tmp / "others.txt"), 4, "are not those")
    code("moved groups", hone("resume", tmp / "run", "--epochs", "+1", "--group", tmp / "moved.txt"), 0)
    search = ["--folds", "3", "--epochs", "1", "--trials", "2", "--search", "lr=0.1,0.2", "--study", tmp / "s.db"]
    run("tune", "s1.onnx", *ARRAYS, "--group", tmp / "names.txt", *search)
    code("a study of other groups", hone("tune", NET, *ARRAYS, "--group", tmp / "others.txt", *search, "-o", tmp / "s2.onnx", "--seed", 3), 2,
         "made with something else")


def test_refused():
    base, split = ["train", NET, "-o", tmp / "never.onnx"], ["--val-split", "0.3"]
    for what, args, want, *texts in [
            ("too few", [*ARRAYS, "--group", lines("few.txt", range(ROWS - 1)), *split], 4, "few.txt", str(ROWS - 1)),
            ("two a row", [*ARRAYS, "--group", tmp / "x.csv", *split], 4, "a row has 3 values, wanted one group"),
            ("no file", [*ARRAYS, "--group", tmp / "none.npy", *split], 6, "none.npy"),
            ("no column and no file", ["--data", BARE, *TABLE, "--group", "sites", *split], 4, "sites"),
            ("empty", [*ARRAYS, "--group", "", *split], 2, "group", "is empty"),
            ("no split", [*ARRAYS, "--group", tmp / "names.txt"], 2, "group: means nothing without --val-split"),
            ("events into it", [*ARRAYS, "--group", tmp / "names.txt", *split, "--events", tmp / "names.txt"], 2, "that of --group")]:
        code(what, hone(*base, *args), want, *texts)


make()
test_as_a_column()
test_it_goes_on_with_the_same()
test_refused()
_hone.finish("groups", tmp)
