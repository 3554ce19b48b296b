#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hone export, judged by Optuna itself: load_study opens both storages, finds the same trials as Hone, and goes on from there."""
import json
import math
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile

try:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.trial import TrialState
except ImportError as missing:
    print(f"skipped: {missing.name} is not installed")
    sys.exit(77)
try:  # the name before Optuna 4.0
    from optuna.storages.journal import JournalFileBackend
except ImportError:
    from optuna.storages import JournalFileStorage as JournalFileBackend

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
HONE = BUILD / "hone"
if not HONE.exists():
    print(f"skipped: {HONE} is not built")
    sys.exit(77)
optuna.logging.set_verbosity(optuna.logging.ERROR)
folder = tempfile.TemporaryDirectory(prefix="hone-test-")
tmp = pathlib.Path(folder.name)
passed = failed = 0
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL, "running": TrialState.RUNNING,
          "waiting": TrialState.WAITING}


def check(what, ok, detail=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}\n    {detail}")


def hone(*args, code=0):
    r = subprocess.run([str(HONE)] + [str(a) for a in args], capture_output=True, text=True)
    check(" ".join(str(a) for a in args[:3]), r.returncode == code, (r.returncode, r.stdout[-300:], r.stderr[-600:]))
    return r


def asked(*args):
    return json.loads(hone("ask", *args, "--json").stdout)


def load(path, name):
    """The study in a file, by its kind."""
    storage = f"sqlite:///{path}" if path.suffix == ".db" else JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name=name, storage=storage)


def both(study, name, *more):
    """Exports to both kinds, and opens them."""
    for end in ("db", "log"):
        out = tmp / f"{name}-optuna.{end}"
        r = json.loads(hone("export", study, "--optuna", out, "--study-name", name, "--json", *more).stdout)
        check("what was written", r["schema"] == "hone.export/1" and r["study_name"] == name and r["file"] == str(out), r)
        yield end, r, load(out, name)


def kind(v):
    return v if isinstance(v, bool) else "number" if isinstance(v, (int, float)) else "text"


def test_ask_and_tell():
    study = tmp / "search.db"
    space = tmp / "s.yaml"
    space.write_text("""\
lr:       {type: float, low: 1e-4, high: 1e-1, log: true}
step:     {type: float, low: 0, high: 1, step: 0.25}
units:    {type: int, low: 8, high: 256, log: true}
layers:   {type: int, low: 1, high: 9, step: 2}
name:     {type: categorical, choices: [16, 0.5, "17", true, 'ü"\\x', 1.0e+3]}
flag:     {type: bool}
momentum: {type: float, low: 0.5, high: 0.99, when: {flag: true}}
""")
    told = []
    for t in range(14):
        j = asked(study, "--space", space, "--sampler", "random", "--direction", "maximize", "--seed", 4,
                  *(["--setting", "lr=3,units=9"] if t == 5 else []))
        told.append(j["params"])
        if t % 4 == 3:
            hone("tell", study, t, "--failed")
        elif t != 12:
            hone("tell", study, t, repr(math.sin(t) / 3))
    asked(study)  # one more that runs
    asked(study, "--setting", "lr=2,step=0.25,units=8,layers=1,name=0.5,flag=false")
    for end, r, s in both(study, "search"):
        what = f"ask and tell, {end}"
        trials = s.get_trials()
        check(f"{what}: direction", s.direction == optuna.study.StudyDirection.MAXIMIZE, s.direction)
        check(f"{what}: numbers", [t.number for t in trials] == list(range(len(trials))) and len(trials) == r["trials"] == 16, len(trials))
        for t, p in zip(trials, told):
            n = t.number
            want = "running" if n == 12 else "failed" if n % 4 == 3 else "done"
            check(f"{what}: state of {n}", t.state == STATES[want], t.state)
            check(f"{what}: settings of {n}", t.params == p and all(kind(v) == kind(p[k]) for k, v in t.params.items()),
                  (t.params, p))
            check(f"{what}: value of {n}", t.value == (math.sin(n) / 3 if want == "done" else None), t.value)
            check(f"{what}: times of {n}", t.datetime_start is not None and (t.datetime_complete is not None) == (want != "running")
                  and abs((t.datetime_start.replace(tzinfo=None) - optuna_now()).total_seconds()) < 600, (t.datetime_start, optuna_now()))
        d = trials[0].distributions
        check(f"{what}: distributions", d["lr"] == optuna.distributions.FloatDistribution(1e-4, 3, log=True)
              and d["step"] == optuna.distributions.FloatDistribution(0, 1, step=0.25)
              and d["units"] == optuna.distributions.IntDistribution(8, 256, log=True)
              and d["layers"] == optuna.distributions.IntDistribution(1, 9, step=2)
              and d["name"] == optuna.distributions.CategoricalDistribution([16, 0.5, "17", True, 'ü"\\x', 1e3])
              and d["flag"].choices == (False, True), d)
        check(f"{what}: outside its bounds", any(t.params["lr"] == 3 for t in trials if t.params))
        check(f"{what}: best", s.best_trial.number == max((t for t in range(14) if t % 4 != 3 and t != 12), key=math.sin), s.best_trial.number)
        check(f"{what}: study attributes", s.user_attrs["hone:sampler"] == "random" and s.user_attrs["hone:seed"] == 4, s.user_attrs)
        importance = optuna.importance.get_param_importances(s, params=["lr", "units"], evaluator=optuna.importance.PedAnovaImportanceEvaluator())
        check(f"{what}: importances", set(importance) == {"lr", "units"}, importance)
        s.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=5)

        def go_on(t):
            t.suggest_float("lr", 1e-4, 1e-1, log=True)
            t.suggest_categorical("name", [16, 0.5, "17", True, 'ü"\\x', 1e3])
            return t.suggest_int("units", 8, 256, log=True) / 1000
        s.optimize(go_on, n_trials=3)
        check(f"{what}: goes on", len(s.trials) == 19 and [t.state for t in s.trials[16:]] == [TrialState.COMPLETE] * 3, s.trials[16:])
    header = (tmp / "search-optuna.db").read_bytes()[:20]
    check("no write-ahead log: viewers load it whole", header[18:20] == b"\1\1", header)
    check("a sound database", sqlite3.connect(tmp / "search-optuna.db").execute("pragma integrity_check").fetchone() == ("ok",))


