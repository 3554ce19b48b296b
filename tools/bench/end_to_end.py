#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""From process start to the ONNX file on disk: Hone against PyTorch and scikit-learn, interleaved.

    python end_to_end.py PATH/TO/hone [--threads 1] [--rounds 5] [--cpu-time]

The job: 784-48-24-10 with BatchNorm (scikit-learn: without), the 10,000 digits of examples/mnist split 8,000 to 2,000, SGD with
0.01, batch 512, 20 epochs, validation after each, export. Run it with a Python that has torch and scikit-learn; a peer that is
missing is left out. What counts is the median over the rounds of Hone's time / the peer's, since a shared machine drifts
between rounds. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset for all; all get the same number of threads. Then small things:
`hone inspect`, and a one-epoch job on 150 rows with its peak memory. Exits 1 when a goal is missed."""
import argparse
import gzip
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MNIST = ROOT / "examples" / "mnist"
EPOCHS, BATCH, LR = 20, 512, 0.01
GOALS = {"torch": 1 / 8, "sklearn": 1 / 5}
INSPECT_MS, JOB_MS, JOB_MB = 15, 30, 40


# ---- the peers, each in a process of its own ---------------------------------------------------------------------------------

def digits():
    import numpy as np
    x = np.frombuffer(gzip.open(MNIST / "images.idx3.gz").read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
    y = np.frombuffer(gzip.open(MNIST / "labels.idx1.gz").read(), np.uint8, offset=8).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[:8000]], y[order[:8000]], x[order[8000:]], y[order[8000:]]


def torch_job(out, threads):
    import torch
    from torch import nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, y, vx, vy = (torch.tensor(a) for a in digits())
    net = nn.Sequential(nn.Linear(784, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 24), nn.BatchNorm1d(24), nn.ReLU(),
                        nn.Linear(24, 10))
    sgd, loss = torch.optim.SGD(net.parameters(), LR), nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        net.train()
        order = torch.randperm(len(x))
        for i in range(0, len(x), BATCH):
            sgd.zero_grad()
            loss(net(x[order[i:i + BATCH]]), y[order[i:i + BATCH]]).backward()
            sgd.step()
        net.eval()
        with torch.no_grad():
            scores = net(vx)
            loss(scores, vy).item(), (scores.argmax(1) == vy).float().mean().item()
    torch.onnx.export(net, torch.zeros(2, 784), out, input_names=["x"], output_names=["y"], opset_version=17, dynamo=False,
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


def sklearn_job(out, threads):
    import warnings
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save
    from sklearn.neural_network import MLPClassifier
    warnings.simplefilter("ignore")
    x, y, vx, vy = digits()
    net = MLPClassifier((48, 24), solver="sgd", momentum=0, learning_rate_init=LR, batch_size=BATCH, max_iter=EPOCHS,
                        early_stopping=True, validation_fraction=0.2, n_iter_no_change=EPOCHS)  # judged each epoch, never stopped
    net.fit(np.concatenate([x, vx]), np.concatenate([y, vy]))
    nodes, tensors, name = [], [], "x"
    for i, (w, b) in enumerate(zip(net.coefs_, net.intercepts_)):  # written by hand: a converter only costs it time
        tensors += [numpy_helper.from_array(w.astype(np.float32), f"w{i}"), numpy_helper.from_array(b.astype(np.float32), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"g{i}"]))
        name = f"g{i}"
        if i < 2:
            nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
            name = f"r{i}"
    io = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", k]) for n, k in (("x", 784), (name, 10))]
    save(helper.make_model(helper.make_graph(nodes, "mlp", io[:1], io[1:], tensors), opset_imports=[helper.make_opsetid("", 17)]), out)


# ---- measuring ------------------------------------------------------------------------------------------------------------------

def environment(threads):
    env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    return env


def timed(args, env):
    """Seconds, seconds of processor time, and the peak memory in MB, of one process that must succeed."""
    start = time.perf_counter()
    p = subprocess.Popen([str(a) for a in args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    seconds = time.perf_counter() - start
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f"{' '.join(map(str, args))}: exit {p.returncode}\n{said.decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def whole_job(hone, opts, tmp, env):
    model = tmp / "model.onnx"
    subprocess.run([hone, "new", "784-48-24-10 relu batchnorm", "--quiet", "-o", model], check=True)
    jobs = {"hone": [hone, "train", model, "--x", MNIST / "images.idx3.gz", "--y", MNIST / "labels.idx1.gz", "--x-scale", 1 / 255,
                     "--val-split", 0.2, "--optimizer", "sgd", "--lr", LR, "--batch-size", BATCH, "--epochs", EPOCHS, "--threads",
                     opts.threads, "--quiet", "--force", "-o", tmp / "hone.onnx"]}
    for peer in GOALS:
        if importlib.util.find_spec(peer):
            jobs[peer] = [sys.executable, __file__, "--peer", peer, tmp / f"{peer}.onnx", "--threads", opts.threads]
        else:
            print(f"{peer} is not installed: left out")
    for args in jobs.values():  # files into the cache, byte code compiled
        timed(args, env)
    rounds = [{name: timed(args, env)[opts.cpu_time] for name, args in jobs.items()} for _ in range(opts.rounds)]
    print("round    " + "".join(f"{name:>10}" for name in jobs))
    for i, r in enumerate(rounds):
        print(f"{i + 1:5}    " + "".join(f"{r[name]:9.3f}s" for name in jobs))
    good = True
    for peer, goal in GOALS.items():
        if peer in jobs:
            ratio = statistics.median(r["hone"] / r[peer] for r in rounds)
            good &= ratio <= goal
            print(f"hone / {peer}: 1/{1 / ratio:.1f}, goal 1/{1 / goal:.0f}: {'reached' if ratio <= goal else 'MISSED'}")
    return good


def small_things(hone, opts, tmp, env):
    rows = tmp / "rows.csv"
    rows.write_text("a,b,c,d,kind\n" + "".join(f"{i % 7},{i % 5 / 2},{i % 11},{i % 3},{i % 3}\n" for i in range(150)))
    small = tmp / "small.onnx"
    subprocess.run([hone, "new", "4-16-3", "--quiet", "-o", small], check=True)
    inspect = [timed([hone, "inspect", MNIST / "mnist.onnx"], env)[opts.cpu_time] * 1e3 for _ in range(25)]
    job = [timed([hone, "train", small, "--data", rows, "--target", "kind", "--epochs", 1, "--quiet", "--force", "-o", tmp / "s.onnx"], env)
           for _ in range(25)]
    told = [("hone inspect of examples/mnist/mnist.onnx", statistics.median(inspect), INSPECT_MS, "ms"),
            ("one epoch of 4-16-3 on 150 rows", statistics.median(j[opts.cpu_time] for j in job) * 1e3, JOB_MS, "ms"),
            ("its peak memory", max(j[2] for j in job), JOB_MB, "MB")]
    for what, value, goal, unit in told:
        print(f"{what}: {value:.1f} {unit}, goal {goal}: {'reached' if value <= goal else 'MISSED'}")
    return all(value <= goal for _, value, goal, _ in told)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hone", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, not wall time: one thread, busy machine")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    opts = parser.parse_args()
    if opts.peer:
        {"torch": torch_job, "sklearn": sklearn_job}[opts.peer[0]](opts.peer[1], opts.threads)
        return 0
    env = environment(opts.threads)
    doctor = subprocess.run([opts.hone, "doctor"], capture_output=True, text=True, env=env).stdout
    print("\n".join(line for line in doctor.splitlines() if "openblas" in line.lower() or "core" in line.lower()))
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as tmp:
        tmp = pathlib.Path(tmp)
        good = whole_job(opts.hone, opts, tmp, env)
        return 0 if small_things(opts.hone, opts, tmp, env) & good else 1


sys.exit(main())
