# SPDX-License-Identifier: MIT
"""Estimators with scikit-learn's manners: in pipelines, grid searches, cross-validation, pickles.

    HoneClassifier("model.onnx", epochs=50, lr=3e-4).fit(X, y).predict(X)

What begins each fit is `model`: a path, bytes, an onnx.ModelProto or a hone.Model (which stay as they are), or a line such as
"hidden 64,32 relu dropout=0.1" for a fresh MLP that fits the data. What comes out is `model_`: est.model_.save("better.onnx").
The other parameters are Hone's of groups training, data and run, None for Hone's own default; `random_state` is its seed.
"""

from __future__ import annotations

import copy
import inspect
import numbers

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as missing:
    raise ImportError(f"hone.sklearn needs scikit-learn 1.6 or later: {missing}") from None

from . import _errors
from ._model import FITTED, Model
from ._params import OF_THE_COMMAND
from ._params import params as table

_NOT = {"seed", "out", "dry_run", "require", "force"}  # random_state; nothing is written; fit has no answer "no"
NAMES = tuple(
    name
    for name, group in ((row.name.replace("-", "_"), row.group) for row in table())
    if name not in _NOT and name not in OF_THE_COMMAND and (group in ("training", "run") or name in FITTED)
)
_LINE = "hidden"


def _takes_parameters(init):
    """Says in the signature what scikit-learn's get_params, set_params and clone go by."""
    own = list(inspect.signature(init).parameters.values())[:-1]
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in NAMES]
    init.__signature__ = inspect.Signature(own + more)
    return init


class _Hone(BaseEstimator):
    @_takes_parameters
    def __init__(self, model="hidden 100 relu", *, random_state=None, **params):
        self.model = model
        self.random_state = random_state
        for name in NAMES:
            setattr(self, name, params.pop(name, None))
        if params:
            raise TypeError(f"{type(self).__name__} has no parameter {', '.join(params)}")

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _begin(self, n_in: int, n_out: int, tail: str, seed: int) -> Model:
        """The model that this fit trains."""
        if not (isinstance(self.model, str) and self.model.split()[:1] == [_LINE]):
            return copy.deepcopy(self.model) if isinstance(self.model, Model) else Model.load(self.model)
        words = self.model.split()[1:]
        widths = words.pop(0).split(",") if words and words[0][0].isdigit() else []
        return Model.new(" ".join(["-".join([str(n_in), *widths, str(n_out)]), *words, tail]), seed)

    def _train(self, model: Model, X, y, sample_weight, val, seed: int, **more) -> None:
        values = {name: getattr(self, name) for name in NAMES}
        values.update({name: v for name, v in more.items() if values[name] is None})
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        self.result_ = model.train(X, y, val=val, sample_weight=sample_weight, seed=seed, **values)
        heads = [v for v in model.outputs if v.learns]
        if len(heads) != 1:
            raise _errors.usage("model", f"{len(heads)} outputs learn, wanted one", "hone.Model trains such models")
        self.output_ = heads[0]
        self.model_ = model

    def _raw(self, X) -> np.ndarray:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False)
        rows = self.model_.predict(X, output=self.output_.name)
        return np.asarray(rows).reshape(len(X), -1)


class HoneClassifier(ClassifierMixin, _Hone):
    """Classes by an ONNX model.

    After fit: classes_ (sorted), model_ (a hone.Model), result_ (what its train returned), n_features_in_, feature_names_in_.
    The classes of a model that has a list, or more outputs than y has classes, are all in classes_; where the list is text and
    y is numbers, they are its positions.
    """

    def fit(self, X, y, sample_weight=None, *, val=None):
        """X: [rows, features].  y: [rows] labels.  val: (X, y) to judge by, else val_split, else none."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        seen = np.unique(y)
        if len(seen) < 2:
            raise ValueError(f"y has one class, {seen[0]!r}: a classifier needs two")
        seed = self._seed()
        model = self._begin(X.shape[1], len(seen), "softmax", seed)
        self._train(model, X, y.astype(np.uint8) if y.dtype.kind == "b" else y, sample_weight, val, seed)
        labels = self._labels(y.dtype, seen)
        self._order = np.argsort(labels, kind="stable")  # the model's columns in the order of classes_
        self.classes_ = labels[self._order]
        return self

    def _labels(self, dtype: np.dtype, seen: np.ndarray) -> np.ndarray:
        """The label of each class of the model, in its order and in y's type."""
        known = {str(label): label for label in seen}
        names = self.output_.classes or tuple(str(i) for i in range(max(self.output_.per_row, 2)))
        if dtype.kind in "UOST":
            return np.array([known.get(name, name) for name in names], object if dtype.kind == "O" else str)
        if dtype.kind == "b":
            return np.array([False, True]) if len(names) == 2 else np.arange(len(names))
        try:
            values = [int(n) if dtype.kind in "iu" else float(n) for n in names]
        except ValueError:  # a list of text: y has the numbers of its labels
            values = list(range(len(names)))
        return np.array(values).astype(dtype)

    def predict_proba(self, X) -> np.ndarray:
        """[rows, classes], in the order of classes_."""
        p = self._raw(X).astype(np.float64)
        if self.output_.tail == "logsoftmax":
            p = np.exp(p)
        elif self.output_.tail is None and p.shape[1] > 1:
            p = np.exp(p - p.max(axis=1, keepdims=True))
        elif self.output_.tail is None:
            p = 0.5 + 0.5 * np.tanh(0.5 * p)  # a Sigmoid that does not overflow
        if p.shape[1] == 1:
            p = np.hstack([1 - p, p])
        return (p / p.sum(axis=1, keepdims=True))[:, self._order]

    def predict(self, X) -> np.ndarray:
        """[rows] labels."""
        p = self.predict_proba(X)
        return self.classes_[p.argmax(axis=1)]


class HoneRegressor(RegressorMixin, _Hone):
    """Numbers by an ONNX model. Without `loss` it learns by the mean squared error.

    After fit: model_ (a hone.Model), result_ (what its train returned), n_features_in_, feature_names_in_.
    """

    def fit(self, X, y, sample_weight=None, *, val=None):
        """X: [rows, features].  y: [rows] or [rows, outputs].  val: (X, y) to judge by, else val_split, else none."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        seed = self._seed()
        model = self._begin(X.shape[1], 1 if y.ndim == 1 else y.shape[1], "", seed)
        self._flat = y.ndim == 1
        self._train(model, X, y, sample_weight, val, seed, loss="mse")
        return self

    def predict(self, X) -> np.ndarray:
        """[rows] or [rows, outputs], as y was."""
        rows = self._raw(X).astype(np.float64)
        return rows[:, 0] if self._flat and rows.shape[1] == 1 else rows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
