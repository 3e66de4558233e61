/* SPDX-License-Identifier: MIT
 * Gradients whose infinities and NaN an update may hide, by a clip, a sign, a selection: they
 * become the new weight, where the run sees them. Needs ir. Leaves alone what is sure to get there.
 */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

/* Is the result no number whenever this operand is none? Asked of the operator itself. */
static bool is_strict(Op op, int operand) {
    static const double bad[] = {(double)INFINITY, -(double)INFINITY, (double)NAN};
    static const double any[] = {0, 1, -2, 0.5, 1000, (double)INFINITY, -(double)INFINITY};
    for (int i = 0; i < LENGTH(bad); i++)
        for (int j = 0; j < LENGTH(any); j++)
            for (int k = 0; k < LENGTH(any); k++) {
                double v[3];
                v[operand] = bad[i];
                v[(operand + 1) % 3] = any[j], v[(operand + 2) % 3] = any[k];
                if (isfinite(op_info[op].value(v[0], v[1], v[2]))) return false;
            }
    return true;
}

typedef struct Walk {
    Arena *arena;
    Map seen;
    NodeList nodes; /* grows while it is walked */
    bool strict;
} Walk;

static void visit(Walk *w, Node *node) {
    node = node_value(node);
    if (map_has(&w->seen, node)) return;
    map_put(&w->seen, node, node);
    VEC_PUSH(w->arena, w->nodes, node);
}

static void visit_read(const Scalar *read, void *context) {
    visit(context, read->node);
}

/* Every element of what is read meets an element of the reader, each its own. */
static bool reads_all(const Node *reader, const Scalar *read) {
    uint32_t seen = 0;
    for (int k = 0; k < read->node->rank; k++) {
        int d;
        if (!ix_is_dim(read->at[k], &d) || seen >> d & 1 ||
            reader->extent[d] != read->node->extent[k])
            return false;
        seen |= 1u << d;
    }
    return true;
}

/* What makes the expression no number wherever it is none, into `found` (scalars met, too): of a
 * selection what both sides have. */
static void find_strict(Arena *arena, const Node *reader, const Scalar *s, Map *found) {
    if (s->kind == SC_READ && reads_all(reader, s))
        map_put(found, node_value(s->node), node_value(s->node));
    if (s->kind != SC_OP || !s->reads || map_has(found, s)) return;
    map_put(found, s, NULL);
    Map side[2];
    for (int i = 0; i < 2 && s->op == OP_SELECT; i++) {
        map_init(&side[i], arena);
        find_strict(arena, reader, s->arg[1 + i], &side[i]);
    }
    for (int i = 0; s->op == OP_SELECT && i < side[0].slots.len; i++) {
        const void *key = side[0].slots.at[i].key;
        if (map_has(&side[1], key)) map_put(found, key, side[0].slots.at[i].value);
    }
    for (int i = 0; i < op_info[s->op].arity; i++)
        if (is_strict(s->op, i)) find_strict(arena, reader, s->arg[i], found);
}

static void visit_strict(Walk *w, const Node *reader) {
    Map found;
    map_init(&found, w->arena);
    find_strict(w->arena, reader, reader->body, &found);
    for (int i = 0; i < found.slots.len; i++)
        if (found.slots.at[i].value) visit(w, found.slots.at[i].value);
}

static void walk(Walk *w) {
    for (int i = 0; i < w->nodes.len; i++) {
        const Node *node = w->nodes.at[i];
        bool adds = node->reduce == RED_NONE || node->reduce == RED_SUM || node->reduce == RED_PROD;
        if (node->body && !w->strict)
            sc_reads(node->body, visit_read, w);
        else if (node->body && node->kind == NODE_COMP && adds)
            visit_strict(w, node);
        for (int k = 0; k < CALL_OPERANDS && !w->strict; k++)
            if (node->operand[k]) visit(w, node->operand[k]);
    }
}

/* The new value, or the gradient where that is none. */
static Node *show(Elab *e, Node *next, Node *gradient) {
    const Scalar *g = sc_read_all(e->g, gradient), *w = sc_read_all(e->g, next);
    const Scalar *size = sc_op(e->g, OP_ABS, g, NULL, NULL);
    const Scalar *good = sc_op(e->g, OP_LT, size, sc_const(e->g, (double)INFINITY), NULL);
    return graph_map(e->g, next->rank, next->extent, sc_op(e->g, OP_SELECT, good, w, g), NULL,
                     next->at);
}

void show_gradients(Elab *e, Program *step, Node *loss) {
    Walk shown = {.arena = arena_new(), .strict = true}, used = {.arena = shown.arena};
    map_init(&shown.seen, shown.arena);
    map_init(&used.seen, used.arena);
    for (int i = 0; i < step->results.len; i++) {
        const Result *r = &step->results.at[i];
        visit(&used, r->node);
        if (r->kind == RESULT_NEXT && r->target->kind == NODE_PARAM) visit(&shown, r->node);
    }
    walk(&shown);
    walk(&used);
    for (int i = 0; i < step->results.len; i++) {
        Result *r = &step->results.at[i];
        if (r->kind != RESULT_NEXT || r->target->kind != NODE_PARAM) continue;
        const ParamRec *rec = map_get(&e->params, r->target->name);
        Node *by = rec && rec->forward ? rec->forward : r->target;
        Node *gradient = graph_grad(e->g, loss, by);
        if (map_has(&used.seen, gradient) && !map_has(&shown.seen, gradient))
            r->node = show(e, r->node, gradient);
    }
    arena_free(shown.arena);
}
