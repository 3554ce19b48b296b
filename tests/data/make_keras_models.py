#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keras models as tf2onnx writes them, for tests/interop/frameworks.py:

    python make_keras_models.py          (needs keras, tensorflow and tf2onnx; recorded with 3.15.1, 2.21.0 and 1.17.0)

Writes tests/data/frameworks/keras_*.onnx, and keras.json: how many numbers of each model learn, as Keras counts them (the statistics of
its BatchNormalization are folded by the exporter: scale and shift of a layer, one of each a unit, learn in their place)."""
import json
import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

OUT = pathlib.Path(__file__).parent / "frameworks"
L, rng, told = keras.layers, np.random.default_rng(0), {}
norm = L.Normalization(mean=[0.5] * 6, variance=[2.0] * 6)
MODELS = {
    "relu": [L.Dense(16, "relu"), L.Dense(8, "relu"), L.Dense(3, "softmax")],
    "batchnorm": [L.Dense(16), L.BatchNormalization(), L.Activation("relu"), L.Dropout(0.3), L.Dense(1)],
    "elu": [L.Dense(16, "elu"), L.Dense(8, "selu"), L.Dense(1, "sigmoid")],
    "swish": [L.Dense(16, "swish"), L.Dense(8, "tanh"), L.Dense(2)],
    "gelu": [L.Dense(16, lambda x: keras.activations.gelu(x, approximate=True)), L.Dense(2)],
    "slopes": [L.Dense(16), L.LeakyReLU(), L.Dense(8), L.PReLU(alpha_initializer="glorot_uniform"), L.Dense(2)],
    "layernorm": [L.Dense(16), L.LayerNormalization(), L.Activation("softplus"), L.Dense(8), L.LayerNormalization(center=False), L.Dense(2)],
    "rmsnorm": [L.Dense(16, "relu"), L.RMSNormalization(), L.Dense(2)],
    "groupnorm": [L.Dense(16, "relu"), L.GroupNormalization(4), L.Dense(2)],
    "mish": [L.Dense(16, "mish"), L.Dense(8, "hard_silu"), L.Dense(2)],
}
for name, layers in MODELS.items():
    keras.utils.set_random_seed(1)
    m = keras.Sequential([keras.Input((6,))] + layers)
    m.compile("adam", "mse")
    x = rng.normal(size=(64, 6)).astype(np.float32)
    m.fit(x, rng.normal(size=(64, m.output_shape[-1])), epochs=2, verbose=0)  # so that biases and scales are there
    m.export(str(OUT / f"keras_{name}.onnx"), format="onnx", verbose=False)
    told[name] = int(sum(np.prod(w.shape) for w in m.trainable_weights))
(OUT / "keras.json").write_text(json.dumps(told, indent=1) + "\n")
