#!/bin/bash
# SPDX-License-Identifier: MIT
# Sets the machine up, builds with warnings as errors, runs every test. The last lines are CTest's summary; the exit
# status tells. Tests against ONNX Runtime and the ONNX package run from a Python environment in build-test/venv; where
# it cannot be made they are skipped, saying so.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh --test
build=${HONE_BUILD:-build-test}
mkdir -p "$build"

if ! cmp -s tests/requirements.txt build-test/venv/ok; then # a copy of what was installed
  echo "setup: Python packages for the comparison tests (build-test/venv)"
  mkdir -p build-test
  rm -f build-test/venv/ok
  if { python3 -m venv build-test/venv && build-test/venv/bin/pip install -q -r tests/requirements.txt; } \
      >build-test/venv.log 2>&1; then
    cp tests/requirements.txt build-test/venv/ok
  else
    tail -n 3 build-test/venv.log
    echo "setup: no Python packages: the comparison tests will be skipped"
  fi
fi
python=""
if [ -e build-test/venv/ok ]; then python=$PWD/build-test/venv/bin/python; fi

cmake -S . -B "$build" -DHONE_WERROR=ON -DHONE_TESTS=ON -DHONE_PYTHON="$python" "$@" >"$build/cmake.log" || { cat "$build/cmake.log"; exit 1; }
grep -E '^-- (hone|gpu)' "$build/cmake.log" || true
if ! cmake --build "$build" -j "$(nproc)" >"$build/build.log" 2>&1; then
  grep -E 'error|warning' -A 5 "$build/build.log" | head -n 60
  exit 1
fi
exec env CTEST_OUTPUT_ON_FAILURE=1 ctest --test-dir "$build" -j "$(nproc)"
