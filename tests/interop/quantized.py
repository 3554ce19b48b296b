#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Quantised models in QDQ form (tests/data/quant, made by tests/data/make_quant.py) beside ONNX Runtime and PyTorch.

Predictions are ONNX Runtime's without graph optimizations, to the bit, and within a step of the output of what its kernels for whole
numbers give, before and after training. Trained, only the numbers of weights and biases differ, and `hone eval` of the file gives the
run's figures; a resumed run and any number of threads end with the same bytes; what is written by other storage has the same numbers.
Step by step it is what PyTorch's fake quantisation trains. Forms that compute with whole numbers are refused by name.

usage: quantized.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import sys

import _common
from _common import DATA, check, checker, folder, load, np, onnx, predict, run, skip, tensors

try:
    import onnxruntime as ort
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
except ImportError as missing:
    skip(f"{missing.name} is not installed")

MODELS = DATA / "quant"
ROWS, IN, CLASSES = 400, 6, 3
LEVELS = ort.GraphOptimizationLevel


def runtime(path, x, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    s = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return s.run(None, {s.get_inputs()[0].name: x})[0]


def step(m):
    """The scale of the last QuantizeLinear."""
    last = next(n for n in m.graph.node if m.graph.output[0].name in n.output)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer}
    values.update({n.output[0]: onnx.numpy_helper.to_array(a.t) for n in m.graph.node for a in n.attribute if a.name == "value"})
    values.update({n.output[0]: values[n.input[0]] for n in m.graph.node if n.op_type == "Cast" and n.input[0] in values})
    return float(np.max(values[last.input[1]])) if last.op_type == "DequantizeLinear" else 0.0


def agree(what, path, x, tmp):
    m = load(path)
    got = predict(f"{what}: predict", path, {"x": x}, tmp, m.graph.output[0].name)
    if got is None:
        return
    plain, integers = runtime(path, x, LEVELS.ORT_DISABLE_ALL), runtime(path, x, LEVELS.ORT_ENABLE_ALL)
    far = np.abs(got - plain) > 1.001 * step(m)
    check(f"{what}: ONNX Runtime, no optimizations", not far.any(), np.abs(got - plain).max())
    # sums of floats in another order settle a near-tie otherwise now and then
    check(f"{what}: nearly all to the bit", (got != plain).mean() <= 1e-3, (got != plain).sum())
    check(f"{what}: ONNX Runtime, integer kernels", np.abs(got - integers).max() <= 1.001 * step(m), np.abs(got - integers).max())


def rows(name, tmp):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, IN)).astype(np.float32)
    t = np.maximum(x, 0) @ rng.normal(size=(IN, CLASSES)).astype(np.float32)
    if name == "uint8_in":
        x = np.clip(np.round(x * 32 + 128), 0, 255).astype(np.uint8)
    np.save(tmp / "x.npy", x)
    np.save(tmp / "y.npy", t.argmax(1) if "softmax" in name else t)
    return x


def train(what, path, out, tmp, *options, code=0):
    return run(f"{what}: train", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--val-split", "0.25", "--batch-size", "16", "--quiet",
               "--force", "--json", "-o", out, *options, code=code)


