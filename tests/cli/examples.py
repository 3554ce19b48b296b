#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples do what their pages say: BatchNorm reaches an accuracy in fewer epochs, Dropout ends at a lower test loss."""
import csv
import os
import subprocess
import xml.dom.minidom

import _hone
from _hone import EXAMPLES, HONE, check

_hone.need_hone()
tmp = _hone.folder()


def example(name):
    """Rows of runs.csv by net and seed, in the order of the epochs."""
    r = subprocess.run([str(EXAMPLES / name / "run.sh"), str(tmp / name)], env=dict(os.environ, HONE=str(HONE)), capture_output=True, text=True)
    check(f"{name}/run.sh", r.returncode == 0, r.stderr[-500:])
    xml.dom.minidom.parse(str(tmp / name / "curves.svg"))
    check(f"{name}: the table", r.stdout == (tmp / name / "table.md").read_text() and r.stdout.count("\n") == 4, r.stdout)
    runs = {}
    with open(tmp / name / "runs.csv") as f:
        for row in csv.DictReader(f):
            runs.setdefault(row["net"], {}).setdefault(row["seed"], []).append(row)
    check(f"{name}: two nets, five seeds", sorted(len(s) for s in runs.values()) == [5, 5], list(runs))
    return runs


def test_batchnorm():
    runs = example("batchnorm")
    for goal in (0.5, 0.6, 0.7):
        first = {n: [next((int(r["epoch"]) for r in rows if float(r["val_accuracy"]) >= goal), 99) for rows in seeds.values()]
                 for n, seeds in runs.items()}
        check(f"fewer epochs to {goal}", max(first["BatchNorm"]) < 99 and all(a < b for a, b in zip(first["BatchNorm"], first["plain"])), first)


def test_dropout():
    runs = example("dropout")
    last = {n: [float(rows[-1]["test_loss"]) for rows in seeds.values()] for n, seeds in runs.items()}
    check("1,000 epochs", all(len(rows) == 1001 for seeds in runs.values() for rows in seeds.values()))
    check("a lower mean test loss with Dropout", sum(last["Dropout"]) < sum(last["plain"]), last)


test_batchnorm()
test_dropout()
_hone.finish("examples", tmp)
