/* SPDX-License-Identifier: MIT
 * Random models for gradus-equal, from a tape of choices: graphs, and texts of the library's defs.
 * Needs ir. Draws nothing from the clock: a failure names its seed. */
#ifndef GRADUS_RANDOM_H
#define GRADUS_RANDOM_H
#include "choice.h"
#include "ir.h"
/* A unit as elaboration makes it: programs "step" (a loss, new values of parameters and states),
 * "eval" (the loss of each example and some nodes) and often "init", over comprehensions of every
 * kind. The same choices: the same unit. */
Unit *random_unit(Arena *arena, Choices *choices);
/* The text of a model file: layers, losses, optimizers and regularizers of the library. Its data do
 * not exist. Not every text is accepted: what a def refuses stands as it is. */
char *random_text(Arena *arena, Choices *choices);
#endif
