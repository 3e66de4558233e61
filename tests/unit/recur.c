/* SPDX-License-Identifier: MIT
 * Recurrences built by hand: their order, their values and gradients against unrolled graphs, and
 * their text form.
 * Needs pass_kit.h.
 * Tests no syntax and no generated code. */
#include "pass_kit.h"
#include <stdlib.h>

enum { STEPS = 5, WIDTH = 3, INPUTS = 2 };

typedef struct Net {
    Node *x, *w, *r, *h;
} Net;

static Net net_leaves(Kit *k) {
    return (Net){.x = kit_leaf(k, NODE_INPUT, "x", SHAPE(STEPS, INPUTS)),
                 .w = kit_leaf(k, NODE_PARAM, "w", SHAPE(WIDTH, INPUTS)),
                 .r = kit_leaf(k, NODE_PARAM, "r", SHAPE(WIDTH, WIDTH))};
}

static Node *inputs_of(Kit *k, const Net *net) {
    const Scalar *body = OP2(MUL, READ(net->w, D(1), D(2)), READ(net->x, D(0), D(2)));
    return comp(k, RED_SUM, 2, body, SHAPE(STEPS, WIDTH, INPUTS));
}

/* h[t, u] = tanh(p[t, u] + sum[v] r[u, v] * h[t + by, v; out]) */
static Net recurrent(Kit *k, int64_t by, double out) {
    Net net = net_leaves(k);
    Node *p = inputs_of(k, &net);
    Node *before = graph_scan(k->g, 2, p->extent, name_of("h"), (Span){0});
    const Scalar *read = PADDED(before, N(out), PLUS(D(0), C(by)), D(2));
    Node *a =
        comp(k, RED_SUM, 2, OP2(MUL, READ(net.r, D(1), D(2)), read), SHAPE(STEPS, WIDTH, WIDTH));
    net.h = comp(k, RED_NONE, 2, OP1(TANH, OP2(ADD, ALL(p), ALL(a))), SHAPE(STEPS, WIDTH));
    scan_bind(k->g, before, net.h);
    return net;
}

/* The same, a node for each step. */
static Net unrolled(Kit *k, int64_t by, double out) {
    Net net = net_leaves(k);
    Node *p = inputs_of(k, &net), *step[STEPS];
    const Scalar *all = N(0);
    for (int i = 0; i < STEPS; i++) {
        int t = by < 0 ? i : STEPS - 1 - i, other = t + (int)by;
        bool outside = other < 0 || other >= STEPS;
        const Scalar *read = outside ? N(out) : READ(step[other], D(1));
        Node *a = comp(k, RED_SUM, 1, OP2(MUL, READ(net.r, D(0), D(1)), read), SHAPE(WIDTH, WIDTH));
        const Scalar *sum = OP2(ADD, READ(p, C(t), D(0)), READ(a, D(0)));
        step[t] = comp(k, RED_NONE, 1, OP1(TANH, sum), SHAPE(WIDTH));
        const Scalar *here = OP2(EQ, sc_index(k->g, D(0)), N(t));
        all = SELECT(here, READ(step[t], D(1)), all);
    }
    net.h = comp(k, RED_NONE, 2, all, SHAPE(STEPS, WIDTH));
    return net;
}

typedef Net Make(Kit *k, int64_t by, double out);

static const double *values(Make *make, int64_t by, double out) {
    Kit *k = malloc(sizeof *k);
    *k = kit_new(4);
    Net net = make(k, by, out);
    return eval_node(kit_eval(k), net.h);
}

Test(recur, values_are_those_of_the_unrolled_graph) {
    static const int64_t distance[] = {-1, -2, 1, 3};
    for (int i = 0; i < LENGTH(distance); i++) {
        const double *a = values(recurrent, distance[i], 0.25),
                     *b = values(unrolled, distance[i], 0.25);
        compare("h", a, b, EXAMPLES * STEPS * WIDTH, 1e-14);
        cr_assert(fabs(a[0] - a[WIDTH]) > 1e-6, "the steps should differ");
    }
}

Test(recur, gradients_are_those_of_the_unrolled_graph) {
    static const int64_t distance[] = {-1, -2, 1, 3};
    for (int i = 0; i < LENGTH(distance); i++) {
        Kit one = kit_new(5), two = kit_new(5), *k = &one;
        Net a = recurrent(k, distance[i], 0);
        Checked c = CHECK(kit_loss(k, a.h), a.x, a.w, a.r);
        k = &two;
        Net b = unrolled(k, distance[i], 0);
        Checked d = CHECK(kit_loss(k, b.h), b.x, b.w, b.r);
        int64_t count[] = {EXAMPLES * STEPS * INPUTS, WIDTH * INPUTS, WIDTH * WIDTH};
        for (int p = 0; p < 3; p++)
            compare("gradient", c.gradient[p], d.gradient[p], count[p], 1e-12);
    }
}

