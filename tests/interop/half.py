#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""float16 and bfloat16 models (tests/data/half, made by tests/data/make_half.py) beside ONNX Runtime and onnx.reference.

Exactly, against the same graph with every half type replaced by float32 and the same numbers: that is what Hone computes.
Within the tolerance of the type, against a runtime that rounds (ONNX Runtime has no bfloat16 kernels on the CPU: there it is
onnx.reference). Trained: what is written is in the file's type, `hone eval` of it gives the figures of the run, float32 is what
a resumed run goes on from, every form of storage ends with the same numbers, and graph edits fit the types around them.

usage: half.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, checker, folder, inputs, load, np, onnx, predict, run, session, skip

try:
    import ml_dtypes
    from onnx.reference import ReferenceEvaluator
except ImportError as missing:
    skip(f"{missing.name} is not installed")

MODELS = DATA / "half"
HALF = {10: np.float16, 16: ml_dtypes.bfloat16}
LIMIT = {10: 4e-3, 16: 4e-2}  # a few steps of the type, relative to the largest number
ROWS = 120


def tensor_protos(m):
    for t in m.graph.initializer:
        yield t
    for n in m.graph.node:
        for a in n.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                yield a.t


def widest(m):
    """The type that decides the tolerance."""
    types = {t.data_type for t in tensor_protos(m)} | {v.type.tensor_type.elem_type for v in m.graph.input}
    types |= {a.i for n in m.graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    return 16 if 16 in types else 10


def twin(path):
    """The same graph and numbers, in float32 throughout."""
    m = load(path)
    onnx.external_data_helper.load_external_data_for_model(m, str(path.parent))
    for t in tensor_protos(m):
        if t.data_type in HALF:
            t.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t).astype(np.float32), t.name))
    for n in m.graph.node:
        for a in n.attribute:
            if n.op_type == "Cast" and a.name == "to" and a.i in HALF:
                a.i = 1
    for v in list(m.graph.input) + list(m.graph.output) + list(m.graph.value_info):
        if v.type.tensor_type.elem_type in HALF:
            v.type.tensor_type.elem_type = 1
    return m


def feed(m, x):
    v = m.graph.input[0]
    return {v.name: x.astype(HALF.get(v.type.tensor_type.elem_type, np.float32))}


def rounding_runtime(path, x):
    """What a runtime gives that computes in the file's types."""
    m = load(path)
    if widest(m) == 16:
        return ReferenceEvaluator(str(path)).run(None, feed(m, x))[0]
    return session(path).run(None, feed(m, x))[0]


def agree(what, path, x, tmp):
    """Predictions against the float32 twin and against a runtime that rounds."""
    m = load(path)
    name, kind = m.graph.input[0].name, widest(m)
    got = predict(f"{what}: predict", path, {name: x}, tmp, m.graph.output[0].name)
    if got is None:
        return
    check(f"{what}: predictions are float32", got.dtype == np.float32, got.dtype)
    (tmp / "twin.onnx").write_bytes(twin(path).SerializeToString())
    exact = session(tmp / "twin.onnx").run(None, {name: x})[0]
    check(f"{what}: as in float32", apart(got, exact) <= 1e-5, apart(got, exact))
    rounded = np.asarray(rounding_runtime(path, x)).astype(np.float32)
    check(f"{what}: beside a runtime that rounds", apart(got, rounded) <= LIMIT[kind], apart(got, rounded))


def data(tmp, width):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 6)).astype(np.float16).astype(np.float32)  # no rounding of the rows themselves
    y = (np.tanh(x[:, :width] * 2) + 0.5).astype(np.float32)
    np.save(tmp / "x.npy", x)
    np.save(tmp / "x16.npy", x.astype(np.float16))
    np.save(tmp / "y.npy", y)
    return x, y


def train(what, path, out, tmp, *options, x="x.npy", code=0):
    return run(f"{what}: train", "train", path, "--x", tmp / x, "--y", tmp / "y.npy", "--loss", "mse", "--batch-size", "16", "--quiet",
               "--force", "--json", "-o", out, *options, code=code)


