/* SPDX-License-Identifier: MIT
 * The float64 interpreter: the definition of what a graph means. Whole arrays, naive loops, libm;
 * shares nothing with the code generator. Needs ir. */
#ifndef GRADUS_EVAL_H
#define GRADUS_EVAL_H
#include "ir.h"
typedef struct Eval Eval;
/* `examples` in the batch, all live unless the input "live" says otherwise, numbered from 0 (the
 * input "example.number" too), first presentation, step 1. */
Eval *eval_new(Arena *arena, int64_t examples, uint64_t seed);
/* Frees what was computed; the rest lives as long as its arena. */
void eval_free(Eval *eval);
/* Leaf values, copied. Per example: [example][element]; shared: [element]. Forgets computed nodes.
 */
void eval_set(Eval *eval, Node *leaf, const double *values);
/* What draws see of each example (arrays of `examples`), and the step. Forgets computed nodes. */
void eval_draws(Eval *eval, const uint32_t *number, const uint32_t *presentation, uint32_t step);
/* Stochastic arithmetic (Vignes 1993): from now on each result of a step of an expression and of a
 * sum is off at random by up to `size` of itself, and rounded to float32 where that is no less than
 * float32's own rounding; a sum by that of its terms' root mean square too, whatever their order.
 * What float32 holds exactly stays. 0: exact. Forgets computed nodes. */
void eval_noise(Eval *eval, double size, uint64_t seed);
/* Value of a node: [example][element] or [element]; computed once and kept. */
const double *eval_node(Eval *eval, Node *node);
/* For each element the sum of the absolute values of the terms that made it, through all its
 * operands (error scale for comparisons; never less than fabs(value)). */
const double *eval_magnitude(Eval *eval, Node *node);
int64_t eval_count(const Eval *eval, const Node *node);
/* Raw draw: the number in (0, 1), normal or 0/1 that SC_DRAW stands for. */
double eval_draw(Draw draw, double p, uint64_t seed, uint32_t place, uint64_t element,
                 uint32_t example_or_step, uint32_t presentation);
#endif
