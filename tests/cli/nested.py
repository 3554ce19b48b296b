#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone tune --nested through the command: every outer value is that of a plain search on the rows outside the fold whose
model is then evaluated on the fold, number for number (the folds are scikit-learn's, asked where it is installed); the same
numbers and bytes whatever --jobs and after kills; what is exported does not change by it."""
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
COLUMNS = ["a", "b", "c", "site", "label"]


def make_data():
    r = random.Random(11)
    rows = []
    for i in range(150):
        x = [r.gauss(0, 1), r.gauss(300, 20), r.gauss(0, 2)]
        z = x[0] + (x[1] - 300) / 25 + r.gauss(0, 0.5)
        rows.append([f"{v:.6g}" for v in x] + [f"s{i * 5 % 17}", 0 if z < -0.5 else 1 if z < 0.8 else 2])
    write(DATA, rows)
    code("a model", hone("new", "3-6-3 tanh softmax", "-o", NET), 0)
    return rows


def write(path, rows):
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([COLUMNS, *rows])


BASE = ["--target", "label", "--scale", "standard", "--epochs", "4", "--seed", "3", "--trials", "5",
        "--search", "lr=log:1e-3..1e-1", "--search", "batch_size=8,16"]
PLAIN = [*BASE, "--ignore", "site"]


def tune(out, *args, data=DATA):
    return hone("tune", NET, "--data", data, *args, "--progress", "none", "--json", "-o", out)


def check_shape(what, j, k):
    n = j["nested"]
    v, before = n["values"], [f["imported"] for f in n["folds"]]
    mean = sum(v) / k
    s2 = sum((x - mean) ** 2 for x in v) / (k - 1)
    check(f"{what}: all outer folds", n["k"] == k and n["complete"] is True and len(v) == k and [f["value"] for f in n["folds"]] == v, n)
    check(f"{what}: mean, std, corrected se", abs(n["mean"] - mean) < 1e-12 and abs(n["std"] - math.sqrt(s2 * (k - 1) / k)) < 1e-12
          and abs(n["se"] - math.sqrt((1 / k + 1 / (k - 1)) * s2)) < 1e-12, n)
    d = [b - a for a, b in zip(v, before)]
    c = n["comparison"]
    check(f"{what}: against the imported model", c["folds"] == k and c["better"] == sum(x > 0 for x in d)
          and abs(c["difference"] - sum(d) / k) < 1e-9 and 0 <= c["p"] <= 1, c)


def test_is_a_search_outside(rows):
    """By hand: the rows outside a fold as a file of their own, searched; the result evaluated on the fold's rows."""
    try:
        from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
    except ImportError as e:
        print(f"  the comparison with searches by hand is left out: {e}")
        return
    y, sites = [r[-1] for r in rows], [r[3] for r in rows]
    k = 3
    cases = [("folds inside", [*PLAIN, "--folds", "4"], KFold(k, shuffle=True, random_state=3).split(rows)),
             ("stratified", [*PLAIN, "--folds", "3", "--stratified"], StratifiedKFold(k, shuffle=True, random_state=3).split(rows, y)),
             ("groups", [*BASE, "--group", "site", "--folds", "3"], GroupKFold(k).split(rows, y, sites)),
             ("groups with the classes' shares", [*BASE, "--group", "site", "--folds", "3", "--stratified"],
              StratifiedGroupKFold(k, shuffle=True, random_state=3).split(rows, y, sites)),
             ("validation rows inside", [*PLAIN, "--val-split", "0.25"], KFold(k, shuffle=True, random_state=3).split(rows)),
             ("a split by group inside", [*BASE, "--group", "site", "--val-split", "0.25"], GroupKFold(k).split(rows, y, sites)),
             ("early stopping, a metric", [*PLAIN, "--folds", "3", "--early-stop-patience", "1", "--monitor", "val_accuracy"],
              KFold(k, shuffle=True, random_state=3).split(rows)),
             ("ensembles", [*PLAIN, "--folds", "3", "--ensemble", "2"], KFold(k, shuffle=True, random_state=3).split(rows)),
             ("filled cells", [*PLAIN, "--folds", "3", "--impute", "mean"], KFold(k, shuffle=True, random_state=3).split(rows)),
             ("ensembles of filled cells", [*PLAIN, "--val-split", "0.3", "--impute", "mean", "--ensemble", "2"],
              KFold(k, shuffle=True, random_state=3).split(rows))]
    whole = rows
    for n, (what, args, splits) in enumerate(cases):
        out = tmp / f"case{n}.onnx"
        rows = [["" if "filled" in what and (i * 7 + c) % 5 == 0 and c < 3 else v for c, v in enumerate(r)] for i, r in enumerate(whole)]
        write(tmp / "case.csv", rows)
        r = tune(out, *args, "--nested", k, data=tmp / "case.csv")
        code(f"{what}: tune --nested", r, 0)
        check_shape(what, r.json if "accuracy" not in what and "metric" not in what else flip(r.json), k)
        metric = "accuracy" if "metric" in what else "loss"
        for i, (train, test) in enumerate(splits):
            write(tmp / "train.csv", [rows[t] for t in train])
            write(tmp / "test.csv", [rows[t] for t in test])
            hand = tmp / f"case{n}-{i}.onnx"
            h = tune(hand, *args, data=tmp / "train.csv")
            code(f"{what}, fold {i + 1}: by hand", h, 0)
            e = hone("eval", hand, "--data", tmp / "test.csv", "--target", "label", "--ignore", "site", "--json").json
            f = r.json["nested"]["folds"][i]
            check(f"{what}, fold {i + 1}: the same search", f["best_trial"] == h.json["best_trial"] and f["best_value"] == h.json["best_value"],
                  (f, h.json["best_value"]))
            check(f"{what}, fold {i + 1}: the same value", abs(f["value"] - e[metric]) <= 1e-12 and f["rows"] == len(test), (f, e))
            if "filled" in what:
                continue  # the imported model has nothing of its own to fill cells with
            e = hone("eval", NET, "--data", tmp / "test.csv", "--target", "label", "--ignore", "site", "--json").json
            check(f"{what}, fold {i + 1}: the imported model", abs(f["imported"] - e[metric]) <= 1e-12, (f, e))
        r = tune(tmp / f"case{n}-plain.onnx", *args, data=tmp / "case.csv")
        check(f"{what}: what is exported does not change by it", out.read_bytes() == (tmp / f"case{n}-plain.onnx").read_bytes())
        check(f"{what}: none was asked for", r.json["nested"] is None)


def flip(j):
    """A metric where more is better, as one where less is."""
    n = json.loads(json.dumps(j["nested"]))
    for f in n["folds"]:
        f["value"], f["imported"] = -f["value"], -f["imported"]
    n["values"], n["mean"] = [-v for v in n["values"]], -n["mean"]
    return {"nested": n}


def test_separate_rows(rows):
    write(tmp / "most.csv", rows[:110])
    write(tmp / "rest.csv", rows[110:])
    r = tune(tmp / "separate.onnx", *PLAIN, "--val-data", tmp / "rest.csv", "--nested", "2", data=tmp / "most.csv")
    code("validation rows in a file of their own", r, 0)
    check_shape("a file of their own", r.json, 2)
    check("its rows judge inside only", [f["rows"] for f in r.json["nested"]["folds"]] == [55, 55])
    r = tune(tmp / "tested.onnx", *PLAIN, "--folds", "3", "--test-split", "0.2", "--nested", "3")
    code("with test rows", r, 0)
    check("they are in no outer fold", sum(f["rows"] for f in r.json["nested"]["folds"]) == 120, r.json["nested"])


def test_same_again():
    args = [*PLAIN, "--folds", "3", "--nested", "3", "--epochs", "40", "--trials", "8", "--ensemble", "2"]
    runs = []
    start = time.time()
    for jobs in (1, 2):
        r = tune(tmp / f"jobs{jobs}.onnx", *args, "--jobs", jobs)
        code(f"--jobs {jobs}", r, 0)
        runs.append(r.json)
    length = (time.time() - start) / 2
    check("the same numbers whatever --jobs", runs[0]["nested"] == runs[1]["nested"])
    check("and the same bytes", (tmp / "jobs1.onnx").read_bytes() == (tmp / "jobs2.onnx").read_bytes())
    cut, kills = tmp / "cut.onnx", 0
    for n in range(10):
        p = subprocess.Popen([str(a) for a in [HONE, "tune", NET, "--data", DATA, *args, "--progress", "none", "-o", cut]],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            p.communicate(timeout=random.uniform(0.1, 0.5) * length)
        except subprocess.TimeoutExpired:
            p.send_signal((signal.SIGKILL, signal.SIGTERM)[n % 2])
            p.communicate()
        if p.returncode == 0 or cut.exists():
            break
        kills += 1
    if not cut.exists():
        r = tune(cut, *args)
        code("run again", r, 0)
        check(f"cut short {kills} times: the same numbers", r.json["nested"] == runs[0]["nested"], r.json["nested"])
    check(f"cut short {kills} times: the same bytes", cut.read_bytes() == (tmp / "jobs1.onnx").read_bytes())
    r = tune(cut, *args[:-4], "--force")  # other searches, in the same folder
    code("--force starts anew", r, 0)
    check("with other trials", len(r.json["trials"]) == 5 and r.json["nested"]["complete"], len(r.json["trials"]))


def test_odd_cases():
    out = tmp / "never.onnx"
    for what, args, want, text in [
            ("more outer folds than rows", [*PLAIN, "--folds", "3", "--nested", "151"], 4, "151 folds of 150 rows"),
            ("more inner folds than rows are left", [*PLAIN, "--folds", "120", "--nested", "3"], 4, "leaves 100 rows for 120 folds"),
            ("more outer folds than groups", [*BASE, "--group", "site", "--folds", "3", "--nested", "20"], 4, "20"),
            ("more outer folds than the largest class has rows", [*PLAIN, "--folds", "3", "--stratified", "--nested", "149"], 4, "149"),
            ("nothing would be exported", [*PLAIN, "--folds", "3", "--nested", "3", "--refit", "none"], 2, "--refit none"),
            ("one outer fold", [*PLAIN, "--folds", "3", "--nested", "1"], 2, "nested")]:
        code(what, tune(out, *args), want, text)
        check(f"{what}: nothing written", not out.exists())
    r = tune(tmp / "timed.onnx", *[a for a in PLAIN if a not in ("--trials", "5")], "--folds", "3", "--nested", "3", "--sampler", "random",
             "--max-seconds", "1e-9")
    code("--max-seconds, over before the first trial", r, 0)
    n = r.json["nested"]
    check("every search gets one", n["complete"] is True and r.json["stop_reason"] == "time" and len(r.json["trials"]) == 1
          and [f["best_trial"] for f in n["folds"]] == [0, 0, 0], (n, r.json["trials"]))
    r = hone("tune", NET, "--data", DATA, *PLAIN, "--folds", "3", "--nested", "3", "--progress", "none", "-o", tmp / "told.onnx")
    code("people read", r, 0, "on rows that it has not seen a search like this gives loss", "3 outer folds")


rows = make_data()
test_is_a_search_outside(rows)
test_separate_rows(rows)
test_same_again()
test_odd_cases()
_hone.finish("nested", tmp)