/* Two values that read each other, one of them within the step, and a product of both. */
static Net coupled(Kit *k) {
    Net net = net_leaves(k);
    Node *p = inputs_of(k, &net);
    Node *h = graph_scan(k->g, 2, p->extent, name_of("h"), (Span){0}),
         *c = graph_scan(k->g, 2, p->extent, name_of("c"), (Span){0});
    const Scalar *h_before = PADDED(h, N(0), PLUS(D(0), C(-1)), D(2));
    Node *gate = comp(k, RED_SUM, 2, OP2(MUL, READ(net.r, D(1), D(2)), h_before),
                      SHAPE(STEPS, WIDTH, WIDTH));
    const Scalar *c_before = PADDED(c, N(0.5), PLUS(D(0), C(-1)), D(1));
    Node *cell =
        comp(k, RED_NONE, 2, OP2(ADD, OP2(MUL, OP1(TANH, ALL(gate)), c_before), OP1(SIN, ALL(p))),
             SHAPE(STEPS, WIDTH));
    scan_bind(k->g, c, cell);
    net.h = comp(k, RED_NONE, 2, OP2(MUL, OP1(COS, ALL(gate)), OP1(TANH, ALL(cell))),
                 SHAPE(STEPS, WIDTH));
    scan_bind(k->g, h, net.h);
    return net;
}

Test(recur, gradients_of_coupled_values) {
    Kit kit = kit_new(6), *k = &kit;
    Net net = coupled(k);
    CHECK(kit_loss(k, net.h), net.x, net.w, net.r);
}

Test(recur, a_recurrence_over_a_recurrence) {
    Kit kit = kit_new(7), *k = &kit;
    Net net = recurrent(k, -1, 0);
    Node *before = graph_scan(k->g, 2, net.h->extent, name_of("g"), (Span){0});
    const Scalar *later = PADDED(before, N(0), PLUS(D(0), C(1)), D(1));
    Node *g = comp(k, RED_NONE, 2, OP2(ADD, OP2(MUL, N(0.7), later), OP2(MUL, ALL(net.h), later)),
                   SHAPE(STEPS, WIDTH));
    g = comp(k, RED_NONE, 2, OP2(ADD, ALL(g), ALL(net.h)), SHAPE(STEPS, WIDTH));
    scan_bind(k->g, before, g);
    CHECK(kit_loss(k, g), net.x, net.w, net.r);
}

/* What no gradient passes through leaves no recurrence behind. */
Test(recur, stopped_gradients_do_not_run_backward) {
    Kit kit = kit_new(8), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(STEPS, WIDTH));
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(WIDTH));
    Node *before = graph_scan(k->g, 2, x->extent, name_of("h"), (Span){0});
    Node *cut =
        comp(k, RED_NONE, 2, PADDED(before, N(0), PLUS(D(0), C(-1)), D(1)), SHAPE(STEPS, WIDTH));
    const Scalar *old = OP1(STOP, ALL(cut));
    Node *h = comp(k, RED_NONE, 2, OP1(TANH, OP2(ADD, OP2(MUL, READ(w, D(1)), ALL(x)), old)),
                   SHAPE(STEPS, WIDTH));
    scan_bind(k->g, before, h);
    Node *loss = kit_loss(k, h), *results[] = {loss, graph_grad(k->g, loss, w)};
    Unit *unit = unit_of(k, 2, results);
    pass_run(unit, NULL, NULL, NULL);
    graph_verify(unit, 1);
    NodeList nodes = program_nodes(k->arena, &unit->programs.at[0]);
    int scans = 0;
    for (int i = 0; i < nodes.len; i++)
        scans += nodes.at[i]->kind == NODE_SCAN;
    cr_assert_eq(scans, 1);
    cr_assert(isfinite(*eval_node(kit_eval(k), RESULT(unit, 1))));
}

/* ---- Order */
static NodeList groups_of(Kit *k, Node *node, Map *groups) {
    Program program = {.kind = PROGRAM_STEP};
    VEC_PUSH(k->arena, program.results, (Result){.node = node});
    map_init(groups, k->arena);
    return program_groups(k->arena, &program, groups);
}

