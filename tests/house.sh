# SPDX-License-Identifier: MIT
# House rules that a command can see. Part of job.sh: needs its functions, verdict and $own.
# The compiler knows no technique by name, files are short, every source names its licence.
files=$(git ls-files -co --exclude-standard 2>/dev/null || find . -type f -not -path './build*' -not -path './.git/*' | sed 's|^\./||')

techniques='relu|adam|adagrad|adadelta|rmsprop|dense|conv2d?|dropout|softmax|xavier|batchnorm|maxpool|nesterov|huber|cross_entropy'
echo "$files" | grep -E '^(compiler|runtime|grammar)/.*\.(c|h|l|y|def)$' | xargs grep -nwiE "$techniques" /dev/null >"$own/log"
[ ! -s "$own/log" ]
verdict $? "no technique is named in compiler, runtime or grammar" "$own/log"

# Nor does one of their texts ask for a def of the library; `last` is a key of trainings, `rows` an offer to initializers.
sed -n 's/^def \([a-z_0-9]*\)(.*/"\1"/p' stdlib/*.gr | grep -vxE '"(last|rows)"' >"$own/names"
echo "$files" | grep -E '^(compiler|runtime|grammar)/.*\.(c|h|l|y|def)$' | xargs grep -nF -f "$own/names" /dev/null | grep -v '/\*' >"$own/log"
[ -s "$own/names" ] && [ ! -s "$own/log" ]
verdict $? "no def of the library is asked for by name in compiler, runtime or grammar" "$own/log"

echo "$files" | grep -E '\.(c|h|l|y|def|sh)$' | while read -r file; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || echo "$file has no SPDX line"
done >"$own/log"
[ ! -s "$own/log" ]
verdict $? "every source names its licence" "$own/log"

# A name of other bytes is an accident: a shell that was given an executable for a script leaves such files.
echo "$files" | LC_ALL=C grep -vE '^[A-Za-z0-9._/-]+$' >"$own/log"
[ ! -s "$own/log" ]
verdict $? "every file has a plain name" "$own/log"

echo "$files" | grep -E '\.(c|h|l|y|def)$' | xargs wc -l | awk '$1 > 500 && $2 != "total" {print}' >"$own/log"
[ ! -s "$own/log" ]
verdict $? "no source is longer than 500 lines" "$own/log"

# Every code that is used is explained.
grep -rhoE '"[EW][0-9]{4}"' compiler grammar | tr -d '"' | sort -u | while read -r code; do
    "$gradus" explain "$code" >/dev/null 2>&1 || echo "$code is not explained"
done >"$own/log"
[ ! -s "$own/log" ]
verdict $? "every diagnostic code is explained" "$own/log"

# Every def of the library shows how it is used; tests/job.sh runs that.
awk '/^## Example: / {shown = 1} /^def / {if (!shown) print FILENAME ": " $2; shown = 0}' stdlib/*.gr >"$own/log"
[ ! -s "$own/log" ]
verdict $? "every def of the library has an example" "$own/log"

# Every def of the library is compared with the interpreter somewhere.
"$gradus" doc | sed -n 's/^  \([a-z_0-9]*\)(.*/\1/p' | while read -r name; do
    { grep -v "^#" tests/equal/defs.txt; cat tests/bits/model.gr; } | grep -qw "$name" || echo bilinear two_loops one_pair newton_like solving_step gauss_newton_product weighted_sd gaussian_sd passed_sd hessian_ends | grep -qw "$name" || echo "$name is not in tests/equal/defs.txt"
done >"$own/log"
[ ! -s "$own/log" ]
verdict $? "every def of the library is in tests/equal/defs.txt" "$own/log"

# Every technique of the lecture has a def, a test and an example.
"$gradus" doc --table >"$own/table" 2>"$own/log"
status=$?
[ -z "$UPDATE" ] || cp "$own/table" stdlib/README.md
verdict "$status" "$(sed -n '$s/\.$//p' "$own/table")" "$own/log"
diff -u stdlib/README.md "$own/table" >"$own/log"
verdict $? "stdlib/README.md is what \`gradus doc --table\` prints" "$own/log"

# Every format of data files stands in the reference; what it reads is in its row.
sed -n 's/^FORMAT(\([a-z0-9_]*\),.*/\1/p' runtime/data/formats.def >"$own/formats"
while read -r name; do grep -q "^| \`$name(" grammar/reference.md || echo "$name is not in grammar/reference.md"; done <"$own/formats" >"$own/log"
[ -s "$own/formats" ] && [ ! -s "$own/log" ]
verdict $? "every data format is in grammar/reference.md" "$own/log"
