#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone export reads a study that it may not write, sees what other processes have written up to then, and leaves it as it is."""
import json
import os
import shutil
import sqlite3
import subprocess

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
tmp.chmod(0o755)
SPACE = ["--search", "lr=log:1e-4..1e-1", "--sampler", "random"]
NOBODY = 65534


def as_nobody(*args):
    """By a user that has no rights but everybody's; None where that cannot be arranged."""
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        return _hone.Run(subprocess.run([str(HONE)] + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", **who))
    except PermissionError:
        return None


def state(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_mode) for p in sorted(folder.iterdir())}


def study(name, trials):
    folder = tmp / name
    folder.mkdir()
    for i in range(trials):
        code("ask", hone("ask", folder / "study?#%.db", *SPACE), 0)
        code("tell", hone("tell", folder / "study?#%.db", i, i / 2), 0)
    return folder


def read_only(folder):
    for p in folder.iterdir():
        p.chmod(0o444)
    folder.chmod(0o555)


def values(folder):
    out = tmp / "out" / f"{folder.name}.log"
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return [line["value"] for line in lines if "value" in line]


def exported(what, run, folder, wanted, told):
    if run is None:
        print(f"  {what}: left out, nobody may not run the command here")
        return
    code(what, run, 0)
    check(f"{what}: its values", values(folder) == told, values(folder))
    check(f"{what}: as it was", state(folder) == wanted, sorted(state(folder)))


def export(folder, by=as_nobody):
    return by("export", folder / "study?#%.db", "--optuna", tmp / "out" / f"{folder.name}.log", "--json", "--force")


(tmp / "out").mkdir()
(tmp / "out").chmod(0o777)

folder = study("closed", 3)
before = state(folder)
exported("a closed study", export(folder, hone), folder, before, [0, 0.5, 1])
read_only(folder)
before = state(folder)
exported("one that may not be written", export(folder), folder, before, [0, 0.5, 1])

# another process has it open: the last results are in the log
folder = study("open", 2)
db = sqlite3.connect(folder / "study?#%.db")
db.execute("UPDATE trial SET value=7 WHERE number=1")
db.commit()
check("a log", (folder / "study?#%.db-wal").stat().st_size > 0)
code("one that is in use", export(folder, hone), 0)
check("the newest values", values(folder) == [0, 7], values(folder))
db.execute("UPDATE trial SET value=8 WHERE number=1")
db.commit()
shutil.copytree(folder, tmp / "left")  # as a machine that went down leaves it
shutil.copytree(folder, tmp / "half")
db.close()
folder = tmp / "left"
read_only(folder)
exported("a log that was left", export(folder), folder, state(folder), [0, 8])
folder = tmp / "half"
(folder / "study?#%.db-shm").unlink()
read_only(folder)
before, r = state(folder), export(folder)
if r is not None:
    code("a log that cannot be used is not passed over", r, 6, "in the log", "copy")
    check("half: as it was", state(folder) == before)
    (folder / "study?#%.db").chmod(0)
    code("a file that may not be read", export(folder), 6, "ermission denied")

(tmp / "out" / "empty").mkdir()
(tmp / "out" / "empty" / "study?#%.db").touch()
code("an empty file", export(tmp / "out" / "empty", hone), 2, "no study")
code("none", export(tmp / "out" / "nowhere", hone), 6, "no such study")
check("and none is made", not (tmp / "out" / "nowhere").exists() and (tmp / "out" / "empty" / "study?#%.db").stat().st_size == 0)
for folder in tmp.iterdir():
    folder.chmod(0o755)
_hone.finish("export", tmp)
