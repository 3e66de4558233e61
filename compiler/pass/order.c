/* SPDX-License-Identifier: MIT
 * The end of the freeze point: the graph lists what the programs reach, operands first.
 * Needs the other frozen passes.
 * Orders no sum: those are ordered as written, and in gradients reader's dimensions first. */
#include "frozen.h"

static void mark(Arena *arena, Map *live, const Program *program) {
    NodeList nodes = program_nodes(arena, program);
    for (int i = 0; i < nodes.len; i++)
        map_put(live, nodes.at[i], nodes.at[i]);
}

/* Nodes are made after their operands, and passes make them in an order that depends on the graph
 * alone; so the order of making, less what has died, is a deterministic topological order. */
void pass_order(Unit *unit) {
    Arena *scratch = arena_new();
    Map live;
    map_init(&live, scratch);
    for (int i = 0; i < unit->programs.len; i++)
        mark(scratch, &live, &unit->programs.at[i]);
    Program extra = {.kind = PROGRAM_KINDS}; /* what is reached beside the programs */
    for (int i = 0; i < unit->params_at.len; i++)
        VEC_PUSH(scratch, extra.results, (Result){.node = unit->params_at.at[i]});
    for (int i = 0; i < unit->layers.len; i++)
        if (unit->layers.at[i].output)
            VEC_PUSH(scratch, extra.results, (Result){.node = unit->layers.at[i].output});
    mark(scratch, &live, &extra);
    Graph *g = unit->graph;
    int kept = 0;
    for (int i = 0; i < g->nodes.len; i++) {
        Node *node = g->nodes.at[i];
        if (node->kind < NODE_COMP || map_has(&live, node)) g->nodes.at[kept++] = node;
    }
    g->nodes.len = kept;
    arena_free(scratch);
}
