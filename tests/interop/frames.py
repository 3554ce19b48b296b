#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn's pipelines over data frames (tests/data/make_frame_models.py): one model input a column, encoders in front of the network. A
CSV file's columns feed the inputs of their names; predicted as ONNX Runtime does, trained, written back with the same nodes."""
import csv

import _common
from _common import DATA, apart, check, checker, folder, hone, load, np, onnx, onnxruntime, run, session

HERE = DATA / "frames"
TABLE = HERE / "table.csv"
tmp = folder()
NAMES = ("numbers", "any_integers", "integers", "ordinal", "ordinal_integers", "text", "text_strict", "quantiles")
ROWS = list(csv.DictReader(open(TABLE)))
SPELLED = {name.replace("-", "_"): name for name in ROWS[0]}
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(string)": object}


def answers(path, rows):
    """(labels, probabilities) by ONNX Runtime."""
    s = session(path)
    feeds = {}
    for i in s.get_inputs():
        cells = [row[SPELLED[i.name]] for row in rows]
        kind = TYPES[i.type]
        feeds[i.name] = np.array(cells if kind is object else np.array(cells, np.float64).astype(kind), kind).reshape(-1, 1)
    return s.run(None, feeds)


def predicted(what, path, table, *options):
    out = tmp / "p.npy"
    run(what, "predict", path, "--data", table, *options, "--output", "probabilities", "--force", "-o", out)
    return np.load(out)


def one(name):
    path, out, order = HERE / f"{name}.onnx", tmp / f"{name}.onnx", ["hi", "lo"]
    data = ["--data", TABLE, "--target", "y"]
    want = answers(path, ROWS)[1]
    got = predicted(f"{name}: predict", path, TABLE, "--ignore", "y")
    check(f"{name}: predicted as ONNX Runtime does", got.shape == want.shape and apart(got, want) <= 1e-6, (got[:2], want[:2]))
    before = run(f"{name}: eval", "eval", path, *data, "--json")
    j = run(f"{name}: train", "train", path, *data, "--epochs", "12", "--monitor", "train_loss", "--lr", "3e-3", "--json", "--progress", "none", "--force", "-o", out)
    if not before or not j:
        return
    p = np.clip(want.astype(np.float64), 1e-7, 1)[np.arange(len(ROWS)), [order.index(row["y"]) for row in ROWS]]
    check(f"{name}: the loss is that of its probabilities", abs(-np.log(p).mean() - before["loss"]) < 1e-5, (-np.log(p).mean(), before))
    check(f"{name}: it learns", j["train"]["loss"] < before["loss"], (before["loss"], j["train"]))
    check(f"{name}: onnx.checker", checker(load(out)))
    a, b = load(path).graph, load(out).graph
    check(f"{name}: the same nodes", [n.SerializeToString() for n in a.node] == [n.SerializeToString() for n in b.node])
    labels, want = answers(out, ROWS)
    check(f"{name}: the exported file, predicted", apart(predicted(f"{name}: predict again", out, TABLE, "--ignore", "y"), want) <= 1e-6)
    right = float(np.mean([label == row["y"] for label, row in zip(labels.ravel(), ROWS)]))
    check(f"{name}: accuracy of the file's own labels", abs(right - j["train"]["accuracy"]) < 1e-9, (right, j["train"]))
    run(f"{name}: a search", "tune", path, *data, "--folds", "2", "--trials", "2", "--epochs", "2", "--search", "lr=log:1e-3..1e-2", "--force", "--quiet", "-o", tmp / "t.onnx")


