# SPDX-License-Identifier: MIT
"""The ctypes declarations are those of hone.h: structs field by field, functions argument by argument, numbers of types."""

import ctypes
import re

from _common import ROOT, Case, main

from hone import _arrays, _library

TYPES = {
    "size_t": ctypes.c_size_t,
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "double": ctypes.c_double,
    "hone_dtype": ctypes.c_int,
    "hone_role": ctypes.c_int,
    "hone_status": ctypes.c_int,
    "hone_progress": _library.Progress,
}
POINTED = {
    "hone_metric*": _library.Metric,
    "hone_setting*": _library.Setting,
    "hone_fold*": _library.Fold,
    "double*": ctypes.c_double,
}
text = "".join((ROOT / p).read_text() for p in ("ops/base/hone_status.h", "plugin/hone.h"))
header = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.S))


def fields(name):
    """(name, type as written with its stars) of a struct's members; functions are pointers."""
    body = re.search(rf"typedef struct {name} \{{(.*?)\}} {name};", header).group(1)
    found = []
    for member in filter(None, (m.strip() for m in body.split(";"))):
        function = re.search(r"\(\*(\w+)\)", member)
        if function:
            found.append((function.group(1), "function"))
            continue
        kind, names = re.match(r"((?:const )?\w+ )(.*)", member).groups()
        for one in names.split(","):
            stars, field, array = re.match(r"\s*(\**)(\w+)(\[\d+\])?", one).groups()
            found.append((field, kind.strip().replace("const ", "") + stars + (array or "")))
    return found


def fits(written, declared):
    if written == "function" or written == "void*":
        return declared is ctypes.c_void_p
    if written == "char*":
        return declared is ctypes.c_char_p
    if written in POINTED:
        return declared is ctypes.POINTER(POINTED[written])
    if written.startswith("char["):
        return declared is ctypes.c_char * int(written[5:-1])
    return declared is TYPES[written]


class Declarations(Case):
    def test_structs(self):
        structs = {
            "hone_error": _library.HoneError,
            "hone_context_opts": _library.ContextOpts,
            "hone_param_info": _library.ParamInfo,
            "hone_array": _library.Array,
            "hone_output": _library.Output,
            "hone_metric": _library.Metric,
            "hone_progress": _library.Progress,
            "hone_callbacks": _library.Callbacks,
            "hone_trial": _library.Trial,
            "hone_setting": _library.Setting,
            "hone_fold": _library.Fold,
            "hone_tune_callbacks": _library.TuneCallbacks,
        }
        for name, declared in structs.items():
            with self.subTest(name):
                wanted = fields(name)
                if wanted[0][0] == "size":  # such structs may grow, without harm to those who know less of them
                    wanted = wanted[: len(declared._fields_)]
                self.assertEqual([f for f, _ in wanted], [f[0] for f in declared._fields_])
                for (field, written), own in zip(wanted, declared._fields_, strict=True):
                    self.assertTrue(fits(written, own[1]), f"{field}: {written} against {own[1]}")

    def test_functions(self):
        found = dict(re.findall(r"(?:HONE_CALL|HONE_API)[\w\s\*]*?\b(hone_\w+)\(((?:[^()]|\([^()]*\))*)\);", header))
        for name, arguments in _library._STATUS.items():
            with self.subTest(name):
                plain = re.sub(r"\([^()]*\)", "", found[name].replace("(*", "*").replace(")(", "("))
                self.assertEqual(len(plain.split(",")), len(arguments) + 1, found[name])
                self.assertIn("hone_error *err", found[name])
        for name, (_, arguments) in _library._PLAIN.items():
            with self.subTest(name):
                wanted = 0 if found[name].strip() == "void" else len(found[name].split(","))
                self.assertEqual(wanted, len(arguments), found[name])

    def test_numbers(self):
        numbers = dict(re.findall(r"(HONE_\w+) = (\d+)", header))
        for name, number in _arrays.TYPES.items():
            short = re.sub(
                r"(bfloat|float|uint|int)", lambda m: {"bfloat": "BF", "float": "F", "uint": "U", "int": "I"}[m[0]], name
            )
            self.assertEqual(int(numbers["HONE_" + short]), number)
        self.assertEqual(int(numbers["HONE_STR"]), _arrays.TEXT)
        statuses = dict(re.findall(r"X\((HONE_E_\w+), (-\d+)", header))
        for number in _library._errors.KINDS:
            self.assertIn(str(number), statuses.values())
        self.assertEqual(statuses["HONE_E_USAGE"], "-2")
        self.assertEqual(statuses["HONE_E_DATA"], "-6")


if __name__ == "__main__":
    main()
