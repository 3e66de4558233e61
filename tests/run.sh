#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs, builds and runs every test: sh tests/run.sh [--fast] [--sanitize[=thread]] [--update] [--only=KIND]
# Needs Debian 12. The last line is "N passed, N failed"; the exit code is 0 where nothing failed.
# Kinds: unit golden errors data equal counts second parity examples check cli life promise drill planted tests bits target thread fuzz train llvm nan kill_test bench house fault
# (tests/job.sh has one function each).
set -u
cd "$(dirname "$0")/.." || exit 1
ROOT=$(pwd)
fast='' sanitize='' threads='' only='' UPDATE=''
for word; do
    case $word in
    --fast) fast=1 ;;
    --sanitize) sanitize=1 ;;
    --sanitize=thread) threads=1 only=thread ;;
    --update) UPDATE=1 ;;
    --only=*) only=${word#--only=} ;;
    *) sed -n '3,5s/^# //p' "$0" >&2; exit 2 ;;
    esac
done

BUILD=${GRADUS_BUILD:-$ROOT/build} # tests/coverage.sh has its own
[ -z "$sanitize" ] || BUILD=$ROOT/build-sanitize
log=$BUILD/log.txt
mkdir -p "$BUILD" || exit 1
quietly() { # the command's output is shown only where it fails
    "$@" >"$log" 2>&1 && return 0
    tail -n 60 "$log" >&2
    echo "0 passed, 1 failed"
    exit 1
}
sh tests/setup.sh test || { echo "0 passed, 1 failed"; exit 1; }
if [ -n "$sanitize" ]; then
    quietly cmake -S . -B "$BUILD" -G Ninja -DCMAKE_C_COMPILER=gcc -DGRADUS_SANITIZE=ON
else
    quietly cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release
fi
quietly cmake --build "$BUILD" -j 2
if [ -n "$threads" ]; then # the runtime alone: the compiler has one thread, generated code is marked by the job
    sh tests/setup.sh thread || { echo "0 passed, 1 failed"; exit 1; }
    export THREAD="$ROOT/build-thread"
    quietly cmake -S . -B "$THREAD" -G Ninja -DCMAKE_C_COMPILER=clang-19 -DGRADUS_SANITIZE=thread -DGRADUS_TESTS=OFF
    quietly cmake --build "$THREAD" -j 2 --target gradus_runtime
fi

WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
mkdir "$WORK/results"
export ROOT BUILD WORK UPDATE
export GRADUS_RUNTIME="$BUILD/libgradus_runtime.a"
[ -z "$sanitize" ] || export SANITIZE=1 ASAN_OPTIONS=detect_leaks=0 GRADUS_LDFLAGS=-fsanitize=address,undefined

# One job a line: KIND ARGUMENT. What takes long stands first, so that two at a time end together.
jobs() {
    if [ -n "$threads" ]; then
        for file in tests/bits/*.gr; do echo "thread $file"; done
        return 0
    fi
    slow=$([ -n "$fast$sanitize" ] || echo 1)
    if [ -n "$slow" ]; then
        echo "drill all"
        echo "fault 1000"
        echo "kill_test 12"
        for file in examples/*/*.gr examples/lecture/*/*.gr examples/papers/*/*.gr; do ! grep -qs '^train ' "$file" || echo "train $file"; done
        for file in tests/bits/*.gr; do echo "bits $file"; done
        echo "planted all"
        grep -l '^test .*expect' examples/*/*.gr examples/lecture/*/*.gr | sed 's/^/tests /'
        [ -n "$sanitize" ] || for file in tests/bench/nets/*.gr; do echo "bench $file"; done
        [ -n "$sanitize" ] || for file in tests/bits/model.gr examples/digits/digits.gr; do echo "target $file"; done
    else
        echo "bench tests/bench/nets/tiny.gr"
        echo "train examples/digits/digits.gr"
        for file in examples/lecture/*/*.gr; do ! grep -qs '^train ' "$file" || echo "check $file"; done
    fi
    for file in "$BUILD"/unit-*; do [ ! -x "$file" ] || echo "unit $file"; done
    for file in tests/errors/*.gr; do [ ! -f "$file" ] || echo "errors $file"; done
    for file in tests/errors/data/*/; do # AddressSanitizer's own tables are beyond any limit of addresses
        [ -z "$sanitize" ] || ! grep -q 'ulimit -v' "$file/expect" || continue
        [ ! -f "$file/expect" ] || echo "data $file"
    done
    for file in tests/parity/*.txt; do [ ! -f "$file" ] || echo "parity $file"; done
    echo "counts examples/lecture/09-optimizers/bowl.gr"
    echo "second tests/second.gr"
    echo "promise all"
    for file in tests/order/*.gr; do echo "tests $file"; done
    echo "cli all"
    echo "life all"
    for file in tests/nan/*.gr; do echo "nan $file"; done
    echo "fuzz text"
    [ -z "$slow" ] || echo "fuzz targets"
    [ -z "$sanitize" ] || return 0
    for file in tests/golden/*.gr; do [ ! -f "$file" ] || echo "golden $file"; done
    for file in tests/equal/*.plan; do [ ! -f "$file" ] || echo "golden ${file%plan}graph"; done
    for file in tests/llvm/*.gr; do [ ! -f "$file" ] || echo "llvm $file"; done
    for file in stdlib/*.gr examples/*/*.gr examples/lecture/*/*.gr examples/papers/*/*.gr tests/bench/nets/*.gr; do [ ! -f "$file" ] || echo "format $file"; done
    for file in stdlib/*.gr; do echo "examples $([ -z "$slow" ] || echo "-O2 ")$file"; done
    echo "house all"
    # The fast set takes every sixth application of the lists.
    grep -hv '^#' tests/equal/defs.txt tests/equal/shapes.txt | grep . | awk -v every="$([ -n "$slow" ] && echo 1 || echo 6)" \
        'NR % every == 0 {print "equal " $0}'
}
jobs | awk -v only="$only" 'only == "" || $1 == only' | awk '{printf "%04d %s\n", NR, $0}' >"$WORK/jobs"
tr '\n' '\0' <"$WORK/jobs" | xargs -0 -r -P 2 -n 1 sh tests/job.sh

# A job that left no result has crashed: that is a failure too.
passed=0 failed=0
while read -r number what; do
    if [ -s "$WORK/results/$number" ]; then
        counts=$(awk '{p += $1; f += $2} END {print p + 0, f + 0}' "$WORK/results/$number")
        passed=$((passed + ${counts% *}))
        failed=$((failed + ${counts#* }))
    else
        echo "not ok - $what: left no result"
        failed=$((failed + 1))
    fi
done <"$WORK/jobs"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
