#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of nets that compute their weights from parameters, for tests/interop/computed.py:

    python make_computed.py          (needs torch and onnx; recorded with torch 2.11)

Writes into tests/data/computed: the nets as PyTorch's two exporters write them with the computation left in (*.onnx, *_dynamo.onnx, and
*_f64.onnx in double), and refs.npz with the rows and, for every case, all parameters after training, by name. Batches are 16 rows of
72 in the order of the file, so that the last one has 8."""
import pathlib
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

OUT = pathlib.Path(__file__).parent / "computed"
ROWS, BATCH, EPOCHS = 72, 16, 4
warnings.simplefilter("ignore")


def weight_norm():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), parametrizations.weight_norm(nn.Linear(8, 3), dim=1))


def masked():
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    for layer in (net[0], net[2]):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    prune.random_unstructured(net[0], "bias", amount=0.4)
    return net


class Cosine(nn.Module):
    """A head of directions: the angle to each class's, times a learned number."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.classes = nn.Parameter(torch.randn(3, 8))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.scale.exp() * F.linear(F.normalize(torch.tanh(self.body(x))), F.normalize(self.classes))


class LowRank(nn.Module):
    """A layer that is there, and what is learned on top of it: W + B A, with B beginning at 0."""

    def __init__(self, n, m):
        super().__init__()
        self.base = nn.Parameter(torch.randn(m, n) * 0.4, requires_grad=False)
        self.a, self.b = nn.Parameter(torch.randn(2, n) * 0.4), nn.Parameter(torch.zeros(m, 2))
        self.bias = nn.Parameter(torch.randn(m) * 0.1)

    def forward(self, x):
        return F.linear(x, self.base + 0.5 * (self.b @ self.a), self.bias)


def low_rank():
    return nn.Sequential(LowRank(6, 8), nn.ReLU(), LowRank(8, 8), nn.ReLU(), nn.Linear(8, 3))


class Scaled(nn.Module):
    """One matrix, scaled by columns on the way in; transposed, scaled by rows and reshaped on the way out."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 8) * 0.4)
        self.by, self.out = nn.Parameter(torch.rand(8) + 0.5), nn.Parameter(torch.rand(8, 1) + 0.5)
        self.last = nn.Parameter(torch.randn(2, 3, 3) * 0.4)

    def forward(self, x):
        h = torch.tanh(x @ (self.w * self.by))
        return (h @ (self.w.t() * self.out)) @ self.last.reshape(6, 3)


class Standard(nn.Linear):
    """Each unit's weights with mean 0 and deviation 1, times a gain."""

    def __init__(self, n, m):
        super().__init__(n, m)
        self.gain = nn.Parameter(torch.rand(m, 1) + 0.5)

    def forward(self, x):
        w = self.weight - self.weight.mean(1, keepdim=True)
        return F.linear(x, self.gain * w / torch.sqrt(w.pow(2).mean(1, keepdim=True) + 2**-16), self.bias)


def standard():
    return nn.Sequential(Standard(6, 8), nn.SiLU(), Standard(8, 3))


def spectral():
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), parametrizations.spectral_norm(nn.Linear(8, 3)))


def spectral_hook():
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 8)), nn.ReLU(), nn.utils.spectral_norm(nn.Linear(8, 3)))


class Of(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return self.how(x)


class Places(nn.Module):
    """Everything else a tensor can be: bias, slope, scale of a normalisation, summand."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 8)
        self.layer, self.slope, self.last = nn.LayerNorm(8), nn.PReLU(8), nn.Linear(8, 3)
        for module, name, how in ((self.norm, "weight", torch.exp), (self.layer, "weight", torch.exp), (self.second, "bias", torch.tanh),
                                  (self.slope, "weight", torch.sigmoid)):
            parametrize.register_parametrization(module, name, Of(how))

    def forward(self, x):
        h = torch.tanh(self.norm(self.first(x)))
        return self.last(self.slope(self.layer(h + self.second(h))))


NETS = {"weight_norm": weight_norm, "masked": masked, "cosine": Cosine, "low_rank": low_rank, "scaled": Scaled, "standard": standard,
        "spectral": spectral, "spectral_hook": spectral_hook, "places": Places}
FORMS = {"spectral": ("dynamo", "f64"), "spectral_hook": ("legacy", "dynamo"), "places": ("legacy", "dynamo")}  # ONNX Runtime has no PRelu in double
OPTIMIZERS = {"momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01), "adam": lambda p: torch.optim.Adam(p, lr=0.01)}


def rows():
    g = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, 6, generator=g, dtype=torch.float64)
    y = torch.stack([x[:, 0] * x[:, 1], x[:, 2] - x[:, 3], torch.sin(x[:, 4] + x[:, 5])], 1)
    return x.float().double(), y.float().double()


def export(net, form, path, x):
    if form == "legacy":
        torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamo=False, opset_version=18, do_constant_folding=False,
                          dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
        return
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamo=True, verbose=False, external_data=False, optimize=False,
                      dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    m = onnx.load(path)
    for node in m.graph.node:
        del node.metadata_props[:]  # stack traces: where this script lay
    onnx.save(m, path)


def train(net, name, how, x, y):
    optimizer = OPTIMIZERS[how]([p for p in net.parameters() if p.requires_grad])
    net.train(not name.startswith("spectral"))  # there, training turns the vectors, too, which no graph does
    for _ in range(EPOCHS):
        for at in range(0, ROWS, BATCH):
            optimizer.zero_grad()
            F.mse_loss(net(x[at:at + BATCH]), y[at:at + BATCH]).backward()
            optimizer.step()


def main():
    x, y = rows()
    refs = {}
    for name, make in NETS.items():
        for form in FORMS.get(name, ("legacy", "dynamo", "f64")):
            end = "" if form == "legacy" else f"_{form}"
            double = form == "f64"
            torch.manual_seed(7)
            one = make().eval()
            export(one.double() if double else one, form, OUT / f"{name}{end}.onnx", x[:BATCH] if double else x[:BATCH].float())
        torch.manual_seed(7)
        net = make().eval()
        start = {k: v.clone() for k, v in net.state_dict().items()}
        for how in OPTIMIZERS:
            for double in (False, True):
                net.double() if double else net.float()
                net.load_state_dict(start)
                train(net, name, how, *(v if double else v.float() for v in (x, y)))
                for k, v in net.state_dict().items():
                    refs[f"{name}/{how}/{'f64' if double else 'f32'}/{k}"] = v.numpy().copy()
    np.savez_compressed(OUT / "refs.npz", x=x.numpy(), y=y.numpy(), **refs)


main()
