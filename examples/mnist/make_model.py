#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes mnist.onnx: the kind of file a PyTorch user hands to Hone.

A 784-48-24-10 classifier with BatchNorm1d and ReLU after each hidden layer, trained for three passes over 1,000 digits
only, exported in inference form by torch.onnx's TorchScript exporter (the newer one folds BatchNorm away).
Needs torch, onnx, numpy. Deterministic for a given torch version; the file in the repository came from torch 2.11.0.
"""
import gzip
import pathlib

import numpy as np
import torch
from torch import nn

here = pathlib.Path(__file__).parent


def idx(path, header):
    return np.frombuffer(gzip.open(path).read(), np.uint8, offset=header)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    x = torch.tensor(idx(here / "images.idx3.gz", 16).reshape(-1, 784).astype(np.float32) / 255)[:1000]
    y = torch.tensor(idx(here / "labels.idx1.gz", 8).astype(np.int64))[:1000]
    net = nn.Sequential(nn.Linear(784, 48), nn.BatchNorm1d(48), nn.ReLU(),
                        nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(3):
        for i in range(0, 1000, 50):
            sgd.zero_grad()
            nn.functional.cross_entropy(net(x[i:i + 50]), y[i:i + 50]).backward()
            sgd.step()
    net.eval()
    torch.onnx.export(net, torch.zeros(2, 784), str(here / "mnist.onnx"), input_names=["image"],
                      output_names=["logits"], dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
                      opset_version=17, dynamo=False)


if __name__ == "__main__":
    main()
