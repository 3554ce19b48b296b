#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the command can do with a model, on a GPU (or on the fake device) beside the CPU: half-typed and quantised models, weights
that a model computes, embeddings, float64; pre-training, averages, schedules, clipping, augmentation, lr-find; searches with
folds, pre-training, averages, refits and ensembles; verification; runs that are killed and resumed; what is refused, and by which
words. Losses agree with the CPU's within rounding (`near`), resumed runs and searches by many workers to the byte.

usage: features.py BUILD-FOLDER [MODULE]     HN_TEST_PART=I/N: the I-th of N shares of the cases; HN_TEST_ONLY="NAME …": these alone; see
_gpu.py
"""
import json
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback

import _models
from _gpu import DATA, ask, bad, build, env, finish, folder, hone, interrupted, near, real, spent, start, table

CLOSE = 1e-3 if real else 1e-5  # some epochs in fp32, added up in another order
ROUNDED = 5e-3  # where the CPU's and the GPU's last digits may round to different halves or steps


def model_at(place):
    """A model of tests/data."""
    name = place.replace("/", "_") + ".onnx"
    shutil.copy(DATA / f"{place}.onnx", folder / name)
    return name


def write_npy(name, rows, kind="e"):
    """An array of halves (e), floats (f) or bytes (B)."""
    head = f"{{'descr': '{'|u1' if kind == 'B' else f'<f{struct.calcsize(kind)}'}', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    body = b"".join(struct.pack(f"<{len(row)}{kind}", *row) for row in rows)
    (folder / name).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body)


def numbers(name, inputs, outputs, rows=240):
    """A table of numbers, and the same inputs as halves: outputs follow from inputs."""
    rng, lines, halves = random.Random(inputs), [",".join([f"x{i}" for i in range(inputs)] + [f"y{i}" for i in range(outputs)])], []
    for _ in range(rows):
        x = [round(rng.gauss(0, 1), 2) for _ in range(inputs)]
        y = [math.tanh(x[i % inputs] - x[(i + 1) % inputs]) + 0.2 * i for i in range(outputs)]
        lines.append(",".join(f"{v:.4f}" for v in x + y))
        halves.append(x)
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    write_npy(f"{name}.npy", halves)
    return ["--data", f"{name}.csv", *(o for i in range(outputs) for o in ("--target", f"y{i}"))]


def new(spec, name="m.onnx"):
    hone("new", spec, "-o", name, "--seed", "1", "--force")
    return name


def classes():
    """Three classes of four numbers, 500 rows."""
    table(folder / "c.csv")
    return ["--data", "c.csv", "--target", "y"]


def curve(what, got, want, close, keys=("train_loss", "val_loss", "lr")):
    if len(got.get("curve", [])) != len(want.get("curve", [0])):
        bad.append(f"{what}: {len(got.get('curve', []))} epochs, wanted {len(want.get('curve', [0]))}")
    for i, (a, b) in enumerate(zip(got.get("curve", []), want.get("curve", []))):
        for key in keys:
            if a.get(key) is not None or b.get(key) is not None:
                near(f"{what}: {key} of epoch {i}", a.get(key), b.get(key), close)


def both(what, model, *options, close=CLOSE, epochs=4):
    """Trained on both devices: the same curve. What each said; models: cpu.onnx, cuda.onnx."""
    said = []
    for device in ("cpu", "cuda"):
        said.append(ask("train", model, *options, "--val-split", "0.2", "--seed", "3", "--epochs", epochs, "--save", "last", "--device", device, "--force", "-o",
                        f"{device}.onnx"))
    if said[1].get("device") != "cuda":
        bad.append(f"{what}: the device is {said[1].get('device')}")
    curve(what, said[1], said[0], close)
    losses = [e["train_loss"] for e in said[0].get("curve", []) if e.get("train_loss") is not None]
    if len(losses) < epochs or not losses[-1] < losses[0]:
        bad.append(f"{what}: nothing was learned: {losses}")
    return said


def judged(what, data, *options, model="cuda.onnx", close=CLOSE):
    """The same file's loss and predictions on both devices."""
    loss = [ask("eval", model, *data, *options, "--device", d).get("loss") for d in ("cpu", "cuda")]
    near(f"{what}: loss of the file", loss[1], loss[0], close)
    found = []
    for d in ("cpu", "cuda"):
        hone("predict", model, *data[:2], *(o for t in data[3::2] for o in ("--ignore", t)), *options, "--device", d, "--force", "-o", f"p_{d}.csv")
        text = (folder / f"p_{d}.csv").read_text().split("\n")[1:] if (folder / f"p_{d}.csv").exists() else []
        found.append([float(v) for line in text for v in line.split(",") if v])
    if len(found[0]) < 100 or len(found[0]) != len(found[1]):
        bad.append(f"{what}: predict wrote {len(found[0])} and {len(found[1])} numbers")
    for a, b in zip(found[1], found[0]):
        near(f"{what}: a prediction", a, b, close)


