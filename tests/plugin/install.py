#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The installed library as a host sees it: what it exports and needs, one program in C and C++ by way of the CMake package,
pkg-config and plain flags, from a tree that was moved after installing.

usage: install.py BUILD_FOLDER
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
build = pathlib.Path(sys.argv[1]).resolve()
failed = 0


def run(*command, **more):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def check(what, ok, text=""):
    global failed
    failed += not ok
    print(("ok    " if ok else "FAIL  ") + what + ("" if ok else "\n" + text))
    return ok


def symbols(library):
    out = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines() if line}


def check_exports(library):
    header = re.sub(r"/\*.*?\*/", "", (HERE.parent.parent / "plugin/hone.h").read_text(), flags=re.S)
    declared = set(re.findall(r"\b(hone_[a-z0-9_]+)\s*\(", " ".join(re.findall(r"HONE_(?:API|CALL) [^;]*;", header))))
    exported = symbols(library)
    check(f"exports only hone_* ({len(exported)})", all(s.startswith("hone_") for s in exported),
          ", ".join(sorted(s for s in exported if not s.startswith("hone_"))[:20]))
    check("every declared function is there", declared <= exported, ", ".join(sorted(declared - exported)))
    check("every export is declared", exported <= declared, ", ".join(sorted(exported - declared)))
    out = run("readelf", "-d", library).stdout
    check("SONAME libhone.so.0", "SONAME" in out and "[libhone.so.0]" in out, out)
    for other in ("jansson", "yaml", "cuda"):
        check(f"does not need {other}", not re.search(rf"NEEDED.*{other}", out), out)


def use(name, program, env, folder):
    r = run(program, folder / f"{name}.onnx", env=env)
    check(f"{name} runs", r.returncode == 0, r.stdout)
    return (folder / f"{name}.onnx").read_bytes() if r.returncode == 0 else b""


def main():
    if "-fsanitize" in (build / "CMakeCache.txt").read_text() or "HONE_SANITIZE:BOOL=ON" in (build / "CMakeCache.txt").read_text():
        print("skipped: a library with sanitizers needs them in the program too")
        return 77
    if not (build / "libhone.so").exists():
        print("skipped: libhone.so is not built")
        return 77
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="hone-install-"))
    first, prefix = tmp / "first", tmp / "moved"
    r = run("cmake", "--install", build, "--prefix", first)
    if not check("installs", r.returncode == 0, r.stdout):
        return 1
    first.rename(prefix)
    lib = next(prefix.rglob("libhone.so")).parent
    check_exports(lib / "libhone.so.0")
    env = dict(os.environ, LD_LIBRARY_PATH=str(lib), PKG_CONFIG_PATH=str(lib / "pkgconfig"), OPENBLAS_NUM_THREADS="1")
    results = []

    r = run("cmake", "-S", HERE / "embed", "-B", tmp / "embed", f"-DCMAKE_PREFIX_PATH={prefix}")
    ok = check("find_package(hone)", r.returncode == 0, r.stdout)
    r = run("cmake", "--build", tmp / "embed")
    if check("builds as C and C++, shared and static", ok and r.returncode == 0, r.stdout):
        results += [use(p, tmp / "embed" / p, env, tmp) for p in ("train_c", "train_cpp", "train_static")]
        for program, static in (("train_c", False), ("train_static", True)):
            used = run("ldd", tmp / "embed" / program, env=env).stdout
            check(f"{program} needs {'no ' if static else ''}libhone.so", ("libhone" in used) != static and "libc" in used, used)

    if shutil.which("pkg-config"):
        flags = run("pkg-config", "--cflags", "--libs", "hone", env=env).stdout.split()
        for compiler, name, language in (("cc", "pc_c", "c"), ("c++", "pc_cpp", "c++")):
            r = run(compiler, "-Wall", "-Wextra", "-Werror", "-x", language, HERE / "embed/train.c", "-x", "none", *flags,
                    "-o", tmp / name, env=env)
            if check(f"builds with {compiler} and pkg-config", r.returncode == 0, r.stdout):
                results.append(use(name, tmp / name, env, tmp))
    r = run("cc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{prefix}/include",
            HERE / "embed/train.c")
    check("hone.h is C99", r.returncode == 0, r.stdout)
    r = run("cc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{prefix}/include",
            HERE.parent / "cli/plugins/bad.c")
    check("hone_plugin.h is there", r.returncode == 0, r.stdout)
    check("every program wrote the same model", len(set(results)) == 1 and len(results) > 2, str([len(x) for x in results]))
    shutil.rmtree(tmp)
    return 1 if failed else 0


sys.exit(main())