static int place_of(const NodeList *nodes, const Node *node) {
    for (int i = 0; i < nodes->len; i++)
        if (nodes->at[i] == node) return i;
    cr_assert_fail("a node is not listed");
    return -1;
}

Test(recur, a_group_stands_together_after_its_operands_and_before_its_readers) {
    Kit kit = kit_new(9), *k = &kit;
    Net net = coupled(k);
    Node *reader = comp(k, RED_SUM, 1, ALL(net.h), SHAPE(STEPS, WIDTH));
    Map groups;
    NodeList nodes = groups_of(k, reader, &groups);
    const ScanGroup *group = map_get(&groups, net.h);
    cr_assert(group && !group->fault);
    cr_assert_eq(group->direction, 1);
    cr_assert_eq(group->extent, STEPS);
    cr_assert_eq(group->nodes.len, 5); /* the gate, the cell, h and two references */
    int first = nodes.len, last = -1;
    for (int i = 0; i < nodes.len; i++)
        if (map_get(&groups, nodes.at[i])) first = i < first ? i : first, last = i;
    cr_assert_eq(last - first + 1, 5);
    cr_assert(place_of(&nodes, net.x) < first && place_of(&nodes, net.r) < first);
    cr_assert_eq(place_of(&nodes, reader), nodes.len - 1);
    for (int i = 0; i < group->nodes.len; i++) /* the cell comes before h, which reads it */
        if (group->nodes.at[i] == net.h) cr_assert(i >= 2);
}

Test(recur, both_directions_are_a_fault) {
    Kit kit = kit_new(10), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(STEPS));
    Node *h = graph_scan(k->g, 1, x->extent, name_of("h"), (Span){0});
    const Scalar *sum =
        OP2(ADD, PADDED(h, N(0), PLUS(D(0), C(-1))), PADDED(h, N(0), PLUS(D(0), C(1))));
    Node *y = comp(k, RED_NONE, 1, OP2(ADD, sum, ALL(x)), SHAPE(STEPS));
    scan_bind(k->g, h, y);
    Map groups;
    groups_of(k, y, &groups);
    cr_assert(((ScanGroup *)map_get(&groups, y))->fault);
}

Test(recur, the_same_index_is_a_fault) {
    Kit kit = kit_new(11), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(STEPS));
    Node *h = graph_scan(k->g, 1, x->extent, name_of("h"), (Span){0});
    Node *y = comp(k, RED_NONE, 1, OP2(ADD, ALL(h), ALL(x)), SHAPE(STEPS));
    scan_bind(k->g, h, y);
    Map groups;
    groups_of(k, y, &groups);
    cr_assert(((ScanGroup *)map_get(&groups, y))->fault);
}

/* ---- Text */
static char *text_of(const Unit *unit) {
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    graph_print(out, unit);
    fclose(out);
    return text;
}

Test(recur, text_is_read_back) {
    Kit kit = kit_new(12), *k = &kit;
    Net net = coupled(k);
    Node *loss = kit_loss(k, net.h), *results[] = {loss, graph_grad(k->g, loss, net.r)};
    Unit *unit = unit_of(k, 2, results);
    pass_run(unit, NULL, NULL, NULL);
    char *text = text_of(unit);
    cr_assert(strstr(text, " = scan [5, 3] per example") && strstr(text, "\nscan %"));
    Unit *again = graph_read(k->arena, source_add("graph", text, strlen(text), false));
    cr_assert(again != NULL, "%s", text);
    graph_verify(again, 1);
    cr_assert_str_eq(text_of(again), text);
}

Test(recur, text_with_an_unbound_reference_is_refused) {
    const char *text = "gradus graph 1\n%0 h = scan [5] per example\n";
    cr_assert(!graph_read(arena_new(), source_add("graph", text, strlen(text), false)));
    cr_assert_gt(diag_errors(), 0);
}

Test(recur, only_a_fixed_distance_is_an_offset) {
    Kit kit = kit_new(9), *k = &kit;
    Node *h = graph_scan(k->g, 2, (int64_t[]){STEPS, STEPS}, name_of("h"), (Span){0});
    int64_t offset = 0;
    cr_assert(scan_offset(PADDED(h, N(0), PLUS(D(0), C(-2)), D(1)), &offset));
    cr_assert_eq(offset, -2);
    cr_assert_not(scan_offset(PADDED(h, N(0), TIMES(D(0), 2), D(1)), &offset));
    cr_assert_not(scan_offset(PADDED(h, N(0), D(1), D(0)), &offset));
    cr_assert_not(scan_offset(PADDED(h, N(0), C(0), D(1)), &offset));
}
