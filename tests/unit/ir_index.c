/* SPDX-License-Identifier: MIT
 * Index forms against brute force: random forms keep their value under every builder, at every
 * point of a small box, and ranges hold them.
 * Needs ir and Criterion. */
#include "ir.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIMS = 3 };
static uint64_t state;
static int64_t random_in(int64_t lo, int64_t hi) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((state >> 33) % (uint64_t)(hi - lo + 1));
}

static int64_t floor_div(int64_t a, int64_t b) {
    return (int64_t)floor((double)a / (double)b);
}

/* A random form built beside the table of its values over the box: the oracle is the table. */
typedef struct Table {
    const Ix *ix;
    int64_t *value;
} Table;
static int64_t extents[DIMS];
static int points;
static Arena *arena;
static Graph *g;

static void at_point(int p, int64_t *dims) {
    for (int d = DIMS - 1; d >= 0; d--) {
        dims[d] = p % extents[d];
        p /= (int)extents[d];
    }
}

static Table table_new(void) {
    return (Table){NULL, NEW_ARRAY(arena, int64_t, points)};
}

static Table random_form(int depth, const int64_t *known) {
    Table t = table_new(), a, b;
    int64_t dims[DIMS], k;
    switch (depth ? random_in(0, 6) : random_in(0, 1)) {
    case 0:
        k = random_in(-9, 9);
        t.ix = ix_const(g, k);
        for (int p = 0; p < points; p++)
            t.value[p] = k;
        return t;
    case 1:
        k = random_in(0, DIMS - 1);
        t.ix = ix_dim(g, (int)k);
        for (int p = 0; p < points; p++)
            at_point(p, dims), t.value[p] = dims[k];
        return t;
    case 2:
    case 3:
        a = random_form(depth - 1, known), b = random_form(depth - 1, known);
        k = random_in(0, 1);
        t.ix = k ? ix_add(g, a.ix, b.ix) : ix_sub(g, a.ix, b.ix);
        for (int p = 0; p < points; p++)
            t.value[p] = k ? a.value[p] + b.value[p] : a.value[p] - b.value[p];
        return t;
    case 4:
        a = random_form(depth - 1, known), k = random_in(-4, 4);
        t.ix = ix_scale(g, a.ix, k);
        for (int p = 0; p < points; p++)
            t.value[p] = k * a.value[p];
        return t;
    case 5:
        a = random_form(depth - 1, known), k = random_in(1, 6);
        t.ix = ix_div(g, a.ix, k, known);
        for (int p = 0; p < points; p++)
            t.value[p] = floor_div(a.value[p], k);
        return t;
    default:
        a = random_form(depth - 1, known), k = random_in(1, 6);
        t.ix = ix_mod(g, a.ix, k, known);
        for (int p = 0; p < points; p++)
            t.value[p] = a.value[p] - k * floor_div(a.value[p], k);
        return t;
    }
}

static void begin(uint64_t seed) {
    state = seed;
    arena = arena_new();
    g = graph_new(arena);
    points = 1;
    for (int d = 0; d < DIMS; d++)
        extents[d] = random_in(1, 6), points *= (int)extents[d];
}

static void check_table(Table t, uint64_t seed) {
    int64_t dims[DIMS], lo, hi;
    cr_assert(ix_range(t.ix, extents, &lo, &hi));
    for (int p = 0; p < points; p++) {
        at_point(p, dims);
        int64_t value = ix_eval(t.ix, dims, NULL, NULL);
        cr_assert_eq(value, t.value[p], "seed %d point %d: %d, not %d", (int)seed, p, (int)value,
                     (int)t.value[p]);
        cr_assert(lo <= value && value <= hi, "seed %d: %d not in %d .. %d", (int)seed, (int)value,
                  (int)lo, (int)hi);
        for (int d = 0; d < DIMS; d++) /* what it says not to depend on, it does not */
            if (!(ix_dims(t.ix) >> d & 1)) {
                dims[d] = extents[d] - 1 - dims[d];
                cr_assert_eq(value, ix_eval(t.ix, dims, NULL, NULL));
                at_point(p, dims);
            }
    }
}

Test(ir_index, random_forms_keep_their_values) {
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        begin(seed);
        check_table(random_form(4, seed % 2 ? extents : NULL), seed);
        arena_free(arena);
    }
}

Test(ir_index, substitution_is_evaluation_at_the_new_point) {
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        begin(seed);
        Table outer = random_form(3, NULL);
        Table map[DIMS];
        const Ix *to[DIMS];
        for (int d = 0; d < DIMS; d++)
            map[d] = random_form(2, extents), to[d] = d == 1 && seed % 3 == 0 ? NULL : map[d].ix;
        const Ix *result = ix_subst(g, outer.ix, to, DIMS, seed % 2 ? extents : NULL);
        for (int p = 0; p < points; p++) {
            int64_t dims[DIMS], new[DIMS];
            at_point(p, dims);
            for (int d = 0; d < DIMS; d++)
                new[d] = to[d] ? map[d].value[p] : dims[d];
            cr_assert_eq(ix_eval(result, dims, NULL, NULL), ix_eval(outer.ix, new, NULL, NULL),
                         "seed %d point %d", (int)seed, p);
        }
        arena_free(arena);
    }
}

/* Affine forms in distinct dimensions, their floors and remainders of single dimensions: the range
 * is met at both ends. */
