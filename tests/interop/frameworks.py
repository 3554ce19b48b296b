#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras and JAX models as their exporters write them (tests/data/make_keras_models.py, make_keras_backend_models.py, make_jax_models.py):
computed as ONNX Runtime does, with as many numbers that learn as the framework counts, gradients that agree, and after training a file that
ONNX Runtime opens. Fresh weights leave none of those numbers as it was without a word. BatchNormalization that Keras writes out with JAX trains as the operator does, but
for the running variance, which takes in Keras' variance of a batch, and on rows of several places as Keras trains it.

usage: frameworks.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, checker, folder, hone, inputs, load, np, onnx, ort_rows, predict, run, tensors

HERE = DATA / "frameworks"
ROWS = 48
tmp = folder()


def feeds_of(path):
    """Numbers, and for integers indices of a table of 5, also counted from its end where PyTorch's Keras allows for that."""
    rng, feeds = np.random.default_rng(3), {}
    for name, kind, dims in inputs(load(path)):
        low = -5 if "torch" in path.stem else 0
        feeds[name] = rng.integers(low, 5, (ROWS, dims[1])).astype(np.int32) if kind == np.int32 else rng.normal(size=(ROWS, *dims[1:])).astype(np.float32)
    return feeds


def data_of(feeds):
    args = []
    for name, x in feeds.items():
        np.save(tmp / f"{name}.npy", x)
        args += ["--x", f"{name}={tmp / f'{name}.npy'}"]
    return args


