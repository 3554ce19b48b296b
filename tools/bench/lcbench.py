#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tuning an MLP without training one: the LCBench surrogate of YAHPO Gym, 34 classification tasks, seven hyper-parameters.

    python lcbench.py --files FOLDER [--seeds 10] [--trials 50] [--tasks N] [--optuna gp,tpe,random] [--optuna-seeds gp=3]
                      [--out FILE.json]

FOLDER holds lcbench_surrogate_opset13.onnx, lcbench_encoding.json and lcbench_config_space.json (YAHPO Gym's model.onnx,
encoding.json and config_space.json of lcbench). The surrogate (a network fitted to 2000 real runs a task) says the
validation accuracy after 52 epochs; ONNX Runtime evaluates it. Hone's samplers run as tools/bench/samplers.c, which is
built first; Optuna's through optimize. What is shown is the normalised regret after so many trials: 0 is the best accuracy known of the task (of random settings and of all
searches here), 1 the median of random settings; the mean over the tasks of the median over the seeds, how often a method
was the best of the row on a task, and the spread over tasks. Results are added to --out as they come, and what is in it is
not run again; seeds come before tasks, so that an interrupted run is a fair one with fewer seeds.
Run it with a Python that has onnxruntime, numpy and, for --optuna, optuna."""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import samplers  # noqa: E402

AXES = [  # name, low, high, log, integer; in the order of the surrogate's inputs behind the epoch
    ("batch_size", 16, 512, True, True), ("learning_rate", 1e-4, 1e-1, True, False), ("momentum", 0.1, 0.99, False, False),
    ("weight_decay", 1e-5, 1e-1, False, False), ("num_layers", 1, 5, False, True), ("max_units", 64, 1024, True, True),
    ("max_dropout", 0.0, 1.0, False, False)]
SPACE = ";".join(f"{n}={'int:' if i else ''}{'log:' if log else ''}{low:g}..{high:g}" for n, low, high, log, i in AXES)
EPOCH, RANDOM = 52, 20000


class Surrogate:
    def __init__(self, folder):
        import onnxruntime as ort
        o = ort.SessionOptions()
        o.intra_op_num_threads = o.inter_op_num_threads = 1
        self.run = ort.InferenceSession(folder / "lcbench_surrogate_opset13.onnx", o, providers=["CPUExecutionProvider"]).run
        codes = json.loads((folder / "lcbench_encoding.json").read_text())["OpenML_task_id"]
        space = json.loads((folder / "lcbench_config_space.json").read_text())["hyperparameters"]
        self.tasks = {t: codes[t] for p in space if p["name"] == "OpenML_task_id" for t in p["choices"]}

    def accuracy(self, task, x):
        import numpy as np
        x = np.atleast_2d(np.asarray(x, np.float32))
        full = np.concatenate([np.full((len(x), 1), EPOCH, np.float32), x], 1)
        return self.run(None, {"x_cat": np.full((len(x), 1), self.tasks[task], np.int32), "x_cont": full})[0][:, 1].astype(float)


def random_settings(n, seed):
    import numpy as np
    u = np.random.default_rng(seed).random((n, len(AXES)))
    out = np.empty_like(u)
    for k, (_, low, high, log, whole) in enumerate(AXES):
        a, b = (low - 0.5, high + 0.5) if whole else (low, high)
        out[:, k] = np.exp(np.log(a) + u[:, k] * (np.log(b) - np.log(a))) if log else a + u[:, k] * (b - a)
        if whole:
            out[:, k] = np.clip(np.round(out[:, k]), low, high)
    return out


def hone(exe, surrogate, task, sampler, seed, trials):
    """Accuracies in the order they were tried, and the milliseconds of processor time the sampler took for each."""
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1")
    p = subprocess.Popen([exe, "ask", SPACE, sampler, str(trials), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    values = []
    for line in p.stdout:
        values.append(float(surrogate.accuracy(task, [float(v) for v in line.split()])[0]))
        p.stdin.write(f"{-values[-1]:.17g}\n")
        p.stdin.flush()
    p.stdin.close()
    p.stdout.close()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode or len(values) != trials:
        sys.exit(f"samplers: exit {p.returncode} after {len(values)} trials")
    return values, (usage.ru_utime + usage.ru_stime) * 1000 / trials


def optuna_run(surrogate, task, sampler, seed, trials):
    import warnings
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    kinds = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    values = []

    def objective(t):
        x = [t.suggest_int(n, low, high, log=log) if whole else t.suggest_float(n, low, high, log=log) for n, low, high, log, whole in AXES]
        values.append(float(surrogate.accuracy(task, x)[0]))
        return values[-1]

    begun = time.process_time()
    optuna.create_study(direction="maximize", sampler=kinds[sampler](seed=seed)).optimize(objective, n_trials=trials)
    return values, (time.process_time() - begun) * 1000 / trials


def run_all(args, exe, surrogate, results, save):
    tasks = list(surrogate.tasks)[:args.tasks]
    methods = [("Hone", s) for s in ("gp", "tpe")] + [("Optuna", s) for s in args.optuna.split(",") if s]
    fewer = dict(p.split("=") for p in args.optuna_seeds.split(",") if p)
    for seed in range(args.seeds):
        for who, sampler in methods:
            if who == "Optuna" and seed >= int(fewer.get(sampler, args.seeds)):
                continue
            for task in tasks:
                have = results.setdefault(f"{who} {sampler}", {}).setdefault(task, {})
                if str(seed) not in have:
                    run = hone(exe, surrogate, task, sampler, seed, args.trials) if who == "Hone" else \
                        optuna_run(surrogate, task, sampler, seed, args.trials)
                    have[str(seed)] = {"best": max(run[0]), "ms": run[1]}
            save()
            print(f"seed {seed}: {who} {sampler}", file=sys.stderr, flush=True)
    return tasks


def table(results, tasks, surrogate, trials):
    scale = {}
    for task in tasks:
        random = surrogate.accuracy(task, random_settings(RANDOM, 1))
        seen = [r["best"] for m in results.values() for r in m.get(task, {}).values()]
        scale[task] = (max([random.max()] + seen), statistics.median(random))
    regret, ms = {}, {}
    for method, by_task in results.items():
        if not all(by_task.get(t) for t in tasks):
            continue
        one = lambda task, best: (scale[task][0] - best) / (scale[task][0] - scale[task][1])
        regret[method] = {t: statistics.median(one(t, r["best"]) for r in by_task[t].values()) for t in tasks}
        ms[method] = statistics.median(r["ms"] for t in tasks for r in by_task[t].values())
    low = {t: min(r[t] for r in regret.values()) for t in tasks}
    print(f"{len(tasks)} tasks, {trials} trials; regret 1 is the median of random settings\n")
    print("| method | seeds | mean regret | quartiles over tasks | best on | time a trial |\n|---|---|---|---|---|---|")
    for method, r in sorted(regret.items(), key=lambda kv: statistics.mean(kv[1].values())):
        q = statistics.quantiles(r.values(), n=4) if len(tasks) > 1 else [math.nan] * 3
        print(f"| {method} | {min(len(results[method][t]) for t in tasks)} | {statistics.mean(r.values()):.4f} | {q[0]:.4f}, {q[1]:.4f}, {q[2]:.4f} | "
              f"{sum(r[t] <= low[t] + 1e-12 for t in tasks)} | {ms[method]:.1f} ms |")
    return regret


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--files", required=True, type=pathlib.Path)
    ap.add_argument("--seeds", type=int, default=10)
    ap.add_argument("--trials", type=int, default=50)
    ap.add_argument("--tasks", type=int, default=34)
    ap.add_argument("--optuna", default="gp,tpe,random", help="of gp, tpe, random; empty: Hone alone")
    ap.add_argument("--optuna-seeds", default="", help="fewer seeds for the slow one: gp=3")
    ap.add_argument("--out", type=pathlib.Path)
    args = ap.parse_args()
    surrogate = Surrogate(args.files)
    results = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    save = (lambda: args.out.write_text(json.dumps(results))) if args.out else (lambda: None)
    with tempfile.TemporaryDirectory() as folder:
        tasks = run_all(args, samplers.build(folder), surrogate, results, save)
    regret = table(results, tasks, surrogate, args.trials)
    own, peer = (statistics.mean(regret[m].values()) if m in regret else math.nan for m in ("Hone gp", "Optuna gp"))
    return 1 if own > peer else 0


if __name__ == "__main__":
    sys.exit(main())
