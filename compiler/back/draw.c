/* SPDX-License-Identifier: MIT
 * Philox4x32-10 (Salmon et al., SC11) and its words as uniform, normal and truth-valued draws.
 * Needs mathops and a little-endian target. Does not choose counters: callers number elements.
 *
 * Key = (seed low, seed high), counter = (element / span, number, presentation, place).
 *   uniform    word element mod 4:  ((w >> 9) + 1/2) 2^-23
 *   bernoulli  16-bit field element mod 8, low halves first:  (f + 1/2) 2^-16 < p
 *   normal     Wichura's AS241 PPND16 of the uniform                                         */
#include "draw.h"
#include "mathops_build.h"

enum { ROUNDS = 10, FULL = 16 };

unsigned draw_span(Draw kind) {
    return kind == DRAW_BERNOULLI ? 8 : 4;
}

/* ---- Philox. Lanes are computed in 64-bit halves: vectors of i64 that hold the even lanes or the
 * odd lanes of a vector of i32 in their low 32 bits and rubbish above. A product of two low parts
 * is then one instruction (vpmuludq, umull), its high word one shift, and nothing is masked: xor
 * keeps rubbish above, and the next product ignores it. */

typedef struct Stream {
    Value c[4];
} Stream;

typedef struct Philox {
    LLVMBuilderRef b;
    const MathEmit *m;
    unsigned lanes, halves; /* of the i32 vectors (0: scalar); 2 halves if even, else 1 */
    LLVMTypeRef narrow, wide, i64;
} Philox;

static Philox philox_of(const MathEmit *m, unsigned lanes) {
    LLVMTypeRef i64 = LLVMInt64TypeInContext(m->context);
    unsigned halves = lanes > 0 && lanes % 2 == 0 ? 2 : 1;
    return (Philox){m->builder,
                    m,
                    lanes,
                    halves,
                    math_with_lanes(LLVMInt32TypeInContext(m->context), lanes),
                    math_with_lanes(i64, lanes / halves),
                    i64};
}

/* Half `half` of a counter word; a scalar stands for all lanes. */
static Value widen(const Philox *p, Value word, unsigned half) {
    if (math_lanes(LLVMTypeOf(word)) == 0)
        return math_splat(p->m, p->wide, LLVMBuildZExt(p->b, word, p->i64, ""));
    if (p->halves == 1) return LLVMBuildZExt(p->b, word, p->wide, "");
    Value pair = LLVMBuildBitCast(p->b, word, p->wide, "");
    return half == 0 ? pair : LLVMBuildLShr(p->b, pair, math_integer(p->wide, 32), "");
}

static Value join(const Philox *p, Value even, Value odd) {
    if (p->halves == 1) return LLVMBuildTrunc(p->b, even, p->narrow, "");
    Value low = LLVMBuildAnd(p->b, even, math_integer(p->wide, 0xffffffff), "");
    Value high = LLVMBuildShl(p->b, odd, math_integer(p->wide, 32), "");
    return LLVMBuildBitCast(p->b, LLVMBuildOr(p->b, low, high, ""), p->narrow, "");
}

static Stream philox_round(const Philox *p, const Stream *s, Value key0, Value key1) {
    Value mask = math_integer(p->wide, 0xffffffff), shift = math_integer(p->wide, 32);
    Value low0 = LLVMBuildAnd(p->b, s->c[0], mask, ""),
          low2 = LLVMBuildAnd(p->b, s->c[2], mask, "");
    Value product0 = LLVMBuildMul(p->b, low0, math_integer(p->wide, 0xD2511F53), "");
    Value product1 = LLVMBuildMul(p->b, low2, math_integer(p->wide, 0xCD9E8D57), "");
    Value high0 = LLVMBuildLShr(p->b, product0, shift, "");
    Value high1 = LLVMBuildLShr(p->b, product1, shift, "");
    Value first = LLVMBuildXor(p->b, LLVMBuildXor(p->b, s->c[1], key0, ""), high1, "");
    Value third = LLVMBuildXor(p->b, LLVMBuildXor(p->b, s->c[3], key1, ""), high0, "");
    return (Stream){{first, product1, third, product0}};
}

static unsigned widest(unsigned lanes, Value x) {
    unsigned own = x == NULL ? 0 : math_lanes(LLVMTypeOf(x));
    return own > lanes ? own : lanes;
}

static DrawBlock rounds(const MathEmit *m, Value seed, const Value word[4], unsigned lanes) {
    Philox p = philox_of(m, lanes);
    Stream half[2];
    for (unsigned h = 0; h < p.halves; h++)
        for (int i = 0; i < 4; i++)
            half[h].c[i] = widen(&p, word[i], h);
    Value key0 = math_splat(m, p.wide, seed);
    Value high = LLVMBuildLShr(m->builder, seed, LLVMConstInt(p.i64, 32, 0), "");
    Value key1 = math_splat(m, p.wide, high);
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned h = 0; h < p.halves; h++)
            half[h] = philox_round(&p, &half[h], key0, key1);
        key0 = LLVMBuildAdd(m->builder, key0, math_integer(p.wide, 0x9E3779B9), "");
        key1 = LLVMBuildAdd(m->builder, key1, math_integer(p.wide, 0xBB67AE85), "");
    }
    DrawBlock block;
    for (int i = 0; i < 4; i++)
        block.word[i] = join(&p, half[0].c[i], half[p.halves - 1].c[i]);
    return block;
}

