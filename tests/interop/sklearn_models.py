#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn's pipelines with an MLP at their end (tests/data/make_sklearn_models.py): scalers and encoders in front are computed, labels
behind are left alone by training, the maps of a ZipMap are rows of probabilities. Predicted as ONNX Runtime does, trained on labels in the
model's own order, written back so that ONNX Runtime gives the trained probabilities and labels."""
import _common
from _common import DATA, apart, check, checker, folder, hone, labels_and_scores, load, np, onnx, run, session

HERE = DATA / "sklearn"
d = np.load(HERE / "data.npz")
tmp = folder()
CASES = {"classes": ("x", "three"), "classes_plain": ("x", "three"), "names": ("x", "named"), "two": ("x", "two"), "two_plain": ("x", "two"),
         "number": ("x", "real"), "directions": ("x", "real"), "directions_l1": ("x", "real"), "columns": ("c", "three"), "raw_columns": ("c", "three")}


def data_of(name):
    x, y = d[CASES[name][0]], d[CASES[name][1]]
    np.save(tmp / "x.npy", x)
    target = tmp / "y.csv"
    target.write_text("y\n" + "\n".join(str(v) for v in y) + "\n")
    return x, y, ["--x", tmp / "x.npy", "--y", target]


def predicted(what, path, *options):
    out = tmp / "p.npy"
    run(what, "predict", path, "--x", tmp / "x.npy", *options, "--force", "-o", out)
    return np.load(out).reshape(len(np.load(tmp / "x.npy")), -1)


