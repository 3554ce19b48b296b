# SPDX-License-Identifier: MIT
"""What the library shows of a model, of training and of a search, as Python objects, and the callbacks that bring it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._library import PROGRESS, TRIAL, Callbacks, TuneCallbacks
from ._library import Progress as CProgress
from ._library import Trial as CTrial


@dataclass(frozen=True)
class Value:
    """An input or output. shape: numbers, and names of what is open. learns, tail, classes: of outputs."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    learns: bool = False
    tail: str | None = None
    classes: tuple[str, ...] | None = None
    per_row: int = 0


@dataclass(frozen=True)
class Progress:
    """What `progress` of `train` sees: at the end of an epoch (epoch_end), and about ten times a second in between.

    pretrain: None, or the layer whose autoencoder is at work, number `layer` of `layers`: then epoch, epochs, row and rows are
    its own, train_loss is the mean square error of what it restores, and metrics is empty.
    """

    epoch: int
    epochs: int
    row: int
    rows: int
    train_loss: float
    metrics: dict[str, float]
    lr: float
    seconds: float
    rows_per_second: float
    seconds_left: float
    best_epoch: int
    is_best: bool
    epoch_end: bool
    pretrain: str | None = None
    layer: int = 0
    layers: int = 0


@dataclass(frozen=True)
class Trial:
    """What `progress` of `tune` sees: a trial that has ended. state: "done", "pruned", "failed"."""

    trial: int
    trials: int
    state: str
    params: str
    why: str
    value: float
    std: float
    epochs: int
    seconds: float
    finished: int
    best_trial: int
    best_value: float
    baseline: float
    elapsed: float
    seconds_left: float
    outer: int
    outers: int
    settings: dict[str, str]
    """what is searched for, and its values as text"""
    folds: list[float]
    """of what is monitored, in each fold"""


def _fields(kind: Any, struct: ctypes.Structure) -> dict[str, Any]:
    values = {name: getattr(struct, name) for name in kind.__dataclass_fields__}
    return {name: v.decode(errors="replace") if isinstance(v, bytes) else v for name, v in values.items()}


def _progress(c: CProgress) -> Progress:
    values = _fields(Progress, c)
    metrics = {c.metrics[i].name.decode(): c.metrics[i].value for i in range(c.n_metrics)}
    values.update(metrics=metrics, is_best=bool(c.is_best), epoch_end=bool(c.epoch_end))
    return Progress(**values)


def _trial(c: CTrial) -> Trial:
    values = _fields(Trial, c)
    settings = {c.settings[i].name.decode(): c.settings[i].value.decode() for i in range(c.n_settings)}
    values.update(settings=settings, folds=[c.folds[i].value for i in range(c.n_folds)])
    return Trial(**values)


def train_callbacks(ask: Callable, wanted: bool) -> tuple[Callbacks, object]:
    """The struct, and what it borrows. The library calls back only where somebody listens."""
    seen = PROGRESS(lambda _user, p: ask(_progress(p.contents)))
    pointer = ctypes.cast(seen, ctypes.c_void_p) if wanted else None
    return Callbacks(ctypes.sizeof(Callbacks), None, pointer), seen


def tune_callbacks(ask: Callable, wanted: bool) -> tuple[TuneCallbacks, object]:
    seen = TRIAL(lambda _user, t: ask(_trial(t.contents)))
    pointer = ctypes.cast(seen, ctypes.c_void_p) if wanted else None
    return TuneCallbacks(ctypes.sizeof(TuneCallbacks), None, pointer), seen


def value(about: dict[str, Any]) -> Value:
    """From what describe says of an input or output."""
    shape, classes = about["dims"], about.get("classes")
    return Value(
        about["name"],
        about["dtype"],
        None if shape is None else tuple(shape),
        about.get("learns", False),
        about.get("tail"),
        None if classes is None else tuple(classes),
        about.get("per_row", 0),
    )
