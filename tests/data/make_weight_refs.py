#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records what PyTorch makes of weighted losses, for tests/interop/weights.py:

    python make_weight_refs.py          (needs torch and onnx; recorded with torch 2.11)

Writes weights.npz and weights.json into tests/data/parity; nets, rows and targets are those of make_parity_refs.py. Class
weights are PyTorch's own (weight=), weights of rows are sum(w l) / sum(w), where l is the loss of a row as reduction="none"
gives it, averaged over its columns. For every case and dtype: all tensors after training in the order of their names, then
the loss over the validation rows, weighted alike.
"""
import json

import numpy as np
import torch
from torch.nn import functional as F

from make_parity_refs import BATCH, DTYPES, EPOCHS, OPTIMIZERS, OUT, ROWS, VAL, data, make_net

CLASSES = [0.5, 3.0, 1.25]


def row_weights():
    w = np.random.default_rng(5).integers(0, 9, ROWS + VAL) / 4.0
    w[[3, 40, 41, 99, 120]] = 0
    return w


def nll(p, y, weight=None, reduction="mean"):
    return F.nll_loss(p, y, weight=weight, reduction=reduction)


def log_of_softmax(p, y, weight=None, reduction="mean"):
    return F.nll_loss(torch.log(p), y, weight=weight, reduction=reduction)


LOSSES = {  # name: (function, targets)
    "ce": (F.cross_entropy, "index"), "ce_soft": (F.cross_entropy, "soft"), "ce_softmax": (log_of_softmax, "index"),
    "nll": (nll, "index"), "bce": (F.binary_cross_entropy_with_logits, "binary"),
    "bce_sigmoid": (F.binary_cross_entropy, "multi"), "mse": (F.mse_loss, "real"), "mae": (F.l1_loss, "real"),
    "huber": (F.huber_loss, "real"),
}


def loss_of(case, p, y, w, dtype):
    fn = LOSSES[case["loss"]][0]
    classes = torch.tensor(case["classes"], dtype=dtype) if case["classes"] else None
    if not case["rows"] and case["loss"] != "bce":
        return fn(p, y, weight=classes)  # reduction "mean": PyTorch's own sum(w l) / sum(w)
    each = fn(p, y, reduction="none")
    each = each.reshape(len(each), -1).mean(1)
    if not case["rows"]:
        w = torch.ones_like(w)
    if classes is not None:
        w = w * classes[y.reshape(-1).long()]
    return (w * each).sum() / w.sum()


def train(case, dtype, d, weights):
    net = make_net(case["net"], dtype)
    kind = LOSSES[case["loss"]][1]
    x, w = torch.tensor(d["x"], dtype=dtype), torch.tensor(weights, dtype=dtype)
    y = torch.tensor(d[kind]) if kind == "index" else torch.tensor(d[kind], dtype=dtype)
    optimizer = OPTIMIZERS[case["optimizer"]][0](net.parameters())
    for _ in range(EPOCHS):
        net.train()
        for i in range(0, ROWS, BATCH):
            part = slice(i, min(i + BATCH, ROWS))
            optimizer.zero_grad()
            loss_of(case, net(x[part]), y[part], w[part], dtype).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        judged = loss_of(case, net(x[ROWS:]), y[ROWS:], w[ROWS:], dtype).item()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    return np.concatenate([state[k].numpy().ravel() for k in sorted(state)] + [np.array([judged], np.float32 if dtype == torch.float32 else np.float64)]), sorted(state)


def cases():
    out = []

    def case(net, loss, optimizer="momentum", classes=None, rows=False):
        name = " ".join([net, loss, optimizer] + ["classes"] * bool(classes) + ["rows"] * rows)
        options = ["--optimizer", optimizer] + OPTIMIZERS[optimizer][1] + ["--loss", loss.split("_")[0], "--batch-size", str(BATCH),
                                                                         "--epochs", str(EPOCHS)]
        if classes:
            options += ["--class-weights", ",".join(map(str, classes))]
        out.append({"name": name, "net": net, "loss": loss, "optimizer": optimizer, "classes": classes, "rows": rows, "options": options,
                    "target": LOSSES[loss][1]})

    for o in OPTIMIZERS:
        case("logsoftmax", "nll", o, classes=CLASSES)
        case("softmax", "ce_softmax", o, rows=True)
    case("bn", "ce", classes=CLASSES, rows=True)
    case("plain", "ce", classes=CLASSES)
    case("softmax", "ce_softmax", classes=CLASSES, rows=True)
    case("softmax", "ce_softmax", classes=[0.0, 1.0, 2.0])
    case("logsoftmax", "nll", rows=True)
    case("plain", "ce_soft", rows=True)
    case("one", "bce", rows=True)
    case("one", "bce", classes=[0.25, 2.0])
    case("one", "bce", classes=[0.25, 2.0], rows=True)
    case("sigmoid", "bce_sigmoid", rows=True)
    for loss in ("mse", "mae", "huber"):
        case("plain", loss, rows=True)
    return out


def main():
    torch.set_num_threads(1)
    d, w, told = data(), row_weights(), []
    arrays = {"weights": w.astype(np.float32)}
    for case in cases():
        for short, dtype in DTYPES.items():
            arrays[f"{case['name']}/{short}"], names = train(case, dtype, d, w)
        told.append({k: case[k] for k in ("name", "net", "optimizer", "options", "target", "rows")} | {"tensors": names})
    np.savez_compressed(OUT / "weights.npz", **arrays)
    text = ",\n".join(json.dumps(c) for c in told)
    (OUT / "weights.json").write_text(f'{{"rows": {ROWS}, "cases": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