def searched(what, model, *options, close=CLOSE, unlike=()):
    """By the CPU, by one worker and by many on the GPU: trials near the CPU's, the same ones and the same file for any number of
    workers. What the last said."""
    said = []
    for i, more in enumerate((["--device", "cpu"], ["--device", "cuda", "--jobs", "1"], ["--device", "cuda"])):
        said.append(ask("tune", model, *options, "--sampler", "random", "--lag", "4", "--seed", "5", *more, "--force", "-o", f"s{i}.onnx"))
    values = [[t.get("value") for t in s.get("trials", [])] for s in said]
    for a, b in zip(values[1], values[0]):
        if a is not None or b is not None:
            near(f"{what}: a trial", a, b, close)
    if not values[1] or values[1] != values[2] or (folder / "s1.onnx").read_bytes() != (folder / "s2.onnx").read_bytes():
        bad.append(f"{what}: many workers found something else than one: {values[1]} {values[2]}")
    return said


def told(what, code, words, *options):
    """It ends so, with these words, and no model is written."""
    _, err = hone(*options, "--force", "-o", "none.onnx", code=code)
    for word in words:
        if word not in err:
            bad.append(f"{what}: '{word}' is not in what it said: {err[-400:]}")
    if (folder / "none.onnx").exists():
        bad.append(f"{what}: a model was written all the same")
        (folder / "none.onnx").unlink()


# So much work that --device auto asks for a GPU, of which nearly nothing is done.
LITTLE = ["--val-split", "0.2", "--batch-size", "500", "--epochs", "1000000000", "--early-stop-patience", "1", "--lr", "1e-30"]

# ---- models ----------------------------------------------------------------------------------------------------------------------

SGD = ["--optimizer", "sgd", "--lr", "0.05"]
# A bias in front of BatchNormalization has a gradient of 0 but for rounding, of which Adam and RMSprop make whole steps: not with this.
STEADY = ["--eps", "0.01"]


def half_float16():
    data = numbers("h", 6, 3)
    for name in ("batchnorm_f16", "dynamo_f16"):
        both(name, model_at(f"half/{name}"), *data, *SGD)
        judged(name, data, close=ROUNDED)
    both("float16, an average", "half_batchnorm_f16.onnx", *data, *SGD, "--ema", "0.8", "--clip-norm", "1")
    near("float16, the average's file", ask("eval", "cuda.onnx", *data).get("loss"), ask("eval", "cpu.onnx", *data).get("loss"), ROUNDED)


def half_bfloat16():
    data = numbers("h", 6, 3)
    for name in ("batchnorm_bf16", "layernorm_bf16"):
        both(name, model_at(f"half/{name}"), *data, *SGD)
        judged(name, data, close=ROUNDED)


def half_converted():
    """float16 with Casts, float32 at the ends or in the middle; a search of one."""
    data = numbers("h", 6, 3)
    for name in ("converted_io", "converted_mixed", "converted_norm"):
        both(name, model_at(f"half/{name}"), *data, *SGD)
        judged(name, data, close=ROUNDED)
    searched("a search of a float16 model", "half_converted_io.onnx", *data, "--val-split", "0.2", "--trials", "4", "--epochs", "3", "--search", "lr=log:1e-3..1e-1",
             close=ROUNDED)


def half_columns():
    """Rows that are halves themselves, which the device converts."""
    numbers("h", 6, 3)
    write_npy("t.npy", [[math.sin(i), math.cos(i), i % 3 - 1] for i in range(240)])
    new("6-8-3 tanh batchnorm", "n.onnx")
    for model in (model_at("half/plain_f16"), "n.onnx"):
        both(f"halves into {model}", model, "--x", "h.npy", "--y", "t.npy", "--loss", "mse", *SGD)
        near(f"halves, eval of {model}", *(ask("eval", "cuda.onnx", "--x", "h.npy", "--y", "t.npy", "--device", d).get("loss") for d in ("cuda", "cpu")))


def byte_columns():
    """Rows of bytes with a factor, as of images: products have them gathered, an autoencoder's loss reads them where they lie."""
    rng = random.Random(9)
    rows = [[rng.randrange(256) for _ in range(30)] for _ in range(300)]
    write_npy("b.npy", rows, "B")
    write_npy("bt.npy", [[(row[0] - row[1]) / 256, row[2] / 256] for row in rows], "f")
    new("30-12-8-2 tanh", "b.onnx")
    data = ["--x", "b.npy", "--y", "bt.npy", "--x-scale", "0.00392156862745098", "--loss", "mse", *SGD]
    both("bytes", "b.onnx", *data)
    cpu, cuda = both("bytes, pre-trained", "b.onnx", *data, "--pretrain", "3", "--pretrain-noise", "0")
    for a, b in zip(cuda["pretrain"]["layers"], cpu["pretrain"]["layers"]):
        near("bytes: error of an autoencoder", a["after"], b["after"], CLOSE)
    near("bytes, eval", *(ask("eval", "cuda.onnx", *data[:-4], "--device", d).get("loss") for d in ("cuda", "cpu")))


def computed():
    for name in ("weight_norm", "masked", "low_rank", "spectral_hook_dynamo", "standard", "scaled", "weight_norm_f64"):
        model = model_at(f"computed/{name}")
        shapes = ask("inspect", model)
        data = numbers("w", shapes["inputs"][0]["dims"][1], shapes["outputs"][0]["dims"][1])
        both(name, model, *data, *SGD, "--ema", "0.8")
        judged(name, data)


