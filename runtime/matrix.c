/* SPDX-License-Identifier: MIT
 * Functions of whole tensors that generated code calls: eigh by Householder's reduction and the
 * implicit QL method, qr by Householder reflections. Needs libc alone; sqrt is exact, everything
 * else is + - * / in a fixed order, so that the bits are the same everywhere.
 * Uses no threads; runs when values are fitted, never in a step. */
#include "matrix.h"
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *numbers(int64_t count) {
    double *memory = calloc((size_t)(count > 0 ? count : 1), sizeof *memory);
    if (memory) return memory;
    fprintf(stderr, "out of memory: a matrix of %lld numbers\n", (long long)count);
    exit(1);
}

/* Length of (a, b); the matrix was scaled, so that nothing overflows. */
static double length(double a, double b) {
    return sqrt(a * a + b * b);
}

/* Makes x = (x0, …) a reflection I - beta v v' that leaves of x its length in x0; v replaces x.
 * Returns beta, 0 where x is (x0, 0, …) already; *left is what stands for x0. */
static double reflector(double *x, int64_t n, int64_t stride, double *left) {
    double rest = 0;
    *left = x[0];
    for (int64_t i = 1; i < n; i++)
        rest += x[i * stride] * x[i * stride];
    if (rest == 0) return 0;
    double all = sqrt(x[0] * x[0] + rest);
    *left = x[0] > 0 ? -all : all;
    x[0] -= *left;
    return 2 / (x[0] * x[0] + rest);
}

/* ---- Symmetric: A = Q T Q' with T tridiagonal (d, and e below it). Row k of `a` gets the vector
 * of reflection k behind its diagonal. */
static void tridiagonal(double *a, int64_t n, double *d, double *e, double *beta, double *w) {
    for (int64_t k = 0; k < n; k++) {
        d[k] = a[k * n + k];
        e[k] = beta[k] = 0;
        int64_t m = n - k - 1, first = k + 1;
        if (m < 1) break;
        double *v = a + k * n + first;
        beta[k] = m > 1 ? reflector(v, m, 1, &e[k]) : 0;
        if (m == 1) e[k] = v[0];
        if (beta[k] == 0) continue;
        double dot = 0;
        for (int64_t i = 0; i < m; i++) {
            const double *row = a + (first + i) * n + first;
            double sum = 0;
            for (int64_t j = 0; j < m; j++)
                sum += row[j] * v[j];
            w[i] = beta[k] * sum;
            dot += w[i] * v[i];
        }
        for (int64_t i = 0; i < m; i++)
            w[i] -= beta[k] / 2 * dot * v[i];
        for (int64_t i = 0; i < m; i++) {
            double *row = a + (first + i) * n + first, vi = v[i], wi = w[i];
            for (int64_t j = 0; j < m; j++)
                row[j] -= vi * w[j] + wi * v[j];
        }
    }
}

/* The rows of z become those of Q' (the last reflection first). */
static void accumulate(const double *a, int64_t n, const double *beta, double *z) {
    for (int64_t i = 0; i < n; i++)
        z[i * n + i] = 1;
    for (int64_t k = n - 3; k >= 0; k--) {
        const double *v = a + k * n + k + 1;
        int64_t m = n - k - 1;
        if (beta[k] == 0) continue;
        for (int64_t i = k + 1; i < n; i++) { /* z := z (I - beta v v') on the columns behind k */
            double *row = z + i * n + k + 1, dot = 0;
            for (int64_t j = 0; j < m; j++)
                dot += row[j] * v[j];
            dot *= beta[k];
            for (int64_t j = 0; j < m; j++)
                row[j] -= dot * v[j];
        }
    }
}

/* One implicit QL step with Wilkinson's shift on the block l .. m (Bowdler, Martin, Reinsch and
 * Wilkinson 1968); the rows of z turn along. */
