#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What figures are worth: those of a constant guess and standard errors are the ones worked out by hand from labels and predictions;
a model no better than a constant is told so on the terminal, in the result and on the page, numbers and classes alike; so are
validation rows too few for what they were used to tell. Folds of noise do not make a better model out of one that is as good as can be."""
import csv
import math
import pathlib
import random
import re
from collections import Counter

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
CONSTANT, FEW = "no better than a constant", "validation rows are few"


def table(name, n, label, seed):
    r = random.Random(seed)
    rows = []
    for _ in range(n):
        x = [r.gauss(0, 1) for _ in range(3)]
        rows.append([*(f"{v:.5g}" for v in x), label(x, r)])
    with open(tmp / name, "w", newline="") as f:
        csv.writer(f).writerows([["a", "b", "c", "y"], *rows])
    return [row[3] for row in rows]


def train(net, data, *args, epochs=30):
    out = tmp / f"{data}.onnx"
    r = hone("train", tmp / net, "--data", tmp / f"{data}.csv", "--target", "y", "--val-data", tmp / f"{data}_val.csv", "--epochs", epochs, "--seed", 1,
             "--keep-run", "--force", "--json", "-o", out, *args)
    code(f"train {data}", r, 0)
    d = hone("report", str(out) + ".run", "--force", "--json").json["diagnosis"]
    page = pathlib.Path(str(out) + ".run/report.html").read_text()
    return r, d, page


def near(a, b, tol=1e-9):
    return abs(a - b) <= tol * max(1, abs(b))


def entropy(counts):
    n = sum(counts)
    return -sum(c / n * math.log(c / n) for c in counts if c)


def predictions(data, model, *args):
    code("predict", hone("predict", model, "--data", tmp / f"{data}_val.csv", "--ignore", "y", "--force", "-o", tmp / "p.csv", *args), 0)
    return [[float(v) for v in line] for line in list(csv.reader(open(tmp / "p.csv")))[1:]]


def spread(losses):
    mean = sum(losses) / len(losses)
    return math.sqrt(sum((v - mean) ** 2 for v in losses)) / len(losses)


def classes():
    code("a network", hone("new", "3-8-3 relu softmax", "-o", tmp / "three.onnx"), 0)
    noise = lambda x, r: r.choices(["red", "green", "blue"], [6, 3, 1])[0]
    table("noise.csv", 300, noise, 1)
    val = table("noise_val.csv", 200, noise, 2)
    counts = Counter(val)
    r, d, page = train("three.onnx", "noise")
    g, v = r.json["guess"], r.json["val"]
    check("the loss of the frequencies", near(g["val"]["loss"], entropy(counts.values())), (g, counts))
    check("the accuracy of the most frequent class", near(g["val"]["accuracy"], max(counts.values()) / 200), (g, counts))
    check("noise is not learnt", g["beaten"] is False and v["loss"] > 0.98 * g["val"]["loss"], (g, v))
    check("it is told so, once", r.err.count(CONSTANT) == 1 and f"{g['val']['loss']:.6g}" in r.err, r.err)
    check("and on the page", any("always guessing how frequent each class is" in b and f"{g['val']['loss']:.4g}" in b for b in d["because"])
          and "always guessing how frequent each class is" in page, d)
    order = sorted(counts)
    losses = [-math.log(p[order.index(c)]) for p, c in zip(predictions("noise", tmp / "noise.onnx"), val)]
    check("the standard error", near(r.json["standard_error"]["val"]["loss"], spread(losses), 1e-4), (r.json["standard_error"], spread(losses)))
    a = v["accuracy"]
    check("of the accuracy, too", near(r.json["standard_error"]["val"]["accuracy"], math.sqrt(a * (1 - a) / 200)), r.json["standard_error"])

    # weighted by class: every class alike, so that log 3 is the guess; accuracies count rows
    r, _, _ = train("three.onnx", "noise", "--class-weights", ",".join(str(1 / counts[c]) for c in order))
    check("with weights of classes", near(r.json["guess"]["val"]["loss"], math.log(3), 1e-6)
          and near(r.json["guess"]["val"]["accuracy"], max(counts.values()) / 200), r.json["guess"])
    w = [1 / counts[c] for c in val]
    losses = [-math.log(p[order.index(c)]) for p, c in zip(predictions("noise", tmp / "noise.onnx"), val)]
    mean = sum(a * b for a, b in zip(w, losses)) / sum(w)
    want = math.sqrt(sum((a * (b - mean)) ** 2 for a, b in zip(w, losses))) / sum(w)
    check("their standard error", near(r.json["standard_error"]["val"]["loss"], want, 1e-4), (r.json["standard_error"], want))

    signal = lambda x, r: "red" if x[0] > 0.4 else "green" if x[1] > 0 else "blue"
    table("signal.csv", 600, signal, 3)
    table("signal_val.csv", 400, signal, 4)
    r, d, _ = train("three.onnx", "signal", "--lr", "0.02")
    check("what is learnt is not told so", r.json["guess"]["beaten"] is True and "warning" not in r.err, r.err)
    check("nor on the page", not any("constant" in b or "guess" in b or FEW in b for b in d["because"]) and "constant" not in d["headline"], d)


def two_classes():
    code("a network", hone("new", "3-8-1 relu sigmoid", "-o", tmp / "one.onnx"), 0)
    rare = lambda x, r: int(x[0] + 1.4 * r.gauss(0, 1) > 3.6)
    table("rare.csv", 1500, rare, 5)
    val = table("rare_val.csv", 500, rare, 6)
    r, d, _ = train("one.onnx", "rare", "--lr", "0.003", epochs=60)
    yes = sum(val)
    check("one output of two classes", near(r.json["guess"]["val"]["loss"], entropy([yes, 500 - yes])) and
          near(r.json["guess"]["val"]["accuracy"], 1 - yes / 500), (r.json["guess"], yes))
    check("an accuracy of the most frequent class is told", r.json["val"]["accuracy"] <= r.json["guess"]["val"]["accuracy"]
          and r.json["guess"]["beaten"] and "always answering the most frequent class" in r.err, (r.json["val"], r.err))
    check("and on the page", any("always answering the most frequent class" in b for b in d["because"]), d)
    check("its lead on a constant is less than its standard error", FEW in r.err, r.err)
    losses = [-math.log(p[0] if y else 1 - p[0]) for p, y in zip(predictions("rare", tmp / "rare.onnx"), val)]
    check("its standard error", near(r.json["standard_error"]["val"]["loss"], spread(losses), 1e-4), r.json["standard_error"])


def numbers():
    code("a network", hone("new", "3-8-1 relu", "-o", tmp / "number.onnx"), 0)
    noise = lambda x, r: f"{50 + 10 * r.gauss(0, 1):.6g}"
    table("level.csv", 300, noise, 7)
    val = [float(v) for v in table("level_val.csv", 200, noise, 18)]
    where = [tmp / "number.onnx", "--data", tmp / "level.csv", "--target", "y"]
    tuned = ["--search", "lr=0.1,0.2", "--trials", "2", "--folds", "2", "-o", tmp / "never.onnx"]
    for what, args in {"eval": ["--metric", "mae,auc"], "train": ["--require", "accuracy:0.5", "-o", tmp / "never.onnx"],
                       "tune": ["--monitor", "val_f1", *tuned]}.items():
        code(f"{what}: no metric of numbers", hone(what, *where, *args), 2, "for targets that are numbers, wanted mae, rmse or r2", f"hone: {args[0][2:]}:")
    code("no metric at all", hone("eval", *where, "--metric", "acuracy"), 2, "found 'acuracy', wanted accuracy")
    mean = sum(val) / 200
    for scale in ([], ["--scale-target", "standard"]):
        r, d, _ = train("number.onnx", "level", "--lr", "0.05", *scale)
        g = r.json["guess"]
        check("numbers: their variance", near(g["val"]["loss"], sum((v - mean) ** 2 for v in val) / 200, 1e-5), g)
        check("their mean deviation, and r2", near(g["val"]["mae"], sum(abs(v - mean) for v in val) / 200, 1e-5) and g["val"]["r2"] == 0, g)
        check("no better than the mean", g["beaten"] is False and CONSTANT in r.err and "r2" in r.err, (r.json["val"], r.err))
        gap = next(b for b in d["because"] if b.startswith("Gap"))
        check("losses of one unit are compared", "00 % above" not in gap and float(re.search(r", ([0-9.]+) %", gap)[1]) < 60, gap)
        check("on the page", any("always guessing the mean" in b for b in d["because"]), d)
        losses = [(p[0] - v) ** 2 for p, v in zip(predictions("level", tmp / "level.onnx"), val)]
        check("numbers: the standard error", near(r.json["standard_error"]["val"]["loss"], spread(losses), 1e-4),
              (r.json["standard_error"], spread(losses)))


def evaluated():
    """hone eval says the same of any rows, and so does a search of its best trial."""
    rows = list(csv.DictReader(open(tmp / "noise_val.csv")))
    counts = Counter(row["y"] for row in rows)
    r = hone("eval", tmp / "noise.onnx", "--data", tmp / "noise_val.csv", "--target", "y", "--json")
    code("eval", r, 0, CONSTANT)
    check("eval: a constant guess", near(r.json["guess"]["loss"], entropy(counts.values())) and r.json["guess"]["beaten"] is False
          and near(r.json["guess"]["accuracy"], max(counts.values()) / 200), r.json)
    check("eval: standard errors", r.json["standard_error"]["loss"] > 0 and r.json["standard_error"]["accuracy"] > 0, r.json)
    r = hone("eval", tmp / "signal.onnx", "--data", tmp / "signal_val.csv", "--target", "y", "--json")
    check("eval: a model that learnt", r.code == 0 and r.json["guess"]["beaten"] is True and "warning" not in r.err, r.err)
    for data, monitor, learns in (("noise", "val_loss", False), ("noise", "val_accuracy", False), ("signal", "val_loss", True), ("noise", "val_f1", None)):
        out = tmp / "searched.onnx"
        r = hone("tune", tmp / "three.onnx", "--data", tmp / f"{data}.csv", "--target", "y", "--val-data", tmp / f"{data}_val.csv", "--monitor", monitor,
                 "--epochs", 15, "--search", "lr=0.01,0.02" if learns else "lr=1e-4,2e-4", "--trials", 2, "--force", "--json", "-o", out)
        code(f"tune {data} {monitor}", r, 0)
        guess = r.json["baseline"]["guess"]
        findings = hone("report", str(out) + ".run", "--json").json["findings"]
        if learns is None:
            check("tune: a constant has no f1", guess is None, guess)
            continue
        with open(tmp / f"{data}_val.csv") as f:
            seen = Counter(row["y"] for row in csv.DictReader(f))
        want = entropy(seen.values()) if monitor == "val_loss" else max(seen.values()) / sum(seen.values())
        check(f"tune {data} {monitor}: a constant guess", near(guess["value"], want), (guess, want))
        told = [CONSTANT in text for text in (r.err, " ".join(findings))]
        check(f"tune {data} {monitor}: told at the end and on the page, or not", told == [not learns] * 2, (r.json["best_value"], want, findings))


def few():
    signal = lambda x, r: "yes" if x[0] + 0.4 * r.gauss(0, 1) > 0 else "no"
    code("a network", hone("new", "3-8-2 relu softmax", "-o", tmp / "two.onnx"), 0)
    table("some.csv", 400, signal, 9)
    table("some_val.csv", 12, signal, 10)
    r, d, page = train("two.onnx", "some", "--lr", "0.01", epochs=6)
    check("a large gain: the page alone", FEW not in r.err, r.err)
    check("12 rows are few", any(b.startswith("12 " + FEW) and f"{r.json['standard_error']['val']['loss']:.2g}" in b for b in d["because"]), d)
    check("and it says what would help", "--val-split" in page and "12 " + FEW in page)
    code("on from there", hone("train", tmp / "some.onnx", "--data", tmp / "some.csv", "--target", "y", "--val-data", tmp / "some_val.csv", "--epochs", 5,
                               "--lr", "1e-3", "-o", tmp / "again.onnx"), 0, "12 " + FEW, "the model that came")
    quiet = hone("train", tmp / "some.onnx", "--data", tmp / "some.csv", "--target", "y", "--val-data", tmp / "some_val.csv", "--epochs", 5, "--lr", "1e-3",
                 "-q", "-o", tmp / "quiet.onnx")
    check("--quiet", quiet.code == 0 and quiet.err == "", quiet.err)


def noise():
    """Nothing can be learned, and the model gives the targets' mean already. Where each fold takes its own best epoch, every fold of one row gains."""
    code("a network", hone("new", "3-16-1 tanh", "-o", tmp / "any.onnx"), 0)
    table("zero.csv", 60, lambda x, r: "0", 5)
    code("one that says 0", hone("train", tmp / "any.onnx", "--data", tmp / "zero.csv", "--target", "y", "--epochs", 200, "--lr", "0.01", "-o", tmp / "zero.onnx"), 0)
    for seed in (31, 32, 33):
        table("nothing.csv", 30, lambda x, r: f"{r.gauss(0, 1):.5g}", seed)
        r = hone("tune", tmp / "zero.onnx", "--data", tmp / "nothing.csv", "--target", "y", "--folds", 30, "--search", "lr=log:1e-3..1e-1", "--trials", 5,
                 "--epochs", 30, "--force", "--json", "--progress", "none", "-o", tmp / "nothing.onnx")
        code(f"tune noise {seed}", r, 0)
        best = r.json["trials"][r.json["best_trial"]]
        check(f"noise {seed}: one epoch for all folds", len({f["best_epoch"] for f in best["folds"]}) == 1, best["folds"])
        check(f"noise {seed}: no gain to speak of", r.json["comparison"]["p"] > 0.05, r.json["comparison"])


classes()
two_classes()
noise()
numbers()
evaluated()
few()
_hone.finish("worth", tmp)