def computed_searched():
    model = model_at("computed/weight_norm")
    shapes = ask("inspect", model)
    data = numbers("w", shapes["inputs"][0]["dims"][1], shapes["outputs"][0]["dims"][1])
    searched("a search of weight_norm", model, *data, "--folds", "3", "--trials", "4", "--epochs", "3", "--search", "lr=log:1e-3..1e-1", "--search", "batch_size=16,50")
    found = [ask("lr-find", model, *data, "--device", d, "--lr-to", "0.1", "--steps", "40").get("points", []) for d in ("cpu", "cuda")]
    if len(found[0]) < 10 or len(found[0]) != len(found[1]):
        bad.append(f"lr-find of weight_norm: {len(found[0])} and {len(found[1])} points")
    for a, b in zip(found[1], found[0]):
        near("lr-find of weight_norm", a["loss"], b["loss"], CLOSE)


def computed_large():
    """Layers for the library's products, whose weights the graph computes anew in every step, or which are float16 in the file; in
    fp32 as on the CPU, with operands rounded or turned (--math) near it."""
    rng = random.Random(6)
    lines = [",".join([f"x{i}" for i in range(64)] + ["y"])]
    for _ in range(300):
        x = [rng.gauss(0, 1) for _ in range(64)]
        lines.append(",".join(f"{v:.4f}" for v in x) + f",{0 if x[0] + x[1] > 0.5 else 1 if x[2] > 0 else 2}")
    (folder / "l.csv").write_text("\n".join(lines) + "\n")
    data = ["--data", "l.csv", "--target", "y", "--optimizer", "sgd", "--lr", "0.03"]
    for name, made in (("normed", _models.layers([64, 1056, 16, 3], normed=True)), ("halves", _models.layers([64, 1056, 16, 3], kind=_models.HALF))):
        (folder / f"{name}.onnx").write_bytes(made)
        want, _ = both(f"large, {name}", f"{name}.onnx", *data)
        for math_ in ("tf32", "bf16"):
            got = ask("train", f"{name}.onnx", *data, "--val-split", "0.2", "--seed", "3", "--epochs", "4", "--save", "last", "--device", "cuda", "--math", math_, "--force", "-o", "l.onnx")
            curve(f"large, {name}, --math {math_}", got, want, 2e-2)


def wide():
    """More inputs than a launch gathers, several outputs that learn; more losses than the GPU takes are the CPU's."""
    rng = random.Random(7)
    rows = [[rng.gauss(0, 1) for _ in range(20)] for _ in range(200)]
    for i in range(20):
        write_npy(f"x{i}.npy", [[row[i]] for row in rows], "f")
    for i in range(17):
        write_npy(f"y{i}.npy", [[math.sin(row[i % 3]) - row[1]] for row in rows], "f")
    files = {}
    for inputs, outputs, hidden in ((20, 3, 8), (3, 17, 2000)):
        (folder / f"wide{outputs}.onnx").write_bytes(_models.many(inputs, outputs, hidden))
        files[outputs] = [o for i in range(inputs) for o in ("--x", f"x{i}=x{i}.npy")]
        files[outputs] += [o for i in range(outputs) for o in ("--y", f"y{i}=y{i}.npy", "--loss", f"y{i}=mse")]
    both("20 inputs and 3 outputs", "wide3.onnx", *files[3], *SGD)
    told("17 losses", 3, ["17 losses", "16", "--device cpu"], "train", "wide17.onnx", *files[17], "--epochs", "1", "--quiet", "--device", "cuda")
    _, err = hone("train", "wide17.onnx", *files[17], *LITTLE, "--force", "-o", "auto.onnx")
    if "17 losses" not in err:
        bad.append(f"--device auto went to the CPU without a word: {err[-300:]}")


def quantised():
    for name in ("gemm_u16_microsoft", "torch_fake", "uint8_in", "gemm_i8_channel"):
        model = model_at(f"quant/{name}")
        shapes = ask("inspect", model)
        data = numbers("q", shapes["inputs"][0]["dims"][1], shapes["outputs"][0]["dims"][1])
        # a rounding near a tie may go the other way: a few rows see it
        both(name, model, *data, "--optimizer", "sgd", "--lr", "0.01", close=ROUNDED)
        near(f"{name}: loss of the file", *(ask("eval", "cuda.onnx", *data, "--device", d).get("loss") for d in ("cuda", "cpu")), ROUNDED)


def verified():
    """Test vectors, on both devices; wrong ones are found on both."""
    for name in ("gemm_u8", "matmul_i8_channel", "uint8_in"):
        model = model_at(f"quant/{name}")
        for device in ("cpu", "cuda"):
            said = ask("verify", model, DATA / "quant" / name, "--device", device)
            if said.get("passed") != 1 or said.get("cases") != 1:
                bad.append(f"verify {name} on {device}: {said}")
    hone("verify", "quant_gemm_u8.onnx", DATA / "quant" / "gemm_i8_channel", "--device", "cuda", code=1)


