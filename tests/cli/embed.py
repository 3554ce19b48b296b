#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/embed against the installed package: by pkg-config as C and as C++, shared and static, and by CMake's find_package;
what it prints, that it stops where its callback says, and that what it writes is a model."""
import os
import re
import shutil
import subprocess
import sys

import _hone
from _hone import BUILD, EXAMPLES, check, code, hone

_hone.need_hone()
for program in ("cc", "c++", "cmake", "pkg-config"):
    if not shutil.which(program):
        print(f"skipped: no {program} here")
        sys.exit(77)
if "HONE_SANITIZE:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text():
    print("skipped: a library with sanitizers needs them in the program too")
    sys.exit(77)
tmp = _hone.folder()
prefix = tmp / "prefix"
SOURCE = EXAMPLES / "embed" / "embed.c"


def run(*args, **more):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=600, **more)


for component in ("library", "dev"):
    r = run("cmake", "--install", BUILD, "--prefix", prefix, "--component", component)
    check(f"installed: {component}", r.returncode == 0, r.stderr)
libraries = next(prefix.rglob("libhone.so")).parent
env = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "LD_LIBRARY_PATH": str(libraries)}
net = tmp / "ring.onnx"
code("a network", hone("new", "2-16-2 relu softmax", "-o", net), 0)
shared = run("pkg-config", "--cflags", "--libs", "hone", env=env).stdout.split()
strict = ["-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wshadow", "-Werror"]
built = {
    "C17": ["cc", "-std=c17", *strict, SOURCE, *shared],
    "C++17": ["c++", "-std=c++17", *strict, "-x", "c++", SOURCE, "-x", "none", *shared],
}
programs = {}
for name, line in built.items():
    programs[name] = tmp / name
    r = run(*line, "-lm", "-pthread", "-o", tmp / name, env=env)
    check(f"built as {name}", r.returncode == 0, r.stderr)
shutil.copy(SOURCE, tmp)
commands = re.findall(r"^cc [^#\n]*", (SOURCE.parent / "README.md").read_text(), re.M)
for name, line in zip(("page", "page, static"), commands):
    r = run("sh", "-c", line, env=env, cwd=tmp)
    check(f"the page's command: {line}", r.returncode == 0, r.stderr)
    programs[name] = tmp / re.search(r"-o (\S+)", line)[1]
check("the page has two commands", len(commands) == 2 and len(set(programs.values())) == 4, commands)
r = run("cmake", "-S", SOURCE.parent, "-B", tmp / "by-cmake", f"-DCMAKE_PREFIX_PATH={prefix}")
check("found by CMake", r.returncode == 0, r.stderr)
r = run("cmake", "--build", tmp / "by-cmake")
check("built by CMake", r.returncode == 0, r.stdout + r.stderr)
programs["CMake"] = tmp / "by-cmake" / "embed"

written = set()
for name, program in programs.items():
    out = tmp / f"{name}.onnx"
    r = run(program, net, out, env=env)
    check(f"{name}: runs", r.returncode == 0, r.stdout + r.stderr)
    epochs = re.findall(r"^epoch (\d+): .* accuracy ([\d.]+)", r.stdout, re.M)
    check(f"{name}: its callback ended it", "ended by callback" in r.stdout and float(epochs[-1][1]) >= 0.97
          and all(float(a) < 0.97 for _, a in epochs[:-1]) and [int(e) for e, _ in epochs] == list(range(len(epochs))), r.stdout[-600:])
    right, all_rows = map(int, re.search(r"(\d+) of (\d+) rows", r.stdout).groups())
    check(f"{name}: its threads predict", all_rows == 400 and right >= 380, r.stdout[-200:])
    check(f"{name}: the log arrives", "loss of output 'y': ce" in r.stderr, r.stderr)
    written.add(out.read_bytes() if out.exists() else b"")
check("all of them write the same model", len(written) == 1 and written != {net.read_bytes()})
for name, static in (("page", False), ("page, static", True)):
    used = run("ldd", programs[name], env=env).stdout
    check(f"{name}: {'no ' if static else ''}libhone.so is needed", ("libhone" in used) != static and "libm" in used, used)
r = run(programs["C17"], net, tmp / "C17.onnx", env=env)
check("a file that is there is refused, with the reason", r.returncode == 1 and "exists already" in r.stderr, r.stderr)
r = run(programs["C17"], tmp / "nowhere.onnx", tmp / "o.onnx", env=env)
check("so is a model that is not", r.returncode == 1 and "nowhere.onnx" in r.stderr, r.stderr)
_hone.finish("embed", tmp)
