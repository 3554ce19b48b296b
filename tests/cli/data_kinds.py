#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same rows in every kind of file, and by every option that names them, train the same bytes; what a person sees on a terminal:
the bar, and what an unknown command was meant to be."""
import os
import pty
import select
import struct
import subprocess

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
ROWS = 120
X = [[((i * k) % 29) / 16 - 1 for k in (3, 7, 11)] for i in range(ROWS)]
Y = [int(x[0] + x[1] > 0) for x in X]
NET = tmp / "net.onnx"


def varint(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def pb(kind, dims, raw):
    """A TensorProto: dims (1), data_type (2), raw_data (9)."""
    return b"".join(b"\x08" + varint(d) for d in dims) + b"\x10" + varint(kind) + b"\x4a" + varint(len(raw)) + raw


def npy(descr, dims, raw):
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({', '.join(map(str, dims))},), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + raw


def make():
    flat = struct.pack(f"<{3 * ROWS}f", *(v for row in X for v in row))
    labels = struct.pack(f"<{ROWS}q", *Y)
    (tmp / "x.pb").write_bytes(pb(1, [ROWS, 3], flat))
    (tmp / "y.pb").write_bytes(pb(7, [ROWS], labels))
    (tmp / "x.npy").write_bytes(npy("<f4", [ROWS, 3], flat))
    (tmp / "y.npy").write_bytes(npy("<i8", [ROWS], labels))
    (tmp / "w.pb").write_bytes(pb(1, [ROWS], struct.pack(f"<{ROWS}f", *(1 + i % 3 for i in range(ROWS)))))
    (tmp / "nan.pb").write_bytes(pb(1, [ROWS, 3], flat[:4] + struct.pack("<f", float("nan")) + flat[8:]))
    (tmp / "short.pb").write_bytes(pb(1, [ROWS, 3], flat[:-4]))
    with open(tmp / "d.csv", "w") as f:
        f.write("c,label,a,b\n")
        for x, y in zip(X, Y):
            f.write("%r,%d,%r,%r\n" % (x[2], y, x[0], x[1]))
    code("a model", hone("new", "3-8-2 relu", "--seed", 3, "-o", NET), 0)


JOB = ["--epochs", 3, "--seed", 1, "--threads", 1, "--val-split", 0.25, "--progress", "none"]


def train(name, *data):
    out = tmp / f"{name}.onnx"
    code(name, hone("train", NET, *JOB, *data, "-o", out, "--force"), 0)
    return out.read_bytes() if out.exists() else None


def test_same_rows():
    want = train("npy", "--x", tmp / "x.npy", "--y", tmp / "y.npy")
    check(".pb", train("pb", "--x", tmp / "x.pb", "--y", tmp / "y.pb") == want)
    check("by the inputs' names", train("named", "--x", f"x={tmp / 'x.pb'}", "--y", f"y={tmp / 'y.pb'}") == want)
    table = train("features", "--data", tmp / "d.csv", "--target", "label", "--features", "a,b,c")
    check("--input", train("input", "--data", tmp / "d.csv", "--target", "label", "--input", "x=a,b,c") == table)
    other = train("order", "--data", tmp / "d.csv", "--target", "label", "--input", "x=c,b,a")
    check("another order is another model", other is not None and other != table)
    for item, text in (("x", "wanted INPUT=COLUMN"), ("=a,b,c", "wanted INPUT=COLUMN"), ("x=", "wanted INPUT=COLUMN"), ("z=a,b,c", "z"), ("x=a,b,q", "q")):
        r = hone("train", NET, *JOB, "--data", tmp / "d.csv", "--target", "label", "--input", item, "-o", tmp / "no.onnx")
        check(f"--input {item}", r.code in (2, 4) and text in r.err, (r.code, r.err))
    code("not finite", hone("train", NET, *JOB, "--x", tmp / "nan.pb", "--y", tmp / "y.pb", "-o", tmp / "no.onnx"), 4, "nan.pb", "row 1")
    r = hone("train", NET, *JOB, "--x", tmp / "short.pb", "--y", tmp / "y.pb", "-o", tmp / "no.onnx")
    check("too short", r.code in (3, 4) and "short.pb" in r.err, (r.code, r.err))
    doubles = [v for row in X for v in row]
    doubles[4] = 1e300
    (tmp / "wide.npy").write_bytes(npy("<f8", [ROWS, 3], struct.pack(f"<{3 * ROWS}d", *doubles)))
    doubles[4] = 3e38
    (tmp / "edge.npy").write_bytes(npy("<f4", [ROWS, 3], struct.pack(f"<{3 * ROWS}f", *doubles)))
    place = "row 2, column 1 (from 0): found"
    for command in (["train", NET, *JOB, "-o", tmp / "no.onnx"], ["eval", NET], ["predict", NET, "-o", tmp / "no.csv"]):
        y = ["--y", tmp / "y.npy"] if command[0] != "predict" else []
        code(f"{command[0]}: beyond float32", hone(*command, "--x", tmp / "wide.npy", *y), 4, "wide.npy", f"{place} 1e+300, wanted a number that float32 can hold")
        code(f"{command[0]}: beyond it by the factor", hone(*command, "--x", tmp / "edge.npy", *y, "--x-scale", 10), 4, "edge.npy",
             f"{place} 3.00000001e+38 times x-scale 10, wanted a number that float32 can hold")
    code("a factor that keeps it inside", hone("eval", NET, "--x", tmp / "edge.npy", "--y", tmp / "y.npy", "--x-scale", 0.1), 0)
    weighted = train("weighted", "--x", tmp / "x.pb", "--y", tmp / "y.pb", "--sample-weights", tmp / "w.pb")
    check("weights from a .pb", weighted is not None and weighted != want)
    check("nothing was written", not (tmp / "no.onnx").exists() and not (tmp / "no.csv").exists())


def on_terminal(*args):
    """What the command writes where standard error is a terminal, and its exit code."""
    first, second = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    p = subprocess.Popen([str(a) for a in (HONE, *args)], stdin=second, stdout=subprocess.DEVNULL, stderr=second, env=env)
    os.close(second)
    said = b""
    while True:
        ready, _, _ = select.select([first], [], [], 60)
        try:
            piece = os.read(first, 65536) if ready else b""
        except OSError:
            piece = b""
        if not piece:
            break
        said += piece
    os.close(first)
    return said.decode(errors="replace"), p.wait()


def test_terminal():
    said, done = on_terminal("train", NET, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--val-split", 0.25, "--epochs", 3000, "--batch-size", 1,
                             "--max-seconds", 1.5, "--progress", "bar", "-o", tmp / "bar.onnx")
    check("exit", done == 0, done)
    check("the bar was drawn on one line", said.count("\r") >= 2 and "/3000" in said, said[-400:])
    check("with the validation loss", "val" in said, said[-400:])
    piped = hone("train", NET, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--epochs", 2, "-o", tmp / "plain.onnx")
    check("and is none in a file", piped.code == 0 and "\r" not in piped.err, piped.err)


def test_unknown():
    code("a slip", hone("trian"), 2, "unknown command 'trian'", "did you mean 'train'?")
    r = hone("x" * 100)
    check("something else", r.code == 2 and "did you mean" not in r.err and "hone help" in r.err, r.err)
    r = hone("\x1b[31mtrain")
    check("no control bytes reach the terminal", r.code == 2 and "\x1b" not in r.err, r.err)
    code("help of nothing", hone("help", "trane"), 2, "did you mean 'train'?")
    for args, text in ((["nonsense"], "unknown command 'nonsense'"), ([], "found '--json' in the place of a command"), (["help", "foo"], "unknown command 'foo'"),
                       (["help", "man", "trane"], "did you mean 'train'?"), (["completion", "tcsh"], "completion wants the name of a shell"),
                       (["\xff\n"], "unknown command '")):
        r = hone(*args, "--json")
        check(f"{args} --json", r.code == 2 and r.json["ok"] is False and r.json["error"]["code"] == "HONE_E_USAGE" and text in r.json["error"]["text"] and
              r.json["schema"] == "hone/1", (r.code, r.out))
    code("a shell there is none of", hone("completion", "tcsh"), 2, "bash, zsh or fish", "tcsh")


make()
test_same_rows()
test_terminal()
test_unknown()
_hone.finish("kinds of data", tmp)
