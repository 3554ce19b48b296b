#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of small nets, for tests/interop/parity.py:

    python make_parity_refs.py          (needs torch and onnx; recorded with torch 2.11)

Writes into tests/data/parity: the nets as PyTorch exports them (*.onnx), and refs.npz with the data and, for every case and
dtype, all tensors after training, one behind the other in the order of their names. Batches are 16 rows of 100 in the order
of the file, so that the last batch of an epoch has 4 rows. The cases with their options of `hone train` are parity.json.
Attributes are float32 in ONNX also where tensors are float64: momentum, epsilon and slopes are powers of two here.
"""
import io
import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent / "parity"
ROWS, VAL, BATCH, EPOCHS = 100, 40, 16, 3
DTYPES = {"f32": torch.float32, "f64": torch.float64}


def body(norm, activation, drop):
    layers, sizes = [], (12, 16, 8)
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b)] + ([norm(b)] if norm else []) + [activation()] + ([nn.Dropout(0.0)] if drop else [])
    return layers


NETS = {  # name: layers
    "bn": lambda: body(nn.BatchNorm1d, nn.ReLU, False) + [nn.Linear(8, 3)],
    "ln": lambda: body(nn.LayerNorm, nn.Tanh, False) + [nn.Linear(8, 3)],
    "plain": lambda: body(None, nn.ReLU, True) + [nn.Linear(8, 3)],
    "softmax": lambda: [nn.Linear(12, 8), nn.ELU(), nn.Linear(8, 3), nn.Softmax(1)],
    "logsoftmax": lambda: [nn.Linear(12, 8), nn.LeakyReLU(0.125), nn.Linear(8, 3), nn.LogSoftmax(1)],
    "sigmoid": lambda: [nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, 3), nn.Sigmoid()],
    "one": lambda: [nn.Linear(12, 8), nn.Sigmoid(), nn.Linear(8, 1)],
}

def log_of_softmax(p, y):
    return F.nll_loss(torch.log(p), y)


LOSSES = {  # name: (function, targets)
    "ce": (F.cross_entropy, "index"), "ce_soft": (F.cross_entropy, "soft"), "ce_softmax": (log_of_softmax, "index"),
    "nll": (F.nll_loss, "index"), "bce": (F.binary_cross_entropy_with_logits, "binary"),
    "bce_sigmoid": (F.binary_cross_entropy, "multi"), "mse": (F.mse_loss, "real"), "mae": (F.l1_loss, "real"),
    "huber": (F.huber_loss, "real"),
}
OPTIMIZERS = {  # name: how to make it, the options that say the same
    "sgd": (lambda p, **k: torch.optim.SGD(p, lr=0.05, **k), ["--lr", "0.05"]),
    "momentum": (lambda p, **k: torch.optim.SGD(p, lr=0.02, momentum=0.9, **k), ["--lr", "0.02"]),
    "nesterov": (lambda p, **k: torch.optim.SGD(p, lr=0.02, momentum=0.8, nesterov=True, **k),
                 ["--lr", "0.02", "--momentum", "0.8"]),
    "adagrad": (lambda p, **k: torch.optim.Adagrad(p, lr=0.03, **k), ["--lr", "0.03"]),
    "rmsprop": (lambda p, **k: torch.optim.RMSprop(p, lr=0.003, **k), ["--lr", "0.003"]),
    "adam": (lambda p, **k: torch.optim.Adam(p, lr=0.01, **k), ["--lr", "0.01"]),
    "adamw": (lambda p, **k: torch.optim.AdamW(p, lr=0.01, **k), ["--lr", "0.01"]),
}
S = torch.optim.lr_scheduler
STEPS = EPOCHS * -(-ROWS // BATCH)
SCHEDULES = {  # name: scheduler, "epoch" | "step" | "plateau", options, epochs
    "step": (lambda o: S.StepLR(o, 1, 0.5), "epoch", ["--lr-step", "1", "--lr-gamma", "0.5"], EPOCHS),
    "multistep": (lambda o: S.MultiStepLR(o, [1, 2], 0.3), "epoch", ["--lr-milestones", "1,2", "--lr-gamma", "0.3"], EPOCHS),
    "exponential": (lambda o: S.ExponentialLR(o, 0.8), "epoch", ["--lr-gamma", "0.8"], EPOCHS),
    "cosine": (lambda o: S.CosineAnnealingLR(o, EPOCHS, 0.001), "epoch", ["--lr-min", "0.001"], EPOCHS),
    "onecycle": (lambda o: S.OneCycleLR(o, 0.06, total_steps=STEPS, cycle_momentum=False), "step", ["--lr-max", "0.06"], EPOCHS),
    "poly": (lambda o: S.PolynomialLR(o, EPOCHS, 2.0), "epoch", ["--lr-gamma", "2"], EPOCHS),
    "plateau": (lambda o: S.ReduceLROnPlateau(o, "min", 0.2, 1, threshold=0.3, min_lr=0.001), "plateau",
                ["--lr-gamma", "0.2", "--lr-patience", "1", "--lr-threshold", "0.3", "--lr-min", "0.001"], 6),
    "warmup": (lambda o: S.LambdaLR(o, lambda k: min(1.0, (k + 1) / 10)), "step", ["--warmup", "10"], EPOCHS),
}


def data():
    """Inputs and targets as fractions that both precisions hold exactly."""
    rng = np.random.default_rng(11)
    rows = ROWS + VAL
    x = rng.integers(-64, 65, (rows, 12)) / 32.0
    score = x @ rng.integers(-8, 9, (12, 3)) / 8.0
    soft = rng.multinomial(8, [0.5, 0.25, 0.25], rows) / 8.0
    return {"x": x, "index": score.argmax(1), "soft": soft, "binary": (score[:, :1] > 0) * 1.0, "multi": (score > 0) * 1.0,
            "real": np.round(np.tanh(score) * 64) / 64}


def make_net(name, dtype):
    torch.manual_seed(7)
    net = nn.Sequential(*NETS[name]())
    with torch.no_grad():
        for m in net:  # away from fresh ones: equal tensors would come out as aliases of each other
            if isinstance(m, (nn.BatchNorm1d, nn.LayerNorm)):
                m.weight.uniform_(0.5, 1.5)
                m.bias.uniform_(-0.3, 0.3)
                m.eps = 2.0 ** -17
            if isinstance(m, nn.BatchNorm1d):
                m.running_mean.uniform_(-0.3, 0.3)
                m.running_var.uniform_(0.5, 2.0)
                m.momentum = 0.125
    return net.to(dtype)


def export(net, dtype, path):
    buffer = io.BytesIO()
    mode = torch.onnx.TrainingMode.TRAINING if any(isinstance(m, nn.Dropout) for m in net) else torch.onnx.TrainingMode.EVAL
    net.train(mode == torch.onnx.TrainingMode.TRAINING)
    torch.onnx.export(net, torch.zeros(2, 12, dtype=dtype), buffer, input_names=["x"], output_names=["y"], training=mode,
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17, do_constant_folding=False, dynamo=False)
    path.write_bytes(buffer.getvalue())


def train(case, dtype, d):
    net = make_net(case["net"], dtype)
    loss_fn, kind = LOSSES[case["loss"]]
    x = torch.tensor(d["x"], dtype=dtype)
    y = torch.tensor(d[kind]) if kind == "index" else torch.tensor(d[kind], dtype=dtype)
    groups = [p for p in net.parameters()]
    keep = {k: v for k, v in case["extra"].items() if k == "weight_decay"}
    if case["extra"].get("spare"):
        thick = [p for n, p in net.named_parameters() if p.dim() > 1]
        groups = [{"params": thick}, {"params": [p for p in net.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = OPTIMIZERS[case["optimizer"]][0](groups, **keep)
    schedule, when, _, epochs = SCHEDULES.get(case["schedule"], (None, "", [], case["epochs"]))
    schedule = schedule(optimizer) if schedule else None
    for _ in range(epochs):
        net.train()
        for i in range(0, ROWS, BATCH):
            optimizer.zero_grad()
            loss = loss_fn(net(x[i:min(i + BATCH, ROWS)]), y[i:min(i + BATCH, ROWS)])
            if "l1" in case["extra"]:
                loss = loss + case["extra"]["l1"] * sum(p.abs().sum() for p in net.parameters())
            loss.backward()
            if "clip" in case["extra"]:
                nn.utils.clip_grad_norm_(net.parameters(), case["extra"]["clip"])
            optimizer.step()
            if when == "step":
                schedule.step()
        if when == "epoch":
            schedule.step()
        if when == "plateau":
            net.eval()
            with torch.no_grad():
                schedule.step(loss_fn(net(x[ROWS:]), y[ROWS:]).item())
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    return np.concatenate([state[k].numpy().ravel() for k in sorted(state)]), sorted(state)


def cases():
    out = []

    def case(name, net, optimizer="sgd", loss="ce", schedule="constant", extra=None, options=(), epochs=EPOCHS):
        full = ["--optimizer", optimizer] + OPTIMIZERS[optimizer][1] + list(options)
        if schedule != "constant":
            full += ["--lr-schedule", schedule] if schedule != "warmup" else []
            full += SCHEDULES[schedule][2]
            epochs = SCHEDULES[schedule][3]
        full += ["--loss", loss.split("_")[0], "--batch-size", str(BATCH), "--epochs", str(epochs)]
        out.append({"name": name, "net": net, "optimizer": optimizer, "loss": loss, "schedule": schedule, "epochs": epochs,
                    "extra": extra or {}, "options": full, "target": LOSSES[loss][1], "val": schedule == "plateau"})

    for o in OPTIMIZERS:
        for net in ("bn", "ln", "plain"):
            case(f"{net} {o}", net, o)
        case(f"bn {o} decay", "bn", o, extra={"weight_decay": 0.02}, options=["--weight-decay", "0.02"])
        case(f"ln {o} l1", "ln", o, extra={"l1": 0.003}, options=["--l1", "0.003"])
        case(f"bn {o} clip", "bn", o, extra={"clip": 0.5}, options=["--clip-norm", "0.5"])
    case("ln adam all", "ln", "adam", extra={"weight_decay": 0.01, "l1": 0.002, "clip": 0.7},
         options=["--weight-decay", "0.01", "--l1", "0.002", "--clip-norm", "0.7"])
    case("bn adamw spared", "bn", "adamw", extra={"weight_decay": 0.5, "spare": True},
         options=["--weight-decay", "0.5", "--no-decay", "norm,bias"])
    for s in SCHEDULES:
        case(f"bn momentum {s}", "bn", "momentum", schedule=s)
    case("ln adam onecycle", "ln", "adam", schedule="onecycle")
    for loss, net in (("ce_soft", "plain"), ("ce_softmax", "softmax"), ("nll", "logsoftmax"), ("bce", "one"),
                      ("bce_sigmoid", "sigmoid"), ("mse", "plain"), ("mae", "plain"), ("huber", "plain")):
        case(f"{net} loss {loss}", net, "momentum", loss=loss)
    return out


def main():
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    d = data()
    arrays = {k: v.astype(np.float32) for k, v in d.items()}
    arrays["index"] = d["index"].astype(np.int64)
    told = []
    for name in NETS:
        for short, dtype in DTYPES.items():
            export(make_net(name, dtype), dtype, OUT / f"{name}_{short}.onnx")
    for case in cases():
        for short, dtype in DTYPES.items():
            values, names = train(case, dtype, d)
            arrays[f"{case['name']}/{short}"] = values
        told.append({k: case[k] for k in ("name", "net", "optimizer", "options", "target", "val")} | {"tensors": names})
    np.savez_compressed(OUT / "refs.npz", **arrays)
    text = ",\n".join(json.dumps(c) for c in told)
    (OUT / "parity.json").write_text(f'{{"rows": {ROWS}, "cases": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
