/* SPDX-License-Identifier: MIT
 * A random graph in the making: shared by the generators of spaces, expressions and recurrences.
 * Needs ir. Not for others. */
#ifndef GRADUS_MAKE_H
#define GRADUS_MAKE_H
#include "random.h"

enum { MOST_NODES = 24, MOST_LEAVES = 8 };

typedef struct Make {
    Graph *g;
    Unit *unit;
    Choices *choices;
    Node *pool[MOST_NODES], *live; /* pool[1] is the class */
    int n, work; /* most points of a node's space; a sixth of it elements */
} Make;

static inline int pick(Make *m, int n) {
    return choose(m->choices, n);
}
static inline bool one_in(Make *m, int n) {
    return choose_rarely(m->choices, n);
}
static inline const Scalar *number(Make *m, double value) {
    return sc_const(m->g, value);
}
static inline const Scalar *op1(Make *m, Op op, const Scalar *a) {
    return sc_op(m->g, op, a, NULL, NULL);
}
static inline const Scalar *op2(Make *m, Op op, const Scalar *a, const Scalar *b) {
    return sc_op(m->g, op, a, b, NULL);
}

/* The index space of a node in the making. Dimensions are numbered as they come. `closed`: none may
 * be added. */
typedef struct Space {
    int n;
    bool closed;
    int64_t extent[MAX_DIMS];
} Space;
int64_t any_extent(Make *m);
double space_size(const Space *space);
/* A read of the node: each coordinate of its own kind; a value outside where it may leave. */
const Scalar *random_read(Make *m, Space *space, Node *node);
/* A condition on the place alone. */
const Scalar *random_guard(Make *m, const Space *space);
const Scalar *random_draw(Make *m, const Space *space);
/* A number from 0 to 1, for where in the space one is. */
const Scalar *space_place(Make *m, const Space *space);

/* What an expression is made of. No gradient check moves the ones from `moving` on. */
typedef struct Leaves {
    int n, moving;
    const Scalar *at[MOST_LEAVES];
} Leaves;
/* Any rows of ops.def over the leaves, of moderate size where the leaves are. */
const Scalar *random_body(Make *m, const Leaves *leaves);
const Scalar *random_truth(Make *m, const Leaves *leaves);
/* A node, or two that depend on each other, along its own first index. */
Node *random_scan(Make *m);
Node *pool_pick(Make *m);
#endif
