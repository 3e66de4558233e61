/* SPDX-License-Identifier: MIT
 * eigh and qr of the runtime: what defines them, against the interpreter's, and against LAPACK
 * where it is installed. Needs Criterion. Fits nothing to data (tests/errors/data/whiten does). */
#include "matrix.h"
#include "call.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#ifdef HAVE_LAPACKE
#include <lapacke.h>
#endif

enum { MOST = 48 };
typedef struct Eigen {
    double a[MOST * MOST], value[MOST], vector[MOST * MOST];
    int64_t n;
} Eigen;

static uint64_t state = 1;
static double number(void) { /* between -1 and 1 */
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(state >> 11) * 0x1p-52 - 1;
}

static double most(const double *x, int64_t count) {
    double size = 0;
    for (int64_t i = 0; i < count; i++)
        size = fmax(size, fabs(x[i]));
    return size;
}

/* Orthonormal columns of v[m, n]. */
static void expect_orthonormal(const double *v, int64_t m, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double dot = 0;
            for (int64_t k = 0; k < m; k++)
                dot += v[k * n + i] * v[k * n + j];
            cr_expect_float_eq(dot, i == j, 1e-13, "columns %d, %d: %g", (int)i, (int)j, dot);
        }
}

static void expect_signs(const Eigen *e) {
    for (int64_t k = 0; k < e->n; k++) {
        double size = 0, first = 0;
        for (int64_t i = 0; i < e->n; i++)
            size = fmax(size, fabs(e->vector[i * e->n + k]));
        for (int64_t i = e->n - 1; i >= 0; i--)
            if (fabs(e->vector[i * e->n + k]) >= size * (1 - 1e-9)) first = e->vector[i * e->n + k];
        cr_expect(first > 0, "vector %d has the other sign", (int)k);
    }
}

/* A v = lambda v for the symmetric part, in order, orthonormal. */
static void expect_eigen(Eigen *e) {
    int64_t n = e->n;
    double size = most(e->a, n * n);
    gr_call_eigh(e->value, e->vector, e->a, n);
    expect_orthonormal(e->vector, n, n);
    expect_signs(e);
    for (int64_t k = 0; k < n; k++) {
        cr_expect(!k || e->value[k] <= e->value[k - 1], "value %d is larger than the last", (int)k);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++)
                sum += (e->a[i * n + j] / 2 + e->a[j * n + i] / 2) * e->vector[j * n + k];
            double left = sum - e->value[k] * e->vector[i * n + k];
            cr_expect(fabs(left) <= 2e-14 * (double)n * size, "residual %g of %g", left, size);
        }
    }
}

static void fill(Eigen *e, int64_t n) {
    e->n = n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            e->a[i * n + j] = e->a[j * n + i] = number();
}

Test(matrix, eigh_of_random_matrices) {
    static Eigen e;
    for (int64_t n = 1; n <= MOST; n = n < 8 ? n + 1 : n + 13) {
        fill(&e, n);
        expect_eigen(&e);
    }
}

Test(matrix, eigh_takes_the_symmetric_part) {
    static Eigen e;
    fill(&e, 9);
    for (int i = 0; i < 81; i++)
        e.a[i] += number();
    expect_eigen(&e);
}

Test(matrix, eigh_of_special_matrices) {
    static Eigen e;
    e.n = 7;
    for (int kind = 0; kind < 6; kind++) {
        for (int i = 0; i < 7; i++)
            for (int j = 0; j < 7; j++) {
                double u = i + 1, v = j + 1;
                e.a[i * 7 + j] = kind == 0   ? 0
                                 : kind == 1 ? i == j                          /* identity */
                                 : kind == 2 ? u * v                           /* of rank 1 */
                                 : kind == 3 ? (i == 3 || j == 3 ? 0 : i == j) /* a row of zeros */
                                 : kind == 4 ? pow(10, -(u + v))               /* graded */
                                             : (i + j) % 2 == 0;               /* repeated values */
            }
        expect_eigen(&e);
    }
}

Test(matrix, eigh_does_not_overflow) {
    static Eigen e;
    static double plain[MOST];
    fill(&e, 11);
    gr_call_eigh(plain, NULL, e.a, 11);
    for (int power = -1000; power <= 1000; power += 500) { /* by a power of two: the same bits */
        static double scaled[MOST * MOST], value[MOST];
        for (int i = 0; i < 121; i++)
            scaled[i] = ldexp(e.a[i], power);
        gr_call_eigh(value, NULL, scaled, 11);
        for (int k = 0; k < 11; k++)
            cr_expect_eq(value[k], ldexp(plain[k], power), "2^%d, value %d", power, k);
    }
}

