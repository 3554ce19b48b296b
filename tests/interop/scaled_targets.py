#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--scale-target on models with an activation at their end: refused by name where that cannot give the scaled targets, told where it
only just can; and what it leaves there is known again when another tool has renamed all tensors."""
import _common
from _common import check, folder, hone, np, onnx, ort_rows, run, tensors
from onnx import TensorProto, helper, numpy_helper

tmp = folder()
rng = np.random.default_rng(1)
x = rng.normal(size=(80, 3)).astype(np.float32)
y = np.stack([1e-9 * (2 + x[:, 0]), 1e11 * (1 + 0.1 * x[:, 1])], axis=1).astype(np.float32)
np.save(tmp / "x.npy", x), np.save(tmp / "y.npy", y)
HOW = ["--x", tmp / "x.npy", "--y", tmp / "y.npy", "--epochs", "2", "--force"]


def model(name, ops, *numbers):
    values = {"w": rng.normal(size=(3, 2)).astype(np.float32), "b": np.zeros(2, np.float32)}
    nodes, last = [helper.make_node("Gemm", ["x", "w", "b"], ["h"])], "h"
    for i, op in enumerate(ops):
        more = [f"n{i}_{k}" for k in range(len(numbers))] if op == "Clip" else []
        values |= dict(zip(more, (np.float32(v) for v in numbers)))
        nodes.append(helper.make_node(op, [last, *more], [f"v{i}"], name=f"end{i}"))
        last = f"v{i}"
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()])
    path = tmp / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def train(what, path, *args, want=0, texts=(), out="out.onnx"):
    r = hone("train", path, *HOW, *args, "-o", tmp / out)
    told = r.stdout + r.stderr
    check(what, r.returncode == want and all(t in told for t in texts), f"exit {r.returncode}, wanted {want} and {texts}: {told[-600:]}")
    return told


below, nothing = "no prediction will be below the least of", "gives nothing below 0"
for name, ops, numbers, standard, minmax in (
        ("softplus", ["Softplus"], (), nothing, below), ("relu", ["Relu"], (), nothing, below), ("exp", ["Exp"], (), nothing, below),
        ("views", ["Abs", "Identity"], (), nothing, below), ("tanh", ["Tanh"], (), "numbers from -1 to 1 only", "no prediction will be above the largest of"),
        ("clip", ["Clip"], (-1, 1), "numbers from -1 to 1 only", "no prediction will be above the largest of"),
        ("high", ["Clip"], (-1, 0.5), "numbers from -1 to 0.5 only", None), ("leaky", ["LeakyRelu"], (), "", "")):
    path = model(name, ops, *numbers)
    told = train(f"{name}: standard", path, "--scale-target", "standard", want=2 if standard else 0, texts=(standard,) if standard else ())
    if standard:
        check(f"{name}: by name, with what would do", "end0" in told and ("minmax" in told) == (minmax is not None), told)
    told = train(f"{name}: minmax", path, "--scale-target", "minmax", want=2 if minmax is None else 0, texts=(minmax,) if minmax else ())
    check(f"{name}: nothing else is said", bool(minmax) or minmax is None or "no prediction" not in told, told)
path = model("again", ["Softplus"])
train("a first scaling", path, "--scale-target", "minmax", out="first.onnx")
train("fitted anew", tmp / "first.onnx", "--scale-target", "standard", "--scale-again", want=2, texts=(nothing,))

net = model("plain", ["Identity"])
train("scaled", net, "--scale-target", "standard", "--epochs", "60", "--lr", "0.05", out="scaled.onnx")
m = onnx.load(tmp / "scaled.onnx")
names = {n: f"t{i}" for i, n in enumerate([t.name for t in m.graph.initializer] + [o for n in m.graph.node for o in n.output if o != "y"])}
for t in m.graph.initializer:
    t.name = names[t.name]
for i, n in enumerate(m.graph.node):
    n.name = f"node{i}"
    n.input[:] = [names.get(v, v) for v in n.input]
    n.output[:] = [names.get(v, v) for v in n.output]
onnx.save(m, tmp / "renamed.onnx")
train("renamed", tmp / "renamed.onnx", "--epochs", "20", "--lr", "0.05", texts=("scaled as they were",), out="on.onnx")
was, now = tensors(tmp / "renamed.onnx"), tensors(tmp / "on.onnx")
for old, stays in (("y/hone_Mul_by", True), ("y/hone_Add_by", True), ("w", False)):
    check(f"renamed: {old}", np.array_equal(was[names[old]], now[names[old]]) == stays, (was[names[old]], now[names[old]]))
got = ort_rows(tmp / "on.onnx", {"x": x}, len(x))["y"]
worst = np.max(np.abs(got - y) / np.std(y, axis=0), axis=0)
check("renamed: both columns are learned", np.all(worst < 0.5), str(worst))
_common.finish("scaled_targets", tmp)
