# SPDX-License-Identifier: MIT
"""Hone: an ONNX model in, trained on your data, the same ONNX model back, better.

    model = hone.Model.load("model.onnx")
    result = model.train(X, y, val_split=0.2, epochs=50, early_stop_patience=5)
    model.save("better.onnx")

A thin client of libhone (hone.h is its manual): every option of the command is a keyword, `hone.params()` lists them. What the
library decides by itself is said through logging, logger "hone". Estimators for scikit-learn are in `hone.sklearn`.
"""

from ._errors import DataError, Error, InputOutputError, ModelError, OutOfMemoryError, UnsupportedError, UsageError
from ._library import lib as _lib
from ._model import Model, diff, doctor, resume
from ._params import Param, params
from ._predictor import Predictor
from ._shown import Progress, Trial, Value
from ._study import Study, StudyTrial, export_study


def version() -> str:
    """The library's version."""
    return _lib.hone_version().decode()


__version__ = version()
__all__ = [
    "DataError",
    "Error",
    "InputOutputError",
    "Model",
    "ModelError",
    "OutOfMemoryError",
    "Param",
    "Predictor",
    "Progress",
    "Study",
    "StudyTrial",
    "Trial",
    "UnsupportedError",
    "UsageError",
    "Value",
    "diff",
    "doctor",
    "export_study",
    "params",
    "resume",
    "version",
]
