#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ids that are rows of embeddings: a category that nobody knows is never another's row; a padding row (tests/data/make_padding_refs.py)
learns nothing, as in PyTorch."""
import csv

import _common
from _common import DATA, apart, check, folder, hone, np, onnx, run, tensors
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


unknown()
padding()
_common.finish("ids", tmp)
