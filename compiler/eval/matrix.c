/* SPDX-License-Identifier: MIT
 * eigh by cyclic Jacobi rotations, qr by Givens rotations: the definition that the runtime's
 * faster methods are compared with. Needs ir and libm.
 * Slow on purpose; nothing of it runs in an executable. */
#include "call.h"
#include <math.h>
#include <string.h>

static void rotate(double *x, double *y, double c, double s) {
    double a = *x, b = *y;
    *x = c * a - s * b;
    *y = s * a + c * b;
}

/* Makes a[p][q] zero by a rotation of rows and columns p and q; the columns of v turn along. */
static void jacobi(double *a, double *v, int64_t n, int64_t p, int64_t q) {
    double apq = a[p * n + q];
    if (apq == 0) return;
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int64_t k = 0; k < n; k++)
        rotate(&a[k * n + p], &a[k * n + q], c, s);
    for (int64_t k = 0; k < n; k++)
        rotate(&a[p * n + k], &a[q * n + k], c, s);
    for (int64_t k = 0; k < n; k++)
        rotate(&v[k * n + p], &v[k * n + q], c, s);
}

static double off_diagonal(const double *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            sum += i == j ? 0 : a[i * n + j] * a[i * n + j];
    return sqrt(sum);
}

/* The first of the largest components is positive; what differs by rounding alone counts as equal.
 */
static double sign_of(const double *v, int64_t n, int64_t column) {
    double most = 0;
    for (int64_t k = 0; k < n; k++)
        most = fmax(most, fabs(v[k * n + column]));
    for (int64_t k = 0; k < n; k++)
        if (fabs(v[k * n + column]) >= most * (1 - 1e-9)) return v[k * n + column] < 0 ? -1 : 1;
    return 1;
}

/* Of the symmetric part: values from the largest down, vectors as columns. */
static void eigh(Arena *arena, const double *matrix, int64_t n, double *value, double *vector) {
    double *a = NEW_ARRAY(arena, double, n *n), *v = NEW_ARRAY(arena, double, n *n), size = 0;
    int64_t *order = NEW_ARRAY(arena, int64_t, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = (matrix[i * n + j] + matrix[j * n + i]) / 2;
            v[i * n + j] = i == j;
            size += a[i * n + j] * a[i * n + j];
        }
    for (int sweep = 0; sweep < 60 && off_diagonal(a, n) > 1e-18 * sqrt(size); sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                jacobi(a, v, n, p, q);
    for (int64_t i = 0; i < n; i++) { /* by insertion: equal ones stay in order */
        int64_t at = i;
        for (; at > 0 && a[order[at - 1] * (n + 1)] < a[i * (n + 1)]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int64_t k = 0; k < n; k++) {
        if (value) value[k] = a[order[k] * (n + 1)];
        double sign = sign_of(v, n, order[k]);
        for (int64_t i = 0; vector && i < n; i++)
            vector[i * n + k] = sign * v[i * n + order[k]];
    }
}

/* Rotations of two rows make one element after another zero; those rows of q turn along. */
static void qr(Arena *arena, const double *matrix, int64_t m, int64_t n, double *q, double *r) {
    double *a = NEW_ARRAY(arena, double, m *n), *t = NEW_ARRAY(arena, double, m *m);
    memcpy(a, matrix, sizeof *a * (size_t)(m * n));
    for (int64_t i = 0; i < m; i++)
        t[i * m + i] = 1;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j + 1; i < m; i++) {
            double x = a[j * n + j], y = a[i * n + j], length = sqrt(x * x + y * y);
            if (y == 0) continue;
            for (int64_t k = 0; k < n; k++)
                rotate(&a[j * n + k], &a[i * n + k], x / length, -y / length);
            for (int64_t k = 0; k < m; k++)
                rotate(&t[j * m + k], &t[i * m + k], x / length, -y / length);
        }
    for (int64_t j = 0; j < n; j++) {
        double sign = a[j * n + j] < 0 ? -1 : 1;
        for (int64_t i = 0; q && i < m; i++)
            q[i * n + j] = sign * t[j * m + i];
        for (int64_t k = 0; r && k < n; k++)
            r[j * n + k] = k < j ? 0 : sign * a[j * n + k];
    }
}

void matrix_call(Arena *arena, const Node *node, const double *const *operand, double *value) {
    int64_t extent[CALL_EXTENTS];
    call_extents(node, extent);
    double *result[CALL_RESULTS] = {0};
    result[node->result] = value;
    for (int i = 0; i < call_info[node->call].operands; i++) /* no number in, no number out */
        for (int64_t k = 0; k < node_count(node->operand[i]); k++)
            if (!isfinite(operand[i][k])) {
                for (int64_t j = 0; j < node_count(node); j++)
                    value[j] = (double)NAN;
                return;
            }
    switch (node->call) {
    case CALL_EIGH:
        eigh(arena, operand[0], extent[0], result[0], result[1]);
        return;
    case CALL_QR:
        qr(arena, operand[0], extent[0], extent[1], result[0], result[1]);
        return;
    case CALL_COUNT:
        break;
    }
    bug("the interpreter met a call that it does not know");
}
