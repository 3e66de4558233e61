/* SPDX-License-Identifier: MIT
 * Operators that are one or a few instructions, the table of all operators, constants and masks.
 * Needs ir and LLVM. Does not hold the transcendental functions: mathops_function.c. */
#include "mathops_build.h"
#include <string.h>

enum { MAX_LANES = 128 };
#define UNUSED __attribute__((unused))
#define EMITTER(name)                                                                              \
    LLVMValueRef math_##name(const MathEmit *m, LLVMValueRef a, UNUSED LLVMValueRef b,             \
                             UNUSED LLVMValueRef c)

/* ---- Types and constants */

unsigned math_lanes(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 0;
}

LLVMTypeRef math_with_lanes(LLVMTypeRef element, unsigned lanes) {
    return lanes == 0 ? element : LLVMVectorType(element, lanes);
}

static LLVMTypeRef element_of(LLVMTypeRef type) {
    return math_lanes(type) == 0 ? type : LLVMGetElementType(type);
}

static Value splat_constant(LLVMTypeRef type, Value x) {
    unsigned lanes = math_lanes(type);
    if (lanes == 0) return x;
    if (lanes > MAX_LANES) bug("vector of %u lanes", lanes);
    Value each[MAX_LANES];
    for (unsigned i = 0; i < lanes; i++)
        each[i] = x;
    return LLVMConstVector(each, lanes);
}

LLVMValueRef math_constant(LLVMTypeRef type, double x) {
    return splat_constant(type, LLVMConstReal(element_of(type), x));
}

LLVMValueRef math_integer(LLVMTypeRef type, uint64_t x) {
    return splat_constant(type, LLVMConstInt(element_of(type), x, 0));
}

LLVMValueRef math_splat(const MathEmit *m, LLVMTypeRef type, LLVMValueRef scalar) {
    unsigned lanes = math_lanes(type);
    if (lanes == 0 || math_lanes(LLVMTypeOf(scalar)) == lanes) return scalar;
    LLVMTypeRef place = LLVMInt32TypeInContext(m->context);
    Value first = LLVMBuildInsertElement(m->builder, LLVMGetPoison(type), scalar,
                                         LLVMConstInt(place, 0, 0), "");
    Value zeros = LLVMConstNull(LLVMVectorType(place, lanes));
    return LLVMBuildShuffleVector(m->builder, first, LLVMGetPoison(type), zeros, "");
}

static bool is_mask(Value x) {
    return LLVMGetTypeKind(element_of(LLVMTypeOf(x))) == LLVMIntegerTypeKind;
}

LLVMValueRef math_mask(const MathEmit *m, LLVMValueRef x) {
    if (is_mask(x)) return x;
    return LLVMBuildFCmp(m->builder, LLVMRealUNE, x, math_constant(LLVMTypeOf(x), 0), "");
}

LLVMValueRef math_number(const MathEmit *m, LLVMTypeRef type, LLVMValueRef x) {
    if (!is_mask(x)) return x;
    return LLVMBuildSelect(m->builder, x, math_constant(type, 1), math_constant(type, 0), "");
}

/* ---- Shorthand that is too long for the header */

Gen gen_of(const MathEmit *m, LLVMTypeRef type) {
    LLVMTypeKind kind = LLVMGetTypeKind(element_of(type));
    if (kind != LLVMFloatTypeKind && kind != LLVMDoubleTypeKind)
        bug("operator on a type that is no number");
    const MathForm *form = kind == LLVMFloatTypeKind ? &math_single : &math_double;
    LLVMTypeRef whole = LLVMIntTypeInContext(m->context, (unsigned)form->bits);
    return (Gen){m, m->builder, type, math_with_lanes(whole, math_lanes(type)), form};
}

Value gen_intrinsic(const Gen *g, const char *name, int count, Value a, Value b, Value c) {
    Value operand[3] = {a, b, c};
    LLVMTypeRef type = g->real;
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (id == 0) bug("LLVM has no intrinsic %s", name);
    Value function = LLVMGetIntrinsicDeclaration(g->m->module, id, &type, 1);
    LLVMTypeRef signature = LLVMIntrinsicGetType(g->m->context, id, &type, 1);
    return LLVMBuildCall2(g->b, signature, function, operand, (unsigned)count, "");
}

