/* SPDX-License-Identifier: MIT
 * The program "trace": a step that stores every value it makes and the parts of expressions that can
 * turn good numbers into bad ones. A run whose loss is no number goes through it to say where.
 * Needs the frozen graph; adds nodes to no other program. */
#include "pass.h"
#include <math.h>

enum { MOST_PARTS = 32, MOST_ELEMENTS = 1 << 22 };

/* Can it give infinity or no number at all of small finite operands? Then it is worth a look of its
 * own; what only grows (a product, a sum) shows by the value that it is part of. */
static bool is_risky(Op op) {
    static const double sample[] = {-1, 0, 0.5, 1000};
    if (op_info[op].truth) return false;
    for (int a = 0; a < LENGTH(sample); a++)
        for (int b = 0; b < (op_info[op].arity > 1 ? LENGTH(sample) : 1); b++)
            if (!isfinite(op_info[op].value(sample[a], sample[b], 1))) return true;
    return false;
}

typedef struct Parts {
    Unit *unit;
    Node *of;
    Map made; /* Scalar -> Node */
    int n;
} Parts;

typedef struct From {
    Arena *arena;
    NodeList nodes;
} From;

static void add_read(const Scalar *read, void *context) {
    From *from = context;
    VEC_PUSH(from->arena, from->nodes, read->node);
}

/* Over the dimensions of its node: where that is a map both have their elements in common. */
static void add_part(Parts *parts, const Scalar *s) {
    Graph *g = parts->unit->graph;
    Node *of = parts->of;
    if (map_has(&parts->made, s) || parts->n == MOST_PARTS) return;
    From from = {.arena = parts->unit->arena};
    for (int i = 0; i < op_info[s->op].arity; i++) {
        Node *made = map_get(&parts->made, s->arg[i]);
        if (made)
            VEC_PUSH(from.arena, from.nodes, made);
        else
            sc_reads(s->arg[i], add_read, &from);
    }
    graph_from(g, of);
    Node *node = graph_map(g, node_dims(of), of->extent, s, NULL, of->at);
    if (node == of || node->kind != NODE_COMP) return;
    map_put(&parts->made, s, node);
    VEC_PUSH(from.arena, parts->unit->traces,
             (TraceRow){.node = node, .part_of = of, .op = s->op, .from = from.nodes});
    parts->n++;
}

/* Risky operators and what they are given, operands first. */
static void find_parts(Parts *parts, Map *seen, const Scalar *s) {
    if (s->kind != SC_OP || !s->reads || map_has(seen, s)) return;
    map_put(seen, s, (void *)(uintptr_t)s);
    bool risky = is_risky(s->op);
    for (int i = 0; i < op_info[s->op].arity; i++) {
        const Scalar *arg = s->arg[i];
        find_parts(parts, seen, arg);
        if (risky && arg->kind == SC_OP && arg->reads && !op_info[arg->op].truth)
            add_part(parts, arg);
    }
    if (risky) add_part(parts, s);
}

static void trace_parts(Unit *unit, Node *node, Arena *scratch) {
    double count = (double)node_count(node) * (double)node_terms(node);
    if (node_dims(node) > MAX_RANK || count > (double)MOST_ELEMENTS) return;
    Parts parts = {.unit = unit, .of = node};
    Map seen;
    map_init(&parts.made, scratch);
    map_init(&seen, scratch);
    find_parts(&parts, &seen, node->body);
}

void pass_trace(Unit *unit) {
    const Program *step = NULL;
    for (int i = 0; i < unit->programs.len; i++)
        if (unit->programs.at[i].kind == PROGRAM_STEP) step = &unit->programs.at[i];
    if (!step) return;
    Arena *scratch = arena_new();
    Map groups;
    map_init(&groups, scratch);
    NodeList nodes = program_groups(unit->arena, step, &groups);
    Program trace = {.kind = PROGRAM_TRACE, .name = name_of("trace")};
    for (int i = 0; i < step->results.len; i++) {
        Result result = step->results.at[i];
        result.kind = RESULT_VALUE;
        VEC_PUSH(unit->arena, trace.results, result);
    }
    for (int i = 0; i < nodes.len; i++) {
        Node *node = nodes.at[i];
        if (node->kind == NODE_COMP && !map_has(&groups, node)) trace_parts(unit, node, scratch);
        if (node->kind != NODE_SCAN)
            VEC_PUSH(unit->arena, unit->traces, (TraceRow){.node = node});
    }
    for (int i = 0; i < unit->traces.len; i++) {
        Node *node = unit->traces.at[i].node;
        if (node->kind == NODE_COMP || node->kind == NODE_CALL)
            VEC_PUSH(unit->arena, trace.results,
                     (Result){.kind = RESULT_VALUE, .name = name_of(""), .node = node});
    }
    VEC_PUSH(unit->arena, unit->programs, trace);
    arena_free(scratch);
}
