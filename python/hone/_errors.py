# SPDX-License-Identifier: MIT
"""One exception for all that Hone refuses, with subclasses that are also what Python would raise."""

from __future__ import annotations


class Error(Exception):
    """A call of the library failed.

    status: hone_status as a number, below 0.  name: "HONE_E_DATA".  where: file, node, tensor, row or option; "" when there is
    none.  text: what was found and what was wanted.  hint: what would help, or "".
    """

    def __init__(self, status: int, name: str, where: str, text: str, hint: str = "") -> None:
        super().__init__((where + ": " if where else "") + text + (f" ({hint})" if hint else ""))
        self.status, self.name, self.where, self.text, self.hint = status, name, where, text, hint

    def __reduce__(self):  # processes of a grid search send it to each other
        return type(self), (self.status, self.name, self.where, self.text, self.hint)


class UsageError(Error, ValueError):
    """Wrong use: an option, a value or the order of calls."""


class ModelError(Error, ValueError):
    """The model is malformed."""


class UnsupportedError(Error, NotImplementedError):
    """The model is valid but uses something that Hone does not support."""


class DataError(Error, ValueError):
    """The data are bad or do not fit the model."""


class InputOutputError(Error, OSError):
    """Reading or writing a file failed."""

    def __init__(self, status: int, name: str, where: str, text: str, hint: str = "") -> None:
        Error.__init__(self, status, name, where, text, hint)

    __str__ = Exception.__str__


class OutOfMemoryError(Error, MemoryError):
    """Out of memory."""


KINDS = {
    -1: OutOfMemoryError,
    -2: UsageError,
    -3: ModelError,
    -4: UnsupportedError,
    -6: DataError,
    -8: InputOutputError,
}


def usage(where: str, text: str, hint: str = "") -> UsageError:
    """Wrong use that is seen before the library is."""
    return UsageError(-2, "HONE_E_USAGE", where, text, hint)


def data(where: str, text: str, hint: str = "") -> DataError:
    """Bad data that are seen before the library sees them."""
    return DataError(-6, "HONE_E_DATA", where, text, hint)
