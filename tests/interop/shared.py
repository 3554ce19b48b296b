#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that call a module more than once (tests/data/shared, made by tests/data/make_shared.py): siamese encoders, one normalisation in
two places, a tied autoencoder, as PyTorch's exporters write them. What was one tensor learns as one and what only was equal comes apart,
so that the model learns as PyTorch's does: running statistics take in the batches of every call.

usage: shared.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import shutil
import subprocess
import sys

import _common
from _common import DATA, apart, check, checker, folder, load, np, ort_rows, predict, run, tensors

HERE = DATA / "shared"
LIMIT = 2e-5
# PyTorch's optimizer drops biases that are 0 and takes the autoencoder's weight apart: the file cannot show what the module had.
LESS = ("siamese_default", "siamese_bn_default", "towers_default", "twice_default", "mixed_default", "mixed_bn_default", "tied_default")
NOISE = ("e.0.bias", "f.0.bias", "first.bias", "n1.bias")  # in front of a normalisation a bias moves by rounding alone
refs, tmp = np.load(HERE / "refs.npz"), folder()
STEPS = ["--loss", "mse", "--optimizer", "momentum", "--lr", "0.01", "--batch-size", "16", "--no-shuffle", "--save", "last", "--quiet", "--force"]


def net_of(name):
    return name.removesuffix("_dynamo").removesuffix("_default")


def data(path):
    feeds = {i.name: refs[i.name] for i in load(path).graph.input}
    np.save(tmp / "y.npy", refs["target"])
    args = ["--y", tmp / "y.npy"]
    for k, x in feeds.items():
        np.save(tmp / f"{k}.npy", x)
        args += ["--x", f"{k}={tmp / f'{k}.npy'}"]
    return args, feeds


def one(name):
    path, out, again, net = HERE / f"{name}.onnx", tmp / f"{name}.onnx", tmp / "again.onnx", net_of(name)
    args, feeds = data(path)
    info = run(f"{name}: inspect", "inspect", path, "--json")
    if name not in LESS:
        check(f"{name}: as many numbers as PyTorch", info["trainable_parameters"] == int(refs[f"{net}/trainable"]), info["trainable_parameters"])
    check(f"{name}: nobody shares a value with itself", not any(f"'{a}' shares its values with '{a}'" in i["what"] for i in info["issues"]
                                                                for a in tensors(path)), info["issues"])
    run(f"{name}: train", "train", path, *args, *STEPS, "--epochs", "4", "-o", out)
    if not out.exists():
        return 0.0
    check(f"{name}: onnx.checker", checker(load(out)))
    got, want = predict(f"{name}: predict", out, feeds, tmp, "y"), ort_rows(out, feeds, 72)["y"]
    check(f"{name}: as ONNX Runtime", got is not None and apart(got, want) <= 5e-6)
    off = apart(want, refs[f"{net}/y"])
    if name not in LESS:
        check(f"{name}: as PyTorch", off <= LIMIT, off)
    if name == net:
        after = tensors(out)
        for key in (k for k in refs.files if k.startswith(f"{net}/tensor/")):
            tensor = key.split("/")[2]
            if tensor in after and tensor not in NOISE:
                check(f"{name}: {tensor}", apart(after[tensor], refs[key]) <= LIMIT, apart(after[tensor], refs[key]))
    if net.startswith("siamese"):
        same = ort_rows(out, {k: feeds["a"] for k in feeds}, 72)["y"]
        check(f"{name}: no distance from itself", not same.any(), np.abs(same).max())
    later = run(f"{name}: inspect the export", "inspect", out, "--json")
    check(f"{name}: nothing left to tell apart", later["unties"] == [] and later["trainable_parameters"] == info["trainable_parameters"], later["unties"])
    run(f"{name}: on", "train", out, *args, *STEPS, "--epochs", "1", "-o", again)
    check(f"{name}: the same tensors", set(tensors(again)) == set(tensors(out)))
    return 0.0 if name in LESS else off


