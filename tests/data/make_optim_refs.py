# SPDX-License-Identifier: MIT
"""Writes optim_refs.h: weights after 1, 2 and 12 optimizer steps of PyTorch in float64, for tests/math/test_optim.c.

Run with an interpreter that has PyTorch:  python make_optim_refs.py   (recorded with torch 2.11)
Gradients and starting weights are exact fractions that the test computes again."""
import os
import torch

SIZES = (5, 3)  # two parameters
RECORD = (1, 2, 12)


def weight(i):
    return ((i * 29 + 7) % 32 - 15) / 8.0


def gradient(i, t):
    return ((i * 37 + t * 91 + 17) % 64 - 31) / 16.0


CASES = [  # name, optimizer, hyper-parameters
    ("sgd", "SGD", {}),
    ("sgd, decay", "SGD", dict(wd=0.1)),
    ("sgd, l1", "SGD", dict(l1=0.05)),
    ("sgd, clip", "SGD", dict(clip=0.5)),
    ("sgd, clip that does nothing", "SGD", dict(clip=50.0)),
    ("sgd, all", "SGD", dict(wd=0.1, l1=0.05, clip=1.5)),
    ("sgd, momentum", "SGD", dict(momentum=0.9)),
    ("sgd, momentum, all", "SGD", dict(momentum=0.6, wd=0.1, l1=0.05, clip=1.5)),
    ("momentum", "MOMENTUM", dict(momentum=0.9)),
    ("momentum, decay, clip", "MOMENTUM", dict(momentum=0.8, wd=0.02, clip=2.0)),
    ("momentum 0", "MOMENTUM", dict(momentum=0.0)),
    ("nesterov", "NESTEROV", dict(momentum=0.9)),
    ("nesterov, decay, l1", "NESTEROV", dict(momentum=0.7, wd=0.1, l1=0.01)),
    ("adagrad", "ADAGRAD", dict(eps=1e-10)),
    ("adagrad, decay, large eps", "ADAGRAD", dict(eps=0.1, wd=0.1)),
    ("rmsprop", "RMSPROP", dict(alpha=0.99, eps=1e-8)),
    ("rmsprop, decay, clip", "RMSPROP", dict(alpha=0.9, eps=1e-3, wd=0.1, clip=1.0)),
    ("rmsprop, momentum", "RMSPROP", dict(alpha=0.99, eps=1e-8, momentum=0.9)),
    ("rmsprop, momentum, decay, l1, clip", "RMSPROP", dict(alpha=0.9, eps=1e-3, momentum=0.5, wd=0.1, l1=0.02, clip=1.0)),
    ("adam", "ADAM", dict(beta1=0.9, beta2=0.999, eps=1e-8)),
    ("adam, decay", "ADAM", dict(beta1=0.8, beta2=0.99, eps=1e-3, wd=0.1)),
    ("adam, all", "ADAM", dict(beta1=0.9, beta2=0.999, eps=1e-8, wd=0.01, l1=0.05, clip=1.0)),
    ("adamw", "ADAMW", dict(beta1=0.9, beta2=0.999, eps=1e-8, wd=0.01)),
    ("adamw, all", "ADAMW", dict(beta1=0.7, beta2=0.95, eps=1e-5, wd=0.3, l1=0.02, clip=0.7)),
    ("adamw, multipliers", "ADAMW", dict(beta1=0.9, beta2=0.999, eps=1e-8, wd=0.1, mult=1)),
    ("momentum, multipliers", "MOMENTUM", dict(momentum=0.9, wd=0.1, mult=1)),
]
LR = 0.05


def make(name, params, h):
    mult = h.get("mult", 0)
    groups = [dict(params=[params[0]]), dict(params=[params[1]], scale=0.25 if mult else 1.0)]
    wd = h.get("wd", 0.0)
    groups[0]["weight_decay"] = wd
    groups[1]["weight_decay"] = 0.0 if mult else wd
    for g in groups:
        g["lr"] = LR * g.get("scale", 1.0)
    if name in ("SGD", "MOMENTUM", "NESTEROV"):
        return torch.optim.SGD(groups, lr=LR, momentum=h.get("momentum", 0.0), nesterov=name == "NESTEROV")
    if name == "ADAGRAD":
        return torch.optim.Adagrad(groups, lr=LR, eps=h["eps"])
    if name == "RMSPROP":
        return torch.optim.RMSprop(groups, lr=LR, alpha=h["alpha"], eps=h["eps"], momentum=h.get("momentum", 0.0))
    cls = torch.optim.Adam if name == "ADAM" else torch.optim.AdamW
    return cls(groups, lr=LR, betas=(h["beta1"], h["beta2"]), eps=h["eps"])


def run(name, h):
    n = sum(SIZES)
    start = torch.tensor([weight(i) for i in range(n)], dtype=torch.float64)
    params = [torch.nn.Parameter(p.clone()) for p in start.split(SIZES)]
    opt = make(name, params, h)
    seen = []
    for t in range(1, max(RECORD) + 1):
        g = torch.tensor([gradient(i, t) for i in range(n)], dtype=torch.float64).split(SIZES)
        for p, q in zip(params, g):
            p.grad = q + h.get("l1", 0.0) * torch.sign(p.detach())
        if "clip" in h:
            torch.nn.utils.clip_grad_norm_(params, h["clip"])
        for group in opt.param_groups:
            group["lr"] = LR * (1 - 0.05 * (t - 1)) * group.get("scale", 1.0)
        opt.step()
        if t in RECORD:
            seen.append(torch.cat([p.detach() for p in params]).tolist())
    return seen


def main():
    torch.use_deterministic_algorithms(True)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim_refs.h")
    with open(path, "w") as out:
        out.write("/* SPDX-License-Identifier: MIT\n *\n * Written by make_optim_refs.py with torch %s: do not edit. */\n" % torch.__version__)
        out.write("static const struct optim_ref optim_refs[] = {\n")
        for label, name, h in CASES:
            fields = dict(momentum="momentum", beta1="beta1", beta2="beta2", eps="eps", alpha="alpha", wd="weight_decay",
                          l1="l1", clip="clip_norm")
            hyper = ", ".join(".%s = %r" % (fields[k], v) for k, v in h.items() if k in fields)
            kind = "HN_" + name
            out.write('    { "%s", { .optimizer = %s%s }, %d,\n      {\n' % (label, kind, ", " + hyper if hyper else "", h.get("mult", 0)))
            for row in run(name, h):
                out.write("        { " + ", ".join("%.17g" % v for v in row[:4]) + ",\n")
                out.write("          " + ", ".join("%.17g" % v for v in row[4:]) + " },\n")
            out.write("      } },\n")
        out.write("};\n")


if __name__ == "__main__":
    main()
