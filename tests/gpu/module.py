#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The module's border, read from the files: libhone and hone name no CUDA library, libhone_cuda.so exports one symbol and takes
none of ours from outside; without a driver --device cuda ends with exit code 5 and a reason, and doctor says why; the GPU's
options are refused on the CPU unless they say what it does anyway; gpu/OPTIONS.md lists all of the backend's.

usage: module.py BUILD-FOLDER
"""
import pathlib
import re
import subprocess
import sys
import tempfile

build = pathlib.Path(sys.argv[1])
bad = []


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def needed(path):
    lines = run("readelf", "-d", str(path)).stdout.split("\n")
    return [line.split("[")[1].split("]")[0] for line in lines if "(NEEDED)" in line]


def symbols(path, which):
    return [line.split()[-1].split("@")[0] for line in run("nm", "-D", which, str(path)).stdout.split("\n") if line.strip()]


for path in (build / "libhone.so", build / "hone"):
    if not path.exists():
        print(f"skipped: {path} is not built")
        sys.exit(77)
    for name in needed(path) + symbols(path, "--undefined-only"):
        if name.startswith(("libcu", "cuda", "cublas", "cudnn", "libnv")):
            bad.append(f"{path.name} asks for {name}")

module = build / "libhone_cuda.so"
if module.exists():
    exported = symbols(module, "--defined-only")
    if exported != ["hone_cuda_module"]:
        bad.append(f"{module.name} exports {exported}, wanted hone_cuda_module alone")
    bad += [f"{module.name} takes {s} from outside" for s in symbols(module, "--undefined-only") if s.startswith(("hn_", "hone_"))]


def expect(what, code, words, *options):
    r = run(str(build / "hone"), "train", model, "--data", data, "--target", "y", "--epochs", "1", "--force", "-o", f"{folder}/o.onnx", *options)
    if r.returncode != code or not all(w in r.stderr for w in words):
        bad.append(f"{what}: exit {r.returncode}, wanted {code} and {words}: {r.stderr}")


with tempfile.TemporaryDirectory() as folder:
    model, data = f"{folder}/m.onnx", f"{folder}/d.csv"
    pathlib.Path(data).write_text("a,b,y\n1,2,0\n2,1,1\n3,0,0\n0,3,1\n")
    run(str(build / "hone"), "new", "2-4-2 batchnorm dropout=0.2", "-o", model)
    if "why_not" in run(str(build / "hone"), "doctor").stdout:
        expect("--device cuda", 5, ["cuda"], "--device", "cuda", "--math", "tf32", "--bn-impl", "cudnn", "--dropout-impl", "cudnn")
    for name, value in (("math", "tf32"), ("math", "bf16"), ("bn-impl", "cudnn"), ("dropout-impl", "cudnn")):
        expect(f"--{name} {value} on the CPU", 2, [name, value, "CPU", "--device cuda"], f"--{name}", value, "--device", "cpu")
    expect("what the CPU does anyway", 0, [], "--math", "fp32", "--bn-impl", "native", "--dropout-impl", "auto")
source = pathlib.Path(__file__).parents[2] / "gpu"
listed = (source / "OPTIONS.md").read_text()
for name, value in re.findall(r'CHOICE\("([a-z-]+)=([^"]+)"', (source / "backend.c").read_text()):
    if not any(f"{name}=" in line and value in line for line in listed.splitlines()):
        bad.append(f"gpu/OPTIONS.md does not list {name}={value}")
print("\n".join(bad) if bad else f"border kept{'' if module.exists() else ' (no module in this build)'}")
sys.exit(1 if bad else 0)