def embedded():
    """Indices beside numbers, shared and tied tables; gathered, too."""
    rng = random.Random(5)
    model = model_at("embedding/columns")
    shapes = ask("inspect", model)
    widths = [i["dims"][1] for i in shapes["inputs"]]
    names = [f"i{k}" for k in range(widths[0])] + [f"x{k}" for k in range(widths[1])]
    lines = [",".join([*names, "y"])]
    for _ in range(240):
        index, x = [rng.randrange(2) for _ in range(widths[0])], [rng.gauss(0, 1) for _ in range(widths[1])]
        lines.append(",".join(map(str, index)) + "," + ",".join(f"{v:.4f}" for v in x) + f",{index[0] + (x[0] > 0)}")
    (folder / "e.csv").write_text("\n".join(lines) + "\n")
    data = ["--data", "e.csv", "--target", "y"]
    inputs = [o for k, i in enumerate(shapes["inputs"]) for o in ("--input", i["name"] + "=" + ",".join(names[: widths[0]] if k == 0 else names[widths[0] :]))]
    both("embeddings", model, *data, *inputs, "--optimizer", "adam", "--lr", "0.02", *STEADY, "--augment", "noise=0.1")
    judged("embeddings", data, *inputs)
    searched("a search with embeddings", model, *data, *inputs, *STEADY, "--val-split", "0.2", "--trials", "4", "--epochs", "3", "--search", "lr=log:1e-3..1e-1")


# ---- training --------------------------------------------------------------------------------------------------------------------

def schedules():
    """Rates that follow the epochs, the steps, the losses; accumulation, penalties, clipping, freezing."""
    data = classes()
    new("4-16-12-3 tanh batchnorm dropout=0.2")
    new("4-16-12-3 tanh", "plain.onnx")
    for options in (["--lr-schedule", "cosine", "--warmup", "20", "--clip-norm", "0.5", "--optimizer", "adamw", "--weight-decay", "0.05", *STEADY],
                    ["--lr-schedule", "plateau", "--lr-patience", "0", "--lr-threshold", "0.2", "--optimizer", "momentum", "--no-decay", "norm", "--weight-decay", "0.01"],
                    ["--lr-schedule", "onecycle", "--lr-max", "0.1", "--accumulate", "3", "--l1", "0.001", "--optimizer", "nesterov"],
                    ["--lr-schedule", "multistep", "--lr-milestones", "2,3", "--optimizer", "rmsprop", *STEADY, "--freeze-layers", "1"],
                    ["--lr-schedule", "poly", "--optimizer", "adagrad", "--batchnorm", "freeze", "--class-weights", "balanced"]):
        both(f"{options[1]}, {options[options.index('--optimizer') + 1]}", "plain.onnx" if "--l1" in options else "m.onnx", *data, "--lr", "0.01", *options, epochs=6)
    rates = [e.get("lr") for e in ask("train", "m.onnx", *data, "--val-split", "0.2", "--lr-schedule", "plateau", "--lr-patience", "0", "--lr-threshold", "0.5", "--epochs", "4",
                                      "--device", "cuda", "--force", "-o", "x.onnx").get("curve", [])]
    if len({r for r in rates if r}) < 2:
        bad.append(f"plateau did not lower the rate: {rates}")


def augmented():
    """Noise and mixup with weights and an average; scaled inputs and targets, in the file."""
    data = classes()
    new("4-16-3 relu batchnorm")
    both("augmented", "m.onnx", *data, *SGD, "--augment", "noise=0.1,mixup=0.4", "--ema", "0.9", "--scale", "standard")
    both("weighted and noisy", "m.onnx", *data, *SGD, "--augment", "noise=0.2", "--class-weights", "2,1,0.5")
    judged("augmented", data)
    new("4-8-1 gelu", "r.onnx")
    data = numbers("r", 4, 1)
    for how in ("standard", "minmax"):
        both(f"{how} scales", "r.onnx", *data, *SGD, "--scale", how, "--scale-target", how, "--loss", "huber", "--metric", "mae,r2")
        judged(f"{how} scales", data)


def grown():
    """A rebuilt graph; mean and median of missing cells, text as columns; loss of two outputs' worth in one."""
    rng = random.Random(8)
    lines = ["a,kind,b,y"]
    for _ in range(300):
        a, kind, b = rng.gauss(0, 1), rng.choice("pqr"), rng.gauss(0, 2)
        lines.append(f"{'' if rng.random() < 0.1 else f'{a:.4f}'},{kind},{b:.4f},{'yes' if a + (kind == 'p') > 0.3 else 'no'}")
    (folder / "g.csv").write_text("\n".join(lines) + "\n")
    new("5-8-2 relu", "g.onnx")
    data = ["--data", "g.csv", "--target", "y"]
    how = ["--encode", "kind=onehot", "--impute", "median", "--scale", "standard"]
    both("a rebuilt graph", "g.onnx", *data, *how, *SGD, "--hidden-units", "12,6", "--activation", "silu", "--batchnorm", "insert", "--dropout", "0.1", "--init", "he", "--metric", "auc")
    near("a rebuilt graph: loss of the file", *(ask("eval", "cuda.onnx", *data, "--device", d).get("loss") for d in ("cuda", "cpu")), CLOSE)


