/* SPDX-License-Identifier: MIT
 * Error scales: how large the terms were that made a value, operator by operator.
 * Needs ir and libm.
 * Gives scales for comparisons, not bounds: slopes are taken by differences. */
#include "tape.h"
#include <math.h>
#include <string.h>

/* The columns of ops.def as text tell which operands an operator is flat in. */
static const char *const slope_text[OP_COUNT][3] = {
#define OP(id, text, arity, result, lo, hi, value, d0, d1, d2, emit) {#d0, #d1, #d2},
#include "ops.def"
#undef OP
};

static double difference(Op op, const double *value, int operand, double h) {
    double up[3], down[3];
    memcpy(up, value, sizeof up);
    memcpy(down, value, sizeof down);
    up[operand] += h, down[operand] -= h;
    double slope =
        (op_info[op].value(up[0], up[1], up[2]) - op_info[op].value(down[0], down[1], down[2])) /
        (2 * h);
    return isfinite(slope) ? fabs(slope) : 0;
}

/* |slope| by an operand. Close to 0 a step in proportion as well: log and sqrt stay in their
 * domain. */
static double slope_of(Op op, const double *value, int operand) {
    if (!strcmp(slope_text[op][operand], "ZERO")) return 0;
    double size = fabs(value[operand]), h = 1e-6 * (size > 1 ? size : 1);
    double slope = difference(op, value, operand, h);
    if (size > 0 && size < 2 * h) slope = fmax(slope, difference(op, value, operand, size / 2));
    return slope;
}

static double magnitude_of(Op op, const double *v, const double *m, double r) {
    switch (op) {
    case OP_NEG:
    case OP_ABS:
    case OP_STOP:
        return m[0];
    case OP_ADD:
    case OP_SUB:
        return m[0] + m[1];
    case OP_MUL:
        return m[0] * m[1];
    case OP_DIV:
        return m[0] / fabs(v[1]) + fabs(v[0]) * m[1] / (v[1] * v[1]);
    case OP_FMA:
        return m[0] * m[1] + m[2];
    case OP_MIN:
    case OP_MAX:
        return fmax(m[0], m[1]);
    case OP_SELECT:
        return v[0] != 0 ? m[1] : m[2];
    default:;
    }
    double sum = fabs(r);
    for (int i = 0; i < op_info[op].arity; i++)
        sum += slope_of(op, v, i) * m[i];
    return sum;
}

double op_magnitude(Op op, const double *value, const double *magnitude, double r) {
    double m = magnitude_of(op, value, magnitude, r);
    return m >= fabs(r) ? m : fabs(r);
}
