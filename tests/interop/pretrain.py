#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pre-training against PyTorch: a network with normalisation is pre-trained by `hone train --pretrain`, and again here with
torch.nn, layer by layer, from the same decoder and with the same inputs set to 0 (Philox, written once more below). The
training that follows has a learning rate of nothing, so that the exported tensors are those of the pre-training.

usage: pretrain.py BUILD_FOLDER
"""
import math
import sys

import _common
from _common import DATA, apart, check, folder, load, np, onnx, run, tensors

try:
    import torch
    from torch import nn
except ImportError:
    _common.skip("torch is not installed")

ROWS, IN, BATCH = 50, 6, 8
LIMIT = {"f32": 5e-5, "f64": 1e-10}
INIT, PRETRAIN, DROPOUT = 0x50000000, 0x70000000, 0x60000000
CASES = [  # optimizer, its options here, noise, epochs of each layer
    ("sgd", {}, 0, 3), ("sgd", {}, 0.25, 2), ("momentum", {"momentum": 0.9}, 0.5, 3), ("adam", {}, 0, 3), ("adam", {}, 0.3, 4),
]


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(key, stream, i):
    w = philox((i // 2, 0, 1, stream), key)[2 * (i % 2):][:2]
    return ((w[0] << 21) | (w[1] >> 11)) * 2.0 ** -53


def dropped(key, batch, row, col, rate):
    word = philox((col, row // 8, batch, DROPOUT), key)[row % 8 // 2]
    return (word >> 16 * (row % 2) & 0xFFFF) < int(rate * 65536 + 0.5)


def numbers():
    """Those of tests/train/kit.c."""
    i, j = np.meshgrid(np.arange(ROWS), np.arange(IN), indexing="ij")
    x = ((i * 37 + j * 91 + i * j * 5 + 17) % 64 - 31) / 16.0
    i, j = np.meshgrid(np.arange(ROWS), np.arange(2), indexing="ij")
    return x, ((i * 29 + j * 13 + 7) % 32 - 15) / 8.0, (np.arange(ROWS) * 7 + np.arange(ROWS) // 5) % 3


def network(kind, dtype, path):
    weights, net = tensors(path), nn.ModuleDict({"fc1": nn.Linear(IN, 8), "fc2": nn.Linear(8, 5)})
    for node in load(path).graph.node:
        told = {a.name: a.f for a in node.attribute}
        if node.op_type == "BatchNormalization":
            name = node.name.split("/")[1]
            net[name] = nn.BatchNorm1d(len(weights[name + ".weight"]), told["epsilon"], 1 - told["momentum"])
        elif node.op_type == "LayerNormalization":
            name = node.name.split("/")[1]
            net[name] = nn.LayerNorm(len(weights[name + ".weight"]), told["epsilon"])
    net = net.to(dtype)
    net.load_state_dict({k: torch.tensor(weights[k]) for k in net.state_dict() if k in weights}, strict=False)
    return net, {"fc1": torch.relu, "fc2": torch.tanh if kind == "bn" else nn.functional.gelu}


def pretrain(net, layer, act, x, key, make, noise, epochs):
    """One layer; the error before and after, in inference form."""
    dense, norm = net[layer], net["norm" + layer[-1]]
    n_in, units = dense.in_features, dense.out_features
    width = math.sqrt(6 / (n_in + units))
    back = nn.Linear(units, n_in).to(x.dtype)
    with torch.no_grad():
        v = [width * (2 * uniform(key, INIT, i) - 1) for i in range(units * n_in)]
        back.weight.copy_(torch.tensor(v, dtype=torch.float64).reshape(units, n_in).T)
        back.bias.zero_()

    def restore(rows):
        return back(act(norm(dense(rows))))

    def error():
        norm.eval()
        with torch.no_grad():
            return nn.functional.mse_loss(restore(x), x).item()

    before, batch = error(), 0
    norm.train()
    optimizer = make([*dense.parameters(), *norm.parameters(), *back.parameters()])
    for _ in range(epochs):
        for at in range(0, ROWS, BATCH):
            rows = x[at:at + BATCH]
            kept = torch.tensor([[not dropped(key, batch, r, c, noise) for c in range(n_in)] for r in range(len(rows))])
            optimizer.zero_grad()
            nn.functional.mse_loss(restore(rows * kept), rows).backward()
            optimizer.step()
            batch += 1
    return before, error()


def reference(kind, short, case, path):
    optimizer, options, noise, epochs = case
    dtype = torch.float32 if short == "f32" else torch.float64
    net, acts = network(kind, dtype, path)
    make = {"sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    names = [n.name for n in load(path).graph.node]
    run_key = philox((0, 0, 0, 0), (0x484F4E45, 0x6B657973))[:2]  # seed 0, no trial, no fold
    data = at = torch.tensor(numbers()[0], dtype=dtype)
    told = []
    for layer, act in acts.items():
        key = philox((names.index(f"/{layer}/Gemm"), 0, 0, PRETRAIN), run_key)[:2]
        told.append(pretrain(net, layer, act, at, key, lambda p: make(p, lr=0.02, **options), noise, epochs))
        with torch.no_grad():
            at = act(net["norm" + layer[-1]](net[layer](at)))
    net.train()  # the epoch that follows moves running statistics alone
    with torch.no_grad():
        for first in range(0, ROWS, BATCH):
            h = data[first:first + BATCH]
            for layer, act in acts.items():
                h = act(net["norm" + layer[-1]](net[layer](h)))
    return {k: v.numpy() for k, v in net.state_dict().items() if v.ndim}, told


def compare(kind, short, case, tmp):
    optimizer, _, noise, epochs = case
    path, out = DATA / "train" / f"{kind}_{short}.onnx", tmp / "out.onnx"
    x, y, labels = numbers()
    real = np.float32 if short == "f32" else np.float64
    np.save(tmp / "x.npy", x.astype(real))
    np.save(tmp / "y.npy", labels if kind == "bn" else y.astype(real))
    what = f"{kind} {short} {optimizer} noise {noise}"
    r = run(what, "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--pretrain", epochs, "--pretrain-noise", noise,
            "--pretrain-lr", "0.02", "--optimizer", optimizer, "--lr", "1e-300", "--batch-size", BATCH, "--epochs", "1",
            "--no-shuffle", "--save", "last", "--quiet", "--json", "-o", out, "--force")
    got, before = tensors(out), tensors(path)
    want, told = reference(kind, short, case, path)
    worst = 0.0
    for name, w in want.items():
        off = apart(got[name], w)
        worst = max(worst, off)
        check(f"{what}: {name}", off <= LIMIT[short], f"{off:.2e} away, {LIMIT[short]:.0e} allowed")
        still = kind == "bn" and name in ("fc1.bias", "fc2.bias")
        check(f"{what}: {name} moved", still or apart(before[name], w) > 1e-4)
    for name in ("out.weight", "out.bias"):
        check(f"{what}: {name} stays", np.array_equal(got[name], before[name]))
    layers = r.get("pretrain", {}).get("layers", [])
    check(f"{what}: two layers", len(layers) == 2)
    for at, (layer, errors) in enumerate(zip(layers, told)):
        for key, e in zip(("before", "after"), errors):
            check(f"{what}: error {key}, layer {at + 1}", abs(layer[key] - e) <= LIMIT[short] * e, f"{layer[key]}, PyTorch {e}")
    return worst


def shared(tmp):
    """Dense layers that share a weight: the first one is pre-trained, what stands behind it follows; said by its name."""
    rng, h = np.random.default_rng(3), onnx.helper
    w, v = rng.standard_normal((IN, IN)).astype(np.float32) / 2, rng.standard_normal((IN, 2)).astype(np.float32)
    nodes = [h.make_node("Gemm", ["x", "w", "b"], ["a"], "one"), h.make_node("Tanh", ["a"], ["at"]),
             h.make_node("Gemm", ["at", "w", "c"], ["d"], "two"), h.make_node("Tanh", ["d"], ["dt"]), h.make_node("Add", ["dt", "at"], ["s"], "sum"),
             h.make_node("Gemm", ["s", "u"], ["e"], "three"), h.make_node("Relu", ["e"], ["et"]), h.make_node("Gemm", ["et", "v"], ["y"], "last")]
    floats = [("w", w), ("b", np.zeros(IN, np.float32)), ("c", np.ones(IN, np.float32)), ("u", w[:, ::-1].copy()), ("v", v)]
    graph = h.make_graph(nodes, "shared", [h.make_tensor_value_info("x", 1, ["N", IN])], [h.make_tensor_value_info("y", 1, ["N", 2])],
                         [onnx.numpy_helper.from_array(t, n) for n, t in floats])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), tmp / "shared.onnx")
    x, y, _ = numbers()
    np.save(tmp / "x.npy", x.astype(np.float32))
    np.save(tmp / "y.npy", y.astype(np.float32))
    r = run("shared weights", "train", tmp / "shared.onnx", "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--pretrain", "5", "--optimizer", "sgd", "--lr",
            "1e-300", "--pretrain-lr", "0.05", "--epochs", "1", "--save", "last", "--json", "--quiet", "-o", tmp / "moved.onnx").get("pretrain", {})
    check("the first and the third", [layer["layer"] for layer in r.get("layers", [])] == ["one", "three"], r)
    check("not the second, and why", r.get("skipped") == [{"layer": "two", "why": "it has the weight of a layer that is pre-trained before it"}], r)
    got = tensors(tmp / "moved.onnx")
    for name, before in floats:
        check(f"shared: {name}", np.array_equal(got[name], before) == (name in "cv"), name)


def main():
    tmp = folder()
    for short in LIMIT:
        # BatchNormalization takes a bias away: its gradient is rounding noise, which Adam scales up to whole steps
        worst = max(compare(kind, short, case, tmp) for kind in ("bn", "ln") for case in CASES if (kind, case[0]) != ("bn", "adam"))
        print(f"{short}: at most {worst:.2e} away from PyTorch, relative to a tensor's largest value")
    shared(tmp)
    _common.finish("pretrain", tmp)


main()
