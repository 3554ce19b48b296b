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
    for _ in range(6):
        try:
            p.wait(timeout=whole * r.uniform(0.1, 0.6))
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
    check("killed and continued: the same bytes", kills and out.exists() and out.read_bytes() == (tmp / "whole.onnx").read_bytes(),
          kills)


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


make_data()
for test in [v for k, v in list(globals().items()) if k.startswith("test_")]:
    test()
_hone.finish("hidden", tmp)
