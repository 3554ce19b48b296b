#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Metrics of numbers, several a row, beside scikit-learn's: of a model and of the best constant guess."""
import _common
from _common import check, folder, np, predict, run, skip
try:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
except ImportError:
    skip("scikit-learn is not installed")

tmp = folder()
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, :3] * [1, 10, 0.1] + rng.normal(size=(60, 3)) * [0.1, 5, 0.01]).astype(np.float32)
np.save(tmp / "x.npy", X)


def beside(what, figures, y, p):
    # root_mean_squared_error of scikit-learn 1.4 and later, written out for those before
    want = {"mae": mean_absolute_error(y, p), "rmse": np.sqrt(mean_squared_error(y, p, multioutput="raw_values")).mean(), "r2": r2_score(y, p)}
    for name, value in want.items():
        check(f"{what}: {name}", abs(figures[name] - value) <= 1e-6 * max(1, abs(value)), (figures[name], value))


for columns in (1, 3):
    y = Y[:, :columns]
    model, out, data = tmp / "net.onnx", tmp / "out.onnx", ["--x", tmp / "x.npy", "--y", tmp / "y.npy", "--metric", "mae,rmse,r2", "--json"]
    np.save(tmp / "y.npy", y)
    run("a network", "new", f"4-8-{columns} tanh", "--force", "-o", model)
    for scale in ("none", "standard"):
        j = run("train", "train", model, *data, "--epochs", "5", "--lr", "0.01", "--scale-target", scale, "--force", "-o", out)
        name = f"{columns} numbers, scale {scale}"
        beside(name, j["train"], y, predict(name, out, {"x": X}, tmp, "y").reshape(len(y), -1))
        beside(f"{name}, eval", run("eval", "eval", out, *data), y, predict(name, out, {"x": X}, tmp, "y").reshape(len(y), -1))
        beside(f"{name}, guess", j["guess"]["train"], y, np.broadcast_to(y.mean(0), y.shape))
_common.finish("metrics", tmp)
