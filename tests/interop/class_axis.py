#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Outputs [rows, classes, places], as PyTorch's cross_entropy takes them: found out by the shape of the targets, by the sums of
probabilities or by the softmax at the end, told by --class-axis where both axes fit; written down for those who come later. Such a
model trains to the bytes of its twin that ends in a Transpose, and its figures, labels and constants count places. Against PyTorch's own
cross_entropy where PyTorch is there."""
import json
import subprocess

import _common
from _common import apart, check, folder, hone, load, np, onnx, run, session, tensors

tmp = folder()
make, info, array = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
rng = np.random.default_rng(3)
PLACES, CLASSES, ROWS = 4, 3, 200
x = rng.normal(size=(ROWS, 6)).astype(np.float32)
y = np.stack([np.digitize(x[:, k] + x[:, k + 1], [-0.8, 0.8]) for k in range(PLACES)], 1)
np.save(tmp / "x.npy", x)
np.save(tmp / "y.npy", y)
TRAIN = ["--epochs", "4", "--batch-size", "16", "--optimizer", "sgd", "--lr", "0.1", "--quiet", "--force"]


def model(name, dims, tail=(), places=PLACES, classes=CLASSES, opset=17):
    """dims: of a row; behind it the nodes of tail from "h3" to "y"."""
    r, path = np.random.default_rng(1), tmp / f"{name}.onnx"
    w = [r.normal(size=s).astype(np.float32) / 2 for s in ((6, 16), (16,), (16, places * classes), (places * classes,))]
    nodes = [make("Gemm", ["x", "w0", "b0"], ["h0"]), make("Relu", ["h0"], ["h1"]), make("Gemm", ["h1", "w1", "b1"], ["h2"]),
             make("Reshape", ["h2", "shape"], ["h3" if tail else "y"]), *tail]
    inits = [array(a, n) for a, n in zip(w, ("w0", "b0", "w1", "b1"))] + [array(np.array([-1, *dims]), "shape")]
    out = info("y", 1, ["N", *dims]) if not any(n.op_type == "Transpose" for n in tail) else info("y", 1, ["N", *dims[::-1]])
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, ["N", 6])], [out], inits)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def swap(a):
    return np.ascontiguousarray(np.swapaxes(a, 1, 2))


def same(what, a, b):
    a, b = tensors(a), tensors(b)
    check(what, all(np.array_equal(a[n], b[n]) for n in ("w0", "b0", "w1", "b1")), {n: apart(a[n], b[n]) for n in ("w0", "b0", "w1", "b1")})


turn = [make("Transpose", ["h3"], ["y"], perm=[0, 2, 1])]
first, last = model("first", [CLASSES, PLACES]), model("last", [CLASSES, PLACES], turn)
onehot = np.eye(CLASSES, dtype=np.float32)[y]
np.save(tmp / "onehot.npy", onehot)
np.save(tmp / "onehot_first.npy", swap(onehot))
soft = (0.7 * onehot + 0.1).astype(np.float32)
np.save(tmp / "soft.npy", soft)
np.save(tmp / "soft_first.npy", swap(soft))
more = ["--val-split", "0.25", "--metric", "f1,auc", "--json"]
for name, target, turned, loss in (("class numbers", "y.npy", "y.npy", []), ("one-hot", "onehot.npy", "onehot_first.npy", ["--loss", "ce"]),
                                   ("soft labels", "soft.npy", "soft_first.npy", ["--loss", "ce"]), ("mixup", "y.npy", "y.npy", ["--augment", "mixup=0.4"])):
    said = {}
    for path, data in ((first, turned), (last, target)):
        said[path] = run(f"{name}: train {path.stem}", "train", path, "--x", tmp / "x.npy", "--y", tmp / data, *loss, *TRAIN, *more, "-o", tmp / f"{path.stem}_out.onnx")
    same(f"{name}: the weights of its twin", tmp / "first_out.onnx", tmp / "last_out.onnx")
    for part in ("val", "guess", "standard_error"):
        check(f"{name}: {part} as of its twin", said[first].get(part) and said[first][part] == said[last][part], (said[first].get(part), said[last].get(part)))
    loss = [a for a in loss if a not in ("--augment", "mixup=0.4")]
    for path, data in ((first, turned), (last, target)):
        said[path] = run(f"{name}: eval {path.stem}", "eval", tmp / f"{path.stem}_out.onnx", "--x", tmp / "x.npy", "--y", tmp / data, *loss, "--json")
    check(f"{name}: figures of its twin", said[first] == said[last], said)

out = tmp / "first_out.onnx"
meta = {p.key: p.value for p in load(out).metadata_props}
check("written down", meta.get("hone.class_axis") == "first", meta)
check("not where the last axis is found out", "hone.class_axis" not in {p.key for p in load(tmp / "last_out.onnx").metadata_props})
z = session(out).run(None, {"x": x})[0]
for end in ("npy", "npz"):
    run(f"predict to .{end}", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / f"p.{end}")
    got = np.load(tmp / "p.npy") if end == "npy" else np.load(tmp / "p.npz")["y"]
    check(f"a class a place in .{end}", np.array_equal(got, z.argmax(1)), got[:2])
run("predict to CSV", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.csv")
lines = (tmp / "p.csv").read_text().split("\n")
check("columns of the places", lines[0] == "y_0,y_1,y_2,y_3" and lines[5] == ",".join(map(str, z[4].argmax(0))), lines[:2])
run("an untrained model, told", "predict", first, "--x", tmp / "x.npy", "--argmax", "--class-axis", "first", "--force", "-o", tmp / "p.npy")
check("an untrained model, told: a class a place", np.array_equal(np.load(tmp / "p.npy"), session(first).run(None, {"x": x})[0].argmax(1)))

# several axes of places: [rows, classes, 2, 3] with targets [rows, 2, 3]; [rows, classes, 1]: one class a row
grid = model("grid", [4, 2, 3], places=6, classes=4)
yg = (np.abs(x[:, :6]) * 2).astype(np.int64).clip(0, 3).reshape(ROWS, 2, 3)
np.save(tmp / "yg.npy", yg)
run("axes of places", "train", grid, "--x", tmp / "x.npy", "--y", tmp / "yg.npy", *TRAIN, "-o", tmp / "grid_out.onnx")
run("axes of places: predict", "predict", tmp / "grid_out.onnx", "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.npy")
check("axes of places: labels have them", np.array_equal(np.load(tmp / "p.npy"), session(tmp / "grid_out.onnx").run(None, {"x": x})[0].argmax(1)))
one, flat = model("one", [CLASSES, 1], places=1), model("flat", [CLASSES], places=1)
np.save(tmp / "y0.npy", y[:, 0])
for path in (one, flat):
    run(f"one place: {path.stem}", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y0.npy", *TRAIN, "-o", tmp / f"{path.stem}_out.onnx")
same("one place: the weights of the flat one", tmp / "one_out.onnx", tmp / "flat_out.onnx")

# a softmax over the axis says it: also where both axes fit, and nothing is written down
for op, loss in (("Softmax", "ce"), ("LogSoftmax", "nll")):
    a = model("tail", [3, 3], [make(op, ["h3"], ["y"], axis=1)], places=3)
    b = model("twin", [3, 3], [make("Transpose", ["h3"], ["h4"], perm=[0, 2, 1]), make(op, ["h4"], ["y"], axis=-1)], places=3)
    np.save(tmp / "y3.npy", y[:, :3])
    for path in (a, b):
        run(f"{op}: train {path.stem}", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y3.npy", "--loss", loss, *TRAIN, "-o", tmp / f"{path.stem}_out.onnx")
    same(f"{op}: the weights of its twin", tmp / "tail_out.onnx", tmp / "twin_out.onnx")
    check(f"{op}: nothing written down", "hone.class_axis" not in {p.key for p in load(tmp / "tail_out.onnx").metadata_props})
    check(f"{op}: gradients", hone("gradcheck", a).returncode == 0)
    run(f"{op}: predict", "predict", tmp / "tail_out.onnx", "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.npy")
    check(f"{op}: a class a place", np.array_equal(np.load(tmp / "p.npy"), session(tmp / "tail_out.onnx").run(None, {"x": x})[0].argmax(1)))


def refused(what, code, words, *options):
    r = hone("train", *options, "--epochs", "1", "--force", "-o", tmp / "none.onnx")
    check(what, r.returncode == code and all(w in r.stderr for w in words), (r.returncode, r.stderr[-400:]))


square = model("square", [3, 3], places=3)
data = ["--x", tmp / "x.npy", "--y", tmp / "y3.npy"]
refused("both axes fit", 2, ["y:", "3 classes along the axis behind the rows", "--class-axis first"], square, *data)
for axis in ("first", "last"):
    out = tmp / f"square_{axis}.onnx"
    run(f"both fit, {axis}", "train", square, *data, "--class-axis", axis, *TRAIN, "-o", out)
    found = run(f"both fit, {axis}: eval needs no word", "eval", out, *data, "--json")
    z = session(out).run(None, {"x": x})[0]
    right = (z.argmax(1 if axis == "first" else 2) == y[:, :3]).mean()
    check(f"both fit, {axis}: accuracy", abs(found.get("accuracy", 0) - right) < 1e-6, (found, right))
    run(f"both fit, {axis}: predict", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.npy")
    check(f"both fit, {axis}: labels", np.array_equal(np.load(tmp / "p.npy"), z.argmax(1 if axis == "first" else 2)))
np.save(tmp / "latin.npy", np.tile(np.array([[[1, 0, 0], [0, 0, 1], [0, 1, 0]]], np.float32), (ROWS, 1, 1)))
refused("sums of both are 1", 2, ["3 along the last one"], square, "--x", tmp / "x.npy", "--y", tmp / "latin.npy", "--loss", "ce")
refused("probabilities in other axes", 4, ["[4, 3]", "[3, 4]", "same axes"], first, "--x", tmp / "x.npy", "--y", tmp / "onehot.npy", "--loss", "ce")
refused("told against the softmax", 2, ["softmax over its first axis"], a, *data, "--class-axis", "last")
refused("told of an output with one axis", 2, ["class-axis", "no axis behind"], flat, "--x", tmp / "x.npy", "--y", tmp / "y0.npy", "--class-axis", "first")
refused("told, but the targets are of the other", 4, ["4 targets", "3 places of 4 classes"], first, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--class-axis", "last")

fake = _common.fake_device(tmp)
if fake:
    at, env = fake
    found = {}
    for device in ("cpu", "cuda"):
        r = subprocess.run([str(_common.HONE), "train", str(first), "--x", str(tmp / "x.npy"), "--y", str(tmp / "y.npy"), "--val-split", "0.25", "--json", *TRAIN, "--device", device,
                            "-o", str(tmp / f"{device}.onnx")], capture_output=True, text=True, cwd=at, env=env, timeout=900)
        check(f"on the {device}", r.returncode == 0, r.stderr[-300:])
        found[device] = json.loads(r.stdout)["val"]
    check("on a GPU as on the CPU", found["cpu"]["accuracy"] == found["cuda"]["accuracy"] and abs(found["cpu"]["loss"] - found["cuda"]["loss"]) < 1e-5, found)

try:
    import torch
    w = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in tensors(first).items() if k != "shape"}
    for _ in range(4):
        for k in range(0, ROWS, 16):
            z = (torch.relu(torch.tensor(x[k:k + 16]) @ w["w0"] + w["b0"]) @ w["w1"] + w["b1"]).view(-1, CLASSES, PLACES)
            torch.nn.functional.cross_entropy(z, torch.tensor(y[k:k + 16])).backward()
            for v in w.values():
                v.data -= 0.1 * v.grad
                v.grad = None
    run("PyTorch: train", "train", first, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--no-shuffle", *TRAIN, "-o", tmp / "t.onnx")
    for k, v in tensors(tmp / "t.onnx").items():
        check(f"PyTorch: {k}", k == "shape" or apart(v, w[k].detach().numpy()) < 2e-5, k)
except ImportError:
    print("PyTorch is not installed: not compared with its cross_entropy")
_common.finish("class_axis", tmp)
