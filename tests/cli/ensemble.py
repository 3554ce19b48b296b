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


def several_outputs(path):
    """Features that are handed out, classes with a label, a second head, what follows from the classes."""
    import numpy as np
    import onnx
    from onnx import TensorProto as T, helper as h, numpy_helper
    r = np.random.default_rng(3)
    w = {"w1": (8, 4), "b1": (8,), "w2": (3, 8), "b2": (3,), "w3": (2, 8), "b3": (2,), "w4": (1, 8), "b4": (1,)}
    nodes = [h.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1), h.make_node("Relu", ["h"], ["features"]),
             h.make_node("Gemm", ["features", "w2", "b2"], ["logits"], transB=1), h.make_node("Softmax", ["logits"], ["classes"], axis=-1),
             h.make_node("ReduceMax", ["classes"], ["sure"], axes=[1]), h.make_node("ArgMax", ["classes"], ["label"], axis=1),
             h.make_node("Gemm", ["features", "w3", "b3"], ["inner"], transB=1), h.make_node("Sigmoid", ["inner"], ["flags"]),
             h.make_node("Gemm", ["features", "w4", "b4"], ["number"], transB=1)]
    out = [h.make_tensor_value_info(n, T.INT64 if n == "label" else T.FLOAT, ["N", k])
           for n, k in (("number", 1), ("classes", 3), ("sure", 1), ("label", 1), ("flags", 2), ("features", 8))]
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, ["N", 4])], out,
                         [numpy_helper.from_array((r.normal(size=s) / 2).astype(np.float32), n) for n, s in w.items()])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), str(path))


def test_outputs_without_loss():
    try:
        import numpy as np
        import onnx
        import onnxruntime
    except ImportError as e:
        print(f"  outputs without a loss are left out: {e}")
        return
    model, out = tmp / "outputs.onnx", tmp / "outputs-best.onnx"
    several_outputs(model)
    job = [model, out, "--data", DATA, "--target", "label", "--scale", "standard", "--epochs", "4", "--folds", "3", "--trials", "5", *SPACE,
           "--ensemble", "2", "--test-split", "0.2"]
    code("which one learns", tune(*job), 2, "number, classes", "--loss OUTPUT=KIND")
    code("one of several learns", tune(*job, "--loss", "classes=ce"), 0)
    m = onnx.load(str(out))
    onnx.checker.check_model(m, full_check=True)
    names = ["number", "classes", "sure", "label", "flags", "features"]
    check("the outputs as they were", [o.name for o in m.graph.output] == names, m.graph.output)
    x = np.loadtxt(DATA, delimiter=",", skiprows=1, usecols=(0, 1, 2, 3), dtype=np.float32)
    y = dict(zip(names, onnxruntime.InferenceSession(str(out)).run(None, {"x": x})))
    inner = [f"member{i}/{n}" for n in ("features", "logits", "inner", "number") for i in (1, 2)]
    m.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in inner)
    v = onnxruntime.InferenceSession(m.SerializeToString()).run(inner, {"x": x})
    softmax = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)
    want = {"features": (v[0] + v[1]) / 2, "classes": (softmax(v[2]) + softmax(v[3])) / 2, "number": (v[6] + v[7]) / 2,
            "flags": (1 / (1 + np.exp(-v[4])) + 1 / (1 + np.exp(-v[5]))) / 2}
    for name, a in want.items():
        check(f"{name}: the members' average", np.abs(a - y[name]).max() < 1e-5 * max(1, np.abs(a).max()), np.abs(a - y[name]).max())
    check("the members differ", np.abs(v[0] - v[1]).max() > 1e-3)
    check("what follows from the classes", np.abs(y["sure"] - y["classes"].max(1, keepdims=True)).max() < 1e-6
          and (y["label"][:, 0] == y["classes"].argmax(1)).all())
    m = onnx.load(str(model))
    m.graph.output.append(onnx.helper.make_tensor_value_info("which", onnx.TensorProto.INT64, None))
    m.graph.node.append(onnx.helper.make_node("ArgMax", ["h"], ["which"], axis=1))
    onnx.save(m, str(tmp / "labels.onnx"))
    r = tune(tmp / "labels.onnx", tmp / "never.onnx", *job[2:], "--loss", "classes=ce")
    code("a label of what is not averaged", r, 3, "which", "leave out --ensemble")
    check("said before the search", not (tmp / "never.onnx.run").exists())


make_data()
test_kinds()
test_outputs_without_loss()
test_unlike_members()
test_against_runtime()
test_same_bytes()
test_odd_cases()
_hone.finish("ensemble", tmp)
