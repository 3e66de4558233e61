# SPDX-License-Identifier: MIT
# Memory, disk and reads that fail, at each count in turn, in a build of a model and in its training:
# sh tests/fault/sweep.sh [STRIDE [MODEL.gr [build|train]]]; STRIDE 1 takes every count, 40 every fortieth. Never may there be a
# crash, a file that is not whole, or a failure without a word; exit codes are those of README. Needs build-fault (GRADUS_FAULT in CMake).
# Prints an "ok - " or "not ok - " line for each kind of fault; fails where one is not.
set -u
stride=${1:-40}
cd "$(dirname "$0")/../.." || exit 1
model=${2:-tests/kill.gr} part=${3:-both} build=${BUILD_FAULT:-$PWD/build-fault}
gradus=$build/gradus library=$build/libgradus_fault.so
own=$(mktemp -d) || exit 1
trap 'rm -rf "$own"' EXIT
trap 'exit 130' INT TERM
cp "$model" "$own/m.gr" && cp examples/digits/digits.csv "$own/" && cd "$own" || exit 1
name=$(sed -n 's/^model \([a-z_0-9]*\).*/\1/p' m.gr | tail -n 1) # the files of weights are called so
bad=0

# run PROGRAM FAULT COMMAND...: what the fault is for is PROGRAM alone
run() {
    program=$1 fault=$2
    shift 2
    env LD_PRELOAD="$library" GRADUS_FAULT_IN="$program" GRADUS_FAULT="$fault" timeout 100 "$@" >out 2>err
}
complain() {
    echo "# $1: $2"
    sed 's/^/#     /' err | head -n 4
    wrong=$((wrong + 1))
}
# A failure has a code of ours and says so; `codes`: those that are allowed.
judge() { # status, what
    case " $codes " in
    *" $1 "*) ;;
    *) complain "$2" "exit code $1" ;;
    esac
    [ "$1" -eq 0 ] || grep -qiE 'error|out of memory' err || complain "$2" "fails without a word"
    ! grep -q 'internal error' err || complain "$2" "an internal error"
}
verdict() { # what
    if [ "$wrong" -eq 0 ]; then
        echo "ok - fault: $1: $tried of $count counts, $failed of them fail"
    else
        echo "not ok - fault: $1: $wrong of $tried go wrong"
        bad=1
    fi
}

# ---- The compiler
try_build() { # fault; a file that was there before stays as it was
    mkdir b
    echo before >b/model
    run gradus "$1" "$gradus" build m.gr -o b/model
    status=$?
    judge $status "build with $1"
    if [ $status -ne 0 ]; then
        failed=$((failed + 1))
        [ "$(cat b/model)" = before ] || complain "build with $1" "the old executable is gone"
    else
        ./b/model info >out 2>&1 || complain "build with $1" "an executable that does not run"
    fi
    [ "$(ls b)" = model ] || complain "build with $1" "left over: $(ls b | tr '\n' ' ')"
    rm -r b
}
sweep_build() { # kind, how many
    n=1 tried=0 failed=0 wrong=0 count=$2
    while [ "$n" -le "$2" ]; do
        tried=$((tried + 1))
        try_build "$1=$n"
        [ $((tried % 500)) -ne 0 ] || echo "# $1=$n of $2" >&2
        n=$((n + (tried % 2 ? stride : (stride + 1) / 2 + stride / 4))) # no common period with what is counted
    done
    verdict "build, $1"
}
codes='0 1'
export GRADUS_FAULT_COUNT="$own/counts"
run gradus none "$gradus" build m.gr -o model || { cat err; echo "not ok - fault: does not build"; exit 1; }
unset GRADUS_FAULT_COUNT
read -r allocations writes reads <counts
build_faults() {
    sweep_build alloc "$allocations"
    all=$stride stride=$((stride * 4))
    sweep_build all "$allocations"
    stride=1
    sweep_build write "$writes"
    sweep_build full "$writes"
    sweep_build read "$reads"
    stride=$all
    tried=0 failed=0 wrong=0 count=1
    tried=1
    try_build short=1
    [ $failed -eq 0 ] || complain "short reads" "the build fails"
    verdict "build, reads and writes of a few bytes"
    # LLVM and the linker write by themselves: a limit on the size of files, in blocks of 512 bytes, stands for a full disk.
    tried=0 failed=0 wrong=0 count=12
    for blocks in 0 1 8 64 256 500 700 1000 1500 2000 4000 9000; do
        tried=$((tried + 1))
        mkdir b
        echo before >b/model
        (ulimit -f $blocks && "$gradus" build m.gr -o b/model >out 2>err)
        status=$?
        [ -s err ] || echo "error: (nothing could be written)" >err
        judge $status "build with files of $blocks blocks"
        if [ $status -ne 0 ]; then
            failed=$((failed + 1))
            [ "$(cat b/model)" = before ] || complain "build with files of $blocks blocks" "the old executable is gone"
        fi
        [ "$(ls b)" = model ] || complain "build with files of $blocks blocks" "left over: $(ls b | tr '\n' ' ')"
        rm -r b
    done
    [ $failed -gt 3 ] && [ $failed -lt 12 ] || complain "size of files" "$failed of 12 fail"
    verdict "build, files of limited size"
}
[ "$part" = train ] || build_faults
[ "$part" != build ] || exit $bad

# ---- Training: what is on disk is whole and of this run or of the one before
mkdir before
./model train -q --steps=10 --threads=1 --out=before >out 2>&1
try_train() {
    rm -rf o
    cp -r before o
    run model "$1" ./model train -q --resume --steps=40 --threads=1 --save-every=10 --log=o/log --out=o
    status=$?
    judge $status "train with $1"
    [ $status -eq 0 ] || failed=$((failed + 1))
    for file in o/*.safetensors; do # known to be whole, or looked at
        cmp -s "$file" "before/${file#o/}" || cmp -s "$file" "whole/${file#o/}" || ./model eval -q --weights="$file" --set-name=test >out 2>err || complain "train with $1" "$file is damaged"
    done
    [ "$(ls o | grep -cv -e '^log$' -e "^$name\.safetensors$" -e "^$name\.last\.safetensors$")" -eq 0 ] || complain "train with $1" "left over: $(ls o | tr '\n' ' ')"
    [ $status -ne 0 ] || cmp -s o/$name.safetensors whole/$name.safetensors || complain "train with $1" "no failure, but other weights"
}
sweep_train() { # kind, how many
    n=1 tried=0 failed=0 wrong=0 count=$2
    while [ "$n" -le "$2" ]; do
        tried=$((tried + 1))
        try_train "$1=$n"
        [ $((tried % 500)) -ne 0 ] || echo "# $1=$n of $2" >&2
        n=$((n + stride))
    done
    verdict "train, $1"
}
codes='0 1 5'
cp -r before whole
rm -f counts
export GRADUS_FAULT_COUNT="$own/counts"
run model none ./model train -q --resume --steps=40 --threads=1 --save-every=10 --log=log --out=whole || { cat err; echo "not ok - fault: does not train"; exit 1; }
unset GRADUS_FAULT_COUNT
read -r allocations writes reads <counts
stride=$(((stride + 3) / 4))
sweep_train alloc "$allocations"
sweep_train all "$allocations"
[ $stride -lt 5 ] || stride=5
sweep_train write "$writes"
sweep_train full "$writes"
sweep_train read "$reads"
sweep_train eof "$reads"
tried=1 failed=0 wrong=0 count=1
try_train short=1
[ $failed -eq 0 ] || complain "short reads" "the training fails"
verdict "train, reads and writes of a few bytes"
exit $bad
