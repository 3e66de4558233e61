#!/bin/sh
# SPDX-License-Identifier: MIT
# Times the nets of tests/bench/nets beside peers: sh tests/bench/run.sh [--contractions] [--nets=A,B] [--threads=1,2] [--seconds=S]
# Whole steps against PyTorch, FANN and darknet; with --contractions first, single ones against oneDNN and OpenBLAS. `--help` lists all options.
# Needs a build in build/ and what `sh tests/setup.sh bench` installs. For a person at a quiet machine; never in CI.
set -eu
cd "$(dirname "$0")/../.."
[ -x build/gradus ] || { echo "no compiler in build/: sh tests/run.sh --fast builds it" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
script=bench
if [ "${1-}" = --contractions ]; then
    script=contractions
    shift
fi
python3 "tests/bench/$script.py" --work="$work" "$@"
