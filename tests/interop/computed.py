#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that compute their weights from parameters (tests/data/computed, made by tests/data/make_computed.py): weight normalisation,
masks, directions of length 1, low rank, scales, standardised weights, spectral normalisation, as PyTorch's exporters write them.

They compute what ONNX Runtime does and learn as PyTorch does, in float and in double; the file keeps its nodes, only tensors that learn
change, and what a mask takes away stays away. Resumed runs, numbers of threads and cohorts end with the same bytes.

usage: computed.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import subprocess
import sys

import _common
from _common import DATA, apart, check, checker, folder, load, np, ort_rows, predict, run, tensors

HERE = DATA / "computed"
OPTIMIZERS = {"momentum": ["--optimizer", "momentum", "--lr", "0.02", "--weight-decay", "0.01"], "adam": ["--optimizer", "adam", "--lr", "0.01"]}
LIMIT = {"f32": 2e-5, "f64": 1e-10}
NAMES = sorted(p.stem for p in HERE.glob("*.onnx"))
# What no file says: which parameters were frozen and, in the legacy exporter's, that a single number is one.
OPTIONS = {"low_rank": ["--freeze", "*.base"], "cosine": ["--unfreeze", "scale"]}
FROZEN = ("base", "_mask", "_u", "_v", "weight_u", "running_mean", "running_var", "num_batches_tracked")
refs, tmp = np.load(HERE / "refs.npz"), folder()


def net_of(name):
    short = "f64" if name.endswith("_f64") else "f32"
    net = name.removesuffix("_f64").removesuffix("_dynamo")
    options = OPTIONS.get(net, [])
    return net, short, [] if net == "cosine" and name != net else options


def data(short):
    kind = np.float64 if short == "f64" else np.float32
    for k in ("x", "y"):
        np.save(tmp / f"{k}_{short}.npy", refs[k].astype(kind))
    return ["--x", tmp / f"x_{short}.npy", "--y", tmp / f"y_{short}.npy", "--loss", "mse"], refs["x"].astype(kind)


def is_frozen(net, tensor):
    return tensor.endswith(FROZEN[:4] if net != "spectral_hook" else ("weight_u", "weight_v")) or tensor.endswith(FROZEN[4:])


def forward(what, path, short):
    _, x = data(short)
    got, want = predict(f"{what}: predict", path, {"x": x}, tmp, "y"), ort_rows(path, {"x": x}, 72)["y"]
    off = apart(got, want) if got is not None else 1
    check(f"{what}: as ONNX Runtime", off <= (1e-12 if short == "f64" else 5e-6), off)


def same_graph(what, path, out, allowed):
    """Only the tensors that learn differ, in numbers alone."""
    a, b = load(path), load(out)
    before, after = tensors(path), tensors(out)
    for t in before:
        if before[t].tobytes() != after[t].tobytes():
            check(f"{what}: {t} may change", t in allowed)
    for m in (a, b):
        for t in m.graph.initializer:
            t.ClearField("raw_data"), t.ClearField("float_data"), t.ClearField("double_data")
        del m.metadata_props[:]
    check(f"{what}: nothing but numbers changed", a == b)


def learn(name, how):
    net, short, options = net_of(name)
    path, out, what, worst = HERE / f"{name}.onnx", tmp / "out.onnx", f"{name}, {how}", 0.0
    out.unlink(missing_ok=True)
    args, _ = data(short)
    run(what, "train", path, *args, *options, *OPTIMIZERS[how], "--epochs", "4", "--batch-size", "16", "--no-shuffle", "--save", "last", "--quiet", "-o", out)
    if not out.exists():
        return 0.0
    before, got, trained = tensors(path), tensors(out), set()
    for key in refs.files:
        if not key.startswith(f"{net}/{how}/{short}/"):
            continue
        tensor, want = key.split("/")[3], refs[key]
        if tensor not in got:
            check(f"{what}: {tensor} is in the file", tensor == "norm.num_batches_tracked" or tensor in before, sorted(got))
            continue
        off = apart(got[tensor], want)
        worst = max(worst, off)
        check(f"{what}: {tensor}", off <= LIMIT[short], f"{off:.2e} away")
        if is_frozen(net, tensor) and "running" not in tensor:
            check(f"{what}: {tensor} stays", np.array_equal(got[tensor], before[tensor]))
        else:
            trained.add(tensor)
            check(f"{what}: {tensor} was trained", tensor not in before or not np.array_equal(got[tensor], before[tensor]))
    if name != "low_rank" and name != "places":  # where the exporter merged tensors that were equal, nodes are changed
        same_graph(what, path, out, trained)
    check(f"{what}: onnx.checker", checker(load(out)))
    forward(f"{what}, trained", out, short)
    return worst


