/* SPDX-License-Identifier: MIT
 * Random graphs: contractions of odd extents, reductions of every kind over indices and examples,
 * recurrences, states, draws, numbers of the run, a loss, its gradients and updates.
 * Needs ir. Values stay moderate, so that float32 has something to say; compares nothing itself. */
#include "make.h"
#include <math.h>
#include <string.h>

/* The gradient of a product takes all other factors for each: a million for a thousand. */
enum { MOST_FACTORS = 200 };

/* Keeps what follows from growing without bound from node to node. */
static const Scalar *tamed(Make *m, const Scalar *s, double size) {
    return op2(m, OP_DIV, s, number(m, size));
}

static const Scalar *live(Make *m) {
    return op2(m, OP_NE, sc_read_all(m->g, m->live), number(m, 0));
}

static double identity(Reduce reduce) {
    return reduce == RED_PROD  ? 1
           : reduce == RED_MAX ? (double)-INFINITY
           : reduce == RED_MIN ? (double)INFINITY
                               : 0;
}

/* A node over the space: some dimensions stay, the others are reduced. */
static Node *finish(Make *m, Space *space, const Scalar *body, Reduce reduce, bool over_batch) {
    const Ix *map[MAX_DIMS] = {0};
    bool stays[MAX_DIMS];
    double elements = 1, terms = 1;
    int rank = 0;
    for (int d = 0; d < space->n; d++) {
        stays[d] = reduce == RED_NONE ||
                   (rank < 4 && elements * (double)space->extent[d] <= (double)m->work / 6 &&
                    !one_in(m, 3));
        if (stays[d])
            elements *= (double)space->extent[d], rank++;
        else
            terms *= (double)space->extent[d];
    }
    if (reduce == RED_PROD && terms > MOST_FACTORS) reduce = RED_SUM;
    CompSpec spec = {.reduce = reduce, .over_batch = over_batch};
    for (int pass = 1, next = 0; pass >= 0; pass--)
        for (int d = 0; d < space->n; d++)
            if (stays[d] == (pass == 1)) {
                spec.extent[next] = space->extent[d];
                map[d] = ix_dim(m->g, next++);
                spec.rank += pass;
                spec.nred += !pass;
            }
    if (!spec.nred && !over_batch) spec.reduce = RED_NONE;
    if (reduce == RED_SUM) body = tamed(m, body, over_batch ? 8 * terms : 1 + 0.5 * terms);
    if (over_batch) body = sc_op(m->g, OP_SELECT, live(m), body, number(m, identity(reduce)));
    spec.body = sc_subst(m->g, body, map, MAX_DIMS, spec.extent);
    Node *node = graph_comp(m->g, &spec);
    if (reduce != RED_ARGMAX && reduce != RED_ARGMIN) return node;
    body = tamed(m, sc_read_all(m->g, node), terms); /* a number from 0 to 1 */
    return graph_map(m->g, node->rank, node->extent, body, NULL, (Span){0});
}

Node *pool_pick(Make *m) {
    if (one_in(m, 2)) return m->pool[pick(m, m->n)];
    return m->pool[m->n - 1 - pick(m, m->n < 4 ? m->n : 4)];
}

static const Scalar *run_number(Make *m) {
    static const char *const names[] = {"step", "epoch", "progress", "count"};
    Node *leaf = graph_leaf(m->g, NODE_HYPER, name_of(names[pick(m, LENGTH(names))]), false, 0,
                            NULL, 0, (Span){0});
    return op2(m, OP_DIV, sc_read_all(m->g, leaf),
               op2(m, OP_ADD, number(m, 4), sc_read_all(m->g, leaf)));
}

static Leaves leaves_make(Make *m, Space *space, bool draws) {
    Leaves leaves = {0};
    for (int reads = 2 + one_in(m, 3); leaves.n < reads;)
        leaves.at[leaves.n++] = random_read(m, space, pool_pick(m));
    leaves.moving = leaves.n;
    leaves.at[leaves.n++] = space_place(m, space);
    if (one_in(m, 3)) leaves.at[leaves.n++] = run_number(m);
    if (draws && one_in(m, 3)) leaves.at[leaves.n++] = random_draw(m, space);
    return leaves;
}

