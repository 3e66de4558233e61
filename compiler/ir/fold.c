/* SPDX-License-Identifier: MIT
 * Builds scalar operators, folding what is known: constants and identities.
 * Needs base and ir.h.
 * Keeps the order of operands, and never trades NaN for a number except in x * 0 = 0 (a gradient
 * that is zero by construction stays zero). */
#include "intern.h"
#include <math.h>

bool sc_truth(const Scalar *s) {
    return s->kind == SC_OP && op_info[s->op].truth;
}

bool op_takes_truth(Op op, int operand) {
    return op == OP_AND || op == OP_OR || op == OP_NOT || (op == OP_SELECT && operand == 0);
}

static bool is(const Scalar *s, double value) {
    return s->kind == SC_CONST && s->value == value;
}
static bool is_op(const Scalar *s, Op op) {
    return s->kind == SC_OP && s->op == op;
}

const Scalar *sc_number(Graph *g, const Scalar *s) {
    if (!sc_truth(s)) return s;
    return sc_op(g, OP_SELECT, s, sc_const(g, 1), sc_const(g, 0));
}

static const Scalar *as_truth(Graph *g, const Scalar *s) {
    if (sc_truth(s) || s->kind == SC_CONST) return s;
    if (is_op(s, OP_SELECT) && is(s->arg[1], 1) && is(s->arg[2], 0)) return s->arg[0];
    if (is_op(s, OP_SELECT) && is(s->arg[1], 0) && is(s->arg[2], 1))
        return sc_op(g, OP_NOT, s->arg[0], NULL, NULL);
    return sc_op(g, OP_NE, s, sc_const(g, 0), NULL);
}

/* x^n by repeated multiplication: even n squares x^(n/2), odd n multiplies x^(n-1) by x, so
 * x^3 = (x x) x and x^6 = (x^3)(x^3). */
static const Scalar *power(Graph *g, const Scalar *x, int n) {
    if (n == 1) return x;
    const Scalar *part = power(g, x, n % 2 ? n - 1 : n / 2);
    return sc_op(g, OP_MUL, part, n % 2 ? x : part, NULL);
}

static const Scalar *fold_pow(Graph *g, const Scalar *a, const Scalar *b) {
    if (b->kind != SC_CONST) return NULL;
    double n = b->value;
    if (n == 0) return sc_const(g, 1);
    if (n == 0.5) return sc_op(g, OP_SQRT, a, NULL, NULL);
    if (n == floor(n) && n >= 1 && n <= 8) return power(g, a, (int)n);
    if (n == floor(n) && n <= -1 && n >= -8) /* so that a negative base needs no pow */
        return sc_op(g, OP_DIV, sc_const(g, 1), power(g, a, (int)-n), NULL);
    return NULL;
}

static const Scalar *fold_sum(Graph *g, Op op, const Scalar *a, const Scalar *b) {
    if (is(b, 0)) return a;
    if (op == OP_ADD && is(a, 0)) return b;
    if (is_op(b, OP_NEG)) /* the same bits, one operator less */
        return sc_op(g, op == OP_ADD ? OP_SUB : OP_ADD, a, b->arg[0], NULL);
    return NULL;
}

static const Scalar *fold_product(Graph *g, const Scalar *a, const Scalar *b) {
    if (is(a, 0) || is(b, 0)) return sc_const(g, 0);
    if (is(b, 1)) return a;
    if (is(a, 1)) return b;
    if (is(a, -1) || is(b, -1)) return sc_op(g, OP_NEG, is(a, -1) ? b : a, NULL, NULL);
    return NULL;
}

static const Scalar *fold_fma(Graph *g, const Scalar *a, const Scalar *b, const Scalar *c) {
    if (is(a, 0) || is(b, 0)) return c;
    if (is(a, 1) || is(b, 1)) return sc_op(g, OP_ADD, is(a, 1) ? b : a, c, NULL);
    return is(c, 0) ? sc_op(g, OP_MUL, a, b, NULL) : NULL;
}

