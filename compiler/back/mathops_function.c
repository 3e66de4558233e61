/* SPDX-License-Identifier: MIT
 * exp, log, pow, tanh, erf, sin and cos as straight-line IR: no branch, no table, no call.
 * Needs the constants of mathops_form.c. Division and fma are the IEEE ones, so that every machine
 * gives the same bits; conversions to integers go through the bits of x + magic because they
 * are undefined in IR for values out of range.
 *
 * Largest error that tests/unit/mathops.c finds against MPFR, in ulp (float, double):
 *   exp 1.02 0.97   log 0.84 0.80   tanh 1.53 1.88   erf 0.93 0.99   pow 1.18 1.14
 *   sin, cos 1.53 1.52 up to |x| = 1e6; 0, infinities, NaN and denormals as in C11 annex F. */
#include "mathops_build.h"
#include <math.h>

/* ---- Exponentials: x = k ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite) */

typedef struct Reduced {
    Value k; /* integer, plus the bits of the magic number, whose low bits are zero */
    Value r;
} Reduced;

static Reduced reduce_by_ln2(const Gen *g, Value x) {
    Value magic = lit(g, g->form->magic);
    Value shifted = mad(g, x, lit(g, 1.4426950408889634), magic);
    Value k = neg(g, sub(g, shifted, magic));
    Value r = mad(g, k, lit(g, g->form->ln2_hi), x);
    return (Reduced){to_bits(g, shifted), mad(g, k, lit(g, g->form->ln2_lo), r)};
}

static uint64_t magic_bits(const Gen *g) {
    uint64_t exponent = (uint64_t)(g->form->bias + g->form->mantissa);
    return (exponent << g->form->mantissa) | (uint64_t)1 << (g->form->mantissa - 1);
}

/* 2^k of a biased exponent field. */
static Value power_of_field(const Gen *g, Value field) {
    return from_bits(g, left(g, field, g->form->mantissa));
}

/* e^r - 1 = r + r^2 q(r) */
static Value expm1_small(const Gen *g, Value r, const Poly *q) {
    return mad(g, mul(g, r, r), gen_poly(g, r, q), r);
}

/* e^(x + tail), tail NULL or small against x. Two factors make 2^k: either is a normal number, so
 * the last product rounds once, into denormals too, and overflows to infinity by itself. */
static Value exp_core(const Gen *g, Value x, Value tail) {
    const MathForm *form = g->form;
    Value inside = at_least(g, at_most(g, x, form->exp_hi), form->exp_lo);
    Reduced by = reduce_by_ln2(g, inside);
    if (tail != NULL) by.r = add(g, by.r, pick(g, same(g, inside, x), tail, lit(g, 0)));
    Value power = add(g, expm1_small(g, by.r, &form->exp), lit(g, 1));
    Value k = iadd(g, by.k, num(g, 2 * (uint64_t)form->bias - magic_bits(g)));
    Value half = right(g, k, 1);
    power = mul(g, power, power_of_field(g, half));
    return mul(g, power, power_of_field(g, isub(g, k, half)));
}

Value math_exp(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen g = gen_of(m, LLVMTypeOf(a));
    return exp_core(&g, a, NULL);
}

/* tanh x = t / (t + 2), t = e^(2x) - 1; the quotient takes one step of correction, with what t + 2
 * rounds off, which brings the error from 2.3 ulp below 1.9. */
Value math_tanh(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen gen = gen_of(m, LLVMTypeOf(a)), *g = &gen;
    Value x = at_most(g, magnitude(g, a), g->form->tanh_one);
    Reduced by = reduce_by_ln2(g, add(g, x, x));
    Value scale = power_of_field(g, iadd(g, by.k, num(g, (uint64_t)g->form->bias)));
    Value t = mad(g, scale, expm1_small(g, by.r, &g->form->expm1), sub(g, scale, lit(g, 1)));
    Value two = lit(g, 2), under = add(g, t, two);
    Value lost = add(g, sub(g, two, under), t); /* exact for t < 2; above, too small to matter */
    Value inverse = quo(g, lit(g, 1), under);
    Value result = mul(g, t, inverse);
    Value rest = mad(g, neg(g, result), lost, mad(g, neg(g, result), under, t));
    return with_sign(g, mad(g, rest, inverse, result), a);
}

