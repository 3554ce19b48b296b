#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models as today's exporters write them (tests/data/models, made by tests/data/make_models.py): inspected, predicted beside
ONNX Runtime, trained for one epoch, exported, loaded by onnx.checker and ONNX Runtime. What exporters merge because it was
equal comes apart; what was one tensor stays one.

usage: exporters.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import (DATA, apart, check, checker, folder, inference_form, load, np, ort_rows, predict, run, tensors)

MODELS = DATA / "models"
ROWS = 40


def rows_of(dtype, width):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 6)).astype(dtype)
    return x, (np.tanh(x[:, :width] * 2) + 0.5).astype(dtype)


def outputs_agree(what, path, x, tmp):
    want = ort_rows(inference_form(path, tmp), {"x": x}, len(x))
    got = predict(f"{what}: predict", path, {"x": x}, tmp, next(iter(want)))
    limit = 1e-12 if x.dtype == np.float64 else 1e-5
    if got is not None:
        off = apart(got, next(iter(want.values())))
        check(f"{what}: beside ONNX Runtime", off <= limit, f"{off:.2e}")


def train(what, path, out, x, y, tmp, *options):
    np.save(tmp / "x.npy", x)
    np.save(tmp / "y.npy", y)
    run(f"{what}: train", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "1", "--batch-size",
        "8", "--optimizer", "sgd", "--quiet", "--force", "-o", out, *options)
    return out.exists()


def one(path, told, tmp):
    what, out, again = path.stem, tmp / path.name, tmp / "again.onnx"
    info = run(f"{what}: inspect", "inspect", path, "--json")
    check(f"{what}: trainable numbers", info["trainable_parameters"] == told["trainable"], (info["trainable_parameters"], told))
    check(f"{what}: ties", len(info["ties"]) == told["ties"], info["ties"])
    check(f"{what}: nothing in the way", not [i for i in info["issues"] if i["severity"] in ("error", "blocks training")], info["issues"])
    x, y = rows_of(np.float64 if info["dtype"] == "float64" else np.float32, info["outputs"][0]["dims"][1])
    outputs_agree(what, path, x, tmp)
    if not train(what, path, out, x, y, tmp, "--lr", "0.05"):
        return
    check(f"{what}: onnx.checker", checker(load(out)) or not checker(load(path)))
    check(f"{what}: opset and IR", list(load(out).opset_import) == list(load(path).opset_import)
          and load(out).ir_version == load(path).ir_version)
    check(f"{what}: inference form", inference_form(out, tmp) == out)
    outputs_agree(f"{what}, trained", out, x, tmp)
    after = run(f"{what}: inspect the export", "inspect", out, "--json")
    check(f"{what}: nothing left to tell apart", after["unties"] == [] and len(after["ties"]) == told["ties"], after["unties"])
    check(f"{what}: still as many numbers", after["trainable_parameters"] == told["trainable"], after["trainable_parameters"])
    run(f"{what}: no epochs", "train", out, "--epochs", "0", "--quiet", "--force", "-o", again)
    check(f"{what}: no epochs, the same bytes", again.read_bytes() == out.read_bytes())
    again.unlink()
    scales_stay(what, path, x, y, tmp)


def scales_stay(what, path, x, y, tmp):
    """At a rate of nothing BatchNorm's statistics move and its scale and bias do not."""
    out = tmp / "still.onnx"
    norms = [n for n in load(path).graph.node if n.op_type == "BatchNormalization"]
    if not norms or not train(f"{what}, at no rate", path, out, x, y, tmp, "--lr", "1e-30"):
        return
    a, b = tensors(path), tensors(out)
    alias = {n.output[0]: n.input[0] for n in load(path).graph.node if n.op_type == "Identity"}
    for n in norms:
        for k, moves in ((1, False), (2, False), (3, True), (4, True)):
            old, new = a[alias.get(n.input[k], n.input[k])], b[n.input[k]]
            check(f"{what}: input {k} of {n.name or n.output[0]} {'moves' if moves else 'stays'}", moves != np.allclose(old, new, rtol=0, atol=1e-20))


def apart_and_together(tmp):
    """The tensors by name: merged ones have come apart, tied ones are still one."""
    trained = {p.stem: tensors(p) for p in tmp.glob("*.onnx")}
    if "zero_biases" in trained:
        t = trained["zero_biases"]
        check("zero_biases: three biases of their own", not np.array_equal(t["a.bias"], t["b.bias"]) and t["b.bias"].any(), list(t))
    if "layernorms_dynamo" in trained:
        m = load(tmp / "layernorms_dynamo.onnx")
        scales = [tuple(n.input[1:3]) for n in m.graph.node if n.op_type == "LayerNormalization"]
        t = trained["layernorms_dynamo"]
        check("layernorms_dynamo: each has its own scale and bias", len(set(sum(scales, ()))) == 6, scales)
        check("layernorms_dynamo: and they differ", not np.array_equal(t[scales[0][0]], t[scales[1][0]]))
    for name, tied in (("autoencoder", "encoder.weight"), ("twice", "layer.weight")):
        if name in trained:
            m = load(tmp / f"{name}.onnx")
            check(f"{name}: one tensor", sum(tied in n.input for n in m.graph.node) == 2, [list(n.input) for n in m.graph.node])
            check(f"{name}: the tensors of the file", set(trained[name]) == set(tensors(MODELS / f"{name}.onnx")))
    if "dynamo_external" in trained:
        check("dynamo_external: a file beside it", (tmp / "dynamo_external.onnx.data").stat().st_size
              == (MODELS / "dynamo_external.onnx.data").stat().st_size > 0)


def main():
    told, tmp = json.loads((MODELS / "models.json").read_text()), folder()
    check("every model is told of", {p.stem for p in MODELS.glob("*.onnx")} == set(told))
    for name in sorted(told):
        if len(sys.argv) < 3 or sys.argv[2] in name:
            try:
                one(MODELS / f"{name}.onnx", told[name], tmp)
            except Exception as e:  # one broken model must not hide the others
                check(name, False, repr(e))
    for p in ("still.onnx", "again.onnx"):
        (tmp / p).unlink(missing_ok=True)
    apart_and_together(tmp)
    _common.finish("exporters", tmp)


main()
