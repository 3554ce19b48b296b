#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--sample-weights and --class-weights. A weight k is the row k times, weight 0 is the row left out, a column of weights is no
feature; figures are those worked out by hand from predictions; a search is the same for any --jobs and its trials are judged as the
imported model is; an interrupted run goes on to the same bytes; what does not fit is said with its place."""
import csv
import json
import math
import random
import signal
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
NAMES = ["a", "b", "c", "d"]
TABLE = ["--data", DATA, "--target", "label"]
WEIGHTED = [*TABLE, "--sample-weights", "weight"]


def make_rows(seed, n):
    r = random.Random(seed)
    rows = []
    for _ in range(n):
        x = [r.gauss(0, 1) for _ in range(4)]
        z = x[0] + 0.7 * x[1] - 0.6 * x[2] + r.gauss(0, 0.5)
        rows.append({**{k: f"{v:.5g}" for k, v in zip(NAMES, x)}, "weight": str(r.choice([0, 1, 1, 2, 3])),
                     "group": str(r.randrange(40)), "label": "bad" if z < -0.9 else "good" if z < 0.9 else "ugly"})
    return rows


def write(path, rows, names=(*NAMES, "weight", "label")):
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, names, extrasaction="ignore")
        out.writeheader()
        out.writerows(rows)
    return path


def column(path, values):
    path.write_text("".join(f"{v}\n" for v in values))
    return path


def train(out, *args, exit=0):
    r = hone("train", NET, *args, "--force", "--json", "-o", tmp / out)
    code(f"train {out}", r, exit)
    return r


def predicted(model, rows):
    write(tmp / "rows.csv", rows, NAMES)
    code("predict", hone("predict", tmp / model, "--data", tmp / "rows.csv", "--force", "-o", tmp / "p.csv"), 0)
    return [[float(v) for v in line] for line in list(csv.reader(open(tmp / "p.csv")))[1:]]


def near(what, a, b, tolerance=1e-6):
    """Numbers, or lists of lists of them."""
    flat = [v for x in a for v in x] if isinstance(a, list) else [a]
    other = [v for x in b for v in x] if isinstance(b, list) else [b]
    worst = max(abs(x - y) for x, y in zip(flat, other))
    check(what, len(flat) == len(other) and worst <= tolerance, worst)


CLASSES = ["bad", "good", "ugly"]


def loss_by_hand(model, rows, weights):
    p = predicted(model, rows)
    return sum(w * -math.log(q[CLASSES.index(r["label"])]) for q, r, w in zip(p, rows, weights)) / sum(weights)


def test_repeated(rows):
    """Full batches: a weight of k is the row k times, 0 is the row left out; weights of 1 are no weights."""
    step = ["--optimizer", "sgd", "--lr", "0.3", "--epochs", "25", "--batch-size", "100000", "--no-shuffle", "--save", "last"]
    write(tmp / "repeated.csv", [r for r in rows for _ in range(int(r["weight"]))], (*NAMES, "label"))
    write(tmp / "ones.csv", [dict(r, weight="1") for r in rows])
    write(tmp / "bare.csv", rows, (*NAMES, "label"))
    some = column(tmp / "some.txt", [0.75 if int(r["weight"]) else 0 for r in rows])
    write(tmp / "left.csv", [r for r in rows if int(r["weight"])], (*NAMES, "label"))
    a, b = train("k.onnx", *WEIGHTED, *step), train("r.onnx", "--data", tmp / "repeated.csv", "--target", "label", *step)
    near("weight k is k rows", predicted("k.onnx", rows), predicted("r.onnx", rows))
    near("and has their loss", a.json["train"]["loss"], b.json["train"]["loss"])
    train("s.onnx", "--data", tmp / "bare.csv", "--target", "label", "--sample-weights", some, *step)
    train("l.onnx", "--data", tmp / "left.csv", "--target", "label", *step)
    near("weight 0 is no row", predicted("s.onnx", rows), predicted("l.onnx", rows))
    train("o.onnx", "--data", tmp / "ones.csv", "--target", "label", "--sample-weights", "weight", *step)
    train("n.onnx", "--data", tmp / "bare.csv", "--target", "label", *step)
    near("weights of 1 are none", predicted("o.onnx", rows), predicted("n.onnx", rows))
    by_class = {"bad": 4, "good": 1, "ugly": 0.5}
    file = column(tmp / "by class.txt", [by_class[r["label"]] * int(r["weight"]) for r in rows])
    train("c.onnx", *WEIGHTED, "--class-weights", "4,1,0.5", *step)
    train("f.onnx", "--data", tmp / "bare.csv", "--target", "label", "--sample-weights", file, *step)
    near("both are the product", predicted("c.onnx", rows), predicted("f.onnx", rows), 0)


def test_figures(rows):
    """Losses of training, validation, test and eval, by hand."""
    w = [float(r["weight"]) for r in rows]
    r = train("e.onnx", *TABLE, "--ignore", "weight", "--epochs", "3")
    e = hone("eval", tmp / "e.onnx", *WEIGHTED, "--json")
    near("eval, weights of rows", e.json["loss"], loss_by_hand("e.onnx", rows, w))
    plain = hone("eval", tmp / "e.onnx", *TABLE, "--ignore", "weight", "--json")
    check("metrics have no weights", e.json["accuracy"] == plain.json["accuracy"] and "class_weights" not in plain.json)
    counts = [sum(r["label"] == c for r in rows) for c in CLASSES]
    balanced = [len(rows) / (3 * n) for n in counts]
    e = hone("eval", tmp / "e.onnx", *TABLE, "--ignore", "weight", "--class-weights", "balanced", "--json")
    near("eval, balanced", e.json["loss"], loss_by_hand("e.onnx", rows, [balanced[CLASSES.index(r["label"])] for r in rows]))
    check("and which they are", [c["class"] for c in e.json["class_weights"]] == CLASSES
          and all(abs(c["weight"] - b) < 1e-12 for c, b in zip(e.json["class_weights"], balanced)), e.json["class_weights"])
    code("said by name", e, 0, "class weights (balanced): bad: ", ", good: ")
    write(tmp / "val.csv", make_rows(8, 90))
    val = make_rows(8, 90)
    r = train("v.onnx", *WEIGHTED, "--val-data", tmp / "val.csv", "--class-weights", "2,1,3", "--epochs", "3")
    by = {"bad": 2, "good": 1, "ugly": 3}
    near("the column of --val-data", r.json["val"]["loss"], loss_by_hand("v.onnx", val, [float(v["weight"]) * by[v["label"]] for v in val]))
    ones = column(tmp / "val weights.txt", [i % 3 for i in range(90)])
    r = train("v.onnx", *WEIGHTED, "--val-data", tmp / "val.csv", "--val-sample-weights", ones, "--epochs", "3")
    near("a file for --val-data", r.json["val"]["loss"], loss_by_hand("v.onnx", val, [i % 3 for i in range(90)]))


def test_arrays(rows):
    x, y, w = write(tmp / "x.csv", rows, NAMES), tmp / "y.txt", column(tmp / "w.txt", [r["weight"] for r in rows])
    column(y, [CLASSES.index(r["label"]) for r in rows])
    arrays = ["--x", x, "--y", y]
    a = train("x1.onnx", *arrays, "--sample-weights", w, "--epochs", "2", "--val-x", x, "--val-y", y)
    check("said once that validation rows have none", a.err.count("no --val-sample-weights: every validation row has weight 1") == 1, a.err)
    b = train("x2.onnx", *arrays, "--sample-weights", w, "--epochs", "2", "--val-x", x, "--val-y", y, "--val-sample-weights", w)
    near("a file of weights for --val-x", b.json["val"]["loss"], loss_by_hand("x2.onnx", rows, [float(r["weight"]) for r in rows]))
    near("else 1 each", a.json["val"]["loss"], loss_by_hand("x1.onnx", rows, [1] * len(rows)))


def test_balanced_rows(rows):
    """Of the training rows alone: the split's others have no say."""
    r = train("b.onnx", *TABLE, "--ignore", "weight", "--val-split", "0.3", "--test-split", "0.2", "--no-stratify", "--class-weights", "balanced",
              "--epochs", "2", "--dry-run")
    n = r.json["rows"]["train"]
    counts = [n / (3 * c["weight"]) for c in r.json["class_weights"]]
    check("whole rows", all(abs(c - round(c)) < 1e-9 for c in counts) and round(sum(counts)) == n, counts)
    code("grouped", hone("train", NET, "--data", write(tmp / "g.csv", rows, (*NAMES, "group", "weight", "label")), "--target", "label", "--group",
                         "group", "--sample-weights", "weight", "--val-split", "0.2", "--epochs", "1", "-o", tmp / "g.onnx"), 0)


