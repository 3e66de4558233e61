/* SPDX-License-Identifier: MIT
 * Rounding that is off at random: what stochastic arithmetic perturbs values by.
 * Needs libm. Knows no graphs: the tape and the reductions call it. */
#include "tape.h"
#include <float.h>
#include <math.h>
#include <string.h>

double noise_round(const Noise *noise, uint32_t place, double value, double scale, bool inexact) {
    if (!noise || (!inexact && (double)(float)value == value)) return value;
    uint64_t z; /* splitmix64 of the value's bits (Steele et al. 2014) */
    memcpy(&z, &value, sizeof z);
    z = (z ^ noise->seed ^ ((uint64_t)place << 32)) + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    double off = (double)(int64_t)(z ^ (z >> 31)) * 0x1p-63;
    double rounded = value + noise->size * off * fmax(fabs(value), scale);
    return noise->size < FLT_EPSILON / 2 ? rounded : (double)(float)rounded;
}
