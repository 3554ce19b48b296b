#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone report: one page that loads nothing and holds what the folder holds; hostile names stay text; the diagnosis follows its
rule; runs that still go on, were cut short or are damaged. Where chromium is installed, its script is run, too."""
import json
import math
import pathlib
import random
import re
import shutil
import subprocess
import time

import _hone
from _hone import check, code, hone
from _page import Page

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
EVIL = "</script><img src=x onerror=alert(1)>\"'&<!--"


def page_of(folder, *args):
    r = hone("report", folder, "--json", *args)
    code(f"report {folder.name}", r, 0)
    j = r.json
    check("schema", list(j)[:2] == ["schema", "ok"] and j["schema"] == "hone.report/1" and j["ok"] is True, j)
    page = Page(pathlib.Path(j["path"]))
    check(f"{folder.name}: well formed", not page.problems, page.problems)
    check(f"{folder.name}: loads nothing", not page.outside(), page.outside())
    check(f"{folder.name}: titled", page.tags.count("h1") == 1 and page.tags.count("title") == 1 and page.tags.count("main") == 1)
    return page, j


def make():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,label\n")
        for _ in range(300):
            x, y = r.gauss(0, 1), r.gauss(0, 1)
            f.write(f"{x:.6g},{y:.6g},{int(x + y + r.gauss(0, .5) > 0)}\n")
    code("a model", hone("new", "2-8-2 relu", "-o", NET), 0)


JOB = ["--data", DATA, "--target", "label", "--test-split", "0.2", "--seed", "3", "--progress", "none"]


def test_train():
    run = tmp / "a.onnx.run"
    code("train", hone("train", NET, *JOB, "--val-split", "0.2", "--epochs", "12", "--keep-run", "-o", tmp / "a.onnx"), 0)
    page, j = page_of(run)
    check("beside the run", j["path"] == str(run / "report.html") and j["kind"] == "train")
    tree = page.tree
    for name in ("run", "status", "result"):
        check(f"{name} as in the folder", tree[name] == json.loads((run / f"{name}.json").read_text()))
    lines = (run / "metrics.csv").read_text().split()
    check("the curves as in the folder", tree["metrics"]["columns"] == lines[0].split(",") and tree["metrics"]["rows"] ==
          [[float(c) if c else None for c in line.split(",")] for line in lines[1:]])
    loss = next(r for r in page.rows if r[0] == "loss")
    want = [tree["result"]["before"]["val"]["loss"], tree["result"]["val"]["loss"], tree["result"]["before"]["test"]["loss"], tree["result"]["test"]["loss"]]
    check("before and after", loss[3:] == [f"{v:.4g}" for v in want], loss)
    check("a row an epoch", sum(r[0] == str(e) for e in range(13) for r in page.rows if len(r) == len(lines[0].split(","))) == 13)
    check("settings", ["val-split", "0.2"] in page.rows and ["target", "label"] in page.rows, page.rows)
    check("the diagnosis on the page", j["diagnosis"] == tree["diagnosis"] and j["diagnosis"]["headline"] in page.text and "rule" in j["diagnosis"])
    first = (run / "report.html").read_bytes()
    code("again", hone("report", run, "-q"), 0)
    check("the same bytes again", (run / "report.html").read_bytes() == first)
    code("elsewhere", hone("report", str(run) + "/", "-q", "-o", tmp / "page.html"), 0)
    check("the same bytes elsewhere", (tmp / "page.html").read_bytes() == first)
    other = tmp / "notes.html"
    other.write_text("mine")
    code("a file that is no report is kept", hone("report", run, "-o", other), 2, "--force")
    check("kept", other.read_text() == "mine")
    code("--force", hone("report", run, "--force", "-o", other), 0)
    drawn(run / "report.html", 3, "svg")


def cut(name, **changes):
    """A copy of the run's folder with other contents."""
    run = tmp / name
    shutil.copytree(tmp / "a.onnx.run", run)
    for file, text in changes.items():
        path = run / file.replace("_", ".")
        path.unlink() if text is None else path.write_text(text)
    return run


