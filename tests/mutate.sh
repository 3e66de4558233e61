#!/bin/sh
# SPDX-License-Identifier: MIT
# The mutation drill: plants one bug at a time and reports those that no test sees: sh tests/mutate.sh [--only=TEXT] [--jobs=N] [--again] [--patience=SECONDS]
# Needs what tests/run.sh needs. All mutants are in one build (each behind its number), which GRADUS_MUTANT chooses from. Every
# test runs once without a bug, and is asked which bugs it reaches; a mutant then runs those that reach it, what killed its like
# before first, then the quickest, until one fails or takes far too long, or its patience of 200 s (of CPU time) ends. By hand; --again
# takes only what was not killed last time.
set -u
cd "$(dirname "$0")/.." || exit 1
home=$(pwd)/build/mutants
only='' jobs=2 one='' again='' job='' patience=200
for word; do
    case $word in
    --only=*) only=${word#--only=} ;;
    --jobs=*) jobs=${word#--jobs=} ;;
    --again) again=1 ;;
    --patience=*) patience=${word#--patience=} ;;
    --one=*) one=${word#--one=} ;;
    --job=*) job=${word#--job=} ;;
    *) sed -n '3,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done

# The tests that take part, a job of tests/job.sh a line.
all_jobs() {
    for file in "$BUILD"/unit-*; do echo "unit $file"; done
    for file in tests/golden/*.gr; do echo "golden $file"; done
    for file in tests/equal/*.plan; do echo "golden ${file%plan}graph"; done
    for file in tests/llvm/*.gr; do echo "llvm $file"; done
    for file in tests/equal/*.gr tests/equal/*.graph tests/bits/*.gr; do [ "${file##*/}" = template.gr ] || echo "equal $file"; done
    grep -hv '^#' tests/equal/defs.txt tests/equal/shapes.txt | grep . | awk 'NR % 10 == 0 {print "equal " $0}'
    for file in tests/order/*.gr; do echo "tests $file"; done
    for file in tests/parity/*.txt; do echo "parity $file"; done
    for file in stdlib/*.gr; do echo "examples $file"; done
    for file in tests/errors/data/*/; do [ ! -f "$file/expect" ] || echo "data $file"; done
    for file in tests/nan/*.gr; do echo "nan $file"; done
    for kind in life cli; do echo "$kind all"; done
    for file in tests/errors/*.gr; do echo "errors $file"; done
}

# One job under limits of processor time, of time and of memory: 0 where it passed.
work_one() { # job, seconds
    rm -rf "$WORK"
    mkdir -p "$WORK/results"
    (
        ulimit -t $((4 * $2 + 10))
        ulimit -v 8000000
        LIMIT=$((12 * $2 + 30)) timeout $((12 * $2 + 40)) sh "$ROOT/tests/job.sh" "1 $1"
    ) >"$WORK/out" 2>&1 </dev/null
    awk '{p += $1; f += $2} END {exit !(p > 0 && f == 0)}' "$WORK/results/1" 2>/dev/null
}

export ROOT="$home/tree" BUILD="$home/build" UPDATE=''
export GRADUS_RUNTIME="$BUILD/libgradus_runtime.a" CRITERION_FAIL_FAST=1
if [ -n "$one$job" ]; then # called from below
    WORK=$(mktemp -d) && export WORK
    trap 'rm -rf "$WORK"' EXIT
    trap 'exit 130' INT TERM
    cd "$ROOT" || exit 1
fi
if [ -n "$job" ]; then # the CPU time that a job takes without a bug, and which it reaches
    marks=$(mktemp) && head -c 65536 /dev/zero >"$marks"
    if GRADUS_REACHED=$marks work_one "$job" 300; then
        times >"$marks.times" # of this shell: one in a pipe has no children
        awk -v job="$job" 'NR == 2 {split($1 "m" $2, t, /[ms]+/); printf "%s\t%d\n", job, 1000 * (60 * (t[1] + t[3]) + t[2] + t[4])}' \
            "$marks.times" >>"$home/times"
        od -An -v -tu1 -w1 "$marks" | awk -v job="$job" '$1 {print job "\t" NR - 1}' >>"$home/reached"
    else
        echo "mutate: fails without a bug and is left out: $job" >&2
    fi
    rm -f "$marks" "$marks.times"
    exit 0
fi
if [ -n "$one" ]; then # a mutant
    row=$(awk -F '\t' -v n="$one" '$1 == n {print $2 "\t" $3}' "$home/list")
    ROW=$row awk -F '\t' -v number="$one" '
        FILENAME ~ /killers$/ { split(ENVIRON["ROW"], mine, "\t"); if ($1 "\t" $2 == ENVIRON["ROW"]) times_killed[$4] += 1000; else if ($1 == mine[1]) times_killed[$4]++; next }
        FILENAME ~ /times$/ { took[$1] = $2; next }
        $2 == number && $1 in took { # a unit test knows more than a whole run
            printf "%d\t%d\t%s\n", took[$1] / (1 + 5 * times_killed[$1]) / ($1 ~ /^(unit|golden)/ ? 4 : 1), took[$1], $1
        }' \
        "$home/killers" "$home/times" "$home/reached" | sort -n >"$home/jobs.$one"
    verdict=survived why=''
    [ -s "$home/jobs.$one" ] || why='no test reaches it'
    export GRADUS_MUTANT="$one"
    spent=0
    while IFS='	' read -r _ took job; do
        spent=$((spent + took))
        [ "$spent" -le $((1000 * patience)) ] || { why="${why:-of tests that reach it, some had no time}"; break; }
        work_one "$job" $((took / 1000 + 1)) && continue
        verdict=killed why=$job
        break
    done <"$home/jobs.$one"
    printf '%s\t%s\t%s\n' "$row" "$verdict" "$why" >>"$home/verdicts"
    [ $verdict = survived ] || printf '%s\t%s\t%s\n' "$row" "$verdict" "$why" >>"$home/killers"
    echo "$verdict: $(echo "$row" | tr '\t' ' ') ($why)"
    rm -f "$home/jobs.$one"
    exit 0
fi

mkdir -p "$home" || exit 1
new=$home/new
rm -rf "$new"
mkdir -p "$new" "$ROOT"
cp -rp CMakeLists.txt LICENSE README.md compiler runtime grammar stdlib tests examples "$new/" || exit 1
[ ! -f "$home/list" ] || mv "$home/list" "$home/list.before"
awk -v tree="$new" -f tests/mutate.awk tests/mutants.txt >"$home/list" || exit 1
(cd "$ROOT" && find . -type f) | while read -r file; do [ -e "$new/$file" ] || rm -f "$ROOT/$file"; done
(cd "$new" && find . -type f) | while read -r file; do # what is as it was is not built again
    cmp -s "$new/$file" "$ROOT/$file" || { mkdir -p "$ROOT/${file%/*}" && cp -p "$new/$file" "$ROOT/$file"; }
done
cat >"$home/mutant.h" <<'END'
char *getenv(const char *);
int atoi(const char *);
int open(const char *, int, ...);
int close(int);
void *mmap(void *, unsigned long, int, int, int, long);
/* Is this the bug of this process? GRADUS_REACHED: a file of a byte for each that is asked for. */
static inline int gradus_mutant(int number) {
    static int chosen = -1;
    static unsigned char *reached;
    if (chosen < 0) {
        int file = getenv("GRADUS_REACHED") ? open(getenv("GRADUS_REACHED"), 2) : -1;
        unsigned char *map = file < 0 ? (void *)-1 : mmap(0, 65536, 3, 1, file, 0);
        if (file >= 0) close(file);
        reached = map == (void *)-1 ? 0 : map;
        chosen = getenv("GRADUS_MUTANT") ? atoi(getenv("GRADUS_MUTANT")) : 0;
    }
    if (reached) reached[number] = 1;
    return chosen == number;
}
END
{ cmake -S "$ROOT" -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADUS_WERROR=OFF -Daarch64-linux-gnu_CC=OFF \
    -DCMAKE_C_FLAGS="-w -include $home/mutant.h" && cmake --build "$BUILD" -j 2; } >"$home/log" 2>&1 || { grep -B 2 -A 6 -E 'error|FAILED' "$home/log" | head -n 60 >&2; exit 1; }

