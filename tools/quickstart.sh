#!/bin/bash
# SPDX-License-Identifier: MIT
# From nothing to a better model: sets the machine up, builds, then takes an ONNX model that PyTorch exported, shows it,
# trains it on real digits with early stopping and learning-rate decay, exports the best one and shows what changed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh
echo "build: compiling into build/ (log: build/build.log)"
mkdir -p build
if ! { cmake -S . -B build -DHONE_TESTS=OFF && cmake --build build --target hone_command -j "$(nproc)"; } >build/build.log 2>&1; then
  tail -n 30 build/build.log >&2
  exit 1
fi

hone=build/hone
out=build/quickstart
mkdir -p "$out"
data=(--x examples/mnist/images.idx3.gz --y examples/mnist/labels.idx1.gz --x-scale 0.00392156862745098)

echo
echo "== the model as it came"
$hone inspect examples/mnist/mnist.onnx
echo
echo "== training: at most 30 epochs, early stopping, learning rate decayed when validation stalls"
$hone train examples/mnist/mnist.onnx "${data[@]}" --test-split 0.2 --val-split 0.2 \
  --optimizer adam --lr 0.003 --batch-size 128 --epochs 30 \
  --lr-schedule plateau --lr-patience 1 --lr-gamma 0.3 --early-stop-patience 5 \
  -o "$out/mnist-tuned.onnx" --force --json >"$out/result.json"
echo
echo "== what changed in the file (metrics and settings: $out/result.json)"
$hone diff examples/mnist/mnist.onnx "$out/mnist-tuned.onnx" || true
echo
echo "the tuned model: $out/mnist-tuned.onnx"
