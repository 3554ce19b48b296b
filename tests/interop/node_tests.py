#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ONNX's own test vectors, for the operators Hone runs: `hone verify` on every node test of the onnx package (1.22 is the last
that carries them) whose operators, types and form belong to Hone's scope. The vectors give weights, axes and bounds as graph
inputs; real models hold them as initializers, so that every case runs a second time with all inputs but the first stored in
the file. Prints passed, failed and refused per operator; fails when a case differs, or fewer pass than the list demands.

usage: node_tests.py BUILD_FOLDER [-v]
"""
import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import onnx
except ImportError:
    print("skipped: the onnx package is not installed")
    sys.exit(77)

DATA = pathlib.Path(onnx.__file__).parent / "backend/test/data/node"
HONE = pathlib.Path(sys.argv[1]) / "hone"
VERBOSE = "-v" in sys.argv
# operator: how many of its cases must pass, in one form or the other
WANTED = {
    "Add": 4, "And": 16, "ArgMax": 16, "ArgMin": 16, "BatchNormalization": 4, "Cast": 8, "CastLike": 8, "Clip": 9, "Concat": 24, "Div": 6, "Dropout": 8,
    "Elu": 3, "Erf": 1, "Flatten": 9, "Gelu": 4, "Gemm": 22, "Greater": 4, "GreaterOrEqual": 4, "GroupNormalization": 4,
    "Identity": 1, "InstanceNormalization": 4, "LayerNormalization": 38, "LeakyRelu": 3, "Less": 4, "LessOrEqual": 4,
    "LogSoftmax": 7, "LpNormalization": 6, "MatMul": 14, "Max": 11, "Mean": 5, "Min": 11, "Mul": 6, "Or": 16,
    "RMSNormalization": 38, "ReduceL1": 9, "ReduceL2": 9, "ReduceLogSum": 5, "ReduceLogSumExp": 9, "ReduceMax": 9, "ReduceMean": 8,
    "ReduceMin": 9, "ReduceSum": 12, "ReduceSumSquare": 9, "Relu": 1, "Reshape": 9, "Selu": 3, "Sigmoid": 2, "Size": 2, "Slice": 8,
    "Softmax": 7, "Softplus": 2, "Split": 14, "Squeeze": 2, "Sub": 6, "Tanh": 2, "TopK": 3, "Transpose": 7, "Unsqueeze": 7, "Where": 3,
    "Acos": 2, "Acosh": 2, "Asin": 2, "Asinh": 2, "Atan": 2, "Atanh": 2, "Ceil": 2, "CumSum": 9, "Cosh": 2, "Einsum": 7, "Floor": 2, "GatherND": 2, "IsInf": 2, "IsNaN": 2, "Mod": 6, "ReduceProd": 8, "Round": 1, "Sign": 1, "Sinh": 2, "Tan": 2, "Tile": 2,
    "Trilu": 17, "Sin": 2, "Cos": 2,
}
# the second input gives a type alone, so that a model that runs has none at run time
TYPE_ONLY = {"CastLike"}
# their outputs are what numpy's generator drew
RANDOM = {"test_training_dropout", "test_training_dropout_default", "test_training_dropout_mask", "test_training_dropout_default_mask"}


def with_initializers(case, tmp):
    """The case's model with every input but the first as an initializer, and its vectors; None when it has one input."""
    model = onnx.load(str(case / "model.onnx"))
    graph = model.graph
    folder = case / "test_data_set_0"
    if len(graph.input) < 2 or any(not i.type.HasField("tensor_type") for i in graph.input):
        return None
    for i in range(len(graph.input) - 1, 0, -1):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((folder / f"input_{i}.pb").read_bytes())
        tensor.name = graph.input[i].name
        graph.initializer.insert(0, tensor)
        del graph.input[i]
    out = tmp / case.name
    out.mkdir()
    onnx.save(model, str(out / "model.onnx"))
    vectors = out / "test_data_set_0"
    vectors.mkdir()
    for f in folder.glob("*.pb"):
        if not f.name.startswith("input_") or f.name == "input_0.pb":
            shutil.copy(f, vectors)
    return out


def folders(case):
    return sorted(str(p) for p in case.glob("test_data_set_*"))


def verify(case):
    """passed, FAILED or refused, and why."""
    r = subprocess.run([str(HONE), "verify", str(case / "model.onnx"), *folders(case), "--json"], capture_output=True, text=True)
    try:
        result = json.loads(r.stdout)
    except json.JSONDecodeError:
        result = {}
    if r.returncode == 0 and result.get("passed") == result.get("cases", 0) > 0:
        return "passed", ""
    if r.returncode == 3 and "error" in result:
        return "refused", result["error"]["text"]
    first = [row.get("first") for row in result.get("rows", []) if row.get("first")]
    return "FAILED", f"exit {r.returncode}: {first or result.get('error') or r.stderr[-300:] or r.stdout[-300:]}"


def main():
    if not DATA.is_dir():
        print(f"skipped: onnx {onnx.__version__} carries no node test vectors, wanted 1.22 or older")
        return 77
    if not HONE.exists():
        print(f"skipped: {HONE} is not built")
        return 77
    count = collections.defaultdict(collections.Counter)
    failed = 0
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="hone-node-"))
    for case in sorted(DATA.iterdir()):
        if not (case / "model.onnx").exists() or case.name.endswith("_expanded") or case.name in RANDOM:
            continue
        graph = onnx.load(str(case / "model.onnx")).graph
        if len(graph.node) != 1 or graph.node[0].op_type not in WANTED or graph.node[0].domain:
            continue
        op = graph.node[0].op_type
        for form, folder in (("inputs", case), ("initializers", with_initializers(case, tmp))):
            if folder is None or (form == "inputs" and op in TYPE_ONLY):
                continue
            verdict, why = verify(folder)
            failed += verdict == "FAILED"
            count[op][verdict] += 1
            if verdict == "FAILED" or (VERBOSE and why):
                print(f"{verdict:8} {case.name} ({form}): {why}")
    shutil.rmtree(tmp)
    print(f"\n{'operator':20} passed  failed  refused")
    for op in sorted(WANTED):
        c = count[op]
        short = c["passed"] < WANTED[op]
        failed += short
        print(f"{op:20} {c['passed']:6} {c['FAILED']:7} {c['refused']:8}{'   fewer than ' + str(WANTED[op]) if short else ''}")
    total = sum(count.values(), collections.Counter())
    print(f"{'all':20} {total['passed']:6} {total['FAILED']:7} {total['refused']:8}")
    return 1 if failed else 0


sys.exit(main())
