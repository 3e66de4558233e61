# SPDX-License-Identifier: MIT
# A training that diverges: the report names the lines marked `#~ text; text` and says those texts, on
# one thread and on two; what is kept is what a run of so many steps gives. `#~ row N X`: X stands in the data.
# Part of job.sh: needs its functions, $own, and the file as $1.
name=$(basename "$1")
mkdir -p "$own/case"
cp "$1" "$own/case/$name"
row=$(sed -n 's/^#~ row //p' "$1" | head -n 1)
awk -v row="${row%% *}" -v odd="${row#* }" -f tests/nan/points.awk >"$own/case/points.csv"
cd "$own/case" || exit 1
if ! $limit "$gradus" build "$name" -o model >"$own/log" 2>&1; then
    fail "nan: $1 builds" "$own/log"
    cd "$ROOT" || exit 1
    return
fi
for threads in 1 2; do
    $limit ./model train -q --threads=$threads --log=log.jsonl >out$threads 2>&1
    status=$?
    awk -v name="$name" -v status="$status" '
        FNR == NR { sub(/#~ .*/, ""); said = said $0 "\n"; next } # what is quoted is not said
        { at = index($0, "#~ ") }
        !at || /^#~ row [0-9]+ [0-9a-z]+$/ { next }
        at > 1 && !index(said, name ":" FNR ":") { print "line " FNR " is not named"; bad = 1 }
        {
            n = split(substr($0, at + 3), text, "; ")
            for (i = 1; i <= n; i++) if (!index(said, text[i])) { print "missing: " text[i]; bad = 1 }
            found += n
        }
        END {
            if (status != 3) { print "exit code " status ", not 3"; bad = 1 }
            exit bad || !found
        }' out$threads "$name" >"$own/log"
    wrong=$?
    cat out$threads >>"$own/log"
    verdict $wrong "nan: $1 on $threads threads" "$own/log"
done
if [ "$name" = log.gr ]; then # linked by hand: the object holds all that an executable does
    "$gradus" build "$name" --emit=obj -o model.o >"$own/log" 2>&1 &&
        ${CC:-cc} -o by_hand model.o "$GRADUS_RUNTIME" -l:libgomp.a -lm -pthread -l:libz.a ${GRADUS_LDFLAGS:-} >>"$own/log" 2>&1 &&
        { $limit ./by_hand train -q --log=hand.jsonl >hand 2>&1; cmp hand out1 >>"$own/log" 2>&1; }
    verdict $? "nan: $1: an executable linked by hand says the same" "$own/log"
fi
cmp out1 out2 >"$own/log" 2>&1 && grep -q '"type":"diverged"' log.jsonl
verdict $? "nan: $1: the same report, and a record of it" "$own/log"
kept=$(sed -n 's/^the weights of step \([0-9]*\) are kept.*/\1/p' out1)
if [ -n "$kept" ]; then
    $limit ./model train -q --steps="$kept" --out=short >"$own/log" 2>&1
    for file in net.last.safetensors short/net.last.safetensors; do
        tail -c +$((9 + $(od -An -tu8 -N8 $file))) $file >"$own/$(dirname $file | tr . k).tensors"
    done
    cmp "$own/k.tensors" "$own/short.tensors" >>"$own/log" 2>&1
    verdict $? "nan: $1 keeps the weights of step $kept" "$own/log"
fi
cd "$ROOT" || exit 1