/* erf x = x + x P(x^2) up to the split, 1 - e^Q(x - split) above. */
Value math_erf(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen gen = gen_of(m, LLVMTypeOf(a)), *g = &gen;
    const MathForm *form = g->form;
    Value x = at_most(g, magnitude(g, a), form->erf_one);
    Value small = mad(g, x, gen_poly(g, mul(g, x, x), &form->erf_small), x);
    Value q = gen_poly(g, sub(g, x, lit(g, form->erf_split)), &form->erf_large);
    Value large = sub(g, lit(g, 1), exp_core(g, q, NULL));
    return with_sign(g, pick(g, less(g, x, lit(g, form->erf_split)), small, large), a);
}

/* ---- Logarithms: x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) */

typedef struct Split {
    Value k, f; /* both floating point */
} Split;

/* For x > 0, finite; others give finite nonsense. */
static Split split_exponent(const Gen *g, Value x) {
    const MathForm *form = g->form;
    uint64_t one = (uint64_t)form->bias << form->mantissa;
    Value tiny = less(g, x, lit(g, form->smallest));
    x = pick(g, tiny, mul(g, x, lit(g, ldexp(1, form->rescale))), x);
    Value bits = iadd(g, to_bits(g, x), num(g, one - form->root_half));
    /* The exponent, still biased, becomes a number through the magic number's low bits. */
    Value field = iadd(g, right(g, bits, form->mantissa), num(g, magic_bits(g)));
    Value bias = pick(g, tiny, lit(g, form->magic + form->bias + form->rescale),
                      lit(g, form->magic + form->bias));
    Value fraction = both(g, bits, num(g, ((uint64_t)1 << form->mantissa) - 1));
    Value scaled = from_bits(g, iadd(g, fraction, num(g, form->root_half)));
    return (Split){sub(g, from_bits(g, field), bias), sub(g, scaled, lit(g, 1))};
}

/* log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))), s = f / (2 + f), after fdlibm e_log.c. */
Value math_log(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen gen = gen_of(m, LLVMTypeOf(a)), *g = &gen;
    Split x = split_exponent(g, a);
    Value s = quo(g, x.f, add(g, x.f, lit(g, 2)));
    Value z = mul(g, s, s);
    Value r = mul(g, z, gen_poly(g, z, &g->form->log));
    Value half = mul(g, mul(g, x.f, x.f), lit(g, 0.5));
    Value low = mad(g, s, add(g, half, r), mul(g, x.k, lit(g, g->form->ln2_lo)));
    Value high = sub(g, x.f, sub(g, half, low));
    Value result = mad(g, x.k, lit(g, g->form->ln2_hi), high);
    /* Infinity and NaN give themselves, 0 gives -infinity, what is below NaN. */
    result = pick(g, less(g, a, lit(g, INFINITY)), result, a);
    Value pole = pick(g, same(g, a, lit(g, 0)), lit(g, -INFINITY), lit(g, NAN));
    return pick(g, less(g, lit(g, 0), a), result, pick(g, less(g, a, lit(g, 1)), pole, a));
}

/* An unevaluated sum of two numbers, |lo| <= ulp(hi) / 2. Error-free steps after Dekker (1971). */
typedef struct Pair {
    Value hi, lo;
} Pair;

/* a + b exactly, where |a| >= |b| or a = 0. */
static Pair sum_exactly(const Gen *g, Value a, Value b) {
    Value hi = add(g, a, b);
    return (Pair){hi, add(g, sub(g, a, hi), b)};
}

static Pair product_exactly(const Gen *g, Value a, Value b) {
    Value hi = mul(g, a, b);
    return (Pair){hi, mad(g, a, b, neg(g, hi))};
}

static Pair product(const Gen *g, Pair a, Pair b) {
    Pair p = product_exactly(g, a.hi, b.hi);
    p.lo = add(g, p.lo, mad(g, a.hi, b.lo, mul(g, a.lo, b.hi)));
    return p;
}

/* log x to about half as many bits again as the type has, for x > 0, finite. */
static Pair log_pair(const Gen *g, Value a) {
    const MathForm *form = g->form;
    Split x = split_exponent(g, a);
    Value one = lit(g, 1);
    Pair divisor = sum_exactly(g, one, add(g, x.f, one)); /* 2 + f; 1 + f itself is exact */
    Value inverse = quo(g, one, divisor.hi);
    Pair s = {.hi = mul(g, x.f, inverse)};
    Value rest = mad(g, neg(g, s.hi), divisor.hi, x.f);
    s.lo = mul(g, mad(g, neg(g, s.hi), divisor.lo, rest), inverse);
    /* log(1 + f) = 2 s + s^3 (2/3 + s^2 tail(s^2)) */
    Pair z = product(g, s, s);
    Pair third =
        sum_exactly(g, lit(g, form->third_hi), mul(g, z.hi, gen_poly(g, z.hi, &form->log_tail)));
    third.lo = add(g, third.lo, lit(g, form->third_lo));
    Pair cubic = product(g, s, product(g, z, third));
    Pair log1 = sum_exactly(g, add(g, s.hi, s.hi), cubic.hi);
    log1.lo = add(g, log1.lo, add(g, add(g, s.lo, s.lo), cubic.lo));
    Pair sum = sum_exactly(g, mul(g, x.k, lit(g, form->ln2_hi)), log1.hi);
    return sum_exactly(g, sum.hi, add(g, sum.lo, mad(g, x.k, lit(g, form->ln2_lo), log1.lo)));
}

