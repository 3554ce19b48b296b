#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which columns of a table are which: the names that a model learned from travel with it, so that other tables are read by them,
whatever else stands there; what is not there is said by name; tables without names, or with others, go by their order."""
import csv
import pathlib
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NAMES = ("a", "b", "c", "label")
NET, MODEL = tmp / "net.onnx", tmp / "model.onnx"
JOB = ["--target", "label", "--epochs", "2", "--seed", "1", "--save", "last", "--json"]


def make_rows(n):
    r = random.Random(9)
    rows = [{k: f"{r.gauss(i, 1):.5f}" for i, k in enumerate("abc")} | {"id": f"nr {i}", "more": "7"} for i in range(n)]
    for row in rows:
        row["label"] = "yes" if float(row["a"]) + 2 * float(row["b"]) > float(row["c"]) else "no"
    return rows


def write(name, rows, names, header=None):
    with open(tmp / name, "w", newline="") as f:
        out = csv.writer(f)
        if header != "":
            out.writerow(header or names)
        out.writerows([row[k] for k in names] for row in rows)
    return tmp / name


def record(path):
    """The lines of hone.table in a model's bytes: each is INPUT <tab> NAME <tab> none <tab> -."""
    raw = path.read_bytes()
    return b"" if b"hone.table" not in raw else raw[raw.index(b"hone.table") + 10:][:200]


def predicted(what, table, *more, model=MODEL):
    out = tmp / "p.csv"
    r = hone("predict", model, "--data", table, *more, "--force", "-o", out, "--json")
    code(what, r, 0)
    return (list(csv.reader(open(out)))[1:], r.err) if r.code == 0 else ([], r.err)


def test_record(rows):
    trained = hone("train", NET, "--data", write("t.csv", rows, NAMES), *JOB, "-o", MODEL)
    code("train", trained, 0)
    check("its columns' names travel", b"x\ta\tnone\t-\nx\tb\tnone\t-\nx\tc\tnone\t-" in MODEL.read_bytes(), record(MODEL))
    want, _ = predicted("predict", tmp / "t.csv")
    turned = write("turned.csv", rows, ("label", "id", "c", "more", "b", "a"))
    got, said = predicted("in another order, among others", turned)
    check("is the same", got == want and "warning" not in said, said)
    again = hone("eval", MODEL, "--data", turned, "--target", "label", "--json")
    code("eval", again, 0)
    first = hone("eval", MODEL, "--data", tmp / "t.csv", "--target", "label", "--json")
    check("tells the same", again.json["loss"] == first.json["loss"], (again.json["loss"], first.json["loss"]))
    for verb in (["train"], ["tune", "--search", "lr=0.1,0.01", "--trials", "2", "--sampler", "grid", "--folds", "2"]):
        bytes_of = []
        for k, table in enumerate((tmp / "t.csv", turned)):
            out = tmp / f"{verb[0]}{k}.onnx"
            code(verb[0], hone(verb[0], MODEL, "--data", table, *JOB, *verb[1:], "-o", out), 0)
            bytes_of.append(out.read_bytes())
        check(f"{verb[0]} makes the same bytes of both", bytes_of[0] == bytes_of[1])
    code("a column is missing", hone("predict", MODEL, "--data", write("two.csv", rows, ("a", "c", "label")), "-o", tmp / "no.csv"), 4,
         "two.csv", "found no column 'b', wanted the 3 that the model learned from, 'a' to 'c'")
    code("one is left out", hone("eval", MODEL, "--data", tmp / "t.csv", "--target", "label", "--ignore", "c"), 4, "--ignore", "'c'")
    code("one is the target", hone("eval", MODEL, "--data", tmp / "t.csv", "--target", "b"), 4, "column 'b'", "--target")
    return want


def test_by_order(rows, want):
    got, said = predicted("a table without names", write("bare.csv", rows, "abc", ""))
    check("goes by its order", got == want and "no header row, columns are called c0 to c2" in said and "warning" not in said, said)
    got, said = predicted("--features of one", write("bare2.csv", rows, "cbac", ""), "--features", "2,1,0")
    check("count their own way", got == want, said)
    renamed = write("renamed.csv", rows, "abc", "pqr")
    got, said = predicted("a table of other names", renamed)
    check("goes by its order, which is said", got == want and "warning" in said and "'a' to 'c'; 'p' to 'r' stand for them in their order" in said, said)
    code("unless there are more of them", hone("predict", MODEL, "--data", write("four.csv", rows, ("a", "b", "c", "more"), "pqrs"), "-o", tmp / "no.csv"),
         4, "found no column 'a', wanted the 3")
    code("or too few without names", hone("predict", MODEL, "--data", write("few.csv", rows, "ab", ""), "-o", tmp / "no.csv"), 4, "found no column 'a'", "no header row")
    with_target = write("renamed2.csv", rows, NAMES, ("p", "q", "r", "label"))
    code("trained on", hone("train", MODEL, "--data", with_target, *JOB, "-o", tmp / "r.onnx"), 0, "stand for them")
    check("the new names travel", b"x\tp\tnone\t-\nx\tq" in (tmp / "r.onnx").read_bytes(), record(tmp / "r.onnx"))
    code("trained without names", hone("train", NET, "--data", write("bare3.csv", rows, NAMES, ""), "--target", "3", *JOB[2:], "-o", tmp / "n.onnx"), 0)
    check("none travel", b"hone.table" not in (tmp / "n.onnx").read_bytes())


