#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models in float16 and bfloat16 as exporters and converters write them, for tests/interop/half.py:

    python make_half.py          (needs torch, onnx, onnxscript, onnxruntime; recorded with torch 2.11, onnxruntime 1.32)

Writes tests/data/half/*.onnx: module.half() and module.bfloat16() by both of PyTorch's exporters, and float32 models that ONNX
Runtime's converter turned into float16 (its new Casts come last in the list of nodes), with float32 inputs and outputs or with
some operators left in float32. Of the float32 models of tests/data/train it makes bn_f16.onnx and ln_bf16.onnx there. Paths of the machine that ran the exporter are taken out of the nodes' metadata.
"""
import io
import pathlib
import warnings

import ml_dtypes
import numpy as np
import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

OUT = pathlib.Path(__file__).parent / "half"
HERE = str(pathlib.Path(__file__).resolve().parent)
LIBRARY = str(pathlib.Path(torch.__file__).resolve().parent.parent)


def mlp(norm=nn.BatchNorm1d, act=nn.ReLU):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), norm(8), act(), nn.Linear(8, 5), act(), nn.Linear(5, 3))


def plain():
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def export(net, dynamo, opset):
    x = torch.zeros(2, 6, dtype=next(net.parameters()).dtype)
    net.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(net, (x,), opset_version=opset, dynamo=True, input_names=["x"], output_names=["y"],
                                        dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
            m = program.model_proto
        else:
            buffer = io.BytesIO()
            torch.onnx.export(net, x, buffer, opset_version=opset, dynamo=False, input_names=["x"], output_names=["y"],
                              dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
            m = onnx.load_model_from_string(buffer.getvalue())
    for n in m.graph.node:
        for p in n.metadata_props:
            p.value = p.value.replace(HERE, ".").replace(LIBRARY, ".")
    return m


def save(name, m):
    (OUT / f"{name}.onnx").write_bytes(m.SerializeToString())


def narrowed(source, out, kind, dtype):
    """A model of tests/data/train with every float32 in another type."""
    m = onnx.load(str(OUT.parent / "train" / source))
    values = [a.t for n in m.graph.node for a in n.attribute if a.type == onnx.AttributeProto.TENSOR]
    for t in list(m.graph.initializer) + [t for t in values if t.data_type == onnx.TensorProto.FLOAT]:
        t.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t).astype(dtype), t.name))
    for v in list(m.graph.input) + list(m.graph.output):
        v.type.tensor_type.elem_type = kind
    (OUT.parent / "train" / out).write_bytes(m.SerializeToString())


OUT.mkdir(exist_ok=True)
for word, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
    save(f"batchnorm_{word}", export(mlp().to(dtype), False, 17))
    save(f"layernorm_{word}", export(mlp(nn.LayerNorm, nn.GELU).to(dtype), False, 17))
    save(f"plain_{word}", export(plain().to(dtype), False, 13))
    save(f"dynamo_{word}", export(mlp(nn.LayerNorm, nn.SiLU).to(dtype), True, 20))
save("converted", convert_float_to_float16(export(plain(), False, 13)))
save("converted_io", convert_float_to_float16(export(mlp(nn.LayerNorm), False, 17), keep_io_types=True))
save("converted_mixed", convert_float_to_float16(export(plain(), False, 13), keep_io_types=True, op_block_list=["Gemm"]))
save("converted_norm", convert_float_to_float16(export(mlp(), False, 17), keep_io_types=True, op_block_list=["BatchNormalization"]))
narrowed("bn_f32.onnx", "bn_f16.onnx", onnx.TensorProto.FLOAT16, np.float16)
narrowed("ln_f32.onnx", "ln_bf16.onnx", onnx.TensorProto.BFLOAT16, ml_dtypes.bfloat16)
