# SPDX-License-Identifier: MIT
"""Estimators with scikit-learn's manners: in pipelines, grid searches, cross-validation, pickles.

    HoneClassifier("model.onnx", epochs=50, lr=3e-4).fit(X, y).predict(X)

What begins each fit is `model`: a path, bytes, an onnx.ModelProto or a hone.Model (which stay as they are), or a line such as
"hidden 64,32 relu dropout=0.1" for a fresh MLP that fits the data. What comes out is `model_`: est.model_.save("better.onnx").
The other parameters are Hone's of groups training, data and run, None for Hone's own default; `random_state` is its seed.
class_weights may also be {label: weight}. With `warm_start` a further fit goes on from the weights of model_, with an optimizer
that begins anew; partial_fit takes one epoch over the rows it is given. Parameters that mean nothing beside the others (momentum
with adam) are passed over, as scikit-learn does; Model.train refuses them.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import numbers
import re
from collections.abc import Mapping

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as missing:
    raise ImportError(f"hone.sklearn needs scikit-learn 1.6 or later: {missing}") from None

from . import _arrays, _errors
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
# what makes another model of the one that came: done once, also where fit goes on
_ONCE = ("scale", "scale_target", "init", "hidden_layers", "hidden_units", "activation", "batchnorm", "pretrain")
# what an epoch of partial_fit has no use for: parts of its rows, and what goes by many epochs
_OF_RUNS = (
    "val_split",
    "test_split",
    "early_stop_patience",
    "min_epochs",
    "monitor",
    "target_metric",
    "max_seconds",
    "warmup",
    "swa_start",
    "swa_lr",
    "swa_anneal",
    "ema",
    "lr_schedule",
    "pretrain",
    "run_dir",
    "keep_run",
)

# what means something only beside one of these (given, or with that value); beside none it is passed over, as in a grid of
# parameters some of which are for one optimizer alone
_BESIDE = {
    "swa_lr": ("swa_start",),
    "swa_anneal": ("swa_lr",),
    "pretrain_noise": ("pretrain",),
    "pretrain_lr": ("pretrain",),
    "no_decay": ("weight_decay", "optimizer=adamw"),
    "min_delta": ("early_stop_patience",),
    "min_epochs": ("early_stop_patience", "target_metric"),
    "no_stratify": ("val_split", "test_split"),
}


def _without_idle(values: dict) -> dict:
    """values, those None that say nothing beside the others: Model.train refuses these, scikit-learn's estimators do not."""
    rows = {row.name.replace("-", "_"): row for row in table()}

    def holds(company: str) -> bool:
        name, _, words = company.replace("-", "_").partition("=")
        value = values.get(name)
        return str(rows[name].initial if value is None else value) in words.split("|") if words else value is not None

    kept = dict(values)
    for name in values:
        beside = _BESIDE.get(name) or ((rows[name].when,) if name in rows and rows[name].when else ())
        if beside and not any(map(holds, beside)):
            kept[name] = None
    return kept


def _takes_parameters(init):
    """Says in the signature what scikit-learn's get_params, set_params and clone go by."""
    own = list(inspect.signature(init).parameters.values())[:-1]
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in NAMES]
    init.__signature__ = inspect.Signature(own + more)
    return init


