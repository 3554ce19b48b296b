#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone resume of a search: it goes on as the same command would, from the folder alone, also when the folder or the data have
moved; a finished one says so; a trial that cannot be afforded costs that trial only."""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
DATA = tmp / "it's data.csv"
NET = tmp / "net.onnx"


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,d,label\n")
        for _ in range(400):
            x = [r.gauss(0, 1) for _ in range(4)]
            z = x[0] + x[1] * 0.7 - x[2] * 0.6 + r.gauss(0, 0.4)
            f.write(",".join(f"{v:.6g}" for v in x) + f",{0 if z < -0.6 else 1 if z < 0.5 else 2}\n")
    code("a model", hone("new", "4-16-3 relu softmax", "-o", NET), 0)


JOB = [NET, "--data", DATA, "--target", "label", "--scale", "standard", "--epochs", 40, "--seed", 3, "--folds", 4, "--test-split", 0.2,
       "--search", "lr=log:1e-4..1e-1", "--search", "batch_size=16,32,64", "--search", "momentum=0.5..0.95?optimizer=momentum",
       "--search", "optimizer=adam,momentum", "--setting", "lr=0.02,batch_size=16", "--trials", 20, "--pruner", "median"]


def cut(out, sig, *args):
    """Starts a search and ends it early; False: it was faster."""
    p = subprocess.Popen([str(a) for a in [HONE, "tune", *JOB, *args, "--progress", "none", "-o", out]], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    for _ in range(2000):
        if p.poll() is not None or (tmp / f"{out}.run" / "tune.yaml").exists():
            break
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.4))
    p.send_signal(sig)
    p.communicate()
    return p.returncode != 0 and not out.exists()


def settings(j):
    return [(t["number"], t["state"], t["params"], t["value"], t["folds"], t["curve"]) for t in j["trials"]]


def test_cut_off():
    """The index of a study's log, mapped, is cut off by another process: said by name, and the search goes on."""
    out = tmp / "cut.onnx"
    job = [HONE, "tune", *JOB, "--trials", 100000, "--epochs", 400, "--jobs", 1, "--quiet", "-o", out]
    p = subprocess.Popen([*(str(a) for a in job), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    index = tmp / "cut.onnx.run" / "study.db-shm"
    for _ in range(2000):
        if p.poll() is not None or (tmp / "cut.onnx.run" / "study.json").exists():
            break
        time.sleep(0.005)
    with open(index, "r+b") as f:
        f.truncate(0)
    result, said = (text.decode() for text in p.communicate(timeout=300))
    error = json.loads(result or "{}").get("error", {})
    check("its JSON", error.get("code") == "HONE_E_IO" and error["where"] == str(index.resolve()), result)
    check("a study's index cut off", p.returncode == 6 and f"hone: {index.resolve()}: was cut off" in said, f"exit {p.returncode}: {said}")
    before = len(json.loads((tmp / "cut.onnx.run" / "study.json").read_text())["trials"])
    r = hone(*[before + 3 if a == 100000 else a for a in job[1:]], "--json")
    code("and the same command goes on", r, 0)
    check("with the trials there were", len(r.json["trials"]) > before, f"{before} before, now {len(r.json['trials'])}")
    shutil.rmtree(tmp / "cut.onnx.run", ignore_errors=True)


def test_error():
    """A search that an error ends says so in its folder; with the cause away the same command goes on to the same end."""
    whole, out = tmp / "unbroken.onnx", tmp / "broken.onnx"
    code("unbroken", hone("tune", *JOB, "--jobs", 1, "-o", whole), 0)
    folder = tmp / "broken.onnx.run"
    p = subprocess.Popen([str(a) for a in [HONE, "tune", *JOB, "--jobs", 1, "--progress", "none", "-o", out]], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    while not (folder / "tune.yaml").exists() and p.poll() is None:
        time.sleep(0.002)
    (folder / "trials.csv" / "in the way").mkdir(parents=True)
    said = p.communicate()[1]
    check("a file that cannot be written", p.returncode == 6 and "trials.csv" in said, [p.returncode, said])
    study = json.loads((folder / "study.json").read_text())
    check("study.json says so", study["stop_reason"] == "error" and "trials.csv" in study["error"]["where"], study["stop_reason"])
    check("with all trials", [t["state"] for t in study["trials"]].count("running") == 0 and len(study["trials"]) == 20, len(study["trials"]))
    code("report", hone("report", folder, "-o", tmp / "broken.html"), 0)
    check("the report says so", "An error ended it" in (tmp / "broken.html").read_text(), "")
    shutil.rmtree(folder / "trials.csv")
    code("goes on", hone("resume", folder, "--jobs", 1), 0)
    check("to the same bytes", out.read_bytes() == whole.read_bytes(), "")


def test_study_lost():
    """The study itself is what fails: the folder says so, and keeps what it said of the trials."""
    folder = tmp / "lost.onnx.run"
    p = subprocess.Popen([str(a) for a in [HONE, "tune", *JOB, "--trials", 100000, "--jobs", 1, "--progress", "none", "-o", tmp / "lost.onnx"]],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (folder / "study.json").exists() and p.poll() is None:
        time.sleep(0.01)
    with sqlite3.connect(folder / "study.db", timeout=30) as db:
        db.execute("ALTER TABLE trial RENAME TO gone")
    said = p.communicate()[1]
    check("a study that cannot be read", p.returncode == 6 and "study.db" in said, [p.returncode, said])
    study = json.loads((folder / "study.json").read_text())
    check("study.json says so", study["stop_reason"] == "error" and "study.db" in study["error"]["where"] and "trial" in study["error"]["text"],
          [study["stop_reason"], study.get("error")])
    check("with the trials it had", len(study["trials"]) > 0 and study["settings"]["trials"] == "100000", len(study["trials"]))
    code("report", hone("report", folder, "-o", tmp / "lost.html"), 0)
    check("the report says so", "An error ended it" in (tmp / "lost.html").read_text(), "")


def test_goes_on():
    whole = tmp / "whole.onnx"
    undisturbed = hone("tune", *JOB, "--jobs", 1, "--json", "-o", whole)
    code("undisturbed", undisturbed, 0)
    cuts = 0
    for i, sig in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        out = tmp / f"cut{i}.onnx"
        was_cut = cut(out, sig, "--jobs", 1)
        cuts += was_cut
        run, data = tmp / f"{out}.run", DATA
        moved = []
        if i == 2:
            shutil.move(run, tmp / "elsewhere")
            shutil.copy(DATA, tmp / "moved.csv")
            run, moved = tmp / "elsewhere", ["--data", tmp / "moved.csv", "--jobs", 2]
        r = hone("resume", run, *moved, "--json")
        code("goes on", r, 0)
        check("as a search", r.json["schema"] == "hone.tune/1" and r.json["stop_reason"] == "trials")
        check("the same bytes", out.read_bytes() == whole.read_bytes())
        if was_cut:
            check("the same trials", settings(r.json) == settings(undisturbed.json))
        again = hone("resume", run, "--json")
        code("again", again, 0, "finished already")
        check("with the same result", again.json["finished"] is True and settings(again.json) == settings(undisturbed.json))
        check("and the same model", out.read_bytes() == whole.read_bytes())
    print(f"  cut short {cuts} times of 3")
    same = ["tune", *JOB, "--jobs", 1, "-o", whole]
    code("the same command once more", hone(*same), 2, "whole.onnx: the file exists already", "its search has finished: hone resume")
    told = hone(*same, "--json").json["error"]["hint"].split(" shows")[0].split("hone ")[1]
    code("as it says", hone(*told.split(" ", 1)), 0, "finished already")
    shutil.copytree(tmp / "whole.onnx.run", tmp / "kept.run")
    code("in another folder", hone(*same, "--run-dir", tmp / "kept.run"), 2, "has finished", "kept.run shows")
    r = hone(*same, "--run-dir", tmp / "fresh.run")
    code("not in this one", r, 2, "exists already")
    check("nothing has finished there", "finished" not in r.err and not (tmp / "fresh.run").exists(), r.err)
    os.utime(tmp / "kept.run" / "study.json", ns=(time.time_ns() + 10**9,) * 2)
    check("older than its result", "finished" not in hone(*same, "--run-dir", tmp / "kept.run").err)
    shutil.copytree(tmp / "whole.onnx.run", tmp / "copy.run")
    (tmp / "copy.run" / "study.json").unlink()
    r = hone("resume", tmp / "copy.run", "-o", tmp / "other.onnx")
    code("-o says another place", r, 0)
    check("there it is", (tmp / "other.onnx").read_bytes() == whole.read_bytes())
    code("what would be another search", hone("resume", tmp / "copy.run", "--epochs", 50), 2, "epochs", "another one")
    r = hone("resume", tmp / "copy.run", "--data", tmp / "nowhere.csv", "-o", tmp / "new.onnx", "--force")
    code("data that are not there", r, 6, "nowhere.csv")
    (tmp / "copy.run" / "tune.yaml").write_text("model: [\n")
    code("a damaged folder", hone("resume", tmp / "copy.run"), 2, "tune.yaml")


def put_to_sleep(p, study):
    """Stops a search while it has a trial, whose lease is then over; False: it was faster, or held the study."""
    while p.poll() is None and not (study.exists() and study.stat().st_size):
        time.sleep(0.005)
    time.sleep(random.uniform(0.01, 0.1))
    p.send_signal(signal.SIGSTOP)
    try:
        with sqlite3.connect(study, timeout=0.2) as db:
            if db.execute("UPDATE trial SET lease=1 WHERE state=1").rowcount:
                return True
    except sqlite3.OperationalError:
        pass
    p.send_signal(signal.SIGCONT)
    return False


def test_slept():
    """A worker that was stopped until its lease had run out: another one runs its trial, and both end with the same bytes."""
    for _ in range(20):
        study, slow, other = tmp / "shared.db", tmp / "slow.onnx", tmp / "other worker.onnx"
        for file in (study, slow, other):
            file.unlink(missing_ok=True)
        job = [*JOB, "--jobs", 1, "--study", study]
        p = subprocess.Popen([str(a) for a in [HONE, "tune", *job, "--progress", "none", "--force", "-o", slow]], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        if put_to_sleep(p, study):
            break
        p.communicate()
    else:
        print("  always faster: no worker slept")
        return
    code("another worker", hone("tune", *job, "--force", "-o", other), 0)
    p.send_signal(signal.SIGCONT)
    said = p.communicate(timeout=300)[1]
    check("the one that slept", p.returncode == 0 and "was taken over by another worker" in said, said)
    for out in (slow, other):
        check("the same bytes from both", out.read_bytes() == (tmp / "whole.onnx").read_bytes(), out)


def test_not_in_place():
    """Killed when the result was known and the model not yet written over what --force was to replace: done once more."""
    out, run = tmp / "late.onnx", tmp / "late.onnx.run"
    shutil.copy(tmp / "whole.onnx", out)
    code("over what is there", hone("tune", *JOB, "--jobs", 1, "--force", "-o", out), 0)
    whole = out.read_bytes()
    code("its end", hone("resume", run), 0, "finished already")
    shutil.copy(NET, out)
    code("what came there later", hone("resume", run), 0, "finished already")
    check("stays", out.read_bytes() == NET.read_bytes())
    os.utime(run / "study.json", ns=(time.time_ns() + 10**9,) * 2)
    r = hone("resume", run)
    code("what was there before the result", r, 0)
    check("is replaced", "finished already" not in r.err and out.read_bytes() == whole, r.err)


def test_costs_itself_only():
    out = tmp / "costs.onnx"
    job = [NET, "--data", DATA, "--target", "label", "--epochs", 2, "--folds", 3, "--jobs", 1]
    r = hone("tune", *job, "--search", "lr=0.01,1e30", "--optimizer", "sgd", "--json", "-o", out)
    code("one diverges", r, 0)
    check("only that", [t["state"] for t in r.json["trials"]].count("failed") == 1, r.json["trials"])


make_data()
code("no such folder", hone("resume", tmp / "nowhere.run"), 6, "there is no such folder")
test_cut_off()
test_error()
test_study_lost()
test_goes_on()
test_slept()
test_not_in_place()
test_costs_itself_only()
_hone.finish("resume of a search", tmp)
