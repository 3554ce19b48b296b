#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that end in labels (tests/data/make_label_models.py): `hone predict` gives the outputs that ONNX Runtime gives, labels as integers,
bools or text; `hone verify` compares them all, a tie of ArgMax apart; training sees none of it. Tails that are written here say what
each operator does and which are refused, by name."""
import _common
from _common import DATA, apart, check, folder, hone, load, np, onnx, run, session

HERE = DATA / "labels"
tmp = folder()
make, info, array = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
rng = np.random.default_rng(5)
x = rng.normal(size=(1500, 5)).astype(np.float32)  # more than a chunk
np.save(tmp / "x.npy", x)


def ort(path):
    """{output: an array, rows first} by ONNX Runtime; the maps of a ZipMap as rows."""
    s = session(path)
    got = {o.name: y for o, y in zip(s.get_outputs(), s.run(None, {s.get_inputs()[0].name: x}))}
    arrays = {k: np.array([list(row.values()) for row in y]) if isinstance(y, list) else np.asarray(y) for k, y in got.items()}
    return {k: y if len(y) == len(x) else y.reshape(len(x), -1) for k, y in arrays.items()}  # ArrayFeatureExtractor of one axis: [1, rows]


def same(found, wanted):
    if wanted.dtype.kind == "f":
        return apart(found, wanted) <= 1e-5
    return found.shape == wanted.shape and np.array_equal(found.astype(wanted.dtype), wanted) and found.dtype.kind == {"O": "U"}.get(wanted.dtype.kind, wanted.dtype.kind)


def predicted(name, path, want):
    out = tmp / "p.npz"
    run(f"{name}: predict", "predict", path, "--x", tmp / "x.npy", "--force", "-o", out)
    found = np.load(out) if out.exists() else {}
    check(f"{name}: all outputs, in the model's order", list(found) == list(want), (list(found), list(want)))
    for key in want:
        if key in found:
            check(f"{name}: output {key}", same(found[key], want[key]), (found[key].dtype, found[key][:3], want[key].dtype, want[key][:3]))
    for key, y in want.items():
        run(f"{name}: {key} alone", "predict", path, "--x", tmp / "x.npy", "--output", key, "--force", "-o", tmp / "one.npy")
        run(f"{name}: {key} as CSV", "predict", path, "--x", tmp / "x.npy", "--output", key, "--force", "-o", tmp / "one.csv")
        check(f"{name}: {key} is the same array", same(np.load(tmp / "one.npy"), y))
        if y.dtype.kind != "f":
            text = [",".join(str(int(v)) if isinstance(v, np.bool_) else str(v) for v in row) for row in y.reshape(len(y), -1)]
            check(f"{name}: {key}'s cells", (tmp / "one.csv").read_text().split("\n")[1:-1] == text)


def vectors(path, at, change=None):
    """The rows as test vectors; change(name, y) may make them others."""
    s = session(path)
    got = s.run(None, {s.get_inputs()[0].name: x})
    at.mkdir(exist_ok=True)
    (at / "input_0.pb").write_bytes(array(x).SerializeToString())
    for k, (o, y) in enumerate(zip(s.get_outputs(), got)):
        if not isinstance(y, list):
            y = change(o.name, np.array(y)) if change else y
            (at / f"output_{k}.pb").write_bytes(array(y).SerializeToString())
    return at


def another(y):
    """Every element is another one that occurs."""
    known = list(dict.fromkeys(y.reshape(-1).tolist()))
    return np.array([known[(known.index(v) + 1) % len(known)] for v in y.reshape(-1).tolist()], y.dtype).reshape(y.shape)


def verified(name, path, want):
    j = run(f"{name}: verify", "verify", path, vectors(path, tmp / "v"), "--json")
    maps = sum(o.type.startswith("seq") for o in session(path).get_outputs())
    check(f"{name}: every output is compared", j.get("rows", [{}])[0].get("outputs") == len(want) - maps, j)
    for key, y in want.items():
        if y.dtype.kind == "f" or len(np.unique(y)) < 2:
            continue
        j = run(f"{name}: a wrong {key}", "verify", path, vectors(path, tmp / "v", lambda n, v, key=key: another(v) if n == key else v), "--json", code=1)
        check(f"{name}: is named", f"output '{key}', element " in str(j.get("rows", [{}])[0].get("first")), j)


def models():
    for path in sorted(HERE.glob("*.onnx")):
        want = ort(path)
        predicted(path.stem, path, want)
        verified(path.stem, path, want)
        j = run(f"{path.stem}: inspect", "inspect", path, "--json")
        for o in j.get("outputs", []):
            y = want[o["name"]]
            if y.dtype.kind in "OU" or path.stem.startswith("sk_codes"):
                check(f"{path.stem}: classes of {o['name']}", o["classes"] and set(map(str, o["classes"])) >= set(map(str, np.unique(y))) if y.dtype.kind != "f" else o["classes"], o)


def trained():
    """Training by the labels of a file's own tail; the exported file says the same to both."""
    for name, y in (("sk_text", ort(HERE / "sk_text.onnx")["output_label"]), ("sk_codes_plain", ort(HERE / "sk_codes_plain.onnx")["label"]), ("torch_argmax", None)):
        want = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0) if y is None else y.ravel()[::-1]
        (tmp / "y.csv").write_text("y\n" + "\n".join(map(str, want)) + "\n")
        out = tmp / "t.onnx"
        run(f"{name}: train", "train", HERE / f"{name}.onnx", "--x", tmp / "x.npy", "--y", tmp / "y.csv", "--epochs", "2", "--monitor", "train_loss", "--force", "--quiet", "-o", out)
        if out.exists():
            predicted(f"{name}, trained", out, ort(out))
    r = hone("train", HERE / "torch_only.onnx", "--x", tmp / "x.npy", "--y", tmp / "y.csv", "--epochs", "1", "--force", "-o", tmp / "u.onnx")
    check("a model of labels alone is not trained", r.returncode == 3 and "no float output depends on a trained parameter" in r.stderr, r.stderr)