/* What the reduction takes: near 1 for products, without ties (which rounding would decide) for
 * extremes. */
static const Scalar *term(Make *m, const Space *space, const Scalar *body, Reduce reduce) {
    if (reduce == RED_PROD) return op2(m, OP_ADD, number(m, 1), tamed(m, op1(m, OP_TANH, body), 6));
    if (reduce == RED_NONE || reduce == RED_SUM) return body;
    const Scalar *element = sc_index(m->g, node_element(m->g, space->n, space->extent));
    return op2(m, OP_ADD, body, op2(m, OP_MUL, element, number(m, 0.0137)));
}

static Node *random_node(Make *m) {
    static const Reduce reductions[] = {RED_NONE, RED_SUM, RED_SUM,  RED_SUM,    RED_SUM,
                                        RED_MAX,  RED_MIN, RED_PROD, RED_ARGMAX, RED_ARGMIN};
    Reduce reduce = reductions[pick(m, LENGTH(reductions))];
    Space space = {0};
    Leaves leaves = leaves_make(m, &space, reduce == RED_NONE || one_in(m, 8));
    const Scalar *body =
        one_in(m, 3) ? op2(m, OP_MUL, leaves.at[0], leaves.at[1]) : random_body(m, &leaves);
    if (one_in(m, 5))
        body = sc_op(m->g, OP_SELECT, random_guard(m, &space), body,
                     one_in(m, 2) ? leaves.at[0] : number(m, 0));
    body = term(m, &space, body, reduce);
    if (reduce == RED_NONE && space_size(&space) > (double)m->work / 6) reduce = RED_SUM;
    bool batch = body->per_example && reduce >= RED_SUM && reduce <= RED_MIN && one_in(m, 4);
    return finish(m, &space, body, reduce, batch);
}

/* ---- The unit */
static Node *leaf(Make *m, NodeKind kind, const char *name, int rank, int64_t classes) {
    int64_t extent[MAX_RANK];
    for (int i = 0; i < rank; i++)
        extent[i] = any_extent(m);
    Node *node =
        graph_leaf(m->g, kind, name_of(name), kind == NODE_INPUT, rank, extent, classes, (Span){0});
    Arena *arena = m->unit->arena;
    if (kind == NODE_INPUT) VEC_PUSH(arena, m->unit->inputs, node);
    if (kind == NODE_PARAM) VEC_PUSH(arena, m->unit->params, node);
    if (kind == NODE_STATE) VEC_PUSH(arena, m->unit->states, node);
    if (kind == NODE_FITTED) VEC_PUSH(arena, m->unit->fitted, node);
    return node;
}

static Node *leaf_like(Make *m, NodeKind kind, const char *name, const Node *other) {
    Node *node =
        graph_leaf(m->g, kind, name_of(name), false, other->rank, other->extent, 0, (Span){0});
    VEC_PUSH(m->unit->arena, m->unit->states, node);
    return node;
}

static Node *map_over(Make *m, const Node *node, const Scalar *body) {
    return graph_map(m->g, node->rank, node->extent, body, NULL, (Span){0});
}

/* The sum of a bounded function of all elements: every node counts in the loss. */
static const Scalar *share_of(Make *m, Node *node) {
    CompSpec spec = {.reduce = RED_SUM, .nred = node->rank};
    memcpy(spec.extent, node->extent, sizeof *spec.extent * (size_t)node->rank);
    const Scalar *s = op1(m, OP_TANH, tamed(m, sc_read_all(m->g, node), 4));
    spec.body = op2(m, OP_MUL, s, op2(m, OP_ADD, s, number(m, 0.7)));
    if (!node->rank) spec.reduce = RED_NONE;
    return tamed(m, sc_read_all(m->g, graph_comp(m->g, &spec)), (double)node_count(node));
}