/* x^y = e^(y log |x|), then the cases of C11 F.10.4.4. */
Value math_pow(const MathEmit *m, Value x, Value y, Value c) {
    (void)c;
    Gen gen = gen_of(m, LLVMTypeOf(x)), *g = &gen;
    Value zero = lit(g, 0), one = lit(g, 1), infinite = lit(g, INFINITY);
    Value size = magnitude(g, x);
    Value regular = both(g, less(g, zero, size), less(g, size, infinite));
    Pair log = log_pair(g, size);
    Value pole = pick(g, same(g, size, zero), lit(g, -INFINITY), size); /* NaN stays */
    log.hi = pick(g, regular, log.hi, pole);
    Pair power = product_exactly(g, y, log.hi);
    power.lo = add(g, power.lo, mul(g, y, log.lo));
    Value result = exp_core(g, power.hi, power.lo);

    Value half = mul(g, y, lit(g, 0.5));
    Value integer = same(g, math_floor(m, y, NULL, NULL), y);
    Value even = same(g, math_floor(m, half, NULL, NULL), half);
    Value odd = both(g, integer, LLVMBuildNot(g->b, even, ""));
    result = pick(g, odd, with_sign(g, result, x), result);
    Value undefined = both(g, both(g, less(g, x, zero), less(g, size, infinite)),
                           LLVMBuildNot(g->b, integer, ""));
    result = pick(g, undefined, lit(g, NAN), result);
    /* 1 to any power, anything to the power 0, and -1 to an infinite one, are 1. */
    Value minus = both(g, same(g, size, one), same(g, magnitude(g, y), infinite));
    Value unity = either(g, either(g, same(g, x, one), same(g, y, zero)), minus);
    return pick(g, unity, one, result);
}

/* ---- Circular functions: |x| = k pi/2 + r. With fma the three full-length pieces of pi/2 give r
 * to the last bit or so for k < 2^(mantissa - 2), that is |x| < 3e6 (float), 3.5e15 (double)…
 * Beyond, the result is a number in [-1, 1] without meaning. */

static Value circular(const Gen *g, Value a, bool cosine) {
    const MathForm *form = g->form;
    Value x = magnitude(g, a), magic = lit(g, form->magic);
    Value shifted = mad(g, x, lit(g, 0.63661977236758134), magic);
    Value k = neg(g, sub(g, shifted, magic));
    Value r = x;
    for (int i = 0; i < 3; i++)
        r = mad(g, k, lit(g, form->half_pi[i]), r);
    r = at_least(g, at_most(g, r, 1), -1);

    Value z = mul(g, r, r), half = mul(g, z, lit(g, 0.5)), one = lit(g, 1);
    Value sine = mad(g, mul(g, r, z), gen_poly(g, z, &form->sin), r);
    Value near = sub(g, one, half); /* what it rounds off comes back with the next term */
    Value lost = sub(g, sub(g, one, near), half);
    Value cos = add(g, near, mad(g, mul(g, z, z), gen_poly(g, z, &form->cos), lost));

    Value quarter = to_bits(g, shifted);
    if (cosine) quarter = iadd(g, quarter, num(g, 1));
    Value odd = LLVMBuildICmp(g->b, LLVMIntNE, both(g, quarter, num(g, 1)), num(g, 0), "");
    Value flip = left(g, both(g, quarter, num(g, 2)), form->bits - 2);
    if (!cosine) {
        Value sign = both(g, to_bits(g, a), num(g, (uint64_t)1 << (form->bits - 1)));
        flip = LLVMBuildXor(g->b, flip, sign, "");
    }
    return from_bits(g, LLVMBuildXor(g->b, to_bits(g, pick(g, odd, cos, sine)), flip, ""));
}

Value math_sin(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen g = gen_of(m, LLVMTypeOf(a));
    return circular(&g, a, false);
}

Value math_cos(const MathEmit *m, Value a, Value b, Value c) {
    (void)b, (void)c;
    Gen g = gen_of(m, LLVMTypeOf(a));
    return circular(&g, a, true);
}
