# SPDX-License-Identifier: MIT
# A line for each innermost loop of x86-64 assembly that holds four fused multiply-adds or more:
#   clean FUNCTION: N fused on full vectors, N on less, N calls, N vectors spilled, N scalars spilled, N gathers
# Needs -v full=zmm (or ymm), what a full vector is; -v only=REGEX chooses functions. A loop is what reaches an edge back
# without passing where that leads: its blocks need not lie side by side. Spilled: stored on the stack or loaded from it.
# `spoiled` stands in place of `clean` where there is a narrow multiply-add, a call, a gather, or more than one spilled
# vector to fifty multiply-adds.
function edge(from, to) {
    into[to, ++many[to]] = from
    outof[from, ++leave[from]] = to
}

# Depth first from the entry: an edge to a block that is still open leads back.
function visit(b,    i, to) {
    open[b] = 1
    for (i = 1; i <= leave[b]; i++) {
        to = outof[b, i]
        if (!(to in open)) visit(to)
        else if (open[to]) {
            back_from[++backs] = b
            back_to[backs] = to
        }
    }
    open[b] = 0
}

# Marks in loop[l, block] what belongs to the edge back.
function grow(l, from, to,    top, stack, b, i) {
    loop[l, to] = 1
    size[l] = 1
    if (from != to) {
        stack[top = 1] = from
        loop[l, from] = 1
        size[l]++
    }
    while (top > 0) {
        b = stack[top--]
        for (i = 1; i <= many[b]; i++)
            if (!((l, into[b, i]) in loop)) {
                loop[l, into[b, i]] = 1
                size[l]++
                stack[++top] = into[b, i]
            }
    }
}

function holds(l, m,    b) { # all of loop m, and more
    if (size[m] >= size[l]) return 0
    for (b = 1; b <= n; b++)
        if ((m, b) in loop && !((l, b) in loop)) return 0
    return 1
}

function finish(    b, i, l, m, loops, inner, sum) {
    for (i = 1; i <= jumps; i++)
        if (jump_to[i] in block) edge(jump_from[i], block[jump_to[i]])
    for (b = 1; b < n; b++)
        if (!ends[b]) edge(b, b + 1)
    if (n > 0 && name ~ only) visit(1)
    for (loops = 1; loops <= backs; loops++) grow(loops, back_from[loops], back_to[loops])
    loops = backs
    for (l = 1; l <= loops; l++) {
        inner = 1
        for (m = 1; m <= loops; m++)
            if (m != l && holds(l, m)) inner = 0
        if (!inner) continue
        split("", sum)
        for (b = 1; b <= n; b++)
            if ((l, b) in loop)
                for (i in kinds) sum[i] += count[b, i]
        if (sum["full"] + sum["less"] >= 4)
            printf "%s %s: %d fused on full vectors, %d on less, %d calls, %d vectors spilled, %d scalars spilled, %d gathers\n",
                (sum["less"] + sum["call"] + sum["gather"] || 50 * sum["vector"] > sum["full"]) ? "spoiled" : "clean", name,
                sum["full"], sum["less"], sum["call"], sum["vector"], sum["scalar"], sum["gather"]
    }
    n = jumps = backs = 0
    split("", into); split("", many); split("", outof); split("", leave); split("", open); split("", loop); split("", block); split("", ends); split("", count); split("", size)
}

BEGIN { split("full less call vector scalar gather", words, " "); for (w in words) kinds[words[w]] }
/^[A-Za-z_][^ \t]*:/ {
    finish()
    name = substr($1, 1, index($1, ":") - 1)
    n = 1
}
/^\.L[A-Za-z0-9_]*:/ { block[substr($1, 1, index($1, ":") - 1)] = ++n }
/^\t/ {
    if ($1 ~ /^vfn?m(add|sub)/) count[n, $0 ~ ("%" full) ? "full" : "less"]++
    if ($1 ~ /^call/) count[n, "call"]++
    if (/\(%rsp\)/) count[n, /%[xyz]mm/ ? "vector" : "scalar"]++
    if ($1 ~ /^vp?(gather|scatter)/) count[n, "gather"]++
    if ($1 ~ /^j/) {
        jump_from[++jumps] = n
        jump_to[jumps] = $2
        if ($1 == "jmp") ends[n] = 1
        n++
    }
    if ($1 ~ /^ret/) ends[n] = 1
}
END { finish() }
