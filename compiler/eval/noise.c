/* SPDX-License-Identifier: MIT
 * Rounding that is off at random: what stochastic arithmetic perturbs values by.
 * Needs libm. Knows no graphs: the tape and the reductions call it. */
#include "tape.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* splitmix64 of the value's bits (Steele et al. 2014). */
static uint64_t mixed(double value, uint64_t salt) {
    uint64_t z;
    memcpy(&z, &value, sizeof z);
    z = (z ^ salt) + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double noise_round(const Noise *noise, uint32_t place, double value, double scale, bool inexact) {
    if (!noise || (!inexact && (double)(float)value == value)) return value;
    uint64_t z = mixed(value, noise->seed ^ ((uint64_t)place << 32));
    double off = (double)(int64_t)z * 0x1p-63;
    double rounded = value + noise->size * off * fmax(fabs(value), scale);
    return noise->size < FLT_EPSILON / 2 ? rounded : (double)(float)rounded;
}

bool noise_ties(const Noise *noise, double a, double b) {
    bool near = fabs(a - b) <= 2 * noise->size * fmax(fabs(a), fabs(b));
    return near && mixed(a + b, noise->seed) >> 63;
}
