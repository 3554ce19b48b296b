#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models with embeddings: what PyTorch's exporters write of them (tests/data/make_embedding_refs.py) is computed as ONNX Runtime does,
learns as PyTorch does, and is opened by ONNX Runtime again; indices outside their table are found in the data beforehand."""
import _common
from _common import DATA, apart, check, folder, hone, load, np, onnx, ort_rows, predict, run, tensors

HERE = DATA / "embedding"
CASES = {"columns": (("c", "x"), "label", "ce"), "onehot": (("c", "x"), "label", "ce"), "shared": (("c",), "real", "mse"), "floats": (("wide",), "label", "ce"), "tied": (("c",), "label5", "ce")}
OPTIMIZERS = {"momentum": ["--optimizer", "momentum", "--lr", "0.02"], "adam": ["--optimizer", "adam", "--lr", "0.01"]}
NOISE = ("net.0.bias", "net.1.running_mean")  # in front of BatchNorm, under Adam: see parity.py
LIMIT = 2e-5
refs, tmp = np.load(HERE / "refs.npz"), folder()


def data_of(name):
    inputs, target, loss = CASES[name]
    args = []
    for i in inputs:
        np.save(tmp / f"{i}.npy", refs[i])
        args += ["--x", f"{i}={tmp / f'{i}.npy'}"]
    np.save(tmp / f"{target}.npy", refs[target])
    return args + ["--y", tmp / f"{target}.npy", "--loss", loss], {i: refs[i] for i in inputs}


def forward(name, path):
    _, feeds = data_of(name)
    got, want = predict(f"{path.name}: predict", path, feeds, tmp, "y"), ort_rows(path, feeds, 72)["y"]
    check(f"{path.name}: as ONNX Runtime", got is not None and apart(got, want) <= 1e-6, got is not None and apart(got, want))


def learn(name, path, how, data):
    out, what, worst = tmp / "out.onnx", f"{path.name}, {how}", 0.0
    out.unlink(missing_ok=True)
    run(what, "train", path, *data, *OPTIMIZERS[how], "--epochs", "4", "--batch-size", "16", "--no-shuffle", "--save", "last", "--quiet", "-o", out)
    if not out.exists():
        return 0.0
    before, got = tensors(path), tensors(out)
    for key in refs.files:
        if not key.startswith(f"{name}/{how}/"):
            continue
        tensor, want = key.split("/")[2], refs[key]
        if tensor not in got or want.ndim == 0 or tensor == "offsets" or (how == "adam" and name == "columns" and tensor in NOISE):
            continue
        off = apart(got[tensor], want)
        worst = max(worst, off)
        check(f"{what}: {tensor}", off <= LIMIT, f"{off:.2e} away")
        if tensor in before:  # the exporter writes fresh statistics as aliases
            check(f"{what}: {tensor} was trained", tensor in NOISE or not np.array_equal(got[tensor], before[tensor]))
    tables = [t for t in got if "table" in t or t in ("a.weight", "b.weight")]
    check(f"{what}: the tables are there by name", tables or name == "onehot", sorted(got))
    forward(name, out)
    return worst


def training():
    worst = 0.0
    for name in CASES:
        data, _ = data_of(name)
        for path in (HERE / f"{name}.onnx", HERE / f"{name}_dynamo.onnx"):
            forward(name, path)
            for how in OPTIMIZERS:
                worst = max(worst, learn(name, path, how, data))
            same = tmp / "same.onnx"
            run(f"{path.name} untouched", "train", path, "--epochs", "0", "--force", "-o", same)
            check(f"{path.name}: written back byte for byte", same.read_bytes() == path.read_bytes())
    print(f"largest distance from PyTorch's tensors {worst:.1e} of {LIMIT:.0e} allowed")


def frozen():
    """Tables that do not learn keep their bits, and are looked up once; fresh ones begin with standard normal numbers."""
    path, out = HERE / "columns.onnx", tmp / "frozen.onnx"
    data, _ = data_of("columns")
    before = tensors(path)
    for args in (["--freeze", "tables.*"], ["--freeze-layers", "1"]):
        run(f"{args}", "train", path, *data, *args, "--epochs", "2", "--force", "--quiet", "-o", out)
        after = tensors(out)
        for i in range(3):
            check(f"{args}: table {i} keeps its bits", np.array_equal(before[f"tables.{i}.weight"], after[f"tables.{i}.weight"]))
        check(f"{args}: the last layer learned", not np.array_equal(before["net.3.weight"], after["net.3.weight"]))
    run("fresh", "train", path, "--epochs", "0", "--init", "fresh", "--force", "-o", out)
    drawn = np.concatenate([tensors(out)[f"tables.{i}.weight"].ravel() for i in range(3)])
    check("fresh tables are drawn", not np.array_equal(tensors(out)["tables.0.weight"], before["tables.0.weight"]) and 0.6 < drawn.std() < 1.5, drawn.std())


def wrong_indices():
    """Found in every role and command, with row, value and table; negative ones count from the end."""
    data, feeds = data_of("columns")
    for where, value, table in ((0, 5, "tables.0.weight"), (1, -8, "tables.1.weight"), (2, 1000, "tables.2.weight")):
        c = feeds["c"].copy()
        c[17, where] = value
        np.save(tmp / "bad.npy", c)
        bad = ["--x", f"c={tmp / 'bad.npy'}", "--x", f"x={tmp / 'x.npy'}"]
        args = bad + data[4:]
        for what in (["train", HERE / "columns.onnx", *args, "-o", tmp / "no.onnx"], ["eval", HERE / "columns.onnx", *args], ["predict", HERE / "columns.onnx", *bad, "-o", tmp / "no.csv"],
                     ["train", HERE / "columns.onnx", *args, "--freeze", "tables.*", "-o", tmp / "no.onnx"]):
            r = hone(*what)
            told = "row 18" in r.stderr and (f"index {value}" in r.stderr and table in r.stderr or "--freeze" in what)
            check(f"{what[0]} with index {value} of {table}", r.returncode == 4 and told, (r.returncode, r.stderr[-300:]))
    np.save(tmp / "bad.npy", np.where(feeds["c"] == 0, -np.array([5, 7, 2]), feeds["c"]))
    a = predict("negative", HERE / "columns.onnx", {"c": np.load(tmp / "bad.npy"), "x": feeds["x"]}, tmp, "y")
    b = predict("positive", HERE / "columns.onnx", feeds, tmp, "y")
    check("a negative index counts from the end", a is not None and np.array_equal(a, b))
    wide = refs["wide"].copy()
    wide[:, 0] += 0.75  # goes towards zero
    a = predict("fractions", HERE / "floats.onnx", {"wide": wide}, tmp, "y")
    check("a float goes towards zero", a is not None and apart(a, ort_rows(HERE / "floats.onnx", {"wide": wide}, 72)["y"]) <= 1e-6)
    wide[3, 1] = 7
    np.save(tmp / "bad.npy", wide)
    r = hone("eval", HERE / "floats.onnx", "--x", tmp / "bad.npy", "--y", tmp / "label.npy")
    check("a float outside", r.returncode == 4 and "row 4" in r.stderr and "b.weight" in r.stderr, (r.returncode, r.stderr[-300:]))


def scaling():
    """Numbers are scaled, indices beside them are not; an input of indices alone is left alone."""
    path, out = HERE / "floats.onnx", tmp / "scaled.onnx"
    data, feeds = data_of("floats")
    run("scaled", "train", path, *data, "--epochs", "0", "--scale", "standard", "--force", "-o", out)
    x = feeds["wide"].astype(np.float64)
    by = x.copy()
    by[:, 2:] = (x[:, 2:] - x[:, 2:].mean(0)) / x[:, 2:].std(0)
    want = ort_rows(path, {"wide": by.astype(np.float32)}, 72)["y"]
    check("--scale standard leaves indices among numbers alone", apart(ort_rows(out, feeds, 72)["y"], want) <= 1e-5)
    data, feeds = data_of("columns")
    run("scaled", "train", HERE / "columns.onnx", *data, "--epochs", "0", "--scale", "minmax", "--force", "-o", out)
    x = feeds["x"].astype(np.float64)
    want = ort_rows(HERE / "columns.onnx", {"c": feeds["c"], "x": ((x - x.min(0)) / (x.max(0) - x.min(0))).astype(np.float32)}, 72)["y"]
    check("--scale minmax leaves an input of indices alone", apart(ort_rows(out, feeds, 72)["y"], want) <= 1e-5)
    got = tmp / "factor.npy"
    run("a factor", "predict", HERE / "columns.onnx", *data[:4], "--x-scale", "2", "--force", "-o", got)
    want = ort_rows(HERE / "columns.onnx", {"c": feeds["c"], "x": feeds["x"] * 2}, 72)["y"]
    check("--x-scale leaves an input of indices alone", apart(np.load(got).reshape(72, -1), want) <= 1e-6)
    data, _ = data_of("floats")
    r = hone("train", path, *data, "--x-scale", "2", "-o", tmp / "no.onnx")
    check("--x-scale on numbers with indices among them", r.returncode == 2 and "2 of its 6 columns" in r.stderr, (r.returncode, r.stderr[-300:]))


def written_out():
    """PyTorch's one_hot as its newer exporter writes it, of a column among numbers: an integer compared with 0, 1, 2, …"""
    make, r = onnx.helper.make_node, np.random.default_rng(5)

    def model(name, middle, consts=()):
        given = [("zero", np.int64(0)), ("four", np.int64(4)), ("one", np.int64(1)), ("from0", np.int64([0])), ("from1", np.int64([1])), ("end", np.int64([9])), ("w", r.normal(size=(6, 2)).astype(np.float32)), *consts]
        nodes = [make("Slice", ["x", "from0", "from1", "from1"], ["kind"]), make("Slice", ["x", "from1", "end", "from1"], ["rest"]), make("Cast", ["kind"], ["k"], to=7), *middle,
                 make("Concat", ["hot", "rest"], ["h"], axis=1), make("MatMul", ["h", "w"], ["y"], "dense")]
        float_of = onnx.helper.make_tensor_value_info
        g = onnx.helper.make_graph(nodes, "g", [float_of("x", 1, ["n", 3])], [float_of("y", 1, ["n", 2])], [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in given])
        path = tmp / f"{name}.onnx"
        onnx.save(onnx.helper.make_model(g, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
        return path

    classes, to_float = make("Range", ["zero", "four", "one"], ["classes"]), make("Cast", ["is"], ["hot"], to=1)
    x = np.column_stack([r.integers(0, 5, 64), r.normal(3, 2, 64), r.normal(0, 9, 64)]).astype(np.float32)  # 4 is no class: zeros
    np.save(tmp / "wx.npy", x)
    np.save(tmp / "wy.npy", r.normal(size=(64, 2)).astype(np.float32))
    by = x.astype(np.float64)
    by[:, 1:] = (by[:, 1:] - by[:, 1:].mean(0)) / by[:, 1:].std(0)
    data, out = ["--x", tmp / "wx.npy", "--y", tmp / "wy.npy"], tmp / "wout.onnx"
    for name, operands in (("written", ["k", "classes"]), ("turned", ["classes", "k"])):
        path = model(name, [classes, make("Equal", operands, ["is"]), to_float])
        want = ort_rows(path, {"x": x}, 64)["y"]
        check(f"{name}: as ONNX Runtime", apart(predict(name, path, {"x": x}, tmp, "y"), want) <= 1e-6)
        run(f"{name}: scaled", "train", path, *data, "--epochs", "0", "--scale", "standard", "--force", "-o", out)
        check(f"{name}: --scale leaves the category alone", apart(ort_rows(out, {"x": x}, 64)["y"], ort_rows(path, {"x": by.astype(np.float32)}, 64)["y"]) <= 1e-5)
        run(f"{name}: learns", "train", path, *data, "--epochs", "3", "--force", "--quiet", "-o", out)
        check(f"{name}: a weight of each class moved", all((tensors(out)["w"] != tensors(path)["w"]).any(1)))
        check(f"{name}: the exported file", apart(predict(name, out, {"x": x}, tmp, "y"), ort_rows(out, {"x": x}, 64)["y"]) <= 1e-6)
    for name, middle, told in (
            ("a comparison that float32 cannot make", [make("Equal", ["k", "large"], ["is"]), to_float], "wanted constants below 2^24"),
            ("of two columns", [make("Equal", ["k", "k"], ["is"]), to_float], "wanted constants below 2^24"),
            ("a bool of an integer", [classes, make("Sub", ["k", "classes"], ["d"]), make("Cast", ["d"], ["is"], to=9), to_float], "float32 to int64"),
            ("a Range of what comes at run time", [make("Squeeze", ["k"], ["s"]), make("Range", ["zero", "s", "one"], ["classes"]), make("Equal", ["k", "classes"], ["is"]), to_float], "float32 to int64"),
            ("a Range without end", [make("Range", ["zero", "four", "zero"], ["classes"]), make("Equal", ["k", "classes"], ["is"]), to_float], "Range from 0 to 4 by 0")):
        r2 = hone("predict", model("refused", middle, [("large", np.int64([1, 2, 3, 1 << 24]))]), *data[:2], "--force", "-o", tmp / "no.csv")
        check(f"refused: {name}", r2.returncode == 3 and told in r2.stderr, (r2.returncode, r2.stderr[-300:]))


def augmentation():
    """No noise on indices; what they choose is mixed."""
    for name in CASES:
        data, _ = data_of(name)
        outs = {}
        for how in ("", "noise=0.2", "mixup=0.5", "noise=0.2,mixup=0.5"):
            out = tmp / f"a{len(outs)}.onnx"
            run(f"{name} {how}", "train", HERE / f"{name}_dynamo.onnx", *data, "--epochs", "2", "--quiet", "--force", *(["--augment", how] if how else []), "-o", out)
            outs[how] = {k: v.tobytes() for k, v in tensors(out).items()}
        numbers = name in ("columns", "onehot", "floats")
        check(f"{name}: noise where there are numbers", (outs["noise=0.2"] != outs[""]) == numbers and (outs["noise=0.2,mixup=0.5"] != outs["mixup=0.5"]) == numbers)
        check(f"{name}: mixup", outs["mixup=0.5"] != outs[""])


training()
frozen()
wrong_indices()
scaling()
written_out()
augmentation()
_common.finish("embedding", tmp)