def bits(path):
    """Every tensor as its name, type and bytes, whatever holds it."""
    m = load(path)
    onnx.external_data_helper.load_external_data_for_model(m, str(path.parent))
    out = {}
    for n in m.graph.node:
        for a in n.attribute:
            if n.op_type == "Constant" and a.name == "value":
                out[n.output[0]] = (a.t.data_type, onnx.numpy_helper.to_array(a.t).tobytes())
    out.update({t.name: (t.data_type, onnx.numpy_helper.to_array(t).tobytes()) for t in m.graph.initializer})
    return out


def judged(what, out, j, tmp):
    """The figures of a run are those of the file that it wrote."""
    e = run(f"{what}: eval", "eval", out, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--json")
    check(f"{what}: eval gives the run's figures", e.get("loss") == j["train"]["loss"], (e.get("loss"), j["train"]))


def train_and_compare(what, path, x, tmp):
    out, again = tmp / f"{path.stem}.onnx", tmp / "again.onnx"
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--quiet", "--force", "-o", again)
    check(f"{what}: no epochs, the same bytes", again.read_bytes() == path.read_bytes())
    j = train(what, path, out, tmp, "--epochs", "4", "--lr", "0.01")
    if not out.exists():
        return
    before, after = bits(path), bits(out)
    check(f"{what}: types", all(after[k][0] == before[k][0] for k in before if k in after))
    check(f"{what}: something moved", sum(after[k] != before[k] for k in before if k in after) > 3)
    check(f"{what}: better", j["train"]["loss"] < j["before"]["train"]["loss"], j["train"])
    check(f"{what}: onnx.checker", checker(load(out)) or not checker(load(path)))
    judged(what, out, j, tmp)
    agree(f"{what}, trained", out, x, tmp)
    train(f"{what}, float16 rows", path, again, tmp, "--epochs", "4", "--lr", "0.01", x="x16.npy")
    check(f"{what}: float16 rows, the same numbers", bits(again) == after)
    j = train(f"{what}, validated", path, again, tmp, "--epochs", "4", "--lr", "0.01", "--val-split", "0.25")
    best = next(e for e in j["curve"] if e["epoch"] == j["best_epoch"])
    check(f"{what}: the best epoch was judged as it is written", best["val_loss"] == j["val"]["loss"], (best, j["val"]))
    frozen = sorted(t.name for t in load(path).graph.initializer)[0]
    train(f"{what}, one frozen", path, again, tmp, "--epochs", "1", "--lr", "0.01", "--freeze", frozen)
    check(f"{what}: a frozen tensor keeps its bits", bits(again)[frozen] == before[frozen])
    d = run(f"{what}: diff", "diff", path, out, "--json", code=1)
    check(f"{what}: diff names the tensors", {t["name"] for t in d["tensors"]} >= {k for k in before if k in after and after[k] != before[k]})
    run(f"{what}: gradcheck", "gradcheck", path)


def verified(what, path, x, tmp):
    """Vectors that a rounding runtime wrote pass with the tolerances of the type, wrong ones do not."""
    m, at = load(path), tmp / f"vectors_{path.stem}"
    y = np.asarray(rounding_runtime(path, x[:16]))
    at.mkdir()
    (at / "input_0.pb").write_bytes(onnx.numpy_helper.from_array(feed(m, x[:16])[m.graph.input[0].name]).SerializeToString())
    (at / "output_0.pb").write_bytes(onnx.numpy_helper.from_array(y).SerializeToString())
    j = run(f"{what}: verify", "verify", path, at, "--json")
    check(f"{what}: verified", j.get("passed") == 1 and j["rtol"] == (1e-3 if widest(m) == 10 else 1.6e-2), j)
    (at / "output_0.pb").write_bytes(onnx.numpy_helper.from_array((y.astype(np.float32) + 0.05).astype(y.dtype)).SerializeToString())
    run(f"{what}: wrong vectors", "verify", path, at, code=1)


def edits(what, path, x, tmp):
    """Graph edits: the new parts have the right types, other tools load the file, the figures are the file's."""
    kind, out = widest(load(path)), tmp / "edited.onnx"
    for name, options in (("hidden", ["--hidden-units", "7,7"]), ("batchnorm", ["--batchnorm", "insert"]), ("scaled", ["--scale", "standard"]),
                          ("target", ["--scale-target", "standard"]), ("fresh", ["--init", "fresh"])):
        out.unlink(missing_ok=True)
        j = train(f"{what}, {name}", path, out, tmp, "--epochs", "3", "--lr", "0.01", *options)
        if not out.exists():
            continue
        m = load(out)
        check(f"{what}, {name}: onnx.checker", checker(m))
        judged(f"{what}, {name}", out, j, tmp)
        agree(f"{what}, {name}", out, x, tmp)
        if name == "batchnorm":
            types = {t.name: t.data_type for t in m.graph.initializer}
            norm = next(n for n in m.graph.node if n.op_type == "BatchNormalization")
            new = m.opset_import[0].version >= 15
            check(f"{what}, {name}: types", all(types[i] == (1 if new else kind) for i in norm.input[1:]), types)
            removed = tmp / "removed.onnx"
            j = train(f"{what}, {name} removed", out, removed, tmp, "--epochs", "1", "--lr", "0.001", "--batchnorm", "remove")
            check(f"{what}: removed", removed.exists() and not any(n.op_type == "BatchNormalization" for n in load(removed).graph.node))
            judged(f"{what}, {name} removed", removed, j, tmp)
            agree(f"{what}, {name} removed", removed, x, tmp)
        if name in ("scaled", "target"):
            check(f"{what}, {name}: in float32 between Casts", [n.op_type for n in m.graph.node].count("Cast") == 2)


def searched(what, path, x, tmp):
    for name, options in (("one", []), ("ensemble", ["--ensemble", "2"])):
        out = tmp / f"tuned_{name}.onnx"
        j = run(f"{what}, {name}: tune", "tune", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--search", "lr=0.003,0.01,0.03",
                "--sampler", "grid", "--folds", "2", "--epochs", "3", "--batch-size", "16", "--jobs", "2", "--quiet", "--force", "--json", "-o", out, *options)
        check(f"{what}, {name}: better", j.get("ok") and j["beaten"] and out.exists(), j)
        check(f"{what}, {name}: onnx.checker", checker(load(out)) or not checker(load(path)))
        agree(f"{what}, {name}", out, x, tmp)


def storage(tmp):
    """The same numbers in raw bytes, typed fields, a file beside the model and Constant nodes."""
    for kind, word in ((10, "f16"), (16, "bf16")):
        source, results = MODELS / f"plain_{word}.onnx", {}
        for form in ("raw", "typed", "external", "constant"):
            m, at = load(source), tmp / f"{form}_{word}"
            at.mkdir()
            for t in list(m.graph.initializer):
                a = onnx.numpy_helper.to_array(t)
                if form == "typed":
                    t.ClearField("raw_data")
                    t.int32_data.extend(int(v) for v in a.view(np.uint16).ravel())
                if form == "constant":
                    m.graph.node.insert(0, onnx.helper.make_node("Constant", [], [t.name], value=t))
            if form == "constant":
                del m.graph.initializer[:]
            path, out = at / "m.onnx", at / "out.onnx"
            onnx.save(m, str(path), save_as_external_data=form == "external", location="m.bin", size_threshold=0)
            train(f"{form} {word}", path, out, tmp, "--epochs", "3", "--lr", "0.01")
            results[form] = bits(out)
            frame = load(out)
            if form == "typed":
                check(f"{form} {word}: still typed", all(len(t.int32_data) and not t.raw_data for t in frame.graph.initializer))
            if form == "external":
                check(f"{form} {word}: still external", all(len(t.external_data) for t in frame.graph.initializer))
        check(f"{word}: every form of storage ends with the same numbers", all(r == results["raw"] for r in results.values()))


def shared_casts(tmp):
    """A fresh BatchNormalization in float32 whose equal parameters, stored in a half type, came to share a Cast."""
    h = onnx.helper
    for kind, dtype in HALF.items():
        source, out = tmp / "shared.onnx", tmp / "apart.onnx"
        stored = {"w": np.random.default_rng(4).normal(size=(6, 3)), "ones": np.ones(3), "zeros": np.zeros(3)}
        nodes = [h.make_node("Cast", ["w"], ["w32"], "weight", to=1), h.make_node("Cast", ["ones"], ["one"], "one", to=1),
                 h.make_node("Cast", ["zeros"], ["zero"], "zero", to=1), h.make_node("MatMul", ["x", "w32"], ["h"], "product"),
                 h.make_node("BatchNormalization", ["h", "one", "zero", "zero", "one"], ["y"], "norm")]
        g = h.make_graph(nodes, "shared", [h.make_tensor_value_info("x", 1, ["N", 6])], [h.make_tensor_value_info("y", 1, ["N", 3])],
                         [onnx.numpy_helper.from_array(a.astype(dtype), n) for n, a in stored.items()])
        onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 15)], ir_version=8), str(source))
        j = train(f"shared casts, {kind}", source, out, tmp, "--epochs", "3", "--lr", "0.01")
        if not out.exists():
            continue
        m, cast = load(out), {n.output[0]: n.input[0] for n in load(out).graph.node if n.op_type == "Cast"}
        norm, values = next(n for n in m.graph.node if n.op_type == "BatchNormalization"), bits(out)
        own = [cast[i] for i in norm.input[1:]]
        check(f"shared casts, {kind}: four tensors", len(set(own)) == len({values[n][1] for n in own}) == 4, own)
        check(f"shared casts, {kind}: of their type", all(values[n][0] == kind for n in own + ["w"]))
        check(f"shared casts, {kind}: the weight moved", values["w"][1] != stored["w"].astype(dtype).tobytes())
        check(f"shared casts, {kind}: onnx.checker", checker(m))
        judged(f"shared casts, {kind}", out, j, tmp)
        agree(f"shared casts, {kind}", out, np.load(tmp / "x.npy"), tmp)


