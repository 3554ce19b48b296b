#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small networks, one for each way of using an operator that recorded models do not hold: computed as ONNX Runtime does, gradients
against central differences, trained, and opened by ONNX Runtime again with the parameters moved that should be.

usage: operators.py BUILD_FOLDER [WORD]    only the cases with WORD in their names"""
import json
import sys

import _common
from _common import DATA, apart, check, folder, hone, load, np, onnx, ort_rows, predict, run, tensors
from onnx import TensorProto, helper, numpy_helper

tmp = folder()
rng = np.random.default_rng(5)
ROWS, WIDE, HIDDEN, CLASSES = 24, 5, 6, 3
x = rng.normal(size=(ROWS, WIDE)).astype(np.float32)
labels = rng.integers(0, CLASSES, ROWS)
np.save(tmp / "x.npy", x)
np.save(tmp / "y.npy", labels)
MS = "com.microsoft"


def node(op, inputs, output, domain="", **attrs):
    return helper.make_node(op, inputs.split(), output.split(), domain=domain, **attrs)


def weights(*shape, scale=0.6):
    return (rng.normal(size=shape) * scale).astype(np.float32)


def model(name, middle, extra=None, opset=18, first="gemm"):
    """x Gemm(w0, b0) -> h, or with first="product" x MatMul(w0) -> m; the nodes of `middle` from there to z; Gemm(w9, b9) -> y."""
    values = {"w0": weights(WIDE, HIDDEN), "b0": weights(HIDDEN), "w9": weights(HIDDEN, CLASSES), "b9": weights(CLASSES)}
    values.update(extra or {})
    start = [node("MatMul", "x w0", "m")] if first == "product" else [node("Gemm", "x w0 b0", "h")]
    nodes = start + middle + [node("Gemm", "z w9 b9", "y")]
    used = {i for n in nodes for i in n.input}
    g = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDE])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
                          [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items() if k in used])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)], ir_version=10)
    onnx.save(m, str(tmp / f"{name}.onnx"))
    return tmp / f"{name}.onnx"


def same(what, path):
    got, want = predict(what, path, {"x": x}, tmp, "y"), ort_rows(path, {"x": x}, ROWS)["y"]
    check(f"{what}: as ONNX Runtime", got is not None and apart(got, want) <= 2e-6, got is not None and apart(got, want))


def case(name, middle, extra=None, moved=(), still=(), reference=False, learns=True, **more):
    """moved: tensors that training changes, beside the layers' own; still: that it leaves alone. reference: ONNX Runtime has no
    kernel, the onnx package's evaluator judges."""
    if len(sys.argv) > 2 and sys.argv[2] not in name:
        return
    path, out = model(name, middle, extra, **more), tmp / f"{name}_trained.onnx"
    (evaluated if reference else same)(name, path)
    if not learns:
        return
    run(f"{name}: gradients", "gradcheck", path, "--loss", "ce")
    run(f"{name}: trains", "train", path, "--x", f"x={tmp / 'x.npy'}", "--y", tmp / "y.npy", "--loss", "ce", "--epochs", "3", "--batch-size", "8",
        "--lr", "0.02", "--save", "last", "--quiet", "-o", out)
    if not out.exists():
        return
    (evaluated if reference else same)(f"{name}, trained", out)
    before, after = tensors(path), tensors(out)
    for t in ("w9", "b9", *moved):
        check(f"{name}: {t} learns", not np.array_equal(before[t], after[t]))
    for t in still:
        check(f"{name}: {t} stays", np.array_equal(before[t], after[t]))


def evaluated(what, path):
    from onnx.reference import ReferenceEvaluator

    got, want = predict(what, path, {"x": x}, tmp, "y"), ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    check(f"{what}: as the evaluator", got is not None and apart(got, want) <= 2e-6, got is not None and apart(got, want))


def normalisations():
    one = np.ones(HIDDEN, np.float32)
    case("rms", [node("RMSNormalization", "h g", "z", epsilon=1e-3)], {"g": one}, ["g", "w0"], opset=23, reference=True)
    case("lp2", [node("LpNormalization", "h", "z")], moved=["w0"])
    case("lp1", [node("LpNormalization", "h", "z", axis=1, p=1)], moved=["w0"])


