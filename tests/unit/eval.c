/* SPDX-License-Identifier: MIT
 * The interpreter against loops written by hand, and its draws against Random123.
 * Needs ir, eval, Random123's header (known answers) and Criterion. */
#include "eval.h"
#include <Random123/philox.h>
#include <criterion/criterion.h>
#include <math.h>

enum { B = 3 }; /* examples */
static Arena *arena;
static Graph *g;
static Eval *eval;
static uint64_t state;

static void begin(void) {
    arena = arena_new();
    g = graph_new(arena);
    eval = eval_new(arena, B, 42);
    state = 5;
}
static void end(void) {
    eval_free(eval);
    arena_free(arena);
}
TestSuite(eval, .init = begin, .fini = end);

static double random_value(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-52 - 1;
}

/* A leaf of the given shape, set to random values; *values points to them. */
static Node *leaf(NodeKind kind, const char *name, int rank, const int64_t *extent,
                  const double **values) {
    Node *node = graph_leaf(g, kind, name_of(name), kind == NODE_INPUT, rank, extent, 0, (Span){0});
    int64_t count = eval_count(eval, node);
    double *v = NEW_ARRAY(arena, double, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = random_value();
    eval_set(eval, node, v);
    *values = v;
    return node;
}
static const Ix *d(int dim) {
    return ix_dim(g, dim);
}
static const Ix *plus(const Ix *a, const Ix *b) {
    return ix_add(g, a, b);
}
static const Scalar *k(double value) {
    return sc_const(g, value);
}
static const Scalar *op2(Op op, const Scalar *a, const Scalar *b) {
    return sc_op(g, op, a, b, NULL);
}

Test(eval, dense) {
    const double *w, *x, *b;
    Node *W = leaf(NODE_PARAM, "W", 2, (int64_t[]){4, 6}, &w);
    Node *X = leaf(NODE_INPUT, "x", 1, (int64_t[]){6}, &x),
         *Bias = leaf(NODE_PARAM, "b", 1, (int64_t[]){4}, &b);
    const Scalar *body = op2(OP_MUL, sc_read(g, W, (const Ix *[]){d(0), d(1)}, NULL),
                             sc_read(g, X, (const Ix *[]){d(1)}, NULL));
    Node *sum = graph_comp(
        g, &(CompSpec){.rank = 1, .nred = 1, .extent = {4, 6}, .reduce = RED_SUM, .body = body});
    Node *y = graph_map(g, 1, (int64_t[]){4},
                        op2(OP_ADD, sc_read_all(g, sum), sc_read_all(g, Bias)), NULL, (Span){0});
    cr_assert(y->per_example && eval_count(eval, y) == B * 4);
    const double *got = eval_node(eval, y), *magnitude = eval_magnitude(eval, y);
    for (int e = 0; e < B; e++)
        for (int u = 0; u < 4; u++) {
            double s = 0, m = 0;
            for (int i = 0; i < 6; i++)
                s += w[6 * u + i] * x[6 * e + i], m += fabs(w[6 * u + i] * x[6 * e + i]);
            cr_assert(got[4 * e + u] == s + b[u]);
            cr_assert_float_eq(magnitude[4 * e + u], m + fabs(b[u]), 1e-14);
        }
}

Test(eval, strided_padded_convolution) {
    enum { C = 2, H = 7, O = 3, K = 3, S = 2, OUT = 4 }; /* pad 1: (7 + 2 - 3) / 2 + 1 */
    const double *w, *x;
    Node *W = leaf(NODE_PARAM, "W", 4, (int64_t[]){O, C, K, K}, &w);
    Node *X = leaf(NODE_INPUT, "x", 3, (int64_t[]){C, H, H}, &x);
    const Ix *row = plus(plus(ix_scale(g, d(1), S), d(4)), ix_const(g, -1));
    const Ix *column = plus(plus(ix_scale(g, d(2), S), d(5)), ix_const(g, -1));
    const Scalar *body = op2(OP_MUL, sc_read(g, W, (const Ix *[]){d(0), d(3), d(4), d(5)}, NULL),
                             sc_read(g, X, (const Ix *[]){d(3), row, column}, k(0.25)));
    Node *y = graph_comp(g, &(CompSpec){.rank = 3,
                                        .nred = 3,
                                        .extent = {O, OUT, OUT, C, K, K},
                                        .reduce = RED_SUM,
                                        .body = body});
    const double *got = eval_node(eval, y);
    for (int e = 0; e < B; e++)
        for (int o = 0; o < O; o++)
            for (int i = 0; i < OUT; i++)
                for (int j = 0; j < OUT; j++) {
                    double s = 0;
                    for (int c = 0; c < C; c++)
                        for (int p = 0; p < K; p++)
                            for (int q = 0; q < K; q++) {
                                int r = i * S + p - 1, t = j * S + q - 1;
                                bool in = r >= 0 && r < H && t >= 0 && t < H;
                                s += w[((o * C + c) * K + p) * K + q] *
                                     (in ? x[((e * C + c) * H + r) * H + t] : 0.25);
                            }
                    cr_assert(got[((e * O + o) * OUT + i) * OUT + j] == s);
                }
}

Test(eval, reductions_over_examples_are_outermost_and_in_order) {
    const double *x;
    Node *X = leaf(NODE_INPUT, "x", 2, (int64_t[]){2, 3}, &x);
    const Scalar *read = sc_read(g, X, (const Ix *[]){d(1), d(0)}, NULL);
    CompSpec spec = {.rank = 1,
                     .nred = 1,
                     .extent = {3, 2},
                     .reduce = RED_SUM,
                     .over_batch = true,
                     .body = read};
    Node *sum = graph_comp(g, &spec);
    spec.reduce = RED_PROD;
    Node *product = graph_comp(g, &spec);
    cr_assert_not(sum->per_example);
    for (int j = 0; j < 3; j++) {
        double s = 0, p = 1;
        for (int e = 0; e < B; e++)
            for (int i = 0; i < 2; i++)
                s += x[(e * 2 + i) * 3 + j], p *= x[(e * 2 + i) * 3 + j];
        cr_assert(eval_node(eval, sum)[j] == s && eval_node(eval, product)[j] == p);
    }
    double huge[B * 6] = {0}; /* the terms of j = 0 in order: 1e16 swallows the first 1 */
    huge[0] = 1e16, huge[3] = 1, huge[6] = -1e16, huge[9] = 1;
    eval_set(eval, X, huge);
    cr_assert_eq(eval_node(eval, sum)[0], 1);
}

Test(eval, extremes_take_the_first_of_equals) {
    Node *X = graph_leaf(g, NODE_INPUT, name_of("x"), true, 2, (int64_t[]){2, 3}, 0, (Span){0});
    double values[B * 6] = {1, 5, 2, 5, 0, -1, /**/ -3, -3, -3, -3, -3, -3, /**/ 0, 1, 2, 3, 4, 5};
    eval_set(eval, X, values);
    CompSpec spec = {.nred = 2, .extent = {2, 3}, .body = sc_read_all(g, X)};
    const double expected[4][B] = {{5, -3, 5}, {-1, -3, 0}, {1, 0, 5}, {5, 0, 0}};
    for (int i = 0; i < 4; i++) {
        spec.reduce = (Reduce)(RED_MAX + i);
        const double *got = eval_node(eval, graph_comp(g, &spec));
        for (int e = 0; e < B; e++)
            cr_assert_eq(got[e], expected[i][e], "%d of example %d: %g", i, e, got[e]);
    }
    spec.reduce = RED_ARGMAX,
    spec.over_batch = true; /* index without the batch, over all examples */
    cr_assert_eq(eval_node(eval, graph_comp(g, &spec))[0], 1);
}

Test(eval, computed_positions_gather_and_fall_outside) {
    const double *table;
    Node *T = leaf(NODE_PARAM, "table", 1, (int64_t[]){5}, &table);
    Node *X = graph_leaf(g, NODE_INPUT, name_of("x"), true, 0, NULL, 0, (Span){0});
    eval_set(eval, X, (double[]){2.75, -0.25, 5.5});
    const Ix *at[1] = {ix_value(g, sc_read_all(g, X))};
    Node *y = graph_map(g, 0, NULL, sc_read(g, T, at, k(-9)), NULL, (Span){0});
    const double *got = eval_node(eval, y);
    cr_assert(got[0] == table[2] && got[1] == -9 && got[2] == -9);
    const Ix *next[1] = {plus(at[0], ix_const(g, 1))};
    Node *z = graph_map(g, 0, NULL, sc_read(g, T, next, k(-9)), NULL, (Span){0});
    got = eval_node(eval, z);
    cr_assert(got[0] == table[3] && got[1] == table[0] && got[2] == -9);
}

Test(eval, one_example_after_normalization_by_batch_statistics) {
    const double *x;
    Node *X = leaf(NODE_INPUT, "x", 1, (int64_t[]){4}, &x);
    Node *live = graph_leaf(g, NODE_INPUT, name_of("live"), true, 0, NULL, 0, (Span){0});
    const Scalar *masked = sc_op(g, OP_SELECT, sc_read_all(g, live), sc_read_all(g, X), k(0));
    CompSpec spec = {
        .rank = 1, .extent = {4}, .reduce = RED_SUM, .over_batch = true, .body = masked};
    Node *sum = graph_comp(g, &spec);
    double all = 0, two = 0;
    for (int e = 0; e < B; e++)
        all += x[4 * e + 1], two += e == 1 ? 0 : x[4 * e + 1];
    cr_assert_eq(eval_node(eval, sum)[1], all);
    eval_set(eval, live, (double[]){1, 0, 1});
    cr_assert_eq(eval_node(eval, sum)[1], two);
    Node *y = graph_map(g, 1, (int64_t[]){4}, op2(OP_SUB, sc_read_all(g, X), sc_read_all(g, sum)),
                        NULL, (Span){0});
    cr_assert_eq(eval_node(eval, y)[4 + 1], x[4 + 1] - two);
}

Test(eval, index_values_and_floors) {
    const Ix *half = ix_div(g, plus(d(0), ix_const(g, 1)), 2, NULL);
    Node *y =
        graph_map(g, 1, (int64_t[]){6}, op2(OP_MUL, sc_index(g, half), k(0.5)), NULL, (Span){0});
    for (int i = 0; i < 6; i++)
        cr_assert_eq(eval_node(eval, y)[i], 0.5 * ((i + 1) / 2));
}

/* ---- Magnitudes: at least what cancellation hides. */
Test(eval, magnitudes_see_through_cancellation) {
    Node *X = graph_leaf(g, NODE_INPUT, name_of("x"), true, 0, NULL, 0, (Span){0});
    eval_set(eval, X, (double[]){1e8, 2, 0});
    const Scalar *x = sc_read_all(g, X);
    Node *zero = graph_map(g, 0, NULL, op2(OP_SUB, x, op2(OP_ADD, x, k(1e-3))), NULL, (Span){0});
    Node *e =
        graph_map(g, 0, NULL, sc_op(g, OP_EXP, sc_read_all(g, zero), NULL, NULL), NULL, (Span){0});
    cr_assert_float_eq(eval_magnitude(eval, zero)[0], 2e8 + 1e-3, 1);
    cr_assert_float_eq(eval_magnitude(eval, e)[0], 2e8 + 1, 1e6);
    cr_assert(fabs(eval_node(eval, zero)[0]) < 2e-3);
    Node *q = graph_map(g, 0, NULL, op2(OP_DIV, k(1), sc_read_all(g, zero)), NULL, (Span){0});
    cr_assert_gt(eval_magnitude(eval, q)[1], 1e3 * 4 / 2e-3); /* |a| mag b / b^2 */
}

/* ---- Noise: exact things stay, the rest is off by a little, the same everywhere. */
Test(eval, noise_moves_what_float32_rounds) {
    const double *x;
    Node *X = leaf(NODE_PARAM, "x", 1, (int64_t[]){8}, &x);
    const Scalar *read = sc_read_all(g, X);
    Node *exact =
        graph_map(g, 1, (int64_t[]){8}, op2(OP_MUL, k(0.5), sc_index(g, d(0))), NULL, (Span){0});
    Node *third =
        graph_map(g, 1, (int64_t[]){8}, op2(OP_DIV, op2(OP_GE, read, read), k(3)), NULL, (Span){0});
    CompSpec spec = {.reduce = RED_SUM, .nred = 1, .extent = {8}};
    spec.body = op2(OP_SUB, read, op2(OP_ADD, read, k(0x1p-40)));
    Node *lost = graph_comp(g, &spec);
    cr_assert_eq(*eval_node(eval, lost), -0x1p-37);
    eval_noise(eval, 0x1p-20, 7);
    double first = *eval_node(eval, lost);
    cr_assert_neq(first, -0x1p-37);
    cr_assert_float_eq(first, 0, 8 * 0x1p-19);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(eval_node(eval, exact)[i], 0.5 * i);
        cr_assert_eq(eval_node(eval, third)[i], *eval_node(eval, third), "equal roundings");
        cr_assert_float_eq(eval_node(eval, third)[i], 1.0 / 3, 0x1p-21);
    }
    eval_noise(eval, 0x1p-20, 8);
    cr_assert_neq(*eval_node(eval, lost), first);
    eval_noise(eval, 0x1p-20, 7);
    cr_assert_eq(*eval_node(eval, lost), first);
    eval_noise(eval, 0, 0);
    cr_assert_eq(*eval_node(eval, lost), -0x1p-37);
}

