#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What shells complete, asked of the shells themselves, against the tables that help prints; and the manual pages: every
option on its page, no complaint from groff. A shell or groff that is not here is said and left out."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import _hone
from _hone import check, code, hone

_hone.need_hone()
tmp = _hone.folder()
COMMANDS = re.findall(r"^  ([a-z-]+)  ", hone("help").out, re.M)
OPTIMIZERS = {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"}


def options(command):
    """Long options as help lists them: those at the beginning of a line of the page."""
    return set(re.findall(r"^  (--[a-z0-9-]+)", hone(command, "--help").out, re.M))


def script(shell):
    r = hone("completion", shell)
    code(f"hone completion {shell}", r, 0)
    path = tmp / f"hone.{shell}"
    path.write_text(r.out)
    return path


def there(program):
    if not shutil.which(program):
        print(f"left out: no {program} here")
    return shutil.which(program)


def bash_words(path, *line):
    """The words bash offers for the last one of line."""
    ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hone; printf "%s\\n" "${COMPREPLY[@]}"'
    r = subprocess.run(["bash", "--norc", "-c", ask, "bash", str(path), *line], capture_output=True, text=True, cwd=tmp)
    check(f"bash says nothing: {line}", r.returncode == 0 and not r.stderr, r.stderr)
    return set(r.stdout.split())


def fish_words(path, line):
    """The words fish offers at the end of line."""
    r = subprocess.run(["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"], capture_output=True, text=True,
                       cwd=tmp, env={**os.environ, "HOME": str(tmp)})
    check(f"fish says nothing: {line}", r.returncode == 0 and not r.stderr, r.stderr)
    return {w.split("\t")[0] for w in r.stdout.splitlines()}


class Zsh:
    """A zsh on a terminal of its own, with the script loaded; what it shows after a tab."""

    def __init__(self, path):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(tmp)
            os.environ.update(HOME=str(tmp), TERM="dumb", COLUMNS="200", LINES="2000")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.tell("stty rows 2000 cols 200; autoload -Uz compinit; compinit -u -D; LISTMAX=9999; zstyle ':completion:*' list-separator --\n")
        self.tell(f"source {path} && echo load''ed\n")
        check("zsh loads the script", "loaded" in self.read_until("loaded"))

    def tell(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, wanted, seconds=30):
        """What is on the screen since the last reading: until `wanted` has come and then half a second nothing more."""
        got, end = "", time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.5)
            if ready:
                got += os.read(self.fd, 65536).decode(errors="replace")
            elif wanted in got:
                break
        return got

    def words(self, line, wanted):
        self.tell(line + "\t\t")
        shown = self.read_until(wanted)
        self.tell("\x15\n")  # the line away
        self.read_until("")
        return set(re.findall(r"[\w-]+", shown.replace(line, "", 1)))


def test_bash():
    path = script("bash")
    if not there("bash"):
        return
    check("bash: commands", bash_words(path, "hone", "") == {*COMMANDS, "help", "completion", "--version"})
    check("bash: a command begun", bash_words(path, "hone", "tr") == {"train"})
    for c in COMMANDS:
        check(f"bash: options of {c}", bash_words(path, "hone", c, "--") == options(c), bash_words(path, "hone", c, "--") ^ options(c))
    check("bash: choices", bash_words(path, "hone", "train", "m.onnx", "--optimizer", "") == OPTIMIZERS)
    check("bash: choices that are signs", bash_words(path, "hone", "train", "--decimal", "") == {".", ","})
    check("bash: choices after =", bash_words(path, "hone", "train", "--optimizer", "=", "ada") == {"adam", "adamw", "adagrad"})
    check("bash: choices of every command", bash_words(path, "hone", "eval", "--progress", "") == {"bar", "plain", "json", "none"})
    check("bash: files are the shell's", not bash_words(path, "hone", "train", "--data", "") and not bash_words(path, "hone", "train", "m"))
    check("bash: help", bash_words(path, "hone", "help", "") == {*COMMANDS, "man", "params"})
    check("bash: what plugin does", bash_words(path, "hone", "plugin", "") == {"list", "check"} and not bash_words(path, "hone", "plugin", "list", ""))
    check("bash: help man", bash_words(path, "hone", "help", "man", "") == set(COMMANDS))


def test_fish():
    path = script("fish")
    if not there("fish"):
        return
    check("fish: commands", fish_words(path, "hone ") == {*COMMANDS, "help", "completion"})
    for c in COMMANDS:
        check(f"fish: options of {c}", fish_words(path, f"hone {c} --") == options(c), fish_words(path, f"hone {c} --") ^ options(c))
    check("fish: help", fish_words(path, "hone help ") == {*COMMANDS, "man", "params"})
    check("fish: help man", fish_words(path, "hone help man ") == set(COMMANDS))
    check("fish: what plugin does", {"list", "check"} <= fish_words(path, "hone plugin ") and "check" not in fish_words(path, "hone plugin list "))
    check("fish: choices", fish_words(path, "hone train --optimizer ") == OPTIMIZERS)
    check("fish: an option of another command", not fish_words(path, "hone diff --optimi"))


def test_zsh():
    path = script("zsh")
    if not there("zsh"):
        return
    r = subprocess.run(["zsh", "-f", "-n", str(path)], capture_output=True, text=True)
    check("zsh: the script parses", r.returncode == 0 and not r.stderr, r.stderr)
    z = Zsh(path)
    check("zsh: commands", {*COMMANDS, "help", "completion"} <= z.words("hone ", "report"))
    for c in ("train", "tune", "diff"):
        shown = z.words(f"hone {c} --", "--quiet")
        check(f"zsh: options of {c}", options(c) <= shown, options(c) - shown)
    check("zsh: choices", OPTIMIZERS <= z.words("hone train --optimizer ", "adagrad"))
    check("zsh: what plugin does", {"list", "check"} <= z.words("hone plugin ", "check"))
    os.close(z.fd)


def test_manual():
    for c in ["", *COMMANDS]:
        r = hone("help", "man", *([c] if c else []))
        code(f"manual of hone {c}", r, 0, ".TH HONE", ".SH NAME", ".SH EXIT STATUS")
        if c:
            there_are = {o.replace("\\", "") for o in re.findall(r"\\fB(\\-\\-[a-z0-9\\-]+)\\fR", r.out)}
            check(f"manual of {c}: every option", there_are == options(c), there_are ^ options(c))
        check(f"manual of {c}: the same twice", hone("help", "man", *([c] if c else [])).out == r.out)
        if shutil.which("groff"):
            g = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z"], input=r.out, capture_output=True, text=True)
            check(f"groff takes hone {c} as it is", not g.stderr and g.returncode == 0, g.stderr)
    there("groff")


def test_mistakes():
    code("no shell", hone("completion"), 2, "bash, zsh or fish")
    code("another shell", hone("completion", "tcsh"), 2, "'tcsh'")
    code("manual of nothing", hone("help", "man", "trian"), 2, "did you mean 'train'")


test_bash()
test_fish()
test_zsh()
test_manual()
test_mistakes()
_hone.finish("completion", tmp)
