#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""More of ONNX's own test vectors through `hone verify`: the node tests whose operator is written out as a graph of simpler
ones (`_expanded`), the small graphs under simple, and what PyTorch once exported (pytorch-operator, pytorch-converted; opset 6
files, taken to opset 9 by onnx's version converter). A case passes or stands in the lists below with the reason Hone gives; a
change in either direction fails.

usage: graph_vectors.py BUILD_FOLDER [PART-OF-A-CASE'S-NAME]
"""
import json
import pathlib
import re
import shutil
import sys

import _common
from _common import check, folder, hone, onnx

DATA = pathlib.Path(onnx.__file__).parent / "backend/test/data"
OPERATORS = """Add BatchNormalization Clip Concat Div Dropout Elu Erf Flatten Gelu Gemm Identity LayerNormalization LeakyRelu
    LogSoftmax MatMul Mul Relu Reshape Selu Sigmoid Slice Softmax Softplus Split Squeeze Sub Tanh Transpose Unsqueeze""".split()
# case (a pattern over the whole name): what the refusal says
REFUSED = {
    r"test_clip_default_int8_(max|min)_expanded": "wanted a float type",
    r"test_expand_shape_model[1-4]": "Expand: the shape",
    r"test_sequence_model[1-68]": "Sequence",
    r"test_shrink": "Shrink is not supported",
    r"test_strnorm_model_.*": "StringNormalizer is not supported",
}
# of the many pytorch-* cases the ones an MLP is made of; the others are convolutions, pools, embeddings, padding, and PReLU with
# a slope a channel, which the converter does not carry over
OF_AN_MLP = """BatchNorm1d_3d_input_eval ELU GLU GLU_dim LeakyReLU LeakyReLU_with_negval Linear Linear_no_bias LogSoftmax PReLU_1d
    PReLU_2d ReLU SELU Sigmoid Softmax Softmin Softplus Softsign Tanh log_softmax_dim3
    log_softmax_lastdim softmax_functional_dim3 softmax_lastdim operator_add_broadcast operator_add_size1_broadcast
    operator_add_size1_right_broadcast operator_add_size1_singleton_broadcast operator_addconstant operator_addmm operator_basic
    operator_chunk operator_clip operator_concat2 operator_flatten operator_mm operator_params operator_permute2 operator_pow
    operator_reduced_mean operator_reduced_mean_keepdim operator_selu operator_sqrt operator_view""".split()


def cases():
    for case in sorted((DATA / "node").glob("*_expanded*")):
        base = DATA / "node" / re.sub(r"_expanded.*", "", case.name)
        graph = onnx.load(str(base / "model.onnx")).graph if (base / "model.onnx").exists() else None
        if graph and len(graph.node) == 1 and graph.node[0].op_type in OPERATORS and not graph.node[0].domain:
            yield case
    yield from sorted((DATA / "simple").iterdir())
    for kind in ("pytorch-converted", "pytorch-operator"):
        for case in sorted((DATA / kind).iterdir()):
            if case.name[5:] in OF_AN_MLP:
                yield case


def model_of(case, tmp):
    """The case's model, converted where it is older than what Hone reads."""
    m = onnx.load(str(case / "model.onnx"))
    if m.opset_import[0].version >= 7:
        return case / "model.onnx"
    out = tmp / f"{case.name}.onnx"
    m.ir_version = max(m.ir_version, 4)
    onnx.save(onnx.version_converter.convert_version(m, 9), str(out))
    return out


def one(case, tmp):
    """'' when every vector passed, else what Hone said."""
    sets = sorted(case.glob("test_data_set_*"))
    r = hone("verify", model_of(case, tmp), *sets, "--json")
    try:
        j = json.loads(r.stdout)
    except json.JSONDecodeError:
        return f"exit {r.returncode}: {r.stderr[-300:]}"
    if r.returncode == 0 and j["passed"] == j["cases"] == len(sets) > 0:
        return ""
    return j["error"]["text"] if "error" in j else f"exit {r.returncode}: {[x.get('first') for x in j.get('rows', [])]}"


def main():
    if not (DATA / "node").is_dir():
        _common.skip(f"onnx {onnx.__version__} carries no test vectors, wanted 1.22 or older")
    tmp, ran, used, names = folder(), 0, set(), set()
    for case in cases():
        names.add(case.name[5:])
        if len(sys.argv) > 2 and sys.argv[2] not in case.name:
            continue
        ran += 1
        said = one(case, tmp)
        pattern = next((p for p in REFUSED if re.fullmatch(p, case.name)), None)
        used.add(pattern)
        if pattern is None:
            check(case.name, said == "", said)
        else:
            check(f"{case.name} is refused as listed", REFUSED[pattern] in said, said or "it passes now: take it off the list")
    if len(sys.argv) < 3:
        check("every line of the list is used", used >= set(REFUSED), set(REFUSED) - used)
        check("every case of an MLP is there", set(OF_AN_MLP) <= names, set(OF_AN_MLP) - names)
        check("enough cases", ran >= 150, ran)
    shutil.rmtree(tmp)
    _common.finish("graph vectors")


main()
