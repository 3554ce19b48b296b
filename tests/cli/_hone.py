# SPDX-License-Identifier: MIT
"""What the scripts in tests/cli share: running the command and counting what fails."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
HONE = BUILD / "hone"
EXAMPLES = ROOT / "examples"
MNIST = EXAMPLES / "mnist" / "mnist.onnx"
IMAGES = EXAMPLES / "mnist" / "images.idx3.gz"
LABELS = EXAMPLES / "mnist" / "labels.idx1.gz"
SCALE = "0.00392156862745098"

passed = failed = 0


class Run:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.out)


def hone(*args, cwd=None, stdin=None, env=None, timeout=600):
    return Run(subprocess.run([str(HONE)] + [str(a) for a in args], cwd=cwd, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, timeout=timeout))


def check(what, ok, detail=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}" + (f"\n    {detail}" if detail != "" else ""))


def code(what, run, want, *texts):
    """The run ended with this exit code, and its messages hold these texts."""
    told = run.err + run.out
    missing = [t for t in texts if t not in told]
    check(what, run.code == want and not missing,
          f"exit {run.code}, wanted {want}; missing {missing}; said: {told[:600]!r}")


def folder():
    return pathlib.Path(tempfile.mkdtemp(prefix="hone-test-"))


def finish(name, where=None):
    if where is not None and not failed:
        shutil.rmtree(where, ignore_errors=True)
    print(f"{name}: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def need_hone():
    if not HONE.exists():
        print(f"skipped: {HONE} is not there")
        sys.exit(77)
