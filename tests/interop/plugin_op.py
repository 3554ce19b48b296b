#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An operator of a plug-in (examples/plugins/snake.c): a model with it computes, trains and searches as the same model in standard
operators does, with which ONNX Runtime is compared; float32, float64, the plug-in with its double functions alone; its nodes leave
as they came; what is wrong with a node is said by its name; a run is continued, and the gradient checked.

usage: plugin_op.py BUILD_FOLDER
"""
import os
import re
import shutil
import subprocess

import _common
from _common import ROOT, apart, check, folder, hone, load, np, onnx, ort_rows, predict, run, tensors

from onnx import TensorProto, helper, numpy_helper

DOMAIN = "hone.example"
tmp = folder()
SO, SLOW = tmp / "snake.so", tmp / "snake64.so"
ALPHAS = (0.5, None)  # of the two nodes; None: the default, 1


def build():
    (tmp / "include").mkdir()
    for h in ("plugin/hone_plugin.h", "ops/base/hone_status.h"):
        shutil.copy(ROOT / h, tmp / "include")
    source = (ROOT / "examples" / "plugins" / "snake.c").read_text()
    (tmp / "snake.c").write_text(source)
    command = re.search(r"^ \*\s+(cc .*)$", source, flags=re.M).group(1)
    page = (ROOT / "examples" / "plugins" / "README.md").read_text()
    check("the page has the command", command in page, command)
    (tmp / "snake2.c").write_text(source.replace(".since = 1", ".since = 2"))
    slow = re.sub(r"^\s*\.(forward32|backward32) = .*$", "", source, flags=re.M)
    (tmp / "snake64.c").write_text(slow)
    env = dict(os.environ, CPATH=str(tmp / "include"))
    for c in (command.split() + ["-Wextra", "-Werror"], command.replace("snake", "snake64").split(), command.replace("snake", "snake2").split()):
        r = subprocess.run(c, cwd=tmp, env=env, capture_output=True, text=True)
        check(" ".join(c), r.returncode == 0, r.stderr)


def snake(kind, x, y, alpha, np_type):
    """The node, or what it means in standard operators."""
    if kind == "custom":
        return [helper.make_node("Snake", [x], [y], name=f"snake_{y}", domain=DOMAIN, **({} if alpha is None else {"alpha": alpha}))], []
    a = numpy_helper.from_array(np.array(1.0 if alpha is None else alpha, np_type), f"alpha_{y}")
    return [helper.make_node("Mul", [x, a.name], [y + "_m"]), helper.make_node("Sin", [y + "_m"], [y + "_s"]),
            helper.make_node("Mul", [y + "_s", y + "_s"], [y + "_q"]), helper.make_node("Div", [y + "_q", a.name], [y + "_d"]),
            helper.make_node("Add", [x, y + "_d"], [y])], [a]


def model(kind, path, np_type=np.float32, alphas=ALPHAS, version=1, **extra):
    r = np.random.default_rng(4)
    onnx_type = TensorProto.FLOAT if np_type == np.float32 else TensorProto.DOUBLE
    weights = [(r.normal(size=(o, i)) / np.sqrt(i), r.normal(size=o) * 0.1) for i, o in ((6, 16), (16, 16), (16, 2))]
    nodes, values, x = [], [], "x"
    for k, (w, b) in enumerate(weights):
        values += [numpy_helper.from_array(w.astype(np_type), f"w{k}"), numpy_helper.from_array(b.astype(np_type), f"b{k}")]
        y = "y" if k == 2 else f"g{k}"
        nodes.append(helper.make_node("Gemm", [x, f"w{k}", f"b{k}"], [y], name=f"gemm{k}", transB=1))
        if k < 2:
            made, constants = snake(kind, y, f"h{k}", alphas[k], np_type)
            nodes += made
            values += constants
        x = f"h{k}"
    for n in nodes:
        if n.op_type == "Snake":
            for name, value in extra.items():
                n.attribute.append(helper.make_attribute(name, value))
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", onnx_type, ["N", 6])],
                              [helper.make_tensor_value_info("y", onnx_type, ["N", 2])], values)
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(DOMAIN, version)] if kind == "custom" else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="a producer"), str(path))


def data(np_type):
    r = np.random.default_rng(2)
    x = r.normal(size=(200, 6)).astype(np_type)
    y = np.stack([np.sin(3 * x[:, 0]) + x[:, 1], x[:, 2] * 0.5], 1).astype(np_type)
    np.save(tmp / "x.npy", x)
    np.save(tmp / "y.npy", y)
    return x


XY = ["--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--val-split", "0.2", "--batch-size", "16", "--lr", "0.01"]


def weights(path):
    return {k: v for k, v in tensors(path).items() if k[0] in "wb"}


def frame(path):
    m = load(path)
    for t in m.graph.initializer:
        t.raw_data = b""
    del m.metadata_props[:]
    return m.SerializeToString(deterministic=True)


def same(what, np_type, so, tolerance):
    """The plug-in's node beside standard operators."""
    custom, plain, a, b = (tmp / f"{n}.onnx" for n in ("custom", "plain", "custom_out", "plain_out"))
    model("custom", custom, np_type)
    model("plain", plain, np_type)
    x = data(np_type)
    want = ort_rows(plain, {"x": x}, len(x))["y"]
    out = tmp / "p.npy"
    run(f"{what}: predict", "predict", custom, "--plugin", so, "--x", tmp / "x.npy", "--force", "-o", out)
    check(f"{what}: beside ONNX Runtime", apart(np.load(out), want) <= tolerance, apart(np.load(out), want))
    results = [run(f"{what}: train {p.stem}", "train", p, *plugin, *XY, "--epochs", 5, "--json", "--quiet", "--force", "-o", o)
               for p, o, plugin in ((custom, a, ["--plugin", so]), (plain, b, []))]
    check(f"{what}: it learned", results[0]["val"]["loss"] < 0.6 * results[0]["before"]["val"]["loss"], results[0]["val"])
    off = max(apart(weights(a)[k], v) for k, v in weights(b).items())
    check(f"{what}: the same weights", off <= 100 * tolerance, off)
    check(f"{what}: only numbers changed", frame(a) == frame(custom))
    check(f"{what}: the attribute is still there", [len(n.attribute) for n in load(a).graph.node if n.op_type == "Snake"] == [1, 0])
    run(f"{what}: eval", "eval", a, "--plugin", so, *XY[:6], "--json")
    run(f"{what}: no epochs", "train", custom, "--plugin", so, "--epochs", "0", "--quiet", "--force", "-o", a)
    check(f"{what}: no epochs, the same bytes", a.read_bytes() == custom.read_bytes())
    return custom