def _number(text: str) -> float | None:
    """A label of digits, as Hone reads it."""
    return float(text) if re.fullmatch(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*", text) else None


def _sorted(labels: list) -> list:
    """In the order of Hone's classes: by number where all are numbers, else by bytes."""
    numbers = [_number(str(label)) for label in labels]
    if None in numbers:
        return sorted(labels, key=lambda label: str(label).encode())
    return [label for _, label in sorted(zip(numbers, labels, strict=True), key=lambda pair: pair[0])]


class _Hone(BaseEstimator):
    # groups of a search are its splitter's, unless set_fit_request(groups=True) asks for them here too
    __metadata_request__fit = {"groups": False}

    @_takes_parameters
    def __init__(self, model="hidden 100 relu", *, random_state=None, warm_start=False, **params):
        self.model = model
        self.random_state = random_state
        self.warm_start = warm_start
        for name in NAMES:
            setattr(self, name, params.pop(name, None))
        for name in params:
            near = difflib.get_close_matches(name, NAMES, 1)
            raise TypeError(f"{type(self).__name__} has no parameter {name}" + (f": is {near[0]} meant?" if near else ""))

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _begin(self, n_in: int, n_out: int, tail: str, seed: int, goes_on: bool) -> Model:
        """The model that this fit trains."""
        if goes_on and hasattr(self, "model_"):
            return self.model_
        if not (isinstance(self.model, str) and self.model.split()[:1] == [_LINE]):
            return copy.deepcopy(self.model) if isinstance(self.model, Model) else Model.load(self.model)
        words = self.model.split()[1:]
        widths = words.pop(0).split(",") if words and words[0][0].isdigit() else []
        return Model.new(" ".join(["-".join([str(n_in), *widths, str(n_out)]), *words, tail]), seed)

    def _train(self, model: Model, X, y, sample_weight, val, seed: int, part: bool = False, groups=None, **more) -> None:
        heads = [v for v in model.outputs if v.learns]
        if len(heads) != 1:
            raise _errors.usage("model", f"{len(heads)} outputs learn, wanted one", "hone.Model trains such models")
        values = {name: getattr(self, name) for name in NAMES}
        values.update({name: v for name, v in more.items() if values[name] is None or isinstance(values[name], Mapping)})
        if model is getattr(self, "model_", None):
            values.update({name: None for name in _ONCE if values[name] != "freeze"})
        if part:
            values.update({name: None for name in _OF_RUNS}, epochs=1)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if groups is not None and values["val_split"] is None and values["test_split"] is None:
            groups = None  # of rows that are not split
        values = _without_idle(values)
        rows = {"val": val, "sample_weight": sample_weight, "groups": groups}
        self.result_ = model.train(self._inputs(model, X), y, **rows, seed=seed, **values)
        self.output_ = next(v for v in model.outputs if v.learns)
        self.model_ = model

    def _inputs(self, model: Model, X):
        """For a model of several inputs the columns of their names, where X was a frame."""
        names = list(getattr(self, "feature_names_in_", ()))
        found = {v.name: _arrays.column(names, v.name) for v in model.inputs}
        if len(found) < 2 or None in found.values():
            return X
        return {name: X[:, [names.index(column)]] for name, column in found.items()}

    def _raw(self, X) -> np.ndarray:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False)
        rows = self.model_.predict(self._inputs(self.model_, X), output=self.output_.name)
        return np.asarray(rows).reshape(len(X), -1)


