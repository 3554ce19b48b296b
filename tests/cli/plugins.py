#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plug-ins: the example is built by the command it documents, from the two installed headers alone; a table that it reads gives the
same trained bytes as the same table in CSV, in train, eval, predict and tune; a run is continued with the same plug-in or says what
is wrong; what is no plug-in, or a wrong one, is refused by name."""
import csv
import json
import os
import platform
import random
import re
import shutil
import sqlite3
import subprocess

import _hone
from _hone import EXAMPLES, ROOT, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
HEADERS = tmp / "include"
HERE = ROOT / "tests" / "cli" / "plugins"
SO, JSONL, NET = tmp / "sqlite_reader.so", tmp / "jsonl_reader.so", tmp / "net.onnx"
ENV = dict(os.environ, CPATH=str(HEADERS))
TABLE = ["--target", "label", "--encode", "colour=onehot", "--impute", "mean"]
NAMES = ["age", "n", "colour", "weight", "label", "w"]


def cc(*args, cwd=tmp):
    return subprocess.run(["cc", *map(str, args)], cwd=cwd, env=ENV, capture_output=True, text=True)


def install_headers():
    HEADERS.mkdir()
    for h in ("plugin/hone_plugin.h", "ops/base/hone_status.h"):
        shutil.copy(ROOT / h, HEADERS)


def build_example(name, folder=tmp):
    """By the command in the head of its source, as it stands there."""
    shutil.copy(EXAMPLES / "plugins" / f"{name}.c", folder)
    command = re.search(r"^ \*\s+(cc .*)$", (folder / f"{name}.c").read_text(), flags=re.M).group(1)
    page = (EXAMPLES / "plugins" / "README.md").read_text()
    check(f"the page has {name}'s command", command in page, command)
    r = subprocess.run(command.split() + ["-Wextra", "-Werror"], cwd=folder, env=ENV, capture_output=True, text=True)
    check(f"{name} builds as documented", r.returncode == 0 and not r.stderr, r.stderr)


def test_headers():
    (tmp / "only.c").write_text("#include <hone_plugin.h>\nint main(void) { return sizeof(hone_cell) != 24; }\n")
    r = cc("-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-o", tmp / "only", "only.c")
    check("hone_plugin.h is C99", r.returncode == 0, r.stderr)
    check("a cell is what it always is", subprocess.run([tmp / "only"]).returncode == 0)
    r = cc("-x", "c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "only.c")
    check("and C++", r.returncode == 0, r.stderr)


def make_rows(seed, n):
    r = random.Random(seed)
    rows = []
    for _ in range(n):
        age, whole = r.gauss(40, 9), r.randint(-5, 5)
        colour, weight = r.choice(["blue", 'the "green"', "red, dark", None]), r.choice([None, r.gauss(0, 1), r.gauss(0, 1e-3)])
        label = "yes" if age / 9 + whole / 3 + (colour == "blue") + r.gauss(0, 0.5) > 5 else "no"
        rows.append([age, whole, colour, weight, label, r.choice([1, 2, 0.5])])
    return rows


def write(name, rows):
    """The same rows as a CSV file, as a table of a database, and as JSON Lines, where a cell may be left out."""
    with open(tmp / f"{name}.csv", "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(NAMES)
        out.writerows([["" if v is None else repr(v) if isinstance(v, float) else v for v in row] for row in rows])
    db = sqlite3.connect(tmp / f"{name}.db")
    db.execute("CREATE TABLE t(age REAL, n INTEGER, colour TEXT, weight REAL, label TEXT, w REAL)")
    db.executemany("INSERT INTO t VALUES(?,?,?,?,?,?)", rows)
    db.commit()
    db.close()
    objects = [{k: v for k, v in zip(NAMES, row) if i < 5 or i % 2 or v is not None} for i, row in enumerate(rows)]
    (tmp / f"{name}.jsonl").write_text("".join(json.dumps(o) + "\n" + "  \n" * (i % 7 == 3) for i, o in enumerate(objects)))
    subprocess.run(["gzip", "-k", f"{name}.jsonl"], cwd=tmp, check=True)


def both(make):
    """make(kind, plug-in options, ending) for .csv, .db and JSON Lines: the same results."""
    a, b = make("csv", [], ".csv"), make("db", ["--plugin", SO], ".db")
    check("JSON Lines, too", make("jsonl", ["--plugin", JSONL], ".jsonl") == a == make("gz", ["--plugin", JSONL], ".jsonl.gz"))
    return a, b


def test_train():
    def run(kind, plugin, end):
        out = tmp / f"{kind}.onnx"
        r = hone("train", NET, *plugin, "--data", tmp / f"train{end}", "--val-data", tmp / f"val{end}", "--test-data", tmp / f"test{end}",
                 *TABLE, "--ignore", "w", "--scale", "standard", "--lr", 0.02, "--epochs", 6, "--json", "-o", out)
        code(f"train {kind}", r, 0)
        return out.read_bytes(), r.json["val"], r.json["test"]
    a, b = both(run)
    check("the same trained bytes", a == b, (a[1:], b[1:]))
    check("and something was learned", a[1]["loss"] < 0.5, a[1])

    def rest(kind, plugin, end):
        e = hone("eval", tmp / "csv.onnx", *plugin, "--data", tmp / f"test{end}", "--target", "label", "--ignore", "w", "--json")
        code(f"eval {kind}", e, 0)
        p = hone("predict", tmp / "csv.onnx", *plugin, "--data", tmp / f"test{end}", "--ignore", "label,w", "-o", tmp / f"p-{kind}.csv")
        code(f"predict {kind}", p, 0)
        t = hone("tune", NET, *plugin, "--data", tmp / f"train{end}", *TABLE, "--ignore", "w", "--folds", 3, "--search", "lr=log:1e-3..1e-1",
                 "--trials", 4, "--epochs", 2, "--progress", "none", "--json", "-o", tmp / f"t-{kind}.onnx")
        code(f"tune {kind}", t, 0)
        return (e.json["loss"], (tmp / f"p-{kind}.csv").read_bytes(), [x["value"] for x in t.json["trials"]],
                (tmp / f"t-{kind}.onnx").read_bytes())
    a, b = both(rest)
    check("eval, predict and tune: the same", a == b, (a[0], b[0], a[2], b[2]))

    def weighted(kind, plugin, end):
        out = tmp / f"w-{kind}.onnx"
        code(f"weights, {kind}", hone("train", NET, *plugin, "--data", tmp / f"train{end}", *TABLE, "--sample-weights", "w", "--epochs", 2,
                                      "--quiet", "-o", out), 0)
        return out.read_bytes()
    a, b = both(weighted)
    check("weights of rows: the same", a == b)

    def weights_file(kind, plugin, end):
        out = tmp / f"wf-{kind}.onnx"
        code(f"a file of weights, {kind}", hone("train", NET, *plugin, "--data", tmp / f"train{end}", *TABLE, "--ignore", "w", "--sample-weights",
                                                tmp / ("only_w.db:w" if kind == "db" else "only_w.csv"), "--epochs", 2, "--quiet", "-o", out), 0)
        return out.read_bytes()
    table = list(csv.reader(open(tmp / "train.csv")))
    (tmp / "only_w.csv").write_text("".join(row[-1] + "\n" for row in table))
    db = sqlite3.connect(tmp / "only_w.db")
    db.execute("CREATE TABLE other(a)")
    db.execute("CREATE TABLE w(w REAL)")
    db.executemany("INSERT INTO w VALUES(?)", [[float(row[-1])] for row in table[1:]])
    db.commit()
    db.close()
    c, d = both(weights_file)
    check("weights in a file: the same", c == d)
    check("as in a column", b == d)


def test_arrays():
    """--x and --y take whole tables; FILE.db:TABLE says which, and a compressed database is read from memory."""
    r = random.Random(5)
    x = [[r.gauss(0, 1), r.gauss(0, 1)] for _ in range(90)]
    y = [int(a + b > 0) for a, b in x]
    db = sqlite3.connect(tmp / "xy.db")
    db.execute("CREATE TABLE x(a REAL, b REAL)")
    db.execute('CREATE TABLE "the ""y"""(y INTEGER)')
    db.executemany("INSERT INTO x VALUES(?,?)", x)
    db.executemany('INSERT INTO "the ""y""" VALUES(?)', [[v] for v in y])
    db.commit()
    db.close()
    (tmp / "x.csv").write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in x))
    (tmp / "y.csv").write_text("y\n" + "".join(f"{v}\n" for v in y))
    code("a small net", hone("new", "2-4-2 tanh softmax", "-o", tmp / "xy.onnx"), 0)
    subprocess.run(["gzip", "-k", "xy.db"], cwd=tmp, check=True)
    outs = []
    for i, (a, b) in enumerate([("x.csv", "y.csv"), ("xy.db:x", 'xy.db:the "y"'), ("xy.db.gz:x", 'xy.db:the "y"')]):
        code(f"train --x {a}", hone("train", tmp / "xy.onnx", "--plugin", SO, "--x", tmp / a, "--y", tmp / b, "--epochs", 2, "--quiet", "-o",
                                    tmp / f"xy{i}.onnx"), 0)
        outs.append((tmp / f"xy{i}.onnx").read_bytes())
    check("--x and --y: the same", len(set(outs)) == 1)
    two = ["eval", tmp / "xy.onnx", "--plugin", SO, "--y", tmp / "y.csv"]
    code("which of two tables", hone(*two, "--x", tmp / "xy.db"), 4, "found 2 tables", "FILE.db:TABLE", "hone.example.sqlite")
    code("a table that is not there", hone(*two, "--x", tmp / "xy.db:z"), 4, "no such table: z")
    (tmp / "no.db").write_text("this is no database, but is called one")
    code("no database", hone(*two, "--x", tmp / "no.db"), 4, "no.db", "not a database")
    db = sqlite3.connect(tmp / "blob.db")
    db.execute("CREATE TABLE t(a, b)")
    db.execute("INSERT INTO t VALUES(1, 2), (3, x'00ff')")
    db.commit()
    code("a BLOB", hone(*two, "--x", tmp / "blob.db"), 4, "row 2, column 'b': found a BLOB")
    db.execute("UPDATE t SET b = 'many'")
    db.commit()
    code("an error names the row", hone(*two, "--x", tmp / "blob.db"), 4, "row 1, column 'b': found 'many', wanted a number")
    db.execute("DELETE FROM t")
    db.commit()
    db.close()
    code("no rows", hone(*two, "--x", tmp / "blob.db"), 4, "found no rows")
    code("without the plug-in", hone("eval", tmp / "xy.onnx", "--x", tmp / "xy.db", "--y", tmp / "y.csv"), 4, "is an SQLite database", "--plugin")


