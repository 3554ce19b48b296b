#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Katib's StdOut collector finds in the output of the trial of examples/pipelines/katib.yaml, by its default filter."""
import csv
import re
import subprocess

import _hone
from _hone import BUILD, EXAMPLES, check

FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"  # of Katib's documentation

_hone.need_hone()
tmp = _hone.folder()
text = (EXAMPLES / "pipelines" / "katib.yaml").read_text()
words = re.findall(r"^ {18}- (.*)$", text, re.M)
given = dict(zip(re.findall(r"- \{name: (\w+), reference", text), ("5e-05", "64")))
places = {"/data/": f"{EXAMPLES / 'mnist'}/", "/tmp/": f"{tmp}/"}  # once: where this stands may have such a part, too
line = " ".join([str(BUILD / "hone"), *(re.sub("/data/|/tmp/", lambda m: places[m[0]], w) for w in words[1:])])
check("the command is hone", words[0] == "hone", words)
for name, value in given.items():
    line = line.replace("${trialParameters." + name + "}", value)
check("all parameters have a value", "$" not in line and len(given) == 2, line)
log = tmp / "metrics.log"
r = subprocess.run(["sh", "-c", f"{line} --keep-run 1>{log} 2>&1 && echo completed > {tmp}/pid"], timeout=600)
check("the trial has completed", r.returncode == 0 and (tmp / "pid").read_text() == "completed\n", log.read_text())

found = {}
for told in log.read_text().split("\n"):
    for name, value, _, _ in re.findall(FILTER, told):
        found.setdefault(name, []).append(value)
with open(tmp / "better.onnx.run" / "metrics.csv") as f:
    table = list(csv.DictReader(f))
objective = re.search(r"objectiveMetricName: (\w+)", text).group(1)
more = re.search(r"additionalMetricNames: \[(.*)\]", text).group(1).split(", ")
for name in [objective, *more]:
    want = [float(row[name]) for row in table if row[name]]
    got = [float(v) for v in found.get(name, [])]
    check(f"{name} of every epoch", len(got) == len(want) >= 5 and all(abs(g - w) <= 1e-5 * abs(w) for g, w in zip(got, want)), (got, want))
check("small numbers are whole", set(found["lr"]) == {"5e-05"}, found["lr"])
_hone.finish("katib", tmp)
