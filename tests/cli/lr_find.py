#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone lr-find: the curve, what it suggests and that training with it goes well; the page, which loads nothing and, where chromium
is installed, is drawn; a command line of hone train as it is; refusals, each by the option's name. The model is never written."""
import json
import math
import re
import shutil
import subprocess

import _hone
from _hone import IMAGES, LABELS, MNIST, SCALE, check, code, hone
from _page import Page

_hone.need_hone()
tmp = _hone.folder()
DIGITS = ["--x", IMAGES, "--y", LABELS, "--x-scale", SCALE]
NET = tmp / "net.onnx"


def test_curve():
    before = NET.read_bytes()
    r = hone("lr-find", NET, *DIGITS, "--json")
    code("a curve", r, 0, "suggested: --lr")
    j = r.json
    check("schema", list(j)[:2] == ["schema", "ok"] and j["schema"] == "hone.lr-find/1" and j["ok"] is True, list(j))
    p = j["points"]
    check("points", len(p) == j["steps"] > 50 and all(set(q) == {"lr", "loss", "smoothed"} for q in p))
    check("rates", all(math.isclose(b["lr"] / a["lr"], 1e8 ** (1 / 99), rel_tol=1e-9) for a, b in zip(p, p[1:])))
    check("suggestion", 1e-4 < j["suggestions"]["valley"] <= j["suggestion"] <= j["suggestions"]["steepest"] < 0.05 and j["suggestion"] < j["lowest"] < j["rises"], j["suggestions"])
    check("the model stays", NET.read_bytes() == before and sorted(f.name for f in tmp.iterdir()) == ["net.onnx"])
    text = hone("lr-find", NET, *DIGITS).out
    check("a curve on the terminal", len(re.findall(r"\|.*\*", text)) > 2 and "v valley   ^ suggested   s steepest" in text, text)
    again = hone("lr-find", NET, *DIGITS, "--json", "--quiet", "--threads", "1").json
    check("the same for any threads", again["points"] == p)
    loss = {}
    for lr in (j["suggestion"], j["suggestion"] / 300, j["rises"]):
        t = hone("train", NET, *DIGITS, "--val-split", "0.2", "--epochs", "2", "--lr", lr, "--save", "last", "--json", "--quiet", "--force", "-o", tmp / "t.onnx")
        loss[lr] = t.json["val"]["loss"]
    check("what is suggested trains best", min(loss, key=loss.get) == j["suggestion"], loss)


def test_page():
    r = hone("lr-find", NET, *DIGITS, "--val-split", "0.2", "--early-stop-patience", "3", "--lr-schedule", "cosine", "--swa-start", "0.5", "--json", "-o",
             tmp / "better.onnx")
    code("a training's command line", r, 0, "better.onnx.lr.html")
    page = tmp / "better.onnx.lr.html"
    check("where the run folder would be", r.json["page"] == str(page) and page.exists() and not (tmp / "better.onnx").exists())
    own = tmp / "own.html"
    code("a page by its name", hone("lr-find", NET, *DIGITS, "--steps", "20", "-o", own), 0)
    code("made again", hone("lr-find", NET, *DIGITS, "--steps", "20", "-o", own), 0)
    (tmp / "mine.html").write_text("mine")
    code("another file is not replaced", hone("lr-find", NET, *DIGITS, "--steps", "20", "-o", tmp / "mine.html"), 2, "mine.html", "--force")
    check("it is as it was", (tmp / "mine.html").read_text() == "mine")
    p = Page(page)
    check("well formed, loads nothing", not p.problems and not p.outside(), (p.problems, p.outside()))
    check("holds the curve", p.tree["kind"] == "lr-find" and p.tree["points"] == r.json["points"])
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        print("  not drawn: no chromium here")
        return
    try:
        dom = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp}/profile", "--dump-dom", page.as_uri()],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout.decode()
    except subprocess.TimeoutExpired:
        print("  not drawn: chromium did not answer")
        return
    check("drawn", dom.count('class="step"') == len(r.json["points"]) and 'class="curve val"' in dom and "suggested: " in dom, dom[-2000:])
    check("on a logarithmic axis", all(f">{t}<" in dom for t in ("1e−6", "1e−4", "0.01")))


def test_other_ends():
    r = hone("lr-find", MNIST, *DIGITS, "--optimizer", "sgd", "--lr-from", "1e-8", "--lr-to", "1e-6", "--steps", "60", "--json")
    code("a range in which nothing happens", r, 0, "no suggestion")
    check("no rate is made up", r.json["suggestion"] is None and r.json["suggestions"] == {"steepest": None, "valley": None}, r.json["suggestions"])
    r = hone("lr-find", NET, *DIGITS, "--optimizer", "sgd", "--lr-from", "1e15", "--lr-to", "1e38", "--json")
    code("no loss left", r, 0, "no longer finite")
    check("not finite", r.json["stop_reason"] == "not_finite")
    code("an order", hone("lr-find", NET, *DIGITS, "--lr-from", "1", "--lr-to", "0.1"), 2, "lr-to", "lr-from")
    code("steps", hone("lr-find", NET, *DIGITS, "--steps", "3"), 2, "steps", "[10, 10000]")
    code("a row a step", hone("lr-find", NET, *DIGITS, "--batch-size", "1", "--steps", "10", "--lr-to", "1e-6"), 0, "10 steps of 1 row by adam")
    code("no data", hone("lr-find", NET), 2, "data")
    code("no such model", hone("lr-find", tmp / "none.onnx", *DIGITS), 6, "none.onnx")
    code("options of other commands", hone("lr-find", NET, *DIGITS, "--trials", "3"), 2, "trials")
    code("no option of training", hone("train", NET, *DIGITS, "--steps", "30", "-o", tmp / "x.onnx"), 2, "steps")


code("a model", hone("new", "784-64-10 relu", "-o", NET), 0)
test_curve()
for path in tmp.glob("t.onnx*"):
    path.unlink()
test_page()
test_other_ends()
_hone.finish("lr_find", tmp)