def same(a, b):
    a, b = tensors(a), tensors(b)
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def masks():
    """What is masked has no gradient, and what reaches the layer there is 0."""
    path, out = HERE / "masked.onnx", tmp / "masked.onnx"
    run("masks", "train", path, *data("f32")[0], "--epochs", "3", "--quiet", "--force", "-o", out)
    before, after = tensors(path), tensors(out)
    for name in ("0.weight", "0.bias", "2.weight"):
        off = after[f"{name}_mask"] == 0
        check(f"masks: {name}", off.any() and not np.any(after[f"{name}_orig"][off] * after[f"{name}_mask"][off]))
        check(f"masks: {name}, nothing moves where it is masked", np.array_equal(before[f"{name}_orig"][off], after[f"{name}_orig"][off]))
        check(f"masks: {name}, most of the rest does", (before[f"{name}_orig"][~off] != after[f"{name}_orig"][~off]).mean() > 0.7)


def runs(name):
    """Threads, batches a step, early stopping with its checkpoints, resuming, searches: the same bytes, and the figures of the file."""
    path, one, two, half = HERE / f"{name}.onnx", tmp / "one.onnx", tmp / "two.onnx", tmp / f"{name}_half.onnx"
    args = [path, *data("f32")[0], "--val-split", "0.25", "--batch-size", "8", "--quiet", "--force"]
    hard = ["--accumulate", "2", "--clip-norm", "1", "--ema", "0.9", "--dropout", "0.1", "--early-stop-patience", "3", "--epochs", "12", "--lr", "0.01"]
    j = run(f"{name}: train", "train", *args, *hard, "--json", "-o", one)
    run(f"{name}: three threads", "train", *args, *hard, "--threads", "3", "-o", two)
    check(f"{name}: any number of threads", same(one, two))
    check(f"{name}: better", j["val"]["loss"] < j["before"]["val"]["loss"], j["val"])
    forward(f"{name}, trained so", one, "f32")
    run(f"{name}: in one go", "train", *args, "--epochs", "6", "--ema", "0.9", "-o", one)
    run(f"{name}: half", "train", *args, "--epochs", "3", "--ema", "0.9", "--keep-run", "-o", half)
    run(f"{name}: go on", "resume", f"{half}.run", "--epochs", "6", "--force", "--quiet")
    check(f"{name}: resumed", same(one, half))
    for out, jobs in ((one, "1"), (two, "3")):
        run(f"{name}: tune", "tune", *args[:5], *args[5:7], "--quiet", "--force", "--folds", "3", "--search", "lr=log:1e-3..1e-1", "--trials", "5", "--epochs", "3", "--jobs", jobs,
            "-o", out)
    check(f"{name}: any number of replicas together", same(one, two))


def on_the_gpu():
    """The CUDA backend's own kernels and host logic on a device of plain memory: the CPU's numbers within rounding."""
    fake = _common.fake_device(tmp)
    if not fake:
        return
    at, env = fake

    def on(what, out, *args):
        r = subprocess.run([str(a) for a in (_common.HONE, *args, "--quiet", "--force", "-o", out)], env=env, capture_output=True, text=True, timeout=300)
        return tensors(out) if check(what, r.returncode == 0, r.stderr) else None

    for name in (n for n in NAMES if not n.endswith("_f64")):
        args = [HERE / f"{name}.onnx", *data("f32")[0], "--batch-size", "16", "--epochs", "3"]
        cpu, cuda = (on(f"{name}: {device}", at / "out.onnx", "train", *args, "--val-split", "0.2", "--optimizer", "momentum", "--device", device)
                     for device in ("cpu", "cuda"))
        off = max(apart(cuda[k], v) for k, v in cpu.items()) if cpu and cuda else 1
        check(f"{name}: as the CPU", off <= 2e-5, off)
    for name in ("weight_norm", "low_rank_dynamo", "cosine"):
        args = [HERE / f"{name}.onnx", *data("f32")[0], "--folds", "3", "--search", "lr=log:1e-3..1e-1", "--trials", "4", "--epochs", "3", "--device", "cuda"]
        for jobs in ("1", "6"):
            on(f"{name}: {jobs} replicas together", at / f"{jobs}.onnx", "tune", *args, "--jobs", jobs)
        check(f"{name}: any number of replicas together", same(at / "1.onnx", at / "6.onnx"))


def main():
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    worst = {"f32": (0.0, ""), "f64": (0.0, "")}
    for name in (n for n in NAMES if only in n):
        _, short, options = net_of(name)
        path, again = HERE / f"{name}.onnx", tmp / "again.onnx"
        forward(name, path, short)
        run(f"{name}: gradcheck", "gradcheck", path, "--quiet")
        run(f"{name}: no epochs", "train", path, "--epochs", "0", "--quiet", "--force", "-o", again)
        check(f"{name}: no epochs, the same bytes", again.read_bytes() == path.read_bytes())
        for how in OPTIMIZERS:
            worst[short] = max(worst[short], (learn(name, how), f"{name}, {how}"))
    if not only:
        masks()
        for name in ("weight_norm", "low_rank_dynamo", "cosine", "places"):
            runs(name)
        on_the_gpu()
    for short, (off, name) in worst.items():
        print(f"{short}: largest distance from PyTorch's tensors {off:.1e} of {LIMIT[short]:.0e} allowed, in {name}")
    _common.finish("computed", tmp)


main()
