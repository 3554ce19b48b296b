#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn's linear models as skl2onnx writes them (tests/data/make_linear_models.py), whose weights are attributes of a
LinearClassifier or LinearRegressor, and forms of these operators that it does not write: predicted as ONNX Runtime does, the loss that of
ONNX Runtime's outputs, the first step that of the formula, and the trained file the same but for the floats of these attributes."""
import _common
from _common import DATA, apart, check, checker, folder, hone, labels_and_scores, load, np, onnx, run

HERE = DATA / "linear"
d = np.load(DATA / "sklearn" / "data.npz")
X = d["x"]
YES = np.where(d["two"], "yes", "no")
tmp = folder()
TARGETS = {"classes": d["three"], "named": d["named"], "two": d["two"], "yes": YES, "raw": d["three"], "raw_two": d["two"], "vectors": d["three"], "vectors_two": YES,
           "ridge": d["three"], "discriminant": d["two"], "rest": d["three"], "descent": d["three"], "integers": d["three"],
           "vote": d["three"], "bag": d["named"], "calibrated": d["three"], "calibrated_two": d["two"],
           "number": d["real"], "numbers": np.stack([d["real"], 2 * d["real"] + X[:, 2]], 1), "sparse": d["real"]}
AT_BEST = ("integers", "number")  # nothing is left to learn
LISTS = ("coefficients", "intercepts")
# ONNX Runtime's logistic is off by 6e-8 absolutely, which a division by a small sum makes more of.
LOOSE = {"rest": 2e-3}


def rows_of(path):
    x = np.round(X).astype(np.int64) if load(path).graph.input[0].type.tensor_type.elem_type == 7 else X
    np.save(tmp / "x.npy", x)
    return x


def predicted(what, path, *options):
    run(f"{what}: predict", "predict", path, "--x", tmp / "x.npy", *options, "--force", "-o", tmp / "p.npy")
    return np.load(tmp / "p.npy").reshape(len(X), -1)


def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def loss_of(scores, y):
    """What the automatic choice takes, from outputs: -log of probabilities, cross-entropy of scores, binary where there is one, squares of numbers."""
    scores = scores.astype(np.float64)
    if y.dtype.kind == "f":
        return ((scores - y.reshape(scores.shape)) ** 2).mean()
    k = np.unique(y, return_inverse=True)[1]
    if scores.shape[1] == 1:
        return np.logaddexp(0, -scores[:, 0] * (2 * k - 1)).mean()
    p = scores if (scores >= 0).all() and np.allclose(scores.sum(1), 1, atol=1e-4) else softmax(scores)
    return -np.log(np.clip(p[np.arange(len(k)), k], 1e-38, 1)).mean()


def lists(model):
    """[node, attribute] of every list of weights."""
    return [(n, a) for n in model.graph.node if n.op_type.startswith("Linear") for a in n.attribute if a.name in LISTS]


def only_floats(what, source, out):
    """The trained file with the source's floats put back, without metadata: the source's bytes."""
    before, after = load(source), load(out)
    moved = 0
    for (_, a), (_, b) in zip(lists(before), lists(after)):
        check(f"{what}: as many numbers", len(a.floats) == len(b.floats))
        moved += sum(x != y for x, y in zip(a.floats, b.floats))
        for i, v in enumerate(a.floats):
            b.floats[i] = v
    del after.metadata_props[:]
    check(f"{what}: nothing but floats and metadata", after.SerializeToString() == source.read_bytes())
    head = out.read_bytes()[: source.stat().st_size]
    check(f"{what}: in place", sum(x != y for x, y in zip(head, source.read_bytes())) <= 4 * moved and (moved > 0) == bool(lists(before)))


