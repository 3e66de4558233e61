#!/bin/sh
# SPDX-License-Identifier: MIT
# libFuzzer on everything that reads: sh tests/fuzz/run.sh [--minutes=N | --runs=N] [TARGET...]
# Targets: model graph format weights data (tests/fuzz/TARGET.c). --minutes (1): CPU time for each, with new seeds each time;
# --runs: so many inputs, the same ones each time.
# A hang is an input that takes two seconds of CPU time. What is new is kept in build-fuzz/corpus, faults in build-fuzz/faults.
set -u
cd "$(dirname "$0")/../.." || exit 1
minutes=1 runs='' targets=''
for word; do
    case $word in
    --minutes=*) minutes=${word#*=} ;;
    --runs=*) runs=${word#*=} ;;
    -*) sed -n '3,6s/^# //p' "$0" >&2; exit 2 ;;
    *) targets="$targets $word" ;;
    esac
done
[ -n "$targets" ] || targets='model graph format weights data'
build=$(pwd)/build-fuzz
mkdir -p "$build/faults"
sh tests/setup.sh fuzz || exit 1
names=''
for target in $targets; do names="$names fuzz-$target"; done
# shellcheck disable=SC2086 # names are words
{ cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang-19 -DCMAKE_BUILD_TYPE=Release -DGRADUS_FUZZ=ON -DGRADUS_WERROR=OFF &&
    cmake --build "$build" -j 2 --target $names; } >"$build/log" 2>&1 || { tail -n 40 "$build/log"; exit 1; }

# Seconds of CPU time of what ran so far, as $build/times has it.
spent() { awk 'END {split($1, a, /[ms]/); print int(60 * a[1] + a[2])}' "$build/times"; }

# The files of the tree that a target's inputs look like.
seeds() {
    mkdir -p "$2"
    case $1 in
    model | format) cp --backup=numbered stdlib/*.gr tests/golden/*.gr tests/equal/*.gr tests/errors/*.gr examples/*/*.gr "$2" ;;
    graph) cp --backup=numbered tests/golden/*.graph tests/equal/*.graph "$2" ;;
    esac
    cp tests/fuzz/corpus/"$1"/* "$2" 2>/dev/null
}

status=0
for target in $targets; do
    seed=$(mktemp -d) || exit 1
    seeds "$target" "$seed"
    words='' dictionary=tests/fuzz/$target.dict
    [ "$target" != format ] || dictionary=tests/fuzz/model.dict
    [ ! -f "$dictionary" ] || words="-dict=$dictionary"
    options="-max_len=20000 -timeout=25 -report_slow_units=1 -rss_limit_mb=3000 -malloc_limit_mb=2000 -close_fd_mask=3 -artifact_prefix=$build/faults/$target-"
    if [ -n "$runs" ]; then
        # shellcheck disable=SC2086 # options are words
        "$build/fuzz-$target" $options $words -runs="$runs" -seed=1 "$seed" >"$build/$target.log" 2>&1 || status=1
    else
        mkdir -p "$build/corpus/$target"
        : >"$build/$target.log"
        # Names and sources are kept for the life of a process: some thousand inputs each.
        left=$(awk -v minutes="$minutes" 'BEGIN {print int(60 * minutes)}')
        while [ "$left" -gt 0 ]; do
            times >"$build/times" # of this shell: one in a pipe has no children
            before=$(spent)
            # shellcheck disable=SC2086 # options are words
            "$build/fuzz-$target" $options $words -runs=20000 -max_total_time="$left" "$build/corpus/$target" "$seed" \
                >>"$build/$target.log" 2>&1 || { status=1; break; }
            times >"$build/times"
            used=$(($(spent) - before))
            left=$((left - (used > 0 ? used : 1)))
        done
    fi
    for unit in "$build/faults/$target-slow-unit-"*; do # over a second: in a busy machine, or once more where it has one to itself?
        [ -f "$unit" ] || continue
        if (ulimit -t 2 && exec "$build/fuzz-$target" "$unit") >>"$build/$target.log" 2>&1; then rm -f "$unit"; else status=1; fi
    done
    rm -rf "$seed"
    echo "$target: $(grep -c '^Done ' "$build/$target.log") parts, $(awk '/^Done / {n += $2} END {print n + 0}' "$build/$target.log") inputs, $(find "$build/faults" -name "$target-*" | wc -l) faults"
done
exit $status
