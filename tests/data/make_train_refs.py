#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records whole PyTorch trainings for tests/train/test_parity.c: python3 tests/data/make_train_refs.py

Writes into tests/data/train: two small models as ONNX (bn: Linear + BatchNorm, cross-entropy; ln: Linear + LayerNorm, mean
squared error), each in float32 and float64, and the final tensors of every optimizer under every schedule: one row a case
in MODEL_TYPE.npy, tensors one after the other as listed in refs.h, which also holds the cases as Hone's parameters.
3 epochs over 50 rows in batches of 20 (the last has 10), rows in order. MODEL_TYPE_average.npy: averaged weights by
torch.optim.swa_utils, 6 epochs in batches of 25. Recorded with torch 2.11."""
import json
import os
import warnings

import numpy as np
import torch
from torch import nn
from torch.optim import swa_utils

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train")
ROWS, IN, EPOCHS, BATCH = 50, 6, 3, 20
BATCHES = (ROWS + BATCH - 1) // BATCH
EPS = 2.0**-17  # ONNX attributes are float32: eps and momentum are numbers that it holds exactly
S = torch.optim.lr_scheduler


class BN(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.norm1 = nn.Linear(IN, 8), nn.BatchNorm1d(8, momentum=0.125, eps=EPS)
        self.fc2, self.norm2 = nn.Linear(8, 5), nn.BatchNorm1d(5, momentum=0.25, eps=10 * EPS)
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        x = torch.relu(self.norm1(self.fc1(x)))
        return self.out(torch.tanh(self.norm2(self.fc2(x))))


class LN(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.norm1 = nn.Linear(IN, 8), nn.LayerNorm(8)
        self.fc2, self.norm2 = nn.Linear(8, 5), nn.LayerNorm(5)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        x = torch.relu(self.norm1(self.fc1(x)))
        return self.out(nn.functional.gelu(self.norm2(self.fc2(x))))


def data(kind, dtype):
    x = torch.tensor([[((i * 37 + j * 91 + i * j * 5 + 17) % 64 - 31) / 16 for j in range(IN)] for i in range(ROWS)],
                     dtype=dtype)
    if kind == "bn":
        return x, torch.tensor([(i * 7 + i // 5) % 3 for i in range(ROWS)])
    return x, torch.tensor([[((i * 29 + j * 13 + 7) % 32 - 15) / 8 for j in range(2)] for i in range(ROWS)], dtype=dtype)


def start(kind, dtype):
    torch.manual_seed(5 if kind == "bn" else 6)
    model = (BN() if kind == "bn" else LN()).to(torch.float64)
    with torch.no_grad():  # numbers that float32 holds exactly; statistics that are not the usual start
        for name, t in model.state_dict().items():
            if t.dtype != torch.float64:
                continue
            if name.endswith("running_mean"):
                t.copy_(torch.linspace(-0.5, 0.5, t.numel()))
            elif name.endswith("running_var"):
                t.copy_(torch.linspace(0.5, 1.5, t.numel()))
            t.copy_(t.to(torch.float32).to(torch.float64))
    return model.to(dtype)


def rate(optimizer):
    return 0.05 if optimizer in ("sgd", "momentum", "nesterov", "adagrad") else 0.01


def make_optimizer(name, model, lr, wd=0.0):
    p = model.parameters()
    return {
        "sgd": lambda: torch.optim.SGD(p, lr=lr, weight_decay=wd),
        "momentum": lambda: torch.optim.SGD(p, lr=lr, momentum=0.9, weight_decay=wd),
        "nesterov": lambda: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=wd),
        "adagrad": lambda: torch.optim.Adagrad(p, lr=lr, weight_decay=wd),
        "rmsprop": lambda: torch.optim.RMSprop(p, lr=lr, weight_decay=wd),
        "adam": lambda: torch.optim.Adam(p, lr=lr, weight_decay=wd),
        "adamw": lambda: torch.optim.AdamW(p, lr=lr, weight_decay=wd or 0.01),
    }[name]()


SCHEDULES = {  # name: (Hone's parameters, PyTorch's scheduler, stepped per "epoch", "step" or "value")
    "constant": ({}, None, ""),
    "step": ({"lr-step": "1", "lr-gamma": "0.5"}, lambda o, lr, n: S.StepLR(o, 1, 0.5), "epoch"),
    "multistep": ({"lr-milestones": "1,2"}, lambda o, lr, n: S.MultiStepLR(o, [1, 2], 0.1), "epoch"),
    "exponential": ({}, lambda o, lr, n: S.ExponentialLR(o, 0.95), "epoch"),
    "cosine": ({"lr-min": "0.001"}, lambda o, lr, n: S.CosineAnnealingLR(o, EPOCHS, 0.001), "epoch"),
    "onecycle": ({}, lambda o, lr, n: S.OneCycleLR(o, lr, total_steps=n, cycle_momentum=False), "step"),
    "poly": ({}, lambda o, lr, n: S.PolynomialLR(o, EPOCHS, 1.0), "epoch"),
    "plateau": ({"lr-patience": "0", "lr-threshold": "0.5", "monitor": "train_loss"},
                lambda o, lr, n: S.ReduceLROnPlateau(o, "min", 0.1, 0, threshold=0.5), "value"),
}
OPTIMIZERS = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
CASES = [(o, s, {}) for o in OPTIMIZERS for s in SCHEDULES]
CASES += [
    ("adam", "constant", {"clip-norm": "0.5", "l1": "0.001", "weight-decay": "0.01"}),
    ("sgd", "constant", {"clip-norm": "0.5", "l1": "0.001", "weight-decay": "0.01"}),
    ("adamw", "onecycle", {"accumulate": "2"}),
    ("nesterov", "constant", {"accumulate": "3", "weight-decay": "0.01", "no-decay": "norm,bias"}),
    ("adam", "cosine", {"warmup": "7", "lr-min": "0.001"}),
]


def train(kind, dtype, case):
    optimizer, schedule, extra = case
    model, lr = start(kind, dtype), rate(optimizer)
    x, y = data(kind, dtype)
    accumulate = int(extra.get("accumulate", 1))
    opt = make_optimizer(optimizer, model, lr, float(extra.get("weight-decay", 0)))
    if "no-decay" in extra:
        spared = [p for n, p in model.named_parameters() if n.startswith("norm") or n.endswith("bias")]
        rest = [p for n, p in model.named_parameters() if not (n.startswith("norm") or n.endswith("bias"))]
        base = opt.defaults
        opt = torch.optim.SGD([{"params": rest}, {"params": spared, "weight_decay": 0.0}], lr=lr,
                              momentum=base["momentum"], nesterov=base["nesterov"], weight_decay=base["weight_decay"])
    steps_per_epoch = -(-BATCHES // accumulate)
    _, make, when = SCHEDULES[schedule]
    sched = make(opt, lr, EPOCHS * steps_per_epoch) if make else None
    loss_of = nn.CrossEntropyLoss() if kind == "bn" else nn.MSELoss()
    params, clip, l1 = list(model.parameters()), float(extra.get("clip-norm", 0)), float(extra.get("l1", 0))
    warmup, step = int(extra.get("warmup", 0)), 0
    model.train()
    for _ in range(EPOCHS):
        total, micro = 0.0, 0
        opt.zero_grad()
        for b in range(BATCHES):
            rows = slice(b * BATCH, (b + 1) * BATCH)
            loss = loss_of(model(x[rows]), y[rows])
            total += loss.item() * len(x[rows])
            loss.backward()
            micro += 1
            if micro < accumulate and b + 1 < BATCHES:
                continue
            with torch.no_grad():
                for p in params:
                    p.grad.div_(micro)
                    if l1:
                        p.grad.add_(torch.sign(p), alpha=l1)
            if clip:
                nn.utils.clip_grad_norm_(params, clip)
            plain = [g["lr"] for g in opt.param_groups]
            for g in opt.param_groups:
                g["lr"] *= min(1.0, (step + 1) / warmup) if warmup else 1.0
            opt.step()
            for g, rate_before in zip(opt.param_groups, plain):
                g["lr"] = rate_before
            opt.zero_grad()
            micro, step = 0, step + 1
            if when == "step":
                sched.step()
        if when == "epoch":
            sched.step()
        elif when == "value":
            sched.step(total / ROWS)
    return model


AVERAGES = [  # optimizer, Hone's parameters
    ("sgd", {"swa-start": "3"}),
    ("momentum", {"swa-start": "0.5", "swa-lr": "0.02", "swa-anneal": "2"}),
    ("adam", {"swa-start": "1", "swa-lr": "0.005"}),
    ("adam", {"ema": "0.9"}),
    ("momentum", {"ema": "0.3", "accumulate": "2"}),
    ("sgd", {"ema": "0.5"}),
]
AVERAGE_EPOCHS, AVERAGE_BATCH = 6, 25


def average(kind, dtype, optimizer, settings):
    """As PyTorch's page on swa_utils does it; the epochs from swa-start on are averaged, or with ema every optimizer step, the
    running statistics like the weights."""
    model, lr = start(kind, dtype), rate(optimizer)
    accumulate = int(settings.get("accumulate", 1))
    (x, y), opt = data(kind, dtype), make_optimizer(optimizer, model, lr)
    averaged, swa = swa_utils.AveragedModel(model), None
    if "ema" in settings:
        decay = float(settings["ema"])
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True)
    first = float(settings.get("swa-start", AVERAGE_EPOCHS + 1))
    first = int(first * AVERAGE_EPOCHS) + 1 if first < 1 else int(first)
    loss_of = nn.CrossEntropyLoss() if kind == "bn" else nn.MSELoss()
    batches = [slice(b, b + AVERAGE_BATCH) for b in range(0, ROWS, AVERAGE_BATCH)]
    model.train()
    for epoch in range(1, AVERAGE_EPOCHS + 1):
        if epoch == first and "swa-lr" in settings:
            swa = swa_utils.SWALR(opt, float(settings["swa-lr"]), anneal_epochs=int(settings.get("swa-anneal", 0)))
        opt.zero_grad()
        for i, rows in enumerate(batches):
            (loss_of(model(x[rows]), y[rows]) / accumulate).backward()
            if (i + 1) % accumulate:
                continue
            opt.step()
            opt.zero_grad()
            if "ema" in settings:
                averaged.update_parameters(model)
        if epoch >= first:
            averaged.update_parameters(model)
        if swa:
            swa.step()
    if "ema" not in settings:
        swa_utils.update_bn([x[rows] for rows in batches], averaged)
    return averaged.module


def tensors(model):
    return [(n, t) for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")]


def export(kind, dtype, path):
    model = start(kind, dtype).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (data(kind, dtype)[0][:2],), path, dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}}, do_constant_folding=False)


def drift():
    """How far PyTorch's own float32 is from its float64: the floor under any comparison."""
    for kind in ("bn", "ln"):
        worst = 0
        for case in CASES:
            a, b = train(kind, torch.float32, case), train(kind, torch.float64, case)
            for (name, x), (_, y) in zip(tensors(a), tensors(b)):
                noise = case[0] in ("adagrad", "rmsprop", "adam", "adamw") and kind == "bn"
                if noise and name in ("fc1.bias", "fc2.bias", "norm1.running_mean", "norm2.running_mean"):
                    continue
                worst = max(worst, ((x.double() - y).abs().max() / y.abs().max()).item())
        print(f"{kind}: PyTorch's float32 drifts up to {worst:.2g} of a tensor's largest value")


