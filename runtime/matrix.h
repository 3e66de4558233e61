/* SPDX-License-Identifier: MIT
 * Functions of whole tensors, as generated code calls them (compiler/ir/calls.def): row-major
 * float64; a result that is NULL is not wanted. */
#ifndef GRADUS_MATRIX_H
#define GRADUS_MATRIX_H
#include <stdint.h>
/* Of the symmetric part of matrix[n, n]: values from the largest down, vectors as columns of
 * vector[n, n], of each the first of the largest components positive. */
void gr_call_eigh(double *value, double *vector, const double *matrix, int64_t n);
/* matrix[m, n] = q[m, n] r[n, n], m >= n: columns of q orthonormal, r upper triangular, its diagonal
 * not negative. */
void gr_call_qr(double *q, double *r, const double *matrix, int64_t m, int64_t n);
#endif
