#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records PyTorch's learning rates: python3 tests/data/make_schedule_refs.py > tests/data/schedule_refs.h

One case per schedule and setting. Rates are taken before each epoch (or, onecycle and warm-up, before each optimizer
step); plateau is fed the values in its `watched` list. tests/train/test_schedule.c compares."""
import json
import math

import torch


def optimizer(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(make, lr, n, watched=None):
    opt = optimizer(lr)
    sched = make(opt)
    out = []
    for i in range(n):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        if watched is None:
            sched.step()
        else:
            sched.step(watched[i])
    return out


S = torch.optim.lr_scheduler
CASES = []


def case(name, kind, lr, make, n, **fields):
    watched = fields.pop("watched", None)
    per_step = fields.pop("per_step", False)
    CASES.append((name, kind, lr, fields, watched, per_step, rates(make, lr, n, watched)))


case("step", "STEP", 0.1, lambda o: S.StepLR(o, 3, 0.5), 12, step=3, gamma=0.5, epochs=12)
case("step of one", "STEP", 0.02, lambda o: S.StepLR(o, 1, 0.1), 6, step=1, gamma=0.1, epochs=6)
case("multistep", "MULTISTEP", 0.1, lambda o: S.MultiStepLR(o, [2, 5, 5, 9], 0.1), 12,
     milestones=[2, 5, 5, 9], gamma=0.1, epochs=12)
case("exponential", "EXPONENTIAL", 0.3, lambda o: S.ExponentialLR(o, 0.95), 40, gamma=0.95, epochs=40)
case("cosine", "COSINE", 0.1, lambda o: S.CosineAnnealingLR(o, 20, 0.0), 20, epochs=20)
case("cosine with a floor", "COSINE", 0.05, lambda o: S.CosineAnnealingLR(o, 7, 0.001), 7, epochs=7, lr_min=0.001)
case("poly", "POLY", 0.1, lambda o: S.PolynomialLR(o, 10, 1.0), 10, gamma=1.0, epochs=10)
case("poly, squared", "POLY", 0.1, lambda o: S.PolynomialLR(o, 13, 2.0), 13, gamma=2.0, epochs=13)
for epochs, steps in ((4, 5), (1, 3), (10, 10), (1, 4), (1, 1), (1, 2)):
    case(f"onecycle {epochs}x{steps}", "ONECYCLE", 0.05,
         lambda o: S.OneCycleLR(o, 0.05, total_steps=epochs * steps, cycle_momentum=False), epochs * steps,
         lr_max=0.05, epochs=epochs, steps_per_epoch=steps, per_step=True)
case("warm-up", "CONSTANT", 0.1, lambda o: S.LambdaLR(o, lambda k: min(1.0, (k + 1) / 8)), 12, warmup=8, epochs=3,
     steps_per_epoch=4, per_step=True)
LOSS = [1.0, 0.9, 0.95, 0.96, 0.97, 0.9, 0.89995, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.7, math.nan, 0.71, 0.72, 0.73, 0.74,
        0.75, 0.76, 0.77, 0.78, 0.79]
case("plateau", "PLATEAU", 0.1, lambda o: S.ReduceLROnPlateau(o, "min", 0.5, 2), len(LOSS), gamma=0.5, patience=2,
     threshold=1e-4, watched=LOSS)
case("plateau, no patience", "PLATEAU", 0.1, lambda o: S.ReduceLROnPlateau(o, "min", 0.1, 0, min_lr=1e-4), len(LOSS),
     gamma=0.1, patience=0, threshold=1e-4, lr_min=1e-4, watched=LOSS)
case("plateau with cooldown", "PLATEAU", 0.1, lambda o: S.ReduceLROnPlateau(o, "min", 0.3, 1, cooldown=3), len(LOSS),
     gamma=0.3, patience=1, cooldown=3, threshold=1e-4, watched=LOSS)
case("plateau, more is better", "PLATEAU", 0.1,
     lambda o: S.ReduceLROnPlateau(o, "max", 0.5, 1, threshold=0.01), len(LOSS), gamma=0.5, patience=1,
     threshold=0.01, maximize=1, watched=[1 - v for v in LOSS])
case("plateau, steps too small to make", "PLATEAU", 3e-8, lambda o: S.ReduceLROnPlateau(o, "min", 0.5, 0), len(LOSS),
     gamma=0.5, patience=0, threshold=1e-4, watched=LOSS)


def averaging(name, kind, lr, make, n, start, swa_lr, anneal, watched=None, **fields):
    """A schedule until epoch `start` (from 1) begins, SWALR from there on."""
    opt = optimizer(lr)
    before, after, out = make(opt), None, []
    for i in range(n):
        if i + 1 == start:
            after = torch.optim.swa_utils.SWALR(opt, swa_lr, anneal_epochs=anneal, anneal_strategy="cos")
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        if after:
            after.step()
        elif watched:
            before.step(watched[i])
        else:
            before.step()
    fields.update(epochs=n, swa_start=start, swa_lr=swa_lr, swa_anneal=anneal)
    CASES.append((name, kind, lr, fields, watched, False, out))


averaging("averaging, at once", "CONSTANT", 0.1, lambda o: S.ConstantLR(o, 1.0, 1), 8, 4, 0.02, 0)
averaging("averaging from the first epoch", "CONSTANT", 0.1, lambda o: S.ConstantLR(o, 1.0, 1), 6, 1, 0.02, 3)
averaging("averaging behind a cosine", "COSINE", 0.1, lambda o: S.CosineAnnealingLR(o, 12, 0.0), 12, 7, 0.07, 4)
averaging("averaging behind steps", "STEP", 0.1, lambda o: S.StepLR(o, 2, 0.5), 10, 5, 0.05, 10, step=2, gamma=0.5)
averaging("averaging behind a plateau", "PLATEAU", 0.1, lambda o: S.ReduceLROnPlateau(o, "min", 0.5, 0), len(LOSS), 9, 0.04, 5,
          watched=LOSS, gamma=0.5, patience=0, threshold=1e-4)


def number(v):
    return "(double)NAN" if isinstance(v, float) and math.isnan(v) else repr(v)


def array(v):
    return "{ " + ", ".join(number(x) for x in v) + " }"


print("/* SPDX-License-Identifier: MIT")
print(" *")
print(f" * Learning rates of PyTorch {torch.__version__.split('+')[0]}, recorded by tests/data/make_schedule_refs.py. */")
print("/* clang-format off */")
print("static const struct schedule_ref schedule_refs[] = {")
for name, kind, lr, fields, watched, per_step, out in CASES:
    parts = [f".kind = HN_LR_{kind}", f".lr = {lr!r}"]
    for key, value in fields.items():
        parts.append(f".{key} = {array(value) if isinstance(value, list) else number(value)}")
        if key == "milestones":
            parts.append(f".n_milestones = {len(value)}")
    print("    { .name = " + json.dumps(name) + ",")
    print("      .opts = { " + ", ".join(parts) + " },")
    print(f"      .per_step = {int(per_step)}, .n = {len(out)},")
    if watched:
        print(f"      .watched = {array(watched)},")
    print(f"      .lr = {array(out)} }},")
print("};")
