#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`hone tune` against Optuna's GPSampler with PyTorch on the same search: the same rows and folds (scikit-learn's KFold and
StratifiedKFold with the seed), the same network with the same weights to begin with, standardised inside each fold, the
same space, early stopping, refit and test rows, one core each.

    python tune_peers.py PATH/TO/hone --data FOLDER [--sets banknote,german,…] [--seeds 3] [--trials 50] [--out FILE.json] [--quick]

Run it with a Python that has torch, optuna, scikit-learn and onnx. FOLDER holds the UCI files banknote_authentication.csv,
winequality-white.csv, german.csv, housing.csv, adult-train.csv and adult-test.csv as published; text columns become one
column a category for both sides. A seed of a data set is a round of up to four processes:

    hone          the search by one worker that knows all results when it proposes, as the peer does: --jobs 1 --lag 1
    hone pruned   the same with --pruner and three times the trials: what counts is when it has found a validation loss as
                  good as the best of Optuna's search
    replay        Optuna and PyTorch on the very settings that Hone tried, through enqueue_trial (the first seed only)
    optuna        Optuna's own search

Times are processor seconds of one thread (user and system), because a shared machine makes others meaningless: of Hone the
whole process, of the peer only study.optimize and the refit, without its imports. PyTorch's Adam is the fused one, which is
its fastest here. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset for all. Results are added to --out after each process, and
what is in it is not run again. Exit 1 when a bar of BARS is missed."""
import argparse
import csv
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SETS = {  # file, test file, network behind the input, classes, batch sizes, most epochs
    "banknote": ("banknote_authentication.csv", None, "32-16-2", True, (16, 32, 64, 128), 30),
    "german": ("german.csv", None, "32-16-2", True, (16, 32, 64, 128), 30),
    "wine": ("winequality-white.csv", None, "64-32-1", False, (32, 64, 128, 256), 20),
    "adult": ("adult-train.csv", "adult-test.csv", "64-32-2", True, (128, 256, 512, 1024), 10),
    "housing": ("housing.csv", None, "64-32-1", False, (16, 32, 64, 128), 30),
}
BARS = {"banknote": 1 / 12, "german": 1 / 12, "wine": 1 / 10, "adult": 1 / 6}  # the same settings, Hone's time / the peer's
PRUNED_BAR = 1 / 30
FOLDS, PATIENCE = 5, 5
WEIGHT_DECAY = 1e-4  # of the first trial, the default settings


# ---- data ------------------------------------------------------------------------------------------------------------------------

def columns(paths):
    """Numbers as they are, text as one column a category; which rows come from which file."""
    import numpy as np
    rows, sizes = [], []
    for path in paths:
        with open(path, newline="") as f:
            new = [r for r in csv.reader(f, skipinitialspace=True) if len(r) > 1]
        rows += new
        sizes.append(len(new))
    out, table = [], list(zip(*rows))
    for c in table[:-1]:
        try:
            out.append(np.array(c, float)[:, None])
        except ValueError:
            out.append((np.array(c)[:, None] == np.array(sorted(set(c)))).astype(float))
    return np.concatenate(out, 1).astype(np.float32), [v.rstrip(".") for v in table[-1]], sizes


def prepare(name, folder, tmp):
    import numpy as np
    from sklearn.model_selection import train_test_split
    file, test_file, _, classes, _, _ = SETS[name]
    x, y, sizes = columns([folder / f for f in (file, test_file) if f])
    y = np.array([sorted(set(y)).index(v) for v in y], np.int64) if classes else np.array(y, np.float32)[:, None]
    if test_file:
        parts = x[:sizes[0]], x[sizes[0]:], y[:sizes[0]], y[sizes[0]:]
    else:
        parts = train_test_split(x, y, test_size=0.2, stratify=y if classes else None, random_state=0)
    for part, a in zip(("x", "test_x", "y", "test_y"), parts):
        np.save(tmp / f"{name}_{part}.npy", a)
    return x.shape[1]


# ---- the peer, in a process of its own -----------------------------------------------------------------------------------------------

class Job:
    """What Optuna's objective needs; everything that is not part of the search happens here."""

    def __init__(self, job):
        import numpy as np
        import onnx
        from onnx import numpy_helper
        from sklearn.model_selection import KFold, StratifiedKFold
        self.name, self.seed = job["set"], job["seed"]
        _, _, _, self.classes, self.batches, self.epochs = SETS[self.name]
        load = lambda part: np.load(pathlib.Path(job["tmp"]) / f"{self.name}_{part}.npy")
        self.x, self.y, self.test_x, self.test_y = (load(p) for p in ("x", "y", "test_x", "test_y"))
        kind = StratifiedKFold if self.classes else KFold
        self.folds = list(kind(FOLDS, shuffle=True, random_state=self.seed).split(self.x, self.y))
        self.weights = [numpy_helper.to_array(t).copy() for t in onnx.load(job["model"]).graph.initializer]

    def net(self, dropout):
        import torch
        layers, w = [], self.weights
        for i in range(0, len(w), 2):
            layers.append(torch.nn.Linear(w[i].shape[1], w[i].shape[0]))
            with torch.no_grad():
                layers[-1].weight.copy_(torch.from_numpy(w[i]))
                layers[-1].bias.copy_(torch.from_numpy(w[i + 1]))
            if i + 2 < len(w):
                layers += [torch.nn.ReLU()] + ([torch.nn.Dropout(dropout)] if dropout else [])
        return torch.nn.Sequential(*layers)

    def fit(self, p, train, val=None, epochs=None):
        """Best loss and its epoch over val, or after so many epochs the network and the scaler."""
        import torch
        from sklearn.preprocessing import StandardScaler
        scaler = StandardScaler().fit(self.x[train])
        tensor = lambda rows: torch.from_numpy(scaler.transform(self.x[rows]).astype("float32"))
        x, y = tensor(train), torch.from_numpy(self.y[train])
        loss = torch.nn.CrossEntropyLoss() if self.classes else torch.nn.MSELoss()
        net = self.net(p["dropout"])
        rule = torch.optim.Adam(net.parameters(), p["lr"], weight_decay=p["weight_decay"], fused=True)
        best, best_epoch, batch = float("inf"), 0, p["batch_size"]
        if val is not None:
            vx, vy = tensor(val), torch.from_numpy(self.y[val])
        for epoch in range((epochs or self.epochs) + 1):
            if epoch:
                net.train()
                order = torch.randperm(len(x))
                for i in range(0, len(x), batch):
                    rows = order[i:i + batch]
                    rule.zero_grad()
                    loss(net(x[rows]), y[rows]).backward()
                    rule.step()
            if val is None:
                continue
            net.eval()
            with torch.no_grad():
                now = loss(net(vx), vy).item()
            if now < best:
                best, best_epoch = now, epoch
            if now != now or epoch - best_epoch >= PATIENCE:
                break
        return (best, best_epoch) if val is not None else (net, scaler)

    def suggest(self, t):
        return {"lr": t.suggest_float("lr", 1e-4, 1e-1, log=True), "batch_size": t.suggest_categorical("batch_size", self.batches),
                "weight_decay": t.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
                "dropout": t.suggest_float("dropout", 0, 0.5, step=0.1)}

    def objective(self, t):
        p = self.suggest(t)
        results = [self.fit(p, train, val) for train, val in self.folds]
        t.set_user_attr("epochs", statistics.median(e for _, e in results))
        return statistics.mean(v for v, _ in results)

    def test(self, net, scaler):
        import torch
        net.eval()
        with torch.no_grad():
            out = net(torch.from_numpy(scaler.transform(self.test_x).astype("float32"))).numpy()
        return float((out.argmax(1) == self.test_y).mean()) if self.classes else float(((out - self.test_y) ** 2).mean() ** 0.5)