def test_one_output(rows):
    net = tmp / "one.onnx"
    code("a model with a sigmoid", hone("new", "4-8-1 sigmoid", "-o", net), 0)
    two = [dict(r, label="yes" if r["label"] == "ugly" else "no") for r in rows]
    write(tmp / "two.csv", two)
    r = hone("train", net, "--data", tmp / "two.csv", "--target", "label", "--ignore", "weight", "--class-weights", "1,4", "--epochs", "3", "--json",
             "-o", tmp / "two.onnx")
    code("two classes on one output", r, 0, "no: 1, yes: 4")
    p = predicted("two.onnx", two)
    w = [4 if r["label"] == "yes" else 1 for r in two]
    loss = sum(v * -math.log(q[0] if r["label"] == "yes" else 1 - q[0]) for q, r, v in zip(p, two, w)) / sum(w)
    near("its loss", r.json["train"]["loss"], loss)


def interrupted(out, *job):
    """The run, stopped and resumed until it is through."""
    p = subprocess.Popen([str(v) for v in [HONE, "train", *job, "--run-dir", tmp / "run", "-o", out]], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    while p.poll() is None and not (tmp / "run" / "run.json").exists():
        time.sleep(0.002)
    stops = 0
    for _ in range(200):
        time.sleep(0.1 + 0.1 * stops)
        p.send_signal(signal.SIGTERM)
        p.communicate()
        if p.returncode != 128 + signal.SIGTERM:
            check("it came to its end", p.returncode == 0, p.returncode)
            break
        stops += 1
        p = subprocess.Popen([str(HONE), "resume", str(tmp / "run")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return stops


def test_resume(rows):
    job = [NET, *TABLE, "--class-weights", "balanced", "--val-split", "0.2", "--optimizer", "adam", "--epochs", "12000", "--seed", "4"]
    weights = write(tmp / "bare.csv", rows, (*NAMES, "label")), column(tmp / "moved.txt", [r["weight"] for r in rows])
    job[job.index(DATA)] = weights[0]
    job += ["--sample-weights", weights[1]]
    code("unbroken", hone("train", *job, "-o", tmp / "unbroken.onnx", "--progress", "none"), 0)
    stops = interrupted(tmp / "broken.onnx", *job)
    check("it was interrupted", stops > 0, stops)
    check("and ended with the same bytes", (tmp / "broken.onnx").read_bytes() == (tmp / "unbroken.onnx").read_bytes(), stops)
    code("a run to go on with", hone("train", *job, "--epochs", "2", "--keep-run", "--force", "-o", tmp / "kept.onnx"), 0)
    column(tmp / "other.txt", [r["weight"] if i else "7" for i, r in enumerate(rows)])
    column(tmp / "same.txt", [r["weight"] for r in rows])
    run = tmp / "kept.onnx.run"
    code("other weights", hone("resume", run, "--epochs", "+2", "--sample-weights", tmp / "other.txt"), 4, "are not those")
    code("moved weights", hone("resume", run, "--epochs", "+2", "--sample-weights", tmp / "same.txt"), 0)
    code("other class weights", hone("resume", run, "--epochs", "+2", "--class-weights", "1,1,1"), 2, "class-weights")
    code("report", hone("report", run, "-o", tmp / "r.html"), 0)
    check("settings are in the record", '"class-weights"' in (run / "run.json").read_text().replace("_", "-"))


def test_folds(rows):
    """Two unshuffled folds are the two halves: each is judged by the weights that balance the other."""
    r = hone("tune", NET, *WEIGHTED, "--class-weights", "balanced", "--folds", "2", "--no-shuffle", "--search", "lr=log:1e-3..1e-1", "--trials", "1", "--epochs",
             "1", "--json", "-o", tmp / "halves.onnx")
    code("tune with two folds", r, 0)
    half = len(rows) // 2
    for i, (judged, other) in enumerate(((rows[:half], rows[half:]), (rows[half:], rows[:half]))):
        w = [len(other) / (3 * sum(r["label"] == c for r in other)) for c in CLASSES]
        want = loss_by_hand(NET, judged, [w[CLASSES.index(r["label"])] * float(r["weight"]) for r in judged])
        near(f"fold {i}", r.json["baseline"]["imported"]["folds"][i], want)


def test_tune(rows):
    runs = []
    job = ["tune", NET, *WEIGHTED, "--class-weights", "balanced", "--folds", "4", "--test-split", "0.2", "--search", "lr=log:1e-3..1e-1", "--trials", "5",
           "--epochs", "4", "--seed", "2", "--json", "--progress", "none"]
    for jobs in (1, 2):
        r = hone(*job, "--jobs", jobs, "-o", tmp / f"t{jobs}.onnx")
        code(f"tune --jobs {jobs}", r, 0)
        said = [line for line in r.err.splitlines() if line.startswith("class weights (balanced): ")]
        check("class weights are told before the trials and at the refit",
              len(said) == 2 and said[0].endswith("; over all rows: each fold has those of its own") and "fold" not in said[1], r.err)
        runs.append([(t["number"], t["value"]) for t in r.json["trials"]])
    check("the same trials for any --jobs", runs[0] == runs[1], runs)
    check("the same bytes", (tmp / "t1.onnx").read_bytes() == (tmp / "t2.onnx").read_bytes())
    check("the class weights of the refit", [c["class"] for c in r.json["class_weights"]] == CLASSES, r.json.get("class_weights"))
    code("report", hone("report", tmp / "t1.onnx.run", "-o", tmp / "t.html"), 0)
    # trials that learn next to nothing are what the imported model is: both are judged by each fold's own weights
    for more in ([], ["--repeats", "2"], ["--no-shuffle"]):
        r = hone(*job, *more, "--search", "batch_size=64,128", "--setting", "lr=0.001,batch_size=64", "--optimizer", "sgd", "--lr", "1e-12", "--trials", "1",
                 "--refit", "train", "--force", "-o", tmp / "still.onnx")
        code("a trial that stands still", r, 0)
        was, now = r.json["baseline"]["imported"]["folds"], r.json["trials"][0]["folds"]
        now = [f["value"] if isinstance(f, dict) else f for f in now]
        check("is worth what the imported model is", len(was) == len(now) and all(abs(a - b) < 1e-6 for a, b in zip(was, now)), (was, now))
    code("nested and ensemble", hone(*job, "--nested", "3", "--ensemble", "2", "--force", "-o", tmp / "n.onnx"), 0)
    code("class weights differ between trials", hone(*job, "--search", "class_weights=1,2", "--force", "-o", tmp / "z.onnx"), 2, "class_weights")
    code("and weights of rows", hone(*job, "--search", "sample_weights=weight,label", "--force", "-o", tmp / "z.onnx"), 2, "sample_weights")
    other = hone(*job[:-2], "--jobs", "1", "--search", "lr=log:1e-3..1e-1", "--progress", "none", "--study", tmp / "t1.onnx.run" / "study.db", "--class-weights",
                 "1,1,2", "-o", tmp / "z.onnx")
    code("a study of other weights", other, 2)
    few = ["tune", NET, "--data", write(tmp / "bare.csv", rows, (*NAMES, "label")), "--target", "label", "--folds", "3", "--search", "lr=log:1e-3..1e-1", "--trials",
           "2", "--epochs", "2", "--study", tmp / "files.db", "--force", "-o", tmp / "files.onnx"]
    code("weights from a file", hone(*few, "--sample-weights", column(tmp / "w1.txt", [r["weight"] for r in rows])), 0)
    code("the same ones elsewhere", hone(*few, "--sample-weights", column(tmp / "w2.txt", [r["weight"] for r in rows])), 0)
    code("others", hone(*few, "--sample-weights", column(tmp / "w3.txt", [r["weight"] if i else 5 for i, r in enumerate(rows)])), 2, "study")


def test_refusals(rows):
    base = ["train", NET, "--epochs", "1", "-o", tmp / "z.onnx"]

    def bad(what, exit, rows_or_file, *texts):
        if isinstance(rows_or_file, list):
            write(tmp / "bad.csv", rows_or_file)
            code(what, hone(*base, "--data", tmp / "bad.csv", "--target", "label", "--sample-weights", "weight"), exit, "bad.csv", *texts)
        else:
            code(what, hone(*base, *TABLE, "--ignore", "weight", "--sample-weights", rows_or_file), exit, *texts)

    def with_cell(i, text):
        return [dict(r, weight=text if k == i else r["weight"]) for k, r in enumerate(rows)]

    bad("negative", 4, with_cell(3, "-1"), "row 5, column 'weight': found -1, wanted a weight: a number, 0 or more")
    bad("NaN", 4, with_cell(0, "NaN"), "row 2, column 'weight'", "'NaN'")
    bad("infinite", 4, with_cell(2, "inf"), "row 4, column 'weight'", "'inf'")
    bad("too large", 4, with_cell(2, "1e39"), "row 4, column 'weight'", "1e+39")
    bad("text", 4, with_cell(6, "much"), "row 8, column 'weight': found 'much', wanted a weight")
    bad("missing", 4, with_cell(6, ""), "row 8, column 'weight'")
    bad("nothing", 4, [dict(r, weight="0") for r in rows], f"all {len(rows)} rows to train on have weight 0")
    bad("too few", 4, column(tmp / "few.txt", [1] * 5), "few.txt", "5", str(len(rows)))
    bad("two columns", 4, write(tmp / "wide.csv", rows, ["a", "weight"]), "wide.csv", "a row has 2 numbers, wanted one weight")
    bad("a negative number in a file", 4, column(tmp / "neg.txt", [1] * (len(rows) - 1) + [-2]), "neg.txt", "found -2")
    bad("neither column nor file", 4, "wieght", "no column 'wieght'", "did you mean 'weight'?")
    code("no file", hone(*base, "--x", tmp / "few.txt", "--y", tmp / "few.txt", "--sample-weights", tmp / "none.npy"), 6, "none.npy")
    code("the target", hone(*base, *TABLE, "--sample-weights", "label"), 2, "asked for twice")
    write(tmp / "short.csv", rows, (*NAMES, "label"))
    code("validation without the column", hone(*base, *WEIGHTED, "--val-data", tmp / "short.csv"), 4, "short.csv", "no column 'weight'")
    code("validation rows of a split", hone(*base, *WEIGHTED, "--val-split", "0.2", "--val-sample-weights", tmp / "few.txt"), 2, "val-sample-weights")
    code("weights to judge by only", hone(*base, *TABLE, "--ignore", "weight", "--val-data", DATA, "--val-sample-weights", tmp / "few.txt"), 2,
         "no --sample-weights")
    write(tmp / "zero.csv", [dict(r, weight="0") for r in rows])
    code("validation rows of no weight", hone(*base, *WEIGHTED, "--val-data", tmp / "zero.csv"), 4, "validation rows", "no loss to judge by")
    plain = [*base, *TABLE, "--ignore", "weight"]
    code("too few classes", hone(*plain, "--class-weights", "1,2"), 2, "found 2, wanted 3, one a class: bad, good, ugly")
    code("a negative class", hone(*plain, "--class-weights", "1,-2,1"), 2, "found '-2'")
    code("no number", hone(*plain, "--class-weights", "1,two,1"), 2, "found 'two'")
    code("balanced and more", hone(*plain, "--class-weights", "balanced,1,1"), 2, "found 'balanced', wanted balanced, or numbers")
    code("all 0", hone(*plain, "--class-weights", "0,0,0"), 2, "all are 0")
    code("infinite", hone(*plain, "--class-weights", "1,inf,1"), 2, "found 'inf'")
    line = tmp / "line.onnx"
    code("a regression", hone("new", "4-4-1", "-o", line), 0)
    code("numbers have no class", hone("train", line, *TABLE[:2], "--target", "a", "--features", "b,c,d,weight", "--class-weights", "balanced", "--epochs",
                                       "1", "-o", tmp / "z.onnx"), 2, "learns numbers, wanted classes", "--sample-weights")
    several = tmp / "several.onnx"
    code("three of 0 and 1", hone("new", "3-4-2 sigmoid", "-o", several), 0)
    flags = write(tmp / "flags.csv", [dict(r, label=str(i % 2), group=str(i % 3 // 2)) for i, r in enumerate(rows)], ["a", "b", "c", "label", "group"])
    code("several of 0 and 1", hone("train", several, "--data", flags, "--target", "label,group", "--class-weights", "1,2", "--epochs", "1", "-o", tmp / "z.onnx"),
         2, "2 values of 0 or 1 a row")
    soft = write(tmp / "soft.csv", [{**{k: r[k] for k in NAMES}, "p": "0.25", "q": "0.5", "s": "0.25"} for r in rows], [*NAMES, "p", "q", "s"])
    code("probabilities", hone("train", NET, "--data", soft, "--target", "p,q,s", "--class-weights", "1,2,3", "--epochs", "1", "-o", tmp / "z.onnx"), 2,
         "are probabilities")
    check("nothing was written", not (tmp / "z.onnx").exists())


def test_predict(rows):
    """Prediction needs no weights; a column of them is no feature there either."""
    train("pr.onnx", *WEIGHTED, "--epochs", "1")
    want = predicted("pr.onnx", rows)
    write(tmp / "with.csv", rows, (*NAMES, "weight"))
    for name, args in (("with.csv", ["--sample-weights", "weight"]), ("rows.csv", ["--sample-weights", "weight"]), ("with.csv", ["--ignore", "weight"])):
        code(f"predict {name}", hone("predict", tmp / "pr.onnx", "--data", tmp / name, *args, "--force", "-o", tmp / "q.csv"), 0)
        got = [[float(v) for v in line] for line in list(csv.reader(open(tmp / "q.csv")))[1:]]
        check(f"predict {name} {args}", got == want)


def test_help():
    r = hone("train", "--help")
    code("help", r, 0, "--class-weights", "--sample-weights", "--val-sample-weights")
    r = hone("train", NET, *WEIGHTED, "--class-weights", "1,2,3", "--print-config")
    code("print-config", r, 0, "class-weights: [1, 2, 3]", "sample-weights: weight")
    (tmp / "c.yaml").write_text(r.out)
    code("which is read again", hone("train", NET, "--config", tmp / "c.yaml", "--val-split", "0.2", "--epochs", "1", "-o", tmp / "y.onnx"), 0, "bad: 1, good: 2, ugly: 3")
    bare = train("m.onnx", *TABLE, "--ignore", "weight", "--epochs", "1")
    check("a run without weights says nothing of them", "weights" not in bare.out, bare.out[:400])


def main():
    rows = make_rows(1, 300)
    write(DATA, rows)
    code("a model", hone("new", "4-8-3 relu softmax", "-o", NET), 0)
    test_repeated(rows)
    test_figures(rows)
    test_arrays(rows)
    test_balanced_rows(rows)
    test_one_output(rows)
    test_resume(rows)
    test_folds(rows)
    test_tune(rows)
    test_refusals(rows)
    test_predict(rows)
    test_help()
    _hone.finish("weights", tmp)


main()