/* The generator for full lanes is one function of the module: it is long, and compiled once. */
static Value generator(const MathEmit *m, LLVMTypeRef *type) {
    LLVMTypeRef lanes = math_with_lanes(LLVMInt32TypeInContext(m->context), FULL),
                i64 = LLVMInt64TypeInContext(m->context);
    LLVMTypeRef words[4] = {lanes, lanes, lanes, lanes},
                taken[5] = {i64, lanes, lanes, lanes, lanes};
    LLVMTypeRef result = LLVMStructTypeInContext(m->context, words, 4, false);
    *type = LLVMFunctionType(result, taken, 5, false);
    Value function = LLVMGetNamedFunction(m->module, "philox");
    if (function) return function;
    function = LLVMAddFunction(m->module, "philox", *type);
    LLVMSetLinkage(function, LLVMInternalLinkage);
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(m->context);
    LLVMPositionBuilderAtEnd(builder, LLVMAppendBasicBlockInContext(m->context, function, "entry"));
    MathEmit inside = {m->context, m->module, builder};
    Value word[4];
    for (unsigned i = 0; i < 4; i++)
        word[i] = LLVMGetParam(function, i + 1);
    DrawBlock block = rounds(&inside, LLVMGetParam(function, 0), word, FULL);
    LLVMBuildAggregateRet(builder, block.word, 4);
    LLVMDisposeBuilder(builder);
    return function;
}

DrawBlock draw_block(const MathEmit *m, LLVMValueRef seed, uint32_t place, LLVMValueRef counter,
                     LLVMValueRef number, LLVMValueRef presentation) {
    Value fourth = LLVMConstInt(LLVMInt32TypeInContext(m->context), place, 0);
    Value word[4] = {counter, number, presentation, fourth};
    unsigned lanes = 0;
    for (int i = 0; i < 4; i++)
        lanes = widest(lanes, word[i]);
    if (lanes != FULL) return rounds(m, seed, word, lanes);
    LLVMTypeRef type;
    Value function = generator(m, &type), arg[5] = {seed};
    LLVMTypeRef full = math_with_lanes(LLVMInt32TypeInContext(m->context), FULL);
    for (int i = 0; i < 4; i++)
        arg[i + 1] = math_splat(m, full, word[i]);
    Value words = LLVMBuildCall2(m->builder, type, function, arg, 5, "");
    DrawBlock block;
    for (unsigned i = 0; i < 4; i++)
        block.word[i] = LLVMBuildExtractValue(m->builder, words, i, "");
    return block;
}

/* ---- Words to numbers */

/* The word at `at` (0 .. 3), a constant, a scalar or a vector. */
static Value choose_word(const MathEmit *m, const DrawBlock *block, Value at) {
    if (LLVMIsAConstantInt(at)) return block->word[LLVMConstIntGetZExtValue(at) & 3];
    LLVMTypeRef type = LLVMTypeOf(at);
    Value zero = math_integer(type, 0), word[2];
    Value odd = LLVMBuildAnd(m->builder, at, math_integer(type, 1), "");
    Value upper = LLVMBuildAnd(m->builder, at, math_integer(type, 2), "");
    odd = LLVMBuildICmp(m->builder, LLVMIntNE, odd, zero, "");
    upper = LLVMBuildICmp(m->builder, LLVMIntNE, upper, zero, "");
    for (int i = 0; i < 2; i++) {
        word[i] = LLVMBuildSelect(m->builder, odd, block->word[2 * i + 1], block->word[2 * i], "");
    }
    return LLVMBuildSelect(m->builder, upper, word[1], word[0], "");
}

/* Bits of a non-negative i32 (not above 2^23), as (x + 1/2) 2^-bits; exact. */
static Value fraction(const Gen *g, Value x, int bits) {
    Value unit = lit(g, 1.0 / (double)(1u << bits));
    Value half = lit(g, 0.5 / (double)(1u << bits));
    return mad(g, LLVMBuildSIToFP(g->b, x, g->real, ""), unit, half);
}

static Value uniform(const Gen *g, const DrawBlock *block, Value position) {
    Value word = choose_word(g->m, block, position);
    return fraction(g, LLVMBuildLShr(g->b, word, math_integer(LLVMTypeOf(word), 9), ""), 23);
}

