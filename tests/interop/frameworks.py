#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras and JAX models as their exporters write them (tests/data/make_keras_models.py, make_keras_backend_models.py, make_jax_models.py):
computed as ONNX Runtime does, with as many numbers that learn as the framework counts, gradients that agree, and after training a file that
ONNX Runtime opens. Fresh weights leave none of those numbers as it was without a word. BatchNormalization that Keras writes out with JAX trains as the operator does.

usage: frameworks.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, checker, folder, hone, inputs, load, np, onnx, ort_rows, predict, run, tensors

HERE = DATA / "frameworks"
ROWS = 48
tmp = folder()


def feeds_of(path):
    """Numbers, and for integers indices of a table of 5, also counted from its end where PyTorch's Keras allows for that."""
    rng, feeds = np.random.default_rng(3), {}
    for name, kind, dims in inputs(load(path)):
        low = -5 if "torch" in path.stem else 0
        feeds[name] = rng.integers(low, 5, (ROWS, dims[1])).astype(np.int32) if kind == onnx.TensorProto.INT32 else rng.normal(size=(ROWS, dims[1])).astype(np.float32)
    return feeds


def data_of(feeds):
    args = []
    for name, x in feeds.items():
        np.save(tmp / f"{name}.npy", x)
        args += ["--x", f"{name}={tmp / f'{name}.npy'}"]
    return args


def one(path, learn):
    what, out, fresh = path.stem, tmp / "out.onnx", tmp / "fresh.onnx"
    feeds = feeds_of(path)
    x = feeds[inputs(load(path))[0][0]]
    want = ort_rows(path, feeds, ROWS)
    output = next(iter(want))
    got = predict(f"{what}: predict", path, feeds, tmp, output)
    if got is None:
        return
    check(f"{what}: as ONNX Runtime", apart(got, want[output]) <= 2e-6, apart(got, want[output]))
    j = run(f"{what}: inspect", "inspect", path, "--json")
    check(f"{what}: numbers that learn", j["trainable_parameters"] == learn, (j["trainable_parameters"], learn))
    run(f"{what}: gradcheck", "gradcheck", path)
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--force", "-o", out)
    check(f"{what}: the same bytes", out.read_bytes() == path.read_bytes())
    np.save(tmp / "y.npy", np.tanh(want[output] + x[:, :1]))
    run(f"{what}: train", "train", path, *data_of(feeds), "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "3", "--batch-size", "8", "--save", "last", "--quiet", "--force", "-o", out)
    before, after = tensors(path), tensors(out)
    moved = sum(int((before[k] != after[k]).sum()) for k in before)
    check(f"{what}: what learns moves", moved >= 0.9 * learn, (moved, learn))
    check(f"{what}: onnx.checker", not checker(load(path)) or checker(load(out)))
    got = predict(f"{what}: trained", out, feeds, tmp, output)
    check(f"{what}: trained, as ONNX Runtime", got is not None and apart(got, ort_rows(out, feeds, ROWS)[output]) <= 2e-6)
    r = hone("train", out, "--epochs", "0", "--init", "fresh", "--force", "-o", fresh)
    begun, line = tensors(fresh), next((t for t in r.stderr.splitlines() if t.startswith("--init leaves")), "")
    named = line.partition(": ")[2].split(", ")
    moved = sum(int(((begun[k] != after[k]) | (after[k] == 0)).sum()) for k in after if k not in named)
    left = sum(after[k].size for k in named if k)
    check(f"{what}: fresh weights are all of them, or named", r.returncode == 0 and moved >= learn - left and left <= 16, (moved, learn, line))


def with_operator(m):
    """The model with BatchNormalization for the arithmetic on constants between its first Add and what follows."""
    made = {v: n for n in m.graph.node for v in n.output}

    def root(v):
        return root(made[v].input[0]) if v in made else v

    node = {kind: [n for n in m.graph.node if n.op_type == kind] for kind in ("Sqrt", "Neg", "Relu")}
    eps = made[node["Sqrt"][0].input[0]]
    last = made[node["Relu"][0].input[0]]
    product, shift = made[last.input[0]], made[last.input[1]]
    scale = made[product.input[1]].input[1]
    part = [product.input[0], root(scale), root(shift.input[1]), root(node["Neg"][0].input[0]), root(eps.input[0])]
    norm = onnx.helper.make_node("BatchNormalization", part, last.output, "norm", momentum=0.99, epsilon=1e-3)
    first, after = list(m.graph.node)[:2], list(m.graph.node)
    after = after[after.index(node["Relu"][0]):]
    del m.graph.node[:]
    m.graph.node.extend(first + [norm] + after)
    return m, part[1:]


def batchnorm():
    path, plain, out, ref = HERE / "keras_jax_batchnorm.onnx", tmp / "plain.onnx", tmp / "out.onnx", tmp / "ref.onnx"
    m, part = with_operator(load(path))
    onnx.save(m, plain)
    feeds = feeds_of(path)
    np.save(tmp / "y.npy", np.random.default_rng(4).normal(size=(ROWS, 2)).astype(np.float32))
    for how in (["--optimizer", "sgd", "--lr", "0.05"], ["--lr", "0.01", "--weight-decay", "0.1", "--no-decay", "norm"], ["--batchnorm", "freeze"]):
        for source, to in ((path, out), (plain, ref)):
            run(f"{how}: train", "train", source, *data_of(feeds), "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "5", "--batch-size", "8", "--save", "last", "--quiet", "--force", *how, "-o", to)
        was, got, want = tensors(path), tensors(out), tensors(ref)
        off = max(apart(got[k], want[k]) for k in want if want[k].dtype == np.float32 and "--lr" not in how[:1] or k in part)
        check(f"batchnorm, {' '.join(how)}: as the operator", off <= 2e-5, off)
        check(f"batchnorm, {' '.join(how)}: statistics", all(np.array_equal(got[k], was[k]) == ("freeze" in how) for k in part))


def main():
    if len(sys.argv) < 3:
        batchnorm()
    for framework in ("keras", "jax", "keras_jax", "keras_torch"):
        for name, learn in json.loads((HERE / f"{framework}.json").read_text()).items():
            if len(sys.argv) < 3 or sys.argv[2] in f"{framework}_{name}":
                one(HERE / f"{framework}_{name}.onnx", learn)
    _common.finish("frameworks", tmp)


main()