static void ql_step(double *d, double *e, int64_t l, int64_t m, double *z, int64_t n) {
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = length(g, 1), s = 1, c = 1, p = 0;
    g = d[m] - d[l] + e[l] / (g < 0 ? g - r : g + r);
    for (int64_t i = m - 1; i >= l; i--) {
        double f = s * e[i], b = c * e[i];
        r = length(f, g);
        e[i + 1] = r;
        if (r == 0) { /* it falls apart here */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        double *low = z + i * n, *high = low + n;
        for (int64_t k = 0; k < n; k++) {
            double x = low[k], y = high[k];
            high[k] = s * x + c * y;
            low[k] = c * x - s * y;
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static void diagonalize(double *d, double *e, double *z, int64_t n, double size) {
    for (int64_t l = 0; l < n; l++)
        for (int step = 0; step < 100; step++) {
            int64_t m = l;
            for (; m < n - 1; m++) {
                double near = fabs(d[m]) + fabs(d[m + 1]);
                if (fabs(e[m]) <= DBL_EPSILON * near || fabs(e[m]) <= 1e-3 * DBL_EPSILON * size)
                    break;
            }
            if (m == l) break;
            ql_step(d, e, l, m, z, n);
        }
}

/* The first of the largest components is positive; what differs by rounding alone counts as equal.
 */
static double sign_of(const double *v, int64_t n) {
    double most = 0;
    for (int64_t k = 0; k < n; k++)
        most = fabs(v[k]) > most ? fabs(v[k]) : most;
    for (int64_t k = 0; k < n; k++)
        if (fabs(v[k]) >= most * (1 - 1e-9)) return v[k] < 0 ? -1 : 1;
    return 1;
}

/* From the largest value down; equal ones in the order found. */
static void sort_out(const double *d, const double *z, int64_t n, double scale, double *value,
                     double *vector) {
    int64_t *order = (int64_t *)(void *)numbers(n);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i;
        for (; at > 0 && d[order[at - 1]] < d[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int64_t k = 0; k < n; k++) {
        const double *row = z + order[k] * n;
        double sign = sign_of(row, n);
        if (value) value[k] = d[order[k]] * scale;
        for (int64_t i = 0; vector && i < n; i++)
            vector[i * n + k] = sign * row[i];
    }
    free(order);
}

/* Where an element is no number, neither is any result. */
static bool fill_nan(const double *matrix, int64_t count, double *one, int64_t of_one,
                     double *other, int64_t of_other) {
    bool finite = true;
    for (int64_t i = 0; i < count; i++)
        finite = finite && isfinite(matrix[i]);
    for (int64_t i = 0; !finite && one && i < of_one; i++)
        one[i] = (double)NAN;
    for (int64_t i = 0; !finite && other && i < of_other; i++)
        other[i] = (double)NAN;
    return !finite;
}

void gr_call_eigh(double *value, double *vector, const double *matrix, int64_t n) {
    if (fill_nan(matrix, n * n, value, n, vector, n * n)) return;
    double *a = numbers(n * n), *z = numbers(n * n), *d = numbers(n), *e = numbers(n),
           *beta = numbers(n), *w = numbers(n), most = 0, size = 0;
    int power = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            a[i * n + j] = 0.5 * matrix[i * n + j] + 0.5 * matrix[j * n + i];
            most = fabs(a[i * n + j]) > most ? fabs(a[i * n + j]) : most;
        }
    frexp(most, &power); /* scaling by a power of two rounds nothing */
    double scale = most > 0 ? ldexp(1, power) : 1;
    for (int64_t i = 0; i < n * n; i++)
        a[i] /= scale;
    tridiagonal(a, n, d, e, beta, w);
    for (int64_t i = 0; i < n; i++)
        size = fabs(d[i]) + fabs(e[i]) > size ? fabs(d[i]) + fabs(e[i]) : size;
    accumulate(a, n, beta, z);
    diagonalize(d, e, z, n, size);
    sort_out(d, z, n, scale, value, vector);
    free(a), free(z), free(d), free(e), free(beta), free(w);
}

/* ---- Q R of an m by n matrix, m >= n; the diagonal of R is not negative. */
static void reflect(double *x, int64_t width, int64_t from, int64_t to, const double *v, int64_t n,
                    int64_t stride, double beta) {
    for (int64_t j = from; j < to; j++) {
        double dot = 0;
        for (int64_t i = 0; i < n; i++)
            dot += v[i * stride] * x[i * width + j];
        dot *= beta;
        for (int64_t i = 0; i < n; i++)
            x[i * width + j] -= dot * v[i * stride];
    }
}

void gr_call_qr(double *q, double *r, const double *matrix, int64_t m, int64_t n) {
    if (fill_nan(matrix, m * n, q, m * n, r, n * n)) return;
    double *a = numbers(m * n), *beta = numbers(n), *diagonal = numbers(n), *own = numbers(m * n);
    memcpy(a, matrix, sizeof *a * (size_t)(m * n));
    for (int64_t k = 0; k < n; k++) {
        double *v = a + k * n + k;
        beta[k] = reflector(v, m - k, n, &diagonal[k]);
        if (beta[k] != 0) reflect(a + k * n, n, k + 1, n, v, m - k, n, beta[k]);
    }
    for (int64_t k = 0; k < n; k++)
        own[k * n + k] = 1;
    for (int64_t k = n - 1; k >= 0; k--)
        if (beta[k] != 0) reflect(own + k * n, n, k, n, a + k * n + k, m - k, n, beta[k]);
    for (int64_t j = 0; j < n; j++) {
        double sign = diagonal[j] < 0 ? -1 : 1;
        for (int64_t i = 0; q && i < m; i++)
            q[i * n + j] = sign * own[i * n + j];
        for (int64_t k = 0; r && k < n; k++)
            r[j * n + k] = k < j ? 0 : sign * (k == j ? diagonal[j] : a[j * n + k]);
    }
    free(a), free(beta), free(diagonal), free(own);
}
