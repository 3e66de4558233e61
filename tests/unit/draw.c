/* SPDX-License-Identifier: MIT
 * The emitted draws: Philox words against Random123 and its known answers, the three kinds against
 * their definitions, the same bits on every machine and in every way of asking.
 * Needs back's draw, LLVM and Random123. Does not test statistics: the generator is known. */
#include "draw.h"
#include "math_jit.h"
#include <Random123/philox.h>
#include <math.h>

enum { LANES = 16, COUNT = 4096 };

/* ---- What is asked, and how */

typedef struct Request {
    uint64_t seed;
    uint32_t place;
    int word;  /* draw_block: which word */
    Draw kind; /* draws */
    double p;
    bool wide;        /* double */
    int uniform_mask; /* operands (element, number, presentation) that are one scalar for all lanes
                       */
    int constant;     /* element if >= 0: a constant, and draw_value on a block is used */
} Request;

static uint32_t in[3][COUNT];

static LLVMValueRef scalar_of(const MathEmit *m, LLVMValueRef x) {
    if (math_lanes(LLVMTypeOf(x)) == 0) return x;
    LLVMValueRef first = LLVMConstInt(LLVMInt32TypeInContext(m->context), 0, 0);
    return LLVMBuildExtractElement(m->builder, x, first, "");
}

static LLVMValueRef draw_body(const MathEmit *m, LLVMTypeRef type, LLVMValueRef *operand,
                              const void *context) {
    const Request *r = context;
    LLVMValueRef seed = LLVMConstInt(LLVMInt64TypeInContext(m->context), r->seed, 0), x[3];
    for (int k = 0; k < 3; k++)
        x[k] = r->uniform_mask >> k & 1 ? scalar_of(m, operand[k]) : operand[k];
    if (r->word >= 0)
        return math_splat(m, type, draw_block(m, seed, r->place, x[0], x[1], x[2]).word[r->word]);
    LLVMTypeRef real =
        r->wide ? LLVMDoubleTypeInContext(m->context) : LLVMFloatTypeInContext(m->context);
    LLVMValueRef p = LLVMConstReal(real, r->p), value;
    if (r->constant < 0) {
        value = draw_emit(m, r->kind, real, seed, r->place, x[0], x[1], x[2], p);
    } else {
        LLVMTypeRef i32 = LLVMInt32TypeInContext(m->context);
        unsigned span = draw_span(r->kind), element = (unsigned)r->constant;
        LLVMValueRef counter = LLVMConstInt(i32, element / span, 0);
        DrawBlock block = draw_block(m, seed, r->place, counter, x[1], x[2]);
        LLVMValueRef position = LLVMConstInt(i32, element % span, 0);
        value = draw_value(m, r->kind, real, &block, position, p);
    }
    return math_splat(m, type, value);
}

static void run(const Request *r, unsigned lanes, const Variant *v, void *out) {
    if (!jit_runs_here(v)) v = &variants[0];
    MathEmit m = jit_module();
    LLVMTypeRef i32 = LLVMInt32TypeInContext(m.context);
    LLVMTypeRef result = r->word >= 0 ? i32
                         : r->wide    ? LLVMDoubleTypeInContext(m.context)
                                      : LLVMFloatTypeInContext(m.context);
    jit_loop(&m, "f", math_with_lanes(i32, lanes), math_with_lanes(result, lanes), draw_body, r);
    LLVMOrcLLJITRef jit = jit_compile(&m, v);
    jit_find(jit, "f")(in[0], in[1], in[2], out, COUNT / (lanes ? lanes : 1));
    jit_check(LLVMOrcDisposeLLJIT(jit));
}

static void fill(uint32_t below) {
    uint64_t state = 3;
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            in[k][i] = (uint32_t)(state >> 32) % (k == 0 ? below : UINT32_MAX);
        }
    }
}

/* The operand as lane i sees it. */
static uint32_t seen(const Request *r, int k, int i) {
    if (k == 0 && r->constant >= 0) return (uint32_t)r->constant;
    return in[k][r->uniform_mask >> k & 1 ? i - i % LANES : i];
}

static philox4x32_ctr_t philox(const Request *r, uint32_t counter, int i) {
    philox4x32_ctr_t c = {{counter, seen(r, 1, i), seen(r, 2, i), r->place}};
    philox4x32_key_t key = {{(uint32_t)r->seed, (uint32_t)(r->seed >> 32)}};
    return philox4x32_R(10, c, key);
}

/* ---- Words */

