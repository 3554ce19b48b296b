#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn's linear models, as skl2onnx writes them, for tests/interop/linear.py:

    python make_linear_models.py          (needs scikit-learn and skl2onnx; recorded with 1.9.1 and 1.20.0)

Writes tests/data/linear/*.onnx, fitted to the rows and targets in tests/data/sklearn/data.npz."""
import pathlib
import warnings

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import Int64TensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

OUT = pathlib.Path(__file__).parent / "linear"
warnings.simplefilter("ignore")
d = np.load(OUT.parent / "sklearn" / "data.npz")
X, three, two, named, real = (d[k] for k in ("x", "three", "two", "named", "real"))
yes = np.where(two, "yes", "no")
scaled = lambda model: make_pipeline(StandardScaler(), model)
MODELS = {  # name: pipeline, targets, options of the conversion
    "classes": (scaled(LogisticRegression()), three, {}),
    "named": (scaled(LogisticRegression()), named, {"zipmap": False}),
    "two": (scaled(LogisticRegression()), two, {}),
    "yes": (LogisticRegression(fit_intercept=False), yes, {"zipmap": False}),
    "raw": (scaled(LogisticRegression()), three, {"zipmap": False, "raw_scores": True}),
    "raw_two": (scaled(LogisticRegression()), two, {"zipmap": False, "raw_scores": True}),
    "vectors": (scaled(LinearSVC()), three, {}),
    "vectors_two": (scaled(LinearSVC()), yes, {}),
    "ridge": (scaled(RidgeClassifier()), three, {"zipmap": False}),
    "discriminant": (LinearDiscriminantAnalysis(), two, {"zipmap": False}),
    "rest": (scaled(OneVsRestClassifier(LogisticRegression())), three, {}),
    "descent": (scaled(SGDClassifier(loss="log_loss", random_state=0)), three, {}),
    "vote": (VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", LogisticRegression(C=0.01))], voting="soft", flatten_transform=False), three, {}),
    "bag": (scaled(BaggingClassifier(LogisticRegression(), 3, random_state=0)), named, {}),
    "calibrated": (scaled(CalibratedClassifierCV(LinearSVC(), cv=2)), three, {"zipmap": False}),
    "calibrated_two": (scaled(CalibratedClassifierCV(LogisticRegression(), cv=2)), two, {}),
    "number": (scaled(LinearRegression()), real, {}),
    "numbers": (Ridge(), np.stack([real, 2 * real + X[:, 2]], 1), {}),
    "sparse": (Lasso(0.1), real, {}),
}
for name, (model, y, options) in MODELS.items():
    model.fit(X, y)
    last = model[-1] if hasattr(model, "steps") else model
    onnx = to_onnx(model, X[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options={id(last): dict(options)})
    (OUT / f"{name}.onnx").write_bytes(onnx.SerializeToString())
whole = np.round(X).astype(np.int64)
model = LogisticRegression(max_iter=500).fit(whole, three)
onnx = to_onnx(model, initial_types=[("X", Int64TensorType([None, 5]))], target_opset={"": 17, "ai.onnx.ml": 3}, options={id(model): {"zipmap": False}})
(OUT / "integers.onnx").write_bytes(onnx.SerializeToString())