def one(name):
    path, out = HERE / f"{name}.onnx", tmp / f"{name}.onnx"
    x, y, data = data_of(name)
    labels, want = labels_and_scores(path, x)
    check(f"{name}: predicted as ONNX Runtime does", apart(predicted(name, path), want) <= 1e-6)
    run(f"{name}: no epochs", "train", path, "--epochs", "0", "--force", "-o", out)
    check(f"{name}: the same bytes", out.read_bytes() == path.read_bytes())
    before = run(f"{name}: eval", "eval", path, *data, "--json")
    j = run(f"{name}: train", "train", path, *data, "--epochs", "15", "--monitor", "train_loss", "--json", "--progress", "none", "--force", "-o", out)
    if not j.get("train"):
        return
    check(f"{name}: it learns", j["train"]["loss"] < before["loss"], (before["loss"], j["train"]))
    labels, after = labels_and_scores(out, x)
    check(f"{name}: the exported file, predicted", apart(predicted(name, out), after) <= 1e-6)
    check(f"{name}: onnx.checker", checker(load(out)) if checker(load(path)) else True)
    if labels is not None:  # what the file's own label tail says is what was judged
        right = float((labels.astype(str) == y.astype(str)).mean())
        check(f"{name}: accuracy of the file's own labels", abs(right - j["train"]["accuracy"]) < 1e-9, (right, j["train"]))
        order = sorted(set(y.tolist()))
        p = np.clip(after.astype(np.float64), 1e-12, 1)[np.arange(len(y)), [order.index(v) for v in y.tolist()]]
        check(f"{name}: the loss is that of its probabilities", abs(-np.log(p).mean() - j["train"]["loss"]) < 1e-5, (-np.log(p).mean(), j["train"]))
        numbers = [order.index(v) for v in labels.tolist()]
        check(f"{name}: classes in an array", np.array_equal(predicted(name, out, "--argmax").ravel(), numbers if labels.dtype == object else labels))
        written = tmp / "labels.csv"
        run(f"{name}: classes in a CSV", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", written)
        check(f"{name}: they are the file's labels", written.read_text().split()[1:] == labels.astype(str).tolist())
        run(f"{name}: a CSV", "predict", out, "--x", tmp / "x.npy", "--force", "-o", written)
        check(f"{name}: has the labels as they are", [line.split(",")[0] for line in written.read_text().split()[1:]] == labels.astype(str).tolist())
        run(f"{name}: scores in a CSV", "predict", out, "--x", tmp / "x.npy", "--output", load(out).graph.output[1].name, "--force", "-o", written)
        check(f"{name}: a column is called by its class", [c.rsplit("_", 1)[1] for c in written.read_text().split()[0].split(",")] == [str(v) for v in order])
    else:
        check(f"{name}: the loss is the mean squared error", abs(np.mean((after.ravel() - y) ** 2) - j["train"]["loss"]) < 1e-4 * j["train"]["loss"])
    run(f"{name}: gradcheck", "gradcheck", path)
    weighted = ["--class-weights", "balanced"] if labels is not None else []
    run(f"{name}: a search", "tune", path, *data, "--folds", "3", "--trials", "2", "--epochs", "2", "--search", "lr=log:1e-3..1e-2", "--search", "hidden_units=8,12", *weighted, "--force", "--quiet",
        "-o", tmp / "t.onnx")
    labels_and_scores(tmp / "t.onnx", x)


def scaling():
    """A scaler put in front leaves the categories of an encoder alone."""
    x, _, data = data_of("raw_columns")
    out = tmp / "scaled.onnx"
    run("scaled", "train", HERE / "raw_columns.onnx", *data, "--epochs", "0", "--scale", "standard", "--force", "-o", out)
    by = x.astype(np.float64)
    by[:, :5] = (by[:, :5] - by[:, :5].mean(0)) / by[:, :5].std(0)
    check("--scale leaves categories alone", apart(labels_and_scores(out, x)[1], labels_and_scores(HERE / "raw_columns.onnx", by.astype(np.float32))[1]) <= 1e-5)


def ensemble():
    """Averaged probabilities, the labels behind them as they were."""
    for name in ("classes", "two"):
        x, _, data = data_of(name)
        out = tmp / "e.onnx"
        run(f"{name}: an ensemble", "tune", HERE / f"{name}.onnx", *data, "--folds", "3", "--trials", "3", "--epochs", "3", "--search", "lr=log:1e-3..1e-2", "--ensemble", "2", "--force", "--quiet", "-o", out)
        if out.exists():
            labels, scores = labels_and_scores(out, x)
            check(f"{name}: labels of the average", np.array_equal(labels, np.array(sorted(set(d[CASES[name][1]].tolist())))[scores.argmax(1)]))
            check(f"{name}: the average, predicted", apart(predicted(name, out), scores) <= 1e-6)


def heads():
    """Two outputs with text classes: each keeps its own list through export, evaluation and further training of one of them."""
    make, f32 = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    r, x = np.random.default_rng(1), d["x"].astype(np.float32)
    weights = [onnx.numpy_helper.from_array(r.normal(size=s).astype(np.float32), n) for n, s in (("w", (x.shape[1], 8)), ("a", (8, 2)), ("b", (8, 3)))]
    nodes = [make("MatMul", ["x", "w"], ["h"]), make("Relu", ["h"], ["k"]), make("MatMul", ["k", "a"], ["sick"]), make("MatMul", ["k", "b"], ["colour"])]
    g = onnx.helper.make_graph(nodes, "g", [f32("x", 1, ["n", x.shape[1]])], [f32("sick", 1, ["n", 2]), f32("colour", 1, ["n", 3])], weights)
    onnx.save(onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp / "heads.onnx")
    np.save(tmp / "x.npy", x)
    sick, colour = np.where(x[:, 0] > 0, "yes", "no"), np.array(["red", "green", "blue"])[np.abs(x[:, 1] * 3).astype(int) % 3]
    for name, y in (("sick", sick), ("colour", colour)):
        (tmp / f"{name}.csv").write_text("y\n" + "\n".join(y) + "\n")
    data = ["--x", tmp / "x.npy", "--y", f"sick={tmp / 'sick.csv'}", "--y", f"colour={tmp / 'colour.csv'}", "--loss", "sick=ce", "--loss", "colour=ce"]
    run("heads: train", "train", tmp / "heads.onnx", *data, "--epochs", "3", "--force", "--quiet", "-o", tmp / "h.onnx")
    lists = {p.key: p.value.split("\n") for p in load(tmp / "h.onnx").metadata_props if p.key.startswith("hone.classes")}
    check("heads: a list for each", lists == {"hone.classes.sick": ["no", "yes"], "hone.classes.colour": ["blue", "green", "red"]}, lists)
    check("heads: eval by the lists", run("heads: eval", "eval", tmp / "h.onnx", *data, "--json")["rows"] == len(x))
    alone = ["--x", tmp / "x.npy", "--y", f"sick={tmp / 'sick.csv'}", "--loss", "sick=ce"]
    run("heads: one of them", "train", tmp / "h.onnx", *alone, "--epochs", "1", "--force", "--quiet", "-o", tmp / "h1.onnx")
    run("heads: labels", "predict", tmp / "h1.onnx", "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "h.csv")
    got = session(tmp / "h1.onnx").run(None, {"x": x})
    want = [f"{lists['hone.classes.sick'][a]},{lists['hone.classes.colour'][b]}" for a, b in zip(got[0].argmax(1), got[1].argmax(1))]
    check("heads: each by its own names", (tmp / "h.csv").read_text().split() == ["sick,colour", *want])


def preparations():
    """Normalizer by the largest, Imputer of what PowerTransformer writes: infinity, and NaN where it computed something."""
    ml, inf, nan = dict(domain="ai.onnx.ml"), float("inf"), float("nan")
    x = np.array([[1, -2, 0], [0, 0, 0], [-3, -1, -2], [0, 5, 2], [-1, 0, 0]], np.float32)
    wild = x.copy()
    wild[1, 0] = 1e30
    for what, nodes, rows in (
            ("the largest", [onnx.helper.make_node("Normalizer", ["x"], ["h"], norm="MAX", **ml)], x),
            ("zeros filled in", [onnx.helper.make_node("Imputer", ["x"], ["h"], imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=0.0, **ml)], x),
            ("infinity", [onnx.helper.make_node("Mul", ["x", "x"], ["s"]),
                          onnx.helper.make_node("Imputer", ["s"], ["h"], imputed_value_floats=[0.5], replaced_value_float=inf, **ml)], wild),
            ("logarithms", [onnx.helper.make_node("Log", ["x"], ["s"]),
                            onnx.helper.make_node("Imputer", ["s"], ["i"], imputed_value_floats=[-inf], replaced_value_float=inf, **ml),
                            onnx.helper.make_node("Imputer", ["i"], ["h"], imputed_value_floats=[0.5, 0.0, 2.0], replaced_value_float=nan, **ml)], np.abs(x) + [[1, 1, -3]]),
            ("powers", [onnx.helper.make_node("Pow", ["x", "p"], ["s"]),
                        onnx.helper.make_node("Imputer", ["s"], ["h"], imputed_value_floats=[0.0], replaced_value_float=nan, **ml)], x),
            ("nothing said", [onnx.helper.make_node("Imputer", ["x"], ["h"], imputed_value_floats=[4.0], **ml)], x)):
        rows = rows.astype(np.float32)
        w = onnx.numpy_helper.from_array(np.array([[1, 2], [3, 4], [5, 6]], np.float32), "w")
        p = onnx.numpy_helper.from_array(np.array([2.5], np.float32), "p")
        g = onnx.helper.make_graph([*nodes, onnx.helper.make_node("MatMul", ["h", "w"], ["y"])], "g", [onnx.helper.make_tensor_value_info("x", 1, ["n", 3])],
                                   [onnx.helper.make_tensor_value_info("y", 1, ["n", 2])], [w, p])
        m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
        path = tmp / "prepared.onnx"
        path.write_bytes(m.SerializeToString())
        np.save(tmp / "rows.npy", rows)
        run(f"{what}: predict", "predict", path, "--x", tmp / "rows.npy", "--force", "-o", tmp / "prepared.npy")
        want = session(path).run(None, {"x": rows})[0]
        check(f"{what}: as ONNX Runtime", apart(np.load(tmp / "prepared.npy"), want) <= 1e-6, (np.load(tmp / "prepared.npy"), want))


def gaps_learn():
    """A gradient through an Imputer: none where it replaced, also where 0 times a slope of NaN would come back."""
    ml, rows = dict(domain="ai.onnx.ml"), np.array([[1, -2], [3, 1], [-1, 4], [2, 2]], np.float32)
    start = {"u": np.array([[1, 0.5], [-0.5, 1]], np.float32), "w": np.array([[1, 2], [3, -1]], np.float32)}
    nodes = [onnx.helper.make_node("MatMul", ["x", "u"], ["h"]), onnx.helper.make_node("Pow", ["h", "p"], ["s"]),
             onnx.helper.make_node("Imputer", ["s"], ["i"], imputed_value_floats=[0.0, 0.25], replaced_value_float=float("nan"), **ml), onnx.helper.make_node("MatMul", ["i", "w"], ["y"])]
    g = onnx.helper.make_graph(nodes, "g", [onnx.helper.make_tensor_value_info("x", 1, ["n", 2])], [onnx.helper.make_tensor_value_info("y", 1, ["n", 2])],
                               [onnx.numpy_helper.from_array(v, k) for k, v in {**start, "p": np.array([1.5], np.float32)}.items()])
    m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    (tmp / "gaps.onnx").write_bytes(m.SerializeToString())
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    np.save(tmp / "rows.npy", rows), np.save(tmp / "y.npy", y)
    run("gaps: train", "train", tmp / "gaps.onnx", "--x", tmp / "rows.npy", "--y", tmp / "y.npy", "--loss", "mse", "--optimizer", "sgd", "--lr", "0.001", "--batch-size", "4",
        "--epochs", "3", "--no-shuffle", "--save", "last", "--force", "--quiet", "-o", tmp / "gaps_out.onnx")
    u, w = (np.float64(start[k]) for k in ("u", "w"))
    for _ in range(3):
        h = rows @ u
        there = h >= 0
        base = np.where(there, h, 1)
        i = np.where(there, base ** 1.5, [0.0, 0.25])
        dy = 2 * (i @ w - y) / y.size
        dh = np.where(there, dy @ w.T * 1.5 * base ** 0.5, 0)
        u, w = u - 0.001 * rows.T @ dh, w - 0.001 * i.T @ dy
    check("gaps: some are filled", (~there).any() and there.any())
    got = {t.name: onnx.numpy_helper.to_array(t) for t in load(tmp / "gaps_out.onnx").graph.initializer}
    for name, want in (("u", u), ("w", w)):
        check(f"gaps: {name} as by hand", np.abs(got[name] - want).max() <= 1e-5, (got[name], want))


def refusals():
    def model(node, inputs, name):
        y = [onnx.helper.make_tensor_value_info("y", 1, ["n", None])]
        w = onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
        g = onnx.helper.make_graph([node, onnx.helper.make_node("MatMul", ["h", "w"], ["y"])], "g", inputs, y, [w])
        m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
        (tmp / f"{name}.onnx").write_bytes(m.SerializeToString())
        return hone("inspect", tmp / f"{name}.onnx")

    x = [onnx.helper.make_tensor_value_info("x", 1, ["n", 3])]
    double = [onnx.helper.make_tensor_value_info("x", 11, ["n", 3])]
    ml = dict(domain="ai.onnx.ml")
    for what, node, inputs, told in (
            ("a scaler of 2 for 3 columns", onnx.helper.make_node("Scaler", ["x"], ["h"], offset=[1.0, 2.0], scale=[1.0], **ml), x, "2 numbers in 'offset' for rows of 3"),
            ("a scaler of doubles", onnx.helper.make_node("Scaler", ["x"], ["h"], offset=[1.0], scale=[1.0], **ml), double, "float64, which it rounds"),
            ("two values for 3 columns", onnx.helper.make_node("Imputer", ["x"], ["h"], imputed_value_floats=[1.0, 2.0], replaced_value_float=0.0, **ml), x, "2 values for 3 columns")):
        r = model(node, inputs, "refused")
        check(f"{what} is said", told in r.stdout + r.stderr, (r.stdout + r.stderr)[-400:])


for case in CASES:
    one(case)
scaling()
ensemble()
heads()
preparations()
gaps_learn()
refusals()
_common.finish("sklearn_models", tmp)
