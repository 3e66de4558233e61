/* SPDX-License-Identifier: MIT
 * Random recurrences: one or two values that read earlier (or later) indices of themselves and of
 * each other, elementwise and through a sum.
 * Needs ir. Keeps every value within -1 .. 1, so that nothing grows from step to step. */
#include "make.h"
#include <string.h>

typedef struct Recurrence {
    int64_t extent[2]; /* steps, width */
    int rank, direction;
} Recurrence;

static Node *reference(Make *m, const Recurrence *r, const char *name) {
    return graph_scan(m->g, r->rank, r->extent, name_of(name), (Span){0});
}

/* The value some steps before (behind, where it runs backwards), at the dimension `across`. */
static const Scalar *earlier(Make *m, const Recurrence *r, Node *node, int across) {
    int64_t distance = r->extent[0] > 2 && one_in(m, 4) ? 2 : 1;
    const Ix *at[2] = {ix_sub(m->g, ix_dim(m->g, 0), ix_const(m->g, distance * r->direction)),
                       r->rank > 1 ? ix_dim(m->g, across) : NULL};
    return sc_read(m->g, node, at, number(m, one_in(m, 3) ? 0.5 : 0));
}

/* sum_k W[...] h[t - 1, k]: a node of the step. */
static Node *mixed(Make *m, const Recurrence *r, Node *node) {
    Space space = {.n = 3, .closed = true, .extent = {r->extent[0], r->extent[1], r->extent[1]}};
    CompSpec spec = {.reduce = RED_SUM, .rank = 2, .nred = 1};
    memcpy(spec.extent, space.extent, sizeof spec.extent);
    spec.body = op2(m, OP_MUL, random_read(m, &space, m->pool[2]), earlier(m, r, node, 2));
    return graph_comp(m->g, &spec);
}

static Node *step_value(Make *m, const Recurrence *r, const Leaves *leaves) {
    /* The class too: examples must not share a recurrence, whatever the rest folds to. */
    const Scalar *class = op2(m, OP_MUL, number(m, 0.125), sc_read_all(m->g, m->pool[1]));
    const Scalar *body =
        op2(m, OP_ADD, random_body(m, leaves), op2(m, OP_MUL, leaves->at[0], class));
    body = op1(m, OP_TANH, op2(m, OP_SUB, body, class));
    return graph_map(m->g, r->rank, r->extent, body, NULL, (Span){0});
}

Node *random_scan(Make *m) {
    static const int64_t widths[] = {1, 2, 3, 5, 17};
    Recurrence r = {.extent = {2 + pick(m, 5), widths[pick(m, LENGTH(widths))]},
                    .rank = 1 + one_in(m, 2)};
    r.direction = one_in(m, 3) ? -1 : 1;
    Space space = {.n = r.rank, .closed = true, .extent = {r.extent[0], r.extent[1]}};
    Node *h = reference(m, &r, "h"), *c = one_in(m, 3) ? reference(m, &r, "c") : NULL;
    Leaves leaves = {.n = 3, .moving = 3};
    leaves.at[0] = r.rank > 1 && one_in(m, 2)
                       ? sc_read_all(m->g, mixed(m, &r, h))
                       : op2(m, OP_MUL, number(m, 0.7), earlier(m, &r, h, 1));
    leaves.at[1] = random_read(m, &space, m->pool[0]);
    leaves.at[2] = c ? earlier(m, &r, c, 1) : random_read(m, &space, pool_pick(m));
    Node *value = step_value(m, &r, &leaves);
    if (c) {
        scan_bind(m->g, c, value);
        leaves.at[2] = sc_read_all(m->g, value); /* of this step */
        value = step_value(m, &r, &leaves);
    }
    scan_bind(m->g, h, value);
    return value;
}