def peer(path):
    import warnings
    import numpy as np
    import optuna
    import torch
    job = json.loads(pathlib.Path(path).read_text())
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    j = Job(job)
    begun, wall = time.process_time(), time.perf_counter()
    study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=job["seed"]))
    for p in job["settings"]:
        study.enqueue_trial(p)
    study.optimize(j.objective, n_trials=job["trials"])
    searched = time.process_time() - begun
    best = study.best_trial
    p = dict(best.params)
    net, scaler = j.fit(p, np.arange(len(j.x)), epochs=max(1, int(best.user_attrs["epochs"])))
    print(json.dumps({"cpu": time.process_time() - begun, "wall": time.perf_counter() - wall, "search_cpu": searched,
                      "best": best.value, "test": j.test(net, scaler), "values": [t.value for t in study.trials]}))


# ---- Hone -----------------------------------------------------------------------------------------------------------------------------

def environment():
    env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = "1"
    return env


def measured(args):
    """Standard output, processor seconds and seconds of a process that must succeed."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
        p = subprocess.Popen([str(a) for a in args], env=environment(), stdout=told, stderr=said)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        said.seek(0)
        told.seek(0)
        if p.returncode:
            sys.exit(f"{' '.join(map(str, args))}: exit {p.returncode}\n{told.read()[-2000:]}{said.read()[-2000:]}")
        return told.read(), usage.ru_utime + usage.ru_stime, wall


def search_arguments(opts, name, tmp, seed):
    _, _, _, classes, batches, epochs = SETS[name]
    file = lambda part: tmp / f"{name}_{part}.npy"
    return ["--x", file("x"), "--y", file("y"), "--test-x", file("test_x"), "--test-y", file("test_y"), "--folds", FOLDS,
            *(["--stratified"] if classes else []), "--scale", "standard", "--epochs", epochs, "--early-stop-patience", PATIENCE,
            "--optimizer", "adam", "--weight-decay", WEIGHT_DECAY, "--dropout", 0, "--batch-size", batches[1],
            "--search", "lr=log:1e-4..1e-1", "--search", "batch_size=" + ",".join(map(str, batches)),
            "--search", "weight_decay=log:1e-6..1e-2", "--search", "dropout=0..0.5:step=0.1", "--metric", "accuracy" if classes else "rmse",
            "--trials", opts.trials, "--seed", seed, "--jobs", 1, "--lag", 1, "--quiet", "--json", "--force"]


def hone_run(opts, name, tmp, seed, extra=()):
    out = tmp / "best.onnx"
    text, cpu, wall = measured([opts.hone, "tune", tmp / f"{name}.onnx", *search_arguments(opts, name, tmp, seed), *extra, "-o", out])
    j = json.loads(text)
    return {"cpu": cpu, "wall": wall, "best": j["best_value"], "test": j["test"]["accuracy" if SETS[name][3] else "rmse"],
            "settings": [t["params"] for t in j["trials"]], "values": [t["value"] for t in j["trials"]],
            "seconds": [t["seconds"] for t in j["trials"]], "states": [t["state"] for t in j["trials"]]}


def peer_run(opts, name, tmp, seed, settings):
    job = tmp / "job.json"
    job.write_text(json.dumps({"set": name, "seed": seed, "tmp": str(tmp), "model": str(tmp / f"{name}.onnx"), "trials": opts.trials,
                               "settings": settings}))
    return json.loads(measured([sys.executable, __file__, "--peer", job])[0].strip().split("\n")[-1])


def until(run, value):
    """Processor seconds until a trial was at least as good as this; None: never. Training time stands for all of it."""
    spent = 0
    for seconds, v, state in zip(run["seconds"], run["values"], run["states"]):
        spent += seconds
        if state == "done" and v is not None and v <= value:  # a pruned trial's value is of fewer folds
            return run["cpu"] * spent / sum(run["seconds"])
    return None


# ---- rounds and tables ------------------------------------------------------------------------------------------------------------------

def round_of(opts, name, tmp, seed, have):
    """The processes of a round that are not in `have` yet, and after each the word that it is there."""
    first = {"lr": 1e-3, "batch_size": SETS[name][4][1], "weight_decay": WEIGHT_DECAY, "dropout": 0.0}
    jobs = {"hone": lambda: hone_run(opts, name, tmp, seed)}
    if opts.pruner:
        jobs["pruned"] = lambda: hone_run(opts, name, tmp, seed, ["--pruner", opts.pruner, "--trials", 3 * opts.trials])
    if seed == 0:
        jobs["replay"] = lambda: peer_run(opts, name, tmp, seed, have["hone"]["settings"])
    jobs["optuna"] = lambda: peer_run(opts, name, tmp, seed, [first])
    for who, job in jobs.items():
        if who not in have:
            have[who] = job() | {"load": os.getloadavg()[0]}
            yield f"{name} seed {seed} {who}: {have[who]['cpu']:.2f} s, load {have[who]['load']:.1f}"


def spread(values):
    return f"{statistics.median(values):.4g}" + (f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else "")


def share(ratio):
    return "never" if ratio is None else f"1/{1 / ratio:.1f}"


def rows_of(name, rounds):
    """The table's line of a data set and the bars it missed."""
    better = (lambda a, b: a >= b) if SETS[name][3] else (lambda a, b: a <= b)
    own, theirs = [r["hone"] for r in rounds], [r["optuna"] for r in rounds]
    replay = [r["hone"]["cpu"] / r["replay"]["cpu"] for r in rounds if "replay" in r]
    whole = [a["cpu"] / b["cpu"] for a, b in zip(own, theirs)]
    reach = [(until(a, b["best"]), b["cpu"]) for a, b in zip(own, theirs)]
    pruned = [(until(r["pruned"], r["optuna"]["best"]), r["optuna"]["cpu"]) for r in rounds if "pruned" in r]
    ratio = lambda pairs: None if not pairs or any(t is None for t, _ in pairs) else statistics.median(t / c for t, c in pairs)
    slack = statistics.pstdev([t["test"] for t in theirs])
    mean, other = statistics.mean(a["test"] for a in own), statistics.mean(b["test"] for b in theirs)
    missed = []
    if replay and replay[0] > BARS.get(name, 1):
        missed.append(f"{name}: the same settings in {share(replay[0])}")
    if pruned and not (ratio(pruned) is not None and ratio(pruned) <= PRUNED_BAR):
        missed.append(f"{name}: with pruning as good in {share(ratio(pruned))}")
    if len(rounds) > 1 and not better(mean, other - slack if SETS[name][3] else other + slack):
        missed.append(f"{name}: test {mean:.4g} against {other:.4g} ± {slack:.2g}")
    return [name, len(rounds), spread([a["cpu"] for a in own]) + " s", spread([r["replay"]["cpu"] for r in rounds if "replay" in r] or [0]) + " s",
            share(replay[0]) if replay else "", share(statistics.median(whole)), share(ratio(reach)), share(ratio(pruned)) if pruned else "",
            spread([a["best"] for a in own]), spread([b["best"] for b in theirs]), spread([a["test"] for a in own]),
            spread([b["test"] for b in theirs])], missed


