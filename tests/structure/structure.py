#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The promises of the tree, checked: include arrows, banned calls, SPDX lines, README of each folder.

usage: structure.py arrows|banned|heads|words|figures
figures prints the largest functions and files and fails above the ceilings.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BASE = {"ops/base"}
MATH = BASE | {"ops/math"}
GRAPH = MATH | {"ops/graph"}
ONNX = GRAPH | {"onnx"}
PLUGIN = ONNX | {"plugin", "plugin/data", "plugin/train", "plugin/tune", "ops/cpu"}
# folder: what its files may include besides themselves
MAY = {
    "ops/base": set(),
    "ops/math": BASE,
    "ops/cpu": BASE | {"ops/math/op.h"},
    "gpu": BASE | {"ops/math/op.h"},
    "ops/graph": MATH,
    "onnx": GRAPH,
    "plugin/data": BASE,
    "plugin/train": PLUGIN,
    "plugin/tune": PLUGIN,
    "plugin": PLUGIN,
    "tools": {"plugin/hone.h"},
}
# foreign headers and the only folders that may see them
FOREIGN = {
    "protobuf-c": {"onnx"}, "onnx.pb-c.h": {"onnx"}, "cblas.h": {"plugin", "plugin/tune"}, "cuda": {"gpu"},
    "cudnn": {"gpu"}, "cublas": {"gpu"}, "sqlite3.h": {"plugin/tune"}, "libpq": {"plugin/tune"}, "jansson.h": {"tools"}, "yaml.h": {"tools"},
    "zip.h": {"plugin/data", "plugin"}, "zlib.h": {"ops/base", "plugin"}, "xxhash.h": {"ops/graph", "plugin/data", "plugin/train", "plugin/tune", "plugin", "onnx"},
}
BANNED = ["sprintf", "vsprintf", "strcpy", "strcat", "strncpy", "gets", "atoi", "atol", "atof", "rand", "srand", "random",
          "exit", "_exit", "abort", "printf", "fprintf", "puts", "putchar", "fputs", "perror", "getenv", "setenv", "signal",
          "sigaction", "malloc", "calloc", "realloc", "free", "fopen", "system", "popen", "strtok", "setlocale", "assert"]
# where a banned call is the point of the file
ALLOWED = {"ops/base/memory.c": {"malloc", "free"}}
FUNCTION_CEILING = 80
FILE_CEILING = 700


def names():
    """The tree's files: as git lists them, or, where there is no git, all but build folders."""
    try:
        out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
        if out.returncode == 0:
            return out.stdout.split("\n")
    except FileNotFoundError:
        pass
    found = (p.relative_to(ROOT) for p in ROOT.rglob("*"))
    return [str(p) for p in found if not p.parts[0].startswith(("build", ".git"))]


def sources(*folders):
    for name in sorted(names()):
        path = ROOT / name
        if path.suffix in (".c", ".h", ".cu", ".cuh") and path.exists():
            folder = str(path.parent.relative_to(ROOT))
            if not folders or folder in folders:
                yield path, folder


