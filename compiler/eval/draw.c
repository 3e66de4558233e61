/* SPDX-License-Identifier: MIT
 * Random draws as pure functions of seed, place, element and example or step (ir.h states them).
 * Needs eval.h and libm.
 * Keeps no state. */
#include "eval.h"
#include <math.h>

/* Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011). */
static void philox(uint32_t counter[4], uint64_t key) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * counter[0], p1 = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t c1 = counter[1], c3 = counter[3];
        counter[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        counter[1] = (uint32_t)p1;
        counter[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        counter[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

static double ratio(const double *above, const double *below, int n, double r) {
    double p = above[n - 1], q = below[n - 1];
    for (int i = n - 2; i >= 0; i--)
        p = p * r + above[i], q = q * r + below[i];
    return p / q;
}

/* Inverse of the normal distribution function: PPND16 of Wichura 1988, algorithm AS 241. Its third
 * region, p < 1.4e-11, is left out: p here is at least 2^-24. */
static double normal_inverse(double p) {
    static const double a[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                               1.9715909503065514427e3, 1.3731693765509461125e4,
                               4.5921953931549871457e4, 6.7265770927008700853e4,
                               3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[] = {1,
                               4.2313330701600911252e1,
                               6.8718700749205790830e2,
                               5.3941960214247511077e3,
                               2.1213794301586595867e4,
                               3.9307895800092710610e4,
                               2.8729085735721942674e4,
                               5.2264952788528545610e3};
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                               5.76949722146069140550e0,  3.64784832476320460504e0,
                               1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) return q * ratio(a, b, 8, 0.180625 - q * q);
    double tail = ratio(c, d, 8, sqrt(-log(q < 0 ? p : 1 - p)) - 1.6);
    return q < 0 ? -tail : tail;
}

double eval_draw(Draw draw, double p, uint64_t seed, uint32_t place, uint64_t element,
                 uint32_t example_or_step, uint32_t presentation) {
    bool half = draw == DRAW_BERNOULLI;
    uint32_t counter[4] = {(uint32_t)(element / (half ? 8 : 4)), example_or_step, presentation,
                           place};
    philox(counter, seed);
    if (half) {
        uint32_t field = (uint32_t)(element % 8);
        uint32_t bits = counter[field / 2] >> 16 * (field % 2) & 0xffff;
        return (bits + 0.5) / 65536 < p;
    }
    double uniform = ((counter[element % 4] >> 9) + 0.5) * 0x1p-23;
    return draw == DRAW_NORMAL ? normal_inverse(uniform) : uniform;
}