def unseen():
    """Categories that the encoders do not know: none of theirs, or the default, as ONNX Runtime has it."""
    rows = [dict(row, zip=str(z), kind=str(k)) for row, z, k in zip(ROWS, (4, 3, 9, -7, 5, 6), (0, 7, 2, -1, 3, 1))]
    odd = tmp / "odd.csv"
    write(odd, rows)
    rows = [dict(row, city=city, grade=grade) for row, city, grade in zip(rows, ("Paris", "10.0", "bern", "", "NA", "Bern"), ("", "LOW", "high", "?", "mid", "Bern"))]
    write(odd, rows)
    for name in ("any_integers", "integers", "ordinal", "ordinal_integers", "text"):
        got = predicted(f"{name}: predict others", HERE / f"{name}.onnx", odd)
        want = answers(HERE / f"{name}.onnx", rows)[1]
        check(f"{name}: others as ONNX Runtime has them", apart(got, want) <= 1e-6, (got, want))


    r = hone("predict", HERE / "text.onnx", "--data", odd, "--ignore", "y", "--with-input", "--force", "-o", tmp / "w.csv")
    check("unknown texts are said", "5 texts are none that input 'city' of the model knows, such as 'Paris' in row 2" in r.stderr, r.stderr)
    back = list(csv.DictReader(open(tmp / "w.csv")))
    check("texts stand beside the outputs", [(b["city"], b["grade"]) for b in back] == [(a["city"], a["grade"]) for a in rows], back[:2])
    check("a strict encoder refuses as ONNX Runtime does", refused(HERE / "text_strict.onnx", rows))
    r = hone("predict", HERE / "text_strict.onnx", "--data", odd, "--ignore", "y", "--force", "-o", tmp / "w.csv")
    check("and says where", r.returncode == 4 and "row 2, column city: found 'Paris', which is no category of OneHotEncoder" in r.stderr, r.stderr)
    known = [dict(row, city="Bern", grade="10") for row in rows]
    write(odd, known)
    r = hone("eval", HERE / "text_strict.onnx", "--data", odd, "--target", "y")
    check("one that another encoder knows is none either", refused(HERE / "text_strict.onnx", known) and r.returncode == 4 and "column grade: found '10'" in r.stderr, r.stderr)


def refused(path, rows):
    try:
        answers(path, rows)
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        return True
    return False


