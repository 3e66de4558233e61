/* SPDX-License-Identifier: MIT
 * The frozen passes, and what they share. Private to this folder.
 * Needs ir. Fixes every bit of what a program computes; nothing here looks at a target. */
#ifndef GRADUS_FROZEN_H
#define GRADUS_FROZEN_H
#include "ir.h"

static inline const Scalar *op2(Graph *g, Op op, const Scalar *a, const Scalar *b) {
    return sc_op(g, op, a, b, NULL);
}
static inline bool is_op(const Scalar *s, Op op) {
    return s->kind == SC_OP && s->op == op;
}
static inline bool is_value(const Scalar *s, double value) {
    double c;
    return sc_is_const(s, &c) && c == value;
}

void pass_gradient(Unit *unit);
void pass_simplify(Unit *unit);
void pass_contract(Unit *unit);
void pass_order(Unit *unit);

/* Makes the comprehension in its simplest form: factors out of sums, shared parts on their own.
 * `split`: sums over the examples are split where a term then needs no sum of its own; for the
 * gradient pass only, as a sum that somebody wrote (a shifted mean) keeps its shape. */
Node *simplify_comp(Graph *g, const CompSpec *spec, bool split);
#endif
