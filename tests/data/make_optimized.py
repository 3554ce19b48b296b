#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models as ONNX Runtime's optimizer writes them, with operators of the domain com.microsoft, for tests/interop/operators.py:

    python make_optimized.py          (needs torch, onnx, onnxruntime; recorded with torch 2.11, onnx 1.22, onnxruntime 1.32)

Writes tests/data/optimized/*.onnx and optimized.json: the operators of that domain and of none that each file holds."""
import io
import json
import pathlib

import onnx
import onnxruntime
import torch
from torch import nn

OUT = pathlib.Path(__file__).parent / "optimized"


class Residual(nn.Module):
    """Two normalised blocks with a sum in front of each normalisation."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.norm, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = self.norm(h + torch.tanh(self.again(h)))
        return self.last(self.norm2(h + torch.tanh(self.again(h))).mean(1))


class Transposed(nn.Module):
    """A product with a scaled transpose that depends on the rows."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(4, 3)

    def forward(self, x):
        return self.last((self.query(x) @ self.key(x).transpose(1, 2) * 0.5).mean(1))


class Mean(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).mean(1)


def plain(act, last=3, tail=()):
    return nn.Sequential(nn.Linear(6, 16), act(), nn.Linear(16, 12), act(), nn.Linear(12, last), *tail)


FLAT, ROWS = (2, 6), (2, 4, 6)
MODELS = {
    "relu": (plain(nn.ReLU), FLAT),
    "leaky": (plain(lambda: nn.LeakyReLU(0.2)), FLAT),
    "elu": (plain(lambda: nn.ELU(0.7)), FLAT),
    "binary": (plain(nn.Tanh, 1, [nn.Sigmoid()]), FLAT),
    "silu": (plain(nn.SiLU), FLAT),
    "gelu": (plain(nn.GELU), FLAT),
    "bias_gelu": (Mean(plain(nn.GELU)), ROWS),
    "fast_gelu": (Mean(plain(lambda: nn.GELU(approximate="tanh"))), ROWS),
    "residual": (Residual(), ROWS),
    "transposed": (Transposed(), ROWS),
}


def record(name, net, shape):
    exported = io.BytesIO()
    torch.onnx.export(net, torch.zeros(shape), exported, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
                      opset_version=17, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(OUT / f"{name}.onnx")
    onnxruntime.InferenceSession(exported.getvalue(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(str(OUT / f"{name}.onnx")).graph.node
    return sorted({n.op_type for n in nodes if n.domain == "com.microsoft"})


torch.manual_seed(3)
OUT.mkdir(exist_ok=True)
told = {name: record(name, net.eval(), shape) for name, (net, shape) in MODELS.items()}
(OUT / "optimized.json").write_text(json.dumps(told, indent=1) + "\n")
print(json.dumps(told, indent=1))