def write(path, rows):
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def model(nodes, inputs, width, *initializers):
    """nodes make "h", whose `width` elements a row go through a layer of two."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    w = onnx.numpy_helper.from_array(np.arange(1, 2 * width + 1, dtype=np.float32).reshape(width, 2), "w")
    shape = onnx.numpy_helper.from_array(np.array([-1, width], np.int64), "shape")
    nodes = [*nodes, make("Reshape", ["h", "shape"], ["r"]), make("MatMul", ["r", "w"], ["y"])]
    outputs = [value("y", 1, ["n", 2]), *(value(o, 8, None) for n in nodes for o in n.output if o.startswith("out"))]
    g = onnx.helper.make_graph(nodes, "g", inputs, outputs, [w, shape, *initializers])
    m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    path = tmp / "encoder.onnx"
    path.write_bytes(m.SerializeToString())
    return path


def texts_moved():
    """Several texts a row, cut and joined before they are encoded."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    array = onnx.numpy_helper.from_array
    one = [array(np.array([1], np.int64), "one"), array(np.array([0], np.int64), "none"), array(np.array([2], np.int64), "two"), array(np.array([1, 1], np.int64), "halves")]
    hot = make("OneHotEncoder", ["t"], ["h"], cats_strings=["b", "é", "a"], zeros=1, domain="ai.onnx.ml")
    order = make("LabelEncoder", ["t"], ["h"], keys_strings=["b", "a", "b"], values_floats=[2.5, -1.0, 9.0], default_float=0.25, domain="ai.onnx.ml")
    x = np.array([["a", "b"], ["é", "c"], ["", "a"], ["b", "é"]], object)
    (tmp / "t.csv").write_text("first,second\n" + "".join(f"{a},{b}\n" for a, b in x))
    cases = {
        "as they are": ([make("Identity", ["x"], ["t"]), hot], 6), "one column": ([make("Gather", ["x", "one"], ["t"], axis=1), hot], 3), "its keys' values": ([make("Identity", ["x"], ["t"]), order], 2),
        "a column of features": ([make("ArrayFeatureExtractor", ["x", "one"], ["t"], domain="ai.onnx.ml"), order], 1),
        "split and joined": ([make("Split", ["x", "halves"], ["u", "v"], axis=1), make("Concat", ["v", "u", "v"], ["t"], axis=1), hot], 9),
        "cut": ([make("Slice", ["x", "one", "two", "one"], ["t"]), hot], 3),
    }
    for what, (nodes, width) in cases.items():
        path = model(nodes, [value("x", 8, ["n", 2])], width, *one)
        want = session(path).run(None, {"x": x})[0]
        run(f"texts {what}: predict", "predict", path, "--data", tmp / "t.csv", "--force", "-o", tmp / "y.npy")
        check(f"texts {what}: as ONNX Runtime", apart(np.load(tmp / "y.npy"), want) <= 1e-6, (np.load(tmp / "y.npy"), want))
        run(f"texts {what}: gradcheck", "gradcheck", path)
        folder = tmp / f"vector {what}"
        folder.mkdir()
        for name, y in (("input_0", x), ("output_0", want)):
            (folder / f"{name}.pb").write_bytes(array(y).SerializeToString())
        run(f"texts {what}: verify", "verify", path, folder)
        run(f"texts {what}: scaled, left alone", "train", path, "--data", tmp / "t.csv", "--y", tmp / "y.npy", "--scale", "standard", "--x-scale", "3", "--epochs", "0", "--force", "-o", tmp / "s.onnx")
        check(f"texts {what}: the same graph", load(tmp / "s.onnx").graph == load(path).graph)
    np.save(tmp / "n.npy", np.zeros((4, 2), np.float32))
    path = model([make("Identity", ["x"], ["t"]), hot], [value("x", 8, ["n", 2])], 6)
    for what, args, told in (("numbers for text", ("--x", tmp / "n.npy"), "input 'x' wants text, found numbers"), ("--encode of a text input", ("--data", tmp / "t.csv", "--encode", "first=onehot"), "the model takes its text as it is")):
        r = hone("predict", path, *args, "--force", "-o", tmp / "y.npy")
        check(what, r.returncode and told in r.stderr, r.stderr)
    for what, nodes, told in (("text handed on", [make("Identity", ["x"], ["out"]), make("Identity", ["x"], ["t"]), hot], "hands on text of the data"),
                              ("text compared", [make("Equal", ["x", "x"], ["c"]), make("Cast", ["c"], ["h"], to=1)], "only a OneHotEncoder or a LabelEncoder reads it")):
        j = run(what, "inspect", model(nodes, [value("x", 8, ["n", 2])], 6 if what == "text handed on" else 2), "--json")
        check(f"{what}: is said", any(told in n["why"] for n in j["nodes"]), [n["why"] for n in j["nodes"]])


