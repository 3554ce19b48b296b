#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The contract of the command: help, exit codes, JSON, configuration, refusals, what stays untouched."""
import json
import os
import re
import signal
import subprocess
import time

import _hone
from _hone import HONE, IMAGES, LABELS, MNIST, SCALE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
data = ["--x", IMAGES, "--y", LABELS, "--x-scale", SCALE]
quick = data + ["--epochs", "1", "--batch-size", "500", "--quiet"]
COMMANDS = ["inspect", "new", "train", "lr-find", "tune", "resume", "eval", "predict", "verify", "gradcheck", "diff", "doctor", "ask", "tell", "export", "report", "plugin"]


def table(name, rows):
    path = tmp / name
    path.write_text(rows)
    return path


def test_help():
    code("no arguments", hone(), 2, "hone train")
    code("help", hone("help"), 0, "inspect", "train")
    code("version", hone("--version"), 0, "hone 0.")
    code("help params", hone("help", "params"), 0, "--lr-schedule", "--early-stop-patience")
    for c in COMMANDS:
        r = hone(c, "--help")
        code(f"{c} --help", r, 0, "examples:", "exit codes")
        check(f"{c}: examples first", r.out.index("examples:") < r.out.index("usage:"))
    code("a wrong command", hone("trian"), 2, "did you mean 'train'")
    code("a wrong option", hone("train", MNIST, "--optimiser", "adam", "-o", tmp / "x.onnx"), 2, "optimizer")
    code("no prefix guessing", hone("train", MNIST, "--epoch", "1", "-o", tmp / "x.onnx"), 2, "epochs")
    code("an option of another command", hone("inspect", MNIST, "--lr", "0.1"), 2, "lr")
    code("a value out of range", hone("train", MNIST, *data, "--lr", "-1", "-o", tmp / "x.onnx"), 2, "lr")
    code("too few arguments", hone("diff", MNIST), 2)
    code("too many arguments", hone("inspect", MNIST, MNIST), 2)
    code("no output", hone("train", MNIST, *data), 2, "-o")
    train = ["train", MNIST, *data, "-o", tmp / "x.onnx"]
    for name, args in (("MODEL", ["inspect", ""]), ("MODEL", ["train", "", *data, "-o", tmp / "x.onnx"]), ("B.onnx", ["diff", MNIST, ""]),
                       ("DIR", ["verify", MNIST, ""]), ("RUNDIR", ["report", ""]), ("RUNDIR", ["resume", ""]), ("STUDY", ["ask", "", "--search", "a=0..1"]),
                       ("FILE.so", ["plugin", "check", ""]), ("-o", ["train", MNIST, *data, "-o", ""]), ("out", ["new", "4-2", "--out="]),
                       ("config", [*train, "--config", ""]), ("x", ["eval", MNIST, "--x", ""]), ("x", ["eval", MNIST, "--x", "image="]),
                       ("study", ["tune", MNIST, *data, "--study", "", "-o", tmp / "x.onnx"]), ("space", ["ask", tmp / "x.db", "--space="]),
                       *((o, [*train, f"--{o}", ""]) for o in ("val-data", "test-x", "run-dir", "events", "tensorboard", "plugin", "sample-weights"))):
        code(f"an empty {name} of {args[0]}", hone(*args), 2, f"hone: {name}", "is empty")
    check("nothing came of it", not (tmp / "x.onnx").exists())


