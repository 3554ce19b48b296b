#!/bin/bash
# SPDX-License-Identifier: MIT
# Which lines and branches the tests run, per file, those that miss most last; needs gcovr (Debian's, or pip install gcovr).
#   tools/coverage.sh [CTEST ARGUMENT...]      such as -E 'interop|python' for the C tests and those of the command alone
# The build is build-coverage (HONE_BUILD names another); a second call adds to the counts of the first, rm -r begins anew.
# HONE_TEST_PYTHON: a Python for the comparison tests. Lists of lines: gcovr -r . --object-directory build-coverage --html-details …
set -euo pipefail
cd "$(dirname "$0")/.."
build=${HONE_BUILD:-build-coverage}
command -v gcovr >/dev/null || { echo "coverage: wants gcovr (apt-get install gcovr, or pip install gcovr)"; exit 2; }
mkdir -p "$build"
cmake -S . -B "$build" -DHONE_COVERAGE=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" -DHONE_TESTS=ON -DHONE_CUDA=OFF \
  -DHONE_PYTHON="${HONE_TEST_PYTHON:-}" >"$build/cmake.log"
cmake --build "$build" -j "$(nproc)" >"$build/build.log" 2>&1 || { tail -n 30 "$build/build.log"; exit 1; }
without='^(plugin.install|cli.embed)$' # an archive for other programs would have to be linked with what counts
arguments=()
while [ $# -gt 0 ]; do # of two -E ctest takes the last
  if [ "$1" = -E ] || [ "$1" = --exclude-regex ]; then without="$without|${2:?}"; shift; else arguments+=("$1"); fi
  shift
done
ctest --test-dir "$build" -j "$(nproc)" -E "$without" ${arguments[@]+"${arguments[@]}"} >"$build/ctest.log" 2>&1 || tail -n 20 "$build/ctest.log"
gcovr -r . --object-directory "$build" --filter '(ops|onnx|plugin|tools)/' --gcov-ignore-errors=all --gcov-ignore-parse-errors=all \
  --merge-mode-functions=separate --exclude-throw-branches --sort uncovered-number --txt "$build/coverage.txt" \
  --json-summary "$build/coverage.json" 2>"$build/gcovr.log" || { tail -n 5 "$build/gcovr.log"; exit 1; }
tail -n 60 "$build/coverage.txt"
python3 - "$build/coverage.json" <<'P'
import json, sys
j = json.load(open(sys.argv[1]))
print("lines %.1f %%, branches %.1f %%, functions %.1f %%" % (j["line_percent"], j["branch_percent"], j["function_percent"]))
P