static Value bernoulli(const Gen *g, const DrawBlock *block, Value position, Value p) {
    LLVMTypeRef type = LLVMTypeOf(position);
    Value one = math_integer(type, 1);
    Value word = choose_word(g->m, block, LLVMBuildLShr(g->b, position, one, ""));
    Value shift =
        LLVMBuildShl(g->b, LLVMBuildAnd(g->b, position, one, ""), math_integer(type, 4), "");
    LLVMTypeRef shape = LLVMTypeOf(word);
    word = LLVMBuildLShr(g->b, word, math_splat(g->m, shape, shift), "");
    Value field = LLVMBuildAnd(g->b, word, math_integer(shape, 0xffff), "");
    Value hit = less(g, fraction(g, field, 16), math_splat(g->m, g->real, p));
    return math_number(g->m, g->real, hit);
}

/* M. J. Wichura, AS241 PPND16, Applied Statistics 37 (1988). A uniform draw is no nearer to 0 or 1
 * than 2^-24, where sqrt(-log) is 4.08: the third pair of polynomials, for 5 and above, is not
 * needed. */
static const Poly center_over = {8,
                                 {3.3871328727963666080e0, 1.3314166789178437745e2,
                                  1.9715909503065514427e3, 1.3731693765509461125e4,
                                  4.5921953931549871457e4, 6.7265770927008700853e4,
                                  3.3430575583588128105e4, 2.5090809287301226727e3}};
static const Poly center_under = {8,
                                  {1, 4.2313330701600911252e1, 6.8718700749205790830e2,
                                   5.3941960214247511077e3, 2.1213794301586595867e4,
                                   3.9307895800092710610e4, 2.8729085735721942674e4,
                                   5.2264952788528545610e3}};
static const Poly tail_over = {8,
                               {1.42343711074968357734e0, 4.63033784615654529590e0,
                                5.76949722146069140550e0, 3.64784832476320460504e0,
                                1.27045825245236838258e0, 2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4}};
static const Poly tail_under = {8,
                                {1, 2.05319162663775882187e0, 1.67638483018380384940e0,
                                 6.89767334985100004550e-1, 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9}};

static Value normal(const Gen *g, Value u) {
    Value zero = lit(g, 0), half = lit(g, 0.5);
    Value q = sub(g, u, half);
    Value center = LLVMBuildFCmp(g->b, LLVMRealOLE, magnitude(g, q), lit(g, 0.425), "");
    Value r = sub(g, lit(g, 0.180625), mul(g, q, q));
    Value near = pick(g, less(g, q, zero), u, sub(g, lit(g, 1), u));
    Value logarithm = neg(g, math_log(g->m, near, NULL, NULL));
    Value root = sub(g, gen_intrinsic(g, "llvm.sqrt", 1, logarithm, NULL, NULL), lit(g, 1.6));
    Value center_value = mul(g, q, gen_poly(g, r, &center_over));
    Value tail_value = with_sign(g, gen_poly(g, root, &tail_over), q);
    Value over = pick(g, center, center_value, tail_value);
    Value under = pick(g, center, gen_poly(g, r, &center_under), gen_poly(g, root, &tail_under));
    return quo(g, over, under);
}

LLVMValueRef draw_value(const MathEmit *m, Draw kind, LLVMTypeRef type, const DrawBlock *block,
                        LLVMValueRef position, LLVMValueRef p) {
    unsigned lanes = widest(widest(math_lanes(type), block->word[0]), position);
    if (kind == DRAW_BERNOULLI) lanes = widest(lanes, p);
    if (math_lanes(type) == 0) type = math_with_lanes(type, lanes);
    Gen g = gen_of(m, type);
    DrawBlock full;
    LLVMTypeRef shape = math_with_lanes(LLVMInt32TypeInContext(m->context), lanes);
    for (int i = 0; i < 4; i++)
        full.word[i] = math_splat(m, shape, block->word[i]);
    switch (kind) {
    case DRAW_UNIFORM:
        return uniform(&g, &full, position);
    case DRAW_NORMAL:
        return normal(&g, uniform(&g, &full, position));
    case DRAW_BERNOULLI:
        return bernoulli(&g, &full, position, p);
    }
    bug("draw of unknown kind %d", (int)kind);
}

LLVMValueRef draw_emit(const MathEmit *m, Draw kind, LLVMTypeRef type, LLVMValueRef seed,
                       uint32_t place, LLVMValueRef element, LLVMValueRef number,
                       LLVMValueRef presentation, LLVMValueRef p) {
    LLVMTypeRef whole = LLVMTypeOf(element);
    unsigned span = draw_span(kind);
    Value shift = math_integer(whole, span == 8 ? 3 : 2);
    Value counter = LLVMBuildLShr(m->builder, element, shift, "");
    Value position = LLVMBuildAnd(m->builder, element, math_integer(whole, span - 1), "");
    DrawBlock block = draw_block(m, seed, place, counter, number, presentation);
    return draw_value(m, kind, type, &block, position, p);
}