def test_no_compressed_output():
    out = tmp / "small.onnx.gz"
    code("new", hone("new", "2-4-2 relu softmax", "-o", tmp / "small.onnx"), 0)
    rows = table("small.csv", "a,b,c\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(40)))
    given = [tmp / "small.onnx", "--data", rows, "--target", "c", "--epochs", "2", "-o", out]
    for name, args in (("new", ["new", "2-2", "-o", out]), ("train", ["train", *given]), ("without epochs", ["train", *given, "--epochs", "0", "--force"]),
                       ("tune", ["tune", *given, "--folds", "2", "--search", "lr=0.1,0.2", "--sampler", "grid"])):
        r = hone(*args)
        code(f"{name} writes no .gz", r, 2, "small.onnx.gz", "wanted one without .gz", "leave .gz out")
        check(f"{name} says so before it begins", "epoch" not in r.out + r.err and "trial" not in r.out + r.err, r.out + r.err)
    check("nothing is there", not out.exists() and not list(tmp.glob("small.onnx.gz*")), list(tmp.glob("small*")))


def test_inspect():
    r = hone("inspect", MNIST, "--json")
    code("inspect --json", r, 0)
    j = r.json
    check("schema first", list(j)[0] == "schema" and j["schema"] == "hone.inspect/1" and j["ok"] is True)
    for key in ["ir_version", "opsets", "producer", "inputs", "outputs", "nodes", "issues", "ties", "parameters", "trainable_parameters"]:
        check(f"inspect has {key}", key in j)
    check("parameters", j["trainable_parameters"] == 784 * 48 + 48 + 2 * 48 + 48 * 24 + 24 + 2 * 24 + 24 * 10 + 10,
          j["trainable_parameters"])
    check("verdicts", [n["verdict"] for n in j["nodes"]] == ["trained"] * 7, [n["verdict"] for n in j["nodes"]])
    check("input", j["inputs"][0]["name"] == "image" and j["inputs"][0]["dtype"] == "float32", j["inputs"])
    r = hone("inspect", MNIST)
    code("inspect", r, 0, "image", "logits", "BatchNormalization", "trained")
    check("nothing on standard error", r.err == "", r.err)


def test_train():
    out = tmp / "a.onnx"
    r = hone("train", MNIST, *quick, "--val-split", "0.2", "--test-split", "0.2", "--json", "-o", out)
    code("train", r, 0)
    j = r.json
    for key in ["schema", "ok", "epochs", "best_epoch", "monitor", "stop_reason", "train", "val", "test", "before", "model",
                "parameters", "trainable_parameters", "hyperparameters", "device", "threads", "seconds", "samples_per_second"]:
        check(f"train has {key}", key in j)
    check("better than before", j["test"]["accuracy"] > j["before"]["test"]["accuracy"], (j["test"], j["before"]))
    check("epochs", j["epochs"] == 1 and j["stop_reason"] == "max_epochs", j)
    check("run folder is gone", not (tmp / "a.onnx.run").exists())
    code("an average is said", hone("train", MNIST, *data, "--epochs", "3", "--swa-start", "2", "--save", "last", "-o", tmp / "swa.onnx"), 0,
         "the weights are the average over epochs 2 to 3")
    e = hone("eval", out, *data, "--json").json
    check("eval", e["rows"] == 10000 and e["accuracy"] > 0.85, e)
    code("an existing output is refused", hone("train", MNIST, *quick, "-o", out), 2, "force")
    before = out.read_bytes()
    code("and replaced with --force", hone("train", MNIST, *quick, "--seed", "3", "--force", "-o", out), 0)
    check("replaced", out.read_bytes() != before)
    r = hone("train", out, *quick, "-o", out)
    code("the input itself is refused", r, 2)
    b = tmp / "b.onnx"
    code("same seed", hone("train", MNIST, *quick, "--val-split", "0.2", "--threads", "1", "-o", b), 0)
    for n in (2, 3, 5):
        c = tmp / f"t{n}.onnx"
        code(f"{n} threads", hone("train", MNIST, *quick, "--val-split", "0.2", "--threads", n, "-o", c), 0)
        check(f"same bytes with {n} threads", b.read_bytes() == c.read_bytes())
    r = hone("train", MNIST, *data, "--val-split", "0.2", "--dry-run", "-o", tmp / "dry.onnx")
    code("a dry run", r, 0, "39250 parameters", "8000 to train on, 2000 to validate on", "one step: loss", "nothing is written")
    code("which needs no -o", hone("train", MNIST, *data, "--val-split", "0.2", "--dry-run", cwd=tmp), 0, "nothing is written")
    code("nor without epochs", hone("train", MNIST, "--epochs", "0", "--dry-run=true", "--json", cwd=tmp), 0, '"dry_run": true')
    code("but --dry-run=false does", hone("train", MNIST, *data, "--dry-run=false"), 2, "-o: is missing")
    check("nothing was written", not list(tmp.glob("*.run")) and not list(tmp.glob("*.onnx.*")), list(tmp.iterdir()))
    check("a dry run has all its figures", "nan" not in r.out + r.err and not (tmp / "dry.onnx").exists(), r.out)
    same = tmp / "same.onnx"
    code("no epochs, no data", hone("train", MNIST, "--epochs", "0", "-o", same), 0)
    check("the same bytes", same.read_bytes() == MNIST.read_bytes())
    code("diff equal", hone("diff", MNIST, same), 0)
    r = hone("diff", MNIST, b, "--json")
    code("diff different", r, 1)
    check("diff names tensors", len(r.json["tensors"]) >= 6 and r.json["equal"] is False, r.out[:300])


def test_kept_run():
    out = tmp / "kept.onnx"
    r = hone("train", MNIST, *quick, "--val-split", "0.2", "--keep-run", "--json", "-o", out)
    code("keep the run", r, 0)
    run = tmp / "kept.onnx.run"
    for name in ["run.json", "metrics.csv", "events.jsonl", "status.json", "result.json", "metrics.json"]:
        check(f"kept run has {name}", (run / name).exists(), os.listdir(run) if run.exists() else "no folder")
    result = json.loads((run / "result.json").read_text())
    check("result.json is the result", all(r.json[k] == v for k, v in result.items()) and result["val"] == r.json["val"], result)
    figures = json.loads((run / "metrics.json").read_text())
    check("metrics.json has the figures alone", figures == {**{k: result[k] for k in ("epochs", "best_epoch", "train", "val")}, "before": {"val": result["before"]["val"]}}, figures)
    head = (run / "metrics.csv").read_text().split("\n")[0]
    check("metrics.csv", head.startswith("epoch,train_loss,val_loss,val_accuracy") and head.endswith("lr,seconds"), head)
    for line in (run / "events.jsonl").read_text().strip().split("\n"):
        json.loads(line)
    code("resume of a finished run", hone("resume", run), 0, "finished")
    code("a full run folder is refused", hone("train", MNIST, *quick, "--run-dir", run, "-o", tmp / "z.onnx"), 2, "force")


def test_predict():
    out = tmp / "p.npy"
    x = ["--x", IMAGES, "--x-scale", SCALE]
    code("predict .npy", hone("predict", MNIST, *x, "-o", out, "--json"), 0)
    check("npy size", out.stat().st_size >= 10000 * 10 * 4)
    code("predict .csv classes", hone("predict", MNIST, *x, "-o", tmp / "p.csv", "--argmax"), 0)
    lines = (tmp / "p.csv").read_text().split("\n")
    check("one class a row", len(lines) == 10002 and lines[1] in "0123456789", lines[:3])
    net, rows = tmp / "one.onnx", table("one.csv", "a,b,t\n" + "".join(f"{k % 5},{k % 3},{k % 7 * 0.5}\n" for k in range(40)))
    hone("new", "2-3-1 relu", "-o", net)
    label = ["predict", net, "--data", rows, "--ignore", "t", "--argmax", "--force", "-o", tmp / "p.csv"]
    code("--argmax of one number a row", hone(*label), 2, "argmax: output 'y' is one number a row")
    hone("train", net, "--data", rows, "--target", "t", "--epochs", "1", "--force", "-o", tmp / "r.onnx")
    label[1] = tmp / "r.onnx"
    code("--argmax of a regression", hone(*label), 2, "argmax: output 'y' was trained on numbers")
    hone("train", net, "--data", table("two.csv", "a,b,t\n" + "".join(f"{k % 5},{k % 3},{k % 2}\n" for k in range(40))), "--target", "t",
         "--epochs", "1", "--force", "-o", tmp / "r.onnx")
    code("--argmax of two classes on one output", hone(*label), 0)
    code("predict wants a known ending", hone("predict", MNIST, *x, "-o", tmp / "p.txt"), 2, ".npy")
    code("an unknown output", hone("predict", MNIST, *x, "-o", tmp / "q.npy", "--output", "logit"), 2, "logits")
    code("one output twice", hone("predict", MNIST, *x, "-o", tmp / "q.npz", "--argmax", "--output", "logits", "--output", "logits"), 2, "twice", "logits")


def test_config():
    config = table("c.yaml", "epochs: 1\nbatch_size: 250\nlr-schedule: cosine\nval-split: 0.1\nmetric: [accuracy, f1]\n")
    r = hone("train", MNIST, *data, "--config", config, "--lr", "0.01", "--print-config", "-o", tmp / "c.onnx")
    code("print-config", r, 0, "batch-size: 250", "lr-schedule: cosine", "lr: 0.01")
    again = table("d.yaml", r.out)
    r2 = hone("train", MNIST, "--config", again, "--print-config", "-o", tmp / "c.onnx")
    check("printed configuration reads back", r2.out == r.out, (r.out, r2.out, r2.err))
    for command, extra in (("train", ["--epochs", "1"]), ("eval", [])):
        out = {"train": ["-o", tmp / "printed.onnx", "--force"]}.get(command, [])
        whole = table("whole.yaml", hone(command, MNIST, *data, *extra, *out, "--print-config").out)
        r3, r4 = hone(command, MNIST, "--config", whole, *out), hone(command, MNIST, *data, *extra, *out)
        code(f"{command} by what --print-config printed", r3, 0)
        check(f"{command}: the same", [x for x in r3.out.split() if x[0].isalpha()] == [x for x in r4.out.split() if x[0].isalpha()], r3.out)
    search = ["--folds", "2", "--search", "lr=0.01,0.001", "--epochs", "1", "-o", tmp / "searched.onnx", "--force"]
    whole = table("whole.yaml", hone("tune", MNIST, *data, *search, "--print-config").out)
    code("tune by what --print-config printed", hone("tune", MNIST, "--config", whole, "-o", tmp / "searched.onnx", "--force"), 0)
    r = hone("train", MNIST, *data, "--config", config, "--batch-size", "500", "--json", "--quiet", "-o", tmp / "c.onnx")
    code("config", r, 0)
    check("the command line wins", r.json["hyperparameters"]["batch_size"] == 500, r.json["hyperparameters"])
    code("a wrong key", hone("train", MNIST, *data, "--config", table("e.yaml", "epoch: 1\n"), "-o", tmp / "e.onnx"), 2, "epochs", "line 1")
    for text, line, *says in (("lr: 0.1\ntrials: 3\n", 2, "'trials' is not an option of 'hone train'"), ("folds: 2\n", 1, "'folds' is not an option of 'hone train'"),
                              ("lr:\n  - 0.1\n  - 0.2\n", 2, "'lr' takes one value, found a list"), ("lr: 0.1\nepochs: 2\nlr: 0.2\n", 3, "'lr' is in line 1 already"),
                              ("batch_size: 3\nbatch-size: 4\n", 2, "'batch-size' is in line 1 already"),
                              ("metric: [f1]\nmetric: [accuracy]\n", 2, "'metric' is in line 1 already"), ("lr: 0.1\n---\nlr: 0.2\n", 2, "a second document"),
                              ("no-shuffle: maybe\n", 1, "no-shuffle: found 'maybe', wanted true or false")):
        r = hone("train", MNIST, *data, "--config", table("e.yaml", text), "-o", tmp / "e.onnx")
        code(f"a config of {text!r}", r, 2, f"e.yaml line {line}: ", *says)
    whole = table("e.yaml", hone("tune", MNIST, *data, "--epochs", 3, "--print-config").out)
    check("what is printed has tune's own defaults", "sampler: " in whole.read_text())
    code("they hurt nobody", hone("train", MNIST, "--config", whole, "--print-config"), 0, "epochs: 3")
    code("data of eval", hone("eval", MNIST, "--config", table("e.yaml", f"x: [{data[1]}]\ny: [{data[3]}]\nx-scale: {SCALE}\n")), 0)
    for yes in ("true", "True", "TRUE", "yes", "Yes", "on", "ON", "1"):
        code(f"no-shuffle: {yes}", hone("train", MNIST, "--config", table("e.yaml", f"no-shuffle: {yes}\n"), "--print-config"), 0, "no-shuffle: true")
    for no in ("false", "False", "NO", "off", "Off", "0"):
        code(f"keep-run={no}", hone("train", MNIST, f"--keep-run={no}", "--print-config"), 0, "keep-run: false")
    code("not a mapping", hone("train", MNIST, *data, "--config", table("f.yaml", "- a\n"), "-o", tmp / "e.onnx"), 2)
    code("no such config", hone("train", MNIST, "--config", tmp / "none.yaml", "-o", tmp / "e.onnx"), 6)


def test_bad_models():
    cases = {
        "empty.onnx": (b"", "empty"),
        "html.onnx": (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        "lfs.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "LFS"),
        "text.onnx": (b"ir_version: 8\ngraph { name: \"x\" }\n", ""),
        "cut.onnx": (MNIST.read_bytes()[:5000], ""),
        "nested.onnx": (nested(5000), ""),
        "nodes.onnx": (field(8, 1) + field(7, field(1, b"") * 3000000), ""),
    }
    for name, (content, text) in cases.items():
        path = tmp / name
        path.write_bytes(content)
        start = time.time()
        r = hone("inspect", path)
        code(f"bad model {name}", r, 3, name, text)
        check(f"{name} is refused quickly", time.time() - start < 5)
    code("no such model", hone("inspect", tmp / "none.onnx"), 6, "none.onnx")
    r = hone("inspect", tmp / "cut.onnx", "--json")
    check("failure in JSON", r.code == 3 and r.json["ok"] is False and r.json["schema"] == "hone.inspect/1" and r.json["error"]["text"], r.out)
    bad = table("broken.csv", "not,a\ntable")
    code("the model is judged before the data", hone("train", tmp / "cut.onnx", "--data", bad, "--target", "a", "-o", tmp / "g.onnx"), 3)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def nested(depth):
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, g
    return field(1, 8) + field(7, graph)


def test_bad_data():
    net = tmp / "net.onnx"
    code("new", hone("new", "2-8-3 relu softmax", "-o", net), 0)
    good = "a,b,c\n" + "".join(f"{i % 7},{i % 5},{i % 3}\n" for i in range(60))

    def run(rows, *more):
        return hone("train", net, "--data", table("t.csv", rows), "--target", "c", "--epochs", "1", "--quiet", "-o", tmp / "n.onnx", "--force", *more)
    code("good data", run(good), 0)
    kept = (tmp / "n.onnx").read_bytes()
    code("a ragged row", run(good + "1,2\n"), 4, "t.csv", "row 62")
    code("text in a number", run(good + "1,x,2\n"), 4, "t.csv", "62", "'b'", "x")
    code("a missing cell", run(good + "1,,2\n"), 4, "62", "'b'")
    code("NaN", run(good + "nan,1,2\n"), 4, "62")
    code("infinity", run(good + "inf,1,2\n"), 4, "62")
    code("too many classes", run(good + "1,1,7\n"), 4)
    code("no rows", run("a,b,c\n"), 4)
    code("unknown target", hone("train", net, "--data", tmp / "t.csv", "--target", "d", "-o", tmp / "n.onnx", "--force"), 4, "'d'")
    code("features that do not fit", hone("train", net, "--data", table("w.csv", "a,b,e,c\n1,2,3,0\n2,3,4,1\n"), "--target", "c", "-o", tmp / "n.onnx", "--force"), 4, "3", "2")
    code("no such data", hone("train", net, "--data", tmp / "none.csv", "--target", "c", "-o", tmp / "n.onnx", "--force"), 6, "none.csv")
    code("no data", hone("train", net, "-o", tmp / "n.onnx", "--force"), 2)
    check("the output is untouched", (tmp / "n.onnx").read_bytes() == kept)
    y = table("y.csv", "c\n0\n1\n")
    x = table("x.csv", "a,b\n1,2\n3,4\n5,6\n")
    code("x and y of different length", hone("train", net, "--x", x, "--y", y, "-o", tmp / "m.onnx"), 4, "3", "2")
    code("patience without validation", run(good, "--early-stop-patience", "2"), 2, "val-split")
    text = "a,b,c\n" + "".join(f"{i % 7},{i % 5},{'red green blue'.split()[i % 3]}\n" for i in range(60))
    r = run(text, "--json")
    code("text labels", r, 0)
    r = hone("inspect", tmp / "n.onnx", "--json").json
    check("class names travel with the model", r.get("classes") == ["blue", "green", "red"], r.get("classes"))
    code("an unknown class", hone("eval", tmp / "n.onnx", "--data", table("u.csv", "a,b,c\n1,2,red\n1,2,pink\n"), "--target", "c"), 4, "pink")


def test_scaling():
    net = tmp / "r.onnx"
    hone("new", "2-8-1 tanh", "-o", net)
    rows = [f"{i},{i % 9},{1000 + 3 * i - 20 * (i % 9)}\n" for i in range(120)]
    train, test = table("train.csv", "a,b,y\n" + "".join(rows[:90])), table("test.csv", "a,b,y\n" + "".join(rows[90:]))
    out = tmp / "scaled.onnx"
    r = hone("train", net, "--data", train, "--test-data", test, "--target", "y", "--val-split", "0.2", "--scale", "standard",
             "--scale-target", "minmax", "--epochs", "60", "--lr", "0.01", "--quiet", "--json", "-o", out)
    code("train with both scalers", r, 0)
    e = hone("eval", out, "--data", test, "--target", "y", "--json").json
    for name in ("loss", "mae", "r2"):
        a, b = r.json["test"][name], e[name]
        check(f"{name} of training and of the exported file on raw rows", abs(a - b) <= 1e-3 * abs(b) + 1e-6, (a, b))
    check("it learned", e["mae"] < r.json["before"]["test"]["mae"] / 4, (e, r.json["before"]))
    code("a second scaler is refused", hone("train", out, "--data", train, "--target", "y", "--scale", "standard", "--epochs", "1", "-o", tmp / "s2.onnx"), 2, "scale-again")


def test_soft_targets():
    net = tmp / "soft.onnx"
    hone("new", "1-4-1 tanh sigmoid", "-o", net)
    rows = table("soft.csv", "a,p\n" + "".join(f"{i},{i / 40}\n" for i in range(40)))
    r = hone("train", net, "--data", rows, "--target", "p", "--loss", "bce", "--lr", "0.05", "--epochs", "30", "--quiet", "--json", "-o", tmp / "soft2.onnx")
    code("bce with probabilities as targets", r, 0)
    check("soft targets are learned", r.json["train"]["loss"] < r.json["before"]["train"]["loss"], (r.json["train"], r.json["before"]))


def test_fixed_batch():
    path = tmp / "baked.onnx"
    path.write_bytes(baked_batch(1, 8))
    x = table("bx.csv", "a,b,c,d\n" + "".join(f"{i},{i % 3},1,{i % 5}\n" for i in range(30)))
    y = table("by.csv", "y\n" + "".join(f"{i * 0.5}\n" for i in range(30)))
    args = ["train", path, "--x", x, "--y", y, "--loss", "mse", "--epochs", "2", "--quiet", "-o", tmp / "freed.onnx"]
    code("a baked batch is refused with its remedy", hone(*args), 3, "baked", "--batch-dim symbolic")
    path.write_bytes(baked_batch(2, 4))
    code("a batch of 2 that a Reshape to [2, -1] keeps is none of these", hone(*args[:-1], tmp / "held.onnx"), 0)
    j = hone("inspect", tmp / "held.onnx", "--json").json
    check("the batch stays as it was", j["fixed_batch"] == 2 and j["batch_lifted"], (j["fixed_batch"], j["batch_lifted"]))
    code("and freed when asked", hone(*args, "--batch-dim", "symbolic"), 0)
    j = hone("inspect", tmp / "freed.onnx", "--json").json
    check("the batch is a symbol now", j["inputs"][0]["dims"][0] == "N", j["inputs"])


def baked_batch(first, width):
    """x[2,2,2] -> Reshape to the constant [first,-1] -> Gemm with w[width,1]: a batch of 2 baked in, or rows that become one."""
    import struct

    def tensor(name, kind, dims, raw):
        return b"".join(field(1, d) for d in dims) + field(2, kind) + field(8, name) + field(9, raw)

    def value(name, dims):
        shape = b"".join(field(1, field(1, d)) for d in dims)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))
    nodes = field(1, field(1, b"x") + field(1, b"s") + field(2, b"f") + field(4, b"Reshape"))
    nodes += field(1, field(1, b"f") + field(1, b"w") + field(2, b"y") + field(4, b"Gemm"))
    graph = nodes + field(2, b"g") + field(5, tensor(b"s", 7, [2], struct.pack("<qq", first, -1)))
    graph += field(5, tensor(b"w", 1, [width, 1], struct.pack(f"<{width}f", *(.1 * i for i in range(width)))))
    graph += field(11, value(b"x", [2, 2, 2])) + field(12, value(b"y", [first, 1]))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def test_bad_output():
    code("an unwritable output", hone("train", MNIST, *quick, "-o", "/proc/x.onnx"), 6)
    code("a missing folder", hone("train", MNIST, *quick, "-o", tmp / "no" / "x.onnx"), 6)
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(HONE), "inspect", str(MNIST), "--json"], stdout=full, stderr=subprocess.PIPE)
        check("a full disk under standard output", done.returncode == 6, done.returncode)
    code("no GPU here", hone("train", MNIST, *quick, "--device", "cuda", "-o", tmp / "x.onnx"), 5, "cuda") \
        if not os.path.exists("/dev/nvidia0") else None