def one(name):
    path, out = HERE / f"{name}.onnx", tmp / f"{name}.onnx"
    y, near = TARGETS[name], LOOSE.get(name, 2e-6)
    x = rows_of(path)
    (tmp / "y.csv").write_text("\n".join([",".join("abc"[: y.reshape(len(y), -1).shape[1]])] + [",".join(map(str, row)) for row in y.reshape(len(y), -1)]) + "\n")
    data = ["--x", tmp / "x.npy", "--y", tmp / "y.csv"]
    labels, want = labels_and_scores(path, x)
    size = max(1, np.abs(want).max())
    check(f"{name}: predicted as ONNX Runtime does", apart(predicted(name, path), want) <= near * size, apart(predicted(name, path), want))
    run(f"{name}: no epochs", "train", path, "--epochs", "0", "--force", "-o", out)
    check(f"{name}: the same bytes", out.read_bytes() == path.read_bytes())
    e = run(f"{name}: eval", "eval", path, *data, "--json")
    check(f"{name}: the loss is that of its outputs", abs(e["loss"] - loss_of(want, y)) < 1e-4 * max(1, e["loss"]), (e["loss"], loss_of(want, y)))
    j = run(f"{name}: train", "train", path, *data, "--epochs", "20", "--lr", "0.02", "--monitor", "train_loss", "--keep-run", "--json", "--progress", "none", "--force", "-o", out)
    if not j.get("train"):
        return
    best = 2e-3 if name in AT_BEST else 0
    check(f"{name}: it learns", j["train"]["loss"] < e["loss"] + best, (e["loss"], j["train"]))
    labels, after = labels_and_scores(out, x)
    size = max(1, np.abs(after).max())
    check(f"{name}: the exported file, predicted", apart(predicted(name, out), after) <= near * size, apart(predicted(name, out), after))
    check(f"{name}: its loss is that of ONNX Runtime's outputs", abs(loss_of(after, y) - j["train"]["loss"]) < 1e-3 * max(1, j["train"]["loss"]), (loss_of(after, y), j["train"]))
    check(f"{name}: onnx.checker", checker(load(out)) if checker(load(path)) else True)
    if lists(load(path)):
        only_floats(name, path, out)
    if labels is not None:
        right = float((labels.astype(str) == y.astype(str)).mean())
        check(f"{name}: accuracy of the file's own labels", abs(right - j["train"]["accuracy"]) < 1e-9, (right, j["train"]))
        run(f"{name}: a CSV", "predict", out, "--x", tmp / "x.npy", "--force", "-o", tmp / "p.csv")
        check(f"{name}: has the labels as they are", [line.split(",")[0] for line in (tmp / "p.csv").read_text().split()[1:]] == labels.astype(str).tolist())
        run(f"{name}: classes in a CSV", "predict", out, "--x", tmp / "x.npy", "--argmax", "--force", "-o", tmp / "p.csv")
        check(f"{name}: are these labels", (tmp / "p.csv").read_text().split()[1:] == labels.astype(str).tolist())
    g = hone("gradcheck", path)
    check(f"{name}: gradcheck", g.returncode == 0, (g.stdout + g.stderr)[-300:])


def goes_on():
    """Ten epochs, then ten more, are twenty; what is frozen stays; a search."""
    path = HERE / "two.onnx"
    rows_of(path)
    (tmp / "y.csv").write_text("y\n" + "\n".join(map(str, d["two"])) + "\n")
    how = ["--x", tmp / "x.npy", "--y", tmp / "y.csv", "--lr", "0.02", "--seed", "3", "--quiet", "--force"]
    run("ten epochs", "train", path, *how, "--epochs", "10", "--keep-run", "-o", tmp / "half.onnx")
    run("ten more", "resume", f"{tmp / 'half.onnx'}.run", "--epochs", "+10", "--quiet", "--force")
    run("twenty", "train", path, *how, "--epochs", "20", "-o", tmp / "whole.onnx")
    same = [list(a.floats) == list(b.floats) for (_, a), (_, b) in zip(lists(load(tmp / "half.onnx")), lists(load(tmp / "whole.onnx")))]
    check("resumed: the same weights", same == [True, True])
    only_floats("resumed", path, tmp / "half.onnx")
    for option, glob, stays in (("--freeze", "*/coefficients", [True, False]), ("--freeze", "LinearClassifier/intercepts", [False, True])):
        run(f"{option} {glob}", "train", path, *how, "--epochs", "2", option, glob, "-o", tmp / "f.onnx")
        check(f"{option} {glob}: stays", [list(a.floats) == list(b.floats) for (_, a), (_, b) in zip(lists(load(path)), lists(load(tmp / "f.onnx")))] == stays)
    j = run("inspect", "inspect", path, "--json")
    check("inspect: names them", {"LinearClassifier/coefficients", "LinearClassifier/intercepts"} == {w["name"] for w in j["weights"]}, j["weights"])
    run("a search", "tune", path, "--x", tmp / "x.npy", "--y", tmp / "y.csv", "--folds", "3", "--trials", "3", "--epochs", "2", "--search", "lr=log:1e-3..1e-1", "--force", "--quiet", "-o", tmp / "t.onnx")
    r = hone("diff", path, tmp / "whole.onnx")
    check("diff: a list is one line", r.stdout.count("coefficients") == 1 and r.stdout.count("intercepts") == 1, r.stdout)


# ---- forms by hand, and the first step ----------------------------------------------------------------------------------

rng = np.random.default_rng(5)
S = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
N = len(S)
make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
ML = dict(domain="ai.onnx.ml")