def test_states():
    status = json.loads((tmp / "a.onnx.run" / "status.json").read_text())
    rows = (tmp / "a.onnx.run" / "metrics.csv").read_text().split("\n")
    going = cut("going", status_json=json.dumps(dict(status, state="running", stop_reason=None, epoch=4)), metrics_csv="\n".join(rows[:6]) + "\n5,0.4,0.")
    page, _ = page_of(going)
    check("a run that still runs", "still running" in page.text and "result" not in page.tree and len(page.tree["metrics"]["rows"]) == 5, page.tree["metrics"])
    page, _ = page_of(cut("bare", status_json=None, result_json=None, metrics_csv=None))
    check("a run that left only run.json", page.tree["metrics"]["rows"] == [])
    page, _ = page_of(cut("dead", status_json=json.dumps(dict(status, state="interrupted", stop_reason="interrupted"))))
    check("an interrupted run", "interrupted" in page.text)
    code("a damaged file", hone("report", cut("torn", status_json='{"state": ')), 6, "status.json", "damaged")
    code("no folder", hone("report", tmp / "none"), 6, "none")
    r = hone("report", tmp / "none", "--json")
    check("the error as JSON", r.json["ok"] is False and r.json["schema"] == "hone.report/1", r.out)
    (tmp / "empty").mkdir()
    code("a folder that is no run", hone("report", tmp / "empty"), 6, "run.json", "--keep-run")
    code("a model instead of its folder", hone("report", tmp / "a.onnx"), 6, "a.onnx.run")
    code("no argument", hone("report"), 2, "RUNDIR")
    code("a folder that cannot be written", hone("report", tmp / "a.onnx.run", "-o", tmp / "no" / "x.html"), 6)


def test_while_it_runs():
    """A page made at any moment of a search, of its folder as it is then."""
    p = subprocess.Popen([str(a) for a in [_hone.HONE, "tune", NET, *JOB, "--folds", "3", "--search", "lr=log:1e-4..1e-1", "--search", "batch_size=8,16,32",
                                           "--trials", "400", "--epochs", "300", "--ensemble", "2", "-o", tmp / "c.onnx"]],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp / "c.onnx.run"
    seen, deadline = 0, time.time() + 60
    while seen < 2 and p.poll() is None and time.time() < deadline:
        if (run / "study.json").exists():
            study = page_of(run)[0].tree["study"]
            seen += study["stop_reason"] == "running" and len(study["trials"]) > seen
        time.sleep(0.1)
    p.kill()
    p.wait()
    page, _ = page_of(run)
    check("pages of a search that runs", seen == 2, seen)
    check("and of one that was killed", page.tree["study"]["stop_reason"] == "running" and "still runs, or was killed" in page.text)


def verdict(name, rows, result=None):
    run = tmp / name
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"schema": "hone.run/1", "model": "x.onnx", "settings": {}}))
    if result:
        (run / "result.json").write_text(json.dumps(result))
    text = "epoch,train_loss,val_loss,lr,seconds\n"
    for e, (t, v) in enumerate(rows):
        text += f"{e},{'' if e == 0 else t},{v},0.001,{e}\n"
    (run / "metrics.csv").write_text(text)
    return hone("report", run, "--json").json["diagnosis"]


