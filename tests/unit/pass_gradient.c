/* SPDX-License-Identifier: MIT
 * Gradients of graphs built by hand against central differences in float64, and their structure.
 * Needs pass_kit.h.
 * Tests no syntax and no generated code. */
#include "pass_kit.h"

/* conv: y[o, i, j] = sum[c, p, q] W[o, c, p, q] x[c, s i + d p - pad, s j + d q - pad; 0] */
static Node *conv(Kit *k, Node *x, Node *w, int64_t s, int64_t d, int64_t pad) {
    int64_t n = w->extent[2], e[2];
    for (int i = 0; i < 2; i++)
        e[i] = (x->extent[1 + i] + 2 * pad - d * (n - 1) - 1) / s + 1;
    const Ix *at[2];
    for (int i = 0; i < 2; i++)
        at[i] = PLUS(PLUS(TIMES(D(1 + i), s), TIMES(D(4 + i), d)), C(-pad));
    const Scalar *xr = pad ? PADDED(x, N(0), D(3), at[0], at[1]) : READ(x, D(3), at[0], at[1]);
    const Scalar *body = OP2(MUL, READ(w, D(0), D(3), D(4), D(5)), xr);
    return comp(k, RED_SUM, 3, body, SHAPE(w->extent[0], e[0], e[1], w->extent[1], n, n));
}

static Checked check_conv(Kit *k, int64_t size, int64_t kernel, int64_t s, int64_t d, int64_t pad) {
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(2, size, size));
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3, 2, kernel, kernel));
    return CHECK(kit_loss(k, conv(k, x, w, s, d, pad)), x, w);
}

Test(gradient, conv_stride_1_is_one_sum_with_a_plain_product) {
    for (int64_t pad = 0; pad < 3; pad++) {
        Kit kit = kit_new(1), *k = &kit;
        Checked c = check_conv(k, 6, 3, 1, 1, pad);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(grad_node(&c, i)->reduce, RED_SUM);
            cr_assert(is_plain_product(grad_node(&c, i)->body));
        }
        cr_assert_eq(grad_node(&c, 0)->nred, 3); /* o, p, q */
        cr_assert(grad_node(&c, 0)->per_example);
        cr_assert(grad_node(&c, 1)->over_batch);
    }
}

Test(gradient, conv_strided) {
    for (int64_t size = 5; size <= 8; size++)
        for (int64_t kernel = 1; kernel <= 4; kernel++)
            for (int64_t pad = 0; pad < 2; pad++) {
                Kit kit = kit_new(2), *k = &kit;
                Checked c = check_conv(k, size, kernel, 2, 1, pad);
                Node *dx = grad_node(&c, 0);
                if (kernel > 1) cr_assert(is_plain_product(dx->body));
                int64_t strips = (kernel + 1) / 2;
                if (size + 2 * pad - kernel >= 2) /* more than one position */
                    cr_assert_eq(node_terms(dx), 3 * strips * strips);
            }
}

Test(gradient, conv_dilated_and_strided) {
    for (int64_t s = 1; s <= 3; s++)
        for (int64_t d = 2; d <= 4; d++) {
            Kit kit = kit_new(3), *k = &kit;
            check_conv(k, 9, 3, s, d, 1);
        }
}

static Node *pool(Kit *k, Node *x, int64_t size, int64_t stride, Reduce reduce) {
    const Ix *at[2];
    for (int i = 0; i < 2; i++)
        at[i] = PLUS(TIMES(D(1 + i), stride), D(3 + i));
    return comp(k, reduce, 3, READ(x, D(0), at[0], at[1]),
                SHAPE(x->extent[0], (x->extent[1] - size) / stride + 1,
                      (x->extent[2] - size) / stride + 1, size, size));
}

/* Values far enough apart that a difference crosses no kink. */
static void spread(Leaf *leaf) {
    for (int64_t i = 0; i < leaf->count; i++)
        leaf->value[i] = (double)(i * 37 % 101) / 50 - 1.005;
}

Test(gradient, pooling_without_overlap_sums_nothing) {
    for (int64_t size = 6; size <= 7; size++) {
        Kit kit = kit_new(4), *k = &kit;
        Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(2, size, size));
        spread(kit_find(k, x));
        Checked c = CHECK(kit_loss(k, pool(k, x, 2, 2, RED_MAX)), x);
        cr_assert_eq(grad_node(&c, 0)->reduce, RED_NONE);
    }
}