def trained(name, path, x, tmp):
    out, again = tmp / f"{name}.onnx", tmp / "again.onnx"
    run(f"{name}: no epochs", "train", path, "--epochs", "0", "--quiet", "--force", "-o", again)
    check(f"{name}: no epochs, the same bytes", again.read_bytes() == path.read_bytes())
    j = train(name, path, out, tmp, "--epochs", "12", "--lr", "0.005")
    if not out.exists():
        return
    check(f"{name}: better", j["val"]["loss"] < 0.8 * j["before"]["val"]["loss"], j["val"])
    before, after = tensors(path), tensors(out)
    moved = {k for k in before if before[k].tobytes() != after[k].tobytes()}
    stays = ("scale", "zero_point", "mean", "var")
    check(f"{name}: weights moved", len(moved) == (6 if name == "batchnorm" else 4) and not any(s in k for k in moved for s in stays), moved)
    a, b = load(path), load(out)
    for m in (a, b):
        del m.graph.initializer[:], m.metadata_props[:]
    check(f"{name}: nothing else did", a == b)
    check(f"{name}: onnx.checker", checker(load(out)))
    check(f"{name}: eval of all rows", run(f"{name}: eval", "eval", out, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--json")["loss"] > 0)
    agree(f"{name}, trained", out, x, tmp)
    train(f"{name}, three threads", path, again, tmp, "--epochs", "12", "--lr", "0.005", "--threads", "3")
    check(f"{name}: any number of threads", {k: v.tobytes() for k, v in tensors(again).items()} == {k: v.tobytes() for k, v in after.items()})
    train(f"{name}, again", out, again, tmp, "--epochs", "3", "--lr", "0.005")
    agree(f"{name}, trained again", again, x, tmp)


def resumed(tmp):
    """More epochs for a run that ended: shadow weights go on from the checkpoint, not from the rounded ones."""
    path, short, whole = MODELS / "gemm_i8_channel.onnx", tmp / "short.onnx", tmp / "whole.onnx"
    rows("gemm", tmp)
    train("resumed, in one go", path, whole, tmp, "--epochs", "8", "--lr", "0.003")
    train("resumed, first half", path, short, tmp, "--epochs", "4", "--lr", "0.003", "--keep-run")
    run("resumed: go on", "resume", f"{short}.run", "--epochs", "8", "--force", "--quiet")
    check("resumed: the same tensors", all(np.array_equal(v, tensors(whole)[k]) for k, v in tensors(short).items()))


def external(tmp):
    """The same numbers where the file has its tensors outside."""
    m = load(MODELS / "gemm_u8.onnx")
    source, out, plain = tmp / "external.onnx", tmp / "external_out" / "m.onnx", tmp / "plain.onnx"
    out.parent.mkdir()
    onnx.save_model(m, str(source), save_as_external_data=True, location="external.data", size_threshold=0)
    rows("gemm", tmp)
    train("external", source, out, tmp, "--epochs", "4", "--lr", "0.003")
    train("external, inside", MODELS / "gemm_u8.onnx", plain, tmp, "--epochs", "4", "--lr", "0.003")
    check("external: the same tensors", all(np.array_equal(v, tensors(plain)[k]) for k, v in tensors(out).items()))


def beside_torch(tmp):
    """Plain SGD on the same batches: after 50 steps the whole numbers are those of PyTorch's fake quantisation."""
    try:
        import torch
    except ImportError:
        return
    path, out = MODELS / "gemm_i8_channel.onnx", tmp / "sgd.onnx"
    x = torch.tensor(rows("gemm", tmp))
    y = torch.tensor(np.load(tmp / "y.npy"))
    t = {k: torch.tensor(v) for k, v in tensors(path).items()}
    shadow = {k: ((t[f"{k}_quantized"].float() * (t[s].reshape(-1, *[1] * (t[f"{k}_quantized"].dim() - 1)))).requires_grad_(True))
              for k, s in (("w0", "w0_scale"), ("b0", "b0_quantized_scale"), ("w1", "w1_scale"), ("b1", "b1_quantized_scale"))}

    def channel(v, s, low, high):
        return torch.fake_quantize_per_channel_affine(v, s, torch.zeros(len(s), dtype=torch.int32), 0, low, high)

    def rounded(v, name):
        return torch.fake_quantize_per_tensor_affine(v, t[f"{name}_scale"], t[f"{name}_zero_point"].int(), -128, 127)

    def layer(v, i):
        w = channel(shadow[f"w{i}"], t[f"w{i}_scale"], -128, 127)
        return torch.nn.functional.linear(v, w, shadow[f"b{i}"])  # a bias has 32 bits: its rounding is below what is compared

    optimizer = torch.optim.SGD(shadow.values(), lr=0.02)
    for at in range(0, ROWS, 16):
        for_this = slice(at, at + 16)
        h = rounded(torch.relu(rounded(layer(rounded(x[for_this], "x"), 0), "a0")), "h")
        loss = torch.nn.functional.mse_loss(rounded(layer(h, 1), "a1"), y[for_this])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run("PyTorch: train", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--batch-size", "16", "--no-shuffle", "--optimizer", "sgd", "--lr", "0.02",
        "--epochs", "1", "--quiet", "--force", "-o", out)
    got = tensors(out)
    for k in ("w0", "w1"):
        want = torch.round(shadow[k] / t[f"{k}_scale"].reshape(-1, 1)).clamp(-128, 127).detach().numpy()
        far, was = np.abs(got[f"{k}_quantized"] - want), t[f"{k}_quantized"].numpy()
        check(f"PyTorch: {k}", far.max() <= 1 and (far > 0).mean() < 0.03, (far.max(), (far > 0).sum()))
        check(f"PyTorch: {k} has moved", (want != was).mean() > 0.5, (want != was).mean())
    for k in ("b0", "b1"):
        apart = np.abs(got[f"{k}_quantized"] * t[f"{k}_quantized_scale"].numpy() - shadow[k].detach().numpy()).max()
        check(f"PyTorch: {k}", apart < 1e-3, apart)


def refused(tmp):
    """The other forms that ONNX Runtime writes."""
    class Rows:
        def __init__(self):
            self.left = 2

        def get_next(self):
            self.left -= 1
            return {"x": np.random.default_rng(0).normal(size=(8, IN)).astype(np.float32)} if self.left >= 0 else None

    w = np.random.default_rng(1).normal(size=(IN, CLASSES)).astype(np.float32)
    g = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "fc")], "g",
                               [onnx.helper.make_tensor_value_info("x", 1, ["N", IN])], [onnx.helper.make_tensor_value_info("y", 1, ["N", CLASSES])],
                               [onnx.numpy_helper.from_array(w, "w")])
    source = tmp / "float.onnx"
    onnx.save(onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), source)
    rows("gemm", tmp)
    quantize_static(source, tmp / "operator.onnx", Rows(), quant_format=QuantFormat.QOperator, weight_type=QuantType.QInt8)
    quantize_dynamic(source, tmp / "dynamic.onnx")
    for name in ("operator", "dynamic"):
        r = _common.hone("train", tmp / f"{name}.onnx", "--x", tmp / "x.npy", "--y", tmp / "y.npy", "-o", tmp / "no.onnx")
        check(f"{name}: refused, with what to do", r.returncode != 0 and "whole numbers" in r.stderr and "QDQ" in r.stderr, r.stderr)


def main():
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    tmp = folder()
    for path in sorted(p for p in MODELS.glob("*.onnx") if only in p.stem):
        x = rows(path.stem, tmp)
        agree(path.stem, path, x, tmp)
        trained(path.stem, path, x, tmp)
    if not only:
        resumed(tmp)
        external(tmp)
        beside_torch(tmp)
        refused(tmp)
    _common.finish("quantized", tmp)


main()
