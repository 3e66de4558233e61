/* SPDX-License-Identifier: MIT
 * The table of passes, their driver, and the rewriting of all programs at once.
 * Needs ir.
 * Does not know what a pass does. */
#include "pass.h"
#include "frozen.h"
#include <string.h>

const Pass pass_table[] = {
    {"gradient", "loss and parameters as elaborated", "NODE_GRAD is gone",
     "replaces gradients by comprehensions in gather form", true, pass_gradient},
    {"simplify", "no NODE_GRAD", "stop_gradient is gone",
     "hoists factors out of sums and shared parts out of per-example code", true, pass_simplify},
    {"contract", "simplified bodies", "products under a sum become fma",
     "forms fused multiply-adds inside one expression", true, pass_contract},
    {"order", "everything that changes a bit is done", "nothing",
     "lists the reachable nodes in the order of their making", true, pass_order},
};
const int pass_count = LENGTH(pass_table);

void pass_run(Unit *unit, const char *stop, void (*after)(const Pass *, Unit *, void *),
              void *context) {
    for (int i = 0; i < pass_count; i++) {
        pass_table[i].run(unit);
#ifndef NDEBUG
        graph_verify(unit, 1);
#endif
        if (after) after(&pass_table[i], unit, context);
        if (stop && !strcmp(pass_table[i].name, stop)) return;
    }
}

/* ---- Rewriting */
typedef struct Rewrite {
    Graph *g;
    Map done; /* Node -> Node */
    NodeList scans; /* references met */
    Node *(*node)(Graph *, Node *, void *);
    void *context;
} Rewrite;
static Node *rewrite(Rewrite *r, Node *node);

static const Scalar *rewrite_read(Graph *g, const Scalar *leaf, void *context) {
    if (leaf->kind != SC_READ) return NULL;
    Node *node = rewrite(context, leaf->node);
    if (node->kind == NODE_SCAN && !node->of->per_example) node = node->of; /* a constant by now */
    return node == leaf->node ? NULL : sc_read(g, node, leaf->at, leaf->outside);
}

static Node *rebuild(Rewrite *r, Node *node) {
    if (node->kind == NODE_GRAD)
        return graph_grad(r->g, rewrite(r, node->of), rewrite(r, node->wrt));
    if (node->kind == NODE_SCAN) VEC_PUSH(r->g->arena, r->scans, node);
    if (node->kind == NODE_CALL) {
        Node *operand[CALL_OPERANDS] = {0};
        for (int i = 0; i < call_info[node->call].operands; i++)
            operand[i] = rewrite(r, node->operand[i]);
        return graph_call(r->g, node->call, operand, node->result, node->name, node->at);
    }
    if (node->kind != NODE_COMP) return node;
    CompSpec spec = node_spec(node);
    spec.body = sc_rewrite(r->g, node->body, rewrite_read, r);
    return spec.body == node->body ? node : graph_comp(r->g, &spec);
}

static Node *rewrite(Rewrite *r, Node *node) {
    Node *done = map_get(&r->done, node);
    if (!done) {
        done = rebuild(r, node);
        graph_from(r->g, node);
        done = r->node(r->g, done, r->context);
        map_put(&r->done, node, done);
    }
    return done;
}

void unit_rewrite(Unit *unit, Node *(*node)(Graph *, Node *, void *), void *context) {
    Arena *scratch = arena_new();
    Rewrite r = {.g = unit->graph, .node = node, .context = context};
    map_init(&r.done, scratch);
    for (int i = 0; i < unit->programs.len; i++)
        for (int j = 0; j < unit->programs.at[i].results.len; j++) {
            Result *result = &unit->programs.at[i].results.at[j];
            result->node = rewrite(&r, result->node);
        }
    for (int i = 0; i < unit->params_at.len; i++)
        unit->params_at.at[i] = rewrite(&r, unit->params_at.at[i]);
    for (int i = 0; i < unit->layers.len; i++)
        if (unit->layers.at[i].output)
            unit->layers.at[i].output = rewrite(&r, unit->layers.at[i].output);
    /* A reference stays and stands for what its value has become: the old one is read no more. */
    for (int i = 0; i < r.scans.len; i++) {
        Node *of = rewrite(&r, r.scans.at[i]->of);
        scan_bind(r.g, r.scans.at[i], of);
    }
    arena_free(scratch);
}
