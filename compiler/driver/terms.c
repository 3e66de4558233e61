/* SPDX-License-Identifier: MIT
 * The absolute version of a node: what its terms add up to without cancelling; and how many there
 * are. Needs ir. A scale for comparisons; decides nothing. */
#include "terms.h"
#include <string.h>

/* The expression with every difference made a sum: what its terms add up to without cancelling. */
static const Scalar *absolute(Graph *g, const Scalar *s, int depth) {
    const Scalar *part[3] = {0};
    if (s->kind == SC_READ && depth > 0 && s->node->kind == NODE_COMP)
        return sc_read(g, absolute_node(g, s->node, depth - 1), s->at,
                       s->outside ? absolute(g, s->outside, depth) : NULL);
    if (s->kind != SC_OP || op_info[s->op].truth) return sc_op(g, OP_ABS, s, NULL, NULL);
    for (int i = 0; i < op_info[s->op].arity; i++)
        part[i] = op_info[s->arg[i]->op].truth && s->arg[i]->kind == SC_OP
                      ? s->arg[i]
                      : absolute(g, s->arg[i], depth);
    switch (s->op) {
    case OP_NEG:
        return part[0];
    case OP_SUB:
        return sc_op(g, OP_ADD, part[0], part[1], NULL);
    case OP_ADD:
    case OP_MUL:
        return sc_op(g, s->op, part[0], part[1], NULL);
    case OP_DIV:
        return sc_op(g, OP_DIV, part[0], sc_op(g, OP_ABS, s->arg[1], NULL, NULL), NULL);
    case OP_FMA:
        return sc_op(g, OP_FMA, part[0], part[1], part[2]);
    case OP_SELECT:
        return sc_op(g, OP_SELECT, s->arg[0], part[1], part[2]);
    default:
        return sc_op(g, OP_ABS, s, NULL, NULL);
    }
}

Node *absolute_node(Graph *g, Node *node, int depth) {
    CompSpec spec = {.rank = node->rank,
                     .nred = node->nred,
                     .reduce = node->reduce,
                     .over_batch = node->over_batch};
    memcpy(spec.extent, node->extent, sizeof spec.extent);
    if (node->kind == NODE_COMP && (node->reduce == RED_SUM || node->reduce == RED_NONE)) {
        spec.body = absolute(g, node->body, depth);
        return graph_comp(g, &spec);
    }
    return graph_map(g, node->rank, node->extent,
                     sc_op(g, OP_ABS, sc_read_all(g, node), NULL, NULL), NULL, node->at);
}

typedef struct Chain {
    Map *known;
    int64_t examples, most;
} Chain;

static void chain_read(const Scalar *read, void *context) {
    Chain *chain = context;
    int64_t n = sum_chain(chain->known, read->node, chain->examples);
    if (n > chain->most) chain->most = n;
}

int64_t sum_chain(Map *known, Node *node, int64_t examples) {
    intptr_t found = (intptr_t)map_get(known, node);
    if (found || node->kind == NODE_SCAN) /* a recurrence: what it reads besides itself */
        return found ? found - 1 : node->rank ? node->extent[0] : 0;
    map_put(known, node, (void *)(intptr_t)1); /* no second visit on the way */
    Chain chain = {known, examples, 0};
    if (node->body) sc_reads(node->body, chain_read, &chain);
    for (int i = 0; i < CALL_OPERANDS; i++)
        if (node->operand[i]) {
            int64_t n = sum_chain(known, node->operand[i], examples);
            if (n > chain.most) chain.most = n;
        }
    if (node->reduce == RED_SUM || node->reduce == RED_PROD)
        chain.most += node_terms(node) * (node->over_batch ? examples : 1);
    map_put(known, node, (void *)(intptr_t)(chain.most + 1));
    return chain.most;
}
