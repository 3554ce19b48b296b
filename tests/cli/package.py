#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Debian packages: made from this build, unpacked into a folder, used from there: what each holds and needs, the command
runs, a program is built with the headers and runs."""
import gzip
import os
import re
import shutil
import subprocess
import sys

import _hone
from _hone import BUILD, check, hone

_hone.need_hone()
for program in ("cpack", "dpkg-deb", "dpkg-shlibdeps", "cc", "pkg-config", "file"):
    if not shutil.which(program):
        print(f"skipped: no {program} here")
        sys.exit(77)
if not (BUILD / "pages").exists():
    print("skipped: this build makes no manual pages (sanitizers, or built for another machine)")
    sys.exit(77)
tmp = _hone.folder()
root = tmp / "root"


def run(*args, **more):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, **more)


def names(package):
    listed = run("dpkg-deb", "-c", package).stdout.splitlines()
    check(f"{package.name}: everything is root's, nothing may be written by others",
          all(" root/root " in line and (line[0] == "l" or line[8] != "w") for line in listed), listed)
    return [re.sub(r" -> .*", "", line).split("./", 1)[1] for line in listed if line[0] != "d"]


made = run("cpack", "-G", "DEB", "-B", tmp, cwd=BUILD)
packages = {p.name.split("_")[0]: p for p in sorted(tmp.glob("*.deb"))}
check("three packages", made.returncode == 0 and set(packages) == {"hone", "libhone-dev", "libhone0"}, made.stdout + made.stderr)
if set(packages) != {"hone", "libhone-dev", "libhone0"}:
    _hone.finish("package", tmp)

holds = {n: names(p) for n, p in packages.items()}
needs = {n: run("dpkg-deb", "-f", p, "Depends").stdout for n, p in packages.items()}
version = hone("--version").out.split()[1]
lib = next(n for n in holds["libhone0"] if n.endswith("libhone.so.0")).rsplit("/", 1)[0]
check("the library", set(holds["libhone0"]) == {f"{lib}/libhone.so.0", f"{lib}/libhone.so.{version}", "usr/share/doc/libhone0/copyright",
      "usr/share/doc/libhone0/changelog.Debian.gz", "usr/share/lintian/overrides/libhone0"},
      holds["libhone0"])
check("what the library needs", all(n in needs["libhone0"] for n in ("libc6", "libopenblas0", "libprotobuf-c1", "libsqlite3-0")), needs["libhone0"])
check("what building needs", all(n in holds["libhone-dev"] for n in ("usr/include/hone.h", f"{lib}/libhone.a", f"{lib}/libhone.so",
      f"{lib}/pkgconfig/hone.pc", f"{lib}/cmake/hone/honeConfig.cmake")) and f"libhone0 (= {version}-1)" in needs["libhone-dev"], needs["libhone-dev"])
commands = re.findall(r"^  ([a-z-]+)  ", hone("help").out, re.M)
manuals = {f"usr/share/man/man1/{n}.1.gz" for n in ["hone", *(f"hone-{c}" for c in commands)]}
check("a manual page for every command", manuals == {n for n in holds["hone"] if "/man/" in n}, manuals ^ {n for n in holds["hone"] if "/man/" in n})
check("the command, completion for three shells", "usr/bin/hone" in holds["hone"] and sum("/bash-completion/" in n or "/zsh/" in n or "/fish/" in n
      for n in holds["hone"]) == 3 and f"libhone0 (= {version}-1)" in needs["hone"] and "libjansson4" in needs["hone"], needs["hone"])

for p in packages.values():
    run("dpkg-deb", "-x", p, root)
keeper = run("dpkg-deb", "-f", packages["hone"], "Maintainer").stdout.strip()
changes = gzip.decompress((root / "usr/share/doc/hone/changelog.Debian.gz").read_bytes()).decode()
check("somebody answers for them", re.fullmatch(r".+ <[^<> ]+@[^<> ]+>", keeper), keeper)
check("the changelog", re.fullmatch(rf"hone \({re.escape(version)}-1\) unstable; urgency=medium\n\n  \* .+\n\n -- {re.escape(keeper)}  "
      r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\n", changes), changes)
if shutil.which("lintian"):
    said = run("lintian", "--allow-root", *packages.values())
    prefixed = "CMAKE_INSTALL_PREFIX:PATH=/usr\n" in (BUILD / "CMakeCache.txt").read_text()  # else no folder of the architecture
    lines = [line for line in said.stdout.splitlines() if line[:3] in ("E: ", "W: ") and (prefixed or "pkg-config-unavailable" not in line)]
    check("lintian has nothing to say", not lines, lines)
r = run(root / "usr/bin/hone", "new", "4-8-3 relu softmax", "-o", tmp / "net.onnx")
check("the command runs", r.returncode == 0 and (tmp / "net.onnx").exists(), r.stderr)
used = run("ldd", root / "usr/bin/hone").stdout
check("with the library beside it", str(root) in used, used)

(tmp / "p.c").write_text('#include <hone.h>\n#include <stdio.h>\nint main(int n, char **a)\n{\n  hone_context *c;\n  hone_model *m;\n'
                         '  hone_error e;\n  if (n < 2 || hone_context_create(NULL, &c, &e) || hone_model_load(c, a[1], &m, &e)) return 1;\n'
                         '  puts(hone_version());\n  hone_model_destroy(m);\n  hone_context_destroy(c);\n  return 0;\n}\n')
env = {**os.environ, "PKG_CONFIG_PATH": str(root / lib / "pkgconfig")}
flags = run("pkg-config", "--cflags", "--libs", "hone", env=env).stdout.split()
r = run("cc", "-Wall", "-Werror", tmp / "p.c", "-o", tmp / "p", *flags, env=env)
check("a program is built", r.returncode == 0, r.stderr)
r = run(tmp / "p", tmp / "net.onnx", env={**os.environ, "LD_LIBRARY_PATH": str(root / lib)})
check("and runs", r.returncode == 0 and r.stdout.strip() == version, r.stdout + r.stderr)
_hone.finish("package", tmp)
