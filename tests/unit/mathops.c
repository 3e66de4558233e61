/* SPDX-License-Identifier: MIT
 * The emitted operators: error of each function against MPFR, the exact ones against C, the same
 * bits on every machine and level, no call in the code. GRADUS_LONG=1 takes 50 times the samples.
 * Needs back's mathops, LLVM and MPFR. Does not test whole kernels. */
#include "math_jit.h"
#include <float.h>
#include <math.h>
#include <mpfr.h>
#include <stdio.h>

enum { LANES = 16, BATCH = 4096 };

/* ---- Functions under test */

static LLVMValueRef op_body(const MathEmit *m, LLVMTypeRef type, LLVMValueRef *operand,
                            const void *context) {
    LLVMValueRef x = math_emit[*(const Op *)context](m, operand[0], operand[1], operand[2]);
    return math_number(m, type, x);
}

static LLVMTypeRef real_type(const MathEmit *m, bool wide, unsigned lanes) {
    return math_with_lanes(
        wide ? LLVMDoubleTypeInContext(m->context) : LLVMFloatTypeInContext(m->context), lanes);
}

static Loop compile_op(Op op, bool wide, unsigned lanes, const Variant *v) {
    MathEmit m = jit_module();
    LLVMTypeRef type = real_type(&m, wide, lanes);
    jit_loop(&m, "f", type, type, op_body, &op);
    return jit_find(jit_compile(&m, v), "f");
}

/* ---- Samples: special values, then numbers of all exponents and of the interesting range */

static uint64_t random_state;
static uint64_t random_bits(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}
static double random_unit(void) {
    return (double)(random_bits() >> 11) * 0x1p-53;
}

static const double special[] = {0.0,
                                 -0.0,
                                 1,
                                 -1,
                                 0.5,
                                 -0.5,
                                 2,
                                 -2,
                                 3,
                                 -3,
                                 INFINITY,
                                 -INFINITY,
                                 NAN,
                                 0x1p-149,
                                 -0x1p-149,
                                 0x1p-126,
                                 0x1p-127,
                                 0x1.8p-140,
                                 0x1p-1074,
                                 -0x1p-1074,
                                 0x1p-1022,
                                 0x1.8p-1030,
                                 1e-20,
                                 1e-300,
                                 FLT_MAX,
                                 -FLT_MAX,
                                 DBL_MAX,
                                 -DBL_MAX,
                                 88.72283,
                                 88.72284,
                                 -87.33655,
                                 -103.97,
                                 -103.98,
                                 709.782712893384,
                                 709.7827128933841,
                                 -745.1332191019411,
                                 -745.1332191019412,
                                 -708.3964185322641,
                                 0.9375,
                                 0.93749994,
                                 1.0000001,
                                 0.99999994,
                                 1.4142135,
                                 0.70710677,
                                 1.5707963267948966,
                                 3.141592653589793,
                                 6.283185307179586,
                                 355,
                                 710,
                                 103993,
                                 2.5,
                                 1.5,
                                 -1.5,
                                 7,
                                 -7,
                                 1e10,
                                 -1e10,
                                 0.1};
enum { SPECIALS = sizeof special / sizeof *special };

/* How the samples of an operand are spread: linear in [lo, hi], or everything there is. */
typedef struct Range {
    double lo, hi; /* lo == hi: any bit pattern */
} Range;

static double sample(Range range, bool wide) {
    double x;
    if (range.lo < range.hi) {
        x = range.lo + (range.hi - range.lo) * random_unit();
    } else if (wide) {
        uint64_t bits = random_bits();
        memcpy(&x, &bits, sizeof x);
    } else {
        uint32_t bits = (uint32_t)random_bits();
        float single;
        memcpy(&single, &bits, sizeof single);
        x = (double)single;
    }
    return x;
}

/* Operands of either type in one buffer. */
typedef union Numbers {
    float f[BATCH];
    double d[BATCH];
} Numbers;
static double get(const Numbers *n, bool wide, int i) {
    return wide ? n->d[i] : (double)n->f[i];
}
static void put(Numbers *n, bool wide, int i, double x) {
    if (wide)
        n->d[i] = x;
    else
        n->f[i] = (float)x;
}

/* ---- Errors in ulp against MPFR */

