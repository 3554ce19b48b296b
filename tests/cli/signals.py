#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Signals: before a run has begun the first one ends the command, whatever it waits for, with nothing left behind; when the run is over one
changes nothing of how it ends."""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
DATA, NET = tmp / "d.csv", tmp / "n.onnx"
ROWS = "a,b,c,label\n" + "".join(f"{i * 7 % 61 / 30 - 1:g},{i * 11 % 61 / 30 - 1:g},{i % 9 / 9:g},{i * 7 % 61 > 30:d}\n" for i in range(240))
DATA.write_text(ROWS)
code("a model", hone("new", "3-8-2 relu softmax", "-o", NET), 0)
JOB = ["--target", "label", "--threads", 1, "--json", "--quiet"]


def start(*args, **more):
    return subprocess.Popen([str(a) for a in (HONE, *args)], **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})


def state(p):
    fields = open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()
    return fields[0], fields[11], fields[12]


def waits(p):
    """Until it sleeps and has computed nothing for a while; where it then is does not matter to what has to come of it."""
    same, last = 0, None
    while same < 8 and p.poll() is None:
        now = state(p)
        same = same + 1 if now == last and now[0] == "S" else 0
        last = now
        time.sleep(0.05)


def stopped(what, p, schema, number=signal.SIGTERM):
    p.send_signal(number)
    try:
        out, err = p.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        p.kill()
        check(f"{what}: the signal ends it", False, "it waits on")
        return
    check(f"{what}: exit", p.returncode == 128 + number, (p.returncode, err))
    said = json.loads(out or "{}")
    check(f"{what}: JSON", said.get("schema") == schema and said.get("ok") is False and said["error"]["code"] == "interrupted" and
          said["error"]["text"] == f"stopped by signal {number} before the run had begun", out)
    check(f"{what}: text", b"hone: stopped by signal" in err, err)


def test_waiting_for_data():
    fifo = tmp / "fifo"
    os.mkfifo(fifo)
    for command in (["train"], ["tune", "--search", "lr=0.1,0.2"], ["lr-find"]):
        out = tmp / f"{command[0]}.onnx"
        job = [command[0], NET, *command[1:], *JOB, "-o", out]
        schema = f"hone.{command[0]}/1"
        p = start(*job, "--data", fifo)
        waits(p)
        stopped(f"{command[0]}, nobody opens the pipe", p, schema)
        p = start(*job, "--data", fifo)
        with open(fifo, "w") as f:  # waits for the command to open it
            f.write(ROWS[:40])
            f.flush()
            stopped(f"{command[0]}, the pipe's end does not come", p, schema, signal.SIGINT)
        p = start(*job, "--data", "-", stdin=subprocess.PIPE)
        waits(p)
        stopped(f"{command[0]}, standard input", p, schema, signal.SIGUSR1)
        check(f"{command[0]}: nothing is left", not list(tmp.glob(f"{command[0]}*")), list(tmp.iterdir()))
    p = start("train", fifo, *JOB, "--data", DATA, "-o", tmp / "train.onnx")
    waits(p)
    stopped("the model's pipe", p, "hone.train/1")


def test_waiting_for_a_reader():
    fifo, out = tmp / "events", tmp / "events.onnx"
    os.mkfifo(fifo)
    p = start("train", NET, "--data", DATA, *JOB, "--events", fifo, "-o", out)
    waits(p)
    stopped("nobody reads the events", p, "hone.train/1")
    check("no run folder is left", not (tmp / "events.onnx.run").exists())
    code("the same command again", hone("train", NET, "--data", DATA, *JOB, "-o", out), 0)


def after_the_end(*args):
    """The exit code of a run that gets a signal as soon as it has said its end, and what it printed."""
    fifo, out = tmp / "ends", tmp / "ends.onnx"
    if not fifo.exists():
        os.mkfifo(fifo)
    f = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # there may be no run to open its other end
    p = start("train", NET, "--data", DATA, *JOB, *args, "--events", fifo, "--force", "-o", out)
    seen = b""
    while p.poll() is None and b'"end"' not in seen:
        try:
            seen += os.read(f, 65536)
        except BlockingIOError:
            pass
    p.send_signal(signal.SIGTERM)
    said = p.communicate()
    os.close(f)
    return p.returncode, said


def test_after_the_end():
    for args, want in ([[], 0], [["--require", "train_loss:0.000001"], 8], [["--optimizer", "sgd", "--lr", "1e38"], 7]):
        got, said = after_the_end("--epochs", 3, *args)
        check(f"{args}: exit", got == want, (got, said))
        check(f"{args}: the result", json.loads(said[0] or "{}").get("stop_reason") == ("diverged" if want == 7 else "max_epochs"), said)
        shutil.rmtree(tmp / "ends.onnx.run", ignore_errors=True)
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b" " * 4096)
    except BlockingIOError:
        os.set_blocking(theirs, True)
    p = start("lr-find", NET, "--data", DATA, *JOB, stdout=theirs)
    os.close(theirs)
    waits(p)  # to be rid of its result
    p.send_signal(signal.SIGTERM)
    with open(ours) as f:
        result = json.loads(f.read())
    check("lr-find: exit", p.wait() == 0 and result["stop_reason"] != "interrupted", (p.returncode, result["stop_reason"]))


test_waiting_for_data()
test_waiting_for_a_reader()
test_after_the_end()
_hone.finish("signals", tmp)