def code_of(path):
    """The text without comments and strings, line structure kept."""
    text = path.read_text(errors="replace")

    def blank(m):
        return re.sub(r"[^\n]", " ", m.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def arrows():
    bad = []
    for path, folder in sources(*MAY):
        for i, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if not m:
                continue
            name = m.group(2)
            where = f"{path.relative_to(ROOT)}:{i}"
            for part, seers in FOREIGN.items():
                if (name == part or (not part.endswith(".h") and name.startswith(part))) and folder not in seers:
                    bad.append(f"{where}: only {', '.join(sorted(seers))} may include {name}")
            if m.group(1) == "<":
                continue
            if name in ("hone.h", "hone_plugin.h", "hone_status.h"):
                if name == "hone_plugin.h" and not folder.startswith("plugin"):
                    bad.append(f"{where}: what plug-ins offer is plugin/'s")
                if name == "hone.h" and folder not in ("plugin", "plugin/train", "plugin/tune", "tools"):
                    bad.append(f"{where}: the public header is above {folder}")
                continue
            target = str(pathlib.PurePosixPath(name).parent)
            if target == ".":
                if name != "onnx.pb-c.h":
                    bad.append(f"{where}: write includes from the root: {name}")
            elif target != folder and target not in MAY[folder] and name not in MAY[folder]:
                bad.append(f"{where}: {folder} must not include {name}")
    return bad


def banned():
    bad = []
    folders = [f for f in MAY if f != "tools"]
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path, _ in sources(*folders):
        name = str(path.relative_to(ROOT))
        for i, line in enumerate(code_of(path).split("\n"), 1):
            for m in pattern.finditer(line):
                if line.lstrip().startswith("#") or m.group(1) in ALLOWED.get(name, ()):
                    continue
                bad.append(f"{name}:{i}: {m.group(1)}() is not for the library")
    return bad


def heads():
    bad = []
    for path, folder in sources():
        text = path.read_text(errors="replace")
        if not text.startswith("/* SPDX-License-Identifier: MIT"):
            bad.append(f"{path.relative_to(ROOT)}: does not begin with its SPDX line")
    for folder in MAY:
        if not list((ROOT / folder).glob("*.c")) and not list((ROOT / folder).glob("*.cu")):
            continue
        readme = ROOT / folder / "README.md"
        if not readme.exists():
            bad.append(f"{folder}: has no README.md")
        elif len(readme.read_text().split("\n")) > 41:
            bad.append(f"{folder}/README.md: is longer than 40 lines")
    return bad


def words():
    bad = []
    for path, _ in sources():
        for i, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                bad.append(f"{path.relative_to(ROOT)}:{i}: left unfinished in words")
    return bad


def functions(path):
    """(name, first line, lines) of every function body, by brace counting outside macros."""
    depth, head, start, first = 0, "", None, 0
    in_macro = False
    for i, line in enumerate(code_of(path).split("\n"), 1):
        macro = in_macro or line.lstrip().startswith("#")
        in_macro = macro and line.rstrip().endswith("\\")
        if macro:
            continue
        for ch in line:
            if ch == "{":
                if depth == 0:
                    start = i if "(" in head and "=" not in head.split("(")[0] else None
                    first = i
                depth += 1
            elif ch == "}":
                depth -= 1
                if depth == 0:
                    if start:
                        m = re.search(r"(\w+)\s*\([^{]*$", head)
                        yield (re.findall(r"(\w+)\s*\(", head) or ["?"])[0], first, i - start + 1
                    head = ""
            elif ch == ";" and depth == 0:
                head = ""
            elif depth == 0:
                head += ch
        if depth == 0:
            head += " "


def figures():
    rows, files = [], []
    for path, folder in sources():
        name = str(path.relative_to(ROOT))
        lines = path.read_text(errors="replace").count("\n")
        files.append((lines, name))
        if path.suffix in (".c", ".cu"):
            rows += [(n, f"{name}:{at} {fn}") for fn, at, n in functions(path)]
    rows.sort(reverse=True)
    files.sort(reverse=True)
    sizes = sorted(n for n, _ in rows)
    if sizes:
        print(f"{len(sizes)} functions: median {sizes[len(sizes) // 2]} lines, p90 {sizes[len(sizes) * 9 // 10]}, largest {sizes[-1]}")
    print(f"{len(files)} files, {sum(n for n, _ in files)} lines")
    for n, what in rows[:10]:
        print(f"  {n:4} lines  {what}")
    for n, what in files[:5]:
        print(f"  {n:4} lines  {what}")
    bad = [f"{what}: {n} lines, the ceiling is {FUNCTION_CEILING}" for n, what in rows if n > FUNCTION_CEILING]
    bad += [f"{what}: {n} lines, the ceiling is {FILE_CEILING}" for n, what in files if n > FILE_CEILING]
    return bad


def main():
    checks = {f.__name__: f for f in (arrows, banned, heads, words, figures)}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    bad = checks[sys.argv[1]]()
    for line in bad:
        print(line)
    print(f"{sys.argv[1]}: {'%d problems' % len(bad) if bad else 'fine'}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