def table(results):
    head = ["data", "seeds", "Hone", "PyTorch, the same settings", "ratio", "whole searches", "as good as Optuna's best after", "with pruning",
            "best val loss, Hone", "Optuna", "test, Hone", "Optuna"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    missed = []
    for name in SETS:
        rounds = [r for r in results.get(name, {}).values() if "hone" in r and "optuna" in r]
        if rounds:
            cells, bad = rows_of(name, rounds)
            missed += bad
            print("| " + " | ".join(map(str, cells)) + " |")
    print("(test: accuracy, of wine and housing the root of the mean squared error)")
    return missed


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hone", nargs="?")
    p.add_argument("--data", type=pathlib.Path)
    p.add_argument("--sets", help=f"of {', '.join(SETS)}")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--trials", type=int, default=50)
    p.add_argument("--pruner", default="", help="also run Hone with this --pruner")
    p.add_argument("--out", type=pathlib.Path, help="results so far, as JSON; read and added to")
    p.add_argument("--quick", action="store_true", help="banknote, german and housing, one seed, 20 trials")
    p.add_argument("--peer", help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    opts = arguments()
    if opts.peer:
        return peer(opts.peer)
    if not opts.hone or not opts.data:
        sys.exit("wanted the hone command and --data FOLDER")
    if opts.quick:
        opts.seeds, opts.trials = 1, 20
    sets = opts.sets.split(",") if opts.sets else ["banknote", "german", "housing"] if opts.quick else list(SETS)
    doctor = subprocess.run([opts.hone, "doctor"], capture_output=True, text=True, env=environment()).stdout
    print("; ".join(" ".join(line.split()) for line in doctor.splitlines() if "openblas" in line or "instructions" in line))
    print(", ".join(f"{m} {importlib.metadata.version(m)}" for m in ("torch", "optuna", "scikit-learn", "numpy")))
    results = json.loads(opts.out.read_text()) if opts.out and opts.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as tmp:
        tmp = pathlib.Path(tmp)
        for name in sets:
            width = prepare(name, opts.data, tmp)
            subprocess.run([opts.hone, "new", f"{width}-{SETS[name][2]} relu", "--quiet", "-o", tmp / f"{name}.onnx"], check=True)
        for seed in range(opts.seeds):  # data sets in turn, so that a busy hour does not hit one of them alone
            for name in sets:
                for done in round_of(opts, name, tmp, seed, results.setdefault(name, {}).setdefault(str(seed), {})):
                    print(done, file=sys.stderr, flush=True)
                    if opts.out:
                        opts.out.write_text(json.dumps(results))
    missed = table(results)
    for m in missed:
        print("MISSED", m)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