typedef int (*Exact)(mpfr_t result, const mpfr_t a, const mpfr_t b);
#define EXACT1(name)                                                                               \
    static int exact_##name(mpfr_t r, const mpfr_t a, const mpfr_t b) {                            \
        (void)b;                                                                                   \
        return mpfr_##name(r, a, MPFR_RNDN);                                                       \
    }
EXACT1(exp)
EXACT1(log) EXACT1(sin) EXACT1(cos) EXACT1(tanh)
    EXACT1(erf) static int exact_pow(mpfr_t r, const mpfr_t a, const mpfr_t b) {
    return mpfr_pow(r, a, b, MPFR_RNDN);
}

typedef struct Reference {
    mpfr_t a, b, exact, error;
} Reference;

/* |got - f(a, b)| in units of the last place of the exact value; infinite for a wrong special. */
static double ulps(Reference *ref, Exact f, bool wide, double a, double b, double got) {
    int digits = wide ? DBL_MANT_DIG : FLT_MANT_DIG;
    long lowest = wide ? -1074 : -149, highest = wide ? DBL_MAX_EXP : FLT_MAX_EXP;
    mpfr_set_d(ref->a, a, MPFR_RNDN);
    mpfr_set_d(ref->b, b, MPFR_RNDN);
    f(ref->exact, ref->a, ref->b);
    if (mpfr_nan_p(ref->exact)) return isnan(got) ? 0 : INFINITY;
    if (isnan(got)) return INFINITY;
    if (mpfr_inf_p(ref->exact)) return got == mpfr_get_d(ref->exact, MPFR_RNDN) ? 0 : INFINITY;
    if (mpfr_zero_p(ref->exact))
        return got == 0 && !signbit(got) == !mpfr_signbit(ref->exact) ? 0 : INFINITY;
    long unit = mpfr_get_exp(ref->exact) - digits;
    if (unit < lowest) unit = lowest;
    if (unit > highest - digits) { /* beyond the largest number: infinity it must be */
        return isinf(got) && signbit(got) == mpfr_signbit(ref->exact) ? 0 : INFINITY;
    }
    if (isinf(got))
        mpfr_set_si_2exp(ref->error, got > 0 ? 1 : -1, highest, MPFR_RNDN);
    else
        mpfr_set_d(ref->error, got, MPFR_RNDN);
    mpfr_sub(ref->error, ref->error, ref->exact, MPFR_RNDN);
    mpfr_mul_2si(ref->error, ref->error, -unit, MPFR_RNDN);
    return fabs(mpfr_get_d(ref->error, MPFR_RNDN));
}

typedef struct Claim {
    Op op;
    Exact exact;
    Range a, b;
    double single, twice; /* bounds in ulp */
} Claim;
#define ANY                                                                                        \
    { 0, 0 }
static const Claim claims[] = {
    {OP_EXP, exact_exp, {-104, 89}, ANY, 1.1, 1.1},
    {OP_EXP, exact_exp, {-1, 1}, ANY, 1.1, 1.1},
    {OP_EXP, exact_exp, {-746, 710}, ANY, 1.1, 1.1},
    {OP_EXP, exact_exp, ANY, ANY, 1.1, 1.1},
    {OP_LOG, exact_log, {0, 2}, ANY, 0.9, 0.9},
    {OP_LOG, exact_log, {0.9, 1.1}, ANY, 0.9, 0.9},
    {OP_LOG, exact_log, ANY, ANY, 0.9, 0.9},
    {OP_TANH, exact_tanh, {-1, 1}, ANY, 1.6, 2},
    {OP_TANH, exact_tanh, {-11, 11}, ANY, 1.6, 2},
    {OP_TANH, exact_tanh, {-21, 21}, ANY, 1.6, 2},
    {OP_TANH, exact_tanh, ANY, ANY, 1.6, 2},
    {OP_ERF, exact_erf, {-1.2, 1.2}, ANY, 1, 1.1},
    {OP_ERF, exact_erf, {-6, 6}, ANY, 1, 1.1},
    {OP_ERF, exact_erf, ANY, ANY, 1, 1.1},
    {OP_SIN, exact_sin, {-7, 7}, ANY, 1.6, 1.6},
    {OP_SIN, exact_sin, {-1e5, 1e5}, ANY, 1.6, 1.6},
    {OP_SIN, exact_sin, {-1e6, 1e6}, ANY, 1.6, 1.6},
    {OP_COS, exact_cos, {-7, 7}, ANY, 1.6, 1.6},
    {OP_COS, exact_cos, {-1e5, 1e5}, ANY, 1.6, 1.6},
    {OP_COS, exact_cos, {-1e6, 1e6}, ANY, 1.6, 1.6},
    {OP_POW, exact_pow, {0, 4}, {-8, 8}, 1.25, 1.25},
    {OP_POW, exact_pow, {0.5, 2}, {-150, 150}, 1.25, 1.25},
    {OP_POW, exact_pow, {0.99, 1.01}, {-70000, 70000}, 1.25, 1.25},
    {OP_POW, exact_pow, {0, 1e4}, {-80, 80}, 1.25, 1.25},
    {OP_POW, exact_pow, ANY, {-2, 2}, 1.25, 1.25},
    {OP_POW, exact_pow, ANY, ANY, 1.25, 1.25},
};
enum { CLAIMS = sizeof claims / sizeof *claims };

