# SPDX-License-Identifier: MIT
"""The library's one table of parameters, and Python values as the text that it reads."""

from __future__ import annotations

import ctypes
import numbers
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from . import _errors
from ._library import ParamInfo, call, lib

# rows that the command reads and the library does not
OF_THE_COMMAND = {"tensorboard": "progress= is called with the same figures"}


@dataclass(frozen=True)
class Param:
    """A row of the table: an option of the command line, a keyword of `train` and the others with _ for -."""

    name: str
    group: str
    type: str
    """"float", "int", "bool", "text", "choice", "list" (of several values)"""
    initial: str
    """the default as text, "" when there is none"""
    choices: str
    when: str
    """"optimizer=momentum|nesterov": it matters only then"""
    help: str
    low: float
    high: float
    low_open: bool
    high_open: bool
    log_scale: bool


@cache
def params() -> tuple[Param, ...]:
    """The table of parameters, in the order of the help page."""
    rows: list[Param] = []
    info = ParamInfo(ctypes.sizeof(ParamInfo))
    while lib.hone_param_at(len(rows), info):
        values = {name: getattr(info, name) for name in Param.__dataclass_fields__}
        for name, v in values.items():
            if isinstance(v, bytes):
                values[name] = v.decode()
        for name in ("low_open", "high_open", "log_scale"):
            values[name] = bool(values[name])
        rows.append(Param(**values))
    return tuple(rows)


def groups() -> dict[str, Param]:
    """By keyword."""
    return {row.name.replace("-", "_"): row for row in params()}


def text(name: str, value: object) -> str:
    """One value as the command line would have it."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of NumPy's
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    raise _errors.usage(name, f"found {type(value).__name__}, wanted text, a number, True or False")


def word(name: str, value: object) -> str:
    """A choice as a domain's text has it."""
    return re.sub(r'([,|&?\\" \t])', r"\\\1", text(name, value))


def several(value: object) -> bool:
    """A list, a tuple, a range or an array: choices."""
    return isinstance(value, (list, tuple, range)) or getattr(value, "ndim", 0) == 1


# of a domain as a mapping, as a space in YAML has them
DOMAIN_KEYS = ("type", "low", "high", "log", "step", "points", "choices", "when")


def condition(name: str, when: object) -> str:
    """{"optimizer": ["momentum"]} as ?optimizer=momentum."""
    if not isinstance(when, Mapping):
        raise _errors.usage(name, f"when: found {type(when).__name__}, wanted a mapping {{parameter: [value, …]}}")
    parts = []
    for parent, values in when.items():
        values = list(values) if several(values) else [values]
        if not values:
            raise _errors.usage(name, f"when: found no value of {parent}, wanted some")
        parts.append(f"{parent}=" + "|".join(word(name, v) for v in values))
    return ("?" + "&".join(parts)) if parts else ""


def mapping_domain(name: str, value: Mapping[str, object]) -> str:
    """A domain as space.yaml has it: {"type": "float", "low": 0.5, "high": 0.9, "when": {"optimizer": ["momentum"]}}."""
    for key in value:
        if key not in DOMAIN_KEYS:
            raise _errors.usage(name, f"found {key!r}, wanted {', '.join(DOMAIN_KEYS[:-1])} or when")
    kind = value.get("type", "categorical" if "choices" in value else "float")
    has = [key for key in DOMAIN_KEYS[1:6] if value.get(key) is not None]
    if kind in ("int", "float"):
        if "choices" in value:
            raise _errors.usage(name, "choices belong to type categorical")
        if "low" not in has or "high" not in has:
            raise _errors.usage(name, "wanted low and high")
        line = f"{kind}:{'log:' if value.get('log') else ''}{text(name, value['low'])}..{text(name, value['high'])}"
        line += "".join(f":{key}={text(name, value[key])}" for key in ("step", "points") if key in has)
    elif kind in ("categorical", "bool"):
        if has:
            raise _errors.usage(name, f"found {has[0]}: bounds belong to type float or int")
        if kind == "categorical" and not several(value.get("choices")):
            raise _errors.usage(name, "wanted choices, a list")
        line = domain(name, list(value["choices"])) if "choices" in value else "bool"
    else:
        raise _errors.usage(name, f"type: found {kind!r}, wanted float, int, categorical or bool")
    return line + (condition(name, value["when"]) if value.get("when") else "")


def domain(name: str, value: object) -> str:
    """A domain: text as on a command line, [choices] (a range or an array, too), (low, high) or (low, high, "log"), or a mapping
    as space.yaml has them."""
    if isinstance(value, Mapping):
        return mapping_domain(name, value)
    if isinstance(value, tuple) and len(value) in (2, 3) and all(isinstance(v, numbers.Real) for v in value[:2]):
        low, high, *more = value
        if more not in ([], ["log"]):
            raise _errors.usage(name, f"found {more[0]!r}, wanted (low, high) or (low, high, 'log')")
        whole = isinstance(low, numbers.Integral) and isinstance(high, numbers.Integral)
        return ("int:" if whole else "") + ("log:" if more else "") + f"{text(name, low)}..{text(name, high)}"
    if several(value):
        choices = [word(name, v) for v in value]
        return ("choice:" if len(choices) == 1 else "") + ",".join(choices)
    return text(name, value)


def items(name: str, value: object) -> Iterator[str]:
    """The values of one keyword, each as text: a list's items; {"lr": …} as lr=… ."""
    if isinstance(value, Mapping):
        for key, v in value.items():
            place = f"{name}: {key}" if isinstance(v, Mapping) else name
            yield f"{key}={domain(place, v) if name == 'search' else text(name, v)}"
    elif isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        yield text(name, value)
    else:
        for v in value:
            yield ",".join(items(name, v)) if isinstance(v, Mapping) else text(name, v)


class Params:
    """hone_params as a context manager. `allowed` says of a keyword's row whether this call reads it."""

    def __init__(self, context: ctypes.c_void_p, values: Mapping[str, object], job: str, allowed) -> None:
        self.handle = ctypes.c_void_p()
        call("hone_params_create", context, self.handle)
        try:
            for name, value in values.items():
                if value is not None:
                    self._set(name, value, job, allowed)
        except BaseException:
            lib.hone_params_destroy(self.handle)
            raise

    def _set(self, name: str, value: object, job: str, allowed) -> None:
        name = name.replace("-", "_")
        row = groups().get(name)
        if row is None:  # the library says what is close to it
            call("hone_params_set", self.handle, name.encode(), b"")
        if name in OF_THE_COMMAND:
            raise _errors.usage(name, "is an option of the command only", OF_THE_COMMAND[name])
        if row is None or not allowed(row):
            raise _errors.usage(name, f"{job} has no use for it", f"group {row.group}: {row.help}" if row else "")
        texts = list(items(name, value))
        if row.type != "list" and len(texts) != 1:
            raise _errors.usage(name, f"found {len(texts)} values, wanted one")
        for one in texts:
            call("hone_params_set", self.handle, name.encode(), one.encode())

    def __enter__(self) -> Params:
        return self

    def __exit__(self, *_) -> None:
        lib.hone_params_destroy(self.handle)