def model(name, nodes, outputs, initializers=(), opset=17, batch="n"):
    """x, MatMul by w to h [N, 4]; then nodes."""
    w = array(np.round(rng.normal(size=(5, 4)), 1).astype(np.float32), "w")
    g = onnx.helper.make_graph([make("MatMul", ["x", "w"], ["h"]), *nodes], "g", [info("x", 1, [batch, 5])], [info(o, t, s) for o, t, s in outputs], [w, *initializers])
    path = tmp / f"{name}.onnx"
    m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    path.write_bytes(m.SerializeToString())
    return path


def tails():
    ml = dict(domain="ai.onnx.ml")
    n, n1, n4 = ["n"], ["n", 1], ["n", 4]
    codes, names = array(np.array([7, 2**53 + 1, -1, 0]), "codes"), array(np.array(["a", "bé", "日本", ""], dtype=object), "names")
    top, five = array(np.array([5]), "top"), array(np.array([-1]), "five")
    arg = make("ArgMax", ["h"], ["i"], axis=1, keepdims=0)
    cases = {
        "first_of_equals": ([make("Round", ["h"], ["r"]), make("ArgMax", ["h"], ["y"], axis=-1)], [("h", 1, n4), ("y", 7, n1)]),
        "relu_ties": ([make("Relu", ["h"], ["r"]), make("ArgMax", ["r"], ["y"], axis=1), make("ArgMin", ["r"], ["z"], axis=1, keepdims=0)], [("r", 1, n4), ("y", 7, n1), ("z", 7, n)]),
        "last_of_equals": ([make("Relu", ["h"], ["r"]), make("ArgMax", ["r"], ["y"], axis=1, select_last_index=1), make("ArgMin", ["r"], ["z"], axis=1, keepdims=0, select_last_index=1)], [("r", 1, n4), ("y", 7, n1), ("z", 7, n)]),
        "middle_axis": ([make("Reshape", ["h", "s"], ["k"]), make("ArgMax", ["k"], ["y"], axis=1, keepdims=0)], [("h", 1, n4), ("y", 7, ["n", 2])], [array(np.array([-1, 2, 2]), "s")]),
        "looked_up": ([arg, make("Gather", ["codes", "i"], ["y"]), make("Gather", ["names", "i"], ["z"])], [("y", 7, n), ("z", 8, n), ("h", 1, n4)], [codes, names]),
        "looked_up_twice": ([arg, make("Gather", ["turn", "i"], ["j"]), make("Gather", ["names", "j"], ["y"])], [("h", 1, n4), ("y", 8, n)], [array(np.array([3, -3, 1, 0]), "turn"), names]),
        "extracted": ([arg, make("ArrayFeatureExtractor", ["numbers", "i"], ["y"], **ml)], [("h", 1, n4), ("y", 1, [1, "n"])], [array(np.array([0.5, -2.5, 1e10, 3], np.float32), "numbers")]),
        "cast": ([arg, make("Cast", ["i"], ["t"], to=8), make("Cast", ["t"], ["f"], to=11), make("Cast", ["i"], ["b"], to=9), make("Cast", ["i"], ["y"], to=6)],
                 [("h", 1, n4), ("t", 8, n), ("f", 11, n), ("b", 9, n), ("y", 6, n)]),
        "towards_zero": ([make("Mul", ["h", "ten"], ["k"]), make("Cast", ["k"], ["y"], to=7), make("Cast", ["y"], ["z"], to=1), make("Cast", ["h"], ["b"], to=9)], [("h", 1, n4), ("y", 7, n4), ("z", 1, n4), ("b", 9, n4)], [array(np.float32(10), "ten")]),
        "encoded": ([arg, make("LabelEncoder", ["i"], ["y"], keys_int64s=[0, 2, 1], values_strings=["zero", "two", "one"], default_string="else", **ml),
                     make("LabelEncoder", ["y"], ["z"], keys_strings=["zero", "two", "else"], values_int64s=[100, 102, 999], default_int64=-5, **ml)], [("h", 1, n4), ("y", 8, n), ("z", 7, n)]),
        "one_hot_of_it": ([arg, make("OneHot", ["i", "depth", "pair"], ["y"])], [("h", 1, n4), ("y", 1, n4)], [array(np.int64(4), "depth"), array(np.array([0, 1], np.float32), "pair")]),
        "below": ([make("Less", ["h", "zero"], ["y"]), make("Not", ["y"], ["z"]), make("Where", ["z", "hi", "lo"], ["w2"])], [("h", 1, n4), ("y", 9, n4), ("z", 9, n4), ("w2", 1, n4)],
                  [array(np.float32(0), "zero"), array(np.float32(5), "hi"), array(np.float32(-5), "lo")]),
        "largest_three": ([make("Relu", ["h"], ["r"]), make("TopK", ["r", "k"], ["v", "i"], axis=-1), make("Gather", ["names", "i"], ["y"])],
                          [("h", 1, n4), ("v", 1, ["n", 3]), ("i", 7, ["n", 3]), ("y", 8, ["n", 3])], [array(np.array([3]), "k"), names]),
        "k_as_attribute": ([make("Relu", ["h"], ["r"]), make("TopK", ["r"], ["v", "i"], axis=1, k=2)], [("h", 1, n4), ("v", 1, ["n", 2]), ("i", 7, ["n", 2])]),
        "smallest_one": ([make("TopK", ["h", "k"], ["v", "i"], axis=1, largest=0)], [("h", 1, n4), ("v", 1, n1), ("i", 7, n1)], [array(np.array([1]), "k")]),
        "not_a_number": ([make("Log", ["h"], ["l"]), make("ArgMax", ["l"], ["y"], axis=1), make("ArgMin", ["l"], ["z"], axis=1, keepdims=0), make("TopK", ["l", "k"], ["v", "i"], axis=1),
                          make("TopK", ["l", "k"], ["u", "j"], axis=1, largest=0)], [("h", 1, n4), ("y", 7, n1), ("z", 7, n), ("i", 7, ["n", 3]), ("j", 7, ["n", 3])], [array(np.array([3]), "k")]),
        "views": ([make("ArgMax", ["h"], ["i"], axis=1), make("Flatten", ["i"], ["f"]), make("Squeeze", ["i", "axis"], ["s"]), make("Identity", ["s"], ["y"]), make("Unsqueeze", ["y", "axis"], ["z"])],
                  [("h", 1, n4), ("f", 7, n1), ("y", 7, n), ("z", 7, n1)], [array(np.array([1]), "axis")]),
    }
    del cases["first_of_equals"][0][0], top, five
    for name, case in cases.items():
        path = model(name, *case, opset=9 if name == "k_as_attribute" else 17)
        want = ort(path)
        predicted(name, path, want)
        verified(name, path, want)
    # a fixed batch is lifted, and what is reshaped to it, too; what is reshaped to something else stays in the file
    one, batch = array(np.array([1]), "s"), [("h", 1, [1, 4]), ("y", 7, [1])]
    path = model("fixed", [arg, make("Reshape", ["i", "s"], ["y"])], batch, [one], batch=1)
    j = run("fixed: inspect", "inspect", path, "--json")
    check("fixed: lifted", j.get("batch_lifted") is True and j["nodes"][-1]["verdict"] != "carried", j.get("nodes"))
    run("fixed: predict", "predict", path, "--x", tmp / "x.npy", "--output", "y", "--output", "h", "--force", "-o", tmp / "fixed.npz")
    got = np.load(tmp / "fixed.npz")
    check("fixed: each row's own", (got["y"].reshape(-1) == got["h"].argmax(1)).all(), got["y"])
    path = model("mixed", [arg, make("Reshape", ["i", "s"], ["y"])], [("h", 1, [2, 4]), ("y", 7, [1, 2])], [array(np.array([1, 2]), "s")], batch=2)
    j = run("mixed: inspect", "inspect", path, "--json")
    check("mixed: lifted", j.get("batch_lifted") is True and j["nodes"][-1]["verdict"] == "carried", j.get("nodes"))
    r = hone("predict", path, "--x", tmp / "x.npy", "--output", "y", "--force", "-o", tmp / "no.csv")
    check("mixed: said", r.returncode == 2 and "output 'y' is not computed: " in r.stderr, r.stderr)
    # with --argmax labels are made of scores: those that are there already are left out unless named
    path = tmp / "looked_up.onnx"
    run("--argmax", "predict", path, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "a.csv")
    check("--argmax: of the scores", (tmp / "a.csv").read_text().split("\n")[:2] == ["h", str(ort(path)["h"][0].argmax())])
    run("--argmax, named", "predict", path, "--x", tmp / "x.npy", "--argmax", "--output", "z", "--output", "h", "--force", "-o", tmp / "a.npz")
    check("--argmax, named: both", list(np.load(tmp / "a.npz")) == ["z", "h"] and np.load(tmp / "a.npz")["h"].shape == (len(x),))
    # text labels that were predicted are labels to judge by, as NumPy writes them, too
    text = HERE / "sk_text.onnx"
    run("text labels", "predict", text, "--x", tmp / "x.npy", "--output", "output_label", "--force", "-o", tmp / "t.npy")
    np.save(tmp / "s.npy", np.char.encode(np.load(tmp / "t.npy"), "utf-8"))
    for y in ("t.npy", "s.npy"):
        j = run(f"judged by {y}", "eval", text, "--x", tmp / "x.npy", "--y", tmp / y, "--json")
        check(f"{y}: all right", j.get("accuracy") == 1, j)
    run("one array", "predict", path, "--x", tmp / "x.npy", "--force", "-o", tmp / "a.npy")
    check("one array: the scores", apart(np.load(tmp / "a.npy"), ort(path)["h"]) <= 1e-5)


