# SPDX-License-Identifier: MIT
# What the tree promises to whoever works on it: a copy of it with a file for the library, an operator, a pass, an option and a
# data format more, each in its one place. Part of job.sh: needs its functions, $own and $gradus. Changes nothing else in the copy.
tree=$own/tree
mkdir "$tree"
cp -r CMakeLists.txt LICENSE README.md compiler runtime grammar stdlib examples "$tree/"
cat >"$tree/stdlib/drill.gr" <<'END'
## The third power.
## Example: cubed at [2, -1] gives [8, -1]
def cubed(x) = x^3

## An operator of the drill's own.
## Example: sized at [2, -1.5] gives [2, 1.5]
def sized(x) = magnitude(x)

## Steps of one length.
## Example: optimizer = signed(0.01)
def signed(w, g, lr) {
  w' = w - lr * sign(g)
}
END
cat >"$tree/compiler/pass/drill.c" <<'END'
#include "frozen.h"
void pass_drill(Unit *unit) { unit->config.seed += 0; }
END
sed -i 's/^OP(ABS, .*/&\nOP(MAGNITUDE, "magnitude", 1, R, -4, 4, fabs(a), sign(a), NONE, NONE, abs)/' "$tree/compiler/ir/ops.def"
sed -i 's/^static const Option option_table.*/&\n    {0, "drill", KIND_TEXT, "WORD", FIELD(cpu), FOR_BUILD, "an option of the drill"},/' "$tree/compiler/driver/options.c"
sed -i 's/^void pass_order(Unit \*unit);/&\nvoid pass_drill(Unit *unit);/' "$tree/compiler/pass/frozen.h"
sed -i 's/^    {"order", /    {"drill", "nothing", "nothing", "stands in one place", true, pass_drill},\n&/' "$tree/compiler/pass/pass.c"
sed -i 's/^FORMAT(csv, .*/FORMAT(drilled, 1, 1, "column", "drilled(\\"file.txt\\", name = \\"column\\")", "Numbers and blanks, as the drill has them.\\n")\n&/' "$tree/runtime/data/formats.def"
cat >"$tree/runtime/data/drilled.c" <<'END'
#include "data.h"
#include <stdlib.h>
#include <string.h>

static const char mark[] = "drilled\n";

bool drilled_fits(const DataFile *file) {
    return file->size > strlen(mark) && !memcmp(file->bytes, mark, strlen(mark));
}

/* An example a line; its last number is called "last". */
bool drilled_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    const DataFile *file = &data->files[0];
    static const char *const names[] = {"last"};
    if (!drilled_fits(file)) return fault_set(fault, GR_BAD_DATA, "%s: is not drilled", file->name);
    double *values = data_own(data, io_alloc(file->size, sizeof *values));
    int64_t count = 0, width = 0;
    for (char *at = (char *)file->bytes + strlen(mark), *end;; at = end) {
        double value = strtod(at, &end);
        if (end == at) break;
        values[count++] = value;
        if (*end == '\n' && !width) width = count;
    }
    if (width < 2 || count % width)
        return fault_set(fault, GR_BAD_DATA, "%s: its lines are not alike", file->name);
    data->count = count / width;
    data->input_text = io_format("%lld drilled values", (long long)width - 1);
    DataField *field = data_field(data, FIELD_INPUT, FIELD_REAL);
    field->count = width - 1;
    field->stride = width;
    field->first = values;
    for (int i = 0; i < source->ncolumns; i++) {
        if (strcmp(source->columns[i].column, names[0]) != 0)
            return !targets || data_not_there(data, "column", &source->columns[i], names, 1, fault);
        field = data_field(data, FIELD_COLUMN, FIELD_REAL);
        field->bound = source->columns[i].name;
        field->count = 1;
        field->stride = width;
        field->first = values + width - 1;
    }
    return true;
}
END
cmake -S "$tree" -B "$tree/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DGRADUS_TESTS=OFF >"$own/log" 2>&1 &&
    cmake --build "$tree/build" -j 2 >"$own/log" 2>&1