Value gen_poly(const Gen *g, Value x, const Poly *poly) {
    Value sum = lit(g, poly->c[poly->n - 1]);
    for (int i = poly->n - 2; i >= 0; i--)
        sum = mad(g, sum, x, lit(g, poly->c[i]));
    return sum;
}

/* ---- Arithmetic */

EMITTER(neg) {
    return LLVMBuildFNeg(m->builder, a, "");
}
EMITTER(add) {
    return LLVMBuildFAdd(m->builder, a, b, "");
}
EMITTER(sub) {
    return LLVMBuildFSub(m->builder, a, b, "");
}
EMITTER(mul) {
    return LLVMBuildFMul(m->builder, a, b, "");
}
EMITTER(div) {
    return LLVMBuildFDiv(m->builder, a, b, "");
}
EMITTER(stop) {
    return (void)m, a;
}

static Value intrinsic(const MathEmit *m, const char *name, int count, Value a, Value b, Value c) {
    Gen g = gen_of(m, LLVMTypeOf(a));
    return gen_intrinsic(&g, name, count, a, b, c);
}

EMITTER(fma) {
    return intrinsic(m, "llvm.fma", 3, a, b, c);
}
EMITTER(sqrt) {
    return intrinsic(m, "llvm.sqrt", 1, a, NULL, NULL);
}
EMITTER(floor) {
    return intrinsic(m, "llvm.floor", 1, a, NULL, NULL);
}
EMITTER(ceil) {
    return intrinsic(m, "llvm.ceil", 1, a, NULL, NULL);
}
/* Ties to even, whatever rounding mode the program runs in. */
EMITTER(round) {
    return intrinsic(m, "llvm.roundeven", 1, a, NULL, NULL);
}
EMITTER(abs) {
    return intrinsic(m, "llvm.fabs", 1, a, NULL, NULL);
}

EMITTER(mod) {
    Value whole = math_floor(m, math_div(m, a, b, NULL), NULL, NULL);
    return math_sub(m, a, math_mul(m, b, whole, NULL), NULL);
}

EMITTER(sign) {
    Gen g = gen_of(m, LLVMTypeOf(a));
    Value zero = lit(&g, 0);
    Value down = pick(&g, less(&g, a, zero), lit(&g, -1), zero);
    return pick(&g, less(&g, zero, a), lit(&g, 1), down);
}

/* ---- Truth values. LLVM's minimum and maximum treat NaN and signed zeros otherwise than the
 * definition, hence compare and select. */

static Value compare(const MathEmit *m, LLVMRealPredicate how, Value a, Value b) {
    return LLVMBuildFCmp(m->builder, how, a, b, "");
}

EMITTER(lt) {
    return compare(m, LLVMRealOLT, a, b);
}
EMITTER(le) {
    return compare(m, LLVMRealOLE, a, b);
}
EMITTER(gt) {
    return compare(m, LLVMRealOGT, a, b);
}
EMITTER(ge) {
    return compare(m, LLVMRealOGE, a, b);
}
EMITTER(eq) {
    return compare(m, LLVMRealOEQ, a, b);
}
EMITTER(ne) {
    return compare(m, LLVMRealUNE, a, b);
}
EMITTER(and) {
    return LLVMBuildAnd(m->builder, math_mask(m, a), math_mask(m, b), "");
}
EMITTER(or) {
    return LLVMBuildOr(m->builder, math_mask(m, a), math_mask(m, b), "");
}
EMITTER(not ) {
    return LLVMBuildNot(m->builder, math_mask(m, a), "");
}
EMITTER(select) {
    return LLVMBuildSelect(m->builder, math_mask(m, a), b, c, "");
}
EMITTER(min) {
    return LLVMBuildSelect(m->builder, math_le(m, a, b, NULL), a, b, "");
}
EMITTER(max) {
    return LLVMBuildSelect(m->builder, math_ge(m, a, b, NULL), a, b, "");
}

const MathEmitter math_emit[OP_COUNT] = {
#define OP(id, text, arity, result, lo, hi, value, d0, d1, d2, emit) [OP_##id] = math_##emit,
#include "ops.def"
#undef OP
};
