#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs every fuzz program of a build for a total of SECONDS, starting from tests/fuzz/seeds and the models of the repository.
# What is found goes into seeds/NAME once it is handled well: without the fuzzer the seeds are tests (replay.c).
#   tests/fuzz/run.sh BUILD SECONDS
set -euo pipefail
build=$1
seconds=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
programs=("$build"/fuzz_*)
[ -x "${programs[0]}" ] || { echo "fuzz: no programs in $build"; exit 1; }
each=$((seconds / ${#programs[@]}))
[ "$each" -ge 5 ] || each=5
for p in "${programs[@]}"; do
  name=$(basename "$p")
  t=$each
  if [ "$name" = fuzz_onnx ]; then t=$seconds; fi
  corpus=$(mktemp -d)
  cp "$root/tests/fuzz/seeds/${name#fuzz_}"/* "$corpus"
  if [ "$name" = fuzz_onnx ]; then
    find "$root/tests/data" "$root/examples" -name '*.onnx' -size -64k | while read -r f; do
      cp "$f" "$corpus/$(sha1sum "$f" | cut -c1-16)"
    done
  fi
  echo "fuzz: $name for $t s"
  # 1 s and 2 GiB are bounds on a single small input
  "$p" -max_total_time="$t" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 "$corpus" 2>"$corpus.log" ||
    { tail -n 40 "$corpus.log"; exit 1; }
  grep -E 'number_of_executed_units|peak_rss' "$corpus.log"
  rm -rf "$corpus" "$corpus.log"
done
