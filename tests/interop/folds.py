#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scikit-learn's folds for a list of (rows, folds, seed, balance): the recorded ones that tests/tune/test_folds.c compares
with (tests/data/folds_refs.h) against those of the scikit-learn that is installed. `folds.py --write` records them again.
Class and group numbers are written as characters from '0' on, folds too (BOTH: the classes, then the groups); seed -1 means
unshuffled."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "tests" / "data" / "folds_refs.h"
try:
    import numpy as np
    from sklearn.model_selection import (GroupKFold, KFold, RepeatedKFold, RepeatedStratifiedKFold, StratifiedGroupKFold,
                                         StratifiedKFold)
except ImportError as missing:
    print(f"skipped: {missing.name} is not installed")
    sys.exit(77)

PLAIN = [(2, 2, -1), (2, 2, 0), (10, 3, -1), (11, 5, 0), (23, 4, 7), (64, 8, 42), (100, 10, 123456), (257, 5, 4294967295),
         (700, 2, 1), (1372, 5, 0)]
# rows, folds, seed, weights of the classes in order of their numbers
STRATIFIED = [(12, 3, -1, (1, 1)), (30, 5, 0, (9, 1)), (50, 5, 1, (1, 1, 1)), (61, 4, 42, (5, 3, 1)),
              (100, 10, 2023, (7, 2, 1)), (150, 5, 0, (1, 1, 1)), (150, 3, -1, (1, 1, 1)), (178, 5, 3, (59, 71, 48)),
              (200, 2, 99, (1,)), (333, 7, 4294967295, (20, 5, 5, 2, 1)), (1000, 5, 0, (7, 3)), (47, 6, 5, (30, 15, 2))]
# rows, folds, seed, repetitions, weights of the classes (none: not stratified)
REPEATED = [(29, 3, 4, 3, ()), (100, 5, 0, 2, ()), (80, 4, 11, 3, (3, 1, 1))]
# rows, folds, groups: at most 16 groups, where scikit-learn's order among equal sizes is that of a stable sort
GROUPS = [(20, 2, 4), (40, 3, 8), (60, 5, 16), (33, 4, 5), (90, 3, 16)]
# rows, folds, seed, repetitions, groups, weights of the classes; a class of weight 0 is a number that no row has. One class, and
# eight and more, are added up in other orders
BOTH = [(20, 2, -1, 1, 4, (1, 1)), (60, 5, 0, 1, 16, (3, 1)), (90, 3, 7, 1, 11, (5, 3, 1)), (150, 5, 42, 3, 40, (1, 1, 1)),
        (333, 7, 4294967295, 2, 70, (20, 5, 5, 2, 1)), (200, 10, 1, 2, 60, (1,)), (200, 4, -1, 1, 33, (4, 0, 2, 1)),
        (500, 6, 11, 2, 61, (9, 8, 7, 6, 5, 4, 3, 2, 1)), (400, 9, 5, 1, 75, tuple(range(1, 24))), (64, 5, 2023, 1, 64, (2, 1)),
        (48, 4, -1, 1, 5, (7, 2))]


def classes_of(n, weights):
    """Classes in a fixed scatter, so that their order of appearance is not that of their numbers."""
    share = np.cumsum(weights) / np.sum(weights)
    at = (np.arange(n) * 0.6180339887498949 + 0.77) % 1.0
    return np.searchsorted(share, at, side="right").astype(int)


def groups_of(n, groups):
    return (np.arange(n) * 7 // 3) % groups


def fold_ids(splitter, n, y=None, groups=None):
    fold = np.full(n, -1)
    for k, (_, test) in enumerate(splitter.split(np.zeros((n, 1)), y, groups)):
        fold[test] = k
    assert (fold >= 0).all()
    return fold


def text(values):
    return "".join(chr(48 + int(v)) for v in values)


def seeded(kind, k, seed):
    return kind(k) if seed < 0 else kind(k, shuffle=True, random_state=seed)


def cases():
    for n, k, seed in PLAIN:
        yield "PLAIN", n, k, seed, "", text(fold_ids(seeded(KFold, k, seed), n))
    for n, k, seed, weights in STRATIFIED:
        y = classes_of(n, weights)
        yield "STRATIFIED", n, k, seed, text(y), text(fold_ids(seeded(StratifiedKFold, k, seed), n, y))
    for n, k, seed, repeats, weights in REPEATED:
        y = classes_of(n, weights) if weights else np.zeros(n, int)
        cv = RepeatedStratifiedKFold if weights else RepeatedKFold
        splits = list(cv(n_splits=k, n_repeats=repeats, random_state=seed).split(np.zeros((n, 1)), y))
        for r in range(repeats):
            fold = np.full(n, -1)
            for i in range(k):
                fold[splits[r * k + i][1]] = i
            yield "STRATIFIED" if weights else "PLAIN", n, k, seed, text(y), text(fold), r
    for n, k, groups in GROUPS:
        g = groups_of(n, groups)
        yield "GROUPED", n, k, -1, text(g), text(fold_ids(GroupKFold(k), n, groups=g))
    for n, k, seed, repeats, groups, weights in BOTH:
        y, g = classes_of(n, weights), np.unique(groups_of(n, groups), return_inverse=True)[1]
        stream = np.random.RandomState(max(seed, 0))
        for r in range(repeats):
            cv = StratifiedGroupKFold(k) if seed < 0 else StratifiedGroupKFold(k, shuffle=True, random_state=stream)
            yield "BOTH", n, k, seed, text(y) + text(g), text(fold_ids(cv, n, y, g)), r


def quoted(s):
    s = s.replace("\\", "\\\\").replace("?", "\\?")
    lines, at = [], 0
    while at < len(s):
        end = min(at + 90, len(s))
        while end < len(s) and s[end - 1] == "\\":
            end += 1
        lines.append(f'"{s[at:end]}"')
        at = end
    return "\n      ".join(lines) or '""'


def header():
    out = ["/* SPDX-License-Identifier: MIT", " *",
           " * scikit-learn's folds, recorded by tests/interop/folds.py, which says how to read them. */",
           "/* clang-format off */",
           "static const struct fold_ref {", "    enum { PLAIN, STRATIFIED, GROUPED, BOTH } kind;", "    int n, k, repeat;",
           "    long long seed;", "    const char *labels, *folds;", "} fold_refs[] = {"]
    for kind, n, k, seed, labels, folds, *repeat in cases():
        out.append(f"    {{ {kind}, {n}, {k}, {repeat[0] if repeat else 0}, {seed},\n      {quoted(labels)},\n      {quoted(folds)} }},")
    return "\n".join(out + ["};", "/* clang-format on */", ""])


if "--write" in sys.argv:
    FILE.write_text(header())
    print(f"wrote {FILE}")
    sys.exit(0)
recorded, now = FILE.read_text(), header()
count = len(list(cases()))
if recorded != now:
    print(f"FAILED: the recorded folds are not those of the installed scikit-learn ({count} cases)")
    sys.exit(1)
print(f"folds: {count} cases as scikit-learn's")
