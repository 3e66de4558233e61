/* SPDX-License-Identifier: MIT
 * Scalars: what folds, what must not, interning, derived flags, substitution and rewriting.
 * Needs ir and Criterion. */
#include "ir.h"
#include <criterion/criterion.h>
#include <math.h>

static Arena *arena;
static Graph *g;
static Node *input, *weights, *fitted;
static const Scalar *x, *y;
static const int64_t shape[2] = {4, 5};

static void begin(void) {
    arena = arena_new();
    g = graph_new(arena);
    input = graph_leaf(g, NODE_INPUT, name_of("x"), true, 2, shape, 0, (Span){0});
    weights = graph_leaf(g, NODE_PARAM, name_of("w"), false, 2, shape, 0, (Span){0});
    fitted = graph_leaf(g, NODE_FITTED, name_of("mu"), false, 1, shape, 0, (Span){0});
    x = sc_read_all(g, input);
    y = sc_read_all(g, weights);
}
static void end(void) {
    arena_free(arena);
}
TestSuite(ir_fold, .init = begin, .fini = end);

static const Scalar *k(double value) {
    return sc_const(g, value);
}
static const Scalar *op1(Op op, const Scalar *a) {
    return sc_op(g, op, a, NULL, NULL);
}
static const Scalar *op2(Op op, const Scalar *a, const Scalar *b) {
    return sc_op(g, op, a, b, NULL);
}
static const Scalar *op3(Op op, const Scalar *a, const Scalar *b, const Scalar *c) {
    return sc_op(g, op, a, b, c);
}
static const Scalar *dim(int d) {
    return sc_index(g, ix_dim(g, d));
}

Test(ir_fold, equal_things_are_one) {
    cr_assert_eq(op2(OP_ADD, x, y), op2(OP_ADD, x, y));
    cr_assert_neq(op2(OP_ADD, x, y), op2(OP_ADD, y, x));
    cr_assert_eq(k(0.5), k(0.5));
    cr_assert_neq(k(0.0), k(-0.0));
    cr_assert_eq(sc_read_all(g, input), x);
    const Ix *element = node_element(g, 2, shape);
    cr_assert_eq(sc_draw(g, DRAW_NORMAL, NULL, element, 7, true),
                 sc_draw(g, DRAW_NORMAL, NULL, element, 7, true));
    cr_assert_neq(sc_draw(g, DRAW_NORMAL, NULL, element, 7, true),
                  sc_draw(g, DRAW_NORMAL, NULL, element, 8, true));
    cr_assert_neq(sc_draw(g, DRAW_NORMAL, NULL, element, 7, true),
                  sc_draw(g, DRAW_NORMAL, NULL, element, 7, false));
}

Test(ir_fold, nearly_identities) {
    const Scalar *less = op2(OP_LT, x, y), *other = op1(OP_NEG, x);
    cr_assert_neq(op1(OP_ABS, other), other);
    cr_assert_eq(op1(OP_ABS, op1(OP_ABS, x)), op1(OP_ABS, x));
    cr_assert_eq(op2(OP_DIV, x, k(-1)), other);
    cr_assert_eq(op3(OP_SELECT, op3(OP_SELECT, less, k(1), k(0)), x, y),
                 op3(OP_SELECT, less, x, y));
    cr_assert_eq(op3(OP_SELECT, op3(OP_SELECT, less, k(0), k(1)), x, y),
                 op3(OP_SELECT, less, y, x));
}

Test(ir_fold, identities) {
    cr_assert_eq(op2(OP_ADD, x, k(0)), x);
    cr_assert_eq(op2(OP_ADD, k(0), x), x);
    cr_assert_eq(op2(OP_SUB, x, k(0)), x);
    cr_assert_eq(op2(OP_MUL, x, k(1)), x);
    cr_assert_eq(op2(OP_MUL, k(1), x), x);
    cr_assert_eq(op2(OP_MUL, x, k(0)), k(0));
    cr_assert_eq(op2(OP_MUL, k(0), x), k(0));
    cr_assert_eq(op2(OP_DIV, x, k(1)), x);
    cr_assert_eq(op1(OP_NEG, op1(OP_NEG, x)), x);
    cr_assert_eq(op1(OP_NEG, k(3)), k(-3));
    cr_assert_eq(op2(OP_MUL, k(-1), x), op1(OP_NEG, x));
    cr_assert_eq(op2(OP_ADD, y, op1(OP_NEG, x)), op2(OP_SUB, y, x));
    cr_assert_eq(op2(OP_SUB, y, op1(OP_NEG, x)), op2(OP_ADD, y, x));
    cr_assert_eq(op2(OP_MIN, x, x), x);
    cr_assert_eq(op2(OP_MAX, x, x), x);
    cr_assert_eq(op3(OP_FMA, x, k(1), y), op2(OP_ADD, x, y));
    cr_assert_eq(op3(OP_FMA, k(1), x, y), op2(OP_ADD, x, y));
    cr_assert_neq(op2(OP_SUB, k(0), x), x);
    cr_assert_eq(op3(OP_FMA, k(0), x, y), y);
    cr_assert_eq(op3(OP_FMA, x, y, k(0)), op2(OP_MUL, x, y));
    cr_assert_eq(op1(OP_EXP, k(1)), k(exp(1)));
    cr_assert_eq(op1(OP_FLOOR, dim(0)), dim(0));
    cr_assert_eq(op1(OP_STOP, op1(OP_STOP, x)), op1(OP_STOP, x));
    cr_assert_eq(sc_index(g, ix_const(g, 4)), k(4));
}

