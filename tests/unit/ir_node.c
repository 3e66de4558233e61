/* SPDX-License-Identifier: MIT
 * Nodes: interning, derived facts, what folds, and the checks of constructors and verifier.
 * Needs ir and Criterion. */
#include "ir.h"
#include <criterion/criterion.h>
#include <signal.h>

static Arena *arena;
static Graph *g;
static Node *x, *w, *mu, *step;

static void begin(void) {
    arena = arena_new();
    g = graph_new(arena);
    x = graph_leaf(g, NODE_INPUT, name_of("x"), true, 2, (int64_t[]){3, 8}, 0, (Span){0});
    w = graph_leaf(g, NODE_PARAM, name_of("w"), false, 1, (int64_t[]){8}, 0, (Span){0});
    mu = graph_leaf(g, NODE_FITTED, name_of("mu"), false, 1, (int64_t[]){8}, 0, (Span){0});
    step = graph_leaf(g, NODE_HYPER, name_of("step"), false, 0, NULL, 0, (Span){0});
}
static void end(void) {
    arena_free(arena);
}
TestSuite(ir_node, .init = begin, .fini = end);

static const Ix *d(int dim) {
    return ix_dim(g, dim);
}
static const Ix *c(int64_t value) {
    return ix_const(g, value);
}
static const Scalar *k(double value) {
    return sc_const(g, value);
}
static const Scalar *read1(Node *node, const Ix *at, const Scalar *outside) {
    return sc_read(g, node, &at, outside);
}
static const Scalar *read2(Node *node, const Ix *i, const Ix *j) {
    return sc_read(g, node, (const Ix *[]){i, j}, NULL);
}
static Node *map1(int64_t extent, const Scalar *body) {
    return graph_map(g, 1, &extent, body, NULL, (Span){0});
}

Test(ir_node, equal_nodes_are_one_and_the_first_name_stays) {
    int64_t extent[1] = {8};
    const Scalar *body = sc_op(g, OP_ADD, sc_read_all(g, w), k(1), NULL);
    Node *a = map1(8, body);
    Node *b = graph_map(g, 1, extent, body, name_of("b"), (Span){0});
    Node *again = graph_map(g, 1, extent, body, name_of("again"), (Span){0});
    cr_assert(a == b && b == again && a->name == name_of("b"));
    cr_assert_neq(map1(7, body), a);
    cr_assert_eq(graph_leaf(g, NODE_PARAM, name_of("w"), false, 1, extent, 0, (Span){0}), w);
    for (int i = 1; i < g->nodes.len; i++)
        cr_assert_eq(g->nodes.at[i]->id, (uint32_t)i);
}

Test(ir_node, a_plain_read_gives_back_what_it_reads) {
    cr_assert_eq(map1(8, sc_read_all(g, w)), w);
    cr_assert_neq(map1(7, sc_read_all(g, w)), w);   /* a part */
    cr_assert_eq(map1(8, read1(w, d(0), k(3))), w); /* the outside is never met */
    Node *t = graph_map(g, 2, (int64_t[]){8, 3}, read2(x, d(1), d(0)), NULL, (Span){0});
    cr_assert_neq(t, x);
}

Test(ir_node, facts_are_derived) {
    const Scalar *xi = read2(x, d(0), d(1));
    CompSpec spec = {.rank = 1, .nred = 1, .extent = {3, 8}, .reduce = RED_SUM, .body = xi};
    Node *sum = graph_comp(g, &spec);
    spec.over_batch = true;
    Node *batch = graph_comp(g, &spec);
    cr_assert(sum->per_example && !batch->per_example && sum != batch);
    cr_assert(node_count(sum) == 3 && node_terms(sum) == 8 && node_dims(sum) == 2);
    Node *centered =
        map1(8, sc_op(g, OP_SUB, sc_read_all(g, mu), sc_read(g, step, NULL, NULL), NULL));
    cr_assert(centered->wide && !centered->per_example);
    cr_assert_not(map1(8, sc_op(g, OP_SUB, sc_read_all(g, mu), sc_read_all(g, w), NULL))->wide);
    Node *loss = graph_comp(
        g, &(CompSpec){.nred = 1, .extent = {8}, .reduce = RED_SUM, .body = sc_read_all(g, w)});
    Node *grad = graph_grad(g, loss, w);
    cr_assert(grad->rank == 1 && grad->extent[0] == 8 && !grad->per_example &&
              grad == graph_grad(g, loss, w));
    int64_t dims[3] = {2, 1, 3};
    cr_assert_eq(ix_eval(node_element(g, 3, (int64_t[]){4, 3, 5}), dims, NULL, NULL), 38);
}

Test(ir_node, outside_values_go_where_they_cannot_be_met) {
    const Scalar *shifted = read1(w, ix_add(g, d(0), c(-1)), k(0));
    cr_assert_not_null(map1(8, shifted)->body->outside);
    const Scalar *within = read1(w, ix_add(g, d(0), c(2)), k(0));
    cr_assert_null(map1(6, within)->body->outside);
    cr_assert_eq(map1(4, read1(w, ix_add(g, d(0), c(8)), k(5)))->body, k(5));
}

