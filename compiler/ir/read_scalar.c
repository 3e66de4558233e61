/* SPDX-License-Identifier: MIT
 * Reads index forms and scalar expressions of the text form.
 * Needs base and ir.h.
 * Does not check where reads fall: that needs the whole node (read_node.c). */
#include "read.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 2000 };

Node *text_node_number(Reader *r) {
    Span at = r->span;
    text_expect(r, '%');
    int number = text_int(r);
    if (number < 0 || number >= r->nodes.len)
        text_fail(r, span_join(at, r->span), "a node that was not written before");
    return r->nodes.at[number];
}

/* ---- Index forms and scalars */
static const Ix *read_ix(Reader *r);

static void deeper(Reader *r) {
    if (++r->depth > DEEPEST) text_fail(r, r->span, "nested too deeply");
}

static const Ix *read_atom(Reader *r) {
    const Ix *ix;
    if (text_take_word(r, "at")) {
        text_expect(r, '(');
        ix = ix_value(r->g, text_scalar(r));
    } else if (text_take_word(r, "floor")) {
        text_expect(r, '('), text_expect(r, '(');
        ix = read_ix(r);
        text_expect(r, ')'), text_expect(r, '/');
        Span at = r->span;
        int64_t by = text_integer(r);
        if (by < 1) text_fail(r, at, "an index is divided by a positive integer");
        ix = ix_div(r->g, ix, by, NULL);
    } else {
        char *end = NULL;
        long dim = r->kind == TOKEN_WORD && *r->text == 'd' ? strtol(r->text + 1, &end, 10) : -1;
        if (!end || *end || end == r->text + 1)
            text_fail(r, r->span, "expected an index: a dimension, floor((…)/…) or at(…)");
        if (dim < 0 || dim >= r->dims)
            text_fail(r, r->span, "a dimension that this node does not bind");
        text_next(r);
        return ix_dim(r->g, (int)dim);
    }
    text_expect(r, ')');
    return ix;
}

static const Ix *read_ix(Reader *r) {
    const Ix *sum = ix_const(r->g, 0);
    deeper(r);
    for (bool first = true;; first = false) {
        bool minus = text_take(r, '-');
        if (!minus && !text_take(r, '+') && !first) break;
        int64_t coef = 1;
        const Ix *term = NULL;
        if (r->kind == TOKEN_NUMBER) {
            coef = text_integer(r);
            if (!text_take(r, '*')) term = ix_const(r->g, 1);
        }
        if (!term) term = read_atom(r);
        sum = ix_add(r->g, sum, ix_scale(r->g, term, minus ? -coef : coef));
    }
    r->depth--;
    return sum;
}

static const Scalar *read_read(Reader *r) {
    Node *node = text_node_number(r);
    const Ix *at[MAX_RANK];
    const Scalar *outside = NULL;
    if (!node->rank) return sc_read(r->g, node, at, NULL);
    text_expect(r, '[');
    for (int i = 0; i < node->rank; i++) {
        if (i) text_expect(r, ',');
        at[i] = read_ix(r);
    }
    if (text_take(r, ';')) outside = text_scalar(r);
    text_expect(r, ']');
    return sc_read(r->g, node, at, outside);
}

static const Scalar *read_draw(Reader *r, Draw draw, bool shared) {
    text_next(r);
    text_expect(r, '(');
    Span at = r->span;
    uint64_t place = text_unsigned(r);
    if (place > UINT32_MAX) text_fail(r, at, "a place has 32 bits");
    text_expect(r, ',');
    const Ix *element = read_ix(r);
    const Scalar *p = NULL;
    if (draw == DRAW_BERNOULLI) {
        text_expect(r, ',');
        p = text_scalar(r);
    }
    text_expect(r, ')');
    return sc_draw(r->g, draw, p, element, (uint32_t)place, shared);
}

static const Scalar *read_op(Reader *r) {
    int op = 0;
    while (op < OP_COUNT && strcmp(op_info[op].text, r->text))
        op++;
    if (op == OP_COUNT)
        text_fail(r, r->span, arena_printf(r->arena, "unknown operator '%s'", r->text));
    text_next(r);
    const Scalar *arg[3] = {0};
    for (int i = 0; i < op_info[op].arity; i++) {
        text_expect(r, i ? ',' : '(');
        arg[i] = text_scalar(r);
    }
    text_expect(r, ')');
    return sc_op(r->g, (Op)op, arg[0], arg[1], arg[2]);
}

static const Scalar *read_word(Reader *r) {
    if (!strcmp(r->text, "inf") || !strcmp(r->text, "nan")) return sc_const(r->g, text_number(r));
    bool shared = text_take_word(r, "shared");
    int draw = r->kind == TOKEN_WORD ? text_find(text_draw, LENGTH(text_draw), r->text) : -1;
    if (draw >= 0) return read_draw(r, (Draw)draw, shared);
    if (shared) text_fail(r, r->span, "expected a draw");
    if (!text_take_word(r, "index")) return read_op(r);
    text_expect(r, '(');
    const Scalar *index = sc_index(r->g, read_ix(r));
    text_expect(r, ')');
    return index;
}

static const Scalar *read_label(Reader *r) {
    Span at = r->span;
    text_expect(r, '$');
    int label = text_int(r);
    if (!text_take(r, '=')) {
        if (label < 1 || label > r->labels.len || !r->labels.at[label - 1])
            text_fail(r, at, "a label that was not written before");
        return r->labels.at[label - 1];
    }
    if (label != r->labels.len + 1) text_fail(r, at, "labels are numbered from 1 in order");
    VEC_PUSH(r->arena, r->labels, NULL); /* labels inside have higher numbers */
    const Scalar *s = text_scalar(r);
    r->labels.at[label - 1] = s;
    return s;
}

const Scalar *text_scalar(Reader *r) {
    deeper(r);
    const Scalar *s = r->mark == '%'          ? read_read(r)
                      : r->mark == '$'        ? read_label(r)
                      : r->kind == TOKEN_WORD ? read_word(r)
                                              : sc_const(r->g, text_number(r));
    r->depth--;
    return s;
}
