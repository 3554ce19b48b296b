#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command on a GPU, without one (or, told a module, on the one that is there): the library finds a module whose device layer is the fake one (plain memory, cuDNN by its
formulas), so that everything between `hone train --device cuda` and the layer runs: loading, training, evaluation, prediction,
search, checkpoints with cuDNN's random states, interrupted runs that resume to the same bytes.

usage: command.py BUILD-FOLDER [MODULE [search]]     MODULE: a libhone_cuda.so for the GPU of this machine; search: only searches, and how long they take
"""
import csv
import json
import random
import shutil
import signal
import sys
import time

from _gpu import DATA, bad, env, finish, folder, hone, near, real, spent, start
from _gpu import table as write_table

model, data = folder / "m.onnx", folder / "d.csv"


def table(rows=500):
    write_table(data, rows)


def train(out, *options, epochs=6):
    text, _ = hone("train", model, "--data", data, "--target", "y", "--val-split", "0.2", "--seed", "3", "--optimizer", "sgd", "--epochs", epochs, "--force",
                   "--json", "--quiet", "-o", out, *options)
    return json.loads(text) if text else {"val": {"loss": None}, "device": None}


def same_as_cpu():
    """Native kernels, and BatchNormalization by cuDNN: the CPU's result within rounding, masks included."""
    want = train("cpu.onnx", "--device", "cpu")
    for options in ([], ["--bn-impl", "native"], ["--bn-impl", "cudnn"]):
        got = train("gpu.onnx", "--device", "cuda", *options)
        near(f"validation loss, cuda {options}", got["val"]["loss"], want["val"]["loss"])
        if got["device"] != "cuda":
            bad.append(f"the device is {got['device']}")
    augment = ["--augment", "noise=0.1,mixup=0.4"]
    near("validation loss, augmented", train("gpu.onnx", "--device", "cuda", *augment)["val"]["loss"], train("cpu2.onnx", "--device", "cpu", *augment)["val"]["loss"])
    for averaged in (["--ema", "0.9"], ["--ema", "0.4", "--clip-norm", "1"], ["--swa-start", "3", "--swa-lr", "0.02"]):
        want, *got = (train("gpu.onnx", "--device", d, "--save", "last", "--bn-impl", bn, *averaged)["curve"]
                      for d, bn in (("cpu", "auto"), ("cuda", "native"), ("cuda", "cudnn")))
        for i, epoch in enumerate(want):
            for curve in got:
                near(f"validation loss {i} of {averaged}", curve[i]["val_loss"], epoch["val_loss"])
    want, got = (json.loads(hone("lr-find", model, "--data", data, "--target", "y", "--optimizer", "sgd", "--lr-to", "0.1", "--device", d, "--json", "--quiet")[0])["points"]
                 for d in ("cpu", "cuda"))
    for a, b in zip(got, want):
        near("a loss of lr-find", a["loss"], b["loss"])
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
    train("start.onnx", *options, epochs=1)
    train("whole.onnx", *options, epochs=300)
    start_takes, whole_takes = spent[-2][0], spent[-1][0]
    pause = max(0.15, start_takes + (whole_takes - start_takes) / 4)  # so that every part gets on
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
    print(f"interrupted {stops} times, every {pause:.2f} s; a start takes {start_takes:.2f} s, the whole {whole_takes:.2f} s", flush=True)
    if (folder / "parts.onnx").read_bytes() != (folder / "whole.onnx").read_bytes():
        bad.append(f"a run interrupted {stops} times ended with other bytes")
    core = json.loads((folder / "run/run.json").read_text()).get("core", "")
    if "BatchNormalization cuDNN, Dropout cuDNN" not in core:
        bad.append(f"the run's record does not name the choices: '{core}'")


