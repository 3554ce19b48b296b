#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The refit of hone tune: on all rows but the test's, for the epochs after which the folds were judged, with a learning rate
schedule that spans those epochs. Without shuffling nothing about it is random, so that hone train with these settings gives
the same weights."""
import csv
import random

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA, ALL = tmp / "net.onnx", tmp / "data.csv", tmp / "all.csv"


def make_data():
    r = random.Random(23)
    rows = []
    for _ in range(160):
        x = [r.gauss(0, 1) for _ in range(4)]
        rows.append([f"{v:.6g}" for v in x] + [int(x[0] * x[1] + 0.4 * x[2] + r.gauss(0, 0.8) > 0)])
    for path, some in ((DATA, rows), (ALL, rows[:120]), (tmp / "test.csv", rows[120:])):
        with path.open("w", newline="") as f:
            csv.writer(f).writerows([["a", "b", "c", "d", "label"], *some])
    code("a model", hone("new", "4-12-2 relu softmax", "-o", NET), 0)


def test_same_as_train(schedule):
    name = schedule[0]
    out, again = tmp / f"{name}.onnx", tmp / f"{name}-train.onnx"
    fixed = ["--data", ALL, "--target", "label", "--scale", "standard", "--no-shuffle", "--lr-schedule", *schedule]
    r = hone("tune", NET, *fixed, "--test-data", tmp / "test.csv", "--epochs", "40", "--early-stop-patience", "4", "--folds", "4",
             "--search", "lr=log:3e-3..1e-1", "--search", "batch_size=8,16,32", "--trials", "6", "--json", "--progress", "none", "-o", out)
    code(f"{name}: tune", r, 0)
    j = r.json
    best = j["trials"][j["best_trial"]]
    judged = {f["best_epoch"] for f in best["folds"]}
    check(f"{name}: one epoch for all folds", len(judged) == 1, judged)
    epochs = max(1, *judged)
    check(f"{name}: accepted", j["refit"] and j["refit"]["accepted"] is True, j["refit"])
    check(f"{name}: the folds' epoch", j["refit"]["epochs"] == epochs, (j["refit"], [f["best_epoch"] for f in best["folds"]]))
    r = hone("train", NET, *fixed, "--lr", best["params"]["lr"], "--batch-size", best["params"]["batch_size"], "--epochs", epochs, "--save", "last",
             "--monitor", "train_loss", "--test-data", tmp / "test.csv", "--json", "--progress", "none", "-o", again)
    code(f"{name}: train", r, 0)
    check(f"{name}: the same test figures", j["test"] == r.json["test"], (j["test"], r.json["test"]))
    d = hone("diff", out, again, "--json").json
    check(f"{name}: the same weights", d["tensors"] == [], d)


def test_best_yaml():
    """best.yaml is the model that left: with its shuffles, masks and initial weights the same bytes; there is nothing to stop by."""
    out, again = tmp / "best.onnx", tmp / "best-train.onnx"
    data = ["--data", ALL, "--target", "label", "--test-split", "0.2"]
    r = hone("tune", NET, *data, "--scale", "standard", "--init", "fresh", "--epochs", "30", "--early-stop-patience", "4", "--folds", "4", "--seed", "5",
             "--search", "lr=log:3e-3..1e-1", "--search", "dropout=0.1..0.4", "--search", "hidden_units=6..20", "--trials", "6", "--json",
             "--progress", "none", "-o", out)
    code("best.yaml: tune", r, 0)
    check("best.yaml: trained again", r.json["refit"]["accepted"] is True and r.json["best_trial"] != 0, r.json["refit"])
    code("best.yaml: train", hone("train", NET, *data, "--config", tmp / "best.onnx.run" / "best.yaml", "--progress", "none", "-o", again), 0)
    check("best.yaml: the same bytes", out.read_bytes() == again.read_bytes(), hone("diff", out, again).out)


def test_best_yaml_of_gaps():
    """How cells were filled, by a rule that was searched beside one that was not, and scaled, is in best.yaml, too."""
    lines = ALL.read_text().splitlines()
    for i in range(1, len(lines), 3):
        cells = lines[i].split(",")
        cells[i % 3] = ""
        lines[i] = ",".join(cells)
    gaps = tmp / "gaps.csv"
    gaps.write_text("\n".join(lines) + "\n")
    first = lines[0].split(",")[0]
    out, again = tmp / "gaps.onnx", tmp / "gaps-train.onnx"
    data = ["--data", gaps, "--target", "label"]
    r = hone("tune", NET, *data, "--impute", f"{first}=median", "--impute", "9000", "--epochs", "10", "--folds", "3", "--seed", "5", "--sampler", "grid",
             "--search", "impute=9000,mean", "--search", "scale=none,standard", "--search", "lr=0.01,0.03", "--json", "--progress", "none", "-o", out)
    code("gaps: tune", r, 0)
    best = r.json["trials"][r.json["best_trial"]]["params"]
    check("gaps: trained again with the rule that was found", r.json["refit"]["accepted"] is True and best["impute"] == "mean", best)
    text = (tmp / "gaps.onnx.run" / "best.yaml").read_text()
    check("gaps: best.yaml has it", f"impute: ['{first}=median'" in text and "mean]" in text, text)
    code("gaps: train", hone("train", NET, *data, "--config", tmp / "gaps.onnx.run" / "best.yaml", "--progress", "none", "-o", again), 0)
    check("gaps: the same bytes", out.read_bytes() == again.read_bytes(), hone("diff", out, again).out)
    for axis in ("x_scale=1,2", "val_split=0.1,0.2", "test_split=0.1,0.2", "no_stratify=true,false"):
        code(f"{axis}: the same for all trials", hone("tune", NET, *data, "--impute", "0", "--folds", "3", "--search", axis, "-o", tmp / "never.onnx"), 2,
             f"'{axis.split('=')[0]}' is nothing a search can set")


make_data()
test_best_yaml()
test_best_yaml_of_gaps()
for schedule in (["cosine"], ["onecycle", "--warmup", "3"], ["poly"], ["step", "--lr-step", "3", "--lr-gamma", "0.5"], ["exponential"],
                 ["plateau", "--lr-patience", "1"], ["constant", "--swa-start", "2", "--swa-lr", "0.02", "--swa-anneal", "3"],
                 ["multistep", "--lr-milestones", "2,4", "--ema", "0.8"]):
    test_same_as_train(schedule)
_hone.finish("refit", tmp)
