#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small networks, one for each way of using an operator that recorded models do not hold: computed as ONNX Runtime does, gradients
against central differences, trained, and opened by ONNX Runtime again with the parameters moved that should be.

usage: operators.py BUILD_FOLDER [WORD]    only the cases with WORD in their names"""
import sys

import _common
from _common import apart, check, folder, load, np, onnx, ort_rows, predict, run, tensors
from onnx import TensorProto, helper, numpy_helper

tmp = folder()
rng = np.random.default_rng(5)
ROWS, WIDE, HIDDEN, CLASSES = 24, 5, 6, 3
x = rng.normal(size=(ROWS, WIDE)).astype(np.float32)
labels = rng.integers(0, CLASSES, ROWS)
np.save(tmp / "x.npy", x)
np.save(tmp / "y.npy", labels)
MS = "com.microsoft"


def node(op, inputs, output, domain="", **attrs):
    return helper.make_node(op, inputs.split(), output.split(), domain=domain, **attrs)


def weights(*shape, scale=0.6):
    return (rng.normal(size=shape) * scale).astype(np.float32)


def model(name, middle, extra=None, opset=18, first=True):
    """x Gemm(w0, b0) -> h, the nodes of `middle` from h (or x) to z, Gemm(w9, b9) -> y."""
    values = {"w0": weights(WIDE, HIDDEN), "b0": weights(HIDDEN), "w9": weights(HIDDEN, CLASSES), "b9": weights(CLASSES)}
    values.update(extra or {})
    nodes = [node("Gemm", "x w0 b0", "h")] * first + middle + [node("Gemm", "z w9 b9", "y")]
    if not first:
        del values["w0"], values["b0"]
    used = {i for n in nodes for i in n.input}
    g = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDE])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
                          [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items() if k in used])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)], ir_version=10)
    onnx.save(m, str(tmp / f"{name}.onnx"))
    return tmp / f"{name}.onnx"


def same(what, path):
    got, want = predict(what, path, {"x": x}, tmp, "y"), ort_rows(path, {"x": x}, ROWS)["y"]
    check(f"{what}: as ONNX Runtime", got is not None and apart(got, want) <= 2e-6, got is not None and apart(got, want))


def case(name, middle, extra=None, moved=(), still=(), reference=False, **more):
    """moved: tensors that training changes, beside the layers' own; still: that it leaves alone. reference: ONNX Runtime has no
    kernel, the onnx package's evaluator judges."""
    if len(sys.argv) > 2 and sys.argv[2] not in name:
        return
    path, out = model(name, middle, extra, **more), tmp / f"{name}_trained.onnx"
    (evaluated if reference else same)(name, path)
    run(f"{name}: gradients", "gradcheck", path, "--loss", "ce")
    run(f"{name}: trains", "train", path, "--x", f"x={tmp / 'x.npy'}", "--y", tmp / "y.npy", "--loss", "ce", "--epochs", "3", "--batch-size", "8",
        "--lr", "0.02", "--save", "last", "--quiet", "-o", out)
    if not out.exists():
        return
    (evaluated if reference else same)(f"{name}, trained", out)
    before, after = tensors(path), tensors(out)
    for t in ("w9", "b9", *moved):
        check(f"{name}: {t} learns", not np.array_equal(before[t], after[t]))
    for t in still:
        check(f"{name}: {t} stays", np.array_equal(before[t], after[t]))


def evaluated(what, path):
    from onnx.reference import ReferenceEvaluator

    got, want = predict(what, path, {"x": x}, tmp, "y"), ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    check(f"{what}: as the evaluator", got is not None and apart(got, want) <= 2e-6, got is not None and apart(got, want))


def normalisations():
    one = np.ones(HIDDEN, np.float32)
    case("rms", [node("RMSNormalization", "h g", "z", epsilon=1e-3)], {"g": one}, ["g", "w0"], opset=23, reference=True)
    case("lp2", [node("LpNormalization", "h", "z")], moved=["w0"])
    case("lp1", [node("LpNormalization", "h", "z", axis=1, p=1)], moved=["w0"])


def reductions():
    for op in ("ReduceMin", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp"):
        middle = [node(op, "h last", "r"), node("Add", "h r", "z")]
        case(op, middle, {"last": np.array([-1])}, ["w0"])
        case(f"{op}13", [node(op, "h", "r", axes=[1], keepdims=0), node("Unsqueeze", "r last", "s"), node("Add", "h s", "z")],
             {"last": np.array([-1])}, ["w0"], opset=13)
    case("ReduceLogSum", [node("Exp", "h", "e"), node("ReduceLogSum", "e last", "r"), node("Sub", "h r", "z")], {"last": np.array([-1])}, ["w0"])
    case("Mean", [node("Tanh", "h", "t"), node("Mean", "h t c", "z")], {"c": weights(HIDDEN)}, ["w0"])
    case("Mean of one", [node("Mean", "h", "z")], moved=["w0"])


def types():
    case("CastLike", [node("CastLike", "c h", "d"), node("Mul", "h d", "z")], {"c": np.array(2.0)}, ["w0"], opset=15)
    case("Size", [node("Size", "h", "s"), node("Shape", "h", "t", end=1), node("Div", "s t", "q"), node("Concat", "open q", "to", axis=0),
                  node("Reshape", "h to", "z")], {"open": np.array([-1])}, ["w0"])


normalisations()
reductions()
types()
_common.finish("operators", tmp)
