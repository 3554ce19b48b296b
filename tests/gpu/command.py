#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command on a GPU, without one (or, told a module, on the one that is there): the library finds a module whose device layer is the fake one (plain memory, cuDNN by its
formulas), so that everything between `hone train --device cuda` and the layer runs: loading, training, evaluation, prediction,
search, checkpoints with cuDNN's random states, interrupted runs that resume to the same bytes.

usage: command.py BUILD-FOLDER [MODULE]     MODULE: a libhone_cuda.so for the GPU of this machine
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

build = pathlib.Path(sys.argv[1]).resolve()
real = len(sys.argv) > 2
module = pathlib.Path(sys.argv[2]).resolve() if real else build / "gpu_fake_module/libhone_cuda.so"
bad = []
if not module.exists() or not (build / "hone").exists():
    print("skipped: the module is not built")
    sys.exit(77)
folder = pathlib.Path(tempfile.mkdtemp())
for place in [module, build / "libhone.so.0"] + ([] if real else [build / "gpu_fake_module/libcuda.so.1"]):
    shutil.copy(place, folder / place.name)
env = dict(os.environ, LD_LIBRARY_PATH=f"{folder}:{build}")  # the module is looked for beside the library: the copy
model, data = folder / "m.onnx", folder / "d.csv"


def start(*options):
    return subprocess.Popen([str(build / "hone"), *map(str, options)], env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hone(*options, code=0):
    p = start(*options)
    out, err = p.communicate(timeout=300)
    if p.returncode != code:
        bad.append(f"hone {' '.join(map(str, options))}: exit {p.returncode}, wanted {code}: {err[-500:]}")
    return out, err


def train(out, *options, epochs=6):
    text, _ = hone("train", model, "--data", data, "--target", "y", "--val-split", "0.2", "--seed", "3", "--optimizer", "sgd", "--epochs", epochs, "--force",
                   "--json", "--quiet", "-o", out, *options)
    return json.loads(text) if text else {"val": {"loss": None}, "device": None}


def near(what, a, b, tolerance=1e-5):
    if a is None or b is None or abs(a - b) > tolerance * max(1, abs(b)):
        bad.append(f"{what}: {a}, wanted {b}")


def table():
    rng = random.Random(1)
    lines = ["a,b,c,d,y"]
    for _ in range(500):
        x = [rng.gauss(0, 1) for _ in range(4)]
        lines.append(",".join(f"{v:.5f}" for v in x) + f",{0 if x[0] + x[1] > 0.5 else 1 if x[2] > 0 else 2}")
    data.write_text("\n".join(lines) + "\n")


def same_as_cpu():
    """Native kernels, and BatchNormalization by cuDNN: the CPU's result within rounding, masks included."""
    want = train("cpu.onnx", "--device", "cpu")
    for options in ([], ["--bn-impl", "native"], ["--bn-impl", "cudnn"]):
        got = train("gpu.onnx", "--device", "cuda", *options)
        near(f"validation loss, cuda {options}", got["val"]["loss"], want["val"]["loss"])
        if got["device"] != "cuda":
            bad.append(f"the device is {got['device']}")
    loss, rows = {}, {}
    for device in ("cpu", "cuda"):
        text, _ = hone("eval", "cpu.onnx", "--data", data, "--target", "y", "--device", device, "--json")
        loss[device] = json.loads(text)["loss"] if text else None
        hone("predict", "cpu.onnx", "--data", data, "--ignore", "y", "--device", device, "--force", "-o", f"{device}.csv")
        rows[device] = [float(v) for line in (folder / f"{device}.csv").read_text().split("\n")[1:] for v in line.split(",") if v]
    near("the loss of eval", loss["cuda"], loss["cpu"])
    if len(rows["cpu"]) != 500 * 3 or len(rows["cuda"]) != 500 * 3:
        bad.append(f"predict wrote {len(rows['cpu'])} and {len(rows['cuda'])} numbers, wanted 1500")
    for want, got in zip(rows["cpu"], rows["cuda"]):
        near("a prediction", got, want)


def cudnn_dropout():
    """Other masks than the CPU's, the same for the same seed, and the same bytes after any number of interruptions."""
    options = ["--device", "cuda", "--dropout-impl", "cudnn", "--bn-impl", "cudnn"]
    native = train("n.onnx", "--device", "cuda")
    if train("a.onnx", *options)["val"]["loss"] == native["val"]["loss"]:
        bad.append("cuDNN's dropout gave the native masks' result")
    train("b.onnx", *options)
    if (folder / "a.onnx").read_bytes() != (folder / "b.onnx").read_bytes():
        bad.append("two runs with the same seed differ")
    began = time.time()
    train("whole.onnx", *options, epochs=300)
    pause = max(0.15, (time.time() - began) / 4)  # longer than a start takes, so that every part gets on
    started = start("train", model, "--data", data, "--target", "y", "--val-split", "0.2", "--seed", "3", "--optimizer", "sgd", "--epochs", "300", "--quiet",
                    "-o", "parts.onnx", "--run-dir", "run", *options)
    stops = 0
    for _ in range(200):
        time.sleep(pause)
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=300)
        if started.returncode == 0:
            break
        if started.returncode != 128 + signal.SIGTERM:
            bad.append(f"an interrupted run: exit {started.returncode}")
            return
        stops += 1
        started = start("resume", "run", "--quiet")
    print(f"interrupted {stops} times")
    if (folder / "parts.onnx").read_bytes() != (folder / "whole.onnx").read_bytes():
        bad.append(f"a run interrupted {stops} times ended with other bytes")
    core = json.loads((folder / "run/run.json").read_text()).get("core", "")
    if "BatchNormalization cuDNN, Dropout cuDNN" not in core:
        bad.append(f"the run's record does not name the choices: '{core}'")


table()
hone("new", "4-16-16-3 relu batchnorm dropout=0.3", "-o", model, "--seed", "1")
doctor = json.loads(hone("doctor", "--json")[0] or "{}")
if doctor.get("gpu", {}).get("used") is not True or ("" if real else "fake; ") + "products fp32" not in doctor["gpu"].get("device", ""):
    bad.append(f"doctor: {doctor.get('gpu')}")
same_as_cpu()
cudnn_dropout()
hone("train", model, "--data", data, "--target", "y", "--device", "cuda:1", "-o", "x.onnx", code=5)
hone("tune", model, "--data", data, "--target", "y", "--val-split", "0.2", "--search", "lr=log:1e-3..1e-1", "--trials", "3", "--sampler", "random", "--epochs", "3",
     "--device", "cuda", "--dropout-impl", "cudnn", "--jobs", "2", "-o", "t.onnx")
shutil.rmtree(folder)
print("\n".join(bad) if bad else f"the command runs on the {'GPU' if real else 'fake device'}")
sys.exit(1 if bad else 0)
