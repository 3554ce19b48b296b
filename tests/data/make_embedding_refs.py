#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of nets with embeddings, for tests/interop/embedding.py:

    python make_embedding_refs.py          (needs torch and onnx; recorded with torch 2.11)

Writes into tests/data/embedding: the nets as PyTorch's two exporters write them (*.onnx), and refs.npz with the rows and, for every
case, all parameters after training, by name. Batches are 16 rows of 72 in the order of the file, so that the last one has 8."""
import pathlib
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent / "embedding"
ROWS, BATCH, EPOCHS = 72, 16, 4
warnings.simplefilter("ignore")


class Columns(nn.Module):
    """A table for each of three columns of categories, beside numbers."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, d) for n, d in ((5, 3), (7, 2), (2, 2)))
        self.net = nn.Sequential(nn.Linear(11, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, c, x):
        return self.net(torch.cat([t(c[:, i]) for i, t in enumerate(self.tables)] + [x], 1))


class Shared(nn.Module):
    """One table for all columns, each with its own offset in it, as tabular transformers have it."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(14, 4)
        self.register_buffer("offsets", torch.tensor([0, 5, 12]))
        self.out = nn.Linear(12, 1)

    def forward(self, c):
        return self.out(self.table(c + self.offsets).flatten(1))


class Floats(nn.Module):
    """Categories among the numbers of one table of floats."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(5, 3), nn.Embedding(7, 2)
        self.net = nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x):
        return self.net(torch.cat([self.a(x[:, 0].long()), self.b(x[:, 1].long()), x[:, 2:]], 1))


class Tied(nn.Module):
    """The table is the last layer's weight, too."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 6)
        self.mid = nn.Linear(6, 6)

    def forward(self, c):
        return F.linear(torch.tanh(self.mid(self.table(c[:, 0]))), self.table.weight)


class OneHot(nn.Module):
    """Categories as rows of zeros with a one."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, c, x):
        return self.net(torch.cat([F.one_hot(c[:, 0], 5).float(), F.one_hot(c[:, 1], 7).float(), x], 1))


def rows():
    g = torch.Generator().manual_seed(3)
    c = torch.stack([torch.randint(0, n, (ROWS,), generator=g) for n in (5, 7, 2)], 1)
    x = torch.randn(ROWS, 4, generator=g)
    score = torch.stack([x[:, 0] + c[:, 2], x[:, 1] - 0.3 * c[:, 0], 0.2 * c[:, 1] - x[:, 2]], 1)
    return {"c": c, "x": x, "wide": torch.cat([c[:, :2].float(), x], 1), "label": score.argmax(1),
            "real": (score.sum(1, keepdim=True) / 2)}


CASES = {  # name: net, inputs, target, loss, optimizers
    "columns": (Columns, ("c", "x"), "label", F.cross_entropy), "shared": (Shared, ("c",), "real", F.mse_loss),
    "onehot": (OneHot, ("c", "x"), "label", F.cross_entropy),
    "floats": (Floats, ("wide",), "label", F.cross_entropy), "tied": (Tied, ("c",), "label5", F.cross_entropy),
}
OPTIMIZERS = {"momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, lr=0.01)}


def main():
    data, refs = rows(), {}
    data["label5"] = (data["c"][:, 0] + data["label"]) % 5
    for name, (kind, inputs, target, loss) in CASES.items():
        torch.manual_seed(7)
        net = kind().eval()
        args = tuple(data[i][:BATCH] for i in inputs)
        torch.onnx.export(net, args, OUT / f"{name}.onnx", input_names=list(inputs), output_names=["y"], dynamo=False, opset_version=17,
                          dynamic_axes={i: {0: "n"} for i in (*inputs, "y")}, do_constant_folding=name != "tied")  # folding loses the tie
        batch = torch.export.Dim("n", min=2)
        torch.onnx.export(net, args, OUT / f"{name}_dynamo.onnx", input_names=list(inputs), output_names=["y"], dynamo=True, verbose=False,
                          external_data=False, optimize=False, dynamic_shapes=tuple({0: batch} for _ in inputs))
        m = onnx.load(OUT / f"{name}_dynamo.onnx")
        for node in m.graph.node:
            del node.metadata_props[:]  # stack traces: where this script lay
        onnx.save(m, OUT / f"{name}_dynamo.onnx")
        start = {k: v.clone() for k, v in net.state_dict().items()}
        for how, make in OPTIMIZERS.items():
            net.load_state_dict(start)
            net.train()
            optimizer = make(net.parameters())
            for _ in range(EPOCHS):
                for at in range(0, ROWS, BATCH):
                    optimizer.zero_grad()
                    loss(net(*(data[i][at:at + BATCH] for i in inputs)), data[target][at:at + BATCH]).backward()
                    optimizer.step()
            for k, v in net.state_dict().items():
                refs[f"{name}/{how}/{k}"] = v.numpy().copy()
    np.savez_compressed(OUT / "refs.npz", **{k: v.numpy() for k, v in data.items()}, **refs)


main()
