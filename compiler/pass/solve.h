/* SPDX-License-Identifier: MIT
 * Inverts the index map of a read: which positions of the reader see element p of what is read.
 * Needs ir. Makes no nodes and knows no derivatives. */
#ifndef GRADUS_SOLVE_H
#define GRADUS_SOLVE_H
#include "ir.h"

/* A condition that a position must meet to be one that sees p. */
typedef struct Guard {
    int dim; /* "dimension `dim` of the reader lies within its extent"; -1: any other condition */
    const Scalar *condition; /* over the new dimensions */
} Guard;
/* The positions that see p, as a box. New dimensions: 0 .. rank-1 is p, the place in what is read;
 * then `nred` remaining dimensions to sum over, the reader's output dimensions first. */
typedef struct Solution {
    int nred;
    int64_t extent[MAX_DIMS]; /* of the new dimensions */
    const Ix *dim[MAX_DIMS];  /* each dimension of the reader, over the new dimensions */
    VEC(Guard) guards;
} Solution;
/* `read` stands in a body over `ndims` dimensions of the given extents. Always succeeds: what
 * cannot be solved stays a dimension to sum over, under a guard of equality. */
Solution solve_read(Graph *g, const Scalar *read, int ndims, const int64_t *extents);
#endif