if [ -z "$again" ] || [ "$(cut -f 1-3 "$home/list")" != "$(cut -f 1-3 "$home/list.before")" ]; then
    : >"$home/times"
    : >"$home/reached"
fi
(cd "$ROOT" && all_jobs) | awk -F '\t' 'FILENAME ~ /times$/ {known[$1] = 1; next} !($0 in known)' "$home/times" - | tr '\n' '\0' | xargs -0 -P "$jobs" -I N sh tests/mutate.sh --job=N
[ -f "$home/killers" ] || : >"$home/killers"
if [ -n "$again" ] && [ -f "$home/verdicts" ]; then
    grep '	killed	' "$home/verdicts" >"$home/kept"
    mv "$home/kept" "$home/verdicts"
else
    : >"$home/verdicts"
fi
awk -F '\t' -v only="$only" 'FILENAME ~ /verdicts$/ {done[$1 "\t" $2] = 1; next}
    !(($2 "\t" $3) in done) && (only == "" || index($2 " " $3, only)) {print $1}' "$home/verdicts" "$home/list" |
    xargs -P "$jobs" -I N sh tests/mutate.sh --patience="$patience" --one=N
awk -F '\t' 'FNR == NR {why[$2 "\t" $3] = $4; next}
    !(($1 "\t" $2) in why) {next} # of an older list
    {all++; mutant = $1 "\t" $2}
    $3 == "killed" {killed++; if (why[mutant] != "") print "killed, though it stands as one that nothing can see: " $1 ": " $2; next}
    why[mutant] != "" {excused++; print "nothing can see " $1 ": " $2 ": " why[mutant]; next}
    {print "survivor: " $1 ": " $2 ($4 == "" ? "" : " (" $4 ")"); left++; rows += $1 == "ops.def"}
    END {
        printf "%d mutants: %d killed, %d that nothing can see, %d survivors (%d of them of ops.def)\n", all, killed, excused, left, rows
        exit !(all > 0 && !rows && killed >= 0.95 * (all - excused))
    }' "$home/list" "$home/verdicts"