LOST = {  # what inspect and a run say that the exporter's optimizer took out
    "siamese_default": ["'e.0.bias' was a parameter in PyTorch and is not in the file"],
    "siamese_bn_default": ["'e.0.bias' was a parameter in PyTorch and is not in the file"],
    "mixed_default": ["'again.bias' was a parameter in PyTorch and is not in the file"],
    "mixed_bn_default": ["'n1.bias', 'n1.weight' were parameters in PyTorch and are not in the file"],
    "twice_default": ["'norm.bias', 'norm.weight' were parameters in PyTorch and are not in the file"],
    "towers_default": ["'e.1.bias', 'e.1.weight', 'f.1.bias' and 1 more were parameters in PyTorch and are not in the file"],
    "tied_default": ["'b', 'c' were parameters in PyTorch and are not in the file", "'t' is 'w' transposed"],
}


def losses(name):
    """All that is gone and nothing else, in inspect and, once, in a run."""
    path, wanted = HERE / f"{name}.onnx", LOST.get(name, [])
    told = [i for i in run(f"{name}: inspect", "inspect", path, "--json")["issues"] if "in PyTorch" in i["what"]]
    check(f"{name}: what is gone", len(told) == len(wanted) and all(i["what"].startswith(w) for i, w in zip(told, wanted)), told)
    check(f"{name}: what to do about it", all("optimize=False" in i["remedy"] for i in told), told)
    r = _common.hone("train", path, *data(path)[0], *(s for s in STEPS if s != "--quiet"), "--epochs", "1", "-o", tmp / "said.onnx")
    check(f"{name}: a run says it", all(r.stderr.count(w) == 1 for w in wanted) and r.stderr.count("in PyTorch") == len(wanted), r.stderr)


def same(a, b):
    a, b = tensors(a), tensors(b)
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def runs(name):
    """Threads, averages with their statistics, resuming: the same bytes."""
    path, one_, two, half = HERE / f"{name}.onnx", tmp / "one.onnx", tmp / "two.onnx", tmp / f"{name}_half.onnx"
    args = [path, *data(path)[0], "--val-split", "0.25", "--batch-size", "8", "--quiet", "--force"]
    for more in (["--ema", "0.9"], ["--swa-start", "3"]):
        run(f"{name} {more[0]}: in one go", "train", *args, *more, "--epochs", "6", "-o", one_)
        run(f"{name} {more[0]}: three threads", "train", *args, *more, "--epochs", "6", "--threads", "3", "-o", two)
        run(f"{name} {more[0]}: half", "train", *args, *more, "--epochs", "4", "--keep-run", "-o", half)
        run(f"{name} {more[0]}: go on", "resume", f"{half}.run", "--epochs", "6", "--force", "--quiet")
        check(f"{name} {more[0]}: any number of threads", same(one_, two))
        check(f"{name} {more[0]}: resumed", same(one_, half))
        shutil.rmtree(f"{half}.run", ignore_errors=True)


def on_the_gpu():
    """The CUDA backend's own kernels and host logic on a device of plain memory: the CPU's numbers within rounding."""
    fake = _common.fake_device(tmp)
    if not fake:
        return
    at, env = fake
    for name in ("siamese_bn", "twice", "mixed_bn_dynamo"):
        path, got = HERE / f"{name}.onnx", {}
        for device in ("cpu", "cuda"):
            command = (_common.HONE, "train", path, *data(path)[0], *STEPS, "--epochs", "3", "--device", device, "-o", at / f"{device}.onnx")
            r = subprocess.run([str(a) for a in command], env=env, capture_output=True, text=True, timeout=300)
            if check(f"{name}: {device}", r.returncode == 0, r.stderr):
                got[device] = tensors(at / f"{device}.onnx")
        off = max((apart(got["cuda"][k], v) for k, v in got["cpu"].items() if k not in NOISE), default=1) if len(got) == 2 else 1
        check(f"{name}: as the CPU", off <= LIMIT, off)


def main():
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    worst = max((one(p.stem), p.stem) for p in HERE.glob("*.onnx") if only in p.stem)
    for p in HERE.glob("*.onnx"):
        if only in p.stem:
            losses(p.stem)
    if not only:
        for name in ("siamese_bn", "twice_dynamo"):
            runs(name)
        on_the_gpu()
    print(f"largest distance from PyTorch's outputs {worst[0]:.1e} of {LIMIT:.0e} allowed, in {worst[1]}")
    _common.finish("shared", tmp)


main()
