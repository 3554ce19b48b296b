#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Raw tables beside pandas and scikit-learn: a network that hands its inputs on shows what --encode and --impute made of each row, in
training and from the model's record later; a ColumnTransformer fitted on the same rows has to agree."""
import _common
from _common import check, folder, np, onnx, run, skip

try:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
except ImportError as missing:
    skip(f"{missing.name} is not installed")

tmp = folder()
TOWNS, JOBS = ["Bonn", "Köln", "Ulm, neu", "Zug"], ["baker", "clerk", "nurse"]


def table(seed, n, towns=TOWNS, jobs=JOBS):
    r = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": r.integers(18, 70, n).astype(float), "wage": r.gamma(2, 900, n).round(2), "town": r.choice(towns, n),
                          "job": r.choice(jobs, n), "left": r.integers(0, 5, n).astype(float)})
    for k, column in enumerate(frame.columns):
        frame.loc[r.random(n) < 0.04 * (k + 1), column] = np.nan
    return frame


def identity(width):
    """y = x, whose output has as many columns of targets."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    path = tmp / f"same{width}.onnx"
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], "same", [helper.make_tensor_value_info("x", kind, ["N", width])],
                              [helper.make_tensor_value_info("y", kind, ["N", width])], [onnx.numpy_helper.from_array(np.eye(width, dtype=np.float32), "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def write(name, frame, width, **how):
    """With targets of zero behind it."""
    frame.assign(**{f"t{k}": 0 for k in range(width)}).to_csv(tmp / name, index=False, **how)
    return tmp / name


def seen(what, width, train, later, *options):
    """What a model reads of the later table: rates so small that the network stays what it is."""
    out, job = tmp / "m.onnx", ["--target", ",".join(f"t{k}" for k in range(width)), "--optimizer", "sgd", "--lr", "1e-30", "--epochs", "1"]
    run(f"{what}: train", "train", identity(width), "--data", train, *job, *options, "--force", "-o", out)
    run(f"{what}: predict", "predict", out, "--data", later, "--force", "-o", tmp / "p.npy")
    return np.load(tmp / "p.npy")


def agree(what, got, want):
    want = np.asarray(want, np.float64)
    check(what, got.shape == want.shape and np.allclose(got, want, rtol=1e-6, atol=1e-6), (got[:3], want[:3]))


def imputed():
    rows, more = table(1, 300), table(2, 90)
    encoded = OneHotEncoder(categories=[TOWNS], sparse_output=False)
    numbered = OrdinalEncoder(categories=[JOBS])
    by = ColumnTransformer([("age", SimpleImputer(strategy="mean"), ["age"]), ("wage", SimpleImputer(strategy="median"), ["wage"]),
                            ("town", make_pipeline(SimpleImputer(strategy="most_frequent"), encoded), ["town"]),
                            ("job", make_pipeline(SimpleImputer(strategy="constant", fill_value="nurse"), numbered), ["job"]),
                            ("left", SimpleImputer(strategy="constant", fill_value=-1), ["left"])]).fit(rows)
    files = write("rows.csv", rows, 8), write("more.csv", more, 8)
    got = seen("a rule a column", 8, *files, "--encode", "town=onehot,job=ordinal", "--impute", "median", "--impute", "age=mean,town=most_frequent",
               "--impute", "job=constant:nurse,left=-1")
    agree("fills are scikit-learn's", got, by.transform(more))


imputed()
_common.finish("raw_tables", tmp)