def test_stopping():
    out = tmp / "s.onnx"
    args = [str(HONE), "train", str(MNIST)] + [str(a) for a in data] + ["--val-split", "0.2", "--epochs", "100000", "--progress", "plain", "-o", str(out)]
    p = subprocess.Popen(args, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    p.stderr.readline()
    time.sleep(0.7)
    p.send_signal(signal.SIGTERM)
    p.stderr.read()
    check("SIGTERM: exit 143", p.wait() == 143, p.returncode)
    check("a checkpoint is left", (tmp / "s.onnx.run").exists())
    status = json.loads((tmp / "s.onnx.run" / "status.json").read_text())
    check("status.json says resumable", status.get("resumable") is True, status)
    r = hone("train", MNIST, *quick, "--val-split", "0.2", "--target-metric", "val_accuracy:0.5", "--json", "-o", tmp / "tm.onnx")
    check("target", r.json["stop_reason"] == "target", r.out[:200])
    r = hone("train", MNIST, *quick, "--val-split", "0.2", "--require", "val_accuracy:0.9999", "--json", "-o", tmp / "rq.onnx")
    code("--require not met: why, --quiet or not", r, 8, "hone: --require val_accuracy:0.9999 is not met: val_accuracy is 0.")
    check("and in the result", [(g["asked"], g["met"]) for g in r.json["require"]] == [("val_accuracy:0.9999", False)] and
          r.json["require"][0]["found"] == r.json["val"]["accuracy"], r.out[:300])
    check("still a result", r.json["ok"] is True and (tmp / "rq.onnx").exists())
    r = hone("train", MNIST, *quick, "--val-split", "0.2", "--require", "test_loss:1", "--force", "-o", tmp / "rq.onnx")
    code("--require of what is not there", r, 2, "test_loss needs test data: found none", "--test-split")
    r = hone("train", MNIST, *data, "--quiet", "--epochs", "3", "--optimizer", "sgd", "--lr", "1e30", "--json", "-o", tmp / "dv.onnx")
    code("diverged: where, though quiet", r, 7, "hone: training diverged in epoch 1: ")
    check("diverged is a result", r.json["ok"] is True and r.json["stop_reason"] == "diverged", r.out[:300])
    e = hone("eval", tmp / "dv.onnx", *data, "--json").json
    check("the last good weights are written", e.get("accuracy", 0) > 0.8, e)


def test_verify_and_gradcheck():
    code("doctor", hone("doctor"), 0, "openblas")
    code("doctor --json", hone("doctor", "--json"), 0)
    net = tmp / "g.onnx"
    code("new with everything", hone("new", "5-7-6-3 tanh batchnorm dropout=0.3 softmax", "-o", net, "--seed", "4"), 0)
    r = hone("gradcheck", net, "--json")
    code("gradcheck", r, 0)
    check("gradients agree", r.json["max_rel"] <= 1e-6, r.out)
    again = tmp / "h.onnx"
    hone("new", "5-7-6-3 tanh batchnorm dropout=0.3 softmax", "-o", again, "--seed", "4")
    check("new is a function of the seed", net.read_bytes() == again.read_bytes())
    code("a wrong description", hone("new", "5", "-o", tmp / "i.onnx"), 2)
    code("a wrong word", hone("new", "5-3 rleu", "-o", tmp / "i.onnx"), 2, "relu")


for name, fn in list(globals().items()):
    if name.startswith("test_"):
        print(name, flush=True)
        try:
            fn()
        except Exception as e:  # one broken case must not hide the others
            check(name, False, repr(e))
_hone.finish("contract", tmp)
