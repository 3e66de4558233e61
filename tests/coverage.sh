#!/bin/sh
# SPDX-License-Identifier: MIT
# Which lines the tests run: sh tests/coverage.sh [--report] [--keep] [KIND...]   (no KIND: all tests of tests/run.sh)
# Needs what run.sh --sanitize=thread needs. Prints the share of lines of each folder, then every place that diagnoses and is
# never reached; what each line counted is in build-coverage/lines. Exit code 1 below 90% or where such a place is left.
# --keep adds to what was counted before, --report runs nothing. Counts are kept in files that each process maps (LLVM's
# continuous mode): those that are killed or abort count, too. Each executable has its own copy of the runtime; all are added.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$(pwd) build=$(pwd)/build-coverage
tools=/usr/lib/llvm-19
run=1 keep=''
while :; do
    case ${1-} in
    --report) run='' keep=1 ;;
    --keep) keep=1 ;;
    *) break ;;
    esac
    shift
done
sh tests/setup.sh thread || exit 1
mkdir -p "$build/counts" || exit 1

# What tests compile and link themselves is counted, too; the runtime's OpenMP is clang's here.
flags="-fprofile-instr-generate -fprofile-update=atomic -fcoverage-mapping -mllvm -runtime-counter-relocation"
cat >"$build/cc" <<END
#!/bin/sh
links="-L$tools/lib -Wl,-rpath,$tools/lib -lomp"
for word; do
    shift
    [ "\$word" != -c ] || links=
    [ "\$word" = -l:libgomp.a ] || set -- "\$@" "\$word"
done
exec $tools/bin/clang -Wno-unused-command-line-argument $flags "\$@" \$links
END
chmod +x "$build/cc"
if [ -n "$run" ]; then
    { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADUS_WERROR=OFF -DCMAKE_C_COMPILER="$tools/bin/clang" \
        -DCMAKE_C_FLAGS="$flags" \
        -DCMAKE_EXE_LINKER_FLAGS="-L$tools/lib -Wl,-rpath,$tools/lib -lomp" &&
        LLVM_PROFILE_FILE=/dev/null cmake --build "$build" -j 2; } >"$build/log" 2>&1 || { tail -n 40 "$build/log"; exit 1; }
    [ -n "$keep" ] || rm -f "$build"/counts/*
    [ $# -gt 0 ] || set -- all
    for kind; do
        only="--only=$kind"
        [ "$kind" != all ] || only=''
        # shellcheck disable=SC2086 # none or one word
        LLVM_PROFILE_FILE="$build/counts/%c%m.profraw" CC="$build/cc" GRADUS_BUILD=$build BUILD_FAULT="$build/fault" sh tests/run.sh $only >"$build/tests.log" 2>&1
        echo "$kind: $(tail -n 1 "$build/tests.log")"
        grep '^not ok' "$build/tests.log"
    done
fi

find "$build/counts" -name '*.profraw' -size +0 >"$build/files"
"$tools/bin/llvm-profdata" merge -sparse -failure-mode=all -f "$build/files" -o "$build/counts.all" 2>"$build/log" || { cat "$build/log"; exit 1; }
# Of an archive llvm-cov reads nothing: its objects are linked, which is never run.
"$build/cc" -shared -Wl,--whole-archive "$build/libgradus_runtime.a" -Wl,--no-whole-archive -o "$build/runtime.so" >"$build/log" 2>&1 || { cat "$build/log"; exit 1; }
"$tools/bin/llvm-cov" export -skip-expansions -skip-functions -skip-branches -instr-profile="$build/counts.all" "$build/gradus" \
    -object "$build/libgradus_back.so" -object "$build/runtime.so" >"$build/regions.json" 2>"$build/log" || { cat "$build/log"; exit 1; }

# A file is a list of segments: from LINE, COLUMN on COUNT holds, where it counts at all. A line is run where its first code is;
# of the places that diagnose each is looked up where its code stands, or its call: they often share a line with a condition.
tr '[{' '\n\n' <"$build/regions.json" | awk -F, -v root="$root/" '
    function flush_file(   text, n, got, i, k, at, rest, counts, count, state, line, first, pattern) {
        if (file == "") return
        n = 0
        while ((got = (getline text < (root file))) > 0) source[++n] = text
        close(root file)
        pattern = file ~ /^runtime/ ? "(fault_set|fail|fault_add)\\(" : "\"[EW][0-9][0-9][0-9][0-9]\""
        k = 0; state = 0; count = 0; comment = 0
        for (i = 1; i <= n; i++) {
            line = source[i]
            first = match(line, /[^ \t]/)
            at = 0; rest = line
            places = 0
            if (line !~ /^[a-z#].*[({]$/ && line !~ /^(static|bool|void|int|#)/)
                while (match(rest, pattern)) {
                    place[++places] = at + RSTART
                    at += RSTART + RLENGTH - 1
                    rest = substr(line, at + 1)
                }
            p = 1; ran = -1
            # at the start of the code of this line
            while (k < segments && (row[k + 1] < i || row[k + 1] == i && column[k + 1] <= first)) { k++; state = has[k]; count = value[k] }
            if (state) ran = count
            for (;;) {
                while (p <= places && !(k < segments && row[k + 1] == i && column[k + 1] <= place[p])) {
                    if (state) printf "%s:%d\t%d\t%s\n", file, i, count, line >calls
                    p++
                }
                if (!(k < segments && row[k + 1] == i)) break
                k++; state = has[k]; count = value[k]
                if (state && ran < 0) ran = count
            }
            code = line
            if (comment && !sub(/^.*\*\//, "", code)) continue
            comment = 0
            gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
            if (sub(/\/\*.*$/, "", code)) comment = 1
            gsub(/[ \t{}();]/, "", code)
            if (ran >= 0 && code != "" && code != "else" && code !~ /^#/) printf "%s:%d\t%d\t%s\n", file, i, ran, line
        }
        file = ""
    }
    /"filename":/ && match($0, /"filename":"[^"]*"/) {
        name = substr($0, RSTART + 12, RLENGTH - 13)
        gsub(/[^\/]+\/\.\.\//, "", name)
        if (!match(name, /(compiler|runtime)\/.*/) || name ~ /build[^\/]*\/(compiler|runtime)/) { file = ""; segments = 0; next }
        file = substr(name, RSTART)
        segments = 0
        next
    }
    file != "" && /^[0-9]+,[0-9]+,[0-9]+,(true|false),(true|false),(true|false)\]/ {
        row[++segments] = $1 + 0; column[segments] = $2 + 0; value[segments] = $3 + 0; has[segments] = $4 == "true"
        next
    }
    /"summary":|"lines":/ && file != "" { flush_file() }
    END { flush_file() }' calls="$build/calls" | sort -t: -k1,1 -k2,2n >"$build/lines"