def more(custom):
    j = run("inspect", "inspect", custom, "--plugin", SO, "--json")
    check("trained like any other", [n["verdict"] for n in j["nodes"]] == ["trained"] * 5 and not j["issues"], j["nodes"])
    j = run("gradcheck", "gradcheck", custom, "--plugin", SO, "--loss", "mse", "--json")
    check("the gradient is right", j.get("passed") is True, j)
    outs = []
    for threads in (1, 4):
        run(f"{threads} threads", "train", custom, "--plugin", SO, *XY, "--epochs", 2, "--threads", threads, "--quiet", "--force", "-o", tmp / "t.onnx")
        outs.append((tmp / "t.onnx").read_bytes())
    check("the same bytes for any threads", outs[0] == outs[1])
    for jobs in (1, 2):
        run(f"tune, {jobs} jobs", "tune", custom, "--plugin", SO, *XY[:-2], "--search", "lr=log:1e-3..1e-1", "--trials", 4, "--epochs", 2, "--jobs",
            jobs, "--progress", "none", "--quiet", "-o", tmp / f"tune{jobs}.onnx")
    check("the same search", (tmp / "tune1.onnx").read_bytes() == (tmp / "tune2.onnx").read_bytes())


def resumed(custom):
    so, out = tmp / "moved.so", tmp / "r.onnx"
    shutil.copy(SO, so)
    run("start", "train", custom, "--plugin", so, *XY, "--epochs", 2, "--keep-run", "--quiet", "-o", out)
    so.rename(tmp / "away.so")
    r = hone("resume", f"{out}.run", "--epochs", "+1", "--quiet")
    check("the plug-in is gone", r.returncode == 6 and "moved.so" in r.stderr and "--plugin says where" in r.stderr, r.stderr)
    (tmp / "away.so").rename(so)
    run("resume", "resume", f"{out}.run", "--epochs", "+1", "--quiet")
    run("in one go", "train", custom, "--plugin", SO, *XY, "--epochs", 3, "--quiet", "-o", tmp / "one.onnx")
    a, b = weights(out), weights(tmp / "one.onnx")
    check("as in one go", all(np.array_equal(a[k], b[k]) for k in b))
    (tmp / "tune1.onnx").unlink()
    run("a search goes on", "resume", tmp / "tune1.onnx.run", "--quiet")
    check("with the plug-in its folder names", (tmp / "tune1.onnx").read_bytes() == (tmp / "tune2.onnx").read_bytes())


