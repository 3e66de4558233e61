/* SPDX-License-Identifier: MIT
 * Values for the leaves of a unit and gradients checked against differences: for `gradus test`
 * and for tests/equal. Needs ir and eval. Prints only through the callback. */
#ifndef GRADUS_SAMPLE_H
#define GRADUS_SAMPLE_H
#include "eval.h"

typedef struct Sample {
    Node *leaf;
    double *values; /* per example: [example][element]; shared: [element] */
    int64_t count;
} Sample;
typedef struct Samples {
    Arena *arena;
    int64_t examples;
    uint64_t seed;
    uint32_t step;
    uint32_t *number, *presentation; /* of the examples */
    VEC(Sample) list;
    Map by_leaf; /* Node* -> Sample* is unsafe while the list grows: index + 1 as a pointer */
} Samples;
/* Values for every leaf that any program reads: parameters and states as `init` makes them, a
 * little off; inputs random; classes valid; fitted values positive. The same seed, the same values.
 */
Samples *samples_make(Arena *arena, const Unit *unit, int64_t examples, uint64_t seed);
Sample *samples_find(const Samples *samples, const Node *leaf); /* NULL where absent */
/* An interpreter that knows all of them. */
Eval *samples_eval(Arena *arena, const Samples *samples);
/* What a hyperparameter leaf is given: step 3, epoch 1, `count` the examples, "set:" not a number.
 */
double sample_hyper(Name name, int64_t examples);

/* Appends the result "gradient:PATH" for each parameter (and "gradient:x" for each input of numbers
 * where `inputs`) to the program `step`. Call it before the passes. False where there is no loss.
 */
bool gradients_add(Unit *unit, bool inputs);
typedef struct GradientReport {
    Name path;
    int64_t count, checked, kinks, wrong;
    double worst; /* relative error of the worst element */
    int64_t worst_element;
    double gradient, difference; /* of that element */
} GradientReport;
/* After the passes: checks each appended gradient whose path is `only` or lies under it (NULL: all)
 * against central differences of the interpreter. Gives the number of gradients that are wrong. */
enum {
    GRADIENTS_NONE = -1,   /* nothing was checked */
    GRADIENTS_NO_LOSS = -2 /* the loss is nan or infinite: its differences say nothing */
};
int gradients_check(const Unit *unit, uint64_t seed, const char *only, double work,
                    void (*report)(const GradientReport *, void *), void *context);
#endif
