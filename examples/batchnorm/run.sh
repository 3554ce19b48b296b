#!/bin/sh
# SPDX-License-Identifier: MIT
# What BatchNormalization does to a small net that learns digits:  examples/batchnorm/run.sh [FOLDER]
# Makes both nets, trains them from five seeds, and writes runs.csv, curves.svg and table.md into FOLDER
# (default build/examples/batchnorm). HONE names another command than build/hone.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
hone=${HONE:-$root/build/hone}
out=${1:-$root/build/examples/batchnorm}
mnist=$root/examples/mnist
[ -x "$hone" ] || { echo "$hone is not there: tools/quickstart.sh builds it" >&2; exit 1; }
mkdir -p "$out"

echo net,seed,epoch,train_loss,val_loss,val_accuracy > "$out/runs.csv"
for seed in 1 2 3 4 5; do
    for words in relu "relu batchnorm"; do
        name=plain
        [ "$words" = relu ] || name=BatchNorm
        model=$out/$name-$seed
        "$hone" new "784-48-24-10 $words" --seed $seed --force --quiet -o "$model.onnx"
        "$hone" train "$model.onnx" --x "$mnist/images.idx3.gz" --y "$mnist/labels.idx1.gz" --x-scale 0.00392156862745098 \
            --val-split 0.2 --optimizer sgd --lr 0.01 --batch-size 512 --epochs 20 --seed $seed \
            --run-dir "$model.run" --force --quiet -o "$model-trained.onnx"
        awk -F, -v net=$name -v seed=$seed 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
            { print net "," seed "," $c["epoch"] "," $c["train_loss"] "," $c["val_loss"] "," $c["val_accuracy"] }' \
            "$model.run/metrics.csv" >> "$out/runs.csv"
    done
done
awk -f "$root/examples/curves.awk" -v value=val_accuracy -v title="784-48-24-10, SGD 0.01, batch 512: five seeds" \
    -v label="validation accuracy" -v low=0 -v high=1 -v legend=low "$out/runs.csv" > "$out/curves.svg"
awk -F, -f "$here/table.awk" "$out/runs.csv" | tee "$out/table.md"
echo "curves: $out/curves.svg, all numbers: $out/runs.csv" >&2
