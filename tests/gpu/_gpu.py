# SPDX-License-Identifier: MIT
"""What command.py and features.py share: the command beside a module of the backend, what it says, and what was not right.

arguments: BUILD-FOLDER [MODULE …]     MODULE: a libhone_cuda.so for the GPU of this machine, else the one on the fake device
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

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
build = pathlib.Path(sys.argv[1]).resolve()
real = len(sys.argv) > 2
module = pathlib.Path(sys.argv[2]).resolve() if real else build / "gpu_fake_module" / "libhone_cuda.so"
bad, spent = [], []
if not module.exists() or not (build / "hone").exists():
    print("skipped: the module is not built")
    sys.exit(77)
folder = pathlib.Path(tempfile.mkdtemp())
for place in [module, build / "libhone.so.0"] + ([] if real else [build / "gpu_fake_module/libcuda.so.1"]):
    shutil.copy(place, folder / place.name)
env = dict(os.environ, LD_LIBRARY_PATH=f"{folder}:{build}")  # the module is looked for beside the library: the copy


def start(*options):
    return subprocess.Popen([str(build / "hone"), *map(str, options)], env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hone(*options, code=0):
    began = time.time()
    p = start(*options)
    out, err = p.communicate(timeout=300)
    spent.append((time.time() - began, " ".join(map(str, options))[:150]))
    if p.returncode != code:
        bad.append(f"hone {' '.join(map(str, options))}: exit {p.returncode}, wanted {code}: {err[-500:]}")
    return out, err


def ask(*options):
    """The command's JSON; {} where it failed, which is told."""
    text, _ = hone(*options, "--json", "--quiet")
    return json.loads(text) if text else {}


def near(what, a, b, tolerance=1e-5):
    if a is None or b is None or not abs(a - b) <= tolerance * max(1, abs(b)):
        bad.append(f"{what}: {a}, wanted {b}")


def table(path, rows=500):
    """Three classes of four numbers."""
    rng = random.Random(1)
    lines = ["a,b,c,d,y"]
    for _ in range(rows):
        x = [rng.gauss(0, 1) for _ in range(4)]
        lines.append(",".join(f"{v:.5f}" for v in x) + f",{0 if x[0] + x[1] > 0.5 else 1 if x[2] > 0 else 2}")
    path.write_text("\n".join(lines) + "\n")


def interrupted(what, signals, *options):
    """A run stopped by each of these signals behind an epoch that it has been seen to end, or where `--pretrain` is asked for a
    layer's, and resumed each time: the bytes of the run nobody stopped. How often it was stopped."""
    name = what.replace(" ", "_")
    hone("train", *options, "--quiet", "-o", f"{name}.whole.onnx")
    run, events, stops = folder / f"{name}.run", folder / f"{name}.run" / "events.jsonl", 0
    p = start("train", *options, "--quiet", "-o", f"{name}.parts.onnx", "--run-dir", run.name)
    for sent in signals:
        seen = events.stat().st_size if events.exists() else 0
        while p.poll() is None:
            told = events.read_bytes()[seen:] if events.exists() else b""
            if (run / "checkpoint.hone").exists() and told.count(b'"event":"epoch"') + told.count(b'"event":"pretrain"') > 1:
                p.send_signal(sent)
                break
            time.sleep(0.002)
        p.communicate(timeout=300)
        if p.returncode == 0:
            break
        if p.returncode not in (-signal.SIGKILL, 128 + signal.SIGTERM):
            bad.append(f"{what}: exit {p.returncode} of a run that was stopped")
            return stops
        stops += 1
        p = start("resume", run.name, "--quiet")
    _, err = p.communicate(timeout=300)
    if p.returncode != 0:
        bad.append(f"{what}: exit {p.returncode} of the last part: {err[-500:]}")
    elif (folder / f"{name}.parts.onnx").read_bytes() != (folder / f"{name}.whole.onnx").read_bytes():
        bad.append(f"{what}: stopped {stops} times it ended with other bytes")
    return stops


def finish(what):
    shutil.rmtree(folder)
    for seconds, command in sorted(spent, reverse=True)[:4]:
        print(f"{seconds:.2f} s  hone {command}")
    print("\n".join(bad) if bad else f"{what} on the {'GPU' if real else 'fake device'}")
    sys.exit(1 if bad else 0)
