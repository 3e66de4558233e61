/* SPDX-License-Identifier: MIT
 * Functions of whole tensors (ir/calls.def), by the plainest method there is for each.
 * Needs ir. Shares nothing with the runtime's. Private to this folder. */
#ifndef GRADUS_EVAL_CALL_H
#define GRADUS_EVAL_CALL_H
#include "ir.h"
/* The value of a call node, row-major, from the values of its operands. */
void matrix_call(Arena *arena, const Node *node, const double *const *operand, double *value);
#endif