def written_out():
    """Encoders as nobody's pipeline has them: floats towards zero, keys and values of both kinds, the same key twice."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    x = np.array([[-2.0], [0.5], [0.0], [3.0], [3.9], [7.0], [-0.9]], np.float32)
    encoders = {
        "OneHotEncoder of floats": ([make("OneHotEncoder", ["x"], ["h"], cats_int64s=[7, 0, 3], zeros=1, domain="ai.onnx.ml")], 3),
        "OneHotEncoder of floats in order": ([make("OneHotEncoder", ["x"], ["h"], cats_int64s=[-1, 0, 1, 2, 3], zeros=1, domain="ai.onnx.ml")], 5),
        "floats for floats": ([make("LabelEncoder", ["x"], ["h"], keys_floats=[0.5, 3.0, 7.0], values_floats=[1.25, -3e8, 0.1], default_float=0.7, domain="ai.onnx.ml")], 1),
        "a key twice": ([make("LabelEncoder", ["x"], ["h"], keys_floats=[3.0, 0.5, 3.0], values_floats=[1.0, 2.0, 5.0], domain="ai.onnx.ml")], 1),
        "integers for floats": ([make("LabelEncoder", ["x"], ["i"], keys_floats=[0.5, 3.0], values_int64s=[7, 8], default_int64=-3, domain="ai.onnx.ml"), make("Cast", ["i"], ["h"], to=1)], 1),
        "floats for integers": ([make("Cast", ["x"], ["i"], to=7), make("LabelEncoder", ["i"], ["h"], keys_int64s=[3, -2], values_floats=[0.5, 4.5], domain="ai.onnx.ml")], 1),
    }
    np.save(tmp / "x.npy", x)
    strict = model([make("OneHotEncoder", ["x"], ["h"], cats_int64s=[7, 0, 3, -2], zeros=0, domain="ai.onnx.ml")], [value("x", 1, ["n", 1])], 4)
    run("a strict one", "predict", strict, "--x", tmp / "x.npy", "--force", "-o", tmp / "y.npy")
    check("a strict one: as ONNX Runtime", apart(np.load(tmp / "y.npy"), session(strict).run(None, {"x": x})[0]) <= 1e-6)
    np.save(tmp / "more.npy", np.append(x, [[4.5]], 0).astype(np.float32))
    r = hone("predict", strict, "--x", tmp / "more.npy", "--force", "-o", tmp / "y.npy")
    check("a strict one: others are refused", r.returncode == 4 and "row 8: found '4.5', which is no category of OneHotEncoder" in r.stderr, r.stderr)
    for what, (nodes, width) in encoders.items():
        path = model(nodes, [value("x", 1, ["n", 1])], width)
        run(f"{what}: predict", "predict", path, "--x", tmp / "x.npy", "--force", "-o", tmp / "y.npy")
        got, want = np.load(tmp / "y.npy"), session(path).run(None, {"x": x})[0]
        check(f"{what}: as ONNX Runtime", apart(got, want) <= 1e-6, (got, want))
        run(f"{what}: gradcheck", "gradcheck", path)
        run(f"{what}: scaled, the categories left alone", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--scale", "standard", "--epochs", "0", "--force", "-o", tmp / "s.onnx")
        check(f"{what}: the same answers", apart(session(tmp / "s.onnx").run(None, {"x": x})[0], want) <= 1e-6)


def whole_numbers():
    """Integers made of floats and computed with, in front of what learns: sums, products, quotients towards zero, choices. They end as indices."""
    make, value, array = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
    x = np.array([[-7.9, 3], [8, -1], [0.5, 11], [10, 6], [-3, -10.5], [5, 9]], np.float32)
    np.save(tmp / "x.npy", x)
    fixed = [array(np.array(v, np.int64), n) for n, v in (("three", 3), ("four", 4), ("five", [5, 5]))] + [array(np.array(0, np.float32), "zero"), array(np.linspace(-2, 1, 12).astype(np.float32), "table")]
    nodes = [make("Cast", ["x"], ["i"], to=7), make("Div", ["i", "three"], ["q"]), make("Mul", ["q", "three"], ["m"]), make("Div", ["m", "four"], ["d"]), make("Add", ["d", "five"], ["a"]),
             make("Greater", ["x", "zero"], ["up"]), make("Sub", ["five", "q"], ["b"]), make("Where", ["up", "a", "b"], ["k"]), make("Flatten", ["k"], ["f"], axis=0), make("Gather", ["table", "f"], ["h"])]
    path = model(nodes, [value("x", 1, ["n", 2])], 2, *fixed)
    want = session(path).run(None, {"x": x})[0]
    run("whole numbers: predict", "predict", path, "--x", tmp / "x.npy", "--force", "-o", tmp / "y.npy")
    check("whole numbers: as ONNX Runtime", apart(np.load(tmp / "y.npy"), want) <= 1e-6, (np.load(tmp / "y.npy"), want))
    run("whole numbers: gradcheck", "gradcheck", path)
    j = run("floats of them", "inspect", model([make("Cast", ["x"], ["i"], to=7), make("Div", ["i", "three"], ["q"]), make("Cast", ["q"], ["h"], to=1)], [value("x", 1, ["n", 2])], 2, *fixed), "--json")
    check("floats of them: is said", any("only where they end as indices, categories or outputs" in n["why"] for n in j["nodes"]), [n["why"] for n in j["nodes"]])


def several_labels():
    """1 - p and p of several columns: the labels p is of are the targets."""
    path, table = HERE / "several_labels.onnx", tmp / "several.csv"
    y = np.array([[float(row["age"]) > 45, float(row["hours-a-week"]) > 35] for row in ROWS], np.float64)
    write(table, [{"age": row["age"], "hours": row["hours-a-week"], "old": int(a), "long": int(b), "young": int(1 - a), "short": int(1 - b)} for row, (a, b) in zip(ROWS, y)])
    x = np.array([[row["age"], row["hours-a-week"]] for row in ROWS], np.float32)

    def loss(model):
        p = np.clip(session(model).run(["probabilities"], {"X": x})[0][:, 2:].astype(np.float64), 1e-7, 1 - 1e-7)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), ((p > 0.5) == y).mean()

    data, both = ["--data", table, "--features", "age,hours"], ["--target", "old,long"]
    e = run("several labels: eval", "eval", path, *data, *both, "--json")
    check("several labels: the loss is the binary cross-entropy of p", apart(np.array([e["loss"], e["accuracy"]]), np.array(loss(path))) < 1e-5, (e, loss(path)))
    four = run("several labels: eval of all columns", "eval", path, *data, "--target", "young,short,old,long", "--json")
    check("several labels: the same", four["loss"] == e["loss"], (four, e))
    j = run("several labels: train", "train", path, *data, *both, "--epochs", "30", "--lr", "1e-2", "--monitor", "train_loss", "--json", "--progress", "none", "--force", "-o", tmp / "s.onnx")
    check("several labels: they are learned", j["train"]["loss"] < 0.8 * e["loss"] and apart(np.array([j["train"]["loss"]]), np.array([loss(tmp / "s.onnx")[0]])) < 1e-5, (j["train"], loss(tmp / "s.onnx")))
    run("several labels: gradcheck", "gradcheck", path)
    run("several labels: an ensemble", "tune", path, *data, *both, "--folds", "2", "--trials", "2", "--epochs", "2", "--search", "lr=log:1e-3..1e-2", "--ensemble", "2", "--force", "--quiet", "-o", tmp / "t.onnx")
    run("several labels: its file", "eval", tmp / "t.onnx", *data, *both, "--json")
    r = hone("eval", path, *data, "--target", "old,long,young")
    check("several labels: three for two", r.returncode == 4 and "a row has 3 targets, output 'probabilities' has 4 values" in r.stderr, r.stderr)


def refusals():
    def told(what, *words, **attributes):
        make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
        w = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
        nodes = [make(what, ["x"], ["h"], domain="ai.onnx.ml", **attributes), make("Cast", ["h"], ["f"], to=1), make("MatMul", ["f", "w"], ["y"])]
        g = onnx.helper.make_graph(nodes, "g", [value("x", 7, ["n", 1])], [value("y", 1, ["n", None])], [w])
        m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
        (tmp / "refused.onnx").write_bytes(m.SerializeToString())
        r = hone("inspect", tmp / "refused.onnx")
        check(f"{what} of {attributes}", all(word in r.stdout + r.stderr for word in words), (r.stdout + r.stderr)[-500:])

    told("OneHotEncoder", "OneHotEncoder: category 2 is one of those before it", cats_int64s=[3, 5, 3])
    told("OneHotEncoder", "16777216 in 'cats_int64s', wanted integers below 2^24", cats_int64s=[3, 1 << 24])
    told("LabelEncoder", "16777216 in 'values_int64s'", keys_int64s=[3, 5], values_int64s=[0, 1 << 24])
    told("LabelEncoder", "default 16777216", keys_int64s=[3, 5], values_int64s=[0, 1], default_int64=1 << 24)
    told("LabelEncoder", "wanted keys of its type, int64", keys_floats=[3.0, 5.0], values_int64s=[0, 1])


for case in NAMES:
    one(case)
unseen()
texts_moved()
written_out()
whole_numbers()
several_labels()
refusals()
_common.finish("frames", tmp)
