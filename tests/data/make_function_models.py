#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models that define functions of their own, for tests/interop/functions.py, tests/onnx/test_save.c and the fuzz corpus:

    python make_function_models.py          (needs torch, onnx, onnxscript; recorded with torch 2.11, onnx 1.22, onnxscript 0.7)

Writes tests/data/functions/*.onnx and functions.json: what each one shows; how many numbers it can train, how many tensors are
used several times on purpose and whether training keeps the functions; or the words with which it is refused.
"""
import io
import json
import pathlib
import warnings

import numpy as np
import onnx
import onnxscript
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import FLOAT, opset18
from torch import nn

OUT = pathlib.Path(__file__).parent / "functions"
OPSET = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]
rng = np.random.default_rng(11)
told = {}


def weights(*shape):
    return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def call(function, inputs, outputs, name="", **attributes):
    return helper.make_node(function, inputs, outputs, name=name, domain="my", **attributes)


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def reference(node, name, to, kind):
    """The node with an attribute that refers to the function's."""
    a = node.attribute.add()
    a.name, a.ref_attr_name, a.type = name, to, kind
    return node


def function(name, inputs, outputs, nodes, opset=None, attributes=(), defaults=()):
    return helper.make_function("my", name, inputs, outputs, nodes, opset or OPSET, list(attributes), list(defaults))


def model(nodes, functions, tensors=None, width=3, ir=10, opset=18):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
                              [numpy_helper.from_array(v, k) for k, v in (tensors or {}).items()])
    return helper.make_model(graph, functions=functions, ir_version=ir, producer_name="test",
                             opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("my", 1)])


def save(name, proto, shows, trainable, ties=0, kept=True):
    (OUT / f"{name}.onnx").write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    told[name] = {"shows": shows, "trainable": trainable, "ties": ties, "kept": kept}


def refuse(name, proto, words):
    (OUT / f"{name}.onnx").write_bytes(proto.SerializeToString())
    told[name] = {"refused": words}


LINEAR = function("Linear", ["x", "w", "b"], ["y"], [helper.make_node("Gemm", ["x", "w", "b"], ["y"])])


def exported(net, modules):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), torch.zeros(2, 6), buffer, opset_version=15, dynamo=False, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, export_modules_as_functions=modules)
    return buffer.getvalue()


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Whole(nn.Module):
    """Exports as one node; fresh BatchNorm, so its statistics are Identity aliases."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x):
        return self.net(x)


def from_torch():
    torch.manual_seed(3)
    save("torch_linear", exported(Plain(), {nn.Linear}), "PyTorch: each Linear a function", 119)
    save("torch_whole", exported(Whole(), True), "PyTorch: the whole net is one call of functions in functions", 145)


def from_onnxscript():
    domain = onnxscript.values.Opset("my.script", 1)
    first, second = weights(6, 8), weights(8, 3)

    @onnxscript.script(domain, default_opset=opset18)
    def layer(x, w, b, slope: float = 0.2):
        return opset18.LeakyRelu(opset18.MatMul(x, w) + b, alpha=slope)

    @onnxscript.script(default_opset=opset18)
    def net(x: FLOAT["batch", 6], w1: FLOAT[6, 8], b1: FLOAT[8], w2: FLOAT[8, 3], b2: FLOAT[3]) -> FLOAT["batch", 3]:
        h = layer(x, w1, b1)
        return opset18.Tanh(layer(h, w2, b2, slope=0.5))

    proto = net.to_model_proto(ir_version=10)
    values = {"w1": first, "b1": weights(8), "w2": second, "b2": weights(3)}
    for v in [v for v in proto.graph.input if v.name in values]:
        proto.graph.input.remove(v)
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in values.items())
    save("script", proto, "onnxscript: attributes with defaults, unnamed calls", 83)


def by_hand():
    own = function("Own", ["x"], ["y"], [constant("w", weights(6, 6)), constant("b", np.zeros(6, np.float32)),
                                         helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])])
    head = {"w": weights(6, 3), "b": weights(3)}
    save("own_weights", model([call("Own", ["x"], ["a"], "first"), call("Own", ["a"], ["h"], "second"), call("Linear", ["h", "w", "b"], ["y"])],
                              [LINEAR, own], head),
         "weights inside a body that is called twice: one place in the file, one parameter", 63, ties=2)
    save("tied", model([call("Linear", ["x", "w", "b"], ["a"], "one"), helper.make_node("Relu", ["a"], ["r"]),
                        call("Linear", ["r", "w", "b"], ["h"], "two"), call("Linear", ["h", "v", "c"], ["y"], "three")],
                       [LINEAR], {"w": weights(6, 6), "b": weights(6), "v": weights(6, 3), "c": weights(3)}),
         "two calls with the same initializers, one with others", 63, ties=2)
    inner = function("Inner", ["x", "w", "b"], ["y"],
                     [reference(helper.make_node("Gemm", ["x", "w", "b"], ["h"]), "alpha", "scale", 1),
                      reference(helper.make_node("Elu", ["h"], ["e"]), "alpha", "bend", 1),
                      reference(helper.make_node("LeakyRelu", ["e"], ["y"]), "alpha", "absent", 1)],
                     attributes=["scale", "absent"], defaults=[helper.make_attribute("bend", 0.5)])
    outer = function("Outer", ["x", "w", "b"], ["y"], [reference(call("Inner", ["x", "w", "b"], ["y"], "in"), "scale", "s", 1)], attributes=["s"])
    save("attributes", model([call("Outer", ["x", "w", "b"], ["a"], "o", s=0.5), call("Inner", ["a", "v", "c"], ["y"], "i", scale=2.0, bend=1.5)],
                             [outer, inner], {"w": weights(6, 5), "b": weights(5), "v": weights(5, 3), "c": weights(3)}),
         "attributes of calls, through two functions; defaults; one that is absent", 53)
    optional = function("Clamp", ["x", "lo", "hi"], ["y", "other"], [helper.make_node("Clip", ["x", "lo", "hi"], ["y"]), helper.make_node("Neg", ["y"], ["other"])])
    save("optional", model([call("Linear", ["x", "w", "b"], ["a"], "fc"), call("Clamp", ["a", "", "top"], ["c", ""], "clamp"), call("Linear", ["c", "v"], ["y"], "last")],
                           [LINEAR, optional], {"w": weights(6, 5), "b": weights(5), "v": weights(5, 3), "top": np.array(1, np.float32)}),
         "an input left out, one empty, an output not taken", 50)
    old = function("Old", ["x", "w", "b"], ["y"], [helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1), helper.make_node("Softmax", ["h"], ["y"], axis=1)],
                   opset=[helper.make_opsetid("", 13)])
    save("older_opset", model([call("Old", ["x", "w", "b"], ["y"], "old")], [old], {"w": weights(3, 6), "b": weights(3)}),
         "a function of opset 13 in a model of opset 18", 21)
    plain = function("Act", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])])
    other = function("Act", ["x"], ["y"], [helper.make_node("Sigmoid", ["x"], ["y"])])
    other.overload = "smooth"
    second = call("Act", ["b"], ["c"], "smooth")
    second.overload = "smooth"
    save("overload", model([call("Linear", ["x", "w"], ["a"], "l1"), call("Act", ["a"], ["b"], "sharp"), second, call("Linear", ["c", "v"], ["y"], "l2")],
                           [other, LINEAR, plain], {"w": weights(6, 5), "v": weights(5, 3)}),
         "two functions of one name that differ in their overload", 45)
    tower = [LINEAR] + [function(f"F{i}", ["x", "w", "b"], ["y"], [call(f"F{i - 1}" if i else "Linear", ["x", "w", "b"], ["y"])]) for i in range(20)]
    save("tower", model([call("F19", ["x", "w", "b"], ["y"], "top")], tower[::-1], {"w": weights(6, 3), "b": weights(3)}),
         "twenty functions, each calling the next; the callers first", 21)
    norm = function("Norm", ["x"], ["y"], [constant("s", np.ones(6, np.float32)), constant("o", np.zeros(6, np.float32)), constant("m", np.zeros(6, np.float32)),
                                           constant("v", np.ones(6, np.float32)), helper.make_node("BatchNormalization", ["x", "s", "o", "m", "v"], ["y"])])
    save("statistics", model([call("Norm", ["x"], ["a"], "n1"), call("Linear", ["a", "w", "c"], ["h"], "l1"), call("Norm", ["h"], ["n"], "n2"),
                              call("Linear", ["n", "u", "b"], ["y"], "l2")], [norm, LINEAR],
                             {"w": weights(6, 6), "c": weights(6), "u": weights(6, 3), "b": weights(3)}),
         "running statistics inside a body that is called twice: they come apart, which writes the calls out", 63, ties=2, kept=False)
    idle = function("Idle", ["x"], ["y"], [call("Linear", ["x", "", ""], ["y"])])
    save("unused", model([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], [LINEAR, idle], {"w": weights(6, 3), "b": weights(3)}),
         "functions that nothing calls", 21)


def chain(levels, times):
    """Function i calls the one below it `times` times, one after the other."""
    fs = []
    for i in range(levels + 1):
        inner = [f"v{k}" for k in range(times)] + ["y"]
        nodes = [call(f"F{i - 1}", [inner[k]], [inner[k + 1]]) for k in range(times)] if i else [helper.make_node("Neg", ["v0"], ["y"])]
        fs.append(function(f"F{i}", ["v0"], ["y"], nodes))
    return model([call(f"F{levels}", ["x"], ["y"], "top")], fs, width=6)


def hostile():
    refuse("bomb_2_40", chain(40, 2), "expanding the calls of functions would take more than 48 MiB")
    refuse("bomb_30_9", chain(9, 30), "expanding the calls of functions would take more than 48 MiB")
    refuse("deep", chain(100, 1), "functions call functions more than 100 deep")
    refuse("recursive", model([call("F", ["x"], ["y"])], [function("F", ["x"], ["y"], [call("F", ["x"], ["y"])])]), "the function calls itself")
    refuse("ring", model([call("F", ["x"], ["y"])], [function("F", ["x"], ["y"], [call("G", ["x"], ["y"])]), function("G", ["x"], ["y"], [call("F", ["x"], ["y"])])]),
           "the function calls itself, directly or through others")
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "b", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)])
    choice = function("F", ["x", "c"], ["y"], [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)])
    refuse("choice", model([call("F", ["x", "c"], ["y"], "f")], [choice], {"c": np.array(True)}, width=6), "If: it has several outputs or stands in a function")


def main():
    OUT.mkdir(exist_ok=True)
    from_torch()
    from_onnxscript()
    by_hand()
    hostile()
    (OUT / "functions.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