def behind_casts(tmp):
    """Weights stored in a half type, cast to float32 in front of every layer: edits see them, or say that they do not."""
    h, rng, x = onnx.helper, np.random.default_rng(3), np.load(tmp / "x.npy")
    stored = {"w1": rng.normal(size=(6, 8)) / 3, "b1": rng.normal(size=8), "w2": rng.normal(size=(8, 3)) / 3, "b2": np.zeros(3)}
    tail = {"gemm": [h.make_node("Gemm", ["r", "w2f", "b2f"], ["y"], "second")],
            "matmul": [h.make_node("MatMul", ["r", "w2f"], ["m"], "second"), h.make_node("Add", ["m", "b2f"], ["y"], "bias")]}
    for form, last in tail.items():
        source, out = tmp / f"behind_{form}.onnx", tmp / "behind.onnx"
        nodes = [h.make_node("Cast", [n], [n + "f"], "cast_" + n, to=1) for n in stored]
        nodes += [h.make_node("Gemm", ["x", "w1f", "b1f"], ["h"], "first"), h.make_node("Relu", ["h"], ["r"], "relu")] + last
        g = h.make_graph(nodes, "behind", [h.make_tensor_value_info("x", 1, ["N", 6])], [h.make_tensor_value_info("y", 1, ["N", 3])],
                         [onnx.numpy_helper.from_array(a.astype(np.float16), n) for n, a in stored.items()])
        onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), str(source))
        for name, options in (("plain", []), ("batchnorm", ["--batchnorm", "insert"]), ("scaled", ["--scale", "standard"]),
                              ("target", ["--scale-target", "standard"])):
            out.unlink(missing_ok=True)
            j = train(f"behind casts, {form}, {name}", source, out, tmp, "--epochs", "3", "--lr", "0.01", *options)
            if not out.exists():
                continue
            a, b = bits(source), bits(out)
            check(f"behind casts, {form}, {name}: stored weights moved", all(b[n][0] == 10 and b[n] != a[n] for n in stored))
            check(f"behind casts, {form}, {name}: the nodes", [n.op_type for n in load(out).graph.node].count("BatchNormalization")
                  == (name == "batchnorm"))
            judged(f"behind casts, {form}, {name}", out, j, tmp)
            agree(f"behind casts, {form}, {name}", out, x, tmp)
        train(f"behind casts, {form}, hidden", source, out, tmp, "--epochs", "1", "--hidden-units", "5", code=3)


