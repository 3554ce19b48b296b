# SPDX-License-Identifier: MIT
"""Writes value_refs.h: values and gradients of PyTorch in float64, for tests/math/test_values.c: activations at chosen
points (kinks among them), maximum and minimum of ties, losses, BatchNorm's running statistics; fake quantisation in float32.

Run with an interpreter that has PyTorch:  python make_value_refs.py   (recorded with torch 2.11)"""
import os
import torch
import torch.nn.functional as F

POINTS = [-40.0, -3.0, -2.5, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 1.0, 2.5, 3.0, 6.0, 40.0]
INF = float("inf")
UNARY = [  # kind, a, b, function
    ("COPY", 0, 0, lambda x: x.clone()),
    ("RELU", 0, 0, torch.relu),
    ("LEAKY_RELU", 0.01, 0, lambda x: F.leaky_relu(x, 0.01)),
    ("LEAKY_RELU", 0.3, 0, lambda x: F.leaky_relu(x, 0.3)),
    ("ELU", 1.0, 0, F.elu),
    ("ELU", 0.7, 0, lambda x: F.elu(x, 0.7)),
    ("SELU", 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, F.selu),
    ("SIGMOID", 0, 0, torch.sigmoid),
    ("TANH", 0, 0, torch.tanh),
    ("SOFTPLUS", 0, 0, lambda x: F.softplus(x, threshold=1000)),
    ("GELU", 0, 0, F.gelu),
    ("GELU_TANH", 0, 0, lambda x: F.gelu(x, approximate="tanh")),
    ("ERF", 0, 0, torch.erf),
    ("CLIP", -0.5, 1.0, lambda x: torch.clamp(x, -0.5, 1.0)),
    ("NEG", 0, 0, torch.neg),
    ("ABS", 0, 0, torch.abs),
    ("EXP", 0, 0, torch.exp),
    ("RECIPROCAL", 0, 0, torch.reciprocal),
    ("SILU", 0, 0, F.silu),
    ("AFFINE", -1.5, 0.25, lambda x: -1.5 * x + 0.25),
    ("CELU", 1.5, 0, lambda x: F.celu(x, 1.5)),
    ("HARD_SIGMOID", 1 / 6, 0.5, F.hardsigmoid),
    ("MISH", 0, 0, F.mish),
    ("SOFTSIGN", 0, 0, F.softsign),
    ("THRESHOLDED_RELU", 0.5, 0, lambda x: F.threshold(x, 0.5, 0.0)),
    ("SIGN", 0, 0, torch.sign),
    ("FLOOR", 0, 0, torch.floor),
    ("CEIL", 0, 0, torch.ceil),
    ("ROUND", 0, 0, torch.round),
    ("TAN", 0, 0, torch.tan),
    ("ATAN", 0, 0, torch.atan),
    ("SINH", 0, 0, torch.sinh),
    ("COSH", 0, 0, torch.cosh),
    ("ASINH", 0, 0, torch.asinh),
]


def numbers(values):
    def one(v):
        v = float(v)
        return "(double)INFINITY" if v == INF else "-(double)INFINITY" if v == -INF else "%.17g" % v
    return "{ " + ", ".join(one(v) for v in values) + " }"


def unary(out):
    out.write("static const double unary_points[] = %s;\n" % numbers(POINTS))
    out.write("static const struct unary_ref unary_refs[] = {\n")
    for kind, a, b, f in UNARY:
        x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
        y = f(x)
        y.backward(torch.ones_like(y))
        out.write("    { HN_U_%s, %.17g, %.17g,\n      %s,\n      %s },\n" % (kind, a, b, numbers(y.detach()), numbers(x.grad)))
    out.write("};\n")


