/* SPDX-License-Identifier: MIT
 * What simplify, contract, order and unit_rewrite make of graphs built by hand.
 * Needs pass_kit.h.
 * Values are compared by kit_check on the way; gradients are pass_gradient.c's business. */
#include "pass_kit.h"

static void pass_named(Unit *unit, const char *name) {
    for (int i = 0; i < pass_count; i++)
        if (!strcmp(pass_table[i].name, name)) {
            pass_table[i].run(unit);
            return;
        }
    cr_assert_fail("no pass %s", name);
}

/* Runs one pass on one result; its value must stay. */
static Node *after(Kit *k, const char *pass, Node *node) {
    Unit *unit = unit_of(k, 1, (Node *[]){node});
    int64_t count = eval_count(kit_eval(k), node);
    const double *before = eval_node(kit_eval(k), node);
    pass_named(unit, pass);
    cr_assert_eq(RESULT(unit, 0)->rank, node->rank);
    compare(pass, eval_node(kit_eval(k), RESULT(unit, 0)), before, count, 1e-12);
    return RESULT(unit, 0);
}

Test(simplify, factors_leave_sums) {
    Kit kit = kit_new(1), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3, 4));
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(3));
    const Scalar *e =
        OP2(DIV, OP2(MUL, READ(a, D(0)), OP1(NEG, READ(x, D(0), D(1)))), OP1(EXP, READ(a, D(0))));
    Node *y = after(k, "simplify", comp_batch(k, RED_SUM, 1, LIVE(e), SHAPE(3, 4)));
    cr_assert_eq(y->reduce, RED_NONE);
    Node *sum = comp_batch(k, RED_SUM, 1, LIVE(READ(x, D(0), D(1))), SHAPE(3, 4));
    NodeList nodes = program_nodes(k->arena, &unit_of(k, 1, &y)->programs.at[0]);
    bool found = false;
    for (int i = 0; i < nodes.len; i++)
        found |= nodes.at[i] == sum;
    cr_assert(found);
    /* a condition that is not `live` keeps its branch to itself */
    const Scalar *safe = SELECT(OP2(GT, READ(x, D(0), D(1)), N(9)),
                                OP2(DIV, READ(x, D(0), D(1)), READ(a, D(0))), N(0));
    kit_find(k, a)->value[1] = 0;
    Node *z = after(k, "simplify", comp(k, RED_SUM, 1, safe, SHAPE(3, 4)));
    cr_assert_eq(z->reduce, RED_SUM);
    cr_assert_eq(eval_node(kit_eval(k), z)[1], 0);
}

/* Under other conditions than "the example is there" a factor stays: it may be infinite. */
Test(simplify, factors_stay_under_conditions) {
    Kit kit = kit_new(1), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3));
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(3));
    const Scalar *here = READ(x, D(0)), *term = OP2(MUL, READ(a, D(0)), here);
    const Scalar *body = SELECT(OP2(NE, here, N(0)), term, N(0));
    Node *y = after(k, "simplify", comp_batch(k, RED_SUM, 1, body, SHAPE(3)));
    cr_assert_eq(y->reduce, RED_SUM);
}

/* A draw is numbered by the elements of the node that it stands in. */
Test(simplify, draws_stay_where_they_stand) {
    Kit kit = kit_new(1), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3, 4));
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(3));
    const Ix *element = node_element(k->g, SHAPE(3, 4));
    const Scalar *draw = sc_draw(k->g, DRAW_NORMAL, NULL, element, 7, true);
    const Scalar *body = OP2(MUL, READ(x, D(0), D(1)), OP2(ADD, READ(a, D(0)), draw));
    Node *y = after(k, "simplify", comp(k, RED_NONE, 2, body, SHAPE(3, 4)));
    cr_assert(y->body->draws);
}

Test(simplify, sums_over_what_is_not_used_are_counts) {
    Kit kit = kit_new(2), *k = &kit;
    Node *x = kit_leaf(k, NODE_PARAM, "x", SHAPE(3, 4));
    Node *y =
        after(k, "simplify", comp(k, RED_SUM, 2, OP1(SIN, READ(x, D(0), C(1))), SHAPE(3, 4, 5, 6)));
    cr_assert_eq(y->reduce, RED_NONE);
    y = after(k, "simplify", comp(k, RED_SUM, 2, READ(x, D(0), D(2)), SHAPE(3, 5, 4)));
    cr_assert_eq(y->body->kind, SC_READ); /* of a sum over one dimension less */
    cr_assert_eq(y->body->node->rank, 1);
    y = after(k, "simplify", comp(k, RED_SUM, 1, N(0.3), SHAPE(3, 5)));
    cr_assert_eq(y->body->kind, SC_CONST);
}

Test(simplify, a_written_sum_is_not_split) {
    Kit kit = kit_new(3), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3));
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(3));
    const Scalar *off = OP2(SUB, READ(x, D(0)), READ(a, D(0)));
    Node *y = comp_batch(k, RED_SUM, 1, LIVE(off), SHAPE(3));
    cr_assert_eq(after(k, "simplify", y), y);
    y = comp_batch(k, RED_SUM, 1, LIVE(OP2(MUL, off, off)), SHAPE(3));
    cr_assert_eq(after(k, "simplify", y), y); /* the two-pass variance */
}

