# SPDX-License-Identifier: MIT
# The tests of examples/testing pass, and what is planted in a copy of them is found: the first step, the first tensor and by
# how much. Part of job.sh. Needs job.sh's functions and $own.
mkdir -p "$own/digits"
cp examples/digits/digits.csv "$own/digits/"
fresh() {
    rm -rf "$own/testing"
    cp -r examples/testing "$own/testing"
}

fresh
(cd "$own/testing" && $limit "$gradus" test blocks.gr model.gr) >"$own/log" 2>&1
status=$?
grep -q '^[1-9][0-9]* passed, 0 failed' "$own/log" || status=1
verdict $status "planted: examples/testing passes" "$own/log"

# plant FILE SED STEP TEXT: the edit changes the file, and the report names the step and the tensor and gives both values.
plant() {
    fresh
    sed "$2" "$own/testing/$1" >"$own/edited"
    if cmp -s "$own/edited" "$own/testing/$1"; then
        fail "planted: $2 changes nothing in $1"
        return
    fi
    cp "$own/edited" "$own/testing/$1"
    sed -i '/expect equal over/d' "$own/testing/model.gr"
    (cd "$own/testing" && $limit "$gradus" test --filter='same bits' model.gr) >"$own/log" 2>&1
    [ $? -eq 4 ] && grep -qF "# first difference: step $3 of 30, $4" "$own/log" &&
        grep -Eq '^#   [^:]*: recorded .*, now .*; difference -?[0-9.e-]*[1-9].*, relative [0-9.e-]*[1-9]' "$own/log" &&
        tail -n 1 "$own/log" | grep -q '^1 passed, 1 failed'
    verdict $? "planted: $4 at step $3, where $1 has $(echo "$2" | head -c 40)" "$own/log"
}
plant blocks.gr 's/= x \/ (1 + abs(x))/= x \/ (1.0001 + abs(x))/' 1 'the output of squash1'
plant blocks.gr 's/x\[i\] + squash(z\[i\])/x[i] + 0.9999 * squash(z[i])/' 1 'the output of shortcut1'
plant blocks.gr 's/init = xavier/init = he/' 1 'the values of shortcut1.W before the step'
plant blocks.gr 's/^def squash(x) = \(.*\)/def squash(x) {\n  derivative x = 0.999 \/ (1 + abs(x))^2\n  \1\n}/' 1 'the gradient of dense1.W'
plant blocks.gr 's/cos(pi \* progress)) \/ 2/cos(pi * progress)) \/ 2.0001/' 2 'the values of dense1.W before the step'
plant blocks.gr "s/seen' = seen/seen' = 0.9999 * seen/" 3 'the values of dense1.W before the step'
plant model.gr 's/dropout(0.1)/dropout(0.11)/' 1 'the output of dropout1'
plant model.gr 's/loss      = cross_entropy/loss      = 1.0001 * cross_entropy(digit, digit.target)/' 1 'the loss'
plant model.gr 's/seed      = 1/seed      = 2/' 1 'the values of dense1.W before the step'
grep -q '# the seeds differ: recorded 1, now 2' "$own/log"
verdict $? "planted: another seed is named" "$own/log"

# Another compiler: one that takes the altered def for the same text.
fresh
sed -i '/expect equal over/d' "$own/testing/model.gr"
sed 's/1 + abs(x)/1.0001 + abs(x)/' "$own/testing/blocks.gr" >"$own/altered"
cat >"$own/other" <<END
#!/bin/sh
cp blocks.gr kept && cp "$own/altered" blocks.gr
"$gradus" "\$@"
status=\$?
mv kept blocks.gr
exit \$status
END
chmod +x "$own/other"
(cd "$own/testing" && $limit "$gradus" test --against="$gradus" model.gr) >"$own/log" 2>&1
verdict $? "planted: a compiler against itself is the same" "$own/log"
(cd "$own/testing" && $limit "$gradus" test --against="$own/other" model.gr) >"$own/log" 2>&1
[ $? -eq 4 ] && grep -qF '# first difference: step 1 of 30, the output of squash1' "$own/log" &&
    grep -q '^#   layer.squash1 (norm): theirs .*, now .*; difference' "$own/log" &&
    grep -qF '#   1600 of its 1600 elements differ ([example of the batch, ...]), the first:' "$own/log" &&
    grep -Eq '^#   layer.squash1\[0,0\]: theirs [-0-9.e]+ \(-?0x[^)]*\), now [-0-9.e]+ \(-?0x[^)]*\); difference' "$own/log"
verdict $? "planted: another compiler's difference is found, to the element" "$own/log"

