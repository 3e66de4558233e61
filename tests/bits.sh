# SPDX-License-Identifier: MIT
# The same bits: weights after training do not depend on threads, -O or --cpu. Part of job.sh ($1: a model file).
# Needs job.sh's functions and $own. The reference is one thread at -O2 for this machine.
epochs=$(if grep -q 'batch *= all' "$1"; then echo 20; else echo 1; fi)
bits_train() { # executable, threads, name
    mkdir -p "$own/$3"
    $limit "$1" train --epochs=$epochs --threads="$2" --out="$own/$3" -q >"$own/$3/log" 2>&1
}

bits_same() { # name: the weights files are byte for byte those of the reference
    for file in "$own"/reference/*.safetensors; do
        cmp "$file" "$own/$1/$(basename "$file")" || return 1
    done
}

"$gradus" build "$1" -o "$own/o2" >"$own/log" 2>&1 && bits_train "$own/o2" 1 reference
status=$?
set -- "$1" "$own"/reference/*.safetensors
[ $status -eq 0 ] && [ -s "$2" ]
verdict $? "bits: $1 trains for an epoch" "$own/log"

for threads in 2 3 4; do
    bits_train "$own/o2" $threads "threads$threads" && bits_same "threads$threads" >"$own/log" 2>&1
    verdict $? "bits: the same with $threads threads" "$own/log"
done
for option in -O0 -O3 --fuse=off --cpu=x86-64-v3 --cpu=x86-64-v4; do
    if [ "$option" = --cpu=x86-64-v4 ] && ! grep -q avx512vl /proc/cpuinfo; then
        continue
    fi
    name=$(echo "$option" | tr -d '=-')
    if "$gradus" build "$1" $option -o "$own/$name.exe" >"$own/log" 2>&1; then
        bits_train "$own/$name.exe" 2 "$name" && bits_same "$name" >"$own/log" 2>&1
    else
        false
    fi
    verdict $? "bits: the same with $option" "$own/log"
done
# The other way: a different seed must give other weights, or the comparison above says nothing.
mkdir -p "$own/seed"
$limit "$own/o2" train --epochs=$epochs --threads=1 --seed=77 --out="$own/seed" -q >"$own/log" 2>&1 && ! bits_same seed >/dev/null 2>&1
verdict $? "bits: another seed gives other weights" "$own/log"

# One example alone, and few of them, are predicted by a program of their own: with the bits that they have among all.
bits_predict() { # rows of the data, from, to, options; the predictions without their numbers
    { head -n 1 examples/digits/digits.csv; sed -n "$(($1 + 1)),$(($2 + 1))p" examples/digits/digits.csv; } >"$own/rows.csv"
    # shellcheck disable=SC2086 # an option or none
    "$own/o2" predict --input="$own/rows.csv" --out="$own/reference" ${3-} 2>>"$own/log" | sed 1d | cut -d, -f2-
}
case $1 in
*/model.gr)
    "$gradus" dump --stage=plan "$1" 2>"$own/log" | grep -q '^program one:'
    verdict $? "bits: there is a program for one example" "$own/log"
    bits_predict 1 40 >"$own/all" && cp "$own/all" "$own/first"
    [ "$(wc -l <"$own/all")" -eq 40 ] && status=0 || status=1
    for range in 1,1 7,7 20,21 30,32 33,37 1,17; do
        bits_predict "${range%,*}" "${range#*,}" >"$own/few"
        sed -n "${range}p" "$own/all" | cmp - "$own/few" >>"$own/log" 2>&1 || status=1
    done
    verdict $status "bits: an example is predicted alone as among others" "$own/log"
    for file in "$own"/reference/*.safetensors; do both=--weights=$file,$own/seed/${file##*/}; done
    bits_predict 1 17 "$both" | tail -n 1 >"$own/all"
    bits_predict 17 17 "$both" >"$own/few"
    [ -s "$own/few" ] && cmp "$own/all" "$own/few" >"$own/log" 2>&1 && ! sed -n 17p "$own/first" | cmp -s - "$own/few"
    verdict $? "bits: so it is by two weights files" "$own/log"
    ;;
esac