def test_lines():
    """JSON Lines that are none."""
    for text, told in (('{"a": 1}\n{"a": [1]}\n', "line 2, 'a': found a list"), ('{"a": 1}\n{"b": 1}\n', "line 2: found a key that the first line has not"),
                       ('{"a": 1}\n[1]\n', "line 2: found no object"), ('{"a": 1}\n{"a": \n', "line 2:"), ("{}\n", "found no columns"),
                       ('\n{"a": "x"}\n', "row 1, column 'a': found 'x'")):
        (tmp / "bad.jsonl").write_text(text)
        r = hone("predict", tmp / "xy.onnx", "--plugin", JSONL, "--data", tmp / "bad.jsonl", "-o", tmp / "bad.csv")
        code(f"lines {text!r}", r, 4, "bad.jsonl", told)


def test_resume():
    """A run folder knows its plug-in; it must be there, and the same."""
    where = tmp / "resume"
    where.mkdir()
    so = where / "r.so"

    def start(out, data, *plugin):
        r = hone("train", NET, *plugin, "--data", tmp / data, *TABLE, "--ignore", "w", "--val-split", 0.2, "--epochs", 2, "--keep-run", "--quiet",
                 "-o", where / out)
        code(f"start {out}", r, 0)
    shutil.copy(SO, so)
    start("a.onnx", "train.csv")
    start("b.onnx", "train.db", "--plugin", so)
    run = json.loads((where / "b.onnx.run" / "run.json").read_text())
    p = run["plugins"][0]
    check("run.json names it", (p["path"], p["id"], p["version"]) == (str(so), "hone.example.sqlite", "1.0") and re.fullmatch("[0-9a-f]{32}", p["hash"]),
          p)
    check("and its hash", run["settings"]["plugin"] == f"{so}@{p['hash']}", run["settings"])
    check("none, none named", "plugins" not in json.loads((where / "a.onnx.run" / "run.json").read_text()))

    more = ["--epochs", "+1", "--quiet"]
    so.rename(where / "away.so")
    code("gone", hone("resume", where / "b.onnx.run", *more), 6, "r.so", "No such file", "--plugin says where it is")
    shutil.copy(SO, so)
    with open(so, "ab") as f:
        f.write(b"\0")
    r = hone("resume", where / "b.onnx.run", *more)
    code("changed", r, 2, "is another one than before", p["hash"], "takes it as it is now")
    so.unlink()
    code("resume csv", hone("resume", where / "a.onnx.run", *more), 0)
    code("moved", hone("resume", where / "b.onnx.run", *more, "--plugin", where / "away.so"), 0)
    check("the same bytes", (where / "a.onnx").read_bytes() == (where / "b.onnx").read_bytes())
    (where / "away.so").rename(so)
    code("and on", hone("resume", where / "b.onnx.run", *more, "--plugin", so), 0)
    pinned = ["eval", NET, "--plugin", f"{so}@{p['hash']}", "--data", tmp / "xy.db:x", "--target", "b"]
    check("a hash that is right goes on to the data", "another one" not in hone(*pinned).err)
    code("a hash that is wrong", hone("doctor", "--plugin", f"{so}@{'0' * 32}"), 2, "is another one than before", "0" * 32)

    tune = ["tune", NET, "--plugin", so, "--data", tmp / "train.db", *TABLE, "--ignore", "w", "--val-split", 0.2, "--search", "lr=log:1e-3..1e-1",
            "--trials", 3, "--epochs", 1, "--progress", "none", "--quiet", "-o", where / "t.onnx"]
    code("tune", hone(*tune), 0)
    check("tune.yaml has its hash", f"'{so}@{p['hash']}'" in (where / "t.onnx.run" / "tune.yaml").read_text())
    check("study.json, too", json.loads((where / "t.onnx.run" / "study.json").read_text())["plugins"][0]["hash"] == p["hash"])
    best = (where / "t.onnx").read_bytes()
    (where / "t.onnx").unlink()
    so.rename(where / "away.so")
    code("a search whose plug-in is gone", hone("resume", where / "t.onnx.run", "--quiet"), 6, "No such file", "--plugin")
    code("and moved", hone("resume", where / "t.onnx.run", "--quiet", "--plugin", where / "away.so"), 0)
    check("ends the same", (where / "t.onnx").read_bytes() == best)