Test(ir_node, reductions_that_need_no_adding) {
    CompSpec spec = {.nred = 2, .extent = {3, 5}, .reduce = RED_SUM, .body = k(2)};
    cr_assert_eq(graph_comp(g, &spec)->body, k(30));
    spec.reduce = RED_MAX;
    cr_assert_eq(graph_comp(g, &spec)->body, k(2));
    spec.reduce = RED_ARGMAX;
    cr_assert_eq(graph_comp(g, &spec)->body, k(0));
    spec.reduce = RED_SUM, spec.over_batch = true; /* the number of examples is not known */
    cr_assert_eq(graph_comp(g, &spec)->reduce, RED_SUM);
    spec.body = k(0);
    cr_assert_eq(graph_comp(g, &spec)->reduce, RED_NONE);
    spec.body = k(0.1), spec.over_batch = false; /* ten tenths are not one */
    cr_assert_eq(graph_comp(g, &spec)->reduce, RED_SUM);
    spec.nred = 0, spec.body = sc_read(g, step, NULL, NULL);
    cr_assert_eq(graph_comp(g, &spec), step);
}

/* ---- What cannot be made */
Test(ir_node, unbound_dimension, .signal = SIGABRT) {
    map1(8, sc_index(g, d(1)));
}
Test(ir_node, read_that_leaves, .signal = SIGABRT) {
    map1(8, read1(w, ix_add(g, d(0), c(1)), NULL));
}
Test(ir_node, read_before_the_start, .signal = SIGABRT) {
    map1(8, read1(w, ix_add(g, d(0), c(-1)), NULL));
}
Test(ir_node, floor_that_leaves, .signal = SIGABRT) {
    map1(18, read1(w, ix_div(g, d(0), 2, NULL), NULL));
}
Test(ir_node, floor_that_just_fits) {
    cr_assert(map1(16, read1(w, ix_div(g, d(0), 2, NULL), NULL)));
}
Test(ir_node, leaf_of_two_shapes, .signal = SIGABRT) {
    graph_leaf(g, NODE_PARAM, name_of("w"), false, 1, (int64_t[]){9}, 0, (Span){0});
}
Test(ir_node, extent_zero, .signal = SIGABRT) {
    map1(0, k(1));
}
Test(ir_node, parameter_per_example, .signal = SIGABRT) {
    graph_leaf(g, NODE_PARAM, name_of("p"), true, 0, NULL, 0, (Span){0});
}
Test(ir_node, gradient_of_a_vector, .signal = SIGABRT) {
    graph_grad(g, w, w);
}
Test(ir_node, operands_missing, .signal = SIGABRT) {
    sc_op(g, OP_ADD, k(1), NULL, NULL);
}

/* ---- The verifier, on a unit with one update */
static Unit *small_unit(Node **loss) {
    Unit *unit = NEW(arena, Unit);
    unit->arena = arena, unit->graph = g;
    VEC_PUSH(arena, unit->params, w);
    Program init = {.kind = PROGRAM_INIT, .name = name_of("init")},
            one = {.kind = PROGRAM_STEP, .name = name_of("step")};
    VEC_PUSH(arena, init.results,
             ((Result){RESULT_NEXT, w->name, w, graph_const(g, 1, (int64_t[]){8}, 0)}));
    *loss = graph_comp(
        g, &(CompSpec){.nred = 1, .extent = {8}, .reduce = RED_SUM, .body = sc_read_all(g, w)});
    VEC_PUSH(arena, one.results, ((Result){RESULT_VALUE, name_of("loss"), NULL, *loss}));
    VEC_PUSH(arena, unit->programs, init);
    VEC_PUSH(arena, unit->programs, one);
    return unit;
}
static void add_step(Unit *unit, Result result) {
    VEC_PUSH(arena, unit->programs.at[1].results, result);
}

Test(ir_node, verifier_takes_what_is_right) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    add_step(unit, (Result){RESULT_NEXT, w->name, w, graph_grad(g, loss, w)});
    graph_verify(unit, 0);
    cr_assert_eq(unit_program(unit, "step"), &unit->programs.at[1]);
    cr_assert_null(unit_program(unit, "stop"));
    NodeList nodes = program_nodes(arena, unit_program(unit, "step"));
    cr_assert_eq(nodes.len, 3);
    cr_assert(nodes.at[0] == w && nodes.at[1] == loss && nodes.at[2]->kind == NODE_GRAD);
}
Test(ir_node, gradient_after_its_pass, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    add_step(unit, (Result){RESULT_NEXT, w->name, w, graph_grad(g, loss, w)});
    graph_verify(unit, 1);
}
Test(ir_node, next_of_another_shape, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    add_step(unit, (Result){RESULT_NEXT, w->name, w, loss});
    graph_verify(unit, 0);
}
Test(ir_node, next_per_example, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    add_step(unit, (Result){RESULT_NEXT, w->name, w, map1(8, read2(x, c(0), d(0)))});
    graph_verify(unit, 0);
}
Test(ir_node, next_of_a_fitted_value_in_a_step, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    add_step(unit, (Result){RESULT_NEXT, mu->name, mu, mu});
    graph_verify(unit, 0);
}
Test(ir_node, parameter_never_initialized, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    VEC_PUSH(arena, unit->states,
             graph_leaf(g, NODE_STATE, name_of("s"), false, 0, NULL, 0, (Span){0}));
    graph_verify(unit, 0);
}
Test(ir_node, a_node_that_was_changed, .signal = SIGABRT) {
    Node *loss;
    Unit *unit = small_unit(&loss);
    loss->per_example = true;
    graph_verify(unit, 0);
}
