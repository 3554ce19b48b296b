# SPDX-License-Identifier: MIT
"""Model: an ONNX model that is trained, searched, run and written back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from . import _arrays, _errors, _tables
from ._context import Context, collect, result
from ._library import PREDICTED, call, lib
from ._params import Param, Params
from ._predictor import Predictor
from ._shown import Progress, Trial, Value, train_callbacks, tune_callbacks, value

TRAIN, VAL, TEST, PRETRAIN = 0, 1, 2, 3
FILES = ("data", "x")  # parameters that name training rows in files
# of group "data" what has a meaning for arrays
FITTED = {"scale", "scale_target", "scale_again", "test_split", "val_split", "no_stratify"}
FILES_OF_PREDICT = {"data", "x", "plugin", "features", "ignore", "header", "na", "input", "x_scale", "target", "sample_weights"}
SPLITS = ("val_split", "test_split", "folds", "nested")  # what groups matter to
SPEED = {"threads", "device", "math", "bn_impl"}


class Model:
    """An ONNX model. Made by `Model.load` or `Model.new`; goes away by itself. Any thread may use it, one at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: dict | None = None  # what describe says, until the model changes

    @classmethod
    def load(
        cls, source: object, *, folder: str | os.PathLike | None = None, plugins: Iterable[str | os.PathLike] = ()
    ) -> Model:
        """From a path (.onnx, .onnx.gz), from bytes, or from an onnx.ModelProto. folder: where external data of bytes lie.
        plugins: paths of plug-ins whose operators and readers this model may use (native code: see hone_plugin.h)."""
        context = Context(plugins)
        if isinstance(source, (str, os.PathLike)):
            path = os.fsencode(source)
            context.run(lambda _: call("hone_model_load", context.handle, path, context.model))
            return cls(context)
        if hasattr(source, "SerializeToString"):
            source = source.SerializeToString()
        if not isinstance(source, (bytes, bytearray, memoryview)):
            raise _errors.usage("load", f"found {type(source).__name__}, wanted a path, bytes or an onnx.ModelProto")
        data, where = bytes(source), None if folder is None else os.fsencode(folder)
        context.run(lambda _: call("hone_model_load_bytes", context.handle, data, len(data), where, context.model))
        return cls(context)

    @classmethod
    def new(cls, spec: str, seed: int = 0) -> Model:
        """A fresh MLP: "784-512-10 relu batchnorm dropout=0.5 softmax"."""
        context = Context()
        context.run(lambda _: call("hone_model_new", context.handle, spec.encode(), seed, context.model))
        return cls(context)

    # ---- what it is

    def describe(self) -> dict:
        """What `hone inspect --json` prints: nodes with verdicts, issues, weights, classes, hidden layers."""
        return self._context.run(lambda _: result("hone_model_describe", self._context.model))

    def _about(self) -> dict:
        """The same inside a call, kept."""
        if self._seen is None:
            self._seen = result("hone_model_describe", self._context.model)
        return self._seen

    def _values(self, which: str) -> tuple[Value, ...]:
        return tuple(value(v) for v in self._context.run(lambda _: self._about())[which])

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self._values("inputs")

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self._values("outputs")

    @property
    def plugins(self) -> list[dict]:
        """The plug-ins it was loaded with: path, hash, id, version, license, readers, ops."""
        return self._context.run(lambda _: result("hone_plugin_list", self._context.handle))["plugins"]

    def check(self, training: bool = True) -> None:
        """Raises what keeps the model from being trained (or, training False, from being run)."""
        self._context.run(lambda _: call("hone_model_check", self._context.model, int(training)))

    def __repr__(self) -> str:
        names = [", ".join(v.name for v in part) for part in (self.inputs, self.outputs)]
        return f"<hone.Model {names[0]} -> {names[1]}>"

    # ---- data

    @contextlib.contextmanager
    def _params(
        self, values: Mapping, job: str, groups: set[str], also: set[str], arrays: bool
    ) -> Iterator[tuple[dict, Params]]:
        """The values, tables among them as files, and the same as hone_params."""

        def allowed(row: Param) -> bool:
            name = row.name.replace("-", "_")
            if row.group == "data" and arrays:
                return "training" in groups and name in FITTED
            return row.group in groups or name in also

        with _tables.as_files(values) as files, Params(self._context.handle, files, job, allowed) as p:
            yield files, p

    def _wrap(self, data: ctypes.c_void_p, role: int, x: object, y: object, weight: object, keep: list) -> None:
        what = ("", "val ", "test ", "unlabelled ")[role]
        about = {v["name"]: v["dtype"] for v in self._about()["inputs"]}
        xs, ys = _arrays.inputs(x, what + "X", about), _arrays.outputs(y, what + "y")
        keep += xs + ys
        parts = (_arrays.structs(xs), len(xs), _arrays.structs(ys), len(ys))
        call("hone_data_wrap", self._context.handle, role, *parts, data)
        if weight is not None:
            weights = _arrays.numbers(weight, what + "sample_weight")
            keep.append(weights)
            call("hone_data_weights", data, role, weights.struct)

    def _with_data(
        self, values: Mapping, params: Params, roles: list[tuple], work: Callable, groups: object = None
    ) -> Any:
        """work(hone_data) over arrays by role, or over the files that params name."""
        data = ctypes.c_void_p()
        keep: list[_arrays.Wrapped] = []
        try:
            self._same_columns(roles)
            for role, x, y, weight in roles:
                self._wrap(data, role, x, y, weight, keep)
            if groups is not None:
                keep.append(_arrays.groups(groups, "groups"))
                call("hone_data_groups", data, keep[-1].struct)
            if not roles and any(values.get(name) is not None for name in FILES):
                call("hone_data_open", self._context.handle, self._context.model, params.handle, data)
            return work(data)
        finally:
            lib.hone_data_destroy(data)  # borrows from what keep holds
            keep.clear()

    def _same_columns(self, roles: list[tuple]) -> None:
        """Refuses tables with the columns of X in another order, where columns go by their order."""
        columns = [getattr(x, "columns", None) for _, x, _, _ in roles]
        if len(self._about()["inputs"]) > 1 or not columns or columns[0] is None:
            return
        first = list(columns[0])
        for (role, *_), others in zip(roles, columns, strict=True):
            if others is not None and list(others) != first and sorted(map(str, others)) == sorted(map(str, first)):
                name = ("X", "val", "test", "unlabelled")[role]
                raise _errors.data(name, "has the columns of X in another order", f"{name}[X.columns]")

    @staticmethod
    def _roles(
        x: object,
        y: object,
        weight: object,
        val: tuple | None,
        test: tuple | None,
        unlabelled: object = None,
        groups: object = None,
    ) -> list[tuple]:
        if x is None:
            arrays = {"sample_weight": weight, "val": val, "test": test, "unlabelled": unlabelled, "groups": groups}
            for name, value in arrays.items():
                if value is not None:
                    raise _errors.usage(name, "is given without X", "data in files: data=, x=, val_data=, group=, …")
            return []
        roles = [(TRAIN, x, y, weight)]
        for role, part in ((VAL, val), (TEST, test)):
            if part is not None:
                if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
                    name, found = ("val", "test")[role - VAL], type(part).__name__
                    raise _errors.usage(name, f"found {found}, wanted (X, y) or (X, y, sample_weight)")
                roles.append((role, part[0], part[1], part[2] if len(part) > 2 else None))
        if unlabelled is not None:
            roles.append((PRETRAIN, unlabelled, None, None))
        return roles

    # ---- training

    def _change(self, name: str, *arguments: object) -> dict:
        try:
            return result(name, *arguments)
        finally:
            self._seen = None

    def train(
        self,
        X: object = None,
        y: object = None,
        *,
        val: tuple | None = None,
        test: tuple | None = None,
        sample_weight: object = None,
        unlabelled: object = None,
        groups: object = None,
        progress: Callable[[Progress], object] | None = None,
        **params: object,
    ) -> dict:
        """Trains in place; the model then holds the best weights. Returns what `hone train --json` prints.

        X: [rows, …] numbers, or {input: array}.  y: [rows] labels (numbers or text), [rows, …] numbers, or {output: array}.
        val, test: (X, y) or (X, y, sample_weight).  sample_weight: [rows].  params: the command's options with _ for -
        (`hone.params()` lists them): epochs=50, lr=3e-4, val_split=0.2, early_stop_patience=5. Rows in files, without X:
        data="train.csv", target="label". A table with text, categories or gaps: data=frame (pandas), target="label",
        encode={"city": "onehot"}, impute="median", and val_data=frame.  unlabelled: rows as X, read by pretrain=20 instead of
        the training rows.  groups: [rows] numbers or text, rows of one group stay on one side of val_split and test_split.
        progress: called with a Progress; what is true ends training ("callback").

        KeyboardInterrupt, and an exception of progress, stop after the current batch, leave a checkpoint where there is a
        run_dir, and come back when the model holds the best weights so far.
        """
        roles = self._roles(X, y, sample_weight, val, test, unlabelled, groups)
        _check_groups(groups, params)
        if not roles:
            params["y"] = y  # the name of a file, as x=

        def work(ask: Callable) -> dict:
            with self._params(params, "train", {"data", "training", "run"}, set(), bool(roles)) as (values, p):
                callbacks, _borrowed = train_callbacks(ask, progress is not None)
                return self._with_data(
                    values,
                    p,
                    roles,
                    lambda data: self._change("hone_train", self._context.model, data, p.handle, callbacks),
                    groups,
                )

        return self._context.run(work, progress)

    def lr_find(self, X: Any = None, y: Any = None, *, sample_weight: Any = None, **params: object) -> dict:
        """A learning rate range test: ["suggestion"] is a rate or None, ["points"] the curve. The model is not changed.
        X, y, sample_weight and params as for `train`, without val, test and progress; and lr_from, lr_to, steps."""
        roles = self._roles(X, y, sample_weight, None, None)
        if not roles:
            params["y"] = y

        def work(_: Callable) -> dict:
            groups = {"data", "training", "lr-find"}
            with self._params(params, "lr_find", groups, SPEED | {"dropout_impl"}, bool(roles)) as (values, p):
                return self._with_data(
                    values, p, roles, lambda data: result("hone_lr_find", self._context.model, data, p.handle, None)
                )

        return self._context.run(work)

    def tune(
        self,
        X: object = None,
        y: object = None,
        *,
        search: Mapping[str, object] | str | list[str] | None = None,
        val: tuple | None = None,
        test: tuple | None = None,
        sample_weight: object = None,
        unlabelled: object = None,
        groups: object = None,
        progress: Callable[[Trial], object] | None = None,
        **params: object,
    ) -> dict:
        """Searches training parameters and hidden layers; the model then holds the best one's weights, or, where none beats
        it, is what it was. Returns what `hone tune --json` prints.

        X, y, val, test, sample_weight, unlabelled, groups: as for `train`, and folds are of whole groups.  search: {"lr": (1e-4, 1e-1, "log"), "batch_size": [16, 32],
        "hidden_units": (8, 64)}, domains also as text, "log:1e-4..1e-1", or as in a space of YAML, {"type": "float", "low": 0.5,
        "high": 0.9, "when": {"optimizer": ["momentum"]}}; or space="auto".  params: folds=5, trials=30 and
        the others of `hone tune`; study="search.db" keeps the trials, and goes on with those it has.  progress: called with
        each Trial that has ended; what is true ends the search.
        """
        roles = self._roles(X, y, sample_weight, val, test, unlabelled, groups)
        _check_groups(groups, params)
        values = {**params, "search": search, **({} if roles else {"y": y})}
        kept = any(values.get(name) is not None for name in ("study", "run_dir", "out"))
        read = {"data", "training", "run", "search", "tune"}

        def work(ask: Callable) -> dict:
            with contextlib.ExitStack() as stack:
                if not kept:
                    values["run_dir"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="hone-tune-"))
                given, p = stack.enter_context(self._params(values, "tune", read, set(), bool(roles)))
                callbacks, _borrowed = tune_callbacks(ask, progress is not None)
                return self._with_data(
                    given,
                    p,
                    roles,
                    lambda data: self._change("hone_tune", self._context.model, data, p.handle, callbacks),
                    groups,
                )

        return self._context.run(work, progress)

    # ---- use

    def predict(self, X: object = None, *, argmax: bool = False, **params: object) -> np.ndarray | dict[str, np.ndarray]:
        """The outputs for rows X (or data=, a file or a pandas table), in their order: an array [rows, …] of float32
        (float64 in models of it), of labels int64, bool or text; where several outputs are computed, {output: array};
        output="NAME" chooses. argmax: [rows], or [rows, places], the class of each row by its label: text, integers, or numbers 0, 1, …
        where the model has no list (made of the scores; labels that the model gives itself are left out unless named)."""
        roles = self._roles(X, None, None, None, None)
        also = SPEED if roles else SPEED | FILES_OF_PREDICT

        def work(_: Callable) -> dict[str, np.ndarray]:
            pieces: dict[str, list[np.ndarray]] = {}

            @PREDICTED
            def each(_user, arrays, n, _first):
                for a in arrays[:n]:
                    pieces.setdefault(a.name.decode(), []).append(_arrays.copy(a))
                return 0

            def run(data: ctypes.c_void_p) -> dict:
                return result("hone_predict", self._context.model, data, p.handle, None, each, None)

            values = {**params, "argmax": argmax}
            with self._params(values, "predict", {"predict"}, also, bool(roles)) as (given, p):
                self._with_data(given, p, roles, run)
            outputs = {v["name"]: v for v in self._about()["outputs"]}
            whole = {name: np.concatenate(rows) for name, rows in pieces.items()}
            shapes = {name: _labels if argmax and rows.dtype.kind == "f" else _shaped for name, rows in whole.items()}
            return {name: shapes[name](rows, outputs[name]) for name, rows in whole.items()}

        found: dict[str, np.ndarray] = self._context.run(work)
        return next(iter(found.values())) if len(found) == 1 else found

    def predictor(self, max_rows: int = 1024, *, argmax: bool = False, **params: object) -> Predictor:
        """For calls without end: what `predict` sets up for each of them, set up once. Call it with rows X, at most max_rows.
        It keeps the weights of now. params: output, threads (1 unless given)."""

        def work(_: Callable) -> Predictor:
            outputs = {v["name"]: v for v in self._about()["outputs"]}

            def shape(name: str, rows: np.ndarray) -> np.ndarray:
                return (_labels if argmax and rows.dtype.kind == "f" else _shaped)(rows, outputs[name])

            handle = ctypes.c_void_p()
            values = {**params, "argmax": argmax}
            with self._params(values, "predictor", set(), {"output", "argmax", "threads", "device"}, True) as (_, p):
                call("hone_predictor_create", self._context.model, p.handle, max_rows, handle)
            return Predictor(self._context, handle, shape)

        return self._context.run(work)

    def evaluate(self, X: object = None, y: object = None, *, sample_weight: object = None, **params: object) -> dict:
        """Loss and metrics over the rows: {"rows": …, "loss": …, "accuracy": …}. Arguments as for `train`."""
        roles = self._roles(X, y, sample_weight, None, None)
        also = SPEED | {"loss", "metric", "class_weights"}
        if not roles:
            params["y"] = y

        def work(_: Callable) -> dict:
            with self._params(params, "evaluate", {"data"}, also, bool(roles)) as (values, p):
                return self._with_data(
                    values, p, roles, lambda data: result("hone_evaluate", self._context.model, data, p.handle)
                )

        return self._context.run(work)

    def verify(self, *folders: str | os.PathLike, **params: object) -> dict:
        """ONNX test vectors, folder/input_N.pb against folder/output_N.pb; whether they agree: ["passed"] == ["cases"]."""
        paths = (ctypes.c_char_p * len(folders))(*(os.fsencode(f) for f in folders))

        def work(_: Callable) -> dict:
            with self._params(params, "verify", {"verify"}, SPEED, False) as (_, p):
                return result("hone_verify", self._context.model, paths, len(folders), p.handle)

        return self._context.run(work)

    def gradcheck(self, **params: object) -> dict:
        """Backward against central differences in double precision."""

        def work(_: Callable) -> dict:
            with self._params(params, "gradcheck", set(), {"seed", "loss"}, False) as (_, p):
                return result("hone_gradcheck", self._context.model, p.handle)

        return self._context.run(work)

    # ---- writing

    def edit(self, line: str) -> None:
        """One graph edit: "batchnorm insert", "hidden units=64,32 activation=tanh", … (hone_model_edit in hone.h)."""

        def work(_: Callable) -> None:
            self._seen = None
            call("hone_model_edit", self._context.model, line.encode())

        self._context.run(work)

    def save(self, path: str | os.PathLike, *, force: bool = False) -> None:
        """Writes the file; what was not trained is the same bytes. An existing path is refused unless force."""

        def work(_: Callable) -> None:
            with self._params({"force": force}, "save", set(), {"force"}, False) as (_, p):
                call("hone_model_save", self._context.model, os.fsencode(path), p.handle)

        self._context.run(work)

    def to_bytes(self) -> bytes:
        """The file as bytes, external data inside: onnx.load_model_from_string and onnxruntime take them."""
        return self._context.run(lambda _: collect("hone_model_save_bytes", self._context.model))

    def __reduce__(self):
        return _loaded, (self.to_bytes(), self._context.plugins)


