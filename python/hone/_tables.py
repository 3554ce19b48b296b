# SPDX-License-Identifier: MIT
"""pandas tables for data=, val_data= and the others: as CSV files for the time of a call, since Hone's encoders and imputers
are for tables. Missing values are empty cells; categories and text are text; True and False are 1 and 0. Columns that are only
counted, as in a frame made of an array, have no names, and none travel with the model. Errors name the parameter, not the
file, whose first row are the names."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping

from . import _errors

NAMES = ("data", "val_data", "test_data", "pretrain_data")
WEIGHTS = ("sample_weights", "val_sample_weights", "test_sample_weights")  # a column's name, or a file


def is_counted(table: object) -> bool:
    return list(table.columns) == list(range(len(table.columns))) and all(not isinstance(c, bool) for c in table.columns)


def _is_number(value: object) -> bool:
    try:
        return float(str(value)) == float(str(value))
    except ValueError:
        return False


def _is_plain(table: object) -> bool:
    """Nobody could take its names for a row: names are text above numbers."""
    named = not any(_is_number(c) for c in table.columns)
    return named and any(map(_is_number, table.head(1).to_numpy().ravel()))


def _files(values: Mapping[str, object], tables: Mapping[str, object]) -> list[str]:
    """The other parameters that name a CSV file."""
    found = [name for name in NAMES if values.get(name) is not None and name not in tables]
    return found + [name for name in WEIGHTS if str(values.get(name)).lower().endswith((".csv", ".csv.gz", ".tsv", ".txt"))]


def _header(values: Mapping[str, object], tables: Mapping[str, object]) -> str:
    """Whether all files of the call begin with names; a guess is left only to where it cannot go wrong for the tables."""
    given = values.get("header")
    if given not in (None, "auto"):
        return str(given)
    files = _files(values, tables)
    if not files:
        return "no" if all(map(is_counted, tables.values())) else "yes"
    for name, table in tables.items():
        if not _is_plain(table):
            what = f"{files[0]} is a file and {name} a table that does not show by itself where its names end"
            raise _errors.usage("header", what, "header='yes' if the file begins with names, else header='no'")
    return "auto"


def _check(name: str, table: object) -> None:
    if getattr(table.columns, "nlevels", 1) > 1:
        raise _errors.data(name, f"its columns have {table.columns.nlevels} levels of names, wanted one")


def _named(why: _errors.Error, paths: Mapping[str, str]) -> _errors.Error:
    """The error as it would be if the parameter's name were the file's."""
    parts = [why.where, why.text, why.hint]
    for name, path in paths.items():
        parts = [part.replace(path, name) for part in parts]
    return type(why)(why.status, why.name, *parts)


@contextlib.contextmanager
def as_files(values: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """values, its tables as names of files."""
    found = dict(values)
    tables = {name: table for name in NAMES if hasattr(table := found.get(name), "to_csv") and hasattr(table, "columns")}
    if not tables:
        yield found
        return
    found["header"] = _header(found, tables)
    with tempfile.TemporaryDirectory(prefix="hone-") as folder:
        paths = {name: os.path.join(folder, f"{name}.csv") for name in tables}
        sign = str(found.get("decimal") or ".")[:1]
        for name, table in tables.items():
            _check(name, table)
            flags = {column: "Int8" for column, kind in table.dtypes.items() if str(kind) in ("bool", "boolean")}
            table.astype(flags).to_csv(paths[name], index=False, header=found["header"] != "no", decimal=sign)
        found.update(paths)
        try:
            yield found
        except _errors.Error as why:
            raise _named(why, paths) from None
