#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone ask and hone tell: a search from a shell, its files, its refusals."""
import concurrent.futures
import math
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()

SPACE = """\
lr:           {type: float, low: 1e-4, high: 1e-1, log: true}
batch_size:   {type: categorical, choices: [16, 32, 64]}
optimizer:    [sgd, momentum, adam]
hidden_units: {type: int, low: 8, high: 256, log: true}
version:      {type: categorical, choices: ['16', "a,b", plain]}
shuffle:      {type: bool}
dropout:      0..0.5
momentum:     {type: float, low: 0.5, high: 0.99, when: {optimizer: [momentum, nesterov]}}
"""


def yaml(name, text):
    path = tmp / name
    path.write_text(text)
    return path


def value(p):
    return (math.log10(p["lr"]) + 2.5) ** 2 + 0.1 * abs(math.log2(p["hidden_units"] / 64)) + (p["optimizer"] != "adam") + p["dropout"]


def test_loop():
    space = yaml("s.yaml", SPACE)
    for sampler in ("gp", "tpe", "random", "sobol"):
        runs = []
        for name in ("a", "b"):
            study = tmp / f"{sampler}-{name}.db"
            seen, best = [], None
            for t in range(18):
                r = hone("ask", study, "--space", space, "--sampler", sampler, "--seed", 5, "--json")
                code(f"{sampler}: ask", r, 0)
                j = r.json
                p = j["params"]
                check("schema and number", list(j)[:2] == ["schema", "ok"] and j["schema"] == "hone.ask/1" and j["trial"] == t, j)
                check("types", isinstance(p["lr"], float) and p["batch_size"] in (16, 32, 64) and isinstance(p["shuffle"], bool)
                      and isinstance(p["hidden_units"], int) and p["version"] in ("16", "a,b", "plain"), p)
                check("bounds", 1e-4 <= p["lr"] <= 0.1 and 8 <= p["hidden_units"] <= 256 and 0 <= p["dropout"] <= 0.5, p)
                check("condition", ("momentum" in p) == (p["optimizer"] == "momentum"), p)
                seen.append(p)
                v = value(p)
                r = hone("tell", study, t, repr(v), "--json") if t % 5 else hone("tell", study, t, "--failed", "--json")
                code(f"{sampler}: tell", r, 0)
                if t % 5:
                    best = v if best is None else min(best, v)
                    check("best", r.json["best_value"] == best, r.json)
                check("state", r.json["state"] == ("done" if t % 5 else "failed"), r.json)
            runs.append(seen)
        check(f"{sampler}: the same seed, the same search", runs[0] == runs[1])


def test_directions_and_numbers():
    study = tmp / "max.db"
    code("maximize", hone("ask", study, "--search", "x=0..1", "--direction", "maximize"), 0, "trial 0")
    code("a negative value", hone("tell", study, 0, "-2.5"), 0, "trial 0 done")
    code("ask on", hone("ask", study), 0)
    r = hone("tell", study, 1, "-3", "--json")
    check("best is the largest", r.json["best_trial"] == 0 and r.json["best_value"] == -2.5, r.out)
    code("another direction", hone("ask", study, "--direction", "minimize"), 2, "direction")
    code("ask on", hone("ask", study), 0)
    r = hone("tell", study, 2, "nan", "--json")
    check("nan is a failure", r.code == 0 and r.json["state"] == "failed", r.out)
    code("told twice", hone("tell", study, 1, "4"), 2, "has ended before")
    code("never asked", hone("tell", study, 7, "4"), 2, "no trial 7")
    code("no number", hone("tell", study, "x", "4"), 2, "hone: TRIAL: found 'x', wanted the number of a trial")
    code("no value", hone("tell", study, 3), 2, "--failed")
    code("value and failed", hone("tell", study, 3, "1", "--failed"), 2)
    code("value is a word", hone("tell", study, 3, "good"), 2, "hone: VALUE: found 'good', wanted a number")
    code("an option of another sampler", hone("ask", tmp / "other.db", "--search", "x=0..1", "--sampler", "random", "--acquisition", "ei"), 2,
         "acquisition: means nothing with --sampler random, wanted --sampler=gp")
    check("nothing is made", not (tmp / "other.db").exists())
    code("its default", hone("ask", tmp / "other.db", "--search", "x=0..1", "--sampler", "random", "--acquisition", "logei"), 0)


