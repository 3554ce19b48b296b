#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kernel times of the last of several equal steps, in order, from what ncu wrote (--csv --page raw, gpu__time_duration).

usage: kernels.py FILE STEPS"""
import csv
import re
import sys

lines = [line for line in open(sys.argv[1], encoding="utf-8", errors="replace") if line.startswith('"')]
rows = [r for r in csv.DictReader(lines) if r.get("Kernel Name") and r["ID"].isdigit()]
column = next((c for c in (rows[0] if rows else {}) if "time_duration" in c), None)
if not column:
    print("no kernels in", sys.argv[1])
    sys.exit(0)
unit = next((r[column] for r in csv.DictReader(lines) if not r["ID"].isdigit()), "ns")
scale = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3}.get(unit, 1)
n = len(rows) // int(sys.argv[2])
times = []
for r in rows[len(rows) - n:]:
    name = re.sub(r"<.*|\(.*", "", r["Kernel Name"].replace("void ", "")).split("::")[-1]
    us = float(r[column].replace(",", "")) * scale
    times.append(us)
    print(f"  {us:8.2f} us  {name[:60]:60} grid {r.get('Grid Size', '')} block {r.get('Block Size', '')}")
print(f"  {sum(times):8.2f} us  of {n} launches ({len(rows)} in all)")