def refused(custom):
    def told(what, code, args, *texts):
        r = hone(*args)
        check(what, r.returncode == code and all(t in r.stderr + r.stdout for t in texts), f"exit {r.returncode}: {r.stderr[:400]}{r.stdout[:200]}")
    bad = tmp / "bad.onnx"
    train = ["train", bad, "--plugin", SO, *XY, "-o", tmp / "no.onnx"]
    told("without the plug-in", 3, ["train", custom, *XY, "-o", tmp / "no.onnx"], "operator hone.example.Snake is not supported", "snake_h0",
         "--plugin ./FILE.so")
    model("custom", bad, beta=1.0)
    told("an attribute it does not have", 3, train, "Snake has no attribute 'beta'", "snake_h0")
    model("custom", bad, alphas=(None, None), alpha=2)
    told("an attribute of another type", 3, train, "attribute 'alpha' has type 2, wanted 1", "snake_h0")
    told("an older version of its domain", 3, ["train", custom, "--plugin", tmp / "snake2.so", *XY, "-o", tmp / "no.onnx"],
         "hone.example.Snake is not supported")
    model("custom", bad, version=3)
    run("a newer one", "eval", bad, "--plugin", tmp / "snake2.so", *XY[:6], "--json")
    r = hone("train", custom, "--plugin", SO, *XY, "--device", "cuda", "-o", tmp / "no.onnx") # by the node's name where there is a GPU
    check("a GPU", (r.returncode == 5 and "device" in r.stderr) or (r.returncode == 3 and "snake_h0" in r.stderr and "custom" in r.stderr), r.stderr)
    told("hidden layers", 3, ["train", custom, "--plugin", SO, *XY, "--hidden-units", "4", "-o", tmp / "no.onnx"], "snake_h0")
    told("an operator twice", 2, ["inspect", custom, "--plugin", SO, "--plugin", SLOW], "operator 0 (from 0) is there already", "snake64.so")


def with_function(custom):
    """A file that brings the function needs no plug-in, and ONNX Runtime runs it."""
    m = load(custom)
    body = [helper.make_node("Constant", [], ["a"], value_float=1.0), helper.make_node("Mul", ["x", "a"], ["m"]), helper.make_node("Sin", ["m"], ["s"]),
            helper.make_node("Mul", ["s", "s"], ["q"]), helper.make_node("Div", ["q", "a"], ["d"]), helper.make_node("Add", ["x", "d"], ["y"])]
    body[0].ClearField("attribute")
    at = helper.make_attribute("value_float", 1.0)
    at.ref_attr_name, at.type = "alpha", onnx.AttributeProto.FLOAT
    at.ClearField("f")
    body[0].attribute.append(at)
    m.functions.append(helper.make_function(DOMAIN, "Snake", ["x"], ["y"], body, [helper.make_opsetid("", 17)], [], [helper.make_attribute("alpha", 1.0)]))
    path = tmp / "function.onnx"
    onnx.save(m, str(path))
    x = data(np.float32)
    want = ort_rows(path, {"x": x}, len(x))["y"]
    got = predict("with a function: predict", path, {"x": x}, tmp, "y")
    check("with a function: beside ONNX Runtime", apart(got, want) <= 1e-5)
    out = tmp / "p.npy"
    run("the plug-in: predict", "predict", custom, "--plugin", SO, "--x", tmp / "x.npy", "--force", "-o", out)
    check("the plug-in beside the function in ONNX Runtime", apart(np.load(out), want) <= 1e-5)


