#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models whose only inputs are indices, one for each row, with a fixed batch, as PyTorch exports them when nobody asks for another: they
train on any number of rows to the bytes of the model with an open batch, keep their batch in the file, and let go of it on request. Against
ONNX Runtime, and PyTorch where it is there."""
import _common
from _common import apart, check, folder, hone, load, np, onnx, ort_rows, predict, run, tensors

tmp = folder()
make, info, array = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
rng = np.random.default_rng(5)
ROWS = 48
u, v = rng.integers(0, 9, ROWS), rng.integers(0, 7, ROWS)
taste = rng.normal(size=(9, 3)) @ rng.normal(size=(3, 7))
y = taste[u, v].astype(np.float32)[:, None]
W = {"users.weight": rng.normal(size=(9, 4)), "items.weight": rng.normal(size=(7, 4)), "o.weight": rng.normal(size=(1, 4)), "o.bias": rng.normal(size=1)}
W = {k: a.astype(np.float32) for k, a in W.items()}
np.save(tmp / "u.npy", u)
np.save(tmp / "v.npy", v)
np.save(tmp / "y.npy", y)
DATA = ["--x", f"u={tmp / 'u.npy'}", "--x", f"v={tmp / 'v.npy'}", "--y", tmp / "y.npy"]
TRAIN = ["--epochs", "3", "--batch-size", "8", "--optimizer", "sgd", "--lr", "0.1", "--no-shuffle", "--save", "last", "--quiet", "--force"]


def model(name, batch, product="Gemm", kind=onnx.TensorProto.INT64):
    nodes = [make("Gather", ["users.weight", "u"], ["a"]), make("Gather", ["items.weight", "v"], ["b"]), make("Mul", ["a", "b"], ["m"])]
    nodes += [make("Gemm", ["m", "o.weight", "o.bias"], ["y"], transB=1)] if product == "Gemm" else [make("Transpose", ["o.weight"], ["w"]), make("MatMul", ["m", "w"], ["p"]),
                                                                                                 make("Add", ["p", "o.bias"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "g", [info("u", kind, [batch]), info("v", kind, [batch])], [info("y", 1, [batch, 1])], [array(a, k) for k, a in W.items()])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp / f"{name}.onnx")
    return tmp / f"{name}.onnx"


for product in ("Gemm", "MatMul"):
    for kind in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        numpy = np.int64 if kind == onnx.TensorProto.INT64 else np.int32
        feeds = {"u": u.astype(numpy), "v": v.astype(numpy)}
        run("open: train", "train", model("open", "N", product, kind), *DATA, *TRAIN, "-o", tmp / "open_out.onnx")
        want = tensors(tmp / "open_out.onnx")
        for batch in (1, 4):
            what, path, out = f"{product}, {numpy.__name__}, batch {batch}", model("fixed", batch, product, kind), tmp / "out.onnx"
            run(f"{what}: train", "train", path, *DATA, *TRAIN, "-o", out)
            got = tensors(out)
            check(f"{what}: the weights of the open one", all(np.array_equal(got[k], want[k]) for k in W), {k: apart(got[k], want[k]) for k in W})
            check(f"{what}: they moved", not np.array_equal(got["users.weight"], W["users.weight"]))
            check(f"{what}: the file keeps its batch", [d.dim_value for d in load(out).graph.input[0].type.tensor_type.shape.dim] == [batch])
            found = predict(f"{what}: predict", out, feeds, tmp, "y")
            check(f"{what}: as ONNX Runtime", found is not None and apart(found, ort_rows(out, feeds, ROWS)["y"]) <= 1e-6)
            run(f"{what}: no epochs", "train", path, "--epochs", "0", "-q", "--force", "-o", out)
            check(f"{what}: no epochs, the same bytes", out.read_bytes() == path.read_bytes())
            run(f"{what}: let go", "train", path, *DATA, *TRAIN, "--batch-dim", "symbolic", "-o", out)
            check(f"{what}: let go, all rows at once", np.allclose(_common.session(out).run(None, feeds)[0], found, atol=1e-6))
            case = tmp / "vectors"
            case.mkdir(exist_ok=True)
            for k, (name, a) in enumerate(feeds.items()):
                (case / f"input_{k}.pb").write_bytes(array(a[:batch], name).SerializeToString())
            (case / "output_0.pb").write_bytes(array(_common.session(path).run(None, {k: a[:batch] for k, a in feeds.items()})[0], "y").SerializeToString())
            run(f"{what}: verify", "verify", path, case)

try:
    import torch
    w = {k: torch.tensor(a, requires_grad=True) for k, a in W.items()}
    for _ in range(3):
        for k in range(0, ROWS, 8):
            z = torch.nn.functional.linear(w["users.weight"][u[k:k + 8]] * w["items.weight"][v[k:k + 8]], w["o.weight"], w["o.bias"])
            ((z - torch.tensor(y[k:k + 8])) ** 2).mean().backward()
            for t in w.values():
                t.data -= 0.1 * t.grad
                t.grad = None
    run("PyTorch: train", "train", model("fixed", 1), *DATA, *TRAIN, "-o", tmp / "out.onnx")
    got = tensors(tmp / "out.onnx")
    for k in W:
        check(f"PyTorch: {k}", apart(got[k], w[k].detach().numpy()) < 2e-5, apart(got[k], w[k].detach().numpy()))
except ImportError:
    print("PyTorch is not installed: not compared with it")
np.save(tmp / "far.npy", np.where(np.arange(ROWS) == 30, 7, v))
r = hone("train", model("fixed", 4), "--x", f"u={tmp / 'u.npy'}", "--x", f"v={tmp / 'far.npy'}", "--y", tmp / "y.npy", "-o", tmp / "none.onnx")
check("an index outside its table", r.returncode == 4 and "31" in r.stderr and "items.weight" in r.stderr and "far.npy" in r.stderr, r.stderr[-300:])
np.save(tmp / "half.npy", np.where(np.arange(ROWS) == 20, 2.5, v))
for command in (["train", model("fixed", 4), "--y", tmp / "y.npy", "-o", tmp / "none.onnx"], ["predict", model("fixed", 4), "-o", tmp / "none.npy"]):
    r = hone(*command, "--x", f"u={tmp / 'u.npy'}", "--x", f"v={tmp / 'half.npy'}")
    check(f"{command[0]}: an index that is no whole number", r.returncode == 4 and "half.npy: row 21" in r.stderr and "2.5, wanted a whole number from 0 to 6" in r.stderr, r.stderr[-300:])
_common.finish("index_inputs", tmp)
