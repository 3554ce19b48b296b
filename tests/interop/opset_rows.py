#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of ONNX operators (ops/graph/rows.c) against the onnx package's schemas: every version of an operator in the
table that opsets 7 to 24 can mean has a row, no row names a version that does not exist, and a row's attributes are those
of its versions (more may be known, for older files; fewer would refuse valid ones).

usage: opset_rows.py BUILD_FOLDER"""
import pathlib
import re
import sys

try:
    from onnx import defs
except ImportError:
    print("skipped: onnx is not installed")
    sys.exit(77)

FIRST, LAST = 7, 24
# attributes of forms that are refused by name, and those of operators before their first version here
REFUSED = {"Constant": {"sparse_value", "value_string", "value_strings"}}
# default-domain LayerNormalization below 17 and the simplified one are what ONNX Runtime writes; the standard has none
OWN = {("LayerNormalization", 1), ("SimplifiedLayerNormalization", 1)}

text = (pathlib.Path(__file__).resolve().parents[2] / "ops" / "graph" / "rows.c").read_text()
schemas = {}
for m in re.finditer(r"^SCHEMA\((\w+),(.*?)\);", text, re.S | re.M):
    schemas[m[1]] = set(re.findall(r'"(\w+)"', m[2]))
rows = {}
for m in re.finditer(r'(?:[A-Z]+\(|\{ "", )"(\w+)",\s*V\(([\d, ]+)\)([^;]*?)(?=\n    (?:[A-Z]+\(|\{ ")|\n\};)', text, re.S):
    names = [s for s in re.findall(r"\ba_\w+", m[3])]
    if not names and m[0].startswith(("BINARY", "VARIADIC")):
        names = ["a_old"]
    for v in map(int, m[2].split(",")):
        rows[m[1], v] = schemas[names[0]] if names else set()

wanted = {}
for s in defs.get_all_schemas_with_history():
    if s.domain == "" and any(t == s.name for t, _ in rows):
        wanted.setdefault(s.name, {})[s.since_version] = s
bad = 0


def wrong(what):
    global bad
    bad += 1
    print(what)


for name, versions in sorted(wanted.items()):
    for v, s in sorted(versions.items()):
        later = [u for u in versions if u > v]
        meant = v <= LAST and (not later or min(later) > FIRST)  # some opset from 7 to 24 means this version
        if meant and (name, v) not in rows:
            wrong(f"{name}-{v} has no row")
        if meant and (name, v) in rows:
            missing = set(s.attributes) - rows[name, v] - REFUSED.get(name, set())
            if missing:
                wrong(f"{name}-{v}: attributes {sorted(missing)} are unknown to its row")
for name, v in sorted(rows):
    if v not in wanted.get(name, {}) and (name, v) not in OWN:
        wrong(f"row {name}-{v}: there is no such version")
print(f"opset_rows: {len(rows)} rows and versions, {len(wanted)} operators, {bad} wrong")
sys.exit(1 if bad or len(rows) < 150 else 0)
