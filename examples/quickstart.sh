#!/bin/sh
# SPDX-License-Identifier: MIT
# From a fresh clone to a trained net: sh examples/quickstart.sh
# Needs Debian 12; installs what is missing. Leaves build/gradus and build/digits.
set -eu
cd "$(dirname "$0")/.."
sh tests/setup.sh build
echo "building the compiler ..."
mkdir -p build
{
    cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build build --target gradus gradus_runtime
} >build/log.txt 2>&1 || { tail -n 40 build/log.txt >&2; exit 1; }
echo "compiling examples/digits/digits.gr ..."
build/gradus build examples/digits/digits.gr -o build/digits
mkdir -p build/digits-run
build/digits train --out=build/digits-run
echo
echo "the test set with the best weights:"
build/digits eval --set-name=test --out=build/digits-run
echo
echo "the executable is build/digits; build/digits --help says what else it can do"
