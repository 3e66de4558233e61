/* SPDX-License-Identifier: MIT
 * Elaboration: from the checked tree to one Unit of tensor programs. Needs front and ir.
 * Diagnoses every fault of shape, range and meaning; does not differentiate (NODE_GRAD stands). */
#ifndef GRADUS_ELAB_H
#define GRADUS_ELAB_H
#include "ast.h"
#include "ir.h"
/* `train_name` chooses among several trainings (NULL: the first, or the only one). A file without a
 * `train` but with a model gives a Unit with init and predict only. NULL where errors were
 * diagnosed. */
Unit *elab_unit(Arena *arena, const Module *module, Name train_name);
/* For tests of single defs: `unit` of one def applied to inputs of the given shapes, e.g.
 * "conv(8, 3) on [3, 8, 8]": inputs x, loss = sum of output times fixed input "weight". */
Unit *elab_def(Arena *arena, const Module *module, const char *application);
#endif
