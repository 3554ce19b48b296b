#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone tune --ensemble and the comparison with the imported model, through the command: the exported graph is the average of
its members (asked of ONNX Runtime member by member where it is installed), every command takes it, it trains on, the same
bytes come out whatever --jobs and after a kill, and what cannot be is said before the search."""
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
DATA, TWO, NUMBERS = tmp / "data.csv", tmp / "two.csv", tmp / "numbers.csv"


def make_data():
    r = random.Random(7)
    with open(DATA, "w") as f, open(TWO, "w") as t, open(NUMBERS, "w") as g:
        f.write("a,b,c,d,label\n")
        t.write("a,b,c,d,label\n")
        g.write("a,b,c,d,y\n")
        for _ in range(300):
            x = [r.gauss(0, 1) * s + m for s, m in ((1, 0), (30, 500), (0.01, 0), (2, -3))]
            z = x[0] + (x[1] - 500) / 30 * 0.7 - x[2] * 60 + r.gauss(0, 0.4)
            row = ",".join(f"{v:.6g}" for v in x)
            f.write(f"{row},{0 if z < -0.6 else 1 if z < 0.5 else 2}\n")
            t.write(f"{row},{'yes' if z > 0 else 'no'}\n")
            g.write(f"{row},{1000 * z:.6g}\n")


SPACE = ["--search", "lr=log:1e-3..1e-1", "--search", "batch_size=16,32"]
# name, network, data, what the tune needs besides, the averaged value of a member, how it is averaged
KINDS = [("softmax", "4-8-3 relu softmax", DATA, [], "logits", "softmax"),
         ("logits", "4-8-3 tanh", DATA, [], "y", "log softmax"),
         ("norms", "4-8-6-3 relu batchnorm dropout=0.2 softmax", DATA, [], "logits", "softmax"),
         ("sigmoid", "4-8-1 tanh sigmoid", TWO, [], "logits", "sigmoid"),
         ("yes-no", "4-8-1 relu", TWO, [], "y", "logit"),
         ("numbers", "4-8-1 tanh", NUMBERS, ["--target", "y", "--scale-target", "standard", "--monitor", "val_rmse"], "y", "mean")]


def tune(model, out, *args):
    return hone("tune", model, *args, "--progress", "none", "--json", "-o", out)


def job(name, data, more):
    return [tmp / f"{name}.onnx", tmp / f"{name}-best.onnx", "--data", data, "--scale", "standard", "--epochs", "4", "--folds", "3",
            "--trials", "6", "--test-split", "0.2", *SPACE, *(more or ["--target", "label"])]


def test_kinds():
    for name, spec, data, more, _, _ in KINDS:
        model, out, *args = job(name, data, more)
        code(f"{name}: a model", hone("new", spec, "-o", model), 0)
        r = tune(model, out, *args, "--ensemble", "3")
        code(f"{name}: tune --ensemble 3", r, 0)
        j, e = r.json, r.json["ensemble"]
        sign = -1 if j["direction"] == "maximize" else 1
        done = sorted((sign * t["value"], t["number"]) for t in j["trials"] if t["state"] == "done")
        check(f"{name}: the three best", e["members"] == [n for _, n in done[:3]], (e["members"], done))
        check(f"{name}: exported", e["exported"] is True and e["why"] is None and j["changed"] is True and j["refit"] is None, e)
        check(f"{name}: value is the folds' mean", len(e["folds"]) == 3 and abs(sum(e["folds"]) / 3 - e["value"]) < 1e-9 * e["value"], e)
        check(f"{name}: said which is better", e["better_than_best"] is (e["value"] < j["best_value"]), e)
        c, before = j["comparison"], j["baseline"]["imported"]["folds"]
        gain = [b - f for b, f in zip(before, e["folds"])]
        mean = sum(gain) / 3
        se = math.sqrt((1 / 3 + 1 / 2) * sum((g - mean) ** 2 for g in gain) / 2)
        check(f"{name}: compared over the folds", c["folds"] == 3 and c["better"] == sum(g > 0 for g in gain)
              and abs(c["difference"] - mean) < 1e-9 * abs(mean) and abs(c["se"] - se) < 1e-9 * se
              and abs(c["t"] - mean / se) < 1e-9 * abs(mean / se) and 0 < c["p"] < 1, (c, gain, se))
        ev = hone("inspect", out, "--json")
        code(f"{name}: inspect", ev, 0)
        check(f"{name}: it can learn", ev.json["issues"] == [] or all("blocks" not in str(i) for i in ev.json["issues"]), ev.json["issues"])
        check(f"{name}: three times the weights", ev.json["trainable_parameters"] == 3 * hone("inspect", model, "--json").json["trainable_parameters"])
        target = (more or ["--target", "label"])[:2]
        ev = hone("eval", out, "--data", data, *target, "--json")
        code(f"{name}: eval", ev, 0)
        r = hone("train", out, "--data", data, *target, "--epochs", "2", "--json", "--progress", "none", "-o", tmp / f"{name}-on.onnx")
        code(f"{name}: it trains on", r, 0)
        check(f"{name}: from where it was", abs(r.json["before"]["train"]["loss"] - ev.json["loss"]) < 1e-6 * abs(ev.json["loss"]),
              (r.json["before"], ev.json))
        r = hone("predict", out, "--data", data, "--features", "a,b,c,d", "-o", tmp / f"{name}.npy", "--json")
        code(f"{name}: predict", r, 0)


def test_against_runtime():
    try:
        import numpy as np
        import onnx
        import onnxruntime
    except ImportError as e:
        print(f"  the comparison with ONNX Runtime is left out: {e}")
        return
    softmax = lambda z: np.exp(z - z.max(1, keepdims=True)) / np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    logit = lambda p: np.log(p / (1 - p))
    how = {"softmax": lambda zs: np.mean([softmax(z) for z in zs], 0), "log softmax": lambda zs: np.log(np.mean([softmax(z) for z in zs], 0)),
           "sigmoid": lambda zs: np.mean([sigmoid(z) for z in zs], 0), "logit": lambda zs: logit(np.mean([sigmoid(z) for z in zs], 0)),
           "mean": lambda zs: np.mean(zs, 0)}
    for name, _, data, _, value, kind in KINDS:
        path = tmp / f"{name}-best.onnx"
        m = onnx.load(str(path))
        onnx.checker.check_model(m, full_check=True)
        x = np.loadtxt(data, delimiter=",", skiprows=1, usecols=(0, 1, 2, 3), dtype=np.float32)
        x[:5] *= 50  # far from what was trained on: nothing may overflow
        y = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
        members = [f"member{i + 1}/{value}" for i in range(3)]
        m.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in members)
        inner = onnxruntime.InferenceSession(m.SerializeToString()).run(members, {"x": x})
        with np.errstate(all="ignore"):
            want = how[kind]([z.astype(np.float64) for z in inner])
        ok = np.isfinite(want) & (np.abs(want) < 30)
        top = np.abs(want[ok]).max()
        check(f"{name}: ONNX Runtime gives the members' average", np.isfinite(y).all() and np.abs(y - want)[ok].max() < 2e-6 * top,
              np.abs(y - want)[ok].max())
        np.save(tmp / "x.npy", x)
        code(f"{name}: predict the same rows", hone("predict", path, "--x", tmp / "x.npy", "-o", tmp / "p.npy", "--force"), 0)
        p = np.load(tmp / "p.npy").reshape(y.shape)
        check(f"{name}: and Hone the same", np.abs(p - y).max() < 2e-6 * np.abs(y).max(), np.abs(p - y).max())
        if name == "softmax":  # and through test vectors
            (tmp / "vectors").mkdir()
            for what, a in (("input_0", x), ("output_0", y)):
                (tmp / "vectors" / f"{what}.pb").write_bytes(onnx.numpy_helper.from_array(a, what).SerializeToString())
            code("verify", hone("verify", path, tmp / "vectors"), 0)


def test_same_bytes():
    model, out, *args = job("softmax", DATA, [])
    for jobs in (1, 3):
        code(f"--jobs {jobs}", tune(model, tmp / f"jobs{jobs}.onnx", *args, "--ensemble", "3", "--jobs", jobs), 0)
        check(f"--jobs {jobs}: the same bytes", (tmp / f"jobs{jobs}.onnx").read_bytes() == out.read_bytes())
    args[args.index("--epochs") + 1] = "60"
    whole = tmp / "whole.onnx"
    start = time.time()
    code("a longer one", tune(model, whole, *args, "--ensemble", "4"), 0)
    length = time.time() - start
    cut, kills = tmp / "cut.onnx", 0
    for _ in range(12):
        p = subprocess.Popen([str(a) for a in [HONE, "tune", model, *args, "--ensemble", "4", "--progress", "none", "-o", cut]],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            p.communicate(timeout=random.uniform(0.3, 1) * length)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            p.communicate()
        if p.returncode == 0 or cut.exists():
            break
        kills += 1
    if not cut.exists():
        code("run again", tune(model, cut, *args, "--ensemble", "4"), 0)
    check(f"killed {kills} times: the same bytes", cut.read_bytes() == whole.read_bytes())


def test_unlike_members():
    """Members that differ in depth, width, activation and scaling."""
    model, out = tmp / "softmax.onnx", tmp / "unlike.onnx"
    r = tune(model, out, "--data", DATA, "--target", "label", "--epochs", "6", "--folds", "3", "--sampler", "manual", "--ensemble", "3",
             "--setting", "lr=0.03,hidden_layers=1,hidden_units=5,activation=tanh,scale=standard",
             "--setting", "lr=0.03,hidden_layers=3,hidden_units=6,activation=relu,scale=minmax",
             "--setting", "lr=0.03,hidden_layers=2,hidden_units=7,activation=sigmoid,scale=standard")
    code("members of other structure", r, 0)
    e = r.json["ensemble"]
    check("all of them", sorted(e["members"]) == [1, 2, 3] and e["exported"] is True, e)
    nodes = hone("inspect", out, "--json").json["nodes"]
    count = lambda op: sum(n["op"] == op for n in nodes)
    check("their layers side by side", (count("Gemm"), count("Tanh"), count("Relu"), count("Sigmoid")) == (2 + 4 + 3, 1, 3, 2), nodes)
    check("scaled each as it was trained", count("Div") == 3 and count("Softmax") == 1, (count("Div"), count("Softmax")))
    code("and it is evaluated", hone("eval", out, "--data", DATA, "--target", "label"), 0)
    KINDS.append(("unlike", "", DATA, [], "logits", "softmax"))
    out.rename(tmp / "unlike-best.onnx")


def test_odd_cases():
    model, out, *args = job("softmax", DATA, [])
    few = list(args)
    few[few.index("--trials") + 1] = "3"
    r = tune(model, tmp / "few.onnx", *few, "--ensemble", "9")
    code("more members than trials", r, 0, "there are 3 trials")
    check("uses what there is", len(r.json["ensemble"]["members"]) == 3 and r.json["ensemble"]["asked"] == 9, r.json["ensemble"])
    r = tune(model, tmp / "manual.onnx", "--data", DATA, "--target", "label", "--scale", "standard", "--folds", "3", "--sampler", "manual",
             "--setting", "lr=0.01", "--setting", "lr=0.01", "--setting", "lr=0.001", "--epochs", "3", "--ensemble", "3")
    code("settings that were tried twice", r, 0)
    by = {t["number"]: t["params"]["lr"] for t in r.json["trials"]}
    check("count once", sorted(by[n] for n in r.json["ensemble"]["members"]) == [0.001, 0.01], (by, r.json["ensemble"]))
    r = tune(model, tmp / "one.onnx", "--data", DATA, "--target", "label", "--scale", "standard", "--val-split", "0.2", "--search",
             "lr=0.001,0.01", "--trials", "2", "--epochs", "3", "--ensemble", "2")
    code("one validation split", r, 0)
    c = r.json["comparison"]
    check("no spread to judge by", c["folds"] == 1 and c["se"] is None and c["t"] is None and c["p"] is None, c)
    r = hone("tune", model, "--data", DATA, "--target", "label", "--scale", "standard", "--val-split", "0.2", "--search", "lr=0.001,0.01",
             "--trials", "2", "--epochs", "3", "--progress", "none", "-o", tmp / "said.onnx")
    code("and said to people", r, 0, "no spread")
    r = hone("tune", model, *args, "--ensemble", "2", "--progress", "none", "-o", tmp / "told.onnx")
    code("people read", r, 0, "the average of trials", "than the imported model on 3 of 3 folds", "corrected standard error")
    r = tune(out, tmp / "same.onnx", "--data", DATA, "--target", "label", "--folds", "3", "--search", "lr=50,500", "--lr", "900",
             "--optimizer", "sgd", "--epochs", "1", "--trials", "3", "--ensemble", "2")
    code("nothing is better than the model", r, 0)
    check("it comes back as it was", out.read_bytes() == (tmp / "same.onnx").read_bytes() and r.json["beaten"] is False, r.json["ensemble"])
    check("the reason is said", r.json["ensemble"]["exported"] is False and r.json["ensemble"]["why"], r.json["ensemble"])
    r = tune(out, tmp / "twice.onnx", *[a for a in args if a not in ("--scale", "standard")], "--ensemble", "2")
    code("an ensemble of ensembles", r, 0)
    for what, more, want, text in [("refit none", ["--refit", "none"], 2, "--refit none"), ("of one", ["--ensemble", "1"], 2, "ensemble")]:
        code(what, tune(model, tmp / "never.onnx", *args, "--ensemble", "2", *more), want, text)
    check("nothing written", not (tmp / "never.onnx").exists())


make_data()
test_kinds()
test_unlike_members()
test_against_runtime()
test_same_bytes()
test_odd_cases()
_hone.finish("ensemble", tmp)
