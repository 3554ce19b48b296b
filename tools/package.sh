#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds Debian packages of this release into build-package/: libhone0 (the library), libhone-dev (headers, static library,
# pkg-config, CMake) and hone (the command, manual pages, completion for bash, zsh and fish).
# Maintainer: HONE_MAINTAINER="Name <mail>" tools/package.sh, else DEBFULLNAME and DEBEMAIL, else git's author.
#   tools/package.sh && sudo apt-get install ./build-package/libhone0_*.deb ./build-package/hone_*.deb
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh --package
build=build-package
mkdir -p "$build"
rm -f "$build"/*.deb
{
  cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DHONE_TESTS=OFF -DHONE_CUDA=OFF \
    -DHONE_ZSH_DIR=share/zsh/vendor-completions -DHONE_MAINTAINER="${HONE_MAINTAINER:-}"
  cmake --build "$build" -j "$(nproc)"
  (cd "$build" && umask 022 && cpack -G DEB)
} >"$build/package.log" 2>&1 || { tail -n 30 "$build/package.log"; exit 1; }
ls -1sh "$build"/*.deb
