#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/pipelines/dvc.yaml in a real repository: repro, metrics, plots, an experiment with another learning rate; skipped where DVC or
git are not installed."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1]).resolve()
EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"
tmp = pathlib.Path(tempfile.mkdtemp(prefix="hone-test-"))
env = {**os.environ, "PATH": f"{BUILD}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", "HOME": str(tmp / "home"),
       "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost"}
repo = tmp / "repo"
repo.mkdir()
(tmp / "home").mkdir()


def run(*args):
    r = subprocess.run(args, cwd=repo, env=env, capture_output=True, text=True, timeout=600)
    assert r.returncode == 0, (args, r.stdout, r.stderr)
    return r.stdout


def dvc(*args):
    return run(sys.executable, "-m", "dvc", *args)


if not shutil.which("git") or subprocess.run([sys.executable, "-c", "import dvc"], capture_output=True).returncode:
    print("skipped: DVC (PyPI) and git are needed")
    sys.exit(77)
for path in [*(EXAMPLES / "mnist").glob("*.gz"), EXAMPLES / "mnist" / "mnist.onnx", *(EXAMPLES / "pipelines").glob("[dt]*.yaml")]:
    shutil.copy(path, repo)
run("git", "init", "-q")
dvc("init", "-q")
dvc("repro", "-q")
run("git", "add", "-A")
run("git", "commit", "-q", "-m", "trained")
(shown,) = (v["data"] for v in json.loads(dvc("metrics", "show", "--json"))[""]["data"].values())
result = json.loads((repo / "run" / "result.json").read_text())
for name in ("train", "val", "test", "before"):
    assert shown[name] == result[name], (shown, result[name])
assert shown["best_epoch"] == result["best_epoch"] and "hyperparameters" not in shown, shown

plots = json.loads(dvc("plots", "show", "--json"))
assert not plots.get("errors") and sorted(plots["data"]) == ["accuracy", "loss"], plots.keys()
values = plots["data"]["accuracy"][0]["content"]["data"]["values"]
assert [float(v["val_accuracy"]) for v in values] == [e["val_accuracy"] for e in result["curve"]], values

assert "didn't change" in dvc("repro")
dvc("exp", "run", "-q", "-S", "train.yaml:lr=0.003")
changed = json.loads(dvc("metrics", "diff", "--json"))["run/metrics.json"]
assert changed["val.loss"]["old"] == shown["val"]["loss"] != changed["val.loss"]["new"], changed
assert "before.val.loss" not in changed
shutil.rmtree(tmp)
print(f"DVC: metrics of {len(shown)} kinds, a curve of {len(values)} epochs, an experiment")
