#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ids that are rows of embeddings: a category that nobody knows is never another's row; a padding row (tests/data/make_padding_refs.py)
learns nothing, as in PyTorch; columns of one table call the same the same."""
import csv

import _common
from _common import DATA, apart, check, folder, hone, np, onnx, ort_rows, run, tensors
from onnx import TensorProto, helper, numpy_helper

tmp = folder()
rng = np.random.default_rng(4)
OUT, NEW = tmp / "out.onnx", tmp / "new.csv"
HOW = ["--target", "y", "--epochs", "2", "--quiet", "--force", "-o", OUT]


def model(name, inputs, tables, nodes, features):
    """The nodes make `features` numbers a row, "f", which one layer takes."""
    weights = {k: rng.normal(size=(n, 3)).astype(np.float32) for k, n in tables.items()}
    weights |= {"w": rng.normal(size=(features, 1)).astype(np.float32), "b": np.zeros(1, np.float32)}
    graph = helper.make_graph([*nodes, helper.make_node("Gemm", ["f", "w", "b"], ["logit"])], name,
                              [helper.make_tensor_value_info(k, TensorProto.INT64, ["N", *d]) for k, d in inputs.items()],
                              [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", 1])],
                              [numpy_helper.from_array(v, k) for k, v in weights.items()])
    path = tmp / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def write(path, rows):
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return path


def refused(what, said, *args, status=2):
    r = hone(*args)
    check(what, r.returncode == status and all(s in r.stderr for s in said), (r.returncode, r.stderr[-600:]))


def scores(what, *args):
    r = hone("predict", OUT, "--data", NEW, *args, "--force", "-o", tmp / "p.csv")
    check(what, r.returncode == 0, r.stderr[-400:])
    return [line[0] for line in list(csv.reader(open(tmp / "p.csv")))[1:]] if r.returncode == 0 else []


def unknown():
    """Five users, in a table of as many rows and in one of more."""
    rows = [{"user": u, "y": int(u == "e")} for u in "abcde"] * 8
    data = ["--data", write(tmp / "users.csv", rows), "--encode", "user=ordinal", *HOW]
    write(NEW, [{"user": u} for u in ("a", "e", "zz")])
    gather = [helper.make_node("Gather", ["e.weight", "user"], ["f"])]
    tight, wide = (model(name, {"user": []}, {"e.weight": n}, gather, 3) for name, n in (("tight", 5), ("wide", 8)))
    where = "column 'user' is looked up in table 'e.weight' (5 rows): there -1, which unknown categories are to be, is the row of another category"
    refused("ignore is refused", (where, "--unknown user=error, or one of its 5 categories, or in training infrequent:N\n"), "train", tight, *data, "--unknown", "ignore")
    refused("and what else is below 0", ("there -3,",), "train", tight, *data, "--unknown", "user=-3")
    refused("and rare ones where there are none", (where,), "train", tight, *data, "--unknown", "infrequent:2")
    refused("a row to spare is named", ("(8 rows)", "or 6, a row of the table that no category has"), "train", wide, *data, "--unknown", "ignore")
    run("takes it", "train", wide, *data, "--unknown", "user=6")
    got = scores("has a row of its own")
    check("which is no other's", len(set(got)) == 3, got)

    run("nothing chosen", "train", tight, *data)
    refused("an unknown one", ("row 4, column 'user': found 'zz'", "--unknown user=CATEGORY takes it as one of them"), "predict", OUT, "--data", NEW, "-o", tmp / "no.csv", status=4)
    refused("ignored late", ("row 4", where), "predict", OUT, "--data", NEW, "--unknown", "ignore", "-o", tmp / "no.csv", status=4)
    got = scores("as another", "--unknown", "user=e")
    check("is that", got[1:] == [got[1]] * 2 and got[0] != got[1], got)
    write(NEW, [{"user": u} for u in ("a", "e")])
    scores("none is unknown", "--unknown", "ignore")

    nodes = [helper.make_node("Add", ["user", "one"], ["up"]), helper.make_node("Gather", ["e.weight", "up"], ["f"])]
    path = model("shifted", {"user": []}, {"e.weight": 6}, nodes, 3)
    shifted = onnx.load(path)
    shifted.graph.initializer.append(numpy_helper.from_array(np.int64(1), "one"))
    onnx.save(shifted, path)
    r = hone("train", path, *[a for a in data if a != "--quiet"], "--unknown", "ignore")
    check("a model that counts from -1 itself", r.returncode == 0 and "of which the model computes an index of table 'e.weight'" in r.stderr, r.stderr[-400:])
    number = [helper.make_node("Cast", ["user"], ["f"], to=TensorProto.FLOAT)]
    run("no index", "train", model("number", {"user": [1]}, {}, number, 1), *data, "--unknown", "ignore")


PADDED = DATA / "padding"
OPTIMIZERS = {"sgd": ["sgd", "--lr", "0.05"], "momentum": ["momentum", "--lr", "0.02", "--weight-decay", "0.1"], "adam": ["adam", "--lr", "0.01"],
              "adamw": ["adamw", "--lr", "0.01", "--weight-decay", "0.1"]}


def padding():
    """PyTorch's default exporter says which row it is, in the legacy one's file a row of zeros may be one."""
    refs = np.load(PADDED / "refs.npz")
    data = ["--x", f"h={PADDED / 'refs.npz'}:h", "--x", f"k={PADDED / 'refs.npz'}:k", "--y", f"{PADDED / 'refs.npz'}:y", "--loss", "mse"]
    how = [*data, "--epochs", "4", "--batch-size", "16", "--no-shuffle", "--save", "last", "--force", "-o", OUT]
    dynamo, legacy = PADDED / "dynamo.onnx", PADDED / "legacy.onnx"
    before, worst = tensors(dynamo), 0.0

    def rows(what, path, *args, still=(("e.weight", 0),)):
        run(what, "train", path, *how, "--quiet", *args)
        after = tensors(OUT)
        for name, row in still:
            check(f"{what}: row {row} of {name} keeps its bits", before[name][row].tobytes() == after[name][row].tobytes(), after[name][row])
        return after

    for optimizer, options in OPTIMIZERS.items():
        decays = "--weight-decay" in options
        after = rows(optimizer, dynamo, "--optimizer", *options, still=(("e.weight", 0),) if decays else (("e.weight", 0), ("f.weight", 1)))
        for name in ("e.weight", "f.weight", "out.0.weight", "out.0.bias", "out.2.weight", "out.2.bias"):
            off = apart(after[name], refs[f"{optimizer}/{name}"])
            worst = max(worst, off)
            check(f"{optimizer}: {name} as PyTorch's", off <= 2e-5, off)
    print(f"padding: largest distance from PyTorch's tensors {worst:.1e} of 2e-05 allowed")
    rows("L1 and clipping", dynamo, "--optimizer", "adam", "--lr", "0.01", "--l1", "0.01", "--clip-norm", "0.1", "--ema", "0.5")
    fresh = rows("fresh", dynamo, "--init", "fresh", "--optimizer", "adam", "--lr", "0.01", still=(("e.weight", 0), ("f.weight", 1)))
    check("fresh: the other rows are drawn", not np.any(fresh["e.weight"][1:] == before["e.weight"][1:]))
    once = rows("in one go", dynamo, "--optimizer", "adam", "--lr", "0.01", "--epochs", "6")
    rows("a run", dynamo, "--optimizer", "adam", "--lr", "0.01", "--keep-run")
    run("goes on", "resume", f"{OUT}.run", "--epochs", "+2", "--quiet")
    check("a run that goes on is the same", all(np.array_equal(once[k], v) for k, v in tensors(OUT).items()))
    run("a search", "tune", dynamo, *data, "--search", "lr=0.01,0.1", "--epochs", "2", "--val-split", "0.25", "--quiet", "--force", "-o", tmp / "won.onnx")
    won = tensors(tmp / "won.onnx")["e.weight"]
    check("a search's winner", np.all(won[0] == 0) and not np.array_equal(won, before["e.weight"]))
    double = onnx.load(dynamo)
    for t in double.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float64), t.name))
    for v in [*double.graph.output, *double.graph.value_info]:
        v.type.tensor_type.elem_type = TensorProto.DOUBLE
    onnx.save(double, tmp / "double.onnx")
    run("float64", "train", tmp / "double.onnx", *how, "--quiet", "--optimizer", *OPTIMIZERS["adamw"])
    check("float64: the row stays", np.all(tensors(OUT)["e.weight"][0] == 0) and apart(tensors(OUT)["e.weight"], refs["adamw/e.weight"]) < 2e-5)
    run("the gradient is what it is said to be", "gradcheck", dynamo)

    said = "row 0 of 'e.weight' is all zero and learns: the file does not say whether it is a padding row (--freeze 'e.weight[0]' keeps it"
    adam = ["--optimizer", "adam", "--lr", "0.01"]
    for command in (["inspect", legacy], ["train", legacy, *how, *adam]):
        r = hone(*command)
        check(f"{command[0]} names it", r.returncode == 0 and said in r.stdout + r.stderr, r.stdout + r.stderr)
    check("it learns", np.any(tensors(OUT)["e.weight"][0] != 0))
    for path, args in ((dynamo, []), (legacy, ["--freeze", "e.weight[0]"])):
        r = hone("train", path, *how, *adam, *args)
        check(f"{path.name} {args}: nothing to name", r.returncode == 0 and "padding" not in r.stderr, r.stderr)
    frozen = rows("frozen rows", legacy, "--freeze", "e.weight[0]", "--freeze", "f.w*[1]", *adam, still=(("e.weight", 0), ("f.weight", 1)))
    check("are PyTorch's padding", all(apart(v, refs[f"adam/{k}"]) <= 2e-5 for k, v in frozen.items() if f"adam/{k}" in refs.files))
    rows("a row of zeros does not decay", legacy, "--freeze", "e.weight[0]", "--optimizer", *OPTIMIZERS["adamw"])
    run("frozen, to go on", "train", legacy, *how, "--quiet", "--freeze", "e.weight[0]", *adam, "--keep-run")
    run("goes on", "resume", f"{OUT}.run", "--epochs", "+2", "--quiet")
    check("and stays", np.all(tensors(OUT)["e.weight"][0] == 0))
    for glob, words in (("e.weight[9]", ("table 'e.weight' has 9 rows",)), ("out.0.weight[0]", ("'out.0.weight' is no table that is only looked up",)),
                        ("g.weight[0]", ("found 'g.weight[0]'", "among the model's tensors are")), ("e.weight[x]", ("found 'e.weight[x]'",))):
        refused(f"--freeze {glob}", words, "train", legacy, *how, *adam, "--freeze", glob)
    refused("another row beside padding", ("found 'e.weight[3]', but row 0 of 'e.weight' does not learn already",), "train", dynamo, *how, *adam, "--freeze", "e.weight[3]")
    refused("a row that decay would move", ("row 1 of 'f.weight' is not zero, and weight decay would move it", "--weight-decay 0"), "train", legacy, *how, "--freeze", "f.weight[1]",
            "--optimizer", "adamw", "--lr", "0.01")
    refused("or L1", ("and L1 would move it", "--l1 0"), "train", legacy, *how, *adam, "--freeze", "f.weight[1]", "--l1", "0.1")


def words(path, column):
    """The list of a column in the record that travels with the model."""
    text = {p.key: p.value for p in onnx.load(path).metadata_props}["hone.table"]
    line = next(line for line in text.split("\n") if line.split("\t")[1:3] == [column, "ordinal"])
    return line.split("\t")[4:]


def shared():
    """An item and those before it, in one table: what they call the same is one row, in training and later. Columns that the model gives an
    offset each in one table, and columns of another table, keep lists of their own."""
    items = [f"it{i}" for i in range(9)]
    rows = [{"city": "KLM"[i % 3], "item": items[i % 5], "h0": items[2 + i % 4], "h1": items[4 + i % 5], "more": "xyz"[i % 3], "y": i % 2} for i in range(60)]
    table, encode = write(tmp / "shared.csv", rows), ["--encode", "city=onehot,item=ordinal,h0=ordinal,h1=ordinal,more=ordinal"]
    nodes = [helper.make_node("Gather", ["e.weight", "item"], ["a"]), helper.make_node("Gather", ["e.weight", "hist"], ["before"]),
             helper.make_node("ReduceSum", ["before", "one"], ["s"], keepdims=0), helper.make_node("Mul", ["a", "s"], ["m"]),
             helper.make_node("Gather", ["o.weight", "more"], ["d"]), helper.make_node("Cast", ["city"], ["k"], to=TensorProto.FLOAT),
             helper.make_node("Concat", ["m", "d", "k"], ["f"], axis=1)]
    inputs = {"city": [3], "item": [], "hist": [2], "more": []}

    def path_of(name, n):
        path = model(name, inputs, {"e.weight": n, "o.weight": 4}, nodes, 9)
        m = onnx.load(path)
        m.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
        onnx.save(m, path)
        return path

    path = path_of("shared", 10)
    data = ["--data", table, "--input", "city=city", "--input", "item=item", "--input", "hist=h0,h1", "--input", "more=more", *encode]
    loud = [a for a in HOW if a != "--quiet"]
    r = hone("train", path, *data, *loud, "--val-data", table)
    check("train", r.returncode == 0 and "columns 'item', 'h0', 'h1' are looked up in one table of the model: they have one list of 9 categories" in r.stderr, r.stderr)
    check("one list", all(words(OUT, c)[:9] == items for c in ("item", "h0", "h1")) and words(OUT, "more")[:3] == ["x", "y", "z"], [words(OUT, c) for c in ("item", "h0", "h1")])
    new = [{"city": "L", "item": "it8", "h0": "it0", "h1": "it1", "more": "z"}, {"city": "M", "item": "it0", "h0": "it3", "h1": "it8", "more": "x"}]
    write(NEW, new)
    got = np.array(scores("items that a column did not have, others did"), float)
    number = lambda cells: np.array([[items.index(c) for c in row] for row in cells])
    feeds = {"city": np.eye(3, dtype=np.int64)[[1, 2]], "item": number([[r["item"]] for r in new])[:, 0], "hist": number([[r["h0"], r["h1"]] for r in new]), "more": np.array([2, 0])}
    want = ort_rows(OUT, feeds, 2)["logit"][:, 0]
    check("are their rows", got.shape == (2,) and np.max(np.abs(got - want)) < 1e-5, (got, want))
    run("trained on", "train", OUT, *data[:2], "--target", "y", "--epochs", "1", "--quiet", "-o", tmp / "again.onnx")
    check("by the record", all(words(tmp / "again.onnx", c)[:9] == items for c in ("item", "h0", "h1")))
    gaps = write(tmp / "gaps.csv", [dict(row, h0="" if i % 7 == 0 else row["h0"]) for i, row in enumerate(rows)])
    run("missing cells", "train", path, "--data", gaps, *data[2:], *HOW, "--impute", "h0=missing,item=missing,h1=missing", "--unknown", "item=missing,h0=missing,h1=missing")
    check("are one row, too", all(words(OUT, c)[:9] == items and len(words(OUT, c)) == 10 for c in ("item", "h0", "h1")))
    run("unknown ones", "train", path, *data, *HOW, "--unknown", "h1=it4")
    write(NEW, [dict(new[0], h1="zz"), dict(new[0], h1="it4")])
    got = scores("as a category")
    check("which has the shared number", len(set(got)) == 1, got)
    refused("a number of the shared list", ("--unknown '8'", "column 'h0' shares with others"), "train", path, *data, *HOW, "--unknown", "h0=8")
    refused("rare ones", ("columns 'item', 'h0', 'h1' are looked up in one table",), "train", path, *data, *HOW, "--unknown", "infrequent:13")
    refused("a table too small for all", ("found index 7, wanted 0 to 6: table 'e.weight' has 7 rows",), "train", path_of("small", 7), *data, *HOW, status=4)

    nodes = [helper.make_node("Add", ["c", "offsets"], ["up"]), helper.make_node("Gather", ["e.weight", "up"], ["g"]), helper.make_node("Flatten", ["g"], ["f"])]
    path = model("offsets", {"c": [2]}, {"e.weight": 9}, nodes, 6)
    m = onnx.load(path)
    m.graph.initializer.append(numpy_helper.from_array(np.array([0, 5]), "offsets"))
    onnx.save(m, path)
    r = hone("train", path, "--data", table, "--features", "item,h0", "--encode", "item=ordinal,h0=ordinal", *loud)
    check("rows of their own", r.returncode == 0 and "one list" not in r.stderr and len(words(OUT, "item")) < 9, r.stderr)
    nodes = [helper.make_node("Gather", ["e.weight", "c"], ["g"]), helper.make_node("Flatten", ["g"], ["f"])]
    r = hone("train", model("one_input", {"c": [2]}, {"e.weight": 9}, nodes, 6), "--data", table, "--features", "item,h0", "--encode", "item=ordinal,h0=ordinal", *loud)
    check("columns of one input", r.returncode == 0 and "columns 'item', 'h0' are looked up in one table of the model: they have one list of 6" in r.stderr, r.stderr)


unknown()
padding()
shared()
_common.finish("ids", tmp)