static void result(Make *m, Program *p, ResultKind kind, const char *name, Node *target,
                   Node *node) {
    Result r = {.kind = kind, .name = name ? name_of(name) : NULL, .target = target, .node = node};
    VEC_PUSH(m->unit->arena, p->results, r);
}

/* 1 + the sum of the squares of all gradients. */
static const Scalar *all_squares(Make *m, Node *loss) {
    const Scalar *sum = number(m, 1);
    for (int i = 0; i < m->unit->params.len; i++) {
        Node *g = graph_grad(m->g, loss, m->unit->params.at[i]);
        CompSpec spec = {.reduce = RED_SUM, .nred = g->rank};
        memcpy(spec.extent, g->extent, sizeof *spec.extent * (size_t)g->rank);
        spec.body = op2(m, OP_MUL, sc_read_all(m->g, g), sc_read_all(m->g, g));
        sum = op2(m, OP_ADD, sum, sc_read_all(m->g, graph_comp(m->g, &spec)));
    }
    return op1(m, OP_SQRT, sum);
}

/* w - 0.1 g, or by a moving average of g that is kept from step to step, or of a limited g. */
static void update(Make *m, Program *step, Node *loss, Node *param) {
    Node *grad = graph_grad(m->g, loss, param);
    const Scalar *g = sc_read_all(m->g, grad), *w = sc_read_all(m->g, param);
    if (one_in(m, 4)) g = op2(m, OP_DIV, g, all_squares(m, loss));
    if (one_in(m, 3)) {
        Node *state =
            leaf_like(m, NODE_STATE, arena_printf(m->unit->arena, "%s.v", param->name), param);
        const Scalar *kept = op2(m, OP_MUL, number(m, 0.9), sc_read_all(m->g, state));
        const Scalar *added = one_in(m, 2) ? op2(m, OP_MUL, g, g) : g;
        Node *next = map_over(m, param, op2(m, OP_ADD, kept, added));
        result(m, step, RESULT_NEXT, NULL, state, next);
        g = op2(
            m, OP_DIV, g,
            op2(m, OP_ADD, number(m, 1), op1(m, OP_SQRT, op1(m, OP_ABS, sc_read_all(m->g, next)))));
    }
    const Scalar *body = op2(m, OP_SUB, w, op2(m, OP_MUL, number(m, 0.1), g));
    result(m, step, RESULT_NEXT, NULL, param, map_over(m, param, body));
}

/* r' from what examples share, or from its mean over them. */
static Node *next_state(Make *m, Node *state) {
    Space space = {.n = 1, .closed = true, .extent = {state->extent[0]}};
    const Scalar *s = random_read(m, &space, pool_pick(m));
    CompSpec spec = {
        .rank = 1, .extent = {state->extent[0]}, .reduce = RED_SUM, .over_batch = true};
    if (s->per_example) {
        spec.body = sc_op(m->g, OP_SELECT, live(m), tamed(m, s, 20), number(m, 0));
        s = sc_read_all(m->g, graph_comp(m->g, &spec));
    }
    const Scalar *kept = op2(m, OP_MUL, number(m, 0.75), sc_read_all(m->g, state));
    return map_over(m, state, op2(m, OP_ADD, kept, op2(m, OP_MUL, number(m, 0.25), s)));
}

static void program_init(Make *m) {
    Unit *unit = m->unit;
    Program init = {.kind = PROGRAM_INIT, .name = name_of("init")};
    for (int i = 0; i < unit->params.len; i++) {
        Node *p = unit->params.at[i];
        const Scalar *draw =
            sc_draw(m->g, (Draw)pick(m, 2), NULL, node_element(m->g, p->rank, p->extent),
                    (uint32_t)pick(m, 65536), true);
        result(m, &init, RESULT_NEXT, NULL, p,
               map_over(m, p, op2(m, OP_MUL, number(m, 0.4), draw)));
    }
    for (int i = 0; i < unit->states.len; i++)
        result(m, &init, RESULT_NEXT, NULL, unit->states.at[i],
               map_over(m, unit->states.at[i], number(m, 0.5)));
    VEC_PUSH(unit->arena, unit->programs, init);
}

