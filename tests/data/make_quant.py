#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small quantised models in QDQ form, with test vectors of ONNX Runtime, for tests/train/test_quantized.c and tests/interop/quantized.py:

    python make_quant.py          (needs torch, onnx, onnxruntime; recorded with torch 2.11, onnxruntime 1.32)

Writes tests/data/quant/NAME.onnx and NAME/input_0.pb, output_0.pb. What onnxruntime.quantization.quantize_static writes of a Gemm and of
a MatMul + Add network: weights in int8 by tensor and by channel, biases in int32 or uint8, activations asymmetric (the Relu is left
out: the range begins at 0) and symmetric, a Softmax behind them, the operators in the domain com.microsoft with 16 bits. `torch_fake`:
PyTorch's fake quantisation of weights stored in floats, as quantisation-aware training exports them; `uint8_in`: data that come
quantised; `batchnorm`: running statistics in int8 by channel and in uint8. The outputs are ONNX Runtime's without graph optimizations, which would compute with whole numbers.
"""
import io
import pathlib
import shutil
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn

OUT = pathlib.Path(__file__).parent / "quant"
ROWS, IN, HIDDEN, CLASSES = 40, 6, 8, 3
rng = np.random.default_rng(7)


def network(matmul, tail):
    """6 inputs, 8 hidden units, 3 outputs, in float32."""
    w = [rng.normal(size=s).astype(np.float32) * 0.6 for s in ((IN, HIDDEN), (HIDDEN, CLASSES))]
    b = [rng.normal(size=s).astype(np.float32) * 0.2 for s in (HIDDEN, CLASSES)]
    nodes, init = [], []
    for i, (x, y) in enumerate((("x", "a0"), ("h", "a1"))):
        init += [numpy_helper.from_array(w[i] if matmul else w[i].T.copy(), f"w{i}"), numpy_helper.from_array(b[i], f"b{i}")]
        if matmul:
            nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"m{i}"], f"mm{i}"))
            nodes.append(helper.make_node("Add", [f"m{i}", f"b{i}"], [y], f"add{i}"))
        else:
            nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [y], f"fc{i}", transB=1))
        if i == 0:
            nodes.append(helper.make_node("Relu", ["a0"], ["h"], "relu"))
    y = "a1"
    if tail:
        nodes.append(helper.make_node("Softmax", ["a1"], ["p"], "softmax"))
        y = "p"
    g = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("x", T.FLOAT, ["N", IN])],
                          [helper.make_tensor_value_info(y, T.FLOAT, ["N", CLASSES])], init)
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Rows(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": rng.normal(size=(16, IN)).astype(np.float32)} for _ in range(8)])

    def get_next(self):
        return next(self.batches, None)


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def vectors(name, x):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    s = session(OUT / f"{name}.onnx")
    y = s.run(None, {s.get_inputs()[0].name: x})[0]
    for what, v in (("input_0", x), ("output_0", y)):
        (folder / f"{what}.pb").write_bytes(numpy_helper.from_array(v, what).SerializeToString())


def static(name, matmul=False, tail=False, activations=QuantType.QUInt8, per_channel=False, **extra):
    with tempfile.TemporaryDirectory() as tmp:
        source = pathlib.Path(tmp) / "float.onnx"
        onnx.save(network(matmul, tail), source)
        quantize_static(source, OUT / f"{name}.onnx", Rows(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        activation_type=activations, weight_type=extra.pop("weights", QuantType.QInt8), extra_options=extra)
    vectors(name, rng.normal(size=(ROWS, IN)).astype(np.float32))


class Fake(nn.Module):
    """A layer whose weight and output are rounded in the graph while the file has floats."""

    def __init__(self, n, m):
        super().__init__()
        self.fc = nn.Linear(n, m)
        self.register_buffer("scale", (self.fc.weight.detach().abs().amax(1) / 127))

    def forward(self, x):
        zero = torch.zeros(len(self.scale), dtype=torch.int32)
        w = torch.fake_quantize_per_channel_affine(self.fc.weight, self.scale, zero, 0, -128, 127)
        return torch.fake_quantize_per_tensor_affine(nn.functional.linear(x, w, self.fc.bias), 0.05, 120, 0, 255)


def torch_fake():
    torch.manual_seed(5)
    net = nn.Sequential(Fake(IN, HIDDEN), nn.ReLU(), Fake(HIDDEN, CLASSES)).eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, torch.zeros(2, IN), buffer, opset_version=17, dynamo=False, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, do_constant_folding=False)
    (OUT / "torch_fake.onnx").write_bytes(buffer.getvalue())
    vectors("torch_fake", rng.normal(size=(ROWS, IN)).astype(np.float32))


def uint8_in():
    """The first QuantizeLinear taken off: the input is what it gave. The numbers of a weight stand in int32_data."""
    m = onnx.load(OUT / "gemm_u8.onnx")
    first = next(n for n in m.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x")
    for n in m.graph.node:
        n.input[:] = ["x" if v == first.output[0] else v for v in n.input]
    m.graph.node.remove(first)
    m.graph.input[0].type.tensor_type.elem_type = T.UINT8
    for t in m.graph.initializer:
        if t.name in ("w0_quantized", "b0_quantized"):
            t.CopyFrom(helper.make_tensor(t.name, t.data_type, t.dims, numpy_helper.to_array(t).ravel().tolist()))
    onnx.save(m, OUT / "uint8_in.onnx")
    vectors("uint8_in", rng.integers(0, 256, size=(ROWS, IN)).astype(np.uint8))


def batchnorm():
    """A hidden layer normalised by statistics in whole numbers, between layers with weights in int8."""
    own, nodes, init = np.random.default_rng(11), [], []

    def dequantized(name, q, scale, zero):
        init.extend(numpy_helper.from_array(v, f"{name}{end}") for v, end in ((q, "_quantized"), (np.float32(scale), "_scale"), (zero, "_zero_point")))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"], [name], axis=0))

    def rounded(x, y, scale):
        init.extend([numpy_helper.from_array(np.float32(scale), f"{y}_scale"), numpy_helper.from_array(np.uint8(128), f"{y}_zero_point")])
        nodes.append(helper.make_node("QuantizeLinear", [x, f"{y}_scale", f"{y}_zero_point"], [f"{y}_codes"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{y}_codes", f"{y}_scale", f"{y}_zero_point"], [y]))

    for i, (n, m, scale) in enumerate(((IN, HIDDEN, 0.025), (HIDDEN, CLASSES, 0.02))):
        dequantized(f"w{i}", own.integers(-127, 128, (n, m)).astype(np.int8), 0.008, np.int8(0))
        dequantized(f"b{i}", own.integers(-1000, 1000, m).astype(np.int32), np.float32(0.008) * np.float32(scale), np.int32(0))
    dequantized("mean", own.integers(-90, 90, HIDDEN).astype(np.int8), own.uniform(0.002, 0.004, HIDDEN), own.integers(-5, 5, HIDDEN).astype(np.int8))
    dequantized("var", own.integers(40, 255, HIDDEN).astype(np.uint8), 0.01, np.uint8(3))
    init += [numpy_helper.from_array(own.uniform(0.5, 1.5, HIDDEN).astype(np.float32), "gamma"),
             numpy_helper.from_array(own.normal(size=HIDDEN).astype(np.float32) * 0.2, "beta")]
    rounded("x", "x8", 0.025)
    nodes.append(helper.make_node("Gemm", ["x8", "w0", "b0"], ["a0"], "fc0"))
    nodes.append(helper.make_node("BatchNormalization", ["a0", "gamma", "beta", "mean", "var"], ["n"], "norm"))
    nodes.append(helper.make_node("Relu", ["n"], ["r"], "relu"))
    rounded("r", "h", 0.02)
    nodes.append(helper.make_node("Gemm", ["h", "w1", "b1"], ["a1"], "fc1"))
    rounded("a1", "y", 0.04)
    g = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("x", T.FLOAT, ["N", IN])],
                          [helper.make_tensor_value_info("y", T.FLOAT, ["N", CLASSES])], init)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(m, full_check=True)
    onnx.save(m, OUT / "batchnorm.onnx")
    vectors("batchnorm", own.normal(size=(ROWS, IN)).astype(np.float32))


OUT.mkdir(exist_ok=True)
static("gemm_u8")
static("gemm_i8_channel", activations=QuantType.QInt8, per_channel=True, ActivationSymmetric=True)
static("gemm_softmax_channel", tail=True, per_channel=True)
static("matmul_u8", matmul=True, weights=QuantType.QUInt8)
static("matmul_i8_channel", matmul=True, activations=QuantType.QInt8, per_channel=True)
static("gemm_u16_microsoft", activations=QuantType.QUInt16, UseQDQContribOps=True)
torch_fake()
uint8_in()
batchnorm()
