#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras and JAX models as their exporters write them (tests/data/make_keras_models.py, make_jax_models.py): computed as ONNX Runtime
does, with as many numbers that learn as the framework counts, gradients that agree, and after training a file that ONNX
Runtime opens.

usage: frameworks.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, checker, folder, inputs, load, np, ort_rows, predict, run, tensors

HERE = DATA / "frameworks"
ROWS = 48
tmp = folder()


def one(path, learn):
    what, out = path.stem, tmp / "out.onnx"
    name, _, dims = inputs(load(path))[0]
    x = np.random.default_rng(3).normal(size=(ROWS, dims[1])).astype(np.float32)
    want = ort_rows(path, {name: x}, ROWS)
    output = next(iter(want))
    got = predict(f"{what}: predict", path, {name: x}, tmp, output)
    if got is None:
        return
    check(f"{what}: as ONNX Runtime", apart(got, want[output]) <= 2e-6, apart(got, want[output]))
    j = run(f"{what}: inspect", "inspect", path, "--json")
    check(f"{what}: numbers that learn", j["trainable_parameters"] == learn, (j["trainable_parameters"], learn))
    run(f"{what}: gradcheck", "gradcheck", path)
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--force", "-o", out)
    check(f"{what}: the same bytes", out.read_bytes() == path.read_bytes())
    np.save(tmp / "x.npy", x)
    np.save(tmp / "y.npy", np.tanh(want[output] + x[:, :1]))
    run(f"{what}: train", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "3", "--batch-size", "8", "--save", "last", "--quiet", "--force", "-o", out)
    before, after = tensors(path), tensors(out)
    moved = sum(int((before[k] != after[k]).sum()) for k in before)
    check(f"{what}: what learns moves", moved >= 0.9 * learn, (moved, learn))
    check(f"{what}: onnx.checker", not checker(load(path)) or checker(load(out)))
    got = predict(f"{what}: trained", out, {name: x}, tmp, output)
    check(f"{what}: trained, as ONNX Runtime", got is not None and apart(got, ort_rows(out, {name: x}, ROWS)[output]) <= 2e-6)


def main():
    for framework in ("keras", "jax"):
        for name, learn in json.loads((HERE / f"{framework}.json").read_text()).items():
            if len(sys.argv) < 3 or sys.argv[2] in f"{framework}_{name}":
                one(HERE / f"{framework}_{name}.onnx", learn)
    _common.finish("frameworks", tmp)


main()
