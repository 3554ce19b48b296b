#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Samplers on test functions with a known optimum, beside Optuna's on the same work.

    samplers.py [--seeds 10] [--first 0] [--optuna] [FUNCTION …]

Builds tools/bench/samplers.c with the library's sources (needs gcc, OpenBLAS, zlib) and prints medians of the regret over
the seeds as a Markdown table, then the time of a gp suggestion on 8 axes. --optuna runs Optuna's GPSampler and TPESampler
too, with this Python (slow). Exit 1 when a median or a time is above its bar.
"""
import argparse
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRIALS = {"branin": 50, "hartmann6": 50, "ackley5": 100, "rosen4": 100, "mixed": 50, "conditional": 50}
BARS = {("branin", "gp"): 4e-5, ("hartmann6", "gp"): 0.0034, ("ackley5", "gp"): 2.6}
TIMES = {100: 25, 500: 250}  # trials: milliseconds of a suggestion
SOURCES = ["space", "space_never", "space_point", "sampler", "grid", "sobol", "gp", "gp_path", "gp_values", "gp_search", "gp_propose",
           "acquire", "lbfgs", "tpe", "blas"]


def build(folder):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "openblas", "zlib"], check=True, capture_output=True, text=True).stdout.split()
    out = pathlib.Path(folder) / "samplers"
    files = [ROOT / "tools/bench/samplers.c"] + [ROOT / f"plugin/tune/{s}.c" for s in SOURCES] + sorted((ROOT / "ops/base").glob("*.c"))
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-DNDEBUG", "-fno-math-errno", "-ffp-contract=off", f"-I{ROOT}",
                    f"-I{ROOT}/plugin", f"-I{ROOT}/ops/base", *map(str, files), "-o", str(out), *flags, "-lm", "-lpthread"], check=True)
    return out


def ours(exe, function, sampler, seeds, first):
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1")
    text = subprocess.run([exe, function, sampler, str(TRIALS[function]), f"{first}..{first + seeds - 1}"], check=True, capture_output=True, text=True, env=env).stdout
    last = text.strip().split("\n")[-1]
    marks = last.split(":")[1].split("(")[0].split()
    return float(marks[-1]), last.split("(")[1].rstrip(")")


def objective(name):
    def branin(t):
        x, y = t.suggest_float("x", -5, 10), t.suggest_float("y", 0, 15)
        return (y - 5.1 / (4 * math.pi ** 2) * x * x + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.39788735772973816

    def hartmann6(t):
        x = [t.suggest_float(c, 0, 1) for c in "abcdef"]
        alpha = [1.0, 1.2, 3.0, 3.2]
        a = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
        p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650],
             [4047, 8828, 8732, 5743, 1091, 381]]
        return 3.322368011415515 - sum(al * math.exp(-sum(r * (v - 1e-4 * q) ** 2 for r, v, q in zip(ra, x, rp)))
                                       for al, ra, rp in zip(alpha, a, p))

    def ackley5(t):
        x = [t.suggest_float(c, -5, 10) for c in "abcde"]
        return -20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in x) / 5)) - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / 5) + 20 + math.e

    def rosen4(t):
        x = [t.suggest_float(c, -5, 10) for c in "abcd"]
        return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))

    def mixed(t):
        c, d = t.suggest_categorical("a", [0, 1, 2, 3]), t.suggest_categorical("b", [0, 1, 2])
        n, lr, wd = t.suggest_int("n", 1, 100) - 37, math.log10(t.suggest_float("lr", 1e-5, 1e-1, log=True)) + 2.3, \
            math.log10(t.suggest_float("wd", 1e-7, 1e-2, log=True)) + 4.1
        return [1.0, 0.6, 0.0, 1.5][c] + [0.8, 0.0, 0.3][d] + n * n / 400 + lr * lr * (1 + 0.5 * d) + 0.3 * wd * wd + 0.3 * abs(lr * wd)

    def conditional(t):
        lr = math.log10(t.suggest_float("lr", 1e-5, 1, log=True)) if t.suggest_categorical("opt", [0, 1]) == 0 else None
        if lr is not None:
            f = 0.2 + (lr + 1.5) ** 2 + 4 * (t.suggest_float("momentum", 0.5, 0.99) - 0.9) ** 2
        else:
            f = (math.log10(t.suggest_float("lr", 1e-5, 1, log=True)) + 3) ** 2 + 4 * (t.suggest_float("beta", 0.5, 0.99) - 0.7) ** 2
        return f + (0.3 if t.suggest_int("layers", 1, 2) == 1 else 0.002 * abs(t.suggest_int("units", 8, 256, log=True) - 48))
    return locals()[name]


def theirs(function, sampler, seeds, first):
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler}
    values, begun = [], time.process_time()
    for seed in range(first, first + seeds):
        study = optuna.create_study(sampler=kinds[sampler](seed=seed))
        study.optimize(objective(function), n_trials=TRIALS[function])
        values.append(study.best_value)
    return statistics.median(values), f"{(time.process_time() - begun) * 1000 / seeds / TRIALS[function]:.0f} ms a suggestion"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("functions", nargs="*", default=list(TRIALS), help=", ".join(TRIALS))
    ap.add_argument("--seeds", type=int, default=10)
    ap.add_argument("--first", type=int, default=0, help="the first seed")
    ap.add_argument("--optuna", action="store_true")
    args = ap.parse_args()
    above = 0
    with tempfile.TemporaryDirectory() as folder:
        exe = build(folder)
        print("| function | trials | sampler | who | median regret | time |\n|---|---|---|---|---|---|")
        for f in args.functions:
            for s in ("gp", "tpe"):
                rows = [("hone", *ours(exe, f, s, args.seeds, args.first))] + ([("Optuna", *theirs(f, s, args.seeds, args.first))] if args.optuna else [])
                for who, regret, ms in rows:
                    print(f"| {f} | {TRIALS[f]} | {s} | {who} | {regret:.3g} | {ms} |", flush=True)
                above += rows[0][1] > BARS.get((f, s), math.inf)
        for trials, bar in TIMES.items():
            env = dict(os.environ, OPENBLAS_NUM_THREADS="1")
            line = subprocess.run([exe, "time", "8", str(trials)], check=True, capture_output=True, text=True, env=env).stdout.strip()
            print(f"{line}, bar {bar} ms")
            above += float(line.split(": ")[1].split()[0]) > bar
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