def search(name, *options, of=model):
    """The trials without what a clock says, the model's bytes, and how often the device was asked to train or evaluate: captured steps
    replayed."""
    counts = folder / "counts"
    counts.unlink(missing_ok=True)
    env["HONE_FAKE_COUNTS"] = str(counts)
    hone("tune", of, "--data", data, "--target", "y", "--folds", "4", "--sampler", "random", "--seed", "5", "--device", "cuda", "--force", "--quiet",
         *options, "-o", name)
    del env["HONE_FAKE_COUNTS"]
    rows = list(csv.DictReader(open(folder / f"{name}.run/trials.csv")))
    states = sorted({row["state"] for row in rows})
    for row in rows:
        for key in [k for k in row if "second" in k]:
            del row[key]
    asked = sum(map(int, counts.read_text().split())) if counts.exists() else 0
    return rows, (folder / name).read_bytes(), asked, states


def gathered():
    """A search by one worker, by four and by 32: the same trials and the same model to the byte. Batch sizes, rates of Dropout, hidden
    layers, folds, a scaler, pruning, trials that diverge. Where all replicas are of one shape a launch serves many of them."""
    mixed = ["--lag", "6", "--trials", "12", "--epochs", "4", "--scale", "standard", "--pruner", "median", "--prune-startup", "2", "--search",
             "lr=log:1e-2..1e12", "--search", "batch_size=16,24,100", "--search", "dropout=0.1..0.5", "--search", "units_1=8,16", "--search", "optimizer=sgd,adam"]
    plain = ["--lag", "4", "--trials", "8", "--epochs", "3", "--search", "lr=log:1e-3..1e-1", "--search", "batch_size=24,32"]
    for what, options in (("mixed", mixed), ("plain", plain)):
        seen = [search(f"{what}{i}.onnx", *options, *jobs) for i, jobs in enumerate((["--jobs", "1"], ["--jobs", "4"], []))]
        for i, (trials, bytes_, _, _) in enumerate(seen):
            if trials != seen[0][0]:
                bad.append(f"{what} search {i}: other trials than with one worker")
            if bytes_ != seen[0][1]:
                bad.append(f"{what} search {i}: another model than with one worker")
        asked = [s[2] for s in seen]
        print(f"{what} search by 1, 4 and 32 workers: {asked} requests, trials {', '.join(seen[0][3])}")
        if not real and what == "plain" and not asked[2] < 0.5 * asked[0]:
            bad.append(f"the device was asked {asked} times by 1, 4 and 32 workers")


def shared():
    """What is for one replica at a time: the workers share the device, and each does all of its own steps."""
    hone("new", "4-1030-3 relu", "-o", "large.onnx", "--seed", "1")  # so many terms are for tensor cores
    for of, options in (("large.onnx", ["--math", "tf32"]), (model, ["--bn-impl", "cudnn"]), (model, ["--dropout-impl", "cudnn"])):
        few = ["--trials", "3", "--epochs", "2", "--search", "lr=log:1e-3..1e-1", *options]
        one, four = search("one.onnx", *few, "--jobs", "1", of=of), search("four.onnx", *few, "--jobs", "4", of=of)
        if one[:3] != four[:3]:
            bad.append(f"a search with {options}: something else by four workers than by one; {one[2]} and {four[2]} captured steps replayed")


def rounded():
    """Layers that are too small for tensor cores are gathered whatever --math says, with the numbers of fp32."""
    few = ["--lag", "4", "--trials", "4", "--epochs", "3", "--search", "lr=log:1e-3..1e-1"]
    exact, one = search("exact.onnx", *few), search("one.onnx", *few, "--math", "bf16", "--jobs", "1")
    many = search("many.onnx", *few, "--math", "bf16")
    if not exact[0] == one[0] == many[0] or one[1] != many[1]:
        bad.append("a search of small layers with --math bf16: something else with many workers than with one, or than with fp32")
    if not real and not many[2] < 0.5 * one[2]:
        bad.append(f"small layers with --math bf16: captured steps replayed with 1 and 32 workers: {one[2]} and {many[2]}")