def test_config():
    (tmp / "c.yaml").write_text(f"plugin: {SO}\nx: xy.db:x\ny: y.csv\n")
    code("by a config file", hone("eval", "xy.onnx", "--config", "c.yaml", cwd=tmp), 0)
    d = hone("doctor", "--plugin", SO, "--json")
    code("doctor", d, 0)
    p = d.json["plugins"][0]
    check("doctor tells of it", p["readers"] == [{"name": "sqlite", "extensions": [".db", ".sqlite", ".sqlite3"], "magic": b"SQLite format 3\0".hex()}]
          and p["abi"] == "1.0" and p["license"] == "MIT", p)
    check("doctor without", "plugins" not in hone("doctor", "--json").json)


BAD = {
    "BAD_NO_SYMBOL": "is no plug-in of Hone: it has no symbol hone_plugin_v1",
    "BAD_SYMBOL_2": "is built for plug-in ABI 2, this Hone (0.1.0) has 1.0",
    "BAD_MAJOR": "is built for plug-in ABI 9.4, this Hone (0.1.0) has 1.0",
    "BAD_SMALL_SYMBOL": "hone_plugin_v1 has 4 bytes",
    "BAD_SIZE": "says it has 16 bytes",
    "BAD_SIZE_LIE": "says it has 4096 bytes",
    "BAD_ID_NULL": "has no id",
    "BAD_ID": "has no id",
    "BAD_VERSION": "plug-in 'org.bad' has no version",
    "BAD_LICENSE": "plug-in 'org.bad' does not say its licence",
    "BAD_INIT_NULL": "plug-in 'org.bad' has no init (NULL)",
    "BAD_INIT": "a licence is missing",
    "BAD_INIT_SILENT": "plug-in 'org.bad' failed in init without a reason (-8)",
    "BAD_INIT_STATUS": "plug-in 'org.bad' failed in init without a reason (1)",
    "BAD_READER_NULL": "adds a reader at NULL",
    "BAD_READER_SHORT": "reader 0 (from 0): its struct has 24 bytes, wanted at least 64",
    "BAD_READER_NAME": "reader 0 (from 0) has no name",
    "BAD_READER_OPEN": "lacks open, read or close (NULL)",
    "BAD_READER_CLOSE": "lacks open, read or close (NULL)",
    "BAD_CLAIMS": "claims no file",
    "BAD_MAGIC": "has a magic at NULL",
    "BAD_MAGIC_SIZE": "has a magic of more than 64 bytes",
    "BAD_EXTENSION": 'has an extension that is not like ".xyz"',
    "BAD_OP_SHORT": "operator 0 (from 0): its struct has 8 bytes, wanted at least 80",
    "BAD_OP_DOMAIN": "operator 0 (from 0) has no domain and type",
    "BAD_OP_OURS": "is of a domain that is not the plug-in's",
    "BAD_OP_TYPE": "has no domain and type",
    "BAD_OP_SINCE": "has no version of its domain",
    "BAD_OP_BACKWARD": "lacks forward64 or backward64 (NULL)",
    "BAD_OP_ALONE": "has one of forward32 and backward32 alone",
    "BAD_OP_NINE": "has more than 8 attributes",
    "BAD_OP_DEFAULTS": "has attributes without defaults (NULL)",
    "BAD_OP_ATTRIBUTE": "operator org.bad.Same has two attributes called 'alpha'",
    "BAD_OP_TWICE": "operator 1 (from 0) is there already",
    "BAD_OP_NULL": "adds an operator at NULL",
    "BAD_SYMBOL_MISSING": "cannot be loaded",
}


