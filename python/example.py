# SPDX-License-Identifier: MIT
"""Hone from Python, twice: a PyTorch export that learns more digits, and a grid search of scikit-learn's.

usage: python example.py [MODEL.onnx to write]
"""

import gzip
import pathlib
import sys

import numpy as np

import hone

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples" / "mnist"


def idx(path):
    """An IDX file as an array."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def digits(out):
    X = idx(EXAMPLES / "images.idx3.gz").reshape(-1, 784).astype(np.float32) / 255
    y = idx(EXAMPLES / "labels.idx1.gz")
    model = hone.Model.load(EXAMPLES / "mnist.onnx")
    print(f"{model}: {model.describe()['parameters']} parameters, {len(X)} digits")

    def progress(p):
        if p.epoch_end:
            mark = "  best" if p.is_best else ""
            print(f"  epoch {p.epoch:2}  loss {p.metrics['val_loss']:.4f}  accuracy {p.metrics['val_accuracy']:.4f}{mark}")

    result = model.train(
        X, y, test_split=0.2, val_split=0.2, optimizer="adam", lr=0.003, batch_size=128, epochs=30,
        lr_schedule="plateau", lr_patience=1, lr_gamma=0.3, early_stop_patience=5, metric="accuracy", progress=progress,
    )  # fmt: skip
    before, after = (part["test"]["accuracy"] for part in (result["before"], result))
    print(f"test accuracy {before:.4f} -> {after:.4f} ({result['stop_reason']}, {result['seconds']:.1f} s)")
    model.save(out, force=True)
    print(f"written to {out}; first digits: {model.predict(X[:10], argmax=True)}, wanted {y[:10]}")
    try:
        import onnxruntime
    except ImportError:
        return
    scores = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]).run(None, {model.inputs[0].name: X})[0]
    print(f"ONNX Runtime differs by {np.abs(scores - model.predict(X)).max():.2g} at most")


def grid():
    try:
        from sklearn.datasets import load_breast_cancer
        from sklearn.model_selection import GridSearchCV, train_test_split

        from hone.sklearn import HoneClassifier
    except ImportError as missing:
        print(f"no grid search: {missing}")
        return
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    start = HoneClassifier("hidden 32 relu", scale="standard", epochs=40)  # the scaler becomes part of the model
    search = GridSearchCV(start, {"lr": [1e-4, 1e-3, 1e-2], "model": ["hidden 32 relu", "hidden 16,16 tanh"]}, cv=5).fit(X, y)
    score = search.score(X_test, y_test)
    print(f"\nscikit-learn's grid search: {search.best_params_}, folds {search.best_score_:.3f}, test {score:.3f}")
    print("its model as ONNX:", len(search.best_estimator_.model_.to_bytes()), "bytes, raw columns in")


if __name__ == "__main__":
    digits(sys.argv[1] if len(sys.argv) > 1 else "digits.onnx")
    grid()