def test_diagnosis():
    n = range(60)
    d = verdict("over", [(math.exp(-e / 10), 0.5 + 0.5 * math.exp(-e / 5) + 0.005 * e) for e in n])
    check("overfitting", d["verdict"] == "overfitting" and any("weight-decay" in a for a in d["advice"]), d)
    check("the gap in numbers that are so",
          any("training loss of the same weights is 0.1, 80.0 % below" in b for b in
              verdict("gap3", [(math.exp(-e / 4), 0.5 + 0.5 * math.exp(-e / 4) if e < 29 else 0.5) for e in n], {"train": {"loss": 0.1}})["because"]))
    check("patience is not advised to who had it",
          not any("patience" in a for a in verdict("over2", [(math.exp(-e / 10), 0.5 + 0.5 * math.exp(-e / 5) + 0.005 * e) for e in n],
                                                   {"stop_reason": "patience"})["advice"])
          and any("patience" in a for a in d["advice"]))
    check("gap", verdict("gap", [(0.01 + math.exp(-e / 4), 0.5 + 0.5 * math.exp(-e / 4)) for e in n])["verdict"] == "overfitting")
    check("the gap is judged by the returned weights, not by the running mean",
          verdict("gap2", [(0.01 + math.exp(-e / 4), 0.5 + 0.5 * math.exp(-e / 4)) for e in n], {"train": {"loss": 0.48}})["verdict"] == "good")
    check("unfinished", verdict("short", [(2 - e / 60, 2.05 - e / 60) for e in n])["verdict"] == "unfinished")
    d = verdict("fast", [(0.6 * math.exp(-e / 12), math.exp(-e / 12)) for e in n])
    check("a loss that still falls is no overfitting, whatever the gap", d["verdict"] == "unfinished", d)
    check("and ends where it is best", any("where it was at its best (0.0 % above)" in b for b in d["because"]), d["because"])
    d = verdict("mean", [(0.3 + math.exp(-e / 5), 0.32 + math.exp(-e / 5)) for e in n], {"val": {"loss": 0.32, "r2": -0.25}})
    check("worse than the mean is said", any("r2 over the validation rows is -0.25" in b for b in d["because"]), d["because"])
    check("underfitting", verdict("flat", [(0.693, 0.6931 - 1e-6 * e) for e in n])["verdict"] == "underfitting")
    check("good", verdict("good", [(0.3 + math.exp(-e / 5), 0.32 + math.exp(-e / 5)) for e in n])["verdict"] == "good")
    check("nearly perfect is good", verdict("tiny", [(1e-5 + math.exp(-e), 1e-4 * (1 + e / 60) + math.exp(-e)) for e in n])["verdict"] == "good")
    check("diverged", verdict("wild", [(0.5, 0.5)] * 10 + [("nan", "nan")])["verdict"] == "diverged")
    check("diverged by its word", verdict("wild2", [(0.5, 0.5)] * 10, {"stop_reason": "diverged", "diverged": {"epoch": 3, "tensor": "w"}})["verdict"] == "diverged")
    check("too short to say", verdict("three", [(0.5, 0.5)] * 3)["verdict"] == "unknown")
    check("nothing to judge by", verdict("noval", [(0.5, "")] * 30)["verdict"] == "unknown")


def test_tune():
    run = tmp / "b.onnx.run"
    code("tune", hone("tune", NET, *JOB, "--folds", "3", "--search", "lr=log:1e-4..1e-1", "--search", "batch_size=8,16,32", "--search",
                      "optimizer=adam,momentum", "--search", "momentum=0.5..0.95?optimizer=momentum", "--trials", "16", "--epochs", "4", "-o", tmp / "b.onnx"), 0)
    page, j = page_of(run)
    study = json.loads((run / "study.json").read_text())
    check("study.json is in the page", page.tree["study"] == study and j["kind"] == "tune")
    trials = [r for r in page.rows if len(r) == 10 and r[0].isdigit()]
    check("a row a trial", [int(r[0]) for r in trials] == list(range(16)), trials)
    best = study["trials"][study["best_trial"]]
    check("the best trial's row", trials[best["number"]][1:3] == ["complete", f"{best['value']:.4g}"], trials[best["number"]])
    check("findings", any(f"Trial {best['number']} is the best" in s for s in j["findings"]) and all(s in page.text for s in j["findings"]), j["findings"])
    shares = [r for r in page.rows if len(r) == 3 and r[0] in study["importances"]]
    check("importances", {r[0]: r[1] for r in shares} == {k: f"{100 * v:.0f} %" for k, v in study["importances"].items()}, shares)
    first = (run / "report.html").read_bytes()
    code("again", hone("report", run, "-q"), 0)
    check("the same bytes again", (run / "report.html").read_bytes() == first)
    nested = tmp / "nested.run"
    nested.mkdir()
    fold = {"rows": 80, "value": 0.25, "imported": 0.75, "best_trial": 4, "best_value": 0.2, "changed": True}
    (nested / "study.json").write_text(json.dumps(dict(study, nested={
        "k": 2, "complete": False, "mean": 0.25, "se": 0.01, "folds": [fold, fold], "comparison": {"folds": 2, "better": 2, "p": 0.01}})))
    page, _ = page_of(nested)
    check("nested folds", ["2", "80", "0.75", "0.25", "0.2"] in page.rows and "0.25 ± 0.01 so far" in page.text, page.rows)
    drawn(run / "report.html", 16, "history circle", "history path.q")