Test(ir_fold, what_could_be_nan_stays) {
    cr_assert_eq(op2(OP_SUB, x, x)->kind, SC_OP);
    cr_assert_eq(op2(OP_DIV, x, x)->kind, SC_OP);
    cr_assert_eq(op2(OP_EQ, x, x)->kind, SC_OP);
    cr_assert_eq(op1(OP_NOT, op2(OP_LT, x, y))->op, OP_NOT);
}

Test(ir_fold, conditions) {
    const Scalar *c = op2(OP_LT, x, y), *d = op2(OP_GT, x, k(2));
    cr_assert_eq(op3(OP_SELECT, k(1), x, y), x);
    cr_assert_eq(op3(OP_SELECT, k(0), x, y), y);
    cr_assert_eq(op3(OP_SELECT, c, x, x), x);
    cr_assert_eq(op3(OP_SELECT, op1(OP_NOT, c), x, y), op3(OP_SELECT, c, y, x));
    cr_assert_eq(op2(OP_LT, k(1), k(2)), k(1));
    cr_assert_eq(op2(OP_AND, c, k(1)), c);
    cr_assert_eq(op2(OP_AND, k(0), c), k(0));
    cr_assert_eq(op2(OP_OR, k(0), c), c);
    cr_assert_eq(op2(OP_OR, c, k(5)), k(1));
    cr_assert_eq(op2(OP_AND, c, c), c);
    cr_assert_eq(op1(OP_NOT, op1(OP_NOT, c)), c);
    cr_assert_eq(op2(OP_AND, c, d)->op, OP_AND);
    cr_assert_eq(op2(OP_LT, dim(0), sc_index(g, ix_add(g, ix_dim(g, 0), ix_const(g, 1)))), k(1));
    cr_assert_eq(op2(OP_EQ, dim(0), dim(0)), k(1));
    cr_assert_eq(op2(OP_EQ, dim(0), dim(1))->kind, SC_OP);
}

Test(ir_fold, truth_and_number_are_converted) {
    const Scalar *c = op2(OP_LT, x, y);
    const Scalar *number = op3(OP_SELECT, c, k(1), k(0));
    cr_assert_eq(op2(OP_MUL, c, x), op2(OP_MUL, number, x));
    cr_assert_eq(op2(OP_AND, number, c), c);
    cr_assert_eq(op3(OP_SELECT, x, y, k(2))->arg[0], op2(OP_NE, x, k(0)));
    Node *node = graph_map(g, 2, shape, c, NULL, (Span){0});
    cr_assert_eq(node->body, number);
}

Test(ir_fold, powers) {
    const Scalar *x2 = op2(OP_MUL, x, x), *x3 = op2(OP_MUL, x2, x), *x4 = op2(OP_MUL, x2, x2);
    cr_assert_eq(op2(OP_POW, x, k(0)), k(1));
    cr_assert_eq(op2(OP_POW, x, k(1)), x);
    cr_assert_eq(op2(OP_POW, x, k(2)), x2);
    cr_assert_eq(op2(OP_POW, x, k(3)), x3);
    cr_assert_eq(op2(OP_POW, x, k(4)), x4);
    cr_assert_eq(op2(OP_POW, x, k(5)), op2(OP_MUL, x4, x));
    cr_assert_eq(op2(OP_POW, x, k(6)), op2(OP_MUL, x3, x3));
    cr_assert_eq(op2(OP_POW, x, k(7)), op2(OP_MUL, op2(OP_MUL, x3, x3), x));
    cr_assert_eq(op2(OP_POW, x, k(8)), op2(OP_MUL, x4, x4));
    cr_assert_eq(op2(OP_POW, x, k(9))->op, OP_POW);
    cr_assert_eq(op2(OP_POW, x, k(-2)), op2(OP_DIV, k(1), x2));
    cr_assert_eq(op2(OP_POW, x, k(0.5)), op1(OP_SQRT, x));
    cr_assert_eq(op2(OP_POW, x, y)->op, OP_POW);
}

