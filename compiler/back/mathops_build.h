/* SPDX-License-Identifier: MIT
 * Shorthand for writing arithmetic as IR: one name an instruction, and the per-type tables.
 * Needs mathops. Private to mathops.c, mathops_function.c and draw.c; decides nothing about
 * accuracy. */
#ifndef GRADUS_MATHOPS_BUILD_H
#define GRADUS_MATHOPS_BUILD_H
#include "mathops.h"

typedef LLVMValueRef Value;

/* math_<emit> for every row of ops.def. */
#define OP(id, text, arity, result, lo, hi, value, d0, d1, d2, emit)                               \
    Value math_##emit(const MathEmit *m, Value a, Value b, Value c);
#include "ops.def"
#undef OP

enum { MAX_COEFFICIENTS = 20 };
typedef struct Poly {
    int n;
    double c[MAX_COEFFICIENTS]; /* c[0] + c[1] x + … */
} Poly;

/* What the functions need to know of one floating-point type. */
typedef struct MathForm {
    int bits, mantissa, bias;
    double magic;          /* 1.5 * 2^mantissa: adding it rounds to an integer in the low bits */
    double smallest;       /* smallest normal number */
    int rescale;           /* 2^rescale makes any denormal normal */
    double exp_lo, exp_hi; /* exp is 0 below, infinite above */
    double ln2_hi, ln2_lo; /* ln2_hi * k is exact for every exponent k */
    uint64_t root_half;    /* bits of sqrt(1/2) */
    double half_pi[3];     /* their sum is pi/2; each rounded to the type */
    double tanh_one;       /* tanh rounds to 1 from here on */
    double erf_split, erf_one;
    double third_hi, third_lo; /* 2/3 in two pieces */
    Poly exp, expm1, log, log_tail, sin, cos, erf_small, erf_large;
} MathForm;
extern const MathForm math_single, math_double;

/* One emission: the builder and the types of its operands. */
typedef struct Gen {
    const MathEmit *m;
    LLVMBuilderRef b;
    LLVMTypeRef real, whole; /* floating type and the integer type of the same shape */
    const MathForm *form;
} Gen;
Gen gen_of(const MathEmit *m, LLVMTypeRef type);
/* Calls an overloaded intrinsic (llvm.fma, llvm.sqrt, …) on operands of the result's type. */
Value gen_intrinsic(const Gen *g, const char *name, int count, Value a, Value b, Value c);
Value gen_poly(const Gen *g, Value x, const Poly *poly); /* Horner, by fma */

static inline Value lit(const Gen *g, double x) {
    return math_constant(g->real, x);
}
static inline Value num(const Gen *g, uint64_t x) {
    return math_integer(g->whole, x);
}
static inline Value add(const Gen *g, Value a, Value b) {
    return LLVMBuildFAdd(g->b, a, b, "");
}
static inline Value sub(const Gen *g, Value a, Value b) {
    return LLVMBuildFSub(g->b, a, b, "");
}
static inline Value mul(const Gen *g, Value a, Value b) {
    return LLVMBuildFMul(g->b, a, b, "");
}
static inline Value quo(const Gen *g, Value a, Value b) {
    return LLVMBuildFDiv(g->b, a, b, "");
}
static inline Value neg(const Gen *g, Value a) {
    return LLVMBuildFNeg(g->b, a, "");
}
static inline Value mad(const Gen *g, Value a, Value b, Value c) {
    return gen_intrinsic(g, "llvm.fma", 3, a, b, c);
}
static inline Value magnitude(const Gen *g, Value a) {
    return gen_intrinsic(g, "llvm.fabs", 1, a, NULL, NULL);
}
static inline Value with_sign(const Gen *g, Value a, Value sign) {
    return gen_intrinsic(g, "llvm.copysign", 2, a, sign, NULL);
}
static inline Value less(const Gen *g, Value a, Value b) {
    return LLVMBuildFCmp(g->b, LLVMRealOLT, a, b, "");
}
static inline Value same(const Gen *g, Value a, Value b) {
    return LLVMBuildFCmp(g->b, LLVMRealOEQ, a, b, "");
}
static inline Value pick(const Gen *g, Value mask, Value a, Value b) {
    return LLVMBuildSelect(g->b, mask, a, b, "");
}
static inline Value both(const Gen *g, Value a, Value b) {
    return LLVMBuildAnd(g->b, a, b, "");
}
static inline Value either(const Gen *g, Value a, Value b) {
    return LLVMBuildOr(g->b, a, b, "");
}
static inline Value to_bits(const Gen *g, Value a) {
    return LLVMBuildBitCast(g->b, a, g->whole, "");
}
static inline Value from_bits(const Gen *g, Value a) {
    return LLVMBuildBitCast(g->b, a, g->real, "");
}
static inline Value iadd(const Gen *g, Value a, Value b) {
    return LLVMBuildAdd(g->b, a, b, "");
}
static inline Value isub(const Gen *g, Value a, Value b) {
    return LLVMBuildSub(g->b, a, b, "");
}
static inline Value left(const Gen *g, Value a, int by) {
    return LLVMBuildShl(g->b, a, num(g, (uint64_t)by), "");
}
static inline Value right(const Gen *g, Value a, int by) {
    return LLVMBuildLShr(g->b, a, num(g, (uint64_t)by), "");
}
/* The smaller (larger) of a value and a constant; NaN stays NaN. */
static inline Value at_most(const Gen *g, Value a, double limit) {
    return pick(g, less(g, lit(g, limit), a), lit(g, limit), a);
}
static inline Value at_least(const Gen *g, Value a, double limit) {
    return pick(g, less(g, a, lit(g, limit)), lit(g, limit), a);
}
#endif
