/* SPDX-License-Identifier: MIT
 * For comparisons: how large the terms are that cancel in a value. Needs ir. */
#ifndef GRADUS_TERMS_H
#define GRADUS_TERMS_H
#include "ir.h"
/* The node with absolute values in place of its terms, `depth` nodes back; the same shape. */
Node *absolute_node(Graph *g, Node *node, int depth);
#endif
