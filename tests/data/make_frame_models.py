#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn pipelines over data frames, as skl2onnx writes them: one model input a column. For tests/interop/frames.py:

    python make_frame_models.py          (needs pandas, scikit-learn and skl2onnx; recorded with 1.9.1 and 1.20.0)

Writes into tests/data/frames: table.csv, the rows and targets they were trained on, and the models (*.onnx)."""
import pathlib
import warnings

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

OUT = pathlib.Path(__file__).parent / "frames"
warnings.simplefilter("ignore")
r = np.random.default_rng(0)
N = 240
table = pd.DataFrame({"age": r.normal(40, 10, N).round(1), "hours-a-week": r.integers(10, 60, N), "zip": r.choice([3, 5, 9], N),
                      "kind": r.choice([0, 1, 2], N), "city": r.choice(["Bern", "Genève", "new york", "10"], N), "grade": r.choice(["low", "mid", "high"], N)})
table["y"] = np.where(table.age + 9 * (table.zip == 5) + 12 * (table.city == "Bern") + r.normal(size=N) > 45, "hi", "lo")
table.to_csv(OUT / "table.csv", index=False)
TYPES = {"float": FloatTensorType([None, 1]), "int": Int64TensorType([None, 1]), "text": StringTensorType([None, 1])}
numbers = ("scaled", StandardScaler(), ["age", "hours-a-week"])


def one_hot(*columns, **options):
    return ("categories", OneHotEncoder(sparse_output=False, **options), list(columns))


def ordinal(*columns, **options):
    return (f"ordinal {columns[0]}", OrdinalEncoder(**options), list(columns))


quantiles = ("quantiles", QuantileTransformer(n_quantiles=16), ["age", "hours-a-week"])
MODELS = {  # name: column transformers; how zip and kind come in; what becomes of other columns
    "numbers": ([numbers, one_hot("kind")], "float", "passthrough"),
    "any_integers": ([numbers, one_hot("zip", "kind", handle_unknown="ignore")], "float", "drop"),
    "integers": ([numbers, one_hot("zip", "kind", handle_unknown="ignore")], "int", "drop"),
    "ordinal": ([numbers, ordinal("zip")], "float", "drop"),
    "ordinal_integers": ([numbers, ordinal("zip", "kind")], "int", "drop"),
    "quantiles": ([quantiles], "float", "drop"),
    "text": ([numbers, one_hot("city", handle_unknown="ignore"), ordinal("grade", categories=[["low", "mid", "high"]])], "float", "drop"),
    "text_strict": ([numbers, one_hot("city", "grade")], "float", "drop"),
}
for name, (columns, whole, rest) in MODELS.items():
    used = [c for _, _, names in columns for c in names]
    used = [c for c in table.columns[:-1] if c in used or (rest == "passthrough" and c not in ("city", "grade"))]
    kinds = {c: "text" if c in ("city", "grade") else whole if c in ("zip", "kind") else "float" for c in used}
    x = table[used].astype({c: {"text": object, "int": np.int64, "float": np.float32}[k] for c, k in kinds.items()})
    pipe = make_pipeline(ColumnTransformer(columns, remainder=rest), MLPClassifier((6,), max_iter=30, random_state=1)).fit(x, table.y)
    model = to_onnx(pipe, initial_types=[(c, TYPES[k]) for c, k in kinds.items()], target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False})
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())

x = table[["age", "hours-a-week"]].astype(np.float32)
several = np.stack([table.age > 45, table["hours-a-week"] > 35], 1).astype(int)
pipe = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=8, random_state=1)).fit(x.to_numpy(), several)
model = to_onnx(pipe, x.to_numpy()[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False})
(OUT / "several_labels.onnx").write_bytes(model.SerializeToString())
