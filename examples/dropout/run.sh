#!/bin/sh
# SPDX-License-Identifier: MIT
# What Dropout does to a net that is far too large for its data:  examples/dropout/run.sh [FOLDER]
# Draws 20 noisy points per seed, trains both nets on them, and writes runs.csv, curves.svg and table.md into FOLDER
# (default build/examples/dropout). HONE names another command than build/hone.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
hone=${HONE:-$root/build/hone}
out=${1:-$root/build/examples/dropout}
[ -x "$hone" ] || { echo "$hone is not there: tools/quickstart.sh builds it" >&2; exit 1; }
mkdir -p "$out"

awk -v seed=99 -v n=100 -f "$here/make_data.awk" > "$out/test.csv"
echo net,seed,epoch,train_loss,test_loss > "$out/runs.csv"
for seed in 1 2 3 4 5; do
    awk -v seed=$seed -v n=20 -f "$here/make_data.awk" > "$out/train-$seed.csv"
    for words in relu "relu dropout=0.2"; do
        name=plain
        [ "$words" = relu ] || name=Dropout
        model=$out/$name-$seed
        "$hone" new "1-100-100-1 $words" --seed $seed --force --quiet -o "$model.onnx"
        "$hone" train "$model.onnx" --data "$out/train-$seed.csv" --target y --val-data "$out/test.csv" --save last \
            --loss mse --optimizer adam --lr 0.01 --batch-size 20 --epochs 1000 --seed $seed \
            --run-dir "$model.run" --force --quiet -o "$model-trained.onnx"
        awk -F, -v net=$name -v seed=$seed 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
            { print net "," seed "," $c["epoch"] "," $c["train_loss"] "," $c["val_loss"] }' "$model.run/metrics.csv" >> "$out/runs.csv"
    done
done
awk -f "$root/examples/curves.awk" -v value=test_loss -v title="1-100-100-1 on 20 noisy points, Adam 0.01: five seeds" \
    -v label="test loss (mean squared error)" -v low=0.06 -v high=0.5 -v log_scale=1 "$out/runs.csv" > "$out/curves.svg"
awk -F, -f "$here/table.awk" "$out/runs.csv" | tee "$out/table.md"
echo "curves: $out/curves.svg, all numbers: $out/runs.csv" >&2