def test_exhausted():
    study = tmp / "grid.db"
    args = ["--search", "a=int:1..2", "--search", "b=x,y,z", "--sampler", "grid"]
    seen = [hone("ask", study, *args, "--json").json["params"] for _ in range(6)]
    check("every point once", len({tuple(p.values()) for p in seen}) == 6, seen)
    r = hone("ask", study, "--json")
    check("exhausted", r.code == 1 and r.json["exhausted"] is True and r.json["ok"] is True and "trial" not in r.json, r.out)
    code("limit", hone("ask", tmp / "l.db", "--search", "x=0..1", "--trials", 1), 0)
    code("limit reached", hone("ask", tmp / "l.db", "--trials", 1), 1)
    code("a grid of 10^9 points", hone("ask", tmp / "g.db", "--search", "n=int:1..1000000000", "--sampler", "grid"), 2,
         "1000000000 points", "--trials")
    code("a part of it", hone("ask", tmp / "g.db", "--search", "n=int:1..1000000000", "--sampler", "grid", "--trials", 3), 0)
    manual = yaml("m.yaml", "- {lr: 0.1, optimizer: sgd}\n- {lr: 0.01, optimizer: adam}\n")
    got = [hone("ask", tmp / "m.db", "--space", manual, "--sampler", "manual", "--json").json.get("params") for _ in range(3)]
    check("manual", got == [{"lr": 0.1, "optimizer": "sgd"}, {"lr": 0.01, "optimizer": "adam"}, None], got)
    for setting in ("lr=0.5,c=d", "d=1"):
        code("a setting that is none", hone("ask", tmp / "e.db", "--search", "lr=log:1e-4..1", "--search", "c=a,b", "--setting", setting), 2, "setting")
        check("leaves no study", not (tmp / "e.db").exists())
    r = hone("ask", tmp / "e.db", "--search", "lr=log:1e-4..1", "--search", "c=a,b", "--setting", "lr=0.5,c=b", "--json")
    check("settings first", r.json["params"] == {"lr": 0.5, "c": "b"}, r.out)


def test_bad_spaces():
    for text, line, says in [
            ("lr: {type: float, low: 1, high: 0}\n", 1, "low 1 is above high 0"),
            ("a: {type: int, low: 1, high: 3}\nlr: {type: float, low: 0, high: 1, log: true}\n", 2, "low > 0"),
            ("c: {type: categorical, choices: []}\n", 1, "empty"),
            ("c: {type: categorical}\n", 1, "choices"),
            ("\n\nx: {type: flaot, low: 0, high: 1}\n", 3, "float, int, categorical or bool"),
            ("x: {type: float, lo: 0, high: 1}\n", 1, "found 'lo'"),
            ("x: {type: float, low: 0}\n", 1, "low and high"),
            ("x: {low: 0, high: 1, choices: [1]}\n", 1, "bounds belong to"),
            ("x: {low: 0, high: 1, log: maybe}\n", 1, "true or false"),
            ("x: {low: 0, high: 1, when: {y: 1}}\n", 1, "not in the space"),
            ("y: [1, 2]\nx: [a, \"s\\tgd\"]\n", 2, "choice 2 holds a tab"),
            ("x: [\"a\\nb\", c]\n", 1, "choice 1 holds a line break"),
            ("x: {low: 0, high: 1\ny: 3\n", 2, ""),
            ("just text\n", 1, "mapping")]:
        r = hone("ask", tmp / "bad.db", "--space", yaml("bad.yaml", text))
        code(repr(text), r, 2, f"bad.yaml line {line}", says)
    check("nothing was made", not (tmp / "bad.db").exists())
    code("no file", hone("ask", tmp / "bad.db", "--space", tmp / "none.yaml"), 6, "none.yaml")
    code("an inline typo", hone("ask", tmp / "bad.db", "--search", "x=0...."), 2)


def test_files():
    text = yaml("t.yaml", SPACE)
    code("not a study", hone("ask", text, "--space", text), 2, "is no study")
    code("no study", hone("tell", tmp / "none.db", 0, 1), 6, "no such study")
    code("no space", hone("ask", tmp / "none.db"), 6, "--space")
    check("nothing was made", not (tmp / "none.db").exists())
    code("no folder", hone("ask", tmp / "no" / "s.db", "--space", text), 6)
    code("another space", hone("ask", tmp / "gp-a.db", "--search", "x=0..1"), 2, "another search space")
    code("another sampler", hone("ask", tmp / "gp-a.db", "--sampler", "tpe"), 2, "found gp, wanted tpe")
    code("another seed", hone("ask", tmp / "gp-a.db", "--seed", 6), 2, "seed")
    db = sqlite3.connect(tmp / "gp-a.db")
    check("the file is a sound database", db.execute("pragma integrity_check").fetchone()[0] == "ok")
    db.close()


def test_many_at_once():
    study = tmp / "many.db"
    code("first", hone("ask", study, "--search", "x=0..1", "--search", "y=0..1", "--sampler", "gp"), 0)

    def worker(_):
        out = []
        for _ in range(6):
            j = hone("ask", study, "--json").json
            out.append(j["trial"])
            hone("tell", study, j["trial"], j["params"]["x"])
        return out
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        numbers = sorted(n for w in pool.map(worker, range(4)) for n in w)
    check("every number once", numbers == list(range(1, 25)), numbers)


