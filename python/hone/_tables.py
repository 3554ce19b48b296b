# SPDX-License-Identifier: MIT
"""pandas tables for data=, val_data= and the others: as CSV files for the time of a call, since Hone's encoders and imputers
are for tables. Missing values are empty cells; categories and text are text; True and False are 1 and 0."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping

NAMES = ("data", "val_data", "test_data", "pretrain_data")


@contextlib.contextmanager
def as_files(values: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """values, its tables as names of files."""
    found = dict(values)
    tables = {name: table for name in NAMES if hasattr(table := found.get(name), "to_csv") and hasattr(table, "columns")}
    if not tables:
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="hone-") as folder:
        for name, table in tables.items():
            flags = {column: "Int8" for column, kind in table.dtypes.items() if str(kind) in ("bool", "boolean")}
            found[name] = os.path.join(folder, f"{name}.csv")
            table.astype(flags).to_csv(found[name], index=False)
        yield found