def checked():
    r = hone("plugin", "check", SO)
    check("plugin check", r.returncode == 0 and "ok     gradient: hone.example.Snake: largest error" in r.stdout and "operator hone.example.Snake from version 1, alpha (1)" in r.stdout,
          r.stdout + r.stderr)
    last = "y[i] = x[i] + s * s / alpha;"
    wrong = [("gradient", "1 + sin(2 * a[0]", "1 + cos(2 * a[0]", "backward64 gives a slope of"),
             ("gradient", "1 + sin(2 * a[0] *", "1 + sin(2 *", "with alpha = 0.5 backward64 gives a slope of"),
             ("float32 beside float64", "float s = sinf(alpha", "float s = cosf(alpha", "forward32 gives"),
             ("float32 beside float64", "twice = 2 * (float)a[0]", "twice = 2 + 0 * (float)a[0]", "with alpha = 0.5 backward32 gives"),
             ("element by element", "y[i] = x[i] + s * s / a[0];", "y[i] = x[i] + s * s / a[0]; if (n == 1) y[i] += 1e-9;", "depends on more than x"),
             ("lengths and starts", last, last + " if (n % 8 == 5 && i == n - 1) y[i] = 0;", "forward32 (n = 5) gives 0 for element 4 (from 0)"),
             ("lengths and starts", last, last + " if (n == 67 && i == 8) y[i] += 1e-6f;", "forward32 (n = 67) gives"),
             ("lengths and starts", "(1 + sinf(twice * x[i]));", "(1 + sinf(twice * x[i])); if (n % 8 == 1) dx[n] = 0;",
              "backward32 (n = 1) writes beyond the end of its result"),
             ("lengths and starts", "(1 + sin(2 * a[0] * x[i]));", "(1 + sin(2 * a[0] * x[i])); if ((size_t)x % 16) dx[n - 1] *= 1.5;",
              "backward64 (n = 1, not aligned) gives"),
             ("lengths and starts", "y[i] = x[i] + s * s / a[0];", "y[i] = x[i] + s * s / a[0]; ((double *)x)[i] = y[i];", "forward64 (n = 1) changes x"),
             ("lengths and starts", "double s = sin(a[0]", "double s = *(volatile double *)0 + sin(a[0]", "signal 11"),
             ("the process is left as it was", "const float twice", "fesetround(FE_UPWARD); const float twice", "backward32 changes the rounding mode")]
    env = dict(os.environ, CPATH=str(tmp / "include"))
    quiet = dict(os.environ, ASAN_OPTIONS="handle_segv=0")
    for k, (name, before, after, text) in enumerate(wrong):
        source = "#include <fenv.h>\n" + (tmp / "snake.c").read_text()
        check(f"{name}: there is such a line", before in source)
        (tmp / f"wrong{k}.c").write_text(source.replace(before, after))
        c = subprocess.run(["cc", "-shared", "-fPIC", "-o", f"wrong{k}.so", f"wrong{k}.c", "-lm"], cwd=tmp, env=env, capture_output=True, text=True)
        check(f"{name}: builds", c.returncode == 0, c.stderr)
        r = subprocess.run([str(_common.HONE), "plugin", "check", str(tmp / f"wrong{k}.so")], env=quiet, capture_output=True, text=True)
        check(f"{name}: found", r.returncode == 1 and f"FAILED {name}: hone.example.Snake" in r.stdout and text in r.stdout, r.stdout + r.stderr)


build()
found = same("float32", np.float32, SO, 1e-5)
more(found)
resumed(found)
refused(found)
with_function(found)
same("float32 by way of double", np.float32, SLOW, 1e-5)
same("float64", np.float64, SO, 1e-12)
checked()
_common.finish("plugin_op", tmp)
