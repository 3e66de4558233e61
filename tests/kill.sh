# SPDX-License-Identifier: MIT
# SIGKILL at random moments of training: sh tests/kill.sh [KILLS] [SEED]. What is on disk is always whole, never older
# than before, and what goes on from it ends with the same bits as a training that nobody disturbed.
# Needs build/gradus; prints "ok - " or "not ok - " lines and fails where something was not.
set -u
kills=${1:-12} seed=${2:-1}
cd "$(dirname "$0")/.." || exit 1
gradus=${BUILD:-$PWD/build}/gradus
own=$(mktemp -d) || exit 1
child=''
trap '[ -z "$child" ] || kill -9 "$child" 2>/dev/null; rm -rf "$own"' EXIT
trap 'exit 130' INT TERM
cp tests/kill.gr examples/digits/digits.csv "$own/" && cd "$own" || exit 1
"$gradus" build kill.gr -o model >log 2>&1 || { echo "not ok - kill: does not build"; cat log; exit 1; }
length=''
[ $((seed % 2)) -eq 1 ] || length=--steps=275 # ends in the midst of an epoch
began=$(date +%s%N)
./model train -q --threads=1 --save-every=7 $length --out=whole >log 2>&1 || { echo "not ok - kill: does not train"; cat log; exit 1; }
took=$((($(date +%s%N) - began) / 1000000)) # what one training takes: kills come within it

step_of() { head -c 20000 "$1" | grep -ao '"step":"[0-9]*"' | head -n 1 | tr -dc 0-9; }
wrong() {
    echo "not ok - kill: $1"
    exit 1
}
done=0 finished=0 resumed=0 last=0 round=0 absent=0 left=0
while [ "$done" -lt "$kills" ] || [ "$finished" -eq 0 ]; do
    round=$((round + 1))
    threads=$((round % 2 + 1))
    again=''
    [ ! -f cut/net.last.safetensors ] || again=--resume
    [ -z "$again" ] || resumed=$((resumed + 1))
    ./model train -q $again $length --threads=$threads --save-every=7 --out=cut >log 2>&1 &
    child=$!
    wait=$(awk -v seed=$((seed * 100003 + round)) -v took="$took" 'BEGIN {srand(seed); rand(); printf "%.3f", rand() * took / 1500}')
    [ "$done" -ge "$kills" ] || { sleep "$wait" && kill -9 "$child" 2>/dev/null; }
    wait "$child" 2>/dev/null
    status=$?
    child=''
    case $status in
    137) done=$((done + 1)) ;;
    0) finished=$((finished + 1)) ;;
    *) cat log; wrong "a training that went on ended with $status" ;;
    esac
    left=$((left + $(find cut -name '*.tmp' 2>/dev/null | wc -l)))
    for file in cut/net.safetensors cut/net.last.safetensors; do
        [ -f "$file" ] || { absent=$((absent + 1)); continue; }
        ./model eval -q --weights="$file" --set-name=test >log 2>&1 || { cat log; wrong "$file is damaged after kill $done"; }
    done
    if [ -f cut/net.last.safetensors ]; then
        now=$(step_of cut/net.last.safetensors)
        [ "${now:-0}" -ge "$last" ] || wrong "the checkpoint went back from step $last to $now"
        last=$now
    fi
    [ "$status" -ne 0 ] && continue
    for file in net.safetensors net.last.safetensors; do
        cmp "whole/$file" "cut/$file" || wrong "$file differs from that of an undisturbed training"
    done
    [ -z "$(find cut -name '*.tmp')" ] || wrong "what killed trainings left is still there: $(ls cut | tr '\n' ' ')"
    rm -rf cut
    last=0
done
[ "$resumed" -gt 0 ] || wrong "no training went on"
echo "ok - kill: $done kills in $finished trainings, $resumed resumed, $left caught while writing: no damaged file, the same bits"
