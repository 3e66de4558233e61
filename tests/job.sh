#!/bin/sh
# SPDX-License-Identifier: MIT
# One job of the test runner: job.sh "NUMBER KIND ARGUMENT"; a function for each kind.
# Needs ROOT, BUILD, WORK of run.sh. Writes "PASSED FAILED" lines to $WORK/results/NUMBER.
set -u
number=${1%% *}
rest=${1#* }
kind=${rest%% *}
argument=${rest#* }
gradus=$BUILD/gradus
own=$WORK/job$number
mkdir -p "$own" || exit 1
cd "$ROOT" || exit 1
limit="timeout ${LIMIT:-300}"

count() { echo "$1 $2" >>"$WORK/results/$number"; }
pass() {
    echo "ok - $*"
    count 1 0
}
fail() { # name, then a file to show
    echo "not ok - $1"
    [ $# -lt 2 ] || sed 's/^/    /' "$2" | head -n 25
    count 0 1
}
verdict() { # status of the test, name, file to show where it failed
    if [ "$1" -eq 0 ]; then pass "$2"; else fail "$2" "$3"; fi
}

# Criterion counts its own tests.
unit() {
    name=$(basename "$1")
    $limit "$1" --jobs 1 >"$own/log" 2>&1
    status=$?
    line=$(grep 'Synthesis: Tested' "$own/log" | tail -n 1)
    good=$(echo "$line" | sed -n 's/.*Passing: *\([0-9]*\).*/\1/p')
    tested=$(echo "$line" | sed -n 's/.*Tested: *\([0-9]*\).*/\1/p')
    if [ -z "$tested" ] || { [ "$status" -ne 0 ] && [ "$good" = "$tested" ]; } || [ "$tested" -eq 0 ]; then
        fail "$name: ended with $status" "$own/log"
    elif [ "$good" = "$tested" ]; then
        echo "ok - $name: $tested tests"
        count "$good" 0
    else
        echo "not ok - $name: $((tested - good)) of $tested tests"
        grep -v '^\[====\]' "$own/log" | sed 's/^/    /' | head -n 40
        count "$good" $((tested - good))
    fi
}

# x.gr and beside it x.ast, x.graph, x.grad, x.plan: the whole text of a dump; x.work: of `check --plan`, for a machine of
# 100 GFLOP/s and 10 GB/s.
golden_text() { # stage, file
    if [ "$1" = work ]; then
        $limit "$gradus" check --plan --peak=100 --bandwidth=10 --cpu=x86-64-v3 "$2" >"$own/all" || return 1
        sed -n '/^plan of/,$p' "$own/all"
    else
        $limit "$gradus" dump --cpu=x86-64-v3 --stage="$1" "$2"
    fi
}
golden() {
    base=${1%.*}
    found=0
    for stage in ast graph grad plan work; do
        { [ -f "$base.$stage" ] && [ "$base.$stage" != "$1" ]; } || continue
        found=1
        if ! golden_text "$stage" "$1" >"$own/out" 2>"$own/err"; then
            fail "$base.$stage: dump failed" "$own/err"
            continue
        fi
        [ -z "$UPDATE" ] || cp "$own/out" "$base.$stage"
        diff -u "$base.$stage" "$own/out" >"$own/diff"
        verdict $? "$base.$stage" "$own/diff"
    done
    [ $found = 1 ] || fail "$1: no golden file beside it"
}

# Every `#~ error: text` has its error on that line, and no other line has one.
errors() {
    $limit "$gradus" check "$1" >"$own/out" 2>"$own/err"
    status=$?
    awk -v file="$1" '
        FNR == NR { # the file itself: what is expected
            line = $0
            while ((at = index(line, "#~ error:")) > 0) {
                line = substr(line, at + 9)
                end = index(line, "#~")
                text = end ? substr(line, 1, end - 1) : line
                gsub(/^[ \t]+|[ \t]+$/, "", text)
                wanted[++n] = FNR "\t" text
            }
            next
        }
        index($0, file ":") == 1 && match($0, /:[0-9]+:[0-9]+: error: /) {
            split(substr($0, length(file) + 2), part, ":")
            got[++m] = part[1] "\t" substr($0, RSTART + RLENGTH)
            next
        }
        /^(error|[^ ]*: error): / { got[++m] = "0\t" $0 }
        END {
            for (i = 1; i <= n; i++) {
                split(wanted[i], w, "\t")
                hit = 0
                for (k = 1; k <= m && !hit; k++) {
                    split(got[k], g, "\t")
                    if (!used[k] && g[1] == w[1] && index(g[2], w[2])) { used[k] = 1; hit = 1 }
                }
                if (!hit) { print "line " w[1] ": no error with: " w[2]; bad = 1 }
            }
            for (k = 1; k <= m; k++) if (!used[k]) { split(got[k], g, "\t"); print "line " g[1] ": not expected: " g[2]; bad = 1 }
            if (n == 0) { print "the file expects no error at all"; bad = 1 }
            exit bad
        }' "$1" "$own/err" >"$own/verdict"
    wrong=$?
    [ "$status" -eq 1 ] || { echo "exit code $status, not 1" >>"$own/verdict"; wrong=1; }
    cat "$own/err" >>"$own/verdict"
    verdict $wrong "$1" "$own/verdict"
}

# A folder with model.gr, its files and `expect`: lines `setup: COMMAND`, `run: COMMAND`, `exit: N`,
# `error: text` (on stderr), `output: text` (on stdout). %model is the executable, %gradus the compiler.
data() {
    cp -r "$1/." "$own/case"
    cd "$own/case" || exit 1
    substitute() { sed "s|%model|$own/model|g; s|%gradus|$gradus|g"; }
    if grep -q %model expect && ! $limit "$gradus" build model.gr -o "$own/model" >"$own/log" 2>&1; then
        fail "$1: does not build" "$own/log"
        return
    fi
    sed -n 's/^setup: //p' expect | substitute >"$own/setup.sh"
    sed -n 's/^run: //p' expect | substitute >"$own/run.sh"
    if ! $limit sh -e "$own/setup.sh" >"$own/log" 2>&1; then
        fail "$1: its setup failed" "$own/log"
        return
    fi
    $limit sh "$own/run.sh" >"$own/out" 2>"$own/err"
    status=$?
    cat "$own/out" "$own/err" >"$own/log"
    wrong=0
    wanted=$(sed -n 's/^exit: //p' expect)
    [ "$status" = "${wanted:-1}" ] || { echo "exit code $status, not ${wanted:-1}" >>"$own/log"; wrong=1; }
    for stream in error:err output:out; do
        sed -n "s/^${stream%:*}: //p" expect >"$own/texts"
        while IFS= read -r text; do
            grep -qF -- "$text" "$own/${stream#*:}" || { echo "missing ${stream%:*}: $text" >>"$own/log"; wrong=1; }
        done <"$own/texts"
    done
    cd "$ROOT" || exit 1
    verdict $wrong "$1" "$own/log"
}

equal() {
    subject=$1 options=''
    while [ "${subject#-}" != "$subject" ]; do
        options="$options ${subject%% *}"
        subject=${subject#* }
    done
    key=${subject%% = *}
    case $key in
    *[!a-z]*) # an application or a file, which may ask for options
        [ ! -f "$subject" ] || options="$options $(sed -n 's/^# *OPTIONS: *//p' "$subject")"
        ;;
    *)
        value=$(echo "${subject#* = }" | sed 's/[\\&|]/\\&/g')
        if [ "$key" = transform ]; then
            sed "s|-> tanh|-> $value|" tests/equal/template.gr >"$own/template.gr"
        else
            gone=$key # further keys stand behind `;`
            for other in $(echo "$value" | grep -o '; [a-z]* =' | tr -d ';='); do gone="$gone|$other"; done
            sed -E "/^train/,\$ { /^  ($gone)  *=/d; s|^train.*|&\n  $key = $value| }" tests/equal/template.gr >"$own/template.gr"
        fi
        subject=$own/template.gr
        ;;
    esac
    # shellcheck disable=SC2086 # options are words
    $limit "$BUILD/gradus-equal" $options "$subject" >"$own/log" 2>&1
    verdict $? "equal: $1" "$own/log"
}

# What a training of a file leaves in the states of its optimizer.
states() { # file, training
    "$gradus" build "$1" --only="$2" --float=64 -o "$own/model" >"$own/log" 2>&1 &&
        $limit "$own/model" train -v --out="$own" >"$own/log" 2>&1
}

# Products with second derivatives against exact ones and differences, and what the methods that are made of them take.
second() {
    for name in product twice ahead; do
        states "$1" $name
        awk '/optimizer.apart = / {apart = $3} /optimizer.most = / {most = $3} END {exit !(apart != "" && most > 1 && apart < 1e-4 * most)}' "$own/log"
        verdict $? "second: $1, $name" "$own/log"
    done
    "$gradus" build examples/lecture/07-batchnorm/whitening.gr --only=whitening -o "$own/model" >"$own/log" 2>&1 &&
        $limit "$own/model" train --epochs=1 --watch --log="$own/steps" --out="$own" >"$own/log" 2>&1
    far=$(sed -n '2s/.*"from_white.white1.whiten_layer1":\([0-9.e-]*\).*/\1/p' "$own/steps")
    awk -v far="$far" 'BEGIN {exit !(far != "" && far < 1e-3)}'
    verdict $? "second: a whitened layer's covariance is I within ${far:-?}" "$own/log"
    for row in at_bowl:1 at_pass:2 at_plain:3 at_trough:4; do
        "$gradus" build examples/lecture/12-diagnosis/critical.gr --only=${row%:*} -o "$own/model" >"$own/log" 2>&1 &&
            $limit "$own/model" train --watch --log="$own/steps" --out="$own" >"$own/log" 2>&1
        kind=$(sed -n '$d; s/.*"step":20,.*"critical_kind.w":\([0-9]\).*/\1/p' "$own/steps" | tail -n 1)
        [ "$kind" = "${row#*:}" ]
        verdict $? "second: the kind of ${row%:*} is ${kind:-?}" "$own/log"
    done
    "$gradus" build examples/lecture/10-regularization/committee.gr -o "$own/model" >"$own/log" 2>&1 &&
        $limit "$own/model" train --epochs=2 --out="$own" -q >"$own/log" 2>&1
    cd "$own" || exit 1
    ./model predict --only=first --set-name=test --out=. --weights=first.safetensors,second.safetensors,third.safetensors >vote
    ./model predict --only=by_probability --set-name=test --out=. >committee
    paste -d, vote committee | awk -F, 'NR > 1 {for (i = 3; i < 13; i++) {d = $i - $(i + 12); if (d > 1e-5 || d < -1e-5) bad++}} END {exit NR != 1398 || bad}'
    verdict $? "second: members loaded into one model vote as weights files do" log
    cd "$ROOT" || exit 1
    for row in valley_gauss_newton:12 valley_marquardt:17; do
        states examples/lecture/09-optimizers/curvature.gr ${row%:*}
        taken=$(sed -n 's/.*updates = //p' "$own/log")
        grep -q '^stopped by its rule' "$own/log" && [ "${taken:-99}" -le "${row#*:}" ]
        verdict $? "second: ${row%:*} takes $taken updates" "$own/log"
    done
}

# Updates that each training of the bowl takes, within a tenth of what exact arithmetic gives.
counts() {
    for row in descent:2948 heavy_ball:187 look_ahead:142 conjugate_directions:43; do
        name=${row%:*} wanted=${row#*:}
        states "$1" "$name"
        taken=$(awk '/^stopped by its rule/ {n = $NF} /updates = / {n = $NF} END {print n}' "$own/log")
        awk -v taken="$taken" -v wanted="$wanted" 'BEGIN {exit !(taken >= 0.9 * wanted && taken <= 1.1 * wanted)}'
        verdict $? "counts: $name takes $taken updates, about $wanted" "$own/log"
    done
    states "$1" curvature
    value=$(sed -n 's/.*optimizer.value = //p' "$own/log")
    awk -v value="$value" 'BEGIN {exit !(value > 999.999 && value < 1000.001)}'
    verdict $? "counts: the largest curvature is $value, about 1000" "$own/log"
}

# The examples of doc comments: values and derivatives, interpreted and compiled; "-O2 FILE": at that level.
examples() {
    # shellcheck disable=SC2086 # an option and a file
    $limit "$gradus" test $1 >"$own/log" 2>&1
    status=$?
    grep -q '^[1-9][0-9]* passed, 0 failed' "$own/log" || status=1
    grep -v '^ok' "$own/log" >"$own/faults"
    verdict $status "examples: $1" "$own/faults"
}

# Compiled float64 code against recorded numbers of another framework (tests/parity/record.py).
parity() {
    $limit "$BUILD/gradus-parity" "$1" >"$own/log" 2>&1
    verdict $? "$1" "$own/log"
}

# text: mutated texts through the whole compiler, the same ones each time; more by hand: gradus-fuzz --seed=N --count=N FILE.gr...
# targets: libFuzzer on everything that reads; more by hand: sh tests/fuzz/run.sh --minutes=N
fuzz() {
    if [ "$1" = targets ]; then
        timeout 1500 sh tests/fuzz/run.sh --runs=500 >"$own/log" 2>&1
        verdict $? "fuzz: no input of model, graph, format, weights and data crashes, hangs or leaks" "$own/log"
        return
    fi
    $limit "$BUILD/gradus-fuzz" --count="$([ -n "${SANITIZE-}" ] && echo 300 || echo 1500)" --out="$own" \
        examples/*/*.gr examples/*/*/*.gr tests/bits/*.gr tests/equal/*.gr* tests/golden/*.gr tests/golden/*.graph stdlib/*.gr >"$own/log" 2>&1
    verdict $? "fuzz: mutated models are accepted or diagnosed" "$own/log"
}

# A dump, or its innermost loops where `# LOOPS:` stands (tests/llvm/hot_loops.awk), against FileCheck's lines.
llvm() {
    checker=$(command -v FileCheck-19 || echo /usr/lib/llvm-19/bin/FileCheck)
    options=$(sed -n 's/^# *OPTIONS: *//p' "$1")
    # shellcheck disable=SC2086 # options are words
    if $limit "$gradus" dump --stage=llvm $options "$1" >"$own/out" 2>"$own/log"; then
        loops=$(sed -n 's/^# *LOOPS: *//p' "$1" | sed 's/[^ ]*=/-v &/g')
        # shellcheck disable=SC2086 # options are words
        if [ -n "$loops" ]; then awk $loops -f tests/llvm/hot_loops.awk "$own/out" | sort >"$own/loops" && mv "$own/loops" "$own/out"; fi
        "$checker" "$1" <"$own/out" >"$own/log" 2>&1
    else
        false
    fi
    verdict $? "$1" "$own/log"
}

# The nets of the measurements build and run; how fast is nobody's business here.
bench() {
    $limit "$gradus" build -O1 "$1" -o "$own/net" >"$own/log" 2>&1 &&
        $limit "$own/net" bench --steps=1 --threads=2 >"$own/out" 2>>"$own/log" &&
        $limit "$own/net" bench --steps=1 --one >>"$own/out" 2>>"$own/log" &&
        [ "$(grep -c '^{"median_us":[0-9.]*,.*}$' "$own/out")" = 2 ] && [ ! -s "$own/log" ]
    verdict $? "bench: $1" "$own/log"
}

# The tests of an example: what it learns in so many steps, its curve.
tests() {
    "$gradus" check "$1" >"$own/log" 2>&1
    if grep -q 'not found beside the model' "$own/log"; then
        echo "ok - tests: $1 # SKIP its data is not here"
        count 0 0
        return
    fi
    $limit "$gradus" test "$1" >"$own/log" 2>&1
    verdict $? "tests: $1" "$own/log"
}

check() {
    $limit "$gradus" check "$1" >"$own/log" 2>&1
    verdict $? "checked: $1" "$own/log"
}

format() {
    "$gradus" fmt --check "$1" >"$own/log" 2>&1
    verdict $? "formatted: $1" "$own/log"
}

# What the language promises to a user: one def of each kind, none of the library's, builds and learns.
promise() {
    cp tests/promise/model.gr examples/spirals/spirals.csv "$own/"
    "$gradus" test "$own/model.gr" >"$own/log" 2>&1
    verdict $? "promise: gradients of own defs" "$own/log"
    "$gradus" build "$own/model.gr" -o "$own/model" >"$own/log" 2>&1 &&
        $limit "$own/model" train --out="$own" >"$own/log" 2>&1 &&
        $limit "$own/model" eval --set-name=test --out="$own" >"$own/log" 2>&1
    verdict $? "promise: own defs build and train" "$own/log"
    awk '{for (i = 1; i < NF; i++) if ($i == "missed") value = $(i + 1)} END {exit !(value != "" && value < 0.2)}' "$own/log"
    verdict $? "promise: they learn" "$own/log"
}

drill() { . "$ROOT/tests/drill.sh"; }
cli() { . "$ROOT/tests/cli.sh"; }
life() { . "$ROOT/tests/life.sh"; }
nan() { . "$ROOT/tests/nan.sh"; }
# A build of its own: capacities are shrunk in it. More by hand: sh tests/fault/sweep.sh 1
fault() {
    export BUILD_FAULT="${BUILD_FAULT:-$ROOT/build-fault}"
    if ! { cmake -S . -B "$BUILD_FAULT" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADUS_FAULT=ON -DGRADUS_TESTS=OFF &&
        cmake --build "$BUILD_FAULT" -j 2; } >"$own/log" 2>&1; then
        fail "fault: builds" "$own/log"
        return
    fi
    sh tests/fault/sweep.sh 1000 >"$own/log" 2>&1
    grep -E '^(not )?ok - ' "$own/log" >"$own/lines"
    [ -s "$own/lines" ] || fail "fault: left no result" "$own/log"
    while IFS= read -r line; do
        case $line in
        ok*) pass "${line#ok - }" ;;
        *) fail "${line#not ok - }" "$own/log" ;;
        esac
    done <"$own/lines"
}
kill_test() {
    sh tests/kill.sh 12 >"$own/log" 2>&1
    verdict $? "$(grep -o 'kill: .*' "$own/log" | tail -n 1)" "$own/log"
}
house() { . "$ROOT/tests/house.sh"; }
planted() { . "$ROOT/tests/planted.sh"; }
bits() { . "$ROOT/tests/bits.sh"; }
target() { . "$ROOT/tests/target.sh"; }
thread() { . "$ROOT/tests/thread.sh"; }
train() { . "$ROOT/tests/train.sh"; }

"$kind" "$argument"
rm -rf "$own"
