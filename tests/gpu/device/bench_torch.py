#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models A to D in PyTorch on the same GPU: eager and as a CUDA graph, rows for gpu/RESULTS.md. Exit 77 without PyTorch or GPU."""
import statistics
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    print("skipped: no PyTorch")
    sys.exit(77)
if not torch.cuda.is_available():
    print("skipped: PyTorch sees no GPU")
    sys.exit(77)

MODELS = {"A": ([784, 48, 24, 10], True, 0, 512, "sgd"), "B": ([1, 100, 100, 1], False, 0.2, 50, "adam"),
          "C": ([784, 512, 512, 10], False, 0.5, 128, "adam"), "D": ([784, 2048, 2048, 2048, 10], True, 0, 1024, "adam")}
STEPS, ROUNDS = 100, 7


def build(widths, norm, rate):
    layers = []
    for i in range(1, len(widths)):
        layers.append(nn.Linear(widths[i - 1], widths[i]))
        if i < len(widths) - 1:
            layers += ([nn.BatchNorm1d(widths[i])] if norm else []) + [nn.ReLU()] + ([nn.Dropout(rate)] if rate else [])
    return nn.Sequential(*layers).cuda()


def timed(step):
    for _ in range(10):
        step()
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        t = time.perf_counter()
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - t) / STEPS)
    return 1e6 * statistics.median(times)


for name, tf32 in [(name, tf32) for name in MODELS for tf32 in (False, True)]:
    widths, norm, rate, batch, kind = MODELS[name]
    torch.backends.cuda.matmul.allow_tf32 = tf32
    net = build(widths, norm, rate)
    data = torch.rand(4096, widths[0], device="cuda")
    classes = widths[-1] > 1
    labels = torch.randint(0, widths[-1], (4096,), device="cuda") if classes else torch.rand(4096, 1, device="cuda")
    rows = torch.randint(0, 4096, (batch,), device="cuda")
    loss_of = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    opt = torch.optim.SGD(net.parameters(), lr=0.01) if kind == "sgd" else torch.optim.Adam(net.parameters(), lr=0.001, fused=True, capturable=True)

    def step():
        opt.zero_grad(set_to_none=True)
        loss_of(net(data[rows]), labels[rows]).backward()
        opt.step()

    eager = timed(step)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    opt.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss_of(net(data[rows]), labels[rows]).backward()
        opt.step()
    print(f"| {name} | PyTorch {torch.__version__}, eager / CUDA graph, {'TF32' if tf32 else 'fp32'} | {eager:.1f} us / {timed(graph.replay):.1f} us | |", flush=True)
