#!/bin/sh
# SPDX-License-Identifier: MIT
# The mutation drill: plants one bug at a time and reports those that no test sees: sh tests/mutate.sh [--only=TEXT] [--jobs=N] [--again]
# Needs what tests/run.sh needs. All mutants are in one build (each behind its number), which GRADUS_MUTANT chooses from; a mutant
# runs the tests of its area, the likeliest first, until one fails or takes far too long. By hand: it takes about an hour of two
# cores; --again runs only those that were not killed last time.
set -u
cd "$(dirname "$0")/.." || exit 1
home=$(pwd)/build/mutants
only='' jobs=2 one='' again=''
for word; do
    case $word in
    --only=*) only=${word#--only=} ;;
    --jobs=*) jobs=${word#--jobs=} ;;
    --again) again=1 ;;
    --one=*) one=${word#--one=} ;;
    *) sed -n '3,6s/^# //p' "$0" >&2; exit 2 ;;
    esac
done

# The tests of an area, a job of tests/job.sh a line; the area is a file of the tree.
equal() { # every Nth application
    grep -hv '^#' tests/equal/defs.txt tests/equal/shapes.txt | grep . | awk -v every="$1" 'NR % every == 0 {print "equal " $0}'
}
units() { for name; do echo "unit $BUILD/unit-$name"; done; }
area() {
    case $1 in
    ops.def)
        units ops mathops_same mathops ir_fold eval pass_simplify pass_random
        equal 30 ;;
    compiler/pass/plan* | compiler/back/*)
        echo "golden tests/golden/small.gr"
        equal 12
        units recur mathops_same
        for file in tests/llvm/*.gr; do echo "llvm $file"; done
        for file in tests/bits/model.gr tests/equal/calls.graph tests/equal/heads.gr tests/equal/draw_tiles.gr \
            tests/equal/static.gr tests/equal/recurrent.gr; do echo "equal $file"; done
        for file in tests/bits/*.gr; do echo "bits $file"; done ;;
    compiler/driver/*)
        for file in tests/errors/data/*/; do case $file in */header-*) echo "data $file" ;; esac; done
        echo "cli all"
        for file in tests/errors/data/*/; do echo "data $file"; done ;;
    compiler/*)
        case $1 in
        */solve.c) units solve ;;
        */ix.c) units ir_index solve ;;
        */fold.c) units ir_fold ;;
        */simplify.c) units pass_simplify ;;
        esac
        echo "golden tests/golden/small.gr"
        units pass_random pass_simplify pass_gradient ir_index ir_fold recur eval elab_value
        equal 12
        for file in static covariance deep; do echo "equal tests/equal/$file.gr"; done ;;
    *)
        units runtime_data runtime_io runtime_run runtime_order watch runtime_process
        for file in tests/errors/data/*/; do echo "data $file"; done
        echo "life all"
        echo "cli all" ;;
    esac | awk '!seen[$0]++'
}

# One job under a time limit: 0 where it passed.
work_one() { # job, limit
    rm -rf "$WORK"
    mkdir -p "$WORK/results"
    LIMIT=$2 timeout $(($2 + 5)) sh "$ROOT/tests/job.sh" "1 $1" >"$WORK/out" 2>&1 </dev/null
    awk '{p += $1; f += $2} END {exit !(p > 0 && f == 0)}' "$WORK/results/1" 2>/dev/null
}

# How long a job takes without a mutant, measured when it is first wanted; nothing where it does not pass.
seconds_of() {
    grep -qF "$1	" "$home/times" || {
        start=$(date +%s)
        if (unset GRADUS_MUTANT && work_one "$1" 300); then
            printf '%s\t%d\n' "$1" $(($(date +%s) - start + 1)) >>"$home/times"
        else
            printf '%s\t\n' "$1" >>"$home/times"
            echo "mutate: fails without a mutant and is left out: $1" >&2
        fi
    }
    awk -F '\t' -v job="$1" '$1 == job {print $2; exit}' "$home/times"
}

export ROOT="$home/tree" BUILD="$home/build" UPDATE=''
export GRADUS_RUNTIME="$BUILD/libgradus_runtime.a" CRITERION_FAIL_FAST=1
if [ -n "$one" ]; then # called from below: one mutant
    file=$(awk -F '\t' -v n="$one" '$1 == n {print $2}' "$home/list")
    name=$(awk -F '\t' -v n="$one" '$1 == n {print $3}' "$home/list")
    WORK=$(mktemp -d) && export WORK GRADUS_MUTANT="$one"
    trap 'rm -rf "$WORK"' EXIT
    trap 'exit 130' INT TERM
    cd "$ROOT" || exit 1
    area "$file" >"$home/jobs.$one"
    while read -r job; do
        seconds=$(seconds_of "$job")
        [ -n "$seconds" ] || continue # it does not pass without a mutant either
        if ! work_one "$job" $((4 * seconds + 10)); then
            printf '%s\t%s\tkilled\t%s\n' "$file" "$name" "$job" >>"$home/verdicts"
            echo "killed: $file: $name  ($job)"
            rm -f "$home/jobs.$one"
            exit 0
        fi
    done <"$home/jobs.$one"
    printf '%s\t%s\tsurvived\t\n' "$file" "$name" >>"$home/verdicts"
    echo "SURVIVED: $file: $name"
    rm -f "$home/jobs.$one"
    exit 0
fi

mkdir -p "$home" || exit 1
rm -rf "$ROOT"
mkdir -p "$ROOT"
cp -rp CMakeLists.txt compiler runtime grammar stdlib tests examples "$ROOT/" || exit 1
awk -v tree="$ROOT" -f tests/mutate.awk tests/mutants.txt >"$home/list" || exit 1
cat >"$home/mutant.h" <<'END'
char *getenv(const char *);
int atoi(const char *);
static inline int gradus_mutant(int number) {
    static int chosen = -1;
    if (chosen < 0) chosen = getenv("GRADUS_MUTANT") ? atoi(getenv("GRADUS_MUTANT")) : 0;
    return chosen == number;
}
END
{ cmake -S "$ROOT" -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADUS_WERROR=OFF -Daarch64-linux-gnu_CC=OFF \
    -DCMAKE_C_FLAGS="-w -include $home/mutant.h" && cmake --build "$BUILD" -j 2; } >"$home/log" 2>&1 || { grep -B 2 -A 6 -E 'error|FAILED' "$home/log" | head -n 60 >&2; exit 1; }

: >"$home/times"
if [ -n "$again" ] && [ -f "$home/verdicts" ]; then
    grep '	killed	' "$home/verdicts" >"$home/kept"
    mv "$home/kept" "$home/verdicts"
else
    : >"$home/verdicts"
fi
awk -F '\t' -v only="$only" 'FILENAME ~ /verdicts$/ {done[$1 "\t" $2] = 1; next}
    !(($2 "\t" $3) in done) && (only == "" || index($2 " " $3, only)) {print $1}' "$home/verdicts" "$home/list" |
    xargs -P "$jobs" -I N sh tests/mutate.sh --one=N
awk -F '\t' 'FNR == NR {why[$2 "\t" $3] = $4; next}
    {all++; mutant = $1 "\t" $2}
    $3 == "killed" {killed++; if (why[mutant] != "") print "killed, though it stands as one that nothing can see: " $1 ": " $2; next}
    why[mutant] != "" {excused++; print "nothing can see " $1 ": " $2 ": " why[mutant]; next}
    {print "survivor: " $1 ": " $2; left++; rows += $1 == "ops.def"}
    END {
        printf "%d mutants: %d killed, %d that nothing can see, %d survivors (%d of them of ops.def)\n", all, killed, excused, left, rows
        exit !(all > 0 && !rows && killed >= 0.95 * (all - excused))
    }' "$home/list" "$home/verdicts"
