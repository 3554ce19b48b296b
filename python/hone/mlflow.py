# SPDX-License-Identifier: MIT
"""Runs and models of Hone in MLflow, wherever its tracking URI leads: by mlflow's own functions (`pip install mlflow`).

    with mlflow.start_run():
        result = model.train(X, y, val_split=0.2, progress=hone.mlflow.log_progress)   # curves while it runs
        hone.mlflow.log_result(result, curves=False)                                   # parameters, figures
        hone.mlflow.log_model(model)

`log_run("better.onnx.run")`, or `python -m hone.mlflow better.onnx.run`, brings what the command has done: parameters, curves
by epoch, trials of a search as runs below its own, the files of the folder and the model.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import mlflow
import mlflow.onnx
import numpy as np
from mlflow.entities import Metric
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from . import _errors
from ._model import Model
from ._shown import Progress, Trial

FIGURES = {  # as in metrics.json of a run folder
    "hone.train/1": ("epochs", "best_epoch", "train", "val", "test", "before"),
    "hone.tune/1": ("best_trial", "best_value", "baseline", "comparison", "refit", "ensemble", "nested", "test"),
}
KINDS = {"train": "result.json", "tune": "study.json"}
LEFT_OUT = ("*.hone", "study.db*", "*.hone-tmp", "outer-*")  # checkpoints and databases are no artifacts
BATCH = 1000  # metrics of one request: MLflow's limit


def log_progress(seen: Progress | Trial) -> None:
    """As `progress=` of `Model.train`: the figures of each epoch, in the active run; no epoch waits for the server. As that of
    `Model.tune`: each trial, as a run below the active one."""
    if isinstance(seen, Trial):
        values = {"value": seen.value, "std": seen.std, "epochs": seen.epochs, "seconds": seen.seconds}
        _log_trial(seen.trial, seen.state, seen.settings, values, [])
    elif seen.epoch_end and not seen.pretrain:
        first = {} if seen.epoch == 0 else {"train_loss": seen.train_loss}
        mlflow.log_metrics({**first, **seen.metrics, "lr": seen.lr}, step=seen.epoch, synchronous=False)


def log_result(result: Mapping[str, Any], *, curves: bool = True) -> None:
    """What `Model.train` or `Model.tune` has returned, in the active run: parameters, the figures of the model before and after
    ("test.loss", "before.val.loss"), and, with curves, those of each epoch or the trials, as log_progress would have done."""
    kind = result.get("schema")
    if kind not in FIGURES:
        raise _errors.usage("log_result", f"found {kind!r}, wanted what train or tune returned")
    mlflow.log_params(dict(_params(result)))
    mlflow.set_tags(
        {f"hone.{name}": result[name] for name in ("stop_reason", "monitor", "device", "sampler") if name in result}
    )
    mlflow.log_metrics(dict(_figures({name: result.get(name) for name in FIGURES[kind]})))
    if not curves:
        return
    if kind == "hone.train/1":
        _log_curve([(e["epoch"], {k: v for k, v in e.items() if k not in ("epoch", "seconds")}) for e in result["curve"]])
        return
    for t in result["trials"]:
        values = {name: t.get(name) for name in ("value", "std", "epochs", "seconds")}
        curve = [(i, {result["monitor"]: v}) for i, v in enumerate(t.get("curve") or [], 1)]
        _log_trial(t["number"], t["state"], t.get("params") or {}, values, curve)


def log_model(model: Model | str | os.PathLike, name: str = "model", **more: Any) -> Any:
    """The model in the active run, by mlflow.onnx.log_model with the signature of its inputs and outputs; more: its other
    arguments. Returns MLflow's ModelInfo."""
    import onnx

    if not isinstance(model, Model):
        model = Model.load(model)
    more.setdefault("signature", ModelSignature(_schema(model.inputs), _schema(model.outputs)))
    return mlflow.onnx.log_model(onnx.load_model_from_string(model.to_bytes()), name=name, **more)


