# SPDX-License-Identifier: MIT
"""Study: a search whose objective is the caller's own code; and any study as a file of Optuna's."""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ._context import Context, result
from ._library import call, lib
from ._params import Param, Params


@dataclass(frozen=True)
class StudyTrial:
    """A trial of a Study. state: "running" (asked for, not told yet), "done", "failed", "waiting".  value: None unless done."""

    number: int
    state: str
    params: dict[str, Any]
    value: float | None


class Study:
    """A search by ask and tell. The file at path (or the PostgreSQL database at a postgresql:// address, see hone.h) is made by
    the first who opens it; any number of programs share it at once, and it survives being killed.

        with hone.Study("search.db", search={"lr": (1e-4, 1e-1, "log"), "units": (8, 64), "kind": ["a", "b"]}, seed=1) as study:
            while (asked := study.ask()) and asked.number < 30:
                study.tell(asked.number, objective(**asked.params))
            print(study.best)

    search: as in `Model.tune`; any names.  params: the options of `hone ask` (sampler="gp", direction="maximize", seed=0, …).
    An existing study brings its own: what is given must agree, else UsageError.
    """

    def __init__(
        self, path: str | os.PathLike[str], search: Mapping[str, object] | str | list[str] | None = None, **params: object
    ) -> None:
        self._path, self._context, self._handle = os.fsdecode(path), Context(), ctypes.c_void_p()
        values = {**params, "search": search}

        def allowed(row: Param) -> bool:
            return row.group == "search" or row.name == "seed"

        def work(_: object) -> None:
            with Params(self._context.handle, values, "a study", allowed) as p:
                call("hone_study_open", self._context.handle, os.fsencode(path), p.handle, self._handle)

        self._context.run(work)
        self.close = weakref.finalize(self, lib.hone_study_close, self._handle)
        """Closes the study; it is then of no more use. Also done when the object goes away."""

    def __enter__(self) -> Study:
        return self

    def __exit__(self, _kind: type | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<hone.Study {self._path}>"

    def _result(self, name: str, *arguments: object) -> dict[str, Any]:
        if not self.close.alive:
            raise ValueError(f"{self!r} is closed")
        found: dict[str, Any] = self._context.run(lambda _: result(name, self._handle, *arguments))
        return found

    def ask(self) -> StudyTrial | None:
        """The next trial, "running" until it is told; None when nothing is left to try (a grid is done)."""
        found = self._result("hone_study_ask")
        return None if found.get("exhausted") else StudyTrial(found["trial"], "running", found["params"], None)

    def tell(self, trial: StudyTrial | int, value: float | None) -> str:
        """The value of a trial; None or NaN: it failed. Returns its state now. A trial that was told already is refused."""
        number = trial.number if isinstance(trial, StudyTrial) else int(trial)
        state: str = self._result("hone_study_tell", number, math.nan if value is None else float(value))["state"]
        return state

    def describe(self) -> dict[str, Any]:
        """Sampler, direction, space, trials, and the best."""
        return self._result("hone_study_describe")

    @property
    def trials(self) -> list[StudyTrial]:
        """All of them by number, with what other programs have told meanwhile."""
        return [StudyTrial(**t) for t in self.describe()["trials"]]

    @property
    def best(self) -> StudyTrial | None:
        """The best one that is done, the first among equals; None while there is none."""
        about = self.describe()
        return None if about["best_trial"] is None else StudyTrial(**about["trials"][about["best_trial"]])

    def export(self, file: str | os.PathLike[str], *, name: str | None = None, force: bool = False) -> dict[str, Any]:
        """`export_study` of this one."""
        return export_study(self._path, file, name=name, force=force)


def export_study(
    study: str | os.PathLike[str], file: str | os.PathLike[str], *, name: str | None = None, force: bool = False
) -> dict[str, Any]:
    """Writes a study, of Study or of `Model.tune` (study=, or study.db in its run_dir), as Optuna's own storage: file.db is
    SQLite, file.log its journal. `optuna.load_study(study_name=name, storage=…)` goes on from there. What name is
    without being given is told in the result ("study_name"). The study is only read."""
    context = Context()
    values = {"optuna": file, "study_name": name, "force": force}

    def work(_: object) -> dict[str, Any]:
        with Params(context.handle, values, "export_study", lambda row: row.name in ("optuna", "study-name", "force")) as p:
            return result("hone_study_export", context.handle, os.fsencode(study), p.handle)

    found: dict[str, Any] = context.run(work)
    return found