def averages():
    """By epoch and by step, from their first epoch on: the curve, and the file's loss."""
    data = classes()
    new("4-16-12-3 relu batchnorm dropout=0.2")
    for options in (["--swa-start", "2", "--swa-lr", "0.02", "--swa-anneal", "2"], ["--swa-start", "0.5", "--lr-schedule", "cosine"], ["--ema", "0.95", "--accumulate", "2"]):
        both(f"{options[0]} {options[1]}", "m.onnx", *data, *SGD, *options, epochs=6)
        near(f"{options[0]} {options[1]}: loss of the file", *(ask("eval", f"{d}.onnx", *data, "--device", d).get("loss") for d in ("cuda", "cpu")), CLOSE)
    searched("a search of averages", "m.onnx", *data, *STEADY, "--val-split", "0.2", "--trials", "5", "--epochs", "4", "--search", "swa_start=0,0.5", "--search", "lr=log:1e-2..1e-1")
    searched("a search of moving averages", "m.onnx", *data, *STEADY, "--folds", "3", "--trials", "4", "--epochs", "3", "--search", "ema=0,0.9", "--search", "lr=log:1e-2..1e-1")


def pretrained():
    """Layer by layer, on the training rows or others, noisy inputs; with an average behind it; in a search."""
    data = classes()
    lines = (folder / "c.csv").read_text().split()
    (folder / "more.csv").write_text("\n".join(",".join(line.split(",")[:4]) for line in lines[:300]) + "\n")
    new("4-12-8-3 tanh batchnorm")
    for options in (["--pretrain-data", "more.csv", "--pretrain-noise", "0.3"], ["--ema", "0.9", "--pretrain-noise", "0", "--pretrain-lr", "0.1"]):
        what = f"pre-training, {options[0]}"
        cpu, cuda = both(what, "m.onnx", *data, *SGD, "--scale", "standard", "--pretrain", "3", *options)
        layers = [s.get("pretrain", {}).get("layers", []) for s in (cpu, cuda)]
        if len(layers[0]) != 2 or len(layers[1]) != 2:
            bad.append(f"{what}: layers {layers}")
        for a, b in zip(layers[1], layers[0]):
            near(f"{what}: error before", a["before"], b["before"], CLOSE)
            near(f"{what}: error after", a["after"], b["after"], CLOSE)
            if not a["after"] < a["before"]:
                bad.append(f"{what}: it restores no better: {a}")
    half = model_at("half/plain_f16")
    both("pre-training of a float16 model", half, *numbers("h", 6, 3), *SGD, "--pretrain", "2")
    searched("a search of pre-training", "m.onnx", *data, *STEADY, "--folds", "3", "--trials", "4", "--epochs", "2", "--search", "pretrain=0,3", "--search", "lr=log:1e-2..1e-1")


def tested_rates():
    """lr-find: the points, the suggestion; a page; with augmentation and weights."""
    data = classes()
    new("4-16-3 relu batchnorm dropout=0.1")
    for options in (["--optimizer", "adam"], ["--optimizer", "sgd", "--augment", "mixup=0.3", "--clip-norm", "1"]):
        said = [ask("lr-find", "m.onnx", *data, *options, "--lr-to", "0.1", "--steps", "60", "--device", d, "--seed", "2", "--force", "-o", f"lr_{d}.html") for d in ("cpu", "cuda")]
        points = [s.get("points", []) for s in said]
        if len(points[0]) < 20 or len(points[0]) != len(points[1]) or said[1].get("device") != "cuda":
            bad.append(f"lr-find {options}: {len(points[0])} and {len(points[1])} points on {said[1].get('device')}")
        for a, b in zip(points[1], points[0]):
            near(f"lr-find {options}: a loss", a["loss"], b["loss"], CLOSE)
    hone("lr-find", model_at("half/batchnorm_bf16"), *numbers("h", 6, 3), "--device", "cuda", "--steps", "30", "--quiet")


# ---- searches --------------------------------------------------------------------------------------------------------------------

def ensembles():
    """Folds, scales, the average of the best trials as one graph; the best one trained again; folds of folds."""
    data = classes()
    new("4-12-3 relu softmax")
    few = [*data, "--scale", "standard", "--folds", "3", "--test-split", "0.2", "--trials", "4", "--epochs", "3", "--search", "lr=log:1e-2..1e-1", "--search", "batch_size=16,64"]
    said = searched("an ensemble", "m.onnx", *few, "--ensemble", "2")
    members = [s.get("ensemble", {}).get("members") for s in said]
    if not members[0] or members[0] != members[1] or members[1] != members[2]:
        bad.append(f"an ensemble of other members: {members}")
    near("the ensemble's file", *(ask("eval", "s2.onnx", *data, "--device", d).get("loss") for d in ("cuda", "cpu")), CLOSE)
    shutil.copy(folder / "s2.onnx", folder / "average.onnx")
    both("an ensemble trained on", "average.onnx", *data, *SGD)
    judged("an ensemble trained on", data)
    for refit in ("all", "train"):
        said = searched(f"--refit {refit}", "m.onnx", *few, "--refit", refit)
        near(f"--refit {refit}: loss of the file", *(ask("eval", f"s{i}.onnx", *data).get("loss") for i in (2, 0)), CLOSE)
    searched("folds of folds", "m.onnx", *few[:-2], "--nested", "2", "--class-weights", "balanced")
    searched("other layers", "m.onnx", *few[:4], "--val-split", "0.2", "--trials", "4", "--epochs", "2", "--search", "hidden_layers=int:1..2", "--search", "hidden_units=int:4..24")