def build_bad(name):
    so = tmp / f"{name}.so"
    r = cc("-shared", "-fPIC", "-w", f"-D{name}", "-o", so, HERE / "bad.c")
    check(f"{name} builds", r.returncode == 0, r.stderr)
    return so


def test_bad():
    for name, text in BAD.items():
        so = build_bad(name)
        code(name, hone("doctor", "--plugin", so), 2, text, f"{name}.so")
    so = build_bad("GOOD_MINOR")
    d = hone("doctor", "--plugin", so, "--plugin", SO, "--json")
    code("a higher minor version", d, 0)
    check("both are there", [(p["id"], p["abi"]) for p in d.json["plugins"]] == [("org.bad", "1.7"), ("hone.example.sqlite", "1.0")])
    (tmp / "a.xyz").write_text("x")
    r = hone("eval", tmp / "xy.onnx", "--plugin", so, "--plugin", SO, "--x", tmp / "a.xyz", "--y", tmp / "y.csv")
    code("two plug-ins, each its files", r, 4, "a.xyz", "the reader says no", "said by reader 'bad' of plug-in 'org.bad'")
    code("two plug-ins, the other's files", hone("eval", tmp / "xy.onnx", "--plugin", so, "--plugin", SO, "--plugin", so, "--x", tmp / "xy.db:x",
                                                 "--y", tmp / "y.csv"), 0)
    (tmp / "text.so").write_text("not a shared object")
    code("no shared object", hone("doctor", "--plugin", tmp / "text.so"), 2, "cannot be loaded")
    code("no file", hone("doctor", "--plugin", tmp / "absent.so"), 6, "absent.so", "No such file")
    r = hone("doctor", "--plugin", "sqlite_reader.so", cwd=tmp)
    code("a bare name", r, 2, "wanted a path with a '/'", "./sqlite_reader.so")
    code("with a path", hone("doctor", "--plugin", "./sqlite_reader.so", cwd=tmp), 0)


