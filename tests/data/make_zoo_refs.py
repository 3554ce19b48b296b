#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Outputs of ONNX Runtime for the real models in ../shared/zoo, for tests/zoo/test_forward.c:

    make_zoo_refs.py ZOO OUT.txt

Inputs follow a formula the C test repeats: element i of input k is sin(0.37 i + k + 0.5) for floats, i % 3 for integers.
One record a model: "model FILE ROWS", then "output NAME COUNT v v v ..." with at most 96 numbers each, 9 digits (17 for
float64). Models that ONNX Runtime cannot run, or that draw random numbers, are left out with a comment."""
import glob
import gzip
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort

ROWS, KEEP = 3, 96


def input_for(value, k, rows):
    dtype = {1: np.float32, 11: np.float64, 6: np.int32, 7: np.int64}[value.type.tensor_type.elem_type]
    dims = []
    for at, d in enumerate(value.type.tensor_type.shape.dim):
        fixed = d.WhichOneof("value") == "dim_value" and d.dim_value > 0
        dims.append(d.dim_value if fixed else rows)
        assert fixed or at == 0, "an open dimension that is not the first"
    i = np.arange(int(np.prod(dims)), dtype=np.float64)
    x = np.sin(0.37 * i + k + 0.5) if np.issubdtype(dtype, np.floating) else i % 3
    return x.astype(dtype).reshape(dims)


def rows_of(inputs):
    for v in inputs:
        dims = v.type.tensor_type.shape.dim
        if len(dims) >= 2 and dims[0].WhichOneof("value") == "dim_value" and dims[0].dim_value > 0:
            return dims[0].dim_value
    if all(len(v.type.tensor_type.shape.dim) == 1 and v.type.tensor_type.shape.dim[0].dim_value > 0 for v in inputs):
        return 1
    return ROWS


def run(path):
    data = open(path, "rb").read()
    model = onnx.load_model_from_string(gzip.decompress(data) if path.endswith(".gz") else data)
    names = {i.name for i in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in names]
    rows = rows_of(inputs)
    feed = {v.name: input_for(v, k, rows) for k, v in enumerate(inputs)}
    if path.endswith(".gz"):
        session = ort.InferenceSession(model.SerializeToString())
    else:
        session = ort.InferenceSession(path)
    return rows, [(o.name, y) for o, y in zip(model.graph.output, session.run(None, feed))]


def main():
    zoo, out = sys.argv[1:]
    ort.set_default_logger_severity(4)
    with open(out, "w") as f:
        for path in sorted(glob.glob(zoo + "/*/*.onnx") + glob.glob(zoo + "/*/*.onnx.gz")):
            name = os.path.relpath(path, zoo)
            try:
                rows, outputs = run(path)
            except Exception as e:
                f.write("# %s: %s\n" % (name, str(e).split("\n")[0][:160]))
                continue
            f.write("model %s %d\n" % (name, rows))
            for o, y in outputs:
                digits = "%.17g" if y.dtype == np.float64 else "%.9g"
                flat = y.astype(np.float64).ravel()
                f.write("output %s %d %s\n" % (o, flat.size, " ".join(digits % v for v in flat[:KEEP])))


main()
