#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real models of ../shared/zoo, beside ONNX Runtime.

Four of them go the whole way: imported, verified, fine-tuned on data that suit them, exported, loaded by both runtimes with
equal outputs, everything but the trained numbers as it was. All others: no epochs, no change; predictions; one short epoch,
after which only trained tensors differ and other tools still load the file. Files that Hone refuses are listed here with
their reasons, and a change in either direction fails.

usage: zoo.py BUILD_FOLDER [PART-OF-A-FILE'S-NAME]
"""
import json
import sys

import _common
from _common import (IMAGES, LABELS, SCALE, ZOO, apart, check, checker, folder, inference_form, inputs, load, np, onnx, ort_rows,
                     predict, read_bytes, run, session)

ROWS = 24
# what Hone says of files it cannot run yet
REFUSED = {
    "conv1d_pointwise.onnx": "Conv is not supported",
    "mlp_export_params_False.onnx": "the file has no values for it",
}
# what it runs but does not train, beside the files that hold nothing to train
BAKED = {"act_logsoftmax0.onnx"}  # the rows of a batch are not by themselves
# their outputs depend on the other rows of the batch: nothing to compare row by row
BATCHWISE = {"act_bnnotrack.onnx"}
# ONNX Runtime has no kernel for bfloat16 (half.py has models of that kind beside onnx.reference)
NO_KERNEL = {"linear_bf16.onnx"}
# it takes logarithms of its inputs, and multiplies a Sigmoid by 46790
LOGARITHMS = {"lcbench_surrogate_opset13.onnx": 1e-4}
# trainable numbers that differ from the module's, where the exporter lost what the module knew
LOST = {
    "autoencoder_tied_T_eval": 64, "autoencoder_tied_T_train": 64,  # the transposed use became a tensor of its own
    "weight_norm": 10,  # direction and length folded into one weight
}


def random_feeds(model, rows, seed):
    """Rows for every input: {name: [rows, n]}."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, dtype, dims in inputs(model):
        n = int(np.prod([d or 1 for d in dims[1:]])) if len(dims) > 1 else 1 if dims and dims[0] in (None, 1) else dims[0]
        out[name] = (rng.normal(size=(rows, n)) if np.issubdtype(dtype, np.floating) else rng.integers(0, 2, (rows, n))).astype(dtype)
    return out


def limit_of(what, feeds):
    return 1e-12 if wide(feeds) else LOGARITHMS.get(what, 1e-5)


def ort_ready(path, rows, seed, source=None):
    """Feeds and ONNX Runtime's outputs; None where ONNX Runtime cannot run the file. source: the model it was made from."""
    feeds = random_feeds(load(path), rows, seed)
    if (source or path).name in LOGARITHMS:
        feeds = {k: np.abs(v) + (np.issubdtype(v.dtype, np.floating)) for k, v in feeds.items()}
    if len(inputs(load(path))[0][2]) == 1 and inputs(load(path))[0][2][0] not in (None, 1):
        return feeds, {k: np.asarray(v) for k, v in zip([o.name for o in session(path).get_outputs()], one_dim(path, feeds))}
    return feeds, ort_rows(path, feeds, rows)


def one_dim(path, feeds):
    """A model of one rank-1 input: its rows one by one."""
    s = session(path)
    name = s.get_inputs()[0].name
    pieces = [s.run(None, {name: row}) for row in feeds[name]]
    return [np.stack([np.asarray(p[k]).ravel() for p in pieces]) for k in range(len(pieces[0]))]


def same_outputs(what, path, feeds, want, limit, tmp):
    """Hone's predictions for every output against ONNX Runtime's; labels are the same."""
    for name, y in want.items():
        got = predict(f"{what}: predict {name}", path, feeds, tmp, name)
        if got is not None:
            off = apart(got.reshape(y.shape), y)
            most = limit if np.issubdtype(y.dtype, np.floating) else 0
            check(f"{what}: output {name}", off <= most, f"{off:.2e} away from ONNX Runtime")


def proto_vectors(path, feeds, want, at):
    """input_N.pb and output_N.pb of the first rows, as many as the file's batch."""
    spec = inputs(load(path))
    batch = spec[0][2][0] or len(next(iter(feeds.values())))
    at.mkdir(parents=True, exist_ok=True)
    for k, (name, dtype, dims) in enumerate(spec):
        x = feeds[name][:batch].reshape([batch] + dims[1:])
        (at / f"input_{k}.pb").write_bytes(onnx.numpy_helper.from_array(x, name).SerializeToString())
    for k, (name, y) in enumerate(want.items()):
        (at / f"output_{k}.pb").write_bytes(onnx.numpy_helper.from_array(y[:batch], name).SerializeToString())


def frame(path):
    """Everything of a model but tensors' numbers and hone.'s metadata, as bytes."""
    m = load(path)
    for t in m.graph.initializer:
        for field in ("raw_data", "float_data", "double_data"):
            t.ClearField(field)
    kept = [p for p in m.metadata_props if not p.key.startswith("hone.")]
    del m.metadata_props[:]
    m.metadata_props.extend(kept)
    return m.SerializeToString(deterministic=True)


def check_export(what, source, out):
    """The export is the source with other numbers and hone.'s metadata."""
    a, b = load(source), load(out)
    check(f"{what}: frame", frame(source) == frame(out), "more than trained numbers and metadata changed")
    check(f"{what}: opset, IR, producer", (a.ir_version, a.producer_name, [(o.domain, o.version) for o in a.opset_import])
          == (b.ir_version, b.producer_name, [(o.domain, o.version) for o in b.opset_import]))
    keys = [p.key for p in b.metadata_props]
    check(f"{what}: provenance", any(k.startswith("hone.") for k in keys) and len(keys) == len(set(keys)), keys)


def tune_on(what, name, make_data, tmp, options, better):
    """The whole way of one model."""
    source, out, again = ZOO / "wild" / name, tmp / f"tuned_{name}", tmp / f"again_{name}"
    feeds, want = ort_ready(source, 40, 3)
    same_outputs(what, source, feeds, want, 1e-5, tmp)
    proto_vectors(source, feeds, want, tmp / name / "test_data_set_0")
    j = run(f"{what}: verify", "verify", source, tmp / name / "test_data_set_0", "--rtol", "1e-5", "--atol", "1e-6", "--json")
    check(f"{what}: verified", j.get("passed") == j.get("cases") == 1, j)
    proto_vectors(source, feeds, {k: v + 0.01 for k, v in want.items()}, tmp / name / "wrong")
    run(f"{what}: verify sees a wrong vector", "verify", source, tmp / name / "wrong", "--json", code=1)
    data = make_data()
    j = run(f"{what}: train", "train", source, *data, *options, "--val-split", "0.2", "--quiet", "--json", "-o", out)
    if not out.exists():
        return
    check(f"{what}: better", better(j), (j.get("before"), j.get("val")))
    check_export(what, source, out)
    after = ort_ready(out, 40, 3)[1]
    same_outputs(f"{what}, tuned", out, feeds, after, 1e-5, tmp)
    check(f"{what}: the numbers moved", all(apart(after[k], want[k]) > 1e-4 for k in want))
    run(f"{what}: a second time", "train", out, *data, *options, "--quiet", "-o", again)
    check_export(f"{what}, twice tuned", out, again)


def synthetic(model, out, fn, tmp, rows=400):
    feeds = random_feeds(load(model), rows, 9)
    args = []
    for k, (name, x) in enumerate(feeds.items()):
        np.save(tmp / f"syn{k}.npy", x)
        args += ["--x", f"{name}={tmp / f'syn{k}.npy'}"]
    np.save(tmp / "syn_y.npy", fn(*feeds.values()).astype(np.float32).reshape(rows, -1))
    return args + ["--y", f"{out}={tmp / 'syn_y.npy'}"]


def whole_way(tmp):
    digits = ["--x", IMAGES, "--y", LABELS, "--x-scale", SCALE]
    better = (lambda j: j["val"]["loss"] < j["before"]["val"]["loss"])
    if wanted("mnist_256x2_torch1.3_opset9.onnx"):
        tune_on("256x2", "mnist_256x2_torch1.3_opset9.onnx", lambda: digits, tmp,
                ["--epochs", "2", "--lr", "0.0005", "--batch-size", "100"], better)
    if wanted("mnist_batchnorm_torch1.7_opset9.onnx"):
        tune_on("batchnorm", "mnist_batchnorm_torch1.7_opset9.onnx", lambda: digits, tmp,
                ["--epochs", "2", "--lr", "0.0001", "--batch-size", "100"], better)
    if wanted("keras_tf2onnx_opset13.onnx"):
        path = ZOO / "wild" / "keras_tf2onnx_opset13.onnx"
        tune_on("keras", path.name, lambda: synthetic(path, "dense_1", lambda x: x[:, :5].sum(1) > 0, tmp), tmp,
                ["--epochs", "10", "--loss", "bce"], better)
    if wanted("two_tower_torch1.13_opset15.onnx"):
        path = ZOO / "wild" / "two_tower_torch1.13_opset15.onnx"
        tune_on("two towers", path.name, lambda: synthetic(path, "similarity", lambda q, d: (q[:, :8] * d[:, :8]).sum(1) > 0, tmp), tmp,
                ["--epochs", "10", "--loss", "bce"], better)


def statistics(model):
    """Names behind BatchNormalization's mean and variance, through Identity."""
    alias = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Identity"}
    names = set()
    for n in model.graph.node:
        if n.op_type == "BatchNormalization":
            for i in n.input[3:5]:
                while i:
                    names.add(i)
                    i = alias.get(i)
    return names


def check_edited(what, source, out, unties):
    """An export whose graph had to change: inference form, aliases with values of their own, and nothing else."""
    a, b = load(source), load(out)
    check(f"{what}: inference form", inference_form(out, out.parent) == out)
    plain = ("Identity", "Constant")
    check(f"{what}: the nodes", [(n.op_type, n.name) for n in a.graph.node if n.op_type not in plain]
          == [(n.op_type, n.name) for n in b.graph.node if n.op_type not in plain])
    old, added = {t.name for t in a.graph.initializer}, {t.name for t in b.graph.initializer}
    check(f"{what}: the initializers", old <= added and all(any(n in u for u in unties) for n in added - old), added ^ old)
    check(f"{what}: opset and IR", a.ir_version == b.ir_version and list(a.opset_import) == list(b.opset_import))


def train_once(path, info, want, feeds, tmp):
    """One short epoch, and what it did to the file."""
    what, out = path.name, tmp / "trained.onnx"
    target = next(o["name"] for o in info["outputs"] if o["name"] in want and np.issubdtype(want[o["name"]].dtype, np.floating))
    args = []
    for k, (name, x) in enumerate(feeds.items()):
        np.save(tmp / f"tx{k}.npy", x)
        args += ["--x", f"{name}={tmp / f'tx{k}.npy'}"]
    np.save(tmp / "ty.npy", np.random.default_rng(5).normal(size=want[target].shape).astype(want[target].dtype))
    run(f"{what}: one epoch", "train", path, *args, "--y", f"{target}={tmp / 'ty.npy'}", "--loss", f"{target}=mse", "--epochs", "1",
        "--batch-size", "10", "--optimizer", "sgd", "--lr", "1e-13" if what in LOGARITHMS else "1e-3", "--quiet", "--force", "-o", out)
    if not out.exists():
        return
    diff = run(f"{what}: diff", "diff", path, out, "--json", code=1)
    edited = info["unties"] or inference_form(path, tmp) != path
    allowed = {w["name"] for w in info["weights"] if w["trained"]} | statistics(load(path))
    moved, fields = {t["name"] for t in diff.get("tensors", [])}, [f["path"] for f in diff.get("fields", [])]
    check(f"{what}: something moved", moved)
    new = moved - allowed
    check(f"{what}: only trained tensors differ", all(any(n in e for e in info["unties"]) for n in new), (new, info["unties"]))
    if edited:
        check_edited(what, path, out, info["unties"])
    else:
        check(f"{what}: only metadata beside them", set(fields) <= {"metadata_props"}, fields)
        check_export(what, path, out)
    if checker(load(path)):
        check(f"{what}: onnx.checker", checker(load(out)))
    after = ort_ready(out, ROWS, 1, path)[1]
    same_outputs(f"{what}, trained", out, feeds, after, limit_of(what, feeds), tmp)


def wide(feeds):
    return all(v.dtype == np.float64 for v in feeds.values())


def small_way(path, truth, tmp):
    what, out = path.name, tmp / "same.onnx"
    j = run(f"{what}: inspect", "inspect", path, "--json")
    refusals = " ".join(i["what"] for i in j.get("issues", []) if i["severity"] == "error")
    check(f"{what}: refused as listed", (REFUSED.get(what, "") in refusals) if what in REFUSED else not refusals, refusals)
    run(f"{what}: no epochs", "train", path, "--epochs", "0", "--quiet", "--force", "-o", out)
    if out.exists():
        check(f"{what}: no epochs, the same bytes", out.read_bytes() == read_bytes(path))
        out.unlink()
    if what in REFUSED:
        return
    stem = what[:-5]
    if stem in truth and not truth[stem]["noparam"]:
        check(f"{what}: trainable numbers", j["trainable_parameters"] == LOST.get(stem, truth[stem]["params"]),
              f"{j['trainable_parameters']}, the module has {truth[stem]['params']}")
    stops = [i["what"] for i in j["issues"] if i["severity"] == "blocks training"]
    check(f"{what}: can be trained", bool(stops) == (what in BAKED or j["trainable_parameters"] == 0), stops)
    if what in NO_KERNEL:
        return
    feeds, want = ort_ready(inference_form(path, tmp), ROWS, 1)
    if what in BAKED | BATCHWISE:
        proto_vectors(path, feeds, ort_ready(path, ROWS, 1)[1], tmp / what)
        run(f"{what}: verify", "verify", path, tmp / what, "--rtol", "1e-5", "--atol", "1e-6")
        return
    same_outputs(what, path, feeds, want, limit_of(what, feeds), tmp)
    if not stops and what != "nn4sys_float64_opset14.onnx.gz":  # 336 MB of it: predicted and written back, not trained here
        train_once(path, j, want, feeds, tmp)


def wanted(name):
    return len(sys.argv) < 3 or sys.argv[2] in name


def main():
    if not ZOO.is_dir():
        _common.skip(f"{ZOO} is not there")
    tmp = folder()
    whole_way(tmp)
    truth = json.loads((ZOO / "torch-1.13" / "truth.json").read_text())
    for path in sorted([*(ZOO / "wild").glob("*.onnx"), *(ZOO / "wild").glob("*.gz"), *(ZOO / "torch-1.13").glob("*.onnx")]):
        if wanted(path.name):
            try:
                small_way(path, truth, tmp)
            except Exception as e:  # one broken file must not hide the others
                check(path.name, False, repr(e))
    _common.finish("zoo", tmp)


main()