def ties():
    """Scores that differ by less than the tolerance: the other label is a tie; by more: it is wrong."""
    apart_by = {"near": 1e-4, "far": 1e-2}
    for name, by in apart_by.items():
        b = array(np.array([0, by, -9, -9], np.float32), "b")
        nodes = [make("Mul", ["h", "null"], ["k"]), make("Add", ["k", "one"], ["l"]), make("Add", ["l", "b"], ["s"]), make("ArgMax", ["s"], ["i"], axis=1, keepdims=0), make("Gather", ["names", "i"], ["y"])]
        path = model(name, nodes, [("y", 8, ["n"])], [b, array(np.float32(0), "null"), array(np.float32(1), "one"), array(np.array(["a", "b", "c", "d"], dtype=object), "names")])
        other = lambda n, y: np.array(["a"] * len(y), dtype=object)
        j = run(f"{name}: another label", "verify", path, vectors(path, tmp / "v", other), "--json", code=0 if name == "near" else 1)
        check(f"{name}: ties", j.get("ties") == (len(x) if name == "near" else 0), j)
        check(f"{name}: not just any label", run(f"{name}: c", "verify", path, vectors(path, tmp / "v", lambda n, y: np.array(["c"] * len(y), dtype=object)), "--json", code=1).get("ties") == 0)
        check(f"{name}: nor one that is none", run(f"{name}: e", "verify", path, vectors(path, tmp / "v", lambda n, y: np.array(["e"] * len(y), dtype=object)), "--json", code=1).get("ties") == 0)


