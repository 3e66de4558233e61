#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing of the Debian 12 packages that Gradus is built with: setup.sh [build|test|bench|fuzz|thread]
# Needs root or sudo only where a package is missing. The one list of packages.
set -eu
build="gcc libc6-dev cmake ninja-build llvm-19-dev flex bison zlib1g-dev"
tests="llvm-19-tools libcriterion-dev libmpfr-dev liblapacke-dev libjansson-dev librandom123-dev xz-utils gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  qemu-user"
bench="python3 python3-torch libopenblas-dev libdnnl-dev libfann-dev darknet"

case ${1:-build} in
build) wanted=$build ;;
test) wanted="$build $tests" ;;
bench) wanted="$build $bench" ;; # of bench/run.sh
fuzz) wanted="$build clang-19 libclang-rt-19-dev" ;; # of fuzz/run.sh
thread) wanted="llvm-19 clang-19 libclang-rt-19-dev libomp-19-dev" ;; # of run.sh --sanitize=thread
*) echo "usage: sh tests/setup.sh [build|test|bench|fuzz|thread]" >&2; exit 2 ;;
esac

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: install these packages first (root is needed):$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "installing:$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
