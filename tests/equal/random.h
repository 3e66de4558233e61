/* SPDX-License-Identifier: MIT
 * Random models for gradus-equal: a unit as elaboration would make it, from a seed.
 * Needs ir. Draws nothing from the clock: a failure names its seed. */
#ifndef GRADUS_RANDOM_H
#define GRADUS_RANDOM_H
#include "ir.h"
/* Programs "step" (a loss, an update of each parameter and of a state) and "eval" (the loss of each
 * example and some of its nodes), over comprehensions of every kind. The same seed: the same. */
Unit *random_unit(Arena *arena, uint64_t seed);
#endif
