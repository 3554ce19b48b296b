#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every model of the zoo that Hone runs, against ONNX Runtime: random inputs, its outputs as test vectors, `hone verify`.

usage: zoo_vectors.py BUILD_FOLDER [-v]
"""
import gzip
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import numpy_helper
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

HONE = pathlib.Path(sys.argv[1]) / "hone"
ZOO = pathlib.Path(__file__).resolve().parent.parent.parent / ".." / "shared" / "zoo"
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
MUST_RUN = 50  # models that have to pass, so that a refusal of many does not look like success


def dims_of(shape):
    """Symbolic dims become 3 rows."""
    return [d if isinstance(d, int) and d > 0 else 3 for d in shape]


def vectors(session, folder, rng):
    """Writes inputs and ONNX Runtime's outputs; False when the runtime cannot run the model on them."""
    feed = {}
    for i in session.get_inputs():
        if i.type not in TYPES:
            return False
        values = rng.standard_normal(dims_of(i.shape)) if "int" not in i.type else rng.integers(0, 2, dims_of(i.shape))
        feed[i.name] = np.asarray(values, dtype=TYPES[i.type])
    try:
        outputs = session.run(None, feed)
    except Exception:
        return False
    folder.mkdir()
    for kind, values in (("input", list(feed.values())), ("output", outputs)):
        for k, v in enumerate(values):
            if not isinstance(v, np.ndarray):
                return False
            (folder / f"{kind}_{k}.pb").write_bytes(numpy_helper.from_array(v).SerializeToString())
    return True


def main():
    files = sorted([*ZOO.glob("*/*.onnx"), *ZOO.glob("*/*.onnx.gz")])
    if not files:
        print("skipped: no model zoo beside the checkout (../shared/zoo)")
        return 77
    if not HONE.exists():
        print(f"skipped: {HONE} is not built")
        return 77
    ort.set_default_logger_severity(4)
    rng = np.random.default_rng(0)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="hone-zoo-"))
    passed = failed = refused = unrun = 0
    for f in files:
        name = f.name
        model = f
        if f.suffix == ".gz":
            model = tmp / f.stem
            model.write_bytes(gzip.decompress(f.read_bytes()))
        try:
            session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception:
            session = None
        folder = tmp / (name + ".vectors")
        if not session or not vectors(session, folder, rng):
            unrun += 1
            continue
        r = subprocess.run([str(HONE), "verify", str(f), str(folder), "--rtol", "1e-4", "--atol", "1e-5", "--json"],
                           capture_output=True, text=True)
        result = json.loads(r.stdout)
        if r.returncode == 0:
            passed += 1
            if "-v" in sys.argv:
                print(f"passed  {name}: {result['max_abs']:.2g} absolute")
        elif r.returncode == 3:
            refused += 1
            print(f"refused {name}: {result['error']['where']}: {result['error']['text']}")
        else:
            failed += 1
            print(f"FAILED  {name}: {[row.get('first') for row in result.get('rows', [])] or result.get('error')}")
    shutil.rmtree(tmp)
    print(f"zoo: {passed} passed, {failed} failed, {refused} refused by Hone, {unrun} not run by ONNX Runtime")
    return 1 if failed or passed < MUST_RUN else 0


sys.exit(main())
