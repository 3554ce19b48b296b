#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that define functions of their own (tests/data/functions, made by tests/data/make_function_models.py): inspected,
predicted beside ONNX Runtime, written back byte for byte, trained so that only tensors change, trained once more as
onnx.inliner writes them out with the same result, edited, loaded by onnx.checker and ONNX Runtime. Hostile ones are refused
in the words recorded.

usage: functions.py BUILD_FOLDER [PART-OF-A-NAME]
"""
import json
import sys

import _common
from _common import DATA, apart, check, checker, folder, load, np, onnx, ort_rows, predict, run

import onnx.inliner  # behind _common, which skips where onnx is absent

MODELS = DATA / "functions"
ROWS = 40


def data(tmp, width):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 6)).astype(np.float32)
    np.save(tmp / "x.npy", x)
    np.save(tmp / "y.npy", (np.tanh(x[:, :width] * 2) + 0.5).astype(np.float32))
    return x


def outputs_agree(what, path, x, tmp):
    want = ort_rows(path, {"x": x}, len(x))
    name = next(iter(want))
    got = predict(f"{what}: predict", path, {"x": x}, tmp, name)
    if got is not None:
        off = apart(got, want[name])
        check(f"{what}: beside ONNX Runtime", off <= 1e-5, f"{off:.2e}")
    return got


def train(what, path, out, tmp, *options, epochs=3):
    run(what, "train", path, "--x", tmp / "x.npy", "--y", tmp / "y.npy", "--loss", "mse", "--epochs", epochs, "--batch-size", "8",
        "--lr", "0.02", "--quiet", "--force", "-o", out, *options)
    return out.exists()


def only_tensors_changed(what, path, out):
    """Every byte outside of tensors' numbers and hone.'s metadata is what it was: functions, names, order."""
    def frame(m):
        tensors = list(m.graph.initializer) + [a.t for f in m.functions for n in f.node for a in n.attribute if a.HasField("t")]
        for t in tensors:
            t.raw_data = b""
        kept = [p for p in m.metadata_props if not p.key.startswith("hone.")]
        del m.metadata_props[:]
        m.metadata_props.extend(kept)
        return m.SerializeToString(deterministic=True)
    check(f"{what}: only tensors changed", frame(load(path)) == frame(load(out)))


def as_inlined(what, path, trained, x, tmp):
    """The same training of the model that onnx.inliner makes of it."""
    plain, out = tmp / "inlined.onnx", tmp / "inlined_trained.onnx"
    onnx.save(onnx.inliner.inline_local_functions(load(path)), str(plain))
    if train(f"{what}: train the inlined one", plain, out, tmp):
        output = load(path).graph.output[0].name
        a, b = (predict(f"{what}: predict", p, {"x": x}, tmp, output) for p in (trained, out))
        check(f"{what}: trains as the inlined one does", a is not None and b is not None and np.array_equal(a, b), apart(a, b))


def edited(what, path, x, tmp):
    """Edits that change nodes."""
    hidden = run(f"{what}: inspect", "inspect", path, "--json").get("hidden", {}).get("editable")
    for name, options in (("rebuilt", ["--hidden-units", "7,4"]), ("with BatchNormalization", ["--batchnorm", "insert"]), ("scaled", ["--scale", "standard"])):
        out = tmp / "edited.onnx"
        out.unlink(missing_ok=True)
        if name == "scaled" or hidden:
            if train(f"{what}, {name}: train", path, out, tmp, *options, epochs=1):
                check(f"{what}, {name}: onnx.checker", checker(load(out)))
                outputs_agree(f"{what}, {name}", out, x, tmp)


def one(path, told, tmp):
    what, out = path.stem, tmp / path.name
    info = run(f"{what}: inspect", "inspect", path, "--json")
    check(f"{what}: trainable numbers", info["trainable_parameters"] == told["trainable"], (info["trainable_parameters"], told))
    check(f"{what}: ties", len(info["ties"]) == told["ties"], info["ties"])
    check(f"{what}: nothing in the way", not [i for i in info["issues"] if i["severity"] not in ("note",)], info["issues"])
    x = data(tmp, info["outputs"][0]["dims"][1])
    before = outputs_agree(what, path, x, tmp)
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--quiet", "--force", "-o", out)
    check(f"{what}: no epochs, the same bytes", out.exists() and out.read_bytes() == path.read_bytes())
    if not train(f"{what}: train", path, out, tmp):
        return
    functions = len(load(out).functions)
    check(f"{what}: functions", functions == (len(load(path).functions) if told["kept"] else 0), functions)
    check(f"{what}: onnx.checker", checker(load(out)))
    after = outputs_agree(f"{what}, trained", out, x, tmp)
    check(f"{what}: the numbers moved", before is not None and after is not None and apart(after, before) > 1e-4)
    if told["kept"] and not info["unties"]:
        only_tensors_changed(what, path, out)
    again = run(f"{what}: inspect the export", "inspect", out, "--json")
    check(f"{what}: still as many numbers", again["trainable_parameters"] == told["trainable"] and not again["unties"], again)
    # inlined, what was one place in the file is several; onnx 1.22's inliner forgets attributes' defaults
    if what not in ("own_weights", "statistics", "script", "attributes"):
        as_inlined(what, path, out, x, tmp)
    edited(what, path, x, tmp)


def refused(path, told, tmp):
    j = run(f"{path.stem}: inspect", "inspect", path, "--json", code=0 if "If" in told["refused"] else 3)
    text = json.dumps(j)
    check(f"{path.stem}: refused in these words", told["refused"] in text, text[:400])
    r = _common.hone("predict", path, "--x", f"x={tmp / 'x.npy'}", "--force", "-o", tmp / "p.npy")
    check(f"{path.stem}: does not run", r.returncode == 3, (r.returncode, r.stderr))


def main():
    tmp = folder()
    data(tmp, 3)
    told = json.loads((MODELS / "functions.json").read_text())
    check("every file is listed", set(told) == {p.stem for p in MODELS.glob("*.onnx")})
    for name, t in told.items():
        if len(sys.argv) < 3 or sys.argv[2] in name:
            (refused if "refused" in t else one)(MODELS / f"{name}.onnx", t, tmp)
    _common.finish("functions", tmp)


main()
