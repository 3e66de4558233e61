# SPDX-License-Identifier: MIT
# The command line: verbs, exit codes and faults of use. Part of job.sh: needs its functions and $own.
# No path leads to a crash: each case names its exit code.
expect() { # name, exit code, text in what it says ("" for none), then the command
    name=$1 code=$2 text=$3
    shift 3
    $limit "$@" >"$own/log" 2>&1 </dev/null
    got=$?
    if [ "$got" -ne "$code" ]; then
        echo "exit code $got, not $code" >>"$own/log"
        fail "cli: $name" "$own/log"
    elif [ -n "$text" ] && ! grep -qF -- "$text" "$own/log"; then
        echo "missing: $text" >>"$own/log"
        fail "cli: $name" "$own/log"
    else
        pass "cli: $name"
    fi
}

here=$own/cli
mkdir -p "$here/folder.gr"
: >"$here/empty.gr"
printf 'def f(x) = x $ 2\ndef g(x) = (x\nmodel m(x[2]) -> y[1] { x -> nothing_of_this_name }\n' >"$here/faults.gr"
printf '\000\377\001{{{{' >"$here/binary.gr"
cp examples/spirals/model.gr examples/spirals/spirals.csv "$here/"

expect "help" 0 "usage: gradus VERB" "$gradus" --help
expect "help of a verb" 0 "--float=32|64" "$gradus" build --help
expect "version names LLVM" 0 "LLVM 19" "$gradus" --version
expect "a verb misspelt" 2 "did you mean 'gradus build'" "$gradus" biuld
expect "an option misspelt" 2 "did you mean '--float'" "$gradus" build --flaot=32 "$here/model.gr"
expect "a choice that is none" 2 "is one of 32|64" "$gradus" build --float=16 "$here/model.gr"
expect "an option without its value" 2 "wants a value" "$gradus" build "$here/model.gr" -o
expect "no file" 2 "usage: gradus build" "$gradus" build
expect "a missing file" 1 "No such file" "$gradus" check "$here/missing.gr"
expect "a folder in place of a file" 1 "directory" "$gradus" build "$here/folder.gr"
expect "an empty file" 1 "" "$gradus" build "$here/empty.gr" -o "$here/out"
expect "bytes that are no text" 1 "error" "$gradus" check "$here/binary.gr"
expect "several faults in one run" 1 "faults.gr:2" "$gradus" check "$here/faults.gr"
grep -q 'faults.gr:1' "$own/log"
verdict $? "cli: the first of several faults is reported too" "$own/log"
expect "faults as JSON" 1 '"severity"' "$gradus" check --diagnostics=json "$here/faults.gr"
expect "an output that cannot be written" 1 "" "$gradus" build "$here/model.gr" -o "$here/none/model"
mkfifo "$here/pipe"
expect "a pipe is not replaced by an executable" 1 "it is no regular file" "$gradus" build "$here/model.gr" -o "$here/pipe"
[ -p "$here/pipe" ]
verdict $? "cli: the pipe is still there" "$own/log"
expect "a report that cannot be written" 1 "cannot write '$here/none/report.xml'" "$gradus" test --junit="$here/none/report.xml" "$here/model.gr"
expect "a dump that cannot be written" 1 "cannot write '$here/none/graph'" "$gradus" dump "$here/model.gr" -o "$here/none/graph"
expect "a dump that a full disk cuts" 1 "cannot write '/dev/full'" "$gradus" dump "$here/model.gr" -o /dev/full
expect "machine code's text that a full disk cuts" 1 "cannot write '/dev/full'" "$gradus" dump --stage=llvm "$here/model.gr" -o /dev/full
"$gradus" dump --stage=llvm "$here/model.gr" >"$here/straight" 2>"$own/log"
(echo before; "$gradus" dump --stage=llvm "$here/model.gr" -o /dev/stdout) 2>>"$own/log" | sed 1d | cmp - "$here/straight" >>"$own/log" 2>&1 && [ -s "$here/straight" ]
verdict $? "cli: a dump into what is open" "$own/log"
(echo before; "$gradus" dump "$here/model.gr" -o /dev/stdout; echo behind) >"$here/straight" 2>"$own/log" && [ "$(tail -n 1 "$here/straight")" = behind ] && [ -L /dev/stdout ] && [ "$(head -n 1 "$here/straight")" = before ] && [ "$(wc -l <"$here/straight")" -gt 10 ]
verdict $? "cli: and where that is a file, too" "$own/log"
echo old >"$here/report.xml"
ln "$here/report.xml" "$here/before.xml"
printf 'test "t" {\n  expect 1 == 1\n}\n' >"$here/one.gr"
expect "a report replaces the old one when it is whole" 0 "1 passed" "$gradus" test --junit="$here/report.xml" "$here/one.gr"
grep -q '</testsuites>' "$here/report.xml" && grep -qx old "$here/before.xml"
verdict $? "cli: the old report was not written over" "$own/log"
"$gradus" dump "$here/model.gr" -o "$here/graph"
cp "$here/graph" "$here/graph.old"
expect "a dump that does not fit" 1 "cannot write" sh -c 'ulimit -f 1; exec "$0" dump "$1" --stage=llvm -o "$2"' "$gradus" "$here/model.gr" "$here/graph"
expect "a dump that does not fit, of our own text" 1 "cannot write" sh -c 'ulimit -f 1; exec "$0" dump "$1" -o "$2"' "$gradus" "$here/model.gr" "$here/graph"
cmp "$here/graph" "$here/graph.old" >"$own/log" 2>&1 && [ -z "$(find "$here" -name 'graph*.tmp')" ]
verdict $? "cli: the old dump is still there, and nothing else" "$own/log"
mkdir "$here/tmp"
env TMPDIR="$here/tmp" "$gradus" test --jobs=2 "$ROOT/examples/testing/model.gr" >"$own/log" 2>&1 &
tested=$!
while kill -0 $tested 2>/dev/null && [ -z "$(find "$here/tmp" -mindepth 3)" ]; do sleep 0.02; done
kill -TERM $tested
wait $tested 2>/dev/null
[ $? -eq 143 ] && [ -z "$(ls "$here/tmp")" ]
verdict $? "cli: tests that are interrupted take their folder away" "$own/log"
expect "no folder for what tests make" 1 "cannot make the folder" env TMPDIR="$here/none" "$gradus" test --filter=trains "$here/model.gr"
expect "no folder for what runs make" 1 "cannot make the folder '$here/model.gr/" env XDG_CACHE_HOME="$here/model.gr" "$gradus" run "$here/model.gr" info
printf '## Example: 3 on [2]\n## Example: f on nothing\ndef f(x) = x\n' >"$here/doc.gr"
expect "an example of what is no def" 4 "this is no def [E0416]" "$gradus" test "$here/doc.gr"
expect "an example without shapes" 4 '`f on nothing` is no application: write `def(…) on [3, 8, 8]` [E0580]' "$gradus" test "$here/doc.gr"
expect "a new model below what is no folder" 1 "cannot make the folder" "$gradus" new "$here/model.gr/deeper"
expect "a linker that is not there" 1 "cannot run the linker" env CC="$here/none" "$gradus" build "$here/model.gr" -o "$here/m"
expect "the model file as output" 1 "model file itself" "$gradus" build "$here/model.gr" -o "$here/model.gr"
expect "a runtime that is not there" 1 "GRADUS_RUNTIME" env GRADUS_RUNTIME="$here/none.a" "$gradus" build "$here/model.gr" -o "$here/m"
expect "the runtime of another machine is not there" 1 "libgradus_runtime-riscv64-linux-gnu.a" env -u GRADUS_RUNTIME "$gradus" build --target=riscv64-linux-gnu "$here/model.gr" -o "$here/m"
expect "an object for another machine" 0 "" env -u GRADUS_RUNTIME "$gradus" build --target=riscv64-linux-gnu --emit=obj "$here/model.gr" -o "$here/m.o"
expect "this machine's own triple" 0 "" "$gradus" build --target="$(uname -m)-linux-gnu" "$here/model.gr" -o "$here/m"
expect "a machine that nobody knows" 1 "no target 'nowhere-linux'" "$gradus" build --target=nowhere-linux --emit=obj "$here/model.gr" -o "$here/m.o"
expect "a training that is not there" 1 'no training is called `nobody`' "$gradus" check --only=nobody "$here/model.gr"
expect "check: the table" 0 "total" "$gradus" check "$here/model.gr"
expect "check: the data's header" 0 "400 examples of 2 unbound columns" "$gradus" check "$here/model.gr"
sed 's/arm = "arm"/arm = "arms"/' "$here/model.gr" >"$here/column.gr"
grep -q '^arm .*data  *class' "$own/log" && ! grep -q target "$own/log"
verdict $? "cli: check calls the datum as the user does" "$own/log"
expect "check: a column that the file has not" 5 "has no column 'arms'" "$gradus" check "$here/column.gr"
cat >"$here/border.gr" <<'EOF'
model border(image[1, 32, 32]) -> kind: class[10] { image -> conv(8, 3, pad = 1) -> relu -> dense(10) }
train border {
  loss      = cross_entropy
  optimizer = sgd
  batch     = 64
  steps     = 1
}
EOF
# 64 examples of 94 * 94 pixels inside, 8 filters, a product and a sum each, and 8 * 32 * 32 biases.
expect "check: the plan counts what lies inside of the border" 0 "     9.572     2.360      95.7      conv1.y: conv1.W * image [8, 32, 32] over [1, 3, 3]" "$gradus" check --plan --peak=100 --bandwidth=1000 "$here/border.gr"
# 64 examples of (1 + 8) * 32 * 32 numbers of 4 bytes, and 80 weights.
expect "check: the plan knows memory too" 0 "     9.572     2.360    2359.6      conv1.y" "$gradus" check --plan --peak=1e6 --bandwidth=1 "$here/border.gr"
expect "check: the plan at this machine's speed" 0 "the step; phase by phase" "$gradus" check --plan "$here/border.gr"
expect "check: a peak that is no number" 2 "a number above 0" "$gradus" check --plan --peak=fast "$here/border.gr"
expect "doc: the library" 0 "relu" "$gradus" doc
expect "doc: one def" 0 "def relu" "$gradus" doc relu
expect "doc: a name misspelt" 1 "did you mean 'relu'" "$gradus" doc rleu
expect "doc: the formula and the source" 0 "w' = w + v'" "$gradus" doc nesterov
expect "doc: sections" 0 "Optimizers (stdlib/optimizer.gr)" "$gradus" doc
mkdir -p "$here/tree/stdlib" && ln -s "$ROOT/tests" "$ROOT/examples" "$here/tree/"
unsaid="\`$(echo nowhere | rev)\`" # in no file: neither here
for row in 'no def:relu nothing_of_this_name' "no test:$unsaid" "no example:$unsaid" 'no name:'; do
    printf '1 Losses | Something | %s\n' "${row#*:}" >"$here/tree/stdlib/techniques.txt"
    (cd "$here/tree" && expect "doc --table: a technique with ${row%%:*}" 4 "has ${row%%:*}" "$gradus" doc --table)
