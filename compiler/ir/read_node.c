/* SPDX-License-Identifier: MIT
 * Reads the nodes of the text form, a line each.
 * Needs base and ir.h.
 * Builds only through the constructors: what it accepts is well formed. */
#include "intern.h"
#include "read.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* `[4, 5]` of a leaf. */
static int read_extents(Reader *r, int64_t *extent) {
    int n = 0;
    text_expect(r, '[');
    while (!text_take(r, ']')) {
        if (n) text_expect(r, ',');
        if (n == MAX_RANK) text_fail(r, r->span, "too many dimensions");
        extent[n++] = text_integer(r);
    }
    return n;
}

/* `[d2: 4, d3: 5]` of a comprehension; *first is the number of the first. */
static int read_dims(Reader *r, int64_t *extent, int *first) {
    int n = 0;
    text_expect(r, '[');
    for (*first = 0; !text_take(r, ']'); n++) {
        if (n) text_expect(r, ',');
        if (!n && r->kind == TOKEN_WORD && *r->text == 'd') *first = atoi(r->text + 1);
        if (*first + n >= MAX_DIMS) text_fail(r, r->span, "too many dimensions");
        text_expect_word(r, arena_printf(r->arena, "d%d", *first + n));
        text_expect(r, ':');
        extent[n] = text_integer(r);
    }
    return n;
}

static bool take_per_example(Reader *r) {
    bool is = text_take_word(r, "per");
    if (is) text_expect_word(r, "example");
    return is;
}

static Node *read_leaf(Reader *r, NodeKind kind, Name name, Span at) {
    Node key = {.kind = kind, .name = name, .at = at};
    key.rank = read_extents(r, key.extent);
    key.per_example = take_per_example(r);
    if (text_take_word(r, "classes")) key.classes = text_integer(r);
    const char *fault = leaf_fault(r->g, &key);
    if (fault) text_fail(r, at, fault);
    return graph_leaf(r->g, kind, name, key.per_example, key.rank, key.extent, key.classes, at);
}

/* The reduced dimensions are written first but numbered after the output's. */
static Node *read_comp(Reader *r, Reduce reduce, Name name, Span at) {
    CompSpec spec = {.reduce = reduce, .name = name, .at = at};
    int64_t reduced[MAX_DIMS];
    int first_reduced = 0, first;
    if (reduce != RED_NONE) {
        spec.nred = read_dims(r, reduced, &first_reduced);
        if (text_take_word(r, "over")) text_expect_word(r, "batch"), spec.over_batch = true;
    }
    text_expect(r, '-'), text_expect(r, '>');
    spec.rank = read_dims(r, spec.extent, &first);
    if (first || (spec.nred && first_reduced != spec.rank) || spec.rank + spec.nred > MAX_DIMS)
        text_fail(r, at, "dimensions are numbered from d0, those of the result first");
    memcpy(spec.extent + spec.rank, reduced, sizeof *reduced * (size_t)spec.nred);
    bool per_example = take_per_example(r), wide = text_take_word(r, "wide");
    text_expect(r, ':');
    r->dims = spec.rank + spec.nred;
    r->labels.len = 0;
    spec.body = text_scalar(r);
    const char *fault = comp_fault(r->g, &spec);
    if (fault) text_fail(r, at, fault);
    if ((spec.body->per_example && !spec.over_batch) != per_example)
        text_fail(r, at, per_example ? "this node is not per example" : "this node is per example");
    if (spec.body->wide != wide)
        text_fail(r, at, wide ? "this node is not wide" : "this node is wide");
    return graph_comp(r->g, &spec);
}

static Node *read_grad(Reader *r, Span at) {
    Node *of = text_node_number(r);
    text_expect_word(r, "by");
    Node *wrt = text_node_number(r);
    const char *fault = grad_fault(r->g, of);
    if (fault) text_fail(r, at, fault);
    return graph_grad(r->g, of, wrt);
}

static Node *read_reference(Reader *r, Name name, Span at) {
    int64_t extent[MAX_RANK];
    int rank = read_extents(r, extent);
    if (!rank || !take_per_example(r))
        text_fail(r, at, "a reference has a first index and is per example");
    for (int i = 0; i < rank; i++)
        if (extent[i] < 1) text_fail(r, at, "an extent below 1");
    return graph_scan(r->g, rank, extent, name, at);
}

/* `call eigh 0 of %3` */
static Node *read_call(Reader *r, Name name, Span at) {
    int call = 0;
    while (call < CALL_COUNT &&
           (r->kind != TOKEN_WORD || strcmp(r->text, call_info[call].text) != 0))
        call++;
    if (call == CALL_COUNT) text_fail(r, r->span, "unknown function of a call");
    text_next(r);
    int64_t result = text_integer(r);
    if (result < 0 || result >= call_info[call].results)
        text_fail(r, at, "this function has no such result");
    text_expect_word(r, "of");
    Node *operand[CALL_OPERANDS] = {0};
    for (int i = 0; i < call_info[call].operands; i++)
        operand[i] = text_node_number(r);
    const char *fault = call_fault(r->g, (Call)call, operand);
    if (fault) text_fail(r, at, fault);
    return graph_call(r->g, (Call)call, operand, (int)result, name, at);
}

void text_node(Reader *r) {
    Span at = r->span;
    text_expect(r, '%');
    if (text_int(r) != r->nodes.len)
        text_fail(
            r, at,
            arena_printf(r->arena, "nodes are numbered in order: expected %%%d", r->nodes.len));
    Name name = r->mark == '=' ? NULL : text_name(r);
    at = span_join(at, r->span);
    text_expect(r, '=');
    if (r->kind != TOKEN_WORD) text_fail(r, r->span, "expected the kind of a node");
    int leaf = text_find(text_leaf, LEAF_KINDS, r->text),
        reduce = text_find(text_reduce, REDUCES, r->text);
    bool scan = !strcmp(r->text, "scan"), call = !strcmp(r->text, "call");
    if (leaf < 0 && reduce < 0 && !scan && !call && strcmp(r->text, "grad") != 0)
        text_fail(r, r->span, arena_printf(r->arena, "unknown kind of node '%s'", r->text));
    text_next(r);
    Node *node = leaf >= 0     ? read_leaf(r, (NodeKind)leaf, name, at)
                 : reduce >= 0 ? read_comp(r, (Reduce)reduce, name, at)
                 : call        ? read_call(r, name, at)
                 : scan        ? read_reference(r, name, at)
                               : read_grad(r, at);
    VEC_PUSH(r->arena, r->nodes, node);
}
