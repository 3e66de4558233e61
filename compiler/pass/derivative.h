/* SPDX-License-Identifier: MIT
 * Derivatives of scalar expressions: the columns of ops.def, and reverse accumulation over a body.
 * Needs ir. Knows nothing of index maps: adjoints stand at the dimensions of the body. */
#ifndef GRADUS_DERIVATIVE_H
#define GRADUS_DERIVATIVE_H
#include "ir.h"

/* Derivative of the operator expression `s` by its operand k; NULL where ops.def has ZERO or NONE.
 */
const Scalar *derivative_of(Graph *g, const Scalar *s, int k);
/* adjoint * factor. Selects stay outside of the product, so that a branch not taken is never
 * multiplied in (0 * infinity); signs and reciprocals are pulled out, so that sums can be split. */
const Scalar *derivative_times(Graph *g, const Scalar *adjoint, const Scalar *factor);
/* a + b; selects on one condition are merged. */
const Scalar *derivative_plus(Graph *g, const Scalar *a, const Scalar *b);

/* What one read in a body contributes: value = seed * d body / d read. */
typedef struct Adjoint {
    const Scalar *read, *value;
} Adjoint;
typedef VEC(Adjoint) AdjointList;
/* The adjoint of every distinct read in body (reads in outside values too, positions not), in the
 * order of their first occurrence. Reads that have no derivative are left out. */
AdjointList derivative_reads(Graph *g, const Scalar *body, const Scalar *seed);
/* True where a product with a zero is surely zero: nothing in s that can become infinite when
 * dimensions in `dims` leave their extents (reads there give 0). */
bool derivative_tame(const Scalar *s, uint32_t dims);
#endif