Test(gradient, pooling_with_overlap) {
    const Reduce reduce[] = {RED_MAX, RED_MIN, RED_SUM, RED_PROD};
    for (int r = 0; r < LENGTH(reduce); r++)
        for (int64_t size = 2; size <= 3; size++)
            for (int64_t stride = 1; stride <= 3; stride++) {
                Kit kit = kit_new(5), *k = &kit;
                Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(2, 7, 7));
                spread(kit_find(k, x));
                CHECK(kit_loss(k, pool(k, x, size, stride, reduce[r])), x);
            }
}

/* The first of equals gets all of the gradient. */
Test(gradient, pooling_ties) {
    Kit kit = kit_new(6), *k = &kit;
    Node *x = kit_leaf(k, NODE_PARAM, "x", SHAPE(5));
    Node *y = comp(k, RED_MAX, 1, READ(x, PLUS(TIMES(D(0), 2), D(1))), SHAPE(2, 3));
    double tied[] = {1, 1, 3, 3, 3}, expected[] = {0, 0, 2, 0, 0};
    memcpy(kit_find(k, x)->value, tied, sizeof tied);
    Node *loss = comp(k, RED_SUM, 0, ALL(y), SHAPE(2));
    Unit *unit = unit_of(k, 1, (Node *[]){graph_grad(k->g, loss, x)});
    pass_run(unit, NULL, NULL, NULL);
    compare("tied", eval_node(kit_eval(k), RESULT(unit, 0)), expected, 5, 0);
}

Test(gradient, product_with_zeros) {
    Kit kit = kit_new(7), *k = &kit;
    Node *x = kit_leaf(k, NODE_PARAM, "x", SHAPE(3, 4));
    kit_find(k, x)->value[2] = 0;
    kit_find(k, x)->value[5] = kit_find(k, x)->value[6] = 0;
    CHECK(kit_loss(k, comp(k, RED_PROD, 1, OP2(MUL, READ(x, D(0), D(1)), READ(x, D(0), D(1))),
                           SHAPE(3, 4))),
          x);
    CHECK(kit_loss(k, comp(k, RED_PROD, 1, READ(x, D(0), D(1)), SHAPE(3, 4))), x);
}

Test(gradient, dense_with_two_uses_of_a_parameter) {
    Kit kit = kit_new(8), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(4));
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(4, 4));
    Node *b = kit_leaf(k, NODE_PARAM, "b", SHAPE(4));
    Node *h = x;
    for (int i = 0; i < 2; i++) {
        Node *z = comp(k, RED_SUM, 1, OP2(MUL, READ(w, D(0), D(1)), READ(h, D(1))), SHAPE(4, 4));
        h = comp(k, RED_NONE, 1, OP1(TANH, OP2(ADD, ALL(z), ALL(b))), SHAPE(4));
    }
    Checked c = CHECK(kit_loss(k, h), x, w, b);
    NodeList nodes = kit_nodes(k, &c);
    int computed = 0; /* forward; the backward pass reads the values */
    for (int i = 0; i < nodes.len; i++)
        computed += nodes.at[i]->kind == NODE_COMP && has_op(nodes.at[i]->body, OP_TANH);
    cr_assert_eq(computed, 2);
}

Test(gradient, look_ahead_node) {
    Kit kit = kit_new(9), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *v = kit_leaf(k, NODE_STATE, "v", SHAPE(3));
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3));
    Node *at = comp(k, RED_NONE, 1, OP2(ADD, ALL(w), OP2(MUL, N(0.9), ALL(v))), SHAPE(3));
    Node *y = comp(k, RED_NONE, 1, OP1(EXP, OP2(MUL, ALL(at), ALL(x))), SHAPE(3));
    Checked c = CHECK(kit_loss(k, y), at, w, v);
    compare("at", c.gradient[0], c.gradient[1], 3, 1e-15);
    for (int i = 0; i < 3; i++)
        cr_assert_float_eq(c.gradient[0][i] * 0.9, c.gradient[2][i], 1e-14);
}