def one(path, learn):
    what, out, fresh = path.stem, tmp / "out.onnx", tmp / "fresh.onnx"
    feeds = feeds_of(path)
    x = feeds[inputs(load(path))[0][0]]
    want = ort_rows(path, feeds, ROWS)
    output = next(iter(want))
    got = predict(f"{what}: predict", path, feeds, tmp, output)
    if got is None:
        return
    check(f"{what}: as ONNX Runtime", apart(got, want[output]) <= 2e-6, apart(got, want[output]))
    j = run(f"{what}: inspect", "inspect", path, "--json")
    check(f"{what}: numbers that learn", j["trainable_parameters"] == learn, (j["trainable_parameters"], learn))
    run(f"{what}: gradcheck", "gradcheck", path)
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--force", "-o", out)
    check(f"{what}: the same bytes", out.read_bytes() == path.read_bytes())
    np.save(tmp / "y.npy", np.tanh(want[output] + x.reshape(ROWS, -1)[:, :1]))
    run(f"{what}: train", "train", path, *data_of(feeds), "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "3", "--batch-size", "8", "--save", "last", "--quiet", "--force", "-o", out)
    before, after = tensors(path), tensors(out)
    moved = sum(int((before[k] != after[k]).sum()) for k in before)
    check(f"{what}: what learns moves", moved >= 0.9 * learn, (moved, learn))
    check(f"{what}: onnx.checker", not checker(load(path)) or checker(load(out)))
    got = predict(f"{what}: trained", out, feeds, tmp, output)
    check(f"{what}: trained, as ONNX Runtime", got is not None and apart(got, ort_rows(out, feeds, ROWS)[output]) <= 2e-6)
    r = hone("train", out, "--epochs", "0", "--init", "fresh", "--force", "-o", fresh)
    begun, line = tensors(fresh), next((t for t in r.stderr.splitlines() if t.startswith("--init leaves")), "")
    named = line.partition(": ")[2].split(", ")
    moved = sum(int(((begun[k] != after[k]) | (after[k] == 0)).sum()) for k in after if k not in named)
    left = sum(after[k].size for k in named if k)
    check(f"{what}: fresh weights are all of them, or named", r.returncode == 0 and moved >= learn - left and left <= 16, (moved, learn, line))


def with_operator(m):
    """The model with BatchNormalization for the arithmetic on constants between its first Add and what follows."""
    made = {v: n for n in m.graph.node for v in n.output}

    def root(v):
        return root(made[v].input[0]) if v in made else v

    node = {kind: [n for n in m.graph.node if n.op_type == kind] for kind in ("Sqrt", "Neg", "Relu")}
    eps = made[node["Sqrt"][0].input[0]]
    last = made[node["Relu"][0].input[0]]
    product, shift = made[last.input[0]], made[last.input[1]]
    scale = made[product.input[1]].input[1]
    part = [product.input[0], root(scale), root(shift.input[1]), root(node["Neg"][0].input[0]), root(eps.input[0])]
    norm = onnx.helper.make_node("BatchNormalization", part, last.output, "norm", momentum=0.99, epsilon=1e-3)
    first, after = list(m.graph.node)[:2], list(m.graph.node)
    after = after[after.index(node["Relu"][0]):]
    del m.graph.node[:]
    m.graph.node.extend(first + [norm] + after)
    return m, part[1:]


def batchnorm():
    path, plain, out, ref = HERE / "keras_jax_batchnorm.onnx", tmp / "plain.onnx", tmp / "out.onnx", tmp / "ref.onnx"
    m, part = with_operator(load(path))
    onnx.save(m, plain)
    feeds = feeds_of(path)
    np.save(tmp / "y.npy", np.random.default_rng(4).normal(size=(ROWS, 2)).astype(np.float32))
    for how in (["--optimizer", "sgd", "--lr", "0.05"], ["--lr", "0.01", "--weight-decay", "0.1", "--no-decay", "norm"], ["--batchnorm", "freeze"]):
        for source, to in ((path, out), (plain, ref)):
            run(f"{how}: train", "train", source, *data_of(feeds), "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "5", "--batch-size", "8", "--save", "last", "--quiet", "--force", *how, "-o", to)
        was, got, want = tensors(path), tensors(out), tensors(ref)
        if "freeze" not in how:  # of 8 values each: 1/8 of their squares' sum, where the operator takes 1/7
            kept = was[part[3]] * 0.99 ** (5 * ROWS // 8)
            want[part[3]] = kept + (want[part[3]] - kept) * 7 / 8
        off = max(apart(got[k], want[k]) for k in want if want[k].dtype == np.float32 and "--lr" not in how[:1] or k in part)
        check(f"batchnorm, {' '.join(how)}: as the operator", off <= 2e-5, off)
        check(f"batchnorm, {' '.join(how)}: statistics", all(np.array_equal(got[k], was[k]) == ("freeze" in how) for k in part))


def places():
    """[rows, places, columns]: statistics over rows and places, trained by Keras itself."""
    path, out, ref = HERE / "keras_jax_places.onnx", tmp / "out.onnx", np.load(HERE / "keras_jax_places.npz")
    np.save(tmp / "x.npy", ref["x"])
    np.save(tmp / "y.npy", ref["y"])
    data = ["--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "6", "--batch-size", "8", "--optimizer", "sgd", "--lr", "0.05", "--no-shuffle", "--save", "last"]
    run("places: train", "train", path, *data, "--quiet", "--force", "-o", out)
    name = inputs(load(path))[0][0]
    off = apart(next(iter(ort_rows(out, {name: ref["x"]}, len(ref["x"])).values())), ref["trained"])
    check("places: as Keras trains it", off <= 5e-6, off)
    was, got = tensors(path), tensors(out)
    near = min(apart(v, ref["variance"]) for v in got.values())
    check("places: the running variance", near <= 2e-6 and not any(np.array_equal(v, ref["variance"]) for v in was.values()), near)
    run("places: frozen", "train", path, *data, "--batchnorm", "freeze", "--quiet", "--force", "-o", out)
    got = tensors(out)
    same = sum(np.array_equal(v, was[k]) for k, v in got.items() if v.shape == ref["variance"].shape)
    check("places: frozen, its four vectors stay", same == 4, same)


def rebuilt():
    """Other hidden layers and BatchNormalization between bias and activation, where a Cast or a Gemm stands in front of the bias."""
    for name in ("keras_torch_relu", "jax_plain"):
        path, out = HERE / f"{name}.onnx", tmp / "out.onnx"
        feeds = feeds_of(path)
        np.save(tmp / "y.npy", np.random.default_rng(4).normal(size=(ROWS, 3)).astype(np.float32))
        for how in (["--hidden-units", "7"], ["--hidden-layers", "3"], ["--activation", "tanh"], ["--batchnorm", "insert"]):
            what = f"{name}, {' '.join(how)}"
            out.unlink(missing_ok=True)
            run(what, "train", path, *data_of(feeds), "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "2", "--quiet", *how, "-o", out)
            if not out.exists():
                continue
            m = load(out)
            kinds = [n.op_type for n in m.graph.node]
            check(f"{what}: no idle Cast", "Cast" not in kinds, kinds)
            if "insert" in how:
                norms = [n.input[0] for n in m.graph.node if n.op_type == "BatchNormalization"]
                adds = [n.output[0] for n in m.graph.node if n.op_type == "Add"]
                check(f"{what}: behind the bias", norms == adds[:-1], (norms, adds))
            output = m.graph.output[0].name
            got, want = predict(what, out, feeds, tmp, output), ort_rows(out, feeds, ROWS)[output]
            check(f"{what}: as ONNX Runtime", got is not None and apart(got, want) <= 2e-6)


def two_outputs():
    """Target data that name the outputs say which of them learn."""
    h, rng = onnx.helper, np.random.default_rng(5)
    floats = {"w": (4, 8), "a": (8, 3), "b": (8, 1)}
    m = h.make_model(h.make_graph(
        [h.make_node("MatMul", ["x", "w"], ["h"]), h.make_node("MatMul", ["h", "a"], ["cls"]), h.make_node("MatMul", ["h", "b"], ["reg"])], "two",
        [h.make_tensor_value_info("x", 1, ["N", 4])], [h.make_tensor_value_info("cls", 1, ["N", 3]), h.make_tensor_value_info("reg", 1, ["N", 1])],
        [onnx.numpy_helper.from_array(rng.normal(size=s).astype(np.float32), k) for k, s in floats.items()]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    path, out = tmp / "two.onnx", tmp / "out.onnx"
    onnx.save(m, path)
    np.save(tmp / "x.npy", rng.normal(size=(ROWS, 4)).astype(np.float32))
    np.save(tmp / "cls.npy", rng.integers(0, 3, ROWS))
    np.save(tmp / "reg.npy", rng.normal(size=(ROWS, 1)).astype(np.float32))
    data, named = ["--x", tmp / "x.npy"], ["--y", f"reg={tmp / 'reg.npy'}", "--y", f"cls={tmp / 'cls.npy'}"]
    run("two outputs", "train", path, *data, *named, "--epochs", "2", "--force", "--quiet", "-o", out)
    check("two outputs: all learn", all(not np.array_equal(v, tensors(out)[k]) for k, v in tensors(path).items()))
    run("one of them", "train", path, *data, *named[2:], "--epochs", "2", "--force", "--quiet", "-o", out)
    check("one of them: the other stays", np.array_equal(tensors(out)["b"], tensors(path)["b"]) and not np.array_equal(tensors(out)["a"], tensors(path)["a"]))
    r = hone("train", path, *data, "--y", tmp / "reg.npy", "--force", "--quiet", "-o", out)
    check("without a name", r.returncode != 0 and "several outputs could learn: cls, reg" in r.stderr, r.stderr)


def one_for_all():
    feeds = feeds_of(HERE / "keras_jax_embedding.onnx")
    feeds["i"] = feeds["i"][:1]
    r = hone("predict", HERE / "keras_jax_embedding.onnx", *data_of(feeds), "-o", tmp / "p.npy", "--force")
    check("one row for all: what to do", r.returncode != 0 and "1 rows" in r.stderr and "repeated for each" in r.stderr, r.stderr)


def normalised():
    """Keras' Normalization by tf2onnx: mean and deviation are inputs of one row, which is there for every row, in every role."""
    h, rng = onnx.helper, np.random.default_rng(6)
    floats = {"w0": (6, 8), "b0": (8,), "w1": (8, 2), "b1": (2,)}
    weights = [onnx.numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in floats.items()]
    nodes = [h.make_node("Sub", ["x", "mean"], ["c"]), h.make_node("Div", ["c", "dev"], ["n"]), h.make_node("MatMul", ["n", "w0"], ["a"]), h.make_node("Add", ["a", "b0"], ["b"]),
             h.make_node("Relu", ["b"], ["r"]), h.make_node("MatMul", ["r", "w1"], ["d"]), h.make_node("Add", ["d", "b1"], ["y"])]
    x = (rng.normal(size=(ROWS, 6)) * 3 + 5).astype(np.float32)
    row = {"mean": x.mean(0, keepdims=True), "dev": x.std(0, keepdims=True)}
    for name, a in {"x": x, "y": rng.normal(size=(ROWS, 2)).astype(np.float32), **row}.items():
        np.save(tmp / f"{name}.npy", a)
    for name, batch in (("rows", "unk__6"), ("fixed", 1)):
        ins = [h.make_tensor_value_info("x", 1, [batch, 6])]
        for extra, inits in ((row, weights), ({}, weights + [onnx.numpy_helper.from_array(a, n) for n, a in row.items()])):
            g = h.make_graph(nodes, "tf2onnx", ins + [h.make_tensor_value_info(n, 1, [1, 6]) for n in extra], [h.make_tensor_value_info("y", 1, ["unk__7", 2])], inits)
            onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 15)], ir_version=8), tmp / f"{name}{len(extra)}.onnx")
    one = ["--x", f"x={tmp / 'x.npy'}", "--x", f"mean={tmp / 'mean.npy'}", "--x", f"dev={tmp / 'dev.npy'}"]
    for how in ([], ["--scale", "standard"]):
        for path, data in ((tmp / "rows2.onnx", one), (tmp / "rows0.onnx", ["--x", tmp / "x.npy"])):
            run(f"normalised {how}: {path.stem}", "train", path, *data, "--y", tmp / "y.npy", "--loss", "mse", "--val-split", "0.25", "--epochs", "3", "--lr", "0.05", "--quiet", "--force", *how,
                *(["--scale-again"] if how else []), "-o", tmp / f"{path.stem}_out.onnx")
        a, b = tensors(tmp / "rows2_out.onnx"), tensors(tmp / "rows0_out.onnx")
        check(f"normalised {how}: as with initializers", all(np.array_equal(a[n], b[n]) for n in floats), {n: apart(a[n], b[n]) for n in floats})
    run("normalised: predict", "predict", tmp / "rows2.onnx", *one, "--force", "-o", tmp / "p.npy")
    want = _common.session(tmp / "rows2.onnx").run(None, {"x": x, **row})[0]
    check("normalised: as ONNX Runtime", apart(np.load(tmp / "p.npy"), want) <= 2e-6)
    r = hone("predict", tmp / "fixed2.onnx", *one, "-o", tmp / "p.npy", "--force")
    check("normalised: where any batch is 1, each row wants its own", r.returncode == 4 and "numpy.repeat" in r.stderr, r.stderr)


def main():
    if len(sys.argv) < 3:
        batchnorm()
        places()
        rebuilt()
        two_outputs()
        one_for_all()
        normalised()
    for framework in ("keras", "jax", "keras_jax", "keras_torch"):
        for name, learn in json.loads((HERE / f"{framework}.json").read_text()).items():
            if len(sys.argv) < 3 or sys.argv[2] in f"{framework}_{name}":
                one(HERE / f"{framework}_{name}.onnx", learn)
    _common.finish("frameworks", tmp)


main()
