# SPDX-License-Identifier: MIT
# The same bits on other machines: weights after an epoch on three levels of x86-64 and on aarch64 under qemu.
# Part of job.sh ($1: a model file). Needs job.sh's functions and $own, gcc-aarch64-linux-gnu, qemu-user. The reference is x86-64-v3.
target_train() { # name, command...
    mkdir -p "$own/$1"
    folder=$own/$1
    shift
    $limit "$@" train --epochs=1 --threads=2 --out="$folder" -q >"$folder/log" 2>&1
}

target_same() { # name: its weights files are byte for byte those of the reference
    for file in "$own"/v3/*.safetensors; do
        [ -s "$file" ] && cmp "$file" "$own/$1/$(basename "$file")" || return 1
    done
}

target_level() { # name of an x86-64 level
    "$gradus" build "$model" --cpu=x86-64-"$1" -o "$own/$1.exe" >"$own/build-$1" 2>&1 &&
        target_train "$1" "$own/$1.exe" && target_same "$1" >"$own/log" 2>&1
    verdict $? "target: $model trains the same on x86-64-$1" "$own/log"
}

model=$1
arm="qemu-aarch64 -L /usr/aarch64-linux-gnu"
target_level v3
if grep -q avx512vl /proc/cpuinfo; then
    target_level v4
else
    pass "target: $model on x86-64-v4 # skipped: this processor has no AVX-512"
fi
target_level v2
grep -q 'warning: .*no fused multiply-add' "$own/build-v2" && ! grep -q warning "$own/build-v3"
verdict $? "target: x86-64-v2 is warned of, x86-64-v3 is not" "$own/build-v2"

"$gradus" build "$model" --target=aarch64-linux-gnu -o "$own/arm.exe" >"$own/log" 2>&1 &&
    file_machine=$(od -An -tu2 -j18 -N2 "$own/arm.exe") && [ "$file_machine" -eq 183 ] &&
    target_train arm $arm "$own/arm.exe" && target_same arm >"$own/log" 2>&1
verdict $? "target: $model trains the same on aarch64" "$own/log"
for option in -O0 --float=64; do # -O0 against -O2; both numbers of 64 bits
    name=$(echo "$option" | tr -d '=-')
    "$gradus" build "$model" $option --target=aarch64-linux-gnu -o "$own/arm.exe" >"$own/log" 2>&1 &&
        target_train "arm$name" $arm "$own/arm.exe"
    status=$?
    if [ $status -eq 0 ] && [ "$option" = --float=64 ]; then
        "$gradus" build "$model" $option -o "$own/wide.exe" >"$own/log" 2>&1 && rm -rf "$own/v3" &&
            target_train v3 "$own/wide.exe"
        status=$?
    fi
    [ $status -eq 0 ] && target_same "arm$name" >"$own/log" 2>&1
    verdict $? "target: $model trains the same on aarch64 with $option" "$own/log"
done

# Packed data: unpacked where zlib was found for the other machine, else an error that says what to do.
sed 's|"[^"]*digits.csv"|"packed.csv"|; s/, embed = true//' "$model" >"$own/packed.gr"
gzip -c examples/digits/digits.csv >"$own/packed.csv.gz"
rm -rf "$own/v3"
(cd "$own" && "$gradus" build packed.gr -o plain.exe && "$gradus" build packed.gr --target=aarch64-linux-gnu -o packed.exe) >"$own/log" 2>&1 &&
    target_train v3 "$own/plain.exe" &&
    if target_train packed $arm "$own/packed.exe"; then
        target_same packed >"$own/log" 2>&1
    else
        cp "$own/packed/log" "$own/log"
        grep -q 'built without zlib' "$own/packed/log"
    fi
verdict $? "target: packed data on aarch64" "$own/log"
