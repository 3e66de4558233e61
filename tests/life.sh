# SPDX-License-Identifier: MIT
# The life of a training, by executables: several trainings, loading and freezing, what is done after training,
# prediction with draws and by several weights. Part of job.sh: needs its functions and $own.
same() { # name, file, file
    cmp "$2" "$3" >"$own/log" 2>&1
    verdict $? "life: $1" "$own/log"
}
differs() {
    cmp -s "$2" "$3"
    [ $? -eq 1 ]
    verdict $? "life: $1"
}
says() { # name, exit code, text, then the command
    name=$1 code=$2 text=$3
    shift 3
    $limit "$@" >"$own/log" 2>&1 </dev/null
    got=$?
    [ "$got" -eq "$code" ] && { [ -z "$text" ] || grep -qF -- "$text" "$own/log"; }
    verdict $? "life: $name ($got)" "$own/log"
}
# The bytes of one tensor of a weights file; nothing where it is not there.
tensor() {
    size=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    row=$(tail -c +9 "$1" | head -c "$size" | grep -oF "\"$2\":{" -m 1 >/dev/null &&
        tail -c +9 "$1" | head -c "$size" | sed "s/.*\"$2\":{\([^}]*\)}.*/\1/")
    from=$(echo "$row" | sed -n 's/.*"data_offsets":\[\([0-9]*\),.*/\1/p')
    to=$(echo "$row" | sed -n 's/.*"data_offsets":\[[0-9]*,\([0-9]*\)\].*/\1/p')
    [ -z "$to" ] || tail -c +$((9 + size + from)) "$1" | head -c $((to - from))
}

cp examples/digits/digits.csv tests/life.gr "$own/"
if ! (cd "$own" && "$gradus" build life.gr -o life) >"$own/log" 2>&1; then
    fail "life: builds" "$own/log"
