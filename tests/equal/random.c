/* SPDX-License-Identifier: MIT
 * Random models: contractions of odd extents, windows that leave their operand, reductions of every
 * kind, statistics of the batch, draws, computed positions, numbers of the run.
 * Needs ir. Values stay moderate, so that float32 has something to say; compares nothing itself. */
#include "random.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_NODES = 24, MOST_WORK = 30000, MOST_ELEMENTS = 3000 };

typedef struct Make {
    Graph *g;
    Unit *unit;
    uint64_t random;
    Node *pool[MOST_NODES], *live;
    int n;
} Make;

static uint64_t next_random(Make *m) { /* splitmix64 */
    uint64_t z = (m->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static int pick(Make *m, int n) {
    return (int)(next_random(m) % (uint64_t)n);
}
static bool one_in(Make *m, int n) {
    return pick(m, n) == 0;
}

static const Scalar *number(Make *m, double value) {
    return sc_const(m->g, value);
}
static const Scalar *op1(Make *m, Op op, const Scalar *a) {
    return sc_op(m->g, op, a, NULL, NULL);
}
static const Scalar *op2(Make *m, Op op, const Scalar *a, const Scalar *b) {
    return sc_op(m->g, op, a, b, NULL);
}

static int64_t any_extent(Make *m) {
    static const int64_t common[] = {1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33};
    return common[pick(m, LENGTH(common))];
}

/* ---- Bodies: smooth and bounded mostly, with kinks here and there */
static const Scalar *random_term(Make *m, const Scalar *a, const Scalar *b) {
    switch (pick(m, 14)) {
    case 0:
        return op2(m, OP_MUL, a, b);
    case 1:
        return op2(m, OP_SUB, a, b);
    case 2:
        return op2(m, OP_ADD, op2(m, OP_MUL, a, b), a);
    case 3:
        return op1(m, OP_TANH, op2(m, OP_ADD, a, b));
    case 4:
        return op2(m, OP_DIV, a, op2(m, OP_ADD, number(m, 2), op2(m, OP_MUL, b, b)));
    case 5:
        return op2(m, OP_MUL, a, op1(m, OP_EXP, op2(m, OP_MUL, number(m, 0.3), op1(m, OP_SIN, b))));
    case 6:
        return op1(m, OP_SQRT, op2(m, OP_ADD, number(m, 1), op2(m, OP_MUL, a, a)));
    case 7:
        return op1(m, OP_LOG, op2(m, OP_ADD, number(m, 1.5), op2(m, OP_MUL, b, b)));
    case 8:
        return sc_op(m->g, OP_SELECT, op2(m, OP_GT, a, number(m, 0)), a,
                     op2(m, OP_MUL, number(m, 0.1), b));
    case 9:
        return op2(m, one_in(m, 2) ? OP_MAX : OP_MIN, a, b);
    case 10:
        return op1(m, OP_ERF, op2(m, OP_SUB, a, b));
    case 11:
        return op2(m, OP_MUL, op1(m, OP_ABS, a), op1(m, OP_COS, b));
    case 12:
        return op2(m, OP_POW, op2(m, OP_ADD, number(m, 1), op1(m, OP_ABS, a)), number(m, 0.7));
    default:
        return op2(m, OP_MUL, a, number(m, 0.5));
    }
}

static const Scalar *random_body(Make *m, const Scalar *a, const Scalar *b) {
    const Scalar *body = random_term(m, a, b);
    for (int i = pick(m, 3); i > 0; i--)
        body = one_in(m, 2) ? random_term(m, body, a) : random_term(m, b, body);
    return body;
}

/* Keeps what follows from growing without bound from node to node. */
static const Scalar *tamed(Make *m, const Scalar *s, double size) {
    return op2(m, OP_DIV, s, number(m, size));
}

/* ---- Index space of a node that is being made. Dimensions are numbered as they come; `finish`
 * puts those that stay in front of those that are reduced. */
typedef struct Space {
    int n;
    int64_t extent[MAX_DIMS];
} Space;

static double space_size(const Space *space) {
    double size = 1;
    for (int i = 0; i < space->n; i++)
        size *= (double)space->extent[i];
    return size;
}

static const Ix *dim_new(Make *m, Space *space, int64_t extent) {
    space->extent[space->n] = extent;
    return ix_dim(m->g, space->n++);
}

static const Ix *dim_like(Make *m, const Space *space, int64_t extent) {
    for (int tries = 0; tries < 4 && space->n; tries++) {
        int d = pick(m, space->n);
        if (space->extent[d] == extent) return ix_dim(m->g, d);
    }
    return NULL;
}

/* A strided window: s i + d p - o over dimensions that are there or new. */
static const Ix *window(Make *m, Space *space, int64_t extent) {
    int64_t stride = 1 + pick(m, 3), dilation = 1 + pick(m, 2), size = 1 + pick(m, 3);
    int64_t span = dilation * (size - 1) + 1, pad = pick(m, 2);
    int64_t places = extent + 2 * pad >= span ? (extent + 2 * pad - span) / stride + 1 : 1;
    const Ix *at = ix_scale(m->g, dim_new(m, space, places), stride);
    at = ix_add(m->g, at, ix_scale(m->g, dim_new(m, space, size), dilation));
    return ix_sub(m->g, at, ix_const(m->g, pad));
}

static const Ix *odd_form(Make *m, Space *space, int64_t extent) {
    Graph *g = m->g;
    if (!space->n) dim_new(m, space, any_extent(m));
    const Ix *ix = ix_scale(g, ix_dim(g, pick(m, space->n)), 1 + pick(m, 2) - 2 * one_in(m, 4));
    if (one_in(m, 2)) ix = ix_add(g, ix, ix_dim(g, pick(m, space->n)));
    if (one_in(m, 3)) ix = ix_div(g, ix, 2 + pick(m, 2), space->extent);
    if (one_in(m, 4)) ix = ix_mod(g, ix, 1 + pick(m, (int)extent), space->extent);
    return ix_add(g, ix, ix_const(g, pick(m, 4) - 1));
}

/* A position that is known only when it runs: a class or a rounded value. */
static const Ix *computed_position(Make *m, int64_t extent) {
    const Scalar *s = sc_read_all(m->g, m->pool[1]); /* the class */
    if (one_in(m, 2)) s = op2(m, OP_MUL, number(m, (double)extent), op1(m, OP_TANH, s));
    return ix_value(m->g, s);
}

static const Scalar *random_read(Make *m, Space *space, Node *node) {
    const Ix *at[MAX_RANK];
    bool may_leave = false;
    for (int i = 0; i < node->rank; i++) {
        int64_t extent = node->extent[i];
        const Ix *like = one_in(m, 2) ? dim_like(m, space, extent) : NULL;
        bool room = space->n < 5 && space_size(space) * (double)extent * 3 < (double)MOST_WORK;
        int how = pick(m, 10);
        if (like)
            at[i] = like;
        else if (how < 6 && room)
            at[i] = dim_new(m, space, extent);
        else if (how < 8 && room)
            at[i] = window(m, space, extent), may_leave = true;
        else if (how < 9)
            at[i] = odd_form(m, space, extent), may_leave = true;
        else
            at[i] = computed_position(m, extent), may_leave = true;
    }
    return sc_read(m->g, node, at, may_leave ? number(m, one_in(m, 4) ? 0.5 : 0) : NULL);
}

/* A node over the space: some dimensions stay, the others are reduced. */
static Node *finish(Make *m, Space *space, const Scalar *body, Reduce reduce, bool over_batch) {
    const Ix *map[MAX_DIMS] = {0};
    bool stays[MAX_DIMS];
    double elements = 1, terms = 1;
    int rank = 0;
    for (int d = 0; d < space->n; d++) {
        stays[d] =
            reduce == RED_NONE ||
            (rank < 4 && elements * (double)space->extent[d] <= (double)MOST_ELEMENTS && !one_in(m, 3));
        if (stays[d])
            elements *= (double)space->extent[d], rank++;
        else
            terms *= (double)space->extent[d];
    }
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
    spec.body = sc_subst(m->g, body, map, MAX_DIMS, spec.extent);
    Node *node = graph_comp(m->g, &spec);
    if (reduce != RED_ARGMAX && reduce != RED_ARGMIN) return node;
    body = tamed(m, sc_read_all(m->g, node), terms); /* a number from 0 to 1 */
    return graph_map(m->g, node->rank, node->extent, body, NULL, (Span){0});
}

static const Scalar *where_live(Make *m, const Scalar *s) {
    const Scalar *live = op2(m, OP_NE, sc_read_all(m->g, m->live), number(m, 0));
    return sc_op(m->g, OP_SELECT, live, s, number(m, 0));
}

static Node *pool_pick(Make *m) {
    int last = pick(m, m->n);
    return m->pool[one_in(m, 2) ? last : m->n - 1 - pick(m, m->n < 4 ? m->n : 4)];
}

static const Scalar *random_draw(Make *m, const Space *space) {
    const Ix *element = node_element(m->g, space->n, space->extent);
    Draw kind = (Draw)pick(m, 3);
    const Scalar *p = kind == DRAW_BERNOULLI ? number(m, 0.3) : NULL;
    return sc_draw(m->g, kind, p, element, (uint32_t)next_random(m), one_in(m, 3));
}

static const Scalar *run_number(Make *m) {
    static const char *const names[] = {"step", "epoch", "progress", "count"};
    Node *leaf = graph_leaf(m->g, NODE_HYPER, name_of(names[pick(m, LENGTH(names))]), false, 0,
                            NULL, 0, (Span){0});
    return op2(m, OP_DIV, sc_read_all(m->g, leaf),
               op2(m, OP_ADD, number(m, 4), sc_read_all(m->g, leaf)));
}

static Node *random_node(Make *m) {
    Space space = {0};
    const Scalar *a = random_read(m, &space, pool_pick(m)),
                 *b = random_read(m, &space, pool_pick(m));
    static const Reduce reductions[] = {RED_NONE, RED_SUM, RED_SUM,  RED_SUM,    RED_SUM,   RED_SUM,
                                        RED_MAX,  RED_MIN, RED_PROD, RED_ARGMAX, RED_ARGMIN};
    Reduce reduce = reductions[pick(m, LENGTH(reductions))];
    const Scalar *body = one_in(m, 2) ? op2(m, OP_MUL, a, b) : random_body(m, a, b);
    if (reduce == RED_NONE || one_in(m, 8)) {
        if (one_in(m, 3)) body = op2(m, OP_MUL, body, random_draw(m, &space));
        if (one_in(m, 3)) body = op2(m, OP_ADD, body, run_number(m));
    }
    if (reduce == RED_PROD) body = op2(m, OP_ADD, number(m, 1), tamed(m, op1(m, OP_TANH, body), 6));
    if (reduce != RED_NONE && reduce != RED_SUM && reduce != RED_PROD) {
        /* no ties, which rounding would decide */
        const Scalar *element = sc_index(m->g, node_element(m->g, space.n, space.extent));
        body = op2(m, OP_ADD, body, op2(m, OP_MUL, element, number(m, 0.0137)));
    }
    if (reduce == RED_NONE && space_size(&space) > (double)MOST_ELEMENTS) reduce = RED_SUM;
    bool batch = reduce == RED_SUM && body->per_example && one_in(m, 4);
    return finish(m, &space, batch ? where_live(m, body) : body, reduce, batch);
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
    return node;
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

static Node *updated(Make *m, Node *loss, Node *param) {
    const Scalar *g = sc_read_all(m->g, graph_grad(m->g, loss, param)),
                 *w = sc_read_all(m->g, param);
    const Scalar *body = op2(m, OP_SUB, w, op2(m, OP_MUL, number(m, 0.1), g));
    return graph_map(m->g, param->rank, param->extent, body, NULL, (Span){0});
}

static void programs(Make *m, Node *loss, Node *each) {
    Unit *unit = m->unit;
    Program step = {.kind = PROGRAM_STEP, .name = name_of("step")},
            eval = {.kind = PROGRAM_EVAL, .name = name_of("eval")};
    result(m, &step, RESULT_VALUE, "loss", NULL, loss);
    for (int i = 0; i < unit->params.len; i++)
        result(m, &step, RESULT_NEXT, NULL, unit->params.at[i],
               updated(m, loss, unit->params.at[i]));
    result(m, &eval, RESULT_VALUE, "loss", NULL, each);
    for (int i = 2; i < m->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        if (m->pool[i]->kind == NODE_COMP)
            result(m, one_in(m, 2) ? &step : &eval, RESULT_VALUE, name, NULL, m->pool[i]);
    }
    VEC_PUSH(unit->arena, unit->programs, step);
    VEC_PUSH(unit->arena, unit->programs, eval);
}

Unit *random_unit(Arena *arena, uint64_t seed) {
    Unit *unit = NEW(arena, Unit);
    unit->arena = arena;
    unit->graph = graph_new(arena);
    unit->model = name_of("random");
    unit->model_path = "random";
    unit->config = (TrainConfig){.batch = 20, .seed = seed, .best = name_of("loss")};
    Make make = {.g = unit->graph, .unit = unit, .random = seed * 7919}, *m = &make;
    m->live = graph_leaf(m->g, NODE_INPUT, name_of("live"), true, 0, NULL, 0, (Span){0});
    m->pool[m->n++] = leaf(m, NODE_INPUT, "x", 1 + pick(m, 3), 0);
    m->pool[m->n++] = leaf(m, NODE_INPUT, "t", 0, 5);
    m->pool[m->n++] = leaf(m, NODE_PARAM, "w", 2, 0);
    m->pool[m->n++] = leaf(m, NODE_PARAM, "b", 1, 0);
    m->pool[m->n++] = leaf(m, NODE_STATE, "r", 1, 0);
    const Scalar *each = number(m, 0), *shared = number(m, 0);
    for (int nodes = 3 + pick(m, MOST_NODES - 8); nodes > 0 && m->n < MOST_NODES; nodes--) {
        Node *node = random_node(m);
        m->pool[m->n++] = node;
        const Scalar **sum = node->per_example ? &each : &shared;
        *sum = op2(m, OP_ADD, *sum, share_of(m, node));
    }
    Node *of_example = graph_map(m->g, 0, NULL, op2(m, OP_ADD, each, shared), NULL, (Span){0});
    CompSpec spec = {.reduce = RED_SUM, .over_batch = true};
    spec.body = where_live(m, sc_read_all(m->g, of_example));
    Node *count = graph_leaf(m->g, NODE_HYPER, name_of("count"), false, 0, NULL, 0, (Span){0});
    const Scalar *mean =
        op2(m, OP_DIV, sc_read_all(m->g, graph_comp(m->g, &spec)), sc_read_all(m->g, count));
    programs(m, graph_map(m->g, 0, NULL, mean, NULL, (Span){0}), of_example);
    return unit;
}
