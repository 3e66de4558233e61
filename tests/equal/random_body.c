/* SPDX-License-Identifier: MIT
 * Random scalar expressions: every row of ops.def, its operands brought into the row's domain.
 * Needs ir; the table says all that is known of an operator. Makes no nodes. */
#include "make.h"
#include <math.h>

/* A scalar, and how large it gets where its leaves are moderate. */
typedef struct Value {
    const Scalar *s;
    double most;
} Value;
enum { MODERATE = 4 };

static Value expression(Make *m, const Leaves *leaves, int depth);

/* The largest value over the corners of the row's domain. */
static double op_most(Op op) {
    const OpInfo *info = &op_info[op];
    double most = 1;
    for (int corner = 0; corner < 8; corner++) {
        double a = corner & 1 ? info->hi : info->lo, b = corner & 2 ? info->hi : info->lo,
               c = corner & 4 ? info->hi : info->lo, value = fabs(info->value(a, b, c));
        if (isfinite(value) && value > most) most = value;
    }
    return most;
}

static const Scalar *any_number(Make *m) {
    /* No decimal fraction: whether a multiple of one is whole depends on the width. */
    static const double some[] = {0.5, 1, 2, -1, 0.3137, -0.61803, 1.7183, 0};
    return number(m, some[pick(m, LENGTH(some))]);
}

static Value leaf(Make *m, const Leaves *leaves) {
    int which = pick(m, leaves->n + 2);
    if (which < leaves->n) return (Value){leaves->at[which], MODERATE};
    return (Value){any_number(m), 2};
}

/* Into [lo, hi]: as it is where it fits, else smoothly, by a kink, or by a quotient. */
static Value in_domain(Make *m, Value v, double lo, double hi) {
    if (lo < 0 && v.most <= hi) return v;
    double half = (hi - lo) / 2;
    const Scalar *square;
    switch (pick(m, 3)) {
    case 0:
        v.s = op2(m, OP_ADD, number(m, lo + half),
                  op2(m, OP_MUL, number(m, half), op1(m, OP_TANH, v.s)));
        break;
    case 1:
        v.s = op2(m, OP_MIN, op2(m, OP_MAX, v.s, number(m, lo)), number(m, hi));
        break;
    default:
        square = op2(m, OP_MUL, v.s, v.s);
        v.s = op2(m, OP_ADD, number(m, lo),
                  op2(m, OP_DIV, op2(m, OP_MUL, number(m, 2 * half), square),
                      op2(m, OP_ADD, number(m, 1), square)));
    }
    v.most = fmax(fabs(lo), fabs(hi));
    return v;
}

/* a = f(b) and its true derivative, stated. */
static const Scalar *stated(Make *m, const Scalar *b) {
    const Scalar *x = op1(m, OP_STOP, b), *a, *d;
    if (one_in(m, 2)) {
        a = op1(m, OP_TANH, x);
        d = op2(m, OP_SUB, number(m, 1), op2(m, OP_MUL, a, a));
    } else {
        a = op1(m, OP_SIN, x);
        d = op1(m, OP_COS, x);
    }
    return sc_op(m->g, OP_STATED, a, b, d);
}

static bool wants_truth(Op op, int operand) {
    return op == OP_AND || op == OP_OR || op == OP_NOT || (op == OP_SELECT && !operand);
}

static const Scalar *truth(Make *m, const Leaves *leaves, int depth) {
    static const Op compare[] = {OP_GT, OP_LT, OP_LE, OP_GE, OP_NE, OP_EQ}; /* of numbers */
    if (depth > 0 && one_in(m, 3)) {
        int which = pick(m, 3);
        const Scalar *a = truth(m, leaves, depth - 1);
        if (which == 2) return op1(m, OP_NOT, a);
        return op2(m, which ? OP_OR : OP_AND, a, truth(m, leaves, depth - 1));
    }
    const Scalar *a = expression(m, leaves, depth - 1).s;
    return op2(m, compare[pick(m, LENGTH(compare))], a,
               one_in(m, 2) ? expression(m, leaves, depth - 1).s : any_number(m));
}

/* What no gradient check moves: a stopped gradient must not be seen by differences. */
static const Scalar *still(Make *m, const Leaves *leaves) {
    int n = leaves->n - leaves->moving, which = pick(m, n + 1);
    return which < n ? leaves->at[leaves->moving + which] : any_number(m);
}

static Value expression(Make *m, const Leaves *leaves, int depth) {
    if (depth <= 0) return leaf(m, leaves);
    Op op = (Op)pick(m, OP_COUNT);
    const OpInfo *info = &op_info[op];
    if (op == OP_STOP) return (Value){op1(m, OP_STOP, still(m, leaves)), MODERATE};
    if (op == OP_STATED) return (Value){stated(m, leaf(m, leaves).s), 1};
    const Scalar *arg[3] = {NULL, NULL, NULL};
    double most = info->truth ? 1 : op_most(op);
    for (int i = 0; i < info->arity; i++)
        arg[i] = wants_truth(op, i)
                     ? truth(m, leaves, depth - 1)
                     : in_domain(m, expression(m, leaves, depth - 1), info->lo, info->hi).s;
    return (Value){sc_op(m->g, op, arg[0], arg[1], arg[2]), most};
}

const Scalar *random_body(Make *m, const Leaves *leaves) {
    Value v = expression(m, leaves, 1 + pick(m, 3));
    return v.most > MODERATE ? op2(m, OP_MUL, v.s, number(m, 2 / sqrt(v.most))) : v.s;
}

const Scalar *random_truth(Make *m, const Leaves *leaves) {
    return truth(m, leaves, 1 + pick(m, 2));
}
