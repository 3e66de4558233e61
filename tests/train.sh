# SPDX-License-Identifier: MIT
# An example is built and trained, and reaches the bound that tests/examples.txt states. Part of job.sh ($1: a model file).
# Needs job.sh's functions and $own. Data that is not there skips the example, visibly. All trainings of a lecture example
# leave the same weights on 1, 2 and 3 threads.
row=$(awk -v file="$1" '$1 == file' tests/examples.txt)
metric=$(echo "$row" | awk '{print $2}')
bound=$(echo "$row" | awk '{print $3}')
options=$(echo "$row" | cut -s -d ' ' -f 4-)
[ -n "$row" ] || options=--epochs=1

"$gradus" check "$1" >"$own/log" 2>&1
status=$?
if grep -q 'not found beside the model' "$own/log"; then
    echo "ok - train: $1 # SKIP its data is not here"
    count 0 0
elif [ $status -ne 0 ] || ! "$gradus" build "$1" -o "$own/model" >"$own/log" 2>&1; then
    fail "train: $1 does not build" "$own/log"
else
    # shellcheck disable=SC2086 # options are words
    $limit "$own/model" train $options --out="$own" >"$own/log" 2>&1
    status=$?
    verdict $status "train: $1" "$own/log"
    if [ -n "$metric" ] && [ $status -eq 0 ]; then
        $limit "$own/model" eval --set-name=test --out="$own" >"$own/log" 2>&1
        reached=$(awk -v name="$metric" '{for (i = 1; i < NF; i++) if ($i == name) value = $(i + 1)} END {print value}' "$own/log")
        awk -v reached="$reached" -v bound="$bound" 'BEGIN {exit !(reached != "" && reached + 0 <= bound + 0)}'
        verdict $? "train: $1 reaches $metric $reached <= $bound" "$own/log"
    fi
    lecture=$(echo "$1" | grep '^examples/lecture/')
    for threads in ${lecture:+1 2 3}; do
        mkdir -p "$own/threads$threads"
        $limit "$own/model" train --epochs=2 --threads="$threads" --out="$own/threads$threads" -q >"$own/log" 2>&1
        [ $? -eq 0 ] && ls "$own/threads$threads"/*.safetensors >"$own/log" 2>&1 && diff -r "$own/threads1" "$own/threads$threads" >"$own/log" 2>&1
        verdict $? "bits: $1 on $threads threads" "$own/log"
    done
fi