/* ---- Draws */
static philox4x32_ctr_t block(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t place,
                              uint64_t seed) {
    philox4x32_ctr_t counter = {{c0, c1, c2, place}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    return philox4x32_R(10, counter, key);
}

Test(eval, philox_known_answers) {
    /* Random123's kat_vectors, through its own code as well */
    philox4x32_ctr_t zero = block(0, 0, 0, 0, 0), pi = block(0x243f6a88, 0x85a308d3, 0x13198a2e,
                                                             0x03707344, 0x299f31d0a4093822u);
    cr_assert(zero.v[0] == 0x6627e8d5 && zero.v[1] == 0xe169c58d && zero.v[2] == 0xbc57ac4c &&
              zero.v[3] == 0x9b00dbd8);
    cr_assert(pi.v[0] == 0xd16cfe09 && pi.v[1] == 0x94fdcceb && pi.v[2] == 0x5001e420 &&
              pi.v[3] == 0x24126ea1);
    for (uint32_t n = 0; n < 4; n++)
        cr_assert_eq(eval_draw(DRAW_UNIFORM, 0, 0x299f31d0a4093822u, 0x03707344,
                               4ull * 0x243f6a88 + n, 0x85a308d3, 0x13198a2e),
                     ((pi.v[n] >> 9) + 0.5) / 8388608);
}

Test(eval, draws_are_their_definition) {
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t seed = 0x123456789abcull * i;
        philox4x32_ctr_t four = block(i / 4, 9, 3, 0xbeef, seed),
                         eight = block(i / 8, 9, 3, 0xbeef, seed);
        double u = eval_draw(DRAW_UNIFORM, 0, seed, 0xbeef, i, 9, 3), p = (i % 100) / 100.0;
        cr_assert_eq(u, ((four.v[i % 4] >> 9) + 0.5) / 8388608);
        uint32_t word = eight.v[i % 8 / 2], field = i % 2 ? word >> 16 : word & 0xffff;
        cr_assert_eq(eval_draw(DRAW_BERNOULLI, p, seed, 0xbeef, i, 9, 3),
                     (field + 0.5) / 65536 < p);
        double z = eval_draw(DRAW_NORMAL, 0, seed, 0xbeef, i, 9, 3); /* Phi(z) = u */
        cr_assert_float_eq(0.5 * erfc(-z / sqrt(2)), u, 4e-16 + 2e-15 * u);
    }
}

