/* SPDX-License-Identifier: MIT
 * Tests of ranks, quantiles and weighted draws of examples against their definitions.
 * Needs Criterion. Whole trainings are the data cases of tests/errors. */
#include "philox.h"
#include "run.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 500 };

static double number(uint32_t i, uint32_t which) {
    return (double)(philox(5, i, which, 0, 0).word[0] % 40) / 4 - 5; /* many equal ones */
}

static bool smaller(double a, double b) {
    return isnan(a) ? false : isnan(b) || a < b;
}
static bool equal(double a, double b) {
    return isnan(a) ? isnan(b) : a == b;
}

Test(runtime_order_all, rank_is_how_many_are_smaller) {
    double key[N], group[N], rank[N], alone[N];
    for (uint32_t i = 0; i < N; i++) {
        key[i] = i % 50 == 7 ? NAN : i % 60 == 8 ? INFINITY : number(i, 0);
        group[i] = floor(number(i, 1));
    }
    order_rank(rank, key, group, N);
    order_rank(alone, key, NULL, N);
    for (int i = 0; i < N; i++) {
        int below = 0, all = 0;
        for (int j = 0; j < N; j++) {
            bool before = smaller(key[j], key[i]) || (equal(key[j], key[i]) && j < i);
            below += before && group[i] == group[j];
            all += before;
        }
        cr_assert_eq((int)rank[i], below, "example %d: %g, not %d", i, rank[i], below);
        cr_assert_eq((int)alone[i], all);
    }
}

Test(runtime_order_all, quantile_lies_between_neighbours) {
    const double four[] = {4, 1, 3, 2}, rising[] = {1, 2, INFINITY}, one[] = {7};
    cr_assert_eq(order_quantile(0, four, 4), 1);
    cr_assert_eq(order_quantile(1, four, 4), 4);
    cr_assert_eq(order_quantile(0.5, four, 4), 2.5);
    cr_assert_float_eq(order_quantile(0.9, four, 4), 3.7, 1e-12);
    cr_assert_eq(order_quantile(0.75, rising, 3), 2);
    cr_assert_eq(order_quantile(1, rising, 3), INFINITY);
    cr_assert_eq(order_quantile(0.99, one, 1), 7);
    cr_assert_eq(order_quantile(-1, four, 4), 1);
    cr_assert_eq(order_quantile(2, four, 4), 4);
}

Test(runtime_order_all, equal_weights_present_each_once) {
    uint32_t order[N];
    double weight[N];
    for (uint32_t epoch = 0; epoch < 200; epoch++) {
        uint8_t seen[N] = {0};
        for (int i = 0; i < N; i++)
            weight[i] = 0.37;
        order_sample(order, weight, N, 3, epoch);
        for (int i = 0; i < N; i++)
            cr_assert(order[i] < N && !seen[order[i]]++);
    }
}

Test(runtime_order_all, draws_are_in_proportion) {
    enum { EPOCHS = 4000, FEW = 40 };
    uint32_t order[FEW], again[FEW];
    double weight[FEW], total = 0;
    int64_t times[FEW] = {0};
    for (uint32_t i = 0; i < FEW; i++)
        total += weight[i] = i % 7 == 3 ? 0 : number(i, 2) + 5.1;
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        int now[FEW] = {0};
        order_sample(order, weight, FEW, 9, epoch);
        for (int i = 0; i < FEW; i++)
            now[order[i]]++;
        for (int i = 0; i < FEW; i++) { /* as often as expected, rounded down or up */
            double mean = FEW * weight[i] / total;
            cr_assert(now[i] >= (int)floor(mean) && now[i] <= (int)ceil(mean), "%d of %g", now[i],
                      mean);
            times[i] += now[i];
        }
    }
    for (int i = 0; i < FEW; i++) {
        double mean = FEW * weight[i] / total, part = mean - floor(mean);
        double sd = sqrt(part * (1 - part) / EPOCHS);
        cr_assert(fabs((double)times[i] / EPOCHS - mean) <= 4 * sd + 1e-9, "example %d: %g, not %g",
                  i, (double)times[i] / EPOCHS, mean);
    }
    order_sample(order, weight, FEW, 9, 1), order_sample(again, weight, FEW, 9, 1);
    cr_assert(!memcmp(order, again, sizeof order));
    order_sample(again, weight, FEW, 9, 2);
    cr_assert(memcmp(order, again, sizeof order));
}