/* Random123's kat_vectors for philox4x32-10. */
Test(draw, philox_known_answers) {
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t word[4];
    } known[] = {{{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                 {{~0u, ~0u, ~0u, ~0u}, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                 {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                  0x299f31d0a4093822,
                  {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    static uint32_t out[COUNT];
    for (int i = 0; i < LENGTH(known); i++) {
        for (int k = 0; k < 3; k++)
            in[k][0] = known[i].counter[k];
        for (int word = 0; word < 4; word++) {
            Request r = {known[i].key, known[i].counter[3], .word = word};
            run(&r, 0, &variants[0], out);
            cr_expect_eq(out[0], known[i].word[word], "vector %d word %d: %x", i, word, out[0]);
        }
    }
}

Test(draw, words_are_philox_in_every_shape) {
    static const unsigned widths[] = {0, 1, 4, 8, 16};
    static uint32_t out[COUNT];
    fill(UINT32_MAX);
    for (int mask = 0; mask < 8; mask++) {
        for (int w = 0; w < LENGTH(widths); w++) {
            if (mask != 0 && widths[w] != LANES) continue;
            Request r = {0x0123456789abcdef, 0xfedcba98, .word = (mask + w) % 4,
                         .uniform_mask = mask, .constant = -1};
            run(&r, widths[w], &variants[mask % LENGTH(variants)], out);
            for (int i = 0; i < COUNT; i++) {
                uint32_t want = philox(&r, seen(&r, 0, i), i).v[r.word];
                cr_assert_eq(out[i], want, "width %u, mask %d, lane %d", widths[w], mask, i);
            }
        }
    }
}

/* ---- Draws */

static double uniform_of(const Request *r, int i) {
    uint32_t element = seen(r, 0, i);
    return ((philox(r, element / 4, i).v[element % 4] >> 9) + 0.5) * 0x1p-23;
}

static double bernoulli_of(const Request *r, int i) {
    uint32_t element = seen(r, 0, i), field = element % 8;
    uint32_t bits = philox(r, element / 8, i).v[field / 2] >> 16 * (field % 2) & 0xffff;
    return (bits + 0.5) / 65536 < (r->wide ? r->p : (double)(float)r->p);
}

/* How far z is from the normal quantile of u: a Newton step of Phi(z) - u with the C library. */
static double quantile_error(double z, double u) {
    double tail = z < 0 ? 0.5 * erfc(-z * M_SQRT1_2) - u : (1 - u) - 0.5 * erfc(z * M_SQRT1_2);
    return fabs(tail / (exp(-0.5 * z * z) * 0.39894228040143268));
}

static void check_draws(const Request *r, const Variant *v) {
    static union {
        float f[COUNT];
        double d[COUNT];
    } out;
    run(r, LANES, v, &out);
    double worst = 0;
    for (int i = 0; i < COUNT; i++) {
        double got = r->wide ? out.d[i] : (double)out.f[i];
        if (r->kind == DRAW_UNIFORM) cr_assert_eq(got, uniform_of(r, i), "lane %d", i);
        if (r->kind == DRAW_BERNOULLI) cr_assert_eq(got, bernoulli_of(r, i), "lane %d", i);
        if (r->kind != DRAW_NORMAL) continue;
        double error = quantile_error(got, uniform_of(r, i)) / fabs(got);
        if (error > worst) worst = error;
    }
    /* relative: 1e-15 is what AS241 claims; the check itself adds a few roundings */
    cr_expect(worst < (r->wide ? 1e-14 : 5e-7), "normal draws off by %g", worst);
}

static void check_kind(Draw kind) {
    static const double p[] = {0.5, 0.1, 0.9, 0, 1};
    int n = 0;
    fill(1u << 31);
    for (int wide = 0; wide < 2; wide++) {
        for (int mask = 0; mask < 8; mask++) {
            Request r = {42 + 0x700000000ull * (unsigned)mask,
                         99,
                         -1,
                         kind,
                         p[n % LENGTH(p)],
                         wide,
                         mask,
                         -1};
            check_draws(&r, &variants[n++ % LENGTH(variants)]);
        }
        for (int element = 0; element < 17; element++) {
            Request r = {42, 99, -1, kind, p[n % LENGTH(p)], wide, 0, element};
            check_draws(&r, &variants[n++ % 2]);
        }
    }
}

Test(draw, uniform_is_its_definition) {
    check_kind(DRAW_UNIFORM);
}
Test(draw, bernoulli_is_its_definition) {
    check_kind(DRAW_BERNOULLI);
}
Test(draw, normal_is_the_quantile) {
    check_kind(DRAW_NORMAL);
}

Test(draw, normal_has_the_same_bits_everywhere) {
    static union {
        float f[COUNT];
        double d[COUNT];
    } first, other;
    fill(1u << 31);
    for (int wide = 0; wide < 2; wide++) {
        Request r = {5, 6, -1, DRAW_NORMAL, 0, wide, 0, -1};
        memset(&first, 0, sizeof first);
        memset(&other, 0, sizeof other);
        run(&r, LANES, &variants[0], &first);
        for (int v = 1; v < LENGTH(variants); v++) {
            run(&r, LANES, &variants[v], &other);
            cr_expect(memcmp(&first, &other, sizeof first) == 0, "%s", variants[v].name);
        }
        run(&r, 0, &variants[0], &other);
        cr_expect(memcmp(&first, &other, sizeof first) == 0, "scalar");
    }
}
