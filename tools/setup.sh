#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what is missing to build and run Hone on Debian (packages of the distribution only) and says what it did.
#   tools/setup.sh          to build and run
#   tools/setup.sh --test   also what the tests need
#   tools/setup.sh --package  also what makes Debian packages
# Running it again is instant. Needs root or sudo only when something is missing.
set -euo pipefail

packages=(gcc make cmake pkg-config libc6-dev libprotobuf-c-dev protobuf-c-compiler libopenblas-dev zlib1g-dev
          libzip-dev libxxhash-dev libsqlite3-dev libpq-dev libjansson-dev libyaml-dev)
if [ "${1:-}" = "--test" ]; then
  packages+=(g++ check protobuf-compiler python3 python3-venv postgresql dpkg-dev file)
elif [ "${1:-}" = "--package" ]; then
  packages+=(dpkg-dev file fakeroot)
elif [ -n "${1:-}" ]; then
  echo "setup: unknown option '$1' (--test and --package are known)" >&2
  exit 2
fi

missing=()
for p in "${packages[@]}"; do
  case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
    "install ok installed") ;;
    *) missing+=("$p") ;;
  esac
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: everything is there (${#packages[@]} packages)"
  exit 0
fi

echo "setup: installing ${missing[*]}"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: run this as root, or install sudo" >&2; exit 1; }
  sudo=(sudo)
fi
log=$(mktemp)
# The tests start PostgreSQL servers of their own in folders of their own: installing the package shall not start another.
cluster=/etc/postgresql-common/createcluster.conf
no_cluster() {
  case " ${missing[*]} " in *" postgresql "*) ;; *) return 0 ;; esac
  "${sudo[@]}" apt-get install -y --no-install-recommends postgresql-common
  "${sudo[@]}" cp -p "$cluster" "$cluster.before"
  "${sudo[@]}" sed -i 's/^[# ]*create_main_cluster.*/create_main_cluster = false/' "$cluster"
}
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { "${sudo[@]}" apt-get update && no_cluster &&
       "${sudo[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt-get failed, see above" >&2
  exit 1
fi
if [ -e "$cluster.before" ]; then "${sudo[@]}" mv "$cluster.before" "$cluster"; fi
echo "setup: installed ${#missing[@]} packages"
