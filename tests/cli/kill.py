#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No work is lost: `hone train` killed at random moments, with SIGKILL and with SIGTERM, again and again, and continued by
`hone resume` until it is done, ends with the bytes of a run that nobody disturbed. Dropout, BatchNorm, momentum, plateau and
early stopping, augmentation, weight averaging on, with one and with two threads. The moments are drawn from a fixed seed; what the machine does meanwhile is
not, so that every run of this test kills elsewhere."""
import json
import random
import shutil
import signal
import subprocess
import time

import _hone
from _hone import HONE, IMAGES, LABELS, SCALE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
random.seed(20)
NET = tmp / "net.onnx"
JOB = ["--x", IMAGES, "--y", LABELS, "--x-scale", SCALE, "--val-split", "0.2", "--batch-size", "8", "--epochs", "5", "--optimizer",
       "momentum", "--lr-schedule", "plateau", "--lr-patience", "0", "--lr-threshold", "0.2", "--early-stop-patience", "4",
       "--weight-decay", "0.0001", "--clip-norm", "5", "--swa-start", "3", "--swa-lr", "0.005", "--swa-anneal", "2", "--augment", "noise=0.05,mixup=0.3", "--seed", "7", "--progress", "none"]
middles = early = 0


def command(*args):
    return [str(HONE)] + [str(a) for a in args]


def undisturbed(threads):
    out = tmp / f"whole{threads}.onnx"
    start = time.time()
    r = hone("train", NET, *JOB, "--threads", threads, "--keep-run", "-o", out)
    code(f"undisturbed, {threads} threads", r, 0)
    return out, time.time() - start


def stop_at(args, seconds, sig):
    """Runs hone and sends it the signal after that time; its exit code."""
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        said = p.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        p.send_signal(sig)
        said = p.communicate()[1]
    return p.returncode, said.decode(errors="replace")


def starts(folder):
    """How often the run has begun or gone on."""
    events = folder / "events.jsonl"
    return events.read_text().count('{"event":"start"') if events.exists() else 0


def in_a_middle(folder):
    """Did the checkpoint that a resumed run started from lie inside an epoch?"""
    begun = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if line.startswith('{"event":"start"')]
    return sum(s["row"] > 0 for s in begun[1:])


def disturbed(name, whole, length, sig, threads, kills):
    """One run, killed up to `kills` times on its way."""
    global middles, early
    out, run = tmp / f"{name}.onnx", tmp / f"{name}.run"
    train = command("train", NET, *JOB, "--threads", threads, "--run-dir", run, "-o", out)
    args, told = train, (-9,) if sig == signal.SIGKILL else (143,)
    for k in range(kills):
        begun = starts(run)
        done, said = stop_at(args, random.uniform(0.02, 0.8) * length, sig)
        if done == 0:
            break
        # before it begins the signal's own way is as good
        nothing_to_save = not (run / "checkpoint.hone").exists() or starts(run) == begun
        check(f"{name}, kill {k}", done in told + ((-sig,) if nothing_to_save else ()), (done, said[-300:]))
        if sig == signal.SIGKILL and out.exists():
            break  # the signal came after the model was in place: it is compared below like any other
        if out.exists():  # an interrupted run leaves the best weights it has
            code(f"{name}, kill {k}: what is there is whole", hone("inspect", out), 0)
        if (run / "checkpoint.hone").exists() or (run / "checkpoint.old.hone").exists():
            args = command("resume", run, "--progress", "none")
        else:  # killed before there was anything to continue
            early += 1
            args = train + ["--force"]
    else:
        r = subprocess.run(args, capture_output=True, text=True)
        check(f"{name}: the rest", r.returncode == 0, (r.returncode, r.stderr[-400:]))
    same = out.exists() and out.read_bytes() == whole.read_bytes()
    check(f"{name}: the same bytes", same)
    if run.exists():
        middles += in_a_middle(run)
        check(f"{name}: the same curve", curve(run) == curve(tmp / (whole.name + ".run")), (curve(run), curve(tmp / (whole.name + ".run"))))
        if same:
            shutil.rmtree(run)


def curve(run):
    """metrics.csv without its last column, the seconds."""
    return [line.rsplit(",", 1)[0] for line in (run / "metrics.csv").read_text().splitlines()]


def test_killed():
    for threads in (1, 2):
        whole, length = undisturbed(threads)
        for sig, name in ((signal.SIGKILL, "KILL"), (signal.SIGTERM, "TERM")):
            for chain in range(3 if length < 4 else 1):  # under a sanitizer
                disturbed(f"{name}-{threads}-{chain}", whole, length, sig, threads, 4)
    check("some runs were continued inside an epoch", middles > 0)
    print(f"{middles} continuations began inside an epoch; {early} kills came before the first checkpoint")


def test_twice():
    """A second signal stops at once; what the first one asked for is not needed to resume."""
    out = tmp / "twice.onnx"
    p = subprocess.Popen(command("train", NET, *JOB, "--threads", "1", "--run-dir", tmp / "twice.run", "--quiet", "-o", out))
    time.sleep(0.4)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGINT)
    check("a second signal", p.wait(timeout=20) in (130, -2), p.returncode)
    if (tmp / "twice.run" / "checkpoint.hone").exists():
        code("resume after it", hone("resume", tmp / "twice.run", "--progress", "none"), 0)
        check("the same bytes after it", out.read_bytes() == (tmp / "whole1.onnx").read_bytes())


def test_before_the_model_is_in_place():
    """Interrupted, which leaves a model; continued to its end, but killed before that model was replaced: done once more."""
    out, run = tmp / "late.onnx", tmp / "late.run"
    p = subprocess.Popen(command("train", NET, *JOB, "--threads", "1", "--run-dir", run, "-o", out), stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    for _ in range(2000):
        if (run / "metrics.csv").exists() and len(curve(run)) > 1:
            break
        time.sleep(0.005)
    p.send_signal(signal.SIGTERM)
    if p.wait() == 0:
        print("the run ended before the signal: not interrupted, nothing to test")
        return
    left = out.read_bytes()
    code("resume", hone("resume", run, "--progress", "none"), 0)
    whole = out.read_bytes()
    check("the whole run's bytes", whole == (tmp / "whole1.onnx").read_bytes())
    out.write_bytes(left)
    code("resume a run that is at its end, its model is not", hone("resume", run, "--progress", "none"), 0)
    check("the model is put in place", out.read_bytes() == whole)
    shutil.copy(NET, out)
    code("resume beside somebody else's file", hone("resume", run, "--progress", "none"), 0, "finished already")
    check("which stays", out.read_bytes() == NET.read_bytes())


code("new", hone("new", "784-192-96-10 relu batchnorm dropout=0.3", "--seed", "2", "-o", NET), 0)
test_killed()
test_twice()
test_before_the_model_is_in_place()
_hone.finish("kill", tmp)
