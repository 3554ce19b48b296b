# SPDX-License-Identifier: MIT
"""What the scripts in tests/interop share: the command, ONNX Runtime beside it, counting what fails. Importing it ends the
script with 77 and the reason where numpy, onnx or onnxruntime are missing."""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
HONE = BUILD / "hone"
DATA = ROOT / "tests" / "data"
ZOO = ROOT.parent / "shared" / "zoo"
IMAGES = ROOT / "examples" / "mnist" / "images.idx3.gz"
LABELS = ROOT / "examples" / "mnist" / "labels.idx1.gz"
SCALE = "0.00392156862745098"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    skip(f"{missing.name} is not installed")
if not HONE.exists():
    skip(f"{HONE} is not built")
onnxruntime.set_default_logger_severity(4)

NUMPY = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}
passed = failed = 0


def check(what, ok, detail=""):
    global passed, failed
    passed += bool(ok)
    failed += not ok
    if not ok:
        print(f"FAILED {what}" + (f"\n    {detail}" if detail != "" else ""), flush=True)
    return bool(ok)


def finish(name, tmp=None):
    if tmp is not None and not failed:
        shutil.rmtree(tmp, ignore_errors=True)
    print(f"{name}: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def folder():
    return pathlib.Path(tempfile.mkdtemp(prefix="hone-interop-"))


def hone(*args):
    return subprocess.run([str(HONE)] + [str(a) for a in args], capture_output=True, text=True, timeout=900)


def run(what, *args, code=0):
    """Runs hone and checks its exit code; the JSON it printed, {} where it printed none."""
    r = hone(*args)
    check(what, r.returncode == code, f"exit {r.returncode}, wanted {code}: hone {' '.join(map(str, args))}\n    {(r.stderr + r.stdout)[:500]}")
    try:
        return json.loads(r.stdout)
    except json.JSONDecodeError:
        return {}


def read_bytes(path):
    b = pathlib.Path(path).read_bytes()
    return gzip.decompress(b) if b[:2] == b"\x1f\x8b" else b


def load(path):
    """The file's protobuf; tensors of external data stay outside."""
    return onnx.load_model_from_string(read_bytes(path))


def tensors(path):
    """Every initializer of the file by name, external ones read."""
    m = load(path)
    onnx.external_data_helper.load_external_data_for_model(m, str(pathlib.Path(path).parent))
    return {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer}


def session(path):
    if read_bytes(path) == pathlib.Path(path).read_bytes():
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return onnxruntime.InferenceSession(read_bytes(path), providers=["CPUExecutionProvider"])


def labels_and_scores(path, x):
    """(labels or None, scores [rows, n]) by ONNX Runtime."""
    s = session(path)
    got = s.run(None, {s.get_inputs()[0].name: x})
    scores = got[-1]
    if isinstance(scores, list):  # maps, one a row
        scores = np.array([list(row.values()) for row in scores])
    return (np.asarray(got[0]) if len(got) > 1 else None), np.asarray(scores).reshape(len(x), -1)


def inputs(model):
    """(name, numpy type, dims with None for open ones) of every input that is no initializer."""
    names = {t.name for t in model.graph.initializer}
    return [(v.name, NUMPY.get(v.type.tensor_type.elem_type),
             [d.dim_value if d.WhichOneof("value") == "dim_value" and d.dim_value > 0 else None for d in v.type.tensor_type.shape.dim])
            for v in model.graph.input if v.name not in names]


def ort_rows(path, feeds, rows):
    """ONNX Runtime's outputs for `rows` rows: {output: [rows, …]}, in pieces where the file fixes its batch."""
    s, spec = session(path), inputs(load(path))
    fixed = [dims[0] for _, _, dims in spec if len(dims) > 1 and dims[0]] or [dims[0] for _, _, dims in spec if dims and dims[0]]
    batch = fixed[0] if fixed else rows
    names, pieces = [o.name for o in s.get_outputs()], []
    for i in range(0, rows, batch):
        feed = {}
        for name, dtype, dims in spec:
            shape = [batch] + [d for d in dims[1:]]
            take = np.resize(feeds[name][i:i + batch], (batch, feeds[name].reshape(rows, -1).shape[1]))
            feed[name] = take.reshape(shape).astype(dtype)
        pieces.append(s.run(names, feed))
    return {n: np.concatenate([np.asarray(p[k]).reshape(batch, -1) for p in pieces])[:rows] for k, n in enumerate(names)}


def apart(a, b):
    """Largest difference, relative to the larger array's largest value."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        return float("inf")
    scale = max(np.abs(b).max(initial=0), np.abs(a).max(initial=0), 1e-30)
    return float(np.abs(a - b).max(initial=0) / scale) if np.isfinite(a).all() else float("inf")


def predict(what, path, feeds, tmp, output):
    """hone predict's numbers for one output as [rows, n]; None when it failed."""
    args = []
    for k, (name, x) in enumerate(feeds.items()):
        np.save(tmp / f"in{k}.npy", x)
        args += ["--x", f"{name}={tmp / f'in{k}.npy'}"]
    out = tmp / "predicted.npy"
    out.unlink(missing_ok=True)
    run(what, "predict", path, *args, "--output", output, "--force", "-o", out)
    return np.load(out).reshape(len(next(iter(feeds.values()))), -1) if out.exists() else None


def fake_device(tmp):
    """The CUDA backend on a device of plain memory: a folder of its own, and the environment in which the command finds it there; None
    where it is not built."""
    module, at = BUILD / "gpu_fake_module" / "libhone_cuda.so", tmp / "gpu_fake_module"
    if not module.exists():
        return None
    at.mkdir()
    for part in (module, BUILD / "libhone.so.0", BUILD / "gpu_fake_module" / "libcuda.so.1"):
        shutil.copy(part, at / part.name)
    return at, dict(os.environ, LD_LIBRARY_PATH=f"{at}:{BUILD}")


def inference_form(path, tmp):
    """The path of the model with its training-form nodes in inference form, for runtimes that go by the letter."""
    m = load(path)
    changed = False
    for n in m.graph.node:
        training = n.op_type == "BatchNormalization" and len(n.output) > 1
        drops = n.op_type == "Dropout" and len(n.input) > 2
        if training:
            del n.output[1:]
            kept = [a for a in n.attribute if a.name != "training_mode"]
            del n.attribute[:]
            n.attribute.extend(kept)
        if drops:
            del n.input[1:]
        changed |= training or drops
    if not changed:
        return path
    out = tmp / f"inference_{path.name}"
    out.write_bytes(m.SerializeToString())
    return out


def checker(model):
    try:
        onnx.checker.check_model(model)
        return True
    except (onnx.checker.ValidationError, ValueError):
        return False