def hold(study, seconds, ready):
    """Another process's lock, by its effect."""
    db = sqlite3.connect(study, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    ready.set()
    time.sleep(seconds)
    db.execute("ROLLBACK")
    db.close()


def locked(name, seconds):
    study = tmp / f"{name}.db"
    code("a study", hone("ask", study, "--search", "x=0..1"), 0)
    ready = threading.Event()
    thread = threading.Thread(target=hold, args=(study, seconds, ready))
    thread.start()
    ready.wait()
    return study, thread


def test_locked_for_a_while():
    study, thread = locked("short", 1.5)
    code("waits for the other one", hone("tell", study, 0, 0.5), 0, "trial 0 done")
    thread.join()


def test_full_disk():
    study = tmp / "full.db"
    told = 0
    code("a study", hone("ask", study, "--search", "x=0..1", "--search", f"c={'a' * 900},{'b' * 900}", "--sampler", "random"), 0)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))
    for t in range(400):
        p = subprocess.run([str(HONE), "tell", str(study), str(t), str(t / 7)], capture_output=True, text=True, preexec_fn=limit)
        if p.returncode == 0:
            told += 1
            p = subprocess.run([str(HONE), "ask", str(study)], capture_output=True, text=True, preexec_fn=limit)
        if p.returncode:
            break
    check("says so", p.returncode == 6 and "cannot write the study" in p.stderr, (p.returncode, p.stderr))
    check("after a few", 2 < told < 400, told)
    db = sqlite3.connect(study)
    kept = db.execute("select number, value from trial where state=2 order by number").fetchall()
    check("what was told is kept", kept[:told] == [(t, t / 7) for t in range(told)], (told, kept[-3:]))
    check("sound", db.execute("pragma integrity_check").fetchone()[0] == "ok")
    db.close()
    code("and it goes on where there is room", hone("ask", study), 0)


def test_no_rights():
    """By somebody who is not root."""
    with tempfile.TemporaryDirectory(prefix="hone-test-") as name:
        there = pathlib.Path(name)
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        shutil.copy(HONE, there / "hone")
        folder = there / "studies"
        folder.mkdir()
        there.chmod(0o755)
        folder.chmod(0o777)

        def nobody(*args):
            return _hone.Run(subprocess.run([str(there / "hone")] + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            cwd=there, **who))
        if nobody("--version").code:
            print("  no rights: left out, the command does not run as somebody else")
            return
        code("a study of somebody's", nobody("ask", "studies/s.db", "--search", "x=0..1"), 0)
        (folder / "s.db").chmod(0o444)
        code("a read-only file", nobody("ask", "studies/s.db"), 6, "hone: studies/s.db", "Permission denied")
        (folder / "s.db").chmod(0o666)
        folder.chmod(0o555)
        code("a read-only folder", nobody("ask", "studies/s.db"), 6, "hone: studies/s.db", "read-only", "must both be writable")
        code("nothing new in it", nobody("ask", "studies/n.db", "--search", "x=0..1"), 6, "cannot open the study", "Permission denied")
        (folder / "s.db").chmod(0)
        code("a file of others", nobody("ask", "studies/s.db"), 6, "Permission denied")
        folder.chmod(0o777)
        (folder / "s.db").chmod(0o666)
        code("all is well again", nobody("tell", "studies/s.db", 0, 1), 0)


def test_damaged():
    study = tmp / "cut.db"
    for _ in range(20):
        hone("ask", study, "--search", "x=0..1", "--sampler", "random")
    whole = study.read_bytes()
    study.write_bytes(whole[:len(whole) // 2])
    code("a file that was cut", hone("ask", study), 6, "damaged")
    study.write_bytes(whole)
    code("whole again", hone("ask", study), 0)
    db = sqlite3.connect(study)
    db.execute("update trial set params='y=3' where number=4")
    db.commit()
    code("a row that makes no sense", hone("ask", study), 6, "trial 4 makes no sense")
    db.execute("update meta set value='hone.study/9' where key='format'")
    db.commit()
    code("settings that make no sense", hone("ask", study), 6, "damaged")
    db.execute("pragma user_version=7")
    db.commit()
    code("a newer Hone's", hone("ask", study), 2, "newer Hone")
    db.close()


long_study, long_lock = locked("long", 40)
long_wait = subprocess.Popen([str(HONE), "ask", str(long_study)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
for test in (test_loop, test_directions_and_numbers, test_exhausted, test_bad_spaces, test_files, test_many_at_once,
             test_locked_for_a_while, test_full_disk, test_no_rights, test_damaged):
    test()
_, said = long_wait.communicate()
check("locked for good", long_wait.returncode == 6 and "another process has held the study for 30 seconds" in said, said)
long_lock.join()
_hone.finish("ask_tell", tmp)
