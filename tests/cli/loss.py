#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which loss, in which units, over which batches: --loss auto remembers what a model was trained with, losses of scaled targets are
not compared with others, --momentum counts with every optimizer that has one, batches of one row are no batches for BatchNormalization."""
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()


def table(name, target, rows=120):
    r = random.Random(3)
    path = tmp / name
    with open(path, "w") as f:
        f.write("a,b,y\n")
        for _ in range(rows):
            a, b = r.random(), r.random()
            f.write(f"{a:.6f},{b:.6f},{target(a, b)}\n")
    return path


CLASSES, ONE = table("c.csv", lambda a, b: int(a > b)), table("one.csv", lambda a, b: 1)
NUMBERS = table("n.csv", lambda a, b: f"{10 * (3 * a - 2 * b + a * b):.5f}")
SMALL = table("s.csv", lambda a, b: f"{(3 * a - 2 * b + a * b) / 10000:.9f}")


def model(name, spec):
    code(spec, hone("new", spec, "-o", tmp / name), 0)
    return tmp / name


def train(net, out, data, *args, want=0, texts=()):
    r = hone("train", net, "--data", data, "--target", "y", "--force", "--json", "-o", tmp / out, *args)
    code(f"train {out} {' '.join(map(str, args))}", r, want, *texts)
    return r


def loss_of(net, data, *args):
    r = hone("eval", net, "--data", data, "--target", "y", "--json", *args)
    code(f"eval {net.name} {' '.join(args)}", r, 0)
    return r


def test_remembered():
    net = model("m.onnx", "2-8-1 tanh")
    train(net, "bce.onnx", CLASSES, "--epochs", "30", "--lr", "0.05")
    of_one, asked = loss_of(tmp / "bce.onnx", ONE), loss_of(tmp / "bce.onnx", ONE, "--loss", "bce")
    check("rows of one class are judged by what the model was trained with", of_one.json["loss"] == asked.json["loss"], of_one.out)
    check("and it is said", "loss of output 'y': bce" in of_one.err, of_one.err)
    check("a model that was not trained has only the rows", "loss of output 'y': mse" in loss_of(net, ONE).err)
    for kind in ("mae", "huber", "mse"):
        train(net, f"{kind}.onnx", NUMBERS, "--epochs", "2", "--loss", kind)
        check(f"{kind} stays", f"loss of output 'y': {kind}" in loss_of(tmp / f"{kind}.onnx", NUMBERS).err)
        again = train(tmp / f"{kind}.onnx", "again.onnx", NUMBERS, "--epochs", "1")
        check(f"{kind} goes on", f"loss of output 'y': {kind}" in again.err, again.err)
    check("targets that the loss cannot take have their own", "loss of output 'y': mse" in loss_of(tmp / "bce.onnx", NUMBERS).err)
    check("what is asked for counts", "loss" in loss_of(tmp / "mae.onnx", NUMBERS, "--loss", "mse").json)
    three = model("t.onnx", "2-8-2")
    train(three, "ce.onnx", CLASSES, "--epochs", "1")
    check("classes of several outputs", "loss of output 'y': ce" in loss_of(tmp / "ce.onnx", ONE).err)


def test_units():
    net = model("u.onnx", "2-8-1 tanh")
    train(net, "good.onnx", NUMBERS, "--val-split", "0.2", "--epochs", "150", "--lr", "0.05")
    fresh = ["--val-split", "0.2", "--scale-target", "standard", "--init", "fresh"]
    worse = train(tmp / "good.onnx", "worse.onnx", NUMBERS, *fresh, "--epochs", "2", "--lr", "1e-4")
    check("it became worse", worse.json["val"]["loss"] > worse.json["before"]["val"]["loss"], worse.out)
    check("which is said, in the targets' units", f"val_loss {worse.json['val']['loss']:.6g}, before {worse.json['before']['val']['loss']:.6g}"
          in worse.err, worse.err)
    train(net, "rough.onnx", SMALL, "--val-split", "0.2", "--epochs", "1")
    better = train(tmp / "rough.onnx", "better.onnx", SMALL, *fresh, "--epochs", "60", "--lr", "0.02")
    check("it became better", better.json["val"]["loss"] < better.json["before"]["val"]["loss"], better.out)
    check("nothing else is said", "did not become as good" not in better.err, better.err)
    train(net, "no.onnx", NUMBERS, *fresh, "--target-metric", "val_loss:1", want=2, texts=("target-metric", "units of their own", "rmse"))
    train(net, "yes.onnx", NUMBERS, *fresh, "--target-metric", "val_rmse:1e9", "--epochs", "2")


def test_momentum():
    net = model("o.onnx", "2-8-1 tanh")
    how = ["--epochs", "3", "--lr", "0.01", "--seed", "4"]

    def same(a, b):
        return hone("diff", tmp / a, tmp / b, "--json").json["tensors"] == []

    for optimizer, momentum in (("sgd", "0.8"), ("sgd", "0"), ("momentum", "0.8"), ("rmsprop", "0"), ("rmsprop", "0.8")):
        train(net, f"{optimizer}{momentum}.onnx", NUMBERS, *how, "--optimizer", optimizer, "--momentum", momentum)
    check("sgd with momentum is momentum", same("sgd0.8.onnx", "momentum0.8.onnx"))
    check("and not without", not same("sgd0.onnx", "sgd0.8.onnx"))
    check("rmsprop has one, too", not same("rmsprop0.onnx", "rmsprop0.8.onnx"))


def test_batches_of_one():
    net = model("bn.onnx", "2-8-1 relu batchnorm")
    train(net, "b1.onnx", CLASSES, "--batch-size", "1", want=2, texts=("one value a channel", "--batch-size 2 or more"))
    train(net, "r1.onnx", table("row.csv", lambda a, b: 1, rows=1), "--epochs", "1", want=2, texts=("more rows",))
    train(net, "frozen.onnx", CLASSES, "--batch-size", "1", "--batchnorm", "freeze", "--epochs", "1")
    train(net, "last.onnx", table("odd.csv", lambda a, b: int(a > b), rows=121), "--batch-size", "40", "--epochs", "1")


for test in (test_remembered, test_units, test_momentum, test_batches_of_one):
    test()
_hone.finish("loss", tmp)
