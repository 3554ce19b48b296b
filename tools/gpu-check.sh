#!/bin/bash
# SPDX-License-Identifier: MIT
# Everything about the GPU in one go, under ten minutes: builds the backend, its module and its tests on a machine with nvcc,
# cuBLAS and cuDNN (no Check, protobuf-c or OpenBLAS needed), compares every op with the reference kernels, trains random programs,
# tries BatchNormalization and Dropout by cuDNN, runs compute-sanitizer where it is, loads the module as the library does,
# benchmarks models A to D, beside PyTorch where it is, and prints a block for gpu/RESULTS.md.
# With HONE_GPU_COMMAND=FOLDER (what tools/gpu-pack.sh made) the command itself runs, too. A BUILD-FOLDER brought along whose
# objects are of these sources is only linked (made where there is no GPU, they are for every device from sm_80 on).
# HONE_GPU_PARTS: a few of `tests command bench products torch profile sanitizer`; profile, kernel times by ncu, only where named.
#   usage: tools/gpu-check.sh [BUILD-FOLDER]     exit 0 all good, 1 something failed, 77 no GPU or no compiler (nothing was shown)
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build-gpu-check}
mkdir -p "$build"
cd "$root" || exit 1
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
[ -x "$nvcc" ] || { echo "skipped: no nvcc"; exit 77; }
cuda=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)