Test(eval, draws_see_example_or_step) {
    const Ix *element = node_element(g, 1, (int64_t[]){3});
    Node *own = graph_map(g, 1, (int64_t[]){3}, sc_draw(g, DRAW_UNIFORM, NULL, element, 5, false),
                          NULL, (Span){0});
    Node *shared = graph_map(g, 1, (int64_t[]){3}, sc_draw(g, DRAW_NORMAL, NULL, element, 5, true),
                             NULL, (Span){0});
    cr_assert(own->per_example && !shared->per_example);
    uint32_t number[B] = {70, 3, 70}, presentation[B] = {0, 1, 2};
    eval_draws(eval, number, presentation, 11);
    for (int i = 0; i < 3; i++) {
        for (int e = 0; e < B; e++)
            cr_assert_eq(
                eval_node(eval, own)[3 * e + i],
                eval_draw(DRAW_UNIFORM, 0, 42, 5, (uint64_t)i, number[e], presentation[e]));
        cr_assert_eq(eval_node(eval, shared)[i],
                     eval_draw(DRAW_NORMAL, 0, 42, 5, (uint64_t)i, 11, 0));
    }
    double before = eval_node(eval, shared)[0];
    eval_draws(eval, number, presentation, 12);
    cr_assert_neq(eval_node(eval, shared)[0], before);
}

