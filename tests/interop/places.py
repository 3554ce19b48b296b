#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Outputs [rows, places, classes]: a class at each of several places of a row. Loss and accuracy of class numbers and of one-hot
targets against ONNX Runtime and numpy, labels and what a constant reaches, --argmax a place, mixup; targets of another width, text and
weights of classes are refused by what is wanted."""
import _common
from _common import check, folder, hone, np, onnx, run, session

tmp = folder()
make, info, array = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
rng = np.random.default_rng(3)
PLACES, CLASSES, ROWS = 4, 3, 300
x = rng.normal(size=(ROWS, 6)).astype(np.float32)
y = np.stack([np.digitize(x[:, k] + x[:, k + 1], [-0.8, 0.8]) for k in range(PLACES)], 1)
onehot = np.eye(CLASSES, dtype=np.float32)[y]
np.save(tmp / "x.npy", x)
np.save(tmp / "y.npy", y)
np.save(tmp / "onehot.npy", onehot.reshape(ROWS, -1))


def model(path, last):
    w = [rng.normal(size=s).astype(np.float32) / 2 for s in ((6, 16), (16,), (16, PLACES * CLASSES), (PLACES * CLASSES,))]
    nodes = [make("Gemm", ["x", "w0", "b0"], ["h0"]), make("Relu", ["h0"], ["h1"]), make("Gemm", ["h1", "w1", "b1"], ["h2"]),
             make("Reshape", ["h2", "shape"], ["y"])]
    inits = [array(a, n) for a, n in zip(w, ("w0", "b0", "w1", "b1"))] + [array(np.array([-1, *last]), "shape")]
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, ["N", 6])], [info("y", 1, ["N", *last])], inits)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def scores(path):
    return session(path).run(None, {"x": x})[0].astype(np.float64)


def cross_entropy(z):
    z = z - z.max(-1, keepdims=True)
    return -np.log((np.exp(z) / np.exp(z).sum(-1, keepdims=True))[onehot > 0]).mean()


def close(a, b, within=1e-5):
    return a is not None and abs(a - b) <= within * max(1, abs(b))


m = model(tmp / "m.onnx", [PLACES, CLASSES])
data = ["--x", tmp / "x.npy", "--y", tmp / "y.npy"]
most = np.bincount(y.ravel()).max() / y.size
for name, target, more in (("class numbers", "y.npy", []), ("one-hot", "onehot.npy", ["--loss", "ce"])):
    out = tmp / f"{target}.onnx"
    said = run(f"{name}: train", "train", m, "--x", tmp / "x.npy", "--y", tmp / target, *more, "--val-split", "0.2", "--epochs", "30", "--lr", "0.02", "--metric",
               "f1", "--json", "--quiet", "--force", "-o", out)
    check(f"{name}: it learned", said.get("val", {}).get("accuracy", 0) > 0.85, said.get("val"))
    z = scores(out)
    found = run(f"{name}: eval", "eval", out, "--x", tmp / "x.npy", "--y", tmp / target, *more, "--metric", "f1", "--json")
    check(f"{name}: loss", close(found.get("loss"), cross_entropy(z)), (found, cross_entropy(z)))
    right = z.argmax(-1) == y
    check(f"{name}: accuracy", close(found.get("accuracy"), right.mean()), (found, right.mean()))
    hit = [2 * ((z.argmax(-1) == c) & (y == c)).sum() / ((z.argmax(-1) == c).sum() + (y == c).sum()) for c in range(CLASSES)]
    check(f"{name}: f1", close(found.get("f1"), np.mean(hit)), (found, np.mean(hit)))
    guess = run(f"{name}: what a constant reaches", "train", m, "--x", tmp / "x.npy", "--y", tmp / target, *more, "--epochs", "1", "--json", "--quiet", "--force",
                "-o", tmp / "g.onnx").get("guess", {}).get("train", {})
    share = np.bincount(y.ravel()) / y.size
    check(f"{name}: a constant's accuracy", close(guess.get("accuracy"), most), (guess, most))
    check(f"{name}: a constant's loss", close(guess.get("loss"), -(share * np.log(share)).sum()), guess)
    run(f"{name}: predict", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.npy")
    check(f"{name}: a class a place", np.array_equal(np.load(tmp / "p.npy"), z.argmax(-1)))
    run(f"{name}: predict to CSV", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.csv")
    lines = (tmp / "p.csv").read_text().split("\n")
    check(f"{name}: its columns", lines[0] == "y_0,y_1,y_2,y_3" and lines[1] == ",".join(map(str, z[0].argmax(-1))), lines[:2])

# classes by other numbers travel with the model, and come back
np.save(tmp / "named.npy", y * 10 + 5)
out = tmp / "named.onnx"
run("other labels: train", "train", m, "--x", tmp / "x.npy", "--y", tmp / "named.npy", "--val-split", "0.2", "--epochs", "5", "--quiet", "--force", "-o", out)
run("other labels: predict", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.npy")
check("other labels: they come back", np.array_equal(np.load(tmp / "p.npy"), scores(out).argmax(-1) * 10 + 5))
run("other labels: scores to CSV", "predict", out, "--x", tmp / "x.npy", "--force", "-o", tmp / "p.csv")
check("other labels: a column a score", (tmp / "p.csv").read_text().split("\n")[0] == ",".join(f"y_{i}" for i in range(PLACES * CLASSES)))

# arrays have the model's axes
for name, last, labels in (("places", [PLACES, CLASSES], y.shape), ("one axis", [PLACES * CLASSES], (ROWS,)), ("three axes", [2, 2, CLASSES], (ROWS, 2, 2))):
    path = model(tmp / "axes.onnx", last)
    for end in ("npy", "npz"):
        out = tmp / f"axes.{end}"
        run(f"{name}: predict to .{end}", "predict", path, "--x", tmp / "x.npy", "--force", "-o", out)
        found = np.load(out) if end == "npy" else np.load(out)["y"]
        check(f"{name}: shape in .{end}", found.shape == scores(path).shape, found.shape)
        check(f"{name}: numbers in .{end}", np.allclose(found, scores(path), atol=1e-5))
    run(f"{name}: predict labels", "predict", path, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "axes.npy")
    check(f"{name}: shape of labels", np.load(tmp / "axes.npy").shape == labels, np.load(tmp / "axes.npy").shape)

said = run("mixup", "train", m, *data, "--augment", "mixup=0.3", "--val-split", "0.2", "--epochs", "20", "--lr", "0.02", "--json", "--quiet", "--force", "-o",
           tmp / "mix.onnx")
check("mixup: it learned", said.get("val", {}).get("accuracy", 0) > 0.8, said.get("val"))
said = run("a search by folds", "tune", m, *data, "--folds", "3", "--search", "lr=0.01,0.02", "--epochs", "5", "--json", "--quiet", "--force", "-o", tmp / "t.onnx")
check("a search by folds: its trials have values", len([t for t in said.get("trials", []) if t.get("value")]) == 3, said.get("trials"))


def refused(what, code, words, *options):
    r = hone("train", *options, "--epochs", "1", "--force", "-o", tmp / "none.onnx")
    check(what, r.returncode == code and all(w in r.stderr for w in words), (r.returncode, r.stderr[-300:]))


refused("weights of classes", 2, ["class-weights", "4 places", "one class a row"], m, *data, "--class-weights", "balanced")
refused("another width", 4, ["6 targets", "4 places of 3 classes", "4 class numbers, or 12 values"], m, "--x", tmp / "x.npy", "--y", tmp / "x.npy", "--loss", "ce")
bad = y.copy()
bad[7, 2] = 3
np.save(tmp / "bad.npy", bad)
refused("a class too many", 4, ["found"], m, "--x", tmp / "x.npy", "--y", tmp / "bad.npy")
one = model(tmp / "one.onnx", [PLACES * CLASSES, 1])
refused("one output along the last axis", 2, ["last axis"], one, "--x", tmp / "x.npy", "--y", tmp / "onehot.npy", "--loss", "ce")
_common.finish("places", tmp)
