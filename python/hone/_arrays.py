# SPDX-License-Identifier: MIT
"""Arrays as hone_array. What has one of Hone's types and lies in order is handed over where it lies; the rest is copied once.

Rows come first: [rows, …]; what follows is one row's values. Whoever wraps keeps the Wrapped objects until hone_data is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _errors
from ._library import Array

TYPES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "float16": 10, "float64": 11, "bfloat16": 16}
NUMPY = {1: np.float32, 7: np.int64, 9: np.bool_, 11: np.float64}
TEXT = 8
CLOSEST = {"bool": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}


class Wrapped:
    """A hone_array and what it borrows from."""

    def __init__(self, dtype: int, rows: int, per_row: int, data: np.ndarray, name: str | None, also: object = None) -> None:
        self.name = name.encode() if name is not None else None
        self.data, self.also = data, also
        pointer = data.ctypes.data or None
        self.struct = Array(ctypes.sizeof(Array), self.name, dtype, rows, per_row, pointer)


def structs(arrays: list[Wrapped]) -> ctypes.Array:
    return (Array * max(len(arrays), 1))(*(a.struct for a in arrays))


def copy(array: Array) -> np.ndarray:
    """The library's rows, which are gone after the call: [rows, per_row]."""
    if array.dtype == TEXT:
        texts = (ctypes.c_char_p * (array.rows * array.per_row)).from_address(array.data)
        return np.array([text.decode(errors="replace") for text in texts], str).reshape(array.rows, array.per_row)
    dtype = np.dtype(NUMPY[array.dtype])
    memory = (ctypes.c_char * (array.rows * array.per_row * dtype.itemsize)).from_address(array.data)
    return np.frombuffer(memory, dtype).reshape(array.rows, array.per_row).copy()


def _plain(value: object, what: str) -> np.ndarray:
    """A NumPy array of it, of any type; pandas' columns of one number type become one matrix."""
    if type(value).__module__.startswith("scipy.sparse"):
        raise _errors.data(what, "found a sparse matrix, wanted rows of numbers", "x.toarray() makes them")
    if hasattr(value, "to_numpy"):
        value = _from_table(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as why:
        raise _errors.data(what, f"found no array: {why}") from None
    if array.ndim == 0:
        raise _errors.data(what, f"found {type(value).__name__}, wanted rows of values")
    return array


def _from_table(table: Any) -> np.ndarray:
    array: np.ndarray = table.to_numpy()
    if array.dtype.kind == "O" and not is_text(array):
        with contextlib.suppress(TypeError, ValueError):  # pandas' numbers with gaps: as NaN, whose place the library names
            array = table.to_numpy(np.float64, na_value=np.nan)
    return array


def is_text(array: np.ndarray) -> bool:
    return array.dtype.kind in "UST" or (array.dtype.kind == "O" and any(isinstance(v, str) for v in array.flat))


def _numbers(array: np.ndarray, what: str, frame: object) -> np.ndarray:
    kind = array.dtype.name
    if is_text(array):
        columns = getattr(frame, "columns", None)
        text = [str(c) for i, c in enumerate(columns) if is_text(array[:, i])] if columns is not None else []
        said = f"found text{' in column ' + ', '.join(text[:5]) if text else ''}, wanted numbers"
        raise _errors.data(what, said, "tables with text: data=frame or a CSV file, target=, encode=")
    if array.dtype.kind == "c":
        raise _errors.data(what, "found complex numbers, wanted real ones")
    if kind not in TYPES:
        try:
            array = array.astype(CLOSEST.get(kind, np.float64))
        except (ValueError, TypeError) as why:
            raise _errors.data(what, f"found no numbers: {why}") from None
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return np.require(native, None, ["C", "A"])


def numbers(value: object, what: str, name: str | None = None) -> Wrapped:
    """[rows, …] of numbers."""
    array = _numbers(_plain(value, what), what, value)
    rows = array.shape[0]
    if not array.size:
        raise _errors.data(what, f"found an array of shape {array.shape}, wanted rows of values")
    return Wrapped(TYPES[array.dtype.name], rows, array.size // rows, array, name)


def targets(value: object, what: str, name: str | None = None) -> Wrapped:
    """[rows, …] of numbers, or one label a row as text."""
    array = _plain(value, what)
    if not is_text(array):
        return numbers(value, what, name)
    if array.size != array.shape[0]:
        raise _errors.data(what, f"found text of shape {array.shape}, wanted one label a row")
    return _texts(array, what, name, "a label as text")


def groups(value: object, what: str) -> Wrapped:
    """[rows] of anything that can be sorted, as numbers in that order."""
    array = _plain(value, what)
    if array.size != array.shape[0]:
        raise _errors.data(what, f"found an array of shape {array.shape}, wanted one group a row")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array.reshape(-1))))
        raise _errors.data(what, f"row {row + 1}: found {array.reshape(-1)[row]}, wanted a group")
    try:
        which = np.unique(array.reshape(-1), return_inverse=True)[1]
    except TypeError as why:
        raise _errors.data(what, f"found what cannot be sorted: {why}") from None
    return numbers(which.reshape(-1).astype(np.int64), what)


def _texts(array: np.ndarray, what: str, name: str | None, wanted: str) -> Wrapped:
    rows = len(array)
    array = array.reshape(-1)
    for i, text in enumerate(array if array.dtype.kind == "O" else ()):
        if not isinstance(text, str):
            raise _errors.data(what, f"row {i * rows // array.size + 1}: found {text!r} among text, wanted {wanted}")
    labels, which = np.unique(array.astype(str), return_inverse=True)
    words = [ctypes.c_char_p(str(label).encode()) for label in labels]
    addresses = np.array([ctypes.cast(w, ctypes.c_void_p).value for w in words], np.uintp)
    return Wrapped(TEXT, rows, array.size // rows, addresses[which], name, words)


def _values(value: object, what: str, name: str | None, dtype: str | None) -> Wrapped:
    """[rows, …] of what an input of dtype takes: text, or numbers."""
    if dtype != "string":
        return numbers(value, what, name)
    array = _plain(value, what)
    if not is_text(array) or not array.size:
        raise _errors.data(what, f"found {array.dtype.name} of shape {array.shape}, wanted rows of text")
    return _texts(array, what, name, "text")


def column(columns: Any, name: str) -> object:
    """The column of this name, else the only one that exporters who want identifiers spell so; None: there is none."""
    if name in columns:
        return name
    spelled = [c for c in columns if isinstance(c, str) and re.sub(r"^(?=[0-9])|[^\w+]", "_", c) == name]
    return spelled[0] if len(spelled) == 1 else None


def inputs(value: Any, what: str, inputs: Mapping[str, str]) -> list[Wrapped]:
    """The model's inputs, {name: dtype}: one array, {input: array}, or a table whose columns are the names of several inputs."""
    if isinstance(value, Mapping):
        return [_values(v, f"{what} {k!r}", str(k), inputs.get(str(k))) for k, v in value.items()]
    columns = getattr(value, "columns", None)
    if columns is not None and len(inputs) > 1:
        found = {name: column(columns, name) for name in inputs}
        if None not in found.values():
            return [_values(value[c], f"{what} {name!r}", name, inputs[name]) for name, c in found.items()]
    return [_values(value, what, None, next(iter(inputs.values())) if len(inputs) == 1 else None)]


def outputs(value: object, what: str) -> list[Wrapped]:
    """Targets: one array, or {output: array}."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [targets(v, f"{what} {k!r}", str(k)) for k, v in value.items()]
    return [targets(value, what)]
