#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of nets that call a module more than once, for tests/interop/shared.py:

    python make_shared.py          (needs torch and onnx; recorded with torch 2.11)

Writes into tests/data/shared: the nets as PyTorch's exporters write them (*.onnx by the legacy one, *_dynamo.onnx without and
*_default.onnx with its optimizer), and refs.npz with the rows and, for every net, its outputs after training, the tensors by name, and
how many numbers learn. Batches are 16 rows of 72 in the order of the file, so that the last one has 8."""
import pathlib
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent / "shared"
ROWS, BATCH, EPOCHS = 72, 16, 4
KEPT = ("pkg.torch.onnx.fx_node", "pkg.onnxscript.rewriter.rule_name")
warnings.simplefilter("ignore")


def zero(layer):
    nn.init.zeros_(layer.bias)
    return layer


def encoder(norm):
    return nn.Sequential(zero(nn.Linear(6, 8)), norm(8), nn.ReLU(), nn.Linear(8, 4))


class Siamese(nn.Module):
    """The distance between two codes of one encoder."""

    def __init__(self, norm, rank3=False):
        super().__init__()
        self.e, self.rank3 = encoder(norm), rank3

    def code(self, x):
        return self.e(x.view(-1, 1, 6)).flatten(1) if self.rank3 else self.e(x)

    def forward(self, a, b):
        return (self.code(a) - self.code(b)).abs().sum(1, keepdim=True)


class Towers(nn.Module):
    """The same with an encoder for each: what is equal in them at first is not one."""

    def __init__(self):
        super().__init__()
        self.e, self.f = encoder(nn.BatchNorm1d), encoder(nn.BatchNorm1d)

    def forward(self, a, b):
        return (self.e(a) - self.f(b)).abs().sum(1, keepdim=True)


class Twice(nn.Module):
    """One BatchNormalization behind two layers."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm, self.out = nn.Linear(6, 8, bias=False), nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, a):
        return self.out(torch.tanh(self.norm(self.two(torch.tanh(self.norm(self.one(a)))))))


class Mixed(nn.Module):
    """Three normalisations of one size; the second is called twice, and so is the layer before it."""

    def __init__(self, norm, bias):
        super().__init__()
        self.first, self.again, self.out = nn.Linear(6, 8), nn.Linear(8, 8, bias=bias), nn.Linear(8, 1)
        self.n1, self.n2, self.n3 = norm(8), norm(8), norm(8)
        if bias:
            zero(self.again)

    def forward(self, a):
        h = self.n1(self.first(a))
        for _ in range(2):
            h = torch.tanh(self.n2(self.again(h)))
        return self.out(self.n3(h))


class Tied(nn.Module):
    """A square autoencoder of one weight, with two biases that begin at 0."""

    def __init__(self):
        super().__init__()
        self.w, self.b, self.c = nn.Parameter(torch.randn(6, 6) * 0.4), nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(6))
        self.out = nn.Linear(6, 1)

    def forward(self, a):
        return self.out(F.linear(torch.tanh(F.linear(a, self.w, self.b)), self.w.t(), self.c))


ALL = ("legacy", "dynamo", "default")
NETS = {  # name: (net, inputs, forms)
    "siamese": (lambda: Siamese(nn.LayerNorm), 2, ALL), "siamese_bn": (lambda: Siamese(nn.BatchNorm1d), 2, ALL),
    "siamese_rank3": (lambda: Siamese(nn.LayerNorm, True), 2, ALL), "towers": (Towers, 2, ALL), "twice": (Twice, 1, ALL),
    "mixed": (lambda: Mixed(nn.LayerNorm, True), 1, ALL), "mixed_bn": (lambda: Mixed(nn.BatchNorm1d, False), 1, ALL),
    "tied": (Tied, 1, ALL),
}


def rows():
    g = torch.Generator().manual_seed(3)
    a, b = (torch.randn(ROWS, 6, generator=g) for _ in range(2))
    return a, b, (a - b).norm(dim=1, keepdim=True)


def export(net, form, path, inputs):
    names = ["a", "b"][:len(inputs)]
    if form == "legacy":
        torch.onnx.export(net, inputs, path, input_names=names, output_names=["y"], dynamo=False, opset_version=18,
                          dynamic_axes={k: {0: "n"} for k in [*names, "y"]})
        return
    torch.onnx.export(net, inputs, path, input_names=names, output_names=["y"], dynamo=True, verbose=False, external_data=False,
                      optimize=form == "default", dynamic_shapes=({0: torch.export.Dim("n", min=2)},) * len(inputs))
    m = onnx.load(path)
    for node in m.graph.node:  # without stack traces: where this script lay
        kept = [p for p in node.metadata_props if p.key in KEPT]
        copies = [onnx.StringStringEntryProto(key=p.key, value=p.value) for p in kept]
        del node.metadata_props[:]
        node.metadata_props.extend(copies)
    onnx.save(m, path)


def train(net, inputs, y):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    net.train()
    for _ in range(EPOCHS):
        for at in range(0, ROWS, BATCH):
            optimizer.zero_grad()
            F.mse_loss(net(*(v[at:at + BATCH] for v in inputs)), y[at:at + BATCH]).backward()
            optimizer.step()
    net.eval()


def main():
    a, b, y = rows()
    refs = {}
    OUT.mkdir(exist_ok=True)
    for name, (make, n, forms) in NETS.items():
        inputs = (a, b)[:n]
        torch.manual_seed(7)
        net = make().eval()
        for form in forms:
            export(net, form, OUT / f"{name}{'' if form == 'legacy' else '_' + form}.onnx", tuple(v[:BATCH] for v in inputs))
        train(net, inputs, y)
        refs[f"{name}/trainable"] = sum(p.numel() for p in net.parameters())
        refs[f"{name}/y"] = net(*inputs).detach().numpy()
        for k, v in net.state_dict().items():
            refs[f"{name}/tensor/{k}"] = v.numpy().copy()
    np.savez_compressed(OUT / "refs.npz", a=a.numpy(), b=b.numpy(), target=y.numpy(), **refs)


main()