Test(matrix, eigh_ends_where_numbers_are_none, .timeout = 20) {
    static Eigen e;
    fill(&e, 12);
    for (int kind = 0; kind < 2; kind++) {
        e.a[5] = kind ? (double)NAN : (double)INFINITY;
        gr_call_eigh(e.value, e.vector, e.a, 12);
        for (int k = 0; k < 144; k++)
            cr_expect(isnan(e.value[k % 12]) && isnan(e.vector[k]));
    }
}

Test(matrix, eigh_of_values_known_by_hand) {
    double a[4] = {2, 1, 1, 2}, value[2], vector[4];
    gr_call_eigh(value, vector, a, 2);
    cr_expect_float_eq(value[0], 3, 1e-15);
    cr_expect_float_eq(value[1], 1, 1e-15);
    double half = sqrt(0.5), wanted[4] = {half, half, half, -half};
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(vector[i], wanted[i], 1e-15);
}

/* ---- qr */
static void expect_qr(const double *a, int64_t m, int64_t n) {
    static double q[MOST * MOST], r[MOST * MOST];
    gr_call_qr(q, r, a, m, n);
    expect_orthonormal(q, m, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            cr_expect(j > i || (j == i ? r[i * n + j] >= 0 : r[i * n + j] == 0), "R at %d, %d: %g",
                      (int)i, (int)j, r[i * n + j]);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += q[i * n + k] * r[k * n + j];
            cr_expect_float_eq(sum, a[i * n + j], 1e-13);
        }
}

Test(matrix, qr_of_random_and_of_deficient_matrices) {
    static double a[MOST * MOST];
    int64_t shape[][2] = {{1, 1}, {2, 1}, {5, 5}, {9, 4}, {48, 48}, {40, 3}};
    for (int s = 0; s < LENGTH(shape); s++) {
        int64_t m = shape[s][0], n = shape[s][1];
        for (int64_t i = 0; i < m * n; i++)
            a[i] = number();
        expect_qr(a, m, n);
        for (int64_t i = 0; i < m; i++) /* the last column as the first */
            a[i * n + n - 1] = a[i * n];
        expect_qr(a, m, n);
    }
    memset(a, 0, sizeof a);
    expect_qr(a, 5, 4);
}

/* ---- Two methods of our own, one answer */
static void expect_same(Call call, const Eigen *e, int64_t n) {
    static double one[2][MOST * MOST], other[MOST * MOST];
    Arena *arena = arena_new();
    Graph *g = graph_new(arena);
    int64_t extent[2] = {n, n};
    Node *a = graph_leaf(g, NODE_FITTED, name_of("a"), false, 2, extent, 0, (Span){0});
    const double *operand[1] = {e->a};
    if (call == CALL_EIGH)
        gr_call_eigh(one[0], one[1], e->a, n);
    else
        gr_call_qr(one[0], one[1], e->a, n, n);
    for (int result = 0; result < 2; result++) {
        Node *node = graph_call(g, call, (Node *const[]){a, NULL}, result, NULL, (Span){0});
        matrix_call(arena, node, operand, other);
        for (int64_t i = 0; i < node_count(node); i++)
            cr_expect_float_eq(one[result][i], other[i], 1e-11, "%s %d, element %d: %g and %g",
                               call_info[call].text, result, (int)i, one[result][i], other[i]);
    }
    arena_free(arena);
}

Test(matrix, the_interpreter_agrees) {
    static Eigen e;
    for (int64_t n = 1; n <= 24; n += n < 6 ? 1 : 9) {
        fill(&e, n);
        expect_same(CALL_EIGH, &e, n);
        expect_same(CALL_QR, &e, n);
    }
}

#ifdef HAVE_LAPACKE
Test(matrix, lapack_agrees) {
    static Eigen e;
    static double work[MOST * MOST], value[MOST], q[MOST * MOST], r[MOST * MOST], tau[MOST];
    for (int n = 2; n <= MOST; n += 23) {
        fill(&e, n);
        memcpy(work, e.a, sizeof work);
        gr_call_eigh(e.value, e.vector, e.a, n);
        cr_assert_eq(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'L', n, work, n, value), 0);
        for (int k = 0; k < n; k++) {
            int their = n - 1 - k;
            double dot = 0;
            cr_expect_float_eq(e.value[k], value[their], 1e-13);
            for (int i = 0; i < n; i++)
                dot += e.vector[i * n + k] * work[i * n + their];
            cr_expect_float_eq(fabs(dot), 1, 1e-11);
        }
        gr_call_qr(q, r, e.a, n, n);
        memcpy(work, e.a, sizeof work);
        cr_assert_eq(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, n, n, work, n, tau), 0);
        for (int i = 0; i < n; i++)
            for (int k = i; k < n; k++) {
                double sign = work[i * n + i] < 0 ? -1 : 1;
                cr_expect_float_eq(r[i * n + k], sign * work[i * n + k], 1e-13);
            }
    }
}
#endif
