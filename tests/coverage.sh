#!/bin/sh
# SPDX-License-Identifier: MIT
# Which lines the tests run: sh tests/coverage.sh [KIND...]   (no KIND: all tests of tests/run.sh)
# Needs gcc and its gcov. Prints the share of lines of each folder, then every call that diagnoses and is never run; what each
# line counted is in build-coverage/lines. Exit code 1 below 90% or where such a call is left.
# Lines that run only in a process that is killed or aborts are not seen: gcov writes at a regular end.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(pwd)/build-coverage
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=gcc \
    -DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic -fno-inline" >"$build/log" 2>&1 || { tail -n 40 "$build/log"; exit 1; }
find "$build" -name '*.gcda' -delete
[ $# -gt 0 ] || set -- all
for kind; do
    only="--only=$kind"
    [ "$kind" != all ] || only=''
    # shellcheck disable=SC2086 # none or one word
    GRADUS_BUILD=$build GRADUS_LDFLAGS=--coverage sh tests/run.sh $only >"$build/tests.log" 2>&1
    echo "$kind: $(tail -n 1 "$build/tests.log")"
done

# Every object that ran or did not; one that never ran counts with all its lines.
find "$build/CMakeFiles" -name '*.gcno' | grep -E '/(base|front|ir|elab|pass|eval|back|driver|gradus_runtime)\.dir/' |
    xargs -r gcov -t 2>/dev/null | awk -v root="$(pwd)/" '
    { at = index($0, ":"); count = substr($0, 1, at - 1); rest = substr($0, at + 1)
      gsub(/[ *]/, "", count)
      at = index(rest, ":"); line = substr(rest, 1, at - 1) + 0; text = substr(rest, at + 1) }
    line == 0 && text ~ /^Source:/ {
        file = substr(text, 8)
        sub("^" root, "", file)
        while (file ~ /[^\/]+\/\.\.\//) sub(/[^\/]+\/\.\.\//, "", file)
        sub(/^\.\.\//, "", file)
        ours = file ~ /^(compiler|runtime)\//
        next
    }
    !ours || line == 0 || count == "-" || text ~ /^[ ]*}$/ { next }
    { key = file ":" line; source[key] = text; if (!(key in hits)) hits[key] = 0; if (count + 0 > 0) hits[key] = count + 0 }
    END { for (key in hits) printf "%s\t%d\t%s\n", key, hits[key], source[key] }' | sort -t: -k1,1 -k2,2n >"$build/lines"

awk -F '\t' '
    { folder = $1; sub(/\/[^\/]*$/, "", folder); lines[folder]++; all++; if ($2 > 0) { run[folder]++; covered++ } }
    $2 == 0 && /(diag_error|diag_warning|fault_set|fail|fail_here|shape_fail)\(/ && $3 !~ /^(static|bool|void)/ { print $1 ": never run: " $3; left++ }
    END {
        for (folder in lines) printf "%6.1f%% of %5d lines  %s\n", 100 * run[folder] / lines[folder], lines[folder], folder | "sort -k5"
        close("sort -k5")
        printf "%6.1f%% of %5d lines in all, %d calls that diagnose are never run\n", all ? 100 * covered / all : 0, all, left
        exit !(all && covered >= 0.9 * all && !left)
    }' "$build/lines"
