# SPDX-License-Identifier: MIT
# Plants all mutants of tests/mutants.txt and of the rows of ops.def in a copy of the tree: awk -v tree=DIR -f mutate.awk mutants.txt.
# Needs the tree at DIR. Prints "NUMBER<tab>FILE<tab>NAME<tab>REASON" for each; writes the changed files; runs nothing.
function fail(text) { print "mutate: " text >"/dev/stderr"; failed = 1 }
function slurp(file,   text, line, got) {
    text = ""
    while ((got = (getline line <(tree "/" file))) > 0) text = text line "\n"
    if (got < 0) fail(file " cannot be read")
    close(tree "/" file)
    return text
}
function spit(file, text) { printf "%s", text >(tree "/" file); close(tree "/" file) }
function add(file, name, reason) { # a mutant: its number
    told[++count] = sprintf("%d\t%s\t%s\t%s", count, file, name, reason)
    return count
}
# The text with its bugs: each stands behind its number.
function guarded(original, numbers, texts, n,   i, out) {
    if (original ~ /;$/) {
        out = original
        for (i = 1; i <= n; i++) out = "if (gradus_mutant(" numbers[i] ")) { " texts[i] " } else { " out " }"
        return out
    }
    out = "(" original ")"
    for (i = 1; i <= n; i++) out = "gradus_mutant(" numbers[i] ") ? (" texts[i] ") : " out
    return "(" out ")"
}
# The code has changed: the bug is not planted, and is told of.
function stale(file, i, text,   j, n, numbers) {
    print "mutate: " file ": " text ": " original[file, i] >"/dev/stderr"
    n = split(numbers_of[file, i], numbers, " ")
    for (j = 1; j <= n; j++) gone[numbers[j]] = 1
}
function flush_file(file,   i, j, k, at, rest, out, from, order, best, done, numbers, texts, n) {
    if (!(file in sites)) return
    rest = slurp(file)
    for (i = 1; i <= sites[file]; i++) {
        at = index(rest, original[file, i])
        done[i] = !at || index(substr(rest, at + 1), original[file, i])
        if (done[i]) stale(file, i, at ? "stands more than once" : "is not there any more")
        place[i] = at
    }
    out = ""
    from = 1
    for (k = 1; k <= sites[file]; k++) { # in the order of the text
        best = 0
        for (i = 1; i <= sites[file]; i++)
            if (!done[i] && (!best || place[i] < place[best])) best = i
        if (!best) break
        done[best] = 1
        if (place[best] < from) { fail(file ": two mutants overlap: " original[file, best]); return }
        n = split(numbers_of[file, best], numbers, " ")
        for (j = 1; j <= n; j++) texts[j] = text_of[numbers[j]]
        out = out substr(rest, from, place[best] - from) guarded(original[file, best], numbers, texts, n)
        from = place[best] + length(original[file, best])
    }
    spit(file, out substr(rest, from))
}
# Splits the arguments of OP(...) at commas outside of parentheses and quotes.
function arguments(line, part,   i, c, depth, n, quoted, text) {
    sub(/^OP\(/, "", line)
    sub(/\)[ \t]*$/, "", line)
    n = 0; text = ""
    for (i = 1; i <= length(line) + 1; i++) {
        c = i > length(line) ? "," : substr(line, i, 1)
        if (c == "\"") quoted = !quoted
        if (c == "(" && !quoted) depth++
        if (c == ")" && !quoted) depth--
        if (c == "," && !depth && !quoted) {
            gsub(/^[ \t]+|[ \t]+$/, "", text)
            part[++n] = text
            text = ""
        } else {
            text = text c
        }
    }
    return n
}
function row(r, derivative, emission, value) {
    return "OP(" id[r] ", " col[r, 2] ", " col[r, 3] ", " col[r, 4] ", " col[r, 5] ", " col[r, 6] ", " value ", " derivative ", " emission ")\n"
}
function column_mutant(r, k,   d, a, b) {
    d = col[r, 7 + k]
    if (d == "NONE") return d
    if (d == "ZERO") {
        a = add("ops.def", id[r] " d" k - 1 " is 1", reason_of[id[r] " d" k - 1 " is 1"])
        return "(gradus_mutant(" a ") ? K(1) : ZERO)"
    }
    a = add("ops.def", id[r] " d" k - 1 " is missing", reason_of[id[r] " d" k - 1 " is missing"])
    b = add("ops.def", id[r] " d" k - 1 " is negated", reason_of[id[r] " d" k - 1 " is negated"])
    return "(gradus_mutant(" a ") ? ZERO : gradus_mutant(" b ") ? neg(" d ") : (" d "))"
}
function other_row(r,   k) { # the next row of the same arity and kind
    for (k = r % rows + 1; k != r; k = k % rows + 1)
        if (col[k, 3] == col[r, 3] && col[k, 4] == col[r, 4] && col[k, 11] != col[r, 11]) return k
    for (k = r % rows + 1; k != r; k = k % rows + 1) # the only one of its kind
        if (col[k, 3] == col[r, 3] && col[k, 4] != "B" && col[r, 4] != "B" && col[k, 11] != col[r, 11]) return k
    fail("no other row is like that of " id[r])
    return r
}
function plant_rows(   r, k, line, part, text, d, e, v, functions, wrong, a, b, n) {
    text = slurp("compiler/ir/ops.def")
    n = split(text, line, "\n")
    for (k = 1; k <= n; k++) {
        if (line[k] !~ /^OP\(/) continue
        if (arguments(line[k], part) != 11) fail("a row of ops.def has not 11 columns: " line[k])
        id[++rows] = part[1]
        for (e = 1; e <= 11; e++) col[rows, e] = part[e]
    }
    e = ""
    if (rows < 30) fail("only " rows " rows in ops.def")
    functions = "static LLVMValueRef off(const MathEmit *m, LLVMValueRef x) {\n    if (is_mask(x)) return LLVMBuildNot(m->builder, x, \"\");\n" \
        "    return LLVMBuildFMul(m->builder, x, math_constant(LLVMTypeOf(x), 1.00001), \"\");\n}\n"
    for (r = 1; r <= rows; r++) {
        d = d column_row(r)
        wrong = col[r, 11]
        if (id[r] == "FMA") wrong = "math_add(m, math_mul(m, a, b, NULL), c, NULL)"
        else if (id[r] == "SELECT") wrong = "math_select(m, a, c, b)"
        else if (col[r, 3] == 3) wrong = "b"
        else if (id[r] == "NOT") wrong = "math_mask(m, a)"
        else wrong = "math_" col[other_row(r), 11] "(m, a, b, c)"
        a = add("ops.def", id[r] " emits another operator", reason_of[id[r] " emits another operator"])
        b = add("ops.def", id[r] " emits a little more", reason_of[id[r] " emits a little more"])
        functions = functions "EMITTER(mutant_" id[r] ") {\n    LLVMValueRef r = gradus_mutant(" a ") ? " wrong " : math_" col[r, 11] "(m, a, b, c);\n" \
            "    return gradus_mutant(" b ") ? off(m, r) : r;\n}\n"
        e = e row(r, col[r, 8] ", " col[r, 9] ", " col[r, 10], "mutant_" id[r], col[r, 7])
        a = add("ops.def", id[r] " has another value", reason_of[id[r] " has another value"])
        wrong = col[r, 4] == "B" ? "!(" col[r, 7] ")" : "1.00001 * (" col[r, 7] ")"
        v = v row(r, col[r, 8] ", " col[r, 9] ", " col[r, 10], col[r, 11], "(gradus_mutant(" a ") ? " wrong " : (" col[r, 7] "))")
    }
    spit("compiler/ir/ops_derivative.def", d)
    spit("compiler/ir/ops_emission.def", e)
    spit("compiler/ir/ops_value.def", v)
    include("compiler/pass/derivative.c", "derivative")
    include("compiler/ir/ops.c", "value")
    include("compiler/back/mathops.c", "emission")
    text = slurp("compiler/back/mathops.c")
    k = index(text, "const MathEmitter math_emit[OP_COUNT]")
    if (!k) fail("mathops.c has no table math_emit")
    spit("compiler/back/mathops.c", substr(text, 1, k - 1) functions substr(text, k))
}
function column_row(r) {
    return row(r, column_mutant(r, 1) ", " column_mutant(r, 2) ", " column_mutant(r, 3), col[r, 11], col[r, 7])
}
function include(file, which,   text) {
    text = slurp(file)
    if (!gsub(/#include "ops\.def"/, "#include \"ops_" which ".def\"", text)) fail(file " does not include ops.def")
    spit(file, text)
}
BEGIN { FS = " [|] " }
/^#/ || NF == 0 { next }
$1 == "ops.def" { reason_of[$2] = $4; excused[$2] = 1; next }
NF < 3 { fail("mutants.txt line " FNR ": FILE | ORIGINAL | MUTATED"); next }
{ file_of[++listed] = $1; from_of[listed] = $2; to_of[listed] = $3; why_of[listed] = $4 }
END {
    plant_rows()
    for (i = 1; i <= listed; i++) {
        file = file_of[i]
        if (!(file in sites)) { sites[file] = 0; files[++nfiles] = file }
        for (k = 1; k <= sites[file]; k++) if (original[file, k] == from_of[i]) break
        if (k > sites[file]) { sites[file] = k; original[file, k] = from_of[i] }
        number = add(file, from_of[i] " -> " to_of[i], why_of[i])
        numbers_of[file, k] = numbers_of[file, k] " " number
        text_of[number] = to_of[i]
    }
    for (i = 1; i <= nfiles; i++) flush_file(files[i])
    for (i = 1; i <= count; i++) if (!(i in gone)) print told[i]
    exit failed
}
