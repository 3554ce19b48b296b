#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone tune --pruner: what is pruned, when and with which value follows from the curves of earlier trials alone (counted again
here from study.db), so it is the same for any --jobs, for processes that share a study and after kill -9; it saves work; what
was pruned never wins."""
import csv
import json
import random
import signal
import sqlite3
import statistics
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
NET, DATA = tmp / "net.onnx", tmp / "data.csv"
EPOCHS, FOLDS, LAG = 12, 3, 4
JOB = ["--data", DATA, "--target", "label", "--scale", "standard", "--epochs", EPOCHS, "--seed", "3", "--folds", FOLDS, "--stratified"]
SPACE = ["--search", "lr=log:1e-4..1", "--search", "batch_size=16,32,64", "--search", "optimizer=adam,momentum"]


def make_data():
    r = random.Random(5)
    with open(DATA, "w") as f:
        f.write("a,b,c,d,label\n")
        for _ in range(300):
            x = [r.gauss(0, 1) * s + m for s, m in ((1, 0), (30, 500), (0.01, 0), (2, -3))]
            z = x[0] + (x[1] - 500) / 30 * 0.7 - x[2] * 60 + r.gauss(0, 0.4)
            f.write(",".join(f"{v:.6g}" for v in x) + f",{0 if z < -0.6 else 1 if z < 0.5 else 2}\n")
    code("a model", hone("new", "4-16-3 relu softmax", "-o", NET), 0)


def tune(out, *args):
    return hone("tune", NET, *args, "--progress", "none", "--json", "-o", out)


def settings(j):
    return [(t["number"], t["state"], t["params"], t["value"], t["std"], t["folds"], t["curve"], t["epochs"]) for t in j["trials"]]


def rows(study, sql):
    db = sqlite3.connect(study)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def curves(study):
    out = {}
    for trial, fold, points in rows(study, "SELECT trial, fold, points FROM curve ORDER BY trial, fold"):
        check("folds in order", fold == len(out.setdefault(trial, [])))
        out[trial].append([float(v) for v in points.split()])
    return out


def score(folds, complete, f, e):
    """Mean over folds 0 to f of the best values so far after e epochs of fold f; None: it was not there."""
    if f >= len(folds) or (e > len(folds[f]) and not complete and f + 1 == len(folds)):
        return None
    return statistics.fmean([min(c) for c in folds[:f]] + [min(folds[f][:e])])


def worse_than_median(c, done, t, f, e, startup):
    seen = [i for i in range(t - LAG + 1) if i in c]
    if sum(i in done for i in seen) < startup:
        return False
    others = [s for i in seen if (s := score(c[i], i in done, f, e)) is not None]
    return bool(others) and score(c[t], True, f, e) > statistics.median(others) + 1e-12


def test_median_is_the_median():
    for extra in ([], ["--early-stop-patience", "2"], ["--prune-startup", "3", "--prune-warmup", "4"]):
        startup, warmup = (3, 4) if "--prune-warmup" in extra else (5, 1)
        out = tmp / f"median{len(extra)}.onnx"
        r = tune(out, *JOB, *SPACE, *extra, "--pruner", "median", "--trials", 25)
        code(f"median {extra}", r, 0)
        j, c = r.json, curves(tmp / f"{out}.run" / "study.db")
        done = {t["number"] for t in j["trials"] if t["state"] == "done"}
        pruned = [t["number"] for t in j["trials"] if t["state"] == "pruned"]
        check("some are pruned, some not", len(pruned) >= 5 and len(done) >= 5, (pruned, done))
        check("not the default settings", 0 in done)
        for t in range(25):
            steps = [(f, e) for f in range(len(c[t])) for e in range(1, len(c[t][f]) + 1) if f * EPOCHS + e >= warmup]
            if t in done:
                steps = [s for s in steps if s != (FOLDS - 1, len(c[t][FOLDS - 1]))]  # there it is complete
            if t in done or t in pruned:
                bad = [s for s in steps if worse_than_median(c, done, t, *s, startup)]
                last = (len(c[t]) - 1, len(c[t][-1]))
                stands = (last[0], EPOCHS) if "--early-stop-patience" in extra else last
                if t in pruned:
                    check(f"trial {t}: pruned at once", bad in ([last], [])
                          and (bad or worse_than_median(c, done, t, *stands, startup)), (bad, last))
                elif t:
                    check(f"trial {t}: rightly goes on", not bad, bad)
            folds = j["trials"][t]["folds"]
            check(f"trial {t}: value is the mean of its folds", abs(statistics.fmean(f["value"] for f in folds) - j["trials"][t]["value"]) < 1e-12)
            check(f"trial {t}: as many epochs as its curves", j["trials"][t]["epochs"] == sum(len(v) for v in c[t])
                  and [f["epochs"] for f in folds] == [len(v) for v in c[t]])
        check("the best is complete", j["best_trial"] in done
              and j["best_value"] == min(t["value"] for t in j["trials"] if t["state"] == "done"))
        table = list(csv.DictReader((tmp / f"{out}.run" / "trials.csv").open()))
        check("trials.csv says pruned", [int(r["number"]) for r in table if r["state"] == "pruned"] == pruned)
        check("and the value", all(float(r["value"]) == j["trials"][int(r["number"])]["value"] for r in table))
        # what the sampler is told: no better than the best complete one
        told = dict(rows(tmp / f"{out}.run" / "study.db", "SELECT number, value FROM trial WHERE state=3"))
        check("estimates", sorted(told) == pruned and all(v >= j["best_value"] for v in told.values()), told)


def test_saves_work():
    epochs = {}
    for pruner in ("none", "median", "hyperband"):
        r = tune(tmp / f"work-{pruner}.onnx", *JOB, *SPACE, "--pruner", pruner, "--trials", 30, "--sampler", "random")
        code(pruner, r, 0)
        check("said", r.json["pruner"] == pruner)
        epochs[pruner] = sum(t["epochs"] for t in r.json["trials"])
        states = {t["state"] for t in r.json["trials"]}
        check("states", states == ({"done"} if pruner == "none" else {"done", "pruned"}), states)
        again = tune(tmp / f"again-{pruner}.onnx", *JOB, *SPACE, "--pruner", pruner, "--trials", 30, "--sampler", "random")
        check("twice the same", settings(again.json) == settings(r.json))
    print("  epochs:", epochs)
    check("a fraction of the work", max(epochs["median"], epochs["hyperband"]) < 0.7 * epochs["none"], epochs)
    r = hone("tune", NET, *JOB, *SPACE, "--pruner", "median", "--trials", 20, "-o", tmp / "words.onnx")
    code("for people", r, 0, "trials were pruned", "  pruned  ")


def test_jobs():
    for args in (["--pruner", "median"], ["--pruner", "median", "--prune-startup", "2", "--sampler", "tpe"],
                 ["--pruner", "hyperband", "--prune-eta", "2"], ["--pruner", "hyperband", "--early-stop-patience", "2"],
                 ["--pruner", "median", "--monitor", "val_accuracy"],
                 ["--pruner", "median", "--sampler", "manual", *[a for i in range(16) for a in ("--setting", f"lr={0.3 / 1.7 ** i}")]]):
        space = [] if "manual" in args else [*SPACE, "--trials", 18]
        runs = []
        for jobs in (1, 2, 7):
            out = tmp / f"jobs{jobs}.onnx"
            r = tune(out, *JOB, *space, *args, "--jobs", jobs, "--force")
            code(f"{args[:6]} --jobs {jobs}", r, 0)
            runs.append((settings(r.json), r.json["best_trial"], out.read_bytes()))
        check("something was pruned", any(t[1] == "pruned" for t in runs[0][0]))
        for a in runs[1:]:
            check("the same trials, states, values and bytes", a == runs[0])


def test_killed():
    for pruner in ("median", "hyperband"):
        job = [*JOB, *SPACE, "--trials", 24, "--epochs", 40, "--pruner", pruner]
        whole = tmp / f"whole-{pruner}.onnx"
        start = time.time()
        undisturbed = tune(whole, *job, "--jobs", 2)
        code("undisturbed", undisturbed, 0)
        length = time.time() - start
        for jobs in (1, 2):
            out = tmp / f"cut-{pruner}{jobs}.onnx"
            kills = 0
            for _ in range(10):
                p = subprocess.Popen([str(a) for a in [HONE, "tune", NET, *job, "--jobs", jobs, "--progress", "none", "-o", out]],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                try:
                    p.communicate(timeout=random.uniform(0.02, max(0.2, length / 3)))
                except subprocess.TimeoutExpired:
                    p.send_signal(signal.SIGKILL)
                    p.communicate()
                if p.returncode == 0:
                    break
                kills += 1
            r = tune(out, *job, "--jobs", jobs, "--force") if not out.exists() else None
            if r:
                code("run again", r, 0)
                check("the same trials", settings(r.json) == settings(undisturbed.json))
            check(f"{kills} kills: the bytes of the undisturbed one", out.read_bytes() == whole.read_bytes())
            print(f"  {pruner} --jobs {jobs}: killed {kills} times")


def test_shared():
    job = [*JOB, *SPACE, "--trials", 20, "--pruner", "median", "--jobs", 1, "--study", tmp / "shared.db"]
    both = [subprocess.Popen([str(a) for a in [HONE, "tune", NET, *job, "--progress", "none", "--json", "-o", tmp / f"both{i}.onnx"]],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in (0, 1)]
    said = [p.communicate() for p in both]
    check("both end well", [p.returncode for p in both] == [0, 0], [s[1][-400:] for s in said])
    a, b = (json.loads(s[0]) for s in said)
    r = tune(tmp / "alone.onnx", *job[:-2])
    code("alone", r, 0)
    check("the same trials", settings(a) == settings(b) == settings(r.json))
    check("the same bytes", len({(tmp / n).read_bytes() for n in ("both0.onnx", "both1.onnx", "alone.onnx")}) == 1)


def test_refused():
    out = tmp / "never.onnx"
    for what, args, want, *texts in [
            ("a typo", ["--pruner", "medain"], 2, "none|median|hyperband", "did you mean 'median'"),
            ("no eta", ["--pruner", "hyperband", "--prune-eta", 1], 2, "prune-eta"),
            ("no startup", ["--pruner", "median", "--prune-startup", 0], 2, "prune-startup"),
            ("an option of hyperband", ["--pruner", "median", "--prune-eta", 4], 2, "prune-eta: means nothing with --pruner median, wanted --pruner=hyperband"),
            ("an option of pruners", ["--prune-warmup", 4], 2, "prune-warmup: means nothing with --pruner none"),
            ("judged by training rows", ["--pruner", "median", "--monitor", "train_loss"], 2, "not trained on"),
            ("judged by nothing that is there", ["--pruner", "median", "--monitor", "val_lloss"], 2, "monitor")]:
        code(what, tune(out, *JOB, *SPACE, *args), want, *texts)
        check(f"{what}: nothing written", not out.exists())
    study = ["--study", tmp / "kept.db", "--trials", 2]
    code("a study", tune(tmp / "kept.onnx", *JOB, *SPACE, "--pruner", "median", *study), 0)
    code("another pruner", tune(out, *JOB, *SPACE, "--pruner", "hyperband", *study), 2, "another pruner", "found median, wanted hyperband")
    code("another startup", tune(out, *JOB, *SPACE, "--pruner", "median", "--prune-startup", 7, *study), 2, "prune-startup")
    r = tune(out, *JOB, *SPACE, "--study", tmp / "kept.db", "--trials", 4)
    code("kept in the study", r, 0)
    check("and in force", r.json["pruner"] == "median")


make_data()
test_median_is_the_median()
test_saves_work()
test_jobs()
test_shared()
test_refused()
test_killed()
_hone.finish("tune --pruner", tmp)