def functions(tmp):
    """Half types through a function that the model defines: weights given by the calls, one in the body."""
    h, rng, x = onnx.helper, np.random.default_rng(6), np.load(tmp / "x.npy")
    for kind, dtype in HALF.items():
        source, out = tmp / "function.onnx", tmp / "function_out.onnx"
        gain = onnx.numpy_helper.from_array(np.linspace(0.5, 1.5, 6).astype(dtype), "gain")
        body = [h.make_node("Gemm", ["X", "W", "B"], ["P"], "product", transB=1), h.make_node("Constant", [], ["G"], "held", value=gain),
                h.make_node("Mul", ["P", "G"], ["Q"], "times"), h.make_node("Tanh", ["Q"], ["Y"], "tanh")]
        f = h.make_function("local", "Layer", ["X", "W", "B"], ["Y"], body, [h.make_opsetid("", 17)])
        stored = {f"{n}{i}": rng.normal(size=s) / 2 for i in (1, 2) for n, s in (("w", (6, 6)), ("b", 6))} | {"v": rng.normal(size=(6, 3))}
        nodes = [h.make_node("Layer", ["x", "w1", "b1"], ["h"], "one", domain="local"), h.make_node("Layer", ["h", "w2", "b2"], ["r"], "two", domain="local"),
                 h.make_node("MatMul", ["r", "v"], ["y"], "head")]
        g = h.make_graph(nodes, "calls", [h.make_tensor_value_info("x", kind, ["N", 6])], [h.make_tensor_value_info("y", kind, ["N", 3])],
                         [onnx.numpy_helper.from_array(a.astype(dtype), n) for n, a in stored.items()])
        onnx.save(h.make_model(g, functions=[f], opset_imports=[h.make_opsetid("", 17), h.make_opsetid("local", 1)], ir_version=8), str(source))
        j = train(f"functions, {kind}", source, out, tmp, "--epochs", "3", "--lr", "0.01")
        if not out.exists():
            continue
        a, b = bits(source), bits(out)
        check(f"functions, {kind}: the calls' weights moved", all(b[n][0] == kind and b[n] != a[n] for n in stored))
        held = onnx.numpy_helper.to_array(load(out).functions[0].node[1].attribute[0].t)
        check(f"functions, {kind}: the body's, too", held.dtype == dtype and (held != onnx.numpy_helper.to_array(gain)).any(), held)
        judged(f"functions, {kind}", out, j, tmp)
        got = predict(f"functions, {kind}: predict", out, {"x": x}, tmp, "y")
        rounded = np.asarray(rounding_runtime(out, x)).astype(np.float32)
        check(f"functions, {kind}: beside a runtime that rounds", got is not None and apart(got, rounded) <= LIMIT[kind], got)


