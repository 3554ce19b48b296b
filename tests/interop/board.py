#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What TensorBoard's own reader makes of --tensorboard: curves, sessions of hyper-parameters, folds in one group, and a run that was
continued; skipped where the package is not installed."""
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

HONE = pathlib.Path(sys.argv[1]).resolve() / "hone"
tmp = pathlib.Path(tempfile.mkdtemp(prefix="hone-test-"))


def hone(*args):
    subprocess.run([str(a) for a in (HONE, *args, "--quiet", "--progress", "none")], check=True)


def read(folder):
    a = EventAccumulator(str(folder))
    a.Reload()
    return a


def curve(a, tag):
    return [(e.step, e.tensor_proto.float_val[0]) for e in a.Tensors(tag)]


def session(a, which):
    content = a.SummaryMetadata(f"_hparams_/session_{which}_info").plugin_data.content
    return getattr(plugin_data_pb2.HParamsPluginData.FromString(content), f"session_{which}_info")


r = random.Random(3)
(tmp / "d.csv").write_text("a,b,y\n" + "".join(f"{a:.4f},{b:.4f},{int(a * b > 0)}\n" for a, b in
                                               ((r.gauss(0, 1), r.gauss(0, 1)) for _ in range(120))))
hone("new", "2-6-2 tanh softmax", "-o", tmp / "n.onnx")
data = ["--data", tmp / "d.csv", "--target", "y"]

hone("train", tmp / "n.onnx", *data, "--val-split", "0.25", "--epochs", "4", "--run-dir", tmp / "run", "--tensorboard", tmp / "board", "-o", tmp / "o.onnx")
hone("resume", tmp / "run", "--epochs", "+3", "-o", tmp / "p.onnx")
a = read(tmp / "board")
lines = [line.split(",") for line in (tmp / "run" / "metrics.csv").read_text().split()]
at = lines[0].index("val_loss")
want = [(int(line[0]), float(line[at])) for line in lines[1:]]
got = curve(a, "loss/val")
assert [s for s, _ in got] == [s for s, _ in want] == list(range(8)), got
assert all(abs(x - y) < 1e-6 * abs(y) for (_, x), (_, y) in zip(got, want)), (got, want)
assert a.SummaryMetadata("loss/val").plugin_data.plugin_name == "scalars"
assert session(a, "start").hparams["optimizer"].string_value == "adam" and session(a, "end").status == 1
print("a run and its continuation: 8 epochs")

hone("tune", tmp / "n.onnx", *data, "--folds", "3", "--epochs", "2", "--trials", "3", "--search", "lr=log:1e-3..1e-1", "--tensorboard", tmp / "search", "-o", tmp / "t.onnx")
folders = sorted((tmp / "search").glob("trial-*/fold-*"))
assert len(folders) == 9, folders
for f in folders:
    a = read(f)
    s = session(a, "start")
    assert s.group_name == f.parent.name and 1e-3 <= s.hparams["lr"].number_value <= 1e-1 and session(a, "end").status == 1
    assert [x for x, _ in curve(a, "loss/val")] == [1, 2] and len(curve(a, "hparam/val_loss")) == 1
print("a search: 3 trials of 3 folds")
