/* SPDX-License-Identifier: MIT
 * A unit's compiled code against the interpreter, for `gradus test` and for tests/equal.
 * Needs a unit after all passes, sampled leaves and native code. Builds nothing. */
#ifndef GRADUS_EQUAL_H
#define GRADUS_EQUAL_H
#include "native.h"
#include "sample.h"

typedef struct Equal {
    Arena *arena;
    Unit *unit;
    Samples *samples;
    Eval *eval;     /* knows the samples: samples_eval */
    Native *native; /* of this unit */
    bool verbose;   /* say something of every result */
    bool strict;    /* NaN is a fault where the interpreter has it, too */
    void (*say)(const char *line, void *context);
    void (*ran)(const struct Equal *equal, const GrProgram *program); /* after it ran, or NULL */
    void *context;
} Equal;
/* Runs every compiled program once, from the samples, and compares each result (values, gradients,
 * new parameters and states) element by element: by 1e-12 of what its terms add up to without
 * cancelling (float32: by a bound that grows with the length of the sums); beyond that, by how far
 * rounding carries the interpreter itself (stochastic arithmetic). Each program is run
 * once more in pieces, by two and by three threads: the same bits. Gives the number of results that
 * differ; each is said. */
int equal_check(Equal *equal);
#endif
