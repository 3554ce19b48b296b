# SPDX-License-Identifier: MIT
"""What the tests of the Python package share: the library of a build, models, rows. A script is called with the build folder;
it ends with 77 and the reason where something it needs is missing."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ROOT / "build").resolve()
DATA = ROOT / "tests" / "data"
HONE = BUILD / "hone"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def need(*names):
    for name in names:
        try:
            __import__(name)
        except ImportError:
            skip(f"{name} is not installed")


cache = BUILD / "CMakeCache.txt"
if cache.exists() and "HONE_SANITIZE:BOOL=ON" in cache.read_text():
    skip("a library with sanitizers needs them in the interpreter too")
if not (BUILD / "libhone.so").exists():
    skip("libhone.so is not built")
if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python the build was given
    skip("the package needs Python 3.11 or later")
need("numpy")
os.environ["HONE_LIBRARY"] = str(BUILD / "libhone.so")
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(ROOT / "python"))

import numpy as np  # noqa: E402

import hone  # noqa: E402, F401


def rows(n=300, columns=6, seed=1):
    """X [n, columns] float32 and y [n] of three classes that X tells apart."""
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, columns)).astype(np.float32)
    return X, np.digitize(X[:, 0] + 0.5 * X[:, 1] ** 2, [0.0, 0.9]).astype(np.int64)


def command(*args):
    r = subprocess.run([str(HONE), *map(str, args)], capture_output=True, text=True, timeout=900)
    assert r.returncode == 0, r.stderr + r.stdout
    return r.stdout


def session(model):
    """ONNX Runtime over the model's bytes."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    return onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"])


def program(text, *args, **more):
    """Another interpreter that runs text with the package at hand."""
    head = "import sys, numpy as np, hone\n"
    return subprocess.run(
        [sys.executable, "-c", head + text, *map(str, args)], capture_output=True, text=True, timeout=300, **more
    )


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="hone-python-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


def main():
    ended = unittest.main(module="__main__", argv=sys.argv[:1], exit=False).result
    sys.exit(0 if ended.wasSuccessful() and ended.testsRun > len(ended.skipped) else 1)
