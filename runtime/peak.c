/* SPDX-License-Identifier: MIT
 * Loops that do nothing but fused multiply-adds, for each width of vectors, or nothing but touch
 * memory; the best of several runs. Needs libc. Chooses code by what the processor says it has. */
#include "peak.h"
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CHAINS = 12, ROUNDS = 40000, FMA_RUNS = 16, MEMORY_RUNS = 6 };
const int peak_bits[PEAK_WIDTHS] = {128, 256, 512};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve chains hide the latency of two units; they start apart, or one could stand for all. Each
 * goes to y / (1 - x), never to a denormal number. */
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define GIVE(i) memcpy(&one, &a##i, sizeof one), sum += (double)one;
#define LOOP(name, attribute, Vector, Element, splat, START, STEP)                                 \
    attribute static double name(int64_t rounds) {                                                 \
        Element one;                                                                               \
        double sum = 0;                                                                            \
        const Vector x = splat((Element)0.75), y = splat((Element)0.25);                           \
        EACH(START)                                                                                \
        for (int64_t i = 0; i < rounds; i++) {                                                     \
            EACH(STEP)                                                                             \
        }                                                                                          \
        EACH(GIVE)                                                                                 \
        return sum;                                                                                \
    }

#ifdef __x86_64__
#define WITH_FMA __attribute__((target("avx,fma")))
#define WITH_512 __attribute__((target("avx512f")))
#define START_float_128(i) __m128 a##i = _mm_set1_ps(2 + i);
#define STEP_float_128(i) a##i = _mm_fmadd_ps(a##i, x, y);
LOOP(float_128, WITH_FMA, __m128, float, _mm_set1_ps, START_float_128, STEP_float_128)
#define START_float_256(i) __m256 a##i = _mm256_set1_ps(2 + i);
#define STEP_float_256(i) a##i = _mm256_fmadd_ps(a##i, x, y);
LOOP(float_256, WITH_FMA, __m256, float, _mm256_set1_ps, START_float_256, STEP_float_256)
#define START_float_512(i) __m512 a##i = _mm512_set1_ps(2 + i);
#define STEP_float_512(i) a##i = _mm512_fmadd_ps(a##i, x, y);
LOOP(float_512, WITH_512, __m512, float, _mm512_set1_ps, START_float_512, STEP_float_512)
#define START_double_128(i) __m128d a##i = _mm_set1_pd(2 + i);
#define STEP_double_128(i) a##i = _mm_fmadd_pd(a##i, x, y);
LOOP(double_128, WITH_FMA, __m128d, double, _mm_set1_pd, START_double_128, STEP_double_128)
#define START_double_256(i) __m256d a##i = _mm256_set1_pd(2 + i);
#define STEP_double_256(i) a##i = _mm256_fmadd_pd(a##i, x, y);
LOOP(double_256, WITH_FMA, __m256d, double, _mm256_set1_pd, START_double_256, STEP_double_256)
#define START_double_512(i) __m512d a##i = _mm512_set1_pd(2 + i);
#define STEP_double_512(i) a##i = _mm512_fmadd_pd(a##i, x, y);
LOOP(double_512, WITH_512, __m512d, double, _mm512_set1_pd, START_double_512, STEP_double_512)

static int has_width(int width) {
    return width < 2 ? __builtin_cpu_supports("fma") : __builtin_cpu_supports("avx512f");
}
typedef double Chains(int64_t rounds);
static Chains *const chains[2][PEAK_WIDTHS] = {{float_128, float_256, float_512},
                                               {double_128, double_256, double_512}};
#elif defined(__aarch64__)
/* a * x + y, in the order of operands above */
#define add_float(a, x, y) vfmaq_f32(y, a, x)
#define add_double(a, x, y) vfmaq_f64(y, a, x)
#define START_float_128(i) float32x4_t a##i = vdupq_n_f32(2 + i);
#define STEP_float_128(i) a##i = add_float(a##i, x, y);
LOOP(float_128, /* all have it */, float32x4_t, float, vdupq_n_f32, START_float_128, STEP_float_128)
#define START_double_128(i) float64x2_t a##i = vdupq_n_f64(2 + i);
#define STEP_double_128(i) a##i = add_double(a##i, x, y);
LOOP(double_128, /* all have it */, float64x2_t, double, vdupq_n_f64, START_double_128, STEP_double_128)

static int has_width(int width) {
    return width == 0;
}
typedef double Chains(int64_t rounds);
static Chains *const chains[2][PEAK_WIDTHS] = {{float_128}, {double_128}};
#else
#error "peak.c: state the fused multiply-add of this processor"
#endif

static volatile double sink; /* what is not looked at would not be computed */

double peak_fma(int width, int bytes) {
    double least = 1e9;
    if (!has_width(width)) return 0;
    for (int run = 0; run < FMA_RUNS; run++) {
        double start = now();
        sink = chains[bytes == 8][width](ROUNDS);
        double time = now() - start;
        if (time < least) least = time;
    }
    return (double)(2 * CHAINS * ROUNDS * (peak_bits[width] / 8 / bytes)) / least;
}

/* Four words of 16 bytes at a time, which every processor loads at once. */
typedef uint64_t Word __attribute__((vector_size(16)));

double peak_read(const char *memory, size_t size) {
    double least = 1e9;
    const Word *word = (const Word *)(const void *)memory;
    for (int run = 0; run < MEMORY_RUNS; run++) {
        Word a = {0}, b = {0}, c = {0}, d = {0};
        double start = now();
        for (size_t i = 0; i + 4 <= size / sizeof *word; i += 4)
            a ^= word[i], b ^= word[i + 1], c ^= word[i + 2], d ^= word[i + 3];
        double time = now() - start;
        a ^= b ^ c ^ d;
        sink = (double)(a[0] ^ a[1]);
        if (time < least) least = time;
    }
    return (double)size / least;
}

double peak_update(char *memory, size_t size) {
    double least = 1e9;
    Word *word = (Word *)(void *)memory;
    for (int run = 0; run < MEMORY_RUNS; run++) {
        double start = now();
        for (size_t i = 0; i < size / sizeof *word; i++)
            word[i] += 1;
        double time = now() - start;
        if (time < least) least = time;
    }
    sink = (double)word[0][0];
    return 2 * (double)size / least;
}
