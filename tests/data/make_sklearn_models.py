#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn pipelines that end in an MLP, as skl2onnx writes them, for tests/interop/sklearn_models.py:

    python make_sklearn_models.py          (needs scikit-learn and skl2onnx; recorded with 1.9.1 and 1.20.0)

Writes into tests/data/sklearn: the models (*.onnx), and data.npz with the rows and targets they were trained on."""
import pathlib
import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OneHotEncoder, RobustScaler, StandardScaler

OUT = pathlib.Path(__file__).parent / "sklearn"
warnings.simplefilter("ignore")
r = np.random.default_rng(0)
X = (r.normal(size=(240, 5)) * 3 + 1).astype(np.float32)
C = np.concatenate([X, r.integers(0, 3, (240, 1)), r.integers(4, 6, (240, 1))], 1).astype(np.float32)
three = (X[:, 0] + X[:, 1] > 2).astype(int) + (X[:, 2] > 2)
two = (three > 0).astype(int)
named = np.array(["low", "middle", "high"])[three]
real = (X[:, 0] - X[:, 1]).astype(np.float32)
M = dict(hidden_layer_sizes=(8,), max_iter=30, random_state=1)
columns = ColumnTransformer([("numbers", StandardScaler(), [0, 1, 2, 3, 4]), ("categories", OneHotEncoder(handle_unknown="ignore"), [5, 6])])
raw = ColumnTransformer([("numbers", "passthrough", [0, 1, 2, 3, 4]), ("categories", OneHotEncoder(handle_unknown="ignore"), [5, 6])])
MODELS = {  # name: pipeline, rows, targets, options of the conversion
    "classes": (make_pipeline(StandardScaler(), MLPClassifier(**M)), X, three, {}),
    "classes_plain": (make_pipeline(StandardScaler(), MLPClassifier(**M)), X, three, {"zipmap": False}),
    "names": (make_pipeline(RobustScaler(), MLPClassifier(activation="tanh", **M)), X, named, {}),
    "two": (make_pipeline(MinMaxScaler(), MLPClassifier(**M)), X, two, {}),
    "two_plain": (make_pipeline(StandardScaler(), MLPClassifier(activation="logistic", **M)), X, two, {"zipmap": False}),
    "number": (make_pipeline(SimpleImputer(), StandardScaler(), MLPRegressor(**M)), X, real, {}),
    "directions": (make_pipeline(Normalizer(), MLPRegressor(**M)), X, real, {}),
    "directions_l1": (make_pipeline(Normalizer("l1"), MLPRegressor(**M)), X, real, {}),
    "columns": (make_pipeline(columns, MLPClassifier(**M)), C, three, {}),
    "raw_columns": (make_pipeline(raw, MLPClassifier(**M)), C, three, {}),
}
for name, (pipe, x, y, options) in MODELS.items():
    pipe.fit(x, y)
    model = to_onnx(pipe, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options=options)
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())
np.savez_compressed(OUT / "data.npz", x=X, c=C, three=three, two=two, named=named, real=real)