# One weight alone, changed by the third step: it is named, at the step behind.
cat >"$own/testing/one.gr" <<'END'
data d { train = csv("../digits/digits.csv", kind = "class") }
model net(x[64]) -> kind: class[10] { x -> dense(10) }
def descent(w[u, k], g[u, k], lr) {
  w'[u, k] = w[u, k] - lr * g[u, k]
}
train net on d {
  loss      = cross_entropy
  optimizer = descent(lr = 0.01) on W, sgd(0.01)
  batch     = 20
  steps     = 9
}
test "element" {
  train 5 steps
  expect curve "one.curve"
}
END
sed 's/= w\[u, k\] - .*/= if step == 3 and u == 7 and k == 21 then w[u, k] - 0.25 else &/; s/else = /else /' "$own/testing/one.gr" >"$own/bent"
sed "s|blocks.gr|one.gr|g; s|$own/altered|$own/bent|" "$own/other" >"$own/other2"
chmod +x "$own/other2"
(cd "$own/testing" && $limit "$gradus" test --against="$own/other2" one.gr) >"$own/log" 2>&1
[ $? -eq 4 ] && grep -qF '# first difference: step 4 of 5, the values of dense1.W before the step' "$own/log" &&
    grep -qF '#   1 of its 640 elements differ, the first:' "$own/log" &&
    grep -Eq '^#   weights.dense1.W\[7,21\]: theirs .* \(.*\), now .* \(.*\); difference 0.2[0-9]*,' "$own/log"
verdict $? "planted: a weight is named by its element, at the step behind the changed one" "$own/log"
(cd "$own/testing" && $limit "$gradus" test --update one.gr && cp "$own/bent" one.gr && $limit "$gradus" test one.gr) >"$own/log" 2>&1
[ $? -eq 4 ] && grep -q '^#   a recorded curve holds norms' "$own/log"
verdict $? "planted: of a recorded curve it is said that it holds norms" "$own/log"

# A runtime in which three threads spoil one weight behind the second step.
fresh
sed '/^test/,$d' "$own/bent" | sed 's/if step == 3.*else //' >"$own/testing/one.gr"
printf 'test "threads" {\n  train 5 steps\n  expect equal over threads\n}\n' >>"$own/testing/one.gr"
cat >"$own/spoil.c" <<'END'
#include "team.h"
#include <string.h>
void plain_run(Team *team, const TeamWork *work);
void team_run(Team *team, const TeamWork *work) {
    static int updates;
    plain_run(team, work);
    if (team->threads != 3 || !work->program) return;
    if ((work->program->kind != GR_STEP && work->program->kind != GR_WATCH) || ++updates != 2) return;
    for (int i = 0; i < gr_model.nleaves; i++)
        if (!strcmp(gr_model.leaves[i].buffer.name, "dense1.W"))
            ((float *)(work->mem + gr_model.leaves[i].buffer.offset))[7 * 64 + 21] += 0.25f;
}
END
(cd "$own" && cp "$GRADUS_RUNTIME" spoilt.a && ar x spoilt.a team.c.o && objcopy --redefine-sym team_run=plain_run team.c.o &&
    ${CC:-cc} -c -fPIC -I "$ROOT/runtime" spoil.c && ar r spoilt.a team.c.o && ar q spoilt.a spoil.o) >"$own/log" 2>&1 ||
    fail "planted: a runtime that spoils a weight is made"
(cd "$own/testing" && GRADUS_RUNTIME="$own/spoilt.a" $limit "$gradus" test one.gr) >"$own/log" 2>&1
[ $? -eq 4 ] && grep -qF '# first difference: step 3 of 5, the values of dense1.W before the step' "$own/log" &&
    grep -qF '#   1 of its 640 elements differ, the first:' "$own/log" &&
    grep -Eq '^#   weights.dense1.W\[7,21\]: as it is .* \(.*\), 3 threads .* \(.*\); difference 0.2[0-9]*,' "$own/log" &&
    grep -q '^# not the same with 3 threads' "$own/log" && ! grep -q 'not the same with [124] ' "$own/log"
verdict $? "planted: what differs with threads is named by its element" "$own/log"

# Two logs, and a log against a curve.
fresh
(cd "$own/testing" && "$gradus" build model.gr -o "$own/model" &&
    "$own/model" train --steps=5 --threads=1 -q --out="$own" --log="$own/a.jsonl" &&
    "$own/model" train --steps=5 --threads=2 -q --out="$own" --log="$own/b.jsonl" &&
    "$own/model" train --steps=5 --seed=9 -q --out="$own" --log="$own/c.jsonl") >"$own/log" 2>&1
"$gradus" diff "$own/a.jsonl" "$own/b.jsonl" >>"$own/log" 2>&1 && grep -q '^the same in' "$own/log"
verdict $? "planted: two logs of one run are the same" "$own/log"
"$gradus" diff "$own/a.jsonl" "$own/c.jsonl" >"$own/log" 2>&1
[ $? -eq 4 ] && grep -q '^first difference: step 1 of 5, the loss' "$own/log" && grep -q 'the seeds differ' "$own/log"
verdict $? "planted: logs of two seeds differ at the first step" "$own/log"
