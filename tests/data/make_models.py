#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models as today's exporters write them, for tests/interop/exporters.py:

    python make_models.py          (needs torch, onnx, onnxscript; recorded with torch 2.11)

Writes tests/data/models/*.onnx and models.json: what each one shows, how many numbers the file can train, and how many
tensors are used twice on purpose. Paths of the machine that ran the exporter are taken out of the nodes' metadata.
"""
import io
import json
import pathlib
import warnings

import onnx
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent / "models"
HERE = str(pathlib.Path(__file__).resolve().parent)
LIBRARY = str(pathlib.Path(torch.__file__).resolve().parent.parent)
MODE = torch.onnx.TrainingMode
told = {}


def mlp(norm=nn.BatchNorm1d, act=nn.ReLU, drop=None, last=(), dtype=torch.float32):
    torch.manual_seed(3)
    layers = []
    for a, b in ((6, 8), (8, 5)):
        layers += [nn.Linear(a, b)] + ([norm(b)] if norm else []) + [act()] + ([nn.Dropout(drop)] if drop is not None else [])
    return nn.Sequential(*layers, nn.Linear(5, 3), *last).to(dtype)


def norms():
    """LayerNorms of one size, untrained: their scales and biases are equal tensors."""
    torch.manual_seed(9)
    return nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6),
                         nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3))


def wide():
    """Tensors large enough for the exporter to put them into a file of their own."""
    torch.manual_seed(10)
    return nn.Sequential(nn.Linear(6, 48), nn.LayerNorm(48), nn.ReLU(), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 3))


class Residual(nn.Module):
    """Zero biases, equal in shape: an exporter that merges equal tensors makes one of the three."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        for layer in (self.a, self.b, self.c):
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.c(x + torch.tanh(self.b(torch.tanh(self.a(x)))))


class Autoencoder(nn.Module):
    """The decoder's weight is the encoder's, transposed."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Linear(6, 4)
        self.bias = nn.Parameter(torch.randn(6) * 0.1)

    def forward(self, x):
        return F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.t(), self.bias)


class Twice(nn.Module):
    """One layer, used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.layer(torch.relu(self.layer(x)))))


def clean(path):
    """Stack traces name files: keep the names, not where they were."""
    m = onnx.load(str(path), load_external_data=False)
    for n in m.graph.node:
        for p in n.metadata_props:
            p.value = p.value.replace(HERE, ".").replace(LIBRARY, ".")
    path.write_bytes(m.SerializeToString())


def save(name, net, opset, shows, train=False, dynamo=False, ties=0, lost=0, **more):
    x = torch.zeros(2, 6, dtype=next(net.parameters()).dtype)
    path = OUT / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            net.train(train)
            torch.onnx.export(net, (x,), str(path), opset_version=opset, dynamo=True, input_names=["x"], output_names=["y"],
                              dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False, **more)
        else:
            buffer = io.BytesIO()
            net.train(train)
            torch.onnx.export(net, x, buffer, opset_version=opset, dynamo=False, input_names=["x"], output_names=["y"],
                              training=MODE.TRAINING if train else MODE.EVAL, do_constant_folding=not train,
                              dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, **more)
            path.write_bytes(buffer.getvalue())
    clean(path)
    told[name] = {"shows": shows, "trainable": sum(p.numel() for p in net.parameters()) - lost, "ties": ties}


def main():
    OUT.mkdir(exist_ok=True)
    save("fresh_bn", mlp(), 17, "fresh BatchNorm: running_var is an Identity of weight, running_mean of bias")
    save("zero_biases", Residual(), 17, "equal biases merged into one initializer")
    save("zero_biases_dynamo", Residual(), 20, "zero biases are gone: Gemm with two inputs", dynamo=True, lost=15,
         external_data=False)
    save("layernorms_dynamo", norms(), 20, "equal scales and biases merged by name", dynamo=True, external_data=False)
    save("dynamo_external", wide(), 20, "tensors in a file beside the model, metadata on every node", dynamo=True,
         external_data=True)
    save("dynamo_dropout_train", mlp(norm=None, drop=0.25), 20, "Dropout with training_mode from an initializer", train=True,
         dynamo=True, external_data=False)
    for opset in (7, 9, 11, 13, 17, 20):
        save(f"mlp_opset{opset}", trained(mlp(drop=0.2)), opset, f"TorchScript export at opset {opset}")
    for opset in (9, 11, 13, 17):
        save(f"training_opset{opset}", trained(mlp(drop=0.2)), opset, "training-mode BatchNorm and Dropout", train=True)
    save("float64", trained(mlp(dtype=torch.float64)), 17, "tensors of doubles")
    save("layernorm_opset15", mlp(norm=nn.LayerNorm), 15, "LayerNorm as ReduceMean, Sub, Pow, Sqrt, Div, Mul, Add")
    save("layernorm_opset17", mlp(norm=nn.LayerNorm), 17, "LayerNormalization; equal scales and biases of one size")
    save("gelu_opset17", mlp(norm=None, act=nn.GELU), 17, "GELU as Div, Erf, Add, Mul, Mul")
    save("gelu_opset20", mlp(norm=None, act=nn.GELU), 20, "Gelu")
    save("logsoftmax", mlp(norm=None, last=[nn.LogSoftmax(1)]), 13, "LogSoftmax tail")
    save("autoencoder", Autoencoder(), 17, "one tensor in two layers, once transposed: a tie", ties=1)
    save("twice", Twice(), 17, "one layer used twice: weight and bias are ties", ties=2)
    (OUT / "models.json").write_text(json.dumps(told, indent=1) + "\n")


def trained(net):
    """Some steps of life, so that no two tensors are equal and the statistics are real ones."""
    torch.manual_seed(8)
    dtype = next(net.parameters()).dtype
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train()
    for _ in range(5):
        x = torch.randn(32, 6, dtype=dtype)
        F.mse_loss(net(x), x[:, :3]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return net


if __name__ == "__main__":
    main()
