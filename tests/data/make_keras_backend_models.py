#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras models on the JAX and PyTorch backends, as Keras exports them there, for tests/interop/frameworks.py:

    python make_keras_backend_models.py jax      (needs keras, jax and jax2onnx; recorded with 3.15.1 and 0.17.1)
    python make_keras_backend_models.py torch    (needs keras and torch; recorded with 3.15.1 and 2.11)

Writes tests/data/frameworks/keras_BACKEND_*.onnx, and keras_BACKEND.json: how many numbers of each model learn, as Keras counts them; with jax
also keras_jax_places.npz: what Keras itself makes of that model in six epochs of SGD. A name behind the backend: that model alone."""
import json
import os
import pathlib
import sys

BACKEND = sys.argv[1]
os.environ["KERAS_BACKEND"] = BACKEND
import keras
import numpy as np

OUT = pathlib.Path(__file__).parent / "frameworks"
L, rng, told = keras.layers, np.random.default_rng(0), {}


def stack(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape, name="x")] + list(layers))


def embedding():
    x, i = keras.Input((6,), name="x"), keras.Input((1,), dtype="int32", name="i")
    h = L.Concatenate()([x, L.Flatten()(L.Embedding(5, 3)(i))])
    return keras.Model([x, i], L.Dense(2)(L.Dense(8, "relu")(h)))


MODELS = {
    "relu": lambda: stack(L.Dense(16, "relu"), L.Dense(8, "relu"), L.Dense(3, "softmax")),
    "batchnorm": lambda: stack(L.Dense(16), L.BatchNormalization(), L.Activation("relu"), L.Dense(2)),
    "layernorm": lambda: stack(L.Dense(16, "gelu"), L.LayerNormalization(), L.Dense(2)),
    "rmsnorm": lambda: stack(L.Dense(16, "silu"), L.RMSNormalization(), L.Dense(2)),
    "groupnorm": lambda: stack(L.Dense(16, "elu"), L.GroupNormalization(4), L.PReLU(alpha_initializer="glorot_uniform"), L.Dense(2)),
    "embedding": embedding,
}
if BACKEND == "jax":  # others fold the statistics into a scale and a shift that are none of Keras' own
    MODELS["uncentred"] = lambda: stack(L.Dense(16), L.BatchNormalization(center=False, scale=False), L.Activation("tanh"), L.Dense(2))
    MODELS["places"] = lambda: stack(L.Dense(8), L.BatchNormalization(), L.Activation("relu"), L.Flatten(), L.Dense(2), shape=(5, 6))
told_before = OUT / f"keras_{BACKEND}.json"
if len(sys.argv) > 2:
    MODELS, told = {sys.argv[2]: MODELS[sys.argv[2]]}, json.loads(told_before.read_text())
for name, make in MODELS.items():
    keras.utils.set_random_seed(1)
    m = make()
    m.compile("adam", "mse")
    rows = {"x": rng.normal(size=(64, *m.inputs[0].shape[1:])).astype(np.float32), "i": rng.integers(0, 5, (64, 1)).astype(np.int32)}
    m.fit([rows[t.name] for t in m.inputs], rng.normal(size=(64, m.output_shape[-1])), epochs=3, verbose=0)
    try:
        m.export(str(OUT / f"keras_{BACKEND}_{name}.onnx"), format="onnx", verbose=False)
    except Exception as why:  # not every layer has an exporter on every backend
        print(f"{name}: {type(why).__name__}: {str(why)[-200:]}")
        continue
    told[name] = int(sum(np.prod(w.shape) for w in m.trainable_weights))
    if name == "places":
        data = np.random.default_rng(7)
        x, y = (2 * data.normal(size=(48, 5, 6)) + 0.7).astype(np.float32), data.normal(size=(48, 2)).astype(np.float32)
        m.compile(keras.optimizers.SGD(0.05), "mse")
        m.fit(x, y, epochs=6, batch_size=8, shuffle=False, verbose=0)
        np.savez(OUT / "keras_jax_places.npz", x=x, y=y, trained=m.predict(x, verbose=0), variance=next(np.array(w) for w in m.weights if w.path.endswith("moving_variance")))
(OUT / f"keras_{BACKEND}.json").write_text(json.dumps(told, indent=1) + "\n")
