#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training steps of ONNX Runtime Training on the models of train_peers.py, which runs this file with another Python.

    python ort_step.py [--threads 1] [--seconds 1] MODEL…

Its last release, 1.19.2, wants an environment of its own: onnxruntime-training==1.19.2, onnx==1.16.2, numpy<2, torch (its import
needs it; the models are exported with it). A line per model: `A median 123.4 us cpu 120.0 us`. Batches are contiguous and in
memory; a step is Module(x, y), optimizer step, reset of the gradients. Its Adam is AdamW with weight decay 0."""
import argparse
import importlib.util
import os
import pathlib
import statistics
import sys
import tempfile
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)


def peers():
    spec = importlib.util.spec_from_file_location("train_peers", pathlib.Path(__file__).with_name("train_peers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def artifacts(name, folder):
    """The four files that ONNX Runtime trains from."""
    import onnx
    import torch
    from onnxruntime.training import artifacts as make
    net, _, classes, optimizer = peers().torch_net(torch, name)
    width = peers().MODELS[name][0][0]
    path = f"{folder}/net.onnx"
    torch.onnx.export(net.train(), torch.zeros(4, width), path, input_names=["x"], output_names=["y"], opset_version=15, dynamo=False,
                      training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    model = onnx.load(path)
    learns = [p for p, _ in net.named_parameters()]
    held = [i.name for i in model.graph.initializer if i.name not in learns]
    make.generate_artifacts(model, requires_grad=learns, frozen_params=held, artifact_directory=folder,
                            loss=make.LossType.CrossEntropyLoss if classes else make.LossType.MSELoss,
                            optimizer=make.OptimType.SGD if optimizer == "sgd" else make.OptimType.AdamW)


def measure(name, opts):
    import numpy as np
    from onnxruntime import SessionOptions
    from onnxruntime.training import api
    widths, batch, _, _, _, classes = peers().MODELS[name]
    session = SessionOptions()
    session.intra_op_num_threads = opts.threads
    session.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        artifacts(name, folder)
        state = api.CheckpointState.load_checkpoint(f"{folder}/checkpoint")
        module = api.Module(f"{folder}/training_model.onnx", state, session_options=session)  # its eval model of a BatchNormalization is not valid
        rule = api.Optimizer(f"{folder}/optimizer_model.onnx", module)
        rule.set_learning_rate(1e-3)
        rng = np.random.default_rng(0)
        x = [rng.random((batch, widths[0]), np.float32) for _ in range(4)]
        y = [rng.integers(0, 10, batch) if classes else rng.random((batch, 1), np.float32) for _ in range(4)]
        wall, cpu, end = [], [], None
        while end is None or len(wall) < 6 or time.perf_counter() < end:
            start, used = time.perf_counter(), time.process_time()
            module(x[len(wall) % 4], y[len(wall) % 4])
            rule.step()
            module.lazy_reset_grad()
            wall.append(time.perf_counter() - start), cpu.append(time.process_time() - used)
            end = end or time.perf_counter() + opts.seconds
        print(f"{name} median {statistics.median(wall[3:]) * 1e6:.1f} us cpu {statistics.median(cpu[3:]) * 1e6:.1f} us", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    opts = parser.parse_args()
    for name in opts.models:
        measure(name, opts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
