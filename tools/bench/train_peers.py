#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training steps of Hone's CPU backend against PyTorch, interleaved.

    python train_peers.py PATH/TO/bench_step [--threads 1] [--rounds 6] [--models ABCD] [--seconds 1] [--cpu-time] [--ort PYTHON]

Run it with a Python that has torch. Each round measures both one after the other on every model; what counts is the median
over the rounds of torch's time / Hone's time, since a shared machine drifts between rounds. OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE are unset for both; both get the same number of threads. Batches are shuffled for Hone (through an index)
and contiguous for torch. Exits 1 when a ratio at one thread is below its floor."""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

MODELS = {  # widths, batch, BatchNorm, dropout, optimizer, classes
    "A": ([784, 48, 24, 10], 512, True, 0.0, "sgd", True),
    "B": ([1, 100, 100, 1], 50, False, 0.2, "adam", False),
    "C": ([784, 512, 512, 10], 128, False, 0.5, "adam", True),
    "D": ([784, 2048, 2048, 2048, 10], 1024, True, 0.0, "adam", True),
}
FLOORS = {"A": 2.0, "B": 15.0, "C": 2.0, "D": 1.5}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--models", default="ABCD")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--ort", metavar="PYTHON", help="a Python with onnxruntime-training: measured too, see ort_step.py")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, not wall time: one thread, busy machine")
    return parser.parse_args()


def torch_net(torch, name):
    """The net, its batch size, whether it tells classes, its optimizer."""
    widths, batch, norm, rate, optimizer, classes = MODELS[name]
    layers = []
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        layers.append(torch.nn.Linear(n_in, n_out))
        if i + 2 < len(widths):
            if norm:
                layers.append(torch.nn.BatchNorm1d(n_out))
            layers.append(torch.nn.ReLU())
            if rate:
                layers.append(torch.nn.Dropout(rate))
    return torch.nn.Sequential(*layers), batch, classes, optimizer


def torch_model(torch, name):
    """A function that does one step on the next of four contiguous batches."""
    net, batch, classes, optimizer = torch_net(torch, name)
    width = MODELS[name][0][0]
    rule = torch.optim.SGD(net.parameters(), 1e-3) if optimizer == "sgd" else torch.optim.Adam(net.parameters(), 1e-3)
    x = [torch.rand(batch, width) for _ in range(4)]
    y = [torch.randint(0, 10, (batch,)) if classes else torch.rand(batch, 1) for _ in range(4)]
    loss = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
    count = 0

    def step():
        nonlocal count
        rule.zero_grad(set_to_none=True)
        loss(net(x[count % 4]), y[count % 4]).backward()
        rule.step()
        count += 1

    for _ in range(3):
        step()
    return step


def torch_time(step, seconds, clock):
    """Median microseconds per step."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = clock()
        step()
        times.append(clock() - start)
    return statistics.median(times) * 1e6


def hone_time(args, name):
    command = [args.bench, "-t", str(args.threads), "-s", str(args.seconds), name]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return reading(args, name, text), text.splitlines()[0]


def ort_time(args, name):
    script = pathlib.Path(__file__).with_name("ort_step.py")
    command = [args.ort, script, "--threads", str(args.threads), "--seconds", str(args.seconds), name]
    return reading(args, name, subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)


def reading(args, name, text):
    return float(re.search(r"^%s .*\b%s ([0-9.]+) us" % (name, "cpu" if args.cpu_time else "median"), text, re.M).group(1))


def main():
    args = arguments()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    steps = {name: torch_model(torch, name) for name in args.models}
    rows = {name: [] for name in args.models}
    for _ in range(args.rounds):
        for name in args.models:
            peer = torch_time(steps[name], args.seconds, time.process_time if args.cpu_time else time.perf_counter)
            own, header = hone_time(args, name)
            other = ort_time(args, name) if args.ort else float("nan")
            rows[name].append((peer / own, peer, own, other / own, other))
    print("torch %s, %s" % (torch.__version__, header))
    low = False
    for name, values in rows.items():
        ratio = statistics.median(v[0] for v in values)
        floor = FLOORS[name] if args.threads == 1 else 0
        low |= ratio < floor
        print("%s ratio %.2f (%.2f to %.2f)%s, torch %.0f us, hone %.0f us" % (
            name, ratio, min(v[0] for v in values), max(v[0] for v in values), " floor %.1f" % floor if floor else "",
            statistics.median(v[1] for v in values), statistics.median(v[2] for v in values)))
        if args.ort:
            ratio = statistics.median(v[3] for v in values)
            low |= ratio < 1
            print("  ONNX Runtime Training: ratio %.2f (%.2f to %.2f) floor 1.0, %.0f us" % (
                ratio, min(v[3] for v in values), max(v[3] for v in values), statistics.median(v[4] for v in values)))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