# headers and libraries: the toolkit's, else those of the Python packages
folders=$(python3 -c 'import glob, site, sys
for p in site.getsitepackages() + sys.path:
    for d in glob.glob(p + "/nvidia/*"): print(d)' 2>/dev/null | sort -u)
places="lib64 lib targets/x86_64-linux/lib lib/x86_64-linux-gnu"
first() { # NAME SUBFOLDERS: where it is, in those places or at last anywhere
  for d in "$cuda" /usr/local/cuda $folders /usr; do for sub in $2; do ls "$d/$sub/"$1 2>/dev/null && return; done; done
  find / \( -path /proc -o -path /sys \) -prune -o -name "$1" -print 2>/dev/null
}
lt_header=$(first cublasLt.h "include" | head -1)
dnn_header=$(first cudnn_version.h "include" | head -1)
lt=$(first 'libcublasLt.so*' "$places" | head -1)
dnn=$(first 'libcudnn.so*' "$places" | head -1)
rt=$(first 'libcudart.so*' "$places" | head -1)
for need in lt_header dnn_header lt dnn rt; do
  [ -n "${!need}" ] || { echo "skipped: $need is not on this machine"; exit 77; }
done
include="-I$root -I$root/plugin -I$build/include -I$cuda/include -I$(dirname "$lt_header") -I$(dirname "$dnn_header")"
mkdir -p "$build/include" && cp ops/base/hone_status.h "$build/include/"
version=$(sed -n 's/^project(hone VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
echo "#define HN_VERSION \"$version\"" >"$build/include/version.h"
cflags="-std=gnu17 -O2 -g -fPIC -Wall -Wextra -D_GNU_SOURCE -include $build/include/version.h -fvisibility=hidden -ffp-contract=off"
export nvcc build include cflags
arch=${HONE_GPU_ARCH:--arch=native}
nvidia-smi -L >/dev/null 2>&1 || arch="-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=[sm_90,compute_90]"
export arch

echo "== build"
kernels=$(sed -n 's/^set(HN_GPU_KERNELS \(.*\))/\1/p' gpu/gpu.cmake)
host="$(sed -n 's/^set(HN_GPU_HOST \(.*\))/\1/p' gpu/gpu.cmake) layer cudnn"
tests="test_fake_rows test_fake_train test_fake_stream test_fake_cudnn test_fake_large test_fake_panel test_fake_chain"
jobs=()
for k in $kernels; do for b in 32 64; do
  jobs+=("$nvcc -c $arch -std=c++17 -O3 -lineinfo -DHN_BITS=$b -Xcompiler=-fPIC,-fvisibility=hidden,-fno-threadsafe-statics -diag-suppress=550 -I$root -o $build/k_${k}_$b.o gpu/$k.cu")
done; done
for f in $host module; do jobs+=("cc $cflags $include -c -o $build/h_$f.o gpu/$f.c"); done
for f in memory status tensor half rng format number pool; do jobs+=("cc $cflags $include -c -o $build/o_base_$f.o ops/base/$f.c"); done
for f in ops/math/*.c; do jobs+=("cc $cflags $include -c -o $build/o_math_$(basename "$f" .c).o $f"); done
for t in $tests; do jobs+=("cc $cflags -I$root/tests/gpu/nocheck $include -c -o $build/t_$t.o tests/gpu/$t.c"); done
for t in device bench products load; do jobs+=("cc $cflags -I$root/tests/gpu/nocheck $include -c -o $build/t_$t.o tests/gpu/device/$t.c"); done
jobs+=("cc $cflags $include -c -o $build/p_gpu_module.o plugin/gpu_module.c")
sources=$(find gpu ops plugin/gpu_module.c tests/gpu tests/cpu tools/gpu-check.sh -type f ! -path '*__pycache__*' | LC_ALL=C sort | xargs sha256sum | sha256sum)
if [ "$sources" != "$(cat "$build/sources" 2>/dev/null)" ]; then
  rm -f "$build/sources"
  printf '%s\n' "${jobs[@]}" | xargs -P "$(nproc)" -I{} sh -c '{} || { echo "FAILED: {}"; exit 255; }' || exit 1
  echo "$sources" >"$build/sources"
fi
hobjects=$(for f in $host; do echo "$build/h_$f.o"; done)
libs="$lt $dnn $rt -lm -ldl -lpthread"
for l in "$lt" "$dnn" "$rt"; do libs="$libs -Wl,-rpath,$(dirname "$l")"; done
cc -shared -o "$build/libhone_cuda.so" "$build"/k_*.o $hobjects "$build/h_module.o" $libs -Wl,-z,defs -Wl,--version-script="$root/gpu/hone_cuda.map" || exit 1
for t in $tests bench products; do
  cc -o "$build/$t" "$build/t_$t.o" "$build/t_device.o" "$build"/k_*.o $hobjects "$build"/o_*.o $libs || exit 1
done
cc -o "$build/load" "$build/t_load.o" "$build/p_gpu_module.o" "$build"/o_*.o -lm -ldl -lpthread || exit 1
echo "built in $SECONDS s; exported: $(nm -D --defined-only "$build/libhone_cuda.so" | awk '{print $3}' | tr '\n' ' ')"

rm -f "$build"/{bench,products,torch}.txt # of a run before
"$build/bench" probe | tee "$build/probe.txt"
[ "${PIPESTATUS[0]}" = 77 ] && exit 77

failed=0
report=()
: >"$build/refused.txt"
: >"$build/log.txt" # everything, for a look afterwards
say() { # NAME RC: one line of the report
  case $2 in
  0) report+=("- $1: passed") ;;
  77) report+=("- $1: skipped") ;;
  124) case $1 in
    compute-sanitizer*) report+=("- $1: cut off by time, nothing found so far") ;;
    *) report+=("- $1: FAILED, it took too long") && failed=1 ;;
    esac ;;
  *) report+=("- $1: FAILED ($2)") && failed=1 ;;
  esac
}
room() { # SECONDS: so many, or what is left of the whole; 0 where it is not worth a start
  local left=$((${HONE_GPU_SECONDS:-560} - SECONDS))
  [ $left -gt "$1" ] && left=$1
  [ $left -lt 10 ] && left=0
  echo $left
}
part() { # NAME: is it wanted?
  case " ${HONE_GPU_PARTS:-tests command bench products torch sanitizer} " in *" $1 "*) return 0 ;; esac
  return 1
}
begun=0 # checks
begin() { # NAME SECONDS PARTS PROGRAM...: the program's cases dealt out to so many processes at once; finish waits for them
  local name=$1 limit parts=$3 i
  limit=$(room "$2"); shift 3
  echo "== $name"
  [ "$limit" = 0 ] && { report+=("- $name: skipped, no time was left"); return; }
  last=$build/part.$begun
  names[begun]=$name running[begun]=
  for ((i = 0; i < parts; i++)); do
    HN_TEST_PART=$i/$parts timeout "$limit" "$@" >"$last.$i" 2>&1 &
    running[begun]+=" $!"
  done
  begun=$((begun + 1))
}
finish() { # all that were begun
  local k i rc worst
  for k in "${!running[@]}"; do
    worst=0 i=0
    for p in ${running[k]}; do
      wait "$p"; rc=$?
      [ $rc = 0 ] || worst=$rc
      tail -n 25 "$build/part.$k.$i"
      { echo "==== ${names[k]}, part $i: $rc"; cat "$build/part.$k.$i"; } >>"$build/log.txt"
      grep -h 'not on this device' "$build/part.$k.$i" >>"$build/refused.txt"
      i=$((i + 1))
    done
    say "${names[k]}" $worst
  done
  running=()
  echo "   at $SECONDS s"
}
check() { begin "$@" && finish; }
if part tests; then
  begin "every op against the reference, fp32 to 1e-5, float64 to 1e-9" 150 6 "$build/test_fake_rows"
  begin "training against the reference: random programs, cohorts, streams" 120 4 "$build/test_fake_train"
  begin "streamed rows: the same bits as resident ones" 60 4 "$build/test_fake_stream"
  begin "BatchNormalization and Dropout by cuDNN: values, masks, replay, resume" 90 2 "$build/test_fake_cudnn"
  begin "ways of large layers: copied operands, wide norms, bias gradients" 60 4 "$build/test_fake_large"
  begin "products in panels, every shape, against the reference, and the same bits in company" 60 4 "$build/test_fake_panel"
  begin "norms and losses in the launches of products, against the reference" 60 4 "$build/test_fake_chain"
  finish
fi
check "the module as the library loads it" 60 1 "$build/load"
loaded=$(grep '^|' "$last.0")
if part bench; then
  echo "== benchmark"
  limit=$(room 200) # 0 would be no limit to timeout
  timeout $((limit + 1)) "$build/bench" 3 | tee "$build/bench.txt"
  say "benchmark, learning curves within bounds" "${PIPESTATUS[0]}"
fi
if part products; then
  limit=$(room 40)
  timeout $((limit + 1)) "$build/products" | tee "$build/products.txt"
  say "products of large layers, timed" "${PIPESTATUS[0]}"
fi
if part torch; then
  limit=$(room 70)
  timeout $((limit + 1)) python3 tests/gpu/device/bench_torch.py | tee "$build/torch.txt"
  [ "${PIPESTATUS[0]}" = 0 ] || report+=("- PyTorch: $(tail -n 1 "$build/torch.txt")")
fi
ncu=$(command -v ncu || ls "$cuda/bin/ncu" 2>/dev/null | head -1)
reasons="barrier branch_resolving dispatch_stall drain imc_miss lg_throttle long_scoreboard math_pipe_throttle membar mio_throttle no_instruction not_selected selected short_scoreboard sleeping tex_throttle wait"
if part profile && [ -n "$ncu" ]; then
  while read -r model options slots; do
    echo "== kernels of a step: $model, $options, $slots together"
    metrics=gpu__time_duration.sum
    for reason in "" $reasons; do
      metrics+=${reason:+,smsp__average_warps_issue_stalled_${reason}_per_issue_active.ratio}
    done
    timeout $(($(room 25) + 1)) "$ncu" --clock-control none --cache-control none --csv --page raw \
      --metrics "$metrics,smsp__inst_executed.sum,smsp__warps_launched.sum" \
      "$build/bench" steps "$model" "$options" "$slots" >"$build/ncu.csv" 2>"$build/ncu.err"
    python3 tests/gpu/device/kernels.py "$build/ncu.csv" 4
  done <tests/gpu/device/profile.txt | tee "$build/profile.txt"
fi
if ! part command; then
  report+=("- the command: left out")
elif [ -n "${HONE_GPU_COMMAND:-}" ]; then
  begin "the command: as on the CPU, interrupted and resumed to the same bytes" 90 1 python3 tests/gpu/command.py "$HONE_GPU_COMMAND" "$build/libhone_cuda.so"
  begin "what the command can do with a model: as on the CPU, killed and resumed to the same bytes" 90 6 python3 tests/gpu/features.py "$HONE_GPU_COMMAND" "$build/libhone_cuda.so"
  finish
  check "searches: the same for any number of workers, 64 replicas timed" 60 1 python3 tests/gpu/command.py "$HONE_GPU_COMMAND" "$build/libhone_cuda.so" search
  timed=$(grep '^64 replicas' "$last.0")
else
  report+=("- the command: skipped, HONE_GPU_COMMAND names no folder with it")
fi

sanitizer=$(command -v compute-sanitizer || ls "$cuda/bin/compute-sanitizer" "$cuda/compute-sanitizer/compute-sanitizer" 2>/dev/null | head -1)
if ! part sanitizer; then
  report+=("- compute-sanitizer: left out")
elif [ -n "$sanitizer" ]; then # a share of the cases, in the time that is left: these tools are slow
  export HN_TEST_EVERY=16
  watch() { # PARTS TESTS...: each tool on them
    local parts=$1 tool t
    shift
    for tool in memcheck racecheck synccheck; do
      for t in "$@"; do
        begin "compute-sanitizer $tool, $t, every 16th case" 70 "$parts" "$sanitizer" --tool $tool --error-exitcode 9 "$build/$t"
      done
    done
    finish
  }
  watch 1 test_fake_chain test_fake_panel test_fake_large # what has run least comes first
  watch 2 test_fake_train test_fake_cudnn test_fake_rows
  unset HN_TEST_EVERY
else
  report+=("- compute-sanitizer: skipped, it is not on this machine")
fi
echo
echo "---- for gpu/RESULTS.md ----"
echo "## $(date -u +%Y-%m-%d), $(sed -n 's/^device: //p' "$build/probe.txt")"
echo
printf '%s\n' "${report[@]}" ${timed:+"- $timed"}
sort "$build/refused.txt" | uniq -c | sort -rn | head -12 | sed 's/^ */- cases left out: /'
echo
cat "$build"/{bench,products}.txt 2>/dev/null | grep '^|'
echo "$loaded"
grep -h '^|' "$build/torch.txt" 2>/dev/null
echo
echo "---- end, $SECONDS s, $([ $failed = 0 ] && echo all passed || echo SOMETHING FAILED) ----"
exit $failed