verdict $? "drill: a copy of the tree with a file, an operator, a pass, an option and a format more builds" "$own/log"
other=$tree/build/gradus
unset GRADUS_RUNTIME
"$other" test "$tree/stdlib/drill.gr" >"$own/log" 2>&1
grep -q '^3 passed, 0 failed' "$own/log"
verdict $? "drill: the new defs' examples hold" "$own/log"
"$other" build --help 2>&1 | grep -q -- --drill=WORD
verdict $? "drill: help tells the option" "$own/log"
{ "$other" doc | grep cubed && "$other" doc signed; } >"$own/log" 2>&1
verdict $? "drill: doc lists them" "$own/log"
sed 's/-> relu/-> cubed/; s/optimizer *= .*/optimizer = signed(lr = 0.001)/' "$tree/examples/digits/digits.gr" >"$own/model.gr"
cp "$tree/examples/digits/digits.csv" "$own/"
grep -q cubed "$own/model.gr" && grep -q signed "$own/model.gr" &&
    "$other" build "$own/model.gr" -o "$own/model" >"$own/log" 2>&1 &&
    "$own/model" train --epochs=2 --out="$own" >"$own/log" 2>&1
verdict $? "drill: a model uses them and trains" "$own/log"
"$other" dump --stop=drill "$own/model.gr" >"$own/log" 2>&1
verdict $? "drill: the pass can be stopped at" "$own/log"
"$gradus" dump --stop=drill "$own/model.gr" >"$own/log" 2>&1
[ $? -eq 1 ]
verdict $? "drill: and is not in the tree's own compiler" "$own/log"

# The format: the same digits in it give the same net, from a file and embedded, found by content, told in the language's terms.
model=$tree/examples/digits/digits.gr
{ echo drilled; tail -n +2 "$own/digits.csv" | tr , ' '; } >"$own/digits.txt"
sed 's/csv("digits.csv", digit = "class"/drilled("digits.txt", digit = "last"/' "$model" >"$own/embedded.gr"
sed 's/, embed = true//' "$own/embedded.gr" >"$own/file.gr"
cp "$model" "$own/csv.gr"
for name in csv file embedded; do
    "$other" build "$own/$name.gr" -o "$own/$name" && "$own/$name" train --epochs=1 -q --out="$own/$name.out" &&
        "$own/$name" predict -q --out="$own/$name.out" --output="$own/$name.csv"
done >"$own/log" 2>&1
[ -s "$own/csv.csv" ] && cmp "$own/csv.csv" "$own/file.csv" >>"$own/log" 2>&1 && cmp "$own/csv.csv" "$own/embedded.csv" >>"$own/log" 2>&1
verdict $? "drill: a format's data train the net that CSV trains" "$own/log"
"$own/file" eval -q --out="$own/file.out" >"$own/log" 2>&1 && "$own/csv" predict -q --out="$own/csv.out" --input="$own/digits.txt" --output="$own/by.csv" >>"$own/log" 2>&1 &&
    [ "$(wc -l <"$own/by.csv")" -eq 1798 ]
verdict $? "drill: it is evaluated, and known by its content" "$own/log"
"$other" check "$own/file.gr" >"$own/log" 2>&1 && grep -q 'digits.txt: 1797 examples of 64 drilled values' "$own/log" &&
    "$other" dump --stage=graph "$own/file.gr" >"$own/one.graph" 2>>"$own/log" &&
    "$other" dump --stage=graph "$own/one.graph" >"$own/two.graph" 2>>"$own/log" &&
    grep -q '^source drilled file digits.txt column digit last' "$own/one.graph" && cmp "$own/one.graph" "$own/two.graph" >>"$own/log" 2>&1
verdict $? "drill: check reads it, and the graph's text names it" "$own/log"
echo 1 >>"$own/digits.txt"
sed 's/"last"/"lats"/' "$own/file.gr" >"$own/lats.gr"
sed 's/drilled(/driled(/' "$own/file.gr" >"$own/driled.gr"
sed 's/"digits.txt"/"digits.txt", "more.txt"/' "$own/file.gr" >"$own/more.gr"
for said in 'file 5 digits.txt: its lines are not alike \[E0611\]' "lats 5 did you mean 'last'" 'driled 1 did you mean `drilled`' 'more 1 `drilled` takes 1 file name'; do
    name=${said%% *} said=${said#* }
    [ "$name" = file ] || sed -i '1798,$d' "$own/digits.txt"
    "$other" check "$own/$name.gr" >"$own/log" 2>&1
    [ $? -eq "${said%% *}" ] && grep -q "${said#* }" "$own/log"
    verdict $? "drill: its faults are told: ${said#* }" "$own/log"
done
"$other" doc >"$own/log" && grep -q '^  drilled .*Numbers and blanks' "$own/log" && "$other" doc drilled | grep -q 'name = "column"'
verdict $? "drill: doc lists it" "$own/log"
"$gradus" check "$own/file.gr" >"$own/log" 2>&1
[ $? -eq 1 ] && grep -q 'no format of data files' "$own/log"
verdict $? "drill: and is not in the tree's own compiler" "$own/log"
