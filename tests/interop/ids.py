#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ids of tables that are rows of embeddings: a category that nobody knows is never another's row."""
import csv

import _common
from _common import check, folder, hone, np, onnx, run
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


unknown()
_common.finish("ids", tmp)