Test(simplify, shared_parts_and_reciprocals) {
    Kit kit = kit_new(4), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3, 4));
    Node *v = kit_leaf(k, NODE_PARAM, "v", SHAPE(3));
    for (int i = 0; i < 3; i++)
        kit_find(k, v)->value[i] += 2;
    const Scalar *sd = OP1(SQRT, OP2(ADD, READ(v, D(0)), N(1e-5)));
    Node *y =
        after(k, "simplify", comp(k, RED_NONE, 2, OP2(DIV, READ(x, D(0), D(1)), sd), SHAPE(3, 4)));
    cr_assert(is_plain_product(y->body));
    Node *reciprocal = y->body->arg[1]->node;
    cr_assert_eq(reciprocal->rank, 1);
    cr_assert(!reciprocal->per_example && has_op(reciprocal->body, OP_SQRT) &&
              has_op(reciprocal->body, OP_DIV));
    /* in a reduction too, over the dimensions that it uses; a lone read stays where it is */
    Node *s = after(
        k, "simplify",
        comp(k, RED_SUM, 0, OP2(MUL, READ(x, D(0), D(1)), OP1(EXP, READ(v, D(0)))), SHAPE(3, 4)));
    cr_assert_eq(s->nred, 2);
    cr_assert(is_plain_product(s->body) && s->body->arg[1]->node->rank == 1);
    Node *plain = comp(k, RED_NONE, 2, OP2(MUL, READ(x, D(0), D(1)), READ(v, D(0))), SHAPE(3, 4));
    cr_assert_eq(after(k, "simplify", plain), plain);
}

Test(simplify, wide_parts_are_rounded_once) {
    Kit kit = kit_new(5), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *step = kit_leaf(k, NODE_HYPER, "step", 0, NULL);
    Node *lr = kit_leaf(k, NODE_HYPER, "lr", 0, NULL);
    kit_find(k, step)->value[0] = 3;
    const Scalar *decay = OP2(SUB, N(1), OP2(POW, N(0.9), ALL(step)));
    const Scalar *rate = SELECT(OP2(LT, ALL(step), N(5)), ALL(lr), OP2(MUL, N(0.1), ALL(lr)));
    const Scalar *body = OP2(SUB, ALL(w), OP2(DIV, OP2(MUL, rate, ALL(w)), decay));
    body = SELECT(OP2(EQ, OP2(MOD, ALL(step), N(3)), N(0)), body, ALL(w));
    Node *y = after(k, "simplify", comp(k, RED_NONE, 1, body, SHAPE(3)));
    NodeList nodes = program_nodes(k->arena, &unit_of(k, 1, &y)->programs.at[0]);
    int wide = 0;
    for (int i = 0; i < nodes.len; i++)
        if (nodes.at[i]->kind == NODE_COMP) {
            wide += nodes.at[i]->wide;
            if (!nodes.at[i]->wide)
                cr_assert(!has_op(nodes.at[i]->body, OP_POW) && !has_op(nodes.at[i]->body, OP_EQ) &&
                          !has_op(nodes.at[i]->body, OP_LT));
            else
                cr_assert_eq(nodes.at[i]->rank, 0);
        }
    cr_assert_eq(wide, 3, "%d wide nodes", wide);
}

Test(simplify, copies_vanish) {
    Kit kit = kit_new(6), *k = &kit;
    Node *x = kit_leaf(k, NODE_PARAM, "x", SHAPE(3, 4));
    Node *t = comp(k, RED_NONE, 2, READ(x, D(1), D(0)), SHAPE(4, 3));
    Node *u = comp(k, RED_NONE, 3, READ(t, D(2), D(0)), SHAPE(3, 2, 4));
    Node *y =
        after(k, "simplify", comp(k, RED_NONE, 1, OP1(SIN, READ(u, C(1), C(0), D(0))), SHAPE(4)));
    cr_assert_eq(y->body->arg[0]->node, x);
    y = after(k, "simplify",
              comp(k, RED_NONE, 1, OP1(SIN, PADDED(t, N(2), PLUS(D(0), C(-1)), C(1))), SHAPE(6)));
    cr_assert_eq(y->body->arg[0]->node, x);
    /* the middle dimension of u is no dimension of x: what is outside of it must stay so */
    y = after(k, "simplify",
              comp(k, RED_NONE, 1, OP1(SIN, PADDED(u, N(2), C(1), D(0), C(1))), SHAPE(6)));
    cr_assert_neq(y->body->arg[0]->node, x);
}