ROUGH = {
    "Good": (0, "a table of 10 rows, 1 columns"),
    "Segfault": (1, "FAILED read", "signal 11"),
    "Exit": (1, "FAILED read", "exit status 3"),
    "Torn": (1, "FAILED contents cut short", "signal 6"),
    "Leak": (1, "FAILED read", "memory of the host is not released"),
    "Random": (1, "FAILED read again", "the second reading gives something else"),
    "Odd": (1, "FAILED read", "gave row 1, column 'byte' a cell of no known type"),
    "Twins": (1, "FAILED read", "calls columns 0 and 1 (from 0) both 'byte', wanted different names"),
    "Named": (1, "FAILED read", "gives column 0 (from 0) the name 'gr.n', which is not UTF-8"),
    "Coded": (1, "FAILED read", "gave row 4, column 'byte' a text that is not UTF-8"),
    "Careless": (1, "FAILED allocations that fail", "no error, but other rows"),
    "Wrong": (1, "FAILED allocations that fail", "another error than HONE_E_NOMEM"),
    "Announce": (1, "FAILED read", "gave 14 rows, and had said 1000"),
}
LEFT = "FAILED the process is left as it was"
ROUGH |= {word: (1, LEFT, f"{what} and leaves it so") for word, what in (
    ("Handler", "open changes the handler of signal 10 (User defined signal 1)"), ("Mask", "open changes the signal mask"), ("Rounding", "open changes the rounding mode"),
    *([("Traps", "open changes the floating-point traps")] if platform.machine() == "x86_64" else []), ("Words", "open changes the locale"),
    ("Folder", "open changes the working directory"), ("Umask", "open changes the umask"), ("During", "read changes the signal mask"),
    ("After", "close changes the umask"), ("Prints", "open changes standard output (by writing 'reading 12 bytes' there)"),
    ("Variable", "open changes the environment variable ROUGH"), ("Unset", "open changes the environment variable PATH"),
    ("Output", "open changes where standard output goes"))}