def test_features(rows, want):
    turned = tmp / "turned.csv"
    got, said = predicted("--features", turned, "--features", "a,b,c")
    check("as the model has them", got == want and "warning" not in said, said)
    got, said = predicted("--features in another order", turned, "--features", "c,b,a")
    check("count, which is said", got != want and "'c' to 'a' are taken as --features and --input name them" in said, said)
    code("train with --features", hone("train", NET, "--data", turned, *JOB, "--features", "c,a,b", "-o", tmp / "f.onnx"), 0)
    check("their order travels", b"x\tc\tnone\t-\nx\ta\tnone\t-\nx\tb" in (tmp / "f.onnx").read_bytes(), record(tmp / "f.onnx"))
    one, _ = predicted("without --features", tmp / "t.csv", model=tmp / "f.onnx")
    two, _ = predicted("with them", tmp / "t.csv", "--features", "c,a,b", model=tmp / "f.onnx")
    check("is the same", one == two and one != want)


def test_other_files(rows):
    """Validation and test rows of a run are read by the training table's names, too."""
    told = []
    for table in ("t.csv", "turned.csv"):
        r = hone("train", NET, "--data", tmp / "t.csv", *JOB, "--val-data", tmp / table, "--test-data", tmp / table, "--force", "-o", tmp / "o.onnx")
        code(f"{table} beside t.csv", r, 0)
        told.append((r.json["val"], r.json["test"]))
    check("one as the other", told[0] == told[1], told)
    bare = write("bare4.csv", rows, NAMES, "")
    r = hone("train", NET, "--data", tmp / "t.csv", "--target", "3", *JOB[2:], "--val-data", bare, "--force", "-o", tmp / "o.onnx")
    code("a file without names goes by places", r, 0)
    check("and is the same", r.json["val"] == told[0][0], (r.json["val"], told[0]))


def test_encoded(rows):
    """Of encoded columns the record knows more than names; --features chooses among them by name."""
    colours = [dict(row, colour=("red", "blue", "green")[i % 3]) for i, row in enumerate(rows)]
    table = write("colours.csv", colours, ("a", "colour", "b", "label"))
    code("a model of five", hone("new", "5-4-2", "-o", tmp / "five.onnx"), 0)
    code("train", hone("train", tmp / "five.onnx", "--data", table, *JOB, "--encode", "colour=onehot", "-o", tmp / "e.onnx"), 0)
    want, _ = predicted("predict", table, model=tmp / "e.onnx")
    for what, names, header, more in (("without names", ("a", "colour", "b"), "", []), ("of other names", ("a", "colour", "b"), ("p", "q", "r"), []),
                                      ("with --features", ("b", "label", "a", "colour"), None, ["--features", "a,colour,b"]),
                                      ("with --features without names", ("b", "a", "colour"), "", ["--features", "1,2,0"])):
        got, said = predicted(what, write("e.csv", colours, names, header), *more, model=tmp / "e.onnx")
        check(f"{what} is the same", got == want, said)
    code("four features in other places", hone("train", tmp / "e.onnx", "--data", table, *JOB, "--features", "colour,b,a", "-o", tmp / "e2.onnx"), 0)
    check("keep their encodings", b"x\tcolour\tonehot\t-\tblue\tgreen\tred\nx\tb\tnone\t-\nx\ta\tnone\t-" in (tmp / "e2.onnx").read_bytes(), record(tmp / "e2.onnx"))


def test_inputs(rows):
    """Several inputs: the columns of each travel, and need not be named again."""
    net = pathlib.Path(__file__).resolve().parents[1] / "data" / "embedding" / "columns.onnx"
    many = [{f"c{k}": str((i + k) % 2) for k in range(3)} | {f"x{k}": row["abca"[k]] for k in range(4)} | {"label": row["label"], "kind": "qrs"[i % 3]}
            for i, row in enumerate(rows)]
    names = [k for k in many[0] if k != "label"]
    table, turned = write("m.csv", many, names), write("m2.csv", many, ["label", *names[::-1]])
    given = ["--input", "c=c0,c1,c2", "--input", "x=x0,x1,x2,x3"]
    code("train", hone("train", net, "--data", table, "--target", "kind", *JOB[2:], *given, "-o", tmp / "i.onnx"), 0)
    want, _ = predicted("with --input", table, *given, model=tmp / "i.onnx")
    got, said = predicted("without", turned, model=tmp / "i.onnx")
    check("is the same", got == want and got, said)
    told = [hone(verb, tmp / "i.onnx", "--data", table, "--target", "kind", *more, "--json")
            for verb, more in (("eval", given), ("eval", []), ("train", ["--val-data", turned, *JOB[2:], "-o", tmp / "i2.onnx"]))]
    check("eval, and train", [r.code for r in told] == [0, 0, 0], [r.err for r in told])
    check("by the same columns", told[0].json["loss"] == told[1].json["loss"] == told[2].json["before"]["val"]["loss"], [r.json for r in told])


def test_limit():
    """Names longer than what a model takes along are said and left out."""
    n = 24000
    names = [f"a rather long name of column {k:06d}" for k in range(n)]
    with open(tmp / "wide.csv", "w") as f:
        f.write(",".join(names) + ",y\n")
        for i in range(4):
            f.write(",".join(["0.5"] * n) + f",{i}\n")
    code("a wide model", hone("new", f"{n}-1", "-o", tmp / "wide.onnx"), 0)
    job = ["train", tmp / "wide.onnx", "--data", tmp / "wide.csv", "--target", "y", "--epochs", "1"]
    code("train on many columns", hone(*job, "-o", tmp / "wide2.onnx"), 0, "too long to travel with the model")
    check("their names stay behind", b"hone.table" not in (tmp / "wide2.onnx").read_bytes())


rows = make_rows(80)
code("a model", hone("new", "3-6-2 tanh", "--seed", "2", "-o", NET), 0)
want = test_record(rows)
test_by_order(rows, want)
test_features(rows, want)
test_other_files(rows)
test_encoded(rows)
test_inputs(rows)
test_limit()
_hone.finish("columns", tmp)