def refusals():
    """What is not computed is carried, and why is said; the scores are computed all the same."""
    ml, n = dict(domain="ai.onnx.ml"), ["n"]
    arg = make("ArgMax", ["h"], ["i"], axis=1, keepdims=0)
    names = array(np.array(["a", "b", "c", "d"], dtype=object), "names")
    cases = {
        "over the rows": ([make("ArgMax", ["h"], ["y"], axis=0, keepdims=0)], [("h", 1, ["n", 4]), ("y", 7, [4])], [], "ArgMax along dim 0"),
        "a list too short": ([arg, make("Gather", ["few", "i"], ["y"])], [("h", 1, ["n", 4]), ("y", 7, n)], [array(np.array([1, 2]), "few")], "element 2 of a list of 2"),
        "text that is no number": ([arg, make("Gather", ["names", "i"], ["t"]), make("Cast", ["t"], ["y"], to=7)], [("h", 1, ["n", 4]), ("y", 7, n)], [names], "Cast of 'a' to int64"),
        "calculation with labels": ([arg, make("Gather", ["codes", "i"], ["t"]), make("Mul", ["t", "codes"], ["y"])], [("h", 1, ["n", 4]), ("y", 7, [4])], [array(np.array([1, 2, 3, 4]), "codes")], "which are labels"),
        "an encoder of nothing known": ([make("Cast", ["h"], ["k"], to=7), make("LabelEncoder", ["k"], ["y"], keys_int64s=[0], values_strings=["a"], **ml)], [("h", 1, ["n", 4]), ("y", 8, ["n", 4])], [], "LabelEncoder of what is no label"),
        "the largest few in any order": ([make("TopK", ["h", "k"], ["v", "y"], axis=1, sorted=0)], [("h", 1, ["n", 4]), ("y", 7, ["n", 2])], [array(np.array([2]), "k")], "TopK in no order"),
        "more than there are": ([make("TopK", ["h", "k"], ["v", "y"], axis=1)], [("h", 1, ["n", 4]), ("y", 7, ["n", 5])], [array(np.array([5]), "k")], "TopK of 5"),
    }
    for name, (nodes, outputs, initializers, why) in cases.items():
        path = model("refused", nodes, outputs, initializers)
        j = run(f"{name}: inspect", "inspect", path, "--json")
        check(f"{name}: why", any(why in m["why"] and m["verdict"] == "carried" for m in j.get("nodes", [])), [m["why"] for m in j.get("nodes", [])])
        run(f"{name}: the scores", "predict", path, "--x", tmp / "x.npy", "--force", "-o", tmp / "s.npz")
        check(f"{name}: only they", list(np.load(tmp / "s.npz")) == ["h"])
        r = hone("predict", path, "--x", tmp / "x.npy", "--output", "y", "--force", "-o", tmp / "no.csv")
        check(f"{name}: named", r.returncode == 2 and "output 'y' is not computed" in r.stderr, r.stderr)


models()
trained()
tails()
ties()
refusals()
_common.finish("labels", tmp)
