/* SPDX-License-Identifier: MIT
 * Which values lie in memory with gaps between their planes: a power of two bytes apart, planes
 * would share few sets of each cache and drive each other out. Needs the program's nodes; changes
 * where elements lie, never a value. */
#include "plan.h"

enum {
    SET_STRIDE = ROOM(4096, LANES * 4), /* bytes after which the sets of a first cache repeat */
    PADDING = 1 /* vectors */
};

static int64_t plane(const Node *node) {
    return node->rank ? node_count(node) / node->extent[0] : 1;
}

int64_t plan_pitch(const ProgramPlan *program, const Node *node) {
    node = node_value((Node *)(uintptr_t)node);
    return plane(node) + (map_has(&program->padded, node) ? PADDING : 0);
}

typedef struct Padding {
    ProgramPlan *program;
    Map whole; /* nodes that somebody takes as one row of elements */
} Padding;

static void take_whole(const Scalar *read, void *context) {
    Padding *padding = context;
    Node *node = node_value(read->node);
    map_put(&padding->whole, node, node);
}

void plan_pad(Plan *plan, ProgramPlan *program) {
    Padding padding = {.program = program};
    map_init(&program->padded, plan->arena);
    map_init(&padding.whole, plan->arena);
    if (program->trace) return;
    for (int i = 0; i < program->program->results.len; i++) {
        Node *node = node_value(program->program->results.at[i].node);
        map_put(&padding.whole, node, node);
    }
    for (int i = 0; i < program->nodes.len; i++) {
        const Node *node = program->nodes.at[i];
        for (int k = 0; node->kind == NODE_CALL && k < call_info[node->call].operands; k++)
            map_put(&padding.whole, node_value(node->operand[k]), node->operand[k]);
        if (node->kind == NODE_COMP && node->over_batch && node_terms(node) < LANES)
            sc_reads(node->body, take_whole, &padding); /* it may lie transposed, too */
    }
    for (int i = 0; i < program->nodes.len; i++) {
        Node *node = program->nodes.at[i];
        int bytes = plan_wide(program, node, plan->target.float_bytes) ? 8 : 4;
        if (node->kind == NODE_COMP && node->per_example && node->rank > 1 &&
            plane(node) * LANES * bytes % SET_STRIDE == 0 && !map_has(&padding.whole, node))
            map_put(&program->padded, node, node);
    }
}