done
printf '1 Losses | Something | relu\n2 More | Other | planned\n' >"$here/tree/stdlib/techniques.txt"
(cd "$here/tree" && expect "doc --table: what is only planned is not let off" 4 "has no def" "$gradus" doc --table)
expect "doc: the lecture's spelling" 1 "did you mean 'nesterov'" "$gradus" doc Nestorov
expect "doc: and another one" 1 "did you mean 'adadelta'" "$gradus" doc Adadelata
printf 'model m(x[2]) -> y[1] { x -> dense(1) -> LeakyReLU }\n' >"$here/spelt.gr"
expect "check: another library's spelling" 1 'did you mean `leaky_relu`' "$gradus" check "$here/spelt.gr"
for said in Nestorov:nesterov Adadelata:adadelta; do
    printf 'data d { train = csv("a.csv", y = "y") }\nmodel m(x[2]) -> y: class[2] { x -> dense(2) }\ntrain m on d { loss = cross_entropy; optimizer = %s(lr = 0.1) }\n' "${said%:*}" >"$here/spelt.gr"
    expect "check: the lecture's ${said%:*}" 1 "did you mean \`${said#*:}\`" "$gradus" check "$here/spelt.gr"
done
printf 'def f(x, a = 0.01) = if x > 0 then a * x else x\nmodel m(x[2]) -> y[1] { x -> dense(1) -> f }\n' >"$here/slide.gr"
expect "check: branches exchanged" 0 "W0401" "$gradus" check "$here/slide.gr"
printf '## Example: f at [1, -1] gives [2, -2]\ndef f(x) = 3 * x\n' >"$here/example.gr"
expect "test: an example that does not hold" 4 "element 0 is 3" "$gradus" test "$here/example.gr"
printf '## Example: f at [2, -1] gives [6, -3]\n## Example: optimizer = g(0.1)\ndef f(x) = 3 * x\ndef g(w, g, lr) {\n  w'"'"' = w - lr * g\n}\n' >"$here/example.gr"
expect "test: examples that hold" 0 "2 passed, 0 failed" "$gradus" test "$here/example.gr"
printf '## Example: f on [3]\ndef f(x) = sqrt(x)\n' >"$here/example.gr"
expect "test: an example without a number" 4 "nan" "$gradus" test "$here/example.gr"
printf '## Example: f on [3]\ndef f(x[d]) {\n  mu[d] = mean[data] x[d]\n  c[d, p: d] = mean[data] (x[d] - mu[d]) * (x[p] - mu[p])\n  (v, e) = eigh(c)\n  y[k: d] = sum[d] e[d, k] * x[d]\n}\n' >"$here/example.gr"
expect "test: an example's compiled code is that of the interpreter" 0 "1 passed, 0 failed" "$gradus" test "$here/example.gr"
printf 'void gr_call_eigh(double *v, double *e, const double *m, long n);\nvoid gr_call_eigh(double *v, double *e, const double *m, long n) {\n    for (long i = 0; i < n * n; i++) e[i] = m[i], v[i / n] = m[i / n];\n}\n' >"$here/other.c"
(cd "$here" && cc -c -fPIC other.c && ar rcs other.a other.o) >"$own/log" 2>&1
expect "test: compiled code that differs" 4 "# compiled: fit" env GRADUS_RUNTIME="$here/other.a" "$gradus" test "$here/example.gr"
sed 's/^## .*//' "$here/example.gr" >"$here/claim.gr"
echo 'test "t" { expect abs(f(x[3])) >= 0 }' >>"$here/claim.gr"
expect "test: a claim is one of compiled code too" 0 "1 passed, 0 failed" "$gradus" test "$here/claim.gr"
expect "test: a claim's compiled code that differs" 4 "# compiled: fit" env GRADUS_RUNTIME="$here/other.a" "$gradus" test "$here/claim.gr"
expect "test: an example that cannot be compiled" 4 "cannot be compiled" env CC=false "$gradus" test "$here/example.gr"
expect "test: at another level" 0 "1 passed, 0 failed" "$gradus" test -O2 "$here/example.gr"
printf 'case sigmoid on [1]\nexamples 1\nleaf x 1 1\nleaf weight 1 1\nstep 1 y 1 0.7310585788\n' >"$here/off.txt"
expect "parity: a difference in the tenth digit" 4 "1 differ" "$BUILD/gradus-parity" "$here/off.txt"
expect "explain" 0 "E0101" "$gradus" explain E0101
expect "explain: no such code" 2 "there is no code" "$gradus" explain E9999
expect "a pass that is none" 1 "there is no pass" "$gradus" dump --stop=nothing "$here/model.gr"
expect "dump: llvm" 0 "define" "$gradus" dump --stage=llvm "$here/model.gr"
expect "build: where the time goes" 0 "ms cpu  in all" "$gradus" build --time "$here/model.gr" -o "$here/timed"
for stage in "read and parse" elaborate gradient "passes in all" plan "LLVM code" "machine code" link; do
    grep -q "^ *[0-9.]* ms  *[0-9.]* ms cpu  $stage\$" "$own/log" || echo "no line for: $stage" >>"$own/missing"
