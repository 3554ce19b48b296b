#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training against PyTorch: every case of tests/data/parity is trained by `hone train` and its exported tensors are compared
with the ones PyTorch ended with (recorded by tests/data/make_parity_refs.py), relative to each tensor's largest value.

usage: parity.py BUILD_FOLDER [PART-OF-A-CASE'S-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, folder, np, run, tensors

LIMIT = {"f32": 2e-5, "f64": 1e-10}
TYPE = {"f32": np.float32, "f64": np.float64}
ADAPTIVE = {"adagrad", "rmsprop", "adam", "adamw"}
# Behind these biases BatchNorm takes the mean away: their gradient is rounding noise, which adaptive optimizers scale up to
# whole steps, and the running mean follows the bias.
NOISE = {"0.bias", "3.bias", "1.running_mean", "4.running_mean"}


def save_data(tmp, refs, short, rows):
    for name in ("x", "index", "soft", "binary", "multi", "real"):
        v = refs[name] if name == "index" else refs[name].astype(TYPE[short])
        np.save(tmp / f"{name}_{short}.npy", v[:rows])
        np.save(tmp / f"val_{name}_{short}.npy", v[rows:])


def recorded(case, short, refs, like):
    flat, at, out = refs[f"{case['name']}/{short}"], 0, {}
    for name in case["tensors"]:
        n = like[name].size
        out[name] = flat[at:at + n].reshape(like[name].shape)
        at += n
    assert at == flat.size
    return out


def compare(case, short, refs, tmp):
    net, out = DATA / "parity" / f"{case['net']}_{short}.onnx", tmp / "out.onnx"
    args = ["--x", tmp / f"x_{short}.npy", "--y", tmp / f"{case['target']}_{short}.npy"]
    if case["val"]:
        args += ["--val-x", tmp / f"val_x_{short}.npy", "--val-y", tmp / f"val_{case['target']}_{short}.npy"]
    what = f"{case['name']} {short}"
    out.unlink(missing_ok=True)
    run(what, "train", net, *args, *case["options"], "--no-shuffle", "--save", "last", "--quiet", "-o", out)
    if not out.exists():
        return 0.0
    got, worst = tensors(out), 0.0
    want, before = recorded(case, short, refs, got), tensors(net)
    for name in case["tensors"]:
        if case["net"] == "bn" and case["optimizer"] in ADAPTIVE and name in NOISE:
            continue
        off = apart(got[name], want[name])
        worst = max(worst, off)
        check(f"{what}: {name}", off <= LIMIT[short], f"{off:.2e} away, {LIMIT[short]:.0e} allowed; "
              f"PyTorch moved it by {apart(before[name], want[name]):.2e}")
        check(f"{what}: {name} was trained", name in NOISE or not np.array_equal(got[name], before[name]))
    return worst


def main():
    refs, told = np.load(DATA / "parity" / "refs.npz"), json.loads((DATA / "parity" / "parity.json").read_text())
    tmp, worst = folder(), {"f32": (0.0, ""), "f64": (0.0, "")}
    for short in LIMIT:
        save_data(tmp, refs, short, told["rows"])
    for case in told["cases"]:
        if len(sys.argv) > 2 and sys.argv[2] not in case["name"]:
            continue
        for short in LIMIT:
            worst[short] = max(worst[short], (compare(case, short, refs, tmp), case["name"]))
    for short, (off, name) in worst.items():
        print(f"{short}: largest distance {off:.1e} of {LIMIT[short]:.0e} allowed, in {name}")
    _common.finish("parity", tmp)


main()