Test(ir_fold, reads) {
    const int64_t ten[1] = {10};
    const Ix *inside[1] = {ix_const(g, 9)}, *out[1] = {ix_const(g, 10)}, *some[1] = {ix_dim(g, 0)};
    Node *v = graph_leaf(g, NODE_PARAM, name_of("v"), false, 1, ten, 0, (Span){0});
    cr_assert_eq(sc_read(g, v, inside, k(7)), sc_read(g, v, inside, NULL));
    cr_assert_eq(sc_read(g, v, out, k(7)), k(7));
    cr_assert_eq(sc_read(g, v, some, k(7))->outside, k(7));
    Node *three = graph_const(g, 1, ten, 3);
    cr_assert_eq(sc_read(g, three, some, NULL), k(3));
    cr_assert_eq(sc_read(g, three, some, k(3)), k(3));
    cr_assert_eq(sc_read(g, three, some, k(0))->kind, SC_READ);
}

Test(ir_fold, flags) {
    const Ix *d0[1] = {ix_dim(g, 0)};
    const Scalar *mu = sc_read(g, fitted, d0, NULL), *i = dim(1);
    const Scalar *u = sc_draw(g, DRAW_UNIFORM, NULL, ix_dim(g, 2), 1, true);
    cr_assert(x->per_example && x->reads && !x->wide && x->dims == 3);
    cr_assert(!y->per_example && y->reads && !y->wide);
    cr_assert(mu->wide && mu->dims == 1);
    cr_assert(!i->reads && !i->wide && i->dims == 2);
    cr_assert(op2(OP_MUL, mu, i)->wide);
    cr_assert_not(op2(OP_MUL, mu, y)->wide);
    cr_assert_not(op2(OP_MUL, mu, u)->wide);
    cr_assert(u->reads && !u->per_example && u->dims == 4);
    cr_assert(sc_draw(g, DRAW_UNIFORM, NULL, ix_dim(g, 0), 1, false)->per_example);
    cr_assert_not(op2(OP_ADD, i, k(2))->wide);
    const Ix *at[1] = {ix_value(g, x)}; /* a position computed from an example */
    const Scalar *gathered = sc_read(g, fitted, at, NULL);
    cr_assert(gathered->per_example && !gathered->wide && gathered->dims == 3);
}

Test(ir_fold, substitution_reaches_every_leaf) {
    const Scalar *s =
        op2(OP_ADD, x, op2(OP_MUL, dim(1), sc_draw(g, DRAW_UNIFORM, NULL, ix_dim(g, 1), 3, true)));
    const Ix *map[2] = {NULL, ix_add(g, ix_dim(g, 2), ix_const(g, 1))},
             *at[2] = {ix_dim(g, 0), map[1]};
    const Scalar *expected =
        op2(OP_ADD, sc_read(g, input, at, NULL),
            op2(OP_MUL, sc_index(g, map[1]), sc_draw(g, DRAW_UNIFORM, NULL, map[1], 3, true)));
    cr_assert_eq(sc_subst(g, s, map, 2, NULL), expected);
    const Ix *value = ix_value(g, op2(OP_MUL, dim(1), k(0.3)));
    const Ix *moved = ix_value(g, op2(OP_MUL, sc_index(g, map[1]), k(0.3)));
    cr_assert_eq(ix_subst(g, value, map, 2, NULL), moved);
    cr_assert_eq(sc_subst(g, k(2), map, 2, NULL), k(2));
}

static const Scalar *weights_for_input(Graph *graph, const Scalar *leaf, void *context) {
    ++*(int *)context;
    return leaf->kind == SC_READ && leaf->node == input
               ? sc_read(graph, weights, leaf->at, leaf->outside)
               : NULL;
}
static void count(const Scalar *read, void *context) {
    cr_assert_eq(read->kind, SC_READ);
    ++*(int *)context;
}

Test(ir_fold, rewriting_replaces_leaves_everywhere) {
    const Ix *at[1] = {ix_value(g, x)};
    const Scalar *gathered = sc_read(g, fitted, at, op1(OP_EXP, x));
    const Scalar *s = op2(OP_ADD, op2(OP_MUL, x, x), gathered);
    int calls = 0, reads = 0;
    const Scalar *changed = sc_rewrite(g, s, weights_for_input, &calls);
    const Ix *other[1] = {ix_value(g, y)};
    cr_assert_eq(changed,
                 op2(OP_ADD, op2(OP_MUL, y, y), sc_read(g, fitted, other, op1(OP_EXP, y))));
    cr_assert_eq(calls, 2); /* each distinct leaf once */
    sc_reads(s, count, &reads);
    cr_assert_eq(reads, 2);
    cr_assert_not(changed->per_example);
}
