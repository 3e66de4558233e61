/* SPDX-License-Identifier: MIT
 * The inverse of an index map, by counting: each position that reads an element is found exactly
 * once, none that does not is, and what is left to sum over is as little as can be.
 * Needs ir, pass/solve.h and Criterion. Differentiates nothing. */
#include "solve.h"
#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t state;
static int pick(int n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

static int64_t at_dims(const Ix *ix, const int64_t *dims) {
    return ix_eval(ix, dims, NULL, NULL);
}

static double number(const Scalar *s, const int64_t *dims) {
    if (s->kind == SC_CONST) return s->value;
    if (s->kind == SC_INDEX) return (double)at_dims(s->ix, dims);
    cr_assert_eq(s->kind, SC_OP);
    double v[3] = {0};
    for (int i = 0; i < op_info[s->op].arity; i++)
        v[i] = number(s->arg[i], dims);
    return op_info[s->op].value(v[0], v[1], v[2]);
}

/* The next position of a box in row-major order; false after the last. */
static bool step(int64_t *at, int n, const int64_t *extent) {
    for (int d = n - 1; d >= 0; d--) {
        if (++at[d] < extent[d]) return true;
        at[d] = 0;
    }
    return false;
}

typedef struct Box {
    int n;
    int64_t extent[MAX_DIMS];
} Box;

static int64_t box_size(const Box *box) {
    int64_t size = 1;
    for (int d = 0; d < box->n; d++)
        size *= box->extent[d];
    return size;
}

static int64_t place_of(const int64_t *at, const Box *box) {
    int64_t place = 0;
    for (int d = 0; d < box->n; d++) {
        if (at[d] < 0 || at[d] >= box->extent[d]) return -1;
        place = place * box->extent[d] + at[d];
    }
    return place;
}

/* Every element p of x, and every position that the solution names for it. */
static int64_t check_solution(Graph *g, const Box *reader, const Box *x, const Ix *const *map,
                              int seed) {
    Node *leaf = graph_leaf(g, NODE_INPUT, name_of("x"), true, x->n, x->extent, 0, (Span){0});
    const Scalar *read = sc_read(g, leaf, map, sc_const(g, 0));
    if (read->kind != SC_READ) return 0; /* all of it falls outside */
    Solution way = solve_read(g, read, reader->n, reader->extent);
    int n = x->n + way.nred;
    int *found = calloc((size_t)(box_size(reader) * box_size(x)), sizeof *found);
    int64_t at[MAX_DIMS] = {0}, size = box_size(reader);
    do {
        bool holds = true;
        for (int i = 0; i < way.guards.len && holds; i++)
            holds = number(way.guards.at[i].condition, at) != 0;
        if (!holds) continue;
        int64_t position[MAX_DIMS] = {0};
        for (int d = 0; d < reader->n; d++)
            position[d] = at_dims(way.dim[d], at);
        int64_t place = place_of(position, reader);
        cr_assert(place >= 0, "map %d: a position outside of the reader", seed);
        found[place_of(at, x) * size + place]++;
    } while (step(at, n, way.extent));
    int64_t position[MAX_DIMS] = {0}, left = 1;
    do {
        int64_t element[MAX_RANK] = {0};
        for (int c = 0; c < x->n; c++)
            element[c] = at_dims(map[c], position);
        int64_t sees = place_of(element, x), place = place_of(position, reader);
        for (int64_t p = 0; p < box_size(x); p++)
            cr_assert(found[p * size + place] == (p == sees),
                      "map %d: element %lld has position %lld %d times", seed, (long long)p,
                      (long long)place, found[p * size + place]);
    } while (step(position, reader->n, reader->extent));
    free(found);
    for (int i = 0; i < way.nred; i++) {
        cr_assert_gt(way.extent[x->n + i], 1, "map %d: a dimension of one position is left", seed);
        left *= way.extent[x->n + i];
    }
    return left;
}

static const Ix *times(Graph *g, int d, int64_t k) {
    return ix_scale(g, ix_dim(g, d), k);
}

/* Sums, floors and remainders of sums, and digits of several dimensions, shifted at random. */
static const Ix *random_form(Graph *g, const Box *reader) {
    const Ix *ix = ix_const(g, 0);
    int terms = 1 + pick(3);
    for (int i = 0; i < terms; i++) {
        int64_t k = 1 + pick(pick(3) ? 3 : 12);
        ix = ix_add(g, ix, times(g, pick(reader->n), pick(3) ? k : -k));
    }
    int kind = pick(6), by = 2 + pick(3);
    if (kind == 0) ix = ix_div(g, ix, by, pick(2) ? reader->extent : NULL);
    if (kind == 1) ix = ix_mod(g, ix, by, pick(2) ? reader->extent : NULL);
    if (kind == 2) { /* one of them with something beside it */
        ix = ix_div(g, ix, by, NULL);
        int64_t m = 1 + (pick(3) == 0);
        ix = ix_add(g, ix_scale(g, ix, pick(2) ? m : -m), times(g, pick(reader->n), 1 + pick(2)));
    }
    if (kind == 3) { /* all dimensions as digits */
        ix = ix_const(g, 0);
        for (int d = 0; d < reader->n; d++)
            ix = ix_add(g, ix_scale(g, ix, reader->extent[d] + (pick(4) == 0)), ix_dim(g, d));
    }
    return ix_add(g, ix, ix_const(g, pick(7) - 3));
}

/* Extents of x that hold some of what is read, most of it or more than all. */
static int64_t random_extent(const Ix *form, const Box *reader) {
    int64_t lo, hi;
    if (!ix_range(form, reader->extent, &lo, &hi) || hi < 1) return 1 + pick(4);
    int64_t extent = hi + 1 + pick(3) - 1 - (pick(4) ? 0 : hi / 2);
    return extent < 1 ? 1 : extent > 40 ? 40 : extent;
}

Test(solve, random_maps_are_inverted) {
    for (int seed = 1; seed <= 3000; seed++) {
        state = (uint64_t)seed * 2654435761u;
        pick(2);
        Arena *arena = arena_new();
        Graph *g = graph_new(arena);
        Box reader = {.n = 1 + pick(4)}, x = {.n = 1 + pick(2)};
        for (int d = 0; d < reader.n; d++)
            reader.extent[d] = 1 + pick(5);
        const Ix *map[MAX_RANK];
        for (int c = 0; c < x.n; c++) {
            map[c] = pick(4) ? random_form(g, &reader) : ix_dim(g, pick(reader.n));
            x.extent[c] = random_extent(map[c], &reader);
        }
        check_solution(g, &reader, &x, map, seed);
        arena_free(arena);
    }
}

/* How many positions are left to try for an element: the larger dimension is solved for, strides
 * leave a strip, digits nothing. */
Test(solve, least_is_left_to_sum_over) {
    const struct {
        int64_t extent[3], factor[3], by, mod, x, left;
    } rows[] = {
        {{8, 3, 1}, {1, 1, 0}, 0, 0, 10, 3}, {{3, 8, 1}, {1, 1, 0}, 0, 0, 10, 3},
        {{4, 3, 1}, {2, 1, 0}, 0, 0, 9, 2},  {{4, 2, 1}, {2, 1, 0}, 0, 0, 8, 1},
        {{5, 3, 1}, {-1, 1, 0}, 0, 0, 3, 3}, {{2, 3, 4}, {12, 4, 1}, 0, 0, 24, 1},
        {{6, 1, 1}, {1, 0, 0}, 2, 0, 3, 2},  {{6, 1, 1}, {1, 0, 0}, 0, 3, 3, 2},
        {{4, 5, 1}, {3, 2, 0}, 0, 0, 18, 2}, {{6, 1, 1}, {4, 0, 0}, 0, 0, 21, 1},
        {{3, 5, 1}, {1, 5, 0}, 4, 0, 6, 15},
    };
    for (int i = 0; i < LENGTH(rows); i++) {
        Arena *arena = arena_new();
        Graph *g = graph_new(arena);
        Box reader = {.n = 3}, x = {.n = 1, .extent = {rows[i].x}};
        const Ix *map[MAX_RANK] = {ix_const(g, 0)};
        for (int d = 0; d < 3; d++) {
            reader.extent[d] = rows[i].extent[d];
            map[0] = ix_add(g, map[0], times(g, d, rows[i].factor[d]));
        }
        if (rows[i].by) map[0] = ix_div(g, map[0], rows[i].by, reader.extent);
        if (rows[i].mod) map[0] = ix_mod(g, map[0], rows[i].mod, reader.extent);
        int64_t left = check_solution(g, &reader, &x, map, -i);
        cr_assert_eq(left, rows[i].left, "row %d: %lld are left", i, (long long)left);
        arena_free(arena);
    }
}