Test(eval, bernoulli_takes_its_probability_from_the_graph) {
    Node *P = graph_leaf(g, NODE_INPUT, name_of("p"), true, 0, NULL, 0, (Span){0});
    eval_set(eval, P, (double[]){0.1, 0.5, 0.9});
    const Scalar *draw = sc_draw(g, DRAW_BERNOULLI, sc_read_all(g, P), ix_dim(g, 0), 3, false);
    Node *count =
        graph_comp(g, &(CompSpec){.nred = 1, .extent = {2000}, .reduce = RED_SUM, .body = draw});
    const double *got = eval_node(eval, count), p[B] = {0.1, 0.5, 0.9};
    for (int e = 0; e < B; e++)
        cr_assert(fabs(got[e] - 2000 * p[e]) < 5 * sqrt(2000 * p[e] * (1 - p[e])));
}

Test(eval, a_leaf_set_again_is_seen) {
    Node *X = graph_leaf(g, NODE_HYPER, name_of("step"), false, 0, NULL, 0, (Span){0});
    Node *y = graph_map(g, 0, NULL, op2(OP_MUL, sc_read_all(g, X), k(2)), NULL, (Span){0});
    eval_set(eval, X, (double[]){3});
    cr_assert_eq(eval_node(eval, y)[0], 6);
    eval_set(eval, X, (double[]){4});
    cr_assert_eq(eval_node(eval, y)[0], 8);
}