/* Batch normalization: mean and two-pass variance over the examples and the positions. */
static Node *normalize(Kit *k, Node *x, Node *gamma, Node *beta) {
    int64_t c = x->extent[0], s = x->extent[1];
    Node *examples = comp_batch(k, RED_SUM, 0, LIVE(N(1)), 0, NULL);
    const Scalar *m = OP2(MUL, ALL(examples), N((double)s));
    Node *sum = comp_batch(k, RED_SUM, 1, LIVE(READ(x, D(0), D(1))), SHAPE(c, s));
    Node *mu = comp(k, RED_NONE, 1, OP2(DIV, ALL(sum), m), SHAPE(c));
    const Scalar *off = OP2(SUB, READ(x, D(0), D(1)), READ(mu, D(0)));
    Node *squares = comp_batch(k, RED_SUM, 1, LIVE(OP2(POW, off, N(2))), SHAPE(c, s));
    Node *v = comp(k, RED_NONE, 1, OP2(DIV, ALL(squares), m), SHAPE(c));
    const Scalar *sd = OP1(SQRT, OP2(ADD, READ(v, D(0)), N(1e-5)));
    const Scalar *y = OP2(DIV, OP2(MUL, READ(gamma, D(0)), off), sd);
    return comp(k, RED_NONE, 2, OP2(ADD, y, READ(beta, D(0))), SHAPE(c, s));
}

Test(gradient, normalization_needs_two_sums_backward) {
    Kit kit = kit_new(10), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(2, 3));
    Node *gamma = kit_leaf(k, NODE_PARAM, "gamma", SHAPE(2));
    Node *beta = kit_leaf(k, NODE_PARAM, "beta", SHAPE(2));
    Node *y = normalize(k, x, gamma, beta);
    Node *loss = kit_loss(k, comp(k, RED_NONE, 2, OP1(SIN, OP2(MUL, N(2), ALL(y))), SHAPE(2, 3)));
    Checked c = CHECK(loss, x, gamma, beta);
    /* forward: sum, squares, the loss; backward: sum of dy, sum of dy (x - mu); the number of
     * examples is known without a sum */
    cr_assert_eq(count_batch_sums(k, &c), 5, "%d sums over the examples", count_batch_sums(k, &c));
}

/* log(sum exp(y - m)) + m - y[t], t from the data. */
static Node *negative_log_likelihood(Kit *k, Node *y, Node *t) {
    int64_t c = y->extent[0];
    Node *m = comp(k, RED_MAX, 0, READ(y, D(0)), SHAPE(c));
    const Scalar *e = OP1(EXP, OP2(SUB, READ(y, D(0)), ALL(m)));
    Node *z = comp(k, RED_SUM, 0, e, SHAPE(c));
    const Scalar *at = sc_read(k->g, y, (const Ix *[]){ix_value(k->g, ALL(t))}, NULL);
    return comp(k, RED_NONE, 0, OP2(SUB, OP2(ADD, OP1(LOG, ALL(z)), ALL(m)), at), 0, NULL);
}

Test(gradient, cross_entropy) {
    Kit kit = kit_new(11), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(4));
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(6, 4));
    Node *t = kit_leaf(k, NODE_INPUT, "t", 0, NULL);
    for (int i = 0; i < EXAMPLES; i++)
        kit_find(k, t)->value[i] = (i * 2) % 6;
    Node *y = comp(k, RED_SUM, 1, OP2(MUL, READ(w, D(0), D(1)), READ(x, D(1))), SHAPE(6, 4));
    CHECK(kit_loss(k, negative_log_likelihood(k, y, t)), x, w);
}

/* An embedding: rows of a table by a class, and a computed position with an offset. */
Test(gradient, computed_positions) {
    Kit kit = kit_new(12), *k = &kit;
    Node *table = kit_leaf(k, NODE_PARAM, "table", SHAPE(6, 3));
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(8));
    Node *t = kit_leaf(k, NODE_INPUT, "t", 0, NULL);
    for (int i = 0; i < EXAMPLES; i++)
        kit_find(k, t)->value[i] = (i * 2) % 6 + 0.25;
    Node *row = comp(k, RED_NONE, 1, READ(table, ix_value(k->g, ALL(t)), D(0)), SHAPE(3));
    CHECK(kit_loss(k, row), table);
    const Ix *moved = PLUS(D(0), PLUS(ix_value(k->g, ALL(t)), C(-2)));
    Node *shift = comp(k, RED_NONE, 1, PADDED(x, N(0.5), moved), SHAPE(8));
    CHECK(kit_loss(k, shift), x);
    Node *both = comp(k, RED_NONE, 1, OP2(MUL, ALL(shift), PADDED(x, ALL(t), moved)), SHAPE(8));
    CHECK(kit_loss(k, both), x);
}