def groups():
    """Channels in groups; PyTorch writes GroupNormalization of plain rows."""
    c = {"g": weights(HIDDEN) + 1, "b": weights(HIDDEN), "g3": weights(3) + 1, "b3": weights(3), "to": np.array([0, 3, 2]), "flat": np.array([0, -1])}
    case("group", [node("GroupNormalization", "h g b", "z", num_groups=2, epsilon=0.2)], c, ["w0", "g", "b"], opset=21, reference=True)
    case("group18", [node("GroupNormalization", "h g3 b3", "z", num_groups=3, epsilon=0.2)], c, ["w0", "g3", "b3"], opset=18)
    inner = [node("Reshape", "h to", "r"), node("GroupNormalization", "r g3 b3", "n", num_groups=1), node("Reshape", "n flat", "z")]
    case("group of rank 3", inner, c, ["w0", "g3", "b3"], opset=21, reference=True)
    inner[1] = node("InstanceNormalization", "r g3 b3", "n", epsilon=1e-2)
    case("instance", inner, c, ["w0", "g3", "b3"], opset=22)


def reductions():
    for op in ("ReduceMin", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp"):
        middle = [node(op, "h last", "r"), node("Add", "h r", "z")]
        case(op, middle, {"last": np.array([-1])}, ["w0"])
        case(f"{op}13", [node(op, "h", "r", axes=[1], keepdims=0), node("Unsqueeze", "r last", "s"), node("Add", "h s", "z")],
             {"last": np.array([-1])}, ["w0"], opset=13)
    case("ReduceLogSum", [node("Exp", "h", "e"), node("ReduceLogSum", "e last", "r"), node("Sub", "h r", "z")], {"last": np.array([-1])}, ["w0"])
    case("Mean", [node("Tanh", "h", "t"), node("Mean", "h t c", "z")], {"c": weights(HIDDEN)}, ["w0"])
    case("Mean of one", [node("Mean", "h", "z")], moved=["w0"])


def types():
    case("CastLike", [node("CastLike", "c h", "d"), node("Mul", "h d", "z")], {"c": np.array(2.0)}, ["w0"], opset=15)
    case("Size", [node("Size", "h", "s"), node("Shape", "h", "t", end=1), node("Div", "s t", "q"), node("Concat", "open q", "to", axis=0),
                  node("Reshape", "h to", "z")], {"open": np.array([-1])}, ["w0"])


def einsums():
    c = {"w": weights(7, HIDDEN), "t": weights(HIDDEN, 7), "u": weights(7, HIDDEN), "g": weights(2, 3, 3), "k": weights(3, HIDDEN, 7),
         "to": np.array([0, 2, 3]), "flat": np.array([0, -1])}
    for name, equation, w in (("rows", "ij,kj->ik", "w"), ("columns", "ij, jk -> ik", "t"), ("implicit", "bi,io", "t")):
        case(f"einsum {name}", [node("Einsum", f"h {w}", "e", equation=equation), node("Tanh", "e", "f"), node("MatMul", "f u", "z")], c, ["w0", w, "u"])
    case("einsum weights first", [node("Einsum", "w h", "e", equation="kj,ij->ik"), node("MatMul", "e u", "z")], c, ["w0", "w"])
    groups = [node("Reshape", "h to", "r"), node("Einsum", "r g", "e", equation="bgi,gio->bgo"), node("Reshape", "e flat", "z")]
    case("einsum of groups", groups, c, ["w0", "g"])
    case("einsum of members", [node("Einsum", "h k", "e", equation="bi,kio->bo"), node("MatMul", "e u", "z")], c, ["w0", "k"])
    case("einsum outer", [node("Einsum", "h h", "e", equation="bi,bj->bji"), node("ReduceMean", "e", "z", axes=[1], keepdims=0)], moved=["w0"], opset=13)
    case("einsum of one", [node("Reshape", "h to", "r"), node("Einsum", "r", "e", equation="bgi->big"), node("Einsum", "r", "s", equation="bgi->b"),
                           node("Unsqueeze", "s one", "q"), node("Reshape", "e flat", "f"), node("Add", "f q", "z")], {**c, "one": np.array([1])}, ["w0"])


def arranged():
    """What repeats, picks, masks and sums up by numbers of the file."""
    c = {"twice": np.array([1, 2]), "last": np.array(1), "one": np.array(1.5, np.float32), "first": np.array([[1, 0], [0, 2], [-1, 1]]), "to": np.array([0, 2, 3]),
         "flat": np.array([0, -1]), "from": np.array([0]), "end": np.array([HIDDEN]), "axis": np.array([1]), "k": np.array(1), "pieces": np.array([2, 4]),
         "zero": np.array(0), "minus": np.array(-1), "three": np.array(3), "u": weights(3, HIDDEN), "w": weights(2, HIDDEN)}
    case("tile", [node("Tile", "h twice", "t"), node("Slice", "t last2 end2 axis", "z")],
         {**c, "last2": np.array([3]), "end2": np.array([3 + HIDDEN])}, ["w0"])
    case("gather nd", [node("Reshape", "h to", "r"), node("Transpose", "r", "t", perm=[1, 2, 0]), node("GatherND", "t first", "p"),
                       node("Transpose", "p", "q"), node("MatMul", "q u", "z")], c, ["w0", "u"])
    for name, attrs in (("", {}), (" exclusive", {"exclusive": 1}), (" reverse", {"reverse": 1}), (" both", {"exclusive": 1, "reverse": 1})):
        case(f"cumsum{name}", [node("CumSum", "h last", "z", **attrs)], c, ["w0"])
    case("cumsum inside", [node("Reshape", "h to", "r"), node("CumSum", "r last", "s"), node("Reshape", "s flat", "z")], c, ["w0"])
    for upper in (0, 1):
        case(f"trilu {upper}", [node("Reshape", "h to", "r"), node("Trilu", "r k", "s", upper=upper), node("Reshape", "s flat", "z")], c, ["w0"])
    case("pieces", [node("SplitToSequence", "h pieces", "s", axis=-1), node("SequenceAt", "s minus", "b"), node("SequenceAt", "s zero", "a"),
                    node("Concat", "b a", "z", axis=1)], c, ["w0"])
    case("even pieces", [node("SplitToSequence", "h three", "s", axis=1), node("SequenceAt", "s k", "b"), node("MatMul", "b u", "z")], c, ["w0", "u"])
    case("pieces of one", [node("SplitToSequence", "h", "s", axis=1, keepdims=0), node("SequenceAt", "s k", "b"), node("Unsqueeze", "b axis", "d"),
                           node("Mul", "h d", "z")], c, ["w0"])
    wide = {**c, "v": weights(HIDDEN + 3, HIDDEN), "half": np.array(0.5, np.float32), "inside": np.array([0, 1, 0, 0, 0, 2]), "d": weights(3 * 5, HIDDEN)}
    for name, pads, number, how in (("", [0, 1, 0, 2], "", {}), (" with a number", [0, 3, 0, 0], " half", {"mode": "constant"}), (" that cuts", [0, -1, 0, 4], " half", {})):
        case(f"pad{name}", [node("Pad", f"h pads{number}", "p", **how), node("MatMul", "p v", "z")], {**wide, "pads": np.array(pads)}, ["w0", "v"])
    case("pad of an axis", [node("Pad", "h pads half axis", "p"), node("MatMul", "p v", "z")], {**wide, "pads": np.array([2, 1])}, ["w0", "v"], opset=18)
    case("pad by attribute", [node("Pad", "h", "p", pads=[0, 0, 0, 3], value=-0.5), node("MatMul", "p v", "z")], wide, ["w0", "v"], opset=10)
    case("pad inside", [node("Reshape", "h to", "r"), node("Pad", "r inside", "p"), node("Reshape", "p flat", "q"), node("MatMul", "q d", "z")], wide, ["w0", "d"])
    case("pad of a weight", [node("Pad", "e pads half", "f"), node("MatMul", "h f", "z")], {**c, "e": weights(HIDDEN - 1, HIDDEN), "pads": np.array([1, 0, 0, 0]), "half": np.array(0.5, np.float32)},
         ["w0", "e"])
    case("mod", [node("Mod", "h one", "z", fmod=1)], c, ["w0"])
    case("product", [node("ReduceProd", "h axis", "p"), node("Add", "h p", "z")], c, ["w0"])
    case("no axes", [node("Unsqueeze", "h none", "z")], {"none": np.zeros(0, np.int64)}, ["w0"])
    case("not a number", [node("Log", "h", "l"), node("IsNaN", "l", "n"), node("Where", "n one l", "z")], c, learns=False)
    case("infinite", [node("Relu", "h", "r"), node("Reciprocal", "r", "l"), node("IsInf", "l", "n"), node("Where", "n one l", "m"), node("Tanh", "m", "z")], c, learns=False)


def branch(name, nodes, out):
    return helper.make_graph(nodes, name, [], [helper.make_value_info(out, helper.make_tensor_type_proto(TensorProto.FLOAT, None))])


def choice(then, other, out="z"):
    return node("If", "is", out, then_branch=branch("then", *then), else_branch=branch("else", *other))


def branches():
    """If: squeeze(1) as PyTorch's legacy exporter writes it, of an axis of one and of another; what stays shut is refused where it matters."""
    c = {"one": np.array([1]), "at": np.array([1])}
    axes = node("Constant", "", "axes", value=numpy_helper.from_array(np.array([1])))
    squeeze = ([axes, node("Squeeze", "r axes", "a")], "a"), ([node("Identity", "r", "b")], "b")
    known = [node("Reshape", "h to", "r"), node("Shape", "r", "s"), node("Gather", "s at", "size"), node("Equal", "size one", "is")]
    case("if an axis of one", [*known, choice(*squeeze)], {**c, "to": np.array([-1, 1, HIDDEN])}, ["w0"])
    case("if another axis", [*known, choice(*squeeze, out="c"), node("ReduceSum", "c one", "d", keepdims=0), node("Concat", "d d", "z", axis=1)],
         {**c, "to": np.array([-1, 2, HIDDEN // 2])}, ["w0"], reference=True)
    case("if true", [choice(([node("Tanh", "h", "a")], "a"), ([node("Hardmax", "h", "b")], "b"))], {"is": np.array(True)}, ["w0"])
    case("if false", [choice(([node("Hardmax", "h", "a")], "a"), ([node("Tanh", "h", "b")], "b"))], {"is": np.array(False)}, ["w0"])
    other, on_data = ([node("Abs", "h", "b")], "b"), [node("ReduceSum", "h", "t", keepdims=0), node("Cast", "t", "is", to=9)]
    floats = node("Constant", "", "f", value=numpy_helper.from_array(weights(HIDDEN)))
    for way, start, then, words in (("data", on_data, ([node("Neg", "h", "a")], "a"), "'is' is not known at import"), ("floats", [], ([floats, node("Mul", "h f", "a")], "a"), "tensors of floats"),
                                    ("taken", [], ([node("Neg", "h", "b")], "b"), "names that other nodes have"), ("chosen", [], ([node("Hardmax", "h", "a")], "a"), "'a' of the branch")):
        path = model(f"if {way}", [*start, choice(then, other)], {"is": np.array(True)} if not start else {})
        r = hone("predict", path, "--x", f"x={tmp / 'x.npy'}", "--force", "-o", tmp / "p.npy")
        check(f"if {way}: refused", r.returncode == 3 and words in r.stderr + hone("inspect", path).stdout, r.stderr)


def unimported():
    """ONNX Runtime takes its own operators without their import, as its optimizer for transformers writes them."""
    path = model("unimported", [node("Gelu", "h", "z", MS)])
    m = onnx.load(str(path))
    del m.opset_import[1]
    onnx.save(m, str(path))
    same("unimported", path)


def rows_alike():
    """Constants with one row for each row of the batch: PolynomialFeatures' ones, a learned token before others."""
    c = {"rest": np.array([HIDDEN]), "e": weights(1, HIDDEN), "zero": np.array([0]), "u": weights(HIDDEN + 1, HIDDEN), "v": weights(2 * HIDDEN, HIDDEN),
         "one": np.array([1]), "flat": np.array([0, 2 * HIDDEN])}
    ones = [node("Shape", "h", "s", end=1), node("Concat", "s one", "to", axis=0),
            node("ConstantOfShape", "to", "o", value=numpy_helper.from_array(np.array([1.5], np.float32))), node("Concat", "o h", "p", axis=1), node("MatMul", "p u", "z")]
    case("ones of the batch", ones, c, ["w0", "u"])
    token = [node("Shape", "h", "s", end=1), node("Concat", "s rest", "to", axis=0), node("Expand", "e to", "t"), node("Concat", "t h", "p", axis=1), node("MatMul", "p v", "z")]
    case("token", token, c, ["w0", "e", "v"])
    token = [node("Shape", "h", "s", end=1), node("Concat", "s one rest", "to", axis=0), node("Expand", "e to", "t"), node("Unsqueeze", "h one", "g"),
             node("Concat", "t g", "p", axis=1), node("Reshape", "p flat", "q"), node("MatMul", "q v", "z")]
    case("token in a sequence", token, c, ["w0", "e", "v"])
    pool = [node("Reshape", "h three", "r"), node("GlobalAveragePool", "r", "a"), node("GlobalMaxPool", "r", "b"), node("Sub", "a b", "d"),
            node("Mul", "r d", "m"), node("Reshape", "m flat1", "z")]
    case("global pools", pool, {"three": np.array([0, 2, 3]), "flat1": np.array([0, -1])}, ["w0"])


def curves():
    """Element-wise functions beside the activations."""
    for op in ("Atan", "Sinh", "Cosh", "Asinh", "Tan"):
        case(op, [node("Tanh", "h", "t"), node(op, "t", "z")], moved=["w0"], opset=22)
    for op in ("Asin", "Acos", "Atanh"):
        case(op, [node("Tanh", "h", "t"), node("Mul", "t half", "s"), node(op, "s", "z")], {"half": np.array(0.5, np.float32)}, ["w0"])
    case("Acosh", [node("Exp", "h", "e"), node("Add", "e big", "s"), node("Acosh", "s", "z")], {"big": np.array(1.25, np.float32)}, ["w0"])
    for op in ("Sign", "Floor", "Ceil", "Round"):
        case(op, [node("Mul", "h three", "t"), node(op, "t", "s"), node("Add", "h s", "z")], {"three": np.array(3, np.float32)}, ["w0"])


def choices():
    """Activations in pieces. What overflows in the branch that is not chosen is not seen (its gradient is, as in PyTorch and JAX)."""
    zero, c = np.array(0, np.float32), {"zero": np.array(0, np.float32), "big": np.array(60, np.float32), "one": np.array(1, np.float32)}
    elu = [node("Greater", "h zero", "p"), node("Exp", "h", "e"), node("Sub", "e one", "m"), node("Where", "p h m", "z")]
    case("elu in pieces", elu, c, ["w0"])
    case("elu of large numbers", [node("Mul", "h big", "l"), *[node(*a) for a in (("Greater", "l zero", "p"), ("Exp", "l", "e"), ("Sub", "e one", "m"),
         ("Where", "p l m", "w"), ("Div", "w big", "z"))]], c, ["w0"], learns=False)
    for op in ("Less", "GreaterOrEqual", "LessOrEqual"):
        case(f"{op} with Where", [node(op, "h v", "p"), node("Tanh", "h", "t"), node("Where", "p t h", "z")], {"v": weights(HIDDEN)}, ["w0"])
        case(f"{op} of numbers", [node(op, "zero h", "p"), node("Cast", "p", "f", to=TensorProto.FLOAT), node("Mul", "h f", "z")], {"zero": zero}, ["w0"])
    logic = [node("Greater", "h low", "p"), node("Less", "h high", "q"), node("And", "p q", "b"), node("Not", "b", "n"), node("Less", "h low", "u"),
             node("Or", "u n", "o"), node("Tanh", "h", "t"), node("Where", "o h t", "z")]
    case("logic", logic, {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)}, ["w0"])
    case("Equal", [node("Relu", "h", "r"), node("Equal", "r zero", "p"), node("Where", "p v r", "z")], {"zero": zero, "v": weights(1)}, ["w0"])
    case("Where of a column", [node("ReduceSum", "h last", "s"), node("Less", "s zero", "p"), node("Where", "p v h", "z")],
         {"last": np.array([1]), "zero": zero, "v": weights(HIDDEN)}, ["w0"])
    case("Where by a constant", [node("Neg", "h", "m"), node("Where", "k h m", "z")], {"k": np.arange(HIDDEN) % 2 == 0}, ["w0"])
    case("Where with scalars", [node("Greater", "h zero", "p"), node("Where", "p one zero", "f"), node("Mul", "f h", "z")], c, ["w0"])


def microsoft():
    b = weights(HIDDEN)
    for kind, numbers in (("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("Softplus", {}), ("Softsign", {}), ("LeakyRelu", {"activation_alpha": 0.3}),
                          ("Elu", {"activation_alpha": 0.7}), ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}),
                          ("Selu", {"activation_alpha": 1.6, "activation_gamma": 1.1}), ("ThresholdedRelu", {"activation_alpha": 0.2})):
        case(f"FusedGemm {kind}", [node("FusedGemm", "h w1 b1", "z", MS, activation=kind, alpha=0.5, beta=2.0, transB=1, **numbers)],
             {"w1": weights(HIDDEN, HIDDEN), "b1": b}, ["w0", "w1", "b1"])
    case("FusedGemm plain", [node("FusedGemm", "h w1", "z", MS, activation="Relu")], {"w1": weights(HIDDEN, HIDDEN)}, ["w0", "w1"])
    case("FusedMatMul", [node("FusedMatMul", "h w1", "m", MS, alpha=0.7, transB=1), node("Add", "m b1", "s"), node("Relu", "s", "z")],
         {"w1": weights(HIDDEN, HIDDEN), "b1": b}, ["w0", "w1", "b1"])
    case("FusedMatMul alone", [node("FusedMatMul", "h w1", "m", MS, alpha=0.7), node("Relu", "m", "z")], {"w1": weights(HIDDEN, HIDDEN)}, ["w0", "w1"])
    case("FusedMatMul of left", [node("Unsqueeze", "h two", "u"), node("FusedMatMul", "u v", "m", MS, transA=1, alpha=2.0), node("Squeeze", "m one", "z")],
         {"v": weights(1, HIDDEN, HIDDEN), "two": np.array([2]), "one": np.array([1])}, ["w0"])
    for op in ("Gelu", "FastGelu", "QuickGelu"):
        case(op, [node(op, "h", "z", MS)], moved=["w0"])
    case("QuickGelu 1.3", [node("QuickGelu", "h", "z", MS, alpha=1.3)], moved=["w0"])
    for op in ("BiasGelu", "FastGelu"):
        case(f"{op} with bias", [node(op, "m b1", "z", MS)], {"b1": b, "w0": weights(WIDE, HIDDEN)}, ["w0", "b1"], first="product")
    one, zero = np.ones(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
    as_rows = [node("Unsqueeze", "h at", "r")]
    back = [node("Squeeze", "n at", "z")]
    norms = {"g": one, "b": zero, "c": weights(HIDDEN), "at": np.array([1])}
    case("SkipLayerNormalization", as_rows + [node("Tanh", "r", "t"), node("SkipLayerNormalization", "r t g b c", "n", MS, epsilon=1e-4)] + back,
         norms, ["w0", "g", "b", "c"])
    case("SkipLayerNormalization's sum", as_rows + [node("Tanh", "r", "t"),
         helper.make_node("SkipLayerNormalization", ["r", "t", "g"], ["u", "", "", "s"], domain=MS), node("Add", "u s", "n")] + back, norms, ["w0", "g"])
    case("SkipSimplifiedLayerNormalization", as_rows + [node("Tanh", "r", "t"), node("SkipSimplifiedLayerNormalization", "r t g", "n", MS)] + back,
         norms, ["w0", "g"])
    case("SimplifiedLayerNormalization", [node("SimplifiedLayerNormalization", "h g", "z", axis=-1, epsilon=1e-4, stash_type=1)], norms, ["w0", "g"])


def recorded():
    """What ONNX Runtime's optimizer wrote (tests/data/make_optimized.py)."""
    for name, operators in json.loads((DATA / "optimized" / "optimized.json").read_text()).items():
        if len(sys.argv) > 2 and sys.argv[2] not in name:
            continue
        path, out = DATA / "optimized" / f"{name}.onnx", tmp / f"{name}.onnx"
        m = load(path)
        check(f"{name}: holds {operators}", {n.op_type for n in m.graph.node if n.domain == MS} == set(operators))
        shape = [ROWS] + [d.dim_value for d in m.graph.input[0].type.tensor_type.shape.dim][1:]
        feed = {"x": rng.normal(size=shape).astype(np.float32)}
        np.save(tmp / "in.npy", feed["x"])
        np.save(tmp / "target.npy", labels % 2 if name == "binary" else labels)

        def judged(what, file):
            got, want = predict(what, file, feed, tmp, "y"), ort_rows(file, feed, ROWS)["y"]
            check(f"{what}: as ONNX Runtime", got is not None and apart(got, want) <= 2e-6, got is not None and apart(got, want))

        judged(name, path)
        run(f"{name}: gradients", "gradcheck", path)
        data = ["--x", f"x={tmp / 'in.npy'}", "--y", tmp / "target.npy"] + ([] if name == "binary" else ["--loss", "ce"])
        told = run(f"{name}: trains", "train", path, *data, "--epochs", "3", "--batch-size", "8", "--lr", "0.02", "--save", "last", "--json", "-o", out)
        if not out.exists():
            continue
        if name == "binary":  # the loss is that of the number in front of the Sigmoid inside the FusedGemm
            p, t = ort_rows(path, feed, ROWS)["y"].ravel(), labels % 2
            want = -np.mean(np.where(t == 1, np.log(p), np.log(1 - p)))
            check("binary: cross-entropy", abs(told["before"]["train"]["loss"] - want) < 1e-5, (told["before"], want))
        judged(f"{name}, trained", out)
        before, after = tensors(path), tensors(out)
        for t, v in before.items():
            if v.dtype == np.float32 and v.size > 1:
                check(f"{name}: {t} learns", not np.array_equal(v, after[t]))
        same_file = tmp / "same.onnx"
        run(f"{name} untouched", "train", path, "--epochs", "0", "--force", "-o", same_file)
        check(f"{name}: written back byte for byte", same_file.read_bytes() == path.read_bytes())
    r = hone("train", DATA / "optimized" / "relu.onnx", "--hidden-layers", "1", "--epochs", "0", "--force", "-o", tmp / "rebuilt.onnx")
    check("a rebuilt FusedGemm is refused by name", r.returncode != 0 and "FusedGemm" in r.stderr, (r.returncode, r.stderr))


def pictures():
    """Scalers in front of an input and behind an output whose rows have several axes."""
    values = {"w": weights(6, 4), "b": weights(4), "to": np.array([-1, 2, 2])}
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w b", "h"), node("Reshape", "h to", "y")]
    shapes = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *dims]) for k, dims in (("x", (1, 2, 3)), ("y", (2, 2)))]
    g = helper.make_graph(nodes, "pictures", shapes[:1], shapes[1:], [numpy_helper.from_array(v, k) for k, v in values.items()])
    path, out = tmp / "pictures.onnx", tmp / "scaled.onnx"
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    feeds = {"x": rng.normal(2, 3, size=(ROWS, 1, 2, 3)).astype(np.float32)}
    y = rng.normal(5, 2, size=(ROWS, 2, 2)).astype(np.float32)
    np.save(tmp / "pictures.npy", feeds["x"])
    np.save(tmp / "squares.npy", y)
    data = ["--x", tmp / "pictures.npy", "--y", tmp / "squares.npy", "--scale", "standard", "--scale-target", "standard"]
    run("pictures: scaled", "train", path, *data, "--epochs", "0", "--quiet", "-o", out)
    rows = {"x": (feeds["x"] - feeds["x"].mean(0)) / feeds["x"].std(0)}
    want = ort_rows(path, rows, ROWS)["y"].reshape(y.shape) * y.std(0) + y.mean(0)
    got = ort_rows(out, feeds, ROWS)["y"].reshape(y.shape) if out.exists() else None
    check("pictures: every element by itself", got is not None and apart(got, want) <= 1e-5, got)
    run("pictures: trained on", "train", out, *data[:4], "--epochs", "2", "--quiet", "-o", tmp / "scaled_trained.onnx")


normalisations()
groups()
pictures()
reductions()
types()
einsums()
arranged()
branches()
rows_alike()
unimported()
curves()
choices()
microsoft()
recorded()
_common.finish("operators", tmp)