def refined():
    """Samplers that look at results, a pruner: the same search by one worker and by many."""
    data = classes()
    new("4-12-3 relu batchnorm")
    for sampler in ("gp", "tpe"):
        files = []
        for i, jobs in enumerate((["--jobs", "1"], [])):
            hone("tune", "m.onnx", *data, "--val-split", "0.2", "--trials", "8", "--epochs", "4", "--sampler", sampler, "--lag", "2", "--pruner", "hyperband", "--search",
                 "lr=log:1e-3..1e-1", "--search", "weight_decay=log:1e-6..1e-2", "--device", "cuda", *jobs, "--quiet", "--force", "-o", f"t{i}.onnx")
            files.append((folder / f"t{i}.onnx").read_bytes() if (folder / f"t{i}.onnx").exists() else i)
        if files[0] != files[1]:
            bad.append(f"{sampler}: many workers found another model than one")


# ---- the same bytes --------------------------------------------------------------------------------------------------------------

def killed():
    """Stopped twice, without a word and with one: averages by step and by epoch, mixup, dropout; a half-typed model; pre-training."""
    both_ways = (signal.SIGKILL, signal.SIGTERM)
    data = classes()
    long = ["--device", "cuda", "--val-split", "0.2", "--seed", "4", "--epochs", "150", "--lr-schedule", "plateau", "--lr-patience", "3", "--augment", "noise=0.05,mixup=0.3"]
    new("4-16-12-3 tanh batchnorm dropout=0.2")
    stops = interrupted("a moving average", both_ways, "m.onnx", *data, "--optimizer", "adam", "--ema", "0.95", "--accumulate", "2", *long)
    stops += interrupted("an average of epochs", both_ways, "m.onnx", *data, "--optimizer", "momentum", "--swa-start", "2", "--clip-norm", "1", *long)
    stops += interrupted("a half-typed model", both_ways, model_at("half/layernorm_bf16"), *numbers("h", 6, 3), "--optimizer", "adamw", *long[:-2])
    stops += interrupted("pre-training", both_ways, "m.onnx", *data, "--optimizer", "adam", "--pretrain", "60", "--dropout-impl", "cudnn", "--bn-impl", "cudnn", *long[:5],
                         "4", "--epochs", "3")
    print(f"stopped {stops} times")
    if stops == 0:
        bad.append("no run was stopped: each had ended before")


def search_killed():
    """A search stopped in the middle, without a word or with one, and resumed: the model of the search nobody stopped."""
    few = [new("4-12-3 relu"), *classes(), "--folds", "2", "--trials", "20", "--epochs", "6", "--sampler", "tpe", "--lag", "4", "--jobs", "4", "--search", "lr=log:1e-3..1e-1",
           "--search", "ema=0,0.9", "--device", "cuda", "--force"]
    hone("tune", *few, "--quiet", "-o", "whole.onnx")
    for sent in (signal.SIGKILL, signal.SIGTERM):
        p = start("tune", *few, "--progress", "json", "-o", "cut.onnx")
        seen = 0
        for line in p.stderr:
            seen += '"event":"trial"' in line
            if seen == 3:
                p.send_signal(sent)
                break
        p.communicate(timeout=300)
        if p.returncode not in (0, -sent, 128 + sent):
            bad.append(f"a search that was sent {sent!r}: exit {p.returncode} behind {seen} trials")
        if p.returncode:
            hone("resume", "cut.onnx.run", "--quiet")
        if (folder / "cut.onnx").read_bytes() != (folder / "whole.onnx").read_bytes():
            bad.append(f"a search stopped by {sent!r} and resumed found another model")
        shutil.rmtree(folder / "cut.onnx.run", ignore_errors=True)


# ---- what is asked for -----------------------------------------------------------------------------------------------------------