def log_run(folder: str | os.PathLike, *, model: str | os.PathLike | None = None, with_model: bool = True) -> str:
    """A run folder of `hone train` or `hone tune` that has ended, as a run (the active one, else a new one); its id. model:
    where the model lies now, if not where the folder says; with_model False: without it."""
    folder = pathlib.Path(folder)
    found = next((folder / name for name in KINDS.values() if (folder / name).exists()), None)
    if found is None:
        raise _errors.usage(str(folder), "found neither result.json nor study.json, wanted the folder of a run that has ended")
    result = json.loads(found.read_text())
    job = folder / "run.json"  # of a training run: data and splits are here
    if job.exists():
        result["settings"] = json.loads(job.read_text())["settings"]
    active = mlflow.active_run()
    run = active or mlflow.start_run(run_name=folder.name)
    try:
        log_result(result)
        for path in sorted(folder.iterdir()):
            if path.is_file() and not any(path.match(pattern) for pattern in LEFT_OUT):
                mlflow.log_artifact(str(path))
        written = model or result.get("model") or result.get("out")
        if with_model and written:
            log_model(written)
    except BaseException:
        if not active:
            mlflow.end_run("FAILED")
        raise
    if not active:
        mlflow.end_run()
    return run.info.run_id


# ---- what is written


def _params(result: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Settings that say something; those that were given beside those that came to count."""
    given = {name.replace("-", "_"): value for name, value in result.get("settings", {}).items()}
    for name, value in {**given, **result.get("hyperparameters", {})}.items():
        if value not in (None, "", []):
            yield name, ",".join(map(str, value)) if isinstance(value, list) else value


def _figures(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{before}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and name != "seconds":
            yield before + name, float(value)


def _log_curve(curve: list[tuple[int, Mapping[str, float | None]]]) -> None:
    now, run = int(time.time() * 1000), mlflow.active_run()
    metrics = [
        Metric(name, value, now, step)
        for step, values in curve
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    for i in range(0, len(metrics), BATCH):
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=metrics[i : i + BATCH])


def _log_trial(number: int, state: str, settings: Mapping[str, Any], values: Mapping[str, Any], curve: list) -> None:
    mlflow.start_run(run_name=f"trial {number}", nested=True)
    try:
        mlflow.log_params({name: value for name, value in settings.items() if value is not None})
        mlflow.log_metrics({name: float(v) for name, v in values.items() if v is not None and np.isfinite(v)})
        mlflow.set_tag("hone.state", state)
        _log_curve(curve)
    finally:
        mlflow.end_run("FAILED" if state == "failed" else "FINISHED")


def _schema(values: tuple) -> Schema | None:
    """Of inputs or outputs; numbers of a fixed size stay, what is open is -1. None where one is no tensor (a ZipMap's)."""
    if any(v.dtype == "sequence" for v in values):
        return None
    types = {"float": "float32", "double": "float64", "string": "str", "bfloat16": "float32"}
    return Schema(
        [
            TensorSpec(
                np.dtype(types.get(v.dtype, v.dtype)), [d if isinstance(d, int) else -1 for d in v.shape or (None,)], v.name
            )
            for v in values
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m hone.mlflow", description="logs run folders of hone train and hone tune to MLflow"
    )
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--tracking-uri", help="default: MLFLOW_TRACKING_URI")
    parser.add_argument("--experiment", help="its name (default: MLFLOW_EXPERIMENT_NAME)")
    parser.add_argument("--no-model", action="store_true", help="without the model")
    options = parser.parse_args()
    if options.tracking_uri:
        mlflow.set_tracking_uri(options.tracking_uri)
    if options.experiment:
        mlflow.set_experiment(options.experiment)
    for folder in options.folder:
        print(log_run(folder, with_model=not options.no_model))


if __name__ == "__main__":
    main()
