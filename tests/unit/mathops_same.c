/* SPDX-License-Identifier: MIT
 * The emitted operators: the simple ones against their definition in ops.def, all of them with the
 * same bits on every machine, at every level and in every width, and without a call in the code.
 * Needs back's mathops and LLVM. Does not measure errors: mathops.c. */
#include "math_jit.h"
#include <math.h>
#include <stdio.h>
#include <tgmath.h>

enum { LANES = 16, COUNT = 4096 };

/* ---- The definitions, in either type: <tgmath.h> makes floor of a float a float */

#define OP(id, text, arity, result, lo, hi, value, d0, d1, d2, emit)                               \
    static double single_##id(float a, float b, float c) {                                         \
        (void)a, (void)b, (void)c;                                                                 \
        return (double)(value);                                                                    \
    }                                                                                              \
    static double double_##id(double a, double b, double c) {                                      \
        (void)a, (void)b, (void)c;                                                                 \
        return (double)(value);                                                                    \
    }
#include "ops.def"
#undef OP
static double (*const single_value[OP_COUNT])(float, float, float) = {
#define OP(id, ...) [OP_##id] = single_##id,
#include "ops.def"
#undef OP
};
static double (*const double_value[OP_COUNT])(double, double, double) = {
#define OP(id, ...) [OP_##id] = double_##id,
#include "ops.def"
#undef OP
};
static bool is_function(Op op) { /* has an error bound instead of exact bits */
    return op == OP_EXP || op == OP_LOG || op == OP_SIN || op == OP_COS || op == OP_TANH ||
           op == OP_ERF || op == OP_POW;
}

/* ---- One module with every operator in both types */

static LLVMValueRef op_body(const MathEmit *m, LLVMTypeRef type, LLVMValueRef *operand,
                            const void *context) {
    return math_number(m, type,
                       math_emit[*(const Op *)context](m, operand[0], operand[1], operand[2]));
}

static LLVMTypeRef real_type(const MathEmit *m, bool wide, unsigned lanes) {
    return math_with_lanes(
        wide ? LLVMDoubleTypeInContext(m->context) : LLVMFloatTypeInContext(m->context), lanes);
}

static MathEmit all_operators(unsigned lanes) {
    MathEmit m = jit_module();
    for (Op op = 0; op < OP_COUNT; op++) {
        for (int wide = 0; wide < 2; wide++) {
            char name[64];
            snprintf(name, sizeof name, "%s_%d", op_info[op].text, wide);
            LLVMTypeRef type = real_type(&m, wide, lanes);
            jit_loop(&m, name, type, type, op_body, &op);
        }
    }
    return m;
}

static Loop find(LLVMOrcLLJITRef jit, Op op, int wide) {
    char name[64];
    snprintf(name, sizeof name, "%s_%d", op_info[op].text, wide);
    return jit_find(jit, name);
}

/* ---- Operands: all pairs of special values, then any bits, then moderate numbers */

static uint64_t state = 7;
static uint64_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 29;
}

static float in_single[3][COUNT];
static double in_double[3][COUNT];

static void fill(void) {
    static const double special[] = {
        0.0,  -0.0,      1,          -1,        0.5,       -0.5,      1.5,
        -2.5, INFINITY,  -INFINITY,  NAN,       0x1p-140,  0x1p-1060, 1e30,
        -7,   0x1p-1022, 0x1.fp1023, 88.722835, -103.9721, 709.7827,  -745.1332};
    int n = LENGTH(special);
    for (int i = 0; i < COUNT; i++) {
        double operand[3];
        for (int k = 0; k < 3; k++)
            operand[k] = ((double)(random_bits() >> 11) * 0x1p-53 - 0.5) * (k == 0 ? 40 : 10);
        if (i < n * n) {
            operand[0] = special[i / n];
            operand[1] = special[i % n];
            operand[2] = special[(i * 5) % n];
        }
        for (int k = 0; k < 3; k++) {
            uint64_t bits = random_bits();
            uint32_t few = (uint32_t)(bits >> 20);
            in_double[k][i] = operand[k];
            in_single[k][i] = (float)operand[k];
            if (i < n * n || i % 2 == 0) continue;
            memcpy(&in_double[k][i], &bits, sizeof bits);
            memcpy(&in_single[k][i], &few, sizeof few);
        }
    }
}