static Numbers in[2], out;

/* Circular functions promise no more than a number in [-1, 1] for large arguments. */
static bool promised(const Claim *claim, double a) {
    return (claim->op != OP_SIN && claim->op != OP_COS) || fabs(a) <= 1e6;
}

static double worst_error(const Claim *claim, bool wide, Loop loop, int batches, double *at,
                          double *by) {
    Reference ref;
    mpfr_inits2(120, ref.a, ref.b, ref.exact, ref.error, (mpfr_ptr)0);
    double worst = -1;
    for (int batch = 0; batch < batches; batch++) {
        for (int i = 0; i < BATCH; i++) {
            bool pair = batch == 0 && i < SPECIALS * SPECIALS && claim->exact == exact_pow;
            double a = sample(claim->a, wide), b = sample(claim->b, wide);
            if (pair)
                a = special[i / SPECIALS], b = special[i % SPECIALS];
            else if (batch == 0 && i < SPECIALS)
                a = special[i];
            else if (claim->exact == exact_pow && i % 8 == 0)
                b = nearbyint(b);
            else if (!promised(claim, 1e7) && i % 4 == 0) /* where sine or cosine nearly vanish */
                a = nearbyint(a / 1.5707963267948966) * 1.5707963267948966;
            put(&in[0], wide, i, a);
            put(&in[1], wide, i, b);
        }
        loop(&in[0], &in[1], &in[0], &out, BATCH / LANES);
        for (int i = 0; i < BATCH; i++) {
            double a = get(&in[0], wide, i), b = get(&in[1], wide, i);
            double got = get(&out, wide, i);
            if (!promised(claim, a)) {
                cr_assert(isfinite(a) ? fabs(got) <= 1 : isnan(got));
                continue;
            }
            double error = ulps(&ref, claim->exact, wide, a, b, got);
            if (error > worst) worst = error, *at = a, *by = b;
        }
    }
    mpfr_clears(ref.a, ref.b, ref.exact, ref.error, (mpfr_ptr)0);
    return worst;
}

static void check_errors(bool wide) {
    int batches = getenv("GRADUS_LONG") ? 100 : 2;
    random_state = 1;
    for (int i = 0; i < CLAIMS; i++) {
        const Claim *claim = &claims[i];
        Loop loop = compile_op(claim->op, wide, LANES, &variants[0]);
        double a = 0, b = 0, bound = wide ? claim->twice : claim->single;
        double worst = worst_error(claim, wide, loop, batches, &a, &b);
        if (getenv("GRADUS_REPORT"))
            fprintf(stderr, "%-5s %s [%g, %g]: %.3f ulp at %a, %a\n", op_info[claim->op].text,
                    wide ? "f64" : "f32", claim->a.lo, claim->a.hi, worst, a, b);
        cr_expect(worst <= bound, "%s(%a, %a) is off by %g ulp, more than %g",
                  op_info[claim->op].text, a, b, worst, bound);
    }
}

Test(mathops, float_functions_keep_their_error_bounds) {
    check_errors(false);
}
Test(mathops, double_functions_keep_their_error_bounds) {
    check_errors(true);
}
