#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The hidden layers as parameters: train and tune rebuild them, freeze the first ones, choose where weights come from. What is
exported has the structure that was asked for and is what ONNX Runtime computes; runs repeat, resume and do not depend on
threads or jobs; what cannot be done is said before any training."""
import json
import pathlib
import random
import signal
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,d,label\n")
        for _ in range(400):
            x = [r.gauss(0, 1) for _ in range(4)]
            z = x[0] * x[1] + x[2] - 0.5 * x[3] + r.gauss(0, 0.2)
            f.write(",".join(f"{v:.6g}" for v in x) + f",{0 if z < -0.5 else 1 if z < 0.5 else 2}\n")
    code("a model", hone("new", "4-16-3 relu batchnorm dropout=0.1 softmax", "-o", NET), 0)


JOB = ["--data", DATA, "--target", "label", "--seed", "3", "--progress", "none"]
SPLIT = ["--val-split", "0.25"]


def inspect(model):
    r = hone("inspect", model, "--json")
    return r.json


def ops(model):
    return [n["op"] for n in inspect(model)["nodes"]]


def train(out, *args, model=NET):
    return hone("train", model, *JOB, *SPLIT, "--epochs", "4", "--json", "-o", out, *args)


def test_train():
    out = tmp / "rebuilt.onnx"
    r = train(out, "--hidden-units", "8,5", "--activation", "tanh")
    code("other hidden layers", r, 0)
    block = ["Gemm", "BatchNormalization", "Tanh", "Dropout"]
    check("the structure asked for", ops(out) == block * 2 + ["Gemm", "Softmax"], ops(out))
    j = r.json
    wanted = (4 * 8 + 8 + 2 * 8) + (8 * 5 + 5 + 2 * 5) + (5 * 3 + 3)
    check("parameters counted", j["parameters"] == wanted, j["parameters"])
    check("before is the model that came, epoch 0 the rebuilt one",
          j["curve"][0]["epoch"] == 0 and j["curve"][0]["val_loss"] != j["before"]["val"]["loss"], j["curve"][0])
    came = hone("train", NET, *JOB, *SPLIT, "--epochs", "1", "--json", "-o", tmp / "plain.onnx").json["before"]
    check("before is the same without the knobs", came == j["before"], (came, j["before"]))
    r = train(tmp / "again.onnx", "--hidden-units", "8", "--hidden-units", "5", "--hidden-layers", "2", "--activation", "tanh",
              "--threads", "2")
    code("the same in other words", r, 0)
    meta = hone("diff", out, tmp / "again.onnx", "--json").json
    check("the same tensors for any number of threads", not meta["tensors"], meta)
    code("the same word twice", train(tmp / "same.onnx", "--hidden-units", "8,5", "--activation", "tanh"), 0)
    check("the same bytes", (tmp / "same.onnx").read_bytes() == out.read_bytes())
    r = train(tmp / "deep.onnx", "--hidden-layers", "3")
    code("more of the same", r, 0)
    check("three blocks as they were", ops(tmp / "deep.onnx") == ["Gemm", "BatchNormalization", "Relu", "Dropout"] * 3 +
          ["Gemm", "Softmax"], ops(tmp / "deep.onnx"))
    r = train(tmp / "smooth.onnx", "--activation", "gelu", model=out)
    code("an export is rebuilt again", r, 0)
    config = tmp / "rebuilt.yaml"
    config.write_text(hone("train", NET, *JOB, *SPLIT, "--epochs", "4", "--hidden-units", "8,5", "--activation", "tanh",
                           "--print-config", "-o", tmp / "x.onnx").out)
    code("by a config", hone("train", NET, "--config", config, "-o", tmp / "config.onnx", "--force", "--keep-run"), 0)
    check("the same bytes by a config", (tmp / "config.onnx").read_bytes() == out.read_bytes(), config.read_text())


def test_inspect():
    check("inspect says what can be rebuilt", inspect(NET)["hidden"] == {"units": [16], "activation": "relu"}, inspect(NET)["hidden"])
    code("in text too", hone("inspect", NET), 0, "16 units, relu")
    j = inspect(MODELS / "zero_biases.onnx")["hidden"]
    check("or what is in the way", j["units"] is None and j["node"] == "/Add" and "plain stack" in j["why"], j)
    check("a training export", inspect(MODELS / "training_opset13.onnx")["hidden"]["units"] == [8, 5])


def test_freeze():
    out = tmp / "frozen.onnx"
    deep = tmp / "deep-net.onnx"
    code("a deep model", hone("new", "4-6-6-3 relu layernorm", "-o", deep), 0)
    r = train(out, "--freeze-layers", "2", model=deep)
    code("two layers frozen", r, 0)
    changed = {t["name"] for t in hone("diff", deep, out, "--json").json["tensors"]}
    check("only the last one learned", changed == {"fc3.weight", "fc3.bias"}, changed)
    check("as many are trainable", r.json["trainable_parameters"] == 6 * 3 + 3, r.json)
    code("with a glob beside it", train(tmp / "frozen2.onnx", "--freeze-layers", "1", "--freeze", "fc3.*", model=deep), 0)
    changed = {t["name"] for t in hone("diff", deep, tmp / "frozen2.onnx", "--json").json["tensors"]}
    check("both hold", changed == {"fc2.weight", "fc2.bias", "ln2.weight", "ln2.bias"}, changed)
    code("nothing left to learn", train(tmp / "none.onnx", "--freeze-layers", "3", model=deep), 2, "freeze-layers",
         "3 Dense layers")


def test_refusals():
    code("numbers that disagree", train(tmp / "no.onnx", "--hidden-units", "8,5", "--hidden-layers", "3"), 2, "hidden-units",
         "one a layer")
    code("no number", train(tmp / "no.onnx", "--hidden-units", "wide"), 2, "hidden-units", "wide")
    code("an activation with a typo", train(tmp / "no.onnx", "--activation", "rely"), 2, "relu|")
    code("a hidden layer of a linear model", hone("new", "4-3", "-o", tmp / "linear.onnx"), 0)
    code("cannot be rebuilt", train(tmp / "no.onnx", "--hidden-layers", "2", model=tmp / "linear.onnx"), 3, "no hidden layer")
    r = hone("train", MODELS / "zero_biases.onnx", *JOB, *SPLIT, "--ignore", "x", "--hidden-layers", "2", "-o", tmp / "no.onnx")
    check("a residual model", r.code in (3, 4), r.err)
    check("nothing written", not (tmp / "no.onnx").exists())


def test_resume():
    out, run = tmp / "killed.onnx", tmp / "killed.run"
    job = ["train", NET, *JOB, *SPLIT, "--hidden-units", "24,12", "--activation", "silu", "--batch-size", "4", "--epochs", "60"]
    start = time.time()
    code("undisturbed", hone(*job, "-o", tmp / "whole.onnx"), 0)
    whole = time.time() - start
    r, kills = random.Random(1), 0
    p = subprocess.Popen([str(a) for a in [HONE, *job, "--run-dir", run, "-o", out]], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    while p.poll() is None and not (run / "metrics.csv").exists():  # the first kill finds it at work, however fast it is
        time.sleep(0.001)
    for n in range(6):
        try:
            p.wait(timeout=whole * r.uniform(0.1, 0.6) if n else 0.005)
            break
        except subprocess.TimeoutExpired:
            kills += 1
            p.send_signal(signal.SIGTERM if kills % 2 else signal.SIGKILL)
            p.wait()
            if not (run / "checkpoint.hone").exists():
                p = subprocess.Popen([str(a) for a in [HONE, *job, "--run-dir", run, "--force", "-o", out]],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            else:
                p = subprocess.Popen([str(HONE), "resume", str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p.wait()
    check("killed and continued: it ends", p.returncode == 0, (p.returncode, kills))
    check("killed and continued: the same bytes", out.exists() and out.read_bytes() == (tmp / "whole.onnx").read_bytes(), kills)
    check("killed at all", kills > 0, whole)


SPACE = """lr: {type: float, low: 1e-3, high: 1e-1, log: true}
hidden_layers: {type: int, low: 1, high: 3}
units_1: {type: int, low: 4, high: 32, log: true}
units_2: {type: int, low: 4, high: 32, log: true}
units_3: {type: categorical, choices: [4, 8]}
activation: {type: categorical, choices: [relu, tanh, gelu]}
freeze_layers: {type: int, low: 0, high: 2}
init: {type: categorical, choices: [keep, fresh, he, xavier]}
dropout: {type: float, low: 0, high: 0.5}
"""
TUNE = [*JOB, "--folds", "3", "--test-split", "0.2", "--epochs", "6"]


def tune(out, *args, model=NET, job=TUNE):
    return hone("tune", model, *job, "--json", "-o", out, *args)


def structure(model):
    j = inspect(model)
    return [(n["op"], n["name"]) for n in j["nodes"]], [(w["name"], w["dims"]) for w in j["weights"]]


def test_tune():
    space = tmp / "space.yaml"
    space.write_text(SPACE)
    runs = []
    for jobs in (1, 2):
        r = tune(tmp / f"tune{jobs}.onnx", "--space", space, "--trials", "16", "--jobs", jobs)
        code(f"all knobs, --jobs {jobs}", r, 0)
        runs.append([(t["number"], t["params"], t["value"], t["folds"]) for t in r.json["trials"]])
        last = r.json
    check("the same trials with --jobs 1 and 2", runs[0] == runs[1])
    check("the same bytes", (tmp / "tune1.onnx").read_bytes() == (tmp / "tune2.onnx").read_bytes())
    check("every trial ran", all(t["state"] == "done" for t in last["trials"]), last["trials"])
    first = last["trials"][0]
    check("trial 0 is what the model has", first["default"] and first["params"]["hidden_layers"] == 1 and
          first["params"]["units_1"] == 16 and first["params"]["activation"] == "relu" and first["params"]["freeze_layers"] == 0
          and first["params"]["init"] == "keep" and abs(first["params"]["dropout"] - 0.1) < 1e-6 and "units_2" not in first["params"],
          first["params"])
    check("units beyond the depth are not there", all((f"units_{i}" in t["params"]) == (t["params"]["hidden_layers"] >= i)
                                                      for t in last["trials"] for i in (1, 2, 3)))
    check("the knobs beat the model", last["beaten"] and last["best_trial"] > 0, last["best_trial"])
    best = last["trials"][last["best_trial"]]["params"]
    widths = [best[f"units_{i}"] for i in range(1, best["hidden_layers"] + 1)]
    nodes, tensors = structure(tmp / "tune2.onnx")
    check("the winner's widths are in the file", [d[0] for n, d in tensors if n.startswith("fc") and n.endswith("weight")][:-1] ==
          widths, (widths, tensors))
    check("and its ends", nodes[-1] == ("Softmax", "tail") and nodes[-2] == ("Gemm", "fc2"), nodes)
    config = tmp / "tune2.onnx.run" / "best.yaml"
    r = hone("train", NET, "--data", DATA, "--target", "label", "--config", config, "--progress", "none", "-o", tmp / "best.onnx")
    code("train --config best.yaml", r, 0)
    check("has the same structure", structure(tmp / "best.onnx") == (nodes, tensors), structure(tmp / "best.onnx"))
    check("and says the edit", b"hone.edits" in (tmp / "best.onnx").read_bytes() and
          b"hidden units=" in (tmp / "tune2.onnx").read_bytes())
    r = tune(tmp / "one.onnx", "--search", "hidden_units=8,24", "--search", "hidden_layers=1,2", "--sampler", "grid")
    code("one width, a grid", r, 0)
    check("four and trial 0", len(r.json["trials"]) == 5, r.json["trials"])
    r = tune(tmp / "only.onnx", "--search", "units_1=int:4..32", "--trials", "4", "--sampler", "random")
    code("units without a searched depth", r, 0)


def test_auto():
    r = tune(tmp / "auto.onnx", "--space", "auto", "--trials", "6")
    code("--space auto", r, 0)
    for name in ("lr", "batch_size", "weight_decay", "dropout", "ema", "hidden_layers", "hidden_units", "activation"):
        check(f"it searches {name}", name in r.json["space"], r.json["space"])
    check("trial 0 averages nothing", r.json["trials"][0]["params"]["ema"] == 0, r.json["trials"][0])
    s = tune(tmp / "swa.onnx", "--space", "auto", "--swa-start", "0.5", "--trials", "3")
    code("--space auto with an average of another kind", s, 0)
    check("searches no second one", "ema" not in s.json["space"], s.json["space"])
    told = [line for line in r.err.splitlines() if ": {type: " in line]
    check("and says so, an axis a line", len(told) == len(r.json["space"]), r.err)
    (tmp / "copied.yaml").write_text("\n".join(told) + "\n")
    again = tune(tmp / "copied.onnx", "--space", tmp / "copied.yaml", "--trials", "6")
    code("what it says is a space", again, 0)
    values = [[(t["params"], t["value"]) for t in j["trials"]] for j in (r.json, again.json)]
    check("the same one", values[0] == values[1])
    r = tune(tmp / "mixed.onnx", "--space", "auto", "--search", "ema=0,0.9", "--search", "batch_size=16,32", "--search", "hidden_layers=1..2", "--lr", "0.01",
             "--trials", "4")
    code("lines beside --space auto", r, 0)
    space = r.json["space"]
    check("are added, or stand for its own", set(space) == {"ema", "batch_size", "hidden_layers", "weight_decay", "dropout", "hidden_units", "activation"}
          and space["batch_size"]["choices"] == [16, 32], space)
    code("a deep model", hone("new", "4-12-6-3 tanh", "-o", tmp / "two.onnx"), 0)
    r = tune(tmp / "auto2.onnx", "--space", "auto", "--trials", "4", model=tmp / "two.onnx")
    code("layers of several widths", r, 0)
    check("one axis a layer", {"units_1", "units_2", "units_3"} <= set(r.json["space"]), r.json["space"])
    d = tune(tmp / "depth.onnx", "--space", "auto", "--search", "hidden_layers=1..4", "--trials", "3", model=tmp / "two.onnx")
    code("a depth of one's own", d, 0)
    check("has a width for each layer", "units_4" in d.json["space"], d.json["space"])
    w = tune(tmp / "width.onnx", "--space", "auto", "--search", "hidden_units=4..9", "--trials", "3", model=tmp / "two.onnx")
    check("one width for all, as asked", "hidden_units" in w.json["space"] and "units_1" not in w.json["space"], w.err)
    check("trial 0 fits in", r.json["trials"][0]["params"]["units_2"] == 6, r.json["trials"][0])
    r = tune(tmp / "auto3.onnx", "--space", "auto", "--trials", "3", model=tmp / "linear.onnx")
    code("a model without hidden layers", r, 0, "stay as they are")
    check("no knobs and no dropout", not {"hidden_units", "activation", "dropout"} & set(r.json["space"]), r.json["space"])


def test_tune_refusals():
    cases = [
        (["hidden_units=8,16", "units_1=8,16"], "together with hidden_units"),
        (["units_2=8,16"], "hidden_layers is not searched"),
        (["hidden_layers=1,2", "units_3=8,16"], "never 3 or more"),
        (["hidden_layers=int:0..3"], "from 1"),
        (["hidden_unit=8,16"], "did you mean 'hidden_units'"),
        (["activation=relu,tanhh"], "tanhh"),
        (["init=keep,freshly"], "freshly"),
        (["freeze_layers=int:0..5"], "at most 1 hidden layers"),
        (["hidden_units=0..8"], "from 1"),
    ]
    for search, says in cases:
        args = [a for s in search for a in ("--search", s)]
        code(f"{search}", tune(tmp / "no.onnx", *args, "--trials", "3"), 2, says)
    space = tmp / "bad.yaml"
    space.write_text("lr: {type: float, low: 1e-3, high: 1e-1}\nhidden_layers: {type: int, low: 1, high: 99}\n")
    code("an impossible bound", tune(tmp / "no.onnx", "--space", space, "--trials", "3"), 2, "bad.yaml line 2", "64")
    space.write_text("lr: {type: float, low: 1e-3, high: 1e-1}\n\nhiden_layers: {type: int, low: 1, high: 3}\n")
    code("a typo", tune(tmp / "no.onnx", "--space", space, "--trials", "3"), 2, "bad.yaml line 3", "did you mean 'hidden-layers'")
    code("with a fixed list", tune(tmp / "no.onnx", "--search", "hidden_layers=1,2", "--hidden-units", "8,4", "--trials", "3"), 2,
         "one number")
    r = tune(tmp / "no.onnx", "--search", "hidden_units=8,16", "--trials", "3", model=tmp / "linear.onnx")
    code("no hidden layers", r, 3, "no hidden layer")
    check("nothing written", not (tmp / "no.onnx").exists())


def test_tune_killed():
    space = tmp / "space.yaml"
    job = ["tune", NET, *TUNE, "--space", space, "--trials", "16", "--jobs", "2", "-o", tmp / "cut.onnx"]
    r, kills = random.Random(3), 0
    for _ in range(8):
        p = subprocess.Popen([str(a) for a in [HONE, *job]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            p.wait(timeout=r.uniform(0.05, 0.4))
            break
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            p.wait()
            kills += 1
    if not (tmp / "cut.onnx").exists():
        code("and to its end", hone(*job), 0)
    check(f"killed {kills} times and run again: the same bytes",
          (tmp / "cut.onnx").read_bytes() == (tmp / "tune1.onnx").read_bytes())


def test_runtime():
    """What leaves is what ONNX Runtime computes, for every recorded model that can be rebuilt."""
    try:
        import numpy as np
        import onnx
        import onnxruntime as ort
    except ImportError as e:
        print(f"ONNX Runtime part skipped: {e}")
        return
    options = ort.SessionOptions()
    options.log_severity_level = 4
    r, seen = np.random.default_rng(0), 0
    for path in sorted(MODELS.glob("*.onnx")):
        g = onnx.load(path).graph
        types = {1: np.float32, 11: np.float64}
        x = r.standard_normal((48, 6)).astype(types[g.input[0].type.tensor_type.elem_type])
        y = r.standard_normal((48, g.output[0].type.tensor_type.shape.dim[1].dim_value)).astype(np.float32)
        np.save(tmp / "x.npy", x)
        np.save(tmp / "y.npy", y)
        for args in (["--hidden-units", "7,5,9", "--activation", "tanh"], ["--hidden-layers", "1", "--activation", "silu"],
                     ["--activation", "relu", "--hidden-units", "6"]):
            out = tmp / "rt.onnx"
            run = hone("train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "2", "--force",
                       "--progress", "none", *args, "-o", out)
            if run.code == 3:
                continue
            code(f"{path.name} {args}", run, 0)
            onnx.checker.check_model(onnx.load(out), full_check=True)
            want = ort.InferenceSession(str(out), options, providers=["CPUExecutionProvider"]).run(None, {g.input[0].name: x})[0]
            code("predict", hone("predict", out, "--x", tmp / "x.npy", "-o", tmp / "p.npy", "--force"), 0)
            got = np.load(tmp / "p.npy").reshape(want.shape)
            check(f"{path.name} {args}: as ONNX Runtime", np.allclose(got, want, rtol=1e-5, atol=1e-5), abs(got - want).max())
            seen += 1
    check("most models can be rebuilt", seen >= 50, seen)
    rows = np.genfromtxt(DATA, delimiter=",", skip_header=1)[:, :4].astype(np.float32)
    np.save(tmp / "x.npy", rows)
    out = tmp / "tune1.onnx"
    onnx.checker.check_model(onnx.load(out), full_check=True)
    want = ort.InferenceSession(str(out), options, providers=["CPUExecutionProvider"]).run(None, {"x": rows})[0]
    code("predict", hone("predict", out, "--x", tmp / "x.npy", "-o", tmp / "p.npy", "--force"), 0)
    check("the tuned model: as ONNX Runtime", np.allclose(np.load(tmp / "p.npy"), want, rtol=1e-5, atol=1e-6))


make_data()
for test in [v for k, v in list(globals().items()) if k.startswith("test_")]:
    test()
_hone.finish("hidden", tmp)