Test(ir_index, ranges_are_tight_where_they_can_be) {
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        begin(seed);
        const Ix *a = ix_const(g, random_in(-5, 5));
        for (int d = 0; d < DIMS; d++)
            a = ix_add(g, a, ix_scale(g, ix_dim(g, d), random_in(-7, 7)));
        if (seed % 3) a = ix_div(g, a, random_in(1, 7), extents);
        if (seed % 3 == 2) a = ix_scale(g, a, random_in(-3, 3));
        int64_t lo, hi, least = INT64_MAX, most = INT64_MIN, dims[DIMS];
        cr_assert(ix_range(a, extents, &lo, &hi));
        for (int p = 0; p < points; p++) {
            at_point(p, dims);
            int64_t value = ix_eval(a, dims, NULL, NULL);
            least = value < least ? value : least, most = value > most ? value : most;
        }
        cr_assert(lo == least && hi == most, "seed %d: %d .. %d, not %d .. %d", (int)seed, (int)lo,
                  (int)hi, (int)least, (int)most);
        arena_free(arena);
    }
}

Test(ir_index, remainder_range_is_seen) {
    begin(1);
    int64_t box[DIMS] = {100, 7, 3}, lo, hi;
    const Ix *i = ix_dim(g, 0);
    cr_assert(ix_range(ix_mod(g, ix_add(g, i, ix_const(g, 5)), 4, box), box, &lo, &hi));
    cr_assert(lo == 0 && hi == 3);
    const Ix *mod = ix_mod(g, ix_add(g, ix_scale(g, i, 3), ix_dim(g, 1)), 12, box);
    cr_assert(ix_range(ix_add(g, mod, ix_dim(g, 2)), box, &lo, &hi));
    cr_assert(lo == 0 && hi == 13);
    cr_assert(ix_range(ix_scale(g, mod, -2), box, &lo, &hi));
    cr_assert(lo == -22 && hi == 0);
    arena_free(arena);
}

Test(ir_index, equal_forms_are_one) {
    begin(1);
    int64_t box[DIMS] = {10, 4, 2};
    const Ix *i = ix_dim(g, 0), *j = ix_dim(g, 1), *k = ix_dim(g, 2);
    const Ix *flat = ix_add(g, ix_scale(g, ix_add(g, ix_scale(g, i, 4), j), 2), k);
    cr_assert_eq(ix_div(g, flat, 8, box), i);
    cr_assert_eq(ix_mod(g, ix_div(g, flat, 2, box), 4, box), j);
    cr_assert_eq(ix_mod(g, flat, 2, box), k);
    cr_assert_eq(ix_div(g, ix_div(g, i, 2, NULL), 3, NULL), ix_div(g, i, 6, NULL));
    /* floor((i + 5) / 2) = floor((i + 1) / 2) + 2 */
    cr_assert_eq(ix_div(g, ix_add(g, i, ix_const(g, 5)), 2, NULL),
                 ix_add(g, ix_div(g, ix_add(g, i, ix_const(g, 1)), 2, NULL), ix_const(g, 2)));
    cr_assert_eq(ix_div(g, ix_add(g, ix_scale(g, i, 4), ix_const(g, 3)), 6, NULL),
                 ix_div(g, ix_add(g, ix_scale(g, i, 2), ix_const(g, 1)), 3, NULL));
    cr_assert_eq(ix_sub(g, ix_add(g, i, j), i), j);
    cr_assert_eq(ix_mod(g, ix_scale(g, i, 5), 2, NULL), ix_mod(g, i, 2, NULL));
    cr_assert(ix_is_const(ix_sub(g, flat, flat), NULL));
    int dim;
    cr_assert(ix_is_dim(j, &dim) && dim == 1);
    cr_assert_not(ix_is_dim(ix_add(g, j, ix_const(g, 1)), &dim));
    cr_assert(ix_affine(flat) && !ix_affine(ix_div(g, i, 3, NULL)));
    cr_assert_eq(ix_coef(flat, 0), 8);
    cr_assert_eq(ix_coef(flat, 3), 0);
    arena_free(arena);
}

static double half_of_dim0(const Scalar *value, void *context) {
    cr_assert_eq(value->kind, SC_OP);
    return *(double *)context;
}

Test(ir_index, computed_positions_round_down_and_block_ranges) {
    begin(1);
    const Scalar *half = sc_op(g, OP_MUL, sc_index(g, ix_dim(g, 0)), sc_const(g, 0.5), NULL);
    const Ix *value = ix_value(g, half);
    double at = -1.5;
    int64_t dims[DIMS] = {0}, lo, hi;
    cr_assert_eq(ix_eval(value, dims, half_of_dim0, &at), -2);
    at = (double)NAN;
    cr_assert_lt(ix_eval(value, dims, half_of_dim0, &at), -1000000);
    cr_assert_not(ix_range(value, extents, &lo, &hi));
    cr_assert_eq(ix_dims(value), 1u);
    cr_assert_eq(ix_value(g, sc_op(g, OP_FLOOR, half, NULL, NULL)), value);
    cr_assert_eq(ix_value(g, sc_const(g, -2.5)), ix_const(g, -3));
    cr_assert_eq(ix_value(g, sc_index(g, ix_dim(g, 2))), ix_dim(g, 2));
    const Ix *map[1] = {ix_const(g, 5)};
    cr_assert_eq(ix_subst(g, ix_add(g, value, ix_dim(g, 1)), map, 1, NULL),
                 ix_add(g, ix_dim(g, 1), ix_const(g, 2)));
    arena_free(arena);
}