def write_study(name, n, space, params, **more):
    r = random.Random(1)
    run = tmp / name
    run.mkdir()
    trials = []
    for i in range(n):
        state = ["done", "done", "done", "pruned", "failed", "running"][i % 6] if i else "done"
        value = 1 + r.random() if state == "done" else None
        trials.append({"number": i, "state": state, "params": params(r), "value": value, "std": 0.1 if value else None,
                       "folds": [{"value": value, "epochs": 3}] * 3 if value else [], "epochs": 9, "seconds": 0.5,
                       **({"why": EVIL} if state == "failed" else {}), **({"curve": [2, 1.5, 1.2]} if state in ("done", "pruned") else {})})
    best = min((t for t in trials if t["value"]), key=lambda t: t["value"])
    study = {"schema": "hone.tune/1", "trials": trials, "best_trial": best["number"], "best_value": best["value"], "importances": {k: 1 / len(space) for k in space},
             "baseline": {"imported": {"value": 3.0, "std": 0.1, "test": None}, "trial_0": {"value": trials[0]["value"]}}, "beaten": True, "refit": None,
             "test": None, "monitor": "val_loss", "direction": "minimize", "sampler": "gp", "n_folds": 3, "repeats": 1, "stop_reason": "running",
             "input": f"m{EVIL}.onnx", "settings": {"data": EVIL, "search": [EVIL, EVIL]}, "space": space, "seconds": 3, **more}
    (run / "study.json").write_text(json.dumps(study))
    return run, study


def test_examples():
    where = tmp / "examples"
    where.mkdir()
    shutil.copytree(tmp / "a.onnx.run", where / "better.onnx.run")
    shutil.copytree(tmp / "b.onnx.run", where / "best.onnx.run")
    lines = hone("report", "--help").out.split("usage:")[0].split("\n")
    examples = [line.split()[1:] for line in lines if line.startswith("  hone ")]
    for e in examples:
        code(" ".join(e), hone(*e, cwd=where), 0, "written to")
    check("examples", len(examples) == 2 and (where / "report.html").exists())