ROUGH["Descriptor"] = (1, LEFT, "descriptor", "Descriptor.rough) is left open")


def test_check():
    """hone plugin check finds what breaks the rules, and lives when the plug-in does not."""
    def build(name, *args):
        r = cc("-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *args, "-o", tmp / name, HERE / "rough.c", "-lm")
        check(f"{name} builds", r.returncode == 0, r.stderr)
        return tmp / name
    so = build("rough.so")
    env = dict(os.environ, ASAN_OPTIONS="handle_segv=0:handle_abort=0:detect_leaks=0") # what is wrong is the plug-in's
    for word, (want, *texts) in ROUGH.items():
        (tmp / f"{word}.rough").write_text(f"{word} rows\n")
        r = hone("plugin", "check", so, tmp / f"{word}.rough", env=env)
        code(f"check {word}", r, want, *texts, f"{word}.rough")
        check(f"check {word}: nothing else of the process", r.out.count(LEFT) == texts.count(LEFT), r.out)
    r = hone("plugin", "check", so, tmp / "Good.rough", "--json")
    code("check --json", r, 0)
    check("all of it passed", r.json["passed"] and len(r.json["checks"]) == 10 and all(c["passed"] for c in r.json["checks"]), r.json["checks"])
    r = hone("plugin", "check", so, tmp / "Segfault.rough", "--json", env=env)
    check("a crash in JSON", (r.code, r.json["passed"], r.json["signal"]) == (1, False, 11), r.json)
    code("no file", hone("plugin", "check", so), 0, "no file was given")
    code("a file of nobody's", hone("plugin", "check", so, tmp / "y.csv"), 1, "no reader of the plug-in claims it")
    code("a leak of init's", hone("plugin", "check", build("leak.so", "-DROUGH_LEAK"), env=env), 1, "FAILED load and unload", "is not released")
    code("a crash in init", hone("plugin", "check", build("crash.so", "-DROUGH_INIT"), env=env), 1, "FAILED load and unload", "signal 11")
    for name, what in (("MASK", "init changes the signal mask"), ("LOAD", "loading the file changes the handler of signal 10"),
                       ("DEINIT", "deinit changes the umask")):
        r = hone("plugin", "check", build(f"{name}.so", f"-DROUGH_{name}"), tmp / "Good.rough", env=env)
        code(f"{name}: the process", r, 1, f"{LEFT}: {what}", "ok     read again")
    code("no plug-in", hone("plugin", "check", build_bad("BAD_MAJOR")), 1, "is built for plug-in ABI 9.4")
    code("the example", hone("plugin", "check", SO, tmp / "train.db", tmp / "xy.db:x", tmp / "xy.db.gz:x"), 0, "a table of 300 rows, 6 columns")
    code("the other example", hone("plugin", "check", JSONL, tmp / "train.jsonl", tmp / "val.jsonl.gz"), 0, "a table of 300 rows, 6 columns")
    code("list", hone("plugin", "list", SO, so), 0, "hone.example.sqlite 1.0 (MIT), plug-in ABI 1.0", "reads 'rough': *.rough")
    code("neither list nor check", hone("plugin", "chekc", SO), 2, "wanted list or check")


install_headers()
build_example("sqlite_reader")
build_example("jsonl_reader")
test_headers()
for k, (what, n) in enumerate([("train", 300), ("val", 80), ("test", 90)]):
    write(what, make_rows(k, n))
code("new", hone("new", "6-8-2 relu softmax", "--seed", 1, "-o", NET), 0)
test_train()
test_arrays()
test_lines()
test_resume()
test_config()
test_bad()
test_check()
_hone.finish("plugins", tmp)
