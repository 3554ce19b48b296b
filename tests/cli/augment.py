#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--augment: training alone sees it; runs repeat, whatever the threads and jobs; what cannot be done is said."""
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
JOB = ["--data", DATA, "--seed", "3", "--progress", "none", "--val-split", "0.25", "--epochs", "5"]


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,d,label,z\n")
        for _ in range(300):
            x = [r.gauss(0, 1) for _ in range(4)]
            z = x[0] * x[1] + x[2] - 0.5 * x[3]
            f.write(",".join(f"{v:.6g}" for v in x) + f",{'low' if z < -0.5 else 'middle' if z < 0.5 else 'high'},{z:.6g}\n")
    code("a model", hone("new", "4-16-3 relu batchnorm dropout=0.1 softmax", "-o", NET), 0)


def train(name, *args, target="label", ignore="z", model=NET):
    out = tmp / name
    r = hone("train", model, *JOB, "--target", target, "--ignore", ignore, "--json", "--force", "-o", out, *args)
    code(f"train {args}", r, 0)
    return out.read_bytes(), r.json


def test_training():
    plain, without = train("plain.onnx")
    for how in ("noise=0.1", "mixup=0.3", "noise=0.1,mixup=0.3"):
        one, said = train("one.onnx", "--augment", how, "--threads", "1")
        check(f"{how} changes what is learnt", one != plain)
        check(f"{how}: threads do not", train("two.onnx", "--augment", how, "--threads", "2")[0] == one)
        reverse = [o for part in reversed(how.split(",")) for o in ("--augment", part)]
        check(f"{how}: nor does the order", train("three.onnx", *reverse)[1]["val"] == said["val"])  # the file tells how it was asked for
        again = hone("train", tmp / "one.onnx", *JOB[:-1], "0", "--target", "label", "--ignore", "z", "--augment", how, "--json", "--force", "-o", tmp / "same.onnx")
        code("no epochs", again, 0)
        check("nor is a file touched that nobody trains", (tmp / "same.onnx").read_bytes() == one)
        # what is judged are rows as they are: the figures of the run are those of the exported model
        loss = hone("eval", tmp / "one.onnx", "--data", DATA, "--target", "label", "--ignore", "z", "--json").json["loss"]
        rows = said["train"]["loss"] * 225 + said["val"]["loss"] * 75
        check(f"{how}: validation is of rows as they are", abs(loss - rows / 300) < 1e-5, (loss, rows / 300))
    check("0 is none", train("none.onnx", "--augment", "noise=0,mixup=0")[1]["val"] == without["val"])


def test_losses():
    """Numbers as targets are mixed like the inputs; a model of one output, with and without a scaler of its own."""
    code("a model", hone("new", "4-8-1", "-o", tmp / "r.onnx"), 0)
    plain, _ = train("p.onnx", target="z", ignore="label", model=tmp / "r.onnx")
    mixed, _ = train("m.onnx", "--augment", "mixup=1", target="z", ignore="label", model=tmp / "r.onnx")
    check("numbers are mixed", mixed != plain)
    train("s.onnx", "--augment", "mixup=1,noise=0.1", "--scale", "standard", "--scale-target", "standard", target="z", ignore="label", model=tmp / "r.onnx")
    train("f.onnx", "--augment", "mixup=1,noise=0.1", "--freeze-layers", "1")
    # without a hidden layer the squared error of mixed rows is that of a line through them: the same line fits
    code("a model", hone("new", "4-1", "-o", tmp / "line.onnx"), 0)
    with open(tmp / "line.csv", "w") as f:
        f.write("a,b,c,d,y\n")
        r = random.Random(1)
        for _ in range(256):
            x = [r.gauss(0, 1) for _ in range(4)]
            f.write(",".join(f"{v:.7g}" for v in x) + f",{0.5 * x[0] - x[1] + 2 * x[2] + 0.25 * x[3] - 1:.7g}\n")
    r = hone("train", tmp / "line.onnx", "--data", tmp / "line.csv", "--target", "y", "--optimizer", "sgd", "--lr", "0.1", "--epochs", "60", "--augment", "mixup=0.5",
             "--monitor", "train_loss", "--json", "--progress", "none", "-o", tmp / "fit.onnx")
    code("a line", r, 0)
    check("rows and targets are mixed alike", r.json["train"]["loss"] < 1e-8, r.json["train"])


def test_search():
    args = ["--target", "label", "--ignore", "z", "--augment", "noise=0.1,mixup=0.3", "--search", "lr=log:1e-3..1e-1", "--trials", "4", "--sampler", "random"]
    bests = []
    for jobs in (1, 2):
        code(f"tune, {jobs} jobs", hone("tune", NET, *JOB, *args, "--jobs", jobs, "-o", tmp / f"t{jobs}.onnx"), 0)
        bests.append((tmp / f"t{jobs}.onnx").read_bytes())
    check("a search does not depend on the jobs", bests[0] == bests[1])


def test_refusals():
    base = ["train", NET, *JOB, "--target", "label", "--ignore", "z", "-o", tmp / "no.onnx"]
    for what in ("noise=-1", "noise=x", "noise=", "noise=inf", "mixup=nan"):
        kind = what.split("=")[0]
        code(what, hone(*base, "--augment", what), 2, f"found '{what}'", f"wanted {kind}=", "0 or more")
    code("another kind", hone(*base, "--augment", "blur=1"), 2, "found 'blur=1'", "noise=STD", "mixup=ALPHA")
    (tmp / "w.csv").write_text("w\n" + "2\n" * 300)
    for options in (("--class-weights", "balanced"), ("--sample-weights", tmp / "w.csv")):
        code(f"mixed rows with {options[0]}", hone(*base, *options, "--augment", "mixup=0.3"), 2, "mixup with weights")
    check("nothing is written", not (tmp / "no.onnx").exists())


make_data()
test_training()
test_losses()
test_search()
test_refusals()
_hone.finish("augment", tmp)
