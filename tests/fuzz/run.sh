#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs every fuzz program of a build for a total of SECONDS, starting from the models and tables of the repository.
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
  case $name in
    fuzz_onnx)
      find "$root/tests/data" "$root/examples" -name '*.onnx' -size -64k | while read -r f; do
        cp "$f" "$corpus/$(sha1sum "$f" | cut -c1-16)"
      done
      ;;
    fuzz_csv) printf 'a,b,c\n1,2.5,"x, y"\n-3e4,NA,z\n' >"$corpus/seed" ;;
    fuzz_npy) printf '\x93NUMPY\x01\x00\x46\x00{"descr": "<f4", "fortran_order": False, "shape": (1, 1), }          \n\0\0\0\0' >"$corpus/seed" ;;
  esac
  echo "fuzz: $name for $t s"
  # 1 s and 2 GiB are bounds on a single small input
  "$p" -max_total_time="$t" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 "$corpus" 2>"$corpus.log" ||
    { tail -n 40 "$corpus.log"; exit 1; }
  grep -E 'number_of_executed_units|peak_rss' "$corpus.log"
  rm -rf "$corpus" "$corpus.log"
done
