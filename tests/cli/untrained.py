#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone train --epochs 0: what changes the graph or the weights is done, without data where none are needed; nothing else changes."""
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
JOB = ["--data", DATA, "--target", "label", "--val-split", "0.25"]


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,d,label\n")
        for _ in range(200):
            x = [r.gauss(3, 2) for _ in range(4)]
            f.write(",".join(f"{v:.6g}" for v in x) + f",{int(x[0] > 3) + int(x[1] > 3)}\n")
    code("a model", hone("new", "4-16-3 relu batchnorm dropout=0.1 softmax", "-o", NET), 0)


def ops(model):
    return [n["op"] for n in hone("inspect", model, "--json").json["nodes"]]


def make(out, *args, model=NET):
    return hone("train", model, "--epochs", "0", "--json", "-o", tmp / out, *args)


def tensors_differ(a, b):
    return hone("diff", a, b, "--json").json["tensors"]


def test_nothing():
    for i, args in enumerate(((), ("--lr", "3", "--dropout", "0.5", "--freeze-layers", "1", "--early-stop-patience", "3"),
                              ("--activation", "relu"), ("--hidden-units", "16"), ("--batch-dim", "symbolic"),
                              ("--data", "not there.csv", "--target", "label"))):
        code(f"nothing to do: {args}", make(f"nothing{i}.onnx", *args), 0)
        check(f"the same bytes: {args}", (tmp / f"nothing{i}.onnx").read_bytes() == NET.read_bytes())


def test_graph():
    r = make("shape.onnx", "--hidden-units", "8,5", "--activation", "tanh")
    code("other hidden layers", r, 0)
    check("the structure asked for",
          ops(tmp / "shape.onnx") == ["Gemm", "BatchNormalization", "Tanh", "Dropout"] * 2 + ["Gemm", "Softmax"], ops(tmp / "shape.onnx"))
    check("nothing trained", r.json["epochs"] == 0 and r.json["parameters"] == (4 * 8 + 3 * 8) + (8 * 5 + 3 * 5) + (5 * 3 + 3), r.json)
    code("BatchNormalization goes", make("plain.onnx", "--batchnorm", "remove"), 0)
    check("it is gone", "BatchNormalization" not in ops(tmp / "plain.onnx"))


def test_weights():
    # the weights that training would begin with: steps too small to change what is computed
    args = ("--hidden-units", "8,5", "--init", "he", "--seed", "7")
    code("fresh weights", make("fresh.onnx", *args, model=tmp / "plain.onnx"), 0)
    code("and others", make("other.onnx", *args[:-1], "8", model=tmp / "plain.onnx"), 0)
    check("by the seed", tensors_differ(tmp / "fresh.onnx", tmp / "other.onnx"))
    code("training", hone("train", tmp / "plain.onnx", *args, "--data", DATA, "--target", "label", "--epochs", "1", "--optimizer", "sgd",
                          "--lr", "1e-30", "-o", tmp / "start.onnx"), 0)
    same = [hone("predict", tmp / m, "--data", DATA, "--ignore", "label", "-o", tmp / f"{m}.npy").code or (tmp / f"{m}.npy").read_bytes()
            for m in ("fresh.onnx", "start.onnx")]
    check("training begins there", same[0] == same[1] and isinstance(same[0], bytes))
    code("in a trained model", make("anew.onnx", "--init", "fresh", model=tmp / "start.onnx"), 0)
    check("what it had been trained by is gone", b"hone.training" in (tmp / "start.onnx").read_bytes()
          and b"hone.training" not in (tmp / "anew.onnx").read_bytes())


def test_data():
    for what, args in (("scale", ("--scale", "standard")), ("batchnorm", ("--batchnorm", "insert"))):
        code(f"{what} without data", make(f"{what}.onnx", *args, model=tmp / "plain.onnx"), 2, what, "found no data", "--data")
        check("nothing written", not (tmp / f"{what}.onnx").exists())
        r = make(f"{what}.onnx", *args, *JOB, model=tmp / "plain.onnx")
        code(f"{what} with data", r, 0)
        check(f"{what} with figures", r.json["epochs"] == 0 and r.json["val"]["loss"] > 0 and r.json["before"]["val"]["loss"] > 0, r.json)
    check("a scaler", ops(tmp / "scale.onnx")[:2] == ["Sub", "Div"], ops(tmp / "scale.onnx"))
    check("BatchNormalization", "BatchNormalization" in ops(tmp / "batchnorm.onnx"), ops(tmp / "batchnorm.onnx"))
    code("BatchNormalization among fresh weights needs none", make("both.onnx", "--batchnorm", "insert", "--init", "fresh",
                                                                  model=tmp / "plain.onnx"), 0)
    check("it is there", "BatchNormalization" in ops(tmp / "both.onnx"))


def test_refused():
    r = make("dry.onnx", "--hidden-units", "8", "--dry-run")
    code("--dry-run", r, 0)
    check("writes nothing", not (tmp / "dry.onnx").exists() and r.json["model"] is None and r.json["dry_run"] is True, r.json)
    code("what cannot be rebuilt", make("never.onnx", "--hidden-units", "8,0"), 2, "hidden-units")


make_data()
test_nothing()
test_graph()
test_weights()
test_data()
test_refused()
_hone.finish("without training", tmp)
