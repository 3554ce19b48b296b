#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A model that was trained with --scale-target goes on learning as it began: the inverse at its end stays, its targets are scaled by
that again, whatever their size, and a second scaling is refused or takes the place of the first."""
import math
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
TARGETS = ["--target", "nm,gpa"]
HOW = [*TARGETS, "--val-split", "0.2", "--metric", "r2", "--force", "--json"]


def table(name, shift=0.0):
    r = random.Random(5)
    with open(tmp / name, "w") as f:
        f.write("a,b,nm,gpa\n")
        for _ in range(120):
            a, b = r.gauss(0, 1), r.gauss(0, 1)
            f.write(f"{a},{b},{1e-9 * (2 + shift + math.sin(a) + b)},{1e11 * (1 + shift + .1 * a * b)}\n")
    return tmp / name


DATA = table("d.csv")


def train(net, out, *args, want=0, texts=(), data=DATA):
    r = hone("train", net, "--data", data, *HOW, "-o", tmp / out, *args)
    code(f"train {out} {' '.join(map(str, args))}", r, want, *texts)
    return r


def differ(a, b):
    return [t["name"] for t in hone("diff", tmp / a, tmp / b, "--json").json["tensors"]]


def ends(net):
    nodes = hone("inspect", net, "--json").json["nodes"]
    return [(n["op"], n["verdict"]) for n in nodes if n["name"].startswith("hone_") or "/hone_" in n["name"]]


code("new", hone("new", "2-16-2 tanh", "-o", tmp / "new.onnx"), 0)
first = train(tmp / "new.onnx", "first.onnx", "--scale-target", "standard", "--epochs", "150", "--lr", "0.01")
FIRST = tmp / "first.onnx"


def test_it_goes_on():
    check("the first run says how many learn", first.json["trainable_parameters"] == 2 * 16 + 16 + 16 * 2 + 2, first.json["trainable_parameters"])
    check("frozen", ends(FIRST) == [("Mul", "frozen"), ("Add", "frozen")], ends(FIRST))
    r = train(FIRST, "on.onnx", "--epochs", "60", "--lr", "0.01", texts=("scaled as they were",))
    j = r.json
    check("both columns become better", j["val"]["r2"] > j["before"]["val"]["r2"] > 0.9, (j["before"], j["val"]))
    check("losses of epochs are of scaled targets", 0 < j["curve"][0]["val_loss"] < 1 and j["scaled_by_model"], j["curve"][0])
    check("those of the model are not", j["before"]["val"]["loss"] > 1e12 and j["val"]["loss"] > 1e12, j["val"])
    check("epoch 0 is the model that came", abs(j["curve"][0]["val_r2"] - j["before"]["val"]["r2"]) < 1e-6, j["curve"][0])
    check("its numbers stay", not [n for n in differ("first.onnx", "on.onnx") if "hone_" in n], differ("first.onnx", "on.onnx"))
    check("as many learn", j["trainable_parameters"] == first.json["trainable_parameters"], j["trainable_parameters"])
    page = hone("train", FIRST, "--data", DATA, *HOW, "--epochs", "2", "--run-dir", tmp / "run", "-o", tmp / "run.onnx")
    code("with a run folder", page, 0)
    code("its page", hone("report", tmp / "run"), 0)


def test_other_hidden_layers():
    r = train(FIRST, "hidden.onnx", "--hidden-units", "8,8", "--epochs", "150", "--lr", "0.02")
    check("learned", r.json["val"]["r2"] > 0.9, r.json["val"])
    check("the end stays", not [n for n in differ("first.onnx", "hidden.onnx") if "hone_" in n] and ends(tmp / "hidden.onnx")[-1] == ("Add", "frozen"))


def test_resumed():
    train(FIRST, "whole.onnx", "--epochs", "12")
    train(FIRST, "half.onnx", "--epochs", "6", "--keep-run")
    code("resume", hone("resume", tmp / "half.onnx.run", "--epochs", "12", "--force", "-q"), 0)
    check("the same as without a break", differ("whole.onnx", "half.onnx") == [], differ("whole.onnx", "half.onnx"))


def test_a_second_scaling():
    other = table("other.csv", shift=3.0)
    train(FIRST, "no.onnx", "--scale-target", "standard", want=2, texts=("already undoes", "--scale-again"), data=other)
    r = train(FIRST, "again.onnx", "--scale-target", "minmax", "--scale-again", "--epochs", "60", "--lr", "0.01", data=other)
    check("learned", r.json["val"]["r2"] > 0.9 > r.json["before"]["val"]["r2"], r.json["val"])
    check("one end, other numbers", len(ends(tmp / "again.onnx")) == 2 and "y/hone_Mul_by" in differ("first.onnx", "again.onnx"), ends(tmp / "again.onnx"))
    numbers = train(tmp / "new.onnx", "alone.onnx", "--scale-target", "minmax", "--epochs", "1", data=other)
    check("those of a first scaling", numbers.json["ok"] and not [n for n in differ("alone.onnx", "again.onnx") if "hone_" in n], differ("alone.onnx", "again.onnx"))


def test_by_wish():
    r = train(FIRST, "free.onnx", "--unfreeze", "y/hone_*", "--epochs", "1", "--save", "last")
    check("they learn", "y/hone_Add_by" in differ("first.onnx", "free.onnx"), differ("first.onnx", "free.onnx"))
    check("losses are in the targets' units", r.json["curve"][-1]["val_loss"] > 1e6, r.json["curve"][-1])


def test_units():
    train(FIRST, "t.onnx", "--target-metric", "val_loss:1", want=2, texts=("target-metric", "units of their own"))
    search = ["--data", DATA, *TARGETS, "--folds", "3", "--search", "lr=0.003,0.01", "--epochs", "10", "--force", "--json"]
    code("a search by the loss", hone("tune", FIRST, *search, "-o", tmp / "s.onnx"), 2, "monitor", "val_r2")
    r = hone("tune", FIRST, *search, "--monitor", "val_r2", "-o", tmp / "s.onnx")
    code("a search", r, 0)
    check("trials begin with the model that came", r.json["best_value"] > 0.9, r.json["best_value"])
    check("the end stays", not [n for n in differ("first.onnx", "s.onnx") if "hone_" in n])


def test_ensemble():
    r = hone("tune", tmp / "new.onnx", "--data", DATA, *TARGETS, "--folds", "2", "--search", "lr=0.01,0.02", "--epochs", "40", "--scale-target",
             "standard", "--monitor", "val_r2", "--ensemble", "2", "--force", "--json", "-o", tmp / "both.onnx")
    code("an ensemble", r, 0)
    end = ends(tmp / "both.onnx")
    check("its members' ends", [t for t, v in end if t in ("Mul", "Add")].count("Mul") >= 2, end)
    train(tmp / "both.onnx", "both2.onnx", "--epochs", "2", "--save", "last")
    check("stay", not [n for n in differ("both.onnx", "both2.onnx") if "hone_Mul" in n or "hone_Add" in n], differ("both.onnx", "both2.onnx"))


for test in (test_it_goes_on, test_other_hidden_layers, test_resumed, test_a_second_scaling, test_by_wish, test_units, test_ensemble):
    test()
_hone.finish("scale_target", tmp)