Test(gradient, index_forms) {
    Kit kit = kit_new(13), *k = &kit;
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(4, 4));
    Node *f = kit_leaf(k, NODE_PARAM, "f", SHAPE(24));
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(2, 3, 4));
    int64_t e24[] = {24};
    Node *diagonal = comp(k, RED_NONE, 1, READ(a, D(0), D(0)), SHAPE(4));
    CHECK(kit_loss(k, diagonal), a);
    Node *trace = comp(k, RED_SUM, 0, OP2(MUL, READ(a, D(0), D(0)), READ(a, D(0), C(2))), SHAPE(4));
    CHECK(kit_loss(k, trace), a);
    Node *outer =
        comp(k, RED_NONE, 2, OP2(MUL, READ(f, D(0)), READ(f, PLUS(D(1), C(3)))), SHAPE(5, 6));
    CHECK(kit_loss(k, outer), f);
    Node *flat =
        comp(k, RED_NONE, 1,
             PADDED(x, N(0), ix_div(k->g, D(0), 12, e24),
                    ix_mod(k->g, ix_div(k->g, D(0), 4, e24), 3, e24), ix_mod(k->g, D(0), 4, e24)),
             SHAPE(24));
    Checked c = CHECK(kit_loss(k, flat), x);
    cr_assert_eq(grad_node(&c, 0)->reduce, RED_NONE);
    Node *unflat =
        comp(k, RED_NONE, 3, READ(f, node_element(k->g, 3, (int64_t[]){2, 3, 4})), SHAPE(2, 3, 4));
    c = CHECK(kit_loss(k, comp(k, RED_NONE, 3, OP2(MUL, ALL(unflat), ALL(x)), SHAPE(2, 3, 4))), f,
              x);
    cr_assert_eq(grad_node(&c, 0)->nred, 0); /* over the examples alone */
    Node *up =
        comp(k, RED_NONE, 3,
             READ(x, D(0), ix_div(k->g, D(1), 2, NULL), ix_div(k->g, PLUS(D(2), C(1)), 3, NULL)),
             SHAPE(2, 5, 8));
    c = CHECK(kit_loss(k, up), x);
    Node *tile = comp(k, RED_NONE, 1, READ(f, ix_mod(k->g, PLUS(D(0), C(3)), 7, NULL)), SHAPE(20));
    CHECK(kit_loss(k, tile), f);
    Node *back = comp(k, RED_NONE, 2, READ(f, PLUS(C(20), PLUS(TIMES(D(0), -3), TIMES(D(1), -1)))),
                      SHAPE(5, 4));
    CHECK(kit_loss(k, back), f);
    Node *gaps = comp(k, RED_NONE, 2, READ(f, PLUS(C(1), PLUS(TIMES(D(0), 4), TIMES(D(1), 6)))),
                      SHAPE(3, 3));
    CHECK(kit_loss(k, gaps), f);
    Node *half = comp(k, RED_NONE, 1, READ(f, PLUS(ix_div(k->g, D(0), 2, NULL), D(0))), SHAPE(12));
    CHECK(kit_loss(k, half), f);
    Node *crossed = comp(k, RED_NONE, 2, READ(a, PLUS(D(0), D(1)), D(1)), SHAPE(2, 3));
    CHECK(kit_loss(k, crossed), a);
    Node *part = comp(k, RED_NONE, 2, PADDED(a, N(0), D(0), PLUS(D(1), C(2))), SHAPE(3, 6));
    CHECK(kit_loss(k, part), a);
}

/* Strips that a second coordinate takes apart once more: their own range must be guarded. */
Test(gradient, strips_of_strips) {
    Kit kit = kit_new(14), *k = &kit;
    Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(4, 5));
    const Ix *i = D(0);
    Node *y = comp(
        k, RED_NONE, 1,
        PADDED(a, N(0), ix_div(k->g, i, 6, NULL), ix_div(k->g, ix_mod(k->g, i, 6, NULL), 4, NULL)),
        SHAPE(22));
    CHECK(kit_loss(k, y), a);
    Node *z = comp(k, RED_NONE, 1,
                   PADDED(a, N(0), ix_div(k->g, i, 6, NULL), PLUS(C(-3), ix_mod(k->g, i, 6, NULL))),
                   SHAPE(23));
    CHECK(kit_loss(k, z), a);
}

