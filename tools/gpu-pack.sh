#!/bin/bash
# SPDX-License-Identifier: MIT
# A folder with the command and all libraries it needs but the C library's own, for tools/gpu-check.sh on a machine that has none
# of them (x86-64, glibc 2.36 or later): HONE_GPU_COMMAND=FOLDER tools/gpu-check.sh
#   usage: tools/gpu-pack.sh [FOLDER]     build-pack by default; needs what the README's build needs, and no CUDA
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
pack=${1:-$root/build-pack}
cmake -S "$root" -B "$root/build-pack-work" -DCMAKE_BUILD_TYPE=Release -DHONE_CUDA=OFF -DHONE_POSTGRES=OFF -DHONE_TESTS=OFF >/dev/null
cmake --build "$root/build-pack-work" -j"$(nproc)" --target hone_command >/dev/null
mkdir -p "$pack"
cp "$root/build-pack-work/hone" "$root/build-pack-work/libhone.so.0" "$pack/"
ldd "$pack/hone" "$root/build-pack-work/libhone.so.0" | awk '/=> \//{print $3}' | sort -u |
  grep -v -E '/(libc|libm|libdl|libpthread|ld-linux[^/]*|libhone)\.so' | xargs -I{} cp -L {} "$pack/"
echo "$pack: $(du -sh "$pack" | cut -f1)"
