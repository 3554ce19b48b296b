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


def seen(what, width, train, table, *options, later=()):
    """What a model reads of the later table: rates so small that the network stays what it is."""
    out, job = tmp / "m.onnx", ["--target", ",".join(f"t{k}" for k in range(width)), "--optimizer", "sgd", "--lr", "1e-30", "--epochs", "1"]
    run(f"{what}: train", "train", identity(width), "--data", train, *job, *options, "--force", "-o", out)
    run(f"{what}: predict", "predict", out, "--data", table, *later, "--force", "-o", tmp / "p.npy")
    return np.load(tmp / "p.npy")


def agree(what, got, want):
    want = np.asarray(want, np.float64)
    check(what, got.shape == want.shape and np.allclose(got, want, rtol=1e-6, atol=1e-6), (got[:3], want[:3]))


def unknown():
    """Categories of missing cells, of nobody and of few: scikit-learn's, fitted on the training rows."""
    rows, more = table(3, 400), table(4, 120, [*TOWNS, "Oslo", "Rom"], [*JOBS, "smith"])
    rows.loc[rows.index[:5], "town"] = ["Aa", "Bb", "Aa", "Bb", "Aa"]
    rows.loc[rows.index[5:9], "job"] = "judge"
    names = ["age", "wage", "town", "job", "left"]
    numbers = SimpleImputer(strategy="median")
    by = ColumnTransformer([("1", numbers, ["age", "wage"]), ("2", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["town"]),
                            ("3", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=4), ["job"]),
                            ("4", numbers, ["left"])]).fit(rows)
    got = seen("categories of their own", 11, write("rows.csv", rows, 11), write("more.csv", more, 11), "--encode", "town=onehot,job=ordinal",
               "--impute", "median,town=missing,job=missing", "--unknown", "ignore")
    agree("what is missing and what is unknown", got, by.transform(more))
    filled = rows.fillna({"town": "Zug", "job": "nurse"}), more.fillna({"town": "Zug", "job": "nurse"})
    by = ColumnTransformer([("1", numbers, ["age", "wage"]),
                            ("2", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False), ["town"]),
                            ("3", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=99), ["job"]), ("4", numbers, ["left"])]).fit(filled[0])
    got = seen("rare ones", 9, write("rows.csv", filled[0][names], 9), write("more.csv", filled[1][names], 9), "--encode", "town=onehot,job=ordinal",
               "--impute", "median", "--unknown", "town=infrequent:10,job=99")
    agree("are one with those that are unknown", got, by.transform(filled[1]))
    few = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=1, sparse_output=False).fit(filled[0][["town"]])
    got = seen("no rare ones", 6, write("rows.csv", filled[0][["town"]], 6), write("more.csv", filled[1][["town"]], 6), "--encode", "town=onehot",
               "--unknown", "infrequent:1")
    agree("unknown ones are none", got, few.transform(filled[1][["town"]]))


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


def european():
    """Tables as pandas writes them with sep=";", decimal=",", and reads them again: the same floats, in whatever form they are written."""
    r = np.random.default_rng(6)
    forms = ["{:.3f}", "{:.17g}", "{:.8e}", "{:+.2f}", "{:.0f}", "{:.25f}", " {:.4f} "]
    values = r.normal(size=(400, 3)) * 10.0 ** r.integers(-3, 4, (400, 3))
    text = pd.DataFrame([[forms[(i + j) % len(forms)].format(v).replace(".", ",") for j, v in enumerate(row)] for i, row in enumerate(values)], columns=["a", "b", "c"])
    for sep in ";", "\t", ",":
        files = [write(f"{name}.csv", part, 3, sep=sep) for name, part in (("rows", text[:200]), ("more", text[200:]))]
        read = pd.read_csv(files[1], sep=sep, decimal=",", skipinitialspace=True)[["a", "b", "c"]].astype(float)
        later = [] if sep != "," else ["--decimal", ","]
        got = seen(f"cells between {sep!r}", 3, *files, "--decimal", ",", later=later)
        check("floats are those of pandas", np.abs(got - read.to_numpy(np.float32)).max() < 1e-20, (got[:7], read[:7]))
    frame = table(5, 200)[["age", "wage"]]
    files = [write(f"{name}.csv", part, 2, sep=";", decimal=",") for name, part in (("rows", frame[:120]), ("more", frame[120:]))]
    got = seen("a frame", 2, *files, "--decimal", ",", "--impute", "mean")
    agree("written and read", got, SimpleImputer().fit(frame[:120]).transform(frame[120:]))


imputed()
european()
unknown()
_common.finish("raw_tables", tmp)