def weighted():
    """Weights of rows and classes: a training, an evaluation and a search on the GPU are the CPU's within rounding, and a search by many
    workers is that of one."""
    lines = data.read_text().split()
    rng = random.Random(3)
    (folder / "w.csv").write_text("\n".join([lines[0] + ",w"] + [f"{line},{rng.choice([0, 1, 2, 5])}" for line in lines[1:]]) + "\n")
    options = ["--data", "w.csv", "--target", "y", "--sample-weights", "w", "--class-weights", "balanced", "--optimizer", "adam", "--seed", "3"]
    hone("new", "4-16-3 relu", "-o", "plain.onnx", "--seed", "1")
    for of in (model, "plain.onnx"):
        got = {}
        for device in ("cpu", "cuda"):
            text, _ = hone("train", of, *options, "--val-split", "0.2", "--epochs", "6", "--device", device, "--force", "--json", "--quiet", "-o", "w.onnx")
            got[device] = json.loads(text)["val"]["loss"] if text else None
            text, _ = hone("eval", of, *options[:8], "--device", device, "--json")
            got[device, "eval"] = json.loads(text)["loss"] if text else None
        near(f"weighted training of {of}", got["cuda"], got["cpu"], 1e-4)
        near(f"weighted evaluation of {of}", got["cuda", "eval"], got["cpu", "eval"])
        bare, _ = hone("eval", of, "--data", "w.csv", "--target", "y", "--ignore", "w", "--device", "cuda", "--json")
        if bare and abs(json.loads(bare)["loss"] - got["cuda", "eval"]) < 1e-4:
            bad.append("weights make no difference")
    few = [*options, "--folds", "3", "--trials", "5", "--epochs", "4", "--search", "lr=log:1e-3..1e-1", "--sampler", "random", "--lag", "5", "--quiet", "--force", "--json"]
    found = []
    for more in (["--device", "cpu"], ["--device", "cuda", "--jobs", "1"], ["--device", "cuda"]):
        text, _ = hone("tune", "plain.onnx", *few, *more, "-o", f"ws{len(found)}.onnx")
        found.append([t["value"] for t in json.loads(text)["trials"]] if text else [])
    for a, b in zip(found[0], found[1]):
        near("a trial of a weighted search", b, a, 1e-4)
    if len(found[1]) != 5 or found[1] != found[2] or (folder / "ws1.onnx").read_bytes() != (folder / "ws2.onnx").read_bytes():
        bad.append("a weighted search by many workers is another one than by one")


def timed():
    """64 replicas, one after the other and together."""
    table(4000)
    options = ["--lag", "16", "--trials", "16", "--epochs", "8", "--search", "lr=log:1e-3..1e-1", "--refit", "none"]
    took = []
    for jobs in (["--jobs", "1"], []):
        name = f"timed{len(took)}.onnx"
        search(name, *options, *jobs)
        took.append(json.loads((folder / f"{name}.run/study.json").read_text())["seconds"])
    if (folder / "timed0.onnx").read_bytes() != (folder / "timed1.onnx").read_bytes():
        bad.append("64 replicas: another model than with one worker")
    print(f"64 replicas of 3000 rows, 8 epochs of batches of 32: {took[0]:.2f} s one after the other, {took[1]:.2f} s together")