def embeddings(tmp):
    """A table in a half type: rows that are read learn, the others keep their bits."""
    h, rng = onnx.helper, np.random.default_rng(7)
    index = rng.integers(0, 5, ROWS)
    np.save(tmp / "i.npy", index)
    for kind, dtype in HALF.items():
        for cast in (False, True):
            what = f"embeddings, {kind}{', cast' if cast else ''}"
            source, out = tmp / "table.onnx", tmp / "table_out.onnx"
            stored = {"table": rng.normal(size=(7, 4)), "w": rng.normal(size=(4, 3))}
            nodes = [h.make_node("Gather", ["table", "i"], ["e"], "look"), h.make_node("MatMul", ["e", "w"], ["y"], "head")]
            if cast:
                nodes = [h.make_node("Cast", [n], [n + "f"], "cast_" + n, to=1) for n in stored] + \
                        [h.make_node("Gather", ["tablef", "i"], ["e"], "look"), h.make_node("MatMul", ["e", "wf"], ["y"], "head")]
            g = h.make_graph(nodes, "table", [h.make_tensor_value_info("i", 7, ["N"])], [h.make_tensor_value_info("y", 1 if cast else kind, ["N", 3])],
                             [onnx.numpy_helper.from_array(a.astype(dtype), n) for n, a in stored.items()])
            onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), str(source))
            j = run(f"{what}: train", "train", source, "--x", tmp / "i.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", "3", "--lr", "0.01",
                    "--batch-size", "16", "--quiet", "--force", "--json", "-o", out)
            if not out.exists():
                continue
            t = {name: onnx.numpy_helper.to_array(p) for name, p in ((p.name, p) for p in load(out).graph.initializer)}
            was = stored["table"].astype(dtype)
            check(f"{what}: rows that were read moved", t["table"].dtype == dtype and all((t["table"][r] != was[r]).any() for r in set(index)))
            check(f"{what}: the others did not", all((t["table"][r] == was[r]).all() for r in range(7) if r not in index))
            e = run(f"{what}: eval", "eval", out, "--x", tmp / "i.npy", "--y", tmp / "y.npy", "--loss", "mse", "--json")
            check(f"{what}: eval gives the run's figures", e.get("loss") == j["train"]["loss"], (e.get("loss"), j["train"]))
            (tmp / "twin.onnx").write_bytes(twin(out).SerializeToString())
            got, exact = predict(f"{what}: predict", out, {"i": index}, tmp, "y"), session(tmp / "twin.onnx").run(None, {"i": index})[0]
            check(f"{what}: as in float32", got is not None and apart(got, exact) <= 1e-5, got)