Test(contract, products_with_one_use) {
    Kit kit = kit_new(7), *k = &kit;
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(4)), *b = kit_leaf(k, NODE_PARAM, "b", SHAPE(4));
    Node *c = kit_leaf(k, NODE_PARAM, "c", SHAPE(4));
    const Scalar *ra = ALL(a), *rb = ALL(b), *rc = ALL(c), *ab = OP2(MUL, ra, rb),
                 *bc = OP2(MUL, rb, rc);
    const struct {
        const Scalar *from, *to;
    } row[] = {
        {OP2(ADD, ab, rc), sc_op(k->g, OP_FMA, ra, rb, rc)},
        {OP2(ADD, rc, ab), sc_op(k->g, OP_FMA, ra, rb, rc)},
        {OP2(SUB, ab, rc), sc_op(k->g, OP_FMA, ra, rb, OP1(NEG, rc))},
        {OP2(SUB, rc, ab), sc_op(k->g, OP_FMA, OP1(NEG, ra), rb, rc)},
        {OP2(ADD, ab, bc), sc_op(k->g, OP_FMA, ra, rb, bc)},      /* the left one */
        {OP2(ADD, ab, OP1(SIN, ab)), OP2(ADD, ab, OP1(SIN, ab))}, /* used twice */
        {OP1(SIN, OP2(ADD, OP2(ADD, ab, rc), bc)),
         OP1(SIN, sc_op(k->g, OP_FMA, rb, rc, sc_op(k->g, OP_FMA, ra, rb, rc)))},
    };
    for (int i = 0; i < LENGTH(row); i++)
        cr_assert_eq(after(k, "contract", comp(k, RED_NONE, 1, row[i].from, SHAPE(4)))->body,
                     row[i].to, "row %d", i);
    Node *dot = comp(k, RED_SUM, 0, ab, SHAPE(4));
    cr_assert_eq(after(k, "contract", dot), dot);
}

static int calls;
static void count_call(const Pass *pass, Unit *unit, void *context) {
    (void)unit, (void)context;
    cr_assert_str_eq(pass->name, pass_table[calls].name);
    calls++;
}

Test(passes, run_in_order_and_stop) {
    Kit kit = kit_new(8), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *y = comp(k, RED_SUM, 0, ALL(w), SHAPE(3));
    pass_run(unit_of(k, 1, &y), "simplify", count_call, NULL);
    cr_assert_eq(calls, 2);
    calls = 0;
    pass_run(unit_of(k, 1, &y), NULL, count_call, NULL);
    cr_assert_eq(calls, pass_count);
    for (int i = 0; i < 4; i++)
        cr_assert(pass_table[i].frozen);
}

static Node *exchange(Graph *g, Node *node, void *context) {
    (void)g;
    Node **pair = context;
    return node == pair[0] ? pair[1] : node;
}

Test(passes, rewriting_keeps_what_is_shared) {
    Kit kit = kit_new(9), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3)), *v = kit_leaf(k, NODE_PARAM, "v", SHAPE(3));
    Node *h = comp(k, RED_NONE, 1, OP1(SIN, ALL(w)), SHAPE(3));
    const Ix *at = ix_value(k->g, OP2(MUL, N(2), OP1(ABS, READ(w, C(0)))));
    Node *y = comp(k, RED_NONE, 1, PADDED(h, READ(w, C(1)), at), SHAPE(3));
    Unit *unit = unit_of(k, 2, (Node *[]){h, y});
    unit->programs.at[0].results.at[0].target = w;
    VEC_PUSH(k->arena, unit->params_at, w);
    VEC_PUSH(k->arena, unit->layers, (LayerRow){.output = y});
    unit_rewrite(unit, exchange, (Node *[]){w, v});
    cr_assert_eq(RESULT(unit, 0), comp(k, RED_NONE, 1, OP1(SIN, ALL(v)), SHAPE(3)));
    const Scalar *read = RESULT(unit, 1)->body;
    cr_assert_eq(read->node, RESULT(unit, 0));
    cr_assert_eq(read->outside, READ(v, C(1)));
    cr_assert_eq(read->at[0], ix_value(k->g, OP2(MUL, N(2), OP1(ABS, READ(v, C(0))))));
    cr_assert_eq(unit->params_at.at[0], v);
    cr_assert_eq(unit->layers.at[0].output, RESULT(unit, 1));
    cr_assert_eq(unit->programs.at[0].results.at[0].target, w);
}

Test(passes, order_drops_the_dead_and_keeps_operands_first) {
    Kit kit = kit_new(10), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *dead = comp(k, RED_NONE, 1, OP1(COS, ALL(w)), SHAPE(3));
    Node *h = comp(k, RED_NONE, 1, OP1(SIN, ALL(w)), SHAPE(3));
    Node *y = comp(k, RED_SUM, 0, ALL(h), SHAPE(3));
    pass_named(unit_of(k, 1, &y), "order");
    cr_assert_eq(k->g->nodes.len, 3);
    cr_assert(k->g->nodes.at[0] == w && k->g->nodes.at[1] == h && k->g->nodes.at[2] == y);
    cr_assert_eq(comp(k, RED_NONE, 1, OP1(COS, ALL(w)), SHAPE(3)), dead); /* it can come back */
}
