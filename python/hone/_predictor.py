# SPDX-License-Identifier: MIT
"""Predictor: a model as it is, set up once for calls without end."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable

import numpy as np

from . import _arrays
from ._context import Context
from ._library import Array, Output, call, lib


def _destroy(handle: ctypes.c_void_p, context: Context) -> None:
    del context  # which lived as long
    lib.hone_predictor_destroy(handle)


class Predictor:
    """Made by `Model.predictor`. Called with rows X as `Model.predict` is, at most max_rows of them; gives the same. It keeps
    the weights that the model had: what is trained later needs another. Any thread may call it (others wait), and several of
    one model run side by side, also while the model is trained. Ctrl-C is seen when the call has ended."""

    def __init__(self, context: Context, handle: ctypes.c_void_p, shapes: Callable) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        weakref.finalize(self, _destroy, handle, context)
        self._names: list[str] = []
        self._shapes = shapes
        array = Array(ctypes.sizeof(Array))
        while lib.hone_predictor_input(handle, len(self._names), array):
            self._names.append(array.name.decode())
        self.max_rows = int(array.rows)
        self._outputs: list[tuple[str, int, int]] = []
        output = Output(ctypes.sizeof(Output))
        while lib.hone_predictor_output(handle, len(self._outputs), output):
            self._outputs.append((output.name.decode(), output.dtype, output.per_row))

    def __call__(self, X: object) -> np.ndarray | dict[str, np.ndarray]:
        wrapped = _arrays.inputs(X, "X", dict.fromkeys(self._names, "number"))
        rows = wrapped[0].struct.rows if wrapped else 0
        places = (Output * len(self._outputs))()
        memory = []
        for place, (_, dtype, per_row) in zip(places, self._outputs, strict=True):
            memory.append(np.empty((rows, per_row), _arrays.NUMPY.get(dtype, np.uintp)))
            place.size, place.dtype, place.rows, place.per_row = ctypes.sizeof(Output), dtype, rows, per_row
            place.data = memory[-1].ctypes.data
        with self._lock:
            call("hone_predictor_run", self._handle, rows, _arrays.structs(wrapped), len(wrapped), places, len(places))
        found = {}
        for place, (name, dtype, _), values in zip(places, self._outputs, memory, strict=True):
            found[name] = self._shapes(name, _arrays.copy(place) if dtype == _arrays.TEXT else values)
        return next(iter(found.values())) if len(found) == 1 else found
