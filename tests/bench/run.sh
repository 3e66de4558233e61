#!/bin/sh
# SPDX-License-Identifier: MIT
# Times training steps of the same nets in PyTorch and Gradus: sh tests/bench/run.sh [--steps=N] [--rounds=N] [--threads=1,2]
# Needs a build in build/, python3-torch, and MNIST in $GRADUS_DATA. For a person at a quiet machine; never in CI.
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd)
if ! /usr/bin/python3 -c 'import torch' 2>/dev/null; then
    echo "PyTorch is missing: sudo apt-get install python3-torch" >&2
    exit 1
fi
[ -x build/gradus ] || { echo "no compiler in build/: sh tests/run.sh --fast builds it" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for net in lenet mlp; do
    "$root/build/gradus" build "tests/bench/$net.gr" -O3 -o "$work/$net"
done
cd "$work"
/usr/bin/python3 "$root/tests/bench/bench.py" "$@" "lenet=$work/lenet" "mlp=$work/mlp"
