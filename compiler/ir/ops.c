/* SPDX-License-Identifier: MIT
 * The table of scalar operators, expanded from ops.def.
 * Needs ops.def and libm.
 * Does not fold (fold.c) or differentiate (pass/). */
#include "ir.h"
#include <math.h>

#define OP(id, text, arity, result, lo, hi, value, ...)                                            \
    static double value_##id(double a, double b, double c) {                                       \
        (void)a, (void)b, (void)c;                                                                 \
        return value;                                                                              \
    }
#include "ops.def"
#undef OP

#define TRUTH_R false
#define TRUTH_F false
#define TRUTH_B true
const OpInfo op_info[OP_COUNT] = {
#define OP(id, text, arity, result, lo, hi, ...) \
    {text, arity, TRUTH_##result, #result[0] == 'F', lo, hi, value_##id},
#include "ops.def"
#undef OP
};
