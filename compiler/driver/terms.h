/* SPDX-License-Identifier: MIT
 * For comparisons: how large the terms are that cancel in a value, how many follow each other.
 * Needs ir. */
#ifndef GRADUS_TERMS_H
#define GRADUS_TERMS_H
#include "ir.h"
/* The node with absolute values in place of its terms, `depth` nodes back; the same shape. */
Node *absolute_node(Graph *g, Node *node, int depth);
/* The most terms that are added up, one after the other, on the way to the node: its own and those
 * of the operand that has most. `known`: Node -> what was found before. */
int64_t sum_chain(Map *known, Node *node, int64_t examples);
#endif
