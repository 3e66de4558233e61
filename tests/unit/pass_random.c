/* SPDX-License-Identifier: MIT
 * Small random models from a seeded generator: gradients against central differences, and the
 * frozen passes against the graph that they were given. Needs pass_kit.h. Draws nothing from the
 * clock: a failure names its seed. */
#include "pass_kit.h"

/* Values stay moderate and away from kinks often enough for differences to hold: smooth operators,
 * selects on conditions of x alone, extremes of well separated values. */
static const Scalar *random_term(Kit *k, const Scalar *a, const Scalar *b) {
    switch (kit_pick(k, 9)) {
    case 0:
        return OP2(MUL, a, b);
    case 1:
        return OP2(SUB, a, b);
    case 2:
        return OP2(ADD, OP2(MUL, a, b), a);
    case 3:
        return OP1(TANH, OP2(ADD, a, b));
    case 4:
        return OP2(DIV, a, OP2(ADD, N(2), OP2(MUL, b, b)));
    case 5:
        return OP2(MUL, a, OP1(EXP, OP2(MUL, N(0.3), OP1(SIN, b))));
    case 6:
        return OP1(SQRT, OP2(ADD, N(1), OP2(MUL, a, OP2(ADD, a, OP1(COS, b)))));
    case 7:
        return SELECT(OP2(GT, sc_index(k->g, D(0)), N(1)), OP2(MUL, a, a), OP1(SIN, b));
    default:
        return OP1(LOG, OP2(ADD, N(2.5), OP2(MUL, OP1(SIN, a), OP1(COS, b))));
    }
}

static const Ix *random_coordinate(Kit *k, int dims) {
    const Ix *ix = TIMES(D(kit_pick(k, dims)), 1 + kit_pick(k, 3) * (1 - 2 * kit_pick(k, 2)));
    if (kit_pick(k, 2)) ix = PLUS(ix, TIMES(D(kit_pick(k, dims)), 1 + kit_pick(k, 3)));
    if (kit_pick(k, 4) == 0)
        ix = ix_div(k->g, PLUS(ix, D(kit_pick(k, dims))), 2 + kit_pick(k, 2), NULL);
    if (kit_pick(k, 6) == 0) ix = ix_mod(k->g, ix, 2 + kit_pick(k, 3), NULL);
    return PLUS(ix, C(kit_pick(k, 5) - 2));
}

static const Scalar *random_read(Kit *k, Node *node, int dims) {
    const Ix *at[MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        at[i] = random_coordinate(k, dims);
    const Scalar *outside = kit_pick(k, 4) ? N(0) : ALL(k->leaf[2].node);
    return sc_read(k->g, node, at, outside);
}

static Node *random_node(Kit *k, Node **pool, int n) {
    int dims = 1 + kit_pick(k, 3), rank = 1 + kit_pick(k, dims);
    int64_t extent[3];
    for (int i = 0; i < dims; i++)
        extent[i] = 1 + kit_pick(k, 4);
    const Scalar *a = random_read(k, pool[kit_pick(k, n)], dims);
    const Scalar *b = random_read(k, pool[kit_pick(k, n)], dims);
    const Scalar *body = random_term(k, a, random_term(k, b, a));
    if (dims == rank) return comp(k, RED_NONE, rank, body, dims, extent);
    const Reduce reduce[] = {RED_SUM, RED_SUM, RED_SUM, RED_PROD};
    if (kit_pick(k, 4) == 0) return comp_batch(k, RED_SUM, rank, LIVE(body), dims, extent);
    return comp(k, reduce[kit_pick(k, 4)], rank, body, dims, extent);
}

static Checked check_model(Kit *k) {
    enum { LEAVES = 3, NODES = 6 };
    Node *pool[LEAVES + NODES];
    pool[0] = kit_leaf(k, NODE_INPUT, "x", SHAPE(4, 3));
    pool[1] = kit_leaf(k, NODE_PARAM, "w", SHAPE(3, 4));
    Node *s = kit_leaf(k, NODE_PARAM, "s", 0, NULL);
    pool[2] = kit_leaf(k, NODE_PARAM, "b", SHAPE(5));
    const Scalar *loss = N(0);
    for (int i = LEAVES; i < LEAVES + NODES; i++) {
        pool[i] = random_node(k, pool, i);
        loss = OP2(ADD, loss, ALL(kit_loss(k, pool[i])));
    }
    Node *all = comp(k, RED_NONE, 0, loss, 0, NULL);
    if (*eval_magnitude(kit_eval(k), all) > 300)
        return (Checked){0}; /* so steep that differences say nothing */
    return CHECK(all, pool[0], pool[1], pool[2], s);
}

Test(random_models, gradients_and_frozen_passes) {
    int moved = 0, models = 300;
    for (int seed = 1; seed <= models; seed++) {
        cr_log_info("seed %d", seed);
        Kit k = kit_new((uint64_t)seed * 7919);
        Checked c = check_model(&k);
        for (int i = 0; i < c.n; i++)
            for (int64_t e = 0; e < node_count(c.wrt[i]); e++)
                if (c.gradient[i][e] != 0) {
                    moved++;
                    break;
                }
        arena_free(k.arena);
    }
    cr_assert(moved > models, "of %d gradients only %d are not zero", 4 * models, moved);
}