def _check_groups(groups: object, params: Mapping) -> None:
    if groups is not None and all(params.get(name) is None for name in SPLITS):
        names = ", ".join(SPLITS)
        raise _errors.usage("groups", f"means nothing without one of {names}: it is what a split keeps together")


def _loaded(source: bytes, plugins: tuple[str, ...]) -> Model:
    return Model.load(source, plugins=plugins)


def _shaped(rows: np.ndarray, output: dict) -> np.ndarray:
    """As the file declares it, where it does."""
    dims = output["dims"]
    if dims is None or any(not isinstance(d, int) for d in dims[1:]):
        return rows
    shape = (len(rows), *dims[1:])
    return rows.reshape(shape) if int(np.prod(shape)) == rows.size else rows


def _labels(rows: np.ndarray, output: dict) -> np.ndarray:
    """Class numbers as the model's labels."""
    numbers, classes = rows.astype(np.int64), output["classes"]
    places = rows.size // max(len(rows), 1)
    numbers = numbers.reshape(-1) if places == 1 else numbers
    if classes is None or len(classes) != max(output["per_row"] // max(places, 1), 2):
        return numbers
    whole = all(c.removeprefix("-").isdecimal() and str(int(c)) == c for c in classes)  # 007 is a name
    return np.array([int(c) for c in classes] if whole else classes)[numbers]


def resume(
    run_dir: str | os.PathLike,
    *,
    progress: Callable[[Progress], object] | None = None,
    plugins: Iterable[str | os.PathLike] = (),
    **overrides: object,
) -> tuple[Model, dict]:
    """Continues a training run whose rows are in files, exactly where it was interrupted: the model and its result.
    (A search goes on where `Model.tune` is called again as before, with the same run_dir or study.)
    overrides: epochs="+10", moved data files, force. progress: as for `Model.train`. plugins: as for `Model.load`."""
    context = Context(plugins)
    also = {"epochs", "threads", "device", "jobs", "force"}

    def work(ask: Callable) -> dict:
        with Params(context.handle, overrides, "resume", lambda row: row.group == "data" or row.name in also) as p:
            callbacks, _borrowed = train_callbacks(ask, progress is not None)
            return result("hone_resume", context.handle, os.fsencode(run_dir), p.handle, callbacks, context.model)

    found = context.run(work, progress)
    return Model(context), found


def diff(a: str | os.PathLike, b: str | os.PathLike) -> dict:
    """Tensors and fields that differ between two files; ["equal"] when none do."""
    context = Context()
    return context.run(lambda _: result("hone_diff", context.handle, os.fsencode(a), os.fsencode(b)))


def doctor() -> dict:
    """Devices, libraries, versions, core type."""
    context = Context()
    return context.run(lambda _: result("hone_doctor", context.handle))
