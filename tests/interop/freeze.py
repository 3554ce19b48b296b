#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What learns is decided by name: --unfreeze lets a learned gate in front of the first layer and a temperature behind the last one
learn, as plain numpy has it; --freeze keeps bits; a glob that fits nothing is refused, and what it could have meant is said."""
import _common
from _common import check, folder, hone, np, onnx, ort_rows, predict, run, tensors
from onnx import TensorProto, helper, numpy_helper

tmp = folder()
rng = np.random.default_rng(0)
WEIGHTS = {"w": rng.normal(size=(4, 3)).astype(np.float32), "b": np.zeros(3, np.float32), "gate": np.ones(4, np.float32),
           "temperature": np.float32(1)}
nodes = [helper.make_node("Mul", ["x", "gate"], ["g"]), helper.make_node("Gemm", ["g", "w", "b"], ["z"]), helper.make_node("Mul", ["z", "temperature"], ["y"])]
graph = helper.make_graph(nodes, "gated", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
                          [numpy_helper.from_array(v, k) for k, v in WEIGHTS.items()])
path, out = tmp / "gated.onnx", tmp / "out.onnx"
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
x, y = rng.normal(size=(32, 4)).astype(np.float32), rng.normal(size=(32, 3)).astype(np.float32)
np.save(tmp / "x.npy", x), np.save(tmp / "y.npy", y)
DATA = ["--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse"]
HOW = ["--optimizer", "sgd", "--lr", "0.1", "--batch-size", "32", "--epochs", "20", "--no-shuffle", "--save", "last", "--quiet", "--force"]


def by_hand(learn):
    p = {k: np.float64(v) for k, v in WEIGHTS.items()}
    for _ in range(20):
        g = x * p["gate"]
        z = g @ p["w"] + p["b"]
        dy = 2 * (z * p["temperature"] - y) / y.size
        dz = dy * p["temperature"]
        slope = {"w": g.T @ dz, "b": dz.sum(0), "gate": (dz @ p["w"].T * x).sum(0), "temperature": (dy * z).sum()}
        p = {k: v - 0.1 * slope[k] if k in learn else v for k, v in p.items()}
    return p


def learns(what, learn, *args):
    out.unlink(missing_ok=True)
    run(what, "train", path, *DATA, *HOW, *args, "-o", out)
    got, want = tensors(out), by_hand(learn)
    for name, was in WEIGHTS.items():
        check(f"{what}: {name}", np.max(np.abs(got[name] - want[name])) <= 2e-6, f"{got[name]} against {want[name]}")
        check(f"{what}: {name} moves or rests", (name in learn) == (not np.array_equal(got[name], was)))
    check(f"{what}: as ONNX Runtime", np.allclose(predict(what, out, {"x": x}, tmp, "y"), ort_rows(out, {"x": x}, len(x))["y"], atol=1e-6))


learns("by default", {"w", "b"})
learns("both", {"w", "b", "gate", "temperature"}, "--unfreeze", "gate", "--unfreeze", "temp*")
learns("all but one", {"b", "gate"}, "--unfreeze", "gate", "--freeze", "w")

run("a run to go on", "train", path, *DATA, *HOW, "--unfreeze", "gate", "--keep-run", "-o", out)
run("goes on", "resume", f"{out}.run", "--epochs", "+5", "--quiet")
longer = tensors(out)
run("at once", "train", path, *DATA, *[a if a != "20" else "25" for a in HOW], "--unfreeze", "gate", "-o", out)
check("a run that goes on is the same", all(np.array_equal(longer[k], v) for k, v in tensors(out).items()))
run("a search", "tune", path, *DATA, "--unfreeze", "gate", "--search", "lr=0.05,0.1", "--epochs", "5", "--val-split", "0.25", "--quiet", "--force", "-o", out)
check("a search lets it learn", not np.array_equal(tensors(out)["gate"], WEIGHTS["gate"]))

for option, glob, said in (("--freeze", "wieght", "could learn"), ("--unfreeze", "gat", "can learn")):
    r = hone("train", path, *DATA, *HOW, option, glob, "-o", tmp / "no.onnx")
    check(f"{option} {glob} fits nothing", r.returncode == 2 and glob in r.stderr and said in r.stderr and "gate, w, b" in r.stderr, r.stderr)
r = hone("train", path, *DATA, *HOW, "--freeze", "gate", "--unfreeze", "gate", "-o", tmp / "no.onnx")
check("both of one", r.returncode == 2 and "not frozen" in r.stderr, r.stderr)
_common.finish("freeze", tmp)
