#!/bin/sh
# SPDX-License-Identifier: MIT
# Times training steps of tests/bench/nets in Gradus and its peers: sh tests/bench/run.sh [--nets=A,B] [--threads=1,2] [--seconds=S]
# Needs a build in build/; PyTorch where it is compared. `--help` lists all options. For a person at a quiet machine; never in CI.
set -eu
cd "$(dirname "$0")/../.."
[ -x build/gradus ] || { echo "no compiler in build/: sh tests/run.sh --fast builds it" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 tests/bench/bench.py --work="$work" "$@"