def losses(out):
    logits = torch.tensor([[0.5, -1.25, 2.0], [3.0, 0.0, -0.75], [-2.0, 1.5, 0.25], [0.1, 0.2, 0.3]], dtype=torch.float64)
    classes = torch.tensor([2, 0, 1, 1])
    soft = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0, 0], [0.0, 0.75, 0.25], [0.4, 0.4, 0.2]], dtype=torch.float64)
    target = torch.tensor([[0.4, -1.0, 1.0], [0.0, 0.5, -0.75], [-2.0, 1.0, 2.25], [0.0, 0.0, 4.0]], dtype=torch.float64)
    probs = torch.sigmoid(logits)
    probs[0, 0], probs[1, 1] = 0.0, 1.0
    bits = (soft > 0.3).to(torch.float64)
    cases = [
        ("loss_ce", "{ .weight = 1 }", logits, classes, lambda p: F.cross_entropy(p, classes)),
        ("loss_ce", "{ .weight = 1, .dense = 1 }", logits, soft, lambda p: F.cross_entropy(p, soft)),
        ("loss_nll", "{ .weight = 1 }", logits, classes, lambda p: F.nll_loss(p, classes)),
        ("loss_bce", "{ .weight = 1, .from_logits = 1 }", logits, bits, lambda p: F.binary_cross_entropy_with_logits(p, bits)),
        ("loss_bce", "{ .weight = 1 }", probs, bits, lambda p: F.binary_cross_entropy(p, bits)),
        ("loss_regression", "{ .weight = 1 }", logits, target, lambda p: F.mse_loss(p, target)),
        ("loss_regression", "{ .weight = 1, .kind = 1 }", logits, target, lambda p: F.l1_loss(p, target)),
        ("loss_regression", "{ .weight = 1, .kind = 2, .delta = 0.5 }", logits, target, lambda p: F.huber_loss(p, target, delta=0.5)),
    ]
    out.write("static const struct loss_ref loss_refs[] = {\n")
    for row, attrs, p, t, f in cases:
        p = p.clone().requires_grad_(True)
        loss = f(p)
        loss.backward()
        flat = t.flatten().to(torch.float64)
        out.write("    { &hn_op_%s, %s, %d, %.17g,\n      %s,\n      %s,\n      %s },\n" % (
            row, attrs, t.dim(), loss.item(), numbers(p.detach().flatten()), numbers(flat), numbers(p.grad.flatten())))
    out.write("};\n")


def batchnorm(out):
    torch.manual_seed(0)
    x = torch.tensor([[1.0, -2.0], [0.5, 4.0], [-1.5, 0.25]], dtype=torch.float64, requires_grad=True)
    bn = torch.nn.BatchNorm1d(2, eps=1e-5, momentum=0.3, dtype=torch.float64)
    with torch.no_grad():
        bn.weight.copy_(torch.tensor([1.5, -0.5], dtype=torch.float64))
        bn.bias.copy_(torch.tensor([0.25, 2.0], dtype=torch.float64))
        bn.running_mean.copy_(torch.tensor([0.1, 0.2], dtype=torch.float64))
        bn.running_var.copy_(torch.tensor([2.0, 3.0], dtype=torch.float64))
    y = bn(x)
    dy = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [0.25, 3.0]], dtype=torch.float64)
    y.backward(dy)
    out.write("static const struct batchnorm_ref batchnorm_ref = {\n")
    for v in (x.detach(), dy, y.detach(), x.grad, bn.weight.grad, bn.bias.grad, bn.running_mean, bn.running_var):
        out.write("    %s,\n" % numbers(v.flatten()))
    out.write("};\n")


def quantize(out):
    """Ties, both ends and what is beyond; scales are powers of two, so that x / scale and x * (1 / scale) are one."""
    x = torch.tensor([[-70.0, -64.25, -64.0, -1.25], [-0.75, -0.25, 0.0, 0.25], [0.75, 1.25, 1.3, 63.5], [63.74, 63.75, 70.0, 1e9]])
    dy = torch.arange(1, 17, dtype=torch.float32).reshape(4, 4) / 8
    cases = [  # low, high, axis, scales, zeros
        (-128, 127, 0, [0.5], [0]),
        (0, 255, 0, [0.25], [7]),
        (-128, 127, 1, [0.5, 0.25, 2.0, 1.0], [0, 3, -5, 0]),
        (0, 255, 0, [0.5, 0.25, 2.0, 0.125], [128, 3, 0, 255]),
    ]
    out.write("static const double quantize_points[] = %s;\n" % numbers(x.flatten()))
    out.write("static const double quantize_dy[] = %s;\n" % numbers(dy.flatten()))
    out.write("static const struct quantize_ref quantize_refs[] = {\n")
    for low, high, axis, scales, zeros in cases:
        v = x.clone().requires_grad_(True)
        if len(scales) == 1:
            y = torch.fake_quantize_per_tensor_affine(v, scales[0], zeros[0], low, high)
        else:
            y = torch.fake_quantize_per_channel_affine(v, torch.tensor(scales), torch.tensor(zeros, dtype=torch.int32), axis, low, high)
        y.backward(dy)
        out.write("    { { %d, %d, %d, 0 }, %d,\n      %s, %s,\n      %s,\n      %s },\n" % (
            low, high, axis, len(scales), numbers(scales), numbers(zeros), numbers(y.detach().flatten()), numbers(v.grad.flatten())))
    out.write("};\n")


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "value_refs.h")
    with open(path, "w") as out:
        out.write("/* SPDX-License-Identifier: MIT\n *\n * Written by make_value_refs.py with torch %s: do not edit. */\n" % torch.__version__)
        unary(out)
        losses(out)
        batchnorm(out)
        quantize(out)


if __name__ == "__main__":
    main()