awk -F '\t' '
    FILENAME ~ /unreached.txt$/ { if ($0 !~ /^#/ && split($0, part, " [|] ") == 3) { file[++listed] = part[1]; text[listed] = part[2] } next }
    FILENAME ~ /calls$/ {
        sites++
        place = $1
        sub(/:[0-9]+$/, "", place)
        why = 0
        for (i = 1; i <= listed; i++) if (file[i] == place && index($3, text[i])) why = i
        if (why && !met[why]) met[why] = reached[why] = 1
        if ($2 > 0) next
        reached[why] = 0
        if (why) { excused++; next }
        sub(/^ +/, "", $3)
        print $1 ": never reached: " $3
        left++
        next
    }
    { folder = $1; sub(/\/[^\/]*$/, "", folder); lines[folder]++; all++; if ($2 > 0) { run[folder]++; covered++ } }
    END {
        for (i = 1; i <= listed; i++) {
            if (!met[i]) print "tests/unreached.txt: is not there: " file[i] ": " text[i]
            else if (reached[i]) print "tests/unreached.txt: is reached: " file[i] ": " text[i]
        }
        for (folder in lines) printf "%6.1f%% of %5d lines  %s\n", 100 * run[folder] / lines[folder], lines[folder], folder | "sort -k5"
        close("sort -k5")
        printf "%6.1f%% of %5d lines in all; of %d places that diagnose %d are never reached, and %d that cannot be\n", all ? 100 * covered / all : 0, all, sites, left, excused
        exit !(all && covered >= 0.9 * all && sites && !left)
    }' tests/unreached.txt "$build/calls" "$build/lines"
