#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""JAX models (flax) as jax2onnx writes them, for tests/interop/frameworks.py:

    python make_jax_models.py          (needs jax2onnx and flax; recorded with 0.17.1 and 0.12.8)

Writes tests/data/frameworks/jax_*.onnx, and jax.json: how many numbers of each model learn, as flax counts its parameters."""
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from flax import nnx
from jax2onnx import to_onnx

OUT = pathlib.Path(__file__).parent / "frameworks"


class Net(nnx.Module):
    def __init__(self, act, norm, rngs):
        self.a, self.b, self.c = nnx.Linear(6, 16, rngs=rngs), nnx.Linear(16, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)
        self.n, self.act = norm(16, rngs=rngs) if norm else None, act

    def __call__(self, x):
        h = self.a(x)
        return self.c(self.act(self.b(self.act(self.n(h) if self.n is not None else h))))


def batchnorm(n, rngs):
    return nnx.BatchNorm(n, use_running_average=True, rngs=rngs)


MODELS = {
    "relu": (jax.nn.relu, None), "elu": (jax.nn.elu, None), "selu": (jax.nn.selu, None), "leaky": (jax.nn.leaky_relu, None),
    "softplus": (jax.nn.softplus, None), "silu": (jax.nn.silu, None), "tanh": (jnp.tanh, None), "sigmoid": (jax.nn.sigmoid, None),
    "gelu": (jax.nn.gelu, None), "gelu_exact": (lambda x: jax.nn.gelu(x, approximate=False), None),
    "layernorm": (jax.nn.gelu, nnx.LayerNorm), "rmsnorm": (jax.nn.relu, nnx.RMSNorm), "batchnorm": (jax.nn.relu, batchnorm),
}
told = {}
for name, (act, norm) in MODELS.items():
    net = Net(act, norm, nnx.Rngs(0))
    onnx.save(to_onnx(net, [("B", 6)]), OUT / f"jax_{name}.onnx")
    told[name] = int(sum(p.size for p in jax.tree.leaves(nnx.state(net, nnx.Param))))
rng = np.random.default_rng(0)
w, b, v, c = (rng.normal(size=s).astype(np.float32) * 0.4 for s in ((6, 16), 16, (16, 3), 3))
onnx.save(to_onnx(lambda x: jax.nn.relu(x @ w + b) @ v + c, [("B", 6)]), OUT / "jax_plain.onnx")  # Gemm of beta 0, and Add
told["plain"] = w.size + b.size + v.size + c.size
(OUT / "jax.json").write_text(json.dumps(told, indent=1) + "\n")