def optuna_now():
    import datetime
    return datetime.datetime.now() if int(optuna.__version__.split(".")[0]) >= 5 else datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def test_waiting():
    study = tmp / "wait.db"
    hone("ask", study, "--search", "x=0..1", "--search", "c=a,b", "--sampler", "manual", "--setting", "x=0.25,c=b", "--setting", "x=0.5,c=a")
    for end, r, s in both(study, "wait"):
        check(f"waiting, {end}", [t.state for t in s.trials] == [TrialState.RUNNING, TrialState.WAITING], s.trials)
        t = s.ask()
        got = (t.suggest_float("x", 0, 1), t.suggest_categorical("c", ["a", "b"]))
        check(f"a waiting trial is the next, {end}", t.number == 1 and got == (0.5, "a"), (t.number, got))


def test_tune():
    r = random.Random(1)
    with open(tmp / "data.csv", "w") as f:
        f.write("a,b,y\n")
        for _ in range(200):
            a, b = r.gauss(0, 1), r.gauss(0, 1)
            f.write(f"{a:.5f},{b:.5f},{int(a + b + r.gauss(0, 0.4) > 0)}\n")
    hone("new", "2-8-2 relu softmax", "-o", tmp / "net.onnx")
    job = ["tune", tmp / "net.onnx", "--data", tmp / "data.csv", "--target", "y", "--folds", "4", "--epochs", "6", "--trials", "9",
           "--search", "lr=1e-3,1e-2,1e20", "--search", "batch_size=int:4..64", "--search", "optimizer=sgd,adam", "--json", "-o", tmp / "best.onnx"]
    if "--pruner" in hone("tune", "--help").stdout:
        job += ["--pruner", "median"]
    j = json.loads(hone(*job).stdout)
    study = tmp / "best.onnx.run" / "study.db"
    r = hone("export", study, "--optuna", tmp / "plain.db")
    check("the hint", 'load_study(study_name="study", storage="sqlite:///' in r.stdout, r.stdout)
    check("default name", load(tmp / "plain.db", "study").trials[0].number == 0)
    for end, r, s in both(study, "tune"):
        what = f"tune, {end}"
        check(f"{what}: as many", len(s.trials) == len(j["trials"]) == 9)
        check(f"{what}: best", s.best_trial.number == j["best_trial"] and s.best_value == j["best_value"])
        for t, h in zip(s.trials, j["trials"]):
            check(f"{what}: trial {t.number}", t.state == STATES[h["state"]] and t.params == h["params"], (t, h))
            check(f"{what}: value of {t.number}", t.state != TrialState.COMPLETE or t.value == h["value"], (t.value, h["value"]))
            if h["state"] == "done":
                check(f"{what}: folds of {t.number}", t.user_attrs["folds"] == [f["value"] for f in h["folds"]]
                      and t.user_attrs["epochs"] == h["epochs"], t.user_attrs)
                shortest = min(f["epochs"] for f in h["folds"])
                check(f"{what}: values by epoch of {t.number}", list(t.intermediate_values) == list(range(1, shortest + 1)), t.intermediate_values)
                best = min(t.intermediate_values.values())
                check(f"{what}: the folds' best are no worse than the best mean", t.value <= best * (1 + 1e-12), (t.value, best))
        check(f"{what}: the default settings", s.trials[0].user_attrs.get("default") is True, s.trials[0].user_attrs)
        check(f"{what}: failures say why", all("why" in t.user_attrs for t in s.trials if t.state == TrialState.FAIL))
        check(f"{what}: states", {k: v for k, v in r["states"].items() if v} ==
              {k: n for k in STATES if (n := sum(h["state"] == k for h in j["trials"]))}, r["states"])


def test_refused():
    study = tmp / "search.db"
    before = study.read_bytes()
    check("there already", "--force" in hone("export", study, "--optuna", tmp / "plain.db", code=2).stderr)
    hone("export", study, "--optuna", tmp / "plain.db", "--force")
    check("replaced", len(load(tmp / "plain.db", "search").trials) == 16)
    check("itself", "the study itself" in hone("export", study, "--optuna", study, "--force", code=2).stderr)
    check("another end", ".db" in hone("export", study, "--optuna", tmp / "x.txt", code=2).stderr)
    check("no file", "--optuna" in hone("export", study, code=2).stderr)
    hone("export", tmp / "none.db", "--optuna", tmp / "y.db", code=6)
    hone("export", tmp / "data.csv", "--optuna", tmp / "y.db", code=2)
    hone("export", study, "--optuna", tmp / "no" / "y.db", code=6)
    check("nothing was made", not (tmp / "y.db").exists() and not (tmp / "none.db").exists())
    check("the study is as it was", study.read_bytes() == before)


for test in (test_ask_and_tell, test_waiting, test_tune, test_refused):
    test()
folder.cleanup()
print(f"optuna {optuna.__version__}: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
