#!/bin/sh
# SPDX-License-Identifier: MIT
# Random models by the thousand: sh tests/equal/random.sh [--layers] [--jobs=N] [--again] FROM-TO
# Needs a build in build/ (or $GRADUS_BUILD). Seeds FROM to TO, fifty at a time; what is done stays done when it is called again,
# for the same or another range, unless --again. Ten thousand take about an hour of one core, with --layers about two: by hand.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${GRADUS_BUILD:-build} kind=random jobs=1 again='' range=''
for word; do
    case $word in
    --layers) kind=layers ;;
    --jobs=[1-9]*) jobs=${word#--jobs=} ;;
    --again) again=1 ;;
    [0-9]*-[0-9]*) range=$word ;;
    *) range=''; break ;;
    esac
done
[ -n "$range" ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
from=${range%-*} to=${range#*-} logs=$build/random
mkdir -p "$logs" || exit 1
blocks() { # FROM-TO of each, cut where seeds are multiples of fifty
    awk -v from="$from" -v to="$to" 'BEGIN {
        for (a = from; a <= to; a = b + 1) {
            b = a + 49 - a % 50
            print a "-" (b < to ? b : to)
        }
    }'
}
complete() { tail -n 1 "$logs/$kind-$1" 2>/dev/null | grep -q ' random models compared in '; }
blocks | while read -r block; do
    [ -n "$again" ] || ! complete "$block" || continue
    echo "$block"
done | xargs -r -P "$jobs" -I '{}' sh -c '
    nice "$0/gradus-equal" --shrink=60 "$2:{}" >"$1/.$2-{}" 2>&1
    status=$?
    [ $status -eq 0 ] || [ $status -eq 4 ] || { echo "$2:{}: exit code $status" >&2; exit 255; }
    mv "$1/.$2-{}" "$1/$2-{}"
    grep -E "faulty$|crashes" "$1/$2-{}" | grep "^$2:"
    :' "$build" "$logs" "$kind" || exit 1
for block in $(blocks); do tail -n 1 "$logs/$kind-$block"; done | awk -v kind="$kind" -v range="$range" '
    {models += $1; seconds += $6; refused += $(NF - 3); faulty += $(NF - 1)}
    END {
        printf "%s:%s: %d compared, %d refused, %d mismatches, %d s of one core\n", kind, range, models, refused, faulty, seconds
        exit faulty ? 4 : 0
    }'