/* Two index forms that differ by a constant, or one against an integer. */
static const Scalar *fold_comparison(Graph *g, Op op, const Scalar *a, const Scalar *b) {
    const Ix *form[2];
    const Scalar *side[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        double value;
        if (side[i]->kind == SC_INDEX)
            form[i] = side[i]->ix;
        else if (sc_is_const(side[i], &value) && value == floor(value) && fabs(value) < 0x1p53)
            form[i] = ix_const(g, (int64_t)value);
        else
            return NULL;
    }
    int64_t difference;
    if (!ix_is_const(ix_sub(g, form[0], form[1]), &difference)) return NULL;
    return sc_const(g, op_info[op].value((double)difference, 0, 0));
}

static const Scalar *fold_logic(Graph *g, Op op, const Scalar *a, const Scalar *b) {
    if (op == OP_NOT) return is_op(a, OP_NOT) ? a->arg[0] : NULL;
    if (a == b) return a;
    const Scalar *known = a->kind == SC_CONST ? a : b, *other = known == a ? b : a;
    if (known->kind != SC_CONST) return NULL;
    bool decides = (known->value != 0) == (op == OP_OR);
    return decides ? sc_const(g, op == OP_OR) : other;
}

static const Scalar *fold_select(Graph *g, const Scalar *a, const Scalar *b, const Scalar *c) {
    if (a->kind == SC_CONST) return a->value != 0 ? b : c;
    if (b == c) return b;
    return is_op(a, OP_NOT) ? sc_op(g, OP_SELECT, a->arg[0], c, b) : NULL;
}

/* Operators of one operand that are the identity on what they are given. */
static const Scalar *fold_unary(Op op, const Scalar *a) {
    switch (op) {
    case OP_NEG:
        return is_op(a, OP_NEG) ? a->arg[0] : NULL;
    case OP_FLOOR:
    case OP_CEIL:
    case OP_ROUND:
        return a->kind == SC_INDEX || is_op(a, OP_FLOOR) || is_op(a, OP_CEIL) || is_op(a, OP_ROUND)
                   ? a
                   : NULL;
    case OP_ABS:
        return is_op(a, OP_ABS) ? a : NULL;
    case OP_STOP:
        return is_op(a, OP_STOP) || !a->reads ? a : NULL;
    default:
        return NULL;
    }
}

static const Scalar *fold(Graph *g, Op op, const Scalar *a, const Scalar *b, const Scalar *c) {
    switch (op) {
    case OP_ADD:
    case OP_SUB:
        return fold_sum(g, op, a, b);
    case OP_MUL:
        return fold_product(g, a, b);
    case OP_DIV:
        return is(b, 1) ? a : is(b, -1) ? sc_op(g, OP_NEG, a, NULL, NULL) : NULL;
    case OP_FMA:
        return fold_fma(g, a, b, c);
    case OP_MIN:
    case OP_MAX:
        return a == b ? a : NULL;
    case OP_POW:
        return fold_pow(g, a, b);
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_EQ:
    case OP_NE:
        return fold_comparison(g, op, a, b);
    case OP_AND:
    case OP_OR:
    case OP_NOT:
        return fold_logic(g, op, a, b);
    case OP_SELECT:
        return fold_select(g, a, b, c);
    default:
        return fold_unary(op, a);
    }
}

const Scalar *sc_op(Graph *g, Op op, const Scalar *a, const Scalar *b, const Scalar *c) {
    const OpInfo *info = &op_info[op];
    const Scalar *arg[3] = {a, b, c};
    double value[3] = {0};
    bool known = true;
    for (int i = 0; i < 3; i++) {
        if ((i < info->arity) != (arg[i] != NULL))
            bug("%s takes %d operands", info->text, info->arity);
        if (!arg[i]) continue;
        arg[i] = op_takes_truth(op, i) ? as_truth(g, arg[i]) : sc_number(g, arg[i]);
        known = sc_is_const(arg[i], &value[i]) && known;
    }
    if (known) return sc_const(g, info->value(value[0], value[1], value[2]));
    const Scalar *folded = fold(g, op, arg[0], arg[1], arg[2]);
    return folded ? folded : sc_plain_op(g, op, arg[0], arg[1], arg[2]);
}
