/* SPDX-License-Identifier: MIT
 * A scalar expression as a list of steps, operands first, run at one point after another.
 * Needs ir and eval.h. Private to this folder. */
#ifndef GRADUS_TAPE_H
#define GRADUS_TAPE_H
#include "eval.h"

typedef struct Values { /* of one node: [example][element], or [element] where it is shared */
    double *value, *magnitude; /* magnitude: NULL until asked for */
} Values;

/* What draws see. */
typedef struct DrawState {
    uint64_t seed;
    const uint32_t *number, *presentation;
    uint32_t step;
} DrawState;

/* How far off the roundings to float32 are: at most `size`, relatively. */
typedef struct Noise {
    double size;
    uint64_t seed;
} Noise;
/* The value rounded to float32 and off at random, in proportion to it or to `scale` where that is
 * larger; itself where float32 holds it exactly (but for an `inexact` one), or without noise. The
 * same value at the same `place` is off by the same: errors of equal roundings add up, as they do
 * in the machine. */
double noise_round(const Noise *noise, uint32_t place, double value, double scale, bool inexact);

/* Do two numbers that rounding may make equal become so? One time in two. */
bool noise_ties(const Noise *noise, double a, double b);

typedef struct Tape Tape;
/* `values` gives those of a node that the scalar reads; magnitudes are run where wanted, with
 * noise (or NULL) after each step. */
Tape *tape_new(Arena *arena, const Scalar *s, const DrawState *draws, const Noise *noise,
               bool magnitudes, Values (*values)(Node *, void *), void *context);
/* The value at the dimensions `dims` for `example`; *magnitude is set where wanted. */
double tape_run(Tape *tape, const int64_t *dims, int64_t example, double *magnitude);

/* Error scale of an operator's result r from those of its operands (never less than |r|). */
double op_magnitude(Op op, const double *value, const double *magnitude, double r);
#endif
