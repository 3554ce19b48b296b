# SPDX-License-Identifier: MIT
"""ONNX models for features.py, written without any package: the few fields of the format that a small graph has."""
import random
import struct

FLOAT, HALF = 1, 10
PACKED = {FLOAT: "f", HALF: "e"}


def number(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def put(field, value):
    """One field: a number, a text, or what was put together before."""
    if isinstance(value, int):
        return number(field << 3) + number(value)
    if isinstance(value, float):
        return number(field << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return number(field << 3 | 2) + number(len(value)) + value


def attribute(name, value):
    if isinstance(value, list):
        return put(5, put(1, name) + b"".join(put(8, v) for v in value) + put(20, 7))
    return put(5, put(1, name) + (put(2, value) + put(20, 1) if isinstance(value, float) else put(3, value) + put(20, 2)))


def node(op, inputs, outputs, domain="", **attributes):
    said = b"".join(put(1, v) for v in inputs) + b"".join(put(2, v) for v in outputs) + put(3, f"{op.lower()}_{outputs[0]}") + put(4, op)
    return put(1, said + b"".join(attribute(k, v) for k, v in attributes.items()) + (put(7, domain) if domain else b""))


def tensor(name, dims, values, kind=FLOAT):
    return put(5, b"".join(put(1, d) for d in dims) + put(2, kind) + put(8, name) + put(9, struct.pack(f"<{len(values)}{PACKED[kind]}", *values)))


def value(field, name, columns, kind=FLOAT):
    shape = put(1, put(2, "N")) + put(1, put(1, columns))
    return put(field, put(1, name) + put(2, put(1, put(1, kind) + put(2, shape))))


def model(parts, domain=""):
    """Nodes, tensors, inputs (field 11) and outputs (field 12) of a graph."""
    opsets = put(8, put(1, "") + put(2, 13)) + (put(8, put(1, domain) + put(2, 1)) if domain else b"")
    return put(1, 8) + put(2, "tests/gpu") + put(7, b"".join(parts) + put(2, "net")) + opsets


def drawn(rng, n, width):
    return [rng.gauss(0, width) for _ in range(n)]


def layers(widths, seed=1, kind=FLOAT, activation=("Relu", ""), normed=False):
    """A net of these widths, x to y; normed: its weights but the last are v g / |v|, which the graph computes."""
    rng, parts, at = random.Random(seed), [value(11, "x", widths[0], kind), value(12, "y", widths[-1], kind)], "x"
    for k, (a, b) in enumerate(zip(widths, widths[1:])):
        last = k == len(widths) - 2
        parts.append(tensor(f"w{k}", [b, a], drawn(rng, a * b, 0.7 / a**0.5), kind))
        parts.append(tensor(f"b{k}", [b], drawn(rng, b, 0.1), kind))
        w = f"w{k}"
        if normed and not last:
            parts.append(tensor(f"g{k}", [b, 1], [1 + 0.2 * v for v in drawn(rng, b, 1)], kind))
            parts.append(node("ReduceL2", [w], [f"n{k}"], axes=[1], keepdims=1))
            parts.append(node("Div", [f"g{k}", f"n{k}"], [f"s{k}"]))
            parts.append(node("Mul", [w, f"s{k}"], [f"v{k}"]))
            w = f"v{k}"
        parts.append(node("Gemm", [at, w, f"b{k}"], ["y" if last else f"h{k}"], transB=1))
        if not last:
            parts.append(node(activation[0], [f"h{k}"], [f"a{k}"], domain=activation[1]))
            at = f"a{k}"
    return model(parts, activation[1])


def many(inputs, outputs, hidden=8):
    """So many inputs of one column each, one behind the other, and as many outputs as asked for."""
    rng = random.Random(2)
    parts = [value(11, f"x{i}", 1) for i in range(inputs)] + [value(12, f"y{i}", 1) for i in range(outputs)]
    parts += [node("Concat", [f"x{i}" for i in range(inputs)], ["all"], axis=1)]
    parts += [tensor("w", [hidden, inputs], drawn(rng, hidden * inputs, 0.3)), tensor("b", [hidden], drawn(rng, hidden, 0.1)), node("Gemm", ["all", "w", "b"], ["h"], transB=1), node("Tanh", ["h"], ["a"])]
    for i in range(outputs):
        parts += [tensor(f"w{i}", [1, hidden], drawn(rng, hidden, 0.3)), tensor(f"b{i}", [1], drawn(rng, 1, 0.1)), node("Gemm", ["a", f"w{i}", f"b{i}"], [f"y{i}"], transB=1)]
    return model(parts)