done
[ ! -s "$own/missing" ]
verdict $? "cli: build --time tells of each stage" "$own/missing"
# Large enough for parts that are compiled side by side.
expect "build in parts" 0 "" "$gradus" build -O0 tests/bench/nets/resnet20.gr -o "$own/parts"
expect "build in parts, one after the other" 0 "" taskset -c 0 "$gradus" build -O0 tests/bench/nets/resnet20.gr -o "$own/alone"
cmp "$own/parts" "$own/alone" >"$own/differ" 2>&1
verdict $? "cli: the executable is the same however many compiled it" "$own/differ"
expect "build to an object" 0 "" "$gradus" build "$here/model.gr" --emit=obj -o "$here/model.o"
expect "test: gradients of the template" 0 "1 passed, 0 failed" "$gradus" test "$here/model.gr"
expect "new" 0 "is ready" "$gradus" new "$here/fresh"
expect "new: the folder is there already" 1 "cannot make the folder" "$gradus" new "$here/fresh"
cmp -s "$here/fresh/model.gr" examples/spirals/model.gr
verdict $? "cli: new writes the template" "$own/log"
export XDG_CACHE_HOME="$own/cache"
expect "run" 0 "usage" "$gradus" run "$here/model.gr" --help
before=$(find "$own/cache" -type f | wc -l)
expect "run again, from the cache" 0 "usage" "$gradus" run "$here/model.gr" --help
[ "$before" -eq 1 ] && [ "$(find "$own/cache" -type f | wc -l)" -eq 1 ]
verdict $? "cli: the cache holds one executable" "$own/log"
cp "$here/spirals.csv" "$here/moved.csv"
sed "s|\"spirals.csv\"|\"$here/moved.csv\", embed = true|" "$here/model.gr" >"$here/absolute.gr"
expect "run with embedded data of an absolute path" 0 "usage" "$gradus" run "$here/absolute.gr" --help
tail -n 1 "$here/spirals.csv" >>"$here/moved.csv"
expect "run after they changed" 0 "usage" "$gradus" run "$here/absolute.gr" --help
[ "$(find "$own/cache" -type f | wc -l)" -eq 3 ]
verdict $? "cli: embedded data that changed are another executable" "$own/log"

