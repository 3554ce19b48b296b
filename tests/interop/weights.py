#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weighted losses against PyTorch: every case of tests/data/parity/weights.json is trained by `hone train` with --class-weights,
--sample-weights or both; its tensors are compared with the ones PyTorch ended with, and its validation loss with PyTorch's
(recorded by tests/data/make_weight_refs.py). And "balanced" against scikit-learn's compute_class_weight, where that is there.

usage: weights.py BUILD_FOLDER [PART-OF-A-CASE'S-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, folder, np, run, tensors

LIMIT = {"f32": 2e-5, "f64": 1e-10}
TYPE = {"f32": np.float32, "f64": np.float64}


def save(tmp, refs, weights, short, rows):
    for name in ("x", "index", "soft", "binary", "multi", "real"):
        v = refs[name] if name == "index" else refs[name].astype(TYPE[short])
        np.save(tmp / f"{name}_{short}.npy", v[:rows])
        np.save(tmp / f"val_{name}_{short}.npy", v[rows:])
    np.save(tmp / "w.npy", weights[:rows])
    np.save(tmp / "val_w.npy", weights[rows:])


def compare(case, short, refs, tmp):
    net, out = DATA / "parity" / f"{case['net']}_{short}.onnx", tmp / "out.onnx"
    args = ["--x", tmp / f"x_{short}.npy", "--y", tmp / f"{case['target']}_{short}.npy", "--val-x", tmp / f"val_x_{short}.npy",
            "--val-y", tmp / f"val_{case['target']}_{short}.npy"]
    if case["rows"]:
        args += ["--sample-weights", tmp / "w.npy", "--val-sample-weights", tmp / "val_w.npy"]
    what = f"{case['name']} {short}"
    out.unlink(missing_ok=True)
    said = run(what, "train", net, *args, *case["options"], "--no-shuffle", "--save", "last", "--quiet", "--json", "-o", out)
    if not out.exists():
        return 0.0
    want, got, at, worst = refs[f"{case['name']}/{short}"], tensors(out), 0, 0.0
    for name in case["tensors"]:
        n = got[name].size
        expected = want[at:at + n].reshape(got[name].shape)
        at += n
        off = apart(got[name], expected)
        worst = max(worst, off)
        check(f"{what}: {name}", off <= LIMIT[short], f"{off:.2e} away, {LIMIT[short]:.0e} allowed")
    loss = said["val"]["loss"]
    check(f"{what}: validation loss", abs(loss - want[at]) <= 10 * LIMIT[short] * abs(want[at]), f"{loss}, PyTorch {want[at]}")
    return worst


def balanced(tmp):
    try:
        from sklearn.utils.class_weight import compute_class_weight
    except ImportError:
        print("scikit-learn is not installed: 'balanced' is not compared")
        return
    rng = np.random.default_rng(9)
    x = rng.normal(size=(300, 12)).astype(np.float32)
    y = rng.choice(3, 300, p=[0.7, 0.25, 0.05])
    np.save(tmp / "bx.npy", x)
    np.save(tmp / "by.npy", y)
    said = run("balanced", "eval", DATA / "parity" / "plain_f32.onnx", "--x", tmp / "bx.npy", "--y", tmp / "by.npy", "--class-weights",
               "balanced", "--json")
    told = said["class_weights"]
    want = compute_class_weight("balanced", classes=np.arange(3), y=y)
    check("balanced is scikit-learn's", np.allclose([c["weight"] for c in told], want, rtol=1e-15), (told, want))
    check("by the classes' names", [c["class"] for c in told] == ["0", "1", "2"], told)
    y[y == 2] = 1
    np.save(tmp / "by.npy", y)
    told = run("two of three", "eval", DATA / "parity" / "plain_f32.onnx", "--x", tmp / "bx.npy", "--y", tmp / "by.npy",
                          "--class-weights", "balanced", "--json")["class_weights"]
    want = compute_class_weight("balanced", classes=np.arange(2), y=y)
    check("classes that occur", np.allclose([c["weight"] for c in told], [*want, 1.0], rtol=1e-15), (told, want))


def save_two(tmp, kinds):
    """A model with the outputs of `kinds`: name, width, tail."""
    from onnx import TensorProto, helper, numpy_helper
    rng = np.random.default_rng(2)

    def tensor(name, *shape):
        return numpy_helper.from_array((rng.normal(size=shape) * 0.5).astype(np.float32), name)

    nodes, tensors_, outputs = [helper.make_node("Gemm", ["x", "w", "b"], ["h0"]), helper.make_node("Relu", ["h0"], ["h"])], [tensor("w", 12, 8), tensor("b", 8)], []
    for name, width, tail in kinds:
        tensors_ += [tensor(f"w_{name}", 8, width), tensor(f"b_{name}", width)]
        nodes.append(helper.make_node("Gemm", ["h", f"w_{name}", f"b_{name}"], [f"z_{name}" if tail else name]))
        if tail:
            nodes.append(helper.make_node(tail, [f"z_{name}"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]))
    graph = helper.make_graph(nodes, "two", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12])], outputs, tensors_)
    path = tmp / f"{'-'.join(k[0] for k in kinds)}.onnx"
    _common.onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def several(tmp):
    """Two outputs: weights of rows are for both losses, those of classes for the one that learns classes, in either order."""
    rng = np.random.default_rng(4)
    x, label, value = rng.normal(size=(70, 12)).astype(np.float32), rng.integers(0, 3, 70), rng.normal(size=(70, 1)).astype(np.float32)
    rows = rng.integers(0, 4, 70).astype(np.float32)
    for name, a in (("tx", x), ("tc", label), ("tv", value), ("tw", rows)):
        np.save(tmp / f"{name}.npy", a)
    for kinds in ([("c", 3, "Softmax"), ("v", 1, None)], [("v", 1, None), ("c", 3, "Softmax")]):
        net = save_two(tmp, kinds)
        out = dict(zip((k[0] for k in kinds), _common.session(net).run(None, {"x": x})))
        classes = np.array([2.0, 0.5, 1.5])[label]
        ce, mse = -np.log(out["c"][np.arange(70), label]), ((out["v"] - value) ** 2)[:, 0]
        given = ["--x", tmp / "tx.npy", "--y", f"c={tmp}/tc.npy", "--y", f"v={tmp}/tv.npy"]
        for name, _, _ in kinds:
            given += ["--loss", {"c": "c=ce", "v": "v=mse:2"}[name]]
        for what, w, u, more in (("rows", rows, rows, ["--sample-weights", tmp / "tw.npy"]), ("classes", classes, np.ones(70), ["--class-weights", "2,0.5,1.5"]),
                                 ("both", rows * classes, rows, ["--sample-weights", tmp / "tw.npy", "--class-weights", "2,0.5,1.5"])):
            want = (w * ce).sum() / w.sum() + 2 * (u * mse).sum() / u.sum()
            told = run(f"two outputs, weights of {what}", "eval", net, *given, *more, "--metric", "accuracy,mae", "--json")
            check(f"two outputs, weights of {what}", abs(told["loss"] - want) < 1e-5, f"{told}, wanted {want}")
            right, off = (out["c"].argmax(1) == label).mean(), np.abs(out["v"] - value).mean()
            check("metrics count rows", abs(told["accuracy"] - right) < 1e-6 and abs(told["mae"] - off) < 1e-5, f"{told}, wanted {right}, {off}")
            run(f"trained, weights of {what}", "train", net, *given, *more, "--epochs", "2", "--force", "--quiet", "-o", tmp / "two.onnx")
    both = save_two(tmp, [("c", 3, "Softmax"), ("d", 3, "Softmax")])
    run("two that learn classes", "eval", both, "--x", tmp / "tx.npy", "--y", f"c={tmp}/tc.npy", "--y", f"d={tmp}/tc.npy", "--loss", "c=ce", "--loss", "d=ce",
        "--class-weights", "1,2,3", code=2)


def main():
    data, refs = np.load(DATA / "parity" / "refs.npz"), np.load(DATA / "parity" / "weights.npz")
    told = json.loads((DATA / "parity" / "weights.json").read_text())
    tmp, worst = folder(), {"f32": (0.0, ""), "f64": (0.0, "")}
    for short in LIMIT:
        save(tmp, data, refs["weights"], short, told["rows"])
    for case in told["cases"]:
        if len(sys.argv) > 2 and sys.argv[2] not in case["name"]:
            continue
        for short in LIMIT:
            worst[short] = max(worst[short], (compare(case, short, refs, tmp), case["name"]))
    for short, (off, name) in worst.items():
        print(f"{short}: largest distance {off:.1e} of {LIMIT[short]:.0e} allowed, in {name}")
    balanced(tmp)
    several(tmp)
    _common.finish("weights", tmp)


main()
