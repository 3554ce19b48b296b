# SPDX-License-Identifier: MIT
"""Finding libhone, and hone.h's declarations as ctypes. Nothing here knows what the calls mean.

The library is the one that the variable HONE_LIBRARY names, else the one beside this file (a wheel's), else the system's.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p

from . import _errors

ABI = 0  # the number in libhone.so.N that this package is written for


class HoneError(ctypes.Structure):
    _fields_ = [("code", c_int), ("where", c_char * 256), ("text", c_char * 768), ("hint", c_char * 256)]


class ContextOpts(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("alloc", c_void_p),
        ("release", c_void_p),
        ("alloc_user", c_void_p),
        ("memory_budget", c_size_t),
        ("log", c_void_p),
        ("log_user", c_void_p),
    ]


class ParamInfo(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("group", c_char_p),
        ("type", c_char_p),
        ("initial", c_char_p),
        ("choices", c_char_p),
        ("when", c_char_p),
        ("help", c_char_p),
        ("low", c_double),
        ("high", c_double),
        ("low_open", c_int),
        ("high_open", c_int),
        ("log_scale", c_int),
    ]


class Array(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("dtype", c_int),
        ("rows", c_int64),
        ("per_row", c_int64),
        ("data", c_void_p),
    ]


class Output(ctypes.Structure):
    _fields_ = Array._fields_


class Metric(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", c_double)]


class Progress(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("epoch", c_int64),
        ("epochs", c_int64),
        ("row", c_int64),
        ("rows", c_int64),
        ("train_loss", c_double),
        ("metrics", POINTER(Metric)),
        ("n_metrics", c_size_t),
        ("lr", c_double),
        ("seconds", c_double),
        ("rows_per_second", c_double),
        ("seconds_left", c_double),
        ("best_epoch", c_int64),
        ("is_best", c_int),
        ("epoch_end", c_int),
        ("pretrain", c_char_p),
        ("layer", c_int),
        ("layers", c_int),
    ]


class Callbacks(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("user", c_void_p), ("progress", c_void_p)]


class Setting(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class Fold(ctypes.Structure):
    _fields_ = [("value", c_double), ("best_epoch", c_int64), ("curve", POINTER(c_double)), ("n_curve", c_size_t)]


class Trial(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("trial", c_int64),
        ("trials", c_int64),
        ("state", c_char_p),
        ("params", c_char_p),
        ("why", c_char_p),
        ("value", c_double),
        ("std", c_double),
        ("epochs", c_int64),
        ("seconds", c_double),
        ("finished", c_int64),
        ("best_trial", c_int64),
        ("best_value", c_double),
        ("baseline", c_double),
        ("elapsed", c_double),
        ("seconds_left", c_double),
        ("outer", c_int),
        ("outers", c_int),
        ("settings", POINTER(Setting)),
        ("n_settings", c_size_t),
        ("folds", POINTER(Fold)),
        ("n_folds", c_size_t),
    ]


class TuneCallbacks(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("user", c_void_p), ("trial", c_void_p)]


LOG = CFUNCTYPE(None, c_void_p, c_int, c_char_p)
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
PROGRESS = CFUNCTYPE(c_int, c_void_p, POINTER(Progress))
TRIAL = CFUNCTYPE(c_int, c_void_p, POINTER(Trial))
PREDICTED = CFUNCTYPE(c_int, c_void_p, POINTER(Array), c_size_t, c_int64)

_ERR, _OUT, _ARRAYS = POINTER(HoneError), POINTER(c_void_p), POINTER(Array)
_STATUS: dict[str, list] = {  # functions that return hone_status: their arguments before the hone_error
    "hone_context_create": [POINTER(ContextOpts), _OUT],
    "hone_doctor": [c_void_p, _OUT],
    "hone_params_create": [c_void_p, _OUT],
    "hone_params_set": [c_void_p, c_char_p, c_char_p],
    "hone_model_load": [c_void_p, c_char_p, _OUT],
    "hone_model_load_bytes": [c_void_p, c_char_p, c_size_t, c_char_p, _OUT],
    "hone_model_new": [c_void_p, c_char_p, c_uint64, _OUT],
    "hone_model_edit": [c_void_p, c_char_p],
    "hone_model_check": [c_void_p, c_int],
    "hone_model_describe": [c_void_p, _OUT],
    "hone_model_save": [c_void_p, c_char_p, c_void_p],
    "hone_model_save_bytes": [c_void_p, WRITE, c_void_p],
    "hone_data_open": [c_void_p, c_void_p, c_void_p, _OUT],
    "hone_data_wrap": [c_void_p, c_int, _ARRAYS, c_size_t, _ARRAYS, c_size_t, _OUT],
    "hone_data_weights": [c_void_p, c_int, _ARRAYS],
    "hone_data_groups": [c_void_p, _ARRAYS],
    "hone_train": [c_void_p, c_void_p, c_void_p, POINTER(Callbacks), _OUT],
    "hone_lr_find": [c_void_p, c_void_p, c_void_p, c_void_p, _OUT],
    "hone_resume": [c_void_p, c_char_p, c_void_p, POINTER(Callbacks), _OUT, _OUT],
    "hone_evaluate": [c_void_p, c_void_p, c_void_p, _OUT],
    "hone_predict": [c_void_p, c_void_p, c_void_p, c_char_p, PREDICTED, c_void_p, _OUT],
    "hone_predictor_create": [c_void_p, c_void_p, c_int64, _OUT],
    "hone_predictor_run": [c_void_p, c_int64, _ARRAYS, c_size_t, POINTER(Output), c_size_t],
    "hone_verify": [c_void_p, POINTER(c_char_p), c_size_t, c_void_p, _OUT],
    "hone_gradcheck": [c_void_p, c_void_p, _OUT],
    "hone_diff": [c_void_p, c_char_p, c_char_p, _OUT],
    "hone_plugin_load": [c_void_p, c_char_p],
    "hone_plugin_list": [c_void_p, _OUT],
    "hone_study_open": [c_void_p, c_char_p, c_void_p, _OUT],
    "hone_study_ask": [c_void_p, _OUT],
    "hone_study_tell": [c_void_p, c_int64, c_double, _OUT],
    "hone_study_describe": [c_void_p, _OUT],
    "hone_study_export": [c_void_p, c_char_p, c_void_p, _OUT],
    "hone_tune": [c_void_p, c_void_p, c_void_p, POINTER(TuneCallbacks), _OUT],
    "hone_result_json": [c_void_p, c_int, WRITE, c_void_p],
}
_PLAIN: dict[str, tuple] = {  # the others
    "hone_version": (c_char_p, []),
    "hone_status_name": (c_char_p, [c_int]),
    "hone_param_at": (c_int, [c_size_t, POINTER(ParamInfo)]),
    "hone_train_needs_data": (c_int, [c_void_p]),
    "hone_predictor_input": (c_int, [c_void_p, c_size_t, _ARRAYS]),
    "hone_predictor_output": (c_int, [c_void_p, c_size_t, POINTER(Output)]),
    "hone_predictor_destroy": (None, [c_void_p]),
    "hone_request_stop": (c_int, [c_void_p]),
    "hone_context_destroy": (None, [c_void_p]),
    "hone_params_destroy": (None, [c_void_p]),
    "hone_model_destroy": (None, [c_void_p]),
    "hone_data_destroy": (None, [c_void_p]),
    "hone_study_close": (None, [c_void_p]),
    "hone_result_destroy": (None, [c_void_p]),
}


def _path() -> str:
    named = os.environ.get("HONE_LIBRARY")
    if named:
        return named
    beside = pathlib.Path(__file__).with_name("libhone.so")
    return str(beside) if beside.exists() else f"libhone.so.{ABI}"


def _load() -> ctypes.CDLL:
    path = _path()
    try:
        library = ctypes.CDLL(path)
    except OSError as why:
        raise ImportError(
            f"libhone cannot be loaded: {why}. HONE_LIBRARY=/path/libhone.so names one; a system's library it "
            "needs may be missing (tools/setup.sh of Hone's sources installs them)"
        ) from None
    try:
        for name, arguments in _STATUS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = c_int, [*arguments, _ERR]
        for name, (result, arguments) in _PLAIN.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError:
        raise ImportError(f"{path} is not the libhone of this package: it has no {name}") from None
    return library


lib = _load()


def _in_python(text: str) -> str:
    """What the library says in the words of the command, "--val-split 0.2", as a caller here writes it: val_split=0.2."""
    return re.sub(r"(?<![\w-])--([a-z][a-z0-9-]*)( (?=[0-9A-Z]|[\w.]+=))?", _keyword, text)


def _keyword(option: re.Match) -> str:
    return option[1].replace("-", "_") + ("=" if option[2] else "")


def call(name: str, *arguments) -> None:
    """Calls a function that returns hone_status; its error as an exception. The GIL is released meanwhile."""
    error = HoneError()
    status = getattr(lib, name)(*arguments, error)
    if status == 0:
        return
    kind = _errors.KINDS.get(status, _errors.Error)
    where, text, hint = (part.decode(errors="replace") for part in (error.where, error.text, error.hint))
    raise kind(status, lib.hone_status_name(status).decode(), where, _in_python(text), _in_python(hint))