def test_ranges():
    """A range is to be widened only where the parameter itself goes on behind its end."""
    space = {"hidden_layers": {"type": "int", "low": 1, "high": 3}, "units_1": {"type": "int", "low": 1, "high": 64},
             "dropout": {"type": "float", "low": 0, "high": 0.5}, "hidden_units": {"type": "int", "low": 4, "high": 64},
             "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}}
    at = {"hidden_layers": 1, "units_1": 1, "dropout": 0.0, "hidden_units": 4, "lr": 0.1}
    run, _ = write_study("ranges", 12, space, lambda r: at)
    found = [line for line in hone("report", run, "--json").json["findings"] if "widen it" in line]
    check("what can be widened", [line.split()[1] for line in found] == ["hidden_units", "lr"] and "lower" in found[0] and "upper" in found[1], found)


def test_length():
    """More trials may pay where a sampler that learns still finds what is better by more than luck."""
    space = {"lr": {"type": "float", "low": 0.1, "high": 0.9}}

    def said(name, sampler, last, folds):
        run, study = write_study(name, 20, space, lambda r: {"lr": 0.5}, sampler=sampler)
        for t in study["trials"]:
            value = sum(folds) / len(folds) if t["number"] == last else 2.0
            t.update(state="done", value=value, folds=[{"value": v, "epochs": 3} for v in (folds if t["number"] == last else [1.9, 2.0, 2.1])])
        (run / "study.json").write_text(json.dumps(dict(study, best_trial=last, best_value=sum(folds) / 3)))
        return [line for line in hone("report", run, "--json").json["findings"] if "trials may pay" in line or "not changed" in line]

    better, little = [1.5, 1.62, 1.68], [1.6, 2.3, 2.04]
    check("found late by gp", said("l1", "gp", 18, better) == ["The best was found among the last fifth of 20 trials, 0.4 better than the best before it "
                                                              "(standard error 0.018): more trials may pay."], said("l1b", "gp", 18, better))
    check("by less than luck", said("l2", "gp", 18, little) == [])
    check("random trials come in any order", said("l3", "random", 18, better) == said("l4", "sobol", 18, better) == said("l5", "grid", 18, better) == [])
    check("found early", said("l6", "tpe", 3, better) == ["The best has not changed for the last 16 of 20 trials."])
    check("found early by chance", said("l7", "random", 3, better) == [])


def test_hostile():
    space = {EVIL: {"type": "float", "low": 0, "high": 1}, "kind'\"": {"type": "categorical", "choices": [EVIL, "b", 3, True]}, "": {"type": "int", "low": 1, "high": 9}}
    run, study = write_study("evil", 30, space, lambda r: {EVIL: r.random(), "kind'\"": r.choice([EVIL, "b", 3, True]), "": r.randint(1, 9)},
                             nested={EVIL: {EVIL: EVIL}})
    page, j = page_of(run)
    check("hostile: the tree is whole", page.tree["study"] == study)
    check("hostile: no element of theirs", "img" not in page.tags and page.tags.count("script") == 2 and not [a for a in page.attrs if a[1].startswith("on")])
    check("hostile: shown as text", EVIL in page.text)
    check("hostile: states", "30 trials (15 complete, 5 pruned, 5 failed, 5 running)" in page.text, re.findall(r"30 trials[^.]*", page.text))
    check("a search that still runs says so", "still runs" in page.text)
    drawn(run / "report.html", 30, "history circle", "history path")
    run.joinpath("study.json").write_text(json.dumps(dict(study, trials=[], best_trial=None, best_value=None, importances=None)))
    page, j = page_of(run)
    check("no trials yet", "none yet" in page.text and j["findings"] == ["No trial is complete yet."], j["findings"])
    named = tmp / "evil.csv"
    named.write_text(f'"a{EVIL.replace(chr(34), chr(34) * 2)}",b,label\n' + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60)))
    code("a data set with such a column", hone("train", NET, "--data", named, "--target", "label", "--val-split", "0.2", "--epochs", "2", "--keep-run",
                                              "--features", f"0,b", "--progress", "none", "-o", tmp / "e.onnx"), 0)
    page, _ = page_of(tmp / "e.onnx.run")
    check("and its page", "img" not in page.tags)


def test_large():
    space = {f"p{i}": {"type": "float", "low": 1e-6, "high": 1, "log": True} for i in range(8)}
    run, study = write_study("large", 500, space, lambda r: {k: 10 ** r.uniform(-6, 0) for k in space})
    page, j = page_of(run)
    check("500 trials", page.tree["study"] == study and sum(len(r) == 14 for r in page.rows) == 501)
    drawn(run / "report.html", 500, "history circle", "history path")


def drawn(path, least, *where):
    """The page's script, run by a browser, drew at least that many elements: 'svg', or 'section element'."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        print("  not drawn: no chromium here")
        return
    try:
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom", f"file://{path}"],
                              capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        print("  not drawn: chromium did not answer")
        return
    dom = done.stdout.decode(errors="replace")
    body = re.sub(r"<script.*?</script>", "", dom, flags=re.S)
    count = 0
    for w in where:
        part, _, what = w.rpartition(" ")
        text = body if not part else (re.search(rf'<section id="{part}".*?</section>', body, re.S) or [""])[0]
        count += len(re.findall(rf"<{what.split('.')[0]}[ >]", text))
    check(f"{path.parent.name}: drawn by a browser", count >= least, (count, least, done.stderr[-300:]))


make()
test_train()
test_states()
test_while_it_runs()
test_diagnosis()
test_tune()
test_examples()
test_ranges()
test_length()
test_hostile()
test_large()
_hone.finish("report", tmp)