else
    cd "$own" || exit 1
    # --- several trainings in one executable
    says "train does all trainings, in order" 0 'loaded 6 of 8 parameters; fresh: head.W head.b' ./life train --out=a
    says "info counts what is learned" 0 'parameters  9010' ./life info
    says "eval takes the last one" 0 'test loss' ./life eval --out=a
    says "--only chooses" 0 'best: epoch' ./life train --only=pretrain --out=b
    same "alone as among others" a/pretrain.safetensors b/pretrain.safetensors
    says "an unknown training is named" 2 "did you mean 'pretrain'" ./life train --only=pretrian
    says "what one training can take wants --only" 2 'choose it with --only' ./life train --resume
    # --- load and freeze
    for name in trunk.W trunk.b norm.gamma x.mu; do
        tensor a/pretrain.safetensors $name >one
        tensor a/finetune.safetensors $name >two
        [ -s one ]
        verdict $? "life: $name is among the weights"
        same "$name is loaded and frozen" one two
    done
    tensor a/pretrain.safetensors head.W >one
    tensor a/finetune.safetensors head.W >two
    differs "what is fresh is trained" one two
    says "weights that are not there" 5 'pretrain.safetensors: the weights to start from are not there' ./life train --only=finetune --out=c
    mkdir -p d && printf '\010\000\000\000\000\000\000\000{}      ' >d/pretrain.safetensors
    says "weights of another model" 5 "has no 'trunk.W'" ./life train --only=finetune --out=d
    # --- after training: the states are the statistics of the kept weights, whatever the moving averages were
    tensor a/pretrain.safetensors norm.moving_mean >one
    tensor a/pretrain.last.safetensors norm.moving_mean >two
    differs "population statistics replace the moving averages" one two
    tensor a/pretrain.safetensors after:norm.moving_mean >one
    [ ! -s one ]
    verdict $? "life: what was collected for them is not kept"
    says "on any number of threads" 0 'weights' ./life train --only=pretrain --threads=1 --out=e
    same "the same bits" a/pretrain.safetensors e/pretrain.safetensors
    # --- prediction with draws, and by several weights
    ./life predict --only=pretrain --out=a >plain
    ./life predict --only=pretrain --out=a --samples=40 >sampled
    head -n 1 sampled >log
    grep -q '^example,digit,p0,.*,p9,sd0,.*,sd9$' log
    verdict $? "life: samples have a mean and a spread" log
    awk -F, 'NR > 1 {s = 0; d = 0; for (i = 3; i < 13; i++) s += $i; for (i = 13; i < 23; i++) d += $i
        if (s < 0.999999 || s > 1.000001 || !(d > 0)) bad++} END {exit bad > 0}' sampled
    verdict $? "life: means are probabilities, spreads are not zero" log
    paste -d, plain sampled | awk -F, 'NR > 1 {n++; same += $2 == $14} END {exit !(same > 0.9 * n)}'
    verdict $? "life: most predictions are those without draws"
    ./life predict --only=pretrain --out=a --samples=40 --threads=1 >again
    same "samples do not depend on threads" sampled again
    ./life predict --only=pretrain --weights=a/pretrain.safetensors,a/pretrain.safetensors >twice
    same "a vote of equals" plain twice
    ./life train --only=pretrain --seed=5 --out=f -q
    ./life predict --only=pretrain --out=f >other
    ./life predict --only=pretrain --weights=a/pretrain.safetensors,f/pretrain.safetensors >vote
    is_mean() { # of the first two files the third
        paste -d, "$@" | awk -F, 'NR > 1 {for (i = 3; i < 13; i++) {n++; d = ($i + $(i + 12)) / 2 - $(i + 24)
            if (d > 1e-6 || d < -1e-6) bad++}} END {exit bad > 0 || !n}'
    }
    is_mean plain other vote
    verdict $? "life: a vote is the mean of the probabilities"
    head -n 3 digits.csv >few.csv
    ./life predict --only=pretrain --out=a --input=few.csv >few1
    ./life predict --only=pretrain --out=f --input=few.csv >few2
    ./life predict --only=pretrain --weights=a/pretrain.safetensors,f/pretrain.safetensors --input=few.csv >few3
    is_mean few1 few2 few3
    verdict $? "life: a vote on two examples, too" few3
    head -n 12 digits.csv >more.csv && ./life predict --only=pretrain --out=a --input=more.csv >more && head -n 3 more >wanted
    same "two examples alone, each by the program of one, as among many" wanted few1
    says "a vote of missing weights" 5 'nowhere: there are no weights' ./life predict --only=pretrain --weights=a/pretrain.safetensors,nowhere
    # --- a training that goes on with another model file, or with other data, says so
    sed '/^train finetune/,$d; s/, embed = true//' life.gr >again.gr
    sed 's/lr = 0.05/lr = 0.04/' again.gr >changed.gr
    "$gradus" build again.gr -o again && "$gradus" build changed.gr -o changed && ./again train -q --epochs=1 --out=g >log 2>&1
    verdict $? "life: a training to go on with" log
    says "it goes on" 0 '' ./again train --epochs=2 --out=g --resume
    ! grep 'has changed since' log
    verdict $? "life: nothing has changed" log
    says "the model file has changed" 0 'the model file has changed since; training goes on with the new one' ./changed train --epochs=3 --out=g --resume
    ! grep 'data has changed' log
    verdict $? "life: the data is the same" log
    cp digits.csv digits && sed '9s/[0-9]*,/7,/' digits >digits.csv
    says "the data has changed" 0 'the data has changed since; training goes on with the new data' ./changed train --epochs=4 --out=g --resume
    ! grep 'model file has changed' log
    verdict $? "life: the model file is the same" log
    cp digits digits.csv
    # --- where predictions go
    (echo before && ./life predict --only=pretrain --out=a --output=/dev/stdout && echo behind) >piped
    { echo before && cat plain && echo behind; } >wanted
    same "predictions into what is open" wanted piped
    mkfifo pipe && { timeout 30 cat pipe >piped & }
    says "predictions into a pipe" 0 '' timeout 20 ./life predict --only=pretrain --out=a --output=pipe
    wait $!; [ -p pipe ] && cmp plain piped >log
    verdict $? "life: the pipe is still there, and all of them came through" log
    says "predictions into a full disk" 1 '/dev/full: writing failed: the disk is full' ./life predict --only=pretrain --out=a --output=/dev/full
    cp plain old && ln old before && chmod 600 old
    says "predictions that do not fit" 1 'the old file stays as it was' sh -c 'trap "" XFSZ; ulimit -f 1; exec ./life predict --only=pretrain --out=a --output=old'
    says "predictions replace the old ones" 0 '' ./life predict --only=pretrain --out=f --output=old
    cmp plain before >log && cmp other old >>log && [ "$(stat -c %a old)" = 600 ] && [ -z "$(find . -name 'old*.tmp')" ]
    verdict $? "life: the old file was not written over, the new one has its mode" log
    cd "$ROOT" || exit 1
fi