printf 'model  m(x[2]) -> y[1] {\n\n\n      x -> dense(1)   \n}' >"$here/untidy.gr"
expect "fmt --check finds it" 4 "untidy.gr" "$gradus" fmt --check "$here/untidy.gr"
expect "fmt" 0 "" "$gradus" fmt "$here/untidy.gr"
expect "fmt: twice is as once" 0 "" "$gradus" fmt --check "$here/untidy.gr"
printf 'model  m(x[2]) -> y[1] {\n\n  x -> dense(1)\n}\n' | cmp - "$here/untidy.gr" >"$own/log" 2>&1
verdict $? "cli: fmt writes what it should" "$own/log"

cmake --install "$BUILD" --prefix "$own/prefix" >"$own/log" 2>&1
verdict $? "cli: installs under a prefix" "$own/log"
expect "an installed compiler finds its runtime" 0 "" env -u GRADUS_RUNTIME "$own/prefix/bin/gradus" build "$here/model.gr" -o "$here/installed"

# 20 ms are promised for --help; the median of 9, with room for a busy machine under --sanitize.
if [ -z "${SANITIZE:-}" ]; then
    for _ in 1 2 3 4 5 6 7 8 9; do
        start=$(date +%s%N)
        "$gradus" --help >/dev/null
        echo $((($(date +%s%N) - start) / 1000))
    done | sort -n >"$own/times"
    median=$(sed -n 5p "$own/times")
    echo "median $median us" >"$own/log"
    [ "$median" -lt 40000 ]
    verdict $? "cli: --help is quick" "$own/log"
fi
