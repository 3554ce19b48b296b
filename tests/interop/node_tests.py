#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ONNX's own test vectors, for the operators Hone runs: `hone verify` on every node test of the onnx package (1.22 is the last
that carries them) whose operators, types and form belong to Hone's scope. Prints passed, failed and skipped per operator;
fails when a case differs, or when fewer cases run than a list of operators demands.

usage: node_tests.py BUILD_FOLDER [-v]
"""
import collections
import json
import pathlib
import subprocess
import sys

try:
    import onnx
except ImportError:
    print("skipped: the onnx package is not installed")
    sys.exit(77)

DATA = pathlib.Path(onnx.__file__).parent / "backend/test/data/node"
HONE = pathlib.Path(sys.argv[1]) / "hone"
VERBOSE = "-v" in sys.argv
# operator: how many of its cases must pass
WANTED = {
    "Add": 2, "BatchNormalization": 2, "Clip": 6, "Concat": 8, "Div": 2, "Dropout": 3, "Elu": 2, "Erf": 1, "Flatten": 6,
    "Gelu": 4, "Gemm": 8, "Identity": 1, "LayerNormalization": 2, "LeakyRelu": 3, "LogSoftmax": 5, "MatMul": 2, "Mul": 2,
    "Relu": 1, "Reshape": 4, "Selu": 3, "Sigmoid": 2, "Slice": 2, "Softmax": 5, "Softplus": 2, "Split": 4, "Squeeze": 1,
    "Sub": 2, "Tanh": 2, "Transpose": 2, "Unsqueeze": 3,
}


def folders(case):
    return sorted(str(p) for p in case.glob("test_data_set_*"))


def main():
    if not DATA.is_dir():
        print(f"skipped: onnx {onnx.__version__} carries no node test vectors, wanted 1.22 or older")
        return 77
    if not HONE.exists():
        print(f"skipped: {HONE} is not built")
        return 77
    count = collections.defaultdict(collections.Counter)
    failed = 0
    for case in sorted(DATA.iterdir()):
        if not (case / "model.onnx").exists() or case.name.endswith("_expanded"):
            continue
        graph = onnx.load(str(case / "model.onnx")).graph
        ops = {n.op_type for n in graph.node}
        if len(graph.node) != 1 or not ops & set(WANTED) or any(n.domain for n in graph.node):
            continue
        op = graph.node[0].op_type
        r = subprocess.run([str(HONE), "verify", str(case / "model.onnx"), *folders(case), "--json"], capture_output=True, text=True)
        try:
            result = json.loads(r.stdout)
        except json.JSONDecodeError:
            result = {}
        if r.returncode == 0 and result.get("passed") == result.get("cases", 0) > 0:
            verdict, why = "passed", ""
        elif r.returncode == 3 and "error" in result:
            verdict, why = "skipped", result["error"]["text"]  # a named refusal
        else:
            first = [row.get("first") for row in result.get("rows", []) if row.get("first")]
            verdict, why = "FAILED", f"exit {r.returncode}: {first or result.get('error') or r.stderr[-300:] or r.stdout[-300:]}"
            failed += 1
        count[op][verdict] += 1
        if verdict == "FAILED" or (VERBOSE and why):
            print(f"{verdict:8} {case.name}: {why}")
    print(f"\n{'operator':20} passed  failed  refused")
    for op in sorted(WANTED):
        c = count[op]
        short = c["passed"] < WANTED[op]
        failed += short
        print(f"{op:20} {c['passed']:6} {c['FAILED']:7} {c['skipped']:8}{'   fewer than ' + str(WANTED[op]) if short else ''}")
    total = sum(count.values(), collections.Counter())
    print(f"{'all':20} {total['passed']:6} {total['FAILED']:7} {total['skipped']:8}")
    return 1 if failed else 0


sys.exit(main())