static void programs(Make *m, Node *loss, Node *each, Node *next) {
    Unit *unit = m->unit;
    Program step = {.kind = PROGRAM_STEP, .name = name_of("step")},
            eval = {.kind = PROGRAM_EVAL, .name = name_of("eval")};
    result(m, &step, RESULT_VALUE, "loss", NULL, loss);
    for (int i = 0; i < unit->params.len; i++)
        update(m, &step, loss, unit->params.at[i]);
    result(m, &step, RESULT_NEXT, NULL, m->pool[4], next);
    result(m, &eval, RESULT_VALUE, "loss", NULL, each);
    for (int i = 2; i < m->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        if (m->pool[i]->kind == NODE_COMP)
            result(m, one_in(m, 2) ? &eval : &step, RESULT_VALUE, name, NULL, m->pool[i]);
    }
    VEC_PUSH(unit->arena, unit->programs, step);
    VEC_PUSH(unit->arena, unit->programs, eval);
    if (one_in(m, 2)) program_init(m);
}

static void leaves(Make *m) {
    m->live = graph_leaf(m->g, NODE_INPUT, name_of("live"), true, 0, NULL, 0, (Span){0});
    m->pool[m->n++] = leaf(m, NODE_INPUT, "x", 1 + pick(m, 3), 0);
    m->pool[m->n++] = leaf(m, NODE_INPUT, "t", 0, 5);
    m->pool[m->n++] = leaf(m, NODE_PARAM, "w", 2, 0);
    m->pool[m->n++] = leaf(m, NODE_PARAM, "b", 1, 0);
    m->pool[m->n++] = leaf(m, NODE_STATE, "r", 1, 0);
    if (one_in(m, 2)) m->pool[m->n++] = leaf(m, NODE_FITTED, "f", 1, 0);
    if (one_in(m, 2)) m->pool[m->n++] = leaf(m, NODE_INPUT, "z", 2, 0);
}

Unit *random_unit(Arena *arena, Choices *choices) {
    Unit *unit = NEW(arena, Unit);
    unit->arena = arena;
    unit->graph = graph_new(arena);
    unit->model = name_of("random");
    unit->model_path = "random";
    unit->config = (TrainConfig){.batch = 20, .best = name_of("loss")};
    Make make = {.g = unit->graph, .unit = unit, .choices = choices}, *m = &make;
    static const int leaf_counts[] = {0, 1, 2, 4};
    m->work = one_in(m, 8) ? 12000 : 1500; /* small ones are as odd, and quick */
    unit->config.leaves = leaf_counts[pick(m, LENGTH(leaf_counts))];
    leaves(m);
    const Scalar *each = number(m, 0), *shared = number(m, 0);
    for (int nodes = 1 + pick(m, 9); nodes > 0 && m->n < MOST_NODES; nodes--) {
        Node *node = one_in(m, 8) ? random_scan(m) : random_node(m);
        m->pool[m->n++] = node;
        const Scalar **sum = node->per_example ? &each : &shared;
        *sum = op2(m, OP_ADD, *sum, share_of(m, node));
    }
    Node *next = next_state(m, m->pool[4]);
    if (one_in(m, 3)) shared = op2(m, OP_ADD, shared, share_of(m, next)); /* r' read */
    Node *of_example = graph_map(m->g, 0, NULL, op2(m, OP_ADD, each, shared), NULL, (Span){0});
    CompSpec spec = {.reduce = RED_SUM, .over_batch = true};
    spec.body = sc_op(m->g, OP_SELECT, live(m), sc_read_all(m->g, of_example), number(m, 0));
    Node *count = graph_leaf(m->g, NODE_HYPER, name_of("count"), false, 0, NULL, 0, (Span){0});
    const Scalar *mean =
        op2(m, OP_DIV, sc_read_all(m->g, graph_comp(m->g, &spec)), sc_read_all(m->g, count));
    programs(m, graph_map(m->g, 0, NULL, mean, NULL, (Span){0}), of_example, next);
    return unit;
}
