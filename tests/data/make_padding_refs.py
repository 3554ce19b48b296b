#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of embeddings with padding_idx, for tests/interop/ids.py:

    python make_padding_refs.py          (needs torch and onnx; recorded with torch 2.11)

Writes into tests/data/padding: the net as PyTorch's two exporters write it (legacy.onnx, dynamo.onnx), and refs.npz with the rows and
all parameters after training, by optimizer and name. Batches are 16 rows of 72 in the order of the file."""
import pathlib
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent / "padding"
ROWS, BATCH, EPOCHS = 72, 16, 4
warnings.simplefilter("ignore")


class Net(nn.Module):
    """A history padded with zeros; a table that came from elsewhere, whose padding row is not zero."""

    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(9, 3, padding_idx=0)
        self.f = nn.Embedding.from_pretrained(torch.randn(4, 2), freeze=False, padding_idx=-3)
        self.out = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, h, k):
        return self.out(torch.cat([self.e(h).sum(1), self.f(k)], 1))


OPTIMIZERS = {"sgd": lambda p: torch.optim.SGD(p, lr=0.05), "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.1),
              "adam": lambda p: torch.optim.Adam(p, lr=0.01), "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)}


def main():
    OUT.mkdir(exist_ok=True)
    g = torch.Generator().manual_seed(3)
    h, length = torch.randint(1, 9, (ROWS, 5), generator=g), torch.randint(1, 6, (ROWS, 1), generator=g)
    h[torch.arange(5)[None] >= length] = 0
    k = torch.randint(0, 4, (ROWS,), generator=g)
    y = (length + k[:, None] + torch.randn(ROWS, 1, generator=g)) / 4
    torch.manual_seed(7)
    net = Net().eval()
    args, names = (h[:BATCH], k[:BATCH]), ["h", "k"]
    torch.onnx.export(net, args, OUT / "legacy.onnx", input_names=names, output_names=["y"], dynamo=False, opset_version=17,
                      dynamic_axes={i: {0: "n"} for i in (*names, "y")})
    batch = torch.export.Dim("n", min=2)
    torch.onnx.export(net, args, OUT / "dynamo.onnx", input_names=names, output_names=["y"], dynamo=True, verbose=False, external_data=False,
                      dynamic_shapes=({0: batch}, {0: batch}))
    m = onnx.load(OUT / "dynamo.onnx")
    for node in m.graph.node:
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.fx_node"]
        del node.metadata_props[:]  # stack traces: where this script lay
        node.metadata_props.extend(kept)
    onnx.save(m, OUT / "dynamo.onnx")
    start, refs = {k: v.clone() for k, v in net.state_dict().items()}, {}
    for how, make in OPTIMIZERS.items():
        net.load_state_dict(start)
        net.train()
        optimizer = make(net.parameters())
        for _ in range(EPOCHS):
            for at in range(0, ROWS, BATCH):
                optimizer.zero_grad()
                F.mse_loss(net(h[at:at + BATCH], k[at:at + BATCH]), y[at:at + BATCH]).backward()
                optimizer.step()
        for name, v in net.state_dict().items():
            refs[f"{how}/{name}"] = v.numpy().copy()
    np.savez_compressed(OUT / "refs.npz", h=h.numpy(), k=k.numpy(), y=y.numpy(), **refs)


main()
