#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random networks of layers that PyTorch users write, exported by both of PyTorch's exporters: every output as ONNX Runtime computes it,
no epochs give the same bytes, and some steps of SGD lead where PyTorch's own lead (judged by the outputs afterwards, so that it does
not matter under which names a parameter is stored). Needs PyTorch with onnxscript; else it is skipped.

usage: random_models.py BUILD_FOLDER [HOW-MANY [FIRST-SEED]]     one seed is one network; a failure names its seed and layers
"""
import contextlib
import io
import logging
import math
import random
import sys
import warnings

import _common
from _common import apart, check, checker, folder, load, np, ort_rows, run, skip

try:
    import onnxscript  # noqa: F401
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils import parametrizations, parametrize, prune
except ImportError as missing:
    skip(f"{missing.name} is not installed")

logging.disable(logging.CRITICAL)
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
ROWS, BATCH, EPOCHS, RATE = 24, 8, 2, 0.02
tmp = folder()


class Of(nn.Module):
    """A module of a function f(self, x) and of what it uses: modules, parameters, constants."""

    def __init__(self, f, **parts):
        super().__init__()
        self.f = f
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *x):
        return self.f(self, *x)


def p(*dims, scale=0.4):
    return nn.Parameter(torch.randn(*dims) * scale)


def then(a, b, f):
    """A linear layer and a function of what it gives."""
    return Of(lambda s, x: f(s.l(x)), l=nn.Linear(a, b))


ACTIVATIONS = [nn.ReLU, nn.GELU, lambda: nn.GELU("tanh"), nn.SiLU, nn.Mish, lambda: nn.ELU(0.7), nn.SELU, nn.Softplus, lambda: nn.Softplus(2.0), nn.Hardswish,
               nn.Hardsigmoid, nn.Hardtanh, nn.ReLU6, lambda: nn.LeakyReLU(0.2), nn.Tanh, nn.Sigmoid, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink,
               lambda: nn.Softshrink(0.1), lambda: nn.Threshold(0.1, 0.0), lambda: nn.Softmax(-1), nn.PReLU]
FUNCTIONS = [torch.sin, torch.cos, torch.atan, torch.asinh, lambda x: torch.sign(x) * torch.log1p(x.abs()), lambda x: torch.exp(-x ** 2), torch.erf,
             lambda x: torch.where(x > 0, x, 0.3 * x), lambda x: F.normalize(x, dim=-1), lambda x: x - torch.logsumexp(x, -1, keepdim=True), lambda x: torch.cumsum(x, -1),
             lambda x: x - torch.floor(x), lambda x: torch.nan_to_num(x), lambda x: x.repeat(1, 2)[:, :x.shape[1]], lambda x: torch.roll(x, 1, -1),
             lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3), lambda x: x * torch.prod(torch.sigmoid(x), -1, keepdim=True),
             lambda x: torch.cat([x[:, ::2], x[:, 1::2]], 1), lambda x: x[:, torch.arange(x.shape[1] - 1, -1, -1)], lambda x: torch.clamp(x, -0.8, 0.9)]


def residual(a, b):
    return nn.Sequential(nn.Linear(a, b), Of(lambda s, x: x + s.o(F.gelu(s.i(s.n(x)))), n=nn.LayerNorm(b), i=nn.Linear(b, 5), o=nn.Linear(5, b)))


def gated(a, b):
    def f(s, x):
        u, g = s.l(x).chunk(2, -1)
        return u * F.silu(g)
    return Of(f, l=nn.Linear(a, 2 * b))


def mixer(a, b):
    def f(s, x):
        x = s.e(x).view(-1, 4, 3)
        x = x + s.t(s.n(x).transpose(1, 2)).transpose(1, 2)
        return s.o(F.gelu(s.c(x)).mean(1))
    return Of(f, e=nn.Linear(a, 12), n=nn.LayerNorm(3), t=nn.Linear(4, 4), c=nn.Linear(3, 6), o=nn.Linear(6, b))


def experts(a, b):
    return Of(lambda s, x: (torch.softmax(s.g(x), -1).unsqueeze(-1) * torch.stack([e(x) for e in s.e], 1)).sum(1), g=nn.Linear(a, 3),
              e=nn.ModuleList(nn.Linear(a, b) for _ in range(3)))


def set_with_token(a, b):
    return Of(lambda s, x: s.r(torch.cat([s.e.expand(x.shape[0], -1, -1), s.p(x.view(-1, a // 2, 2))], 1).flatten(1)), p=nn.Linear(2, 3), e=p(1, 1, 3),
              r=nn.Linear(3 * (a // 2) + 3, b))


LAYERS = {
    "activation": lambda a, b: nn.Sequential(nn.Linear(a, b), random.choice(ACTIVATIONS)()), "function": lambda a, b: then(a, b, random.choice(FUNCTIONS)),
    "no bias": lambda a, b: nn.Sequential(nn.Linear(a, b, bias=False), nn.Tanh()), "residual": residual, "gated": gated, "mixer": mixer, "experts": experts,
    "token": set_with_token, "GLU": lambda a, b: nn.Sequential(nn.Linear(a, 2 * b), nn.GLU()),
    "LayerNorm": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()), "GroupNorm": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.GroupNorm(2, b)),
    "no affine": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b, elementwise_affine=False)), "BatchNorm": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.BatchNorm1d(b)),
    "RMS": lambda a, b: nn.Sequential(nn.Linear(a, b), Of(lambda s, x: s.w * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), w=p(b))),
    "einsum": lambda a, b: Of(lambda s, x: torch.einsum("ij,kj->ik", x, s.w) + s.b, w=p(b, a), b=p(b)),
    "einsum of groups": lambda a, b: Of(lambda s, x: torch.einsum("bgi,gio->bgo", x.view(-1, 2, a // 2), s.w).reshape(-1, b), w=p(2, a // 2, b // 2)),
    "bilinear": lambda a, b: Of(lambda s, x: x @ s.v + (x @ s.w) * (x @ s.u) + s.b, w=p(a, b), u=p(a, b), v=p(a, b), b=p(b)),
    "addmm": lambda a, b: Of(lambda s, x: torch.addmm(s.b, x, s.w, alpha=0.7, beta=0.5), w=p(a, b), b=p(b)), "maxout": lambda a, b: Of(lambda s, x: s.l(x).view(-1, b, 3).amax(-1), l=nn.Linear(a, 3 * b)),
    "dense": lambda a, b: Of(lambda s, x: s.o(torch.cat([x, F.relu(s.i(x))], 1)), i=nn.Linear(a, 5), o=nn.Linear(a + 5, b)),
    "highway": lambda a, b: nn.Sequential(nn.Linear(a, b), Of(lambda s, x: torch.sigmoid(s.t(x)) * F.relu(s.h(x)) + (1 - torch.sigmoid(s.t(x))) * x, t=nn.Linear(b, b), h=nn.Linear(b, b))),
    "periodic": lambda a, b: Of(lambda s, x: s.l(torch.cat([torch.sin(math.pi * s.e(x)), torch.cos(math.pi * s.e(x))], -1)), e=nn.Linear(a, 6), l=nn.Linear(12, b)),
}


def weight(make, *dims):
    """A linear layer whose weight is computed from parameters of these dims."""
    def of(a, b):
        parts = {f"w{k}": p(*({"a": a, "b": b}.get(n) or int(n) for n in d)) for k, d in enumerate(dims)}
        return nn.Sequential(Of(lambda s, x: F.linear(x, make(*(getattr(s, f"w{k}") for k in range(len(dims))))) + s.bias, bias=p(b), **parts),
                             random.choice([nn.ReLU, nn.Tanh, nn.SiLU])())
    return of


def unit(w, dim=-1):
    return w / w.norm(dim=dim, keepdim=True).clamp_min(1e-6)


def pruned(a, b):
    layer = nn.Linear(a, b)
    prune.random_unstructured(layer, "weight", amount=0.5)
    random.random() < 0.5 and prune.random_unstructured(layer, "bias", amount=0.3)
    return nn.Sequential(layer, nn.Tanh())


def reparametrized(module, name, how):
    parametrize.register_parametrization(module, name, Of(lambda s, v: how(v)))
    return module


COMPUTED = {
    "weight norm": lambda a, b: nn.Sequential(parametrizations.weight_norm(nn.Linear(a, b), dim=random.choice([0, 1])), nn.ReLU()), "pruned": pruned,
    "cosine": lambda a, b: Of(lambda s, x: F.linear(F.normalize(x), F.normalize(s.w)) * s.s, w=p(b, a), s=p(b)), "low rank": weight(lambda w, u, v: w + 0.3 * (u @ v), "ba", "b2", "2a"),
    "scaled": weight(lambda w, s, t: s * w * t.exp(), "ba", ("b", 1), "a"), "positive": weight(F.softplus, "ba"), "mixing": weight(lambda w: F.softmax(w, -1), "ba"),
    "standardised": weight(lambda w: (w - w.mean(1, keepdim=True)) / (w.std(1, keepdim=True) + 1e-3), "ba"), "outer": weight(lambda u, v: u * v + u.t()[:, :1], ("b", 1), (1, "a")),
    "bounded": weight(lambda w: w * (0.7 / w.norm(dim=1, keepdim=True)).clamp(max=1.0), "ba"), "triangular": weight(lambda w: torch.tril(w) + 0.1 * w, "ba"),
    "symmetric": lambda a, b: nn.Sequential(nn.Linear(a, b), Of(lambda s, x: torch.tanh(x @ (s.w + s.w.t() - s.u + s.u.t())), w=p(b, b), u=p(b, b))),
    "packed": lambda a, b: Of(lambda s, x: torch.tanh(x @ s.w[:b].t()) * (x @ s.w[b:].t()), w=p(2 * b, a)), "joined": weight(lambda u, v: torch.cat([u, unit(v)], 0), (3, "a"), (5, "a")),
    "reshaped": weight(lambda w: w.reshape(2, -1, 4).transpose(0, 1).reshape(8, -1), "ba"), "magnitude": weight(lambda w: torch.where(w.abs() > 0.2, w, 0.1 * w), "ba"),
    "shared": lambda a, b: nn.Sequential(nn.Linear(a, b), Of(lambda s, x: torch.tanh(torch.tanh(x @ unit(s.w)) @ unit(s.w).t()), w=p(b, b))),
    "levels": lambda a, b: Of(lambda s, x: torch.sigmoid(s.l(x) + torch.cumsum(F.softplus(s.d), 0)), l=nn.Linear(a, b, bias=False), d=p(b)),
    "gains": lambda a, b: nn.Sequential(nn.Linear(a, b), reparametrized(nn.LayerNorm(b), "weight", torch.exp), nn.GELU()),
    "batch gains": lambda a, b: nn.Sequential(nn.Linear(a, b), nn.Tanh(), reparametrized(nn.BatchNorm1d(b), "weight", torch.exp)),
    "slopes": lambda a, b: nn.Sequential(nn.Linear(a, b), reparametrized(nn.PReLU(b), "weight", torch.sigmoid)), "plain": lambda a, b: then(a, b, torch.tanh),
}
HEADS = {
    "plain": (1, lambda b: nn.Linear(b, 3)), "two": (2, lambda b: Of(lambda s, x: (s.a(x), s.c(x)), a=nn.Linear(b, 2), c=nn.Linear(b, 3))),
    "mean and deviation": (2, lambda b: Of(lambda s, x: (s.a(x), torch.exp(0.5 * torch.clamp(s.c(x), -5, 2))), a=nn.Linear(b, 2), c=nn.Linear(b, 2))),
    "dueling": (1, lambda b: Of(lambda s, x: s.v(x) + s.a(x) - s.a(x).mean(1, keepdim=True), v=nn.Linear(b, 1), a=nn.Linear(b, 4))),
    "quantiles": (1, lambda b: Of(lambda s, x: torch.cumsum(F.softplus(s.a(x)), 1), a=nn.Linear(b, 4))), "sigmoid": (1, lambda b: nn.Sequential(nn.Linear(b, 2), nn.Sigmoid())),
    "squeezed": (1, lambda b: Of(lambda s, x: s.a(x).squeeze(-1), a=nn.Linear(b, 1))),
}
WAYS = [("dynamo", 18, True), ("dynamo", 20, False), ("legacy", 17, True), ("legacy", 13, True)]
AS_IT_IS = {"dynamo": {"optimize": False}, "legacy": {"do_constant_folding": False}}  # else small weights are folded into plain ones


def network(seed, kinds):
    random.seed(seed)
    torch.manual_seed(seed)
    names, width, layers = [], 6, []
    for _ in range(random.randint(1, 3)):
        names.append(random.choice(list(kinds)))
        layers.append(kinds[names[-1]](width, 8))
        width = 8
    names.append(random.choice(list(HEADS)))
    outputs, head = HEADS[names[-1]]
    net = nn.Sequential(*layers, head(width))
    with torch.no_grad():  # no two tensors are equal: exporters would make one of them
        for q in net.parameters():
            q.add_(0.1 * torch.randn_like(q))
    return names, net, [f"y{k}" for k in range(outputs)]


def export(net, path, way, outputs, folded):
    exporter, opset, open_batch = way
    batch = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=4096)},)} if exporter == "dynamo" else \
        {"dynamic_axes": {n: {0: "batch"} for n in ["x", *outputs]}}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(net, (torch.randn(BATCH, 6),), str(path), dynamo=exporter == "dynamo", opset_version=opset, input_names=["x"], output_names=outputs,
                          **({"external_data": False} if exporter == "dynamo" else {}), **(batch if open_batch else {}), **({} if folded else AS_IT_IS[exporter]))


def computed(net, x):
    net.eval()
    with torch.no_grad():
        y = net(torch.tensor(x))
    return [o.numpy().reshape(len(x), -1) for o in (y if isinstance(y, tuple) else (y,))]


def trained(net, x, targets):
    """BatchNormalization learns from the batches, as it does in hone train."""
    net.train()
    sgd = torch.optim.SGD(net.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for k in range(0, ROWS, BATCH):
            y = net(torch.tensor(x[k:k + BATCH]))
            loss = sum(F.mse_loss(o.reshape(BATCH, -1), torch.tensor(t[k:k + BATCH])) for o, t in zip(y if isinstance(y, tuple) else (y,), targets))
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    return computed(net, x)


def one(seed, kinds):
    way = WAYS[seed % len(WAYS)]
    names, net, outputs = network(seed, kinds)
    what, path, out = f"{seed}, {way[0]} {way[1]}: {', '.join(names)}", tmp / f"{seed}.onnx", tmp / "out.onnx"
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, 6)).astype(np.float32)
    before = computed(net, x)
    targets = [(o + 0.5 * rng.normal(size=o.shape)).astype(np.float32) for o in before]
    try:
        export(net.eval(), path, way, outputs, kinds is LAYERS)
    except Exception as e:  # the exporter has no way to say it
        print(f"not exported: {what}: {str(e).strip().splitlines()[0][:100]}")
        return
    np.save(tmp / "x.npy", x)
    told = []
    for name, want, target in zip(outputs, before, targets):
        run(f"{what}: predict", "predict", path, "--x", tmp / "x.npy", "--output", name, "--force", "-q", "-o", tmp / "p.npy")
        off = apart(np.load(tmp / "p.npy").reshape(want.shape), want)
        check(f"{what}: {name} as PyTorch", off <= 2e-5, off)
        np.save(tmp / f"{name}.npy", target)
        told += ["--y", f"{name}={tmp / name}.npy", "--loss", f"{name}=mse"]
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--force", "-q", "-o", out)
    check(f"{what}: the same bytes", out.read_bytes() == path.read_bytes())
    run(f"{what}: train", "train", path, "--x", tmp / "x.npy", *told, "--epochs", EPOCHS, "--batch-size", BATCH, "--optimizer", "sgd", "--lr", RATE, "--no-shuffle",
        "--save", "last", "--force", "-q", "-o", out)
    check(f"{what}: onnx.checker", checker(load(out)) or not checker(load(path)))
    got = ort_rows(out, {"x": x}, ROWS)
    for name, want, old in zip(outputs, trained(net, x, targets), before):
        off, moved = apart(got[name], want), apart(old, want)
        check(f"{what}: {name} trained as PyTorch trains it", off <= max(3e-4, 0.01 * moved), f"{off:.1e} off, it moved {moved:.1e}")
    path.unlink()


first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
for seed in range(first, first + (int(sys.argv[2]) if len(sys.argv) > 2 else 24)):
    one(seed, LAYERS)
    one(seed, COMPUTED)
_common.finish("random_models", tmp)
