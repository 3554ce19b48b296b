#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An actor and a critic, targets for the actor alone: as in PyTorch, which skips parameters without a gradient, the critic keeps its
bits whatever decays, is averaged or drawn anew, and the run says so. A trunk that both share learns."""
import _common
from _common import check, folder, hone, np, onnx, run, skip, tensors
try:
    import torch
except ImportError:
    skip("torch is not installed")

tmp = folder()
rng = np.random.default_rng(0)
X = rng.normal(size=(32, 4))
A = np.stack([X[:, 0], X[:, 1] * X[:, 2]], 1)
np.save(tmp / "x.npy", X), np.save(tmp / "a.npy", A)
DATA = ["--x", tmp / "x.npy", "--y", f"action={tmp / 'a.npy'}", "--batch-size", "32", "--no-shuffle", "--save", "last", "--force"]


class Net(torch.nn.Module):
    def __init__(self, norm=False):
        super().__init__()
        self.trunk, self.pi, self.vf = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2), torch.nn.Linear(8, 8)
        self.norm = torch.nn.BatchNorm1d(8, affine=True) if norm else torch.nn.Identity()
        self.v, self.own = torch.nn.Linear(8, 1), torch.nn.Linear(4, 8)

    def forward(self, x):
        h = torch.tanh(self.trunk(x))
        return self.pi(h), self.v(self.norm(self.vf(h)) + torch.tanh(self.own(x)))


def exported(net, path):
    x = torch.zeros(2, 4, dtype=next(net.parameters()).dtype)
    torch.onnx.export(net, (x,), str(path), dynamo=False, input_names=["x"], output_names=["action", "value"], dynamic_axes={"x": {0: "n"}})
    return {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}


def trained(what, path, *args):
    out = tmp / "out.onnx"
    r = hone("train", path, *DATA, *args, "-o", out, "--json")
    check(what, r.returncode == 0, r.stderr[:500])
    return tensors(out), r


def rests(what, got, was):
    for name, v in was.items():
        if name.split(".")[0] in ("vf", "v", "own", "norm") and name in got:
            check(f"{what}: {name} keeps its bits", got[name].tobytes() == v.tobytes(), np.abs(got[name] - v).max())
        if name.split(".")[0] in ("trunk", "pi"):
            check(f"{what}: {name} learns", not np.array_equal(got[name], v))


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 1e-2, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, 1e-2, weight_decay=0.1, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-2, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-2, weight_decay=0.1),
}
for kind, dtype in (("f64", torch.float64), ("f32", torch.float32)):
    torch.manual_seed(0)
    net = Net().to(dtype)
    path = tmp / f"{kind}.onnx"
    was = exported(net, path)
    for name, make in OPTIMIZERS.items():
        what = f"{kind} {name}"
        net.load_state_dict({k: torch.tensor(v) for k, v in was.items()})
        step = make(net.parameters())
        for _ in range(30):
            step.zero_grad()
            torch.nn.functional.mse_loss(net(torch.tensor(X, dtype=dtype))[0], torch.tensor(A, dtype=dtype)).backward()
            step.step()
        got, r = trained(what, path, "--optimizer", name, "--lr", "0.01", "--weight-decay", "0.1", "--epochs", "30")
        rests(what, got, was)
        for k, v in net.named_parameters():
            far = np.abs(got[k] - v.detach().numpy()).max()
            check(f"{what}: {k} as PyTorch", far <= (1e-9 if kind == "f64" else 2e-4), far)
    got, r = trained(f"{kind} averages", path, "--ema", "0.9", "--l1", "0.01", "--weight-decay", "0.1", "--epochs", "5", "--clip-norm", "1")
    rests(f"{kind} averages", got, was)
    said = [line for line in r.stderr.splitlines() if "no loss reaches" in line]
    check(f"{kind}: it is said once", len(said) == 1 and "'vf.weight'" in said[0] and "and 2 more" in said[0] and "'value'" in said[0] and "'action'" not in said[0], r.stderr)
    count = sum(v.size for k, v in was.items() if k.split(".")[0] in ("trunk", "pi"))
    check(f"{kind}: they are not counted", f'"trainable_parameters": {count},' in r.stdout or f'"trainable_parameters":{count},' in r.stdout, r.stdout[:600])
    got, _ = trained(f"{kind} fresh", path, "--init", "fresh", "--epochs", "2")
    rests(f"{kind} fresh", got, was)
    got, r = trained(f"{kind} pre-trained", path, "--pretrain", "2", "--epochs", "1")
    rests(f"{kind} pre-trained", got, was)

# a run that goes on is the run at once
path = tmp / "f64.onnx"
run("a run to go on", "train", path, *DATA, "--epochs", "4", "--weight-decay", "0.1", "--keep-run", "--quiet", "-o", tmp / "half.onnx")
run("goes on", "resume", f"{tmp / 'half.onnx'}.run", "--epochs", "+3", "--quiet")
got, _ = trained("at once", path, "--epochs", "7", "--weight-decay", "0.1")
check("a run that goes on is the same", all(np.array_equal(tensors(tmp / "half.onnx")[k], v) for k, v in got.items()))

# what a search does by itself: decay among it, folds, many at once
path = tmp / "f32.onnx"
was = exported(Net().float(), path)
for what, args in (("a search", ["--val-split", "0.25"]), ("a search over folds", ["--folds", "3"])):
    out = tmp / "tuned.onnx"
    run(what, "tune", path, *DATA[:4], *args, "--search", "weight_decay=0.1,0.5", "--search", "lr=0.01,0.02", "--epochs", "5", "--quiet", "--force", "-o", out)
    rests(what, tensors(out), was)
    r = hone("tune", path, *DATA[:4], *args, "--search", "lr=0.01,0.02", "--epochs", "2", "--force", "-o", out)
    check(f"{what} says it once", r.stderr.count("no loss reaches") == 1, r.stderr)

# running statistics of a branch that no loss needs, also where they are inserted
net = Net(norm=True)
net.norm.running_mean.uniform_(), net.norm.running_var.uniform_(0.5, 2)
path = tmp / "bn.onnx"
was = exported(net.eval(), path)
check("BatchNormalization is there", any(n.op_type == "BatchNormalization" for n in onnx.load(path).graph.node))
for how in ("keep", "fresh"):
    got, _ = trained(f"statistics, --init {how}", path, "--init", how, "--epochs", "3", "--weight-decay", "0.1")
    rests(f"statistics, --init {how}", got, was)

# a scaler in front of an output without a loss
_, r = trained("scaled", tmp / "f32.onnx", "--scale", "standard", "--epochs", "1")
said = [line for line in r.stderr.splitlines() if "--scale changes" in line]
check("--scale: it is said", len(said) == 1 and "warning" in said[0] and "'value'" in said[0] and "'action'" not in said[0], r.stderr)
_, r = trained("not scaled", tmp / "f32.onnx", "--epochs", "1")
check("without --scale it is not", "--scale" not in r.stderr, r.stderr)
r = hone("tune", tmp / "f32.onnx", *DATA[:4], "--val-split", "0.25", "--search", "lr=0.01,0.02", "--epochs", "2", "--force", "--scale", "standard", "-o", tmp / "tuned.onnx")
check("a search with --scale says it once", r.stderr.count("--scale changes what output 'value' says") == 1, r.stderr)
np.save(tmp / "v.npy", A[:, :1])
_, r = trained("both scaled", tmp / "f32.onnx", "--y", f"value={tmp / 'v.npy'}", "--scale", "standard", "--epochs", "1")
check("with both targets nothing is said", "no loss reaches" not in r.stderr and "--scale" not in r.stderr, r.stderr)
_common.finish("reach", tmp)