/* `if` picks a branch: one not taken is never multiplied in, not even as 0 * infinity. */
Test(gradient, untaken_branch) {
    Kit kit = kit_new(15), *k = &kit;
    Node *x = kit_leaf(k, NODE_PARAM, "x", SHAPE(4));
    double at[] = {0, -1, 0.25, 2}, expected[] = {0, 0, 1, 3 * 0.5 / sqrt(2) + 1 / 2.0};
    memcpy(kit_find(k, x)->value, at, sizeof at);
    const Scalar *r = ALL(x), *positive = OP2(GT, r, N(0));
    const Scalar *root = OP1(SQRT, r), *more = OP2(ADD, OP1(LOG, r), OP2(MUL, N(2), root));
    const Scalar *body =
        OP2(ADD, SELECT(positive, root, N(0)), SELECT(OP2(GT, r, N(1)), more, N(0)));
    Node *loss = comp(k, RED_SUM, 0, body, SHAPE(4));
    Unit *unit = unit_of(k, 1, (Node *[]){graph_grad(k->g, loss, x)});
    for (int p = 0; p < 4; p++) {
        pass_table[p].run(unit);
        compare("x", eval_node(kit_eval(k), RESULT(unit, 0)), expected, 4, 1e-15);
    }
}

/* A guard of the solver stands before what would be infinite outside. */
Test(gradient, division_under_a_guard) {
    Kit kit = kit_new(16), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(9));
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    for (int i = 0; i < 3; i++)
        kit_find(k, w)->value[i] += 3;
    const Scalar *xr = READ(x, PLUS(TIMES(D(0), 2), D(1)));
    Node *y = comp(k, RED_SUM, 1, OP2(DIV, OP1(SIN, xr), READ(w, D(1))), SHAPE(4, 3));
    CHECK(kit_loss(k, y), x, w);
}

Test(gradient, all_sharing) {
    Kit kit = kit_new(17), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(3));
    const Reduce reduce[] = {RED_SUM, RED_MAX, RED_MIN, RED_PROD};
    for (int r = 0; r < LENGTH(reduce); r++) {
        double rest = reduce[r] == RED_SUM    ? 0
                      : reduce[r] == RED_PROD ? 1
                      : reduce[r] == RED_MAX  ? -9
                                              : 9;
        const Scalar *e =
            SELECT(ALL(kit_live(k)), OP2(MUL, READ(x, D(0)), OP1(EXP, READ(w, D(0)))), N(rest));
        Node *y = comp_batch(k, reduce[r], 1, e, SHAPE(3));
        CHECK(kit_loss(k, y), x, w); /* shared result, both kinds of operand */
        Node *z = comp(k, RED_NONE, 1, OP2(MUL, OP2(MUL, ALL(y), ALL(x)), OP2(MUL, ALL(w), ALL(w))),
                       SHAPE(3));
        CHECK(kit_loss(k, z), x, w);
        Node *all = comp_batch(k, reduce[r], 0, e, SHAPE(3));
        CHECK(kit_loss(k, all), x, w);
    }
    Node *shared = comp(k, RED_SUM, 0, OP2(MUL, READ(w, D(0)), READ(w, D(0))), SHAPE(3));
    CHECK(kit_loss(k, shared), w, x);
}

Test(gradient, extremes_over_examples_share_among_equals) {
    Kit kit = kit_new(18), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", 0, NULL);
    double value[EXAMPLES] = {1, 3, 0, 5, 3}, expected[EXAMPLES] = {0, 0.5, 0, 0, 0.5};
    memcpy(kit_find(k, x)->value, value, sizeof value);
    Node *y = comp_batch(k, RED_MAX, 0, SELECT(ALL(kit_live(k)), ALL(x), N(-9)), 0, NULL);
    Unit *unit = unit_of(k, 1, (Node *[]){graph_grad(k->g, y, x)});
    pass_run(unit, NULL, NULL, NULL);
    compare("x", eval_node(kit_eval(k), RESULT(unit, 0)), expected, EXAMPLES, 1e-15);
}