def main():
    os.makedirs(HERE, exist_ok=True)
    torch.set_num_threads(1)
    lines = ["/* SPDX-License-Identifier: MIT", " *", " * Written by make_train_refs.py with torch "
             + torch.__version__.split("+")[0] + ": do not edit. */", "/* clang-format off */"]
    for kind in ("bn", "ln"):
        for dtype, text in ((torch.float32, "f32"), (torch.float64, "f64")):
            export(kind, dtype, os.path.join(HERE, f"{kind}_{text}.onnx"))
            rows = [np.concatenate([t.numpy().ravel() for _, t in tensors(train(kind, dtype, c))]) for c in CASES]
            np.save(os.path.join(HERE, f"{kind}_{text}.npy"), np.stack(rows))
            rows = [np.concatenate([t.numpy().ravel() for _, t in tensors(average(kind, dtype, o, s))]) for o, s in AVERAGES]
            np.save(os.path.join(HERE, f"{kind}_{text}_average.npy"), np.stack(rows))
        lines.append(f"static const struct train_tensor {kind}_tensors[] = {{")
        lines += [f"    {{ {json.dumps(n)}, {t.numel()} }}," for n, t in tensors(start(kind, torch.float64))]
        lines += ["    { NULL, 0 },", "};"]
    lines.append("static const struct train_case train_cases[] = {")
    for optimizer, schedule, extra in CASES:
        settings = {"optimizer": optimizer, "lr": repr(rate(optimizer)), "lr-schedule": schedule}
        settings.update(SCHEDULES[schedule][0])
        settings.update(extra)
        pairs = ", ".join(f"{{ {json.dumps(k)}, {json.dumps(v)} }}" for k, v in settings.items())
        lines.append(f"    {{ {{ {pairs} }} }},")
    lines += ["};", "static const struct train_case average_cases[] = {"]
    for optimizer, extra in AVERAGES:
        settings = {"epochs": str(AVERAGE_EPOCHS), "batch-size": str(AVERAGE_BATCH), "optimizer": optimizer, "lr": repr(rate(optimizer))}
        settings.update(extra)
        pairs = ", ".join(f"{{ {json.dumps(k)}, {json.dumps(v)} }}" for k, v in settings.items())
        lines.append(f"    {{ {{ {pairs} }} }},")
    lines.append("};")
    with open(os.path.join(HERE, "refs.h"), "w") as f:
        f.write("\n".join(lines) + "\n")
    drift()


main()
