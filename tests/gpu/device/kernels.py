#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kernel times of the last of several equal steps, in order, with instructions a warp and what warps wait for (a share of the
time that they are there), from what ncu wrote (--csv --page raw).

usage: kernels.py FILE STEPS"""
import csv
import re
import sys

lines = [line for line in open(sys.argv[1], encoding="utf-8", errors="replace") if line.startswith('"')]
every = list(csv.DictReader(lines))
rows = [r for r in every if r.get("Kernel Name") and r["ID"].isdigit()]
units = next((r for r in every if not r["ID"].isdigit()), {})
STALL = re.compile(r"smsp__average_warps_issue_stalled_(\w+)_per_issue_active")


def number(row, part):
    for name in row:
        if part in name:
            try:
                return float(row[name].replace(",", ""))
            except (ValueError, AttributeError):
                return None
    return None


if not rows or number(rows[0], "time_duration") is None:
    print("no kernels in", sys.argv[1])
    sys.exit(0)
unit = next((units[c] for c in units if "time_duration" in c), "ns")
scale = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3}.get(unit, 1)
n = len(rows) // int(sys.argv[2])
times = []
for r in rows[len(rows) - n:]:
    name = re.sub(r"<.*|\(.*", "", r["Kernel Name"].replace("void ", "")).split("::")[-1]
    times.append(number(r, "time_duration") * scale)
    warps, done = number(r, "warps_launched"), number(r, "inst_executed")
    stalls = {m.group(1): number(r, c) for c in r if (m := STALL.match(c))}
    whole = sum(v for v in stalls.values() if v) or 1
    why = ", ".join(f"{k} {v / whole:.0%}" for k, v in sorted(stalls.items(), key=lambda x: -(x[1] or 0))[:4] if v)
    print(f"  {times[-1]:8.2f} us  {name[:32]:32} {r.get('Grid Size', ''):14} {done / warps if warps else 0:7.0f} instructions a warp  {why}")
print(f"  {sum(times):8.2f} us  of {n} launches ({len(rows)} in all)")