def asked():
    """Devices and precisions by name; what is refused says what and why."""
    data = classes()
    new("4-64-160-3 relu batchnorm")
    one = [*data, "--epochs", "1", "--quiet"]
    exact = ask("train", "m.onnx", *data, "--val-split", "0.2", "--epochs", "2", "--device", "cuda", "--force", "-o", "x.onnx")
    for math_ in ("tf32", "bf16"):  # small layers: in fp32 anyway
        said = ask("train", "m.onnx", *data, "--val-split", "0.2", "--epochs", "2", "--device", "cuda:0", "--math", math_, "--force", "-o", "y.onnx")
        near(f"--math {math_}", said.get("val", {}).get("loss"), exact.get("val", {}).get("loss"))
        told(f"--math {math_} on the CPU", 2, [math_, "--device cuda"], "train", "m.onnx", *one, "--math", math_, "--device", "cpu")
        told(f"--math {math_} of float64", 2, [math_, "float64"], "train", model_at("computed/weight_norm_f64"), *numbers("w", 6, 3), "--epochs", "1", "--quiet", "--math", math_,
             "--device", "cuda")
    for device in ("cuda:99", "cuda:65536", "cuda:4294967296"):
        told(f"--device {device}", 5, [device.split(":")[1]], "train", "m.onnx", *one, "--device", device)
    made = folder / "asked"
    for command in (["eval", "m.onnx", *data], ["predict", "m.onnx", "--data", "c.csv", "--ignore", "y", "--force", "-o", "p.csv"], ["lr-find", "m.onnx", *data, "--steps", "10"],
                    ["verify", model_at("quant/gemm_u8"), DATA / "quant" / "gemm_u8"], ["train", "m.onnx", *data, "--dry-run", "--force", "-o", "none.onnx"]):
        for device in ("cpu", "auto", "cuda"):  # the fake device tells when it is closed
            made.unlink(missing_ok=True)
            env["HONE_FAKE_COUNTS"] = str(made)
            hone(*command, "--device", device, "--quiet")
            if not real and made.exists() != (device == "cuda"):
                bad.append(f"{command[0]} --device {device} {'used' if made.exists() else 'did not use'} the GPU")
    del env["HONE_FAKE_COUNTS"]
    for device in ("gpu", "cuda:", "cuda:-1", "cuda0"):
        told(f"--device {device}", 2, [device], "train", "m.onnx", *one, "--device", device)


def rounded():
    """Layers for tensor cores: near the exact result, with the operands in the forms that --math stands for."""
    data = classes()
    new("4-1056-16-3 relu batchnorm")
    exact = ask("train", "m.onnx", *data, *SGD, "--val-split", "0.2", "--epochs", "2", "--device", "cpu", "--force", "-o", "x.onnx")
    for math_ in ("tf32", "bf16"):
        said = ask("train", "m.onnx", *data, *SGD, "--val-split", "0.2", "--epochs", "2", "--ema", "0.5", "--device", "cuda", "--math", math_, "--force", "-o", f"{math_}.onnx")
        plain = ask("train", "m.onnx", *data, *SGD, "--val-split", "0.2", "--epochs", "2", "--device", "cuda", "--math", math_, "--force", "-o", f"{math_}.onnx")
        near(f"--math {math_}, large layers", plain.get("val", {}).get("loss"), exact.get("val", {}).get("loss"), 2e-2)
        if not said.get("val", {}).get("loss"):
            bad.append(f"--math {math_} with an average: {said}")


def custom():
    """A plug-in's operator is the CPU's alone: refused by its node's name on a GPU, left to the CPU by auto, which says so."""
    root = DATA.parent.parent
    made = subprocess.run(["cc", "-std=c11", "-O1", "-shared", "-fPIC", f"-I{root / 'plugin'}", f"-I{root / 'ops' / 'base'}", "-o", str(folder / "snake.so"),
                           str(root / "examples" / "plugins" / "snake.c"), "-lm"], capture_output=True, text=True)
    if made.returncode != 0:
        bad.append(f"the example plug-in does not build: {made.stderr[-300:]}")
    data = [*classes(), "--plugin", "./snake.so"]
    (folder / "s.onnx").write_bytes(_models.layers([4, 64, 160, 3], activation=("Snake", "hone.example")))
    words = ["snake_a0", "plug-in", "--device cpu"]
    for command in (["train"], ["eval"], ["lr-find"], ["predict", "-o", "p.csv", "--force"], ["tune", "--val-split", "0.2", "--trials", "2", "--search", "lr=0.1,0.01", "-o", "t.onnx"]):
        rest = ["--ignore", "y", *data[:2], *data[4:]] if command[0] == "predict" else data
        _, err = hone(command[0], "s.onnx", *rest, "--device", "cuda", "--quiet", *command[1:], *(["-o", "o.onnx"] if command == ["train"] else []), code=3)
        if not all(word in err for word in words):
            bad.append(f"{command[0]} with a plug-in's operator: {words} are not in {err[-300:]}")
    _, err = hone("train", "s.onnx", *data, *LITTLE, "--force", "-o", "auto.onnx")
    if "plug-in" not in err:
        bad.append(f"--device auto went to the CPU without a word: {err[-300:]}")


def short():
    """A device without the memory: said where it was asked for, and left to the CPU by auto, whatever it was that found no room: a step's
    values, the evaluation's, the outputs of a call. The fake device has as much as it is told."""
    data = classes()
    new("4-64-160-3 relu", "w.onnx")
    hone("train", "w.onnx", *data, *LITTLE, "--device", "cpu", "--quiet", "--force", "-o", "cpu.onnx")
    for room in (100000, 800000, 8000000):
        env["HONE_FAKE_BYTES"] = str(room)
        told(f"{room} bytes of memory", 5, ["memory"], "train", "w.onnx", *data, *LITTLE, "--quiet", "--device", "cuda")
        text, err = hone("train", "w.onnx", *data, *LITTLE, "--json", "--force", "-o", "auto.onnx")
        said = json.loads(text or "{}")
        if said.get("device") != "cpu" or "the CPU trains, since the GPU cannot: out of memory" not in err or (folder / "auto.onnx.run").exists():
            bad.append(f"--device auto with {room} bytes of memory: {said}: {err[-300:]}")
        if (folder / "auto.onnx").read_bytes() != (folder / "cpu.onnx").read_bytes():
            bad.append(f"--device auto with {room} bytes of memory: another file than the CPU's")
    del env["HONE_FAKE_BYTES"]