def by_hand(name, w, b, post=None, labels=None, tail=(), out="s", kind="LinearClassifier", elem=1):
    a = dict(coefficients=w.ravel().tolist(), name="lin")
    if b is not None:
        a["intercepts"] = b.tolist()
    if post:
        a["post_transform"] = post
    if labels is not None:
        a["classlabels_ints" if isinstance(labels[0], int) else "classlabels_strings"] = labels
    if kind == "LinearRegressor":
        a["targets"] = len(w)
    ends = [info(out, 1, None)]
    if labels is not None:
        ends.insert(0, info("label", 7 if isinstance(labels[0], int) else 8, None))
    g = onnx.helper.make_graph([make(kind, ["x"], ["label", "s"] if labels is not None else ["s"], **a, **ML), *tail], "g", [info("x", elem, ["n", 5])], ends,
                               [onnx.helper.make_tensor("column", 7, [], [1])] if out == "column_1" else [])
    m = onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 1)], ir_version=8)
    path = tmp / f"{name}.onnx"
    path.write_bytes(m.SerializeToString())
    return path


def step(name, path, y, w, b, slope, near=2e-6):
    """One step of gradient descent with all rows: w - lr x' slope(z), z the scores of the rows that learn."""
    np.save(tmp / "x.npy", S)
    np.save(tmp / "y.npy", y)
    want = labels_and_scores(path, S)[1]
    check(f"{name}: predicted as ONNX Runtime does", apart(predicted(name, path), want) <= near * max(1, np.abs(want).max()), apart(predicted(name, path), want))
    run(f"{name}: a step", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--optimizer", "sgd", "--lr", "0.5", "--batch-size", N, "--epochs", "1", "--force", "--quiet", "-o", tmp / "step.onnx")
    got = {a.name: np.array(a.floats) for _, a in lists(load(tmp / "step.onnx"))}
    z = S.astype(np.float64) @ w.T + (0 if b is None else b)
    g = slope(z)
    new_w, new_b = w - 0.5 * g.T @ S, None if b is None else b - 0.5 * g.sum(0)
    if got["coefficients"].size == 2 * new_w.size:
        new_w, new_b = np.concatenate([-new_w, new_w]), np.concatenate([-new_b, new_b])
    check(f"{name}: coefficients", np.abs(got["coefficients"] - new_w.ravel()).max() < 1e-5, (got, new_w))
    check(f"{name}: intercepts", new_b is None or np.abs(got["intercepts"] - new_b).max() < 1e-5, (got, new_b))
    r = run(f"{name}: gradcheck", "gradcheck", path, "--json")
    check(f"{name}: gradients", r.get("passed") is True, r)


def steps():
    w, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    u, c = w[:1], b[:1]
    both, bias = np.concatenate([-u, u]), np.concatenate([-c, c])
    two, three = d["two"].astype(np.int64), d["three"].astype(np.int64)
    hot = np.eye(3)[three]
    share = [make("Normalizer", ["s"], ["p"], norm="L1", **ML)]
    y2 = two[:, None]

    def of(p):
        return lambda z: (p(z) - (hot if z.shape[1] == 3 else y2)) / N

    def rest(z):  # -log of sigmoids divided by their sum
        p = sigmoid(z)
        return (p / p.sum(1, keepdims=True) - hot) * (1 - p) / N

    step("two, logistic", by_hand("a", both, bias, "LOGISTIC", [0, 1]), two, u, c, of(sigmoid))
    step("two, softmax", by_hand("b", both, bias, "SOFTMAX", [0, 1]), two, u, c, lambda z: 2 * (sigmoid(2 * z) - y2) / N)
    step("two, scores", by_hand("c", both, bias, "NONE", [0, 1]), two, u, c, lambda z: 2 * (sigmoid(2 * z) - y2) / N)
    step("two by one column", by_hand("d", both, bias, None, [0, 1], [make("ArrayFeatureExtractor", ["s", "column"], ["column_1"], **ML)], "column_1"), two, u, c, of(sigmoid))
    step("two by one row, logistic", by_hand("e", u, c, "LOGISTIC", [0, 1]), two, u, c, of(sigmoid))
    step("two by one row, scores", by_hand("f", u, c, None, [0, 1]), two, u, c, lambda z: 2 * (sigmoid(2 * z - 1) - y2) / N)
    step("two, normalised", by_hand("g", both, bias, "LOGISTIC", [0, 1], share, "p"), two, u, c, of(sigmoid))
    step("three, softmax", by_hand("h", w, b, "SOFTMAX", [0, 1, 2]), three, w, b, of(softmax))
    step("three, softmax, normalised", by_hand("i", w, b, "SOFTMAX", [0, 1, 2], share, "p"), three, w, b, of(softmax))
    step("three, scores", by_hand("j", w, b, None, [0, 1, 2]), three, w, b, of(softmax))
    step("three, one against the rest", by_hand("k", w, b, "LOGISTIC", [0, 1, 2], share, "p"), three, w, b, rest, 2e-5)
    real = d["real"].astype(np.float64)
    step("a number", by_hand("l", u, c, kind="LinearRegressor"), real, u, c, lambda z: 2 * (z - real[:, None]) / N)
    pairs = np.stack([real, -real, real * 2], 1)
    step("three numbers", by_hand("m", w, b, kind="LinearRegressor"), pairs, w, b, lambda z: 2 * (z - pairs) / (3 * N))
    step("numbers without intercepts", by_hand("n", w, None, kind="LinearRegressor"), pairs, w, None, lambda z: 2 * (z - pairs) / (3 * N))
    # far from zero: a sigmoid that is 0 in float32 still has its logarithm
    far = by_hand("far", 100 * w, b, "LOGISTIC", [0, 1, 2], share, "p")
    np.save(tmp / "x.npy", S), np.save(tmp / "y.npy", three)
    z = (S.astype(np.float64) @ (100 * w.astype(np.float64)).T + b)
    logs = -np.logaddexp(0, -z)
    logs = logs - np.logaddexp(np.logaddexp(logs[:, :1], logs[:, 1:2]), logs[:, 2:])
    e = run("far from zero", "train", far, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--epochs", "1", "--lr", "1e-3", "--json", "--progress", "none", "--force", "-o", tmp / "far2.onnx")
    want = -logs[np.arange(N), three].mean()
    check("far from zero: the loss", sigmoid(z).min() < 1e-45 and abs(e["before"]["train"]["loss"] - want) < 1e-4 * want, (e["before"], want))
    check("far from zero: it learns", e["train"]["loss"] < want and e["epochs"] == 1, e)
    # labels: of text and of integers, and their order
    for name, tags2, y in (("integers", [15, 4, 8], np.array([15, 4, 8])[three]), ("text", ["z", "a", "m"], np.array(["z", "a", "m"])[three])):
        path = by_hand("labels", w, b, "SOFTMAX", tags2)
        (tmp / "y.csv").write_text("y\n" + "\n".join(map(str, y)) + "\n")
        e = run(f"labels of {name}", "eval", path, "--x", tmp / "x.npy", "--y", tmp / "y.csv", "--json")
        p = labels_and_scores(path, S)[1].astype(np.float64)
        check(f"labels of {name}: in the file's order", abs(e["loss"] + np.log(p[np.arange(N), three]).mean()) < 1e-5, e)
        check(f"labels of {name}: accuracy", abs(e["accuracy"] - (labels_and_scores(path, S)[0].astype(str) == y.astype(str)).mean()) < 1e-9)


def other_inputs():
    w, b = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    for elem, x in ((6, np.round(X).astype(np.int32)), (7, np.round(X).astype(np.int64)), (11, X.astype(np.float64) / 3)):
        path = by_hand("input", w, b, "SOFTMAX", [0, 1, 2], elem=elem)
        np.save(tmp / "x.npy", x)
        check(f"input of type {elem}: predicted as ONNX Runtime does", apart(predicted(f"type {elem}", path), labels_and_scores(path, x)[1]) <= 2e-6)
        np.save(tmp / "y.npy", d["three"])
        run(f"input of type {elem}: train", "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--epochs", "1", "--force", "--quiet", "-o", tmp / "i.onnx")
        check(f"input of type {elem}: the exported file", apart(predicted(f"type {elem}", tmp / "i.onnx"), labels_and_scores(tmp / "i.onnx", x)[1]) <= 2e-6)


def refusals():
    w, b = np.ones((3, 5), np.float32), np.zeros(3, np.float32)
    for path, told in ((by_hand("probit", w, b, "PROBIT", [0, 1, 2]), "LinearClassifier: its 'post_transform' is not supported, wanted NONE, LOGISTIC or SOFTMAX"),
                       (by_hand("zero", w, b, "SOFTMAX_ZERO", [0, 1, 2]), "LinearClassifier: its 'post_transform' is not supported"),
                       (by_hand("single", w[:1], b[:1], "LOGISTIC", kind="LinearRegressor"), "LinearRegressor: its 'post_transform' of a single number"),
                       (by_hand("labels", w, b, None, [0, 1]), "2 class labels for 3 intercepts, wanted 3")):
        r = hone("predict", path, "--x", tmp / "x.npy", "--force", "-o", tmp / "p.npy")
        check(told, r.returncode == 3 and told in r.stderr and "hone new" in r.stderr, (r.returncode, r.stderr))
    np.save(tmp / "x.npy", S), np.save(tmp / "y.npy", d["three"])
    r = hone("tune", HERE / "classes.onnx", "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--folds", "2", "--trials", "2", "--epochs", "1", "--search", "lr=log:1e-3..1e-1", "--ensemble", "2", "--force", "-o", tmp / "t.onnx")
    check("an ensemble is refused", r.returncode == 3 and "a linear model of ai.onnx.ml" in r.stderr, r.stderr)


for case in TARGETS:
    one(case)
goes_on()
steps()
other_inputs()
refusals()
_common.finish("linear", tmp)
