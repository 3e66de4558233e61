/* SPDX-License-Identifier: MIT
 * Fused multiply-adds: a product that one sum uses, inside one expression.
 * Needs simplified bodies. After it nothing may form or undo an fma.
 * Leaves the product at the top of a summed body alone: a sum accumulates it by fma itself. */
#include "frozen.h"
#include "pass.h"
#include <string.h>

typedef struct Contract {
    Graph *g;
    Arena *scratch;
    Map uses; /* Scalar -> number of operand places that it stands in, in this body */
    Map done; /* Scalar -> contracted */
} Contract;

static void count_uses(Contract *c, const Scalar *s) {
    uintptr_t uses = (uintptr_t)map_get(&c->uses, s);
    map_put(&c->uses, s, (void *)(uses + 1));
    if (uses || s->kind != SC_OP) return;
    for (int i = 0; i < op_info[s->op].arity; i++)
        count_uses(c, s->arg[i]);
}

/* A product that becomes part of an fma: nothing else in the body uses it. */
static bool fusible(const Contract *c, const Scalar *s) {
    return s->kind == SC_OP && s->op == OP_MUL && (uintptr_t)map_get(&c->uses, s) == 1;
}

static const Scalar *contract(Contract *c, const Scalar *s);

static const Scalar *fuse(Contract *c, const Scalar *product, bool negative, const Scalar *addend) {
    const Scalar *a = contract(c, product->arg[0]), *b = contract(c, product->arg[1]);
    if (negative) a = sc_op(c->g, OP_NEG, a, NULL, NULL);
    return sc_op(c->g, OP_FMA, a, b, addend);
}

static const Scalar *contract_op(Contract *c, const Scalar *s) {
    Graph *g = c->g;
    const Scalar *a = s->arg[0], *b = s->arg[1], *arg[3] = {0};
    if (s->op == OP_ADD && fusible(c, a)) return fuse(c, a, false, contract(c, b));
    if (s->op == OP_ADD && fusible(c, b)) return fuse(c, b, false, contract(c, a));
    if (s->op == OP_SUB && fusible(c, a))
        return fuse(c, a, false, sc_op(g, OP_NEG, contract(c, b), NULL, NULL));
    if (s->op == OP_SUB && fusible(c, b)) return fuse(c, b, true, contract(c, a));
    for (int i = 0; i < op_info[s->op].arity; i++)
        arg[i] = contract(c, s->arg[i]);
    return sc_op(g, s->op, arg[0], arg[1], arg[2]);
}

static const Scalar *contract(Contract *c, const Scalar *s) {
    if (s->kind != SC_OP) return s;
    const Scalar *done = map_get(&c->done, s);
    if (!done) {
        done = contract_op(c, s);
        map_put(&c->done, s, (void *)done);
    }
    return done;
}

static Node *contract_node(Graph *g, Node *node, void *context) {
    (void)context;
    if (node->kind != NODE_COMP) return node;
    Contract c = {.g = g, .scratch = arena_new()};
    map_init(&c.uses, c.scratch);
    map_init(&c.done, c.scratch);
    count_uses(&c, node->body);
    CompSpec spec = node_spec(node);
    spec.body = contract(&c, node->body);
    arena_free(c.scratch);
    return spec.body == node->body ? node : graph_comp(g, &spec);
}

void pass_contract(Unit *unit) {
    unit_rewrite(unit, contract_node, NULL);
}