Test(gradient, a_zero_among_examples_gets_none_of_a_product) {
    Kit kit = kit_new(31), *k = &kit;
    Node *x = kit_leaf(k, NODE_INPUT, "x", 0, NULL);
    double value[EXAMPLES] = {2, 3, 0, 5, 4}, expected[EXAMPLES] = {0, 0, 0, 0, 0};
    memcpy(kit_find(k, x)->value, value, sizeof value);
    Node *y = comp_batch(k, RED_PROD, 0, SELECT(ALL(kit_live(k)), ALL(x), N(1)), 0, NULL);
    Unit *unit = unit_of(k, 1, (Node *[]){graph_grad(k->g, y, x)});
    pass_run(unit, NULL, NULL, NULL);
    compare("x", eval_node(kit_eval(k), RESULT(unit, 0)), expected, EXAMPLES, 0);
}

/* x[i + 1] times what is not 0 where i falls outside: x[0] has no i, and gets nothing. */
Test(gradient, what_does_not_vanish_outside_is_guarded) {
    for (int way = 0; way < 4; way++) {
        Kit kit = kit_new(32), *k = &kit;
        Node *x = kit_leaf(k, NODE_INPUT, "x", SHAPE(5));
        Node *a = kit_leaf(k, NODE_PARAM, "a", SHAPE(4)), *b = kit_leaf(k, NODE_PARAM, "b", SHAPE(4));
        const Scalar *at = READ(a, D(0)), *by = READ(b, D(0));
        const Scalar *factor = way == 0   ? OP2(ADD, at, N(2))
                               : way == 1 ? OP2(SUB, N(2), at)
                               : way == 2 ? OP2(DIV, at, by)
                                          : SELECT(OP2(LT, by, N(0)), at, N(2));
        const Scalar *body = OP2(MUL, READ(x, PLUS(D(0), C(1))), factor);
        CHECK(kit_loss(k, comp(k, RED_SUM, 0, body, SHAPE(4))), x, a, b);
    }
}

Test(gradient, stops_and_what_is_not_reached) {
    Kit kit = kit_new(19), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *u = kit_leaf(k, NODE_PARAM, "u", SHAPE(2));
    const Scalar *r = READ(w, D(0));
    Node *loss = comp(k, RED_SUM, 0, OP2(MUL, OP1(STOP, OP1(SIN, r)), r), SHAPE(3));
    Unit *unit = unit_of(k, 2, (Node *[]){graph_grad(k->g, loss, w), graph_grad(k->g, loss, u)});
    pass_run(unit, NULL, NULL, NULL);
    double expected[3], zero[2] = {0};
    for (int i = 0; i < 3; i++)
        expected[i] = sin(kit_find(k, w)->value[i]);
    Node *gw = RESULT(unit, 0);
    compare("w", eval_node(kit_eval(k), gw), expected, 3, 1e-15);
    compare("u", eval_node(kit_eval(k), RESULT(unit, 1)), zero, 2, 0);
    cr_assert(!has_op(gw->body, OP_STOP));
}

Test(gradient, of_a_gradient) {
    Kit kit = kit_new(20), *k = &kit;
    Node *w = kit_leaf(k, NODE_PARAM, "w", SHAPE(3));
    Node *v = kit_leaf(k, NODE_PARAM, "v", SHAPE(3));
    Node *inner = comp(k, RED_SUM, 0, OP1(EXP, OP2(MUL, READ(w, D(0)), READ(v, D(0)))), SHAPE(3));
    Node *g = graph_grad(k->g, inner, w);
    Node *loss = comp(k, RED_SUM, 0, OP2(MUL, READ(g, D(0)), READ(g, D(0))), SHAPE(3));
    Unit *unit = unit_of(k, 1, (Node *[]){graph_grad(k->g, loss, v)});
    pass_run(unit, NULL, NULL, NULL);
    double expected[3];
    for (int i = 0; i < 3; i++) { /* (v e^(wv))^2 by v */
        double a = kit_find(k, w)->value[i], b = kit_find(k, v)->value[i];
        expected[i] = 2 * b * exp(2 * a * b) * (1 + a * b);
    }
    compare("v", eval_node(kit_eval(k), RESULT(unit, 0)), expected, 3, 1e-14);
}
