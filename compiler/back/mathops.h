/* SPDX-License-Identifier: MIT
 * The scalar operators of ops.def as inline LLVM IR, on a float or double or a vector of them.
 * (Not math.h: that name would hide the C library header.)
 * Needs ir and LLVM. Knows nothing of loops, buffers or passes; never emits a call to libm, a
 * fast-math flag or an instruction of one machine, so every target gives the same bits.
 *
 * Accuracy, in units in the last place against the exact value (tests/unit/mathops*.c assert it):
 * add sub mul div fma sqrt floor ceil round abs neg are exact or correctly rounded by IEEE 754;
 * the functions stay within 2 (float) and 3 (double), see the table in mathops_function.c. */
#ifndef GRADUS_MATHOPS_H
#define GRADUS_MATHOPS_H
#include <llvm-c/Core.h>
#include "ir.h"

typedef struct MathEmit {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
} MathEmit;

/* Emits one operator at the builder's position. Operands are all of one type: float, double or a
 * fixed vector of these; truth values are i1 or a vector of i1 of the same width. Operands beyond
 * the arity are ignored and may be NULL. A number where a truth value is wanted counts as x != 0.*/
typedef LLVMValueRef (*MathEmitter)(const MathEmit *m, LLVMValueRef a, LLVMValueRef b,
                                    LLVMValueRef c);
extern const MathEmitter math_emit[OP_COUNT];

/* The constant x, rounded to the element type of `type`, in every lane. */
LLVMValueRef math_constant(LLVMTypeRef type, double x);
/* An integer constant (low bits of x) in every lane. */
LLVMValueRef math_integer(LLVMTypeRef type, uint64_t x);
/* A scalar in every lane of `type`; a value that has that type already is given back. */
LLVMValueRef math_splat(const MathEmit *m, LLVMTypeRef type, LLVMValueRef scalar);
/* Truth value of a number (x != 0; NaN is true) and the number, 1 or 0, of a truth value; both give
 * back what is already of the wanted kind. `type` is the number's type. */
LLVMValueRef math_mask(const MathEmit *m, LLVMValueRef x);
LLVMValueRef math_number(const MathEmit *m, LLVMTypeRef type, LLVMValueRef x);
/* Number of lanes of a vector type, 0 for a scalar; and its type with other elements. */
unsigned math_lanes(LLVMTypeRef type);
LLVMTypeRef math_with_lanes(LLVMTypeRef element, unsigned lanes);
#endif