def stays():
    """--device auto: more epochs for a run, or fewer, do not move it to the other device."""
    data = [*classes(), "--val-split", "0.2", "--batch-size", "500", "--keep-run", "--target-metric", "train_loss:100"]  # which ends it behind one epoch
    new("4-64-160-3 relu", "w.onnx")
    for epochs, then, device in ((2, "+900000000", "cpu"), (900000000, "3", "cuda")):
        said = [ask("train", "w.onnx", *data, "--epochs", epochs, "--run-dir", f"{device}.run", "--force", "-o", f"{device}.onnx"), ask("resume", f"{device}.run", "--epochs", then)]
        if [s.get("device") for s in said] != [device, device] or len(said[1].get("curve", [])) != 3:
            bad.append(f"--device auto: {[(s.get('device'), s.get('curve')) for s in said]}, wanted {device} and two epochs")
    if (build / "libhone_cuda.so").exists():
        return  # there is no being without
    r = subprocess.run([str(build / "hone"), "resume", "cuda.run", "--epochs", "4", "--quiet"], env=dict(env, LD_LIBRARY_PATH=str(build)), cwd=folder, capture_output=True, text=True)
    if r.returncode != 5 or "started on cuda" not in r.stderr or "no GPU module" not in r.stderr:
        bad.append(f"resumed without a GPU: exit {r.returncode}: {r.stderr[-300:]}")


def from_python():
    """The package: devices by their names, in training, evaluation and prediction; a predictor says that it is the CPU's."""
    cache = build / "CMakeCache.txt"
    if cache.exists() and "HONE_SANITIZE:BOOL=ON" in cache.read_text():
        print("skipped: a library with sanitizers needs them in the interpreter too")
        return
    script = """
import sys
try:
    import numpy as np
except ImportError:
    print("skipped: no numpy"); sys.exit(0)
import hone
rng = np.random.default_rng(1)
x = rng.normal(size=(300, 4)).astype("f4"); y = (x[:, 0] + x[:, 1] > 0).astype("i8")
loss, found = {}, {}
for device in ("cpu", "cuda"):
    m = hone.Model.new("4-12-2 relu batchnorm", seed=1)
    r = m.train(x, y, epochs=4, seed=3, optimizer="sgd", val_split=0.2, ema=0.9, device=device)
    assert r["device"] == device, r["device"]
    loss[device] = r["val"]["loss"]
    found[device] = np.asarray(m.predict(x, device=device)), m.evaluate(x, y, device=device)["loss"]
assert abs(loss["cpu"] - loss["cuda"]) < 1e-4, loss
assert np.abs(found["cpu"][0] - found["cuda"][0]).max() < 1e-3 and abs(found["cpu"][1] - found["cuda"][1]) < 1e-4
try:
    m.predictor(device="cuda")
    raise SystemExit("a predictor took a GPU")
except hone.Error as e:
    assert "CPU" in str(e), e
try:
    m.train(x, y, epochs=1, device="cuda:99")
    raise SystemExit("cuda:99 was taken")
except hone.Error as e:
    assert "cuda:99" in str(e), e
"""
    where = dict(env, HONE_LIBRARY=str(folder / "libhone.so.0"), PYTHONPATH=str(DATA.parent.parent / "python"))
    python = os.environ.get("HONE_TEST_PYTHON") or sys.executable
    r = subprocess.run([python, "-c", script], env=where, cwd=folder, capture_output=True, text=True, timeout=300)
    if r.returncode != 0:
        bad.append(f"the Python package: {r.stderr[-600:]}")
    print("\n".join(r.stdout.splitlines()[-1:]))


CASES = [half_float16, half_bfloat16, half_converted, half_columns, byte_columns, computed, computed_searched, quantised, verified, embedded, schedules, augmented, grown, averages,
         pretrained, tested_rates, ensembles, killed, refined, search_killed, asked, rounded, computed_large, wide, custom, *([] if real else [short]), stays, from_python]
share, shares = map(int, os.environ.get("HN_TEST_PART", "0/1").split("/"))
wanted = os.environ.get("HN_TEST_ONLY", "").split()
for i, case in enumerate(CASES):
    if i % shares == share and (not wanted or case.__name__ in wanted):
        began, asked_for = time.time(), len(spent)
        try:
            case()
        except Exception:  # what it was about is told with the others
            bad.append(f"{case.__name__}: {traceback.format_exc()}")
        print(f"{time.time() - began:.1f} s, {len(spent) - asked_for} commands  {case.__name__}", flush=True)
finish(f"{len(CASES[share::shares])} cases are as on the CPU")