static const void *operand(int k, int wide) {
    return wide ? (const void *)in_double[k] : (const void *)in_single[k];
}

static void apply(Loop loop, int wide, unsigned lanes, double *results) {
    static union {
        float f[COUNT];
        double d[COUNT];
    } out;
    unsigned width = lanes == 0 ? 1 : lanes;
    loop(operand(0, wide), operand(1, wide), operand(2, wide), &out, (int64_t)(COUNT / width));
    for (int i = 0; i < COUNT; i++)
        results[i] = wide ? out.d[i] : (double)out.f[i];
}

/* The same number, sign of zero included; which NaN it is nobody promises. */
static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void compare(Op op, int wide, const char *what, const double *got, const double *want) {
    for (int i = 0; i < COUNT; i++) {
        if (same(got[i], want[i])) continue;
        const double *d[3] = {in_double[0], in_double[1], in_double[2]};
        double a = wide ? d[0][i] : (double)in_single[0][i],
               b = wide ? d[1][i] : (double)in_single[1][i];
        cr_expect_fail("%s on %s, %s: (%a, %a) gives %a, not %a", op_info[op].text,
                       wide ? "double" : "float", what, a, b, got[i], want[i]);
        return;
    }
}

static double got[COUNT], want[COUNT];

Test(mathops_same, simple_operators_are_their_definition) {
    fill();
    MathEmit m = all_operators(LANES);
    LLVMOrcLLJITRef jit = jit_compile(&m, &variants[0]);
    for (Op op = 0; op < OP_COUNT; op++) {
        for (int wide = 0; wide < 2 && !is_function(op); wide++) {
            apply(find(jit, op, wide), wide, LANES, got);
            for (int i = 0; i < COUNT; i++) {
                want[i] = wide
                              ? double_value[op](in_double[0][i], in_double[1][i], in_double[2][i])
                              : single_value[op](in_single[0][i], in_single[1][i], in_single[2][i]);
            }
            compare(op, wide, "against ops.def", got, want);
        }
    }
}

static void compare_with_native(unsigned lanes, const Variant *v, const char *what) {
    static double first[OP_COUNT][2][COUNT];
    static bool made;
    if (!made) {
        MathEmit m = all_operators(LANES);
        LLVMOrcLLJITRef jit = jit_compile(&m, &variants[0]);
        for (Op op = 0; op < OP_COUNT; op++)
            for (int wide = 0; wide < 2; wide++)
                apply(find(jit, op, wide), wide, LANES, first[op][wide]);
        made = true;
    }
    MathEmit m = all_operators(lanes);
    LLVMOrcLLJITRef jit = jit_compile(&m, v);
    for (Op op = 0; op < OP_COUNT; op++) {
        for (int wide = 0; wide < 2; wide++) {
            apply(find(jit, op, wide), wide, lanes, got);
            compare(op, wide, what, got, first[op][wide]);
        }
    }
}

Test(mathops_same, every_machine_and_level_gives_the_same_bits) {
    fill();
    for (int i = 1; i < LENGTH(variants); i++)
        if (jit_runs_here(&variants[i])) compare_with_native(LANES, &variants[i], variants[i].name);
}

Test(mathops_same, every_width_gives_the_same_bits) {
    fill();
    compare_with_native(0, &variants[0], "scalar");
    compare_with_native(8, &variants[0], "8 lanes");
    compare_with_native(2, &variants[1], "2 lanes");
}

Test(mathops_same, code_has_no_call_and_no_fast_math) {
    for (int i = 0; i < LENGTH(variants); i++) {
        if (variants[i].cpu && strcmp(variants[i].cpu, "x86-64") == 0) continue; /* has no fma */
        MathEmit m = all_operators(LANES);
        char *ir = LLVMPrintModuleToString(m.module);
        cr_expect(!strstr(ir, " fast ") && !strstr(ir, " contract ") && !strstr(ir, " nnan "));
        LLVMDisposeMessage(ir);
        LLVMMemoryBufferRef text = jit_assembly(&m, &variants[i]);
        const char *code = LLVMGetBufferStart(text);
        cr_expect(!strstr(code, "call") && !strstr(code, "@PLT") && !strstr(code, "\tbl\t"),
                  "a call in the code for %s", variants[i].name);
        LLVMDisposeMemoryBuffer(text);
    }
}
