/* SPDX-License-Identifier: MIT
 * Recorded numbers: the text files that record.py writes. Needs base. Compares nothing. */
#ifndef GRADUS_RECORDING_H
#define GRADUS_RECORDING_H
#include "base.h"

typedef struct Numbers {
    const char *program, *name; /* program: "leaf", "eval", "step", "next" or "moments" */
    int step;                   /* of "next" and "step": behind which update, from 1 */
    int64_t count;
    double *values;
    int line;
} Numbers;

typedef struct Case {
    const char *subject; /* "gelu on [33]", or "train optimizer = sgd(0.1); penalty = l2(0.01)" */
    int line, steps;
    int64_t examples;
    VEC(Numbers) given, expected;
} Case;
typedef VEC(Case) CaseList;

/* All cases of a file; false where it cannot be read or is not of this form (said on stderr). */
bool recording_read(Arena *arena, const char *path, CaseList *cases);
#endif
