#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Models that end in labels, as exporters write them, for tests/interop/labels.py:

    python make_label_models.py sklearn      (needs scikit-learn and skl2onnx; recorded with 1.9.1 and 1.20.0)
    python make_label_models.py torch        (needs torch; recorded with 2.11.0)
    python make_label_models.py keras        (needs keras, tensorflow and tf2onnx; recorded with 3.15.1, 2.21.0 and 1.17.0)

Writes tests/data/labels/*.onnx; their input is float32 [N, 5]."""
import os
import pathlib
import sys
import warnings

import numpy as np

OUT = pathlib.Path(__file__).parent / "labels"
warnings.simplefilter("ignore")
r = np.random.default_rng(3)
X = r.normal(size=(200, 5)).astype(np.float32)
three = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)


def sklearn():
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    M = dict(hidden_layer_sizes=(6,), max_iter=30, random_state=1)
    targets = {
        "sk_text": np.array(["low", "mittelgroß", "高"])[three], "sk_text_two": np.where(three > 0, "yes", "no"), "sk_codes": np.array([3, -7, 40])[three],
        "sk_two": (three > 0).astype(int), "sk_bool": three > 0, "sk_floats": np.array([1.0, 2.0, 4.0])[three],
        "sk_several": np.stack([three > 0, X[:, 3] > 0, X[:, 4] > 0], 1).astype(int),
    }
    for name, y in targets.items():
        for zipmap in (True, False):
            try:
                model = to_onnx(make_pipeline(StandardScaler(), MLPClassifier(**M)).fit(X, y), X[:1], target_opset={"": 18, "ai.onnx.ml": 3}, options={} if zipmap else {"zipmap": False})
            except Exception as e:  # what the converter itself does not write
                print(f"{name}: {type(e).__name__}: {str(e)[:150]}")
                continue
            (OUT / f"{name}{'' if zipmap else '_plain'}.onnx").write_bytes(model.SerializeToString())


def torch():
    import torch
    from torch import nn

    class Two(nn.Module):
        def __init__(self, tail, out=4):
            super().__init__()
            self.net, self.tail = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, out)), tail
            self.register_buffer("codes", torch.tensor([10, 20, 2**40, -4]))

        def forward(self, x):
            y = self.net(x)
            return self.tail(self, y)

    models = {
        "torch_argmax": (lambda m, y: (y, y.argmax(1)), 4), "torch_only": (lambda m, y: y.argmax(1), 4), "torch_keep": (lambda m, y: (torch.softmax(y, 1), y.argmin(1, keepdim=True)), 4),
        "torch_codes": (lambda m, y: (y, m.codes[y.argmax(1)]), 4), "torch_half": (lambda m, y: (torch.sigmoid(y), (torch.sigmoid(y) > 0.5).long(), torch.sigmoid(y) > 0.5), 3),
        "torch_int": (lambda m, y: (y, (y * 5).int()), 2), "torch_max": (lambda m, y: (y, *torch.softmax(y, 1).max(1)), 4), "torch_reshaped": (lambda m, y: (y, y.reshape(-1, 2, 2).argmax(2).float()), 4),
    }
    for name, (tail, out) in models.items():
        torch.manual_seed(1)
        torch.onnx.export(Two(tail, out).eval(), (torch.zeros(2, 5),), str(OUT / f"{name}.onnx"), dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "N"}})


def keras():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    import tf2onnx

    for name, dtype in (("keras_argmax", tf.int64), ("keras_argmax32", tf.int32)):
        keras.utils.set_random_seed(1)
        x = keras.Input((5,))
        p = keras.layers.Dense(3, "softmax")(keras.layers.Dense(8, "relu")(x))
        net = keras.Model(x, p)
        call = tf.function(lambda x, net=net, dtype=dtype: {"scores": net(x), "label": tf.argmax(net(x), axis=1, output_type=dtype)}, input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
        tf2onnx.convert.from_function(call, input_signature=call.input_signature, opset=17, output_path=str(OUT / f"{name}.onnx"))
        only = tf.function(lambda x, net=net, dtype=dtype: tf.argmax(net(x), axis=-1, output_type=dtype), input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
        tf2onnx.convert.from_function(only, input_signature=only.input_signature, opset=17, output_path=str(OUT / f"{name}_only.onnx"))


OUT.mkdir(exist_ok=True)
{"sklearn": sklearn, "torch": torch, "keras": keras}[sys.argv[1]]()
