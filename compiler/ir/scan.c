/* SPDX-License-Identifier: MIT
 * Recurrences: references to values that are yet to be made, the groups of nodes that depend on
 * each other through them, and the order of the nodes under a program.
 * Needs base and ir.h.
 * Runs nothing: interpreter and plan go through a group step by step. */
#include "intern.h"
#include <string.h>

Node *node_value(Node *node) {
    while (node->kind == NODE_SCAN && node->of)
        node = node->of;
    return node;
}

const char *scan_fault(Graph *g, const Node *scan, const Node *of) {
    if (scan->kind != NODE_SCAN || (scan->of && scan->of != of))
        return "only a reference stands for another node, and for one only";
    if (of->kind == NODE_SCAN) return "a reference to a reference";
    if (scan->rank != of->rank ||
        memcmp(scan->extent, of->extent, sizeof *of->extent * (size_t)of->rank))
        return arena_printf(g->arena, "a reference of another shape than %s",
                            of->name ? of->name : "what it stands for");
    bool constant = of->kind == NODE_COMP && of->body->kind == SC_CONST;
    if (!of->per_example && !constant) return "a reference to a value that examples share";
    return NULL;
}

void scan_bind(Graph *g, Node *scan, Node *of) {
    of = node_value(of);
    scan->of = NULL; /* a pass may have rebuilt what it stands for */
    const char *fault = scan_fault(g, scan, of);
    if (fault) bug("%s: %s", scan->name ? scan->name : "(unnamed)", fault);
    scan->of = of;
}

bool scan_offset(const Scalar *read, int64_t *offset) {
    if (!read->node->rank) return false;
    const Ix *at = read->at[0];
    if (at->n != 1 || at->term[0].kind != ATOM_DIM || at->term[0].dim || at->term[0].coef != 1)
        return false;
    *offset = at->c;
    return true;
}

/* ---- Tarjan's strongly connected components: operands first; a component of more than one node is
 * a group, contiguous in the list and in the order of one step. */
typedef struct Mark {
    int index, low;
    bool open; /* on the stack */
    int step;  /* in the order of a step: 1 being visited, 2 done */
    ScanGroup *group;
} Mark;
typedef struct Walk {
    Arena *arena;
    Map marks; /* Node -> Mark */
    NodeList stack, list;
    int next;
    Node *reader;
    ScanGroup *group; /* whose steps are being ordered */
} Walk;
static void walk_node(Walk *walk, Node *node);

static void walk_operand(Walk *walk, Node *operand) {
    Mark *mine = map_get(&walk->marks, walk->reader);
    Node *reader = walk->reader;
    Mark *other = map_get(&walk->marks, operand);
    if (!other) {
        walk_node(walk, operand);
        walk->reader = reader;
        other = map_get(&walk->marks, operand);
        if (other->low < mine->low) mine->low = other->low;
    } else if (other->open && other->index < mine->low) {
        mine->low = other->index;
    }
}

static void walk_read(const Scalar *read, void *context) {
    walk_operand(context, read->node);
}

static void fault(ScanGroup *group, const Node *where, const char *text) {
    if (group->fault) return;
    group->fault = text;
    group->where = where;
}

static void step_node(Walk *walk, Node *node);

static void step_read(const Scalar *read, void *context) {
    Walk *walk = context;
    Mark *mark = map_get(&walk->marks, read->node);
    if (mark->group != walk->group) return;
    ScanGroup *group = walk->group;
    Node *reader = walk->reader;
    int64_t offset;
    if (!scan_offset(read, &offset)) {
        fault(group, reader, "it is read elsewhere than at a fixed distance along its first index");
        return;
    }
    int direction = offset < 0 ? 1 : offset > 0 ? -1 : 0;
    if (direction && group->direction && direction != group->direction)
        fault(group, reader, "it is read at earlier and at later indices");
    if (direction) group->direction = direction;
    if (!direction) step_node(walk, read->node);
    walk->reader = reader;
}

static void step_node(Walk *walk, Node *node) {
    Mark *mark = map_get(&walk->marks, node);
    ScanGroup *group = walk->group;
    if (mark->step == 1) fault(group, node, "it is read at the index at which it is given a value");
    if (mark->step) return;
    mark->step = 1;
    if (node->kind == NODE_COMP) {
        if (!node->rank || node->extent[0] != group->extent)
            fault(group, node,
                  "it is read elsewhere than at a fixed distance along its first index");
        else if (!node->per_example)
            fault(group, node, "it is the same for all examples");
        walk->reader = node;
        sc_reads(node->body, step_read, walk);
    } else if (node->kind == NODE_SCAN) {
        step_node(walk, node->of);
    } else {
        fault(group, node, "it depends on a gradient of itself");
    }
    mark->step = 2;
    VEC_PUSH(walk->arena, group->nodes, node);
}

static void close_group(Walk *walk, int first) {
    ScanGroup *group = NEW(walk->arena, ScanGroup);
    for (int i = first; i < walk->stack.len; i++) {
        Mark *mark = map_get(&walk->marks, walk->stack.at[i]);
        mark->open = false;
        mark->group = group;
        if (walk->stack.at[i]->kind == NODE_SCAN) group->extent = walk->stack.at[i]->extent[0];
    }
    walk->group = group;
    for (int i = first; i < walk->stack.len; i++)
        step_node(walk, walk->stack.at[i]);
    walk->group = NULL;
    for (int i = 0; i < group->nodes.len; i++)
        VEC_PUSH(walk->arena, walk->list, group->nodes.at[i]);
}

static void walk_node(Walk *walk, Node *node) {
    Mark *mark = NEW(walk->arena, Mark);
    mark->index = mark->low = walk->next++;
    mark->open = true;
    map_put(&walk->marks, node, mark);
    int first = walk->stack.len;
    VEC_PUSH(walk->arena, walk->stack, node);
    walk->reader = node;
    if (node->body) sc_reads(node->body, walk_read, walk);
    if (node->of) walk_operand(walk, node->of);
    if (node->wrt) walk_operand(walk, node->wrt);
    for (int i = 0; node->kind == NODE_CALL && i < call_info[node->call].operands; i++)
        walk_operand(walk, node->operand[i]);
    if (mark->low < mark->index) return;
    if (walk->stack.len == first + 1) {
        mark->open = false;
        VEC_PUSH(walk->arena, walk->list, node);
    } else {
        close_group(walk, first);
    }
    walk->stack.len = first;
}

NodeList program_groups(Arena *arena, const Program *program, Map *groups) {
    Walk walk = {.arena = arena};
    map_init(&walk.marks, arena);
    for (int i = 0; i < program->results.len; i++)
        if (!map_has(&walk.marks, program->results.at[i].node))
            walk_node(&walk, program->results.at[i].node);
    for (int i = 0; groups && i < walk.list.len; i++) {
        Mark *mark = map_get(&walk.marks, walk.list.at[i]);
        if (mark->group) map_put(groups, walk.list.at[i], mark->group);
    }
    return walk.list;
}

NodeList program_nodes(Arena *arena, const Program *program) {
    return program_groups(arena, program, NULL);
}