def resumed(tmp):
    """Six epochs, or three and three more: the numbers between are those of float32."""
    source, whole, parts = MODELS / "dynamo_f16.onnx", tmp / "whole.onnx", tmp / "parts.onnx"
    job = ("--lr", "0.003", "--val-split", "0.25", "--keep-run", "--seed", "5")
    train("whole", source, whole, tmp, "--epochs", "6", *job)
    train("half of it", source, parts, tmp, "--epochs", "3", *job)
    run("resume", "resume", tmp / "parts.onnx.run", "--epochs", "+3", "--quiet", "--force")
    check("resumed: the same numbers", bits(parts) == bits(whole))


def beyond(tmp):
    """A weight that float16 cannot hold ends the run; bfloat16 can."""
    for word, ends in (("f16", "diverged"), ("bf16", "max_epochs")):
        out = tmp / f"large_{word}.onnx"
        for split in ([], ["--val-split", "0.25"]):
            j = train(f"large weights, {word}", MODELS / f"plain_{word}.onnx", out, tmp, "--epochs", "3", "--optimizer", "adam", "--lr", "20000", *split,
                      code=7 if ends == "diverged" else 0)
            check(f"large weights, {word}: {ends}", j["stop_reason"] == ends, j["stop_reason"])
            if ends == "diverged":
                check("large weights: named", j["diverged"]["tensor"].endswith(" as float16"), j["diverged"])
            numbers = [np.isfinite(onnx.numpy_helper.to_array(t).astype(np.float64)).all() for t in load(out).graph.initializer]
            check(f"large weights, {word}: what is written is finite", all(numbers))
    fresh = tmp / "fresh.onnx"
    r = _common.hone("train", MODELS / "plain_f16.onnx", "--epochs", "0", "--init", "normal=100000", "--quiet", "-o", fresh)
    check("fresh weights beyond float16 are refused", r.returncode != 0 and "float16 cannot hold" in r.stderr and not fresh.exists(), r.stderr)
    check("fresh weights: the tensor is named", ".weight" in r.stderr, r.stderr)


def main():
    tmp, only = folder(), sys.argv[2] if len(sys.argv) > 2 else ""
    x, _ = data(tmp, 3)
    for path in sorted(MODELS.glob("*.onnx")):
        if only not in path.stem:
            continue
        try:
            agree(path.stem, path, x, tmp)
            verified(path.stem, path, x, tmp)
            train_and_compare(path.stem, path, x, tmp)
            if path.stem.startswith("plain") or path.stem == "dynamo_f16":
                edits(path.stem, path, x, tmp)
            if path.stem in ("plain_bf16", "converted_mixed"):
                searched(path.stem, path, x, tmp)
        except Exception as e:  # one broken model must not hide the others
            check(path.stem, False, repr(e))
    if not only:
        storage(tmp)
        shared_casts(tmp)
        behind_casts(tmp)
        functions(tmp)
        embeddings(tmp)
        resumed(tmp)
        beyond(tmp)
    _common.finish("half", tmp)


main()