class HoneClassifier(ClassifierMixin, _Hone):
    """Classes by an ONNX model.

    After fit: classes_ (sorted), model_ (a hone.Model), result_ (what its train returned), n_features_in_, feature_names_in_.
    The classes of a model that has a list, or more outputs than y has classes, are all in classes_; where the list is text and
    y is numbers, they are its positions.
    """

    def fit(self, X, y, sample_weight=None, *, val=None, groups=None):
        """X: [rows, features].  y: [rows] labels.  sample_weight: [rows].  val: (X, y) to judge by, else val_split or none.
        groups: [rows], those of one group stay on one side of val_split."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        seen = np.unique(y)
        if len(seen) < 2:
            raise ValueError(f"y has one class, {seen[0]!r}: a classifier needs two")
        seed = self._seed()
        goes_on = self.warm_start and hasattr(self, "model_")
        if goes_on and not np.isin(seen, self.classes_).all():
            raise ValueError(f"with warm_start y has classes {seen}, wanted some of {self.classes_}")
        model = self._begin(X.shape[1], len(seen), "softmax", seed, goes_on)
        coded = goes_on and self._coded
        rows = np.searchsorted(self.classes_, y).astype(np.int64) if coded else y.astype(np.uint8) if y.dtype.kind == "b" else y
        weights = self._weights(model, self.classes_ if coded else seen, coded)
        self._train(model, X, rows, sample_weight, val, seed, groups=groups, **weights)
        self._coded, self._calls = coded, 0
        if not goes_on:
            self._know(seen)
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One epoch over X, y. classes: all there will ever be, at the first call; a fresh model_ gives their positions."""
        first = not hasattr(self, "model_")
        X, y = validate_data(self, X, y, reset=first)
        check_classification_targets(y)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"classes are {np.unique(classes)}, at the first call they were {known}")
        if not np.isin(y, known).all():
            raise ValueError(f"y has classes {np.unique(y)}, wanted some of {known}")
        if len(known) < 2:
            raise ValueError(f"classes has one, {known[0]!r}: a classifier needs two")
        calls = 0 if first else self._calls
        seed = self._seed()
        model = self._begin(X.shape[1], len(known), "softmax", seed, True)
        head = next((v for v in model.outputs if v.learns), None)
        coded = self._coded if not first else head is not None and head.classes is None
        if coded and max(head.per_row, 2) != len(known):
            raise ValueError(f"there are {len(known)} classes, the model has {max(head.per_row, 2)}")
        rows = np.searchsorted(known, y).astype(np.int64) if coded else y
        self._train(model, X, rows, sample_weight, None, seed + calls, part=True, **self._weights(model, known, coded))
        self._coded, self._calls = coded, calls + 1
        if coded:  # trained by the positions of classes_
            self.classes_, self._order = known, np.arange(len(known))
        elif first:
            self._know(known)
        return self

    def _know(self, seen: np.ndarray) -> None:
        labels = self._labels(seen.dtype, seen)
        self._order = np.argsort(labels, kind="stable")  # the model's columns in the order of classes_
        self.classes_ = labels[self._order]

    def _weights(self, model: Model, seen: np.ndarray, coded: bool) -> dict:
        """class_weights={label: weight} in the order of the model's classes."""
        if not isinstance(self.class_weights, Mapping):
            return {}
        head = next(v for v in model.outputs if v.learns)
        n = max(head.per_row, 2)
        numbered = not coded and seen.dtype.kind in "iu" and seen.min() >= 0 and seen.max() < n
        names = [str(name) for name in (not coded and head.classes) or (range(n) if numbered else _sorted(seen.tolist()))]
        weights = {str(label): float(w) for label, w in self.class_weights.items()}
        if set(weights) - set(names):
            raise ValueError(f"class_weights has {sorted(set(weights) - set(names))}, wanted labels among {names}")
        return {"class_weights": ",".join(repr(weights.get(name, 1.0)) for name in names)}

    def _labels(self, dtype: np.dtype, seen: np.ndarray) -> np.ndarray:
        """The label of each class of the model, in its order and in y's type."""
        known = {str(label): label for label in seen}
        names = self.output_.classes or tuple(str(i) for i in range(max(self.output_.per_row, 2)))
        if dtype.kind in "UOST":
            same = {_number(name): label for name, label in known.items() if _number(name) is not None}
            found = [known.get(name, same.get(_number(name), name)) for name in names]  # "1" of the model may be "1.0" of y
            return np.array(found, object if dtype.kind == "O" else str)
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

    def fit(self, X, y, sample_weight=None, *, val=None, groups=None):
        """X: [rows, features].  y: [rows] or [rows, outputs].  val: (X, y) to judge by, else val_split, else none.
        groups: [rows], those of one group stay on one side of val_split."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        seed = self._seed()
        model = self._begin(X.shape[1], 1 if y.ndim == 1 else y.shape[1], "", seed, self.warm_start)
        self._flat = y.ndim == 1
        self._train(model, X, y, sample_weight, val, seed, groups=groups, loss="mse")
        return self

    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over X, y."""
        first = not hasattr(self, "model_")
        X, y = validate_data(self, X, y, reset=first, multi_output=True, y_numeric=True)
        seed = self._seed()
        model = self._begin(X.shape[1], 1 if y.ndim == 1 else y.shape[1], "", seed, True)
        self._flat, self._calls = y.ndim == 1, 1 if first else getattr(self, "_calls", 0) + 1
        self._train(model, X, y, sample_weight, None, seed + self._calls - 1, part=True, loss="mse")
        return self

    def predict(self, X) -> np.ndarray:
        """[rows] or [rows, outputs], as y was."""
        rows = self._raw(X).astype(np.float64)
        return rows[:, 0] if self._flat and rows.shape[1] == 1 else rows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