def quantized():
    """Rounded weights and activations: training, evaluation, a gathered search. A rounding near a tie may go the other way, which a few
    rows see; the losses stay near."""
    for name in ("gemm_softmax_channel", "matmul_u8"):
        shutil.copy(DATA / "quant" / f"{name}.onnx", folder / "q.onnx")
        rng = random.Random(2)
        lines = ["x0,x1,x2,x3,x4,x5,y0,y1,y2" if name == "matmul_u8" else "x0,x1,x2,x3,x4,x5,y"]
        for _ in range(300):
            x = [rng.gauss(0, 1) for _ in range(6)]
            y = [x[0] + x[1], x[2] - x[3], abs(x[4])]
            lines.append(",".join(f"{v:.5f}" for v in (x + y if name == "matmul_u8" else x)) + ("" if name == "matmul_u8" else f",{y.index(max(y))}"))
        (folder / "q.csv").write_text("\n".join(lines) + "\n")
        target = [o for t in (["y0", "y1", "y2"] if name == "matmul_u8" else ["y"]) for o in ("--target", t)]
        found = []
        for device in ("cpu", "cuda"):
            text, _ = hone("train", "q.onnx", "--data", "q.csv", *target, "--val-split", "0.2", "--optimizer", "sgd", "--lr", "0.05", "--epochs", "6", "--device", device,
                           "--force", "--json", "--quiet", "-o", f"q_{device}.onnx")
            found.append(json.loads(text) if text else None)
            text, _ = hone("eval", f"q_{device}.onnx", "--data", "q.csv", *target, "--device", device, "--json")
            found[-1]["again"] = json.loads(text)["loss"] if text else None
        cpu, cuda = found
        near(f"{name}: loss as it came", cuda["before"]["val"]["loss"], cpu["before"]["val"]["loss"])
        near(f"{name}: loss, trained", cuda["val"]["loss"], cpu["val"]["loss"], 5e-3)
        near(f"{name}: loss of the file", cuda["again"], cpu["again"], 5e-3)
        if not cuda["val"]["loss"] < 0.9 * cuda["before"]["val"]["loss"] or cuda["device"] != "cuda":
            bad.append(f"{name}: {cuda['device']}, {cuda['val']} after {cuda['before']['val']}")
        few = ["--data", "q.csv", *target, "--val-split", "0.2", "--search", "lr=log:1e-3..1e-1", "--trials", "4", "--sampler", "random", "--epochs", "3", "--device", "cuda",
               "--force", "--quiet"]
        for i, jobs in enumerate(("1", "4")):
            hone("tune", "q.onnx", *few, "--jobs", jobs, "-o", f"qt{i}.onnx")
        if (folder / "qt0.onnx").read_bytes() != (folder / "qt1.onnx").read_bytes():
            bad.append(f"{name}: a search depends on --jobs")


def auto():
    """A GPU where it pays, the CPU for little work."""
    hone("new", "4-64-160-3 relu", "-o", "wide.onnx", "--seed", "1")
    for epochs, want in ((3, "cpu"), (30000, "cuda")):
        text, _ = hone("train", "wide.onnx", "--data", data, "--target", "y", "--val-split", "0.2", "--batch-size", "500", "--epochs", epochs, "--early-stop-patience", "1",
                       "--lr", "1e-30", "--force", "--json", "--quiet", "-o", "auto.onnx")
        if text and json.loads(text)["device"] != want:
            bad.append(f"--device auto with {epochs} epochs: {json.loads(text)['device']}, wanted {want}")


table()
hone("new", "4-16-16-3 relu batchnorm dropout=0.3", "-o", model, "--seed", "1")
doctor = json.loads(hone("doctor", "--json")[0] or "{}")
if doctor.get("gpu", {}).get("used") is not True or ("" if real else "fake; ") + "products fp32" not in doctor["gpu"].get("device", ""):
    bad.append(f"doctor: {doctor.get('gpu')}")
if sys.argv[3:] == ["search"]:
    gathered()
    timed()
else:
    same_as_cpu()
    auto()
    quantized()
    cudnn_dropout()
    gathered()
    shared()
    rounded()
    weighted()
    hone("train", model, "--data", data, "--target", "y", "--device", "cuda:1", "-o", "x.onnx", code=5)
    hone("tune", model, "--data", data, "--target", "y", "--val-split", "0.2", "--search", "lr=log:1e-3..1e-1", "--trials", "3", "--sampler", "random", "--epochs", "3",
         "--device", "cuda", "--dropout-impl", "cudnn", "--jobs", "2", "-o", "t.onnx")
finish("the command runs")
